/* SPDX-License-Identifier: Apache-2.0 */

/* From a request that h2o has read to the handler of its route. */

#include <stdio.h>
#include <string.h>

#include "gateway/core/meters.h"
#include "gateway/http/framing.h"
#include "gateway/http/http_priv.h"
#include "gateway/http/problem.h"

#define ALLOW_MAX_BYTES 128

/* h2o keeps the head in front of the body until the request ends. */
static int check_framing(h2o_req_t *request, struct err *err)
{
	const h2o_buffer_t *input = connection_of(request)->socket->input;

	for (size_t i = 0; i < request->headers.size; i++) {
		if (request->headers.entries[i].name->len == 0)
			return err_set(err, ERR_BAD_REQUEST, "a header must not be folded");
	}
	if (memchr(request->path_normalized.base, '\0', request->path_normalized.len) != NULL)
		return err_set(err, ERR_BAD_REQUEST, "the path must not hold NUL");
	return framing_check((struct span){ input->bytes, input->size }, request->version & 0xff,
			     err);
}

/* HEAD is GET without a body, unless a row of its own says otherwise. */
static const struct route *find_route(struct exchange *exchange, struct span path)
{
	const struct route *head = NULL;
	struct route_params params;

	for (const struct route *at = exchange->server->params.routes; at->method != NULL; at++) {
		if ((at->listeners & (1U << exchange->kind)) == 0 ||
		    !route_match(at->pattern, path, &params))
			continue;
		if (strcmp(at->method, exchange->method) == 0) {
			exchange->params = params;
			return at;
		}
		if (strcmp(at->method, "GET") == 0 && strcmp(exchange->method, "HEAD") == 0) {
			exchange->params = params;
			head = at;
		}
	}
	return head;
}

/* The methods that the path has, or NULL if there is no such path. */
static const char *list_methods(const struct exchange *exchange, struct span path,
				char list[ALLOW_MAX_BYTES])
{
	struct route_params params;
	size_t n = 0;

	for (const struct route *at = exchange->server->params.routes; at->method != NULL; at++) {
		if ((at->listeners & (1U << exchange->kind)) == 0 ||
		    !route_match(at->pattern, path, &params))
			continue;
		n += (size_t)snprintf(list + n, ALLOW_MAX_BYTES - n, "%s%s", n > 0 ? ", " : "",
				      at->method);
		if (n >= ALLOW_MAX_BYTES)
			break;
	}
	return n > 0 ? list : NULL;
}

static void run_handler(struct exchange *exchange)
{
	h2o_iovec_t normal = exchange->request->path_normalized;
	struct span path = { normal.base, normal.len };
	const struct route *route = find_route(exchange, path);
	char allow[ALLOW_MAX_BYTES];

	for (size_t i = 0; i < exchange->params.n; i++) {
		struct span *value = &exchange->params.all[i].value;

		value->p = exchange_pool_text(exchange, value->p, value->n);
	}
	if (route != NULL)
		route->handle(exchange);
	else
		exchange->server->params.unrouted(exchange, list_methods(exchange, path, allow));
}

int dispatch_request(h2o_handler_t *self, h2o_req_t *request)
{
	struct exchange *exchange =
		exchange_new(connection_of(request), (struct dispatcher *)self, request);
	struct err err;

	if (exchange->server->state == SERVER_DRAINING)
		request->http1_is_persistent = 0;
	/* The answer may free the request, and h2o may start the next, before this returns. */
	exchange->refs++;
	if (check_framing(request, &err) < 0) {
		meter_count(exchange->server->params.meter, METER_HTTP_REFUSED,
			    (const char *const[]){ "framing" }, 1);
		request->http1_is_persistent = 0;
		problem_answer(exchange, &err);
	} else {
		run_handler(exchange);
	}
	exchange_watch(exchange);
	exchange_unref(exchange);
	return 0;
}
