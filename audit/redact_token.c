/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens that say themselves what they are. */

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "audit/redact_scan.h"

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* By so many characters it is decided what a token is, so that no text takes long. */
#define DECIDE_BYTES 512

/* Behind its prefix a token goes on as long as there are letters, digits and characters of `more`;
 * it is one if that are at least min. */
struct token_kind {
	const char *prefix;
	const char *more;
	size_t min;
	/* Not behind a letter or digit, and with a digit or a capital: the prefix is short. */
	bool strict;
};

/* Ours first. Shorter than real ones: what is cut off is a secret too. */
static const struct token_kind kinds[] = {
	{"tgk_",		  "_-",	4,  false}, /* Tollgate */
	{ "sk-",		 "_-",  6,  true }, /* OpenAI, Anthropic and others */
	{ "xai-",		  "_-",	8,  true }, /* xAI */
	{ "gsk_",		  "",    16, true }, /* Groq */
	{ "hf_",		 "",    16, true }, /* Hugging Face */
	{ "ghp_",		  "",    6,	 false}, /* GitHub */
	{ "gho_",		  "",    6,	 false},
	  { "ghu_",	    "",	6,  false},
	{ "ghs_",		  "",    6,	 false},
	  { "ghr_",	    "",	6,  false},
	{ "github_pat_",	 "_",   4,	 false},
	  { "glpat-",	      "_-.", 6,	false}, /* GitLab */
	{ "gldt-",	   "_-.", 6,  false},
	  { "glrt-",	     "_-.", 6,  false},
	{ "AKIA",		  "",    8,	 true }, /* AWS */
	{ "ASIA",		  "",    8,	 true },
	  { "AIza",	    "_-",  16, false}, /* Google */
	{ "ya29.",	   "_-.", 4,  false},
	  { "1//0",	    "_-",  16, true },
	{ "GOCSPX-",	     "_-",  8,  false},
	  { "xox",		   "-",	6,  true }, /* Slack; see is_slack */
	{ "xapp-",	   "-",	8,  false},
	  { "sk_live_",	"_",   4,	false}, /* Stripe */
	{ "rk_live_",	      "_",   4,  false},
	  { "sk_test_",	"_",   4,	false},
	{ "rk_test_",	      "_",   4,  false},
	  { "whsec_",	      "+/=", 8,	false},
	{ "npm_",		  "",    16, false},
	  { "pypi-",	     "_-",  16, true },
	{ "dckr_pat_",       "_-",  8,	false},
	  { "shpat_",	      "",	  8,  false},
	{ "dop_v1_",	     "",	 8,  false},
	  { "SG.",		   "_-.", 16, true },
	{ "hvs.",		  "_-",	16, true }, /* Vault */
	{ "hvb.",		  "_-",	16, true },
	  { "AGE-SECRET-KEY-", "",	   8,  false},
};

static struct span rest(struct span text, size_t at)
{
	return (struct span){ text.p + at, text.n - at };
}

static bool begins(struct span text, const char *prefix)
{
	size_t n = strlen(prefix);

	return text.n >= n && memcmp(text.p, prefix, n) == 0;
}

static bool begins_nocase(struct span text, const char *prefix)
{
	size_t n = strlen(prefix);

	return text.n >= n && strncasecmp(text.p, prefix, n) == 0;
}

static bool is_word(struct span text, size_t at)
{
	return isalnum((unsigned char)text.p[at]);
}

static size_t run_of(struct span text, const char *more)
{
	size_t n = 0;

	while (n < text.n && (isalnum((unsigned char)text.p[n]) ||
			      (text.p[n] != '\0' && strchr(more, text.p[n]) != NULL)))
		n++;
	return n;
}

static bool has_odd(struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (isdigit((unsigned char)text.p[i]) || isupper((unsigned char)text.p[i]))
			return true;
	}
	return false;
}

static bool is_slack(struct span token)
{
	return token.n > 5 && islower((unsigned char)token.p[3]) && token.p[4] == '-';
}

static bool is_kind(const struct token_kind *kind, struct span text, size_t at)
{
	struct span here = rest(text, at);
	struct span tail;

	if (!begins(here, kind->prefix) || (kind->strict && at > 0 && is_word(text, at - 1)) ||
	    (strcmp(kind->prefix, "xox") == 0 && !is_slack(here)))
		return false;
	tail = rest(here, strlen(kind->prefix));
	if (tail.n > DECIDE_BYTES)
		tail.n = DECIDE_BYTES;
	tail.n = run_of(tail, kind->more);
	return tail.n >= kind->min && (!kind->strict || has_odd(tail));
}

static size_t known_at(struct span text, size_t at)
{
	/* Their first characters. */
	if (text.p[at] == '\0' || strchr("tsxghAya1GrwndpS", text.p[at]) == NULL)
		return 0;
	for (size_t i = 0; i < N_OF(kinds); i++) {
		size_t n = strlen(kinds[i].prefix);

		if (kinds[i].prefix[0] == text.p[at] && is_kind(&kinds[i], text, at))
			return n + run_of(rest(text, at + n), kinds[i].more);
	}
	return 0;
}

/* The first part is an object in base64url, and a point follows. */
static size_t jwt_at(struct span text, size_t at)
{
	struct span here = rest(text, at);
	size_t n;

	if (!begins(here, "eyJ"))
		return 0;
	n = run_of((struct span){ here.p, here.n < DECIDE_BYTES ? here.n : DECIDE_BYTES }, "_-");
	return n < here.n && here.p[n] == '.' ? run_of(here, "_-.=") : 0;
}

/* To its end line, or to the end of the text. */
static size_t pem_at(struct span text, size_t at)
{
	static const char begin[] = "-----BEGIN";
	static const char end[] = "-----END";
	struct span here = rest(text, at);
	const char *found;
	size_t n;

	if (!begins(here, begin))
		return 0;
	found = memmem(here.p, here.n, end, strlen(end));
	if (found == NULL)
		return here.n;
	n = (size_t)(found - here.p) + strlen(end);
	while (n < here.n && (is_word(here, n) || here.p[n] == ' '))
		n++;
	while (n < here.n && here.p[n] == '-')
		n++;
	return n;
}

static size_t until_delimiter(struct span text)
{
	size_t n = 0;

	while (n < text.n && (unsigned char)text.p[n] > ' ' &&
	       strchr("\"'<>,;)]}\\", text.p[n]) == NULL)
		n++;
	return n;
}

/* Of `Bearer` and `Basic`: prose has the words too, but then a short plain word follows. */
static size_t scheme_at(struct span text, size_t at)
{
	struct span here = rest(text, at);
	bool bearer = begins_nocase(here, "bearer ");
	struct span value;
	size_t head = strlen("basic ");

	if ((!bearer && !begins_nocase(here, "basic ")) || (at > 0 && is_word(text, at - 1)))
		return 0;
	head += bearer;
	while (head < here.n && here.p[head] == ' ')
		head++;
	value = rest(here, head);
	value.n = until_delimiter(value);
	if (value.n == 0)
		return 0;
	if (value.n >= 16 || (bearer && at == 0 && head + value.n == here.n) ||
	    (value.n >= 6 && has_odd(rest(value, 1))))
		return head + value.n;
	return 0;
}

size_t token_at(struct span text, size_t at)
{
	switch (text.p[at]) {
	case 'e':
		return jwt_at(text, at);
	case '-':
		return pem_at(text, at);
	case 'B':
	case 'b':
		return scheme_at(text, at);
	default:
		return known_at(text, at);
	}
}
