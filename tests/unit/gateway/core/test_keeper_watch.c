/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

#include "tests/unit/gateway/core/keeper_world.h"

static void a_connection_is_listed_at_once_and_its_tools_stored_byte_for_byte(void **state)
{
	struct world world;
	struct tenant *tenant;

	begin(state, &world);
	add(&world, "crm");
	assert_string_equal(request(&world, 1)->connection, "crm");
	assert_string_equal(request(&world, 1)->params, "");
	answer(request(&world, 1),
	       "{\"tools\":[ {\"name\":\"a\", \"n\":1e400} ,17, {\"name\":\"b\"}]}");
	await_status(&world, "crm", "ok|2|legacy");
	assert_string_equal(catalog(&world, "tools"),
			    "[{\"name\":\"a\", \"n\":1e400},{\"name\":\"b\"}]");
	assert_string_equal(catalog(&world, "concat_ws('|', era, protocol_version, server_name,"
					    " server_version, instructions, tools_count)"),
			    "legacy|2025-11-25|everything|1|be kind|2");
	tenant = tenants_find(world.nodes[0].tenants, world.tenant);
	assert_non_null(tenant);
	tenant_unref(&tenant);
	assert_int_equal(world.nodes[0].upstreams.n, 1);
	end(&world);
}

static void pages_are_put_together(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\": \"p\\u0032\" }");
	assert_string_equal(request(&world, 2)->params, "{\"cursor\":\"p\\u0032\"}");
	answer(request(&world, 2), "{\"tools\":[],\"nextCursor\":\"\"}");
	assert_string_equal(request(&world, 3)->params, "{\"cursor\":\"\"}");
	answer(request(&world, 3), "{\"tools\":[{\"name\":\"b\"}],\"nextCursor\":null}");
	await_status(&world, "crm", "ok|2|legacy");
	assert_string_equal(catalog(&world, "tools"), "[{\"name\":\"a\"},{\"name\":\"b\"}]");
	end(&world);
}

static void a_failure_is_shown_and_tried_again(void **state)
{
	struct world world;
	int64_t failed_ms;

	begin(state, &world);
	add(&world, "crm");
	fail_with(request(&world, 1), ERR_UPSTREAM, "nobody is there");
	failed_ms = loop_now_ms(world.gate->loop);
	await_status(&world, "crm", "unreachable");
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws('|', last_error, last_error_at IS NULL,"
					" next_retry_at > last_error_at) AS v"
					" FROM tollgate.connection_status"),
			    "nobody is there|f|t");
	fail_with(request(&world, 2), ERR_UNAUTHENTICATED, "401");
	assert_true(loop_now_ms(world.gate->loop) - failed_ms >= KEEPER_RETRY_MIN_MS / 2);
	await_status(&world, "crm", "auth_failed");
	assert_string_equal(
		gate_db_ask(world.gate,
			    "SELECT next_retry_at - last_error_at >= interval '%d ms' AS v"
			    " FROM tollgate.connection_status",
			    KEEPER_AUTH_RETRY_MS / 2),
		"t");
	refresh(&world);
	answer(request(&world, 3), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	assert_string_equal(gate_db_ask(world.gate,
					"SELECT concat_ws('|', last_error, next_retry_at IS NULL)"
					" AS v FROM tollgate.connection_status"),
			    "401|t");
	end(&world);
}

static void a_dead_upstream_does_not_hold_up_the_others(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "dead");
	assert_string_equal(request(&world, 1)->connection, "dead");
	add(&world, "live"); /* of two that are new at once either may be first */
	assert_string_equal(request(&world, 2)->connection, "live");
	answer(request(&world, 2), "{\"tools\":[{\"name\":\"a\"}]}");
	await_status(&world, "live", "ok|1|legacy");
	await_status(&world, "dead", "unknown");
	end(&world);
}

static void answers_that_are_no_list_are_failures(void **state)
{
	static const char *const rows[] = { "{}", "{\"tools\":{}}", "[]", "\"x\"",
					    "{\"tools\":null}" };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world world;

		begin(state, &world);
		add(&world, "crm");
		answer(request(&world, 1), rows[i]);
		await_status(&world, "crm", "unreachable");
		assert_string_equal(catalog(&world, "tools"), "none");
		end(&world);
		gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	}
}

static void an_upstreams_error_is_a_failure(void **state)
{
	struct world world;
	const struct upstream_answer error = {
		.era = MCP_LEGACY, .error = SPAN("{\"code\":-32601,\"message\":\"no tools\"}")
	};

	begin(state, &world);
	add(&world, "crm");
	finish(request(&world, 1), &error, NULL);
	await_status(&world, "crm", "unreachable");
	assert_string_equal(gate_db_ask(world.gate, "SELECT last_error AS v"
						    " FROM tollgate.connection_status"),
			    "it refused tools/list: {\"code\":-32601,\"message\":\"no tools\"}");
	end(&world);
}

