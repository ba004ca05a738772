/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/peer.h"
#include "tests/unit/gateway/app/cli_fixture.h"

#define HEAD "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

/* What a stream came to. */
static struct {
	size_t n_bytes;
	size_t stop_after; /* 0: never */
	enum cli_stream_end end;
} outcome;

static bool on_data(void *ctx, const char *p, size_t n)
{
	(void)ctx;
	(void)p;
	outcome.n_bytes += n;
	return outcome.stop_after == 0 || outcome.n_bytes < outcome.stop_after;
}

static int follow(struct cli *cli, const void *options)
{
	const struct cli_request request = {
		.method = "GET", .path = "/things", .streams = true, .last_event_id = "7"
	};

	(void)options;
	return cli_stream(cli, &request, &(struct cli_stream){ .data = on_data }, &outcome.end);
}

static const struct cli_command follow_cli = { NULL, 0, CLI_USER, follow };
static const struct command command = {
	.noun = "things", .verb = "follow", .args = "", .cli = &follow_cli
};

static int play(struct fixture *f, const struct peer_step *script, size_t stop_after)
{
	const struct peer_step *const scripts[] = { script };
	struct peer *peer = peer_start(scripts, 1);
	char url[64];
	char *request;
	int code;

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", peer_port(peer));
	setenv("TOLLGATE_URL", url, 1);
	setenv("TOLLGATE_KEY", "tgk_test", 1);
	outcome.n_bytes = 0;
	outcome.stop_after = stop_after;
	code = run(f, &command, "follow");
	request = peer_request(peer, 0);
	assert_non_null(strcasestr(request, "last-event-id: 7\r\n"));
	assert_non_null(strcasestr(request, "accept: */*\r\n"));
	free(request);
	peer_stop(&peer);
	return code;
}

static void an_answer_of_any_size_is_handed_on(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL, 0		},
		{ PEER_SEND,   HEAD, 0		     },
 /* More than any answer that is kept may have. */
		{ PEER_CHUNKS, NULL, 70 * 1024 * 1000},
		{ PEER_CLOSE,  NULL, 0		      },
	};
	struct fixture *f = *state;

	assert_int_equal(play(f, script, 0), EXIT_OK);
	assert_int_equal(outcome.end, CLI_STREAM_WHOLE);
	assert_int_equal(outcome.n_bytes, 70 * 1024 * 1000);
}

static void one_that_breaks_off_is_cut(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,		      0},
		{ PEER_SEND,   HEAD "5\r\nhello\r\n", 0},
		{ PEER_CLOSE,  NULL,		    0},
	};
	struct fixture *f = *state;

	assert_int_equal(play(f, script, 0), EXIT_OK);
	assert_int_equal(outcome.end, CLI_STREAM_CUT);
	assert_int_equal(outcome.n_bytes, 5);
	assert_string_equal(f->err, "");
}

static void who_has_enough_stops_it(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST,	NULL,		      0},
		{ PEER_SEND,	     HEAD "5\r\nhello\r\n", 0},
		{ PEER_AWAIT_CLOSE, NULL,		  0},
		{ PEER_CLOSE,	      NULL,		    0},
	};
	struct fixture *f = *state;

	assert_int_equal(play(f, script, 1), EXIT_OK);
	assert_int_equal(outcome.end, CLI_STREAM_STOPPED);
}

static void a_refusal_is_told(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,				      0},
		{ PEER_SEND,
		  "HTTP/1.1 429 X\r\nContent-Length: 41\r\n\r\n"
		  "{\"code\":\"rate_limited\",\"detail\":\"enough\"}", 0},
		{ PEER_CLOSE,  NULL,				    0},
	};
	struct fixture *f = *state;

	assert_int_equal(play(f, script, 0), EXIT_UNEXPECTED);
	assert_int_equal(outcome.end, CLI_STREAM_REFUSED);
	assert_int_equal(outcome.n_bytes, 0);
	assert_string_equal(f->err, "tollgate: enough\n");
}

static void that_nobody_answers_is_told(void **state)
{
	struct fixture *f = *state;
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u", peer_unused_port());
	setenv("TOLLGATE_URL", url, 1);
	setenv("TOLLGATE_KEY", "tgk_test", 1);
	assert_int_equal(run(f, &command, "follow"), EXIT_UNREACHABLE);
	assert_int_equal(outcome.end, CLI_STREAM_REFUSED);
	assert_non_null(strstr(f->err, url));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_answer_of_any_size_is_handed_on),
		TEST(one_that_breaks_off_is_cut),
		TEST(who_has_enough_stops_it),
		TEST(a_refusal_is_told),
		TEST(that_nobody_answers_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
