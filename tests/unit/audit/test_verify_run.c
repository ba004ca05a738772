/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/audit/verify_fixture.h"

#define N_EACH 130

static int start_program_of(void **state)
{
	return start_libraries(state, N_EACH);
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

	return cmocka_run_group_tests(tests, start_program_of, end_libraries);
}
