/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/authorize.h"

#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"
#include "oauth/form.h"

#define TOKEN_RANDOM_BYTES 32

/* What we say, and what would say it in our stead (RFC 9101) or change how we are answered. */
static const char *const ours[] = {
	"response_type",  "response_mode",	   "client_id", "redirect_uri", "state",
	"code_challenge", "code_challenge_method", "resource",	"scope",	"request",
	"request_uri",
};

static void encode(const void *bytes, char out[AUTHORIZE_TOKEN_BYTES])
{
	size_t n = base64url_encode(bytes, TOKEN_RANDOM_BYTES, out);

	out[n] = '\0';
}

void authorize_random(char out[AUTHORIZE_TOKEN_BYTES])
{
	uint8_t bytes[TOKEN_RANDOM_BYTES];

	crypto_random(bytes, sizeof(bytes));
	encode(bytes, out);
	mem_wipe(bytes, sizeof(bytes));
}

void authorize_code_challenge(const char *verifier, char out[AUTHORIZE_TOKEN_BYTES])
{
	uint8_t sum[SHA256_BYTES];

	crypto_sha256(verifier, strlen(verifier), sum);
	encode(sum, out);
}

static bool is_ours(const char *name)
{
	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
		if (text_equal_nocase(name, ours[i]))
			return true;
	}
	return false;
}

static int check_one(const struct oauth_param *extra, size_t i, struct err *err)
{
	if (extra[i].name[0] == '\0')
		return err_set(err, ERR_BAD_REQUEST, "authorize parameter %zu has no name", i + 1);
	if (is_ours(extra[i].name))
		return err_set(err, ERR_BAD_REQUEST,
			       "authorize parameter %s is set by the gateway itself",
			       extra[i].name);
	for (size_t k = 0; k < i; k++) {
		if (strcmp(extra[i].name, extra[k].name) == 0)
			return err_set(err, ERR_BAD_REQUEST, "authorize parameter %s stands twice",
				       extra[i].name);
	}
	return 0;
}

int authorize_check_extra(const struct oauth_param *extra, size_t n, struct err *err)
{
	if (n > AUTHORIZE_MAX_PARAMS)
		return err_set(err, ERR_BAD_REQUEST, "more than %d authorize parameters",
			       AUTHORIZE_MAX_PARAMS);
	for (size_t i = 0; i < n; i++) {
		if (check_one(extra, i, err) < 0)
			return -1;
	}
	return 0;
}

/* Whether the endpoint's own query leaves our names, and the operator's, to us. */
static int check_query(const struct authorize_params *params, struct span query, struct err *err)
{
	bool taken = false;

	for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
		taken = taken || form_has(query, ours[i]);
	for (size_t i = 0; i < params->n_extra; i++)
		taken = taken || form_has(query, params->extra[i].name);
	if (taken)
		return err_set(err, ERR_UPSTREAM,
			       "the authorization endpoint's query sets a parameter of ours");
	return 0;
}

static void add_params(const struct authorize_params *params, struct buf *out)
{
	char challenge[AUTHORIZE_TOKEN_BYTES];
	const struct oauth_param list[] = {
		{"response_type",	   "code"		  },
		{ "client_id",	       params->client_id	 },
		{ "redirect_uri",	  params->redirect_uri},
		{ "state",		   params->state	 },
		{ "code_challenge",	    challenge	      },
		{ "code_challenge_method", "S256"		  },
		{ "resource",	      params->resource    },
		{ "scope",		   params->scope	 },
	};

	authorize_code_challenge(params->verifier, challenge);
	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		if (list[i].value != NULL)
			form_add(out, list[i].name, list[i].value);
	}
	for (size_t i = 0; i < params->n_extra; i++)
		form_add(out, params->extra[i].name, params->extra[i].value);
}

int authorize_url(const struct authorize_params *params, struct buf *out, struct err *err)
{
	const char *query;
	struct url url;
	struct buf text;
	int ret = 0;

	if (authorize_check_extra(params->extra, params->n_extra, err) < 0)
		return -1;
	if (url_parse(params->authorization_url, &url, err) < 0) {
		err->code = ERR_UPSTREAM;
		return err_prefix(err, "authorization endpoint");
	}
	query = strchr(url.text, '?');
	if (query != NULL && check_query(params, span_of(query + 1), err) < 0)
		return -1;
	buf_init(&text, AUTHORIZE_MAX_URL_BYTES);
	buf_add(&text, url.text);
	if (query == NULL)
		buf_add(&text, "?");
	add_params(params, &text);
	if (text.overflow)
		ret = err_set(err, ERR_TOO_LARGE, "the authorize URL is over %d bytes",
			      AUTHORIZE_MAX_URL_BYTES);
	else
		buf_add_span(out, buf_span(&text));
	buf_fini(&text);
	return ret;
}

enum authorize_iss authorize_check_iss(bool iss_supported, const char *issuer, const char *iss)
{
	if (iss == NULL)
		return iss_supported ? AUTHORIZE_ISS_MISSING : AUTHORIZE_ISS_OK;
	if (issuer == NULL || strcmp(issuer, iss) == 0)
		return AUTHORIZE_ISS_OK;
	return AUTHORIZE_ISS_MISMATCH;
}
