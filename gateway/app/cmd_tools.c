/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate tools, tollgate call: what a client sees, and does. */

#include <string.h>

#include "gateway/app/cli.h"

#define CALL_TIMEOUT_MS	  3600000 /* the connection's own call_timeout ends it before */
#define MAX_MESSAGE_BYTES 500
#define UNKNOWN_TOOL	  "unknown_tool"

struct list_options {
	const char *connection;
};
#define LIST_AT(member) offsetof(struct list_options, member)

static const struct cli_option list_options[] = {
	{"connection", 0, CLI_TEXT, LIST_AT(connection)},
	{ NULL,	0, CLI_TEXT, 0		       },
};

struct call_options {
	struct cli_list pairs;
	const char *json;
};
#define CALL_AT(member) offsetof(struct call_options, member)

static const struct cli_option call_options[] = {
	{"arg",	 'a', CLI_LIST, CALL_AT(pairs)},
	{ "args-json", 0,	  CLI_TEXT, CALL_AT(json) },
	{ NULL,	0,   CLI_TEXT, 0	       },
};

static bool is_of(struct span tool, const char *connection)
{
	return connection == NULL || span_string_is(span_get(tool, "connection"), connection);
}

static int list(struct cli *cli, const void *ctx)
{
	static const struct cli_column columns[] = {
		{"NAME",	  "name"	 },
		{ "DESCRIPTION", "description"},
		{ NULL,		NULL	     },
	};
	const struct list_options *options = ctx;
	struct span *items;
	size_t n;
	size_t kept = 0;
	int code = cli_get_list(cli, "/tools", false, &items, &n);

	if (code != EXIT_OK)
		return code;
	for (size_t i = 0; i < n; i++) {
		if (is_of(items[i], options->connection))
			items[kept++] = items[i];
	}
	return cli_print_list(cli, columns, items, kept);
}

static int read_json(struct cli *cli, const char *text, struct span *out, struct err *err)
{
	*out = span_of(text);
	if (strcmp(text, "-") == 0 && cli_read_file(cli, "-", out, err) < 0)
		return -1;
	if (span_check(*out, NULL, err) < 0)
		return err_prefix(err, "--args-json is no JSON");
	if (span_type(*out) != SPAN_OBJECT)
		return err_set(err, ERR_BAD_REQUEST, "--args-json must be a JSON object");
	return 0;
}

/* Bytes are passed on as they are: a number keeps every digit. */
static int read_arguments(struct cli *cli, const struct call_options *options, struct span *out,
			  struct err *err)
{
	struct buf text;
	int ret;

	if (options->json != NULL && options->pairs.n > 0)
		return err_set(err, ERR_BAD_REQUEST, "say -a or --args-json, not both");
	if (options->json != NULL)
		return read_json(cli, options->json, out, err);
	buf_init(&text, CLI_MAX_FILE_BYTES);
	ret = args_write(&options->pairs, &text, err);
	*out = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_fini(&text);
	return ret;
}

static struct span call_body(struct cli *cli, struct span arguments)
{
	struct buf text;
	struct span body;

	buf_init(&text, 2 * CLI_MAX_FILE_BYTES);
	buf_add(&text, "{\"name\":");
	buf_add_json_string(&text, cli->words[0], strlen(cli->words[0]));
	buf_add(&text, ",\"arguments\":");
	buf_add_span(&text, arguments);
	buf_add(&text, "}");
	body = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_fini(&text);
	return body;
}

static void print_block(struct cli *cli, FILE *out, struct span block)
{
	const char *type = cli_cell(cli->arena, block, "type");
	const char *text = cli_cell(cli->arena, block, "text");
	const char *uri = cli_cell(cli->arena, block, "uri");
	const char *media = cli_cell(cli->arena, block, "mimeType");

	if (text == NULL)
		text = arena_printf(cli->arena, "[%s%s%s%s%s]", type != NULL ? type : "content",
				    media != NULL ? " " : "", media != NULL ? media : "",
				    uri != NULL ? " " : "", uri != NULL ? uri : "");
	cli_print_text(out, span_of(text));
}

static void print_content(struct cli *cli, FILE *out, struct span result)
{
	struct span_iter iter;
	struct span key, block;
	struct span structured = span_trim(span_get(result, "structuredContent"));
	size_t n = 0;

	span_iter_init(&iter, span_get(result, "content"));
	for (; span_next(&iter, &key, &block); n++)
		print_block(cli, out, block);
	if (n == 0 && structured.p != NULL)
		cli_print_text(out, structured);
}

/* The first text is what the failure says of itself. */
static int tool_failed(struct cli *cli, struct span result)
{
	struct span_iter iter;
	struct span key, block;
	const char *text = NULL;

	if (cli->output == OUTPUT_TABLE)
		print_content(cli, stdout, result);
	span_iter_init(&iter, span_get(result, "content"));
	while (text == NULL && span_next(&iter, &key, &block))
		text = cli_cell(cli->arena, block, "text");
	if (cli->output == OUTPUT_TABLE)
		return cli_fail(cli, EXIT_TOOL_ERROR, "tool_error", "%s failed", cli->words[0]);
	return cli_fail(cli, EXIT_TOOL_ERROR, "tool_error", "%s failed%s%.*s", cli->words[0],
			text != NULL ? ": " : "", MAX_MESSAGE_BYTES, text != NULL ? text : "");
}

static int print_result(struct cli *cli, struct span result)
{
	if (cli->output == OUTPUT_JSON)
		cli_print_json(result);
	if (span_true(span_get(result, "isError")))
		return tool_failed(cli, result);
	if (cli->output == OUTPUT_TABLE)
		print_content(cli, stdout, result);
	return EXIT_OK;
}

static int call(struct cli *cli, const void *ctx)
{
	struct cli_request request = { .method = "POST",
				       .path = "/tools/call",
				       .timeout_ms = CALL_TIMEOUT_MS };
	struct cli_answer answer;
	struct span arguments = { 0 };
	struct err err;
	int code;

	if (read_arguments(cli, ctx, &arguments, &err) < 0)
		return cli_misuse(cli, "%s", err.text);
	request.body = call_body(cli, arguments);
	code = cli_send(cli, &request, &answer);
	if (code != EXIT_OK)
		return code;
	if (span_string_is(span_get(answer.body, "code"), UNKNOWN_TOOL))
		return cli_fail(cli, EXIT_TOOL_ERROR, UNKNOWN_TOOL, "there is no tool %s%s",
				cli->words[0], cli_call_said(cli, &answer));
	return answer.status >= 400 ? cli_refused(cli, &answer) : print_result(cli, answer.body);
}

const struct cli_command cli_tools_list = { list_options, sizeof(struct list_options), CLI_USER,
					    list };
const struct cli_command cli_call = { call_options, sizeof(struct call_options), CLI_USER, call };
