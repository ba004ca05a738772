/* SPDX-License-Identifier: Apache-2.0 */

/* Discovery against servers that mean no good: where it stops, and what it has asked by then. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/oauth/discovery_fixture.h"

#define MAX_STEPS 6

#define ASKED_PRM  "GET /prm\n"
#define ASKED_AS   "GET /.well-known/oauth-authorization-server\n"
#define ASKED_PATH "GET /.well-known/oauth-protected-resource/mcp\n"
#define ASKED_ROOT "GET /.well-known/oauth-protected-resource\n"

#define OK_PRM PRM("$O/mcp", "$O")
/* Endpoints that nobody may touch. */
#define POISONED(issuer) AS(issuer, "$O/poison", "")
#define BODY(text)                                                                                 \
	{                                                                                          \
		200, NULL, text                                                                    \
	}

struct hostile {
	const char *name;
	struct as_answer answers[MAX_STEPS];
	struct way way;
	enum err_code code;
	const char *text; /* part of the error */
	const char *asked;
};

#define NAMED                                                                                      \
	{                                                                                          \
		.challenge = "Bearer resource_metadata=\"$O/prm\""                                 \
	}
#define UNNAMED                                                                                    \
	{                                                                                          \
		.challenge = "Bearer"                                                              \
	}

static const struct hostile resources[] = {
	{"another resource",
	  { PRM("https://victim.example/mcp", "$O") },
	  NAMED,									  ERR_UPSTREAM,
	  "resource is not the one that was asked for",														    ASKED_PRM },
	{ "a resource below",
	  { PRM("$O/mcp/admin", "$O") },
	  NAMED,									  ERR_UPSTREAM,
	  "resource is not the one that was asked for",														    ASKED_PRM },
	{ "a resource whose name begins alike",
	  { PRM("$O/mc", "$O") },
	  NAMED,									  ERR_UPSTREAM,
	  "resource is not the one that was asked for",														    ASKED_PRM },
	{ "another scheme",
	  { PRM("https://127.0.0.1/mcp", "$O") },
	  NAMED,									  ERR_UPSTREAM,
	  "resource is not the one that was asked for",														    ASKED_PRM },
	{ "no resource",
	  { BODY("{\"authorization_servers\":[\"$O\"]}") },
	  NAMED,									  ERR_UPSTREAM,
	  "no resource is named",																	  ASKED_PRM },
	{ "no server",
	  { BODY("{\"resource\":\"$O/mcp\"}") },
	  NAMED,									  ERR_UPSTREAM,
	  "no authorization server is named",															      ASKED_PRM },
	{ "an empty list of servers",
	  { BODY("{\"resource\":\"$O/mcp\",\"authorization_servers\":[]}") },
	  NAMED,									  ERR_UPSTREAM,
	  "no authorization server is named",															      ASKED_PRM },
	{ "a server in plain http",
	  { PRM("$O/mcp", "http://as.example") },
	  NAMED,									  ERR_UPSTREAM,
	  "URL must begin with https://",																  ASKED_PRM },
	{ "a server that is a file",
	  { PRM("$O/mcp", "file:///etc/passwd") },
	  NAMED,									  ERR_UPSTREAM,
	  "authorization_servers: issuer: URL",															    ASKED_PRM },
	{ "a server that is a script",
	  { PRM("$O/mcp", "javascript:alert(1)") },
	  NAMED,									  ERR_UPSTREAM,
	  "authorization_servers: issuer: URL",															    ASKED_PRM },
	{ "a server with a user name",
	  { PRM("$O/mcp", "https://as.example@evil.example") },
	  NAMED,									  ERR_UPSTREAM,
	  "authorization_servers: issuer: URL",															    ASKED_PRM },
	{ "a server with a query",
	  { PRM("$O/mcp", "$O/?x=") },
	  NAMED,									  ERR_UPSTREAM,
	  "URL must not have a query",																     ASKED_PRM },
	{ "a server with a fragment",
	  { PRM("$O/mcp", "$O/#") },
	  NAMED,									  ERR_UPSTREAM,
	  "must not have a fragment",																      ASKED_PRM },
	{ "a second server that is bad",
	  { BODY("{\"resource\":\"$O/mcp\",\"authorization_servers\":[\"$O\",\"ftp://x\"]}") },
	  NAMED,									  ERR_UPSTREAM,
	  "authorization_servers: issuer: URL",															    ASKED_PRM },
	{ "a server in a private network",
	  { PRM("$O/mcp", "https://10.0.0.1") },
	  NAMED,									  ERR_FORBIDDEN,
	  "authorization server metadata: ",															       ASKED_PRM },
	{ "the metadata service of a cloud",
	  { PRM("$O/mcp", "https://169.254.169.254") },
	  NAMED,									  ERR_FORBIDDEN,
	  "authorization server metadata: ",															       ASKED_PRM },
	{ "the same, as one number",
	  { PRM("$O/mcp", "https://2852039166") },
	  NAMED,									  ERR_FORBIDDEN,
	  "authorization server metadata: ",															       ASKED_PRM },
	{ "the same, mapped",
	  { PRM("$O/mcp", "https://[::ffff:169.254.169.254]") },
	  NAMED,									  ERR_FORBIDDEN,
	  "authorization server metadata: ",															       ASKED_PRM },
	{ "a name twice",
	  { BODY("{\"resource\":\"$O/mcp\",\"resource\":\"$O/mcp\","
		 "\"authorization_servers\":[\"$O\"]}") },
	  NAMED,									  ERR_UPSTREAM,
	  "no JSON",																		       ASKED_PRM },
	{ "a page at a named place",
	  { { 200, AS_HTML, "<html>" } },
	  NAMED,									  ERR_UPSTREAM,
	  "protected resource metadata: no JSON object",														   ASKED_PRM },
	{ "an empty document",
	  { { 200, NULL, "" } },
	  NAMED,									  ERR_UPSTREAM,
	  "protected resource metadata: no JSON object",														   ASKED_PRM },
	{ "nothing at a named place",
	  { NOT_FOUND },
	  NAMED,									  ERR_UPSTREAM,
	  "protected resource metadata: answered 404",														     ASKED_PRM },
	{ "a redirect at a named place",
	  { { 302, "Location: $O/other\r\n", "" }, OK_PRM },
	  NAMED,									  ERR_UPSTREAM,
	  "protected resource metadata: answered 302",														     ASKED_PRM },
	{ "half an object at a guessed place",
	  { BODY("{\"resource\":") },
	  UNNAMED,									ERR_UPSTREAM,
	  "protected resource metadata: no JSON",															  ASKED_PATH},
	{ "another resource at a guessed place",
	  { PRM("https://victim.example/mcp", "$O"), OK_PRM },
	  UNNAMED,									ERR_UPSTREAM,
	  "resource is not the one that was asked for",														    ASKED_PATH},
	{ "a busy server at a guessed place",
	  { { 503, AS_HTML, "" } },
	  UNNAMED,									ERR_UPSTREAM,
	  "protected resource metadata: answered 503",														     ASKED_PATH},
	{ "too many requests at a guessed place",
	  { { 429, AS_HTML, "" } },
	  UNNAMED,									ERR_UPSTREAM,
	  "protected resource metadata: answered 429",														     ASKED_PATH},
	{ "no answer at a guessed place",
	  { { 0, NULL, NULL } },
	  UNNAMED,									ERR_UPSTREAM,
	  "protected resource metadata: ",																 ASKED_PATH},
	{ "a name that is a file",
	  { OK_PRM },
	  { .challenge = "Bearer resource_metadata=\"file:///etc/passwd\"" },
	  ERR_UPSTREAM,										  "resource_metadata: URL",
	  ""																					 },
	{ "a name in plain http",
	  { OK_PRM },
	  { .challenge = "Bearer resource_metadata=\"http://evil.example/prm\"" },
	  ERR_UPSTREAM,										  "resource_metadata: URL must begin with https://",
	  ""																					 },
	{ "a name in a private network",
	  { OK_PRM },
	  { .challenge = "Bearer resource_metadata=\"https://192.168.0.1/prm\"" },
	  ERR_FORBIDDEN,										 "protected resource metadata: ",
	  ""																					 },
	{ "a name at the metadata service of a cloud",
	  { OK_PRM },
	  { .challenge = "Bearer resource_metadata=\"https://169.254.169.254/latest\"" },
	  ERR_FORBIDDEN,										 "protected resource metadata: ",
	  ""																					 },
	{ "a name that is none",
	  { OK_PRM },
	  { .challenge = "Bearer resource_metadata=\"/prm\"" },
	  ERR_UPSTREAM,										  "resource_metadata: URL",
	  ""																					 },
	{ "a loopback server where https is asked for",
	  { PRM("$O/mcp", "$O") },
	  { .challenge = "Bearer", .https_only = true },
	  ERR_UPSTREAM,										  "URL must begin with https://",
	  ASKED_PATH																				 },
	{ "no document where https is asked for",
	  { NOT_FOUND, NOT_FOUND },
	  { .challenge = "Bearer", .https_only = true },
	  ERR_UPSTREAM,										  "issuer: URL must begin with https://",
	  ASKED_PATH ASKED_ROOT																		      },
	{ "a resource that is no URL",
	  { OK_PRM },
	  { .resource = "mcp", .challenge = "Bearer" },
	  ERR_BAD_REQUEST,									       "URL must look like",
	  ""																					 },
	{ "a resource in a private network",
	  { OK_PRM },
	  { .resource = "https://10.0.0.1/mcp" },
	  ERR_FORBIDDEN,										 "resource: ",
	  ""																					 },
	{ "a resource that does not answer",
	  { { 0, NULL, NULL } },
	  { .challenge = NULL },
	  ERR_UPSTREAM,										  "resource: ",
	  "GET /mcp\n"																			       },
	{ "another server than the pinned one",
	  { PRM("$O/mcp", "$O/evil") },
	  { .challenge = "Bearer resource_metadata=\"$O/prm\"", .issuer = "$O/good" },
	  ERR_UPSTREAM,										  "names other authorization servers than the connection's issuer",
	  ASKED_PRM																				  },
	{ "the pinned server with a slash more",
	  { PRM("$O/mcp", "$O/good/") },
	  { .challenge = "Bearer resource_metadata=\"$O/prm\"", .issuer = "$O/good" },
	  ERR_UPSTREAM,										  "names other authorization servers than the connection's issuer",
	  ASKED_PRM																				  },
	{ "a pinned issuer that is none",
	  { OK_PRM },
	  { .challenge = "Bearer", .issuer = "http://as.example" },
	  ERR_BAD_REQUEST,									       "issuer: URL must begin with https://",
	  ""																					 },
};

