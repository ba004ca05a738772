/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */
#include "gateway/http/mcp_http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/core/call.h"
#include "gateway/http/app.h"
#include "gateway/http/cors.h"
#include "gateway/http/problem.h"
#include "tests/fakes/wire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LEGACY_LIST  "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\"}"
#define USUAL                                                                                      \
	"Host: localhost:8080\r\nContent-Type: application/json\r\n"                               \
	"Accept: application/json, text/event-stream\r\n"
#define LEGACY	       USUAL "Mcp-Session-Id: s1\r\nAuthorization: Bearer tgk_1\r\n"
#define KEEP_ALIVE_MS  15000
#define THE_CALL       "01900000-0000-7000-8000-000000000001"
#define CALL_ID	       "Tollgate-Call-Id: " THE_CALL "\r\n"
#define SECURE_HEADERS "cache-control: no-store\r\nx-content-type-options: nosniff\r\n"

/* --- core, as far as the transport sees it ----------------------------------------------------*/

struct call {
	struct arena *arena;
	struct call_params params;
	struct call_sink sink;
};

/* What core was asked and what it will say. */
struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct gate gate;
	struct http_app app;
	int listening;
	uint16_t port;
	const struct call_reply *at_once; /* finish before call_run returns */
	struct call *call;		  /* the one that runs */
	size_t n_calls;
	size_t n_gone;
};

static struct fixture *fixture_of(struct gate *gate)
{
	return (struct fixture *)((char *)gate - offsetof(struct fixture, gate));
}

struct call *call_new(struct gate *gate, struct arena *arena, const struct call_params *params,
		      const struct call_sink *sink)
{
	struct call *call = mem_new(sizeof(*call));
	struct fixture *fixture = fixture_of(gate);

	assert_null(fixture->call);
	*call = (struct call){ .arena = arena, .params = *params, .sink = *sink };
	fixture->call = call;
	fixture->n_calls++;
	return call;
}

static void end_call(struct fixture *fixture)
{
	arena_free(&fixture->call->arena);
	free(fixture->call);
	fixture->call = NULL;
}

static void finish(struct fixture *fixture, const struct call_reply *reply)
{
	fixture->call->sink.finish(fixture->call->sink.ctx, reply);
	end_call(fixture);
}

/* ctx of the sink is no way back to the fixture: the test has only one. */
static struct fixture *the_fixture(struct fixture *set)
{
	static struct fixture *the;

	if (set != NULL)
		the = set;
	return the;
}

void call_run(struct call *call)
{
	struct fixture *fixture = the_fixture(NULL);

	assert_ptr_equal(call, fixture->call);
	if (fixture->at_once != NULL)
		finish(fixture, fixture->at_once);
}

const char *call_id(const struct call *call)
{
	(void)call;
	return THE_CALL;
}

void call_client_gone(struct call *call)
{
	struct fixture *fixture = the_fixture(NULL);

	assert_ptr_equal(call, fixture->call);
	fixture->n_gone++;
}

/* A quarter of a minute, in a test. */
void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	__real_timer_start(loop, timer, delay_ms == KEEP_ALIVE_MS ? 30 : delay_ms, cb, ctx);
}

/* --- server and client ------------------------------------------------------------------------*/

#define CLIENTS (1U << LISTENER_PUBLIC)

static const struct route routes[] = {
	{CLIENTS,  "POST",	   "/mcp",			   mcp_post	    },
	{ CLIENTS, "OPTIONS", "/mcp",			      cors_preflight},
	{ CLIENTS, "POST",	   "/t/{tenant}/c/{connection}/mcp", mcp_post      },
	{ 0,	     NULL,	   NULL,			     NULL	      },
};

static void unrouted(struct exchange *exchange, const char *allow)
{
	(void)allow;
	problem_answer(exchange, &(struct err){ .code = ERR_NOT_FOUND, .text = "nothing here" });
}

