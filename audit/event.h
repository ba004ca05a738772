/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVENT_H
#define AUDIT_EVENT_H

/*
 * The payloads of the book's records in the spool, as bytes and back.
 *
 * version u8 | call_id 16 | started_us i64 | tenant_id 16 | fields: id u8, length u16, bytes
 *
 * Integers are big-endian; fields ascend by id and absent ones are left out. What was encoded is
 * fit for PostgreSQL: text is UTF-8 without NUL and within its limit, arguments are redacted, and
 * the time is one that it can store.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/book.h"
#include "audit/chain.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/* Types of the records in the spool. The numbers are on disk. What follows ENTRY is complete by
 * itself, as that is, and has its own encoding: audit/kind.h. */
enum event_type {
	EVENT_INTENT = 1,
	EVENT_OUTCOME = 2,
	EVENT_ENTRY = 3,
	EVENT_ANCHOR = 4,
	EVENT_SEAL = 5,
	EVENT_PAYLOAD = 6,
	EVENT_STATE = 7, /* of the chain; no row */
};

/* The one list of what a record may hold: name, kind, most bytes. Places in it are on disk: add at
 * the end. A text over its limit is cut between characters and ends with "…"; arguments that are
 * too large are replaced by their size. */
#define EVENT_FIELDS(X)                                                                            \
	X(NODE_ID, UUID, 16)                                                                       \
	X(TENANT, TEXT, 256)                                                                       \
	X(USER_ID, UUID, 16)                                                                       \
	X(USER_NAME, TEXT, 256)                                                                    \
	X(API_KEY, TEXT, 256)                                                                      \
	X(CONNECTION_ID, UUID, 16)                                                                 \
	X(CONNECTION, TEXT, 64)                                                                    \
	X(CLIENT, TEXT, 512)                                                                       \
	X(METHOD, TEXT, 128)                                                                       \
	X(TOOL, TEXT, 256)                                                                         \
	X(REQUEST_ID, TEXT, 256)                                                                   \
	X(ARGUMENTS, TEXT, 16384)                                                                  \
	X(PROTOCOL_VERSION, TEXT, 64)                                                              \
	X(SESSION_ID, TEXT, 128)                                                                   \
	X(SOURCE_IP, TEXT, 64)                                                                     \
	X(TRACE_ID, TEXT, 64)                                                                      \
	X(SPAN_ID, TEXT, 64)                                                                       \
	X(REQUEST_BYTES, NUMBER, 8)                                                                \
	X(OUTCOME, NUMBER, 8)                                                                      \
	X(DURATION_US, NUMBER, 8)                                                                  \
	X(UPSTREAM_US, NUMBER, 8)                                                                  \
	X(ERROR_TYPE, TEXT, 128)                                                                   \
	X(ERROR_MESSAGE, TEXT, 1024)                                                               \
	X(RESPONSE_BYTES, NUMBER, 8)                                                               \
	X(HTTP_STATUS, NUMBER, 8)                                                                  \
	X(PERSONA, TEXT, 64)                                                                       \
	X(PURPOSE, TEXT, 1024)                                                                     \
	X(AUDIT_LEVEL, TEXT, 16)                                                                   \
	X(ACCOUNT, TEXT, 256)                                                                      \
	X(N_CALLS, NUMBER, 8)                                                                      \
	X(UPSTREAM_STATUS, NUMBER, 8)                                                              \
	X(PAYLOAD_DIGEST, DIGEST, 32)                                                              \
	X(CHAIN_ID, UUID, 16)                                                                      \
	X(CHAIN_SEQ, NUMBER, 8)                                                                    \
	X(CHAIN_MAC, DIGEST, 32)

enum event_field {
#define X(name, kind, max) FIELD_##name,
	EVENT_FIELDS(X)
#undef X
		N_FIELDS
};

enum {
#define X(name, kind, max) BOOK_MAX_##name = (max),
	EVENT_FIELDS(X)
#undef X
};

#define EVENT_UUID_BYTES 16

/* A record with all that it can hold. */
struct event_layout {
	char head[1 + EVENT_UUID_BYTES + 8 + EVENT_UUID_BYTES];
	struct {
#define X(name, kind, max) char name[3 + (max)];
		EVENT_FIELDS(X)
#undef X
	} fields;
};
#define EVENT_HEAD_BYTES sizeof(((struct event_layout *)NULL)->head)
#define EVENT_MAX_BYTES	 sizeof(struct event_layout)

/*
 * Appends the record of the given type to out, which must have room for EVENT_MAX_BYTES. An INTENT
 * takes no result; an OUTCOME takes only call_id, started_us and tenant_id of the call. node_id may
 * be NULL.
 */
struct event_source {
	enum event_type type;
	const struct book_call *call;
	const struct book_result *result;
	const char *node_id;
};
void event_encode(const struct event_source *source, struct buf *out);

/* The OUTCOME `unknown` of the call whose INTENT is given. */
#define EVENT_UNKNOWN_BYTES (EVENT_HEAD_BYTES + 3 + 8)
void event_encode_unknown(struct span intent, char out[EVENT_UNKNOWN_BYTES]);

/* Borrows the payload. */
struct event {
	const uint8_t *call_id; /* EVENT_UUID_BYTES */
	int64_t started_us;
	const uint8_t *tenant_id;
	struct span fields[N_FIELDS];
};
/* Never trusts the bytes. ERR_CONFLICT: written by another version; ERR_PARSE: not a record. */
int event_decode(struct span payload, struct event *out, struct err *err) MUST_CHECK;
/* The row that both make; either may be absent, and both are good. An INTENT alone ended nobody
 * knows how. Borrows them. */
void event_join(struct span opening, struct span closing, struct event *out);
/* What the chain is over: call_id | started_us | tenant_id | the fields that are there but those of
 * the chain, as they stand in a record. The same for a row that was read back from PostgreSQL. out
 * must have room for EVENT_MAX_BYTES. */
void event_canonical(const struct event *event, struct buf *out);
/* Puts the place in the chain into a record that event_encode wrote. */
void event_add_link(struct buf *record, const struct chain_link *link);
/* False if there is none. */
bool event_link(const struct event *event, struct chain_link *out);
/* Of a payload that event_encode wrote or event_decode took: EVENT_UUID_BYTES. */
const uint8_t *event_call_id(struct span payload);
/* False if the field, of kind NUMBER, is absent. */
bool event_number(const struct event *event, enum event_field field, int64_t *out);

#endif
