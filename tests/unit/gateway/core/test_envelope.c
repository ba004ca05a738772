/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define HEAD	     "{\"jsonrpc\":\"2.0\","

struct parsed {
	struct arena *arena;
	struct envelope envelope;
	struct err err;
	int result;
};

static struct parsed parse(struct span text)
{
	struct parsed parsed = { .arena = arena_new() };

	parsed.result = envelope_parse(text, parsed.arena, &parsed.envelope, &parsed.err);
	return parsed;
}

static void assert_span(struct span actual, const char *expected)
{
	if (expected == NULL) {
		assert_null(actual.p);
		return;
	}
	assert_non_null(actual.p);
	if (!span_is(actual, expected))
		fail_msg("\"%.*s\" is not \"%s\"", (int)actual.n, actual.p, expected);
}

static const struct {
	const char *text;
	enum envelope_kind kind;
	const char *id, *method, *params, *meta, *result, *error;
} messages[] = {
	{HEAD "\"id\":1,\"method\":\"ping\"}",						ENVELOPE_REQUEST,	  "1",	       "ping",       NULL,			     NULL,	   NULL,
	  NULL																											    },
	{ HEAD "\"id\":0,\"method\":\"ping\"}",						ENVELOPE_REQUEST,	  "0",	       "ping",       NULL,			     NULL,	   NULL,
	  NULL																											    },
	{ HEAD "\"id\":-7,\"method\":\"ping\"}",					 ENVELOPE_REQUEST,	   "-7",		 "ping",	 NULL,			       NULL,	     NULL,
	  NULL																											    },
	{ HEAD "\"id\":12345678901234567890,\"method\":\"p\"}",				ENVELOPE_REQUEST,
	  "12345678901234567890",												  "p",	       NULL,			     NULL,	   NULL,	 NULL				      },
	{ HEAD "\"id\":\"\",\"method\":\"p\"}",						ENVELOPE_REQUEST,	  "\"\"",		  "p",	       NULL,			     NULL,	   NULL,
	  NULL																											    },
	{ HEAD "\"id\":\"1\",\"method\":\"p\"}",					 ENVELOPE_REQUEST,	   "\"1\"",	    "p",		 NULL,			       NULL,	     NULL,
	  NULL																											    },
	{ HEAD "\"id\":\"a\\u00e9\\n\",\"method\":\"p\"}",				   ENVELOPE_REQUEST,	     "\"a\\u00e9\\n\"", "p",
	  NULL,																				 NULL,	      NULL,  NULL				  },
	{ " {\n\"method\" : \"p\" , \"id\"\t: 5 ,\"jsonrpc\":\"2.0\" }\r\n",	     ENVELOPE_REQUEST,      "5",
	  "p",																   NULL,			  NULL,	   NULL,	 NULL				      },
	{ HEAD "\"id\":1,\"method\":\"tools\\u002fcall\"}",				    ENVELOPE_REQUEST,      "1",		   "tools/call",
	  NULL,																				 NULL,	      NULL,  NULL				  },
	{ "{\"jsonr\\u0070c\":\"2\\u002e0\",\"i\\u0064\":1,\"method\":\"p\"}",	       ENVELOPE_REQUEST,
	  "1",														     "p",	    NULL,			  NULL,	NULL,  NULL				   },
	{ HEAD "\"id\":1,\"method\":\"\xc3\xa9\"}",					    ENVELOPE_REQUEST,      "1",		   "\xc3\xa9",   NULL,			     NULL,
	  NULL,																						     NULL				  },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{}}",				   ENVELOPE_REQUEST,	     "1",		  "p",	       "{}",			     NULL,
	  NULL,																						     NULL				  },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\": {\"a\": [1, 2]} }",		  ENVELOPE_REQUEST,	    "1",
	  "p",																   "{\"a\": [1, 2]}",		  NULL,	NULL,  NULL				   },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_meta\":{}}}",		       ENVELOPE_REQUEST,	 "1",		      "p",
	  "{\"_meta\":{}}",																		     "{}",	  NULL,	NULL				     },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_meta\": {\"a\":1} }}",		ENVELOPE_REQUEST,
	  "1",														     "p",	    "{\"_meta\": {\"a\":1} }",     "{\"a\":1}", NULL,  NULL				       },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"\\u005fmeta\":{\"b\":2}}}",
	  ENVELOPE_REQUEST,										     "1",		 "p",	      "{\"\\u005fmeta\":{\"b\":2}}", "{\"b\":2}", NULL,	NULL				     },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"n\":1e400}}",		      ENVELOPE_REQUEST,	"1",		     "p",
	  "{\"n\":1e400}",																		      NULL,	 NULL,  NULL				    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"Other\":1,\"other\":2}}",	  ENVELOPE_REQUEST,
	  "1",														     "p",	    "{\"Other\":1,\"other\":2}",	 NULL,	       NULL,  NULL				  },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"a\":{\"Name\":1}}}",	     ENVELOPE_REQUEST,      "1",
	  "p",																   "{\"a\":{\"Name\":1}}",	       NULL,	     NULL,  NULL					},
	{ HEAD "\"method\":\"notifications/initialized\"}",				    ENVELOPE_NOTIFICATION, NULL,
	  "notifications/initialized",													   NULL,			     NULL,	   NULL,	 NULL				      },
	{ HEAD "\"method\":\"n\",\"params\":{\"requestId\":3}}",			 ENVELOPE_NOTIFICATION, NULL,	      "n",
	  "{\"requestId\":3}",																		  NULL,	     NULL,  NULL					},
	{ HEAD "\"id\":1,\"result\":{}}",					       ENVELOPE_RESPONSE,     "1",		  NULL,		NULL,			      NULL,	    "{}",  NULL				       },
	{ HEAD "\"id\":\"x\",\"result\":null}",						ENVELOPE_RESPONSE,	   "\"x\"",	    NULL,	  NULL,				NULL,
	  "null",																						   NULL				  },
	{ HEAD "\"id\":1,\"result\": [1] }",					     ENVELOPE_RESPONSE,	"1",		     NULL,	   NULL,				 NULL,	       "[1]",
	  NULL																											    },
	{ HEAD "\"id\":1,\"error\":{\"code\":-32601,\"message\":\"no\"}}",		   ENVELOPE_RESPONSE,     "1",
	  NULL,																  NULL,			  NULL,	    NULL,  "{\"code\":-32601,\"message\":\"no\"}"},
	{ HEAD "\"id\":1,\"error\":{\"message\":\"\",\"data\":[],\"code\":0,\"x\":1}}",
	  ENVELOPE_RESPONSE,										    "1",		  NULL,		NULL,			      NULL,	    NULL,
	  "{\"message\":\"\",\"data\":[],\"code\":0,\"x\":1}"																					     },
	{ "[]",									 ENVELOPE_BATCH,	NULL,	      NULL,	    NULL,			  NULL,	NULL,  NULL				   },
	{ " [" HEAD "\"id\":1,\"method\":\"p\"}]",					   ENVELOPE_BATCH,	   NULL,		 NULL,	       NULL,			     NULL,	   NULL,
	  NULL																											    },
	{ "[1,null]",								   ENVELOPE_BATCH,	      NULL,		    NULL,	  NULL,				NULL,	      NULL,  NULL					 },
};

