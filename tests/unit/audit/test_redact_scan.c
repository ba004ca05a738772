/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct redact_rules everybody = { 0 };

/* The text, with | around what is a secret in it. */
static void expect(const char *marked)
{
	char text[2048];
	char found[2048];
	size_t n = 0;
	size_t at = 0;
	size_t from = 0;
	struct scan scan = { .rules = &everybody };
	struct secret_place place;

	for (const char *p = marked; *p != '\0'; p++) {
		if (*p != '|')
			text[n++] = *p;
	}
	text[n] = '\0';
	scan.text = (struct span){ text, n };
	while (scan_next(&scan, &place)) {
		assert_true(place.n > 0 && place.at >= from && place.at + place.n <= n);
		at += (size_t)snprintf(found + at, sizeof(found) - at, "%.*s|%.*s|",
				       (int)(place.at - from), text + from, (int)place.n,
				       text + place.at);
		from = place.at + place.n;
		assert_int_equal(scan.from, from);
	}
	snprintf(found + at, sizeof(found) - at, "%s", text + from);
	assert_string_equal(found, marked);
}

static void expect_all(const char *const *texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		expect(texts[i]);
}

static void tokens_of_known_kinds_are_found_wherever_they_stand(void **state)
{
	static const char *const texts[] = {
		"|tgk_aB3dE5gH7jK9_0123456789abcdefghij|",
		"key:|tgk_aB3dE5gH7jK9_x|, and more",
		"(|sk-proj-abc123def456|)",
		"ANTHROPIC=|sk-ant-api03-AbC_d-9|!",
		"clone with |ghp_16C7e42F292c6912E7710c838347Ae178B4a| please",
		"x|gho_0123456789|",
		"|ghu_0123456789|",
		"|ghs_0123456789|.",
		"|ghr_0123456789|",
		"|github_pat_11ABCDEFG0_abcdefghij|",
		"|glpat-xxXXyyYYzz1234567890|",
		"|gldt-abc123-x|",
		"|glrt-abc123|",
		"aws |AKIAIOSFODNN7EXAMPLE| and |ASIAIOSFODNN7EXAMPLE|",
		"|AIzaSyD-1234567890abcdefghijklmnopqrstu|",
		"|ya29.a0AfH6SMBx-abc_def|",
		"|GOCSPX-abcdefghijkl|",
		"|xoxb-123456789012-abcdef|",
		"|xoxp-1-2-3-4|",
		"|xapp-1-A0-123-abc|",
		"|sk_live_51Habc|",
		"|rk_live_51Habc|",
		"|sk_test_abcd|",
		"|whsec_abcdefgh1|",
		"|npm_abcdefghijklmnopqrstuvwxyz0123456789|",
		"|hf_abcdefghijklmnopqrstuvwxyz012345|",
		"|SG.abcdefghijklmnopqrst.uvwxyz0123456789|",
		"|hvs.CAESIJlU02LQZq7l-abc|",
		"|dckr_pat_abcdefgh|",
		"|shpat_0123456789abcdef|",
		"|dop_v1_0123456789abcdef|",
		"|AGE-SECRET-KEY-1QQQQQQQQQQ|",
		"jwt |eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln|, next",
		"|eyJ.x|",
		"x=|eyJhbGciOiJub25lIn0.e30.|",
		"see |-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----|\nbye",
		"|-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA|",
		"two |ghp_0123456789| of |glpat-abcdef123| them",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void headers_in_text_are_found(void **state)
{
	static const char *const texts[] = {
		"|Bearer abc|",
		"|bearer abcdefgh.ijklmnop|",
		"curl -H 'Authorization: |Bearer abc def|' x",
		"it said |Bearer a1b2c3d4|, twice",
		"|Basic dXNlcjpwYXNzd29yZA==|",
		"use |basic dXNlcjpwdw==| now",
		"Cookie: |a=b; c=d|\nHost: x",
		"Set-Cookie: |sid=1; Path=/|\r\nX: y",
		"Proxy-Authorization: |Negotiate x y|",
		"X-Api-Key: |abc| and so on",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void values_behind_telling_names_are_found(void **state)
{
	static const char *const texts[] = {
		"password=|hunter2|",
		"PASSWORD = |hunter2| rest",
		"the password is: |x|",
		"pwd=|a|;host=b",
		"Server=db;User=sa;Password=|p@ss|;Encrypt=true",
		"host=localhost password='|it|''s' dbname=x",
		"password='|a b c|' user=x",
		"password=\"|a \\\" b|\" x",
		"https://x.example/cb?code=1&access_token=|abc|&state=2#f",
		"{\"password\":\"|a\\\"b|\",\"x\":1}",
		"{\\\"password\\\":\\\"|abc|\\\",\\\"x\\\":1}",
		"{'client_secret': '|abc|'}",
		"api key: |abc|",
		"API_KEY=|abc|\nNEXT=1",
		"tokens: |[\"a\",{\"b\":[1]}]| end",
		"aws_secret_access_key = |abc/d+e|",
		"export OPENAI_API_KEY=\"|abc|\"",
		"passphrase: |correct| horse",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void passwords_in_urls_are_found(void **state)
{
	static const char *const texts[] = {
		"postgres://|ana:s3cret|@db.example/x?sslmode=require",
		"git clone https://|x-access-token:abc|@github.com/a/b.git",
		"amqp://|u:p/q?r#s|@host",
		"redis://|:pw|@h:6379/0",
		"http://host:8080/a@b",
		"https://packages.example.com:443/@scope/pkg",
		"ssh://git@github.com/x",
		"mailto:ana@example.com",
		"http://[::1]:80/x@y",
		"https://example.com/a:b@c",
		"cut mysql://|ana:s3cr|",
		"redis://localhost:6379",
		"://",
		"a://b:",
		"x://@",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void noise_is_found(void **state)
{
	static const char *const texts[] = {
		"|wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY1|",
		"value |Zk3v9QpL2xTn8RbW4yHs6MdA| here",
		"/data/objects/|Zk3v9QpL2xTn8RbW4yHs6MdA|/info",
		"|q8Zt5vB2nM7xK4wP9rL3sD6f==|.",
		"id=|a7x9k2m4p8q1z5w3r6t0y2u4|&x",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void what_is_no_secret_stays(void **state)
{
	static const char *const texts[] = {
		"",
		"x",
		"task-1 and desk-lamp-2024",
		"risk-averse, the sk- of it",
		"ask-me-anything-2024",
		"eyJ is how they begin",
		"eyJhbGciOiJIUzI1NiJ9",
		"-----END",
		"Bearer",
		"a bearer of bad news",
		"Basic training is hard",
		"basic English for all",
		"The author of the cook book passes the key.",
		"monkey: banana",
		"keynote=1",
		"npm_config_registry",
		"AKIA",
		"MAKIAVELLI",
		"ghp_",
		"xox",
		"xoxo-hugs-and-kisses",
		"123e4567-e89b-12d3-a456-426614174000",
		"user-123e4567-e89b-12d3-a456-426614174000",
		"120fb9037e6c1bfa9ef6847e1d6758a7c0f2f5bb",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
		"01ARZ3NDEKTSV4RRFFQ69G5FAV",
		"1234567890123456789012345678901234567890",
		"+49-170-1234567890123456",
		"2026-11-20T12:31:00.000001Z",
		"3.141592653589793238462643383279",
		"/usr/lib/x86_64-linux-gnu/libssl.so.3.0.11",
		"C:\\Users\\ana\\Documents\\Report2024.docx",
		"https://docs.example.com/en/latest/getting_started/"
		"installation.html?page=2&sort=asc#top",
		"getElementByIdFromTheDocumentNode2",
		"THIS_IS_A_VERY_LONG_CONSTANT_NAME_V2",
		"Donaudampfschifffahrtsgesellschaft",
		"kubernetes-dashboard-metrics-scraper",
		"aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBzbWFsbCB0ZXh0IDE=", /* a small text */
		"R3LDvMOfZSBhdXMgTcO8bmNoZW4sIGhldXRlIDEyIEdyYWQ=",
		"SELECT id, name FROM users WHERE created_at > '2024-01-01' ORDER BY id LIMIT 10",
		"The quick brown fox jumps over the lazy dog.",
		"Der schnelle braune Fuchs springt über den faulen Hund: 3 Mal.",
		"Portez ce vieux whisky au juge blond qui fume.",
		"El veloz murciélago hindú comía feliz cardillo y kiwi.",
		"Съешь же ещё этих мягких французских булок, да выпей чаю.",
		"いろはにほへと ちりぬるを",
		"敏捷的棕色狐狸跳过懒狗",
		"نص حكيم له سر قاطع",
	};

	(void)state;
	expect_all(texts, COUNT(texts));
}

static void a_secret_in_base64_of_text_is_found(void **state)
{
	(void)state;
	/* "use ghp_0123456789abcdef and go 1" */
	expect("x |dXNlIGdocF8wMTIzNDU2Nzg5YWJjZGVmIGFuZCBnbyAx| y");
}

static void names_are_compared_without_case_and_separators(void **state)
{
	static const struct {
		const char *name;
		enum name_kind kind;
	} cases[] = {
		{"access_Token",	  NAME_SECRET     },
		{ "API-Key",	     NAME_SECRET	 },
		{ "api key",	     NAME_SECRET	 },
		{ "pwd",		 NAME_SECRET     },
		{ "pass.word",     NAME_SECRET	   },
		{ "secretary",     NAME_SECRET	   },
		{ "Set-Cookie",	NAME_SECRET_LINE},
		{ "authorization", NAME_SECRET_LINE},
		{ "pass",	  NAME_PLAIN	     },
		{ "key",		 NAME_PLAIN	    },
		{ "",	      NAME_PLAIN	 },
		{ "pwdx",	  NAME_PLAIN	     },
	};
	char *long_name = mem_new(REDACT_NAME_BYTES + 2);

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(name_kind(&everybody, span_of(cases[i].name)), cases[i].kind);
	memset(long_name, 'a', REDACT_NAME_BYTES + 1);
	assert_int_equal(name_kind(&everybody, (struct span){ long_name, REDACT_NAME_BYTES }),
			 NAME_PLAIN);
	assert_int_equal(name_kind(&everybody, span_of(long_name)), NAME_SECRET);
	free(long_name);
}

/* Each would take minutes if every start of something were read to its end. */
static void no_text_takes_long(void **state)
{
	static const char *const pieces[] = { "eyJ",
					      "sk-",
					      "://a:",
					      "xoxb",
					      "-----BEGIN-----END",
					      "Basic ",
					      "aB3",
					      "=",
					      "token ",
					      "ghp_x-",
					      "{[",
					      "https://a:b/",
					      "a=",
					      "a:",
					      "/aB3dE6gH9jK2mN5pQ8sT",
					      "/abcdefghijklmnopqrst",
					      "://" };
	const size_t n = (size_t)64 << 10;
	char *text = mem_new(n + 32);
	clock_t start = clock();

	(void)state;
	for (size_t i = 0; i < COUNT(pieces); i++) {
		struct scan scan = {
			.rules = &everybody, .text = {text, n}
		};
		struct secret_place place;
		size_t size = strlen(pieces[i]);

		for (size_t at = 0; at < n; at += size)
			memcpy(text + at, pieces[i], size);
		while (scan_next(&scan, &place))
			assert_true(place.n > 0);
	}
	free(text);
	assert_true((double)(clock() - start) / CLOCKS_PER_SEC < 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tokens_of_known_kinds_are_found_wherever_they_stand),
		cmocka_unit_test(headers_in_text_are_found),
		cmocka_unit_test(values_behind_telling_names_are_found),
		cmocka_unit_test(passwords_in_urls_are_found),
		cmocka_unit_test(noise_is_found),
		cmocka_unit_test(what_is_no_secret_stays),
		cmocka_unit_test(a_secret_in_base64_of_text_is_found),
		cmocka_unit_test(names_are_compared_without_case_and_separators),
		cmocka_unit_test(no_text_takes_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
