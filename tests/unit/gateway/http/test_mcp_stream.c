/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */
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
#include "gateway/core/identity.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/http/app.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/problem.h"
#include "tests/fakes/wire.h"

#define KEYED	      "Authorization: Bearer known\r\n"
#define NEW_KEY	      "Authorization: Bearer new\r\n"
#define SESSION	      "Mcp-Session-Id: s1\r\n"
#define SSE	      "Accept: text/event-stream\r\n"
#define ALL	      KEYED SESSION SSE
#define KEEP_ALIVE_MS 15000
#define CHANGED                                                                                    \
	"event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":"                                   \
	"\"notifications/tools/list_changed\"}\n\n"

/* --- core, as far as the handler sees it ------------------------------------------------------*/

/* One operation of any kind; the last that was started. */
struct pending {
	void **slot;
	void *done;
	void *ctx;
};

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct gate gate;
	struct http_app app;
	int listening;
	uint16_t port;
	struct tenant tenant;
	struct connection connection;
	bool tenant_in_memory, session_in_memory;
	struct err refusal; /* of a subscription; code of success: none */
	bool refuses;
	struct pending identity, loading, finding, stream;
	void (*changed)(void *ctx);
	char endpoint[64], session_id[64];
	size_t n_cancelled;
};

static struct fixture *the_fixture(struct fixture *set)
{
	static struct fixture *the;

	if (set != NULL)
		the = set;
	return the;
}

/* Something that a slot may point to. */
static void *token(struct pending *pending)
{
	return pending;
}

static void pend(struct pending *pending, void *slot, void *done, void *ctx)
{
	assert_null(pending->slot);
	*pending = (struct pending){ slot, done, ctx };
	*pending->slot = token(pending);
}

static struct pending take(struct pending *pending)
{
	struct pending was = *pending;

	assert_non_null(was.slot);
	*was.slot = NULL;
	pending->slot = NULL;
	return was;
}

static void cancel(struct pending *pending, void *slot)
{
	if (*(void **)slot == NULL)
		return;
	assert_ptr_equal(pending->slot, slot);
	take(pending);
	the_fixture(NULL)->n_cancelled++;
}

static struct principal *new_principal(void)
{
	struct principal *principal = mem_new(sizeof(*principal));

	principal->refs = 1;
	snprintf(principal->tenant_id, sizeof(principal->tenant_id), "t-1");
	principal->tenant = mem_strdup("acme");
	return principal;
}

enum identity_found identity_find(struct identity *identity, const char *credential,
				  struct principal **principal, struct err *err)
{
	(void)identity;
	if (strcmp(credential, "known") == 0) {
		*principal = new_principal();
		return IDENTITY_KNOWN;
	}
	if (strcmp(credential, "new") == 0)
		return IDENTITY_UNKNOWN;
	err_set(err, ERR_UNAUTHENTICATED, "the key is not known");
	return IDENTITY_REFUSED;
}

void identity_start(struct identity *identity, struct identity_op **slot, const char *credential,
		    identity_done *done, void *ctx)
{
	(void)identity;
	(void)credential;
	pend(&the_fixture(NULL)->identity, slot, (void *)done, ctx);
}

void identity_cancel(struct identity_op **slot)
{
	cancel(&the_fixture(NULL)->identity, slot);
}

struct tenant *tenants_find(struct tenants *tenants, const char *tenant_id)
{
	struct fixture *fixture = the_fixture(NULL);

	(void)tenants;
	assert_string_equal(tenant_id, "t-1");
	return fixture->tenant_in_memory ? tenant_ref(&fixture->tenant) : NULL;
}

void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx)
{
	(void)tenants;
	assert_string_equal(tenant_id, "t-1");
	pend(&the_fixture(NULL)->loading, slot, (void *)done, ctx);
}

void tenants_cancel(struct tenants_op **slot)
{
	cancel(&the_fixture(NULL)->loading, slot);
}

struct session *session_find(struct sessions *sessions, const struct session_key *key)
{
	struct fixture *fixture = the_fixture(NULL);
	struct session *session;

	(void)sessions;
	(void)key;
	if (!fixture->session_in_memory)
		return NULL;
	session = mem_new(sizeof(*session));
	session->refs = 1;
	return session;
}

