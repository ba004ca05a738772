/* SPDX-License-Identifier: Apache-2.0 */
/* One upstream that is watched: listed, stored, listed again. */

#include <assert.h>
#include <string.h>

#include "base/log.h"
#include "gateway/core/health.h"
#include "gateway/core/keeper_priv.h"
#include "gateway/core/meters.h"

static void on_due(void *ctx);

static struct keeper *keeper_of(const struct connection_watch *watch)
{
	return watch->lease->keeper;
}

struct log_subject watch_log_subject(const struct connection_watch *watch)
{
	return (struct log_subject){
		.component = "keeper",
		.tenant = watch->tenant->name,
		.connection = watch->connection->name,
	};
}

enum up { UP_NO, UP_YES, UP_NOBODY_ASKS };

static void measure(const struct connection_watch *watch, enum up up)
{
	struct meter *meter = keeper_of(watch)->params.meter;
	const char *labels[2];

	if (watch->kind != WATCH_SERVING || watch->tenant == NULL)
		return;
	labels[0] = watch->tenant->name;
	labels[1] = watch->connection->name;
	if (up == UP_NOBODY_ASKS) {
		meter_gauge_end(meter, METER_CONNECTION_UP, labels);
		keeper_accounts_end(keeper_of(watch), labels[0], labels[1]);
		return;
	}
	meter_gauge(meter, METER_CONNECTION_UP, labels, up == UP_YES);
}

static bool is_busy(enum watch_state state)
{
	return state == WATCH_LISTING || state == WATCH_STORING;
}

static void watch_set(struct connection_watch *watch, enum watch_state state)
{
	keeper_of(watch)->n_busy -= is_busy(watch->state);
	watch->state = state;
	keeper_of(watch)->n_busy += is_busy(watch->state);
}

static void halt(struct connection_watch *watch)
{
	watch_set(watch, WATCH_STOPPED);
	timer_stop(&watch->timer);
	keeper_credential_cancel(&watch->credential);
	keeper_list_cancel(&watch->list);
	db_cancel(&watch->storing);
	watch_stream_stop(watch);
}

void watch_init(struct connection_watch *watch, struct lease *lease, enum watch_kind kind)
{
	watch->lease = lease;
	watch->kind = kind;
	keeper_list_init(&watch->list);
}

void watch_fini(struct connection_watch *watch)
{
	halt(watch);
	measure(watch, UP_NOBODY_ASKS);
	keeper_list_fini(&watch->list);
	tenant_unref(&watch->tenant);
}

int64_t watch_jittered(int64_t delay_ms)
{
	return delay_ms / 2 + crypto_chance(delay_ms / 2);
}

/* Doubles from the minimum to the maximum. */
int64_t watch_retry_ms(unsigned failures)
{
	int64_t delay = KEEPER_RETRY_MIN_MS;

	for (unsigned i = 1; i < failures && delay < KEEPER_RETRY_MAX_MS; i++)
		delay *= 2;
	if (delay > KEEPER_RETRY_MAX_MS)
		delay = KEEPER_RETRY_MAX_MS;
	return watch_jittered(delay);
}

static void rest(struct connection_watch *watch, int64_t delay_ms)
{
	struct loop *loop = keeper_of(watch)->params.loop;

	if (watch->wanted) {
		int64_t due_ms = watch->listed_ms + KEEPER_RELIST_MS - loop_now_ms(loop);

		delay_ms = due_ms > 0 ? due_ms : 0;
	}
	watch_set(watch, WATCH_RESTING);
	timer_start(loop, &watch->timer, delay_ms, on_due, watch);
}

/* --- storing --------------------------------------------------------------------------------- */

static struct keeper_place place_of(const struct connection_watch *watch)
{
	const struct lease *lease = watch->lease;
	/* While an edit is tried out it is that which a refresh is about. */
	bool answers = watch->connection->trial == NULL;

	return (struct keeper_place){
		.tenant_id = lease->key.tenant_id,
		.connection_id = lease->key.connection_id,
		.lease_number = lease->number,
		.settings_version = watch->connection->settings_version,
		.refresh = answers ? watch->refresh : 0,
	};
}

static void on_state_stored(void *ctx, const struct db_result *const *results, size_t n,
			    const struct err *err)
{
	struct connection_watch *watch = ctx;
	const struct log_subject subject = watch_log_subject(watch);

	(void)results;
	(void)n;
	if (err != NULL)
		log_warn(&subject, "the status cannot be stored: %s", err->text);
	if (watch->state == WATCH_STORING)
		rest(watch, watch->rest_ms);
}

