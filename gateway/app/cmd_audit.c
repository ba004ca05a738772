/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate audit list, show and stats: the record through the admin API. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gateway/app/cmd_audit.h"

#define PAGE_ROWS    200
#define DEFAULT_ROWS 50
#define MAX_ROWS     100000 /* of which each stays in memory; export has no end */
#define NAME_WIDTH   18
#define INDENT	     2

/* --- which calls ----------------------------------------------------------------------------- */

const char *audit_path_with(struct cli *cli, const char *path, const char *name, const char *value)
{
	if (value == NULL)
		return path;
	return cli_path(cli,
			arena_printf(cli->arena, "%s%s%s=", path,
				     strchr(path, '?') != NULL ? "&" : "?", name),
			value, "");
}

const char *audit_path(struct cli *cli, const char *path, const struct audit_filters *filters)
{
	const struct cli_member members[] = {
		{"user",	  filters->user					},
		{ "tool",	  filters->tool					},
		{ "connection",	filters->connection				    },
		{ "method",	    filters->method				    },
		{ "outcome",	     filters->outcome				      },
		{ "session",	     filters->session				      },
		{ "client",	    filters->client				    },
		{ "persona",	     filters->persona				      },
		{ "api_key",	     filters->api_key				      },
		{ "source_ip",    filters->source_ip				  },
		{ "trace_id",     filters->trace_id				},
		{ "min_duration", filters->min_duration				},
		{ "search",	    filters->search				    },
		{ "error",	   filters->errors ? "true" : NULL		   },
		{ "tenant",	    filters->all_tenants ? "*"
			    : filters->no_tenant ? "-"
						 : NULL},
		{ "from",	  filters->from					},
		{ "to",		filters->to				     },
	};

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		path = audit_path_with(cli, path, members[i].name, members[i].text);
	return path;
}

const char *audit_cell(struct cli *cli, struct span row, const char *path)
{
	const char *text = cli_cell(cli->arena, row, path);

	return text != NULL ? text : "";
}

const char *audit_who(struct cli *cli, struct span row)
{
	const char *user = cli_cell(cli->arena, row, "user_name");

	return user != NULL ? user : cli_cell(cli->arena, row, "api_key");
}

/* A number of milliseconds as people want it. */
static const char *milliseconds(struct cli *cli, struct span row, const char *path)
{
	const char *text = cli_cell(cli->arena, row, path);

	return text != NULL ? arena_printf(cli->arena, "%.1f", strtod(text, NULL)) : NULL;
}

/* --- list ------------------------------------------------------------------------------------ */

struct list_options {
	struct audit_filters filters; /* first */
	const char *limit;
};
static const struct cli_option list_options[] = {
	AUDIT_FILTER_OPTIONS,
	AUDIT_TIME_OPTIONS,
	{"limit", 'n', CLI_TEXT, offsetof(struct list_options, limit) },
	{ NULL,	0,	   CLI_TEXT,	     0		       },
};

static void print_rows(struct cli *cli, const struct span *items, size_t n)
{
	static const char *const titles[] = { "TIME",	 "WHO", "TOOL",	   "CONNECTION",
					      "OUTCOME", "MS",	"CALL ID", NULL };
	struct cli_table table;

	cli_table_init(&table, cli->arena, titles);
	for (size_t i = 0; i < n; i++) {
		const char *tool = cli_cell(cli->arena, items[i], "tool");
		const char *cells[] = {
			audit_cell(cli, items[i], "started_at"),
			audit_who(cli, items[i]),
			tool != NULL ? tool : cli_cell(cli->arena, items[i], "method"),
			cli_cell(cli->arena, items[i], "connection"),
			cli_cell(cli->arena, items[i], "outcome"),
			milliseconds(cli, items[i], "duration_ms"),
			cli_cell(cli->arena, items[i], "call_id"),
		};

		cli_table_add(&table, cells);
	}
	cli_table_print(&table, stdout, cli_terminal_width(stdout));
}

