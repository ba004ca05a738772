/* SPDX-License-Identifier: Apache-2.0 */

/* Settings from the configuration file: each value is checked where it stands. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "gateway/app/config_priv.h"
#include "gateway/app/config_yaml.h"

#define MAX_VARIABLE_BYTES 128

struct filing {
	struct config *config;
	const char *path;
	const struct config_problems *problems;
};

static void tell(void *ctx, struct yaml_place place, const char *text)
{
	const struct filing *filing = ctx;

	config_problem(filing->problems, "%s:%zu:%zu: %s", filing->path, place.line, place.column,
		       text);
}

/* --- ${NAME} --------------------------------------------------------------------------------- */

/* The variable whose "${" stands at text; returns what follows its "}", or NULL. */
static const char *add_variable(const char *text, struct buf *out, struct err *err)
{
	const char *name = text + 2;
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				"0123456789_");
	char variable[MAX_VARIABLE_BYTES];
	const char *value;

	if (n == 0 || n >= sizeof(variable) || name[n] != '}') {
		err_set(err, ERR_BAD_REQUEST,
			"${NAME} names a variable of the environment; $${ is a plain ${");
		return NULL;
	}
	snprintf(variable, sizeof(variable), "%.*s", (int)n, name);
	value = getenv(variable);
	if (value == NULL) {
		err_set(err, ERR_BAD_REQUEST, "the environment has no variable %s", variable);
		return NULL;
	}
	buf_add(out, value);
	return name + n + 1;
}

/* In the arena; NULL on failure. */
static const char *expand(struct config *config, const char *text, struct err *err)
{
	struct buf out;
	const char *copy = NULL;

	if (strstr(text, "${") == NULL)
		return text;
	buf_init(&out, CONFIG_MAX_FILE_BYTES);
	while (text != NULL && *text != '\0') {
		if (strncmp(text, "$${", 3) == 0) {
			buf_add(&out, "${");
			text += 3;
		} else if (strncmp(text, "${", 2) == 0) {
			text = add_variable(text, &out, err);
		} else {
			buf_append(&out, text++, 1);
		}
	}
	if (text != NULL && out.overflow)
		err_set(err, ERR_BAD_REQUEST, "it is longer than %d bytes", CONFIG_MAX_FILE_BYTES);
	else if (text != NULL)
		copy = arena_dup(config->arena, buf_str(&out), out.len);
	buf_wipe(&out);
	return copy;
}

/* --- types ----------------------------------------------------------------------------------- */

static const char *const types[] = {
	[TEXT] = "a text",
	[CONNINFO] = "a text, or {file: path}",
	[HIDDEN] = "a text, or {file: path}",
	[LIST] = "a list of texts",
	[NUMBER] = "a number",
	[DURATION] = "a duration like 10s, or a number of seconds",
	[WORD] = "a text",
};

static bool fits(enum setting_kind kind, enum yaml_type type)
{
	switch (kind) {
	case NUMBER:
		return type == YAML_NUMBER;
	case DURATION:
		return type == YAML_NUMBER || type == YAML_TEXT;
	default:
		return type == YAML_TEXT;
	}
}

static const char *shown(enum yaml_type type)
{
	static const char *const names[] = {
		[YAML_NULL] = "nothing",
		[YAML_BOOL] = "true or false (quotes make it a text)",
		[YAML_NUMBER] = "a number (quotes make it a text)",
		[YAML_TEXT] = "a text",
	};

	return names[type];
}

static int check_type(const struct setting *setting, enum setting_kind kind, enum yaml_type type,
		      struct err *err)
{
	if (fits(kind, type))
		return 0;
	return err_set(err, ERR_BAD_REQUEST, "%s must be %s, not %s", setting->name,
		       types[setting->kind], shown(type));
}

