/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FAKES_GATE_DB_H
#define FAKES_GATE_DB_H

/*
 * For tests of what stands on the gateway's tables: one private server per program, migrated; a
 * loop and two pools per test, and no row left behind by the test before.
 */

#include <stdbool.h>

#include "base/crypto.h"
#include "base/db.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/mem.h"
#include "gateway/core/provision.h"
#include "tests/fakes/pg.h"

#define GATE_DEPLOYMENT	  "test"
#define GATE_WAIT_MS	  20000
#define GATE_ANSWER_BYTES 4096

struct keyring;

struct gate_db {
	struct pg_cluster cluster;
	char *app_conninfo; /* of tollgate_app */
	char dir[32];	    /* holds the keyring's file */
	struct keyring *keyring;
	struct loop *loop;
	struct db *app;	  /* as tollgate_app */
	struct db *admin; /* as superuser, whom no policy binds */
	struct timer tick;
	bool (*holds)(void *ctx);
	void *ctx;
	int64_t give_up_at_ms;
	char answer[GATE_ANSWER_BYTES];
};

/* For cmocka: of the group, and of each test. *state is the gate_db. */
int gate_db_start_program(void **state);
int gate_db_end_program(void **state);
int gate_db_start_test(void **state);
int gate_db_end_test(void **state);
#define GATE_DB_TEST(name)                                                                         \
	cmocka_unit_test_setup_teardown(name, gate_db_start_test, gate_db_end_test)

/* Runs the loop until it holds, which must come true. */
void gate_db_until(struct gate_db *gate, bool (*holds)(void *ctx), void *ctx);
/* Runs the loop for about that long: to see that nothing happens. */
void gate_db_for(struct gate_db *gate, int64_t ms);

/* One statement of the superuser; it must succeed. */
void gate_db_do(struct gate_db *gate, const char *format, ...) ERR_PRINTF(2, 3);
/* Column v of its first row, "NULL", or "none" if there is no row; valid until the next. */
const char *gate_db_ask(struct gate_db *gate, const char *format, ...) ERR_PRINTF(2, 3);

/* Runs it as tollgate_app; it must succeed. Returns the rows that the last statement affected. */
size_t gate_db_provision(struct gate_db *gate, const struct provision *provision);
/* A new tenant with its first data key. */
void gate_db_tenant(struct gate_db *gate, const char *name, char id[UUID_TEXT_BYTES]);

#endif
