/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"

#define N_SEATS 3

enum { CALLS, PLAIN, LEVEL, LEAST, MOST, SECONDS, N_METRICS };

static const struct metric table[N_METRICS] = {
	[CALLS] = {"calls_total",   METRIC_COUNTER,   METRIC_SUM, "who how", 4, 1,		"Calls."},
	[PLAIN] = { "plain_total",  METRIC_COUNTER,   METRIC_SUM, NULL,	     0, 1,		   "Plain."},
	[LEVEL] = { "level",	     METRIC_GAUGE,	   METRIC_SUM, "where",	2, 1,	      "Level."},
	[LEAST] = { "least",	     METRIC_GAUGE,	   METRIC_MIN, NULL,	     0, 1,		   "Least."},
	[MOST] = { "most_seconds", METRIC_GAUGE,	 METRIC_MAX, NULL,	   0, 1000,	    "Most." },
	[SECONDS] = { "took_seconds", METRIC_HISTOGRAM, METRIC_SUM, "what",    4, METRIC_SECONDS,
		      "Took."									      },
};

struct fixture {
	struct metrics *metrics;
	struct meter *meters[N_SEATS];
	struct buf text;
};

static int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	f->metrics = metrics_new(table, N_METRICS, N_SEATS);
	for (size_t i = 0; i < N_SEATS; i++)
		f->meters[i] = meter_new(f->metrics, i);
	buf_init(&f->text, 1 << 20);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SEATS; i++)
		meter_free(&f->meters[i]);
	metrics_free(&f->metrics);
	buf_fini(&f->text);
	free(f);
	return 0;
}

static bool prints(struct fixture *f, const char *line)
{
	char *wanted = mem_printf("\n%s\n", line);
	bool found;

	buf_clear(&f->text);
	metrics_print(f->metrics, &f->text);
	assert_false(f->text.overflow);
	found = strstr(buf_str(&f->text), wanted) != NULL;
	free(wanted);
	return found;
}

static void assert_prints(struct fixture *f, const char *line)
{
	if (!prints(f, line))
		fail_msg("no line %s in\n%s", line, buf_str(&f->text));
}

static void count(struct fixture *f, size_t seat, const char *who, const char *how, uint64_t n)
{
	meter_count(f->meters[seat], CALLS, (const char *const[]){ who, how }, n);
}

static void set_level(struct fixture *f, size_t seat, const char *where, int64_t value)
{
	meter_gauge(f->meters[seat], LEVEL, &where, value);
}

static void says_what_each_metric_is_even_without_a_value(void **state)
{
	struct fixture *f = *state;

	buf_clear(&f->text);
	metrics_print(f->metrics, &f->text);
	assert_string_equal(buf_str(&f->text),
			    "# HELP calls_total Calls.\n# TYPE calls_total counter\n"
			    "# HELP plain_total Plain.\n# TYPE plain_total counter\n"
			    "# HELP level Level.\n# TYPE level gauge\n"
			    "# HELP least Least.\n# TYPE least gauge\n"
			    "# HELP most_seconds Most.\n# TYPE most_seconds gauge\n"
			    "# HELP took_seconds Took.\n# TYPE took_seconds histogram\n");
}

static void counters_of_all_seats_are_added(void **state)
{
	struct fixture *f = *state;

	count(f, 0, "a", "ok", 1);
	count(f, 0, "a", "ok", 2);
	count(f, 1, "b", "ok", 5);
	count(f, 1, "a", "bad", 7);
	count(f, 2, "a", "ok", 10);
	meter_count(f->meters[1], PLAIN, NULL, 4);
	assert_prints(f, "calls_total{who=\"a\",how=\"bad\"} 7\n"
			 "calls_total{who=\"a\",how=\"ok\"} 13\n"
			 "calls_total{who=\"b\",how=\"ok\"} 5");
	assert_prints(f, "plain_total 4");
}

static void a_label_without_value_is_absent_and_odd_ones_are_escaped(void **state)
{
	struct fixture *f = *state;

	count(f, 0, "", "ok", 1);
	count(f, 0, "", "", 2);
	count(f, 0, "a\"b\\c\nd", "x\x1fy", 3);
	assert_prints(f, "calls_total{how=\"ok\"} 1");
	assert_prints(f, "calls_total 2");
	assert_prints(f, "calls_total{who=\"a\\\"b\\\\c\\nd\",how=\"x?y\"} 3");
}

