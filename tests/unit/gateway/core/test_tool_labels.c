/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/tool_labels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"

static void the_first_tools_of_each_tenant_have_their_own(void **state)
{
	struct tool_labels *labels = tool_labels_new();
	char name[32];

	(void)state;
	for (int i = 0; i < TOOL_LABELS_PER_TENANT; i++) {
		snprintf(name, sizeof(name), "tool_%d", i);
		assert_string_equal(tool_label(labels, "acme", name), name);
	}
	assert_string_equal(tool_label(labels, "acme", "one_more"), METRIC_OTHER);
	assert_string_equal(tool_label(labels, "acme", "tool_0"), "tool_0");
	assert_string_equal(tool_label(labels, "other", "one_more"), "one_more");
	tool_labels_free(&labels);
	assert_null(labels);
	tool_labels_free(&labels);
}

static void tenants_have_a_bound(void **state)
{
	struct tool_labels *labels = tool_labels_new();
	char tenant[32];

	(void)state;
	for (int i = 0; i < TOOL_LABELS_TENANTS; i++) {
		snprintf(tenant, sizeof(tenant), "tenant_%d", i);
		assert_string_equal(tool_label(labels, tenant, "t"), "t");
	}
	assert_string_equal(tool_label(labels, "one_more", "t"), METRIC_OTHER);
	assert_string_equal(tool_label(labels, "tenant_0", "t"), "t");
	tool_labels_free(&labels);
}

static void what_is_not_known_has_none(void **state)
{
	struct tool_labels *labels = tool_labels_new();

	(void)state;
	assert_string_equal(tool_label(labels, NULL, "t"), METRIC_OTHER);
	assert_string_equal(tool_label(labels, "acme", NULL), METRIC_OTHER);
	assert_string_equal(tool_label(NULL, "acme", "t"), METRIC_OTHER);
	tool_labels_free(&labels);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_tools_of_each_tenant_have_their_own),
		cmocka_unit_test(tenants_have_a_bound),
		cmocka_unit_test(what_is_not_known_has_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
