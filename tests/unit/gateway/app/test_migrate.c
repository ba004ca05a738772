/* SPDX-License-Identifier: Apache-2.0 */

/* Each test has a database of its own; the roles belong to the cluster and stay. */

#include "gateway/app/migrate.h"
#include "tests/unit/base/db_fixture.h"

#define MAX_LIST 32

struct run {
	struct migrate *slot;
	size_t applied;
	const struct migration *list[MAX_LIST]; /* as reported */
	int calls;
	size_t n; /* as done says */
	bool failed;
	struct err err;
};

static void on_applied(void *ctx, const struct migration *migration)
{
	struct run *run = ctx;

	assert_true(run->applied < MAX_LIST);
	run->list[run->applied++] = migration;
}

static void on_migrated(void *ctx, size_t n, const struct err *err)
{
	struct run *run = ctx;

	assert_null(run->slot);
	run->calls++;
	run->n = n;
	run->failed = err != NULL;
	if (err != NULL)
		run->err = *err;
}

struct plan {
	const char *user; /* NULL: the superuser */
	const struct migration *list;
	size_t n;
	bool dry_run;
};

static void start_run(struct fixture *f, struct run *run, const struct plan *plan)
{
	char *conninfo = mem_printf("%s dbname=m user=%s", f->cluster.conninfo,
				    plan->user == NULL ? "postgres" : plan->user);

	*run = (struct run){ 0 };
	migrate_start(f->loop, &run->slot,
		      &(struct migrate_params){ .conninfo = conninfo,
						.list = plan->list,
						.n = plan->n,
						.dry_run = plan->dry_run,
						.applied = on_applied,
						.done = on_migrated,
						.ctx = run });
	free(conninfo);
	assert_int_equal(run->calls, 0);
	assert_non_null(run->slot);
}

static bool run_has_ended(void *ctx)
{
	const struct run *run = ctx;

	return run->calls > 0;
}

static void finish_run(struct fixture *f, struct run *run)
{
	run_until(f, run_has_ended, run);
	assert_int_equal(run->calls, 1);
	assert_int_equal(run->n, run->applied);
}

/* Runs to the end, which must be good; returns how many were applied. */
static size_t migrate(struct fixture *f, const struct plan *plan)
{
	struct run run;

	start_run(f, &run, plan);
	finish_run(f, &run);
	if (run.failed)
		print_error("%s\n", run.err.text);
	assert_false(run.failed);
	return run.n;
}

static void expect_refusal(struct fixture *f, const struct plan *plan, const char *why)
{
	struct run run;

	start_run(f, &run, plan);
	finish_run(f, &run);
	assert_true(run.failed);
	assert_int_equal(run.err.code, ERR_CONFLICT);
	if (strstr(run.err.text, why) == NULL)
		print_error("%s\n", run.err.text);
	assert_non_null(strstr(run.err.text, why));
	assert_int_equal(run.n, 0);
}

static struct plan plan_all(void)
{
	return (struct plan){ .list = migrations, .n = n_migrations };
}

/* The pool of the fixture then goes to the new database. */
static int start_migrate_test(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	char *conninfo = mem_printf("%s dbname=m", f->cluster.conninfo);

	if (pg_cluster_psql(&f->cluster, "postgres", "CREATE DATABASE m") < 0)
		return -1;
	f->loop = loop_new();
	params.conninfo = conninfo;
	f->db = db_new(f->loop, &params);
	free(conninfo);
	return 0;
}

static int end_migrate_test(void **state)
{
	struct fixture *f = *state;

	end_test(state);
	return pg_cluster_psql(&f->cluster, "postgres", "DROP DATABASE m WITH (FORCE)");
}

static void a_fresh_database_gets_every_migration_in_order(void **state)
{
	struct fixture *f = *state;
	const struct plan plan = plan_all();
	struct shot shot;
	struct run run;

	assert_true(n_migrations >= 6);
	start_run(f, &run, &plan);
	finish_run(f, &run);
	assert_false(run.failed);
	assert_int_equal(run.n, n_migrations);
	for (size_t i = 0; i < n_migrations; i++) {
		char *ask_row = mem_printf("SELECT name || ' ' || sha256 AS v"
					   " FROM tollgate.tollgate_migrations WHERE version = %zu",
					   i + 1);
		char *expected = mem_printf("%s %s", migrations[i].name, migrations[i].sha256);

		assert_ptr_equal(run.list[i], &migrations[i]);
		assert_int_equal(migrations[i].version, i + 1);
		assert_string_equal(ask(f, &shot, ask_row), expected);
		free(ask_row);
		free(expected);
	}
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('audit.calls') AS v"), "audit.calls");
}

