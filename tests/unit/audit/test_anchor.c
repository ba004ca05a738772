/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/anchor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define RECORD_BYTES 209
#define MAX_BYTES    1024

static const uint8_t seed[ED25519_SEED_BYTES] = { 7 };

/* A chain in its second epoch, with an anchor of it as a record. */
static void make(struct chain *before, struct chain *next, struct chain_anchor *anchor,
		 struct buf *record)
{
	static const uint8_t digest[SHA256_BYTES] = { 1, 2, 3 };

	chain_begin(before);
	chain_link(before, digest);
	chain_anchor(before, 5, seed, anchor);
	chain_link(before, digest);
	chain_link(before, digest);
	*next = *before;
	chain_anchor(next, INT64_C(1795000000123456), seed, anchor);
	buf_init(record, MAX_BYTES);
	anchor_encode(anchor, next, record);
}

static void assert_same_chain(const struct chain *a, const struct chain *b)
{
	assert_memory_equal(a->id, b->id, sizeof(a->id));
	assert_int_equal(a->epoch, b->epoch);
	assert_int_equal(a->epoch_first, b->epoch_first);
	assert_memory_equal(a->ratchet, b->ratchet, sizeof(a->ratchet));
	assert_memory_equal(a->mac_key, b->mac_key, sizeof(a->mac_key));
	assert_int_equal(a->seq, b->seq);
	assert_memory_equal(a->mac, b->mac, sizeof(a->mac));
}

static void an_anchor_comes_back_and_the_chain_goes_on_behind_it(void **state)
{
	struct chain before, next, again;
	struct chain_anchor anchor, out;
	struct buf record;
	struct err err;

	(void)state;
	make(&before, &next, &anchor, &record);
	assert_int_equal(record.len, RECORD_BYTES);
	assert_int_equal(anchor_decode(buf_span(&record), &out, &again, &err), 0);
	assert_memory_equal(out.id, anchor.id, sizeof(out.id));
	assert_int_equal(out.epoch, 1);
	assert_int_equal(out.first_seq, 2);
	assert_int_equal(out.last_seq, 3);
	assert_memory_equal(out.last_mac, anchor.last_mac, sizeof(out.last_mac));
	assert_memory_equal(out.mac_key, anchor.mac_key, sizeof(out.mac_key));
	assert_true(out.anchored_us == anchor.anchored_us);
	assert_memory_equal(out.signature, anchor.signature, sizeof(out.signature));
	assert_same_chain(&again, &next);
	assert_int_equal(anchor_decode(buf_span(&record), &out, NULL, &err), 0);
	buf_fini(&record);
}

static void a_state_comes_back(void **state)
{
	struct chain before, next, again;
	uint8_t bytes[ANCHOR_STATE_BYTES];
	struct chain_anchor anchor;
	struct buf record;
	struct err err;

	(void)state;
	make(&before, &next, &anchor, &record);
	anchor_state_encode(&before, bytes);
	assert_int_equal(
		anchor_state_decode((struct span){ (char *)bytes, sizeof(bytes) }, &again, &err),
		0);
	assert_same_chain(&again, &before);
	buf_fini(&record);
}

static void a_state_fits_in_the_note_of_a_spool(void **state)
{
	(void)state;
	assert_true(ANCHOR_STATE_BYTES <= 128);
}

static void expect_refusal(struct span record, enum err_code code)
{
	struct chain_anchor anchor;
	struct chain chain;
	struct err err;

	assert_int_equal(anchor_decode(record, &anchor, &chain, &err), -1);
	assert_int_equal(err.code, code);
	assert_int_equal(kind_anchors.check(record, &err), -1);
	assert_int_equal(err.code, code);
}

