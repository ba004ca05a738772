/* SPDX-License-Identifier: Apache-2.0 */

/* The user has agreed: who we are at the server, a state and a verifier, and the way there. */

#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "gateway/core/connect_priv.h"

#define COUNT(array)  (sizeof(array) / sizeof((array)[0]))
#define CLIENT_NAME   "Tollgate"
#define CALLBACK_PATH "/oauth/callback/"
#define METADATA_PATH "/oauth/client-metadata/"
#define METADATA_END  ".json"
/* A secret that expires while the browser is away is none. */
#define SECRET_LEFT "'20 minutes'::interval"

/* --- who we are ------------------------------------------------------------------------------ */

static bool is_https(const char *url)
{
	return strncmp(url, "https://", 8) == 0;
}

int connect_client_metadata(const char *public_url, const char *issuer_hash, struct buf *out)
{
	json_t *json;
	int ret;

	if (!is_https(public_url) || !connect_is_issuer_hash(issuer_hash))
		return -1;
	json = json_object();
	json_object_set_new(
		json, "client_id",
		json_sprintf("%s" METADATA_PATH "%s" METADATA_END, public_url, issuer_hash));
	json_object_set_new(json, "client_name", json_string(CLIENT_NAME));
	json_object_set_new(json, "client_uri", json_string(public_url));
	json_object_set_new(
		json, "redirect_uris",
		json_pack("[o]", json_sprintf("%s" CALLBACK_PATH "%s", public_url, issuer_hash)));
	json_object_set_new(json, "grant_types",
			    json_pack("[ss]", "authorization_code", "refresh_token"));
	json_object_set_new(json, "response_types", json_pack("[s]", "code"));
	json_object_set_new(json, "token_endpoint_auth_method", json_string("none"));
	json_object_set_new(json, "application_type", json_string("web"));
	ret = json_write(json, out);
	json_decref(json);
	return ret;
}

/* Where a server may read who we are; NULL: nowhere. */
static const char *metadata_url(struct connect_op *op)
{
	const struct connects_params *params = &op->connects->params;
	char hash[CONNECT_ISSUER_HASH_BYTES];

	if (params->client_metadata_url != NULL)
		return params->client_metadata_url;
	if (!is_https(params->public_url))
		return NULL;
	connect_issuer_hash(connect_issuer_of(&op->attempt.server), hash);
	return arena_printf(op->arena, "%s" METADATA_PATH "%s" METADATA_END, params->public_url,
			    hash);
}

bool connect_has_registered(struct connect_op *op)
{
	const char *url = metadata_url(op);

	return op->connection->oauth->client_id == NULL && op->attempt.client_id != NULL &&
	       (url == NULL || strcmp(url, op->attempt.client_id) != 0);
}

static enum connect_result check_agreed(struct connect_op *op)
{
	struct attempt *attempt = &op->attempt;

	if (attempt->state == CONNECT_CONNECTED || attempt->state == CONNECT_FAILED ||
	    attempt->state == CONNECT_CHOOSING)
		return CONNECT_END;
	return attempt->expired ? connect_fail(op, CONNECT_EXPIRED, NULL) : CONNECT_NEXT;
}

/* What the user has seen is what it will be: after an edit the page is shown anew. */
static enum connect_result check_seen(struct connect_op *op)
{
	return op->attempt.settings_version == op->connection->settings_version ? CONNECT_NEXT
										: CONNECT_END;
}

static void be(struct connect_op *op, const char *client_id, enum oauth_client_auth auth,
	       const struct secret *secret)
{
	op->attempt.client_id = client_id;
	op->attempt.client_auth = auth;
	if (secret != NULL && secret->n > 0)
		op->client_secret = secret_new(secret->reveal, secret->n);
}

static enum connect_result choose_client(struct connect_op *op)
{
	static const char sql[] =
		"SELECT id, client_id, client_auth, client_secret FROM tollgate.upstream_clients"
		" WHERE tenant_id = " CONNECT_TENANT " AND issuer = $1 AND redirect_uri = $2"
		" AND (secret_expires_at IS NULL OR secret_expires_at > now() + " SECRET_LEFT ")";
	const struct connection_oauth *oauth = op->connection->oauth;
	const char *url = metadata_url(op);
	const struct span params[] = {
		span_of(connect_issuer_of(&op->attempt.server)),
		span_of(op->attempt.redirect_uri),
	};

	op->attempt.client_id = NULL; /* that of an earlier try may be void by now */
	switch (connect_choose_client(&op->attempt.server, oauth->client_id, url)) {
	case CONNECT_CLIENT_CONFIGURED:
		be(op, oauth->client_id, oauth->client_auth, &oauth->client_secret);
		return CONNECT_NEXT;
	case CONNECT_CLIENT_METADATA:
		be(op, url, OAUTH_AUTH_NONE, NULL);
		return CONNECT_NEXT;
	case CONNECT_CLIENT_REGISTERED:
		return connect_query(op, sql, params, COUNT(params));
	case CONNECT_CLIENT_NONE:
		break;
	}
	return connect_fail(op, CONNECT_REGISTRATION_REFUSED,
			    "the server offers no registration, and the connection has no client "
			    "id; a client that is registered by hand has to return to %s",
			    op->attempt.redirect_uri);
}

