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

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int set_up(void **state)
{
	struct config *config = mem_new(sizeof(*config));

	config_init(config);
	*state = config;
	return 0;
}

static int tear_down(void **state)
{
	struct config *config = *state;

	config_free(config);
	free(config);
	return 0;
}

static void set(struct config *config, const char *name, const char *value)
{
	struct err err;

	if (config_set(config, name, value, &err) < 0)
		fail_msg("%s=%s: %s", name, value, err.text);
}

static void the_defaults_are_as_documented(void **state)
{
	const struct config *config = *state;

	assert_string_equal(config->data_dir, "/var/lib/tollgate");
	assert_null(config->database_url);
	assert_null(config->drain_database_url);
	assert_string_equal(config->keyring_file, "/etc/tollgate/keyring.json");
	assert_null(config->public_url);
	assert_string_equal(config->listen, "127.0.0.1:8080");
	assert_string_equal(config->key_listen, "127.0.0.1:8081");
	assert_string_equal(config->ops_listen, "127.0.0.1:8082");
	assert_int_equal(config->n_allowed_hosts, 0);
	assert_int_equal(config->n_trusted_proxies, 0);
	assert_int_equal(config->workers, 0);
	assert_int_equal(config->max_body_bytes, 4194304);
	assert_int_equal(config->request_timeout_ms, 60000);
	assert_int_equal(config->db_connections, 4);
	assert_int_equal(config->db_timeout_ms, 2000);
	assert_int_equal(config->stale_max_ms, 60000);
	assert_int_equal(config->spool_max_bytes, 1073741824);
	assert_int_equal(config->drain_timeout_ms, 30000);
	assert_string_equal(config->durability, "fsync");
	assert_string_equal(config->log_level, "info");
	assert_string_equal(config->log_format, "auto");
	assert_false(config->development);
}

static void texts_are_taken_as_they_are(void **state)
{
	struct config *config = *state;
	const struct {
		const char *name;
		const char **member;
	} texts[] = {
		{"data_dir",	      &config->data_dir		},
		{ "database_url",	  &config->database_url	},
		{ "drain_database_url", &config->drain_database_url},
		{ "keyring_file",	  &config->keyring_file	},
		{ "public_url",		&config->public_url	    },
		{ "listen",		    &config->listen	    },
		{ "key_listen",		&config->key_listen	    },
		{ "ops_listen",		&config->ops_listen	    },
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		set(config, texts[i].name, "a, b = c");
		assert_string_equal(*texts[i].member, "a, b = c");
		set(config, texts[i].name, "");
		assert_string_equal(*texts[i].member, "");
	}
}

static void a_text_outlives_what_it_was_set_from(void **state)
{
	struct config *config = *state;
	char value[] = "first";

	set(config, "data_dir", value);
	memset(value, 'x', sizeof(value) - 1);
	assert_string_equal(config->data_dir, "first");
}

static void lists_are_split_at_commas(void **state)
{
	struct config *config = *state;

	set(config, "allowed_hosts", "a.example,b.example:81,,c");
	assert_int_equal(config->n_allowed_hosts, 3);
	assert_string_equal(config->allowed_hosts[0], "a.example");
	assert_string_equal(config->allowed_hosts[1], "b.example:81");
	assert_string_equal(config->allowed_hosts[2], "c");
	set(config, "trusted_proxies", "10.0.0.1");
	assert_int_equal(config->n_trusted_proxies, 1);
	assert_string_equal(config->trusted_proxies[0], "10.0.0.1");
	set(config, "allowed_hosts", "");
	assert_int_equal(config->n_allowed_hosts, 0);
}

static void a_list_has_an_end(void **state)
{
	struct config *config = *state;
	char value[202] = "";
	struct err err;

	for (size_t i = 0; i < 100; i++)
		memcpy(value + 2 * i, "a,", 2);
	set(config, "allowed_hosts", value);
	assert_int_equal(config->n_allowed_hosts, 100);
	value[200] = 'a';
	assert_int_equal(config_set(config, "allowed_hosts", value, &err), -1);
	assert_non_null(strstr(err.text, "allowed_hosts"));
	assert_int_equal(config->n_allowed_hosts, 100);
}

