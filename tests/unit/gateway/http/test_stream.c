/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gateway/http/server_fixture.h"

static void streams_at_once_and_keeps_the_connection(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	const char *answer;

	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	answer = wire_await(wire, "\r\n\r\n3\r\n:\n\n\r\n");
	assert_contains(answer, "HTTP/1.1 200 OK\r\n");
	assert_contains(answer, "transfer-encoding: chunked\r\n");
	assert_contains(answer, "Cache-Control: no-cache\r\n");
	assert_contains(answer, "x-content-type-options: nosniff\r\n");
	assert_lacks(answer, "no-store");
	exchange_stream_write(fixture->pending[0], SPAN("data: 1\n\n"));
	wire_await(wire, "9\r\ndata: 1\n\n\r\n");
	/* The first goes out at once, the second when h2o asks for more. */
	wire_for(fixture->loop, 5);
	exchange_stream_write(fixture->pending[0], SPAN("data: 2\n\n"));
	exchange_stream_write(fixture->pending[0], SPAN("data: 3\n\n"));
	exchange_stream_write(fixture->pending[0], SPAN(""));
	exchange_stream_end(fixture->pending[0]);
	wire_await(wire, "data: 2\n\n\r\n9\r\ndata: 3\n\n\r\n0\r\n\r\n");
	wire_send(wire, "GET /hello HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, "\r\n\r\nhello");
	assert_int_equal(fixture->n_gone, 0);
	wire_close(&wire);
}

static void an_empty_end_ends_a_stream_too(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);

	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, ":\n\n\r\n");
	wire_for(fixture->loop, 5);
	exchange_stream_end(fixture->pending[0]);
	wire_await(wire, ":\n\n\r\n0\r\n\r\n");
	wire_close(&wire);
}

static void tells_once_that_a_stream_lost_its_client(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire;

	for (int how = 0; how < 4; how++) {
		fixture->n_pending = 0;
		fixture->n_gone = 0;
		wire = connect_public(fixture);
		wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
		wire_await(wire, ":\n\n");
		if (how == 0)
			wire_close(&wire);
		else
			wire_reset(&wire);
		/* A write that meets a dead socket, before and after we could know. */
		if (how >= 2)
			exchange_stream_write(fixture->pending[0], SPAN("data: 1\n\n"));
		if (how == 3)
			exchange_stream_write(fixture->pending[0], SPAN("data: 2\n\n"));
		wire_until(fixture->loop, nobody_is_connected, fixture, "the connection's end");
		assert_int_equal(fixture->n_gone, 1);
	}
}

static void a_slow_reader_gets_everything_in_the_end(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = 1024 * 1024;
	char *block = mem_new(n);

	memset(block, 'x', n);
	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, ":\n\n");
	for (int i = 0; i < 20; i++) {
		exchange_stream_write(fixture->pending[0], (struct span){ block, n });
		wire_turn(fixture->loop);
	}
	exchange_stream_write(fixture->pending[0], SPAN("the end"));
	exchange_stream_end(fixture->pending[0]);
	wire_for(fixture->loop, 20);
	wire_await_bytes(wire, 20 * n);
	wire_await(wire, "the end\r\n0\r\n\r\n");
	assert_int_equal(fixture->n_gone, 0);
	free(block);
	wire_close(&wire);
}

static void who_reads_too_slowly_is_dropped(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = 1024 * 1024;
	size_t n_written = 0;
	char *block = mem_new(n);

	memset(block, 'x', n);
	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, ":\n\n");
	while (fixture->n_gone == 0 && n_written < 100 * n) {
		exchange_stream_write(fixture->pending[0], (struct span){ block, n });
		n_written += n;
		wire_turn(fixture->loop);
	}
	assert_int_equal(fixture->n_gone, 1);
	/* The queue, and what the kernel took. */
	assert_true(n_written > EXCHANGE_MAX_QUEUED);
	assert_true(n_written < EXCHANGE_MAX_QUEUED + 30 * n);
	wire_until(fixture->loop, nobody_is_connected, fixture, "the end of the connection");
	assert_int_equal(fixture->n_gone, 1);
	free(block);
	wire_close(&wire);
}

