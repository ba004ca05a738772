/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate audit grant-reader: which database roles read the book, and of which tenants. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/app/cli.h"
#include "gateway/app/sync.h"

#define TIMEOUT_MS 30000

struct reader_options {
	const char *database;
	const char *tenant;
	bool platform;
	bool create_login;
	bool revoke;
	bool list;
};
#define AT(member) offsetof(struct reader_options, member)

static const struct cli_option reader_options[] = {
	{"database",      0, CLI_TEXT, AT(database)	},
	{ "tenant",	    0, CLI_TEXT, AT(tenant)	    },
	{ "platform",     0, CLI_FLAG, AT(platform)	},
	{ "create-login", 0, CLI_FLAG, AT(create_login)},
	{ "revoke",	    0, CLI_FLAG, AT(revoke)	    },
	{ "list",	  0, CLI_FLAG, AT(list)	},
	{ NULL,		0, CLI_TEXT, 0	       },
};

/* What the options ask for, as one statement of the functions of migration 0017. */
struct reading {
	struct cli *cli;
	struct span params[3];
	struct db_statement statement;
};

static void take_done(void *ctx, const struct db_result *const *results, size_t n)
{
	const struct reading *reading = ctx;
	struct span role = reading->params[0];
	const char *done = db_text(results[0], 0, "done");
	struct buf line;

	(void)n;
	buf_init(&line, CLI_MAX_FILE_BYTES);
	if (reading->cli->output == OUTPUT_JSON) {
		buf_add(&line, "{\"role\":");
		buf_add_json_string(&line, role.p, role.n);
		buf_add(&line, ",\"done\":");
		buf_add_json_string(&line, done, strlen(done));
		buf_add(&line, "}");
	} else {
		buf_printf(&line, "%.*s: %s", (int)role.n, role.p, done);
	}
	cli_print_text(stdout, span_of(buf_str(&line)));
	buf_fini(&line);
}

static void add_member(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	if (text == NULL)
		buf_add(out, "null");
	else
		buf_add_json_string(out, text, strlen(text));
}

/* A row of audit.list_readers(), as the cells of cli_print_list are read from. */
static struct span reader_item(struct cli *cli, const struct db_result *rows, size_t row)
{
	struct buf item;
	struct span made;

	buf_init(&item, CLI_MAX_FILE_BYTES);
	buf_add(&item, "{");
	add_member(&item, "role", db_text(rows, row, "role_name"));
	buf_add(&item, ",");
	add_member(&item, "tenant", db_text(rows, row, "tenant"));
	buf_add(&item, ",");
	add_member(&item, "tenant_id", db_text(rows, row, "tenant_id"));
	buf_printf(&item, ",\"platform\":%s,\"works\":%s}",
		   db_text(rows, row, "tenant_id") == NULL ? "true" : "false",
		   db_bool(rows, row, "works") ? "true" : "false");
	made = span_of(arena_dup(cli->arena, buf_str(&item), item.len));
	buf_fini(&item);
	return made;
}

static void take_list(void *ctx, const struct db_result *const *results, size_t n)
{
	static const struct cli_column columns[] = {
		{"ROLE",	  "role"	 },
		    { "TENANT",	"tenant"	 },
		    { "TENANT ID", "tenant_id"},
		{ "PLATFORM",  "platform" },
		    { "WORKS",     "works"    },
		    { NULL,	    NULL	 },
	};
	const struct reading *reading = ctx;
	size_t n_rows = db_rows(results[0]);
	struct span *items = arena_alloc(reading->cli->arena, (n_rows + 1) * sizeof(*items));

	(void)n;
	for (size_t i = 0; i < n_rows; i++)
		items[i] = reader_item(reading->cli, results[0], i);
	(void)cli_print_list(reading->cli, columns, items, n_rows);
}

