/* SPDX-License-Identifier: Apache-2.0 */
#include "base/http_message.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

#define MAX_METHOD_BYTES 32

/* Framing and the life of the connection are ours: a header that says otherwise would let one
 * request pass for two. */
static const char *const reserved_headers[] = {
	"connection",
	"content-length",
	"expect",
	"host",
	"keep-alive",
	"te",
	"trailer",
	"upgrade",
	"transfer-encoding",
	"proxy-connection",
};

static bool is_reserved(const char *name)
{
	for (size_t i = 0; i < sizeof(reserved_headers) / sizeof(reserved_headers[0]); i++) {
		if (text_equal_nocase(name, reserved_headers[i]))
			return true;
	}
	return false;
}

static bool is_control(char c)
{
	return ((unsigned char)c < 0x20 && c != '\t') || c == 0x7f;
}

static bool has_control(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (is_control(p[i]))
			return true;
	}
	return false;
}

static int check_headers(const struct http_params *params, struct err *err)
{
	size_t bytes = 0;

	if (params->n_headers > HTTP_MAX_HEADERS)
		return err_set(err, ERR_BAD_REQUEST, "more than %d headers", HTTP_MAX_HEADERS);
	for (size_t i = 0; i < params->n_headers; i++) {
		const struct http_header *header = &params->headers[i];

		if (!text_is_token(header->name))
			return err_set(err, ERR_BAD_REQUEST, "header %zu has no valid name", i);
		if (is_reserved(header->name))
			return err_set(err, ERR_BAD_REQUEST, "header %s must not be set",
				       header->name);
		if (has_control(header->value, strlen(header->value)))
			return err_set(err, ERR_BAD_REQUEST,
				       "the value of header %s has a control byte", header->name);
		bytes += strlen(header->name) + strlen(header->value) + strlen(": \r\n");
	}
	if (bytes > HTTP_MAX_HEADER_BYTES)
		return err_set(err, ERR_BAD_REQUEST, "more than %d bytes of headers",
			       HTTP_MAX_HEADER_BYTES);
	return 0;
}

int http_params_check(const struct http_params *params, struct err *err)
{
	if (!text_is_token(params->method) || strlen(params->method) > MAX_METHOD_BYTES)
		return err_set(err, ERR_BAD_REQUEST, "no valid method");
	if (params->body.p != NULL && text_equal_nocase(params->method, "HEAD"))
		return err_set(err, ERR_BAD_REQUEST, "HEAD takes no body");
	if (params->connect_timeout_ms < 0 || params->first_byte_timeout_ms < 0 ||
	    params->idle_timeout_ms < 0 || params->total_timeout_ms < 0)
		return err_set(err, ERR_BAD_REQUEST, "a timeout is negative");
	return check_headers(params, err);
}

void http_lines_init(struct http_lines *lines)
{
	*lines = (struct http_lines){ 0 };
	/* A line "a:" takes two NULs, its end included takes four bytes of the ceiling. */
	buf_init(&lines->text, HTTP_MAX_HEADER_BYTES);
}

void http_lines_fini(struct http_lines *lines)
{
	buf_fini(&lines->text);
	free(lines->headers);
	lines->headers = NULL;
}

void http_lines_clear(struct http_lines *lines)
{
	buf_clear(&lines->text);
	lines->n_lines = 0;
}

int http_lines_count(struct http_lines *lines, size_t n, struct err *err)
{
	lines->bytes += n + strlen("\r\n");
	if (lines->bytes > HTTP_MAX_HEADER_BYTES)
		return err_set(err, ERR_TOO_LARGE, "the answer has more than %d bytes of headers",
			       HTTP_MAX_HEADER_BYTES);
	return 0;
}

static void add_lower(struct buf *text, const char *name, size_t n)
{
	size_t start = text->len;

	buf_append(text, name, n);
	for (size_t i = start; i < text->len; i++) {
		if (text->data[i] >= 'A' && text->data[i] <= 'Z')
			text->data[i] = (char)(text->data[i] + ('a' - 'A'));
	}
	buf_append(text, "", 1);
}

/* RFC 9112 5: no white space before the colon, and 5.2: a folded line makes a bad answer. */
static int add_header(struct http_lines *lines, const char *line, size_t n, struct err *err)
{
	const char *colon = memchr(line, ':', n);
	size_t name_bytes = colon != NULL ? (size_t)(colon - line) : 0;
	size_t start = lines->text.len;
	const char *value;
	const char *end = line + n;

	if (colon == NULL || has_control(line, n))
		return err_set(err, ERR_UPSTREAM, "the answer has a malformed header line");
	add_lower(&lines->text, line, name_bytes);
	for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
		;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	buf_append(&lines->text, value, (size_t)(end - value));
	buf_append(&lines->text, "", 1);
	assert(!lines->text.overflow);
	if (!text_is_token(lines->text.data + start))
		return err_set(err, ERR_UPSTREAM, "the answer has a malformed header name");
	return 0;
}

int http_lines_add(struct http_lines *lines, const char *line, size_t n, struct err *err)
{
	if (http_lines_count(lines, n, err) < 0)
		return -1;
	lines->n_lines++;
	if (lines->n_lines == 1)
		return 0;
	if (lines->n_lines > HTTP_MAX_HEADERS + 1)
		return err_set(err, ERR_TOO_LARGE, "the answer has more than %d headers",
			       HTTP_MAX_HEADERS);
	return add_header(lines, line, n, err);
}

struct http_head http_lines_head(struct http_lines *lines, int status)
{
	size_t n = lines->n_lines > 0 ? lines->n_lines - 1 : 0;
	const char *at = buf_str(&lines->text);

	free(lines->headers);
	lines->headers = mem_new_array(n > 0 ? n : 1, sizeof(lines->headers[0]));
	for (size_t i = 0; i < n; i++) {
		lines->headers[i].name = at;
		at += strlen(at) + 1;
		lines->headers[i].value = at;
		at += strlen(at) + 1;
	}
	return (struct http_head){ .status = status, .headers = lines->headers, .n_headers = n };
}

const char *http_head_find(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		if (text_equal_nocase(head->headers[i].name, name))
			return head->headers[i].value;
	}
	return NULL;
}
