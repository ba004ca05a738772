/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api_audit_query.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "audit/book.h"
#include "gateway/http/query.h"

#define MAX_PAIRS_BYTES 8192
#define TRACE_ID_DIGITS 32
#define MAX_AT_US	INT64_C(4102444800000000) /* the year 2100 */
#define US_PER_MS	1000

const char *const audit_groups[] = { "tool",   "user",	 "connection", "persona", "outcome",
				     "client", "method", "api_key",    "tenant",  NULL };
static const char *const orders[] = { "desc", "asc", NULL };
static const char *const buckets[] = { "auto", "minute", "hour", "day", NULL };
static const char *const formats[] = { "jsonl", "csv", NULL };

/* What is being read. */
struct reading {
	const struct audit_query_params *params;
	struct audit_query *out;
	bool has_from, has_to;
	const char *from, *to;
};

struct parameter;
typedef int read_value(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err);
struct parameter {
	const char *name;
	unsigned takes; /* one of AUDIT_TAKES_… that has to be there; 0: every route has it */
	read_value *read;
	enum audit_filter filter;
};

static void keep(struct reading *reading, enum audit_filter filter, const char *text)
{
	reading->out->filters[filter] = span_of(arena_strdup(reading->params->arena, text));
}

/* Which of the words it is; -1, having said which there are. */
static int find_word(const char *name, const char *const *words, const char *value, struct err *err)
{
	char list[128] = "";
	size_t n = 0;

	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], value) == 0)
			return i;
		n += (size_t)snprintf(list + n, sizeof(list) - n, "%s%s", i > 0 ? ", " : "",
				      words[i]);
	}
	return err_set(err, ERR_BAD_REQUEST, "%s is one of: %s", name, list);
}

static int read_text(struct reading *reading, const struct parameter *parameter, const char *value,
		     struct err *err)
{
	(void)err;
	keep(reading, parameter->filter, value);
	return 0;
}

static int read_bool(struct reading *reading, const struct parameter *parameter, const char *value,
		     struct err *err)
{
	static const char *const words[] = { "false", "true", NULL };

	if (find_word(parameter->name, words, value, err) < 0)
		return -1;
	keep(reading, parameter->filter, value);
	return 0;
}

static bool is_outcome(struct span word)
{
	for (int i = BOOK_OK; i <= BOOK_UNKNOWN; i++) {
		if (span_is(word, book_outcome_name((enum book_outcome)i)))
			return true;
	}
	return false;
}

/* "ok,denied", which becomes {ok,denied}: none of the words needs quotes. */
static int read_outcomes(struct reading *reading, const struct parameter *parameter,
			 const char *value, struct err *err)
{
	for (const char *at = value;; at++) {
		size_t n = strcspn(at, ",");

		if (!is_outcome((struct span){ at, n }))
			return err_set(err, ERR_BAD_REQUEST,
				       "%s is a list of outcomes such as ok,tool_error; there is "
				       "none called \"%.*s\"",
				       parameter->name, (int)(n < 32 ? n : 32), at);
		at += n;
		if (*at == '\0')
			break;
	}
	keep(reading, parameter->filter, arena_printf(reading->params->arena, "{%s}", value));
	return 0;
}

static bool is_address(const char *text)
{
	unsigned char bytes[16];

	return inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1;
}

static int read_address(struct reading *reading, const struct parameter *parameter,
			const char *value, struct err *err)
{
	const char *slash = strchr(value, '/');
	char address[INET6_ADDRSTRLEN] = "";
	size_t n = slash != NULL ? (size_t)(slash - value) : strlen(value);
	uint64_t bits = 0;

	if (n < sizeof(address))
		snprintf(address, sizeof(address), "%.*s", (int)n, value);
	if (!is_address(address) ||
	    (slash != NULL &&
	     text_uint(slash + 1, 0, strchr(address, ':') != NULL ? 128 : 32, &bits, err) < 0))
		return err_set(err, ERR_BAD_REQUEST,
			       "%s is an address or a network such as 10.0.0.0/8", parameter->name);
	keep(reading, parameter->filter, value);
	return 0;
}

static int read_trace(struct reading *reading, const struct parameter *parameter, const char *value,
		      struct err *err)
{
	if (strlen(value) != TRACE_ID_DIGITS ||
	    strspn(value, "0123456789abcdef") != TRACE_ID_DIGITS)
		return err_set(err, ERR_BAD_REQUEST, "%s is 32 lower-case hex digits",
			       parameter->name);
	keep(reading, parameter->filter, value);
	return 0;
}

