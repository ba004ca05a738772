/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_APIKEY_H
#define GATEWAY_CORE_APIKEY_H

/*
 * API keys as text:
 *
 *   tgk_<id: 12 base62>_<secret: 43 base62><checksum: 6 base62>
 *
 * The checksum is the CRC-32 of everything before it, so that a scanner recognises a leaked key
 * offline and a mistyped one costs no look-up. Stored are the id and the HMAC of the secret under
 * the pepper; the text exists once, when the key is made.
 *
 * Pure: knows nothing of where keys are kept or what they may do.
 */

#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/secret.h"

struct keyring;

#define APIKEY_PREFIX	      "tgk_"
#define APIKEY_ID_CHARS	      12
#define APIKEY_ID_BYTES	      13 /* as a string */
#define APIKEY_SECRET_CHARS   43
#define APIKEY_CHECKSUM_CHARS 6
#define APIKEY_CHARS	      66
/* For documentation and secret scanners. */
#define APIKEY_REGEX "tgk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}"

/* What is stored. */
struct apikey {
	char id[APIKEY_ID_BYTES];
	uint8_t mac[SHA256_BYTES];
};

/* What a client sent; its holder wipes it. */
struct apikey_parts {
	char id[APIKEY_ID_BYTES];
	char secret[APIKEY_SECRET_CHARS + 1];
};

/* A new random key. text is the caller's to show once and wipe. */
void apikey_new(const struct keyring *keyring, struct apikey *key, struct secret *text);
/* 0, or -1 if this cannot be a key. */
int apikey_parse(const char *text, struct apikey_parts *parts) MUST_CHECK;
/* What was stored for the same secret; compare with crypto_equal, and for an unknown id with a
 * dummy, so that both take the same time. */
void apikey_mac(const struct keyring *keyring, const struct apikey_parts *parts,
		uint8_t mac[SHA256_BYTES]);

#endif
