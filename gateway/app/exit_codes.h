/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_EXIT_CODES_H
#define GATEWAY_APP_EXIT_CODES_H

/* Exit codes of every subcommand. 0 to 7 agree with MCP Inspector where they overlap. */
enum exit_code {
	EXIT_OK = 0,
	EXIT_UNEXPECTED = 1,
	EXIT_USAGE = 2,	  /* usage or invalid configuration */
	EXIT_SIGN_IN = 3, /* a key is needed, or is not valid */
	EXIT_UNREACHABLE = 4,
	EXIT_TOOL_ERROR = 5,	/* isError, or an unknown tool */
	EXIT_NOT_CONNECTED = 6, /* the upstream account is not connected */
	EXIT_CHANGES = 7,	/* diff found changes */
	EXIT_CONFIG = 78,	/* sysexits EX_CONFIG: restarting a worker will not help */
};

#endif
