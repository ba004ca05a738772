/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/core/acquire.h"
#include "gateway/core/connect.h"
#include "gateway/core/event_context.h"
#include "gateway/core/identity.h"
#include "gateway/core/probe.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api_record.h"
#include "gateway/http/credential.h"
#include "gateway/http/guard.h"
#include "gateway/http/route_match.h"
#include "oauth/access.h"

#define API_MAGIC	     0x61706921u
#define FOREIGN_KEY_VIOLATED "23503"

#define ROUTE_TENANT(pattern)	  API_PREFIX pattern, API_PREFIX "/tenants/{tenant}" pattern
#define ROUTE_DEPLOYMENT(pattern) API_PREFIX pattern, NULL
#define ROUTE(scope, method, pattern, who, name)                                                   \
	{ API_##scope, method, ROUTE_##scope(pattern), API_##who, api_##name },
const struct api_route api_routes[] = { API_ROUTES(ROUTE) };
const size_t api_n_routes = sizeof(api_routes) / sizeof(api_routes[0]);

static void request_free(struct api_request *request)
{
	struct call *call = request->call;
	struct arena *arena = request->arena; /* the request itself lies in it */

	identity_cancel(&request->identity);
	db_cancel(&request->query);
	timer_stop(&request->timer);
	tenants_cancel(&request->loading);
	probe_cancel(&request->probe);
	connect_cancel(&request->connecting);
	access_cancel(&request->accessing);
	acquire_cancel(&request->acquiring);
	attempt_leave(&request->recording);
	tenant_unref(&request->tenant);
	principal_unref(&request->principal);
	principal_unref(&request->caller);
	request->magic = 0;
	arena_free(&arena);
	if (call != NULL)
		call_client_gone(call);
}

static void release(struct api_request *request)
{
	struct exchange_answer *answer = request->answer;

	request->answer = NULL;
	if (answer != NULL)
		exchange_answer(request->exchange, answer);
	request_free(request);
}

/* A refusal stays one whatever becomes of its event. */
static void on_recorded(void *ctx, const struct err *err)
{
	struct api_request *request = ctx;

	if (err != NULL) {
		log_warn(
			&(struct log_subject){ .component = "api", .tenant = request->tenant_name },
			"%s cannot be recorded: %s", api_action_name(request->action), err->text);
		if (request->answer->status < 400)
			api_fail(request, ERR_UNAVAILABLE,
				 "this was done and cannot be recorded now; look before you try "
				 "again");
	}
	release(request);
}

/* It has its answer: nothing of an action is told before it is recorded. */
static void conclude(struct api_request *request)
{
	if (request->answer == NULL || !api_record_start(request, on_recorded))
		release(request);
}

void api_finish(struct api_request *request)
{
	conclude(request);
}

/* Its client has left: nobody is to be answered. */
static void on_gone(void *ctx)
{
	request_free(ctx);
}

void api_resume(struct api_request *request)
{
	for (;;) {
		api_step *step = *request->next++;

		assert(request->magic == API_MAGIC && step != NULL);
		switch (step(request)) {
		case API_NEXT:
			break;
		case API_WAIT:
			return; /* the request may be gone */
		case API_DONE:
			conclude(request);
			return;
		}
	}
}

static enum api_result guard(struct api_request *request)
{
	const char *origin = exchange_header(request->exchange, "origin");

	if (!guard_host(request->app, exchange_header(request->exchange, "host")))
		return api_fail(request, ERR_FORBIDDEN, "this host is not served");
	if (origin != NULL && !guard_origin(request->app, origin))
		return api_fail(request, ERR_FORBIDDEN, "this origin is not served");
	return API_NEXT;
}

static void on_identity(void *ctx, struct principal *principal, const struct err *err)
{
	struct api_request *request = ctx;

	if (err == NULL) {
		request->principal = principal_ref(principal);
	} else {
		api_fail(request, err->code, "%s",
			 err->code == ERR_UNAUTHENTICATED ? err->text
							  : "API keys cannot be checked now");
		conclude(request);
		return;
	}
	api_resume(request);
}

static enum api_result authenticate(struct api_request *request)
{
	struct identity *identity = request->app->gate->identity;
	const char *credential;
	struct err err;

	if (credential_read(exchange_header(request->exchange, "authorization"),
			    exchange_header(request->exchange, "x-api-key"), &credential, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	if (credential == NULL)
		return api_fail(request, ERR_UNAUTHENTICATED,
				"send an API key as Authorization: Bearer or X-API-Key");
	switch (identity_find(identity, credential, &request->principal, &err)) {
	case IDENTITY_KNOWN:
		return API_NEXT;
	case IDENTITY_REFUSED:
		return api_fail(request, err.code, "%s", err.text);
	case IDENTITY_UNKNOWN:
		break;
	}
	identity_start(identity, &request->identity, credential, on_identity, request);
	return API_WAIT;
}

/* The tenant in the path, if it is the place of the route and not its subject. */
static const char *named_tenant(const struct api_request *request)
{
	return request->route->scope == API_TENANT ? exchange_param(request->exchange, "tenant")
						   : NULL;
}

static enum api_result authorize(struct api_request *request)
{
	struct principal *principal = request->principal;
	enum api_who who = named_tenant(request) != NULL ? API_PLATFORM : request->route->who;

	request->caller = principal_ref(principal);
	request->tenant_id = principal->tenant_id;
	request->tenant_name = principal->tenant;
	if (who == API_PLATFORM && principal->role < ROLE_PLATFORM)
		return api_fail(request, ERR_FORBIDDEN, "only a key of role platform may do this");
	if (who == API_ADMIN && principal->role < ROLE_ADMIN)
		return api_fail(request, ERR_FORBIDDEN,
				"only an administrator of the tenant may do this");
	if (who == API_SELF && principal->role < ROLE_ADMIN) {
		if (principal->user_id[0] == '\0')
			return api_fail(request, ERR_FORBIDDEN,
					"only an administrator of the tenant or a user may do "
					"this, and this key belongs to a service");
		request->only_user_id = principal->user_id;
	}
	return API_NEXT;
}

static enum api_result choose_tenant(struct api_request *request)
{
	const struct span name = span_of(named_tenant(request));

	if (name.p == NULL)
		return API_NEXT;
	return api_query(request, "SELECT id, name FROM tollgate.find_tenant($1)", &name, 1);
}

/* A platform administrator at work in another tenant: there it is nobody's user. */
static struct principal *act_in(const struct principal *principal, const char *tenant_id,
				const char *tenant)
{
	struct principal *acting = mem_new(sizeof(*acting));

	*acting = *principal;
	acting->refs = 1;
	snprintf(acting->tenant_id, sizeof(acting->tenant_id), "%s", tenant_id);
	acting->tenant = mem_strdup(tenant);
	acting->user_id[0] = '\0';
	acting->user_name = NULL;
	acting->api_key = mem_strdup(principal->api_key);
	snprintf(acting->subject, sizeof(acting->subject), "key:%s", principal->api_key_id);
	return acting;
}

static enum api_result enter_tenant(struct api_request *request)
{
	const struct db_result *found = request->results != NULL ? request->results[0] : NULL;

	request->next = request->route->steps;
	if (found == NULL)
		return API_NEXT;
	if (db_rows(found) == 0)
		return api_fail(request, ERR_NOT_FOUND, "there is no tenant named %.64s",
				named_tenant(request));
	if (strcmp(db_text(found, 0, "id"), request->principal->tenant_id) != 0) {
		struct principal *acting = act_in(request->principal, db_text(found, 0, "id"),
						  db_text(found, 0, "name"));

		principal_unref(&request->principal);
		request->principal = acting;
		request->tenant_id = acting->tenant_id;
		request->tenant_name = acting->tenant;
	}
	request->results = NULL;
	return API_NEXT;
}

/* What every request goes through before the steps of its route. */
static api_step *const frame[] = {
	guard, authenticate, authorize, choose_tenant, enter_tenant, NULL,
};

/* The row whose pattern dispatch has matched. */
static const struct api_route *find_route(const struct exchange *exchange)
{
	struct span path = span_of(exchange_path(exchange));
	const char *method = exchange_method(exchange);
	struct route_params ignored;

	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	for (size_t i = 0; i < api_n_routes; i++) {
		const struct api_route *route = &api_routes[i];

		if (strcmp(route->method, method) == 0 &&
		    (route_match(route->pattern, path, &ignored) ||
		     (route->named_pattern != NULL &&
		      route_match(route->named_pattern, path, &ignored))))
			return route;
	}
	return NULL;
}

void api_handle(struct exchange *exchange)
{
	struct arena *arena = arena_new();
	struct api_request *request = arena_alloc(arena, sizeof(*request));

	*request = (struct api_request){
		.magic = API_MAGIC,
		.exchange = exchange,
		.app = exchange_app(exchange),
		.arena = arena,
		.route = find_route(exchange),
		.next = frame,
	};
	assert(request->route != NULL);
	api_record_begin(request);
	exchange_on_gone(exchange, on_gone, request);
	api_resume(request);
}

/* What was sent to a server that stopped answering may be carried out when it goes on. */
static const char *unavailable_text(const struct api_request *request, const struct err *err)
{
	if (strcmp(err->tag, "sent") == 0 && strcmp(request->route->method, "GET") != 0)
		return "the database does not answer: this may be done later or not at all; look "
		       "before you try again";
	return "the database cannot be used now";
}

static void fail_query(struct api_request *request, const struct err *err)
{
	const struct log_subject subject = { .component = "api", .tenant = request->tenant_name };

	if (err->code == ERR_CONFLICT) {
		api_fail(request, ERR_CONFLICT, "%s",
			 request->conflict != NULL ? request->conflict : "it exists already");
	} else if (strcmp(err->tag, FOREIGN_KEY_VIOLATED) == 0) {
		api_fail(request, ERR_CONFLICT, "what this belongs to has just been deleted");
	} else if (err->code == ERR_NOT_FOUND) {
		api_fail(request, ERR_NOT_FOUND, "the tenant has just been deleted");
	} else if (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT) {
		log_warn(&subject, "a request of the admin API fails: %s", err->text);
		api_fail(request, ERR_UNAVAILABLE, "%s", unavailable_text(request, err));
	} else {
		log_error(&subject, "a request of the admin API fails: %s", err->text);
		api_fail(request, ERR_INTERNAL, "this failed; the log of the gateway says why");
	}
	conclude(request);
}

static void on_results(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct api_request *request = ctx;

	assert(request->magic == API_MAGIC);
	if (err != NULL) {
		if (request->failed == NULL || !request->failed(request, err))
			fail_query(request, err);
		return;
	}
	request->results = results;
	request->n_results = n;
	api_resume(request);
}

static enum api_result run(struct api_request *request, const char *tenant_id,
			   const struct db_statement *statements, size_t n)
{
	const char *context = api_record_context(request);
	const struct db_setting settings[] = {
		{"app.tenant",		tenant_id},
		{ EVENT_CONTEXT_SETTING, context	 },
	};
	const struct db_tx tx = {
		.settings = settings,
		.n_settings = context != NULL ? 2 : 1,
		.statements = statements,
		.n_statements = n,
	};

	return api_start(request, request->app->db, &tx);
}

enum api_result api_start(struct api_request *request, struct db *db, const struct db_tx *tx)
{
	request->results = NULL;
	db_start(db, &request->query, tx, on_results, request);
	return API_WAIT;
}

enum api_result api_query(struct api_request *request, const char *sql, const struct span *params,
			  size_t n)
{
	const struct db_statement statement = { .sql = sql, .params = params, .n_params = n };

	return run(request, request->tenant_id, &statement, 1);
}

enum api_result api_run(struct api_request *request, const struct provision *provision)
{
	return run(request, provision->tenant.value, provision->statements, provision->n);
}

static void on_tenant(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct api_request *request = ctx;

	if (err != NULL) {
		fail_query(request, err);
		return;
	}
	request->tenant = tenant_ref(tenant);
	api_resume(request);
}

enum api_result api_load_tenant(struct api_request *request)
{
	request->results = NULL;
	tenants_start(request->app->gate->tenants, &request->loading, request->tenant_id, on_tenant,
		      request);
	return API_WAIT;
}

enum api_result api_find_tenant(struct api_request *request)
{
	request->tenant = tenants_find(request->app->gate->tenants, request->tenant_id);
	return request->tenant != NULL ? API_NEXT : api_load_tenant(request);
}
