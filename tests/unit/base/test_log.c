/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"

#define MAX_LINE_BYTES 65536

static const struct log_subject subject = {
	.component = "upstream",
	.tenant = "acme",
	.connection = "crm",
	.call_id = "c-17",
};

/* What log_write puts on standard error from begin to end. */
struct capture {
	int saved;
	int reader;
	char text[MAX_LINE_BYTES];
};

static void capture_begin(struct capture *capture)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	capture->saved = dup(STDERR_FILENO);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	capture->reader = ends[0];
}

static const char *capture_end(struct capture *capture)
{
	ssize_t n;

	assert_int_equal(dup2(capture->saved, STDERR_FILENO), STDERR_FILENO);
	close(capture->saved);
	n = read(capture->reader, capture->text, sizeof(capture->text) - 1);
	close(capture->reader);
	capture->text[n > 0 ? n : 0] = '\0';
	return capture->text;
}

static const char *after_time(const char *line)
{
	assert_true(strlen(line) > 9 && line[2] == ':' && line[5] == ':' && line[8] == ' ');
	return line + 9;
}

static void text_names_who_before_what(void **state)
{
	struct capture capture;

	(void)state;
	log_configure(LOG_DEBUG, LOG_TEXT);
	capture_begin(&capture);
	log_info(&subject, "refused: %s", "no route");
	assert_string_equal(after_time(capture_end(&capture)),
			    "INFO  acme/crm upstream: refused: no route call=c-17\n");
}

static void text_leaves_out_what_is_unknown(void **state)
{
	static const struct {
		struct log_subject subject;
		const char *want;
	} cases[] = {
		{{ 0 },				       "ERROR x\n"	     },
		{ { .component = "db" },			 "ERROR db: x\n"	 },
		{ { .tenant = "acme" },			"ERROR acme: x\n"	  },
		{ { .tenant = "acme", .component = "db" },	   "ERROR acme db: x\n"},
		{ { .connection = "crm", .component = "db" }, "ERROR /crm db: x\n"},
		{ { .call_id = "7" },			      "ERROR x call=7\n"	 },
	};

	(void)state;
	log_configure(LOG_DEBUG, LOG_TEXT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct capture capture;

		capture_begin(&capture);
		log_error(&cases[i].subject, "x");
		assert_string_equal(after_time(capture_end(&capture)), cases[i].want);
	}
}

static void text_escapes_what_a_terminal_would_obey(void **state)
{
	const struct log_subject evil = { .tenant = "a\nb" };
	struct capture capture;

	(void)state;
	log_configure(LOG_DEBUG, LOG_TEXT);
	capture_begin(&capture);
	log_warn(&evil, "%s", "x\r\n12:00:00 INFO  forged\x1B[2J\x7F\xC2\x9B\xFF \xE2\x82\xAC");
	assert_string_equal(after_time(capture_end(&capture)),
			    "WARN  a\\x0ab: x\\x0d\\x0a12:00:00 INFO  forged\\x1b[2J\\x7f\\xc2\\x9b"
			    "\\xff \xE2\x82\xAC\n");
}

static json_t *logged_object(struct capture *capture)
{
	const char *line = capture_end(capture);
	size_t n = strlen(line);
	struct err err;
	json_t *object;

	assert_true(n > 0 && strchr(line, '\n') == line + n - 1);
	object = json_parse((struct span){ line, n }, &err);
	assert_non_null(object);
	return object;
}

