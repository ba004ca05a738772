/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>
#include <utlist.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/tenant.h"
#include "oauth/access.h"

#define CHANNEL		"tollgate"
#define CANCEL_CHANNEL	"tollgate_cancel"
#define EVENT_CHANNEL	"tollgate_events"
#define LISTEN_RETRY_MS 100

/* One tenant in memory, on its way there, or waited for. */
struct entry {
	char id[UUID_TEXT_BYTES];
	struct tenants *tenants;
	struct tenant *tenant;	/* NULL until it was loaded once */
	struct db_op *load;	/* running */
	int64_t wanted_version; /* a version seen that the running load may have missed */
	int64_t confirmed_ms;	/* when Postgres last said that the snapshot is the newest */
	unsigned seen_in_poll;
	struct tenants_op *waiting; /* for the running load */
	/* Came while it ran, and may know of a change that it has missed: for the next. */
	struct tenants_op *later;
	struct tenants_op *telling; /* for the load that has just ended */
	UT_hash_handle hh;
};

struct tenants_op {
	struct tenants_op **slot;
	struct tenants_op **list; /* the one of its entry's that it is on */
	struct tenants_op *prev, *next;
	tenants_done *done;
	void *ctx;
};

struct tenants {
	struct tenants_params params;
	struct db_listener *listener;
	struct entry *entries;
	struct timer poll_timer;
	struct db_op *poll;
	bool poll_again; /* a hint came while the poll ran */
	unsigned polls;	 /* answered so far */
};

static void start_load(struct entry *entry);
static void start_poll(struct tenants *tenants);

static struct tenant_build build_of(const struct tenants *tenants)
{
	return (struct tenant_build){
		.keyring = tenants->params.keyring,
		.deployment = tenants->params.deployment,
		.egress_loopback = tenants->params.egress_loopback,
	};
}

static struct entry *entry_find(struct tenants *tenants, const char *tenant_id)
{
	struct entry *entry;

	HASH_FIND_STR(tenants->entries, tenant_id, entry);
	return entry;
}

static struct entry *entry_get(struct tenants *tenants, const char *tenant_id)
{
	struct entry *entry = entry_find(tenants, tenant_id);

	if (entry != NULL)
		return entry;
	entry = mem_new(sizeof(*entry));
	snprintf(entry->id, sizeof(entry->id), "%s", tenant_id);
	entry->tenants = tenants;
	HASH_ADD_STR(tenants->entries, id, entry);
	return entry;
}

static void entry_remove(struct entry *entry)
{
	struct tenants *tenants = entry->tenants;

	assert(entry->waiting == NULL && entry->later == NULL && entry->telling == NULL);
	db_cancel(&entry->load);
	HASH_DEL(tenants->entries, entry);
	tenant_unref(&entry->tenant);
	free(entry);
}

static void op_finish(struct tenants_op *op, struct tenant *tenant, const struct err *err)
{
	struct tenants_op was = *op;

	*op->slot = NULL;
	free(op);
	was.done(was.ctx, tenant, err);
}

/* Any of them may cancel others while it is told, and start anew: that waits for the next load. */
static void tell_waiting(struct entry *entry, struct tenant *tenant, const struct err *err)
{
	struct tenants_op *op;

	assert(entry->telling == NULL);
	entry->telling = entry->waiting;
	entry->waiting = NULL;
	DL_FOREACH(entry->telling, op)
	{
		op->list = &entry->telling;
	}
	while ((op = entry->telling) != NULL) {
		DL_DELETE(entry->telling, op);
		op_finish(op, tenant, err);
	}
}

static bool has_settings_of(const struct tenant *old, const struct connection *connection)
{
	for (size_t i = 0; old != NULL && i < old->n_connections; i++) {
		if (strcmp(old->connections[i].id, connection->id) == 0)
			return old->connections[i].settings_version == connection->settings_version;
	}
	return false;
}

static void tell_settings(const struct entry *entry, const struct tenant *tenant)
{
	const struct tenants_params *params = &entry->tenants->params;

	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		if (connection->auth_mode == AUTH_OAUTH &&
		    !has_settings_of(entry->tenant, connection))
			params->settings_changed(params->ctx, entry->id, connection->id);
	}
}

static void replace(struct entry *entry, struct tenant *tenant)
{
	struct tenants *tenants = entry->tenants;

	if (tenants->params.settings_changed != NULL)
		tell_settings(entry, tenant);
	tenant_unref(&entry->tenant);
	entry->tenant = tenant;
	tenants->params.changed(tenants->params.ctx, entry->id, tenant);
}

