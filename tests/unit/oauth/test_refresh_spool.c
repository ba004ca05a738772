/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/spool.h"
#include "oauth/refresh_record.h"
#include "tests/unit/oauth/access_world.h"

#define GOOD_2 REPLY("a2", "r2", "3600")

static void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char name[512];

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
		if (unlink(name) != 0)
			remove_dir(name);
	}
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

static int spool_set_up(void **state)
{
	struct access_world *world;
	char *dir = mem_strdup("/tmp/tgrefresh.XXXXXX");

	if (access_set_up(state) != 0 || mkdtemp(dir) == NULL)
		return -1;
	world = *state;
	access_free(&world->access);
	world->dir = dir;
	access_begin(world, false);
	return 0;
}

static int spool_tear_down(void **state)
{
	struct access_world *world = *state;
	char *dir = (char *)world->dir;
	int ret = access_tear_down(state);

	remove_dir(dir);
	free(dir);
	return ret;
}

#define SPOOL_TEST(name) cmocka_unit_test_setup_teardown(name, spool_set_up, spool_tear_down)

static bool has_records(const struct access_world *world, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", world->dir, name);
	return spool_dir_has_records(path);
}

/* The worker ends, and another one begins in its slot. */
static void begin_again(struct access_world *world, const char *node)
{
	access_free(&world->access);
	world->node = node;
	access_begin(world, false);
}

static struct grant_request lease(void)
{
	return (struct grant_request){
		.verb = GRANT_LEASE, .version = 1, .owner = NODE, .lease_ms = 60000
	};
}

/* An answer that its worker has on disk and no more. */
static void leave_on_disk(struct access_world *world, int64_t version, const char *token)
{
	struct grant_row renewed = {
		.grant = {.expires_at = unix_s() + 3600, .scope = "a \"b\""},
		.access_token = span_of(token),
		.refresh_token = SPAN("r9"),
		.next_refresh_at = 77
	};
	const struct grant_request request = {
		.verb = GRANT_COMMIT,
		.key = world->key,
		.version = version,
		.lease_number = 1,
		.row = &renewed,
		.event = {.type = "refresh_succeeded", .actor = "user:ana", .detail = "{}"},
	};
	struct err err;

	assert_true(refresh_spool_append(world->access->spool, &request, NULL, NULL, NULL, &err) >
		    0);
}

static bool is_second(void *ctx)
{
	return row_of(ctx).version == 2;
}

static void an_answer_on_disk_is_stored_by_the_next_in_the_slot(void **state)
{
	struct access_world *world = *state;
	struct row_seen row;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, -1);
	store_do(world, lease());
	store_do(world,
		 (struct grant_request){ .verb = GRANT_SENT, .version = 1, .lease_number = 1 });
	leave_on_disk(world, 1, "a9");
	begin_again(world, OTHER_NODE);
	while (!is_second(world))
		;
	row = row_of(world);
	assert_string_equal(row.access_token, "a9");
	assert_string_equal(row.refresh_token, "r9");
	assert_string_equal(row.scope, "a \"b\"");
	assert_int_equal(row.next_refresh_at, 77);
	assert_false(row.busy);
	assert_false(row.lost);
	assert_string_equal(ask(world).token, "Bearer a9");
	assert_string_equal(events(world), "connect_completed refresh_succeeded");
	/* It is stored once, and nothing stays behind. */
	begin_again(world, NODE);
	ask(world);
	access_free(&world->access);
	assert_false(has_records(world, "refresh-0"));
	access_begin(world, false);
	assert_string_equal(events(world), "connect_completed refresh_succeeded");
}

static bool is_dropped(void *ctx)
{
	return strstr(events(ctx), "refresh_rotation_persistence_failed") != NULL;
}

static void an_answer_that_was_overtaken_is_dropped_and_recorded(void **state)
{
	struct access_world *world = *state;

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, 3600);
	put_with_lifetime(world, 3600);
	leave_on_disk(world, 1, "a9");
	begin_again(world, OTHER_NODE);
	world_run_until(world->as->world, is_dropped, world);
	assert_string_equal(row_of(world).access_token, "a1");
	assert_int_equal(row_of(world).version, 2);
}

static bool is_given_back(void *ctx)
{
	return !row_of(ctx).busy;
}