/* The writer is in the middle of something: it may go on writing, and end. */
static void a_dropped_client_can_still_be_written_to(void **state)
{
	struct fixture *fixture = *state;
	size_t n = EXCHANGE_MAX_QUEUED;
	char *block = mem_new(n);

	for (int ends = 0; ends < 2; ends++) {
		struct wire *wire = connect_public(fixture);

		fixture->n_pending = 0;
		fixture->n_gone = 0;
		wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
		wire_await(wire, ":\n\n");
		exchange_stream_write(fixture->pending[0], (struct span){ block, n });
		exchange_stream_write(fixture->pending[0], (struct span){ block, n });
		exchange_stream_write(fixture->pending[0], SPAN("more"));
		assert_int_equal(fixture->n_gone, 0);
		if (ends)
			exchange_stream_end(fixture->pending[0]);
		wire_until(fixture->loop, nobody_is_connected, fixture, "the connection's end");
		assert_int_equal(fixture->n_gone, ends ? 0 : 1);
		wire_close(&wire);
	}
	free(block);
}

static void on_room(void *ctx)
{
	int *n = ctx;

	++*n;
}

static bool has_room(void *ctx)
{
	const int *n = ctx;

	return *n > 0;
}

static void tells_once_when_all_has_left(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	size_t n = 16 * 1024 * 1024;
	char *block = mem_new(n);
	int n_rooms = 0;

	memset(block, 'x', n);
	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, ":\n\n");
	wire_for(fixture->loop, 5);
	/* Nothing waits: not at once, but from the loop. */
	exchange_stream_on_room(fixture->pending[0], on_room, &n_rooms);
	assert_int_equal(n_rooms, 0);
	wire_until(fixture->loop, has_room, &n_rooms, "room");
	n_rooms = 0;
	exchange_stream_write(fixture->pending[0], (struct span){ block, n });
	exchange_stream_on_room(fixture->pending[0], on_room, &n_rooms);
	wire_for(fixture->loop, 50);
	assert_int_equal(n_rooms, 0); /* nobody has read so much */
	wire_await_bytes(wire, n);
	wire_until(fixture->loop, has_room, &n_rooms, "room");
	exchange_stream_write(fixture->pending[0], SPAN("more"));
	wire_await(wire, "more");
	wire_for(fixture->loop, 5);
	assert_int_equal(n_rooms, 1);
	exchange_stream_end(fixture->pending[0]);
	wire_await(wire, "0\r\n\r\n");
	free(block);
	wire_close(&wire);
}

static void nobody_is_told_of_room_who_has_left(void **state)
{
	struct fixture *fixture = *state;
	struct wire *wire = connect_public(fixture);
	int n_rooms = 0;

	wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
	wire_await(wire, ":\n\n");
	wire_for(fixture->loop, 5);
	exchange_stream_on_room(fixture->pending[0], on_room, &n_rooms);
	exchange_stream_end(fixture->pending[0]);
	wire_await(wire, "0\r\n\r\n");
	assert_int_equal(n_rooms, 0);
	wire_close(&wire);
}

/* Everything that was written, and then the end of the connection without that of the answer. */
static void a_stream_that_is_cut_has_no_end(void **state)
{
	struct fixture *fixture = *state;

	for (int writes = 0; writes < 2; writes++) {
		struct wire *wire = connect_public(fixture);
		const char *answer;

		fixture->n_pending = 0;
		wire_send(wire, "GET /stream HTTP/1.1\r\n" HOST "\r\n");
		answer = wire_await(wire, ":\n\n");
		wire_for(fixture->loop, 5);
		if (writes)
			exchange_stream_write(fixture->pending[0], SPAN("why"));
		exchange_stream_cut(fixture->pending[0]);
		if (writes)
			answer = wire_await(wire, "3\r\nwhy\r\n");
		wire_until(fixture->loop, nobody_is_connected, fixture, "the connection's end");
		assert_lacks(answer, "0\r\n\r\n");
		assert_int_equal(fixture->n_gone, 0);
		wire_close(&wire);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(streams_at_once_and_keeps_the_connection),
		PLAIN(an_empty_end_ends_a_stream_too),
		PLAIN(tells_once_that_a_stream_lost_its_client),
		PLAIN(a_slow_reader_gets_everything_in_the_end),
		PLAIN(who_reads_too_slowly_is_dropped),
		PLAIN(a_dropped_client_can_still_be_written_to),
		PLAIN(tells_once_when_all_has_left),
		PLAIN(nobody_is_told_of_room_who_has_left),
		PLAIN(a_stream_that_is_cut_has_no_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
