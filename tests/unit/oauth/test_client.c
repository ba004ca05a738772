/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "oauth/form.h"

struct shown {
	int ret;
	struct buf form;
	struct buf authorization;
	struct err err;
};

static struct shown show(const char *id, enum oauth_client_auth auth, const char *secret)
{
	struct secret held = secret_new(secret, secret != NULL ? strlen(secret) : 0);
	const struct oauth_client client = { .id = id, .auth = auth, .secret = &held };
	struct shown shown = { 0 };

	buf_init(&shown.form, FORM_MAX_BYTES);
	buf_init(&shown.authorization, CLIENT_MAX_AUTHORIZATION_BYTES);
	buf_add(&shown.form, "grant_type=x");
	shown.ret =
		client_show(&client, "https://as/t", &shown.form, &shown.authorization, &shown.err);
	secret_fini(&held);
	return shown;
}

static void forget(struct shown *shown)
{
	buf_wipe(&shown->form);
	buf_wipe(&shown->authorization);
}

static void assert_shown(struct shown shown, const char *form, const char *pair)
{
	char plain[256] = "";
	long n;

	if (shown.ret < 0)
		fail_msg("%s", shown.err.text);
	assert_string_equal(buf_str(&shown.form), form);
	if (pair == NULL) {
		assert_int_equal(shown.authorization.len, 0);
	} else {
		assert_memory_equal(buf_str(&shown.authorization), "Basic ", 6);
		n = base64_decode(span_of(buf_str(&shown.authorization) + 6), plain);
		assert_int_equal(n, strlen(pair));
		assert_memory_equal(plain, pair, strlen(pair));
	}
	forget(&shown);
}

static void each_method_has_its_place(void **state)
{
	(void)state;
	assert_shown(show("c/1", OAUTH_AUTH_NONE, NULL), "grant_type=x&client_id=c%2F1", NULL);
	assert_shown(show("c/1", OAUTH_AUTH_NONE, "unused"), "grant_type=x&client_id=c%2F1", NULL);
	assert_shown(show("c/1", OAUTH_AUTH_POST, "s+ %"),
		     "grant_type=x&client_id=c%2F1&client_secret=s%2B+%25", NULL);
}

/* Keycloak and Snowflake decode what Salesforce and GitHub compare as it stands. */
static void basic_is_escaped_and_basic_raw_is_not(void **state)
{
	(void)state;
	assert_shown(show("c:1", OAUTH_AUTH_BASIC, "s+ %/="), "grant_type=x",
		     "c%3A1:s%2B+%25%2F%3D");
	assert_shown(show("c1", OAUTH_AUTH_BASIC_RAW, "s+ %/=:"), "grant_type=x", "c1:s+ %/=:");
	assert_shown(show("c1", OAUTH_AUTH_BASIC, "plain-._"), "grant_type=x", "c1:plain-._");
}

static void assert_refused(struct shown shown, const char *text)
{
	assert_int_equal(shown.ret, -1);
	assert_int_equal(shown.err.code, ERR_BAD_REQUEST);
	assert_string_equal(shown.err.text, text);
	assert_string_equal(buf_str(&shown.form), "grant_type=x");
	assert_int_equal(shown.authorization.len, 0);
	forget(&shown);
}

static void what_cannot_be_shown_is_refused(void **state)
{
	(void)state;
	assert_refused(show("c", OAUTH_AUTH_BASIC, NULL),
		       "client authentication basic wants a secret, and there is none");
	assert_refused(show("c", OAUTH_AUTH_BASIC_RAW, ""),
		       "client authentication basic_raw wants a secret, and there is none");
	assert_refused(show("c", OAUTH_AUTH_POST, NULL),
		       "client authentication post wants a secret, and there is none");
	assert_refused(show("c", OAUTH_AUTH_PRIVATE_KEY_JWT, NULL),
		       "client authentication private_key_jwt wants a secret, and there is none");
	assert_refused(show("c:1", OAUTH_AUTH_BASIC_RAW, "s"),
		       "a client id with a colon cannot be sent as basic_raw");
	assert_refused(show("c", OAUTH_AUTH_PRIVATE_KEY_JWT, "no key"),
		       "the client's key is no private key in PEM without a password");
}

static void a_pair_has_a_ceiling(void **state)
{
	char *secret = mem_new(CLIENT_MAX_AUTHORIZATION_BYTES);

	(void)state;
	memset(secret, 's', CLIENT_MAX_AUTHORIZATION_BYTES - 1);
	assert_refused(show("c", OAUTH_AUTH_BASIC, secret),
		       "the client's id and secret are too long");
	free(secret);
}

/* As `openssl genpkey -algorithm ed25519` writes it; used nowhere else. */
static const char pem[] = "-----BEGIN PRIVATE KEY-----\n"
			  "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n"
			  "-----END PRIVATE KEY-----\n";

static void assert_audience(const char *issuer, const char *audience)
{
	struct secret key = secret_new(pem, strlen(pem));
	const struct oauth_client client = {
		.id = "c/1",
		.auth = OAUTH_AUTH_PRIVATE_KEY_JWT,
		.secret = &key,
		.issuer = issuer,
	};
	struct shown shown = { 0 };
	char claims[1024] = "";
	char expected[128];
	const char *jwt;

	buf_init(&shown.form, FORM_MAX_BYTES);
	buf_init(&shown.authorization, CLIENT_MAX_AUTHORIZATION_BYTES);
	assert_int_equal(
		client_show(&client, "https://as/t", &shown.form, &shown.authorization, &shown.err),
		0);
	assert_int_equal(shown.authorization.len, 0);
	jwt = strstr(buf_str(&shown.form), "client_id=c%2F1&client_assertion_type=urn%3Aietf%3A"
					   "params%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&"
					   "client_assertion=");
	assert_ptr_equal(jwt, buf_str(&shown.form));
	jwt = strchr(jwt, '.') + 1;
	assert_true(base64url_decode((struct span){ jwt, strcspn(jwt, ".") }, claims) > 0);
	snprintf(expected, sizeof(expected), "\"aud\":\"%s\"", audience);
	assert_non_null(strstr(claims, expected));
	forget(&shown);
	secret_fini(&key);
}

static void an_assertion_is_for_the_issuer(void **state)
{
	(void)state;
	assert_audience("https://as.example/", "https://as.example/");
	assert_audience(NULL, "https://as/t");
}

static void methods_have_names(void **state)
{
	enum oauth_client_auth auth;
	struct err err;

	(void)state;
	for (int i = OAUTH_AUTH_NONE; i <= OAUTH_AUTH_PRIVATE_KEY_JWT; i++) {
		const char *name = client_auth_name((enum oauth_client_auth)i);

		assert_int_equal(client_auth_parse(name, &auth, &err), 0);
		assert_int_equal(auth, i);
	}
	assert_string_equal(client_auth_name(OAUTH_AUTH_BASIC_RAW), "basic_raw");
	assert_int_equal(client_auth_parse("client_secret_basic", &auth, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_int_equal(client_auth_parse("", &auth, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_method_has_its_place),
		cmocka_unit_test(basic_is_escaped_and_basic_raw_is_not),
		cmocka_unit_test(what_cannot_be_shown_is_refused),
		cmocka_unit_test(a_pair_has_a_ceiling),
		cmocka_unit_test(an_assertion_is_for_the_issuer),
		cmocka_unit_test(methods_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
