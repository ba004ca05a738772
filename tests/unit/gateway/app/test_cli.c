/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cli.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fakes/peer.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_ARGS     16
#define TEXT_BYTES   8192

/* --- commands of the test --- */

struct options {
	const char *colour;
	const char *url;
	struct cli_list tags;
	bool loud;
};
#define AT(member) offsetof(struct options, member)

static const struct cli_option thing_options[] = {
	{"colour", 0,   CLI_TEXT, AT(colour)},
	{ "tag",	 't', CLI_LIST, AT(tags)	 },
	{ "loud",  'l', CLI_FLAG, AT(loud)  },
	{ NULL,	0,   CLI_TEXT, 0	       },
};
static const struct cli_option own_url_options[] = {
	{"url", 0, CLI_TEXT, AT(url)},
	{ NULL, 0, CLI_TEXT, 0      },
};

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

static const struct cli_command show_cli = { thing_options, sizeof(struct options), CLI_USER,
					     show };
static const struct cli_command own_url_cli = { own_url_options, sizeof(struct options), CLI_ADMIN,
						show };
static const struct cli_command list_cli = { NULL, 0, CLI_ADMIN, list };
static const struct cli_command change_cli = { NULL, 0, CLI_ADMIN, change };
static const struct cli_command rm_cli = { NULL, 0, CLI_ADMIN, rm };

static const struct command thing_show = {
	.noun = "things", .verb = "show", .args = "NAME [OTHER] [--colour C]", .cli = &show_cli
};
static const struct command thing_with_url = {
	.noun = "things", .verb = "add", .args = "NAME --url U", .cli = &own_url_cli
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

/* --- command lines --- */

struct line {
	struct cli cli;
	struct options options;
	char text[TEXT_BYTES];
	char *argv[MAX_ARGS + 1];
	int argc;
	struct err err;
	int ret;
};

/* Words between single spaces; a line of its own memory, as of a process. */
static void split(struct line *line, const char *text)
{
	char *at = line->text;

	assert_true(strlen(text) < sizeof(line->text));
	memcpy(line->text, text, strlen(text) + 1);
	while (at != NULL) {
		char *space = strchr(at, ' ');

		assert_true(line->argc < MAX_ARGS);
		line->argv[line->argc++] = at;
		if (space != NULL)
			*space++ = '\0';
		at = space;
	}
}

static struct line *parse(const struct command *command, const char *text)
{
	struct line *line = calloc(1, sizeof(*line));

	assert_non_null(line);
	line->cli.command = command;
	line->cli.arena = arena_new();
	split(line, text);
	line->ret = cli_parse(&line->cli, line->argc, line->argv, &line->options, &line->err);
	return line;
}

static void line_free(struct line *line)
{
	arena_free(&line->cli.arena);
	free(line);
}

static void options_may_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"show a b --colour red -t x --tag y -l -o json --url http://h",
		"show --url=http://h -ojson -l --colour red a -tx --tag=y b",
		"show -l --tag x a --output json --url http://h --tag y --colour red -- b",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(lines); i++) {
		struct line *line = parse(&thing_show, lines[i]);

		assert_int_equal(line->ret, 0);
		assert_int_equal(line->cli.n_words, 2);
		assert_string_equal(line->cli.words[0], "a");
		assert_string_equal(line->cli.words[1], "b");
		assert_string_equal(line->options.colour, "red");
		assert_int_equal(line->options.tags.n, 2);
		assert_string_equal(line->options.tags.items[0], "x");
		assert_string_equal(line->options.tags.items[1], "y");
		assert_true(line->options.loud);
		assert_int_equal(line->cli.output, OUTPUT_JSON);
		assert_string_equal(line->cli.url, "http://h");
		line_free(line);
	}
}

static void what_is_not_given_is_absent(void **state)
{
	struct line *line = parse(&thing_show, "show a");

	(void)state;
	assert_int_equal(line->ret, 0);
	assert_int_equal(line->cli.n_words, 1);
	assert_null(line->options.colour);
	assert_int_equal(line->options.tags.n, 0);
	assert_false(line->options.loud);
	assert_null(line->cli.url);
	assert_null(line->cli.key);
	assert_null(line->cli.tenant);
	assert_int_equal(line->cli.output, OUTPUT_TABLE);
	line_free(line);
}

