/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate keyring verify: opens everything that is sealed. */

#include "gateway/app/cmd_keyring_walk.h"
#include "gateway/core/sealed_columns.h"

static int verify_value(void *ctx, const struct key_tenant *tenant,
			const struct sealed_value *value, struct err *err)
{
	struct walking *walking = ctx;
	struct secret plain = { 0 };
	struct err problem;

	(void)err;
	walking->n_values++;
	if (walking_open_value(walking, tenant, value, &plain, &problem) < 0)
		walking_report(walking, tenant, value, &problem);
	secret_fini(&plain);
	return 0;
}

static int verify_tenant(struct walking *walking, const struct key_tenant *tenant, struct err *err)
{
	if (walking_enter(walking, tenant, err) < 0)
		return -1;
	return walking_each_value(walking, tenant, verify_value, err);
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

	buf_init(&columns, WALKING_JSON_BYTES);
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
	int code = walking_start(&walking, cli, options);

	if (code == EXIT_OK)
		code = walking_each_tenant(&walking, verify_tenant);
	if (code == EXIT_OK)
		code = conclude_verify(&walking);
	walking_end(&walking);
	return code;
}
