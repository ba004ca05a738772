/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/health.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/log.h"
#include "base/mem.h"

#define TENANT "current_setting('app.tenant')::uuid"

struct health_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
};

/* What all workers have been told last. */
enum health_word { WORD_WELL, WORD_FAILING };

struct health {
	struct health_key key;
	struct healths *healths;
	int64_t settings_version;
	struct breaker breaker;
	unsigned failures;	/* in a row */
	int64_t failed_ms;	/* when the last of them was */
	int64_t last_answer_ms; /* -1: never */
	char last_error[sizeof(((struct err *)NULL)->text)];
	unsigned seen; /* the round in which its tenant still had it */
	/* The word. */
	enum health_word told;
	bool news; /* something has happened that was not told */
	int64_t told_ms;
	struct timer timer;
	struct db_op *telling;
	UT_hash_handle hh;
};

struct health_op {
	struct health_op **slot;
	struct healths *healths;
	struct health_key key;
	struct db_op *query;
	health_asked *done;
	void *ctx;
};

struct healths {
	struct loop *loop;
	struct db *db;
	struct health *all;
	unsigned round;
};

struct healths *healths_new(struct loop *loop, struct db *db)
{
	struct healths *healths = mem_new(sizeof(*healths));

	*healths = (struct healths){ .loop = loop, .db = db };
	return healths;
}

static void health_free(struct health *health)
{
	timer_stop(&health->timer);
	db_cancel(&health->telling);
	HASH_DEL(health->healths->all, health);
	free(health);
}

void healths_free(struct healths **healths)
{
	struct health *health;
	struct health *next;

	if (*healths == NULL)
		return;
	HASH_ITER(hh, (*healths)->all, health, next)
	{
		health_free(health);
	}
	free(*healths);
	*healths = NULL;
}

static struct health_key key_of(const char *tenant_id, const char *connection_id)
{
	struct health_key key = { .tenant_id = "" };

	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", tenant_id);
	snprintf(key.connection_id, sizeof(key.connection_id), "%s", connection_id);
	return key;
}

static struct health *find(const struct healths *healths, const struct health_key *key)
{
	struct health *health;

	HASH_FIND(hh, healths->all, key, sizeof(*key), health);
	return health;
}

/* New settings are a new upstream: what was learnt of the old one says nothing. */
static void reset(struct health *health, int64_t settings_version)
{
	timer_stop(&health->timer);
	db_cancel(&health->telling);
	health->settings_version = settings_version;
	health->breaker = (struct breaker){ 0 };
	health->failures = 0;
	health->last_answer_ms = -1;
	health->last_error[0] = '\0';
	health->told = WORD_WELL;
	health->news = false;
	health->told_ms = INT64_MIN / 2;
}

static struct health *get(struct healths *healths, const struct tenant *tenant,
			  const struct connection *connection)
{
	const struct health_key key = key_of(tenant->id, connection->id);
	struct health *health = find(healths, &key);

	if (health == NULL) {
		health = mem_new(sizeof(*health));
		health->key = key;
		health->healths = healths;
		health->seen = healths->round;
		reset(health, connection->settings_version);
		HASH_ADD(hh, healths->all, key, sizeof(health->key), health);
	} else if (health->settings_version < connection->settings_version) {
		reset(health, connection->settings_version);
	}
	return health;
}

/* NULL for a call that went with settings which have been superseded since. */
static struct health *find_current(const struct healths *healths, const struct tenant *tenant,
				   const struct connection *connection)
{
	const struct health_key key = key_of(tenant->id, connection->id);
	struct health *health = find(healths, &key);

	return health != NULL && health->settings_version == connection->settings_version ? health
											  : NULL;
}

void healths_tenant_changed(struct healths *healths, const char *tenant_id,
			    const struct tenant *tenant)
{
	struct health *health;
	struct health *next;

	healths->round++;
	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		const struct health_key key = key_of(tenant->id, tenant->connections[i].id);

		health = find(healths, &key);
		if (health != NULL)
			health->seen = healths->round;
	}
	HASH_ITER(hh, healths->all, health, next)
	{
		if (strcmp(health->key.tenant_id, tenant_id) == 0 && health->seen != healths->round)
			health_free(health);
	}
}

enum breaker_verdict health_admit(struct healths *healths, const struct tenant *tenant,
				  const struct connection *connection,
				  struct health_refusal *refusal)
{
	struct health *health = get(healths, tenant, connection);
	int64_t now_ms = loop_now_ms(healths->loop);
	enum breaker_verdict verdict;

