/* SPDX-License-Identifier: Apache-2.0 */

/*
 * base/http_client.h on libcurl: the life of a request. All that may call the owner or free a
 * request happens in the loop or at the owner's own call; the head and data events are the only
 * ones that run inside curl, and a cancel from there leaves the removal to the loop.
 */

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http_curl_priv.h"
#include "base/mem.h"

#define MAX_TIMEOUT_MS (INT64_C(1) << 30) /* twelve days, and it fits curl's long and int */

static void request_link(struct http_request *request)
{
	struct http_client *client = request->client;

	request->next = client->requests;
	request->link = &client->requests;
	if (request->next != NULL)
		request->next->link = &request->next;
	client->requests = request;
}

static void request_unlink(struct http_request *request)
{
	*request->link = request->next;
	if (request->next != NULL)
		request->next->link = request->link;
}

static bool in_curl(const struct http_request *request)
{
	return request->state != REQUEST_STARTING && request->state != REQUEST_ENDED;
}

/* Out of curl's hands: its connection goes back to the pool or is closed. */
static void detach(struct http_request *request)
{
	timer_stop(&request->deadline);
	deferred_cancel(&request->turn);
	if (request->easy == NULL)
		return;
	assert(request->client->inside_curl == 0 || !in_curl(request));
	if (in_curl(request))
		multi_remove(request);
	/* What curl remembers of a failure (a body to rewind) survives curl_easy_reset. */
	if (request->state == REQUEST_COMPLETE)
		spare_give_back(request->client, request->easy);
	else
		curl_easy_cleanup(request->easy);
	request->easy = NULL;
	curl_slist_free_all(request->headers);
	pool_give_back(request->client, request->pool);
}

static void request_free(struct http_request *request)
{
	detach(request);
	request_unlink(request);
	egress_policy_unref(&request->egress);
	http_lines_fini(&request->lines);
	free(request);
}

void request_fail(struct http_request *request, enum err_code code, const char *format, ...)
{
	char text[sizeof(request->failure.text)];
	va_list ap;

	if (request->failed)
		return;
	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	err_set(&request->failure, code, "%s", text);
	request->failed = true;
}

static void on_ended(void *ctx)
{
	struct http_request *request = ctx;
	struct http_events events = request->events;
	void *owner = request->ctx;
	bool failed = request->failed;
	struct err failure = request->failure;

	*request->slot = NULL;
	request_free(request);
	events.done(owner, failed ? &failure : NULL);
}

/* Sets the state that only waits for done. */
static void settle(struct http_request *request)
{
	if (request->failed && !request->sent)
		snprintf(request->failure.tag, sizeof(request->failure.tag), "unsent");
	detach(request);
	request->state = REQUEST_ENDED;
	loop_defer(request->client->loop, &request->turn, on_ended, request);
}

/* In the words of the operator: curl's own where we have none. */
static void explain(struct http_request *request, CURLcode result)
{
	if (request->retry_refused || result == CURLE_SEND_FAIL_REWIND)
		request_fail(request, ERR_UPSTREAM, "%s:%u closed the connection without an answer",
			     request->host, request->port);
	else if (request->address_refused && !request->address_tried)
		request_fail(request, ERR_FORBIDDEN,
			     "%s:%u: the egress policy allows none of its addresses", request->host,
			     request->port);
	else if (result == CURLE_OPERATION_TIMEDOUT)
		request_fail(request, ERR_TIMEOUT, "%s:%u: no connection within %lld ms",
			     request->host, request->port, (long long)request->timeouts.connect_ms);
	else if (result == CURLE_OUT_OF_MEMORY && request->sent)
		/* curl's word for a header line beyond its own ceiling of 100 KiB */
		request_fail(request, ERR_TOO_LARGE, "the answer has more than %d bytes of headers",
			     HTTP_MAX_HEADER_BYTES);
	else if (result == CURLE_FILESIZE_EXCEEDED)
		request_fail(request, ERR_TOO_LARGE, "the answer's body is over %zu bytes",
			     request->max_body_bytes);
	else
		request_fail(request, ERR_UPSTREAM, "%s:%u: %s", request->host, request->port,
			     request->curl_error[0] != '\0' ? request->curl_error
							    : curl_easy_strerror(result));
}

