/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define URL	     "https://crm.example.com/mcp"
#define FOUND                                                                                      \
	"\"issuer\":null,\"authorization_url\":null,\"token_url\":null,\"revocation_url\":null,"   \
	"\"client_id\":null,"
#define REST "\"scope\":\"\",\"audience\":null,\"resource\":true,\"authorize_params\":{}}"
#define ENDPOINTS                                                                                  \
	"\"authorization_url\":\"https://as.example.com/a\","                                      \
	"\"token_url\":\"https://as.example.com/t\""
#define CLIENT "\"client_id\":\"me\",\"client_secret\":\"hush\""

static const char pem[] = "-----BEGIN PRIVATE KEY-----\\n"
			  "MC4CAQAwBQYDK2VwBCIEIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\\n"
			  "-----END PRIVATE KEY-----\\n";

static json_t *json(const char *text)
{
	struct err err;
	json_t *value = json_parse(span_of(text), &err);

	if (value == NULL)
		fail_msg("%s: %s", text, err.text);
	return value;
}

/* One parse of the object; what it gives lives as long as this. */
struct parsed {
	struct arena *arena;
	json_t *auth;
	struct egress_policy *egress;
	struct oauth_body out;
	struct api_fault fault;
	int ret;
};

static void parse_at(struct parsed *parsed, const char *url, const char *oauth,
		     const struct connection_before *before)
{
	static const char *const allow[] = { "127.0.0.1:9000", "10.0.0.5:80" };
	struct oauth_body_params params;
	struct err err;

	parsed->arena = arena_new();
	parsed->auth =
		json(arena_printf(parsed->arena, "{\"mode\":\"oauth\",\"oauth\":%s}", oauth));
	parsed->egress = egress_policy_new(allow, COUNT(allow), false, &err);
	assert_non_null(parsed->egress);
	params = (struct oauth_body_params){ .auth = parsed->auth,
					     .url = url,
					     .before = before,
					     .egress = parsed->egress,
					     .arena = parsed->arena };
	parsed->ret = oauth_body_parse(&params, &parsed->out, &parsed->fault);
}

static void parse(struct parsed *parsed, const char *oauth, const struct connection_before *before)
{
	parse_at(parsed, URL, oauth, before);
}

static void parsed_free(struct parsed *parsed)
{
	arena_free(&parsed->arena);
	json_decref(parsed->auth);
	egress_policy_unref(&parsed->egress);
}

static void check_settings(const char *oauth, const char *wanted)
{
	struct parsed parsed;

	parse(&parsed, oauth, NULL);
	if (parsed.ret < 0)
		fail_msg("%s: %s", oauth, parsed.fault.err.text);
	assert_string_equal(parsed.out.settings, wanted);
	assert_null(strstr(parsed.out.settings, "hush"));
	parsed_free(&parsed);
}

static void what_is_absent_or_null_has_its_default(void **state)
{
	static const char defaults[] = "{\"grant\":\"authorization_code\",\"per\":\"user\"," FOUND
				       "\"token_endpoint_auth\":\"basic\"," REST;

	(void)state;
	check_settings("{}", defaults);
	check_settings("null", defaults);
	check_settings("{\"grant\":null,\"per\":null," FOUND
		       "\"client_secret\":null,\"token_endpoint_auth\":null,\"scope\":null,"
		       "\"audience\":null,\"resource\":null,\"authorize_params\":null}",
		       defaults);
	check_settings("{\"issuer\":\"\",\"client_id\":\"\",\"client_secret\":\"\"}", defaults);
}

