/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The records of the book. Any bytes as a record: what decodes is fit for the drain, and its
 * arrays are well formed. The same bytes as the fields of a call: what was encoded decodes.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/batch.h"
#include "audit/event.h"
#include "audit/kind_call.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many elements PostgreSQL would read. */
static size_t count_elements(struct span array)
{
	size_t n = 1;
	bool quoted = false;

	assert(array.n >= 3 && array.p[0] == '{' && array.p[array.n - 1] == '}');
	for (size_t i = 1; i + 1 < array.n; i++) {
		if (quoted && array.p[i] == '\\')
			i++;
		else if (array.p[i] == '"')
			quoted = !quoted;
		else if (!quoted && array.p[i] == ',')
			n++;
	}
	assert(!quoted);
	return n;
}

/* Each form, alone and as both halves of a pair. */
static void check_batch(struct span record)
{
	static const uint8_t seed[ED25519_SEED_BYTES] = { 1 };
	static const struct span absent;
	struct span params[CALL_N_COLUMNS];
	struct batch batch;

	batch_init(&batch, &kind_calls);
	batch_add(&batch, &(struct batch_row){ record, absent, BATCH_WHOLE, seed });
	batch_add(&batch, &(struct batch_row){ record, absent, BATCH_REDUCED, seed });
	batch_add(&batch, &(struct batch_row){ absent, record, BATCH_WHOLE, NULL });
	batch_add(&batch, &(struct batch_row){ record, record, BATCH_WHOLE, seed });
	batch_params(&batch, params);
	for (size_t i = 0; i < CALL_N_COLUMNS; i++) {
		assert(count_elements(params[i]) == 4);
		assert(text_is_utf8(params[i].p, params[i].n));
		assert(memchr(params[i].p, '\0', params[i].n) == NULL);
	}
	batch_fini(&batch);
}

static void check_decode(struct span record)
{
	struct event event;
	struct err err;

	if (event_decode(record, &event, &err) < 0)
		return;
	for (size_t i = 0; i < N_FIELDS; i++) {
		struct span field = event.fields[i];

		assert(field.p == NULL ||
		       (field.p >= record.p && field.p + field.n <= record.p + record.n));
	}
	check_batch(record);
}

/* One piece of the input after the other, each as long as the byte before it says. */
static struct span next_piece(struct span *rest)
{
	struct span piece = { NULL, 0 };

	if (rest->n == 0)
		return piece;
	piece.n = (unsigned char)rest->p[0];
	piece.p = rest->p + 1;
	if (piece.n > rest->n - 1)
		piece.n = rest->n - 1;
	rest->p += 1 + piece.n;
	rest->n -= 1 + piece.n;
	return piece;
}

static char *next_text(struct span *rest)
{
	struct span piece = next_piece(rest);

	return piece.p == NULL ? NULL : mem_strndup(piece.p, piece.n);
}

static void check_encode(struct span rest)
{
	char *tenant = next_text(&rest);
	char *user_id = next_text(&rest);
	const struct book_call call = {
		.call_id = "01920000-0000-7000-8000-000000000001",
		.started_us = (int64_t)(rest.n * UINT64_C(0xFEDCBA9876543211)),
		.tenant_id = user_id,
		.tenant = tenant,
		.user_id = user_id,
		.source_ip = tenant,
		.client = next_piece(&rest),
		.method = next_piece(&rest),
		.request_id = next_piece(&rest),
		.arguments = rest,
		.tool = rest,
		.request_bytes = SIZE_MAX,
	};
	const struct book_result result = { .outcome = BOOK_UNKNOWN,
					    .duration_us = INT64_MAX,
					    .error_message = rest };
	const struct event_source source = { EVENT_ENTRY, &call, &result, user_id };
	struct event event;
	struct buf record;
	struct err err;
	int rc;

	buf_init(&record, EVENT_MAX_BYTES);
	event_encode(&source, &record);
	rc = event_decode(buf_span(&record), &event, &err);
	assert(rc == 0);
	assert((event.fields[FIELD_TOOL].p == NULL) == (rest.p == NULL));
	check_batch(buf_span(&record));
	buf_fini(&record);
	free(tenant);
	free(user_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span bytes = { (const char *)data, size };

	check_decode(bytes);
	check_encode(bytes);
	return 0;
}
