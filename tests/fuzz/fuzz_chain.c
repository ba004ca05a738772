/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a spool says of its chain, as any bytes: notes, states, anchors and links, one after the
 * other, as at an opening. What decodes encodes to the same bytes; whatever came, the chain goes on
 * from a state that can be written down again; and calls take a link and give it back.
 *
 * Input: pieces of kind u8 (0 note and checkpoint, 1 state, 2 anchor, 3 record of a call), length
 * u8, bytes. A state or an anchor that lacks the version gets it.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/anchor.h"
#include "audit/links.h"
#include "base/mem.h"
#include "base/spool_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_checkpoint(struct span bytes)
{
	struct spool_checkpoint checkpoint;

	if (spool_checkpoint_parse(bytes, &checkpoint) < 0)
		return;
	assert(checkpoint.last >= checkpoint.released);
	assert(checkpoint.note.n <= SPOOL_NOTE_BYTES && checkpoint.note.n <= bytes.n);
}

static void check_state(struct span bytes)
{
	uint8_t again[ANCHOR_STATE_BYTES];
	struct chain chain;
	struct err err;

	if (anchor_state_decode(bytes, &chain, &err) < 0)
		return;
	anchor_state_encode(&chain, again);
	assert(bytes.n == sizeof(again) && memcmp(bytes.p, again, sizeof(again)) == 0);
}

static void check_anchor(struct span bytes)
{
	struct chain_anchor anchor;
	struct buf again;
	struct chain next;
	struct err err;

	if (anchor_decode(bytes, &anchor, &next, &err) < 0)
		return;
	buf_init(&again, 1024);
	anchor_encode(&anchor, &next, &again);
	assert(bytes.n == again.len && memcmp(bytes.p, again.data, again.len) == 0);
	buf_fini(&again);
}

static void check_call(struct span bytes)
{
	const struct chain_link link = { .id = { 1 }, .seq = 2, .mac = { 3 } };
	struct buf record, before, after;
	struct span absent = { NULL, 0 };
	struct chain_link found;
	struct err err;

	if (kind_calls.check(bytes, &err) < 0 || kind_calls.find_link(bytes, &found))
		return;
	buf_init(&record, EVENT_MAX_BYTES);
	buf_init(&before, EVENT_MAX_BYTES);
	buf_init(&after, EVENT_MAX_BYTES);
	kind_calls.canonical(bytes, absent, &before);
	buf_add_span(&record, bytes);
	/* A part of a link may be there, which nobody writes. */
	if (record.len + 3 * 3 + CHAIN_LINK_BYTES <= EVENT_MAX_BYTES) {
		kind_calls.add_link(&record, &link);
		if (kind_calls.check(buf_span(&record), &err) == 0) {
			assert(kind_calls.find_link(buf_span(&record), &found));
			assert(found.seq == 2 && found.id[0] == 1 && found.mac[0] == 3);
			kind_calls.canonical(buf_span(&record), absent, &after);
			assert(after.len == before.len &&
			       memcmp(after.data, before.data, after.len) == 0);
		}
	}
	buf_fini(&record);
	buf_fini(&before);
	buf_fini(&after);
}

static void take_piece(struct links *links, uint8_t kind, struct span bytes)
{
	struct err err;

	switch (kind % 4) {
	case 0:
		check_checkpoint(bytes);
		links_state(links, bytes);
		break;
	case 1:
		check_state(bytes);
		links_state(links, bytes);
		break;
	case 2:
		check_anchor(bytes);
		if (kind_anchors.check(bytes, &err) == 0)
			links_follow(links, &kind_anchors, bytes);
		break;
	default:
		check_call(bytes);
		if (kind_calls.check(bytes, &err) == 0)
			links_follow(links, &kind_calls, bytes);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t digest[SHA256_BYTES] = { 1 };
	struct links links = { .known = false };
	uint8_t state[ANCHOR_STATE_BYTES];
	struct chain_link link;
	struct chain next;
	struct err err;
	int rc;

	while (size >= 2) {
		size_t n = data[1] < size - 2 ? data[1] : size - 2;
		char *piece = mem_dup(data + 2, n);

		if (n > 0 && data[0] % 4 != 3 && data[0] % 4 != 0 && data[0] >= 128)
			piece[0] = 1;
		take_piece(&links, data[0], (struct span){ piece, n });
		free(piece);
		data += 2 + n;
		size -= 2 + n;
	}
	(void)!links_ready(&links);
	anchor_state_encode(&links.last, state);
	rc = anchor_state_decode((struct span){ (char *)state, sizeof(state) }, &next, &err);
	assert(rc == 0);
	link = links_next(&links, digest, &next);
	assert(link.seq == links.last.seq + 1);
	return 0;
}
