/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/registration.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/url.h"
#include "oauth/document.h"
#include "oauth/error_reply.h"
#include "oauth/fetch.h"
#include "oauth/metadata.h"

#define MAX_REQUEST_BYTES 16384
#define MAX_NAME_BYTES	  256
#define MAX_EXPIRES_AT	  253402300799 /* the end of the year 9999 */

struct registration_request {
	struct registration_request **slot;
	struct fetch *fetch;
	struct buf body;
	char *redirect_uri;
	enum oauth_client_auth asked;
	struct err unsent;
	struct deferred turn;
	registration_done *done;
	void *ctx;
};

struct method {
	enum oauth_client_auth auth;
	const char *name;
};

/* What we ask for, the best first, and what a server that says nothing takes (RFC 8414 2). A key
 * of our own would have to be published, so private_key_jwt is only for clients made by hand. */
static const struct method methods[] = {
	{OAUTH_AUTH_BASIC, "client_secret_basic"},
	{ OAUTH_AUTH_POST, "client_secret_post" },
	{ OAUTH_AUTH_NONE, "none"		  },
};
#define N_METHODS (sizeof(methods) / sizeof(methods[0]))

static const struct method *choose_method(unsigned offered, struct err *err)
{
	if (offered == 0)
		offered = OAUTH_AUTH_BIT(OAUTH_AUTH_BASIC);
	for (size_t i = 0; i < N_METHODS; i++) {
		if (offered & OAUTH_AUTH_BIT(methods[i].auth))
			return &methods[i];
	}
	err_set(err, ERR_UPSTREAM,
		"the server offers no client authentication that a registered client of ours can "
		"use");
	return NULL;
}

static void add_text(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, ",\"%s\":", name);
	buf_add_json_string(out, value, strlen(value));
}

/* RFC 7591 2; application_type is OpenID Connect's, and MCP's since 2026-07-28. */
static int compose(const struct registration_params *params, const struct method *method,
		   struct buf *out, struct err *err)
{
	struct url redirect;
	bool native;

	if (url_parse(params->redirect_uri, &redirect, err) < 0)
		return err_prefix(err, "redirect URI");
	native = !redirect.https && metadata_is_loopback(redirect.host);
	buf_add(out, "{\"redirect_uris\":[");
	buf_add_json_string(out, params->redirect_uri, strlen(params->redirect_uri));
	buf_add(out, "],\"grant_types\":[\"authorization_code\",\"refresh_token\"],"
		     "\"response_types\":[\"code\"]");
	add_text(out, "application_type", native ? "native" : "web");
	add_text(out, "token_endpoint_auth_method", method->name);
	add_text(out, "client_name", params->client_name);
	if (params->scope != NULL)
		add_text(out, "scope", params->scope);
	buf_add(out, "}");
	if (out->overflow)
		return err_set(err, ERR_BAD_REQUEST, "the registration is over %d bytes",
			       MAX_REQUEST_BYTES);
	return 0;
}

static int refused(const struct registration_answer *answer, struct arena *arena, struct err *err)
{
	struct error_reply said = { 0 };
	struct document document;
	struct err ignored;

	if (document_open(answer->body, arena, &document, &ignored) == 0)
		error_reply_read(&document, NULL, &said);
	return err_set(err, ERR_UPSTREAM, "refused with %d%s%s%s%s", answer->status,
		       said.code[0] != '\0' ? " " : "", said.code,
		       said.description[0] != '\0' ? ": " : "", said.description);
}

/* What the server made of the method that was asked for. */
static int read_method(const struct document *document, const struct registration_answer *answer,
		       struct registration *out, struct err *err)
{
	const char *name;

	out->auth = answer->asked;
	if (document_text(document, "token_endpoint_auth_method", MAX_NAME_BYTES, &name, err) < 0)
		return -1;
	if (name == NULL)
		return 0;
	for (size_t i = 0; i < N_METHODS; i++) {
		if (strcmp(methods[i].name, name) == 0) {
			out->auth = methods[i].auth;
			return 0;
		}
	}
	return err_set(err, ERR_UPSTREAM, "token_endpoint_auth_method is none that we speak");
}

/* A list that leaves out what was asked for registers another client than ours. */
static int check_lists(const struct document *document, const char *redirect_uri, struct err *err)
{
	struct document_list uris;
	struct document_list grants;

	if (document_list(document, "redirect_uris", URL_MAX_BYTES, &uris, err) < 0 ||
	    document_list(document, "grant_types", MAX_NAME_BYTES, &grants, err) < 0)
		return -1;
	if (uris.items != NULL && !document_list_has(&uris, redirect_uri))
		return err_set(err, ERR_UPSTREAM, "redirect_uris is without ours");
	if (grants.items != NULL && !document_list_has(&grants, "authorization_code"))
		return err_set(err, ERR_UPSTREAM, "grant_types is without authorization_code");
	return 0;
}

