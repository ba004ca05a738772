/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_PROBLEM_H
#define GATEWAY_HTTP_PROBLEM_H

/* Failures as RFC 9457 documents (application/problem+json) with a stable `code`. */

#include <stddef.h>

#include "base/err.h"
#include "gateway/http/exchange.h"

#define PROBLEM_MAX_BYTES    4096
#define PROBLEM_CONTENT_TYPE "application/problem+json"

void problem_answer(struct exchange *exchange, const struct err *err);
struct problem {
	int status;
	const char *code;
	const char *detail;
	const char *pointer;	 /* RFC 6901: the member of the body that is wrong; NULL: none is */
	const char *connect_url; /* where somebody has to connect an account first; NULL */
	const char *call_id;	 /* of the call that failed; NULL or "": none did */
	const struct http_header *headers;
	size_t n_headers;
};
/* Its body, of at most PROBLEM_MAX_BYTES. Appends. */
void problem_write(const struct problem *problem, struct buf *out);
void problem_send(struct exchange *exchange, const struct problem *problem);
/* Some need headers, or a status that no err has. */
void problem_answer_with(struct exchange *exchange, int status, const char *code,
			 const char *detail, const struct http_header *headers, size_t n_headers);

#endif
