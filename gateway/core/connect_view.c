/* SPDX-License-Identifier: Apache-2.0 */

/* How an attempt stands, for whoever is to see it. */

#include <string.h>

#include "gateway/core/connect_priv.h"

static const char *host_of(struct connect_op *op, const char *url)
{
	const char *origin = url != NULL ? connect_origin(op->arena, url) : NULL;

	return origin != NULL ? strstr(origin, "://") + 3 : NULL;
}

void connect_compose_view(struct connect_op *op, struct connect_view *view)
{
	const struct attempt *attempt = &op->attempt;
	bool found = attempt->id[0] != '\0';

	*view = (struct connect_view){
		.attempt_id = found ? attempt->id : NULL,
		.state = attempt->state,
		.error = attempt->error,
		.error_text = attempt->error_text,
		.tools_count = attempt->tools_count,
	};
	if (op->failure != CONNECT_NO_ERROR) {
		view->state = CONNECT_FAILED;
		view->error = op->failure;
		view->error_text = op->failure_text;
	}
	/* It may be somebody else's, or not even be known whose it is. */
	if (!found || view->error == CONNECT_WRONG_USER || view->error == CONNECT_STATE_MISMATCH)
		return;
	view->connection = attempt->connection;
	view->upstream_host = host_of(op, attempt->upstream);
	view->issuer_host = host_of(op, connect_issuer_of(&attempt->server));
	view->redirect_host = host_of(op, op->connects->params.public_url);
	view->authorize_origin =
		attempt->server.authorization_url != NULL
			? connect_origin(op->arena, attempt->server.authorization_url)
			: NULL;
	view->scope = attempt->asked_scope;
	view->shared = attempt->subject[0] == '\0';
	view->user = op->principal != NULL ? op->principal->user_name : NULL;
	view->tenant = op->principal != NULL ? op->principal->tenant : NULL;
	view->account = attempt->account;
	view->former_account = attempt->former_account;
}