static int ask(struct reading *reading, const char *database, sync_take *take, struct err *err)
{
	struct loop *loop = loop_new();
	struct db *db = db_new(loop, &(struct db_params){ .conninfo = database,
							  .max_connections = 1,
							  .connect_timeout_ms = TIMEOUT_MS,
							  .op_timeout_ms = TIMEOUT_MS,
							  .idle_ms = TIMEOUT_MS,
							  .max_queued = 1 });
	struct db_tx tx = { .statements = &reading->statement, .n_statements = 1 };
	/* The pool goes on trying to connect; a script says at once that it cannot. */
	int ret = sync_script(loop, database, "SELECT 1", err);

	if (ret == 0)
		ret = sync_tx(loop, db, &tx, take, reading, err);
	db_free(&db);
	loop_free(&loop);
	return ret;
}

/* The SQLSTATEs that the functions raise, and what a role that may not gets. */
static int refused(const struct cli *cli, const struct err *err)
{
	if (err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT)
		return cli_fail(cli, EXIT_UNREACHABLE, "database", "%s", err->text);
	if (strcmp(err->tag, "42704") == 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "not_found", "%s; --create-login makes it",
				err->text);
	if (strcmp(err->tag, "P0002") == 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "not_found", "%s", err->text);
	if (strcmp(err->tag, "42501") == 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "database",
				"%s; it takes a role that owns the schema and may grant "
				"audit_reader and, with --create-login, make roles",
				err->text);
	if (strcmp(err->tag, "42883") == 0 || strcmp(err->tag, "3F000") == 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "database",
				"the database has another schema: run tollgate migrate");
	return cli_fail(cli, EXIT_UNEXPECTED, "database", "%s", err->text);
}

static int misused(struct cli *cli, const struct reader_options *options)
{
	bool names_role = cli->n_words == 1;

	if (options->list)
		return names_role || options->tenant != NULL || options->platform ||
				       options->revoke || options->create_login
			       ? cli_misuse(cli, "--list stands alone")
			       : EXIT_OK;
	if (!names_role)
		return cli_misuse(cli, "say which ROLE, or --list");
	if (options->tenant != NULL && options->platform)
		return cli_misuse(cli, "--platform is all tenants: say one of both");
	if (options->revoke && options->create_login)
		return cli_misuse(cli, "--create-login makes a reader, --revoke takes one back");
	if (!options->revoke && options->tenant == NULL && !options->platform)
		return cli_misuse(cli, "say which tenant: --tenant T, or --platform for all");
	return EXIT_OK;
}

static void choose(struct reading *reading, const struct reader_options *options)
{
	struct db_statement *statement = &reading->statement;
	bool third = options->revoke ? options->platform : options->create_login;

	if (options->list) {
		statement->sql = "SELECT role_name, tenant, tenant_id, works "
				 "FROM audit.list_readers()";
		return;
	}
	statement->sql = options->revoke ? "SELECT audit.revoke_reader($1, $2, $3) AS done"
					 : "SELECT audit.grant_reader($1, $2, $3) AS done";
	reading->params[0] = span_of(reading->cli->words[0]);
	if (options->tenant != NULL)
		reading->params[1] = span_of(options->tenant);
	reading->params[2] = span_of(third ? "true" : "false");
	statement->params = reading->params;
	statement->n_params = 3;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct reader_options *options = ctx;
	const char *database = options->database;
	struct reading reading = { .cli = cli };
	struct err err;
	int code = misused(cli, options);

	if (code != EXIT_OK)
		return code;
	if (database == NULL)
		database = getenv("TOLLGATE_OWNER_DATABASE_URL");
	if (database == NULL || database[0] == '\0')
		return cli_misuse(cli, "say which database: --database URL or "
				       "TOLLGATE_OWNER_DATABASE_URL");
	if (db_conninfo_check(database, &err) < 0)
		return cli_fail(cli, EXIT_USAGE, "usage", "%s", err.text);
	log_configure(LOG_ERROR, LOG_AUTO); /* what went wrong is told here */
	choose(&reading, options);
	if (ask(&reading, database, options->list ? take_list : take_done, &err) < 0)
		return refused(cli, &err);
	return EXIT_OK;
}

const struct cli_command cli_audit_grant_reader = { reader_options, sizeof(struct reader_options),
						    CLI_LOCAL, run };
