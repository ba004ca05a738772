/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/keeper.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/keeper_priv.h"
#include "gateway/core/meters.h"

#define MAX_CATALOG_BYTES ((size_t)16 << 20)
#define MAX_CATALOG_TOOLS 10000
#define MAX_PAGES	  200
#define MAX_CURSOR_BYTES  4096

/* What a watch waits for. */
enum watch_state {
	WATCH_RESTING, /* the timer, for the next listing */
	WATCH_LISTING, /* a page of tools/list */
	WATCH_STORING, /* Postgres */
	WATCH_STOPPED, /* nothing: disabled or invalid */
};

struct watch_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
};

struct connection_watch {
	struct watch_key key;
	struct keeper *keeper;
	enum watch_state state;
	struct tenant *tenant; /* the snapshot that connection stands in */
	const struct connection *connection;
	unsigned failures;
	int64_t retry_ms; /* from a failure to the next listing */
	unsigned seen;	  /* the keeper's round in which its tenant still had it */
	struct timer timer;
	struct upstream_op *listing;
	struct db_op *storing;
	struct buf tools; /* the pages so far, as an open JSON array */
	size_t n_tools;
	size_t n_pages;
	UT_hash_handle hh;
};

struct keeper {
	struct loop *loop;
	struct db *db;
	struct upstreams *upstreams;
	struct meter *meter;
	struct connection_watch *watches;
	size_t n_busy; /* watches that are LISTING or STORING */
	unsigned round;
};

static void list_page(struct connection_watch *watch, struct span cursor);

struct keeper *keeper_new(struct loop *loop, struct db *db, struct upstreams *upstreams)
{
	struct keeper *keeper = mem_new(sizeof(*keeper));

	*keeper = (struct keeper){ .loop = loop, .db = db, .upstreams = upstreams };
	return keeper;
}

void keeper_measure(struct keeper *keeper, struct meter *meter)
{
	keeper->meter = meter;
}

enum up { UP_NO, UP_YES, UP_NOBODY_ASKS };

static void measure(const struct connection_watch *watch, enum up up)
{
	struct meter *meter = watch->keeper->meter;
	const char *labels[2];

	if (watch->tenant == NULL)
		return;
	labels[0] = watch->tenant->name;
	labels[1] = watch->connection->name;
	if (up == UP_NOBODY_ASKS)
		meter_gauge_end(meter, METER_CONNECTION_UP, labels);
	else
		meter_gauge(meter, METER_CONNECTION_UP, labels, up == UP_YES);
}

static struct log_subject subject_of(const struct connection_watch *watch)
{
	return (struct log_subject){
		.component = "keeper",
		.tenant = watch->tenant->name,
		.connection = watch->connection->name,
	};
}

static bool is_busy(enum watch_state state)
{
	return state == WATCH_LISTING || state == WATCH_STORING;
}

static void watch_set(struct connection_watch *watch, enum watch_state state)
{
	watch->keeper->n_busy -= is_busy(watch->state);
	watch->state = state;
	watch->keeper->n_busy += is_busy(watch->state);
}

static void watch_halt(struct connection_watch *watch)
{
	watch_set(watch, WATCH_STOPPED);
	timer_stop(&watch->timer);
	upstream_cancel(&watch->listing, "the listing is no longer wanted");
	db_cancel(&watch->storing);
	buf_clear(&watch->tools);
}

static void watch_free(struct connection_watch *watch)
{
	watch_halt(watch);
	measure(watch, UP_NOBODY_ASKS);
	HASH_DEL(watch->keeper->watches, watch);
	tenant_unref(&watch->tenant);
	buf_fini(&watch->tools);
	free(watch);
}

void keeper_free(struct keeper **keeper)
{
	struct connection_watch *watch;
	struct connection_watch *next;

	if (*keeper == NULL)
		return;
	HASH_ITER(hh, (*keeper)->watches, watch, next)
	{
		watch_free(watch);
	}
	free(*keeper);
	*keeper = NULL;
}

static void begin_listing(void *ctx);

static void rest(struct connection_watch *watch, int64_t delay_ms)
{
	watch_set(watch, WATCH_RESTING);
	timer_start(watch->keeper->loop, &watch->timer, delay_ms, begin_listing, watch);
}

/* Anything from half of it to all of it. */
static int64_t jittered(int64_t delay_ms)
{
	uint32_t random;

	crypto_random(&random, sizeof(random));
	return delay_ms / 2 + (int64_t)(random % (uint32_t)(delay_ms / 2 + 1));
}

static void begin_listing(void *ctx)
{
	struct connection_watch *watch = ctx;

	/* A tenant with thousands of connections must not crowd out calls. */
	if (watch->keeper->n_busy >= KEEPER_MAX_BUSY) {
		rest(watch, jittered(KEEPER_CROWDED_MS));
		return;
	}
	buf_clear(&watch->tools);
	buf_add(&watch->tools, "[");
	watch->n_tools = 0;
	watch->n_pages = 0;
	watch_set(watch, WATCH_LISTING);
	list_page(watch, (struct span){ 0 });
}