static void reads_what_is_well_formed(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(messages); i++) {
		struct parsed parsed = parse(span_of(messages[i].text));

		if (parsed.result != 0)
			fail_msg("%s: %s", messages[i].text, parsed.err.text);
		assert_int_equal(parsed.envelope.kind, messages[i].kind);
		assert_ptr_equal(parsed.envelope.text.p, messages[i].text);
		assert_span(parsed.envelope.id, messages[i].id);
		assert_span(span_of(parsed.envelope.method), messages[i].method);
		assert_span(parsed.envelope.params, messages[i].params);
		assert_span(parsed.envelope.meta, messages[i].meta);
		assert_span(parsed.envelope.result, messages[i].result);
		assert_span(parsed.envelope.error, messages[i].error);
		arena_free(&parsed.arena);
	}
}

static void refuses_what_is_no_json(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"{",
		"}",
		"{]",
		"nul",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\",}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"}x",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"}{}",
		"{'jsonrpc':'2.0','id':1,'method':'p'}",
		"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\",\"m\\u0065thod\":\"q\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\",\"params\":{\"a\":1,\"a\":1}}",
		"{\"jsonrpc\":\"2.0\",\"id\":01,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":+1,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1.,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":NaN,\"method\":\"p\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\\ud800\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\nb\"}",
		"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"} // comment",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct parsed parsed = parse(span_of(texts[i]));

		if (parsed.result == 0)
			fail_msg("%s was accepted", texts[i]);
		assert_int_equal(parsed.err.code, ERR_PARSE);
		assert_null(parsed.envelope.id.p);
		arena_free(&parsed.arena);
	}
}

