/* SPDX-License-Identifier: Apache-2.0 */

/* Any query string of an audit route, any cursor and any Last-Event-ID: what is taken is fit for
 * PostgreSQL and within its bounds, and a place that is taken comes back as it was. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/http/api_audit_query.h"

#define NOW_US	INT64_C(1795176000000000)
#define LAST_US INT64_C(4102444800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_filters(const struct audit_query *query)
{
	for (size_t i = 0; i < AUDIT_N_FILTERS; i++) {
		struct span value = query->filters[i];

		if (value.p == NULL)
			continue;
		assert(value.n > 0 && value.n <= 2 * AUDIT_MAX_TEXT + 2);
		assert(memchr(value.p, '\0', value.n) == NULL);
		assert(text_is_utf8(value.p, value.n));
	}
	if (query->filters[AUDIT_OUTCOME].p != NULL)
		assert(strspn(query->filters[AUDIT_OUTCOME].p, "{},_abcdefghijklmnopqrstuvwxyz") ==
		       query->filters[AUDIT_OUTCOME].n);
	if (query->filters[AUDIT_MIN_DURATION].p != NULL)
		assert(strspn(query->filters[AUDIT_MIN_DURATION].p, "0123456789") ==
		       query->filters[AUDIT_MIN_DURATION].n);
}

static void try_query(unsigned takes, const char *text, size_t n)
{
	struct arena *arena = arena_new();
	const struct audit_query_params params = {
		{text, n},
		     takes, NOW_US, arena
	};
	struct audit_query query;
	int64_t seconds;
	struct err err;

	if (audit_query_parse(&params, &query, &err) == 0) {
		check_filters(&query);
		assert(query.from_us >= 0 && query.from_us < query.to_us && query.to_us <= LAST_US);
		assert(query.limit > 0 && query.limit <= AUDIT_MAX_PAGE);
		assert((takes & AUDIT_TAKES_GROUPS) == 0 || query.by != NULL);
		if (audit_bucket_seconds(&query, &seconds, &err) == 0)
			assert((query.to_us - query.from_us) / 1000000 / seconds <
			       AUDIT_MAX_BUCKETS);
	}
	arena_free(&arena);
}

static void try_cursors(const char *text)
{
	struct audit_place place, place_again;
	struct audit_mark mark, mark_again;
	char cursor[AUDIT_CURSOR_BYTES], id[AUDIT_MARK_BYTES];
	struct err err;

	if (audit_place_parse(text, &place, &err) == 0) {
		audit_place_write(&place, cursor);
		assert(audit_place_parse(cursor, &place_again, &err) == 0);
		assert(place.started_us == place_again.started_us);
		assert(strcmp(place.call_id, place_again.call_id) == 0);
	}
	if (audit_mark_parse(text, &mark, &err) == 0) {
		audit_mark_write(&mark, id);
		assert(audit_mark_parse(id, &mark_again, &err) == 0);
		assert(strcmp(mark.before, mark_again.before) == 0);
		assert(strcmp(mark.until, mark_again.until) == 0);
		assert(strcmp(mark.stored_in, mark_again.stored_in) == 0);
	}
	assert(audit_call_id_ms(text) >= -1);
}

/* The text behind the first byte as it stands, and as what a cursor is the base64url of. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text, *encoded;

	if (size == 0)
		return 0;
	text = mem_strndup((const char *)data + 1, size - 1);
	encoded = mem_new(2 * size + 4);
	try_query(data[0], (const char *)data + 1, size - 1);
	try_cursors(text);
	base64url_encode(text, strlen(text), encoded);
	try_cursors(encoded);
	free(encoded);
	free(text);
	return 0;
}
