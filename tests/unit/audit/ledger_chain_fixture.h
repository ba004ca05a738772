/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_LEDGER_CHAIN_FIXTURE_H
#define TESTS_UNIT_AUDIT_LEDGER_CHAIN_FIXTURE_H

/* What a ledger links, taken out and looked at. Behind ledger_fixture.h. */

#include "tests/unit/audit/chain_fixture.h"

static inline const uint8_t *open_key(const struct fixture *f)
{
	return f->ledger->links.last.mac_key;
}

static inline struct taken *new_taken(void)
{
	return mem_new(sizeof(struct taken));
}

/* Rows may come when the disk is rid of those that were done. */
static inline bool is_over_or_ready(struct fixture *f)
{
	return ledger_n_ready(f->ledger) > 0 || f->ledger->n_orphans == 0;
}

/* Everything that there is. */
static inline void take_all(struct fixture *f, struct taken *taken)
{
	for (;;) {
		size_t n;

		run_until(f, is_over_or_ready);
		if (ledger_n_ready(f->ledger) == 0)
			return;

		run_until(f, all_are_durable);
		n = peek(f);
		for (size_t i = 0; i < n; i++)
			take_row(taken, f->rows[i]);
		ledger_done(f->ledger, n);
	}
}

#endif
