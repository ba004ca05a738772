/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TENANT	     "11111111-1111-4111-8111-111111111111"
#define CALL	     "01a228f8-6421-72d1-a764-6e5c1be16720"
#define S_US	     INT64_C(1000000)

static const struct audit_place a_place = {
	.from_us = 1,
	.to_us = 4102444800000000,
	.started_us = 2,
	.tenant_id = TENANT,
	.call_id = CALL,
};

static void encode(const char *text, char out[2048])
{
	base64url_encode(text, strlen(text), out);
}

static void a_place_comes_back_as_it_was(void **state)
{
	char cursor[AUDIT_CURSOR_BYTES];
	struct audit_place place;
	struct err err;

	(void)state;
	audit_place_write(&a_place, cursor);
	assert_int_equal(audit_place_parse(cursor, &place, &err), 0);
	assert_int_equal(place.from_us, a_place.from_us);
	assert_int_equal(place.to_us, a_place.to_us);
	assert_int_equal(place.started_us, a_place.started_us);
	assert_string_equal(place.tenant_id, TENANT);
	assert_string_equal(place.call_id, CALL);
}

static void a_place_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"a1",
		"a1 1 2 1 " TENANT,
		"a1 1 2 1 " TENANT " " CALL " ",
		"a1 1 2 1 " TENANT " " CALL " x",
		"a2 1 2 1 " TENANT " " CALL,
		"a1 2 2 1 " TENANT " " CALL,
		"a1 -1 2 1 " TENANT " " CALL,
		"a1 1 2 x " TENANT " " CALL,
		"a1 1 9999999999999999 1 " TENANT " " CALL,
		"a1 1 2 1 " TENANT " 1",
		"a1 1 2 1 x " CALL,
		"a1  1 2 1 " TENANT " " CALL,
		"t1 1:1: - - -",
	};
	struct audit_place place;
	struct err err;
	char cursor[2048];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		encode(bad[i], cursor);
		if (audit_place_parse(cursor, &place, &err) == 0)
			fail_msg("%s is taken", bad[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
	}
	assert_int_equal(audit_place_parse("bogus!", &place, &err), -1);
	memset(cursor, 'A', sizeof(cursor) - 1);
	cursor[sizeof(cursor) - 1] = '\0';
	assert_int_equal(audit_place_parse(cursor, &place, &err), -1);
}

static void a_mark_comes_back_as_it_was(void **state)
{
	struct audit_mark inside = { "10:20:10,14,19", "12:30:12", "15", CALL };
	struct audit_mark between = { .before = "10:10:" };
	char text[AUDIT_MARK_BYTES];
	struct audit_mark mark;
	struct err err;

	(void)state;
	audit_mark_write(&inside, text);
	assert_int_equal(audit_mark_parse(text, &mark, &err), 0);
	assert_string_equal(mark.before, inside.before);
	assert_string_equal(mark.until, inside.until);
	assert_string_equal(mark.stored_in, "15");
	assert_string_equal(mark.call_id, CALL);
	audit_mark_write(&between, text);
	assert_int_equal(audit_mark_parse(text, &mark, &err), 0);
	assert_string_equal(mark.before, "10:10:");
	assert_string_equal(mark.until, "");
}

static void the_longest_mark_fits(void **state)
{
	struct audit_mark mark = { .stored_in = "9223372036854775807", .call_id = CALL };
	char text[AUDIT_MARK_BYTES];
	struct audit_mark back;
	struct err err;
	size_t n;

	(void)state;
	n = (size_t)snprintf(mark.before, sizeof(mark.before), "1:999999:");
	for (int i = 1; n + 8 < sizeof(mark.before); i++)
		n += (size_t)snprintf(mark.before + n, sizeof(mark.before) - n, "%s%06d",
				      i > 1 ? "," : "", i);
	memcpy(mark.until, mark.before, sizeof(mark.until));
	audit_mark_write(&mark, text);
	/* xids have no leading zeros as PostgreSQL writes them, but may be read with them. */
	assert_int_equal(audit_mark_parse(text, &back, &err), 0);
	assert_string_equal(back.before, mark.before);
	assert_string_equal(back.stored_in, mark.stored_in);
}

