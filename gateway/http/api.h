/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_H
#define GATEWAY_HTTP_API_H

/*
 * The admin API below /api/v1: its table of routes, and what its resources (api_*.c) share.
 *
 * Each route is a list of steps. The frame's own steps (api.c) run first: Host and Origin, the
 * key, what the route's row says who may ask, whose things it is about. So no resource checks
 * rights, and none can forget to.
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/db.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "gateway/core/principal.h"
#include "gateway/core/provision.h"
#include "gateway/http/api_body.h"
#include "gateway/http/app.h"
#include "gateway/http/exchange.h"

struct access_op;
struct api_action;
struct attempt_op;
struct acquire_op;
struct call;
struct call_reply;
struct connect_op;
struct identity_op;
struct probe;
struct tenant;
struct tenants_op;

#define API_PREFIX	       "/api/v1"
#define API_MAX_ANSWER_BYTES   ((size_t)64 * 1024 * 1024)
#define API_DEFAULT_PAGE       100
#define API_MAX_PAGE	       200
#define API_RETRY_AFTER_S      1
#define API_ETAG_BYTES	       32
#define API_MAX_CURSOR_BYTES   2048
#define API_MAX_SORT_KEY_BYTES 1024
#define API_CURSOR_VERSION     "1/" /* what a cursor begins with, before it is encoded */

/* Columns: whose things, method, path below the prefix, who may ask, steps. */
#define API_ROUTES(X)                                                                              \
	X(TENANT, "GET", "/status", ANYBODY, status_show)                                          \
	X(TENANT, "GET", "/tools", ANYBODY, tool_list)                                             \
	X(TENANT, "POST", "/tools/call", ANYBODY, tool_call)                                       \
	X(TENANT, "GET", "/connections", ANYBODY, connection_list)                                 \
	X(TENANT, "POST", "/connections", ADMIN, connection_create)                                \
	X(TENANT, "GET", "/connections/{name}", ANYBODY, connection_show)                          \
	X(TENANT, "PUT", "/connections/{name}", ADMIN, connection_replace)                         \
	X(TENANT, "PATCH", "/connections/{name}", ADMIN, connection_change)                        \
	X(TENANT, "DELETE", "/connections/{name}", ADMIN, connection_remove)                       \
	X(TENANT, "GET", "/connections/{name}/status", ANYBODY, connection_status)                 \
	X(TENANT, "POST", "/connections/{name}/refresh", ADMIN, connection_refresh)                \
	X(TENANT, "POST", "/connections/{name}/probe", ADMIN, probe_stored)                        \
	X(TENANT, "POST", "/connections/{name}/connect", ANYBODY, oauth_connect)                   \
	X(TENANT, "POST", "/connections/{name}/oauth/ingest", ANYBODY, oauth_ingest)               \
	X(TENANT, "POST", "/connections/{name}/oauth/reacquire", ANYBODY, oauth_reacquire)         \
	X(TENANT, "POST", "/connections/{name}/oauth/disconnect", ANYBODY, oauth_disconnect)       \
	X(TENANT, "GET", "/connections/{name}/oauth/events", ANYBODY, oauth_events)                \
	X(TENANT, "GET", "/connect/attempts/{id}", ANYBODY, attempt_show)                          \
	X(TENANT, "GET", "/oauth/health", ANYBODY, oauth_health)                                   \
	X(TENANT, "GET", "/accounts", ANYBODY, account_list)                                       \
	X(TENANT, "GET", "/audit/calls/{id}/payload", ADMIN, audit_payload)                        \
	X(TENANT, "POST", "/probe", ADMIN, probe_unsaved)                                          \
	X(TENANT, "POST", "/signin-codes", SELF, signin_code_create)                               \
	X(TENANT, "GET", "/keys", SELF, key_list)                                                  \
	X(TENANT, "POST", "/keys", SELF, key_create)                                               \
	X(TENANT, "DELETE", "/keys/{id}", SELF, key_remove)                                        \
	X(TENANT, "GET", "/users", ADMIN, user_list)                                               \
	X(TENANT, "POST", "/users", ADMIN, user_create)                                            \
	X(TENANT, "GET", "/users/{name}", ADMIN, user_show)                                        \
	X(TENANT, "PATCH", "/users/{name}", ADMIN, user_change)                                    \
	X(TENANT, "DELETE", "/users/{name}", ADMIN, user_remove)                                   \
	X(TENANT, "GET", "/audit/calls", SELF, audit_calls)                                        \
	X(TENANT, "GET", "/audit/calls/{id}", SELF, audit_call)                                    \
	X(TENANT, "GET", "/audit/stats", SELF, audit_stats)                                        \
	X(TENANT, "GET", "/audit/timeseries", SELF, audit_timeseries)                              \
	X(TENANT, "GET", "/audit/breakdown", SELF, audit_breakdown)                                \
	X(TENANT, "GET", "/audit/percentiles", SELF, audit_percentiles)                            \
	X(TENANT, "GET", "/audit/tail", SELF, audit_tail)                                          \
	X(TENANT, "GET", "/audit/export", SELF, audit_export)                                      \
	X(TENANT, "GET", "/audit/admin-events", ADMIN, audit_admin_events)                         \
	X(TENANT, "GET", "/audit/auth-events", ADMIN, audit_auth_events)                           \
	X(DEPLOYMENT, "GET", "/tenants", PLATFORM, tenant_list)                                    \
	X(DEPLOYMENT, "POST", "/tenants", PLATFORM, tenant_create)                                 \
	X(DEPLOYMENT, "GET", "/tenants/{tenant}", PLATFORM, tenant_show)                           \
	X(DEPLOYMENT, "PATCH", "/tenants/{tenant}", PLATFORM, tenant_change)                       \
	X(DEPLOYMENT, "DELETE", "/tenants/{tenant}", PLATFORM, tenant_remove)

