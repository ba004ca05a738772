/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "gateway/core/names.h"
#include "gateway/core/tenant.h"
#include "tests/fakes/gate_db.h"
#include "tokenstore/keyring.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OAUTH	     "{\"grant\":\"authorization_code\",\"per\":\"user\",\"token_endpoint_auth\":\"post\"}"

struct world {
	struct gate_db *gate;
	char tenant[UUID_TEXT_BYTES];
};

struct loading {
	struct gate_db *gate;
	struct db_op *op;
	bool ended;
	struct tenant *tenant;
	struct err err;
};

static void on_rows(void *ctx, const struct db_result *const *results, size_t n,
		    const struct err *err)
{
	struct loading *loading = ctx;
	const struct tenant_build build = {
		.keyring = loading->gate->keyring,
		.deployment = GATE_DEPLOYMENT,
	};

	assert_null(err);
	assert_int_equal(n, TENANT_N_STATEMENTS);
	loading->ended = true;
	loading->tenant = tenant_build(&build, results, &loading->err);
}

static bool has_ended(void *ctx)
{
	const struct loading *loading = ctx;

	return loading->ended;
}

static struct loading try_load(struct gate_db *gate, const char *tenant_id)
{
	const struct db_setting setting = { "app.tenant", tenant_id };
	const struct db_tx tx = { &setting, 1, tenant_statements, TENANT_N_STATEMENTS };
	struct loading loading = { .gate = gate };

	db_start(gate->app, &loading.op, &tx, on_rows, &loading);
	gate_db_until(gate, has_ended, &loading);
	return loading;
}

static struct tenant *load(const struct world *world)
{
	struct loading loading = try_load(world->gate, world->tenant);

	assert_non_null(loading.tenant);
	return loading.tenant;
}

static struct world world_of(void **state)
{
	struct world world = { .gate = *state };

	log_configure(LOG_ERROR, LOG_TEXT); /* bad rows are logged, and are what this is about */
	gate_db_tenant(world.gate, "acme", world.tenant);
	return world;
}

/* Writes the row, of which it fills in what is missing; over the one of its name, or as a new one.
 */
static void write_row(const struct world *world, struct connection_row row, bool is_new)
{
	struct tenant *tenant = load(world);
	const struct connection *old = tenant_find_connection(tenant, row.name);
	struct arena *arena = arena_new();
	struct provision provision;
	char id[UUID_TEXT_BYTES];

	uuid_v4(id);
	row.id = is_new ? id : old->id;
	row.version = is_new ? 1 : old->version + 1;
	row.description = "";
	row.enabled = true;
	if (row.url == NULL)
		row.url = is_new ? "https://mcp.example.com/mcp" : old->url;
	row.era = row.era != NULL ? row.era : "auto";
	row.auth_mode = row.auth_mode != NULL ? row.auth_mode : "none";
	row.header_names = "[]";
	row.connect_timeout_ms = 1000;
	row.call_timeout_ms = 2000;
	row.session_scope = is_new ? "principal" : "shared";
	row.trust_level = "untrusted";
	row.tools_allow = row.tools_allow != NULL ? row.tools_allow : "[\"*\"]";
	row.tools_deny = row.tools_deny != NULL ? row.tools_deny : "[]";
	row.audit_level = row.audit_level != NULL ? row.audit_level : "redacted";
	row.audit_redact = row.audit_redact != NULL ? row.audit_redact : "[]";
	provision_init(&provision, arena, world->tenant);
	(is_new ? provision_connection : provision_connection_change)(
		&provision, &row, tenant_seal_key(tenant), GATE_DEPLOYMENT);
	assert_int_equal(gate_db_provision(world->gate, &provision), 1);
	arena_free(&arena);
	tenant_unref(&tenant);
}

static void add(const struct world *world, const struct connection_row *row)
{
	write_row(world, *row, true);
}

static void change(const struct world *world, const struct connection_row *row)
{
	write_row(world, *row, false);
}

static void add_catalog(const struct world *world, const char *connection, const char *era,
			const char *tools)
{
	gate_db_do(
		world->gate,
		"INSERT INTO tollgate.catalogs (tenant_id, connection_id, era, protocol_version,"
		" tools, tools_count, hash, instructions) SELECT tenant_id, id, '%s', 'v',"
		" $tools$%s$tools$, 0, '', 'be kind' FROM tollgate.connections WHERE name = '%s'",
		era, tools, connection);
}