static void numbers_have_bounds(void **state)
{
	struct config *config = *state;
	const struct {
		const char *name;
		int64_t *member;
		const char *least, *most, *below, *above;
		int64_t least_value, most_value;
	} numbers[] = {
		{"workers",	     &config->workers,	       "0",	    "256",	   "-1",	 "257",		0,	   256	       },
		{ "max_body_bytes",  &config->max_body_bytes,  "1024",     "67108864",	 "1023", "67108865",
		  1024,													 67108864	 },
		{ "db_connections",  &config->db_connections,  "1",	  "100",		 "0",    "101",	     1,	100	    },
		{ "spool_max_bytes", &config->spool_max_bytes, "16777216", "1099511627776",
		  "16777215",									"1099511627777", 16777216, 1099511627776},
	};
	struct err err;

	for (size_t i = 0; i < COUNT(numbers); i++) {
		const char *name = numbers[i].name;

		set(config, name, numbers[i].least);
		assert_int_equal(*numbers[i].member, numbers[i].least_value);
		set(config, name, numbers[i].most);
		assert_int_equal(*numbers[i].member, numbers[i].most_value);
		assert_int_equal(config_set(config, name, numbers[i].below, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, name));
		assert_int_equal(config_set(config, name, numbers[i].above, &err), -1);
		assert_non_null(strstr(err.text, name));
		assert_int_equal(*numbers[i].member, numbers[i].most_value);
	}
}

static void durations_have_units_and_bounds(void **state)
{
	struct config *config = *state;
	const struct {
		const char *name;
		int64_t *member;
		const char *least, *most, *below, *above;
		int64_t least_ms, most_ms;
	} durations[] = {
		{"request_timeout", &config->request_timeout_ms, "1s",	"1h",  "999ms",  "3601",  1000,
		  3600000											},
		{ "db_timeout",	&config->db_timeout_ms,	"100ms", "1m",  "99ms",   "61s",   100,  60000 },
		{ "stale_max",      &config->stale_max_ms,	      "5s",    "1h",  "4999ms", "3601s", 5000,
		  3600000											},
		{ "drain_timeout",  &config->drain_timeout_ms,   "0",	   "10m", NULL,	"601s",	0,	   600000},
	};
	struct err err;

	for (size_t i = 0; i < COUNT(durations); i++) {
		const char *name = durations[i].name;

		set(config, name, durations[i].least);
		assert_int_equal(*durations[i].member, durations[i].least_ms);
		set(config, name, durations[i].most);
		assert_int_equal(*durations[i].member, durations[i].most_ms);
		if (durations[i].below != NULL) {
			assert_int_equal(config_set(config, name, durations[i].below, &err), -1);
			assert_int_equal(err.code, ERR_BAD_REQUEST);
			assert_non_null(strstr(err.text, name));
		}
		assert_int_equal(config_set(config, name, durations[i].above, &err), -1);
		assert_non_null(strstr(err.text, name));
	}
}

static void what_is_no_number_or_duration_is_refused(void **state)
{
	static const char *const numbers[] = { "", "x", "1x", " 1", "1 ", "1.5", "+1", "0x10" };
	static const char *const durations[] = { "", "x", "10 s", "-1s", "1y", "s", "1s2" };
	struct config *config = *state;
	struct err err;

	for (size_t i = 0; i < COUNT(numbers); i++)
		assert_int_equal(config_set(config, "workers", numbers[i], &err), -1);
	for (size_t i = 0; i < COUNT(durations); i++)
		assert_int_equal(config_set(config, "db_timeout", durations[i], &err), -1);
	assert_int_equal(config->workers, 0);
	assert_int_equal(config->db_timeout_ms, 2000);
}

