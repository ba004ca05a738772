/* SPDX-License-Identifier: Apache-2.0 */
#include "base/crypto.h"

#include <assert.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A machine whose primitives fail must not go on with weaker ones. */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "crypto: %s failed\n", what);
	abort();
}

void crypto_random(void *out, size_t n)
{
	uint8_t *to = out;

	while (n > 0) {
		int chunk = n > INT_MAX ? INT_MAX : (int)n;

		must(RAND_bytes(to, chunk) == 1, "random");
		to += chunk;
		n -= (size_t)chunk;
	}
}

int64_t crypto_chance(int64_t most)
{
	uint64_t random;

	if (most <= 0)
		return 0;
	crypto_random(&random, sizeof(random));
	return (int64_t)(random % ((uint64_t)most + 1));
}

void crypto_sha256(const void *p, size_t n, uint8_t out[SHA256_BYTES])
{
	must(EVP_Digest(p, n, out, NULL, EVP_sha256(), NULL) == 1, "SHA-256");
}

void crypto_hmac_sha256(const void *key, size_t key_bytes, const void *p, size_t n,
			uint8_t out[SHA256_BYTES])
{
	/* HMAC() takes a NULL key for "the key of the last call". */
	const void *given = key_bytes > 0 ? key : "";

	assert(key_bytes <= INT_MAX);
	must(HMAC(EVP_sha256(), given, (int)key_bytes, p, n, out, NULL) != NULL, "HMAC");
}

void crypto_hkdf_sha256(const void *key, size_t key_bytes, const char *info, void *out, size_t n)
{
	/* OSSL_PARAM has no const for what is only read. */
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_bytes),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)info, strlen(info)),
		OSSL_PARAM_construct_end(),
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);

	must(ctx != NULL && EVP_KDF_derive(ctx, out, n, params) == 1, "HKDF");
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

static EVP_PKEY *ed25519_private(const uint8_t seed[ED25519_SEED_BYTES])
{
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED_BYTES);

	must(key != NULL, "Ed25519");
	return key;
}

void crypto_ed25519_public(const uint8_t seed[ED25519_SEED_BYTES],
			   uint8_t out[ED25519_PUBLIC_BYTES])
{
	EVP_PKEY *key = ed25519_private(seed);
	size_t n = ED25519_PUBLIC_BYTES;

	must(EVP_PKEY_get_raw_public_key(key, out, &n) == 1, "Ed25519");
	EVP_PKEY_free(key);
}

void crypto_ed25519_sign(const uint8_t seed[ED25519_SEED_BYTES], struct span message,
			 uint8_t out[ED25519_SIGNATURE_BYTES])
{
	EVP_PKEY *key = ed25519_private(seed);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = ED25519_SIGNATURE_BYTES;

	must(ctx != NULL && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
		     EVP_DigestSign(ctx, out, &n, (const uint8_t *)message.p, message.n) == 1,
	     "Ed25519");
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

bool crypto_ed25519_verify(const uint8_t public_key[ED25519_PUBLIC_BYTES], struct span message,
			   const uint8_t signature[ED25519_SIGNATURE_BYTES])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key,
						    ED25519_PUBLIC_BYTES);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	must(key != NULL && ctx != NULL, "Ed25519");
	good = EVP_DigestVerifyInit(ctx, NULL, NULL, NULL, key) == 1 &&
	       EVP_DigestVerify(ctx, signature, ED25519_SIGNATURE_BYTES, (const uint8_t *)message.p,
				message.n) == 1;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return good;
}

bool crypto_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}

/* An empty update is left out: EVP takes a NULL input for the end of the message. */
static bool gcm_update(EVP_CIPHER_CTX *ctx, void *out, const void *in, size_t n)
{
	int written;

	assert(n <= INT_MAX);
	return n == 0 || EVP_CipherUpdate(ctx, out, &written, in, (int)n) == 1;
}

static EVP_CIPHER_CTX *gcm_start(const uint8_t *key, const uint8_t *nonce, struct span aad,
				 int encrypt)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	must(ctx != NULL && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) &&
		     gcm_update(ctx, NULL, aad.p, aad.n),
	     "AES-256-GCM");
	return ctx;
}

void crypto_gcm_seal(const uint8_t key[AES_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
		     struct span aad, const void *plain, size_t n, void *out,
		     uint8_t tag[GCM_TAG_BYTES])
{
	EVP_CIPHER_CTX *ctx = gcm_start(key, nonce, aad, 1);
	uint8_t none[EVP_MAX_BLOCK_LENGTH];
	int written;

	must(gcm_update(ctx, out, plain, n) && EVP_CipherFinal_ex(ctx, none, &written) == 1 &&
		     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, GCM_TAG_BYTES, tag) == 1,
	     "AES-256-GCM");
	EVP_CIPHER_CTX_free(ctx);
}

int crypto_gcm_open(const uint8_t key[AES_KEY_BYTES], const uint8_t nonce[GCM_NONCE_BYTES],
		    struct span aad, const void *sealed, size_t n, const uint8_t tag[GCM_TAG_BYTES],
		    void *out)
{
	EVP_CIPHER_CTX *ctx = gcm_start(key, nonce, aad, 0);
	uint8_t given[GCM_TAG_BYTES], none[EVP_MAX_BLOCK_LENGTH];
	int written;
	bool genuine;

	memcpy(given, tag, sizeof(given));
	must(gcm_update(ctx, out, sealed, n) &&
		     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, GCM_TAG_BYTES, given) == 1,
	     "AES-256-GCM");
	genuine = EVP_CipherFinal_ex(ctx, none, &written) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (genuine)
		return 0;
	/* What was decrypted before the tag was checked is nobody's plaintext. */
	if (n > 0)
		OPENSSL_cleanse(out, n);
	return -1;
}