	if (health->settings_version != connection->settings_version)
		return BREAKER_PASS;
	verdict = breaker_admit(&health->breaker, now_ms);
	if (verdict == BREAKER_REFUSE) {
		refusal->retry_ms = health->breaker.probe_at_ms > now_ms
					    ? health->breaker.probe_at_ms - now_ms
					    : BREAKER_PROBE_MS;
		refusal->failures = breaker_failures(&health->breaker);
		snprintf(refusal->last_error, sizeof(refusal->last_error), "%s",
			 health->last_error);
	}
	return verdict;
}

/* --- the probe ------------------------------------------------------------------------------- */

static void put_back(const struct healths *healths, const struct health_key *key, int64_t delay_ms)
{
	struct health *health = find(healths, key);

	if (health != NULL)
		breaker_put_back(&health->breaker, loop_now_ms(healths->loop), delay_ms);
}

/* Without Postgres each worker probes for itself. */
static void on_asked(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct health_op *op = ctx;
	struct health_op was = *op;
	bool granted = err != NULL || db_affected(results[n - 1]) == 1;

	*op->slot = NULL;
	free(op);
	if (!granted)
		put_back(was.healths, &was.key, BREAKER_PROBE_MS);
	was.done(was.ctx, granted);
}

void health_ask_start(struct healths *healths, struct health_op **slot, const struct tenant *tenant,
		      const struct connection *connection, health_asked *done, void *ctx)
{
	const struct db_setting setting = { "app.tenant", tenant->id };
	struct health_op *op = mem_new(sizeof(*op));
	const struct span id = span_of(connection->id);

	assert(*slot == NULL);
	*op = (struct health_op){ .slot = slot,
				  .healths = healths,
				  .key = key_of(tenant->id, connection->id),
				  .done = done,
				  .ctx = ctx };
	*slot = op;
	_Static_assert(BREAKER_PROBE_MS == 1000, "the statement says a second");
	db_query(healths->db, &op->query, &setting,
		 "UPDATE tollgate.connection_status SET probed_at = now() WHERE tenant_id = " TENANT
		 " AND connection_id = $1::uuid"
		 " AND coalesce(probed_at <= now() - interval '1 second', true)",
		 &id, 1, on_asked, op);
}

void health_ask_cancel(struct health_op **slot)
{
	struct health_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	db_cancel(&op->query);
	put_back(op->healths, &op->key, 0);
	free(op);
}

/* --- the word -------------------------------------------------------------------------------- */

static void tell(void *ctx);

static void tell_soon(struct health *health)
{
	int64_t wait_ms = health->told_ms + HEALTH_TELL_MS - loop_now_ms(health->healths->loop);

	if (health->telling != NULL || health->timer.loop != NULL)
		return;
	if (wait_ms <= 0)
		tell(health);
	else
		timer_start(health->healths->loop, &health->timer, wait_ms, tell, health);
}

static bool is_failing(const struct health *health)
{
	return health->failures >= HEALTH_RUN;
}

static void on_told(void *ctx, const struct db_result *const *results, size_t n,
		    const struct err *err)
{
	struct health *health = ctx;

	(void)results;
	(void)n;
	if (err != NULL) {
		log_debug(&(struct log_subject){ .component = "health",
						 .tenant = health->key.tenant_id },
			  "how an upstream fares cannot be told: %s", err->text);
		health->told = health->told == WORD_FAILING ? WORD_WELL : WORD_FAILING;
		health->news = true;
	}
	if (health->news)
		tell_soon(health);
}

/* What has been answered since, to whomever, is no longer failing ($5: how long ago it failed). The
 * node that watches the connection lists it at once when its state changes by this ($4: also if it
 * is the first word of this worker). */
static const char tell_failing[] =
	"UPDATE tollgate.connection_status SET last_error = $3, last_error_at = now(),"
	" calls_failed_at = now() - $5::bigint * interval '1 ms', state = CASE state WHEN 'ok' "
	"THEN 'degraded' ELSE state END,"
	" refresh_wanted = refresh_wanted + CASE state WHEN 'ok' THEN 1 ELSE $4::bigint END"
	" WHERE tenant_id = " TENANT " AND connection_id = $1::uuid"
	" AND settings_version = $2::bigint"
	" AND coalesce(last_success <= now() - $5::bigint * interval '1 ms', true)";
static const char tell_well[] =
	"UPDATE tollgate.connection_status SET last_success = now(), calls_failed_at = NULL,"
	" state = CASE state WHEN 'degraded' THEN 'ok' ELSE state END,"
	" refresh_wanted = refresh_wanted"
	" + CASE WHEN state IN ('ok', 'degraded') THEN 0 ELSE 1 END"
	" WHERE tenant_id = " TENANT " AND connection_id = $1::uuid"
	" AND settings_version = $2::bigint";