static void words_are_the_ones_there_are(void **state)
{
	static const struct {
		const char *name;
		const char *good[4];
	} words[] = {
		{"durability",	{ "fsync", "write" }		     },
		{ "log_level",  { "debug", "info", "warn", "error" }},
		{ "log_format", { "auto", "text", "json" }	   },
	};
	static const char *const bad[] = { "",	     "|",    "Fsync", "fsyn", "fsync|write",
					   "fsync ", "trace" };
	struct config *config = *state;
	struct err err;

	for (size_t i = 0; i < COUNT(words); i++) {
		for (size_t j = 0; j < COUNT(words[i].good) && words[i].good[j] != NULL; j++)
			set(config, words[i].name, words[i].good[j]);
		for (size_t j = 0; j < COUNT(bad); j++) {
			assert_int_equal(config_set(config, words[i].name, bad[j], &err), -1);
			assert_int_equal(err.code, ERR_BAD_REQUEST);
			assert_non_null(strstr(err.text, words[i].name));
			assert_non_null(strstr(err.text, words[i].good[0]));
		}
	}
	assert_string_equal(config->durability, "write");
	assert_string_equal(config->log_level, "error");
}

static void a_setting_that_is_none_is_named(void **state)
{
	static const char *const none[] = { "", "workrs", "WORKERS", "development", "workers " };
	struct err err;

	for (size_t i = 0; i < COUNT(none); i++) {
		assert_int_equal(config_set(*state, none[i], "1", &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, none[i]));
	}
}

static void read_environment(struct config *config)
{
	struct err err;

	if (config_from_environment(config, &err) < 0)
		fail_msg("%s", err.text);
}

static void the_environment_sets_what_it_names(void **state)
{
	struct config *config = *state;

	setenv("TOLLGATE_WORKERS", "3", 1);
	setenv("TOLLGATE_ALLOWED_HOSTS", "a,b", 1);
	setenv("TOLLGATE_DRAIN_TIMEOUT", "5s", 1);
	read_environment(config);
	unsetenv("TOLLGATE_WORKERS");
	unsetenv("TOLLGATE_ALLOWED_HOSTS");
	unsetenv("TOLLGATE_DRAIN_TIMEOUT");
	assert_int_equal(config->workers, 3);
	assert_int_equal(config->n_allowed_hosts, 2);
	assert_int_equal(config->drain_timeout_ms, 5000);
	assert_int_equal(config->db_timeout_ms, 2000);
}

