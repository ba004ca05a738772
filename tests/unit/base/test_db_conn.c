/* SPDX-License-Identifier: Apache-2.0 */

/* Transactions against a real server: parameters, settings, failures, sizes. */

#include "tests/unit/base/db_fixture.h"

static void start_tx(struct fixture *f, struct shot *shot, const struct db_tx *tx)
{
	*shot = (struct shot){ 0 };
	db_start(f->db, &shot->op, tx, on_done, shot);
	assert_int_equal(shot->calls, 0);
}

static void start_statements(struct fixture *f, struct shot *shot,
			     const struct db_statement *statements, size_t n)
{
	start_tx(f, shot, &(struct db_tx){ .statements = statements, .n_statements = n });
}

static void make_table(struct fixture *f, const char *name)
{
	struct shot shot;
	char sql[200];

	snprintf(sql, sizeof(sql), "DROP TABLE IF EXISTS %s", name);
	ask(f, &shot, sql);
	snprintf(sql, sizeof(sql),
		 "CREATE TABLE %s (id int PRIMARY KEY DEFERRABLE INITIALLY IMMEDIATE, t text)",
		 name);
	ask(f, &shot, sql);
}

struct types {
	struct db_op *op;
	int calls;
};

static void on_types(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct types *types = ctx;
	const struct db_result *row = results[0];
	size_t n_bytes;
	uint8_t *bytes;

	types->calls++;
	assert_null(err);
	assert_int_equal(n, 1);
	assert_int_equal(db_rows(row), 1);
	assert_string_equal(db_text(row, 0, "text"), "na\xc3\xafve 'quoted' \\ $1");
	assert_true(db_span(row, 0, "empty").p != NULL);
	assert_int_equal(db_span(row, 0, "empty").n, 0);
	assert_true(db_int(row, 0, "number") == INT64_MIN);
	assert_true(db_bool(row, 0, "yes"));
	assert_false(db_bool(row, 0, "no"));
	bytes = db_bytes(row, 0, "Bytes", &n_bytes);
	assert_int_equal(n_bytes, 3);
	assert_memory_equal(bytes, "\x00\xff\x41", 3);
	free(bytes);

	assert_null(db_text(row, 0, "nothing"));
	assert_null(db_span(row, 0, "nothing").p);
	assert_int_equal(db_int(row, 0, "nothing"), 0);
	assert_false(db_bool(row, 0, "nothing"));
	assert_null(db_bytes(row, 0, "nothing", &n_bytes));
	assert_int_equal(n_bytes, 0);
}

static bool types_came(void *ctx)
{
	return ((struct types *)ctx)->calls > 0;
}

static void passes_parameters_and_nulls(void **state)
{
	struct fixture *f = *state;
	struct types types = { 0 };
	const struct span params[] = { SPAN("na\xc3\xafve 'quoted' \\ $1"),
				       SPAN(""),
				       SPAN("-9223372036854775808"),
				       SPAN("true"),
				       SPAN("f"),
				       SPAN("\\x00fF41"),
				       { 0 } };

	db_query(
		f->db, &types.op, NULL,
		"SELECT $1::text AS text, $2::text AS empty, $3::bigint AS number, $4::bool AS yes,"
		" $5::bool AS no, $6::bytea AS \"Bytes\", $7::text AS nothing",
		params, 7, on_types, &types);
	run_until(f, types_came, &types);
}

static void settings_end_with_their_transaction(void **state)
{
	struct fixture *f = *state;
	const struct db_setting settings[] = {
		{"app.tenant", "a'b"},
		 { "app.user",  "u"  }
	};
	const struct db_statement statement = {
		.sql = "SELECT current_setting('app.tenant') || current_setting('app.user') AS v"
	};
	struct shot shot;

	use_connections(f, 1);
	start_tx(f, &shot,
		 &(struct db_tx){ .settings = settings,
				  .n_settings = 2,
				  .statements = &statement,
				  .n_statements = 1 });
	finish_shot(f, &shot);
	assert_false(shot.failed);
	assert_int_equal(shot.n_results, 1);
	assert_string_equal(shot.v[0], "a'bu");
	assert_string_equal(ask(f, &shot, "SELECT current_setting('app.tenant', true) AS v"), "");
}

static void one_setting_by_the_short_form(void **state)
{
	struct fixture *f = *state;
	const struct db_setting setting = { "app.tenant", "t1" };
	struct shot shot = { 0 };

	db_query(f->db, &shot.op, &setting, "SELECT current_setting('app.tenant') AS v", NULL, 0,
		 on_done, &shot);
	finish_shot(f, &shot);
	assert_string_equal(shot.v[0], "t1");
}

