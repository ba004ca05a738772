/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/problem.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "gateway/http/reason.h"

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_json_string(out, value, strlen(value));
}

void problem_write(const struct problem *problem, struct buf *out)
{
	buf_add(out, "{\"type\":\"about:blank\"");
	add_member(out, "title", http_reason(problem->status));
	buf_printf(out, ",\"status\":%d", problem->status);
	add_member(out, "code", problem->code);
	add_member(out, "detail", problem->detail);
	if (problem->pointer != NULL)
		add_member(out, "pointer", problem->pointer);
	if (problem->connect_url != NULL)
		add_member(out, "connect_url", problem->connect_url);
	if (problem->call_id != NULL && problem->call_id[0] != '\0')
		add_member(out, "call_id", problem->call_id);
	buf_add(out, "}");
}

void problem_send(struct exchange *exchange, const struct problem *problem)
{
	struct buf body;

	buf_init(&body, PROBLEM_MAX_BYTES);
	problem_write(problem, &body);
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = problem->status,
					  .content_type = PROBLEM_CONTENT_TYPE,
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
