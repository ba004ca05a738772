/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keyring verify|rewrap: everything that is sealed, tenant by tenant. */

#include <inttypes.h>
#include <string.h>

#include "gateway/app/cmd_keyring.h"
#include "gateway/core/tenant.h"
#include "tokenstore/keyring.h"

/* What gateways need at most to learn of a new data key: a poll, and some. */
#define SPREAD_MS (TENANT_POLL_MS + 1000)

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

#define JSON_BYTES ((size_t)64 << 20)

static int start(struct walking *walking, struct cli *cli, const struct keyring_options *options)
{
	static const char *const titles[] = { "TENANT", "TABLE", "ROW", "COLUMN", "PROBLEM", NULL };
	struct err err;
	int code;

	*walking = (struct walking){ .n_bad = 0 };
	buf_init(&walking->json, JSON_BYTES);
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

static void end(struct walking *walking)
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
static int enter_tenant(struct walking *walking, const struct key_tenant *tenant, struct err *err)
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

static const struct seal_key *find_key(const struct walking *walking, uint64_t dek_id)
{
	for (size_t i = 0; i < walking->n_data_keys; i++) {
		if (walking->opened[i].dek_id == dek_id && dek_id != 0)
			return &walking->opened[i];
	}
	return NULL;
}

static int open_value(const struct walking *walking, const struct key_tenant *tenant,
		      const struct sealed_value *value, struct secret *plain, struct err *err)
{
	const struct seal_place place = key_walk_place(&walking->command.walk, tenant, value);
	const struct seal_key *key;
	uint32_t kek_id;
	uint64_t dek_id;

	if (seal_ids(value->sealed, &kek_id, &dek_id, err) < 0)
		return -1;
	key = find_key(walking, dek_id);
	if (key == NULL)
		return err_set(err, ERR_INTERNAL,
			       "data key %" PRIu64 " is missing or does not open", dek_id);
	return seal_open(key, &place, value->sealed, plain, err);
}

static void report_value(struct walking *walking, const struct key_tenant *tenant,
			 const struct sealed_value *value, const struct err *problem)
{
	report(walking, (const char *const[5]){ tenant->name, value->column->table, value->row,
						value->column->column, problem->text });
}

/* All columns of a tenant. */
static int each_value(struct walking *walking, const struct key_tenant *tenant,
		      key_walk_visit *visit, struct err *err)
{
	for (size_t i = 0; i < n_sealed_columns; i++) {
		if (key_walk_values(&walking->command.walk, tenant, &sealed_columns[i], visit,
				    walking, err) < 0)
			return -1;
	}
	return 0;
}

static int each_tenant(struct walking *walking,
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

/* --- verify ---------------------------------------------------------------------------------- */

static int verify_value(void *ctx, const struct key_tenant *tenant,
			const struct sealed_value *value, struct err *err)
{
	struct walking *walking = ctx;
	struct secret plain = { 0 };
	struct err problem;

	(void)err;
	walking->n_values++;
	if (open_value(walking, tenant, value, &plain, &problem) < 0)
		report_value(walking, tenant, value, &problem);
	secret_fini(&plain);
	return 0;
}

static int verify_tenant(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	if (enter_tenant(walking, tenant, err) < 0)
		return -1;
	return each_value(walking, tenant, verify_value, err);
}

static void add_columns(struct buf *out)
{
	for (size_t i = 0; i < n_sealed_columns; i++)
		buf_printf(out, "%s\"%s.%s\"", i > 0 ? "," : "", sealed_columns[i].table,
			   sealed_columns[i].column);
}

/* {"ok":…,"data_keys":…,"values":…,"columns":["table.column",…],"problems":[…]} */
static void print_json(const struct walking *walking)
{
	struct buf columns;

	buf_init(&columns, JSON_BYTES);
	add_columns(&columns);
	printf("{\"ok\":%s,\"data_keys\":%zu,\"values\":%zu,\"columns\":[%s],\"problems\":[%s]}\n",
	       walking->n_bad == 0 ? "true" : "false", walking->n_keys, walking->n_values,
	       buf_str(&columns), buf_str(&walking->json));
	buf_fini(&columns);
}

static int conclude_verify(struct walking *walking)
{
	const struct cli *cli = walking->command.cli;

	if (cli->output == OUTPUT_JSON)
		print_json(walking);
	else if (walking->n_bad > 0)
		cli_table_print(&walking->table, stdout, 0);
	if (walking->n_bad > 0)
		return cli_fail(cli, EXIT_UNEXPECTED, "sealed", "%zu of %zu do not open",
				walking->n_bad, walking->n_keys + walking->n_values);
	if (cli->output == OUTPUT_TABLE)
		printf("%zu data keys and %zu sealed values of %zu tenants open\n", walking->n_keys,
		       walking->n_values, walking->command.walk.n_tenants);
	return EXIT_OK;
}

int keyring_verify_run(struct cli *cli, const void *options)
{
	struct walking walking;
	int code = start(&walking, cli, options);

	if (code == EXIT_OK)
		code = each_tenant(&walking, verify_tenant);
	if (code == EXIT_OK)
		code = conclude_verify(&walking);
	end(&walking);
	return code;
}

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
	if (enter_tenant(walking, tenant, err) < 0)
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
	if (enter_tenant(walking, tenant, err) < 0 ||
	    each_value(walking, tenant, count_old, err) < 0)
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
	const struct seal_key *key = find_key(walking, newest_id(walking));
	struct secret plain = { 0 };
	struct err problem;
	struct buf sealed;
	bool done = false;
	int ret;

	if (key == NULL || key_of(value) == key->dek_id)
		return 0;
	if (open_value(walking, tenant, value, &plain, &problem) < 0) {
		report_value(walking, tenant, value, &problem);
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
	if (enter_tenant(walking, tenant, err) < 0)
		return -1;
	return each_value(walking, tenant, reseal_value, err);
}

/* Gateways have to have the new data keys before anything is sealed with them. */
static int renew_data_keys(struct walking *walking)
{
	int code = each_tenant(walking, add_data_key);

	if (code != EXIT_OK)
		return code;
	cli_wait(walking->command.cli, SPREAD_MS);
	walking->n_keys = walking->n_moved = walking->n_bad = 0;
	buf_clear(&walking->json);
	walking->table.n_rows = 0;
	return each_tenant(walking, reseal_tenant);
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
				"%zu do not open and stay as they are; %zu %s", walking->n_bad,
				walking->n_moved, what);
	if (cli->output == OUTPUT_TABLE)
		printf("%zu %s\n", walking->n_moved, what);
	return EXIT_OK;
}

int keyring_rewrap_run(struct cli *cli, const void *ctx)
{
	const struct keyring_options *options = ctx;
	struct walking walking;
	int code = start(&walking, cli, options);

	if (code == EXIT_OK)
		code = keyring_command_wait(&walking.command, keyring_primary(walking.keyring),
					    WAIT_UNTIL_KNOWN);
	if (code == EXIT_OK)
		code = options->data_keys ? renew_data_keys(&walking)
					  : each_tenant(&walking, rewrap_tenant);
	if (code == EXIT_OK)
		code = conclude_rewrap(&walking, options->data_keys
							 ? "values are sealed with new data keys"
							 : "data keys are wrapped anew");
	end(&walking);
	return code;
}
