/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/app/commands.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/sync.h"

static void on_applied(void *ctx, const struct migration *migration)
{
	const bool *dry_run = ctx;

	printf("%s %s\n", *dry_run ? "would apply" : "applied", migration->name);
}

static int migrate(const char *database, bool dry_run)
{
	struct loop *loop = loop_new();
	struct err err;
	size_t n = 0;
	int ret = sync_migrate(loop, database, dry_run, on_applied, &dry_run, &n, &err);

	loop_free(&loop);
	if (ret < 0)
		return complain(err.code == ERR_UNAVAILABLE ? EXIT_UNREACHABLE : EXIT_UNEXPECTED,
				"%s", err.text);
	if (n == 0)
		printf("the database is up to date\n");
	return EXIT_OK;
}

int cmd_migrate(int argc, char **argv)
{
	static const struct option options[] = {
		{"database", required_argument, NULL, 'd'},
		{ "dry-run", no_argument,	  NULL, 'n'},
		{ NULL,	0,		   NULL, 0  }
	};
	const char *database = getenv("TOLLGATE_OWNER_DATABASE_URL");
	bool dry_run = false;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			database = optarg;
		else if (option == 'n')
			dry_run = true;
		else
			return complain(EXIT_USAGE, "see tollgate help migrate");
	}
	if (optind < argc)
		return complain(EXIT_USAGE, "migrate takes no argument %s", argv[optind]);
	if (database == NULL)
		database = getenv("TOLLGATE_DATABASE_URL");
	if (database == NULL || database[0] == '\0')
		return complain(EXIT_USAGE, "say which database: --database URL or "
					    "TOLLGATE_OWNER_DATABASE_URL, as a role that owns "
					    "the schema");
	return migrate(database, dry_run);
}
