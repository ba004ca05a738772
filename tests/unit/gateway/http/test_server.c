/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/resource.h>

#include "tests/unit/gateway/http/server_fixture.h"

static void reads_bodies_up_to_the_limit(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	char *body = mem_new(MAX_BODY_BYTES + 1);
	char head[200];

	memset(body, 'b', MAX_BODY_BYTES);
	snprintf(head, sizeof(head),
		 "POST /echo HTTP/1.1\r\n" HOST
		 "Content-Type: text/x\r\nContent-Length: %d\r\n\r\n",
		 MAX_BODY_BYTES);
	wire_send(wire, head);
	wire_send(wire, body);
	assert_contains(wire_await(wire, body), "HTTP/1.1 201 Created\r\n");
	wire_forget(wire);
	wire_send(wire,
		  "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n"
		  "Content-Type: text/x\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nT: 1\r\n\r\n");
	wire_await(wire, "\r\n\r\nabcde");
	wire_forget(wire);
	wire_send(wire, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n"
			"Content-Type: text/x\r\nExpect: 100-continue\r\n\r\n");
	wire_await(wire, "HTTP/1.1 100 Continue\r\n\r\n");
	wire_send(wire, "xy");
	wire_await(wire, "\r\n\r\nxy");
	free(body);
	wire_close(&wire);
}

