/* SPDX-License-Identifier: Apache-2.0 */
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
#include "gateway/http/app.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/problem.h"
#include "tests/fakes/wire.h"

#define KEYED	"Authorization: Bearer known\r\n"
#define SESSION "Mcp-Session-Id: s1\r\n"

/* --- identities and sessions that answer when the test says so ---------------------------------*/

struct identity_op {
	struct identity_op **slot;
	char *credential;
	identity_done *done;
	void *ctx;
};
struct session_op {
	struct session_op **slot;
	char *endpoint, *id;
	const struct principal *principal;
	session_done *done;
	void *ctx;
};
/* What gate->identity and gate->sessions point to. */
struct identity {
	struct identity_op *op;
};
struct sessions {
	struct session_op *op;
};

static struct principal *new_principal(void)
{
	struct principal *principal = mem_new(sizeof(*principal));

	principal->refs = 1;
	principal->tenant = mem_strdup("acme");
	principal->api_key = mem_strdup("key");
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
	struct identity_op *op = mem_new(sizeof(*op));

	assert_null(identity->op);
	*op = (struct identity_op){ slot, mem_strdup(credential), done, ctx };
	*slot = op;
	identity->op = op;
}

static struct identity_op take_identity(struct identity *identity)
{
	struct identity_op op = *identity->op;

	*op.slot = NULL;
	free(op.credential);
	free(identity->op);
	identity->op = NULL;
	return op;
}

void session_end_start(struct sessions *sessions, struct session_op **slot,
		       const struct session_key *key, session_done *done, void *ctx)
{
	struct session_op *op = mem_new(sizeof(*op));

	assert_null(sessions->op);
	*op = (struct session_op){
		slot, mem_strdup(key->endpoint), mem_strdup(key->id), key->principal, done, ctx
	};
	*slot = op;
	sessions->op = op;
}

static struct session_op take_session(struct sessions *sessions)
{
	struct session_op op = *sessions->op;

	*op.slot = NULL;
	free(op.endpoint);
	free(op.id);
	free(sessions->op);
	sessions->op = NULL;
	return op;
}

/* --- server ------------------------------------------------------------------------------------*/

struct fixture {
	struct loop *loop;
	struct http_server *server;
	struct identity identity;
	struct sessions sessions;
	struct gate gate;
	struct http_app app;
	int listening;
	uint16_t port;
	size_t n_cancelled;
};

static struct fixture *the_fixture(struct fixture *set)
{
	static struct fixture *the;

	if (set != NULL)
		the = set;
	return the;
}

void identity_cancel(struct identity_op **slot)
{
	if (*slot == NULL)
		return;
	(void)take_identity(&the_fixture(NULL)->identity);
	the_fixture(NULL)->n_cancelled++;
}

void session_cancel(struct session_op **slot)
{
	if (*slot == NULL)
		return;
	(void)take_session(&the_fixture(NULL)->sessions);
	the_fixture(NULL)->n_cancelled++;
}

