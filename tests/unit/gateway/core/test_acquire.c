/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/acquire.h"

#include "gateway/core/client_issuer.h"
#include "tests/fakes/as_world.h"
#include "tests/unit/gateway/core/access_fakes.h"

#define TENANT	   "11111111-1111-4111-8111-111111111111"
#define CONNECTION "22222222-2222-4222-8222-222222222222"
#define GIVEN	   "{\"access_token\":\"at\",\"token_type\":\"Bearer\",\"expires_in\":60}"
#define PLAY(world, ...)                                                                           \
	do {                                                                                       \
		static const struct as_answer answers_[] = { __VA_ARGS__ };                        \
		as_play((world)->as, answers_, sizeof(answers_) / sizeof(answers_[0]));            \
		take_origin(world);                                                                \
	} while (0)

/* client_issuer_bind, played: what it was asked, and what it is to say. */
struct client_issuer_op {
	struct deferred turn;
	struct client_issuer_op **slot;
	client_issuer_bound *done;
	void *ctx;
};

static struct {
	struct loop *loop;
	char issuer[64]; /* of the last request; "": none */
	bool refuses;
} binding;

bool client_issuer_is_open(const struct connection_oauth *oauth)
{
	return oauth->token_url == NULL;
}

static void on_binding(void *ctx)
{
	struct client_issuer_op was = *(struct client_issuer_op *)ctx;
	struct err err;

	err_set(&err, ERR_UNAUTHENTICATED, "it was used elsewhere");
	client_issuer_cancel(was.slot);
	was.done(was.ctx, binding.refuses ? &err : NULL);
}

void client_issuer_bind(struct db *db, struct client_issuer_op **slot,
			const struct client_issuer_request *request, client_issuer_bound *done,
			void *ctx)
{
	struct client_issuer_op *op = mem_new(sizeof(*op));

	assert_null(db);
	assert_string_equal(request->tenant_id, TENANT);
	assert_string_equal(request->connection_id, CONNECTION);
	snprintf(binding.issuer, sizeof(binding.issuer), "%s", request->issuer);
	*op = (struct client_issuer_op){ .slot = slot, .done = done, .ctx = ctx };
	*slot = op;
	loop_defer(binding.loop, &op->turn, on_binding, op);
}

void client_issuer_cancel(struct client_issuer_op **slot)
{
	struct client_issuer_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	deferred_cancel(&op->turn);
	free(op);
}

struct scene {
	struct as_world *as;
	struct access access;
	struct acquires *acquires;
	struct tenant *tenant;
	struct tenant *newest; /* NULL: the same */
	struct connection connection;
	struct connection_oauth oauth;
	char secret[32];
};

/* One who waits. */
struct wish {
	struct scene *world;
	struct acquire_op *op;
	int dones;
	bool failed;
	struct err err;
	struct wish *starts; /* in done */
};

static struct tenant *want(void *ctx, const char *tenant_id)
{
	struct scene *world = ctx;

	assert_string_equal(tenant_id, TENANT);
	return world->newest != NULL ? tenant_ref(world->newest) : NULL;
}

static int set_up(void **state)
{
	struct scene *world;
	struct arena *arena = arena_new();

	if (as_set_up(state) != 0)
		return -1;
	world = mem_new(sizeof(*world));
	world->as = *state;
	*state = world;
	access_fake_init(&world->access);
	binding.loop = world->as->world->loop;
	binding.issuer[0] = '\0';
	binding.refuses = false;
	world->acquires = acquires_new(&(struct acquires_params){ .loop = world->as->world->loop,
								  .access = &world->access,
								  .allow_http = true,
								  .want = want,
								  .ctx = world });
	world->tenant = arena_alloc(arena, sizeof(*world->tenant));
	*world->tenant = (struct tenant){ .refs = 1,
					  .arena = arena,
					  .id = TENANT,
					  .name = "acme",
					  .egress = egress_policy_ref(world->as->world->egress) };
	snprintf(world->secret, sizeof(world->secret), "s:1");
	world->oauth = (struct connection_oauth){
		.grant = OAUTH_GRANT_CLIENT_CREDENTIALS,
		.client_id = "me",
		.client_secret = {world->secret, 3},
		.client_auth = OAUTH_AUTH_POST,
		.resource = true
	};
	world->connection = (struct connection){ .id = CONNECTION,
						 .name = "crm",
						 .auth_mode = AUTH_OAUTH,
						 .oauth = &world->oauth,
						 .settings_version = 1 };
	return 0;
}

