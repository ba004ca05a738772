/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a verifier of the book reads that somebody else may have written: lines of the second sink,
 * statements of seals, records of seals of events. What is taken comes back the same when it is
 * written again.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "audit/anchor_file.h"
#include "audit/event_seal.h"
#include "audit/partition_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(struct span text)
{
	struct chain_anchor anchor, back;
	struct buf line;

	if (!anchor_line_read(text, &anchor))
		return;
	buf_init(&line, 2 * ANCHOR_LINE_BYTES);
	anchor_line_write(&anchor, &line);
	assert(line.len > 0 && line.data[line.len - 1] == '\n');
	assert(anchor_line_read((struct span){ line.data, line.len - 1 }, &back));
	assert(back.epoch == anchor.epoch && back.anchored_us == anchor.anchored_us);
	assert(memcmp(back.signature, anchor.signature, sizeof(back.signature)) == 0);
	buf_fini(&line);
}

static void check_statement(struct span text)
{
	struct ranges ranges = { .n = 0 }, back = { .n = 0 };
	struct partition_seal seal, again;
	struct buf statement;
	struct err err;

	if (partition_seal_read(text, &seal, &ranges, &err) == 0) {
		ranges_sort(&ranges);
		for (size_t i = 0; i < ranges.n; i++)
			assert(ranges.items[i].first > 0 &&
			       ranges.items[i].last >= ranges.items[i].first);
		buf_init(&statement, PARTITION_SEAL_MAX_BYTES);
		partition_seal_write(&seal, &ranges, &statement);
		assert(partition_seal_read(buf_span(&statement), &again, &back, &err) == 0);
		assert(back.n == ranges.n && again.rows == seal.rows);
		buf_fini(&statement);
	}
	ranges_fini(&ranges);
	ranges_fini(&back);
}

static void check_record(struct span record)
{
	struct event_seal seal;
	struct buf back;
	struct err err;

	if (event_seal_decode(record, &seal, &err) < 0)
		return;
	buf_init(&back, EVENT_SEAL_RECORD_BYTES);
	event_seal_encode(&seal, &back);
	assert(back.len == EVENT_SEAL_RECORD_BYTES && record.n >= back.len);
	assert(memcmp(back.data, record.p, back.len) == 0);
	buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = { (const char *)data, size };

	check_line(input);
	check_statement(input);
	check_record(input);
	return 0;
}
