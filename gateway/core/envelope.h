/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_ENVELOPE_H
#define GATEWAY_CORE_ENVELOPE_H

/* JSON-RPC 2.0 messages: reading one of a client, writing ours. Knows no transport, no era. */

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/span.h"

enum envelope_kind {
	ENVELOPE_REQUEST,      /* method and id */
	ENVELOPE_NOTIFICATION, /* method, no id */
	ENVELOPE_RESPONSE,     /* id and result or error, no method */
	ENVELOPE_BATCH,	       /* an array: only `text` is set */
};

struct envelope {
	enum envelope_kind kind;
	struct span text;
	struct span id;	    /* raw string or integer */
	const char *method; /* unescaped, in the arena */
	struct span params; /* object, or absent */
	struct span meta;   /* params._meta if it is an object */
	struct span result;
	struct span error; /* object with integer code and string message */
};

/*
 * text is checked with span_check first. ERR_PARSE: no JSON. ERR_BAD_REQUEST: not a JSON-RPC
 * message (jsonrpc not "2.0", id null, fractional, or no string or integer, method no string or
 * with NUL or over 256 bytes, params no object, _meta no object, result and error together, …).
 * On failure out->id holds the id if one could be read, so that the answer can echo it.
 */
int envelope_parse(struct span text, struct arena *arena, struct envelope *out,
		   struct err *err) MUST_CHECK;

/* Appends the start of a message up to the value of the member, result or error; after that value
 * one brace closes it. */
void envelope_open(struct buf *out, struct span id, const char *member);
/* Appends an error object. data absent: none. */
void envelope_error_object(struct buf *out, int code, const char *message, struct span data);
/* Appends a whole message. id absent is written as null. data absent: none. */
void envelope_result(struct buf *out, struct span id, struct span result);
void envelope_error(struct buf *out, struct span id, int code, const char *message,
		    struct span data);
void envelope_notification(struct buf *out, const char *method, struct span params);

#endif
