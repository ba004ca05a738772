/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/http_client.h"
#include "base/mem.h"
#include "tests/fakes/peer.h"

#define GUARD_MS     20000
#define MAX_BODY     (64 * 1024 * 1024)
#define ANSWER_OK    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define N(array)     (sizeof(array) / sizeof((array)[0]))
#define SCRIPT(name) static const struct peer_step name[]
#define FLOOD_BYTES  ((size_t)32 * 1024 * 1024)

/* --- names: the resolver that curl's lookup threads call is ours ------------------------------ */

static sem_t slow_lookup; /* "slow.test" waits for it */

static const struct {
	const char *name;
	const char *addresses[2];
} names[] = {
	{ "inside.test", { "127.0.0.1", NULL } },
	{ "metadata.test", { "169.254.169.254", NULL } },
	{ "both.test", { "10.255.255.1", "127.0.0.1" } },
	{ "slow.test", { "127.0.0.1", NULL } },
};

static struct addrinfo *entry_new(const char *address, const char *port)
{
	struct sockaddr_in *in = mem_new(sizeof(*in));
	struct addrinfo *entry = mem_new(sizeof(*entry));

	in->sin_family = AF_INET;
	in->sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	inet_pton(AF_INET, address, &in->sin_addr);
	entry->ai_family = AF_INET;
	entry->ai_socktype = SOCK_STREAM;
	entry->ai_addrlen = sizeof(*in);
	entry->ai_addr = (struct sockaddr *)in;
	return entry;
}

int getaddrinfo(const char *restrict name, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict list)
{
	struct addrinfo **link = list;

	(void)hints;
	if (strcmp(name, "slow.test") == 0)
		sem_wait(&slow_lookup);
	*list = NULL;
	for (size_t i = 0; i < N(names); i++) {
		for (size_t k = 0; k < 2 && strcmp(names[i].name, name) == 0; k++) {
			if (names[i].addresses[k] == NULL)
				continue;
			*link = entry_new(names[i].addresses[k], service);
			link = &(*link)->ai_next;
		}
	}
	return *list != NULL ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list != NULL) {
		struct addrinfo *next = list->ai_next;

		free(list->ai_addr);
		free(list);
		list = next;
	}
}

/* --- a client, a peer, and what came of each request ------------------------------------------ */

struct world {
	struct loop *loop;
	struct http_client *client;
	struct egress_policy *egress; /* loopback allowed */
	struct peer *peer;
	struct timer guard;
	struct timer poll;
	bool (*holds)(void *ctx);
	void *holds_ctx;
};

struct outcome {
	struct world *world;
	struct http_request *request; /* the slot */
	size_t heads, reads, dones;
	int status;
	char *headers; /* "name: value\n" … */
	struct buf body;
	bool failed;
	struct err err;
	char journal[64]; /* h, d, D in order */
	size_t n_journal;
	void (*on_head)(struct outcome *outcome);
	void (*on_data)(struct outcome *outcome);
	void (*on_done)(struct outcome *outcome);
	struct outcome *other;
};

static void note(struct outcome *outcome, char what)
{
	if (outcome->n_journal < sizeof(outcome->journal) - 1)
		outcome->journal[outcome->n_journal++] = what;
}

static void on_head(void *ctx, const struct http_head *head)
{
	struct outcome *outcome = ctx;
	struct buf text;

	assert_non_null(outcome->request);
	assert_true(http_sent(outcome->request));
	note(outcome, 'h');
	outcome->heads++;
	outcome->status = head->status;
	buf_init(&text, 1024 * 1024);
	for (size_t i = 0; i < head->n_headers; i++)
		buf_printf(&text, "%s: %s\n", head->headers[i].name, head->headers[i].value);
	free(outcome->headers);
	outcome->headers = mem_strdup(buf_str(&text));
	buf_fini(&text);
	if (outcome->on_head != NULL)
		outcome->on_head(outcome);
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct outcome *outcome = ctx;

	assert_non_null(outcome->request);
	assert_int_equal(outcome->heads, 1);
	assert_true(n > 0);
	note(outcome, 'd');
	outcome->reads++;
	assert_int_equal(buf_append(&outcome->body, p, n), 0);
	if (outcome->on_data != NULL)
		outcome->on_data(outcome);
}

static void on_done(void *ctx, const struct err *err)
{
	struct outcome *outcome = ctx;

	assert_null(outcome->request);
	note(outcome, 'D');
	outcome->dones++;
	outcome->failed = err != NULL;
	if (err != NULL)
		outcome->err = *err;
	if (outcome->on_done != NULL)
		outcome->on_done(outcome);
	loop_stop(outcome->world->loop);
}

static const struct http_events events = { on_head, on_data, on_done };

static void outcome_init(struct outcome *outcome, struct world *world)
{
	*outcome = (struct outcome){ .world = world };
	buf_init(&outcome->body, MAX_BODY);
}

static void outcome_fini(struct outcome *outcome)
{
	http_cancel(&outcome->request);
	buf_fini(&outcome->body);
	free(outcome->headers);
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

static void run_until_done(struct outcome *outcome)
{
	while (outcome->dones == 0)
		run(outcome->world);
	assert_int_equal(outcome->dones, 1);
}

static void on_poll(void *ctx)
{
	struct world *world = ctx;

	if (world->holds(world->holds_ctx))
		loop_stop(world->loop);
	else
		timer_start(world->loop, &world->poll, 1, on_poll, world);
}

static void run_until(struct world *world, bool (*holds)(void *ctx), void *ctx)
{
	world->holds = holds;
	world->holds_ctx = ctx;
	while (!holds(ctx)) {
		timer_start(world->loop, &world->poll, 1, on_poll, world);
		run(world);
		timer_stop(&world->poll);
	}
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));
	struct err err;

	world->loop = loop_new();
	world->client = http_client_new(world->loop);
	world->egress = egress_policy_new(NULL, 0, true, &err);
	*state = world;
	return world->egress != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	http_client_free(&world->client);
	peer_stop(&world->peer);
	egress_policy_unref(&world->egress);
	loop_free(&world->loop);
	free(world);
	return 0;
}

/* The peer plays `script` on every connection. */
#define PLAY(world, script)                                                                        \
	do {                                                                                       \
		static const struct peer_step *const only[] = { script };                          \
		(world)->peer = peer_start(only, 1);                                               \
	} while (0)

