/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/exchange.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/mem.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/http_priv.h"
#include "gateway/http/query.h"
#include "gateway/http/reason.h"

#define STATUS_NO_CONTENT 204
#define STATUS_GONE_AWAY  499

/* Lies in the request's pool, so that h2o tells us when the request ends. */
struct anchor {
	struct exchange *exchange;
};

static void tell_gone(struct exchange *exchange)
{
	void (*gone)(void *ctx) = exchange->gone;

	exchange->gone = NULL;
	if (gone != NULL)
		gone(exchange->gone_ctx);
}

void exchange_unref(struct exchange *exchange)
{
	if (--exchange->refs > 0)
		return;
	buf_fini(&exchange->queued);
	buf_fini(&exchange->sending);
	free(exchange);
}

/* The only end that every request has: answered, reset, timed out or closed. */
static void on_request_disposed(void *memory)
{
	struct exchange *exchange = ((struct anchor *)memory)->exchange;

	watch_stop(&exchange->hang_up);
	deferred_cancel(&exchange->dropped);
	deferred_cancel(&exchange->roomy);
	exchange->connection->exchange = NULL;
	exchange->connection->idle_since_ms = loop_now_ms(exchange->server->params.loop);
	exchange->connection = NULL;
	exchange->request = NULL;
	exchange->state = EXCHANGE_LOST;
	tell_gone(exchange);
	exchange_unref(exchange);
}

char *exchange_pool_text(struct exchange *exchange, const char *p, size_t n)
{
	char *text = h2o_mem_alloc_pool(&exchange->request->pool, n + 1);

	if (n > 0)
		memcpy(text, p, n);
	text[n] = '\0';
	return text;
}

static void set_source_ip(struct exchange *exchange)
{
	const struct http_server_params *params = &exchange->server->params;
	const char *hops =
		params->n_trusted_proxies > 0 ? exchange_header(exchange, "x-forwarded-for") : NULL;

	forwarded_source(exchange->connection->peer, hops, params->trusted_proxies,
			 params->n_trusted_proxies, exchange->source_ip);
}

struct exchange *exchange_new(struct connection *connection, const struct dispatcher *dispatcher,
			      h2o_req_t *request)
{
	struct exchange *exchange = mem_new(sizeof(*exchange));
	struct anchor *anchor =
		h2o_mem_alloc_shared(&request->pool, sizeof(*anchor), on_request_disposed);

	anchor->exchange = exchange;
	exchange->refs = 1;
	exchange->server = dispatcher->server;
	exchange->kind = dispatcher->kind;
	exchange->connection = connection;
	exchange->request = request;
	exchange->method = exchange_pool_text(exchange, request->method.base, request->method.len);
	exchange->path = exchange_pool_text(exchange, request->path_normalized.base,
					    request->path_normalized.len);
	buf_init(&exchange->queued, EXCHANGE_MAX_QUEUED);
	buf_init(&exchange->sending, EXCHANGE_MAX_QUEUED);
	set_source_ip(exchange);
	assert(connection->exchange == NULL);
	connection->exchange = exchange;
	return exchange;
}

static void on_hang_up(void *ctx, uint32_t events)
{
	(void)events;
	exchange_lose(ctx);
}

void exchange_watch(struct exchange *exchange)
{
	bool pending =
		exchange->state == EXCHANGE_HANDLING || exchange->state == EXCHANGE_STREAMING;

	/* h2o does not read while an answer is owed, so it would not notice. */
	if (pending && !exchange->connection->read_shut)
		watch_start(exchange->server->params.loop, &exchange->hang_up,
			    h2o_socket_get_fd(exchange->connection->socket), EPOLLRDHUP, on_hang_up,
			    exchange);
}

void exchange_leave_handler(struct exchange *exchange, enum exchange_state state)
{
	bool head_is_out = exchange->state != EXCHANGE_HANDLING;

	exchange->state = state;
	exchange->gone = NULL;
	exchange->room = NULL;
	deferred_cancel(&exchange->roomy);
	watch_stop(&exchange->hang_up);
	if (exchange->server->state == SERVER_DRAINING && !head_is_out)
		exchange->request->http1_is_persistent = 0;
}

static void send_nothing(struct exchange *exchange)
{
	h2o_req_t *request = exchange->request;

	request->res.status = STATUS_GONE_AWAY;
	request->res.reason = http_reason(STATUS_GONE_AWAY);
	request->res.content_length = 0;
	h2o_start_response(request, &exchange->generator);
	h2o_send(request, NULL, 0, H2O_SEND_STATE_FINAL);
}

void exchange_lose(struct exchange *exchange)
{
	exchange->state = EXCHANGE_LOST;
	exchange->room = NULL;
	watch_stop(&exchange->hang_up);
	deferred_cancel(&exchange->dropped);
	deferred_cancel(&exchange->roomy);
	tell_gone(exchange);
	exchange->request->http1_is_persistent = 0;
	connection_abort(exchange->connection);
	if (exchange->generator.proceed == NULL)
		send_nothing(exchange);
	else if (!exchange->writing)
		h2o_send(exchange->request, NULL, 0, H2O_SEND_STATE_ERROR);
}

const char *exchange_method(const struct exchange *exchange)
{
	return exchange->method;
}

