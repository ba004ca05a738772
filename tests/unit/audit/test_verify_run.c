/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/audit/verify_fixture.h"

#define N_EACH 130

static const char keep_sql[] =
	"CREATE SCHEMA kept; CREATE TABLE kept.call_log AS SELECT * FROM audit.call_log;"
	" CREATE TABLE kept.anchors AS SELECT * FROM audit.anchors;"
	" INSERT INTO audit.reader_roles VALUES ('reader_platform', NULL);";

static int start_program_of(void **state)
{
	const struct pg_cluster *cluster;

	if (start_libraries(state, N_EACH) < 0)
		return -1;
	cluster = &((struct library *)*state)->desk.base.cluster;
	return pg_cluster_psql(cluster, "postgres",
			       "CREATE ROLE reader_platform LOGIN IN ROLE audit_reader") < 0 ||
			       pg_cluster_psql(cluster, "postgres", keep_sql) < 0
		       ? -1
		       : 0;
}

static void put_back_anchors(struct library *l)
{
	must_sql(l, "INSERT INTO audit.anchors SELECT * FROM kept.anchors ON CONFLICT DO NOTHING");
}

/* --- the whole book -------------------------------------------------------------------------- */

static void a_book_verifies_in_pages_of_any_size(void **state)
{
	struct library *l = *state;
	static const size_t sizes[] = { 2, 7, 64, 10000 };
	uint64_t all = l->n_links;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		l->page_rows = sizes[i];
		verify_book(l);
		expect_clean(l);
		assert_int_equal(l->totals.chains, N_CHAINS);
		assert_int_equal(l->totals.counts.links + l->totals.counts.dropped, all);
		assert_true(l->totals.counts.dropped > N_CHAINS * (N_EACH / 3 - 6));
		assert_int_equal(l->totals.counts.anchors, N_CHAINS * (N_EACH / EPOCH_LINKS));
		assert_int_equal(l->totals.partitions, 1);
		assert_int_equal(l->totals.events, EVENTS_A_SEAL * l->totals.event_seals);
		assert_int_equal(l->totals.not_in_files, 0);
		assert_true(l->totals.payloads);
		assert_true(l->totals.counts.not_anchored > 0);
	}
	l->page_rows = 64;
}

static void another_key_verifies_nothing(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);
	uint8_t other[ED25519_PUBLIC_BYTES], seed[ED25519_SEED_BYTES] = { 1 };

	crypto_ed25519_public(seed, other);
	params.public_key = other;
	params.files = NULL;
	verify_with(l, &params);
	expect_found(l, 0, VERIFY_SEAL_ALTERED, VERIFY_SEAL, 0, 0);
	expect_found(l, 1, VERIFY_ANCHOR_ALTERED, VERIFY_ANCHOR, 0, 0);
}

/* --- roles ----------------------------------------------------------------------------------- */

static void verify_as(struct library *l, const char *role, const struct db_setting *setting)
{
	char *conninfo = mem_printf("%s user=%s", l->desk.base.cluster.conninfo, role);
	struct db_params db_params = default_params(&l->desk.base);
	struct verify_run_params params = whole(l);

	db_params.conninfo = conninfo;
	params.db = db_new(l->desk.base.loop, &db_params);
	params.setting = setting;
	verify_with(l, &params);
	db_free(&params.db);
	free(conninfo);
}

static void the_gateway_the_owner_and_a_platform_reader_can_verify(void **state)
{
	struct library *l = *state;
	static const struct db_setting scope = { "app.audit_scope", "seals" };
	uint64_t links;

	verify_book(l);
	links = l->totals.counts.links;
	verify_as(l, "tollgate_owner", NULL);
	expect_clean(l);
	assert_int_equal(l->totals.counts.links, links);
	verify_as(l, "tollgate_app", &scope);
	expect_clean(l);
	assert_int_equal(l->totals.counts.links, links);
	assert_true(l->totals.payloads);
	verify_as(l, "reader_platform", NULL);
	expect_clean(l);
	assert_int_equal(l->totals.counts.links, links);
	assert_false(l->totals.payloads);
}

/* --- the second sink ------------------------------------------------------------------------- */

