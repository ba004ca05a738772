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
		struct buf seen;

		buf_init(&seen, 1024);
		sse_init(&reader, MAX_EVENT, on_event, &seen);
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
			struct buf seen;

			buf_init(&seen, 1024);
			sse_init(&reader, MAX_EVENT, on_event, &seen);
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
	struct buf seen;

	(void)state;
	memset(line, 'x', sizeof(line));
	buf_init(&seen, 1024);
	sse_init(&reader, MAX_EVENT, on_event, &seen);
	assert_int_equal(sse_feed(&reader, line, sizeof(line)), -1);
	sse_fini(&reader);

	sse_init(&reader, MAX_EVENT, on_event, &seen);
	for (int i = 0; i < 7; i++)
		assert_int_equal(sse_feed(&reader, "data: 12345678\n", 15), 0);
	assert_int_equal(sse_feed(&reader, "data: 12345678\n", 15), -1);
	assert_int_equal(seen.len, 0);
	sse_fini(&reader);
	buf_fini(&seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(streams_give_their_events),
		cmocka_unit_test(it_does_not_matter_how_the_bytes_are_cut),
		cmocka_unit_test(an_event_over_the_ceiling_ends_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