static void no_such_tenant_is_said(void **state)
{
	struct world world = world_of(state);
	char id[UUID_TEXT_BYTES];
	struct loading loading;

	uuid_v4(id);
	loading = try_load(world.gate, id);
	assert_null(loading.tenant);
	assert_int_equal(loading.err.code, ERR_NOT_FOUND);
}

static void a_snapshot_has_what_was_written(void **state)
{
	struct world world = world_of(state);
	const struct connection *connection;
	struct tenant *tenant;
	struct err err;

	add(&world, &(struct connection_row){ .name = "zoo", .era = "modern" });
	add(&world, &(struct connection_row){
			    .name = "crm",
			    .auth_mode = "api_key",
			    .auth_header = "X-Key",
			    .credential = SPAN("s3cret"),
			    .headers = SPAN("{\"X-Env\":\"prod\",\"X-B\":\"\"}"),
			    .tools_allow = "[\"get_*\",\"list\"]",
			    .tools_deny = "[\"get_x\"]",
			    .audit_level = "full",
			    .audit_redact = "[\"Some_Name\",\"*pin*\"]",
		    });
	gate_db_do(world.gate, "UPDATE tollgate.tenants SET egress ="
			       " '{\"allow\":[\"10.0.0.1:8080\"]}'");
	tenant = load(&world);
	assert_string_equal(tenant->id, world.tenant);
	assert_string_equal(tenant->name, "acme");
	assert_true(tenant->enabled);
	assert_int_equal(
		tenant->version,
		strtoll(gate_db_ask(world.gate, "SELECT config_version AS v FROM tollgate.tenants"),
			NULL, 10));
	assert_int_equal(tenant->n_keys, 1);
	assert_int_equal(tenant_seal_key(tenant)->dek_id, 1);
	assert_int_equal(egress_check_url(tenant->egress, "http://10.0.0.1:8080/", &err), 0);
	assert_int_equal(egress_check_url(tenant->egress, "http://127.0.0.1/", &err), -1);
	assert_int_equal(tenant->n_connections, 2);
	assert_string_equal(tenant->connections[1].name, "zoo");
	assert_int_equal(tenant->connections[1].era, ERA_MODERN);
	connection = tenant_find_connection(tenant, "crm");
	assert_ptr_equal(connection, &tenant->connections[0]);
	assert_null(connection->invalid);
	assert_true(connection->enabled);
	assert_false(connection->listed);
	assert_int_equal(connection->era, ERA_AUTO);
	assert_int_equal(connection->auth_mode, AUTH_API_KEY);
	assert_string_equal(connection->auth_header, "X-Key");
	assert_string_equal(connection->credential.reveal, "s3cret");
	assert_int_equal(connection->n_headers, 2);
	assert_string_equal(connection->headers[0].name, "X-Env");
	assert_string_equal(connection->headers[0].value, "prod");
	assert_int_equal(connection->connect_timeout_ms, 1000);
	assert_int_equal(connection->call_timeout_ms, 2000);
	assert_int_equal(connection->session_scope, SESSION_PRINCIPAL);
	assert_int_equal(connection->n_tools_allow, 2);
	assert_string_equal(connection->tools_allow[1], "list");
	assert_int_equal(connection->audit_level, AUDIT_FULL);
	assert_int_equal(connection->n_audit_redact, 2);
	assert_string_equal(connection->audit_redact[0], "somename");
	assert_string_equal(connection->audit_redact[1], "*pin*");
	assert_int_equal(connection->n_tools_deny, 1);
	assert_string_equal(connection->tools_deny[0], "get_x");
	assert_int_equal(connection->version, 1);
	assert_null(tenant_find_connection(tenant, "cr"));
	assert_null(tenant_find_connection(tenant, "nobody"));
	tenant_unref(&tenant);
}

