/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_connection_body.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/text.h"
#include "gateway/http/api_oauth_body.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define AUTHORIZATION	"Authorization"
#define MAX_SHOWN_BYTES 64
#define TRUST_LEVEL_NOTE                                                                           \
	"trust_level decides about the baggage of traces only: beside that every upstream is "     \
	"treated as untrusted"

static const struct member connection_members[] = {
	{"name",		  MEMBER_TEXT,     MEMBER_REQUIRED, 0,		   0, "a name such as \"crm\""		       },
	{ "description",	 MEMBER_TEXT,     MEMBER_OPTIONAL, API_MAX_DESCRIPTION, 0, "a string"				  },
	{ "enabled",	     MEMBER_FLAG,	  MEMBER_OPTIONAL, 0,		      0, "true or false"				 },
	{ "transport",       MEMBER_TEXT,	    MEMBER_OPTIONAL, 0,			0, "\"streamable-http\""			 },
	{ "url",		 MEMBER_TEXT,     MEMBER_REQUIRED, 0,			  0,
	  "a URL such as \"https://crm.example.com/mcp\""									},
	{ "era",		 MEMBER_TEXT,     MEMBER_OPTIONAL, 0,			  0, "one of \"auto\", \"legacy\", \"modern\""},
	{ "auth",		  MEMBER_OBJECT,	 MEMBER_OPTIONAL, 0,		     0, "an object such as {\"mode\":\"none\"}"	},
	{ "headers",	     MEMBER_OBJECT,   MEMBER_OPTIONAL, 0,			0, "an object of header names and values"	  },
	{ "connect_timeout", MEMBER_DURATION, MEMBER_OPTIONAL, 0,			  0,
	  "a duration such as \"10s\" or a number of seconds"								    },
	{ "call_timeout",	  MEMBER_DURATION, MEMBER_OPTIONAL, 0,		       0,
	  "a duration such as \"60s\" or a number of seconds"								    },
	{ "session",	     MEMBER_TEXT,	  MEMBER_OPTIONAL, 0,		      0,
	  "one of \"shared\", \"principal\", \"client\""									 },
	{ "trust_level",	 MEMBER_TEXT,     MEMBER_OPTIONAL, 0,			  0, "\"untrusted\" or \"trusted\""	    },
	{ "tools",	   MEMBER_OBJECT,	  MEMBER_OPTIONAL, 0,		      0,
	  "an object such as {\"allow\":[\"*\"],\"deny\":[]}"								    },
	{ "audit",	   MEMBER_OBJECT,	  MEMBER_OPTIONAL, 0,		      0,
	  "an object such as {\"level\":\"redacted\",\"redact\":[]}"							     },
	{ "id",		MEMBER_IGNORED,	MEMBER_OPTIONAL, 0,		    0, NULL					    },
	{ "version",	     MEMBER_IGNORED,  MEMBER_OPTIONAL, 0,			 0, NULL					 },
	{ "created_at",	MEMBER_IGNORED,	MEMBER_OPTIONAL, 0,		    0, NULL					    },
	{ "updated_at",	MEMBER_IGNORED,	MEMBER_OPTIONAL, 0,		    0, NULL					    },
	{ "notes",	   MEMBER_IGNORED,  MEMBER_OPTIONAL, 0,		       0, NULL				       },
};

static const struct member auth_members[] = {
	{"mode",	  MEMBER_TEXT,   MEMBER_REQUIRED, 0,		   0,
	  "one of \"none\", \"bearer\", \"api_key\", \"oauth\""							},
	{ "credential", MEMBER_TEXT,   MEMBER_OPTIONAL, API_MAX_CREDENTIAL,  0, "a string"				},
	{ "header",	    MEMBER_TEXT,	 MEMBER_OPTIONAL, API_MAX_HEADER_NAME, 0,
	  "a header name such as \"X-API-Key\""									},
	{ "oauth",	   MEMBER_OBJECT, MEMBER_NULLABLE, 0,		      0, "an object such as {\"per\":\"user\"}"},
};

