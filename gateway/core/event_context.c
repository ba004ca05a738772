/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/event_context.h"

#include <stddef.h>
#include <string.h>

#include "audit/redact.h"
#include "base/buf.h"
#include "base/utf8.h"

#define MAX_CONTEXT_BYTES 16384
#define MAX_CLEAN_BYTES	  ((size_t)64 * EVENT_MAX_TEXT)
#define COUNT(array)	  (sizeof(array) / sizeof((array)[0]))

struct member {
	const char *name;
	size_t at;
};
#define MEMBER(name)                                                                               \
	{                                                                                          \
#name, offsetof(struct event_context, name)                                        \
	}

static const struct member members[] = {
	MEMBER(event_id), MEMBER(action),  MEMBER(actor),	    MEMBER(role),
	MEMBER(user_id),  MEMBER(api_key), MEMBER(actor_tenant_id), MEMBER(actor_tenant),
	MEMBER(via),	  MEMBER(client),  MEMBER(source_ip),	    MEMBER(node_id),
	MEMBER(signin),
};

const char *event_text(struct arena *arena, const char *text)
{
	size_t n;
	char *copy;

	if (text == NULL)
		return NULL;
	n = strnlen(text, EVENT_MAX_TEXT);
	while (n > 0 && text[n] != '\0' && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--; /* not inside a character */
	copy = arena_dup(arena, text, n);
	for (size_t i = 0; i < n;) {
		size_t used = utf8_sequence((const unsigned char *)copy + i, n - i);

		if (used == 0)
			copy[i] = '?';
		i += used > 0 ? used : 1;
	}
	return copy;
}

const char *event_foreign_text(struct arena *arena, const char *text)
{
	static const struct redact_rules everybody = { 0 };
	struct buf clean;

	if (text == NULL)
		return NULL;
	buf_init(&clean, MAX_CLEAN_BYTES);
	if (redact_text(&everybody, span_of(text), EVENT_MAX_TEXT, &clean))
		text = buf_str(&clean);
	text = event_text(arena, text);
	buf_wipe(&clean);
	return text;
}

static void add_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
	buf_add_json_string(out, text, strlen(text));
}

static void add_secrets(struct buf *out, const char *const *secrets)
{
	buf_printf(out, "%s\"secrets\":[", out->len > 1 ? "," : "");
	for (size_t i = 0; secrets[i] != NULL; i++)
		buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", secrets[i]);
	buf_add(out, "]");
}

const char *event_context_write(const struct event_context *context, struct arena *arena)
{
	struct buf out;
	const char *text;

	buf_init(&out, MAX_CONTEXT_BYTES);
	buf_add(&out, "{");
	for (size_t i = 0; i < COUNT(members); i++) {
		const char *value = *(const char *const *)((const char *)context + members[i].at);

		if (value != NULL)
			add_text(&out, members[i].name, event_text(arena, value));
	}
	if (context->secrets != NULL)
		add_secrets(&out, context->secrets);
	buf_add(&out, "}");
	text = arena_strdup(arena, buf_str(&out));
	buf_fini(&out);
	return text;
}
