/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/meters.h"
#include "gateway/core/session_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "gateway/core/mcp.h"

#define ID_RANDOM_BYTES 32
/* "\x" and hex of a digest, as Postgres reads a bytea. */
#define DIGEST_TEXT_BYTES (2 + 2 * SHA256_BYTES + 1)

struct session *session_ref(struct session *session)
{
	session->refs++;
	return session;
}

void session_unref(struct session **session)
{
	struct session *was = *session;

	*session = NULL;
	if (was == NULL || --was->refs > 0)
		return;
	free(was->client);
	free(was);
}

static void digest_of(const char *id, uint8_t digest[SHA256_BYTES], char text[DIGEST_TEXT_BYTES])
{
	crypto_sha256(id, strlen(id), digest);
	text[0] = '\\';
	text[1] = 'x';
	hex_encode(digest, SHA256_BYTES, text + 2);
}

static void finish(struct session_op *op, struct session *session, const struct err *err)
{
	struct session_op was = *op;

	*op->slot = NULL;
	free(op);
	was.done(was.ctx, session, err);
	session_unref(&was.session);
}

/* Every end of an operation that is not a found session. */
static void finish_failed(struct session_op *op, const struct err *err)
{
	struct err problem;

	if (err != NULL)
		err_set(&problem, ERR_UNAVAILABLE, "sessions cannot be reached now: %s", err->text);
	else
		err_set(&problem, ERR_NOT_FOUND, "Session not found");
	finish(op, NULL, &problem);
}

static struct session_op *op_new(struct sessions *sessions, struct session_op **slot,
				 const struct session_key *key, session_done *done, void *ctx)
{
	struct session_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL);
	*op = (struct session_op){
		.slot = slot,
		.sessions = sessions,
		.generation = sessions->generation,
		.done = done,
		.ctx = ctx,
	};
	*slot = op;
	session_binding(key, op->binding);
	memcpy(op->tenant_id, key->principal->tenant_id, sizeof(op->tenant_id));
	return op;
}

void session_cancel(struct session_op **slot)
{
	struct session_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	db_cancel(&op->query);
	session_unref(&op->session);
	free(op);
}

/* The three parameters that every statement on an existing session starts with. */
struct session_params {
	uint8_t digest[SHA256_BYTES];
	char digest_text[DIGEST_TEXT_BYTES];
	struct db_setting tenant;
	struct span values[4];
};

static void session_params_fill(struct session_params *params, const struct session_key *key)
{
	digest_of(key->id, params->digest, params->digest_text);
	params->tenant = (struct db_setting){ "app.tenant", key->principal->tenant_id };
	params->values[0] = span_of(params->digest_text);
	params->values[1] = span_of(key->principal->subject);
	params->values[2] = span_of(key->endpoint);
	params->values[3] = (struct span){ 0 };
}

static struct session *session_new(const uint8_t digest[SHA256_BYTES], const char *version,
				   const char *client_name, const char *client_version,
				   const char *log_level)
{
	struct session *session = mem_new(sizeof(*session));

	session->refs = 1;
	hex_encode(digest, SHA256_BYTES, session->id_hash);
	hex_encode(digest, (sizeof(session->id_digest) - 1) / 2, session->id_digest);
	snprintf(session->protocol_version, sizeof(session->protocol_version), "%s", version);
	if (client_name != NULL)
		session->client = mem_printf("%s/%s", client_name,
					     client_version != NULL ? client_version : "");
	session->log_level = log_level != NULL ? mcp_log_level(log_level) : -1;
	return session;
}

/* Postgres cannot be asked: what is in doubt is what is known. */
static void not_told(struct session_op *op, const struct err *err)
{
	struct session *session = session_known(op);

	if (session == NULL) {
		finish_failed(op, err);
		return;
	}
	finish(op, session, NULL);
	session_unref(&session);
}

static void not_found(struct session_op *op)
{
	session_known_missing(op);
	finish_failed(op, NULL);
}

static void on_found(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct session_op *op = ctx;
	struct session *session;
	uint8_t *digest;
	size_t digest_bytes;

	if (err != NULL) {
		not_told(op, err);
		return;
	}
	if (n == 0 || db_rows(results[0]) == 0) {
		not_found(op);
		return;
	}
	digest = db_bytes(results[0], 0, "id_hash", &digest_bytes);
	assert(digest_bytes == SHA256_BYTES);
	session = session_new(digest, db_text(results[0], 0, "protocol_version"),
			      db_text(results[0], 0, "client_name"),
			      db_text(results[0], 0, "client_version"),
			      db_text(results[0], 0, "log_level"));
	session->elicits_url =
		mcp_elicits_url(span_of(db_text(results[0], 0, "client_capabilities")));
	free(digest);
	session_remember(op, session);
	finish(op, session, NULL);
	session_unref(&session);
}

