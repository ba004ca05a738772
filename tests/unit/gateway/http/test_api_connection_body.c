/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_connection_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define URL	     "\"url\":\"https://crm.example.com/mcp\""
#define FRESH	     "{\"name\":\"crm\"," URL

/* A refusal: code, JSON pointer and the start of the sentence. */
struct refusal {
	const char *body;
	const char *code;
	const char *pointer;
	const char *says;
};

static json_t *json(const char *text)
{
	struct err err;
	json_t *value = json_parse(span_of(text), &err);

	if (value == NULL)
		fail_msg("%s: %s", text, err.text);
	return value;
}

/* The policy of a tenant with one exception. */
static struct egress_policy *policy(void)
{
	static const char *const allow[] = { "10.0.0.5:8443" };
	struct egress_policy *made;
	struct err err;

	made = egress_policy_new(allow, 1, false, &err);
	assert_non_null(made);
	return made;
}

/* One parse; what it gives lives as long as this. */
struct parsed {
	struct arena *arena;
	json_t *body;
	struct egress_policy *egress;
	struct connection_body out;
	struct api_fault fault;
	int ret;
};

static void parse(struct parsed *parsed, const char *text, const struct connection_before *before)
{
	parsed->arena = arena_new();
	parsed->body = json(text);
	parsed->egress = policy();
	parsed->ret = connection_body_parse(parsed->body, before, parsed->egress, parsed->arena,
					    &parsed->out, &parsed->fault);
}

static void parsed_free(struct parsed *parsed)
{
	arena_free(&parsed->arena);
	json_decref(parsed->body);
	egress_policy_unref(&parsed->egress);
}

static void check_refusal(const struct refusal *wanted, const struct connection_before *before)
{
	struct parsed parsed;
	const struct api_fault *fault = &parsed.fault;

	parse(&parsed, wanted->body, before);
	if (parsed.ret == 0)
		fail_msg("accepted: %.200s", wanted->body);
	if (strcmp(fault->code != NULL ? fault->code : err_name(fault->err.code), wanted->code) !=
		    0 ||
	    strcmp(fault->pointer, wanted->pointer) != 0 ||
	    strncmp(fault->err.text, wanted->says, strlen(wanted->says)) != 0)
		fail_msg("%.200s\n  wanted %s %s %s\n  got    %s %s %s", wanted->body, wanted->code,
			 wanted->pointer, wanted->says,
			 fault->code != NULL ? fault->code : err_name(fault->err.code),
			 fault->pointer, fault->err.text);
	assert_int_equal(err_http_status(fault->err.code), 400);
	parsed_free(&parsed);
}

