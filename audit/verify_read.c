/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify_read.h"

#include <stdio.h>
#include <string.h>

#include "audit/event_seal.h"
#include "audit/row.h"

const char verify_seals_sql[] =
	"SELECT s.partition, s.log, s.n_rows, s.statement, "
	"s.signature, " ROW_US("s.from_at") " AS from_us, " ROW_US("s.to_at") " AS to_us, " ROW_US(
		"s.sealed_at") " AS sealed_us FROM audit.partition_seals s"
			       " WHERE s.partition > $1::name ORDER BY "
			       "s.partition LIMIT $2::bigint";

/* Each by its own index: none is read through. */
const char verify_chain_sql[] =
	"SELECT t.chain_id FROM ("
	"(SELECT c.chain_id FROM audit.call_log c WHERE c.chain_id >= $1::uuid"
	" ORDER BY c.chain_id LIMIT 1) UNION ALL "
	"(SELECT s.chain_id FROM audit.event_seals s WHERE s.chain_id >= $1::uuid"
	" ORDER BY s.chain_id LIMIT 1) UNION ALL "
	"(SELECT a.chain_id FROM audit.anchors a WHERE a.chain_id >= $1::uuid"
	" ORDER BY a.chain_id LIMIT 1)) t ORDER BY t.chain_id LIMIT 1";

#define ANCHOR                                                                                     \
	"SELECT a.chain_id, a.epoch, a.first_seq, a.last_seq, a.last_mac, a.mac_key, " ROW_US(     \
		"a.anchored_at") " AS anchored_us, a.signature FROM audit.anchors a"               \
				 " WHERE a.chain_id = $1::uuid"

const char verify_after_sql[] = ANCHOR " AND a.anchored_at < $2::timestamptz"
				       " AND a.last_seq < $3::bigint ORDER BY a.epoch DESC LIMIT 1";
const char verify_anchors_sql[] =
	ANCHOR " AND a.epoch >= $2::bigint ORDER BY a.epoch LIMIT $3::bigint";

/* Of the sealed bytes of each part, as audit/payload.h has it. One that is not there may have been
 * dropped with its partition, or be on its way. */
#define PAYLOAD                                                                                    \
	"CASE WHEN c.payload_digest IS NOT NULL THEN coalesce((SELECT CASE"                        \
	" WHEN sha256(string_agg(sha256(p.sealed), ''::bytea ORDER BY p.part)) = c.payload_digest" \
	" THEN 'good' WHEN count(*) > 0 THEN 'altered' END FROM audit.call_payloads p"             \
	" WHERE p.tenant_id = c.tenant_id AND p.started_at = c.started_at"                         \
	" AND p.call_id = c.call_id), CASE WHEN c.started_at < now() - interval '1 minute'"        \
	" AND NOT EXISTS (SELECT FROM audit.partition_seals s WHERE s.log = 'call_payloads'"       \
	" AND s.from_at <= c.started_at AND s.to_at > c.started_at) THEN 'missing' ELSE 'good'"    \
	" END) END AS payload"

#define CALLS(payload)                                                                             \
	"SELECT " ROW_COLUMNS ", " payload " FROM audit.call_log c WHERE c.chain_id = $1::uuid"    \
	" AND c.chain_seq > $2::bigint ORDER BY c.chain_seq LIMIT $3::bigint"
const char verify_calls_sql[] = CALLS(PAYLOAD);
const char verify_bare_calls_sql[] = CALLS("NULL AS payload");
const char verify_rights_sql[] =
	"SELECT has_column_privilege('audit.call_payloads', 'sealed', 'SELECT') AS "
	"payloads, " ROW_US(
		"a.at") " AS anchored_us FROM (SELECT max(t.anchored_at) AS at FROM audit.anchors t"
			" WHERE isfinite(t.anchored_at)) a";

/* What is digested is few rows of each seal, by their index. */
const char verify_event_seals_sql[] =
	"SELECT s.chain_id, s.chain_seq, s.chain_mac, s.source, s.first_n, s.last_n, "
	"s.digest, " ROW_US("s.sealed_at") " AS sealed_us, " EVENT_SEAL_DIGEST " AS found"
					   " FROM (SELECT t.* FROM audit.event_seals t WHERE "
					   "t.chain_id = $1::uuid"
					   " AND t.chain_seq > $2::bigint ORDER BY t.chain_seq "
					   "LIMIT $3::bigint) s"
					   " ORDER BY s.chain_seq";