static void a_second_run_does_nothing(void **state)
{
	struct fixture *f = *state;
	const struct plan plan = plan_all();
	struct shot shot;
	char id[LONG_TEXT];

	assert_int_equal(migrate(f, &plan), n_migrations);
	snprintf(id, sizeof(id), "%s",
		 ask(f, &shot, "SELECT tollgate.setting('deployment_id') AS v"));
	assert_int_equal(migrate(f, &plan), 0);
	assert_string_equal(ask(f, &shot, "SELECT tollgate.setting('deployment_id') AS v"), id);
}

static void a_dry_run_lists_what_is_missing_and_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct plan dry = plan_all();
	struct plan some = plan_all();
	struct shot shot;
	struct run run;

	dry.dry_run = true;
	assert_int_equal(migrate(f, &dry), n_migrations);
	assert_string_equal(ask(f, &shot,
				"SELECT count(*) AS v FROM pg_namespace WHERE nspname IN "
				"('tollgate', 'audit')"),
			    "0");

	some.n = 2;
	assert_int_equal(migrate(f, &some), 2);
	start_run(f, &run, &dry);
	finish_run(f, &run);
	assert_false(run.failed);
	assert_int_equal(run.n, n_migrations - 2);
	assert_string_equal(run.list[0]->name, migrations[2].name);
	assert_string_equal(ask(f, &shot, "SELECT count(*) AS v FROM tollgate.tollgate_migrations"),
			    "2");
	assert_int_equal(migrate(f, &(struct plan){ .list = migrations, .n = n_migrations }),
			 n_migrations - 2);
}

static void a_migration_that_changed_is_refused(void **state)
{
	struct fixture *f = *state;
	struct migration changed[MAX_LIST];
	struct plan plan = { .list = changed, .n = 3 };

	memcpy(changed, migrations, 3 * sizeof(changed[0]));
	plan.n = 2;
	assert_int_equal(migrate(f, &plan), 2);
	changed[1].sha256 = migrations[0].sha256;
	plan.n = 3;
	expect_refusal(f, &plan, "must not change");
	plan.dry_run = true;
	expect_refusal(f, &plan, changed[1].name);
}

static void a_schema_newer_than_the_program_is_refused(void **state)
{
	struct fixture *f = *state;
	struct plan plan = { .list = migrations, .n = 2 };

	assert_int_equal(migrate(f, &plan), 2);
	plan.n = 1;
	expect_refusal(f, &plan, "older than the schema");
	plan.n = 0;
	expect_refusal(f, &plan, migrations[0].name);
}

static void a_gap_in_what_was_applied_is_refused(void **state)
{
	struct fixture *f = *state;
	struct plan plan = { .list = migrations, .n = 3 };
	struct shot shot;

	assert_int_equal(migrate(f, &plan), 3);
	ask(f, &shot,
	    "DELETE FROM tollgate.tollgate_migrations WHERE version = 2 RETURNING 1 AS v");
	expect_refusal(f, &plan, "gap");
}

static bool both_have_ended(void *ctx)
{
	const struct run *runs = ctx;

	return runs[0].calls > 0 && runs[1].calls > 0;
}

static void two_at_once_apply_each_migration_once(void **state)
{
	struct fixture *f = *state;
	const struct plan plan = plan_all();
	struct shot shot;
	struct run runs[2];

	start_run(f, &runs[0], &plan);
	start_run(f, &runs[1], &plan);
	run_until(f, both_have_ended, runs);
	assert_false(runs[0].failed);
	assert_false(runs[1].failed);
	assert_int_equal(runs[0].n + runs[1].n, n_migrations);
	assert_string_equal(ask(f, &shot,
				"SELECT count(*) = max(version) AS v"
				" FROM tollgate.tollgate_migrations"),
			    "t");
}

static void a_failing_migration_is_rolled_back_and_those_before_it_stay(void **state)
{
	struct fixture *f = *state;
	struct migration list[] = {
		migrations[0],
		{2,  "0002_good.sql", migrations[1].sha256, "CREATE TABLE tollgate.good (v int);"},
		{ 3, "0003_bad.sql",  migrations[2].sha256,
		     "CREATE TABLE tollgate.bad (v int);\nSELECT 1/0;\n"			      },
	};
	struct plan plan = { .list = list, .n = 3 };
	struct shot shot;
	struct run run;

	start_run(f, &run, &plan);
	finish_run(f, &run);
	assert_true(run.failed);
	assert_string_equal(run.err.tag, "22012");
	assert_non_null(strstr(run.err.text, "0003_bad.sql"));
	assert_int_equal(run.n, 2);
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('tollgate.bad') AS v"), "NULL");
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('tollgate.good') AS v"),
			    "tollgate.good");

	list[2].sql = "CREATE TABLE tollgate.bad (v int); -- a comment at the end";
	start_run(f, &run, &plan);
	finish_run(f, &run);
	assert_false(run.failed);
	assert_int_equal(run.n, 1);
	assert_string_equal(
		ask(f, &shot, "SELECT max(version) AS v FROM tollgate.tollgate_migrations"), "3");
}

