/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/text.h"
#include "base/utf8.h"

#define US_PER_MS 1000
#define BARE	  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@+-"

enum {
	LOG_MESSAGE_BYTES = 2048, /* longer ones are cut */
	LOG_SUBJECT_BYTES = 128,  /* of each member */
	LOG_LINE_BYTES = 32768,	  /* both escaped in the longest way, and the rest */
};

static const struct {
	const char *name;
	const char *column;
	const char *priority; /* syslog(3) */
} levels[] = {
	[LOG_DEBUG] = {"debug",	 "DEBUG", "<7>"},
	[LOG_INFO] = { "info",  "INFO ", "<6>"},
	[LOG_WARN] = { "warn",  "WARN ", "<4>"},
	[LOG_ERROR] = { "error", "ERROR", "<3>"},
};

/* What lines say beside time, level and message, in this order; duration_ms stands before call_id.
 */
static const struct {
	const char *key;
	size_t at;
} members[] = {
	{"component",   offsetof(struct log_subject, component) },
	{ "tenant",	    offsetof(struct log_subject, tenant)	 },
	{ "user",	  offsetof(struct log_subject, user)	     },
	{ "connection", offsetof(struct log_subject, connection)},
	{ "tool",	  offsetof(struct log_subject, tool)	     },
	{ "outcome",    offsetof(struct log_subject, outcome)   },
	{ "call_id",    offsetof(struct log_subject, call_id)   },
	{ "trace_id",   offsetof(struct log_subject, trace_id)  },
};
#define N_MEMBERS (sizeof(members) / sizeof(members[0]))

static const char *member_of(const struct log_subject *subject, size_t i)
{
	return *(const char *const *)((const char *)subject + members[i].at);
}

static bool is_before_duration(size_t i)
{
	return members[i].at == offsetof(struct log_subject, call_id);
}

/* The sink's settings: the one mutable state of the program that is not passed around. */
static struct {
	enum log_level least;
	enum log_format format;
	bool journal;
} sink = { LOG_INFO, LOG_AUTO, false };

/* systemd.exec(5): device and inode of what it connected standard error to. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[64];
	struct stat at;

	if (stream == NULL || fstat(STDERR_FILENO, &at) < 0)
		return false;
	snprintf(ours, sizeof(ours), "%ju:%ju", (uintmax_t)at.st_dev, (uintmax_t)at.st_ino);
	return strcmp(stream, ours) == 0;
}

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
	sink.journal = is_journal();
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

/* " tool=get outcome=ok call=… 12.345 ms" */
static void add_text_call(struct buf *line, const struct log_subject *subject)
{
	const struct {
		const char *key;
		const char *value;
	} rows[] = {
		{" user=",	    subject->user	  },
		   { " tool=",    subject->tool    },
		{ " outcome=", subject->outcome },
		   { " call=",    subject->call_id },
		{ " trace=",   subject->trace_id},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].value == NULL)
			continue;
		buf_add(line, rows[i].key);
		add_text(line, rows[i].value);
	}
	if (subject->duration_us > 0)
		buf_printf(line, " %.3f ms", (double)subject->duration_us / US_PER_MS);
}

static void make_text(struct buf *line, enum log_level level, const char *ts,
		      const struct log_subject *subject, const char *message)
{
	buf_printf(line, "%.8s %s ", strchr(ts, 'T') + 1, levels[level].column);
	add_text_subject(line, subject);
	add_plain(line, message, strlen(message));
	add_text_call(line, subject);
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
	for (size_t i = 0; i < N_MEMBERS; i++) {
		if (is_before_duration(i) && subject->duration_us > 0)
			buf_printf(line, ",\"duration_ms\":%.3f",
				   (double)subject->duration_us / US_PER_MS);
		add_member(line, members[i].key, member_of(subject, i), LOG_SUBJECT_BYTES);
	}
	buf_add(line, "}\n");
}

/* logfmt: bare where nothing in it could be taken for anything else, otherwise as JSON has it. */
static void add_pair(struct buf *line, const char *key, const char *text, size_t max_bytes)
{
	size_t n = strnlen(text, max_bytes);

	buf_printf(line, " %s=", key);
	if (n > 0 && strspn(text, BARE) >= n)
		buf_append(line, text, n);
	else
		buf_add_json_string(line, text, n);
}

static void make_logfmt(struct buf *line, enum log_level level, const char *ts,
			const struct log_subject *subject, const char *message)
{
	buf_printf(line, "ts=%s level=%s", ts, levels[level].name);
	add_pair(line, "msg", message, LOG_MESSAGE_BYTES);
	for (size_t i = 0; i < N_MEMBERS; i++) {
		const char *text = member_of(subject, i);

		if (is_before_duration(i) && subject->duration_us > 0)
			buf_printf(line, " duration_ms=%.3f",
				   (double)subject->duration_us / US_PER_MS);
		if (text != NULL)
			add_pair(line, members[i].key, text, LOG_SUBJECT_BYTES);
	}
	buf_add(line, "\n");
}

static void (*const makers[])(struct buf *line, enum log_level level, const char *ts,
			      const struct log_subject *subject, const char *message) = {
	[LOG_TEXT] = make_text,
	[LOG_LOGFMT] = make_logfmt,
	[LOG_JSON] = make_json,
};

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
	static const struct log_subject nobody = { .component = NULL };
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
	if (sink.journal)
		buf_add(&line, levels[level].priority);
	makers[resolve(sink.format)](&line, level, ts, subject, message);
	emit(&line);
	buf_fini(&line);
	errno = saved_errno;
}
