/* SPDX-License-Identifier: Apache-2.0 */

/* Spools that change hands, and their rows, which must not be lost by it. */

#include "gateway/app/spools.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"

#define NODE "01920000-0000-7000-8000-0000000000ff"

struct world {
	struct gate_db *gate;
	char dir[32];
	const char *empty; /* a directory that is waited for */
	const char *asked; /* … a number of rows */
	const char *answer;
};

static struct spools *open_spools(const struct world *w, unsigned slot, unsigned n_slots)
{
	struct err err;
	struct spools *spools = spools_open(
		&(struct spools_params){
			.loop = w->gate->loop,
			.db = w->gate->admin,
			.data_dir = w->dir,
			.node_id = NODE,
			.slot = slot,
			.n_slots = n_slots,
			.max_bytes = 16 << 20,
		},
		&err);

	if (spools == NULL)
		fail_msg("%s", err.text);
	return spools;
}

/* What was about to happen when its worker ended. */
static void intend(const struct spools *spools, unsigned number)
{
	struct err err;
	char id[40];

	snprintf(id, sizeof(id), "01920000-0000-7000-8000-%012u", number);

	const struct book_call call = { .call_id = id, .started_us = loop_unix_us() };

	assert_int_equal(book_intent(spools_book(spools), &call, NULL, NULL, NULL, &err), 0);
}

static const char *path_of(const struct world *w, const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	return path;
}

static bool is_there(const struct world *w, const char *name)
{
	struct stat info;

	return stat(path_of(w, name), &info) == 0;
}

static bool is_drained(void *ctx)
{
	struct world *w = ctx;

	return !spool_dir_has_records(path_of(w, w->empty));
}

static void await_drained(struct world *w, const char *name)
{
	w->empty = name;
	gate_db_until(w->gate, is_drained, w);
}

static void assert_unknown(const struct world *w, const char *n)
{
	assert_string_equal(gate_db_ask(w->gate, "SELECT count(*)::text AS v FROM audit.call_log"
						 " WHERE outcome = 'unknown'"),
			    n);
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *where)
{
	(void)info;
	(void)type;
	(void)where;
	return remove(path);
}

static struct world begin(void **state)
{
	struct world w = { .gate = *state };

	snprintf(w.dir, sizeof(w.dir), "%s", "/tmp/test_spools.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	gate_db_do(w.gate, "DELETE FROM audit.call_log");
	return w;
}

static void end(const struct world *w)
{
	nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void a_successor_writes_beside_its_predecessor(void **state)
{
	struct world w = begin(state);
	struct spools *old = open_spools(&w, 0, 1);
	struct spools *young = open_spools(&w, 0, 1);
	struct spools *other = open_spools(&w, 1, 2);

	assert_true(is_there(&w, "spool-0"));
	assert_true(is_there(&w, "spool-0.1"));
	assert_true(is_there(&w, "spool-1"));
	assert_false(is_there(&w, "spool-1.1"));
	intend(old, 1);
	intend(young, 2);
	/* Nobody takes what has an owner. */
	gate_db_for(w.gate, 4 * SPOOLS_LOOK_MIN_MS);
	assert_unknown(&w, "0");
	spools_close(&other);
	spools_close(&young);
	spools_close(&old);
	end(&w);
}

static void what_a_predecessor_left_is_adopted_while_its_successor_serves(void **state)
{
	struct world w = begin(state);
	struct spools *old = open_spools(&w, 0, 1);
	struct spools *young = open_spools(&w, 0, 1);
	struct book_stats stats;

	intend(old, 1);
	intend(old, 2);
	intend(young, 3);
	spools_close(&old);
	await_drained(&w, "spool-0");
	assert_unknown(&w, "2");
	spools_stats(young, &stats);
	assert_int_equal(stats.written, 2);
	assert_int_equal(stats.backlog, 0);
	/* And the free directory is the next one's own. */
	old = open_spools(&w, 0, 1);
	assert_false(is_there(&w, "spool-0.2"));
	spools_close(&old);
	spools_close(&young);
	end(&w);
}

static void slot_0_adopts_those_of_slots_that_are_gone(void **state)
{
	struct world w = begin(state);
	struct spools *gone = open_spools(&w, 5, 8);
	struct spools *more = open_spools(&w, 5, 8);
	struct spools *first, *second;

	intend(gone, 1);
	intend(more, 2);
	spools_close(&gone);
	spools_close(&more);
	second = open_spools(&w, 1, 2);
	gate_db_for(w.gate, 4 * SPOOLS_LOOK_MIN_MS);
	assert_unknown(&w, "0");
	first = open_spools(&w, 0, 2);
	await_drained(&w, "spool-5");
	await_drained(&w, "spool-5.1");
	assert_unknown(&w, "2");
	spools_close(&first);
	spools_close(&second);
	end(&w);
}

static void what_is_no_spool_is_left_alone(void **state)
{
	static const char *const names[] = { "spool-", "spool-x", "spool-0x", "spool-99999999999",
					     "other" };
	struct world w = begin(state);
	struct spools *spools;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char segment[128];
		FILE *file;

		assert_int_equal(mkdir(path_of(&w, names[i]), 0700), 0);
		snprintf(segment, sizeof(segment), "%s/%s/0000000000000001.seg", w.dir, names[i]);
		file = fopen(segment, "we");
		assert_non_null(file);
		fclose(file);
	}
	spools = open_spools(&w, 0, 1);
	gate_db_for(w.gate, 4 * SPOOLS_LOOK_MIN_MS);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_true(spool_dir_has_records(path_of(&w, names[i])));
	assert_false(spool_dir_has_records(path_of(&w, "nothing")));
	spools_close(&spools);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_successor_writes_beside_its_predecessor),
		GATE_DB_TEST(what_a_predecessor_left_is_adopted_while_its_successor_serves),
		GATE_DB_TEST(slot_0_adopts_those_of_slots_that_are_gone),
		GATE_DB_TEST(what_is_no_spool_is_left_alone),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
