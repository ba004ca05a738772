/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

/*
 * One line per event on standard error: short for a terminal, JSON otherwise; where that is the
 * journal of systemd, with its priority in front (sd-daemon(3)).
 * The subject comes first: who the line is about. No bodies, no headers, no tokens at any level.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_AUTO, LOG_TEXT, LOG_LOGFMT, LOG_JSON }; /* AUTO: TEXT on a terminal */

/* Members may be NULL. Borrowed for the duration of the call. */
struct log_subject {
	const char *component;
	const char *tenant;
	const char *connection;
	const char *call_id;
	/* Of a call that has ended. */
	const char *user;
	const char *tool;
	const char *outcome;
	const char *trace_id;
	int64_t duration_us; /* 0: it is about none */
};

void log_configure(enum log_level least, enum log_format format);
bool log_enabled(enum log_level level);
int log_level_parse(const char *text, enum log_level *out, struct err *err) MUST_CHECK;

void log_write(enum log_level level, const struct log_subject *subject, const char *format, ...)
	ERR_PRINTF(3, 4);
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
