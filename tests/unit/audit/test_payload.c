/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/payload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/kind.h"
#include "base/mem.h"

static const uint8_t call_id[EVENT_UUID_BYTES] = { 1, 2, 3 };
static const uint8_t tenant_id[EVENT_UUID_BYTES] = { 4, 5, 6 };

static struct payload one(void)
{
	return (struct payload){
		.part = PAYLOAD_RESULT,
		.truncated = true,
		.call_id = call_id,
		.started_us = 1700000000000001,
		.tenant_id = tenant_id,
		.bytes = 123456789,
		.sealed = SPAN("sealed\0bytes"),
	};
}

static void a_payload_comes_back_as_it_was(void **state)
{
	struct payload payload = one();
	struct payload read;
	struct buf record;
	struct err err;

	(void)state;
	buf_init(&record, PAYLOAD_MAX_RECORD_BYTES);
	payload_encode(&payload, &record);
	assert_int_equal(payload_decode(buf_span(&record), &read, &err), 0);
	assert_int_equal(read.part, PAYLOAD_RESULT);
	assert_true(read.truncated);
	assert_memory_equal(read.call_id, call_id, sizeof(call_id));
	assert_int_equal(read.started_us, payload.started_us);
	assert_memory_equal(read.tenant_id, tenant_id, sizeof(tenant_id));
	assert_int_equal(read.bytes, payload.bytes);
	assert_int_equal(read.sealed.n, payload.sealed.n);
	assert_memory_equal(read.sealed.p, payload.sealed.p, payload.sealed.n);
	buf_fini(&record);
}

static void other_bytes_are_refused(void **state)
{
	struct payload payload = one();
	struct payload read;
	struct buf record;
	struct err err;

	(void)state;
	buf_init(&record, PAYLOAD_MAX_RECORD_BYTES);
	payload_encode(&payload, &record);
	for (size_t n = 0; n <= PAYLOAD_HEAD_BYTES; n++) {
		assert_int_equal(payload_decode((struct span){ record.data, n }, &read, &err), -1);
		assert_int_equal(err.code, ERR_PARSE);
	}
	record.data[0] = 2;
	assert_int_equal(payload_decode(buf_span(&record), &read, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	record.data[0] = 1;
	for (int part = 0; part < 256; part++) {
		record.data[1] = (char)part;
		assert_int_equal(payload_decode(buf_span(&record), &read, &err),
				 part == 1 || part == 2 ? 0 : -1);
	}
	record.data[1] = 1;
	record.data[2] = 2;
	assert_int_equal(payload_decode(buf_span(&record), &read, &err), -1);
	record.data[2] = 0;
	record.data[PAYLOAD_HEAD_BYTES - 8] = (char)0x80; /* a negative size */
	assert_int_equal(payload_decode(buf_span(&record), &read, &err), -1);
	buf_fini(&record);
}

static void what_is_kept_ends_with_a_character(void **state)
{
	char *text = mem_new(PAYLOAD_MAX_BYTES + 8);

	(void)state;
	memset(text, 'x', PAYLOAD_MAX_BYTES + 7);
	assert_int_equal(payload_kept((struct span){ text, 5 }), 5);
	assert_int_equal(payload_kept((struct span){ text, PAYLOAD_MAX_BYTES }), PAYLOAD_MAX_BYTES);
	assert_int_equal(payload_kept((struct span){ text, PAYLOAD_MAX_BYTES + 1 }),
			 PAYLOAD_MAX_BYTES);
	memcpy(text + PAYLOAD_MAX_BYTES - 2, "\xf0\x9f\x98\x80", 4);
	assert_int_equal(payload_kept((struct span){ text, PAYLOAD_MAX_BYTES + 2 }),
			 PAYLOAD_MAX_BYTES - 2);
	memcpy(text + PAYLOAD_MAX_BYTES - 2, "\xc3\xa4\xc3\xa4", 4);
	assert_int_equal(payload_kept((struct span){ text, PAYLOAD_MAX_BYTES + 2 }),
			 PAYLOAD_MAX_BYTES);
	free(text);
}

static void the_place_is_the_call_the_part_and_the_size(void **state)
{
	char place[PAYLOAD_PLACE_BYTES];

	(void)state;
	payload_place("0191e7a0-0000-7000-8000-000000000001", "arguments", INT64_MAX, place);
	assert_string_equal(place,
			    "0191e7a0-0000-7000-8000-000000000001 arguments 9223372036854775807");
}

static void the_book_knows_its_kind(void **state)
{
	struct payload payload = one();
	const struct kind *kind = kind_find(EVENT_PAYLOAD);
	struct batch batch;
	struct span params[KIND_MAX_COLUMNS];
	struct buf record;
	struct err err;

	(void)state;
	assert_ptr_equal(kind, &kind_payloads);
	assert_null(kind->canonical); /* the call's row has its digest */
	buf_init(&record, PAYLOAD_MAX_RECORD_BYTES);
	payload_encode(&payload, &record);
	assert_int_equal(kind->check(buf_span(&record), &err), 0);
	batch_init(&batch, kind);
	batch_add(&batch, &(struct batch_row){ .opening = buf_span(&record) });
	batch_params(&batch, params);
	assert_true(span_is(params[3], "{\"result\"}"));
	assert_true(span_is(params[4], "{123456789}"));
	assert_true(span_is(params[6], "{\"\\\\x7365616c6564006279746573\"}"));
	assert_true(span_is(params[kind->partitions_column], "{\"2023-11-14T22:13:20.000001Z\"}"));
	batch_fini(&batch);
	buf_fini(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_comes_back_as_it_was),
		cmocka_unit_test(other_bytes_are_refused),
		cmocka_unit_test(what_is_kept_ends_with_a_character),
		cmocka_unit_test(the_place_is_the_call_the_part_and_the_size),
		cmocka_unit_test(the_book_knows_its_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