static void what_is_given_is_kept_as_it_is(void **state)
{
	(void)state;
	check_settings(
		"{\"per\":\"shared\",\"issuer\":\"https://as.example.com/\"," ENDPOINTS
		",\"revocation_url\":\"https://as.example.com/r\"," CLIENT
		",\"token_endpoint_auth\":\"post\",\"scope\":\"b  a\",\"audience\":\"x\","
		"\"resource\":false,\"authorize_params\":{\"prompt\":\"consent\",\"b\":\"\"}}",
		"{\"grant\":\"authorization_code\",\"per\":\"shared\","
		"\"issuer\":\"https://as.example.com/\"," ENDPOINTS
		",\"revocation_url\":\"https://as.example.com/r\",\"client_id\":\"me\","
		"\"token_endpoint_auth\":\"post\",\"scope\":\"b  a\",\"audience\":\"x\","
		"\"resource\":false,\"authorize_params\":{\"prompt\":\"consent\",\"b\":\"\"}}");
	check_settings("{\"grant\":\"client_credentials\",\"token_url\":\"https://as.example.com/"
		       "t\"," CLIENT "}",
		       "{\"grant\":\"client_credentials\",\"per\":\"shared\",\"issuer\":null,"
		       "\"authorization_url\":null,\"token_url\":\"https://as.example.com/t\","
		       "\"revocation_url\":null,\"client_id\":\"me\","
		       "\"token_endpoint_auth\":\"basic\"," REST);
}

static void a_client_without_a_secret_is_a_public_one(void **state)
{
	(void)state;
	check_settings("{\"client_id\":\"https://me.example.com/client\"}",
		       "{\"grant\":\"authorization_code\",\"per\":\"user\",\"issuer\":null,"
		       "\"authorization_url\":null,\"token_url\":null,\"revocation_url\":null,"
		       "\"client_id\":\"https://me.example.com/client\","
		       "\"token_endpoint_auth\":\"none\"," REST);
}

static void what_the_policy_permits_may_be_plain_http_on_loopback(void **state)
{
	struct parsed parsed;

	(void)state;
	parse(&parsed, "{\"issuer\":\"http://127.0.0.1:9000\"}", NULL);
	assert_int_equal(parsed.ret, 0);
	parsed_free(&parsed);
	/* A browser may reach what the gateway cannot. */
	parse(&parsed,
	      "{\"authorization_url\":\"https://10.1.2.3/a\",\"token_url\":\"https://"
	      "as.example.com/t\"}",
	      NULL);
	assert_int_equal(parsed.ret, 0);
	parsed_free(&parsed);
}

static void a_key_is_taken_if_it_can_sign(void **state)
{
	struct parsed parsed;
	struct arena *arena = arena_new();

	(void)state;
	parse(&parsed,
	      arena_printf(arena,
			   "{\"client_id\":\"me\",\"client_secret\":\"%s\","
			   "\"token_endpoint_auth\":\"private_key_jwt\"}",
			   pem),
	      NULL);
	assert_int_equal(parsed.ret, 0);
	assert_int_equal(parsed.out.secret_change, CREDENTIAL_NEW);
	assert_memory_equal(parsed.out.secret, "-----BEGIN PRIVATE KEY-----\n", 28);
	parsed_free(&parsed);
	arena_free(&arena);
}

struct refusal {
	const char *oauth;
	const char *code;
	const char *pointer;
	const char *says;
};

static void check_refusal(const struct refusal *wanted, const char *url,
			  const struct connection_before *before)
{
	struct parsed parsed;
	const struct api_fault *fault = &parsed.fault;
	const char *code;

	parse_at(&parsed, url, wanted->oauth, before);
	if (parsed.ret == 0)
		fail_msg("accepted: %.200s", wanted->oauth);
	code = fault->code != NULL ? fault->code : err_name(fault->err.code);
	if (strcmp(code, wanted->code) != 0 || strcmp(fault->pointer, wanted->pointer) != 0 ||
	    strncmp(fault->err.text, wanted->says, strlen(wanted->says)) != 0)
		fail_msg("%.200s\n  wanted %s %s %s\n  got    %s %s %s", wanted->oauth,
			 wanted->code, wanted->pointer, wanted->says, code, fault->pointer,
			 fault->err.text);
	assert_int_equal(err_http_status(fault->err.code), 400);
	assert_null(strstr(fault->err.text, "hush"));
	parsed_free(&parsed);
}

#define BAD(at, says_) "bad_request", "/auth/oauth" at, says_
#define CC	       "\"grant\":\"client_credentials\""
#define KEYED	       "\"client_id\":\"me\",\"token_endpoint_auth\":\"private_key_jwt\""

