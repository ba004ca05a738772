/* SPDX-License-Identifier: Apache-2.0 */
#include "base/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void what_libpq_cannot_parse_is_refused_without_repeating_it(void **state)
{
	static const char *const bad[] = { "hunter2", "host=h hunter2",
					   "postgresql://u:hunter2%zz@h/",
					   "service=hunter2 host=h" };
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(db_conninfo_check(bad[i], &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_null(strstr(err.text, "hunter2"));
	}
	assert_int_equal(db_conninfo_check("postgresql:///d?host=/x", &err), 0);
	assert_int_equal(db_conninfo_check("host=h user=u", &err), 0);
	assert_int_equal(db_conninfo_check("", &err), 0);
}

static void what_is_secret_is_redacted(void **state)
{
	static const struct {
		const char *conninfo, *redacted;
	} cases[] = {
		{"host=h user=u password=p",		      "user=u password=[REDACTED] host=h"},
		{ "postgresql://u:p%20q@h:1/d?sslpassword=p",
		  "user=u password=[REDACTED] dbname=d host=h port=1 sslpassword=[REDACTED]"	     },
		{ "host=h options='-c a=b'",		     "host=h options=[REDACTED]"	 },
		{ "dbname='a \\' b' host=''",		      "dbname='a \\' b' host=''"	 },
		{ "nonsense",				 "[REDACTED]"			   },
		{ "",					 ""				 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *redacted = db_conninfo_redact(cases[i].conninfo);

		assert_string_equal(redacted, cases[i].redacted);
		free(redacted);
	}
}

static void a_password_is_taken_out_and_the_rest_still_connects(void **state)
{
	static const struct {
		const char *conninfo, *rest, *password;
	} cases[] = {
		{"host=h user=u password='p q'", "user=u host=h",		   "p q"},
		{ "postgresql://u:p%20q@h:1/d",	"user=u dbname=d host=h port=1", "p q"},
		{ "options='-c a=b' host=h",     "host=h options='-c a=b'",	NULL },
		{ "",			    "",			      NULL },
		{ "nonsense",		      NULL,			    NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		char *password;
		char *rest = db_conninfo_split(cases[i].conninfo, &password);

		assert_int_equal(rest == NULL, cases[i].rest == NULL);
		assert_int_equal(password == NULL, cases[i].password == NULL);
		if (rest != NULL)
			assert_string_equal(rest, cases[i].rest);
		if (password != NULL)
			assert_string_equal(password, cases[i].password);
		free(rest);
		free(password);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_libpq_cannot_parse_is_refused_without_repeating_it),
		cmocka_unit_test(what_is_secret_is_redacted),
		cmocka_unit_test(a_password_is_taken_out_and_the_rest_still_connects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
