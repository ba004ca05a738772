/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/row.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"

static const struct {
	const char *column;
	enum event_field field;
	enum call_format format;
	size_t max_bytes;
} columns[CALL_N_FIELDS] = {
#define X(n, name, type, field, format)                                                            \
	[(n)-1] = { #name, FIELD_##field, CALL_FORMAT_##format, BOOK_MAX_##field },
	CALL_COLUMNS(X)
#undef X
};

bool row_parse_bytes(const char *text, void *out, size_t n)
{
	return text != NULL && strncmp(text, "\\x", 2) == 0 &&
	       hex_decode(span_of(text + 2), out, n) == 0;
}

bool row_parse_int(const char *text, int64_t *out)
{
	char *end;

	if (text == NULL)
		return false;
	errno = 0;
	*out = strtoll(text, &end, 10);
	return errno == 0 && end != text && *end == '\0';
}

/* As the book writes it, and to the last bit. */
static bool parse_milliseconds(const char *text, int64_t *us)
{
	char written[48];
	double value;
	char *end;

	value = strtod(text, &end);
	if (end == text || *end != '\0' || !(value >= 0) || value > 9e15)
		return false;
	*us = llround(value * 1000);
	snprintf(written, sizeof(written), "%" PRId64 ".%03" PRId64, *us / 1000, *us % 1000);
	/* Bits, for -0 is equal to 0. */
	return strtod(written, NULL) == value && !signbit(value);
}

static bool parse_outcome(const char *text, int64_t *outcome)
{
	for (*outcome = 0; *outcome <= BOOK_UNKNOWN; ++*outcome) {
		if (strcmp(book_outcome_name((enum book_outcome) * outcome), text) == 0)
			return true;
	}
	return false;
}

static bool parse_number(const char *text, enum call_format format, int64_t *number)
{
	switch (format) {
	case CALL_FORMAT_MILLISECONDS:
		return parse_milliseconds(text, number);
	case CALL_FORMAT_OUTCOME:
		return parse_outcome(text, number);
	default:
		return row_parse_int(text, number) && *number >= 0;
	}
}

/* NULL is absent, and so is a count of one. */
static bool read_field(struct span text, enum call_format format, size_t max_bytes, char *store,
		       struct span *out)
{
	int64_t number;
	uint64_t bytes;

	*out = (struct span){ NULL, 0 };
	if (text.p == NULL)
		return format != CALL_FORMAT_COUNT;
	if (format == CALL_FORMAT_TEXT) {
		*out = text;
		return text.n <= max_bytes;
	}
	*out = (struct span){ store, max_bytes };
	if (format == CALL_FORMAT_UUID)
		return uuid_parse(text.p, (uint8_t *)store);
	if (format == CALL_FORMAT_BYTES)
		return row_parse_bytes(text.p, store, max_bytes);
	if (!parse_number(text.p, format, &number))
		return false;
	if (format == CALL_FORMAT_COUNT && number <= 1) {
		*out = (struct span){ NULL, 0 };
		return number == 1;
	}
	bytes = htobe64((uint64_t)number);
	memcpy(store, &bytes, sizeof(bytes));
	return true;
}

static bool read_fields(const struct db_result *rows, size_t n, struct row *out)
{
	bool good = true;

	for (size_t i = 0; i < CALL_N_FIELDS; i++) {
		enum event_field field = columns[i].field;

		good &= read_field(db_span(rows, n, columns[i].column), columns[i].format,
				   columns[i].max_bytes, out->values[field],
				   &out->event.fields[field]);
	}
	return good;
}

/* As much as there is, for what is wrong has to be named. */
static bool read_head(const struct db_result *rows, size_t n, struct row *out)
{
	bool has_call, has_tenant, has_start;

	out->event.call_id = out->call_id;
	out->event.tenant_id = out->tenant_id;
	has_call = uuid_parse(db_text(rows, n, "call_id"), out->call_id);
	has_tenant = uuid_parse(db_text(rows, n, "tenant_id"), out->tenant_id);
	has_start = row_parse_int(db_text(rows, n, "started_us"), &out->event.started_us);
	return has_call && has_tenant && has_start;
}

/* As audit.call_log has it generated; the owner can make it an ordinary column. */
static bool error_is_right(const struct db_result *rows, size_t n, const struct row *row)
{
	const char *is_error = db_text(rows, n, "is_error");
	int64_t outcome;

	return is_error != NULL && event_number(&row->event, FIELD_OUTCOME, &outcome) &&
	       (strcmp(is_error, "t") == 0) ==
		       (outcome != BOOK_OK && outcome != BOOK_CANCELLED &&
			outcome != BOOK_CLIENT_CLOSED && outcome != BOOK_DRAINED);
}

/* Columns that follow from others, so that the chain need not hold them. Only what opens a row
 * knows the size of the request. */
static bool rest_is_right(const struct db_result *rows, size_t n, struct row *out)
{
	const char *class = db_text(rows, n, "retention_class");
	const char *reduction = db_text(rows, n, "reduction");
	bool opened = out->event.fields[FIELD_REQUEST_BYTES].p != NULL;
	bool linked = out->event.fields[FIELD_CHAIN_ID].p != NULL;
	bool damaged = db_bool(rows, n, "damaged");

	out->reduced = reduction != NULL;
	if (!error_is_right(rows, n, out))
		return false;
	if (class == NULL || strcmp(class, "standard") != 0)
		return false;
	if (reduction == NULL)
		return damaged == !opened;
	return (damaged || !linked) &&
	       row_parse_bytes(reduction, out->reduction, sizeof(out->reduction));
}

int row_read(const struct db_result *rows, size_t n, struct row *out, struct err *err)
{
	bool good;

	*out = (struct row){ .linked = false };
	good = read_head(rows, n, out);
	good &= read_fields(rows, n, out);
	good &= rest_is_right(rows, n, out);
	out->linked = event_link(&out->event, &out->link);
	return good ? 0 : err_set(err, ERR_PARSE, "a row that no gateway writes");
}