static const struct refusal refusals[] = {
	{"{}",										 "bad_request",   "/name",			"name is required; it must be a name such as \"crm\""		      },
	{ "{\"name\":\"crm\"}",								"bad_request",   "/url",		       "url is required; it must be a URL"				   },
	{ "{" URL "}",									 "bad_request",   "/name",		       "name is required"							  },
	{ "{\"name\":5," URL "}",							      "bad_request",	 "/name",		  "name must be a name such as"						},
	{ "{\"name\":null," URL "}",							   "bad_request",   "/name",		     "name must be a name such as"					   },
	{ "{\"name\":\"\"," URL "}",							   "bad_request",   "/name",
	  "name must be 1 to 32 lower-case letters and digits"																		   },
	{ "{\"name\":\"a__b\"," URL "}",						       "bad_request",	"/name",			 "name must be 1 to 32"						},
	{ "{\"name\":\"Crm\"," URL "}",							"bad_request",   "/name",			"name must be 1 to 32"						       },
	{ "{\"name\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"," URL "}",			      "bad_request",   "/name",
	  "name must be 1 to 32"																						 },
	{ "{\"name\":\"crm\\u0000\"," URL "}",						 "bad_request",   "/name",		       "name must not hold NUL"						},

	{ FRESH ",\"colour\":1}",							      "bad_request",	 "/colour",
	  "colour is not a member of a connection; it may have name, description, enabled, "
	  "transport, url, era, auth, headers, connect_timeout, call_timeout, session, "
	  "trust_level, tools"																						  },
	{ FRESH ",\"URL\":1}",								 "bad_request",   "/URL",		      "URL is not a member of a connection"				    },
	{ FRESH ",\"a/b~c\":1}",							       "bad_request",	"/a~1b~0c",		    "a/b~c is not a member"						    },
	{ FRESH ",\"description\":5}",							 "bad_request",   "/description",
	  "description must be a string"																					 },
	{ FRESH ",\"enabled\":\"yes\"}",						       "bad_request",	"/enabled",
	  "enabled must be true or false"																					},
	{ FRESH ",\"enabled\":null}",							  "bad_request",   "/enabled",		 "enabled must be true or false"					 },
	{ FRESH ",\"transport\":\"sse\"}",						     "bad_request",	  "/transport",
	  "transport must be one of \"streamable-http\""																			 },
	{ FRESH ",\"transport\":5}",							   "bad_request",   "/transport",
	  "transport must be \"streamable-http\""																				},
	{ FRESH ",\"era\":\"Auto\"}",							  "bad_request",   "/era",
	  "era must be one of \"auto\", \"legacy\", \"modern\""																		  },
	{ FRESH ",\"session\":\"all\"}",						       "bad_request",	"/session",
	  "session must be one of \"shared\", \"principal\", \"client\""																	 },
	{ FRESH ",\"trust_level\":\"full\"}",						  "bad_request",   "/trust_level",
	  "trust_level must be one of \"untrusted\", \"trusted\""																		},

	{ "{\"name\":\"crm\",\"url\":5}",						      "bad_request",	 "/url",			 "url must be a URL such as"					     },
	{ "{\"name\":\"crm\",\"url\":\"\"}",						   "bad_request",   "/url",		    "url: "								    },
	{ "{\"name\":\"crm\",\"url\":\"ftp://example.com/\"}",				       "bad_request",   "/url",		      "url: "								      },
	{ "{\"name\":\"crm\",\"url\":\"https://u:p@example.com/\"}",			     "bad_request",   "/url",
	  "url: "																								},
	{ "{\"name\":\"crm\",\"url\":\"https://example.com/#x\"}",				   "bad_request",	  "/url",			  "url: "								  },
	{ "{\"name\":\"crm\",\"url\":\"https://example.com:99999/\"}",			       "bad_request",   "/url",
	  "url: "																								},
	{ "{\"name\":\"crm\",\"url\":\"http://example.com/\"}",				"egress_denied", "/url",
	  "url: example.com:80 needs https"																				      },
	{ "{\"name\":\"crm\",\"url\":\"https://10.1.2.3/mcp\"}",				 "egress_denied", "/url",
	  "url: 10.1.2.3:443 is no public address"																			       },
	{ "{\"name\":\"crm\",\"url\":\"http://169.254.169.254/\"}",			    "egress_denied", "/url",
	  "url: 169.254.169.254:80"																					      },
	{ "{\"name\":\"crm\",\"url\":\"https://10.0.0.5:8444/\"}",				   "egress_denied", "/url",
	  "url: 10.0.0.5:8444 is no public address"																			      },

	{ FRESH ",\"connect_timeout\":\"ten\"}",						 "bad_request",	"/connect_timeout",
	  "connect_timeout must be a duration such as"																			   },
	{ FRESH ",\"connect_timeout\":true}",						  "bad_request",   "/connect_timeout",
	  "connect_timeout must be a duration such as"																			   },
	{ FRESH ",\"connect_timeout\":\"0s\"}",						"bad_request",   "/connect_timeout",
	  "connect_timeout must be from 1 ms to 1 hour"																			  },
	{ FRESH ",\"call_timeout\":0}",							"bad_request",   "/call_timeout",
	  "call_timeout must be from 1 ms to 1 hour"																			     },
	{ FRESH ",\"call_timeout\":-1}",						       "bad_request",	"/call_timeout",
	  "call_timeout must be from 1 ms to 1 hour"																			     },
	{ FRESH ",\"call_timeout\":1e300}",						    "bad_request",   "/call_timeout",
	  "call_timeout must be from 1 ms to 1 hour"																			     },
	{ FRESH ",\"call_timeout\":0.0004}",						   "bad_request",   "/call_timeout",
	  "call_timeout must be from 1 ms to 1 hour"																			     },
	{ FRESH ",\"call_timeout\":\"3601s\"}",						"bad_request",   "/call_timeout",
	  "call_timeout must be from 1 ms to 1 hour"																			     },
	{ FRESH ",\"call_timeout\":\"10s\\u0000\"}",					     "bad_request",   "/call_timeout",
	  "call_timeout must be a duration such as"																			      },

	{ FRESH ",\"auth\":\"none\"}",							 "bad_request",   "/auth",		       "auth must be an object such as"					},
	{ FRESH ",\"auth\":{}}",							       "bad_request",	"/auth/mode",	      "auth.mode is required"						      },
	{ FRESH ",\"auth\":{\"mode\":null}}",						  "bad_request",   "/auth/mode",
	  "auth.mode must be one of"																					     },
	{ FRESH ",\"auth\":{\"mode\":\"magic\"}}",						   "bad_request",	  "/auth/mode",
	  "auth.mode must be one of \"none\", \"bearer\", \"api_key\", \"oauth\""																},
	{ FRESH ",\"auth\":{\"mode\":\"oauth\",\"oauth\":{\"grant\":\"x\"}}}",		       "bad_request",
	  "/auth/oauth/grant",													     "auth.oauth.grant must be one of"					 },
	{ FRESH ",\"auth\":{\"mode\":\"oauth\",\"oauth\":\"x\"}}",				   "bad_request",	  "/auth/oauth",
	  "auth.oauth must be an object"																					 },
	{ FRESH ",\"auth\":{\"mode\":\"oauth\",\"credential\":\"x\"}}",			"bad_request",
	  "/auth/credential",													      "auth.credential has no use when auth.mode is \"oauth\"; leave it out"},
	{ FRESH ",\"auth\":{\"mode\":\"oauth\",\"header\":\"x\"}}",			    "bad_request",   "/auth/header",
	  "auth.header has no use when auth.mode is \"oauth\""																		   },
	{ FRESH ",\"auth\":{\"mode\":\"oauth\"},\"headers\":{\"authorization\":\"x\"}}",
	  "bad_request",											 "/headers/authorization",
	  "headers.authorization would replace the header that carries the token"																},
	{ FRESH ",\"auth\":{\"mode\":\"none\",\"oauth\":{}}}",				       "bad_request",   "/auth/oauth",
	  "auth.oauth has no use when auth.mode is \"none\"; leave it out"																       },
	{ FRESH ",\"auth\":{\"mode\":\"none\",\"secret\":\"x\"}}",				   "bad_request",	  "/auth/secret",
	  "auth.secret is not a member of auth; it may have mode, credential, header, oauth"														     },
	{ FRESH ",\"auth\":{\"mode\":\"none\",\"credential\":\"x\"}}",			       "bad_request",
	  "/auth/credential",													      "auth.credential has no use when auth.mode is \"none\""		      },
	{ FRESH ",\"auth\":{\"mode\":\"none\",\"header\":\"X\"}}",				   "bad_request",	  "/auth/header",
	  "auth.header has no use when auth.mode is \"none\""																		    },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\"}}",					    "bad_request",   "/auth/credential",
	  "auth.credential is required when auth.mode is \"bearer\""																	     },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"x\",\"header\":\"X\"}}",
	  "bad_request",											 "/auth/header",		 "auth.header has no use when auth.mode is \"bearer\""		       },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"\"}}",			"bad_request",
	  "/auth/credential",													      "auth.credential must not be empty"					  },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"a\\r\\nX: y\"}}",		   "bad_request",
	  "/auth/credential",													      "auth.credential must not be empty or hold control"			  },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":5}}",			     "bad_request",
	  "/auth/credential",													      "auth.credential must be a string"					 },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"[REDACTED]\"}}",		  "bad_request",
	  "/auth/credential",													      "auth.credential is \"[REDACTED]\", but none is stored"		      },
	{ FRESH ",\"auth\":{\"mode\":\"api_key\",\"credential\":\"x\",\"header\":\"X Key\"}}",
	  "bad_request",											 "/auth/header",		 "auth.header: \"X Key\" is no header name"			    },
	{ FRESH ",\"auth\":{\"mode\":\"api_key\",\"credential\":\"x\",\"header\":\"Host\"}}",
	  "bad_request",											 "/auth/header",		 "auth.header: the header Host is set by the gateway"		      },

	{ FRESH ",\"headers\":[]}",							    "bad_request",   "/headers",
	  "headers must be an object of header names and values"																		 },
	{ FRESH ",\"headers\":{\"X-A\":5}}",						   "bad_request",   "/headers/X-A",
	  "headers.X-A must be a string"																					 },
	{ FRESH ",\"headers\":{\"X-A\":\"a\\r\\nB: c\"}}",					   "bad_request",	  "/headers/X-A",
	  "headers.X-A must not hold control characters"																			 },
	{ FRESH ",\"headers\":{\"X-A\":\"\\u007f\"}}",					       "bad_request",   "/headers/X-A",
	  "headers.X-A must not hold control characters"																			 },
	{ FRESH ",\"headers\":{\"X-A\":\"\\u0000\"}}",					       "bad_request",   "/headers/X-A",
	  "headers.X-A must not hold control characters"																			 },
	{ FRESH ",\"headers\":{\"\":\"x\"}}",						  "bad_request",   "/headers/",
	  "headers: \"\" is no header name"																				      },
	{ FRESH ",\"headers\":{\"X Y\":\"x\"}}",						 "bad_request",	"/headers/X Y",
	  "headers: \"X Y\" is no header name"																				   },
	{ FRESH ",\"headers\":{\"A/B\":\"x\"}}",						 "bad_request",	"/headers/A~1B",
	  "headers: \"A/B\" is no header name"																				   },
	{ FRESH ",\"headers\":{\"hOST\":\"x\"}}",						  "bad_request",	 "/headers/hOST",
	  "headers: the header hOST is set by the gateway"																		       },
	{ FRESH ",\"headers\":{\"X-A\":\"1\",\"x-a\":\"2\"}}",				       "bad_request",   "/headers/x-a",
	  "headers.x-a is there twice"																					   },
	{ FRESH ",\"headers\":{\"X-A\":\"[REDACTED]\"}}",					  "bad_request",	 "/headers/X-A",
	  "headers.X-A is \"[REDACTED]\", but none is stored"																		    },
	{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"x\"},"
		"\"headers\":{\"authorization\":\"y\"}}",			     "bad_request",	 "/headers/authorization", "headers.authorization would replace"				 },
	{ FRESH ",\"auth\":{\"mode\":\"api_key\",\"credential\":\"x\"},"
		"\"headers\":{\"x-api-key\":\"y\"}}",				 "bad_request",	 "/headers/x-api-key",     "headers.x-api-key would replace"					 },

	{ FRESH ",\"tools\":[\"*\"]}",							 "bad_request",   "/tools",			"tools must be an object such as"					  },
	{ FRESH ",\"tools\":{\"allow\":\"*\"}}",						 "bad_request",	"/tools/allow",
	  "tools.allow must be a list of patterns"																			       },
	{ FRESH ",\"tools\":{\"allow\":[\"a\",5]}}",					     "bad_request",   "/tools/allow/1",
	  "tools.allow must be a list of patterns"																			       },
	{ FRESH ",\"tools\":{\"deny\":[\"\"]}}",						 "bad_request",	"/tools/deny/0",
	  "tools.deny must not have an empty string in it"																		       },
	{ FRESH ",\"tools\":{\"only\":[]}}",						   "bad_request",   "/tools/only",
	  "tools.only is not a member of tools; it may have allow, deny"																	 },
	{ FRESH ",\"audit\":\"full\"}",							"bad_request",   "/audit",
	  "audit must be an object such as"																				      },
	{ FRESH ",\"audit\":{\"level\":\"all\"}}",						   "bad_request",	  "/audit/level",
	  "audit.level must be one of \"metadata\", \"redacted\", \"full\""																      },
	{ FRESH ",\"audit\":{\"redact\":[\"a\",1]}}",					      "bad_request",   "/audit/redact/1",
	  "audit.redact must be a list of names of arguments"																		    },
	{ FRESH ",\"audit\":{\"keep\":1}}",						    "bad_request",   "/audit/keep",
	  "audit.keep is not a member of audit; it may have level, redact"																       },
};

