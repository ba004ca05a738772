/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_TENANT_PRIV_H
#define GATEWAY_CORE_TENANT_PRIV_H

/* What the files that build a snapshot share. */

#include "gateway/core/tenant.h"

/* A copy of the column, or NULL. */
const char *tenant_column_text(struct arena *arena, const struct db_result *rows, size_t row,
			       const char *column);
/* tenant_catalog.c: the tools of the connections that are there already, from the same rows, and
 * their index. */
void tenant_load_catalogs(struct tenant *tenant, const struct db_result *rows);
/* tenant_oauth.c: the settings as tollgate.connections.oauth has them. out->client_secret is there
 * already: whether one may be missing depends on the method. */
int tenant_parse_oauth(struct arena *arena, const char *text, struct connection_oauth *out,
		       struct err *err) MUST_CHECK;

#endif
