/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/token_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "oauth/document.h"

#define MAX_TYPE_BYTES	 64
#define MAX_NUMBER_BYTES 32
#define MAX_WHY_BYTES	 150

/* RFC 6749 5.2, what extensions add, and what some providers call the same. */
static const struct {
	const char *code;
	enum token_failure kind;
} codes[] = {
	{"invalid_grant",		   TOKEN_TERMINAL },
	{ "access_denied",		   TOKEN_TERMINAL },
	{ "interaction_required",	  TOKEN_TERMINAL },
	{ "consent_required",	      TOKEN_TERMINAL },
	{ "login_required",		    TOKEN_TERMINAL },
	{ "expired_token",		   TOKEN_TERMINAL },
	{ "bad_refresh_token",	       TOKEN_TERMINAL }, /* GitHub */
	{ "bad_verification_code",	   TOKEN_TERMINAL }, /* GitHub */
	{ "invalid_refresh_token",	   TOKEN_TERMINAL }, /* Slack */
	{ "invalid_code",		  TOKEN_TERMINAL }, /* Slack */
	{ "invalid_client",		    TOKEN_CLIENT	 },
	{ "unauthorized_client",		 TOKEN_CLIENT   },
	{ "unsupported_grant_type",	    TOKEN_CLIENT	 },
	{ "invalid_scope",		   TOKEN_CLIENT	},
	{ "invalid_target",		    TOKEN_CLIENT	 }, /* RFC 8707 */
	{ "invalid_resource",	      TOKEN_CLIENT   }, /* Entra */
	{ "invalid_request",		     TOKEN_CLIENT	  },
	{ "incorrect_client_credentials", TOKEN_CLIENT   }, /* GitHub */
	{ "redirect_uri_mismatch",	   TOKEN_CLIENT	}, /* GitHub */
	{ "bad_client_secret",	       TOKEN_CLIENT   }, /* Slack */
	{ "invalid_client_id",	       TOKEN_CLIENT   }, /* Slack */
	{ "temporarily_unavailable",	     TOKEN_TRANSIENT},
	{ "server_error",		  TOKEN_TRANSIENT},
	{ "slow_down",		       TOKEN_TRANSIENT},
	{ "ratelimited",			 TOKEN_TRANSIENT}, /* Slack */
};

static enum token_failure kind_of(const char *code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		if (strcmp(code, codes[i].code) == 0)
			return codes[i].kind;
	}
	return TOKEN_NONSENSE;
}

static bool is_transient(int status)
{
	return status >= 500 || status == 429 || status == 408;
}

/* Over what servers write: 3600, "3600" and 3599.7. */
static double number_of(struct span value)
{
	struct buf text;
	const char *p;
	char *end;
	double number;

	buf_init(&text, MAX_NUMBER_BYTES);
	if (span_type(value) == SPAN_NUMBER)
		buf_add_span(&text, value);
	else if (span_string(value, &text) < 0)
		buf_clear(&text);
	/* strtod also takes "inf", "nan" and "0x1". */
	p = buf_str(&text);
	number = strtod(p, &end);
	if (text.len == 0 || strspn(p, "0123456789.eE+-") != text.len || *end != '\0' ||
	    !isfinite(number))
		number = -1;
	buf_fini(&text);
	return number;
}

static int64_t read_lifetime(const struct document *document, const char *name)
{
	double seconds = number_of(span_get(document->object, name));

	return seconds >= 1 && seconds <= TOKEN_MAX_LIFETIME_S ? (int64_t)seconds : -1;
}

/* One that is malformed or repeats a secret counts as not said: it is shown to people. */
static const char *read_scope(const struct document *document, const struct error_sent *sent)
{
	const char *scope;
	struct err ignored;

	if (document_text(document, "scope", TOKEN_MAX_SCOPE_BYTES, &scope, &ignored) < 0 ||
	    scope == NULL || error_repeats(sent, span_of(scope)))
		return NULL;
	return scope;
}