static void json_is_one_object_per_line(void **state)
{
	static const char *const keys[] = { "ts",     "level",	    "msg",    "component",
					    "tenant", "connection", "call_id" };
	struct capture capture;
	json_t *object;
	const char *key;
	json_t *value;
	size_t i = 0;

	(void)state;
	log_configure(LOG_DEBUG, LOG_JSON);
	capture_begin(&capture);
	log_debug(&subject, "a \"b\"\n\x1B\xFF");
	object = logged_object(&capture);
	json_object_foreach(object, key, value)
	{
		assert_true(i < 7);
		assert_string_equal(key, keys[i++]);
	}
	assert_int_equal(i, 7);
	assert_string_equal(json_text(object, "level"), "debug");
	assert_string_equal(json_text(object, "msg"), "a \"b\"\n\x1B\xEF\xBF\xBD");
	assert_string_equal(json_text(object, "component"), "upstream");
	assert_string_equal(json_text(object, "tenant"), "acme");
	assert_string_equal(json_text(object, "connection"), "crm");
	assert_string_equal(json_text(object, "call_id"), "c-17");
	assert_int_equal(strlen(json_text(object, "ts")), 27);
	json_decref(object);
}

static const struct log_subject ended = {
	.component = "call",
	.tenant = "acme",
	.user = "ana b",
	.connection = "crm",
	.tool = "crm__get",
	.outcome = "ok",
	.duration_us = 12345,
	.call_id = "c-17",
	.trace_id = "0af7",
};

static void a_call_says_who_what_and_how_long(void **state)
{
	struct capture capture;

	(void)state;
	log_configure(LOG_DEBUG, LOG_TEXT);
	capture_begin(&capture);
	log_debug(&ended, "tools/call");
	assert_string_equal(after_time(capture_end(&capture)),
			    "DEBUG acme/crm call: tools/call user=ana b tool=crm__get outcome=ok"
			    " call=c-17 trace=0af7 12.345 ms\n");
	log_configure(LOG_DEBUG, LOG_JSON);
	capture_begin(&capture);
	log_debug(&ended, "tools/call");
	assert_string_equal(capture_end(&capture) + strlen("{'ts':'2026-11-20T12:31:00.000001Z'"),
			    ",\"level\":\"debug\",\"msg\":\"tools/call\",\"component\":\"call\","
			    "\"tenant\":\"acme\",\"user\":\"ana b\",\"connection\":\"crm\","
			    "\"tool\":\"crm__get\",\"outcome\":\"ok\",\"duration_ms\":12.345,"
			    "\"call_id\":\"c-17\",\"trace_id\":\"0af7\"}\n");
}

static void logfmt_quotes_what_is_not_plain(void **state)
{
	struct capture capture;

	(void)state;
	log_configure(LOG_DEBUG, LOG_LOGFMT);
	capture_begin(&capture);
	log_debug(&ended, "a=\"b\"\n");
	assert_string_equal(capture_end(&capture) + strlen("ts=2026-11-20T12:31:00.000001Z"),
			    " level=debug msg=\"a=\\\"b\\\"\\n\" component=call tenant=acme"
			    " user=\"ana b\" connection=crm tool=crm__get outcome=ok"
			    " duration_ms=12.345 call_id=c-17 trace_id=0af7\n");
	capture_begin(&capture);
	log_warn(&(struct log_subject){ .tenant = "" }, "plain");
	assert_string_equal(capture_end(&capture) + strlen("ts=2026-11-20T12:31:00.000001Z"),
			    " level=warn msg=plain tenant=\"\"\n");
}

/* systemd.exec(5), JOURNAL_STREAM; sd-daemon(3). */
static void the_journal_is_told_the_priority(void **state)
{
	static const struct {
		enum log_level level;
		const char *begin;
	} rows[] = {
		{LOG_DEBUG,  "<7>{"},
		{ LOG_INFO,  "<6>{"},
		{ LOG_WARN,  "<4>{"},
		{ LOG_ERROR, "<3>{"},
	};
	struct capture capture;
	struct stat at;
	char stream[64];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		capture_begin(&capture);
		assert_int_equal(fstat(STDERR_FILENO, &at), 0);
		snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)at.st_dev,
			 (uintmax_t)at.st_ino);
		setenv("JOURNAL_STREAM", stream, 1);
		log_configure(LOG_DEBUG, LOG_JSON);
		log_write(rows[i].level, NULL, "x");
		assert_memory_equal(capture_end(&capture), rows[i].begin, strlen(rows[i].begin));
	}
	/* Somebody has redirected standard error since: that is not the journal. */
	setenv("JOURNAL_STREAM", "1:1", 1);
	log_configure(LOG_DEBUG, LOG_JSON);
	capture_begin(&capture);
	log_info(NULL, "x");
	assert_int_equal(capture_end(&capture)[0], '{');
	unsetenv("JOURNAL_STREAM");
	log_configure(LOG_DEBUG, LOG_JSON);
}

