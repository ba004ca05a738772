/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_oauth_token.h"

#include <string.h>
#include <strings.h>

#include "oauth/client.h"
#include "oauth/metadata.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_URL	     2048
#define MAX_ACCOUNT  320

static const struct member token_members[] = {
	{"access_token",	  MEMBER_TEXT,   MEMBER_REQUIRED, API_MAX_TOKEN,	       0, "a string"		     },
	{ "refresh_token",	   MEMBER_TEXT,	MEMBER_NULLABLE, API_MAX_TOKEN,		0, "a string or null"	      },
	{ "token_type",		MEMBER_TEXT,   MEMBER_NULLABLE, 0,			 0, "\"Bearer\""		 },
	{ "expires_in",		MEMBER_NUMBER, MEMBER_NULLABLE, 0,			   0, "a number of seconds or null"},
	{ "refresh_expires_in",	MEMBER_NUMBER, MEMBER_NULLABLE, 0,			   0,
	  "a number of seconds or null"										     },
	{ "scope",		   MEMBER_TEXT,	MEMBER_NULLABLE, METADATA_MAX_SCOPE_BYTES, 0, "a string or null"		 },
	{ "account",	     MEMBER_TEXT,	  MEMBER_NULLABLE, MAX_ACCOUNT,		0, "a string or null"	      },
	{ "issuer",		    MEMBER_TEXT,	 MEMBER_NULLABLE, MAX_URL,		   0, "a URL or null"	      },
	{ "token_url",	       MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		      0, "a URL or null"		 },
	{ "revocation_url",	    MEMBER_TEXT,	 MEMBER_NULLABLE, MAX_URL,		   0, "a URL or null"	      },
	{ "client_id",	       MEMBER_TEXT,   MEMBER_NULLABLE, MAX_URL,		      0, "a string or null"	    },
	{ "client_secret",	   MEMBER_TEXT,	MEMBER_NULLABLE, API_MAX_CREDENTIAL,	     0,
	  "a string or null"												},
	{ "token_endpoint_auth", MEMBER_TEXT,   MEMBER_NULLABLE, 0,			  0, "a string such as \"basic\"" },
};

/* RFC 6750 section 2.1: what fits in the header behind "Bearer ". */
static bool is_token(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f)
			return false;
	}
	return text[0] != '\0';
}

static struct secret secret_of(const char *text)
{
	return text != NULL ? (struct secret){ (char *)text, strlen(text) } : (struct secret){ 0 };
}

static int read_tokens(const json_t *body, struct grant *out, struct api_fault *fault)
{
	static const char *const names[] = { "access_token", "refresh_token" };
	const char *type = member_filled(body, "token_type");

	for (size_t i = 0; i < COUNT(names); i++) {
		const char *text = member_text(body, names[i], NULL);
		char pointer[API_POINTER_BYTES];

		api_pointer(pointer, "", names[i]);
		if (text != NULL && !is_token(text))
			return api_fault_set(fault, pointer,
					     "%s must be a token: printable ASCII without spaces",
					     names[i]);
	}
	if (type != NULL && strcasecmp(type, "bearer") != 0)
		return api_fault_set(fault, "/token_type",
				     "token_type must be \"Bearer\"; no other is supported");
	out->access_token = secret_of(member_filled(body, "access_token"));
	out->refresh_token = secret_of(member_filled(body, "refresh_token"));
	return 0;
}

/* *out stays 0 if the member is not there. */
static int read_expiry(const struct oauth_token_params *params, const char *name, int64_t *out,
		       struct api_fault *fault)
{
	const json_t *value = json_object_get(params->body, name);
	char pointer[API_POINTER_BYTES];

	if (value == NULL || json_is_null(value))
		return 0;
	api_pointer(pointer, "", name);
	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
	    json_integer_value(value) > API_MAX_EXPIRES_IN)
		return api_fault_set(fault, pointer, "%s must be a number of seconds, 1 to %d",
				     name, API_MAX_EXPIRES_IN);
	*out = params->now_s + json_integer_value(value);
	return 0;
}

static int check_url(const struct oauth_token_params *params, const char *name,
		     struct api_fault *fault)
{
	const char *url = member_filled(params->body, name);
	char pointer[API_POINTER_BYTES];
	struct err err;
	int ret;

