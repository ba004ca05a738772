/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gateway/app/cli_fixture.h"

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

static const struct cli_command show_cli = { thing_options, sizeof(struct options), CLI_USER,
					     show };
static const struct cli_command own_url_cli = { own_url_options, sizeof(struct options), CLI_ADMIN,
						show };

static const struct command thing_show = {
	.noun = "things", .verb = "show", .args = "NAME [OTHER] [--colour C]", .cli = &show_cli
};
static const struct command thing_with_url = {
	.noun = "things", .verb = "add", .args = "NAME --url U", .cli = &own_url_cli
};

struct parsed {
	struct line line;
	struct cli cli;
	struct options options;
	struct err err;
	int ret;
};

static struct parsed *parse(const struct command *command, const char *text)
{
	struct parsed *line = calloc(1, sizeof(*line));

	assert_non_null(line);
	line->cli.command = command;
	line->cli.arena = arena_new();
	split(&line->line, text);
	line->ret =
		cli_parse(&line->cli, line->line.argc, line->line.argv, &line->options, &line->err);
	return line;
}

static void parsed_free(struct parsed *line)
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
		struct parsed *line = parse(&thing_show, lines[i]);

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
		parsed_free(line);
	}
}

static void what_is_not_given_is_absent(void **state)
{
	struct parsed *line = parse(&thing_show, "show a");

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
	parsed_free(line);
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
		struct parsed *line = parse(&thing_show, cases[i].line);

		if (line->ret != -1 || strstr(line->err.text, cases[i].says) == NULL)
			fail_msg("%s: %d %s", cases[i].line, line->ret, line->err.text);
		assert_int_equal(line->err.code, ERR_BAD_REQUEST);
		parsed_free(line);
	}
}

static void an_empty_word_is_no_name(void **state)
{
	struct parsed *line = parse(&thing_show, "show ");

	(void)state;
	assert_int_equal(line->ret, -1);
	assert_non_null(strstr(line->err.text, "NAME"));
	parsed_free(line);
}

static void the_format_is_known_even_if_something_before_is_wrong(void **state)
{
	struct parsed *line = parse(&thing_show, "show --frobnicate a -o json");

	(void)state;
	assert_int_equal(line->ret, -1);
	assert_int_equal(line->cli.output, OUTPUT_JSON);
	parsed_free(line);
}

static void a_key_does_not_stay_on_the_command_line(void **state)
{
	struct parsed *line = parse(&thing_show, "show a --key tgk_secret --tenant t");

	(void)state;
	assert_int_equal(line->ret, 0);
	assert_string_equal(line->cli.key, "tgk_secret");
	assert_string_equal(line->cli.tenant, "t");
	for (size_t i = 0; i + 10 < sizeof(line->line.text); i++)
		assert_memory_not_equal(line->line.text + i, "tgk_secret", 10);
	parsed_free(line);
}

static void a_commands_own_option_wins(void **state)
{
	struct parsed *line =
		parse(&thing_with_url, "add a --url http://theirs --gateway http://ours");

	(void)state;
	assert_int_equal(line->ret, 0);
	assert_string_equal(line->options.url, "http://theirs");
	assert_string_equal(line->cli.url, "http://ours");
	parsed_free(line);
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

#define WHOLE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_may_stand_anywhere),
		cmocka_unit_test(what_is_not_given_is_absent),
		cmocka_unit_test(wrong_use_is_named),
		cmocka_unit_test(an_empty_word_is_no_name),
		cmocka_unit_test(the_format_is_known_even_if_something_before_is_wrong),
		cmocka_unit_test(a_key_does_not_stay_on_the_command_line),
		cmocka_unit_test(a_commands_own_option_wins),
		WHOLE(wrong_use_shows_the_usage),
		WHOLE(a_secret_comes_from_a_file_without_its_line_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
