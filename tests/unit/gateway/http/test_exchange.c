/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gateway/http/server_fixture.h"

static void answers_with_the_usual_headers(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	const char *answer;

	wire_send(wire, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	answer = wire_await(wire, "\r\n\r\nhello");
	assert_contains(answer, "HTTP/1.1 200 OK\r\n");
	assert_contains(answer, "Content-Length: 5\r\n");
	assert_contains(answer, "Connection: keep-alive\r\n");
	assert_contains(answer, "Content-Type: text/plain\r\n");
	assert_contains(answer, COMMON_HEADERS);
	assert_lacks(answer, "Server:");
	assert_int_equal(http_server_connections(fixture->server), 1);
	wire_close(&wire);
	wire_until(fixture->loop, nobody_is_connected, fixture, "the end of the connection");
}

static void gives_handlers_what_the_client_sent(void **state)
{
	struct fixture *fixture = *state;
	char *answer = ask(fixture, LISTENER_PUBLIC,
			   "GET /show?q=a%26b&q=2 HTTP/1.1\r\nHost: Gate:80\r\nX-A:  1 \r\n"
			   "User-Agent: t/1\r\nx-a: 2\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n");

	assert_contains(answer,
			"\r\n\r\nGET /show ?q=a%26b&q=2 from 127.0.0.1 on 0|"
			"host=Gate:80|x-a=1, 2|user-agent=t/1|missing=(null)|a=- b=-|q=a&b");
	free(answer);
	answer = ask(fixture, LISTENER_PUBLIC, "GET /show HTTP/1.0\r\n\r\n");
	assert_contains(answer, "host=(null)|");
	free(answer);
}

static void believes_a_trusted_proxy(void **state)
{
	struct fixture *fixture = *state;
	char *answer = ask(fixture, LISTENER_PUBLIC,
			   "GET /show HTTP/1.1\r\n" HOST
			   "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n");

	assert_contains(answer, "from 192.0.2.9 on 0|");
	free(answer);
}

static void http_1_0_ends_or_is_kept_as_asked(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	char *answer;

	wire_send(wire, "GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wire_await(wire, "\r\n\r\nhello");
	wire_send(wire, "GET /hello HTTP/1.0\r\n\r\n");
	assert_contains(wire_await_close(wire), "Connection: close\r\n");
	wire_close(&wire);

	wire = connect_public(fixture);
	wire_send(wire, "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
	wire_await(wire, ":\n\n");
	exchange_stream_write(fixture->pending[0], SPAN("data: 1\n\n"));
	exchange_stream_end(fixture->pending[0]);
	answer = mem_strdup(wire_await_close(wire));
	assert_contains(answer, "Connection: close\r\n");
	assert_contains(answer, "\r\n\r\n:\n\ndata: 1\n\n");
	assert_lacks(answer, "chunked");
	free(answer);
	wire_close(&wire);
}

static void answers_pipelined_requests_in_order(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	const char *answer;

	wire_send(wire, "GET /later HTTP/1.1\r\n" HOST "\r\n"
			"POST /echo HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\ntwo"
			"GET /later HTTP/1.1\r\n" HOST "\r\n"
			"GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the first request");
	wire_for(fixture->loop, 20);
	assert_int_equal(fixture->n_handled, 1);
	answer_text(fixture->pending[0], "one");
	wire_await(wire, "two");
	assert_int_equal(fixture->n_handled, 3);
	answer_text(fixture->pending[1], "three");
	answer = wire_await_close(wire);
	assert_true(strstr(answer, "one") < strstr(answer, "two"));
	assert_true(strstr(answer, "two") < strstr(answer, "three"));
	assert_true(strstr(answer, "three") < strstr(answer, "hello"));
	assert_int_equal(fixture->n_gone, 0);
	wire_close(&wire);
}

static void a_long_pipeline_does_not_exhaust_the_stack(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	struct buf requests;

	buf_init(&requests, 1000000);
	for (int i = 0; i < 2000; i++)
		buf_add(&requests, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	buf_add(&requests, "GET /hello HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
	wire_send(wire, buf_str(&requests));
	wire_await_close(wire);
	assert_int_equal(fixture->n_handled, 2001);
	buf_fini(&requests);
	wire_close(&wire);
}

static void tells_once_that_a_waiting_client_left(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire;

	for (int how = 0; how < 3; how++) {
		fixture->n_pending = 0;
		fixture->n_gone = 0;
		wire = connect_public(fixture);
		wire_send(wire, how == 1 ? "POST /later HTTP/1.1\r\n" HOST
					   "Content-Length: 4\r\n\r\nbody"
					 : "GET /later HTTP/1.1\r\n" HOST "\r\n");
		wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
		wire_for(fixture->loop, 10);
		assert_int_equal(fixture->n_gone, 0);
		if (how == 0) {
			wire_close(&wire);
		} else if (how == 1) {
			wire_reset(&wire);
		} else {
			wire_half_close(wire);
			wire_await_close(wire);
			wire_close(&wire);
		}
		wire_until(fixture->loop, nobody_is_connected, fixture, "the connection's end");
		assert_int_equal(fixture->n_gone, 1);
	}
}

static void who_was_answered_is_not_missed(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);

	wire_send(wire, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	answer_text(fixture->pending[0], "done");
	wire_await(wire, "done");
	/* Idle on the same connection, then away. */
	wire_for(fixture->loop, 10);
	wire_close(&wire);
	wire_until(fixture->loop, nobody_is_connected, fixture, "the end of the connection");
	assert_int_equal(fixture->n_gone, 0);
}

static void sends_large_answers_whole(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = (size_t)8 * 1024 * 1024;
	char *body = mem_new(n + 1);

	memset(body, 'a', n);
	wire_send(wire, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	answer_text(fixture->pending[0], body);
	memset(body, 'z', n); /* it was copied */
	wire_await_bytes(wire, n);
	wire_await(wire, "aaaa");
	assert_lacks(wire_received(wire), "z\r\n");
	assert_int_equal(wire_received(wire)[wire_received_bytes(wire) - 1], 'a');
	free(body);
	wire_close(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(answers_with_the_usual_headers),
		PLAIN(gives_handlers_what_the_client_sent),
		BEHIND_PROXY(believes_a_trusted_proxy),
		PLAIN(http_1_0_ends_or_is_kept_as_asked),
		PLAIN(answers_pipelined_requests_in_order),
		PLAIN(a_long_pipeline_does_not_exhaust_the_stack),
		PLAIN(tells_once_that_a_waiting_client_left),
		PLAIN(who_was_answered_is_not_missed),
		PLAIN(sends_large_answers_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