enum api_scope {
	API_TENANT,	/* the caller's tenant; below /tenants/{tenant}, platform only, that one */
	API_DEPLOYMENT, /* all tenants */
};

enum api_who {
	API_ANYBODY,  /* with a valid key */
	API_SELF,     /* an administrator, or a user in what is the user's own */
	API_ADMIN,    /* of the tenant */
	API_PLATFORM, /* of the deployment */
};

struct api_request;

enum api_result {
	API_NEXT,
	API_WAIT, /* something was started that runs the next step */
	API_DONE, /* it is answered */
};
typedef enum api_result api_step(struct api_request *request);

struct api_route {
	enum api_scope scope;
	const char *method;
	const char *pattern;	   /* with the prefix */
	const char *named_pattern; /* below /tenants/{tenant}; NULL: API_DEPLOYMENT */
	enum api_who who;
	api_step *const *steps; /* ends with NULL */
};
extern const struct api_route api_routes[];
extern const size_t api_n_routes;

/* One request. The resources' steps read it and keep their own in `work`. */
struct api_request {
	unsigned magic;
	struct exchange *exchange;
	struct http_app *app;
	struct arena *arena;
	const struct api_route *route;
	api_step *const *next;
	struct principal *principal; /* who asks; in another tenant as one of its administrators */
	struct principal *caller;    /* who asks, as recognised; NULL: nobody yet */
	const struct api_action *action; /* what is recorded of it; NULL: nothing */
	char event_id[UUID_TEXT_BYTES];	 /* of an action */
	/* Columns that get another secret, for its event; ends with NULL. */
	const char *secrets[4];
	bool knows_secrets;
	/* The answer to an action, which waits until it is recorded; NULL: not yet, or sent. */
	struct exchange_answer *answer;
	const char *problem_code; /* of a refusal; NULL */
	const char *problem_detail;
	const char *tenant_id; /* whose things it is about */
	const char *tenant_name;
	/* API_SELF: only what belongs to this user; NULL: whatever the tenant has. */
	const char *only_user_id;
	/* Of the query that the step before waited for, one for each statement. */
	const struct db_result *const *results;
	size_t n_results;
	const char *conflict; /* says what a name that is taken belongs to */
	/* A query has failed: true if that is dealt with and the request goes on. NULL: it is
	 * answered as usual. */
	bool (*failed)(struct api_request *request, const struct err *err);
	struct tenant *tenant;		/* set by api_load_tenant and api_find_tenant */
	struct span text;		/* set by api_read_text */
	json_t *body;			/* set by api_read_body */
	size_t page_limit;		/* set by api_read_page */
	const char *page_after;		/* the sort key to go on after; "" at the start */
	const struct call_reply *reply; /* of a call, for the step after it */
	void *work;
	/* At most one of them runs. */
	struct identity_op *identity;
	struct db_op *query;
	struct timer timer;
	struct tenants_op *loading;
	struct call *call;
	struct probe *probe;
	struct connect_op *connecting;
	struct access_op *accessing;
	struct acquire_op *acquiring;
	struct attempt_op *recording;
	bool called;		       /* a call was made, which records itself */
	char call_id[UUID_TEXT_BYTES]; /* of the row that tells of it; "": none does */
};

