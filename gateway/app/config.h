/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_CONFIG_H
#define GATEWAY_APP_CONFIG_H

/*
 * Process settings: one table (config.c) that reads, checks, prints and documents them. What a
 * tenant owns lives in Postgres, not here.
 *
 * A setting comes from, in this order: --set NAME=VALUE, TOLLGATE_NAME, the file named by
 * TOLLGATE_NAME_FILE, for some a variable that OpenTelemetry gave a name, the configuration file,
 * its default.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define CONFIG_DEFAULT_FILE "/etc/tollgate/tollgate.yaml"

/* Strings live in the arena. */
struct config {
	struct arena *arena;
	const char **origins; /* where each setting comes from, in the table's order */
	const char *data_dir;
	const char *database_url;
	const char *drain_database_url;
	const char *keyring_file;
	const char *public_url;
	const char *client_metadata_url; /* "": none */
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
	int64_t refresh_grace_ms;
	int64_t spool_max_bytes;
	int64_t audit_retention_days;	      /* 0: for ever */
	int64_t audit_payload_retention_days; /* likewise */
	int64_t audit_spool_min_free;
	const char *audit_anchor_file;	 /* "": in data_dir */
	const char *audit_anchor_syslog; /* "true" or "false" */
	int64_t drain_timeout_ms;
	int64_t drain_delay_ms;
	int64_t watchdog_timeout_ms;
	const char *durability; /* "fsync" or "write" */
	const char *log_level;
	const char *log_format;
	const char *otlp_endpoint;	  /* "": none */
	const char *otlp_traces_endpoint; /* "": below otlp_endpoint */
	const char *otlp_headers;	  /* secret */
	int64_t otlp_timeout_ms;
	int64_t otlp_delay_ms;
	const char *service_name;
	const char *resource_attributes;
	const char *traces_sampler;
	const char *traces_sampler_arg;
	bool development; /* set by `tollgate dev` only: no setting of its own */
};

/* Where settings come from, beside the environment and the defaults. Borrowed. */
struct config_sources {
	const char *file;	 /* NULL: TOLLGATE_CONFIG, else CONFIG_DEFAULT_FILE if it exists */
	const char *const *sets; /* NAME=VALUE each, the last one wins */
	size_t n_sets;
};

/* Everything at once, as a start or a reload wants it: a configuration that has been read from
 * all sources and checked. On failure there is nothing to free; err says the first problem. */
int config_load(struct config *config, const struct config_sources *sources,
		struct err *err) MUST_CHECK;

/* The same for those who want to hear of every problem. What was good stands in the
 * configuration, which is to be freed in any case. Returns how many problems there were. */
struct config_problems {
	void (*tell)(void *ctx, const char *text); /* borrowed */
	void *ctx;
	size_t *n; /* the reader's own */
};
size_t config_read(struct config *config, const struct config_sources *sources,
		   const struct config_problems *problems) MUST_CHECK;
/* The file that the sources name; NULL: none. Borrowed. */
const char *config_file(const struct config_sources *sources);

/* Unless something else was set: the keyring that the service manager hands over as a credential
 * (systemd: LoadCredential=keyring.json:…). */
void config_find_credential(struct config *config);
/* Defaults. */
void config_init(struct config *config);
void config_free(struct config *config);
/* ERR_BAD_REQUEST with the setting's name and what would be right. */
int config_set(struct config *config, const char *name, const char *value,
	       struct err *err) MUST_CHECK;

/* The manual: one line per setting. */
void config_describe(FILE *out);
/* The list of settings of tollgate.yaml(5), as mdoc. */
void config_describe_mdoc(FILE *out);
/* A configuration file that says the same. Passwords are left out, so they have to be put in
 * before it can be used. */
enum config_dump { CONFIG_VALUES, CONFIG_ORIGINS };
void config_dump_yaml(const struct config *config, enum config_dump what, FILE *out);
/* {"name":{"value":…,"origin":"…"},…} */
void config_dump_json(const struct config *config, FILE *out);
/* A JSON Schema (2020-12) of configuration files. */
void config_schema(FILE *out);

#endif
