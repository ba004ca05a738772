/* SPDX-License-Identifier: Apache-2.0 */

/* The client of auth.oauth: its id, its secret, and for which server that was given. */

#include <string.h>

#include "base/loop.h"
#include "base/url.h"
#include "gateway/http/api_oauth_body_priv.h"
#include "oauth/jw_assertion.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

bool oauth_reading_is_code(const struct oauth_reading *reading)
{
	return strcmp(reading->grant, OAUTH_CODE) == 0;
}

bool oauth_reading_is_plain(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	}
	return true;
}

static bool same_text(const json_t *a, const json_t *b, const char *name)
{
	const char *one = member_filled(a, name);
	const char *other = member_filled(b, name);

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
static bool is_same_server(const struct oauth_reading *reading)
{
	static const char *const names[] = { "issuer", "token_url", "revocation_url", "client_id" };
	const json_t *oauth = reading->oauth;
	const struct connection_before *before = reading->params->before;
	const char *method = member_text(reading->before, "token_endpoint_auth", "");

	for (size_t i = 0; i < COUNT(names); i++) {
		if (!same_text(oauth, reading->before, names[i]))
			return false;
	}
	if ((strcmp(method, OAUTH_KEY_METHOD) == 0) !=
	    (strcmp(reading->client_auth, OAUTH_KEY_METHOD) == 0))
		return false;
	return member_filled(oauth, "issuer") != NULL ||
	       member_filled(oauth, "token_url") != NULL ||
	       same_origin(before->url, reading->params->url);
}

static int keep_secret(struct oauth_reading *reading, struct api_fault *fault)
{
	const struct connection_before *before = reading->params->before;

	if (before == NULL || !before->has_oauth_secret)
		return api_fault_set(fault, OAUTH_AT "/client_secret",
				     "auth.oauth.client_secret is \"" API_REDACTED
				     "\", but none is stored that could be kept; write the secret "
				     "itself");
	if (!is_same_server(reading))
		return api_fault_set(fault, OAUTH_AT "/client_secret",
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
		return api_fault_set(fault, OAUTH_AT "/client_secret",
				     "auth.oauth.client_secret must be a PEM key that can sign: %s",
				     err.text);
	return 0;
}

static int read_secret(struct oauth_reading *reading, const char *client_id,
		       struct api_fault *fault)
{
	const char *secret = member_filled(reading->oauth, "client_secret");

	if (secret == NULL)
		return api_fault_set(fault, OAUTH_AT "/client_secret",
				     "auth.oauth.client_secret is required when "
				     "auth.oauth.token_endpoint_auth is \"%s\"; a public client "
				     "has \"none\"",
				     reading->client_auth);
	if (strcmp(secret, API_REDACTED) == 0)
		return keep_secret(reading, fault);
	if (strcmp(reading->client_auth, OAUTH_KEY_METHOD) == 0) {
		if (try_key(client_id, secret, fault) < 0)
			return -1;
	} else if (!oauth_reading_is_plain(secret)) {
		return api_fault_set(fault, OAUTH_AT "/client_secret",
				     "auth.oauth.client_secret must not hold control characters "
				     "such as line breaks");
	}
	reading->out->secret_change = CREDENTIAL_NEW;
	reading->out->secret = secret;
	return 0;
}

int oauth_client_read(struct oauth_reading *reading, struct api_fault *fault)
{
	const char *client_id = member_filled(reading->oauth, "client_id");
	bool has_secret = member_filled(reading->oauth, "client_secret") != NULL;

	if (client_id == NULL && !oauth_reading_is_code(reading))
		return api_fault_set(fault, OAUTH_AT "/client_id",
				     "auth.oauth.client_id is required when auth.oauth.grant is "
				     "\"client_credentials\"");
	if (client_id == NULL && has_secret)
		return api_fault_set(fault, OAUTH_AT "/client_id",
				     "auth.oauth.client_id is required with "
				     "auth.oauth.client_secret; without both the gateway "
				     "registers itself");
	if (client_id == NULL)
		return 0;
	if (strcmp(reading->client_auth, "none") != 0)
		return read_secret(reading, client_id, fault);
	if (has_secret)
		return api_fault_set(fault, OAUTH_AT "/client_secret",
				     "auth.oauth.client_secret has no use when "
				     "auth.oauth.token_endpoint_auth is \"none\"; leave it out");
	return 0;
}
