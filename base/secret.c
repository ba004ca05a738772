/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct secret secret_new(const char *bytes, size_t n)
{
	struct secret secret = { NULL, 0 };

	if (bytes == NULL)
		return secret;
	secret.reveal = mem_new(n + 1);
	memcpy(secret.reveal, bytes, n);
	secret.n = n;
	return secret;
}

void secret_fini(struct secret *secret)
{
	mem_wipe(secret->reveal, secret->n);
	free(secret->reveal);
	*secret = (struct secret){ NULL, 0 };
}
