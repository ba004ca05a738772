/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "audit/book.h"
#include "audit/event_sealer.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "gateway/app/anchor_sink.h"
#include "gateway/app/audit_key.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/home.h"
#include "gateway/app/key_holder.h"
#include "gateway/app/node.h"
#include "gateway/app/pulse.h"
#include "gateway/app/retention.h"
#include "gateway/app/spools.h"
#include "gateway/app/telemetry.h"
#include "gateway/app/tokens.h"
#include "gateway/app/worker_priv.h"
#include "gateway/core/attempts.h"
#include "gateway/core/browser.h"
#include "gateway/core/call_flood.h"
#include "gateway/core/cancels.h"
#include "gateway/core/connect.h"
#include "gateway/core/health.h"
#include "gateway/core/identity.h"
#include "gateway/core/keeper.h"
#include "gateway/core/meters.h"
#include "gateway/core/probe.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/core/tool_labels.h"
#include "gateway/core/upstream.h"
#include "gateway/http/api_audit_streams.h"
#include "gateway/http/app.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/server.h"
#include "oauth/access.h"
#include "tokenstore/keyring.h"
#include "version.h"

#define DB_IDLE_MS    60000
#define DB_MAX_QUEUED 10000
/* Questions to the record: few at a time, however long they take, so that nothing else waits. */
#define AUDIT_CONNECTIONS   2
#define AUDIT_OP_TIMEOUT_MS 15000
#define DRAIN_OP_TIMEOUT_MS 30000
#define FLUSH_TIMEOUT_MS    5000
/* After the drain timeout, for the last answers and rows to leave. */
#define GRACE_MS 2000
/* A connection is closed by a drain only after it has been idle for longer than usual clients
 * keep one for reuse (undici 4 s, httpx 5 s): a request that crosses the close is lost. */
#define DRAIN_IDLE_MS 6000

static const struct log_subject subject = { .component = "worker" };

static void stop_with(struct worker *worker, int exit_code)
{
	worker->exit_code = exit_code;
	loop_stop(worker->loop);
}

/* A worker of this gateway, not this one. */
static void on_ended(void *ctx)
{
	struct worker *worker = ctx;

	if (worker->tokens != NULL)
		access_look(tokens_access(worker->tokens));
}

/* The last row is written, the connections that it watched are given back, no answer of an
 * authorization server is outstanding. */
static void on_left(void *ctx)
{
	struct worker *worker = ctx;

	if (--worker->n_leaving == 0)
		stop_with(worker, worker->exit_code);
}

static void flush(struct worker *worker)
{
	if (worker->state == WORKER_FLUSHING)
		return;
	worker->state = WORKER_FLUSHING;
	timer_stop(&worker->drain_timer);
	if (worker->flood != NULL)
		call_flood_flush(worker->flood);
	if (worker->attempts != NULL) {
		worker->n_leaving++;
		attempts_drain(worker->attempts, on_left, worker);
	}
	book_flush_start(spools_book(worker->spools), &worker->flush, FLUSH_TIMEOUT_MS, on_left,
			 worker);
	if (worker->tracing.otlp == NULL)
		return;
	worker->n_leaving++;
	otlp_flush_start(worker->tracing.otlp, &worker->spans, TELEMETRY_FLUSH_MS, on_left, worker);
}

static void on_grace_over(void *ctx)
{
	flush(ctx);
}

/* Everything that would run on: each ends as drained. */
static void end_what_runs(struct worker *worker)
{
	call_drain_all(&worker->gate);
	audit_streams_end(worker->audit_streams);
}

static void on_drain_timeout(void *ctx)
{
	struct worker *worker = ctx;

	log_warn(&subject, "%zu calls are ended: they did not finish in time",
		 call_count(&worker->gate));
	end_what_runs(worker);
	timer_start(worker->loop, &worker->drain_timer, GRACE_MS, on_grace_over, worker);
}

static void on_drained(void *ctx)
{
	flush(ctx);
}

static struct board_seat *seat_of(const struct worker *worker)
{
	return &worker->params->board->seats[worker->params->seat];
}

