/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/db_priv.h"

/* Not PQfnumber, which folds case and copies the name at each call. */
static int find_column(const struct db_result *result, const char *column)
{
	int n = PQnfields(result->pg);
	int at = 0;

	while (at < n && strcmp(PQfname(result->pg, at), column) != 0)
		at++;
	assert(at < n);
	return at;
}

size_t db_rows(const struct db_result *result)
{
	return (size_t)PQntuples(result->pg);
}

size_t db_affected(const struct db_result *result)
{
	return (size_t)strtoull(PQcmdTuples(result->pg), NULL, 10);
}

struct span db_span_at(const struct db_result *result, size_t row, size_t column)
{
	int at = (int)column;

	assert(row < db_rows(result) && at < PQnfields(result->pg));
	if (PQgetisnull(result->pg, (int)row, at))
		return (struct span){ 0 };
	return (struct span){ PQgetvalue(result->pg, (int)row, at),
			      (size_t)PQgetlength(result->pg, (int)row, at) };
}

struct span db_span(const struct db_result *result, size_t row, const char *column)
{
	return db_span_at(result, row, (size_t)find_column(result, column));
}

const char *db_text(const struct db_result *result, size_t row, const char *column)
{
	return db_span(result, row, column).p;
}

int64_t db_int(const struct db_result *result, size_t row, const char *column)
{
	const char *text = db_text(result, row, column);
	char *end;
	long long value;

	if (text == NULL)
		return 0;
	errno = 0;
	value = strtoll(text, &end, 10);
	assert(errno == 0 && end != text && *end == '\0');
	return value;
}

bool db_bool(const struct db_result *result, size_t row, const char *column)
{
	struct span value = db_span(result, row, column);

	assert(value.p == NULL || span_is(value, "t") || span_is(value, "f"));
	return span_is(value, "t");
}

void *db_bytes(const struct db_result *result, size_t row, const char *column, size_t *n)
{
	const char *text = db_text(result, row, column);
	unsigned char *bytes;

	*n = 0;
	if (text == NULL)
		return NULL;
	assert(strncmp(text, "\\x", 2) == 0);
	bytes = PQunescapeBytea((const unsigned char *)text, n);
	assert(bytes != NULL);
	return bytes;
}
