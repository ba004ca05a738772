/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/challenge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

static int set_up(void **state)
{
	*state = arena_new();
	return 0;
}

static int tear_down(void **state)
{
	struct arena *arena = *state;

	arena_free(&arena);
	return 0;
}

static void assert_text(const char *got, const char *expected)
{
	if (expected == NULL)
		assert_null(got);
	else
		assert_string_equal(got, expected);
}

static const struct {
	const char *header;
	struct challenge expected;
} readable[] = {
	{"",										    { .bearer = false }		  },
	{ " , ,",									       { .bearer = false }	      },
	{ "Bearer",									     { .bearer = true }	       },
	{ "bEARER  ",									   { .bearer = true }		 },
	{ "Basic realm=\"x\"",								  { .bearer = false }		   },
	{ "Negotiate",									  { .bearer = false }		   },
	{ "Negotiate YWJj==",								   { .bearer = false }		  },
	{ "Bearer realm=\"a, b\", error=\"invalid_token\", scope=\"x y\"",
	  { .bearer = true, .error = "invalid_token", .scope = "x y" }							       },
	{ "Bearer resource_metadata=\"https://h/.well-known/oauth-protected-resource/mcp\"",
	  { .bearer = true,
	    .resource_metadata = "https://h/.well-known/oauth-protected-resource/mcp" }						},
 /* without the quotes that a URL wants */
	{ "Bearer resource_metadata=https://h/x?a=1, scope=a",
	  { .bearer = true, .resource_metadata = "https://h/x?a=1", .scope = "a" }						   },
	{ "Bearer RESOURCE_METADATA = \"https://h/\" , Error_Description = \"say \\\"hi\\\"\"",
	  { .bearer = true,
	    .resource_metadata = "https://h/",
	    .error_description = "say \"hi\"" }										 },
 /* several challenges, Bearer anywhere among them */
	{ "Basic realm=\"x\", charset=\"UTF-8\", Bearer scope=\"s\"",
	  { .bearer = true, .scope = "s" }										       },
	{ "Negotiate, Bearer scope=\"s\", NTLM",						 { .bearer = true, .scope = "s" }},
	{ "Negotiate a1b2==, Bearer scope=s",						   { .bearer = true, .scope = "s" }},
	{ "Bearer scope=s, DPoP algs=\"ES256\", resource_metadata=\"https://other/\"",
	  { .bearer = true, .scope = "s" }										       },
	{ "Basic realm=\"Bearer resource_metadata=\\\"https://evil/\\\"\"",			    { .bearer = false }		},
 /* of several Bearer challenges the one that names the document, else the first */
	{ "Bearer scope=a, Bearer resource_metadata=\"https://h/\"",
	  { .bearer = true, .resource_metadata = "https://h/" }								  },
	{ "Bearer scope=a, Bearer scope=b",						     { .bearer = true, .scope = "a" }},
	{ "Bearer resource_metadata=\"https://1/\", Bearer resource_metadata=\"https://2/\"",
	  { .bearer = true, .resource_metadata = "https://1/" }								  },
 /* what goes beyond ASCII, or is empty, says nothing */
	{ "Bearer error_description=\"\xc3\xa4\", scope=\"\", error=e",
	  { .bearer = true, .error = "e" }										       },
	{ "Bearer a=b, c=d,, ,scope=s",							 { .bearer = true, .scope = "s" }},
};

static void a_challenge_is_read(void **state)
{
	for (size_t i = 0; i < COUNT(readable); i++) {
		const struct challenge *expected = &readable[i].expected;
		struct challenge got;
		struct err err;

		if (challenge_parse(span_of(readable[i].header), *state, &got, &err) < 0)
			fail_msg("%s: %s", readable[i].header, err.text);
		assert_int_equal(got.bearer, expected->bearer);
		assert_text(got.resource_metadata, expected->resource_metadata);
		assert_text(got.scope, expected->scope);
		assert_text(got.error, expected->error);
		assert_text(got.error_description, expected->error_description);
	}
}

static const struct {
	const char *header;
	const char *why;
} malformed[] = {
	{"=",									  "no scheme"		   },
	{ "\"Bearer\"",								"no scheme"		    },
	{ "Bearer=x",								  "a scheme is malformed"      },
	{ "Bear/er x",								 "a scheme is malformed"      },
	{ "Bearer scope=\"a",							  "a quoted value does not end"},
	{ "Bearer scope=\"a\\",							"a quoted value does not end"},
	{ "Bearer scope=\"a\" error=\"b\"",					    "a comma is missing"	 },
	{ "Bearer scope=a b, c=d",						     "a comma is missing"		},
	{ "Bearer scope=\"a\"x",						       "a comma is missing"	      },
	{ "Bearer a b",								"a parameter is malformed"   },
	{ "Bearer @=b",								"a parameter is malformed"   },
	{ "Bearer scope=, error=x",						    "a scheme is malformed"	    }, /* "scope=" is a token68 */
	{ "Bearer a=b, scope=, error=x",					       "a parameter has no value"   },
	{ "Bearer scope=a, Scope=b",						   "a parameter stands twice"	},
	{ "Bearer resource_metadata=\"https://a/\", resource_metadata=\"https://b/\"",
	  "a parameter stands twice"										 },
};

static void what_is_not_the_grammar_is_refused(void **state)
{
	for (size_t i = 0; i < COUNT(malformed); i++) {
		struct challenge got;
		struct err err = { 0 };

		if (challenge_parse(span_of(malformed[i].header), *state, &got, &err) == 0)
			fail_msg("%s was read", malformed[i].header);
		assert_int_equal(err.code, ERR_UPSTREAM);
		if (strstr(err.text, malformed[i].why) == NULL)
			fail_msg("%s: %s", malformed[i].header, err.text);
	}
}

static void ceilings_hold(void **state)
{
	struct challenge got;
	struct err err;
	struct buf text;

	buf_init(&text, 1 << 20);
	buf_add(&text, "Bearer scope=");
	for (int i = 0; i < CHALLENGE_MAX_VALUE_BYTES; i++)
		buf_add(&text, "a");
	assert_int_equal(challenge_parse(buf_span(&text), *state, &got, &err), 0);
	assert_int_equal(strlen(got.scope), CHALLENGE_MAX_VALUE_BYTES);
	buf_add(&text, "a");
	assert_int_equal(challenge_parse(buf_span(&text), *state, &got, &err), -1);
	assert_string_equal(err.text, "WWW-Authenticate: a value is too long");

	buf_clear(&text);
	buf_add(&text, "Bearer a=b");
	for (int i = 1; i < CHALLENGE_MAX_PARAMS; i++)
		buf_add(&text, ",a=b");
	assert_int_equal(challenge_parse(buf_span(&text), *state, &got, &err), 0);
	buf_add(&text, ",a=b");
	assert_int_equal(challenge_parse(buf_span(&text), *state, &got, &err), -1);
	assert_string_equal(err.text, "WWW-Authenticate: too many parameters");

	buf_clear(&text);
	while (text.len <= CHALLENGE_MAX_BYTES)
		buf_add(&text, ",");
	assert_int_equal(challenge_parse(buf_span(&text), *state, &got, &err), -1);
	assert_string_equal(err.text, "WWW-Authenticate: too long");
	assert_int_equal(challenge_parse((struct span){ "Bearer\0x", 8 }, *state, &got, &err), -1);
	assert_string_equal(err.text, "WWW-Authenticate: a NUL byte");
	buf_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_challenge_is_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_not_the_grammar_is_refused, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(ceilings_hold, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