void session_unref(struct session **session)
{
	free(*session);
	*session = NULL;
}

void session_find_start(struct sessions *sessions, struct session_op **slot,
			const struct session_key *key, session_done *done, void *ctx)
{
	struct fixture *fixture = the_fixture(NULL);

	(void)sessions;
	snprintf(fixture->session_id, sizeof(fixture->session_id), "%s", key->id);
	snprintf(fixture->endpoint, sizeof(fixture->endpoint), "%s", key->endpoint);
	pend(&fixture->finding, slot, (void *)done, ctx);
}

void session_cancel(struct session_op **slot)
{
	cancel(&the_fixture(NULL)->finding, slot);
}

int subscription_start(struct subscriptions *subscriptions, struct subscription **slot,
		       const struct subscription_params *params, struct err *err)
{
	struct fixture *fixture = the_fixture(NULL);

	(void)subscriptions;
	assert_ptr_equal(params->tenant, &fixture->tenant);
	assert_int_equal(params->era, MCP_LEGACY);
	if (fixture->refuses) {
		*err = fixture->refusal;
		return -1;
	}
	snprintf(fixture->session_id, sizeof(fixture->session_id), "%s", params->session_id);
	snprintf(fixture->endpoint, sizeof(fixture->endpoint), "%s", params->endpoint);
	fixture->changed = params->changed;
	pend(&fixture->stream, slot, (void *)params->ended, params->ctx);
	return 0;
}

void subscription_cancel(struct subscription **slot)
{
	cancel(&the_fixture(NULL)->stream, slot);
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

static const struct route routes[] = {
	{1U << LISTENER_PUBLIC,	 "GET", "/mcp",				mcp_get},
	{ 1U << LISTENER_PUBLIC, "GET", "/t/{tenant}/c/{connection}/mcp", mcp_get},
	{ 0,		     NULL,  NULL,			     NULL   },
};

static void unrouted(struct exchange *exchange, const char *allow)
{
	(void)allow;
	problem_answer(exchange, &(struct err){ .code = ERR_NOT_FOUND, .text = "nothing here" });
}

static int set_up(void **state)
{
	struct fixture *fixture = mem_new(sizeof(*fixture));

	fixture->loop = loop_new();
	fixture->gate = (struct gate){ .loop = fixture->loop };
	fixture->app = (struct http_app){ .gate = &fixture->gate, .development = true };
	fixture->connection = (struct connection){ .name = "crm", .enabled = true };
	fixture->tenant = (struct tenant){ .refs = 1,
					   .name = "acme",
					   .enabled = true,
					   .connections = &fixture->connection,
					   .n_connections = 1 };
	fixture->tenant_in_memory = true;
	fixture->session_in_memory = true;
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
	loop_free(&fixture->loop);
	assert_int_equal(fixture->tenant.refs, 1);
	close(fixture->listening);
	free(fixture);
	return 0;
}

static struct wire *ask(struct fixture *fixture, const char *line, const char *headers)
{
	struct wire *wire = wire_connect(fixture->loop, fixture->port);
	char request[1000];

	snprintf(request, sizeof(request), "%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", line,
		 headers);
	wire_send(wire, request);
	return wire;
}

static void expect_answer(struct wire *wire, const char *status, const char *header,
			  const char *body)
{
	const char *answer = wire_await(wire, body);

	if (strstr(answer, status) == NULL || strstr(answer, header) == NULL)
		fail_msg("not %s with %s: %s", status, header, answer);
	wire_close(&wire);
}

static bool is_pending(void *ctx)
{
	return ((struct pending *)ctx)->slot != NULL;
}

static bool is_not_pending(void *ctx)
{
	return !is_pending(ctx);
}

static void wait_for(struct fixture *fixture, struct pending *pending)
{
	wire_until(fixture->loop, is_pending, pending, "the operation");
}

static void end_stream(struct fixture *fixture, enum subscription_end why)
{
	struct pending was = take(&fixture->stream);

	((void (*)(void *, enum subscription_end))was.done)(was.ctx, why);
}

static void opens_a_stream_and_says_what_changes(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire =
		ask(fixture, "GET /t/acme/c/crm/mcp", ALL "Origin: http://localhost:3000\r\n");
	const char *head = wire_await(wire, ":\n\n");

	assert_non_null(strstr(head, "HTTP/1.1 200 OK\r\n"));
	assert_non_null(strstr(head, "Content-Type: text/event-stream\r\n"));
	assert_non_null(strstr(head, "X-Accel-Buffering: no\r\n"));
	assert_non_null(strstr(head, "Cache-Control: no-store, no-cache, no-transform\r\n"));
	assert_non_null(strstr(head, "Access-Control-Allow-Origin: http://localhost:3000\r\n"));
	assert_string_equal(fixture->session_id, "s1");
	assert_string_equal(fixture->endpoint, "crm");
	/* The snapshot is not kept. */
	assert_int_equal(fixture->tenant.refs, 1);
	fixture->changed(fixture->stream.ctx);
	wire_await(wire, CHANGED);
	wire_forget(wire);
	wire_await(wire, ":\n\n"); /* it is kept alive */
	end_stream(fixture, SUBSCRIPTION_DRAINED);
	wire_await(wire, "\r\n0\r\n\r\n");
	assert_int_equal(fixture->n_cancelled, 0);
	wire_close(&wire);
}

static void a_client_that_leaves_cancels_what_runs(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = ask(fixture, "GET /mcp", ALL);

	wait_for(fixture, &fixture->stream);
	wire_close(&wire);
	wire_until(fixture->loop, is_not_pending, &fixture->stream, "the cancel");
	wire = ask(fixture, "GET /mcp", NEW_KEY SESSION SSE);
	wait_for(fixture, &fixture->identity);
	wire_close(&wire);
	wire_until(fixture->loop, is_not_pending, &fixture->identity, "the cancel");
	fixture->session_in_memory = false;
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->finding);
	wire_close(&wire);
	wire_until(fixture->loop, is_not_pending, &fixture->finding, "the cancel");
	fixture->tenant_in_memory = false;
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->loading);
	wire_close(&wire);
	wire_until(fixture->loop, is_not_pending, &fixture->loading, "the cancel");
	assert_int_equal(fixture->n_cancelled, 4);
}

