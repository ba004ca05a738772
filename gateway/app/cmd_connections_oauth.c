/* SPDX-License-Identifier: Apache-2.0 */

/* The options of --auth oauth. What they may be is the API's to say. */

#include <string.h>

#include "gateway/app/cmd_connections.h"

static const struct {
	const char *option;
	const char *member;
	size_t at;
} texts[] = {
	{"grant",		   "grant",		    offsetof(struct oauth_options, grant)		  },
	{ "per",		 "per",			offsetof(struct oauth_options, per)		    },
	{ "issuer",	    "issuer",	      offsetof(struct oauth_options, issuer)	     },
	{ "authorization-url", "authorization_url",
	  offsetof(struct oauth_options,					      authorization_url)},
	{ "token-url",	       "token_url",	    offsetof(struct oauth_options, token_url)	      },
	{ "revocation-url",    "revocation_url",      offsetof(struct oauth_options, revocation_url)   },
	{ "client-id",	       "client_id",	    offsetof(struct oauth_options, client_id)	      },
	{ "token-auth",	"token_endpoint_auth", offsetof(struct oauth_options, token_auth)	  },
	{ "scope",		   "scope",		    offsetof(struct oauth_options, scope)		  },
	{ "audience",	      "audience",		  offsetof(struct oauth_options, audience)	   },
};
#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

static const char *text_at(const struct oauth_options *options, size_t i)
{
	const char *const *text = (const void *)((const char *)options + texts[i].at);

	return *text;
}

const char *oauth_options_given(const struct oauth_options *options)
{
	for (size_t i = 0; i < N_TEXTS; i++) {
		if (text_at(options, i) != NULL)
			return texts[i].option;
	}
	if (options->client_secret_file != NULL)
		return "client-secret-file";
	if (options->resource != NULL)
		return "resource";
	if (options->params.n > 0)
		return "authorize-param";
	return options->params_removed.n > 0 ? "remove-authorize-param" : NULL;
}

json_t *connection_read_secret(struct cli *cli, const char *path, struct err *err)
{
	struct span text;
	json_t *json;

	if (cli_read_file(cli, path, &text, err) < 0)
		return NULL;
	json = json_stringn(text.p, text.n);
	if (json == NULL)
		err_set(err, ERR_BAD_REQUEST, "%s is not UTF-8", path);
	return json;
}

static int set_params(json_t *oauth, const struct oauth_options *options, struct err *err)
{
	json_t *params;

	if (options->params.n == 0 && options->params_removed.n == 0)
		return 0;
	if (connection_pairs("authorize-param", &options->params, &options->params_removed, &params,
			     err) < 0)
		return -1;
	json_object_set_new(oauth, "authorize_params", params);
	return 0;
}

static int set_resource(json_t *oauth, const char *word, struct err *err)
{
	if (word == NULL)
		return 0;
	if (strcmp(word, "on") != 0 && strcmp(word, "off") != 0)
		return err_set(err, ERR_BAD_REQUEST, "--resource is on or off, not %s", word);
	json_object_set_new(oauth, "resource", json_boolean(strcmp(word, "on") == 0));
	return 0;
}

static int set_secret(struct cli *cli, json_t *oauth, const char *path, struct err *err)
{
	json_t *secret;

	if (path == NULL)
		return 0;
	secret = connection_read_secret(cli, path, err);
	if (secret == NULL)
		return -1;
	json_object_set_new(oauth, "client_secret", secret);
	return 0;
}

int connection_set_oauth(struct cli *cli, json_t *auth, const struct oauth_options *options,
			 struct err *err)
{
	json_t *oauth;

	if (oauth_options_given(options) == NULL)
		return 0;
	oauth = json_object();
	json_object_set_new(auth, "oauth", oauth);
	/* An empty text takes a setting back. */
	for (size_t i = 0; i < N_TEXTS; i++) {
		const char *text = text_at(options, i);

		if (text != NULL)
			json_object_set_new(oauth, texts[i].member,
					    text[0] != '\0' ? json_string(text) : json_null());
	}
	if (set_resource(oauth, options->resource, err) < 0 || set_params(oauth, options, err) < 0)
		return -1;
	return set_secret(cli, oauth, options->client_secret_file, err);
}