static const struct member tools_members[] = {
	{"allow", MEMBER_LIST, MEMBER_OPTIONAL, API_MAX_GLOB, API_MAX_GLOBS,
	  "a list of patterns such as [\"get_*\"]"   },
	{ "deny", MEMBER_LIST, MEMBER_OPTIONAL, API_MAX_GLOB, API_MAX_GLOBS,
	  "a list of patterns such as [\"delete_*\"]"},
};

static const struct member audit_members[] = {
	{"level",   MEMBER_TEXT, MEMBER_OPTIONAL, 0,	    0,
	  "one of \"metadata\", \"redacted\", \"full\""	},
	{ "redact", MEMBER_LIST, MEMBER_OPTIONAL, API_MAX_GLOB, API_MAX_GLOBS,
	  "a list of names of arguments such as [\"iban\"]"},
};

/* What a body is read against. */
struct reading {
	const struct connection_before *before; /* NULL: it is new */
	const struct egress_policy *egress;
	struct arena *arena;
};

/* Without case; one that ends in "-" stands for all that begin so. The framing and the hops of
 * HTTP, state of the client's side, and what the gateway itself says to an upstream. */
static const char *const denied_headers[] = {
	"Host",	  "Content-Length", "Transfer-Encoding", "Connection",	  "Keep-Alive",
	"TE",	  "Upgrade",	    "Trailer",		 "Expect",	  "Proxy-",
	"Cookie", "Set-Cookie",	    "Forwarded",	 "X-Forwarded-",  "Mcp-",
	"Accept", "Content-Type",   "Accept-Encoding",	 "Last-Event-ID", "Content-Encoding",
};

bool connection_header_denied(const char *name)
{
	for (size_t i = 0; i < COUNT(denied_headers); i++) {
		const char *denied = denied_headers[i];
		size_t n = strlen(denied);

		if (denied[n - 1] == '-' ? strncasecmp(name, denied, n) == 0
					 : strcasecmp(name, denied) == 0)
			return true;
	}
	return false;
}

/* RFC 9110 section 5.5, and DEL. */
static bool has_control_bytes(const char *value)
{
	for (const char *p = value; *p != '\0'; p++) {
		if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f)
			return true;
	}
	return false;
}

static int check_header_name(const char *name, const char *label, const char *pointer,
			     struct api_fault *fault)
{
	if (!text_is_token(name) || strlen(name) > API_MAX_HEADER_NAME)
		return api_fault_set(fault, pointer,
				     "%s: \"%.*s\" is no header name; it must be 1 to %d letters, "
				     "digits and - without spaces",
				     label, MAX_SHOWN_BYTES, name, API_MAX_HEADER_NAME);
	if (connection_header_denied(name))
		return api_fault_set(
			fault, pointer,
			"%s: the header %.*s is set by the gateway and cannot be given", label,
			MAX_SHOWN_BYTES, name);
	return 0;
}

static int parse_credential(const json_t *auth, const struct connection_before *before,
			    struct connection_body *out, struct api_fault *fault)
{
	const char *text = member_text(auth, "credential", NULL);

	if (text == NULL)
		return api_fault_set(fault, "/auth/credential",
				     "auth.credential is required when auth.mode is \"%s\"",
				     out->auth_mode);
	if (strcmp(text, API_REDACTED) == 0) {
		out->credential_change = CREDENTIAL_KEPT;
		if (before == NULL || !before->has_credential)
			return api_fault_set(fault, "/auth/credential",
					     "auth.credential is \"" API_REDACTED
					     "\", but none is stored that could be kept; write "
					     "the credential itself");
		return 0;
	}
	if (text[0] == '\0' || has_control_bytes(text))
		return api_fault_set(fault, "/auth/credential",
				     "auth.credential must not be empty or hold control "
				     "characters such as line breaks");
	out->credential_change = CREDENTIAL_NEW;
	out->credential = text;
	return 0;
}