const char *exchange_path(const struct exchange *exchange)
{
	return exchange->path;
}

struct span exchange_query(const struct exchange *exchange)
{
	const h2o_req_t *request = exchange->request;

	if (request->query_at == SIZE_MAX)
		return SPAN("");
	return (struct span){ request->path.base + request->query_at + 1,
			      request->path.len - request->query_at - 1 };
}

/* h2o takes it off the headers, and makes one up if there is none. */
static const char *host_header(struct exchange *exchange)
{
	h2o_iovec_t authority = exchange->request->input.authority;

	if (authority.base == exchange->request->hostconf->authority.hostport.base)
		return NULL;
	return exchange_pool_text(exchange, authority.base, authority.len);
}

/* Without the white space that may surround it (RFC 9110 section 5.5). */
static struct span field_value(h2o_iovec_t raw)
{
	struct span value = { raw.base, raw.len };

	while (value.n > 0 && (value.p[0] == ' ' || value.p[0] == '\t')) {
		value.p++;
		value.n--;
	}
	while (value.n > 0 && (value.p[value.n - 1] == ' ' || value.p[value.n - 1] == '\t'))
		value.n--;
	return value;
}

static const char *join(struct exchange *exchange, const char *list, struct span value)
{
	size_t n = strlen(list);
	char *joined = h2o_mem_alloc_pool(&exchange->request->pool, n + value.n + 3);

	memcpy(joined, list, n);
	memcpy(joined + n, ", ", 2);
	memcpy(joined + n + 2, value.p, value.n);
	joined[n + 2 + value.n] = '\0';
	return joined;
}

const char *exchange_header(struct exchange *exchange, const char *name)
{
	const h2o_headers_t *headers = &exchange->request->headers;
	const char *list = NULL;

	if (strcmp(name, "host") == 0)
		return host_header(exchange);
	for (size_t i = 0; i < headers->size; i++) {
		const h2o_header_t *header = &headers->entries[i];
		struct span value = field_value(header->value);

		if (!span_is((struct span){ header->name->base, header->name->len }, name))
			continue;
		if (list == NULL)
			list = exchange_pool_text(exchange, value.p, value.n);
		else
			list = join(exchange, list, value);
	}
	return list;
}

struct span exchange_body(const struct exchange *exchange)
{
	h2o_iovec_t entity = exchange->request->entity;

	return entity.base == NULL ? SPAN("") : (struct span){ entity.base, entity.len };
}

enum listener_kind exchange_listener(const struct exchange *exchange)
{
	return exchange->kind;
}

const char *exchange_source_ip(const struct exchange *exchange)
{
	return exchange->source_ip;
}

const char *exchange_param(const struct exchange *exchange, const char *name)
{
	const struct route_params *params = &exchange->params;

	for (size_t i = 0; i < params->n; i++) {
		if (span_is(params->all[i].name, name))
			return params->all[i].value.p;
	}
	return NULL;
}

const char *exchange_query_param(struct exchange *exchange, const char *name)
{
	struct span query = exchange_query(exchange);
	char *room = h2o_mem_alloc_pool(&exchange->request->pool, query.n + 1);

	return query_find(query, name, room) ? room : NULL;
}

void *exchange_app(const struct exchange *exchange)
{
	return exchange->server->params.app;
}

void exchange_on_gone(struct exchange *exchange, void (*gone)(void *ctx), void *ctx)
{
	exchange->gone = gone;
	exchange->gone_ctx = ctx;
}

static void add_header(struct exchange *exchange, const char *name, const char *value)
{
	h2o_req_t *request = exchange->request;
	size_t n = strlen(name);
	char *lower = exchange_pool_text(exchange, name, n);

	h2o_strtolower(lower, n);
	h2o_add_header_by_str(&request->pool, &request->res.headers, lower, n, 1,
			      exchange_pool_text(exchange, name, n),
			      exchange_pool_text(exchange, value, strlen(value)), strlen(value));
}

void exchange_set_head(struct exchange *exchange, const struct exchange_answer *answer)
{
	exchange->request->res.status = answer->status;
	exchange->request->res.reason = http_reason(answer->status);
	if (answer->content_type != NULL)
		add_header(exchange, "Content-Type", answer->content_type);
	for (size_t i = 0; i < answer->n_headers; i++)
		add_header(exchange, answer->headers[i].name, answer->headers[i].value);
}

void exchange_answer(struct exchange *exchange, const struct exchange_answer *answer)
{
	h2o_req_t *request = exchange->request;
	h2o_iovec_t body = { NULL, 0 };
	bool bodiless = answer->body.n == 0 || strcmp(exchange->method, "HEAD") == 0;

	assert(exchange->state == EXCHANGE_HANDLING);
	exchange_leave_handler(exchange, EXCHANGE_SENDING);
	exchange_set_head(exchange, answer);
	/* Without a length h2o would close the connection; 204 must not have one. */
	if (answer->status != STATUS_NO_CONTENT)
		request->res.content_length = answer->body.n;
	if (!bodiless) {
		body.base = exchange_pool_text(exchange, answer->body.p, answer->body.n);
		body.len = answer->body.n;
	}
	h2o_start_response(request, &exchange->generator);
	h2o_send(request, &body, bodiless ? 0 : 1, H2O_SEND_STATE_FINAL);
}