static void a_list_without_end_is_given_up(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	for (size_t i = 1;
	     world.nodes[0].upstreams.n < MAX_REQUESTS - 1 && i <= world.nodes[0].upstreams.n + 1;
	     i++) {
		struct upstream_op *op = request(&world, i);

		answer(op, "{\"tools\":[{\"name\":\"a\"}],\"nextCursor\":\"again\"}");
		if (world.nodes[0].upstreams.n == i)
			break;
	}
	await_status(&world, "crm", "unreachable");
	assert_true(world.nodes[0].upstreams.n < MAX_REQUESTS / 4 * 3);
	end(&world);
}

static struct upstream_op *last_of(struct world *world, const char *connection)
{
	for (size_t i = world->nodes[0].upstreams.n; i > 0; i--) {
		if (strcmp(world->nodes[0].upstreams.requests[i - 1].connection, connection) == 0)
			return &world->nodes[0].upstreams.requests[i - 1];
	}
	return NULL;
}

static void a_list_beyond_its_limits_is_refused(void **state)
{
	struct upstream_op *many;
	struct world world;
	struct buf page;

	begin(state, &world);
	add(&world, "cursor");
	buf_init(&page, 1024 * 1024);
	buf_add(&page, "{\"tools\":[],\"nextCursor\":\"");
	for (int i = 0; i < 5000; i++)
		buf_add(&page, "x");
	buf_add(&page, "\"}");
	answer(request(&world, 1), buf_str(&page));
	await_status(&world, "cursor", "unreachable");
	add(&world, "many");
	while ((many = last_of(&world, "many")) == NULL)
		gate_db_for(world.gate, 1);
	buf_clear(&page);
	buf_add(&page, "{\"tools\":[{}");
	for (int i = 0; i < 10000; i++)
		buf_add(&page, ",{}");
	buf_add(&page, "]}");
	answer(many, buf_str(&page));
	await_status(&world, "many", "unreachable");
	buf_fini(&page);
	end(&world);
}

static void disabled_and_invalid_ones_are_not_listed(void **state)
{
	struct world world;

	begin(state, &world);
	gate_db_do(world.gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url, enabled) VALUES"
		   " ('%s', gen_random_uuid(), 'off', 'https://a.example/', false),"
		   " ('%s', gen_random_uuid(), 'bad', 'nonsense', true)",
		   world.tenant, world.tenant);
	await_status(&world, "off", "disabled");
	await_status(&world, "bad", "invalid");
	assert_int_equal(world.nodes[0].upstreams.n, 0);
	edit(&world, "off", "enabled = true");
	assert_string_equal(request(&world, 1)->connection, "off");
	edit(&world, "bad", "url = 'https://b.example/'");
	assert_string_equal(request(&world, 2)->connection, "bad");
	end(&world);
}

static void an_edit_before_the_first_list_starts_over(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	edit(&world, "crm", "url = 'https://other.example/'");
	request(&world, 2);
	assert_true(world.nodes[0].upstreams.requests[0].cancelled);
	assert_string_equal(request(&world, 2)->url, "https://other.example/");
	answer(request(&world, 2), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	edit(&world, "crm", "enabled = false");
	await_status(&world, "crm", "disabled|0|legacy");
	assert_int_equal(world.nodes[0].upstreams.n, 2);
	end(&world);
}

static void an_edit_of_who_may_use_it_lists_nothing(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	edit(&world, "crm", "tools_deny = '{x}'");
	edit(&world, "crm", "name = 'other'");
	refresh(&world);
	assert_string_equal(request(&world, 2)->connection, "other");
	assert_int_equal(world.nodes[0].upstreams.n, 2);
	end(&world);
}

static void a_new_egress_policy_starts_over_and_another_name_does_not(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET name = 'renamed'");
	add(&world, "other");
	assert_string_equal(request(&world, 2)->connection, "other");
	assert_false(world.nodes[0].upstreams.requests[0].cancelled);
	gate_db_do(world.gate,
		   "UPDATE tollgate.tenants SET egress = '{\"allow\":[\"10.0.0.1:1\"]}'");
	request(&world, 4);
	assert_true(world.nodes[0].upstreams.requests[0].cancelled);
	assert_true(world.nodes[0].upstreams.requests[1].cancelled);
	end(&world);
}

static void a_disabled_tenant_is_left_alone(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET enabled = false");
	await_status(&world, "crm", "disabled");
	assert_true(world.nodes[0].upstreams.requests[0].cancelled);
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET enabled = true");
	request(&world, 2);
	end(&world);
}

/* The version of the row is the same all the time, as when a missing data key comes back. */
static void what_becomes_usable_again_is_listed(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET auth_mode = 'bearer',"
			       " credential = '\\x00'");
	await_status(&world, "crm", "invalid");
	assert_true(world.nodes[0].upstreams.requests[0].cancelled);
	gate_db_do(world.gate, "UPDATE tollgate.connections SET auth_mode = 'none',"
			       " credential = NULL");
	request(&world, 2);
	end(&world);
}

