/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random changes of a stored book, one at a time: of bits, rows, places, anchors, seals, events and
 * payloads. Each that touches what an anchor holds is found, and what is named is what was changed.
 *
 *   MUTATIONS=10000 MUTATION_SEED=7 MUTATION_ROWS=600 test_verify_mutations
 */

#include "tests/unit/audit/verify_fixture.h"
#include "tests/unit/audit/verify_mutations.h"

#define FEW	 200
#define ROWS_FEW 60 /* in each chain */
#define SEED	 5

/* What was changed, and so may be named. */
struct mutation {
	const char *what;
	bool needs_file;     /* the database alone cannot tell */
	bool seal_of_events; /* it has no id, and may stand elsewhere now */
	bool link, anchors, events, seals, any_dropped, payload, unchained, everything_behind;
	unsigned chain, other_chain;
	uint64_t seq, other_seq, first, last;
	char call_id[UUID_TEXT_BYTES];
	char tables[8][24];
	size_t n_tables;
};

struct mutator {
	struct library *library;
	uint64_t state;
	const struct made *target;
	struct mutation mutation;
	char sql[4096];
};

static uint64_t rnd(struct mutator *m)
{
	m->state ^= m->state << 13;
	m->state ^= m->state >> 7;
	m->state ^= m->state << 17;
	return m->state;
}

static unsigned below(struct mutator *m, size_t n)
{
	return (unsigned)(rnd(m) % n);
}

static bool sql(struct mutator *m, const char *table)
{
	struct statement statement;

	snprintf(m->mutation.tables[m->mutation.n_tables++], sizeof(m->mutation.tables[0]), "%s",
		 table);
	/* Changed nothing: nothing to find. */
	return try_sql(m->library, m->sql, NULL, 0, &statement) && strcmp(statement.v, "0") != 0;
}

/* --- targets --------------------------------------------------------------------------------- */

static bool is_target(const struct made *made, bool call)
{
	return made->anchored && !made->dropped && (made->n != 0) == call;
}

static const struct made *pick(struct mutator *m, bool call)
{
	const struct library *l = m->library;
	const struct made *made;

	do {
		made = &l->links[below(m, l->n_links)];
	} while (!is_target(made, call));
	m->target = made;
	m->mutation.link = true;
	m->mutation.chain = made->chain;
	m->mutation.seq = made->seq;
	if (call)
		snprintf(m->mutation.call_id, UUID_TEXT_BYTES, "00000000-0000-7000-8000-%012x",
			 made->n);
	return made;
}

static const char *chain_text(const struct mutator *m, unsigned chain)
{
	static char texts[4][UUID_TEXT_BYTES];
	static unsigned next;
	char *text = texts[next++ % 4];

	uuid_text(m->library->chains[chain].id, text);
	return text;
}

static unsigned n_epochs(const struct library *l, unsigned chain)
{
	return (unsigned)l->last_anchors[chain].epoch + 1;
}

/* --- changes --------------------------------------------------------------------------------- */

static bool flip(struct mutator *m, const char *table, const char *columns, const char *where)
{
	snprintf(m->sql, sizeof(m->sql),
		 "SELECT test_flip('audit.%s', (ARRAY[%s])[1 + %u %% cardinality(ARRAY[%s])], %u,"
		 " $w$%s$w$)::text AS v",
		 table, columns, below(m, 1000), columns, below(m, 100000), where);
	return sql(m, table);
}

#define CALL_COLUMN(n, name, type, field, format) "'" #name "', "

static bool flip_call(struct mutator *m)
{
	const struct made *made = pick(m, true);
	char where[128];

	m->mutation.what = "a bit of a call";
	m->mutation.everything_behind = true; /* if its place is what changed */
	m->mutation.payload = true;
	snprintf(where, sizeof(where), "chain_id = '%s' AND chain_seq = %" PRIu64,
		 chain_text(m, made->chain), made->seq);
	return flip(m, "call_log",
		    CALL_COLUMNS(CALL_COLUMN) "'started_at', 'tenant_id', 'call_id', 'damaged',"
					      " 'reduction'",
		    where);
}