static void what_is_no_anchor_is_refused(void **state)
{
	struct chain before, next;
	struct chain_anchor anchor;
	struct buf record;

	(void)state;
	make(&before, &next, &anchor, &record);
	for (size_t n = 0; n < RECORD_BYTES; n++)
		expect_refusal((struct span){ record.data, n }, ERR_PARSE);
	buf_append(&record, "x", 1);
	expect_refusal(buf_span(&record), ERR_PARSE);
	record.len--;
	record.data[0] = 2;
	expect_refusal(buf_span(&record), ERR_CONFLICT);
	record.data[0] = 1;
	/* An epoch that PostgreSQL could not hold; one that begins behind its end. */
	record.data[17] = (char)0x80;
	expect_refusal(buf_span(&record), ERR_PARSE);
	record.data[17] = 0;
	record.data[25] = 1;
	expect_refusal(buf_span(&record), ERR_PARSE);
	buf_fini(&record);
}

static void what_is_no_state_is_refused(void **state)
{
	uint8_t bytes[ANCHOR_STATE_BYTES];
	struct span span = { (char *)bytes, sizeof(bytes) };
	struct chain chain;
	struct err err;

	(void)state;
	chain_begin(&chain);
	anchor_state_encode(&chain, bytes);
	for (size_t n = 0; n < sizeof(bytes); n++) {
		assert_int_equal(
			anchor_state_decode((struct span){ (char *)bytes, n }, &chain, &err), -1);
		assert_int_equal(err.code, ERR_PARSE);
	}
	bytes[0] = 9;
	assert_int_equal(anchor_state_decode(span, &chain, &err), -1);
	assert_int_equal(err.code, ERR_CONFLICT);
	bytes[0] = 1;
	bytes[25] = 1; /* the first link of the epoch is far away */
	assert_int_equal(anchor_state_decode(span, &chain, &err), -1);
	assert_int_equal(err.code, ERR_PARSE);
}

static void a_link_behind_a_record_comes_back(void **state)
{
	struct chain_link link = { .id = { 1 }, .seq = UINT64_C(0x0102030405060708), .mac = { 3 } };
	struct chain_link out;
	struct buf record;

	(void)state;
	buf_init(&record, MAX_BYTES);
	assert_false(kind_find_link_behind((struct span){ NULL, 0 }, &out));
	buf_add(&record, "a record");
	assert_false(kind_find_link_behind(buf_span(&record), &out));
	kind_add_link_behind(&record, &link);
	assert_int_equal(record.len, 8 + CHAIN_LINK_BYTES);
	assert_true(kind_find_link_behind(buf_span(&record), &out));
	assert_memory_equal(out.id, link.id, sizeof(out.id));
	assert_int_equal(out.seq, link.seq);
	assert_memory_equal(out.mac, link.mac, sizeof(out.mac));
	buf_fini(&record);
}

static void kinds_are_found_by_type(void **state)
{
	(void)state;
	assert_null(kind_find(0));
	assert_ptr_equal(kind_find(EVENT_INTENT), &kind_calls);
	assert_ptr_equal(kind_find(EVENT_OUTCOME), &kind_calls);
	assert_ptr_equal(kind_find(EVENT_ENTRY), &kind_calls);
	assert_ptr_equal(kind_find(EVENT_ANCHOR), &kind_anchors);
	assert_null(kind_find(EVENT_STATE)); /* no row */
	assert_null(kind_find(255));
	for (uint8_t type = 0; type < 255; type++) {
		const struct kind *kind = kind_find(type);

		if (kind == NULL)
			continue;
		assert_true(kind->max_bytes <= KIND_MAX_BYTES);
		assert_true(kind->n_columns <= KIND_MAX_COLUMNS);
		assert_true((kind->canonical == NULL) == (kind->add_link == NULL));
		assert_true((kind->canonical == NULL) == (kind->find_link == NULL));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_anchor_comes_back_and_the_chain_goes_on_behind_it),
		cmocka_unit_test(a_state_comes_back),
		cmocka_unit_test(a_state_fits_in_the_note_of_a_spool),
		cmocka_unit_test(what_is_no_anchor_is_refused),
		cmocka_unit_test(what_is_no_state_is_refused),
		cmocka_unit_test(a_link_behind_a_record_comes_back),
		cmocka_unit_test(kinds_are_found_by_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
