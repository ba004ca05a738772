/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/sealed_columns.h"

/* What serves while an edit is tried out was sealed as the connection that it was. */
const struct sealed_column sealed_columns[] = {
	{"connections",		 "credential", "connections", "id::text",		  "version"},
	{ "connections",	 "headers",    "connections", "id::text",	       "version"},
	{ "serving_connections", "credential", "connections", "connection_id::text", "version"},
	{ "serving_connections", "headers",    "connections", "connection_id::text", "version"},
};
const size_t n_sealed_columns = sizeof(sealed_columns) / sizeof(sealed_columns[0]);
