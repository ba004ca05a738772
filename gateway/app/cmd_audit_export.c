/* SPDX-License-Identifier: Apache-2.0 */

/*
 * tollgate audit export: rows to standard output or to a file, as they arrive.
 *
 * A file appears under its name when it is complete and not before; what came of an answer that was
 * cut stays beside it. The last line is held back until it is known to be one: of a cut answer it
 * may be the gateway's word on why, which is no row.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/app/cmd_audit.h"

#define MAX_LINE_BYTES ((size_t)1024 * 1024)
#define MAX_HELD_BYTES (2 * MAX_LINE_BYTES)
#define CUT_CSV	       "#cut: "
#define CURSOR_CSV     "; cursor="

struct export_options {
	struct audit_filters filters; /* first */
	const char *format;
	const char *file;
	const char *cursor;
};
#define AT(member) offsetof(struct export_options, member)
static const struct cli_option export_options[] = {
	AUDIT_FILTER_OPTIONS,
	AUDIT_TIME_OPTIONS,
	{"format",  0,   CLI_TEXT, AT(format)},
	{ "output", 'o', CLI_TEXT, AT(file)  },
	{ "cursor", 0,   CLI_TEXT, AT(cursor)},
	{ NULL,	0,   CLI_TEXT, 0	       },
};

struct export
{
	struct cli *cli;
	FILE *out;
	const char *part; /* NULL: standard output */
	const char *file;
	struct buf held; /* the last line, and what is begun behind it */
	bool too_long;
	bool unwritten;
	int problem; /* errno */
};

/* --- writing --------------------------------------------------------------------------------- */

static bool put(struct export *export, const char *p, size_t n)
{
	if (n > 0 && fwrite(p, 1, n, export->out) != n) {
		export->unwritten = true;
		export->problem = errno;
	}
	return !export->unwritten;
}

/* Of these bytes, where the last line begins that is complete or begun. */
static size_t last_line(const char *p, size_t n)
{
	size_t at = n > 0 && p[n - 1] == '\n' ? n - 1 : n;

	while (at > 0 && p[at - 1] != '\n')
		at--;
	return at;
}

static bool on_data(void *ctx, const char *p, size_t n)
{
	struct export *export = ctx;
	size_t keep;

	if (buf_append(&export->held, p, n) < 0) {
		export->too_long = true;
		return false;
	}
	keep = last_line(export->held.data, export->held.len);
	if (!put(export, export->held.data, keep))
		return false;
	buf_consume(&export->held, keep);
	return true;
}

/* --- the end --------------------------------------------------------------------------------- */

/* What the gateway said of why; *why "": nothing, and the line, if it is one, is a row. */
static void read_cut(struct export *export, const char **why, const char **cursor)
{
	struct span line = span_trim(buf_span(&export->held));
	struct arena *arena = export->cli->arena;
	struct err ignored;
	const char *text, *at;

	*why = "";
	*cursor = NULL;
	if (line.n > 0 && line.p[0] == '{' && span_check(line, NULL, &ignored) == 0 &&
	    span_string_is(span_get(span_get(line, "error"), "code"), "cut")) {
		*why = audit_cell(export->cli, line, "error.detail");
		*cursor = cli_cell(arena, line, "error.cursor");
		return;
	}
	if (line.n < strlen(CUT_CSV) || memcmp(line.p, CUT_CSV, strlen(CUT_CSV)) != 0)
		return;
	text = arena_dup(arena, line.p + strlen(CUT_CSV), line.n - strlen(CUT_CSV));
	at = strstr(text, CURSOR_CSV);
	*why = at == NULL ? text : arena_dup(arena, text, (size_t)(at - text));
	if (at != NULL && at[strlen(CURSOR_CSV)] != '\0')
		*cursor = arena_strdup(arena, at + strlen(CURSOR_CSV));
}

static int report_cut(struct export *export)
{
	struct cli *cli = export->cli;
	const char *why, *cursor;

	read_cut(export, &why, &cursor);
	/* A line that is complete is a row; one that is not is none. */
	if (why[0] == '\0' && export->held.len > 0 &&
	    export->held.data[export->held.len - 1] == '\n')
		put(export, export->held.data, export->held.len);
	fflush(export->out);
	return cli_fail(cli, EXIT_UNEXPECTED, "cut", "the export is not complete%s%s%s%s%s%s",
			why[0] != '\0' ? ": " : "", why,
			export->part != NULL ? "; what came of it is in " : "",
			export->part != NULL ? export->part : "",
			cursor != NULL ? "; the rest: --cursor " : "",
			cursor != NULL ? cursor : "");
}

static int finish_file(struct export *export)
{
	if (fflush(export->out) != 0 ||
	    (export->part != NULL &&
	     (fsync(fileno(export->out)) < 0 || rename(export->part, export->file) < 0)))
		return cli_fail(export->cli, EXIT_UNEXPECTED, "output", "%s: %s",
				export->file != NULL ? export->file : "standard output",
				strerror(errno));
	return EXIT_OK;
}

static int finish(struct export *export, enum cli_stream_end end)
{
	if (export->too_long)
		return cli_fail(export->cli, EXIT_UNEXPECTED, "too_large",
				"a line has more than %zu bytes", MAX_HELD_BYTES);
	if (end == CLI_STREAM_WHOLE)
		put(export, export->held.data, export->held.len);
	if (export->unwritten)
		return cli_fail(export->cli, EXIT_UNEXPECTED, "output", "%s: %s",
				export->file != NULL ? export->file : "standard output",
				strerror(export->problem));
	return end == CLI_STREAM_WHOLE ? finish_file(export) : report_cut(export);
}

/* Nobody but the caller reads what others called. */
static int open_file(struct export *export)
{
	int fd;

	if (export->file == NULL || strcmp(export->file, "-") == 0) {
		export->file = NULL;
		export->out = stdout;
		return EXIT_OK;
	}
	export->part = arena_printf(export->cli->arena, "%s.part", export->file);
	fd = open(export->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	export->out = fd >= 0 ? fdopen(fd, "w") : NULL;
	if (export->out == NULL)
		return cli_fail(export->cli, EXIT_USAGE, "output", "%s: %s", export->part,
				strerror(errno));
	return EXIT_OK;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct export_options *options = ctx;
	struct export export = { .cli = cli, .file = options->file };
	const struct cli_stream stream = { .data = on_data, .ctx = &export };
	const char *path = audit_path(cli, "/audit/export", &options->filters);
	enum cli_stream_end end;
	int code = open_file(&export);

	if (code != EXIT_OK)
		return code;
	path = audit_path_with(cli, path, "format", options->format);
	path = audit_path_with(cli, path, "cursor", options->cursor);
	buf_init(&export.held, MAX_HELD_BYTES);
	code = cli_stream(cli,
			  &(struct cli_request){ .method = "GET", .path = path, .streams = true },
			  &stream, &end);
	if (end != CLI_STREAM_REFUSED)
		code = finish(&export, end);
	else if (export.part != NULL)
		unlink(export.part);
	if (export.part != NULL)
		fclose(export.out);
	buf_fini(&export.held);
	return code;
}

const struct cli_command cli_audit_export = { export_options, sizeof(struct export_options),
					      CLI_ADMIN, run };
