/* SPDX-License-Identifier: Apache-2.0 */

/* What the commands `tollgate keyring …` share, their options, and `list`. */

#include "gateway/app/cmd_keyring.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "gateway/app/config_priv.h"
#include "gateway/app/dev_cluster.h"
#include "tokenstore/keyring.h"

#define WAIT_LOOK_MS 500
#define WAIT_MAX_MS  90000 /* a worker that died is forgotten after a minute */
/* --- settings -------------------------------------------------------------------------------- */

int keyring_command_failed(const struct keyring_command *command, const struct err *err)
{
	int code = err->code == ERR_UNAVAILABLE || err->code == ERR_TIMEOUT ? EXIT_UNREACHABLE
		   : err->code == ERR_BAD_REQUEST			    ? EXIT_USAGE
									    : EXIT_UNEXPECTED;

	return cli_fail(command->cli, code, err_name(err->code), "%s", err->text);
}

static void keep_first(void *ctx, const char *text)
{
	struct err *err = ctx;

	if (err->text[0] == '\0')
		err_set(err, ERR_BAD_REQUEST, "%s", text);
}

/* As serve reads them, but what a gateway needs beside may be missing. */
static int read_settings(struct keyring_command *command, struct err *err)
{
	const struct config_sources sources = cli_config_sources(&command->options->config);
	const char *file = config_file(&sources);
	size_t n = 0;
	struct err first = { .text = "" };
	const struct config_problems problems = { .tell = keep_first, .ctx = &first, .n = &n };

	if (file != NULL)
		config_read_file(&command->config, file, &problems);
	config_read_environment(&command->config, &problems);
	config_read_sets(&command->config, &sources, &problems);
	config_find_credential(&command->config);
	if (n > 0)
		*err = first;
	return n > 0 ? -1 : 0;
}

/* Those of `tollgate dev --dir`. */
static int read_development(struct keyring_command *command, struct err *err)
{
	char *absolute = realpath(command->options->dir, NULL);
	struct dev_cluster cluster;
	char *url = NULL;
	char *path = NULL;
	char *data = NULL;
	int ret = -1;

	if (absolute == NULL) {
		err_set(err, ERR_BAD_REQUEST, "%s: %s", command->options->dir, strerror(errno));
	} else if (dev_cluster_locate(&cluster, absolute, err) == 0) {
		url = dev_cluster_url(&cluster, DEV_DATABASE, "tollgate_app");
		path = mem_printf("%s/keyring.json", absolute);
		data = mem_printf("%s/data", absolute);
		if (config_set(&command->config, "database_url", url, err) == 0 &&
		    config_set(&command->config, "data_dir", data, err) == 0)
			ret = config_set(&command->config, "keyring_file", path, err);
	}
	free(url);
	free(path);
	free(data);
	free(absolute);
	return ret;
}

int keyring_command_open(struct keyring_command *command, struct cli *cli,
			 const struct keyring_options *options)
{
	struct err err = { .text = "" };
	int ret;

	*command = (struct keyring_command){ .cli = cli, .options = options };
	config_init(&command->config);
	log_configure(LOG_ERROR, LOG_AUTO); /* what is found out is told here */
	if (options->dir != NULL && (options->config.file != NULL || options->config.sets.n > 0))
		return cli_misuse(cli, "say --dir or --config, not both");
	ret = options->dir != NULL ? read_development(command, &err) : read_settings(command, &err);
	return ret == 0 ? EXIT_OK : cli_fail(cli, EXIT_USAGE, "config", "%s", err.text);
}

int keyring_command_connect(struct keyring_command *command)
{
	struct err err;

	if (key_walk_open(&command->walk, command->cli->arena, &command->config, &err) < 0)
		return keyring_command_failed(command, &err);
	command->cli->loop = command->walk.loop;
	return EXIT_OK;
}

void keyring_command_close(struct keyring_command *command)
{
	if (command->walk.loop != NULL)
		key_walk_close(&command->walk);
	command->cli->loop = NULL;
	config_free(&command->config);
}

/* --- workers --------------------------------------------------------------------------------- */

static size_t count_blocking(const struct key_worker *workers, size_t n, enum key_wait what,
			     const struct key_worker **first)
{
	size_t blocking = 0;

	for (size_t i = 0; i < n; i++) {
		if (what == WAIT_UNTIL_KNOWN ? workers[i].has_key : !workers[i].wraps)
			continue;
		if (blocking++ == 0)
			*first = &workers[i];
	}
	return blocking;
}

static const char *blocked_by(const struct keyring_command *command, uint32_t key_id,
			      enum key_wait what, size_t n, const struct key_worker *first)
{
	return arena_printf(command->cli->arena,
			    "%zu workers %s key %" PRIu32 ", such as %s pid %lld", n,
			    what == WAIT_UNTIL_KNOWN ? "do not have" : "still wrap with", key_id,
			    first->host, (long long)first->pid);
}

int keyring_command_wait(struct keyring_command *command, uint32_t key_id, enum key_wait what)
{
	for (int64_t waited_ms = 0;; waited_ms += WAIT_LOOK_MS) {
		const struct key_worker *first = NULL;
		struct key_worker *workers;
		struct err err;
		size_t n;

		if (key_walk_workers(&command->walk, key_id, &workers, &n, &err) < 0)
			return keyring_command_failed(command, &err);
		n = count_blocking(workers, n, what, &first);
		if (n == 0)
			return EXIT_OK;
		if (waited_ms >= WAIT_MAX_MS)
			return cli_fail(command->cli, EXIT_UNEXPECTED, "conflict",
					"%s: give every gateway the same keyring file first",
					blocked_by(command, key_id, what, n, first));
		if (waited_ms == 0 && command->cli->output == OUTPUT_TABLE)
			fprintf(stderr, "waiting: %s\n",
				blocked_by(command, key_id, what, n, first));
		cli_wait(command->cli, WAIT_LOOK_MS);
	}
}