static int read_duration(struct reading *reading, const struct parameter *parameter,
			 const char *value, struct err *err)
{
	int64_t ms;

	if (text_duration_ms(value, &ms, err) < 0)
		return err_prefix(err, "%s", parameter->name);
	keep(reading, parameter->filter,
	     arena_printf(reading->params->arena, "%lld", (long long)ms));
	return 0;
}

/* Somewhere in it, whatever the case; nothing that is written has a meaning to LIKE. */
static int read_search(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err)
{
	char *pattern = arena_alloc(reading->params->arena, 2 * strlen(value) + 3);
	char *to = pattern;

	if (strlen(value) > AUDIT_MAX_SEARCH)
		return err_set(err, ERR_BAD_REQUEST, "%s has at most %d bytes", parameter->name,
			       AUDIT_MAX_SEARCH);
	*to++ = '%';
	for (; *value != '\0'; value++) {
		if (strchr("\\%_", *value) != NULL)
			*to++ = '\\';
		*to++ = *value;
	}
	*to++ = '%';
	keep(reading, parameter->filter, pattern);
	return 0;
}

static int read_tenant(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err)
{
	(void)parameter;
	(void)err;
	reading->out->tenant = arena_strdup(reading->params->arena, value);
	return 0;
}

int audit_read_time(int64_t now_us, const char *name, const char *value, int64_t *out,
		    struct err *err)
{
	int64_t ms;

	if (strcmp(value, "now") == 0)
		ms = 0;
	else if (text_parse_time(value, out, err) == 0 && *out >= 0 && *out <= MAX_AT_US)
		return 0;
	else if (text_duration_ms(value, &ms, err) < 0 || ms > now_us / US_PER_MS)
		return err_set(err, ERR_BAD_REQUEST,
			       "%s is a time such as 2026-11-20T12:31:00Z, how long ago such as "
			       "15m or 7d, or now",
			       name);
	*out = now_us - ms * US_PER_MS;
	return 0;
}

static int read_from(struct reading *reading, const struct parameter *parameter, const char *value,
		     struct err *err)
{
	reading->has_from = true;
	return audit_read_time(reading->params->now_us, parameter->name, value,
			       &reading->out->from_us, err);
}

static int read_to(struct reading *reading, const struct parameter *parameter, const char *value,
		   struct err *err)
{
	reading->has_to = true;
	return audit_read_time(reading->params->now_us, parameter->name, value,
			       &reading->out->to_us, err);
}

static int read_limit(struct reading *reading, const struct parameter *parameter, const char *value,
		      struct err *err)
{
	bool groups = (reading->params->takes & AUDIT_TAKES_GROUPS) != 0;
	int max = groups ? AUDIT_MAX_GROUPS : AUDIT_MAX_PAGE;
	uint64_t limit;

	if (text_uint(value, 1, (uint64_t)max, &limit, err) < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is a number from 1 to %d", parameter->name,
			       max);
	reading->out->limit = (size_t)limit;
	return 0;
}

static int read_cursor(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err)
{
	(void)parameter;
	(void)err;
	reading->out->cursor = arena_strdup(reading->params->arena, value);
	return 0;
}

static int read_order(struct reading *reading, const struct parameter *parameter, const char *value,
		      struct err *err)
{
	int word = find_word(parameter->name, orders, value, err);

	reading->out->ascending = word == 1;
	return word < 0 ? -1 : 0;
}

static int read_bucket(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err)
{
	int word = find_word(parameter->name, buckets, value, err);

	if (word < 0)
		return -1;
	reading->out->bucket = (enum audit_bucket)word;
	return 0;
}

static int read_by(struct reading *reading, const struct parameter *parameter, const char *value,
		   struct err *err)
{
	int word = find_word(parameter->name, audit_groups, value, err);

	if (word < 0)
		return -1;
	reading->out->by = audit_groups[word];
	return 0;
}

static int read_format(struct reading *reading, const struct parameter *parameter,
		       const char *value, struct err *err)
{
	int word = find_word(parameter->name, formats, value, err);

	if (word < 0)
		return -1;
	reading->out->format = (enum audit_format)word;
	return 0;
}

#define PAGE_OR_GROUPS (AUDIT_TAKES_PAGE | AUDIT_TAKES_GROUPS)

