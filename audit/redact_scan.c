/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/redact_scan.h"

#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "base/text.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Runs of so many characters and more may be noise. */
#define MIN_RUN 20
/* So far before a colon its name is looked for: two words. */
#define MAX_NAME_BEFORE 64
/* So long a user and a password with unescaped slashes may be. */
#define MAX_USERINFO 1024

/* Parts of names that speak of a secret. */
static const char *const secret_parts[] = {
	"token",  "secret",	"password",   "passwd",	   "passphrase",    "cookie",
	"apikey", "credential", "privatekey", "accesskey", "authorization",
};
/* And whole ones. */
static const char *const secret_names[] = { "pwd", "jwt", "bearer", "passcode", "sessionid" };
/* What stands behind these in a text goes on over spaces. */
static const char *const line_parts[] = { "authorization", "cookie" };

/* --- names --- */

/* Lower case without separators; false if it does not fit. */
static bool normalize(struct span name, char plain[REDACT_NAME_BYTES + 1], size_t *n)
{
	*n = 0;
	if (name.n > REDACT_NAME_BYTES)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] != '\0' && strchr("_-. ", name.p[i]) == NULL)
			plain[(*n)++] = (char)tolower((unsigned char)name.p[i]);
	}
	plain[*n] = '\0';
	return true;
}

static bool has_part(const char *plain, const char *const *parts, size_t n_parts)
{
	for (size_t i = 0; i < n_parts; i++) {
		if (strstr(plain, parts[i]) != NULL)
			return true;
	}
	return false;
}

static bool is_one_of(const struct redact_rules *rules, const char *plain)
{
	for (size_t i = 0; i < N_OF(secret_names); i++) {
		if (strcmp(plain, secret_names[i]) == 0)
			return true;
	}
	for (size_t i = 0; i < rules->n_names; i++) {
		if (glob_match(rules->names[i], plain))
			return true;
	}
	return false;
}

enum name_kind name_kind(const struct redact_rules *rules, struct span name)
{
	char plain[REDACT_NAME_BYTES + 1];
	size_t n;

	if (!normalize(name, plain, &n))
		return NAME_SECRET;
	if (has_part(plain, line_parts, N_OF(line_parts)))
		return NAME_SECRET_LINE;
	if (has_part(plain, secret_parts, N_OF(secret_parts)) || is_one_of(rules, plain))
		return NAME_SECRET;
	return NAME_PLAIN;
}

const char *redact_name(struct arena *arena, const char *name)
{
	char plain[REDACT_NAME_BYTES + 1];
	size_t n;

	return normalize(span_of(name), plain, &n) ? arena_strdup(arena, plain) : "";
}

/* --- what stands behind a name --- */

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* The two words before text.p[at], which may be in quotes. */
static struct span name_before(struct span text, size_t at)
{
	size_t end = at;
	size_t from;
	int spaces = 0;

	while (end > 0 && at - end < MAX_NAME_BEFORE && strchr(" \"'\\", text.p[end - 1]) != NULL &&
	       text.p[end - 1] != '\0')
		end--;
	from = end;
	while (from > 0 && end - from < MAX_NAME_BEFORE) {
		if (text.p[from - 1] == ' ' && ++spaces > 1)
			break;
		if (text.p[from - 1] != ' ' && !is_name_char(text.p[from - 1]))
			break;
		from--;
	}
	return (struct span){ text.p + from, end - from };
}

static size_t until(struct span text, size_t at, const char *stops)
{
	while (at < text.n && (text.p[at] == '\0' || strchr(stops, text.p[at]) == NULL))
		at++;
	return at;
}

/* A list or an object: to where it is closed, whatever stands in its strings, or to the end. */
static size_t until_closed(struct span text, size_t at)
{
	size_t depth = 0;

	for (; at < text.n; at++) {
		if (text.p[at] == '{' || text.p[at] == '[')
			depth++;
		else if ((text.p[at] == '}' || text.p[at] == ']') && --depth == 0)
			return at + 1;
	}
	return at;
}

/* Within quotes, which are escaped themselves in JSON that stands in a string of JSON. */
static size_t until_quote(struct span text, size_t at, char quote, bool escaped)
{
	while (at < text.n) {
		if (text.p[at] == quote && !escaped)
			return at;
		if (text.p[at] != '\\') {
			at++;
			continue;
		}
		if (escaped && at + 1 < text.n && text.p[at + 1] == quote)
			return at;
		at += 2;
	}
	return text.n;
}

/* Behind the = or : at `at`. */
static size_t value_after(struct span text, size_t at, enum name_kind kind, size_t *from)
{
	bool assigned = text.p[at] == '=';
	bool escaped;

	at++;
	while (at < text.n && (text.p[at] == ' ' || text.p[at] == '\t'))
		at++;
	escaped = at < text.n && text.p[at] == '\\';
	at += escaped;
	*from = at;
	if (at == text.n)
		return at;
	if (text.p[at] == '"' || text.p[at] == '\'') {
		*from = at + 1;
		return until_quote(text, at + 1, text.p[at], escaped);
	}
	if (text.p[at] == '{' || text.p[at] == '[')
		return until_closed(text, at);
	if (kind == NAME_SECRET_LINE && !assigned)
		return until(text, at, "\r\n\"'");
	return until(text, at, " \t\r\n\"'&;,<>)]}");
}

