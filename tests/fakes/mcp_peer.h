/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_MCP_PEER_H
#define FAKES_MCP_PEER_H

/*
 * An upstream MCP server in the test's own loop. For each method of JSON-RPC it has a list of
 * answers, given one after the other, the last one again and again; a method without any gets
 * HTTP 404. In a body, $ID stands for the id of the request that is answered.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/loop.h"

enum mcp_act {
	MCP_ANSWER, /* with Content-Length */
	MCP_STREAM, /* head and body, and no end: see mcp_peer_say, mcp_peer_end */
	MCP_HOLD,   /* nothing at all */
	MCP_CLOSE,  /* the connection, without a word */
};

struct mcp_reply {
	enum mcp_act act;
	int status;
	const char *type;    /* of the content; NULL: none is said */
	const char *session; /* Mcp-Session-Id, or NULL */
	const char *body;    /* "" or NULL: empty */
	size_t padding;	     /* so many spaces behind the body */
};

/* A request as it came. */
struct mcp_seen {
	char *head; /* with the request line, in lower case */
	char *body;
	char method[64]; /* "" for a response; that of HTTP for a request without a body */
	char id[32];	 /* JSON, or "" */
};

struct mcp_peer;
/* On a free port of 127.0.0.1. */
struct mcp_peer *mcp_peer_start(struct loop *loop);
void mcp_peer_stop(struct mcp_peer **peer);
uint16_t mcp_peer_port(const struct mcp_peer *peer);

/* Replaces what was said of the method. Borrows the replies. */
void mcp_peer_on(struct mcp_peer *peer, const char *method, const struct mcp_reply *replies,
		 size_t n);
#define MCP_ON(peer, method, ...)                                                                  \
	do {                                                                                       \
		static const struct mcp_reply replies_[] = { __VA_ARGS__ };                        \
		mcp_peer_on(peer, method, replies_, sizeof(replies_) / sizeof(replies_[0]));       \
	} while (0)

size_t mcp_peer_n(const struct mcp_peer *peer); /* requests so far */
const struct mcp_seen *mcp_peer_seen(const struct mcp_peer *peer, size_t i);
/* How many of that method, and the i-th of them. */
size_t mcp_peer_count(const struct mcp_peer *peer, const char *method);
const struct mcp_seen *mcp_peer_find(const struct mcp_peer *peer, const char *method, size_t i);
size_t mcp_peer_connections(const struct mcp_peer *peer); /* accepted so far */
size_t mcp_peer_left(const struct mcp_peer *peer);	  /* closed by the other side */

/* More of the stream that was begun last, with $ID as in it; and its end. */
void mcp_peer_say(struct mcp_peer *peer, const char *text);
void mcp_peer_end(struct mcp_peer *peer);

#endif
