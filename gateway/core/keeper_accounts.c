/* SPDX-License-Identifier: Apache-2.0 */
/* How many accounts are connected: counted in Postgres by the one worker that watches a connection,
 * tenant by tenant, so that a sum over workers and machines counts each once. */

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/core/keeper_priv.h"
#include "gateway/core/meters.h"
#include "tokenstore/grant_store.h"

#define N_STATES (sizeof(states) / sizeof(states[0]))
#define NAMES	 3

static const enum grant_state states[] = { GRANT_ACTIVE, GRANT_NEEDS_REAUTH, GRANT_DISCONNECTED };

static const struct log_subject subject = { .component = "keeper" };

static void count_next(struct keeper *keeper);

static const struct connection_watch *serving(const struct lease *lease)
{
	const struct connection_watch *watch = &lease->watches[WATCH_SERVING];

	return watch->tenant != NULL && watch->connection->auth_mode == AUTH_OAUTH ? watch : NULL;
}

/* The next tenant in the order of their ids, or NULL. */
static const char *next_tenant(const struct keeper *keeper)
{
	const char *found = NULL;

	for (const struct lease *lease = keeper->leases; lease != NULL; lease = lease->hh.next) {
		const char *id = lease->key.tenant_id;

		if (serving(lease) != NULL && strcmp(id, keeper->accounts.tenant_id) > 0 &&
		    (found == NULL || strcmp(id, found) < 0))
			found = id;
	}
	return found;
}

static int64_t count_of(const struct db_result *rows, const char *connection_id, const char *state)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		if (strcmp(db_text(rows, i, "connection_id"), connection_id) == 0 &&
		    strcmp(db_text(rows, i, "state"), state) == 0)
			return db_int(rows, i, "n");
	}
	return 0;
}

static void tell(const struct keeper *keeper, const struct lease *lease,
		 const struct db_result *rows)
{
	const struct connection_watch *watch = serving(lease);

	if (watch == NULL || strcmp(lease->key.tenant_id, keeper->accounts.tenant_id) != 0)
		return;
	for (size_t i = 0; i < N_STATES; i++) {
		const char *state = grant_state_name(states[i]);
		const char *const labels[NAMES] = { watch->tenant->name, watch->connection->name,
						    state };

		meter_gauge(keeper->params.meter, METER_ACCOUNTS, labels,
			    count_of(rows, lease->key.connection_id, state));
	}
}

static void on_counted(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct keeper *keeper = ctx;

	(void)n;
	if (err != NULL)
		log_debug(&subject, "accounts cannot be counted: %s", err->text);
	for (const struct lease *lease = keeper->leases; err == NULL && lease != NULL;
	     lease = lease->hh.next)
		tell(keeper, lease, results[0]);
	count_next(keeper);
}

static void on_round(void *ctx)
{
	struct keeper *keeper = ctx;

	keeper->accounts.tenant_id[0] = '\0';
	count_next(keeper);
}

static void count_next(struct keeper *keeper)
{
	static const char sql[] = "SELECT connection_id, state, count(*) AS n FROM tollgate.grants"
				  " WHERE tenant_id = current_setting('app.tenant')::uuid"
				  " GROUP BY connection_id, state";
	struct keeper_accounts *accounts = &keeper->accounts;
	const char *tenant_id = next_tenant(keeper);
	struct db_setting setting = { "app.tenant", accounts->tenant_id };

	if (tenant_id == NULL) {
		timer_start(keeper->params.loop, &accounts->timer, KEEPER_ACCOUNTS_MS, on_round,
			    keeper);
		return;
	}
	snprintf(accounts->tenant_id, sizeof(accounts->tenant_id), "%s", tenant_id);
	db_query(keeper->params.db, &accounts->query, &setting, sql, NULL, 0, on_counted, keeper);
}

void keeper_accounts_start(struct keeper *keeper)
{
	if (keeper->params.meter != NULL)
		timer_start(keeper->params.loop, &keeper->accounts.timer, KEEPER_ACCOUNTS_MS / 10,
			    on_round, keeper);
}

void keeper_accounts_stop(struct keeper *keeper)
{
	timer_stop(&keeper->accounts.timer);
	db_cancel(&keeper->accounts.query);
}

void keeper_accounts_end(struct keeper *keeper, const char *tenant, const char *connection)
{
	for (size_t i = 0; i < N_STATES; i++)
		meter_gauge_end(
			keeper->params.meter, METER_ACCOUNTS,
			(const char *const[]){ tenant, connection, grant_state_name(states[i]) });
}
