/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_CONNECTIONS_H
#define GATEWAY_APP_CMD_CONNECTIONS_H

/* A connection as command lines describe it. */

#include "gateway/app/cli.h"

struct connection_options {
	const char *url;
	const char *auth;
	const char *credential_file;
	const char *auth_header;
	struct cli_list headers;
	struct cli_list headers_removed;
	const char *era;
	const char *session;
	const char *description;
	struct cli_list allow;
	struct cli_list deny;
	const char *connect_timeout;
	const char *call_timeout;
	bool no_wait;
};
/* What was given, as the body of a request; in the arena. ERR_BAD_REQUEST. */
int connection_body(struct cli *cli, const struct connection_options *options, struct span *out,
		    struct err *err) MUST_CHECK;

#endif