static void anchors_that_only_the_second_sink_has_were_taken_away(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);
	const struct chain_anchor *last = &l->last_anchors[1];

	run_sql(l, "DELETE FROM audit.anchors WHERE chain_id = '%s' AND epoch >= %" PRIu64,
		chain_of(l, 1), last->epoch - 1);
	verify_book(l);
	assert_int_equal(l->n_found, 2);
	expect_found(l, 0, VERIFY_ANCHOR_MISSING, VERIFY_ANCHOR, last->epoch - 1, last->epoch - 1);
	expect_found(l, 1, VERIFY_ANCHOR_MISSING, VERIFY_ANCHOR, last->epoch, last->epoch);
	assert_memory_equal(l->found[1].record.chain, l->chains[1].id, CHAIN_ID_BYTES);
	/* What they hold is verified all the same. */
	run_sql(l,
		"UPDATE audit.call_log SET tool = 'x' WHERE chain_id = '%s' AND chain_seq = "
		"%" PRIu64,
		chain_of(l, 1), last->last_seq);
	verify_book(l);
	assert_int_equal(l->n_found, 3);
	expect_found(l, 2, VERIFY_ALTERED, VERIFY_CALL, last->last_seq, last->last_seq);
	/* Nobody can tell without it. */
	params.files = NULL;
	verify_with(l, &params);
	expect_clean(l);
	run_sql(l, "UPDATE audit.call_log c SET tool = k.tool FROM kept.call_log k"
		   " WHERE k.call_id = c.call_id");
	put_back_anchors(l);
}

static void an_anchor_may_be_on_its_way_to_the_table(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);

	run_sql(l, "DELETE FROM audit.anchors WHERE chain_id = '%s' AND epoch = %" PRIu64,
		chain_of(l, 2), l->last_anchors[2].epoch);
	params.now_us = l->last_anchors[2].anchored_us + VERIFY_ANCHOR_GRACE_US - 1;
	verify_with(l, &params);
	expect_clean(l);
	assert_int_equal(l->totals.pending_anchors, 1);
	params.now_us += 1;
	verify_with(l, &params);
	assert_int_equal(l->n_found, 1);
	expect_found(l, 0, VERIFY_ANCHOR_MISSING, VERIFY_ANCHOR, l->last_anchors[2].epoch,
		     l->last_anchors[2].epoch);
	put_back_anchors(l);
}

static void a_whole_chain_that_was_taken_away_is_named(void **state)
{
	struct library *l = *state;

	must_sql(l, "CREATE TABLE kept.event_seals AS SELECT * FROM audit.event_seals");
	run_sql(l, "DELETE FROM audit.anchors WHERE chain_id = '%s'", chain_of(l, 0));
	run_sql(l, "DELETE FROM audit.call_log WHERE chain_id = '%s'", chain_of(l, 0));
	run_sql(l, "DELETE FROM audit.event_seals WHERE chain_id = '%s'", chain_of(l, 0));
	verify_book(l);
	assert_true(l->n_found > 1);
	for (size_t i = 0; i < l->n_found; i++)
		assert_true(l->found[i].record.kind == VERIFY_EVENTS ||
			    memcmp(l->found[i].record.chain, l->chains[0].id, CHAIN_ID_BYTES) == 0);
	put_back_anchors(l);
	must_sql(l, "INSERT INTO audit.event_seals SELECT * FROM kept.event_seals"
		    " ON CONFLICT DO NOTHING");
	must_sql(l, "DO $$ DECLARE list text; BEGIN"
		    " SELECT string_agg(quote_ident(attname), ', ') INTO list FROM pg_attribute"
		    " WHERE attrelid = 'audit.call_log'::regclass AND attnum > 0"
		    " AND NOT attisdropped AND attgenerated = '';"
		    " EXECUTE format('INSERT INTO audit.call_log (%1$s) SELECT %1$s FROM"
		    " kept.call_log ON CONFLICT DO NOTHING', list); END $$");
	verify_book(l);
	expect_clean(l);
}

/* --- periods --------------------------------------------------------------------------------- */

static const struct made *last_call_of(const struct library *l, unsigned chain, unsigned epoch)
{
	const struct made *found = NULL;

	for (size_t i = 0; i < l->n_links; i++) {
		if (l->links[i].chain == chain && l->links[i].epoch == epoch && l->links[i].n != 0)
			found = &l->links[i];
	}
	assert_non_null(found);
	assert_false(found->dropped);
	return found;
}

