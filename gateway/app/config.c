/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/db.h"
#include "base/text.h"
#include "base/url.h"
#include "gateway/app/config_priv.h"
#include "gateway/app/listener.h"
#include "gateway/app/nearest.h"
#include "gateway/app/telemetry.h"
#include "gateway/core/tracing.h"
#include "gateway/http/forwarded.h"

static int check_url(const char *value, struct err *err)
{
	struct url url;

	return url_parse(value, &url, err);
}

/* As in a Host header: a name or a literal address, perhaps with a port. */
static int check_host(const char *value, struct err *err)
{
	char *text = mem_printf("http://%s/", value);
	struct url url;
	int ret = value[strcspn(value, "/?#@ ")] != '\0' ? -1 : url_parse(text, &url, err);

	free(text);
	if (ret < 0)
		return err_set(err, ERR_BAD_REQUEST, "%s is no host or host:port", value);
	return 0;
}

static int check_address(const char *value, struct err *err)
{
	char canonical[INET6_ADDRSTRLEN];

	if (address_canonical(value, canonical) == NULL)
		return err_set(err, ERR_BAD_REQUEST, "%s is no literal address", value);
	return 0;
}

#define AT(member)	offsetof(struct config, member), 0
#define LIST_AT(member) offsetof(struct config, member), offsetof(struct config, n_##member)

