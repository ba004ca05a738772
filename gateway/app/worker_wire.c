/* SPDX-License-Identifier: Apache-2.0 */

/* What a worker consists of, and which part of it tells which. */

#include <stdio.h>
#include <string.h>

#include "audit/event_sealer.h"
#include "gateway/app/audit_key.h"
#include "gateway/app/hosts.h"
#include "gateway/app/key_holder.h"
#include "gateway/app/retention.h"
#include "gateway/app/spools.h"
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
#include "gateway/core/probe.h"
#include "gateway/core/session.h"
#include "gateway/core/subscription.h"
#include "gateway/core/tenant.h"
#include "gateway/core/tool_labels.h"
#include "gateway/core/upstream.h"
#include "oauth/access.h"
#include "version.h"

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

static void on_event_hint(void *ctx)
{
	struct worker *worker = ctx;

	if (worker->event_sealer != NULL)
		event_sealer_hint(worker->event_sealer);
}

static struct tenant *want_tenant(void *ctx, const char *tenant_id)
{
	struct worker *worker = ctx;

	return tenants_want(worker->tenants, tenant_id);
}

static int wire_tokens(struct worker *worker, const char *deployment, struct err *err)
{
	const struct config *config = worker->params->config;

	worker->tokens = tokens_new(
		&(struct tokens_params){
			.loop = worker->loop,
			.db = worker->db,
			.tenants = worker->tenants,
			.meter = worker->meter,
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

	worker->browsers = browsers_new(worker->db, worker->identity, worker->attempts);
	worker->connects = connects_new(&(struct connects_params){
		.loop = worker->loop,
		.db = worker->db,
		.tenants = worker->tenants,
		.access = tokens_access(worker->tokens),
		.probes = worker->probes,
		.meter = worker->meter,
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

	worker->tool_labels = tool_labels_new();
	worker->identity = identity_new(worker->loop, worker->db, key_holder_keyring(worker->keys));
	worker->attempts = attempts_new(worker->loop, worker->db, worker->node_id);
	worker->flood = call_flood_new(worker->loop, spools_book(worker->spools));
	worker->sessions = sessions_new(worker->loop, worker->db, config->stale_max_ms);
	sessions_measure(worker->sessions, worker->meter);
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
		.keyring = key_holder_keyring(worker->keys),
		.deployment = deployment,
		.egress_loopback = config->development,
		.stale_max_ms = config->stale_max_ms,
		.settings_changed = on_settings_changed,
		.changed = on_tenant_changed,
		.hint = on_hint,
		.cancel_hint = on_cancel_hint,
		.grant_hint = on_grant_hint,
		.event_hint = on_event_hint,
		.ctx = worker,
	});
}

/* What one worker of a gateway does for all, and the gateways take turns at. */
static void wire_seals(struct worker *worker)
{
	const struct config *config = worker->params->config;
	uint8_t seed[ED25519_SEED_BYTES];

	if (worker->params->slot != 0)
		return;
	worker->event_sealer = event_sealer_new(&(struct event_sealer_params){
		.loop = worker->loop,
		.db = worker->db,
		.book = spools_book(worker->spools),
	});
	audit_key_seed(key_holder_keyring(worker->keys), seed);
	worker->retention = retention_new(&(struct retention_params){
		.loop = worker->loop,
		.conninfo = config->database_url,
		.sink = worker->anchors,
		.meter = worker->meter,
		.seed = seed,
		.call_days = config->audit_retention_days,
		.payload_days = config->audit_payload_retention_days,
		.first_ms = RETENTION_FIRST_MS,
		.sweep_ms = RETENTION_SWEEP_MS,
		.sink_wait_ms = RETENTION_SINK_MS,
	});
	mem_wipe(seed, sizeof(seed));
}

/* What handlers find all of it by: what they are given before, sealed, and all else. */
static void wire_handlers(struct worker *worker, const char *deployment)
{
	worker->gate = (struct gate){
		.loop = worker->loop,
		.book = spools_book(worker->spools),
		.flood = worker->flood,
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
		.tracing = &worker->tracing,
		.tool_labels = worker->tool_labels,
	};
	worker->app.gate = &worker->gate;
	worker->app.db = worker->db;
	worker->app.audit_db = worker->audit_db;
	worker->app.audit_streams = worker->audit_streams;
	worker->app.keyring = key_holder_keyring(worker->keys);
	worker->app.probes = worker->probes;
	worker->app.browsers = worker->browsers;
	worker->app.connects = worker->connects;
	worker->app.access = tokens_access(worker->tokens);
	worker->app.acquires = tokens_acquires(worker->tokens);
	worker->app.deployment = deployment;
	worker->app.attempts = worker->attempts;
	worker->app.node_id = worker->node_id;
}

int worker_wire(struct worker *worker, const char *deployment, struct err *err)
{
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
	wire_seals(worker);
	wire_handlers(worker, deployment);
	return 0;
}

/* What is answered with, sealed or not. */
void worker_open_app(struct worker *worker)
{
	worker->hosts =
		hosts_collect(worker->params->config, worker->params->public_url, &worker->n_hosts);
	worker->app = (struct http_app){
		.loop = worker->loop,
		.board = worker->params->board,
		.meter = worker->meter,
		.public_url = worker->params->public_url,
		.allowed_hosts = worker->hosts,
		.n_allowed_hosts = worker->n_hosts,
		.development = worker->params->config->development,
		.started_us = loop_unix_us(),
	};
}
