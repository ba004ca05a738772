/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_WORLD_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_WORLD_H

/* What the tests of call*.c and methods.c share: a client, a tenant, and what calls need beside
 * them. */

#include "tests/unit/gateway/core/call_fakes.h"

/* --- the client ------------------------------------------------------------------------------ */

static inline void on_client_message(void *ctx, struct span text)
{
	struct world *world = ctx;

	note(world, "message %.*s", (int)text.n, text.p);
	if (world->on_message != NULL)
		world->on_message(world);
}

/* Every answer tells the id of its call: it is kept apart, and the rest compared. */
static inline void take_call_id(struct world *world)
{
	static const struct {
		const char *before;
		const char *after;
	} forms[] = {
		{",\"data\":{\"call_id\":\"",	       "\"}" },
		{ "\"data\":{\"call_id\":\"",	      "\"},"},
		{ "\"call_id\":\"",			    "\"," },
		{ "\"_meta\":{\"io.tollgate/call_id\":\"", "\"},"},
		{ "\"io.tollgate/call_id\":\"",		"\"," },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !world->told_id; i++) {
		char text[128];
		char *at;

		snprintf(text, sizeof(text), "%s%s%s", forms[i].before, world->call_id,
			 forms[i].after);
		at = strstr(world->body, text);
		world->told_id = at != NULL;
		if (at != NULL)
			memmove(at, at + strlen(text), strlen(at + strlen(text)) + 1);
	}
}

static inline void on_client_finish(void *ctx, const struct call_reply *reply)
{
	struct world *world = ctx;

	world->finishes++;
	world->call = NULL;
	world->status = reply->http_status;
	snprintf(world->body, sizeof(world->body), "%.*s", (int)reply->body.n,
		 reply->body.p != NULL ? reply->body.p : "");
	assert_int_equal(strlen(reply->call_id), UUID_TEXT_BYTES - 1);
	snprintf(world->call_id, sizeof(world->call_id), "%s", reply->call_id);
	world->told_id = false;
	snprintf(world->whole, sizeof(world->whole), "%s", world->body);
	take_call_id(world);
	snprintf(world->session_id, sizeof(world->session_id), "%s",
		 reply->session_id != NULL ? reply->session_id : "");
	snprintf(world->authenticate, sizeof(world->authenticate), "%s",
		 reply->authenticate != NULL ? reply->authenticate : "");
	snprintf(world->connect_url, sizeof(world->connect_url), "%s",
		 reply->connect_url != NULL ? reply->connect_url : "");
	world->retry_after_s = reply->retry_after_s;
	note(world, "reply %d", reply->http_status);
	if (world->on_finish != NULL)
		world->on_finish(world);
}

/* A request as the transport hands it over; what is left out is as in a plain legacy call. */
struct asks {
	bool modern;
	const char *id; /* JSON; NULL: a notification */
	const char *method;
	const char *params; /* JSON, or NULL */
	const char *progress;
	const char *log_level;	  /* modern */
	const char *capabilities; /* modern; JSON */
	const char *tenant, *endpoint;
	bool anonymous;
	bool no_session;
	const struct call_refusal *refusal;
};

static inline void run_call(struct world *world, const struct asks *asks)
{
	const struct call_sink sink = { on_client_message, on_client_finish, world };
	const struct call_params params = {
		.tenant = asks->tenant,
		.endpoint = asks->endpoint,
		.credential = asks->anonymous ? NULL : KEY,
		.session_id = asks->modern || asks->no_session ? NULL : "s1",
		.source_ip = "192.0.2.1",
		.user_agent = "agent/1",
		.body = SPAN("0123456789"),
		.request = {.era = asks->modern ? MCP_MODERN : MCP_LEGACY,
			     .id = span_of(asks->id),
			     .method = asks->method,
			     .params = span_of(asks->params),
			     .version = asks->modern ? "2026-07-28" : NULL,
			     .progress_token = span_of(asks->progress),
			     .log_level = asks->log_level,
			     .capabilities = span_of(asks->capabilities)},
		.refusal = asks->refusal,
	};

	world->finishes = 0;
	world->call = call_new(&world->gate, arena_new(), &params, &sink);
	call_run(world->call);
}

/* The record that comes next is on disk, and the call has ended with it. */
static inline void expect_end(struct world *world, int status)
{
	assert_int_equal(world->finishes, 0);
	durable(world);
	assert_int_equal(world->finishes, 1);
	assert_int_equal(world->status, status);
	assert_int_equal(call_count(&world->gate), 0);
	buf_clear(&world->journal);
}

/* --- the world ------------------------------------------------------------------------------- */