static const char *url_of(const struct world *world, const char *scheme, const char *host,
			  const char *target)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s://%s:%u%s", scheme, host, peer_port(world->peer), target);
	return text;
}

static struct http_params get(const struct world *world)
{
	return (struct http_params){
		.method = "GET",
		.url = url_of(world, "http", "127.0.0.1", "/"),
		.egress = world->egress,
		.max_body_bytes = MAX_BODY,
	};
}

static struct http_params post(const struct world *world, const char *body)
{
	struct http_params params = get(world);

	params.method = "POST";
	params.body = span_of(body);
	return params;
}

static void start(struct outcome *outcome, const struct http_params *params)
{
	http_start(outcome->world->client, &outcome->request, params, &events, outcome);
	assert_non_null(outcome->request);
	assert_int_equal(outcome->n_journal, 0);
}

static void finish(struct world *world, const struct http_params *params, struct outcome *outcome)
{
	outcome_init(outcome, world);
	start(outcome, params);
	run_until_done(outcome);
}

static void assert_ok(const struct outcome *outcome, const char *body)
{
	if (outcome->failed)
		fail_msg("%s", outcome->err.text);
	assert_int_equal(outcome->status, 200);
	assert_string_equal(buf_str(&outcome->body), body);
}

static void assert_failed(const struct outcome *outcome, enum err_code code, const char *tag,
			  const char *text)
{
	assert_true(outcome->failed);
	if (outcome->err.code != code || strstr(outcome->err.text, text) == NULL ||
	    strcmp(outcome->err.tag, tag) != 0)
		fail_msg("%s, tag \"%s\": %s", err_name(outcome->err.code), outcome->err.tag,
			 outcome->err.text);
}

/* The one request that must end well with "ok". */
static void get_ok(struct world *world, const struct http_params *params)
{
	struct outcome outcome;

	finish(world, params, &outcome);
	assert_ok(&outcome, "ok");
	outcome_fini(&outcome);
}

static void assert_request(struct world *world, size_t i, const char *format)
{
	char *got = peer_request(world->peer, i);
	char port[8];
	struct buf wanted;
	const char *mark = strstr(format, "PORT");

	snprintf(port, sizeof(port), "%u", peer_port(world->peer));
	buf_init(&wanted, 65536);
	buf_append(&wanted, format, (size_t)(mark - format));
	buf_add(&wanted, port);
	buf_add(&wanted, mark + 4);
	assert_string_equal(got, buf_str(&wanted));
	buf_fini(&wanted);
	free(got);
}

/* --- what goes out ---------------------------------------------------------------------------- */

SCRIPT(serve) = { { PEER_REQUEST, NULL, 0 }, { PEER_SEND, ANSWER_OK, 0 }, { PEER_AGAIN, NULL, 0 } };

static void a_request_carries_what_was_given_and_nothing_else(void **state)
{
	struct world *world = *state;
	const struct http_header headers[] = {
		{ "X-One", "a b" },
		{ "Accept", "application/json, text/event-stream" },
		{ "X-Empty", "" },
	};
	struct http_params params;

	PLAY(world, serve);
	params = get(world);
	params.url = url_of(world, "http", "127.0.0.1", "/a%20b?c=d&e");
	params.headers = headers;
	params.n_headers = 3;
	get_ok(world, &params);
	assert_request(world, 0,
		       "GET /a%20b?c=d&e HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nX-One: a b\r\n"
		       "Accept: application/json, text/event-stream\r\nX-Empty:\r\n\r\n");
}

static void methods_and_bodies_are_framed(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *method, *body, *wanted;
	} cases[] = {
		{ "GET", NULL, "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n" },
		{ "DELETE", NULL, "DELETE / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n" },
		{ "POST", NULL,
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n" },
		{ "POST", "",
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n" },
		{ "POST", "{\"a\":1}",
		  "POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 7\r\n\r\n{\"a\":1}" },
		{ "PUT", "x", "PUT / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 1\r\n\r\nx" },
		{ "PATCH", NULL,
		  "PATCH / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 0\r\n\r\n" },
		{ "DELETE", "x",
		  "DELETE / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 1\r\n\r\nx" },
	};

	PLAY(world, serve);
	for (size_t i = 0; i < N(cases); i++) {
		struct http_params params = get(world);

		params.method = cases[i].method;
		params.body = span_of(cases[i].body);
		get_ok(world, &params);
		assert_request(world, i, cases[i].wanted);
	}
	assert_int_equal(peer_connections(world->peer), 1);
}

static void a_large_body_goes_out_whole_and_without_expect(void **state)
{
	struct world *world = *state;
	size_t n = 900000;
	char *body = mem_new(n + 1);
	struct http_params params;
	char *got;

	PLAY(world, serve);
	memset(body, 'b', n);
	params = post(world, body);
	get_ok(world, &params);
	got = peer_request(world->peer, 0);
	assert_non_null(strstr(got, "\r\nContent-Length: 900000\r\n\r\n"));
	assert_string_equal(strstr(got, "\r\n\r\n") + 4, body);
	assert_null(strstr(got, "Expect"));
	free(got);
	free(body);
}

static void the_environments_proxy_is_ignored(void **state)
{
	struct world *world = *state;
	char proxy[64];
	struct http_params params;

	PLAY(world, serve);
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%u", peer_unused_port());
	setenv("http_proxy", proxy, 1);
	setenv("all_proxy", proxy, 1);
	params = get(world);
	get_ok(world, &params);
	unsetenv("http_proxy");
	unsetenv("all_proxy");
}

/* --- what comes back -------------------------------------------------------------------------- */

SCRIPT(rich) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND,
	  "HTTP/1.1 200 Fine\r\nContent-Type: text/plain\r\nMcp-Session-Id:  s 1 \r\n"
	  "X-Two: a\r\nX-Two: b\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
	  0 },
	{ PEER_AGAIN, NULL, 0 },
};

static void an_answer_arrives_head_first(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, rich);
	params = get(world);
	finish(world, &params, &outcome);
	assert_ok(&outcome, "hello");
	assert_string_equal(outcome.journal, "hdD");
	assert_string_equal(outcome.headers,
			    "content-type: text/plain\nmcp-session-id: s 1\nx-two: a\nx-two: b\n"
			    "content-encoding: gzip\ncontent-length: 5\n");
	outcome_fini(&outcome);
}