static int set_up(void **state)
{
	static const char *const allowed_hosts[] = { "gate.example.com" };
	struct fixture *fixture = mem_new(sizeof(*fixture));

	fixture->loop = loop_new();
	fixture->gate.loop = fixture->loop;
	fixture->app = (struct http_app){ .gate = &fixture->gate,
					  .allowed_hosts = allowed_hosts,
					  .n_allowed_hosts = 1,
					  .development = true };
	fixture->server = http_server_new(&(struct http_server_params){
		.loop = fixture->loop,
		.app = &fixture->app,
		.routes = routes,
		.unrouted = unrouted,
		.max_body_bytes = 100000,
		.request_timeout_ms = 60000,
	});
	fixture->listening = wire_listen(&fixture->port);
	http_server_listen(fixture->server, fixture->listening, LISTENER_PUBLIC);
	*state = the_fixture(fixture);
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	http_server_free(&fixture->server);
	if (fixture->call != NULL)
		end_call(fixture);
	loop_free(&fixture->loop);
	close(fixture->listening);
	free(fixture);
	return 0;
}

static bool a_call_runs(void *ctx)
{
	return ((struct fixture *)ctx)->call != NULL;
}

static bool somebody_has_gone(void *ctx)
{
	return ((struct fixture *)ctx)->n_gone > 0;
}

static void post(struct wire *wire, const char *path, const char *headers, const char *body)
{
	char head[2000];

	snprintf(head, sizeof(head), "POST %s HTTP/1.1\r\n%sContent-Length: %zu\r\n\r\n", path,
		 headers, strlen(body));
	wire_send(wire, head);
	wire_send(wire, body);
}

/* Sends a POST and waits until core has the call. */
static struct wire *start(struct fixture *fixture, const char *headers, const char *body)
{
	struct wire *wire = wire_connect(fixture->loop, fixture->port);

	post(wire, "/mcp", headers, body);
	wire_until(fixture->loop, a_call_runs, fixture, "the call");
	return wire;
}

static void assert_span(struct span actual, const char *expected)
{
	if (!span_eq(actual, span_of(expected)))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

/* All that came, without the line that tells the time. */
static void assert_received(struct wire *wire, const char *expected)
{
	char *text = mem_strdup(wire_await(wire, strrchr(expected, '\n')));
	char *date = strstr(text, "Date: ");

	assert_non_null(date);
	memmove(date, strstr(date, "\r\n") + 2, strlen(strstr(date, "\r\n") + 2) + 1);
	assert_string_equal(text, expected);
	free(text);
}

static void gives_core_everything_it_asks_for(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = wire_connect(fixture->loop, fixture->port);
	const struct call_params *params;

	post(wire, "/t/acme/c/crm/mcp",
	     USUAL "Mcp-Session-Id: s1\r\nX-API-Key: tgk_2\r\nUser-Agent: test/1\r\n"
		   "MCP-Protocol-Version: 2025-06-18\r\nMcp-Method: initialize\r\n",
	     " " LEGACY_LIST);
	wire_until(fixture->loop, a_call_runs, fixture, "the call");
	params = &fixture->call->params;
	assert_string_equal(params->tenant, "acme");
	assert_string_equal(params->endpoint, "crm");
	assert_string_equal(params->credential, "tgk_2");
	assert_string_equal(params->session_id, "s1");
	assert_string_equal(params->source_ip, "127.0.0.1");
	assert_string_equal(params->user_agent, "test/1");
	assert_span(params->body, " " LEGACY_LIST);
	assert_null(params->refusal);
	assert_null(params->principal);
	assert_int_equal(params->request.era, MCP_LEGACY);
	assert_string_equal(params->request.version, "2025-06-18");
	assert_span(params->request.id, "1");
	assert_string_equal(params->request.method, "tools/list");
	finish(fixture, &(struct call_reply){ .http_status = 202 });
	wire_await(wire, "HTTP/1.1 202 Accepted\r\n");
	wire_close(&wire);
}

static void answers_in_json_when_there_is_only_one_message(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);

	assert_null(fixture->call->params.tenant);
	assert_null(fixture->call->params.endpoint);
	assert_null(fixture->call->params.user_agent);
	assert_string_equal(fixture->call->params.credential, "tgk_1");
	finish(fixture, &(struct call_reply){ .http_status = 200,
					      .body = SPAN("{\"id\":1,\n\"result\":{}}") });
	assert_received(wire, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 21\r\n"
			      "Content-Type: application/json\r\n" SECURE_HEADERS
			      "\r\n{\"id\":1,\n\"result\":{}}");
	wire_close(&wire);
}

