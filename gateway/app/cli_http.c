/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/egress.h"
#include "base/http_client.h"
#include "base/url.h"
#include "gateway/app/cli.h"
#include "version.h"

#define API	       "/api/v1"
#define MAX_ETAG_BYTES 256
#define MAX_PAGES      1000

#define STATUS_UNAUTHENTICATED	     401
#define STATUS_FORBIDDEN	     403
#define STATUS_NOT_FOUND	     404
#define STATUS_PRECONDITION_REQUIRED 428
#define STATUS_UNAVAILABLE	     503

/* One request while the loop runs for it. */
struct exchange_state {
	struct loop *loop;
	struct arena *arena;
	struct cli_answer *answer;
	struct buf body;
	bool failed;
	struct err err;
};

static void on_head(void *ctx, const struct http_head *head)
{
	struct exchange_state *state = ctx;
	const char *etag = http_head_find(head, "etag");

	state->answer->status = head->status;
	if (etag != NULL && strlen(etag) <= MAX_ETAG_BYTES)
		state->answer->etag = arena_strdup(state->arena, etag);
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct exchange_state *state = ctx;

	buf_append(&state->body, p, n);
}

static void on_done(void *ctx, const struct err *err)
{
	struct exchange_state *state = ctx;

	state->failed = err != NULL;
	if (err != NULL)
		state->err = *err;
	loop_stop(state->loop);
}

/* Exactly this host and port may be connected to, wherever it is: the caller named it. */
int cli_open(struct cli *cli, struct err *err)
{
	struct url url;
	const char *allow;

	if (url_parse(cli->url, &url, err) < 0)
		return err_prefix(err, "the gateway's url, %s", cli->url);
	allow = arena_printf(cli->arena, strchr(url.host, ':') != NULL ? "[%s]:%u" : "%s:%u",
			     url.host, (unsigned)url.port);
	cli->egress = egress_policy_new(&allow, 1, false, err);
	if (cli->egress == NULL)
		return err_prefix(err, "the gateway's url, %s", cli->url);
	cli->loop = loop_new();
	cli->client = http_client_new(cli->loop);
	return 0;
}

void cli_close(struct cli *cli)
{
	http_client_free(&cli->client);
	egress_policy_unref(&cli->egress);
	loop_free(&cli->loop);
}

static char *escaped(struct arena *arena, const char *text)
{
	static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
					 "0123456789-._~";
	char *out = arena_alloc(arena, 3 * strlen(text) + 1);
	size_t n = 0;

	for (; *text != '\0'; text++) {
		if (strchr(unreserved, *text) != NULL)
			out[n++] = *text;
		else
			n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned char)*text);
	}
	return out;
}

char *cli_path(struct cli *cli, const char *before, const char *name, const char *after)
{
	return arena_printf(cli->arena, "%s%s%s", before, escaped(cli->arena, name), after);
}

static const char *url_of(struct cli *cli, const struct cli_request *request)
{
	if (cli->tenant == NULL || request->platform)
		return arena_printf(cli->arena, "%s" API "%s", cli->url, request->path);
	return arena_printf(cli->arena, "%s" API "/tenants/%s%s", cli->url,
			    escaped(cli->arena, cli->tenant), request->path);
}

int cli_unreachable(const struct cli *cli, const struct err *err)
{
	switch (err->code) {
	case ERR_BAD_REQUEST:
		return cli_fail(cli, EXIT_USAGE, "usage", "%s", err->text);
	case ERR_TOO_LARGE:
		return cli_fail(cli, EXIT_UNEXPECTED, err_name(err->code),
				"the answer is too large: %s", err->text);
	default:
		return cli_fail(cli, EXIT_UNREACHABLE, "unreachable", "%s: %s", cli->url,
				err->text);
	}
}

