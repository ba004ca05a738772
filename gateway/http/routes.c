/* SPDX-License-Identifier: Apache-2.0 */

/* Every URL that the gateway answers. Reading this table is reading the surface. */

#include "gateway/http/api.h"
#include "gateway/http/app.h"
#include "gateway/http/connect_pages.h"
#include "gateway/http/cors.h"
#include "gateway/http/mcp_http.h"
#include "gateway/http/ops.h"
#include "gateway/http/page.h"
#include "gateway/http/problem.h"
#include "gateway/http/signin.h"

#define PUBLIC	(1U << LISTENER_PUBLIC)
#define CLIENTS (1U << LISTENER_PUBLIC | 1U << LISTENER_KEY)
#define OPS	(1U << LISTENER_OPS)

#define MCP_PATH(pattern)                                                                          \
	{ CLIENTS, "POST", pattern, mcp_post }, { CLIENTS, "DELETE", pattern, mcp_delete },        \
		{ CLIENTS, "GET", pattern, mcp_get },                                              \
	{                                                                                          \
		CLIENTS, "OPTIONS", pattern, cors_preflight                                        \
	}

/* The admin API stands in its own table, api.h. */
#define API_PATH_DEPLOYMENT(method, path) { PUBLIC, method, API_PREFIX path, api_handle },
#define API_PATH_TENANT(method, path)                                                              \
	API_PATH_DEPLOYMENT(method, path) API_PATH_DEPLOYMENT(method, "/tenants/{tenant}" path)
#define API_PATH(scope, method, path, who, name) API_PATH_##scope(method, path)

const struct route http_routes[] = {
	MCP_PATH("/mcp"),
	MCP_PATH("/t/{tenant}/mcp"),
	MCP_PATH("/c/{connection}/mcp"),
	MCP_PATH("/t/{tenant}/c/{connection}/mcp"),

	{OPS,     "GET",  "/livez",				ops_livez		  },
	{ OPS,    "GET",  "/healthz",			  ops_livez	    },
	{ OPS,    "GET",  "/readyz",			 ops_readyz	    },
	{ OPS,    "GET",  "/metrics",			  ops_metrics	      },

	{ PUBLIC, "GET",	 "/signin",			    signin_page		},
	{ PUBLIC, "POST", "/signin",			     signin_post		 },
	{ PUBLIC, "POST", "/signout",			      signout_post	   },
	{ PUBLIC, "GET",	 "/connect/style.css",	       page_style		  },
	{ PUBLIC, "GET",	 "/connect/connect.js",		page_script	    },
	{ PUBLIC, "GET",	 "/connect/failed/{code}",	   connect_page_failed  },
	{ PUBLIC, "GET",	 "/connect/{attempt}",	       connect_page_get	},
	{ PUBLIC, "POST", "/connect/{attempt}",		connect_page_post	  },
	{ PUBLIC, "GET",	 "/connect/{attempt}/done",	    connect_page_done    },
	{ PUBLIC, "GET",	 "/oauth/callback/{issuer}",	     connect_page_callback},
	{ PUBLIC, "GET",	 "/oauth/client-metadata/{issuer}", connect_page_metadata},

	API_ROUTES(API_PATH)

		{ 0,	     NULL,   NULL,				 NULL		      },
};

void http_unrouted(struct exchange *exchange, const char *allow)
{
	const struct http_header header = { "Allow", allow };

	if (allow == NULL)
		problem_answer_with(exchange, 404, "not_found", "there is nothing at this path",
				    NULL, 0);
	else
		problem_answer_with(exchange, 405, "method_not_allowed",
				    "this path does not have that method", &header, 1);
}
