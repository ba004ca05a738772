/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_CONNECTION_ROW_H
#define GATEWAY_HTTP_API_CONNECTION_ROW_H

/*
 * From the body of a connection to the row that will be stored.
 *
 * A sealed value opens in its own row and version only, so what a change keeps is opened here, to
 * be sealed anew.
 */

#include "gateway/http/api.h"

/* request->tenant is set. row is what the body replaces, with its sealed columns; NULL: nothing.
 * All in *out lies in the request's arena, in the row or in the body; its secrets are plain. */
int connection_row_fill(struct api_request *request, const struct db_result *row,
			const json_t *body, struct connection_row *out,
			struct api_fault *fault) MUST_CHECK;

#endif
