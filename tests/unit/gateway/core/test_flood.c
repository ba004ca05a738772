/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=loop_now_ms -Wl,--wrap=timer_start -Wl,--wrap=timer_stop */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/flood.h"

#define OWN   3
#define TOTAL 20

/* --- a clock of our own ---------------------------------------------------------------------- */

static struct {
	int64_t now_ms;
	struct timer *timer;
	int64_t due_ms;
	loop_cb *cb;
	void *ctx;
} at;

int64_t __wrap_loop_now_ms(const struct loop *loop);
int64_t __wrap_loop_now_ms(const struct loop *loop)
{
	(void)loop;
	return at.now_ms;
}

void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	(void)loop;
	at.timer = timer;
	at.due_ms = at.now_ms + delay_ms;
	at.cb = cb;
	at.ctx = ctx;
}

void __wrap_timer_stop(struct timer *timer);
void __wrap_timer_stop(struct timer *timer)
{
	if (at.timer == timer)
		at.timer = NULL;
}

static void pass(int64_t ms)
{
	at.now_ms += ms;
	if (at.timer != NULL && at.due_ms <= at.now_ms) {
		at.timer = NULL;
		at.cb(at.ctx);
	}
}

/* --- what is written ------------------------------------------------------------------------- */

struct book {
	bool refuses;
	size_t n_rows;
	uint64_t n_merged;
	char last[32];
	uint64_t last_n;
};

static bool on_write(void *ctx, void *first, uint64_t n)
{
	struct book *book = ctx;

	if (book->refuses)
		return false;
	book->n_rows++;
	book->n_merged += n;
	book->last_n = n;
	snprintf(book->last, sizeof(book->last), "%s", (const char *)first);
	return true;
}

static struct flood *open_flood(struct book *book)
{
	*book = (struct book){ .refuses = false };
	memset(&at, 0, sizeof(at));
	return flood_new(&(struct flood_params){
		.own_per_window = OWN,
		.total_per_window = TOTAL,
		.first_bytes = 32,
		.write = on_write,
		.ctx = book,
	});
}

/* True if it has a record of its own. */
static bool comes_from(struct flood *flood, const char *tenant, const char *source, unsigned kind,
		       const char *what)
{
	struct flood_verdict verdict = flood_note(flood, tenant, source, kind);

	if (verdict.merged && verdict.fresh)
		snprintf(verdict.first, 32, "%s", what);
	return !verdict.merged;
}

static bool comes(struct flood *flood, const char *source, unsigned kind, const char *what)
{
	return comes_from(flood, NULL, source, kind, what);
}

static void the_first_of_a_window_are_their_own_and_the_rest_are_one(void **state)
{
	struct book book;
	struct flood *flood = open_flood(&book);

	(void)state;
	for (int i = 0; i < OWN; i++)
		assert_true(comes(flood, "10.0.0.1", 0, "own"));
	for (int i = 0; i < 1000; i++)
		assert_false(comes(flood, "10.0.0.1", 0, i == 0 ? "first" : "later"));
	/* Other sources and kinds have windows of their own. */
	assert_true(comes(flood, "10.0.0.2", 0, "own"));
	assert_true(comes(flood, "10.0.0.1", 1, "own"));
	assert_int_equal(flood_pending(flood), 1000);
	pass(FLOOD_WINDOW_MS - 1);
	assert_int_equal(book.n_rows, 0);
	pass(1);
	assert_int_equal(book.n_rows, 1);
	assert_int_equal(book.last_n, 1000);
	assert_string_equal(book.last, "first");
	assert_int_equal(flood_pending(flood), 0);
	assert_null(at.timer);
	/* A new window. */
	for (int i = 0; i < OWN; i++)
		assert_true(comes(flood, "10.0.0.1", 0, "own"));
	assert_false(comes(flood, "10.0.0.1", 0, "again"));
	assert_true(flood_flush(flood));
	assert_string_equal(book.last, "again");
	assert_int_equal(book.last_n, 1);
	flood_free(&flood);
	assert_null(flood);
}

