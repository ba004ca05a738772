/* SPDX-License-Identifier: Apache-2.0 */

/* Stored connections as JSON, and patches of them. */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/http/api_connection_body.h"
#include "gateway/http/api_oauth_body.h"

#define MS_PER_SECOND 1000
#define TRUST_LEVEL_NOTE                                                                           \
	"trust_level decides about the baggage of traces only: beside that every upstream is "     \
	"treated as untrusted"

/* As it is best read: "10s", or "250ms". */
static json_t *show_duration(int64_t ms)
{
	char text[32];

	if (ms % MS_PER_SECOND == 0)
		snprintf(text, sizeof(text), "%llds", (long long)(ms / MS_PER_SECOND));
	else
		snprintf(text, sizeof(text), "%lldms", (long long)ms);
	return json_string(text);
}

/* JSON that Postgres wrote. */
static json_t *stored_json(const char *text)
{
	struct err err;
	json_t *value = json_parse(span_of(text), &err);

	return value != NULL ? value : json_array();
}

static json_t *show_auth(const struct connection_view *view, bool secrets)
{
	json_t *auth = json_pack("{s:s}", "mode", view->auth_mode);

	if (secrets && view->has_credential)
		json_object_set_new(auth, "credential", json_string(API_REDACTED));
	if (secrets && view->auth_header != NULL)
		json_object_set_new(auth, "header", json_string(view->auth_header));
	if (view->oauth != NULL)
		json_object_set_new(auth, "oauth",
				    oauth_body_show(view->oauth, view->has_oauth_secret, secrets));
	return auth;
}

static json_t *show_headers(const struct connection_view *view)
{
	json_t *names = stored_json(view->header_names);
	json_t *headers = json_object();

	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));

		if (name != NULL)
			json_object_set_new(headers, name, json_string(API_REDACTED));
	}
	json_decref(names);
	return headers;
}

json_t *connection_body_show(const struct connection_view *view, bool secrets)
{
	json_t *shown = json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:o}", "id", view->id,
				  "name", view->name, "description", view->description, "enabled",
				  view->enabled, "transport", view->transport, "url", view->url,
				  "era", view->era, "auth", show_auth(view, secrets));

	assert(shown != NULL);
	if (secrets)
		json_object_set_new(shown, "headers", show_headers(view));
	json_object_set_new(shown, "connect_timeout", show_duration(view->connect_timeout_ms));
	json_object_set_new(shown, "call_timeout", show_duration(view->call_timeout_ms));
	json_object_set_new(shown, "session", json_string(view->session_scope));
	json_object_set_new(shown, "trust_level", json_string(view->trust_level));
	json_object_set_new(shown, "tools",
			    json_pack("{s:o, s:o}", "allow", stored_json(view->tools_allow), "deny",
				      stored_json(view->tools_deny)));
	if (secrets)
		json_object_set_new(shown, "audit",
				    json_pack("{s:s, s:o}", "level", view->audit_level, "redact",
					      stored_json(view->audit_redact)));
	json_object_set_new(shown, "version", json_integer(view->version));
	json_object_set_new(shown, "created_at", json_string(view->created_at));
	json_object_set_new(shown, "updated_at", json_string(view->updated_at));
	json_object_set_new(shown, "notes", json_pack("[s]", TRUST_LEVEL_NOTE));
	return shown;
}

json_t *connection_body_merge(json_t *shown, json_t *patch)
{
	const char *mode = json_text(json_object_get(patch, "auth"), "mode");
	json_t *base = json_deep_copy(shown);
	json_t *auth = json_object_get(base, "auth");
	json_t *merged;

	if (mode != NULL && (strcmp(mode, "none") == 0 || strcmp(mode, "oauth") == 0))
		json_object_del(auth, "credential");
	if (mode != NULL && strcmp(mode, "oauth") != 0)
		json_object_del(auth, "oauth");
	oauth_body_forget(json_object_get(auth, "oauth"),
			  json_object_get(json_object_get(patch, "auth"), "oauth"));
	if (mode != NULL && strcmp(mode, "api_key") != 0)
		json_object_del(auth, "header");
	merged = merge_patch(base, patch);
	json_decref(base);
	return merged;
}
