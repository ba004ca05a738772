/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_AUDIT_H
#define GATEWAY_APP_CMD_AUDIT_H

/* What the files of `tollgate audit …` share: which calls are meant. */

#include "gateway/app/cli.h"

/* Of every command that reads through the API. First in its struct of options. */
struct audit_filters {
	const char *user;
	const char *tool;
	const char *connection;
	const char *method;
	const char *outcome;
	const char *session;
	const char *client;
	const char *persona;
	const char *api_key;
	const char *source_ip;
	const char *trace_id;
	const char *min_duration;
	const char *search;
	bool errors;
	bool all_tenants;
	bool no_tenant;
	/* Not of `tail`. */
	const char *from;
	const char *to;
};

#define AUDIT_FILTER(name, kind, member)                                                           \
	{                                                                                          \
		name, 0, kind, offsetof(struct audit_filters, member)                              \
	}
#define AUDIT_FILTER_OPTIONS                                                                       \
	AUDIT_FILTER("user", CLI_TEXT, user), AUDIT_FILTER("tool", CLI_TEXT, tool),                \
		AUDIT_FILTER("connection", CLI_TEXT, connection),                                  \
		AUDIT_FILTER("method", CLI_TEXT, method),                                          \
		AUDIT_FILTER("outcome", CLI_TEXT, outcome),                                        \
		AUDIT_FILTER("session", CLI_TEXT, session),                                        \
		AUDIT_FILTER("client", CLI_TEXT, client),                                          \
		AUDIT_FILTER("persona", CLI_TEXT, persona),                                        \
		AUDIT_FILTER("api-key", CLI_TEXT, api_key),                                        \
		AUDIT_FILTER("source-ip", CLI_TEXT, source_ip),                                    \
		AUDIT_FILTER("trace-id", CLI_TEXT, trace_id),                                      \
		AUDIT_FILTER("min-duration", CLI_TEXT, min_duration),                              \
		AUDIT_FILTER("search", CLI_TEXT, search),                                          \
		AUDIT_FILTER("errors", CLI_FLAG, errors),                                          \
		AUDIT_FILTER("all-tenants", CLI_FLAG, all_tenants),                                \
		AUDIT_FILTER("no-tenant", CLI_FLAG, no_tenant)
#define AUDIT_TIME_OPTIONS AUDIT_FILTER("from", CLI_TEXT, from), AUDIT_FILTER("to", CLI_TEXT, to)

/* path with the filters as its query; in the arena. */
const char *audit_path(struct cli *cli, const char *path, const struct audit_filters *filters);
/* One parameter more; nothing if value is NULL. */
const char *audit_path_with(struct cli *cli, const char *path, const char *name, const char *value);
/* A cell, never NULL. */
const char *audit_cell(struct cli *cli, struct span row, const char *path);
/* Who called: the user, or the key of a service, or nobody. */
const char *audit_who(struct cli *cli, struct span row);

/* `audit psql` hands its arguments on, so it reads them itself: a row of the table's `run`. */
int cmd_audit_psql(int argc, char **argv);

#endif
