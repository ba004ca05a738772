/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keys …: API keys of a tenant. */

#include "base/text.h"
#include "gateway/app/cli.h"

struct add_options {
	const char *user;
	const char *role;
	const char *expires_at;
	const char *expires;
};
#define AT(member) offsetof(struct add_options, member)

static const struct cli_option add_options[] = {
	{"user",	  0, CLI_TEXT, AT(user)	},
	{ "role",	  0, CLI_TEXT, AT(role)	},
	{ "expires-at", 0, CLI_TEXT, AT(expires_at)},
	{ "expires",    0, CLI_TEXT, AT(expires)   },
	{ NULL,		0, CLI_TEXT, 0	       },
};

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"ID",	"id"	     },
		    { "NAME",    "name"	     },
		 { "USER",	   "user"	  },
		{ "ROLE",	  "role"	 },
		    { "EXPIRES", "expires_at"},
		 { "MADE BY", "created_by"},
		{ NULL,	NULL	     },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/keys", false, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

/* The time of --expires-at, or that of --expires from now on. NULL: it does not expire. */
static int read_expiry(struct cli *cli, const struct add_options *options, const char **out,
		       struct err *err)
{
	char text[TEXT_TIME_BYTES];
	int64_t ms;

	*out = options->expires_at;
	if (options->expires == NULL)
		return 0;
	if (options->expires_at != NULL)
		return err_set(err, ERR_BAD_REQUEST, "say --expires or --expires-at, not both");
	if (text_duration_ms(options->expires, &ms, err) < 0)
		return err_prefix(err, "--expires");
	text_time(loop_unix_us() + ms * 1000, text);
	*out = arena_strdup(cli->arena, text);
	return 0;
}

/* The key alone goes to standard output, so that it can be kept without being seen. */
static int print_new(struct cli *cli, struct span body)
{
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(body);
	printf("%s\n", cli_cell(cli->arena, body, "key"));
	fflush(stdout);
	fprintf(stderr, "Key %s is made. It is shown this once only.\n",
		cli_cell(cli->arena, body, "id"));
	return EXIT_OK;
}

static int add(struct cli *cli, const void *ctx)
{
	const struct add_options *options = ctx;
	struct cli_answer answer;
	const char *expires_at;
	struct err err;
	int code;

	if (read_expiry(cli, options, &expires_at, &err) < 0)
		return cli_misuse(cli, "%s", err.text);

	const struct cli_member members[] = {
		{"name",	  cli->words[0]},
		{ "user",	  options->user},
		{ "role",	  options->role},
		{ "expires_at", expires_at   },
		{ NULL,		NULL	     },
	};

	code = cli_post(cli, "/keys", false, members, &answer);
	return code == EXIT_OK ? print_new(cli, answer.body) : code;
}

static int rm(struct cli *cli, const void *ctx)
{
	const struct cli_rm_options *options = ctx;
	const char *what = arena_printf(cli->arena, "key %s", cli->words[0]);

	return cli_remove(cli, cli_path(cli, "/keys/", cli->words[0], ""), false, what,
			  options->yes);
}

const struct cli_command cli_keys_list = { NULL, 0, CLI_ADMIN, list };
const struct cli_command cli_keys_add = { add_options, sizeof(struct add_options), CLI_ADMIN, add };
const struct cli_command cli_keys_rm = { cli_rm_options, sizeof(struct cli_rm_options), CLI_ADMIN,
					 rm };