static const struct route routes[] = {
	{1U << LISTENER_PUBLIC,	 "DELETE", "/mcp",			   mcp_delete},
	{ 1U << LISTENER_PUBLIC, "DELETE", "/t/{tenant}/c/{connection}/mcp", mcp_delete},
	{ 0,		     NULL,	   NULL,			     NULL      },
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
	fixture->gate = (struct gate){ .loop = fixture->loop,
				       .identity = &fixture->identity,
				       .sessions = &fixture->sessions };
	fixture->app = (struct http_app){ .gate = &fixture->gate, .development = true };
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

static void assert_answer(struct wire *wire, const char *status, const char *header,
			  const char *body)
{
	const char *answer = wire_await(wire, body);

	if (strstr(answer, status) == NULL || strstr(answer, header) == NULL)
		fail_msg("not %s with %s: %s", status, header, answer);
	wire_close(&wire);
}

static bool an_identity_is_asked_for(void *ctx)
{
	return ((struct fixture *)ctx)->identity.op != NULL;
}

static bool a_session_is_asked_for(void *ctx)
{
	return ((struct fixture *)ctx)->sessions.op != NULL;
}

static bool nothing_is_asked_for(void *ctx)
{
	return !an_identity_is_asked_for(ctx) && !a_session_is_asked_for(ctx);
}

static void ends_the_session_of_its_owner(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = ask(fixture, "DELETE /t/acme/c/crm/mcp",
				KEYED SESSION "Origin: http://localhost:3000\r\n");
	struct session_op op;

	wire_until(fixture->loop, a_session_is_asked_for, fixture, "the session");
	assert_string_equal(fixture->sessions.op->endpoint, "crm");
	assert_string_equal(fixture->sessions.op->id, "s1");
	assert_string_equal(fixture->sessions.op->principal->tenant, "acme");
	op = take_session(&fixture->sessions);
	op.done(op.ctx, NULL, NULL);
	assert_answer(wire, "HTTP/1.1 204 No Content\r\n",
		      "Access-Control-Allow-Origin: ", "\r\n\r\n");
	assert_int_equal(fixture->n_cancelled, 0);
}

static void asks_the_database_who_it_is(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = ask(fixture, "DELETE /mcp", "X-API-Key: new\r\n" SESSION);
	struct principal *principal = new_principal();
	struct identity_op identity;
	struct session_op session;

	wire_until(fixture->loop, an_identity_is_asked_for, fixture, "the identity");
	assert_string_equal(fixture->identity.op->credential, "new");
	identity = take_identity(&fixture->identity);
	identity.done(identity.ctx, principal, NULL);
	principal_unref(&principal);
	assert_string_equal(fixture->sessions.op->endpoint, "");
	session = take_session(&fixture->sessions);
	session.done(session.ctx, NULL, &(struct err){ .code = ERR_NOT_FOUND });
	assert_answer(wire, "HTTP/1.1 404 Not Found\r\n", "Content-Type: application/json\r\n",
		      "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32001,"
		      "\"message\":\"Session not found\"}}");
}

static void refuses_in_order(void **state)
{
	static const struct {
		const char *line;
		const char *headers;
		const char *status, *header, *code;
	} rows[] = {
		{"DELETE /mcp",		 "Origin: https://evil.example.com\r\n" KEYED SESSION,
		  "HTTP/1.1 403 ",										     "",			       "\"code\":-32000"	 },
		{ "DELETE /mcp",		 KEYED SESSION "MCP-Protocol-Version: 2026-07-28\r\n",
		  "HTTP/1.1 405 ",										     "Allow: POST\r\n",	      "\"code\":-32000"	},
		{ "DELETE /mcp",		 KEYED "X-API-Key: other\r\n" SESSION,		       "HTTP/1.1 400 ", "",
		  "\"code\":-32600"																	 },
		{ "DELETE /mcp",		 SESSION,					      "HTTP/1.1 401 ", "WWW-Authenticate: Bearer\r\n",
		  "\"code\":-32000"																	 },
		{ "DELETE /mcp",		 "X-API-Key: wrong\r\n" SESSION,			 "HTTP/1.1 401 ",
		  "WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",									      "\"code\":-32000"    },
		{ "DELETE /mcp",		 KEYED,						"HTTP/1.1 400 ", "",			     "Session ID required"},
		{ "DELETE /mcp",		 "X-API-Key: wrong\r\n",				 "HTTP/1.1 401 ", "",			      "\"code\":-32000"	},
		{ "DELETE /t/other/c/crm/mcp", KEYED SESSION,					      "HTTP/1.1 404 ", "",
		  "\"code\":-32001,\"message\":\"Session not found\""												       },
	};
	struct fixture *fixture = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_answer(ask(fixture, rows[i].line, rows[i].headers), rows[i].status,
			      rows[i].header, rows[i].code);
		assert_true(nothing_is_asked_for(fixture));
	}
}

static void a_database_that_is_away_is_503(void **state)
{
	const struct err away = { .code = ERR_UNAVAILABLE, .text = "password of app is x" };
	struct fixture *fixture = *state;
	struct wire *wire = ask(fixture, "DELETE /mcp", "X-API-Key: new\r\n" SESSION);
	struct identity_op identity;
	struct session_op session;

	wire_until(fixture->loop, an_identity_is_asked_for, fixture, "the identity");
	identity = take_identity(&fixture->identity);
	identity.done(identity.ctx, NULL, &away);
	wire_await(wire, "sessions cannot be ended now");
	assert_null(strstr(wire_received(wire), "password"));
	assert_answer(wire, "HTTP/1.1 503 ", "Retry-After: 1\r\n", "\"code\":-32000");

	wire = ask(fixture, "DELETE /mcp", KEYED SESSION);
	wire_until(fixture->loop, a_session_is_asked_for, fixture, "the session");
	session = take_session(&fixture->sessions);
	session.done(session.ctx, NULL, &away);
	assert_answer(wire, "HTTP/1.1 503 ", "Retry-After: 1\r\n", "\"code\":-32000");

	wire = ask(fixture, "DELETE /mcp", "X-API-Key: new\r\n" SESSION);
	wire_until(fixture->loop, an_identity_is_asked_for, fixture, "the identity");
	identity = take_identity(&fixture->identity);
	identity.done(identity.ctx, NULL,
		      &(struct err){ .code = ERR_UNAUTHENTICATED, .text = "no such key" });
	assert_answer(wire, "HTTP/1.1 401 ", "invalid_token", "no such key");
}

static void a_client_that_leaves_cancels_what_runs(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = ask(fixture, "DELETE /mcp", "X-API-Key: new\r\n" SESSION);

	wire_until(fixture->loop, an_identity_is_asked_for, fixture, "the identity");
	wire_close(&wire);
	wire_until(fixture->loop, nothing_is_asked_for, fixture, "the cancel");
	assert_int_equal(fixture->n_cancelled, 1);
	wire = ask(fixture, "DELETE /mcp", KEYED SESSION);
	wire_until(fixture->loop, a_session_is_asked_for, fixture, "the session");
	wire_close(&wire);
	wire_until(fixture->loop, nothing_is_asked_for, fixture, "the cancel");
	assert_int_equal(fixture->n_cancelled, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(ends_the_session_of_its_owner, set_up, tear_down),
		cmocka_unit_test_setup_teardown(asks_the_database_who_it_is, set_up, tear_down),
		cmocka_unit_test_setup_teardown(refuses_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_database_that_is_away_is_503, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_that_leaves_cancels_what_runs, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