static const struct refusal refusals[] = {
	{"{\"colour\":1}",
	  BAD("/colour",
	      "auth.oauth.colour is not a member of auth.oauth; it may have grant, per")														      },
	{ "{\"grant\":1}",
	  BAD("/grant",
	      "auth.oauth.grant must be \"authorization_code\" or \"client_credentials\"")														    },
	{ "{\"grant\":\"password\"}",
	  BAD("/grant",
	      "auth.oauth.grant must be one of \"authorization_code\", \"client_credentials\"")													       },
	{ "{\"per\":\"tenant\"}",
	  BAD("/per",														    "auth.oauth.per must be one of \"user\", \"shared\"")	    },
	{ "{" CC ",\"per\":\"user\"," CLIENT "}",
	  BAD("/per",														    "auth.oauth.per must be \"shared\"")				   },
	{ "{" CC "}",
	  BAD("/client_id",
	      "auth.oauth.client_id is required when auth.oauth.grant is \"client_credentials\"")													     },
	{ "{" CC ",\"client_id\":\"me\",\"token_endpoint_auth\":\"basic\"}",
	  BAD("/client_secret",													  "auth.oauth.client_secret is required when "
				"auth.oauth.token_endpoint_auth is \"basic\"")											     },
	{ "{" CC "," CLIENT "," ENDPOINTS "}",
	  BAD("/authorization_url",												      "auth.oauth.authorization_url has no use")		       },
	{ "{" CC "," CLIENT ",\"authorize_params\":{\"a\":\"b\"}}",
	  BAD("/authorize_params",												       "auth.oauth.authorize_params has no use")			     },
	{ "{\"token_endpoint_auth\":\"digest\"}",
	  BAD("/token_endpoint_auth",												    "auth.oauth.token_endpoint_auth must be one of \"basic\"")	 },
	{ "{\"client_secret\":\"hush\"}",
	  BAD("/client_id",													      "auth.oauth.client_id is required with auth.oauth.client_secret")},
	{ "{" CLIENT ",\"token_endpoint_auth\":\"none\"}",
	  BAD("/client_secret",													  "auth.oauth.client_secret has no use")			       },
	{ "{\"client_id\":\"me\",\"client_secret\":\"hush\\r\\nX: y\"}",
	  BAD("/client_secret",													  "auth.oauth.client_secret must not hold control characters")     },
	{ "{\"client_id\":\"me\",\"client_secret\":\"[REDACTED]\"}",
	  BAD("/client_secret",													  "auth.oauth.client_secret is \"[REDACTED]\", but none is stored")},
	{ "{" KEYED "}",						     BAD("/client_secret",				       "auth.oauth.client_secret is required")			       },
	{ "{" KEYED ",\"client_secret\":\"hush\"}",
	  BAD("/client_secret",													  "auth.oauth.client_secret must be a PEM key that can sign: ")    },
	{ "{\"client_id\":\"a\\nb\"}",
	  BAD("/client_id",													      "auth.oauth.client_id must not hold control characters")	     },
	{ "{\"scope\":\"a\\tb\"}",
	  BAD("/scope",														  "auth.oauth.scope must not hold control characters")	     },
	{ "{\"scope\":[\"a\"]}",					     BAD("/scope",					       "auth.oauth.scope must be a string")				    },
	{ "{\"audience\":\"\\u007f\"}",					BAD("/audience",						 "auth.oauth.audience must not hold")			      },
	{ "{\"resource\":\"yes\"}",					  BAD("/resource",					     "auth.oauth.resource must be true or false")			  },
	{ "{\"token_url\":\"https://as.example.com/t\"}",
	  BAD("/authorization_url",
	      "auth.oauth.authorization_url is required with auth.oauth.token_url")															   },
	{ "{\"authorization_url\":\"https://as.example.com/t\"}",
	  BAD("/token_url",													      "auth.oauth.token_url is required with")			     },
	{ "{\"revocation_url\":\"https://as.example.com/t\"}",
	  BAD("/revocation_url",													 "auth.oauth.revocation_url wants auth.oauth.token_url")		 },
	{ "{\"issuer\":\"as.example.com\"}",				     BAD("/issuer",						    "auth.oauth.issuer: ")					   },
	{ "{\"issuer\":\"https://as.example.com/?x\"}",
	  BAD("/issuer",														 "auth.oauth.issuer: URL must not have a query")			 },
	{ "{\"issuer\":\"http://as.example.com/\"}",
	  BAD("/issuer",														 "auth.oauth.issuer: URL must begin with https://")		    },
	{ "{\"issuer\":\"http://10.0.0.5/\"}",
	  BAD("/issuer",														 "auth.oauth.issuer: URL must begin with https://")		    },
	{ "{\"issuer\":\"https://me:hush@as.example.com/\"}",
	  BAD("/issuer",														 "auth.oauth.issuer: ")						},
	{ "{\"issuer\":\"https://127.0.0.1/\"}",				 "egress_denied",						  "/auth/oauth/issuer",
	  "auth.oauth.issuer: " },
	{ "{\"issuer\":\"http://127.0.0.1:9001/\"}",								 "egress_denied",										 "/auth/oauth/issuer",
	  "auth.oauth.issuer: " },
	{ "{\"authorization_url\":\"https://as.example.com/a\",\"token_url\":\"https://"
	  "169.254.169.254/t\"}",					      "egress_denied",												      "/auth/oauth/token_url",																	"auth.oauth.token_url: " },
	{ "{\"authorization_url\":\"javascript:alert(1)\",\"token_url\":\"https://as.example.com/"
	  "t\"}",					   BAD("/authorization_url","auth.oauth.authorization_url: ")},
	{ "{\"authorization_url\":\"http://127.0.0.1:1/a\",\"token_url\":\"https://as.example.com/"
	  "t\"}","egress_denied",						  "/auth/oauth/authorization_url",																										    "auth.oauth.authorization_url: " },
	{ "{" ENDPOINTS ",\"revocation_url\":\"https://[::1]/r\"}",						    "egress_denied",
	  "/auth/oauth/revocation_url","auth.oauth.revocation_url: " },
	{ "{\"authorize_params\":[]}",
	  BAD("/authorize_params", "auth.oauth.authorize_params must be an object")																				    },
	{ "{\"authorize_params\":{\"a/b\":1}}",
	  BAD("/authorize_params/a~1b",											       "auth.oauth.authorize_params.a/b must be a string")																					 },
	{ "{\"authorize_params\":{\"a\":\"\\u0000\"}}",
	  BAD("/authorize_params/a",										      "auth.oauth.authorize_params.a must be a string")																				    },
	{ "{\"authorize_params\":{\"state\":\"x\"}}",
	  BAD("/authorize_params",									      "auth.oauth.authorize_params: authorize parameter state is set "
				   "by the gateway itself")																				       },
	{ "{\"authorize_params\":{\"\":\"x\"}}",
	  BAD("/authorize_params",										"auth.oauth.authorize_params: ")																					 },
};

