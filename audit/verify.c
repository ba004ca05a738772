/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify.h"

#include <assert.h>
#include <string.h>

static const struct {
	const char *word;
	const char *text;
} problems[] = {
#define X(name, word, text) [VERIFY_##name] = { (word), (text) },
	VERIFY_PROBLEMS(X)
#undef X
};

static const char *const kinds[] = {
	[VERIFY_CALL] = "call",	    [VERIFY_EVENT_SEAL] = "event seal",
	[VERIFY_ANCHOR] = "anchor", [VERIFY_SEAL] = "partition seal",
	[VERIFY_EVENTS] = "events", [VERIFY_PLACE] = "link",
};

const char *verify_problem_word(enum verify_problem problem)
{
	return problems[problem].word;
}

const char *verify_problem_text(enum verify_problem problem)
{
	return problems[problem].text;
}

const char *verify_kind_word(enum verify_kind kind)
{
	return kinds[kind];
}

static void report(const struct verify_chain *chain, enum verify_problem problem,
		   const struct verify_record *record)
{
	chain->report(chain->ctx, problem, record);
}

static struct verify_record place(const struct verify_chain *chain, uint64_t first, uint64_t last)
{
	struct verify_record record = {
		.kind = VERIFY_PLACE, .chained = true, .first = first, .last = last
	};

	memcpy(record.chain, chain->id, sizeof(record.chain));
	return record;
}

/* --- the link before ------------------------------------------------------------------------- */

static void go_on_from(struct verify_chain *chain, const uint8_t mac[CHAIN_MAC_BYTES])
{
	memcpy(chain->before, mac, CHAIN_MAC_BYTES);
	chain->has_before = true;
	chain->has_otherwise = false;
}

static void go_on_blind(struct verify_chain *chain)
{
	chain->has_before = false;
	chain->has_otherwise = false;
}

static bool stood_at(const struct verify_chain *chain, const uint8_t mac[CHAIN_MAC_BYTES])
{
	return !chain->has_before || memcmp(chain->before, mac, CHAIN_MAC_BYTES) == 0 ||
	       (chain->has_otherwise && memcmp(chain->otherwise, mac, CHAIN_MAC_BYTES) == 0);
}

/* --- what is not there ----------------------------------------------------------------------- */

static void take_range(struct verify_chain *chain, const struct verify_range *range)
{
	/* Nothing else contradicts a change of the link before: those behind it are gone. */
	if (chain->want == range->first && !chain->latest_bad && !stood_at(chain, range->before)) {
		struct verify_record record = chain->latest;

		if (record.first != range->first - 1)
			record = place(chain, range->first - 1, range->first - 1);
		report(chain, VERIFY_EDGE, &record);
	}
	chain->counts.dropped += range->last - chain->want + 1;
	chain->want = range->last + 1;
	chain->latest_bad = false;
	go_on_from(chain, range->mac);
}

/* Ranges that end before what comes next were told of already, or lie before where we began. */
static const struct verify_range *next_range(struct verify_chain *chain)
{
	while (chain->n_ranges > 0 && chain->ranges->last < chain->want) {
		chain->ranges++;
		chain->n_ranges--;
	}
	return chain->n_ranges > 0 ? chain->ranges : NULL;
}

/* Until `seq` is what comes next, or something behind it that was dropped. */
static void advance(struct verify_chain *chain, uint64_t seq)
{
	while (chain->want < seq) {
		const struct verify_range *range = next_range(chain);
		uint64_t behind = range != NULL && range->first < seq ? range->first : seq;
		struct verify_record hole;

		if (range != NULL && range->first <= chain->want) {
			take_range(chain, range);
			continue;
		}
		hole = place(chain, chain->want, behind - 1);
		report(chain, VERIFY_MISSING, &hole);
		chain->want = behind;
		chain->latest_bad = true;
		go_on_blind(chain);
	}
}

/* --- a link ---------------------------------------------------------------------------------- */

