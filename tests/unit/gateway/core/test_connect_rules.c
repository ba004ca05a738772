/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/connect_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ISSUER	     "https://as.example"
#define ANA	     "11111111-0000-4000-8000-000000000001"
#define BOB	     "22222222-0000-4000-8000-000000000002"
#define ACME	     "aaaaaaaa-0000-4000-8000-00000000000a"
#define OTHER	     "bbbbbbbb-0000-4000-8000-00000000000b"

static void an_issuer_is_hashed_as_it_is(void **state)
{
	char a[CONNECT_ISSUER_HASH_BYTES];
	char b[CONNECT_ISSUER_HASH_BYTES];

	(void)state;
	connect_issuer_hash(ISSUER, a);
	connect_issuer_hash(ISSUER "/", b);
	assert_true(connect_is_issuer_hash(a));
	assert_string_not_equal(a, b);
	assert_false(connect_is_issuer_hash(""));
	assert_false(connect_is_issuer_hash("0123456789ABCDEF"));
	assert_false(connect_is_issuer_hash("0123456789abcde"));
	assert_false(connect_is_issuer_hash("0123456789abcdef0"));
	assert_false(connect_is_issuer_hash("../../../../etc/"));
}

static void a_server_without_an_issuer_is_its_token_endpoint(void **state)
{
	const struct oauth_server known = { .issuer = "i", .token_url = "t" };
	const struct oauth_server typed_in = { .token_url = "t" };

	(void)state;
	assert_string_equal(connect_issuer_of(&known), "i");
	assert_string_equal(connect_issuer_of(&typed_in), "t");
}

static void an_origin_is_written_as_browsers_do(void **state)
{
	static const char *const rows[][2] = {
		{"https://as.example/authorize?x=1", "https://as.example"	   },
		{ "https://AS.example:443/",	     "https://as.example"	  },
		{ "https://as.example:8443/",	      "https://as.example:8443"},
		{ "http://127.0.0.1:3000/a",	     "http://127.0.0.1:3000"  },
		{ "http://localhost/a",		"http://localhost"	   },
		{ "https://[::1]:8443/a",		  "https://[::1]:8443"     },
		{ "javascript:alert(1)",		 NULL		      },
		{ "data:text/html,x",		      NULL			   },
		{ "https://user@as.example/",	      NULL			   },
	};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *origin = connect_origin(arena, rows[i][0]);

		assert_true((origin == NULL) == (rows[i][1] == NULL));
		if (origin != NULL)
			assert_string_equal(origin, rows[i][1]);
	}
	arena_free(&arena);
}

