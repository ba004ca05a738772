/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/batch.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "audit/kind.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"

/* Far above what the drain puts in: quoting doubles at most. */
#define COLUMN_MAX_BYTES ((size_t)64 << 20)

void batch_init(struct batch *batch, const struct kind *kind)
{
	assert(kind->n_columns <= KIND_MAX_COLUMNS);
	*batch = (struct batch){
		.kind = kind,
		.columns = mem_new_array(kind->n_columns, sizeof(struct buf)),
	};
	for (size_t i = 0; i < kind->n_columns; i++)
		buf_init(&batch->columns[i], COLUMN_MAX_BYTES);
}

void batch_fini(struct batch *batch)
{
	for (size_t i = 0; i < batch->kind->n_columns; i++)
		buf_fini(&batch->columns[i]);
	free(batch->columns);
	batch->columns = NULL;
}

void batch_add(struct batch *batch, const struct batch_row *row)
{
	for (size_t i = 0; i < batch->kind->n_columns; i++)
		buf_append(&batch->columns[i], batch->n_rows == 0 ? "{" : ",", 1);
	batch->kind->put(batch->columns, row);
	batch->n_rows++;
}

void batch_params(struct batch *batch, struct span *params)
{
	assert(batch->n_rows > 0);
	for (size_t i = 0; i < batch->kind->n_columns; i++) {
		buf_append(&batch->columns[i], "}", 1);
		assert(!batch->columns[i].overflow);
		params[i] = buf_span(&batch->columns[i]);
	}
}

void batch_put_null(struct buf *out)
{
	buf_append(out, "NULL", 4);
}

/* In quotes, with \ before " and \. */
void batch_put_text(struct buf *out, struct span text)
{
	const char *end = text.p + text.n;
	const char *from = text.p;

	buf_append(out, "\"", 1);
	for (const char *at = from; at < end; at++) {
		if (*at != '"' && *at != '\\')
			continue;
		buf_append(out, from, (size_t)(at - from));
		buf_append(out, "\\", 1);
		from = at;
	}
	buf_append(out, from, (size_t)(end - from));
	buf_append(out, "\"", 1);
}

/* PostgreSQL takes it without hyphens. */
void batch_put_uuid(struct buf *out, const void *id)
{
	char digits[2 * UUID_BYTES + 1];

	hex_encode(id, UUID_BYTES, digits);
	buf_append(out, digits, sizeof(digits) - 1);
}

/* As bytea is written, with its backslash doubled for the array. */
void batch_put_bytes(struct buf *out, struct span bytes)
{
	char digits[2 * 256 + 1];

	buf_add(out, "\"\\\\x");
	while (bytes.n > 0) {
		size_t n = bytes.n < 256 ? bytes.n : 256;

		hex_encode(bytes.p, n, digits);
		buf_append(out, digits, 2 * n);
		bytes.p += n;
		bytes.n -= n;
	}
	buf_append(out, "\"", 1);
}

void batch_put_number(struct buf *out, int64_t number)
{
	buf_printf(out, "%" PRId64, number);
}

void batch_put_bool(struct buf *out, bool value)
{
	buf_append(out, value ? "t" : "f", 1);
}

void batch_put_time(struct buf *out, int64_t unix_us)
{
	char text[TEXT_TIME_BYTES];

	text_time(unix_us, text);
	batch_put_text(out, span_of(text));
}
