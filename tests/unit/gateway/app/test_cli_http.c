/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/peer.h"
#include "tests/unit/gateway/app/cli_fixture.h"

/* --- commands of the test --- */

static int show(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_get(cli, cli_path(cli, "/things/", cli->words[0], ""), &answer);

	(void)options;
	return code == EXIT_OK ? cli_print_object(cli, answer.body) : code;
}

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"NAME", "name"},
		    { NULL,  NULL	 }
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/things", false, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

static int change(struct cli *cli, const void *options)
{
	struct cli_answer answer;

	(void)options;
	return cli_change(cli, "/things/x", false, SPAN("{\"a\":1}"), &answer);
}

static int rm(struct cli *cli, const void *options)
{
	(void)options;
	return cli_remove(cli, "/things/x", false, "thing x", true);
}

static const struct cli_command show_cli = { NULL, 0, CLI_USER, show };
static const struct cli_command list_cli = { NULL, 0, CLI_ADMIN, list };
static const struct cli_command change_cli = { NULL, 0, CLI_ADMIN, change };
static const struct cli_command rm_cli = { NULL, 0, CLI_ADMIN, rm };

static const struct command thing_show = {
	.noun = "things", .verb = "show", .args = "NAME", .cli = &show_cli
};
static const struct command thing_list = {
	.noun = "things", .verb = "list", .args = "", .cli = &list_cli
};
static const struct command thing_change = {
	.noun = "things", .verb = "change", .args = "", .cli = &change_cli
};
static const struct command thing_rm = {
	.noun = "things", .verb = "rm", .args = "", .cli = &rm_cli
};

/* --- exit codes --- */

static void statuses_become_exit_codes(void **state)
{
	static const struct {
		int status;
		int code;
	} cases[] = {
		{200,  EXIT_OK	       },
		  { 201, EXIT_OK	 },
		     { 204, EXIT_OK	    },
		{ 400, EXIT_UNEXPECTED },
		  { 401, EXIT_SIGN_IN    },
		     { 403, EXIT_SIGN_IN	 },
		{ 404, EXIT_UNEXPECTED },
		  { 409, EXIT_UNEXPECTED },
		     { 412, EXIT_UNEXPECTED },
		{ 502, EXIT_UNEXPECTED },
		  { 503, EXIT_UNREACHABLE},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(cli_exit_code(cases[i].status), cases[i].code);
}

/* --- commands against a scripted gateway --- */

static void point_at(uint16_t port)
{
	char url[64];

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
	setenv("TOLLGATE_URL", url, 1);
	setenv("TOLLGATE_KEY", "tgk_test", 1);
}

static struct peer *start_peer(const struct peer_step *script)
{
	static const struct peer_step *scripts[1];
	struct peer *peer;

	scripts[0] = script;
	peer = peer_start(scripts, 1);
	point_at(peer_port(peer));
	return peer;
}

static void expect_request(struct peer *peer, size_t i, const char *begins, const char *holds)
{
	char *request = peer_request(peer, i);

	if (strncmp(request, begins, strlen(begins)) != 0 ||
	    (holds != NULL && strcasestr(request, holds) == NULL))
		fail_msg("the request was %s", request);
	free(request);
}

#define ANSWER(status, body_bytes, body)                                                           \
	"HTTP/1.1 " status "\r\nContent-Type: application/json\r\nContent-Length: " body_bytes     \
	"\r\n\r\n" body

static void one_thing_is_shown(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,	      0	},
		{ PEER_SEND,   ANSWER("200 OK", "24", "{\"name\":\"a b\",\"n\":1e400}"), 0 },
		{ PEER_AGAIN,	      NULL,			    0		      },
	};
	struct fixture *f = *state;
	struct peer *peer = start_peer(script);

	assert_int_equal(run(f, &thing_show, "show a/b?"), EXIT_OK);
	assert_string_equal(f->out, "MEMBER  VALUE\nname    a b\nn       1e400\n");
	assert_string_equal(f->err, "");
	expect_request(peer, 0, "GET /api/v1/things/a%2Fb%3F HTTP/1.1\r\n",
		       "authorization: Bearer tgk_test\r\n");
	assert_int_equal(run(f, &thing_show, "show a -o json --tenant t"), EXIT_OK);
	assert_string_equal(f->out, "{\"name\":\"a b\",\"n\":1e400}\n");
	expect_request(peer, 1, "GET /api/v1/tenants/t/things/a HTTP/1.1\r\n", NULL);
	peer_stop(&peer);
}

