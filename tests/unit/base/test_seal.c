/* SPDX-License-Identifier: Apache-2.0 */

#include "base/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static const struct seal_place here = {
	.deployment = "d1",
	.tenant = "11111111-1111-4111-8111-111111111111",
	.table = "connections",
	.column = "credential",
	.row = "22222222-2222-4222-8222-222222222222",
	.version = 3,
};

static struct seal_key some_key(void)
{
	struct seal_key key;

	seal_key_random(&key, 0x01020304, 0x1112131415161718);
	return key;
}

static void seal_here(const struct seal_key *key, const char *plain, struct buf *out)
{
	buf_init(out, 1 << 20);
	seal(key, &here, span_of(plain), out);
}

static void assert_opens(const struct seal_key *key, const struct seal_place *place,
			 struct span sealed, const char *expected)
{
	struct secret plain = { 0 };
	struct err err;

	assert_int_equal(seal_open(key, place, sealed, &plain, &err), 0);
	assert_int_equal(plain.n, strlen(expected));
	assert_string_equal(plain.reveal, expected);
	secret_fini(&plain);
}

/* The reason is never told. */
static void assert_closed(const struct seal_key *key, const struct seal_place *place,
			  struct span sealed)
{
	struct secret plain = { 0 };
	struct err err = { 0 };

	assert_int_equal(seal_open(key, place, sealed, &plain, &err), -1);
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_string_equal(err.text, "a sealed value does not open");
	assert_null(plain.reveal);
}

static void a_sealed_value_opens_in_its_place(void **state)
{
	static const char *const plains[] = { "", "x", "a bearer credential" };
	struct seal_key key = some_key();

	(void)state;
	for (size_t i = 0; i < COUNT(plains); i++) {
		struct buf sealed;

		seal_here(&key, plains[i], &sealed);
		assert_int_equal(sealed.len, strlen(plains[i]) + SEAL_OVERHEAD_BYTES);
		assert_opens(&key, &here, buf_span(&sealed), plains[i]);
		buf_fini(&sealed);
	}
}

static void bytes_of_all_values_and_a_megabyte_survive(void **state)
{
	size_t n = 1 << 20;
	char *plain = malloc(n);
	struct seal_key key = some_key();
	struct secret back = { 0 };
	struct buf sealed;
	struct err err;

	(void)state;
	for (size_t i = 0; i < n; i++)
		plain[i] = (char)(i * 31);
	buf_init(&sealed, n + SEAL_OVERHEAD_BYTES);
	seal(&key, &here, (struct span){ plain, n }, &sealed);
	assert_int_equal(seal_open(&key, &here, buf_span(&sealed), &back, &err), 0);
	assert_int_equal(back.n, n);
	assert_memory_equal(back.reveal, plain, n);
	secret_fini(&back);
	buf_fini(&sealed);
	free(plain);
}

static void the_wire_form_is_the_documented_one(void **state)
{
	struct seal_key key = some_key();
	struct buf sealed;
	uint32_t kek_id;
	uint64_t dek_id;
	struct err err;

	(void)state;
	seal_here(&key, "plain", &sealed);
	assert_memory_equal(sealed.data, "\x01\x01\x01\x02\x03\x04\x11\x12\x13\x14\x15\x16\x17\x18",
			    SEAL_PREFIX_BYTES);
	assert_int_equal(seal_ids(buf_span(&sealed), &kek_id, &dek_id, &err), 0);
	assert_int_equal(kek_id, 0x01020304);
	assert_int_equal(dek_id, 0x1112131415161718);
	buf_fini(&sealed);
}

