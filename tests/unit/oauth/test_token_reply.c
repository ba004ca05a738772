/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/token_reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))
#define OK_REPLY    "{\"access_token\":\"at\",\"token_type\":\"Bearer\"}"

struct parsed {
	struct arena *arena;
	int ret;
	struct token_reply reply;
	struct token_error error;
};

static struct parsed parse(int status, const char *body)
{
	const struct token_answer answer = {
		.status = status,
		.body = span_of(body),
		.sent = { .form = SPAN("grant_type=refresh_token&refresh_token=s3cret-s3cret") },
	};
	struct parsed parsed = { .arena = arena_new() };

	parsed.ret = token_reply_parse(&answer, parsed.arena, &parsed.reply, &parsed.error);
	return parsed;
}

static void forget(struct parsed *parsed)
{
	token_reply_fini(&parsed->reply);
	arena_free(&parsed->arena);
}

static void a_reply_is_read_whole(void **state)
{
	struct parsed p =
		parse(200, "{\"access_token\":\"at\",\"token_type\":\"bEARER\","
			   "\"refresh_token\":\"rt\",\"id_token\":\"a.b.c\",\"scope\":\"x y\","
			   "\"expires_in\":3600,\"refresh_expires_in\":86400,\"more\":[1e999]}");

	(void)state;
	assert_int_equal(p.ret, 0);
	assert_string_equal(p.reply.access_token.reveal, "at");
	assert_string_equal(p.reply.refresh_token.reveal, "rt");
	assert_string_equal(p.reply.id_token.reveal, "a.b.c");
	assert_string_equal(p.reply.token_type, "Bearer");
	assert_string_equal(p.reply.scope, "x y");
	assert_int_equal(p.reply.expires_in_s, 3600);
	assert_int_equal(p.reply.refresh_expires_in_s, 86400);
	forget(&p);
}

/* GitHub: neither expiry nor refresh token. A refresh that keeps the old one looks the same. */
static void what_is_not_said_is_absent(void **state)
{
	struct parsed p = parse(200, OK_REPLY);

	(void)state;
	assert_int_equal(p.ret, 0);
	assert_null(p.reply.refresh_token.reveal);
	assert_null(p.reply.id_token.reveal);
	assert_null(p.reply.scope);
	assert_int_equal(p.reply.expires_in_s, -1);
	assert_int_equal(p.reply.refresh_expires_in_s, -1);
	forget(&p);
	p = parse(200, "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"refresh_token\":\"\","
		       "\"id_token\":null,\"scope\":\"\",\"expires_in\":null,\"error\":null}");
	assert_int_equal(p.ret, 0);
	assert_null(p.reply.refresh_token.reveal);
	assert_null(p.reply.scope);
	assert_int_equal(p.reply.expires_in_s, -1);
	forget(&p);
}

