/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/api.h"

#include "gateway/core/probe.h"
#include "gateway/http/api_connection_body.h"
#include "tests/unit/gateway/http/api_fixture.h"

/* --- a probe that ends when it is told to -------------------------------------------------------
 */

static struct {
	struct probe **slot;
	probe_done *done;
	void *ctx;
	char name[64], url[128], header[64], credential[64];
	struct connection connection; /* its texts have gone */
	size_t n_started, n_cancelled;
} probing;

void probe_start(struct probes *probes, struct probe **slot, struct tenant *tenant,
		 const struct connection *connection, probe_done *done, void *ctx)
{
	assert_null(probes);
	assert_string_equal(tenant->name, "acme");
	assert_null(*slot);
	*slot = (struct probe *)&probing;
	probing.slot = slot;
	probing.done = done;
	probing.ctx = ctx;
	probing.connection = *connection;
	snprintf(probing.name, sizeof(probing.name), "%s", connection->name);
	snprintf(probing.url, sizeof(probing.url), "%s", connection->url);
	snprintf(probing.credential, sizeof(probing.credential), "%s",
		 connection->credential.reveal != NULL ? connection->credential.reveal : "");
	if (connection->n_headers > 0)
		snprintf(probing.header, sizeof(probing.header), "%s: %s",
			 connection->headers[0].name, connection->headers[0].value);
	probing.n_started++;
}