static void gives_one_result_for_each_statement(void **state)
{
	struct fixture *f = *state;
	const struct span two[] = { SPAN("2"), SPAN("b") };
	const struct db_statement statements[] = {
		{.sql = "INSERT INTO several VALUES (1, 'a')"	       },
		{ .sql = "INSERT INTO several VALUES ($1, $2), (3, 'c')",
		  .params = two,
		  .n_params = 2 },
		{ .sql = "SELECT t AS v FROM several ORDER BY id DESC"					       },
		{ .sql = ""	    },
		{ .sql = "DELETE FROM several WHERE id > 1 RETURNING t AS v"						     },
		{ .sql = "SELECT 1 AS v WHERE false"},
		{ .sql = "DO $$ BEGIN RAISE NOTICE 'quiet'; END $$"			    },
		{ .sql = "SELECT count(*) AS v FROM several"	     },
	};
	static const size_t affected[] = { 1, 2, 3, 0, 2, 0, 0, 1 };
	static const size_t rows[] = { 0, 0, 3, 0, 2, 0, 0, 1 };
	struct shot shot;

	make_table(f, "several");
	start_statements(f, &shot, statements, 8);
	finish_shot(f, &shot);
	assert_false(shot.failed);
	assert_int_equal(shot.n_results, 8);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(shot.affected[i], affected[i]);
		assert_int_equal(shot.rows[i], rows[i]);
	}
	assert_string_equal(shot.v[2], "c");
	assert_string_equal(shot.v[7], "1");
}

static void a_failing_statement_undoes_the_others(void **state)
{
	struct fixture *f = *state;
	const struct db_statement statements[] = {
		{ .sql = "INSERT INTO undone VALUES (1, 'a')" },
		{ .sql = "SELECT 1 / (count(*) - 1) AS v FROM undone" },
		{ .sql = "INSERT INTO no_such_table VALUES (1)" },
	};
	struct shot shot;
	char pid[LONG_TEXT];

	use_connections(f, 1);
	make_table(f, "undone");
	snprintf(pid, sizeof(pid), "%s", ask(f, &shot, "SELECT pg_backend_pid() AS v"));
	start_statements(f, &shot, statements, 3);
	expect_failure(f, &shot, ERR_INTERNAL, "22012");
	assert_string_equal(shot.err.text, "division by zero");

	assert_string_equal(ask(f, &shot, "SELECT count(*) AS v FROM undone"), "0");
	assert_string_equal(ask(f, &shot, "SELECT pg_backend_pid() AS v"), pid);
	assert_true(db_up(f->db));
}

static void a_failing_first_statement_is_reported(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	shoot(f, &shot, "SELEKT");
	expect_failure(f, &shot, ERR_INTERNAL, "42601");
	shoot(f, &shot, "SELECT 1; SELECT 2");
	expect_failure(f, &shot, ERR_INTERNAL, "42601");
}

static void a_bad_setting_fails_the_transaction(void **state)
{
	struct fixture *f = *state;
	const struct db_setting setting = { "statement_timeout", "soon" };
	struct shot shot = { 0 };

	db_query(f->db, &shot.op, &setting, "SELECT 1 AS v", NULL, 0, on_done, &shot);
	expect_failure(f, &shot, ERR_INTERNAL, "22023");
	assert_string_equal(ask(f, &shot, "SELECT 1 AS v"), "1");
}

static void a_unique_violation_is_a_conflict_without_its_values(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	make_table(f, "once");
	ask(f, &shot, "INSERT INTO once VALUES (4711, 'a')");
	shoot(f, &shot, "INSERT INTO once VALUES (4711, 'b')");
	expect_failure(f, &shot, ERR_CONFLICT, "23505");
	assert_null(strstr(shot.err.text, "4711"));
	assert_string_equal(ask(f, &shot, "SELECT t AS v FROM once"), "a");
}

static void a_failing_commit_is_reported(void **state)
{
	struct fixture *f = *state;
	const struct db_statement statements[] = {
		{ .sql = "SET CONSTRAINTS ALL DEFERRED" },
		{ .sql = "INSERT INTO late VALUES (1, 'a')" },
		{ .sql = "INSERT INTO late VALUES (1, 'b')" },
	};
	struct shot shot;

	use_connections(f, 1);
	make_table(f, "late");
	start_statements(f, &shot, statements, 3);
	expect_failure(f, &shot, ERR_CONFLICT, "23505");
	assert_string_equal(ask(f, &shot, "SELECT count(*) AS v FROM late"), "0");
}

static void a_value_that_does_not_fit_is_not_repeated(void **state)
{
	struct fixture *f = *state;
	const struct span secret = SPAN("s3cret");
	struct shot shot = { 0 };

	db_query(f->db, &shot.op, NULL, "SELECT $1::int AS v", &secret, 1, on_done, &shot);
	expect_failure(f, &shot, ERR_INTERNAL, "22P02");
	assert_null(strstr(shot.err.text, "s3cret"));
	assert_non_null(strstr(shot.err.text, "invalid input syntax"));
}

static void a_slow_statement_is_cut_by_the_server(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	struct shot shot;
	char pid[LONG_TEXT];

	params.max_connections = 1;
	params.op_timeout_ms = 500;
	use_pool(f, &params);
	snprintf(pid, sizeof(pid), "%s", ask(f, &shot, "SELECT pg_backend_pid() AS v"));
	shoot(f, &shot, "SELECT pg_sleep(20) AS v");
	expect_failure(f, &shot, ERR_TIMEOUT, "57014");
	assert_string_equal(ask(f, &shot, "SELECT pg_backend_pid() AS v"), pid);
}

