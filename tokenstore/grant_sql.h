/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_GRANT_SQL_H
#define TOKENSTORE_GRANT_SQL_H

/* The statements of each request to tollgate.grants. Between grant_sql.c and grant_pg.c. */

#include "tokenstore/grant_store.h"

#define GRANT_SQL_STATEMENTS 3

/* What the results say. */
enum grant_takes {
	GRANT_TAKES_ROWS,    /* of the first statement: grants */
	GRANT_TAKES_COUNT,   /* n_done is what the first one affected */
	GRANT_TAKES_STATE,   /* the same, and the `state` that it gives */
	GRANT_TAKES_SAME,    /* n_done is how many rows the second one has */
	GRANT_TAKES_NUMBERS, /* of the first one: positions in `seen`, from 1 */
	GRANT_TAKES_NOTHING,
};

struct grant_sql {
	size_t (*build)(struct arena *arena, const struct grant_request *request,
			struct db_statement *out /* GRANT_SQL_STATEMENTS */);
	bool of_tenant; /* app.tenant is set */
	enum grant_takes takes;
};
extern const struct grant_sql grant_sql[N_GRANT_VERBS];

#endif
