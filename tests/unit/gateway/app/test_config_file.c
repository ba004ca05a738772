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

#include "base/buf.h"
#include "gateway/app/config_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define PATH_BYTES 40

/* Without the path before it, which is another one each time. */
struct told {
	struct buf text;
	size_t skip;
};

static void on_problem(void *ctx, const char *text)
{
	struct told *told = ctx;

	buf_printf(&told->text, "%s\n", text + told->skip);
}

static size_t read_text(struct config *config, const char *text, char **problems)
{
	char path[PATH_BYTES] = "/tmp/test_config_file.XXXXXX";
	struct told told = { .skip = strlen(path) + 1 };
	size_t n = 0;
	const struct config_problems reader = { .tell = on_problem, .ctx = &told, .n = &n };
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	buf_init(&told.text, 1 << 20);
	config_init(config);
	config_read_file(config, path, &reader);
	unlink(path);
	*problems = buf_take(&told.text, NULL);
	return n;
}

static void a_file_sets_what_it_names(void **state)
{
	struct config config;
	char *problems;

	(void)state;
	setenv("CONFIG_TEST_DIR", "/run/x", 1);
	setenv("CONFIG_TEST_N", "7", 1);
	assert_int_equal(read_text(&config,
				   "data_dir: ${CONFIG_TEST_DIR}/spool-$${x}\n"
				   "workers: ${CONFIG_TEST_N}\n"
				   "db_timeout: 0.5\n"
				   "drain_timeout: 1m\n"
				   "log_level: 'warn'\n"
				   "public_url: \"https://x.example\"\n"
				   "trusted_proxies: [10.0.0.1, '::1']\n"
				   "allowed_hosts:\n- a.example\n- \"b:81\"\n"
				   "database_url: host=h password=$pw\n",
				   &problems),
			 0);
	unsetenv("CONFIG_TEST_DIR");
	unsetenv("CONFIG_TEST_N");
	assert_string_equal(problems, "");
	assert_string_equal(config.data_dir, "/run/x/spool-${x}");
	assert_int_equal(config.workers, 7);
	assert_int_equal(config.db_timeout_ms, 500);
	assert_int_equal(config.drain_timeout_ms, 60000);
	assert_string_equal(config.log_level, "warn");
	assert_string_equal(config.public_url, "https://x.example");
	assert_int_equal(config.n_trusted_proxies, 2);
	assert_string_equal(config.trusted_proxies[1], "::1");
	assert_int_equal(config.n_allowed_hosts, 2);
	assert_string_equal(config.allowed_hosts[1], "b:81");
	assert_string_equal(config.database_url, "host=h password=$pw");
	assert_non_null(strstr(config.origins[0], "test_config_file."));
	assert_string_equal(strchr(config.origins[0], ':'), ":1");
	free(problems);
	config_free(&config);
}

static void a_secret_may_lie_in_a_file_of_its_own(void **state)
{
	char secret[PATH_BYTES] = "/tmp/test_secret.XXXXXX";
	int fd = mkstemp(secret);
	struct config config;
	char text[128];
	char *problems;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "host=h password=x\n", 18), 18);
	close(fd);
	snprintf(text, sizeof(text), "database_url: {file: %s}\n", secret);
	assert_int_equal(read_text(&config, text, &problems), 0);
	assert_string_equal(config.database_url, "host=h password=x");
	free(problems);
	config_free(&config);
	unlink(secret);
}

