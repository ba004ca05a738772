/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/core/principal.h"
#include "gateway/core/tenant.h"
#include "gateway/core/tool_list.h"

#define MAX_BYTES (1024 * 1024)
#define MANY	  250

static const struct principal ana = { .refs = 1 };
static const char *all[] = { "*" };
static const char *no_secrets[] = { "secret*" };

struct world {
	struct arena *arena;
	struct connection connections[3];
	struct tenant tenant;
};

static void add_tools(struct world *world, struct connection *connection, const char *name,
		      size_t n)
{
	*connection = (struct connection){
		.name = name,
		.enabled = true,
		.listed = true,
		.tools_allow = all,
		.n_tools_allow = 1,
		.tools_deny = no_secrets,
		.n_tools_deny = 1,
		.n_tools = n,
		.tools = arena_alloc(world->arena, n * sizeof(struct tool)),
	};
	for (size_t i = 0; i < n; i++) {
		struct tool *tool = &connection->tools[i];

		tool->name = arena_printf(world->arena, i == 1 ? "secret%zu" : "t%zu", i);
		tool->exposed = arena_printf(world->arena, "%s__%s", name, tool->name);
		tool->text = span_of(arena_printf(world->arena, "{\"name\":\"%s\"}", tool->name));
	}
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	world->arena = arena_new();
	add_tools(world, &world->connections[0], "alpha", 3);
	add_tools(world, &world->connections[1], "beta", MANY);
	add_tools(world, &world->connections[2], "gamma", 2);
	world->tenant = (struct tenant){ .connections = world->connections, .n_connections = 3 };
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	arena_free(&world->arena);
	free(world);
	return 0;
}

static int list(struct world *world, const struct connection *only, const char *cursor,
		enum mcp_era era, struct buf *out)
{
	const struct tool_list_params params = {
		.principal = &ana,
		.tenant = &world->tenant,
		.only = only,
		.era = era,
		.cursor = cursor,
	};

	buf_clear(out);
	return tool_list_write(&params, out);
}

static void one_connection_lists_its_own_names(void **state)
{
	struct world *world = *state;
	struct buf out;

	buf_init(&out, MAX_BYTES);
	assert_int_equal(list(world, &world->connections[0], NULL, MCP_LEGACY, &out), 0);
	assert_string_equal(buf_str(&out), "{\"tools\":[{\"name\":\"t0\"},{\"name\":\"t2\"}]}");
	assert_int_equal(list(world, &world->connections[2], NULL, MCP_MODERN, &out), 0);
	assert_string_equal(buf_str(&out),
			    "{\"tools\":[{\"name\":\"t0\"}],\"resultType\":\"complete\","
			    "\"ttlMs\":0,\"cacheScope\":\"private\"}");
	buf_fini(&out);
}

/* Returns a copy of the page's cursor, or NULL. */
static char *count_page(struct arena *arena, struct span page, size_t *n)
{
	struct span cursor = span_get(page, "nextCursor");
	struct span_iter iter;
	struct span key;
	struct span tool;

	span_iter_init(&iter, span_get(page, "tools"));
	while (span_next(&iter, &key, &tool))
		(*n)++;
	return cursor.p != NULL ? arena_dup(arena, cursor.p + 1, cursor.n - 2) : NULL;
}

static void pages_join_to_the_whole_without_gap_or_repeat(void **state)
{
	struct world *world = *state;
	struct buf out;
	char *cursor = NULL;
	size_t pages = 0;
	size_t n = 0;

	buf_init(&out, MAX_BYTES);
	do {
		assert_int_equal(list(world, NULL, cursor, MCP_LEGACY, &out), 0);
		cursor = count_page(world->arena, buf_span(&out), &n);
		pages++;
	} while (cursor != NULL);
	assert_int_equal(pages, 3);
	assert_int_equal(n, 2 + MANY - 1 + 1); /* each connection hides one */
	buf_fini(&out);
}

static void a_cursor_behind_a_connection_that_went_goes_on_with_the_next(void **state)
{
	struct world *world = *state;
	struct buf out;
	char *cursor;
	size_t n = 0;

	buf_init(&out, MAX_BYTES);
	assert_int_equal(list(world, NULL, NULL, MCP_LEGACY, &out), 0);
	cursor = count_page(world->arena, buf_span(&out), &n);
	assert_non_null(cursor);
	world->connections[1] = world->connections[2];
	world->tenant.n_connections = 2;
	assert_int_equal(list(world, NULL, cursor, MCP_LEGACY, &out), 0);
	assert_string_equal(buf_str(&out), "{\"tools\":[{\"name\":\"gamma__t0\"}]}");
	buf_fini(&out);
}

static void foreign_cursors_are_refused(void **state)
{
	static const char *const cursors[] = {
		"",
		"x",
		"!!",
		"MS9hbHBoYQ",	  /* 1/alpha */
		"MS9BTFBIQS8x",	  /* 1/ALPHA/1 */
		"MS9hbHBoYS8tMQ", /* 1/alpha/-1 */
		"Mi9hbHBoYS8x",	  /* 2/alpha/1 */
		"MS9hbHBoYS8x=",  /* padding */
	};
	struct world *world = *state;
	struct buf out;

	buf_init(&out, MAX_BYTES);
	for (size_t i = 0; i < sizeof(cursors) / sizeof(cursors[0]); i++)
		assert_int_equal(list(world, NULL, cursors[i], MCP_LEGACY, &out), -1);
	assert_int_equal(list(world, NULL, "MS9hbHBoYS8y", MCP_LEGACY, &out), 0); /* 1/alpha/2 */
	buf_fini(&out);
}

