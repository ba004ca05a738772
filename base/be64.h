/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_BE64_H
#define BASE_BE64_H

/* 64-bit integers in records: big-endian, at any address. */

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"

static inline void be64_put(struct buf *out, uint64_t value)
{
	value = htobe64(value);
	buf_append(out, &value, sizeof(value));
}

static inline uint64_t be64_get(const void *p)
{
	uint64_t value;

	memcpy(&value, p, sizeof(value));
	return be64toh(value);
}

#endif