void cli_http_start(struct cli *cli, struct http_request **slot, const struct cli_request *request,
		    const struct http_events *events, void *ctx)
{
	bool patch = strcmp(request->method, "PATCH") == 0;
	struct http_header headers[6] = {
		{"User-Agent",	"tollgate/" TOLLGATE_VERSION},
		{ "Authorization", arena_printf(cli->arena,	    "Bearer %s", cli->key) },
		{ "Accept",	    request->streams ? "*/*" : "application/json"				  },
	};
	size_t n = 3;

	if (request->body.p != NULL)
		headers[n++] =
			(struct http_header){ "Content-Type", patch ? "application/merge-patch+json"
								    : "application/json" };
	if (request->if_match != NULL)
		headers[n++] = (struct http_header){ "If-Match", request->if_match };
	if (request->last_event_id != NULL)
		headers[n++] = (struct http_header){ "Last-Event-ID", request->last_event_id };
	http_start(cli->client, slot,
		   &(struct http_params){
			   .method = request->method,
			   .url = url_of(cli, request),
			   .headers = headers,
			   .n_headers = n,
			   .body = request->body,
			   .pool_key = "cli",
			   .egress = cli->egress,
			   .first_byte_timeout_ms =
				   request->timeout_ms > 0 ? request->timeout_ms : CLI_TIMEOUT_MS,
			   .max_body_bytes =
				   request->streams ? CLI_MAX_STREAM_BYTES : CLI_MAX_BODY_BYTES,
		   },
		   events, ctx);
}

/* Something else may listen there: what is no JSON is not looked at further. */
static int take_body(struct cli *cli, struct exchange_state *state)
{
	struct cli_answer *answer = state->answer;
	struct span body = buf_span(&state->body);
	struct err err;

	if (body.n > 0 && span_check(body, NULL, &err) == 0)
		answer->body =
			span_trim((struct span){ arena_dup(cli->arena, body.p, body.n), body.n });
	else if (body.n > 0 && answer->status < 400)
		return cli_fail(cli, EXIT_UNEXPECTED, "no_api",
				"%s is no Tollgate: it answers %d "
				"without JSON",
				cli->url, answer->status);
	return EXIT_OK;
}

int cli_send(struct cli *cli, const struct cli_request *request, struct cli_answer *answer)
{
	static const struct http_events events = { on_head, on_data, on_done };
	struct exchange_state state = { .loop = cli->loop, .arena = cli->arena, .answer = answer };
	struct http_request *slot = NULL;
	int code;

	*answer = (struct cli_answer){ 0 };
	buf_init(&state.body, CLI_MAX_BODY_BYTES);
	cli_http_start(cli, &slot, request, &events, &state);
	loop_run(cli->loop);
	assert(slot == NULL);
	code = state.failed ? cli_unreachable(cli, &state.err) : take_body(cli, &state);
	buf_wipe(&state.body);
	return code;
}

int cli_exit_code(int http_status)
{
	if (http_status < 400)
		return EXIT_OK;
	if (http_status == STATUS_UNAUTHENTICATED || http_status == STATUS_FORBIDDEN)
		return EXIT_SIGN_IN;
	if (http_status == STATUS_UNAVAILABLE)
		return EXIT_UNREACHABLE;
	return EXIT_UNEXPECTED;
}

const char *cli_call_said(const struct cli *cli, const struct cli_answer *answer)
{
	const char *detail = cli_cell(cli->arena, answer->body, "detail");
	const char *call_id = cli_cell(cli->arena, answer->body, "call_id");

	if (call_id == NULL || (detail != NULL && strstr(detail, call_id) != NULL))
		return "";
	return arena_printf(cli->arena, " (call %s)", call_id);
}

int cli_refused(const struct cli *cli, const struct cli_answer *answer)
{
	const char *code = cli_cell(cli->arena, answer->body, "code");
	const char *detail = cli_cell(cli->arena, answer->body, "detail");
	int exit_code = cli_exit_code(answer->status);

	if (code == NULL || detail == NULL)
		return cli_fail(cli, exit_code, "no_api", "%s answers %d without saying why",
				cli->url, answer->status);
	if (answer->status == STATUS_UNAUTHENTICATED)
		return cli_fail(cli, exit_code, code, "the key is not accepted: %s", detail);
	if (answer->status == STATUS_NOT_FOUND && cli->n_words > 0 &&
	    strstr(detail, cli->words[0]) == NULL)
		return cli_fail(cli, exit_code, code, "%s: %s", cli->words[0], detail);
	return cli_fail(cli, exit_code, code, "%s%s", detail, cli_call_said(cli, answer));
}

int cli_ask(struct cli *cli, const struct cli_request *request, struct cli_answer *answer)
{
	int code = cli_send(cli, request, answer);

	if (code == EXIT_OK && answer->status >= 400)
		code = cli_refused(cli, answer);
	return code;
}

