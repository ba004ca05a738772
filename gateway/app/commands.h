/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_COMMANDS_H
#define GATEWAY_APP_COMMANDS_H

/* Every subcommand: one table (commands.c), which is also the help; commands_run.c finds its rows.
 */

#include <stdio.h>

struct cli_command;

struct command {
	const char *noun;
	const char *verb; /* NULL: the noun alone */
	/* The synopsis. Its first words, NAME or [NAME], are what the command takes beside
	 * options; cli.c counts them. */
	const char *args;
	const char *help;	     /* one sentence */
	const char *details;	     /* lines about the options, or NULL */
	void (*describe)(FILE *out); /* prints more of the manual, or NULL */
	/* One of the two. argv[0] is the last word of the command. Returns an exit code. */
	int (*run)(int argc, char **argv);
	const struct cli_command *cli;
};
extern const struct command commands[]; /* ends with a NULL noun */

/* What every command that talks to a gateway takes; exit codes. For people. */
extern const char commands_common_details[];
/* Those of a command whose -o is not a format. */
extern const char commands_gateway_details[];
extern const char commands_exit_details[];

/* Finds the command and runs it; the whole program. Returns its exit code. */
int commands_run(int argc, char **argv);

/* "tollgate: sentence" on standard error; returns code. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
