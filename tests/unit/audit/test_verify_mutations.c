/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random changes of a stored book, one at a time: of bits, rows, places, anchors, seals, events and
 * payloads. Each that touches what an anchor holds is found, and what is named is what was changed.
 *
 *   MUTATIONS=10000 MUTATION_SEED=7 MUTATION_ROWS=600 test_verify_mutations
 */

#include "tests/unit/audit/verify_changes.h"

#define FEW	 200
#define ROWS_FEW 60 /* in each chain */
#define SEED	 5

/* --- what is found --------------------------------------------------------------------------- */

static bool chain_is(const struct mutator *m, const struct verify_record *record, unsigned chain)
{
	return memcmp(record->chain, m->library->chains[chain].id, CHAIN_ID_BYTES) == 0;
}

static bool chain_is_known(const struct mutator *m, const struct verify_record *record)
{
	for (unsigned i = 0; i < N_CHAINS; i++) {
		if (chain_is(m, record, i))
			return true;
	}
	return false;
}

static bool holds(const struct verify_record *record, uint64_t seq)
{
	return record->first <= seq && seq <= record->last;
}

static bool names_link(const struct mutator *m, const struct verify_record *record)
{
	const struct mutation *mutation = &m->mutation;
	bool is_link = record->kind != VERIFY_ANCHOR;

	if (!record->chained || !is_link)
		return false;
	if (!chain_is_known(m, record))
		return true; /* it says now that it is of a chain that is none */
	if (mutation->link && chain_is(m, record, mutation->chain) &&
	    (holds(record, mutation->seq) ||
	     (mutation->everything_behind && record->first > mutation->seq)))
		return true;
	if (mutation->last > 0 && chain_is(m, record, mutation->chain) &&
	    record->first <= mutation->first && record->last >= mutation->first)
		return true;
	if (mutation->last > 0 && chain_is(m, record, mutation->chain) &&
	    record->first >= mutation->first && record->last <= mutation->last)
		return true;
	return mutation->other_seq > 0 && chain_is(m, record, mutation->other_chain) &&
	       holds(record, mutation->other_seq);
}

static bool names_call(const struct mutator *m, const struct verify_record *record)
{
	uint8_t id[16];

	return record->has_call_id && uuid_parse(m->mutation.call_id, id) &&
	       memcmp(record->call_id, id, sizeof(id)) == 0;
}

static bool names_dropped(const struct mutator *m, const struct verify_record *record)
{
	const struct library *l = m->library;

	if (!m->mutation.any_dropped || record->kind != VERIFY_PLACE)
		return false;
	for (size_t i = 0; i < l->n_links; i++) {
		if (l->links[i].dropped && chain_is(m, record, l->links[i].chain) &&
		    holds(record, l->links[i].seq))
			return true;
	}
	return false;
}

static bool names_it(const struct mutator *m, const struct found *found)
{
	const struct mutation *mutation = &m->mutation;
	const struct verify_record *record = &found->record;

	if (names_link(m, record) || names_call(m, record) || names_dropped(m, record))
		return true;
	switch (record->kind) {
	case VERIFY_ANCHOR:
		return mutation->anchors &&
		       (chain_is(m, record, mutation->chain) || !chain_is_known(m, record));
	case VERIFY_EVENTS:
		return mutation->events;
	case VERIFY_EVENT_SEAL:
		return mutation->seal_of_events;
	case VERIFY_SEAL:
		return mutation->seals;
	default:
		return mutation->unchained && found->problem == VERIFY_UNCHAINED;
	}
}

/* --- the run --------------------------------------------------------------------------------- */

static void restore(struct mutator *m)
{
	for (size_t i = 0; i < m->mutation.n_tables; i++) {
		snprintf(m->sql, sizeof(m->sql), "SELECT test_restore('%s')::text AS v",
			 m->mutation.tables[i]);
		must_sql(m->library, m->sql);
	}
}

static void describe(const struct mutator *m, unsigned i)
{
	print_message("# mutation %u: %s (chain %u, link %" PRIu64 ", call %s)\n", i,
		      m->mutation.what, m->mutation.chain, m->mutation.seq, m->mutation.call_id);
	print_message("# %s\n", m->sql);
	print_found(m->library);
}

