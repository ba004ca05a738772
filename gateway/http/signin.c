/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/signin.h"

#include <string.h>

#include "base/log.h"
#include "gateway/http/cookie.h"
#include "gateway/http/visit.h"

/* Of a code in a link or a form: ours are shorter, and nothing longer is worth a query. */
#define MAX_CODE_BYTES 128

static const struct log_subject subject = { .component = "signin" };

/* --- the pages ------------------------------------------------------------------------------- */

struct form {
	int status;
	const char *alert; /* NULL: none */
	const char *code;  /* NULL: an API key is asked for */
	const char *code_user;
	const char *code_tenant;
};

static const char *attempt_of(const char *given)
{
	return given != NULL && uuid_valid(given) ? given : NULL;
}

static void send_form(struct visit *visit, const struct form *form)
{
	struct page_values values = { .n = 0 };

	page_set(&values, "title", "Sign in");
	page_set(&values, "attempt", visit->attempt_id);
	page_set(&values, "alert", form->alert);
	page_set(&values, "code", form->code);
	page_set(&values, "code_user", form->code_user);
	page_set(&values, "code_tenant", form->code_tenant);
	page_send(visit->exchange, &(struct page_answer){
					   .status = form->status,
					   .name = "signin",
					   .values = &values,
					   .forms = PAGE_FORMS,
				   });
}

static void send_signed_in(struct visit *visit)
{
	struct page_values values = { .n = 0 };

	visit_values(visit, &values, "Signed in");
	page_send(visit->exchange, &(struct page_answer){
					   .status = 200,
					   .name = "signedin",
					   .values = &values,
					   .forms = PAGE_FORMS,
				   });
}

static const char *sentence(struct visit *visit, const struct err *err)
{
	return arena_printf(visit->arena, "That did not sign you in: %s.", err->text);
}

static void on_code(void *ctx, const char *tenant, const char *user, const struct err *err)
{
	struct visit *visit = ctx;
	struct form form = { .status = 200, .code_user = user, .code_tenant = tenant };

	if (err != NULL) {
		form.status = err_http_status(err->code);
		form.alert = sentence(visit, err);
	} else {
		form.code = visit_query(visit, "code");
	}
	send_form(visit, &form);
	visit_end(visit);
}

static enum visit_result show(struct visit *visit)
{
	const char *code = visit_query(visit, "code");

	visit->attempt_id = attempt_of(visit_query(visit, "attempt"));
	if (code != NULL && strlen(code) <= MAX_CODE_BYTES) {
		browser_find_code(visit->app->browsers, &visit->asking, code, on_code, visit);
		return VISIT_WAIT;
	}
	if (visit->principal != NULL)
		send_signed_in(visit);
	else
		send_form(visit, &(struct form){ .status = 200 });
	return VISIT_DONE;
}

void signin_page(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_find_user, show };

	visit_start(exchange, steps);
}

/* --- signing in ------------------------------------------------------------------------------ */

static void on_signed_in(void *ctx, const char *token, const struct err *err)
{
	struct visit *visit = ctx;
	const char *location = visit->attempt_id != NULL ? arena_printf(visit->arena, "/connect/%s",
									visit->attempt_id)
							 : "/signin";

	if (err == NULL) {
		log_info(&subject, "a user has signed in from %s",
			 exchange_source_ip(visit->exchange));
		page_redirect(visit->exchange, location,
			      cookie_write(visit->arena, COOKIE_SESSION, visit->https, token),
			      NULL);
	} else {
		log_info(&subject, "a sign-in from %s is refused: %s",
			 exchange_source_ip(visit->exchange), err->text);
		send_form(visit, &(struct form){ .status = err_http_status(err->code),
						 .alert = sentence(visit, err) });
	}
	visit_end(visit);
}

static struct browser_visitor visitor_of(struct visit *visit)
{
	return (struct browser_visitor){
		.source_ip = exchange_source_ip(visit->exchange),
		.client = exchange_header(visit->exchange, "user-agent"),
		.former = visit->session,
	};
}

static enum visit_result sign_in(struct visit *visit)
{
	const struct browser_visitor visitor = visitor_of(visit);
	struct browsers *browsers = visit->app->browsers;
	const char *code = visit_field(visit, "code");
	const char *key = visit_field(visit, "key");

	visit->attempt_id = attempt_of(visit_field(visit, "attempt"));
	if (code != NULL && key == NULL && strlen(code) <= MAX_CODE_BYTES)
		browser_sign_in_by_code(browsers, &visit->asking, code, &visitor, on_signed_in,
					visit);
	else if (key != NULL && code == NULL)
		browser_sign_in_by_key(browsers, &visit->asking, key, &visitor, on_signed_in,
				       visit);
	else
		return visit_fail(visit, 400, "Nothing to sign in with",
				  "A one-time code or an API key is needed.",
				  "Go back and try again.");
	return VISIT_WAIT;
}

void signin_post(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_own_form, sign_in };

	visit_start(exchange, steps);
}

/* --- signing out ----------------------------------------------------------------------------- */

static void on_signed_out(void *ctx, const struct err *err)
{
	struct visit *visit = ctx;

	/* A session that lives on is no sign-out, whatever the browser forgets. */
	if (err != NULL)
		visit_fail_by(visit, err);
	else
		page_redirect(visit->exchange, visit_signin_path(visit, visit->attempt_id),
			      cookie_write(visit->arena, COOKIE_SESSION, visit->https, NULL),
			      cookie_write(visit->arena, COOKIE_CONNECT, visit->https, NULL));
	visit_end(visit);
}

static enum visit_result sign_out(struct visit *visit)
{
	const struct browser_visitor visitor = visitor_of(visit);

	visit->attempt_id = attempt_of(visit_field(visit, "attempt"));
	if (visit->session[0] == '\0' ||
	    !csrf_check(visit->session, "signout", visit_field(visit, "csrf"))) {
		page_redirect(visit->exchange, visit_signin_path(visit, visit->attempt_id), NULL,
			      NULL);
		return VISIT_DONE;
	}
	browser_sign_out(visit->app->browsers, &visit->asking, &visitor, on_signed_out, visit);
	return VISIT_WAIT;
}

void signout_post(struct exchange *exchange)
{
	static visit_step *const steps[] = { visit_guard, visit_own_form, sign_out };

	visit_start(exchange, steps);
}
