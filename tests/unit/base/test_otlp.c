/* SPDX-License-Identifier: Apache-2.0 */

/* Batches, retries and what is counted, with a collector that is told what to answer. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/otlp.h"

#define BATCH_MS 20
#define RETRY_MS 10
#define GUARD_MS 10000
#define TAKEN	 200

/* --- the collector, in place of base/http_curl.c ---------------------------------------------- */

struct http_client {
	struct loop *loop;
};

struct http_request {
	struct http_request **slot;
	struct http_events events;
	void *ctx;
	struct deferred deferred;
};

static struct {
	struct loop *loop;
	struct http_client client;
	size_t posts, cancels;
	struct span body;
	char first[4096]; /* body of the first post */
	char headers[512];
	char url[128];
	char method[8];
	struct http_request *request;
	bool allowed;
	/* What it answers at once; status 0: nothing yet. */
	int status;
	const char *retry_after;
	const char *answer;
	int64_t last_ms;
} world;

struct http_client *http_client_new(struct loop *loop)
{
	world.client.loop = loop;
	return &world.client;
}

void http_client_free(struct http_client **client)
{
	*client = NULL;
}

const char *http_head_find(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		if (strcmp(head->headers[i].name, name) == 0)
			return head->headers[i].value;
	}
	return NULL;
}

static void answer(const char *error)
{
	struct http_request *request = world.request;
	const struct http_header header = { "retry-after", world.retry_after };
	const struct http_head head = { world.status, &header, world.retry_after != NULL };
	const struct http_events events = request->events;
	void *ctx = request->ctx;
	struct err err;

	*request->slot = NULL;
	world.request = NULL;
	free(request);
	if (error != NULL) {
		err_set(&err, ERR_UPSTREAM, "%s", error);
		events.done(ctx, &err);
		return;
	}
	events.head(ctx, &head);
	if (world.answer != NULL)
		events.data(ctx, world.answer, strlen(world.answer));
	events.done(ctx, NULL);
}

static void on_answer(void *ctx)
{
	(void)ctx;
	answer(world.status < 0 ? "refused" : NULL);
}

void http_start(struct http_client *client, struct http_request **slot,
		const struct http_params *params, const struct http_events *events, void *ctx)
{
	struct http_request *request = mem_new(sizeof(*request));
	struct err err;
	size_t at = 0;

	assert_null(world.request);
	assert_null(*slot);
	request->slot = slot;
	request->events = *events;
	request->ctx = ctx;
	*slot = world.request = request;
	world.last_ms = loop_now_ms(client->loop);
	world.body = params->body;
	if (world.posts++ == 0)
		snprintf(world.first, sizeof(world.first), "%.*s", (int)params->body.n,
			 params->body.p);
	for (size_t i = 0; i < params->n_headers; i++)
		at += (size_t)snprintf(world.headers + at, sizeof(world.headers) - at, "%s: %s\n",
				       params->headers[i].name, params->headers[i].value);
	snprintf(world.url, sizeof(world.url), "%s", params->url);
	snprintf(world.method, sizeof(world.method), "%s", params->method);
	world.allowed = egress_check_url(params->egress, params->url, &err) == 0;
	if (world.status != 0)
		loop_defer(client->loop, &request->deferred, on_answer, NULL);
}

void http_cancel(struct http_request **slot)
{
	if (*slot == NULL)
		return;
	deferred_cancel(&(*slot)->deferred);
	world.cancels++;
	world.request = NULL;
	free(*slot);
	*slot = NULL;
}

/* --- the fixture ------------------------------------------------------------------------------ */

struct fixture {
	struct otlp *otlp;
	struct otlp_flush *flush;
	unsigned flushed;
	struct timer guard, poll;
	bool (*holds)(struct fixture *f);
	uint64_t wanted;
};