static void tell(void *ctx)
{
	struct health *health = ctx;
	const struct db_setting setting = { "app.tenant", health->key.tenant_id };
	bool failing = is_failing(health);
	int64_t now_ms = loop_now_ms(health->healths->loop);
	char version[24];
	char age_ms[24];

	health->news = false;
	if (!failing && health->told == WORD_WELL)
		return; /* it was over before anybody was told */
	snprintf(version, sizeof(version), "%lld", (long long)health->settings_version);
	snprintf(age_ms, sizeof(age_ms), "%lld", (long long)(now_ms - health->failed_ms));

	const struct span params[] = {
		span_of(health->key.connection_id),
		span_of(version),
		span_of(health->last_error),
		span_of(health->told == WORD_WELL ? "1" : "0"),
		span_of(age_ms),
	};

	health->told = failing ? WORD_FAILING : WORD_WELL;
	health->told_ms = now_ms;
	db_query(health->healths->db, &health->telling, &setting,
		 failing ? tell_failing : tell_well, params, failing ? 5 : 2, on_told, health);
}

/* --- what is heard --------------------------------------------------------------------------- */

enum health_sign {
	SIGN_WELL,   /* it answered */
	SIGN_FAILED, /* unreachable, too slow, broken, 5xx */
	SIGN_DENIED, /* it answers, but refuses our credential: no pause would mend that */
	SIGN_NONE,   /* says nothing of it: our own limits, a request that it finds bad */
};

/* upstream_events.done: the tag of ERR_UPSTREAM is the HTTP status, if that is why. */
static enum health_sign sign_of(const struct err *err)
{
	if (err == NULL)
		return SIGN_WELL;
	switch (err->code) {
	case ERR_TIMEOUT:
		return SIGN_FAILED;
	case ERR_UPSTREAM:
		return err->tag[0] == '4' ? SIGN_NONE : SIGN_FAILED;
	case ERR_UNAUTHENTICATED:
		return SIGN_DENIED;
	default:
		return SIGN_NONE;
	}
}

static void hear_failure(struct health *health, const struct err *err)
{
	health->failures++;
	health->failed_ms = loop_now_ms(health->healths->loop);
	snprintf(health->last_error, sizeof(health->last_error), "%s", err->text);
	if (!is_failing(health))
		return;
	health->news = true;
	tell_soon(health);
}

static void hear_answer(struct health *health)
{
	bool changed = health->told == WORD_FAILING;

	health->failures = 0;
	health->last_answer_ms = loop_now_ms(health->healths->loop);
	if (!changed)
		return;
	health->news = true;
	tell_soon(health);
}

void health_heard(struct healths *healths, const struct tenant *tenant,
		  const struct connection *connection, enum breaker_verdict as,
		  const struct err *err)
{
	struct health *health = find_current(healths, tenant, connection);
	enum health_sign sign = sign_of(err);
	/* A refused grant is one user's trouble, or told by the grant: the upstream fares well. */
	bool own_tokens = connection->auth_mode == AUTH_OAUTH;
	int64_t now_ms = loop_now_ms(healths->loop);

	if (health == NULL)
		return;
	if (sign == SIGN_WELL || sign == SIGN_FAILED)
		breaker_heard(&health->breaker, as,
			      sign == SIGN_WELL ? BREAKER_WELL : BREAKER_FAILED, now_ms);
	else if (as == BREAKER_PROBE && sign == SIGN_DENIED)
		breaker_heard(&health->breaker, as, BREAKER_WELL, now_ms);
	else if (as == BREAKER_PROBE)
		breaker_put_back(&health->breaker, now_ms, BREAKER_PROBE_MS);
	if (sign == SIGN_WELL)
		hear_answer(health);
	else if (sign == SIGN_FAILED || (sign == SIGN_DENIED && !own_tokens))
		hear_failure(health, err);
}

void health_abandoned(struct healths *healths, const struct tenant *tenant,
		      const struct connection *connection, enum breaker_verdict as)
{
	struct health *health = find_current(healths, tenant, connection);

	if (health != NULL && as == BREAKER_PROBE)
		breaker_put_back(&health->breaker, loop_now_ms(healths->loop), BREAKER_PROBE_MS);
}

int64_t health_last_answer_ms(const struct healths *healths, const char *tenant_id,
			      const struct connection *connection)
{
	const struct health_key key = key_of(tenant_id, connection->id);
	const struct health *health = find(healths, &key);

	return health != NULL && health->settings_version == connection->settings_version
		       ? health->last_answer_ms
		       : -1;
}
