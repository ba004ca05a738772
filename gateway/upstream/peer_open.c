/* SPDX-License-Identifier: Apache-2.0 */
/* Opening an upstream: which era does it speak, and in which session? */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

#define MAX_TEXT_BYTES ((size_t)64 << 10)

void peer_stop_opening(struct peer *peer)
{
	timer_stop(&peer->open.timer);
	deferred_cancel(&peer->open.deferred);
	peer_release_lease(peer);
	post_cancel(&peer->open.post);
	db_cancel(&peer->open.query);
	buf_fini(&peer->open.body);
	tenant_unref(&peer->open.tenant);
	peer->open.connection = NULL;
}

/* What one of them starts anew waits for the next round, and so behind them. */
static void tell(struct peer *peer, const struct err *err, const struct upstream_refusal *refusal)
{
	unsigned round = peer->round;
	struct peer_waiter *waiter;

	peer->n_ops++; /* the last of those who wait must not take it away meanwhile */
	while ((waiter = peer->waiting) != NULL && waiter->round <= round) {
		DL_DELETE(peer->waiting, waiter);
		waiter->opened(waiter->ctx, err, refusal);
	}
	peer_release(peer);
}

static void finish(struct peer *peer, const struct err *err, const struct upstream_refusal *refusal)
{
	struct err problem;

	/* err may lie in what is freed now. */
	if (err != NULL)
		problem = *err;
	peer_stop_opening(peer);
	if (err != NULL) {
		peer->state = PEER_CLOSED;
		tell(peer, &problem, refusal);
		return;
	}
	peer->state = PEER_OPEN;
	peer->doubtful = false;
	peer->known.opened = true;
	peer->known.era = peer->terms.era;
	memcpy(peer->known.version, peer->terms.version, sizeof(peer->known.version));
	peer->touched_ms = loop_now_ms(peer->upstreams->loop);
	tell(peer, NULL, NULL);
}

void peer_finish_opening(struct peer *peer, const struct err *err)
{
	finish(peer, err, NULL);
}

static void fail(struct peer *peer, enum err_code code, const char *why, int status)
{
	struct err err;

	err_set(&err, code, "%s (HTTP %d)", why, status);
	snprintf(err.tag, sizeof(err.tag), "%d", status);
	peer_finish_opening(peer, &err);
}

/* The next who wants it open asks anew, with the token that there is by then. */
static void fail_refused(struct peer *peer, int status, const char *challenge)
{
	const struct upstream_refusal refusal = { status, challenge, peer->open.token_version };
	struct err err;

	err_set(&err, ERR_UNAUTHENTICATED, "it refuses the credential (HTTP %d)", status);
	snprintf(err.tag, sizeof(err.tag), "%d", status);
	finish(peer, &err, &refusal);
}

/* --- what an answer teaches ------------------------------------------------------------------ */

/* NULL if it is no string, holds a NUL or is too long: these are for people to read. */
static char *text_of(struct span value)
{
	struct buf text;
	char *copy = NULL;

	buf_init(&text, MAX_TEXT_BYTES);
	if (span_string(value, &text) == 0 &&
	    (text.len == 0 || memchr(text.data, '\0', text.len) == NULL))
		copy = mem_strdup(buf_str(&text));
	buf_fini(&text);
	return copy;
}

static void learn(struct peer *peer, struct span result, struct span server_info)
{
	free(peer->known.server_name);
	free(peer->known.server_version);
	free(peer->known.instructions);
	peer->known.server_name = text_of(span_get(server_info, "name"));
	peer->known.server_version = text_of(span_get(server_info, "version"));
	peer->known.instructions = text_of(span_get(result, "instructions"));
	peer->known.introduced = true;
}

void peer_set_terms(struct peer *peer, enum mcp_era era, const char *version,
		    const char *session_id)
{
	peer->terms.era = era;
	snprintf(peer->terms.version, sizeof(peer->terms.version), "%s", version);
	snprintf(peer->terms.session_id, sizeof(peer->terms.session_id), "%s", session_id);
	peer->log_level = -1;
}

bool upstream_lists_modern(struct span result)
{
	struct span_iter iter;
	struct span key;
	struct span version;

	span_iter_init(&iter, span_get(result, "supportedVersions"));
	while (span_next(&iter, &key, &version)) {
		if (span_string_is(version, MCP_MODERN_VERSION))
			return true;
	}
	return false;
}

