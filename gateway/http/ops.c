/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/ops.h"

#include "base/db.h"
#include "gateway/http/app.h"

void ops_livez(struct exchange *exchange)
{
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 200,
					  .content_type = "text/plain; charset=utf-8",
					  .body = SPAN("ok"),
				  });
}

void ops_readyz(struct exchange *exchange)
{
	const struct http_app *app = exchange_app(exchange);
	struct exchange_answer answer = {
		.status = 503,
		.content_type = "application/json",
	};

	if (app->draining) {
		answer.body = SPAN("{\"status\":\"draining\"}");
	} else if (!db_up(app->db)) {
		answer.body = SPAN("{\"status\":\"database unreachable\"}");
	} else {
		answer.status = 200;
		answer.body = SPAN("{\"status\":\"ready\"}");
	}
	exchange_answer(exchange, &answer);
}
