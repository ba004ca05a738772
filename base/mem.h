/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

/*
 * Heap and arena. Allocation cannot fail: it aborts. Input is bounded instead, where it enters.
 */

#include <stddef.h>

#include "base/err.h"

/* Zeroed. */
void *mem_new(size_t size);
void *mem_new_array(size_t n, size_t size);
/* Contents kept; a grown tail is not zeroed. */
void *mem_resize(void *p, size_t n, size_t size);
void *mem_dup(const void *p, size_t n);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
char *mem_printf(const char *format, ...) ERR_PRINTF(1, 2);
/* Overwrites with zeros in a way the compiler keeps. NULL is nothing. */
void mem_wipe(void *p, size_t n);

/* What dies together: one call, one page of an answer. Chunks are wiped on free. */
struct arena;
struct arena *arena_new(void);
/* Runs the attached releases, newest first, then frees all memory and nulls *arena. */
void arena_free(struct arena **arena);
/* Zeroed and aligned for any type. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_dup(struct arena *arena, const void *p, size_t n); /* adds a NUL that is not counted */
char *arena_strdup(struct arena *arena, const char *s);
char *arena_printf(struct arena *arena, const char *format, ...) ERR_PRINTF(2, 3);
/* release(p) runs when the arena is freed. */
void arena_attach(struct arena *arena, void *p, void (*release)(void *p));

#endif