static void all_pages_of_a_list_are_one(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,				       0	},
		{ PEER_SEND,
		  ANSWER("200 OK",					  "39",	 "{\"items\":[{\"name\":\"a\"}],\"next\":\"c&r\"}  "), 0 },
		{ PEER_REQUEST,		NULL,						    0						},
		{ PEER_SEND,
		  ANSWER("200 OK", "38","{\"items\":[ {\"name\":\"b\"} ],\"next\":null}"), 0 },
		{ PEER_AGAIN,	      NULL, 0						       },
	};
	struct fixture *f = *state;
	struct peer *peer = start_peer(script);

	assert_int_equal(run(f, &thing_list, "list"), EXIT_OK);
	assert_string_equal(f->out, "NAME\na\nb\n");
	expect_request(peer, 1, "GET /api/v1/things?cursor=c%26r HTTP/1.1\r\n", NULL);
	assert_int_equal(run(f, &thing_list, "list -o json"), EXIT_OK);
	assert_string_equal(f->out, "{\"items\":[{\"name\":\"a\"},{\"name\":\"b\"}],"
				    "\"next\":null}\n");
	peer_stop(&peer);
}

static void a_change_names_the_version_that_it_saw(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST,	NULL,							    0	},
		{ PEER_SEND,    "HTTP/1.1 200 OK\r\nETag: \"7\"\r\nContent-Length: 2\r\n\r\n{}", 0	},
		{ PEER_REQUEST, NULL,							    0	},
		{ PEER_SEND,    ANSWER("200 OK",						 "2", "{}"), 0 },
		{ PEER_AGAIN,	      NULL,									  0								  },
	};
	struct fixture *f = *state;
	struct peer *peer = start_peer(script);

	assert_int_equal(run(f, &thing_change, "change"), EXIT_OK);
	expect_request(peer, 0, "GET /api/v1/things/x HTTP/1.1\r\n", NULL);
	expect_request(peer, 1, "PATCH /api/v1/things/x HTTP/1.1\r\n", "if-match: \"7\"\r\n");
	expect_request(peer, 1, "PATCH", "content-type: application/merge-patch+json\r\n");
	expect_request(peer, 1, "PATCH", "\r\n\r\n{\"a\":1}");
	peer_stop(&peer);
}

static void what_has_no_version_is_removed_at_once(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,			      0},
		{ PEER_SEND,   "HTTP/1.1 204 No Content\r\n\r\n", 0},
		{ PEER_AGAIN,  NULL,				    0},
	};
	struct fixture *f = *state;
	struct peer *peer = start_peer(script);

	assert_int_equal(run(f, &thing_rm, "rm"), EXIT_OK);
	assert_int_equal(peer_requests(peer), 1);
	expect_request(peer, 0, "DELETE /api/v1/things/x HTTP/1.1\r\n", NULL);
	assert_string_equal(f->out, "thing x removed\n");
	peer_stop(&peer);
}

static void what_has_a_version_is_removed_with_it(void **state)
{
	static const struct peer_step script[] = {
		{PEER_REQUEST, NULL,				      0	},
		{ PEER_SEND,   ANSWER("428 Precondition Required", "2",	      "{}"), 0 },
		{ PEER_REQUEST,		NULL,					    0					},
		{ PEER_SEND,	     "HTTP/1.1 200 OK\r\nETag: \"8\"\r\nContent-Length: 2\r\n\r\n{}", 0},
		{ PEER_REQUEST,		NULL,					    0										},
		{ PEER_SEND,	     "HTTP/1.1 204 No Content\r\n\r\n", 0},
		{ PEER_AGAIN,	      NULL,					    0															  },
	};
	struct fixture *f = *state;
	struct peer *peer = start_peer(script);

	assert_int_equal(run(f, &thing_rm, "rm"), EXIT_OK);
	assert_int_equal(peer_requests(peer), 3);
	expect_request(peer, 2, "DELETE /api/v1/things/x HTTP/1.1\r\n", "if-match: \"8\"\r\n");
	peer_stop(&peer);
}

