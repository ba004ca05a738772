/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "gateway/core/keeper.h"
#include "tokenstore/keyring.h"
#include "version.h"

#define HOST_BYTES 256

struct node {
	struct node_params params;
	char host[HOST_BYTES];
	char key_check[2 * SHA256_BYTES + 1];
	char deployment[UUID_TEXT_BYTES];
	struct db_op *settings; /* and what follows them: the row */
	struct db_op *beat;
	struct db_op *sweep;
	struct timer settings_timer;
	struct timer beat_timer;
	struct timer sweep_timer;
};

static const struct log_subject subject = { .component = "node" };

static void ask_settings(void *ctx);
static void beat(void *ctx);
static void sweep(void *ctx);

static void on_beat(void *ctx, const struct db_result *const *results, size_t n,
		    const struct err *err)
{
	struct node *node = ctx;

	(void)results;
	(void)n;
	if (err != NULL)
		log_debug(&subject, "no heartbeat: %s", err->text);
	timer_start(node->params.loop, &node->beat_timer, NODE_HEARTBEAT_MS, beat, node);
}

/* What the row is made of. Whoever has the home and the slot by now keeps them. */
#define INSERT_NODE                                                                                \
	"INSERT INTO tollgate.nodes (id, host, pid, slot, version, home, lease_until)"             \
	" VALUES ($1::uuid, $2, $3::int, $4::int, $5, $6::uuid,"                                   \
	" now() + make_interval(secs => $7::double precision / 1000))"
enum { N_NODE_PARAMS = 7 };

struct node_texts {
	char pid[24];
	char slot[24];
	char lease_ms[24];
};

static void node_row(const struct node *node, struct node_texts *texts,
		     struct span params[N_NODE_PARAMS])
{
	snprintf(texts->pid, sizeof(texts->pid), "%d", (int)getpid());
	snprintf(texts->slot, sizeof(texts->slot), "%u", node->params.slot);
	snprintf(texts->lease_ms, sizeof(texts->lease_ms), "%d", KEEPER_LEASE_MS);

	const struct span values[N_NODE_PARAMS] = {
		span_of(node->params.id), span_of(node->host),	     span_of(texts->pid),
		span_of(texts->slot),	  span_of(TOLLGATE_VERSION), span_of(node->params.home),
		span_of(texts->lease_ms),
	};

	memcpy(params, values, sizeof(values));
}

/* The row may have been swept while Postgres could not be reached. */
static void beat(void *ctx)
{
	struct node *node = ctx;
	struct span params[N_NODE_PARAMS];
	struct node_texts texts = { .pid = "" };

	node_row(node, &texts, params);

	const struct db_statement statements[] = {
		{INSERT_NODE " ON CONFLICT DO NOTHING",				 params, N_NODE_PARAMS},
		{ "UPDATE tollgate.nodes SET heartbeat_at = now() WHERE id = $1::uuid", params, 1		  },
	};
	const struct db_tx tx = { .statements = statements, .n_statements = 2 };

	db_start(node->params.db, &node->beat, &tx, on_beat, node);
}

static void on_swept(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	struct node *node = ctx;

	(void)results;
	(void)n;
	if (err != NULL)
		log_warn(&subject, "expired rows cannot be swept: %s", err->text);
	timer_start(node->params.loop, &node->sweep_timer, NODE_SWEEP_MS, sweep, node);
}

static void sweep(void *ctx)
{
	struct node *node = ctx;
	static const struct db_statement statements[] = {
		{ .sql = "SELECT tollgate.sweep_sessions()" },
		{ .sql = "DELETE FROM tollgate.nodes WHERE heartbeat_at < now() - interval '1 "
			 "hour'" },
		{ .sql = "SELECT audit.ensure_partitions(current_date - 1, current_date + 7)" },
	};
	const struct db_tx tx = { .statements = statements, .n_statements = 3 };

	db_start(node->params.db, &node->sweep, &tx, on_swept, node);
}

