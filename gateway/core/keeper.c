/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/keeper.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/keeper_priv.h"

static const struct log_subject subject = { .component = "keeper" };

static void renew(void *ctx);

static struct lease *lease_find(const struct keeper *keeper, const char *tenant_id,
				const char *connection_id)
{
	struct lease_key key = { .tenant_id = "" };
	struct lease *lease;

	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", tenant_id);
	snprintf(key.connection_id, sizeof(key.connection_id), "%s", connection_id);
	HASH_FIND(hh, keeper->leases, &key, sizeof(key), lease);
	return lease;
}

static struct lease *lease_new(struct keeper *keeper, const char *tenant_id,
			       const char *connection_id)
{
	struct lease *lease = mem_new(sizeof(*lease));

	snprintf(lease->key.tenant_id, sizeof(lease->key.tenant_id), "%s", tenant_id);
	snprintf(lease->key.connection_id, sizeof(lease->key.connection_id), "%s", connection_id);
	lease->keeper = keeper;
	for (int kind = 0; kind < N_WATCHES; kind++)
		watch_init(&lease->watches[kind], lease, (enum watch_kind)kind);
	HASH_ADD(hh, keeper->leases, key, sizeof(lease->key), lease);
	return lease;
}

static void lease_free(struct lease *lease)
{
	for (int kind = 0; kind < N_WATCHES; kind++)
		watch_fini(&lease->watches[kind]);
	HASH_DEL(lease->keeper->leases, lease);
	free(lease);
}

static void lease_free_all(struct keeper *keeper)
{
	struct lease *lease;
	struct lease *next;

	HASH_ITER(hh, keeper->leases, lease, next)
	{
		lease_free(lease);
	}
}

struct keeper *keeper_new(const struct keeper_params *params)
{
	struct keeper *keeper = mem_new(sizeof(*keeper));

	keeper->params = *params;
	keeper->renewal_ms = loop_now_ms(params->loop) - KEEPER_LOOK_MS;
	keeper_look(keeper);
	keeper_accounts_start(keeper);
	return keeper;
}

static void stop(struct keeper *keeper)
{
	timer_stop(&keeper->renew_timer);
	timer_stop(&keeper->expiry_timer);
	db_cancel(&keeper->renewal);
	keeper_accounts_stop(keeper);
	lease_free_all(keeper);
}

void keeper_free(struct keeper **keeper)
{
	if (*keeper == NULL)
		return;
	stop(*keeper);
	free(*keeper);
	*keeper = NULL;
}

/* connection NULL: the tenant has it no more. */
static void lease_attach(struct lease *lease, struct tenant *tenant,
			 const struct connection *connection)
{
	watch_subject(&lease->watches[WATCH_TRIAL], tenant,
		      connection != NULL ? connection->trial : NULL);
	watch_subject(&lease->watches[WATCH_SERVING], tenant, connection);
}

static const struct connection *find_by_id(const struct tenant *tenant, const char *id)
{
	for (size_t i = 0; i < tenant->n_connections; i++) {
		if (strcmp(tenant->connections[i].id, id) == 0)
			return &tenant->connections[i];
	}
	return NULL;
}

void keeper_tenant_changed(struct keeper *keeper, const char *tenant_id, struct tenant *tenant)
{
	struct lease *lease;
	struct lease *next;

	keeper->change++;
	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		lease = lease_find(keeper, tenant_id, tenant->connections[i].id);
		if (lease == NULL)
			continue;
		lease->found = keeper->change;
		lease_attach(lease, tenant, &tenant->connections[i]);
	}
	HASH_ITER(hh, keeper->leases, lease, next)
	{
		if (strcmp(lease->key.tenant_id, tenant_id) == 0 && lease->found != keeper->change)
			lease_attach(lease, NULL, NULL);
	}
}

void keeper_grants_changed(struct keeper *keeper, const char *payload)
{
	struct lease *lease;
	struct lease *next;

	HASH_ITER(hh, keeper->leases, lease, next)
	{
		const char *tenant_id = lease->key.tenant_id;

		if (payload != NULL && strncmp(payload, tenant_id, strlen(tenant_id)) != 0)
			continue;
		for (int kind = 0; kind < N_WATCHES; kind++) {
			if (lease->watches[kind].needs_auth)
				watch_again(&lease->watches[kind]);
		}
	}
}

/* --- the lease ------------------------------------------------------------------------------- */

static void on_expired(void *ctx)
{
	struct keeper *keeper = ctx;

	if (keeper->leases != NULL)
		log_warn(&subject, "its leases could not be renewed: it watches nothing for now");
	lease_free_all(keeper);
}

static void refresh_asked(struct lease *lease, int64_t refresh)
{
	if (refresh <= lease->refresh)
		return;
	lease->refresh = refresh;
	for (int kind = 0; kind < N_WATCHES; kind++)
		watch_again(&lease->watches[kind]);
}