static bool take_discovered(struct peer *peer, struct span result)
{
	if (!upstream_lists_modern(result))
		return false;
	peer_set_terms(peer, MCP_MODERN, MCP_MODERN_VERSION, "");
	learn(peer, result, span_get(span_get(result, "_meta"), MCP_META_SERVER));
	return true;
}

static bool take_initialized(struct peer *peer, struct span result, const char *session_id)
{
	char *version = text_of(span_get(result, "protocolVersion"));
	bool known = version != NULL && mcp_legacy_known(version);

	if (known) {
		peer_set_terms(peer, MCP_LEGACY, version, session_id);
		learn(peer, result, span_get(result, "serverInfo"));
	}
	free(version);
	return known;
}

/* --- the steps ------------------------------------------------------------------------------- */

static bool has_tried(const struct peer *peer, enum open_step step)
{
	return (peer->open.tried & (1u << step)) != 0;
}

/* A peer of the other era does not know the method, the envelope or the path; other refusals, and
 * failures, say nothing of the era. */
bool upstream_tells_era(int status)
{
	return (status >= 200 && status < 300) || status == 400 || status == 404 || status == 405 ||
	       status == 406 || status == 415 || status == 422;
}

static void after_probe(struct peer *peer, int status)
{
	bool may_be_legacy = peer->open.connection->era == ERA_AUTO && upstream_tells_era(status) &&
			     !has_tried(peer, OPEN_INITIALIZE);

	if (peer->open.answered)
		peer_finish_opening(peer, NULL);
	else if (may_be_legacy)
		peer_run_step(peer, OPEN_FIND);
	else
		fail(peer, ERR_UPSTREAM,
		     "it does not answer server/discover as an MCP server would", status);
}

static void after_initialize(struct peer *peer, int status)
{
	bool may_be_modern = peer->open.connection->era == ERA_AUTO && upstream_tells_era(status) &&
			     !has_tried(peer, OPEN_PROBE);

	if (peer->open.answered)
		peer_run_step(peer, OPEN_INITIALIZED);
	else if (may_be_modern)
		peer_run_step(peer, OPEN_PROBE);
	else
		fail(peer, ERR_UPSTREAM, "it does not answer initialize as an MCP server would",
		     status);
}

static void step_done(struct peer *peer, int status)
{
	timer_stop(&peer->open.timer);
	switch (peer->open.step) {
	case OPEN_PROBE:
		after_probe(peer, status);
		break;
	case OPEN_INITIALIZE:
		after_initialize(peer, status);
		break;
	case OPEN_INITIALIZED:
		peer_run_step(peer, OPEN_SHARE);
		break;
	case OPEN_FIND:
	case OPEN_SHARE:
		break; /* these ask Postgres */
	}
}

static void on_lingered(void *ctx)
{
	struct peer *peer = ctx;

	post_cancel(&peer->open.post);
	step_done(peer, peer->open.status);
}

static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	struct peer *peer = ctx;
	int64_t id;

	if (peer->open.answered || message->kind != ENVELOPE_RESPONSE ||
	    message->result.p == NULL || span_int64(message->id, &id) < 0 || id != peer->open.id)
		return;
	if (peer->open.step == OPEN_PROBE)
		peer->open.answered = take_discovered(peer, message->result);
	else if (peer->open.step == OPEN_INITIALIZE)
		peer->open.answered = take_initialized(peer, message->result, head->session_id);
	if (!peer->open.answered)
		return;
	peer->open.status = head->status;
	timer_start(peer->upstreams->loop, &peer->open.timer, UPSTREAM_LINGER_MS, on_lingered,
		    peer);
}

static void on_done(void *ctx, const struct post_end *end, const struct err *err)
{
	struct peer *peer = ctx;

	if (peer->open.answered)
		step_done(peer, peer->open.status);
	else if (err == NULL && (end->status == 401 || end->status == 403))
		fail_refused(peer, end->status, end->challenge);
	else if (err == NULL)
		step_done(peer, end->status);
	else if (peer->open.step == OPEN_INITIALIZED)
		peer_run_step(peer, OPEN_SHARE); /* whatever it said to that: no answer is due */
	else
		peer_finish_opening(peer, err);
}

