/* SPDX-License-Identifier: Apache-2.0 */

/* What is answered while nothing that is sealed can be opened, and no key be checked. */

#include <string.h>

#include "base/metrics.h"
#include "gateway/core/mcp.h"
#include "gateway/core/meters.h"
#include "gateway/http/app.h"
#include "gateway/http/mcp_answer.h"
#include "gateway/http/ops.h"
#include "gateway/http/problem.h"

#define OPS	      (1U << LISTENER_OPS)
#define RETRY_AFTER_S 5
#define RETRY_AFTER   "5"
#define MESSAGE	      "the gateway is sealed: its operator has to give it its keyring back"

const struct route http_sealed_routes[] = {
	{OPS,  "GET", "/livez",	ops_livez  },
	{ OPS, "GET", "/healthz", ops_livez  },
	{ OPS, "GET", "/readyz",	 ops_readyz },
	{ OPS, "GET", "/metrics", ops_metrics},
	{ 0,   NULL,  NULL,	 NULL	      },
};

static bool is_mcp_path(const char *path)
{
	static const char end[] = "/mcp";
	size_t n = strcspn(path, "?");

	return n >= sizeof(end) - 1 &&
	       memcmp(path + n - (sizeof(end) - 1), end, sizeof(end) - 1) == 0;
}

/* Nobody is known, so nothing is written in the book; the refusals are counted. */
void http_sealed(struct exchange *exchange, const char *allow)
{
	const struct http_app *app = exchange_app(exchange);
	const struct http_header retry = { "Retry-After", RETRY_AFTER };

	(void)allow;
	meter_count(app->meter, METER_HTTP_REFUSED, (const char *const[]){ "sealed" }, 1);
	if (is_mcp_path(exchange_path(exchange)))
		mcp_fail(exchange, &(struct mcp_failure){
					   .status = 503,
					   .rpc_code = RPC_SERVER_ERROR,
					   .message = "Unavailable: " MESSAGE,
					   .retry_after_s = RETRY_AFTER_S,
				   });
	else
		problem_answer_with(exchange, 503, "sealed", MESSAGE, &retry, 1);
}
