/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CMD_KEYRING_WALK_H
#define GATEWAY_APP_CMD_KEYRING_WALK_H

/* Going through everything that is sealed, tenant by tenant, and keeping what is wrong with it:
 * what `tollgate keyring verify` and `rewrap` have in common. */

#include "gateway/app/cli.h"
#include "gateway/app/cmd_keyring.h"
#include "tokenstore/keyring.h"

#define WALKING_JSON_BYTES ((size_t)64 << 20)

struct walking {
	struct keyring_command command;
	struct keyring *keyring;
	/* Of the tenant at hand. */
	struct data_key *data_keys;
	struct seal_key *opened; /* dek_id 0: does not open */
	size_t n_data_keys;
	/* Together. */
	size_t n_keys, n_values, n_moved, n_bad;
	struct cli_table table;
	struct buf json; /* the objects, with commas */
};

/* Sets it up; to be ended in any case. Returns an exit code, having complained. */
int walking_start(struct walking *walking, struct cli *cli, const struct keyring_options *options);
void walking_end(struct walking *walking);

/* visit for each tenant: an exit code. */
int walking_each_tenant(struct walking *walking,
			int (*visit)(struct walking *walking, const struct key_tenant *tenant,
				     struct err *err));
/* Loads its data keys, opened as far as they open; reports those that do not. */
int walking_enter(struct walking *walking, const struct key_tenant *tenant,
		  struct err *err) MUST_CHECK;
/* visit, with walking, for each value of all columns of the tenant. */
int walking_each_value(struct walking *walking, const struct key_tenant *tenant,
		       key_walk_visit *visit, struct err *err) MUST_CHECK;

/* Of the tenant at hand. NULL: it has none of that id, or it does not open. */
const struct seal_key *walking_find_key(const struct walking *walking, uint64_t dek_id);
int walking_open_value(const struct walking *walking, const struct key_tenant *tenant,
		       const struct sealed_value *value, struct secret *plain,
		       struct err *err) MUST_CHECK;
/* A value that does not open. */
void walking_report(struct walking *walking, const struct key_tenant *tenant,
		    const struct sealed_value *value, const struct err *problem);

#endif
