/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit_query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NOW_US	     INT64_C(1795176000000000) /* 2026-11-20T12:00:00Z */
#define MINUTE_US    INT64_C(60000000)
#define ALL                                                                                        \
	(AUDIT_TAKES_TIME | AUDIT_TAKES_PAGE | AUDIT_TAKES_CURSOR | AUDIT_TAKES_BUCKET |           \
	 AUDIT_TAKES_FORMAT)
#define TRACE "0123456789abcdef0123456789abcdef"

static int parse(struct arena *arena, const char *query, unsigned takes, struct audit_query *out,
		 struct err *err)
{
	const struct audit_query_params params = { span_of(query), takes, NOW_US, arena };

	return audit_query_parse(&params, out, err);
}

static void each_filter_becomes_a_parameter(void **state)
{
	static const struct {
		const char *query;
		enum audit_filter filter;
		const char *value;
	} rows[] = {
		{"user=ana",			      AUDIT_USER,	  "ana"		},
		{ "tool=crm__get",			   AUDIT_TOOL,	       "crm__get"	  },
		{ "tool=%22%27%3B+DROP",		 AUDIT_TOOL,	     "\"'; DROP"	 },
		{ "connection=crm",		    AUDIT_CONNECTION,   "crm"	    },
		{ "method=tools%2Fcall",		 AUDIT_METHOD,       "tools/call"    },
		{ "outcome=ok",			AUDIT_OUTCOME,      "{ok}"	      },
		{ "outcome=denied,needs_auth,unknown", AUDIT_OUTCOME,
		  "{denied,needs_auth,unknown}"						},
		{ "error=true",			AUDIT_ERROR,	     "true"	    },
		{ "error=false",			 AUDIT_ERROR,	      "false"	      },
		{ "session=abc",			 AUDIT_SESSION,	"abc"	      },
		{ "client=codex/1.2",		      AUDIT_CLIENT,	    "codex/1.2"	},
		{ "persona=dev",			 AUDIT_PERSONA,	"dev"	      },
		{ "api_key=ci",			AUDIT_API_KEY,      "ci"	    },
		{ "source_ip=10.1.2.3",		AUDIT_SOURCE_IP,	 "10.1.2.3"	    },
		{ "source_ip=10.0.0.0/8",		  AUDIT_SOURCE_IP,	   "10.0.0.0/8"	},
		{ "source_ip=2001:db8::/128",	      AUDIT_SOURCE_IP,    "2001:db8::/128"},
		{ "trace_id=" TRACE,		     AUDIT_TRACE_ID,     TRACE	   },
		{ "min_duration=1.5",		      AUDIT_MIN_DURATION, "1500"		 },
		{ "min_duration=250ms",		AUDIT_MIN_DURATION, "250"		  },
		{ "search=crm",			AUDIT_SEARCH,	      "%crm%"	      },
		{ "search=50%25_%5C",		      AUDIT_SEARCH,	    "%50\\%\\_\\\\%"},
	};
	struct audit_query query;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena *arena = arena_new();

		if (parse(arena, rows[i].query, 0, &query, &err) < 0)
			fail_msg("%s: %s", rows[i].query, err.text);
		for (size_t at = 0; at < AUDIT_N_FILTERS; at++) {
			if (at != rows[i].filter)
				assert_null(query.filters[at].p);
		}
		assert_string_equal(query.filters[rows[i].filter].p, rows[i].value);
		arena_free(&arena);
	}
}

static void a_time_is_a_moment_or_how_long_ago(void **state)
{
	static const struct {
		const char *query;
		int64_t from_us, to_us;
	} rows[] = {
		{"",				  NOW_US - 1440 * MINUTE_US, NOW_US			},
		{ "from=15m",			      NOW_US - 15 * MINUTE_US,   NOW_US		      },
		{ "from=2d&to=1d",			   NOW_US - 2880 * MINUTE_US, NOW_US - 1440 * MINUTE_US},
		{ "to=1h",			    NOW_US - 1500 * MINUTE_US, NOW_US - 60 * MINUTE_US  },
		{ "from=90&to=now",		    NOW_US - 90000000,	       NOW_US		      },
		{ "from=2026-11-20T11:59:59.5Z",	 NOW_US - 500000,		  NOW_US			 },
		{ "from=2026-11-20T12:59:00%2B01:00", NOW_US - MINUTE_US,	  NOW_US			 },
		{ "to=1970-01-01T00:00:01Z",	     0,				1000000			},
	};
	struct audit_query query;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena *arena = arena_new();

		if (parse(arena, rows[i].query, ALL, &query, &err) < 0)
			fail_msg("%s: %s", rows[i].query, err.text);
		if (query.from_us != rows[i].from_us || query.to_us != rows[i].to_us)
			fail_msg("%s: %lld to %lld", rows[i].query, (long long)query.from_us,
				 (long long)query.to_us);
		arena_free(&arena);
	}
}

