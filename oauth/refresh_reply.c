/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "oauth/access_priv.h"

#define MAX_DETAIL_BYTES 2048
#define MAX_DOUBLINGS	 10 /* of one second: more is longer than any wait */

bool refresh_is_possible(const struct grant *grant)
{
	int64_t now_s = loop_unix_us() / 1000000;

	if (grant->token_url == NULL)
		return false;
	if (grant->kind == GRANT_CLIENT_CREDENTIALS)
		return true;
	return grant->refresh_token.n > 0 &&
	       (grant->refresh_expires_at == 0 || now_s < grant->refresh_expires_at);
}

int64_t refresh_due_at(const struct grant *grant, int64_t now_s)
{
	int64_t lifetime = grant->expires_at - now_s;
	int64_t lead = lifetime / 5;

	if (grant->expires_at == 0 || !refresh_is_possible(grant))
		return 0;
	if (lead < REFRESH_LEAD_MIN_S)
		lead = REFRESH_LEAD_MIN_S;
	lead += crypto_chance(lead / 4);
	if (lead > lifetime / 2)
		lead = lifetime / 2 + crypto_chance(lifetime / 10);
	return grant->expires_at - lead;
}

static bool is_rotated(const struct grant *before, const struct grant *after)
{
	return after->refresh_token.n > 0 &&
	       (before->refresh_token.n != after->refresh_token.n ||
		memcmp(before->refresh_token.reveal, after->refresh_token.reveal,
		       after->refresh_token.n) != 0);
}

/* RFC 6749 6: a reply without a refresh token leaves the old one good. */
static void apply_refresh_token(const struct grant *before, const struct token_reply *reply,
				int64_t now_s, struct grant *after)
{
	const struct secret *old = &before->refresh_token;
	const struct secret *new = reply->refresh_token.n > 0 ? &reply->refresh_token : old;

	after->refresh_token = secret_new(new->reveal, new->n);
	if (reply->refresh_expires_in_s > 0)
		after->refresh_expires_at = now_s + reply->refresh_expires_in_s;
	else if (is_rotated(before, after))
		after->refresh_expires_at = 0; /* what was said was said of the old one */
}

void refresh_apply(const struct grant_row *row, const struct token_reply *reply, int64_t now_s,
		   struct arena *arena, struct grant_row *renewed)
{
	const struct grant *before = &row->grant;
	struct grant *after = &renewed->grant;

	*renewed = *row;
	after->access_token = secret_new(reply->access_token.reveal, reply->access_token.n);
	after->client_secret = secret_new(before->client_secret.reveal, before->client_secret.n);
	apply_refresh_token(before, reply, now_s, after);
	after->scope = reply->scope != NULL ? arena_strdup(arena, reply->scope) : before->scope;
	after->expires_at = reply->expires_in_s > 0 ? now_s + reply->expires_in_s : 0;
	after->last_refreshed_at = now_s;
	after->last_error = NULL;
	after->last_error_at = 0;
	after->version = before->version + 1;
	renewed->failures = 0;
	renewed->lost = false;
	renewed->next_refresh_at = refresh_due_at(after, now_s);
}

/* --- what is recorded ------------------------------------------------------------------------ */

static void add_time(struct buf *out, const char *name, int64_t unix_s)
{
	char text[TEXT_TIME_BYTES];

	if (unix_s == 0) {
		buf_printf(out, "\"%s\":null,", name);
		return;
	}
	text_time(unix_s * 1000000, text);
	buf_printf(out, "\"%s\":\"%s\",", name, text);
}

static const char *class_of(const struct token_error *error)
{
	static const char *const names[] = {
		[TOKEN_TRANSIENT] = "transient",
		[TOKEN_TERMINAL] = "terminal",
		[TOKEN_CLIENT] = "client",
		[TOKEN_NONSENSE] = "nonsense",
	};

	return names[error->kind];
}

static void add_error(struct buf *out, const struct token_error *error)
{
	buf_printf(out, ",\"error_class\":\"%s\",\"http_status\":%d,\"sent\":%s,\"error\":",
		   class_of(error), error->http_status, error->sent ? "true" : "false");
	buf_add_json_string(out, error->text, strlen(error->text));
	if (error->code[0] == '\0')
		return;
	buf_add(out, ",\"idp_error_code\":");
	buf_add_json_string(out, error->code, strlen(error->code));
}

const char *refresh_detail(struct arena *arena, const struct refresh_story *story)
{
	const struct grant *before = &story->before->grant;
	const char *text;
	struct buf out;

	buf_init(&out, MAX_DETAIL_BYTES);
	buf_add(&out, "{");
	add_time(&out, "before_expires_at", before->expires_at);
	add_time(&out, "before_refresh_expires_at", before->refresh_expires_at);
	if (story->after != NULL) {
		add_time(&out, "after_expires_at", story->after->grant.expires_at);
		add_time(&out, "after_refresh_expires_at", story->after->grant.refresh_expires_at);
		buf_printf(&out, "\"rotated_refresh\":%s,",
			   is_rotated(before, &story->after->grant) ? "true" : "false");
	}
	buf_printf(&out, "\"duration_ms\":%lld", (long long)story->duration_ms);
	if (story->error != NULL)
		add_error(&out, story->error);
	buf_add(&out, "}");
	assert(!out.overflow);
	text = arena_strdup(arena, buf_str(&out));
	buf_fini(&out);
	return text;
}

/* --- what a failure means -------------------------------------------------------------------- */

int64_t refresh_backoff_s(int64_t failures, bool expired)
{
	int64_t most = expired ? REFRESH_BACKOFF_EXPIRED_S : REFRESH_BACKOFF_MAX_S;
	int64_t wait = failures < MAX_DOUBLINGS ? INT64_C(1) << failures : most;

	if (wait > most)
		wait = most;
	return wait - crypto_chance(wait / 2);
}

/* Nobody has to sign in again because of a server that renews by asking again: its client is
 * refused. */
static bool is_terminal(const struct grant_row *row, const struct token_error *error)
{
	return error->kind == TOKEN_TERMINAL && row->grant.kind != GRANT_CLIENT_CREDENTIALS;
}

const char *refresh_judge(const struct grant_row *row, const struct token_error *error,
			  int64_t now_s, struct arena *arena, struct grant_row *failed)
{
	bool expired = row->grant.expires_at != 0 && row->grant.expires_at <= now_s;
	int64_t wait = refresh_backoff_s(row->failures, expired);

	*failed = *row;
	failed->grant.last_error = arena_strdup(arena, error->text);
	failed->grant.last_error_at = now_s;
	failed->failures++;
	if (error->retry_after_s > wait)
		wait = error->retry_after_s;
	/* Of the second that runs a part is over. */
	failed->next_refresh_at =
		row->next_refresh_at != 0 || row->grant.expires_at != 0 ? now_s + 1 + wait : 0;
	if (is_terminal(row, error)) {
		failed->grant.state = GRANT_NEEDS_REAUTH;
		failed->next_refresh_at = 0;
		return row->lost ? "refresh_lost" : "refresh_failed_revoked";
	}
	return error->kind == TOKEN_CLIENT || error->kind == TOKEN_TERMINAL
		       ? "refresh_failed_client"
		       : "refresh_failed_transient";
}
