/* SPDX-License-Identifier: Apache-2.0 */

/* Connection strings of libpq, as people may see them. */

#include <string.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/db.h"
#include "base/mem.h"
#include "base/utf8.h"

#define MAX_TEXT_BYTES ((size_t)64 << 10)
#define REDACTED       "[REDACTED]"

/* libpq's own message would quote the string, password and all. */
static bool is_utf8(const char *text)
{
	size_t left = strlen(text);

	for (size_t n; left > 0; text += n, left -= n) {
		n = utf8_sequence((const unsigned char *)text, left);
		if (n == 0)
			return false;
	}
	return true;
}

int db_conninfo_check(const char *conninfo, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	int ret = 0;

	if (options == NULL)
		return err_set(err, ERR_BAD_REQUEST, "the connection string cannot be parsed");
	/* A service may bring a host name that we would not see. */
	for (const PQconninfoOption *at = options; at->keyword != NULL; at++) {
		/* A percent sign of a URI may stand for any byte. */
		if (at->val != NULL && !is_utf8(at->val))
			ret = err_set(err, ERR_BAD_REQUEST, "the connection string is no UTF-8");
		if (strcmp(at->keyword, "service") == 0 && at->val != NULL)
			ret = err_set(err, ERR_BAD_REQUEST,
				      "the connection string must not name a service");
	}
	PQconninfoFree(options);
	return ret;
}

/* libpq marks what it would hide in a dialog with "*"; options may set anything. */
static bool is_secret(const PQconninfoOption *option)
{
	return option->dispchar[0] == '*' || strcmp(option->keyword, "options") == 0 ||
	       strstr(option->keyword, "password") != NULL;
}

/* Quoted where libpq's own reader needs it. */
static void add_value(struct buf *out, const char *value)
{
	if (value[0] != '\0' && strpbrk(value, " '\\\t\n") == NULL) {
		buf_add(out, value);
		return;
	}
	buf_add(out, "'");
	for (; *value != '\0'; value++)
		buf_printf(out, "%s%c", *value == '\'' || *value == '\\' ? "\\" : "", *value);
	buf_add(out, "'");
}

char *db_conninfo_split(const char *conninfo, char **password)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	struct buf text;

	*password = NULL;
	if (options == NULL)
		return NULL;
	buf_init(&text, MAX_TEXT_BYTES);
	for (const PQconninfoOption *at = options; at->keyword != NULL; at++) {
		if (at->val == NULL)
			continue;
		if (strcmp(at->keyword, "password") == 0) {
			*password = mem_strdup(at->val);
			continue;
		}
		buf_printf(&text, "%s%s=", text.len > 0 ? " " : "", at->keyword);
		add_value(&text, at->val);
	}
	PQconninfoFree(options);
	return text.len > 0 ? buf_take(&text, NULL) : mem_strdup("");
}

char *db_conninfo_redact(const char *conninfo)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	struct buf text;

	if (options == NULL)
		return mem_strdup(REDACTED);
	buf_init(&text, MAX_TEXT_BYTES);
	for (const PQconninfoOption *at = options; at->keyword != NULL; at++) {
		if (at->val == NULL)
			continue;
		buf_printf(&text, "%s%s=", text.len > 0 ? " " : "", at->keyword);
		add_value(&text, is_secret(at) ? REDACTED : at->val);
	}
	PQconninfoFree(options);
	return buf_take(&text, NULL);
}
