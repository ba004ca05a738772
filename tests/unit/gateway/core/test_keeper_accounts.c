/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* How many accounts are connected, as metrics tell it. */

#include "gateway/core/meters.h"
#include "tests/unit/gateway/core/keeper_world.h"

#define OAUTH                                                                                      \
	"'{\"grant\":\"authorization_code\",\"per\":\"user\",\"token_endpoint_auth\":\"none\"}'"

static struct metrics *metrics;

static void start(void **state, struct world *world)
{
	metrics = metrics_new(gate_metrics, N_GATE_METRICS, 1);
	measured = meter_new(metrics, 0);
	accounts_ms = 5;
	begin(state, world);
}

static void stop(struct world *world)
{
	end(world);
	meter_free(&measured);
	metrics_free(&metrics);
	accounts_ms = KEEPER_ACCOUNTS_MS;
}

static void add_connection(const struct world *world, const char *name, const char *mode)
{
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url, auth_mode, oauth)"
		   " VALUES ('%s', gen_random_uuid(), '%s', 'https://mcp.example.com/', '%s', %s)",
		   world->tenant, name, mode, strcmp(mode, "oauth") == 0 ? OAUTH : "NULL");
}

/* Of a user of that name, who is made for it. */
static void add_grant(const struct world *world, const char *name, const char *user,
		      const char *state)
{
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.users (tenant_id, id, name, role)"
		   " VALUES ('%s', gen_random_uuid(), '%s', 'user')",
		   world->tenant, user);
	gate_db_do(world->gate,
		   "INSERT INTO tollgate.grants (tenant_id, connection_id, subject, user_id, id,"
		   " state, kind) SELECT c.tenant_id, c.id, 'user:' || u.id, u.id,"
		   " gen_random_uuid(), '%s', 'authorization_code'"
		   " FROM tollgate.connections c, tollgate.users u WHERE c.name = '%s'"
		   " AND u.name = '%s'",
		   state, name, user);
}

struct shown {
	const char *line;
	bool wanted;
};

static bool shows(void *ctx)
{
	const struct shown *shown = ctx;
	struct buf text;
	bool found;

	buf_init(&text, 1 << 20);
	metrics_print(metrics, &text);
	found = strstr(buf_str(&text), shown->line) != NULL;
	buf_fini(&text);
	return found == shown->wanted;
}

static void await_line(const struct world *world, const char *line, bool wanted)
{
	gate_db_until(world->gate, shows, &(struct shown){ line, wanted });
}

#define LINE(connection, state, n)                                                                 \
	"\ntollgate_accounts{tenant=\"acme\",connection=\"" connection "\",state=\"" state         \
	"\"} " n "\n"

static void the_grants_of_watched_connections_are_counted(void **state)
{
	struct world world;

	start(state, &world);
	add_connection(&world, "crm", "oauth");
	add_connection(&world, "plain", "none");
	await_line(&world, LINE("crm", "active", "0"), true);
	add_grant(&world, "crm", "ana", "active");
	add_grant(&world, "crm", "bob", "active");
	add_grant(&world, "crm", "eve", "needs_reauth");
	await_line(&world, LINE("crm", "active", "2"), true);
	await_line(&world, LINE("crm", "needs_reauth", "1"), true);
	await_line(&world, LINE("crm", "disconnected", "0"), true);
	await_line(&world, "tollgate_accounts{tenant=\"acme\",connection=\"plain\"", false);
	gate_db_do(world.gate, "UPDATE tollgate.grants SET state = 'disconnected'");
	await_line(&world, LINE("crm", "disconnected", "3"), true);
	await_line(&world, LINE("crm", "active", "0"), true);
	stop(&world);
}

static void what_is_removed_is_counted_no_more(void **state)
{
	struct world world;

	start(state, &world);
	add_connection(&world, "crm", "oauth");
	await_line(&world, LINE("crm", "active", "0"), true);
	gate_db_do(world.gate, "DELETE FROM tollgate.connections");
	await_line(&world, "\ntollgate_accounts{", false);
	stop(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(the_grants_of_watched_connections_are_counted),
		GATE_DB_TEST(what_is_removed_is_counted_no_more),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