static void the_prefix_finds_the_key(void **state)
{
	struct seal_key key = some_key();
	struct seal_key keys[2] = { key, key };
	struct buf sealed;
	struct err err;

	(void)state;
	keys[0].dek_id++;
	seal_here(&key, "plain", &sealed);
	assert_ptr_equal(seal_find_key(keys, COUNT(keys), buf_span(&sealed), &err), &keys[1]);
	assert_null(seal_find_key(keys, 1, buf_span(&sealed), &err));
	assert_int_equal(err.code, ERR_INTERNAL);
	assert_string_equal(err.text, "its data key is missing");
	assert_null(seal_find_key(keys, COUNT(keys), span_of("plain"), &err));
	assert_string_equal(err.text, "a sealed value does not open");
	buf_fini(&sealed);
}

/* Opens by hand what the header comment of seal.h promises, down to the associated data. */
static void the_associated_data_are_the_documented_list(void **state)
{
	static const char list[] = "\0\0\0\017tollgate-col-v1"
				   "\0\0\0\001d"
				   "\0\0\0\002te"
				   "\0\0\0\003tab"
				   "\0\0\0\004colu"
				   "\0\0\0\000"
				   "\0\0\0\010\0\0\0\0\0\0\001\002"
				   "\0\0\0\016";
	const struct seal_place place = { "d", "te", "tab", "colu", "", 258 };
	char aad[sizeof(list) - 1 + SEAL_PREFIX_BYTES], plain[5];
	struct seal_key key = some_key();
	const uint8_t *at;
	struct buf sealed;

	(void)state;
	buf_init(&sealed, 1000);
	seal(&key, &place, SPAN("plain"), &sealed);
	at = (const uint8_t *)sealed.data;
	memcpy(aad, list, sizeof(list) - 1);
	memcpy(aad + sizeof(list) - 1, at, SEAL_PREFIX_BYTES);
	assert_int_equal(crypto_gcm_open(key.bytes, at + 14, (struct span){ aad, sizeof(aad) },
					 at + 26, sizeof(plain), at + 31, plain),
			 0);
	assert_memory_equal(plain, "plain", sizeof(plain));
	buf_fini(&sealed);
}

static void the_same_value_is_never_sealed_alike(void **state)
{
	struct seal_key key = some_key();
	struct buf a, b;

	(void)state;
	seal_here(&key, "plain", &a);
	seal_here(&key, "plain", &b);
	assert_memory_equal(a.data, b.data, SEAL_PREFIX_BYTES);
	assert_memory_not_equal(a.data + SEAL_PREFIX_BYTES, b.data + SEAL_PREFIX_BYTES,
				GCM_NONCE_BYTES);
	buf_fini(&a);
	buf_fini(&b);
}

/* Places that differ in one part, and some whose parts run together to the same text. */
static const struct seal_place places[] = {
	{"d1",	"t1",   "tab",    "col",  "row", 1  },
	  { "d2",  "t1",	"tab",    "col",  "row", 1  },
	{ "d1",	"t2",   "tab",    "col",  "row", 1  },
	  { "d1",  "t1",	"tac",    "col",  "row", 1  },
	{ "d1",	"t1",   "tab",    "com",  "row", 1  },
	  { "d1",  "t1",	"tab",    "col",  "rox", 1  },
	{ "d1",	"t1",   "tab",    "col",  "row", 2  },
	  { "d1",  "t1",	"tab",    "col",  "row", -1 },
	{ "d1t", "1",    "tab",    "col",  "row", 1  },
	  { "d1",  "t1t",	 "ab",     "col",  "row", 1  },
	{ "d1",	"t1",   "tabc",   "ol",   "row", 1  },
	  { "d1",  "t1",	"tab",    "colr", "ow",  1  },
	{ "d1",	"t1",   "tabcol", "",	    "row", 1  },
	  { "",	"d1t1", "tab",    "col",  "row", 1  },
	{ "d1",	"t1",   "tab",    "row",  "col", 1  },
	  { "t1",  "d1",	"tab",    "col",  "row", 1  },
	{ "d1",	"t1",   "tab",    "col",  "",	1  },
	  { "d1",  "t1",	"tab",    "col",  "row", 0  },
	{ "d1",	"t1",   "tab",    "col",  "row", 256},
	  { "",	"",	    "",	"",	    "",	0  },
};