static void wrong_use_is_named(void **state)
{
	static const struct {
		const char *line;
		const char *says;
	} cases[] = {
		{"show",		  "NAME"	 },
		{ "show a b c",		"c"	    },
		{ "show a --frobnicate", "--frobnicate"},
		{ "show a -x",	       "-x"	    },
		{ "show a --colour",     "--colour"	},
		{ "show a -t",	       "-t"	    },
		{ "show a --loud=very",	"--loud"	 },
		{ "show a -o yaml",	    "yaml"	   },
		{ "show a -o",	       "-o"	    },
		{ "show a --output=",    "-o"	   },
		{ "show a \xff",	 "UTF-8"	 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct line *line = parse(&thing_show, cases[i].line);

		if (line->ret != -1 || strstr(line->err.text, cases[i].says) == NULL)
			fail_msg("%s: %d %s", cases[i].line, line->ret, line->err.text);
		assert_int_equal(line->err.code, ERR_BAD_REQUEST);
		line_free(line);
	}
}

static void an_empty_word_is_no_name(void **state)
{
	struct line *line = parse(&thing_show, "show ");

	(void)state;
	assert_int_equal(line->ret, -1);
	assert_non_null(strstr(line->err.text, "NAME"));
	line_free(line);
}

static void the_format_is_known_even_if_something_before_is_wrong(void **state)
{
	struct line *line = parse(&thing_show, "show --frobnicate a -o json");

	(void)state;
	assert_int_equal(line->ret, -1);
	assert_int_equal(line->cli.output, OUTPUT_JSON);
	line_free(line);
}

static void a_key_does_not_stay_on_the_command_line(void **state)
{
	struct line *line = parse(&thing_show, "show a --key tgk_secret --tenant t");

	(void)state;
	assert_int_equal(line->ret, 0);
	assert_string_equal(line->cli.key, "tgk_secret");
	assert_string_equal(line->cli.tenant, "t");
	for (size_t i = 0; i + 10 < sizeof(line->text); i++)
		assert_memory_not_equal(line->text + i, "tgk_secret", 10);
	line_free(line);
}

static void a_commands_own_option_wins(void **state)
{
	struct line *line =
		parse(&thing_with_url, "add a --url http://theirs --gateway http://ours");

	(void)state;
	assert_int_equal(line->ret, 0);
	assert_string_equal(line->options.url, "http://theirs");
	assert_string_equal(line->cli.url, "http://ours");
	line_free(line);
}

/* --- tables and texts --- */

static char *printed(const struct cli_table *table, size_t max_width)
{
	char *text = NULL;
	size_t n;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	cli_table_print(table, out, max_width);
	fclose(out);
	return text;
}

static void expect_table(const char *const *titles, const char *const *cells, size_t n_rows,
			 size_t max_width, const char *expected)
{
	struct arena *arena = arena_new();
	struct cli_table table;
	char *text;

	cli_table_init(&table, arena, titles);
	for (size_t i = 0; i < n_rows; i++)
		cli_table_add(&table, &cells[i * table.n_columns]);
	text = printed(&table, max_width);
	assert_string_equal(text, expected);
	free(text);
	arena_free(&arena);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
	static const char *const titles[] = { "A", "LONGER", "C", NULL };
	static const char *const cells[] = { "first", "x", "1", "2", NULL, "" };

	(void)state;
	expect_table(titles, cells, 2, 0,
		     "A      LONGER  C\n"
		     "first  x       1\n"
		     "2      -       -\n");
	expect_table(titles, cells, 0, 0, "A  LONGER  C\n");
}

static void width_is_counted_in_characters(void **state)
{
	static const char *const titles[] = { "NAME", "X", NULL };
	static const char *const cells[] = { "h\xc3\xa4nd", "1", "naive", "2" };

	(void)state;
	expect_table(titles, cells, 2, 0,
		     "NAME   X\n"
		     "h\xc3\xa4nd   1\n"
		     "naive  2\n");
}

static void a_line_ends_where_the_terminal_does(void **state)
{
	static const char *const titles[] = { "NAME", "TEXT", NULL };
	static const char *const cells[] = { "a", "0123456789", "b", "01234567" };

	(void)state;
	expect_table(titles, cells, 2, 14,
		     "NAME  TEXT\n"
		     "a     0123456\xe2\x80\xa6\n"
		     "b     01234567\n");
}

static void nothing_in_a_cell_commands_the_terminal(void **state)
{
	static const char *const titles[] = { "T", NULL };
	static const char *const cells[] = { "a\x1b[2Jb\nc\td\x7f"
					     "e\xc2\x9b"
					     "f" };

	(void)state;
	expect_table(titles, cells, 1, 0, "T\na [2Jb c d e f\n");
}

static void many_rows_are_kept(void **state)
{
	static const char *const titles[] = { "N", NULL };
	struct arena *arena = arena_new();
	struct cli_table table;
	char *text;
	size_t lines = 0;

	(void)state;
	cli_table_init(&table, arena, titles);
	for (int i = 0; i < 1000; i++) {
		const char *cell = arena_printf(arena, "%d", i);

		cli_table_add(&table, &cell);
	}
	text = printed(&table, 0);
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, 1001);
	assert_non_null(strstr(text, "\n0\n"));
	assert_non_null(strstr(text, "\n999\n"));
	free(text);
	arena_free(&arena);
}

