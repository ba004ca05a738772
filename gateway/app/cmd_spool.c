/* SPDX-License-Identifier: Apache-2.0 */

/* `tollgate spool`: the spools of machines that are no more. Nobody adopts those by itself, because
 * they lie in no gateway's data directory. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit/book.h"
#include "audit/survey.h"
#include "base/db.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/app/cli.h"
#include "gateway/app/config_priv.h"
#include "gateway/app/dev_cluster.h"

#define STALL_MS	"30s" /* without a row that PostgreSQL takes */
#define OP_TIMEOUT_MS	30000
#define LEAST_MAX_BYTES ((size_t)64 << 20)

struct spool_options {
	struct cli_config_options config; /* first: as cli_config_sources takes them */
	const char *dir;
	const char *stall;
};

/* --- show ------------------------------------------------------------------------------------ */

static const char *time_text(struct arena *arena, int64_t us)
{
	time_t seconds = (time_t)(us / 1000000);
	char text[40];
	struct tm parts;

	if (us == 0)
		return "null";
	gmtime_r(&seconds, &parts);
	strftime(text, sizeof(text), "\"%Y-%m-%dT%H:%M:%SZ\"", &parts);
	return arena_strdup(arena, text);
}

static int look(const struct cli *cli, struct survey *survey)
{
	struct err err;

	if (survey_read(cli->words[0], survey, &err) == 0)
		return EXIT_OK;
	return cli_fail(cli, err.code == ERR_NOT_FOUND ? EXIT_USAGE : EXIT_UNEXPECTED,
			err_name(err.code), "%s", err.text);
}

static int show(struct cli *cli, const void *options)
{
	struct survey survey;
	int code = look(cli, &survey);

	(void)options;
	if (code != EXIT_OK)
		return code;
	return cli_print_object(
		cli, span_of(arena_printf(
			     cli->arena,
			     "{\"in_use\":%s,\"segments\":%zu,\"bytes\":%zu,\"records\":%" PRIu64
			     ",\"rows\":%" PRIu64 ",\"open_intents\":%" PRIu64
			     ",\"unreadable\":%" PRIu64 ",\"oldest\":%s,\"newest\":%s}",
			     survey.spool.has_owner ? "true" : "false", survey.spool.n_segments,
			     survey.spool.bytes, survey.n_records, survey.n_rows, survey.n_open,
			     survey.n_unreadable + survey.spool.n_lost,
			     time_text(cli->arena, survey.oldest_us),
			     time_text(cli->arena, survey.newest_us))));
}

/* --- drain ----------------------------------------------------------------------------------- */

struct draining {
	struct cli *cli;
	struct config config;
	int64_t stall_ms;
	struct loop *loop;
	struct db *db;
	struct book *book;
	struct book_flush *flush;
	uint64_t written; /* when it was last looked */
};

static void keep_first(void *ctx, const char *text)
{
	struct err *err = ctx;

	if (err->text[0] == '\0')
		err_set(err, ERR_BAD_REQUEST, "%s", text);
}

static int read_settings(struct config *config, const struct spool_options *options,
			 struct err *err)
{
	const struct config_sources sources = cli_config_sources(&options->config);
	const char *file = config_file(&sources);
	size_t n = 0;
	struct err first = { .text = "" };
	const struct config_problems problems = { .tell = keep_first, .ctx = &first, .n = &n };

	if (file != NULL)
		config_read_file(config, file, &problems);
	config_read_environment(config, &problems);
	config_read_sets(config, &sources, &problems);
	if (n > 0)
		*err = first;
	return n > 0 ? -1 : 0;
}

static int read_development(struct config *config, const char *dir, struct err *err)
{
	char *absolute = realpath(dir, NULL);
	struct dev_cluster cluster;
	char *url;
	int ret;

	if (absolute == NULL)
		return err_set(err, ERR_BAD_REQUEST, "%s: %s", dir, strerror(errno));
	ret = dev_cluster_locate(&cluster, absolute, err);
	free(absolute);
	if (ret < 0)
		return -1;
	url = dev_cluster_url(&cluster, DEV_DATABASE, "tollgate_audit_writer");
	ret = config_set(config, "drain_database_url", url, err);
	free(url);
	return ret;
}

static int configure(struct draining *draining, const struct spool_options *options,
		     struct err *err)
{
	struct config *config = &draining->config;

	if (options->dir != NULL && (options->config.file != NULL || options->config.sets.n > 0))
		return err_set(err, ERR_BAD_REQUEST, "say --dir or --config, not both");
	if (text_duration_ms(options->stall != NULL ? options->stall : STALL_MS,
			     &draining->stall_ms, err) < 0)
		return err_prefix(err, "--stall");
	if ((options->dir != NULL ? read_development(config, options->dir, err)
				  : read_settings(config, options, err)) < 0)
		return -1;
	if (config->drain_database_url == NULL || config->drain_database_url[0] == '\0')
		return err_set(err, ERR_BAD_REQUEST, "drain_database_url is not set");
	return 0;
}