static const struct hostile servers[] = {
	{"another issuer",
	  { OK_PRM, POISONED("https://victim.example") },
	  NAMED,				     ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PRM ASKED_AS					  },
	{ "an issuer with a slash more",
	  { OK_PRM, POISONED("$O/") },
	  NAMED,				     ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PRM ASKED_AS					  },
	{ "an issuer with a slash less",
	  { PRM("$O/mcp", "$O/"), POISONED("$O") },
	  NAMED,				     ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PRM ASKED_AS					  },
	{ "the root's document for a path",
	  { PRM("$O/mcp", "$O/t1"), POISONED("$O") },
	  NAMED,				     ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PRM "GET /.well-known/oauth-authorization-server/t1\n"},
	{ "another issuer at an origin that was assumed",
	  { NOT_FOUND, NOT_FOUND, POISONED("https://victim.example") },
	  UNNAMED,				   ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PATH ASKED_ROOT ASKED_AS				 },
	{ "a path at an origin that was assumed",
	  { NOT_FOUND, NOT_FOUND, POISONED("$O/mcp") },
	  UNNAMED,				   ERR_UPSTREAM,
	  "issuer is not the one that was asked for",								ASKED_PATH ASKED_ROOT ASKED_AS				 },
	{ "no issuer",
	  { OK_PRM, BODY("{\"token_endpoint\":\"$O/poison\"}") },
	  NAMED,				     ERR_UPSTREAM,
	  "no issuer is named",										      ASKED_PRM ASKED_AS					  },
	{ "the issuer twice",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",\"issuer\":\"$O\"}") },
	  NAMED,				     ERR_UPSTREAM,
	  "no JSON",												 ASKED_PRM ASKED_AS					  },
	{ "no PKCE",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",\"authorization_endpoint\":\"$O/a\","
			 "\"token_endpoint\":\"$O/t\"}") },
	  NAMED,				     ERR_UPSTREAM,
	  "does not name S256",										      ASKED_PRM ASKED_AS					  },
	{ "PKCE in plain only",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",\"authorization_endpoint\":\"$O/a\","
			 "\"token_endpoint\":\"$O/t\","
			 "\"code_challenge_methods_supported\":[\"plain\"]}") },
	  NAMED,				     ERR_UPSTREAM,
	  "does not name S256",										      ASKED_PRM ASKED_AS					  },
	{ "a script for the browser",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",\"authorization_endpoint\":\"javascript:alert(1)\","
			 "\"token_endpoint\":\"$O/t\","
			 "\"code_challenge_methods_supported\":[\"S256\"]}") },
	  NAMED,				     ERR_UPSTREAM,
	  "authorization_endpoint: URL",									     ASKED_PRM ASKED_AS					  },
	{ "a token endpoint in plain http",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",\"authorization_endpoint\":\"$O/a\","
			 "\"token_endpoint\":\"http://evil.example/t\","
			 "\"code_challenge_methods_supported\":[\"S256\"]}") },
	  NAMED,				     ERR_UPSTREAM,
	  "token_endpoint: URL must begin with https://",							    ASKED_PRM ASKED_AS					  },
	{ "a registration endpoint that is a file",
	  { OK_PRM, AS("$O", "$O", ",\"registration_endpoint\":\"file:///x\"") },
	  NAMED,				     ERR_UPSTREAM,
	  "registration_endpoint: URL",									      ASKED_PRM ASKED_AS					  },
	{ "requests that must be pushed",
	  { OK_PRM, AS("$O", "$O", ",\"require_pushed_authorization_requests\":true") },
	  NAMED,				     ERR_UPSTREAM,
	  "RFC 9126",												ASKED_PRM ASKED_AS					  },
	{ "no code",
	  { OK_PRM, AS("$O", "$O", ",\"response_types_supported\":[\"token\"]") },
	  NAMED,				     ERR_UPSTREAM,
	  "does not name code",										      ASKED_PRM ASKED_AS					  },
	{ "half an object",
	  { OK_PRM, BODY("{\"issuer\":\"$O\",") },
	  NAMED,				     ERR_UPSTREAM,
	  "authorization server metadata: no JSON",								  ASKED_PRM ASKED_AS					  },
	{ "a busy server",
	  { OK_PRM, { 500, AS_HTML, "" } },
	  NAMED,				     ERR_UPSTREAM,
	  "authorization server metadata: answered 500",							     ASKED_PRM ASKED_AS					  },
	{ "no answer",
	  { OK_PRM, { 0, NULL, NULL } },
	  NAMED,				     ERR_UPSTREAM,
	  "authorization server metadata: ",									 ASKED_PRM ASKED_AS					  },
 /* The fixed places are only for servers that have no document of the resource either. */
	{ "a named server without a document",
	  { OK_PRM, NOT_FOUND, NOT_FOUND },
	  NAMED,				     ERR_UPSTREAM,
	  "the authorization server publishes no metadata",							  ASKED_PRM ASKED_AS "GET /.well-known/openid-configuration\n"},
	{ "a pinned server without a document",
	  { NOT_FOUND, NOT_FOUND, NOT_FOUND, NOT_FOUND },
	  { .challenge = "Bearer", .issuer = "$O" },
	  ERR_UPSTREAM,					    "the authorization server publishes no metadata",
	  ASKED_PATH ASKED_ROOT ASKED_AS "GET /.well-known/openid-configuration\n"											       },
	{ "a redirect to a document",
	  { OK_PRM, { 301, "Location: $O/elsewhere\r\n", "" }, { 308, "Location: /x\r\n", "" } },
	  NAMED,				     ERR_UPSTREAM,
	  "the authorization server publishes no metadata",							  ASKED_PRM ASKED_AS "GET /.well-known/openid-configuration\n"},
};

