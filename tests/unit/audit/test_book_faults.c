/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The real book on a real PostgreSQL while the n-th call that changes a file fails: once, or it
 * and all that follow, or in half, or interrupted. What was acknowledged has exactly one row in the
 * end, which says what was acknowledged, and there is no row that nobody asked for.
 *
 * TOLLGATE_FAULT_STRIDE=1 tries every n; else every fourth is.
 */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <errno.h>

#include "base/buf.h"
#include "tests/fakes/iofail.h"
#include "tests/unit/audit/book_fixture.h"

#define STRIDE	 4
#define N_CALLS	 6 /* of a run; and one ENTRY for each */
#define IN_A_ROW 100

/* How far a call came, as far as the book has said so. */
enum progress { NOTHING, BEGUN, ENDED };

struct run {
	struct desk *d;
	unsigned first; /* number of its first call; its entries follow */
	enum progress progress[2 * N_CALLS];
	struct spool_wait wait;
	int told;
	bool failed;
};

static void on_durable(void *ctx, const struct err *err)
{
	struct run *run = ctx;

	run->told++;
	run->failed = err != NULL;
}

static bool was_told(void *ctx)
{
	const struct run *run = ctx;

	return run->told > 0;
}

/* Whether the book has said that it is durable. */
static bool acknowledged(struct run *run, int ret)
{
	if (ret < 0)
		return false;
	run_until(&run->d->base, was_told, run);
	return !run->failed;
}

static void make_call(struct run *run, unsigned i)
{
	struct book *book = run->d->book;
	struct call call;
	struct err err;

	call_number(&call, run->first + i);
	run->told = 0;
	if (!acknowledged(run, book_intent(book, &call.call, &run->wait, on_durable, run, &err)))
		return;
	run->progress[i] = BEGUN;
	run->told = 0;
	if (acknowledged(run,
			 book_outcome(book, &call.call, &fine, &run->wait, on_durable, run, &err)))
		run->progress[i] = ENDED;
}

static void make_entry(struct run *run, unsigned i)
{
	struct call call;
	struct err err;

	call_number(&call, run->first + i);
	run->told = 0;
	if (acknowledged(run, book_entry(run->d->book, &call.call, &fine, &run->wait, on_durable,
					 run, &err)))
		run->progress[i] = ENDED;
}

/* The rows of this run, by number of call. */
static void expect_rows(struct run *run)
{
	struct desk *d = run->d;
	char sql[512];
	struct call call;

	for (unsigned i = 0; i < 2 * N_CALLS; i++) {
		call_number(&call, run->first + i);
		snprintf(
			sql, sizeof(sql),
			"SELECT count(*) || ' ' || count(*) FILTER (WHERE outcome = 'ok') || ' ' ||"
			" count(*) FILTER (WHERE outcome = 'unknown') AS v"
			" FROM audit.call_log WHERE call_id = '%s'",
			call.id);
		if (run->progress[i] == ENDED)
			expect(d, sql, "1 1 0");
		else if (run->progress[i] == BEGUN)
			assert_true(strcmp(look(d, sql), "1 0 1") == 0 ||
				    strcmp(look(d, sql), "1 1 0") == 0);
		else
			/* Refused; it may have reached a disk that did not say so. */
			assert_true(look(d, sql)[0] <= '1');
	}
	snprintf(sql, sizeof(sql),
		 "SELECT count(*) AS v FROM audit.call_log WHERE right(call_id::text, 12) <"
		 " lpad(to_hex(%u), 12, '0') OR right(call_id::text, 12) >= lpad(to_hex(%u), 12,"
		 " '0')",
		 run->first, run->first + 2 * N_CALLS);
	expect(d, sql, "0");
}

/* As when a worker is replaced, and the disk is well again. */
static void recover(struct desk *d)
{
	book_close(&d->book);
	open_book(d);
	flush(d);
	assert_int_equal(book_lost(d->book), 0);
	book_close(&d->book);
}

/* False: so many calls are not made any more. */
static bool fail_at(struct desk *d, enum iofail_mode mode, int error, unsigned n)
{
	struct run run = { .d = d, .first = 1 + n * IN_A_ROW };
	struct err err;
	int fired;

	look(d, "TRUNCATE audit.call_log");
	iofail_arm(mode, n, error);
	d->book = try_open(d, d->base.loop, d->writer, &err);
	for (unsigned i = 0; d->book != NULL && i < N_CALLS; i++) {
		make_call(&run, i);
		make_entry(&run, N_CALLS + i);
	}
	fired = iofail_fired();
	iofail_disarm();
	recover(d);
	expect_rows(&run);
	remove_dir(d->dir);
	return fired != 0;
}

static void every_fault_leaves_one_row_for_what_was_acknowledged(void **state)
{
	static const struct {
		enum iofail_mode mode;
		int error;
	} faults[] = {
		{IOFAIL_ONCE,	       EIO   },
		 { IOFAIL_FROM,	EIO   },
		   { IOFAIL_ONCE,	  ENOSPC},
		{ IOFAIL_FROM,       ENOSPC},
		 { IOFAIL_SHORT_ONCE, 0	},
		   { IOFAIL_EINTR_ONCE, 0	  },
	};
	const char *text = getenv("TOLLGATE_FAULT_STRIDE");
	unsigned stride =
		text != NULL && text[0] != '\0' ? (unsigned)strtoul(text, NULL, 10) : STRIDE;
	struct desk *d = *state;
	unsigned n_runs = 0;

	assert_true(stride > 0);
	d->fsync = true;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		unsigned n = 1 + (unsigned)i % stride;

		for (; fail_at(d, faults[i].mode, faults[i].error, n); n += stride)
			n_runs++;
		assert_true(n > N_CALLS);
	}
	print_message("# %u faults\n", n_runs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_TEST(every_fault_leaves_one_row_for_what_was_acknowledged),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