static void what_was_sent_and_not_answered_is_given_back_as_lost(void **state)
{
	struct access_world *world = *state;
	struct seen seen = { .world = world };

	play_gated(world);
	put_with_lifetime(world, -1);
	access_start(world->access, &seen.op, &world->key, on_access, &seen);
	world_run_until(world->as->world, was_asked, world);
	access_cancel(&seen.op);
	access_free(&world->access);
	assert_true(row_of(world).busy);
	assert_true(has_records(world, "refresh-0"));
	world->node = OTHER_NODE;
	access_begin(world, false);
	while (!is_given_back(world))
		;
	assert_true(row_of(world).lost);
	assert_int_equal(row_of(world).version, 1);
}

static void a_directory_without_an_owner_is_adopted(void **state)
{
	struct access_world *world = *state;
	char from[512], to[512];

	as_play(world->as, NULL, 0);
	put_with_lifetime(world, -1);
	store_do(world, lease());
	leave_on_disk(world, 1, "a9");
	access_free(&world->access);
	snprintf(from, sizeof(from), "%s/refresh-0", world->dir);
	snprintf(to, sizeof(to), "%s/refresh-7.3", world->dir); /* a slot that is no more */
	assert_int_equal(rename(from, to), 0);
	access_begin(world, false);
	while (!is_second(world))
		;
	while (has_records(world, "refresh-7.3"))
		row_of(world);
	assert_string_equal(row_of(world).access_token, "a9");
}

static bool both_have_records(void *ctx)
{
	return has_records(ctx, "refresh-0") && has_records(ctx, "refresh-0.1");
}

static void two_in_one_slot_have_a_directory_each(void **state)
{
	struct access_world *world = *state;
	struct access_world other = *world;

	other.node = OTHER_NODE;
	access_begin(&other, false);
	world_run_until(world->as->world, both_have_records, world);
	access_free(&other.access);
	assert_false(has_records(world, "refresh-0.1"));
}

static void a_renewal_leaves_nothing_on_disk(void **state)
{
	static const struct as_answer good = { 200, NULL, GOOD_2 };
	struct access_world *world = *state;

	as_play(world->as, &good, 1);
	put_with_lifetime(world, -1);
	assert_string_equal(ask(world).token, "Bearer a2");
	access_free(&world->access);
	assert_false(has_records(world, "refresh-0"));
	access_begin(world, false);
	assert_string_equal(row_of(world).access_token, "a2");
}

static void what_is_no_renewal_is_refused(void **state)
{
	static const char *const table[] = {
		"",
		"{",
		"[]",
		"{}",
		"{\"tenant\":\"" TENANT "\",\"connection\":\"" CONNECTION
		"\",\"subject\":\"\",\"version\":1,\"lease\":1}",
		"{\"tenant\":\"" TENANT "\",\"connection\":\"" CONNECTION
		"\",\"subject\":\"\",\"version\":0,\"lease\":1,\"access_token\":\"00\"}",
		"{\"tenant\":\"nobody\",\"connection\":\"" CONNECTION
		"\",\"subject\":\"\",\"version\":1,\"lease\":1,\"access_token\":\"00\"}",
		"{\"tenant\":\"" TENANT "\",\"connection\":\"" CONNECTION
		"\",\"subject\":\"\",\"version\":1,\"lease\":1,\"access_token\":\"0x\"}",
		"{\"tenant\":\"" TENANT "\",\"connection\":\"" CONNECTION
		"\",\"subject\":\"user:0123456789-0123456789-0123456789-0123456789\",\"version\":1,"
		"\"lease\":1,\"access_token\":\"00\"}",
	};
	struct arena *arena = arena_new();
	struct grant_request request;
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(refresh_record_read(span_of(table[i]), arena, &request, &err), -1);
	assert_int_equal(
		refresh_record_read(SPAN("{\"tenant\":\"" TENANT "\",\"connection\":\"" CONNECTION
					 "\",\"subject\":\"\",\"version\":1,\"lease\":1,"
					 "\"access_token\":\"00ff\"}"),
				    arena, &request, &err),
		0);
	assert_int_equal(request.row->access_token.n, 2);
	arena_free(&arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SPOOL_TEST(an_answer_on_disk_is_stored_by_the_next_in_the_slot),
		SPOOL_TEST(an_answer_that_was_overtaken_is_dropped_and_recorded),
		SPOOL_TEST(what_was_sent_and_not_answered_is_given_back_as_lost),
		SPOOL_TEST(a_directory_without_an_owner_is_adopted),
		SPOOL_TEST(two_in_one_slot_have_a_directory_each),
		SPOOL_TEST(a_renewal_leaves_nothing_on_disk),
		cmocka_unit_test(what_is_no_renewal_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
