/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_ROW_H
#define AUDIT_ROW_H

/* A row of audit.call_log as the event that it was written from: the inverse of audit/kind_call.c,
 * by the same table of columns. */

#include <stdbool.h>
#include <stdint.h>

#include "audit/chain.h"
#include "audit/event.h"
#include "audit/kind_call.h"
#include "base/db.h"
#include "base/err.h"

/* What row_read wants to find in a result, of `audit.call_log c`. */
#define ROW_COLUMN(n, name, type, field, format) "c." #name ", "
#define ROW_COLUMNS                                                                                \
	CALL_COLUMNS(ROW_COLUMN)                                                                   \
	ROW_US("c.started_at")                                                                     \
	" AS started_us, c.tenant_id, c.call_id, c.damaged, c.is_error, c.reduction, "             \
	"c.retention_class"
/* Unix microseconds, exactly; NULL for infinity. */
#define ROW_US(column)                                                                             \
	"CASE WHEN isfinite(" column ") THEN (extract(epoch FROM " column ") * 1000000)::int8 END"

struct row {
	struct event event; /* borrows from the result, and from here */
	bool linked;
	struct chain_link link;
	bool reduced;
	uint8_t reduction[CHAIN_SIGNATURE_BYTES];
	/* What the event points to. */
	uint8_t call_id[EVENT_UUID_BYTES];
	uint8_t tenant_id[EVENT_UUID_BYTES];
	char values[N_FIELDS][SHA256_BYTES];
};
/* ERR_PARSE: no gateway writes such a row. What could be read of link, call_id and started_us
 * stands there all the same. */
int row_read(const struct db_result *rows, size_t n, struct row *out, struct err *err) MUST_CHECK;

/* Texts of PostgreSQL. False: it is not one. */
bool row_parse_bytes(const char *text, void *out, size_t n);
bool row_parse_int(const char *text, int64_t *out);

#endif
