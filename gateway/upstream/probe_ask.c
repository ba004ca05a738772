/* SPDX-License-Identifier: Apache-2.0 */
/* What a probe asks, and what it makes of the answers. */

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/probe_priv.h"

static void fail(struct probe *probe, enum err_code code, const char *why, int status)
{
	struct err err;

	err_set(&err, code, "%s (HTTP %d)", why, status);
	probe_conclude(probe, &err);
}

/* --- what it says ---------------------------------------------------------------------------- */

static struct span keep(struct probe *probe, struct span value, enum span_type type)
{
	value = span_trim(value);
	if (span_type(value) != type || value.n > PROBE_MAX_TEXT_BYTES)
		return (struct span){ 0 };
	return (struct span){ arena_dup(probe->arena, value.p, value.n), value.n };
}

static void take_terms(struct probe *probe, enum mcp_era era, const char *version,
		       struct span result, struct span server)
{
	struct probe_report *report = &probe->report;

	probe->terms.era = era;
	snprintf(probe->terms.version, sizeof(probe->terms.version), "%s", version);
	report->opened = true;
	report->era = era;
	report->protocol_version = probe->terms.version;
	report->server = keep(probe, server, SPAN_OBJECT);
	report->capabilities = keep(probe, span_get(result, "capabilities"), SPAN_OBJECT);
	report->instructions = keep(probe, span_get(result, "instructions"), SPAN_STRING);
	report->open_ms = probe_elapsed(probe);
}

static bool take_discovered(struct probe *probe, struct span result)
{
	if (!upstream_lists_modern(result))
		return false;
	take_terms(probe, MCP_MODERN, MCP_MODERN_VERSION, result,
		   span_get(span_get(result, "_meta"), MCP_META_SERVER));
	return true;
}

static bool take_initialized(struct probe *probe, struct span result, const char *session_id)
{
	struct buf version;
	bool known;

	buf_init(&version, UPSTREAM_VERSION_BYTES);
	known = span_string(span_get(result, "protocolVersion"), &version) == 0 &&
		mcp_legacy_known(buf_str(&version));
	/* Even of a version that we do not know: it has to be ended. */
	snprintf(probe->terms.session_id, sizeof(probe->terms.session_id), "%s", session_id);
	if (known)
		take_terms(probe, MCP_LEGACY, buf_str(&version), result,
			   span_get(result, "serverInfo"));
	buf_fini(&version);
	return known;
}

static void add_name(struct probe *probe, struct span name)
{
	name = span_trim(name);
	if (probe->names.len + name.n + 2 > PROBE_MAX_NAME_BYTES) {
		probe->report.complete = false;
		return;
	}
	buf_add(&probe->names, probe->names.len > 1 ? "," : "");
	buf_add_span(&probe->names, name);
}

static bool take_page(struct probe *probe, struct span result)
{
	struct span tools = span_get(result, "tools");
	struct span cursor = span_trim(span_get(result, "nextCursor"));
	struct span_iter iter;
	struct span key;
	struct span tool;

	if (span_type(tools) != SPAN_ARRAY)
		return false;
	span_iter_init(&iter, tools);
	while (span_next(&iter, &key, &tool)) {
		struct span name = span_get(tool, "name");

		if (span_type(name) != SPAN_STRING)
			return false;
		add_name(probe, name);
		probe->report.n_tools++;
	}
	buf_clear(&probe->cursor);
	if (span_type(cursor) == SPAN_STRING && buf_add_span(&probe->cursor, cursor) < 0)
		return false;
	probe->n_pages++;
	return true;
}

/* --- answers --------------------------------------------------------------------------------- */

static void after_discover(struct probe *probe, int status)
{
	if (probe->answered)
		probe_run_step(probe, PROBE_LIST);
	else if (probe->connection.era == ERA_AUTO && upstream_tells_era(status))
		probe_run_step(probe, PROBE_INITIALIZE);
	else
		fail(probe, ERR_UPSTREAM,
		     "it does not answer server/discover as an MCP server would", status);
}

static void after_list(struct probe *probe, int status)
{
	struct probe_report *report = &probe->report;

	if (!probe->answered) {
		fail(probe, ERR_UPSTREAM, "it does not answer tools/list", status);
		return;
	}
	if (probe->cursor.len > 0 && probe->n_pages < PROBE_MAX_PAGES) {
		probe_run_step(probe, PROBE_LIST);
		return;
	}
	report->complete = report->complete && probe->cursor.len == 0;
	report->listed = true;
	report->list_ms = probe_elapsed(probe);
	buf_add(&probe->names, "]");
	report->tools = buf_span(&probe->names);
	probe_conclude(probe, NULL);
}

static void step_done(struct probe *probe, const struct post_end *end)
{
	if (end->status == 401 || end->status == 403) {
		probe->report.refused = end->status;
		if (end->challenge[0] != '\0')
			probe->report.authenticate = arena_strdup(probe->arena, end->challenge);
		fail(probe, ERR_UNAUTHENTICATED, "it wants another credential", end->status);
		return;
	}
	switch (probe->step) {
	case PROBE_DISCOVER:
		after_discover(probe, end->status);
		break;
	case PROBE_INITIALIZE:
		if (probe->answered)
			probe_run_step(probe, PROBE_INITIALIZED);
		else
			fail(probe, ERR_UPSTREAM,
			     "it does not answer initialize as an MCP server would", end->status);
		break;
	case PROBE_INITIALIZED:
		probe_run_step(probe, PROBE_LIST);
		break;
	case PROBE_LIST:
		after_list(probe, end->status);
		break;
	case PROBE_END:
	case PROBE_DONE:
		break; /* these post nothing */
	}
}

