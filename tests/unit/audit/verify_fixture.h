/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_VERIFY_FIXTURE_H
#define TESTS_UNIT_AUDIT_VERIFY_FIXTURE_H

/* A book that was made of what verify_library.h has, and verifications of it. */

#include "tests/unit/audit/verify_library.h"

/* --- verifying ------------------------------------------------------------------------------- */

static inline void on_found(void *ctx, enum verify_problem problem,
			    const struct verify_record *record)
{
	struct library *l = ctx;

	if (l->n_found < MAX_FOUND)
		l->found[l->n_found] = (struct found){ problem, *record };
	l->n_found++;
}

static inline void on_verified(void *ctx, const struct verify_totals *totals, const struct err *err)
{
	struct library *l = ctx;

	l->done = true;
	l->failed = err != NULL;
	if (err != NULL)
		l->err = *err;
	l->totals = *totals;
}

static inline bool is_verified(void *ctx)
{
	return ((struct library *)ctx)->done;
}

static inline struct verify_run_params whole(struct library *l)
{
	return (struct verify_run_params){
		.loop = l->desk.base.loop,
		.db = l->desk.base.db,
		.public_key = l->public_key,
		.files = l->files,
		.now_us = loop_unix_us(),
		.page_rows = l->page_rows,
		.from_us = INT64_MIN,
		.to_us = INT64_MAX,
		.report = on_found,
		.done = on_verified,
		.ctx = l,
	};
}

static inline void verify_with(struct library *l, const struct verify_run_params *params)
{
	l->done = false;
	l->n_found = 0;
	verify_run_start(&l->run, params);
	assert_false(l->done);
	run_until(&l->desk.base, is_verified, l);
	assert_null(l->run);
	if (l->failed)
		print_error("%s\n", l->err.text);
	assert_false(l->failed);
}

static inline void verify_book(struct library *l)
{
	const struct verify_run_params params = whole(l);

	verify_with(l, &params);
}

static inline void print_found(const struct library *l)
{
	for (size_t i = 0; i < l->n_found && i < MAX_FOUND; i++) {
		const struct verify_record *record = &l->found[i].record;
		char chain[UUID_TEXT_BYTES], call[UUID_TEXT_BYTES];

		uuid_text(record->chain, chain);
		uuid_text(record->call_id, call);
		print_message("# %s %s %s %" PRIu64 "-%" PRIu64 " call %s %s\n",
			      verify_problem_word(l->found[i].problem),
			      verify_kind_word(record->kind), chain, record->first, record->last,
			      call, record->label);
	}
}

static inline void expect_clean(struct library *l)
{
	if (l->n_found > 0)
		print_found(l);
	assert_int_equal(l->n_found, 0);
}

static inline void open_files(struct library *l)
{
	const char *paths[] = { l->file };
	struct err err;

	anchor_files_free(&l->files);
	l->files = anchor_files_open(paths, 1, &err);
	assert_non_null(l->files);
}

/* --- the book -------------------------------------------------------------------------------- */

/* Of a chain: the old day, with a few calls that ended after it, then the new one. */
static inline int64_t time_of(const struct library *l, unsigned i, unsigned n)
{
	bool old = i < n / 3;
	int64_t within = (int64_t)(i + 1) * 1000000;

	if (i > n / 3 - 6 && i < n / 3 + 6)
		old = i % 3 != 0; /* around midnight they end in another order than they began */
	return (old ? l->old_day_us : l->new_day_us) + within;
}

static inline void make_chain(struct library *l, unsigned chain, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		bool reduced = i % 97 == 50;

		make_call(l, chain, time_of(l, i, n), reduced ? BATCH_REDUCED : BATCH_WHOLE);
		if (i % 20 == 14)
			make_events(l, chain);
		if (i % EPOCH_LINKS == EPOCH_LINKS - 1 && i + 5 < n)
			make_anchor(l, chain, l->new_day_us + (int64_t)(i + 1) * ANCHOR_EACH_US);
	}
}