static void a_removed_connection_is_listed_no_more(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	add(&world, "zoo"); /* of two that are new at once either may be first */
	request(&world, 2);
	gate_db_do(world.gate, "DELETE FROM tollgate.connections WHERE name = 'crm'");
	while (!world.nodes[0].upstreams.requests[0].cancelled)
		gate_db_for(world.gate, 1);
	assert_false(world.nodes[0].upstreams.requests[1].cancelled);
	gate_db_do(world.gate, "DELETE FROM tollgate.tenants");
	while (!world.nodes[0].upstreams.requests[1].cancelled)
		gate_db_for(world.gate, 1);
	end(&world);
}

static void a_list_that_did_not_change_is_not_written_again(void **state)
{
	static const char list[] = "{\"tools\":[{\"name\":\"a\"}]}";
	struct world world;
	char before[64];

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), list);
	await_status(&world, "crm", "ok|1|legacy");
	snprintf(before, sizeof(before), "%s", catalog(&world, "fetched_at"));
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET state = 'unknown'");
	refresh(&world);
	answer(request(&world, 2), list);
	await_status(&world, "crm", "ok|1|legacy");
	assert_string_equal(catalog(&world, "fetched_at"), before);
	refresh(&world);
	answer(request(&world, 3), "{\"tools\":[{\"name\":\"b\"}]}");
	while (strcmp(catalog(&world, "tools"), "[{\"name\":\"b\"}]") != 0)
		gate_db_for(world.gate, 1);
	assert_string_not_equal(catalog(&world, "fetched_at"), before);
	end(&world);
}

/* A session that another worker has opened: nobody told this one who the server is. */
static void what_the_server_said_to_another_worker_is_kept(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	answer(request(&world, 1), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	world.nodes[0].upstreams.facts =
		(struct upstream_facts){ .era = MCP_LEGACY, .protocol_version = "2025-06-18" };
	refresh(&world);
	answer(request(&world, 2), "{\"tools\":[{\"name\":\"b\"}]}");
	await_status(&world, "crm", "ok|1|legacy");
	assert_string_equal(catalog(&world, "concat_ws('|', protocol_version, server_name,"
					    " server_version, instructions)"),
			    "2025-06-18|everything|1|be kind");
	world.nodes[0].upstreams.facts.introduced = true;
	refresh(&world);
	answer(request(&world, 3), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	assert_string_equal(catalog(&world, "concat_ws('|', protocol_version, server_name,"
					    " server_version, instructions)"),
			    "2025-06-18");
	end(&world);
}

static void an_answer_of_a_peer_that_was_closed_meanwhile_is_asked_for_again(void **state)
{
	struct world world;

	begin(state, &world);
	add(&world, "crm");
	request(&world, 1);
	world.nodes[0].upstreams.unknown = true;
	answer(request(&world, 1), "{\"tools\":[]}");
	world.nodes[0].upstreams.unknown = false;
	answer(request(&world, 2), "{\"tools\":[]}");
	await_status(&world, "crm", "ok|0|legacy");
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_connection_is_listed_at_once_and_its_tools_stored_byte_for_byte),
		GATE_DB_TEST(pages_are_put_together),
		GATE_DB_TEST(a_failure_is_shown_and_tried_again),
		GATE_DB_TEST(a_dead_upstream_does_not_hold_up_the_others),
		GATE_DB_TEST(answers_that_are_no_list_are_failures),
		GATE_DB_TEST(an_upstreams_error_is_a_failure),
		GATE_DB_TEST(a_list_without_end_is_given_up),
		GATE_DB_TEST(a_list_beyond_its_limits_is_refused),
		GATE_DB_TEST(disabled_and_invalid_ones_are_not_listed),
		GATE_DB_TEST(an_edit_before_the_first_list_starts_over),
		GATE_DB_TEST(an_edit_of_who_may_use_it_lists_nothing),
		GATE_DB_TEST(a_new_egress_policy_starts_over_and_another_name_does_not),
		GATE_DB_TEST(a_disabled_tenant_is_left_alone),
		GATE_DB_TEST(what_becomes_usable_again_is_listed),
		GATE_DB_TEST(a_removed_connection_is_listed_no_more),
		GATE_DB_TEST(a_list_that_did_not_change_is_not_written_again),
		GATE_DB_TEST(what_the_server_said_to_another_worker_is_kept),
		GATE_DB_TEST(an_answer_of_a_peer_that_was_closed_meanwhile_is_asked_for_again),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