static void a_head_is_searched_by_name(void **state)
{
	const struct http_header headers[] = { { "a", "1" }, { "b", "2" }, { "a", "3" } };
	const struct http_head head = { 200, headers, 3 };

	(void)state;
	assert_string_equal(http_head_find(&head, "a"), "1");
	assert_string_equal(http_head_find(&head, "B"), "2");
	assert_null(http_head_find(&head, "c"));
}

SCRIPT(head_now) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", 0 },
	{ PEER_GATE, NULL, 0 },
	{ PEER_SEND, "data", 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static bool has_head(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->heads == 1;
}

static void the_head_does_not_wait_for_the_body(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, head_now);
	params = get(world);
	outcome_init(&outcome, world);
	start(&outcome, &params);
	assert_false(http_sent(outcome.request));
	run_until(world, has_head, &outcome);
	assert_int_equal(outcome.reads, 0);
	peer_open_gate(world->peer);
	run_until_done(&outcome);
	assert_ok(&outcome, "data");
	outcome_fini(&outcome);
}

SCRIPT(chunked) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND,
	  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
	  "5;ext=1\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-T: 1\r\n\r\n",
	  0 },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(interim) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND,
	  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" ANSWER_OK, 0 },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(close_delimited) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.0 200 OK\r\n\r\nuntil the end", 0 },
	{ PEER_CLOSE, NULL, 0 },
};

SCRIPT(one_byte_at_a_time) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_DRIP, ANSWER_OK, 0 },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(half_closed) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_HALF_CLOSE, NULL, 0 },
	{ PEER_AWAIT_CLOSE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static void every_framing_of_http_1_is_understood(void **state)
{
	struct world *world = *state;
	static const struct {
		const struct peer_step *script;
		const char *body, *headers;
		size_t connections; /* that two requests need */
	} cases[] = {
		{ chunked, "hello world", "transfer-encoding: chunked\ntrailer: X-T\n", 1 },
		{ interim, "ok", "content-length: 2\n", 1 },
		{ close_delimited, "until the end", "", 2 },
		{ one_byte_at_a_time, "ok", "content-length: 2\n", 1 },
		{ half_closed, "ok", "content-length: 2\n", 2 },
	};

	for (size_t i = 0; i < N(cases); i++) {
		world->peer = peer_start(&cases[i].script, 1);
		for (int twice = 0; twice < 2; twice++) {
			struct http_params params = get(world);
			struct outcome outcome;

			finish(world, &params, &outcome);
			assert_ok(&outcome, cases[i].body);
			assert_string_equal(outcome.headers, cases[i].headers);
			assert_int_equal(outcome.heads, 1);
			outcome_fini(&outcome);
		}
		assert_int_equal(peer_connections(world->peer), cases[i].connections);
		peer_stop(&world->peer);
	}
}

SCRIPT(empty_answers) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 204 No Content\r\n\r\n", 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_AGAIN, NULL, 0 },
};

static void answers_without_a_body_end_and_redirects_are_not_followed(void **state)
{
	struct world *world = *state;
	static const int statuses[] = { 204, 302, 401, 200 };
	struct http_params params;

	PLAY(world, empty_answers);
	params = get(world);
	for (size_t i = 0; i < N(statuses); i++) {
		struct outcome outcome;

		params.method = i == 3 ? "HEAD" : "GET";
		finish(world, &params, &outcome);
		assert_false(outcome.failed);
		assert_int_equal(outcome.status, statuses[i]);
		assert_int_equal(outcome.reads, 0);
		assert_string_equal(outcome.journal, "hD");
		outcome_fini(&outcome);
	}
	params.method = "GET";
	get_ok(world, &params);
	assert_int_equal(peer_requests(world->peer), 5);
}

/* --- peers that break ------------------------------------------------------------------------- */

#define BREAK(name, ...)                                                                           \
	SCRIPT(name) = { { PEER_REQUEST, NULL, 0 }, __VA_ARGS__, { PEER_CLOSE, NULL, 0 } }

BREAK(closes_unanswered, { PEER_CLOSE, NULL, 0 });
BREAK(resets_unanswered, { PEER_RESET, NULL, 0 });
BREAK(cuts_the_head, { PEER_SEND, "HTTP/1.1 200 OK\r\nContent-", 0 });
BREAK(resets_after_the_head, { PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 0 },
      { PEER_GATE, NULL, 0 }, { PEER_RESET, NULL, 0 });
BREAK(cuts_the_body, { PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", 0 });
BREAK(cuts_a_chunk, { PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 0 });
BREAK(omits_the_last_chunk,
      { PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n", 0 });
BREAK(speaks_nonsense, { PEER_SEND, "220 smtp.example.com ESMTP\r\n\r\n", 0 });
BREAK(folds_a_header, { PEER_SEND, "HTTP/1.1 200 OK\r\nX-A: b\r\n  c\r\nContent-Length: 0\r\n\r\n", 0 });
BREAK(puts_a_control_byte, { PEER_SEND, "HTTP/1.1 200 OK\r\nX-A: b\x01\r\nContent-Length: 0\r\n\r\n", 0 });
BREAK(spaces_a_name, { PEER_SEND, "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n", 0 });
BREAK(switches_protocols,
      { PEER_SEND, "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nbytes", 0 });
BREAK(sends_a_bad_chunk_size,
      { PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 0 });

static const struct peer_step *const breakages[] = {
	closes_unanswered,    resets_unanswered,      cuts_the_head,	    cuts_the_body,
	cuts_a_chunk,	      omits_the_last_chunk,   speaks_nonsense,	    folds_a_header,
	puts_a_control_byte,  spaces_a_name,	      switches_protocols,   sends_a_bad_chunk_size,
};

static void a_broken_answer_is_an_upstream_error(void **state)
{
	struct world *world = *state;

	for (size_t i = 0; i < N(breakages); i++) {
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(&breakages[i], 1);
		params = post(world, "body");
		finish(world, &params, &outcome);
		assert_failed(&outcome, ERR_UPSTREAM, "", "");
		assert_int_equal(peer_requests(world->peer), 1);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

static void a_reset_after_the_head_is_an_upstream_error(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, resets_after_the_head);
	params = get(world);
	outcome_init(&outcome, world);
	start(&outcome, &params);
	run_until(world, has_head, &outcome);
	peer_open_gate(world->peer);
	run_until_done(&outcome);
	assert_failed(&outcome, ERR_UPSTREAM, "", "");
	assert_string_equal(outcome.journal, "hD");
	outcome_fini(&outcome);
}

SCRIPT(no_tls) = {
	{ PEER_SEND, "HTTP/1.1 400 This is no TLS\r\n\r\n", 0 },
	{ PEER_AWAIT_CLOSE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static void what_fails_before_the_first_byte_is_unsent(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;
	char text[64];

	PLAY(world, no_tls);
	params = post(world, "body");
	params.url = url_of(world, "https", "127.0.0.1", "/");
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_UPSTREAM, "unsent", "");
	outcome_fini(&outcome);
	snprintf(text, sizeof(text), "http://127.0.0.1:%u/", peer_unused_port());
	params.url = text;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_UPSTREAM, "unsent", "127.0.0.1:");
	outcome_fini(&outcome);
	params.url = "http://unknown.localhost.test:1/";
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_FORBIDDEN, "unsent", "https");
	outcome_fini(&outcome);
	params.url = "https://unknown.test/";
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_UPSTREAM, "unsent", "unknown.test");
	outcome_fini(&outcome);
}

/* --- a request runs at most once --------------------------------------------------------------- */

SCRIPT(dies_at_the_second_request) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

SCRIPT(resets_at_the_second_request) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_RESET, NULL, 0 },
};

SCRIPT(dies_at_the_second_head) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_AWAIT, "\r\n\r\n", 0 },
	{ PEER_RESET, NULL, 0 },
};

