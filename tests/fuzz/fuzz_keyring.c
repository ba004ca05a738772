/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever a keyring file holds: what is taken prints as a text that is taken again and prints the
 * same, and no reason for a refusal repeats anything of it.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "tokenstore/keyring.h"

/* As long as the start of a key, and in none of our own texts. */
#define QUOTED_BYTES 12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void assert_quotes_nothing(const struct err *err, const uint8_t *data, size_t size)
{
	static const char *const ours[] = { "every key", "version", "base64url", "last_id",
					    "4294967295" };
	const char *at = (const char *)data;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (memmem(data, size, ours[i], strlen(ours[i])) != NULL)
			return;
	}
	for (size_t i = 0; i + QUOTED_BYTES <= size; i++)
		assert(memmem(err->text, strlen(err->text), at + i, QUOTED_BYTES) == NULL);
}

static void assert_round(const struct keyring *keyring)
{
	struct keyring *again;
	struct buf first, second;
	struct err err;

	assert(keyring_has(keyring, keyring_primary(keyring)));
	buf_init(&first, 65536);
	buf_init(&second, 65536);
	keyring_print(keyring, &first);
	assert(!first.overflow);
	again = keyring_parse(buf_span(&first), &err);
	assert(again != NULL);
	keyring_print(again, &second);
	assert(span_eq(buf_span(&first), buf_span(&second)));
	keyring_free(&again);
	buf_wipe(&first);
	buf_wipe(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err = { .text = "" };
	struct keyring *keyring = keyring_parse((struct span){ (const char *)data, size }, &err);

	if (keyring != NULL)
		assert_round(keyring);
	else
		assert_quotes_nothing(&err, data, size);
	keyring_free(&keyring);
	return 0;
}
