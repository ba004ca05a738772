/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_body.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/loop.h"
#include "base/url.h"
#include "oauth/authorize.h"
#include "oauth/client.h"
#include "oauth/jw_assertion.h"
#include "oauth/metadata.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define AT		"/auth/oauth"
#define CODE		"authorization_code"
#define CREDENTIALS	"client_credentials"
#define KEY_METHOD	"private_key_jwt"
#define MAX_SHOWN_BYTES 64
#define MAX_URL		2048
#define MAX_PARAM_NAME	256
#define MAX_PARAM_VALUE 2048
/* An escaped byte is at most six. */
#define MAX_SETTINGS_BYTES                                                                         \
	(6 * (6 * MAX_URL + METADATA_MAX_SCOPE_BYTES +                                             \
	      AUTHORIZE_MAX_PARAMS * (MAX_PARAM_NAME + MAX_PARAM_VALUE)) +                         \
	 4096)

static const struct member oauth_members[] = {
	{"grant",		   MEMBER_TEXT,	MEMBER_NULLABLE, 0,			    0,
	  "\"authorization_code\" or \"client_credentials\""							       },
	{ "per",		 MEMBER_TEXT,   MEMBER_NULLABLE, 0,			  0, "\"user\" or \"shared\""    },
	{ "issuer",		    MEMBER_TEXT,	 MEMBER_NULLABLE, MAX_URL,		   0, "a URL or null"	      },
	{ "authorization_url",   MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		      0, "a URL or null"		 },
	{ "token_url",	       MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		      0, "a URL or null"		 },
	{ "revocation_url",	    MEMBER_TEXT,	 MEMBER_NULLABLE, MAX_URL,		   0, "a URL or null"	      },
	{ "client_id",	       MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		      0, "a string or null"	    },
	{ "client_secret",	   MEMBER_TEXT,	MEMBER_NULLABLE, API_MAX_CREDENTIAL,	     0,
	  "a string or null"											       },
	{ "token_endpoint_auth", MEMBER_TEXT,   MEMBER_NULLABLE, 0,			  0, "a string such as \"basic\""},
	{ "scope",		   MEMBER_TEXT,	MEMBER_NULLABLE, METADATA_MAX_SCOPE_BYTES, 0, "a string"			 },
	{ "audience",	      MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		     0, "a string or null"	   },
	{ "resource",	      MEMBER_FLAG,   MEMBER_NULLABLE, 0,			       0, "true or false"		  },
	{ "authorize_params",    MEMBER_OBJECT, MEMBER_NULLABLE, 0,			 0,
	  "an object such as {\"prompt\":\"consent\"}"								     },
};

/* What is being read, member by member. */
struct reading {
	const struct oauth_body_params *params;
	const json_t *oauth;
	const json_t *before; /* the settings that were stored; NULL: none */
	const char *grant;
	const char *per;
	const char *client_auth;
	struct oauth_body *out;
};

/* The empty text is as good as none. */
static const char *text_of(const json_t *object, const char *name)
{
	const char *text = member_text(object, name, NULL);

	return text != NULL && text[0] != '\0' ? text : NULL;
}

static bool is_code(const struct reading *reading)
{
	return strcmp(reading->grant, CODE) == 0;
}

static int read_words(struct reading *reading, struct api_fault *fault)
{
	static const char *const grants[] = { CODE, CREDENTIALS, NULL };
	static const char *const pers[] = { "user", "shared", NULL };
	static const char *const methods[] = { "basic",	   "basic_raw", "post",
					       KEY_METHOD, "none",	NULL };

	reading->grant = member_text(reading->oauth, "grant", CODE);
	if (member_word(reading->grant, AT "/grant", grants, fault) < 0)
		return -1;
	reading->per = member_text(reading->oauth, "per", is_code(reading) ? "user" : "shared");
	if (member_word(reading->per, AT "/per", pers, fault) < 0)
		return -1;
	if (!is_code(reading) && strcmp(reading->per, "shared") != 0)
		return api_fault_set(fault, AT "/per",
				     "auth.oauth.per must be \"shared\": with client_credentials "
				     "no user signs in");
	/* A client without a secret is a public one, unless somebody says otherwise. */
	reading->client_auth =
		member_text(reading->oauth, "token_endpoint_auth",
			    text_of(reading->oauth, "client_id") != NULL &&
					    text_of(reading->oauth, "client_secret") == NULL
				    ? "none"
				    : "basic");
	return member_word(reading->client_auth, AT "/token_endpoint_auth", methods, fault);
}

/* --- addresses ------------------------------------------------------------------------------- */