/* The client is still sending when it is refused, and sees the answer all the same. */
static void refuses_bodies_over_the_limit_and_is_heard(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = (size_t)8 * 1024 * 1024;
	char *body = mem_new(n);
	const char *answer;

	memset(body, 'b', n);
	wire_send(wire, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n");
	wire_send_bytes(wire, body, n);
	answer = wire_await_close(wire);
	assert_contains(answer, "HTTP/1.1 413 ");
	assert_contains(answer, COMMON_HEADERS);
	assert_contains(answer, "Connection: close\r\n");
	wire_close(&wire);

	wire = connect_public(fixture);
	wire_send(wire,
		  "POST /echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n800000\r\n");
	wire_send_bytes(wire, body, n);
	assert_contains(wire_await_close(wire), "HTTP/1.1 413 ");
	wire_close(&wire);
	assert_int_equal(fixture->n_handled, 0);
	free(body);
}

static void cuts_off_slow_clients(void **state)
{
	struct fixture *fixture = *state;
	struct wire *idle = connect_public(fixture);
	struct wire *slow_head = connect_public(fixture);
	struct wire *slow_body = connect_public(fixture);
	struct wire *waiting = connect_public(fixture);

	wire_send(slow_head, "GET /hello HTTP/1.1\r\nHo");
	wire_send(slow_body, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\nabc");
	wire_send(waiting, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_await_close(idle);
	wire_await_close(slow_head);
	wire_await_close(slow_body);
	/* Who waits for us is not slow. */
	wire_for(fixture->loop, SHORT_TIMEOUT_MS);
	assert_false(wire_is_closed(waiting));
	answer_text(fixture->pending[0], "at last");
	wire_await(waiting, "at last");
	wire_close(&idle);
	wire_close(&slow_head);
	wire_close(&slow_body);
	wire_close(&waiting);
}

static void draining_nobody_is_told_later(void **state)
{
	struct fixture *fixture = *state;

	http_server_drain(fixture->server, 0, on_drained, fixture);
	assert_int_equal(fixture->n_drained, 0);
	wire_until(fixture->loop, is_drained, fixture, "drained");
	wire_for(fixture->loop, 10);
	assert_int_equal(fixture->n_drained, 1);
	/* The caller's copy of the socket lives on: connections wait for the next worker. */
	assert_true(fcntl(fixture->listening[0], F_GETFD) >= 0);
	struct wire *wire = connect_public(fixture);
	wire_send(wire, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	wire_for(fixture->loop, 10);
	assert_false(wire_is_closed(wire));
	assert_int_equal(fixture->n_handled, 0);
	wire_close(&wire);
}

static void draining_closes_the_idle_and_waits_for_the_busy(void **state)
{
	struct fixture *fixture = *state;
	struct wire *fresh = connect_public(fixture);
	struct wire *idle = connect_public(fixture);
	struct wire *busy = connect_public(fixture);
	struct wire *streaming = connect_public(fixture);
	struct wire *sending = connect_public(fixture);
	const char *answer;

	wire_send(idle, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	wire_await(idle, "hello");
	wire_send(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	wire_send(streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(streaming, ":\n\n");
	wire_send(sending, "POST /echo HTTP/1.1\r\n" HOST "Content-Length: 4\r\n\r\nab");
	wire_for(fixture->loop, 20);
	assert_int_equal(http_server_connections(fixture->server), 5);

	http_server_drain(fixture->server, 0, on_drained, fixture);
	wire_await_close(fresh);
	wire_await_close(idle);
	wire_for(fixture->loop, 20);
	assert_int_equal(http_server_connections(fixture->server), 3);
	assert_int_equal(fixture->n_drained, 0);
	assert_int_equal(fixture->n_gone, 0);

	wire_send(sending, "cd");
	answer = wire_await_close(sending);
	assert_contains(answer, "Connection: close\r\n");
	assert_contains(answer, "abcd");
	answer_text(fixture->pending[0], "finished");
	answer = wire_await_close(busy);
	assert_contains(answer, "Connection: close\r\n");
	assert_contains(answer, "\r\n\r\nfinished");
	exchange_stream_write(fixture->pending[1], SPAN("data: 1\n\n"));
	wire_await(streaming, "data: 1\n\n");
	assert_int_equal(fixture->n_drained, 0);
	exchange_stream_end(fixture->pending[1]);
	assert_contains(wire_await_close(streaming), "0\r\n\r\n");
	wire_until(fixture->loop, is_drained, fixture, "drained");
	assert_int_equal(http_server_connections(fixture->server), 0);
	assert_int_equal(fixture->n_drained, 1);
	wire_close(&fresh);
	wire_close(&idle);
	wire_close(&busy);
	wire_close(&streaming);
	wire_close(&sending);
}

/* A client that reuses a connection as the drain begins finds it served. */
static void draining_serves_on_what_is_connected(void **state)
{
	struct fixture *fixture = *state;
	struct wire *used = connect_public(fixture);
	struct wire *fresh = connect_public(fixture);
	struct wire *unused = connect_public(fixture);
	struct wire *streaming = connect_public(fixture);
	const char *answer;

	wire_send(used, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	wire_await(used, "hello");
	wire_send(streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(streaming, ":\n\n");
	http_server_drain(fixture->server, SHORT_TIMEOUT_MS, on_drained, fixture);
	wire_send(used, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	answer = wire_await_close(used);
	assert_contains(strstr(answer, "hello"), "Connection: close\r\n");
	wire_send(fresh, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_contains(wire_await_close(fresh), "Connection: close\r\n");
	/* The head of this answer had promised that the connection stays. */
	exchange_stream_end(fixture->pending[0]);
	wire_await(streaming, "0\r\n\r\n");
	wire_turn(fixture->loop);
	assert_false(wire_is_closed(streaming));
	wire_send(streaming, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_contains(strstr(wire_await_close(streaming), "0\r\n\r\n"), "Connection: close\r\n");
	assert_int_equal(fixture->n_drained, 0);
	wire_await_close(unused);
	wire_until(fixture->loop, is_drained, fixture, "drained");
	wire_close(&used);
	wire_close(&fresh);
	wire_close(&unused);
	wire_close(&streaming);
}

/* What waits in the queue is connected already: it must not be reset. */
static void draining_takes_who_waits_in_the_queue(void **state)
{
	struct fixture *fixture = *state;
	struct wire *waiting[40];

	for (size_t i = 0; i < COUNT(waiting); i++)
		waiting[i] = connect_public(fixture);
	http_server_drain(fixture->server, USUAL_TIMEOUT_MS, on_drained, fixture);
	assert_int_equal(http_server_connections(fixture->server), COUNT(waiting));
	for (size_t i = 0; i < COUNT(waiting); i++) {
		wire_send(waiting[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
		assert_contains(wire_await_close(waiting[i]), "hello");
		wire_close(&waiting[i]);
	}
	wire_until(fixture->loop, is_drained, fixture, "drained");
}

static void a_client_that_leaves_during_a_drain_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);

	wire_send(wire, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	http_server_drain(fixture->server, 0, on_drained, fixture);
	wire_for(fixture->loop, 10);
	assert_int_equal(fixture->n_gone, 0);
	wire_close(&wire);
	wire_until(fixture->loop, is_drained, fixture, "drained");
	assert_int_equal(fixture->n_gone, 1);
}

/* An answer that is still on its way when the drain begins. */
static void an_answer_under_way_is_finished(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = (size_t)16 * 1024 * 1024;
	char *body = mem_new(n + 1);

	memset(body, 'a', n);
	wire_send(wire, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	answer_text(fixture->pending[0], body);
	wire_turn(fixture->loop);
	http_server_drain(fixture->server, 0, on_drained, fixture);
	wire_await_close(wire);
	assert_true(wire_received_bytes(wire) > n);
	wire_until(fixture->loop, is_drained, fixture, "drained");
	free(body);
	wire_close(&wire);
}

static void freeing_drops_whoever_is_left(void **state)
{
	struct fixture *fixture = *state;
	struct wire *idle = connect_public(fixture);
	struct wire *busy = connect_public(fixture);
	struct wire *streaming = connect_public(fixture);

	wire_send(busy, "GET /later HTTP/1.1\r\n" HOST "\r\n");
	wire_until(fixture->loop, somebody_is_pending, fixture, "the request");
	wire_send(streaming, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(streaming, ":\n\n");
	http_server_free(&fixture->server);
	assert_int_equal(fixture->n_gone, 2);
	wire_await_close(idle);
	wire_await_close(busy);
	wire_await_close(streaming);
	wire_close(&idle);
	wire_close(&busy);
	wire_close(&streaming);
}

static void accepts_a_crowd(void **state)
{
	struct fixture *fixture = *state;
	struct wire *crowd[60];

	for (size_t i = 0; i < COUNT(crowd); i++) {
		crowd[i] = connect_public(fixture);
		wire_send(crowd[i], "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	}
	for (size_t i = 0; i < COUNT(crowd); i++)
		wire_await(crowd[i], "hello");
	assert_int_equal(http_server_connections(fixture->server), COUNT(crowd));
	for (size_t i = 0; i < COUNT(crowd); i++)
		wire_close(&crowd[i]);
	wire_until(fixture->loop, nobody_is_connected, fixture, "the end of the crowd");
}

static int64_t cpu_ms(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static void on_long_turn_over(void *ctx)
{
	loop_stop(ctx);
}

static void waits_quietly_while_descriptors_are_short(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	struct rlimit limit, none;
	struct timer timer = { 0 };
	int64_t used_ms;

	wire_send(wire, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	used_ms = cpu_ms();
	timer_start(fixture->loop, &timer, 500, on_long_turn_over, fixture->loop);
	loop_run(fixture->loop);
	used_ms = cpu_ms() - used_ms;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(fixture->n_handled, 0);
	/* A loop that spins would use all of the 500. */
	assert_true(used_ms < 100);
	wire_await(wire, "hello");
	wire_close(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(reads_bodies_up_to_the_limit),
		PLAIN(refuses_bodies_over_the_limit_and_is_heard),
		IMPATIENT(cuts_off_slow_clients),
		PLAIN(draining_nobody_is_told_later),
		PLAIN(draining_closes_the_idle_and_waits_for_the_busy),
		PLAIN(draining_serves_on_what_is_connected),
		PLAIN(draining_takes_who_waits_in_the_queue),
		PLAIN(a_client_that_leaves_during_a_drain_is_noticed),
		PLAIN(an_answer_under_way_is_finished),
		PLAIN(freeing_drops_whoever_is_left),
		PLAIN(accepts_a_crowd),
		PLAIN(waits_quietly_while_descriptors_are_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