static void while_an_edit_is_tried_out_both_open_their_secrets(void **state)
{
	struct world world = world_of(state);
	const struct connection *connection;
	struct tenant *tenant;

	add(&world, &(struct connection_row){ .name = "crm",
					      .auth_mode = "bearer",
					      .credential = SPAN("old"),
					      .audit_level = "full" });
	add(&world, &(struct connection_row){ .name = "zoo" });
	add_catalog(&world, "crm", "legacy", "[{\"name\":\"get\"}]");
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET state = 'ok',"
			       " settings_version = 1");
	change(&world, &(struct connection_row){ .name = "crm",
						 .auth_mode = "bearer",
						 .credential = SPAN("new"),
						 .new_secrets = true,
						 .tools_deny = "[\"x\"]" });
	tenant = load(&world);
	assert_int_equal(tenant->n_connections, 2);
	connection = tenant_find_connection(tenant, "crm");
	assert_null(connection->invalid);
	assert_string_equal(connection->credential.reveal, "old");
	assert_int_equal(connection->version, 1);
	assert_int_equal(connection->settings_version, 1);
	assert_true(connection->listed);
	assert_non_null(tenant_find_exposed(tenant, "crm__get"));
	/* Who may use it, and what is kept of that, holds at once. */
	assert_int_equal(connection->audit_level, AUDIT_REDACTED);
	assert_int_equal(connection->n_audit_redact, 0);
	assert_int_equal(connection->n_tools_deny, 1);
	assert_non_null(connection->trial);
	assert_null(connection->trial->invalid);
	assert_string_equal(connection->trial->credential.reveal, "new");
	assert_string_equal(connection->trial->name, "crm");
	assert_int_equal(connection->trial->settings_version, 2);
	assert_false(connection->trial->listed);
	assert_null(tenant_find_connection(tenant, "zoo")->trial);
	tenant_unref(&tenant);
}

static void an_edit_that_keeps_the_secrets_is_no_new_setting(void **state)
{
	struct world world = world_of(state);
	const struct connection *connection;
	struct tenant *tenant;

	add(&world, &(struct connection_row){
			    .name = "crm", .auth_mode = "bearer", .credential = SPAN("kept") });
	add_catalog(&world, "crm", "legacy", "[]");
	gate_db_do(world.gate, "UPDATE tollgate.connection_status SET state = 'ok',"
			       " settings_version = 1");
	change(&world, &(struct connection_row){ .name = "crm",
						 .auth_mode = "bearer",
						 .credential = SPAN("kept"),
						 .tools_deny = "[\"x\"]" });
	tenant = load(&world);
	connection = tenant_find_connection(tenant, "crm");
	assert_null(connection->trial);
	assert_string_equal(connection->credential.reveal, "kept");
	assert_int_equal(connection->version, 2);
	assert_int_equal(connection->settings_version, 1);
	tenant_unref(&tenant);
}

/* What SQL can do to a row, and why it is then not used. The other row stays good. */
static void a_bad_row_is_kept_apart_with_its_reason(void **state)
{
	static const struct {
		const char *sql;
		const char *why;
	} rows[] = {
		{"url = 'nonsense'",							   ""			 },
		{ "url = 'ftp://mcp.example.com/'",					    ""		       },
		{ "url = 'https://user@mcp.example.com/'",					   ""		      },
		{ "auth_mode = 'oauth', oauth = '" OAUTH "', oauth_secret = credential",
		  "its OAuth settings: the client secret: a sealed value does not open"				},
		{ "credential = NULL",							 "it has no credential"},
		{ "version = 2",							       "its credential: "    },
		{ "credential = headers",						      "its credential: "    },
		{ "headers = credential",						      "its headers: "	  },
		{ "credential = '\\x00'",						      "its credential: "    },
		{ "credential = set_byte(credential, 30, get_byte(credential, 30) # 1)",
		  "its credential: "										  },
		{ "auth_mode = 'api_key', auth_header = NULL",
		  "its auth header is no header name"								 },
		{ "auth_mode = 'api_key', auth_header = 'a b'",
		  "its auth header is no header name"								 },
		{ "id = gen_random_uuid()",						    "its credential: "    },
		{ "tools_allow = (SELECT array_agg('x'::text) FROM generate_series(1, 1001))",
		  "at most 1000"										      },
	};
	struct world world = world_of(state);

	add(&world, &(struct connection_row){
			    .name = "good", .auth_mode = "bearer", .credential = SPAN("token") });
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tenant *tenant;

		add(&world, &(struct connection_row){ .name = "bad",
						      .auth_mode = "bearer",
						      .credential = SPAN("token"),
						      .headers = SPAN("{\"X\":\"y\"}") });
		gate_db_do(world.gate,
			   "DELETE FROM tollgate.connection_status"); /* else no new id */
		gate_db_do(world.gate, "UPDATE tollgate.connections SET %s WHERE name = 'bad'",
			   rows[i].sql);
		tenant = load(&world);
		assert_null(tenant_find_connection(tenant, "good")->invalid);
		assert_non_null(tenant_find_connection(tenant, "bad")->invalid);
		if (strstr(tenant_find_connection(tenant, "bad")->invalid, rows[i].why) == NULL)
			fail_msg("%s: %s", rows[i].sql,
				 tenant_find_connection(tenant, "bad")->invalid);
		tenant_unref(&tenant);
		gate_db_do(world.gate, "DELETE FROM tollgate.connections WHERE name = 'bad'");
	}
}

