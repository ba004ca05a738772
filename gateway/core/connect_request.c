/* SPDX-License-Identifier: Apache-2.0 */

/* A link for somebody to connect an account with: an attempt that is open, or a new one. */

#include <stdio.h>
#include <string.h>

#include "gateway/core/connect_priv.h"

#define TEXT_OF_(x)  #x
#define TEXT_OF(x)   TEXT_OF_(x)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Of the same kind: for the same account, asked for by the same one, with the same scope. Step ups
 * that came back count, however they ended: the server was asked, and the upstream demands it
 * again. One statement; two requests at the same moment may make two links, and both are good. */
static const char insert_attempt[] =
	"WITH open AS (SELECT a.id, a.expires_at FROM tollgate.connect_attempts a"
	" WHERE a.tenant_id = " CONNECT_TENANT
	" AND a.connection_id = $2::uuid AND a.subject = $3 AND a.principal = $4"
	" AND a.scope IS NOT DISTINCT FROM $6 AND a.state IN ('open', 'pending')"
	" AND a.expires_at > now() + '" TEXT_OF(
		CONNECT_LIFETIME_S) " seconds'::interval / 2"
				    " ORDER BY a.created_at DESC LIMIT 1), chain AS (SELECT "
				    "count(*) AS n"
				    " FROM tollgate.connect_attempts a WHERE a.tenant_id "
				    "= " CONNECT_TENANT " AND a.connection_id = $2::uuid AND "
				    "a.subject = $3 AND $6 IS NOT NULL"
				    " AND a.scope IS NOT NULL AND a.returned_at IS NOT NULL"
				    " AND a.created_at > now() - '" TEXT_OF(
					    CONNECT_CHAIN_S) " seconds'::interval"
							     " AND string_to_array($6, ' ') <@ "
							     "string_to_array(coalesce(a.asked_"
							     "scope, ''), ' ')),"
							     " made AS (INSERT INTO "
							     "tollgate.connect_attempts"
							     " (tenant_id, id, connection_id, "
							     "subject, principal, user_name, "
							     "scope, expires_at)"
							     " SELECT " CONNECT_TENANT
							     ", $1::uuid, $2::uuid, $3, $4, $5, $6,"
							     " now() + '" TEXT_OF(
								     CONNECT_LIFETIME_S) " seconds'"
											 "::"
											 "interval "
											 "FROM "
											 "chain"
											 " WHERE "
											 "NOT "
											 "EXISTS "
											 "(SELECT "
											 "FROM "
											 "open) "
											 "AND "
											 "chain.n "
											 "<"
											 " " TEXT_OF(
												 CONNECT_MAX_STEP_UPS) " RETURNING id, expires_at) SELECT id, extract(epoch FROM expires_at)::bigint AS expires_at"
														       " FROM (SELECT * FROM open UNION ALL SELECT * FROM made) link";

static enum connect_result check(struct connect_op *op)
{
	char subject[GRANT_SUBJECT_BYTES];

	if (op->connection->auth_mode != AUTH_OAUTH || op->connection->oauth == NULL ||
	    op->connection->oauth->grant != OAUTH_GRANT_AUTHORIZATION_CODE)
		return connect_refuse(op, ERR_BAD_REQUEST,
				      "no account has to be connected to %s in the browser",
				      op->connection->name);
	if (connect_subject(op->connection, op->principal, subject, &op->err) < 0)
		return CONNECT_REFUSE;
	if (subject[0] == '\0' && op->principal->role < ROLE_ADMIN)
		return connect_refuse(op, ERR_FORBIDDEN,
				      "all share one account of %s, which an administrator has to "
				      "connect",
				      op->connection->name);
	op->attempt.subject = arena_strdup(op->arena, subject);
	op->attempt.connection_id = op->connection->id;
	return CONNECT_NEXT;
}

enum connect_result connect_insert(struct connect_op *op)
{
	const struct principal *principal = op->principal;
	const char *name = principal_name(principal);
	char id[UUID_TEXT_BYTES];

	uuid_v4(id);

	const struct span params[] = {
		span_of(id),
		span_of(op->attempt.connection_id),
		span_of(op->attempt.subject),
		span_of(principal->subject),
		span_of(name),
		span_of(op->scope),
	};

	return connect_query(op, insert_attempt, params, COUNT(params));
}

enum connect_result connect_take_link(struct connect_op *op)
{
	const struct db_result *rows = op->results[0];
	const char *id;

	if (db_rows(rows) == 0)
		return connect_refuse(op, ERR_RATE_LIMITED,
				      "the server goes on demanding rights that it has been asked "
				      "for; its administrator has to grant them");
	id = arena_strdup(op->arena, db_text(rows, 0, "id"));
	op->link = (struct connect_link){
		.attempt_id = id,
		.url = arena_printf(op->arena, "%s/connect/%s", op->connects->params.public_url,
				    id),
		.expires_at = db_int(rows, 0, "expires_at"),
	};
	return CONNECT_END;
}

static connect_step *const request_steps[] = { check, connect_insert, connect_take_link };

void connect_request(struct connects *connects, struct connect_op **slot,
		     const struct connect_request *request, connect_requested *done, void *ctx)
{
	struct connect_op *op =
		connect_op_new(connects, slot, CONNECT_FOR_LINK, request_steps, ctx);

	op->done.requested = done;
	snprintf(op->tenant_id, sizeof(op->tenant_id), "%s", request->tenant->id);
	op->tenant = tenant_ref(request->tenant);
	op->connection = request->connection;
	op->principal = principal_ref((struct principal *)request->principal);
	op->scope = request->scope != NULL && request->scope[0] != '\0'
			    ? arena_strdup(op->arena, request->scope)
			    : NULL;
	connect_op_start(op);
}

static enum connect_result take_scope(struct connect_op *op)
{
	op->scope = op->attempt.scope;
	return CONNECT_NEXT;
}

static enum connect_result refuse_somebody_elses(struct connect_op *op)
{
	if (connect_may(op->principal, op->attempt.principal, op->attempt.subject))
		return CONNECT_NEXT;
	return connect_refuse(op, ERR_FORBIDDEN, "%s", connect_errors[CONNECT_WRONG_USER].sentence);
}

static connect_step *const again_steps[] = {
	connect_load_attempt,
	connect_take_attempt,
	refuse_somebody_elses,
	connect_load_tenant,
	connect_take_connection,
	take_scope,
	check,
	connect_insert,
	connect_take_link,
};

void connect_again(struct connects *connects, struct connect_op **slot, const char *attempt_id,
		   struct principal *principal, connect_requested *done, void *ctx)
{
	struct connect_op *op = connect_op_new(connects, slot, CONNECT_FOR_LINK, again_steps, ctx);

	op->done.requested = done;
	connect_op_about(op, attempt_id, principal);
	connect_op_start(op);
}