static void load_failed(struct entry *entry, const struct err *err)
{
	bool gone = err->code == ERR_NOT_FOUND;

	if (!gone)
		log_warn(&(struct log_subject){ .component = "config", .tenant = entry->id },
			 "the tenant cannot be loaded: %s", err->text);
	if (gone && entry->tenant != NULL)
		replace(entry, NULL);
	tell_waiting(entry, NULL, err);
	if (entry->later != NULL && entry->load == NULL)
		start_load(entry);
	/* A snapshot that is still there is served on for a while; the poll tries again. */
	if (entry->tenant == NULL && entry->waiting == NULL)
		entry_remove(entry);
}

static void on_loaded(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct entry *entry = ctx;
	struct tenant_build build = build_of(entry->tenants);
	struct tenant *tenant;
	struct err problem;

	if (err != NULL) {
		err_set(&problem, ERR_UNAVAILABLE, "the tenant cannot be read now: %s", err->text);
		load_failed(entry, &problem);
		return;
	}
	assert(n == TENANT_N_STATEMENTS);
	tenant = tenant_build(&build, results, &problem);
	if (tenant == NULL) {
		load_failed(entry, &problem);
		return;
	}
	entry->confirmed_ms = loop_now_ms(entry->tenants->params.loop);
	/* A poll that is under way may have looked before the tenant was there. */
	entry->seen_in_poll = entry->tenants->polls + (entry->tenants->poll != NULL ? 1 : 0);
	replace(entry, tenant_ref(tenant));
	tell_waiting(entry, tenant, NULL);
	if ((tenant->version < entry->wanted_version || entry->later != NULL) &&
	    entry->load == NULL)
		start_load(entry);
	tenant_unref(&tenant);
}

static void start_load(struct entry *entry)
{
	const struct db_setting setting = { "app.tenant", entry->id };
	const struct db_tx tx = {
		.settings = &setting,
		.n_settings = 1,
		.statements = tenant_statements,
		.n_statements = TENANT_N_STATEMENTS,
	};
	struct tenants_op *op;

	DL_FOREACH(entry->later, op)
	{
		op->list = &entry->waiting;
	}
	DL_CONCAT(entry->waiting, entry->later);
	entry->later = NULL;
	db_start(entry->tenants->params.db, &entry->load, &tx, on_loaded, entry);
}

static void see_version(struct tenants *tenants, const char *tenant_id, int64_t version)
{
	struct entry *entry = entry_find(tenants, tenant_id);

	if (entry == NULL)
		return;
	entry->seen_in_poll = tenants->polls;
	if (entry->tenant != NULL && entry->tenant->version >= version) {
		entry->confirmed_ms = loop_now_ms(tenants->params.loop);
		return;
	}
	entry->wanted_version = version;
	if (entry->load == NULL)
		start_load(entry);
}

/* Tenants that the poll did not name have gone. */
static void drop_missing(struct tenants *tenants)
{
	struct entry *entry;
	struct entry *next;

	HASH_ITER(hh, tenants->entries, entry, next)
	{
		if (entry->tenant == NULL || entry->seen_in_poll == tenants->polls)
			continue;
		replace(entry, NULL);
		if (entry->waiting == NULL && entry->later == NULL)
			entry_remove(entry);
	}
}

static void on_poll_timer(void *ctx)
{
	start_poll(ctx);
}

static void on_versions(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	struct tenants *tenants = ctx;

	timer_start(tenants->params.loop, &tenants->poll_timer, TENANT_POLL_MS, on_poll_timer,
		    tenants);
	if (err == NULL) {
		assert(n == 1);
		tenants->polls++;
		for (size_t i = 0; i < db_rows(results[0]); i++)
			see_version(tenants, db_text(results[0], i, "tenant_id"),
				    db_int(results[0], i, "config_version"));
		drop_missing(tenants);
	}
	if (tenants->poll_again) {
		tenants->poll_again = false;
		start_poll(tenants);
	}
}

static void start_poll(struct tenants *tenants)
{
	if (tenants->poll != NULL) {
		tenants->poll_again = true;
		return;
	}
	timer_stop(&tenants->poll_timer);
	db_query(tenants->params.db, &tenants->poll, NULL,
		 "SELECT tenant_id, config_version FROM tollgate.config_versions()", NULL, 0,
		 on_versions, tenants);
}

static void tell_cancel(const struct tenants *tenants, const char *tenant_id)
{
	if (tenants->params.cancel_hint != NULL)
		tenants->params.cancel_hint(tenants->params.ctx, tenant_id);
}

static void tell_grant(const struct tenants *tenants, const char *payload)
{
	if (tenants->params.grant_hint != NULL)
		tenants->params.grant_hint(tenants->params.ctx, payload);
}

