/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_connection_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static json_t *json(const char *text)
{
	struct err err;
	json_t *value = json_parse(span_of(text), &err);

	if (value == NULL)
		fail_msg("%s: %s", text, err.text);
	return value;
}

static const struct connection_view stored = {
	.id = "8a6e0804-2bd0-4672-b79d-d97027f9071a",
	.name = "crm",
	.description = "",
	.enabled = true,
	.transport = "streamable-http",
	.url = "https://crm.example.com/mcp",
	.era = "auto",
	.auth_mode = "api_key",
	.auth_header = "X-Key",
	.has_credential = true,
	.header_names = "[\"X-Env\"]",
	.connect_timeout_ms = 10000,
	.call_timeout_ms = 1500,
	.session_scope = "principal",
	.trust_level = "untrusted",
	.tools_allow = "[\"*\"]",
	.tools_deny = "[]",
	.audit_level = "full",
	.audit_redact = "[\"iban\"]",
	.version = 3,
	.created_at = "2026-11-20T12:31:00.000001Z",
	.updated_at = "2026-11-20T12:31:00.000002Z",
};

static void check_shown(bool secrets, const char *wanted)
{
	json_t *shown = connection_body_show(&stored, secrets);
	char *text = json_dumps(shown, JSON_COMPACT);

	assert_string_equal(text, wanted);
	free(text);
	json_decref(shown);
}

#define SHOWN_START                                                                                \
	"{\"id\":\"8a6e0804-2bd0-4672-b79d-d97027f9071a\",\"name\":\"crm\",\"description\":\"\","  \
	"\"enabled\":true,\"transport\":\"streamable-http\","                                      \
	"\"url\":\"https://crm.example.com/mcp\",\"era\":\"auto\","
#define SHOWN_AUDIT "\"audit\":{\"level\":\"full\",\"redact\":[\"iban\"]},"
#define SHOWN_END(audit)                                                                           \
	"\"connect_timeout\":\"10s\",\"call_timeout\":\"1500ms\",\"session\":\"principal\","       \
	"\"trust_level\":\"untrusted\","                                                           \
	"\"tools\":{\"allow\":[\"*\"],\"deny\":[]}," audit "\"version\":3,"                        \
	"\"created_at\":\"2026-11-20T12:31:00.000001Z\","                                          \
	"\"updated_at\":\"2026-11-20T12:31:00.000002Z\",\"notes\":[\"trust_level decides about "   \
	"the baggage of traces only: beside that every upstream is treated as untrusted\"]}"

static void administrators_see_that_there_are_secrets_and_users_do_not(void **state)
{
	(void)state;
	check_shown(true, SHOWN_START
		    "\"auth\":{\"mode\":\"api_key\",\"credential\":\"[REDACTED]\","
		    "\"header\":\"X-Key\"},\"headers\":{\"X-Env\":\"[REDACTED]\"}," SHOWN_END(
			    SHOWN_AUDIT));
	check_shown(false, SHOWN_START "\"auth\":{\"mode\":\"api_key\"}," SHOWN_END(""));
}

static void what_is_shown_can_be_written_back(void **state)
{
	json_t *shown = connection_body_show(&stored, true);
	json_t *names = json("[\"X-Env\"]");
	const struct connection_before before = { .url = stored.url,
						  .has_credential = true,
						  .header_names = names };
	struct arena *arena = arena_new();
	struct connection_body out;
	struct api_fault fault;
	struct err err;
	struct egress_policy *egress = egress_policy_new(NULL, 0, false, &err);

	(void)state;
	assert_int_equal(connection_body_parse(shown, &before, egress, arena, &out, &fault), 0);
	assert_int_equal(out.credential_change, CREDENTIAL_KEPT);
	assert_string_equal(out.auth_header, "X-Key");
	assert_int_equal(out.call_timeout_ms, 1500);
	assert_string_equal(out.audit_level, "full");
	assert_string_equal(out.audit_redact, "[\"iban\"]");
	assert_null(out.headers[0].value);
	arena_free(&arena);
	egress_policy_unref(&egress);
	json_decref(names);
	json_decref(shown);
}

