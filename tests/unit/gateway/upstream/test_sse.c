/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/upstream/sse.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_EVENT    64

/* Events joined by '|'. */
static void on_event(void *ctx, struct span data)
{
	struct buf *seen = ctx;

	buf_append(seen, data.p, data.n);
	buf_add(seen, "|");
}

static const struct {
	const char *stream;
	const char *events;
} cases[] = {
	{"data: a\n\n",				    "a|"	      },
	{ "data:a\n\n",				    "a|"	     },
	{ "data:  a\n\n",				  " a|"	},
	{ "data: a\r\n\r\n",			       "a|"	  },
	{ "data: a\r\r",				   "a|"	      },
	{ "data: a\r\n\rdata: b\n\n",		      "a|b|"	     },
	{ "data: a\ndata: b\n\n",			  "a\nb|"	  },
	{ "data\n\n",				      "|"	  },
	{ "data:\ndata:\n\n",			      "\n|"	    },
	{ "\n\n\n",					""	       },
	{ ": comment\n\n",				 ""	      },
	{ ":\n\ndata: a\n\n",			      "a|"	   },
	{ "event: message\nid: 7\nretry: 10\ndata: a\n\n", "a|"		},
	{ "id: 7\ndata:\n\n",			      "|"	  },
	{ "event: x\n\n",				  ""	     },
	{ "dat: a\n\n",				    ""	   },
	{ "datax: a\n\n",				  ""	     },
	{ " data: a\n\n",				  ""	     },
	{ "data: a",				       ""		},
	{ "data: a\n",				     ""		  },
	{ "\xef\xbb\xbf"
	  "data: a\n\n",			  "a|"	       },
	{ "data: a\n\n\xef\xbb\xbf"
	  "data: b\n\n",			  "a|"	       },
	{ "data: {\"a\":\n\ndata: 1}\n\n",		   "{\"a\":|1}|"},
};

static void streams_give_their_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sse_reader reader;
		struct sse_cursor cursor;
		struct buf seen;

		buf_init(&seen, 1024);
		sse_cursor_init(&cursor);
		sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
		assert_int_equal(sse_feed(&reader, cases[i].stream, strlen(cases[i].stream)), 0);
		assert_string_equal(buf_str(&seen), cases[i].events);
		sse_fini(&reader);
		buf_fini(&seen);
	}
}

static void it_does_not_matter_how_the_bytes_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t n = strlen(cases[i].stream);

		for (size_t cut = 0; cut <= n; cut++) {
			struct sse_reader reader;
			struct sse_cursor cursor;
			struct buf seen;

			buf_init(&seen, 1024);
			sse_cursor_init(&cursor);
			sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
			assert_int_equal(sse_feed(&reader, cases[i].stream, cut), 0);
			for (size_t at = cut; at < n; at++)
				assert_int_equal(sse_feed(&reader, cases[i].stream + at, 1), 0);
			assert_string_equal(buf_str(&seen), cases[i].events);
			sse_fini(&reader);
			buf_fini(&seen);
		}
	}
}

static void an_event_over_the_ceiling_ends_the_stream(void **state)
{
	char line[MAX_EVENT + 32];
	struct sse_reader reader;
	struct sse_cursor cursor;
	struct buf seen;

	(void)state;
	memset(line, 'x', sizeof(line));
	buf_init(&seen, 1024);
	sse_cursor_init(&cursor);
	sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
	assert_int_equal(sse_feed(&reader, line, sizeof(line)), -1);
	sse_fini(&reader);

	sse_cursor_init(&cursor);
	sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
	for (int i = 0; i < 7; i++)
		assert_int_equal(sse_feed(&reader, "data: 12345678\n", 15), 0);
	assert_int_equal(sse_feed(&reader, "data: 12345678\n", 15), -1);
	assert_int_equal(seen.len, 0);
	sse_fini(&reader);
	buf_fini(&seen);
}

