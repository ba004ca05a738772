/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CONFIG_H
#define GATEWAY_APP_CONFIG_H

/*
 * Process settings: one table (config.c) that reads, checks, prints and documents them. What a
 * tenant owns lives in Postgres, not here.
 *
 * A setting comes from, in this order: --set NAME=VALUE, TOLLGATE_NAME, the file named by
 * TOLLGATE_NAME_FILE, its default.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

/* Strings live in the arena. Lists are split at commas. */
struct config {
	struct arena *arena;
	const char *data_dir;
	const char *database_url;
	const char *drain_database_url;
	const char *keyring_file;
	const char *public_url;
	const char *listen;
	const char *key_listen;
	const char *ops_listen;
	const char **allowed_hosts;
	size_t n_allowed_hosts;
	const char **trusted_proxies;
	size_t n_trusted_proxies;
	int64_t workers; /* 0: one per core */
	int64_t max_body_bytes;
	int64_t request_timeout_ms;
	int64_t db_connections;
	int64_t db_timeout_ms;
	int64_t stale_max_ms;
	int64_t spool_max_bytes;
	int64_t drain_timeout_ms;
	const char *durability; /* "fsync" or "write" */
	const char *log_level;
	const char *log_format;
	bool development; /* set by `tollgate dev` only: no setting of its own */
};

/* Where settings come from, beside the environment and the defaults. Borrowed. */
struct config_sources {
	const char *const *sets; /* NAME=VALUE each, the last one wins */
	size_t n_sets;
};

/* Everything at once, as a start or a reload wants it: a configuration that has been read from
 * all sources and checked. On failure there is nothing to free. */
int config_load(struct config *config, const struct config_sources *sources,
		struct err *err) MUST_CHECK;

/* Defaults. */
void config_init(struct config *config);
void config_free(struct config *config);
/* ERR_BAD_REQUEST with the setting's name and what would be right. */
int config_set(struct config *config, const char *name, const char *value,
	       struct err *err) MUST_CHECK;
int config_from_environment(struct config *config, struct err *err) MUST_CHECK;
/* What must be set is set, and fits together. */
int config_check(const struct config *config, struct err *err) MUST_CHECK;
/* The manual: one line per setting. */
void config_describe(FILE *out);

#endif
