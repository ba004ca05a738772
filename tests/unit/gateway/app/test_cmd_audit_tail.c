/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cmd_audit.h"

#include "tests/unit/gateway/app/cli_fixture.h"

#define ROW(tool)                                                                                  \
	"{\"started_at\":\"2026-11-20T12:31:00.123456Z\",\"user_name\":\"ana\",\"tool\":\"" tool   \
	"\",\"outcome\":\"ok\",\"duration_ms\":41.6,\"is_error\":false,\"n_calls\":1,"             \
	"\"call_id\":\"C\"}"
#define EVENT(id, tool) "event: call\nid: " id "\ndata: " ROW(tool) "\n\n"

/* --- streams, one after the other --- */

static const struct stream {
	const char *text;
	enum cli_stream_end end;
	int code;
} * streams;
static char seen[256]; /* the ids that were asked with */
static size_t n_waits;

int cli_stream(struct cli *cli, const struct cli_request *request, const struct cli_stream *stream,
	       enum cli_stream_end *end)
{
	const struct stream *now = streams++;

	assert_string_equal(request->method, "GET");
	snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s,",
		 request->last_event_id != NULL ? request->last_event_id : "-");
	*end = now->end;
	if (now->end == CLI_STREAM_REFUSED && !stream->quiet)
		cli_fail(cli, now->code, "unreachable", "nobody");
	for (const char *at = now->text; at != NULL && *at != '\0'; at++) {
		if (!stream->data(stream->ctx, at, 1)) {
			*end = CLI_STREAM_STOPPED;
			break;
		}
	}
	return now->code;
}

static int tail(struct fixture *f, const char *line, const struct stream *list)
{
	static const struct command command = {
		.noun = "audit", .verb = "tail", .args = "", .cli = &cli_audit_tail
	};

	setenv("TOLLGATE_URL", "http://127.0.0.1:1", 1);
	setenv("TOLLGATE_KEY", "tgk_x", 1);
	streams = list;
	seen[0] = '\0';
	n_waits = 0;
	return run(f, &command, line);
}

/* LINK: -Wl,--wrap=cli_wait */
void __wrap_cli_wait(struct cli *cli, int64_t ms);
void __wrap_cli_wait(struct cli *cli, int64_t ms)
{
	(void)cli;
	assert_int_equal(ms, 1000);
	n_waits++;
}

/* --- what tests say --- */

static void a_call_is_a_line(void **state)
{
	static const struct stream list[] = {
		{EVENT("1", "get\\u001b[2J") EVENT("2", "b"), CLI_STREAM_CUT, 0},
	};
	struct fixture *f = *state;

	assert_int_equal(tail(f, "tail -n 2", list), 0);
	assert_string_equal(f->out, "12:31:00.123  ok                    42 ms  ana  get [2J  C\n"
				    "12:31:00.123  ok                    42 ms  ana  b  C\n");
	assert_int_equal(tail(f, "tail -n 1 --json", list), 0);
	assert_string_equal(f->out, ROW("get\\u001b[2J") "\n");
	assert_int_equal(tail(f, "tail -n 1 -o json", list), 0);
	assert_string_equal(f->out, ROW("get\\u001b[2J") "\n");
}

static void a_cut_is_gone_on_from(void **state)
{
	static const struct stream list[] = {
		{"id: 0\n\n" EVENT("1",								   "a") "event: call\nid: 2\ndata: {", CLI_STREAM_CUT,   0},
		{ NULL,										   CLI_STREAM_REFUSED,		    EXIT_UNREACHABLE},
		{ EVENT("2", "b") "event: end\ndata: "
				  "{\"code\":\"unavailable\",\"detail\":\"stops\"}\n\n",		   CLI_STREAM_WHOLE,		    0 },
		{ ":\nid: 3\n\n",									 CLI_STREAM_CUT,				  0		    },
		{ EVENT("4",									 "c"),													  CLI_STREAM_CUT,		   0},
	};
	struct fixture *f = *state;

	assert_int_equal(tail(f, "tail -n 3", list), 0);
	assert_string_equal(seen, "-,1,1,2,3,");
	assert_int_equal(n_waits, 4);
	assert_non_null(strstr(f->out, "  a  C\n"));
	assert_non_null(strstr(f->out, "  b  C\n"));
	assert_non_null(strstr(f->out, "  c  C\n"));
	assert_non_null(strstr(f->err, "the stream was cut"));
}

static void the_first_refusal_and_the_end_of_the_key_are_final(void **state)
{
	static const struct stream nobody[] = {
		{NULL, CLI_STREAM_REFUSED, EXIT_UNREACHABLE}
	};
	static const struct stream revoked[] = {
		{"event: end\ndata: {\"code\":\"unauthenticated\",\"detail\":\"not valid\"}\n\n",
		  CLI_STREAM_WHOLE, 0},
	};
	static const struct stream later[] = {
		{EVENT("1", "a"), CLI_STREAM_CUT,	   0 },
		{ NULL,	CLI_STREAM_REFUSED,	    EXIT_SIGN_IN},
	};
	struct fixture *f = *state;

	assert_int_equal(tail(f, "tail", nobody), EXIT_UNREACHABLE);
	assert_int_equal(tail(f, "tail", revoked), EXIT_SIGN_IN);
	assert_non_null(strstr(f->err, "not valid"));
	assert_int_equal(tail(f, "tail", later), EXIT_SIGN_IN);
	assert_int_equal(n_waits, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_call_is_a_line, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_cut_is_gone_on_from, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_first_refusal_and_the_end_of_the_key_are_final,
						set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
