/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cmd_audit.h"

#include "tests/unit/gateway/app/cli_fixture.h"

#define CUT_JSON                                                                                   \
	"{\"error\":{\"code\":\"cut\",\"detail\":\"the database does not answer\",\"rows\":2,"     \
	"\"cursor\":\"YTE\"}}\n"

/* --- the answer, piece by piece --- */

static const char *const *pieces;
static enum cli_stream_end how;
static char path[512];

int cli_stream(struct cli *cli, const struct cli_request *request, const struct cli_stream *stream,
	       enum cli_stream_end *end)
{
	snprintf(path, sizeof(path), "%s", request->path);
	assert_true(request->streams);
	*end = how;
	if (how == CLI_STREAM_REFUSED)
		return cli_fail(cli, EXIT_UNREACHABLE, "unreachable", "nobody");
	for (; *pieces != NULL; pieces++) {
		if (!stream->data(stream->ctx, *pieces, strlen(*pieces))) {
			*end = CLI_STREAM_STOPPED;
			break;
		}
	}
	return EXIT_OK;
}

static const struct command export_command = {
	.noun = "audit", .verb = "export", .args = "", .cli = &cli_audit_export
};

static int export(struct fixture *f, const char *line, const char *const *answer,
		  enum cli_stream_end end)
{
	setenv("TOLLGATE_URL", "http://127.0.0.1:1", 1);
	setenv("TOLLGATE_KEY", "tgk_x", 1);
	pieces = answer;
	how = end;
	return run(f, &export_command, line);
}

static char *content(const char *name, char out[256])
{
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, 255) : -1;

	if (fd >= 0)
		close(fd);
	out[n > 0 ? n : 0] = '\0';
	return n >= 0 ? out : NULL;
}

/* --- what tests say --- */

static void a_whole_answer_goes_out_as_it_came(void **state)
{
	static const char *const answers[][4] = {
		{"{\"a\":1}\n{\"a\":2}\n", NULL},
		{		  "{\"a\"",		    ":1}\n{",	      "\"a\":2}\n", NULL },
		{		  "{\"a\":1}\n",		 "{\"a\":2}\n",			NULL },
		{ "{\"a\":1}", "\n",			     "{\"a\":2}\n", NULL },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(answers); i++) {
		assert_int_equal(export(f, "export", answers[i], CLI_STREAM_WHOLE), 0);
		assert_string_equal(f->out, "{\"a\":1}\n{\"a\":2}\n");
		assert_string_equal(f->err, "");
	}
	assert_int_equal(export(f, "export", (const char *const[]){ NULL }, CLI_STREAM_WHOLE), 0);
	assert_string_equal(f->out, "");
}

static void a_row_that_looks_like_the_word_of_a_cut_is_a_row(void **state)
{
	static const char *const json[] = { "{\"a\":1}\n", CUT_JSON, NULL };
	static const char *const csv[] = { "a\r\n\"x\n", "#cut: not so; cursor=x\r\n", NULL };
	struct fixture *f = *state;

	assert_int_equal(export(f, "export", json, CLI_STREAM_WHOLE), 0);
	assert_string_equal(f->out, "{\"a\":1}\n" CUT_JSON);
	assert_int_equal(export(f, "export", csv, CLI_STREAM_WHOLE), 0);
	assert_string_equal(f->out, "a\r\n\"x\n#cut: not so; cursor=x\r\n");
}

static void what_was_cut_says_why_and_keeps_whole_rows(void **state)
{
	static const struct {
		const char *const answer[4];
		const char *out;
		const char *err;
	} rows[] = {
		{{ "{\"a\":1}\n{\"a\":2}\n", CUT_JSON, NULL },
		  "{\"a\":1}\n{\"a\":2}\n",							    "tollgate: the export is not complete: the database does not answer; the rest: "
		  "--cursor YTE\n"												  },
		{ { "a\r\n1\r\n", "#cut: the gateway stops after 1 rows; cursor=YTE\r\n", NULL },
		  "a\r\n1\r\n",									"tollgate: the export is not complete: the gateway stops after 1 rows; the rest: "
		  "--cursor YTE\n"													      },
		{ { "#cut: the gateway stops after 0 rows; cursor=\r\n", NULL },
		  "",										  "tollgate: the export is not complete: the gateway stops after 0 rows\n"},
 /* The connection broke: a whole line is a row, a part of one is none. */
		{ { "{\"a\":1}\n{\"a\":2}\n", NULL },
		  "{\"a\":1}\n{\"a\":2}\n",							    "tollgate: the export is not complete\n"				   },
		{ { "{\"a\":1}\n{\"a\":", NULL },
		  "{\"a\":1}\n",								       "tollgate: the export is not complete\n"				   },
		{ { NULL },								       "", "tollgate: the export is not complete\n"				 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(export(f, "export", rows[i].answer, CLI_STREAM_CUT), 1);
		assert_string_equal(f->out, rows[i].out);
		assert_string_equal(f->err, rows[i].err);
	}
}

static void a_file_appears_when_it_is_complete(void **state)
{
	static const char *const answer[] = { "{\"a\":1}\n", NULL };
	struct fixture *f = *state;
	struct stat info;
	char text[256];

	assert_int_equal(export(f, "export -o rows", answer, CLI_STREAM_CUT), 1);
	assert_null(content("rows", text));
	assert_string_equal(content("rows.part", text), "{\"a\":1}\n");
	assert_non_null(strstr(f->err, "what came of it is in rows.part"));

	assert_int_equal(export(f, "export -o rows", answer, CLI_STREAM_WHOLE), 0);
	assert_string_equal(content("rows", text), "{\"a\":1}\n");
	assert_null(content("rows.part", text));
	assert_int_equal(stat("rows", &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	assert_string_equal(f->out, "");

	/* One that was refused leaves what was there. */
	assert_int_equal(export(f, "export -o rows", answer, CLI_STREAM_REFUSED), 4);
	assert_string_equal(content("rows", text), "{\"a\":1}\n");
	assert_null(content("rows.part", text));
	unlink("rows");

	assert_int_equal(export(f, "export -o no/rows", answer, CLI_STREAM_WHOLE), 2);
	assert_non_null(strstr(f->err, "no/rows.part: No such file"));
}

static void options_become_parameters(void **state)
{
	static const char *const answer[] = { NULL };
	struct fixture *f = *state;

	assert_int_equal(export(f,
				"export --user a&b --errors --all-tenants --from 7d --format csv "
				"--cursor YTE --outcome ok,denied",
				answer, CLI_STREAM_WHOLE),
			 0);
	assert_string_equal(path, "/audit/export?user=a%26b&outcome=ok%2Cdenied&error=true"
				  "&tenant=%2A&from=7d&format=csv&cursor=YTE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_whole_answer_goes_out_as_it_came, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_row_that_looks_like_the_word_of_a_cut_is_a_row,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_was_cut_says_why_and_keeps_whole_rows, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(a_file_appears_when_it_is_complete, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(options_become_parameters, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
