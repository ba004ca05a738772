/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "base/url.h"

#define MAX_LIST       100
#define MAX_FILE_BYTES 65536
#define ENV_PREFIX     "TOLLGATE_"

enum kind { TEXT, LIST, NUMBER, DURATION, WORD };

/* min and max of a NUMBER, or of a DURATION in milliseconds. words of a WORD, '|' between. */
static const struct setting {
	const char *name;
	enum kind kind;
	size_t at;
	size_t count_at; /* LIST */
	const char *fallback;
	uint64_t min, max;
	const char *words;
	const char *help;
} settings[] = {
#define AT(member)	offsetof(struct config, member), 0
#define LIST_AT(member) offsetof(struct config, member), offsetof(struct config, n_##member)
	{"data_dir",	      TEXT,	    AT(data_dir),		  "/var/lib/tollgate",	       0,	  0,	     NULL,
												    "Directory of the audit spool; locked by one daemon."																		  },
	{ "database_url",	  TEXT,	AT(database_url),	  NULL,				0,	   0,	      NULL,
												    "PostgreSQL as role tollgate_app (URI or key=value)."																		  },
	{ "drain_database_url", TEXT,     AT(drain_database_url),   NULL,			    0,	       0,		  NULL,
												    "PostgreSQL as role tollgate_audit_writer."																			    },
	{ "keyring_file",	  TEXT,	AT(keyring_file),	  "/etc/tollgate/keyring.json", 0,	   0,	      NULL,
												    "Keys that seal secrets and check API keys; mode 0600."																		},
	{ "public_url",		TEXT,     AT(public_url),	      NULL,			    0,	       0,		  NULL,
												    "URL under which clients reach the public listener."																		   },
	{ "listen",		    TEXT,	  AT(listen),		      "127.0.0.1:8080",		0,	   0,	      NULL,
												    "Address and port of the public listener; port 0 takes a free one."																    },
	{ "key_listen",		TEXT,     AT(key_listen),	      "127.0.0.1:8081",		0,	   0,	      NULL,
												    "Listener for API-key clients: MCP paths only, no OAuth discovery."																    },
	{ "ops_listen",		TEXT,     AT(ops_listen),	      "127.0.0.1:8082",		0,	   0,	      NULL,
												    "Listener for /livez and /readyz; keep it private."																		    },
	{ "allowed_hosts",	   LIST,	 LIST_AT(allowed_hosts),	 "",			     0,	0,		   NULL,
												    "Hosts served beside that of public_url."																			      },
	{ "trusted_proxies",    LIST,	   LIST_AT(trusted_proxies), "",				 0,	    0,	       NULL,
												    "Addresses whose X-Forwarded-For is believed."																			 },
	{ "workers",	     NUMBER,   AT(workers),		  "0",			       0,	  256,	       NULL,		     "Worker processes; 0: one per core."			  },
	{ "max_body_bytes",	    NUMBER,   AT(max_body_bytes),	"4194304",			   1024,	 67108864,	   NULL,
												    "Largest request body."																						},
	{ "request_timeout",    DURATION, AT(request_timeout_ms),   "60s",			      1000,	    3600000,	     NULL,
												    "For a request to arrive whole, and for an idle connection."																	   },
	{ "db_connections",	    NUMBER,   AT(db_connections),	"4",			     1,	100,	     NULL,
												    "Connections to PostgreSQL per worker."																				},
	{ "db_timeout",		DURATION, AT(db_timeout_ms),	     "2s",			   100,	60000,	       NULL,
												    "For one transaction."																						 },
	{ "stale_max",	       DURATION, AT(stale_max_ms),	   "60s",			  5000,	3600000,	 NULL,
												    "How long what a worker knows is served while PostgreSQL is away."																     },
	{ "spool_max_bytes",    NUMBER,   AT(spool_max_bytes),	  "1073741824",			16777216, 1099511627776,
												    NULL,																      "Audit spool per worker; calls are refused when it is full."},
	{ "drain_timeout",	   DURATION, AT(drain_timeout_ms),	   "30s",			  0,	     600000,	     NULL,
												    "For calls to finish when the gateway stops."																			  },
	{ "durability",		WORD,     AT(durability),	      "fsync",		       0,	  0,	     "fsync|write",
												    "fsync: the record survives power loss; write: only the process."																      },
	{ "log_level",	       WORD,     AT(log_level),	    "info",			    0,	       0,		  "debug|info|warn|error",
												    "Least level that is logged."																					  },
	{ "log_format",		WORD,     AT(log_format),	      "auto",			      0,	 0,		    "auto|text|json",
												    "auto: text on a terminal, else JSON."																				 },
};
#define N_SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (strcmp(settings[i].name, name) == 0)
			return &settings[i];
	}
	return NULL;
}

static int set_list(struct config *config, const struct setting *setting, const char *value,
		    struct err *err)
{
	const char **list = arena_alloc(config->arena, (MAX_LIST + 1) * sizeof(*list));
	size_t n = 0;