static int tear_down(void **state)
{
	struct scene *world = *state;

	acquires_free(&world->acquires);
	assert_int_equal(world->tenant->refs, 1);
	tenant_unref(&world->tenant);
	buf_clear(&world->access.journal);
	access_fake_fini(&world->access);
	*state = world->as;
	free(world);
	return as_tear_down(state);
}

static void take_origin(struct scene *world)
{
	world->connection.url = as_text(world->as, "$O/mcp#here");
}

/* Endpoints that were typed in. */
static void type_in(struct scene *world)
{
	world->oauth.token_url = as_text(world->as, "$O/token");
}

static void start(struct wish *wish, bool now);

static void on_done(void *ctx, const struct err *err)
{
	struct wish *wish = ctx;

	assert_null(wish->op);
	wish->dones++;
	wish->failed = err != NULL;
	if (err != NULL)
		wish->err = *err;
	if (wish->starts != NULL)
		start(wish->starts, false);
	as_done(wish->world->as);
}

static void start(struct wish *wish, bool now)
{
	struct scene *world = wish->world;

	wish->dones = 0;
	acquire_start(world->acquires, &wish->op,
		      &(struct acquire_request){ .tenant = world->tenant,
						 .connection = &world->connection,
						 .actor = "user:ana",
						 .now = now },
		      on_done, wish);
	assert_non_null(wish->op);
	assert_int_equal(wish->dones, 0);
}

static bool is_storing(void *ctx)
{
	const struct scene *world = ctx;

	return world->access.op != NULL;
}

static void await_store(struct scene *world)
{
	world_run_until(world->as->world, is_storing, world);
}

static void await_ends(struct scene *world, size_t n)
{
	as_wait(world->as, n);
	world->as->dones = 0;
}

static void expect_ok(const struct wish *wish)
{
	assert_int_equal(wish->dones, 1);
	if (wish->failed)
		fail_msg("%s", wish->err.text);
}

static void expect_failure(const struct wish *wish, enum err_code code, const char *text)
{
	assert_int_equal(wish->dones, 1);
	assert_true(wish->failed);
	if (wish->err.code != code || strstr(wish->err.text, text) == NULL)
		fail_msg("%d: %s", (int)wish->err.code, wish->err.text);
}

static void typed_in_endpoints_are_asked_as_they_are(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 200, AS_JSON, GIVEN });
	type_in(world);
	world->oauth.scope = "read  write";
	world->oauth.audience = "https://aud/";
	start(&wish, false);
	await_store(world);
	assert_string_equal(as_asked(world->as), "POST /token\n");
	assert_non_null(
		strstr(as_body(world->as, 0),
		       "grant_type=client_credentials&scope=read++write"
		       "&audience=https%3A%2F%2Faud%2F&resource=http%3A%2F%2F127.0.0.1%3A"));
	assert_non_null(strstr(as_body(world->as, 0), "%2Fmcp&client_id=me&client_secret=s%3A1"));
	expect_access(&world->access,
		      as_text(world->as, "put " TENANT "/" CONNECTION
					 "/ acquired by user:ana: state 0 kind 1 issuer -"
					 " token_url $O/token revocation_url - client me post s:1"
					 " resource $O/mcp audience https://aud/ scope read  write"
					 " token at refresh - expires later who ana\n"));
	assert_int_equal(wish.dones, 0);
	access_stores(&world->access);
	await_ends(world, 1);
	expect_ok(&wish);
}

