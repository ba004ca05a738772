/* SPDX-License-Identifier: Apache-2.0 */
#include "base/trace_context.h"

#include <string.h>

#include "base/crypto.h"

/* Of version 00, and of what later ones begin with: version-traceid-spanid-flags. */
#define AT_TRACE_ID 3
#define AT_SPAN_ID  36
#define AT_FLAGS    53
#define FIELDS_END  55

#define MAX_KEY_BYTES	 256
#define MAX_TENANT_BYTES 241 /* of tenant@system */
#define MAX_SYSTEM_BYTES 14
#define MAX_VALUE_BYTES	 256
#define LONG_MEMBER	 128 /* goes first when there is no room */

/* --- traceparent ----------------------------------------------------------------------------- */

static bool is_lower_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_laid_out(struct span text)
{
	if (text.n < FIELDS_END)
		return false;
	for (size_t i = 0; i < FIELDS_END; i++) {
		bool dash = i == AT_TRACE_ID - 1 || i == AT_SPAN_ID - 1 || i == AT_FLAGS - 1;

		if (dash ? text.p[i] != '-' : !is_lower_hex(text.p[i]))
			return false;
	}
	return true;
}

/* Version 00 ends there; a later one may go on behind a dash. ff is forbidden. */
static bool version_fits(struct span text)
{
	if (memcmp(text.p, "ff", 2) == 0)
		return false;
	if (text.n == FIELDS_END)
		return true;
	return memcmp(text.p, "00", 2) != 0 && text.p[FIELDS_END] == '-';
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n == 0;
}

bool traceparent_parse(struct span text, struct trace_context *out)
{
	struct trace_context read;

	if (text.p == NULL || !is_laid_out(text) || !version_fits(text) ||
	    hex_decode((struct span){ text.p + AT_TRACE_ID, (size_t)2 * TRACE_ID_BYTES },
		       read.trace_id, TRACE_ID_BYTES) < 0 ||
	    hex_decode((struct span){ text.p + AT_SPAN_ID, (size_t)2 * SPAN_ID_BYTES },
		       read.span_id, SPAN_ID_BYTES) < 0 ||
	    hex_decode((struct span){ text.p + AT_FLAGS, 2 }, &read.flags, 1) < 0 ||
	    all_zero(read.trace_id, TRACE_ID_BYTES) || all_zero(read.span_id, SPAN_ID_BYTES))
		return false;
	read.flags &= TRACE_SAMPLED | TRACE_RANDOM;
	*out = read;
	return true;
}

void traceparent_write(const struct trace_context *context, char out[TRACEPARENT_BYTES])
{
	out[0] = out[1] = '0';
	out[AT_TRACE_ID - 1] = '-';
	hex_encode(context->trace_id, TRACE_ID_BYTES, out + AT_TRACE_ID);
	out[AT_SPAN_ID - 1] = '-';
	hex_encode(context->span_id, SPAN_ID_BYTES, out + AT_SPAN_ID);
	out[AT_FLAGS - 1] = '-';
	hex_encode(&context->flags, 1, out + AT_FLAGS);
}

/* --- lists ----------------------------------------------------------------------------------- */

static struct span trimmed(struct span text)
{
	while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
		text = (struct span){ text.p + 1, text.n - 1 };
	while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
		text.n--;
	return text;
}

/* The part up to a separator, trimmed; text becomes what follows it, absent at the end. */
static struct span next_part(struct span *text, char separator)
{
	const char *end = text->n > 0 ? memchr(text->p, separator, text->n) : NULL;
	struct span part = { text->p, end != NULL ? (size_t)(end - text->p) : text->n };

	if (end != NULL)
		*text = (struct span){ end + 1, text->n - part.n - 1 };
	else
		*text = (struct span){ 0 };
	return trimmed(part);
}

/* --- tracestate ------------------------------------------------------------------------------ */

static bool is_key_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_key_part(struct span part, size_t max_bytes)
{
	if (part.n == 0 || part.n > max_bytes || !is_key_start(part.p[0]))
		return false;
	for (size_t i = 1; i < part.n; i++) {
		if (!is_key_start(part.p[i]) &&
		    (part.p[i] == '\0' || strchr("_-*/", part.p[i]) == NULL))
			return false;
	}
	return true;
}

static bool is_key(struct span key)
{
	const char *at = key.n > 0 ? memchr(key.p, '@', key.n) : NULL;
	size_t before = at != NULL ? (size_t)(at - key.p) : 0;

	if (at == NULL)
		return is_key_part(key, MAX_KEY_BYTES);
	return is_key_part((struct span){ key.p, before }, MAX_TENANT_BYTES) &&
	       is_key_part((struct span){ at + 1, key.n - before - 1 }, MAX_SYSTEM_BYTES);
}

