/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/acquire.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/http_client.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/client_issuer.h"
#include "oauth/access.h"
#include "oauth/discovery.h"
#include "oauth/token.h"

#define MAX_PARAMS 4
/* Whoever wants a token says so to this, and it leaves no session behind. */
#define PROBE_BODY    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{}}"
#define MS_PER_SECOND 1000
#define US_PER_SECOND 1000000

enum acquire_state {
	ACQUIRE_DISCOVERING,
	ACQUIRE_BINDING, /* whether the client is for that server */
	ACQUIRE_ASKING,	 /* the token endpoint */
	ACQUIRE_STORING,
	ACQUIRE_PAUSING, /* it has failed: the timer, until it may be tried again */
};

/* Of one connection. */
struct acquisition {
	struct acquires *acquires;
	struct grant_key key;
	enum acquire_state state;
	int64_t settings_version;
	struct tenant *tenant;
	const struct connection *connection;
	char *actor;
	struct arena *arena;
	struct discovery *discovery;
	struct client_issuer_op *binding;
	struct token_request *request;
	struct access_op *storing;
	struct oauth_server server;
	struct acquire_op *waiting;
	struct err problem; /* PAUSING */
	struct timer timer;
	UT_hash_handle hh;
};

struct acquire_op {
	struct acquire_op **slot;
	struct acquire_op *prev, *next;
	struct acquisition *acquisition; /* NULL: it has ended, and this is told from the loop */
	bool failed;
	struct err problem;
	struct deferred deferred;
	acquire_done *done;
	void *ctx;
};

struct acquires {
	struct acquires_params params;
	struct http_client *client;
	struct acquisition *all;
};

struct acquires *acquires_new(const struct acquires_params *params)
{
	struct acquires *acquires = mem_new(sizeof(*acquires));

	acquires->params = *params;
	acquires->client = http_client_new(params->loop);
	return acquires;
}

/* --- its life -------------------------------------------------------------------------------- */

/* Everything but who waits. */
static void stop(struct acquisition *acquisition)
{
	timer_stop(&acquisition->timer);
	discovery_cancel(&acquisition->discovery);
	client_issuer_cancel(&acquisition->binding);
	token_request_cancel(&acquisition->request);
	access_cancel(&acquisition->storing);
	tenant_unref(&acquisition->tenant);
	acquisition->connection = NULL;
	free(acquisition->actor);
	acquisition->actor = NULL;
	if (acquisition->arena != NULL)
		arena_free(&acquisition->arena);
}

static void acquisition_free(struct acquisition *acquisition)
{
	assert(acquisition->waiting == NULL);
	stop(acquisition);
	HASH_DEL(acquisition->acquires->all, acquisition);
	free(acquisition);
}

void acquires_free(struct acquires **acquires)
{
	struct acquires *was = *acquires;
	struct acquisition *acquisition;
	struct acquisition *next;

	*acquires = NULL;
	if (was == NULL)
		return;
	HASH_ITER(hh, was->all, acquisition, next)
	{
		acquisition_free(acquisition);
	}
	http_client_free(&was->client);
	free(was);
}

static void on_told(void *ctx)
{
	struct acquire_op *op = ctx;
	struct acquire_op was = *op;

	*op->slot = NULL;
	free(op);
	was.done(was.ctx, was.failed ? &was.problem : NULL);
}

/* Each from the loop, for any of them may begin the next. */
static void tell(struct acquires *acquires, struct acquire_op *op, const struct err *err)
{
	op->acquisition = NULL;
	op->failed = err != NULL;
	if (err != NULL)
		op->problem = *err;
	loop_defer(acquires->params.loop, &op->deferred, on_told, op);
}

static void tell_all(struct acquisition *acquisition, const struct err *err)
{
	struct acquire_op *op;

	while ((op = acquisition->waiting) != NULL) {
		DL_DELETE(acquisition->waiting, op);
		tell(acquisition->acquires, op, err);
	}
}