static bool follows(const struct verify_chain *chain, const struct verify_link *link,
		    const uint8_t before[CHAIN_MAC_BYTES])
{
	uint8_t mac[CHAIN_MAC_BYTES];

	chain_mac(chain->anchor.mac_key, chain->id, link->record.first, before, link->digest, mac);
	return memcmp(mac, link->mac, sizeof(mac)) == 0;
}

static bool has_key(const struct verify_chain *chain, uint64_t seq)
{
	return verify_chain_holds(chain, seq) && seq >= chain->anchor.first_seq;
}

/* As far as it can be told: not without a key, and not behind a hole. */
static bool is_good(const struct verify_chain *chain, const struct verify_link *link)
{
	if (!link->readable)
		return false;
	if (link->reduced)
		return chain_reduction_verify(chain->public_key, chain->id, link->record.first,
					      link->mac, link->digest, link->reduction);
	if (!has_key(chain, link->record.first) || !chain->has_before)
		return true;
	return follows(chain, link, chain->before) ||
	       (chain->has_otherwise && follows(chain, link, chain->otherwise));
}

static const struct verify_link *find_good(const struct verify_chain *chain)
{
	for (size_t i = 0; i < chain->n_rivals; i++) {
		if (is_good(chain, &chain->rivals[i]))
			return &chain->rivals[i];
	}
	return NULL;
}

/* Its MAC may be what was altered, or what it is over: what follows tells, so both are kept. */
static void go_on_behind_bad(struct verify_chain *chain, const struct verify_link *link)
{
	bool computable = has_key(chain, link->record.first) && chain->has_before &&
			  link->readable && !link->reduced;
	uint8_t mac[CHAIN_MAC_BYTES];

	if (computable)
		chain_mac(chain->anchor.mac_key, chain->id, link->record.first, chain->before,
			  link->digest, mac);
	go_on_from(chain, link->mac);
	if (computable) {
		memcpy(chain->otherwise, mac, sizeof(mac));
		chain->has_otherwise = true;
	}
}

/* What is anchored within a minute is not behind the last anchor for long. Who may insert may claim
 * a place there, but not a time of long ago. */
static void judge_time(struct verify_chain *chain, const struct verify_link *link)
{
	if (chain->has_epoch || link->ended_us == 0 ||
	    (link->ended_us >= chain->late_before_us && link->ended_us <= chain->late_after_us))
		return;
	chain->told_late = true;
	report(chain, VERIFY_UNANCHORED, &link->record);
}

static void judge(struct verify_chain *chain)
{
	const struct verify_link *good = find_good(chain);
	const struct verify_link *taken = good != NULL ? good : &chain->rivals[0];

	chain->latest_bad = good == NULL;
	if (good == NULL)
		report(chain, VERIFY_ALTERED, &taken->record);
	else
		judge_time(chain, good);
	for (size_t i = 0; i < chain->n_rivals; i++) {
		if (&chain->rivals[i] != taken)
			report(chain, VERIFY_DUPLICATE, &chain->rivals[i].record);
	}
	if (chain->judged != NULL)
		chain->judged(chain->ctx, taken, chain->has_before ? chain->before : NULL);
	if (good != NULL)
		go_on_from(chain, taken->mac);
	else
		go_on_behind_bad(chain, taken);
	chain->latest = taken->record;
	chain->want++;
}

static bool was_dropped(struct verify_chain *chain, uint64_t seq)
{
	const struct verify_range *range = next_range(chain);

	return chain->want > seq || (range != NULL && range->first <= seq);
}

/* All that claim one place are known. */
static void settle(struct verify_chain *chain)
{
	uint64_t seq;

	if (chain->n_rivals == 0)
		return;
	seq = chain->rivals[0].record.first;
	advance(chain, seq);
	chain->counts.links++;
	if (!chain->has_epoch)
		chain->counts.not_anchored++;
	if (was_dropped(chain, seq)) {
		for (size_t i = 0; i < chain->n_rivals; i++)
			report(chain, VERIFY_DROPPED, &chain->rivals[i].record);
	} else {
		judge(chain);
	}
	chain->n_rivals = 0;
}

