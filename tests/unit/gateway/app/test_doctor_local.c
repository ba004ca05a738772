/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/doctor.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/app/dev_cluster.h"
#include "tokenstore/keyring.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct world {
	char dir[64]; /* the data directory */
	struct doctor doctor;
};

static void set(struct world *world, const char *name, const char *value)
{
	struct err err;

	if (config_set(&world->doctor.config, name, value, &err) < 0)
		fail_msg("%s", err.text);
}

static int set_up(void **state)
{
	struct world *world = mem_new(sizeof(*world));

	snprintf(world->dir, sizeof(world->dir), "%s", "/tmp/test_doctor.XXXXXX");
	assert_non_null(mkdtemp(world->dir));
	world->doctor = (struct doctor){ .arena = arena_new(), .source = "here", .workers = 1 };
	config_init(&world->doctor.config);
	set(world, "data_dir", world->dir);
	set(world, "spool_max_bytes", "16777216");
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;
	struct err err;

	keyring_free(&world->doctor.keyring);
	config_free(&world->doctor.config);
	arena_free(&world->doctor.arena);
	assert_int_equal(remove_tree(world->dir, &err), 0);
	free(world);
	return 0;
}

static struct finding look(struct world *world, const char *name)
{
	struct finding finding = { .text = NULL };

	for (const struct check *check = doctor_local_checks; check->name != NULL; check++) {
		if (strcmp(check->name, name) == 0)
			check->run(&world->doctor, &finding);
	}
	assert_non_null(finding.text);
	assert_true((finding.fix == NULL) == (finding.verdict == VERDICT_OK));
	return finding;
}

static void expect(struct world *world, const char *name, enum verdict verdict, const char *says)
{
	struct finding finding = look(world, name);

	if (finding.verdict != verdict || strstr(finding.text, says) == NULL)
		fail_msg("%s: %s %s", name, verdict_name(finding.verdict), finding.text);
}

static void the_first_problem_of_the_configuration_is_told(void **state)
{
	struct world *world = *state;

	expect(world, "configuration", VERDICT_OK, "here");
	world->doctor.problem = "workers must be a number";
	world->doctor.n_problems = 1;
	expect(world, "configuration", VERDICT_FAIL, "workers must be a number");
	world->doctor.n_problems = 2;
	expect(world, "configuration", VERDICT_FAIL, "workers must be a number, and more");
}

static void a_public_url_is_https_or_loopback(void **state)
{
	static const struct {
		const char *url;
		enum verdict verdict;
	} cases[] = {
		{"https://mcp.example.com",	     VERDICT_OK	},
		{ "https://mcp.example.com:8443/",   VERDICT_OK  },
		{ "http://127.0.0.1:8080",	   VERDICT_OK  },
		{ "http://localhost:8080",	   VERDICT_OK  },
		{ "http://[::1]:8080",	       VERDICT_OK  },
		{ "http://mcp.example.com",	    VERDICT_FAIL},
		{ "http://10.0.0.1",		     VERDICT_FAIL},
		{ "https://mcp.example.com/gateway", VERDICT_WARN},
	};
	struct world *world = *state;

	expect(world, "public_url", VERDICT_FAIL, "not set");
	for (size_t i = 0; i < COUNT(cases); i++) {
		set(world, "public_url", cases[i].url);
		expect(world, "public_url", cases[i].verdict, cases[i].url);
	}
}

static void a_data_directory_is_ours_alone(void **state)
{
	struct world *world = *state;

	expect(world, "data_dir", VERDICT_OK, world->dir);
	assert_int_equal(chmod(world->dir, 0750), 0);
	expect(world, "data_dir", VERDICT_WARN, "(mode 0750)");
	set(world, "data_dir", "/dev/null");
	expect(world, "data_dir", VERDICT_FAIL, "is no directory");
	set(world, "data_dir", "/nonexistent");
	expect(world, "data_dir", VERDICT_FAIL, "No such file");
	expect(world, "disk", VERDICT_WARN, "No such file");
}

static void who_holds_the_lock_runs(void **state)
{
	struct world *world = *state;
	char path[96];
	int fd;

	expect(world, "running", VERDICT_WARN, "no gateway runs");
	snprintf(path, sizeof(path), "%s/lock", world->dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	expect(world, "running", VERDICT_WARN, "no gateway runs");
	assert_false(world->doctor.runs);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	expect(world, "running", VERDICT_OK, "a gateway runs");
	assert_true(world->doctor.runs);
	close(fd);
	/* Nothing was left locked by looking. */
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
	close(fd);
}

static void a_spool_that_fills_is_told(void **state)
{
	struct world *world = *state;
	char path[96];

	expect(world, "spool", VERDICT_OK, "the largest has 0 MiB");
	for (int slot = 0; slot < 2; slot++) {
		snprintf(path, sizeof(path), "%s/spool-%d", world->dir, slot);
		assert_int_equal(mkdir(path, 0700), 0);
		snprintf(path, sizeof(path), "%s/spool-%d/segment", world->dir, slot);
		close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
		assert_int_equal(truncate(path, (slot + 1) * 4 << 20), 0);
	}
	expect(world, "spool", VERDICT_OK, "the largest has 8 MiB");
	assert_int_equal(truncate(path, 9 << 20), 0);
	expect(world, "spool", VERDICT_WARN, "has 9 of 16 MiB");
}

static void a_keyring_is_opened_or_told_why_not(void **state)
{
	struct world *world = *state;
	char path[96];
	struct err err;

	snprintf(path, sizeof(path), "%s/keyring.json", world->dir);
	set(world, "keyring_file", path);
	expect(world, "keyring", VERDICT_FAIL, "No such file");
	assert_null(world->doctor.keyring);
	assert_int_equal(keyring_create(path, &err), 0);
	assert_int_equal(chmod(path, 0644), 0);
	expect(world, "keyring", VERDICT_FAIL, "chmod 600");
	assert_int_equal(chmod(path, 0600), 0);
	expect(world, "keyring", VERDICT_OK, path);
	assert_non_null(world->doctor.keyring);
}

static void hosts_that_match_nobody_are_told(void **state)
{
	struct world *world = *state;

	expect(world, "allowed_hosts", VERDICT_OK, "that of public_url");
	set(world, "allowed_hosts", "a.example,0.0.0.0:8080");
	expect(world, "allowed_hosts", VERDICT_WARN, "0.0.0.0:8080");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_first_problem_of_the_configuration_is_told),
		TEST(a_public_url_is_https_or_loopback),
		TEST(a_data_directory_is_ours_alone),
		TEST(who_holds_the_lock_runs),
		TEST(a_spool_that_fills_is_told),
		TEST(a_keyring_is_opened_or_told_why_not),
		TEST(hosts_that_match_nobody_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
