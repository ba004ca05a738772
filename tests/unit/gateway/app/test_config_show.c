/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "gateway/app/config_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static char *text_of(void (*print)(FILE *out))
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	print(out);
	fclose(out);
	return text;
}

static char *dump_of(const struct config *config, enum config_dump what)
{
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	assert_non_null(out);
	config_dump_yaml(config, what, out);
	fclose(out);
	return text;
}

static void set(struct config *config, const char *name, const char *value)
{
	struct err err;

	if (config_set(config, name, value, &err) < 0)
		fail_msg("%s=%s: %s", name, value, err.text);
}

static void the_manual_names_every_setting_once(void **state)
{
	char *text = text_of(config_describe);
	char *mdoc = text_of(config_describe_mdoc);
	size_t lines = 0;

	(void)state;
	for (size_t i = 0; i < config_n_settings; i++) {
		char start[64];
		const char *found;

		snprintf(start, sizeof(start), "  %s ", config_settings[i].name);
		found = strstr(text, start);
		assert_non_null(found);
		assert_non_null(strstr(found, config_settings[i].help));
		snprintf(start, sizeof(start), ".It Ic %s\n", config_settings[i].name);
		found = strstr(mdoc, start);
		assert_non_null(found);
		assert_null(strstr(found + 1, start));
	}
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, config_n_settings);
	free(mdoc);
	free(text);
}

static void on_problem(void *ctx, const char *text)
{
	fail_msg("%s: %s", (const char *)ctx, text);
}

static void a_dump_can_be_read_again(void **state)
{
	static const char *const names[] = { "data_dir", "keyring_file", "log_level", "listen" };
	static const char *const values[] = { "/a ${B} $${C} 'd' \"e\"\t#f: g", "true", "warn",
					      "[::1]:0" };
	char path[] = "/tmp/test_config_show.XXXXXX";
	int fd = mkstemp(path);
	size_t n = 0;
	const struct config_problems problems = { .tell = on_problem, .ctx = path, .n = &n };
	struct config first;
	struct config second;
	char *text;
	char *again;

	(void)state;
	assert_true(fd >= 0);
	config_init(&first);
	for (size_t i = 0; i < COUNT(names); i++)
		set(&first, names[i], values[i]);
	set(&first, "allowed_hosts", "a,b:1");
	set(&first, "db_timeout", "1500ms");
	set(&first, "database_url", "host=h dbname='a b'");
	text = dump_of(&first, CONFIG_ORIGINS);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	free(text);
	text = dump_of(&first, CONFIG_VALUES);
	config_init(&second);
	config_read_file(&second, path, &problems);
	again = dump_of(&second, CONFIG_VALUES);
	assert_int_equal(n, 0);
	assert_string_equal(again, text);
	assert_string_equal(second.data_dir, values[0]);
	assert_string_equal(second.keyring_file, "true");
	assert_int_equal(second.db_timeout_ms, 1500);
	free(again);
	free(text);
	config_free(&first);
	config_free(&second);
	close(fd);
	unlink(path);
}

static void a_dump_shows_no_password(void **state)
{
	struct config config;
	char *text;

	(void)state;
	config_init(&config);
	set(&config, "database_url", "postgresql://u:hunter2@h/d?sslpassword=hunter2");
	set(&config, "drain_database_url",
	    "host=h password='hunter2 hunter2' options='-c x=hunter2'");
	text = dump_of(&config, CONFIG_ORIGINS);
	assert_null(strstr(text, "hunter2"));
	assert_non_null(strstr(text, "database_url: \"user=u password=[REDACTED] dbname=d host=h "
				     "sslpassword=[REDACTED]\"  # --set\n"));
	free(text);
	config_free(&config);
}

static void a_dump_says_what_is_not_set(void **state)
{
	struct config config;
	char *text;

	(void)state;
	config_init(&config);
	text = dump_of(&config, CONFIG_ORIGINS);
	assert_non_null(strstr(text, "\n# public_url:  # default\n"));
	assert_non_null(strstr(text, "\nworkers: 0  # default\n"));
	assert_non_null(strstr(text, "\ndb_timeout: 2s  # default\n"));
	assert_non_null(strstr(text, "\nallowed_hosts: []  # default\n"));
	free(text);
	config_free(&config);
}

static void a_dump_in_json_has_value_and_origin_of_each(void **state)
{
	struct config config;
	char *text = NULL;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);
	struct err err;
	json_t *all;
	json_t *one;

	(void)state;
	config_init(&config);
	set(&config, "workers", "3");
	config_dump_json(&config, out);
	fclose(out);
	all = json_parse(span_of(text), &err);
	assert_non_null(all);
	assert_int_equal(json_object_size(all), config_n_settings);
	one = json_object_get(all, "workers");
	assert_int_equal(json_integer_value(json_object_get(one, "value")), 3);
	assert_string_equal(json_text(one, "origin"), "--set");
	assert_true(json_is_null(json_object_get(json_object_get(all, "public_url"), "value")));
	json_decref(all);
	free(text);
	config_free(&config);
}

static void the_schema_names_every_setting_with_its_bounds(void **state)
{
	char *text = text_of(config_schema);
	struct err err;
	json_t *schema = json_parse(span_of(text), &err);
	json_t *properties = json_object_get(schema, "properties");
	json_t *one;

	(void)state;
	assert_non_null(schema);
	assert_string_equal(json_text(schema, "$schema"),
			    "https://json-schema.org/draft/2020-12/schema");
	assert_true(json_is_false(json_object_get(schema, "additionalProperties")));
	assert_int_equal(json_object_size(properties), config_n_settings);
	for (size_t i = 0; i < config_n_settings; i++) {
		one = json_object_get(properties, config_settings[i].name);
		assert_string_equal(json_text(one, "description"), config_settings[i].help);
		assert_int_equal(json_object_get(one, "default") != NULL,
				 config_settings[i].fallback != NULL);
	}
	one = json_array_get(json_object_get(json_object_get(properties, "workers"), "anyOf"), 0);
	assert_string_equal(json_text(one, "type"), "integer");
	assert_int_equal(json_integer_value(json_object_get(one, "maximum")), 256);
	one = json_array_get(json_object_get(json_object_get(properties, "log_level"), "anyOf"), 0);
	assert_int_equal(json_array_size(json_object_get(one, "enum")), 4);
	json_decref(schema);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_manual_names_every_setting_once),
		cmocka_unit_test(a_dump_can_be_read_again),
		cmocka_unit_test(a_dump_shows_no_password),
		cmocka_unit_test(a_dump_says_what_is_not_set),
		cmocka_unit_test(a_dump_in_json_has_value_and_origin_of_each),
		cmocka_unit_test(the_schema_names_every_setting_with_its_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