static void what_is_wrong_is_refused_with_its_place_and_a_sentence(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(refusals); i++)
		check_refusal(&refusals[i], URL, NULL);
}

static void there_is_a_limit_to_everything(void **state)
{
	struct arena *arena = arena_new();
	struct buf many;
	char *large = arena_alloc(arena, API_MAX_CREDENTIAL + 2);

	(void)state;
	memset(large, 'x', API_MAX_CREDENTIAL + 1);
	check_refusal(
		&(struct refusal){
			arena_printf(arena, "{\"client_secret\":\"%s\"}", large),
			BAD("/client_secret",
			    "auth.oauth.client_secret must not be longer than 8192 bytes") },
		URL, NULL);
	large[4097] = '\0';
	check_refusal(
		&(struct refusal){
			arena_printf(arena, "{\"scope\":\"%s\"}", large),
			BAD("/scope", "auth.oauth.scope must not be longer than 4096 bytes") },
		URL, NULL);
	large[2049] = '\0';
	check_refusal(
		&(struct refusal){
			arena_printf(arena, "{\"authorize_params\":{\"a\":\"%s\"}}", large),
			BAD("/authorize_params/a", "auth.oauth.authorize_params.a must have") },
		URL, NULL);
	buf_init(&many, 4096);
	for (int i = 0; i <= 32; i++)
		buf_printf(&many, "%s\"p%d\":\"\"", i == 0 ? "{" : ",", i);
	buf_add(&many, "}");
	check_refusal(
		&(struct refusal){ arena_printf(arena, "{\"authorize_params\":%s}", buf_str(&many)),
				   BAD("/authorize_params",
				       "auth.oauth.authorize_params must not have more than 32") },
		URL, NULL);
	buf_fini(&many);
	arena_free(&arena);
}