/* The refresh token that such a reply answers may be used up: to refuse it would lose the grant. */
static void a_lifetime_that_makes_no_sense_is_not_said(void **state)
{
	static const struct {
		const char *value;
		int64_t seconds;
	} table[] = {
		{"1",				     1			 },
		{ "3600",				 3600		       },
		{ "\"3600\"",			      3600		   }, /* as strings: Entra's first version, AD FS */
		{ "3599.9",			       3599		 }, /* a difference of two clocks */
		{ "3.6e3",				3600		},
		{ "315360000",			       TOKEN_MAX_LIFETIME_S},
		{ "315360001",			       -1		  },
		{ "0",				    -1		  }, /* Keycloak's offline sessions: never */
		{ "-1",				   -1		   },
		{ "-3600",				-1		      },
		{ "0.5",				  -1		    },
		{ "1e400",				-1		      },
		{ "-1e400",			       -1		       },
		{ "99999999999999999999",		  -1		     },
		{ "9223372036854775807",			 -1		    },
		{ "100000000000000000000000000000000000", -1		     },
		{ "\"\"",				 -1		     },
		{ "\"soon\"",			      -1			 },
		{ "\"inf\"",			      -1			},
		{ "\"nan\"",			      -1			},
		{ "\"0x10\"",			      -1			 },
		{ "\"3600 s\"",				-1		   },
		{ "\"-3600\"",			       -1		  },
		{ "\"3600\\u0000\"",			     -1			},
		{ "true",				 -1		     },
		{ "[3600]",			       -1		       },
		{ "{\"seconds\":3600}",			-1		   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		char body[256];
		struct parsed p;

		snprintf(body, sizeof(body),
			 "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":%s,"
			 "\"refresh_token_expires_in\":%s}",
			 table[i].value, table[i].value);
		p = parse(200, body);
		assert_int_equal(p.ret, 0);
		if (p.reply.expires_in_s != table[i].seconds ||
		    p.reply.refresh_expires_in_s != table[i].seconds)
			fail_msg("%s is %lld", table[i].value, (long long)p.reply.expires_in_s);
		forget(&p);
	}
}

static void a_scope_that_makes_no_sense_is_not_said(void **state)
{
	static const char *const scopes[] = { "[\"a\"]", "1", "\"a\\n\"", "\"\\u00e4\"",
					      "\"has s3cret-s3cret\"" };

	(void)state;
	for (size_t i = 0; i < COUNT(scopes); i++) {
		char body[256];
		struct parsed p;

		snprintf(body, sizeof(body),
			 "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"scope\":%s}",
			 scopes[i]);
		p = parse(200, body);
		assert_int_equal(p.ret, 0);
		assert_null(p.reply.scope);
		forget(&p);
	}
}

/* Wider or narrower, it is told as it is: who asked compares. */
static void another_scope_than_asked_for_is_told(void **state)
{
	struct parsed p = parse(200, "{\"access_token\":\"at\",\"token_type\":\"Bearer\","
				     "\"scope\":\"repo,gist admin:org\"}");

	(void)state;
	assert_int_equal(p.ret, 0);
	assert_string_equal(p.reply.scope, "repo,gist admin:org");
	forget(&p);
}

static struct parsed parse_long(size_t n)
{
	struct buf body;
	struct parsed p;

	buf_init(&body, 1 << 20);
	buf_add(&body, "{\"token_type\":\"Bearer\",\"access_token\":\"");
	for (size_t i = 0; i < n; i++)
		buf_add(&body, "x");
	buf_add(&body, "\"}");
	p = parse(200, buf_str(&body));
	buf_wipe(&body);
	return p;
}

/* Atlassian's are over 8 KiB. */
static void a_token_may_have_32_kib(void **state)
{
	struct parsed p = parse_long(9000);

	(void)state;
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.reply.access_token.n, 9000);
	forget(&p);
	p = parse_long(TOKEN_MAX_BYTES);
	assert_int_equal(p.ret, 0);
	assert_int_equal(p.reply.access_token.n, TOKEN_MAX_BYTES);
	forget(&p);
	p = parse_long(TOKEN_MAX_BYTES + 1);
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.error.kind, TOKEN_NONSENSE);
	assert_string_equal(p.error.text,
			    "the token endpoint answered 200: access_token is over 32768 bytes");
	forget(&p);
}

