/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static json_t *json(const char *text)
{
	struct err err;
	json_t *value = json_parse(span_of(text), &err);

	if (value == NULL)
		fail_msg("%s: %s", text, err.text);
	return value;
}

/* RFC 7396, Appendix A. */
static void patches_merge_as_the_rfc_shows(void **state)
{
	static const struct {
		const char *original;
		const char *patch;
		const char *result;
	} rows[] = {
		{"{\"a\":\"b\"}",		   "{\"a\":\"c\"}",		    "{\"a\":\"c\"}"	    },
		{ "{\"a\":\"b\"}",		   "{\"b\":\"c\"}",		    "{\"a\":\"b\",\"b\":\"c\"}"},
		{ "{\"a\":\"b\"}",		   "{\"a\":null}",			   "{}"			},
		{ "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}",		       "{\"b\":\"c\"}"	       },
		{ "{\"a\":[\"b\"]}",	     "{\"a\":\"c\"}",		      "{\"a\":\"c\"}"	      },
		{ "{\"a\":\"c\"}",		   "{\"a\":[\"b\"]}",		      "{\"a\":[\"b\"]}"		},
		{ "{\"a\":{\"b\":\"c\"}}",	   "{\"a\":{\"b\":\"d\",\"c\":null}}",
		  "{\"a\":{\"b\":\"d\"}}"								      },
		{ "{\"a\":[{\"b\":\"c\"}]}",   "{\"a\":[1]}",			    "{\"a\":[1]}"		  },
		{ "[\"a\",\"b\"]",		   "[\"c\",\"d\"]",		    "[\"c\",\"d\"]"	    },
		{ "{\"a\":\"b\"}",		   "[\"c\"]",			      "[\"c\"]"			},
		{ "{\"a\":\"foo\"}",	     "null",			     "null"			    },
		{ "{\"a\":\"foo\"}",	     "\"bar\"",				"\"bar\""		  },
		{ "{\"e\":null}",		  "{\"a\":1}",			       "{\"e\":null,\"a\":1}"     },
		{ "[1,2]",			   "{\"a\":\"b\",\"c\":null}",	       "{\"a\":\"b\"}"	       },
		{ "{}",			"{\"a\":{\"bb\":{\"ccc\":null}}}",  "{\"a\":{\"bb\":{}}}"	 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *original = json(rows[i].original);
		json_t *before = json_deep_copy(original);
		json_t *patch = json(rows[i].patch);
		json_t *result = json(rows[i].result);
		json_t *merged = merge_patch(original, patch);

		if (!json_equal(merged, result))
			fail_msg("%s + %s", rows[i].original, rows[i].patch);
		assert_true(json_equal(original, before));
		json_decref(merged);
		json_decref(result);
		json_decref(patch);
		json_decref(before);
		json_decref(original);
	}
}

static void pointers_escape_what_rfc_6901_says_and_end_at_a_parent_if_too_long(void **state)
{
	char name[2 * API_POINTER_BYTES];
	char pointer[API_POINTER_BYTES];

	(void)state;
	api_pointer(pointer, "", "a~b/c");
	assert_string_equal(pointer, "/a~0b~1c");
	api_pointer(pointer, "/headers", "X");
	assert_string_equal(pointer, "/headers/X");
	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	api_pointer(pointer, "/headers", name);
	assert_string_equal(pointer, "/headers");
	api_pointer(pointer, "", name);
	assert_string_equal(pointer, "");
	name[API_POINTER_BYTES - 2] = '\0';
	api_pointer(pointer, "", name);
	assert_int_equal(strlen(pointer), API_POINTER_BYTES - 1);
}

static const struct member members[] = {
	{"text",	  MEMBER_TEXT,     MEMBER_REQUIRED, 4, 0, "a string"	 },
	{ "flag",  MEMBER_FLAG,     MEMBER_OPTIONAL, 0, 0, "true or false"},
	{ "list",  MEMBER_LIST,     MEMBER_NULLABLE, 2, 2, "a list"       },
	{ "time",  MEMBER_DURATION, MEMBER_OPTIONAL, 0, 0, "a duration"   },
	{ "shown", MEMBER_IGNORED,  MEMBER_OPTIONAL, 0, 0, NULL	       },
};

static void objects_are_checked_member_by_member(void **state)
{
	static const struct {
		const char *object;
		const char *pointer; /* NULL: it is right */
		const char *says;
	} rows[] = {
		{"{\"text\":\"abcd\"}",				 NULL,	       NULL					    },
		{ "{\"text\":\"\",\"flag\":false,\"list\":[\"a\",\"bb\"],\"time\":1,\"shown\":[{}]"
		  "}",			     NULL,		NULL				      },
		{ "{\"text\":\"a\",\"list\":null,\"time\":\"1s\"}", NULL,	  NULL				       },
		{ "{}",					     "/at/text",   "at.text is required; it must be a string"},
		{ "{\"text\":null}",				     "/at/text",	 "at.text must be a string"		    },
		{ "{\"text\":\"abcde\"}",				  "/at/text",   "at.text must not be longer than 4 bytes" },
		{ "{\"text\":\"a\\u0000\"}",			     "/at/text",	 "at.text must not hold NUL"		     },
		{ "{\"text\":\"a\",\"flag\":0}",			 "/at/flag",   "at.flag must be true or false"	     },
		{ "{\"text\":\"a\",\"flag\":null}",		    "/at/flag",	"at.flag must be true or false"		},
		{ "{\"text\":\"a\",\"list\":{}}",			  "/at/list",   "at.list must be a list"		       },
		{ "{\"text\":\"a\",\"list\":[\"a\",\"b\",\"c\"]}",  "/at/list",
		  "at.list must not have more than 2 items"								  },
		{ "{\"text\":\"a\",\"list\":[\"a\",\"bbb\"]}",      "/at/list/1",
		  "at.list must not be longer than 2 bytes"								  },
		{ "{\"text\":\"a\",\"list\":[\"\"]}",		      "/at/list/0",
		  "at.list must not have an empty string in it"								},
		{ "{\"text\":\"a\",\"time\":false}",		     "/at/time",	 "at.time must be a duration"	      },
		{ "{\"text\":\"a\",\"more\":1}",			 "/at/more",
		  "at.more is not a member of a thing; it may have text, flag, list, time"				   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *object = json(rows[i].object);
		struct api_fault fault;
		int ret = members_check(object, "/at", "a thing", members, COUNT(members), &fault);

		assert_int_equal(ret, rows[i].pointer == NULL ? 0 : -1);
		if (ret < 0) {
			assert_string_equal(fault.pointer, rows[i].pointer);
			assert_string_equal(fault.err.text, rows[i].says);
			assert_int_equal(fault.err.code, ERR_BAD_REQUEST);
		}
		json_decref(object);
	}
}

static void durations_are_texts_or_numbers_of_seconds(void **state)
{
	static const struct {
		const char *object;
		int64_t ms; /* 0: refused; -1: absent */
	} rows[] = {
		{"{}",			-1	   },
		{ "{\"t\":1}",	       1000   },
		{ "{\"t\":0.25}",	  250    },
		{ "{\"t\":0.001}",	   1	     },
		{ "{\"t\":\"1ms\"}",    1      },
		{ "{\"t\":\"2m\"}",	    120000 },
		{ "{\"t\":3600}",	  3600000},
		{ "{\"t\":\"1h\"}",	    3600000},
		{ "{\"t\":3600.001}",   0	},
		{ "{\"t\":\"2h\"}",	    0      },
		{ "{\"t\":0}",	       0	 },
		{ "{\"t\":-1}",		0	  },
		{ "{\"t\":0.0004}",	    0      },
		{ "{\"t\":1e300}",	   0	     },
		{ "{\"t\":\"\"}",	  0	    },
		{ "{\"t\":\"10 s\"}",   0	},
		{ "{\"t\":\"-1s\"}",    0      },
		{ "{\"t\":\"1e3s\"}",   0	},
		{ "{\"t\":\"10s10s\"}", 0	  },
		{ "{\"t\":true}",	  0	    },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		json_t *object = json(rows[i].object);
		struct api_fault fault;
		int64_t ms = -1;
		int ret = member_duration(object, "t", &ms, &fault);

		assert_int_equal(ret, rows[i].ms == 0 ? -1 : 0);
		if (ret == 0)
			assert_int_equal(ms, rows[i].ms);
		else
			assert_string_equal(fault.pointer, "/t");
		json_decref(object);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patches_merge_as_the_rfc_shows),
		cmocka_unit_test(
			pointers_escape_what_rfc_6901_says_and_end_at_a_parent_if_too_long),
		cmocka_unit_test(objects_are_checked_member_by_member),
		cmocka_unit_test(durations_are_texts_or_numbers_of_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
