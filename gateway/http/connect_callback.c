/* SPDX-License-Identifier: Apache-2.0 */

/* Where authorization servers meet us: the address that browsers come back to, and the document
 * that says who we are. */

#include <stdio.h>
#include <string.h>

#include "gateway/http/connect_pages.h"
#include "gateway/http/problem.h"
#include "gateway/http/query.h"
#include "gateway/http/visit.h"

#define MAX_METADATA_BYTES 16384
#define JSON_SUFFIX	   ".json"

/* --- coming back ----------------------------------------------------------------------------- */

/* In any case the browser goes on to an address without the answer in it. */
static void on_returned(void *ctx, const struct connect_view *view, const char *url,
			const struct err *err)
{
	struct visit *visit = ctx;
	const char *location;
	bool ours;

	(void)url;
	if (err != NULL) {
		visit_fail_by(visit, err);
		visit_end(visit);
		return;
	}
	ours = view->error != CONNECT_STATE_MISMATCH && view->error != CONNECT_WRONG_USER;
	if (ours && view->attempt_id != NULL)
		location = arena_printf(visit->arena, "/connect/%s/done", view->attempt_id);
	else
		location = arena_printf(visit->arena, "/connect/failed/%s%s%s",
					connect_errors[view->error].code,
					view->attempt_id != NULL ? "?attempt=" : "",
					view->attempt_id != NULL ? view->attempt_id : "");
	page_redirect(visit->exchange, location, NULL, NULL);
	visit_end(visit);
}

/* RFC 6749 3.1: no parameter twice. One that cannot be read is not taken for absent either. */
static bool is_clean(struct visit *visit)
{
	static const char *const names[] = { "state", "code", "error", "error_description", "iss" };
	struct span query = exchange_query(visit->exchange);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = query_count(query, names[i]);

		if (n > 1 || (n == 1 && visit_query(visit, names[i]) == NULL))
			return false;
	}
	return true;
}

static enum visit_result come_back(struct visit *visit)
{
	uint8_t hash[SHA256_BYTES];
	struct connect_answer answer = {
		.issuer_hash = exchange_param(visit->exchange, "issuer"),
		.principal = visit->principal,
		.browser_hash = visit->browser[0] != '\0' ? hash : NULL,
	};

	crypto_sha256(visit->browser, strlen(visit->browser), hash);
	if (is_clean(visit)) {
		answer.state = visit_query(visit, "state");
		answer.code = visit_query(visit, "code");
		answer.error = visit_query(visit, "error");
		answer.error_description = visit_query(visit, "error_description");
		answer.iss = visit_query(visit, "iss");
	}
	connect_return(visit->app->connects, &visit->connecting, &answer, on_returned, visit);
	return VISIT_WAIT;
}

void connect_page_callback(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_find_user, come_back };

	visit_start(exchange, steps);
}

/* --- who we are ------------------------------------------------------------------------------ */

void connect_page_metadata(struct exchange *exchange)
{
	const struct http_app *app = exchange_app(exchange);
	const char *file = exchange_param(exchange, "issuer");
	size_t n = strlen(file);
	char hash[CONNECT_ISSUER_HASH_BYTES] = "";
	struct buf body;

	if (n == CONNECT_ISSUER_HASH_BYTES - 1 + strlen(JSON_SUFFIX) &&
	    strcmp(file + n - strlen(JSON_SUFFIX), JSON_SUFFIX) == 0)
		snprintf(hash, sizeof(hash), "%s", file);
	buf_init(&body, MAX_METADATA_BYTES);
	if (connect_client_metadata(app->public_url, hash, &body) < 0)
		problem_answer_with(exchange, 404, "not_found", "there is nothing at this path",
				    NULL, 0);
	else
		exchange_answer(exchange, &(struct exchange_answer){
						  .status = 200,
						  .content_type = "application/json",
						  .body = buf_span(&body),
					  });
	buf_fini(&body);
}