static void copy_fails_instead_of_hanging(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	use_connections(f, 1);
	shoot(f, &shot, "COPY (SELECT 1) TO STDOUT");
	finish_shot(f, &shot);
	assert_true(shot.failed);
	assert_int_equal(shot.err.code, ERR_INTERNAL);
	make_table(f, "copied");
	shoot(f, &shot, "COPY copied FROM STDIN");
	finish_shot(f, &shot);
	assert_true(shot.failed);
	assert_int_equal(shot.err.code, ERR_INTERNAL);
	assert_string_equal(ask(f, &shot, "SELECT 1 AS v"), "1");
}

static void statements_that_end_the_transaction_do_no_harm(void **state)
{
	static const char *const sql[] = { "COMMIT", "ROLLBACK", "BEGIN", "SAVEPOINT a" };
	struct fixture *f = *state;
	struct shot shot;

	use_connections(f, 1);
	for (size_t i = 0; i < sizeof(sql) / sizeof(sql[0]); i++) {
		shoot(f, &shot, sql[i]);
		finish_shot(f, &shot);
		assert_false(shot.failed);
		assert_string_equal(ask(f, &shot, "SELECT 1 AS v"), "1");
	}
}

/* Sends n bytes as a parameter, and asks the server how many arrived. */
static void send_large(struct fixture *f, size_t n)
{
	char *bytes = mem_new(n);
	const struct span param = { bytes, n };
	struct shot shot = { 0 };
	char expected[32];

	memset(bytes, 'x', n);
	db_query(f->db, &shot.op, NULL, "SELECT length($1::text) AS v", &param, 1, on_done, &shot);
	free(bytes);
	finish_shot(f, &shot);
	assert_false(shot.failed);
	snprintf(expected, sizeof(expected), "%zu", n);
	assert_string_equal(shot.v[0], expected);
}

static void carries_a_parameter_of_10_mb_and_of_64_mib(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);

	params.op_timeout_ms = LIMIT_MS;
	use_pool(f, &params);
	send_large(f, 10 * 1000 * 1000);
	send_large(f, 64 * 1024 * 1024);
}

static void a_connection_that_carried_much_is_not_kept(void **state)
{
	struct fixture *f = *state;
	struct shot before;
	struct shot after;

	use_connections(f, 1);
	ask(f, &before, "SELECT pg_backend_pid() AS v");
	send_large(f, 1024 * 1024);
	assert_string_equal(ask(f, &after, "SELECT pg_backend_pid() AS v"), before.v[0]);
	send_large(f, 9 * 1024 * 1024);
	assert_string_not_equal(ask(f, &after, "SELECT pg_backend_pid() AS v"), before.v[0]);
}

/* The server cannot take the second before we have read the first. */
static void sends_and_receives_much_at_once(void **state)
{
	struct fixture *f = *state;
	size_t n = 12 * 1000 * 1000;
	char *bytes = mem_new(n);
	const struct span param = { bytes, n };
	const struct db_statement statements[] = {
		{.sql = "SELECT repeat('y', 1000) AS v FROM generate_series(1, 20000)"},
		{ .sql = "SELECT $1::text AS v",					 .params = &param, .n_params = 1 },
		{ .sql = "SELECT repeat('z', 1000) AS v FROM generate_series(1, 20000)"							},
	};
	struct shot shot;

	memset(bytes, 'x', n);
	start_statements(f, &shot, statements, 3);
	free(bytes);
	finish_shot(f, &shot);
	assert_false(shot.failed);
	assert_int_equal(shot.rows[0], 20000);
	assert_int_equal(shot.rows[1], 1);
	assert_int_equal(shot.rows[2], 20000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(passes_parameters_and_nulls),
		DB_TEST(settings_end_with_their_transaction),
		DB_TEST(one_setting_by_the_short_form),
		DB_TEST(gives_one_result_for_each_statement),
		DB_TEST(a_failing_statement_undoes_the_others),
		DB_TEST(a_failing_first_statement_is_reported),
		DB_TEST(a_bad_setting_fails_the_transaction),
		DB_TEST(a_unique_violation_is_a_conflict_without_its_values),
		DB_TEST(a_failing_commit_is_reported),
		DB_TEST(a_value_that_does_not_fit_is_not_repeated),
		DB_TEST(a_slow_statement_is_cut_by_the_server),
		DB_TEST(copy_fails_instead_of_hanging),
		DB_TEST(statements_that_end_the_transaction_do_no_harm),
		DB_TEST(carries_a_parameter_of_10_mb_and_of_64_mib),
		DB_TEST(a_connection_that_carried_much_is_not_kept),
		DB_TEST(sends_and_receives_much_at_once),
	};

	return cmocka_run_group_tests(tests, start_program, end_program);
}