static bool is_value(struct span value)
{
	if (value.n == 0 || value.n > MAX_VALUE_BYTES)
		return false;
	for (size_t i = 0; i < value.n; i++) {
		if (value.p[i] < ' ' || value.p[i] > '~' || value.p[i] == '=')
			return false;
	}
	return true;
}

/* No trimming around the "=": a space there belongs to neither side. */
static bool is_state_member(struct span member, struct span *key)
{
	const char *equals = memchr(member.p, '=', member.n);

	if (equals == NULL)
		return false;
	*key = (struct span){ member.p, (size_t)(equals - member.p) };
	return is_key(*key) && is_value((struct span){ equals + 1, member.n - key->n - 1 });
}

struct state {
	struct span members[TRACESTATE_MAX_MEMBERS];
	struct span keys[TRACESTATE_MAX_MEMBERS];
	size_t n;
};

static bool has_key(const struct state *state, struct span key)
{
	for (size_t i = 0; i < state->n; i++) {
		if (span_eq(state->keys[i], key))
			return true;
	}
	return false;
}

static bool state_parse(struct span text, struct state *out)
{
	out->n = 0;
	while (text.p != NULL) {
		struct span member = next_part(&text, ',');
		struct span key;

		if (member.n == 0)
			continue;
		if (out->n == TRACESTATE_MAX_MEMBERS || !is_state_member(member, &key) ||
		    has_key(out, key))
			return false;
		out->members[out->n] = member;
		out->keys[out->n++] = key;
	}
	return true;
}

static size_t state_bytes(const struct state *state)
{
	size_t n = state->n > 0 ? state->n - 1 : 0; /* the commas */

	for (size_t i = 0; i < state->n; i++)
		n += state->members[i].n;
	return n;
}

static void state_drop(struct state *state, size_t at)
{
	state->n--;
	memmove(state->members + at, state->members + at + 1,
		(state->n - at) * sizeof(state->members[0]));
}

static void state_shorten(struct state *state)
{
	for (size_t i = state->n; i > 0 && state_bytes(state) > TRACESTATE_MAX_BYTES; i--) {
		if (state->members[i - 1].n > LONG_MEMBER)
			state_drop(state, i - 1);
	}
	while (state_bytes(state) > TRACESTATE_MAX_BYTES)
		state->n--;
}

char *tracestate_read(struct span text, struct arena *arena)
{
	struct state state = { .n = 0 };
	char *out;
	size_t at = 0;

	if (text.p == NULL || !state_parse(text, &state))
		return NULL;
	state_shorten(&state);
	if (state.n == 0)
		return NULL;
	out = arena_alloc(arena, state_bytes(&state) + 1);
	for (size_t i = 0; i < state.n; i++) {
		if (i > 0)
			out[at++] = ',';
		memcpy(out + at, state.members[i].p, state.members[i].n);
		at += state.members[i].n;
	}
	return out;
}

/* --- baggage --------------------------------------------------------------------------------- */

static bool is_token(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		bool plain =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!plain && (c == '\0' || strchr("!#$%&'*+-.^_`|~", c) == NULL))
			return false;
	}
	return text.n > 0;
}

/* baggage-octet: printable without space, quote, comma, semicolon and backslash. */
static bool is_baggage_value(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c <= ' ' || c > '~' || strchr("\",;\\", c) != NULL)
			return false;
	}
	return true;
}

static bool is_baggage_pair(struct span pair, bool needs_value)
{
	bool has_value = pair.n > 0 && memchr(pair.p, '=', pair.n) != NULL;
	struct span key = next_part(&pair, '=');

	if (!is_token(key) || (needs_value && !has_value))
		return false;
	return !has_value || is_baggage_value(trimmed(pair));
}

static bool is_baggage_member(struct span member)
{
	struct span pair = next_part(&member, ';');

	if (!is_baggage_pair(pair, true))
		return false;
	while (member.p != NULL) {
		if (!is_baggage_pair(next_part(&member, ';'), false))
			return false;
	}
	return true;
}

char *baggage_read(struct span text, struct arena *arena)
{
	struct span rest;
	size_t n = 0;

	if (text.p == NULL)
		return NULL;
	text = trimmed(text);
	if (text.n == 0 || text.n > BAGGAGE_MAX_BYTES)
		return NULL;
	for (rest = text; rest.p != NULL; n++) {
		if (n == BAGGAGE_MAX_MEMBERS || !is_baggage_member(next_part(&rest, ',')))
			return NULL;
	}
	return arena_dup(arena, text.p, text.n);
}