static inline void make_library(struct library *l, unsigned n_each)
{
	int64_t today_us = loop_unix_us() / DAY_US * DAY_US;

	l->old_day_us = today_us - OLD_DAYS * DAY_US;
	l->new_day_us = today_us - 3 * DAY_US;
	l->page_rows = 64;
	crypto_random(l->seed, sizeof(l->seed));
	crypto_ed25519_public(l->seed, l->public_key);
	snprintf(l->top, sizeof(l->top), "/tmp/test_verify.XXXXXX");
	assert_non_null(mkdtemp(l->top));
	snprintf(l->file, sizeof(l->file), "%s" ANCHORS_FILE, l->top);
	/* No more than are needed: each is planned for, again and again. */
	must_sql(l, "DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits"
		    " WHERE inhparent = 'audit_parts.call_log_standard'::regclass LOOP"
		    " EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");
	must_sql(l, "SELECT count(audit.ensure_partitions(d, d) + "
		    "audit.ensure_payload_partitions(d, d))"
		    " AS v FROM unnest(ARRAY[current_date - 20, current_date - 3]) d");
	must_sql(l, "TRUNCATE audit.auth_event_log, audit.admin_event_log");
	for (unsigned i = 0; i < N_CHAINS; i++) {
		chain_begin(&l->chains[i]);
		make_chain(l, i, n_each);
	}
	open_files(l);
	if (!l->keeps_old)
		drop_old_day(l);
}

static inline void remove_library(struct library *l)
{
	anchor_files_free(&l->files);
	free(l->statement);
	unlink(l->file);
	rmdir(l->top);
}

/* One for all tests of a program, with n_each calls in each chain. */
static inline int start_library(struct library *l, void **state, unsigned n_each)
{
	struct fixture *f = &l->desk.base;

	*state = l;
	log_configure(LOG_ERROR + 1, LOG_TEXT);
	if (pg_cluster_start(&f->cluster) < 0)
		return -1;
	f->loop = loop_new();
	migrate_start(f->loop, &l->desk.migrate,
		      &(struct migrate_params){ .conninfo = f->cluster.conninfo,
						.list = migrations,
						.n = n_migrations,
						.done = on_migrated,
						.ctx = &l->desk });
	run_until(f, is_migrated, &l->desk);
	loop_free(&f->loop);
	if (start_test(state) < 0)
		return -1;
	make_library(l, n_each);
	return 0;
}

static inline int start_libraries(void **state, unsigned n_each)
{
	return start_library(mem_new(sizeof(struct library)), state, n_each);
}

static inline int end_libraries(void **state)
{
	struct library *l = *state;

	remove_library(l);
	end_test(state);
	pg_cluster_stop(&l->desk.base.cluster);
	free(l);
	return 0;
}

/* --- for tests ------------------------------------------------------------------------------- */

static inline char *chain_of(const struct library *l, unsigned chain)
{
	static char text[UUID_TEXT_BYTES];

	uuid_text(l->chains[chain].id, text);
	return text;
}

static inline void run_sql(struct library *l, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static inline void run_sql(struct library *l, const char *format, ...)
{
	char sql[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(sql, sizeof(sql), format, args);
	va_end(args);
	must_sql(l, sql);
}

static inline void expect_found(const struct library *l, size_t i, enum verify_problem problem,
				enum verify_kind kind, uint64_t first, uint64_t last)
{
	if (i >= l->n_found || l->found[i].problem != problem || l->found[i].record.kind != kind ||
	    l->found[i].record.first != first || l->found[i].record.last != last)
		print_found(l);
	assert_true(i < l->n_found);
	assert_int_equal(l->found[i].problem, problem);
	assert_int_equal(l->found[i].record.kind, kind);
	assert_int_equal(l->found[i].record.first, first);
	assert_int_equal(l->found[i].record.last, last);
}

#endif