/* What the gateway answers, the exit code, and what both forms of complaint say. */
static void expect_failure(struct fixture *f, const char *answer, int exit_code, const char *code,
			   const char *says)
{
	const struct peer_step script[] = {
		{PEER_REQUEST, NULL,   0},
		{ PEER_SEND,   answer, 0},
		{ PEER_CLOSE,  NULL,   0},
	};
	struct peer *peer = start_peer(script);
	char member[64];

	assert_int_equal(run(f, &thing_show, "show x"), exit_code);
	assert_string_equal(f->out, "");
	assert_memory_equal(f->err, "tollgate: ", 10);
	assert_non_null(strstr(f->err, says));
	assert_int_equal(run(f, &thing_show, "show x -o json"), exit_code);
	assert_string_equal(f->out, "");
	snprintf(member, sizeof(member), "{\"error\":{\"code\":\"%s\",\"message\":\"", code);
	assert_memory_equal(f->err, member, strlen(member));
	assert_non_null(strstr(f->err, says));
	assert_ptr_equal(strchr(f->err, '\n'), f->err + strlen(f->err) - 1);
	peer_stop(&peer);
}

static void a_refusal_says_why(void **state)
{
	struct fixture *f = *state;

	expect_failure(f,
		       ANSWER("401 Unauthorized", "47",
			      "{\"code\":\"unauthenticated\",\"detail\":\"no match\"} "),
		       EXIT_SIGN_IN, "unauthenticated", "the key is not accepted: no match");
	expect_failure(
		f,
		ANSWER("403 Forbidden", "41", "{\"code\":\"forbidden\",\"detail\":\"admin\"}    "),
		EXIT_SIGN_IN, "forbidden", "admin");
	expect_failure(
		f, ANSWER("404 Not Found", "39", "{\"code\":\"not_found\",\"detail\":\"none\"}   "),
		EXIT_UNEXPECTED, "not_found", "x: none");
	expect_failure(
		f, ANSWER("409 Conflict", "39", "{\"code\":\"conflict\",\"detail\":\"x is\"}    "),
		EXIT_UNEXPECTED, "conflict", "x is");
}

static void something_that_is_no_gateway_is_told(void **state)
{
	struct fixture *f = *state;

	expect_failure(f, ANSWER("200 OK", "5", "<html"), EXIT_UNEXPECTED, "no_api",
		       "is no Tollgate");
	expect_failure(f, ANSWER("502 Bad Gateway", "5", "<html"), EXIT_UNEXPECTED, "no_api",
		       "502");
	expect_failure(f, "nonsense\r\n\r\n", EXIT_UNREACHABLE, "unreachable", "127.0.0.1");
}

static void nobody_there_is_unreachable(void **state)
{
	struct fixture *f = *state;

	point_at(peer_unused_port());
	assert_int_equal(run(f, &thing_show, "show x"), EXIT_UNREACHABLE);
	assert_memory_equal(f->err, "tollgate: http://127.0.0.1:", 27);
	assert_int_equal(run(f, &thing_show, "show x -o json"), EXIT_UNREACHABLE);
	assert_non_null(strstr(f->err, "\"code\":\"unreachable\""));
	assert_non_null(strstr(f->err, "\"hint\":\""));
}

#define WHOLE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statuses_become_exit_codes),
		WHOLE(one_thing_is_shown),
		WHOLE(all_pages_of_a_list_are_one),
		WHOLE(a_change_names_the_version_that_it_saw),
		WHOLE(what_has_no_version_is_removed_at_once),
		WHOLE(what_has_a_version_is_removed_with_it),
		WHOLE(a_refusal_says_why),
		WHOLE(something_that_is_no_gateway_is_told),
		WHOLE(nobody_there_is_unreachable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