static void on_pause_over(void *ctx)
{
	acquisition_free(ctx);
}

/* From the loop, inside a callback of what it has waited for. */
static void fail(struct acquisition *acquisition, const struct err *err, int64_t pause_ms)
{
	const struct log_subject subject = { .component = "acquire",
					     .tenant = acquisition->tenant->name,
					     .connection = acquisition->connection->name };

	log_info(&subject, "no token is given for it: %s", err->text);
	acquisition->problem = *err;
	stop(acquisition);
	acquisition->state = ACQUIRE_PAUSING;
	timer_start(acquisition->acquires->params.loop, &acquisition->timer, pause_ms,
		    on_pause_over, acquisition);
	tell_all(acquisition, &acquisition->problem);
}

/* --- the steps ------------------------------------------------------------------------------- */

static void on_stored(void *ctx, const struct err *err)
{
	struct acquisition *acquisition = ctx;
	struct err problem;

	if (err != NULL) {
		err_set(&problem, ERR_UNAVAILABLE, "its token cannot be stored now: %s", err->text);
		fail(acquisition, &problem, ACQUIRE_PAUSE_MS);
		return;
	}
	tell_all(acquisition, NULL);
	acquisition_free(acquisition);
}

/* "user:ana" is ana; the system is nobody. */
static const char *who_of(const char *actor)
{
	const char *colon = strchr(actor, ':');

	return colon == NULL || strncmp(actor, "system:", strlen("system:")) == 0 ? NULL
										  : colon + 1;
}

/* A token of the old client must not be sent to where new settings point. */
static bool is_superseded(const struct acquisition *acquisition)
{
	const struct acquires_params *params = &acquisition->acquires->params;
	struct tenant *tenant = params->want(params->ctx, acquisition->key.tenant_id);
	bool is_there = tenant == NULL; /* who knows */

	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		const struct connection *now = &tenant->connections[i];

		if (strcmp(now->id, acquisition->key.connection_id) == 0)
			is_there = now->settings_version == acquisition->settings_version ||
				   (now->trial != NULL &&
				    now->trial->settings_version == acquisition->settings_version);
	}
	tenant_unref(&tenant);
	return !is_there;
}

static void store(struct acquisition *acquisition, const struct token_reply *reply)
{
	const struct connection_oauth *oauth = acquisition->connection->oauth;
	const struct oauth_server *server = &acquisition->server;
	int64_t now_s = loop_unix_us() / US_PER_SECOND;
	struct grant grant = {
		.key = acquisition->key,
		.state = GRANT_ACTIVE,
		.kind = GRANT_CLIENT_CREDENTIALS,
		.issuer = server->issuer,
		.token_url = server->token_url,
		.revocation_url = server->revocation_url,
		.client_id = oauth->client_id,
		.client_auth = client_auth_name(oauth->client_auth),
		.client_secret = oauth->client_secret,
		.resource = oauth->resource ? server->resource : NULL,
		.audience = oauth->audience,
		.scope = reply->scope != NULL ? reply->scope : server->scope,
		/* RFC 6749 4.4.3: a refresh token is not for this grant. */
		.access_token = reply->access_token,
		.authenticated_by = who_of(acquisition->actor),
		.authenticated_at = now_s,
	};

	if (reply->expires_in_s > 0)
		grant.expires_at = now_s + reply->expires_in_s;
	acquisition->state = ACQUIRE_STORING;
	access_put(acquisition->acquires->params.access, &acquisition->storing,
		   &(struct access_put){ .grant = &grant,
					 .event = "acquired",
					 .actor = acquisition->actor,
					 .settings_version = acquisition->settings_version },
		   on_stored, acquisition);
}