static void gauges_are_merged_as_their_row_says(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < N_SEATS; i++) {
		set_level(f, i, "x", (int64_t)i + 1);
		meter_gauge(f->meters[i], LEAST, NULL, (int64_t)i - 1);
		meter_gauge(f->meters[i], MOST, NULL, (int64_t)i * 1500);
	}
	meter_gauge_add(f->meters[1], LEVEL, (const char *const[]){ "x" }, -5);
	assert_prints(f, "level{where=\"x\"} 1");
	assert_prints(f, "least -1");
	assert_prints(f, "most_seconds 3");
}

static void what_comes_over_the_limit_counts_as_other(void **state)
{
	struct fixture *f = *state;
	char *long_name = mem_new(METRIC_KEY_BYTES + 1);

	memset(long_name, 'n', METRIC_KEY_BYTES);
	for (int i = 0; i < 10; i++) {
		char who[16];

		snprintf(who, sizeof(who), "w%d", i);
		count(f, 0, who, "ok", 1);
	}
	count(f, 0, "w1", "ok", 1);
	count(f, 0, long_name, "ok", 1);
	assert_prints(f, "calls_total{who=\"_OTHER\",how=\"_OTHER\"} 8\n"
			 "calls_total{who=\"w0\",how=\"ok\"} 1\n"
			 "calls_total{who=\"w1\",how=\"ok\"} 2\n"
			 "calls_total{who=\"w2\",how=\"ok\"} 1\n"
			 "# HELP plain_total Plain.");
	/* A gauge is dropped: a sum of unlike things says nothing. */
	set_level(f, 0, "x", 1);
	set_level(f, 0, "y", 2);
	set_level(f, 0, "z", 3);
	set_level(f, 0, long_name, 4);
	assert_prints(f, "level{where=\"x\"} 1\nlevel{where=\"y\"} 2\n# HELP least Least.");
	free(long_name);
}

static void a_gauge_that_ended_makes_room(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++) {
		char where[16];

		snprintf(where, sizeof(where), "p%d", i);
		set_level(f, 0, "stays", 1);
		set_level(f, 0, where, i);
		meter_gauge_end(f->meters[0], LEVEL, (const char *const[]){ where });
	}
	assert_prints(f, "level{where=\"stays\"} 1\n# HELP least Least.");
	set_level(f, 0, "last", 7);
	assert_prints(f, "level{where=\"last\"} 7\nlevel{where=\"stays\"} 1\n# HELP least Least.");
	meter_gauge_end(f->meters[0], LEVEL, (const char *const[]){ "unknown" });
}

static void a_histogram_has_buckets_that_add_up(void **state)
{
	static const int64_t us[] = { 0, 1000, 1001, 45000, 250000000, 400000000, -3 };
	struct fixture *f = *state;
	const char *what = "x";

	for (size_t i = 0; i < sizeof(us) / sizeof(us[0]); i++)
		meter_observe(f->meters[i % N_SEATS], SECONDS, &what, us[i]);
	assert_prints(f, "took_seconds_bucket{what=\"x\",le=\"0.001\"} 3\n"
			 "took_seconds_bucket{what=\"x\",le=\"0.002\"} 4\n"
			 "took_seconds_bucket{what=\"x\",le=\"0.005\"} 4");
	assert_prints(f, "took_seconds_bucket{what=\"x\",le=\"0.05\"} 5");
	assert_prints(f, "took_seconds_bucket{what=\"x\",le=\"120\"} 5\n"
			 "took_seconds_bucket{what=\"x\",le=\"300\"} 6\n"
			 "took_seconds_bucket{what=\"x\",le=\"+Inf\"} 7\n"
			 "took_seconds_sum{what=\"x\"} 650.047001\n"
			 "took_seconds_count{what=\"x\"} 7");
}