static void a_disabled_connection_lists_nothing(void **state)
{
	struct world *world = *state;
	struct buf out;

	buf_init(&out, MAX_BYTES);
	world->connections[0].enabled = false;
	world->connections[1].invalid = "bad";
	assert_int_equal(list(world, NULL, NULL, MCP_LEGACY, &out), 0);
	assert_string_equal(buf_str(&out), "{\"tools\":[{\"name\":\"gamma__t0\"}]}");
	buf_fini(&out);
}

/* Its exposed name belongs to another one: it can be called at its connection's endpoint only. */
static void a_tool_without_an_exposed_name_is_listed_at_its_endpoint_only(void **state)
{
	struct world *world = *state;
	struct buf out;

	world->connections[0].tools[0].exposed = NULL;
	world->tenant.n_connections = 1;
	buf_init(&out, MAX_BYTES);
	assert_int_equal(list(world, NULL, NULL, MCP_LEGACY, &out), 0);
	assert_string_equal(buf_str(&out), "{\"tools\":[{\"name\":\"alpha__t2\"}]}");
	assert_int_equal(list(world, &world->connections[0], NULL, MCP_LEGACY, &out), 0);
	assert_string_equal(buf_str(&out), "{\"tools\":[{\"name\":\"t0\"},{\"name\":\"t2\"}]}");
	buf_fini(&out);
}

static void digest_of(struct world *world, const struct connection *only, enum mcp_era era,
		      uint8_t out[SHA256_BYTES])
{
	const struct tool_list_params params = {
		.principal = &ana, .tenant = &world->tenant, .only = only, .era = era
	};

	tool_list_digest(&params, out);
}

static bool digest_differs(struct world *world, const struct connection *only, enum mcp_era era,
			   const uint8_t was[SHA256_BYTES])
{
	uint8_t is[SHA256_BYTES];

	digest_of(world, only, era, is);
	return memcmp(is, was, SHA256_BYTES) != 0;
}

/* All pages, and nothing that is not in them. */
static void the_digest_is_that_of_what_is_listed(void **state)
{
	struct world *world = *state;
	struct connection *beta = &world->connections[1];
	struct tool *last = &beta->tools[MANY - 1];
	struct tool *secret = &beta->tools[1];
	struct tool was = *last;
	uint8_t all_tools[SHA256_BYTES], only_beta[SHA256_BYTES], only_alpha[SHA256_BYTES];

	digest_of(world, NULL, MCP_LEGACY, all_tools);
	digest_of(world, beta, MCP_LEGACY, only_beta);
	digest_of(world, &world->connections[0], MCP_LEGACY, only_alpha);
	assert_false(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	secret->text = SPAN("{\"name\":\"secret1\",\"title\":\"x\"}");
	beta->tools_deny = NULL;
	beta->n_tools_deny = 0;
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	beta->tools_deny = no_secrets;
	beta->n_tools_deny = 1;
	assert_false(digest_differs(world, NULL, MCP_LEGACY, all_tools));

	last->text = SPAN("{\"name\":\"t249\" }");
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	assert_true(digest_differs(world, beta, MCP_LEGACY, only_beta));
	assert_false(digest_differs(world, &world->connections[0], MCP_LEGACY, only_alpha));
	*last = was;
	last->exposed = "beta__else";
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	assert_false(digest_differs(world, beta, MCP_LEGACY, only_beta)); /* it has its own name */
	last->exposed = NULL;						  /* not listed */
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	*last = was;
	beta->n_tools--;
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
	beta->n_tools++;
	beta->tools[MANY - 1] = beta->tools[MANY - 2];
	beta->tools[MANY - 2] = was;
	assert_true(digest_differs(world, NULL, MCP_LEGACY, all_tools));
}

static void each_era_has_the_digest_of_what_it_is_given(void **state)
{
	struct world *world = *state;
	struct connection *alpha = &world->connections[0];
	uint8_t legacy[SHA256_BYTES], modern[SHA256_BYTES];

	digest_of(world, alpha, MCP_LEGACY, legacy);
	digest_of(world, alpha, MCP_MODERN, modern);
	assert_memory_equal(legacy, modern, SHA256_BYTES);
	/* A legacy client is not given such a schema. */
	alpha->tools[0].text = SPAN("{\"name\":\"t0\",\"outputSchema\":{\"type\":\"array\"}}");
	assert_false(digest_differs(world, alpha, MCP_LEGACY, legacy));
	assert_true(digest_differs(world, alpha, MCP_MODERN, modern));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_tool_without_an_exposed_name_is_listed_at_its_endpoint_only, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(one_connection_lists_its_own_names, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(pages_join_to_the_whole_without_gap_or_repeat,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_cursor_behind_a_connection_that_went_goes_on_with_the_next, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(foreign_cursors_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_disabled_connection_lists_nothing, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(the_digest_is_that_of_what_is_listed, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(each_era_has_the_digest_of_what_it_is_given, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