static void refuses_nul_bytes_and_deep_nesting(void **state)
{
	char deep[300];
	struct parsed parsed = parse(SPAN("{\"jsonrpc\":\"2.0\",\"id\":1,\0\"method\":\"p\"}"));

	(void)state;
	assert_int_equal(parsed.result, -1);
	assert_int_equal(parsed.err.code, ERR_PARSE);
	arena_free(&parsed.arena);

	memset(deep, '[', 150);
	memset(deep + 150, ']', 150);
	parsed = parse((struct span){ deep, sizeof(deep) });
	assert_int_equal(parsed.result, -1);
	assert_int_equal(parsed.err.code, ERR_PARSE);
	arena_free(&parsed.arena);
}

static const struct {
	const char *text;
	const char *id; /* what the answer must echo */
} no_messages[] = {
	{"null",									NULL   },
	{ "1",									  NULL   },
	{ "\"x\"",								      NULL	},
	{ "true",								       NULL   },
	{ "{}",									 NULL   },
	{ "{\"id\":1,\"method\":\"p\"}",						"1"    },
	{ "{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"p\"}",			     "1"	 },
	{ "{\"jsonrpc\":2.0,\"id\":1,\"method\":\"p\"}",				 "1"    },
	{ "{\"jsonrpc\":\"2.0 \",\"id\":\"a\",\"method\":\"p\"}",			  "\"a\""},
	{ "{\"Jsonrpc\":\"2.0\",\"id\":1,\"method\":\"p\"}",			     "1"	 },
	{ HEAD "\"id\":1}",							     "1"	},
	{ HEAD "\"id\":null,\"method\":\"p\"}",						NULL   },
	{ HEAD "\"id\":true,\"method\":\"p\"}",						NULL   },
	{ HEAD "\"id\":[1],\"method\":\"p\"}",					       NULL   },
	{ HEAD "\"id\":{},\"method\":\"p\"}",					      NULL   },
	{ HEAD "\"id\":1.5,\"method\":\"p\"}",					       NULL   },
	{ HEAD "\"id\":1.0,\"method\":\"p\"}",					       NULL   },
	{ HEAD "\"id\":1e2,\"method\":\"p\"}",					       NULL   },
	{ HEAD "\"id\":1E2,\"method\":\"p\"}",					       NULL   },
	{ HEAD "\"id\":1,\"method\":null}",					     "1"	},
	{ HEAD "\"id\":1,\"method\":5}",						"1"    },
	{ HEAD "\"id\":1,\"method\":[\"p\"]}",					       "1"	   },
	{ HEAD "\"id\":1,\"method\":\"\"}",					     "1"	},
	{ HEAD "\"id\":1,\"method\":\"p\\u0000q\"}",				     "1"	 },
	{ HEAD "\"id\":1,\"Method\":\"p\"}",					     "1"	 },
	{ HEAD "\"id\":1,\"method\":\"p\",\"Method\":\"q\"}",			      "1"	  },
	{ HEAD "\"id\":1,\"method\":\"p\",\"extra\":1}",				 "1"    },
	{ HEAD "\"extra\":1,\"method\":\"p\",\"id\":9}",				 "9"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":null}",			     "1"	 },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":[]}",				   "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":\"x\"}",			      "1"	  },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_meta\":null}}",		 "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_meta\":[]}}",		       "1"	   },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_meta\":\"x\"}}",		  "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"name\":\"a\",\"Name\":\"b\"}}", "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"NAME\":\"b\"}}",		 "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"\\u004eame\":\"b\"}}",	       "1"	   },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"argument\\u017f\":{}}}",	 "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"argument\xc5\xbf\":{}}}",	  "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"_Meta\":{}}}",		       "1"	   },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"URI\":\"x\"}}",			"1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"tas\\u212aId\":\"x\"}}",	 "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"result\":{}}",				   "1"    },
	{ HEAD "\"id\":1,\"method\":\"p\",\"error\":{\"code\":1,\"message\":\"\"}}",    "1"	 },
	{ HEAD "\"id\":1,\"result\":{},\"error\":{\"code\":1,\"message\":\"\"}}",	  "1"    },
	{ HEAD "\"result\":{}}",							NULL   },
	{ HEAD "\"id\":null,\"result\":{}}",					     NULL	  },
	{ HEAD "\"id\":1,\"result\":{},\"params\":{}}",					"1"    },
	{ HEAD "\"id\":1,\"error\":null}",					      "1"    },
	{ HEAD "\"id\":1,\"error\":\"no\"}",					     "1"	 },
	{ HEAD "\"id\":1,\"error\":{}}",						"1"    },
	{ HEAD "\"id\":1,\"error\":{\"code\":1}}",					   "1"    },
	{ HEAD "\"id\":1,\"error\":{\"message\":\"x\"}}",				  "1"    },
	{ HEAD "\"id\":1,\"error\":{\"code\":1.5,\"message\":\"x\"}}",		       "1"	   },
	{ HEAD "\"id\":1,\"error\":{\"code\":\"1\",\"message\":\"x\"}}",		 "1"    },
	{ HEAD "\"id\":1,\"error\":{\"code\":1,\"message\":7}}",			 "1"    },
};

