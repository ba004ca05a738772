/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/probe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/buf.h"
#include "gateway/upstream/compose.h"
#include "gateway/upstream/upstream_priv.h"

enum probe_step {
	PROBE_DISCOVER,
	PROBE_INITIALIZE,
	PROBE_INITIALIZED,
	PROBE_LIST,
	PROBE_END, /* DELETE, if there is a session */
	PROBE_DONE,
};

struct probe {
	struct probe **slot; /* NULL: nobody waits for the report any more */
	struct probe *prev, *next;
	struct probes *probes;
	struct http_client *client; /* its own, so that its connections go with it */
	struct tenant *tenant;
	struct connection connection;
	struct arena *arena;
	enum probe_step step;
	bool answered; /* the message that the step waits for has come */
	int64_t id;
	int64_t began_ms; /* the opening, then the listing */
	struct peer_terms terms;
	struct buf body;
	struct buf names;
	struct buf cursor; /* of the next page; empty: none */
	size_t n_pages;
	struct post *post;
	struct timer deadline;
	struct deferred deferred;
	struct probe_report report;
	struct err problem;
	probe_done *done;
	void *ctx;
};

struct probes {
	struct loop *loop;
	struct probe *running;
};

static void run_step(struct probe *probe, enum probe_step step);

/* --- the end --------------------------------------------------------------------------------- */

static void probe_free(struct probe *probe)
{
	timer_stop(&probe->deadline);
	deferred_cancel(&probe->deferred);
	post_cancel(&probe->post);
	http_client_free(&probe->client);
	tenant_unref(&probe->tenant);
	buf_fini(&probe->body);
	buf_fini(&probe->names);
	buf_fini(&probe->cursor);
	DL_DELETE(probe->probes->running, probe);
	arena_free(&probe->arena);
	free(probe);
}

/* From the loop: the HTTP client is not freed from inside one of its own callbacks. */
static void on_complete(void *ctx)
{
	struct probe *probe = ctx;

	if (probe->slot != NULL) {
		*probe->slot = NULL;
		probe->slot = NULL;
		probe->done(probe->ctx, &probe->report);
	}
	probe_free(probe);
}

static void complete(struct probe *probe)
{
	probe->step = PROBE_DONE;
	loop_defer(probe->probes->loop, &probe->deferred, on_complete, probe);
}

static int64_t elapsed(struct probe *probe)
{
	int64_t now_ms = loop_now_ms(probe->probes->loop);
	int64_t ms = now_ms - probe->began_ms;

	probe->began_ms = now_ms;
	return ms;
}

static void conclude(struct probe *probe, const struct err *err)
{
	timer_stop(&probe->deadline);
	if (err != NULL) {
		probe->problem = *err;
		probe->report.problem = &probe->problem;
	}
	post_cancel(&probe->post);
	if (!probe->report.opened)
		probe->report.open_ms = elapsed(probe);
	if (probe->terms.session_id[0] != '\0')
		run_step(probe, PROBE_END);
	else
		complete(probe);
}

static void fail(struct probe *probe, enum err_code code, const char *why, int status)
{
	struct err err;

	err_set(&err, code, "%s (HTTP %d)", why, status);
	conclude(probe, &err);
}

static void on_deadline(void *ctx)
{
	struct probe *probe = ctx;
	struct err err;

	err_set(&err, ERR_TIMEOUT, "no answer to %s in time",
		probe->step == PROBE_DISCOVER ? "server/discover"
		: probe->step == PROBE_LIST   ? "tools/list"
					      : "initialize");
	conclude(probe, &err);
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
	report->open_ms = elapsed(probe);
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
		run_step(probe, PROBE_LIST);
	else if (probe->connection.era == ERA_AUTO && upstream_tells_era(status))
		run_step(probe, PROBE_INITIALIZE);
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
		run_step(probe, PROBE_LIST);
		return;
	}
	report->complete = report->complete && probe->cursor.len == 0;
	report->listed = true;
	report->list_ms = elapsed(probe);
	buf_add(&probe->names, "]");
	report->tools = buf_span(&probe->names);
	conclude(probe, NULL);
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
			run_step(probe, PROBE_INITIALIZED);
		else
			fail(probe, ERR_UPSTREAM,
			     "it does not answer initialize as an MCP server would", end->status);
		break;
	case PROBE_INITIALIZED:
		run_step(probe, PROBE_LIST);
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
		run_step(probe, PROBE_LIST); /* no answer was due */
	else
		conclude(probe, err);
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
	complete(probe);
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

