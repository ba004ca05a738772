/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/links.h"

#include <string.h>

#include "base/mem.h"

/* A whole state: it counts unless it is of the same chain and no further. */
static void follow_state(struct chain *at, bool *known, const struct chain *state)
{
	bool same = *known && memcmp(at->id, state->id, sizeof(at->id)) == 0;

	if (same && (state->epoch < at->epoch || state->seq < at->seq))
		return;
	*at = *state;
	*known = true;
}

static void follow_link(struct chain *at, bool *known, const struct chain_link *link)
{
	/* Of another chain: left behind by one that was lost. */
	if (!*known || memcmp(at->id, link->id, sizeof(at->id)) != 0 || link->seq <= at->seq)
		return;
	if (link->seq != at->seq + 1)
		*known = false; /* an anchor may have been among what is missing */
	at->seq = link->seq;
	memcpy(at->mac, link->mac, sizeof(at->mac));
}

static void follow(struct chain *at, bool *known, const struct kind *kind, struct span record)
{
	struct chain_anchor anchor;
	struct chain_link link;
	struct chain next;
	struct err ignored;

	if (kind == &kind_anchors && anchor_decode(record, &anchor, &next, &ignored) == 0)
		follow_state(at, known, &next);
	else if (kind->find_link != NULL && kind->find_link(record, &link))
		follow_link(at, known, &link);
	if (kind == &kind_anchors)
		mem_wipe(&next, sizeof(next));
}

void links_state(struct links *links, struct span state)
{
	struct chain chain;
	struct err ignored;

	if (anchor_state_decode(state, &chain, &ignored) == 0)
		follow_state(&links->last, &links->known, &chain);
	mem_wipe(&chain, sizeof(chain));
}

void links_follow(struct links *links, const struct kind *kind, struct span record)
{
	follow(&links->last, &links->known, kind, record);
}

bool links_ready(struct links *links)
{
	bool known = links->known;

	if (!known)
		chain_begin(&links->last);
	links->known = true;
	links->settled = links->last;
	return known;
}

struct chain_link links_next(const struct links *links, const uint8_t digest[SHA256_BYTES],
			     struct chain *next)
{
	struct chain_link link;

	*next = links->last;
	chain_link(next, digest);
	memcpy(link.id, next->id, sizeof(link.id));
	link.seq = next->seq;
	memcpy(link.mac, next->mac, sizeof(link.mac));
	return link;
}

void links_settle(struct links *links, const struct kind *kind, struct span record)
{
	bool known = true;

	follow(&links->settled, &known, kind, record);
}

void links_roll_back(struct links *links)
{
	links->last = links->settled;
	links->known = true;
}

void links_wipe(struct links *links)
{
	mem_wipe(links, sizeof(*links));
}