static void refuses_what_is_no_message(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(no_messages); i++) {
		struct parsed parsed = parse(span_of(no_messages[i].text));

		if (parsed.result == 0)
			fail_msg("%s was accepted", no_messages[i].text);
		assert_int_equal(parsed.err.code, ERR_BAD_REQUEST);
		assert_true(strlen(parsed.err.text) > 0);
		assert_span(parsed.envelope.id, no_messages[i].id);
		arena_free(&parsed.arena);
	}
}

static void method_may_have_256_bytes_and_no_more(void **state)
{
	char text[600];
	char method[300];
	struct parsed parsed;

	(void)state;
	for (int n = 256; n <= 257; n++) {
		memset(method, 'm', sizeof(method));
		method[n] = '\0';
		snprintf(text, sizeof(text), HEAD "\"id\":1,\"method\":\"%s\"}", method);
		parsed = parse(span_of(text));
		assert_int_equal(parsed.result, n == 256 ? 0 : -1);
		if (n == 256)
			assert_string_equal(parsed.envelope.method, method);
		else
			assert_int_equal(parsed.err.code, ERR_BAD_REQUEST);
		arena_free(&parsed.arena);
	}
}

static void a_key_longer_than_any_name_is_just_passed_on(void **state)
{
	char text[400];
	char key[200];
	struct parsed parsed;

	(void)state;
	memset(key, 'N', sizeof(key) - 1);
	key[sizeof(key) - 1] = '\0';
	snprintf(text, sizeof(text), HEAD "\"id\":1,\"method\":\"p\",\"params\":{\"%s\":1}}", key);
	parsed = parse(span_of(text));
	assert_int_equal(parsed.result, 0);
	arena_free(&parsed.arena);
}

static void writes_what_it_can_read(void **state)
{
	struct buf out;

	(void)state;
	buf_init(&out, 1000);
	envelope_result(&out, SPAN("\"a\""), SPAN("{\"x\":1e400}"));
	assert_string_equal(buf_str(&out),
			    "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"result\":{\"x\":1e400}}");
	buf_clear(&out);
	envelope_error(&out, (struct span){ 0 }, -32700, "a \"b\"\n", (struct span){ 0 });
	assert_string_equal(buf_str(&out),
			    "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32700,"
			    "\"message\":\"a \\\"b\\\"\\n\"}}");
	buf_clear(&out);
	envelope_error(&out, SPAN("7"), -32022, "m", SPAN("{\"d\":[]}"));
	assert_string_equal(buf_str(&out),
			    "{\"jsonrpc\":\"2.0\",\"id\":7,\"error\":{\"code\":-32022,"
			    "\"message\":\"m\",\"data\":{\"d\":[]}}}");
	buf_clear(&out);
	envelope_notification(&out, "notifications/message", SPAN("{}"));
	assert_string_equal(
		buf_str(&out),
		"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}");
	buf_clear(&out);
	envelope_notification(&out, "n", (struct span){ 0 });
	assert_string_equal(buf_str(&out), "{\"jsonrpc\":\"2.0\",\"method\":\"n\"}");
	buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_what_is_well_formed),
		cmocka_unit_test(refuses_what_is_no_json),
		cmocka_unit_test(refuses_nul_bytes_and_deep_nesting),
		cmocka_unit_test(refuses_what_is_no_message),
		cmocka_unit_test(method_may_have_256_bytes_and_no_more),
		cmocka_unit_test(a_key_longer_than_any_name_is_just_passed_on),
		cmocka_unit_test(writes_what_it_can_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
