/* SPDX-License-Identifier: Apache-2.0 */

/* The tool `sleep`: an answer that takes its time, as a stream of events. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/app/sample_clock_priv.h"
#include "gateway/core/envelope.h"

#define MIN_INTERVAL_MS	  100
#define REPORTS_PER_SLEEP 10
#define MAX_EVENT_BYTES	  ((size_t)16 * 1024 * 1024)
#define EVENT_START	  "event: message\ndata: "
#define EVENT_END	  "\n\n"

struct nap {
	struct sample_request request; /* owns the arena */
	struct nap *next, *prev;
	struct timer timer;
	int64_t started_ms;
	int64_t ms;
	int64_t interval_ms;
	int64_t reported_ms;
};

static void nap_free(struct nap *nap)
{
	struct clock *clock = nap->request.sample->own;

	if (nap->prev != NULL)
		nap->prev->next = nap->next;
	else
		clock->naps = nap->next;
	if (nap->next != NULL)
		nap->next->prev = nap->prev;
	timer_stop(&nap->timer);
	arena_free(&nap->request.arena);
	free(nap);
}

/* Legacy or modern: with the client gone there is nobody to answer. */
static void on_gone(void *ctx)
{
	nap_free(ctx);
}

static void event_begin(struct buf *event)
{
	buf_init(event, MAX_EVENT_BYTES);
	buf_add(event, EVENT_START);
}

static void event_send(struct nap *nap, struct buf *event)
{
	buf_add(event, EVENT_END);
	exchange_stream_write(nap->request.exchange, buf_span(event));
	buf_fini(event);
}

/* The token is given back as it came: raw JSON. */
static void report(struct nap *nap, int64_t progress_ms)
{
	struct span token = nap->request.mcp.progress_token;
	struct buf params, event;

	nap->reported_ms = progress_ms;
	if (token.p == NULL)
		return;
	buf_init(&params, MAX_EVENT_BYTES);
	buf_add(&params, "{\"progressToken\":");
	buf_add_span(&params, token);
	buf_printf(&params, ",\"progress\":%lld,\"total\":%lld}", (long long)progress_ms,
		   (long long)nap->ms);
	event_begin(&event);
	envelope_notification(&event, "notifications/progress", buf_span(&params));
	event_send(nap, &event);
	buf_fini(&params);
}

static void finish(struct nap *nap)
{
	char text[64];
	struct buf result, event;

	snprintf(text, sizeof(text), "slept %lld ms", (long long)nap->ms);
	buf_init(&result, MAX_EVENT_BYTES);
	sample_write_result(&nap->request, sample_text_members(nap->request.arena, text, false),
			    &result);
	event_begin(&event);
	envelope_result(&event, nap->request.mcp.id, buf_span(&result));
	event_send(nap, &event);
	buf_fini(&result);
	exchange_stream_end(nap->request.exchange);
	nap_free(nap);
}

static void sleep_on(struct nap *nap);

static void on_time(void *ctx)
{
	struct nap *nap = ctx;
	int64_t slept_ms = loop_now_ms(nap->request.sample->loop) - nap->started_ms;

	if (slept_ms < nap->ms) {
		report(nap, nap->reported_ms + nap->interval_ms);
		sleep_on(nap);
	} else {
		report(nap, nap->ms);
		finish(nap);
	}
}

/* Until the next report, or the end if nobody wants reports. */
static void sleep_on(struct nap *nap)
{
	struct loop *loop = nap->request.sample->loop;
	int64_t until_ms = nap->reported_ms + nap->interval_ms;

	if (until_ms > nap->ms || nap->request.mcp.progress_token.p == NULL)
		until_ms = nap->ms;
	until_ms -= loop_now_ms(loop) - nap->started_ms;
	timer_start(loop, &nap->timer, until_ms > 0 ? until_ms : 0, on_time, nap);
}

void nap_start(const struct sample_request *request, int64_t ms)
{
	struct nap *nap = mem_new(sizeof(*nap));
	struct clock *clock = request->sample->own;

	nap->request = *request;
	nap->ms = ms;
	nap->started_ms = loop_now_ms(request->sample->loop);
	nap->interval_ms = ms / REPORTS_PER_SLEEP;
	if (nap->interval_ms < MIN_INTERVAL_MS)
		nap->interval_ms = MIN_INTERVAL_MS;
	nap->next = clock->naps;
	if (nap->next != NULL)
		nap->next->prev = nap;
	clock->naps = nap;
	exchange_on_gone(request->exchange, on_gone, nap);
	/* The comment makes the head go out. */
	exchange_stream_start(request->exchange, &(struct exchange_answer){
							 .status = 200,
							 .content_type = "text/event-stream",
							 .body = SPAN(":\n\n"),
						 });
	sleep_on(nap);
}

static struct nap *nap_find(const struct clock *clock, const char *session, struct span id)
{
	for (struct nap *nap = clock->naps; nap != NULL; nap = nap->next) {
		if (nap->request.session != NULL && strcmp(nap->request.session, session) == 0 &&
		    span_eq(nap->request.mcp.id, id))
			return nap;
	}
	return NULL;
}

void nap_cancel(struct sample *sample, const char *session, struct span id)
{
	struct nap *nap = nap_find(sample->own, session, id);

	if (nap == NULL)
		return;
	exchange_stream_end(nap->request.exchange);
	nap_free(nap);
}
