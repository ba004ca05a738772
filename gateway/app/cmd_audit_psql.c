/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate audit psql: psql on the audit schema. All arguments but our one option are psql's. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/db.h"
#include "gateway/app/cmd_audit.h"

#define URL_OPTION   "--database"
#define URL_VARIABLE "TOLLGATE_AUDIT_DATABASE_URL"
#define DEV_FILE     ".run/dev.json"
#define SEARCH_PATH  "-c search_path=audit"

/* What the command line is taken apart into. */
struct psql_call {
	const char *url;
	char **args; /* psql's, ends with NULL; [0] to [2] are ours to fill in */
};

/* 0, or -1: the option has no value. */
static int take_args(struct psql_call *call, int argc, char **argv)
{
	size_t n = strlen(URL_OPTION);
	int to = 3;

	call->args = mem_new_array((size_t)argc + 4, sizeof(*call->args));
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0) {
			while (++i < argc)
				call->args[to++] = argv[i];
		} else if (strncmp(argv[i], URL_OPTION "=", n + 1) == 0) {
			call->url = argv[i] + n + 1;
		} else if (strcmp(argv[i], URL_OPTION) == 0 && i + 1 == argc) {
			return -1;
		} else if (strcmp(argv[i], URL_OPTION) == 0) {
			call->url = argv[++i];
		} else {
			call->args[to++] = argv[i];
		}
	}
	return 0;
}

/* An exit code, having complained. */
static int find_url(struct cli *cli, struct psql_call *call)
{
	const char *variable = getenv(URL_VARIABLE);

	if (call->url == NULL && variable != NULL && variable[0] != '\0')
		call->url = variable;
	if (call->url != NULL)
		return EXIT_OK;
	if (access(DEV_FILE, F_OK) < 0)
		return complain(EXIT_USAGE,
				"say which database with " URL_OPTION " or " URL_VARIABLE
				": there is no ./" DEV_FILE " here");
	return cli_find_dev(cli, "audit_database_url", &call->url);
}

/* Names of the schema without "audit.", times in UTC as the API gives them; what the caller has set
 * wins. The password goes by the environment: everybody on this machine can read a command line. */
static void set_environment(const char *password)
{
	const char *given = getenv("PGOPTIONS");
	char *options = mem_printf(SEARCH_PATH "%s%s", given != NULL ? " " : "",
				   given != NULL ? given : "");

	setenv("PGOPTIONS", options, 1);
	setenv("PGTZ", "UTC", 0);
	setenv("PGAPPNAME", "tollgate audit psql", 0);
	if (password != NULL)
		setenv("PGPASSWORD", password, 1);
	free(options);
}

static int become_psql(struct psql_call *call)
{
	char *password;
	char *conninfo = db_conninfo_split(call->url, &password);
	char program[] = "psql", database[] = "-d";
	int code = EXIT_USAGE;

	if (conninfo == NULL) {
		complain(code, "the connection string cannot be parsed");
	} else {
		set_environment(password);
		call->args[0] = program;
		call->args[1] = database;
		call->args[2] = conninfo;
		execvp("psql", call->args);
		code = EXIT_UNEXPECTED;
		complain(code, errno == ENOENT ? "psql is not installed: install postgresql-client"
					       : "psql cannot be started");
	}
	if (password != NULL)
		mem_wipe(password, strlen(password));
	free(password);
	free(conninfo);
	return code;
}

int cmd_audit_psql(int argc, char **argv)
{
	struct cli cli = { .arena = arena_new() };
	struct psql_call call = { 0 };
	int code;

	if (take_args(&call, argc, argv) < 0)
		code = complain(EXIT_USAGE, URL_OPTION " wants a value");
	else
		code = find_url(&cli, &call);
	if (code == EXIT_OK)
		code = become_psql(&call);
	free(call.args);
	arena_free(&cli.arena);
	return code;
}
