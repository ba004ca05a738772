/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/problem.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "gateway/http/reason.h"

#define PROBLEM_MAX_BYTES 4096

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_json_string(out, value, strlen(value));
}

void problem_send(struct exchange *exchange, const struct problem *problem)
{
	struct buf body;

	buf_init(&body, PROBLEM_MAX_BYTES);
	buf_add(&body, "{\"type\":\"about:blank\"");
	add_member(&body, "title", http_reason(problem->status));
	buf_printf(&body, ",\"status\":%d", problem->status);
	add_member(&body, "code", problem->code);
	add_member(&body, "detail", problem->detail);
	if (problem->pointer != NULL)
		add_member(&body, "pointer", problem->pointer);
	if (problem->connect_url != NULL)
		add_member(&body, "connect_url", problem->connect_url);
	buf_add(&body, "}");
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = problem->status,
					  .content_type = "application/problem+json",
					  .headers = problem->headers,
					  .n_headers = problem->n_headers,
					  .body = buf_span(&body),
				  });
	buf_fini(&body);
}

void problem_answer_with(struct exchange *exchange, int status, const char *code,
			 const char *detail, const struct http_header *headers, size_t n_headers)
{
	problem_send(exchange, &(struct problem){
				       .status = status,
				       .code = code,
				       .detail = detail,
				       .headers = headers,
				       .n_headers = n_headers,
			       });
}

void problem_answer(struct exchange *exchange, const struct err *err)
{
	const char *detail = err->text;

	/* What broke inside is the operator's business. */
	if (err->code == ERR_INTERNAL) {
		log_error(&(struct log_subject){ .component = "http" }, "%s %s: %s",
			  exchange_method(exchange), exchange_path(exchange), err->text);
		detail = "the gateway could not do this; its log says why";
	}
	problem_answer_with(exchange, err_http_status(err->code), err_name(err->code), detail, NULL,
			    0);
}
