/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_body_priv.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "oauth/authorize.h"
#include "oauth/metadata.h"

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))
#define CREDENTIALS	"client_credentials"
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

static int read_words(struct oauth_reading *reading, struct api_fault *fault)
{
	static const char *const grants[] = { OAUTH_CODE, CREDENTIALS, NULL };
	static const char *const pers[] = { "user", "shared", NULL };
	static const char *const methods[] = { "basic",		 "basic_raw", "post",
					       OAUTH_KEY_METHOD, "none",      NULL };

	reading->grant = member_text(reading->oauth, "grant", OAUTH_CODE);
	if (member_word(reading->grant, OAUTH_AT "/grant", grants, fault) < 0)
		return -1;
	reading->per = member_text(reading->oauth, "per",
				   oauth_reading_is_code(reading) ? "user" : "shared");
	if (member_word(reading->per, OAUTH_AT "/per", pers, fault) < 0)
		return -1;
	if (!oauth_reading_is_code(reading) && strcmp(reading->per, "shared") != 0)
		return api_fault_set(fault, OAUTH_AT "/per",
				     "auth.oauth.per must be \"shared\": with client_credentials "
				     "no user signs in");
	/* A client without a secret is a public one, unless somebody says otherwise. */
	reading->client_auth =
		member_text(reading->oauth, "token_endpoint_auth",
			    member_filled(reading->oauth, "client_id") != NULL &&
					    member_filled(reading->oauth, "client_secret") == NULL
				    ? "none"
				    : "basic");
	return member_word(reading->client_auth, OAUTH_AT "/token_endpoint_auth", methods, fault);
}

/* --- addresses ------------------------------------------------------------------------------- */

static bool stood_before(const struct oauth_reading *reading, const char *name, const char *url)
{
	const char *old = member_text(reading->before, name, NULL);

	return old != NULL && strcmp(old, url) == 0;
}

/* The policy is asked about what the gateway connects to, and about http, which it permits to
 * exceptions only; the authorization endpoint is for browsers. */
static int check_egress(const struct oauth_reading *reading, const char *name, const char *pointer,
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

static int check_url(const struct oauth_reading *reading, const char *name, struct api_fault *fault)
{
	const char *url = member_filled(reading->oauth, name);
	char pointer[API_POINTER_BYTES];
	struct err err;
	int ret;

	if (url == NULL)
		return 0;
	api_pointer(pointer, OAUTH_AT, name);
	ret = strcmp(name, "issuer") == 0 ? metadata_check_issuer(url, true, &err)
					  : metadata_check_url(name, url, true, &err);
	if (ret < 0)
		return api_fault_set(fault, pointer, "auth.oauth.%s", err.text);
	return check_egress(reading, name, pointer, url, fault);
}

static int refuse_for_credentials(const struct oauth_reading *reading, const char *name,
				  struct api_fault *fault)
{
	const json_t *value = json_object_get(reading->oauth, name);
	char pointer[API_POINTER_BYTES];

	if (member_filled(reading->oauth, name) == NULL && json_object_size(value) == 0)
		return 0;
	api_pointer(pointer, OAUTH_AT, name);
	return api_fault_set(fault, pointer,
			     "auth.oauth.%s has no use when auth.oauth.grant is "
			     "\"client_credentials\"; leave it out",
			     name);
}

static int check_urls(const struct oauth_reading *reading, struct api_fault *fault)
{
	static const char *const names[] = { "issuer", "authorization_url", "token_url",
					     "revocation_url" };
	bool has_authorization = member_filled(reading->oauth, "authorization_url") != NULL;
	bool has_token = member_filled(reading->oauth, "token_url") != NULL;

	if (!oauth_reading_is_code(reading) &&
	    (refuse_for_credentials(reading, "authorization_url", fault) < 0 ||
	     refuse_for_credentials(reading, "authorize_params", fault) < 0))
		return -1;
	for (size_t i = 0; i < COUNT(names); i++) {
		if (check_url(reading, names[i], fault) < 0)
			return -1;
	}
	if (oauth_reading_is_code(reading) && has_token && !has_authorization)
		return api_fault_set(fault, OAUTH_AT "/authorization_url",
				     "auth.oauth.authorization_url is required with "
				     "auth.oauth.token_url; without both they are discovered");
	if (has_authorization && !has_token)
		return api_fault_set(fault, OAUTH_AT "/token_url",
				     "auth.oauth.token_url is required with "
				     "auth.oauth.authorization_url; without both they are "
				     "discovered");
	if (!has_token && member_filled(reading->oauth, "revocation_url") != NULL)
		return api_fault_set(fault, OAUTH_AT "/revocation_url",
				     "auth.oauth.revocation_url wants auth.oauth.token_url; "
				     "without both they are discovered");
	return 0;
}

/* --- texts that are sent --------------------------------------------------------------------- */

static int check_texts(const struct oauth_reading *reading, struct api_fault *fault)
{
	static const char *const names[] = { "client_id", "scope", "audience" };

	for (size_t i = 0; i < COUNT(names); i++) {
		char pointer[API_POINTER_BYTES];

		api_pointer(pointer, OAUTH_AT, names[i]);
		if (!oauth_reading_is_plain(member_text(reading->oauth, names[i], "")))
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

	api_pointer(pointer, OAUTH_AT "/authorize_params", name);
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

static int check_params(const struct oauth_reading *reading, struct api_fault *fault)
{
	json_t *object = json_object_get(reading->oauth, "authorize_params");
	struct oauth_param list[AUTHORIZE_MAX_PARAMS];
	size_t n = 0;
	const char *name;
	json_t *value;
	struct err err;

	if (json_object_size(object) > AUTHORIZE_MAX_PARAMS)
		return api_fault_set(fault, OAUTH_AT "/authorize_params",
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
		return api_fault_set(fault, OAUTH_AT "/authorize_params",
				     "auth.oauth.authorize_params: %s", err.text);
	return 0;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* All members, so that what is stored does not depend on the defaults of some version. */
static const char *settings_text(const struct oauth_reading *reading)
{
	const json_t *oauth = reading->oauth;
	json_t *params = json_object_get(oauth, "authorize_params");
	json_t *settings = json_pack(
		"{s:s, s:s, s:s?, s:s?, s:s?, s:s?, s:s?, s:s, s:s, s:s?, s:b, s:o}", "grant",
		reading->grant, "per", reading->per, "issuer", member_filled(oauth, "issuer"),
		"authorization_url", member_filled(oauth, "authorization_url"), "token_url",
		member_filled(oauth, "token_url"), "revocation_url",
		member_filled(oauth, "revocation_url"), "client_id",
		member_filled(oauth, "client_id"), "token_endpoint_auth", reading->client_auth,
		"scope", member_text(oauth, "scope", ""), "audience",
		member_filled(oauth, "audience"), "resource",
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
	struct oauth_reading reading = {
		.params = params,
		.oauth = json_object_get(params->auth, "oauth"),
		.before = params->before != NULL ? params->before->oauth : NULL,
		.out = out,
	};

	*out = (struct oauth_body){ .secret_change = CREDENTIAL_NONE };
	if (json_is_object(reading.oauth) &&
	    members_check(reading.oauth, OAUTH_AT, "auth.oauth", oauth_members,
			  COUNT(oauth_members), fault) < 0)
		return -1;
	if (read_words(&reading, fault) < 0 || check_urls(&reading, fault) < 0 ||
	    check_texts(&reading, fault) < 0 || check_params(&reading, fault) < 0 ||
	    oauth_client_read(&reading, fault) < 0)
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