/* Nobody stands before a development gateway who would send its clients elsewhere. */
static int64_t drain_idle_ms(const struct worker *worker)
{
	return worker->params->config->development && worker->params->board->stopping
		       ? 0
		       : DRAIN_IDLE_MS;
}

/* Nothing was let in that could run on. */
static void leave_sealed(struct worker *worker)
{
	worker->state = WORKER_DRAINING;
	seat_of(worker)->state = BOARD_DRAINING;
	worker->n_leaving = 1;
	timer_start(worker->loop, &worker->drain_timer, worker->params->config->drain_timeout_ms,
		    on_grace_over, worker);
	http_server_drain(worker->server, drain_idle_ms(worker), on_drained, worker);
}

static void leave(struct worker *worker, int64_t idle_ms, int64_t timeout_ms, loop_cb *late)
{
	worker->state = WORKER_DRAINING;
	seat_of(worker)->state = BOARD_DRAINING;
	worker->n_leaving = 3;
	keeper_release(worker->keeper, on_left, worker);
	access_drain(tokens_access(worker->tokens), on_left, worker);
	timer_start(worker->loop, &worker->drain_timer, timeout_ms, late, worker);
	http_server_drain(worker->server, idle_ms, on_drained, worker);
	subscriptions_drain(worker->subscriptions);
	audit_streams_drain(worker->audit_streams);
}

/* Nothing is recorded here any more, so nothing is let through: what runs is answered 503, and
 * whoever comes after this process finds out whether the disk is well again. */
static void on_spool_failed(void *ctx)
{
	struct worker *worker = ctx;

	if (worker->state != WORKER_SERVING)
		return;
	log_error(&subject, "ends, to be replaced: its spool has failed");
	worker->exit_code = EXIT_UNEXPECTED;
	leave(worker, 0, GRACE_MS, on_grace_over);
	end_what_runs(worker);
}

static void on_signal(void *ctx, int signo)
{
	struct worker *worker = ctx;

	(void)signo;
	if (worker->state == WORKER_STARTING)
		stop_with(worker, EXIT_OK);
	if (worker->state == WORKER_SEALED)
		leave_sealed(worker);
	if (worker->state == WORKER_SERVING)
		leave(worker, drain_idle_ms(worker), worker->params->config->drain_timeout_ms,
		      on_drain_timeout);
}

static void serve(struct worker *worker, const struct route *routes,
		  void (*unrouted)(struct exchange *exchange, const char *allow))
{
	const struct config *config = worker->params->config;

	worker->server = http_server_new(&(struct http_server_params){
		.loop = worker->loop,
		.app = &worker->app,
		.routes = routes,
		.unrouted = unrouted,
		.refused = mcp_refused,
		.max_body_bytes = (size_t)config->max_body_bytes,
		.request_timeout_ms = config->request_timeout_ms,
		.trusted_proxies = config->trusted_proxies,
		.n_trusted_proxies = config->n_trusted_proxies,
		.meter = worker->meter,
	});
	for (int kind = 0; kind < N_LISTENERS; kind++) {
		http_server_listen(worker->server, worker->params->listeners[kind],
				   (enum listener_kind)kind);
		close(worker->params->listeners[kind]); /* the server has its own */
	}
	pulse_watch_server(worker->pulse, worker->server);
	seat_of(worker)->state = BOARD_SERVING;
	if (write(worker->params->ready_fd, "r", 1) != 1)
		log_warn(&subject, "the supervisor does not listen");
	close(worker->params->ready_fd);
}

/* The key that anchors are signed with follows from the keyring: the same for all gateways of the
 * deployment, and never in the database. */
static void sign_anchors(struct worker *worker)
{
	uint8_t seed[ED25519_SEED_BYTES];

	audit_key_seed(key_holder_keyring(worker->keys), seed);
	spools_set_signer(worker->spools, seed);
	mem_wipe(seed, sizeof(seed));
}

