/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate connections probe: what a server is and offers, before or after it is added. */

#include <string.h>

#include "gateway/app/cmd_connections.h"

#define PROBE_WAIT_MS 40000 /* the gateway gives up before */
#define SHOWN_TOOLS   20
#define MAX_LINE      65536

#define AT(member) offsetof(struct connection_options, member)

static const struct cli_option options[] = {
	{"auth",		  0, CLI_TEXT, AT(auth)		},
	{ "credential-file", 0, CLI_TEXT, AT(credential_file)},
	{ "auth-header",	 0, CLI_TEXT, AT(auth_header)    },
	{ "header",	    0, CLI_LIST, AT(headers)	     },
	{ "era",		 0, CLI_TEXT, AT(era)	      },
	{ "connect-timeout", 0, CLI_TEXT, AT(connect_timeout)},
	{ "call-timeout",	  0, CLI_TEXT, AT(call_timeout)	},
	{ NULL,		0, CLI_TEXT, 0		       },
};

/* --- what people see ------------------------------------------------------------------------- */

static void line(struct cli *cli, const char *title, const char *text)
{
	cli_print_text(stdout, span_of(arena_printf(cli->arena, "%-14s %s", title, text)));
}

static const char *member(struct cli *cli, struct span report, const char *path)
{
	const char *cell = cli_cell(cli->arena, report, path);

	return cell != NULL ? cell : "";
}

static void show_server(struct cli *cli, struct span report)
{
	struct span_iter iter;
	struct span key;
	struct span value;
	struct buf text;

	line(cli, "speaks",
	     arena_printf(cli->arena, "MCP %s, the %s era", member(cli, report, "protocol_version"),
			  member(cli, report, "era")));
	line(cli, "server",
	     arena_printf(cli->arena, "%s %s", member(cli, report, "server.name"),
			  member(cli, report, "server.version")));
	buf_init(&text, MAX_LINE);
	span_iter_init(&iter, span_get(report, "capabilities"));
	while (span_next(&iter, &key, &value)) {
		buf_add(&text, text.len > 0 ? ", " : "");
		if (span_string(key, &text) < 0)
			break;
	}
	line(cli, "capabilities", text.len > 0 ? buf_str(&text) : "none");
	buf_fini(&text);
}

static void show_auth(struct cli *cli, struct span report)
{
	const char *metadata = cli_cell(cli->arena, report, "auth.resource_metadata");
	const char *challenge = cli_cell(cli->arena, report, "auth.www_authenticate");

	if (!span_true(span_get(span_get(report, "auth"), "needed"))) {
		line(cli, "credential", "accepted as given");
		return;
	}
	line(cli, "credential",
	     arena_printf(cli->arena, "wanted: HTTP %s", member(cli, report, "auth.status")));
	if (challenge != NULL)
		line(cli, "", arena_printf(cli->arena, "WWW-Authenticate: %s", challenge));
	if (metadata != NULL)
		line(cli, "", arena_printf(cli->arena, "OAuth metadata: %s", metadata));
}

static void show_tools(struct cli *cli, struct span report)
{
	struct span tools = span_get(report, "tools");
	struct span_iter iter;
	struct span key;
	struct span name;
	struct buf text;
	size_t n = 0;

	if (span_type(tools) != SPAN_OBJECT)
		return;
	buf_init(&text, MAX_LINE);
	buf_printf(&text, "%s", member(cli, report, "tools.count"));
	span_iter_init(&iter, span_get(tools, "names"));
	for (; span_next(&iter, &key, &name) && n < SHOWN_TOOLS; n++) {
		buf_add(&text, n == 0 ? ": " : ", ");
		if (span_string(name, &text) < 0)
			break;
	}
	if (n == SHOWN_TOOLS)
		buf_add(&text, ", …");
	line(cli, "tools", buf_str(&text));
	buf_fini(&text);
}

static void show_times(struct cli *cli, struct span report)
{
	const char *listed = cli_cell(cli->arena, report, "latency_ms.list");
	const char *session = cli_cell(cli->arena, report, "session");

	line(cli, "latency",
	     arena_printf(cli->arena, "opened in %s ms%s%s%s",
			  member(cli, report, "latency_ms.open"),
			  listed != NULL ? ", listed in " : "", listed != NULL ? listed : "",
			  listed != NULL ? " ms" : ""));
	if (session != NULL)
		line(cli, "session",
		     strcmp(session, "ended") == 0 ? "started for this, and ended"
						   : "started for this; it does not let us end it");
}

static void show(struct cli *cli, struct span report)
{
	line(cli, "probed", cli->words[0]);
	if (cli_cell(cli->arena, report, "era") != NULL)
		show_server(cli, report);
	if (span_true(span_get(report, "ok")) ||
	    span_true(span_get(span_get(report, "auth"), "needed")))
		show_auth(cli, report);
	show_tools(cli, report);
	show_times(cli, report);
}

static int verdict(struct cli *cli, struct span report)
{
	const char *code = member(cli, report, "error.code");
	const char *detail = member(cli, report, "error.detail");

	if (span_true(span_get(report, "ok")))
		return EXIT_OK;
	if (span_true(span_get(span_get(report, "auth"), "needed")))
		return cli_fail(cli, EXIT_NOT_CONNECTED, "credential_needed", "%s: %s",
				cli->words[0], detail);
	return cli_fail(cli, EXIT_UNEXPECTED, code, "%s: %s", cli->words[0], detail);
}

/* --------------------------------------------------------------------------------------------- */

static bool is_given(const struct connection_options *given)
{
	return given->auth != NULL || given->credential_file != NULL ||
	       given->auth_header != NULL || given->headers.n > 0 || given->era != NULL ||
	       given->connect_timeout != NULL || given->call_timeout != NULL;
}

static int probe(struct cli *cli, const void *ctx)
{
	struct connection_options given = *(const struct connection_options *)ctx;
	struct cli_request request = { .method = "POST", .timeout_ms = PROBE_WAIT_MS };
	struct cli_answer answer;
	struct err err;
	int code;

	if (strstr(cli->words[0], "://") == NULL) {
		if (is_given(&given))
			return cli_misuse(cli,
					  "%s is probed as it is stored; options go with a URL",
					  cli->words[0]);
		request.path = cli_path(cli, "/connections/", cli->words[0], "/probe");
	} else {
		given.url = cli->words[0];
		request.path = "/probe";
		if (connection_body(cli, &given, &request.body, &err) < 0)
			return cli_misuse(cli, "%s", err.text);
	}
	code = cli_ask(cli, &request, &answer);
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		cli_print_json(answer.body);
	else
		show(cli, answer.body);
	return verdict(cli, answer.body);
}

const struct cli_command cli_connections_probe = { options, sizeof(struct connection_options),
						   CLI_ADMIN, probe };
