/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/anchor_sink.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <utlist.h>

#include "audit/anchor_file.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/meters.h"

/* RFC 3164: facility authpriv, severity notice. Without a time: whoever reads the local socket puts
 * his own. */
#define SYSLOG_HEAD "<85>tollgate: "

enum target { TO_FILE, TO_SYSLOG, N_TARGETS };

struct line {
	char *text; /* with its line break */
	size_t n;
	bool owed[N_TARGETS];
	struct line *prev, *next;
};

struct anchor_sink {
	struct anchor_sink_params params;
	char *file;
	struct line *lines; /* oldest first */
	size_t n_lines;
	struct timer retry;
	int64_t retry_ms;
	bool torn; /* the file ends within a line of ours */
	bool failing[N_TARGETS];
};

static const struct log_subject subject = { .component = "anchors" };

static void on_retry(void *ctx);

struct anchor_sink *anchor_sink_new(const struct anchor_sink_params *params)
{
	struct anchor_sink *sink = mem_new(sizeof(*sink));

	sink->params = *params;
	sink->file = mem_strdup(params->file);
	sink->retry_ms = ANCHOR_SINK_RETRY_MS;
	return sink;
}

static void line_free(struct anchor_sink *sink, struct line *line)
{
	DL_DELETE(sink->lines, line);
	sink->n_lines--;
	free(line->text);
	free(line);
}

/* It is in the database all the same, if it is an anchor. */
static void lose(struct anchor_sink *sink, const char *why)
{
	struct line *line = sink->lines;

	log_error(&subject, "lost, %s: %.*s", why, (int)line->n - 1, line->text);
	line_free(sink, line);
}

void anchor_sink_free(struct anchor_sink **slot)
{
	struct anchor_sink *sink = *slot;

	if (sink == NULL)
		return;
	*slot = NULL;
	timer_stop(&sink->retry);
	while (sink->lines != NULL)
		lose(sink, "not written until the end");
	free(sink->file);
	free(sink);
}

/* Writing. Each returns 0, or -1 with errno. */

static int write_file(struct anchor_sink *sink, const struct line *line)
{
	int fd = open(sink->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t put;
	int error = 0;

	if (fd < 0)
		return -1;
	if (sink->torn && write(fd, "\n", 1) == 1)
		sink->torn = false;
	put = sink->torn ? 0 : write(fd, line->text, line->n);
	if (put < 0)
		error = errno;
	else if ((size_t)put < line->n)
		error = ENOSPC;
	sink->torn |= put > 0 && error != 0;
	close(fd);
	errno = error;
	return error == 0 ? 0 : -1;
}

static int write_syslog(struct anchor_sink *sink, const struct line *line)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t length = strlen(sink->params.syslog_socket);
	char *message = mem_printf(SYSLOG_HEAD "%.*s", (int)line->n - 1, line->text);
	size_t n = strlen(message);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error = 0;

	assert(length < sizeof(to.sun_path));
	memcpy(to.sun_path, sink->params.syslog_socket, length);
	if (fd < 0 ||
	    sendto(fd, message, n, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof(to)) != (ssize_t)n)
		error = errno;
	if (fd >= 0)
		close(fd);
	free(message);
	errno = error;
	return error == 0 ? 0 : -1;
}

static const struct {
	const char *name;
	int (*write)(struct anchor_sink *sink, const struct line *line);
} targets[N_TARGETS] = {
	[TO_FILE] = {"the file of anchors", write_file	},
	[TO_SYSLOG] = { "syslog",		  write_syslog},
};

/* Says so once, and once when it is over. */
static void note_outcome(struct anchor_sink *sink, int target, int error)
{
	if (error != 0) {
		if (!sink->failing[target])
			log_error(&subject, "%s takes none, will be tried again: %s",
				  targets[target].name, strerror(error));
		if (sink->params.meter != NULL)
			meter_count(sink->params.meter, METER_ANCHOR_SINK_FAILED, NULL, 1);
	} else if (sink->failing[target]) {
		log_info(&subject, "%s takes them again", targets[target].name);
	}
	sink->failing[target] = error != 0;
}

static bool is_done(const struct line *line)
{
	for (int i = 0; i < N_TARGETS; i++) {
		if (line->owed[i])
			return false;
	}
	return true;
}

/* Each target takes the lines in their order, as far as it takes them. */
static void write_lines(struct anchor_sink *sink)
{
	struct line *line, *next;

	for (int i = 0; i < N_TARGETS; i++) {
		DL_FOREACH(sink->lines, line)
		{
			if (!line->owed[i])
				continue;
			line->owed[i] = targets[i].write(sink, line) < 0;
			note_outcome(sink, i, line->owed[i] ? errno : 0);
			if (line->owed[i])
				break;
		}
	}
	DL_FOREACH_SAFE(sink->lines, line, next)
	{
		if (is_done(line))
			line_free(sink, line);
	}
}

static void wait_on(struct anchor_sink *sink)
{
	if (sink->lines == NULL) {
		timer_stop(&sink->retry);
		sink->retry_ms = ANCHOR_SINK_RETRY_MS;
	} else if (sink->retry.loop == NULL) {
		timer_start(sink->params.loop, &sink->retry, sink->retry_ms, on_retry, sink);
	}
}

static void on_retry(void *ctx)
{
	struct anchor_sink *sink = ctx;

	write_lines(sink);
	sink->retry_ms *= 2;
	if (sink->retry_ms > ANCHOR_SINK_RETRY_MAX)
		sink->retry_ms = ANCHOR_SINK_RETRY_MAX;
	wait_on(sink);
}

void anchor_sink_add_line(struct anchor_sink *sink, struct span json)
{
	struct line *line = mem_new(sizeof(*line));

	assert(json.n > 0 && json.n <= ANCHOR_SINK_LINE_BYTES &&
	       memchr(json.p, '\n', json.n) == NULL);
	line->text = mem_printf("%.*s\n", (int)json.n, json.p);
	line->n = json.n + 1;
	line->owed[TO_FILE] = true;
	line->owed[TO_SYSLOG] = sink->params.syslog_socket != NULL;
	/* The newest says most: it fixes all that was before it. */
	if (sink->n_lines == ANCHOR_SINK_MAX_LINES)
		lose(sink, "too many wait");
	DL_APPEND(sink->lines, line);
	sink->n_lines++;
	write_lines(sink);
	wait_on(sink);
}

void anchor_sink_add(struct anchor_sink *sink, const struct chain_anchor *anchor)
{
	struct buf line;

	buf_init(&line, ANCHOR_LINE_BYTES);
	anchor_line_write(anchor, &line);
	assert(!line.overflow);
	line.len--; /* its newline, which comes with every line */
	anchor_sink_add_line(sink, buf_span(&line));
	buf_fini(&line);
}

size_t anchor_sink_waiting(const struct anchor_sink *sink)
{
	return sink->n_lines;
}