static void what_is_wrong_is_refused_with_its_place_and_a_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++)
		check_refusal(&refusals[i], NULL);
}

static void what_is_not_given_has_its_default(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, FRESH "}", NULL);
	assert_int_equal(parsed.ret, 0);
	assert_string_equal(parsed.out.name, "crm");
	assert_string_equal(parsed.out.description, "");
	assert_true(parsed.out.enabled);
	assert_string_equal(parsed.out.era, "auto");
	assert_string_equal(parsed.out.auth_mode, "none");
	assert_null(parsed.out.auth_header);
	assert_int_equal(parsed.out.credential_change, CREDENTIAL_NONE);
	assert_int_equal(parsed.out.n_headers, 0);
	assert_int_equal(parsed.out.connect_timeout_ms, 10000);
	assert_int_equal(parsed.out.call_timeout_ms, 60000);
	assert_string_equal(parsed.out.session_scope, "shared");
	assert_string_equal(parsed.out.trust_level, "untrusted");
	assert_string_equal(parsed.out.tools_allow, "[\"*\"]");
	assert_string_equal(parsed.out.tools_deny, "[]");
	assert_string_equal(parsed.out.audit_level, "redacted");
	assert_string_equal(parsed.out.audit_redact, "[]");
	parsed_free(&parsed);
}

