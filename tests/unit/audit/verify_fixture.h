/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_VERIFY_FIXTURE_H
#define TESTS_UNIT_AUDIT_VERIFY_FIXTURE_H

/*
 * A book with everything that a verifier may meet, built directly in PostgreSQL: chains of epochs,
 * calls of one and of two records, a reduced row, seals of events, payloads, anchors in a file too,
 * rows that no anchor holds yet, and a partition that was sealed and dropped, with runs of links at
 * its edges. What was built is remembered, link by link.
 */

#include "tests/unit/audit/verify_links.h"

/* --- the dropped partition ------------------------------------------------------------------- */

static inline void on_partition_sealed(void *ctx, const struct sealed_partition *sealed,
				       const struct err *err)
{
	struct library *l = ctx;

	l->sealed = true;
	l->seal_err = (struct err){ .text = "" };
	if (err != NULL) {
		l->seal_err = *err;
		return;
	}
	free(l->statement);
	l->statement = mem_strndup(sealed->statement.p, sealed->statement.n);
	memcpy(l->signature, "\\x", 2);
	hex_encode(sealed->signature, sizeof(sealed->signature), l->signature + 2);
}

static inline bool is_partition_sealed(void *ctx)
{
	return ((struct library *)ctx)->sealed;
}

/* False: it does not verify. The seal is then not made. */
static inline bool seal_partition(struct library *l, int64_t day_us, const char *partition)
{
	struct partition_sealer_params params = {
		.loop = l->desk.base.loop,
		.db = l->desk.base.db,
		.seed = l->seed,
		.seal = {.log = "call_log",
			  .from_us = day_us,
			  .to_us = day_us + DAY_US,
			  .sealed_us = loop_unix_us()},
		.done = on_partition_sealed,
		.ctx = l,
	};

	snprintf(params.seal.partition, sizeof(params.seal.partition), "%s", partition);
	l->sealed = false;
	partition_sealer_start(&l->sealer, &params);
	run_until(&l->desk.base, is_partition_sealed, l);
	return l->seal_err.text[0] == '\0';
}

static inline bool drop_sealed(struct library *l, const char *partition, struct statement *out)
{
	const struct span params[] = { span_of(partition), span_of(l->statement),
				       span_of(l->signature) };

	return try_sql(l, "SELECT audit.drop_partition($1::name, $2, $3::bytea)::text AS v", params,
		       3, out);
}

static inline void partition_of(int64_t day_us, char out[PARTITION_NAME_BYTES])
{
	char at[TEXT_TIME_BYTES];

	text_time(day_us, at);
	snprintf(out, PARTITION_NAME_BYTES, "call_log_standard_%.4s%.2s%.2s", at, at + 5, at + 8);
}

static inline void drop_old_day(struct library *l)
{
	char partition[PARTITION_NAME_BYTES];
	struct statement statement;

	partition_of(l->old_day_us, partition);
	if (!seal_partition(l, l->old_day_us, partition))
		print_error("%s\n", l->seal_err.text);
	assert_string_equal(l->seal_err.text, "");
	if (!drop_sealed(l, partition, &statement))
		print_error("%s\n", statement.err.text);
	assert_false(statement.failed);
	for (size_t i = 0; i < l->n_links; i++) {
		if (l->links[i].n != 0 && l->links[i].started_us < l->old_day_us + DAY_US)
			l->links[i].dropped = true;
	}
}

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
			make_anchor(l, chain, l->new_day_us + (int64_t)(i + 1) * 60000000);
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
	/* No more than are needed: each is planned for. */
	must_sql(l, "SELECT count(audit.ensure_partitions(d, d) + "
		    "audit.ensure_payload_partitions(d, d))"
		    " AS v FROM unnest(ARRAY[current_date - 20, current_date - 3]) d");
	must_sql(l, "TRUNCATE audit.auth_event_log, audit.admin_event_log");
	for (unsigned i = 0; i < N_CHAINS; i++) {
		chain_begin(&l->chains[i]);
		make_chain(l, i, n_each);
	}
	open_files(l);
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
static inline int start_libraries(void **state, unsigned n_each)
{
	struct library *l = mem_new(sizeof(*l));
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

static inline int end_libraries(void **state)
{
	struct library *l = *state;

	remove_library(l);
	end_test(state);
	pg_cluster_stop(&l->desk.base.cluster);
	free(l);
	return 0;
}

#endif
