/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Recovery of a segment from any bytes. What comes out must be exactly the records that a second,
 * plain reading of the format finds; and what the writer stamps must be read back.
 *
 * Input: first sequence (1 byte), limit beyond it (1 byte), then the segment. Bytes of a random
 * segment hardly ever carry right checksums, so each record whose checksum is ASCII "crc!" is
 * mended before it is read.
 */

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/spool_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t big_endian(const uint8_t *p, int n)
{
	uint64_t value = 0;

	for (int i = 0; i < n; i++)
		value = value << 8 | p[i];
	return value;
}

static uint32_t sum_of(const uint8_t *record, size_t payload)
{
	return crypto_crc32c_more(crypto_crc32c(record, 13), record + 17, payload);
}

static void mend(uint8_t *p, size_t n)
{
	for (size_t at = 0; at + 17 <= n; at++) {
		size_t payload = big_endian(p + at, 4) & 0x7fffffff;
		uint32_t sum;

		if (memcmp(p + at + 13, "crc!", 4) != 0 || payload > n - at - 17)
			continue;
		sum = sum_of(p + at, payload);
		for (int i = 0; i < 4; i++)
			p[at + 13 + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
	}
}

struct seen {
	const uint8_t *at; /* where the next record must begin */
	uint64_t sequence;
};

static void on_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct seen *seen = ctx;
	size_t length = big_endian(seen->at, 4) & 0x7fffffff;

	assert(sequence == seen->sequence);
	assert(big_endian(seen->at + 4, 8) == sequence);
	assert(type == seen->at[12]);
	assert((const uint8_t *)payload.p == seen->at + 17 && payload.n == length);
	assert(big_endian(seen->at + 13, 4) == sum_of(seen->at, length));
	seen->at += 17 + length;
	seen->sequence++;
}

/* It stopped for a reason: nothing good could follow. */
static void check_stop(const uint8_t *p, size_t n, uint64_t next)
{
	size_t payload = n < 17 ? 0 : big_endian(p, 4) & 0x7fffffff;

	assert(n < 17 || payload > n - 17 || big_endian(p + 4, 8) != next ||
	       big_endian(p + 13, 4) != sum_of(p, payload));
}

static void check(const uint8_t *p, size_t n, uint64_t first, uint64_t limit)
{
	struct seen seen = { p, first };
	struct spool_scan scan;

	spool_scan((struct span){ (const char *)p, n }, first, limit, first, on_record, &seen,
		   &scan);
	assert(scan.last + 1 == seen.sequence);
	assert(scan.end == (size_t)(seen.at - p));
	assert(scan.last <= limit || scan.last == first - 1);
	if (scan.last < limit)
		check_stop(p + scan.end, n - scan.end, scan.last + 1);
	if (scan.tail == SPOOL_TAIL_DAMAGED)
		assert(scan.highest > scan.last);
	if (scan.tail == SPOOL_TAIL_CLEAN && scan.last < limit)
		for (size_t i = scan.end; i < n; i++)
			assert(p[i] == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t first;
	uint8_t *bytes;

	if (size < 2)
		return 0;
	first = 1 + (uint64_t)data[0];
	bytes = malloc(size - 2); /* exact, so that reading on is seen */
	memcpy(bytes, data + 2, size - 2);
	check(bytes, size - 2, first, first + data[1]);
	mend(bytes, size - 2);
	check(bytes, size - 2, first, UINT64_MAX);
	check(bytes, size - 2, first, first + data[1]);
	free(bytes);
	return 0;
}
