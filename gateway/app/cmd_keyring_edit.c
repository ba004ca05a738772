/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keyring create|add|promote|retire: the keys in the file. */

#include <inttypes.h>

#include "base/text.h"
#include "gateway/app/cmd_keyring.h"
#include "tokenstore/keyring.h"

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

int keyring_create_run(struct cli *cli, const void *options)
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

int keyring_add_run(struct cli *cli, const void *options)
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

int keyring_promote_run(struct cli *cli, const void *options)
{
	return edit_file(cli, options, promote_steps);
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
		code = keyring_command_count(&editing->command, editing->id, &n);
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

int keyring_retire_run(struct cli *cli, const void *options)
{
	return edit_file(cli, options, retire_steps);
}