const char verify_old_sql[] = "SELECT count(*) AS n FROM audit.call_log c WHERE c.chain_id IS NULL"
			      " AND c.started_at < $1::timestamptz";

/* The first condition is for the planner, which leaves partitions out by it. */
const char verify_unchained_sql[] =
	"SELECT " ROW_COLUMNS " FROM audit.call_log c WHERE c.chain_id IS NULL"
	" AND c.started_at >= $1::timestamptz AND (c.started_at, c.call_id) > ($1::timestamptz,"
	" $2::uuid) AND c.started_at < $3::timestamptz ORDER BY c.started_at, c.call_id"
	" LIMIT $4::bigint";

/* Whoever dropped the constraint against them. */
const char verify_misplaced_sql[] =
	"SELECT " ROW_COLUMNS " FROM audit.call_log c WHERE (c.chain_id IS NOT NULL"
	" AND (c.chain_seq IS NULL OR c.chain_seq = -9223372036854775808))"
	" OR (c.chain_id IS NULL AND NOT isfinite(c.started_at)) LIMIT $1::bigint";

const char verify_event_ranges_sql[] =
	"SELECT r.source, r.covered + 1 AS first_n, r.first_n - 1 AS last_n FROM ("
	"SELECT s.source, s.first_n, s.sealed_at, coalesce(max(s.last_n) OVER ("
	"PARTITION BY s.source ORDER BY s.first_n, s.last_n"
	" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS covered"
	" FROM audit.event_seals s) r"
	" WHERE r.first_n > r.covered + 1 AND r.sealed_at < $1::timestamptz"
	" ORDER BY r.source, r.first_n LIMIT $2::bigint";

#define UNSEALED(source, log)                                                                      \
	"(SELECT '" source "' AS source, e.event_id, e.seal_n, " ROW_US(                           \
		"e.at") " AS at_us FROM audit." log " e"                                           \
			" WHERE e.seal_n < 1 OR e.at < $1::timestamptz AND (e.seal_n IS NULL OR "  \
			"e.seal_n > coalesce("                                                     \
			"(SELECT max(s.last_n) FROM audit.event_seals s WHERE s.source = '" source \
			"'), 0)) ORDER BY e.at, e.event_id LIMIT $2::bigint)"

const char verify_events_sql[] =
	UNSEALED("auth", "auth_event_log") " UNION ALL " UNSEALED("admin", "admin_event_log");

#define TEXT_OF(number)	   TEXT_AS_IS(number)
#define TEXT_AS_IS(number) #number
/* Whoever inserts an event of yesterday gets it sealed today. But what is sealed are all events
 * that are there, and so it is behind newer ones; unless there were too many to be sealed at once.
 */
#define LATE(source, log)                                                                          \
	"(SELECT '" source "' AS source, e.event_id, e.seal_n, " ROW_US(                           \
		"e.at") " AS at_us FROM ("                                                         \
			"SELECT s.first_n, s.last_n, max(m.at) OVER (ORDER BY s.first_n, s.last_n" \
			" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM "       \
			"audit.event_seals s"                                                      \
			" CROSS JOIN LATERAL (SELECT max(o.at) AS at FROM audit." log              \
			" o WHERE o.seal_n"                                                        \
			" BETWEEN s.first_n AND s.last_n AND s.last_n - s.first_n + 1 < " TEXT_OF( \
				EVENT_SEAL_EVENTS) ") m"                                           \
						   " WHERE s.source = '" source                    \
						   "') s JOIN audit." log " e"                     \
						   " ON e.seal_n BETWEEN s.first_n AND s.last_n"   \
						   " WHERE e.at < s.before - $1::bigint * "        \
						   "interval '1 microsecond'"                      \
						   " ORDER BY e.seal_n LIMIT $2::bigint)"

const char verify_late_events_sql[] =
	LATE("auth", "auth_event_log") " UNION ALL " LATE("admin", "admin_event_log");

const char verify_count_seals_sql[] = "SELECT count(*) AS n FROM audit.partition_seals";

static bool text_is(const char *text, const char *wanted)
{
	return text != NULL && strcmp(text, wanted) == 0;
}

static void put_label(struct verify_record *record, const char *text)
{
	snprintf(record->label, sizeof(record->label), "%s", text != NULL ? text : "");
}

static uint64_t get_place(const struct db_result *rows, size_t n, const char *column)
{
	int64_t value;

	return row_parse_int(db_text(rows, n, column), &value) && value > 0 ? (uint64_t)value : 0;
}

