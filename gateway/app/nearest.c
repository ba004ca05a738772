/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/nearest.h"

#include <stdint.h>
#include <string.h>

/* One mistake in three characters, but never more than three. */
#define BYTES_PER_MISTAKE 3
#define MAX_MISTAKES	  3

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

size_t nearest_distance(const char *a, const char *b)
{
	size_t rows[3][NEAREST_MAX_BYTES + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];
	size_t n_a = strlen(a);
	size_t n_b = strlen(b);

	if (n_a > NEAREST_MAX_BYTES || n_b > NEAREST_MAX_BYTES)
		return SIZE_MAX;
	memset(before, 0, sizeof(rows[0]));
	for (size_t j = 0; j <= n_b; j++)
		above[j] = j;
	for (size_t i = 1; i <= n_a; i++) {
		size_t *spare = before;

		row[0] = i;
		for (size_t j = 1; j <= n_b; j++) {
			row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]),
				       least(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[n_b];
}

void nearest_init(struct nearest *nearest, const char *word)
{
	size_t mistakes = (strlen(word) + BYTES_PER_MISTAKE - 1) / BYTES_PER_MISTAKE;

	*nearest = (struct nearest){ .word = word, .distance = least(mistakes, MAX_MISTAKES) + 1 };
}

void nearest_try(struct nearest *nearest, const char *candidate)
{
	size_t distance = nearest_distance(nearest->word, candidate);

	if (distance < nearest->distance) {
		nearest->distance = distance;
		nearest->found = candidate;
	}
}