static void on_bound(void *ctx, const struct err *err)
{
	struct connect_op *op = ctx;

	if (err == NULL)
		connect_resume(op);
	else
		connect_resume_with(op, err->code == ERR_UNAVAILABLE
						? connect_refuse(op, err->code, "%s", err->text)
						: connect_fail(op, CONNECT_REGISTRATION_REFUSED,
							       "%s", err->text));
}

static enum connect_result bind_client(struct connect_op *op)
{
	const struct client_issuer_request request = {
		.tenant_id = op->tenant_id,
		.connection_id = op->connection->id,
		.issuer = connect_issuer_of(&op->attempt.server),
	};

	if (!client_issuer_is_open(op->connection->oauth))
		return CONNECT_NEXT;
	client_issuer_bind(op->connects->params.db, &op->binding, &request, on_bound, op);
	return CONNECT_WAIT;
}

static enum connect_result use_known_client(struct connect_op *op)
{
	const struct db_result *rows;
	struct connect_place place = { "upstream_clients", "client_secret", NULL, 1 };
	enum oauth_client_auth auth;
	struct span sealed;
	struct err err;

	if (op->attempt.client_id != NULL)
		return CONNECT_NEXT;
	rows = op->results[0];
	if (db_rows(rows) == 0)
		return CONNECT_NEXT;
	sealed = connect_bytes(op, rows, "client_secret");
	place.row = db_text(rows, 0, "id");
	/* What cannot be opened any more is registered anew. */
	if (client_auth_parse(db_text(rows, 0, "client_auth"), &auth, &err) < 0 ||
	    (sealed.p != NULL && connect_open(op, &place, sealed, &op->client_secret, &err) < 0))
		return CONNECT_NEXT;
	be(op, arena_strdup(op->arena, db_text(rows, 0, "client_id")), auth, NULL);
	return CONNECT_NEXT;
}

static void on_registered(void *ctx, const struct registration *registration, const struct err *err)
{
	struct connect_op *op = ctx;

	if (err != NULL) {
		bool refused = err->code == ERR_UPSTREAM || err->code == ERR_TOO_LARGE;

		connect_resume_with(op, refused ? connect_fail(op, CONNECT_REGISTRATION_REFUSED,
							       "%s", err->text)
						: connect_fail_by(op, err));
		return;
	}
	be(op, arena_strdup(op->arena, registration->client_id), registration->auth,
	   &registration->client_secret);
	op->secret_expires_at = registration->secret_expires_at;
	op->registered = true;
	connect_resume(op);
}

static enum connect_result register_client(struct connect_op *op)
{
	const struct registration_params params = {
		.client = op->connects->http,
		.egress = op->tenant->egress,
		.url = op->attempt.server.registration_url,
		.redirect_uri = op->attempt.redirect_uri,
		.client_name = CLIENT_NAME,
		.scope = op->attempt.asked_scope,
		.auth_methods = op->attempt.server.auth_methods,
	};

	if (op->attempt.client_id != NULL)
		return CONNECT_NEXT;
	registration_start(op->connects->params.loop, &op->registration, &params, on_registered,
			   op);
	return CONNECT_WAIT;
}

/* Written before it is used: a client that nobody remembers would be registered each time. */
static enum connect_result save_client(struct connect_op *op)
{
	static const char sql[] =
		"INSERT INTO tollgate.upstream_clients (tenant_id, issuer, redirect_uri, id,"
		" client_id, client_auth, client_secret, secret_expires_at)"
		" VALUES (" CONNECT_TENANT ", $1, $2, $3::uuid, $4, $5, $6::bytea,"
		" to_timestamp(nullif($7::bigint, 0))) ON CONFLICT (tenant_id, issuer, "
		"redirect_uri)"
		" DO UPDATE SET id = excluded.id, client_id = excluded.client_id,"
		" client_auth = excluded.client_auth, client_secret = excluded.client_secret,"
		" secret_expires_at = excluded.secret_expires_at, registered_at = now()";
	char *id = arena_alloc(op->arena, UUID_TEXT_BYTES);
	const struct connect_place place = { "upstream_clients", "client_secret", id, 1 };
	const struct secret *secret = &op->client_secret;
	const char *sealed = NULL;

	if (!op->registered)
		return CONNECT_NEXT;
	uuid_v4(id);
	if (secret->n > 0)
		sealed = connect_seal(op, &place, (struct span){ secret->reveal, secret->n });
	if (secret->n > 0 && sealed == NULL)
		return connect_refuse(op, ERR_INTERNAL, "the tenant has no data key");

