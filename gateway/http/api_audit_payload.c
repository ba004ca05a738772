/* SPDX-License-Identifier: Apache-2.0 */

/* /audit/calls/{id}/payload: what went through a call, opened. */

#include <stdlib.h>
#include <string.h>

#include "audit/payload.h"
#include "base/log.h"
#include "base/seal.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api.h"

#define TENANT	     "current_setting('app.tenant')::uuid"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A call id begins with when the call began, so that the days need not be searched. */
#define MS_OF_ID "('x' || left(replace($1::text, '-', ''), 12))::bit(48)::bigint"
#define AT_OF_ID "timestamptz 'epoch' + " MS_OF_ID " * interval '1 millisecond'"

static enum api_result find_parts(struct api_request *request)
{
	const struct span id = span_of(exchange_param(request->exchange, "id"));

	if (!uuid_valid(id.p))
		return api_fail(request, ERR_NOT_FOUND, "there is no such call");
	return api_query(
		request,
		"SELECT call_id, part, bytes, truncated, sealed, to_char(started_at " API_RFC3339
		" AS started_at,"
		" (extract(epoch FROM started_at) * 1000000)::bigint AS started_us"
		" FROM audit.call_payloads WHERE tenant_id = " TENANT
		" AND call_id = $1::text::uuid AND started_at >= " AT_OF_ID
		" AND started_at < " AT_OF_ID " + interval '1 millisecond'",
		&id, 1);
}

static int open_part(const struct api_request *request, const struct db_result *rows, size_t i,
		     struct secret *plain, struct err *err)
{
	const struct tenant *tenant = request->tenant;
	char row[PAYLOAD_PLACE_BYTES];
	const struct seal_place place = {
		.deployment = request->app->deployment,
		.tenant = request->tenant_id,
		.table = PAYLOAD_TABLE,
		.column = PAYLOAD_COLUMN,
		.row = row,
		.version = db_int(rows, i, "started_us"),
	};
	const struct seal_key *key;
	size_t n;
	char *bytes = db_bytes(rows, i, "sealed", &n);
	const struct span sealed = { bytes, n };
	int ret = -1;

	payload_place(db_text(rows, i, "call_id"), db_text(rows, i, "part"),
		      db_int(rows, i, "bytes"), row);
	key = seal_find_key(tenant->keys, tenant->n_keys, sealed, err);
	if (key != NULL)
		ret = seal_open(key, &place, sealed, plain, err);
	free(bytes);
	return ret;
}

/* {"bytes":N,"truncated":B,"text":"…"} */
static json_t *show_part(const struct api_request *request, const struct db_result *rows, size_t i)
{
	const struct log_subject subject = { .component = "api", .tenant = request->tenant_name };
	struct secret plain = { 0 };
	json_t *shown = NULL;
	struct err err;

	if (open_part(request, rows, i, &plain, &err) < 0)
		log_error(&subject, "the %s of call %s: %s", db_text(rows, i, "part"),
			  exchange_param(request->exchange, "id"), err.text);
	else
		shown = json_pack("{s:I, s:b, s:s%}", "bytes", (json_int_t)db_int(rows, i, "bytes"),
				  "truncated", db_bool(rows, i, "truncated"), "text", plain.reveal,
				  plain.n);
	secret_fini(&plain);
	return shown;
}

static enum api_result show_parts(struct api_request *request)
{
	const struct db_result *rows = request->results[0];
	json_t *shown;

	if (db_rows(rows) == 0)
		return api_fail(request, ERR_NOT_FOUND,
				"no payload of this call is kept: its connection's audit level was "
				"not full, or it is too old");
	shown = json_pack("{s:s, s:s, s:n, s:n}", "call_id", db_text(rows, 0, "call_id"),
			  "started_at", db_text(rows, 0, "started_at"), "arguments", "result");
	for (size_t i = 0; i < db_rows(rows); i++) {
		json_t *part = show_part(request, rows, i);

		if (part == NULL) {
			json_decref(shown);
			return api_fail(
				request, ERR_INTERNAL,
				"the payload does not open; the log of the gateway says why");
		}
		json_object_set_new(shown, db_text(rows, i, "part"), part);
	}
	return api_answer(request, 200, shown, NULL);
}

/* The tenant is loaded, not found: the payload may be sealed with a key of a moment ago. */
api_step *const api_audit_payload[] = { api_load_tenant, find_parts, show_parts, NULL };