/* The value's text, expanded, if it is of the kind that is wanted. NULL: it has been told. */
static const char *take_text(const struct filing *filing, const struct setting *setting,
			     enum setting_kind kind, const struct yaml_scalar *scalar)
{
	const char *text;
	enum yaml_type type;
	struct err err;

	text = expand(filing->config, scalar->text, &err);
	if (text == NULL) {
		err_prefix(&err, "%s", setting->name);
	} else {
		type = scalar->style == YAML_QUOTED ? YAML_TEXT : yaml_type_of(text);
		if (check_type(setting, kind, type, &err) == 0)
			return text;
	}
	tell((void *)filing, scalar->place, err.text);
	return NULL;
}

/* --- entries --------------------------------------------------------------------------------- */

static void apply_scalar(const struct filing *filing, const struct setting *setting,
			 const struct yaml_scalar *scalar, const char *text)
{
	const char *origin =
		arena_printf(filing->config->arena, "%s:%zu", filing->path, scalar->place.line);
	struct err err;

	if (text != NULL && config_apply(filing->config, setting, text, origin, &err) < 0)
		tell((void *)filing, scalar->place, err.text);
}

static void apply_list(const struct filing *filing, const struct setting *setting,
		       const struct yaml_entry *entry)
{
	const char *origin =
		arena_printf(filing->config->arena, "%s:%zu", filing->path, entry->place.line);
	const char **items =
		arena_alloc(filing->config->arena, (entry->n_values + 1) * sizeof(*items));
	struct err err;

	for (size_t i = 0; i < entry->n_values; i++) {
		items[i] = take_text(filing, setting, TEXT, &entry->values[i]);
		if (items[i] == NULL)
			return;
	}
	if (config_apply_list(filing->config, setting, items, entry->n_values, origin, &err) < 0)
		tell((void *)filing, entry->place, err.text);
}

static void apply_file(const struct filing *filing, const struct setting *setting,
		       const struct yaml_entry *entry)
{
	const struct yaml_scalar *scalar = &entry->values[0];
	const char *path = take_text(filing, setting, TEXT, scalar);
	const char *text;
	struct err err;

	if (path == NULL)
		return;
	text = config_read_text(filing->config->arena, path, &err);
	if (text == NULL) {
		err_prefix(&err, "%s", setting->name);
		tell((void *)filing, scalar->place, err.text);
		return;
	}
	apply_scalar(filing, setting, scalar, text);
}

static void apply_entry(const struct filing *filing, const struct yaml_entry *entry)
{
	const struct setting *setting = config_find(entry->name);
	struct err err;

	if (setting == NULL) {
		config_unknown(entry->name, &err);
		tell((void *)filing, entry->place, err.text);
		return;
	}
	if (entry->shape == YAML_LIST && setting->kind == LIST) {
		apply_list(filing, setting, entry);
	} else if (entry->shape == YAML_SCALAR && setting->kind != LIST) {
		apply_scalar(filing, setting, entry->values,
			     take_text(filing, setting, setting->kind, entry->values));
	} else if (entry->shape == YAML_FILE &&
		   (setting->kind == CONNINFO || setting->kind == HIDDEN)) {
		apply_file(filing, setting, entry);
	} else {
		err_set(&err, ERR_BAD_REQUEST, "%s must be %s", setting->name,
			types[setting->kind]);
		tell((void *)filing, entry->place, err.text);
	}
}

/* --------------------------------------------------------------------------------------------- */

void config_read_file(struct config *config, const char *path,
		      const struct config_problems *problems)
{
	struct filing filing = { config, arena_strdup(config->arena, path), problems };
	struct yaml_mapping mapping;
	struct err err;
	const char *text = config_read_text(config->arena, path, &err);

	if (text == NULL) {
		config_problem(problems, "%s", err.text);
		return;
	}
	yaml_read(span_of(text), config->arena, &mapping, tell, &filing);
	for (size_t i = 0; i < mapping.n; i++)
		apply_entry(&filing, &mapping.entries[i]);
}
