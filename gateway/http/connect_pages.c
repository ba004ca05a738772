/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/connect_pages.h"

#include <string.h>

#include "gateway/http/cookie.h"
#include "gateway/http/visit.h"

#define MAX_SCOPES_SHOWN 30

/* --- what a view looks like ------------------------------------------------------------------ */

static void set_view(struct visit *visit, struct page_values *values,
		     const struct connect_view *view)
{
	page_set(values, "connection", view->connection);
	page_set(values, "upstream_host", view->upstream_host);
	page_set(values, "issuer_host", view->issuer_host);
	page_set(values, "redirect_host", view->redirect_host);
	page_set(values, "shared", view->shared ? "yes" : NULL);
	page_set(values, "account", view->account);
	page_set(values, "former_account", view->former_account);
	page_set(values, "tools",
		 arena_printf(visit->arena, view->tools_count == 1 ? "%lld tool" : "%lld tools",
			      (long long)view->tools_count));
}

static void set_scopes(struct visit *visit, struct page_values *values, const char *scope)
{
	size_t shown = 0;

	while (scope != NULL && *(scope += strspn(scope, " ")) != '\0') {
		size_t n = strcspn(scope, " ");

		if (++shown > MAX_SCOPES_SHOWN) {
			page_set(values, "scope", "…");
			return;
		}
		page_set(values, "scope", arena_dup(visit->arena, scope, n));
		scope += n;
	}
}

static void send_consent(struct visit *visit, const struct connect_view *view)
{
	struct page_values values = { .n = 0 };

	visit_values(visit, &values, arena_printf(visit->arena, "Connect %s", view->connection));
	set_view(visit, &values, view);
	set_scopes(visit, &values, view->scope);
	page_send(visit->exchange, &(struct page_answer){
					   .status = 200,
					   .name = "consent",
					   .values = &values,
					   .forms = PAGE_FORMS_LEAVE,
					   .leave_to = view->authorize_origin,
				   });
}

static void send_other(struct visit *visit, const struct connect_view *view, const char *name,
		       const char *title)
{
	struct page_values values = { .n = 0 };

	visit_values(visit, &values, title);
	set_view(visit, &values, view);
	if (view->state == CONNECT_CONNECTED) {
		page_set(&values, "state", "connected");
		page_set(&values, "script", "yes");
	}
	page_send(visit->exchange, &(struct page_answer){
					   .status = view->state == CONNECT_CHOOSING ? 409 : 200,
					   .name = name,
					   .values = &values,
					   .forms = PAGE_FORMS,
				   });
}

/* Whose attempt it is has been checked, unless that is the error. */
static void send_error(struct visit *visit, const struct connect_view *view)
{
	const struct connect_error_row *row = &connect_errors[view->error];
	struct page_values values = { .n = 0 };

	visit_values(visit, &values, row->title);
	page_set(&values, "sentence", row->sentence);
	page_set(&values, "detail", view->error_text);
	page_set(&values, "remedy", row->remedy);
	page_set(&values, "error", row->code);
	page_set(&values, "again", view->connection);
	page_set(&values, "state", "failed");
	page_set(&values, "script", "yes");
	page_send(visit->exchange, &(struct page_answer){
					   .status = row->status,
					   .name = "error",
					   .values = &values,
					   .forms = PAGE_FORMS,
				   });
}

static void send_view(struct visit *visit, const struct connect_view *view)
{
	switch (view->state) {
	case CONNECT_OPEN:
	case CONNECT_PENDING:
		send_consent(visit, view);
		return;
	case CONNECT_CHOOSING:
		send_other(visit, view, "choice", "Two accounts");
		return;
	case CONNECT_CONNECTED:
		send_other(visit, view, "done", "Connected");
		return;
	case CONNECT_FAILED:
		send_error(visit, view);
		return;
	}
}

static const char *attempt_path(struct visit *visit, const char *id, const char *rest)
{
	return arena_printf(visit->arena, "/connect/%s%s", id, rest);
}

/* --- looking --------------------------------------------------------------------------------- */

static void on_shown(void *ctx, const struct connect_view *view, const char *url,
		     const struct err *err)
{
	struct visit *visit = ctx;

	(void)url;
	if (err != NULL)
		visit_fail_by(visit, err);
	else
		send_view(visit, view);
	visit_end(visit);
}

static enum visit_result show(struct visit *visit)
{
	connect_show(visit->app->connects, &visit->connecting, visit->attempt_id, visit->principal,
		     on_shown, visit);
	return VISIT_WAIT;
}