static void oauth_settings_are_read_with_their_secret(void **state)
{
	const struct connection_row row = {
		.name = "crm", .auth_mode = "oauth", .oauth = OAUTH, .oauth_secret = SPAN("s3cret")
	};
	struct world world = world_of(state);
	struct tenant *tenant;

	add(&world, &row);
	tenant = load(&world);
	assert_string_equal(tenant->connections[0].oauth->client_secret.reveal, "s3cret");
	tenant_unref(&tenant);
}

static void a_bad_secret_is_not_shown_in_the_reason(void **state)
{
	static const struct {
		const char *credential;
		const char *headers;
	} rows[] = {
		{"token",	   "not json but hush"	       },
		   { "token",	      "{\"X\":17}"		   },
		{ "token",	   "{\"X Y\":\"hush\"}"	},
		   { "token",	      "{\"X\":\"hush\\nY: hush\"}"},
		{ "token",	   "[\"hush\"]"		},
		   { "hush\r\nX: y", "{}"			  },
	};
	struct world world = world_of(state);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tenant *tenant;

		add(&world, &(struct connection_row){ .name = "bad",
						      .auth_mode = "bearer",
						      .credential = span_of(rows[i].credential),
						      .headers = span_of(rows[i].headers) });
		tenant = load(&world);
		assert_non_null(tenant->connections[0].invalid);
		assert_null(strstr(tenant->connections[0].invalid, "hush"));
		tenant_unref(&tenant);
		gate_db_do(world.gate, "DELETE FROM tollgate.connections");
	}
}

static void too_many_headers_make_a_row_bad(void **state)
{
	struct world world = world_of(state);
	struct tenant *tenant;
	struct buf headers;

	buf_init(&headers, 4096);
	for (int i = 0; i <= CONNECTION_MAX_HEADERS; i++)
		buf_printf(&headers, "%s\"X-%d\":\"\"", i == 0 ? "{" : ",", i);
	buf_add(&headers, "}");
	add(&world, &(struct connection_row){ .name = "bad", .headers = buf_span(&headers) });
	buf_fini(&headers);
	tenant = load(&world);
	assert_string_equal(tenant->connections[0].invalid,
			    "its headers: expected an object of at most 64");
	tenant_unref(&tenant);
}

static void an_address_that_egress_refuses_is_no_bad_row(void **state)
{
	struct world world = world_of(state);
	struct tenant *tenant;

	add(&world, &(struct connection_row){ .name = "near", .url = "http://127.0.0.1:1/mcp" });
	tenant = load(&world);
	assert_null(tenant->connections[0].invalid);
	tenant_unref(&tenant);
}

static void exceptions_that_cannot_be_read_permit_nothing(void **state)
{
	static const char *const rows[] = { "{\"allow\":[\"10.0.0.1:8080\",\"non sense\"]}",
					    "{\"allow\":[7]}", "{\"allow\":{}}", "{\"allow\":null}",
					    "{}" };
	struct world world = world_of(state);

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tenant *tenant;
		struct err err;

		gate_db_do(world.gate, "UPDATE tollgate.tenants SET egress = '%s'", rows[i]);
		tenant = load(&world);
		assert_int_equal(egress_check_url(tenant->egress, "http://10.0.0.1:8080/", &err),
				 -1);
		assert_int_equal(err.code, ERR_FORBIDDEN);
		assert_int_equal(egress_check_url(tenant->egress, "https://example.com/", &err), 0);
		tenant_unref(&tenant);
	}
}

