/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "gateway/core/attempts.h"

#define NODE "11111111-0000-4000-8000-000000000001"

/* --- the database: it does nothing until it is told ------------------------------------------ */

struct db_op {
	struct db_op **slot;
	db_done *done;
	void *ctx;
};

#define MAX_OPS 512
static struct {
	struct db_op *ops[MAX_OPS];
	size_t n_ops;
	size_t n_asked;
	char tenant[64];
	char sql[64];
	char params[32][300];
	bool there[32];
	size_t n_params;
} pg;

void db_query(struct db *db, struct db_op **slot, const struct db_setting *setting, const char *sql,
	      const struct span *params, size_t n_params, db_done *done, void *ctx)
{
	struct db_op *op = mem_new(sizeof(*op));

	(void)db;
	assert_null(*slot);
	assert_true(pg.n_ops < MAX_OPS && n_params <= 32);
	assert_string_equal(setting->name, "app.tenant");
	*op = (struct db_op){ slot, done, ctx };
	*slot = op;
	pg.ops[pg.n_ops++] = op;
	pg.n_asked++;
	snprintf(pg.tenant, sizeof(pg.tenant), "%s", setting->value);
	snprintf(pg.sql, sizeof(pg.sql), "%s", sql);
	pg.n_params = n_params;
	for (size_t i = 0; i < n_params; i++) {
		pg.there[i] = params[i].p != NULL;
		snprintf(pg.params[i], sizeof(pg.params[i]), "%.*s", (int)params[i].n,
			 params[i].p != NULL ? params[i].p : "");
	}
}

void db_cancel(struct db_op **slot)
{
	struct db_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	for (size_t i = 0; i < pg.n_ops; i++) {
		if (pg.ops[i] == op)
			pg.ops[i] = pg.ops[--pg.n_ops];
	}
	free(op);
}

/* Answers the oldest. */
static void answers(enum err_code code, bool fails)
{
	struct db_op was;
	struct err err;

	assert_true(pg.n_ops > 0);
	was = *pg.ops[0];
	*was.slot = NULL;
	free(pg.ops[0]);
	pg.n_ops--;
	memmove(pg.ops, pg.ops + 1, pg.n_ops * sizeof(pg.ops[0]));
	err_set(&err, code, "it does not answer");
	was.done(was.ctx, NULL, 0, fails ? &err : NULL);
}

/* --- the world ------------------------------------------------------------------------------- */

struct world {
	struct loop *loop;
	struct attempts *attempts;
	struct attempt_op *op;
	int told;
	enum err_code code;
};

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	memset(&pg, 0, sizeof(pg));
	world->loop = loop_new();
	world->attempts = attempts_new(world->loop, NULL, NODE);
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	attempts_free(&world->attempts);
	assert_int_equal(pg.n_ops, 0);
	loop_free(&world->loop);
	free(world);
	return 0;
}

static void on_written(void *ctx, const struct err *err)
{
	struct world *world = ctx;

	world->told++;
	world->code = err != NULL ? err->code : 0;
	assert_null(world->op);
}

static void on_drained(void *ctx)
{
	loop_stop(ctx);
}

static const struct attempt refused = {
	.kind = ATTEMPT_ADMIN,
	.event_id = "01900000-0000-7000-8000-000000000001",
	.tenant_id = "22222222-0000-4000-8000-000000000002",
	.tenant = "acme",
	.actor = "user:ana",
	.user_id = "33333333-0000-4000-8000-000000000003",
	.api_key = "AAAAAAAAAAAA",
	.source_ip = "192.0.2.1",
	.client = "curl",
	.error_code = "forbidden",
	.role = "user",
	.actor_tenant_id = "22222222-0000-4000-8000-000000000002",
	.actor_tenant = "acme",
	.action = "user.create",
	.target_kind = "user",
	.target = "eve",
	.outcome = "denied",
	.error_message = "no",
	.http_status = "403",
};

static bool writes(struct world *world, const struct attempt *attempt)
{
	return attempts_write(world->attempts, &world->op, attempt, on_written, world);
}

static void a_refusal_is_a_row_with_all_that_is_known(void **state)
{
	static const char *const wanted[] = {
		"01900000-0000-7000-8000-000000000001",
		"22222222-0000-4000-8000-000000000002",
		"acme",
		"user:ana",
		"33333333-0000-4000-8000-000000000003",
		"AAAAAAAAAAAA",
		"192.0.2.1",
		"curl",
		"forbidden",
		"user",
		"22222222-0000-4000-8000-000000000002",
		"acme",
		"user.create",
		"user",
		"",
		"eve",
		"denied",
		"no",
		"403",
		"1",
		NODE,
	};
	struct world *world = *state;

	assert_true(writes(world, &refused));
	assert_int_equal(world->told, 0);
	assert_string_equal(pg.tenant, refused.tenant_id);
	assert_non_null(strstr(pg.sql, "INSERT INTO audit.admin_event_log"));
	assert_int_equal(pg.n_params, sizeof(wanted) / sizeof(wanted[0]));
	for (size_t i = 0; i < pg.n_params; i++)
		assert_string_equal(pg.params[i], wanted[i]);
	assert_false(pg.there[14]); /* it has no id: SQL NULL */
	answers(ERR_INTERNAL, false);
	assert_int_equal(world->told, 1);
	assert_int_equal(world->code, 0);
}

