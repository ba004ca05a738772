/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/tenant.h"
#include "tests/fakes/gate_db.h"

struct world {
	struct gate_db *gate;
	struct tenants *tenants;
	char acme[UUID_TEXT_BYTES];
	/* What was told last, and how often. */
	int changes;
	char changed_id[UUID_TEXT_BYTES];
	int64_t changed_version; /* -1: gone */
	int64_t stale_max_ms;
	int new_settings;
	char resettled[UUID_TEXT_BYTES]; /* the connection that it was told of last */
	int hints;
	int cancel_hints;
	int grant_hints;
	int event_hints;
	char hinted[64];
	char granted[256];
};

/* How one tenants_start ended. */
struct asked {
	struct world *world;
	struct tenants_op *op;
	int dones;
	int64_t version; /* -1: failed */
	enum err_code code;
	struct asked *cancels; /* while it is told */
	struct asked *starts;
	const char *id;
};

static void on_changed(void *ctx, const char *tenant_id, struct tenant *tenant)
{
	struct world *world = ctx;

	world->changes++;
	snprintf(world->changed_id, sizeof(world->changed_id), "%s", tenant_id);
	world->changed_version = tenant != NULL ? tenant->version : -1;
}

static void on_settings_changed(void *ctx, const char *tenant_id, const char *connection_id)
{
	struct world *world = ctx;

	assert_string_equal(tenant_id, world->acme);
	world->new_settings++;
	snprintf(world->resettled, sizeof(world->resettled), "%s", connection_id);
}

static void on_hint(void *ctx, const char *tenant_id)
{
	struct world *world = ctx;

	world->hints++;
	snprintf(world->hinted, sizeof(world->hinted), "%s", tenant_id != NULL ? tenant_id : "all");
}

static void on_cancel_hint(void *ctx, const char *tenant_id)
{
	struct world *world = ctx;

	world->cancel_hints++;
	snprintf(world->hinted, sizeof(world->hinted), "%s", tenant_id != NULL ? tenant_id : "all");
}

static void on_event_hint(void *ctx)
{
	struct world *world = ctx;

	world->event_hints++;
}

static void on_grant_hint(void *ctx, const char *payload)
{
	struct world *world = ctx;

	world->grant_hints++;
	snprintf(world->granted, sizeof(world->granted), "%s", payload != NULL ? payload : "all");
}

static bool is_listening(void *ctx)
{
	const struct world *world = ctx;

	return world->hints > 0 && strcmp(world->hinted, "all") == 0;
}

static struct tenants *new_tenants(struct world *world)
{
	return tenants_new(&(struct tenants_params){
		.loop = world->gate->loop,
		.db = world->gate->app,
		.conninfo = world->gate->app_conninfo,
		.keyring = world->gate->keyring,
		.deployment = GATE_DEPLOYMENT,
		.stale_max_ms = world->stale_max_ms > 0 ? world->stale_max_ms : 60000,
		.changed = on_changed,
		.settings_changed = on_settings_changed,
		.hint = on_hint,
		.cancel_hint = on_cancel_hint,
		.grant_hint = on_grant_hint,
		.event_hint = on_event_hint,
		.ctx = world,
	});
}

static void begin(void **state, struct world *world)
{
	*world = (struct world){ .gate = *state };
	gate_db_tenant(world->gate, "acme", world->acme);
	world->tenants = new_tenants(world);
	gate_db_until(world->gate, is_listening, world);
	assert_int_equal(world->cancel_hints, 1);
	world->hints = 0;
	world->cancel_hints = 0;
}

static void on_done(void *ctx, struct tenant *tenant, const struct err *err);

static void start(struct world *world, struct asked *asked, const char *id)
{
	asked->world = world;
	asked->id = id;
	tenants_start(world->tenants, &asked->op, id, on_done, asked);
	assert_non_null(asked->op);
}

static void on_done(void *ctx, struct tenant *tenant, const struct err *err)
{
	struct asked *asked = ctx;

	assert_null(asked->op);
	assert_true((tenant == NULL) == (err != NULL));
	asked->dones++;
	asked->version = tenant != NULL ? tenant->version : -1;
	if (err != NULL)
		asked->code = err->code;
	if (asked->cancels != NULL)
		tenants_cancel(&asked->cancels->op);
	if (asked->starts != NULL) {
		start(asked->world, asked->starts, asked->id);
		assert_int_equal(asked->starts->dones, 0);
	}
}

static bool has_ended(void *ctx)
{
	const struct asked *asked = ctx;

	return asked->dones > 0;
}

static void finish(struct asked *asked)
{
	gate_db_until(asked->world->gate, has_ended, asked);
	assert_int_equal(asked->dones, 1);
}

