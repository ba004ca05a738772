/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/credential.h"

#include "gateway/core/acquire.h"
#include "oauth/client.h"
#include "tests/unit/gateway/core/access_fakes.h"
#include "tokenstore/grant.h"

#define TENANT	   "11111111-1111-4111-8111-111111111111"
#define CONNECTION "22222222-2222-4222-8222-222222222222"
#define ANA	   "user:33333333-3333-4333-8333-333333333333"
#define AS	   "https://as"
#define KEY	   TENANT "/" CONNECTION "/"

/* One acquisition at a time, which ends when the test says so. */
struct acquire_op {
	struct acquire_op **slot;
	acquire_done *done;
	void *ctx;
};
struct acquires {
	struct acquire_op op;
	int n;
};

struct world {
	struct access access;
	struct acquires acquires;
	struct credentials *credentials;
	struct tenant tenant;
	struct connection connection;
	struct connection_oauth oauth;
	struct credential_op *op;
	int dones;
	enum credential_state state;
	char why[64];
	enum err_code code;
	bool failed;
};

void acquire_start(struct acquires *acquires, struct acquire_op **slot,
		   const struct acquire_request *request, acquire_done *done, void *ctx)
{
	assert_null(*slot);
	assert_null(acquires->op.slot);
	assert_string_equal(request->actor, "system:test");
	assert_string_equal(request->connection->id, CONNECTION);
	assert_false(request->now);
	acquires->n++;
	acquires->op = (struct acquire_op){ slot, done, ctx };
	*slot = &acquires->op;
}

void acquire_cancel(struct acquire_op **slot)
{
	if (*slot != NULL)
		(*slot)->slot = NULL;
	*slot = NULL;
}

static void acquire_ends(struct world *world, const struct err *err)
{
	struct acquire_op was = world->acquires.op;

	assert_non_null(was.slot);
	*was.slot = NULL;
	world->acquires.op.slot = NULL;
	was.done(was.ctx, err);
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	*state = world;
	access_fake_init(&world->access);
	world->tenant = (struct tenant){ .refs = 1, .id = TENANT };
	world->connection = (struct connection){ .id = CONNECTION,
						 .auth_mode = AUTH_OAUTH,
						 .oauth = &world->oauth };
	world->credentials = credentials_new(&world->access, &world->acquires);
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	assert_null(world->op);
	assert_null(world->acquires.op.slot);
	assert_int_equal(world->tenant.refs, 1);
	credentials_free(&world->credentials);
	access_fake_fini(&world->access);
	free(world);
	return 0;
}

static void on_done(void *ctx, enum credential_state state, const char *why, const struct err *err)
{
	struct world *world = ctx;

	assert_null(world->op);
	world->dones++;
	world->state = state;
	snprintf(world->why, sizeof(world->why), "%s", why != NULL ? why : "NULL");
	world->failed = err != NULL;
	if (err != NULL)
		world->code = err->code;
}

static void start(struct world *world, const char *subject, int64_t refused_version)
{
	world->dones = 0;
	credential_start(world->credentials, &world->op,
			 &(struct credential_request){
				 .tenant = &world->tenant,
				 .connection = &world->connection,
				 .subject = subject,
				 .refused_version = refused_version,
				 .actor = "system:test",
			 },
			 on_done, world);
	assert_non_null(world->op);
	assert_int_equal(world->dones, 0);
}

static void expect(struct world *world, enum credential_state state, const char *why)
{
	assert_int_equal(world->dones, 1);
	assert_false(world->failed);
	assert_int_equal(world->state, state);
	assert_string_equal(world->why, why);
}

static void expect_failure(struct world *world, enum err_code code)
{
	assert_int_equal(world->dones, 1);
	assert_true(world->failed);
	assert_int_equal(world->code, code);
}

