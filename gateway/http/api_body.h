/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_BODY_H
#define GATEWAY_HTTP_API_BODY_H

/*
 * Members of the JSON objects that the admin API is sent: which there are, of what type, and the
 * sentence that says what would be right. Pure; knows no resource.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

/* The limits of what the API stores, in bytes unless they say something else. */
#define API_MAX_DESCRIPTION  2000
#define API_MAX_EMAIL	     320
#define API_MAX_CREDENTIAL   8192
#define API_MAX_HEADERS	     32 /* headers */
#define API_MAX_HEADER_NAME  256
#define API_MAX_HEADER_VALUE 8192
#define API_MAX_ALL_HEADERS  65536 /* names and values together: they are sealed as one */
#define API_MAX_GLOBS	     1000  /* globs of one list */
#define API_MAX_GLOB	     256
#define API_MAX_EGRESS	     1000 /* exceptions of a tenant */
#define API_MAX_EGRESS_ENTRY 300
#define API_MAX_TIMEOUT_MS   3600000
#define API_MAX_TOOL_NAME    4096
#define API_MAX_TEXT	     65536 /* any other string, before it is looked at closer */

/* What stands in answers for a secret, and in bodies for "keep the one you have". */
#define API_REDACTED "[REDACTED]"

#define API_POINTER_BYTES 128

/* A body that is refused. */
struct api_fault {
	const char *code; /* NULL: that of err */
	/* RFC 6901: which member; "" is the whole body. One too long to say names its parent. */
	char pointer[API_POINTER_BYTES];
	struct err err;
};
/* ERR_BAD_REQUEST. Returns -1. */
int api_fault_set(struct api_fault *fault, const char *pointer, const char *format, ...)
	ERR_PRINTF(3, 4);
/* Writes the pointer to a member of what stands at `at`. */
void api_pointer(char out[API_POINTER_BYTES], const char *at, const char *member);

enum member_type {
	MEMBER_TEXT, /* a string without NUL, at most max_bytes */
	MEMBER_FLAG, /* true or false */
	MEMBER_OBJECT,
	MEMBER_LIST,	 /* an array of strings, at most max_items of max_bytes */
	MEMBER_DURATION, /* a string or a number of seconds */
	MEMBER_NUMBER,
	MEMBER_IGNORED, /* anything: what answers show and only the gateway writes */
};

enum member_need {
	MEMBER_OPTIONAL,
	MEMBER_REQUIRED,
	MEMBER_NULLABLE, /* optional, and null means the same as absent */
};

struct member {
	const char *name;
	enum member_type type;
	enum member_need need;
	size_t max_bytes; /* 0: API_MAX_TEXT */
	size_t max_items;
	const char *right; /* what would be right, to follow "must be" */
};

/*
 * Each member of the object is one of the list and of its type, and none that is required is
 * missing. object stands at `at`, a JSON pointer; `what` names the object, e.g. "a connection".
 */
int members_check(const json_t *object, const char *at, const char *what,
		  const struct member *members, size_t n, struct api_fault *fault) MUST_CHECK;

/* The member's text, or `otherwise` if it is absent or null. Borrowed. */
const char *member_text(const json_t *object, const char *name, const char *otherwise);
/* NULL also if it is empty, which is as good as absent. */
const char *member_filled(const json_t *object, const char *name);
bool member_flag(const json_t *object, const char *name, bool otherwise);
/* 1 ms to API_MAX_TIMEOUT_MS; absent: *out stays. */
int member_duration(const json_t *object, const char *name, int64_t *out,
		    struct api_fault *fault) MUST_CHECK;
/* The text at the top level is a name (gateway/core/names.h). */
int member_name(const json_t *object, const char *name, struct api_fault *fault) MUST_CHECK;
/* words ends with NULL. `at` is the pointer to the text. */
int member_word(const char *text, const char *at, const char *const *words,
		struct api_fault *fault) MUST_CHECK;

/* RFC 7396. Returns a new reference; changes neither. */
json_t *merge_patch(json_t *target, json_t *patch);

#endif
