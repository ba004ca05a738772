/* SPDX-License-Identifier: Apache-2.0 */

/* Where settings come from: one source after the other, the nearer ones last. */

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/app/config_priv.h"

#define MAX_PROBLEM_BYTES 1024

void config_problem(const struct config_problems *problems, const char *format, ...)
{
	char text[MAX_PROBLEM_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	++*problems->n;
	problems->tell(problems->ctx, text);
}

void config_variable(const struct setting *setting, const char *suffix,
		     char variable[CONFIG_ENV_BYTES])
{
	int n = snprintf(variable, CONFIG_ENV_BYTES, CONFIG_ENV_PREFIX "%s%s", setting->name,
			 suffix);

	assert(n > 0 && n < CONFIG_ENV_BYTES);
	for (int i = 0; i < n; i++)
		variable[i] = (char)toupper((unsigned char)variable[i]);
}

char *config_read_text(struct arena *arena, const char *path, struct err *err)
{
	char *text = arena_alloc(arena, CONFIG_MAX_FILE_BYTES + 1);
	FILE *file = fopen(path, "re");
	bool readable;
	size_t n;

	if (file == NULL) {
		err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerror(errno));
		return NULL;
	}
	n = fread(text, 1, CONFIG_MAX_FILE_BYTES + 1, file);
	readable = ferror(file) == 0;
	if (!readable)
		err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerror(errno));
	fclose(file);
	if (!readable)
		return NULL;
	if (n > CONFIG_MAX_FILE_BYTES) {
		err_set(err, ERR_BAD_REQUEST, "%s is larger than %d bytes", path,
			CONFIG_MAX_FILE_BYTES);
		return NULL;
	}
	if (memchr(text, '\0', n) != NULL) {
		err_set(err, ERR_BAD_REQUEST, "%s holds a NUL and so is no text", path);
		return NULL;
	}
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		n--;
	text[n] = '\0';
	return text;
}