static void cells_are_texts_or_json(void **state)
{
	static const struct {
		const char *path;
		const char *cell;
	} cases[] = {
		{"s",	       "a\"b\n"		},
		{ "n",	       "12345678901234567890"},
		{ "t",	       "true"		      },
		{ "o.deep.er", "x"		   },
		{ "o.deep",    "{\"er\":\"x\"}"	     },
		{ "l",	       "[1, 2]"		},
		{ "null",	  NULL		       },
		{ "none",	  NULL		       },
		{ "s.x",	 NULL		      },
	};
	const struct span object = SPAN("{\"s\":\"a\\\"b\\n\",\"n\": 12345678901234567890 ,"
					"\"t\":true,\"o\":{\"deep\":{\"er\":\"x\"}},"
					"\"l\":[1, 2],\"null\":null}");
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *cell = cli_cell(arena, object, cases[i].path);

		if (cases[i].cell == NULL)
			assert_null(cell);
		else
			assert_string_equal(cell, cases[i].cell);
	}
	arena_free(&arena);
}

static void texts_for_programs_are_left_alone(void **state)
{
	char *text = NULL;
	size_t n;
	FILE *out = tmpfile();

	(void)state;
	assert_non_null(out);
	cli_print_text(out, SPAN("\x1b[1mbold"));
	cli_print_text(out, SPAN("line\n"));
	cli_print_text(out, SPAN(""));
	n = (size_t)ftell(out);
	rewind(out);
	text = calloc(1, n + 1);
	assert_int_equal(fread(text, 1, n, out), n);
	assert_string_equal(text, "\x1b[1mbold\nline\n\n");
	free(text);
	fclose(out);
}

/* --- the arguments of a tool --- */

static void expect_args(const char *const *pairs, size_t n, const char *expected)
{
	struct cli_list list = { .items = (const char **)(uintptr_t)pairs, .n = n };
	struct buf text;
	struct err err;
	int ret;

	buf_init(&text, 4096);
	ret = args_write(&list, &text, &err);
	if (expected == NULL) {
		assert_int_equal(ret, -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, "-a"));
	} else {
		assert_int_equal(ret, 0);
		assert_string_equal(buf_str(&text), expected);
	}
	buf_fini(&text);
}

static void values_are_json_if_they_can_be(void **state)
{
	static const char *const pairs[] = {
		"n=5",	       "big=12345678901234567890",
		"huge=1e400",  "t=true",
		"null=null",   "list=[1, 2]",
		"o={\"a\":1}", "quoted=\"5\"",
		"text=a b=c",  "empty=",
		"almost={x",   "date=2026-11-20",
	};

	(void)state;
	expect_args(pairs, COUNT(pairs),
		    "{\"n\":5,\"big\":12345678901234567890,\"huge\":1e400,\"t\":true,\"null\":null,"
		    "\"list\":[1, 2],\"o\":{\"a\":1},\"quoted\":\"5\",\"text\":\"a b=c\","
		    "\"empty\":\"\",\"almost\":\"{x\",\"date\":\"2026-11-20\"}");
	expect_args(NULL, 0, "{}");
}

static void names_are_escaped(void **state)
{
	static const char *const pairs[] = { "a\"b=1" };

	(void)state;
	expect_args(pairs, 1, "{\"a\\\"b\":1}");
}

static void what_is_no_pair_or_comes_twice_is_refused(void **state)
{
	static const char *const no_pair[] = { "a=1", "novalue" };
	static const char *const no_name[] = { "=5" };
	static const char *const twice[] = { "a=1", "ab=2", "a=3" };

	(void)state;
	expect_args(no_pair, 2, NULL);
	expect_args(no_name, 1, NULL);
	expect_args(twice, 3, NULL);
}