static const struct parameter parameters[] = {
	{"user",	  0,		     read_text,	AUDIT_USER	   },
	{ "tool",	  0,		     read_text,	AUDIT_TOOL	   },
	{ "connection",	0,		   read_text,     AUDIT_CONNECTION  },
	{ "method",	    0,		       read_text,	  AUDIT_METHOD      },
	{ "outcome",	     0,			read_outcomes, AUDIT_OUTCOME     },
	{ "error",	   0,		      read_bool,	 AUDIT_ERROR	     },
	{ "session",	     0,			read_text,	   AUDIT_SESSION	 },
	{ "client",	    0,		       read_text,	  AUDIT_CLIENT      },
	{ "persona",	     0,			read_text,	   AUDIT_PERSONA	 },
	{ "api_key",	     0,			read_text,	   AUDIT_API_KEY	 },
	{ "source_ip",    0,		  read_address,	AUDIT_SOURCE_IP	},
	{ "trace_id",     0,			 read_trace,    AUDIT_TRACE_ID    },
	{ "min_duration", 0,		     read_duration, AUDIT_MIN_DURATION},
	{ "search",	    0,		       read_search,   AUDIT_SEARCH	 },
	{ "tenant",	    0,		       read_tenant,   0		      },
	{ "from",	  AUDIT_TAKES_TIME,   read_from,     0		 },
	{ "to",		AUDIT_TAKES_TIME,	  read_to,	   0		     },
	{ "limit",	   PAGE_OR_GROUPS,	   read_limit,    0		 },
	{ "order",	   AUDIT_TAKES_PAGE,   read_order,	 0		   },
	{ "cursor",	    AUDIT_TAKES_CURSOR, read_cursor,   0		       },
	{ "bucket",	    AUDIT_TAKES_BUCKET, read_bucket,   0		       },
	{ "by",		AUDIT_TAKES_GROUPS, read_by,	     0		       },
	{ "format",	    AUDIT_TAKES_FORMAT, read_format,   0		       },
};
#define N_PARAMETERS (sizeof(parameters) / sizeof(parameters[0]))

static size_t find_parameter(const char *name, unsigned takes)
{
	size_t at = 0;

	while (at < N_PARAMETERS && strcmp(parameters[at].name, name) != 0)
		at++;
	if (at < N_PARAMETERS && parameters[at].takes != 0 && (parameters[at].takes & takes) == 0)
		return N_PARAMETERS;
	return at;
}

static int read_pair(struct reading *reading, uint32_t *seen, const char *name, const char *value,
		     struct err *err)
{
	size_t at = find_parameter(name, reading->params->takes);

	if (!text_is_utf8(name, strlen(name)) || !text_is_utf8(value, strlen(value)))
		return err_set(err, ERR_BAD_REQUEST, "the query is no UTF-8");
	if (at == N_PARAMETERS)
		return err_set(err, ERR_BAD_REQUEST, "there is no parameter %.64s here", name);
	if ((*seen & 1u << at) != 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is given twice", name);
	*seen |= 1u << at;
	if (value[0] == '\0')
		return err_set(err, ERR_BAD_REQUEST, "%s has no value", name);
	if (strlen(value) >
	    (parameters[at].read == read_cursor ? AUDIT_MAX_KEY_BYTES : AUDIT_MAX_TEXT))
		return err_set(err, ERR_BAD_REQUEST, "%s is too long", name);
	return parameters[at].read(reading, &parameters[at], value, err);
}

/* What was not said. */
static int complete(struct reading *reading, struct err *err)
{
	struct audit_query *out = reading->out;

	if (!reading->has_to)
		out->to_us = reading->params->now_us;
	if (!reading->has_from)
		out->from_us = out->to_us > AUDIT_DEFAULT_US ? out->to_us - AUDIT_DEFAULT_US : 0;
	if (out->from_us >= out->to_us)
		return err_set(err, ERR_BAD_REQUEST, "from has to be before to");
	if ((reading->params->takes & AUDIT_TAKES_GROUPS) != 0 && out->by == NULL)
		return err_set(err, ERR_BAD_REQUEST, "say by what: by=tool, by=user, …");
	return 0;
}

int audit_query_parse(const struct audit_query_params *params, struct audit_query *out,
		      struct err *err)
{
	struct reading reading = { .params = params, .out = out };
	bool groups = (params->takes & AUDIT_TAKES_GROUPS) != 0;
	struct span query = params->query;
	const char *name, *value;
	enum query_next next;
	uint32_t seen = 0;
	char *room;

	_Static_assert(N_PARAMETERS <= 32, "a set of parameters is 32 bits");
	*out = (struct audit_query){ .limit = groups ? AUDIT_DEFAULT_GROUPS : AUDIT_DEFAULT_PAGE };
	if (query.n > MAX_PAIRS_BYTES)
		return err_set(err, ERR_BAD_REQUEST, "the query is too long");
	room = arena_alloc(params->arena, query.n + 2);
	while ((next = query_next(&query, room, &name, &value)) == QUERY_PAIR) {
		if (read_pair(&reading, &seen, name, value, err) < 0)
			return -1;
	}
	if (next == QUERY_BROKEN)
		return err_set(err, ERR_BAD_REQUEST, "the query holds an escape that is none");
	return complete(&reading, err);
}
