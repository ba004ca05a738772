/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/key_holder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "gateway/app/node.h"
#include "gateway/core/tenant.h"
#include "tokenstore/keyring.h"

#define SEAT 1

struct world {
	struct loop *loop;
	struct board *board;
	struct key_holder *holder;
	char dir[32];
	char path[64];
	int n_sealed;
	int n_refused;
	int n_used;	    /* keyrings that the node was given */
	int n_keys_changed; /* of the node and the tenants together */
};
static struct world *current; /* what the node and the tenants of this file belong to */

/* In the place of the real ones. */

void node_use_keyring(struct node *node, const struct keyring *keyring)
{
	assert_ptr_equal(node, current);
	assert_non_null(keyring);
	current->n_used++;
	loop_stop(current->loop);
}

void node_keys_changed(struct node *node)
{
	assert_ptr_equal(node, current);
	current->n_keys_changed++;
}

void tenants_keys_changed(struct tenants *tenants)
{
	assert_ptr_equal(tenants, current);
	current->n_keys_changed++;
	loop_stop(current->loop);
}

static void on_sealed(void *ctx)
{
	((struct world *)ctx)->n_sealed++;
}

static void on_refused(void *ctx)
{
	((struct world *)ctx)->n_refused++;
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	snprintf(w->dir, sizeof(w->dir), "%s", "/tmp/test_key_holder.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/keyring.json", w->dir);
	w->loop = loop_new();
	w->board = board_new(1, 3);
	board_seat_take(w->board, SEAT, 0);
	current = w;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	key_holder_free(&w->holder);
	assert_null(w->holder);
	key_holder_free(&w->holder);
	board_free(&w->board);
	loop_free(&w->loop);
	unlink(w->path);
	assert_int_equal(rmdir(w->dir), 0);
	free(w);
	return 0;
}

static void make_file(const struct world *w)
{
	struct err err;

	assert_int_equal(keyring_create(w->path, &err), 0);
}

static void open_holder(struct world *w)
{
	w->holder = key_holder_new(&(struct key_holder_params){
		.loop = w->loop,
		.path = w->path,
		.board = w->board,
		.seat = SEAT,
		.sealed = on_sealed,
		.refused = on_refused,
		.ctx = w,
	});
	key_holder_follow(w->holder, (struct node *)w);
}

static void add_key(const struct world *w)
{
	struct keyring_edit edit;
	struct err err;
	uint32_t id;

	assert_int_equal(keyring_edit_begin(&edit, w->path, &err), 0);
	assert_int_equal(keyring_add(edit.keyring, &id, &err), 0);
	assert_int_equal(keyring_edit_save(&edit, &err), 0);
	keyring_edit_end(&edit);
}

static int seal_of(const struct world *w)
{
	return w->board->seats[SEAT].sealed;
}

static void a_file_that_comes_is_shown_to_the_node_and_unseals(void **state)
{
	struct world *w = *state;

	open_holder(w);
	assert_null(key_holder_keyring(w->holder));
	key_holder_seal(w->holder, SEAL_NO_KEYRING);
	assert_int_equal(w->n_sealed, 1);
	assert_int_equal(seal_of(w), SEAL_NO_KEYRING);
	make_file(w);
	loop_run(w->loop);
	assert_int_equal(w->n_used, 1);
	assert_non_null(key_holder_keyring(w->holder));
	assert_int_equal(seal_of(w), SEAL_NO_KEYRING); /* until the node has asked */
	key_holder_seal(w->holder, SEAL_OTHER_KEYRING);
	assert_int_equal(seal_of(w), SEAL_OTHER_KEYRING);
	key_holder_open(w->holder, (struct tenants *)w);
	assert_int_equal(seal_of(w), SEAL_NONE);
}

static void who_borrows_it_sees_new_keys_in_place(void **state)
{
	struct world *w = *state;
	const struct keyring *borrowed;

	make_file(w);
	open_holder(w);
	borrowed = key_holder_keyring(w->holder);
	key_holder_open(w->holder, (struct tenants *)w);
	add_key(w);
	loop_run(w->loop);
	assert_ptr_equal(key_holder_keyring(w->holder), borrowed);
	assert_true(keyring_has(borrowed, 2));
	assert_int_equal(w->n_keys_changed, 2);
	assert_int_equal(w->n_used, 0);
}

static void the_successor_of_one_that_serves_is_refused(void **state)
{
	struct world *w = *state;

	open_holder(w);
	board_seat_take(w->board, SEAT + 1, 0);
	w->board->seats[SEAT + 1].state = BOARD_SERVING;
	key_holder_seal(w->holder, SEAL_NO_KEYRING);
	assert_int_equal(w->n_refused, 1);
	assert_int_equal(w->n_sealed, 0);
	assert_int_equal(seal_of(w), SEAL_NONE);
	/* That of one that is sealed itself is not. */
	w->board->seats[SEAT + 1].sealed = SEAL_OTHER_KEYRING;
	key_holder_seal(w->holder, SEAL_NO_KEYRING);
	assert_int_equal(w->n_sealed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_that_comes_is_shown_to_the_node_and_unseals),
		TEST(who_borrows_it_sees_new_keys_in_place),
		TEST(the_successor_of_one_that_serves_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
