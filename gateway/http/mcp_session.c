/* SPDX-License-Identifier: Apache-2.0 */

/* DELETE on an MCP path: a legacy client ends its session. */

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/core/principal.h"
#include "gateway/core/session.h"
#include "gateway/http/app.h"
#include "gateway/http/mcp_answer.h"
#include "gateway/http/mcp_caller.h"
#include "gateway/http/mcp_http.h"

/* One DELETE that waits for the database. At most one of the two operations runs. */
struct ending {
	struct mcp_caller caller;
	struct session_op *session;
};

static void ending_free(void *ctx)
{
	struct ending *ending = ctx;

	mcp_caller_fini(&ending->caller);
	session_cancel(&ending->session);
	free(ending);
}

static void on_ended(void *ctx, struct session *session, const struct err *err)
{
	struct ending *ending = ctx;
	struct exchange *exchange = ending->caller.exchange;

	(void)session;
	if (err == NULL) {
		mcp_answer(exchange, mcp_origin(exchange), NULL,
			   &(struct call_reply){ .http_status = 204 });
		ending_free(ending);
	} else if (err->code == ERR_NOT_FOUND) {
		mcp_caller_no_session(&ending->caller);
	} else {
		mcp_caller_unavailable(&ending->caller, err);
	}
}

static void on_known(void *ctx)
{
	struct ending *ending = ctx;
	struct mcp_caller *caller = &ending->caller;
	const char *tenant = exchange_param(caller->exchange, "tenant");
	const char *endpoint = exchange_param(caller->exchange, "connection");
	struct session_key key = {
		.principal = caller->principal,
		.endpoint = endpoint == NULL ? "" : endpoint,
		.id = mcp_caller_session_id(caller),
	};

	if (key.id == NULL)
		return;
	if (tenant != NULL && strcmp(tenant, caller->principal->tenant) != 0)
		mcp_caller_no_session(caller);
	else
		session_end_start(caller->gate->sessions, &ending->session, &key, on_ended, ending);
}

void mcp_delete(struct exchange *exchange)
{
	struct http_app *app = exchange_app(exchange);
	struct ending *ending;

	if (!mcp_caller_guard(exchange))
		return;
	ending = mem_new(sizeof(*ending));
	ending->caller = (struct mcp_caller){
		.exchange = exchange,
		.gate = app->gate,
		.what = "sessions cannot be ended",
		.known = on_known,
		.refused = ending_free,
		.ctx = ending,
	};
	exchange_on_gone(exchange, ending_free, ending);
	mcp_caller_start(&ending->caller);
}
