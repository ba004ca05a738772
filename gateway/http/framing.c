/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/framing.h"

#include <string.h>
#include <strings.h>

enum framing_header { HOST, LENGTH, ENCODING, N_HEADERS };

static const char *const names[N_HEADERS] = {
	[HOST] = "host",
	[LENGTH] = "content-length",
	[ENCODING] = "transfer-encoding",
};

/* Takes a line off the head, without its end. -1: it does not end with CRLF. */
static int next_line(struct span *head, struct span *line)
{
	const char *end = memchr(head->p, '\n', head->n);

	if (end == NULL || end == head->p || end[-1] != '\r')
		return -1;
	*line = (struct span){ head->p, (size_t)(end - head->p) - 1 };
	head->n -= (size_t)(end + 1 - head->p);
	head->p = end + 1;
	return 0;
}

static void count_header(struct span line, unsigned counts[N_HEADERS])
{
	const char *colon = memchr(line.p, ':', line.n);
	size_t n = colon == NULL ? line.n : (size_t)(colon - line.p);

	for (size_t i = 0; i < N_HEADERS; i++) {
		if (strlen(names[i]) == n && strncasecmp(line.p, names[i], n) == 0)
			counts[i]++;
	}
}

/* RFC 9112 sections 3.2 (Host), 6.1 and 6.3 (length). */
static int check_counts(const unsigned counts[N_HEADERS], int minor_version, struct err *err)
{
	for (size_t i = 0; i < N_HEADERS; i++) {
		if (counts[i] > 1)
			return err_set(err, ERR_BAD_REQUEST, "more than one %s header", names[i]);
	}
	if (counts[LENGTH] > 0 && counts[ENCODING] > 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "content-length and transfer-encoding exclude each other");
	if (minor_version == 0 && counts[ENCODING] > 0)
		return err_set(err, ERR_BAD_REQUEST, "HTTP/1.0 has no transfer-encoding");
	if (minor_version > 0 && counts[HOST] == 0)
		return err_set(err, ERR_BAD_REQUEST, "the host header is missing");
	return 0;
}

int framing_check(struct span head, int minor_version, struct err *err)
{
	unsigned counts[N_HEADERS] = { 0 };
	struct span line = { "", 0 };

	/* The parser skips an empty line before the request line (RFC 9112 section 2.2). */
	while (line.n == 0) {
		if (next_line(&head, &line) < 0)
			return err_set(err, ERR_BAD_REQUEST, "a line must end with CRLF");
	}
	for (;;) {
		if (next_line(&head, &line) < 0)
			return err_set(err, ERR_BAD_REQUEST, "a line must end with CRLF");
		if (line.n == 0)
			return check_counts(counts, minor_version, err);
		if (line.p[0] == ' ' || line.p[0] == '\t')
			return err_set(err, ERR_BAD_REQUEST, "a header must not be folded");
		count_header(line, counts);
	}
}