/* Never before whoever waits for it does. */
static void on_no_token(void *ctx)
{
	struct err err;

	err_set(&err, ERR_UNAUTHENTICATED, UPSTREAM_NO_TOKEN);
	peer_finish_opening(ctx, &err);
}

static void post_step(struct peer *peer, const struct compose_params *params)
{
	static const struct post_events events = { .message = on_message, .done = on_done };
	struct upstreams *upstreams = peer->upstreams;
	struct http_header headers[COMPOSE_MAX_HEADERS];
	struct upstream_token token;
	struct arena *arena;

	if (!peer_find_token(peer, peer->open.connection, &token)) {
		loop_defer(upstreams->loop, &peer->open.deferred, on_no_token, peer);
		return;
	}
	arena = arena_new();
	peer->open.token_version = token.version;
	peer->open.answered = false;
	post_start(&peer->open.post,
		   &(struct post_params){
			   .client = upstreams->client,
			   .tenant = peer->open.tenant,
			   .connection = peer->open.connection,
			   .body = buf_span(&peer->open.body),
			   .headers = headers,
			   .n_headers = compose_headers(params, arena, headers),
			   .authorization = token.authorization,
			   .timeout_ms = UPSTREAM_OPEN_TIMEOUT_MS,
		   },
		   &events, peer);
	arena_free(&arena);
}

static void probe(struct peer *peer)
{
	const struct compose_params params = {
		.era = MCP_MODERN,
		.version = MCP_MODERN_VERSION,
		.id = peer->open.id,
		.method = "server/discover",
	};

	if (compose_body(&params, &peer->open.body) < 0)
		abort(); /* nothing of it comes from outside */
	post_step(peer, &params);
}

static void initialize(struct peer *peer)
{
	const struct compose_params params = { .era = MCP_LEGACY, .method = "initialize" };

	compose_initialize(peer->open.id, &peer->open.body);
	post_step(peer, &params);
}

static void initialized(struct peer *peer)
{
	const struct compose_params params = {
		.era = MCP_LEGACY,
		.version = peer->terms.version,
		.session_id = peer->terms.session_id[0] != '\0' ? peer->terms.session_id : NULL,
		.method = "notifications/initialized",
	};

	buf_add(&peer->open.body, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	post_step(peer, &params);
}

/* --------------------------------------------------------------------------------------------- */

void peer_run_step(struct peer *peer, enum open_step step)
{
	static void (*const steps[])(struct peer * peer) = {
		[OPEN_PROBE] = probe,		[OPEN_FIND] = peer_find_shared,
		[OPEN_INITIALIZE] = initialize, [OPEN_INITIALIZED] = initialized,
		[OPEN_SHARE] = peer_share,
	};

	peer->open.step = step;
	peer->open.tried |= 1u << step;
	peer->open.id = peer->upstreams->next_id++;
	buf_clear(&peer->open.body);
	steps[step](peer);
}

/* What it was when it was last open or, says its catalog, listed spares the probe; a wrong verdict
 * shows at initialize. */
static enum open_step first_step(const struct peer *peer, const struct connection *connection)
{
	bool was_legacy = peer->known.opened
				  ? peer->known.era == MCP_LEGACY
				  : connection->listed && connection->listed_era == MCP_LEGACY;

	if (connection->era == ERA_LEGACY)
		return OPEN_FIND;
	return connection->era == ERA_AUTO && was_legacy && !peer->doubtful ? OPEN_FIND
									    : OPEN_PROBE;
}

void peer_open(struct peer *peer, struct tenant *tenant, const struct connection *connection)
{
	peer->state = PEER_OPENING;
	peer->round++;
	peer->open.tried = 0;
	peer->open.began_ms = loop_now_ms(peer->upstreams->loop);
	peer->open.look_ms = UPSTREAM_LOOK_MIN_MS;
	uuid_v4(peer->open.lease);
	peer->open.tenant = tenant_ref(tenant);
	peer->open.connection = connection;
	buf_init(&peer->open.body, COMPOSE_MAX_BYTES);
	peer_run_step(peer, first_step(peer, connection));
}
