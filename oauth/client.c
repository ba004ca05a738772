/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/client.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/loop.h"
#include "base/mem.h"
#include "oauth/form.h"
#include "oauth/jw_assertion.h"

/* Of id and secret before base64, so that the header keeps below its ceiling. */
#define MAX_PAIR_BYTES (CLIENT_MAX_AUTHORIZATION_BYTES / 4 * 3 - 64)

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

static const char *const names[] = {
	[OAUTH_AUTH_NONE] = "none",
	[OAUTH_AUTH_BASIC] = "basic",
	[OAUTH_AUTH_BASIC_RAW] = "basic_raw",
	[OAUTH_AUTH_POST] = "post",
	[OAUTH_AUTH_PRIVATE_KEY_JWT] = "private_key_jwt",
};

const char *client_auth_name(enum oauth_client_auth auth)
{
	return names[auth];
}

int client_auth_parse(const char *name, enum oauth_client_auth *auth, struct err *err)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(name, names[i]) == 0) {
			*auth = (enum oauth_client_auth)i;
			return 0;
		}
	}
	return err_set(err, ERR_BAD_REQUEST,
		       "client authentication is none, basic, basic_raw, post or private_key_jwt");
}

static int add_pair(const struct oauth_client *client, struct buf *pair, struct err *err)
{
	const struct secret *secret = client->secret;

	if (client->auth == OAUTH_AUTH_BASIC) {
		form_escape(pair, client->id, strlen(client->id));
		buf_add(pair, ":");
		form_escape(pair, secret->reveal, secret->n);
	} else if (strchr(client->id, ':') != NULL) {
		return err_set(err, ERR_BAD_REQUEST,
			       "a client id with a colon cannot be sent as basic_raw");
	} else {
		buf_add(pair, client->id);
		buf_add(pair, ":");
		buf_append(pair, secret->reveal, secret->n);
	}
	if (pair->overflow)
		return err_set(err, ERR_BAD_REQUEST, "the client's id and secret are too long");
	return 0;
}

static int show_basic(const struct oauth_client *client, struct buf *authorization, struct err *err)
{
	struct buf pair;
	int ret;

	buf_init(&pair, MAX_PAIR_BYTES);
	ret = add_pair(client, &pair, err);
	if (ret == 0) {
		size_t room = (pair.len + 2) / 3 * 4 + 1;
		char *coded = mem_new(room);

		buf_add(authorization, "Basic ");
		buf_append(authorization, coded, base64_encode(pair.data, pair.len, coded));
		mem_wipe(coded, room);
		free(coded);
	}
	buf_wipe(&pair);
	return ret;
}

static void show_post(const struct oauth_client *client, struct buf *form)
{
	form_add(form, "client_id", client->id);
	buf_add(form, "&client_secret=");
	form_escape(form, client->secret->reveal, client->secret->n);
}

static int show_assertion(const struct oauth_client *client, const char *url, struct buf *form,
			  struct err *err)
{
	const struct jw_assertion_params params = {
		.client_id = client->id,
		.audience = client->issuer != NULL ? client->issuer : url,
		.key = client->secret,
		.now_s = loop_unix_us() / 1000000,
	};
	struct buf assertion;
	int ret;

	buf_init(&assertion, JW_ASSERTION_MAX_BYTES);
	ret = jw_assertion(&params, &assertion, err);
	if (ret == 0) {
		form_add(form, "client_id", client->id);
		form_add(form, "client_assertion_type", ASSERTION_TYPE);
		form_add(form, "client_assertion", buf_str(&assertion));
	}
	buf_wipe(&assertion);
	return ret;
}

int client_show(const struct oauth_client *client, const char *url, struct buf *form,
		struct buf *authorization, struct err *err)
{
	bool has_secret = client->secret != NULL && client->secret->n > 0;

	if (client->auth != OAUTH_AUTH_NONE && !has_secret)
		return err_set(err, ERR_BAD_REQUEST,
			       "client authentication %s wants a secret, and there is none",
			       client_auth_name(client->auth));
	switch (client->auth) {
	case OAUTH_AUTH_NONE:
		form_add(form, "client_id", client->id);
		return 0;
	case OAUTH_AUTH_BASIC:
	case OAUTH_AUTH_BASIC_RAW:
		return show_basic(client, authorization, err);
	case OAUTH_AUTH_POST:
		show_post(client, form);
		return 0;
	case OAUTH_AUTH_PRIVATE_KEY_JWT:
		return show_assertion(client, url, form, err);
	}
	return err_set(err, ERR_INTERNAL, "unknown client authentication");
}