void connect_page_get(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_find_user, visit_need_user, show };

	visit_start(exchange, steps);
}

/* Of one that goes on still, the next page. */
static void on_done_shown(void *ctx, const struct connect_view *view, const char *url,
			  const struct err *err)
{
	struct visit *visit = ctx;

	(void)url;
	if (err != NULL)
		visit_fail_by(visit, err);
	else if (view->state == CONNECT_OPEN || view->state == CONNECT_PENDING)
		page_redirect(visit->exchange, attempt_path(visit, visit->attempt_id, ""), NULL,
			      NULL);
	else
		send_view(visit, view);
	visit_end(visit);
}

static enum visit_result show_done(struct visit *visit)
{
	connect_show(visit->app->connects, &visit->connecting, visit->attempt_id, visit->principal,
		     on_done_shown, visit);
	return VISIT_WAIT;
}

void connect_page_done(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_find_user, visit_need_user,
					     show_done };

	visit_start(exchange, steps);
}

static enum visit_result show_failed(struct visit *visit)
{
	const char *attempt = visit_query(visit, "attempt");
	const struct connect_view view = {
		.state = CONNECT_FAILED,
		.error = connect_error_parse(exchange_param(visit->exchange, "code")),
	};

	visit->attempt_id = attempt != NULL && uuid_valid(attempt) ? attempt : NULL;
	if (view.error == CONNECT_NO_ERROR)
		return visit_fail(visit, 404, "There is no such page", "This address is wrong.",
				  "Open the link again.");
	send_error(visit, &view);
	return VISIT_DONE;
}

void connect_page_failed(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_find_user, show_failed };

	visit_start(exchange, steps);
}

/* --- doing ----------------------------------------------------------------------------------- */

/* The cookie is set now that the user has agreed, and stays what it is in other tabs. */
static void on_gone_to(void *ctx, const struct connect_view *view, const char *url,
		       const struct err *err)
{
	struct visit *visit = ctx;

	(void)view;
	if (err != NULL)
		visit_fail_by(visit, err);
	else if (url != NULL)
		page_redirect(
			visit->exchange, url,
			cookie_write(visit->arena, COOKIE_CONNECT, visit->https, visit->browser),
			NULL);
	else
		page_redirect(visit->exchange, attempt_path(visit, visit->attempt_id, "/done"),
			      NULL, NULL);
	visit_end(visit);
}

static enum visit_result go(struct visit *visit)
{
	uint8_t hash[SHA256_BYTES];

	if (visit->browser[0] == '\0')
		browser_token_new(visit->browser);
	crypto_sha256(visit->browser, strlen(visit->browser), hash);
	connect_go(visit->app->connects, &visit->connecting, visit->attempt_id, visit->principal,
		   hash, on_gone_to, visit);
	return VISIT_WAIT;
}

static enum visit_result choose(struct visit *visit, enum connect_choice choice)
{
	connect_choose(visit->app->connects, &visit->connecting, visit->attempt_id,
		       visit->principal, choice, on_gone_to, visit);
	return VISIT_WAIT;
}

static enum visit_result replace(struct visit *visit)
{
	return choose(visit, CONNECT_REPLACE);
}

static enum visit_result keep(struct visit *visit)
{
	return choose(visit, CONNECT_KEEP);
}

static void on_again(void *ctx, const struct connect_link *link, const struct err *err)
{
	struct visit *visit = ctx;

	if (err != NULL)
		visit_fail_by(visit, err);
	else
		page_redirect(visit->exchange, attempt_path(visit, link->attempt_id, ""), NULL,
			      NULL);
	visit_end(visit);
}

static enum visit_result again(struct visit *visit)
{
	connect_again(visit->app->connects, &visit->connecting, visit->attempt_id, visit->principal,
		      on_again, visit);
	return VISIT_WAIT;
}

static enum visit_result act(struct visit *visit)
{
	static const struct {
		const char *name;
		visit_step *act;
	} actions[] = {
		{"go",	go	   },
		{ "replace", replace},
		{ "keep",	  keep   },
		{ "again",   again	 },
	};
	const char *action = visit_field(visit, "action");

	for (size_t i = 0; action != NULL && i < sizeof(actions) / sizeof(actions[0]); i++) {
		if (strcmp(actions[i].name, action) == 0)
			return actions[i].act(visit);
	}
	return visit_fail(visit, 400, "Nothing to do", "The form does not say what to do.",
			  "Open the link again.");
}

void connect_page_post(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard,     visit_own_form, visit_find_user,
					     visit_need_user, visit_csrf,     act };

	visit_start(exchange, steps);
}