static bool flip_event_seal(struct mutator *m)
{
	const struct made *made = pick(m, false);
	char where[128];

	m->mutation.what = "a bit of a seal of events";
	m->mutation.seal_of_events = true;
	m->mutation.events = true;
	m->mutation.everything_behind = true;
	snprintf(where, sizeof(where), "chain_id = '%s' AND chain_seq = %" PRIu64,
		 chain_text(m, made->chain), made->seq);
	return flip(m, "event_seals",
		    "'chain_id', 'chain_seq', 'chain_mac', 'source', 'first_n', 'last_n',"
		    " 'digest', 'sealed_at'",
		    where);
}

static bool flip_anchor(struct mutator *m)
{
	unsigned chain = below(m, N_CHAINS);
	char where[128];

	m->mutation.what = "a bit of an anchor";
	m->mutation.anchors = true;
	m->mutation.chain = chain;
	snprintf(where, sizeof(where), "chain_id = '%s' AND epoch = %u", chain_text(m, chain),
		 below(m, n_epochs(m->library, chain)));
	return flip(m, "anchors",
		    "'chain_id', 'epoch', 'first_seq', 'last_seq', 'last_mac', 'mac_key',"
		    " 'anchored_at', 'signature'",
		    where);
}

static bool flip_seal(struct mutator *m)
{
	m->mutation.what = "a bit of a seal of a partition";
	m->mutation.seals = m->mutation.any_dropped = true;
	return flip(m, "partition_seals",
		    "'partition', 'log', 'from_at', 'to_at', 'n_rows', 'statement', 'signature',"
		    " 'sealed_at'",
		    "true");
}

static bool flip_event(struct mutator *m)
{
	char where[64];

	m->mutation.what = "a bit of an event";
	m->mutation.events = true;
	snprintf(where, sizeof(where), "seal_n = %u",
		 1 + below(m, (size_t)strtoul(must_sql(m->library, "SELECT max(seal_n) AS v FROM"
								   " audit.auth_event_log"),
					      NULL, 10)));
	return flip(
		m, "auth_event_log",
		"'tenant_id', 'event_id', 'at', 'tenant', 'type', 'connection_id',"
		" 'connection', 'subject', 'actor', 'attempt_id', 'error_code', 'detail',"
		" 'user_name', 'api_key', 'source_ip', 'client', 'n_events', 'cause_id', 'seal_n'",
		where);
}

static bool flip_payload(struct mutator *m)
{
	const struct made *made = pick(m, true);
	char where[128];

	if (!has_payload(made->n))
		return false;
	m->mutation.what = "a bit of a payload";
	m->mutation.payload = true;
	snprintf(where, sizeof(where), "call_id = '%s'", m->mutation.call_id);
	return flip(m, "call_payloads", "'sealed', 'call_id', 'tenant_id', 'started_at'", where);
}

/* Deletes, and says how many went. */
static bool delete_from(struct mutator *m, const char *table, const char *where)
{
	snprintf(m->sql, sizeof(m->sql),
		 "WITH gone AS (DELETE FROM audit.%s WHERE %s RETURNING 1)"
		 " SELECT count(*)::text AS v FROM gone",
		 table, where);
	return sql(m, table);
}

static bool delete_link(struct mutator *m)
{
	bool call = below(m, 8) != 0;
	const struct made *made = pick(m, call);
	char where[128];

	m->mutation.what = "a link deleted";
	m->mutation.events = !call;
	snprintf(where, sizeof(where), "chain_id = '%s' AND chain_seq = %" PRIu64,
		 chain_text(m, made->chain), made->seq);
	return delete_from(m, call ? "call_log" : "event_seals", where);
}

static bool delete_anchor(struct mutator *m)
{
	unsigned chain = below(m, N_CHAINS);
	unsigned epoch = below(m, n_epochs(m->library, chain));
	char where[128];

	m->mutation.what = "an anchor deleted";
	m->mutation.anchors = true;
	m->mutation.needs_file = epoch == n_epochs(m->library, chain) - 1;
	m->mutation.chain = chain;
	snprintf(where, sizeof(where), "chain_id = '%s' AND epoch = %u", chain_text(m, chain),
		 epoch);
	return delete_from(m, "anchors", where);
}