static void what_is_in_memory_is_found_there(void **state)
{
	static const enum access_state others[] = { ACCESS_UNKNOWN, ACCESS_NONE };
	struct upstream_token token = { 0 };
	struct world *world = *state;

	for (size_t i = 0; i < 2; i++) {
		world->access.found = others[i];
		assert_false(credential_ready(world->credentials, &world->tenant,
					      &world->connection, ""));
		assert_false(credential_find(&world->access, TENANT, CONNECTION, ANA, &token));
		assert_null(token.authorization);
	}
	world->access.found = ACCESS_READY;
	assert_true(credential_ready(world->credentials, &world->tenant, &world->connection, ANA));
	assert_true(credential_find(&world->access, TENANT, CONNECTION, NULL, &token));
	assert_string_equal(token.authorization, "Bearer found");
	assert_int_equal(token.version, 5);
}

static void a_grant_is_loaded_or_there_is_none(void **state)
{
	struct world *world = *state;

	start(world, ANA, 0);
	expect_access(&world->access, "start " KEY ANA "\n");
	access_says(&world->access, ACCESS_READY, NULL);
	expect(world, CREDENTIAL_READY, "NULL");
	start(world, "", 0);
	expect_access(&world->access, "start " KEY "\n");
	access_says(&world->access, ACCESS_NONE, "it was taken back");
	expect(world, CREDENTIAL_NONE, "it was taken back");
	start(world, NULL, 9);
	expect_access(&world->access, "refused " KEY " 9\n");
	access_fails(&world->access, ERR_TIMEOUT);
	expect_failure(world, ERR_TIMEOUT);
	assert_int_equal(world->acquires.n, 0);
}

static void client_credentials_are_got_if_there_are_none(void **state)
{
	struct world *world = *state;

	world->oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	for (int refused = 0; refused <= 1; refused++) {
		start(world, "", refused);
		access_says(&world->access, ACCESS_NONE, "the client is refused");
		assert_int_equal(world->dones, 0);
		acquire_ends(world, NULL);
		expect_access(&world->access, refused == 1 ? "refused " KEY " 1\nstart " KEY "\n"
							   : "start " KEY "\nstart " KEY "\n");
		access_says(&world->access, ACCESS_READY, NULL);
		expect(world, CREDENTIAL_READY, "NULL");
	}
	/* One that is there, or may be, is left alone. */
	start(world, "", 0);
	access_says(&world->access, ACCESS_READY, NULL);
	expect(world, CREDENTIAL_READY, "NULL");
	start(world, "", 0);
	access_fails(&world->access, ERR_UNAVAILABLE);
	expect_failure(world, ERR_UNAVAILABLE);
	assert_int_equal(world->acquires.n, 2);
}

static void once_is_enough(void **state)
{
	struct world *world = *state;
	struct err err;

	world->oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	start(world, "", 0);
	access_says(&world->access, ACCESS_NONE, NULL);
	acquire_ends(world, NULL);
	access_says(&world->access, ACCESS_NONE, "gone again");
	expect(world, CREDENTIAL_NONE, "gone again");
	start(world, "", 0);
	access_says(&world->access, ACCESS_NONE, NULL);
	err_set(&err, ERR_UNAUTHENTICATED, "invalid_client");
	acquire_ends(world, &err);
	expect(world, CREDENTIAL_NONE, "invalid_client");
	start(world, "", 0);
	access_says(&world->access, ACCESS_NONE, NULL);
	err_set(&err, ERR_UNAVAILABLE, "away");
	acquire_ends(world, &err);
	expect_failure(world, ERR_UNAVAILABLE);
}

static void cancel_means_silence(void **state)
{
	struct world *world = *state;

	world->oauth.grant = OAUTH_GRANT_CLIENT_CREDENTIALS;
	start(world, "", 0);
	credential_cancel(&world->op);
	expect_access(&world->access, "start " KEY "\ncancel\n");
	start(world, "", 0);
	access_says(&world->access, ACCESS_NONE, NULL);
	credential_cancel(&world->op);
	credential_cancel(&world->op);
	assert_int_equal(world->dones, 0);
}