static void sets_the_headers_that_core_wants(void **state)
{
	struct fixture *fixture = *state;
	const struct call_reply created = { .http_status = 200,
					    .body = SPAN("{}"),
					    .session_id = "new-session",
					    .call_id = THE_CALL };
	const struct call_reply unknown = { .http_status = 401,
					    .body = SPAN("{}"),
					    .authenticate = "Bearer" };
	const struct call_reply busy = { .http_status = 503,
					 .body = SPAN("{}"),
					 .retry_after_s = 5 };
	struct wire *wire = wire_connect(fixture->loop, fixture->port);

	fixture->at_once = &created;
	post(wire, "/mcp", LEGACY, LEGACY_LIST);
	assert_received(wire, "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n"
			      "Content-Type: application/json\r\n" CALL_ID
			      "Mcp-Session-Id: new-session\r\n" SECURE_HEADERS "\r\n{}");
	wire_forget(wire);
	fixture->at_once = &unknown;
	post(wire, "/mcp", LEGACY, LEGACY_LIST);
	assert_received(wire, "HTTP/1.1 401 Unauthorized\r\nConnection: keep-alive\r\n"
			      "Content-Length: 2\r\nContent-Type: application/json\r\n"
			      "WWW-Authenticate: Bearer\r\n" SECURE_HEADERS "\r\n{}");
	wire_forget(wire);
	fixture->at_once = &busy;
	post(wire, "/mcp", LEGACY, LEGACY_LIST);
	assert_received(wire, "HTTP/1.1 503 Service Unavailable\r\nConnection: keep-alive\r\n"
			      "Content-Length: 2\r\nContent-Type: application/json\r\n"
			      "Retry-After: 5\r\n" SECURE_HEADERS "\r\n{}");
	wire_forget(wire);
	fixture->at_once = &(struct call_reply){ .http_status = 202 };
	post(wire, "/mcp", LEGACY, LEGACY_LIST);
	assert_received(wire, "HTTP/1.1 202 Accepted\r\nConnection: keep-alive\r\n"
			      "Content-Length: 0\r\n" SECURE_HEADERS "\r\n");
	assert_int_equal(fixture->n_calls, 4);
	wire_close(&wire);
}

static void streams_once_there_is_a_message_before_the_answer(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);
	const struct call_sink *sink = &fixture->call->sink;

	sink->message(sink->ctx, SPAN("{\"m\":1}"));
	assert_received(wire,
			"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
			"Content-Type: text/event-stream\r\n"
			"Cache-Control: no-store, no-cache, no-transform\r\n"
			"X-Accel-Buffering: no\r\n" CALL_ID "x-content-type-options: nosniff\r\n"
			"transfer-encoding: chunked\r\n\r\n"
			"1e\r\nevent: message\ndata: {\"m\":1}\n\n\r\n");
	wire_forget(wire);
	wire_for(fixture->loop, 5);
	sink->message(sink->ctx, SPAN("{\r\n \"m\" :\n[2,\r3]}\n"));
	assert_string_equal(wire_await(wire, "\n\n\r\n"),
			    "24\r\nevent: message\ndata: { \"m\" :[2,3]}\n\n\r\n");
	wire_forget(wire);
	wire_for(fixture->loop, 5);
	finish(fixture, &(struct call_reply){ .http_status = 200, .body = SPAN("{\"r\":\n1}") });
	assert_string_equal(wire_await(wire, "0\r\n\r\n"),
			    "1e\r\nevent: message\ndata: {\"r\":1}\n\n\r\n0\r\n\r\n");
	wire_forget(wire);
	fixture->at_once = &(struct call_reply){ .http_status = 202 };
	post(wire, "/mcp", LEGACY, LEGACY_LIST);
	wire_await(wire, "HTTP/1.1 202 ");
	wire_close(&wire);
}

static void a_stream_can_end_without_an_answer(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);

	fixture->call->sink.message(fixture->call->sink.ctx, SPAN("{}"));
	wire_await(wire, "data: {}\n\n\r\n");
	wire_forget(wire);
	wire_for(fixture->loop, 5);
	finish(fixture, &(struct call_reply){ .http_status = 202 });
	assert_string_equal(wire_await(wire, "0\r\n\r\n"), "0\r\n\r\n");
	wire_close(&wire);
}