static int64_t get_time(const struct db_result *rows, size_t n, const char *column)
{
	int64_t value;

	return row_parse_int(db_text(rows, n, column), &value) ? value : 0;
}

/* Where it says that it stands, whether that is so or not. */
static void get_link(const struct db_result *rows, size_t n, struct verify_link *out)
{
	out->record.chained = uuid_parse(db_text(rows, n, "chain_id"), out->record.chain);
	out->record.first = out->record.last = get_place(rows, n, "chain_seq");
	out->readable = row_parse_bytes(db_text(rows, n, "chain_mac"), out->mac, sizeof(out->mac));
}

static void digest(const struct buf *canonical, struct verify_link *out)
{
	crypto_sha256(canonical->data, canonical->len, out->digest);
	if (canonical->overflow)
		out->readable = false;
}

static int64_t add_times(int64_t unix_us, int64_t duration_us)
{
	int64_t sum;

	return __builtin_add_overflow(unix_us, duration_us, &sum) ? INT64_MAX : sum;
}

void verify_read_call(const struct db_result *rows, size_t n, struct buf *scratch,
		      struct verify_link *out, struct verify_call *call)
{
	const char *payload = db_text(rows, n, "payload");
	int64_t outcome = BOOK_UNKNOWN;
	int64_t duration_us;
	struct row row;
	struct err ignored;

	*out = (struct verify_link){ .record = { .kind = VERIFY_CALL } };
	get_link(rows, n, out);
	out->readable &= row_read(rows, n, &row, &ignored) == 0;
	out->record.has_call_id = true;
	memcpy(out->record.call_id, row.call_id, sizeof(out->record.call_id));
	out->record.started_us = row.event.started_us;
	out->reduced = row.reduced;
	memcpy(out->reduction, row.reduction, sizeof(out->reduction));
	*call = (struct verify_call){ .payload_altered = text_is(payload, "altered"),
				      .payload_missing = text_is(payload, "missing") };
	call->ended = out->readable && event_number(&row.event, FIELD_OUTCOME, &outcome) &&
		      outcome != BOOK_UNKNOWN;
	if (call->ended && event_number(&row.event, FIELD_DURATION_US, &duration_us))
		out->ended_us = add_times(row.event.started_us, duration_us);
	if (!out->readable)
		return;
	buf_clear(scratch);
	event_canonical(&row.event, scratch);
	digest(scratch, out);
}

static bool get_event_seal(const struct db_result *rows, size_t n, struct event_seal *out)
{
	const char *source = db_text(rows, n, "source");

	*out = (struct event_seal){ .first_n = get_place(rows, n, "first_n"),
				    .last_n = get_place(rows, n, "last_n") };
	return source != NULL && strlen(source) < sizeof(out->source) &&
	       snprintf(out->source, sizeof(out->source), "%s", source) > 0 && out->first_n > 0 &&
	       out->last_n >= out->first_n &&
	       row_parse_int(db_text(rows, n, "sealed_us"), &out->sealed_us) &&
	       row_parse_bytes(db_text(rows, n, "digest"), out->digest, sizeof(out->digest));
}

static void judge_events(const struct db_result *rows, size_t n, const struct event_seal *seal,
			 struct verify_events *out)
{
	char wanted[2 * SHA256_BYTES + 1];

	hex_encode(seal->digest, sizeof(seal->digest), wanted);
	*out = (struct verify_events){
		.n = seal->last_n - seal->first_n + 1,
		.good = text_is(db_text(rows, n, "found"), wanted),
		.record = {.kind = VERIFY_EVENTS,
			    .first = seal->first_n,
			    .last = seal->last_n,
			    .started_us = seal->sealed_us},
	};
	put_label(&out->record, seal->source);
}

void verify_read_event_seal(const struct db_result *rows, size_t n, struct buf *scratch,
			    struct verify_link *out, struct verify_events *events)
{
	struct event_seal seal;

	*out = (struct verify_link){ .record = { .kind = VERIFY_EVENT_SEAL } };
	*events = (struct verify_events){ .good = true };
	get_link(rows, n, out);
	out->readable &= get_event_seal(rows, n, &seal);
	out->record.started_us = out->ended_us = seal.sealed_us;
	put_label(&out->record, seal.source);
	if (!out->readable)
		return;
	buf_clear(scratch);
	event_seal_canonical(&seal, scratch);
	digest(scratch, out);
	judge_events(rows, n, &seal, events);
}

