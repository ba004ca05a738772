/* SPDX-License-Identifier: Apache-2.0 */

/* What the admin API reads of a request before a resource does: body, page, If-Match. */

#include <stdio.h>
#include <string.h>

#include "base/crypto.h"
#include "base/text.h"
#include "gateway/http/api.h"
#include "gateway/http/media.h"
#include "gateway/http/query.h"

static void release_json(void *p)
{
	json_decref(p);
}

void api_keep(struct api_request *request, json_t *value)
{
	arena_attach(request->arena, value, release_json);
}

const struct db_result *api_last_result(const struct api_request *request)
{
	return request->results[request->n_results - 1];
}

static bool takes_media(const struct api_request *request, const char *content_type)
{
	if (media_is(content_type, "application/json"))
		return true;
	return strcmp(request->route->method, "PATCH") == 0 &&
	       media_is(content_type, "application/merge-patch+json");
}

enum api_result api_read_text(struct api_request *request)
{
	request->text = exchange_body(request->exchange);
	if (request->text.n == 0)
		return api_fail(request, ERR_BAD_REQUEST,
				"the request must have a JSON object as its body");
	if (!takes_media(request, exchange_header(request->exchange, "content-type")))
		return api_fail_as(request, 415, "unsupported_media_type",
				   "Content-Type must be application/json");
	return API_NEXT;
}

enum api_result api_read_body(struct api_request *request)
{
	struct err err;

	request->body = json_parse(request->text, &err);
	if (request->body == NULL)
		return api_fail(request, err.code, "the body is no JSON: %s", err.text);
	api_keep(request, request->body);
	if (!json_is_object(request->body))
		return api_fail(request, ERR_BAD_REQUEST, "the body must be a JSON object");
	return API_NEXT;
}

static int read_limit(struct api_request *request, const char *text, struct err *err)
{
	uint64_t limit;

	if (text_uint(text, 1, API_MAX_PAGE, &limit, err) < 0)
		return err_set(err, ERR_BAD_REQUEST, "limit must be a number from 1 to %d",
			       API_MAX_PAGE);
	request->page_limit = (size_t)limit;
	return 0;
}

static int read_cursor(struct api_request *request, const char *text, struct err *err)
{
	size_t n = strlen(text);
	char *key = arena_alloc(request->arena, API_MAX_CURSOR_BYTES);
	long decoded =
		n < API_MAX_CURSOR_BYTES ? base64url_decode((struct span){ text, n }, key) : -1;

	if (decoded < (long)strlen(API_CURSOR_VERSION) ||
	    memcmp(key, API_CURSOR_VERSION, strlen(API_CURSOR_VERSION)) != 0 ||
	    memchr(key, '\0', (size_t)decoded) != NULL || !text_is_utf8(key, (size_t)decoded))
		return err_set(err, ERR_BAD_REQUEST,
			       "cursor is not one that a list has given as its \"next\"");
	key[decoded] = '\0';
	request->page_after = key + strlen(API_CURSOR_VERSION);
	return 0;
}

/* One pair of the query. room has the size of the whole. */
static int read_pair(struct api_request *request, struct span pair, char *room, struct err *err)
{
	if (pair.n == 0)
		return 0;
	if (query_find(pair, "limit", room))
		return read_limit(request, room, err);
	if (query_find(pair, "cursor", room))
		return read_cursor(request, room, err);
	return err_set(err, ERR_BAD_REQUEST,
		       "a list has the parameters limit and cursor; this is neither, or broken: "
		       "%.*s",
		       (int)(pair.n < 64 ? pair.n : 64), pair.p);
}

enum api_result api_read_page(struct api_request *request)
{
	struct span query = exchange_query(request->exchange);
	char *room = arena_alloc(request->arena, query.n + 1);
	struct err err;

	request->page_limit = API_DEFAULT_PAGE;
	request->page_after = "";
	while (query.n > 0) {
		const char *end = memchr(query.p, '&', query.n);
		size_t n = end != NULL ? (size_t)(end - query.p) : query.n;
		size_t taken = end != NULL ? n + 1 : n;

		if (read_pair(request, (struct span){ query.p, n }, room, &err) < 0)
			return api_fail(request, err.code, "%s", err.text);
		query.p += taken;
		query.n -= taken;
	}
	return API_NEXT;
}

struct span api_page_rows(const struct api_request *request)
{
	return span_of(arena_printf(request->arena, "%zu", request->page_limit + 1));
}

struct span api_page_after(const struct api_request *request)
{
	return span_of(request->page_after);
}

enum api_result api_need_match(struct api_request *request)
{
	const char *versions = exchange_header(request->exchange, "if-match");

	if (versions == NULL || versions[0] == '\0')
		return api_fail(request, ERR_PRECONDITION_REQUIRED,
				"send the ETag of the version that you have read as If-Match");
	return API_NEXT;
}

/* RFC 9110 section 13.1.1: compared strongly, so W/"…" is never it. Our tags hold no comma. */
bool api_matches(const struct api_request *request, const char *etag)
{
	const char *at = exchange_header(request->exchange, "if-match");

	if (strcmp(at, "*") == 0)
		return true;
	for (;;) {
		size_t n;

		at += strspn(at, " \t,");
		n = strcspn(at, " \t,");
		if (n == 0)
			return false;
		if (n == strlen(etag) && memcmp(at, etag, n) == 0)
			return true;
		at += n;
	}
}