static void what_is_not_in_memory_is_asked_for(void **state)
{
	struct fixture *fixture = *state;
	struct principal *principal = new_principal();
	struct wire *wire;
	struct pending was;

	fixture->tenant_in_memory = fixture->session_in_memory = false;
	wire = ask(fixture, "GET /mcp", NEW_KEY SESSION SSE);
	wait_for(fixture, &fixture->identity);
	was = take(&fixture->identity);
	((identity_done *)was.done)(was.ctx, principal, NULL);
	principal_unref(&principal);
	was = take(&fixture->loading);
	((tenants_done *)was.done)(was.ctx, &fixture->tenant, NULL);
	assert_string_equal(fixture->session_id, "s1");
	assert_string_equal(fixture->endpoint, "");
	was = take(&fixture->finding);
	((session_done *)was.done)(was.ctx, NULL, NULL);
	wire_await(wire, ":\n\n");
	end_stream(fixture, SUBSCRIPTION_REPLACED);
	wire_await(wire, "\r\n0\r\n\r\n");
	wire_close(&wire);
}

static void refuses_in_order(void **state)
{
	static const struct {
		const char *line;
		const char *headers;
		const char *status, *header, *body;
	} rows[] = {
		{"GET /mcp",		      ALL "Origin: https://evil.example.com\r\n",	  "HTTP/1.1 403 ", "",
		  "\"code\":-32000"															      },
		{ "GET /mcp",		      ALL "MCP-Protocol-Version: 2026-07-28\r\n",	  "HTTP/1.1 405 ",
		  "Allow: POST\r\n",													"\"code\":-32000"    },
		{ "GET /mcp",		      ALL "X-API-Key: other\r\n",			  "HTTP/1.1 400 ", "",			       "\"code\":-32600"	 },
		{ "GET /mcp",		      SESSION SSE,				   "HTTP/1.1 401 ", "WWW-Authenticate: Bearer\r\n",
		  "\"code\":-32000"															      },
		{ "GET /mcp",		      "X-API-Key: wrong\r\n",			      "HTTP/1.1 401 ",
		  "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",									  "\"code\":-32000"    },
		{ "GET /t/other/c/crm/mcp", KEYED,					   "HTTP/1.1 404 ", "",				"Not found"	    },
		{ "GET /t/acme/c/none/mcp", KEYED,					   "HTTP/1.1 404 ", "",				"Not found"	    },
		{ "GET /mcp",		      KEYED SESSION "Accept: application/json\r\n", "HTTP/1.1 406 ", "",
		  "Not Acceptable"															       },
		{ "GET /mcp",		      KEYED SSE,					 "HTTP/1.1 400 ", "",			      "Session ID required"},
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect_answer(ask(fixture, rows[i].line, rows[i].headers), rows[i].status,
			      rows[i].header, rows[i].body);
		assert_null(fixture->stream.slot);
	}
	fixture->connection.enabled = false;
	expect_answer(ask(fixture, "GET /t/acme/c/crm/mcp", ALL), "HTTP/1.1 404 ", "", "Not found");
	fixture->tenant.enabled = false;
	expect_answer(ask(fixture, "GET /mcp", ALL), "HTTP/1.1 404 ", "", "Not found");
}

