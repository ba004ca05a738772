/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate status: is the gateway there, and how are its connections? */

#include "gateway/app/cli.h"

static int status(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_get(cli, "/status", &answer);

	(void)options;
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_TABLE)
		printf("%s answers\n\n", cli->url);
	return cli_print_object(cli, answer.body);
}

const struct cli_command cli_status = { NULL, 0, CLI_ADMIN, status };
