/* SPDX-License-Identifier: Apache-2.0 */
#include "base/otlp.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "base/otlp_priv.h"
#include "base/url.h"

/* --- batches --------------------------------------------------------------------------------- */

void otlp_batch_free(struct otlp *otlp, struct otlp_batch *batch)
{
	DL_DELETE(otlp->batches, batch);
	otlp->n_batches--;
	buf_fini(&batch->body);
	free(batch);
}

static struct otlp_batch *batch_new(struct otlp *otlp)
{
	struct otlp_batch *batch;

	if (otlp->n_batches == OTLP_MAX_BATCHES)
		return NULL;
	batch = mem_new(sizeof(*batch));
	buf_init(&batch->body, OTLP_BATCH_BYTES + sizeof(OTLP_BATCH_END));
	buf_add(&batch->body, otlp->prefix);
	DL_APPEND(otlp->batches, batch);
	otlp->n_batches++;
	return batch;
}

static bool has_room(const struct otlp *otlp, const struct otlp_batch *batch, size_t n)
{
	/* What is or was on its way has its end already. */
	if (batch == otlp->batches && otlp->state != SENDER_IDLE)
		return false;
	return batch->n_spans < OTLP_BATCH_SPANS && batch->body.len + n + 1 <= OTLP_BATCH_BYTES;
}

static struct otlp_batch *batch_for(struct otlp *otlp, size_t n)
{
	struct otlp_batch *last = otlp->batches != NULL ? otlp->batches->prev : NULL;

	return last != NULL && has_room(otlp, last, n) ? last : batch_new(otlp);
}

void otlp_add(struct otlp *otlp, const struct otlp_span *span)
{
	struct otlp_batch *batch;

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
		timer_start(otlp->loop, &otlp->timer, 0, otlp_on_batch_due, otlp);
	else if (otlp->timer.loop == NULL)
		timer_start(otlp->loop, &otlp->timer, otlp->batch_ms, otlp_on_batch_due, otlp);
}

/* --- flushing -------------------------------------------------------------------------------- */

void otlp_end_flush(struct otlp *otlp)
{
	struct otlp_flush *flush = otlp->flush;

	otlp->flush = NULL;
	*flush->slot = NULL;
	timer_stop(&flush->timer);
	deferred_cancel(&flush->deferred);
	flush->done(flush->ctx);
	free(flush);
}

static void on_flush_over(void *ctx)
{
	otlp_end_flush(ctx);
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
		timer_start(otlp->loop, &otlp->timer, 0, otlp_on_batch_due, otlp);
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
		otlp_batch_free(otlp, otlp->batches);
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
