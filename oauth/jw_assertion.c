/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/jw_assertion.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

#define P256_NUMBER_BYTES 32
#define JTI_BYTES	  16
#define MAX_CLAIMS_BYTES  8192
#define GROUP_NAME_BYTES  64

struct algorithm {
	const char *name;
	const EVP_MD *digest; /* NULL: part of the algorithm */
	bool pss;
	bool raw; /* r || s instead of DER (RFC 7518 3.4) */
};

/* An encrypted key has no password here: nobody is asked for one. */
static int no_password(char *out, int size, int writing, void *ctx)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)ctx;
	return -1;
}

static EVP_PKEY *read_key(const struct secret *key)
{
	BIO *bio;
	EVP_PKEY *parsed;

	if (key == NULL || key->n == 0 || key->n > INT_MAX)
		return NULL;
	bio = BIO_new_mem_buf(key->reveal, (int)key->n);
	assert(bio != NULL);
	parsed = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
	BIO_free(bio);
	ERR_clear_error();
	return parsed;
}

static bool is_p256(const EVP_PKEY *key)
{
	char group[GROUP_NAME_BYTES];
	size_t n;

	return EVP_PKEY_get_group_name(key, group, sizeof(group), &n) == 1 &&
	       strcmp(group, "prime256v1") == 0;
}

static int choose(EVP_PKEY *key, struct algorithm *out, struct err *err)
{
	int type = EVP_PKEY_get_base_id(key);
	bool rsa = type == EVP_PKEY_RSA || type == EVP_PKEY_RSA_PSS;

	if (rsa && EVP_PKEY_get_bits(key) < JW_MIN_RSA_BITS)
		return err_set(err, ERR_BAD_REQUEST, "the client's RSA key has under %d bits",
			       JW_MIN_RSA_BITS);
	if (type == EVP_PKEY_RSA)
		*out = (struct algorithm){ .name = "RS256", .digest = EVP_sha256() };
	else if (type == EVP_PKEY_RSA_PSS)
		*out = (struct algorithm){ .name = "PS256", .digest = EVP_sha256(), .pss = true };
	else if (type == EVP_PKEY_EC && is_p256(key))
		*out = (struct algorithm){ .name = "ES256", .digest = EVP_sha256(), .raw = true };
	else if (type == EVP_PKEY_ED25519)
		*out = (struct algorithm){ .name = "EdDSA" };
	else
		return err_set(err, ERR_BAD_REQUEST,
			       "the client's key is neither P-256, RSA, RSA-PSS nor Ed25519");
	return 0;
}

static void add_encoded(struct buf *out, const void *p, size_t n)
{
	char *coded = mem_new((n + 2) / 3 * 4 + 1);

	buf_append(out, coded, base64url_encode(p, n, coded));
	free(coded);
}

static void add_json_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
	buf_add_json_string(out, value, strlen(value));
}

/* header "." claims */
static int add_content(const struct jw_assertion_params *params, const char *alg, struct buf *out,
		       struct err *err)
{
	uint8_t random[JTI_BYTES];
	char jti[2 * JTI_BYTES + 1];
	struct buf json;
	int ret = 0;

	buf_init(&json, MAX_CLAIMS_BYTES);
	buf_printf(&json, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
	add_encoded(out, json.data, json.len);
	buf_add(out, ".");
	buf_clear(&json);
	crypto_random(random, sizeof(random));
	hex_encode(random, sizeof(random), jti);
	buf_add(&json, "{");
	add_json_member(&json, "iss", params->client_id);
	add_json_member(&json, "sub", params->client_id);
	add_json_member(&json, "aud", params->audience);
	add_json_member(&json, "jti", jti);
	buf_printf(&json, ",\"iat\":%" PRId64 ",\"exp\":%" PRId64 "}", params->now_s,
		   params->now_s + JW_ASSERTION_LIFETIME_S);
	if (json.overflow)
		ret = err_set(err, ERR_BAD_REQUEST,
			      "client id and issuer are too long to be signed");
	else
		add_encoded(out, json.data, json.len);
	buf_fini(&json);
	return ret;
}

/* RFC 7518 3.5: the salt is as long as the digest. */
static bool prepare(EVP_MD_CTX *ctx, EVP_PKEY *key, const struct algorithm *algorithm)
{
	EVP_PKEY_CTX *pkey = NULL; /* the context's */

	if (EVP_DigestSignInit(ctx, &pkey, algorithm->digest, NULL, key) != 1)
		return false;
	return !algorithm->pss ||
	       (EVP_PKEY_CTX_set_rsa_mgf1_md(pkey, algorithm->digest) == 1 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/* Returns the bytes of the signature, or NULL; the caller frees. */
static uint8_t *sign(EVP_PKEY *key, const struct algorithm *algorithm, struct span text, size_t *n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	const uint8_t *p = (const uint8_t *)text.p;
	uint8_t *signature = NULL;

	assert(ctx != NULL);
	if (prepare(ctx, key, algorithm) && EVP_DigestSign(ctx, NULL, n, p, text.n) == 1) {
		signature = mem_new(*n);
		if (EVP_DigestSign(ctx, signature, n, p, text.n) != 1) {
			free(signature);
			signature = NULL;
		}
	}
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	return signature;
}

static void add_raw(struct buf *out, const uint8_t *der, size_t n)
{
	uint8_t raw[2 * P256_NUMBER_BYTES];
	const BIGNUM *r;
	const BIGNUM *s;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)n);

	assert(signature != NULL);
	ECDSA_SIG_get0(signature, &r, &s);
	BN_bn2binpad(r, raw, P256_NUMBER_BYTES);
	BN_bn2binpad(s, raw + P256_NUMBER_BYTES, P256_NUMBER_BYTES);
	ECDSA_SIG_free(signature);
	add_encoded(out, raw, sizeof(raw));
}

static int add_signed(const struct jw_assertion_params *params, EVP_PKEY *key, struct buf *out,
		      struct err *err)
{
	size_t start = out->len;
	struct algorithm algorithm = { 0 };
	uint8_t *signature;
	size_t n;

	if (choose(key, &algorithm, err) < 0 || add_content(params, algorithm.name, out, err) < 0)
		return -1;
	signature = sign(key, &algorithm, (struct span){ out->data + start, out->len - start }, &n);
	if (signature == NULL)
		return err_set(err, ERR_BAD_REQUEST, "the client's key does not sign with %s",
			       algorithm.name);
	buf_add(out, ".");
	if (algorithm.raw)
		add_raw(out, signature, n);
	else
		add_encoded(out, signature, n);
	free(signature);
	if (out->overflow)
		return err_set(err, ERR_BAD_REQUEST, "the client assertion is too long");
	return 0;
}

int jw_assertion(const struct jw_assertion_params *params, struct buf *out, struct err *err)
{
	EVP_PKEY *key = read_key(params->key);
	int ret;

	if (key == NULL)
		return err_set(err, ERR_BAD_REQUEST,
			       "the client's key is no private key in PEM without a password");
	ret = add_signed(params, key, out, err);
	EVP_PKEY_free(key);
	return ret;
}
