/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/kind.h"

#include <string.h>

#include "audit/anchor.h"
#include "audit/event_seal.h"
#include "audit/kind_call.h"
#include "audit/payload.h"
#include "base/be64.h"

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
	buf_append(record, link->id, sizeof(link->id));
	be64_put(record, link->seq);
	buf_append(record, link->mac, sizeof(link->mac));
}

bool kind_find_link_behind(struct span record, struct chain_link *out)
{
	const char *at;

	if (record.n < CHAIN_LINK_BYTES)
		return false;
	at = record.p + record.n - CHAIN_LINK_BYTES;
	memcpy(out->id, at, sizeof(out->id));
	out->seq = be64_get(at + sizeof(out->id));
	memcpy(out->mac, at + sizeof(out->id) + sizeof(out->seq), sizeof(out->mac));
	return out->seq > 0 && out->seq <= INT64_MAX;
}