/* As full as it may be, each byte one that JSON writes as six. */
static void the_largest_settings_fit(void **state)
{
	struct arena *arena = arena_new();
	struct parsed parsed;
	struct buf text;

	(void)state;
	buf_init(&text, 4 << 20);
	buf_add(&text, "{\"authorize_params\":{");
	for (int i = 0; i < 32; i++) {
		buf_printf(&text, "%s\"%d", i == 0 ? "" : ",", i + 10);
		for (int k = 0; k < 254; k++)
			buf_add(&text, "\\u0001");
		buf_add(&text, "\":\"");
		for (int k = 0; k < 2048; k++)
			buf_add(&text, "\\u0002");
		buf_add(&text, "\"");
	}
	buf_add(&text, "}}");
	parse(&parsed, buf_str(&text), NULL);
	assert_int_equal(parsed.ret, 0);
	parsed_free(&parsed);
	buf_fini(&text);
	arena_free(&arena);
}

static const struct {
	const char *before;
	const char *oauth;
	const char *url;
	bool kept;
} kept_secrets[] = {
	{"{" ENDPOINTS ",\"client_id\":\"me\"}",		  "{" ENDPOINTS ",\"client_id\":\"me\"",	 URL,
	  true																  },
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",		  "{" ENDPOINTS ",\"client_id\":\"me\"",
	  "https://evil.example.com/mcp",												  true },
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",
	  "{" ENDPOINTS ",\"client_id\":\"me\",\"scope\":\"x\",\"per\":\"shared\",\"token_"
	  "endpoint_auth\":\"post\"",								URL,				 true },
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",
	  "{\"authorization_url\":\"https://as.example.com/a\",\"token_url\":\"https://"
	  "evil.example.com/t\",\"client_id\":\"me\"",					       URL,				 false},
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",
	  "{" ENDPOINTS ",\"revocation_url\":\"https://evil.example.com/\",\"client_id\":\"me\"",
	  URL,															     false},
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",		  "{" ENDPOINTS ",\"client_id\":\"you\"", URL,
	  false																 },
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",		  "{\"client_id\":\"me\"",		   URL,					false},
	{ "{" ENDPOINTS ",\"client_id\":\"me\"}",
	  "{" ENDPOINTS ",\"client_id\":\"me\",\"token_endpoint_auth\":\"private_key_jwt\"",	     URL,
	  false																 },
	{ "{\"issuer\":\"https://a\",\"client_id\":\"me\"}",
	  "{\"issuer\":\"https://a\",\"client_id\":\"me\"",					    "https://evil.example.com/mcp",	    true },
	{ "{\"issuer\":\"https://a\",\"client_id\":\"me\"}",
	  "{\"issuer\":\"https://b\",\"client_id\":\"me\"",					    URL,				 false},
	{ "{\"client_id\":\"me\"}",			    "{\"client_id\":\"me\"",		     "https://CRM.example.com:443/other",
	  true																  },
	{ "{\"client_id\":\"me\"}",			    "{\"client_id\":\"me\"",		     "https://evil.example.com/mcp",
	  false																 },
	{ "{\"client_id\":\"me\"}",			    "{\"client_id\":\"me\"",		     "https://crm.example.com:444/mcp",
	  false																 },
};

static void a_secret_is_kept_for_the_server_that_it_was_given_for(void **state)
{
	struct arena *arena = arena_new();

	(void)state;
	for (size_t i = 0; i < COUNT(kept_secrets); i++) {
		json_t *stored = json(kept_secrets[i].before);
		const struct connection_before before = { .url = URL,
							  .oauth = stored,
							  .has_oauth_secret = true };
		const char *oauth = arena_printf(arena, "%s%s,\"client_secret\":\"[REDACTED]\"}",
						 kept_secrets[i].oauth,
						 strstr(kept_secrets[i].oauth, "_auth") == NULL
							 ? ",\"token_endpoint_auth\":\"basic\""
							 : "");
		struct parsed parsed;

		if (kept_secrets[i].kept) {
			parse_at(&parsed, kept_secrets[i].url, oauth, &before);
			if (parsed.ret < 0)
				fail_msg("%s: %s", oauth, parsed.fault.err.text);
			assert_int_equal(parsed.out.secret_change, CREDENTIAL_KEPT);
			assert_null(parsed.out.secret);
			parsed_free(&parsed);
		} else {
			check_refusal(
				&(struct refusal){
					oauth,
					BAD("/client_secret",
					    "auth.oauth.client_secret must be written anew") },
				kept_secrets[i].url, &before);
		}
		json_decref(stored);
	}
	arena_free(&arena);
}

