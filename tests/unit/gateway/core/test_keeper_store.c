/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* What is written when an edit is tried out, and what is not when it comes too late. */

#include "tests/unit/gateway/core/keeper_world.h"

#define SERVING "SELECT concat_ws('|', url, trial_error) AS v FROM tollgate.serving_connections"

/* A connection that has been listed, and then edited. */
static void begin_trial(void **state, struct world *world)
{
	begin(state, world);
	add(world, "crm");
	answer(request(world, 1), "{\"tools\":[{\"name\":\"old\"}]}");
	await_status(world, "crm", "ok|1|legacy");
	edit(world, "crm", "url = 'https://new.example/'");
	request(world, 2);
}

static const struct connection *serving(struct world *world, struct tenant **tenant)
{
	*tenant = tenants_find(world->nodes[0].tenants, world->tenant);
	assert_non_null(*tenant);
	return tenant_find_connection(*tenant, "crm");
}

static bool has_swapped(void *ctx)
{
	struct tenant *tenant;
	const struct connection *connection = serving(ctx, &tenant);
	bool swapped =
		connection->trial == NULL && strcmp(connection->url, "https://new.example/") == 0;

	if (swapped) {
		assert_int_equal(connection->n_tools, 1);
		assert_string_equal(connection->tools[0].name, "new");
	} else {
		assert_string_equal(connection->url, "https://mcp.example.com/");
		assert_string_equal(connection->tools[0].name, "old");
	}
	tenant_unref(&tenant);
	return swapped;
}

static void new_settings_serve_once_they_have_been_listed(void **state)
{
	const struct connection *connection;
	struct tenant *tenant;
	struct world world;

	begin_trial(state, &world);
	assert_string_equal(request(&world, 2)->url, "https://new.example/");
	connection = serving(&world, &tenant);
	assert_string_equal(connection->url, "https://mcp.example.com/");
	assert_string_equal(connection->trial->url, "https://new.example/");
	assert_int_equal(connection->trial->version, connection->version + 1);
	tenant_unref(&tenant);
	answer(request(&world, 2), "{\"tools\":[{\"name\":\"new\"}]}");
	gate_db_until(world.gate, has_swapped, &world);
	await(&world, SERVING, "none");
	await_status(&world, "crm", "ok|1|legacy");
	/* Then it is watched like any other. */
	assert_string_equal(request(&world, 3)->url, "https://new.example/");
	end(&world);
}

static void new_settings_that_fail_say_why_and_the_old_ones_serve_on(void **state)
{
	struct world world;

	begin_trial(state, &world);
	fail_with(request(&world, 2), ERR_UPSTREAM, "nobody is there");
	await(&world, SERVING, "https://mcp.example.com/|nobody is there");
	await_status(&world, "crm", "ok|1|legacy");
	assert_false(has_swapped(&world));
	assert_string_equal(request(&world, 3)->url, "https://new.example/");
	answer(request(&world, 3), "{\"tools\":[{\"name\":\"new\"}]}");
	gate_db_until(world.gate, has_swapped, &world);
	end(&world);
}

static void a_later_edit_replaces_what_is_tried_out(void **state)
{
	struct world world;

	begin_trial(state, &world);
	edit(&world, "crm", "url = 'https://newer.example/'");
	assert_string_equal(request(&world, 3)->url, "https://newer.example/");
	assert_true(world.nodes[0].upstreams.requests[1].cancelled);
	await(&world, SERVING, "https://mcp.example.com/");
	edit(&world, "crm", "url = 'https://new.example/'");
	answer(request(&world, 4), "{\"tools\":[{\"name\":\"new\"}]}");
	gate_db_until(world.gate, has_swapped, &world);
	end(&world);
}

static void what_is_disabled_serves_nothing_old(void **state)
{
	struct world world;

	begin_trial(state, &world);
	edit(&world, "crm", "enabled = false");
	await(&world, SERVING, "none");
	await_status(&world, "crm", "disabled|1|legacy");
	assert_true(world.nodes[0].upstreams.requests[1].cancelled);
	end(&world);
}

static void settings_that_did_not_work_are_left_at_once(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	fail_with(request(&world, 1), ERR_UPSTREAM, "nobody is there");
	await_status(&world, "crm", "unreachable");
	edit(&world, "crm", "url = 'https://new.example/'");
	while (strcmp(world.nodes[0].upstreams.requests[world.nodes[0].upstreams.n - 1].url,
		      "https://new.example/") != 0)
		gate_db_for(world.gate, 1);
	await(&world, SERVING, "none");
	end(&world);
}

static void new_settings_that_cannot_be_used_are_not_tried(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	edit(&world, "crm", "auth_mode = 'bearer'");
	await(&world, SERVING, "https://mcp.example.com/|it has no credential");
	assert_int_equal(world.nodes[0].upstreams.n, 1);
	end(&world);
}

/* --- fencing --- */

#define NEW_HOLDER                                                                                 \
	"UPDATE tollgate.connection_status SET lease_number = lease_number + 1,"                   \
	" lease_node = '%s'"

static void a_holder_that_was_too_slow_stores_nothing(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	gate_db_do(world.gate, NEW_HOLDER, world.nodes[0].id);
	answer(request(&world, 1), "{\"tools\":[{\"name\":\"late\"}]}");
	/* The lease is found again, and with it the task. */
	answer(request(&world, 2), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	assert_string_equal(catalog(&world, "tools"), "[]");
	end(&world);
}

static void what_was_listed_with_older_settings_is_not_stored(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	/* Before the keeper has heard of it. */
	edit(&world, "crm", "url = 'https://new.example/'");
	if (world.nodes[0].upstreams.requests[0].slot != NULL)
		answer(request(&world, 1), "{\"tools\":[{\"name\":\"old\"}]}");
	request(&world, 2);
	await_status(&world, "crm", "unknown");
	assert_string_equal(catalog(&world, "tools"), "none");
	end(&world);
}

static void a_refresh_is_answered_by_a_list_that_began_after_it(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	refresh(&world);
	refresh(&world);
	gate_db_for(world.gate, 2 * KEEPER_LOOK_MS);
	answer(request(&world, 1), "{\"tools\":[]}");
	request(&world, 2);
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws('|', state, refresh_done) AS v"
					" FROM tollgate.connection_status"),
			    "ok|0");
	answer(request(&world, 2), "{\"tools\":[]}");
	await(&world, "SELECT refresh_done AS v FROM tollgate.connection_status", "2");
	assert_int_equal(world.nodes[0].upstreams.n, 2);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(new_settings_serve_once_they_have_been_listed),
		GATE_DB_TEST(new_settings_that_fail_say_why_and_the_old_ones_serve_on),
		GATE_DB_TEST(a_later_edit_replaces_what_is_tried_out),
		GATE_DB_TEST(what_is_disabled_serves_nothing_old),
		GATE_DB_TEST(settings_that_did_not_work_are_left_at_once),
		GATE_DB_TEST(new_settings_that_cannot_be_used_are_not_tried),
		GATE_DB_TEST(a_holder_that_was_too_slow_stores_nothing),
		GATE_DB_TEST(what_was_listed_with_older_settings_is_not_stored),
		GATE_DB_TEST(a_refresh_is_answered_by_a_list_that_began_after_it),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