/* Doubles from the minimum to the maximum. */
static int64_t retry_delay(unsigned failures)
{
	int64_t delay = KEEPER_RETRY_MIN_MS;

	for (unsigned i = 1; i < failures && delay < KEEPER_RETRY_MAX_MS; i++)
		delay *= 2;
	if (delay > KEEPER_RETRY_MAX_MS)
		delay = KEEPER_RETRY_MAX_MS;
	return jittered(delay);
}

static void on_state_stored(void *ctx, const struct db_result *const *results, size_t n,
			    const struct err *err)
{
	struct connection_watch *watch = ctx;
	const struct log_subject subject = subject_of(watch);

	(void)results;
	(void)n;
	if (err != NULL)
		log_warn(&subject, "the status cannot be stored: %s", err->text);
	if (watch->state == WATCH_STORING)
		rest(watch, watch->retry_ms);
}

static void store_state(struct connection_watch *watch, const char *state, const char *problem,
			int64_t retry_ms)
{
	db_cancel(&watch->storing);
	keeper_store_state(watch->keeper->db, &watch->storing, watch->key.tenant_id,
			   watch->key.connection_id, state, problem, retry_ms, on_state_stored,
			   watch);
}

static void listing_failed(struct connection_watch *watch, const struct err *err)
{
	const struct log_subject subject = subject_of(watch);
	const char *state = err->code == ERR_UNAUTHENTICATED ? "auth_failed" : "unreachable";

	measure(watch, UP_NO);
	watch->retry_ms = retry_delay(++watch->failures);
	log_write(watch->failures == 1 ? LOG_INFO : LOG_DEBUG, &subject,
		  "its tools cannot be listed: %s; next try in %lld ms", err->text,
		  (long long)watch->retry_ms);
	watch_set(watch, WATCH_STORING);
	store_state(watch, state, err->text, watch->retry_ms);
}

static void on_catalog_stored(void *ctx, const struct db_result *const *results, size_t n,
			      const struct err *err)
{
	struct connection_watch *watch = ctx;
	const struct log_subject subject = subject_of(watch);

	(void)results;
	(void)n;
	if (err != NULL) {
		log_warn(&subject, "the catalog cannot be stored: %s", err->text);
		rest(watch, retry_delay(++watch->failures));
		return;
	}
	watch->failures = 0;
	rest(watch, KEEPER_POLL_MS);
}

static void store_catalog(struct connection_watch *watch)
{
	const struct keeper_finding finding = {
		.tenant_id = watch->key.tenant_id,
		.connection_id = watch->key.connection_id,
		.tools = buf_span(&watch->tools),
		.n_tools = watch->n_tools,
		.facts = upstream_facts(watch->keeper->upstreams, watch->key.tenant_id,
					watch->key.connection_id),
	};

	/* Somebody who read a newer row has closed it: that row will be listed. */
	if (finding.facts == NULL) {
		rest(watch, KEEPER_RETRY_MIN_MS);
		return;
	}
	measure(watch, UP_YES);
	watch_set(watch, WATCH_STORING);
	db_cancel(&watch->storing);
	keeper_store_catalog(watch->keeper->db, &watch->storing, &finding, on_catalog_stored,
			     watch);
	buf_clear(&watch->tools);
}

/* -1 if the page is none or the catalog grows too large. */
static int take_page(struct connection_watch *watch, struct span result, struct err *err)
{
	struct span tools = span_get(result, "tools");
	struct span_iter iter;
	struct span key;
	struct span tool;

	if (span_type(tools) != SPAN_ARRAY)
		return err_set(err, ERR_UPSTREAM, "its answer to tools/list has no tools");
	span_iter_init(&iter, tools);
	while (span_next(&iter, &key, &tool)) {
		if (span_type(tool) != SPAN_OBJECT)
			continue;
		buf_add(&watch->tools, watch->n_tools++ > 0 ? "," : "");
		buf_add_span(&watch->tools, span_trim(tool));
	}
	if (watch->tools.overflow || watch->n_tools > MAX_CATALOG_TOOLS ||
	    ++watch->n_pages > MAX_PAGES)
		return err_set(err, ERR_UPSTREAM, "its list of tools is too long");
	return 0;
}

/* As it will be read again: together the pages may be too much for what each passed. */
static int close_list(struct connection_watch *watch, struct err *err)
{
	if (buf_add(&watch->tools, "]") < 0 || span_check(buf_span(&watch->tools), NULL, err) < 0)
		return err_set(err, ERR_UPSTREAM, "its list of tools is too long");
	return 0;
}

