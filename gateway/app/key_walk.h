/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_KEY_WALK_H
#define GATEWAY_APP_KEY_WALK_H

/*
 * Data keys and sealed values of every tenant, as `tollgate keyring` goes through them beside the
 * gateways that serve: as their role, a tenant in a transaction, never waiting for a lock longer
 * than a row's. For commands only: it runs the loop (sync.h).
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/db.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/seal.h"
#include "gateway/app/config.h"
#include "gateway/core/sealed_columns.h"

struct keyring;

#define KEY_WALK_BATCH 500 /* values that are fetched at once */

struct key_tenant {
	const char *id;
	const char *name;
};

struct key_walk {
	struct loop *loop;
	struct db *db;
	struct arena *arena;
	const char *operator; /* for the events of what is written */
	const char *deployment;
	const char *key_check; /* NULL: no keyring is bound to the database */
	struct key_tenant *tenants;
	size_t n_tenants;
};
/* The database of the configuration, and who its tenants are. To be closed in any case. */
int key_walk_open(struct key_walk *walk, struct arena *arena, const struct config *config,
		  struct err *err) MUST_CHECK;
void key_walk_close(struct key_walk *walk);
/* ERR_CONFLICT: it is not the keyring that the database is bound to. */
int key_walk_check(const struct key_walk *walk, const struct keyring *keyring,
		   struct err *err) MUST_CHECK;

struct data_key {
	uint64_t dek_id;
	uint32_t kek_id;     /* as the wrapped bytes say it; 0 if they say nothing */
	struct span wrapped; /* in the arena */
};
/* Oldest first, in the arena. */
int key_walk_data_keys(struct key_walk *walk, const struct key_tenant *tenant,
		       struct data_key **keys, size_t *n, struct err *err) MUST_CHECK;
/* Puts a data key in the place of the same one as it was wrapped before. *done is false if it is
 * not there any more as it was. */
int key_walk_rewrap(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct data_key *old, uint32_t kek_id, struct span wrapped, bool *done,
		    struct err *err) MUST_CHECK;
/* A new one; ERR_CONFLICT if there is one of that id. */
int key_walk_add(struct key_walk *walk, const struct key_tenant *tenant, const struct data_key *key,
		 struct err *err) MUST_CHECK;

struct sealed_value {
	const struct sealed_column *column;
	const char *row;
	int64_t version;
	struct span sealed;
};
/* Calls visit for each value of a column; what it gets is valid during the call. visit may use the
 * walk. Stops at -1. */
typedef int key_walk_visit(void *ctx, const struct key_tenant *tenant,
			   const struct sealed_value *value, struct err *err);
int key_walk_values(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct sealed_column *column, key_walk_visit *visit, void *ctx,
		    struct err *err) MUST_CHECK;
struct seal_place key_walk_place(const struct key_walk *walk, const struct key_tenant *tenant,
				 const struct sealed_value *value);
/* As key_walk_rewrap. */
int key_walk_reseal(struct key_walk *walk, const struct key_tenant *tenant,
		    const struct sealed_value *old, struct span sealed, bool *done,
		    struct err *err) MUST_CHECK;

/* Workers that were heard of lately. */
struct key_worker {
	const char *host;
	int64_t pid;
	bool has_key; /* the one that was asked for */
	bool wraps;   /* with it */
};
int key_walk_workers(struct key_walk *walk, uint32_t key_id, struct key_worker **workers, size_t *n,
		     struct err *err) MUST_CHECK;

#endif
