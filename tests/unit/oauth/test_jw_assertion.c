/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/jw_assertion.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/crypto.h"
#include "base/json.h"
#include "base/mem.h"

#define NOW 1763600000

static struct secret pem_of(EVP_PKEY *key, const char *password)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct secret secret;
	char *text;
	long n;

	assert_int_equal(PEM_write_bio_PKCS8PrivateKey(
				 bio, key, password != NULL ? EVP_aes_128_cbc() : NULL, password,
				 password != NULL ? (int)strlen(password) : 0, NULL, NULL),
			 1);
	n = BIO_get_mem_data(bio, &text);
	secret = secret_new(text, (size_t)n);
	BIO_free(bio);
	return secret;
}

static EVP_PKEY *make_pss(int bits)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_id(EVP_PKEY_RSA_PSS, NULL);
	EVP_PKEY *key = NULL;

	assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
	assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, bits), 1);
	assert_int_equal(EVP_PKEY_keygen(ctx, &key), 1);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static int assertion_of(const struct secret *key, struct buf *out, struct err *err)
{
	const struct jw_assertion_params params = {
		.client_id = "my \"client\"",
		.audience = "https://as.example/t",
		.key = key,
		.now_s = NOW,
	};

	buf_init(out, JW_ASSERTION_MAX_BYTES);
	return jw_assertion(&params, out, err);
}

struct jwt {
	json_t *header;
	json_t *claims;
	struct span signed_text;
	uint8_t signature[1024];
	size_t n_signature;
};

static json_t *decode(const char *p, size_t n)
{
	char *text = mem_new(n + 3);
	long length = base64url_decode((struct span){ p, n }, text);
	json_t *json;
	struct err err;

	assert_true(length > 0);
	json = json_parse((struct span){ text, (size_t)length }, &err);
	assert_non_null(json);
	free(text);
	return json;
}

static void take_apart(const struct buf *assertion, struct jwt *jwt)
{
	const char *first = strchr(assertion->data, '.');
	const char *second = strchr(first + 1, '.');
	long n;

	assert_null(strchr(second + 1, '.'));
	jwt->header = decode(assertion->data, (size_t)(first - assertion->data));
	jwt->claims = decode(first + 1, (size_t)(second - first - 1));
	jwt->signed_text = (struct span){ assertion->data, (size_t)(second - assertion->data) };
	n = base64url_decode(span_of(second + 1), jwt->signature);
	assert_true(n > 0);
	jwt->n_signature = (size_t)n;
}

/* r || s back to the DER that EVP verifies. */
static void to_der(struct jwt *jwt)
{
	ECDSA_SIG *signature = ECDSA_SIG_new();
	uint8_t *out = NULL;
	int n;

	assert_int_equal(jwt->n_signature, 64);
	ECDSA_SIG_set0(signature, BN_bin2bn(jwt->signature, 32, NULL),
		       BN_bin2bn(jwt->signature + 32, 32, NULL));
	n = i2d_ECDSA_SIG(signature, &out);
	memcpy(jwt->signature, out, (size_t)n);
	jwt->n_signature = (size_t)n;
	OPENSSL_free(out);
	ECDSA_SIG_free(signature);
}

static void assert_genuine(const struct jwt *jwt, EVP_PKEY *key, bool digest, bool pss)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey;

	assert_int_equal(EVP_DigestVerifyInit(ctx, &pkey, digest ? EVP_sha256() : NULL, NULL, key),
			 1);
	if (pss)
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey, 32), 1);
	assert_int_equal(EVP_DigestVerify(ctx, jwt->signature, jwt->n_signature,
					  (const uint8_t *)jwt->signed_text.p, jwt->signed_text.n),
			 1);
	EVP_MD_CTX_free(ctx);
}

static void assert_claims(const struct jwt *jwt, const char *alg)
{
	assert_string_equal(json_text(jwt->header, "alg"), alg);
	assert_string_equal(json_text(jwt->header, "typ"), "JWT");
	assert_int_equal(json_object_size(jwt->header), 2);
	assert_string_equal(json_text(jwt->claims, "iss"), "my \"client\"");
	assert_string_equal(json_text(jwt->claims, "sub"), "my \"client\"");
	assert_string_equal(json_text(jwt->claims, "aud"), "https://as.example/t");
	assert_int_equal(strlen(json_text(jwt->claims, "jti")), 32);
	assert_int_equal(json_integer_value(json_object_get(jwt->claims, "iat")), NOW);
	assert_int_equal(json_integer_value(json_object_get(jwt->claims, "exp")), NOW + 60);
	assert_int_equal(json_object_size(jwt->claims), 6);
}

