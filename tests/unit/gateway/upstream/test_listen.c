/* SPDX-License-Identifier: Apache-2.0 */

/* Listening for changed tools, in either era. */

#include "tests/unit/gateway/upstream/upstream_world.h"

#define NOTE(method) EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"" method "\"}")
#define CHANGED	     NOTE("notifications/tools/list_changed")
#define ACK(what)                                                                                  \
	EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\","      \
	      "\"params\":{\"notifications\":{" what "}}}")
#define HONOURED ACK("\"toolsListChanged\":true")

struct ear {
	struct world *world;
	struct upstream_watch *watch;
	int opened;
	int changed;
	int ended;
	int wanted;  /* of them all */
	bool leaves; /* at the next event */
	struct err err;
};

static void leave_or_not(struct ear *ear)
{
	if (ear->leaves)
		upstream_watch_cancel(&ear->watch);
}

static void on_opened(void *ctx)
{
	struct ear *ear = ctx;

	ear->opened++;
	leave_or_not(ear);
}

static void on_changed(void *ctx)
{
	struct ear *ear = ctx;

	ear->changed++;
	leave_or_not(ear);
}

static void on_ended(void *ctx, const struct err *err)
{
	struct ear *ear = ctx;

	assert_null(ear->watch);
	ear->ended++;
	ear->err = *err;
}

static void listen_to(struct world *world, struct ear *ear)
{
	static const struct upstream_watch_events events = { on_opened, on_changed, on_ended };

	*ear = (struct ear){ .world = world };
	upstream_watch_start(world->upstreams, &ear->watch,
			     &(struct upstream_watch_request){ .tenant = world->tenant,
							       .connection = world->connection },
			     &events, ear);
	assert_non_null(ear->watch);
	assert_int_equal(ear->opened + ear->changed + ear->ended, 0);
}

static bool has_heard(void *ctx)
{
	const struct ear *ear = ctx;

	return ear->opened + ear->changed + ear->ended >= ear->wanted;
}

/* Waits for so many events in all. */
static void hear(struct ear *ear, int n)
{
	ear->wanted = n;
	gate_db_until(ear->world->gate, has_heard, ear);
	assert_int_equal(ear->opened + ear->changed + ear->ended, n);
}

static void expect_end(struct ear *ear, int n, enum err_code code, const char *text)
{
	hear(ear, n);
	assert_int_equal(ear->ended, 1);
	if (ear->err.code != code || strstr(ear->err.text, text) == NULL)
		fail_msg("%s: %s", err_name(ear->err.code), ear->err.text);
}

static const struct mcp_reply stream = { MCP_STREAM, 200, SSE, NULL, ": hi\n\n", 0 };

static void begin_legacy(void **state, struct world *world, const struct mcp_reply *get)
{
	begin(state, world);
	be_legacy(world);
	mcp_peer_on(world->peer, "GET", get, 1);
	MCP_ON(world->peer, "ping", { MCP_ANSWER, 200, JSON, NULL, RESULT("{}"), 0 });
}

static void begin_modern(void **state, struct world *world, const struct mcp_reply *listen)
{
	begin(state, world);
	be_modern(world);
	mcp_peer_on(world->peer, "subscriptions/listen", listen, 1);
}

static void a_legacy_stream_tells_of_changes_until_it_ends(void **state)
{
	const char *head;
	struct world world;
	struct ear ear;

	begin_legacy(state, &world, &stream);
	listen_to(&world, &ear);
	hear(&ear, 1);
	assert_int_equal(ear.opened, 1);
	head = mcp_peer_find(world.peer, "GET", 0)->head;
	assert_non_null(strstr(head, "\r\nmcp-session-id: s1\r\n"));
	assert_non_null(strstr(head, "\r\nmcp-protocol-version: 2025-06-18\r\n"));
	assert_non_null(strstr(head, "\r\naccept: text/event-stream\r\n"));
	assert_null(strstr(head, "last-event-id"));
	mcp_peer_say(world.peer, NOTE("notifications/resources/list_changed") CHANGED);
	hear(&ear, 2);
	mcp_peer_say(world.peer, CHANGED);
	hear(&ear, 3);
	assert_int_equal(ear.changed, 2);
	mcp_peer_end(world.peer);
	expect_end(&ear, 4, ERR_UPSTREAM, "its stream has ended");
	assert_int_equal(mcp_peer_count(world.peer, "GET"), 1);
	end(&world);
}