static void check(struct as_world *as, const struct hostile *c)
{
	size_t n = MAX_STEPS;
	struct seen seen;

	while (n > 0 && c->answers[n - 1].status == 0 && c->answers[n - 1].headers == NULL)
		n--;
	seen = discover(as, c->answers, n, &c->way);
	if (seen.server != NULL)
		fail_msg("%s: a server was found", c->name);
	if (seen.err.code != c->code || strstr(seen.err.text, c->text) == NULL)
		fail_msg("%s: %s, %s", c->name, err_name(seen.err.code), seen.err.text);
	if (strcmp(as_asked(as), c->asked) != 0)
		fail_msg("%s: asked %s", c->name, as_asked(as));
	forget(&seen);
}

static void a_document_of_a_resource_that_lies_ends_the_search(void **state)
{
	for (size_t i = 0; i < COUNT(resources); i++)
		check(*state, &resources[i]);
}

static void a_document_of_a_server_that_lies_ends_the_search(void **state)
{
	for (size_t i = 0; i < COUNT(servers); i++)
		check(*state, &servers[i]);
}

static void assert_flood(struct as_world *as, const struct peer_step *steps, const struct way *way,
			 size_t requests)
{
	struct seen seen;

	as_play_steps(as, steps);
	seen = search(as, way, 10000);
	assert_null(seen.server);
	assert_int_equal(seen.err.code, ERR_TOO_LARGE);
	assert_int_equal(peer_requests(as->world->peer), requests);
	assert_true(peer_bytes_sent(as->world->peer) < 10000000);
	forget(&seen);
}