static void a_request_on_a_connection_that_dies_is_not_sent_again(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const first[] = {
		dies_at_the_second_request,
		resets_at_the_second_request,
		dies_at_the_second_head,
	};
	static const char *const methods[] = { "POST", "GET", "DELETE", "PUT", "POST" };

	for (size_t i = 0; i < N(first); i++) {
		for (size_t k = 0; k < N(methods); k++) {
			const struct peer_step *const scripts[] = { first[i], serve };
			struct http_params params;
			struct outcome outcome;

			world->peer = peer_start(scripts, 2);
			params = get(world);
			get_ok(world, &params);
			params.method = methods[k];
			if (k == 0)
				params.body = span_of("run me once");
			finish(world, &params, &outcome);
			assert_failed(&outcome, ERR_UPSTREAM, "", "127.0.0.1:");
			outcome_fini(&outcome);
			assert_int_equal(peer_connections(world->peer), 1);
			assert_int_equal(peer_requests(world->peer), i < 2 ? 2 : 1);
			get_ok(world, &params);
			assert_int_equal(peer_connections(world->peer), 2);
			peer_stop(&world->peer);
		}
	}
}

SCRIPT(closes_after_each) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, ANSWER_OK, 0 },
	{ PEER_GATE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static bool peer_has_closed(void *ctx)
{
	struct world *world = ctx;

	return peer_closed(world->peer) == peer_connections(world->peer);
}

static void a_connection_that_was_closed_while_idle_is_not_used(void **state)
{
	struct world *world = *state;
	struct http_params params;

	PLAY(world, closes_after_each);
	params = post(world, "body");
	for (size_t i = 1; i <= 5; i++) {
		get_ok(world, &params);
		assert_int_equal(peer_requests(world->peer), i);
		peer_open_gate(world->peer);
		run_until(world, peer_has_closed, world);
	}
	assert_int_equal(peer_connections(world->peer), 5);
}

/* --- deadlines -------------------------------------------------------------------------------- */

SCRIPT(deaf) = { { PEER_AWAIT_CLOSE, NULL, 0 }, { PEER_CLOSE, NULL, 0 } };

SCRIPT(stalls) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nstart", 0 },
	{ PEER_AWAIT_CLOSE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

SCRIPT(drips) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n", 0 },
	{ PEER_DRIP, "drop drop drop drop drop drop drop drop drop drop drop drop drop drop", 10 },
	{ PEER_AWAIT_CLOSE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

SCRIPT(hints_forever) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 100 Continue\r\n\r\n", 0 },
	{ PEER_AWAIT_CLOSE, NULL, 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static void each_deadline_ends_a_request_and_says_which(void **state)
{
	struct world *world = *state;
	static const struct {
		const struct peer_step *script;
		const char *scheme;
		int64_t connect_ms, first_byte_ms, idle_ms, total_ms;
		const char *text, *tag, *journal;
	} cases[] = {
		{ deaf, "https", 40, 0, 0, 0, ": no connection within 40 ms", "unsent", "D" },
		{ deaf, "https", 0, 40, 0, 0, ": no answer within 40 ms", "unsent", "D" },
		{ deaf, "https", 0, 0, 0, 40, ": no end of the answer within 40 ms", "unsent", "D" },
		{ deaf, "http", 20, 40, 30, 0, ": no answer within 40 ms", "", "D" },
		{ deaf, "http", 0, 80, 0, 40, ": no end of the answer within 40 ms", "", "D" },
		{ hints_forever, "http", 20, 40, 0, 0, ": no answer within 40 ms", "", "D" },
		{ stalls, "http", 20, 30, 60, 0, ": nothing more of the answer within 60 ms", "",
		  "hdD" },
		{ stalls, "http", 0, 0, 80, 40, ": no end of the answer within 40 ms", "", "hdD" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		struct http_params params;
		struct outcome outcome;
		int64_t before_ms = loop_now_ms(world->loop);

		world->peer = peer_start(&cases[i].script, 1);
		params = get(world);
		params.url = url_of(world, cases[i].scheme, "127.0.0.1", "/");
		params.connect_timeout_ms = cases[i].connect_ms;
		params.first_byte_timeout_ms = cases[i].first_byte_ms;
		params.idle_timeout_ms = cases[i].idle_ms;
		params.total_timeout_ms = cases[i].total_ms;
		finish(world, &params, &outcome);
		assert_failed(&outcome, ERR_TIMEOUT, cases[i].tag, cases[i].text);
		assert_string_equal(outcome.journal, cases[i].journal);
		assert_in_range(loop_now_ms(world->loop) - before_ms, 40, 4000);
		outcome_fini(&outcome);
		run_until(world, peer_has_closed, world);
		peer_stop(&world->peer);
	}
}

static void bytes_that_drip_are_not_idle_but_still_end_in_total(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, drips);
	params = get(world);
	params.idle_timeout_ms = 200;
	params.total_timeout_ms = 500;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_TIMEOUT, "", ": no end of the answer within 500 ms");
	assert_true(outcome.reads >= 5);
	outcome_fini(&outcome);
}

static void pause_it(struct outcome *outcome)
{
	http_pause(outcome->request);
}

static bool after_two_idles(void *ctx)
{
	const int64_t *until_ms = ctx;

	return loop_now_ms(NULL) >= *until_ms;
}

static void a_paused_request_is_not_idle(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;
	int64_t until_ms;

	PLAY(world, stalls);
	params = get(world);
	params.idle_timeout_ms = 50;
	outcome_init(&outcome, world);
	outcome.on_data = pause_it;
	start(&outcome, &params);
	run_until(world, has_head, &outcome);
	until_ms = loop_now_ms(world->loop) + 150;
	run_until(world, after_two_idles, &until_ms);
	assert_int_equal(outcome.dones, 0);
	outcome.on_data = NULL;
	http_resume(outcome.request);
	run_until_done(&outcome);
	assert_failed(&outcome, ERR_TIMEOUT, "", ": nothing more of the answer within 50 ms");
	assert_true(loop_now_ms(world->loop) >= until_ms + 50);
	outcome_fini(&outcome);
}

static void on_slow(void *ctx)
{
	(void)ctx;
	sem_post(&slow_lookup);
}

static void a_name_lookup_that_hangs_does_not_hang_the_loop(void **state)
{
	struct world *world = *state;
	struct timer late = { 0 };
	struct outcome outcome;
	struct http_params params;
	int64_t before_ms = loop_now_ms(world->loop);

	PLAY(world, serve);
	params = get(world);
	params.url = "https://slow.test/";
	params.connect_timeout_ms = 40;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_TIMEOUT, "unsent", "slow.test:443: no connection within 40 ms");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	start(&outcome, &params);
	timer_start(world->loop, &late, 10, on_slow, NULL);
	outcome_fini(&outcome); /* cancels */
	params = get(world);
	get_ok(world, &params);
	assert_in_range(loop_now_ms(world->loop) - before_ms, 40, GUARD_MS / 4);
	timer_stop(&late);
	sem_post(&slow_lookup);
	sem_post(&slow_lookup);
}

/* --- ceilings --------------------------------------------------------------------------------- */

SCRIPT(ten_by_length) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", 0 },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(ten_by_chunks) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ PEER_CHUNKS, NULL, 10 },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(ten_until_close) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\n\r\n0123456789", 0 },
	{ PEER_CLOSE, NULL, 0 },
};

