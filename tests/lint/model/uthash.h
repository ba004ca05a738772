/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTHASH_H
#define UTHASH_H

/*
 * uthash as the static analyzers see it: what its macros do to a pointer, behind functions whose
 * bodies they do not know. The real header unrolls a hash function and a bucket walk at each use,
 * in which gcc -fanalyzer loses itself for minutes and others lose track of what is freed.
 * Never compiled into anything.
 */

#include <stddef.h>
#include <string.h>

typedef struct UT_hash_handle {
	void *prev;
	void *next;
} UT_hash_handle;

void *model_hash_find(const void *head, const void *key, size_t key_bytes);
void *model_hash_next(const void *element);
void *model_hash_insert(void *head, void *element, const void *key, size_t key_bytes);
void *model_hash_remove(void *head, const void *element);
unsigned model_hash_count(const void *head);

#define HASH_FIND(hh, head, key, key_bytes, out)                                                   \
	((out) = model_hash_find((head), (key), (key_bytes)))
#define HASH_FIND_STR(head, key, out) HASH_FIND(hh, head, key, strlen(key), out)
#define HASH_ADD_KEYPTR(hh, head, key, key_bytes, add)                                             \
	((head) = model_hash_insert((head), (add), (key), (key_bytes)))
#define HASH_ADD(hh, head, field, key_bytes, add)                                                  \
	HASH_ADD_KEYPTR(hh, head, &(add)->field, key_bytes, add)
#define HASH_ADD_STR(head, field, add)                                                             \
	HASH_ADD_KEYPTR(hh, head, (add)->field, strlen((add)->field), add)
#define HASH_DELETE(hh, head, element) ((head) = model_hash_remove((head), (element)))
#define HASH_DEL(head, element)	       HASH_DELETE(hh, head, element)
#define HASH_COUNT(head)	       model_hash_count(head)
#define HASH_SORT(head, compare)       ((void)compare((head), (head)))
#define HASH_CLEAR(hh, head)	       ((head) = NULL)
#define HASH_ITER(hh, head, element, after)                                                        \
	for ((element) = (head), (after) = model_hash_next(element); (element) != NULL;            \
	     (element) = (after), (after) = model_hash_next(element))

#endif
