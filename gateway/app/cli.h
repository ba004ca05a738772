/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CLI_H
#define GATEWAY_APP_CLI_H

/*
 * What the commands that talk to a gateway share: options, the target, one request at a time,
 * tables, exit codes. They know the admin API and nothing of the gateway's inside.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/span.h"
#include "gateway/app/commands.h"
#include "gateway/app/config.h"
#include "gateway/app/exit_codes.h"

struct egress_policy;
struct http_client;

#define CLI_MAX_WORDS	   4
#define CLI_MAX_BODY_BYTES ((size_t)64 * 1024 * 1024)
#define CLI_MAX_FILE_BYTES ((size_t)4 * 1024 * 1024)

enum cli_output { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_ENV };
/* Which key of dev.json a command uses if no other is given; CLI_LOCAL talks to no gateway, and so
 * has no target. */
enum cli_role { CLI_USER, CLI_ADMIN, CLI_LOCAL };

enum cli_option_kind {
	CLI_TEXT, /* const char *, NULL if it is not given */
	CLI_LIST, /* struct cli_list: may be given several times */
	CLI_FLAG, /* bool */
};
struct cli_list {
	const char **items;
	size_t n;
};
struct cli_option {
	const char *name;
	char letter; /* 0: none */
	enum cli_option_kind kind;
	size_t at; /* in the command's own struct of options */
};

struct cli {
	const struct command *command;
	struct arena *arena; /* until the command ends */
	enum cli_output output;
	const char *url; /* without a slash at its end */
	const char *key;
	const char *tenant; /* NULL: the key's own */
	const char *words[CLI_MAX_WORDS];
	size_t n_words;
	struct loop *loop;
	struct http_client *client;
	struct egress_policy *egress;
};

struct cli_command {
	const struct cli_option *options; /* ends with a NULL name; NULL: the common ones only */
	size_t options_bytes;
	enum cli_role role;
	/* options: the struct that they were read into, zero where not given. */
	int (*run)(struct cli *cli, const void *options);
};
extern const struct cli_command cli_connections_list, cli_connections_show, cli_connections_add,
	cli_connections_edit, cli_connections_rm, cli_connections_enable, cli_connections_disable,
	cli_connections_status, cli_connections_refresh, cli_connections_probe;
extern const struct cli_command cli_tools_list, cli_call;
extern const struct cli_command cli_connect, cli_accounts_list, cli_accounts_disconnect,
	cli_signin_link;
extern const struct cli_command cli_keys_list, cli_keys_add, cli_keys_rm;
extern const struct cli_command cli_users_list, cli_users_add, cli_users_rm;
extern const struct cli_command cli_tenants_list, cli_tenants_show, cli_tenants_add, cli_tenants_rm,
	cli_tenants_egress;
extern const struct cli_command cli_status;
extern const struct cli_command cli_audit_grant_reader;
extern const struct cli_command cli_dev, cli_serve, cli_migrate;
extern const struct cli_command cli_doctor, cli_client_config, cli_completion;
extern const struct cli_command cli_keyring_create, cli_keyring_list, cli_keyring_add,
	cli_keyring_promote, cli_keyring_rewrap, cli_keyring_verify, cli_keyring_retire;
extern const struct cli_command cli_audit_tail, cli_audit_list, cli_audit_show, cli_audit_stats,
	cli_audit_export;
extern const struct cli_command cli_audit_verify;
extern const struct cli_command cli_spool_show, cli_spool_drain;
extern const struct cli_command cli_config_check, cli_config_dump, cli_config_schema;

/* --- cli.c: the frame --- */

/* Reads the options, finds the target, runs the command. Returns its exit code. */
int cli_run(const struct command *command, int argc, char **argv);
/* Options and words, anywhere among each other. ERR_BAD_REQUEST; what was read before stands. */
int cli_parse(struct cli *cli, int argc, char **argv, void *options, struct err *err) MUST_CHECK;
/* The options that it takes beside its own; ends with a NULL name. */
const struct cli_option *cli_common_options(const struct command *command);

/* --- cli_fail.c --- */

/* Says what is wrong, as a sentence or as JSON, and returns exit_code. code is for programs. */
int cli_fail(const struct cli *cli, int exit_code, const char *code, const char *format, ...)
	ERR_PRINTF(4, 5);
/* The same for a usage error. */
int cli_misuse(const struct cli *cli, const char *format, ...) ERR_PRINTF(2, 3);

/* --- cli.c again --- */

/* A file, or standard input for "-", without the line end at its end. In the arena. */
int cli_read_file(struct cli *cli, const char *path, struct span *out, struct err *err) MUST_CHECK;
/* Asks a person at a terminal, unless they said yes already; everybody else means it. */
bool cli_confirmed(const struct cli *cli, bool yes, const char *what);

/* What every rm takes. */
struct cli_rm_options {
	bool yes;
};
extern const struct cli_option cli_rm_options[];

/* --- cmd_config.c: what every command takes that reads the configuration --- */

struct cli_config_options {
	const char *file;
	struct cli_list sets;
	bool origin; /* `config dump` */
};
extern const struct cli_option cli_config_options[];
/* Borrows from them. */
struct config_sources cli_config_sources(const struct cli_config_options *options);

/* --- cli_target.c: which gateway, which key --- */

/* From options, environment or ./.run/dev.json. Returns an exit code, having complained. */
int cli_find_target(struct cli *cli, enum cli_role role);
/* A text member of that file; the same. */
int cli_find_dev(struct cli *cli, const char *member, const char **value);