static void a_mark_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		"t1 10:10: - -",
		"t1 10:10: 10:10: - -",
		"t1 10:10: 10:10: 10 -",
		"t1 10:10: - 10 -",
		"t1 10:10: - - " CALL,
		"t1 10:10 - - -",
		"t1 10 - - -",
		"t1 11:10: - - -",
		"t1 0:10: - - -",
		"t1 10:20:9 - - -",
		"t1 10:20:20 - - -",
		"t1 10:20:12,11 - - -",
		"t1 10:20:11,11 - - -",
		"t1 10:20:11, - - -",
		"t1 10:20:,11 - - -",
		"t1 :10: - - -",
		"t1 10:x: - - -",
		"t1 10:99999999999999999999: - - -",
		"t1 10:10: 10:10: x " CALL,
		"t1 10:10: 10:10: 0 " CALL,
		"t1 10:10: 10:10: 10 x",
		"t2 10:10: - - -",
		"a1 1 2 1 " TENANT " " CALL,
		"t1 10:10:' - - -",
	};
	struct audit_mark mark;
	struct err err;
	char text[2048];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		encode(bad[i], text);
		if (audit_mark_parse(text, &mark, &err) == 0)
			fail_msg("%s is taken", bad[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, "Last-Event-ID"));
	}
}

static void an_id_says_when(void **state)
{
	(void)state;
	assert_int_equal(audit_call_id_ms(CALL), INT64_C(0x01a228f86421));
	assert_int_equal(audit_call_id_ms("ffffffff-ffff-7fff-bfff-ffffffffffff"),
			 INT64_C(0xffffffffffff));
	assert_int_equal(audit_call_id_ms(TENANT), -1);
	assert_int_equal(audit_call_id_ms("01a228f8"), -1);
	assert_int_equal(audit_call_id_ms(""), -1);
}

static void buckets_are_not_too_many(void **state)
{
	static const struct {
		enum audit_bucket bucket;
		int64_t span_s;
		int64_t seconds; /* 0: refused */
	} rows[] = {
		{AUDIT_BUCKET_AUTO,  1,		60   },
		{ AUDIT_BUCKET_AUTO, 3 * 3600,      60	  },
		{ AUDIT_BUCKET_AUTO, 3 * 3600 + 1,  3600 },
		{ AUDIT_BUCKET_AUTO, 7 * 86400,	3600 },
		{ AUDIT_BUCKET_AUTO, 7 * 86400 + 1, 86400},
		{ AUDIT_BUCKET_AUTO, 1498 * 86400,  86400},
		{ AUDIT_BUCKET_AUTO, 1499 * 86400,  0    },
		{ AUDIT_MINUTE,	1498 * 60,	   60   },
		{ AUDIT_MINUTE,	1499 * 60,	   0    },
		{ AUDIT_HOUR,	      60,		  3600 },
		{ AUDIT_DAY,	     60,		 86400},
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct audit_query query = { .bucket = rows[i].bucket,
						   .to_us = rows[i].span_s * S_US };
		int64_t seconds;
		int ret = audit_bucket_seconds(&query, &seconds, &err);

		assert_int_equal(ret, rows[i].seconds > 0 ? 0 : -1);
		if (ret == 0)
			assert_int_equal(seconds, rows[i].seconds);
	}
	assert_string_equal(audit_bucket_name(60), "minute");
	assert_string_equal(audit_bucket_name(86400), "day");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_comes_back_as_it_was),
		cmocka_unit_test(a_place_that_is_none_is_refused),
		cmocka_unit_test(a_mark_comes_back_as_it_was),
		cmocka_unit_test(the_longest_mark_fits),
		cmocka_unit_test(a_mark_that_is_none_is_refused),
		cmocka_unit_test(an_id_says_when),
		cmocka_unit_test(buckets_are_not_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