static void requests_on_it_are_answered(void **state)
{
	struct world world;
	struct ear ear;

	begin_legacy(state, &world, &stream);
	MCP_ON(world.peer, "", { MCP_ANSWER, 202, NULL, NULL, NULL, 0 });
	listen_to(&world, &ear);
	hear(&ear, 1);
	mcp_peer_say(world.peer, EVENT("{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"method\":\"ping\"}"));
	await_request(&world, "", 1);
	assert_string_equal(mcp_peer_find(world.peer, "", 0)->body,
			    "{\"jsonrpc\":\"2.0\",\"id\":\"p\",\"result\":{}}");
	assert_non_null(strstr(mcp_peer_find(world.peer, "", 0)->head, "mcp-session-id: s1"));
	mcp_peer_say(world.peer, EVENT("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"roots/list\"}"));
	await_request(&world, "", 2);
	assert_non_null(strstr(mcp_peer_find(world.peer, "", 1)->body, "\"code\":-32601"));
	assert_int_equal(ear.ended, 0);
	upstream_watch_cancel(&ear.watch);
	end(&world);
}

static void what_has_no_stream_is_told_from_what_has_trouble(void **state)
{
	static const struct {
		struct mcp_reply reply;
		enum err_code code;
	} rows[] = {
		{{ MCP_ANSWER, 405, NULL, NULL, NULL, 0 },			    ERR_NOT_FOUND	  },
		{ { MCP_ANSWER, 405, JSON, NULL, ERROR("null", "-32000"), 0 }, ERR_NOT_FOUND	     },
		{ { MCP_ANSWER, 404, "text/html", NULL, "<p>Cannot GET", 0 },  ERR_NOT_FOUND	    },
		{ { MCP_ANSWER, 400, JSON, NULL, ERROR("null", "-32000"), 0 }, ERR_NOT_FOUND	     },
		{ { MCP_ANSWER, 406, NULL, NULL, NULL, 0 },		    ERR_NOT_FOUND	  },
		{ { MCP_ANSWER, 501, NULL, NULL, NULL, 0 },		    ERR_NOT_FOUND	  },
		{ { MCP_ANSWER, 200, JSON, NULL, "", 0 },			  ERR_NOT_FOUND	},
		{ { MCP_ANSWER, 204, NULL, NULL, NULL, 0 },		    ERR_NOT_FOUND	  },
		{ { MCP_ANSWER, 401, NULL, NULL, NULL, 0 },		    ERR_UNAUTHENTICATED},
		{ { MCP_ANSWER, 403, NULL, NULL, NULL, 0 },		    ERR_UNAUTHENTICATED},
		{ { MCP_ANSWER, 409, JSON, NULL, ERROR("null", "-32000"), 0 }, ERR_UPSTREAM	    },
		{ { MCP_ANSWER, 429, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM	 },
		{ { MCP_ANSWER, 503, NULL, NULL, NULL, 0 },		    ERR_UPSTREAM	 },
		{ { MCP_ANSWER, 200, "text/html", NULL, "<p>hello", 0 },	 ERR_UPSTREAM	      },
		{ { MCP_CLOSE, 0, NULL, NULL, NULL, 0 },			 ERR_UPSTREAM	      },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;
		struct ear ear;

		begin_legacy(state, &world, &rows[i].reply);
		listen_to(&world, &ear);
		expect_end(&ear, 1, rows[i].code, "");
		/* The session is known there, and nobody struck it off. */
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 1);
		assert_int_equal(mcp_peer_count(world.peer, "GET"), 1);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_session_that_is_lost_is_opened_anew(void **state)
{
	static const struct mcp_reply losses[] = {
		{MCP_ANSWER,  404, JSON, NULL, ERROR("null", "-32001"), 0},
		{ MCP_ANSWER, 400, JSON, NULL, ERROR("null", "-32000"), 0},
	};

	for (size_t i = 0; i < COUNT(losses); i++) {
		struct world world;
		struct ear ear;

		begin_legacy(state, &world, &stream);
		call(&world, MCP_LEGACY);
		mcp_peer_lose(world.peer, "s1", &losses[i]);
		listen_to(&world, &ear);
		hear(&ear, 1);
		assert_int_equal(ear.opened, 1);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
		assert_non_null(strstr(mcp_peer_find(world.peer, "GET", 1)->head,
				       "\r\nmcp-session-id: s2\r\n"));
		call(&world, MCP_LEGACY);
		assert_int_equal(mcp_peer_count(world.peer, "initialize"), 2);
		upstream_watch_cancel(&ear.watch);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void a_stream_with_ids_is_gone_on_with(void **state)
{
	static const struct mcp_reply gets[] = {
		{MCP_ANSWER, 200, SSE,		NULL,	      "id: 7\nretry: 1000\ndata:\n\n", 0},
		{	  MCP_STREAM,	      200, SSE,		NULL, "id: 8\n" CHANGED,				 0},
		{ MCP_ANSWER,      404,	   JSON, NULL,	       ERROR("null",				     "-32001"), 0 },
	};
	struct world world;
	struct ear ear;

	begin_legacy(state, &world, &stream);
	mcp_peer_on(world.peer, "GET", gets, COUNT(gets));
	listen_to(&world, &ear);
	hear(&ear, 2);
	assert_int_equal(ear.opened, 1);
	assert_int_equal(ear.changed, 1);
	assert_non_null(strstr(mcp_peer_find(world.peer, "GET", 1)->head, "last-event-id: 7\r\n"));
	mcp_peer_reset(world.peer);
	expect_end(&ear, 3, ERR_UPSTREAM, "cannot be resumed (HTTP 404)");
	assert_non_null(strstr(mcp_peer_find(world.peer, "GET", 2)->head, "last-event-id: 8\r\n"));
	end(&world);
}

static void a_modern_server_is_subscribed_to(void **state)
{
	const struct mcp_seen *seen;
	char text[256];
	struct world world;
	struct ear ear;

	begin_modern(state, &world, &stream);
	listen_to(&world, &ear);
	await_request(&world, "subscriptions/listen", 1);
	seen = mcp_peer_find(world.peer, "subscriptions/listen", 0);
	assert_non_null(strstr(seen->head, "\r\nmcp-method: subscriptions/listen\r\n"));
	assert_non_null(strstr(seen->head, "\r\nmcp-protocol-version: 2026-07-28\r\n"));
	assert_non_null(strstr(seen->body, "\"notifications\":{\"toolsListChanged\":true}"));
	/* Before it is acknowledged nothing counts. */
	mcp_peer_say(world.peer, CHANGED HONOURED);
	hear(&ear, 1);
	assert_int_equal(ear.opened, 1);
	mcp_peer_say(world.peer, CHANGED HONOURED CHANGED);
	hear(&ear, 3);
	assert_int_equal(ear.changed, 2);
	snprintf(text, sizeof(text),
		 EVENT("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\","
		       "\"params\":{\"requestId\":%s}}"),
		 seen->id);
	mcp_peer_say(world.peer, text);
	expect_end(&ear, 4, ERR_UPSTREAM, "cancelled the subscription");
	end(&world);
}

static void a_modern_server_may_not_offer_it(void **state)
{
	static const struct {
		struct mcp_reply reply;
		enum err_code code;
		int opened;
	} rows[] = {
		{{ MCP_ANSWER, 404, JSON, NULL, ERROR("$ID", "-32601"), 0 },	      ERR_NOT_FOUND,	     0},
		{ { MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32601"), 0 },	      ERR_NOT_FOUND,	     0},
		{ { MCP_ANSWER, 200, JSON, NULL, ERROR("$ID", "-32601"), 0 },	      ERR_NOT_FOUND,	     0},
		{ { MCP_ANSWER, 200, SSE, NULL, EVENT(ERROR("$ID", "-32601")), 0 },
		  ERR_NOT_FOUND,									       0},
		{ { MCP_ANSWER, 405, NULL, NULL, NULL, 0 },				    ERR_NOT_FOUND,	   0},
		{ { MCP_STREAM, 200, SSE, NULL, ACK("\"toolsListChanged\":false"), 0 },
		  ERR_NOT_FOUND,									       0},
		{ { MCP_STREAM, 200, SSE, NULL, ACK("\"promptsListChanged\":true"), 0 },
		  ERR_NOT_FOUND,									       0},
		{ { MCP_ANSWER, 200, JSON, NULL, ERROR("$ID", "-32603"), 0 },	      ERR_UPSTREAM,	    0},
		{ { MCP_ANSWER, 400, JSON, NULL, ERROR("$ID", "-32602"), 0 },	      ERR_UPSTREAM,	    0},
		{ { MCP_ANSWER, 401, NULL, NULL, NULL, 0 },				    ERR_UNAUTHENTICATED, 0},
		{ { MCP_ANSWER, 500, NULL, NULL, NULL, 0 },				    ERR_UPSTREAM,	  0},
		{ { MCP_ANSWER, 200, SSE, NULL, HONOURED, 0 },			       ERR_UPSTREAM,	     1},
		{ { MCP_ANSWER, 200, SSE, NULL, HONOURED EVENT(RESULT("{}")), 0 },
		  ERR_UPSTREAM,										1},
		{ { MCP_ANSWER, 200, SSE, NULL, "id: 4\n" HONOURED, 0 },		 ERR_UPSTREAM,	       1},
		{ { MCP_CLOSE, 0, NULL, NULL, NULL, 0 },				 ERR_UPSTREAM,	       0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;
		struct ear ear;

		begin_modern(state, &world, &rows[i].reply);
		listen_to(&world, &ear);
		expect_end(&ear, 1 + rows[i].opened, rows[i].code, "");
		assert_int_equal(ear.opened, rows[i].opened);
		assert_int_equal(mcp_peer_count(world.peer, "subscriptions/listen"), 1);
		assert_int_equal(mcp_peer_count(world.peer, "GET"), 0);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void cancel_means_silence_at_any_time(void **state)
{
	static const struct mcp_reply hold = { MCP_HOLD, 0, NULL, NULL, NULL, 0 };
	static const struct mcp_reply missing = { MCP_ANSWER, 404, NULL, NULL, NULL, 0 };
	static const struct mcp_reply primed = {
		MCP_ANSWER, 200, SSE, NULL, "id: 7\nretry: 3600000\ndata:\n\n", 0
	};
	static const struct {
		const char *method; /* that is waited for */
		const struct mcp_reply *initialize, *get;
	} rows[] = {
		{"initialize", &hold, &stream },
		{ "GET",	 NULL,  &hold   },
		{ "ping",	  NULL,	&missing},
		{ "GET",	 NULL,  &primed },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct world world;
		struct ear ear;

		begin_legacy(state, &world, rows[i].get);
		mcp_peer_on(world.peer, "ping", &hold, 1);
		if (rows[i].initialize != NULL)
			mcp_peer_on(world.peer, "initialize", rows[i].initialize, 1);
		listen_to(&world, &ear);
		await_request(&world, rows[i].method, 1);
		if (rows[i].get == &primed)
			hear(&ear, 1);
		upstream_watch_cancel(&ear.watch);
		assert_null(ear.watch);
		upstream_watch_cancel(&ear.watch);
		assert_int_equal(ear.ended, 0);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void each_event_may_cancel_it(void **state)
{
	for (int late = 0; late <= 1; late++) {
		struct world world;
		struct ear ear;

		begin_legacy(state, &world, &stream);
		listen_to(&world, &ear);
		ear.leaves = late == 0;
		hear(&ear, 1);
		if (late == 1) {
			ear.leaves = true;
			mcp_peer_say(world.peer, CHANGED CHANGED);
			hear(&ear, 2);
		}
		assert_null(ear.watch);
		await_left(&world, 1);
		assert_int_equal(ear.ended, 0);
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void an_upstream_that_cannot_be_opened_is_a_failure(void **state)
{
	static const struct mcp_reply down = { MCP_ANSWER, 503, NULL, NULL, NULL, 0 };
	struct world world;
	struct ear ear;

	begin_legacy(state, &world, &stream);
	mcp_peer_on(world.peer, "server/discover", &down, 1);
	listen_to(&world, &ear);
	expect_end(&ear, 1, ERR_UPSTREAM, "HTTP 503");
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_legacy_stream_tells_of_changes_until_it_ends),
		GATE_DB_TEST(requests_on_it_are_answered),
		GATE_DB_TEST(what_has_no_stream_is_told_from_what_has_trouble),
		GATE_DB_TEST(a_session_that_is_lost_is_opened_anew),
		GATE_DB_TEST(a_stream_with_ids_is_gone_on_with),
		GATE_DB_TEST(a_modern_server_is_subscribed_to),
		GATE_DB_TEST(a_modern_server_may_not_offer_it),
		GATE_DB_TEST(cancel_means_silence_at_any_time),
		GATE_DB_TEST(each_event_may_cancel_it),
		GATE_DB_TEST(an_upstream_that_cannot_be_opened_is_a_failure),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
