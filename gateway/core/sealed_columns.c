/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/sealed_columns.h"

#define OF_CONNECTION(column)                                                                      \
	{ "connections", column, "connections", "id::text", "version" },                           \
	{                                                                                          \
		"serving_connections", column, "connections", "connection_id::text", "version"     \
	}

/* What serves while an edit is tried out was sealed as the connection that it was. A registration
 * is written once. */
const struct sealed_column sealed_columns[] = {
	OF_CONNECTION("credential"),
	OF_CONNECTION("headers"),
	OF_CONNECTION("oauth_secret"),
	{"grants",	    "access_token",  "grants",	      "id::text", "version"},
	{ "grants",	    "refresh_token", "grants",	       "id::text", "version"},
	{ "grants",	    "client_secret", "grants",	       "id::text", "version"},
	{ "upstream_clients", "client_secret", "upstream_clients", "id::text", "1"	   },
	{ "connect_attempts", "client_secret", "connect_attempts", "id::text", "tries"  },
	{ "connect_attempts", "verifier",	  "connect_attempts", "id::text", "tries"  },
	{ "connect_attempts", "held",	      "connect_attempts", "id::text", "tries"  },
};
const size_t n_sealed_columns = sizeof(sealed_columns) / sizeof(sealed_columns[0]);