static int parse_auth_header(const json_t *auth, struct connection_body *out,
			     struct api_fault *fault)
{
	out->auth_header = member_text(auth, "header", CONNECTION_DEFAULT_HEADER);
	return check_header_name(out->auth_header, "auth.header", "/auth/header", fault);
}

static int refuse_useless(const json_t *auth, const char *member, const char *pointer,
			  const struct connection_body *out, struct api_fault *fault)
{
	const json_t *value = json_object_get(auth, member);

	if (value == NULL || json_is_null(value))
		return 0;
	return api_fault_set(fault, pointer,
			     "auth.%s has no use when auth.mode is \"%s\"; leave it out", member,
			     out->auth_mode);
}

static int parse_auth_mode(const json_t *auth, struct connection_body *out, struct api_fault *fault)
{
	static const char *const modes[] = { "none", "bearer", "api_key", "oauth", NULL };

	out->auth_mode = member_text(auth, "mode", "none");
	if (member_word(out->auth_mode, "/auth/mode", modes, fault) < 0)
		return -1;
	return strcmp(out->auth_mode, "oauth") == 0
		       ? 0
		       : refuse_useless(auth, "oauth", "/auth/oauth", out, fault);
}

static int refuse_credential(const json_t *auth, const struct connection_body *out,
			     struct api_fault *fault)
{
	if (refuse_useless(auth, "credential", "/auth/credential", out, fault) < 0)
		return -1;
	return refuse_useless(auth, "header", "/auth/header", out, fault);
}

static int parse_oauth(const json_t *auth, const struct reading *reading,
		       struct connection_body *out, struct api_fault *fault)
{
	const struct oauth_body_params params = {
		.auth = auth,
		.url = out->url,
		.before = reading->before,
		.egress = reading->egress,
		.arena = reading->arena,
	};
	struct oauth_body oauth;

	if (refuse_credential(auth, out, fault) < 0 || oauth_body_parse(&params, &oauth, fault) < 0)
		return -1;
	out->oauth = oauth.settings;
	out->oauth_secret_change = oauth.secret_change;
	out->oauth_secret = oauth.secret;
	return 0;
}

static int parse_auth(const json_t *body, const struct reading *reading,
		      struct connection_body *out, struct api_fault *fault)
{
	const json_t *auth = json_object_get(body, "auth");

	out->auth_mode = "none";
	if (auth == NULL)
		return 0;
	if (members_check(auth, "/auth", "auth", auth_members, COUNT(auth_members), fault) < 0 ||
	    parse_auth_mode(auth, out, fault) < 0)
		return -1;
	if (strcmp(out->auth_mode, "none") == 0)
		return refuse_credential(auth, out, fault);
	if (strcmp(out->auth_mode, "oauth") == 0)
		return parse_oauth(auth, reading, out, fault);
	if (parse_credential(auth, reading->before, out, fault) < 0)
		return -1;
	return strcmp(out->auth_mode, "api_key") == 0
		       ? parse_auth_header(auth, out, fault)
		       : refuse_useless(auth, "header", "/auth/header", out, fault);
}

static bool had_header(const struct connection_before *before, const char *name)
{
	for (size_t i = 0; before != NULL && i < json_array_size(before->header_names); i++) {
		const char *had = json_string_value(json_array_get(before->header_names, i));

		if (had != NULL && strcasecmp(had, name) == 0)
			return true;
	}
	return false;
}

/* The header that carries the credential; NULL: none does. */
static const char *credential_header(const struct connection_body *out)
{
	return strcmp(out->auth_mode, "bearer") == 0 || strcmp(out->auth_mode, "oauth") == 0
		       ? AUTHORIZATION
		       : out->auth_header;
}

