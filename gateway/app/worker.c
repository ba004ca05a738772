/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/worker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "audit/book.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/url.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/home.h"
#include "gateway/app/node.h"
#include "gateway/app/pulse.h"
#include "gateway/app/spools.h"
#include "gateway/app/tokens.h"
#include "gateway/core/browser.h"
#include "gateway/core/cancels.h"
#include "gateway/core/connect.h"
#include "gateway/core/health.h"
#include "gateway/core/identity.h"
#include "gateway/core/keeper.h"
#include "gateway/core/probe.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/core/upstream.h"
#include "gateway/http/app.h"
#include "gateway/http/server.h"
#include "oauth/access.h"
#include "tokenstore/keyring.h"
#include "version.h"

#define DB_IDLE_MS	    60000
#define DB_MAX_QUEUED	    10000
#define DRAIN_OP_TIMEOUT_MS 30000
#define FLUSH_TIMEOUT_MS    5000
/* After the drain timeout, for the last answers and rows to leave. */
#define GRACE_MS 2000
/* A connection is closed by a drain only after it has been idle for longer than usual clients
 * keep one for reuse (undici 4 s, httpx 5 s): a request that crosses the close is lost. */
#define DRAIN_IDLE_MS 6000

enum worker_state {
	WORKER_STARTING, /* the deployment's settings are read */
	WORKER_SERVING,
	WORKER_DRAINING, /* no new connections; calls finish */
	WORKER_FLUSHING, /* the last rows go to Postgres */
};

struct worker {
	const struct worker_params *params;
	enum worker_state state;
	struct loop *loop;
	struct keyring *keyring;
	struct db *db;
	struct db *drain_db;
	struct node *node;
	struct meter *meter;
	struct spools *spools;
	struct pulse *pulse;
	struct identity *identity;
	struct tenants *tenants;
	struct sessions *sessions;
	struct cancels *cancels;
	struct subscriptions *subscriptions;
	struct upstreams *upstreams;
	struct healths *healths;
	struct probes *probes;
	struct keeper *keeper;
	struct tokens *tokens;
	struct browsers *browsers;
	struct connects *connects;
	struct gate gate;
	struct http_app app;
	struct http_server *server;
	struct loop_signal signals;
	struct timer drain_timer;
	struct book_flush *flush;
	int n_leaving; /* what has to be done before it may end; from DRAINING on */
	char node_id[UUID_TEXT_BYTES];
	char home[UUID_TEXT_BYTES];
	const char **hosts; /* for http_app: in the configuration's arena */
	size_t n_hosts;
	int exit_code;
};

static const struct log_subject subject = { .component = "worker" };

static void stop_with(struct worker *worker, int exit_code)
{
	worker->exit_code = exit_code;
	loop_stop(worker->loop);
}

static void on_tenant_changed(void *ctx, const char *tenant_id, struct tenant *tenant)
{
	struct worker *worker = ctx;

	identity_forget(worker->identity, tenant_id);
	healths_tenant_changed(worker->healths, tenant_id, tenant);
	subscriptions_changed(worker->subscriptions, tenant_id, tenant);
	if (worker->keeper != NULL)
		keeper_tenant_changed(worker->keeper, tenant_id, tenant);
	upstreams_tenant_changed(worker->upstreams, tenant_id, tenant);
	if (worker->tokens != NULL)
		access_tenant_loaded(tokens_access(worker->tokens), tenant_id);
}

/* An upstream that has moved must not see a token that was granted for where it was. */
static void on_settings_changed(void *ctx, const char *tenant_id, const char *connection_id)
{
	struct worker *worker = ctx;

	if (worker->tokens != NULL)
		access_doubt(tokens_access(worker->tokens), tenant_id, connection_id);
}

static void on_hint(void *ctx, const char *tenant_id)
{
	struct worker *worker = ctx;

	sessions_forget(worker->sessions, tenant_id);
	subscriptions_hint(worker->subscriptions, tenant_id);
	if (worker->keeper != NULL)
		keeper_look(worker->keeper);
}