static bool value_at(const struct redact_rules *rules, struct span text, size_t at,
		     struct secret_place *out)
{
	struct span name = name_before(text, at);
	enum name_kind kind;
	size_t end;

	if (name.n == 0)
		return false;
	kind = name_kind(rules, name);
	if (kind == NAME_PLAIN)
		return false;
	end = value_after(text, at, kind, &out->at);
	out->n = end - out->at;
	return out->n > 0;
}

/* --- user:password@ in a URL --- */

static size_t shorter(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool is_port(struct span text, size_t from, size_t end)
{
	for (; from < end; from++) {
		if (!isdigit((unsigned char)text.p[from]))
			return false;
	}
	return true;
}

/* Where the last @ before end stands; from: there is none. */
static size_t last_at_sign(struct span text, size_t from, size_t end)
{
	while (end > from && text.p[end - 1] != '@')
		end--;
	return end > from ? end - 1 : from;
}

/* text.p[at] is the colon of "://". What stands before the @, with the colon in it: a password that
 * holds / ? or # unescaped is taken too, a port and an @ in the path are not. Where a text has been
 * cut the @ may be missing. */
static bool userinfo_at(struct span text, size_t at, struct secret_place *out)
{
	size_t from = at + 3;
	size_t end, colon, last;
	struct span near;

	if (from > text.n || text.p[at + 1] != '/' || text.p[at + 2] != '/')
		return false;
	near = (struct span){ text.p, shorter(text.n, from + MAX_USERINFO) };
	end = until(near, from, "/?# \t\r\n\"'<>");
	colon = until(near, from, ":@/?# \t\r\n\"'<>");
	if (colon == near.n || text.p[colon] != ':')
		return false;
	last = last_at_sign(text, from, end);
	if (last == from && text.p[from] != '[' && !is_port(text, colon + 1, end)) {
		size_t word = until(near, from, " \t\r\n\"'<>");

		last = last_at_sign(text, from, word);
		if (last == from && word == text.n)
			last = text.n;
	}
	if (last <= colon + 1)
		return false;
	*out = (struct secret_place){ from, last - from };
	return true;
}

/* --- noise --- */

static bool is_run_char(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '_' || c == '-';
}

/* Readable text in base64 is what it says. */
static bool is_secret_run(const struct redact_rules *rules, struct span run)
{
	char plain[NOISE_PLAIN_BYTES];
	struct scan scan = {
		.rules = rules, .text = {plain, 0}
	};
	struct secret_place ignored;
	size_t n;

	if (run.n < MIN_RUN || !is_noise(run))
		return false;
	n = decode_text(run, plain);
	scan.text.n = n;
	return n == 0 || scan_next(&scan, &ignored);
}

/* The first of the parts between slashes that is noise. */
static bool part_of(const struct redact_rules *rules, struct span text, size_t from, size_t end,
		    struct secret_place *out)
{
	while (from < end) {
		size_t next = until((struct span){ text.p, end }, from, "/");

		*out = (struct secret_place){ from, next - from };
		if (is_secret_run(rules, (struct span){ text.p + from, next - from }))
			return true;
		from = next + 1;
	}
	return false;
}

/* Base64 has slashes too, but a path begins with one: of that the part alone is taken. */
static bool noise_in(const struct redact_rules *rules, struct span text, size_t from, size_t end,
		     struct secret_place *out)
{
	struct span run = { text.p + from, end - from };

	if (run.n < MIN_RUN)
		return false;
	if (run.p[0] == '/' && part_of(rules, text, from, end, out))
		return true;
	*out = (struct secret_place){ from, run.n };
	return is_secret_run(rules, run) || part_of(rules, text, from, end, out);
}

/* From the start of a run, or from where it goes on behind a secret: to its end, or to a token of a
 * known kind in it. */
static size_t run_end(struct span text, size_t at)
{
	while (at < text.n && is_run_char(text.p[at]) && token_at(text, at) == 0)
		at++;
	return at;
}

static bool named_at(const struct redact_rules *rules, struct span text, size_t at,
		     struct secret_place *out)
{
	if (text.p[at] == ':' && userinfo_at(text, at, out))
		return true;
	return (text.p[at] == '=' || text.p[at] == ':') && value_at(rules, text, at, out);
}

/* The run that begins at `at`, or goes on there behind a secret, and is no longer than it was. */
static bool run_at(struct scan *scan, size_t at, struct secret_place *out)
{
	const struct span text = scan->text;

	if (scan->run_end <= at)
		scan->run_end = run_end(text, at);
	if (!noise_in(scan->rules, text, at, scan->run_end, out))
		return false;
	while (out->at + out->n < text.n && text.p[out->at + out->n] == '=')
		out->n++;
	return true;
}

static bool secret_at(struct scan *scan, size_t at, bool run_begins, struct secret_place *out)
{
	size_t n = token_at(scan->text, at);

	if (n > 0) {
		*out = (struct secret_place){ at, n };
		return true;
	}
	return named_at(scan->rules, scan->text, at, out) ||
	       (run_begins && is_run_char(scan->text.p[at]) && run_at(scan, at, out));
}

bool scan_next(struct scan *scan, struct secret_place *out)
{
	size_t first = scan->from;

	for (size_t at = first; at < scan->text.n; at++) {
		if (secret_at(scan, at, at == first || at >= scan->run_end, out)) {
			scan->from = out->at + out->n;
			return true;
		}
	}
	scan->from = scan->text.n;
	return false;
}
