/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose token lists an OAuth connection. There is one catalog for each connection, also where each
 * user has a grant of their own (docs/decisions/019): any of a user who is enabled will do, and the
 * one that was connected last is the likeliest to be good.
 */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gateway/core/keeper_priv.h"
#include "oauth/access.h"

static void on_state(void *ctx, enum credential_state state, const char *why, const struct err *err)
{
	struct keeper_credential *credential = ctx;

	tenant_unref(&credential->tenant);
	credential->done(credential->ctx, state, why, err);
}

static void ask(struct keeper_credential *credential, int64_t refused_version)
{
	credential_start(credential->credentials, &credential->op,
			 &(struct credential_request){
				 .tenant = credential->tenant,
				 .connection = credential->connection,
				 .subject = credential->subject,
				 .refused_version = refused_version,
				 .actor = ACCESS_BACKGROUND,
			 },
			 on_state, credential);
}

static void on_found(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct keeper_credential *credential = ctx;

	if (err == NULL && n == 1 && db_rows(results[0]) == 1) {
		snprintf(credential->subject, sizeof(credential->subject), "%s",
			 db_text(results[0], 0, "subject"));
		ask(credential, 0);
		return;
	}
	on_state(credential, CREDENTIAL_NONE, NULL, err);
}

static void find_subject(struct keeper_credential *credential, struct db *db)
{
	const struct db_setting setting = { "app.tenant", credential->tenant->id };
	const struct span id = span_of(credential->connection->id);

	db_query(db, &credential->query, &setting,
		 "SELECT g.subject FROM tollgate.grants g JOIN tollgate.users u"
		 " ON u.tenant_id = g.tenant_id AND u.id = g.user_id AND u.enabled"
		 " WHERE g.tenant_id = current_setting('app.tenant')::uuid"
		 " AND g.connection_id = $1::uuid AND g.state = 'active'"
		 " ORDER BY g.authenticated_at DESC NULLS LAST LIMIT 1",
		 &id, 1, on_found, credential);
}

static void begin(struct keeper_credential *credential,
		  const struct keeper_credential_params *params, credential_done *done, void *ctx)
{
	assert(credential->tenant == NULL && params->connection->oauth != NULL);
	credential->credentials = params->credentials;
	credential->tenant = tenant_ref(params->tenant);
	credential->connection = params->connection;
	credential->done = done;
	credential->ctx = ctx;
}

void keeper_credential_start(struct keeper_credential *credential,
			     const struct keeper_credential_params *params, credential_done *done,
			     void *ctx)
{
	begin(credential, params, done, ctx);
	credential->subject[0] = '\0';
	if (params->connection->oauth->per_user)
		find_subject(credential, params->db);
	else
		ask(credential, 0);
}

void keeper_credential_renew(struct keeper_credential *credential,
			     const struct keeper_credential_params *params, int64_t version,
			     credential_done *done, void *ctx)
{
	begin(credential, params, done, ctx);
	ask(credential, version);
}

void keeper_credential_cancel(struct keeper_credential *credential)
{
	db_cancel(&credential->query);
	credential_cancel(&credential->op);
	tenant_unref(&credential->tenant);
}
