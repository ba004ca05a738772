/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libh2o keeps freed pool chunks and buffers in thread-local lists of its own, where neither
 * ASan nor valgrind sees a use after free. The sanitized programs link these two in front of
 * the library's (it calls them through the PLT), so that each chunk is a real allocation.
 */

#include <stdlib.h>

struct st_h2o_mem_recycle_t;

void *h2o_mem_alloc_recycle(struct st_h2o_mem_recycle_t *allocator, size_t size);
void h2o_mem_free_recycle(struct st_h2o_mem_recycle_t *allocator, void *p);

void *h2o_mem_alloc_recycle(struct st_h2o_mem_recycle_t *allocator, size_t size)
{
	void *p = malloc(size);

	(void)allocator;
	if (p == NULL)
		abort();
	return p;
}

void h2o_mem_free_recycle(struct st_h2o_mem_recycle_t *allocator, void *p)
{
	(void)allocator;
	free(p);
}