static const struct {
	const char *stream;
	const char *id;
	int64_t retry_ms;
	unsigned events;
} cursors[] = {
	{"data: a\n\n",						  "",    -1,		 1},
	{ "id: 7\ndata: a\n\n",					  "7",   -1,		 1},
	{ "id:7\n\n",						    "7",   -1,	       1},
	{ "id: 7\ndata:\n\n",					    "7",   -1,	       1},
	{ "id:  7 \n\n",						 " 7 ", -1,		    1},
	{ "id: 7\n",						     "",	 -1,		     0},
	{ "id: 7\n\ndata: a\n\n",					"7",   -1,		   2},
	{ "id: 7\n\nid: 8\ndata: a\n",				       "7",   -1,		1},
	{ "id: 7\nid: 8\n\n",					    "8",   -1,	       1},
	{ "id: 7\n\nid\n\n",					     "",	 -1,		     2},
	{ "id: 7\n\nid: a\x01"
	  "b\n\n",					      "",    -1,		  2},
	{ "idea: 7\n\n",						 "",    -1,		 1},
	{ "retry: 500\n",						"",    500,		   0},
	{ "retry:0\n",						   "",	   0,		      0},
	{ "retry: 5\nretry: 6s\nretry: -1\nretry: 1.5\nretry:\nretry\n", "",    5,		0},
	{ "retry: 99999999999999999999999999\n",			 "",    SSE_MAX_RETRY_MS, 0},
};

static void a_cursor_says_where_the_stream_goes_on(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(cursors); i++) {
		struct sse_reader reader;
		struct sse_cursor cursor;
		struct buf seen;

		buf_init(&seen, 1024);
		sse_cursor_init(&cursor);
		sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
		assert_int_equal(sse_feed(&reader, cursors[i].stream, strlen(cursors[i].stream)),
				 0);
		assert_string_equal(cursor.id, cursors[i].id);
		assert_int_equal(cursor.retry_ms, cursors[i].retry_ms);
		assert_int_equal(cursor.events, cursors[i].events);
		sse_fini(&reader);
		buf_fini(&seen);
	}
}

static void the_next_stream_takes_the_cursor_of_the_last(void **state)
{
	struct sse_cursor cursor;
	struct sse_reader reader;
	struct buf seen;

	(void)state;
	buf_init(&seen, 1024);
	sse_cursor_init(&cursor);
	sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
	assert_int_equal(sse_feed(&reader, "id: 7\nretry: 9\n\n", 17), 0);
	sse_fini(&reader);
	sse_init(&reader, MAX_EVENT, &cursor, on_event, &seen);
	assert_int_equal(sse_feed(&reader, "data: a\n\n", 9), 0);
	assert_string_equal(cursor.id, "7");
	assert_int_equal(cursor.retry_ms, 9);
	assert_int_equal(cursor.events, 2);
	sse_fini(&reader);
	buf_fini(&seen);
}

static void an_id_that_no_header_holds_is_none(void **state)
{
	char line[SSE_ID_BYTES + 8];
	struct sse_reader reader;
	struct sse_cursor cursor;
	struct buf seen;

	(void)state;
	buf_init(&seen, 1024);
	for (size_t n = SSE_ID_BYTES - 1; n <= SSE_ID_BYTES; n++) {
		memset(line, 'x', sizeof(line));
		memcpy(line, "id:", 3);
		memcpy(line + 3 + n, "\n\n", 2);
		sse_cursor_init(&cursor);
		sse_init(&reader, sizeof(line), &cursor, on_event, &seen);
		assert_int_equal(sse_feed(&reader, "id: 7\n\n", 7), 0);
		assert_int_equal(sse_feed(&reader, line, n + 5), 0);
		assert_int_equal(strlen(cursor.id), n < SSE_ID_BYTES ? n : 0);
		/* One with a NUL is ignored instead. */
		assert_int_equal(sse_feed(&reader, "id: 8\n\nid: a\0b\n\n", 16), 0);
		assert_string_equal(cursor.id, "8");
		sse_fini(&reader);
	}
	buf_fini(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_give_their_events),
		cmocka_unit_test(it_does_not_matter_how_the_bytes_are_cut),
		cmocka_unit_test(an_event_over_the_ceiling_ends_the_stream),
		cmocka_unit_test(a_cursor_says_where_the_stream_goes_on),
		cmocka_unit_test(the_next_stream_takes_the_cursor_of_the_last),
		cmocka_unit_test(an_id_that_no_header_holds_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
