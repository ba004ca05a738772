/* SPDX-License-Identifier: Apache-2.0 */

/* Connection strings of libpq, as people may see them. */

#include <string.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/db.h"
#include "base/mem.h"

#define MAX_TEXT_BYTES ((size_t)64 << 10)
#define REDACTED       "[REDACTED]"

/* libpq's own message would quote the string, password and all. */
int db_conninfo_check(const char *conninfo, struct err *err)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	int ret = 0;

	if (options == NULL)
		return err_set(err, ERR_BAD_REQUEST, "the connection string cannot be parsed");
	/* A service may bring a host name that we would not see. */
	for (const PQconninfoOption *at = options; at->keyword != NULL; at++) {
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
