/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define N_LINKS	    12
#define EPOCH_LINKS 4 /* three epochs: 1-4, 5-8, 9-12 */
#define N_EPOCHS    3
#define MAX_FOUND   32

/* A chain of links whose digest is their number, and what was found. */
struct world {
	uint8_t seed[ED25519_SEED_BYTES], public_key[ED25519_PUBLIC_BYTES];
	struct verify_link links[N_LINKS + 1]; /* by sequence */
	struct chain_anchor anchors[N_EPOCHS];
	struct verify_chain chain;
	char found[1024]; /* "altered 3; missing 5-6; " */
	size_t n_judged;
};

static void on_found(void *ctx, enum verify_problem problem, const struct verify_record *record)
{
	struct world *w = ctx;
	size_t n = strlen(w->found);

	snprintf(w->found + n, sizeof(w->found) - n, "%s%s %llu", n > 0 ? "; " : "",
		 verify_problem_word(problem), (unsigned long long)record->first);
	n = strlen(w->found);
	if (record->last > record->first)
		snprintf(w->found + n, sizeof(w->found) - n, "-%llu",
			 (unsigned long long)record->last);
	assert_memory_equal(record->chain, w->chain.id, CHAIN_ID_BYTES);
}

static void on_judged(void *ctx, const struct verify_link *link, const uint8_t *before)
{
	struct world *w = ctx;

	(void)link;
	(void)before;
	w->n_judged++;
}

static struct verify_link link_number(uint64_t seq)
{
	struct verify_link link = {
		.record = {.kind = VERIFY_CALL, .chained = true, .first = seq, .last = seq},
		.readable = true
	};

	link.digest[0] = (uint8_t)seq;
	return link;
}

static void make(struct world *w)
{
	struct chain chain;

	*w = (struct world){ .found = "" };
	memset(w->seed, 7, sizeof(w->seed));
	crypto_ed25519_public(w->seed, w->public_key);
	chain_begin(&chain);
	for (uint64_t seq = 1; seq <= N_LINKS; seq++) {
		w->links[seq] = link_number(seq);
		chain_link(&chain, w->links[seq].digest);
		memcpy(w->links[seq].mac, chain.mac, sizeof(chain.mac));
		memcpy(w->links[seq].record.chain, chain.id, sizeof(chain.id));
		if (seq % EPOCH_LINKS == 0)
			chain_anchor(&chain, (int64_t)seq, w->seed,
				     &w->anchors[seq / EPOCH_LINKS - 1]);
	}
	memcpy(w->chain.id, chain.id, sizeof(chain.id));
	w->chain.public_key = w->public_key;
	w->chain.report = on_found;
	w->chain.judged = on_judged;
	w->chain.ctx = w;
}

/* As the reader does it: links in the order given, each in the epoch that holds it. */
static void feed(struct world *w, const struct verify_link *links, size_t n, unsigned anchors)
{
	size_t at = 0;

	verify_chain_begin(&w->chain, NULL);
	for (unsigned i = 0; i < N_EPOCHS; i++) {
		if ((anchors & 1u << i) == 0)
			continue;
		verify_chain_anchor(&w->chain, &w->anchors[i]);
		while (at < n && verify_chain_holds(&w->chain, links[at].record.first))
			verify_chain_link(&w->chain, &links[at++]);
		verify_chain_epoch_end(&w->chain);
	}
	while (at < n)
		verify_chain_link(&w->chain, &links[at++]);
	verify_chain_end(&w->chain);
}

#define ALL_ANCHORS 7u

static void expect(struct world *w, const char *found)
{
	assert_string_equal(w->found, found);
}

static void feed_all(struct world *w, unsigned anchors)
{
	feed(w, w->links + 1, N_LINKS, anchors);
}

static void what_was_written_is_good(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	feed_all(&w, ALL_ANCHORS);
	expect(&w, "");
	assert_int_equal(w.chain.counts.links, N_LINKS);
	assert_int_equal(w.chain.counts.anchors, N_EPOCHS);
	assert_int_equal(w.chain.counts.not_anchored, 0);
	assert_int_equal(w.n_judged, N_LINKS);
}

static void one_changed_link_is_one_finding(void **state)
{
	struct world w;

	(void)state;
	for (uint64_t seq = 1; seq <= N_LINKS; seq++) {
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "altered %llu", (unsigned long long)seq);
		for (int what = 0; what < 3; what++) {
			make(&w);
			if (what == 0)
				w.links[seq].digest[31] ^= 1;
			else if (what == 1)
				w.links[seq].mac[0] ^= 0x80;
			else
				w.links[seq].readable = false;
			feed_all(&w, ALL_ANCHORS);
			expect(&w, wanted);
		}
	}
}

