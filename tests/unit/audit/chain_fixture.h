/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_CHAIN_FIXTURE_H
#define TESTS_UNIT_AUDIT_CHAIN_FIXTURE_H

/* A stand-in for PostgreSQL: the rows that a ledger gave, each once, and whether they are a chain.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/anchor.h"
#include "audit/ledger.h"
#include "base/crypto.h"

#ifndef MAX_LINKS
#define MAX_LINKS   4096
#define MAX_ANCHORS 1024
#endif

static const uint8_t chain_seed[ED25519_SEED_BYTES] = { 42 };

struct taken_link {
	bool is_there;
	bool has_opening;
	struct chain_link link;
	uint8_t call_id[EVENT_UUID_BYTES];
	uint8_t digest[SHA256_BYTES];
};

struct taken {
	uint8_t id[CHAIN_ID_BYTES];
	bool has_id;
	struct taken_link links[MAX_LINKS]; /* by sequence */
	uint64_t last_seq;
	struct chain_anchor anchors[MAX_ANCHORS]; /* by epoch */
	bool has_anchor[MAX_ANCHORS];
	uint64_t n_anchors;
	size_t n_unlinked;
	size_t n_again; /* came more than once */
};

static inline struct taken_link link_of(const struct ledger_row *row)
{
	struct taken_link out = { .is_there = false };
	struct span record = row->closing.p != NULL ? row->closing : row->opening;
	struct buf canonical;

	if (!row->kind->find_link(record, &out.link))
		return out;
	buf_init(&canonical, KIND_MAX_BYTES);
	row->kind->canonical(row->opening, row->closing, &canonical);
	crypto_sha256(canonical.data, canonical.len, out.digest);
	buf_fini(&canonical);
	memcpy(out.call_id, row->call_id, sizeof(out.call_id));
	out.is_there = true;
	out.has_opening = row->opening.p != NULL;
	return out;
}

static inline void take_link(struct taken *taken, const struct taken_link *link)
{
	struct taken_link *at = &taken->links[link->link.seq];

	assert_in_range(link->link.seq, 1, MAX_LINKS - 1);
	if (!taken->has_id)
		memcpy(taken->id, link->link.id, sizeof(taken->id));
	taken->has_id = true;
	assert_memory_equal(taken->id, link->link.id, sizeof(taken->id));
	if (at->is_there) {
		/* What comes again is the same, or its INTENT was released, as it was done. */
		assert_memory_equal(at->link.mac, link->link.mac, sizeof(link->link.mac));
		assert_memory_equal(at->call_id, link->call_id, sizeof(link->call_id));
		if (link->has_opening)
			assert_memory_equal(at->digest, link->digest, sizeof(link->digest));
		taken->n_again++;
		return;
	}
	*at = *link;
	if (link->link.seq > taken->last_seq)
		taken->last_seq = link->link.seq;
}

static inline void take_anchor(struct taken *taken, const struct chain_anchor *anchor)
{
	struct chain_anchor *at = &taken->anchors[anchor->epoch];

	assert_in_range(anchor->epoch, 0, MAX_ANCHORS - 1);
	if (taken->has_anchor[anchor->epoch]) {
		assert_memory_equal(at->signature, anchor->signature, sizeof(at->signature));
		taken->n_again++;
		return;
	}
	*at = *anchor;
	taken->has_anchor[anchor->epoch] = true;
	taken->n_anchors++;
}

static inline void take_row(struct taken *taken, const struct ledger_row *row)
{
	struct chain_anchor anchor;
	struct taken_link link;
	struct err err;

	if (row->kind == &kind_anchors) {
		assert_int_equal(anchor_decode(row->opening, &anchor, NULL, &err), 0);
		take_anchor(taken, &anchor);
		return;
	}
	link = link_of(row);
	if (link.is_there)
		take_link(taken, &link);
	else
		taken->n_unlinked++;
}

static inline void verify_epoch(const struct taken *taken, uint64_t first, uint64_t last,
				const uint8_t key[SHA256_BYTES])
{
	static const uint8_t zero[CHAIN_MAC_BYTES];

	for (uint64_t seq = first; seq <= last; seq++) {
		const struct taken_link *at = &taken->links[seq];
		const uint8_t *before = seq == 1 ? zero : at[-1].link.mac;
		uint8_t mac[CHAIN_MAC_BYTES];

		if (!at->is_there)
			print_error("link %llu of %llu is missing\n", (unsigned long long)seq,
				    (unsigned long long)taken->last_seq);
		assert_true(at->is_there);
		chain_mac(key, taken->id, seq, before, at->digest, mac);
		assert_memory_equal(mac, at->link.mac, sizeof(mac));
	}
}

/* Everything that was taken is one chain without a gap. key: of the epoch that is not anchored. */
static inline void verify_taken(const struct taken *taken, const uint8_t key[SHA256_BYTES])
{
	uint8_t public_key[ED25519_PUBLIC_BYTES];
	uint64_t first = 1;

	crypto_ed25519_public(chain_seed, public_key);
	for (uint64_t epoch = 0; epoch < taken->n_anchors; epoch++) {
		const struct chain_anchor *anchor = &taken->anchors[epoch];

		assert_true(taken->has_anchor[epoch]);
		assert_true(chain_anchor_verify(anchor, public_key));
		assert_int_equal(anchor->first_seq, first);
		assert_true(anchor->last_seq >= first);
		verify_epoch(taken, first, anchor->last_seq, anchor->mac_key);
		assert_memory_equal(anchor->last_mac, taken->links[anchor->last_seq].link.mac,
				    sizeof(anchor->last_mac));
		first = anchor->last_seq + 1;
	}
	verify_epoch(taken, first, taken->last_seq, key);
}

#endif
