/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

static void a_resource_covers_what_lies_below_it(void **state)
{
	static const struct {
		const char *resource;
		const char *url;
		bool covers;
	} table[] = {
		{"https://h/mcp",		   "https://h/mcp",   true },
		{ "https://h",		       "https://h/mcp",	true },
		{ "https://h/",			"https://h/mcp",	 true },
		{ "https://H:443/mcp",	       "https://h/mcp",	true },
		{ "https://h/mcp/",		    "https://h/mcp",   true },
		{ "https://h/mcp",		   "https://h/mcp/",  true },
		{ "https://h/a",		 "https://h/a/b/c", true },
		{ "https://h/a",		 "https://h/a?x=1", true },
		{ "https://h/a?x=1",	     "https://h/a?x=1", true },
		{ "https://h/a?x=2",	     "https://h/a?x=1", false},
		{ "https://h/a?x=1",	     "https://h/a/b",   false},
		{ "https://h/a/b",		   "https://h/a",	  false},
		{ "https://h/mc",		  "https://h/mcp",   false},
		{ "https://h/MCP",		   "https://h/mcp",   false},
		{ "https://h/x/../mcp",		"https://h/mcp",	 true },
		{ "https://h/mcp/..",	      "https://h/other", true }, /* it is https://h/ */
		{ "https://h/%6dcp",	     "https://h/mcp",   false},
		{ "http://h/mcp",		  "https://h/mcp",   false},
		{ "https://h:8443/mcp",		"https://h/mcp",	 false},
		{ "https://g/mcp",		   "https://h/mcp",   false},
		{ "https://h.evil.example/mcp", "https://h/mcp",	 false},
		{ "https://user@h/mcp",		"https://h/mcp",	 false},
		{ "https://h/mcp#x",	     "https://h/mcp",   false},
		{ "urn:mcp",		     "https://h/mcp",   false},
		{ "",			   "https://h/mcp",   false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++) {
		if (metadata_covers(table[i].resource, table[i].url) != table[i].covers)
			fail_msg("%s and %s", table[i].resource, table[i].url);
	}
}

static void loopback_is_an_address_or_the_name_localhost(void **state)
{
	static const char *const yes[] = { "127.0.0.1", "127.1.2.3", "::1", "localhost" };
	static const char *const no[] = {
		"128.0.0.1", "::2", "localhost.evil.example", "127.0.0.1.evil.example", "h", ""
	};

	(void)state;
	for (size_t i = 0; i < COUNT(yes); i++)
		assert_true(metadata_is_loopback(yes[i]));
	for (size_t i = 0; i < COUNT(no); i++)
		assert_false(metadata_is_loopback(no[i]));
}

static void urls_are_https_unless_loopback_is_allowed(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(metadata_check_url("x", "https://h/a?b", false, &err), 0);
	assert_int_equal(metadata_check_url("x", "http://127.0.0.1:1/", true, &err), 0);
	assert_int_equal(metadata_check_url("x", "http://localhost/", true, &err), 0);
	assert_int_equal(metadata_check_url("x", "http://127.0.0.1:1/", false, &err), -1);
	assert_string_equal(err.text, "x: URL must begin with https://");
	assert_int_equal(metadata_check_url("x", "http://h/", true, &err), -1);
	assert_int_equal(err.code, ERR_UPSTREAM);
	assert_int_equal(metadata_check_issuer("https://h/a", false, &err), 0);
	assert_int_equal(metadata_check_issuer("https://h/a?b", false, &err), -1);
	assert_string_equal(err.text, "issuer: URL must not have a query");
}

#define RESOURCE_URL "https://h/mcp"

static int parse_resource(struct arena *arena, const char *text, struct resource_metadata *out,
			  struct err *err)
{
	const struct metadata_input input = { .text = span_of(text), .of = RESOURCE_URL };

	return metadata_parse_resource(&input, arena, out, err);
}

static void a_resource_document_is_read(void **state)
{
	struct resource_metadata got;
	struct err err;

	if (parse_resource(
		    *state,
		    "{\"resource\":\"https://h/mcp\",\"authorization_servers\":"
		    "[\"https://as/\",\"https://as/t\"],\"scopes_supported\":[\"a\",\"b:c\"],"
		    "\"unknown\":{\"x\":1e400},\"resource_name\":\"\\u00e4\"}",
		    &got, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got.resource, "https://h/mcp");
	assert_int_equal(got.authorization_servers.n, 2);
	assert_string_equal(got.authorization_servers.items[0], "https://as/");
	assert_string_equal(got.scope, "a b:c");
	assert_int_equal(parse_resource(*state, "{\"resource\":\"https://h\"}", &got, &err), 0);
	assert_string_equal(got.resource, "https://h");
	assert_null(got.scope);
	assert_int_equal(got.authorization_servers.n, 0);
}

static void hostile_resource_documents_are_refused(void **state)
{
	static const struct {
		const char *text;
		const char *why;
	} table[] = {
		{"",									       "no JSON"			},
		{ "[]",									    "no JSON object"		 },
		{ "{}",									    "no resource is named"	       },
		{ "{\"resource\":null}",							   "no resource is named"		},
		{ "{\"resource\":[\"https://h/mcp\"]}",						"resource is no string"		},
		{ "{\"resource\":\"https://evil.example/mcp\"}",					 "not the one that was asked for"},
		{ "{\"resource\":\"https://h/mcp/below\"}",					    "not the one that was asked for"},
		{ "{\"resource\":\"http://h/mcp\"}",						     "not the one that was asked for"},
		{ "{\"resource\":\"https://h/mcp\",\"resource\":\"https://h/mcp\"}",		     "no JSON"		       },
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":\"https://as\"}",
		  "authorization_servers is no list"										},
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[1]}",		    "no string"			},
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"http://as\"]}",
		  "must begin with https://"											},
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"file:///x\"]}",
		  "authorization_servers: issuer: "										 },
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"https://as?x\"]}",
		  "must not have a query"											   },
		{ "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"https://u@as\"]}",
		  "issuer: "													},
		{ "{\"resource\":\"https://h/mcp\",\"scopes_supported\":[\"a b\"]}",
		  "is no scope"												     },
		{ "{\"resource\":\"https://h/mcp\",\"scopes_supported\":[\"\"]}",		  "is no scope"			},
		{ "{\"resource\":\"https://h/mcp\",\"scopes_supported\":[\"a\\\"\"]}",
		  "is no scope"												     },
		{ "{\"resource\":\"https://h/mcp\",\"scopes_supported\":[\"\\u0000\"]}",
		  "may not have"												    },
		{ "{\"resource\":\"https://h/mcp\",\"scopes_supported\":{}}",		      "no list"			},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		struct resource_metadata got;
		struct err err = { 0 };

		if (parse_resource(*state, table[i].text, &got, &err) == 0)
			fail_msg("%s was taken", table[i].text);
		assert_int_equal(err.code, ERR_UPSTREAM);
		if (strstr(err.text, table[i].why) == NULL ||
		    strncmp(err.text, "protected resource metadata: ", 29) != 0)
			fail_msg("%s: %s", table[i].text, err.text);
	}
}