/* Pages as they come: JSON is one list of them all, a table has its head once for each. */
struct listing {
	uint64_t wanted;
	uint64_t n;
	const char *next;
};

static void print_page(struct cli *cli, struct listing *listing, struct span page)
{
	struct span items[PAGE_ROWS];
	struct span_iter iter;
	struct span key, value;
	size_t n = 0;

	span_iter_init(&iter, span_get(page, "items"));
	while (n < PAGE_ROWS && span_next(&iter, &key, &value))
		items[n++] = span_trim(value);
	for (size_t i = 0; cli->output == OUTPUT_JSON && i < n; i++)
		printf("%s%.*s", listing->n + i > 0 ? "," : "", (int)items[i].n, items[i].p);
	if (cli->output == OUTPUT_TABLE && n > 0)
		print_rows(cli, items, n);
	listing->n += n;
	listing->next = cli_cell(cli->arena, page, "next");
}

static const char *page_path(struct cli *cli, const struct list_options *options,
			     const struct listing *listing)
{
	uint64_t left = listing->wanted - listing->n;
	const char *path = audit_path(cli, "/audit/calls", &options->filters);

	path = audit_path_with(cli, path, "cursor", listing->next);
	return audit_path_with(
		cli, path, "limit",
		arena_printf(cli->arena, "%d", left < PAGE_ROWS ? (int)left : PAGE_ROWS));
}

static int list(struct cli *cli, const void *ctx)
{
	const struct list_options *options = ctx;
	struct listing listing = { .wanted = DEFAULT_ROWS };
	struct cli_answer answer;
	struct err err;

	if (options->limit != NULL &&
	    text_uint(options->limit, 1, MAX_ROWS, &listing.wanted, &err) < 0)
		return cli_misuse(cli, "--limit is a number from 1 to %d; audit export writes more",
				  MAX_ROWS);
	do {
		int code = cli_get(cli, page_path(cli, options, &listing), &answer);

		if (code != EXIT_OK)
			return code;
		if (cli->output == OUTPUT_JSON && listing.n == 0)
			fputs("{\"items\":[", stdout);
		print_page(cli, &listing, answer.body);
	} while (listing.next != NULL && listing.n < listing.wanted);
	if (cli->output == OUTPUT_JSON)
		printf(listing.next != NULL ? "],\"next\":\"%s\"}\n" : "],\"next\":null}\n",
		       listing.next);
	else if (listing.n == 0)
		fputs("there are no such calls; --from says how far back to look (24h)\n", stderr);
	return EXIT_OK;
}

/* --- show ------------------------------------------------------------------------------------ */

struct show_options {
	bool payload;
	bool all_tenants;
};
static const struct cli_option show_options[] = {
	{"payload",     0,	CLI_FLAG,	  offsetof(struct show_options, payload) },
	{ "all-tenants",		 0, CLI_FLAG, offsetof(struct show_options,			    all_tenants) },
	{ NULL, 0,  CLI_TEXT,	     0		       },
};

/* What is computed has more digits than anybody measured. */
static const char *member_text(struct cli *cli, const char *name, struct span value)
{
	const char *text = cli_cell_of(cli->arena, value);
	size_t n = strlen(name);

	if (n < 3 || strcmp(name + n - 3, "_ms") != 0)
		return text;
	return arena_printf(cli->arena, "%.6g", strtod(text, NULL));
}

static void print_member(struct cli *cli, int indent, const char *name, struct span value)
{
	int gap = NAME_WIDTH - indent - (int)strlen(name);

	printf("%*s", gap > 1 ? gap : 1, "");
	cli_print_field(stdout, member_text(cli, name, value));
	putchar('\n');
}

/* One member below the other, objects indented once, without those that are null. */
static void print_members(struct cli *cli, struct span object, int indent)
{
	struct span_iter iter;
	struct span key, value;

	span_iter_init(&iter, object);
	while (span_next(&iter, &key, &value)) {
		const char *name = cli_cell_of(cli->arena, key);
		enum span_type type;

		value = span_trim(value);
		type = span_type(value);
		if (type == SPAN_NULL)
			continue;
		printf("%*s", indent, "");
		cli_print_field(stdout, name);
		if (type == SPAN_OBJECT && indent == 0) {
			putchar('\n');
			print_members(cli, value, INDENT);
		} else {
			print_member(cli, indent, name, value);
		}
	}
}

