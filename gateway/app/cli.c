/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cli.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define MAX_OPTIONS 40
#define READ_BYTES  65536
#define FIRST_LONG  256 /* above all letters */

/* Of every command that talks to a gateway. A command's own option of the same name wins: the
 * --url of a connection is not the gateway's. */
struct common {
	const char *url;
	const char *key;
	const char *tenant;
	const char *output;
};
#define AT(member) offsetof(struct common, member)

static const struct cli_option local_options[] = {
	{"output", 'o', CLI_TEXT, AT(output)},
	{ NULL,	0,   CLI_TEXT, 0	       },
};

static const struct cli_option common_options[] = {
	{"gateway", 0,	CLI_TEXT, AT(url)	  },
	 { "url",	  0,   CLI_TEXT, AT(url)   },
	{ "key",	 0,   CLI_TEXT, AT(key)   },
	 { "tenant", 0,	CLI_TEXT, AT(tenant)},
	{ "output", 'o', CLI_TEXT, AT(output)},
	 { NULL,	 0,   CLI_TEXT, 0		},
};

#define YES_AT offsetof(struct cli_rm_options, yes)

const struct cli_option cli_rm_options[] = {
	{"yes", 'y', CLI_FLAG, YES_AT},
	{ NULL, 0,   CLI_TEXT, 0     },
};

/* What getopt_long is given, and where each option belongs. */
struct parsing {
	struct option longs[MAX_OPTIONS + 1];
	char shorts[2 * MAX_OPTIONS + 2];
	const struct cli_option *options[MAX_OPTIONS];
	void *into[MAX_OPTIONS];
	size_t n;
	struct common common;
	bool failed;
	struct err err;
};

const struct cli_option *cli_common_options(const struct command *command)
{
	return command->cli->role == CLI_LOCAL ? local_options : common_options;
}

static bool has_option(const struct parsing *parsing, const char *name)
{
	for (size_t i = 0; i < parsing->n; i++) {
		if (strcmp(parsing->options[i]->name, name) == 0)
			return true;
	}
	return false;
}

static void add_options(struct parsing *parsing, const struct cli_option *options, void *into)
{
	for (; options != NULL && options->name != NULL; options++) {
		size_t n = strlen(parsing->shorts);
		bool takes = options->kind != CLI_FLAG;

		if (has_option(parsing, options->name))
			continue;
		if (parsing->n == MAX_OPTIONS)
			abort(); /* a table has grown beyond its bound */
		parsing->longs[parsing->n] =
			(struct option){ options->name, takes ? required_argument : no_argument,
					 NULL, FIRST_LONG + (int)parsing->n };
		if (options->letter != 0)
			snprintf(parsing->shorts + n, sizeof(parsing->shorts) - n, "%c%s",
				 options->letter, takes ? ":" : "");
		parsing->options[parsing->n] = options;
		parsing->into[parsing->n] = into;
		parsing->n++;
	}
}

/* Only the first problem is told, but all is read: -o json may come after it. */
static void misread(struct parsing *parsing, const char *format, ...) ERR_PRINTF(2, 3);
static void misread(struct parsing *parsing, const char *format, ...)
{
	char text[sizeof(parsing->err.text)];
	va_list args;

	if (parsing->failed)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	parsing->failed = true;
	err_set(&parsing->err, ERR_BAD_REQUEST, "%s", text);
}

static void take(struct cli *cli, struct parsing *parsing, size_t i, int argc)
{
	char *at = (char *)parsing->into[i] + parsing->options[i]->at;
	struct cli_list *list;

	switch (parsing->options[i]->kind) {
	case CLI_TEXT:
		*(const char **)at = arena_strdup(cli->arena, optarg);
		break;
	case CLI_FLAG:
		*(bool *)at = true;
		break;
	case CLI_LIST:
		list = (struct cli_list *)at;
		if (list->items == NULL)
			list->items = arena_alloc(cli->arena, (size_t)argc * sizeof(*list->items));
		list->items[list->n++] = optarg;
		break;
	}
	/* Everybody on this machine can read a command line. */
	if (strcmp(parsing->options[i]->name, "key") == 0)
		memset(optarg, '*', strlen(optarg));
}

static void take_option(struct cli *cli, struct parsing *parsing, int option, int argc, char **argv)
{
	char letter[2] = { (char)optopt, '\0' };
	bool is_letter = optopt > 0 && optopt < FIRST_LONG;

	if (option == ':') {
		misread(parsing, "%s wants a value", argv[optind - 1]);
	} else if (option == '?' && is_letter) {
		misread(parsing, "there is no option -%s", letter);
	} else if (option == '?') {
		misread(parsing, "there is no such option, or it takes no value: %s",
			argv[optind - 1]);
	} else if (option >= FIRST_LONG) {
		take(cli, parsing, (size_t)(option - FIRST_LONG), argc);
	} else {
		for (size_t i = 0; i < parsing->n; i++) {
			if (parsing->options[i]->letter == option)
				take(cli, parsing, i, argc);
		}
	}
}

/* The words that the synopsis begins with: NAME, [NAME], or one of a few: this|that. */
static bool is_word(const char *args)
{
	size_t n = strcspn(args, " ");

	args += args[0] == '[';
	return isupper((unsigned char)args[0]) ||
	       (islower((unsigned char)args[0]) && memchr(args, '|', n) != NULL);
}

/* How many there are, and how many of them may be missing. */
static size_t count_words(const char *args, size_t *n_optional)
{
	size_t n = 0;

	*n_optional = 0;
	while (is_word(args)) {
		*n_optional += args[0] == '[';
		n++;
		args += strcspn(args, " ");
		args += strspn(args, " ");
	}
	return n;
}

