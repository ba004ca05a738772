/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keyring rewrap: data keys wrapped with the primary key, or new ones. */

#include "gateway/app/cmd_keyring_walk.h"
#include "gateway/core/tenant.h"

/* What gateways need at most to learn of a new data key: a poll, and some. */
#define SPREAD_MS (TENANT_POLL_MS + 1000)

/* --- rewrap ---------------------------------------------------------------------------------- */

static int rewrap_key(struct walking *walking, const struct key_tenant *tenant, size_t i,
		      struct err *err)
{
	struct key_walk *walk = &walking->command.walk;
	uint8_t wrapped[KEYRING_WRAPPED_BYTES];
	bool done = false;

	if (walking->opened[i].dek_id == 0 ||
	    walking->data_keys[i].kek_id == keyring_primary(walking->keyring))
		return 0;
	keyring_wrap(walking->keyring, walk->deployment, tenant->id, &walking->opened[i], wrapped);
	if (key_walk_rewrap(walk, tenant, &walking->data_keys[i], keyring_primary(walking->keyring),
			    (struct span){ (const char *)wrapped, sizeof(wrapped) }, &done,
			    err) < 0)
		return -1;
	walking->n_moved += done;
	return 0;
}

static int rewrap_tenant(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	if (walking_enter(walking, tenant, err) < 0)
		return -1;
	for (size_t i = 0; i < walking->n_data_keys; i++) {
		if (rewrap_key(walking, tenant, i, err) < 0)
			return -1;
	}
	return 0;
}

/* --- new data keys --------------------------------------------------------------------------- */

static uint64_t newest_id(const struct walking *walking)
{
	return walking->n_data_keys > 0 ? walking->data_keys[walking->n_data_keys - 1].dek_id : 0;
}

static uint64_t key_of(const struct sealed_value *value)
{
	uint64_t dek_id = 0;
	uint32_t kek_id;
	struct err ignored;

	return seal_ids(value->sealed, &kek_id, &dek_id, &ignored) == 0 ? dek_id : 0;
}

static int count_old(void *ctx, const struct key_tenant *tenant, const struct sealed_value *value,
		     struct err *err)
{
	struct walking *walking = ctx;

	(void)tenant;
	(void)err;
	walking->n_values += key_of(value) != newest_id(walking);
	return 0;
}

/* Unless an older one still seals something: then the newest is that of a run that was cut short,
 * and this one goes on with it. */
static int add_data_key(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	struct key_walk *walk = &walking->command.walk;
	uint8_t wrapped[KEYRING_WRAPPED_BYTES];
	struct data_key key;
	struct seal_key plain;

	walking->n_values = 0;
	if (walking_enter(walking, tenant, err) < 0 ||
	    walking_each_value(walking, tenant, count_old, err) < 0)
		return -1;
	if (walking->n_values > 0)
		return 0;
	seal_key_random(&plain, keyring_primary(walking->keyring), newest_id(walking) + 1);
	keyring_wrap(walking->keyring, walk->deployment, tenant->id, &plain, wrapped);
	key = (struct data_key){
		plain.dek_id, plain.kek_id, {(const char *)wrapped, sizeof(wrapped)}
	};
	mem_wipe(&plain, sizeof(plain));
	/* Somebody else who rotates at this moment has made it: as good. */
	return key_walk_add(walk, tenant, &key, err) < 0 && err->code != ERR_CONFLICT ? -1 : 0;
}

static int reseal_value(void *ctx, const struct key_tenant *tenant,
			const struct sealed_value *value, struct err *err)
{
	struct walking *walking = ctx;
	struct key_walk *walk = &walking->command.walk;
	const struct seal_place place = key_walk_place(walk, tenant, value);
	const struct seal_key *key = walking_find_key(walking, newest_id(walking));
	struct secret plain = { 0 };
	struct err problem;
	struct buf sealed;
	bool done = false;
	int ret;

	if (key == NULL || key_of(value) == key->dek_id)
		return 0;
	if (walking_open_value(walking, tenant, value, &plain, &problem) < 0) {
		walking_report(walking, tenant, value, &problem);
		return 0;
	}
	buf_init(&sealed, plain.n + SEAL_OVERHEAD_BYTES);
	seal(key, &place, (struct span){ plain.reveal, plain.n }, &sealed);
	ret = key_walk_reseal(walk, tenant, value, buf_span(&sealed), &done, err);
	walking->n_moved += done;
	buf_fini(&sealed);
	secret_fini(&plain);
	return ret;
}

static int reseal_tenant(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	if (walking_enter(walking, tenant, err) < 0)
		return -1;
	return walking_each_value(walking, tenant, reseal_value, err);
}

/* Gateways have to have the new data keys before anything is sealed with them. */
static int renew_data_keys(struct walking *walking)
{
	int code = walking_each_tenant(walking, add_data_key);

	if (code != EXIT_OK)
		return code;
	cli_wait(walking->command.cli, SPREAD_MS);
	walking->n_keys = walking->n_moved = walking->n_bad = 0;
	buf_clear(&walking->json);
	walking->table.n_rows = 0;
	return walking_each_tenant(walking, reseal_tenant);
}

static int conclude_rewrap(struct walking *walking, const char *what)
{
	const struct cli *cli = walking->command.cli;

	if (cli->output == OUTPUT_JSON)
		printf("{\"ok\":%s,\"moved\":%zu,\"problems\":[%s]}\n",
		       walking->n_bad == 0 ? "true" : "false", walking->n_moved,
		       buf_str(&walking->json));
	else if (walking->n_bad > 0)
		cli_table_print(&walking->table, stdout, 0);
	if (walking->n_bad > 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "sealed",
				"%zu do not open and stay as they are; %s: %zu", walking->n_bad,
				what, walking->n_moved);
	if (cli->output == OUTPUT_TABLE)
		printf("%s: %zu\n", what, walking->n_moved);
	return EXIT_OK;
}

int keyring_rewrap_run(struct cli *cli, const void *ctx)
{
	const struct keyring_options *options = ctx;
	struct walking walking;
	int code = walking_start(&walking, cli, options);

	if (code == EXIT_OK)
		code = keyring_command_wait(&walking.command, keyring_primary(walking.keyring),
					    WAIT_UNTIL_KNOWN);
	if (code == EXIT_OK)
		code = options->data_keys ? renew_data_keys(&walking)
					  : walking_each_tenant(&walking, rewrap_tenant);
	if (code == EXIT_OK)
		code = conclude_rewrap(&walking, options->data_keys
							 ? "values sealed with new data keys"
							 : "data keys wrapped anew");
	walking_end(&walking);
	return code;
}
