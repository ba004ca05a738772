/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/visit.h"

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "gateway/http/cookie.h"
#include "gateway/http/guard.h"
#include "gateway/http/media.h"
#include "gateway/http/query.h"

static void visit_free(struct visit *visit)
{
	struct arena *arena = visit->arena;

	browser_cancel(&visit->asking);
	connect_cancel(&visit->connecting);
	principal_unref(&visit->principal);
	arena_free(&arena);
}

/* Nobody is to be answered. */
static void on_gone(void *ctx)
{
	visit_free(ctx);
}

void visit_end(struct visit *visit)
{
	visit_free(visit);
}

void visit_resume(struct visit *visit)
{
	for (;;) {
		visit_step *step = *visit->step++;

		assert(step != NULL);
		switch (step(visit)) {
		case VISIT_NEXT:
			break;
		case VISIT_WAIT:
			return; /* the visit may be gone */
		case VISIT_DONE:
			visit_free(visit);
			return;
		}
	}
}

void visit_start(struct exchange *exchange, visit_step *const *steps)
{
	struct arena *arena = arena_new();
	struct visit *visit = arena_alloc(arena, sizeof(*visit));

	*visit = (struct visit){
		.exchange = exchange,
		.app = exchange_app(exchange),
		.arena = arena,
		.step = steps,
		.attempt_id = exchange_param(exchange, "attempt"),
	};
	visit->https = strncmp(visit->app->public_url, "https://", 8) == 0;
	exchange_on_gone(exchange, on_gone, visit);
	visit_resume(visit);
}

/* --- what is said ---------------------------------------------------------------------------- */

void visit_values(struct visit *visit, struct page_values *values, const char *title)
{
	char *token = arena_alloc(visit->arena, CSRF_TOKEN_BYTES);
	char *signout = arena_alloc(visit->arena, CSRF_TOKEN_BYTES);

	page_set(values, "title", title);
	if (visit->attempt_id != NULL && uuid_valid(visit->attempt_id))
		page_set(values, "attempt", visit->attempt_id);
	if (visit->principal == NULL)
		return;
	page_set(values, "user", visit->principal->user_name);
	page_set(values, "tenant", visit->principal->tenant);
	csrf_token(visit->session, "signout", signout);
	page_set(values, "csrf_signout", signout);
	if (visit->attempt_id == NULL)
		return;
	csrf_token(visit->session, visit->attempt_id, token);
	page_set(values, "csrf", token);
}

enum visit_result visit_fail(struct visit *visit, int status, const char *title,
			     const char *sentence, const char *remedy)
{
	struct page_values values = { .n = 0 };

	visit_values(visit, &values, title);
	page_set(&values, "sentence", sentence);
	page_set(&values, "remedy", remedy);
	page_send(visit->exchange, &(struct page_answer){
					   .status = status,
					   .name = "error",
					   .values = &values,
					   .forms = PAGE_FORMS,
				   });
	return VISIT_DONE;
}

enum visit_result visit_fail_by(struct visit *visit, const struct err *err)
{
	const char *text = err->text;

	if (err->code == ERR_INTERNAL) {
		log_error(&(struct log_subject){ .component = "http" }, "%s %s: %s",
			  exchange_method(visit->exchange), exchange_path(visit->exchange), text);
		text = "the gateway could not do this; its log says why";
	}
	return visit_fail(visit, err_http_status(err->code), "That did not work",
			  arena_printf(visit->arena, "Nothing was connected: %s.", text),
			  err->code == ERR_UNAVAILABLE
				  ? "Try again in a moment."
				  : "Ask for a new link, or your administrator.");
}

/* --- who may come this far ------------------------------------------------------------------- */

enum visit_result visit_guard(struct visit *visit)
{
	struct exchange *exchange = visit->exchange;
	const char *cookies = exchange_header(exchange, "cookie");

	if (!guard_host(visit->app, exchange_header(exchange, "host")))
		return visit_fail(visit, 403, "This host is not served",
				  "The gateway is not reached under this name.",
				  "Use the address that your administrator gave you.");
	if (!cookie_read(cookies, COOKIE_SESSION, visit->https, visit->session))
		visit->session[0] = '\0';
	if (!cookie_read(cookies, COOKIE_CONNECT, visit->https, visit->browser))
		visit->browser[0] = '\0';
	return VISIT_NEXT;
}

static enum visit_result refuse_form(struct visit *visit)
{
	return visit_fail(
		visit, 403, "This form is not ours",
		"What was sent does not come from a page of this gateway, or from one that "
		"is too old. Nothing was done.",
		"Open the link again, and start from there.");
}

enum visit_result visit_own_form(struct visit *visit)
{
	struct exchange *exchange = visit->exchange;

	if (!csrf_same_origin(visit->app, exchange_header(exchange, "sec-fetch-site"),
			      exchange_header(exchange, "origin"),
			      exchange_header(exchange, "host")))
		return refuse_form(visit);
	if (!media_is(exchange_header(exchange, "content-type"),
		      "application/x-www-form-urlencoded") ||
	    exchange_body(exchange).n > VISIT_MAX_FORM_BYTES)
		return refuse_form(visit);
	return VISIT_NEXT;
}

static void on_user(void *ctx, struct principal *principal, const struct err *err)
{
	struct visit *visit = ctx;

	if (err != NULL && err->code != ERR_UNAUTHENTICATED) {
		visit_fail_by(visit, err);
		visit_end(visit);
		return;
	}
	if (err == NULL)
		visit->principal = principal_ref(principal);
	visit_resume(visit);
}

enum visit_result visit_find_user(struct visit *visit)
{
	if (visit->session[0] == '\0')
		return VISIT_NEXT;
	browser_find(visit->app->browsers, &visit->asking, visit->session, on_user, visit);
	return VISIT_WAIT;
}

enum visit_result visit_need_user(struct visit *visit)
{
	if (visit->principal != NULL)
		return VISIT_NEXT;
	page_redirect(visit->exchange, visit_signin_path(visit, visit->attempt_id), NULL, NULL);
	return VISIT_DONE;
}

enum visit_result visit_csrf(struct visit *visit)
{
	return csrf_check(visit->session, visit->attempt_id, visit_field(visit, "csrf"))
		       ? VISIT_NEXT
		       : refuse_form(visit);
}

/* --- what was sent --------------------------------------------------------------------------- */

static const char *find(struct visit *visit, struct span pairs, const char *name)
{
	char *room = arena_alloc(visit->arena, pairs.n + 1);

	if (query_count(pairs, name) != 1 || !query_find(pairs, name, room))
		return NULL;
	return room;
}

const char *visit_field(struct visit *visit, const char *name)
{
	return find(visit, exchange_body(visit->exchange), name);
}

const char *visit_query(struct visit *visit, const char *name)
{
	return find(visit, exchange_query(visit->exchange), name);
}

const char *visit_signin_path(struct visit *visit, const char *attempt)
{
	if (attempt == NULL || !uuid_valid(attempt))
		return "/signin";
	return arena_printf(visit->arena, "/signin?attempt=%s", attempt);
}