static bool delete_other(struct mutator *m)
{
	if (below(m, 3) == 0) {
		m->mutation.what = "the seal of a partition deleted";
		m->mutation.seals = m->mutation.any_dropped = true;
		return delete_from(m, "partition_seals", "true");
	}
	if (below(m, 2) == 0) {
		const struct made *made = pick(m, true);
		char where[128];

		m->mutation.what = "a payload deleted";
		m->mutation.payload = true;
		snprintf(where, sizeof(where), "call_id = '%s'", m->mutation.call_id);
		return has_payload(made->n) && delete_from(m, "call_payloads", where);
	}
	m->mutation.what = "an event deleted";
	m->mutation.events = true;
	return delete_from(m, "auth_event_log",
			   "event_id = (SELECT event_id FROM audit.auth_event_log ORDER BY"
			   " md5(event_id::text) LIMIT 1)");
}

static bool swap(struct mutator *m)
{
	const struct made *one = pick(m, true);
	const struct made *other = pick(m, true);

	m->mutation.what = "two calls swapped";
	m->mutation.other_chain = one->chain;
	m->mutation.other_seq = one->seq;
	if (one == other)
		return false;
	snprintf(m->sql, sizeof(m->sql),
		 "WITH both_of AS (SELECT chain_id, chain_seq, chain_mac FROM audit.call_log WHERE"
		 " (chain_id, chain_seq) IN (('%s', %" PRIu64 "), ('%s', %" PRIu64 "))),"
		 " done AS (UPDATE audit.call_log c SET chain_id = b.chain_id,"
		 " chain_seq = b.chain_seq, chain_mac = b.chain_mac FROM both_of a, both_of b"
		 " WHERE (c.chain_id, c.chain_seq) = (a.chain_id, a.chain_seq)"
		 " AND (a.chain_id, a.chain_seq) <> (b.chain_id, b.chain_seq) RETURNING 1)"
		 " SELECT count(*)::text AS v FROM done",
		 chain_text(m, one->chain), one->seq, chain_text(m, other->chain), other->seq);
	return sql(m, "call_log");
}

/* A copy of a call under another id, at a place that is: its own, a random one of its chain, behind
 * the end, of a chain that nobody knows, or none. */
static bool forge(struct mutator *m)
{
	const struct made *made = pick(m, true);
	unsigned where = below(m, 5);
	const struct made *at = where == 1 ? pick(m, true) : made;
	const char *place = where == 3	 ? "gen_random_uuid(), 1 + %" PRIu64 " %% 40, sha256('x')"
			    : where == 4 ? "NULL, NULL, NULL"
			    : where == 0 ? "c.chain_id, c.chain_seq, c.chain_mac"
			    : where == 1 ? "c.chain_id, %" PRIu64 ", sha256('x')"
					 : "c.chain_id, 900000 + %" PRIu64 ", c.chain_mac";
	char columns[256];

	m->mutation.what = "a call forged";
	if (where == 1) {
		m->mutation.chain = made->chain;
		m->mutation.seq = at->seq;
	}
	m->mutation.unchained = where == 4;
	m->mutation.everything_behind = where == 2;
	snprintf(m->mutation.call_id, UUID_TEXT_BYTES, "ffffffff-0000-7000-8000-%012x",
		 below(m, 1u << 30));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
	snprintf(columns, sizeof(columns), place, at->seq);
#pragma GCC diagnostic pop
	snprintf(m->sql, sizeof(m->sql),
		 "SELECT test_forge('%s', %" PRIu64 ", '%s', $w$%s$w$)::text AS v",
		 chain_text(m, made->chain), made->seq, m->mutation.call_id, columns);
	return sql(m, "call_log");
}

static bool forge_event(struct mutator *m)
{
	m->mutation.what = "an event forged";
	m->mutation.events = true;
	snprintf(m->sql, sizeof(m->sql),
		 "WITH made AS (INSERT INTO audit.auth_event_log (tenant_id, type, at) VALUES"
		 " (gen_random_uuid(), 'disconnected', now() - interval '9 days') RETURNING 1)"
		 " SELECT count(*)::text AS v FROM made");
	return sql(m, "auth_event_log");
}