static void load(struct world *world, const char *id)
{
	struct asked asked = { 0 };

	start(world, &asked, id);
	assert_int_equal(asked.dones, 0);
	finish(&asked);
	assert_true(asked.version > 0);
}

static int64_t version_of(const struct world *world, const char *id)
{
	struct tenant *tenant = tenants_find(world->tenants, id);
	int64_t version = tenant != NULL ? tenant->version : -1;

	tenant_unref(&tenant);
	return version;
}

static void a_tenant_is_loaded_when_it_is_asked_for(void **state)
{
	struct world world;

	begin(state, &world);
	assert_int_equal(version_of(&world, world.acme), -1);
	load(&world, world.acme);
	assert_true(version_of(&world, world.acme) > 0);
	assert_int_equal(world.changes, 1);
	assert_string_equal(world.changed_id, world.acme);
	assert_int_equal(world.changed_version, version_of(&world, world.acme));
	tenants_free(&world.tenants);
}

static void no_such_tenant_is_not_found_and_not_remembered(void **state)
{
	struct asked asked = { 0 };
	struct world world;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	start(&world, &asked, id);
	finish(&asked);
	assert_int_equal(asked.code, ERR_NOT_FOUND);
	assert_int_equal(version_of(&world, id), -1);
	assert_int_equal(world.changes, 0);
	tenants_free(&world.tenants);
}

static bool was_changed(void *ctx)
{
	const struct world *world = ctx;

	return world->changes > 0;
}

/* By itself nothing would read it again: in the database nothing has changed. */
static void what_a_new_key_may_open_is_read_again(void **state)
{
	struct tenant *tenant;
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate, "UPDATE tollgate.data_keys SET wrapped = '\\x00'");
	load(&world, world.acme);
	tenant = tenants_find(world.tenants, world.acme);
	assert_int_equal(tenant->n_keys, 0);
	assert_int_equal(tenant->n_keys_shut, 1);
	tenant_unref(&tenant);
	world.changes = 0;
	tenants_keys_changed(world.tenants);
	gate_db_until(world.gate, was_changed, &world);
	tenants_free(&world.tenants);
}

static void an_edit_replaces_the_snapshot_and_leaves_the_old_one_to_who_holds_it(void **state)
{
	struct tenant *old;
	struct world world;
	int64_t before;

	begin(state, &world);
	load(&world, world.acme);
	old = tenants_find(world.tenants, world.acme);
	before = old->version;
	world.changes = 0;
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET name = 'renamed'");
	gate_db_until(world.gate, was_changed, &world);
	assert_true(world.changed_version > before);
	assert_int_equal(version_of(&world, world.acme), world.changed_version);
	assert_string_equal(old->name, "acme");
	tenant_unref(&old);
	tenants_free(&world.tenants);
}

/* What is done, and how many OAuth connections have other settings then. */
static void settle(struct world *world, const char *sql, int wanted)
{
	world->changes = 0;
	world->new_settings = 0;
	gate_db_do(world->gate, "%s", sql);
	gate_db_until(world->gate, was_changed, world);
	assert_int_equal(world->new_settings, wanted);
}

static void new_settings_of_oauth_connections_are_told(void **state)
{
	struct world world;

	begin(state, &world);
	load(&world, world.acme);
	settle(&world,
	       "INSERT INTO tollgate.connections (tenant_id, id, name, url, auth_mode, oauth)"
	       " SELECT t.id, gen_random_uuid(), n, 'https://x/mcp', CASE n WHEN 'open' THEN"
	       " 'none' ELSE 'oauth' END, CASE WHEN n <> 'open' THEN '{}'::jsonb END"
	       " FROM tollgate.tenants t, unnest(ARRAY['crm', 'mail', 'open']) n",
	       2);
	settle(&world, "UPDATE tollgate.connections SET description = 'x', version = 2", 0);
	settle(&world,
	       "UPDATE tollgate.connections SET url = 'https://y/mcp', version = 3"
	       " WHERE name <> 'mail'",
	       1);
	assert_string_equal(world.resettled,
			    gate_db_ask(world.gate, "SELECT id AS v FROM tollgate.connections"
						    " WHERE name = 'crm'"));
	settle(&world, "DELETE FROM tollgate.connections", 0);
	tenants_free(&world.tenants);
}

static bool is_gone(void *ctx)
{
	const struct world *world = ctx;

	return world->changed_version == -1;
}

static void a_deleted_tenant_goes_from_memory(void **state)
{
	struct asked asked = { 0 };
	struct world world;

	begin(state, &world);
	load(&world, world.acme);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	gate_db_until(world.gate, is_gone, &world);
	assert_string_equal(world.changed_id, world.acme);
	assert_int_equal(version_of(&world, world.acme), -1);
	start(&world, &asked, world.acme);
	finish(&asked);
	assert_int_equal(asked.code, ERR_NOT_FOUND);
	tenants_free(&world.tenants);
}

