/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/audit/verify_fixture.h"

#define N_EACH 130

static int start_libraries(void **state)
{
	struct library *l = mem_new(sizeof(*l));
	struct fixture *f = &l->desk.base;

	*state = l;
	log_configure(LOG_ERROR + 1, LOG_TEXT);
	if (pg_cluster_start(&f->cluster) < 0)
		return -1;
	f->loop = loop_new();
	migrate_start(f->loop, &l->desk.migrate,
		      &(struct migrate_params){ .conninfo = f->cluster.conninfo,
						.list = migrations,
						.n = n_migrations,
						.done = on_migrated,
						.ctx = &l->desk });
	run_until(f, is_migrated, &l->desk);
	loop_free(&f->loop);
	if (start_test(state) < 0)
		return -1;
	make_library(l, N_EACH);
	return 0;
}

static int end_libraries(void **state)
{
	struct library *l = *state;

	remove_library(l);
	end_test(state);
	pg_cluster_stop(&l->desk.base.cluster);
	free(l);
	return 0;
}

static void a_book_verifies(void **state)
{
	struct library *l = *state;

	verify_book(l);
	expect_clean(l);
	print_message("# links %lu dropped %lu open %lu anchors %lu\n",
		      (unsigned long)l->totals.counts.links,
		      (unsigned long)l->totals.counts.dropped,
		      (unsigned long)l->totals.counts.not_anchored,
		      (unsigned long)l->totals.counts.anchors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_book_verifies),
	};

	return cmocka_run_group_tests(tests, start_libraries, end_libraries);
}
