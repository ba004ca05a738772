/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/partition_seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static struct verify_range range_of(char chain, uint64_t first, uint64_t last, char before,
				    char mac)
{
	struct verify_range range = { .first = first, .last = last };

	memset(range.chain, chain, sizeof(range.chain));
	memset(range.before, before, sizeof(range.before));
	memset(range.mac, mac, sizeof(range.mac));
	return range;
}

static void add(struct ranges *ranges, struct verify_range range)
{
	assert_true(ranges_add(ranges, &range));
}

static const struct partition_seal sample = {
	.log = "call_log",
	.partition = "call_log_standard_20260701",
	.from_us = INT64_C(1782864000000000),
	.to_us = INT64_C(1782950400000000),
	.sealed_us = INT64_C(1790726400123456),
	.rows = 12,
	.unchained = 2,
};

static char *write_sample(const struct ranges *ranges)
{
	struct buf out;

	buf_init(&out, PARTITION_SEAL_MAX_BYTES);
	partition_seal_write(&sample, ranges, &out);
	assert_false(out.overflow);
	return buf_take(&out, NULL);
}

static void runs_that_touch_become_one(void **state)
{
	struct ranges ranges = { .n = 0 };
	const struct verify_range *found;
	uint8_t chain[CHAIN_ID_BYTES];
	size_t n;

	(void)state;
	ranges_sort(&ranges);
	add(&ranges, range_of('b', 1, 2, 0, 'x'));
	add(&ranges, range_of('a', 7, 9, 'q', 'r'));
	add(&ranges, range_of('a', 4, 6, 'p', 'q'));
	add(&ranges, range_of('a', 10, 11, '?', 's')); /* goes on from another link */
	add(&ranges, range_of('a', 20, 20, 's', 't'));
	ranges_sort(&ranges);
	assert_int_equal(ranges.n, 4);
	memset(chain, 'a', sizeof(chain));
	found = ranges_find(&ranges, chain, &n);
	assert_int_equal(n, 3);
	assert_int_equal(found[0].first, 4);
	assert_int_equal(found[0].last, 9);
	assert_int_equal(found[0].before[0], 'p');
	assert_int_equal(found[0].mac[0], 'r');
	assert_int_equal(found[1].first, 10);
	assert_int_equal(found[2].first, 20);
	memset(chain, 'c', sizeof(chain));
	assert_null(ranges_find(&ranges, chain, &n));
	assert_int_equal(n, 0);
	assert_false(ranges_chain(&ranges, chain, chain));
	memset(chain, 0, sizeof(chain));
	assert_true(ranges_chain(&ranges, chain, chain));
	assert_int_equal(chain[0], 'a');
	ranges_fini(&ranges);
}

static void a_seal_comes_back(void **state)
{
	struct ranges ranges = { .n = 0 }, back = { .n = 0 };
	struct partition_seal seal;
	struct err err;
	char *text;

	(void)state;
	for (int i = 0; i < 2; i++) {
		text = write_sample(&ranges);
		back.n = 0;
		assert_int_equal(partition_seal_read(span_of(text), &seal, &back, &err), 0);
		assert_memory_equal(&seal, &sample, sizeof(seal));
		assert_int_equal(back.n, ranges.n);
		if (ranges.n > 0)
			assert_memory_equal(back.items, ranges.items,
					    ranges.n * sizeof(*ranges.items));
		free(text);
		add(&ranges, range_of('a', 1, INT64_MAX, 0, 'x'));
		add(&ranges, range_of('b', 3, 3, 'y', 'z'));
		add(&ranges, range_of('b', 5, 7, 'z', 'z'));
		ranges_sort(&ranges);
	}
	ranges_fini(&ranges);
	ranges_fini(&back);
}

static void a_signature_is_for_its_bytes_and_key(void **state)
{
	uint8_t seed[ED25519_SEED_BYTES] = { 1 }, public_key[ED25519_PUBLIC_BYTES];
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
	char text[] = "{\"version\":1}";

	(void)state;
	crypto_ed25519_public(seed, public_key);
	partition_seal_sign(seed, span_of(text), signature);
	assert_true(partition_seal_verify(public_key, span_of(text), signature));
	text[3] ^= 1;
	assert_false(partition_seal_verify(public_key, span_of(text), signature));
	text[3] ^= 1;
	signature[7] ^= 1;
	assert_false(partition_seal_verify(public_key, span_of(text), signature));
	signature[7] ^= 1;
	seed[0] = 2;
	crypto_ed25519_public(seed, public_key);
	assert_false(partition_seal_verify(public_key, span_of(text), signature));
}

/* Each is the sample with one piece replaced. */
static void what_is_no_seal_is_refused(void **state)
{
	static const char *const pieces[][2] = {
		{"\"version\":1",		   "\"version\":2"	   },
		{ "\"log\":\"call_log\"",	  "\"log\":7"	      },
		{ "\"rows\":12",		 "\"rows\":-1"	       },
		{ "\"unchained\":2",	     "\"unchained\":\"2\"" },
		{ "2026-07-01T00:00:00.000000Z", "2026-07-01"	      },
		{ "\"chains\":[",		  "\"chains\":7,\"x\":["},
		{ "[1,2,",			   "[0,2,"		   },
		{ "[1,2,",			   "[3,2,"		   },
		{ "[1,2,",			   "[1,2,3,"	     },
		{ "[1,2,",			   "[1.5,2,"	     },
		{ "\"7878",			    "\"78"		   },
		{ "61616161-6161",		   "61616161_6161"	   },
	};
	struct ranges ranges = { .n = 0 };
	struct partition_seal seal;
	struct err err;

	(void)state;
	add(&ranges, range_of('a', 1, 2, 'x', 'y'));
	for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
		struct ranges back = { .n = 0 };
		char *text = write_sample(&ranges);
		char *at = strstr(text, pieces[i][0]);
		char *changed;

		assert_non_null(at);
		changed = mem_printf("%.*s%s%s", (int)(at - text), text, pieces[i][1],
				     at + strlen(pieces[i][0]));
		assert_int_equal(partition_seal_read(span_of(changed), &seal, &back, &err), -1);
		assert_int_equal(err.code, ERR_PARSE);
		ranges_fini(&back);
		free(changed);
		free(text);
	}
	assert_int_equal(partition_seal_read(SPAN(""), &seal, &ranges, &err), -1);
	assert_int_equal(partition_seal_read(SPAN("[]"), &seal, &ranges, &err), -1);
	ranges_fini(&ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs_that_touch_become_one),
		cmocka_unit_test(a_seal_comes_back),
		cmocka_unit_test(a_signature_is_for_its_bytes_and_key),
		cmocka_unit_test(what_is_no_seal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