static void a_secret_of_the_settings_is_for_what_was_granted_there(void **state)
{
	static const struct {
		const char *issuer, *token_url; /* of the settings */
		enum grant_kind kind;
		const char *client_id, *client_auth, *granted_by, *renewed_at;
		bool given;
	} table[] = {
		{NULL,	NULL,    GRANT_AUTHORIZATION_CODE, "me",  "post",  AS,	  AS "/t",	   true },
		{ AS,   NULL,    GRANT_AUTHORIZATION_CODE, "me",  "post",  AS,	AS "/t",		 true },
		{ NULL, AS "/t", GRANT_AUTHORIZATION_CODE, "me",	 "post",	 NULL,   AS "/t",		true },
		{ NULL, AS "/t", GRANT_INGESTED,		 "me",  "post",  NULL,   AS "/t",	      true },
 /* Another client, another way, another server, or one that a body made up. */
		{ NULL, NULL,    GRANT_AUTHORIZATION_CODE, "you", "post",  AS,	   AS "/t",	    false},
		{ NULL, NULL,    GRANT_AUTHORIZATION_CODE, NULL,  "post",  AS,	  AS "/t",	   false},
		{ NULL, NULL,    GRANT_AUTHORIZATION_CODE, "me",  "basic", AS,	   AS "/t",	    false},
		{ NULL, NULL,    GRANT_AUTHORIZATION_CODE, "me",  NULL,    AS,	AS "/t",		 false},
		{ AS,   NULL,    GRANT_AUTHORIZATION_CODE, "me",  "post",  AS "/", AS "/t",	     false},
		{ AS,   NULL,    GRANT_AUTHORIZATION_CODE, "me",  "post",  NULL,	  AS "/t",	   false},
		{ NULL, AS "/t", GRANT_AUTHORIZATION_CODE, "me",	 "post",	 AS,     AS "/u",	      false},
		{ NULL, NULL,    GRANT_INGESTED,	      "me",  "post",  AS,	AS "/t",		 false},
		{ AS,   NULL,    GRANT_INGESTED,	    "me",  "post",  AS,     "https://evil/t", false},
		{ NULL, AS "/t", GRANT_INGESTED,		 "me",  "post",  AS,	   "https://evil/t", false},
	};
	struct connection other = { .id = TENANT };

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct connection_oauth oauth = {
			.issuer = table[i].issuer,
			.token_url = table[i].token_url,
			.client_id = "me",
			.client_auth = OAUTH_AUTH_POST,
			.client_secret = {(char *)"s", 1}
		};
		const struct connection old = { .id = CONNECTION, .oauth = &oauth };
		const struct connection none = { .id = CONNECTION, .trial = &old };
		const struct tenant serving = {
			.connections = (struct connection[]){other, old},
			    .n_connections = 2
		};
		const struct tenant trying = {
			.connections = (struct connection[]){other, none},
			     .n_connections = 2
		};
		struct grant grant = { .kind = table[i].kind,
				       .client_id = table[i].client_id,
				       .client_auth = table[i].client_auth,
				       .issuer = table[i].granted_by,
				       .token_url = table[i].renewed_at };

		snprintf(grant.key.connection_id, sizeof(grant.key.connection_id), CONNECTION);
		if ((credential_client_secret(&serving, &grant) != NULL) != table[i].given ||
		    (credential_client_secret(&trying, &grant) != NULL) != table[i].given)
			fail_msg("row %zu", i);
		snprintf(grant.key.connection_id, sizeof(grant.key.connection_id), UUID_NIL);
		assert_null(credential_client_secret(&serving, &grant));
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_in_memory_is_found_there),
		TEST(a_grant_is_loaded_or_there_is_none),
		TEST(client_credentials_are_got_if_there_are_none),
		TEST(once_is_enough),
		TEST(cancel_means_silence),
		TEST(a_secret_of_the_settings_is_for_what_was_granted_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