static void a_bad_value_of_the_environment_is_refused(void **state)
{
	struct err err;
	int ret;

	setenv("TOLLGATE_WORKERS", "many", 1);
	ret = config_from_environment(*state, &err);
	unsetenv("TOLLGATE_WORKERS");
	assert_int_equal(ret, -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_non_null(strstr(err.text, "workers"));
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
	fclose(file);
}

static void make_path(char path[32])
{
	int fd;

	snprintf(path, 32, "%s", "/tmp/test_config.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
}

static void a_value_may_lie_in_a_file(void **state)
{
	struct config *config = *state;
	char path[32];

	make_path(path);
	write_file(path, "postgresql://u:secret@h/d\r\n\n");
	setenv("TOLLGATE_DATABASE_URL_FILE", path, 1);
	read_environment(config);
	assert_string_equal(config->database_url, "postgresql://u:secret@h/d");
	/* The value itself is nearer than the file. */
	setenv("TOLLGATE_DATABASE_URL", "direct", 1);
	read_environment(config);
	assert_string_equal(config->database_url, "direct");
	unsetenv("TOLLGATE_DATABASE_URL");
	unsetenv("TOLLGATE_DATABASE_URL_FILE");
	unlink(path);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
	struct err err;
	int ret;

	setenv("TOLLGATE_DATABASE_URL_FILE", "/nonexistent/secret", 1);
	ret = config_from_environment(*state, &err);
	unsetenv("TOLLGATE_DATABASE_URL_FILE");
	assert_int_equal(ret, -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_non_null(strstr(err.text, "database_url"));
	assert_non_null(strstr(err.text, "/nonexistent/secret"));
}

static void a_file_larger_than_any_setting_is_refused(void **state)
{
	char path[32];
	FILE *file;
	struct err err;
	int ret;

	make_path(path);
	file = fopen(path, "we");
	assert_non_null(file);
	for (int i = 0; i < 70000; i++)
		fputc('x', file);
	fclose(file);
	setenv("TOLLGATE_DATABASE_URL_FILE", path, 1);
	ret = config_from_environment(*state, &err);
	unsetenv("TOLLGATE_DATABASE_URL_FILE");
	unlink(path);
	assert_int_equal(ret, -1);
	assert_non_null(strstr(err.text, path));
}

static void what_must_be_set_is_asked_for_by_name(void **state)
{
	static const char *const required[] = { "database_url", "drain_database_url",
						"public_url" };
	struct config *config = *state;
	struct err err;

	for (size_t i = 0; i < COUNT(required); i++) {
		assert_int_equal(config_check(config, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_memory_equal(err.text, required[i], strlen(required[i]));
		set(config, required[i], "");
		assert_int_equal(config_check(config, &err), -1);
		set(config, required[i], "https://x.example");
	}
	assert_int_equal(config_check(config, &err), 0);
}

static const char *const enough[] = {
	"database_url=postgresql:///d",
	"drain_database_url=postgresql:///d",
	"public_url=https://x.example",
	"workers=2",
	"workers=3=3",
	"no equals sign",
	"wrokers=1",
};

static void what_is_set_by_hand_wins_over_the_environment(void **state)
{
	const struct config_sources sources = { .sets = enough, .n_sets = 4 };
	struct config config;
	struct err err;
	int ret;

	(void)state;
	setenv("TOLLGATE_WORKERS", "7", 1);
	setenv("TOLLGATE_DB_CONNECTIONS", "9", 1);
	ret = config_load(&config, &sources, &err);
	unsetenv("TOLLGATE_WORKERS");
	unsetenv("TOLLGATE_DB_CONNECTIONS");
	assert_int_equal(ret, 0);
	assert_int_equal(config.workers, 2);
	assert_int_equal(config.db_connections, 9);
	config_free(&config);
}

static void what_cannot_be_loaded_leaves_nothing(void **state)
{
	static const struct {
		size_t from, n;
		const char *says;
	} cases[] = {
		{0,  2, "public_url must be set"	 },
		{ 3, 1, "database_url must be set"   },
		{ 4, 1, "workers"			  },
		{ 5, 1, "--set wants NAME=VALUE"	 },
		{ 6, 1, "there is no setting wrokers"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct config_sources sources = { .sets = enough + cases[i].from,
							.n_sets = cases[i].n };
		struct config config;
		struct err err;

		assert_int_equal(config_load(&config, &sources, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		assert_non_null(strstr(err.text, cases[i].says));
	}
}

static void the_manual_names_every_setting_once(void **state)
{
	static const char *const names[] = {
		"data_dir",	   "database_url",    "drain_database_url",
		"keyring_file",	   "public_url",      "listen",
		"key_listen",	   "ops_listen",      "allowed_hosts",
		"trusted_proxies", "workers",	      "max_body_bytes",
		"request_timeout", "db_connections",  "db_timeout",
		"stale_max",	   "spool_max_bytes", "drain_timeout",
		"durability",	   "log_level",	      "log_format",
	};
	char *text = NULL;
	size_t n = 0;
	size_t lines = 0;
	FILE *out = open_memstream(&text, &n);

	(void)state;
	assert_non_null(out);
	config_describe(out);
	fclose(out);
	for (size_t i = 0; i < COUNT(names); i++) {
		char start[64];

		snprintf(start, sizeof(start), "  %s ", names[i]);
		assert_non_null(strstr(text, start));
	}
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, COUNT(names));
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_defaults_are_as_documented),
		TEST(texts_are_taken_as_they_are),
		TEST(a_text_outlives_what_it_was_set_from),
		TEST(lists_are_split_at_commas),
		TEST(a_list_has_an_end),
		TEST(numbers_have_bounds),
		TEST(durations_have_units_and_bounds),
		TEST(what_is_no_number_or_duration_is_refused),
		TEST(words_are_the_ones_there_are),
		TEST(a_setting_that_is_none_is_named),
		TEST(the_environment_sets_what_it_names),
		TEST(a_bad_value_of_the_environment_is_refused),
		TEST(a_value_may_lie_in_a_file),
		TEST(a_file_that_cannot_be_read_is_named),
		TEST(a_file_larger_than_any_setting_is_refused),
		TEST(what_must_be_set_is_asked_for_by_name),
		TEST(what_is_set_by_hand_wins_over_the_environment),
		TEST(what_cannot_be_loaded_leaves_nothing),
		TEST(the_manual_names_every_setting_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
