/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/client_issuer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/db.h"
#include "base/mem.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define MAX_SHOWN    80
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct client_issuer_op {
	struct client_issuer_op **slot;
	struct db_op *query;
	char *issuer;
	client_issuer_bound *done;
	void *ctx;
};

bool client_issuer_is_open(const struct connection_oauth *oauth)
{
	return oauth->client_id != NULL && oauth->issuer == NULL && oauth->token_url == NULL;
}

static void op_free(struct client_issuer_op *op)
{
	db_cancel(&op->query);
	free(op->issuer);
	free(op);
}

static void finish(struct client_issuer_op *op, const struct err *err)
{
	client_issuer_bound *done = op->done;
	void *ctx = op->ctx;

	*op->slot = NULL;
	op_free(op);
	done(ctx, err);
}

/* No row: another request binds it at this moment. */
static void on_bound(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct client_issuer_op *op = ctx;
	struct err problem;
	const char *bound;

	(void)n;
	if (err != NULL || db_rows(results[0]) == 0) {
		err_set(&problem, ERR_UNAVAILABLE,
			"the gateway cannot tell now which server the client is for");
		finish(op, &problem);
		return;
	}
	bound = db_text(results[0], 0, "issuer");
	if (strcmp(bound, op->issuer) == 0) {
		finish(op, NULL);
		return;
	}
	err_set(&problem, ERR_UNAUTHENTICATED,
		"auth.oauth.issuer has to say which server the client is for: it was used at %.*s, "
		"and the upstream names %.*s now",
		MAX_SHOWN, bound, MAX_SHOWN, op->issuer);
	finish(op, &problem);
}

void client_issuer_bind(struct db *db, struct client_issuer_op **slot,
			const struct client_issuer_request *request, client_issuer_bound *done,
			void *ctx)
{
	static const char sql[] =
		"WITH bound AS (INSERT INTO tollgate.client_issuers (tenant_id, connection_id,"
		" issuer) VALUES (" TENANT ", $1::uuid, $2) ON CONFLICT DO NOTHING"
		" RETURNING issuer)"
		" SELECT issuer FROM bound UNION ALL SELECT c.issuer FROM tollgate.client_issuers c"
		" WHERE c.tenant_id = " TENANT " AND c.connection_id = $1::uuid";
	const struct db_setting setting = { "app.tenant", request->tenant_id };
	const struct span params[] = { span_of(request->connection_id), span_of(request->issuer) };
	struct client_issuer_op *op = mem_new(sizeof(*op));

	assert(*slot == NULL);
	*op = (struct client_issuer_op){
		.slot = slot, .issuer = mem_strdup(request->issuer), .done = done, .ctx = ctx
	};
	*slot = op;
	db_query(db, &op->query, &setting, sql, params, COUNT(params), on_bound, op);
}

void client_issuer_cancel(struct client_issuer_op **slot)
{
	struct client_issuer_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	op_free(op);
}
