/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/retention.h"
#include "tests/unit/audit/verify_fixture.h"

#define N_EACH 60

struct keeping {
	struct anchor_sink *sink;
	struct retention *retention;
	char conninfo[192];
	bool swept;
	uint64_t n_dropped, n_kept;
};

static void on_swept(void *ctx, uint64_t n_dropped, uint64_t n_kept)
{
	struct keeping *k = ctx;

	k->swept = true;
	k->n_dropped = n_dropped;
	k->n_kept = n_kept;
}

static bool is_swept(void *ctx)
{
	return ((struct keeping *)ctx)->swept;
}

/* One sweep that keeps calls for so many days. */
static void sweep(struct keeping *k, struct library *l, int64_t days, const char *sink_file)
{
	k->swept = false;
	snprintf(k->conninfo, sizeof(k->conninfo), "%s user=tollgate_app",
		 l->desk.base.cluster.conninfo);
	k->sink = anchor_sink_new(
		&(struct anchor_sink_params){ .loop = l->desk.base.loop, .file = sink_file });
	k->retention = retention_new(&(struct retention_params){
		.loop = l->desk.base.loop,
		.conninfo = k->conninfo,
		.sink = k->sink,
		.seed = l->seed,
		.call_days = days,
		.payload_days = 0,
		.first_ms = 0,
		.sink_wait_ms = 100,
		.sweep_ms = RETENTION_SWEEP_MS,
		.swept = on_swept,
		.ctx = k,
	});
	if (days > 0)
		run_until(&l->desk.base, is_swept, k);
	else
		run_for(&l->desk.base, 50);
	retention_free(&k->retention);
	anchor_sink_free(&k->sink);
}

static size_t lines_of(const char *path, char *last, size_t size)
{
	FILE *file = fopen(path, "r");
	size_t n = 0;

	while (file != NULL && fgets(last, (int)size, file) != NULL)
		n++;
	if (file != NULL)
		fclose(file);
	return n;
}

static void nothing_is_dropped_for_ever(void **state)
{
	struct library *l = *state;
	struct keeping k = { .swept = false };

	sweep(&k, l, 0, l->file);
	assert_false(k.swept);
	sweep(&k, l, 365, l->file);
	assert_int_equal(k.n_dropped, 0);
	assert_int_equal(k.n_kept, 0);
}

static void what_does_not_verify_is_kept(void **state)
{
	struct library *l = *state;
	struct keeping k = { .swept = false };
	char line[2048];
	size_t before = lines_of(l->file, line, sizeof(line));

	must_sql(l, "CREATE TABLE kept AS SELECT * FROM audit.call_log");
	must_sql(l, "UPDATE audit.call_log SET duration_ms = duration_ms + 1"
		    " WHERE started_at < current_date - 19 AND chain_seq = 2");
	sweep(&k, l, 10, l->file);
	assert_int_equal(k.n_dropped, 0);
	assert_int_equal(k.n_kept, 1);
	assert_int_equal(lines_of(l->file, line, sizeof(line)), before);
	must_sql(l, "UPDATE audit.call_log c SET duration_ms = k.duration_ms FROM kept k"
		    " WHERE k.call_id = c.call_id");
}

static void the_seal_is_outside_before_the_partition_goes(void **state)
{
	struct library *l = *state;
	struct keeping k = { .swept = false };
	char line[2048];
	size_t before = lines_of(l->file, line, sizeof(line));

	sweep(&k, l, 10, "/nowhere/anchors.jsonl");
	assert_int_equal(k.n_dropped, 0);
	assert_int_equal(k.n_kept, 1);
	sweep(&k, l, 10, l->file);
	assert_int_equal(k.n_dropped, 1);
	assert_int_equal(k.n_kept, 0);
	assert_int_equal(lines_of(l->file, line, sizeof(line)), before + 1);
	assert_memory_equal(line, "{\"type\":\"seal\",\"log\":\"call_log\",", 32);
	assert_string_equal(must_sql(l, "SELECT (n_rows = (SELECT count(*) FROM kept WHERE"
					" started_at < current_date - 19))::text AS v FROM"
					" audit.partition_seals"),
			    "true");
	verify_book(l);
	expect_clean(l);
	assert_int_equal(l->totals.partitions, 1);
	assert_true(l->totals.counts.dropped > 0);
	sweep(&k, l, 10, l->file);
	assert_int_equal(k.n_dropped + k.n_kept, 0);
}

static int start_book(void **state)
{
	struct library *l = mem_new(sizeof(*l));

	l->keeps_old = true;
	return start_library(l, state, N_EACH);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_dropped_for_ever),
		cmocka_unit_test(what_does_not_verify_is_kept),
		cmocka_unit_test(the_seal_is_outside_before_the_partition_goes),
	};

	return cmocka_run_group_tests(tests, start_book, end_libraries);
}
