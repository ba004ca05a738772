/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/client_issuer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fakes/gate_db.h"

#define HERE  "https://as.example"
#define THERE "https://evil.example"

struct scene {
	struct gate_db *gate;
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
};

struct told {
	struct client_issuer_op *op;
	int dones;
	bool failed;
	struct err err;
};

static void add_connection(struct scene *scene)
{
	uuid_v4(scene->connection_id);
	gate_db_do(scene->gate,
		   "INSERT INTO tollgate.connections (tenant_id, id, name, url) VALUES"
		   " ('%s', '%s', 'c%.8s', 'https://crm.example/mcp')",
		   scene->tenant_id, scene->connection_id, scene->connection_id);
}

static struct scene begin(void **state)
{
	struct scene scene = { .gate = *state };

	gate_db_tenant(scene.gate, "acme", scene.tenant_id);
	add_connection(&scene);
	return scene;
}

static void on_bound(void *ctx, const struct err *err)
{
	struct told *told = ctx;

	assert_null(told->op);
	told->dones++;
	told->failed = err != NULL;
	if (err != NULL)
		told->err = *err;
}

static bool is_told(void *ctx)
{
	const struct told *told = ctx;

	return told->dones > 0;
}

static void ask(struct scene *scene, struct told *told, const char *issuer)
{
	client_issuer_bind(scene->gate->app, &told->op,
			   &(struct client_issuer_request){ .tenant_id = scene->tenant_id,
							    .connection_id = scene->connection_id,
							    .issuer = issuer },
			   on_bound, told);
}

static struct told use_at(struct scene *scene, const char *issuer)
{
	struct told told = { 0 };

	ask(scene, &told, issuer);
	gate_db_until(scene->gate, is_told, &told);
	return told;
}

static void a_client_stays_with_the_server_that_saw_it_first(void **state)
{
	struct scene scene = begin(state);
	struct told told;

	assert_false(use_at(&scene, HERE).failed);
	assert_false(use_at(&scene, HERE).failed);
	told = use_at(&scene, THERE);
	assert_true(told.failed);
	assert_int_equal(told.err.code, ERR_UNAUTHENTICATED);
	assert_non_null(strstr(told.err.text, "used at " HERE ", "));
	/* Not even one that is spelt a little differently. */
	assert_true(use_at(&scene, HERE "/").failed);
	add_connection(&scene);
	assert_false(use_at(&scene, THERE).failed);
}

static void of_two_at_once_one_is_first(void **state)
{
	struct scene scene = begin(state);
	struct told here = { 0 };
	struct told there = { 0 };

	ask(&scene, &here, HERE);
	ask(&scene, &there, THERE);
	gate_db_until(scene.gate, is_told, &here);
	gate_db_until(scene.gate, is_told, &there);
	assert_true(here.failed || there.failed);
	assert_string_equal(
		gate_db_ask(scene.gate, "SELECT count(*)::text AS v FROM tollgate.client_issuers"),
		"1");
}

static void what_is_not_bound_may_not_see_it(void **state)
{
	struct scene scene = begin(state);
	struct told told;

	uuid_v4(scene.connection_id); /* deleted meanwhile */
	told = use_at(&scene, HERE);
	assert_true(told.failed);
	assert_int_equal(told.err.code, ERR_UNAVAILABLE);
}

static void who_leaves_is_not_told(void **state)
{
	struct scene scene = begin(state);
	struct told told = { 0 };

	ask(&scene, &told, HERE);
	client_issuer_cancel(&told.op);
	client_issuer_cancel(&told.op);
	gate_db_for(scene.gate, 20);
	assert_int_equal(told.dones, 0);
}

static void only_a_client_without_a_server_is_asked_about(void **state)
{
	(void)state;
	assert_false(client_issuer_is_open(&(struct connection_oauth){ .client_id = NULL }));
	assert_true(client_issuer_is_open(&(struct connection_oauth){ .client_id = "me" }));
	assert_false(client_issuer_is_open(
		&(struct connection_oauth){ .client_id = "me", .issuer = HERE }));
	assert_false(client_issuer_is_open(
		&(struct connection_oauth){ .client_id = "me", .token_url = HERE "/t" }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(a_client_stays_with_the_server_that_saw_it_first),
		GATE_DB_TEST(of_two_at_once_one_is_first),
		GATE_DB_TEST(what_is_not_bound_may_not_see_it),
		GATE_DB_TEST(who_leaves_is_not_told),
		cmocka_unit_test(only_a_client_without_a_server_is_asked_about),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
