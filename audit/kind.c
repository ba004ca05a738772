/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/kind.h"

#include <endian.h>
#include <string.h>

#include "audit/anchor.h"
#include "audit/event_seal.h"
#include "audit/kind_call.h"
#include "audit/payload.h"

static const struct kind *const kinds[] = {
	[EVENT_INTENT] = &kind_calls,	  [EVENT_OUTCOME] = &kind_calls,
	[EVENT_ENTRY] = &kind_calls,	  [EVENT_ANCHOR] = &kind_anchors,
	[EVENT_SEAL] = &kind_event_seals, [EVENT_PAYLOAD] = &kind_payloads,
};

const struct kind *kind_find(uint8_t type)
{
	return type < sizeof(kinds) / sizeof(kinds[0]) ? kinds[type] : NULL;
}

void kind_add_link_behind(struct buf *record, const struct chain_link *link)
{
	uint64_t seq = htobe64(link->seq);

	buf_append(record, link->id, sizeof(link->id));
	buf_append(record, &seq, sizeof(seq));
	buf_append(record, link->mac, sizeof(link->mac));
}

bool kind_find_link_behind(struct span record, struct chain_link *out)
{
	const char *at;

	if (record.n < CHAIN_LINK_BYTES)
		return false;
	at = record.p + record.n - CHAIN_LINK_BYTES;
	memcpy(out->id, at, sizeof(out->id));
	memcpy(&out->seq, at + sizeof(out->id), sizeof(out->seq));
	out->seq = be64toh(out->seq);
	memcpy(out->mac, at + sizeof(out->id) + sizeof(out->seq), sizeof(out->mac));
	return out->seq > 0 && out->seq <= INT64_MAX;
}
