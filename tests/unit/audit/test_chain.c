/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/chain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define ANCHORED_US INT64_C(1795000000123456)

/* Computed with another program from what chain.h says: id 40…4f, ratchet 00…1f, seed 80…9f, rows
 * "row 1", "row 2" in epoch 0 and "row 3" in epoch 1. */
static const char mac_1[] = "2628bcc805a9975a8ec45710083a1dc463d9f2088c3654964befb81906b9558c";
static const char mac_2[] = "bb95ae37d4b66f7d1769f266ee02dc475a588846df3e194294214487018ca3ce";
static const char mac_3[] = "13e578ac759d21ca924edc6a9134b3624b96b3cf1c208583225ba584b0a8970a";
static const char key_0[] = "f044e2e7bb30190c3a8a589a1299526c337366807bf6dabf0145690692629bb9";
static const char key_1[] = "c57056d7afbf92ea4e0dbe9babc8e99927eace1d9e0f1d15ca0572af89e6d3ae";
static const char ratchet_1[] = "ddf37acd762c97da1f36328245f1f79d39923442721cf05a93c2d2b289fb44b8";
static const char public_key[] = "cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa";
static const char anchor_signature[] =
	"376395683e533d11d066d9a34ae04ffb712a4b0c7c6c8af8ea38eaeacdf856f0"
	"e09772280061b893de0a509575946c94b1fb86eaebbe571206d473f763aa950d";
static const char reduction_signature[] =
	"8b54a7c5739fff1ccfcda23f419b6051d19b23c0ad7736cbdf6e08112318bca5"
	"541db5d314314ba030feba611f5802c35cffe7c60c1d88b873175196daf75300";

static void assert_hex(const uint8_t *bytes, size_t n, const char *hex)
{
	char digits[2 * CHAIN_SIGNATURE_BYTES + 1];

	hex_encode(bytes, n, digits);
	assert_string_equal(digits, hex);
}

static void fill(uint8_t *bytes, size_t n, uint8_t first)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(first + i);
}

static struct chain known_chain(void)
{
	struct chain chain = { .epoch_first = 1 };

	fill(chain.id, sizeof(chain.id), 0x40);
	fill(chain.ratchet, sizeof(chain.ratchet), 0x00);
	chain_resume(&chain);
	return chain;
}

static void link_row(struct chain *chain, const char *row)
{
	uint8_t digest[SHA256_BYTES];

	crypto_sha256(row, strlen(row), digest);
	chain_link(chain, digest);
}

static struct chain_anchor known_anchor(struct chain *chain)
{
	uint8_t seed[ED25519_SEED_BYTES];
	struct chain_anchor anchor;

	*chain = known_chain();
	fill(seed, sizeof(seed), 0x80);
	link_row(chain, "row 1");
	link_row(chain, "row 2");
	chain_anchor(chain, ANCHORED_US, seed, &anchor);
	return anchor;
}

static void the_known_chain_has_the_known_macs(void **state)
{
	struct chain chain = known_chain();

	(void)state;
	assert_hex(chain.mac_key, sizeof(chain.mac_key), key_0);
	link_row(&chain, "row 1");
	assert_int_equal(chain.seq, 1);
	assert_hex(chain.mac, sizeof(chain.mac), mac_1);
	link_row(&chain, "row 2");
	assert_int_equal(chain.seq, 2);
	assert_hex(chain.mac, sizeof(chain.mac), mac_2);
}

static void an_anchor_says_where_the_chain_stands_and_turns_the_ratchet(void **state)
{
	struct chain chain;
	struct chain_anchor anchor = known_anchor(&chain);

	(void)state;
	assert_memory_equal(anchor.id, chain.id, sizeof(anchor.id));
	assert_int_equal(anchor.epoch, 0);
	assert_int_equal(anchor.first_seq, 1);
	assert_int_equal(anchor.last_seq, 2);
	assert_hex(anchor.last_mac, sizeof(anchor.last_mac), mac_2);
	assert_hex(anchor.mac_key, sizeof(anchor.mac_key), key_0);
	assert_true(anchor.anchored_us == ANCHORED_US);
	assert_hex(anchor.signature, sizeof(anchor.signature), anchor_signature);

	assert_int_equal(chain.epoch, 1);
	assert_int_equal(chain.epoch_first, 3);
	assert_hex(chain.ratchet, sizeof(chain.ratchet), ratchet_1);
	assert_hex(chain.mac_key, sizeof(chain.mac_key), key_1);
	link_row(&chain, "row 3");
	assert_hex(chain.mac, sizeof(chain.mac), mac_3);
}

static void an_empty_epoch_can_be_anchored(void **state)
{
	struct chain chain;
	struct chain_anchor anchor = known_anchor(&chain);
	uint8_t seed[ED25519_SEED_BYTES], key[ED25519_PUBLIC_BYTES];

	(void)state;
	fill(seed, sizeof(seed), 0x80);
	crypto_ed25519_public(seed, key);
	chain_anchor(&chain, ANCHORED_US, seed, &anchor);
	assert_int_equal(anchor.epoch, 1);
	assert_int_equal(anchor.first_seq, 3);
	assert_int_equal(anchor.last_seq, 2);
	assert_hex(anchor.last_mac, sizeof(anchor.last_mac), mac_2);
	assert_true(chain_anchor_verify(&anchor, key));
	assert_int_equal(chain.epoch_first, 3);
}

