/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keyring create|list|add|promote|retire: the keys in the file. */

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

#define AT(member)   offsetof(struct keyring_options, member)
#define WAIT_LOOK_MS 500
#define WAIT_MAX_MS  90000 /* a worker that died is forgotten after a minute */
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
	int ret = -1;

	if (absolute == NULL) {
		err_set(err, ERR_BAD_REQUEST, "%s: %s", command->options->dir, strerror(errno));
	} else if (dev_cluster_locate(&cluster, absolute, err) == 0) {
		url = dev_cluster_url(&cluster, DEV_DATABASE, "tollgate_app");
		path = mem_printf("%s/keyring.json", absolute);
		if (config_set(&command->config, "database_url", url, err) == 0)
			ret = config_set(&command->config, "keyring_file", path, err);
	}
	free(url);
	free(path);
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

/* --- the file -------------------------------------------------------------------------------- */

static int parse_id(const struct cli *cli, uint32_t *id)
{
	uint64_t number;
	struct err err;

	if (text_uint(cli->words[0], 1, UINT32_MAX, &number, &err) < 0)
		return cli_misuse(cli, "the id of a key: %s", err.text);
	*id = (uint32_t)number;
	return EXIT_OK;
}

static void tell_done(const struct cli *cli, uint32_t id, const char *what)
{
	if (cli->output == OUTPUT_JSON)
		printf("{\"id\":%" PRIu32 "}\n", id);
	else
		printf("key %" PRIu32 " %s\n", id, what);
}

/* A new keyring would make all that was sealed with the old one useless: only for a database that
 * has none. */
static int check_unbound(struct keyring_command *command)
{
	int code;

	if (command->options->offline)
		return EXIT_OK;
	code = keyring_command_connect(command);
	if (code != EXIT_OK)
		return code;
	if (command->walk.key_check == NULL && command->walk.n_tenants == 0)
		return EXIT_OK;
	return cli_fail(command->cli, EXIT_UNEXPECTED, "conflict",
			"the database is bound to a keyring already: put that one at %s",
			command->config.keyring_file);
}

static int create_file(struct keyring_command *command)
{
	const char *path = command->config.keyring_file;
	struct err err;

	if (keyring_is_credential(path))
		return cli_fail(command->cli, EXIT_USAGE, "config",
				"keyring %s would be a credential of the service manager: say with "
				"--set keyring_file=… where to make it",
				path);
	if (keyring_create(path, &err) < 0)
		return keyring_command_failed(command, &err);
	if (command->cli->output == OUTPUT_JSON)
		tell_done(command->cli, 1, "");
	else
		printf("%s: a new keyring; keep a copy where the database's backups are not\n",
		       path);
	return EXIT_OK;
}

static int create(struct cli *cli, const void *options)
{
	struct keyring_command command;
	int code = keyring_command_open(&command, cli, options);

	if (code == EXIT_OK)
		code = check_unbound(&command);
	if (code == EXIT_OK)
		code = create_file(&command);
	keyring_command_close(&command);
	return code;
}

/* What add, promote and retire have in common. */
struct editing {
	struct keyring_command command;
	struct keyring_edit edit;
	uint32_t id;
};

static int change_file(struct editing *editing, int (*change)(struct editing *, struct err *))
{
	struct err err;

	if (change(editing, &err) < 0) {
		err_prefix(&err, "keyring %s", editing->edit.path);
		return keyring_command_failed(&editing->command, &err);
	}
	if (keyring_edit_save(&editing->edit, &err) < 0)
		return keyring_command_failed(&editing->command, &err);
	return EXIT_OK;
}

static int edit_file(struct cli *cli, const void *options, int (*steps)(struct editing *editing))
{
	struct editing editing = { .id = 0 };
	int code = keyring_command_open(&editing.command, cli, options);
	struct err err;

	if (code == EXIT_OK && cli->n_words > 0)
		code = parse_id(cli, &editing.id);
	if (code == EXIT_OK &&
	    keyring_edit_begin(&editing.edit, editing.command.config.keyring_file, &err) < 0) {
		code = keyring_command_failed(&editing.command, &err);
	} else if (code == EXIT_OK) {
		code = steps(&editing);
		keyring_edit_end(&editing.edit);
	}
	keyring_command_close(&editing.command);
	return code;
}

