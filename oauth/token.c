/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/token.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "oauth/form.h"
#include "oauth/form_post.h"

struct token_request {
	struct token_request **slot;
	struct form_post *post;
	const char *basic_hint; /* for the case that the client is refused, or NULL */
	token_request_done *done;
	void *ctx;
};

static void request_free(struct token_request *request)
{
	form_post_cancel(&request->post);
	free(request);
}

static bool changes_when_escaped(const char *p, size_t n)
{
	struct buf escaped;
	bool changes;

	buf_init(&escaped, FORM_MAX_BYTES);
	form_escape(&escaped, p, n);
	changes = !span_eq(buf_span(&escaped), (struct span){ p, n }) && n > 0;
	buf_wipe(&escaped);
	return changes;
}

/*
 * RFC 6749 2.3.1 wants id and secret form-encoded before Basic; about half of all servers do not
 * decode them. Nobody can tell from the refusal, so the operator is told what was sent.
 */
static const char *hint_for(const struct oauth_client *client)
{
	bool matters = changes_when_escaped(client->id, strlen(client->id)) ||
		       (client->secret != NULL &&
			changes_when_escaped(client->secret->reveal, client->secret->n));

	if (matters && client->auth == OAUTH_AUTH_BASIC)
		return " (sent as basic: reserved characters escaped; basic_raw does not escape)";
	if (matters && client->auth == OAUTH_AUTH_BASIC_RAW)
		return " (sent as basic_raw: reserved characters not escaped; basic escapes)";
	return NULL;
}

static void add_hint(const struct token_request *request, struct token_error *error)
{
	size_t n = strlen(error->text);

	if (request->basic_hint != NULL &&
	    (strcmp(error->code, "invalid_client") == 0 ||
	     strcmp(error->code, "incorrect_client_credentials") == 0))
		snprintf(error->text + n, sizeof(error->text) - n, "%s", request->basic_hint);
}

static enum token_failure kind_of(const struct fetch_answer *answer)
{
	switch (answer->err->code) {
	case ERR_BAD_REQUEST:
		return TOKEN_CLIENT;
	case ERR_TOO_LARGE:
		return answer->status >= 500 ? TOKEN_TRANSIENT : TOKEN_NONSENSE;
	default:
		return TOKEN_TRANSIENT;
	}
}

/* No whole answer came. */
static struct token_error failure_of(const struct fetch_answer *answer)
{
	struct token_error error = { .kind = kind_of(answer), .http_status = answer->status };

	snprintf(error.text, sizeof(error.text), "token endpoint: %.*s",
		 (int)sizeof(error.text) - 20, answer->err->text);
	return error;
}

static void on_answer(void *ctx, const struct fetch_answer *answer, const struct error_sent *sent)
{
	struct token_request *request = ctx;
	struct arena *arena = arena_new();
	struct token_reply reply = { 0 };
	struct token_error error;
	int ret = -1;

	if (answer->err != NULL) {
		error = failure_of(answer);
	} else {
		const struct token_answer given = { answer->status, answer->body, *sent };

		ret = token_reply_parse(&given, arena, &reply, &error);
	}
	if (ret < 0) {
		error.sent = answer->sent;
		error.retry_after_s = answer->retry_after_s;
		add_hint(request, &error);
	}
	*request->slot = NULL;
	request->done(request->ctx, ret == 0 ? &reply : NULL, ret == 0 ? NULL : &error);
	token_reply_fini(&reply);
	arena_free(&arena);
	request_free(request);
}

void token_request_start(struct loop *loop, struct token_request **slot,
			 const struct token_request_params *params, token_request_done *done,
			 void *ctx)
{
	const struct form_post_params form = {
		.client = params->client,
		.egress = params->egress,
		.url = params->token_url,
		.oauth_client = params->oauth_client,
		.params = params->params,
		.n_params = params->n_params,
		.timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : TOKEN_TIMEOUT_MS,
	};
	struct token_request *request = mem_new(sizeof(*request));

	assert(*slot == NULL);
	*slot = request;
	request->slot = slot;
	request->basic_hint = hint_for(&params->oauth_client);
	request->done = done;
	request->ctx = ctx;
	form_post_start(loop, &request->post, &form, on_answer, request);
}

void token_request_cancel(struct token_request **slot)
{
	struct token_request *request = *slot;

	if (request == NULL)
		return;
	*slot = NULL;
	request_free(request);
}