/* What OpenTelemetry calls some of them, the nearer name first. */
static const struct {
	const char *setting;
	const char *variable;
} standards[] = {
	{"otlp_endpoint",	   "OTEL_EXPORTER_OTLP_ENDPOINT"	 },
	{ "otlp_traces_endpoint", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
	{ "otlp_headers",	  "OTEL_EXPORTER_OTLP_TRACES_HEADERS" },
	{ "otlp_headers",	  "OTEL_EXPORTER_OTLP_HEADERS"	       },
	{ "service_name",	  "OTEL_SERVICE_NAME"		      },
	{ "resource_attributes",	 "OTEL_RESOURCE_ATTRIBUTES"	    },
	{ "traces_sampler",	    "OTEL_TRACES_SAMPLER"		  },
	{ "traces_sampler_arg",	"OTEL_TRACES_SAMPLER_ARG"		  },
};

/* Its specification: an empty variable is one that is not set. */
static void read_standard(struct config *config, const struct setting *setting,
			  const struct config_problems *problems)
{
	for (size_t i = 0; i < sizeof(standards) / sizeof(standards[0]); i++) {
		const char *name = standards[i].variable;
		const char *value = getenv(name);
		struct err err;

		if (strcmp(standards[i].setting, setting->name) != 0 || value == NULL ||
		    value[0] == '\0')
			continue;
		if (config_apply(config, setting, value, name, &err) < 0)
			config_problem(problems, "%s: %s", name, err.text);
		return;
	}
}

/* The variable itself, else the file that its twin names. */
static void read_variable(struct config *config, const struct setting *setting,
			  const struct config_problems *problems)
{
	char direct[CONFIG_ENV_BYTES];
	char file[CONFIG_ENV_BYTES];
	const char *value;
	const char *path;
	struct err err;

	config_variable(setting, "", direct);
	config_variable(setting, "_FILE", file);
	value = getenv(direct);
	path = getenv(file);
	if (value == NULL && path == NULL) {
		read_standard(config, setting, problems);
		return;
	}
	if (value != NULL)
		path = NULL;
	else
		value = config_read_text(config->arena, path, &err);
	if (value == NULL)
		config_problem(problems, "%s: %s", file, err.text);
	else if (config_apply(config, setting, value, path != NULL ? file : direct, &err) < 0)
		config_problem(problems, "%s: %s", path != NULL ? file : direct, err.text);
}

void config_read_environment(struct config *config, const struct config_problems *problems)
{
	for (size_t i = 0; i < config_n_settings; i++)
		read_variable(config, &config_settings[i], problems);
}

void config_read_sets(struct config *config, const struct config_sources *sources,
		      const struct config_problems *problems)
{
	for (size_t i = 0; i < sources->n_sets; i++) {
		const char *text = sources->sets[i];
		const char *equals = strchr(text, '=');
		const char *name;
		struct err err;

		if (equals == NULL) {
			config_problem(problems, "--set wants NAME=VALUE, not %s", text);
			continue;
		}
		name = arena_dup(config->arena, text, (size_t)(equals - text));
		if (config_set(config, name, equals + 1, &err) < 0)
			config_problem(problems, "--set: %s", err.text);
	}
}

void config_find_credential(struct config *config)
{
	const struct setting *setting = config_find("keyring_file");
	const char *dir = getenv("CREDENTIALS_DIRECTORY");
	const char *path;
	struct err err;

	assert(setting != NULL);
	if (dir == NULL || strcmp(config->origins[setting - config_settings], "default") != 0)
		return;
	path = arena_printf(config->arena, "%s/keyring.json", dir);
	if (access(path, F_OK) == 0 &&
	    config_apply(config, setting, path, "CREDENTIALS_DIRECTORY", &err) < 0)
		abort(); /* the table contradicts itself */
}

void config_find_missing(const struct config *config, const struct config_problems *problems)
{
	static const char *const required[] = { "database_url", "drain_database_url",
						"public_url" };

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++) {
		const struct setting *setting = config_find(required[i]);
		char variable[CONFIG_ENV_BYTES];
		const char *value;

		assert(setting != NULL);
		value = *(const char *const *)((const char *)config + setting->at);
		config_variable(setting, "", variable);
		if (value == NULL || value[0] == '\0')
			config_problem(problems,
				       "%s must be set, in the file, by %s in the environment or "
				       "by --set %s=…: %s",
				       setting->name, variable, setting->name, setting->help);
	}
}

const char *config_file(const struct config_sources *sources)
{
	const char *named = getenv(CONFIG_ENV_PREFIX "CONFIG");

	if (sources->file != NULL)
		return sources->file;
	if (named != NULL && named[0] != '\0')
		return named;
	return access(CONFIG_DEFAULT_FILE, F_OK) == 0 ? CONFIG_DEFAULT_FILE : NULL;
}

size_t config_read(struct config *config, const struct config_sources *sources,
		   const struct config_problems *problems)
{
	const char *file = config_file(sources);
	size_t n = 0;
	const struct config_problems counted = { problems->tell, problems->ctx, &n };

	config_init(config);
	if (file != NULL)
		config_read_file(config, file, &counted);
	config_read_environment(config, &counted);
	config_read_sets(config, sources, &counted);
	config_find_credential(config);
	/* What could not be read may be what is missing. */
	if (n == 0)
		config_find_missing(config, &counted);
	return n;
}

static void keep_first(void *ctx, const char *text)
{
	struct err *err = ctx;

	if (err->text[0] == '\0')
		err_set(err, ERR_BAD_REQUEST, "%s", text);
}

int config_load(struct config *config, const struct config_sources *sources, struct err *err)
{
	struct err first = { .text = "" };
	const struct config_problems problems = { .tell = keep_first, .ctx = &first };

	if (config_read(config, sources, &problems) == 0)
		return 0;
	config_free(config);
	*err = first;
	return -1;
}