/* Ten megabytes that begin like a document, and ten that begin like none at a named place. */
static void a_flood_is_left_at_its_ceiling(void **state)
{
	SCRIPT(object) = {
		{PEER_REQUEST, NULL,			      0	},
		{ PEER_SEND,   "HTTP/1.1 200 OK\r\n\r\n{", 0	   },
		{ PEER_FLOOD,  NULL,			    10000000},
		{ PEER_CLOSE,  NULL,			    0	      },
	};
	SCRIPT(noise) = {
		{PEER_REQUEST, NULL,		      0	},
		{ PEER_SEND,   "HTTP/1.1 200 OK\r\n\r\n", 0	  },
		{ PEER_FLOOD,  NULL,			    10000000},
		{ PEER_CLOSE,  NULL,			    0	      },
	};

	assert_flood(*state, object, &unnamed, 1);
	assert_flood(*state, noise, &named, 1);
}

/* A single-page application answers every path with itself. */
static void a_huge_page_at_guessed_places_is_nothing(void **state)
{
	SCRIPT(page) = {
		{PEER_REQUEST, NULL,						       0	},
		{ PEER_SEND,   "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", 0	   },
		{ PEER_FLOOD,  NULL,						       100000},
		{ PEER_CLOSE,  NULL,						       0     },
	};
	struct as_world *as = *state;
	struct seen seen;

	as_play_steps(as, page);
	seen = search(as, &unnamed, 10000);
	assert_non_null(seen.server);
	assert_text(&seen, seen.server->token_url, "$O/token");
	assert_int_equal(peer_requests(as->world->peer), 4);
	forget(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_document_of_a_resource_that_lies_ends_the_search),
		TEST(a_document_of_a_server_that_lies_ends_the_search),
		TEST(a_flood_is_left_at_its_ceiling),
		TEST(a_huge_page_at_guessed_places_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