static void what_is_missing_is_named_as_a_run(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	w.links[5] = w.links[4]; /* of 1 2 3 4 7 … */
	w.links[6] = w.links[4];
	memmove(&w.links[5], &w.links[7], (N_LINKS - 6) * sizeof(w.links[0]));
	feed(&w, w.links + 1, N_LINKS - 2, ALL_ANCHORS);
	expect(&w, "missing 5-6");

	make(&w);
	feed(&w, w.links + 1, 7, ALL_ANCHORS);
	expect(&w, "missing 8; missing 9-12");

	make(&w);
	feed(&w, NULL, 0, ALL_ANCHORS);
	expect(&w, "missing 1-4; missing 5-8; missing 9-12");
}

static void of_rivals_the_true_one_stands(void **state)
{
	struct verify_link links[N_LINKS + 8];
	struct world w;

	(void)state;
	for (int first = 0; first < 2; first++) {
		make(&w);
		memcpy(links, w.links + 1, 6 * sizeof(links[0]));
		links[6] = links[5]; /* two claim place 6 */
		links[first == 0 ? 5 : 6].digest[9] ^= 1;
		memcpy(links + 7, w.links + 7, (N_LINKS - 6) * sizeof(links[0]));
		feed(&w, links, N_LINKS + 1, ALL_ANCHORS);
		expect(&w, "duplicate 6");
		assert_int_equal(w.n_judged, N_LINKS);
	}
	make(&w);
	memcpy(links, w.links + 1, sizeof(links[0]));
	for (size_t i = 0; i < VERIFY_MAX_RIVALS + 1; i++)
		links[1 + i] = w.links[2];
	memcpy(links + VERIFY_MAX_RIVALS + 2, w.links + 3, (N_LINKS - 2) * sizeof(links[0]));
	feed(&w, links, N_LINKS + VERIFY_MAX_RIVALS, ALL_ANCHORS);
	expect(&w, "duplicate 2; duplicate 2; duplicate 2; duplicate 2");
}

static void who_has_the_disclosed_key_rewrites_nothing_unseen(void **state)
{
	const uint8_t *before;
	struct world w;

	(void)state;
	make(&w);
	w.links[6].digest[3] ^= 1;
	before = w.links[5].mac;
	for (uint64_t seq = 6; seq <= 8; seq++) {
		chain_mac(w.anchors[1].mac_key, w.chain.id, seq, before, w.links[seq].digest,
			  w.links[seq].mac);
		before = w.links[seq].mac;
	}
	feed_all(&w, ALL_ANCHORS);
	expect(&w, "rewritten 5-8");
}

static void an_anchor_that_is_not_ours_holds_nothing(void **state)
{
	struct world w;

	(void)state;
	for (size_t at = 0; at < sizeof(struct chain_anchor) * 8; at += 61) {
		make(&w);
		((uint8_t *)&w.anchors[1])[at / 8] ^= (uint8_t)(1u << at % 8);
		if (at / 8 < CHAIN_ID_BYTES)
			continue; /* it would be of another chain */
		feed_all(&w, ALL_ANCHORS);
		assert_non_null(strstr(w.found, "anchor_altered"));
		assert_null(strstr(w.found, "altered 9"));
	}
	make(&w);
	w.anchors[1].signature[0] ^= 1;
	w.links[6].digest[0] ^= 1; /* cannot be told */
	w.links[10].digest[0] ^= 1;
	feed_all(&w, ALL_ANCHORS);
	expect(&w, "anchor_altered 1; altered 10");
}

static void epochs_without_an_anchor_are_named(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	feed_all(&w, 5);
	expect(&w, "anchor_missing 1");
	make(&w);
	w.links[10].digest[0] ^= 1;
	feed_all(&w, 4);
	expect(&w, "anchor_missing 0-1; altered 10");
	make(&w);
	feed_all(&w, 3);
	expect(&w, "");
	assert_int_equal(w.chain.counts.not_anchored, 4);
	make(&w);
	feed(&w, w.links + 10, 3, 3);
	expect(&w, "missing 1-4; missing 5-8; missing 9");
}

static void an_anchor_of_ours_in_another_place_is_named(void **state)
{
	struct chain chain;
	struct world w;

	(void)state;
	make(&w);
	/* As a second chain with the same id would have it: what our key signs is not enough. */
	chain = (struct chain){ .epoch = 1, .epoch_first = 6, .seq = 8 };
	memcpy(chain.id, w.chain.id, sizeof(chain.id));
	chain_resume(&chain);
	chain_anchor(&chain, 0, w.seed, &w.anchors[1]);
	feed_all(&w, ALL_ANCHORS);
	assert_memory_equal(w.found, "anchor_misplaced 1;", 19);
}

static void a_reduction_speaks_for_a_row_and_no_other(void **state)
{
	struct world w;

	(void)state;
	for (int what = 0; what < 3; what++) {
		struct verify_link *link;

		make(&w);
		link = &w.links[6];
		link->digest[0] = 0xEE; /* what was stored of it */
		link->reduced = true;
		chain_reduction_sign(w.seed, w.chain.id, 6, link->mac, link->digest,
				     link->reduction);
		if (what == 1)
			link->digest[0] = 0xEF;
		if (what == 2)
			link->reduction[5] ^= 1;
		feed_all(&w, ALL_ANCHORS);
		expect(&w, what == 0 ? "" : "altered 6");
	}
}