static const char *word_name(const char *args, size_t i, struct arena *arena)
{
	for (; i > 0; i--) {
		args += strcspn(args, " ");
		args += strspn(args, " ");
	}
	return arena_dup(arena, args, strcspn(args, " "));
}

static bool is_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);

	for (;;) {
		size_t length = strcspn(choices, "|");

		if (length == n && memcmp(choices, word, n) == 0)
			return true;
		if (choices[length] == '\0')
			return false;
		choices += length + 1;
	}
}

static void check_word(struct cli *cli, struct parsing *parsing, size_t i)
{
	const char *name = word_name(cli->command->args, i, cli->arena);

	if (cli->words[i][0] == '\0')
		misread(parsing, "%s must not be empty", name);
	else if (islower((unsigned char)name[0]) && !is_choice(name, cli->words[i]))
		misread(parsing, "say %s, not %s", name, cli->words[i]);
}

static void take_words(struct cli *cli, struct parsing *parsing, int argc, char **argv)
{
	size_t n_optional;
	size_t n = count_words(cli->command->args, &n_optional);

	for (int i = optind; i < argc; i++) {
		if (cli->n_words < n && cli->n_words < CLI_MAX_WORDS)
			cli->words[cli->n_words++] = argv[i];
		else
			misread(parsing, "one word too many: %s", argv[i]);
	}
	if (cli->n_words + n_optional < n)
		misread(parsing, "%s is missing",
			word_name(cli->command->args, cli->n_words, cli->arena));
	for (size_t i = 0; i < cli->n_words; i++)
		check_word(cli, parsing, i);
}

static void take_common(struct cli *cli, struct parsing *parsing)
{
	const struct common *common = &parsing->common;

	cli->url = common->url;
	cli->key = common->key;
	cli->tenant = common->tenant;
	if (common->output == NULL || strcmp(common->output, "table") == 0)
		cli->output = OUTPUT_TABLE;
	else if (strcmp(common->output, "json") == 0)
		cli->output = OUTPUT_JSON;
	else if (strcmp(common->output, "env") == 0 && cli->command->cli == &cli_status)
		cli->output = OUTPUT_ENV;
	else
		misread(parsing, "-o is table or json%s, not %s",
			cli->command->cli == &cli_status ? " or env" : "", common->output);
}

int cli_parse(struct cli *cli, int argc, char **argv, void *options, struct err *err)
{
	struct parsing parsing = { .shorts = ":" };
	int option;

	add_options(&parsing, cli->command->cli->options, options);
	add_options(&parsing, cli_common_options(cli->command), &parsing.common);
	for (int i = 1; i < argc; i++) {
		if (!text_is_utf8(argv[i], strlen(argv[i])))
			misread(&parsing, "%s", "an argument is not UTF-8");
	}
	optind = 0; /* glibc: from the start, in this order */
	while ((option = getopt_long(argc, argv, parsing.shorts, parsing.longs, NULL)) != -1)
		take_option(cli, &parsing, option, argc, argv);
	take_words(cli, &parsing, argc, argv);
	take_common(cli, &parsing);
	if (parsing.failed)
		*err = parsing.err;
	return parsing.failed ? -1 : 0;
}

static int read_all(int fd, struct buf *out, const char *path, struct err *err)
{
	char bytes[READ_BYTES];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerror(errno));
		if (buf_append(out, bytes, (size_t)n) < 0)
			return err_set(err, ERR_BAD_REQUEST, "%s is larger than %zu bytes", path,
				       out->max_bytes);
	}
	mem_wipe(bytes, sizeof(bytes));
	return 0;
}

int cli_read_file(struct cli *cli, const char *path, struct span *out, struct err *err)
{
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct buf text;
	int ret;

	if (fd < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerror(errno));
	buf_init(&text, CLI_MAX_FILE_BYTES);
	ret = read_all(fd, &text, standard ? "standard input" : path, err);
	if (!standard)
		close(fd);
	if (text.len > 0 && text.data[text.len - 1] == '\n')
		text.len--;
	if (text.len > 0 && text.data[text.len - 1] == '\r')
		text.len--;
	if (ret == 0)
		*out = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_wipe(&text);
	return ret;
}

bool cli_confirmed(const struct cli *cli, bool yes, const char *what)
{
	char answer[8] = "";

	if (yes || cli->output != OUTPUT_TABLE || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return true;
	fprintf(stderr, "Remove %s? [y/N] ", what);
	return fgets(answer, sizeof(answer), stdin) != NULL &&
	       (answer[0] == 'y' || answer[0] == 'Y');
}

static int run(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *command = cli->command->cli;
	void *options = arena_alloc(cli->arena, command->options_bytes + 1);
	struct err err;
	int code;

	if (cli_parse(cli, argc, argv, options, &err) < 0)
		return cli_misuse(cli, "%s", err.text);
	if (command->role == CLI_LOCAL)
		return command->run(cli, options);
	code = cli_find_target(cli, command->role);
	if (code != EXIT_OK)
		return code;
	if (cli_open(cli, &err) < 0)
		return cli_misuse(cli, "%s", err.text);
	code = command->run(cli, options);
	cli_close(cli);
	return code;
}

int cli_run(const struct command *command, int argc, char **argv)
{
	struct cli cli = { .command = command, .arena = arena_new() };
	int code = run(&cli, argc, argv);

	if ((fflush(stdout) != 0 || ferror(stdout)) && code == EXIT_OK)
		code = cli_fail(&cli, EXIT_UNEXPECTED, "output", "standard output: %s",
				strerror(errno));
	arena_free(&cli.arena);
	return code;
}
