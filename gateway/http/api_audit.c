/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

#define NOBODY	    "00000000-0000-0000-0000-000000000000"
#define ALL_TENANTS "*"
#define NO_TENANT   "-"
#define SLOW_TEXT                                                                                  \
	"the question takes the database too long: ask for a shorter time or with more filters"

struct audit_request *audit_request_of(const struct api_request *request)
{
	return request->work;
}

/* A statement that was cancelled for its length, or could not get a connection for those that are
 * as long, says nothing of the database. */
bool audit_failed(struct api_request *request, const struct err *err)
{
	if (err->code != ERR_TIMEOUT)
		return false;
	api_fail(request, ERR_UNAVAILABLE, SLOW_TEXT);
	api_finish(request);
	return true;
}

enum api_result audit_begin(struct api_request *request, unsigned takes, size_t bytes)
{
	struct audit_request *work = arena_alloc(request->arena, bytes);
	struct err err;

	request->work = work;
	if (audit_query_parse(
		    &(struct audit_query_params){
			    .query = exchange_query(request->exchange),
			    .takes = takes,
			    .now_us = loop_unix_us(),
			    .arena = request->arena,
		    },
		    &work->query, &err) < 0)
		return api_fail(request, err.code, "%s", err.text);
	work->tenant_id = request->tenant_id;
	if (work->query.tenant == NULL)
		return API_NEXT;
	if (request->principal->role < ROLE_PLATFORM)
		return api_fail(request, ERR_FORBIDDEN,
				"only a key of role platform may ask for tenants");
	if (exchange_param(request->exchange, "tenant") != NULL)
		return api_fail(request, ERR_BAD_REQUEST,
				"the path names a tenant already: leave the parameter out");
	work->platform = true;
	work->tenant_id = NULL;
	if (strcmp(work->query.tenant, NO_TENANT) == 0)
		work->tenant_id = NOBODY;
	else if (strcmp(work->query.tenant, ALL_TENANTS) != 0)
		work->tenant_name = work->query.tenant;
	if (work->tenant_name == NULL)
		return API_NEXT;

	const struct span name = span_of(work->tenant_name);

	return api_query(request, "SELECT id FROM tollgate.find_tenant($1)", &name, 1);
}

/* Rows outlive their tenant: then only the name that they bear finds them. */
enum api_result audit_scope(struct api_request *request)
{
	struct audit_request *work = audit_request_of(request);

	request->failed = audit_failed;
	if (work->tenant_name != NULL && db_rows(request->results[0]) > 0) {
		work->tenant_id =
			arena_strdup(request->arena, db_text(request->results[0], 0, "id"));
		work->tenant_name = NULL;
	}
	request->results = NULL;
	return API_NEXT;
}

enum api_result audit_refuse_head(struct api_request *request)
{
	if (strcmp(exchange_method(request->exchange), "HEAD") != 0)
		return API_NEXT;
	return api_fail_as(request, 405, "method_not_allowed", "this is a stream: ask with GET");
}

static struct span time_text(char out[TEXT_TIME_BYTES], int64_t unix_us)
{
	text_time(unix_us, out);
	return span_of(out);
}

enum api_result audit_ask(struct api_request *request, const char *sql, const struct span *more,
			  size_t n)
{
	const struct audit_request *work = audit_request_of(request);
	const struct db_setting settings[] = {
		{"app.tenant",	request->tenant_id		   },
		{ "app.audit_scope", work->platform ? "platform" : ""},
	};
	char from[TEXT_TIME_BYTES], to[TEXT_TIME_BYTES];
	struct span params[AUDIT_MAX_PARAMS];
	const struct db_statement statement = { sql, params, AUDIT_N_COMMON + n };
	const struct db_tx tx = { settings, 2, &statement, 1 };

	_Static_assert(AUDIT_N_FILTERS == AUDIT_N_COMMON - 5, "AUDIT_WHERE has a clause for each");
	params[0] = span_of(work->tenant_id);
	params[1] = time_text(from, work->query.from_us);
	params[2] = time_text(to, work->query.to_us);
	params[3] = span_of(request->only_user_id);
	params[4] = span_of(work->tenant_name);
	memcpy(&params[5], work->query.filters, sizeof(work->query.filters));
	if (n > 0)
		memcpy(&params[AUDIT_N_COMMON], more, n * sizeof(*more));
	return api_start(request, request->app->audit_db, &tx);
}

struct span audit_number(struct api_request *request, int64_t value)
{
	return span_of(arena_printf(request->arena, "%" PRId64, value));
}

void audit_add_window(const struct audit_query *query, struct buf *out)
{
	char from[TEXT_TIME_BYTES], to[TEXT_TIME_BYTES];

	text_time(query->from_us, from);
	text_time(query->to_us, to);
	buf_printf(out, "{\"from\":\"%s\",\"to\":\"%s\"", from, to);
}

void audit_add_number(struct buf *out, const char *name, const struct db_result *rows, size_t row,
		      const char *column)
{
	const char *text = db_text(rows, row, column);

	buf_printf(out, "\"%s\":%s", name, text != NULL ? text : "null");
}
