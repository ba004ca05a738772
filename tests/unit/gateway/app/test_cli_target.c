/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gateway/app/cli_fixture.h"

static void write_dev_file(const char *text)
{
	FILE *file;

	mkdir(".run", 0700);
	file = fopen(".run/dev.json", "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static int find(struct fixture *f, struct cli *cli, enum cli_role role)
{
	int code;

	redirect(f);
	code = cli_find_target(cli, role);
	restore(f);
	return code;
}

static void expect_target(struct fixture *f, struct cli *cli, enum cli_role role, const char *url,
			  const char *key)
{
	cli->arena = arena_new();
	assert_int_equal(find(f, cli, role), EXIT_OK);
	assert_string_equal(cli->url, url);
	assert_string_equal(cli->key, key);
	arena_free(&cli->arena);
}

static void options_come_before_the_environment_and_the_file(void **state)
{
	struct fixture *f = *state;

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"admin_key\":\"A\","
		       "\"user_key\":\"U\"}");
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "http://127.0.0.1:1", "A");
	expect_target(f, &(struct cli){ 0 }, CLI_USER, "http://127.0.0.1:1", "U");
	expect_target(f, &(struct cli){ .key = "mine" }, CLI_USER, "http://127.0.0.1:1", "mine");
	setenv("TOLLGATE_KEY", "E", 1);
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "http://127.0.0.1:1", "E");
	setenv("TOLLGATE_URL", "https://env.example//", 1);
	expect_target(f, &(struct cli){ 0 }, CLI_ADMIN, "https://env.example", "E");
	expect_target(f, &(struct cli){ .url = "https://x/", .key = "K" }, CLI_ADMIN, "https://x",
		      "K");
}

static void the_keys_of_the_file_go_nowhere_else(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new(), .url = "https://elsewhere.example" };

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"admin_key\":\"A\"}");
	assert_int_equal(find(f, &cli, CLI_ADMIN), EXIT_SIGN_IN);
	assert_non_null(strstr(f->err, "key"));
	setenv("TOLLGATE_URL", "https://elsewhere.example", 1);
	setenv("TOLLGATE_KEY", "", 1);
	cli.url = NULL;
	assert_int_equal(find(f, &cli, CLI_ADMIN), EXIT_SIGN_IN);
	arena_free(&cli.arena);
}

static void no_gateway_and_a_broken_file_are_told_apart(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new() };

	assert_int_equal(find(f, &cli, CLI_USER), EXIT_UNREACHABLE);
	write_dev_file("{\"public_url\":");
	assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	assert_non_null(strstr(f->err, ".run/dev.json"));
	write_dev_file("{}");
	assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	arena_free(&cli.arena);
}

static void a_file_of_somebody_else_is_not_believed(void **state)
{
	struct fixture *f = *state;
	struct cli cli = { .arena = arena_new() };

	write_dev_file("{\"public_url\":\"http://127.0.0.1:1\",\"user_key\":\"U\"}");
	if (chown(".run/dev.json", 12345, (gid_t)-1) < 0)
		print_message("only root can give a file away\n");
	else
		assert_int_equal(find(f, &cli, CLI_USER), EXIT_USAGE);
	arena_free(&cli.arena);
}

#define WHOLE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WHOLE(options_come_before_the_environment_and_the_file),
		WHOLE(the_keys_of_the_file_go_nowhere_else),
		WHOLE(no_gateway_and_a_broken_file_are_told_apart),
		WHOLE(a_file_of_somebody_else_is_not_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