static struct otlp *exporter(int64_t batch_ms, const char *url)
{
	static const struct http_header headers[] = {
		{"authorization", "Bearer s3cret"}
	};
	static const struct otlp_attribute resource[] = {
		{"service.name", SPAN("gate"), 0}
	};
	struct err err;
	struct otlp *otlp = otlp_new(&(struct otlp_params){ .loop = world.loop,
							    .url = url,
							    .headers = headers,
							    .n_headers = 1,
							    .resource = resource,
							    .n_resource = 1,
							    .scope_name = "tollgate",
							    .scope_version = "1",
							    .batch_ms = batch_ms,
							    .retry_min_ms = RETRY_MS },
				     &err);

	if (otlp == NULL)
		print_message("%s\n", err.text);
	return otlp;
}

static int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	memset(&world, 0, sizeof(world));
	world.loop = loop_new();
	world.status = TAKEN;
	f->otlp = exporter(BATCH_MS, "http://127.0.0.1:4318/v1/traces");
	assert_non_null(f->otlp);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	otlp_flush_cancel(&f->flush);
	otlp_free(&f->otlp);
	loop_free(&world.loop);
	free(f);
	return 0;
}

static void on_guard(void *ctx)
{
	(void)ctx;
	fail_msg("it did not come");
}

static void on_poll(void *ctx)
{
	struct fixture *f = ctx;

	if (f->holds(f))
		loop_stop(world.loop);
	else
		timer_start(world.loop, &f->poll, 1, on_poll, f);
}

static void await(struct fixture *f, bool (*holds)(struct fixture *f), uint64_t wanted)
{
	f->holds = holds;
	f->wanted = wanted;
	timer_start(world.loop, &f->guard, GUARD_MS, on_guard, f);
	timer_start(world.loop, &f->poll, 0, on_poll, f);
	loop_run(world.loop);
	timer_stop(&f->guard);
	timer_stop(&f->poll);
}

static struct otlp_stats stats_of(const struct fixture *f)
{
	struct otlp_stats stats;

	otlp_stats(f->otlp, &stats);
	return stats;
}

static bool exported(struct fixture *f)
{
	return stats_of(f).exported >= f->wanted;
}

static bool dropped(struct fixture *f)
{
	return stats_of(f).dropped >= f->wanted;
}

static bool rejected(struct fixture *f)
{
	return stats_of(f).rejected >= f->wanted;
}

static bool posted(struct fixture *f)
{
	return world.posts >= f->wanted;
}

static bool was_flushed(struct fixture *f)
{
	return f->flushed >= f->wanted;
}

static void assert_stats(const struct fixture *f, uint64_t n_exported, uint64_t n_dropped,
			 uint64_t n_rejected)
{
	const struct otlp_stats stats = stats_of(f);

	assert_int_equal(stats.exported, n_exported);
	assert_int_equal(stats.dropped, n_dropped);
	assert_int_equal(stats.rejected, n_rejected);
}

static void add(struct fixture *f, size_t n)
{
	const struct otlp_span span = {
		.context = {.trace_id = { 1 }, .span_id = { 2 }, .flags = 1},
		.kind = OTLP_SERVER,
		.name = SPAN("ping"),
		.start_us = 1,
		.end_us = 2,
	};

	for (size_t i = 0; i < n; i++)
		otlp_add(f->otlp, &span);
}

static void on_flushed(void *ctx)
{
	struct fixture *f = ctx;

	assert_null(f->flush);
	f->flushed++;
}

/* --- tests ------------------------------------------------------------------------------------ */

#define ONE                                                                                        \
	"{\"traceId\":\"01000000000000000000000000000000\",\"spanId\":\"0200000000000000\","       \
	"\"flags\":257,\"name\":\"ping\",\"kind\":2,\"startTimeUnixNano\":\"1000\","               \
	"\"endTimeUnixNano\":\"2000\",\"attributes\":[],\"status\":{}}"

