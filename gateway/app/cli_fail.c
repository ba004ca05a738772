/* SPDX-License-Identifier: Apache-2.0 */

/* How commands say that they failed: a sentence, or a line of JSON. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "gateway/app/cli.h"

#define MAX_MESSAGE 1024
#define MAX_LINE    8192 /* a message, escaped */
#define KEY_HINT    "the key comes from --key or TOLLGATE_KEY"
#define TARGET_HINT "is it running? say which with --url or TOLLGATE_URL"

static const char *hint_of(int exit_code, const char *code)
{
	switch (exit_code) {
	case EXIT_SIGN_IN:
		return KEY_HINT;
	case EXIT_UNREACHABLE:
		/* One that answers, but has no database, needs no other address. */
		return strcmp(code, "unreachable") == 0 ? TARGET_HINT : NULL;
	default:
		return NULL;
	}
}

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "\"%s\":", name);
	buf_add_json_string(out, value, strlen(value));
}

static void print_failure(const struct cli *cli, int exit_code, const char *code,
			  const char *message)
{
	const char *hint = hint_of(exit_code, code);
	struct buf line;

	buf_init(&line, MAX_LINE);
	buf_add(&line, "{\"error\":{");
	add_member(&line, "code", code);
	buf_add(&line, ",");
	add_member(&line, "message", message);
	if (hint != NULL) {
		buf_add(&line, ",");
		add_member(&line, "hint", hint);
	}
	if (cli->url != NULL) {
		buf_add(&line, ",");
		add_member(&line, "url", cli->url);
	}
	buf_add(&line, "}}");
	fprintf(stderr, "%s\n", buf_str(&line));
	buf_fini(&line);
}

static int fail(const struct cli *cli, int exit_code, const char *code, const char *format,
		va_list args) ERR_PRINTF(4, 0);
static int fail(const struct cli *cli, int exit_code, const char *code, const char *format,
		va_list args)
{
	const char *hint = hint_of(exit_code, code);
	char message[MAX_MESSAGE];

	vsnprintf(message, sizeof(message), format, args);
	fflush(stdout);
	if (cli->output == OUTPUT_JSON)
		print_failure(cli, exit_code, code, message);
	else
		complain(exit_code, "%s%s%s", message, hint != NULL ? "; " : "",
			 hint != NULL ? hint : "");
	return exit_code;
}

int cli_fail(const struct cli *cli, int exit_code, const char *code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fail(cli, exit_code, code, format, args);
	va_end(args);
	return exit_code;
}

int cli_misuse(const struct cli *cli, const char *format, ...)
{
	const struct command *command = cli->command;
	va_list args;

	va_start(args, format);
	fail(cli, EXIT_USAGE, "usage", format, args);
	va_end(args);
	if (cli->output != OUTPUT_JSON)
		fprintf(stderr, "Usage: tollgate %s%s%s %s\n", command->noun,
			command->verb != NULL ? " " : "",
			command->verb != NULL ? command->verb : "", command->args);
	return EXIT_USAGE;
}
