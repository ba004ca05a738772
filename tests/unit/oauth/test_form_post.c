/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/form_post.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "oauth/form.h"
#include "tests/fakes/as_world.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, as_set_up, as_tear_down)

struct seen {
	struct as_world *as;
	struct form_post *post; /* the slot */
	int status;
	bool failed;
	struct err err;
	char form[256];
	char authorization[64];
	char secret[64];
};

static void on_answer(void *ctx, const struct fetch_answer *answer, const struct error_sent *sent)
{
	struct seen *seen = ctx;

	assert_null(seen->post);
	seen->status = answer->status;
	seen->failed = answer->err != NULL;
	if (answer->err != NULL)
		seen->err = *answer->err;
	snprintf(seen->form, sizeof(seen->form), "%.*s", (int)sent->form.n, sent->form.p);
	snprintf(seen->authorization, sizeof(seen->authorization), "%.*s",
		 (int)sent->authorization.n, sent->authorization.p);
	snprintf(seen->secret, sizeof(seen->secret), "%s", sent->secret->reveal);
	as_done(seen->as);
}

static struct seen post(struct as_world *as, const char *value, enum oauth_client_auth auth)
{
	static const struct as_answer good = { 200, NULL, "{}" };
	const struct oauth_param param = { "p", value };
	struct secret secret = secret_new("s", 1);
	struct form_post_params params = {
		.client = as->world->client,
		.egress = as->world->egress,
		.oauth_client = {.id = "c", .auth = auth, .secret = &secret},
		.params = &param,
		.n_params = 1,
	};
	struct seen seen = { .as = as };

	as_play(as, &good, 1);
	params.url = as_text(as, "$O/x");
	form_post_start(as->world->loop, &seen.post, &params, on_answer, &seen);
	assert_non_null(seen.post);
	assert_int_equal(as->dones, 0);
	secret_fini(&secret); /* it was copied */
	as_wait(as, 1);
	return seen;
}

static void what_was_sent_is_told_with_the_answer(void **state)
{
	struct seen seen = post(*state, "1 2", OAUTH_AUTH_BASIC);

	assert_false(seen.failed);
	assert_int_equal(seen.status, 200);
	assert_string_equal(seen.form, "p=1+2");
	assert_string_equal(as_body(*state, 0), "p=1+2");
	assert_string_equal(seen.authorization, "Basic Yzpz");
	assert_string_equal(seen.secret, "s");
}

static void a_form_over_its_ceiling_is_not_sent(void **state)
{
	char *value = mem_new(FORM_MAX_BYTES + 1);
	struct seen seen;

	memset(value, 'x', FORM_MAX_BYTES);
	seen = post(*state, value, OAUTH_AUTH_POST);
	assert_true(seen.failed);
	assert_int_equal(seen.err.code, ERR_BAD_REQUEST);
	assert_int_equal(seen.status, 0);
	assert_string_equal(as_asked(*state), "");
	free(value);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_sent_is_told_with_the_answer),
		TEST(a_form_over_its_ceiling_is_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
