/* SPDX-License-Identifier: Apache-2.0 */

/* OAuth settings of a connection, from the JSON that the admin API has stored. */

#include <string.h>

#include "base/json.h"
#include "gateway/core/tenant_priv.h"
#include "oauth/authorize.h"

struct settings {
	struct arena *arena;
	const json_t *json;
	struct connection_oauth *out;
};

/* NULL: it is null, or not there. */
static const char *text_of(const struct settings *settings, const char *name)
{
	const char *text = json_text(settings->json, name);

	return text != NULL && text[0] != '\0' ? arena_strdup(settings->arena, text) : NULL;
}

static int take_words(const struct settings *settings, struct err *err)
{
	const char *grant = json_text(settings->json, "grant");
	const char *per = json_text(settings->json, "per");
	const char *auth = json_text(settings->json, "token_endpoint_auth");
	struct connection_oauth *out = settings->out;

	if (grant == NULL || per == NULL || auth == NULL)
		return err_set(err, ERR_INTERNAL,
			       "one of grant, per and token_endpoint_auth is "
			       "missing");
	if (strcmp(grant, "authorization_code") == 0)
		out->grant = OAUTH_GRANT_AUTHORIZATION_CODE;
	else if (strcmp(grant, "client_credentials") == 0)
		out->grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	else
		return err_set(err, ERR_INTERNAL, "the grant is not known");
	out->per_user = strcmp(per, "user") == 0;
	if (!out->per_user && strcmp(per, "shared") != 0)
		return err_set(err, ERR_INTERNAL, "per is neither user nor shared");
	return client_auth_parse(auth, &out->client_auth, err);
}

/* Addresses are judged again whenever one is used; a row that SQL has spoilt is told of early. */
static int check_urls(const struct connection_oauth *out, struct err *err)
{
	const struct {
		const char *name;
		const char *url;
	} urls[] = {
		{"authorization_url", out->authorization_url},
		{ "token_url",	       out->token_url	      },
		{ "revocation_url",   out->revocation_url	}
	};

	for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
		if (urls[i].url != NULL &&
		    metadata_check_url(urls[i].name, urls[i].url, true, err) < 0)
			return -1;
	}
	return out->issuer != NULL ? metadata_check_issuer(out->issuer, true, err) : 0;
}

static int check_whole(const struct connection_oauth *out, struct err *err)
{
	bool code = out->grant == OAUTH_GRANT_AUTHORIZATION_CODE;
	bool has_secret = out->client_secret.reveal != NULL && out->client_secret.n > 0;

	if (!code && (out->per_user || out->client_id == NULL))
		return err_set(err, ERR_INTERNAL,
			       "client_credentials wants a client_id and a shared grant");
	if (code && (out->token_url != NULL) != (out->authorization_url != NULL))
		return err_set(err, ERR_INTERNAL,
			       "of token_url and authorization_url one is missing");
	if (out->client_id != NULL && out->client_auth != OAUTH_AUTH_NONE && !has_secret)
		return err_set(err, ERR_INTERNAL, "the client secret is missing");
	return check_urls(out, err);
}

static int take_params(const struct settings *settings, struct err *err)
{
	struct connection_oauth *out = settings->out;
	json_t *params = json_object_get(settings->json, "authorize_params");
	struct oauth_param *list;
	const char *name;
	json_t *value;

	if (params != NULL && !json_is_object(params))
		return err_set(err, ERR_INTERNAL, "authorize_params is no object");
	list = arena_alloc(settings->arena, (json_object_size(params) + 1) * sizeof(*list));
	json_object_foreach(params, name, value)
	{
		if (json_text(params, name) == NULL)
			return err_set(err, ERR_INTERNAL, "one of authorize_params is no text");
		list[out->n_authorize_params++] =
			(struct oauth_param){ arena_strdup(settings->arena, name),
					      arena_strdup(settings->arena,
							   json_string_value(value)) };
	}
	out->authorize_params = list;
	return authorize_check_extra(list, out->n_authorize_params, err);
}

static int parse(const struct settings *settings, struct err *err)
{
	struct connection_oauth *out = settings->out;

	if (!json_is_object(settings->json))
		return err_set(err, ERR_INTERNAL, "expected an object");
	if (take_words(settings, err) < 0 || take_params(settings, err) < 0)
		return -1;
	out->issuer = text_of(settings, "issuer");
	out->authorization_url = text_of(settings, "authorization_url");
	out->token_url = text_of(settings, "token_url");
	out->revocation_url = text_of(settings, "revocation_url");
	out->client_id = text_of(settings, "client_id");
	out->scope = text_of(settings, "scope");
	out->audience = text_of(settings, "audience");
	out->resource = !json_is_false(json_object_get(settings->json, "resource"));
	return check_whole(out, err);
}

int tenant_parse_oauth(struct arena *arena, const char *text, struct connection_oauth *out,
		       struct err *err)
{
	json_t *json = json_parse(span_of(text), err);
	const struct settings settings = { .arena = arena, .json = json, .out = out };
	int ret;

	if (json == NULL)
		return -1;
	ret = parse(&settings, err);
	json_decref(json);
	return ret;
}