static void on_cancel_hint(void *ctx, const char *tenant_id)
{
	struct worker *worker = ctx;

	cancels_look(worker->cancels, tenant_id);
}

static void on_grant_hint(void *ctx, const char *payload)
{
	struct worker *worker = ctx;

	tokens_hint(worker->tokens, payload);
	if (worker->keeper != NULL)
		keeper_grants_changed(worker->keeper, payload);
}

/* A worker of this gateway, not this one. */
static void on_ended(void *ctx)
{
	struct worker *worker = ctx;

	if (worker->tokens != NULL)
		access_look(tokens_access(worker->tokens));
}

static struct tenant *want_tenant(void *ctx, const char *tenant_id)
{
	struct worker *worker = ctx;

	return tenants_want(worker->tenants, tenant_id);
}

/* The last row is written, the connections that it watched are given back, no answer of an
 * authorization server is outstanding. */
static void on_left(void *ctx)
{
	struct worker *worker = ctx;

	if (--worker->n_leaving == 0)
		stop_with(worker, EXIT_OK);
}

static void flush(struct worker *worker)
{
	if (worker->state == WORKER_FLUSHING)
		return;
	worker->state = WORKER_FLUSHING;
	timer_stop(&worker->drain_timer);
	book_flush_start(spools_book(worker->spools), &worker->flush, FLUSH_TIMEOUT_MS, on_left,
			 worker);
}

static void on_grace_over(void *ctx)
{
	flush(ctx);
}