static void only_epochs_of_the_period_are_verified(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);
	unsigned last = (unsigned)l->last_anchors[0].epoch;
	const struct made *made = last_call_of(l, 0, last - 1);
	/* Between the ends of the two last epochs. */
	int64_t between_us = l->last_anchors[0].anchored_us - 1;

	run_sql(l,
		"UPDATE audit.call_log SET tool = 'x' WHERE chain_id = '%s' AND chain_seq = "
		"%" PRIu64,
		chain_of(l, 0), made->seq);
	params.from_us = between_us;
	verify_with(l, &params);
	expect_clean(l);
	assert_true(l->totals.counts.links < l->n_links);
	params.from_us = INT64_MIN;
	params.to_us = between_us - 2 * (int64_t)EPOCH_LINKS * ANCHOR_EACH_US;
	verify_with(l, &params);
	expect_clean(l);
	assert_int_equal(l->totals.counts.not_anchored, 0);
	params.to_us = between_us;
	verify_with(l, &params);
	assert_int_equal(l->n_found, 1);
	expect_found(l, 0, VERIFY_ALTERED, VERIFY_CALL, made->seq, made->seq);
	run_sql(l, "UPDATE audit.call_log c SET tool = k.tool FROM kept.call_log k"
		   " WHERE k.call_id = c.call_id");
}

/* --- rows without anchors -------------------------------------------------------------------- */

static void rows_from_before_the_chain_are_counted_later_ones_named(void **state)
{
	struct library *l = *state;

	must_sql(l, "INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)"
		    " SELECT current_date - 20 + t, '" UUID_NIL "', 'ok', gen_random_uuid() FROM"
		    " unnest(ARRAY[interval '0', '1 hour']) t WHERE false");
	run_sql(l,
		"SELECT audit.ensure_partitions(current_date - 25, current_date - 25)::text AS v");
	must_sql(l, "INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)"
		    " SELECT current_date - 25 + interval '1 hour', '" UUID_NIL "', 'ok',"
		    " gen_random_uuid() FROM generate_series(1, 3)");
	verify_book(l);
	expect_clean(l);
	assert_int_equal(l->totals.unchained, 3);
	must_sql(l, "INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)"
		    " SELECT current_date - 3 + interval '1 hour', '" UUID_NIL "', 'ok', '" NODE_ID
		    "'");
	verify_book(l);
	assert_int_equal(l->n_found, 1);
	assert_int_equal(l->found[0].problem, VERIFY_UNCHAINED);
	assert_int_equal(l->found[0].record.call_id[0], 0xcc);
	must_sql(l, "DELETE FROM audit.call_log WHERE chain_id IS NULL");
}

static void rows_that_are_signed_as_links_of_no_chain_are_good(void **state)
{
	struct library *l = *state;

	for (unsigned n = 70001; n < 70011; n += 2)
		put_open_call(l, n, l->seed);
	l->page_rows = 2;
	verify_book(l);
	expect_clean(l);
	put_open_call(l, 70011, NULL);
	must_sql(l, "UPDATE audit.call_log SET tool = 'other' WHERE call_id::text LIKE '%11173'");
	verify_book(l);
	assert_int_equal(l->n_found, 2);
	expect_found(l, 0, VERIFY_UNCHAINED, VERIFY_CALL, 0, 0);
	assert_int_equal(l->found[0].record.call_id[15], 70003 & 0xff);
	expect_found(l, 1, VERIFY_UNCHAINED, VERIFY_CALL, 0, 0);
	assert_int_equal(l->found[1].record.call_id[15], 70011 & 0xff);
	l->page_rows = 64;
	must_sql(l, "DELETE FROM audit.call_log WHERE chain_id IS NULL");
}

static void a_chain_without_any_anchor_is_named_once_it_is_late(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);

	must_sql(l, "INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id,"
		    " chain_id, chain_seq, chain_mac) SELECT current_date - 3 + interval '1 hour',"
		    " '" UUID_NIL "', 'unknown', gen_random_uuid(), '" NODE_ID "', i, sha256('m')"
		    " FROM generate_series(1, 2) i");
	verify_with(l, &params);
	assert_int_equal(l->n_found, 3); /* and what it says of itself is nothing that we write */
	expect_found(l, 2, VERIFY_UNANCHORED, VERIFY_CALL, 2, 2);
	params.now_us = l->new_day_us + 2 * INT64_C(3600000000) - 1;
	params.files = NULL;
	verify_with(l, &params);
	assert_int_equal(l->n_found, 2);
	must_sql(l, "DELETE FROM audit.call_log WHERE chain_id = '" NODE_ID "'");
	verify_book(l);
	expect_clean(l);
}

/* --- what may be put in ---------------------------------------------------------------------- */

#define FAKE_CALL                                                                                  \
	"INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id, request_bytes,"      \
	" duration_ms, chain_id, chain_seq, chain_mac) SELECT "