void request_end(struct http_request *request, CURLcode result)
{
	if (result != CURLE_OK)
		explain(request, result);
	else if (request->state == REQUEST_STREAMING)
		request->state = REQUEST_COMPLETE;
	else
		request_fail(request, ERR_UPSTREAM, "%s:%u: the answer has no head", request->host,
			     request->port);
	settle(request);
}

struct deadline {
	bool applies;
	int64_t since_ms;
	int64_t limit_ms;
	const char *what;
};

/* The deadline that runs out first; NULL if none applies. */
static const struct deadline *first_deadline(const struct http_request *request,
					     struct deadline candidates[4])
{
	bool waits = request->state != REQUEST_STREAMING;
	const struct deadline *first = NULL;

	candidates[0] = (struct deadline){ !request->sent, request->started_ms,
					   request->timeouts.connect_ms, "no connection" };
	candidates[1] = (struct deadline){ waits, request->started_ms,
					   request->timeouts.first_byte_ms, "no answer" };
	candidates[2] =
		(struct deadline){ !waits && request->flow == FLOW_OPEN, request->last_read_ms,
				   request->timeouts.idle_ms, "nothing more of the answer" };
	candidates[3] = (struct deadline){ request->timeouts.total_ms > 0, request->started_ms,
					   request->timeouts.total_ms, "no end of the answer" };
	for (size_t i = 0; i < 4; i++) {
		const struct deadline *next = &candidates[i];

		if (next->applies && (first == NULL || next->since_ms + next->limit_ms <
							       first->since_ms + first->limit_ms))
			first = next;
	}
	return first;
}

static void on_deadline(void *ctx)
{
	struct http_request *request = ctx;
	struct deadline candidates[4];
	const struct deadline *first = first_deadline(request, candidates);

	if (first == NULL)
		return;
	if (first->since_ms + first->limit_ms > loop_now_ms(request->client->loop)) {
		request_arm(request);
		return;
	}
	request_fail(request, ERR_TIMEOUT, "%s:%u: %s within %lld ms", request->host, request->port,
		     first->what, (long long)first->limit_ms);
	settle(request);
}

/* A deadline that moves away (each read moves that of idleness) is noticed when the timer
 * fires, which costs less than moving the timer. */
void request_arm(struct http_request *request)
{
	struct deadline candidates[4];
	const struct deadline *first = first_deadline(request, candidates);
	int64_t due_ms;

	if (first == NULL) {
		timer_stop(&request->deadline);
		return;
	}
	due_ms = first->since_ms + first->limit_ms;
	if (request->deadline.loop == NULL || due_ms < request->deadline.due_ms)
		timer_start(request->client->loop, &request->deadline,
			    due_ms - loop_now_ms(request->client->loop), on_deadline, request);
}

static void on_start(void *ctx)
{
	struct http_request *request = ctx;

	request->state = REQUEST_CONNECTING;
	multi_add(request);
}

/* Idleness counts from here. */
static void reopen(struct http_request *request)
{
	request->flow = FLOW_OPEN;
	request->last_read_ms = loop_now_ms(request->client->loop);
	request_arm(request);
}

static void on_resume(void *ctx)
{
	struct http_request *request = ctx;

	reopen(request);
	multi_resume(request);
}

static void on_cancelled(void *ctx)
{
	request_free(ctx);
}

struct http_client *http_client_new(struct loop *loop)
{
	struct http_client *client = mem_new(sizeof(*client));

	must_easy(curl_global_init(CURL_GLOBAL_DEFAULT));
	client->loop = loop;
	multi_open(client);
	return client;
}