/* Who this deployment is can only be asked of Postgres: nothing is served before. */
static void on_deployment(void *ctx, const char *deployment, const struct err *err)
{
	struct worker *worker = ctx;
	struct err problem;

	if (worker->state == WORKER_DRAINING || worker->state == WORKER_FLUSHING)
		return;
	if (err == NULL && worker_wire(worker, deployment, &problem) < 0)
		err = &problem;
	if (err != NULL) {
		log_error(&subject, "%s", err->text);
		stop_with(worker, EXIT_CONFIG);
		return;
	}
	key_holder_open(worker->keys, worker->tenants);
	sign_anchors(worker);
	if (worker->state == WORKER_SEALED)
		http_server_reroute(worker->server, http_routes, http_unrouted);
	else
		serve(worker, http_routes, http_unrouted);
	worker->state = WORKER_SERVING;
}

static void on_wrong_keyring(void *ctx, enum board_seal seal)
{
	struct worker *worker = ctx;

	if (worker->state == WORKER_STARTING || worker->state == WORKER_SEALED)
		key_holder_seal(worker->keys, seal);
}

static void on_sealed(void *ctx)
{
	struct worker *worker = ctx;

	if (worker->state == WORKER_STARTING)
		serve(worker, http_sealed_routes, http_sealed);
	worker->state = WORKER_SEALED;
}

static void on_refused(void *ctx)
{
	stop_with(ctx, EXIT_CONFIG);
}

static void on_waited(void *ctx, int64_t ms)
{
	const struct worker *worker = ctx;

	meter_observe(worker->meter, METER_DB_WAIT_SECONDS, NULL, ms * 1000);
}

static struct db *open_db(struct worker *worker, const char *conninfo, int connections,
			  int64_t timeout_ms)
{
	return db_new(worker->loop, &(struct db_params){
					    .conninfo = conninfo,
					    .max_connections = connections,
					    .connect_timeout_ms = timeout_ms,
					    .op_timeout_ms = timeout_ms,
					    .idle_ms = DB_IDLE_MS,
					    .max_queued = DB_MAX_QUEUED,
					    .waited = on_waited,
					    .ctx = worker,
				    });
}

static void on_anchored(void *ctx, const struct chain_anchor *anchor)
{
	struct worker *worker = ctx;

	anchor_sink_add(worker->anchors, anchor);
}

static void open_anchors(struct worker *worker)
{
	const struct config *config = worker->params->config;
	char *file = audit_anchor_path(config);
	bool to_syslog = strcmp(config->audit_anchor_syslog, "true") == 0;

	worker->anchors = anchor_sink_new(&(struct anchor_sink_params){
		.loop = worker->loop,
		.file = file,
		.syslog_socket = to_syslog ? ANCHOR_SINK_SYSLOG : NULL,
		.meter = worker->meter,
	});
	free(file);
}

static int open_books(struct worker *worker, struct err *err)
{
	const struct config *config = worker->params->config;

	worker->meter = meter_new(worker->params->board->metrics, worker->params->seat);
	open_anchors(worker);
	worker->spools = spools_open(
		&(struct spools_params){
			.loop = worker->loop,
			.db = worker->drain_db,
			.data_dir = config->data_dir,
			.node_id = worker->node_id,
			.slot = worker->params->slot,
			.n_slots = worker->params->n_slots,
			.max_bytes = (size_t)config->spool_max_bytes,
			.min_free_bytes = (uint64_t)config->audit_spool_min_free,
			.fsync = strcmp(config->durability, "fsync") == 0,
			.anchored = on_anchored,
			.ctx = worker,
		},
		err);
	if (worker->spools == NULL)
		return -1;
	worker->pulse = pulse_new(&(struct pulse_params){
		.loop = worker->loop,
		.board = worker->params->board,
		.seat = seat_of(worker),
		.meter = worker->meter,
		.db = worker->db,
		.drain_db = worker->drain_db,
		.audit_db = worker->audit_db,
		.spools = worker->spools,
		.otlp = worker->tracing.otlp,
		.ended = on_ended,
		.failed = on_spool_failed,
		.ctx = worker,
	});
	return 0;
}