/* Columns: name, kind, where, default, least, most, words, check, help. */
/* clang-format off */
const struct setting config_settings[] = {
	{ "data_dir", TEXT, AT(data_dir), "/var/lib/tollgate", 0, 0, NULL, NULL,
	  "Directory of the audit spool; locked by one daemon." },
	{ "database_url", CONNINFO, AT(database_url), NULL, 0, 0, NULL, db_conninfo_check,
	  "PostgreSQL as role tollgate_app (URI or key=value)." },
	{ "drain_database_url", CONNINFO, AT(drain_database_url), NULL, 0, 0, NULL, db_conninfo_check,
	  "PostgreSQL as role tollgate_audit_writer." },
	{ "keyring_file", TEXT, AT(keyring_file), "/etc/tollgate/keyring.json", 0, 0, NULL, NULL,
	  "Keys that seal secrets and check API keys; mode 0600." },
	{ "public_url", TEXT, AT(public_url), NULL, 0, 0, NULL, check_url,
	  "URL under which clients reach the public listener." },
	{ "client_metadata_url", TEXT, AT(client_metadata_url), "", 0, 0, NULL, check_url,
	  "OAuth client id of the gateway at servers that read such documents, instead of its own." },
	{ "listen", TEXT, AT(listen), "127.0.0.1:8080", 0, 0, NULL, listener_check,
	  "Address and port of the public listener; port 0 takes a free one." },
	{ "key_listen", TEXT, AT(key_listen), "127.0.0.1:8081", 0, 0, NULL, listener_check,
	  "Listener for API-key clients: MCP paths only, no OAuth discovery." },
	{ "ops_listen", TEXT, AT(ops_listen), "127.0.0.1:8082", 0, 0, NULL, listener_check,
	  "Listener for /livez, /readyz and /metrics; keep it private." },
	{ "allowed_hosts", LIST, LIST_AT(allowed_hosts), "", 0, 0, NULL, check_host,
	  "Hosts served beside that of public_url." },
	{ "trusted_proxies", LIST, LIST_AT(trusted_proxies), "", 0, 0, NULL, check_address,
	  "Addresses whose X-Forwarded-For is believed." },
	{ "workers", NUMBER, AT(workers), "0", 0, 256, NULL, NULL,
	  "Worker processes; 0: one per core." },
	{ "max_body_bytes", NUMBER, AT(max_body_bytes), "4194304", 1024, 67108864, NULL, NULL,
	  "Largest request body." },
	{ "request_timeout", DURATION, AT(request_timeout_ms), "60s", 1000, 3600000, NULL, NULL,
	  "For a request to arrive whole, and for an idle connection." },
	{ "db_connections", NUMBER, AT(db_connections), "4", 1, 100, NULL, NULL,
	  "Connections to PostgreSQL per worker." },
	{ "db_timeout", DURATION, AT(db_timeout_ms), "2s", 100, 60000, NULL, NULL,
	  "For one transaction." },
	{ "stale_max", DURATION, AT(stale_max_ms), "60s", 5000, 3600000, NULL, NULL,
	  "How long what a worker knows is served while PostgreSQL is away." },
	{ "refresh_grace", DURATION, AT(refresh_grace_ms), "30s", 3000, 600000, NULL, NULL,
	  "How long an upstream's refresh token that a gateway has sent, and then fell silent, is left to it." },
	{ "spool_max_bytes", NUMBER, AT(spool_max_bytes), "1073741824", 16777216, 1099511627776, NULL, NULL,
	  "Audit spool per worker; calls are refused when it is full." },
	{ "audit_retention_days", NUMBER, AT(audit_retention_days), "90", 0, 36500, NULL, NULL,
	  "Days that calls stay in the book; 0: for ever. audit.retention says how many they must." },
	{ "audit_payload_retention_days", NUMBER, AT(audit_payload_retention_days), "30", 0, 36500, NULL, NULL,
	  "Days that full payloads stay; 0: for ever." },
	{ "audit_spool_min_free", NUMBER, AT(audit_spool_min_free), "268435456", 0, 1099511627776, NULL, NULL,
	  "Calls are refused while the disk of the spools has less; 0: whatever it has." },
	{ "audit_anchor_file", TEXT, AT(audit_anchor_file), "", 0, 0, NULL, NULL,
	  "File that anchors of the book are appended to, outside of the database; by default anchors.jsonl in data_dir." },
	{ "audit_anchor_syslog", WORD, AT(audit_anchor_syslog), "false", 0, 0, "false|true", NULL,
	  "Whether anchors go to syslog too." },
	{ "drain_timeout", DURATION, AT(drain_timeout_ms), "30s", 0, 600000, NULL, NULL,
	  "For calls to finish when the gateway stops." },
	{ "drain_delay", DURATION, AT(drain_delay_ms), "0s", 0, 600000, NULL, NULL,
	  "For a balancer to see that /readyz says no, before the gateway stops listening." },
	{ "watchdog_timeout", DURATION, AT(watchdog_timeout_ms), "10s", 2000, 600000, NULL, NULL,
	  "A worker whose loop stands still for so long is killed and replaced." },
	{ "durability", WORD, AT(durability), "fsync", 0, 0, "fsync|write", NULL,
	  "fsync: the record survives power loss; write: only the process." },
	{ "log_level", WORD, AT(log_level), "info", 0, 0, "debug|info|warn|error", NULL,
	  "Least level that is logged." },
	{ "log_format", WORD, AT(log_format), "auto", 0, 0, "auto|text|logfmt|json", NULL,
	  "auto: text on a terminal, else JSON." },
	{ "otlp_endpoint", TEXT, AT(otlp_endpoint), "", 0, 0, NULL, check_url,
	  "Base URL of an OpenTelemetry collector that takes OTLP/HTTP; spans go to /v1/traces below it." },
	{ "otlp_traces_endpoint", TEXT, AT(otlp_traces_endpoint), "", 0, 0, NULL, check_url,
	  "The whole URL for spans, instead." },
	{ "otlp_headers", HIDDEN, AT(otlp_headers), "", 0, 0, NULL, telemetry_headers_check,
	  "Headers for the collector, NAME=VALUE with commas between, values percent-encoded." },
	{ "otlp_timeout", DURATION, AT(otlp_timeout_ms), "10s", 100, 60000, NULL, NULL,
	  "For one batch of spans to be taken." },
	{ "otlp_delay", DURATION, AT(otlp_delay_ms), "5s", 10, 60000, NULL, NULL,
	  "How long spans wait for others before they leave together." },
	{ "service_name", TEXT, AT(service_name), "tollgate", 0, 0, NULL, NULL,
	  "What the gateway is called in traces." },
	{ "resource_attributes", TEXT, AT(resource_attributes), "", 0, 0, NULL, telemetry_attributes_check,
	  "More that is said of it in traces, written like otlp_headers." },
	{ "traces_sampler", WORD, AT(traces_sampler), "parentbased_always_on", 0, 0, TRACING_SAMPLERS, NULL,
	  "Which traces are sampled." },
	{ "traces_sampler_arg", TEXT, AT(traces_sampler_arg), "", 0, 0, NULL, telemetry_ratio_check,
	  "Of the samplers with a ratio: from 0 to 1." },
};
/* clang-format on */
const size_t config_n_settings = sizeof(config_settings) / sizeof(config_settings[0]);

const struct setting *config_find(const char *name)
{
	for (size_t i = 0; i < config_n_settings; i++) {
		if (strcmp(config_settings[i].name, name) == 0)
			return &config_settings[i];
	}
	return NULL;
}

int config_unknown(const char *name, struct err *err)
{
	struct nearest nearest;

	nearest_init(&nearest, name);
	for (size_t i = 0; i < config_n_settings; i++)
		nearest_try(&nearest, config_settings[i].name);
	if (nearest.found == NULL)
		return err_set(err, ERR_BAD_REQUEST, "there is no setting %s", name);
	return err_set(err, ERR_BAD_REQUEST, "there is no setting %s; did you mean %s?", name,
		       nearest.found);
}

