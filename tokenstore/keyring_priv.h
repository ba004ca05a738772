/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_KEYRING_PRIV_H
#define TOKENSTORE_KEYRING_PRIV_H

/* What the files of the keyring share: keyring.c (keys in memory), keyring_text.c (their text) and
 * keyring_file.c (where that lies). */

#include "tokenstore/keyring.h"

#define KEYRING_FILE_MAX_BYTES 65536

struct kek {
	uint32_t id;
	uint8_t bytes[AES_KEY_BYTES];
};

struct keyring {
	uint8_t pepper[SHA256_BYTES];
	uint32_t primary;
	uint32_t last_id; /* the greatest that was ever given: none is given twice */
	size_t n_keys;
	struct kek keys[KEYRING_MAX_KEYS];
};

/* Zeroed. */
struct keyring *keyring_new(void);
const struct kek *keyring_find(const struct keyring *keyring, uint32_t id);
/* Fills a new one. 0, or -1 if it has no room or there is no further id. */
int keyring_append(struct keyring *keyring, uint32_t id, const uint8_t bytes[AES_KEY_BYTES],
		   struct err *err);

#endif
