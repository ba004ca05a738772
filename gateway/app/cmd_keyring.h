/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_KEYRING_H
#define GATEWAY_APP_CMD_KEYRING_H

/* What the commands `tollgate keyring …` share. */

#include "gateway/app/cli.h"
#include "gateway/app/key_walk.h"

struct keyring_options {
	struct cli_config_options config; /* first: as cli_config_sources takes them */
	const char *dir;
	bool offline;	/* do not ask the database */
	bool data_keys; /* rewrap: new data keys, too */
};

/* Of one command: the settings, and the database once it is asked. */
struct keyring_command {
	struct cli *cli;
	const struct keyring_options *options;
	struct config config;
	struct key_walk walk;
};
/* Returns an exit code, having complained; to be closed in any case. */
int keyring_command_open(struct keyring_command *command, struct cli *cli,
			 const struct keyring_options *options);
int keyring_command_connect(struct keyring_command *command);
void keyring_command_close(struct keyring_command *command);
int keyring_command_failed(const struct keyring_command *command, const struct err *err);

/* Waits until no worker that lives stands in the way. */
enum key_wait {
	WAIT_UNTIL_KNOWN,  /* to all */
	WAIT_UNTIL_UNUSED, /* by any, to wrap with */
};
int keyring_command_wait(struct keyring_command *command, uint32_t key_id, enum key_wait what);

/* How many data keys that key wraps, over all tenants. An exit code, as above. */
int keyring_command_count(struct keyring_command *command, uint32_t kek_id, size_t *n);

/* The run of each command: cmd_keyring_edit.c has those that change the file. */
int keyring_create_run(struct cli *cli, const void *options);
int keyring_add_run(struct cli *cli, const void *options);
int keyring_promote_run(struct cli *cli, const void *options);
int keyring_retire_run(struct cli *cli, const void *options);
int keyring_rewrap_run(struct cli *cli, const void *options);
int keyring_verify_run(struct cli *cli, const void *options);

#endif