static void on_page(void *ctx, const struct upstream_answer *answer, const struct err *err)
{
	struct connection_watch *watch = ctx;
	struct span cursor;
	struct err problem;

	if (err != NULL) {
		listing_failed(watch, err);
		return;
	}
	if (answer->error.p != NULL) {
		err_set(&problem, ERR_UPSTREAM, "it refused tools/list: %.*s",
			(int)(answer->error.n < 150 ? answer->error.n : 150), answer->error.p);
		listing_failed(watch, &problem);
		return;
	}
	if (take_page(watch, answer->result, &problem) < 0) {
		listing_failed(watch, &problem);
		return;
	}
	cursor = span_trim(span_get(answer->result, "nextCursor"));
	if (span_type(cursor) == SPAN_STRING && cursor.n > MAX_CURSOR_BYTES) {
		err_set(&problem, ERR_UPSTREAM, "the cursor of its list of tools is too long");
		listing_failed(watch, &problem);
	} else if (span_type(cursor) == SPAN_STRING) {
		list_page(watch, cursor);
	} else if (close_list(watch, &problem) < 0) {
		listing_failed(watch, &problem);
	} else {
		store_catalog(watch);
	}
}

static void on_message(void *ctx, const char *method, struct span params)
{
	(void)ctx;
	(void)method;
	(void)params;
}

static void list_page(struct connection_watch *watch, struct span cursor)
{
	static const struct upstream_events events = { on_message, on_page };
	struct upstream_request request = {
		.tenant = watch->tenant,
		.connection = watch->connection,
		.method = "tools/list",
		.timeout_ms = KEEPER_LIST_TIMEOUT_MS,
	};
	struct buf params;

	buf_init(&params, MAX_CURSOR_BYTES + 64);
	if (cursor.p != NULL) {
		buf_add(&params, "{\"cursor\":");
		buf_add_span(&params, cursor);
		buf_add(&params, "}");
		request.params = buf_span(&params);
	}
	upstream_start(watch->keeper->upstreams, &watch->listing, &request, &events, watch);
	buf_fini(&params);
}

static void stop_with(struct connection_watch *watch, const char *state, const char *problem)
{
	watch_halt(watch);
	measure(watch, UP_NOBODY_ASKS);
	store_state(watch, state, problem, -1);
}

/* The connection as it is now configured: start over. */
static void watch_restart(struct connection_watch *watch)
{
	const struct connection *connection = watch->connection;

	watch_halt(watch);
	watch->failures = 0;
	if (!connection->enabled || !watch->tenant->enabled)
		stop_with(watch, "disabled", NULL);
	else if (connection->invalid != NULL)
		stop_with(watch, "invalid", connection->invalid);
	else
		rest(watch, 0);
}

static struct connection_watch *watch_get(struct keeper *keeper, const struct tenant *tenant,
					  const struct connection *connection)
{
	struct connection_watch *watch;
	struct watch_key key = { .tenant_id = "" };

	snprintf(key.tenant_id, sizeof(key.tenant_id), "%s", tenant->id);
	snprintf(key.connection_id, sizeof(key.connection_id), "%s", connection->id);
	HASH_FIND(hh, keeper->watches, &key, sizeof(key), watch);
	if (watch != NULL)
		return watch;
	watch = mem_new(sizeof(*watch));
	watch->key = key;
	watch->keeper = keeper;
	watch->state = WATCH_STOPPED;
	buf_init(&watch->tools, MAX_CATALOG_BYTES);
	HASH_ADD(hh, keeper->watches, key, sizeof(key), watch);
	return watch;
}

/* A running request keeps the snapshot it was started with, so a switch is safe at any time. */
static void watch_switch(struct connection_watch *watch, struct tenant *tenant,
			 const struct connection *connection)
{
	struct tenant *old = watch->tenant;

	if (old != NULL && strcmp(watch->connection->name, connection->name) != 0)
		measure(watch, UP_NOBODY_ASKS);
	watch->tenant = tenant_ref(tenant);
	watch->connection = connection;
	tenant_unref(&old);
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* What a listing depends on. The version covers the row, but not the tenant around it: its egress
 * policy, and the keys without which a row cannot be used. */
static bool is_as_watched(const struct connection_watch *watch, const struct tenant *tenant,
			  const struct connection *connection)
{
	return watch->tenant != NULL && watch->connection->version == connection->version &&
	       watch->connection->enabled == connection->enabled &&
	       watch->tenant->enabled == tenant->enabled &&
	       same_text(watch->connection->invalid, connection->invalid) &&
	       egress_policy_id(watch->tenant->egress) == egress_policy_id(tenant->egress);
}

void keeper_tenant_changed(struct keeper *keeper, const char *tenant_id, struct tenant *tenant)
{
	struct connection_watch *watch;
	struct connection_watch *next;

	keeper->round++;
	for (size_t i = 0; tenant != NULL && i < tenant->n_connections; i++) {
		const struct connection *connection = &tenant->connections[i];

		bool same;

		watch = watch_get(keeper, tenant, connection);
		watch->seen = keeper->round;
		same = is_as_watched(watch, tenant, connection);
		watch_switch(watch, tenant, connection);
		if (!same)
			watch_restart(watch);
	}
	HASH_ITER(hh, keeper->watches, watch, next)
	{
		if (strcmp(watch->key.tenant_id, tenant_id) == 0 && watch->seen != keeper->round) {
			const struct watch_key gone = watch->key;

			watch_free(watch);
			upstreams_forget(keeper->upstreams, gone.tenant_id, gone.connection_id);
		}
	}
}
