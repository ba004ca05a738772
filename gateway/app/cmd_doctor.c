/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate doctor: is everything as a gateway needs it, and what to do if not. */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/app/cli.h"
#include "gateway/app/dev_cluster.h"
#include "gateway/app/doctor.h"
#include "tokenstore/keyring.h"

#define DEV_DIR	       ".run"
#define MAX_DEV_BYTES  65536
#define MAX_JSON_BYTES ((size_t)1 << 20)

struct doctor_options {
	struct cli_config_options config; /* first: as cli_config_sources takes them */
	const char *dir;
	bool json;
};
#define AT(member) offsetof(struct doctor_options, member)

static const struct cli_option doctor_options[] = {
	{"config", 'c', CLI_TEXT, AT(config.file)},
	{ "set",	 0,   CLI_LIST, AT(config.sets)},
	{ "dir",	 0,   CLI_TEXT, AT(dir)	      },
	{ "json",  0,   CLI_FLAG, AT(json)	},
	{ NULL,	0,   CLI_TEXT, 0	       },
};

const char *verdict_name(enum verdict verdict)
{
	static const char *const names[] = {
		[VERDICT_OK] = "ok",
		[VERDICT_WARN] = "warn",
		[VERDICT_FAIL] = "fail",
	};

	return names[verdict];
}

void doctor_found(struct doctor *doctor, struct finding *finding, enum verdict verdict,
		  const char *fix, const char *format, ...)
{
	char text[sizeof(((struct err *)0)->text) + 512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	*finding = (struct finding){ verdict, arena_strdup(doctor->arena, text), fix };
}

/* --- what is looked at ----------------------------------------------------------------------- */

static void keep_first(void *ctx, const char *text)
{
	struct doctor *doctor = ctx;

	if (doctor->problem == NULL)
		doctor->problem = arena_strdup(doctor->arena, text);
}

static void read_deployment(struct doctor *doctor, const struct config_sources *sources)
{
	const struct config_problems problems = { .tell = keep_first, .ctx = doctor };
	const char *file = config_file(sources);

	doctor->n_problems = config_read(&doctor->config, sources, &problems);
	doctor->source = file != NULL ? arena_strdup(doctor->arena, file)
				      : "the environment and --set; no file";
}

static void set(struct doctor *doctor, const char *name, const char *value)
{
	struct err err;

	if (config_set(&doctor->config, name, value, &err) < 0)
		keep_first(doctor, err.text);
}

/* "http://127.0.0.1:8080" of dev.json as an address to listen on. */
static void set_listener(struct doctor *doctor, const char *name, const char *url)
{
	static const char scheme[] = "http://";

	if (url != NULL && strncmp(url, scheme, strlen(scheme)) == 0)
		set(doctor, name, url + strlen(scheme));
}

/* What the running one has written down of itself; none of it is there while none runs. */
static void read_dev_json(struct cli *cli, struct doctor *doctor)
{
	const char *path = arena_printf(cli->arena, "%s/dev.json", doctor->dev_dir);
	struct span text;
	struct err err;

	if (access(path, F_OK) < 0 || cli_read_file(cli, path, &text, &err) < 0 ||
	    span_check(text, NULL, &err) < 0) {
		set(doctor, "public_url", "http://127.0.0.1:8080");
		return;
	}
	set(doctor, "public_url", cli_cell(cli->arena, text, "public_url"));
	set_listener(doctor, "listen", cli_cell(cli->arena, text, "public_url"));
	set_listener(doctor, "key_listen", cli_cell(cli->arena, text, "key_url"));
	set_listener(doctor, "ops_listen", cli_cell(cli->arena, text, "ops_url"));
}

/* The same settings that tollgate dev makes for itself. */
static void read_development(struct cli *cli, struct doctor *doctor)
{
	struct dev_cluster cluster;
	struct err err;
	char *url;

	config_init(&doctor->config);
	doctor->source = arena_printf(doctor->arena, "development in %s", doctor->dev_dir);
	set(doctor, "data_dir", arena_printf(doctor->arena, "%s/data", doctor->dev_dir));
	set(doctor, "keyring_file",
	    arena_printf(doctor->arena, "%s/keyring.json", doctor->dev_dir));
	read_dev_json(cli, doctor);
	if (dev_cluster_locate(&cluster, doctor->dev_dir, &err) < 0) {
		keep_first(doctor, err.text);
		return;
	}
	url = dev_cluster_url(&cluster, DEV_DATABASE, "tollgate_app");
	set(doctor, "database_url", url);
	free(url);
	url = dev_cluster_url(&cluster, DEV_DATABASE, "tollgate_audit_writer");
	set(doctor, "drain_database_url", url);
	free(url);
}

/* Returns an exit code. Nothing said: the deployment's configuration, else ./.run. */
static int choose(struct cli *cli, struct doctor *doctor, const struct doctor_options *options)
{
	const struct config_sources sources = cli_config_sources(&options->config);
	const char *dir = options->dir;
	struct stat info;
	char *absolute;

	if (dir != NULL && (sources.file != NULL || sources.n_sets > 0))
		return cli_misuse(cli, "say --dir or --config, not both");
	if (dir == NULL && sources.n_sets == 0 && config_file(&sources) == NULL &&
	    getenv("TOLLGATE_DATABASE_URL") == NULL && stat(DEV_DIR, &info) == 0)
		dir = DEV_DIR;
	if (dir == NULL) {
		read_deployment(doctor, &sources);
		return EXIT_OK;
	}
	absolute = realpath(dir, NULL);
	if (absolute == NULL)
		return cli_misuse(cli, "%s: %s", dir, strerror(errno));
	doctor->dev_dir = arena_strdup(cli->arena, absolute);
	free(absolute);
	read_development(cli, doctor);
	return EXIT_OK;
}

/* --- what was found -------------------------------------------------------------------------- */

struct findings {
	const struct cli *cli;
	size_t counts[VERDICT_FAIL + 1];
	struct buf json; /* the objects, with commas */
};

static void tell(struct findings *findings, const char *name, const struct finding *finding)
{
	struct buf *json = &findings->json;

	findings->counts[finding->verdict]++;
	if (findings->cli->output == OUTPUT_TABLE) {
		printf("%-4s  %-14s ", verdict_name(finding->verdict), name);
		fflush(stdout);
		cli_print_text(stdout, span_of(finding->text));
		if (finding->fix != NULL)
			printf("%21s→ %s\n", "", finding->fix);
		return;
	}
	buf_printf(json, "%s{\"name\":\"%s\",\"state\":\"%s\",\"text\":", json->len > 0 ? "," : "",
		   name, verdict_name(finding->verdict));
	buf_add_json_string(json, finding->text, strlen(finding->text));
	buf_add(json, ",\"fix\":");
	if (finding->fix != NULL)
		buf_add_json_string(json, finding->fix, strlen(finding->fix));
	else
		buf_add(json, "null");
	buf_add(json, "}");
}

static void run_checks(struct doctor *doctor, struct findings *findings)
{
	static const struct check *const groups[] = { doctor_local_checks, doctor_database_checks,
						      doctor_gateway_checks };

	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		for (const struct check *check = groups[i]; check->name != NULL; check++) {
			struct finding finding = { .text = "" };

			check->run(doctor, &finding);
			tell(findings, check->name, &finding);
		}
	}
}

