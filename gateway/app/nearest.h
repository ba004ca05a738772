/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_NEAREST_H
#define GATEWAY_APP_NEAREST_H

/* The word that somebody who mistyped one probably meant. */

#include <stddef.h>

#define NEAREST_MAX_BYTES 64

struct nearest {
	const char *word;  /* as it was typed; borrowed */
	const char *found; /* NULL: none is near */
	size_t distance;   /* of it, or one more than is still near */
};

void nearest_init(struct nearest *nearest, const char *word);
/* Borrows the candidate. */
void nearest_try(struct nearest *nearest, const char *candidate);

/* Characters to insert, remove, replace or swap to make one of the other (optimal string
 * alignment); both at most NEAREST_MAX_BYTES long, else SIZE_MAX. */
size_t nearest_distance(const char *a, const char *b);

#endif
