/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/error_reply.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "oauth/fetch.h"
#include "oauth/form.h"

#define CODE_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."

/* A shorter secret cannot be told from a word of the codes, which decide what is done. */
#define MIN_SECRET_IN_CODE 8

/* Parameters of ours that are no secret; every other one may be. */
static const char *const public_names[] = {
	"grant_type",
	"scope",
	"resource",
	"audience",
	"redirect_uri",
	"client_id",
	"client_assertion_type",
	"token_type_hint",
};

static bool is_public(struct span name)
{
	for (size_t i = 0; i < sizeof(public_names) / sizeof(public_names[0]); i++) {
		if (span_is(name, public_names[i]))
			return true;
	}
	return false;
}

/* A text, and how long a secret must be to count in it. */
struct search {
	struct span text;
	size_t min_bytes;
};

static bool holds(const struct search *in, const char *p, size_t n)
{
	return n >= in->min_bytes && in->text.n >= n &&
	       memmem(in->text.p, in->text.n, p, n) != NULL;
}

static bool holds_value(const struct search *in, struct span escaped)
{
	struct buf plain;
	bool found;

	buf_init(&plain, FORM_MAX_BYTES);
	form_unescape(&plain, escaped);
	found = holds(in, escaped.p, escaped.n) || holds(in, buf_str(&plain), plain.len);
	buf_wipe(&plain);
	return found;
}

static bool repeats(const struct error_sent *sent, const struct search *in)
{
	static const size_t scheme_bytes = sizeof("Basic ") - 1;
	struct span form = sent->form;
	struct span name;
	struct span value;

	if (sent->secret != NULL && holds(in, sent->secret->reveal, sent->secret->n))
		return true;
	if (sent->authorization.n > scheme_bytes &&
	    holds(in, sent->authorization.p + scheme_bytes, sent->authorization.n - scheme_bytes))
		return true;
	while (form_next(&form, &name, &value)) {
		if (!is_public(name) && holds_value(in, value))
			return true;
	}
	return false;
}

bool error_repeats(const struct error_sent *sent, struct span text)
{
	return repeats(sent, &(struct search){ text, 1 });
}

/* Appends the member's text if it is a string. */
static void read_text(const struct document *document, const char *name, struct buf *out)
{
	if (span_string(span_get(document->object, name), out) < 0)
		buf_clear(out);
}

/* RFC 6749 5.2 allows no more than ASCII here; markup is the page's to escape. */
static void quote(const struct buf *text, char out[ERROR_DESCRIPTION_BYTES])
{
	size_t n = text->len < ERROR_DESCRIPTION_BYTES ? text->len : ERROR_DESCRIPTION_BYTES - 1;

	for (size_t i = 0; i < n; i++) {
		char c = text->data[i];

		out[i] = c;
		if (c < ' ' || c > '~')
			out[i] = c == '\n' || c == '\t' ? ' ' : '?';
	}
	out[n] = '\0';
}

void error_reply_read(const struct document *document, const struct error_sent *sent,
		      struct error_reply *reply)
{
	struct span value = span_get(document->object, "error");
	struct buf text;

	*reply = (struct error_reply){ .present = span_type(value) != SPAN_ABSENT &&
						  span_type(value) != SPAN_NULL };
	buf_init(&text, FETCH_MAX_BODY_BYTES);
	read_text(document, "error", &text);
	if (text.len < sizeof(reply->code) && strspn(buf_str(&text), CODE_CHARACTERS) == text.len &&
	    (sent == NULL ||
	     !repeats(sent, &(struct search){ buf_span(&text), MIN_SECRET_IN_CODE })))
		snprintf(reply->code, sizeof(reply->code), "%s", buf_str(&text));
	buf_clear(&text);
	read_text(document, "error_description", &text);
	if (sent == NULL || !error_repeats(sent, buf_span(&text)))
		quote(&text, reply->description);
	buf_wipe(&text);
}
