/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/telemetry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/app/config.h"
#include "version.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The exporter as it was made, in place of base/otlp.c. */
struct otlp {
	char url[256];
	struct buf resource;
	char headers[256];
	int64_t timeout_ms;
	int64_t batch_ms;
};

struct otlp *otlp_new(const struct otlp_params *params, struct err *err)
{
	struct otlp *otlp;
	size_t at = 0;

	if (strstr(params->url, "refused") != NULL) {
		err_set(err, ERR_BAD_REQUEST, "no");
		return NULL;
	}
	otlp = mem_new(sizeof(*otlp));
	assert_non_null(params->loop);
	assert_string_equal(params->scope_name, "tollgate");
	assert_string_equal(params->scope_version, TOLLGATE_VERSION);
	snprintf(otlp->url, sizeof(otlp->url), "%s", params->url);
	buf_init(&otlp->resource, 4096);
	for (size_t i = 0; i < params->n_resource; i++)
		buf_printf(&otlp->resource, "%s=%.*s\n", params->resource[i].key,
			   (int)params->resource[i].text.n, params->resource[i].text.p);
	for (size_t i = 0; i < params->n_headers; i++)
		at += (size_t)snprintf(otlp->headers + at, sizeof(otlp->headers) - at, "%s: %s\n",
				       params->headers[i].name, params->headers[i].value);
	otlp->timeout_ms = params->timeout_ms;
	otlp->batch_ms = params->batch_ms;
	return otlp;
}

void otlp_free(struct otlp **otlp)
{
	if (*otlp == NULL)
		return;
	buf_fini(&(*otlp)->resource);
	free(*otlp);
	*otlp = NULL;
}

static void pairs_are_read_as_opentelemetry_writes_them(void **state)
{
	static const struct {
		const char *text;
		int n; /* -1: refused */
		const char *name, *value;
	} rows[] = {
		{"",				    0,	 NULL,	       NULL		    },
		{ "a=1",				1,  "a",		 "1"		     },
		{ "a=1,b=2",			     2,	"b",	     "2"		 },
		{ " a = 1 , ,b=2,",			    2,  "b",		    "2"			},
		{ "authorization=Basic%20dXNlcjpwdw==", 1,  "authorization", "Basic dXNlcjpwdw=="},
		{ "a=b=c",			      1,  "a",		   "b=c"		 },
		{ "a=",				 1,  "a",		""		   },
		{ "a=%C3%A4",			      1,	 "a",	      "\xc3\xa4"		 },
		{ "a",				  -1, NULL,		 NULL		      },
		{ "=1",				 -1, NULL,		  NULL		       },
		{ "a b=1",			      -1, NULL,	     NULL		  },
		{ "a=%",				-1, NULL,		   NULL		},
		{ "a=%4",			       -1, NULL,	    NULL		 },
		{ "a=%zz",			      -1, NULL,	     NULL		  },
		{ "a=%00",			      -1, NULL,	     NULL		  },
		{ "a=x%0d%0ay",				-1, NULL,		  NULL		       },
		{ "a=%ff",			      -1, NULL,	     NULL		  },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct telemetry_pair pairs[TELEMETRY_MAX_PAIRS];
		struct arena *arena = arena_new();
		struct err err;
		int n = telemetry_pairs(rows[i].text, arena, pairs, &err);

		if (n != rows[i].n)
			fail_msg("%s: %d", rows[i].text, n);
		if (n > 0) {
			assert_string_equal(pairs[n - 1].name, rows[i].name);
			assert_string_equal(pairs[n - 1].value, rows[i].value);
		}
		assert_int_equal(telemetry_headers_check(rows[i].text, &err), n < 0 ? -1 : 0);
		arena_free(&arena);
	}
}