static void the_ceiling_of_the_body_holds_however_it_is_framed(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { ten_by_length, ten_by_chunks,
							   ten_until_close };

	for (size_t i = 0; i < N(scripts); i++) {
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(&scripts[i], 1);
		params = get(world);
		params.max_body_bytes = 9;
		finish(world, &params, &outcome);
		assert_failed(&outcome, ERR_TOO_LARGE, "", "body is over 9 bytes");
		assert_true(outcome.body.len <= 9);
		outcome_fini(&outcome);
		params.max_body_bytes = 10;
		finish(world, &params, &outcome);
		assert_false(outcome.failed);
		assert_int_equal(outcome.body.len, 10);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

/* An answer of `n_interim` interim heads and a final one with n headers of `bytes` each. */
static char *large_head(size_t n_interim, size_t n, size_t bytes)
{
	struct buf text;

	buf_init(&text, MAX_BODY);
	for (size_t i = 0; i < n_interim; i++)
		buf_add(&text, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
	buf_add(&text, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
	for (size_t i = 0; i < n; i++) {
		buf_add(&text, "x: ");
		for (size_t k = 3; k < bytes; k++)
			buf_add(&text, "v");
		buf_add(&text, "\r\n");
	}
	buf_add(&text, "\r\n");
	return buf_take(&text, &n);
}

static void the_head_has_ceilings(void **state)
{
	struct world *world = *state;
	static const struct {
		size_t n_interim, n, bytes;
		const char *text; /* NULL: accepted */
	} cases[] = {
		{ 0, HTTP_MAX_HEADERS - 1, 10, NULL },
		{ 0, HTTP_MAX_HEADERS, 10, "more than 200 headers" },
		{ 0, 60, 1000, NULL },
		{ 0, 66, 1000, "more than 65536 bytes of headers" },
		{ 0, 1, 60000, NULL },
		{ 0, 1, 70000, "more than 65536 bytes of headers" },
		{ 500, 0, 0, NULL },
		{ 5000, 0, 0, "more than 65536 bytes of headers" },
	};

	for (size_t i = 0; i < N(cases); i++) {
		char *head = large_head(cases[i].n_interim, cases[i].n, cases[i].bytes);
		const struct peer_step script[] = {
			{ PEER_REQUEST, NULL, 0 },
			{ PEER_SEND, head, 0 },
			{ PEER_AWAIT_CLOSE, NULL, 0 },
			{ PEER_CLOSE, NULL, 0 },
		};
		const struct peer_step *const scripts[] = { script };
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(scripts, 1);
		params = get(world);
		finish(world, &params, &outcome);
		if (cases[i].text != NULL)
			assert_failed(&outcome, ERR_TOO_LARGE, "", cases[i].text);
		else
			assert_ok(&outcome, "");
		outcome_fini(&outcome);
		peer_stop(&world->peer);
		free(head);
	}
}

/* --- back-pressure ---------------------------------------------------------------------------- */

SCRIPT(floods) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 33554432\r\n\r\n", 0 },
	{ PEER_FLOOD, NULL, FLOOD_BYTES },
	{ PEER_AGAIN, NULL, 0 },
};

SCRIPT(floods_in_chunks) = {
	{ PEER_REQUEST, NULL, 0 },
	{ PEER_SEND, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0 },
	{ PEER_CHUNKS, NULL, FLOOD_BYTES },
	{ PEER_AGAIN, NULL, 0 },
};

static bool has_data(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->reads == 1;
}

struct flow_watch {
	struct peer *peer;
	size_t last;
	size_t unchanged;
};

/* The kernel's buffers are full: nothing was taken in a hundred looks. */
static bool flow_stands_still(void *ctx)
{
	struct flow_watch *flow = ctx;
	size_t now = peer_bytes_sent(flow->peer);

	flow->unchanged = now == flow->last ? flow->unchanged + 1 : 0;
	flow->last = now;
	return flow->unchanged >= 100;
}

static void a_paused_answer_holds_the_peer_back(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { floods, floods_in_chunks };

	for (size_t i = 0; i < N(scripts); i++) {
		struct flow_watch flow = { 0 };
		struct http_params params;
		struct outcome outcome;

		world->peer = peer_start(&scripts[i], 1);
		flow.peer = world->peer;
		params = get(world);
		outcome_init(&outcome, world);
		outcome.on_data = pause_it;
		start(&outcome, &params);
		run_until(world, has_data, &outcome);
		run_until(world, flow_stands_still, &flow);
		assert_int_equal(outcome.reads, 1);
		assert_true(flow.last < FLOOD_BYTES / 2);
		outcome.on_data = NULL;
		http_resume(outcome.request);
		assert_int_equal(outcome.reads, 1);
		run_until_done(&outcome);
		assert_false(outcome.failed);
		assert_int_equal(outcome.body.len, FLOOD_BYTES);
		outcome_fini(&outcome);
		peer_stop(&world->peer);
	}
}

struct relay {
	struct outcome outcome;
	struct timer timer;
	struct deferred deferred;
	size_t pauses;
};

static void on_relay_resume(void *ctx)
{
	struct relay *relay = ctx;

	if (relay->outcome.request != NULL)
		http_resume(relay->outcome.request);
}

/* Every read pauses and is resumed a turn or a millisecond later, as a relay would. */
static void relay_pause(struct outcome *outcome)
{
	struct relay *relay = (struct relay *)outcome;

	http_pause(outcome->request);
	relay->pauses++;
	buf_clear(&outcome->body);
	if (relay->pauses % 100 == 0)
		timer_start(outcome->world->loop, &relay->timer, 0, on_relay_resume, relay);
	else
		loop_defer(outcome->world->loop, &relay->deferred, on_relay_resume, relay);
}

static void a_relay_that_pauses_at_each_read_is_still_fast(void **state)
{
	struct world *world = *state;
	static const struct peer_step *const scripts[] = { floods, floods_in_chunks };

	for (size_t i = 0; i < N(scripts); i++) {
		struct relay relay = { 0 };
		struct http_params params;
		int64_t before_ms = loop_now_ms(world->loop);

		world->peer = peer_start(&scripts[i], 1);
		params = get(world);
		outcome_init(&relay.outcome, world);
		relay.outcome.on_data = relay_pause;
		start(&relay.outcome, &params);
		run_until_done(&relay.outcome);
		assert_false(relay.outcome.failed);
		assert_true(relay.pauses > 100);
		assert_in_range(loop_now_ms(world->loop) - before_ms, 0, GUARD_MS / 2);
		deferred_cancel(&relay.deferred);
		timer_stop(&relay.timer);
		outcome_fini(&relay.outcome);
		peer_stop(&world->peer);
	}
}

static void pause_and_resume_may_alternate_at_will(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, floods);
	params = get(world);
	outcome_init(&outcome, world);
	outcome.on_head = pause_it;
	start(&outcome, &params);
	http_pause(outcome.request);
	http_resume(outcome.request);
	http_resume(outcome.request);
	run_until(world, has_head, &outcome);
	http_pause(outcome.request);
	http_resume(outcome.request);
	http_pause(outcome.request);
	http_pause(outcome.request);
	outcome.on_data = pause_it;
	http_resume(outcome.request);
	http_pause(outcome.request);
	http_resume(outcome.request);
	run_until(world, has_data, &outcome);
	outcome.on_data = NULL;
	http_resume(outcome.request);
	run_until_done(&outcome);
	assert_int_equal(outcome.body.len, FLOOD_BYTES);
	outcome_fini(&outcome);
}

/* --- cancel ----------------------------------------------------------------------------------- */

static void cancel_it(struct outcome *outcome)
{
	http_cancel(&outcome->request);
	loop_stop(outcome->world->loop);
}

static void cancel_other(struct outcome *outcome)
{
	http_cancel(&outcome->other->request);
}

static void cancel_both(struct outcome *outcome)
{
	cancel_other(outcome);
	cancel_it(outcome);
}

static void cancel_means_silence(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, stalls);
	params = post(world, "body");
	/* before it starts */
	outcome_init(&outcome, world);
	start(&outcome, &params);
	http_cancel(&outcome.request);
	http_cancel(&outcome.request);
	assert_null(outcome.request);
	/* in its head, in its data, and between two events */
	outcome.on_head = cancel_it;
	start(&outcome, &params);
	run(world);
	run_until(world, peer_has_closed, world);
	assert_string_equal(outcome.journal, "h");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	outcome.on_data = cancel_it;
	start(&outcome, &params);
	run(world);
	run_until(world, peer_has_closed, world);
	assert_string_equal(outcome.journal, "hd");
	outcome_fini(&outcome);
	outcome_init(&outcome, world);
	start(&outcome, &params);
	run_until(world, has_data, &outcome);
	http_cancel(&outcome.request);
	run_until(world, peer_has_closed, world);
	assert_string_equal(outcome.journal, "hd");
	outcome_fini(&outcome);
}

static void a_failure_that_waits_for_its_turn_can_be_cancelled(void **state)
{
	struct world *world = *state;
	struct outcome outcome;
	struct http_params params;

	PLAY(world, serve);
	params = get(world);
	params.url = "nonsense";
	outcome_init(&outcome, world);
	start(&outcome, &params);
	http_cancel(&outcome.request);
	params = get(world);
	get_ok(world, &params);
	assert_string_equal(outcome.journal, "");
	outcome_fini(&outcome);
}

static bool other_is_gone(void *ctx)
{
	const struct outcome *outcome = ctx;

	return outcome->other->request == NULL;
}

static void a_callback_may_cancel_other_requests(void **state)
{
	struct world *world = *state;
	void (*const hooks[])(struct outcome *) = { cancel_other, cancel_both };

	PLAY(world, stalls);
	for (size_t i = 0; i < N(hooks); i++) {
		for (int where = 0; where < 3; where++) {
			struct http_params params = get(world);
			struct outcome one, other;
			size_t n = 900000;
			char *body = mem_new(n);

			outcome_init(&one, world);
			outcome_init(&other, world);
			params.total_timeout_ms = 60;
			one.other = &other;
			if (where == 0)
				one.on_head = hooks[i];
			else if (where == 1)
				one.on_data = hooks[i];
			else
				one.on_done = cancel_other;
			start(&one, &params);
			params.total_timeout_ms = 0;
			params.method = "POST";
			params.body = (struct span){ body, n };
			start(&other, &params);
			run_until(world, other_is_gone, &one);
			free(body);
			if (one.request != NULL)
				run_until_done(&one);
			assert_int_equal(other.dones, 0);
			outcome_fini(&one);
			outcome_fini(&other);
		}
	}
	run_until(world, peer_has_closed, world);
}

/* --- the laws --------------------------------------------------------------------------------- */

static void start_again(struct outcome *outcome)
{
	struct http_params params = get(outcome->world);

	outcome->on_done = NULL;
	outcome->n_journal = 0;
	memset(outcome->journal, 0, sizeof(outcome->journal));
	outcome->heads = 0;
	outcome->dones = 0;
	buf_clear(&outcome->body);
	start(outcome, &params);
}

static void start_other(struct outcome *outcome)
{
	struct http_params params = get(outcome->world);

	if (outcome->other->request == NULL && outcome->other->dones == 0)
		start(outcome->other, &params);
}

static void every_callback_may_start_another_request(void **state)
{
	struct world *world = *state;
	struct outcome outcome, other;
	struct http_params params;

	PLAY(world, serve);
	params = get(world);
	outcome_init(&outcome, world);
	outcome.on_done = start_again;
	start(&outcome, &params);
	run(world);
	run_until_done(&outcome);
	assert_ok(&outcome, "ok");
	outcome_fini(&outcome);
	for (int where = 0; where < 2; where++) {
		outcome_init(&outcome, world);
		outcome_init(&other, world);
		outcome.other = &other;
		if (where == 0)
			outcome.on_head = start_other;
		else
			outcome.on_data = start_other;
		params = get(world);
		start(&outcome, &params);
		run_until_done(&outcome);
		run_until_done(&other);
		assert_ok(&outcome, "ok");
		assert_ok(&other, "ok");
		outcome_fini(&outcome);
		outcome_fini(&other);
	}
}

static void requests_run_side_by_side_and_share_connections(void **state)
{
	struct world *world = *state;
	struct outcome outcomes[40];
	struct http_params params;

	PLAY(world, serve);
	params = post(world, "side by side");
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < N(outcomes); i++) {
			outcome_init(&outcomes[i], world);
			start(&outcomes[i], &params);
		}
		for (size_t i = 0; i < N(outcomes); i++) {
			run_until_done(&outcomes[i]);
			assert_ok(&outcomes[i], "ok");
			outcome_fini(&outcomes[i]);
		}
	}
	assert_int_equal(peer_connections(world->peer), N(outcomes));
	assert_int_equal(peer_requests(world->peer), 3 * N(outcomes));
}