	const struct span params[] = {
		span_of(connect_issuer_of(&op->attempt.server)),
		span_of(op->attempt.redirect_uri),
		span_of(id),
		span_of(op->attempt.client_id),
		span_of(client_auth_name(op->attempt.client_auth)),
		span_of(sealed),
		span_of(arena_printf(op->arena, "%lld", (long long)op->secret_expires_at)),
	};

	return connect_query(op, sql, params, COUNT(params));
}

/* --- the way there --------------------------------------------------------------------------- */

static enum connect_result compose_url(struct connect_op *op)
{
	const struct attempt *attempt = &op->attempt;
	const struct connection_oauth *oauth = op->connection->oauth;
	char verifier[AUTHORIZE_TOKEN_BYTES];
	const struct authorize_params params = {
		.authorization_url = attempt->server.authorization_url,
		.client_id = attempt->client_id,
		.redirect_uri = attempt->redirect_uri,
		.state = op->state,
		.verifier = verifier,
		.resource = attempt->resource,
		.scope = attempt->asked_scope,
		.extra = oauth->authorize_params,
		.n_extra = oauth->n_authorize_params,
	};
	enum connect_result result = CONNECT_NEXT;
	struct buf url;
	struct err err;

	authorize_random(op->state);
	authorize_random(verifier);
	op->verifier = secret_new(verifier, strlen(verifier));
	buf_init(&url, AUTHORIZE_MAX_URL_BYTES);
	if (authorize_url(&params, &url, &err) < 0)
		result = connect_fail(op, CONNECT_PROVIDER_ERROR, "%s", err.text);
	else
		op->url = arena_strdup(op->arena, buf_str(&url));
	buf_wipe(&url);
	mem_wipe(verifier, sizeof(verifier));
	return result;
}

static const char *seal_column(struct connect_op *op, const char *column,
			       const struct secret *secret)
{
	const struct connect_place place = { "connect_attempts", column, op->attempt.id,
					     op->attempt.tries + 1 };

	return secret->n == 0
		       ? NULL
		       : connect_seal(op, &place, (struct span){ secret->reveal, secret->n });
}

static enum connect_result save_state(struct connect_op *op)
{
	static const char sql[] =
		"WITH changed AS (UPDATE tollgate.connect_attempts a SET state = 'pending',"
		" tries = $3::int, client_id = $4, client_auth = $5, client_secret = $6::bytea,"
		" state_hash = $7::bytea, verifier = $8::bytea, browser_hash = $9::bytea,"
		" browser_user = $10::uuid, returned_at = NULL" CONNECT_ATTEMPT
		" AND a.tries = $3::int - 1 AND a.settings_version = $11::bigint"
		" AND a.state IN ('open', 'pending') AND a.held IS NULL AND a.expires_at > now()"
		" RETURNING a.*)" CONNECT_EVENT("connect_started");
	struct attempt *attempt = &op->attempt;
	const char *verifier = seal_column(op, "verifier", &op->verifier);
	uint8_t state_hash[SHA256_BYTES];

	if (verifier == NULL)
		return connect_refuse(op, ERR_INTERNAL, "the tenant has no data key");
	crypto_sha256(op->state, strlen(op->state), state_hash);

	const struct span params[] = {
		span_of(attempt->id),
		span_of(connect_actor(op)),
		span_of(arena_printf(op->arena, "%lld", (long long)attempt->tries + 1)),
		span_of(attempt->client_id),
		span_of(client_auth_name(attempt->client_auth)),
		span_of(seal_column(op, "client_secret", &op->client_secret)),
		span_of(connect_hex(op, state_hash, sizeof(state_hash))),
		span_of(verifier),
		span_of(connect_hex(op, op->browser_hash, sizeof(op->browser_hash))),
		span_of(op->principal->user_id),
		span_of(arena_printf(op->arena, "%lld", (long long)attempt->settings_version)),
	};

	return connect_query(op, sql, params, COUNT(params));
}

/* Somebody was faster: in another tab, or an edit. What is true is shown. */
static enum connect_result go(struct connect_op *op)
{
	if (db_affected(op->results[0]) != 1)
		op->url = NULL;
	else
		connect_measure(op, "connect_started");
	return CONNECT_END;
}

static connect_step *const go_steps[] = {
	connect_load_attempt, connect_take_attempt, connect_check_viewer,
	check_agreed,	      connect_load_tenant,  connect_take_connection,
	check_seen,	      choose_client,	    use_known_client,
	bind_client,	      register_client,	    save_client,
	compose_url,	      save_state,	    go,
};

void connect_go(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		struct principal *principal, const uint8_t browser_hash[SHA256_BYTES],
		connect_viewed *done, void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_VIEW, go_steps, ctx);

	op->done.viewed = done;
	connect_op_about(op, attempt_id, principal);
	memcpy(op->browser_hash, browser_hash, sizeof(op->browser_hash));
	connect_op_start(op);
}
