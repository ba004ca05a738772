/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_SEALED_COLUMNS_H
#define GATEWAY_CORE_SEALED_COLUMNS_H

/*
 * Every column of tollgate's tables that holds sealed values, and where each says that it stands
 * (struct seal_place). Whoever adds such a column adds a row here, or `tollgate keyring` neither
 * verifies nor re-seals it; tests/e2e/keyring.test.mjs compares this with the catalog.
 *
 * All tables have tenant_id.
 */

#include <stddef.h>

struct sealed_column {
	const char *table;
	const char *column;
	const char *as;	     /* the place's table */
	const char *row;     /* SQL: the place's row, unique within the tenant */
	const char *version; /* SQL: the place's version */
};
extern const struct sealed_column sealed_columns[];
extern const size_t n_sealed_columns;

#endif