static void counters_outlive_their_writer_and_gauges_do_not(void **state)
{
	struct fixture *f = *state;

	count(f, 1, "a", "ok", 3);
	set_level(f, 1, "x", 3);
	set_level(f, 2, "x", 10);
	meter_free(&f->meters[1]);
	metrics_retire(f->metrics, 1);
	assert_prints(f, "calls_total{who=\"a\",how=\"ok\"} 3");
	assert_prints(f, "level{where=\"x\"} 10");
	f->meters[1] = meter_new(f->metrics, 1);
	assert_prints(f, "level{where=\"x\"} 10");
	meter_gauge_add(f->meters[1], LEVEL, (const char *const[]){ "x" }, 1);
	count(f, 1, "a", "ok", 1);
	assert_prints(f, "calls_total{who=\"a\",how=\"ok\"} 4");
	assert_prints(f, "level{where=\"x\"} 11");
}

static void no_meter_is_nothing(void **state)
{
	(void)state;
	meter_count(NULL, PLAIN, NULL, 1);
	meter_gauge(NULL, LEAST, NULL, 1);
	meter_gauge_add(NULL, LEAST, NULL, 1);
	meter_gauge_end(NULL, LEAST, NULL);
	meter_observe(NULL, SECONDS, (const char *const[]){ "x" }, 1);
}

/* Writes until it is killed, whatever it was doing. */
static void write_for_ever(struct metrics *metrics, size_t seat)
{
	struct meter *meter = meter_new(metrics, seat);

	for (uint64_t i = 0;; i++) {
		char where[METRIC_KEY_BYTES];
		const char *at = where;

		memset(where, 'a' + (int)(i % 26), sizeof(where));
		where[1 + i % 100] = '\0';
		meter_count(meter, PLAIN, NULL, 1);
		meter_gauge(meter, LEVEL, &at, 1);
		meter_gauge_end(meter, LEVEL, &at);
		meter_observe(meter, SECONDS, (const char *const[]){ "x" }, 1500);
	}
}

static int64_t number_after(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at != NULL ? strtoll(at + strlen(name), NULL, 10) : 0;
}

/* A key is printed whole or not at all: all of its letters are the same. */
static void check_levels(const char *text)
{
	for (const char *at = strstr(text, "\nlevel{where=\""); at != NULL;
	     at = strstr(at + 1, "\nlevel{where=\"")) {
		const char *key = at + strlen("\nlevel{where=\"");
		size_t n = strcspn(key, "\"");

		assert_true(n > 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(key[i], key[0]);
	}
}

static void whoever_reads_meanwhile_sees_whole_series_that_only_grow(void **state)
{
	struct fixture *f = *state;
	int64_t plain = 0, took = 0;
	pid_t writers[2];

	for (int round = 0; round < 5; round++) {
		for (size_t i = 0; i < 2; i++) {
			meter_free(&f->meters[i]);
			writers[i] = fork();
			assert_true(writers[i] >= 0);
			if (writers[i] == 0)
				write_for_ever(f->metrics, i);
		}
		for (int read = 0; read < 300; read++) {
			const char *text;
			int64_t count;

			buf_clear(&f->text);
			metrics_print(f->metrics, &f->text);
			text = buf_str(&f->text);
			assert_true(number_after(text, "\nplain_total ") >= plain);
			plain = number_after(text, "\nplain_total ");
			count = number_after(text, "\ntook_seconds_count{what=\"x\"} ");
			assert_true(count >= took);
			took = count;
			assert_int_equal(
				number_after(text, "took_seconds_bucket{what=\"x\",le=\"+Inf\"} "),
				count);
			check_levels(text);
		}
		for (size_t i = 0; i < 2; i++) {
			kill(writers[i], SIGKILL);
			assert_int_equal(waitpid(writers[i], NULL, 0), writers[i]);
		}
	}
	assert_true(plain > 1000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_what_each_metric_is_even_without_a_value),
		TEST(counters_of_all_seats_are_added),
		TEST(a_label_without_value_is_absent_and_odd_ones_are_escaped),
		TEST(gauges_are_merged_as_their_row_says),
		TEST(what_comes_over_the_limit_counts_as_other),
		TEST(a_gauge_that_ended_makes_room),
		TEST(a_histogram_has_buckets_that_add_up),
		TEST(counters_outlive_their_writer_and_gauges_do_not),
		TEST(no_meter_is_nothing),
		TEST(whoever_reads_meanwhile_sees_whole_series_that_only_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