static void a_key_that_does_not_unwrap_takes_its_secrets_along(void **state)
{
	struct world world = world_of(state);
	struct tenant *tenant;

	add(&world, &(struct connection_row){
			    .name = "crm", .auth_mode = "bearer", .credential = SPAN("token") });
	add(&world, &(struct connection_row){ .name = "open" });
	gate_db_do(world.gate, "UPDATE tollgate.data_keys SET wrapped ="
			       " set_byte(wrapped, 40, get_byte(wrapped, 40) # 1)");
	tenant = load(&world);
	assert_null(tenant_seal_key(tenant));
	assert_non_null(strstr(tenant_find_connection(tenant, "crm")->invalid,
			       "data key does not open with this gateway's keyring"));
	assert_null(tenant_find_connection(tenant, "open")->invalid);
	tenant_unref(&tenant);
}

static void a_catalog_keeps_the_upstreams_order_and_bytes(void **state)
{
	struct world world = world_of(state);
	const struct connection *crm;
	const struct tool_ref *ref;
	struct tenant *tenant;

	add(&world, &(struct connection_row){ .name = "crm" });
	add(&world, &(struct connection_row){ .name = "zoo" });
	add_catalog(&world, "crm", "legacy",
		    "[ {\"name\":\"z\", \"n\":1e400} ,{\"name\":\"a\"},{\"no\":1},{\"name\":7},"
		    "{\"name\":\"\"},{\"name\":\"n\\u0000ul\"},17,{\"name\":\"z\",\"second\":1}]");
	add_catalog(&world, "zoo", "modern", "[]");
	tenant = load(&world);
	crm = tenant_find_connection(tenant, "crm");
	assert_true(crm->listed);
	assert_int_equal(crm->listed_era, MCP_LEGACY);
	assert_string_equal(crm->instructions, "be kind");
	assert_int_equal(crm->n_tools, 2);
	assert_string_equal(crm->tools[0].name, "z");
	assert_string_equal(crm->tools[0].exposed, "crm__z");
	assert_true(span_is(crm->tools[0].text, "{\"name\":\"z\", \"n\":1e400}"));
	assert_string_equal(crm->tools[1].name, "a");
	assert_ptr_equal(connection_find_tool(crm, "a"), &crm->tools[1]);
	assert_null(connection_find_tool(crm, "b"));
	assert_int_equal(tenant->n_exposed, 2);
	ref = tenant_find_exposed(tenant, "crm__z");
	assert_ptr_equal(ref->tool, &crm->tools[0]);
	assert_ptr_equal(ref->connection, crm);
	assert_null(tenant_find_exposed(tenant, "z"));
	assert_int_equal(tenant_find_connection(tenant, "zoo")->listed_era, MCP_MODERN);
	tenant_unref(&tenant);
}

/* A tool whose name is what another one's was shortened to. */
static void of_two_tools_with_one_exposed_name_the_first_keeps_it(void **state)
{
	struct world world = world_of(state);
	const struct connection *crm;
	struct tenant *tenant;
	char shortened[EXPOSED_MAX_BYTES + 1];
	char tools[600];

	add(&world, &(struct connection_row){ .name = "crm" });
	snprintf(tools, sizeof(tools), "[{\"name\":\"%0100d\"}]", 0);
	add_catalog(&world, "crm", "legacy", tools);
	tenant = load(&world);
	snprintf(shortened, sizeof(shortened), "%s", tenant->connections[0].tools[0].exposed + 5);
	tenant_unref(&tenant);

	gate_db_do(world.gate, "DELETE FROM tollgate.catalogs");
	snprintf(tools, sizeof(tools), "[{\"name\":\"%0100d\"},{\"name\":\"%s\"}]", 0, shortened);
	add_catalog(&world, "crm", "legacy", tools);
	tenant = load(&world);
	crm = &tenant->connections[0];
	assert_int_equal(crm->n_tools, 2);
	assert_int_equal(tenant->n_exposed, 1);
	assert_ptr_equal(tenant->exposed[0].tool, &crm->tools[0]);
	assert_null(crm->tools[1].exposed);
	assert_non_null(connection_find_tool(crm, shortened));
	tenant_unref(&tenant);
}

