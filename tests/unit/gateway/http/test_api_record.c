/* SPDX-License-Identifier: Apache-2.0 */

/* What is recorded of the admin API's requests. */

#include "gateway/http/api_record.h"
#include "tests/unit/gateway/http/api_fixture.h"

/* --- the record: it does nothing until it is told -------------------------------------------- */

static struct {
	size_t n;
	struct attempt last;
	char event_id[UUID_TEXT_BYTES];
	char target[80];
	char message[300];
	bool merges;
	struct attempt_op **slot;
	attempt_done *done;
	void *ctx;
} record;

bool attempts_write(struct attempts *attempts, struct attempt_op **slot,
		    const struct attempt *attempt, attempt_done *done, void *ctx)
{
	(void)attempts;
	record.n++;
	record.last = *attempt;
	snprintf(record.event_id, sizeof(record.event_id), "%s", attempt->event_id);
	snprintf(record.target, sizeof(record.target), "%s",
		 attempt->target != NULL ? attempt->target : "");
	snprintf(record.message, sizeof(record.message), "%s",
		 attempt->error_message != NULL ? attempt->error_message : "");
	record.slot = slot;
	record.done = done;
	record.ctx = ctx;
	if (!record.merges && slot != NULL)
		*slot = (struct attempt_op *)&record;
	return !record.merges;
}

void attempt_leave(struct attempt_op **slot)
{
	*slot = NULL;
}

static void recorded(enum err_code code, bool fails)
{
	struct err err;

	*record.slot = NULL;
	err_set(&err, code, "it does not answer");
	record.done(record.ctx, fails ? &err : NULL);
}

static struct exchange *ask_recorded(const char *method, const char *path)
{
	struct exchange *exchange = request(method, path);

	memset(&record, 0, sizeof(record));
	exchange->app.attempts = (struct attempts *)&record;
	return exchange;
}

static void every_route_that_changes_or_unseals_something_has_its_action(void **state)
{
	(void)state;
	for (size_t i = 0; i < api_n_routes; i++) {
		const struct api_route *route = &api_routes[i];
		bool changes = strcmp(route->method, "GET") != 0 && route->steps != api_tool_call;
		bool unseals = route->steps == api_audit_payload;
		const struct api_action *action = api_action_of(route->steps);

		if ((changes || unseals) != (action != NULL))
			fail_msg("%s %s", route->method, route->pattern);
		if (action != NULL)
			assert_non_null(strchr(api_action_name(action), '.'));
	}
}

static void a_refusal_is_recorded_before_it_is_answered(void **state)
{
	struct exchange *exchange = ask_recorded("POST", "/users");

	(void)state;
	exchange->body = "{\"name\":\"eve\"}";
	exchange->role = ROLE_USER;
	ask(exchange);
	assert_int_equal(exchange->status, 0);
	assert_int_equal(record.n, 1);
	assert_string_equal(record.last.action, "user.create");
	assert_string_equal(record.last.outcome, "denied");
	assert_string_equal(record.last.http_status, "403");
	assert_string_equal(record.last.tenant_id, OWN_TENANT);
	assert_string_equal(record.last.target_kind, "user");
	assert_string_equal(record.message, "only an administrator of the tenant may do this");
	recorded(ERR_INTERNAL, false);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
}

static void it_stays_a_refusal_if_it_cannot_be_recorded_or_is_one_of_many(void **state)
{
	struct exchange *exchange = ask_recorded("DELETE", "/users/eve");

	(void)state;
	exchange->role = ROLE_USER;
	ask(exchange);
	recorded(ERR_UNAVAILABLE, true);
	check_problem(exchange, 403, "forbidden");
	end(exchange);

	exchange = ask_recorded("DELETE", "/users/eve");
	exchange->role = ROLE_USER;
	record.merges = true;
	ask(exchange);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
}

static void nobody_waits_for_what_the_database_cannot_record_either(void **state)
{
	struct exchange *exchange =
		ask_recorded("DELETE", "/keys/00000000-0000-4000-8000-000000000001");

	(void)state;
	exchange->role = ROLE_ADMIN;
	ask(exchange);
	answer_failure(ERR_TIMEOUT, "57014");
	check_problem(exchange, 503, "unavailable");
	assert_int_equal(record.n, 1);
	assert_null(record.slot);
	assert_string_equal(record.last.outcome, "unavailable");
	end(exchange);
}

static void nobody_is_recorded_as_nobody(void **state)
{
	struct exchange *exchange = ask_recorded("POST", "/keys");

	(void)state;
	exchange->key = NULL;
	ask(exchange);
	assert_string_equal(record.last.outcome, "unauthenticated");
	assert_string_equal(record.last.actor, "nobody");
	assert_null(record.last.tenant_id);
	assert_null(record.last.api_key);
	recorded(ERR_INTERNAL, false);
	check_problem(exchange, 401, "unauthenticated");
	end(exchange);
}

static void what_only_asks_is_answered_at_once(void **state)
{
	struct exchange *exchange = ask_recorded("GET", "/users");

	(void)state;
	exchange->role = ROLE_USER;
	ask(exchange);
	assert_int_equal(record.n, 0);
	check_problem(exchange, 403, "forbidden");
	end(exchange);
}

static void a_client_that_leaves_meanwhile_is_not_answered(void **state)
{
	struct exchange *exchange = ask_recorded("POST", "/users");

	(void)state;
	exchange->role = ROLE_USER;
	ask(exchange);
	assert_int_equal(record.n, 1);
	exchange->gone(exchange->gone_ctx);
	assert_int_equal(exchange->status, 0);
	exchange->gone = NULL;
	end(exchange);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_that_changes_or_unseals_something_has_its_action),
		cmocka_unit_test(a_refusal_is_recorded_before_it_is_answered),
		cmocka_unit_test(it_stays_a_refusal_if_it_cannot_be_recorded_or_is_one_of_many),
		cmocka_unit_test(nobody_waits_for_what_the_database_cannot_record_either),
		cmocka_unit_test(nobody_is_recorded_as_nobody),
		cmocka_unit_test(what_only_asks_is_answered_at_once),
		cmocka_unit_test(a_client_that_leaves_meanwhile_is_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
