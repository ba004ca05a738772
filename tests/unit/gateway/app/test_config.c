/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/app/config_priv.h"

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
	assert_int_equal(config->audit_spool_min_free, 268435456);
	assert_string_equal(config->audit_anchor_file, "");
	assert_string_equal(config->audit_anchor_syslog, "false");
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
		const char *value;
	} texts[] = {
		{"data_dir",	      &config->data_dir,		 "a, b = c"		    },
		{ "database_url",	  &config->database_url,	 "host=h password='a, b'"},
		{ "drain_database_url", &config->drain_database_url, "postgresql://u:p@h/d"  },
		{ "keyring_file",	  &config->keyring_file,	 "a, b = c"		    },
		{ "audit_anchor_file",  &config->audit_anchor_file,  "/srv/a, b.jsonl"	     },
		{ "public_url",		&config->public_url,	     "https://x.example:444" },
		{ "listen",		    &config->listen,	     "[::1]:0"	       },
		{ "key_listen",		&config->key_listen,	     "0.0.0.0:65535"	     },
		{ "ops_listen",		&config->ops_listen,	     "127.0.0.1:1"	   },
	};

	for (size_t i = 0; i < COUNT(texts); i++) {
		set(config, texts[i].name, texts[i].value);
		assert_string_equal(*texts[i].member, texts[i].value);
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
		{"workers",		     &config->workers,	       "0",	    "256",	   "-1",	 "257",		0,	   256	       },
		{ "max_body_bytes",	    &config->max_body_bytes,	     "1024",     "67108864",	 "1023", "67108865",
		  1024,														   67108864	 },
		{ "db_connections",	    &config->db_connections,	     "1",	  "100",		 "0",    "101",	     1,	100	    },
		{ "spool_max_bytes",	     &config->spool_max_bytes,      "16777216", "1099511627776",
		  "16777215",										  "1099511627777", 16777216, 1099511627776},
		{ "audit_spool_min_free", &config->audit_spool_min_free, "0",	      "1099511627776", "-1",
		  "1099511627777",											      0,	      1099511627776},
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

static void a_value_that_cannot_be_is_told_with_the_settings_name(void **state)
{
	static const struct {
		const char *name, *value, *says;
	} cases[] = {
		{"public_url",		"x.example",		     "public_url: "			    },
		{ "listen",		    "8080",			    "listen: 8080 is no address:port"      },
		{ "key_listen",		"localhost:1",
		  "key_listen: localhost:1: a literal address is needed"					 },
		{ "ops_listen",		"127.0.0.1:65536",		   "ops_listen: 127.0.0.1:65536: the port"},
		{ "database_url",	  "nonsense",
		  "database_url: the connection string cannot be parsed"					 },
		{ "drain_database_url", "service=x",
		  "drain_database_url: the connection string must not name a service"			      },
		{ "allowed_hosts",	   "a.example,https://b.example",
		  "allowed_hosts: https://b.example is no host"						},
		{ "trusted_proxies",    "10.0.0.1,proxy",
		  "trusted_proxies: proxy is no literal address"						 },
	};
	struct err err;

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(config_set(*state, cases[i].name, cases[i].value, &err), -1);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
		if (strncmp(err.text, cases[i].says, strlen(cases[i].says)) != 0)
			fail_msg("%s: %s", cases[i].name, err.text);
	}
}

static void a_password_is_not_repeated_when_its_string_is_refused(void **state)
{
	struct err err;

	assert_int_equal(config_set(*state, "database_url", "password=hunter2 oops", &err), -1);
	assert_null(strstr(err.text, "hunter2"));
}

static void a_mistyped_name_is_put_right(void **state)
{
	struct err err;

	assert_int_equal(config_set(*state, "wrokers", "1", &err), -1);
	assert_string_equal(err.text, "there is no setting wrokers; did you mean workers?");
	assert_int_equal(config_set(*state, "colour", "1", &err), -1);
	assert_string_equal(err.text, "there is no setting colour");
}

static void every_setting_says_where_it_comes_from(void **state)
{
	struct config *config = *state;

	set(config, "workers", "2");
	for (size_t i = 0; i < config_n_settings; i++)
		assert_string_equal(config->origins[i],
				    strcmp(config_settings[i].name, "workers") == 0 ? "--set"
										    : "default");
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
		TEST(a_value_that_cannot_be_is_told_with_the_settings_name),
		TEST(a_password_is_not_repeated_when_its_string_is_refused),
		TEST(a_mistyped_name_is_put_right),
		TEST(every_setting_says_where_it_comes_from),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
