/* SPDX-License-Identifier: Apache-2.0 */
/* LINK: -Wl,--wrap=timer_start */

/* What clients were given is noted in the rows of their sessions. */

#include "tests/unit/gateway/core/subscription_world.h"

/* --- what they were given --------------------------------------------------------------------- */

static void note_is_written(struct world *world, const struct err *err)
{
	struct db_op was = *world->note;

	*was.slot = NULL;
	free(world->note);
	world->note = NULL;
	was.done(was.ctx, NULL, 0, err);
}

static void listed(struct world *world, struct tenant *tenant, const char *session_id)
{
	struct principal principal = { .refs = 1, .tenant_id = TENANT };

	subscriptions_listed(world->subscriptions,
			     &(struct subscription_listed){ .principal = &principal,
							    .tenant = tenant,
							    .session_id = session_id });
}

static bool a_note_is_written(void *ctx)
{
	return ((struct world *)ctx)->note != NULL;
}

static void what_a_client_was_given_is_noted_one_query_at_a_time(void **state)
{
	const struct err away = { .code = ERR_UNAVAILABLE, .text = "away" };
	struct world *world = *state;
	struct tenant *one = tenant_with(TENANT, TOOL("1"), TOOL("1"));
	struct tenant *two = tenant_with(TENANT, TOOL("2"), TOOL("1"));
	uint8_t first[SHA256_BYTES];

	listed(world, one, "s1");
	assert_int_equal(world->n_notes, 1);
	memcpy(first, world->note->list, SHA256_BYTES);
	listed(world, two, "s1");
	listed(world, two, "s1");
	assert_int_equal(world->n_notes, 1);
	note_is_written(world, NULL);
	assert_int_equal(world->n_notes, 2);
	assert_memory_not_equal(world->note->list, first, SHA256_BYTES);
	note_is_written(world, &away);
	assert_null(world->note);
	wire_until(world->loop, a_note_is_written, world, "it is tried again");
	note_is_written(world, NULL);
	assert_int_equal(world->n_notes, 3);
	/* The list of the snapshot that was given, though a newer one is there. */
	change(world, TENANT, TOOL("3"), TOOL("1"));
	listed(world, one, "s2");
	assert_memory_equal(world->note->list, first, SHA256_BYTES);
	note_is_written(world, NULL);
	tenant_unref(&one);
	tenant_unref(&two);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SUBSCRIPTION_TEST(what_a_client_was_given_is_noted_one_query_at_a_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