static void without_a_subject_json_has_three_members(void **state)
{
	struct capture capture;
	json_t *object;

	(void)state;
	log_configure(LOG_DEBUG, LOG_JSON);
	capture_begin(&capture);
	log_info(NULL, "ready");
	object = logged_object(&capture);
	assert_int_equal(json_object_size(object), 3);
	json_decref(object);
}

static void long_messages_are_cut_and_still_one_line(void **state)
{
	static const enum log_format formats[] = { LOG_TEXT, LOG_LOGFMT, LOG_JSON };
	char *text = test_malloc(100001);

	(void)state;
	memset(text, '\x01', 100000);
	text[100000] = '\0';
	for (size_t i = 0; i < 3; i++) {
		const struct log_subject all = {
			text, text, text, text, text, text, text, text, 1
		};
		struct capture capture;
		const char *line;

		log_configure(LOG_DEBUG, formats[i]);
		capture_begin(&capture);
		log_info(&all, "%s", text);
		line = capture_end(&capture);
		assert_true(strlen(line) > 2000);
		assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	}
	test_free(text);
}

static void says_nothing_below_its_level(void **state)
{
	struct capture capture;

	(void)state;
	log_configure(LOG_WARN, LOG_TEXT);
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	assert_true(log_enabled(LOG_ERROR));
	capture_begin(&capture);
	log_debug(NULL, "x");
	log_info(NULL, "x");
	assert_string_equal(capture_end(&capture), "");
}

static void auto_is_json_where_there_is_no_terminal(void **state)
{
	struct capture capture;

	(void)state;
	capture_begin(&capture);
	log_configure(LOG_INFO, LOG_AUTO);
	log_info(NULL, "x");
	assert_int_equal(capture_end(&capture)[0], '{');
}

static void leaves_errno_alone(void **state)
{
	struct capture capture;

	(void)state;
	log_configure(LOG_INFO, LOG_TEXT);
	capture_begin(&capture);
	close(STDERR_FILENO);
	errno = ENOENT;
	log_info(NULL, "nobody listens");
	assert_int_equal(errno, ENOENT);
	capture_end(&capture);
}

static void reads_level_names(void **state)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	enum log_level level;
	struct err err;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(log_level_parse(names[i], &level, &err), 0);
		assert_int_equal(level, i);
	}
	assert_int_equal(log_level_parse("Info", &level, &err), 0);
	assert_int_equal(level, LOG_INFO);
	assert_int_equal(log_level_parse("loud", &level, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_string_equal(err.text, "must be one of debug, info, warn, error");
	assert_int_equal(log_level_parse("", &level, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_names_who_before_what),
		cmocka_unit_test(text_leaves_out_what_is_unknown),
		cmocka_unit_test(text_escapes_what_a_terminal_would_obey),
		cmocka_unit_test(json_is_one_object_per_line),
		cmocka_unit_test(a_call_says_who_what_and_how_long),
		cmocka_unit_test(logfmt_quotes_what_is_not_plain),
		cmocka_unit_test(the_journal_is_told_the_priority),
		cmocka_unit_test(without_a_subject_json_has_three_members),
		cmocka_unit_test(long_messages_are_cut_and_still_one_line),
		cmocka_unit_test(says_nothing_below_its_level),
		cmocka_unit_test(auto_is_json_where_there_is_no_terminal),
		cmocka_unit_test(leaves_errno_alone),
		cmocka_unit_test(reads_level_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