static void store_problem(struct connection_watch *watch, const char *state, const char *text,
			  int64_t retry_ms)
{
	struct db *db = keeper_of(watch)->params.db;
	const struct keeper_problem problem = { place_of(watch), state, text, retry_ms };

	db_cancel(&watch->storing);
	if (watch->kind == WATCH_TRIAL)
		keeper_store_trial(db, &watch->storing, &problem, on_state_stored, watch);
	else
		keeper_store_state(db, &watch->storing, &problem, on_state_stored, watch);
}

static void listing_failed(struct connection_watch *watch, const struct err *err)
{
	const struct log_subject subject = watch_log_subject(watch);
	bool denied = err->code == ERR_UNAUTHENTICATED;

	measure(watch, UP_NO);
	watch->rest_ms = watch_retry_ms(++watch->failures);
	if (denied)
		watch->rest_ms = watch_jittered(KEEPER_AUTH_RETRY_MS);
	log_write(watch->failures == 1 ? LOG_INFO : LOG_DEBUG, &subject,
		  "its tools cannot be listed: %s; next try in %lld ms", err->text,
		  (long long)watch->rest_ms);
	watch_set(watch, WATCH_STORING);
	store_problem(watch, denied ? "auth_failed" : "unreachable", err->text, watch->rest_ms);
}

/* Nobody has connected it, or what was granted is good no more. Only a person can change that: no
 * hurry, and no question to the upstream. The tools that were listed stay: who calls one is asked
 * to connect. */
static void lacks_grant(struct connection_watch *watch, const char *why)
{
	const struct log_subject subject = watch_log_subject(watch);

	if (why == NULL)
		why = "not connected yet";
	measure(watch, UP_NO);
	log_write(watch->needs_auth ? LOG_DEBUG : LOG_INFO, &subject,
		  "its tools cannot be listed: %s", why);
	watch->needs_auth = true;
	watch->failures++;
	watch->rest_ms = watch_jittered(KEEPER_AUTH_RETRY_MS);
	watch_set(watch, WATCH_STORING);
	store_problem(watch, "needs_auth", why, -1);
}

static void on_catalog_stored(void *ctx, const struct db_result *const *results, size_t n,
			      const struct err *err)
{
	struct connection_watch *watch = ctx;
	const struct log_subject subject = watch_log_subject(watch);

	(void)results;
	(void)n;
	if (err != NULL) {
		log_warn(&subject, "the catalog cannot be stored: %s", err->text);
		rest(watch, watch_retry_ms(++watch->failures));
		return;
	}
	watch->failures = 0;
	watch->needs_auth = false;
	if (watch->kind == WATCH_SERVING)
		watch_stream_open(watch);
	rest(watch, KEEPER_POLL_MS);
}

static void store_catalog(struct connection_watch *watch)
{
	struct keeper *keeper = keeper_of(watch);
	const struct keeper_finding finding = {
		.place = place_of(watch),
		.tools = buf_span(&watch->list.tools),
		.n_tools = watch->list.n_tools,
		.facts = upstream_facts(keeper->params.upstreams, watch->lease->key.tenant_id,
					watch->connection, watch->list.subject),
	};

	/* Somebody who read a newer row has closed it: that row will be listed. */
	if (finding.facts == NULL) {
		rest(watch, KEEPER_RETRY_MIN_MS);
		return;
	}
	measure(watch, UP_YES);
	watch_set(watch, WATCH_STORING);
	db_cancel(&watch->storing);
	keeper_store_catalog(keeper->params.db, &watch->storing, &finding, on_catalog_stored,
			     watch);
	buf_clear(&watch->list.tools);
}

/* --- listing --------------------------------------------------------------------------------- */

static void on_listed(void *ctx, const struct err *err);

static struct keeper_credential_params credential_of(const struct connection_watch *watch)
{
	const struct keeper_params *params = &keeper_of(watch)->params;

	return (struct keeper_credential_params){ params->db, params->credentials, watch->tenant,
						  watch->connection };
}

static void list(struct connection_watch *watch)
{
	memcpy(watch->list.subject, watch->credential.subject, sizeof(watch->list.subject));
	keeper_list_start(&watch->list, keeper_of(watch)->params.upstreams, watch->tenant,
			  watch->connection, on_listed, watch);
}

static void on_credential(void *ctx, enum credential_state state, const char *why,
			  const struct err *err)
{
	struct connection_watch *watch = ctx;

	if (err != NULL)
		listing_failed(watch, err);
	else if (state == CREDENTIAL_READY)
		list(watch);
	else
		lacks_grant(watch, why);
}

/* Once: a token that is new and refused is not mended by another. */
static void grant_refused(struct connection_watch *watch, const struct err *err)
{
	const struct keeper_credential_params params = credential_of(watch);

	if (watch->list.refused_status == 403 || watch->renewed) {
		lacks_grant(watch, err->text);
		return;
	}
	watch->renewed = true;
	keeper_credential_renew(&watch->credential, &params, watch->list.refused_version,
				on_credential, watch);
}