#define ENDPOINTS                                                                                  \
	"\"authorization_endpoint\":\"https://as/a?t=1\",\"token_endpoint\":\"https://as/t\""
#define PKCE "\"code_challenge_methods_supported\":[\"plain\",\"S256\"]"

static int parse_server(struct arena *arena, const char *text, const struct metadata_input *more,
			struct oauth_server *out, struct err *err)
{
	struct metadata_input input = *more;

	input.text = span_of(text);
	if (input.of == NULL)
		input.of = "https://as";
	return metadata_parse_server(&input, arena, out, err);
}

static const struct metadata_input plain = { 0 };

static void a_server_document_is_read(void **state)
{
	struct oauth_server got;
	struct err err;

	if (parse_server(
		    *state,
		    "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
		    ",\"registration_endpoint\":\"https://as/r\",\"revocation_endpoint\":"
		    "\"https://as/v\",\"userinfo_endpoint\":\"https://as/u\",\"jwks_uri\":"
		    "\"https://other/j\",\"scopes_supported\":[\"openid\",\"offline_access\"],"
		    "\"token_endpoint_auth_methods_supported\":[\"none\",\"client_secret_post\","
		    "\"client_secret_basic\",\"private_key_jwt\",\"tls_client_auth\"],"
		    "\"response_types_supported\":[\"code\",\"id_token\"],"
		    "\"authorization_response_iss_parameter_supported\":true,"
		    "\"client_id_metadata_document_supported\":true,\"op_policy_uri\":12}",
		    &plain, &got, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(got.issuer, "https://as");
	assert_string_equal(got.authorization_url, "https://as/a?t=1");
	assert_string_equal(got.token_url, "https://as/t");
	assert_string_equal(got.registration_url, "https://as/r");
	assert_string_equal(got.revocation_url, "https://as/v");
	assert_string_equal(got.userinfo_url, "https://as/u");
	assert_string_equal(got.jwks_url, "https://other/j");
	assert_true(got.iss_supported && got.client_id_metadata && got.offline_access);
	assert_int_equal(got.auth_methods,
			 OAUTH_AUTH_BIT(OAUTH_AUTH_NONE) | OAUTH_AUTH_BIT(OAUTH_AUTH_BASIC) |
				 OAUTH_AUTH_BIT(OAUTH_AUTH_POST) |
				 OAUTH_AUTH_BIT(OAUTH_AUTH_PRIVATE_KEY_JWT) | OAUTH_AUTH_OTHER);
}

static void what_a_server_does_not_say_it_does_not_offer(void **state)
{
	struct oauth_server got;
	struct err err;

	assert_int_equal(
		parse_server(*state,
			     "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
			     ",\"registration_endpoint\":null,\"revocation_endpoint\":\"\","
			     "\"authorization_response_iss_parameter_supported\":\"true\"}",
			     &plain, &got, &err),
		0);
	assert_null(got.registration_url);
	assert_null(got.revocation_url);
	assert_null(got.userinfo_url);
	assert_null(got.jwks_url);
	assert_false(got.iss_supported || got.client_id_metadata || got.offline_access);
	assert_int_equal(got.auth_methods, 0);
}

static void client_credentials_need_neither_pkce_nor_an_authorization_endpoint(void **state)
{
	const struct metadata_input input = { .grant = OAUTH_GRANT_CLIENT_CREDENTIALS };
	struct oauth_server got;
	struct err err;

	assert_int_equal(
		parse_server(*state,
			     "{\"issuer\":\"https://as\",\"token_endpoint\":\"https://as/t\","
			     "\"response_types_supported\":[]}",
			     &input, &got, &err),
		0);
	assert_null(got.authorization_url);
	assert_string_equal(got.token_url, "https://as/t");
}

static void an_issuer_is_compared_byte_for_byte(void **state)
{
	static const struct {
		const char *of;
		const char *issuer;
		bool any_slash;
		bool same;
	} table[] = {
		{"https://as/",	 "https://as/",		false, true }, /* as the SDK's server spells it */
		{ "https://as/t", "https://as/t",		  false, true },
		{ "https://as",	"https://as/",	       false, false},
		{ "https://as/",	 "https://as",	       false, false},
		{ "https://as",	"https://as/",	       true,  true },
		{ "https://as",	"https://as",	      true,  true },
		{ "https://as",	"https://as//",		true,  false},
		{ "https://as",	"https://as/t",		true,  false},
		{ "https://as",	"https://as.evil.example", true,	 false},
		{ "https://as",	"https://AS",	      false, false},
		{ "https://as",	"https://as:443",	  false, false},
		{ "https://as",	"https://evil.example",	false, false},
		{ "https://as/t", "https://as",		false, false},
		{ "https://as/t", "https://as/%74",	    false, false},
	};

	for (size_t i = 0; i < COUNT(table); i++) {
		const struct metadata_input input = { .of = table[i].of,
						      .any_slash = table[i].any_slash };
		struct oauth_server got;
		struct err err = { 0 };
		char text[512];
		int ret;

		snprintf(text, sizeof(text), "{\"issuer\":\"%s\"," ENDPOINTS "," PKCE "}",
			 table[i].issuer);
		ret = parse_server(*state, text, &input, &got, &err);
		if ((ret == 0) != table[i].same)
			fail_msg("%s and %s: %s", table[i].of, table[i].issuer, err.text);
		if (ret < 0)
			assert_string_equal(err.text, "authorization server metadata: issuer is "
						      "not the one that was asked for");
	}
}

static const struct {
	const char *text;
	const char *why;
} hostile_servers[] = {
	{"<html>",										   "no JSON"					     },
	{ "{" ENDPOINTS "," PKCE "}",								"no issuer is named"				   },
	{ "{\"issuer\":[\"https://as\"]," ENDPOINTS "," PKCE "}",					  "issuer is no string"					},
	{ "{\"issuer\":\"https://as\\u0000\"," ENDPOINTS "," PKCE "}",			       "may not have"					      },
	{ "{\"issuer\":\"https://as\",\"issuer\":\"https://as\"," ENDPOINTS "," PKCE "}",
	  "no JSON"																	 },
	{ "{\"issuer\":\"https://as\",\"iss\\u0075er\":\"https://x\"," ENDPOINTS "," PKCE "}",
	  "no JSON"																	 },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"token_endpoint\":\"https://as/t\"}",
	  "no authorization_endpoint is named"													      },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":\"https://as/a\"}",
	  "no token_endpoint is named"														      },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"javascript:alert(1)\",\"token_endpoint\":\"https://as/t\"}",		   "authorization_endpoint: URL"				},
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"data:text/html,x\",\"token_endpoint\":\"https://as/t\"}",		      "authorization_endpoint: URL"				},
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"http://as/a\",\"token_endpoint\":\"https://as/t\"}",			   "authorization_endpoint: URL must begin with https://"},
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"https://as/a#x\",\"token_endpoint\":\"https://as/t\"}",			"must not have a fragment"			     },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"https://a/\",\"token_endpoint\":\"http://127.0.0.1/t\"}",		      "token_endpoint: URL must begin with https://"	 },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"https://a/\",\"token_endpoint\":\"https://u:p@as/t\"}",			"token_endpoint: URL must have a plain host"	       },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"https://a/\",\"token_endpoint\":\"/t\"}",				      "token_endpoint: URL must look like"		       },
	{ "{\"issuer\":\"https://as\"," PKCE ",\"authorization_endpoint\":"
	  "\"https://a/\",\"token_endpoint\":[\"https://as/t\"]}",			  "token_endpoint is no string"				},
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
	  ",\"registration_endpoint\":\"ftp://as/r\"}",				     "registration_endpoint: URL"			       },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
	  ",\"revocation_endpoint\":\"http://as/r\"}",				      "revocation_endpoint: URL must begin with https://"   },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE ",\"jwks_uri\":\"file:///k\"}",
	  "jwks_uri: URL"																   },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "}",					       "does not name S256"				    },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS ",\"code_challenge_methods_supported\":[]}",
	  "does not name S256"															      },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS
	  ",\"code_challenge_methods_supported\":[\"plain\"]}",			     "does not name S256"				  },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS
	  ",\"code_challenge_methods_supported\":[\"s256\"]}",			      "does not name S256"				  },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS ",\"code_challenge_methods_supported\":\"S256\"}",
	  "is no list"																      },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
	  ",\"response_types_supported\":[\"token\"]}",				     "does not name code"				  },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
	  ",\"require_pushed_authorization_requests\":true}",			       "RFC 9126"					    },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE
	  ",\"token_endpoint_auth_methods_supported\":[null]}",			     "no string"					   },
	{ "{\"issuer\":\"https://as\"," ENDPOINTS "," PKCE ",\"scopes_supported\":[\"a b\"]}",
	  "is no scope"																     },
};

static void hostile_server_documents_are_refused(void **state)
{
	for (size_t i = 0; i < COUNT(hostile_servers); i++) {
		struct oauth_server got;
		struct err err = { 0 };

		if (parse_server(*state, hostile_servers[i].text, &plain, &got, &err) == 0)
			fail_msg("%s was taken", hostile_servers[i].text);
		assert_int_equal(err.code, ERR_UPSTREAM);
		if (strstr(err.text, hostile_servers[i].why) == NULL ||
		    strncmp(err.text, "authorization server metadata: ", 31) != 0)
			fail_msg("%s: %s", hostile_servers[i].text, err.text);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_resource_covers_what_lies_below_it),
		TEST(loopback_is_an_address_or_the_name_localhost),
		TEST(urls_are_https_unless_loopback_is_allowed),
		TEST(a_resource_document_is_read),
		TEST(hostile_resource_documents_are_refused),
		TEST(a_server_document_is_read),
		TEST(what_a_server_does_not_say_it_does_not_offer),
		TEST(client_credentials_need_neither_pkce_nor_an_authorization_endpoint),
		TEST(an_issuer_is_compared_byte_for_byte),
		TEST(hostile_server_documents_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