static int read_tokens(const struct document *document, struct token_reply *reply, struct err *err)
{
	const char *type;

	if (document_secret(document, "access_token", TOKEN_MAX_BYTES, &reply->access_token, err) <
		    0 ||
	    document_secret(document, "refresh_token", TOKEN_MAX_BYTES, &reply->refresh_token,
			    err) < 0 ||
	    document_secret(document, "id_token", TOKEN_MAX_BYTES, &reply->id_token, err) < 0 ||
	    document_text(document, "token_type", MAX_TYPE_BYTES, &type, err) < 0)
		return -1;
	if (reply->access_token.n == 0)
		return err_set(err, ERR_UPSTREAM, "no access_token");
	if (type == NULL || !text_equal_nocase(type, "bearer"))
		return err_set(err, ERR_UPSTREAM, "token_type is not Bearer");
	reply->token_type = "Bearer";
	return 0;
}

static int read_reply(const struct document *document, const struct token_answer *answer,
		      struct token_reply *reply, struct err *err)
{
	if (read_tokens(document, reply, err) < 0) {
		token_reply_fini(reply);
		return -1;
	}
	reply->scope = read_scope(document, &answer->sent);
	reply->expires_in_s = read_lifetime(document, "expires_in");
	reply->refresh_expires_in_s = read_lifetime(document, "refresh_expires_in");
	if (reply->refresh_expires_in_s < 0)
		reply->refresh_expires_in_s = read_lifetime(document, "refresh_token_expires_in");
	return 0;
}

static int fail(struct token_error *error, enum token_failure kind, const char *why)
{
	error->kind = is_transient(error->http_status) ? TOKEN_TRANSIENT : kind;
	snprintf(error->text, sizeof(error->text), "the token endpoint answered %d%s%.*s",
		 error->http_status, why[0] != '\0' ? ": " : "", MAX_WHY_BYTES, why);
	return -1;
}

static int fail_with_code(struct token_error *error, const struct error_reply *said)
{
	enum token_failure kind = kind_of(said->code);
	bool described = said->description[0] != '\0';

	snprintf(error->code, sizeof(error->code), "%s", said->code);
	error->kind = is_transient(error->http_status) ? TOKEN_TRANSIENT : kind;
	snprintf(error->text, sizeof(error->text), "%d %s%s%s", error->http_status,
		 said->code[0] != '\0' ? said->code : "with an error that is no code",
		 described ? ": " : "", said->description);
	return -1;
}

int token_reply_parse(const struct token_answer *answer, struct arena *arena,
		      struct token_reply *reply, struct token_error *error)
{
	struct document document;
	struct error_reply said;
	struct err problem;

	*reply = (struct token_reply){ .expires_in_s = -1, .refresh_expires_in_s = -1 };
	*error = (struct token_error){ .http_status = answer->status };
	if (answer->status >= 300 && answer->status < 400)
		return fail(error, TOKEN_NONSENSE, "redirects are not followed");
	if (document_open(answer->body, arena, &document, &problem) < 0)
		return fail(error, TOKEN_NONSENSE, problem.text);
	error_reply_read(&document, &answer->sent, &said);
	/* Some servers send an error with 200; that beats a token beside it. */
	if (said.present)
		return fail_with_code(error, &said);
	if (answer->status != 200)
		return fail(error, TOKEN_NONSENSE, "no error is named");
	if (read_reply(&document, answer, reply, &problem) < 0)
		return fail(error, TOKEN_NONSENSE, problem.text);
	return 0;
}

void token_reply_fini(struct token_reply *reply)
{
	secret_fini(&reply->access_token);
	secret_fini(&reply->refresh_token);
	secret_fini(&reply->id_token);
}

bool token_refuses_client(const struct token_error *error)
{
	return error->kind == TOKEN_CLIENT && (strcmp(error->code, "invalid_client") == 0 ||
					       strcmp(error->code, "unauthorized_client") == 0);
}
