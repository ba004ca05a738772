/* SPDX-License-Identifier: Apache-2.0 */

/* Settings as people and editors see them: the manual, dumps, the schema of the file. */

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/db.h"
#include "base/json.h"
#include "gateway/app/config_priv.h"
#include "gateway/app/config_yaml.h"

#define MAX_LINE_BYTES ((size_t)1 << 20)

static const char *text_at(const struct config *config, const struct setting *setting)
{
	return *(const char *const *)((const char *)config + setting->at);
}

static int64_t number_at(const struct config *config, const struct setting *setting)
{
	return *(const int64_t *)((const char *)config + setting->at);
}

/* --- the manual ------------------------------------------------------------------------------ */

static bool has_default(const struct setting *setting)
{
	return setting->fallback != NULL && setting->fallback[0] != '\0';
}

void config_describe(FILE *out)
{
	for (size_t i = 0; i < config_n_settings; i++) {
		const struct setting *setting = &config_settings[i];

		fprintf(out, "  %-20s %s", setting->name, setting->help);
		if (has_default(setting))
			fprintf(out, " Default %s.", setting->fallback);
		fputc('\n', out);
	}
}

/* What may stand behind the name, in words. */
static void describe_kind(const struct setting *setting, FILE *out)
{
	switch (setting->kind) {
	case TEXT:
		fputs("A text.", out);
		break;
	case CONNINFO:
	case HIDDEN:
		fputs("A text, or\n.Ql {file: path} .", out);
		break;
	case LIST:
		fputs("A list of texts.", out);
		break;
	case NUMBER:
		fprintf(out, "A number from %llu to %llu.", (unsigned long long)setting->min,
			(unsigned long long)setting->max);
		break;
	case DURATION:
		fprintf(out, "A duration from %llu ms to %llu s.", (unsigned long long)setting->min,
			(unsigned long long)setting->max / 1000);
		break;
	case WORD:
		fputs("One of", out);
		for (const char *word = setting->words; *word != '\0';) {
			size_t n = strcspn(word, "|");

			fprintf(out, "\n.Cm %.*s%s", (int)n, word, word[n] == '|' ? " ," : " .");
			word += n + (word[n] == '|');
		}
		break;
	}
}

void config_describe_mdoc(FILE *out)
{
	fputs(".Bl -tag -width Ds\n", out);
	for (size_t i = 0; i < config_n_settings; i++) {
		const struct setting *setting = &config_settings[i];

		fprintf(out, ".It Ic %s\n%s\n", setting->name, setting->help);
		describe_kind(setting, out);
		if (has_default(setting))
			fprintf(out, "\nThe default is\n.Ql %s .", setting->fallback);
		fputc('\n', out);
	}
	fputs(".El\n", out);
}

/* --- dumps ----------------------------------------------------------------------------------- */

static json_t *string_of(const char *text)
{
	json_t *value = json_string(text);

	return value != NULL ? value : json_string("(no UTF-8)");
}

/* A new reference. */
static json_t *value_of(const struct config *config, const struct setting *setting)
{
	const char *const *items =
		*(const char *const *const *)((const char *)config + setting->at);
	int64_t number;
	char *redacted;
	json_t *value;

	switch (setting->kind) {
	case NUMBER:
		return json_integer(number_at(config, setting));
	case DURATION:
		number = number_at(config, setting);
		return number % 1000 == 0 ? json_sprintf("%llds", (long long)number / 1000)
					  : json_sprintf("%lldms", (long long)number);
	case LIST:
		value = json_array();
		for (size_t i = 0; i < *(const size_t *)((const char *)config + setting->count_at);
		     i++)
			json_array_append_new(value, json_string(items[i]));
		return value;
	case HIDDEN:
		return string_of(text_at(config, setting)[0] != '\0' ? "[REDACTED]" : "");
	case CONNINFO:
		if (text_at(config, setting) == NULL)
			return json_null();
		redacted = db_conninfo_redact(text_at(config, setting));
		value = string_of(redacted);
		free(redacted);
		return value;
	case TEXT:
	case WORD:
		break;
	}
	if (text_at(config, setting) == NULL)
		return json_null();
	return string_of(text_at(config, setting));
}

/* What a plain scalar may look like without being taken for something else; JSON is YAML too. */
static bool is_plain(const char *text)
{
	if (!isalnum((unsigned char)text[0]) && text[0] != '/')
		return false;
	for (const char *at = text; *at != '\0'; at++) {
		bool safe = isalnum((unsigned char)*at) || strchr("/._-:", *at) != NULL;

		if (!safe || (*at == ':' && at[1] == '\0'))
			return false;
	}
	return yaml_type_of(text) == YAML_TEXT;
}

/* A value of the file that starts with ${ would be expanded. */
static void add_scalar(struct buf *out, const char *text)
{
	const char *dollar;

	if (is_plain(text)) {
		buf_add(out, text);
		return;
	}
	dollar = strstr(text, "${");
	if (dollar == NULL) {
		buf_add_json_string(out, text, strlen(text));
		return;
	}
	struct buf escaped;

	buf_init(&escaped, MAX_LINE_BYTES);
	for (; dollar != NULL; text = dollar + 2, dollar = strstr(text, "${")) {
		buf_append(&escaped, text, (size_t)(dollar - text));
		buf_add(&escaped, "$${");
	}
	buf_add(&escaped, text);
	buf_add_json_string(out, buf_str(&escaped), escaped.len);
	buf_fini(&escaped);
}