static void bad_params_fail_later(void **state)
{
	struct world *world = *state;
	static const struct {
		const char *method, *name, *value;
	} cases[] = {
		{ "", "X", "v" },
		{ "GET /", "X", "v" },
		{ "GET\r\nX: y", "X", "v" },
		{ "AVERYLONGMETHODNAMETHATNOBODYUSES", "X", "v" },
		{ "GET", "", "v" },
		{ "GET", "X Y", "v" },
		{ "GET", "X:", "v" },
		{ "GET", "X\r\nY", "v" },
		{ "GET", "X\xc3\xbc", "v" },
		{ "GET", "X", "v\r\nY: z" },
		{ "GET", "X", "v\n" },
		{ "GET", "X", "v\r" },
		{ "GET", "X", "\x01" },
		{ "GET", "X", "a\x7f" },
		{ "GET", "X", "a\x1f" },
		{ "GET", "Host", "evil.example" },
		{ "GET", "content-length", "5" },
		{ "GET", "Transfer-Encoding", "chunked" },
		{ "GET", "Connection", "close" },
		{ "GET", "Expect", "100-continue" },
		{ "GET", "Upgrade", "h2c" },
		{ "GET", "TE", "trailers" },
		{ "GET", "Trailer", "X" },
		{ "GET", "Keep-Alive", "x" },
		{ "GET", "Proxy-Connection", "x" },
	};

	PLAY(world, serve);
	for (size_t i = 0; i < N(cases); i++) {
		struct http_header header = { cases[i].name, cases[i].value };
		struct http_params params = get(world);
		struct outcome outcome;

		params.method = cases[i].method;
		params.headers = &header;
		params.n_headers = 1;
		finish(world, &params, &outcome);
		assert_failed(&outcome, ERR_BAD_REQUEST, "unsent", "");
		outcome_fini(&outcome);
	}
	assert_int_equal(peer_connections(world->peer), 0);
}

