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
#include "tokenstore/keyring.h"
#include "version.h"

#define HOST_BYTES 256

struct node {
	struct node_params params;
	char host[HOST_BYTES];
	char key_check[2 * SHA256_BYTES + 1];
	char deployment[UUID_TEXT_BYTES];
	struct db_op *settings;
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

static void beat(void *ctx)
{
	struct node *node = ctx;
	char pid[24];
	char slot[24];

	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	snprintf(slot, sizeof(slot), "%u", node->params.slot);

	const struct span params[] = {
		span_of(node->params.id),  span_of(node->host), span_of(pid), span_of(slot),
		span_of(TOLLGATE_VERSION),
	};

	db_query(node->params.db, &node->beat, NULL,
		 "INSERT INTO tollgate.nodes (id, host, pid, slot, version)"
		 " VALUES ($1::uuid, $2, $3::int, $4::int, $5)"
		 " ON CONFLICT (id) DO UPDATE SET heartbeat_at = now()",
		 params, sizeof(params) / sizeof(params[0]), on_beat, node);
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
	beat(node);
	if (node->params.slot == 0)
		sweep(node);
	node->params.known(node->params.ctx, node->deployment, NULL);
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
	log_info(&subject, "waiting for Postgres: %s", err->text);
	timer_start(node->params.loop, &node->settings_timer, NODE_RETRY_MS, ask_settings, node);
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