static const struct {
	int status;
	const char *body;
	enum token_failure kind;
	const char *code;
	const char *text; /* part of it */
} failures[] = {
	/* RFC 6749 5.2 */
	{400,  "{\"error\":\"invalid_grant\"}",						    TOKEN_TERMINAL,	"invalid_grant",
	  "400 invalid_grant"																				     },
	{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"Token has been revoked.\"}",
	  TOKEN_TERMINAL,											    "invalid_grant",	   "400 invalid_grant: Token has been revoked."	},
	{ 401, "{\"error\":\"invalid_grant\"}",						    TOKEN_TERMINAL,	"invalid_grant",		 "401"					       },
	{ 403, "{\"error\":\"access_denied\"}",						    TOKEN_TERMINAL,	"access_denied",		 "403"					       },
	{ 400, "{\"error\":\"interaction_required\"}",					       TOKEN_TERMINAL,  "interaction_required",
	  "400"																						   },
	{ 401, "{\"error\":\"invalid_client\"}",						   TOKEN_CLIENT,    "invalid_client",	 "401"					       },
	{ 400, "{\"error\":\"invalid_client\"}",						   TOKEN_CLIENT,    "invalid_client",	 "400"					       },
	{ 400, "{\"error\":\"unauthorized_client\"}",					      TOKEN_CLIENT,    "unauthorized_client",	   "400"						 },
	{ 400, "{\"error\":\"unsupported_grant_type\"}",						 TOKEN_CLIENT,    "unsupported_grant_type",
	  "400"																						   },
	{ 400, "{\"error\":\"invalid_scope\"}",						    TOKEN_CLIENT,    "invalid_scope",	       "400"						     },
 /* RFC 8707; Entra refuses `resource` as such */
	{ 400, "{\"error\":\"invalid_target\"}",						   TOKEN_CLIENT,    "invalid_target",	 "400"					       },
	{ 400,
	  "{\"error\":\"invalid_request\",\"error_description\":\"AADSTS901002: The 'resource' "
	  "request parameter is not supported.\"}",						TOKEN_CLIENT,	"invalid_request",	   "400 invalid_request: AADSTS901002: The 'resource'"},
 /* with 200: GitHub, Slack */
	{ 200,
	  "{\"error\":\"bad_verification_code\",\"error_description\":\"The code passed is "
	  "incorrect "
	  "or expired.\",\"error_uri\":\"https://docs.github.example/\"}",			 TOKEN_TERMINAL,  "bad_verification_code",  "200 bad_verification_code: The code passed"	},
	{ 200, "{\"error\":\"bad_refresh_token\"}",						    TOKEN_TERMINAL,  "bad_refresh_token",	 "200"					       },
	{ 200, "{\"error\":\"incorrect_client_credentials\"}",				       TOKEN_CLIENT,
	  "incorrect_client_credentials",												      "200"						},
	{ 200, "{\"ok\":false,\"error\":\"invalid_code\"}",					    TOKEN_TERMINAL,  "invalid_code",	    "200"						  },
	{ 200, "{\"error\":\"invalid_grant\",\"access_token\":\"at\",\"token_type\":\"Bearer\"}",
	  TOKEN_TERMINAL,											    "invalid_grant",	   "200"						 },
	{ 400, "{\"error\":\"temporarily_unavailable\"}",					  TOKEN_TRANSIENT,
	  "temporarily_unavailable",													   "400"					      },
	{ 400, "{\"error\":\"slow_down\"}",							TOKEN_TRANSIENT, "slow_down",		  "400"						},
 /* the status decides */
	{ 500, "{\"error\":\"invalid_grant\"}",						    TOKEN_TRANSIENT, "invalid_grant",	  "500"						},
	{ 503, "",										 TOKEN_TRANSIENT, "",			"answered 503"				       },
	{ 502, "<html>Bad gateway</html>",							 TOKEN_TRANSIENT, "",			"answered 502: no JSON"				},
	{ 429, "{\"error\":\"rate_limited\"}",						     TOKEN_TRANSIENT, "rate_limited",		"429"					      },
	{ 429, "slow down",									TOKEN_TRANSIENT, "",			 "answered 429"					},
	{ 408, "",										 TOKEN_TRANSIENT, "",			"answered 408"				       },
 /* not of a token endpoint: a proxy, a login page, somebody else's API */
	{ 401, "<html>Sign in</html>",							     TOKEN_NONSENSE,  "",			   "answered 401: no JSON"				   },
	{ 401, "{}",									       TOKEN_NONSENSE,  "",			 "answered 401: no error is named"		   },
	{ 403, "Forbidden",									TOKEN_NONSENSE,  "",			"answered 403: no JSON"				},
	{ 404, "",										 TOKEN_NONSENSE,  "",		       "answered 404"				      },
	{ 400, "{\"error\":\"no_such_code\"}",						     TOKEN_NONSENSE,  "no_such_code",	       "400 no_such_code"				  },
	{ 401, "{\"error\":{\"code\":401,\"status\":\"UNAUTHENTICATED\"}}",			    TOKEN_NONSENSE,  "",
	  "401 with an error that is no code"																		     },
	{ 302, "",										 TOKEN_NONSENSE,  "",		       "answered 302: redirects are not followed"	  },
	{ 307, OK_REPLY,									   TOKEN_NONSENSE,	 "",			     "answered 307: redirects are not followed"		},
	{ 201, OK_REPLY,									   TOKEN_NONSENSE,	 "",			     "answered 201: no error is named"		       },
	{ 204, "",										 TOKEN_NONSENSE,  "",		       "answered 204"				      },
	{ 400, OK_REPLY,									   TOKEN_NONSENSE,	 "",			     "answered 400: no error is named"		       },
 /* with 200, and no reply */
	{ 200, "",										 TOKEN_NONSENSE,  "",		       "answered 200: no JSON"			       },
	{ 200, "<!doctype html>",								  TOKEN_NONSENSE,  "",			      "answered 200: no JSON"			      },
	{ 200, "access_token=at&token_type=bearer",						    TOKEN_NONSENSE,  "",			"no JSON"					  },
	{ 200, "[" OK_REPLY "]",								   TOKEN_NONSENSE,	 "",			     "no JSON object"				      },
	{ 200, "\"at\"",									   TOKEN_NONSENSE,	 "",			     "no JSON object"				      },
	{ 200, "null",									     TOKEN_NONSENSE,  "",			   "no JSON object"				    },
	{ 200, OK_REPLY OK_REPLY,								  TOKEN_NONSENSE,  "",			      "no JSON"						},
	{ 200, "{\"access_token\":\"at\"",							 TOKEN_NONSENSE,  "",		       "no JSON"						 },
	{ 200, "{}",									       TOKEN_NONSENSE,  "",			 "no access_token"				   },
	{ 200, "{\"token_type\":\"Bearer\"}",						      TOKEN_NONSENSE,  "",			  "no access_token"				    },
	{ 200, "{\"access_token\":\"\",\"token_type\":\"Bearer\"}",				    TOKEN_NONSENSE,  "",
	  "no access_token"																				       },
	{ 200, "{\"access_token\":null,\"token_type\":\"Bearer\"}",				    TOKEN_NONSENSE,  "",
	  "no access_token"																				       },
	{ 200, "{\"access_token\":1,\"token_type\":\"Bearer\"}",					 TOKEN_NONSENSE,	 "",
	  "access_token is no string"																			     },
	{ 200, "{\"access_token\":{\"v\":\"at\"},\"token_type\":\"Bearer\"}",		      TOKEN_NONSENSE,  "",
	  "access_token is no string"																			     },
	{ 200, "{\"access_token\":\"a\",\"access_token\":\"b\",\"token_type\":\"Bearer\"}",
	  TOKEN_NONSENSE,											    "",			      "no JSON"					  },
	{ 200, "{\"access_token\":\"a\",\"access_toke\\u006e\":\"b\",\"token_type\":\"Bearer\"}",
	  TOKEN_NONSENSE,											    "",			      "no JSON"					  },
	{ 200, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}",			       TOKEN_NONSENSE,  "",
	  "may not have"																					  },
	{ 200, "{\"access_token\":\"a\\r\\nX-Evil: 1\",\"token_type\":\"Bearer\"}",		    TOKEN_NONSENSE,
	  "",																  "may not have"				     },
	{ 200, "{\"access_token\":\"a\\u0000b\",\"token_type\":\"Bearer\"}",			     TOKEN_NONSENSE,  "",
	  "may not have"																					  },
	{ 200, "{\"access_token\":\"\\u00e4\",\"token_type\":\"Bearer\"}",			   TOKEN_NONSENSE,  "",
	  "may not have"																					  },
	{ 200, "{\"Access_Token\":\"at\",\"token_type\":\"Bearer\"}",			      TOKEN_NONSENSE,  "",
	  "no access_token"																				       },
	{ 200, "{\"access_token\":\"at\"}",							TOKEN_NONSENSE,  "",			"token_type is not Bearer"			   },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"mac\"}",				   TOKEN_NONSENSE,  "",
	  "token_type is not Bearer"																			      },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"DPoP\"}",				    TOKEN_NONSENSE,  "",
	  "token_type is not Bearer"																			      },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"N_A\"}",				   TOKEN_NONSENSE,  "",
	  "token_type is not Bearer"																			      },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"Bearer \"}",			       TOKEN_NONSENSE,  "",
	  "token_type is not Bearer"																			      },
	{ 200, "{\"access_token\":\"at\",\"token_type\":[\"Bearer\"]}",				TOKEN_NONSENSE,	"",
	  "token_type is no string"																			       },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"refresh_token\":1}",
	  TOKEN_NONSENSE,											    "",			      "refresh_token is no string"			   },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"refresh_token\":\"a b\"}",
	  TOKEN_NONSENSE,											    "",			      "refresh_token has a character"		      },
	{ 200, "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"id_token\":{}}",
	  TOKEN_NONSENSE,											    "",			      "id_token is no string"			      },
 /* what we sent is not shown */
	{ 400, "{\"error\":\"invalid_grant\",\"error_description\":\"s3cret-s3cret is unknown\"}",
	  TOKEN_TERMINAL,											    "invalid_grant",	   "400 invalid_grant"				       },
	{ 400, "{\"error\":\"s3cret-s3cret\"}",						    TOKEN_NONSENSE,	"",
	  "400 with an error that is no code"																		     },
};