static void tools_that_break_the_rules_of_param_headers_are_left_out_of_modern_ones(void **state)
{
	static const char tools[] =
		"[{\"name\":\"plain\"},"
		"{\"name\":\"good\",\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"string\","
		"\"x-mcp-header\":\"Region\"}}}},"
		"{\"name\":\"bad\",\"inputSchema\":{\"properties\":{\"a\":{\"type\":\"number\","
		"\"x-mcp-header\":\"Region\"}}}}]";
	struct world world = world_of(state);
	struct tenant *tenant;

	add(&world, &(struct connection_row){ .name = "modern" });
	add(&world, &(struct connection_row){ .name = "legacy" });
	add_catalog(&world, "modern", "modern", tools);
	add_catalog(&world, "legacy", "legacy", tools);
	tenant = load(&world);
	assert_int_equal(tenant_find_connection(tenant, "legacy")->n_tools, 3);
	assert_false(tenant_find_connection(tenant, "legacy")->tools[1].param_headers);
	assert_int_equal(tenant_find_connection(tenant, "modern")->n_tools, 2);
	assert_false(tenant_find_connection(tenant, "modern")->tools[0].param_headers);
	assert_true(tenant_find_connection(tenant, "modern")->tools[1].param_headers);
	assert_null(tenant_find_exposed(tenant, "modern__bad"));
	assert_non_null(tenant_find_exposed(tenant, "legacy__bad"));
	tenant_unref(&tenant);
}

static void a_damaged_catalog_is_as_good_as_none(void **state)
{
	static const char *const rows[] = { "", "[", "{}", "[{\"a\":1,\"a\":2}]", "7" };
	struct world world = world_of(state);

	add(&world, &(struct connection_row){ .name = "crm" });
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tenant *tenant;

		add_catalog(&world, "crm", "legacy", rows[i]);
		tenant = load(&world);
		assert_null(tenant->connections[0].invalid);
		assert_false(tenant->connections[0].listed);
		assert_int_equal(tenant->connections[0].n_tools, 0);
		tenant_unref(&tenant);
		gate_db_do(world.gate, "DELETE FROM tollgate.catalogs");
	}
}

static void another_tenants_rows_are_not_seen(void **state)
{
	struct world world = world_of(state);
	struct world other = { .gate = world.gate };
	struct tenant *tenant;

	gate_db_tenant(world.gate, "other", other.tenant);
	add(&other, &(struct connection_row){ .name = "crm" });
	add_catalog(&other, "crm", "legacy", "[{\"name\":\"a\"}]");
	tenant = load(&world);
	assert_int_equal(tenant->n_connections, 0);
	assert_int_equal(tenant->n_exposed, 0);
	assert_int_equal(tenant->n_keys, 1);
	assert_null(tenant_find_connection(tenant, "crm"));
	assert_null(tenant_find_exposed(tenant, "crm__a"));
	tenant_unref(&tenant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		GATE_DB_TEST(no_such_tenant_is_said),
		GATE_DB_TEST(a_snapshot_has_what_was_written),
		GATE_DB_TEST(while_an_edit_is_tried_out_both_open_their_secrets),
		GATE_DB_TEST(an_edit_that_keeps_the_secrets_is_no_new_setting),
		GATE_DB_TEST(a_bad_row_is_kept_apart_with_its_reason),
		GATE_DB_TEST(oauth_settings_are_read_with_their_secret),
		GATE_DB_TEST(a_bad_secret_is_not_shown_in_the_reason),
		GATE_DB_TEST(too_many_headers_make_a_row_bad),
		GATE_DB_TEST(an_address_that_egress_refuses_is_no_bad_row),
		GATE_DB_TEST(exceptions_that_cannot_be_read_permit_nothing),
		GATE_DB_TEST(a_key_that_does_not_unwrap_takes_its_secrets_along),
		GATE_DB_TEST(a_catalog_keeps_the_upstreams_order_and_bytes),
		GATE_DB_TEST(of_two_tools_with_one_exposed_name_the_first_keeps_it),
		GATE_DB_TEST(
			tools_that_break_the_rules_of_param_headers_are_left_out_of_modern_ones),
		GATE_DB_TEST(a_damaged_catalog_is_as_good_as_none),
		GATE_DB_TEST(another_tenants_rows_are_not_seen),
	};

	return cmocka_run_group_tests(tests, gate_db_start_program, gate_db_end_program);
}
