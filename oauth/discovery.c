/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/discovery.h"

#include <assert.h>
#include <stdlib.h>

#include "base/url.h"
#include "oauth/discovery_priv.h"

static void discovery_free(struct discovery *discovery)
{
	timer_stop(&discovery->timer);
	deferred_cancel(&discovery->turn);
	fetch_cancel(&discovery->fetch);
	egress_policy_unref(&discovery->egress);
	free(discovery);
}

static void finish(struct discovery *discovery, const struct oauth_server *server,
		   const struct err *err)
{
	*discovery->slot = NULL;
	discovery->done(discovery->ctx, server, err);
	discovery_free(discovery);
}

static void on_failed(void *ctx)
{
	struct discovery *discovery = ctx;

	finish(discovery, NULL, &discovery->failure);
}

static void on_timeout(void *ctx)
{
	struct discovery *discovery = ctx;

	fetch_cancel(&discovery->fetch);
	err_set(&discovery->failure, ERR_TIMEOUT, "discovery took over %lld ms",
		(long long)discovery->timeout_ms);
	finish(discovery, NULL, &discovery->failure);
}

static void on_answer(void *ctx, const struct fetch_answer *answer);

/* Without a token, to be refused. */
static void probe(struct discovery *discovery, struct span body)
{
	bool post = body.p != NULL;
	struct http_header headers[HTTP_MAX_HEADERS];
	size_t n = 0;
	const struct fetch_params fetch = {
		.client = discovery->client,
		.egress = discovery->egress,
		.method = post ? "POST" : "GET",
		.url = discovery->resource_url,
		.headers = headers,
		.n_headers = discovery->n_probe_headers + (post ? 1 : 0),
		.body = body,
		.want = FETCH_HEAD,
	};

	assert(discovery->n_probe_headers < HTTP_MAX_HEADERS);
	if (post)
		headers[n++] = (struct http_header){ "content-type", "application/json" };
	for (size_t i = 0; i < discovery->n_probe_headers; i++)
		headers[n++] = discovery->probe_headers[i];
	fetch_start(&discovery->fetch, &fetch, on_answer, discovery);
}

static void probe_again(struct discovery *discovery)
{
	struct span body = discovery->second_probe_body;

	discovery->second_probe_body = span_of(NULL);
	probe(discovery, body);
}

static void ask(struct discovery *discovery)
{
	static const struct http_header headers[] = {
		{"accept", "application/json"}
	};
	const struct fetch_params params = {
		.client = discovery->client,
		.egress = discovery->egress,
		.method = "GET",
		.url = discovery->candidates.urls[discovery->at],
		.headers = headers,
		.n_headers = 1,
		.want = FETCH_OK,
	};

	fetch_start(&discovery->fetch, &params, on_answer, discovery);
}

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
	struct discovery *discovery = ctx;
	struct oauth_server *server;

	if (discovery_read(discovery, answer, &discovery->failure) < 0) {
		finish(discovery, NULL, &discovery->failure);
	} else if (discovery->stage == STAGE_FOUND) {
		server = arena_dup(discovery->arena, &discovery->server, sizeof(*server));
		finish(discovery, server, NULL);
	} else if (discovery->stage == STAGE_AGAIN) {
		probe_again(discovery);
	} else {
		ask(discovery);
	}
}

static int check(const struct discovery_params *params, struct err *err)
{
	struct url url;

	if (url_parse(params->resource_url, &url, err) < 0)
		return -1;
	if (params->issuer != NULL &&
	    metadata_check_issuer(params->issuer, params->allow_http, err) < 0) {
		err->code = ERR_BAD_REQUEST;
		return -1;
	}
	return 0;
}

static int start(struct discovery *discovery, const struct discovery_params *params,
		 struct err *err)
{
	if (check(params, err) < 0)
		return -1;
	if (params->challenge.p == NULL) {
		probe(discovery, params->probe_body);
		return 0;
	}
	if (discovery_begin(discovery, params->challenge, err) < 0)
		return -1;
	ask(discovery);
	return 0;
}

/* For the second probe, when what they were given in has gone. */
static void copy_headers(struct discovery *discovery, const struct discovery_params *params)
{
	size_t n = params->n_probe_headers;

	discovery->probe_headers =
		arena_alloc(discovery->arena, (n + 1) * sizeof(*discovery->probe_headers));
	discovery->n_probe_headers = n;
	for (size_t i = 0; i < n; i++)
		discovery->probe_headers[i] = (struct http_header){
			arena_strdup(discovery->arena, params->probe_headers[i].name),
			arena_strdup(discovery->arena, params->probe_headers[i].value),
		};
}

void discovery_start(struct loop *loop, struct discovery **slot, struct arena *arena,
		     const struct discovery_params *params, discovery_done *done, void *ctx)
{
	struct discovery *discovery = mem_new(sizeof(*discovery));

	assert(*slot == NULL && params->egress != NULL);
	*slot = discovery;
	discovery->slot = slot;
	discovery->client = params->client;
	discovery->egress = egress_policy_ref(params->egress);
	discovery->arena = arena;
	discovery->resource_url = arena_strdup(arena, params->resource_url);
	discovery->resource = discovery->resource_url;
	discovery->pinned = params->issuer != NULL ? arena_strdup(arena, params->issuer) : NULL;
	discovery->allow_http = params->allow_http;
	discovery->second_probe_body = params->second_probe_body;
	copy_headers(discovery, params);
	discovery->grant = params->grant;
	discovery->timeout_ms = params->timeout_ms > 0 ? params->timeout_ms : DISCOVERY_TIMEOUT_MS;
	discovery->done = done;
	discovery->ctx = ctx;
	timer_start(loop, &discovery->timer, discovery->timeout_ms, on_timeout, discovery);
	if (start(discovery, params, &discovery->failure) < 0)
		loop_defer(loop, &discovery->turn, on_failed, discovery);
}

void discovery_cancel(struct discovery **slot)
{
	struct discovery *discovery = *slot;

	if (discovery == NULL)
		return;
	*slot = NULL;
	discovery_free(discovery);
}