static void nobodys_is_the_nil_tenants(void **state)
{
	struct world *world = *state;
	const struct attempt signin = { .kind = ATTEMPT_SIGNIN,
					.event_id = refused.event_id,
					.actor = "nobody",
					.action = "code",
					.source_ip = "192.0.2.1",
					.error_code = "code_unknown" };

	assert_true(writes(world, &signin));
	assert_string_equal(pg.tenant, "00000000-0000-0000-0000-000000000000");
	assert_string_equal(pg.params[1], pg.tenant);
	assert_non_null(strstr(pg.sql, "INSERT INTO audit.auth_event_log"));
	assert_int_equal(pg.n_params, 12);
	assert_string_equal(pg.params[10], "code");
	assert_string_equal(pg.params[11], "1");
	answers(ERR_INTERNAL, false);
	assert_int_equal(world->told, 1);
}

static void who_waits_is_told_that_it_failed(void **state)
{
	struct world *world = *state;

	assert_true(writes(world, &refused));
	answers(ERR_UNAVAILABLE, true);
	assert_int_equal(world->told, 1);
	assert_int_equal(world->code, ERR_UNAVAILABLE);
	assert_int_equal(pg.n_ops, 0); /* and it is given up */
	/* It was written before, and the answer to that was lost. */
	assert_true(writes(world, &refused));
	answers(ERR_CONFLICT, true);
	assert_int_equal(world->told, 2);
	assert_int_equal(world->code, 0);
}

static void who_leaves_is_not_told_and_it_is_written_all_the_same(void **state)
{
	struct world *world = *state;

	assert_true(writes(world, &refused));
	attempt_leave(&world->op);
	assert_null(world->op);
	attempt_leave(&world->op); /* nothing */
	assert_int_equal(pg.n_ops, 1);
	answers(ERR_UNAVAILABLE, true);
	assert_int_equal(pg.n_ops, 0); /* it is tried again, later or when all is drained */
	attempts_drain(world->attempts, on_drained, world->loop);
	assert_int_equal(pg.n_asked, 2);
	answers(ERR_INTERNAL, false);
	loop_run(world->loop);
	assert_int_equal(world->told, 0);
}

static void a_flood_is_one_row_that_says_how_many(void **state)
{
	struct world *world = *state;
	struct attempt ok = refused;
	struct attempt other = refused;
	size_t n = 0;

	while (writes(world, &refused)) {
		answers(ERR_INTERNAL, false);
		n++;
	}
	assert_int_equal(n, ATTEMPTS_OWN);
	for (int i = 0; i < 6; i++)
		assert_false(writes(world, &refused));
	assert_int_equal(world->told, ATTEMPTS_OWN);
	/* What was done, and what others are refused, is no part of it. */
	ok.outcome = "ok";
	assert_true(writes(world, &ok));
	answers(ERR_INTERNAL, false);
	other.api_key = "BBBBBBBBBBBB";
	assert_true(writes(world, &other));
	answers(ERR_INTERNAL, false);
	attempts_drain(world->attempts, on_drained, world->loop);
	assert_int_equal(pg.n_ops, 1);
	assert_string_equal(pg.params[19], "7");
	assert_string_equal(pg.params[15], "eve");
	answers(ERR_INTERNAL, false);
	loop_run(world->loop);
	assert_int_equal(pg.n_ops, 0);
}

static void so_many_wait_and_no_more(void **state)
{
	struct world *world = *state;
	struct attempt ok = refused;

	ok.outcome = "ok"; /* is never merged */
	for (int i = 0; i < ATTEMPTS_WAITING; i++) {
		assert_true(attempts_write(world->attempts, NULL, &ok, NULL, NULL));
		answers(ERR_UNAVAILABLE, true);
	}
	assert_false(attempts_write(world->attempts, NULL, &ok, NULL, NULL));
	assert_int_equal(pg.n_asked, ATTEMPTS_WAITING);
	assert_true(writes(world, &refused)); /* somebody waits for it */
	answers(ERR_INTERNAL, false);
	assert_int_equal(world->told, 1);
}

static void a_drain_ends_though_the_database_does_not_answer(void **state)
{
	struct world *world = *state;

	attempts_drain(world->attempts, on_drained, world->loop);
	loop_run(world->loop); /* nothing to do */
	assert_true(writes(world, &refused));
	attempt_leave(&world->op);
	attempts_drain(world->attempts, on_drained, world->loop);
	answers(ERR_UNAVAILABLE, true);
	loop_run(world->loop);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_refusal_is_a_row_with_all_that_is_known),
		TEST(nobodys_is_the_nil_tenants),
		TEST(who_waits_is_told_that_it_failed),
		TEST(who_leaves_is_not_told_and_it_is_written_all_the_same),
		TEST(a_flood_is_one_row_that_says_how_many),
		TEST(so_many_wait_and_no_more),
		TEST(a_drain_ends_though_the_database_does_not_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