/* --- exit codes --- */

static void statuses_become_exit_codes(void **state)
{
	static const struct {
		int status;
		int code;
	} cases[] = {
		{200,  EXIT_OK	       },
		  { 201, EXIT_OK	 },
		    { 204, EXIT_OK	   },
		{ 400, EXIT_UNEXPECTED},
		  { 401, EXIT_SIGN_IN   },
		    { 403, EXIT_SIGN_IN	},
		{ 404, EXIT_UNEXPECTED},
		  { 409, EXIT_UNEXPECTED},
		    { 412, EXIT_UNEXPECTED},
		{ 503, EXIT_UNEXPECTED},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(cli_exit_code(cases[i].status), cases[i].code);
}

/* --- whole commands against a scripted gateway --- */

struct fixture {
	char dir[40];
	int home;
	int saved[2]; /* standard output and error */
	char out[TEXT_BYTES];
	char err[TEXT_BYTES];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/test_cli.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(f->dir), 0);
	unsetenv("TOLLGATE_URL");
	unsetenv("TOLLGATE_KEY");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(".run/dev.json");
	rmdir(".run");
	unlink("1");
	unlink("2");
	assert_int_equal(fchdir(f->home), 0);
	close(f->home);
	rmdir(f->dir);
	unsetenv("TOLLGATE_URL");
	unsetenv("TOLLGATE_KEY");
	free(f);
	return 0;
}

static void redirect(struct fixture *f)
{
	fflush(stdout);
	fflush(stderr);
	for (int fd = 1; fd <= 2; fd++) {
		int file = open(fd == 1 ? "1" : "2", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		f->saved[fd - 1] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		assert_true(file >= 0 && f->saved[fd - 1] >= 0);
		dup2(file, fd);
		close(file);
	}
}

static void restore(struct fixture *f)
{
	fflush(stdout);
	fflush(stderr);
	for (int fd = 1; fd <= 2; fd++) {
		char *text = fd == 1 ? f->out : f->err;
		ssize_t n = pread(fd, text, TEXT_BYTES - 1, 0);

		text[n > 0 ? n : 0] = '\0';
		dup2(f->saved[fd - 1], fd);
		close(f->saved[fd - 1]);
	}
}

static int run(struct fixture *f, const struct command *command, const char *text)
{
	struct line *line = calloc(1, sizeof(*line));
	int code;

	assert_non_null(line);
	split(line, text);
	redirect(f);
	code = cli_run(command, line->argc, line->argv);
	restore(f);
	free(line);
	return code;
}

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

static void wrong_use_shows_the_usage(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(run(f, &thing_show, "show"), EXIT_USAGE);
	assert_string_equal(f->err, "tollgate: NAME is missing\n"
				    "Usage: tollgate things show NAME [OTHER] [--colour C]\n");
	assert_int_equal(run(f, &thing_show, "show -o json"), EXIT_USAGE);
	assert_string_equal(f->err, "{\"error\":{\"code\":\"usage\",\"message\":\"NAME is "
				    "missing\"}}\n");
	assert_int_equal(run(f, &thing_show, "show x --url nonsense --key k"), EXIT_USAGE);
	assert_non_null(strstr(f->err, "url"));
}

/* --- where the gateway is --- */

static void write_dev_file(const char *text)
{
	FILE *file;

	mkdir(".run", 0700);
	file = fopen(".run/dev.json", "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int find(struct fixture *f, struct cli *cli, enum cli_role role)
{
	int code;

	redirect(f);
	code = cli_find_target(cli, role);
	restore(f);
	return code;
}

static void expect_target(struct fixture *f, struct cli *cli, enum cli_role role, const char *url,
			  const char *key)
{
	cli->arena = arena_new();
	assert_int_equal(find(f, cli, role), EXIT_OK);
	assert_string_equal(cli->url, url);
	assert_string_equal(cli->key, key);
	arena_free(&cli->arena);
}

static void options_come_before_the_environment_and_the_file(void **state)
{
	struct fixture *f = *state;

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"admin_key\":\"A\","
		       "\"user_key\":\"U\"}");
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "http://127.0.0.1:1", "A");
	expect_target(f, &(struct cli){ 0 }, CLI_USER, "http://127.0.0.1:1", "U");
	expect_target(f, &(struct cli){ .key = "mine" }, CLI_USER, "http://127.0.0.1:1", "mine");
	setenv("TOLLGATE_KEY", "E", 1);
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "http://127.0.0.1:1", "E");
	setenv("TOLLGATE_URL", "https://env.example//", 1);
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "https://env.example", "E");
	expect_target(f, &(struct cli){ .url = "https://x/", .key = "K" }, CLI_ADMIN, "https://x",
		      "K");
}