static bool stood_before(const struct reading *reading, const char *name, const char *url)
{
	const char *old = member_text(reading->before, name, NULL);

	return old != NULL && strcmp(old, url) == 0;
}

/* The policy is asked about what the gateway connects to, and about http, which it permits to
 * exceptions only; the authorization endpoint is for browsers. */
static int check_egress(const struct reading *reading, const char *name, const char *pointer,
			const char *url, struct api_fault *fault)
{
	bool browsers = strcmp(name, "authorization_url") == 0;
	struct err err;

	if ((browsers && strncasecmp(url, "https:", 6) == 0) ||
	    egress_check_url(reading->params->egress, url, &err) == 0)
		return 0;
	if (err.code == ERR_FORBIDDEN && stood_before(reading, name, url))
		return 0;
	api_fault_set(fault, pointer, "auth.oauth.%s: %s", name, err.text);
	if (err.code == ERR_FORBIDDEN)
		fault->code = "egress_denied";
	return -1;
}

static int check_url(const struct reading *reading, const char *name, struct api_fault *fault)
{
	const char *url = text_of(reading->oauth, name);
	char pointer[API_POINTER_BYTES];
	struct err err;
	int ret;

	if (url == NULL)
		return 0;
	api_pointer(pointer, AT, name);
	ret = strcmp(name, "issuer") == 0 ? metadata_check_issuer(url, true, &err)
					  : metadata_check_url(name, url, true, &err);
	if (ret < 0)
		return api_fault_set(fault, pointer, "auth.oauth.%s", err.text);
	return check_egress(reading, name, pointer, url, fault);
}

static int refuse_for_credentials(const struct reading *reading, const char *name,
				  struct api_fault *fault)
{
	const json_t *value = json_object_get(reading->oauth, name);
	char pointer[API_POINTER_BYTES];

	if (text_of(reading->oauth, name) == NULL && json_object_size(value) == 0)
		return 0;
	api_pointer(pointer, AT, name);
	return api_fault_set(fault, pointer,
			     "auth.oauth.%s has no use when auth.oauth.grant is "
			     "\"client_credentials\"; leave it out",
			     name);
}

static int check_urls(const struct reading *reading, struct api_fault *fault)
{
	static const char *const names[] = { "issuer", "authorization_url", "token_url",
					     "revocation_url" };
	bool has_authorization = text_of(reading->oauth, "authorization_url") != NULL;
	bool has_token = text_of(reading->oauth, "token_url") != NULL;

	if (!is_code(reading) && (refuse_for_credentials(reading, "authorization_url", fault) < 0 ||
				  refuse_for_credentials(reading, "authorize_params", fault) < 0))
		return -1;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (check_url(reading, names[i], fault) < 0)
			return -1;
	}
	if (is_code(reading) && has_token && !has_authorization)
		return api_fault_set(fault, AT "/authorization_url",
				     "auth.oauth.authorization_url is required with "
				     "auth.oauth.token_url; without both they are discovered");
	if (has_authorization && !has_token)
		return api_fault_set(fault, AT "/token_url",
				     "auth.oauth.token_url is required with "
				     "auth.oauth.authorization_url; without both they are "
				     "discovered");
	if (!has_token && text_of(reading->oauth, "revocation_url") != NULL)
		return api_fault_set(fault, AT "/revocation_url",
				     "auth.oauth.revocation_url wants auth.oauth.token_url; "
				     "without both they are discovered");
	return 0;
}

/* --- texts that are sent --------------------------------------------------------------------- */

static bool is_plain(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	}
	return true;
}

static int check_texts(const struct reading *reading, struct api_fault *fault)
{
	static const char *const names[] = { "client_id", "scope", "audience" };

	for (size_t i = 0; i < COUNT(names); i++) {
		char pointer[API_POINTER_BYTES];

		api_pointer(pointer, AT, names[i]);
		if (!is_plain(member_text(reading->oauth, names[i], "")))
			return api_fault_set(fault, pointer,
					     "auth.oauth.%s must not hold control characters "
					     "such as line breaks",
					     names[i]);
	}
	return 0;
}

static int check_param(const char *name, const json_t *value, struct api_fault *fault)
{
	const char *text = json_string_value(value);
	char pointer[API_POINTER_BYTES];

	api_pointer(pointer, AT "/authorize_params", name);
	if (text == NULL || strlen(text) != json_string_length(value))
		return api_fault_set(fault, pointer,
				     "auth.oauth.authorize_params.%.*s must be a string",
				     MAX_SHOWN_BYTES, name);
	if (strlen(name) > MAX_PARAM_NAME || strlen(text) > MAX_PARAM_VALUE)
		return api_fault_set(fault, pointer,
				     "auth.oauth.authorize_params.%.*s must have a name of at "
				     "most %d and a value of at most %d bytes",
				     MAX_SHOWN_BYTES, name, MAX_PARAM_NAME, MAX_PARAM_VALUE);
	return 0;
}

