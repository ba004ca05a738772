/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/account.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/text.h"
#include "oauth/document.h"

static bool is_printable(const char *text)
{
	for (const char *p = text; *p != '\0'; p++) {
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return false;
	}
	return text_is_utf8(text, strlen(text));
}

/* Names of people are not always ASCII, as all else is that document_text reads. */
static const char *name_of(const struct document *document, const char *member)
{
	struct span value = span_get(document->object, member);
	const char *name = NULL;
	struct buf text;

	buf_init(&text, ACCOUNT_MAX_BYTES);
	if (span_type(value) == SPAN_STRING && span_string(value, &text) == 0 && text.len > 0 &&
	    strlen(buf_str(&text)) == text.len && is_printable(buf_str(&text)))
		name = arena_strdup(document->arena, buf_str(&text));
	buf_fini(&text);
	return name;
}

static const char *account_of(const struct document *document)
{
	static const char *const members[] = { "email", "preferred_username", "sub" };
	const char *name = NULL;

	for (size_t i = 0; name == NULL && i < sizeof(members) / sizeof(members[0]); i++)
		name = name_of(document, members[i]);
	return name;
}

/* RFC 7519 4.1.3: one, or a list. */
static bool is_for(const struct document *document, const char *client_id)
{
	struct span aud = span_get(document->object, "aud");
	struct span_iter iter;
	struct span key;
	struct span item;

	if (span_type(aud) == SPAN_STRING)
		return span_string_is(aud, client_id);
	span_iter_init(&iter, aud);
	while (span_type(aud) == SPAN_ARRAY && span_next(&iter, &key, &item)) {
		if (span_type(item) == SPAN_STRING && span_string_is(item, client_id))
			return true;
	}
	return false;
}

static bool is_by(const struct document *document, const char *issuer)
{
	struct span iss = span_get(document->object, "iss");

	return issuer == NULL || (span_type(iss) == SPAN_STRING && span_string_is(iss, issuer));
}

/* The middle one of three parts, decoded; absent if it is none. room is as long as the token. */
static struct span payload_of(const struct secret *token, char *room)
{
	const struct span none = { 0 };
	const char *start = strchr(token->reveal, '.');
	const char *end = start != NULL ? strchr(start + 1, '.') : NULL;
	long n;

	if (end == NULL || strchr(end + 1, '.') != NULL)
		return none;
	n = base64url_decode((struct span){ start + 1, (size_t)(end - start) - 1 }, room);
	return n < 0 ? none : (struct span){ room, (size_t)n };
}

const char *account_of_id_token(const struct secret *id_token, const char *issuer,
				const char *client_id, struct arena *arena)
{
	const char *account = NULL;
	struct document document;
	struct span payload;
	struct err ignored;
	char *room;

	if (id_token->n == 0 || strlen(id_token->reveal) != id_token->n)
		return NULL;
	room = mem_new(id_token->n + 4);
	payload = payload_of(id_token, room);
	if (payload.p != NULL && document_open(payload, arena, &document, &ignored) == 0 &&
	    is_by(&document, issuer) && is_for(&document, client_id))
		account = account_of(&document);
	mem_wipe(room, id_token->n + 4);
	free(room);
	return account;
}

const char *account_of_userinfo(struct span body, struct arena *arena)
{
	struct document document;
	struct err ignored;

	return document_open(body, arena, &document, &ignored) == 0 ? account_of(&document) : NULL;
}