static int show(struct cli *cli, const void *ctx)
{
	const struct show_options *options = ctx;
	const char *tenant = options->all_tenants ? "*" : NULL;
	const char *path = cli_path(cli, "/audit/calls/", cli->words[0], "");
	struct cli_answer answer;
	int code = cli_get(cli, audit_path_with(cli, path, "tenant", tenant), &answer);

	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_TABLE)
		print_members(cli, answer.body, 0);
	else if (!options->payload)
		return cli_print_json(answer.body);
	if (!options->payload)
		return EXIT_OK;
	if (options->all_tenants)
		cli->tenant = cli_cell(cli->arena, answer.body, "tenant");
	code = cli_get(cli, arena_printf(cli->arena, "%s/payload", path), &answer);
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	putchar('\n');
	print_members(cli, answer.body, 0);
	return EXIT_OK;
}

/* --- stats ----------------------------------------------------------------------------------- */

struct stats_options {
	struct audit_filters filters; /* first */
	const char *by;
	const char *limit;
};
static const struct cli_option stats_options[] = {
	AUDIT_FILTER_OPTIONS,
	AUDIT_TIME_OPTIONS,
	{"by",	0,  CLI_TEXT, offsetof(struct stats_options, by) },
	{ "limit",	   'n', CLI_TEXT, offsetof(struct stats_options,			 limit) },
	{ NULL, 0,  CLI_TEXT,	     0	       },
};

static int print_groups(struct cli *cli, const char *by, struct span body)
{
	const char *titles[] = { NULL, "CALLS", "OK", "ERRORS", "AVG MS", "P95 MS", NULL };
	char *title = arena_strdup(cli->arena, by);
	struct cli_table table;
	struct span_iter iter;
	struct span key, item;

	for (char *c = title; *c != '\0'; c++)
		*c = (char)(*c == '_' ? ' ' : toupper((unsigned char)*c));
	titles[0] = title;
	cli_table_init(&table, cli->arena, titles);
	span_iter_init(&iter, span_get(body, "items"));
	while (span_next(&iter, &key, &item)) {
		const char *cells[] = {
			cli_cell(cli->arena, item, "value"), cli_cell(cli->arena, item, "total"),
			cli_cell(cli->arena, item, "ok"),    cli_cell(cli->arena, item, "errors"),
			milliseconds(cli, item, "avg_ms"),   milliseconds(cli, item, "p95_ms"),
		};

		cli_table_add(&table, cells);
	}
	cli_table_print(&table, stdout, cli_terminal_width(stdout));
	return EXIT_OK;
}

static int stats(struct cli *cli, const void *ctx)
{
	const struct stats_options *options = ctx;
	const char *path = options->by != NULL ? "/audit/breakdown" : "/audit/stats";
	struct cli_answer answer;
	int code;

	if (options->by == NULL && options->limit != NULL)
		return cli_misuse(cli, "--limit goes with --by");
	path = audit_path(cli, path, &options->filters);
	path = audit_path_with(cli, path, "by", options->by);
	path = audit_path_with(cli, path, "limit", options->limit);
	code = cli_get(cli, path, &answer);
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	if (options->by != NULL)
		return print_groups(cli, options->by, answer.body);
	print_members(cli, answer.body, 0);
	return EXIT_OK;
}

const struct cli_command cli_audit_list = { list_options, sizeof(struct list_options), CLI_ADMIN,
					    list };
const struct cli_command cli_audit_show = { show_options, sizeof(struct show_options), CLI_ADMIN,
					    show };
const struct cli_command cli_audit_stats = { stats_options, sizeof(struct stats_options), CLI_ADMIN,
					     stats };
