/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/event_seal.h"
#include "audit/event_sealer.h"
#include "tests/unit/audit/verify_fixture.h"

/* --- records --------------------------------------------------------------------------------- */

static struct event_seal sample(void)
{
	struct event_seal seal = { .source = "auth", .first_n = 3, .last_n = 9, .sealed_us = 77 };

	memset(seal.digest, 0xA5, sizeof(seal.digest));
	return seal;
}

static void encode(const struct event_seal *seal, struct buf *out)
{
	buf_init(out, kind_event_seals.max_bytes);
	event_seal_encode(seal, out);
}

static void a_seal_comes_back_with_and_without_its_link(void **state)
{
	struct event_seal seal = sample(), back;
	struct chain_link link = { .seq = 5, .mac = { 1, 2, 3 } }, found;
	struct buf record;
	struct err err;

	(void)state;
	encode(&seal, &record);
	assert_false(kind_event_seals.find_link(buf_span(&record), &found));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(event_seal_decode(buf_span(&record), &back, &err), 0);
		assert_string_equal(back.source, "auth");
		assert_int_equal(back.first_n, 3);
		assert_int_equal(back.last_n, 9);
		assert_int_equal(back.sealed_us, 77);
		assert_memory_equal(back.digest, seal.digest, sizeof(seal.digest));
		if (i == 0)
			kind_event_seals.add_link(&record, &link);
	}
	assert_true(kind_event_seals.find_link(buf_span(&record), &found));
	assert_int_equal(found.seq, 5);
	assert_memory_equal(found.mac, link.mac, sizeof(link.mac));
	buf_fini(&record);
}

static void what_is_no_seal_is_refused(void **state)
{
	static const struct {
		size_t at;
		char byte;
		enum err_code code;
	} cases[] = {
		{0,						  2,	ERR_CONFLICT}, /* of another version */
		{ 8,						 0,	ERR_PARSE	  }, /* first_n is 0 */
		{ 16,						2,	 ERR_PARSE   }, /* last_n is less */
		{ 9,						 -1,	 ERR_PARSE   }, /* last_n is too large */
		{ EVENT_SEAL_RECORD_BYTES - EVENT_SEAL_SOURCE_BYTES, 'A', ERR_PARSE   },
		{ EVENT_SEAL_RECORD_BYTES - EVENT_SEAL_SOURCE_BYTES, 0,	ERR_PARSE	  },
		{ EVENT_SEAL_RECORD_BYTES - 1,		       'a', ERR_PARSE   },
	};
	struct event_seal seal = sample(), back;
	struct buf record;
	struct err err;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		encode(&seal, &record);
		record.data[cases[i].at] = cases[i].byte;
		assert_int_equal(event_seal_decode(buf_span(&record), &back, &err), -1);
		assert_int_equal(err.code, cases[i].code);
		buf_fini(&record);
	}
	encode(&seal, &record);
	for (size_t n = 0; n < record.len; n++)
		assert_int_equal(event_seal_decode((struct span){ record.data, n }, &back, &err),
				 -1);
	buf_fini(&record);
}

static void what_the_chain_is_over_says_all_of_it_and_not_the_link(void **state)
{
	struct event_seal seal = sample();
	struct chain_link link = { .seq = 5 };
	struct buf record, bare, linked, other;

	(void)state;
	encode(&seal, &record);
	buf_init(&bare, EVENT_SEAL_CANONICAL_BYTES);
	buf_init(&linked, EVENT_SEAL_CANONICAL_BYTES);
	kind_event_seals.canonical(buf_span(&record), (struct span){ NULL, 0 }, &bare);
	kind_event_seals.add_link(&record, &link);
	kind_event_seals.canonical((struct span){ NULL, 0 }, buf_span(&record), &linked);
	assert_int_equal(bare.len, linked.len);
	assert_memory_equal(bare.data, linked.data, bare.len);
	for (int i = 0; i < 5; i++) {
		struct event_seal changed = seal;

		if (i == 0)
			changed.source[0] = 'b';
		else if (i == 1)
			changed.first_n++;
		else if (i == 2)
			changed.last_n++;
		else if (i == 3)
			changed.digest[31]++;
		else
			changed.sealed_us++;
		buf_init(&other, EVENT_SEAL_CANONICAL_BYTES);
		event_seal_canonical(&changed, &other);
		assert_int_equal(other.len, bare.len);
		assert_int_not_equal(memcmp(other.data, bare.data, bare.len), 0);
		buf_fini(&other);
	}
	buf_fini(&record);
	buf_fini(&bare);
	buf_fini(&linked);
}

/* --- what is digested ------------------------------------------------------------------------ */

static const struct {
	const char *source, *log;
} logs[] = {
	{"auth",	  "auth_event_log" },
	{ "admin", "admin_event_log"},
};
#define N_LOGS (sizeof(logs) / sizeof(logs[0]))

/* A column that comes later and is forgotten there could be changed unseen. */
static void every_column_is_digested(void **state)
{
	struct desk *d = *state;

	expect(d, "SELECT count(*) AS v FROM audit.event_logs", "2");
	for (size_t i = 0; i < N_LOGS; i++) {
		const char *columns = i == 0 ? EVENT_SEAL_AUTH : EVENT_SEAL_ADMIN;
		char *sql =
			mem_printf("SELECT coalesce(string_agg(attname, ' '), 'all') AS v"
				   " FROM pg_attribute WHERE attrelid = 'audit.%s'::regclass"
				   " AND attnum > 0 AND NOT attisdropped AND attname <> 'seal_n'"
				   " AND $c$%s,$c$ !~ ('e[.]' || attname || '[,)]')",
				   logs[i].log, columns);

		expect(d, sql, "all");
		free(sql);
	}
}

