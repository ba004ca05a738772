/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate connections …: upstream MCP servers of a tenant. */

#include <string.h>

#include "base/json.h"
#include "gateway/app/cli.h"
#include "gateway/app/cmd_connections.h"

#define LIST_WAIT_MS 10000
#define LIST_LOOK_MS 200

#define AT(member) offsetof(struct connection_options, member)

static const struct cli_option add_options[] = {
	{"url",		 0, CLI_TEXT, AT(url)	      },
	{ "auth",		  0, CLI_TEXT, AT(auth)		},
	{ "credential-file", 0, CLI_TEXT, AT(credential_file)},
	{ "auth-header",	 0, CLI_TEXT, AT(auth_header)    },
	OAUTH_OPTIONS,
	{ "header",	    0, CLI_LIST, AT(headers)	     },
	{ "era",		 0, CLI_TEXT, AT(era)	      },
	{ "session",	     0, CLI_TEXT, AT(session)	      },
	{ "description",	 0, CLI_TEXT, AT(description)    },
	{ "allow",	   0, CLI_LIST, AT(allow)	  },
	{ "deny",		  0, CLI_LIST, AT(deny)		},
	{ "connect-timeout", 0, CLI_TEXT, AT(connect_timeout)},
	{ "call-timeout",	  0, CLI_TEXT, AT(call_timeout)	},
	{ "audit-level",	 0, CLI_TEXT, AT(audit_level)    },
	{ "audit-redact",	  0, CLI_LIST, AT(audit_redact)	},
	{ "no-wait",	     0, CLI_FLAG, AT(no_wait)	      },
	{ NULL,		0, CLI_TEXT, 0		       },
};

static const struct cli_option edit_options[] = {
	{"url",		 0, CLI_TEXT, AT(url)	      },
	{ "auth",		  0, CLI_TEXT, AT(auth)		},
	{ "credential-file", 0, CLI_TEXT, AT(credential_file)},
	{ "auth-header",	 0, CLI_TEXT, AT(auth_header)    },
	OAUTH_OPTIONS,
	{ "header",	    0, CLI_LIST, AT(headers)	     },
	{ "remove-header",   0, CLI_LIST, AT(headers_removed)},
	OAUTH_OPTION("remove-authorize-param", CLI_LIST, params_removed),
	{ "era",		 0, CLI_TEXT, AT(era)	      },
	{ "session",	     0, CLI_TEXT, AT(session)	      },
	{ "description",	 0, CLI_TEXT, AT(description)    },
	{ "allow",	   0, CLI_LIST, AT(allow)	  },
	{ "deny",		  0, CLI_LIST, AT(deny)		},
	{ "connect-timeout", 0, CLI_TEXT, AT(connect_timeout)},
	{ "call-timeout",	  0, CLI_TEXT, AT(call_timeout)	},
	{ "audit-level",	 0, CLI_TEXT, AT(audit_level)    },
	{ "audit-redact",	  0, CLI_LIST, AT(audit_redact)	},
	{ NULL,		0, CLI_TEXT, 0		       },
};

static const char *path_of(struct cli *cli, const char *after)
{
	return cli_path(cli, "/connections/", cli->words[0], after);
}

/* --- looking --- */

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"NAME",	  "name"	 },
		    { "ENABLED",	 "enabled"	   },
		      { "URL",	       "url"	     },
		{ "ERA",	 "era"	       },
		    { "AUTH",	      "auth.mode"  },
		      { "DESCRIPTION", "description"},
		{ NULL,		NULL	     },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/connections", false, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

static int show(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_get(cli, path_of(cli, ""), &answer);

	(void)options;
	return code == EXIT_OK ? cli_print_object(cli, answer.body) : code;
}

static int get_status(struct cli *cli, const char *name, struct span *status)
{
	struct cli_answer answer;
	int code = cli_get(cli, cli_path(cli, "/connections/", name, "/status"), &answer);

	*status = answer.body;
	return code;
}

