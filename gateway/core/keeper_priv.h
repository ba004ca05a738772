/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_KEEPER_PRIV_H
#define GATEWAY_CORE_KEEPER_PRIV_H

#include "base/buf.h"
#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "gateway/core/upstream.h"

/* What a listing of one connection found. Borrowed by the store. */
struct keeper_finding {
	const char *tenant_id;
	const char *connection_id;
	struct span tools; /* JSON array */
	size_t n_tools;
	const struct upstream_facts *facts;
};

/* The SQL of catalogs and connection_status. Each is one transaction into *slot. */
void keeper_store_catalog(struct db *db, struct db_op **slot, const struct keeper_finding *finding,
			  db_done *done, void *ctx);
/* state as in tollgate.connection_status; problem NULL: none; retry_ms < 0: no retry planned. */
void keeper_store_state(struct db *db, struct db_op **slot, const char *tenant_id,
			const char *connection_id, const char *state, const char *problem,
			int64_t retry_ms, db_done *done, void *ctx);

#endif