static void what_is_not_wanted_is_not_sent(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 200, AS_JSON,
		      "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"refresh_token\":\"rt\","
		      "\"scope\":\"less\"}" });
	type_in(world);
	world->oauth.resource = false;
	world->oauth.client_auth = OAUTH_AUTH_BASIC_RAW;
	world->oauth.issuer = "https://as";
	world->oauth.revocation_url = "https://as/revoke";
	start(&wish, false);
	await_store(world);
	assert_string_equal(as_body(world->as, 0), "grant_type=client_credentials");
	assert_non_null(strstr(as_request(world->as, 0), "Basic bWU6czox"));
	expect_access(&world->access,
		      as_text(world->as, "put " TENANT "/" CONNECTION
					 "/ acquired by user:ana: state 0 kind 1 issuer https://as"
					 " token_url $O/token revocation_url https://as/revoke"
					 " client me basic_raw s:1 resource - audience - scope less"
					 " token at refresh - expires never who ana\n"));
	access_stores(&world->access);
	await_ends(world, 1);
	expect_ok(&wish);
}

static void without_endpoints_they_are_discovered(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world,
	     { 401, "WWW-Authenticate: Bearer resource_metadata=\"$O/prm\", scope=\"asked\"\r\n",
	       NULL },
	     { 200, AS_JSON, "{\"resource\":\"$O/mcp\",\"authorization_servers\":[\"$O\"]}" },
	     { 200, AS_JSON,
	       "{\"issuer\":\"$O\",\"token_endpoint\":\"$O/t\",\"revocation_endpoint\":\"$O/r\"}" },
	     { 200, AS_JSON, GIVEN });
	world->connection.url = as_text(world->as, "$O/mcp");
	start(&wish, false);
	await_store(world);
	assert_string_equal(as_asked(world->as),
			    "POST /mcp\nGET /prm\nGET /.well-known/oauth-authorization-server\n"
			    "POST /t\n");
	assert_string_equal(binding.issuer, as_text(world->as, "$O"));
	assert_non_null(strstr(as_request(world->as, 0), "\"method\":\"tools/list\""));
	assert_non_null(strstr(as_body(world->as, 3), "scope=asked"));
	assert_non_null(strstr(buf_str(&world->access.journal), as_text(world->as, "issuer $O ")));
	access_stores(&world->access);
	await_ends(world, 1);
	expect_ok(&wish);
}

static void a_server_that_the_client_is_not_for_does_not_see_it(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 404, AS_HTML, NULL }, { 404, AS_HTML, NULL }, { 404, AS_HTML, NULL },
	     { 200, AS_JSON, "{\"issuer\":\"$O\",\"token_endpoint\":\"$O/t\"}" });
	world->connection.url = as_text(world->as, "$O/mcp");
	binding.refuses = true;
	start(&wish, false);
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAUTHENTICATED, "it was used elsewhere");
	assert_null(strstr(as_asked(world->as), "POST /t\n"));
	/* Whoever is asked while it is left in peace says the same. */
	start(&wish, false);
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAUTHENTICATED, "it was used elsewhere");
}

static void all_who_ask_wait_for_one(void **state)
{
	struct scene *world = *state;
	struct wish wishes[5];
	struct wish late = { .world = world };

	PLAY(world, { 200, AS_JSON, GIVEN }, { 200, AS_JSON, GIVEN });
	type_in(world);
	for (size_t i = 0; i < 5; i++) {
		wishes[i] = (struct wish){ .world = world };
		start(&wishes[i], i == 2); /* it runs already */
	}
	acquire_cancel(&wishes[1].op);
	await_store(world);
	wishes[0].starts = &late;
	access_stores(&world->access);
	await_store(world); /* of the one that began with the first's end */
	assert_string_equal(as_asked(world->as), "POST /token\nPOST /token\n");
	for (size_t i = 0; i < 5; i++) {
		if (i == 1)
			assert_int_equal(wishes[i].dones, 0);
		else
			expect_ok(&wishes[i]);
	}
	access_stores(&world->access);
	await_ends(world, 5);
	expect_ok(&late);
}