static void an_address_that_stood_there_before_may_stay(void **state)
{
	json_t *stored = json("{\"issuer\":\"https://10.1.2.3/\"}");
	const struct connection_before before = { .url = URL, .oauth = stored };
	struct parsed parsed;

	(void)state;
	parse(&parsed, "{\"issuer\":\"https://10.1.2.3/\",\"scope\":\"a\"}", &before);
	assert_int_equal(parsed.ret, 0);
	parsed_free(&parsed);
	check_refusal(&(struct refusal){ "{\"issuer\":\"https://10.1.2.4/\"}", "egress_denied",
					 "/auth/oauth/issuer", "auth.oauth.issuer: " },
		      URL, &before);
	json_decref(stored);
}

static void check_json(json_t *value, const char *wanted)
{
	struct buf text;

	buf_init(&text, 4096);
	assert_int_equal(json_write(value, &text), 0);
	assert_string_equal(buf_str(&text), wanted);
	buf_fini(&text);
	json_decref(value);
}

static void administrators_see_all_but_the_secret_and_users_whose_it_is(void **state)
{
	static const char settings[] = "{\"per\":\"user\",\"grant\":\"authorization_code\"," FOUND
				       "\"token_endpoint_auth\":\"basic\"," REST;

	(void)state;
	check_json(oauth_body_show(settings, true, true),
		   "{\"grant\":\"authorization_code\",\"per\":\"user\"," FOUND
		   "\"client_secret\":\"[REDACTED]\",\"token_endpoint_auth\":\"basic\"," REST);
	check_json(oauth_body_show(settings, false, true),
		   "{\"grant\":\"authorization_code\",\"per\":\"user\"," FOUND
		   "\"client_secret\":null,\"token_endpoint_auth\":\"basic\"," REST);
	check_json(oauth_body_show(settings, true, false),
		   "{\"grant\":\"authorization_code\",\"per\":\"user\"}");
	check_json(oauth_body_show("[]", true, true), "{}");
}

static void another_grant_forgets_what_it_has_no_use_for(void **state)
{
	static const struct {
		const char *patch;
		const char *left;
	} rows[] = {
		{"{}",				  "{\"grant\":\"authorization_code\",\"per\":\"user\",\"authorization_url\":"
			"\"x\",\"authorize_params\":{},\"scope\":\"a\"}"},
		{ "{\"grant\":\"authorization_code\"}",
		  "{\"grant\":\"authorization_code\",\"per\":\"user\",\"authorization_url\":\"x\","
		  "\"authorize_params\":{},\"scope\":\"a\"}"				     },
		{ "{\"grant\":\"client_credentials\"}",
		  "{\"grant\":\"authorization_code\",\"scope\":\"a\"}"			       },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *shown = json(rows[0].left);
		json_t *patch = json(rows[i].patch);

		oauth_body_forget(shown, patch);
		check_json(shown, rows[i].left);
		json_decref(patch);
	}
	oauth_body_forget(NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_absent_or_null_has_its_default),
		cmocka_unit_test(what_is_given_is_kept_as_it_is),
		cmocka_unit_test(a_client_without_a_secret_is_a_public_one),
		cmocka_unit_test(what_the_policy_permits_may_be_plain_http_on_loopback),
		cmocka_unit_test(a_key_is_taken_if_it_can_sign),
		cmocka_unit_test(what_is_wrong_is_refused_with_its_place_and_a_sentence),
		cmocka_unit_test(there_is_a_limit_to_everything),
		cmocka_unit_test(the_largest_settings_fit),
		cmocka_unit_test(a_secret_is_kept_for_the_server_that_it_was_given_for),
		cmocka_unit_test(an_address_that_stood_there_before_may_stay),
		cmocka_unit_test(administrators_see_all_but_the_secret_and_users_whose_it_is),
		cmocka_unit_test(another_grant_forgets_what_it_has_no_use_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