	if (url == NULL)
		return 0;
	api_pointer(pointer, "", name);
	ret = strcmp(name, "issuer") == 0 ? metadata_check_issuer(url, true, &err)
					  : metadata_check_url(name, url, true, &err);
	if (ret < 0)
		return api_fault_set(fault, pointer, "%s", err.text);
	if (egress_check_url(params->egress, url, &err) == 0)
		return 0;
	api_fault_set(fault, pointer, "%s: %s", name, err.text);
	if (err.code == ERR_FORBIDDEN)
		fault->code = "egress_denied";
	return -1;
}

static int check_urls(const struct oauth_token_params *params, struct api_fault *fault)
{
	static const char *const names[] = { "issuer", "token_url", "revocation_url" };

	for (size_t i = 0; i < COUNT(names); i++) {
		if (check_url(params, names[i], fault) < 0)
			return -1;
	}
	return 0;
}

/* Whoever names another server brings the client too: the connection's own secret goes to no
 * address that the body makes up. */
static bool is_own_server(const struct oauth_token_params *params)
{
	static const char *const names[] = { "issuer",	  "token_url",	   "revocation_url",
					     "client_id", "client_secret", "token_endpoint_auth" };

	for (size_t i = 0; i < COUNT(names); i++) {
		if (member_filled(params->body, names[i]) != NULL)
			return false;
	}
	return true;
}

static void take_settings(const struct connection_oauth *oauth, struct grant *out)
{
	out->issuer = oauth->issuer;
	out->token_url = oauth->token_url;
	out->revocation_url = oauth->revocation_url;
	out->client_id = oauth->client_id;
	out->client_secret = oauth->client_secret;
	out->client_auth =
		client_auth_name(oauth->client_id != NULL ? oauth->client_auth : OAUTH_AUTH_NONE);
}

static int take_body(const json_t *body, struct grant *out, struct api_fault *fault)
{
	const char *secret = member_filled(body, "client_secret");
	enum oauth_client_auth auth = secret != NULL ? OAUTH_AUTH_BASIC : OAUTH_AUTH_NONE;
	const char *method = member_filled(body, "token_endpoint_auth");
	struct err err;

	if (method != NULL && client_auth_parse(method, &auth, &err) < 0)
		return api_fault_set(fault, "/token_endpoint_auth", "token_endpoint_auth: %s",
				     err.text);
	if ((auth != OAUTH_AUTH_NONE) != (secret != NULL))
		return api_fault_set(fault, "/client_secret",
				     "client_secret goes with every token_endpoint_auth but "
				     "\"none\"");
	if (secret != NULL && member_filled(body, "client_id") == NULL)
		return api_fault_set(fault, "/client_id",
				     "client_id is required with client_secret");
	out->issuer = member_filled(body, "issuer");
	out->token_url = member_filled(body, "token_url");
	out->revocation_url = member_filled(body, "revocation_url");
	out->client_id = member_filled(body, "client_id");
	out->client_secret = secret_of(secret);
	out->client_auth = client_auth_name(auth);
	return 0;
}

int oauth_token_parse(const struct oauth_token_params *params, struct grant *out,
		      struct api_fault *fault)
{
	const struct connection_oauth *oauth = params->connection->oauth;
	const json_t *body = params->body;

	*out = (struct grant){ .state = GRANT_ACTIVE, .kind = GRANT_INGESTED };
	if (members_check(body, "", "a token", token_members, COUNT(token_members), fault) < 0 ||
	    read_tokens(body, out, fault) < 0 ||
	    read_expiry(params, "expires_in", &out->expires_at, fault) < 0 ||
	    read_expiry(params, "refresh_expires_in", &out->refresh_expires_at, fault) < 0 ||
	    check_urls(params, fault) < 0)
		return -1;
	if (is_own_server(params))
		take_settings(oauth, out);
	else if (take_body(body, out, fault) < 0)
		return -1;
	if (out->refresh_token.reveal != NULL && (out->token_url == NULL || out->client_id == NULL))
		return api_fault_set(fault, out->token_url == NULL ? "/token_url" : "/client_id",
				     "%s is required with refresh_token, or it could not be used; "
				     "the connection has none of its own",
				     out->token_url == NULL ? "token_url" : "client_id");
	out->scope = member_filled(body, "scope");
	out->account = member_filled(body, "account");
	out->audience = oauth->audience;
	out->resource = oauth->resource ? params->connection->url : NULL;
	return 0;
}
