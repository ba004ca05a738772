/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/account.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/crypto.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ISSUER	     "https://as.example"
#define OURS	     "\"iss\":\"" ISSUER "\",\"aud\":\"us\""

/* header.payload.signature */
static struct secret token_of(const char *payload)
{
	char coded[1024];
	char text[1200];

	coded[base64url_encode(payload, strlen(payload), coded)] = '\0';
	snprintf(text, sizeof(text), "e30.%s.c2ln", coded);
	return secret_new(text, strlen(text));
}

static void an_id_token_says_who_it_is(void **state)
{
	static const char *const rows[][2] = {
		{"{" OURS ",\"sub\":\"7\"}",						   "7"	  },
		{ "{" OURS ",\"sub\":\"7\",\"preferred_username\":\"ana\"}",		     "ana"	   },
		{ "{" OURS ",\"sub\":\"7\",\"preferred_username\":\"ana\",\"email\":\"a@b\"}",
		  "a@b"										     },
		{ "{" OURS ",\"sub\":\"7\",\"email\":\"\"}",				     "7"	 },
		{ "{" OURS ",\"sub\":\"7\",\"email\":5}",					  "7"	      },
		{ "{" OURS ",\"sub\":\"7\",\"email\":\"a\\nb\"}",				  "7"	      },
		{ "{" OURS ",\"sub\":\"7\",\"email\":\"a\\u0000b\"}",			      "7"	  },
		{ "{" OURS ",\"email\":\"\xc3\xa4na\"}",					 "\xc3\xa4na"},
		{ "{" OURS ",\"email\":\"<b>&\"}",						   "<b>&"	  },
		{ "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"us\"],\"sub\":\"7\"}",		   "7"	       },
		{ "{" OURS "}",								NULL	     },
		{ "{\"iss\":\"" ISSUER "/\",\"aud\":\"us\",\"sub\":\"7\"}",		    NULL	 },
		{ "{\"aud\":\"us\",\"sub\":\"7\"}",					    NULL	 },
		{ "{\"iss\":\"" ISSUER "\",\"aud\":\"them\",\"sub\":\"7\"}",		     NULL	  },
		{ "{\"iss\":\"" ISSUER "\",\"aud\":[],\"sub\":\"7\"}",			       NULL	    },
		{ "{\"iss\":\"" ISSUER "\",\"sub\":\"7\"}",				    NULL	 },
		{ "[]",									NULL	     },
		{ "not json",								  NULL	   },
	};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct secret token = token_of(rows[i][0]);
		const char *account = account_of_id_token(&token, ISSUER, "us", arena);

		if ((account == NULL) != (rows[i][1] == NULL) ||
		    (account != NULL && strcmp(account, rows[i][1]) != 0))
			fail_msg("%s: %s", rows[i][0], account != NULL ? account : "none");
		secret_fini(&token);
	}
	arena_free(&arena);
}

static void what_is_no_id_token_says_nothing(void **state)
{
	static const char *const texts[] = { "",	"a",	   "a.b",	  "..",
					     "a.b.c.d", "e30.*.x", "e30.e30.c2ln" };
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct secret token = secret_new(texts[i], strlen(texts[i]));

		assert_null(account_of_id_token(&token, ISSUER, "us", arena));
		secret_fini(&token);
	}
	assert_null(account_of_id_token(&(struct secret){ 0 }, ISSUER, "us", arena));
	arena_free(&arena);
}

static void without_an_issuer_none_is_compared(void **state)
{
	struct secret token = token_of("{\"iss\":\"x\",\"aud\":\"us\",\"sub\":\"7\"}");
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(account_of_id_token(&token, NULL, "us", arena), "7");
	secret_fini(&token);
	arena_free(&arena);
}

static void userinfo_says_who_it_is(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	assert_string_equal(account_of_userinfo(SPAN("{\"sub\":\"7\",\"email\":\"a@b\"}"), arena),
			    "a@b");
	assert_null(account_of_userinfo(SPAN("{}"), arena));
	assert_null(account_of_userinfo(SPAN("<html>"), arena));
	assert_null(account_of_userinfo((struct span){ 0 }, arena));
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_id_token_says_who_it_is),
		cmocka_unit_test(what_is_no_id_token_says_nothing),
		cmocka_unit_test(without_an_issuer_none_is_compared),
		cmocka_unit_test(userinfo_says_who_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