static void count(void *ctx, struct tenant *tenant)
{
	(void)tenant;
	++*(int *)ctx;
}

static bool has_one(void *ctx)
{
	const struct world *world = ctx;
	int n = 0;

	tenants_each(world->tenants, count, &n);
	return n == 1;
}

static void what_is_wanted_is_loaded_and_then_there(void **state)
{
	struct world world;
	struct tenant *tenant;

	begin(state, &world);
	assert_null(tenants_want(world.tenants, world.acme));
	assert_null(tenants_want(world.tenants, world.acme));
	gate_db_until(world.gate, has_one, &world);
	assert_int_equal(world.changes, 1);
	tenant = tenants_want(world.tenants, world.acme);
	assert_non_null(tenant);
	assert_string_equal(tenant->name, "acme");
	tenant_unref(&tenant);
	tenants_free(&world.tenants);
}

static void all_who_wait_are_told_once_in_order_and_a_cancelled_one_never(void **state)
{
	struct asked asked[4] = { 0 };
	struct world world;

	begin(state, &world);
	for (size_t i = 0; i < 4; i++)
		start(&world, &asked[i], world.acme);
	tenants_cancel(&asked[1].op);
	assert_null(asked[1].op);
	tenants_cancel(&asked[1].op);
	asked[0].cancels = &asked[2];
	finish(&asked[3]);
	assert_int_equal(asked[0].dones, 1);
	assert_int_equal(asked[1].dones, 0);
	assert_int_equal(asked[2].dones, 0);
	assert_null(asked[2].op);
	/* The first has begun one; what the others know of it may have missed. They share the next.
	 */
	assert_int_equal(world.changes, 2);
	tenants_free(&world.tenants);
}

static void who_starts_anew_while_it_is_told_gets_an_answer_of_its_own(void **state)
{
	struct asked first = { 0 };
	struct asked second = { 0 };
	struct world world;
	char id[UUID_TEXT_BYTES];

	begin(state, &world);
	uuid_v4(id);
	first.starts = &second;
	start(&world, &first, id);
	finish(&first);
	if (second.dones == 0)
		finish(&second);
	assert_int_equal(second.code, ERR_NOT_FOUND);
	first = (struct asked){ .starts = &second };
	second = (struct asked){ 0 };
	start(&world, &first, world.acme);
	finish(&first);
	if (second.dones == 0)
		finish(&second);
	assert_true(second.version > 0);
	tenants_free(&world.tenants);
}

static bool was_granted(void *ctx)
{
	const struct world *world = ctx;

	return world->grant_hints > 0;
}

static bool has_events(void *ctx)
{
	return ((const struct world *)ctx)->event_hints > 0;
}

static void grants_and_events_have_channels_of_their_own(void **state)
{
	struct world world;

	begin(state, &world);
	assert_string_equal(world.granted, "all"); /* what was said before was not heard */
	world.grant_hints = 0;
	gate_db_do(world.gate, "SELECT pg_notify('tollgate_grants', 'a b 1 active ')::text AS v");
	gate_db_until(world.gate, was_granted, &world);
	assert_string_equal(world.granted, "a b 1 active ");
	assert_int_equal(world.event_hints, 1);
	world.event_hints = 0;
	gate_db_do(world.gate, "INSERT INTO audit.auth_event_log (tenant_id, type) VALUES"
			       " (gen_random_uuid(), 'acquired')");
	gate_db_until(world.gate, has_events, &world);
	assert_int_equal(world.hints, 0);
	assert_int_equal(world.cancel_hints, 0);
	tenants_free(&world.tenants);
}

static void free_cancels_nothing_of_others_and_may_come_at_any_time(void **state)
{
	struct asked asked = { 0 };
	struct world world;

	begin(state, &world);
	start(&world, &asked, world.acme);
	tenants_cancel(&asked.op);
	tenants_free(&world.tenants);
	assert_null(world.tenants);
	tenants_free(&world.tenants);
	gate_db_do(world.gate, "SELECT 1 AS v");
	assert_int_equal(asked.dones, 0);
}

static bool was_hinted(void *ctx)
{
	const struct world *world = ctx;

	return world->hints > 0;
}

static void anybodys_notification_is_a_hint_and_no_more(void **state)
{
	static const char *const payloads[] = { "", "nonsense", "'; DROP TABLE x", UUID_NIL };
	struct world world;

	begin(state, &world);
	load(&world, world.acme);
	world.changes = 0;
	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
		world.hints = 0;
		gate_db_do(world.gate, "SELECT pg_notify('tollgate', $x$%s$x$)::text AS v",
			   payloads[i]);
		gate_db_until(world.gate, was_hinted, &world);
		assert_string_equal(world.hinted, payloads[i]);
	}
	gate_db_do(world.gate, "SELECT 1 AS v");
	assert_int_equal(world.changes, 0);
	assert_true(version_of(&world, world.acme) > 0);
	tenants_free(&world.tenants);
}