static void judge_mutation(struct mutator *m, unsigned i)
{
	struct library *l = m->library;
	struct verify_run_params params = whole(l);
	bool good;

	/* The second sink is there or not; some things only it can tell. */
	if (!m->mutation.needs_file && below(m, 2) == 0)
		params.files = NULL;
	params.page_rows = 20 + below(m, 300);
	verify_with(l, &params);
	good = l->n_found > 0;
	for (size_t j = 0; j < l->n_found && j < MAX_FOUND; j++)
		good &= names_it(m, &l->found[j]);
	if (!good)
		describe(m, i);
	assert_true(good);
}

static void every_change_is_found_and_named(void **state)
{
	struct library *l = *state;
	const char *wanted = getenv("MUTATIONS");
	const char *seed = getenv("MUTATION_SEED");
	unsigned n = wanted != NULL ? (unsigned)strtoul(wanted, NULL, 10) : FEW;
	struct mutator *m = mem_new(sizeof(*m));
	unsigned refused = 0;

	m->library = l;
	m->state = seed != NULL ? strtoull(seed, NULL, 10) : SEED;
	m->state = m->state * 0x9E3779B97F4A7C15u + 1;
	for (unsigned i = 0; i < n;) {
		m->mutation = (struct mutation){ .what = "" };
		if (changes[below(m, N_CHANGES)](m)) {
			judge_mutation(m, i);
			i++;
		} else {
			refused++;
		}
		restore(m);
	}
	free(m);
	print_message("# %u changes found and named, %u refused by the database\n", n, refused);
	verify_book(l);
	expect_clean(l);
}

