/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "gateway/app/cli.h"
#include "gateway/app/sync.h"

struct migrate_options {
	const char *database;
	bool dry_run;
};
#define AT(member) offsetof(struct migrate_options, member)

static const struct cli_option migrate_options[] = {
	{"database", 0, CLI_TEXT, AT(database)},
	{ "dry-run", 0, CLI_FLAG, AT(dry_run) },
	{ NULL,	0, CLI_TEXT, 0	       },
};

static void on_applied(void *ctx, const struct migration *migration)
{
	const bool *dry_run = ctx;

	printf("%s %s\n", *dry_run ? "would apply" : "applied", migration->name);
}

static int migrate(const struct cli *cli, const char *database, bool dry_run)
{
	struct loop *loop = loop_new();
	struct err err;
	size_t n = 0;
	int ret = sync_migrate(loop, database, dry_run, on_applied, &dry_run, &n, &err);

	loop_free(&loop);
	if (ret < 0 && err.code == ERR_UNAVAILABLE)
		return cli_fail(cli, EXIT_UNREACHABLE, "database", "%s", err.text);
	if (ret < 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "database", "%s", err.text);
	if (n == 0)
		printf("the database is up to date\n");
	return EXIT_OK;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct migrate_options *options = ctx;
	const char *database = options->database;

	if (database == NULL)
		database = getenv("TOLLGATE_OWNER_DATABASE_URL");
	if (database == NULL)
		database = getenv("TOLLGATE_DATABASE_URL");
	if (database == NULL || database[0] == '\0')
		return cli_misuse(cli, "say which database: --database URL or "
				       "TOLLGATE_OWNER_DATABASE_URL, as a role that owns "
				       "the schema");
	return migrate(cli, database, options->dry_run);
}

const struct cli_command cli_migrate = { migrate_options, sizeof(struct migrate_options), CLI_LOCAL,
					 run };
