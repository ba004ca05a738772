/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/meters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "audit/otel_names.h"

static void assert_prints(const struct metrics *metrics, const char *line, bool wanted)
{
	struct buf text;

	buf_init(&text, 1 << 20);
	metrics_print(metrics, &text);
	if ((strstr(buf_str(&text), line) != NULL) != wanted)
		fail_msg("%s in\n%s", line, buf_str(&text));
	buf_fini(&text);
}

static void grant_events_are_attempts_and_renewals(void **state)
{
	struct metrics *metrics = metrics_new(gate_metrics, N_GATE_METRICS, 1);
	struct meter *meter = meter_new(metrics, 0);

	(void)state;
	meter_grant_event(meter, "acme", "crm", "connect_started");
	meter_grant_event(meter, "acme", "crm", "connect_completed");
	meter_grant_event(meter, "acme", "crm", "refresh_succeeded");
	meter_grant_event(meter, "acme", "crm", "refresh_succeeded");
	meter_grant_event(meter, "acme", "crm", "refresh_skipped_expired");
	meter_grant_event(meter, "acme", "crm", "refresh_skipped_no_token");
	meter_grant_event(meter, "acme", "crm", "disconnected");
	meter_grant_event(meter, "acme", "crm", "");
	assert_prints(metrics,
		      "\ntollgate_oauth_attempts_total{tenant=\"acme\",connection=\"crm\","
		      "result=\"completed\"} 1\n"
		      "tollgate_oauth_attempts_total{tenant=\"acme\",connection=\"crm\","
		      "result=\"started\"} 1\n#",
		      true);
	assert_prints(metrics,
		      "\ntollgate_oauth_refresh_total{tenant=\"acme\",connection=\"crm\","
		      "result=\"ok\"} 2\n"
		      "tollgate_oauth_refresh_total{tenant=\"acme\",connection=\"crm\","
		      "result=\"skipped\"} 2\n#",
		      true);
	meter_free(&meter);
	metrics_free(&metrics);
}

static void only_calls_of_tools_have_a_tool(void **state)
{
	struct metrics *metrics = metrics_new(gate_metrics, N_GATE_METRICS, 1);
	struct meter *meter = meter_new(metrics, 0);

	(void)state;
	meter_call(meter, &(struct meter_call){ .tenant = "acme",
						.method = "tools/list",
						.tool = "x",
						.outcome = BOOK_OK,
						.upstream_us = -1 });
	meter_call(meter, &(struct meter_call){ .tenant = "acme",
						.method = "tools/call",
						.is_tool_call = true,
						.outcome = BOOK_DENIED,
						.upstream_us = -1 });
	assert_prints(metrics,
		      "_duration_seconds_count{tenant=\"acme\",mcp_method_name=\"tools/list\"} 1\n",
		      true);
	assert_prints(metrics,
		      "_duration_seconds_count{tenant=\"acme\",mcp_method_name=\"tools/call\","
		      "gen_ai_tool_name=\"_OTHER\",error_type=\"denied\"} 1\n",
		      true);
	assert_prints(metrics, "\"x\"", false);
	meter_free(&meter);
	metrics_free(&metrics);
}

/* "mcp.server.operation.duration" in seconds is mcp_server_operation_duration_seconds. */
static bool is_translation(const char *metric, const char *otel)
{
	for (; *otel != '\0'; metric++, otel++) {
		if (*metric != (*otel == '.' ? '_' : *otel))
			return false;
	}
	return strcmp(metric, "_seconds") == 0;
}

static bool is_label_of_ours(const char *label, size_t n)
{
	static const char *const others[] = { "result", "state", "reason", "version" };

	for (int i = 0; i < N_OTEL_NAMES; i++) {
		if (strlen(otel_names[i].label) == n && memcmp(otel_names[i].label, label, n) == 0)
			return true;
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (strlen(others[i]) == n && memcmp(others[i], label, n) == 0)
			return true;
	}
	return false;
}

static void names_are_those_of_opentelemetry(void **state)
{
	(void)state;
	assert_true(is_translation(gate_metrics[METER_SERVER_SECONDS].name,
				   OTEL_SERVER_OPERATION_DURATION));
	assert_true(is_translation(gate_metrics[METER_CLIENT_SECONDS].name,
				   OTEL_CLIENT_OPERATION_DURATION));
	assert_true(is_translation(gate_metrics[METER_SESSION_SECONDS].name,
				   OTEL_SERVER_SESSION_DURATION));
	for (size_t i = 0; i < N_GATE_METRICS; i++) {
		const char *labels = gate_metrics[i].labels;

		while (labels != NULL && *labels != '\0') {
			size_t n = strcspn(labels, " ");

			assert_true(is_label_of_ours(labels, n));
			labels += n + (labels[n] == ' ');
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grant_events_are_attempts_and_renewals),
		cmocka_unit_test(only_calls_of_tools_have_a_tool),
		cmocka_unit_test(names_are_those_of_opentelemetry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