static void a_value_moved_to_any_other_place_does_not_open(void **state)
{
	struct seal_key key = some_key();

	(void)state;
	for (size_t i = 0; i < COUNT(places); i++) {
		struct buf sealed;

		buf_init(&sealed, 1000);
		seal(&key, &places[i], SPAN("plain"), &sealed);
		for (size_t j = 0; j < COUNT(places); j++) {
			if (i == j)
				assert_opens(&key, &places[j], buf_span(&sealed), "plain");
			else
				assert_closed(&key, &places[j], buf_span(&sealed));
		}
		buf_fini(&sealed);
	}
}

static void one_flipped_bit_anywhere_closes_it(void **state)
{
	struct seal_key key = some_key();
	struct buf sealed;

	(void)state;
	seal_here(&key, "plain", &sealed);
	for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
		sealed.data[bit / 8] ^= (char)(1 << bit % 8);
		assert_closed(&key, &here, buf_span(&sealed));
		sealed.data[bit / 8] ^= (char)(1 << bit % 8);
	}
	assert_opens(&key, &here, buf_span(&sealed), "plain");
	buf_fini(&sealed);
}

static void cut_or_lengthened_at_any_byte_it_does_not_open(void **state)
{
	struct seal_key key = some_key();
	struct buf sealed;

	(void)state;
	seal_here(&key, "plain", &sealed);
	for (size_t n = 0; n < sealed.len; n++) {
		char *exact = malloc(n + 1);

		memcpy(exact, sealed.data, n);
		assert_closed(&key, &here, (struct span){ exact, n });
		free(exact);
	}
	assert_int_equal(buf_append(&sealed, "", 1), 0);
	assert_closed(&key, &here, buf_span(&sealed));
	buf_fini(&sealed);
}

static void another_key_does_not_open_it(void **state)
{
	struct seal_key key = some_key(), other = some_key(), renamed = key;
	struct buf sealed;

	(void)state;
	seal_here(&key, "plain", &sealed);
	assert_closed(&other, &here, buf_span(&sealed));
	renamed.dek_id++;
	assert_closed(&renamed, &here, buf_span(&sealed));
	buf_fini(&sealed);
}

static void a_key_that_was_wrapped_anew_still_opens_it(void **state)
{
	struct seal_key key = some_key();
	struct buf sealed;

	(void)state;
	seal_here(&key, "plain", &sealed);
	key.kek_id++;
	assert_opens(&key, &here, buf_span(&sealed), "plain");
	buf_fini(&sealed);
}

static void sealing_appends(void **state)
{
	struct seal_key key = some_key();
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	assert_int_equal(buf_add(&out, "before"), 0);
	seal(&key, &here, SPAN("plain"), &out);
	assert_memory_equal(out.data, "before", 6);
	assert_opens(&key, &here, (struct span){ out.data + 6, out.len - 6 }, "plain");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sealed_value_opens_in_its_place),
		cmocka_unit_test(bytes_of_all_values_and_a_megabyte_survive),
		cmocka_unit_test(the_wire_form_is_the_documented_one),
		cmocka_unit_test(the_prefix_finds_the_key),
		cmocka_unit_test(the_associated_data_are_the_documented_list),
		cmocka_unit_test(the_same_value_is_never_sealed_alike),
		cmocka_unit_test(a_value_moved_to_any_other_place_does_not_open),
		cmocka_unit_test(one_flipped_bit_anywhere_closes_it),
		cmocka_unit_test(cut_or_lengthened_at_any_byte_it_does_not_open),
		cmocka_unit_test(another_key_does_not_open_it),
		cmocka_unit_test(a_key_that_was_wrapped_anew_still_opens_it),
		cmocka_unit_test(sealing_appends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
