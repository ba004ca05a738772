/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "tests/fakes/mcp_peer.h"

#define JSON	     "application/json"
#define SSE	     "text/event-stream"
#define RESULT(text) "{\"jsonrpc\":\"2.0\",\"id\":$ID,\"result\":" text "}"
#define ERROR(code)                                                                                \
	"{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":" code ",\"message\":\"no\"}}"
#define DISCOVERED                                                                                 \
	RESULT("{\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{}},"          \
	       "\"instructions\":\"be modern\",\"_meta\":{"                                        \
	       "\"io.modelcontextprotocol/serverInfo\":{\"name\":\"m\",\"version\":\"2\"}}}")
#define INITIALIZED                                                                                \
	RESULT("{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{\"logging\":{}},"            \
	       "\"serverInfo\":{\"name\":\"l\",\"version\":\"1\"}}")
#define TWO_TOOLS RESULT("{\"tools\":[{\"name\":\"a\"},{\"name\":\"b\\\"c\"}]}")
#define GUARD_MS  10000

struct world {
	struct loop *loop;
	struct mcp_peer *peer;
	struct probes *probes;
	struct tenant tenant;
	struct connection connection;
	char url[64];
	struct timer guard;
	struct timer poll;
	const char *wanted_method;
	size_t wanted;
};

/* A probe and what was reported of it, as text. */
struct look {
	struct world *world;
	struct probe *slot;
	int dones;
	struct probe_report report; /* its spans and texts have gone */
	enum err_code code;	    /* of its problem */
	char problem[256];
	char server[128];
	char capabilities[128];
	char version[32];
	char tools[512];
	char authenticate[128];
};

static void copy_span(char *out, size_t n, struct span span)
{
	snprintf(out, n, "%.*s", (int)span.n, span.p != NULL ? span.p : "");
}

static void on_done(void *ctx, const struct probe_report *report)
{
	struct look *look = ctx;

	assert_null(look->slot);
	look->dones++;
	look->report = *report;
	if (report->problem != NULL) {
		look->code = report->problem->code;
		snprintf(look->problem, sizeof(look->problem), "%s", report->problem->text);
	}
	snprintf(look->version, sizeof(look->version), "%s",
		 report->opened ? report->protocol_version : "");
	snprintf(look->authenticate, sizeof(look->authenticate), "%s",
		 report->authenticate != NULL ? report->authenticate : "");
	copy_span(look->server, sizeof(look->server), report->server);
	copy_span(look->capabilities, sizeof(look->capabilities), report->capabilities);
	copy_span(look->tools, sizeof(look->tools), report->tools);
	loop_stop(look->world->loop);
}

static void on_guard(void *ctx)
{
	(void)ctx;
	fail_msg("nothing happened in time");
}

static void run(struct world *world)
{
	timer_start(world->loop, &world->guard, GUARD_MS, on_guard, world);
	loop_run(world->loop);
	timer_stop(&world->guard);
}

static void start(struct look *look)
{
	struct world *world = look->world;

	probe_start(world->probes, &look->slot, &world->tenant, &world->connection, on_done, look);
	assert_non_null(look->slot);
	assert_int_equal(look->dones, 0);
}

static void finish(struct look *look)
{
	while (look->dones == 0)
		run(look->world);
	assert_int_equal(look->dones, 1);
}

static struct look look_at(struct world *world)
{
	struct look look = { .world = world };

	start(&look);
	finish(&look);
	return look;
}

static void on_poll(void *ctx)
{
	struct world *world = ctx;

	if (mcp_peer_count(world->peer, world->wanted_method) >= world->wanted)
		loop_stop(world->loop);
	else
		timer_start(world->loop, &world->poll, 1, on_poll, world);
}