/* All of a chain from some place on, and perhaps the anchors that hold it. */
static bool cut(struct mutator *m)
{
	const struct made *made = pick(m, true);
	const char *chain = chain_text(m, made->chain);
	char where[128];
	bool good;

	m->mutation.what = "the tail of a chain cut";
	m->mutation.everything_behind = m->mutation.events = true;
	m->mutation.anchors = m->mutation.needs_file = below(m, 2) == 0;
	snprintf(where, sizeof(where), "chain_id = '%s' AND chain_seq >= %" PRIu64, chain,
		 made->seq);
	good = delete_from(m, "call_log", where);
	delete_from(m, "event_seals", where);
	snprintf(where, sizeof(where), "chain_id = '%s' AND last_seq >= %" PRIu64, chain,
		 made->seq);
	if (m->mutation.anchors)
		delete_from(m, "anchors", where);
	return good;
}

/* --- who has read the anchors ---------------------------------------------------------------- */

/* A call changed, and all MACs from there to the end of its epoch made anew with the key that its
 * anchor has disclosed. */
static bool rewrite(struct mutator *m)
{
	struct library *l = m->library;
	const struct made *made = pick(m, true);
	uint8_t mac[CHAIN_MAC_BYTES] = { 0 }, digest[SHA256_BYTES];
	char text[2 * CHAIN_MAC_BYTES + 1];
	struct buf canonical;
	bool good = true;

	m->mutation.what = "an epoch rewritten";
	m->mutation.link = false;
	m->mutation.first = m->mutation.seq;
	buf_init(&canonical, EVENT_MAX_BYTES);
	digest_call(made->n, made->started_us, 1, &canonical);
	for (size_t i = 0; i < l->n_links; i++) {
		const struct made *at = &l->links[i];
		const char *table = at->n != 0 ? "call_log" : "event_seals";

		if (at->chain != made->chain || at->epoch != made->epoch)
			continue;
		if (at->seq < made->seq) {
			memcpy(mac, at->mac, sizeof(mac));
			continue;
		}
		if (at == made && made->seq > 1 && made > l->links && made[-1].chain == made->chain)
			memcpy(mac, made[-1].mac, sizeof(mac));
		memcpy(digest, at->digest, sizeof(digest));
		if (at == made)
			crypto_sha256(canonical.data, canonical.len, digest);
		chain_mac(l->mac_keys[at->chain][at->epoch], l->chains[at->chain].id, at->seq, mac,
			  digest, mac);
		hex_encode(mac, sizeof(mac), text);
		snprintf(
			m->sql, sizeof(m->sql),
			"WITH done AS (UPDATE audit.%s SET chain_mac = '\\x%s'%s%s%s WHERE chain_id"
			" = '%s' AND chain_seq = %" PRIu64 " RETURNING 1)"
			" SELECT count(*)::text AS v FROM done",
			table, text, at == made ? ", tool = 'crm__put_" : "",
			at == made ? (const char[]){ (char)('0' + made->n % 7), '\0' } : "",
			at == made ? "'" : "", chain_text(m, at->chain), at->seq);
		m->mutation.n_tables = 0;
		good &= sql(m, table) || at->dropped;
		m->mutation.last = at->seq;
	}
	m->mutation.n_tables = 0;
	snprintf(m->mutation.tables[m->mutation.n_tables++], 24, "call_log");
	snprintf(m->mutation.tables[m->mutation.n_tables++], 24, "event_seals");
	m->mutation.any_dropped = true; /* what it went on from may be what tells */
	buf_fini(&canonical);
	return good;
}

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

typedef bool change(struct mutator *m);

static change *const changes[] = {
	flip_call,   flip_call,	    flip_call,	  flip_call,	flip_event_seal,
	flip_anchor, flip_seal,	    flip_event,	  flip_payload, delete_link,
	delete_link, delete_anchor, delete_other, swap,		swap,
	forge,	     forge,	    forge_event,  cut,		rewrite,
};
#define N_CHANGES (sizeof(changes) / sizeof(changes[0]))

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

static int start_mutations(void **state)
{
	const char *rows = getenv("MUTATION_ROWS");

	if (start_libraries(state, rows != NULL ? (unsigned)strtoul(rows, NULL, 10) : ROWS_FEW) < 0)
		return -1;
	return pg_cluster_psql(&((struct library *)*state)->desk.base.cluster, "postgres",
			       mutations_sql);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_change_is_found_and_named),
	};

	return cmocka_run_group_tests(tests, start_mutations, end_libraries);
}