static void run_step(struct probe *probe, enum probe_step step)
{
	static void (*const steps[])(struct probe * probe) = {
		[PROBE_DISCOVER] = discover,	   [PROBE_INITIALIZE] = initialize,
		[PROBE_INITIALIZED] = initialized, [PROBE_LIST] = list,
		[PROBE_END] = end_session,
	};

	assert(step < PROBE_DONE);
	if (step < PROBE_END && probe->slot == NULL) {
		conclude(probe, NULL);
		return;
	}
	probe->step = step;
	probe->id++;
	buf_clear(&probe->body);
	steps[step](probe);
}

/* --------------------------------------------------------------------------------------------- */

struct probes *probes_new(struct loop *loop)
{
	struct probes *probes = mem_new(sizeof(*probes));

	probes->loop = loop;
	return probes;
}

void probes_free(struct probes **probes)
{
	struct probes *was = *probes;

	*probes = NULL;
	if (was == NULL)
		return;
	while (was->running != NULL) {
		assert(was->running->slot == NULL);
		probe_free(was->running);
	}
	free(was);
}

static char *copy(struct arena *arena, const char *text)
{
	return text == NULL ? NULL : arena_strdup(arena, text);
}

/* As far as speaking to it needs. */
static void copy_connection(struct probe *probe, const struct connection *from)
{
	struct arena *arena = probe->arena;
	struct connection *to = &probe->connection;

	*to = (struct connection){
		.id = copy(arena, from->id),
		.name = copy(arena, from->name),
		.url = copy(arena, from->url),
		.era = from->era,
		.auth_mode = from->auth_mode,
		.auth_header = copy(arena, from->auth_header),
		.headers = arena_alloc(arena, (from->n_headers + 1) * sizeof(*to->headers)),
		.n_headers = from->n_headers,
		.connect_timeout_ms = from->connect_timeout_ms,
		.call_timeout_ms = from->call_timeout_ms,
	};
	if (from->credential.reveal != NULL) {
		to->credential.reveal =
			arena_dup(arena, from->credential.reveal, from->credential.n);
		to->credential.n = from->credential.n;
	}
	for (size_t i = 0; i < from->n_headers; i++)
		to->headers[i] = (struct http_header){ copy(arena, from->headers[i].name),
						       copy(arena, from->headers[i].value) };
}

static bool is_over_limit(const struct probes *probes, const struct tenant *tenant)
{
	const struct probe *probe;
	size_t n = 0;
	size_t n_of_tenant = 0;

	DL_FOREACH(probes->running, probe)
	{
		if (probe->step == PROBE_DONE)
			continue;
		n++;
		n_of_tenant += strcmp(probe->tenant->id, tenant->id) == 0;
	}
	return n >= PROBE_MAX_RUNNING || n_of_tenant >= PROBE_MAX_OF_TENANT;
}

void probe_start(struct probes *probes, struct probe **slot, struct tenant *tenant,
		 const struct connection *connection, probe_done *done, void *ctx)
{
	bool over_limit = is_over_limit(probes, tenant);
	struct probe *probe = mem_new(sizeof(*probe));
	int64_t timeout_ms = connection->call_timeout_ms;

	assert(*slot == NULL);
	*slot = probe;
	*probe = (struct probe){
		.slot = slot,
		.probes = probes,
		.client = http_client_new(probes->loop),
		.tenant = tenant_ref(tenant),
		.arena = arena_new(),
		.began_ms = loop_now_ms(probes->loop),
		.report.complete = true,
		.done = done,
		.ctx = ctx,
	};
	copy_connection(probe, connection);
	buf_init(&probe->body, COMPOSE_MAX_BYTES);
	buf_init(&probe->names, PROBE_MAX_NAME_BYTES + 2);
	buf_init(&probe->cursor, PROBE_MAX_TEXT_BYTES);
	buf_add(&probe->names, "[");
	DL_APPEND(probes->running, probe);
	if (over_limit) {
		err_set(&probe->problem, ERR_UNAVAILABLE, "too many probes are running");
		probe->report.problem = &probe->problem;
		complete(probe);
		return;
	}
	if (timeout_ms > PROBE_TIMEOUT_MS)
		timeout_ms = PROBE_TIMEOUT_MS;
	timer_start(probes->loop, &probe->deadline, timeout_ms, on_deadline, probe);
	run_step(probe, connection->era == ERA_LEGACY ? PROBE_INITIALIZE : PROBE_DISCOVER);
}

void probe_cancel(struct probe **slot)
{
	struct probe *probe = *slot;
	struct err err;

	if (probe == NULL)
		return;
	*slot = NULL;
	probe->slot = NULL;
	/* It goes by itself; and a session that is being started can be ended once it is known. */
	if (probe->step >= PROBE_END || probe->step == PROBE_INITIALIZE)
		return;
	err_set(&err, ERR_CANCELLED, "nobody waits for it any more");
	conclude(probe, &err);
}
