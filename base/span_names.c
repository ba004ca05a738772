/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/mem.h"
#include "base/span_priv.h"

/* SipHash-1-3 (Aumasson, Bernstein 2012): who does not know the key cannot build collisions. */
struct siphash {
	uint64_t v0, v1, v2, v3;
	uint64_t tail; /* bytes that do not make a word yet, first in the lowest byte */
	size_t n;
};

static uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static void siphash_round(struct siphash *h)
{
	h->v0 += h->v1;
	h->v1 = rotate(h->v1, 13) ^ h->v0;
	h->v0 = rotate(h->v0, 32);
	h->v2 += h->v3;
	h->v3 = rotate(h->v3, 16) ^ h->v2;
	h->v0 += h->v3;
	h->v3 = rotate(h->v3, 21) ^ h->v0;
	h->v2 += h->v1;
	h->v1 = rotate(h->v1, 17) ^ h->v2;
	h->v2 = rotate(h->v2, 32);
}

static void siphash_word(struct siphash *h, uint64_t word)
{
	h->v3 ^= word;
	siphash_round(h);
	h->v0 ^= word;
}

static void siphash_init(struct siphash *h, const uint64_t key[2])
{
	*h = (struct siphash){
		.v0 = key[0] ^ UINT64_C(0x736f6d6570736575),
		.v1 = key[1] ^ UINT64_C(0x646f72616e646f6d),
		.v2 = key[0] ^ UINT64_C(0x6c7967656e657261),
		.v3 = key[1] ^ UINT64_C(0x7465646279746573),
	};
}

static void siphash_add(struct siphash *h, const char *p, size_t n)
{
	while (n > 0) {
		uint64_t word;

		if (h->n % 8 == 0 && n >= 8) {
			memcpy(&word, p, 8);
			siphash_word(h, word);
			h->n += 8;
			p += 8;
			n -= 8;
			continue;
		}
		h->tail |= (uint64_t)(unsigned char)*p << (8 * (h->n % 8));
		h->n++;
		p++;
		n--;
		if (h->n % 8 == 0) {
			siphash_word(h, h->tail);
			h->tail = 0;
		}
	}
}

static uint64_t siphash_end(struct siphash *h)
{
	siphash_word(h, h->tail | (uint64_t)h->n << 56);
	h->v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		siphash_round(h);
	return h->v0 ^ h->v1 ^ h->v2 ^ h->v3;
}

/*
 * The kernel gives each program 16 random bytes: a seed without state of ours. The C library
 * takes its stack protector from them, so they are not the key but what the key is made from.
 */
static void make_key(uint64_t key[2])
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t seed[2];

	assert(random != NULL);
	memcpy(seed, random, sizeof(seed));
	for (size_t i = 0; i < 2; i++) {
		struct siphash h;

		siphash_init(&h, seed);
		siphash_add(&h, i == 0 ? "0" : "1", 1);
		key[i] = siphash_end(&h);
	}
}

static uint64_t hash_of(const struct names *names, struct span body)
{
	struct siphash h;
	struct pieces pieces;
	struct span piece;

	siphash_init(&h, names->key);
	pieces_init(&pieces, body);
	while (pieces_next(&pieces, &piece))
		siphash_add(&h, piece.p, piece.n);
	return siphash_end(&h);
}

static bool same_name(struct span a, struct span b)
{
	struct pieces in_a;
	struct pieces in_b;
	struct span piece_a = { NULL, 0 };
	struct span piece_b = { NULL, 0 };

	pieces_init(&in_a, a);
	pieces_init(&in_b, b);
	for (;;) {
		bool more_a = piece_a.n > 0 || pieces_next(&in_a, &piece_a);
		bool more_b = piece_b.n > 0 || pieces_next(&in_b, &piece_b);
		size_t n = piece_a.n < piece_b.n ? piece_a.n : piece_b.n;

		if (!more_a || !more_b)
			return more_a == more_b;
		if (memcmp(piece_a.p, piece_b.p, n) != 0)
			return false;
		piece_a = (struct span){ piece_a.p + n, piece_a.n - n };
		piece_b = (struct span){ piece_b.p + n, piece_b.n - n };
	}
}

static void clear_heads(struct names *names)
{
	for (size_t i = 0; i < names->n_heads; i++)
		names->heads[i] = NAME_NONE;
}

void names_init(struct names *names)
{
	names->stack = names->inline_stack;
	names->heads = names->inline_heads;
	names->count = 0;
	names->max = NAMES_INLINE;
	names->n_heads = NAMES_INLINE_HEADS;
	make_key(names->key);
	clear_heads(names);
}

void names_fini(struct names *names)
{
	if (names->stack != names->inline_stack)
		free(names->stack);
	if (names->heads != names->inline_heads)
		free(names->heads);
}

static int64_t *head_of(struct names *names, uint64_t hash)
{
	return &names->heads[hash & (names->n_heads - 1)];
}

static void grow(struct names *names)
{
	bool was_inline = names->stack == names->inline_stack;

	names->max *= 2;
	names->stack =
		mem_resize(was_inline ? NULL : names->stack, names->max, sizeof(names->stack[0]));
	if (was_inline)
		memcpy(names->stack, names->inline_stack, sizeof(names->inline_stack));
	names->n_heads *= 2;
	names->heads = mem_resize(names->heads == names->inline_heads ? NULL : names->heads,
				  names->n_heads, sizeof(names->heads[0]));
	clear_heads(names);
	/* From old to new, so that each chain again leads from new to old. */
	for (size_t i = 0; i < names->count; i++) {
		int64_t *head = head_of(names, names->stack[i].hash);

		names->stack[i].next = *head;
		*head = (int64_t)i;
	}
}

bool names_add(struct names *names, struct span body, size_t first)
{
	uint64_t hash = hash_of(names, body);
	int64_t *head;

	if (names->count == names->max)
		grow(names);
	head = head_of(names, hash);
	for (int64_t i = *head; i >= (int64_t)first; i = names->stack[i].next) {
		if (names->stack[i].hash == hash && same_name(names->stack[i].body, body))
			return false;
	}
	names->stack[names->count] = (struct name){ hash, body, *head };
	*head = (int64_t)names->count++;
	return true;
}

/* Newest first: each is then the head of its chain. */
void names_drop(struct names *names, size_t first)
{
	while (names->count > first) {
		const struct name *name = &names->stack[--names->count];

		*head_of(names, name->hash) = name->next;
	}
}
