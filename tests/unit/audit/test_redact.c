/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_BYTES    16384
#define HIDDEN	     "\"[REDACTED]\""

static const struct redact_rules everybody = { 0 };

struct redact_case {
	const char *in;
	const char *out;
};

static void expect(struct span in, const char *out)
{
	struct buf buf;

	buf_init(&buf, MAX_BYTES);
	redact_arguments(&everybody, in, MAX_BYTES, &buf);
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
		"\"x\"",   "1", "-1.5e3", "true", "{}", "{\"a\":{\"b\":[\"]\",\"}\",\"\\\"}\"]}}",
		" \"x\" ",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(names); i++) {
		for (size_t j = 0; j < COUNT(values); j++) {
			char *in =
				mem_printf("{\"a\":1,\"%s\" :%s,\"z\":[2]}", names[i], values[j]);
			struct buf buf;

			buf_init(&buf, MAX_BYTES);
			redact_arguments(&everybody, span_of(in), MAX_BYTES, &buf);
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
		  "[{\"a\":{},\"token\":" HIDDEN "},{\"cookie\":[" HIDDEN "],\"e\":\"f\"}]"   },
		{ "{\"tokens\":[\"a\",[1,{\"b\":2}],null,true,[]],\"x\":{\"y\":[1]},\"token\":"
		  "null}",					      "{\"tokens\":[" HIDDEN ",[" HIDDEN "," HIDDEN "],null," HIDDEN
		  ",[]],\"x\":{\"y\":[1]},"
		  "\"token\":null}"		    },
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

static void a_secret_within_a_string_or_a_name_is_hidden_and_nothing_else(void **state)
{
	static const struct redact_case cases[] = {
		{"\"tgk_x1y2z3\"",						   HIDDEN				   },
		{ "{\"a\":[\"ghp_0123456789\"],\"b\":\"use ghp_0123456789, then\"}",
		  "{\"a\":[" HIDDEN "],\"b\":\"use [REDACTED], then\"}"							},
		{ "{\"ghp_0123456789\":1,\"x ghp_0123456789 y\":{\"z\":2}}",
		  "{" HIDDEN ":1,\"x [REDACTED] y\":{\"z\":2}}"								},
		{ "[\"\\u0067hp_012345\\u00367 \\u00e9\\n\\\"\"]",		   "[\"[REDACTED] é\\n\\\"\"]"      },
		{ "[\"\\u0000 ghp_0123456789 \\u0000\"]",				  "[\"\\ufffd [REDACTED] \\ufffd\"]"},
		{ "[\"task-1 is the sk- of ghp\"]",				    "[\"task-1 is the sk- of ghp\"]"  },
	};

	(void)state;
	expect_all(cases, COUNT(cases));
}

static const uint8_t one_key[REDACT_KEY_BYTES] = { 1 };
static const uint8_t other_key[REDACT_KEY_BYTES] = { 2 };

static char *redacted(const struct redact_rules *rules, const char *in)
{
	struct buf buf;
	char *text;

	buf_init(&buf, MAX_BYTES);
	redact_arguments(rules, span_of(in), MAX_BYTES, &buf);
	text = mem_strdup(buf_str(&buf));
	buf_fini(&buf);
	return text;
}

/* HMAC-SHA256 of "hunter2" under the key 01 00…, and what follows from it. */
static void equal_secrets_are_equal_under_one_key_and_not_under_another(void **state)
{
	static const char in[] = "{\"password\":\"hunter2\",\"a\":[{\"token\":\"hunt\\u0065r2\"}],"
				 "\"b\":\"login password=hunter2;\",\"secret\":\"hunter3\"}";
	const struct redact_rules one = { .key = one_key };
	const struct redact_rules other = { .key = other_key };
	uint8_t mac[SHA256_BYTES];
	char digits[17];
	char *expected;
	char *text = redacted(&one, in);
	char *elsewhere = redacted(&other, in);

	(void)state;
	crypto_hmac_sha256(one_key, sizeof(one_key), "hunter2", 7, mac);
	hex_encode(mac, 8, digits);
	expected = mem_printf("{\"password\":\"hmac:%s\",\"a\":[{\"token\":\"hmac:%s\"}],"
			      "\"b\":\"login password=hmac:%s;\",\"secret\":\"hmac:",
			      digits, digits, digits);
	assert_memory_equal(text, expected, strlen(expected));
	assert_int_equal(strlen(text), strlen(expected) + 16 + 2);
	assert_memory_not_equal(text + strlen(expected), digits, 16);
	assert_int_equal(strlen(elsewhere), strlen(text));
	assert_null(strstr(elsewhere, digits));
	free(expected);
	free(text);
	free(elsewhere);
}

static void numbers_and_words_in_the_place_of_a_secret_have_digests_too(void **state)
{
	const struct redact_rules rules = { .key = one_key };
	char *number = redacted(&rules, "{\"token\":123456}");
	char *string = redacted(&rules, "{\"token\":\"123456\"}");
	char *word = redacted(&rules, "{\"token\":true}");

	(void)state;
	assert_string_equal(number, string);
	assert_memory_equal(number, "{\"token\":\"hmac:", 15);
	assert_memory_equal(word, "{\"token\":\"hmac:", 15);
	assert_string_not_equal(word, number);
	free(number);
	free(string);
	free(word);
}

static void further_names_are_the_connection_s_own(void **state)
{
	struct arena *arena = arena_new();
	const char *names[] = { redact_name(arena, "Social-Security_No"),
				redact_name(arena, "*pin*") };
	const struct redact_rules rules = { .names = names, .n_names = COUNT(names) };
	static const struct redact_case cases[] = {
		{"{\"socialSecurityNo\":1,\"social_security_no_\":2,\"social\":3}",
		  "{\"socialSecurityNo\":" HIDDEN ",\"social_security_no_\":" HIDDEN
		  ",\"social\":3}"		   },
		{ "{\"PIN\":[1,2],\"card_pin_2\":\"x\",\"text\":\"my pin: 1234.\"}",
		  "{\"PIN\":[" HIDDEN "," HIDDEN "],\"card_pin_2\":" HIDDEN
		  ",\"text\":\"my pin: [REDACTED]\"}"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *text = redacted(&rules, cases[i].in);

		assert_string_equal(text, cases[i].out);
		free(text);
	}
	expect(SPAN("{\"pin\":1}"), "{\"pin\":1}");
	arena_free(&arena);
}

static void a_schema_marks_what_names_do_not_tell(void **state)
{
	struct arena *arena = arena_new();
	const struct redact_rules rules = {
		.schema = redact_schema_compile(
			arena,
			SPAN("{\"properties\":{\"a\":{\"format\":\"password\"},\"b\":{\"items\":{"
			     "\"writeOnly\":true}},\"c\":{\"items\":{\"properties\":{\"d\":{"
			     "\"writeOnly\":true}}}}}}")),
	};
	char *text =
		redacted(&rules, "{\"a\":\"x\",\"b\":[1,[2],{\"a\":3}],\"c\":[{\"d\":4,\"a\":5},"
				 "{\"d\":{\"e\":[6]}}],\"d\":7}");

	(void)state;
	assert_non_null(rules.schema);
	assert_string_equal(text,
			    "{\"a\":" HIDDEN ",\"b\":[" HIDDEN ",[" HIDDEN "]," HIDDEN
			    "],\"c\":[{\"d\":" HIDDEN ",\"a\":5},{\"d\":" HIDDEN "}],\"d\":7}");
	free(text);
	arena_free(&arena);
}

static void text_is_cut_behind_its_secrets(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1 << 16);
	assert_false(redact_text(&everybody, SPAN("nothing to see"), 100, &out));
	assert_int_equal(out.len, 0);
	/* It begins within the limit and ends behind it. */
	assert_true(
		redact_text(&everybody, SPAN("at ghp_0123456789abcdef0123456789 end"), 8, &out));
	assert_string_equal(buf_str(&out), "at [REDACTED] end");
	buf_fini(&out);
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
		cmocka_unit_test(a_secret_within_a_string_or_a_name_is_hidden_and_nothing_else),
		cmocka_unit_test(equal_secrets_are_equal_under_one_key_and_not_under_another),
		cmocka_unit_test(numbers_and_words_in_the_place_of_a_secret_have_digests_too),
		cmocka_unit_test(further_names_are_the_connection_s_own),
		cmocka_unit_test(a_schema_marks_what_names_do_not_tell),
		cmocka_unit_test(text_is_cut_behind_its_secrets),
		cmocka_unit_test(u0000_becomes_ufffd_in_names_and_strings),
		cmocka_unit_test(a_number_with_too_many_digits_becomes_a_string),
		cmocka_unit_test(arguments_over_the_limit_become_their_size),
		cmocka_unit_test(nested_up_to_the_limit_of_the_reader),
		cmocka_unit_test(what_is_no_json_becomes_its_size),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
