/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ARENA_CHUNK_BYTES = 8192,
	/* Larger pieces get a chunk of their own, so that little of one is wasted. */
	ARENA_SHARED_MAX_BYTES = 2048,
};

struct chunk {
	struct chunk *next;
	size_t used;
	size_t size;
	_Alignas(max_align_t) unsigned char bytes[];
};

struct attachment {
	struct attachment *next;
	void *p;
	void (*release)(void *p);
};

struct arena {
	struct chunk *chunks; /* the first is the one that is filled */
	struct chunk *large;  /* of one piece each */
	struct attachment *attachments;
};

static _Noreturn void die(void)
{
	static const char text[] = "out of memory\n";
	ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)ignored;
	abort();
}

static size_t product(size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		die();
	return bytes;
}

void *mem_new(size_t size)
{
	return mem_new_array(1, size);
}

void *mem_new_array(size_t n, size_t size)
{
	size_t bytes = product(n, size);
	void *p = calloc(1, bytes > 0 ? bytes : 1);

	if (p == NULL)
		die();
	return p;
}

void *mem_resize(void *p, size_t n, size_t size)
{
	size_t bytes = product(n, size);
	void *grown = realloc(p, bytes > 0 ? bytes : 1);

	if (grown == NULL)
		die();
	return grown;
}

void *mem_dup(const void *p, size_t n)
{
	void *copy = mem_new(n);

	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *mem_strdup(const char *s)
{
	return mem_dup(s, strlen(s) + 1);
}

char *mem_strndup(const char *s, size_t n)
{
	size_t len = strnlen(s, n);
	char *copy = mem_new(len + 1);

	memcpy(copy, s, len);
	return copy;
}

char *mem_printf(const char *format, ...)
{
	char *text;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		die();
	return text;
}

void mem_wipe(void *p, size_t n)
{
	if (p != NULL && n > 0)
		explicit_bzero(p, n);
}

struct arena *arena_new(void)
{
	return mem_new(sizeof(struct arena));
}

static void free_chunks(struct chunk *chunk)
{
	while (chunk != NULL) {
		struct chunk *next = chunk->next;

		mem_wipe(chunk->bytes, chunk->used);
		free(chunk);
		chunk = next;
	}
}

void arena_free(struct arena **arena)
{
	struct arena *was = *arena;

	if (was == NULL)
		return;
	/* A release may still read what lies in the arena, so the memory goes last. */
	while (was->attachments != NULL) {
		struct attachment *attachment = was->attachments;

		was->attachments = attachment->next;
		attachment->release(attachment->p);
	}
	free_chunks(was->chunks);
	free_chunks(was->large);
	free(was);
	*arena = NULL;
}

/* A new chunk at the head of the list, with its first `used` bytes given out. */
static void *add_chunk(struct chunk **list, size_t size, size_t used)
{
	size_t bytes;
	struct chunk *chunk;

	if (__builtin_add_overflow(sizeof(*chunk), size, &bytes))
		die();
	chunk = mem_new(bytes);
	chunk->size = size;
	chunk->used = used;
	chunk->next = *list;
	*list = chunk;
	return chunk->bytes;
}

/* Fresh chunks are zero and no byte is given out twice, so what is given out is zero. */
void *arena_alloc(struct arena *arena, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	struct chunk *first = arena->chunks;
	void *p;

	if (size > SIZE_MAX - align)
		die();
	size = size == 0 ? align : (size + align - 1) / align * align;
	if (size > ARENA_SHARED_MAX_BYTES)
		return add_chunk(&arena->large, size, size);
	if (first == NULL || size > first->size - first->used)
		return add_chunk(&arena->chunks, ARENA_CHUNK_BYTES, size);
	p = first->bytes + first->used;
	first->used += size;
	return p;
}

void *arena_dup(struct arena *arena, const void *p, size_t n)
{
	char *copy;

	if (n == SIZE_MAX)
		die();
	copy = arena_alloc(arena, n + 1);
	if (n > 0)
		memcpy(copy, p, n);
	return copy;
}

char *arena_strdup(struct arena *arena, const char *s)
{
	return arena_dup(arena, s, strlen(s));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
	char *text;
	char *copy;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		die();
	copy = arena_dup(arena, text, (size_t)n);
	mem_wipe(text, (size_t)n);
	free(text);
	return copy;
}

void arena_attach(struct arena *arena, void *p, void (*release)(void *p))
{
	struct attachment *attachment = arena_alloc(arena, sizeof(*attachment));

	assert(release != NULL);
	attachment->p = p;
	attachment->release = release;
	attachment->next = arena->attachments;
	arena->attachments = attachment;
}