static void tell_event(const struct tenants *tenants)
{
	if (tenants->params.event_hint != NULL)
		tenants->params.event_hint(tenants->params.ctx);
}

/* The payload is a tenant's id, but any SQL role can send one: it only makes us look. */
static void on_notified(void *ctx, const char *channel, const char *payload)
{
	struct tenants *tenants = ctx;

	if (strcmp(channel, CANCEL_CHANNEL) == 0) {
		tell_cancel(tenants, payload);
		return;
	}
	if (strcmp(channel, ACCESS_CHANNEL) == 0) {
		tell_grant(tenants, payload);
		return;
	}
	if (strcmp(channel, EVENT_CHANNEL) == 0) {
		tell_event(tenants);
		return;
	}
	tenants->params.hint(tenants->params.ctx, payload);
	start_poll(tenants);
}

static void on_connected(void *ctx)
{
	struct tenants *tenants = ctx;

	tenants->params.hint(tenants->params.ctx, NULL);
	tell_cancel(tenants, NULL);
	tell_grant(tenants, NULL);
	tell_event(tenants);
	start_poll(tenants);
}

struct tenants *tenants_new(const struct tenants_params *params)
{
	static const char *const channels[] = { CHANNEL, CANCEL_CHANNEL, ACCESS_CHANNEL,
						EVENT_CHANNEL };
	struct tenants *tenants = mem_new(sizeof(*tenants));

	assert(params->stale_max_ms > 0);
	tenants->params = *params;
	tenants->listener = db_listener_new(
		params->loop, &(struct db_listener_params){
				      .conninfo = params->conninfo,
				      .channels = channels,
				      .n_channels = sizeof(channels) / sizeof(channels[0]),
				      .retry_ms = LISTEN_RETRY_MS,
				      .notified = on_notified,
				      .connected = on_connected,
				      .ctx = tenants,
			      });
	start_poll(tenants);
	return tenants;
}

void tenants_free(struct tenants **tenants)
{
	struct entry *entry;
	struct entry *next;

	if (*tenants == NULL)
		return;
	timer_stop(&(*tenants)->poll_timer);
	db_cancel(&(*tenants)->poll);
	db_listener_free(&(*tenants)->listener);
	HASH_ITER(hh, (*tenants)->entries, entry, next)
	{
		entry_remove(entry);
	}
	free(*tenants);
	*tenants = NULL;
}

/* A newer version that cannot be loaded ends the trust in an older one just as silence does: what
 * was revoked must not be served on. */
static bool confirmed(const struct entry *entry)
{
	return loop_now_ms(entry->tenants->params.loop) - entry->confirmed_ms <=
	       entry->tenants->params.stale_max_ms;
}

struct tenant *tenants_find(struct tenants *tenants, const char *tenant_id)
{
	struct entry *entry = entry_find(tenants, tenant_id);

	if (entry == NULL || entry->tenant == NULL || !confirmed(entry))
		return NULL;
	return tenant_ref(entry->tenant);
}

void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx)
{
	struct tenants_op *op = mem_new(sizeof(*op));
	struct entry *entry = entry_get(tenants, tenant_id);

	assert(*slot == NULL);
	*op = (struct tenants_op){ .slot = slot, .list = &entry->later, .done = done, .ctx = ctx };
	DL_APPEND(entry->later, op);
	*slot = op;
	if (entry->load == NULL)
		start_load(entry);
}

void tenants_cancel(struct tenants_op **slot)
{
	struct tenants_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	DL_DELETE(*op->list, op);
	free(op);
}

struct tenant *tenants_want(struct tenants *tenants, const char *tenant_id)
{
	struct entry *entry = entry_get(tenants, tenant_id);

	if (entry->tenant != NULL)
		return tenant_ref(entry->tenant);
	if (entry->load == NULL)
		start_load(entry);
	return NULL;
}

void tenants_keys_changed(struct tenants *tenants)
{
	struct entry *entry;
	struct entry *next;

	HASH_ITER(hh, tenants->entries, entry, next)
	{
		/* A load that runs opens with the keys that are there when it ends. */
		if (entry->load == NULL && entry->tenant != NULL && entry->tenant->n_keys_shut > 0)
			start_load(entry);
	}
}

void tenants_each(struct tenants *tenants, void (*each)(void *ctx, struct tenant *tenant),
		  void *ctx)
{
	struct entry *entry;
	struct entry *next;

	HASH_ITER(hh, tenants->entries, entry, next)
	{
		if (entry->tenant != NULL)
			each(ctx, entry->tenant);
	}
}