static void everything_that_is_given_is_taken(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed,
	      "{\"name\":\"crm-2\",\"description\":\"d\",\"enabled\":false,"
	      "\"transport\":\"streamable-http\",\"url\":\"http://10.0.0.5:8443/mcp\","
	      "\"era\":\"modern\",\"auth\":{\"mode\":\"api_key\",\"credential\":\"k e y\","
	      "\"header\":\"Authorization\"},\"headers\":{\"X-Env\":\"prod\",\"X-T\":\"a\\tb\"},"
	      "\"connect_timeout\":\"250ms\",\"call_timeout\":0.5,\"session\":\"client\",\"trust_"
	      "level\":\"trusted\","
	      "\"tools\":{\"allow\":[\"get_*\",\"\\u00e9\"],\"deny\":[]},"
	      "\"audit\":{\"level\":\"metadata\",\"redact\":[\"iban\",\"*pin*\"]},"
	      "\"id\":\"x\",\"version\":7,\"created_at\":1,\"updated_at\":2,\"notes\":[]}",
	      NULL);
	if (parsed.ret < 0)
		fail_msg("%s", parsed.fault.err.text);
	assert_string_equal(parsed.out.name, "crm-2");
	assert_string_equal(parsed.out.audit_level, "metadata");
	assert_string_equal(parsed.out.audit_redact, "[\"iban\",\"*pin*\"]");
	assert_string_equal(parsed.out.description, "d");
	assert_false(parsed.out.enabled);
	assert_string_equal(parsed.out.url, "http://10.0.0.5:8443/mcp");
	assert_string_equal(parsed.out.era, "modern");
	assert_string_equal(parsed.out.auth_header, "Authorization");
	assert_int_equal(parsed.out.credential_change, CREDENTIAL_NEW);
	assert_string_equal(parsed.out.credential, "k e y");
	assert_int_equal(parsed.out.n_headers, 2);
	assert_string_equal(parsed.out.headers[0].name, "X-Env");
	assert_string_equal(parsed.out.headers[1].value, "a\tb");
	assert_int_equal(parsed.out.connect_timeout_ms, 250);
	assert_int_equal(parsed.out.call_timeout_ms, 500);
	assert_string_equal(parsed.out.session_scope, "client");
	assert_string_equal(parsed.out.trust_level, "trusted");
	assert_string_equal(parsed.out.tools_allow, "[\"get_*\",\"\xc3\xa9\"]");
	parsed_free(&parsed);
}