static void a_failure_is_told_to_all_and_leaves_the_server_in_peace(void **state)
{
	static const struct {
		struct as_answer answer;
		enum err_code code;
		const char *text;
	} rows[] = {
		{{ 400, AS_JSON, "{\"error\":\"invalid_scope\"}" },
		  ERR_UNAUTHENTICATED,						      "invalid_scope" },
		{ { 401, AS_JSON, "{\"error\":\"invalid_client\"}" },
		  ERR_UNAUTHENTICATED,						      "invalid_client"},
		{ { 503, AS_HTML, "busy" },			    ERR_UNAVAILABLE,     "503"	   },
		{ { 200, AS_HTML, "welcome" },			       ERR_UNAUTHENTICATED, ""	       },
		{ { 0, NULL, NULL },				     ERR_UNAVAILABLE,     ""		 },
	};
	struct scene *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct as_answer answers[] = {
			rows[i].answer, {200, AS_JSON, GIVEN}
		};
		struct wish first = { .world = world };
		struct wish second = { .world = world };

		as_play(world->as, answers, 2);
		take_origin(world);
		type_in(world);
		world->connection.settings_version++;
		start(&first, false);
		start(&second, false);
		await_ends(world, 2);
		expect_failure(&first, rows[i].code, rows[i].text);
		expect_failure(&second, rows[i].code, rows[i].text);
		start(&first, false);
		await_ends(world, 1);
		expect_failure(&first, rows[i].code, rows[i].text);
		assert_string_equal(as_asked(world->as), "POST /token\n");
		/* Who mends the settings, or insists, need not wait. */
		if (i % 2 == 0)
			world->connection.settings_version++;
		start(&first, i % 2 == 1);
		await_store(world);
		access_stores(&world->access);
		await_ends(world, 1);
		expect_ok(&first);
	}
}

static void a_server_that_is_not_found_is_told_of(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 401, "WWW-Authenticate: Bearer resource_metadata=\"$O/prm\"\r\n", NULL },
	     { 200, AS_JSON, "{\"resource\":\"https://elsewhere/\"}" });
	world->connection.url = as_text(world->as, "$O/mcp");
	start(&wish, false);
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAVAILABLE, "its authorization server is not found: ");
}

static void what_cannot_be_stored_is_none(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 200, AS_JSON, GIVEN });
	type_in(world);
	start(&wish, false);
	await_store(world);
	access_fails(&world->access, ERR_UNAVAILABLE);
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAVAILABLE, "its token cannot be stored now");
}

static void what_was_got_for_older_settings_is_not_stored(void **state)
{
	struct scene *world = *state;
	struct connection edited = { .id = CONNECTION, .settings_version = 2 };
	struct tenant newest = { .refs = 1, .connections = &edited, .n_connections = 1 };
	struct wish wish = { .world = world };

	PLAY(world, { 200, AS_JSON, GIVEN }, { 200, AS_JSON, GIVEN }, { 200, AS_JSON, GIVEN });
	type_in(world);
	start(&wish, false);
	world->newest = &newest;
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAVAILABLE, "its settings have changed meanwhile");
	/* What is tried out, or serves, is meant. */
	for (int trial = 0; trial <= 1; trial++) {
		struct connection old = { .id = CONNECTION,
					  .settings_version = 1,
					  .trial = &edited };

		newest.connections = trial == 1 ? &old : &edited;
		world->connection.settings_version = 2;
		start(&wish, true);
		await_store(world);
		access_stores(&world->access);
		await_ends(world, 1);
		expect_ok(&wish);
	}
	newest.n_connections = 0;
	start(&wish, true);
	await_ends(world, 1);
	expect_failure(&wish, ERR_UNAVAILABLE, "");
	assert_int_equal(newest.refs, 1);
}

static void what_nobody_waits_for_is_stored_all_the_same(void **state)
{
	struct scene *world = *state;
	struct wish wish = { .world = world };

	PLAY(world, { 200, AS_JSON, GIVEN });
	type_in(world);
	start(&wish, false);
	acquire_cancel(&wish.op);
	acquire_cancel(&wish.op);
	await_store(world);
	access_stores(&world->access);
	assert_int_equal(wish.dones, 0);
	assert_int_equal(world->access.n_puts, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(typed_in_endpoints_are_asked_as_they_are),
		TEST(what_is_not_wanted_is_not_sent),
		TEST(without_endpoints_they_are_discovered),
		TEST(a_server_that_the_client_is_not_for_does_not_see_it),
		TEST(all_who_ask_wait_for_one),
		TEST(a_failure_is_told_to_all_and_leaves_the_server_in_peace),
		TEST(a_server_that_is_not_found_is_told_of),
		TEST(what_cannot_be_stored_is_none),
		TEST(what_was_got_for_older_settings_is_not_stored),
		TEST(what_nobody_waits_for_is_stored_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
