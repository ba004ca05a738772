/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate tenants …: for platform administrators. */

#include "gateway/app/cli.h"

#define MAX_EGRESS_BYTES ((size_t)1024 * 1024)

struct egress_options {
	struct cli_list allow;
	bool none;
};
#define AT(member) offsetof(struct egress_options, member)

static const struct cli_option egress_options[] = {
	{"allow", 0, CLI_LIST, AT(allow)},
	{ "none", 0, CLI_FLAG, AT(none) },
	{ NULL,	0, CLI_TEXT, 0	       },
};

static const char *path_of(struct cli *cli)
{
	return cli_path(cli, "/tenants/", cli->words[0], "");
}

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"NAME",	  "name"	 },
		     { "ENABLED", "enabled"	    },
		       { "EGRESS",  "egress.allow"},
		{ "CREATED", "created_at"  },
		     { NULL,	     NULL	  },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/tenants", true, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

static int show(struct cli *cli, const void *options)
{
	const struct cli_request request = { .method = "GET",
					     .path = path_of(cli),
					     .platform = true };
	struct cli_answer answer;
	int code = cli_ask(cli, &request, &answer);

	(void)options;
	return code == EXIT_OK ? cli_print_object(cli, answer.body) : code;
}

static int add(struct cli *cli, const void *options)
{
	const struct cli_member members[] = {
		{"name", cli->words[0]},
		   { NULL,  NULL		}
	};
	struct cli_answer answer;
	int code = cli_post(cli, "/tenants", true, members, &answer);

	(void)options;
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	printf("tenant %s is added; make its administrator's key with "
	       "tollgate keys add NAME --role admin --tenant %s\n",
	       cli->words[0], cli->words[0]);
	return EXIT_OK;
}

static int rm(struct cli *cli, const void *ctx)
{
	const struct cli_rm_options *options = ctx;
	const char *what = arena_printf(cli->arena, "tenant %s with all it has", cli->words[0]);

	return cli_remove(cli, path_of(cli), true, what, options->yes);
}

static struct span egress_patch(struct cli *cli, const struct cli_list *allow)
{
	struct buf text;
	struct span patch;

	buf_init(&text, MAX_EGRESS_BYTES);
	buf_add(&text, "{\"egress\":{\"allow\":[");
	for (size_t i = 0; i < allow->n; i++) {
		if (i > 0)
			buf_add(&text, ",");
		buf_add_json_string(&text, allow->items[i], span_of(allow->items[i]).n);
	}
	buf_add(&text, "]}}");
	patch = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_fini(&text);
	return patch;
}

static int egress(struct cli *cli, const void *ctx)
{
	const struct egress_options *options = ctx;
	struct cli_answer answer;
	int code;

	if ((options->allow.n > 0) == options->none)
		return cli_misuse(cli, "say --allow HOST:PORT, as often as needed, or --none");
	code = cli_change(cli, path_of(cli), true, egress_patch(cli, &options->allow), &answer);
	return code == EXIT_OK ? cli_print_object(cli, answer.body) : code;
}

const struct cli_command cli_tenants_list = { NULL, 0, CLI_ADMIN, list };
const struct cli_command cli_tenants_show = { NULL, 0, CLI_ADMIN, show };
const struct cli_command cli_tenants_add = { NULL, 0, CLI_ADMIN, add };
const struct cli_command cli_tenants_rm = { cli_rm_options, sizeof(struct cli_rm_options),
					    CLI_ADMIN, rm };
const struct cli_command cli_tenants_egress = { egress_options, sizeof(struct egress_options),
						CLI_ADMIN, egress };
