/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/cmd_keyring_walk.h"

#include <inttypes.h>
#include <string.h>

#include "tokenstore/keyring.h"

int walking_start(struct walking *walking, struct cli *cli, const struct keyring_options *options)
{
	static const char *const titles[] = { "TENANT", "TABLE", "ROW", "COLUMN", "PROBLEM", NULL };
	struct err err;
	int code;

	*walking = (struct walking){ .n_bad = 0 };
	buf_init(&walking->json, WALKING_JSON_BYTES);
	cli_table_init(&walking->table, cli->arena, titles);
	code = keyring_command_open(&walking->command, cli, options);
	if (code != EXIT_OK)
		return code;
	walking->keyring = keyring_load(walking->command.config.keyring_file, &err);
	if (walking->keyring == NULL)
		return keyring_command_failed(&walking->command, &err);
	code = keyring_command_connect(&walking->command);
	if (code == EXIT_OK && key_walk_check(&walking->command.walk, walking->keyring, &err) < 0)
		return keyring_command_failed(&walking->command, &err);
	return code;
}

static void forget_tenant(struct walking *walking)
{
	if (walking->n_data_keys > 0)
		mem_wipe(walking->opened, walking->n_data_keys * sizeof(*walking->opened));
	walking->n_data_keys = 0;
}

void walking_end(struct walking *walking)
{
	forget_tenant(walking);
	buf_fini(&walking->json);
	keyring_free(&walking->keyring);
	keyring_command_close(&walking->command);
}

/* --- what is wrong --------------------------------------------------------------------------- */

static void add_member(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s\"%s\":", out->len > 0 && out->data[out->len - 1] != '{' ? "," : "",
		   name);
	buf_add_json_string(out, value, strlen(value));
}

static void report(struct walking *walking, const char *const cells[5])
{
	static const char *const names[] = { "tenant", "table", "row", "column", "problem" };
	struct arena *arena = walking->command.cli->arena;
	const char **kept = arena_alloc(arena, 5 * sizeof(*kept));

	walking->n_bad++;
	if (walking->command.cli->output == OUTPUT_JSON) {
		buf_printf(&walking->json, "%s{", walking->json.len > 0 ? "," : "");
		for (size_t i = 0; i < 5; i++)
			add_member(&walking->json, names[i], cells[i]);
		buf_add(&walking->json, "}");
		return;
	}
	for (size_t i = 0; i < 5; i++)
		kept[i] = arena_strdup(arena, cells[i]);
	cli_table_add(&walking->table, kept);
}

static void report_key(struct walking *walking, const struct key_tenant *tenant,
		       const struct data_key *key, const char *problem)
{
	char row[24];

	snprintf(row, sizeof(row), "%" PRIu64, key->dek_id);
	report(walking,
	       (const char *const[5]){ tenant->name, "data_keys", row, "wrapped", problem });
}

/* --- a tenant -------------------------------------------------------------------------------- */

/* Its data keys, opened as far as they open. */
int walking_enter(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	struct key_walk *walk = &walking->command.walk;
	size_t n;

	forget_tenant(walking);
	if (key_walk_data_keys(walk, tenant, &walking->data_keys, &n, err) < 0)
		return -1;
	walking->opened = arena_alloc(walk->arena, (n + 1) * sizeof(*walking->opened));
	walking->n_data_keys = n;
	walking->n_keys += n;
	for (size_t i = 0; i < n; i++) {
		const struct data_key *key = &walking->data_keys[i];
		struct err problem;

		if (keyring_unwrap(walking->keyring, walk->deployment, tenant->id, key->dek_id,
				   key->wrapped, &walking->opened[i], &problem) == 0)
			continue;
		walking->opened[i].dek_id = 0;
		report_key(walking, tenant, key, problem.text);
	}
	return 0;
}

const struct seal_key *walking_find_key(const struct walking *walking, uint64_t dek_id)
{
	for (size_t i = 0; i < walking->n_data_keys; i++) {
		if (walking->opened[i].dek_id == dek_id && dek_id != 0)
			return &walking->opened[i];
	}
	return NULL;
}

int walking_open_value(const struct walking *walking, const struct key_tenant *tenant,
		       const struct sealed_value *value, struct secret *plain, struct err *err)
{
	const struct seal_place place = key_walk_place(&walking->command.walk, tenant, value);
	const struct seal_key *key;
	uint32_t kek_id;
	uint64_t dek_id;

	if (seal_ids(value->sealed, &kek_id, &dek_id, err) < 0)
		return -1;
	key = walking_find_key(walking, dek_id);
	if (key == NULL)
		return err_set(err, ERR_INTERNAL,
			       "data key %" PRIu64 " is missing or does not open", dek_id);
	return seal_open(key, &place, value->sealed, plain, err);
}

void walking_report(struct walking *walking, const struct key_tenant *tenant,
		    const struct sealed_value *value, const struct err *problem)
{
	report(walking, (const char *const[5]){ tenant->name, value->column->table, value->row,
						value->column->column, problem->text });
}

/* All columns of a tenant. */
int walking_each_value(struct walking *walking, const struct key_tenant *tenant,
		       key_walk_visit *visit, struct err *err)
{
	for (size_t i = 0; i < n_sealed_columns; i++) {
		if (key_walk_values(&walking->command.walk, tenant, &sealed_columns[i], visit,
				    walking, err) < 0)
			return -1;
	}
	return 0;
}

int walking_each_tenant(struct walking *walking,
			int (*visit)(struct walking *walking, const struct key_tenant *tenant,
				     struct err *err))
{
	const struct key_walk *walk = &walking->command.walk;
	struct err err;

	for (size_t i = 0; i < walk->n_tenants; i++) {
		if (visit(walking, &walk->tenants[i], &err) < 0) {
			err_prefix(&err, "tenant %s", walk->tenants[i].name);
			return keyring_command_failed(&walking->command, &err);
		}
	}
	return EXIT_OK;
}
