/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_BATCH_H
#define AUDIT_BATCH_H

/* Rows of one kind as the parameters of one statement: an array for each column. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/span.h"

struct kind;

enum batch_form {
	BATCH_WHOLE,
	BATCH_REDUCED, /* without what PostgreSQL might refuse */
};

/* The records that a row is made of: see ledger_row. Both are good. */
struct batch_row {
	struct span opening;
	struct span closing;
	enum batch_form form;
	const uint8_t *seed; /* ED25519_SEED_BYTES to sign a reduction with; NULL: nobody can */
};

struct batch {
	const struct kind *kind;
	struct buf *columns;
	size_t n_rows;
};
void batch_init(struct batch *batch, const struct kind *kind);
void batch_fini(struct batch *batch);
void batch_add(struct batch *batch, const struct batch_row *row);
/* Ends the arrays; afterwards nothing can be added. params has room for the kind's n_columns;
 * borrowed from the batch. */
void batch_params(struct batch *batch, struct span *params);

/* Elements of an array, as PostgreSQL reads them. */
void batch_put_null(struct buf *out);
void batch_put_text(struct buf *out, struct span text);
/* 16 bytes. */
void batch_put_uuid(struct buf *out, const void *id);
void batch_put_bytes(struct buf *out, struct span bytes);
void batch_put_number(struct buf *out, int64_t number);
void batch_put_bool(struct buf *out, bool value);
void batch_put_time(struct buf *out, int64_t unix_us);

#endif