static void await_request(struct world *world, const char *method, size_t n)
{
	world->wanted_method = method;
	world->wanted = n;
	timer_start(world->loop, &world->poll, 1, on_poll, world);
	run(world);
	timer_stop(&world->poll);
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));
	struct err err;

	world->loop = loop_new();
	world->peer = mcp_peer_start(world->loop);
	world->probes = probes_new(world->loop);
	world->tenant = (struct tenant){ .refs = 1, .id = "t", .name = "acme" };
	world->tenant.egress = egress_policy_new(NULL, 0, true, &err);
	snprintf(world->url, sizeof(world->url), "http://127.0.0.1:%u/mcp",
		 mcp_peer_port(world->peer));
	world->connection = (struct connection){
		.id = "c",
		.name = "c",
		.url = world->url,
		.connect_timeout_ms = 5000,
		.call_timeout_ms = 5000,
	};
	MCP_ON(world->peer, "tools/list", { MCP_ANSWER, 200, JSON, NULL, TWO_TOOLS, 0 });
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	probes_free(&world->probes);
	assert_int_equal(world->tenant.refs, 1);
	egress_policy_unref(&world->tenant.egress);
	mcp_peer_stop(&world->peer);
	loop_free(&world->loop);
	free(world);
	return 0;
}

static void be_modern(struct world *world)
{
	MCP_ON(world->peer, "server/discover", { MCP_ANSWER, 200, JSON, NULL, DISCOVERED, 0 });
}