static void what_is_wrong_is_told_without_what_stands_there(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(telemetry_headers_check("authorization hunter2", &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_null(strstr(err.text, "hunter2"));
}

static void there_is_a_limit(void **state)
{
	char text[4 * (TELEMETRY_MAX_PAIRS + 1) + 1] = "";
	struct err err;

	(void)state;
	for (int i = 0; i < TELEMETRY_MAX_PAIRS; i++)
		memcpy(text + 4 * i, "a=1,", 5);
	assert_int_equal(telemetry_attributes_check(text, &err), 0);
	memcpy(text + 4 * TELEMETRY_MAX_PAIRS, "a=1,", 5);
	assert_int_equal(telemetry_attributes_check(text, &err), -1);
}

static void ratios_are_checked(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(telemetry_ratio_check("0.25", &err), 0);
	assert_int_equal(telemetry_ratio_check("2", &err), -1);
	assert_int_equal(telemetry_ratio_check("x", &err), -1);
}

struct fixture {
	struct loop *loop;
	struct config config;
	struct tracing tracing;
};

static int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	f->loop = loop_new();
	config_init(&f->config);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	telemetry_fini(&f->tracing);
	config_free(&f->config);
	loop_free(&f->loop);
	free(f);
	return 0;
}

static void set(struct fixture *f, const char *name, const char *value)
{
	struct err err;

	if (config_set(&f->config, name, value, &err) < 0)
		fail_msg("%s", err.text);
}

static void start(struct fixture *f)
{
	struct err err;

	telemetry_fini(&f->tracing);
	if (telemetry_init(&f->tracing, f->loop, &f->config, "n-1", &err) < 0)
		fail_msg("%s", err.text);
}

static void it_is_off_unless_there_is_an_address(void **state)
{
	struct fixture *f = *state;

	start(f);
	assert_null(f->tracing.otlp);
	assert_int_equal(f->tracing.sampler, TRACING_ALWAYS_ON);
	assert_true(f->tracing.by_parent);
}

static void the_address_is_whole_or_a_base(void **state)
{
	static const struct {
		const char *base, *whole, *url;
	} rows[] = {
		{"http://c:4318",	   "",		       "http://c:4318/v1/traces" },
		{ "http://c:4318/",  "",			"http://c:4318/v1/traces" },
		{ "https://c/otlp/", "",			 "https://c/otlp/v1/traces"},
		{ "http://c:4318",   "https://d/own/path", "https://d/own/path"      },
		{ "",		      "https://d/own/",	"https://d/own/"		 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		set(f, "otlp_endpoint", rows[i].base);
		set(f, "otlp_traces_endpoint", rows[i].whole);
		start(f);
		assert_string_equal(f->tracing.otlp->url, rows[i].url);
	}
}

static void all_settings_arrive(void **state)
{
	struct fixture *f = *state;

	set(f, "otlp_endpoint", "http://c:4318");
	set(f, "otlp_headers", "authorization=Bearer%20x,x-scope=y");
	set(f, "otlp_timeout", "3s");
	set(f, "otlp_delay", "250ms");
	set(f, "service_name", "gate");
	set(f, "resource_attributes", "deployment.environment=test,service.name=other,host.name=h");
	set(f, "traces_sampler", "traceidratio");
	set(f, "traces_sampler_arg", "0.5");
	start(f);
	assert_string_equal(f->tracing.otlp->headers, "authorization: Bearer x\nx-scope: y\n");
	assert_int_equal(f->tracing.otlp->timeout_ms, 3000);
	assert_int_equal(f->tracing.otlp->batch_ms, 250);
	assert_string_equal(buf_str(&f->tracing.otlp->resource),
			    "service.name=gate\nservice.version=" TOLLGATE_VERSION
			    "\nservice.instance.id=n-1\ndeployment.environment=test\n"
			    "host.name=h\n");
	assert_int_equal(f->tracing.sampler, TRACING_RATIO);
	assert_false(f->tracing.by_parent);
	assert_true(f->tracing.ratio == 0.5);
}

static void what_cannot_be_used_is_named(void **state)
{
	struct fixture *f = *state;
	struct err err;

	set(f, "otlp_endpoint", "http://refused:4318");
	assert_int_equal(telemetry_init(&f->tracing, f->loop, &f->config, "n-1", &err), -1);
	assert_string_equal(err.text, "otlp_endpoint: no");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pairs_are_read_as_opentelemetry_writes_them),
		cmocka_unit_test(what_is_wrong_is_told_without_what_stands_there),
		cmocka_unit_test(there_is_a_limit),
		cmocka_unit_test(ratios_are_checked),
		TEST(it_is_off_unless_there_is_an_address),
		TEST(the_address_is_whole_or_a_base),
		TEST(all_settings_arrive),
		TEST(what_cannot_be_used_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
