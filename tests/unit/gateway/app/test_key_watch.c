/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/key_watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "gateway/core/board.h"
#include "gateway/core/meters.h"
#include "tokenstore/keyring.h"

struct world {
	struct loop *loop;
	struct board *board;
	struct meter *meter;
	struct key_watch *watch;
	struct timer timer;
	char dir[32];
	char path[64];
	int n_changed;
	bool usable;
};

static void on_changed(void *ctx, struct keyring *keyring)
{
	struct world *w = ctx;

	w->n_changed++;
	keyring_free(&keyring);
	loop_stop(w->loop);
}

/* What /metrics says of the file. */
static bool is_usable(const struct world *w)
{
	struct buf text;
	bool usable;

	buf_init(&text, 1 << 20);
	metrics_print(w->board->metrics, &text);
	usable = strstr(buf_str(&text), "\ntollgate_keyring_last_load_successful 1\n") != NULL;
	buf_fini(&text);
	return usable;
}

static void look(void *ctx)
{
	struct world *w = ctx;

	if (is_usable(w) == w->usable)
		loop_stop(w->loop);
	else
		timer_start(w->loop, &w->timer, 1, look, w);
}

static void await_usable(struct world *w, bool usable)
{
	w->usable = usable;
	timer_start(w->loop, &w->timer, 0, look, w);
	loop_run(w->loop);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/test_key_watch.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/keyring.json", w->dir);
	w->loop = loop_new();
	w->board = board_new(1, 2);
	w->meter = meter_new(w->board->metrics, 1);
	w->watch = key_watch_new(&(struct key_watch_params){
		.loop = w->loop,
		.path = w->path,
		.interval_ms = 1,
		.meter = w->meter,
		.changed = on_changed,
		.ctx = w,
	});
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	key_watch_free(&w->watch);
	assert_null(w->watch);
	key_watch_free(&w->watch);
	meter_free(&w->meter);
	board_free(&w->board);
	loop_free(&w->loop);
	unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void make(const struct world *w)
{
	struct err err;

	assert_int_equal(keyring_create(w->path, &err), 0);
}

static void what_is_there_at_first_is_no_change(void **state)
{
	struct world *w = *state;
	struct keyring *keyring;
	struct err err;

	make(w);
	keyring = key_watch_load(w->watch, &err);
	assert_non_null(keyring);
	keyring_free(&keyring);
	assert_true(is_usable(w));
	assert_int_equal(unlink(w->path), 0);
	await_usable(w, false); /* it has looked */
	assert_int_equal(w->n_changed, 0);
}

static void a_file_that_appears_is_told(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_null(key_watch_load(w->watch, &err));
	assert_false(is_usable(w));
	make(w);
	loop_run(w->loop);
	assert_int_equal(w->n_changed, 1);
	assert_true(is_usable(w));
}

static void a_file_that_cannot_be_used_is_not_told_until_it_can(void **state)
{
	struct world *w = *state;

	make(w);
	loop_run(w->loop);
	assert_int_equal(chmod(w->path, 0644), 0);
	await_usable(w, false);
	assert_int_equal(w->n_changed, 1);
	assert_int_equal(chmod(w->path, 0600), 0);
	loop_run(w->loop);
	assert_int_equal(w->n_changed, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_at_first_is_no_change),
		TEST(a_file_that_appears_is_told),
		TEST(a_file_that_cannot_be_used_is_not_told_until_it_can),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