static void the_runtime_role_may_ask_but_not_migrate(void **state)
{
	struct fixture *f = *state;
	struct plan ours = { .list = migrations, .n = n_migrations - 1 };
	struct plan theirs = plan_all();
	struct run run;

	assert_int_equal(migrate(f, &ours), n_migrations - 1);
	theirs.user = "tollgate_app";
	theirs.dry_run = true;
	assert_int_equal(migrate(f, &theirs), 1);
	theirs.dry_run = false;
	start_run(f, &run, &theirs);
	finish_run(f, &run);
	assert_true(run.failed);
	assert_string_equal(run.err.tag, "42501");
	assert_int_equal(run.n, 0);
}

/* Advisory locks take no right. */
static void who_may_connect_cannot_hold_it_up(void **state)
{
	struct fixture *f = *state;
	struct plan ours = { .list = migrations, .n = n_migrations - 1 };
	const struct plan all = plan_all();
	struct shot shot;

	assert_int_equal(migrate(f, &ours), n_migrations - 1);
	assert_string_equal(ask(f, &shot,
				"SELECT count(pg_advisory_lock(4935230000 + i)) AS v"
				" FROM generate_series(0, 999) i"),
			    "1000");
	assert_int_equal(migrate(f, &all), 1);
	ask(f, &shot, "SELECT pg_advisory_unlock_all()::text AS v");
}

static void no_such_database_is_unavailable(void **state)
{
	struct fixture *f = *state;
	struct run run = { 0 };

	migrate_start(f->loop, &run.slot,
		      &(struct migrate_params){ .conninfo = "host=/nonexistent dbname=x",
						.list = migrations,
						.n = n_migrations,
						.done = on_migrated,
						.ctx = &run });
	finish_run(f, &run);
	assert_true(run.failed);
	assert_int_equal(run.err.code, ERR_UNAVAILABLE);
}

static bool first_is_applied(void *ctx)
{
	const struct run *run = ctx;

	return run->applied > 0;
}

static void cancel_means_silence(void **state)
{
	struct fixture *f = *state;
	const struct plan plan = plan_all();
	struct run early;
	struct run late;
	struct run whole;

	start_run(f, &early, &plan);
	migrate_cancel(&early.slot);
	migrate_cancel(&early.slot);
	start_run(f, &late, &plan);
	run_until(f, first_is_applied, &late);
	migrate_cancel(&late.slot);

	/* What was begun is rolled back or done, and the rest can be applied. */
	start_run(f, &whole, &plan);
	finish_run(f, &whole);
	assert_false(whole.failed);
	assert_true(whole.n < n_migrations);
	assert_int_equal(migrate(f, &plan), 0);
	assert_int_equal(early.calls + late.calls, 0);
	assert_int_equal(early.applied, 0);
}

#define MIGRATE_TEST(name)                                                                         \
	cmocka_unit_test_setup_teardown(name, start_migrate_test, end_migrate_test)

int main(void)
{
	const struct CMUnitTest tests[] = {
		MIGRATE_TEST(a_fresh_database_gets_every_migration_in_order),
		MIGRATE_TEST(a_second_run_does_nothing),
		MIGRATE_TEST(a_dry_run_lists_what_is_missing_and_changes_nothing),
		MIGRATE_TEST(a_migration_that_changed_is_refused),
		MIGRATE_TEST(a_schema_newer_than_the_program_is_refused),
		MIGRATE_TEST(a_gap_in_what_was_applied_is_refused),
		MIGRATE_TEST(two_at_once_apply_each_migration_once),
		MIGRATE_TEST(a_failing_migration_is_rolled_back_and_those_before_it_stay),
		MIGRATE_TEST(the_runtime_role_may_ask_but_not_migrate),
		MIGRATE_TEST(who_may_connect_cannot_hold_it_up),
		MIGRATE_TEST(no_such_database_is_unavailable),
		MIGRATE_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, start_program, end_program);
}