static void on_reply(void *ctx, const struct token_reply *reply, const struct token_error *error)
{
	struct acquisition *acquisition = ctx;
	int64_t pause_ms = ACQUIRE_PAUSE_MS;
	struct err err;

	if (error == NULL && is_superseded(acquisition)) {
		err_set(&err, ERR_UNAVAILABLE, "its settings have changed meanwhile");
		fail(acquisition, &err, 0);
		return;
	}
	if (error == NULL) {
		store(acquisition, reply);
		return;
	}
	if (error->retry_after_s * MS_PER_SECOND > pause_ms)
		pause_ms = error->retry_after_s * MS_PER_SECOND;
	if (pause_ms > ACQUIRE_MAX_PAUSE_MS)
		pause_ms = ACQUIRE_MAX_PAUSE_MS;
	err_set(&err, error->kind == TOKEN_TRANSIENT ? ERR_UNAVAILABLE : ERR_UNAUTHENTICATED, "%s",
		error->text);
	fail(acquisition, &err, pause_ms);
}

static void ask(struct acquisition *acquisition)
{
	const struct connection_oauth *oauth = acquisition->connection->oauth;
	const struct oauth_server *server = &acquisition->server;
	struct oauth_param params[MAX_PARAMS] = {
		{"grant_type", "client_credentials"}
	};
	size_t n = 1;

	if (server->scope != NULL)
		params[n++] = (struct oauth_param){ "scope", server->scope };
	if (oauth->audience != NULL)
		params[n++] = (struct oauth_param){ "audience", oauth->audience };
	if (oauth->resource)
		params[n++] = (struct oauth_param){ "resource", server->resource };
	acquisition->state = ACQUIRE_ASKING;
	token_request_start(acquisition->acquires->params.loop, &acquisition->request,
			    &(struct token_request_params){
				    .client = acquisition->acquires->client,
				    .egress = acquisition->tenant->egress,
				    .token_url = server->token_url,
				    .oauth_client = {.id = oauth->client_id,
						      .auth = oauth->client_auth,
						      .secret = oauth->client_secret.reveal != NULL
									? &oauth->client_secret
									: NULL,
						      .issuer = server->issuer},
				    .params = params,
				    .n_params = n,
	    },
			    on_reply, acquisition);
}

static void on_bound(void *ctx, const struct err *err)
{
	struct acquisition *acquisition = ctx;

	if (err != NULL)
		fail(acquisition, err, ACQUIRE_PAUSE_MS);
	else
		ask(acquisition);
}

static void bind_client(struct acquisition *acquisition)
{
	const struct client_issuer_request request = {
		.tenant_id = acquisition->tenant->id,
		.connection_id = acquisition->connection->id,
		.issuer = acquisition->server.issuer,
	};

	if (!client_issuer_is_open(acquisition->connection->oauth)) {
		ask(acquisition);
		return;
	}
	acquisition->state = ACQUIRE_BINDING;
	client_issuer_bind(acquisition->acquires->params.db, &acquisition->binding, &request,
			   on_bound, acquisition);
}

static void on_discovered(void *ctx, const struct oauth_server *server, const struct err *err)
{
	struct acquisition *acquisition = ctx;
	const char *scope = acquisition->connection->oauth->scope;
	struct err problem;

	if (err != NULL) {
		bool ours = err->code == ERR_BAD_REQUEST || err->code == ERR_FORBIDDEN;

		err_set(&problem, ours ? ERR_UNAUTHENTICATED : ERR_UNAVAILABLE,
			"its authorization server is not found: %s", err->text);
		fail(acquisition, &problem, ACQUIRE_PAUSE_MS);
		return;
	}
	acquisition->server = *server; /* its texts lie in the arena */
	if (scope != NULL)
		acquisition->server.scope = scope;
	bind_client(acquisition);
}