/* As much of the value as is one step away from it, by its type. */
static const char helpers_sql[] =
	"CREATE FUNCTION test_flip(p_table regclass, p_column name, p_at int, p_where text)"
	" RETURNS bigint LANGUAGE plpgsql AS $f$\n"
	"DECLARE\n"
	"  kind text; was text := format('%I', p_column); other text; n bigint;\n"
	"BEGIN\n"
	"  SELECT format_type(atttypid, NULL) INTO kind FROM pg_attribute"
	"  WHERE attrelid = p_table AND attname = p_column;\n"
	"  other := CASE kind\n"
	"    WHEN 'text' THEN format('CASE WHEN %1$s IS NULL OR %1$s = '''' THEN ''x'' ELSE"
	" convert_from(set_bit(convert_to(%1$s, ''UTF8''), (%2$s %% (8 * octet_length(%1$s))), 1 -"
	" get_bit(convert_to(%1$s, ''UTF8''), (%2$s %% (8 * octet_length(%1$s))))), ''UTF8'') END',"
	" was, p_at)\n"
	"    WHEN 'name' THEN format('(%s || ''x'')::name', was)\n"
	"    WHEN 'json' THEN format('(CASE WHEN %1$s IS NULL THEN ''{}'' ELSE"
	" convert_from(set_bit(convert_to(%1$s::text, ''UTF8''), (%2$s %% (8 *"
	" octet_length(%1$s::text))), 1 - get_bit(convert_to(%1$s::text, ''UTF8''), (%2$s %% (8 *"
	" octet_length(%1$s::text))))), ''UTF8'') END)::json', was, p_at)\n"
	"    WHEN 'jsonb' THEN format('%s || ''{\"x\": %s}''', was, p_at)\n"
	"    WHEN 'bytea' THEN format('CASE WHEN %1$s IS NULL THEN decode(repeat(''00'', %3$s),"
	" ''hex'') ELSE set_bit(%1$s, %2$s %% (8 * octet_length(%1$s)), 1 - get_bit(%1$s, %2$s %% "
	"(8 *"
	" octet_length(%1$s)))) END', was, p_at, CASE p_column WHEN 'reduction' THEN 64 ELSE 32 "
	"END)\n"
	"    WHEN 'uuid' THEN format('coalesce(encode(set_bit(uuid_send(%1$s), %2$s %% 128, 1 -"
	" get_bit(uuid_send(%1$s), %2$s %% 128)), ''hex'')::uuid, gen_random_uuid())', was, p_at)\n"
	"    WHEN 'bigint' THEN format('coalesce(%s # (1::bigint << %s), %s)', was, p_at % 40, "
	"p_at)\n"
	"    WHEN 'integer' THEN format('coalesce(%s # (1 << %s), %s)', was, p_at % 16, p_at % "
	"600)\n"
	"    WHEN 'double precision' THEN format('coalesce(%s * %s, 1.5)', was,"
	" CASE p_at % 2 WHEN 0 THEN '1.0000000000000003' ELSE '2' END)\n"
	"    WHEN 'timestamp with time zone' THEN format('%s + %s * interval ''1 microsecond''', "
	"was,"
	" 1::bigint << p_at % 30)\n"
	"    WHEN 'boolean' THEN format('NOT %s', was)\n"
	"    WHEN 'inet' THEN format('coalesce(%s + %s, ''10.9.9.9'')', was, 1 << p_at % 8)\n"
	"  END;\n"
	"  EXECUTE format('UPDATE %s SET %I = %s WHERE (%s) AND %I::text IS DISTINCT FROM "
	"(%s)::text',"
	" p_table, p_column, other, p_where, p_column, other);\n"
	"  GET DIAGNOSTICS n = ROW_COUNT;\n"
	"  RETURN n;\n"
	"END $f$;\n"
	"CREATE FUNCTION test_columns(p_table name) RETURNS text LANGUAGE sql AS $f$"
	" SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute"
	" WHERE attrelid = ('audit.' || p_table)::regclass AND attnum > 0 AND NOT attisdropped"
	" AND attgenerated = '' $f$;\n"
	"CREATE FUNCTION test_forge(p_chain uuid, p_seq bigint, p_call uuid, p_place text)"
	" RETURNS bigint LANGUAGE plpgsql AS $f$\n"
	"DECLARE n bigint; list text;\n"
	"BEGIN\n"
	"  SELECT string_agg(format('c.%I', a), ', ') INTO list FROM"
	" unnest(string_to_array(test_columns('call_log'), ', ')) a"
	" WHERE a NOT IN ('call_id', 'chain_id', 'chain_seq', 'chain_mac', 'payload_digest');\n"
	"  EXECUTE format('INSERT INTO audit.call_log (%s, call_id, chain_id, chain_seq, chain_mac)"
	" SELECT %s, %L, %s FROM audit.call_log c WHERE chain_id = %L AND chain_seq = %s',"
	" replace(list, 'c.', ''), list, p_call, p_place, p_chain, p_seq);\n"
	"  GET DIAGNOSTICS n = ROW_COUNT;\n"
	"  RETURN n;\n"
	"END $f$;\n"
	"CREATE SCHEMA pristine;\n"
	"CREATE FUNCTION test_keep(p_table name) RETURNS void LANGUAGE plpgsql AS $f$\n"
	"BEGIN EXECUTE format('CREATE TABLE pristine.%I AS SELECT t.*, md5(t::text) AS sum"
	" FROM audit.%1$I t', p_table); END $f$;\n"
	"CREATE FUNCTION test_restore(p_table name) RETURNS void LANGUAGE plpgsql AS $f$\n"
	"DECLARE list text := test_columns(p_table);\n"
	"BEGIN\n"
	"  EXECUTE format('DELETE FROM audit.%I t WHERE md5(t::text) NOT IN"
	" (SELECT sum FROM pristine.%1$I)', p_table);\n"
	"  EXECUTE format('INSERT INTO audit.%1$I (%2$s) SELECT %2$s FROM pristine.%1$I p"
	" WHERE p.sum NOT IN (SELECT md5(t::text) FROM audit.%1$I t)', p_table, list);\n"
	"END $f$;\n"
	"SELECT test_keep(t) FROM unnest(ARRAY['call_log', 'event_seals', 'anchors',"
	" 'partition_seals', 'auth_event_log', 'call_payloads']::name[]) t;\n";

static int start_mutations(void **state)
{
	const char *rows = getenv("MUTATION_ROWS");

	if (start_libraries(state, rows != NULL ? (unsigned)strtoul(rows, NULL, 10) : ROWS_FEW) < 0)
		return -1;
	return pg_cluster_psql(&((struct library *)*state)->desk.base.cluster, "postgres",
			       helpers_sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_is_found_and_named),
	};

	return cmocka_run_group_tests(tests, start_mutations, end_libraries);
}
