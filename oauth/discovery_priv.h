/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OAUTH_DISCOVERY_PRIV_H
#define OAUTH_DISCOVERY_PRIV_H

/* The state of one discovery, and what an answer makes of it. Private to oauth/discovery*.c. */

#include "oauth/challenge.h"
#include "oauth/discovery.h"
#include "oauth/fetch.h"
#include "oauth/well_known.h"

/* What is being asked for. */
enum stage {
	STAGE_PROBE,	/* the resource itself, for its challenge */
	STAGE_AGAIN,	/* the same, by the second body */
	STAGE_RESOURCE, /* RFC 9728 */
	STAGE_SERVER,	/* RFC 8414 */
	STAGE_FOUND,
};

struct discovery {
	struct discovery **slot;
	struct http_client *client;
	struct egress_policy *egress;
	struct arena *arena;
	const char *resource_url;
	const char *pinned;		   /* issuer, or NULL */
	struct span second_probe_body;	   /* absent once it is sent */
	struct http_header *probe_headers; /* in the arena */
	size_t n_probe_headers;
	bool allow_http;
	enum oauth_grant grant;
	int64_t timeout_ms;
	enum stage stage;
	struct well_known candidates;
	size_t at;    /* of the candidates */
	bool named;   /* the candidate was named to us: it is the one, or there is none */
	bool assumed; /* no RFC 9728 document and no pin: the issuer is the resource's origin */
	struct challenge challenge;
	struct oauth_server server;
	const char *issuer;
	const char *resource;
	const char *scope;
	struct fetch *fetch;
	struct timer timer;
	struct deferred turn;
	struct err failure;
	discovery_done *done;
	void *ctx;
};

/* With the challenge that was given (absent: none) to the documents of the resource. */
int discovery_begin(struct discovery *discovery, struct span challenge, struct err *err) MUST_CHECK;
/* Moves on by what came: to STAGE_FOUND, or to the next candidate. -1: the search ends. */
int discovery_read(struct discovery *discovery, const struct fetch_answer *answer,
		   struct err *err) MUST_CHECK;

#endif