static int conclude(const struct findings *findings)
{
	const size_t *counts = findings->counts;

	if (findings->cli->output == OUTPUT_JSON)
		printf("{\"ok\":%s,\"checks\":[%s]}\n",
		       counts[VERDICT_FAIL] == 0 ? "true" : "false", buf_str(&findings->json));
	else
		printf("\n%zu ok, %zu warn, %zu fail\n", counts[VERDICT_OK], counts[VERDICT_WARN],
		       counts[VERDICT_FAIL]);
	if (counts[VERDICT_FAIL] == 0)
		return EXIT_OK;
	if (findings->cli->output == OUTPUT_JSON)
		return cli_fail(findings->cli, EXIT_UNEXPECTED, "doctor", "%zu checks fail",
				counts[VERDICT_FAIL]);
	return EXIT_UNEXPECTED;
}

static int examine(struct cli *cli, const void *ctx)
{
	const struct doctor_options *options = ctx;
	struct doctor doctor = { .arena = cli->arena };
	struct findings findings = { .cli = cli };
	int code;

	if (options->json)
		cli->output = OUTPUT_JSON;
	code = choose(cli, &doctor, options);
	if (code != EXIT_OK)
		return code;
	log_configure(LOG_ERROR, LOG_AUTO); /* what is found out is told here */
	doctor.loop = loop_new();
	doctor.workers =
		doctor.config.workers > 0 ? doctor.config.workers : sysconf(_SC_NPROCESSORS_ONLN);
	buf_init(&findings.json, MAX_JSON_BYTES);
	run_checks(&doctor, &findings);
	code = conclude(&findings);
	buf_fini(&findings.json);
	db_free(&doctor.db);
	keyring_free(&doctor.keyring);
	loop_free(&doctor.loop);
	config_free(&doctor.config);
	return code;
}

const struct cli_command cli_doctor = { doctor_options, sizeof(struct doctor_options), CLI_LOCAL,
					examine };
