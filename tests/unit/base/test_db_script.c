/* SPDX-License-Identifier: Apache-2.0 */

/* Scripts: what travels between texts, and how they end. */

#include <signal.h>

#include "tests/unit/base/db_fixture.h"

#define BIG_TEXT_BYTES ((size_t)8 << 20)

struct play {
	struct db_script *slot;
	const char *const *texts; /* ends with NULL */
	size_t at;
	char v[4][LONG_TEXT]; /* column v of the first row after each text, or "NULL" */
	int calls;
	bool failed;
	struct err err;
};

static const char *on_play_next(void *ctx, const struct db_result *result)
{
	struct play *play = ctx;
	const char *v = NULL;

	if (play->at == 0)
		assert_null(result);
	else if (result != NULL && db_rows(result) > 0)
		v = db_text(result, 0, "v");
	if (play->at > 0)
		snprintf(play->v[play->at - 1], LONG_TEXT, "%s", v == NULL ? "NULL" : v);
	return play->texts[play->at++];
}

static void on_play_done(void *ctx, const struct err *err)
{
	struct play *play = ctx;

	assert_null(play->slot);
	play->calls++;
	play->failed = err != NULL;
	if (err != NULL)
		play->err = *err;
}

static void start_play(struct fixture *f, struct play *play, const char *const *texts,
		       int64_t text_timeout_ms)
{
	*play = (struct play){ .texts = texts };
	db_script_start(f->loop, &play->slot,
			&(struct db_script_params){ .conninfo = f->cluster.conninfo,
						    .connect_timeout_ms = 5000,
						    .text_timeout_ms = text_timeout_ms,
						    .next = on_play_next,
						    .done = on_play_done,
						    .ctx = play });
	assert_int_equal(play->calls, 0);
	assert_non_null(play->slot);
}

static bool play_has_ended(void *ctx)
{
	const struct play *play = ctx;

	return play->calls > 0;
}

static void finish_play(struct fixture *f, struct play *play)
{
	run_until(f, play_has_ended, play);
	assert_int_equal(play->calls, 1);
}

static void expect_play_failure(struct fixture *f, struct play *play, enum err_code code,
				const char *tag)
{
	finish_play(f, play);
	assert_true(play->failed);
	assert_int_equal(play->err.code, code);
	assert_string_equal(play->err.tag, tag);
}

static void texts_follow_each_other_on_one_connection(void **state)
{
	static const char *const texts[] = {
		"SET app.word = 'one'; CREATE TEMP TABLE t (v text); INSERT INTO t VALUES ('two')",
		"SELECT 'first' AS v; SELECT current_setting('app.word') || v AS v FROM t; SET a.b "
		"= ''",
		"",
		NULL,
	};
	struct fixture *f = *state;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	finish_play(f, &play);
	assert_false(play.failed);
	assert_string_equal(play.v[0], "NULL");
	assert_string_equal(play.v[1], "onetwo");
	assert_string_equal(play.v[2], "NULL");
}

static void no_text_at_all_is_a_connection_that_worked(void **state)
{
	static const char *const texts[] = { NULL };
	struct fixture *f = *state;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	finish_play(f, &play);
	assert_false(play.failed);
}

static void a_failing_statement_ends_it_with_its_sqlstate(void **state)
{
	static const char *const texts[] = { "SELECT 1 AS v",
					     "SELECT 2 AS v; SELECT no_such_thing; SELECT 3",
					     "CREATE TABLE never (v int)", NULL };
	struct fixture *f = *state;
	struct shot shot;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	expect_play_failure(f, &play, ERR_INTERNAL, "42703");
	assert_non_null(strstr(play.err.text, "no_such_thing"));
	assert_int_equal(play.at, 2);
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('never') IS NULL AS v"), "t");
}