static void a_failure_has_its_kind_its_code_and_its_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(failures); i++) {
		struct parsed p = parse(failures[i].status, failures[i].body);

		if (p.ret == 0 || p.error.kind != failures[i].kind ||
		    strcmp(p.error.code, failures[i].code) != 0 ||
		    strstr(p.error.text, failures[i].text) == NULL ||
		    p.error.http_status != failures[i].status)
			fail_msg("%d %s: ret %d, kind %d, code %s, %s", failures[i].status,
				 failures[i].body, p.ret, p.error.kind, p.error.code, p.error.text);
		assert_null(strstr(p.error.text, "s3cret"));
		assert_null(p.reply.access_token.reveal);
		assert_null(p.reply.refresh_token.reveal);
		forget(&p);
	}
}

static void a_bomb_is_refused(void **state)
{
	char body[4096];
	struct parsed p;

	(void)state;
	memset(body, '[', sizeof(body) - 1);
	body[sizeof(body) - 1] = '\0';
	memcpy(body, "{\"x\":", 5);
	p = parse(200, body);
	assert_int_equal(p.ret, -1);
	assert_int_equal(p.error.kind, TOKEN_NONSENSE);
	forget(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_reply_is_read_whole),
		cmocka_unit_test(what_is_not_said_is_absent),
		cmocka_unit_test(a_lifetime_that_makes_no_sense_is_not_said),
		cmocka_unit_test(a_scope_that_makes_no_sense_is_not_said),
		cmocka_unit_test(another_scope_than_asked_for_is_told),
		cmocka_unit_test(a_token_may_have_32_kib),
		cmocka_unit_test(a_failure_has_its_kind_its_code_and_its_text),
		cmocka_unit_test(a_bomb_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