static void a_patch_changes_what_it_names(void **state)
{
	static const struct {
		const char *patch;
		const char *auth;
		const char *headers;
	} patches[] = {
		{"{}",					       "{\"mode\":\"api_key\",\"credential\":\"[REDACTED]\",\"header\":\"X-Key\"}",
		  "{\"X-Env\":\"[REDACTED]\"}"																	       },
		{ "{\"headers\":{\"X-B\":\"b\"}}",
		  "{\"mode\":\"api_key\",\"credential\":\"[REDACTED]\",\"header\":\"X-Key\"}",						     "{\"X-Env\":\"[REDACTED]\",\"X-B\":\"b\"}"},
		{ "{\"headers\":{\"X-Env\":null}}",
		  "{\"mode\":\"api_key\",\"credential\":\"[REDACTED]\",\"header\":\"X-Key\"}",						     "{}"				      },
		{ "{\"auth\":{\"mode\":\"none\"}}",		    "{\"mode\":\"none\"}",
		  "{\"X-Env\":\"[REDACTED]\"}"																	       },
		{ "{\"auth\":{\"mode\":\"bearer\"}}",
		  "{\"mode\":\"bearer\",\"credential\":\"[REDACTED]\"}",									   "{\"X-Env\":\"[REDACTED]\"}"	       },
		{ "{\"auth\":{\"mode\":\"none\",\"header\":\"X\"}}",
		  "{\"mode\":\"none\",\"header\":\"X\"}",											  "{\"X-Env\":\"[REDACTED]\"}"	       },
		{ "{\"auth\":{\"mode\":\"oauth\"}}",		     "{\"mode\":\"oauth\"}",
		  "{\"X-Env\":\"[REDACTED]\"}"																	       },
		{ "{\"auth\":null,\"headers\":null}",		      NULL,									NULL					 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(patches); i++) {
		json_t *shown = connection_body_show(&stored, true);
		json_t *patch = json(patches[i].patch);
		json_t *merged = connection_body_merge(shown, patch);
		json_t *auth = patches[i].auth != NULL ? json(patches[i].auth) : NULL;
		json_t *headers = patches[i].headers != NULL ? json(patches[i].headers) : NULL;

		assert_true(auth == NULL ? json_object_get(merged, "auth") == NULL
					 : json_equal(json_object_get(merged, "auth"), auth));
		assert_true(headers == NULL
				    ? json_object_get(merged, "headers") == NULL
				    : json_equal(json_object_get(merged, "headers"), headers));
		assert_string_equal(json_text(merged, "name"), "crm");
		json_decref(auth);
		json_decref(headers);
		json_decref(merged);
		json_decref(patch);
		json_decref(shown);
	}
}

static void a_patch_of_oauth_settings_keeps_the_rest(void **state)
{
	static const struct {
		const char *patch;
		const char *auth;
	} patches[] = {
		{"{}",								  "{\"mode\":\"oauth\",\"oauth\":{\"grant\":\"authorization_code\",\"per\":"
			"\"user\",\"client_secret\":\"[REDACTED]\"}}"		      },
		{ "{\"auth\":{\"oauth\":{\"per\":\"shared\",\"client_secret\":null}}}",
		  "{\"mode\":\"oauth\",\"oauth\":{\"grant\":\"authorization_code\",\"per\":"
		  "\"shared\"}}"									     },
		{ "{\"auth\":{\"oauth\":{\"grant\":\"client_credentials\"}}}",
		  "{\"mode\":\"oauth\",\"oauth\":{\"grant\":\"client_credentials\",\"client_"
		  "secret\":\"[REDACTED]\"}}"								},
		{ "{\"auth\":{\"mode\":\"none\"}}",					    "{\"mode\":\"none\"}"},
		{ "{\"auth\":{\"mode\":\"bearer\",\"credential\":\"x\"}}",
		  "{\"mode\":\"bearer\",\"credential\":\"x\"}"						       },
	};
	struct connection_view view = stored;

	(void)state;
	view.auth_mode = "oauth";
	view.auth_header = NULL;
	view.has_credential = false;
	view.oauth = "{\"per\":\"user\",\"grant\":\"authorization_code\"}";
	view.has_oauth_secret = true;
	for (size_t i = 0; i < COUNT(patches); i++) {
		json_t *shown = connection_body_show(&view, true);
		json_t *patch = json(patches[i].patch);
		json_t *merged = connection_body_merge(shown, patch);
		json_t *auth = json(patches[i].auth);

		assert_true(json_equal(json_object_get(merged, "auth"), auth));
		json_decref(auth);
		json_decref(merged);
		json_decref(patch);
		json_decref(shown);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(administrators_see_that_there_are_secrets_and_users_do_not),
		cmocka_unit_test(what_is_shown_can_be_written_back),
		cmocka_unit_test(a_patch_changes_what_it_names),
		cmocka_unit_test(a_patch_of_oauth_settings_keeps_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
