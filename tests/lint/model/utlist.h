/* SPDX-License-Identifier: Apache-2.0 */
#ifndef UTLIST_H
#define UTLIST_H

/*
 * utlist as the static analyzers see it (compare uthash.h): who is in a list is known to functions
 * without bodies, so nothing is concluded from the links of an element that was removed and freed.
 * Never compiled into anything.
 */

#include <stddef.h>

void *model_list_insert(void *head, void *before, void *element);
void *model_list_remove(void *head, const void *element);

#define DL_APPEND(head, element)  ((head) = model_list_insert((head), NULL, (element)))
#define DL_PREPEND(head, element) ((head) = model_list_insert((head), (head), (element)))
#define DL_APPEND_ELEM(head, before, element)                                                      \
	((head) = model_list_insert((head), (before), (element)))
#define DL_DELETE(head, element) ((head) = model_list_remove((head), (element)))
#define DL_CONCAT(head, other)	 ((head) = model_list_insert((head), NULL, (other)))
#define DL_FOREACH2(head, element, next)                                                           \
	for ((element) = (head); (element) != NULL; (element) = (element)->next)
#define DL_FOREACH(head, element) DL_FOREACH2(head, element, next)
#define DL_FOREACH_SAFE(head, element, after)                                                      \
	for ((element) = (head); (element) != NULL && ((after) = (element)->next, 1);              \
	     (element) = (after))
#define DL_COUNT(head, element, n)                                                                 \
	for ((n) = 0, (element) = (head); (element) != NULL; (element) = (element)->next)          \
	(n)++
#define DL_APPEND2(head, element, prev, next) DL_APPEND(head, element)
#define DL_DELETE2(head, element, prev, next) DL_DELETE(head, element)
#define LL_PREPEND(head, element)	      DL_PREPEND(head, element)
#define LL_APPEND(head, element)	      DL_APPEND(head, element)
#define LL_DELETE(head, element)	      DL_DELETE(head, element)
#define LL_FOREACH(head, element)	      DL_FOREACH(head, element)
#define LL_FOREACH_SAFE(head, element, after) DL_FOREACH_SAFE(head, element, after)

#endif