static void more_bad_params_fail_later(void **state)
{
	struct world *world = *state;
	struct http_header many[HTTP_MAX_HEADERS + 1];
	char *large = mem_new(HTTP_MAX_HEADER_BYTES + 1);
	struct http_header one = { "X", large };
	struct http_params params[8];

	PLAY(world, serve);
	memset(large, 'v', HTTP_MAX_HEADER_BYTES);
	for (size_t i = 0; i < N(many); i++)
		many[i] = (struct http_header){ "X", "v" };
	for (size_t i = 0; i < N(params); i++)
		params[i] = get(world);
	params[0].headers = many;
	params[0].n_headers = N(many);
	params[1].headers = &one;
	params[1].n_headers = 1;
	params[2].connect_timeout_ms = -1;
	params[3].total_timeout_ms = -1;
	params[4].method = "HEAD";
	params[4].body = SPAN("x");
	params[5].url = "http://user:secret@127.0.0.1/";
	params[6].url = "ftp://127.0.0.1/";
	params[7].url = "http://127.0.0.1/\r\nX: y";
	for (size_t i = 0; i < N(params); i++) {
		struct outcome outcome;

		finish(world, &params[i], &outcome);
		assert_failed(&outcome, ERR_BAD_REQUEST, "unsent", "");
		assert_null(strstr(outcome.err.text, "secret"));
		outcome_fini(&outcome);
	}
	assert_int_equal(peer_connections(world->peer), 0);
	free(large);
}