static int change_add(struct editing *editing, struct err *err)
{
	return keyring_add(editing->edit.keyring, &editing->id, err);
}

static int add_steps(struct editing *editing)
{
	int code = change_file(editing, change_add);

	if (code == EXIT_OK)
		tell_done(editing->command.cli, editing->id,
			  "added; when every gateway has the file, promote it");
	return code;
}

static int add(struct cli *cli, const void *options)
{
	return edit_file(cli, options, add_steps);
}

/* The database has to be reached, to be the right one, and its workers to agree. */
static int ask_workers(struct editing *editing, enum key_wait what)
{
	struct err err;
	int code = keyring_command_connect(&editing->command);

	if (code != EXIT_OK)
		return code;
	if (key_walk_check(&editing->command.walk, editing->edit.keyring, &err) < 0)
		return keyring_command_failed(&editing->command, &err);
	return keyring_command_wait(&editing->command, editing->id, what);
}

static int change_promote(struct editing *editing, struct err *err)
{
	return keyring_promote(editing->edit.keyring, editing->id, err);
}

static int no_such_key(const struct editing *editing)
{
	return cli_fail(editing->command.cli, EXIT_UNEXPECTED, "not_found",
			"keyring %s has no key %" PRIu32, editing->edit.path, editing->id);
}

static int promote_steps(struct editing *editing)
{
	int code = EXIT_OK;

	if (!keyring_has(editing->edit.keyring, editing->id))
		return no_such_key(editing);
	if (!editing->command.options->offline)
		code = ask_workers(editing, WAIT_UNTIL_KNOWN);
	if (code == EXIT_OK)
		code = change_file(editing, change_promote);
	if (code == EXIT_OK)
		tell_done(editing->command.cli, editing->id,
			  "is the primary one; rewrap moves what older keys wrap");
	return code;
}

static int promote(struct cli *cli, const void *options)
{
	return edit_file(cli, options, promote_steps);
}

static int count_wrapped(struct keyring_command *command, uint32_t kek_id, size_t *n)
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

static int change_retire(struct editing *editing, struct err *err)
{
	return keyring_remove(editing->edit.keyring, editing->id, err);
}

/* The workers first: what one of them wraps now is counted after. */
static int retire_steps(struct editing *editing)
{
	size_t n;
	int code;

	if (!keyring_has(editing->edit.keyring, editing->id))
		return no_such_key(editing);
	if (editing->id == keyring_primary(editing->edit.keyring))
		return cli_fail(editing->command.cli, EXIT_UNEXPECTED, "conflict",
				"key %" PRIu32 " is the primary one: promote another first",
				editing->id);
	code = ask_workers(editing, WAIT_UNTIL_UNUSED);
	if (code == EXIT_OK)
		code = count_wrapped(&editing->command, editing->id, &n);
	if (code == EXIT_OK && n > 0)
		return cli_fail(editing->command.cli, EXIT_UNEXPECTED, "conflict",
				"key %" PRIu32
				" wraps %zu data keys: tollgate keyring rewrap moves "
				"them to the primary one",
				editing->id, n);
	if (code == EXIT_OK)
		code = change_file(editing, change_retire);
	if (code == EXIT_OK)
		tell_done(editing->command.cli, editing->id,
			  "is gone from the file; copies of the file have it still");
	return code;
}

static int retire(struct cli *cli, const void *options)
{
	return edit_file(cli, options, retire_steps);
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
	code = count_wrapped(command, id, &n_wrapped);
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

#define BYTES sizeof(struct keyring_options)

const struct cli_command cli_keyring_create = { offline_options, BYTES, CLI_LOCAL, create };
const struct cli_command cli_keyring_list = { offline_options, BYTES, CLI_LOCAL, list };
const struct cli_command cli_keyring_add = { keyring_options, BYTES, CLI_LOCAL, add };
const struct cli_command cli_keyring_promote = { offline_options, BYTES, CLI_LOCAL, promote };
const struct cli_command cli_keyring_retire = { keyring_options, BYTES, CLI_LOCAL, retire };
const struct cli_command cli_keyring_rewrap = { rewrap_options, BYTES, CLI_LOCAL,
						keyring_rewrap_run };
const struct cli_command cli_keyring_verify = { keyring_options, BYTES, CLI_LOCAL,
						keyring_verify_run };
