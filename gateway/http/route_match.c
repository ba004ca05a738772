/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/route_match.h"

#include <assert.h>
#include <string.h>

/* The first segment with its slash. */
static struct span segment(struct span path)
{
	const char *slash = path.n > 1 ? memchr(path.p + 1, '/', path.n - 1) : NULL;

	return (struct span){ path.p, slash == NULL ? path.n : (size_t)(slash - path.p) };
}

static void advance(struct span *path, struct span taken)
{
	path->p += taken.n;
	path->n -= taken.n;
}

bool route_match(const char *pattern, struct span path, struct route_params *out)
{
	struct span rest = span_of(pattern);

	out->n = 0;
	while (rest.n > 0 && path.n > 0) {
		struct span wanted = segment(rest);
		struct span given = segment(path);

		if (wanted.n > 3 && wanted.p[1] == '{') {
			if (given.n < 2 || given.p[0] != '/')
				return false;
			assert(out->n < ROUTE_MAX_PARAMS && wanted.p[wanted.n - 1] == '}');
			out->all[out->n++] = (struct route_param){
				.name = {wanted.p + 2, wanted.n - 3},
				.value = { given.p + 1, given.n - 1 },
			};
		} else if (!span_eq(wanted, given)) {
			return false;
		}
		advance(&rest, wanted);
		advance(&path, given);
	}
	return rest.n == 0 && path.n == 0;
}
