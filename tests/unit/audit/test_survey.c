/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/survey.h"

#include "tests/unit/audit/ledger_fixture.h"

static struct survey look(struct fixture *f)
{
	struct survey survey;
	struct err err = { 0 };

	if (survey_read(f->dir, &survey, &err) < 0)
		fail_msg("%s", err.text);
	return survey;
}

static void rows_and_open_calls_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct survey survey;

	open_ledger(f, MAX_BYTES);
	put(f, EVENT_INTENT, 1);
	put(f, EVENT_INTENT, 2);
	put(f, EVENT_INTENT, 2); /* appended again */
	put(f, EVENT_ENTRY, 3);
	put(f, EVENT_OUTCOME, 4); /* its INTENT was released */
	put_durable(f, EVENT_OUTCOME, 1);
	survey = look(f);
	assert_true(survey.spool.has_owner);
	assert_true(survey.n_records >= 6); /* and those of the chain */
	assert_int_equal(survey.n_rows, 3);
	assert_int_equal(survey.n_open, 1);
	assert_int_equal(survey.n_unreadable, 0);
}

static void what_was_done_is_not_counted(void **state)
{
	struct fixture *f = *state;

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 1);
	put_durable(f, EVENT_ENTRY, 2);
	assert_int_equal(peek(f), 2);
	ledger_done(f->ledger, 1);
	ledger_close(&f->ledger);
	assert_int_equal(look(f).n_rows, 1);
	assert_false(look(f).spool.has_owner);
}

static void on_nothing(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	(void)ctx;
	(void)sequence;
	(void)type;
	(void)payload;
}

static void what_cannot_be_read_is_counted(void **state)
{
	struct fixture *f = *state;
	const struct spool_params params = {
		.dir = f->dir,
		.segment_bytes = MAX_BYTES / 8,
		.max_bytes = MAX_BYTES,
		.max_record_bytes = EVENT_MAX_BYTES,
	};
	struct survey survey;
	struct spool *spool;
	struct err err;

	spool = spool_open(f->loop, &params, on_nothing, NULL, &err);
	assert_non_null(spool);
	assert_true(spool_append(spool, EVENT_ENTRY, SPAN("?"), NULL, NULL, NULL, &err) > 0);
	spool_close(&spool);
	survey = look(f);
	assert_int_equal(survey.n_records, 1);
	assert_int_equal(survey.n_unreadable, 1);
	assert_int_equal(survey.oldest_us, 0);
}

static void where_no_spool_is_there_is_nothing_to_tell(void **state)
{
	struct fixture *f = *state;
	struct survey survey;
	struct err err;

	assert_int_equal(survey_read(f->dir, &survey, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(rows_and_open_calls_are_told_apart),
		LEDGER_TEST(what_was_done_is_not_counted),
		LEDGER_TEST(what_cannot_be_read_is_counted),
		LEDGER_TEST(where_no_spool_is_there_is_nothing_to_tell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
