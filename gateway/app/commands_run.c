/* SPDX-License-Identifier: Apache-2.0 */

/* From the words of a command line to a row of the table, and what is said if there is none. */

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gateway/app/cli.h"
#include "gateway/app/commands_priv.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/manual.h"
#include "gateway/app/nearest.h"
#include "version.h"

#define MAX_NAME 64

static void name_of(const struct command *command, char name[MAX_NAME])
{
	snprintf(name, MAX_NAME, "%s%s%s", command->noun, command->verb != NULL ? " " : "",
		 command->verb != NULL ? command->verb : "");
}

/* noun NULL: all of them. */
static void list_commands(FILE *out, const char *noun)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		char name[MAX_NAME];

		if (noun != NULL && strcmp(at->noun, noun) != 0)
			continue;
		name_of(at, name);
		fprintf(out, "  %-20s %s\n", name, at->help);
	}
}

static void print_overview(FILE *out)
{
	fputs("Usage: tollgate COMMAND [OPTION …]\n\n", out);
	list_commands(out, NULL);
	fputs(commands_common_details, out);
	fputs(commands_exit_details, out);
	fputs("\ntollgate help COMMAND says more about one.\n", out);
}

/* Its -o is the file. */
static bool writes_a_file(const struct cli_option *options)
{
	for (; options != NULL && options->name != NULL; options++)
		if (options->letter == 'o')
			return true;
	return false;
}

static void print_manual(FILE *out, const struct command *command)
{
	char name[MAX_NAME];

	name_of(command, name);
	fprintf(out, "Usage: tollgate %s%s%s\n\n%s\n", name, command->args[0] != '\0' ? " " : "",
		command->args, command->help);
	if (command->details != NULL)
		fprintf(out, "\n%s", command->details);
	if (command->describe != NULL) {
		fputc('\n', out);
		command->describe(out);
	}
	if (command->cli == NULL || command->cli->role == CLI_LOCAL)
		return;
	fputs(writes_a_file(command->cli->options) ? commands_gateway_details
						   : commands_common_details,
	      out);
}

static bool is_noun(const char *word)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, word) == 0)
			return true;
	}
	return false;
}

/* words[0] is a noun; words[1] may be a verb or NULL. */
static const struct command *command_find(char **words, size_t n)
{
	const struct command *alone = NULL;

	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, words[0]) != 0)
			continue;
		if (at->verb == NULL)
			alone = at;
		else if (n > 1 && strcmp(at->verb, words[1]) == 0)
			return at;
	}
	return alone;
}

static void print_noun(FILE *out, const char *noun)
{
	fprintf(out, "Usage: tollgate %s COMMAND\n\n", noun);
	list_commands(out, noun);
	fprintf(out, "\ntollgate help %s COMMAND says more about one.\n", noun);
}

/* "-o json" among what is there, before any command has read its options. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		bool separate = strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0;

		if ((separate && i + 1 < argc && strcmp(argv[i + 1], "json") == 0) ||
		    strcmp(argv[i], "-ojson") == 0 || strcmp(argv[i], "--output=json") == 0)
			return true;
	}
	return false;
}

/* Nouns, or the verbs of one. */
static const char *nearest_word(const char *noun, const char *word)
{
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (noun == NULL)
			nearest_try(&nearest, at->noun);
		else if (strcmp(at->noun, noun) == 0 && at->verb != NULL)
			nearest_try(&nearest, at->verb);
	}
	return nearest.found;
}

/* The command that this word is the verb of, if one noun alone has it. */
static const struct command *find_by_verb(const char *verb)
{
	const struct command *found = NULL;

	assert(verb != NULL);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (at->verb == NULL || strcmp(at->verb, verb) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = at;
	}
	return found;
}

/* What was meant by words that are no command; false: no guess. */
static bool guess(const char *noun, char **words, size_t n, char name[MAX_NAME])
{
	const struct command *command = noun == NULL ? find_by_verb(words[0]) : NULL;
	const char *near = noun == NULL ? nearest_word(NULL, words[0])
			   : n > 1	? nearest_word(noun, words[1])
					: NULL;

	if (command != NULL)
		name_of(command, name);
	else
		snprintf(name, MAX_NAME, "%s", near != NULL ? near : "");
	return name[0] != '\0';
}

/* words[0], or words[1] of it, is none. */
static int no_command(int argc, char **argv, size_t n)
{
	const struct cli cli = { .output = wants_json(argc, argv) ? OUTPUT_JSON : OUTPUT_TABLE };
	const char *noun = is_noun(argv[0]) ? argv[0] : NULL;
	char meant[MAX_NAME];
	bool has_guess = guess(noun, argv, n, meant);

	if (cli.output == OUTPUT_TABLE && noun == NULL)
		print_overview(stderr);
	else if (cli.output == OUTPUT_TABLE)
		print_noun(stderr, noun);
	if (noun != NULL && n < 2)
		return cli_fail(&cli, EXIT_USAGE, "usage", "say what %s shall do", noun);
	return cli_fail(&cli, EXIT_USAGE, "usage", "there is no command %s%s%s%s%s%s", argv[0],
			noun != NULL ? " " : "", noun != NULL ? argv[1] : "",
			has_guess ? "; did you mean " : "", has_guess ? meant : "",
			has_guess ? "?" : "");
}

/* What help says for these words: the nearest there is. */
static int help(char **words, size_t n)
{
	const struct command *command;

	if (n == 0) {
		print_overview(stdout);
		return EXIT_OK;
	}
	if (!is_noun(words[0]))
		return no_command((int)n, words, n);
	command = command_find(words, n);
	if (command != NULL)
		print_manual(stdout, command);
	else
		print_noun(stdout, words[0]);
	return EXIT_OK;
}

int cmd_help(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--man") == 0)
		return manual_print(argc > 2 ? argv[2] : MANUAL_TOLLGATE);
	return help(argv + 1, (size_t)argc - 1);
}

int cmd_version(int argc, char **argv)
{
	if (argc > 1)
		return complain(EXIT_USAGE, "version takes no argument %s", argv[1]);
	puts("tollgate " TOLLGATE_VERSION);
	return EXIT_OK;
}

/* --help anywhere asks for the manual, but not as the value of an argument after "--". */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static size_t count_leading_words(int argc, char **argv)
{
	size_t n = 0;

	while (n < (size_t)argc && argv[n][0] != '-')
		n++;
	return n;
}

static int run(const struct command *command, int argc, char **argv)
{
	int skip = command->verb != NULL ? 1 : 0;

	argc -= skip;
	argv += skip;
	return command->cli != NULL ? cli_run(command, argc, argv) : command->run(argc, argv);
}

int commands_run(int argc, char **argv)
{
	const struct command *command;
	size_t n;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	argc--;
	argv++;
	if (strcmp(argv[0], "--version") == 0)
		return cmd_version(argc, argv);
	n = count_leading_words(argc, argv);
	if (asks_for_help(argc + 1, argv - 1))
		return help(argv, n);
	if (n == 0 || !is_noun(argv[0]))
		return no_command(argc, argv, n);
	command = command_find(argv, n);
	return command != NULL ? run(command, argc, argv) : no_command(argc, argv, n);
}
