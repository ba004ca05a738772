/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate completion: what shells offer while a command is typed, from the table of commands. */

#include <ctype.h>
#include <string.h>

#include "gateway/app/cli.h"

#define FORMATS "table json"

/* --- walking the table ----------------------------------------------------------------------- */

static bool is_first_of_noun(const struct command *command)
{
	for (const struct command *at = commands; at != command; at++) {
		if (strcmp(at->noun, command->noun) == 0)
			return false;
	}
	return true;
}

static bool has_verbs(const char *noun)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, noun) == 0 && at->verb != NULL)
			return true;
	}
	return false;
}

/* "bash|zsh|fish" of a synopsis that begins with it; NULL: it begins with something else. */
static const char *choices_of(const struct command *command, size_t *n)
{
	*n = strcspn(command->args, " ");
	if (!islower((unsigned char)command->args[0]) || memchr(command->args, '|', *n) == NULL)
		return NULL;
	return command->args;
}

typedef void visit_option(const struct cli_option *option, const void *ctx);

/* The command's own, then the common ones that it does not hide. */
static void each_option(const struct command *command, visit_option *visit, const void *ctx)
{
	const struct cli_option *own = command->cli != NULL ? command->cli->options : NULL;

	if (command->cli == NULL)
		return;
	for (const struct cli_option *at = own; at != NULL && at->name != NULL; at++)
		visit(at, ctx);
	for (const struct cli_option *at = cli_common_options(command); at->name != NULL; at++) {
		const struct cli_option *same = own;

		while (same != NULL && same->name != NULL && strcmp(same->name, at->name) != 0)
			same++;
		if (same == NULL || same->name == NULL)
			visit(at, ctx);
	}
}

static void print_choices(const struct command *command)
{
	size_t n;
	const char *choices = choices_of(command, &n);

	for (size_t i = 0; choices != NULL && i < n; i++)
		putchar(choices[i] == '|' ? ' ' : choices[i]);
}

static void print_nouns(void)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (is_first_of_noun(at))
			printf("%s%s", at != commands ? " " : "", at->noun);
	}
}

static void print_verbs(const char *noun)
{
	const char *space = "";

	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, noun) != 0 || at->verb == NULL)
			continue;
		printf("%s%s", space, at->verb);
		space = " ";
	}
}

static void print_option(const struct cli_option *option, const void *ctx)
{
	(void)ctx;
	printf("--%s ", option->name);
	if (option->letter != 0)
		printf("-%c ", option->letter);
}

/* --- bash and zsh ---------------------------------------------------------------------------- */

/* A table of three questions, which both shells ask in the same words. */
static void print_tables(void)
{
	fputs("_tollgate_verbs() {\n  case $1 in\n", stdout);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (!is_first_of_noun(at) || !has_verbs(at->noun))
			continue;
		printf("  %s) echo \"", at->noun);
		print_verbs(at->noun);
		fputs("\" ;;\n", stdout);
	}
	fputs("  esac\n}\n\n_tollgate_options() {\n  case $1 in\n", stdout);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (at->cli == NULL)
			continue;
		printf("  \"%s %s\") echo \"", at->noun, at->verb != NULL ? at->verb : "");
		each_option(at, print_option, NULL);
		fputs("--help\" ;;\n", stdout);
	}
	fputs("  esac\n}\n\n_tollgate_words() {\n  case $1 in\n", stdout);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		size_t n;

		if (choices_of(at, &n) == NULL)
			continue;
		printf("  \"%s %s\") echo \"", at->noun, at->verb != NULL ? at->verb : "");
		print_choices(at);
		fputs("\" ;;\n", stdout);
	}
	fputs("  \"help \") echo \"", stdout);
	print_nouns();
	fputs("\" ;;\n  esac\n}\n\n", stdout);
}

/* What is typed at place $1 (2: behind the noun), behind $2, between noun $3 and word $4. */
static void print_offer(void)
{
	fputs("_tollgate_offer() {\n"
	      "  local place=$1 before=$2 noun=$3 word=$4 current=$5 verbs\n"
	      "  if [ \"$place\" -eq 1 ]; then echo \"",
	      stdout);
	print_nouns();
	fputs(" --version\"; return; fi\n"
	      "  verbs=$(_tollgate_verbs \"$noun\")\n"
	      "  if [ -n \"$verbs\" ] && [ \"$place\" -eq 2 ]; then echo \"$verbs\"; fi\n"
	      "  case \" $verbs \" in *\" $word \"*) ;; *) word= ;; esac\n"
	      "  case $before in\n"
	      "  -o | --output)\n"
	      "    echo \"" FORMATS "\"\n"
	      "    if [ \"$noun\" = status ]; then echo env; fi\n"
	      "    return\n"
	      "    ;;\n"
	      "  esac\n"
	      "  case $current in\n"
	      "  -*) _tollgate_options \"$noun $word\" ;;\n"
	      "  *) _tollgate_words \"$noun $word\" ;;\n"
	      "  esac\n}\n\n",
	      stdout);
}