static void what_is_unknown_or_malformed_is_refused(void **state)
{
	static const struct {
		const char *query;
		const char *says;
	} rows[] = {
		{"users=ana",				  "no parameter users"			    },
		{ "User=ana",				  "no parameter User"			  },
		{ "=x",					"no parameter "				},
		{ "by=tool",				   "no parameter by"			       },
		{ "user",				      "user has no value"			      },
		{ "user=",				     "user has no value"			       },
		{ "user=a&user=a",				   "user is given twice"			 },
		{ "%75ser=a&user=a",			     "user is given twice"			   },
		{ "user=%ff",				  "no UTF-8"				 },
		{ "user=%00",				  "escape"				       },
		{ "user=%zz",				  "escape"				       },
		{ "outcome=fine",				  "none called \"fine\""			 },
		{ "outcome=ok,",				 "none called \"\""			    },
		{ "outcome=ok,,denied",			"none called \"\""			   },
		{ "outcome=OK",				"none called"			      },
		{ "outcome={ok}",				  "none called"				},
		{ "error=yes",				 "error is one of: false, true"	      },
		{ "error=1",				   "error is one of"			       },
		{ "source_ip=10.0.0",			      "source_ip is an address"			},
		{ "source_ip=10.0.0.0/33",			   "source_ip is an address"		     },
		{ "source_ip=10.0.0.0/",			 "source_ip is an address"		   },
		{ "source_ip=::1/129",			       "source_ip is an address"			 },
		{ "source_ip=/8",				  "source_ip is an address"		    },
		{ "source_ip=10.0.0.0/8/8",		    "source_ip is an address"		      },
		{ "trace_id=abc",				  "trace_id is 32"			   },
		{ "trace_id=0123456789ABCDEF0123456789ABCDEF", "trace_id is 32"				},
		{ "min_duration=fast",			       "min_duration: must be a duration"	  },
		{ "min_duration=-1",			     "min_duration: must be a duration"		},
		{ "from=yesterday",			    "from is a time"			     },
		{ "from=2026-11-20",			     "from is a time"			      },
		{ "from=2026-11-20T12:00:00",		      "from is a time"			       },
		{ "from=-5m",				  "from is a time"			       },
		{ "from=100000d",				  "from is a time"			   },
		{ "from=1969-12-31T23:59:59Z",		       "from is a time"				},
		{ "from=2101-01-01T00:00:00Z",		       "from is a time"				},
		{ "from=1h&to=2h",				   "from has to be before to"		      },
		{ "from=now",				  "from has to be before to"		 },
		{ "limit=0",				   "limit is a number from 1 to 200"	       },
		{ "limit=201",				 "limit is a number from 1 to 200"		 },
		{ "limit=1e1",				 "limit is a number from 1 to 200"		 },
		{ "order=up",				  "order is one of: desc, asc"		   },
		{ "bucket=week",				 "bucket is one of: auto, minute, hour, day"},
		{ "format=xml",				"format is one of: jsonl, csv"	       },
	};
	struct audit_query query;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena *arena = arena_new();

		if (parse(arena, rows[i].query, ALL, &query, &err) == 0)
			fail_msg("%s is taken", rows[i].query);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		if (strstr(err.text, rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].query, err.text);
		arena_free(&arena);
	}
}

static void what_is_too_long_is_refused(void **state)
{
	static const struct {
		const char *name;
		size_t most;
	} rows[] = {
		{"user",	  512 },
		 { "search", 128 },
		    { "cursor", 1024}
	};
	struct audit_query query;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t over = 0; over < 2; over++) {
			struct arena *arena = arena_new();
			char *text = mem_new(rows[i].most + 32);
			size_t n = (size_t)snprintf(text, 32, "%s=", rows[i].name);

			memset(text + n, 'x', rows[i].most + over);
			assert_int_equal(parse(arena, text, ALL, &query, &err), over ? -1 : 0);
			free(text);
			arena_free(&arena);
		}
	}
}

static void a_route_takes_what_it_has_and_no_more(void **state)
{
	static const struct {
		const char *query;
		unsigned takes;
	} rows[] = {
		{"from=1h",     AUDIT_TAKES_TIME  },
		      { "to=now",	  AUDIT_TAKES_TIME  },
		{ "limit=5",    AUDIT_TAKES_PAGE  },
		      { "order=asc",  AUDIT_TAKES_PAGE  },
		{ "cursor=x",   AUDIT_TAKES_CURSOR},
		      { "bucket=day", AUDIT_TAKES_BUCKET},
		{ "format=csv", AUDIT_TAKES_FORMAT},
	};
	struct audit_query query;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct arena *arena = arena_new();

		assert_int_equal(parse(arena, rows[i].query, rows[i].takes, &query, &err), 0);
		assert_int_equal(parse(arena, rows[i].query, ALL & ~rows[i].takes, &query, &err),
				 -1);
		arena_free(&arena);
	}
}

static void groups_are_named_and_few(void **state)
{
	static const char *const words[] = { "tool",   "user",	 "connection", "persona", "outcome",
					     "client", "method", "api_key",    "tenant" };
	struct arena *arena = arena_new();
	struct audit_query query;
	struct err err;
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT(words); i++) {
		snprintf(text, sizeof(text), "by=%s", words[i]);
		assert_int_equal(parse(arena, text, AUDIT_TAKES_GROUPS, &query, &err), 0);
		assert_string_equal(query.by, words[i]);
		assert_int_equal(query.limit, 10);
	}
	assert_int_equal(parse(arena, "", AUDIT_TAKES_GROUPS, &query, &err), -1);
	assert_int_equal(parse(arena, "by=call_id", AUDIT_TAKES_GROUPS, &query, &err), -1);
	assert_int_equal(parse(arena, "by=tool&limit=100", AUDIT_TAKES_GROUPS, &query, &err), 0);
	assert_int_equal(query.limit, 100);
	assert_int_equal(parse(arena, "by=tool&limit=101", AUDIT_TAKES_GROUPS, &query, &err), -1);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_filter_becomes_a_parameter),
		cmocka_unit_test(a_time_is_a_moment_or_how_long_ago),
		cmocka_unit_test(what_is_unknown_or_malformed_is_refused),
		cmocka_unit_test(what_is_too_long_is_refused),
		cmocka_unit_test(a_route_takes_what_it_has_and_no_more),
		cmocka_unit_test(groups_are_named_and_few),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