#define FAKE_CHAIN "dddddddd-0000-4000-8000-000000000009"
#define FAKE_FIRST 0xdd

static void remove_fakes(struct library *l)
{
	must_sql(l, "DELETE FROM audit.call_log WHERE call_id::text LIKE 'dddddddd%'");
	verify_book(l);
	expect_clean(l);
}

static void expect_fake(struct library *l, enum verify_problem problem)
{
	verify_book(l);
	if (l->n_found != 1)
		print_found(l);
	assert_int_equal(l->n_found, 1);
	assert_int_equal(l->found[0].problem, problem);
	assert_int_equal(l->found[0].record.call_id[0], FAKE_FIRST);
}

static void a_row_of_a_chain_without_a_place_in_it_is_named(void **state)
{
	struct library *l = *state;

	must_sql(l, "ALTER TABLE audit.call_log DROP CONSTRAINT chain_whole,"
		    " DROP CONSTRAINT call_log_chain_seq_check");
	run_sql(l,
		FAKE_CALL "current_date - 3, '" UUID_NIL "', 'ok', '" FAKE_CHAIN
			  "', 1, 1, '%s', NULL, NULL",
		chain_of(l, 0));
	expect_fake(l, VERIFY_UNCHAINED);
	must_sql(l, "UPDATE audit.call_log SET chain_seq = -9223372036854775808"
		    " WHERE call_id = '" FAKE_CHAIN "'");
	expect_fake(l, VERIFY_UNCHAINED);
	remove_fakes(l);
}

static void a_row_of_no_chain_and_no_time_is_named(void **state)
{
	struct library *l = *state;

	must_sql(l, "CREATE TABLE audit_parts.for_ever PARTITION OF audit_parts.call_log_standard"
		    " FOR VALUES FROM ('2200-01-01') TO (MAXVALUE)");
	must_sql(l, FAKE_CALL "'infinity', '" UUID_NIL "', 'ok', '" FAKE_CHAIN
			      "', 1, 1, NULL, NULL, NULL");
	expect_fake(l, VERIFY_UNCHAINED);
	remove_fakes(l);
	must_sql(l, "DROP TABLE audit_parts.for_ever");
}

static void a_row_of_no_chain_is_named_if_an_anchor_is_older(void **state)
{
	struct library *l = *state;

	/* All calls that are left are younger. */
	must_sql(l, FAKE_CALL "current_date - 3 + interval '31 s', '" UUID_NIL
			      "', 'ok', '" FAKE_CHAIN "', 1, 1, NULL, NULL, NULL");
	expect_fake(l, VERIFY_UNCHAINED);
	remove_fakes(l);
}

static void a_link_behind_the_last_anchor_has_to_be_young(void **state)
{
	struct library *l = *state;
	static const char age_sql[] = "UPDATE audit.call_log SET duration_ms = %d"
				      " WHERE call_id = '" FAKE_CHAIN "'";
	const unsigned hour_ms = 3600000;

	run_sql(l, "SELECT audit.ensure_partitions(current_date - 4, current_date - 4)::text AS v");
	run_sql(l,
		FAKE_CALL "current_date - 3 - interval '1 hour', '" UUID_NIL "', 'ok', '" FAKE_CHAIN
			  "', 1, 1, '%s', %" PRIu64 ", sha256('m')",
		chain_of(l, 1), l->chains[1].seq + 1);
	expect_fake(l, VERIFY_UNANCHORED);
	/* Whatever it says of how long it took, it ended before what is anchored. */
	run_sql(l, age_sql, (int)hour_ms - 3590000);
	expect_fake(l, VERIFY_UNANCHORED);
	run_sql(l, age_sql, (int)hour_ms);
	verify_book(l);
	expect_clean(l);
	remove_fakes(l);
}

static void a_chain_is_not_young_because_it_ends_in_the_future(void **state)
{
	struct library *l = *state;

	run_sql(l, "SELECT audit.ensure_partitions(current_date + 5, current_date + 5)::text AS v");
	must_sql(l, FAKE_CALL "current_date + d, '" UUID_NIL "', 'ok', format('dddddddd-0000-4000-"
			      "8000-00000000000%s', s)::uuid, 1, 1, '" FAKE_CHAIN
			      "', s, sha256('m') FROM (VALUES (-4, 1), (5, 2)) f (d, s)");
	verify_book(l);
	assert_int_equal(l->n_found, 2);
	expect_found(l, 0, VERIFY_UNANCHORED, VERIFY_CALL, 1, 1);
	expect_found(l, 1, VERIFY_UNANCHORED, VERIFY_CALL, 2, 2);
	remove_fakes(l);
}