static void print_bash(void)
{
	fputs("# bash completion for tollgate\n\n", stdout);
	print_tables();
	print_offer();
	fputs("_tollgate() {\n"
	      "  local current=${COMP_WORDS[COMP_CWORD]}\n"
	      "  COMPREPLY=($(compgen -W \"$(_tollgate_offer \"$COMP_CWORD\" "
	      "\"${COMP_WORDS[COMP_CWORD - 1]}\" \\\n"
	      "    \"${COMP_WORDS[1]-}\" \"${COMP_WORDS[2]-}\" \"$current\")\" -- \"$current\"))\n"
	      "}\n\n"
	      "complete -o default -F _tollgate tollgate\n",
	      stdout);
}

static void print_zsh(void)
{
	fputs("#compdef tollgate\n\n", stdout);
	print_tables();
	print_offer();
	fputs("_tollgate() {\n"
	      "  local -a offered\n"
	      "  offered=(${(z)\"$(_tollgate_offer $((CURRENT - 1)) \"$words[CURRENT-1]\" "
	      "\"$words[2]\" \"$words[3]\" \"$words[CURRENT]\")\"})\n"
	      "  if (( $#offered )); then compadd -- $offered; else _files; fi\n"
	      "}\n\n"
	      "compdef _tollgate tollgate\n",
	      stdout);
}

/* --- fish ------------------------------------------------------------------------------------ */

/* Between single quotes: ' and \ are the only ones with a meaning. */
static void print_quoted(const char *text)
{
	putchar('\'');
	for (; *text != '\0'; text++) {
		if (*text == '\'' || *text == '\\')
			putchar('\\');
		putchar(*text);
	}
	putchar('\'');
}

static void print_condition(const struct command *command)
{
	printf("complete -c tollgate -n '__fish_seen_subcommand_from %s", command->noun);
	if (command->verb != NULL)
		printf("; and __fish_seen_subcommand_from %s", command->verb);
	putchar('\'');
}

static void print_fish_option(const struct cli_option *option, const void *ctx)
{
	print_condition(ctx);
	printf(" -l %s", option->name);
	if (option->letter != 0)
		printf(" -s %c", option->letter);
	if (strcmp(option->name, "output") == 0)
		printf(" -x -a '" FORMATS "%s'",
		       ((const struct command *)ctx)->cli == &cli_status ? " env" : "");
	else if (option->kind != CLI_FLAG)
		fputs(" -r", stdout);
	putchar('\n');
}

static void print_fish_noun(const struct command *command)
{
	fputs("complete -c tollgate -f -n __fish_use_subcommand -a ", stdout);
	fputs(command->noun, stdout);
	if (!has_verbs(command->noun)) {
		fputs(" -d ", stdout);
		print_quoted(command->help);
	}
	putchar('\n');
}

static void print_fish_verb(const struct command *command)
{
	printf("complete -c tollgate -f -n '__fish_seen_subcommand_from %s; and not "
	       "__fish_seen_subcommand_from ",
	       command->noun);
	print_verbs(command->noun);
	printf("' -a %s -d ", command->verb);
	print_quoted(command->help);
	putchar('\n');
}

static void print_fish(void)
{
	size_t n;

	fputs("# fish completion for tollgate\n\n", stdout);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (is_first_of_noun(at))
			print_fish_noun(at);
		if (at->verb != NULL)
			print_fish_verb(at);
		if (choices_of(at, &n) != NULL) {
			print_condition(at);
			fputs(" -f -a '", stdout);
			print_choices(at);
			fputs("'\n", stdout);
		}
		each_option(at, print_fish_option, at);
	}
}

/* --------------------------------------------------------------------------------------------- */

static int run(struct cli *cli, const void *options)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} shells[] = {
		{"bash",  print_bash},
		{ "zsh",	 print_zsh },
		{ "fish", print_fish},
	};

	(void)options;
	for (size_t i = 0; i < sizeof(shells) / sizeof(shells[0]); i++) {
		if (strcmp(shells[i].shell, cli->words[0]) == 0)
			shells[i].print();
	}
	return EXIT_OK;
}

const struct cli_command cli_completion = { NULL, 0, CLI_LOCAL, run };