void verify_chain_link(struct verify_chain *chain, const struct verify_link *link)
{
	if (chain->n_rivals > 0 && chain->rivals[0].record.first != link->record.first)
		settle(chain);
	if (chain->n_rivals == VERIFY_MAX_RIVALS)
		report(chain, VERIFY_DUPLICATE, &link->record);
	else
		chain->rivals[chain->n_rivals++] = *link;
}

/* --- an epoch -------------------------------------------------------------------------------- */

struct verify_record verify_anchor_record(const struct chain_anchor *anchor)
{
	struct verify_record record = { .kind = VERIFY_ANCHOR,
					.chained = true,
					.first = anchor->epoch,
					.last = anchor->epoch,
					.started_us = anchor->anchored_us };

	memcpy(record.chain, anchor->id, sizeof(record.chain));
	return record;
}

void verify_chain_begin(struct verify_chain *chain, const struct chain_anchor *after)
{
	chain->want = 1;
	chain->edge = 1;
	chain->has_before = true;
	if (after == NULL)
		return;
	chain->want = after->last_seq + 1;
	chain->edge = chain->want;
	chain->want_epoch = after->epoch + 1;
	if (chain_anchor_verify(after, chain->public_key)) {
		go_on_from(chain, after->last_mac);
	} else {
		/* Where we were told to begin nobody has signed. */
		const struct verify_record record = verify_anchor_record(after);

		report(chain, VERIFY_ANCHOR_ALTERED, &record);
		go_on_blind(chain);
	}
}

static void miss_anchors(struct verify_chain *chain, const struct chain_anchor *next)
{
	struct verify_record record = verify_anchor_record(next);

	record.first = chain->want_epoch;
	record.last = next->epoch - 1;
	record.started_us = 0;
	report(chain, VERIFY_ANCHOR_MISSING, &record);
	chain->edge = 0;
}

void verify_chain_anchor(struct verify_chain *chain, const struct chain_anchor *anchor)
{
	const struct verify_record record = verify_anchor_record(anchor);

	assert(!chain->has_epoch && chain->n_rivals == 0);
	chain->counts.anchors++;
	if (!chain_anchor_verify(anchor, chain->public_key)) {
		report(chain, VERIFY_ANCHOR_ALTERED, &record);
		if (anchor->epoch == chain->want_epoch)
			chain->want_epoch++;
		chain->edge = 0;
		return;
	}
	if (anchor->epoch > chain->want_epoch)
		miss_anchors(chain, anchor);
	if (anchor->epoch < chain->want_epoch ||
	    (chain->edge != 0 && anchor->first_seq != chain->edge))
		report(chain, VERIFY_ANCHOR_MISPLACED, &record);
	chain->has_epoch = true;
	chain->anchor = *anchor;
	chain->want_epoch = anchor->epoch + 1;
	chain->edge = anchor->last_seq + 1;
}

bool verify_chain_holds(const struct verify_chain *chain, uint64_t seq)
{
	return chain->has_epoch && seq <= chain->anchor.last_seq;
}

void verify_chain_epoch_end(struct verify_chain *chain)
{
	uint64_t last = chain->anchor.last_seq;
	struct verify_record epoch;

	settle(chain);
	if (!chain->has_epoch)
		return;
	advance(chain, last + 1);
	if (chain->want == last + 1) {
		epoch = place(chain, chain->anchor.first_seq, last);
		if (!chain->latest_bad && !stood_at(chain, chain->anchor.last_mac))
			report(chain, VERIFY_REWRITTEN, &epoch);
		go_on_from(chain, chain->anchor.last_mac);
		chain->latest_bad = false;
	}
	chain->has_epoch = false;
}

void verify_chain_end(struct verify_chain *chain)
{
	const struct verify_range *range;

	verify_chain_epoch_end(chain);
	for (range = next_range(chain); range != NULL; range = next_range(chain))
		advance(chain, range->last + 1);
}