int keyring_command_count(struct keyring_command *command, uint32_t kek_id, size_t *n)
{
	struct key_walk *walk = &command->walk;
	struct err err;

	*n = 0;
	for (size_t i = 0; i < walk->n_tenants; i++) {
		struct data_key *keys;
		size_t n_keys;

		if (key_walk_data_keys(walk, &walk->tenants[i], &keys, &n_keys, &err) < 0)
			return keyring_command_failed(command, &err);
		for (size_t j = 0; j < n_keys; j++)
			*n += keys[j].kek_id == kek_id;
	}
	return EXIT_OK;
}

/* --- list ------------------------------------------------------------------------------------ */

/* What the database says of a key; an empty text where it was not asked. */
struct usage {
	const char *data_keys;
	const char *workers;
};

static int find_usage(struct keyring_command *command, uint32_t id, struct usage *usage)
{
	struct key_worker *workers;
	size_t n_wrapped, n, n_have = 0;
	struct err err;
	int code;

	*usage = (struct usage){ NULL, NULL };
	if (command->options->offline)
		return EXIT_OK;
	code = keyring_command_count(command, id, &n_wrapped);
	if (code != EXIT_OK)
		return code;
	if (key_walk_workers(&command->walk, id, &workers, &n, &err) < 0)
		return keyring_command_failed(command, &err);
	for (size_t i = 0; i < n; i++)
		n_have += workers[i].has_key;
	usage->data_keys = arena_printf(command->cli->arena, "%zu", n_wrapped);
	usage->workers = arena_printf(command->cli->arena, "%zu of %zu", n_have, n);
	return EXIT_OK;
}

static int print_keys(struct keyring_command *command, const struct keyring *keyring)
{
	static const struct cli_column columns[] = {
		{"ID",		"id"	     },
		  { "PRIMARY",   "primary"	 },
		    { "DATA KEYS", "data_keys"},
		{ "WORKERS",   "workers"  },
		  { NULL,	  NULL       },
	};
	struct arena *arena = command->cli->arena;
	uint32_t ids[KEYRING_MAX_KEYS];
	size_t n = keyring_ids(keyring, ids);
	struct span *items = arena_alloc(arena, n * sizeof(*items));

	for (size_t i = 0; i < n; i++) {
		struct usage usage;
		int code = find_usage(command, ids[i], &usage);

		if (code != EXIT_OK)
			return code;
		items[i] = span_of(arena_printf(
			arena,
			"{\"id\":%" PRIu32 ",\"primary\":%s,\"data_keys\":%s,\"workers\":%s%s%s}",
			ids[i], ids[i] == keyring_primary(keyring) ? "true" : "false",
			usage.data_keys != NULL ? usage.data_keys : "null",
			usage.workers != NULL ? "\"" : "",
			usage.workers != NULL ? usage.workers : "null",
			usage.workers != NULL ? "\"" : ""));
	}
	return cli_print_list(command->cli, columns, items, n);
}

static int list(struct cli *cli, const void *options)
{
	struct keyring_command command;
	struct keyring *keyring = NULL;
	struct err err;
	int code = keyring_command_open(&command, cli, options);

	if (code == EXIT_OK) {
		keyring = keyring_load(command.config.keyring_file, &err);
		if (keyring == NULL)
			code = keyring_command_failed(&command, &err);
	}
	if (code == EXIT_OK && !command.options->offline)
		code = keyring_command_connect(&command);
	if (code == EXIT_OK)
		code = print_keys(&command, keyring);
	keyring_free(&keyring);
	keyring_command_close(&command);
	return code;
}

/* --- the commands ---------------------------------------------------------------------------- */

#define AT(member) offsetof(struct keyring_options, member)
#define CONFIG_OPTION                                                                              \
	{ "config", 'c', CLI_TEXT, AT(config.file) }, { "set", 0, CLI_LIST, AT(config.sets) },     \
	{                                                                                          \
		"dir", 0, CLI_TEXT, AT(dir)                                                        \
	}

static const struct cli_option keyring_options[] = {
	CONFIG_OPTION, {NULL, 0, CLI_TEXT, 0}
};
static const struct cli_option offline_options[] = {
	CONFIG_OPTION, {"offline", 0, CLI_FLAG, AT(offline)},
		{ NULL,	0, CLI_TEXT, 0	       }
};
static const struct cli_option rewrap_options[] = {
	CONFIG_OPTION, {"data-keys", 0, CLI_FLAG, AT(data_keys)},
	    { NULL,	    0, CLI_TEXT, 0		   }
};
#define BYTES sizeof(struct keyring_options)

const struct cli_command cli_keyring_create = { offline_options, BYTES, CLI_LOCAL,
						keyring_create_run };
const struct cli_command cli_keyring_list = { offline_options, BYTES, CLI_LOCAL, list };
const struct cli_command cli_keyring_add = { keyring_options, BYTES, CLI_LOCAL, keyring_add_run };
const struct cli_command cli_keyring_promote = { offline_options, BYTES, CLI_LOCAL,
						 keyring_promote_run };
const struct cli_command cli_keyring_retire = { keyring_options, BYTES, CLI_LOCAL,
						keyring_retire_run };
const struct cli_command cli_keyring_rewrap = { rewrap_options, BYTES, CLI_LOCAL,
						keyring_rewrap_run };
const struct cli_command cli_keyring_verify = { keyring_options, BYTES, CLI_LOCAL,
						keyring_verify_run };