void session_find_start(struct sessions *sessions, struct session_op **slot,
			const struct session_key *key, session_done *done, void *ctx)
{
	static const char *const sql =
		"UPDATE tollgate.mcp_sessions SET last_seen_at = now(),"
		" expires_at = now() + make_interval(secs => $4::bigint)"
		" WHERE tenant_id = current_setting('app.tenant')::uuid AND id_hash = $1::bytea"
		" AND principal = $2 AND endpoint = $3 AND expires_at > now()"
		" RETURNING id_hash, protocol_version, client_name, client_version, log_level,"
		" client_capabilities";
	struct session_op *op = op_new(sessions, slot, key, done, ctx);
	struct session_params params;
	char idle[24];

	session_params_fill(&params, key);
	snprintf(idle, sizeof(idle), "%d", SESSION_IDLE_SECONDS);
	params.values[3] = span_of(idle);
	db_query(sessions->db, &op->query, &params.tenant, sql, params.values, 4, on_found, op);
}

static void on_created(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct session_op *op = ctx;

	(void)results;
	(void)n;
	if (err != NULL) {
		finish_failed(op, err);
		return;
	}
	session_remember(op, op->session);
	finish(op, op->session, NULL);
}

void session_create_start(struct sessions *sessions, struct session_op **slot,
			  const struct session_new *params, char id_out[SESSION_ID_BYTES],
			  session_done *done, void *ctx)
{
	static const char *const sql =
		"INSERT INTO tollgate.mcp_sessions (tenant_id, id_hash, principal, endpoint,"
		" protocol_version, client_name, client_version, client_capabilities, expires_at)"
		" VALUES (current_setting('app.tenant')::uuid, $1::bytea, $2, $3, $4, $5, $6, $7,"
		" now() + make_interval(secs => $8::bigint))";
	uint8_t random[ID_RANDOM_BYTES];
	struct session_key key = { params->principal, params->endpoint, id_out };
	struct session_params common;
	struct session_op *op;
	char idle[24];

	crypto_random(random, sizeof(random));
	base64url_encode(random, sizeof(random), id_out);
	op = op_new(sessions, slot, &key, done, ctx);
	session_params_fill(&common, &key);
	op->session = session_new(common.digest, params->protocol_version, params->client_name,
				  params->client_version, NULL);
	op->session->elicits_url = mcp_elicits_url(params->capabilities);
	snprintf(idle, sizeof(idle), "%d", SESSION_IDLE_SECONDS);

	const struct span values[] = {
		common.values[0],
		common.values[1],
		common.values[2],
		span_of(params->protocol_version),
		span_of(params->client_name),
		span_of(params->client_version),
		params->capabilities,
		span_of(idle),
	};
	db_query(sessions->db, &op->query, &common.tenant, sql, values,
		 sizeof(values) / sizeof(values[0]), on_created, op);
}

static void on_changed(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct session_op *op = ctx;

	session_forget(op);
	if (err != NULL || n == 0 || db_affected(results[0]) == 0)
		finish_failed(op, err);
	else
		finish(op, NULL, NULL);
}

static void on_deleted(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	const struct session_op *op = ctx;

	if (err == NULL && db_rows(results[0]) == 1)
		meter_observe(op->sessions->meter, METER_SESSION_SECONDS,
			      (const char *const[]){ op->tenant },
			      db_int(results[0], 0, "lived_us"));
	on_changed(ctx, results, n, err);
}

void sessions_measure(struct sessions *sessions, struct meter *meter)
{
	sessions->meter = meter;
}

void session_end_start(struct sessions *sessions, struct session_op **slot,
		       const struct session_key *key, session_done *done, void *ctx)
{
	static const char *const sql =
		"DELETE FROM tollgate.mcp_sessions"
		" WHERE tenant_id = current_setting('app.tenant')::uuid AND id_hash = $1::bytea"
		" AND principal = $2 AND endpoint = $3"
		" RETURNING (extract(epoch FROM now() - created_at) * 1000000)::bigint AS lived_us";
	struct session_op *op = op_new(sessions, slot, key, done, ctx);
	struct session_params params;

	session_params_fill(&params, key);
	snprintf(op->tenant, sizeof(op->tenant), "%s", key->principal->tenant);
	db_query(sessions->db, &op->query, &params.tenant, sql, params.values, 3, on_deleted, op);
}

void session_log_level_start(struct sessions *sessions, struct session_op **slot,
			     const struct session_key *key, const char *level, session_done *done,
			     void *ctx)
{
	static const char *const sql =
		"UPDATE tollgate.mcp_sessions SET log_level = $4"
		" WHERE tenant_id = current_setting('app.tenant')::uuid AND id_hash = $1::bytea"
		" AND principal = $2 AND endpoint = $3";
	struct session_op *op = op_new(sessions, slot, key, done, ctx);
	struct session_params params;

	session_params_fill(&params, key);
	params.values[3] = span_of(level);
	db_query(sessions->db, &op->query, &params.tenant, sql, params.values, 4, on_changed, op);
}