static void what_cannot_be_written_is_offered_again_with_what_came_since(void **state)
{
	struct book book;
	struct flood *flood = open_flood(&book);

	(void)state;
	for (int i = 0; i < OWN + 5; i++)
		comes(flood, "a", 0, "first");
	book.refuses = true;
	pass(FLOOD_WINDOW_MS);
	assert_int_equal(flood_pending(flood), 5);
	assert_non_null(at.timer);
	for (int i = 0; i < OWN + 2; i++)
		comes(flood, "a", 0, "later");
	assert_false(flood_flush(flood));
	book.refuses = false;
	pass(FLOOD_WINDOW_MS);
	assert_int_equal(book.n_rows, 1);
	assert_int_equal(book.last_n, 7);
	assert_string_equal(book.last, "first");
	flood_free(&flood);
}

/* However many sources there are: each call is counted once, in memory that does not grow. */
static void nothing_goes_uncounted_when_sources_outnumber_the_table(void **state)
{
	struct book book;
	struct flood *flood = open_flood(&book);
	uint64_t n_own = 0;
	char source[32];

	(void)state;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 20 * FLOOD_SOURCES; i++) {
			snprintf(source, sizeof(source), "10.%d.%d", i >> 8, i & 255);
			n_own += comes(flood, source, 2, "x") ? 1 : 0;
		}
	}
	assert_int_equal(n_own, TOTAL);
	assert_true(flood_flush(flood));
	assert_int_equal(book.n_merged + n_own, 60 * FLOOD_SOURCES);
	assert_true(book.n_rows <= FLOOD_SOURCES + 1);
	flood_free(&flood);
}

static void all_together_have_a_limit_and_odd_sources_are_sources(void **state)
{
	struct book book;
	struct flood *flood = open_flood(&book);
	char source[2 * FLOOD_SOURCE_BYTES];
	size_t n_own = 0;

	(void)state;
	for (int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "%d", i);
		n_own += comes(flood, source, 0, "x");
	}
	assert_int_equal(n_own, TOTAL);
	pass(FLOOD_WINDOW_MS);
	assert_true(comes(flood, "", 0, "x"));
	memset(source, 'x', sizeof(source) - 1);
	source[sizeof(source) - 1] = '\0';
	for (int i = 0; i < OWN; i++)
		assert_true(comes(flood, source, FLOOD_KINDS - 1, "x"));
	assert_false(comes(flood, source, FLOOD_KINDS - 1, "x"));
	assert_true(flood_flush(flood));
	flood_free(&flood);
	flood_free(&flood); /* NULL is nothing */
}

/* All that find no room: each of its own source. */
static size_t n_merged_of(struct flood *flood, const char *tenant, size_t n, const char *what)
{
	char source[32];
	size_t n_merged = 0;

	for (size_t i = 0; i < n; i++) {
		snprintf(source, sizeof(source), "%s%zu", what, i);
		n_merged += !comes_from(flood, tenant, source, 0, what);
	}
	return n_merged;
}

static void what_is_of_one_tenant_is_counted_in_no_record_of_another(void **state)
{
	const size_t n = 4 * (size_t)FLOOD_SOURCES;
	struct book book;
	struct flood *flood = open_flood(&book);
	size_t n_merged;

	(void)state;
	n_merged = n_merged_of(flood, "a", n, "a");
	assert_true(n_merged > FLOOD_SOURCES);
	/* Now a has the entry that is shared: what is left to b are records of its own, but where
	 * it has a place in the table that is b's alone. */
	assert_int_equal(n_merged_of(flood, "b", 100, "b"), 0);
	assert_true(n_merged_of(flood, NULL, 100, "nobody") > 0);
	assert_true(flood_flush(flood));
	assert_true(n_merged_of(flood, "a", 100, "a") > 0);
	pass(FLOOD_WINDOW_MS);
	pass(FLOOD_WINDOW_MS);
	/* The same source, for another. */
	for (int i = 0; i < OWN; i++)
		assert_true(comes_from(flood, "a", "10.0.0.1", 1, "a"));
	assert_false(comes_from(flood, "a", "10.0.0.1", 1, "a"));
	assert_true(comes_from(flood, "b", "10.0.0.1", 1, "b"));
	assert_true(flood_flush(flood));
	flood_free(&flood);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_of_a_window_are_their_own_and_the_rest_are_one),
		cmocka_unit_test(what_cannot_be_written_is_offered_again_with_what_came_since),
		cmocka_unit_test(nothing_goes_uncounted_when_sources_outnumber_the_table),
		cmocka_unit_test(all_together_have_a_limit_and_odd_sources_are_sources),
		cmocka_unit_test(what_is_of_one_tenant_is_counted_in_no_record_of_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
