/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_PROBE_PRIV_H
#define GATEWAY_UPSTREAM_PROBE_PRIV_H

/* What the two files of probing share. */

#include "base/buf.h"
#include "gateway/core/probe.h"
#include "gateway/upstream/upstream_priv.h"

enum probe_step {
	PROBE_DISCOVER,
	PROBE_INITIALIZE,
	PROBE_INITIALIZED,
	PROBE_LIST,
	PROBE_END, /* DELETE, if there is a session */
	PROBE_DONE,
};

struct probe {
	struct probe **slot; /* NULL: nobody waits for the report any more */
	struct probe *prev, *next;
	struct probes *probes;
	struct http_client *client; /* its own, so that its connections go with it */
	struct tenant *tenant;
	struct connection connection;
	struct arena *arena;
	enum probe_step step;
	bool answered; /* the message that the step waits for has come */
	int64_t id;
	int64_t began_ms; /* the opening, then the listing */
	struct peer_terms terms;
	struct buf body;
	struct buf names;
	struct buf cursor; /* of the next page; empty: none */
	size_t n_pages;
	struct post *post;
	struct timer deadline;
	struct deferred deferred;
	struct probe_report report;
	struct err problem;
	probe_done *done;
	void *ctx;
};

struct probes {
	struct loop *loop;
	struct probe *running;
};

/* probe.c: its life. Nothing more is asked of the server but to end the session; err NULL: it has
 * answered everything. */
void probe_conclude(struct probe *probe, const struct err *err);
/* The report is given from the loop. */
void probe_complete(struct probe *probe);
/* Since the last time that it was asked, or the start. */
int64_t probe_elapsed(struct probe *probe);

/* probe_ask.c: its dialogue. */
void probe_run_step(struct probe *probe, enum probe_step step);

#endif