/* --- cli_http.c: one request after the other --- */

struct cli_request {
	const char *method;
	const char *path; /* below /api/v1, or below the tenant's part of it */
	bool platform;	  /* the path is not below a tenant's */
	struct span body; /* JSON; absent: none */
	const char *if_match;
	int64_t timeout_ms; /* 0: CLI_TIMEOUT_MS */
	bool streams;	    /* the answer may be of any size and is no JSON */
	const char *last_event_id;
};
#define CLI_MAX_STREAM_BYTES ((size_t)1 << 62)
#define CLI_TIMEOUT_MS	     30000
/* In the arena. */
struct cli_answer {
	int status;
	const char *etag; /* or NULL */
	struct span body; /* JSON that has been checked, or absent */
};
int cli_open(struct cli *cli, struct err *err) MUST_CHECK;
void cli_close(struct cli *cli);
/* EXIT_OK: there is an answer, of whatever status. */
int cli_send(struct cli *cli, const struct cli_request *request, struct cli_answer *answer);
/* EXIT_OK: an answer that is not a failure. */
int cli_ask(struct cli *cli, const struct cli_request *request, struct cli_answer *answer);
int cli_get(struct cli *cli, const char *path, struct cli_answer *answer);
/* All pages of a list: the elements, in the arena. */
int cli_get_list(struct cli *cli, const char *path, bool platform, struct span **items, size_t *n);
/* Changes or removes a thing: with the version that it has now. body absent: DELETE. */
int cli_change(struct cli *cli, const char *path, bool platform, struct span body,
	       struct cli_answer *answer);
/* Removes a thing, having asked; what is for people. */
int cli_remove(struct cli *cli, const char *path, bool platform, const char *what, bool yes);
/* Makes a thing of texts; members end with a NULL name, those with a NULL text are left out. */
struct cli_member {
	const char *name;
	const char *text;
};
int cli_post(struct cli *cli, const char *path, bool platform, const struct cli_member *members,
	     struct cli_answer *answer);
/* Complains of an answer that is a failure and returns its exit code. */
int cli_refused(const struct cli *cli, const struct cli_answer *answer);
/* " (call ID)", for who asks why; "" if no call failed, or the answer says it by itself. */
const char *cli_call_said(const struct cli *cli, const struct cli_answer *answer);
int cli_exit_code(int http_status);
/* "/connections/" + "a b" → "/connections/a%20b"; in the arena. */
char *cli_path(struct cli *cli, const char *before, const char *name, const char *after);
/* Complains that there was no answer, and returns the exit code. */
int cli_unreachable(const struct cli *cli, const struct err *err);
struct http_request;
struct http_events;
/* What all of these begin with. */
void cli_http_start(struct cli *cli, struct http_request **slot, const struct cli_request *request,
		    const struct http_events *events, void *ctx);
/* Lets time pass. */
void cli_wait(struct cli *cli, int64_t ms);

/* --- cli_stream.c: an answer as it arrives --- */

enum cli_stream_end {
	CLI_STREAM_REFUSED, /* no 200; or nobody answered */
	CLI_STREAM_CUT,	    /* it ended before its end */
	CLI_STREAM_WHOLE,
	CLI_STREAM_STOPPED, /* by data */
};
struct cli_stream {
	/* Borrowed bytes of an answer of 200. False: no more of it. */
	bool (*data)(void *ctx, const char *p, size_t n);
	void *ctx;
	bool quiet; /* that nobody answers is not complained of */
};
/* EXIT_OK unless it was refused, having complained. */
int cli_stream(struct cli *cli, const struct cli_request *request, const struct cli_stream *stream,
	       enum cli_stream_end *end);

/* --- cli_table.c: what people see --- */

struct cli_table {
	const char *const *titles; /* ends with NULL */
	size_t n_columns;
	const char **cells; /* row after row, in the arena */
	size_t n_rows;
	size_t max_rows;
	struct arena *arena;
};
void cli_table_init(struct cli_table *table, struct arena *arena, const char *const *titles);
/* As many as there are titles; NULL or "" becomes "-". Borrows the texts. */
void cli_table_add(struct cli_table *table, const char *const *cells);
/* max_width cuts lines; 0: as long as they are. */
void cli_table_print(const struct cli_table *table, FILE *out, size_t max_width);
/* Columns of the terminal behind out; 0 if it is none. */
size_t cli_terminal_width(FILE *out);
/* A member by its path ("auth.mode") as a cell: text unescaped, everything else as JSON; NULL if
 * it is absent or null. */
const char *cli_cell(struct arena *arena, struct span object, const char *path);
const char *cli_cell_of(struct arena *arena, struct span value);
/* A row for each item, a cell for each path; or all of them as JSON. */
struct cli_column {
	const char *title; /* NULL: the end */
	const char *path;
};
int cli_print_list(struct cli *cli, const struct cli_column *columns, const struct span *items,
		   size_t n);
/* The members of one thing below each other; or the body as JSON. */
int cli_print_object(struct cli *cli, struct span body);
int cli_print_json(struct span body);
/* Text of others within a line: control characters are spaces. */
void cli_print_field(FILE *out, const char *text);
/* Text of others: for a terminal without what could command it. Always ends a line. */
void cli_print_text(FILE *out, struct span text);

/* --- cli_args.c: the arguments of a tool --- */

/* {"k":v,…} of k=v texts: v as it is if it is JSON, else as a string. ERR_BAD_REQUEST. */
int args_write(const struct cli_list *pairs, struct buf *out, struct err *err) MUST_CHECK;

#endif
