/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_KIND_H
#define AUDIT_KIND_H

/*
 * The kinds of rows that the book brings to PostgreSQL: to each its records, its table and how it
 * is written. Who adds one writes an entry like audit/anchor.c and names it in audit/kind.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/batch.h"
#include "audit/chain.h"
#include "audit/event.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

struct kind {
	const char *name; /* of its rows, for the log */
	size_t max_bytes; /* of a record, with its link */
	/* Never trusts the bytes. ERR_CONFLICT: written by another version. */
	int (*check)(struct span record, struct err *err);

	/* One statement that inserts the rows of n_columns arrays; with ON CONFLICT DO NOTHING,
	 * because a row may come again. */
	const char *insert_sql;
	size_t n_columns;
	/* Appends an element to each column (see the batch_put_… of audit/batch.h). */
	void (*put)(struct buf *columns, const struct batch_row *row);
	bool reducible; /* put knows BATCH_REDUCED */
	/* Makes the partitions of the days in its one parameter, the column partitions_column.
	 * NULL: the table needs none. */
	const char *partitions_sql;
	size_t partitions_column;

	/* Of a kind whose rows are links of the chain; else NULL. opening is absent but for a call
	 * whose INTENT is known. */
	/* What the chain is over; beginning differently for each kind. */
	void (*canonical)(struct span opening, struct span closing, struct buf *out);
	/* Puts the link into the record that completes the row. */
	void (*add_link)(struct buf *record, const struct chain_link *link);
	/* False: there is none. */
	bool (*find_link)(struct span record, struct chain_link *out);
};

/* NULL: no such type. INTENT, OUTCOME and ENTRY are of one kind. */
const struct kind *kind_find(uint8_t type);
/* The kind of calls. */
extern const struct kind kind_calls;
#define KIND_MAX_COLUMNS 48
/* There are no more, in one transaction. */
#define KIND_MAX_KINDS 6
/* No record of any kind is larger. */
#define KIND_MAX_BYTES ((size_t)600 << 10)

/* For kinds whose records end with the link: CHAIN_LINK_BYTES behind everything else. */
void kind_add_link_behind(struct buf *record, const struct chain_link *link);
bool kind_find_link_behind(struct span record, struct chain_link *out);

#endif