static int check_header_is_free(const struct connection_body *out, const char *name,
				const char *pointer, struct api_fault *fault)
{
	const char *taken = credential_header(out);

	if (taken != NULL && strcasecmp(name, taken) == 0)
		return api_fault_set(
			fault, pointer, "headers.%.*s would replace the header that carries %s",
			MAX_SHOWN_BYTES, name,
			strcmp(out->auth_mode, "oauth") == 0 ? "the token" : "auth.credential");
	for (size_t i = 0; i < out->n_headers; i++) {
		if (strcasecmp(name, out->headers[i].name) == 0)
			return api_fault_set(
				fault, pointer,
				"headers.%.*s is there twice: case makes no difference",
				MAX_SHOWN_BYTES, name);
	}
	return 0;
}

/* *value is set to NULL if the stored one is kept. */
static int parse_header_value(const json_t *json, const char *name,
			      const struct connection_before *before, const char *pointer,
			      const char **value, struct api_fault *fault)
{
	const char *text = json_string_value(json);

	if (text == NULL)
		return api_fault_set(fault, pointer, "headers.%.*s must be a string",
				     MAX_SHOWN_BYTES, name);
	*value = text;
	if (strcmp(text, API_REDACTED) == 0) {
		*value = NULL;
		if (!had_header(before, name))
			return api_fault_set(fault, pointer,
					     "headers.%.*s is \"" API_REDACTED
					     "\", but none is stored that could be kept; write "
					     "the value itself",
					     MAX_SHOWN_BYTES, name);
		return 0;
	}
	if (strlen(text) != json_string_length(json) || has_control_bytes(text))
		return api_fault_set(fault, pointer,
				     "headers.%.*s must not hold control characters such as line "
				     "breaks",
				     MAX_SHOWN_BYTES, name);
	if (strlen(text) > API_MAX_HEADER_VALUE)
		return api_fault_set(fault, pointer,
				     "headers.%.*s must not be longer than %d bytes",
				     MAX_SHOWN_BYTES, name, API_MAX_HEADER_VALUE);
	return 0;
}

static int parse_headers(const json_t *body, const struct connection_before *before,
			 struct connection_body *out, struct api_fault *fault)
{
	json_t *headers = json_object_get(body, "headers");
	size_t bytes = 0;
	const char *name;
	json_t *json;

	if (json_object_size(headers) > API_MAX_HEADERS)
		return api_fault_set(fault, "/headers",
				     "headers must not have more than %d members", API_MAX_HEADERS);
	json_object_foreach(headers, name, json)
	{
		char pointer[API_POINTER_BYTES];
		const char *value = NULL;

		api_pointer(pointer, "/headers", name);
		if (check_header_name(name, "headers", pointer, fault) < 0 ||
		    check_header_is_free(out, name, pointer, fault) < 0 ||
		    parse_header_value(json, name, before, pointer, &value, fault) < 0)
			return -1;
		out->headers[out->n_headers++] = (struct connection_header){ name, value };
		bytes += strlen(name) + (value != NULL ? strlen(value) : 0);
	}
	if (bytes > API_MAX_ALL_HEADERS)
		return api_fault_set(fault, "/headers",
				     "headers must not have more than %d bytes together",
				     API_MAX_ALL_HEADERS);
	return 0;
}

static const char *list_text(struct arena *arena, const json_t *list, const char *otherwise)
{
	struct buf text;
	const char *copy;
	int ret;

	if (list == NULL)
		return otherwise;
	/* An escaped byte is at most six. */
	buf_init(&text, API_MAX_GLOBS * (6 * API_MAX_GLOB + 3) + 2);
	ret = json_write(list, &text);
	assert(ret == 0); /* members_check has seen that it fits */
	copy = arena_dup(arena, text.data, text.len);
	buf_fini(&text);
	return copy;
}

static int parse_tools(const json_t *body, struct arena *arena, struct connection_body *out,
		       struct api_fault *fault)
{
	const json_t *tools = json_object_get(body, "tools");