static void what_is_wrong_is_told_where_it_stands(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *problems;
	} cases[] = {
		{ "wrokers: 1\n", "1:1: there is no setting wrokers; did you mean workers?\n" },
		{ "\n\n  colour: 1\n", "3:3: there is no setting colour\n" },
		{ "workers: 1.5\n", "1:10: workers: must be a whole number from 0 to 256\n" },
		{ "workers: 257\n", "1:10: workers: must be a whole number from 0 to 256\n" },
		{ "workers: '4'\n", "1:10: workers must be a number, not a text\n" },
		{ "workers: many\n", "1:10: workers must be a number, not a text\n" },
		{ "workers: true\n",
		  "1:10: workers must be a number, not true or false (quotes make it a text)\n" },
		{ "workers:\n", "1:9: workers must be a number, not nothing\n" },
		{ "workers: [1]\n", "1:1: workers must be a number\n" },
		{ "data_dir: 5\n", "1:11: data_dir must be a text, not a number (quotes make it a text)\n" },
		{ "data_dir: ~\n", "1:11: data_dir must be a text, not nothing\n" },
		{ "data_dir: [a]\n", "1:1: data_dir must be a text\n" },
		{ "data_dir: {file: a}\n", "1:1: data_dir must be a text\n" },
		{ "allowed_hosts: a\n", "1:1: allowed_hosts must be a list of texts\n" },
		{ "allowed_hosts: [a, 5]\n",
		  "1:20: allowed_hosts must be a list of texts, not a number (quotes make it a text)\n" },
		{ "allowed_hosts: [a, 'b c']\n", "1:1: allowed_hosts: b c is no host or host:port\n" },
		{ "db_timeout: soon\n",
		  "1:13: db_timeout: must be a duration such as \"250ms\", \"10s\", \"5m\", \"2h\", \"1d\" "
		  "or a number of seconds\n" },
		{ "db_timeout: 2m\n", "1:13: db_timeout must lie between 100 and 60000 ms\n" },
		{ "log_level: INFO\n", "1:12: log_level must be one of debug|info|warn|error\n" },
		{ "listen: '8080'\n", "1:9: listen: 8080 is no address:port\n" },
		{ "database_url: {file: /nonexistent}\n",
		  "1:22: database_url: /nonexistent: No such file or directory\n" },
		{ "database_url: [a]\n", "1:1: database_url must be a text, or {file: path}\n" },
		{ "data_dir: ${CONFIG_TEST_NONE}\n",
		  "1:11: data_dir: the environment has no variable CONFIG_TEST_NONE\n" },
		{ "data_dir: a${\n",
		  "1:11: data_dir: ${NAME} names a variable of the environment; $${ is a plain ${\n" },
		{ "data_dir: ${A-b}\n",
		  "1:11: data_dir: ${NAME} names a variable of the environment; $${ is a plain ${\n" },
		{ "workers: 1\nworkers: 2\n", "2:1: workers is given twice: first in line 1\n" },
		{ "wrokers: 1\nworkers: x\nlog_level: y\n",
		  "1:1: there is no setting wrokers; did you mean workers?\n"
		  "2:10: workers must be a number, not a text\n"
		  "3:12: log_level must be one of debug|info|warn|error\n" },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct config config;
		char *problems;

		read_text(&config, cases[i].text, &problems);
		assert_string_equal(problems, cases[i].problems);
		free(problems);
		config_free(&config);
	}
}

static void what_a_variable_holds_is_checked_like_the_rest(void **state)
{
	struct config config;
	char *problems;

	(void)state;
	setenv("CONFIG_TEST_N", "lots", 1);
	read_text(&config, "workers: ${CONFIG_TEST_N}\n", &problems);
	assert_string_equal(problems, "1:10: workers must be a number, not a text\n");
	free(problems);
	config_free(&config);
	/* What it holds is not expanded again. */
	setenv("CONFIG_TEST_N", "${CONFIG_TEST_N}", 1);
	read_text(&config, "data_dir: ${CONFIG_TEST_N}\n", &problems);
	assert_string_equal(config.data_dir, "${CONFIG_TEST_N}");
	unsetenv("CONFIG_TEST_N");
	free(problems);
	config_free(&config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_sets_what_it_names),
		cmocka_unit_test(a_secret_may_lie_in_a_file_of_its_own),
		cmocka_unit_test(what_is_wrong_is_told_where_it_stands),
		cmocka_unit_test(what_a_variable_holds_is_checked_like_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