static int check_params(const struct reading *reading, struct api_fault *fault)
{
	json_t *object = json_object_get(reading->oauth, "authorize_params");
	struct oauth_param list[AUTHORIZE_MAX_PARAMS];
	size_t n = 0;
	const char *name;
	json_t *value;
	struct err err;

	if (json_object_size(object) > AUTHORIZE_MAX_PARAMS)
		return api_fault_set(fault, AT "/authorize_params",
				     "auth.oauth.authorize_params must not have more than %d "
				     "members",
				     AUTHORIZE_MAX_PARAMS);
	json_object_foreach(object, name, value)
	{
		if (check_param(name, value, fault) < 0)
			return -1;
		list[n++] = (struct oauth_param){ name, json_string_value(value) };
	}
	if (authorize_check_extra(list, n, &err) < 0)
		return api_fault_set(fault, AT "/authorize_params",
				     "auth.oauth.authorize_params: %s", err.text);
	return 0;
}

/* --- the client ------------------------------------------------------------------------------ */

static bool same_text(const json_t *a, const json_t *b, const char *name)
{
	const char *one = text_of(a, name);
	const char *other = text_of(b, name);

	return one == NULL || other == NULL ? one == other : strcmp(one, other) == 0;
}

static bool same_origin(const char *a, const char *b)
{
	struct url one;
	struct url other;
	struct err ignored;

	return url_parse(a, &one, &ignored) == 0 && url_parse(b, &other, &ignored) == 0 &&
	       one.https == other.https && one.port == other.port &&
	       strcmp(one.host, other.host) == 0;
}

/* Else whoever may edit a connection could send the secret of another to a host of their own, and
 * find it out. What is not pinned by issuer or token_url is what the upstream names. */
static bool is_same_server(const struct reading *reading)
{
	static const char *const names[] = { "issuer", "token_url", "revocation_url", "client_id" };
	const json_t *oauth = reading->oauth;
	const struct connection_before *before = reading->params->before;
	const char *method = member_text(reading->before, "token_endpoint_auth", "");

	for (size_t i = 0; i < COUNT(names); i++) {
		if (!same_text(oauth, reading->before, names[i]))
			return false;
	}
	if ((strcmp(method, KEY_METHOD) == 0) != (strcmp(reading->client_auth, KEY_METHOD) == 0))
		return false;
	return text_of(oauth, "issuer") != NULL || text_of(oauth, "token_url") != NULL ||
	       same_origin(before->url, reading->params->url);
}

static int keep_secret(struct reading *reading, struct api_fault *fault)
{
	const struct connection_before *before = reading->params->before;

	if (before == NULL || !before->has_oauth_secret)
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret is \"" API_REDACTED
				     "\", but none is stored that could be kept; write the secret "
				     "itself");
	if (!is_same_server(reading))
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret must be written anew when the "
				     "client or its server changes: the stored one was given for "
				     "another");
	reading->out->secret_change = CREDENTIAL_KEPT;
	return 0;
}

/* A key is tried, so that one that cannot sign is refused now and not at three in the morning. */
static int try_key(const char *client_id, const char *text, struct api_fault *fault)
{
	struct secret key = secret_new(text, strlen(text));
	const struct jw_assertion_params params = {
		.client_id = client_id,
		.audience = "https://as.invalid",
		.key = &key,
		.now_s = loop_unix_us() / 1000000,
	};
	struct buf assertion;
	struct err err;
	int ret;

	buf_init(&assertion, JW_ASSERTION_MAX_BYTES);
	ret = jw_assertion(&params, &assertion, &err);
	buf_wipe(&assertion);
	secret_fini(&key);
	if (ret < 0)
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret must be a PEM key that can sign: %s",
				     err.text);
	return 0;
}

static int read_secret(struct reading *reading, const char *client_id, struct api_fault *fault)
{
	const char *secret = text_of(reading->oauth, "client_secret");

	if (secret == NULL)
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret is required when "
				     "auth.oauth.token_endpoint_auth is \"%s\"; a public client "
				     "has \"none\"",
				     reading->client_auth);
	if (strcmp(secret, API_REDACTED) == 0)
		return keep_secret(reading, fault);
	if (strcmp(reading->client_auth, KEY_METHOD) == 0) {
		if (try_key(client_id, secret, fault) < 0)
			return -1;
	} else if (!is_plain(secret)) {
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret must not hold control characters "
				     "such as line breaks");
	}
	reading->out->secret_change = CREDENTIAL_NEW;
	reading->out->secret = secret;
	return 0;
}

