/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate client-config: what has to be written down, or typed, to point a client here. */

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "gateway/app/cli.h"

#define DEFAULT_NAME "tollgate"
#define DEV_KEY_FILE ".run/ana.key"
#define MCP_PATH     "/mcp"
#define MAX_SNIPPET  65536
#define KEY_VARIABLE "TOLLGATE_KEY"

struct client_options {
	const char *url;
	const char *key_file;
	const char *name;
	bool show_key;
};
#define AT(member) offsetof(struct client_options, member)

static const struct cli_option client_options[] = {
	{"url",	 0, CLI_TEXT, AT(url)     },
	   { "key-file", 0, CLI_TEXT, AT(key_file)},
	{ "name",	  0, CLI_TEXT, AT(name)	},
	   { "show-key", 0, CLI_FLAG, AT(show_key)},
	{ NULL,	0, CLI_TEXT, 0	       },
};

/* What a client is told. */
struct target {
	const char *name;
	const char *url;
	const char *shell_key; /* for between the double quotes of a shell */
	const char *key;       /* NULL: it is not to be shown */
};

struct client {
	const char *name;
	const char *file;   /* where it belongs; NULL: it is a command */
	const char *advice; /* beside the snippet, while the key is not in it; or NULL */
	const char *(*write)(struct cli *cli, const struct target *target);
};

/* --- snippets -------------------------------------------------------------------------------- */

/* Takes the value. */
static const char *indented(struct cli *cli, json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(2));
	const char *copy = arena_strdup(cli->arena, text);

	mem_wipe(text, strlen(text));
	free(text);
	json_decref(value);
	return copy;
}

static const char *claude_code(struct cli *cli, const struct target *target)
{
	return arena_printf(cli->arena,
			    "claude mcp add --transport http %s %s \\\n"
			    "  -H \"Authorization: Bearer %s\"",
			    target->name, target->url, target->shell_key);
}

static const char *inspector(struct cli *cli, const struct target *target)
{
	return arena_printf(cli->arena,
			    "npx @modelcontextprotocol/inspector --cli %s --transport http \\\n"
			    "  --method tools/list --header \"Authorization: Bearer %s\"",
			    target->url, target->shell_key);
}

static const char *bearer(struct cli *cli, const struct target *target, const char *reference)
{
	return arena_printf(cli->arena, "Bearer %s", target->key != NULL ? target->key : reference);
}

static const char *cursor(struct cli *cli, const struct target *target)
{
	return indented(cli, json_pack("{s:{s:{s:s,s:{s:s}}}}", "mcpServers", target->name, "url",
				       target->url, "headers", "Authorization",
				       bearer(cli, target, "${env:" KEY_VARIABLE "}")));
}

/* It asks for the key once, and keeps it. */
static const char *vscode(struct cli *cli, const struct target *target)
{
	json_t *root = json_pack("{s:{s:{s:s,s:s,s:{s:s}}}}", "servers", target->name, "type",
				 "http", "url", target->url, "headers", "Authorization",
				 bearer(cli, target, "${input:tollgate-key}"));

	if (target->key == NULL)
		json_object_set_new(root, "inputs",
				    json_pack("[{s:s,s:s,s:s,s:b}]", "type", "promptString", "id",
					      "tollgate-key", "description", "Tollgate key",
					      "password", 1));
	return indented(cli, root);
}

/* It speaks to programs only: mcp-remote is the bridge, and puts the variable in. The header is one
 * without a space, which Claude Desktop on Windows would lose. */
static const char *claude_desktop(struct cli *cli, const struct target *target)
{
	json_t *server =
		json_pack("{s:s,s:[s,s,s,s,s]}", "command", "npx", "args", "-y", "mcp-remote",
			  target->url, "--header", "X-API-Key:${" KEY_VARIABLE "}");

	if (target->key != NULL)
		json_object_set_new(server, "env", json_pack("{s:s}", KEY_VARIABLE, target->key));
	return indented(cli, json_pack("{s:{s:o}}", "mcpServers", target->name, server));
}

#define ENVIRONMENT_ADVICE                                                                         \
	"it finds the key in " KEY_VARIABLE ", in the environment that it is started with; "       \
	"--show-key puts the key in"

