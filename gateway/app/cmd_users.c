/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate users …: the people of a tenant. */

#include "gateway/app/cli.h"

struct add_options {
	const char *email;
	const char *role;
};
#define AT(member) offsetof(struct add_options, member)

static const struct cli_option add_options[] = {
	{"email", 0, CLI_TEXT, AT(email)},
	{ "role", 0, CLI_TEXT, AT(role) },
	{ NULL,	0, CLI_TEXT, 0	       },
};

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"NAME",	  "name"	 },
		  { "EMAIL",   "email"     },
		       { "ROLE",	 "role"	},
		{ "ENABLED", "enabled"   },
		  { "CREATED", "created_at"},
		       { NULL,      NULL	    },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/users", false, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

static int add(struct cli *cli, const void *ctx)
{
	const struct add_options *options = ctx;
	const struct cli_member members[] = {
		{"name",	  cli->words[0] },
		{ "email", options->email},
		{ "role",  options->role },
		{ NULL,	NULL	     },
	};
	struct cli_answer answer;
	int code = cli_post(cli, "/users", false, members, &answer);

	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	printf("user %s is added; give them a key with tollgate keys add NAME --user %s\n",
	       cli->words[0], cli->words[0]);
	return EXIT_OK;
}

static int rm(struct cli *cli, const void *ctx)
{
	const struct cli_rm_options *options = ctx;
	const char *what = arena_printf(cli->arena, "user %s and that user's keys", cli->words[0]);

	return cli_remove(cli, cli_path(cli, "/users/", cli->words[0], ""), false, what,
			  options->yes);
}

const struct cli_command cli_users_list = { NULL, 0, CLI_ADMIN, list };
const struct cli_command cli_users_add = { add_options, sizeof(struct add_options), CLI_ADMIN,
					   add };
const struct cli_command cli_users_rm = { cli_rm_options, sizeof(struct cli_rm_options), CLI_ADMIN,
					  rm };