static int read_client(struct reading *reading, struct api_fault *fault)
{
	const char *client_id = text_of(reading->oauth, "client_id");
	bool has_secret = text_of(reading->oauth, "client_secret") != NULL;

	if (client_id == NULL && !is_code(reading))
		return api_fault_set(fault, AT "/client_id",
				     "auth.oauth.client_id is required when auth.oauth.grant is "
				     "\"client_credentials\"");
	if (client_id == NULL && has_secret)
		return api_fault_set(fault, AT "/client_id",
				     "auth.oauth.client_id is required with "
				     "auth.oauth.client_secret; without both the gateway "
				     "registers itself");
	if (client_id == NULL)
		return 0;
	if (strcmp(reading->client_auth, "none") != 0)
		return read_secret(reading, client_id, fault);
	if (has_secret)
		return api_fault_set(fault, AT "/client_secret",
				     "auth.oauth.client_secret has no use when "
				     "auth.oauth.token_endpoint_auth is \"none\"; leave it out");
	return 0;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* All members, so that what is stored does not depend on the defaults of some version. */
static const char *settings_text(const struct reading *reading)
{
	const json_t *oauth = reading->oauth;
	json_t *params = json_object_get(oauth, "authorize_params");
	json_t *settings = json_pack(
		"{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s, s:s, s:s?, s:b, s:o}", "grant",
		reading->grant, "per", reading->per, "issuer", text_of(oauth, "issuer"),
		"authorization_url", text_of(oauth, "authorization_url"), "token_url",
		text_of(oauth, "token_url"), "revocation_url", text_of(oauth, "revocation_url"),
		"client_id", text_of(oauth, "client_id"), "token_endpoint_auth",
		reading->client_auth, "scope", member_text(oauth, "scope", ""), "audience",
		text_of(oauth, "audience"), "resource",
		!json_is_false(json_object_get(oauth, "resource")), "authorize_params",
		json_is_object(params) ? json_copy(params) : json_object());
	const char *copy;
	struct buf text;
	int ret;

	assert(settings != NULL);
	buf_init(&text, MAX_SETTINGS_BYTES);
	ret = json_write(settings, &text);
	assert(ret == 0); /* its parts have been measured */
	copy = arena_dup(reading->params->arena, text.data, text.len);
	buf_fini(&text);
	json_decref(settings);
	return copy;
}

int oauth_body_parse(const struct oauth_body_params *params, struct oauth_body *out,
		     struct api_fault *fault)
{
	struct reading reading = {
		.params = params,
		.oauth = json_object_get(params->auth, "oauth"),
		.before = params->before != NULL ? params->before->oauth : NULL,
		.out = out,
	};

	*out = (struct oauth_body){ .secret_change = CREDENTIAL_NONE };
	if (json_is_object(reading.oauth) &&
	    members_check(reading.oauth, AT, "auth.oauth", oauth_members, COUNT(oauth_members),
			  fault) < 0)
		return -1;
	if (read_words(&reading, fault) < 0 || check_urls(&reading, fault) < 0 ||
	    check_texts(&reading, fault) < 0 || check_params(&reading, fault) < 0 ||
	    read_client(&reading, fault) < 0)
		return -1;
	out->settings = settings_text(&reading);
	return 0;
}

json_t *oauth_body_show(const char *settings, bool has_secret, bool secrets)
{
	struct err err;
	json_t *stored = json_parse(span_of(settings), &err);
	json_t *shown;

	if (!json_is_object(stored)) {
		json_decref(stored);
		return json_object();
	}
	shown = json_object();
	for (size_t i = 0; i < COUNT(oauth_members); i++) {
		const char *name = oauth_members[i].name;
		json_t *value = json_object_get(stored, name);

		if (!secrets && strcmp(name, "grant") != 0 && strcmp(name, "per") != 0)
			continue;
		if (strcmp(name, "client_secret") == 0)
			json_object_set_new(shown, name,
					    has_secret ? json_string(API_REDACTED) : json_null());
		else if (value != NULL)
			json_object_set(shown, name, value);
	}
	json_decref(stored);
	return shown;
}

void oauth_body_forget(json_t *shown, json_t *patch)
{
	const char *grant = json_text(patch, "grant");

	if (grant == NULL || strcmp(grant, member_text(shown, "grant", "")) == 0)
		return;
	json_object_del(shown, "per");
	json_object_del(shown, "authorization_url");
	json_object_del(shown, "authorize_params");
}
