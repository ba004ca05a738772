/* SPDX-License-Identifier: Apache-2.0 */
#include "base/otlp.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/text.h"
#include "base/url.h"

#define BATCH_END "]}]}]}"

/* A request body in the making. */
struct batch {
	struct batch *prev, *next;
	struct buf body;
	size_t n_spans;
	unsigned tries;
};

enum sender_state {
	SENDER_IDLE,	/* nothing waits, or the batch is being filled */
	SENDER_SENDING, /* the first batch is on its way */
	SENDER_RESTING, /* it was refused, and is sent again in a while */
};

struct otlp_flush {
	struct otlp *otlp;
	struct otlp_flush **slot;
	struct timer timer;
	struct deferred deferred;
	void (*done)(void *ctx);
	void *ctx;
};

struct otlp {
	struct loop *loop;
	struct http_client *client;
	struct egress_policy *egress;
	char *url;
	struct http_header *headers;
	size_t n_headers;
	char *prefix; /* of each body, up to the spans */
	int64_t timeout_ms;
	int64_t batch_ms;
	int64_t retry_min_ms;
	struct batch *batches; /* the first is sent, the last filled */
	size_t n_batches;
	enum sender_state state;
	struct timer timer; /* until the batch is sent, or sent again */
	struct http_request *request;
	struct {
		int status;
		int64_t retry_after_ms; /* -1: it did not say */
		struct buf body;
	} answer;
	struct buf scratch;
	struct otlp_stats stats;
	struct otlp_flush *flush;
	bool failing; /* said in the log already */
};

static const struct log_subject subject = { .component = "otlp" };

static void send_first(struct otlp *otlp);

/* --- batches --------------------------------------------------------------------------------- */

static void batch_free(struct otlp *otlp, struct batch *batch)
{
	DL_DELETE(otlp->batches, batch);
	otlp->n_batches--;
	buf_fini(&batch->body);
	free(batch);
}

static struct batch *batch_new(struct otlp *otlp)
{
	struct batch *batch;

	if (otlp->n_batches == OTLP_MAX_BATCHES)
		return NULL;
	batch = mem_new(sizeof(*batch));
	buf_init(&batch->body, OTLP_BATCH_BYTES + sizeof(BATCH_END));
	buf_add(&batch->body, otlp->prefix);
	DL_APPEND(otlp->batches, batch);
	otlp->n_batches++;
	return batch;
}

static bool has_room(const struct otlp *otlp, const struct batch *batch, size_t n)
{
	/* What is or was on its way has its end already. */
	if (batch == otlp->batches && otlp->state != SENDER_IDLE)
		return false;
	return batch->n_spans < OTLP_BATCH_SPANS && batch->body.len + n + 1 <= OTLP_BATCH_BYTES;
}

static struct batch *batch_for(struct otlp *otlp, size_t n)
{
	struct batch *last = otlp->batches != NULL ? otlp->batches->prev : NULL;

	return last != NULL && has_room(otlp, last, n) ? last : batch_new(otlp);
}

static void on_batch_due(void *ctx)
{
	send_first(ctx);
}

void otlp_add(struct otlp *otlp, const struct otlp_span *span)
{
	struct batch *batch;

	if (otlp == NULL)
		return;
	buf_clear(&otlp->scratch);
	otlp_span_json(span, &otlp->scratch);
	batch = otlp->scratch.overflow ? NULL : batch_for(otlp, otlp->scratch.len);
	if (batch == NULL) {
		otlp->stats.dropped++;
		return;
	}
	if (batch->n_spans++ > 0)
		buf_add(&batch->body, ",");
	buf_add_span(&batch->body, buf_span(&otlp->scratch));
	if (otlp->state != SENDER_IDLE)
		return;
	/* Never within the caller's call: that is a request of a client. */
	if (batch->n_spans == OTLP_BATCH_SPANS || batch != otlp->batches || otlp->flush != NULL)
		timer_start(otlp->loop, &otlp->timer, 0, on_batch_due, otlp);
	else if (otlp->timer.loop == NULL)
		timer_start(otlp->loop, &otlp->timer, otlp->batch_ms, on_batch_due, otlp);
}

/* --- sending --------------------------------------------------------------------------------- */

static void end_flush(struct otlp *otlp)
{
	struct otlp_flush *flush = otlp->flush;

	otlp->flush = NULL;
	*flush->slot = NULL;
	timer_stop(&flush->timer);
	deferred_cancel(&flush->deferred);
	flush->done(flush->ctx);
	free(flush);
}