/* The handler of every row. */
void api_handle(struct exchange *exchange);
/* Runs the steps that are left; the request may be gone when it returns. */
void api_resume(struct api_request *request);

/* Steps that resources share (api_read.c, api.c). */
api_step api_read_text;	  /* a body of type JSON */
api_step api_read_body;	  /* after it: a JSON object */
api_step api_read_page;	  /* limit and cursor; no other parameter */
api_step api_need_match;  /* If-Match is there */
api_step api_find_tenant; /* the snapshot that this worker has */
api_step api_load_tenant; /* a fresh one */

/* True if If-Match names this version. */
bool api_matches(const struct api_request *request, const char *etag);
enum api_result api_fail_stale(struct api_request *request);
/* The arena takes the value. */
void api_keep(struct api_request *request, json_t *value);
/* Of the last statement of the query. */
const struct db_result *api_last_result(const struct api_request *request);

/* Each waits; the next step finds the results. A failure is answered: where Postgres says that
 * something exists, with request->conflict. */
enum api_result api_query(struct api_request *request, const char *sql, const struct span *params,
			  size_t n);
enum api_result api_run(struct api_request *request, const struct provision *provision);
enum api_result api_start(struct api_request *request, struct db *db, const struct db_tx *tx);
/* The end of a request that is answered, from a callback of its own. */
void api_finish(struct api_request *request);

/* A refusal of the route that calls tools is a call that was refused: it has its row (api_tools.c).
 * Nothing for other routes, and for calls that were made. */
void api_record_refusal(struct api_request *request, int status, const char *detail);

/* Answers (api_answer.c): each returns API_DONE. */
enum api_result api_fail(struct api_request *request, enum err_code code, const char *format, ...)
	ERR_PRINTF(3, 4);
/* For a status or a code that no err has. */
enum api_result api_fail_as(struct api_request *request, int status, const char *code,
			    const char *detail);
/* 409 needs_auth: somebody has to connect an account there first. */
enum api_result api_fail_connect(struct api_request *request, const char *detail, const char *url);
enum api_result api_fail_body(struct api_request *request, const struct api_fault *fault);
/* Takes body. etag may be NULL. */
enum api_result api_answer(struct api_request *request, int status, json_t *body, const char *etag);
enum api_result api_answer_text(struct api_request *request, struct span body);
enum api_result api_answer_nothing(struct api_request *request); /* 204 */
/* One page: of the rows, of which the query was asked for one more than page_limit, in order of
 * their column `name`. */
enum api_result api_answer_rows(struct api_request *request, const struct db_result *rows,
				json_t *(*show)(const struct api_request *request,
						const struct db_result *rows, size_t row));
/* The quoted cursor that goes on after the key, as a JSON string. Appends to out. */
void api_add_cursor(struct buf *out, const char *key);
void api_etag(int64_t version, char out[API_ETAG_BYTES]);

/* page_limit + 1, and page_after, as parameters of a query; in the arena. */
struct span api_page_rows(const struct api_request *request);
struct span api_page_after(const struct api_request *request);

/* "to_char(column " API_RFC3339: a timestamptz column as text, UTC. */
#define API_RFC3339 "AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

/* The resources' lists of steps, in the order of the table. */
#define API_DECLARE(scope, method, path, who, name) extern api_step *const api_##name[];
API_ROUTES(API_DECLARE)
#undef API_DECLARE

#endif
