/* SPDX-License-Identifier: Apache-2.0 */

/* What went through a call of a connection whose audit level is full. */

#include "audit/payload.h"
#include "base/seal.h"
#include "tests/unit/gateway/core/call_world.h"

#define TENANT_ID "0191e7a0-0000-7000-8000-000000000001"
#define ARGUMENTS "{\"password\":\"hunter2\"}"

static struct seal_key key;

static struct asks full_call(struct world *world)
{
	seal_key_random(&key, 1, 1);
	world->tenant->id = TENANT_ID;
	world->tenant->keys = &key;
	world->tenant->n_keys = 1;
	world->tenant->connections[0].audit_level = AUDIT_FULL;
	return (struct asks){ .id = "7",
			      .method = "tools/call",
			      .params = "{\"name\":\"crm__get\",\"arguments\":" ARGUMENTS "}" };
}

/* The last payload, opened; its digest. */
static void expect_payload(const struct world *world, enum payload_part part, const char *plain,
			   uint8_t digest[SHA256_BYTES])
{
	struct payload payload;
	struct secret opened = { 0 };
	struct err err;
	char row[PAYLOAD_PLACE_BYTES];
	char call_id[UUID_TEXT_BYTES];
	uint8_t id[UUID_BYTES];

	snprintf(call_id, sizeof(call_id), "%s", world->recorded.call_id);
	assert_int_equal(payload_decode((struct span){ world->payload, world->payload_bytes },
					&payload, &err),
			 0);
	assert_int_equal(payload.part, part);
	assert_int_equal(payload.bytes, strlen(plain));
	assert_int_equal(payload.started_us, world->recorded.started_us);
	assert_true(uuid_parse(call_id, id));
	assert_memory_equal(payload.call_id, id, sizeof(id));
	assert_true(uuid_parse(TENANT_ID, id));
	assert_memory_equal(payload.tenant_id, id, sizeof(id));
	assert_null(memmem(payload.sealed.p, payload.sealed.n, "hunter2", 7));
	payload_place(call_id, payload_part_name(part), payload.bytes, row);
	assert_int_equal(seal_open(&key,
				   &(struct seal_place){ "test", TENANT_ID, "call_payloads",
							 "sealed", row, payload.started_us },
				   payload.sealed, &opened, &err),
			 0);
	assert_string_equal(opened.reveal, plain);
	crypto_sha256(payload.sealed.p, payload.sealed.n, digest);
	secret_fini(&opened);
}

static void
arguments_are_kept_before_anything_leaves_and_the_answer_before_it_is_given(void **state)
{
	struct world *world = *state;
	struct asks asks = full_call(world);
	uint8_t digests[2 * SHA256_BYTES];
	uint8_t whole[SHA256_BYTES];
	char answer[256];

	run_call(world, &asks);
	expect_journal(world, "payload\nintent\n");
	assert_string_equal(world->recorded.audit_level, "full");
	expect_payload(world, PAYLOAD_ARGUMENTS, ARGUMENTS, digests);
	durable(world);
	buf_clear(&world->journal);
	upstream_answers(world, MCP_LEGACY, "{\"n\":1}", NULL);
	expect_journal(world, "payload\noutcome ok\n");
	snprintf(answer, sizeof(answer),
		 "{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"_meta\":{\"io.tollgate/"
		 "call_id\":\"%s\"},"
		 "\"n\":1}}",
		 world->recorded.call_id);
	expect_payload(world, PAYLOAD_RESULT, answer, digests + SHA256_BYTES);
	crypto_sha256(digests, sizeof(digests), whole);
	assert_non_null(world->result.payload_digest);
	assert_memory_equal(world->result.payload_digest, whole, sizeof(whole));
	expect_end(world, 200);
}

static void at_another_level_nothing_is(void **state)
{
	struct world *world = *state;

	for (enum audit_level level = AUDIT_METADATA; level < AUDIT_FULL; level++) {
		struct asks asks = full_call(world);

		world->tenant->connections[0].audit_level = level;
		run_call(world, &asks);
		expect_journal(world, "intent\n");
		assert_string_equal(world->recorded.audit_level, audit_level_name(level));
		durable(world);
		buf_clear(&world->journal);
		upstream_answers(world, MCP_LEGACY, "{}", NULL);
		expect_journal(world, "outcome ok\n");
		assert_null(world->result.payload_digest);
		expect_end(world, 200);
	}
}

static void a_refused_call_of_the_connection_is_kept_too(void **state)
{
	struct world *world = *state;
	struct asks asks = full_call(world);

	asks.params = "{\"name\":\"crm__secret_x\",\"arguments\":" ARGUMENTS "}";
	run_call(world, &asks);
	expect_journal(world, "payload\npayload\nentry denied\n");
	assert_non_null(world->result.payload_digest);
	expect_end(world, 200);
}

static void without_arguments_there_is_only_the_answer(void **state)
{
	struct world *world = *state;
	struct asks asks = full_call(world);

	asks.params = "{\"name\":\"crm__get\"}";
	run_call(world, &asks);
	expect_journal(world, "intent\n");
	durable(world);
	buf_clear(&world->journal);
	upstream_answers(world, MCP_LEGACY, "{}", NULL);
	expect_journal(world, "payload\noutcome ok\n");
	expect_end(world, 200);
}

static void what_cannot_be_kept_does_not_leave(void **state)
{
	struct world *world = *state;
	struct asks asks = full_call(world);

	world->payload_refused = true;
	run_call(world, &asks);
	expect_journal(world, "payload\npayload\nentry unavailable\n");
	assert_null(world->result.payload_digest);
	expect_end(world, 503);
	/* Nor is it if it cannot be sealed. */
	world->payload_refused = false;
	world->tenant->n_keys = 0;
	run_call(world, &asks);
	expect_journal(world, "entry unavailable\n");
	expect_end(world, 503);
}

static void an_answer_that_cannot_be_kept_is_not_given(void **state)
{
	struct world *world = *state;
	struct asks asks = full_call(world);

	run_call(world, &asks);
	durable(world);
	buf_clear(&world->journal);
	world->payload_refused = true;
	upstream_answers(world, MCP_LEGACY, "{\"n\":1}", NULL);
	expect_journal(world, "payload\noutcome unavailable\n");
	assert_non_null(world->result.payload_digest); /* that of the arguments */
	expect_end(world, 503);
	assert_null(strstr(world->body, "\"n\":1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CALL_TEST(
			arguments_are_kept_before_anything_leaves_and_the_answer_before_it_is_given),
		CALL_TEST(at_another_level_nothing_is),
		CALL_TEST(a_refused_call_of_the_connection_is_kept_too),
		CALL_TEST(without_arguments_there_is_only_the_answer),
		CALL_TEST(what_cannot_be_kept_does_not_leave),
		CALL_TEST(an_answer_that_cannot_be_kept_is_not_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
