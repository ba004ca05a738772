/* SPDX-License-Identifier: Apache-2.0 */
/* Spool records in memory: stamping what is written, reading back what was found. Pure. */
#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/crypto.h"
#include "base/spool_priv.h"

/* Behind a bad record, at most this many times the segment's bytes are summed in search of good
 * ones: payloads are other people's bytes and could imitate headers at every offset. */
#define SEARCH_FACTOR 4

enum {
	AT_LENGTH = 0,
	AT_SEQUENCE = 4,
	AT_TYPE = 12,
	AT_CRC = 13,
};

static uint32_t get32(const uint8_t *p)
{
	uint32_t value;

	memcpy(&value, p, sizeof(value));
	return be32toh(value);
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return be64toh(value);
}

static void put32(uint8_t *p, uint32_t value)
{
	value = htobe32(value);
	memcpy(p, &value, sizeof(value));
}

static uint32_t checksum(const uint8_t *record, size_t payload_bytes)
{
	return crypto_crc32c_more(crypto_crc32c(record, AT_CRC), record + SPOOL_HEADER_BYTES,
				  payload_bytes);
}

size_t spool_entry_size(const struct spool_entry *entry)
{
	return SPOOL_HEADER_BYTES + (size_t)entry->payload_bytes;
}

void spool_entry_stamp(struct spool_entry *entry, bool first_of_commit)
{
	uint64_t sequence = htobe64(entry->sequence);

	assert(entry->payload_bytes < SPOOL_FIRST_OF_COMMIT && entry->sequence > 0);
	put32(entry->bytes + AT_LENGTH,
	      entry->payload_bytes | (first_of_commit ? SPOOL_FIRST_OF_COMMIT : 0));
	memcpy(entry->bytes + AT_SEQUENCE, &sequence, sizeof(sequence));
	entry->bytes[AT_TYPE] = entry->type;
	put32(entry->bytes + AT_CRC, checksum(entry->bytes, entry->payload_bytes));
}

/* A header whose lengths and sequence are possible; what it claims is not yet proven. */
struct claim {
	uint64_t sequence;
	size_t payload_bytes;
	bool first_of_commit;
};

static bool claim_read(const uint8_t *record, size_t n, struct claim *out)
{
	uint32_t length;

	if (n < SPOOL_HEADER_BYTES)
		return false;
	length = get32(record + AT_LENGTH);
	out->first_of_commit = (length & SPOOL_FIRST_OF_COMMIT) != 0;
	out->payload_bytes = length & ~SPOOL_FIRST_OF_COMMIT;
	out->sequence = get64(record + AT_SEQUENCE);
	return out->payload_bytes <= n - SPOOL_HEADER_BYTES;
}

static bool claim_holds(const uint8_t *record, const struct claim *claim)
{
	return get32(record + AT_CRC) == checksum(record, claim->payload_bytes);
}

static bool all_zero(const uint8_t *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/*
 * Tells a torn commit from damage. A commit begins only when the one before it is durable, so a
 * good record behind the bad one that began a commit proves that the bad one was confirmed.
 * Without such proof everything from the bad record on belongs to the last commit.
 */
static void search_behind(const uint8_t *p, size_t n, size_t at, struct spool_scan *out)
{
	size_t budget = SEARCH_FACTOR * n;
	uint64_t last = out->last;

	while (at < n) {
		struct claim claim;

		if (!claim_read(p + at, n - at, &claim) || claim.sequence <= last ||
		    claim.sequence - out->last > n / SPOOL_HEADER_BYTES) {
			at++;
			continue;
		}
		if (claim.payload_bytes + SPOOL_HEADER_BYTES > budget)
			return;
		budget -= claim.payload_bytes + SPOOL_HEADER_BYTES;
		if (!claim_holds(p + at, &claim)) {
			at++;
			continue;
		}
		at += SPOOL_HEADER_BYTES + claim.payload_bytes;
		out->highest = last = claim.sequence;
		if (claim.first_of_commit)
			out->tail = SPOOL_TAIL_DAMAGED;
	}
}

void spool_scan(struct span segment, uint64_t first, uint64_t limit, uint64_t from,
		spool_record *each, void *ctx, struct spool_scan *out)
{
	const uint8_t *p = (const uint8_t *)segment.p;
	size_t at = 0;

	*out = (struct spool_scan){ .last = first - 1, .tail = SPOOL_TAIL_CLEAN };
	while (out->last < limit) {
		struct claim claim;

		if (!claim_read(p + at, segment.n - at, &claim) ||
		    claim.sequence != out->last + 1 || !claim_holds(p + at, &claim))
			break;
		if (claim.sequence >= from)
			each(ctx, claim.sequence, p[at + AT_TYPE],
			     (struct span){ segment.p + at + SPOOL_HEADER_BYTES,
					    claim.payload_bytes });
		at += SPOOL_HEADER_BYTES + claim.payload_bytes;
		out->last = claim.sequence;
	}
	out->end = at;
	if (out->last >= limit || all_zero(p + at, segment.n - at))
		return;
	out->tail = SPOOL_TAIL_TORN;
	search_behind(p, segment.n, at, out);
}