static void what_is_called_an_error_follows_from_the_outcome(void **state)
{
	struct library *l = *state;
	const struct made *made = last_call_of(l, 0, 2);

	must_sql(l, "UPDATE pg_attribute SET attgenerated = '' WHERE attname = 'is_error' AND"
		    " attrelid IN (SELECT relid FROM pg_partition_tree('audit.call_log'))");
	run_sql(l,
		"UPDATE audit.call_log SET is_error = NOT is_error WHERE chain_id = '%s'"
		" AND chain_seq = %" PRIu64,
		chain_of(l, 0), made->seq);
	verify_book(l);
	assert_int_equal(l->n_found, 1);
	expect_found(l, 0, VERIFY_ALTERED, VERIFY_CALL, made->seq, made->seq);
	must_sql(l, "UPDATE audit.call_log c SET is_error = k.is_error FROM kept.call_log k"
		    " WHERE k.call_id = c.call_id");
	verify_book(l);
	expect_clean(l);
}

static void a_period_does_not_begin_behind_an_anchor_that_nobody_signed(void **state)
{
	struct library *l = *state;
	struct verify_run_params params = whole(l);
	const struct made *made = last_call_of(l, 0, 2);

	run_sql(l,
		"UPDATE audit.call_log SET tool = 'x' WHERE chain_id = '%s' AND chain_seq = "
		"%" PRIu64,
		chain_of(l, 0), made->seq);
	/* Then the period begins behind it. */
	run_sql(l,
		"UPDATE audit.anchors SET anchored_at = '2020-01-01' WHERE chain_id = '%s'"
		" AND epoch = 3",
		chain_of(l, 0));
	params.from_us = l->new_day_us;
	verify_with(l, &params);
	assert_int_equal(l->n_found, 1);
	expect_found(l, 0, VERIFY_ANCHOR_ALTERED, VERIFY_ANCHOR, 3, 3);
	run_sql(l, "UPDATE audit.call_log c SET tool = k.tool FROM kept.call_log k"
		   " WHERE k.call_id = c.call_id");
	run_sql(l, "UPDATE audit.anchors a SET anchored_at = k.anchored_at FROM kept.anchors k"
		   " WHERE (k.chain_id, k.epoch) = (a.chain_id, a.epoch)");
	verify_book(l);
	expect_clean(l);
}

#define FAKE_EVENT                                                                                 \
	"INSERT INTO audit.admin_event_log (tenant_id, event_id, action, target_kind, at)"         \
	" SELECT '" UUID_NIL "', '" FAKE_CHAIN "', 'user.create', 'user', "

static void an_event_that_no_seal_can_cover_is_named(void **state)
{
	struct library *l = *state;

	must_sql(l, "ALTER TABLE audit.admin_event_log DROP CONSTRAINT "
		    "admin_event_log_seal_n_check");
	must_sql(l, FAKE_EVENT "now()");
	must_sql(l,
		 "UPDATE audit.admin_event_log SET seal_n = 0 WHERE event_id = '" FAKE_CHAIN "'");
	expect_fake(l, VERIFY_EVENT_UNSEALED);
	must_sql(l, "DELETE FROM audit.admin_event_log WHERE event_id = '" FAKE_CHAIN "'");
	verify_book(l);
	expect_clean(l);
}

/* --- dropping -------------------------------------------------------------------------------- */

static void a_partition_that_does_not_verify_is_not_sealed(void **state)
{
	struct library *l = *state;
	const struct made *made = last_call_of(l, 0, (unsigned)l->last_anchors[0].epoch);
	char partition[PARTITION_NAME_BYTES], wanted[64];

	partition_of(l->new_day_us, partition);
	run_sql(l,
		"UPDATE audit.call_log SET tool = 'x' WHERE chain_id = '%s' AND chain_seq = "
		"%" PRIu64,
		chain_of(l, 0), made->seq);
	assert_false(seal_partition(l, l->new_day_us, partition));
	assert_int_equal(l->seal_err.code, ERR_CONFLICT);
	snprintf(wanted, sizeof(wanted), "call %" PRIu64 " of chain %s", made->seq, chain_of(l, 0));
	assert_non_null(strstr(l->seal_err.text, wanted));
	run_sql(l, "UPDATE audit.call_log c SET tool = k.tool FROM kept.call_log k"
		   " WHERE k.call_id = c.call_id");
}