void http_client_free(struct http_client **client)
{
	struct http_client *was = *client;
	struct http_request *next;

	if (was == NULL)
		return;
	*client = NULL;
	assert(was->inside_curl == 0);
	for (struct http_request *request = was->requests; request != NULL; request = next) {
		assert(request->state == REQUEST_CANCELLED);
		next = request->next;
		request_free(request);
	}
	pool_close_all(was);
	multi_close(was);
	curl_global_cleanup();
	free(was);
}

static int64_t timeout_or(int64_t given_ms, int64_t default_ms)
{
	if (given_ms == 0)
		return default_ms;
	return given_ms < MAX_TIMEOUT_MS ? given_ms : MAX_TIMEOUT_MS;
}

/* Everything that can be wrong with params. */
static int check(const struct http_params *params, struct url *url, struct err *err)
{
	if (http_params_check(params, err) < 0 || url_parse(params->url, url, err) < 0)
		return -1;
	return egress_check_url(params->egress, params->url, err);
}

static void take(struct http_request *request, const struct http_params *params,
		 const struct url *url)
{
	const char *key = params->pool_key != NULL ? params->pool_key : "";

	snprintf(request->host, sizeof(request->host), "%s", url->host);
	request->port = url->port;
	request->egress = egress_policy_ref(params->egress);
	request->body = params->body;
	request->max_body_bytes =
		params->max_body_bytes > 0 ? params->max_body_bytes : HTTP_DEFAULT_MAX_BODY;
	request->timeouts = (struct http_timeouts){
		.connect_ms = timeout_or(params->connect_timeout_ms, HTTP_DEFAULT_CONNECT_MS),
		.first_byte_ms =
			timeout_or(params->first_byte_timeout_ms, HTTP_DEFAULT_FIRST_BYTE_MS),
		.idle_ms = timeout_or(params->idle_timeout_ms, HTTP_DEFAULT_IDLE_MS),
		.total_ms = timeout_or(params->total_timeout_ms, 0),
	};
	request->started_ms = loop_now_ms(request->client->loop);
	request->pool = pool_take(request->client, key, egress_policy_id(params->egress));
	easy_prepare(request, params, url);
	request_arm(request);
}

void http_start(struct http_client *client, struct http_request **slot,
		const struct http_params *params, const struct http_events *events, void *ctx)
{
	struct http_request *request = mem_new(sizeof(*request));
	struct err problem;
	struct url url;

	assert(*slot == NULL && events->head != NULL && events->data != NULL &&
	       events->done != NULL);
	*slot = request;
	request->slot = slot;
	request->client = client;
	request->events = *events;
	request->ctx = ctx;
	http_lines_init(&request->lines);
	request_link(request);
	if (check(params, &url, &problem) < 0) {
		request_fail(request, problem.code, "%s", problem.text);
		settle(request);
		return;
	}
	take(request, params, &url);
	loop_defer(client->loop, &request->turn, on_start, request);
}

void http_cancel(struct http_request **slot)
{
	struct http_request *request = *slot;

	if (request == NULL)
		return;
	*slot = NULL;
	if (request->client->inside_curl == 0 || !in_curl(request)) {
		request_free(request);
		return;
	}
	timer_stop(&request->deadline);
	deferred_cancel(&request->turn);
	request->state = REQUEST_CANCELLED;
	loop_defer(request->client->loop, &request->turn, on_cancelled, request);
}

void http_pause(struct http_request *request)
{
	if (request->state == REQUEST_ENDED)
		return;
	if (request->flow == FLOW_OPEN) {
		request->flow = FLOW_CLOSING;
	} else if (request->flow == FLOW_OPENING) {
		deferred_cancel(&request->turn);
		request->flow = FLOW_HELD;
	}
}

void http_resume(struct http_request *request)
{
	if (request->state == REQUEST_ENDED)
		return;
	if (request->flow == FLOW_CLOSING) {
		reopen(request);
	} else if (request->flow == FLOW_HELD) {
		request->flow = FLOW_OPENING;
		loop_defer(request->client->loop, &request->turn, on_resume, request);
	}
}

bool http_sent(const struct http_request *request)
{
	return request->sent;
}