static void what_is_not_committed_at_the_end_is_rolled_back(void **state)
{
	static const char *const texts[] = { "CREATE TABLE kept (v int)",
					     "BEGIN; CREATE TABLE lost (v int)", NULL };
	struct fixture *f = *state;
	struct shot shot;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	finish_play(f, &play);
	assert_false(play.failed);
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('kept') AS v"), "kept");
	assert_string_equal(ask(f, &shot, "SELECT to_regclass('lost') AS v"), "NULL");
	ask(f, &shot, "DROP TABLE kept");
}

static void copy_is_refused(void **state)
{
	static const char *const texts[] = { "COPY (SELECT 1) TO STDOUT", NULL };
	struct fixture *f = *state;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	expect_play_failure(f, &play, ERR_INTERNAL, "");
}

static void a_text_that_takes_too_long_is_given_up(void **state)
{
	static const char *const texts[] = { "SELECT pg_sleep(60)", NULL };
	struct fixture *f = *state;
	struct play play;

	start_play(f, &play, texts, 50);
	expect_play_failure(f, &play, ERR_TIMEOUT, "");
}

static void a_connection_that_breaks_is_unavailable(void **state)
{
	static const char *const texts[] = { "SELECT pg_terminate_backend(pg_backend_pid())",
					     NULL };
	struct fixture *f = *state;
	struct play play;

	start_play(f, &play, texts, LIMIT_MS);
	finish_play(f, &play);
	assert_true(play.failed);
	assert_int_equal(play.err.code, ERR_UNAVAILABLE);
}

static void no_server_is_unavailable(void **state)
{
	static const char *const texts[] = { "SELECT 1", NULL };
	struct fixture *f = *state;
	struct play play;

	pg_cluster_halt(&f->cluster);
	start_play(f, &play, texts, LIMIT_MS);
	expect_play_failure(f, &play, ERR_UNAVAILABLE, "");
	assert_int_equal(play.at, 0);
	assert_int_equal(pg_cluster_restart(&f->cluster), 0);
}

static void a_text_larger_than_the_socket_takes_arrives_whole(void **state)
{
	struct fixture *f = *state;
	char *text = mem_new(BIG_TEXT_BYTES + 64);
	const char *texts[] = { text, NULL };
	struct play play;
	int n;

	n = snprintf(text, 32, "SELECT length('");
	memset(text + n, 'x', BIG_TEXT_BYTES);
	snprintf(text + n + BIG_TEXT_BYTES, 32, "') AS v");
	start_play(f, &play, texts, LIMIT_MS);
	finish_play(f, &play);
	assert_false(play.failed);
	assert_string_equal(play.v[0], "8388608");
	free(text);
}

static bool second_text_runs(void *ctx)
{
	const struct play *play = ctx;

	return play->at >= 2;
}

static void cancel_means_silence(void **state)
{
	static const char *const texts[] = { "SELECT 1 AS v", "SELECT pg_sleep(60)", NULL };
	struct fixture *f = *state;
	struct shot shot;
	struct play early;
	struct play late;

	start_play(f, &early, texts, LIMIT_MS);
	db_script_cancel(&early.slot);
	db_script_cancel(&early.slot); /* twice is harmless */
	assert_null(early.slot);

	start_play(f, &late, texts, LIMIT_MS);
	run_until(f, second_text_runs, &late);
	db_script_cancel(&late.slot);
	assert_null(late.slot);
	ask(f, &shot, "SELECT 1 AS v");
	assert_int_equal(early.at, 0);
	assert_int_equal(early.calls + late.calls, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(texts_follow_each_other_on_one_connection),
		DB_TEST(no_text_at_all_is_a_connection_that_worked),
		DB_TEST(a_failing_statement_ends_it_with_its_sqlstate),
		DB_TEST(what_is_not_committed_at_the_end_is_rolled_back),
		DB_TEST(copy_is_refused),
		DB_TEST(a_text_that_takes_too_long_is_given_up),
		DB_TEST(a_connection_that_breaks_is_unavailable),
		DB_TEST(no_server_is_unavailable),
		DB_TEST(a_text_larger_than_the_socket_takes_arrives_whole),
		DB_TEST(cancel_means_silence),
	};

	return cmocka_run_group_tests(tests, start_program, end_program);
}
