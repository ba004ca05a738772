/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate status: is the gateway there, and how are its connections? */

#include <ctype.h>
#include <string.h>

#include "gateway/app/cli.h"

#define MAX_NAME 128

/* For eval: NAME='value', with names that are nobody's setting. */
static void print_variable(const char *name, const char *value)
{
	printf("%s='", name);
	for (; *value != '\0'; value++) {
		if (*value == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*value);
	}
	puts("'");
}

/* A member of a member becomes TOLLGATE_STATUS_CONNECTIONS_TOTAL; deeper ones are left out. */
static void print_members(struct cli *cli, struct span object, const char *prefix)
{
	struct span_iter iter;
	struct span key;
	struct span value;

	span_iter_init(&iter, object);
	while (span_next(&iter, &key, &value)) {
		char name[MAX_NAME];
		const char *cell;

		snprintf(name, sizeof(name), "%s_%.*s", prefix, (int)key.n - 2, key.p + 1);
		for (char *p = name; *p != '\0'; p++)
			*p = (char)(isalnum((unsigned char)*p) ? toupper((unsigned char)*p) : '_');
		if (span_type(value) == SPAN_OBJECT) {
			print_members(cli, value, name);
			continue;
		}
		cell = cli_cell(cli->arena, value, "");
		print_variable(name, cell != NULL ? cell : "");
	}
}

static int status(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_get(cli, "/status", &answer);

	(void)options;
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_ENV) {
		print_variable("TOLLGATE_URL", cli->url);
		print_members(cli, answer.body, "TOLLGATE_STATUS");
		return EXIT_OK;
	}
	if (cli->output == OUTPUT_TABLE)
		printf("%s answers\n\n", cli->url);
	return cli_print_object(cli, answer.body);
}

const struct cli_command cli_status = { NULL, 0, CLI_ADMIN, status };