/* The next batch: at once if it is full or somebody waits for it. */
static void go_on(struct otlp *otlp)
{
	struct batch *first = otlp->batches;

	otlp->state = SENDER_IDLE;
	if (first == NULL) {
		if (otlp->flush != NULL)
			end_flush(otlp);
		return;
	}
	timer_start(otlp->loop, &otlp->timer,
		    first->next != NULL || otlp->flush != NULL ? 0 : otlp->batch_ms, on_batch_due,
		    otlp);
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

static int64_t retry_ms(const struct otlp *otlp, const struct batch *batch)
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
	struct batch *batch = otlp->batches;

	tell(otlp, why);
	if (batch->tries >= OTLP_MAX_TRIES) {
		otlp->stats.dropped += batch->n_spans;
		batch_free(otlp, batch);
		go_on(otlp);
		return;
	}
	otlp->state = SENDER_RESTING;
	timer_start(otlp->loop, &otlp->timer, retry_ms(otlp, batch), on_batch_due, otlp);
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
	struct batch *batch = otlp->batches;
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
	batch_free(otlp, batch);
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
	struct batch *batch = otlp->batches;

	assert(batch != NULL && batch->n_spans > 0 && otlp->state != SENDER_SENDING);
	if (batch->tries++ == 0)
		buf_add(&batch->body, BATCH_END);
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

/* --- flushing -------------------------------------------------------------------------------- */

static void on_flush_over(void *ctx)
{
	end_flush(ctx);
}

void otlp_flush_start(struct otlp *otlp, struct otlp_flush **slot, int64_t timeout_ms,
		      void (*done)(void *ctx), void *ctx)
{
	struct otlp_flush *flush = mem_new(sizeof(*flush));

	assert(*slot == NULL && otlp->flush == NULL);
	*flush = (struct otlp_flush){ .otlp = otlp, .slot = slot, .done = done, .ctx = ctx };
	*slot = otlp->flush = flush;
	if (otlp->batches == NULL) {
		loop_defer(otlp->loop, &flush->deferred, on_flush_over, otlp);
		return;
	}
	timer_start(otlp->loop, &flush->timer, timeout_ms, on_flush_over, otlp);
	if (otlp->state != SENDER_SENDING)
		timer_start(otlp->loop, &otlp->timer, 0, on_batch_due, otlp);
}

void otlp_flush_cancel(struct otlp_flush **slot)
{
	struct otlp_flush *flush = *slot;

	if (flush == NULL)
		return;
	*slot = NULL;
	flush->otlp->flush = NULL;
	timer_stop(&flush->timer);
	deferred_cancel(&flush->deferred);
	free(flush);
}

/* --- life ------------------------------------------------------------------------------------ */

/* The one exception that lets the operator's own address through: this host and port. */
static struct egress_policy *policy_for(const struct url *url, struct err *err)
{
	bool v6 = strchr(url->host, ':') != NULL;
	char *allowed = mem_printf(v6 ? "[%s]:%u" : "%s:%u", url->host, (unsigned)url->port);
	const char *const list[] = { allowed };
	struct egress_policy *policy = egress_policy_new(list, 1, false, err);

	free(allowed);
	return policy;
}

static void take_headers(struct otlp *otlp, const struct otlp_params *params)
{
	otlp->headers = mem_new_array(params->n_headers + 1, sizeof(*otlp->headers));
	otlp->headers[otlp->n_headers++] =
		(struct http_header){ mem_strdup("content-type"), mem_strdup("application/json") };
	for (size_t i = 0; i < params->n_headers; i++)
		otlp->headers[otlp->n_headers++] =
			(struct http_header){ mem_strdup(params->headers[i].name),
					      mem_strdup(params->headers[i].value) };
}

/* NULL if it is too long. */
static char *prefix_of(const struct otlp_params *params)
{
	struct buf text;
	bool fits;

	buf_init(&text, OTLP_MAX_SPAN_BYTES);
	buf_add(&text, "{\"resourceSpans\":[{\"resource\":{\"attributes\":");
	otlp_attributes_json(params->resource, params->n_resource, &text);
	buf_add(&text, "},\"scopeSpans\":[{\"scope\":{\"name\":");
	buf_add_json_string(&text, params->scope_name, strlen(params->scope_name));
	buf_add(&text, ",\"version\":");
	buf_add_json_string(&text, params->scope_version, strlen(params->scope_version));
	buf_add(&text, "},\"spans\":[");
	fits = !text.overflow;
	if (!fits)
		buf_fini(&text);
	return fits ? buf_take(&text, NULL) : NULL;
}

struct otlp *otlp_new(const struct otlp_params *params, struct err *err)
{
	struct egress_policy *egress;
	char *prefix = prefix_of(params);
	struct otlp *otlp;
	struct url url;

	if (prefix == NULL) {
		err_set(err, ERR_BAD_REQUEST, "the resource's attributes are over %d bytes",
			OTLP_MAX_SPAN_BYTES);
		return NULL;
	}
	egress = url_parse(params->url, &url, err) == 0 ? policy_for(&url, err) : NULL;
	if (egress == NULL) {
		free(prefix);
		return NULL;
	}
	otlp = mem_new(sizeof(*otlp));
	otlp->loop = params->loop;
	otlp->client = http_client_new(params->loop);
	otlp->egress = egress;
	otlp->url = mem_strdup(params->url);
	otlp->prefix = prefix;
	otlp->timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : OTLP_TIMEOUT_MS;
	otlp->batch_ms = params->batch_ms > 0 ? params->batch_ms : OTLP_BATCH_MS;
	otlp->retry_min_ms = params->retry_min_ms > 0 ? params->retry_min_ms : OTLP_RETRY_MIN_MS;
	take_headers(otlp, params);
	buf_init(&otlp->answer.body, OTLP_ANSWER_BYTES);
	buf_init(&otlp->scratch, OTLP_MAX_SPAN_BYTES);
	return otlp;
}

static void free_headers(struct otlp *otlp)
{
	for (size_t i = 0; i < otlp->n_headers; i++) {
		char *value = (char *)otlp->headers[i].value;

		mem_wipe(value, strlen(value));
		free(value);
		free((char *)otlp->headers[i].name);
	}
	free(otlp->headers);
}

void otlp_free(struct otlp **slot)
{
	struct otlp *otlp = *slot;

	if (otlp == NULL)
		return;
	*slot = NULL;
	assert(otlp->flush == NULL);
	timer_stop(&otlp->timer);
	http_cancel(&otlp->request);
	while (otlp->batches != NULL)
		batch_free(otlp, otlp->batches);
	http_client_free(&otlp->client);
	egress_policy_unref(&otlp->egress);
	free_headers(otlp);
	buf_fini(&otlp->answer.body);
	buf_fini(&otlp->scratch);
	free(otlp->prefix);
	free(otlp->url);
	free(otlp);
}

void otlp_stats(const struct otlp *otlp, struct otlp_stats *out)
{
	*out = otlp->stats;
}