static const char *digest(struct desk *d, const char *setting)
{
	static struct shot shot;
	const struct span params[] = { SPAN("auth"), SPAN("1"), SPAN("9") };
	char *sql = mem_printf("SELECT digest AS v FROM (%s) d", event_seal_digest_sql);
	const struct db_setting value = { setting, strcmp(setting, "timezone") == 0 ? "Asia/Tokyo"
						   : strcmp(setting, "datestyle") == 0 ? "SQL, DMY"
										       : "-15" };

	shot = (struct shot){ 0 };
	db_query(d->base.db, &shot.op, &value, sql, params, 3, on_done, &shot);
	finish_shot(&d->base, &shot);
	assert_false(shot.failed);
	free(sql);
	return shot.v[0];
}

static void a_digest_does_not_depend_on_settings(void **state)
{
	struct desk *d = *state;
	char first[LONG_TEXT];

	look(d, "TRUNCATE audit.auth_event_log");
	look(d,
	     "INSERT INTO audit.auth_event_log (tenant_id, type, at, detail, seal_n)"
	     " SELECT '" NODE_ID "', 'acquired', '2026-07-01 12:00:00.123456Z', '{\"x\": 1.5e3}', i"
	     " FROM generate_series(1, 3) i");
	snprintf(first, sizeof(first), "%s", digest(d, "timezone"));
	assert_int_equal(strlen(first), 2 * SHA256_BYTES);
	assert_string_equal(digest(d, "datestyle"), first);
	assert_string_equal(digest(d, "extra_float_digits"), first);
	look(d, "DELETE FROM audit.auth_event_log WHERE seal_n = 3");
	assert_string_not_equal(digest(d, "timezone"), first);
}

/* --- the sealer ------------------------------------------------------------------------------ */

static struct db *app_db(struct desk *d)
{
	char *conninfo = mem_printf("%s user=tollgate_app", d->base.cluster.conninfo);
	struct db_params params = default_params(&d->base);
	struct db *db;

	params.conninfo = conninfo;
	db = db_new(d->base.loop, &params);
	free(conninfo);
	return db;
}

static bool has_sealed_two(void *ctx)
{
	return event_sealer_n_sealed(ctx) == 2;
}

static void events_of_all_tenants_become_links_of_the_chain(void **state)
{
	struct desk *d = *state;
	struct db *db = app_db(d);
	struct event_sealer *sealer;

	look(d, "TRUNCATE audit.auth_event_log, audit.admin_event_log, audit.event_seals");
	look(d, "INSERT INTO audit.auth_event_log (tenant_id, type)"
		" SELECT gen_random_uuid(), 'acquired' FROM generate_series(1, 700)");
	open_book(d);
	sealer = event_sealer_new(
		&(struct event_sealer_params){ .loop = d->base.loop, .db = db, .book = d->book });
	event_sealer_hint(sealer);
	run_until(&d->base, has_sealed_two, sealer);
	flush(d);
	expect(d,
	       "SELECT string_agg(source || ' ' || last_n - first_n + 1 || ' ' || chain_seq, ', '"
	       " ORDER BY chain_seq) AS v FROM audit.event_seals",
	       "auth 500 1, auth 200 2");
	expect(d, "SELECT count(*) AS v FROM audit.auth_event_log WHERE seal_n IS NULL", "0");
	event_sealer_free(&sealer);
	db_free(&db);
}

static bool has_sealed_one(void *ctx)
{
	return event_sealer_n_sealed(ctx) == 1;
}

static void events_that_are_gone_keep_no_others_from_their_seal(void **state)
{
	struct desk *d = *state;
	struct db *db = app_db(d);
	struct event_sealer *sealer;

	look(d, "TRUNCATE audit.auth_event_log, audit.event_seals, audit.event_claims");
	look(d, "INSERT INTO audit.event_claims (source, first_n, last_n, claimed_at)"
		" VALUES ('admin', 900001, 900002, now() - interval '1 hour')");
	look(d, "INSERT INTO audit.auth_event_log (tenant_id, type)"
		" SELECT gen_random_uuid(), 'acquired' FROM generate_series(1, 3)");
	open_book(d);
	sealer = event_sealer_new(
		&(struct event_sealer_params){ .loop = d->base.loop, .db = db, .book = d->book });
	run_until(&d->base, has_sealed_one, sealer);
	flush(d);
	expect(d,
	       "SELECT string_agg(source || ' ' || last_n - first_n + 1, ', ') AS v"
	       " FROM audit.event_seals",
	       "auth 3");
	look(d, "TRUNCATE audit.event_claims");
	event_sealer_free(&sealer);
	db_free(&db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_seal_comes_back_with_and_without_its_link),
		cmocka_unit_test(what_is_no_seal_is_refused),
		cmocka_unit_test(what_the_chain_is_over_says_all_of_it_and_not_the_link),
		DESK_TEST(every_column_is_digested),
		DESK_TEST(a_digest_does_not_depend_on_settings),
		DESK_TEST(events_of_all_tenants_become_links_of_the_chain),
		DESK_TEST(events_that_are_gone_keep_no_others_from_their_seal),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