static void a_request_without_an_answer_is_a_stream_that_ends(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);

	finish(fixture, &(struct call_reply){ .http_status = 200 });
	assert_received(wire,
			"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"
			"Content-Type: text/event-stream\r\n"
			"Cache-Control: no-store, no-cache, no-transform\r\n"
			"X-Accel-Buffering: no\r\n" CALL_ID "x-content-type-options: nosniff\r\n"
			"transfer-encoding: chunked\r\n\r\n0\r\n\r\n");
	wire_close(&wire);
}

static void keeps_a_silent_stream_alive(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);

	wire_for(fixture->loop, 50);
	assert_string_equal(wire_received(wire), "");
	fixture->call->sink.message(fixture->call->sink.ctx, SPAN("{}"));
	wire_await(wire, "data: {}\n\n\r\n");
	wire_await(wire, "3\r\n:\n\n\r\n3\r\n:\n\n\r\n");
	finish(fixture, &(struct call_reply){ .http_status = 200, .body = SPAN("{}") });
	wire_await(wire, "data: {}\n\n\r\n0\r\n\r\n");
	wire_forget(wire);
	wire_for(fixture->loop, 60);
	assert_string_equal(wire_received(wire), "");
	wire_close(&wire);
}

static void a_call_outlives_its_client(void **state)
{
	struct fixture *fixture = *state;

	for (int streaming = 0; streaming < 2; streaming++) {
		struct wire *wire = start(fixture, LEGACY, LEGACY_LIST);

		fixture->n_gone = 0;
		if (streaming) {
			fixture->call->sink.message(fixture->call->sink.ctx, SPAN("{}"));
			wire_await(wire, "data: {}");
		}
		wire_close(&wire);
		wire_until(fixture->loop, somebody_has_gone, fixture, "the client's end");
		wire_for(fixture->loop, 60);
		assert_int_equal(fixture->n_gone, 1);
		assert_int_equal(http_server_connections(fixture->server), 0);
		/* All of it is the call's own by now. */
		assert_span(fixture->call->params.body, LEGACY_LIST);
		assert_span(fixture->call->params.request.id, "1");
		assert_string_equal(fixture->call->params.request.method, "tools/list");
		assert_string_equal(fixture->call->params.session_id, "s1");
		assert_string_equal(fixture->call->params.credential, "tgk_1");
		assert_string_equal(fixture->call->params.source_ip, "127.0.0.1");
		end_call(fixture);
	}
}

static void what_is_refused_is_a_call_too(void **state)
{
	static const struct {
		const char *headers;
		const char *body;
		bool before_auth;
		int status, code;
		const char *id;
	} rows[] = {
		{"Host: evil.example.com\r\nContent-Type: application/json\r\n",		  LEGACY_LIST,  true,
		  403,												     -32000, NULL},
		{ USUAL "Origin: https://evil.example.com\r\n",					LEGACY_LIST,  true,  403, -32000,
		  NULL														 },
		{ USUAL "Origin: null\r\n",						     LEGACY_LIST,	 true,  403, -32000, NULL},
		{ LEGACY "X-API-Key: tgk_2\r\n",						 LEGACY_LIST,  true,  400, -32600, NULL},
		{ LEGACY,								       "{",	       false, 400, -32700, NULL},
		{ LEGACY,								       "",	      false, 400, -32700, NULL},
		{ LEGACY,								       "{\"id\":3}", false, 400, -32600, "3" },
		{ USUAL,									LEGACY_LIST,  false, 400, -32000, "1" },
		{ "Host: localhost\r\nContent-Type: text/plain\r\n",			     LEGACY_LIST,  false, 415,
		  -32000,													  NULL},
		{ "Host: localhost\r\nContent-Type: application/json\r\nAccept: text/html\r\n",
		  LEGACY_LIST,										 false, 406, -32000, NULL},
		{ USUAL "MCP-Protocol-Version: 2026-07-28\r\n",					LEGACY_LIST,  false, 400, -32602,
		  "1"														  },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct wire *wire = start(fixture, rows[i].headers, rows[i].body);
		const struct call_refusal *refusal = fixture->call->params.refusal;

		if (refusal == NULL)
			fail_msg("row %zu was not refused", i);
		assert_int_equal(refusal->before_auth, rows[i].before_auth);
		assert_int_equal(refusal->http_status, rows[i].status);
		assert_int_equal(refusal->rpc_code, rows[i].code);
		assert_true(refusal->message[0] != '\0');
		assert_span(fixture->call->params.request.id, rows[i].id);
		finish(fixture, &(struct call_reply){ .http_status = rows[i].status,
						      .body = SPAN("{\"error\":1}") });
		wire_await(wire, "\r\n\r\n{\"error\":1}");
		wire_close(&wire);
	}
}

