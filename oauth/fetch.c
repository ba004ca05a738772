/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/fetch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "oauth/challenge.h"

struct fetch {
	struct fetch **slot;
	struct http_request *request;
	enum fetch_want want;
	int status;
	struct buf challenge;
	int64_t retry_after_s;
	struct buf body;
	fetch_done *done;
	void *ctx;
};

static void fetch_free(struct fetch *fetch)
{
	http_cancel(&fetch->request);
	buf_wipe(&fetch->body);
	buf_fini(&fetch->challenge);
	free(fetch);
}

static void finish(struct fetch *fetch, const struct err *err)
{
	const struct fetch_answer answer = {
		.status = fetch->status,
		.challenge = fetch->challenge.len > 0 ? fetch->challenge.data : NULL,
		.retry_after_s = fetch->retry_after_s,
		.body = {buf_str(&fetch->body), fetch->body.len},
		.sent = err == NULL || strcmp(err->tag, "unsent") != 0,
		.err = err,
	};

	*fetch->slot = NULL;
	fetch->done(fetch->ctx, &answer);
	fetch_free(fetch);
}

int64_t fetch_retry_after(const char *value, int64_t now_s)
{
	struct err ignored;
	uint64_t seconds;
	struct tm date = { 0 };
	const char *end;
	int64_t wait_s;

	if (value == NULL)
		return 0;
	if (text_uint(value, 0, INT32_MAX, &seconds, &ignored) == 0) {
		wait_s = (int64_t)seconds;
	} else {
		end = strptime(value, "%a, %d %b %Y %H:%M:%S GMT", &date);
		if (end == NULL || *end != '\0')
			return 0;
		wait_s = timegm(&date) - now_s;
	}
	if (wait_s < 0)
		return 0;
	return wait_s < FETCH_MAX_RETRY_AFTER_S ? wait_s : FETCH_MAX_RETRY_AFTER_S;
}

static void keep_challenges(struct fetch *fetch, const struct http_head *head)
{
	for (size_t i = 0; i < head->n_headers; i++) {
		if (!text_equal_nocase(head->headers[i].name, "www-authenticate"))
			continue;
		if (fetch->challenge.len > 0)
			buf_add(&fetch->challenge, ", ");
		buf_add(&fetch->challenge, head->headers[i].value);
	}
	/* Half a header is none. */
	if (fetch->challenge.overflow)
		buf_clear(&fetch->challenge);
}

static void on_head(void *ctx, const struct http_head *head)
{
	struct fetch *fetch = ctx;

	fetch->status = head->status;
	fetch->retry_after_s =
		fetch_retry_after(http_head_find(head, "retry-after"), loop_unix_us() / 1000000);
	keep_challenges(fetch, head);
	if (fetch->want == FETCH_HEAD || (fetch->want == FETCH_OK && head->status != 200)) {
		http_cancel(&fetch->request);
		finish(fetch, NULL);
	}
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct fetch *fetch = ctx;

	buf_append(&fetch->body, p, n);
}

static void on_done(void *ctx, const struct err *err)
{
	finish(ctx, err);
}

void fetch_start(struct fetch **slot, const struct fetch_params *params, fetch_done *done,
		 void *ctx)
{
	static const struct http_events events = { on_head, on_data, on_done };
	int64_t timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : FETCH_TIMEOUT_MS;
	const struct http_params request = {
		.method = params->method,
		.url = params->url,
		.headers = params->headers,
		.n_headers = params->n_headers,
		.body = params->body,
		.pool_key = "oauth",
		.egress = params->egress,
		.total_timeout_ms = timeout_ms,
		.max_body_bytes = FETCH_MAX_BODY_BYTES,
	};
	struct fetch *fetch = mem_new(sizeof(*fetch));

	assert(*slot == NULL);
	*slot = fetch;
	fetch->slot = slot;
	fetch->want = params->want;
	fetch->done = done;
	fetch->ctx = ctx;
	buf_init(&fetch->body, FETCH_MAX_BODY_BYTES);
	buf_init(&fetch->challenge, CHALLENGE_MAX_BYTES);
	http_start(params->client, &fetch->request, &request, &events, fetch);
}

void fetch_cancel(struct fetch **slot)
{
	struct fetch *fetch = *slot;

	if (fetch == NULL)
		return;
	*slot = NULL;
	fetch_free(fetch);
}
