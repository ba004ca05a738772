/* SPDX-License-Identifier: Apache-2.0 */

/* What the admin API answers: JSON, pages of a list, and problems. */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "gateway/core/mcp.h"
#include "gateway/http/api.h"
#include "gateway/http/api_record.h"
#include "gateway/http/problem.h"

#define NUMBER_BYTES   16
#define MAX_TEXT_BYTES 512
#define MAX_HEADERS    4

/* Those of the answer, and which rows tell of it. */
static size_t collect_headers(struct api_request *request, const struct exchange_answer *answer,
			      struct http_header out[MAX_HEADERS])
{
	struct arena *arena = request->arena;
	size_t n = 0;

	assert(answer->n_headers + 2 <= MAX_HEADERS);
	for (; n < answer->n_headers; n++)
		out[n] = (struct http_header){ arena_strdup(arena, answer->headers[n].name),
					       arena_strdup(arena, answer->headers[n].value) };
	if (request->action != NULL)
		out[n++] = (struct http_header){ API_EVENT_HEADER, request->event_id };
	if (request->call_id[0] != '\0')
		out[n++] = (struct http_header){ GATEWAY_CALL_ID_HEADER, request->call_id };
	return n;
}

/* What only asks is answered at once; what changes something waits until it is recorded. */
static enum api_result give(struct api_request *request, const struct exchange_answer *answer)
{
	struct arena *arena = request->arena;
	struct http_header headers[MAX_HEADERS];
	struct exchange_answer whole = *answer;

	whole.n_headers = collect_headers(request, answer, headers);
	whole.headers = headers;
	if (request->action == NULL) {
		exchange_answer(request->exchange, &whole);
		return API_DONE;
	}
	whole.headers = arena_dup(arena, headers, whole.n_headers * sizeof(headers[0]));
	if (answer->body.n > 0)
		whole.body.p = arena_dup(arena, answer->body.p, answer->body.n);
	request->answer = arena_dup(arena, &whole, sizeof(whole));
	return API_DONE;
}

static enum api_result answer(struct api_request *request, int status, struct span body,
			      const char *etag)
{
	const struct http_header header = { "ETag", etag };

	return give(request, &(struct exchange_answer){
				     .status = status,
				     .content_type = "application/json",
				     .headers = &header,
				     .n_headers = etag != NULL ? 1 : 0,
				     .body = body,
			     });
}

enum api_result api_answer(struct api_request *request, int status, json_t *body, const char *etag)
{
	enum api_result result;
	struct buf text;

	buf_init(&text, API_MAX_ANSWER_BYTES);
	if (json_write(body, &text) == 0)
		result = answer(request, status, buf_span(&text), etag);
	else
		result = api_fail(request, ERR_TOO_LARGE,
				  "the answer is too large; ask for fewer items with ?limit=");
	buf_fini(&text);
	json_decref(body);
	return result;
}

enum api_result api_answer_text(struct api_request *request, struct span body)
{
	return answer(request, 200, body, NULL);
}

enum api_result api_answer_nothing(struct api_request *request)
{
	return give(request, &(struct exchange_answer){ .status = 204 });
}

/* What HTTP wants to go with some of them. */
static void fail(struct api_request *request, const struct problem *problem)
{
	struct http_header header = { "Retry-After", NULL };
	struct problem whole = *problem;
	struct buf body;
	char retry_after[NUMBER_BYTES];

	api_record_refusal(request, problem->status, problem->detail);
	snprintf(retry_after, sizeof(retry_after), "%d", API_RETRY_AFTER_S);
	header.value = retry_after;
	if (problem->status == 401) {
		header.name = "WWW-Authenticate";
		/* RFC 6750 section 3.1: error only when a credential was sent. */
		header.value =
			exchange_header(request->exchange, "authorization") != NULL ||
					exchange_header(request->exchange, "x-api-key") != NULL
				? "Bearer error=\"invalid_token\""
				: "Bearer";
	}
	whole.call_id = request->call_id;
	whole.headers = &header;
	whole.n_headers = problem->status == 401 || problem->status == 503 ? 1 : 0;
	request->problem_code = arena_strdup(request->arena, problem->code);
	request->problem_detail = arena_strdup(request->arena, problem->detail);
	buf_init(&body, PROBLEM_MAX_BYTES);
	problem_write(&whole, &body);
	give(request, &(struct exchange_answer){
			      .status = whole.status,
			      .content_type = PROBLEM_CONTENT_TYPE,
			      .headers = whole.headers,
			      .n_headers = whole.n_headers,
			      .body = buf_span(&body),
		      });
	buf_fini(&body);
}

enum api_result api_fail_as(struct api_request *request, int status, const char *code,
			    const char *detail)
{
	fail(request, &(struct problem){ .status = status, .code = code, .detail = detail });
	return API_DONE;
}

enum api_result api_fail_connect(struct api_request *request, const char *detail, const char *url)
{
	fail(request,
	     &(struct problem){
		     .status = 409, .code = "needs_auth", .detail = detail, .connect_url = url });
	return API_DONE;
}

enum api_result api_fail(struct api_request *request, enum err_code code, const char *format, ...)
{
	char text[MAX_TEXT_BYTES];
	struct err err;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	err_set(&err, code, "%s", text);
	return api_fail_as(request, err_http_status(code), err_name(code), err.text);
}

enum api_result api_fail_body(struct api_request *request, const struct api_fault *fault)
{
	fail(request, &(struct problem){
			      .status = err_http_status(fault->err.code),
			      .code = fault->code != NULL ? fault->code : err_name(fault->err.code),
			      .detail = fault->err.text,
			      .pointer = fault->pointer,
		      });
	return API_DONE;
}

enum api_result api_fail_stale(struct api_request *request)
{
	return api_fail(request, ERR_PRECONDITION,
			"it has been changed since the version in If-Match; read it again");
}

void api_etag(int64_t version, char out[API_ETAG_BYTES])
{
	snprintf(out, API_ETAG_BYTES, "\"%lld\"", (long long)version);
}

/* Opaque to clients: base64url of "1/" and the key. */
static void encode_cursor(const char *key, char out[2 * API_MAX_SORT_KEY_BYTES])
{
	char text[API_MAX_SORT_KEY_BYTES + sizeof(API_CURSOR_VERSION)];
	int n = snprintf(text, sizeof(text), API_CURSOR_VERSION "%s", key);

	assert(n > 0 && (size_t)n < sizeof(text));
	base64url_encode(text, (size_t)n, out);
}

void api_add_cursor(struct buf *out, const char *key)
{
	char cursor[2 * API_MAX_SORT_KEY_BYTES];

	encode_cursor(key, cursor);
	buf_printf(out, "\"%s\"", cursor);
}

enum api_result api_answer_rows(struct api_request *request, const struct db_result *rows,
				json_t *(*show)(const struct api_request *request,
						const struct db_result *rows, size_t row))
{
	size_t n = db_rows(rows) <= request->page_limit ? db_rows(rows) : request->page_limit;
	json_t *items = json_array();
	json_t *next = json_null();
	char cursor[2 * API_MAX_SORT_KEY_BYTES];

	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, show(request, rows, i));
	if (n < db_rows(rows)) {
		encode_cursor(db_text(rows, n - 1, "name"), cursor);
		next = json_string(cursor);
	}
	return api_answer(request, 200, json_pack("{s:o, s:o}", "items", items, "next", next),
			  NULL);
}