void probe_cancel(struct probe **slot)
{
	probing.n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

/* A tenant with one connection. */
struct acme {
	struct tenant tenant;
	struct connection connection;
};

static void make_acme(struct acme *acme)
{
	struct err err;

	*acme = (struct acme){
		.tenant = {.refs = 1,      .id = OWN_TENANT,	 .name = "acme"},
		.connection = { .name = "crm",
				.url = "https://crm.example.com/mcp",
				.era = ERA_LEGACY					  }
	};
	acme->tenant.connections = &acme->connection;
	acme->tenant.n_connections = 1;
	acme->tenant.egress = egress_policy_new(NULL, 0, false, &err);
}

static void give(struct acme *acme)
{
	struct exchange *exchange = the_exchange;

	assert_true(exchange->loads_tenant);
	*exchange->loading_slot = NULL;
	exchange->loaded(exchange->loaded_ctx, &acme->tenant, NULL);
}

static void load(struct acme *acme)
{
	make_acme(acme);
	give(acme);
}

static void unload(struct acme *acme)
{
	assert_int_equal(acme->tenant.refs, 1);
	egress_policy_unref(&acme->tenant.egress);
}

static void report(const struct probe_report *report)
{
	*probing.slot = NULL;
	probing.done(probing.ctx, report);
}

static struct exchange *probe_unsaved(const char *body)
{
	struct exchange *exchange = request("POST", "/probe");

	exchange->content_type = "application/json";
	exchange->body = body;
	ask(exchange);
	return exchange;
}

static int set_up(void **state)
{
	(void)state;
	memset(&probing, 0, sizeof(probing));
	return 0;
}

static void what_is_not_saved_is_probed_as_it_would_be_saved(void **state)
{
	static const struct probe_report good = {
		.opened = true,
		.era = MCP_MODERN,
		.protocol_version = "2026-07-28",
		.server = {"{\"name\":\"m\"}", 12},
		.capabilities = { "{\"tools\":{}}",  12},
		.listed = true,
		.n_tools = 2,
		.tools = { "[\"a\",\"b\"]",   9 },
		.complete = true,
		.open_ms = 3,
		.list_ms = 4,
	};
	struct exchange *exchange = probe_unsaved(
		"{\"url\":\"https://x.example/mcp\",\"era\":\"modern\",\"auth\":{\"mode\":"
		"\"api_key\",\"credential\":\"s\"},\"headers\":{\"X-Env\":\"prod\"}}");
	struct acme acme;

	(void)state;
	load(&acme);
	assert_string_equal(probing.name, "probe");
	assert_string_equal(probing.url, "https://x.example/mcp");
	assert_string_equal(probing.header, "X-Env: prod");
	assert_string_equal(probing.credential, "s");
	assert_int_equal(probing.connection.era, ERA_MODERN);
	assert_int_equal(probing.connection.auth_mode, AUTH_API_KEY);
	assert_int_equal(probing.connection.call_timeout_ms, CONNECTION_DEFAULT_CALL_MS);
	report(&good);
	assert_int_equal(exchange->status, 200);
	assert_string_equal(exchange->answer,
			    "{\"ok\":true,\"era\":\"modern\",\"protocol_version\":\"2026-07-28\","
			    "\"server\":{\"name\":\"m\"},\"capabilities\":{\"tools\":{}},"
			    "\"instructions\":null,\"auth\":{\"needed\":false,\"status\":null,"
			    "\"www_authenticate\":null,\"resource_metadata\":null},"
			    "\"tools\":{\"count\":2,\"complete\":true,\"names\":[\"a\",\"b\"]},"
			    "\"session\":null,\"latency_ms\":{\"open\":3,\"list\":4},"
			    "\"error\":null}");
	assert_int_equal(exchange->n_queries, 0);
	assert_int_equal(exchange->n_entries, 0);
	end(exchange);
	unload(&acme);
}

static void what_could_not_be_saved_is_not_probed(void **state)
{
	static const char *const bad[] = {
		"{}",
		"{\"url\":\"https://x.example/mcp\",\"extra\":1}",
		"{\"url\":\"http://127.0.0.1/mcp\"}",
		"{\"url\":\"https://x.example/mcp\",\"auth\":{\"mode\":\"bearer\"}}",
		"{\"url\":\"https://x.example/mcp\",\"auth\":{\"mode\":\"bearer\",\"credential\":"
		"\"[REDACTED]\"}}",
		"{\"url\":\"https://x.example/mcp\",\"headers\":{\"X-A\":\"[REDACTED]\"}}",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct exchange *exchange = probe_unsaved(bad[i]);
		struct acme acme;

		load(&acme);
		assert_int_equal(exchange->status, 400);
		end(exchange);
		unload(&acme);
	}
	assert_int_equal(probing.n_started, 0);
}

static void that_an_upstream_fails_is_a_good_answer(void **state)
{
	struct err problem;
	const struct probe_report refused = {
		.refused = 401,
		.authenticate = "Bearer realm=\"x\", resource_metadata=\"https://x/y\"",
		.session = PROBE_LEFT,
		.problem = &problem,
	};
	struct exchange *exchange = probe_unsaved("{\"url\":\"https://x.example/mcp\"}");
	struct acme acme;

	(void)state;
	load(&acme);
	err_set(&problem, ERR_UNAUTHENTICATED, "it wants another credential (HTTP 401)");
	report(&refused);
	assert_int_equal(exchange->status, 200);
	assert_non_null(strstr(exchange->answer, "{\"ok\":false,\"era\":null,"));
	assert_non_null(strstr(exchange->answer,
			       "\"auth\":{\"needed\":true,\"status\":401,\"www_authenticate\":"
			       "\"Bearer realm=\\\"x\\\", resource_metadata=\\\"https://x/y\\\"\","
			       "\"resource_metadata\":\"https://x/y\"},\"tools\":null,"
			       "\"session\":\"left\""));
	assert_non_null(strstr(exchange->answer, "\"error\":{\"code\":\"unauthenticated\","));
	end(exchange);
	unload(&acme);
}

static void the_metadata_of_a_challenge_is_its_parameter_and_nothing_like_it(void **state)
{
	static const struct {
		const char *challenge, *metadata;
	} cases[] = {
		{"Bearer resource_metadata=\"https://a\"",    "\"https://a\""},
		{ "Bearer resource_metadata=https://a, x=y",  "\"https://a\""},
		{ "Bearer RESOURCE_METADATA=\"https://a\"",   "\"https://a\""},
		{ "Bearer x_resource_metadata=\"https://a\"", "null"	     },
		{ "Bearer resource_metadata=\"\"",		   "null"	  },
		{ "Bearer",				   "null"	   },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange *exchange = probe_unsaved("{\"url\":\"https://x.example/mcp\"}");
		struct err problem;
		const struct probe_report refused = { .refused = 401,
						      .authenticate = cases[i].challenge,
						      .problem = &problem };
		struct acme acme;
		char member[128];

		load(&acme);
		err_set(&problem, ERR_UNAUTHENTICATED, "no");
		report(&refused);
		snprintf(member, sizeof(member), "\"resource_metadata\":%s}", cases[i].metadata);
		if (strstr(exchange->answer, member) == NULL)
			fail_msg("%s: %s", cases[i].challenge, exchange->answer);
		end(exchange);
		unload(&acme);
	}
}

static void too_many_probes_are_told_to_come_back(void **state)
{
	struct exchange *exchange = probe_unsaved("{\"url\":\"https://x.example/mcp\"}");
	struct err problem;
	const struct probe_report none = { .problem = &problem };
	struct acme acme;

	(void)state;
	load(&acme);
	err_set(&problem, ERR_UNAVAILABLE, "too many probes are running");
	report(&none);
	check_problem(exchange, 503, "unavailable");
	assert_string_equal(exchange->retry_after, "1");
	end(exchange);
	unload(&acme);
}

static void a_connection_is_probed_as_it_is_stored(void **state)
{
	static const struct probe_report nothing = { .open_ms = 1 };
	struct exchange *exchange = request("POST", "/connections/crm/probe");
	struct acme acme;

	(void)state;
	ask(exchange);
	load(&acme);
	assert_string_equal(probing.url, "https://crm.example.com/mcp");
	assert_int_equal(probing.connection.era, ERA_LEGACY);
	report(&nothing);
	assert_int_equal(exchange->status, 200);
	end(exchange);
	unload(&acme);
}

static void a_connection_that_cannot_be_used_is_not_probed(void **state)
{
	static const struct {
		const char *name, *invalid;
		int status;
		const char *code;
	} cases[] = {
		{"other", NULL,				 404, "not_found"},
		{ "crm",	 "its credential does not open", 409, "conflict" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct exchange *exchange = request("POST", "/connections/crm/probe");
		struct acme acme;

		ask(exchange);
		make_acme(&acme);
		acme.connection.name = cases[i].name;
		acme.connection.invalid = cases[i].invalid;
		give(&acme);
		check_problem(exchange, cases[i].status, cases[i].code);
		end(exchange);
		unload(&acme);
	}
	assert_int_equal(probing.n_started, 0);
}

static void a_client_that_leaves_cancels_its_probe(void **state)
{
	struct exchange *exchange = probe_unsaved("{\"url\":\"https://x.example/mcp\"}");
	struct acme acme;

	(void)state;
	load(&acme);
	assert_int_equal(probing.n_started, 1);
	end(exchange);
	assert_int_equal(probing.n_cancelled, 1);
	unload(&acme);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_saved_is_probed_as_it_would_be_saved),
		TEST(what_could_not_be_saved_is_not_probed),
		TEST(that_an_upstream_fails_is_a_good_answer),
		TEST(the_metadata_of_a_challenge_is_its_parameter_and_nothing_like_it),
		TEST(too_many_probes_are_told_to_come_back),
		TEST(a_connection_is_probed_as_it_is_stored),
		TEST(a_connection_that_cannot_be_used_is_not_probed),
		TEST(a_client_that_leaves_cancels_its_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
