/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_SURVEY_H
#define AUDIT_SURVEY_H

/* What a spool of the book holds, without opening it: for people who look after a machine that is
 * no more. */

#include "base/err.h"
#include "base/spool.h"

struct survey {
	struct spool_content spool;
	uint64_t n_records; /* of all kinds */
	uint64_t n_rows;    /* complete */
	uint64_t n_open;    /* INTENTs without OUTCOME: rows with outcome unknown, once drained */
	uint64_t n_unreadable; /* records that hold nothing we know */
	int64_t oldest_us;     /* when the first of these calls began, Unix; 0: there is none */
	int64_t newest_us;
};
/* As spool_read. */
int survey_read(const char *dir, struct survey *out, struct err *err) MUST_CHECK;

#endif