/* Links `first` to `last` went with a partition. */
static void drop(struct world *w, struct verify_range *range, uint64_t first, uint64_t last)
{
	*range = (struct verify_range){ .first = first, .last = last };
	memcpy(range->chain, w->chain.id, sizeof(range->chain));
	if (first > 1)
		memcpy(range->before, w->links[first - 1].mac, CHAIN_MAC_BYTES);
	memcpy(range->mac, w->links[last].mac, CHAIN_MAC_BYTES);
}

static void a_chain_goes_on_across_what_was_dropped(void **state)
{
	struct verify_range ranges[2];
	struct verify_link left[N_LINKS];
	struct world w;

	(void)state;
	for (uint64_t first = 1; first <= N_LINKS; first++) {
		for (uint64_t last = first; last <= N_LINKS; last++) {
			make(&w);
			drop(&w, &ranges[0], first, last);
			w.chain.ranges = ranges;
			w.chain.n_ranges = 1;
			memcpy(left, w.links + 1, (first - 1) * sizeof(left[0]));
			memcpy(left + first - 1, w.links + last + 1,
			       (N_LINKS - last) * sizeof(left[0]));
			feed(&w, left, N_LINKS - (last - first + 1), ALL_ANCHORS);
			expect(&w, "");
			assert_int_equal(w.chain.counts.dropped, last - first + 1);
		}
	}
	make(&w);
	drop(&w, &ranges[0], 1, 2);
	drop(&w, &ranges[1], 4, 9);
	w.chain.ranges = ranges;
	w.chain.n_ranges = 2;
	left[0] = w.links[3];
	memcpy(left + 1, w.links + 10, 3 * sizeof(left[0]));
	feed(&w, left, 4, ALL_ANCHORS);
	expect(&w, "");
	assert_int_equal(w.chain.counts.links, 4);
}

/* What is left beside a hole has no neighbour to contradict it, but the seal. */
static void the_edges_of_what_was_dropped_are_fixed(void **state)
{
	struct verify_range range;
	struct verify_link left[N_LINKS];
	struct world w;

	(void)state;
	for (int what = 0; what < 4; what++) {
		make(&w);
		drop(&w, &range, 7, 10);
		w.chain.ranges = &range;
		w.chain.n_ranges = 1;
		if (what == 1) { /* with the disclosed key */
			w.links[6].digest[0] ^= 1;
			chain_mac(w.anchors[1].mac_key, w.chain.id, 6, w.links[5].mac,
				  w.links[6].digest, w.links[6].mac);
		} else if (what == 2) {
			w.links[11].digest[0] ^= 1;
		}
		memcpy(left, w.links + 1, 6 * sizeof(left[0]));
		if (what == 3) {
			left[6] = w.links[8]; /* it is back */
			memcpy(left + 7, w.links + 11, 2 * sizeof(left[0]));
		} else {
			memcpy(left + 6, w.links + 11, 2 * sizeof(left[0]));
		}
		feed(&w, left, what == 3 ? 9 : 8, ALL_ANCHORS);
		expect(&w, what == 0   ? ""
			   : what == 1 ? "edge 6"
			   : what == 2 ? "altered 11"
				       : "dropped 8");
	}
}

static void verification_may_begin_behind_an_anchor(void **state)
{
	struct world w;

	(void)state;
	make(&w);
	verify_chain_begin(&w.chain, &w.anchors[0]);
	for (int epoch = 1; epoch < N_EPOCHS; epoch++) {
		verify_chain_anchor(&w.chain, &w.anchors[epoch]);
		for (uint64_t seq = w.anchors[epoch].first_seq; seq <= w.anchors[epoch].last_seq;
		     seq++)
			verify_chain_link(&w.chain, &w.links[seq]);
		verify_chain_epoch_end(&w.chain);
	}
	verify_chain_end(&w.chain);
	expect(&w, "");
	assert_int_equal(w.chain.counts.links, 8);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_written_is_good),
		cmocka_unit_test(one_changed_link_is_one_finding),
		cmocka_unit_test(what_is_missing_is_named_as_a_run),
		cmocka_unit_test(of_rivals_the_true_one_stands),
		cmocka_unit_test(who_has_the_disclosed_key_rewrites_nothing_unseen),
		cmocka_unit_test(an_anchor_that_is_not_ours_holds_nothing),
		cmocka_unit_test(epochs_without_an_anchor_are_named),
		cmocka_unit_test(an_anchor_of_ours_in_another_place_is_named),
		cmocka_unit_test(a_reduction_speaks_for_a_row_and_no_other),
		cmocka_unit_test(a_chain_goes_on_across_what_was_dropped),
		cmocka_unit_test(the_edges_of_what_was_dropped_are_fixed),
		cmocka_unit_test(verification_may_begin_behind_an_anchor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