static void wait_for_postgres(struct node *node, const struct err *err)
{
	log_info(&subject, "waiting for Postgres: %s", err->text);
	timer_start(node->params.loop, &node->settings_timer, NODE_RETRY_MS, ask_settings, node);
}

static void on_joined(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct node *node = ctx;

	(void)results;
	(void)n;
	if (err != NULL) {
		wait_for_postgres(node, err);
		return;
	}
	timer_start(node->params.loop, &node->beat_timer, NODE_HEARTBEAT_MS, beat, node);
	if (node->params.slot == 0)
		sweep(node);
	node->params.known(node->params.ctx, node->deployment, NULL);
}

/* Who served this slot of the data directory before is dead, or is about to leave: what it has
 * watched is free from now on. That the lease of this one runs already leaves it its part. */
static void join(struct node *node)
{
	struct span params[N_NODE_PARAMS];
	struct node_texts texts = { .pid = "" };

	node_row(node, &texts, params);

	const struct span place[] = { params[5], params[3] };
	const struct db_statement statements[] = {
		{"DELETE FROM tollgate.nodes WHERE home = $1::uuid AND slot = $2::int", place,	2		  },
		{ INSERT_NODE,							  params, N_NODE_PARAMS},
	};
	const struct db_tx tx = { .statements = statements, .n_statements = 2 };

	db_start(node->params.db, &node->settings, &tx, on_joined, node);
}

static void refuse(struct node *node, enum err_code code, const char *why)
{
	struct err problem;

	err_set(&problem, code, "%s", why);
	node->params.known(node->params.ctx, NULL, &problem);
}

static void take_settings(struct node *node, const struct db_result *row)
{
	const char *deployment = db_text(row, 0, "deployment");
	const char *check = db_text(row, 0, "key_check");

	if (deployment == NULL) {
		refuse(node, ERR_INTERNAL,
		       "the database has no deployment_id: run tollgate migrate");
		return;
	}
	if (strcmp(check, node->key_check) != 0) {
		refuse(node, ERR_INTERNAL,
		       "keyring_file is not the keyring that this database's secrets are sealed "
		       "with");
		return;
	}
	snprintf(node->deployment, sizeof(node->deployment), "%s", deployment);
	join(node);
}

static void on_settings(void *ctx, const struct db_result *const *results, size_t n,
			const struct err *err)
{
	struct node *node = ctx;

	if (err == NULL) {
		assert(n == 1);
		take_settings(node, results[0]);
		return;
	}
	if (err->code == ERR_INTERNAL) {
		/* Postgres answers, but not as ours: 3F000 no schema, 42xxx no such function. */
		refuse(node, ERR_INTERNAL,
		       "the database is not ready for this gateway: run "
		       "tollgate migrate");
		return;
	}
	wait_for_postgres(node, err);
}

/* The first worker of a new deployment writes the check value; all others must match it. */
static void ask_settings(void *ctx)
{
	struct node *node = ctx;
	struct span check = span_of(node->key_check);

	db_query(node->params.db, &node->settings, NULL,
		 "SELECT tollgate.setting('deployment_id') AS deployment,"
		 " tollgate.put_setting('key_check', $1) AS key_check",
		 &check, 1, on_settings, node);
}

struct node *node_new(const struct node_params *params)
{
	struct node *node = mem_new(sizeof(*node));
	uint8_t check[SHA256_BYTES];

	node->params = *params;
	if (gethostname(node->host, sizeof(node->host) - 1) < 0)
		snprintf(node->host, sizeof(node->host), "unknown");
	keyring_check_value(params->keyring, check);
	hex_encode(check, sizeof(check), node->key_check);
	ask_settings(node);
	return node;
}

void node_free(struct node **node)
{
	struct node *was = *node;

	*node = NULL;
	if (was == NULL)
		return;
	timer_stop(&was->settings_timer);
	timer_stop(&was->beat_timer);
	timer_stop(&was->sweep_timer);
	db_cancel(&was->settings);
	db_cancel(&was->beat);
	db_cancel(&was->sweep);
	free(was);
}