bool verify_read_anchor(const struct db_result *rows, size_t n, struct chain_anchor *out)
{
	int64_t epoch, last;

	*out = (struct chain_anchor){ .first_seq = get_place(rows, n, "first_seq") };
	if (row_parse_int(db_text(rows, n, "epoch"), &epoch) && epoch >= 0)
		out->epoch = (uint64_t)epoch;
	if (!uuid_parse(db_text(rows, n, "chain_id"), out->id) ||
	    !row_parse_int(db_text(rows, n, "last_seq"), &last) || last < 0 || out->first_seq == 0)
		return false;
	out->last_seq = (uint64_t)last;
	return row_parse_int(db_text(rows, n, "anchored_us"), &out->anchored_us) &&
	       row_parse_bytes(db_text(rows, n, "last_mac"), out->last_mac,
			       sizeof(out->last_mac)) &&
	       row_parse_bytes(db_text(rows, n, "mac_key"), out->mac_key, sizeof(out->mac_key)) &&
	       row_parse_bytes(db_text(rows, n, "signature"), out->signature,
			       sizeof(out->signature));
}

/* The columns beside the statement are for people, and so have to say the same. */
static bool columns_agree(const struct db_result *rows, size_t n, const struct partition_seal *seal)
{
	return text_is(db_text(rows, n, "partition"), seal->partition) &&
	       text_is(db_text(rows, n, "log"), seal->log) &&
	       get_time(rows, n, "from_us") == seal->from_us &&
	       get_time(rows, n, "to_us") == seal->to_us &&
	       get_time(rows, n, "sealed_us") == seal->sealed_us &&
	       get_time(rows, n, "n_rows") == (int64_t)seal->rows;
}

bool verify_read_seal(const struct db_result *rows, size_t n, const uint8_t *public_key,
		      struct ranges *ranges, struct verify_record *record)
{
	struct span statement = db_span(rows, n, "statement");
	uint8_t signature[CHAIN_SIGNATURE_BYTES];
	struct partition_seal seal;
	struct err ignored;

	*record = (struct verify_record){ .kind = VERIFY_SEAL };
	put_label(record, db_text(rows, n, "partition"));
	record->started_us = get_time(rows, n, "from_us");
	return row_parse_bytes(db_text(rows, n, "signature"), signature, sizeof(signature)) &&
	       partition_seal_verify(public_key, statement, signature) &&
	       partition_seal_read(statement, &seal, ranges, &ignored) == 0 &&
	       columns_agree(rows, n, &seal);
}

/* Its place is all zero. */
static bool is_signed(const struct row *row, const uint8_t *public_key)
{
	static const uint8_t nowhere[CHAIN_ID_BYTES], nothing[CHAIN_MAC_BYTES];
	struct verify_link link = { .readable = true };
	struct buf canonical;

	buf_init(&canonical, EVENT_MAX_BYTES);
	event_canonical(&row->event, &canonical);
	digest(&canonical, &link);
	buf_fini(&canonical);
	return link.readable &&
	       chain_reduction_verify(public_key, nowhere, 0, nothing, link.digest, row->reduction);
}

bool verify_read_unchained(const struct db_result *rows, size_t n, const uint8_t *public_key,
			   struct verify_record *out)
{
	struct err ignored;
	struct row row;
	bool readable = row_read(rows, n, &row, &ignored) == 0;

	*out = (struct verify_record){ .kind = VERIFY_CALL, .started_us = row.event.started_us };
	out->has_call_id = uuid_parse(db_text(rows, n, "call_id"), out->call_id);
	return readable && row.reduced && is_signed(&row, public_key);
}

void verify_read_event_range(const struct db_result *rows, size_t n, struct verify_record *out)
{
	*out = (struct verify_record){ .kind = VERIFY_EVENTS,
				       .first = get_place(rows, n, "first_n"),
				       .last = get_place(rows, n, "last_n") };
	put_label(out, db_text(rows, n, "source"));
}

void verify_read_event(const struct db_result *rows, size_t n, struct verify_record *out)
{
	*out = (struct verify_record){ .kind = VERIFY_EVENTS,
				       .first = get_place(rows, n, "seal_n"),
				       .last = get_place(rows, n, "seal_n"),
				       .started_us = get_time(rows, n, "at_us") };
	out->has_call_id = uuid_parse(db_text(rows, n, "event_id"), out->call_id);
	put_label(out, db_text(rows, n, "source"));
}