static void a_modern_call_has_no_session(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = start(
		fixture,
		USUAL "Mcp-Session-Id: s1\r\nMCP-Protocol-Version: 2026-07-28\r\n"
		      "Mcp-Method: tools/list\r\n",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"_meta\":{"
		"\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\","
		"\"io.modelcontextprotocol/clientCapabilities\":{}}}}");

	assert_null(fixture->call->params.refusal);
	assert_null(fixture->call->params.session_id);
	assert_null(fixture->call->params.credential);
	assert_int_equal(fixture->call->params.request.era, MCP_MODERN);
	finish(fixture, &(struct call_reply){ .http_status = 200, .body = SPAN("{}") });
	wire_await(wire, "\r\n\r\n{}");
	wire_close(&wire);
}

static void pages_of_a_served_origin_may_read_answers(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire =
		start(fixture, LEGACY "Origin: https://gate.example.com\r\n", LEGACY_LIST);

	finish(fixture, &(struct call_reply){ .http_status = 200, .body = SPAN("{}") });
	assert_received(
		wire,
		"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n"
		"Content-Type: application/json\r\n"
		"Access-Control-Allow-Origin: https://gate.example.com\r\n"
		"Access-Control-Expose-Headers: Mcp-Session-Id, MCP-Protocol-Version, "
		"WWW-Authenticate, Retry-After, Tollgate-Call-Id\r\nVary: Origin\r\n" SECURE_HEADERS
		"\r\n{}");
	wire_forget(wire);
	post(wire, "/mcp", LEGACY "Origin: http://localhost:3000\r\n", LEGACY_LIST);
	wire_until(fixture->loop, a_call_runs, fixture, "the call");
	fixture->call->sink.message(fixture->call->sink.ctx, SPAN("{}"));
	wire_await(wire, "Access-Control-Allow-Origin: http://localhost:3000\r\n");
	wire_await(wire, "data: {}");
	finish(fixture, &(struct call_reply){ .http_status = 200, .body = SPAN("{}") });
	wire_await(wire, "0\r\n\r\n");
	wire_close(&wire);
}

static void answers_preflight_requests_of_served_origins(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = wire_connect(fixture->loop, fixture->port);

	wire_send(wire, "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n"
			"Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"
			"Access-Control-Request-Headers: content-type,mcp-param-region, x-evil, "
			"Mcp-Param-B@d\r\n\r\n");
	assert_received(wire,
			"HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n"
			"Access-Control-Allow-Origin: http://localhost:3000\r\n"
			"Access-Control-Allow-Methods: GET, POST, DELETE\r\n"
			"Access-Control-Allow-Headers: Authorization, X-API-Key, Content-Type, "
			"Accept, Mcp-Session-Id, MCP-Protocol-Version, Mcp-Method, Mcp-Name, "
			"Last-Event-ID, mcp-param-region\r\nAccess-Control-Max-Age: 600\r\n"
			"Vary: Origin\r\n" SECURE_HEADERS "\r\n");
	wire_forget(wire);
	wire_send(wire, "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n"
			"Origin: https://evil.example.com\r\n\r\n");
	wire_await(wire, "\"code\":\"forbidden\"");
	assert_non_null(strstr(wire_received(wire), "HTTP/1.1 403 Forbidden\r\n"));
	assert_null(strstr(wire_received(wire), "Access-Control"));
	wire_forget(wire);
	wire_send(wire, "OPTIONS /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
	wire_await(wire, "HTTP/1.1 403 Forbidden\r\n");
	assert_int_equal(fixture->n_calls, 0);
	wire_close(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(gives_core_everything_it_asks_for, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(answers_in_json_when_there_is_only_one_message,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(sets_the_headers_that_core_wants, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(streams_once_there_is_a_message_before_the_answer,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_request_without_an_answer_is_a_stream_that_ends,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_stream_can_end_without_an_answer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(keeps_a_silent_stream_alive, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_call_outlives_its_client, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_refused_is_a_call_too, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_modern_call_has_no_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pages_of_a_served_origin_may_read_answers, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(answers_preflight_requests_of_served_origins,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