static void spans_leave_together_after_a_while(void **state)
{
	struct fixture *f = *state;
	int64_t began_ms = loop_now_ms(world.loop);

	add(f, 2);
	assert_int_equal(world.posts, 0);
	await(f, exported, 2);
	assert_true(world.last_ms - began_ms >= BATCH_MS);
	assert_int_equal(world.posts, 1);
	assert_string_equal(world.method, "POST");
	assert_string_equal(world.url, "http://127.0.0.1:4318/v1/traces");
	assert_true(world.allowed);
	assert_string_equal(world.headers,
			    "content-type: application/json\nauthorization: Bearer s3cret\n");
	assert_string_equal(
		world.first,
		"{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","
		"\"value\":{\"stringValue\":\"gate\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":"
		"\"tollgate\",\"version\":\"1\"},\"spans\":[" ONE "," ONE "]}]}]}");
	add(f, 1);
	await(f, exported, 3);
	assert_int_equal(world.posts, 2);
	assert_stats(f, 3, 0, 0);
}

static void a_full_batch_leaves_at_once(void **state)
{
	struct fixture *f = *state;

	otlp_free(&f->otlp);
	f->otlp = exporter(GUARD_MS * 10, "http://[::1]:4318/v1/traces");
	add(f, OTLP_BATCH_SPANS - 1);
	add(f, 1);
	assert_int_equal(world.posts, 0); /* never within the call that adds */
	await(f, exported, OTLP_BATCH_SPANS);
	assert_int_equal(world.posts, 1);
	assert_true(world.allowed);
}

static void what_there_is_no_room_for_is_dropped(void **state)
{
	struct fixture *f = *state;
	size_t all = (size_t)OTLP_MAX_BATCHES * OTLP_BATCH_SPANS;

	world.status = 0; /* it hangs */
	add(f, all + 7);
	assert_stats(f, 0, 7, 0);
	await(f, posted, 1);
	add(f, 1);
	assert_stats(f, 0, 8, 0);
	world.status = TAKEN;
	answer(NULL);
	await(f, exported, all);
	assert_int_equal(world.posts, OTLP_MAX_BATCHES);
	add(f, 1);
	await(f, exported, all + 1);
	assert_stats(f, all + 1, 8, 0);
}

static void a_span_beyond_its_ceiling_is_dropped(void **state)
{
	struct fixture *f = *state;
	char *name = mem_new(OTLP_MAX_SPAN_BYTES + 1);

	memset(name, 'x', OTLP_MAX_SPAN_BYTES);
	otlp_add(f->otlp, &(struct otlp_span){
				  .name = {name, OTLP_MAX_SPAN_BYTES}
	});
	assert_stats(f, 0, 1, 0);
	free(name);
}

static void a_batch_is_sent_again_with_its_very_bytes(void **state)
{
	static const int statuses[] = { 429, 502, 503, 504, -1 };
	struct fixture *f = *state;
	uint64_t total = 0;

	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		world.posts = 0;
		world.status = statuses[i];
		add(f, 1);
		await(f, posted, 2);
		/* Those that come meanwhile do not join it. */
		add(f, 1);
		world.status = TAKEN;
		total += 2;
		await(f, exported, total);
		assert_int_equal(world.body.n, strlen(world.first));
	}
	assert_stats(f, total, 0, 0);
}

static void retry_after_is_heeded(void **state)
{
	struct fixture *f = *state;
	int64_t first_ms;

	world.status = 503;
	world.retry_after = "1";
	add(f, 1);
	await(f, posted, 1);
	first_ms = world.last_ms;
	world.status = TAKEN;
	/* The answer above is on its way already. */
	await(f, exported, 1);
	assert_int_equal(world.posts, 2);
	assert_true(world.last_ms - first_ms >= 1000);
}

static void after_some_tries_a_batch_is_given_up(void **state)
{
	struct fixture *f = *state;

	world.status = 503;
	add(f, 3);
	await(f, dropped, 3);
	assert_int_equal(world.posts, OTLP_MAX_TRIES);
	world.status = TAKEN;
	add(f, 1);
	await(f, exported, 1);
	assert_stats(f, 1, 3, 0);
}

