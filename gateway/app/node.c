/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/node.h"

#include <assert.h>
#include <inttypes.h>
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

#define HOST_BYTES    256
#define KEY_IDS_BYTES (KEYRING_MAX_KEYS * 11 + 3)

struct node {
	struct node_params params;
	char host[HOST_BYTES];
	char key_check[2 * SHA256_BYTES + 1];
	char deployment[UUID_TEXT_BYTES];
	struct db_op *settings; /* and what follows them: the row */
	struct db_op *beat;
	bool beat_again; /* the keys have changed since it began */
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
	if (node->beat_again) {
		node->beat_again = false;
		beat(node);
		return;
	}
	timer_start(node->params.loop, &node->beat_timer, NODE_HEARTBEAT_MS, beat, node);
}

/* What the row is made of. Whoever has the home and the slot by now keeps them. */
#define INSERT_NODE                                                                                \
	"INSERT INTO tollgate.nodes (id, host, pid, slot, version, home, lease_until, key_ids,"    \
	" primary_key_id) VALUES ($1::uuid, $2, $3::int, $4::int, $5, $6::uuid,"                   \
	" now() + make_interval(secs => $7::double precision / 1000), $8::bigint[], $9::bigint)"
enum { N_NODE_PARAMS = 9 };

struct node_texts {
	char pid[24];
	char slot[24];
	char lease_ms[24];
	char key_ids[KEY_IDS_BYTES];
	char primary[24];
};

/* As Postgres writes an array. */
static void key_texts(const struct keyring *keyring, struct node_texts *texts)
{
	uint32_t ids[KEYRING_MAX_KEYS];
	size_t n = keyring_ids(keyring, ids);
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(texts->key_ids + at, sizeof(texts->key_ids) - at,
				       "%c%" PRIu32, i == 0 ? '{' : ',', ids[i]);
	snprintf(texts->key_ids + at, sizeof(texts->key_ids) - at, "}");
	snprintf(texts->primary, sizeof(texts->primary), "%" PRIu32, keyring_primary(keyring));
}

static void node_row(const struct node *node, struct node_texts *texts,
		     struct span params[N_NODE_PARAMS])
{
	snprintf(texts->pid, sizeof(texts->pid), "%d", (int)getpid());
	snprintf(texts->slot, sizeof(texts->slot), "%u", node->params.slot);
	snprintf(texts->lease_ms, sizeof(texts->lease_ms), "%d", KEEPER_LEASE_MS);
	key_texts(node->params.keyring, texts);

	const struct span values[N_NODE_PARAMS] = {
		span_of(node->params.id), span_of(node->host),	     span_of(texts->pid),
		span_of(texts->slot),	  span_of(TOLLGATE_VERSION), span_of(node->params.home),
		span_of(texts->lease_ms), span_of(texts->key_ids),   span_of(texts->primary),
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

	const struct span state[] = { params[0], params[7], params[8] };
	const struct db_statement statements[] = {
		{INSERT_NODE " ON CONFLICT DO NOTHING",				 params, N_NODE_PARAMS},
		{ "UPDATE tollgate.nodes SET heartbeat_at = now(), key_ids = $2::bigint[],"
		  " primary_key_id = $3::bigint WHERE id = $1::uuid", state,	 3		   },
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
	if (node->params.keyring == NULL && check == NULL && !db_bool(row, 0, "used")) {
		refuse(node, ERR_INTERNAL,
		       "keyring_file cannot be used, and the database has none yet: tollgate "
		       "keyring create makes one");
		return;
	}
	if (node->params.keyring == NULL || strcmp(check, node->key_check) != 0) {
		node->params.sealed(node->params.ctx, node->params.keyring == NULL
							      ? SEAL_NO_KEYRING
							      : SEAL_OTHER_KEYRING);
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

/* The first worker of a new deployment writes the check value; all others must match it. Without
 * a keyring only what is there is asked. */
static void ask_settings(void *ctx)
{
	struct node *node = ctx;
	struct span check = span_of(node->params.keyring != NULL ? node->key_check : NULL);

	db_query(node->params.db, &node->settings, NULL,
		 "SELECT tollgate.setting('deployment_id') AS deployment,"
		 " CASE WHEN $1::text IS NULL THEN tollgate.setting('key_check')"
		 " ELSE tollgate.put_setting('key_check', $1::text) END AS key_check,"
		 " EXISTS (SELECT FROM tollgate.list_tenants()) AS used",
		 &check, 1, on_settings, node);
}

struct node *node_new(const struct node_params *params)
{
	struct node *node = mem_new(sizeof(*node));

	node->params = *params;
	if (gethostname(node->host, sizeof(node->host) - 1) < 0)
		snprintf(node->host, sizeof(node->host), "unknown");
	node_use_keyring(node, params->keyring);
	return node;
}

void node_use_keyring(struct node *node, const struct keyring *keyring)
{
	uint8_t check[SHA256_BYTES];

	node->params.keyring = keyring;
	if (keyring != NULL) {
		keyring_check_value(keyring, check);
		hex_encode(check, sizeof(check), node->key_check);
	}
	timer_stop(&node->settings_timer);
	db_cancel(&node->settings);
	ask_settings(node);
}

/* Before it has joined there is no row, and the one that it will have says it. */
void node_keys_changed(struct node *node)
{
	if (node->beat != NULL) {
		node->beat_again = true;
	} else if (node->beat_timer.loop != NULL) {
		timer_stop(&node->beat_timer);
		beat(node);
	}
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
