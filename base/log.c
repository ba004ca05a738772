/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"

enum {
	LOG_MESSAGE_BYTES = 2048, /* longer ones are cut */
	LOG_SUBJECT_BYTES = 128,  /* of each member */
	LOG_LINE_BYTES = 32768,	  /* both escaped in the longest way, and the rest */
};

static const struct {
	const char *name;
	const char *column;
} levels[] = {
	[LOG_DEBUG] = {"debug",	 "DEBUG"},
	[LOG_INFO] = { "info",  "INFO "},
	[LOG_WARN] = { "warn",  "WARN "},
	[LOG_ERROR] = { "error", "ERROR"},
};

/* The sink's settings: the one mutable state of the program that is not passed around. */
static struct {
	enum log_level least;
	enum log_format format;
} sink = { LOG_INFO, LOG_AUTO };

static enum log_format resolve(enum log_format format)
{
	if (format != LOG_AUTO)
		return format;
	return isatty(STDERR_FILENO) == 1 ? LOG_TEXT : LOG_JSON;
}

void log_configure(enum log_level least, enum log_format format)
{
	sink.least = least;
	sink.format = resolve(format);
}

bool log_enabled(enum log_level level)
{
	return level >= sink.least;
}

int log_level_parse(const char *text, enum log_level *out, struct err *err)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (text_equal_nocase(text, levels[i].name)) {
			*out = (enum log_level)i;
			return 0;
		}
	}
	return err_set(err, ERR_BAD_REQUEST, "must be one of debug, info, warn, error");
}

/* A peer must not be able to end the line or to send the terminal a sequence. */
static void add_plain(struct buf *line, const char *text, size_t n)
{
	const unsigned char *p = (const unsigned char *)text;

	while (n > 0) {
		size_t step = utf8_sequence(p, n);

		if (step > 0 && !utf8_is_control(p, step)) {
			buf_append(line, p, step);
		} else {
			step = step > 0 ? step : 1;
			for (size_t i = 0; i < step; i++)
				buf_printf(line, "\\x%02x", p[i]);
		}
		p += step;
		n -= step;
	}
}

static void add_text(struct buf *line, const char *text)
{
	add_plain(line, text, strnlen(text, LOG_SUBJECT_BYTES));
}

static void add_text_subject(struct buf *line, const struct log_subject *subject)
{
	if (subject->tenant != NULL)
		add_text(line, subject->tenant);
	if (subject->connection != NULL) {
		buf_add(line, "/");
		add_text(line, subject->connection);
	}
	if (subject->component != NULL) {
		if (subject->tenant != NULL || subject->connection != NULL)
			buf_add(line, " ");
		add_text(line, subject->component);
	}
	if (subject->tenant != NULL || subject->connection != NULL || subject->component != NULL)
		buf_add(line, ": ");
}

static void make_text(struct buf *line, enum log_level level, const char *ts,
		      const struct log_subject *subject, const char *message)
{
	buf_printf(line, "%.8s %s ", strchr(ts, 'T') + 1, levels[level].column);
	add_text_subject(line, subject);
	add_plain(line, message, strlen(message));
	if (subject->call_id != NULL) {
		buf_add(line, " call=");
		add_text(line, subject->call_id);
	}
	buf_add(line, "\n");
}

static void add_member(struct buf *line, const char *key, const char *text, size_t max_bytes)
{
	if (text == NULL)
		return;
	buf_printf(line, ",\"%s\":", key);
	buf_add_json_string(line, text, strnlen(text, max_bytes));
}

static void make_json(struct buf *line, enum log_level level, const char *ts,
		      const struct log_subject *subject, const char *message)
{
	buf_printf(line, "{\"ts\":\"%s\",\"level\":\"%s\"", ts, levels[level].name);
	add_member(line, "msg", message, LOG_MESSAGE_BYTES);
	add_member(line, "component", subject->component, LOG_SUBJECT_BYTES);
	add_member(line, "tenant", subject->tenant, LOG_SUBJECT_BYTES);
	add_member(line, "connection", subject->connection, LOG_SUBJECT_BYTES);
	add_member(line, "call_id", subject->call_id, LOG_SUBJECT_BYTES);
	buf_add(line, "}\n");
}

/* One write, so that the lines of several processes do not mix. A line that the sink does not
 * take is lost: waiting for it would stop the loop. */
static void emit(const struct buf *line)
{
	ssize_t n;

	do {
		n = write(STDERR_FILENO, line->data, line->len);
	} while (n < 0 && errno == EINTR);
}

static void now_text(char out[TEXT_TIME_BYTES])
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	text_time((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, out);
}

void log_write(enum log_level level, const struct log_subject *subject, const char *format, ...)
{
	static const struct log_subject nobody = { NULL, NULL, NULL, NULL };
	int saved_errno = errno;
	char message[LOG_MESSAGE_BYTES] = "";
	char ts[TEXT_TIME_BYTES];
	struct buf line;
	va_list ap;

	if (!log_enabled(level))
		return;
	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	if (subject == NULL)
		subject = &nobody;
	now_text(ts);
	buf_init(&line, LOG_LINE_BYTES);
	if (resolve(sink.format) == LOG_TEXT)
		make_text(&line, level, ts, subject, message);
	else
		make_json(&line, level, ts, subject, message);
	emit(&line);
	buf_fini(&line);
	errno = saved_errno;
}