static void what_the_collector_does_not_take_is_counted(void **state)
{
	static const struct {
		int status;
		const char *answer;
		uint64_t rejected; /* of four */
	} rows[] = {
		{200,  "{}",								     0},
		{ 200, "{\"partialSuccess\":{}}",						  0},
		{ 200, "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"no\"}}",
		  3										},
		{ 200, "{\"partialSuccess\":{\"rejectedSpans\":1}}",			     1},
		{ 200, "{\"partialSuccess\":{\"rejectedSpans\":\"99\"}}",			  4},
		{ 200, "{\"partialSuccess\":{\"rejectedSpans\":-1}}",			      0},
		{ 200, "{\"partialSuccess\":{\"rejectedSpans\":\"x\"}}",			 0},
		{ 200, "no JSON",								0},
		{ 400, "",								       4},
		{ 401, "",								       4},
		{ 404, NULL,								     4},
		{ 302, NULL,								     4},
		{ 500, NULL,								     4},
	};
	struct fixture *f = *state;
	uint64_t n_exported = 0;
	uint64_t n_rejected = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		world.status = rows[i].status;
		world.answer = rows[i].answer;
		n_rejected += rows[i].rejected;
		n_exported += 4 - rows[i].rejected;
		add(f, 4);
		await(f, exported, n_exported);
		await(f, rejected, n_rejected);
		assert_stats(f, n_exported, 0, n_rejected);
	}
	assert_int_equal(world.posts, sizeof(rows) / sizeof(rows[0]));
}

static void a_flush_sends_at_once_and_ends_when_nothing_waits(void **state)
{
	struct fixture *f = *state;

	otlp_free(&f->otlp);
	f->otlp = exporter(GUARD_MS * 10, "http://127.0.0.1:4318/v1/traces");
	otlp_flush_start(f->otlp, &f->flush, GUARD_MS, on_flushed, f);
	assert_int_equal(f->flushed, 0); /* law 1 */
	await(f, was_flushed, 1);
	assert_int_equal(world.posts, 0);
	add(f, OTLP_BATCH_SPANS + 1);
	otlp_flush_start(f->otlp, &f->flush, GUARD_MS, on_flushed, f);
	await(f, was_flushed, 2);
	assert_int_equal(world.posts, 2);
	assert_stats(f, OTLP_BATCH_SPANS + 1, 0, 0);
}

static void a_flush_has_a_deadline(void **state)
{
	struct fixture *f = *state;

	world.status = 0;
	add(f, 1);
	otlp_flush_start(f->otlp, &f->flush, 50, on_flushed, f);
	await(f, was_flushed, 1);
	assert_int_equal(world.posts, 1);
	otlp_free(&f->otlp);
	assert_int_equal(world.cancels, 1);
}

static void a_cancelled_flush_is_silent(void **state)
{
	struct fixture *f = *state;

	add(f, 1);
	otlp_flush_start(f->otlp, &f->flush, 1, on_flushed, f);
	otlp_flush_cancel(&f->flush);
	assert_null(f->flush);
	otlp_flush_cancel(&f->flush);
	await(f, exported, 1);
	assert_int_equal(f->flushed, 0);
}

static void a_useless_address_is_refused(void **state)
{
	(void)state;
	assert_null(exporter(BATCH_MS, "ftp://127.0.0.1/"));
	assert_null(exporter(BATCH_MS, "http://user@127.0.0.1/"));
	assert_null(exporter(BATCH_MS, ""));
}

static void nowhere_is_nothing(void **state)
{
	(void)state;
	otlp_add(NULL, &(struct otlp_span){ .name = SPAN("x") });
	otlp_free(&(struct otlp *){ NULL });
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(spans_leave_together_after_a_while),
		TEST(a_full_batch_leaves_at_once),
		TEST(what_there_is_no_room_for_is_dropped),
		TEST(a_span_beyond_its_ceiling_is_dropped),
		TEST(a_batch_is_sent_again_with_its_very_bytes),
		TEST(retry_after_is_heeded),
		TEST(after_some_tries_a_batch_is_given_up),
		TEST(what_the_collector_does_not_take_is_counted),
		TEST(a_flush_sends_at_once_and_ends_when_nothing_waits),
		TEST(a_flush_has_a_deadline),
		TEST(a_cancelled_flush_is_silent),
		TEST(a_useless_address_is_refused),
		TEST(nowhere_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
