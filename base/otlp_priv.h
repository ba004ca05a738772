/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_OTLP_PRIV_H
#define BASE_OTLP_PRIV_H

/*
 * What the files of the exporter share.
 *
 *   otlp.c        its life, filling batches, flushing
 *   otlp_send.c   sending them, and what the collector answers
 *   otlp_json.c   spans as JSON
 */

#include "base/otlp.h"

#define OTLP_BATCH_END "]}]}]}"

/* A request body in the making. */
struct otlp_batch {
	struct otlp_batch *prev, *next;
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
	struct otlp_batch *batches; /* the first is sent, the last filled */
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

/* otlp.c */

void otlp_batch_free(struct otlp *otlp, struct otlp_batch *batch);
/* Somebody waits for it. */
void otlp_end_flush(struct otlp *otlp);

/* otlp_send.c */

/* Sends the first batch: the timer's callback. */
void otlp_on_batch_due(void *ctx);

#endif