static void open_keyring(struct worker *worker)
{
	worker->keys = key_holder_new(&(struct key_holder_params){
		.loop = worker->loop,
		.path = worker->params->config->keyring_file,
		.board = worker->params->board,
		.seat = worker->params->seat,
		.meter = worker->meter,
		.sealed = on_sealed,
		.refused = on_refused,
		.ctx = worker,
	});
}

static int open_all(struct worker *worker, struct err *err)
{
	const struct config *config = worker->params->config;
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	worker->loop = loop_new();
	if (loop_signal_start(worker->loop, &worker->signals, &signals, on_signal, worker, err) < 0)
		return -1;
	if (home_load(config->data_dir, worker->home, err) < 0)
		return -1;
	uuid_v4(worker->node_id);
	worker->db = open_db(worker, config->database_url, (int)config->db_connections,
			     config->db_timeout_ms);
	worker->drain_db = open_db(worker, config->drain_database_url, 1, DRAIN_OP_TIMEOUT_MS);
	worker->audit_db =
		open_db(worker, config->database_url, AUDIT_CONNECTIONS, AUDIT_OP_TIMEOUT_MS);
	worker->audit_streams = audit_streams_new();
	if (telemetry_init(&worker->tracing, worker->loop, config, worker->node_id, err) < 0 ||
	    open_books(worker, err) < 0)
		return -1;
	worker_open_app(worker);
	open_keyring(worker);
	worker->node = node_new(&(struct node_params){
		.loop = worker->loop,
		.db = worker->db,
		.keyring = key_holder_keyring(worker->keys),
		.id = worker->node_id,
		.home = worker->home,
		.slot = worker->params->slot,
		.known = on_deployment,
		.sealed = on_wrong_keyring,
		.ctx = worker,
	});
	key_holder_follow(worker->keys, worker->node);
	return 0;
}

static void close_all(struct worker *worker)
{
	book_flush_cancel(&worker->flush);
	otlp_flush_cancel(&worker->spans);
	timer_stop(&worker->drain_timer);
	if (worker->loop != NULL)
		loop_signal_stop(&worker->signals);
	if (worker->pulse != NULL)
		pulse_watch_server(worker->pulse, NULL);
	http_server_free(&worker->server);
	if (worker->gate.loop != NULL) {
		call_drain_all(&worker->gate);
		call_abandon_all(&worker->gate);
	}
	if (worker->identity != NULL)
		identity_follow(worker->identity, NULL);
	if (worker->upstreams != NULL)
		upstreams_sweep(worker->upstreams, NULL);
	retention_free(&worker->retention);
	event_sealer_free(&worker->event_sealer);
	keeper_free(&worker->keeper);
	connects_free(&worker->connects);
	browsers_free(&worker->browsers);
	attempts_free(&worker->attempts);
	tokens_free(&worker->tokens);
	tenants_free(&worker->tenants);
	subscriptions_free(&worker->subscriptions);
	healths_free(&worker->healths);
	probes_free(&worker->probes);
	upstreams_free(&worker->upstreams);
	cancels_free(&worker->cancels);
	sessions_free(&worker->sessions);
	identity_free(&worker->identity);
	tool_labels_free(&worker->tool_labels);
	node_free(&worker->node);
	pulse_free(&worker->pulse);
	call_flood_free(&worker->flood);
	telemetry_fini(&worker->tracing);
	spools_close(&worker->spools);
	audit_streams_free(&worker->audit_streams);
	db_free(&worker->audit_db);
	anchor_sink_free(&worker->anchors);
	db_free(&worker->drain_db);
	db_free(&worker->db);
	meter_free(&worker->meter);
	key_holder_free(&worker->keys);
	loop_free(&worker->loop);
}

int worker_run(const struct worker_params *params)
{
	struct worker worker = { .params = params };
	struct err err;

	/* Keys and tokens are in this memory: no core dumps, no ptrace by the same user. */
	prctl(PR_SET_DUMPABLE, 0);
	signal(SIGPIPE, SIG_IGN);
	if (open_all(&worker, &err) < 0) {
		log_error(&subject, "%s", err.text);
		worker.exit_code = EXIT_CONFIG;
	} else {
		loop_run(worker.loop);
	}
	close_all(&worker);
	return worker.exit_code;
}