/* Everything that would run on: each ends as drained. */
static void end_what_runs(struct worker *worker)
{
	call_drain_all(&worker->gate);
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

static void on_signal(void *ctx, int signo)
{
	struct worker *worker = ctx;

	(void)signo;
	if (worker->state == WORKER_STARTING)
		stop_with(worker, EXIT_OK);
	if (worker->state != WORKER_SERVING)
		return;
	worker->state = WORKER_DRAINING;
	seat_of(worker)->state = BOARD_DRAINING;
	worker->n_leaving = 3;
	keeper_release(worker->keeper, on_left, worker);
	access_drain(tokens_access(worker->tokens), on_left, worker);
	timer_start(worker->loop, &worker->drain_timer, worker->params->config->drain_timeout_ms,
		    on_drain_timeout, worker);
	http_server_drain(worker->server, drain_idle_ms(worker), on_drained, worker);
	subscriptions_drain(worker->subscriptions);
}

static void serve(struct worker *worker)
{
	const struct config *config = worker->params->config;

	worker->server = http_server_new(&(struct http_server_params){
		.loop = worker->loop,
		.app = &worker->app,
		.routes = http_routes,
		.unrouted = http_unrouted,
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
	worker->state = WORKER_SERVING;
	seat_of(worker)->state = BOARD_SERVING;
	if (write(worker->params->ready_fd, "r", 1) != 1)
		log_warn(&subject, "the supervisor does not listen");
	close(worker->params->ready_fd);
}

/* What clients may call us: as configured, as public_url says, and by the literal addresses that
 * we listen on, which no foreign name can stand for. */
static void collect_hosts(struct worker *worker)
{
	const struct config *config = worker->params->config;
	struct url *url = arena_alloc(config->arena, sizeof(*url));
	struct err ignored; /* config_check has parsed it */

	worker->hosts =
		arena_alloc(config->arena, (config->n_allowed_hosts + 3) * sizeof(*worker->hosts));
	for (size_t i = 0; i < config->n_allowed_hosts; i++)
		worker->hosts[worker->n_hosts++] = config->allowed_hosts[i];
	worker->hosts[worker->n_hosts++] = config->listen;
	worker->hosts[worker->n_hosts++] = config->key_listen;
	if (url_parse(worker->params->public_url, url, &ignored) == 0)
		worker->hosts[worker->n_hosts++] = arena_printf(
			config->arena, strchr(url->host, ':') != NULL ? "[%s]:%u" : "%s:%u",
			url->host, url->port);
}

static int wire_tokens(struct worker *worker, const char *deployment, struct err *err)
{
	const struct config *config = worker->params->config;

	worker->tokens = tokens_new(
		&(struct tokens_params){
			.loop = worker->loop,
			.db = worker->db,
			.tenants = worker->tenants,
			.deployment = deployment,
			.node_id = worker->node_id,
			.data_dir = config->data_dir,
			.slot = worker->params->slot,
			.n_slots = worker->params->n_slots,
			.fsync = strcmp(config->durability, "fsync") == 0,
			.refresh_grace_ms = config->refresh_grace_ms,
			.stale_max_ms = config->stale_max_ms,
			.allow_http = config->development,
		},
		err);
	return worker->tokens != NULL ? 0 : -1;
}

/* What browsers come for. */
static void wire_connect(struct worker *worker, const char *deployment)
{
	const struct config *config = worker->params->config;
	const char *metadata_url = config->client_metadata_url;

	worker->browsers = browsers_new(worker->db, worker->identity);
	worker->connects = connects_new(&(struct connects_params){
		.loop = worker->loop,
		.db = worker->db,
		.tenants = worker->tenants,
		.access = tokens_access(worker->tokens),
		.probes = worker->probes,
		.deployment = deployment,
		.public_url = worker->params->public_url,
		.client_metadata_url = metadata_url[0] != '\0' ? metadata_url : NULL,
		.development = config->development,
	});
}

/* What every call goes through, whatever the connection. */
static void wire_core(struct worker *worker, const char *deployment)
{
	const struct config *config = worker->params->config;

	worker->identity = identity_new(worker->loop, worker->db, worker->keyring);
	worker->sessions = sessions_new(worker->loop, worker->db, config->stale_max_ms);
	worker->subscriptions = subscriptions_new(worker->loop, worker->db);
	worker->cancels = cancels_new(&(struct cancels_params){
		.loop = worker->loop,
		.db = worker->db,
		.list = call_list_cancellable,
		.cancelled = call_cancel_by_key,
		.ctx = &worker->gate,
	});
	worker->upstreams = upstreams_new(
		worker->loop, worker->db,
		&(struct upstream_credentials){ .find = tokens_find, .ctx = &worker->tokens });
	worker->healths = healths_new(worker->loop, worker->db);
	worker->probes = probes_new(worker->loop);
	worker->tenants = tenants_new(&(struct tenants_params){
		.loop = worker->loop,
		.db = worker->db,
		.conninfo = config->database_url,
		.keyring = worker->keyring,
		.deployment = deployment,
		.egress_loopback = config->development,
		.stale_max_ms = config->stale_max_ms,
		.settings_changed = on_settings_changed,
		.changed = on_tenant_changed,
		.hint = on_hint,
		.cancel_hint = on_cancel_hint,
		.grant_hint = on_grant_hint,
		.ctx = worker,
	});
}

/* What handlers find all of it by. */
static void wire_handlers(struct worker *worker, const char *deployment)
{
	worker->gate = (struct gate){
		.loop = worker->loop,
		.book = spools_book(worker->spools),
		.identity = worker->identity,
		.tenants = worker->tenants,
		.sessions = worker->sessions,
		.subscriptions = worker->subscriptions,
		.upstreams = worker->upstreams,
		.cancels = worker->cancels,
		.healths = worker->healths,
		.server_version = TOLLGATE_VERSION,
		.meter = worker->meter,
		.access = tokens_access(worker->tokens),
		.credentials = tokens_credentials(worker->tokens),
		.connects = worker->connects,
		.deployment = deployment,
	};
	worker->app = (struct http_app){
		.gate = &worker->gate,
		.board = worker->params->board,
		.db = worker->db,
		.keyring = worker->keyring,
		.probes = worker->probes,
		.browsers = worker->browsers,
		.connects = worker->connects,
		.access = tokens_access(worker->tokens),
		.acquires = tokens_acquires(worker->tokens),
		.deployment = deployment,
		.public_url = worker->params->public_url,
		.allowed_hosts = worker->hosts,
		.n_allowed_hosts = worker->n_hosts,
		.development = worker->params->config->development,
		.started_us = loop_unix_us(),
	};
}

static int wire(struct worker *worker, const char *deployment, struct err *err)
{
	collect_hosts(worker);
	wire_core(worker, deployment);
	if (wire_tokens(worker, deployment, err) < 0)
		return -1;
	wire_connect(worker, deployment);
	identity_follow(worker->identity, worker->tenants);
	upstreams_sweep(worker->upstreams, worker->tenants);
	worker->keeper = keeper_new(&(struct keeper_params){
		.loop = worker->loop,
		.db = worker->db,
		.upstreams = worker->upstreams,
		.credentials = tokens_credentials(worker->tokens),
		.healths = worker->healths,
		.meter = worker->meter,
		.node_id = worker->node_id,
		.want = want_tenant,
		.ctx = worker,
	});
	wire_handlers(worker, deployment);
	return 0;
}

/* Who this deployment is can only be asked of Postgres: nothing is served before. */
static void on_deployment(void *ctx, const char *deployment, const struct err *err)
{
	struct worker *worker = ctx;
	struct err problem;

	if (err == NULL && wire(worker, deployment, &problem) < 0)
		err = &problem;
	if (err != NULL) {
		log_error(&subject, "%s", err->text);
		stop_with(worker, EXIT_CONFIG);
		return;
	}
	serve(worker);
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
				    });
}

static int open_books(struct worker *worker, struct err *err)
{
	const struct config *config = worker->params->config;

	worker->spools = spools_open(
		&(struct spools_params){
			.loop = worker->loop,
			.db = worker->drain_db,
			.data_dir = config->data_dir,
			.node_id = worker->node_id,
			.slot = worker->params->slot,
			.n_slots = worker->params->n_slots,
			.max_bytes = (size_t)config->spool_max_bytes,
			.fsync = strcmp(config->durability, "fsync") == 0,
		},
		err);
	if (worker->spools == NULL)
		return -1;
	worker->meter = meter_new(worker->params->board->metrics, worker->params->seat);
	worker->pulse = pulse_new(&(struct pulse_params){
		.loop = worker->loop,
		.board = worker->params->board,
		.seat = seat_of(worker),
		.meter = worker->meter,
		.db = worker->db,
		.drain_db = worker->drain_db,
		.spools = worker->spools,
		.ended = on_ended,
		.ctx = worker,
	});
	return 0;
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
	worker->keyring = keyring_load(config->keyring_file, err);
	if (worker->keyring == NULL)
		return -1;
	if (home_load(config->data_dir, worker->home, err) < 0)
		return -1;
	uuid_v4(worker->node_id);
	worker->db = open_db(worker, config->database_url, (int)config->db_connections,
			     config->db_timeout_ms);
	worker->drain_db = open_db(worker, config->drain_database_url, 1, DRAIN_OP_TIMEOUT_MS);
	if (open_books(worker, err) < 0)
		return -1;
	worker->node = node_new(&(struct node_params){
		.loop = worker->loop,
		.db = worker->db,
		.keyring = worker->keyring,
		.id = worker->node_id,
		.home = worker->home,
		.slot = worker->params->slot,
		.known = on_deployment,
		.ctx = worker,
	});
	return 0;
}

static void close_all(struct worker *worker)
{
	book_flush_cancel(&worker->flush);
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
	keeper_free(&worker->keeper);
	connects_free(&worker->connects);
	browsers_free(&worker->browsers);
	tokens_free(&worker->tokens);
	tenants_free(&worker->tenants);
	subscriptions_free(&worker->subscriptions);
	healths_free(&worker->healths);
	probes_free(&worker->probes);
	upstreams_free(&worker->upstreams);
	cancels_free(&worker->cancels);
	sessions_free(&worker->sessions);
	identity_free(&worker->identity);
	node_free(&worker->node);
	pulse_free(&worker->pulse);
	spools_close(&worker->spools);
	meter_free(&worker->meter);
	db_free(&worker->drain_db);
	db_free(&worker->db);
	keyring_free(&worker->keyring);
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
