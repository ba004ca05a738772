/* SPDX-License-Identifier: Apache-2.0 */

/* /status: which gateway this is, who asks, and how the tenant's connections fare. */

#include <stdio.h>

#include "audit/book.h"
#include "base/loop.h"
#include "gateway/http/api.h"

#define TENANT	      "current_setting('app.tenant')::uuid"
#define US_PER_SECOND 1000000

static const char count_connections[] =
	"SELECT count(*) AS total, count(*) FILTER (WHERE c.enabled) AS enabled,"
	" count(*) FILTER (WHERE c.enabled AND s.state = 'ok' AND s.settings_version"
	"  = coalesce(p.settings_version, c.settings_version)) AS healthy"
	" FROM tollgate.connections c LEFT JOIN tollgate.connection_status s"
	" ON s.tenant_id = c.tenant_id AND s.connection_id = c.id"
	" LEFT JOIN tollgate.serving_connections p"
	" ON p.tenant_id = c.tenant_id AND p.connection_id = c.id"
	" WHERE c.tenant_id = " TENANT;

static enum api_result count(struct api_request *request)
{
	return api_query(request, count_connections, NULL, 0);
}

static enum api_result show_status(struct api_request *request)
{
	const struct principal *principal = request->principal;
	const struct gate *gate = request->app->gate;
	const struct db_result *row = request->results[0];
	int64_t uptime_us = loop_unix_us() - request->app->started_us;
	json_t *status = json_pack("{s:s, s:s, s:s?, s:s, s:s, s:I, s:{s:I, s:I, s:I}}", "version",
				   gate->server_version, "tenant", request->tenant_name, "user",
				   principal->user_name, "key", principal->api_key, "role",
				   role_name(principal->role), "uptime",
				   (json_int_t)(uptime_us / US_PER_SECOND), "connections", "total",
				   (json_int_t)db_int(row, 0, "total"), "enabled",
				   (json_int_t)db_int(row, 0, "enabled"), "healthy",
				   (json_int_t)db_int(row, 0, "healthy"));

	if (principal->role >= ROLE_ADMIN)
		json_object_set_new(status, "audit_backlog",
				    json_integer((json_int_t)book_backlog(gate->book)));
	return api_answer(request, 200, status, NULL);
}

api_step *const api_status_show[] = { count, show_status, NULL };
