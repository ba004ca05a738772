/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a probe: it begins within its limits, and leaves nothing. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "gateway/upstream/compose.h"
#include "gateway/upstream/probe_priv.h"

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

void probe_complete(struct probe *probe)
{
	probe->step = PROBE_DONE;
	loop_defer(probe->probes->loop, &probe->deferred, on_complete, probe);
}

int64_t probe_elapsed(struct probe *probe)
{
	int64_t now_ms = loop_now_ms(probe->probes->loop);
	int64_t ms = now_ms - probe->began_ms;

	probe->began_ms = now_ms;
	return ms;
}

void probe_conclude(struct probe *probe, const struct err *err)
{
	timer_stop(&probe->deadline);
	if (err != NULL) {
		probe->problem = *err;
		probe->report.problem = &probe->problem;
	}
	post_cancel(&probe->post);
	if (!probe->report.opened)
		probe->report.open_ms = probe_elapsed(probe);
	if (probe->terms.session_id[0] != '\0')
		probe_run_step(probe, PROBE_END);
	else
		probe_complete(probe);
}

static void on_deadline(void *ctx)
{
	struct probe *probe = ctx;
	struct err err;

	err_set(&err, ERR_TIMEOUT, "no answer to %s in time",
		probe->step == PROBE_DISCOVER ? "server/discover"
		: probe->step == PROBE_LIST   ? "tools/list"
					      : "initialize");
	probe_conclude(probe, &err);
}

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
	for (struct probe *probe = was->running, *next; probe != NULL; probe = next) {
		assert(probe->slot == NULL);
		next = probe->next;
		probe_free(probe);
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
		probe_complete(probe);
		return;
	}
	if (timeout_ms > PROBE_TIMEOUT_MS)
		timeout_ms = PROBE_TIMEOUT_MS;
	timer_start(probes->loop, &probe->deadline, timeout_ms, on_deadline, probe);
	probe_run_step(probe, connection->era == ERA_LEGACY ? PROBE_INITIALIZE : PROBE_DISCOVER);
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
	probe_conclude(probe, &err);
}