static void an_api_key_goes_into_x_api_key_unless_said(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, FRESH ",\"auth\":{\"mode\":\"api_key\",\"credential\":\"x\"}}", NULL);
	assert_int_equal(parsed.ret, 0);
	assert_string_equal(parsed.out.auth_header, "X-API-Key");
	parsed_free(&parsed);
}

static void a_redacted_secret_is_kept_if_there_is_one(void **state)
{
	json_t *names = json("[\"X-Env\"]");
	const struct connection_before before = {
		.url = "https://crm.example.com/mcp",
		.has_credential = true,
		.header_names = names,
	};
	struct parsed parsed;

	(void)state;
	parse(&parsed,
	      FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"[REDACTED]\"},"
		    "\"headers\":{\"x-env\":\"[REDACTED]\",\"X-B\":\"b\"}}",
	      &before);
	assert_int_equal(parsed.ret, 0);
	assert_int_equal(parsed.out.credential_change, CREDENTIAL_KEPT);
	assert_null(parsed.out.headers[0].value);
	assert_string_equal(parsed.out.headers[1].value, "b");
	parsed_free(&parsed);
	check_refusal(&(struct refusal){ FRESH ",\"headers\":{\"X-B\":\"[REDACTED]\"}}",
					 "bad_request", "/headers/X-B", "headers.X-B is" },
		      &before);
	json_decref(names);
}

