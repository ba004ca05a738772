/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate connections …: upstream MCP servers of a tenant. */

#include <string.h>

#include "base/json.h"
#include "gateway/app/cli.h"
#include "gateway/app/cmd_connections.h"

#define LIST_WAIT_MS	     10000
#define LIST_LOOK_MS	     200
#define MAX_CONNECTION_BYTES ((size_t)8 * 1024 * 1024)

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

static void set_text(json_t *object, const char *key, const char *text)
{
	if (text != NULL)
		json_object_set_new(object, key, json_string(text));
}

static void set_list(json_t *object, const char *key, const struct cli_list *list)
{
	json_t *array;

	if (list->n == 0)
		return;
	array = json_array();
	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(array, json_string(list->items[i]));
	json_object_set_new(object, key, array);
}

static void set_object(json_t *body, const char *key, json_t *object)
{
	if (json_object_size(object) > 0)
		json_object_set(body, key, object);
	json_decref(object);
}

static int set_headers(json_t *body, const struct connection_options *options, struct err *err)
{
	json_t *headers = json_object();

	for (size_t i = 0; i < options->headers.n; i++) {
		const char *text = options->headers.items[i];
		const char *equals = strchr(text, '=');

		if (equals == NULL || equals == text) {
			json_decref(headers);
			return err_set(err, ERR_BAD_REQUEST, "--header wants NAME=VALUE, not %s",
				       text);
		}
		json_object_setn_new(headers, text, (size_t)(equals - text),
				     json_string(equals + 1));
	}
	for (size_t i = 0; i < options->headers_removed.n; i++)
		json_object_set_new(headers, options->headers_removed.items[i], json_null());
	set_object(body, "headers", headers);
	return 0;
}

static int check_auth(const struct connection_options *options, struct err *err)
{
	const char *mode = options->auth;

	if (mode == NULL)
		return 0;
	if (strcmp(mode, "none") != 0 && strcmp(mode, "bearer") != 0 &&
	    strcmp(mode, "api_key") != 0 && strcmp(mode, "oauth") != 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth is none, bearer, api_key or oauth, not %s", mode);
	if (strcmp(mode, "none") == 0 && options->credential_file != NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth none takes no credential: say bearer or api_key");
	if (strcmp(mode, "oauth") == 0 && options->credential_file != NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth oauth takes no credential: somebody connects an account, or "
			       "--client-secret-file has the client's secret");
	if (strcmp(mode, "oauth") != 0 && oauth_options_given(&options->oauth) != NULL)
		return err_set(err, ERR_BAD_REQUEST, "--%s needs --auth oauth",
			       oauth_options_given(&options->oauth));
	return 0;
}

/* A mode that is left must not leave its secret or its header behind. */
static int set_auth(struct cli *cli, json_t *body, const struct connection_options *options,
		    bool change, struct err *err)
{
	json_t *auth = json_object();

	set_text(auth, "mode", options->auth);
	if (change && options->auth != NULL && strcmp(options->auth, "none") == 0)
		json_object_set_new(auth, "credential", json_null());
	if (change && options->auth != NULL && strcmp(options->auth, "api_key") != 0)
		json_object_set_new(auth, "header", json_null());
	set_text(auth, "header", options->auth_header);
	if (options->credential_file != NULL) {
		json_t *credential = connection_read_secret(cli, options->credential_file, err);

		if (credential == NULL) {
			json_decref(auth);
			return -1;
		}
		json_object_set_new(auth, "credential", credential);
	}
	if (connection_set_oauth(cli, auth, &options->oauth, err) < 0) {
		json_decref(auth);
		return -1;
	}
	set_object(body, "auth", auth);
	return 0;
}

/* What was given, as a connection or, to change one, as a merge patch. */
static int set_body(struct cli *cli, json_t *body, const struct connection_options *options,
		    bool change, struct err *err)
{
	json_t *tools = json_object();

	set_text(body, "url", options->url);
	set_text(body, "era", options->era);
	set_text(body, "session", options->session);
	set_text(body, "description", options->description);
	set_text(body, "connect_timeout", options->connect_timeout);
	set_text(body, "call_timeout", options->call_timeout);
	set_list(tools, "allow", &options->allow);
	set_list(tools, "deny", &options->deny);
	set_object(body, "tools", tools);
	if (check_auth(options, err) < 0 || set_headers(body, options, err) < 0)
		return -1;
	return set_auth(cli, body, options, change, err);
}

/* The text lies in the arena, which is wiped: it may hold a credential. */
static struct span text_of(struct cli *cli, const json_t *body)
{
	struct buf text;
	struct span span;

	buf_init(&text, MAX_CONNECTION_BYTES);
	if (json_write(body, &text) < 0)
		buf_clear(&text);
	span = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_wipe(&text);
	return span;
}

int connection_body(struct cli *cli, const struct connection_options *options, struct span *out,
		    struct err *err)
{
	json_t *body = json_object();
	int ret = set_body(cli, body, options, false, err);

	if (ret == 0)
		*out = text_of(cli, body);
	json_decref(body);
	return ret;
}

static bool needs_credential(const struct connection_options *options)
{
	return options->credential_file == NULL && options->auth != NULL &&
	       strcmp(options->auth, "none") != 0 && strcmp(options->auth, "oauth") != 0;
}

static int check_new(const struct connection_options *options, struct err *err)
{
	if (options->url == NULL)
		return err_set(err, ERR_BAD_REQUEST, "--url is missing");
	if (check_auth(options, err) < 0)
		return -1;
	if (needs_credential(options))
		return err_set(err, ERR_BAD_REQUEST,
			       "--auth %s needs a credential: --credential-file FILE, or - for "
			       "standard input",
			       options->auth);
	if (options->credential_file != NULL && options->auth == NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "--credential-file needs --auth bearer or api_key");
	if (options->auth == NULL && oauth_options_given(&options->oauth) != NULL)
		return err_set(err, ERR_BAD_REQUEST, "--%s needs --auth oauth",
			       oauth_options_given(&options->oauth));
	return 0;
}

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

	set_text(body, "name", cli->words[0]);
	if (check_new(options, &err) < 0 || set_body(cli, body, options, false, &err) < 0)
		code = cli_misuse(cli, "%s", err.text);
	else
		code = post(cli, text_of(cli, body), !options->no_wait);
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

	if (set_body(cli, patch, options, true, &err) < 0)
		code = cli_misuse(cli, "%s", err.text);
	else if (json_object_size(patch) == 0)
		code = cli_misuse(cli, "say what to change");
	else
		code = change(cli, text_of(cli, patch), "changed");
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
