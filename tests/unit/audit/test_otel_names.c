/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/otel_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/app/migrate.h"

#define MARK "OpenTelemetry: "
#define WORD "abcdefghijklmnopqrstuvwxyz_."

static const char *const metrics[] = { OTEL_SERVER_OPERATION_DURATION,
				       OTEL_CLIENT_OPERATION_DURATION,
				       OTEL_SERVER_SESSION_DURATION };

static bool is_text(const char *text, const char *p, size_t n)
{
	return strlen(text) == n && memcmp(text, p, n) == 0;
}

/* Its column; "" if it is said of another, NULL if there is no such name. */
static const char *column_of(const char *name, size_t n)
{
	for (int i = 0; i < N_OTEL_NAMES; i++) {
		if (is_text(otel_names[i].attribute, name, n))
			return otel_names[i].column;
	}
	for (size_t i = 0; i < sizeof(metrics) / sizeof(metrics[0]); i++) {
		if (is_text(metrics[i], name, n))
			return "";
	}
	return NULL;
}

/* What the comment at `at` is about, if it says so: COMMENT ON COLUMN schema.table.column IS '…'.
 */
static const char *commented(const char *text, const char *at, char column[64])
{
	const char *on = NULL;
	const char *end;
	const char *name;

	for (const char *next = text; (next = strstr(next, "COMMENT ON ")) != NULL && next < at;
	     next++)
		on = next;
	end = on != NULL ? strstr(on, ";\n") : NULL;
	if (end == NULL || end < at || sscanf(on, "COMMENT ON COLUMN %63s", column) != 1)
		return NULL;
	name = strrchr(column, '.');
	return name != NULL ? name + 1 : NULL;
}

static bool seen[N_OTEL_NAMES];

static void note_seen(const char *column)
{
	for (int i = 0; i < N_OTEL_NAMES; i++)
		seen[i] = seen[i] || strcmp(otel_names[i].column, column) == 0;
}

/* Views say the same of other columns too, in ways of their own: the name has to exist. */
static void check(const struct migration *migration)
{
	for (const char *at = migration->sql; (at = strstr(at, MARK)) != NULL; at++) {
		const char *name = at + strlen(MARK);
		size_t n = strspn(name, WORD);
		char text[64];
		const char *column = commented(migration->sql, at, text);
		const char *ours;

		n -= n > 0 && name[n - 1] == '.'; /* the end of the sentence */
		ours = column_of(name, n);
		if (n > 0 && ours == NULL)
			fail_msg("%s: %.*s is no name", migration->name, (int)n, name);
		if (column == NULL || n == 0)
			continue;
		if (strcmp(ours, column) != 0)
			fail_msg("%s: %s is %.*s", migration->name, column, (int)n, name);
		note_seen(column);
	}
}

static void the_comments_of_columns_say_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_migrations; i++)
		check(&migrations[i]);
	for (int i = 0; i < N_OTEL_NAMES; i++) {
		if (otel_names[i].column[0] != '\0' && !seen[i])
			fail_msg("no comment says that %s is %s", otel_names[i].column,
				 otel_names[i].attribute);
	}
}

static void each_name_stands_once(void **state)
{
	(void)state;
	for (int i = 0; i < N_OTEL_NAMES; i++) {
		const struct otel_names *one = &otel_names[i];

		assert_true(strspn(one->attribute, WORD) == strlen(one->attribute));
		for (int j = 0; j < i; j++) {
			const struct otel_names *other = &otel_names[j];

			assert_string_not_equal(one->attribute, other->attribute);
			assert_true(one->column[0] == '\0' ||
				    strcmp(one->column, other->column) != 0);
			assert_true(one->label[0] == '\0' || strcmp(one->label, other->label) != 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_comments_of_columns_say_the_same),
		cmocka_unit_test(each_name_stands_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