static int check_value(const struct setting *setting, const char *value, struct err *err)
{
	if (setting->check == NULL || value[0] == '\0' || setting->check(value, err) == 0)
		return 0;
	err->code = ERR_BAD_REQUEST;
	return err_prefix(err, "%s", setting->name);
}

static void came_from(struct config *config, const struct setting *setting, const char *origin)
{
	config->origins[setting - config_settings] = arena_strdup(config->arena, origin);
}

int config_apply_list(struct config *config, const struct setting *setting,
		      const char *const *items, size_t n, const char *origin, struct err *err)
{
	const char **list;

	if (n > CONFIG_MAX_LIST)
		return err_set(err, ERR_BAD_REQUEST, "%s has more than %d entries", setting->name,
			       CONFIG_MAX_LIST);
	list = arena_alloc(config->arena, (n + 1) * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		if (check_value(setting, items[i], err) < 0)
			return -1;
		list[i] = arena_strdup(config->arena, items[i]);
	}
	*(const char ***)((char *)config + setting->at) = list;
	*(size_t *)((char *)config + setting->count_at) = n;
	came_from(config, setting, origin);
	return 0;
}

static int set_list(struct config *config, const struct setting *setting, const char *value,
		    const char *origin, struct err *err)
{
	const char *items[CONFIG_MAX_LIST + 1];
	size_t n = 0;

	while (*value != '\0' && n <= CONFIG_MAX_LIST) {
		size_t length = strcspn(value, ",");

		if (length > 0)
			items[n++] = arena_dup(config->arena, value, length);
		value += length + (value[length] == ',');
	}
	return config_apply_list(config, setting, items, n, origin, err);
}

static bool is_word_of(const char *words, const char *value)
{
	size_t n = strlen(value);

	while (n > 0 && *words != '\0') {
		size_t length = strcspn(words, "|");

		if (length == n && memcmp(words, value, n) == 0)
			return true;
		words += length + (words[length] == '|');
	}
	return false;
}

static int set_number(struct config *config, const struct setting *setting, const char *value,
		      struct err *err)
{
	uint64_t number;
	int64_t duration;

	if (setting->kind == NUMBER) {
		if (text_uint(value, setting->min, setting->max, &number, err) < 0)
			return err_prefix(err, "%s", setting->name);
		duration = (int64_t)number;
	} else {
		if (text_duration_ms(value, &duration, err) < 0)
			return err_prefix(err, "%s", setting->name);
		if (duration < (int64_t)setting->min || duration > (int64_t)setting->max)
			return err_set(err, ERR_BAD_REQUEST, "%s must lie between %llu and %llu ms",
				       setting->name, (unsigned long long)setting->min,
				       (unsigned long long)setting->max);
	}
	*(int64_t *)((char *)config + setting->at) = duration;
	return 0;
}

static int set_text(struct config *config, const struct setting *setting, const char *value,
		    struct err *err)
{
	if (setting->kind == WORD && !is_word_of(setting->words, value))
		return err_set(err, ERR_BAD_REQUEST, "%s must be one of %s", setting->name,
			       setting->words);
	if (check_value(setting, value, err) < 0)
		return -1;
	*(const char **)((char *)config + setting->at) = arena_strdup(config->arena, value);
	return 0;
}

int config_apply(struct config *config, const struct setting *setting, const char *value,
		 const char *origin, struct err *err)
{
	int ret = 0;

	switch (setting->kind) {
	case LIST:
		return set_list(config, setting, value, origin, err);
	case NUMBER:
	case DURATION:
		ret = set_number(config, setting, value, err);
		break;
	case TEXT:
	case CONNINFO:
	case HIDDEN:
	case WORD:
		ret = set_text(config, setting, value, err);
		break;
	}
	if (ret == 0)
		came_from(config, setting, origin);
	return ret;
}

void config_init(struct config *config)
{
	struct err err;

	*config = (struct config){ .arena = arena_new() };
	config->origins = arena_alloc(config->arena, config_n_settings * sizeof(*config->origins));
	for (size_t i = 0; i < config_n_settings; i++) {
		const struct setting *setting = &config_settings[i];

		came_from(config, setting, "default");
		if (setting->fallback != NULL &&
		    config_apply(config, setting, setting->fallback, "default", &err) < 0)
			abort(); /* the table contradicts itself */
	}
}

void config_free(struct config *config)
{
	arena_free(&config->arena);
}

int config_set(struct config *config, const char *name, const char *value, struct err *err)
{
	const struct setting *setting = config_find(name);

	if (setting == NULL)
		return config_unknown(name, err);
	return config_apply(config, setting, value, "--set", err);
}