static void be_legacy(struct world *world)
{
	MCP_ON(world->peer, "server/discover", { MCP_ANSWER, 400, JSON, NULL, ERROR("-32000"), 0 });
	MCP_ON(world->peer, "initialize", { MCP_ANSWER, 200, JSON, "s1", INITIALIZED, 0 });
	MCP_ON(world->peer, "notifications/initialized", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
	MCP_ON(world->peer, "DELETE", { MCP_ANSWER, 200, NULL, NULL, NULL, 0 });
}

static size_t count_deletes(struct world *world, const char *session)
{
	size_t n = 0;
	char line[64];

	snprintf(line, sizeof(line), "\r\nmcp-session-id: %s\r\n", session);
	for (size_t i = 0; i < mcp_peer_n(world->peer); i++) {
		const struct mcp_seen *seen = mcp_peer_seen(world->peer, i);

		n += strncmp(seen->head, "delete ", 7) == 0 && strstr(seen->head, line) != NULL;
	}
	return n;
}

static void a_modern_server_is_asked_two_things(void **state)
{
	struct world *world = *state;
	struct look look;

	be_modern(world);
	look = look_at(world);
	assert_string_equal(look.problem, "");
	assert_true(look.report.opened && look.report.listed && look.report.complete);
	assert_int_equal(look.report.era, MCP_MODERN);
	assert_string_equal(look.version, "2026-07-28");
	assert_string_equal(look.server, "{\"name\":\"m\",\"version\":\"2\"}");
	assert_string_equal(look.capabilities, "{\"tools\":{}}");
	assert_int_equal(look.report.n_tools, 2);
	assert_string_equal(look.tools, "[\"a\",\"b\\\"c\"]");
	assert_int_equal(look.report.session, PROBE_NO_SESSION);
	assert_int_equal(mcp_peer_n(world->peer), 2);
}

static void a_legacy_server_gets_its_session_back(void **state)
{
	struct world *world = *state;
	struct look look;

	be_legacy(world);
	look = look_at(world);
	assert_string_equal(look.problem, "");
	assert_int_equal(look.report.era, MCP_LEGACY);
	assert_string_equal(look.version, "2025-06-18");
	assert_string_equal(look.server, "{\"name\":\"l\",\"version\":\"1\"}");
	assert_string_equal(look.tools, "[\"a\",\"b\\\"c\"]");
	assert_int_equal(look.report.session, PROBE_ENDED);
	assert_int_equal(count_deletes(world, "s1"), 1);
	assert_int_equal(mcp_peer_n(world->peer), 5);
}

static void a_session_that_cannot_be_ended_is_told(void **state)
{
	struct world *world = *state;

	be_legacy(world);
	MCP_ON(world->peer, "DELETE", { MCP_ANSWER, 405, NULL, NULL, NULL, 0 });
	assert_int_equal(look_at(world).report.session, PROBE_LEFT);
	MCP_ON(world->peer, "DELETE", { MCP_CLOSE, 0, NULL, NULL, NULL, 0 });
	assert_int_equal(look_at(world).report.session, PROBE_LEFT);
}

static void a_session_is_ended_whatever_became_of_the_list(void **state)
{
	static const struct {
		struct mcp_reply reply;
		enum err_code code;
	} rows[] = {
		{{ MCP_ANSWER, 500, NULL, NULL, NULL, 0 },			    ERR_UPSTREAM	 },
		{ { MCP_ANSWER, 200, JSON, NULL, ERROR("-32601"), 0 },	       ERR_UPSTREAM	    },
		{ { MCP_ANSWER, 200, JSON, NULL, RESULT("{\"tools\":{}}"), 0 },	ERR_UPSTREAM	     },
		{ { MCP_ANSWER, 200, JSON, NULL, RESULT("{\"tools\":[{}]}"), 0 }, ERR_UPSTREAM       },
		{ { MCP_CLOSE, 0, NULL, NULL, NULL, 0 },				 ERR_UPSTREAM	      },
		{ { MCP_ANSWER, 401, NULL, NULL, NULL, 0 },			    ERR_UNAUTHENTICATED},
	};
	struct world *world = *state;

	be_legacy(world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct look look;

		mcp_peer_on(world->peer, "tools/list", &rows[i].reply, 1);
		look = look_at(world);
		assert_true(look.report.opened);
		assert_false(look.report.listed);
		assert_int_equal(look.code, rows[i].code);
		assert_int_equal(look.report.session, PROBE_ENDED);
		assert_int_equal(count_deletes(world, "s1"), i + 1);
	}
}

static void who_wants_a_credential_is_quoted(void **state)
{
	static const struct mcp_reply refusal = {
		MCP_ANSWER,
		401,
		JSON "\r\nWWW-Authenticate: Bearer resource_metadata=\"https://x/y\"",
		NULL,
		NULL,
		0
	};
	struct world *world = *state;
	struct look look;

	mcp_peer_on(world->peer, "server/discover", &refusal, 1);
	look = look_at(world);
	assert_int_equal(look.code, ERR_UNAUTHENTICATED);
	assert_int_equal(look.report.refused, 401);
	assert_false(look.report.opened);
	assert_string_equal(look.authenticate, "Bearer resource_metadata=\"https://x/y\"");
	assert_int_equal(mcp_peer_n(world->peer), 1);
}

static void the_era_that_is_given_is_the_only_one_tried(void **state)
{
	struct world *world = *state;

	be_legacy(world);
	world->connection.era = ERA_MODERN;
	assert_int_equal(look_at(world).code, ERR_UPSTREAM);
	assert_int_equal(mcp_peer_count(world->peer, "initialize"), 0);
	world->connection.era = ERA_LEGACY;
	assert_string_equal(look_at(world).problem, "");
	assert_int_equal(mcp_peer_count(world->peer, "server/discover"), 1);
}

static void pages_are_put_together(void **state)
{
	struct world *world = *state;
	struct look look;

	be_modern(world);
	MCP_ON(world->peer, "tools/list",
	       { MCP_ANSWER, 200, SSE, NULL,
		 "data: " RESULT("{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"p\\\"2\"}") "\n\n",
		 0 },
	       { MCP_ANSWER, 200, JSON, NULL, RESULT("{\"tools\":[{\"name\":\"b\"}]}"), 0 });
	look = look_at(world);
	assert_string_equal(look.tools, "[\"a\",\"b\"]");
	assert_int_equal(look.report.n_tools, 2);
	assert_true(look.report.complete);
	assert_non_null(
		strstr(mcp_peer_find(world->peer, "tools/list", 1)->body, "\"cursor\":\"p\\\"2\""));
}

static void a_list_without_end_is_cut(void **state)
{
	struct world *world = *state;
	struct look look;

	be_modern(world);
	MCP_ON(world->peer, "tools/list",
	       { MCP_ANSWER, 200, JSON, NULL,
		 RESULT("{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"again\"}"), 0 });
	look = look_at(world);
	assert_string_equal(look.problem, "");
	assert_false(look.report.complete);
	assert_int_equal(look.report.n_tools, PROBE_MAX_PAGES);
	assert_int_equal(mcp_peer_count(world->peer, "tools/list"), PROBE_MAX_PAGES);
}

static void who_does_not_answer_is_given_up(void **state)
{
	struct world *world = *state;
	struct look look;

	be_legacy(world);
	world->connection.call_timeout_ms = 50;
	MCP_ON(world->peer, "tools/list", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	look = look_at(world);
	assert_int_equal(look.code, ERR_TIMEOUT);
	assert_string_equal(look.problem, "no answer to tools/list in time");
	assert_int_equal(look.report.session, PROBE_ENDED);
	MCP_ON(world->peer, "server/discover", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	look = look_at(world);
	assert_string_equal(look.problem, "no answer to server/discover in time");
	assert_int_equal(look.report.session, PROBE_NO_SESSION);
}

static void cancel_means_silence_but_for_the_session(void **state)
{
	struct world *world = *state;
	struct look look = { .world = world };

	be_legacy(world);
	MCP_ON(world->peer, "tools/list", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	start(&look);
	await_request(world, "tools/list", 1);
	probe_cancel(&look.slot);
	assert_null(look.slot);
	await_request(world, "DELETE", 1);
	assert_int_equal(count_deletes(world, "s1"), 1);
	/* While it is being started it is not known yet. */
	MCP_ON(world->peer, "initialize", { MCP_STREAM, 200, SSE, "s2", "", 0 });
	start(&look);
	await_request(world, "initialize", 2);
	probe_cancel(&look.slot);
	mcp_peer_say(world->peer, "data: " INITIALIZED "\n\n");
	await_request(world, "DELETE", 2);
	assert_int_equal(count_deletes(world, "s2"), 1);
	assert_int_equal(mcp_peer_count(world->peer, "notifications/initialized"), 1);
	assert_int_equal(look.dones, 0);
	probe_cancel(&look.slot);
}

static void a_cancel_before_the_first_answer_leaves_nothing(void **state)
{
	struct world *world = *state;
	struct look look = { .world = world };

	MCP_ON(world->peer, "server/discover", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	start(&look);
	probe_cancel(&look.slot);
	be_modern(world);
	assert_string_equal(look_at(world).problem, "");
	assert_int_equal(look.dones, 0);
}

static void a_tenant_has_a_few_at_a_time(void **state)
{
	struct world *world = *state;
	struct look looks[PROBE_MAX_OF_TENANT];
	struct look more;

	MCP_ON(world->peer, "server/discover", { MCP_HOLD, 0, NULL, NULL, NULL, 0 });
	for (size_t i = 0; i < PROBE_MAX_OF_TENANT; i++) {
		looks[i] = (struct look){ .world = world };
		start(&looks[i]);
	}
	more = look_at(world);
	assert_int_equal(more.code, ERR_UNAVAILABLE);
	assert_string_equal(more.problem, "too many probes are running");
	for (size_t i = 0; i < PROBE_MAX_OF_TENANT; i++)
		probe_cancel(&looks[i].slot);
	be_modern(world);
	more = look_at(world);
	assert_string_equal(more.problem, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_modern_server_is_asked_two_things),
		TEST(a_legacy_server_gets_its_session_back),
		TEST(a_session_that_cannot_be_ended_is_told),
		TEST(a_session_is_ended_whatever_became_of_the_list),
		TEST(who_wants_a_credential_is_quoted),
		TEST(the_era_that_is_given_is_the_only_one_tried),
		TEST(pages_are_put_together),
		TEST(a_list_without_end_is_cut),
		TEST(who_does_not_answer_is_given_up),
		TEST(cancel_means_silence_but_for_the_session),
		TEST(a_cancel_before_the_first_answer_leaves_nothing),
		TEST(a_tenant_has_a_few_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