/* It would never end. */
static void head_is_not_get(void **state)
{
	struct fixture *fixture = *state;

	expect_answer(ask(fixture, "HEAD /mcp", ALL), "HTTP/1.1 405 ",
		      "Allow: GET, POST, DELETE\r\n", "\r\n\r\n");
	assert_null(fixture->stream.slot);
}

static void what_cannot_be_found_out_is_404_or_503(void **state)
{
	const struct err away = { .code = ERR_UNAVAILABLE, .text = "password of app is x" };
	const struct err missing = { .code = ERR_NOT_FOUND, .text = "none" };
	struct fixture *fixture = *state;
	struct wire *wire;
	struct pending was;

	fixture->session_in_memory = false;
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->finding);
	was = take(&fixture->finding);
	((session_done *)was.done)(was.ctx, NULL, &missing);
	expect_answer(wire, "HTTP/1.1 404 ", "",
		      "\"code\":-32001,\"message\":\"Session not found\"");
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->finding);
	was = take(&fixture->finding);
	((session_done *)was.done)(was.ctx, NULL, &away);
	wire_await(wire, "streams cannot be opened now");
	assert_null(strstr(wire_received(wire), "password"));
	expect_answer(wire, "HTTP/1.1 503 ", "Retry-After: 1\r\n", "\"code\":-32000");
	fixture->tenant_in_memory = false;
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->loading);
	was = take(&fixture->loading);
	((tenants_done *)was.done)(was.ctx, NULL, &missing);
	expect_answer(wire, "HTTP/1.1 404 ", "", "Not found");
	wire = ask(fixture, "GET /mcp", ALL);
	wait_for(fixture, &fixture->loading);
	was = take(&fixture->loading);
	((tenants_done *)was.done)(was.ctx, NULL, &away);
	expect_answer(wire, "HTTP/1.1 503 ", "Retry-After: 1\r\n", "streams cannot be opened now");
}

static void one_too_many_is_told_when_to_come_again(void **state)
{
	struct fixture *fixture = *state;

	fixture->refuses = true;
	fixture->refusal = (struct err){ .code = ERR_RATE_LIMITED, .text = "too many" };
	expect_answer(ask(fixture, "GET /mcp", ALL), "HTTP/1.1 429 ", "Retry-After: 2\r\n",
		      "too many");
	fixture->refusal = (struct err){ .code = ERR_UNAVAILABLE, .text = "stopping" };
	expect_answer(ask(fixture, "GET /mcp", ALL), "HTTP/1.1 503 ", "Retry-After: 2\r\n",
		      "stopping");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(opens_a_stream_and_says_what_changes),
		TEST(a_client_that_leaves_cancels_what_runs),
		TEST(what_is_not_in_memory_is_asked_for),
		TEST(refuses_in_order),
		TEST(head_is_not_get),
		TEST(what_cannot_be_found_out_is_404_or_503),
		TEST(one_too_many_is_told_when_to_come_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