static int status_of_all(struct cli *cli)
{
	static const struct cli_column columns[] = {
		{"NAME",	  "name"	 },
		{ "STATE",	   "state"	   },
		{ "ERA",		 "era"	       },
		{ "TOOLS",	   "tools"	   },
		{ "LAST SUCCESS", "last_success"},
		{ "LAST ERROR",	"last_error"  },
		{ NULL,		NULL	     },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/connections", false, &items, &n);

	for (size_t i = 0; code == EXIT_OK && i < n; i++)
		code = get_status(cli, cli_cell(cli->arena, items[i], "name"), &items[i]);
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

static int status(struct cli *cli, const void *options)
{
	struct span one;
	int code;

	(void)options;
	if (cli->n_words == 0)
		return status_of_all(cli);
	code = get_status(cli, cli->words[0], &one);
	return code == EXIT_OK ? cli_print_object(cli, one) : code;
}

/* --- writing --- */

/* Sentences about a new or refreshed connection. */
static void tell_status(struct cli *cli, struct span found)
{
	const char *problem = cli_cell(cli->arena, found, "last_error");
	const char *pending = cli_cell(cli->arena, found, "pending.last_error");
	const char *name = cli->words[0];

	if (span_true(span_get(found, "healthy")))
		printf("%s speaks the %s era and has %s tools\n", name,
		       cli_cell(cli->arena, found, "era"), cli_cell(cli->arena, found, "tools"));
	else if (strcmp(cli_cell(cli->arena, found, "state"), "disabled") == 0)
		printf("%s is disabled\n", name);
	else if (problem != NULL)
		cli_print_text(stdout, span_of(arena_printf(cli->arena, "%s cannot be listed: %s",
							    name, problem)));
	else
		printf("%s has not been listed yet; see tollgate connections status %s\n", name,
		       name);
	if (pending != NULL)
		cli_print_text(stdout,
			       span_of(arena_printf(cli->arena,
						    "its new settings are not used: it cannot be "
						    "listed with them: %s",
						    pending)));
}

static int refresh(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_ask(
		cli, &(struct cli_request){ .method = "POST", .path = path_of(cli, "/refresh") },
		&answer);

	(void)options;
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	tell_status(cli, answer.body);
	return EXIT_OK;
}

static bool is_settled(struct cli *cli, struct span found)
{
	return span_true(span_get(found, "healthy")) ||
	       cli_cell(cli->arena, found, "last_error") != NULL;
}

/* Until the gateway has tried it: that it was added stands either way. */
static int wait_until_listed(struct cli *cli)
{
	struct span found = { 0 };

	for (int64_t waited = 0; waited < LIST_WAIT_MS; waited += LIST_LOOK_MS) {
		int code = get_status(cli, cli->words[0], &found);

		if (code != EXIT_OK)
			return code;
		if (is_settled(cli, found))
			break;
		cli_wait(cli, LIST_LOOK_MS);
	}
	if (cli->output == OUTPUT_TABLE)
		tell_status(cli, found);
	return EXIT_OK;
}

/* Its tools can be listed once somebody has connected an account. */
static bool needs_account(struct cli *cli, struct span connection)
{
	const char *grant = cli_cell(cli->arena, connection, "auth.oauth.grant");

	return grant != NULL && strcmp(grant, "authorization_code") == 0;
}

static int post(struct cli *cli, struct span body, bool wait)
{
	struct cli_answer answer;
	int code = cli_ask(
		cli,
		&(struct cli_request){ .method = "POST", .path = "/connections", .body = body },
		&answer);

	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_TABLE)
		printf("%s is added\n", cli->words[0]);
	if (cli->output == OUTPUT_TABLE && needs_account(cli, answer.body))
		printf("connect an account with tollgate connect %s\n", cli->words[0]);
	fflush(stdout);
	if (wait && !needs_account(cli, answer.body))
		code = wait_until_listed(cli);
	if (code == EXIT_OK && cli->output == OUTPUT_JSON)
		code = cli_print_json(answer.body);
	return code;
}

static int add(struct cli *cli, const void *ctx)
{
	const struct connection_options *options = ctx;
	json_t *body = json_object();
	struct err err;
	int code;

	json_object_set_new(body, "name", json_string(cli->words[0]));
	if (connection_check_new(options, &err) < 0 ||
	    connection_set_body(cli, body, options, false, &err) < 0)
		code = cli_misuse(cli, "%s", err.text);
	else
		code = post(cli, connection_text(cli, body), !options->no_wait);
	json_decref(body);
	return code;
}

static int change(struct cli *cli, struct span patch, const char *what)
{
	struct cli_answer answer;
	int code = cli_change(cli, path_of(cli, ""), false, patch, &answer);

	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	printf("%s is %s\n", cli->words[0], what);
	return EXIT_OK;
}

static int edit(struct cli *cli, const void *ctx)
{
	const struct connection_options *options = ctx;
	json_t *patch = json_object();
	struct err err;
	int code;

	if (connection_set_body(cli, patch, options, true, &err) < 0)
		code = cli_misuse(cli, "%s", err.text);
	else if (json_object_size(patch) == 0)
		code = cli_misuse(cli, "say what to change");
	else
		code = change(cli, connection_text(cli, patch), "changed");
	json_decref(patch);
	return code;
}

static int enable(struct cli *cli, const void *options)
{
	(void)options;
	return change(cli, SPAN("{\"enabled\":true}"), "enabled");
}

static int disable(struct cli *cli, const void *options)
{
	(void)options;
	return change(cli, SPAN("{\"enabled\":false}"), "disabled");
}

static int rm(struct cli *cli, const void *ctx)
{
	const struct cli_rm_options *options = ctx;
	const char *what = arena_printf(cli->arena, "connection %s", cli->words[0]);

	return cli_remove(cli, path_of(cli, ""), false, what, options->yes);
}

const struct cli_command cli_connections_list = { NULL, 0, CLI_ADMIN, list };
const struct cli_command cli_connections_show = { NULL, 0, CLI_ADMIN, show };
const struct cli_command cli_connections_status = { NULL, 0, CLI_ADMIN, status };
const struct cli_command cli_connections_refresh = { NULL, 0, CLI_ADMIN, refresh };
const struct cli_command cli_connections_enable = { NULL, 0, CLI_ADMIN, enable };
const struct cli_command cli_connections_disable = { NULL, 0, CLI_ADMIN, disable };
const struct cli_command cli_connections_add = { add_options, sizeof(struct connection_options),
						 CLI_ADMIN, add };
const struct cli_command cli_connections_edit = { edit_options, sizeof(struct connection_options),
						  CLI_ADMIN, edit };
const struct cli_command cli_connections_rm = { cli_rm_options, sizeof(struct cli_rm_options),
						CLI_ADMIN, rm };
