/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPAN_PRIV_H
#define BASE_SPAN_PRIV_H

/* What base/span*.c share. Nobody else includes this. */

#include <endian.h>
#include <string.h>

#include "base/span.h"

#define SPAN_ONES UINT64_C(0x0101010101010101) /* times a byte: that byte in all eight places */
#define SPAN_TOPS UINT64_C(0x8080808080808080)

/* Eight bytes with the first in the lowest place, so that __builtin_ctzll finds the first hit. */
static inline uint64_t span_word(const char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return le64toh(word);
}

/* The top bit of each place that holds `byte`; places above the first hit may be wrong. */
static inline uint64_t span_places(uint64_t word, unsigned char byte)
{
	uint64_t x = word ^ SPAN_ONES * byte;

	return (x - SPAN_ONES) & ~x & SPAN_TOPS;
}

/* The unescaped bytes of a string, piece by piece, without a copy. */
struct pieces {
	const char *at;
	const char *end;
	char decoded[4]; /* one escaped character as UTF-8 */
};
/* `body` is what stands between the quotes of a valid string. */
void pieces_init(struct pieces *pieces, struct span body);
/* Never gives an empty piece; one that was decoded is valid until the next call. */
bool pieces_next(struct pieces *pieces, struct span *piece);

/* The value of four hexadecimal digits, or -1. */
int hex4(const char *p);

enum {
	NAMES_INLINE = 32,
	NAMES_INLINE_HEADS = 64,
	NAME_NONE = -1,
};

struct name {
	uint64_t hash;
	struct span body;
	int64_t next; /* older name in the same chain, or NAME_NONE */
};

/*
 * The member names of all open objects: a stack, found by hash. An object's names are the ones
 * from its `first` on, because the objects within it have been dropped when it gets another.
 */
struct names {
	struct name *stack;
	int64_t *heads; /* newest name of each chain */
	size_t count;
	size_t max;
	size_t n_heads; /* a power of two */
	uint64_t key[2];
	struct name inline_stack[NAMES_INLINE];
	int64_t inline_heads[NAMES_INLINE_HEADS];
};
void names_init(struct names *names);
void names_fini(struct names *names);
/* False if the object whose names begin at `first` has this one already. */
bool names_add(struct names *names, struct span body, size_t first);
/* Forgets the names of a closed object. */
void names_drop(struct names *names, size_t first);

#endif