static void header_values_of_any_other_byte_pass(void **state)
{
	struct world *world = *state;
	struct http_header header = { "x-any!#$%&'*+.^_`|~0", "tab\there \"\xc3\xbc\xff\" \\;," };
	struct http_params params;

	PLAY(world, serve);
	params = get(world);
	params.headers = &header;
	params.n_headers = 1;
	get_ok(world, &params);
	assert_request(world, 0,
		       "GET / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n"
		       "x-any!#$%&'*+.^_`|~0: tab\there \"\xc3\xbc\xff\" \\;,\r\n\r\n");
}

/* --- who may share a connection, and who may connect ------------------------------------------ */

static void connections_are_shared_within_a_pool_key_and_policy_only(void **state)
{
	struct world *world = *state;
	char exception[32];
	const char *const allow[] = { exception };
	struct egress_policy *same, *other, *none;
	struct http_params params;
	struct outcome outcome;
	struct err err;

	PLAY(world, serve);
	snprintf(exception, sizeof(exception), "127.0.0.1:%u", peer_port(world->peer));
	same = egress_policy_new(NULL, 0, true, &err);
	other = egress_policy_new(allow, 1, false, &err);
	none = egress_policy_new(NULL, 0, false, &err);
	params = get(world);
	params.pool_key = "a";
	get_ok(world, &params);
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 1);
	params.egress = same;
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 1);
	params.egress = other;
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 2);
	params.pool_key = "b";
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 3);
	params.pool_key = "a";
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 3);
	params.egress = none;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_FORBIDDEN, "unsent", "https");
	outcome_fini(&outcome);
	params.egress = NULL;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_FORBIDDEN, "unsent", "no egress policy");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 3);
	egress_policy_unref(&same);
	egress_policy_unref(&other);
	egress_policy_unref(&none);
}

static void the_policy_is_asked_for_the_address_behind_a_name(void **state)
{
	struct world *world = *state;
	struct egress_policy *strict;
	struct http_params params;
	struct outcome outcome;
	struct err err;

	PLAY(world, no_tls);
	strict = egress_policy_new(NULL, 0, false, &err);
	params = get(world);
	params.egress = strict;
	params.url = url_of(world, "https", "inside.test", "/");
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_FORBIDDEN, "unsent", "inside.test");
	outcome_fini(&outcome);
	params.url = url_of(world, "https", "metadata.test", "/");
	params.egress = world->egress;
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_FORBIDDEN, "unsent", "metadata.test");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 0);
	/* Of two addresses the forbidden one is passed over. */
	params.url = url_of(world, "https", "both.test", "/");
	finish(world, &params, &outcome);
	assert_failed(&outcome, ERR_UPSTREAM, "unsent", "both.test");
	outcome_fini(&outcome);
	assert_int_equal(peer_connections(world->peer), 1);
	egress_policy_unref(&strict);
}

static bool one_was_closed(void *ctx)
{
	struct world *world = ctx;

	return peer_closed(world->peer) > 0;
}

static void the_number_of_idle_pools_is_bounded(void **state)
{
	struct world *world = *state;
	struct http_params params;

	PLAY(world, serve);
	params = get(world);
	for (int i = 0; i < 256; i++) {
		char key[32];

		snprintf(key, sizeof(key), "tenant %d", i);
		params.pool_key = key;
		get_ok(world, &params);
	}
	assert_int_equal(peer_closed(world->peer), 0);
	params.pool_key = "tenant 0";
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 256);
	params.pool_key = "one more";
	get_ok(world, &params);
	run_until(world, one_was_closed, world);
	assert_int_equal(peer_connections(world->peer), 257);
	params.pool_key = "tenant 0";
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 257);
	params.pool_key = "tenant 1";
	get_ok(world, &params);
	assert_int_equal(peer_connections(world->peer), 258);
}

static void an_owner_may_leave_without_a_request(void **state)
{
	struct http_request *none = NULL;
	struct http_client *no_client = NULL;

	(void)state;
	http_cancel(&none);
	http_client_free(&no_client);
}

#define HTTP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HTTP_TEST(a_request_carries_what_was_given_and_nothing_else),
		HTTP_TEST(methods_and_bodies_are_framed),
		HTTP_TEST(a_large_body_goes_out_whole_and_without_expect),
		HTTP_TEST(the_environments_proxy_is_ignored),
		HTTP_TEST(an_answer_arrives_head_first),
		HTTP_TEST(a_head_is_searched_by_name),
		HTTP_TEST(the_head_does_not_wait_for_the_body),
		HTTP_TEST(every_framing_of_http_1_is_understood),
		HTTP_TEST(answers_without_a_body_end_and_redirects_are_not_followed),
		HTTP_TEST(a_broken_answer_is_an_upstream_error),
		HTTP_TEST(a_reset_after_the_head_is_an_upstream_error),
		HTTP_TEST(what_fails_before_the_first_byte_is_unsent),
		HTTP_TEST(a_request_on_a_connection_that_dies_is_not_sent_again),
		HTTP_TEST(a_connection_that_was_closed_while_idle_is_not_used),
		HTTP_TEST(each_deadline_ends_a_request_and_says_which),
		HTTP_TEST(bytes_that_drip_are_not_idle_but_still_end_in_total),
		HTTP_TEST(a_paused_request_is_not_idle),
		HTTP_TEST(a_name_lookup_that_hangs_does_not_hang_the_loop),
		HTTP_TEST(the_ceiling_of_the_body_holds_however_it_is_framed),
		HTTP_TEST(the_head_has_ceilings),
		HTTP_TEST(a_paused_answer_holds_the_peer_back),
		HTTP_TEST(a_relay_that_pauses_at_each_read_is_still_fast),
		HTTP_TEST(pause_and_resume_may_alternate_at_will),
		HTTP_TEST(cancel_means_silence),
		HTTP_TEST(a_failure_that_waits_for_its_turn_can_be_cancelled),
		HTTP_TEST(a_callback_may_cancel_other_requests),
		HTTP_TEST(every_callback_may_start_another_request),
		HTTP_TEST(requests_run_side_by_side_and_share_connections),
		HTTP_TEST(bad_params_fail_later),
		HTTP_TEST(more_bad_params_fail_later),
		HTTP_TEST(header_values_of_any_other_byte_pass),
		HTTP_TEST(connections_are_shared_within_a_pool_key_and_policy_only),
		HTTP_TEST(the_policy_is_asked_for_the_address_behind_a_name),
		HTTP_TEST(the_number_of_idle_pools_is_bounded),
		HTTP_TEST(an_owner_may_leave_without_a_request),
	};

	if (sem_init(&slow_lookup, 0, 0) != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