static void on_listed(void *ctx, const struct err *err)
{
	struct connection_watch *watch = ctx;

	if (err == NULL)
		store_catalog(watch);
	else if (err->code == ERR_UNAUTHENTICATED && watch->connection->auth_mode == AUTH_OAUTH)
		grant_refused(watch, err);
	else
		listing_failed(watch, err);
}

static void begin_listing(struct connection_watch *watch)
{
	const struct keeper_credential_params params = credential_of(watch);

	watch->renewed = false;
	watch_set(watch, WATCH_LISTING);
	if (watch->connection->auth_mode == AUTH_OAUTH)
		keeper_credential_start(&watch->credential, &params, on_credential, watch);
	else
		list(watch);
}

/* With a stream that tells changes, all that a poll would find out is that it answers. */
static bool is_known_well(const struct connection_watch *watch)
{
	const struct keeper_params *params = &keeper_of(watch)->params;
	int64_t answer_ms = health_last_answer_ms(params->healths, watch->lease->key.tenant_id,
						  watch->connection);

	return !watch->wanted && watch->failures == 0 && watch->stream.state == STREAM_OPEN &&
	       answer_ms >= 0 && loop_now_ms(params->loop) - answer_ms < KEEPER_POLL_MS;
}

static void on_due(void *ctx)
{
	struct connection_watch *watch = ctx;
	struct keeper *keeper = keeper_of(watch);

	/* A tenant with thousands of connections must not crowd out calls. */
	if (keeper->n_busy >= KEEPER_MAX_BUSY) {
		watch_set(watch, WATCH_RESTING);
		timer_start(keeper->params.loop, &watch->timer, watch_jittered(KEEPER_CROWDED_MS),
			    on_due, watch);
		return;
	}
	watch->refresh = watch->lease->refresh;
	if (is_known_well(watch)) {
		const struct keeper_place place = place_of(watch);

		watch->rest_ms = KEEPER_POLL_MS;
		watch_set(watch, WATCH_STORING);
		keeper_store_well(keeper->params.db, &watch->storing, &place, on_state_stored,
				  watch);
		return;
	}
	watch->wanted = false;
	watch->listed_ms = loop_now_ms(keeper->params.loop);
	begin_listing(watch);
}

/* As it is now configured. */
static void begin(struct connection_watch *watch)
{
	const struct connection *connection = watch->connection;

	assert(connection != NULL && watch->tenant != NULL);
	watch->refresh = watch->lease->refresh;
	if (!connection->enabled || !watch->tenant->enabled) {
		if (watch->kind == WATCH_SERVING)
			store_problem(watch, "disabled", NULL, -1);
	} else if (connection->invalid != NULL) {
		store_problem(watch, "invalid", connection->invalid, -1);
	} else {
		watch->wanted = true;
		rest(watch, 0);
	}
}

void watch_again(struct connection_watch *watch)
{
	switch (watch->state) {
	case WATCH_STOPPED:
		if (watch->connection != NULL)
			begin(watch);
		break;
	case WATCH_RESTING:
		watch->wanted = true;
		rest(watch, 0);
		break;
	case WATCH_LISTING:
	case WATCH_STORING:
		watch->wanted = true;
		break;
	}
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What a listing depends on. The version covers what reaches the upstream, but not the tenant
 * around it: its egress policy, and the keys without which a row cannot be used. */
static bool is_as_watched(const struct connection_watch *watch, const struct tenant *tenant,
			  const struct connection *connection)
{
	const struct connection *old = watch->connection;

	return old != NULL && old->settings_version == connection->settings_version &&
	       old->enabled == connection->enabled && watch->tenant->enabled == tenant->enabled &&
	       same_text(old->invalid, connection->invalid) &&
	       egress_policy_id(watch->tenant->egress) == egress_policy_id(tenant->egress);
}

/* A running request keeps the snapshot it was started with, so a switch is safe at any time. */
static void switch_to(struct connection_watch *watch, struct tenant *tenant,
		      const struct connection *connection)
{
	struct tenant *old = watch->tenant;

	watch->tenant = tenant != NULL ? tenant_ref(tenant) : NULL;
	watch->connection = connection;
	tenant_unref(&old);
}

void watch_subject(struct connection_watch *watch, struct tenant *tenant,
		   const struct connection *connection)
{
	if (connection == NULL) {
		halt(watch);
		measure(watch, UP_NOBODY_ASKS);
		switch_to(watch, NULL, NULL);
	} else if (is_as_watched(watch, tenant, connection)) {
		switch_to(watch, tenant, connection);
	} else {
		halt(watch);
		switch_to(watch, tenant, connection);
		watch->failures = 0;
		watch->stream.failures = 0;
		begin(watch);
	}
}