	while (*value != '\0') {
		size_t length = strcspn(value, ",");

		if (n == MAX_LIST)
			return err_set(err, ERR_BAD_REQUEST, "%s has more than %d entries",
				       setting->name, MAX_LIST);
		if (length > 0)
			list[n++] = arena_dup(config->arena, value, length);
		value += length + (value[length] == ',');
	}
	*(const char ***)((char *)config + setting->at) = list;
	*(size_t *)((char *)config + setting->count_at) = n;
	return 0;
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

static int apply(struct config *config, const struct setting *setting, const char *value,
		 struct err *err)
{
	switch (setting->kind) {
	case LIST:
		return set_list(config, setting, value, err);
	case NUMBER:
	case DURATION:
		return set_number(config, setting, value, err);
	case WORD:
		if (!is_word_of(setting->words, value))
			return err_set(err, ERR_BAD_REQUEST, "%s must be one of %s", setting->name,
				       setting->words);
		break;
	case TEXT:
		break;
	}
	*(const char **)((char *)config + setting->at) = arena_strdup(config->arena, value);
	return 0;
}

void config_init(struct config *config)
{
	struct err err;

	*config = (struct config){ .arena = arena_new() };
	for (size_t i = 0; i < N_SETTINGS; i++) {
		if (settings[i].fallback != NULL &&
		    apply(config, &settings[i], settings[i].fallback, &err) < 0)
			abort(); /* the table contradicts itself */
	}
}

void config_free(struct config *config)
{
	arena_free(&config->arena);
}

int config_set(struct config *config, const char *name, const char *value, struct err *err)
{
	const struct setting *setting = setting_find(name);

	if (setting == NULL)
		return err_set(err, ERR_BAD_REQUEST, "there is no setting %s", name);
	return apply(config, setting, value, err);
}

static const char *environment(const char *name, const char *suffix)
{
	char variable[128];
	size_t n = (size_t)snprintf(variable, sizeof(variable), ENV_PREFIX "%s%s", name, suffix);

	for (size_t i = 0; i < n && i < sizeof(variable); i++)
		variable[i] = (char)toupper((unsigned char)variable[i]);
	return getenv(variable);
}

/* The file's text without the newline at its end. */
static char *read_file(struct arena *arena, const char *path, struct err *err)
{
	char *text = arena_alloc(arena, MAX_FILE_BYTES + 1);
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL) {
		err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerror(errno));
		return NULL;
	}
	n = fread(text, 1, MAX_FILE_BYTES + 1, file);
	fclose(file);
	if (n > MAX_FILE_BYTES) {
		err_set(err, ERR_BAD_REQUEST, "%s is larger than %d bytes", path, MAX_FILE_BYTES);
		return NULL;
	}
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	return text;
}

int config_from_environment(struct config *config, struct err *err)
{
	for (size_t i = 0; i < N_SETTINGS; i++) {
		const char *value = environment(settings[i].name, "");
		const char *path = environment(settings[i].name, "_FILE");

		if (value == NULL && path != NULL) {
			value = read_file(config->arena, path, err);
			if (value == NULL)
				return err_prefix(err, "%s", settings[i].name);
		}
		if (value != NULL && apply(config, &settings[i], value, err) < 0)
			return -1;
	}
	return 0;
}

int config_check(const struct config *config, struct err *err)
{
	static const char *const required[] = { "database_url", "drain_database_url",
						"public_url" };

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		const struct setting *setting = setting_find(required[i]);
		const char *value;

		assert(setting != NULL);
		value = *(const char *const *)((const char *)config + setting->at);
		if (value == NULL || value[0] == '\0')
			return err_set(err, ERR_BAD_REQUEST,
				       "%s must be set: --set %s=… or TOLLGATE_… in the "
				       "environment. %s",
				       required[i], required[i], setting->help);
	}
	struct url url;

	if (url_parse(config->public_url, &url, err) < 0)
		return err_prefix(err, "public_url");
	return 0;
}

static int apply_sets(struct config *config, const struct config_sources *sources, struct err *err)
{
	for (size_t i = 0; i < sources->n_sets; i++) {
		const char *text = sources->sets[i];
		const char *equals = strchr(text, '=');
		const char *name;

		if (equals == NULL)
			return err_set(err, ERR_BAD_REQUEST, "--set wants NAME=VALUE, not %s",
				       text);
		name = arena_dup(config->arena, text, (size_t)(equals - text));
		if (config_set(config, name, equals + 1, err) < 0)
			return -1;
	}
	return 0;
}

int config_load(struct config *config, const struct config_sources *sources, struct err *err)
{
	config_init(config);
	if (config_from_environment(config, err) == 0 && apply_sets(config, sources, err) == 0 &&
	    config_check(config, err) == 0)
		return 0;
	config_free(config);
	return -1;
}

void config_describe(FILE *out)
{
	for (size_t i = 0; i < N_SETTINGS; i++)
		fprintf(out, "  %-20s %s%s%s%s\n", settings[i].name, settings[i].help,
			settings[i].fallback != NULL && settings[i].fallback[0] != '\0'
				? " Default "
				: "",
			settings[i].fallback != NULL ? settings[i].fallback : "",
			settings[i].fallback != NULL && settings[i].fallback[0] != '\0' ? "." : "");
}