static void an_address_that_was_there_before_may_stay(void **state)
{
	const struct connection_before before = { .url = "https://10.1.2.3/mcp" };
	struct parsed parsed;

	(void)state;
	parse(&parsed, "{\"name\":\"crm\",\"url\":\"https://10.1.2.3/mcp\",\"enabled\":false}",
	      &before);
	assert_int_equal(parsed.ret, 0);
	parsed_free(&parsed);
	check_refusal(&(struct refusal){ "{\"name\":\"crm\",\"url\":\"https://10.1.2.4/mcp\"}",
					 "egress_denied", "/url", "url: 10.1.2.4:443" },
		      &before);
}

/* FRESH with a member that repeats a piece n times. */
static char *repeat(const char *start, const char *piece, size_t n, const char *end)
{
	size_t bytes = strlen(piece);
	char *text = calloc(1, strlen(start) + n * bytes + strlen(end) + 1);
	char *at = text + strlen(start);

	memcpy(text, start, strlen(start));
	for (size_t i = 0; i < n; i++, at += bytes)
		memcpy(at, piece, bytes);
	memcpy(at, end, strlen(end));
	return text;
}

static void sizes_end_where_they_are_said_to_end(void **state)
{
	static const struct {
		const char *start;
		const char *piece;
		const char *end;
		size_t most;
		const char *pointer;
		const char *says;
	} limits[] = {
		{FRESH ",\"description\":\"",			       "x",	    "\"}",   API_MAX_DESCRIPTION,	"/description",
		  "description must not be longer than 2000 bytes"															},
		{ FRESH ",\"auth\":{\"mode\":\"bearer\",\"credential\":\"", "x",	 "\"}}",
		  API_MAX_CREDENTIAL,										 "/auth/credential",
		  "auth.credential must not be longer than 8192 bytes"														    },
		{ FRESH ",\"headers\":{\"X-A\":\"",			    "x",	 "\"}}",	 API_MAX_HEADER_VALUE,
		  "/headers/X-A",													 "headers.X-A must not be longer than 8192 bytes"},
		{ FRESH ",\"tools\":{\"allow\":[\"",			     "x",	  "\"]}}", API_MAX_GLOB,	 "/tools/allow/0",
		  "tools.allow must not be longer than 256 bytes"															 },
		{ FRESH ",\"tools\":{\"deny\":[\"a\"",		       ",\"b\"", "]}}",	API_MAX_GLOBS - 1,
		  "/tools/deny",													  "tools.deny must not have more than 1000 items" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		char *most =
			repeat(limits[i].start, limits[i].piece, limits[i].most, limits[i].end);
		char *more =
			repeat(limits[i].start, limits[i].piece, limits[i].most + 1, limits[i].end);
		struct parsed parsed;

		parse(&parsed, most, NULL);
		assert_int_equal(parsed.ret, 0);
		parsed_free(&parsed);
		check_refusal(
			&(struct refusal){ more, "bad_request", limits[i].pointer, limits[i].says },
			NULL);
		free(most);
		free(more);
	}
}

static void headers_are_counted_one_by_one_and_together(void **state)
{
	json_t *body = json(FRESH ",\"headers\":{}}");
	json_t *headers = json_object_get(body, "headers");
	char *long_value = repeat("", "x", API_MAX_HEADER_VALUE, "");
	char *text;

	(void)state;
	for (int i = 0; i < API_MAX_HEADERS + 1; i++) {
		char name[16];

		snprintf(name, sizeof(name), "X-%d", i);
		json_object_set_new(headers, name, json_string("v"));
	}
	text = json_dumps(body, 0);
	check_refusal(&(struct refusal){ text, "bad_request", "/headers",
					 "headers must not have more than 32 members" },
		      NULL);
	free(text);
	json_object_clear(headers);
	for (int i = 0; i < 8; i++) {
		char name[16];

		snprintf(name, sizeof(name), "X-%d", i);
		json_object_set_new(headers, name, json_string(long_value));
	}
	text = json_dumps(body, 0);
	check_refusal(&(struct refusal){ text, "bad_request", "/headers",
					 "headers must not have more than 65536 bytes together" },
		      NULL);
	free(text);
	free(long_value);
	json_decref(body);
}

static void headers_with_a_meaning_of_their_own_are_denied(void **state)
{
	static const char *const denied[] = {
		"Host",
		"Content-Length",
		"transfer-encoding",
		"Connection",
		"TE",
		"Upgrade",
		"Trailer",
		"Proxy-Connection",
		"Cookie",
		"SET-COOKIE",
		"X-Forwarded-For",
		"x-forwarded-any",
		"Mcp-Session-Id",
		"Mcp-Name",
		"Accept",
		"Content-Type",
		"MCP-Protocol-Version",
	};
	static const char *const permitted[] = { "Authorization", "X-API-Key", "X-Env",
						 "X-Forwarded",	  "Hosts",     "Accept-Language" };

	(void)state;
	for (size_t i = 0; i < COUNT(denied); i++) {
		if (!connection_header_denied(denied[i]))
			fail_msg("%s is not denied", denied[i]);
	}
	for (size_t i = 0; i < COUNT(permitted); i++) {
		if (connection_header_denied(permitted[i]))
			fail_msg("%s is denied", permitted[i]);
	}
}

static void oauth_is_read_with_the_connection(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed,
	      FRESH ",\"auth\":{\"mode\":\"oauth\",\"oauth\":{\"client_id\":\"me\","
		    "\"client_secret\":\"hush\"}}}",
	      NULL);
	assert_int_equal(parsed.ret, 0);
	assert_string_equal(parsed.out.auth_mode, "oauth");
	assert_null(parsed.out.auth_header);
	assert_int_equal(parsed.out.credential_change, CREDENTIAL_NONE);
	assert_int_equal(parsed.out.oauth_secret_change, CREDENTIAL_NEW);
	assert_string_equal(parsed.out.oauth_secret, "hush");
	assert_non_null(strstr(parsed.out.oauth, "\"client_id\":\"me\""));
	parsed_free(&parsed);
	parse(&parsed, FRESH ",\"auth\":{\"mode\":\"none\",\"oauth\":null}}", NULL);
	assert_int_equal(parsed.ret, 0);
	assert_null(parsed.out.oauth);
	parsed_free(&parsed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_is_refused_with_its_place_and_a_sentence),
		cmocka_unit_test(oauth_is_read_with_the_connection),
		cmocka_unit_test(what_is_not_given_has_its_default),
		cmocka_unit_test(everything_that_is_given_is_taken),
		cmocka_unit_test(an_api_key_goes_into_x_api_key_unless_said),
		cmocka_unit_test(a_redacted_secret_is_kept_if_there_is_one),
		cmocka_unit_test(an_address_that_was_there_before_may_stay),
		cmocka_unit_test(sizes_end_where_they_are_said_to_end),
		cmocka_unit_test(headers_are_counted_one_by_one_and_together),
		cmocka_unit_test(headers_with_a_meaning_of_their_own_are_denied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