static void a_scope_covers_its_parts(void **state)
{
	static const struct {
		const char *whole, *part;
		bool covers;
	} rows[] = {
		{"a b",	 "a",     true },
		      { "a b", "b a",   true },
		 { "a b", NULL,	true },
		{ "a b", "",	     true },
		      { "a b", " ",	    true },
		 { NULL,	 "",	     true },
		{ NULL,	"a",     false},
		      { "",    "a",	 false},
		 { "ab",	 "a",     false},
		{ "a",   "ab",    false},
		      { "a b", "a b c", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(connect_scope_covers(rows[i].whole, rows[i].part), rows[i].covers);
}

static void what_is_asked_for_is_what_is_needed(void **state)
{
	static const struct {
		struct connect_scopes given;
		const char *asked;
	} rows[] = {
		{{ 0 },							 NULL	      },
		{ { .server = "a b" },					  "a b"	     },
		{ { .server = "a", .granted = "x" },			     "a"		 },
		{ { .configured = "c  d", .server = "a" },			   "c  d"		  },
		{ { .configured = "", .server = "a" },			       "a"		   },
		{ { .server = "a", .offline_access = true },		     "a offline_access"},
		{ { .server = "a offline_access", .offline_access = true },	    "a offline_access"},
		{ { .configured = "c", .offline_access = true },		 "c"		     },
		{ { .offline_access = true },				      NULL		   },
 /* Step ups: the union. */
		{ { .server = "a", .granted = "a", .challenge = "w" },	       "a w"	     },
		{ { .server = "a b", .granted = "a", .challenge = "a w" },	   "a w"		 },
		{ { .server = "a", .challenge = "w" },			       "a w"	     },
		{ { .challenge = "w" },					 "w"		    },
		{ { .configured = "c", .granted = "g", .challenge = "w" },	   "g c w"	   },
		{ { .granted = "g", .challenge = "w", .offline_access = true },
		  "g w offline_access"							     },
	};
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *asked = connect_scope(arena, &rows[i].given);

		if ((asked == NULL) != (rows[i].asked == NULL) ||
		    (asked != NULL && strcmp(asked, rows[i].asked) != 0))
			fail_msg("row %zu: %s", i, asked != NULL ? asked : "none");
	}
	arena_free(&arena);
}

static void clients_are_chosen_in_the_order_of_mcp(void **state)
{
	const struct oauth_server all = { .client_id_metadata = true, .registration_url = "r" };
	const struct oauth_server registers = { .registration_url = "r" };
	const struct oauth_server nothing = { 0 };

	(void)state;
	assert_int_equal(connect_choose_client(&all, "id", "u"), CONNECT_CLIENT_CONFIGURED);
	assert_int_equal(connect_choose_client(&nothing, "id", NULL), CONNECT_CLIENT_CONFIGURED);
	assert_int_equal(connect_choose_client(&all, NULL, "u"), CONNECT_CLIENT_METADATA);
	assert_int_equal(connect_choose_client(&all, NULL, NULL), CONNECT_CLIENT_REGISTERED);
	assert_int_equal(connect_choose_client(&registers, NULL, "u"), CONNECT_CLIENT_REGISTERED);
	assert_int_equal(connect_choose_client(&nothing, NULL, "u"), CONNECT_CLIENT_NONE);
}

static struct principal principal_of(const char *tenant, const char *user, enum role role)
{
	struct principal principal = { .refs = 1, .role = role };

	snprintf(principal.tenant_id, sizeof(principal.tenant_id), "%s", tenant);
	snprintf(principal.user_id, sizeof(principal.user_id), "%s", user);
	snprintf(principal.subject, sizeof(principal.subject), "user:%s", user);
	return principal;
}

static void an_attempt_is_for_whom_it_was_made(void **state)
{
	static const struct {
		enum role role;
		const char *asked_by, *subject;
		bool may;
	} rows[] = {
		{ROLE_USER,   "user:" ANA, "user:" ANA, true },
		{ ROLE_ADMIN, "user:" ANA, "user:" ANA, true },
		{ ROLE_USER,  "user:" BOB, "user:" BOB, false},
		{ ROLE_ADMIN, "user:" BOB, "user:" BOB, false},
		{ ROLE_USER,  "user:" ANA, "",	      false},
		{ ROLE_ADMIN, "user:" ANA, "",	       true },
		{ ROLE_ADMIN, "user:" BOB, "",	       false},
		{ ROLE_USER,  "key:" BOB,	 "",	     false},
		{ ROLE_ADMIN, "key:" BOB,  "",	      true },
		{ ROLE_ADMIN, "key:" ANA,  "user:" ANA, false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct principal ana = principal_of(ACME, ANA, rows[i].role);

		assert_int_equal(connect_may(&ana, rows[i].asked_by, rows[i].subject), rows[i].may);
	}
}

/* The table of who may bring an answer: everything right, then each thing wrong. */
static void an_answer_is_taken_from_who_began(void **state)
{
	static const uint8_t cookie[SHA256_BYTES] = { 1 };
	static const uint8_t foreign[SHA256_BYTES] = { 2 };
	char hash[CONNECT_ISSUER_HASH_BYTES];
	char other_hash[CONNECT_ISSUER_HASH_BYTES];
	struct principal ana = principal_of(ACME, ANA, ROLE_USER);
	struct principal admin = principal_of(ACME, BOB, ROLE_ADMIN);
	struct principal namesake = principal_of(OTHER, ANA, ROLE_USER);
	const struct {
		struct connect_answerer answerer;
		bool ended, expired;
		enum connect_error error;
	} rows[] = {
		{{ hash, &ana, cookie },	  false, false, CONNECT_NO_ERROR	 },
		{ { hash, &ana, cookie },	  false, true,  CONNECT_EXPIRED       },
		{ { hash, &ana, cookie },	  true,	false, CONNECT_STATE_MISMATCH},
		{ { hash, &ana, foreign },	   false, false, CONNECT_STATE_MISMATCH},
		{ { hash, &ana, NULL },		false, false, CONNECT_STATE_MISMATCH},
		{ { other_hash, &ana, cookie }, false, false, CONNECT_STATE_MISMATCH},
		{ { "", &ana, cookie },		false, false, CONNECT_STATE_MISMATCH},
		{ { hash, NULL, cookie },	  false, false, CONNECT_WRONG_USER	   },
		{ { hash, &admin, cookie },	    false, false, CONNECT_WRONG_USER    },
		{ { hash, &namesake, cookie },  false, false, CONNECT_WRONG_USER	},
 /* Whoever is not in that browser learns nothing more than that. */
		{ { hash, &admin, foreign },    false, true,  CONNECT_STATE_MISMATCH},
		{ { hash, &admin, cookie },	    false, true,	 CONNECT_WRONG_USER    },
	};

	(void)state;
	connect_issuer_hash(ISSUER, hash);
	connect_issuer_hash(ISSUER "/", other_hash);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct connect_binding begun = {
			.pending = !rows[i].ended,
			.expired = rows[i].expired,
			.issuer = ISSUER,
			.tenant_id = ACME,
			.user_id = ANA,
		};

		memcpy(begun.browser_hash, cookie, sizeof(cookie));
		if (connect_check_binding(&begun, &rows[i].answerer) != rows[i].error)
			fail_msg("row %zu", i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_issuer_is_hashed_as_it_is),
		cmocka_unit_test(a_server_without_an_issuer_is_its_token_endpoint),
		cmocka_unit_test(an_origin_is_written_as_browsers_do),
		cmocka_unit_test(a_scope_covers_its_parts),
		cmocka_unit_test(what_is_asked_for_is_what_is_needed),
		cmocka_unit_test(clients_are_chosen_in_the_order_of_mcp),
		cmocka_unit_test(an_attempt_is_for_whom_it_was_made),
		cmocka_unit_test(an_answer_is_taken_from_who_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
