/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_BYTES    16384
#define HIDDEN	     "\"[REDACTED]\""

struct redact_case {
	const char *in;
	const char *out;
};

static void expect(struct span in, const char *out)
{
	struct buf buf;

	buf_init(&buf, MAX_BYTES);
	redact_arguments(in, MAX_BYTES, &buf);
	assert_string_equal(buf_str(&buf), out);
	buf_fini(&buf);
}

static void expect_all(const struct redact_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect(span_of(cases[i].in), cases[i].out);
}

static void what_is_harmless_stays_as_it_was_without_spaces(void **state)
{
	static const struct redact_case cases[] = {
		{"{}",						       "{}"			     },
		{ " { } ",						   "{}"			},
		{ "[ ]",						     "[]"		      },
		{ "null",						    "null"			 },
		{ "\t{ \"a\" : [ 1 , true ,\r\n null, {} ] }\n",		 "{\"a\":[1,true,null,{}]}"},
		{ "{\"big\":12345678901234567890,\"zero\":-0,\"pad\":1.50}",
		  "{\"big\":12345678901234567890,\"zero\":-0,\"pad\":1.50}"				    },
		{ "{\"a\":{\"b\":[{\"c\":\"d\"},[[\"e\"]]]},\"f\":\"g\"}",
		  "{\"a\":{\"b\":[{\"c\":\"d\"},[[\"e\"]]]},\"f\":\"g\"}"				  },
		{ "{\"q\":\"\\\"\\\\\\u00e9 é \\n, {[:]}\"}",
		  "{\"q\":\"\\\"\\\\\\u00e9 é \\n, {[:]}\"}"					     },
		{ "{\"\":\"\"}",					     "{\"\":\"\"}"	       },
		{ "[\"password\"]",					  "[\"password\"]"	     },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
}

static void a_name_that_speaks_of_a_secret_hides_its_value(void **state)
{
	static const char *const names[] = {
		"token",	  "access_token",  "TOKEN",	      "refreshToken",
		"tokens",	  "client_secret", "SecretKey",	      "password",
		"Password2",	  "passwd",	   "Authorization",   "x-authorization-x",
		"cookie",	  "Set-Cookie",	   "api_key",	      "x-api-key",
		"apikey",	  "ApiKey",	   "credential",      "credentials",
		"private_key",	  "privateKey",	   "PRIVATE-KEY",     "my private key",
		"pass\\u0077ord", "to\\u006Ben",   "pass\\u0000word",
	};
	static const char *const values[] = {
		"\"x\"",   "1",	    "-1.5e3",
		"true",	   "null",  "{}",
		"[]",	   "[1,2]", "{\"a\":{\"b\":[\"]\",\"}\",\"\\\"}\"]}}",
		" \"x\" ",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (size_t j = 0; j < COUNT(values); j++) {
			char *in =
				mem_printf("{\"a\":1,\"%s\" :%s,\"z\":[2]}", names[i], values[j]);
			struct buf buf;

			buf_init(&buf, MAX_BYTES);
			redact_arguments(span_of(in), MAX_BYTES, &buf);
			assert_non_null(strstr(buf_str(&buf), ":" HIDDEN ",\"z\":[2]}"));
			assert_memory_equal(buf_str(&buf), "{\"a\":1,", 7);
			buf_fini(&buf);
			free(in);
		}
	}
}

static void other_names_hide_nothing(void **state)
{
	static const struct redact_case cases[] = {
		{"{\"tok\":\"x\",\"pass\":\"y\",\"key\":1,\"author\":\"z\",\"cook\":{\"ie\":2}}",
		  "{\"tok\":\"x\",\"pass\":\"y\",\"key\":1,\"author\":\"z\",\"cook\":{\"ie\":2}}"},
		{ "{\"a\":[\"token\",{\"b\":\"secret\"}]}",
		  "{\"a\":[\"token\",{\"b\":\"secret\"}]}"					   },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
}

static void names_are_looked_at_in_every_object(void **state)
{
	static const struct redact_case cases[] = {
		{"{\"a\":[{\"token\":\"x\"},[{\"b\":{\"secret\":{\"c\":1}}}]],\"d\":1}",
		  "{\"a\":[{\"token\":" HIDDEN "},[{\"b\":{\"secret\":" HIDDEN "}}]],\"d\":1}"},
		{ "[{\"a\":{},\"token\":1},{\"cookie\":[{}],\"e\":\"f\"}]",
		  "[{\"a\":{},\"token\":" HIDDEN "},{\"cookie\":" HIDDEN ",\"e\":\"f\"}]"	  },
		{ "{\"token\":{\"password\":1},\"password\":{\"token\":1}}",
		  "{\"token\":" HIDDEN ",\"password\":" HIDDEN "}"				   },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
}

static void a_name_too_long_to_look_into_hides_its_value(void **state)
{
	char *name = mem_new(400);
	char *in;
	char *out;

	(void)state;
	memset(name, 'a', 300);
	in = mem_printf("{\"%stoken\":\"x\"}", name);
	out = mem_printf("{\"%stoken\":" HIDDEN "}", name);
	expect(span_of(in), out);
	free(name);
	free(in);
	free(out);
}

static void a_string_that_looks_like_a_token_is_hidden(void **state)
{
	static const char *const secrets[] = {
		"tgk_abc_def",
		"sk-proj-123",
		"ghp_0123456789",
		"gho_0123456789",
		"github_pat_11AA",
		"xoxb-1-2-3",
		"Bearer abc",
		"  sk-x",
		"-----BEGIN PRIVATE KEY-----\\nAAAA",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
		"eyJ.",
		"\\u0073k-hidden",
		"\\ttgk\\u005fx",
	};
	static const char *const harmless[] = {
		"task-1",  "the sk-",  "ghp", "eyJhbGciOiJIUzI1NiJ9",
		"eyJ a.b", "-----END", "",    "Bearer",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(secrets); i++) {
		char *in = mem_printf("{\"a\":[\"%s\"],\"b\":\"%s\"}", secrets[i], secrets[i]);

		expect(span_of(in), "{\"a\":[" HIDDEN "],\"b\":" HIDDEN "}");
		free(in);
	}
	for (size_t i = 0; i < COUNT(harmless); i++) {
		char *in = mem_printf("{\"a\":\"%s\"}", harmless[i]);

		expect(span_of(in), in);
		free(in);
	}
	expect(SPAN("\"tgk_x\""), HIDDEN);
}

static void u0000_becomes_ufffd_in_names_and_strings(void **state)
{
	static const struct redact_case cases[] = {
		{"{\"a\\u0000b\":\"\\u0000\"}",	 "{\"a\\ufffdb\":\"\\ufffd\"}" },
		{ "[\"\\u0000\\u0000x\\u0000\"]", "[\"\\ufffd\\ufffdx\\ufffd\"]"},
 /* A backslash, then the letters u0000. */
		{ "[\"\\\\u0000\"]",		     "[\"\\\\u0000\"]"	       },
		{ "[\"\\\\\\u0000\"]",	       "[\"\\\\\\ufffd\"]"	   },
		{ "[\"\\u00000\",\"\\u0001\"]",	"[\"\\ufffd0\",\"\\u0001\"]"  },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
}

static void a_number_with_too_many_digits_becomes_a_string(void **state)
{
	static const struct redact_case cases[] = {
		{"1e400",			   "1e400"				   },
		{ "1e999",			   "1e999"				   },
		{ "1e1000",			    "\"1e1000\""			 },
		{ "-1E+999999",			"\"-1E+999999\""			 },
		{ "1e999999999999999999999999",	"\"1e999999999999999999999999\""	 },
		{ "0e999999",		      "\"0e999999\""			     },
		{ "1e-1000",			     "1e-1000"			       },
		{ "1e-1001",			     "\"1e-1001\""			   },
		{ "1.5e-1000",		       "\"1.5e-1000\""		       },
		{ "1.5e+3",			    "1.5e+3"			     },
		{ "100e998",			     "\"100e998\""			   },
		{ "[0.1,1e5000 ,{\"a\":1e5000}]", "[0.1,\"1e5000\",{\"a\":\"1e5000\"}]"},
	};
	char *digits = mem_new(1200);

	(void)state;
	expect_all(cases, COUNT(cases));
	memset(digits, '7', 1000);
	expect(span_of(digits), digits);
	memset(digits + 1, '7', 1001);
	digits[0] = '"';
	digits[1002] = '"';
	expect((struct span){ digits + 1, 1001 }, digits);
	free(digits);
}

static void arguments_over_the_limit_become_their_size(void **state)
{
	char *text = mem_new(3 * MAX_BYTES);
	char *out;
	struct span whole;

	(void)state;
	/* Exactly the limit stays. */
	memset(text, 'x', MAX_BYTES);
	text[0] = text[MAX_BYTES - 1] = '"';
	whole = (struct span){ text, MAX_BYTES };
	expect(whole, text);

	memset(text, 'x', MAX_BYTES + 1);
	text[0] = text[MAX_BYTES] = '"';
	whole.n = MAX_BYTES + 1;
	expect(whole, "{\"_truncated\":true,\"bytes\":16385}");

	/* It is what remains that counts. */
	memset(text, 'x', 2 * MAX_BYTES);
	out = mem_printf("{\"token\":\"%.*s\",\"a\":1}", 2 * MAX_BYTES, text);
	expect(span_of(out), "{\"token\":" HIDDEN ",\"a\":1}");
	free(out);
	free(text);
}

static void nested_up_to_the_limit_of_the_reader(void **state)
{
	char text[2 * SPAN_MAX_DEPTH + 3];

	(void)state;
	memset(text, '[', SPAN_MAX_DEPTH);
	memset(text + SPAN_MAX_DEPTH, ']', SPAN_MAX_DEPTH);
	text[2 * SPAN_MAX_DEPTH] = '\0';
	expect(span_of(text), text);

	memset(text, '[', SPAN_MAX_DEPTH + 1);
	memset(text + SPAN_MAX_DEPTH + 1, ']', SPAN_MAX_DEPTH + 1);
	text[2 * SPAN_MAX_DEPTH + 2] = '\0';
	expect(span_of(text), "{\"_invalid\":true,\"bytes\":130}");
}

static void what_is_no_json_becomes_its_size(void **state)
{
	static const struct redact_case cases[] = {
		{"",		      "{\"_invalid\":true,\"bytes\":0}" },
		{ "{",		       "{\"_invalid\":true,\"bytes\":1}" },
		{ "{\"a\":1}}",	"{\"_invalid\":true,\"bytes\":8}" },
		{ "\"\\ud800\"",	 "{\"_invalid\":true,\"bytes\":8}" },
		{ "\"\xff\"",	      "{\"_invalid\":true,\"bytes\":3}" },
		{ "{\"a\":1,\"a\":2}", "{\"_invalid\":true,\"bytes\":13}"},
		{ "tgk_x",		   "{\"_invalid\":true,\"bytes\":5}" },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
	expect(SPAN("\"a\0b\""), "{\"_invalid\":true,\"bytes\":5}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_harmless_stays_as_it_was_without_spaces),
		cmocka_unit_test(a_name_that_speaks_of_a_secret_hides_its_value),
		cmocka_unit_test(other_names_hide_nothing),
		cmocka_unit_test(names_are_looked_at_in_every_object),
		cmocka_unit_test(a_name_too_long_to_look_into_hides_its_value),
		cmocka_unit_test(a_string_that_looks_like_a_token_is_hidden),
		cmocka_unit_test(u0000_becomes_ufffd_in_names_and_strings),
		cmocka_unit_test(a_number_with_too_many_digits_becomes_a_string),
		cmocka_unit_test(arguments_over_the_limit_become_their_size),
		cmocka_unit_test(nested_up_to_the_limit_of_the_reader),
		cmocka_unit_test(what_is_no_json_becomes_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