static int read_expiry(const struct document *document, int64_t *out, struct err *err)
{
	struct span value = span_get(document->object, "client_secret_expires_at");

	*out = 0;
	if (span_type(value) == SPAN_ABSENT || span_type(value) == SPAN_NULL)
		return 0;
	if (span_int64(value, out) < 0 || *out < 0 || *out > MAX_EXPIRES_AT)
		return err_set(err, ERR_UPSTREAM, "client_secret_expires_at is no time");
	return 0;
}

static int read_client(const struct document *document, const struct registration_answer *answer,
		       struct registration *out, struct err *err)
{
	if (document_text(document, "client_id", REGISTRATION_MAX_ID_BYTES, &out->client_id, err) <
		    0 ||
	    read_method(document, answer, out, err) < 0 ||
	    check_lists(document, answer->redirect_uri, err) < 0 ||
	    read_expiry(document, &out->secret_expires_at, err) < 0)
		return -1;
	if (out->client_id == NULL)
		return err_set(err, ERR_UPSTREAM, "no client_id");
	if (out->auth == OAUTH_AUTH_NONE)
		return 0;
	if (document_secret(document, "client_secret", REGISTRATION_MAX_SECRET_BYTES,
			    &out->client_secret, err) < 0)
		return -1;
	if (out->client_secret.n == 0)
		return err_set(err, ERR_UPSTREAM, "no client_secret");
	return 0;
}

/* RFC 7591 3.2.1 says 201; 200 is seen as well. */
int registration_parse(const struct registration_answer *answer, struct arena *arena,
		       struct registration *registration, struct err *err)
{
	struct document document;

	*registration = (struct registration){ 0 };
	if (answer->status != 201 && answer->status != 200)
		refused(answer, arena, err);
	else if (document_open(answer->body, arena, &document, err) == 0 &&
		 read_client(&document, answer, registration, err) == 0)
		return 0;
	return err_prefix(err, "client registration");
}

static void request_free(struct registration_request *request)
{
	deferred_cancel(&request->turn);
	fetch_cancel(&request->fetch);
	buf_fini(&request->body);
	free(request->redirect_uri);
	free(request);
}

static void finish(struct registration_request *request, const struct registration *registration,
		   const struct err *err)
{
	*request->slot = NULL;
	request->done(request->ctx, registration, err);
	request_free(request);
}

static void on_unsent(void *ctx)
{
	struct registration_request *request = ctx;

	finish(request, NULL, &request->unsent);
}

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
	struct registration_request *request = ctx;
	const struct registration_answer given = {
		.status = answer->status,
		.body = answer->body,
		.redirect_uri = request->redirect_uri,
		.asked = request->asked,
	};
	struct registration registration = { 0 };
	struct arena *arena = arena_new();
	struct err err;
	int ret;

	if (answer->err != NULL) {
		err = *answer->err;
		ret = err_prefix(&err, "client registration");
	} else {
		ret = registration_parse(&given, arena, &registration, &err);
	}
	finish(request, ret == 0 ? &registration : NULL, ret == 0 ? NULL : &err);
	secret_fini(&registration.client_secret);
	arena_free(&arena);
}

static void send_request(struct registration_request *request,
			 const struct registration_params *params)
{
	static const struct http_header headers[] = {
		{"content-type", "application/json"},
		{ "accept",	    "application/json"},
	};
	const struct fetch_params fetch = {
		.client = params->client,
		.egress = params->egress,
		.method = "POST",
		.url = params->url,
		.headers = headers,
		.n_headers = 2,
		.body = buf_span(&request->body),
		.want = FETCH_ALL,
	};

	fetch_start(&request->fetch, &fetch, on_answer, request);
}

void registration_start(struct loop *loop, struct registration_request **slot,
			const struct registration_params *params, registration_done *done,
			void *ctx)
{
	struct registration_request *request = mem_new(sizeof(*request));
	const struct method *method;

	assert(*slot == NULL);
	*slot = request;
	request->slot = slot;
	request->done = done;
	request->ctx = ctx;
	request->redirect_uri = mem_strdup(params->redirect_uri);
	buf_init(&request->body, MAX_REQUEST_BYTES);
	method = choose_method(params->auth_methods, &request->unsent);
	if (method == NULL || compose(params, method, &request->body, &request->unsent) < 0) {
		loop_defer(loop, &request->turn, on_unsent, request);
		return;
	}
	request->asked = method->auth;
	send_request(request, params);
}

void registration_cancel(struct registration_request **slot)
{
	struct registration_request *request = *slot;

	if (request == NULL)
		return;
	*slot = NULL;
	request_free(request);
}
