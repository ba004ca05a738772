/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_WORKER_PRIV_H
#define GATEWAY_APP_WORKER_PRIV_H

/* What the files of the worker share: worker.c (its life), worker_wire.c (what it consists of, and
 * who tells whom). */

#include "audit/book.h"
#include "base/crypto.h"
#include "gateway/app/worker.h"
#include "gateway/core/call.h"
#include "gateway/core/tracing.h"
#include "gateway/http/app.h"

enum worker_state {
	WORKER_STARTING, /* the deployment's settings are read */
	WORKER_SEALED,	 /* the right keyring is waited for; what is served is that */
	WORKER_SERVING,
	WORKER_DRAINING, /* no new connections; calls finish */
	WORKER_FLUSHING, /* the last rows go to Postgres */
};

struct worker {
	const struct worker_params *params;
	enum worker_state state;
	struct loop *loop;
	struct key_holder *keys;
	struct db *db;
	struct db *drain_db;
	struct db *audit_db; /* reads the record for the admin API */
	struct audit_streams *audit_streams;
	struct node *node;
	struct event_sealer *event_sealer; /* of slot 0 */
	struct retention *retention;	   /* likewise */
	struct meter *meter;
	struct anchor_sink *anchors;
	struct spools *spools;
	struct pulse *pulse;
	struct identity *identity;
	struct tenants *tenants;
	struct sessions *sessions;
	struct cancels *cancels;
	struct subscriptions *subscriptions;
	struct upstreams *upstreams;
	struct healths *healths;
	struct probes *probes;
	struct keeper *keeper;
	struct tokens *tokens;
	struct browsers *browsers;
	struct attempts *attempts;
	struct call_flood *flood;
	struct connects *connects;
	struct tracing tracing;
	struct tool_labels *tool_labels;
	struct otlp_flush *spans;
	struct gate gate;
	struct http_app app;
	struct http_server *server;
	struct loop_signal signals;
	struct timer drain_timer;
	struct book_flush *flush;
	int n_leaving; /* what has to be done before it may end; from DRAINING on */
	char node_id[UUID_TEXT_BYTES];
	char home[UUID_TEXT_BYTES];
	const char **hosts; /* for http_app: in the configuration's arena */
	size_t n_hosts;
	int exit_code;
};

/* Before anything is served, sealed or not. */
void worker_open_app(struct worker *worker);
/* Once it is known whom it serves. */
int worker_wire(struct worker *worker, const char *deployment, struct err *err) MUST_CHECK;

#endif
