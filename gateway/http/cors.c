/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/cors.h"

#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text.h"
#include "gateway/http/guard.h"
#include "gateway/http/problem.h"

#define ALLOWED_METHODS "GET, POST, DELETE"
#define ALLOWED_HEADERS                                                                            \
	"Authorization, X-API-Key, Content-Type, Accept, Mcp-Session-Id, MCP-Protocol-Version, "   \
	"Mcp-Method, Mcp-Name, Last-Event-ID"
#define EXPOSED_HEADERS                                                                            \
	"Mcp-Session-Id, MCP-Protocol-Version, WWW-Authenticate, Retry-After, Tollgate-Call-Id"
/* Tools may define headers of this kind: they are allowed as they are asked for. */
#define PARAM_PREFIX	  "mcp-param-"
#define LIST_MAX_BYTES	  4096
#define PREFLIGHT_SECONDS "600"

size_t cors_headers(const char *origin, struct http_header out[CORS_MAX_HEADERS])
{
	if (origin == NULL)
		return 0;
	out[0] = (struct http_header){ "Access-Control-Allow-Origin", origin };
	out[1] = (struct http_header){ "Access-Control-Expose-Headers", EXPOSED_HEADERS };
	out[2] = (struct http_header){ "Vary", "Origin" };
	return CORS_MAX_HEADERS;
}

static void add_param_header(struct buf *list, const char *p, size_t n)
{
	char name[128];

	if (n >= sizeof(name) || strncasecmp(p, PARAM_PREFIX, strlen(PARAM_PREFIX)) != 0)
		return;
	memcpy(name, p, n);
	name[n] = '\0';
	if (text_is_token(name))
		buf_printf(list, ", %s", name);
}

static void list_headers(const char *requested, struct buf *list)
{
	buf_add(list, ALLOWED_HEADERS);
	while (requested != NULL && *requested != '\0') {
		size_t n = strcspn(requested, ", \t");

		add_param_header(list, requested, n);
		requested += n;
		requested += strspn(requested, ", \t");
	}
}

void cors_preflight(struct exchange *exchange)
{
	const char *origin = exchange_header(exchange, "origin");
	struct buf list;

	if (!guard_host(exchange_app(exchange), exchange_header(exchange, "host")) ||
	    origin == NULL || !guard_origin(exchange_app(exchange), origin)) {
		problem_answer(exchange, &(struct err){ .code = ERR_FORBIDDEN,
							.text = "this origin is not served" });
		return;
	}
	buf_init(&list, LIST_MAX_BYTES);
	list_headers(exchange_header(exchange, "access-control-request-headers"), &list);
	const struct http_header headers[] = {
		{"Access-Control-Allow-Origin",	 origin		},
		{ "Access-Control-Allow-Methods", ALLOWED_METHODS  },
		{ "Access-Control-Allow-Headers", buf_str(&list)	 },
		{ "Access-Control-Max-Age",	    PREFLIGHT_SECONDS},
		{ "Vary",			  "Origin"	   },
	};
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 204,
					  .headers = headers,
					  .n_headers = sizeof(headers) / sizeof(headers[0]),
				  });
	buf_fini(&list);
}