static bool take_result(struct probe *probe, const struct post_end *head, struct span result)
{
	switch (probe->step) {
	case PROBE_DISCOVER:
		return take_discovered(probe, result);
	case PROBE_INITIALIZE:
		return take_initialized(probe, result, head->session_id);
	case PROBE_LIST:
		return take_page(probe, result);
	default:
		return false;
	}
}

/* The stream behind an answer is not waited for. */
static void on_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	struct probe *probe = ctx;
	const struct post_end end = *head;
	int64_t id;

	if (message->kind != ENVELOPE_RESPONSE || message->result.p == NULL ||
	    span_int64(message->id, &id) < 0 || id != probe->id)
		return;
	probe->answered = take_result(probe, head, message->result);
	post_cancel(&probe->post);
	step_done(probe, &end);
}

static void on_posted(void *ctx, const struct post_end *end, const struct err *err)
{
	struct probe *probe = ctx;

	if (err == NULL)
		step_done(probe, end);
	else if (probe->step == PROBE_INITIALIZED)
		probe_run_step(probe, PROBE_LIST); /* no answer was due */
	else
		probe_conclude(probe, err);
}

/* --- the steps ------------------------------------------------------------------------------- */

/* What is the same for all of them is added to how. */
static void request(struct probe *probe, struct post_params *how,
		    const struct compose_params *params, const struct post_events *events)
{
	struct http_header headers[COMPOSE_MAX_HEADERS];
	struct arena *arena = arena_new();

	probe->answered = false;
	how->client = probe->client;
	how->tenant = probe->tenant;
	how->connection = &probe->connection;
	how->headers = headers;
	how->n_headers = compose_headers(params, arena, headers);
	post_start(&probe->post, how, events, probe);
	arena_free(&arena);
}

static void post(struct probe *probe, const struct compose_params *params)
{
	static const struct post_events events = { .message = on_message, .done = on_posted };

	request(probe,
		&(struct post_params){ .body = buf_span(&probe->body),
				       .timeout_ms = PROBE_TIMEOUT_MS },
		params, &events);
}

static const char *session_of(const struct probe *probe)
{
	return probe->terms.session_id[0] != '\0' ? probe->terms.session_id : NULL;
}

static void compose(struct probe *probe, const struct compose_params *params)
{
	if (compose_body(params, &probe->body) < 0)
		abort(); /* what comes from outside in it is a cursor, which is bounded */
	post(probe, params);
}

static void discover(struct probe *probe)
{
	compose(probe, &(struct compose_params){ .era = MCP_MODERN,
						 .version = MCP_MODERN_VERSION,
						 .id = probe->id,
						 .method = "server/discover" });
}

static void initialize(struct probe *probe)
{
	compose_initialize(probe->id, &probe->body);
	post(probe, &(struct compose_params){ .era = MCP_LEGACY, .method = "initialize" });
}

static void initialized(struct probe *probe)
{
	buf_add(&probe->body, "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}");
	post(probe, &(struct compose_params){ .era = MCP_LEGACY,
					      .version = probe->terms.version,
					      .session_id = session_of(probe),
					      .method = "notifications/initialized" });
}

static void list(struct probe *probe)
{
	struct buf params;

	buf_init(&params, PROBE_MAX_TEXT_BYTES + 16);
	if (probe->cursor.len > 0)
		buf_printf(&params, "{\"cursor\":%s}", buf_str(&probe->cursor));
	compose(probe, &(struct compose_params){ .era = probe->terms.era,
						 .version = probe->terms.version,
						 .session_id = session_of(probe),
						 .id = probe->id,
						 .method = "tools/list",
						 .params = params.len > 0 ? buf_span(&params)
									  : (struct span){ 0 } });
	buf_fini(&params);
}

static void on_end_message(void *ctx, const struct post_end *head, const struct envelope *message)
{
	(void)ctx;
	(void)head;
	(void)message;
}

static void on_ended(void *ctx, const struct post_end *end, const struct err *err)
{
	struct probe *probe = ctx;
	bool ended = err == NULL && end->status >= 200 && end->status < 300;

	probe->report.session = ended ? PROBE_ENDED : PROBE_LEFT;
	probe_complete(probe);
}

/* MCP 2025-11-25, transports, session management: clients that no longer need a session should
 * say so with DELETE. */
static void end_session(struct probe *probe)
{
	static const struct post_events events = { .message = on_end_message, .done = on_ended };

	request(probe,
		&(struct post_params){ .method = "DELETE", .timeout_ms = PROBE_END_TIMEOUT_MS },
		&(struct compose_params){
			.era = MCP_LEGACY,
			.version = probe->terms.version[0] != '\0' ? probe->terms.version : NULL,
			.session_id = session_of(probe),
		},
		&events);
}

void probe_run_step(struct probe *probe, enum probe_step step)
{
	static void (*const steps[])(struct probe * probe) = {
		[PROBE_DISCOVER] = discover,	   [PROBE_INITIALIZE] = initialize,
		[PROBE_INITIALIZED] = initialized, [PROBE_LIST] = list,
		[PROBE_END] = end_session,
	};

	assert(step < PROBE_DONE);
	if (step < PROBE_END && probe->slot == NULL) {
		probe_conclude(probe, NULL);
		return;
	}
	probe->step = step;
	probe->id++;
	buf_clear(&probe->body);
	steps[step](probe);
}
