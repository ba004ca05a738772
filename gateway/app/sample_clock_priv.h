/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_SAMPLE_CLOCK_PRIV_H
#define GATEWAY_APP_SAMPLE_CLOCK_PRIV_H

/* What the files of the sample upstream share: sample_clock.c (the process), sample_clock_mcp.c
 * (requests and their answers), sample_clock_nap.c (the tool `sleep` while it runs). */

#include <stdbool.h>

#include "base/crypto.h"
#include "base/loop.h"
#include "base/mem.h"
#include "gateway/core/mcp.h"
#include "gateway/http/app.h"
#include "gateway/http/exchange.h"

#define CLOCK_MAX_SESSIONS 256
#define CLOCK_MAX_SLEEP_MS 60000

struct nap;

struct clock {
	struct http_app app; /* for guard_host: loopback names only */
	struct loop *loop;
	struct nap *naps;
	/* Legacy sessions; the oldest makes room. "": free. */
	char sessions[CLOCK_MAX_SESSIONS][UUID_TEXT_BYTES];
	size_t next_session;
};

/* One POST. */
struct clock_request {
	struct clock *clock;
	struct exchange *exchange;
	struct arena *arena;
	struct mcp_request mcp; /* lies in the exchange and the arena */
	const char *session;	/* legacy: as sent */
};

void clock_post(struct exchange *exchange);
void clock_get(struct exchange *exchange);
void clock_delete(struct exchange *exchange);

/* A whole result: members stand between the braces; the modern era's own are added. */
void clock_write_result(const struct mcp_request *request, const char *members, struct buf *out);
/* The members of a tool's result that is one text. */
char *clock_text_members(struct arena *arena, const char *text, bool is_error);

/* Answers with a stream, later. Takes the request's arena. */
void nap_start(const struct clock_request *request, int64_t ms);
/* Ends the one of that session and request id (raw JSON) without an answer. */
void nap_cancel(struct clock *clock, const char *session, struct span id);

#endif