static const struct client clients[] = {
	{"claude-code",	 NULL,			       NULL,					      claude_code	 },
	{ "claude-desktop", "claude_desktop_config.json", ENVIRONMENT_ADVICE,				      claude_desktop},
	{ "cursor",	    ".cursor/mcp.json",		ENVIRONMENT_ADVICE,				    cursor	   },
	{ "vscode",	    ".vscode/mcp.json",		"it asks for the key once; --show-key puts it in", vscode	  },
	{ "inspector",      NULL,			     NULL,					      inspector     },
};

/* --- the target ------------------------------------------------------------------------------ */

/* The key listener: some clients would prefer OAuth that they discover over a key they were given.
 * Returns an exit code. */
static int find_url(struct cli *cli, const struct client_options *options, struct target *target)
{
	const char *url = options->url;
	size_t n;

	if (url == NULL) {
		int code = cli_find_dev(cli, "key_url", &url);

		if (code != EXIT_OK)
			return code;
	}
	n = strlen(url);
	while (n > 0 && url[n - 1] == '/')
		n--;
	if (n > strlen(MCP_PATH) &&
	    strncmp(url + n - strlen(MCP_PATH), MCP_PATH, strlen(MCP_PATH)) == 0)
		target->url = arena_dup(cli->arena, url, n);
	else
		target->url = arena_printf(cli->arena, "%.*s" MCP_PATH, (int)n, url);
	return EXIT_OK;
}

/* As in: cat 'it'\''s mine'. */
static const char *shell_word(struct arena *arena, const char *text)
{
	struct buf out;
	const char *word;

	if (text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
			      "/._-")] == '\0')
		return text;
	buf_init(&out, MAX_SNIPPET);
	buf_add(&out, "'");
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			buf_add(&out, "'\\''");
		else
			buf_append(&out, text, 1);
	}
	buf_add(&out, "'");
	word = arena_dup(arena, buf_str(&out), out.len);
	buf_fini(&out);
	return word;
}

/* Returns an exit code. */
static int find_key(struct cli *cli, const struct client_options *options, struct target *target)
{
	const char *file = options->key_file;
	struct span text;
	struct err err;

	if (file == NULL && options->url == NULL)
		file = DEV_KEY_FILE;
	if (file != NULL)
		target->shell_key =
			arena_printf(cli->arena, "$(cat %s)", shell_word(cli->arena, file));
	else
		target->shell_key = "$" KEY_VARIABLE;
	if (!options->show_key)
		return EXIT_OK;
	if (file == NULL) {
		target->key = getenv(KEY_VARIABLE);
		if (target->key == NULL || target->key[0] == '\0')
			return cli_misuse(cli, "--show-key needs --key-file, or " KEY_VARIABLE
					       " in the environment");
	} else if (cli_read_file(cli, file, &text, &err) < 0) {
		return cli_misuse(cli, "%s", err.text);
	} else {
		target->key = text.p;
	}
	target->shell_key = target->key;
	return EXIT_OK;
}

/* --------------------------------------------------------------------------------------------- */

static const struct client *client_find(const char *name)
{
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		if (strcmp(clients[i].name, name) == 0)
			return &clients[i];
	}
	return NULL;
}

static void print_json(struct cli *cli, const struct client *client, const char *text)
{
	json_t *root = json_pack("{s:s,s:s?,s:s}", "client", client->name, "file", client->file,
				 "text", text);
	char *line = json_dumps(root, JSON_COMPACT);

	puts(line);
	mem_wipe(line, strlen(line));
	free(line);
	json_decref(root);
	(void)cli;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct client_options *options = ctx;
	const struct client *client = client_find(cli->words[0]);
	struct target target = { .name = options->name != NULL ? options->name : DEFAULT_NAME };
	const char *text;
	int code = find_url(cli, options, &target);

	assert(client != NULL); /* the synopsis names the same */
	if (code == EXIT_OK)
		code = find_key(cli, options, &target);
	if (code != EXIT_OK)
		return code;
	if (target.name[strspn(target.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
					    "0123456789_-")] != '\0' ||
	    target.name[0] == '-')
		return cli_misuse(cli, "--name takes letters, digits, - and _");
	text = client->write(cli, &target);
	if (cli->output == OUTPUT_JSON) {
		print_json(cli, client, text);
		return EXIT_OK;
	}
	puts(text);
	fflush(stdout);
	if (client->file != NULL)
		fprintf(stderr, "for %s%s%s\n", client->file,
			target.key == NULL && client->advice != NULL ? "; " : "",
			target.key == NULL && client->advice != NULL ? client->advice : "");
	return EXIT_OK;
}

const struct cli_command cli_client_config = { client_options, sizeof(struct client_options),
					       CLI_LOCAL, run };
