/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

/*
 * Failures: a code that says what the peer sees, a text for the operator.
 *
 * A text never holds a secret. Functions that can fail return 0 or -1 and take `struct err *`
 * last, never NULL, written only on failure.
 */

/* The one list of failures. Columns: name, HTTP status, JSON-RPC code, name in API answers. */
#define ERR_CODES(X)                                                                               \
	X(INTERNAL, 500, -32603, "internal")                                                       \
	X(BAD_REQUEST, 400, -32600, "bad_request")                                                 \
	X(PARSE, 400, -32700, "parse_error")                                                       \
	X(INVALID_PARAMS, 400, -32602, "invalid_params")                                           \
	X(UNAUTHENTICATED, 401, -32000, "unauthenticated")                                         \
	X(FORBIDDEN, 403, -32000, "forbidden")                                                     \
	X(NOT_FOUND, 404, -32601, "not_found")                                                     \
	X(CONFLICT, 409, -32000, "conflict")                                                       \
	X(PRECONDITION, 412, -32000, "precondition_failed")                                        \
	X(TOO_LARGE, 413, -32600, "too_large")                                                     \
	X(PRECONDITION_REQUIRED, 428, -32000, "precondition_required")                             \
	X(RATE_LIMITED, 429, -32000, "rate_limited")                                               \
	X(UPSTREAM, 502, -32000, "upstream_error")                                                 \
	X(UNAVAILABLE, 503, -32000, "unavailable")                                                 \
	X(TIMEOUT, 504, -32000, "timeout")                                                         \
	X(CANCELLED, 499, -32000, "cancelled")

enum err_code {
#define X(name, http, rpc, text) ERR_##name,
	ERR_CODES(X)
#undef X
};

struct err {
	enum err_code code;
	char tag[8];	/* machine detail of the failing edge: an SQLSTATE, or empty */
	char text[248]; /* one sentence; control bytes are replaced when it is set */
};

#define ERR_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define MUST_CHECK	 __attribute__((warn_unused_result))

/* Always returns -1, so that a failure is one line: return err_set(err, ERR_X, "…"). */
int err_set(struct err *err, enum err_code code, const char *format, ...) ERR_PRINTF(3, 4);
/* Puts "prefix: " before the text; keeps code and tag. Always returns -1. */
int err_prefix(struct err *err, const char *format, ...) ERR_PRINTF(2, 3);

int err_http_status(enum err_code code);
int err_rpc_code(enum err_code code);
const char *err_name(enum err_code code);

#endif
