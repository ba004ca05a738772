/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_BOOK_FIXTURE_H
#define TESTS_UNIT_AUDIT_BOOK_FIXTURE_H

/* What the tests of the book share: a private server with every migration, a pool as the drain has
 * it, and a spool of its own for each test. The base's pool is the superuser's, to look at rows. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "audit/book.h"
#include "base/crypto.h"
#include "gateway/app/migrate.h"
#include "tests/unit/base/db_fixture.h"

#define SPOOL_BYTES ((size_t)64 << 20)
#define NODE_ID	    "cccccccc-0000-4000-8000-00000000000c"

struct desk {
	struct fixture base;
	struct db *writer;
	char top[32];
	char dir[64];
	size_t spool_max_bytes;
	bool fsync;
	struct book *book;
	struct book_flush *flush;
	int flushed;
	struct migrate *migrate;
	int migrated;
};

static inline void on_migrated(void *ctx, size_t n, const struct err *err)
{
	struct desk *d = ctx;

	if (err != NULL)
		print_error("migrations: %s\n", err->text);
	assert_null(err);
	assert_int_equal(n, n_migrations);
	d->migrated++;
}

static inline bool is_migrated(void *ctx)
{
	const struct desk *d = ctx;

	return d->migrated > 0;
}

static inline int start_desks(void **state)
{
	struct desk *d = mem_new(sizeof(*d));

	*state = d;
	log_configure(LOG_ERROR + 1, LOG_TEXT);
	if (pg_cluster_start(&d->base.cluster) < 0)
		return -1;
	d->base.loop = loop_new();
	migrate_start(d->base.loop, &d->migrate,
		      &(struct migrate_params){ .conninfo = d->base.cluster.conninfo,
						.list = migrations,
						.n = n_migrations,
						.done = on_migrated,
						.ctx = d });
	run_until(&d->base, is_migrated, d);
	loop_free(&d->base.loop);
	return 0;
}

static inline int end_desks(void **state)
{
	struct desk *d = *state;

	pg_cluster_stop(&d->base.cluster);
	free(d);
	return 0;
}

static inline struct db *new_writer(const struct desk *d, struct loop *loop)
{
	char *conninfo = mem_printf("%s user=tollgate_audit_writer", d->base.cluster.conninfo);
	struct db_params params = default_params(&d->base);
	struct db *db;

	params.conninfo = conninfo;
	params.max_connections = 1;
	db = db_new(loop, &params);
	free(conninfo);
	return db;
}

static inline struct book *try_open(const struct desk *d, struct loop *loop, struct db *writer,
				    struct err *err)
{
	return book_open(&(struct book_params){ .loop = loop,
						.db = writer,
						.spool_dir = d->dir,
						.node_id = NODE_ID,
						.spool_max_bytes = d->spool_max_bytes,
						.fsync = d->fsync },
			 err);
}

static inline void open_book(struct desk *d)
{
	struct err err;

	d->book = try_open(d, d->base.loop, d->writer, &err);
	if (d->book == NULL)
		print_error("%s\n", err.text);
	assert_non_null(d->book);
}

static inline void reopen_book(struct desk *d)
{
	book_close(&d->book);
	open_book(d);
}

/* Directories hold files only. */
static inline void remove_dir(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(path);
}

static inline const char *look(struct desk *d, const char *sql)
{
	static struct shot shot;

	/* After an outage an operation would fail at once. */
	run_until(&d->base, is_up, d->base.db);
	return ask(&d->base, &shot, sql);
}

static inline int start_desk(void **state)
{
	struct desk *d = *state;

	if (start_test(state) < 0)
		return -1;
	look(d, "TRUNCATE audit.call_log");
	snprintf(d->top, sizeof(d->top), "/tmp/test_book.XXXXXX");
	assert_non_null(mkdtemp(d->top));
	snprintf(d->dir, sizeof(d->dir), "%s/spool", d->top);
	d->spool_max_bytes = SPOOL_BYTES;
	d->fsync = false;
	d->flushed = 0;
	d->writer = new_writer(d, d->base.loop);
	return 0;
}

static inline int end_desk(void **state)
{
	struct desk *d = *state;

	book_close(&d->book);
	db_free(&d->writer);
	remove_dir(d->dir);
	assert_int_equal(rmdir(d->top), 0);
	return end_test(state);
}

static inline void on_flushed(void *ctx)
{
	struct desk *d = ctx;

	assert_null(d->flush);
	d->flushed++;
}

static inline bool was_flushed(void *ctx)
{
	const struct desk *d = ctx;

	return d->flushed > 0;
}

/* Until every complete row is in PostgreSQL. */
static inline void flush(struct desk *d)
{
	d->flushed = 0;
	book_flush_start(d->book, &d->flush, LIMIT_MS, on_flushed, d);
	assert_int_equal(d->flushed, 0);
	run_until(&d->base, was_flushed, d);
	assert_int_equal(d->flushed, 1);
	assert_int_equal(book_backlog(d->book), 0);
}

/* Calls, by number. */

struct call {
	char id[UUID_TEXT_BYTES];
	struct book_call call;
};

static inline const struct book_call *call_number(struct call *call, unsigned n)
{
	snprintf(call->id, sizeof(call->id), "00000000-0000-7000-8000-%012x", n);
	call->call =
		(struct book_call){ .call_id = call->id,
				    .started_us = loop_unix_us() / 86400000000 * 86400000000 + n,
				    .tenant = "demo",
				    .method = SPAN("tools/call"),
				    .tool = SPAN("crm__get") };
	return &call->call;
}

static const struct book_result fine = {
	.outcome = BOOK_OK, .duration_us = 1500, .upstream_us = 1000, .http_status = 200
};

static inline void expect_taken(int ret, const struct err *err)
{
	if (ret < 0)
		print_error("%s\n", err->text);
	assert_int_equal(ret, 0);
}

static inline void put_intent(struct desk *d, const struct book_call *call)
{
	struct err err;

	expect_taken(book_intent(d->book, call, NULL, NULL, NULL, &err), &err);
}

static inline void put_outcome(struct desk *d, const struct book_call *call,
			       const struct book_result *result)
{
	struct err err;

	expect_taken(book_outcome(d->book, call, result, NULL, NULL, NULL, &err), &err);
}

static inline void put_entry(struct desk *d, const struct book_call *call,
			     const struct book_result *result)
{
	struct err err;

	expect_taken(book_entry(d->book, call, result, NULL, NULL, NULL, &err), &err);
}

/* From until behind: INTENT and OUTCOME each. */
static inline void put_calls(struct desk *d, unsigned from, unsigned behind)
{
	struct call call;

	for (unsigned n = from; n < behind; n++) {
		put_intent(d, call_number(&call, n));
		put_outcome(d, call_number(&call, n), &fine);
	}
}

static inline void expect(struct desk *d, const char *sql, const char *value)
{
	const char *got = look(d, sql);

	if (strcmp(got, value) != 0)
		print_error("%s\n", sql);
	assert_string_equal(got, value);
}

#define DESK_TEST(name) cmocka_unit_test_setup_teardown(name, start_desk, end_desk)

#endif