static int open_book(struct draining *draining, const struct survey *survey, struct err *err)
{
	size_t max_bytes = (size_t)draining->config.spool_max_bytes;

	/* Whatever it holds: there must be room to close what is open. */
	if (max_bytes < 2 * survey->spool.bytes + LEAST_MAX_BYTES)
		max_bytes = 2 * survey->spool.bytes + LEAST_MAX_BYTES;
	draining->loop = loop_new();
	draining->db =
		db_new(draining->loop, &(struct db_params){
					       .conninfo = draining->config.drain_database_url,
					       .max_connections = 1,
					       .connect_timeout_ms = draining->config.db_timeout_ms,
					       .op_timeout_ms = OP_TIMEOUT_MS,
					       .idle_ms = OP_TIMEOUT_MS,
					       .max_queued = 1,
				       });
	draining->book = book_open(&(struct book_params){ .loop = draining->loop,
							  .db = draining->db,
							  .spool_dir = draining->cli->words[0],
							  .spool_max_bytes = max_bytes,
							  .fsync = true },
				   err);
	return draining->book != NULL ? 0 : -1;
}

static void on_flushed(void *ctx)
{
	struct draining *draining = ctx;
	struct book_stats stats;

	book_stats(draining->book, &stats);
	if (stats.backlog == 0 || stats.written == draining->written) {
		loop_stop(draining->loop);
		return;
	}
	draining->written = stats.written;
	book_flush_start(draining->book, &draining->flush, draining->stall_ms, on_flushed,
			 draining);
}

static int report(struct draining *draining, const struct survey *survey,
		  const struct book_stats *stats)
{
	const struct cli *cli = draining->cli;

	if (stats->backlog > 0)
		return cli_fail(cli, EXIT_UNREACHABLE, "database",
				"PostgreSQL takes no rows: %" PRIu64 " were taken, %" PRIu64
				" are still in %s; say it again",
				stats->written, stats->backlog, cli->words[0]);
	if (stats->lost > 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "lost",
				"%" PRIu64 " rows were taken, %" PRIu64
				" records could not be read or were refused: the log says which",
				stats->written, stats->lost);
	return cli_print_object(
		draining->cli,
		span_of(arena_printf(draining->cli->arena,
				     "{\"rows\":%" PRIu64 ",\"unknown\":%" PRIu64 "}",
				     stats->written, survey->n_open)));
}

static int drain_book(struct draining *draining, const struct survey *survey)
{
	struct book_stats stats;
	struct err err;
	int code;

	if (open_book(draining, survey, &err) < 0) {
		code = cli_fail(draining->cli, EXIT_UNEXPECTED, err_name(err.code), "%s", err.text);
	} else {
		book_flush_start(draining->book, &draining->flush, draining->stall_ms, on_flushed,
				 draining);
		loop_run(draining->loop);
		book_stats(draining->book, &stats);
		code = report(draining, survey, &stats);
	}
	book_close(&draining->book);
	db_free(&draining->db);
	loop_free(&draining->loop);
	return code;
}

static int drain(struct cli *cli, const void *options)
{
	struct draining draining = { .cli = cli };
	struct survey survey = { 0 };
	struct err err;
	int code;

	config_init(&draining.config);
	log_configure(LOG_WARN, LOG_AUTO);
	if (configure(&draining, options, &err) < 0)
		code = cli_fail(cli, EXIT_USAGE, "config", "%s", err.text);
	else
		code = look(cli, &survey);
	if (code == EXIT_OK && survey.spool.has_owner)
		code = cli_fail(cli, EXIT_UNEXPECTED, "conflict",
				"%s is in use: the process that has it open drains it",
				cli->words[0]);
	else if (code == EXIT_OK)
		code = drain_book(&draining, &survey);
	config_free(&draining.config);
	return code;
}

/* --- the commands ---------------------------------------------------------------------------- */

#define AT(member) offsetof(struct spool_options, member)

static const struct cli_option drain_options[] = {
	{"config", 'c', CLI_TEXT, AT(config.file)},
	{ "set",	 0,   CLI_LIST, AT(config.sets)},
	{ "dir",	 0,   CLI_TEXT, AT(dir)	      },
	{ "stall", 0,   CLI_TEXT, AT(stall)	  },
	{ NULL,	0,   CLI_TEXT, 0	       },
};

const struct cli_command cli_spool_show = { NULL, 0, CLI_LOCAL, show };
const struct cli_command cli_spool_drain = { drain_options, sizeof(struct spool_options), CLI_LOCAL,
					     drain };
