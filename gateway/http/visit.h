/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_VISIT_H
#define GATEWAY_HTTP_VISIT_H

/*
 * One request of a browser for a page: a list of steps, as in api.h. The steps that decide who may
 * come this far are shared; a page's list begins with them.
 */

#include <stdbool.h>

#include "base/mem.h"
#include "gateway/core/browser.h"
#include "gateway/core/connect_page.h"
#include "gateway/http/app.h"
#include "gateway/http/csrf.h"
#include "gateway/http/exchange.h"
#include "gateway/http/page.h"

#define VISIT_MAX_FORM_BYTES 8192

enum visit_result {
	VISIT_NEXT,
	VISIT_WAIT, /* something was started that runs the next step */
	VISIT_DONE, /* it is answered */
};
struct visit;
typedef enum visit_result visit_step(struct visit *visit);

struct visit {
	struct exchange *exchange;
	struct http_app *app;
	struct arena *arena; /* the visit lies in it */
	visit_step *const *step;
	bool https;			   /* as browsers see us */
	struct principal *principal;	   /* NULL: nobody is signed in */
	char session[BROWSER_TOKEN_BYTES]; /* the cookie's; "" if nobody is */
	char browser[BROWSER_TOKEN_BYTES]; /* COOKIE_CONNECT; "" if there is none */
	const char *attempt_id;		   /* of the path; NULL: the route has none */
	/* At most one of them runs. */
	struct browser_op *asking;
	struct connect_op *connecting;
};

void visit_start(struct exchange *exchange, visit_step *const *steps);
/* Runs the steps that are left; the visit may be gone when it returns. */
void visit_resume(struct visit *visit);
/* What was waited for has been answered by the callback itself. */
void visit_end(struct visit *visit);

visit_step visit_guard;	    /* Host; cookies are read */
visit_step visit_own_form;  /* a form, sent by a page of ours */
visit_step visit_find_user; /* principal, if there is a session */
visit_step visit_need_user; /* else to /signin, and back to the attempt of the path */
visit_step visit_csrf;	    /* the form's token is for the attempt of the path */

/* A field of the form, in the arena; NULL: absent, or there twice. */
const char *visit_field(struct visit *visit, const char *name);
/* The same of the query. */
const char *visit_query(struct visit *visit, const char *name);
/* "/signin?attempt=…", or without if attempt is NULL or no UUID. In the arena. */
const char *visit_signin_path(struct visit *visit, const char *attempt);

/* Sets what head and foot want: title, who is signed in, the attempt of the path. */
void visit_values(struct visit *visit, struct page_values *values, const char *title);
/* Answers with the page of an error. */
enum visit_result visit_fail(struct visit *visit, int status, const char *title,
			     const char *sentence, const char *remedy);
enum visit_result visit_fail_by(struct visit *visit, const struct err *err);

#endif