static void the_keys_of_the_file_go_nowhere_else(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new(), .url = "https://elsewhere.example" };

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"admin_key\":\"A\"}");
	assert_int_equal(find(f, &cli, CLI_ADMIN), EXIT_SIGN_IN);
	assert_non_null(strstr(f->err, "key"));
	setenv("TOLLGATE_URL", "https://elsewhere.example", 1);
	setenv("TOLLGATE_KEY", "", 1);
	cli.url = NULL;
	assert_int_equal(find(f, &cli, CLI_ADMIN), EXIT_SIGN_IN);
	arena_free(&cli.arena);
}

static void no_gateway_and_a_broken_file_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new() };

	assert_int_equal(find(f, &cli, CLI_USER), EXIT_UNREACHABLE);
	write_dev_file("{\"public_url\":");
	assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	assert_non_null(strstr(f->err, ".run/dev.json"));
	write_dev_file("{}");
	assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	arena_free(&cli.arena);
}

static void a_file_of_somebody_else_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new() };

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"user_key\":\"U\"}");
	if (chown(".run/dev.json", 12345, (gid_t)-1) < 0)
		print_message("only root can give a file away\n");
	else
		assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	arena_free(&cli.arena);
}

static void a_secret_comes_from_a_file_without_its_line_end(void **state)
{
	static const struct {
		const char *text;
		const char *secret;
	} cases[] = {
		{"secret",	    "secret"},
		{ "secret\n",   "secret"},
		{ "secret\r\n", "secret"},
		{ "a\nb\n\n",   "a\nb\n"},
		{ "",	      ""	 },
	};
	struct cli cli = { .arena = arena_new() };
	struct span out;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		FILE *file = fopen("1", "we");

		fputs(cases[i].text, file);
		fclose(file);
		assert_int_equal(cli_read_file(&cli, "1", &out, &err), 0);
		assert_true(span_is(out, cases[i].secret));
	}
	assert_int_equal(cli_read_file(&cli, "nowhere/file", &out, &err), -1);
	assert_non_null(strstr(err.text, "nowhere/file"));
	arena_free(&cli.arena);
}

#define TEST(name)  cmocka_unit_test(name)
#define WHOLE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_may_stand_anywhere),
		TEST(what_is_not_given_is_absent),
		TEST(wrong_use_is_named),
		TEST(an_empty_word_is_no_name),
		TEST(the_format_is_known_even_if_something_before_is_wrong),
		TEST(a_key_does_not_stay_on_the_command_line),
		TEST(a_commands_own_option_wins),
		TEST(columns_are_as_wide_as_their_widest_cell),
		TEST(width_is_counted_in_characters),
		TEST(a_line_ends_where_the_terminal_does),
		TEST(nothing_in_a_cell_commands_the_terminal),
		TEST(many_rows_are_kept),
		TEST(cells_are_texts_or_json),
		TEST(texts_for_programs_are_left_alone),
		TEST(values_are_json_if_they_can_be),
		TEST(names_are_escaped),
		TEST(what_is_no_pair_or_comes_twice_is_refused),
		TEST(statuses_become_exit_codes),
		WHOLE(one_thing_is_shown),
		WHOLE(all_pages_of_a_list_are_one),
		WHOLE(a_change_names_the_version_that_it_saw),
		WHOLE(what_has_no_version_is_removed_at_once),
		WHOLE(what_has_a_version_is_removed_with_it),
		WHOLE(a_refusal_says_why),
		WHOLE(something_that_is_no_gateway_is_told),
		WHOLE(nobody_there_is_unreachable),
		WHOLE(wrong_use_shows_the_usage),
		WHOLE(options_come_before_the_environment_and_the_file),
		WHOLE(the_keys_of_the_file_go_nowhere_else),
		WHOLE(no_gateway_and_a_broken_file_are_told_apart),
		WHOLE(a_file_of_somebody_else_is_not_believed),
		WHOLE(a_secret_comes_from_a_file_without_its_line_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