static bool was_cancelled(void *ctx)
{
	const struct world *world = ctx;

	return world->cancel_hints > 0;
}

static void a_cancelled_request_is_told_apart_from_changes(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate, "INSERT INTO tollgate.cancellations VALUES ('%s', sha256('x'))",
		   world.acme);
	gate_db_until(world.gate, was_cancelled, &world);
	assert_string_equal(world.hinted, world.acme);
	assert_int_equal(world.cancel_hints, 1);
	assert_int_equal(world.hints, 0);
	tenants_free(&world.tenants);
}

static bool has_gone_stale(void *ctx)
{
	const struct world *world = ctx;

	return version_of(world, world->acme) == -1;
}

static void what_nobody_confirms_is_served_for_so_long_and_no_longer(void **state)
{
	struct world world = { .gate = *state };
	int64_t lost_at_ms;

	begin(state, &world);
	tenants_free(&world.tenants);
	world.stale_max_ms = 3000;
	world.tenants = new_tenants(&world);
	load(&world, world.acme);
	gate_db_for(world.gate, 3500);
	assert_true(version_of(&world, world.acme) > 0);
	pg_cluster_halt(&world.gate->cluster);
	lost_at_ms = loop_now_ms(world.gate->loop);
	gate_db_until(world.gate, has_gone_stale, &world);
	/* Confirmed last within one poll before. */
	assert_in_range(loop_now_ms(world.gate->loop) - lost_at_ms, 3000 - TENANT_POLL_MS - 500,
			3000 + 500);
	tenants_free(&world.tenants);
}

static bool has_newest(void *ctx)
{
	const struct world *world = ctx;
	struct tenant *tenant = tenants_find(world->tenants, world->acme);
	bool newest = tenant != NULL && strcmp(tenant->name, "t50") == 0;

	tenant_unref(&tenant);
	return newest;
}

static void of_many_edits_the_last_one_wins(void **state)
{
	struct world world;

	begin(state, &world);
	load(&world, world.acme);
	for (int i = 1; i <= 50; i++)
		gate_db_do(world.gate, "UPDATE tollgate.tenants SET name = 't%d'", i);
	gate_db_until(world.gate, has_newest, &world);
	tenants_free(&world.tenants);
}

static void without_a_database_what_is_known_is_served_and_the_rest_unavailable(void **state)
{
	struct asked asked = { 0 };
	struct world world;
	char other[UUID_TEXT_BYTES];

	begin(state, &world);
	gate_db_tenant(world.gate, "other", other);
	load(&world, world.acme);
	pg_cluster_halt(&world.gate->cluster);
	assert_true(version_of(&world, world.acme) > 0);
	start(&world, &asked, other);
	finish(&asked);
	assert_int_equal(asked.code, ERR_UNAVAILABLE);
	assert_int_equal(pg_cluster_restart(&world.gate->cluster), 0);
	/* A pooled connection may show only when it is used that it broke. */
	do {
		asked = (struct asked){ 0 };
		start(&world, &asked, other);
		finish(&asked);
	} while (asked.version < 0);
	assert_true(version_of(&world, other) > 0);
	tenants_free(&world.tenants);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_tenant_is_loaded_when_it_is_asked_for),
		GATE_DB_TEST(no_such_tenant_is_not_found_and_not_remembered),
		GATE_DB_TEST(an_edit_replaces_the_snapshot_and_leaves_the_old_one_to_who_holds_it),
		GATE_DB_TEST(new_settings_of_oauth_connections_are_told),
		GATE_DB_TEST(a_deleted_tenant_goes_from_memory),
		GATE_DB_TEST(what_is_wanted_is_loaded_and_then_there),
		GATE_DB_TEST(all_who_wait_are_told_once_in_order_and_a_cancelled_one_never),
		GATE_DB_TEST(who_starts_anew_while_it_is_told_gets_an_answer_of_its_own),
		GATE_DB_TEST(grants_and_events_have_channels_of_their_own),
		GATE_DB_TEST(free_cancels_nothing_of_others_and_may_come_at_any_time),
		GATE_DB_TEST(anybodys_notification_is_a_hint_and_no_more),
		GATE_DB_TEST(a_cancelled_request_is_told_apart_from_changes),
		GATE_DB_TEST(what_nobody_confirms_is_served_for_so_long_and_no_longer),
		GATE_DB_TEST(what_a_new_key_may_open_is_read_again),
		GATE_DB_TEST(of_many_edits_the_last_one_wins),
		GATE_DB_TEST(without_a_database_what_is_known_is_served_and_the_rest_unavailable),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