static inline struct tenant *make_tenant(void)
{
	static const char *all[] = { "*" };
	static const char *deny[] = { "secret*" };
	static struct tool tools[] = {
		{.name = "get",	 .exposed = "crm__get", .text = { "{\"name\":\"get\"}", 14 }},
		{ .name = "secret_x",
		  .exposed = "crm__secret_x",
		  .text = { "{\"name\":\"secret_x\"}", 19 }					    },
	};
	struct arena *arena = arena_new();
	struct tenant *tenant = arena_alloc(arena, sizeof(*tenant));
	struct connection *crm;

	*tenant = (struct tenant){ .refs = 1,
				   .arena = arena,
				   .id = "t-1",
				   .name = "acme",
				   .enabled = true,
				   .n_connections = 3,
				   .n_exposed = 2 };
	tenant->connections = arena_alloc(arena, 3 * sizeof(struct connection));
	for (size_t i = 0; i < 3; i++)
		tenant->connections[i] = (struct connection){ .enabled = true,
							      .tools_allow = all,
							      .n_tools_allow = 1,
							      .tools_deny = deny,
							      .n_tools_deny = 1,
							      .call_timeout_ms = 5000 };
	crm = &tenant->connections[0];
	crm->id = "c-1";
	crm->name = "crm";
	crm->listed = true;
	crm->tools = tools;
	crm->n_tools = 2;
	crm->instructions = "Ask nicely.";
	tenant->connections[1].id = "c-2";
	tenant->connections[1].name = "new";
	tenant->connections[2].id = "c-3";
	tenant->connections[2].name = "off";
	tenant->connections[2].enabled = false;
	tenant->exposed = arena_alloc(arena, 2 * sizeof(struct tool_ref));
	for (size_t i = 0; i < 2; i++)
		tenant->exposed[i] = (struct tool_ref){ tools[i].exposed, crm, &tools[i] };
	return tenant;
}

static inline int start_world(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	*state = world;
	world->loop = loop_new();
	world->identity.world = world;
	world->tenants.world = world;
	world->sessions.world = world;
	world->upstreams.world = world;
	world->healths.world = world;
	world->credentials.world = world;
	world->connects.world = world;
	world->verdict = BREAKER_PASS;
	world->book.world = world;
	world->gate = (struct gate){
		.loop = world->loop,
		.book = &world->book,
		.identity = &world->identity,
		.tenants = &world->tenants,
		.sessions = &world->sessions,
		.subscriptions = &world->subscriptions,
		.upstreams = &world->upstreams,
		.cancels = &world->cancels,
		.healths = &world->healths,
		.credentials = &world->credentials,
		.connects = &world->connects,
		.deployment = "test",
		.server_version = "1.2.3",
	};
	world->cancels.world = world;
	world->subscriptions.world = world;
	buf_init(&world->journal, JOURNAL_BYTES);
	world->principal = mem_new(sizeof(*world->principal));
	*world->principal = (struct principal){
		.refs = 1, .tenant_id = "t-1", .user_id = "u-1", .subject = "user:u-1"
	};
	world->principal->tenant = mem_strdup("acme");
	world->principal->user_name = mem_strdup("ana");
	world->principal->api_key = mem_strdup("laptop");
	snprintf(world->principal->api_key_public, sizeof(world->principal->api_key_public),
		 "AAAAAAAAAAAA");
	world->tenant = make_tenant();
	world->tenant_in_memory = true;
	world->session = mem_new(sizeof(*world->session));
	*world->session = (struct session){ .refs = 1,
					    .id_hash = "0123456789abcdef0123",
					    .id_digest = "0123456789abcdef",
					    .protocol_version = "2025-11-25",
					    .client = mem_strdup("editor/1"),
					    .log_level = -1 };
	world->session_in_memory = true;
	return 0;
}

/* Nothing runs, and nobody holds what the call had. */
static inline int end_world(void **state)
{
	struct world *world = *state;

	assert_int_equal(call_count(&world->gate), 0);
	assert_null(world->record);
	assert_int_equal(world->principal->refs, 1);
	assert_int_equal(world->tenant->refs, 1);
	assert_int_equal(world->session->refs, 1);
	principal_unref(&world->principal);
	tenant_unref(&world->tenant);
	free(world->session->client);
	free(world->session);
	buf_fini(&world->journal);
	loop_free(&world->loop);
	free(world);
	return 0;
}

#define CALL_TEST(name) cmocka_unit_test_setup_teardown(name, start_world, end_world)

/* A tools/call of crm__get that has been sent. */
static inline void send_call(struct world *world, const struct asks *asks)
{
	run_call(world, asks);
	durable(world);
	assert_non_null(world->upstream_op.pending.slot);
	buf_clear(&world->journal);
}

static inline struct asks legacy_call(void)
{
	return (struct asks){ .id = "7",
			      .method = "tools/call",
			      .params = "{\"name\":\"crm__get\",\"arguments\":{\"a\":1e400}}" };
}

static inline struct asks modern_call(void)
{
	struct asks asks = legacy_call();

	asks.modern = true;
	asks.id = MODERN_ID;
	return asks;
}

#endif
