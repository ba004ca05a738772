/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit.h"

#include "tests/unit/gateway/http/api_fixture.h"

static void a_cell_of_csv_is_no_formula(void **state)
{
	static const struct {
		const char *text;
		const char *cell;
	} rows[] = {
		{"plain",			   "plain"				   },
		{ "",			"\"\""				},
		{ "a,b",			 "\"a,b\""				   },
		{ "say \"x\"",	       "\"say \"\"x\"\"\""		   },
		{ "a\nb",			  "\"a\nb\""			     },
		{ "a\r",			 "\"a\r\""				   },
		{ " a",			"\" a\""				 },
		{ "a ",			"\"a \""				 },
		{ "=1+1",			  "'=1+1"				  },
		{ "+1",			"'+1"				 },
		{ "-1+2",			  "'-1+2"				  },
		{ "-32602",		    "-32602"				     },
		{ "-",		       "-"				   },
		{ "@SUM(A1)",		      "'@SUM(A1)"				  },
		{ "\t=1",			  "'\t=1"				  },
		{ "\r=1",			  "\"'\r=1\""			      },
		{ "'=1",			 "''=1"				},
		{ "=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""},
		{ "a=1",			 "a=1"				 },
		{ "\xc3\xa9",		      "\xc3\xa9"				 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out;

		buf_init(&out, 1000);
		audit_csv_text(span_of(rows[i].text), &out);
		if (strcmp(buf_str(&out), rows[i].cell) != 0)
			fail_msg("%s becomes %s", rows[i].text, buf_str(&out));
		buf_fini(&out);
	}
}

/* The columns of a place, then those that are shown. */
static const struct fake_column columns[] = {
	{"place_us",	      "1795176000000000"			 },
	{ "place_tenant",  OWN_TENANT			     },
	{ "place_call",	ROW_ID				},
	{ "started_at",	"2026-11-20T12:00:00.000000Z"	      },
	{ "tenant",	    NULL				  },
	{ "user_name",     "a\"b\n"				},
	{ "client",	    "=x"				  },
	{ "connection",	"crm"				 },
	{ "tool",	  NULL				  },
	{ "method",	    "tools/call"				 },
	{ "outcome",	     "ok"				  },
	{ "duration_ms",	 "NaN"				 },
	{ "upstream_ms",	 "1e-05"				 },
	{ "error_type",	NULL				  },
	{ "error_message", "-"				   },
	{ "persona",	     NULL				  },
	{ "account",	     NULL				  },
	{ "purpose",	     NULL				  },
	{ "arguments",     "{\r\n \"a\": 1.50,\n\"b\":\"x\\ny\"}"},
};

static void a_row_is_one_line_of_json(void **state)
{
	const struct db_result rows = { .n = 1 };
	struct exchange *exchange = request("GET", "");
	struct buf out;

	(void)state;
	exchange->columns = columns;
	exchange->n_columns = COUNT(columns);
	buf_init(&out, AUDIT_MAX_ROW_BYTES);
	audit_row_json(&rows, 0, AUDIT_WHOLE, &out);
	assert_null(strpbrk(buf_str(&out), "\r\n"));
	assert_non_null(strstr(buf_str(&out),
			       "{\"started_at\":\"2026-11-20T12:00:00.000000Z\",\"tenant\":null,"
			       "\"user_name\":\"a\\\"b\\n\",\"client\":\"=x\""));
	assert_non_null(strstr(buf_str(&out), "\"duration_ms\":null,\"upstream_ms\":1e-05"));
	assert_non_null(
		strstr(buf_str(&out),
		       "\"arguments\":{ \"a\": 1.50,\"b\":\"x\\ny\"},\"request_bytes\":1,"));
	assert_non_null(strstr(buf_str(&out), "\"has_payload\":false}"));
	buf_clear(&out);
	exchange->n_columns = COUNT(columns) - 1;
	audit_row_json(&rows, 0, AUDIT_BRIEF, &out);
	assert_null(strstr(buf_str(&out), "arguments"));
	assert_non_null(strstr(buf_str(&out), "\"purpose\":null,\"request_bytes\":1,"));
	buf_fini(&out);
	end(exchange);
}

static size_t count(const char *text, char c)
{
	size_t n = 0;

	for (; *text != '\0'; text++)
		n += *text == c;
	return n;
}

static void a_row_of_csv_has_the_cells_of_the_head(void **state)
{
	const struct db_result rows = { .n = 1 };
	struct exchange *exchange = request("GET", "");
	struct buf head, row;

	(void)state;
	exchange->columns = columns;
	exchange->n_columns = COUNT(columns) - 1; /* arguments: 1 */
	buf_init(&head, AUDIT_MAX_ROW_BYTES);
	buf_init(&row, AUDIT_MAX_ROW_BYTES);
	audit_csv_head(&head);
	audit_row_csv(&rows, 0, &row);
	assert_memory_equal(buf_str(&head), "started_at,tenant,user_name,", 28);
	assert_int_equal(count(buf_str(&head), ','), count(buf_str(&row), ','));
	assert_memory_equal(buf_str(&row),
			    "2026-11-20T12:00:00.000000Z,,\"a\"\"b\n\",'=x,crm,,tools/call,ok,",
			    60);
	assert_string_equal(buf_str(&row) + row.len - 2, "\r\n");
	buf_fini(&head);
	buf_fini(&row);
	end(exchange);
}

static void a_row_says_where_to_go_on(void **state)
{
	const struct db_result rows = { .n = 1 };
	struct exchange *exchange = request("GET", "");
	struct audit_place place = { .from_us = 1, .to_us = 2 };

	(void)state;
	exchange->columns = columns;
	exchange->n_columns = COUNT(columns);
	audit_row_place(&rows, 0, &place);
	assert_int_equal(place.from_us, 1);
	assert_int_equal(place.to_us, 2);
	assert_int_equal(place.started_us, INT64_C(1795176000000000));
	assert_string_equal(place.tenant_id, OWN_TENANT);
	assert_string_equal(place.call_id, ROW_ID);
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cell_of_csv_is_no_formula),
		cmocka_unit_test(a_row_is_one_line_of_json),
		cmocka_unit_test(a_row_of_csv_has_the_cells_of_the_head),
		cmocka_unit_test(a_row_says_where_to_go_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
