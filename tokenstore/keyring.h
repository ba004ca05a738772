/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_KEYRING_H
#define TOKENSTORE_KEYRING_H

/*
 * The keys that live outside the database: key-encryption keys, which wrap the tenants' data
 * keys, and the pepper, without which a stolen table of API keys cannot be tried offline.
 *
 * One file, mode 0600:
 *
 *   {"version":1,"pepper":"<base64url 32>","primary":<id>,"keys":[{"id":<u32>,"key":"<…>"}]}
 *
 * In memory it lies apart from the heap, is left out of core dumps and wiped when freed.
 * Knows nothing of tables: who stores a wrapped key where is the caller's business.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/seal.h"
#include "base/span.h"

struct keyring;

#define KEYRING_MAX_KEYS      64
#define KEYRING_WRAPPED_BYTES (SEAL_OVERHEAD_BYTES + AES_KEY_BYTES)

/* Writes a new random keyring with one key, whole or not at all. ERR_CONFLICT if the file exists:
 * a keyring is never overwritten. */
int keyring_create(const char *path, struct err *err) MUST_CHECK;
/* A file that anybody but its owner can open is refused. Returns a new keyring or NULL. */
struct keyring *keyring_load(const char *path, struct err *err) MUST_CHECK;
void keyring_free(struct keyring **keyring);

/* The id of the key that wraps what is wrapped from now on. */
uint32_t keyring_primary(const struct keyring *keyring);

/* Under the primary key, bound to deployment, tenant and dek->dek_id; dek->kek_id plays no part. */
void keyring_wrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		  const struct seal_key *dek, uint8_t out[KEYRING_WRAPPED_BYTES]);
/* ERR_INTERNAL if the ring lacks the key or the bytes do not open. dek->kek_id tells which key
 * had wrapped it. The caller wipes dek. */
int keyring_unwrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		   uint64_t dek_id, struct span wrapped, struct seal_key *dek,
		   struct err *err) MUST_CHECK;

/* HMAC-SHA256 with the pepper. */
void keyring_mac(const struct keyring *keyring, const void *p, size_t n, uint8_t out[SHA256_BYTES]);
/* The same for the same pepper, whatever keys were added: kept in the database, it tells a wrong
 * keyring at start. */
void keyring_check_value(const struct keyring *keyring, uint8_t out[SHA256_BYTES]);

#endif
