/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

/* What we use of OpenSSL, in our own words. A failing primitive aborts: it means a broken
 * machine; only verification can fail. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

#define SHA256_BYTES	32
#define AES_KEY_BYTES	32
#define GCM_NONCE_BYTES 12
#define GCM_TAG_BYTES	16

void crypto_random(void *out, size_t n);
/* 0 to most, both included; 0 if there is no room. For spreading in time, not for secrets. */
int64_t crypto_chance(int64_t most);
void crypto_sha256(const void *p, size_t n, uint8_t out[SHA256_BYTES]);
void crypto_hmac_sha256(const void *key, size_t key_bytes, const void *p, size_t n,
			uint8_t out[SHA256_BYTES]);
/* RFC 5869 with an empty salt. */
void crypto_hkdf_sha256(const void *key, size_t key_bytes, const char *info, void *out, size_t n);
bool crypto_equal(const void *a, const void *b, size_t n); /* constant time */
/* out has room for n bytes; tag apart. */
void crypto_gcm_seal(const uint8_t key[AES_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
		     struct span aad, const void *plain, size_t n, void *out,
		     uint8_t tag[GCM_TAG_BYTES]);
int crypto_gcm_open(const uint8_t key[AES_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
		    struct span aad, const void *sealed, size_t n, const uint8_t tag[GCM_TAG_BYTES],
		    void *out) MUST_CHECK; /* 0, -1 forged */

/* Ed25519 (RFC 8032). The seed is the private key. */
#define ED25519_SEED_BYTES	32
#define ED25519_PUBLIC_BYTES	32
#define ED25519_SIGNATURE_BYTES 64
void crypto_ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
			   uint8_t out[ED25519_PUBLIC_BYTES]);
void crypto_ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES], struct span message,
			 uint8_t out[ED25519_SIGNATURE_BYTES]);
bool crypto_ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES], struct span message,
			   const uint8_t signature[ED25519_SIGNATURE_BYTES]);

uint32_t crypto_crc32(const void *p, size_t n);	 /* IEEE 802.3 */
uint32_t crypto_crc32c(const void *p, size_t n); /* Castagnoli */
/* The sum of some bytes followed by p, given the sum of those bytes. */
uint32_t crypto_crc32c_more(uint32_t sum, const void *p, size_t n);

/* Lower-case hex, NUL-terminated; out has room for 2 * n + 1. */
void hex_encode(const void *p, size_t n, char *out);
/* Exactly 2 * n digits of either case; 0 or -1. */
int hex_decode(struct span text, void *out, size_t n) MUST_CHECK;
/* RFC 4648 section 5 without padding; out has room for (n + 2) / 3 * 4 + 1. Returns its length. */
size_t base64url_encode(const void *p, size_t n, char *out);
/* Strict: no padding, no junk, canonical last bits. out has room for n / 4 * 3 + 3.
 * Returns the length or -1. */
long base64url_decode(struct span text, void *out) MUST_CHECK;
/* RFC 4648 section 4, padded, for `=?base64?…?=` header values. Same room, same result. */
long base64_decode(struct span text, void *out) MUST_CHECK;
size_t base64_encode(const void *p, size_t n, char *out);

#define UUID_BYTES	16
#define UUID_TEXT_BYTES 37
void uuid_text(const uint8_t bytes[UUID_BYTES], char out[UUID_TEXT_BYTES]);
/* RFC 9562 version 4 and 7 as text. Version 7 takes Unix milliseconds. */
void uuid_v4(char out[UUID_TEXT_BYTES]);
void uuid_v7(int64_t unix_ms, char out[UUID_TEXT_BYTES]);
bool uuid_valid(const char *text);
/* Of its text; false: it is none, or text is NULL. */
bool uuid_parse(const char *text, uint8_t out[UUID_BYTES]);
#define UUID_NIL "00000000-0000-0000-0000-000000000000"

#endif
