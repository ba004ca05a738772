/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/otlp_priv.h"
#include "base/text.h"

static const struct log_subject subject = { .component = "otlp" };

/* The next batch: at once if it is full or somebody waits for it. */
static void go_on(struct otlp *otlp)
{
	struct otlp_batch *first = otlp->batches;

	otlp->state = SENDER_IDLE;
	if (first == NULL) {
		if (otlp->flush != NULL)
			otlp_end_flush(otlp);
		return;
	}
	timer_start(otlp->loop, &otlp->timer,
		    first->next != NULL || otlp->flush != NULL ? 0 : otlp->batch_ms,
		    otlp_on_batch_due, otlp);
}

/* When it begins and when it ends, not with every batch. No header and no body, ever. */
static void tell(struct otlp *otlp, const char *why)
{
	if (why != NULL && !otlp->failing)
		log_warn(&subject, "spans do not reach the collector: %s", why);
	if (why == NULL && otlp->failing)
		log_info(&subject, "spans reach the collector again; %llu were dropped so far",
			 (unsigned long long)otlp->stats.dropped);
	otlp->failing = why != NULL;
}

static int64_t retry_ms(const struct otlp *otlp, const struct otlp_batch *batch)
{
	int64_t wait_ms = otlp->retry_min_ms;

	for (unsigned i = 1; i < batch->tries && wait_ms < OTLP_RETRY_MAX_MS; i++)
		wait_ms *= 2;
	if (wait_ms > OTLP_RETRY_MAX_MS)
		wait_ms = OTLP_RETRY_MAX_MS;
	wait_ms = wait_ms / 2 + crypto_chance(wait_ms / 2);
	if (otlp->answer.retry_after_ms > wait_ms)
		wait_ms = otlp->answer.retry_after_ms;
	return wait_ms;
}

static void try_again(struct otlp *otlp, const char *why)
{
	struct otlp_batch *batch = otlp->batches;

	tell(otlp, why);
	if (batch->tries >= OTLP_MAX_TRIES) {
		otlp->stats.dropped += batch->n_spans;
		otlp_batch_free(otlp, batch);
		go_on(otlp);
		return;
	}
	otlp->state = SENDER_RESTING;
	timer_start(otlp->loop, &otlp->timer, retry_ms(otlp, batch), otlp_on_batch_due, otlp);
}

/* OTLP/HTTP, "Retryable Response Codes". */
static bool is_retryable(int status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/* partialSuccess.rejectedSpans, which protobuf's JSON writes as a string and takes as a number. */
static uint64_t rejected_spans(struct span body, size_t n_spans)
{
	struct err err;
	struct span rejected;
	struct buf text;
	int64_t n = 0;

	if (body.n == 0 || span_check(body, NULL, &err) < 0)
		return 0;
	rejected = span_get(span_get(body, "partialSuccess"), "rejectedSpans");
	buf_init(&text, OTLP_ANSWER_BYTES);
	if (span_type(rejected) == SPAN_STRING && span_string(rejected, &text) == 0)
		rejected = buf_span(&text);
	if (span_type(rejected) != SPAN_NUMBER || span_int64(rejected, &n) < 0 || n < 0)
		n = 0;
	buf_fini(&text);
	return (uint64_t)n < n_spans ? (uint64_t)n : n_spans;
}

static void take_answer(struct otlp *otlp)
{
	struct otlp_batch *batch = otlp->batches;
	char why[64];
	uint64_t rejected;

	snprintf(why, sizeof(why), "it answers with status %d", otlp->answer.status);
	if (is_retryable(otlp->answer.status)) {
		try_again(otlp, why);
		return;
	}
	if (otlp->answer.status == 200) {
		rejected = rejected_spans(buf_span(&otlp->answer.body), batch->n_spans);
		snprintf(why, sizeof(why), "it rejects %llu of %zu", (unsigned long long)rejected,
			 batch->n_spans);
	} else {
		rejected = batch->n_spans;
	}
	otlp->stats.rejected += rejected;
	otlp->stats.exported += batch->n_spans - rejected;
	tell(otlp, rejected > 0 ? why : NULL);
	otlp_batch_free(otlp, batch);
	go_on(otlp);
}

static void on_head(void *ctx, const struct http_head *head)
{
	struct otlp *otlp = ctx;
	const char *after = http_head_find(head, "retry-after");
	uint64_t seconds;
	struct err err;

	otlp->answer.status = head->status;
	/* A date would need the collector's clock to be ours: the backoff does then. */
	if (after == NULL || text_uint(after, 0, UINT32_MAX, &seconds, &err) < 0)
		return;
	otlp->answer.retry_after_ms = (int64_t)seconds * 1000;
	if (otlp->answer.retry_after_ms > OTLP_RETRY_AFTER_MAX_MS)
		otlp->answer.retry_after_ms = OTLP_RETRY_AFTER_MAX_MS;
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct otlp *otlp = ctx;

	buf_append(&otlp->answer.body, p, n);
}

static void on_done(void *ctx, const struct err *err)
{
	struct otlp *otlp = ctx;

	if (err != NULL)
		try_again(otlp, err->text);
	else
		take_answer(otlp);
}

static void send_first(struct otlp *otlp)
{
	static const struct http_events events = { on_head, on_data, on_done };
	struct otlp_batch *batch = otlp->batches;

	assert(batch != NULL && batch->n_spans > 0 && otlp->state != SENDER_SENDING);
	if (batch->tries++ == 0)
		buf_add(&batch->body, OTLP_BATCH_END);
	timer_stop(&otlp->timer);
	otlp->state = SENDER_SENDING;
	otlp->answer.status = 0;
	otlp->answer.retry_after_ms = -1;
	buf_clear(&otlp->answer.body);
	http_start(otlp->client, &otlp->request,
		   &(struct http_params){
			   .method = "POST",
			   .url = otlp->url,
			   .headers = otlp->headers,
			   .n_headers = otlp->n_headers,
			   .body = buf_span(&batch->body),
			   .egress = otlp->egress,
			   .connect_timeout_ms = otlp->timeout_ms,
			   .first_byte_timeout_ms = otlp->timeout_ms,
			   .total_timeout_ms = otlp->timeout_ms,
			   .max_body_bytes = OTLP_ANSWER_BYTES,
		   },
		   &events, otlp);
}

void otlp_on_batch_due(void *ctx)
{
	send_first(ctx);
}
