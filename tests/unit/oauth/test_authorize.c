/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/authorize.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* RFC 7636 appendix B. */
#define VERIFIER  "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
#define CHALLENGE "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

static struct authorize_params sample(void)
{
	return (struct authorize_params){
		.authorization_url = "https://as.example/authorize",
		.client_id = "c 1",
		.redirect_uri = "https://gw.example/oauth/callback/x",
		.state = "s",
		.verifier = VERIFIER,
	};
}

#define COMMON                                                                                     \
	"response_type=code&client_id=c+1&redirect_uri=https%3A%2F%2Fgw.example%2Foauth%"          \
	"2Fcallback%2Fx&state=s&code_challenge=" CHALLENGE "&code_challenge_method=S256"

static void assert_url(const struct authorize_params *params, const char *expected)
{
	struct buf out;
	struct err err;

	buf_init(&out, 65536);
	if (authorize_url(params, &out, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(buf_str(&out), expected);
	buf_fini(&out);
}

static void assert_refused(const struct authorize_params *params, enum err_code code,
			   const char *text)
{
	struct buf out;
	struct err err;

	buf_init(&out, 65536);
	assert_int_equal(authorize_url(params, &out, &err), -1);
	assert_int_equal(out.len, 0);
	if (err.code != code || strstr(err.text, text) == NULL)
		fail_msg("%s: %s", err_name(err.code), err.text);
	buf_fini(&out);
}

static void the_code_challenge_is_that_of_the_rfc(void **state)
{
	char challenge[AUTHORIZE_TOKEN_BYTES];

	(void)state;
	authorize_code_challenge(VERIFIER, challenge);
	assert_string_equal(challenge, CHALLENGE);
}

static void random_tokens_are_43_characters_and_never_the_same(void **state)
{
	char a[AUTHORIZE_TOKEN_BYTES];
	char b[AUTHORIZE_TOKEN_BYTES];

	(void)state;
	authorize_random(a);
	authorize_random(b);
	assert_int_equal(strlen(a), 43);
	assert_int_equal(strlen(b), 43);
	assert_string_not_equal(a, b);
	assert_int_equal(strspn(a, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				   "0123456789-_"),
			 43);
}

static void the_url_says_all_that_the_server_needs(void **state)
{
	struct authorize_params params = sample();

	(void)state;
	assert_url(&params, "https://as.example/authorize?" COMMON);
	params.resource = "https://mcp.example/mcp";
	params.scope = "a b";
	assert_url(&params, "https://as.example/authorize?" COMMON
			    "&resource=https%3A%2F%2Fmcp.example%2Fmcp&scope=a+b");
}

static void the_query_of_the_endpoint_is_kept(void **state)
{
	struct authorize_params params = sample();

	(void)state;
	params.authorization_url = "https://as.example/authorize?tenant=1";
	assert_url(&params, "https://as.example/authorize?tenant=1&" COMMON);
	params.authorization_url = "https://as.example/authorize?";
	assert_url(&params, "https://as.example/authorize?" COMMON);
}

/* Google gives a refresh token only when it is asked in its own words. */
static void extra_parameters_of_the_operator_are_sent_verbatim(void **state)
{
	static const struct oauth_param google[] = {
		{"access_type", "offline"},
		{ "prompt",	    "consent"},
	};
	struct authorize_params params = sample();

	(void)state;
	params.extra = google;
	params.n_extra = COUNT(google);
	assert_url(&params,
		   "https://as.example/authorize?" COMMON "&access_type=offline&prompt=consent");
}

static void extra_parameters_may_not_be_ours(void **state)
{
	static const char *const ours[] = {
		"response_type", "response_mode",  "client_id", "redirect_uri",
		"state",	 "code_challenge", "resource",	"scope",
		"request",	 "request_uri",	   "State",	"code_challenge_method",
	};
	struct authorize_params params = sample();

	(void)state;
	for (size_t i = 0; i < COUNT(ours); i++) {
		const struct oauth_param extra = { ours[i], "x" };

		params.extra = &extra;
		params.n_extra = 1;
		assert_refused(&params, ERR_BAD_REQUEST, "is set by the gateway itself");
	}
}

static void extra_parameters_are_few_named_and_given_once(void **state)
{
	static const struct oauth_param twice[] = {
		{"a",  "1"},
		      { "b", "1"},
		    { "a", "2"}
	};
	static const struct oauth_param nameless = { "", "1" };
	struct oauth_param many[AUTHORIZE_MAX_PARAMS + 1];
	char names[AUTHORIZE_MAX_PARAMS + 1][8];
	struct err err;

	(void)state;
	assert_int_equal(authorize_check_extra(twice, 2, &err), 0);
	assert_int_equal(authorize_check_extra(twice, 3, &err), -1);
	assert_string_equal(err.text, "authorize parameter a stands twice");
	assert_int_equal(authorize_check_extra(&nameless, 1, &err), -1);
	assert_string_equal(err.text, "authorize parameter 1 has no name");
	for (size_t i = 0; i < COUNT(many); i++) {
		snprintf(names[i], sizeof(names[i]), "p%zu", i);
		many[i] = (struct oauth_param){ names[i], "" };
	}
	assert_int_equal(authorize_check_extra(many, AUTHORIZE_MAX_PARAMS, &err), 0);
	assert_int_equal(authorize_check_extra(many, AUTHORIZE_MAX_PARAMS + 1, &err), -1);
}

static void an_endpoint_may_not_set_what_is_ours_to_set(void **state)
{
	static const char *const urls[] = {
		"https://as.example/a?redirect_uri=https://evil/",
		"https://as.example/a?x=1&state=fixed",
		"https://as.example/a?code_challenge_method=plain",
		"https://as.example/a?%63lient_id=other",
		"https://as.example/a?request_uri=urn:x",
		"https://as.example/a?response_mode=fragment",
		"https://as.example/a?resource=https://other/",
	};
	struct authorize_params params = sample();

	(void)state;
	for (size_t i = 0; i < COUNT(urls); i++) {
		params.authorization_url = urls[i];
		assert_refused(&params, ERR_UPSTREAM, "sets a parameter of ours");
	}
}

static void an_endpoint_may_not_set_what_the_operator_sets(void **state)
{
	static const struct oauth_param extra = { "prompt", "consent" };
	struct authorize_params params = sample();

	(void)state;
	params.authorization_url = "https://as.example/a?prompt=none";
	params.extra = &extra;
	params.n_extra = 1;
	assert_refused(&params, ERR_UPSTREAM, "sets a parameter of ours");
}

static void only_a_web_address_is_opened_in_a_browser(void **state)
{
	static const char *const urls[] = {
		"javascript:alert(1)",	       "data:text/html,x",
		"file:///etc/passwd",	       "https://user@as.example/",
		"https://as.example/a#b",      "//as.example/a",
		"javascript://as/%0aalert(1)", "",
	};
	struct authorize_params params = sample();

	(void)state;
	for (size_t i = 0; i < COUNT(urls); i++) {
		params.authorization_url = urls[i];
		assert_refused(&params, ERR_UPSTREAM, "authorization endpoint: ");
	}
}

static void a_url_that_no_server_takes_is_not_made(void **state)
{
	char scope[AUTHORIZE_MAX_URL_BYTES + 1];
	struct authorize_params params = sample();

	(void)state;
	memset(scope, 'a', sizeof(scope) - 1);
	scope[sizeof(scope) - 1] = '\0';
	params.scope = scope;
	assert_refused(&params, ERR_TOO_LARGE, "over 8192 bytes");
}

/* RFC 9207 2.4: advertised or not, present or not, equal or not. */
static void the_issuer_of_an_answer_is_held_against_the_attempt(void **state)
{
	static const struct {
		bool advertised;
		const char *issuer;
		const char *iss;
		enum authorize_iss expected;
	} table[] = {
		{true,	"https://as/t",	"https://as/t",	AUTHORIZE_ISS_OK	 },
		{ false, "https://as/t",	 "https://as/t",	 AUTHORIZE_ISS_OK	  },
		{ true,	"https://as/t",	NULL,		      AUTHORIZE_ISS_MISSING },
		{ false, "https://as/t",	 NULL,	       AUTHORIZE_ISS_OK	},
		{ true,	"https://as/t",	"https://evil/",	 AUTHORIZE_ISS_MISMATCH},
		{ false, "https://as/t",	 "https://evil/",	  AUTHORIZE_ISS_MISMATCH},
 /* byte for byte */
		{ true,	"https://as/t",	"https://as/t/",	 AUTHORIZE_ISS_MISMATCH},
		{ true,	"https://as/t/", "https://as/t",	 AUTHORIZE_ISS_MISMATCH},
		{ false, "https://as/t",	 "https://AS/t",	 AUTHORIZE_ISS_MISMATCH},
		{ false, "https://as/t",	 "https://as:443/t", AUTHORIZE_ISS_MISMATCH},
		{ true,	"https://as/t",	"",		    AUTHORIZE_ISS_MISMATCH},
		{ false, "https://as/t",	 "",		     AUTHORIZE_ISS_MISMATCH},
		{ true,	"https://as/t",	"https://as/%74",	  AUTHORIZE_ISS_MISMATCH},
 /* typed in by hand: nothing to hold it against */
		{ false, NULL,	       "https://as/t",     AUTHORIZE_ISS_OK	},
		{ false, NULL,	       NULL,		     AUTHORIZE_ISS_OK      },
		{ true,	NULL,	      NULL,		    AUTHORIZE_ISS_MISSING },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(
			authorize_check_iss(table[i].advertised, table[i].issuer, table[i].iss),
			table[i].expected);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_code_challenge_is_that_of_the_rfc),
		cmocka_unit_test(random_tokens_are_43_characters_and_never_the_same),
		cmocka_unit_test(the_url_says_all_that_the_server_needs),
		cmocka_unit_test(the_query_of_the_endpoint_is_kept),
		cmocka_unit_test(extra_parameters_of_the_operator_are_sent_verbatim),
		cmocka_unit_test(extra_parameters_may_not_be_ours),
		cmocka_unit_test(extra_parameters_are_few_named_and_given_once),
		cmocka_unit_test(an_endpoint_may_not_set_what_is_ours_to_set),
		cmocka_unit_test(an_endpoint_may_not_set_what_the_operator_sets),
		cmocka_unit_test(only_a_web_address_is_opened_in_a_browser),
		cmocka_unit_test(a_url_that_no_server_takes_is_not_made),
		cmocka_unit_test(the_issuer_of_an_answer_is_held_against_the_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