/* Consumes the key. */
static void assert_signs(EVP_PKEY *key, const char *alg)
{
	struct secret pem = pem_of(key, NULL);
	struct jwt jwt = { 0 };
	struct buf out;
	struct err err;

	if (assertion_of(&pem, &out, &err) < 0)
		fail_msg("%s", err.text);
	take_apart(&out, &jwt);
	assert_claims(&jwt, alg);
	if (strcmp(alg, "ES256") == 0)
		to_der(&jwt);
	assert_genuine(&jwt, key, strcmp(alg, "EdDSA") != 0, strcmp(alg, "PS256") == 0);
	json_decref(jwt.header);
	json_decref(jwt.claims);
	buf_wipe(&out);
	secret_fini(&pem);
	EVP_PKEY_free(key);
}

static void the_key_decides_the_algorithm(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) /* r and s of any length */
		assert_signs(EVP_EC_gen("P-256"), "ES256");
	assert_signs(EVP_RSA_gen(2048), "RS256");
	assert_signs(make_pss(2048), "PS256");
	assert_signs(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), "EdDSA");
}

static void no_two_assertions_have_one_id(void **state)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct secret pem = pem_of(key, NULL);
	struct jwt jwts[2] = { 0 };
	struct err err;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct buf out;

		assert_int_equal(assertion_of(&pem, &out, &err), 0);
		take_apart(&out, &jwts[i]);
		buf_wipe(&out);
	}
	assert_string_not_equal(json_text(jwts[0].claims, "jti"), json_text(jwts[1].claims, "jti"));
	for (int i = 0; i < 2; i++) {
		json_decref(jwts[i].header);
		json_decref(jwts[i].claims);
	}
	secret_fini(&pem);
	EVP_PKEY_free(key);
}

static void assert_refused(const struct secret *key, const char *why)
{
	struct buf out;
	struct err err = { 0 };

	assert_int_equal(assertion_of(key, &out, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	if (strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
	buf_wipe(&out);
}

static void assert_key_refused(EVP_PKEY *key, const char *password, const char *why)
{
	struct secret pem = pem_of(key, password);

	assert_refused(&pem, why);
	secret_fini(&pem);
	EVP_PKEY_free(key);
}

static void other_keys_are_refused(void **state)
{
	(void)state;
	assert_key_refused(EVP_EC_gen("P-384"), NULL, "neither P-256, RSA, RSA-PSS nor Ed25519");
	assert_key_refused(EVP_EC_gen("secp256k1"), NULL, "neither P-256");
	assert_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "ED448"), NULL, "neither P-256");
	assert_key_refused(EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), NULL, "neither P-256");
	assert_key_refused(EVP_RSA_gen(1024), NULL, "under 2048 bits");
	assert_key_refused(make_pss(1024), NULL, "under 2048 bits");
}

static void nobody_is_asked_for_a_password(void **state)
{
	(void)state;
	assert_key_refused(EVP_EC_gen("P-256"), "hunter2", "without a password");
}

static void what_is_no_key_is_refused_and_not_quoted(void **state)
{
	static const char *const texts[] = {
		"",
		"s3cret",
		"-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n",
		"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----\n",
	};

	(void)state;
	assert_refused(NULL, "no private key in PEM");
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct secret secret = secret_new(texts[i], strlen(texts[i]));

		assert_refused(&secret, "no private key in PEM");
		secret_fini(&secret);
	}
}

static void names_have_a_ceiling(void **state)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	struct secret pem = pem_of(key, NULL);
	char *name = mem_new(9000);
	struct jw_assertion_params params = { .audience = "a", .key = &pem, .now_s = NOW };
	struct buf out;
	struct err err;

	(void)state;
	memset(name, 'a', 8999);
	params.client_id = name;
	buf_init(&out, JW_ASSERTION_MAX_BYTES);
	assert_int_equal(jw_assertion(&params, &out, &err), -1);
	assert_string_equal(err.text, "client id and issuer are too long to be signed");
	buf_wipe(&out);
	free(name);
	secret_fini(&pem);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_decides_the_algorithm),
		cmocka_unit_test(no_two_assertions_have_one_id),
		cmocka_unit_test(other_keys_are_refused),
		cmocka_unit_test(nobody_is_asked_for_a_password),
		cmocka_unit_test(what_is_no_key_is_refused_and_not_quoted),
		cmocka_unit_test(names_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