/* Each bit of each part that counts. */
#define EACH_BIT(object, member, expression)                                                       \
	for (size_t bit = 0; bit < 8 * sizeof((object).member); bit++) {                           \
		((uint8_t *)&(object).member)[bit / 8] ^= (uint8_t)(1 << bit % 8);                 \
		assert_false(expression);                                                          \
		((uint8_t *)&(object).member)[bit / 8] ^= (uint8_t)(1 << bit % 8);                 \
	}

static void no_bit_of_an_anchor_can_be_changed(void **state)
{
	struct chain chain;
	struct chain_anchor anchor = known_anchor(&chain);
	struct {
		uint8_t bytes[ED25519_PUBLIC_BYTES];
	} key;

	(void)state;
	assert_int_equal(hex_decode(span_of(public_key), key.bytes, sizeof(key.bytes)), 0);
	assert_true(chain_anchor_verify(&anchor, key.bytes));
	EACH_BIT(anchor, id, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, epoch, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, first_seq, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, last_seq, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, last_mac, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, mac_key, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, anchored_us, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(anchor, signature, chain_anchor_verify(&anchor, key.bytes))
	EACH_BIT(key, bytes, chain_anchor_verify(&anchor, key.bytes))
	assert_true(chain_anchor_verify(&anchor, key.bytes));
}

struct link_parts {
	uint8_t key[SHA256_BYTES];
	uint8_t id[CHAIN_ID_BYTES];
	uint64_t seq;
	uint8_t before[CHAIN_MAC_BYTES];
	uint8_t digest[SHA256_BYTES];
};

static bool is_mac_2(const struct link_parts *link)
{
	uint8_t mac[CHAIN_MAC_BYTES], expected[CHAIN_MAC_BYTES];

	chain_mac(link->key, link->id, link->seq, link->before, link->digest, mac);
	assert_int_equal(hex_decode(span_of(mac_2), expected, sizeof(expected)), 0);
	return memcmp(mac, expected, sizeof(mac)) == 0;
}

static void no_bit_of_a_link_can_be_changed(void **state)
{
	struct chain chain = known_chain();
	struct link_parts link = { .seq = 2 };

	(void)state;
	link_row(&chain, "row 1");
	memcpy(link.key, chain.mac_key, sizeof(link.key));
	memcpy(link.id, chain.id, sizeof(link.id));
	memcpy(link.before, chain.mac, sizeof(link.before));
	crypto_sha256("row 2", 5, link.digest);
	assert_true(is_mac_2(&link));
	EACH_BIT(link, key, is_mac_2(&link))
	EACH_BIT(link, id, is_mac_2(&link))
	EACH_BIT(link, seq, is_mac_2(&link))
	EACH_BIT(link, before, is_mac_2(&link))
	EACH_BIT(link, digest, is_mac_2(&link))
}

struct reduction {
	uint8_t id[CHAIN_ID_BYTES];
	uint64_t seq;
	uint8_t mac[CHAIN_MAC_BYTES];
	uint8_t digest[SHA256_BYTES];
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
};

static bool verify_reduction(const struct reduction *r)
{
	uint8_t key[ED25519_PUBLIC_BYTES];

	assert_int_equal(hex_decode(span_of(public_key), key, sizeof(key)), 0);
	return chain_reduction_verify(key, r->id, r->seq, r->mac, r->digest, r->signature);
}

static void a_reduction_is_signed_with_its_place(void **state)
{
	struct chain chain;
	struct reduction r = { .seq = 3 };
	uint8_t seed[ED25519_SEED_BYTES];

	(void)state;
	known_anchor(&chain);
	link_row(&chain, "row 3");
	fill(seed, sizeof(seed), 0x80);
	memcpy(r.id, chain.id, sizeof(r.id));
	memcpy(r.mac, chain.mac, sizeof(r.mac));
	crypto_sha256("less", 4, r.digest);
	chain_reduction_sign(seed, r.id, r.seq, r.mac, r.digest, r.signature);
	assert_hex(r.signature, sizeof(r.signature), reduction_signature);
	assert_true(verify_reduction(&r));
	EACH_BIT(r, id, verify_reduction(&r))
	EACH_BIT(r, seq, verify_reduction(&r))
	EACH_BIT(r, mac, verify_reduction(&r))
	EACH_BIT(r, digest, verify_reduction(&r))
	EACH_BIT(r, signature, verify_reduction(&r))
}

static void two_chains_have_nothing_in_common(void **state)
{
	struct chain a, b;

	(void)state;
	chain_begin(&a);
	chain_begin(&b);
	assert_int_equal(a.seq, 0);
	assert_int_equal(a.epoch, 0);
	assert_int_equal(a.epoch_first, 1);
	assert_memory_not_equal(a.id, b.id, sizeof(a.id));
	assert_int_equal(a.id[6] >> 4, 4); /* a UUID of version 4 */
	assert_int_equal(a.id[8] >> 6, 2);
	assert_memory_not_equal(a.ratchet, b.ratchet, sizeof(a.ratchet));
	link_row(&a, "row 1");
	link_row(&b, "row 1");
	assert_memory_not_equal(a.mac, b.mac, sizeof(a.mac));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_known_chain_has_the_known_macs),
		cmocka_unit_test(an_anchor_says_where_the_chain_stands_and_turns_the_ratchet),
		cmocka_unit_test(an_empty_epoch_can_be_anchored),
		cmocka_unit_test(no_bit_of_an_anchor_can_be_changed),
		cmocka_unit_test(no_bit_of_a_link_can_be_changed),
		cmocka_unit_test(a_reduction_is_signed_with_its_place),
		cmocka_unit_test(two_chains_have_nothing_in_common),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
