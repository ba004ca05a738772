/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_H
#define GATEWAY_APP_SAMPLE_H

/*
 * What the sample upstreams of `tollgate dev` share: a process that serves MCP of both eras at
 * /mcp. Each brings its tools, further routes, and its own idea of who may come in.
 *
 * sample.c is the process, sample_mcp.c reads requests and answers them.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/crypto.h"
#include "base/loop.h"
#include "base/mem.h"
#include "gateway/core/mcp.h"
#include "gateway/http/app.h"
#include "gateway/http/exchange.h"

#define SAMPLE_MAX_SESSIONS 256
#define SAMPLE_MAX_ANSWER   ((size_t)16 * 1024 * 1024) /* an id may be as large as a request */

struct sample;

/* One POST to /mcp. */
struct sample_request {
	struct sample *sample;
	struct exchange *exchange;
	struct arena *arena;	/* freed when the tool returns, unless it takes it and sets NULL */
	struct mcp_request mcp; /* lies in the exchange and the arena */
	const char *session;	/* legacy: as sent */
};

struct sample_tool {
	const char *name;
	/* Answers, now or later. arguments: an object or absent. */
	void (*call)(struct sample_request *request, struct span arguments);
};

struct sample_kind {
	const char *name;	 /* of log lines */
	const char *server_info; /* JSON object */
	const char *about;	 /* members: capabilities, instructions */
	const char *tools_list;	 /* member: tools */
	const struct sample_tool *tools;
	size_t n_tools;
	const char *no_tool; /* told to who calls another one */
	const struct route *routes;
	const char *nowhere; /* told to who asks for another path */
	/* False: may not come in, and has been answered. NULL: all may. */
	bool (*admit)(struct exchange *exchange);
	/* A legacy client no longer wants the answer to that request (raw JSON). NULL: too bad. */
	void (*cancel)(struct sample *sample, const char *session, struct span id);
};

/* What exchange_app gives. */
struct sample {
	struct http_app app; /* for guard_host: loopback names only */
	struct loop *loop;
	const struct sample_kind *kind;
	void *own; /* of the kind */
	/* Legacy sessions; the oldest makes room. "": free. */
	char sessions[SAMPLE_MAX_SESSIONS][UUID_TEXT_BYTES];
	size_t next_session;
};

/* Serves the listening socket until SIGTERM; whoever waits for an answer then is dropped
 * (exchange_on_gone). Returns an exit code. */
int sample_run(const struct sample_kind *kind, void *own, int listen_fd);

/* Handlers for the routes of a kind. */
#define SAMPLE_PUBLIC (1U << LISTENER_PUBLIC)
void sample_post(struct exchange *exchange);
void sample_get(struct exchange *exchange);
void sample_delete(struct exchange *exchange);

/* False: from a host or an origin that is not served; has been answered. */
bool sample_is_served(struct exchange *exchange);

void sample_answer_text(const struct sample_request *request, const char *text, bool is_error);
/* A whole result: members stand between the braces; the modern era's own are added. */
void sample_write_result(const struct sample_request *request, const char *members,
			 struct buf *out);
/* The members of a tool's result that is one text. */
char *sample_text_members(struct arena *arena, const char *text, bool is_error);

#endif