static void add_yaml(struct buf *out, const json_t *value)
{
	size_t i;
	json_t *item;

	if (json_is_string(value)) {
		add_scalar(out, json_string_value(value));
	} else if (json_is_array(value)) {
		buf_add(out, "[");
		json_array_foreach(value, i, item)
		{
			buf_add(out, i > 0 ? ", " : "");
			add_scalar(out, json_string_value(item));
		}
		buf_add(out, "]");
	} else {
		buf_printf(out, "%lld", (long long)json_integer_value(value));
	}
}

void config_dump_yaml(const struct config *config, enum config_dump what, FILE *out)
{
	for (size_t i = 0; i < config_n_settings; i++) {
		const struct setting *setting = &config_settings[i];
		json_t *value = value_of(config, setting);
		struct buf line;

		buf_init(&line, MAX_LINE_BYTES);
		/* The file has no way to say that something is not set. */
		buf_printf(&line, "%s%s:%s", json_is_null(value) ? "# " : "", setting->name,
			   json_is_null(value) ? "" : " ");
		if (!json_is_null(value))
			add_yaml(&line, value);
		if (what == CONFIG_ORIGINS)
			buf_printf(&line, "  # %s", config->origins[i]);
		fprintf(out, "%s\n", buf_str(&line));
		buf_fini(&line);
		json_decref(value);
	}
}

void config_dump_json(const struct config *config, FILE *out)
{
	json_t *all = json_object();

	for (size_t i = 0; i < config_n_settings; i++) {
		json_t *one = json_object();

		json_object_set_new(one, "value", value_of(config, &config_settings[i]));
		json_object_set_new(one, "origin", json_string(config->origins[i]));
		json_object_set_new(all, config_settings[i].name, one);
	}
	json_dumpf(all, out, JSON_COMPACT);
	fputc('\n', out);
	json_decref(all);
}

/* --- the schema ------------------------------------------------------------------------------ */

#define DURATION_PATTERN "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)?$"

/* An editor cannot know what a variable will be. */
static json_t *or_variable(json_t *schema)
{
	return json_pack("{s:[o,{s:s,s:s}]}", "anyOf", schema, "type", "string", "pattern",
			 "\\$\\{");
}

static json_t *words_of(const struct setting *setting)
{
	json_t *words = json_array();

	for (const char *word = setting->words; *word != '\0';) {
		size_t n = strcspn(word, "|");

		json_array_append_new(words, json_stringn(word, n));
		word += n + (word[n] == '|');
	}
	return words;
}

static json_t *type_schema(const struct setting *setting)
{
	switch (setting->kind) {
	case CONNINFO:
	case HIDDEN:
		return json_pack("{s:[{s:s},{s:s,s:{s:{s:s}},s:[s],s:b}]}", "anyOf", "type",
				 "string", "type", "object", "properties", "file", "type", "string",
				 "required", "file", "additionalProperties", 0);
	case LIST:
		return json_pack("{s:s,s:{s:s},s:i}", "type", "array", "items", "type", "string",
				 "maxItems", CONFIG_MAX_LIST);
	case NUMBER:
		return or_variable(json_pack("{s:s,s:I,s:I}", "type", "integer", "minimum",
					     (json_int_t)setting->min, "maximum",
					     (json_int_t)setting->max));
	case DURATION:
		return or_variable(json_pack("{s:[{s:s,s:s},{s:s,s:f,s:f}]}", "anyOf", "type",
					     "string", "pattern", DURATION_PATTERN, "type",
					     "number", "minimum", (double)setting->min / 1000,
					     "maximum", (double)setting->max / 1000));
	case WORD:
		return or_variable(json_pack("{s:o}", "enum", words_of(setting)));
	case TEXT:
		break;
	}
	return json_pack("{s:s}", "type", "string");
}

/* As it would be written in the file. */
static json_t *default_of(const struct setting *setting)
{
	if (setting->kind == LIST)
		return json_array();
	if (setting->kind == NUMBER)
		return json_integer(strtoll(setting->fallback, NULL, 10));
	return json_string(setting->fallback);
}

void config_schema(FILE *out)
{
	json_t *properties = json_object();
	json_t *schema;

	for (size_t i = 0; i < config_n_settings; i++) {
		const struct setting *setting = &config_settings[i];
		json_t *one = type_schema(setting);

		json_object_set_new(one, "description", json_string(setting->help));
		if (setting->fallback != NULL)
			json_object_set_new(one, "default", default_of(setting));
		json_object_set_new(properties, setting->name, one);
	}
	schema = json_pack("{s:s,s:s,s:s,s:o,s:b}", "$schema",
			   "https://json-schema.org/draft/2020-12/schema", "title",
			   "tollgate.yaml: process settings of Tollgate", "type", "object",
			   "properties", properties, "additionalProperties", 0);
	json_dumpf(schema, out, JSON_INDENT(2));
	fputc('\n', out);
	json_decref(schema);
}