	if (tools != NULL &&
	    members_check(tools, "/tools", "tools", tools_members, COUNT(tools_members), fault) < 0)
		return -1;
	out->tools_allow = list_text(arena, json_object_get(tools, "allow"), "[\"*\"]");
	out->tools_deny = list_text(arena, json_object_get(tools, "deny"), "[]");
	return 0;
}

static int parse_audit(const json_t *body, struct arena *arena, struct connection_body *out,
		       struct api_fault *fault)
{
	static const char *const levels[] = { "metadata", "redacted", "full", NULL };
	const json_t *audit = json_object_get(body, "audit");

	if (audit != NULL &&
	    members_check(audit, "/audit", "audit", audit_members, COUNT(audit_members), fault) < 0)
		return -1;
	out->audit_level = member_text(audit, "level", "redacted");
	out->audit_redact = list_text(arena, json_object_get(audit, "redact"), "[]");
	return member_word(out->audit_level, "/audit/level", levels, fault);
}

static int parse_url(const json_t *body, const struct connection_before *before,
		     const struct egress_policy *egress, struct connection_body *out,
		     struct api_fault *fault)
{
	struct err err;

	out->url = member_text(body, "url", "");
	if (egress_check_url(egress, out->url, &err) == 0)
		return 0;
	if (err.code != ERR_FORBIDDEN)
		return api_fault_set(fault, "/url", "url: %s", err.text);
	if (before != NULL && strcmp(before->url, out->url) == 0)
		return 0;
	api_fault_set(fault, "/url", "url: %s", err.text);
	fault->code = "egress_denied";
	return -1;
}

static int parse_words(const json_t *body, struct connection_body *out, struct api_fault *fault)
{
	static const char *const transports[] = { "streamable-http", NULL };
	static const char *const eras[] = { "auto", "legacy", "modern", NULL };
	static const char *const scopes[] = { "shared", "principal", "client", NULL };
	static const char *const levels[] = { "untrusted", "trusted", NULL };
	const char *transport = member_text(body, "transport", transports[0]);

	out->era = member_text(body, "era", eras[0]);
	out->session_scope = member_text(body, "session", scopes[0]);
	out->trust_level = member_text(body, "trust_level", levels[0]);
	if (member_word(transport, "/transport", transports, fault) < 0 ||
	    member_word(out->era, "/era", eras, fault) < 0 ||
	    member_word(out->session_scope, "/session", scopes, fault) < 0)
		return -1;
	return member_word(out->trust_level, "/trust_level", levels, fault);
}

int connection_body_parse(const json_t *body, const struct connection_before *before,
			  const struct egress_policy *egress, struct arena *arena,
			  struct connection_body *out, struct api_fault *fault)
{
	const struct reading reading = { before, egress, arena };

	*out = (struct connection_body){
		.connect_timeout_ms = CONNECTION_DEFAULT_CONNECT_MS,
		.call_timeout_ms = CONNECTION_DEFAULT_CALL_MS,
	};
	if (members_check(body, "", "a connection", connection_members, COUNT(connection_members),
			  fault) < 0 ||
	    member_name(body, "name", fault) < 0 ||
	    parse_url(body, before, egress, out, fault) < 0 || parse_words(body, out, fault) < 0 ||
	    parse_auth(body, &reading, out, fault) < 0 ||
	    parse_headers(body, before, out, fault) < 0 ||
	    parse_tools(body, arena, out, fault) < 0 || parse_audit(body, arena, out, fault) < 0 ||
	    member_duration(body, "connect_timeout", &out->connect_timeout_ms, fault) < 0 ||
	    member_duration(body, "call_timeout", &out->call_timeout_ms, fault) < 0)
		return -1;
	out->name = member_text(body, "name", "");
	out->description = member_text(body, "description", "");
	out->enabled = member_flag(body, "enabled", true);
	return 0;
}