static void discover(struct acquisition *acquisition)
{
	static const struct http_header types = { "accept", "application/json, text/event-stream" };
	const struct connection *connection = acquisition->connection;
	struct http_header headers[1 + CONNECTION_MAX_HEADERS] = { types };

	assert(connection->n_headers <= CONNECTION_MAX_HEADERS);
	for (size_t i = 0; i < connection->n_headers; i++)
		headers[1 + i] = connection->headers[i];
	acquisition->state = ACQUIRE_DISCOVERING;
	discovery_start(acquisition->acquires->params.loop, &acquisition->discovery,
			acquisition->arena,
			&(struct discovery_params){
				.client = acquisition->acquires->client,
				.egress = acquisition->tenant->egress,
				.resource_url = connection->url,
				.probe_body = SPAN(PROBE_BODY),
				.probe_headers = headers,
				.n_probe_headers = 1 + connection->n_headers,
				.issuer = connection->oauth->issuer,
				.allow_http = acquisition->acquires->params.allow_http,
				.grant = OAUTH_GRANT_CLIENT_CREDENTIALS,
			},
			on_discovered, acquisition);
}

/* Endpoints that were typed in are used as they are. */
static void begin(struct acquisition *acquisition)
{
	const struct connection *connection = acquisition->connection;
	const struct connection_oauth *oauth = connection->oauth;

	if (oauth->token_url == NULL) {
		discover(acquisition);
		return;
	}
	acquisition->server = (struct oauth_server){
		.issuer = oauth->issuer,
		.token_url = oauth->token_url,
		.revocation_url = oauth->revocation_url,
		/* RFC 8707 2: without a fragment. */
		.resource = arena_printf(acquisition->arena, "%.*s",
					 (int)strcspn(connection->url, "#"), connection->url),
		.scope = oauth->scope,
	};
	ask(acquisition);
}

/* --- who asks -------------------------------------------------------------------------------- */

static struct acquisition *find(const struct acquires *acquires, const struct grant_key *key)
{
	struct acquisition *acquisition;

	HASH_FIND(hh, acquires->all, key, sizeof(*key), acquisition);
	return acquisition;
}

/* With other settings it may go another way. */
static bool is_over(const struct acquisition *acquisition, const struct acquire_request *request)
{
	return acquisition->state == ACQUIRE_PAUSING &&
	       (request->now ||
		acquisition->settings_version != request->connection->settings_version);
}

static struct acquisition *acquisition_new(struct acquires *acquires, const struct grant_key *key,
					   const struct acquire_request *request)
{
	struct acquisition *acquisition = mem_new(sizeof(*acquisition));

	*acquisition = (struct acquisition){
		.acquires = acquires,
		.key = *key,
		.settings_version = request->connection->settings_version,
		.tenant = tenant_ref(request->tenant),
		.connection = request->connection,
		.actor = mem_strdup(request->actor),
		.arena = arena_new(),
	};
	HASH_ADD(hh, acquires->all, key, sizeof(acquisition->key), acquisition);
	begin(acquisition);
	return acquisition;
}

void acquire_start(struct acquires *acquires, struct acquire_op **slot,
		   const struct acquire_request *request, acquire_done *done, void *ctx)
{
	const struct grant_key key =
		grant_key_of(request->tenant->id, request->connection->id, NULL);
	struct acquisition *acquisition = find(acquires, &key);
	struct acquire_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL && request->connection->oauth != NULL);
	*op = (struct acquire_op){ .slot = slot, .done = done, .ctx = ctx };
	*slot = op;
	if (acquisition != NULL && is_over(acquisition, request)) {
		acquisition_free(acquisition);
		acquisition = NULL;
	}
	if (acquisition == NULL)
		acquisition = acquisition_new(acquires, &key, request);
	if (acquisition->state == ACQUIRE_PAUSING) {
		tell(acquires, op, &acquisition->problem);
		return;
	}
	op->acquisition = acquisition;
	DL_APPEND(acquisition->waiting, op);
}

void acquire_cancel(struct acquire_op **slot)
{
	struct acquire_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	if (op->acquisition != NULL)
		DL_DELETE(op->acquisition->waiting, op);
	deferred_cancel(&op->deferred);
	free(op);
}
