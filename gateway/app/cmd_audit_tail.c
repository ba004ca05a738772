/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate audit tail: calls as they are stored, a line each, until it is interrupted. It comes
 * back after a cut, and goes on where it was. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "gateway/app/cmd_audit.h"
#include "gateway/upstream/sse.h"

#define MAX_EVENT_BYTES ((size_t)1024 * 1024)
#define AGAIN_MS	1000
#define CLOCK_AT	11 /* in a time: hours to milliseconds */
#define CLOCK_BYTES	12

#define RED    "\x1b[31m"
#define GREEN  "\x1b[32m"
#define YELLOW "\x1b[33m"
#define FAINT  "\x1b[2m"
#define PLAIN  "\x1b[0m"

struct tail_options {
	struct audit_filters filters; /* first */
	bool json;
	const char *limit;
};
static const struct cli_option tail_options[] = {
	AUDIT_FILTER_OPTIONS,
	{"json",  0,  CLI_FLAG, offsetof(struct tail_options, json) },
	{ "limit",	   'n', CLI_TEXT, offsetof(struct tail_options,			limit) },
	{ NULL, 0,  CLI_TEXT,	     0	       },
};

struct tail {
	struct cli *cli; /* whose arena lives for an event only */
	bool json;
	bool colour;
	bool with_tenant;
	uint64_t left; /* calls to show */
	struct sse_cursor cursor;
	struct sse_reader reader;
	bool ended; /* by the gateway, which said why */
	int exit_code;
};

static bool wants_colour(void)
{
	const char *no_colour = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	return isatty(STDOUT_FILENO) && (no_colour == NULL || no_colour[0] == '\0') &&
	       (term == NULL || strcmp(term, "dumb") != 0);
}

static void print_part(const struct tail *tail, const char *colour, const char *text)
{
	if (tail->colour && colour != NULL)
		fputs(colour, stdout);
	cli_print_field(stdout, text);
	if (tail->colour && colour != NULL)
		fputs(PLAIN, stdout);
}

static void print_ms(struct cli *cli, struct span row)
{
	const char *text = cli_cell(cli->arena, row, "duration_ms");

	if (text == NULL)
		fputs("        - ms  ", stdout);
	else
		printf("%9.0f ms  ", strtod(text, NULL));
}

/* What the columns of a line do not say: how many it stands for, and why it failed. */
static void print_rest(const struct tail *tail, struct span row)
{
	struct cli *cli = tail->cli;
	const char *why = cli_cell(cli->arena, row, "error_message");
	const char *n = audit_cell(cli, row, "n_calls");

	if (strcmp(n, "1") != 0)
		printf("  ×%s", n);
	if (why != NULL) {
		fputs("  ", stdout);
		print_part(tail, FAINT, why);
	}
	fputs("  ", stdout);
	print_part(tail, FAINT, audit_cell(cli, row, "call_id"));
	putchar('\n');
}

static void print_call(const struct tail *tail, struct span row)
{
	struct cli *cli = tail->cli;
	const char *at = audit_cell(cli, row, "started_at");
	const char *outcome = audit_cell(cli, row, "outcome");
	const char *who = audit_who(cli, row);
	const char *tool = cli_cell(cli->arena, row, "tool");
	bool is_ok = strcmp(outcome, "ok") == 0;

	if (strlen(at) > CLOCK_AT + CLOCK_BYTES)
		at = arena_dup(cli->arena, at + CLOCK_AT, CLOCK_BYTES);
	print_part(tail, FAINT, at);
	fputs("  ", stdout);
	print_part(tail,
		   is_ok				  ? GREEN
		   : span_true(span_get(row, "is_error")) ? RED
							  : YELLOW,
		   arena_printf(cli->arena, "%-15s", outcome));
	print_ms(cli, row);
	if (tail->with_tenant)
		print_part(tail, NULL,
			   arena_printf(cli->arena, "%s  ", audit_cell(cli, row, "tenant")));
	print_part(tail, NULL, who != NULL ? who : "-");
	fputs("  ", stdout);
	print_part(tail, NULL, tool != NULL ? tool : audit_cell(cli, row, "method"));
	print_rest(tail, row);
}

/* The last word of the gateway. That a worker stops is no reason to. */
static void take_end(struct tail *tail, struct span event)
{
	const char *code = audit_cell(tail->cli, event, "code");

	if (strcmp(code, "unavailable") == 0)
		return;
	tail->ended = true;
	tail->exit_code = cli_fail(tail->cli, EXIT_SIGN_IN, code, "%s",
				   audit_cell(tail->cli, event, "detail"));
}

static void on_event(void *ctx, struct span event)
{
	struct tail *tail = ctx;
	struct arena *outer = tail->cli->arena;
	struct err ignored;

	if (tail->ended || tail->left == 0 || span_check(event, NULL, &ignored) < 0)
		return;
	tail->cli->arena = arena_new();
	event = span_trim(event);
	if (span_get(event, "call_id").p == NULL) {
		take_end(tail, event);
	} else {
		if (tail->json)
			printf("%.*s\n", (int)event.n, event.p);
		else
			print_call(tail, event);
		tail->left--;
	}
	arena_free(&tail->cli->arena);
	tail->cli->arena = outer;
}

static bool on_data(void *ctx, const char *p, size_t n)
{
	struct tail *tail = ctx;

	if (sse_feed(&tail->reader, p, n) < 0)
		return false;
	return fflush(stdout) == 0 && !tail->ended && tail->left > 0;
}

/* One stream, until it ends. */
static int follow(struct tail *tail, const char *path, bool again, enum cli_stream_end *end)
{
	const struct cli_request request = {
		.method = "GET",
		.path = path,
		.streams = true,
		.last_event_id = tail->cursor.id[0] != '\0' ? tail->cursor.id : NULL,
	};
	const struct cli_stream stream = { .data = on_data, .ctx = tail, .quiet = again };
	int code;

	sse_init(&tail->reader, MAX_EVENT_BYTES, &tail->cursor, on_event, tail);
	code = cli_stream(tail->cli, &request, &stream, end);
	sse_fini(&tail->reader);
	return code;
}

static bool is_over(const struct tail *tail, enum cli_stream_end end)
{
	return end == CLI_STREAM_STOPPED || tail->ended || tail->left == 0;
}

static int tail(struct cli *cli, const void *ctx)
{
	const struct tail_options *options = ctx;
	const char *path = audit_path(cli, "/audit/tail", &options->filters);
	struct tail tail = {
		.cli = cli,
		.json = options->json || cli->output == OUTPUT_JSON,
		.colour = wants_colour(),
		.with_tenant = options->filters.all_tenants,
		.left = UINT64_MAX,
	};
	enum cli_stream_end end;
	struct err err;
	bool again = false;

	if (options->limit != NULL &&
	    text_uint(options->limit, 1, UINT32_MAX, &tail.left, &err) < 0)
		return cli_misuse(cli, "--limit is how many calls to show");
	sse_cursor_init(&tail.cursor);
	for (;;) {
		int code = follow(&tail, path, again, &end);

		if (is_over(&tail, end))
			return tail.exit_code;
		if (end == CLI_STREAM_REFUSED && (!again || code != EXIT_UNREACHABLE))
			return code;
		if (!again || end != CLI_STREAM_REFUSED)
			fputs("tollgate: the stream was cut; it goes on as soon as somebody "
			      "answers\n",
			      stderr);
		again = true;
		cli_wait(cli, AGAIN_MS);
	}
}

const struct cli_command cli_audit_tail = { tail_options, sizeof(struct tail_options), CLI_ADMIN,
					    tail };