int cli_get(struct cli *cli, const char *path, struct cli_answer *answer)
{
	return cli_ask(cli, &(struct cli_request){ .method = "GET", .path = path }, answer);
}

/* What one page adds to the list. */
static void add_items(struct cli *cli, struct span page, struct span **items, size_t *n)
{
	struct span_iter iter;
	struct span key, value;
	size_t more = 0;
	struct span *all;

	span_iter_init(&iter, span_get(page, "items"));
	while (span_next(&iter, &key, &value))
		more++;
	all = arena_alloc(cli->arena, (*n + more + 1) * sizeof(*all));
	if (*n > 0)
		memcpy(all, *items, *n * sizeof(*all));
	span_iter_init(&iter, span_get(page, "items"));
	while (span_next(&iter, &key, &value))
		all[(*n)++] = span_trim(value);
	*items = all;
}

int cli_get_list(struct cli *cli, const char *path, bool platform, struct span **items, size_t *n)
{
	const char *at = path;

	*items = NULL;
	*n = 0;
	for (int page = 0; page < MAX_PAGES; page++) {
		const struct cli_request request = { .method = "GET",
						     .path = at,
						     .platform = platform };
		struct cli_answer answer;
		const char *next;
		int code = cli_ask(cli, &request, &answer);

		if (code != EXIT_OK)
			return code;
		add_items(cli, answer.body, items, n);
		next = cli_cell(cli->arena, answer.body, "next");
		if (next == NULL)
			return EXIT_OK;
		at = arena_printf(cli->arena, "%s?cursor=%s", path, escaped(cli->arena, next));
	}
	return cli_fail(cli, EXIT_UNEXPECTED, "too_large", "the list does not end after %d pages",
			MAX_PAGES);
}

int cli_change(struct cli *cli, const char *path, bool platform, struct span body,
	       struct cli_answer *answer)
{
	bool patch = body.p != NULL;
	struct cli_request request = {
		.method = patch ? "PATCH" : "DELETE",
		.path = path,
		.platform = platform,
		.body = body,
	};
	const struct cli_request look = { .method = "GET", .path = path, .platform = platform };
	int code;

	/* Not everything that can be removed has a version: whatever has one asks for it. */
	if (!patch) {
		code = cli_send(cli, &request, answer);
		if (code == EXIT_OK && answer->status != STATUS_PRECONDITION_REQUIRED)
			return answer->status >= 400 ? cli_refused(cli, answer) : EXIT_OK;
		if (code != EXIT_OK)
			return code;
	}
	code = cli_ask(cli, &look, answer);
	if (code != EXIT_OK)
		return code;
	request.if_match = answer->etag;
	return cli_ask(cli, &request, answer);
}

int cli_remove(struct cli *cli, const char *path, bool platform, const char *what, bool yes)
{
	struct cli_answer answer;
	int code;

	if (!cli_confirmed(cli, yes, what))
		return cli_fail(cli, EXIT_UNEXPECTED, "cancelled", "%s stays", what);
	code = cli_change(cli, path, platform, (struct span){ 0 }, &answer);
	if (code == EXIT_OK && cli->output == OUTPUT_TABLE)
		printf("%s removed\n", what);
	return code;
}

static struct span body_of(struct cli *cli, const struct cli_member *members)
{
	struct buf text;
	struct span body;
	const char *comma = "";

	buf_init(&text, CLI_MAX_FILE_BYTES);
	buf_add(&text, "{");
	for (; members->name != NULL; members++) {
		if (members->text == NULL)
			continue;
		buf_printf(&text, "%s\"%s\":", comma, members->name);
		buf_add_json_string(&text, members->text, strlen(members->text));
		comma = ",";
	}
	buf_add(&text, "}");
	body = (struct span){ arena_dup(cli->arena, buf_str(&text), text.len), text.len };
	buf_fini(&text);
	return body;
}

int cli_post(struct cli *cli, const char *path, bool platform, const struct cli_member *members,
	     struct cli_answer *answer)
{
	return cli_ask(cli,
		       &(struct cli_request){ .method = "POST",
					      .path = path,
					      .platform = platform,
					      .body = body_of(cli, members) },
		       answer);
}

static void on_time(void *ctx)
{
	loop_stop(ctx);
}

void cli_wait(struct cli *cli, int64_t ms)
{
	struct timer timer = { 0 };

	timer_start(cli->loop, &timer, ms, on_time, cli->loop);
	loop_run(cli->loop);
}
