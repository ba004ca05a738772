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

#define PATH_BYTES 32

static void on_problem(void *ctx, const char *text)
{
	buf_printf(ctx, "%s\n", text);
}

/* Everything that is wrong, one a line; for the caller to free, like the configuration. */
static char *problems_of(struct config *config, const struct config_sources *sources)
{
	struct buf told;
	const struct config_problems problems = { .tell = on_problem, .ctx = &told };
	size_t lines = 0;
	size_t n;
	char *text;

	buf_init(&told, 1 << 20);
	n = config_read(config, sources, &problems);
	text = buf_take(&told, NULL);
	for (const char *p = text; *p != '\0'; p++)
		lines += *p == '\n';
	assert_int_equal(lines, n);
	return text;
}

static void expect_problems(const struct config_sources *sources, const char *expected)
{
	struct config config;
	char *text = problems_of(&config, sources);

	assert_string_equal(text, expected);
	free(text);
	config_free(&config);
}

static void make_file(char path[PATH_BYTES], const char *text)
{
	int fd;

	snprintf(path, PATH_BYTES, "%s", "/tmp/test_config.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static const char *const enough[] = {
	"database_url=host=h",
	"drain_database_url=host=h",
	"public_url=https://x.example",
};
#define ENOUGH .sets = enough, .n_sets = COUNT(enough)

static void what_must_be_set_is_asked_for_by_name(void **state)
{
	const struct config_sources nothing = { .file = "/dev/null" };
	const struct config_sources half = { .file = "/dev/null", .sets = enough, .n_sets = 2 };

	(void)state;
	expect_problems(&nothing,
			"database_url must be set, in the file, by TOLLGATE_DATABASE_URL in the "
			"environment or by --set database_url=…: PostgreSQL as role tollgate_app "
			"(URI or key=value).\n"
			"drain_database_url must be set, in the file, by "
			"TOLLGATE_DRAIN_DATABASE_URL in the environment or by --set "
			"drain_database_url=…: PostgreSQL as role tollgate_audit_writer.\n"
			"public_url must be set, in the file, by TOLLGATE_PUBLIC_URL in the "
			"environment or by --set public_url=…: URL under which clients reach the "
			"public listener.\n");
	expect_problems(&half, "public_url must be set, in the file, by TOLLGATE_PUBLIC_URL in "
			       "the environment or by --set public_url=…: URL under which clients "
			       "reach the public listener.\n");
}

static void what_is_nearer_wins(void **state)
{
	static const char *const sets[] = {
		"database_url=host=h",
		"drain_database_url=host=h",
		"public_url=https://x.example",
		"workers=2",
		"workers=5",
	};
	char path[PATH_BYTES];
	char secret[PATH_BYTES];
	struct config_sources sources = { .file = path, .sets = sets, .n_sets = COUNT(sets) };
	struct config config;
	char *text;

	(void)state;
	make_file(path, "workers: 1\ndb_connections: 11\nkeyring_file: /f\ndata_dir: /f\n"
			"allowed_hosts: [a]\n");
	make_file(secret, "/from/file\r\n\n");
	setenv("TOLLGATE_WORKERS", "3", 1);
	setenv("TOLLGATE_DB_CONNECTIONS", "12", 1);
	setenv("TOLLGATE_ALLOWED_HOSTS", "b,c", 1);
	setenv("TOLLGATE_KEYRING_FILE_FILE", secret, 1);
	setenv("TOLLGATE_DB_CONNECTIONS_FILE", "/nonexistent", 1);
	text = problems_of(&config, &sources);
	unsetenv("TOLLGATE_WORKERS");
	unsetenv("TOLLGATE_DB_CONNECTIONS");
	unsetenv("TOLLGATE_ALLOWED_HOSTS");
	unsetenv("TOLLGATE_KEYRING_FILE_FILE");
	unsetenv("TOLLGATE_DB_CONNECTIONS_FILE");
	unlink(path);
	unlink(secret);
	assert_string_equal(text, "");
	assert_int_equal(config.workers, 5);
	assert_int_equal(config.db_connections, 12);
	assert_int_equal(config.n_allowed_hosts, 2);
	assert_string_equal(config.keyring_file, "/from/file");
	assert_string_equal(config.data_dir, "/f");
	assert_string_equal(config.log_level, "info");
	free(text);
	config_free(&config);
}

/* As systemd hands one over. */
static void a_credential_is_the_keyring_unless_another_is_named(void **state)
{
	static const char *const required[] = { "database_url=host=d", "drain_database_url=host=d",
						"public_url=https://x", "keyring_file=/mine" };
	const struct config_sources sources = { .sets = required, .n_sets = 3 };
	const struct config_sources named = { .sets = required, .n_sets = 4 };
	char dir[] = "/tmp/test_config_load.XXXXXX";
	char path[64];
	struct config config;
	struct err err;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keyring.json", dir);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	assert_int_equal(config_load(&config, &sources, &err), 0);
	assert_string_equal(config.keyring_file, "/etc/tollgate/keyring.json");
	config_free(&config);
	fclose(fopen(path, "w"));
	assert_int_equal(config_load(&config, &sources, &err), 0);
	assert_string_equal(config.keyring_file, path);
	assert_string_equal(config.origins[config_find("keyring_file") - config_settings],
			    "CREDENTIALS_DIRECTORY");
	config_free(&config);
	assert_int_equal(config_load(&config, &named, &err), 0);
	assert_string_equal(config.keyring_file, "/mine");
	config_free(&config);
	unsetenv("CREDENTIALS_DIRECTORY");
	unlink(path);
	rmdir(dir);
}

static void every_source_tells_all_that_is_wrong_with_it(void **state)
{
	static const char *const sets[] = { "no equals sign", "colour=red", "log_level=loud" };
	char path[PATH_BYTES];
	char expected[512];
	const struct config_sources sources = { .file = path, .sets = sets, .n_sets = 3 };
	struct config config;
	char *text;

	(void)state;
	make_file(path, "workers: 257\n");
	setenv("TOLLGATE_WORKERS", "many", 1);
	setenv("TOLLGATE_DATABASE_URL_FILE", "/nonexistent/secret", 1);
	text = problems_of(&config, &sources);
	unsetenv("TOLLGATE_WORKERS");
	unsetenv("TOLLGATE_DATABASE_URL_FILE");
	unlink(path);
	snprintf(expected, sizeof(expected),
		 "%s:1:10: workers: must be a whole number from 0 to 256\n"
		 "TOLLGATE_DATABASE_URL_FILE: /nonexistent/secret: No such file or directory\n"
		 "TOLLGATE_WORKERS: workers: must be a whole number from 0 to 256\n"
		 "--set wants NAME=VALUE, not no equals sign\n"
		 "--set: there is no setting colour\n"
		 "--set: log_level must be one of debug|info|warn|error\n",
		 path);
	assert_string_equal(text, expected);
	free(text);
	config_free(&config);
}

static void a_file_that_is_no_text_or_too_large_is_refused(void **state)
{
	struct config_sources sources = { ENOUGH };
	char path[PATH_BYTES];
	char expected[128];
	FILE *file;

	(void)state;
	make_file(path, "");
	sources.file = path;
	expect_problems(&sources, "");
	file = fopen(path, "we");
	assert_non_null(file);
	fwrite("a\0b", 1, 3, file);
	fclose(file);
	snprintf(expected, sizeof(expected), "%s holds a NUL and so is no text\n", path);
	expect_problems(&sources, expected);
	file = fopen(path, "we");
	assert_non_null(file);
	for (int i = 0; i <= CONFIG_MAX_FILE_BYTES; i++)
		fputc('#', file);
	fclose(file);
	snprintf(expected, sizeof(expected), "%s is larger than 65536 bytes\n", path);
	expect_problems(&sources, expected);
	unlink(path);
	snprintf(expected, sizeof(expected), "%s: No such file or directory\n", path);
	expect_problems(&sources, expected);
	sources.file = "/tmp";
	expect_problems(&sources, "/tmp: Is a directory\n");
}

static void the_file_is_the_one_that_is_named(void **state)
{
	const struct config_sources named = { .file = "/named" };
	const struct config_sources unnamed = { 0 };

	(void)state;
	setenv("TOLLGATE_CONFIG", "/from/environment", 1);
	assert_string_equal(config_file(&named), "/named");
	assert_string_equal(config_file(&unnamed), "/from/environment");
	setenv("TOLLGATE_CONFIG", "", 1);
	if (access(CONFIG_DEFAULT_FILE, F_OK) == 0)
		assert_string_equal(config_file(&unnamed), CONFIG_DEFAULT_FILE);
	else
		assert_null(config_file(&unnamed));
	unsetenv("TOLLGATE_CONFIG");
}

static void what_is_loaded_is_whole_or_nothing(void **state)
{
	const struct config_sources good = { .file = "/dev/null", ENOUGH };
	const struct config_sources bad = { .file = "/dev/null", .sets = enough, .n_sets = 1 };
	struct config config;
	struct err err;

	(void)state;
	assert_int_equal(config_load(&config, &good, &err), 0);
	assert_string_equal(config.public_url, "https://x.example");
	config_free(&config);
	assert_int_equal(config_load(&config, &bad, &err), -1);
	assert_int_equal(err.code, ERR_BAD_REQUEST);
	assert_memory_equal(err.text, "drain_database_url must be set", 30);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_must_be_set_is_asked_for_by_name),
		cmocka_unit_test(what_is_nearer_wins),
		cmocka_unit_test(a_credential_is_the_keyring_unless_another_is_named),
		cmocka_unit_test(every_source_tells_all_that_is_wrong_with_it),
		cmocka_unit_test(a_file_that_is_no_text_or_too_large_is_refused),
		cmocka_unit_test(the_file_is_the_one_that_is_named),
		cmocka_unit_test(what_is_loaded_is_whole_or_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
