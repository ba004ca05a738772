/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_PAYLOAD_H
#define AUDIT_PAYLOAD_H

/*
 * What went through a call of a connection whose audit level is full: rows of audit.call_payloads.
 *
 * version u8 | part u8 | truncated u8 | call_id 16 | started_us i64 | tenant_id 16 | bytes i64 |
 * the sealed bytes
 *
 * Knows no keys: what comes in is sealed already.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit/event.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/seal.h"
#include "base/span.h"

/* Of each part; what is longer is cut. */
#define PAYLOAD_MAX_BYTES ((size_t)256 << 10)

/* The numbers are on disk. */
enum payload_part {
	PAYLOAD_ARGUMENTS = 1,
	PAYLOAD_RESULT = 2,
};
#define PAYLOAD_N_PARTS 2
/* The words of audit.call_payloads.part. */
const char *payload_part_name(enum payload_part part);

struct payload {
	enum payload_part part;
	bool truncated;
	const uint8_t *call_id;	  /* EVENT_UUID_BYTES; borrowed */
	int64_t started_us;	  /* of the call */
	const uint8_t *tenant_id; /* EVENT_UUID_BYTES; borrowed */
	int64_t bytes;		  /* before it was cut and sealed */
	struct span sealed;
};
#define PAYLOAD_HEAD_BYTES	 (3 + EVENT_UUID_BYTES + 8 + EVENT_UUID_BYTES + 8)
#define PAYLOAD_MAX_RECORD_BYTES (PAYLOAD_HEAD_BYTES + SEAL_OVERHEAD_BYTES + PAYLOAD_MAX_BYTES)
/* out has room for PAYLOAD_MAX_RECORD_BYTES. */
void payload_encode(const struct payload *payload, struct buf *out);
/* Never trusts the bytes. Borrows them. ERR_CONFLICT: written by another version; ERR_PARSE. */
int payload_decode(struct span record, struct payload *out, struct err *err) MUST_CHECK;

/* How much of a payload is kept: all of it, or what ends with a character before the limit. */
size_t payload_kept(struct span plain);
/* struct seal_place's row: what else is bound to the sealed bytes. */
#define PAYLOAD_PLACE_BYTES 80
#define PAYLOAD_TABLE	    "call_payloads"
#define PAYLOAD_COLUMN	    "sealed"
void payload_place(const char *call_id, const char *part, int64_t bytes,
		   char out[PAYLOAD_PLACE_BYTES]);

/* Its kind of row, for audit/kind.c. */
struct kind;
extern const struct kind kind_payloads;

#endif