/* Last, for nothing is left of the calls. */
static void a_book_of_seals_alone_verifies(void **state)
{
	struct library *l = *state;
	char partition[PARTITION_NAME_BYTES];
	struct statement statement;

	partition_of(l->new_day_us, partition);
	must_sql(l, "UPDATE audit.retention SET least_days = 1");
	assert_true(seal_partition(l, l->new_day_us, partition));
	assert_true(drop_sealed(l, partition, &statement));
	verify_book(l);
	expect_clean(l);
	assert_int_equal(l->totals.counts.links, l->totals.event_seals);
	assert_int_equal(l->totals.counts.links + l->totals.counts.dropped, l->n_links);
	must_sql(l, "DELETE FROM audit.partition_seals WHERE partition = (SELECT max(partition)"
		    " FROM audit.partition_seals)");
	verify_book(l);
	assert_true(l->n_found > 0);
	assert_int_equal(l->found[0].problem, VERIFY_MISSING);
}

/* --- events that came late ------------------------------------------------------------------- */

static void put_in_events(struct library *l, const char *age)
{
	run_sql(l,
		"CREATE OR REPLACE FUNCTION kept.backdate() RETURNS trigger LANGUAGE plpgsql AS"
		" $$BEGIN NEW.at := now() - interval '%s'; RETURN NEW; END$$",
		age);
	make_events(l, 2);
	make_anchor(l, 2, l->new_day_us + (int64_t)l->n_links * ANCHOR_EACH_US);
	open_files(l);
	verify_book(l);
}

static size_t n_late(const struct library *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n_found && i < MAX_FOUND; i++)
		n += l->found[i].problem == VERIFY_EVENT_LATE;
	return n;
}

/* A gateway seals whatever it finds. Last, for that cannot be undone. */
static void events_that_were_put_in_later_are_named_though_they_are_sealed(void **state)
{
	struct library *l = *state;

	/* Of the readers that were made. */
	must_sql(l, "TRUNCATE audit.admin_event_log");
	run_sql(l, "CREATE FUNCTION kept.backdate() RETURNS trigger LANGUAGE plpgsql AS"
		   " $$BEGIN RETURN NEW; END$$");
	must_sql(l, "CREATE TRIGGER backdate BEFORE INSERT ON audit.auth_event_log FOR EACH ROW"
		    " EXECUTE FUNCTION kept.backdate()");
	put_in_events(l, "9 days 59 minutes");
	assert_int_equal(n_late(l), 0);
	put_in_events(l, "9 days 61 minutes");
	assert_int_equal(n_late(l), EVENTS_A_SEAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_book_verifies_in_pages_of_any_size),
		cmocka_unit_test(another_key_verifies_nothing),
		cmocka_unit_test(the_gateway_the_owner_and_a_platform_reader_can_verify),
		cmocka_unit_test(anchors_that_only_the_second_sink_has_were_taken_away),
		cmocka_unit_test(an_anchor_may_be_on_its_way_to_the_table),
		cmocka_unit_test(a_whole_chain_that_was_taken_away_is_named),
		cmocka_unit_test(only_epochs_of_the_period_are_verified),
		cmocka_unit_test(rows_from_before_the_chain_are_counted_later_ones_named),
		cmocka_unit_test(rows_that_are_signed_as_links_of_no_chain_are_good),
		cmocka_unit_test(a_chain_without_any_anchor_is_named_once_it_is_late),
		cmocka_unit_test(a_row_of_a_chain_without_a_place_in_it_is_named),
		cmocka_unit_test(a_row_of_no_chain_and_no_time_is_named),
		cmocka_unit_test(a_row_of_no_chain_is_named_if_an_anchor_is_older),
		cmocka_unit_test(a_link_behind_the_last_anchor_has_to_be_young),
		cmocka_unit_test(a_chain_is_not_young_because_it_ends_in_the_future),
		cmocka_unit_test(what_is_called_an_error_follows_from_the_outcome),
		cmocka_unit_test(a_period_does_not_begin_behind_an_anchor_that_nobody_signed),
		cmocka_unit_test(an_event_that_no_seal_can_cover_is_named),
		cmocka_unit_test(a_partition_that_does_not_verify_is_not_sealed),
		cmocka_unit_test(a_book_of_seals_alone_verifies),
		cmocka_unit_test(events_that_were_put_in_later_are_named_though_they_are_sealed),
	};

	return cmocka_run_group_tests(tests, start_program_of, end_libraries);
}