static void lease_take(struct keeper *keeper, const struct db_result *rows, size_t row)
{
	const char *tenant_id = db_text(rows, row, "tenant_id");
	const char *connection_id = db_text(rows, row, "connection_id");
	struct lease *lease = lease_find(keeper, tenant_id, connection_id);
	int64_t number = db_int(rows, row, "lease_number");
	int64_t refresh = db_int(rows, row, "refresh_wanted");
	struct tenant *tenant;

	/* It was lost and found again: what is under way belongs to the lease that was lost. */
	if (lease != NULL && lease->number != number) {
		lease_free(lease);
		lease = NULL;
	}
	if (lease == NULL) {
		lease = lease_new(keeper, tenant_id, connection_id);
		lease->number = number;
		lease->refresh = refresh;
	}
	lease->seen = keeper->round;
	refresh_asked(lease, refresh);
	if (lease->watches[WATCH_SERVING].connection != NULL)
		return;
	tenant = keeper->params.want(keeper->params.ctx, tenant_id);
	if (tenant != NULL)
		lease_attach(lease, tenant, find_by_id(tenant, connection_id));
	tenant_unref(&tenant);
}

static void drop_unseen(struct keeper *keeper)
{
	struct lease *lease;
	struct lease *next;

	HASH_ITER(hh, keeper->leases, lease, next)
	{
		if (lease->seen != keeper->round)
			lease_free(lease);
	}
}

static void on_renewed(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct keeper *keeper = ctx;
	struct loop *loop = keeper->params.loop;
	int64_t passed_ms = loop_now_ms(loop) - keeper->renewal_ms;

	timer_start(loop, &keeper->renew_timer,
		    err == NULL ? KEEPER_RENEW_MS : KEEPER_RENEW_SOON_MS, renew, keeper);
	if (err != NULL) {
		log_debug(&subject, "leases cannot be renewed: %s", err->text);
		return;
	}
	assert(n == 1);
	if (passed_ms >= KEEPER_LEASE_MS)
		return; /* who knows who has them now */
	/* It began to run when Postgres got the statement, so not before it was sent. */
	timer_start(loop, &keeper->expiry_timer, KEEPER_LEASE_MS - passed_ms, on_expired, keeper);
	keeper->round++;
	for (size_t i = 0; i < db_rows(results[0]); i++)
		lease_take(keeper, results[0], i);
	drop_unseen(keeper);
	if (keeper->look_again)
		keeper_look(keeper);
}

static void renew(void *ctx)
{
	struct keeper *keeper = ctx;
	char lease[32];
	char max[32];

	snprintf(lease, sizeof(lease), "%d milliseconds", KEEPER_LEASE_MS);
	snprintf(max, sizeof(max), "%d", KEEPER_MAX_WATCHED);

	const struct span params[] = { span_of(keeper->params.node_id), span_of(lease),
				       span_of(max) };

	keeper->look_again = false;
	keeper->renewal_ms = loop_now_ms(keeper->params.loop);
	db_query(keeper->params.db, &keeper->renewal, NULL,
		 "SELECT tenant_id, connection_id, lease_number, refresh_wanted"
		 " FROM tollgate.watch_connections($1::uuid, $2::interval, $3::bigint)",
		 params, sizeof(params) / sizeof(params[0]), on_renewed, keeper);
}

void keeper_look(struct keeper *keeper)
{
	int64_t now_ms = loop_now_ms(keeper->params.loop);
	int64_t due_ms = keeper->renewal_ms + KEEPER_LOOK_MS;

	if (keeper->state != KEEPER_WATCHING)
		return;
	if (keeper->renewal != NULL)
		keeper->look_again = true;
	else
		timer_start(keeper->params.loop, &keeper->renew_timer,
			    due_ms > now_ms ? due_ms - now_ms : 0, renew, keeper);
}

static void on_released(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	struct keeper *keeper = ctx;

	(void)results;
	(void)n;
	if (err != NULL)
		log_debug(&subject, "its leases cannot be given back: %s", err->text);
	keeper->state = KEEPER_RELEASED;
	keeper->released(keeper->released_ctx);
}

void keeper_release(struct keeper *keeper, loop_cb *done, void *ctx)
{
	const struct span id = span_of(keeper->params.node_id);

	assert(keeper->state == KEEPER_WATCHING);
	keeper->state = KEEPER_RELEASING;
	keeper->released = done;
	keeper->released_ctx = ctx;
	stop(keeper);
	db_query(keeper->params.db, &keeper->renewal, NULL,
		 "UPDATE tollgate.nodes SET lease_until = NULL WHERE id = $1::uuid", &id, 1,
		 on_released, keeper);
}
