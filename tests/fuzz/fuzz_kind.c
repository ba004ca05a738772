/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The records of the book beside those of calls: the first byte is the type, any bytes the record.
 * What its kind takes is fit for the drain: each column gets one element, which is text.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "audit/kind.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_batch(const struct kind *kind, struct span record)
{
	struct span params[KIND_MAX_COLUMNS];
	struct batch batch;

	batch_init(&batch, kind);
	batch_add(&batch, &(struct batch_row){ .opening = record });
	batch_params(&batch, params);
	for (size_t i = 0; i < kind->n_columns; i++) {
		assert(params[i].n >= 3 && params[i].p[0] == '{' &&
		       params[i].p[params[i].n - 1] == '}');
		assert(text_is_utf8(params[i].p, params[i].n));
		assert(memchr(params[i].p, '\0', params[i].n) == NULL);
	}
	batch_fini(&batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span record = { (const char *)data + 1, size - 1 };
	const struct kind *kind;
	struct err err;

	if (size == 0)
		return 0;
	kind = kind_find(data[0] % 8);
	if (kind != NULL && kind != &kind_calls && record.n <= kind->max_bytes &&
	    kind->check(record, &err) == 0)
		check_batch(kind, record);
	return 0;
}
