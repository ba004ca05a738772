/* SPDX-License-Identifier: Apache-2.0 */

/* The chain as PostgreSQL has it: places, anchors, and what is signed besides. */

/* LINK: -Wl,--wrap=timer_start */

#include "audit/chain.h"
#include "audit/event.h"
#include "audit/event_seal.h"
#include "tests/unit/audit/book_fixture.h"

#define COUNT_ROWS    "SELECT count(*) AS v FROM audit.call_log"
#define COUNT_ANCHORS "SELECT count(*) AS v FROM audit.anchors"

static const uint8_t seed[ED25519_SEED_BYTES] = { 9 };

static unsigned n_told;

/* Time that does not have to be waited for. */
static int64_t epoch_ms;
static unsigned n_epochs;
static const struct book *watched;

void __real_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx);
void __wrap_timer_start(struct loop *loop, struct timer *timer, int64_t delay_ms, loop_cb *cb,
			void *ctx)
{
	if (delay_ms == BOOK_EPOCH_MS && ctx == watched) {
		n_epochs++;
		delay_ms = epoch_ms;
	}
	__real_timer_start(loop, timer, delay_ms, cb, ctx);
}

static void on_anchored(void *ctx, const struct chain_anchor *anchor)
{
	(void)ctx;
	(void)anchor;
	n_told++;
}

static void open_signing(struct desk *d)
{
	struct err err;

	n_told = 0;
	d->book = book_open(&(struct book_params){ .loop = d->base.loop,
						   .db = d->writer,
						   .spool_dir = d->dir,
						   .node_id = NODE_ID,
						   .spool_max_bytes = d->spool_max_bytes,
						   .anchored = on_anchored,
						   .ctx = d },
			    &err);
	assert_non_null(d->book);
	watched = d->book;
	book_set_signer(d->book, seed);
}

static int start_chain_desk(void **state)
{
	struct desk *d = *state;

	if (start_desk(state) < 0)
		return -1;
	look(d, "TRUNCATE audit.anchors");
	epoch_ms = BOOK_EPOCH_MS;
	return 0;
}

static void every_row_has_its_place_and_a_flush_anchors_them(void **state)
{
	struct desk *d = *state;

	open_signing(d);
	put_calls(d, 0, 300);
	flush(d);
	expect(d,
	       "SELECT (count(*) = 300 AND count(DISTINCT chain_seq) = 300 AND min(chain_seq) = 1"
	       " AND max(chain_seq) = 300 AND count(DISTINCT chain_id) = 1"
	       " AND count(chain_mac) = 300 AND count(reduction) = 0)::text AS v"
	       " FROM audit.call_log",
	       "true");
	expect(d,
	       "SELECT string_agg(concat_ws(' ', epoch, first_seq, last_seq, last_mac ="
	       " (SELECT chain_mac FROM audit.call_log l WHERE l.chain_id = a.chain_id AND"
	       " l.chain_seq = a.last_seq)), ',') AS v FROM audit.anchors a",
	       "0 1 300 t");
	/* Nothing new: no other one. */
	flush(d);
	expect(d, COUNT_ANCHORS, "1");
	put_calls(d, 300, 301);
	flush(d);
	expect(d,
	       "SELECT string_agg(concat_ws(' ', epoch, first_seq, last_seq), ',' ORDER BY epoch)"
	       " AS v FROM audit.anchors",
	       "0 1 300,1 301 301");
	assert_int_equal(n_told, 2);
}

static void the_end_of_a_book_is_anchored_and_told_at_the_next_start(void **state)
{
	struct desk *d = *state;

	open_signing(d);
	put_calls(d, 0, 5);
	book_close(&d->book);
	open_signing(d);
	flush(d);
	assert_int_equal(n_told, 1);
	expect(d, "SELECT concat_ws(' ', epoch, first_seq, last_seq) AS v FROM audit.anchors",
	       "0 1 5");
	expect(d, COUNT_ROWS " WHERE chain_seq IS NOT NULL", "5");
}

static void ten_thousand_links_are_an_epoch(void **state)
{
	struct desk *d = *state;

	open_signing(d);
	put_calls(d, 0, BOOK_EPOCH_LINKS + 3);
	flush(d);
	expect(d,
	       "SELECT string_agg(concat_ws(' ', epoch, first_seq, last_seq), ',' ORDER BY epoch)"
	       " AS v FROM audit.anchors",
	       "0 1 10000,1 10001 10003");
	assert_int_equal(n_told, 2);
}

static void nobody_signs_until_somebody_can(void **state)
{
	struct desk *d = *state;

	open_book(d);
	put_calls(d, 0, 5);
	flush(d);
	expect(d, COUNT_ROWS " WHERE chain_seq IS NOT NULL", "5");
	expect(d, COUNT_ANCHORS, "0");
	book_set_signer(d->book, seed);
	flush(d);
	expect(d, COUNT_ANCHORS, "1");
	book_set_signer(d->book, NULL);
	put_calls(d, 5, 6);
	flush(d);
	reopen_book(d);
	flush(d);
	expect(d, COUNT_ANCHORS, "1");
	book_set_signer(d->book, seed);
	flush(d);
	expect(d,
	       "SELECT concat_ws(' ', first_seq, last_seq) AS v FROM audit.anchors"
	       " WHERE epoch = 1",
	       "6 6");
}

static void look_bytes(struct desk *d, const char *hex, uint8_t *out, size_t n)
{
	char *sql = mem_printf("SELECT %s AS v FROM audit.call_log", hex);

	assert_int_equal(hex_decode(span_of(look(d, sql)), out, n), 0);
	free(sql);
}

/* Of the one row: what its reduction signs, made again from the record that it became of. */
static void expect_signed(struct desk *d, const struct event *event, bool linked)
{
	uint8_t id[CHAIN_ID_BYTES] = { 0 }, mac[CHAIN_MAC_BYTES] = { 0 };
	uint8_t signature[CHAIN_SIGNATURE_BYTES], key[ED25519_PUBLIC_BYTES];
	uint8_t digest[SHA256_BYTES];
	struct buf canonical;
	uint64_t seq = 0;

	if (linked) {
		look_bytes(d, "replace(chain_id::text, '-', '')", id, sizeof(id));
		look_bytes(d, "encode(chain_mac, 'hex')", mac, sizeof(mac));
		seq = 1;
	}
	look_bytes(d, "left(encode(reduction, 'hex'), 64)", signature, sizeof(signature) / 2);
	look_bytes(d, "right(encode(reduction, 'hex'), 64)", signature + sizeof(signature) / 2,
		   sizeof(signature) / 2);
	buf_init(&canonical, EVENT_MAX_BYTES);
	event_canonical(event, &canonical);
	crypto_sha256(canonical.data, canonical.len, digest);
	buf_fini(&canonical);
	crypto_ed25519_public(seed, key);
	assert_true(chain_reduction_verify(key, id, seq, mac, digest, signature));
}

static void what_is_stored_reduced_is_signed_as_it_is_stored(void **state)
{
	struct desk *d = *state;
	struct event event;
	struct buf record;
	struct call call;
	struct err err;

	open_signing(d);
	call_number(&call, 1);
	call.call.source_ip = "nowhere";
	put_entry(d, &call.call, &fine);
	flush(d);
	expect(d, COUNT_ROWS " WHERE damaged AND chain_seq = 1 AND tool IS NULL", "1");
	buf_init(&record, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ EVENT_ENTRY, &call.call, &fine, NODE_ID }, &record);
	assert_int_equal(event_decode(buf_span(&record), &event, &err), 0);
	event.fields[FIELD_TENANT].p = event.fields[FIELD_METHOD].p = NULL;
	event.fields[FIELD_TOOL].p = event.fields[FIELD_SOURCE_IP].p = NULL;
	expect_signed(d, &event, true);
	buf_fini(&record);
}

static void what_lost_its_beginning_is_signed_as_it_is_stored(void **state)
{
	struct desk *d = *state;
	struct event event;
	struct buf record;
	struct call call;
	struct err err;

	open_signing(d);
	call_number(&call, 1);
	put_outcome(d, &call.call, &fine);
	flush(d);
	expect(d, COUNT_ROWS " WHERE damaged AND chain_seq = 1 AND tool IS NULL", "1");
	buf_init(&record, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ EVENT_OUTCOME, &call.call, &fine, NULL }, &record);
	assert_int_equal(event_decode(buf_span(&record), &event, &err), 0);
	expect_signed(d, &event, true);
	buf_fini(&record);
}

static void on_nothing(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	(void)ctx;
	(void)sequence;
	(void)type;
	(void)payload;
}

/* As a program without the chain has left them: version 1, no links. */
static void what_came_before_the_chain_is_signed_without_a_place(void **state)
{
	const struct spool_params params = { .dir = NULL,
					     .segment_bytes = SPOOL_BYTES / 8,
					     .max_bytes = SPOOL_BYTES,
					     .max_record_bytes = EVENT_MAX_BYTES };
	struct desk *d = *state;
	struct spool_params here = params;
	struct spool *spool;
	struct event event;
	struct buf record;
	struct call call;
	struct err err;

	here.dir = d->dir;
	call_number(&call, 1);
	buf_init(&record, EVENT_MAX_BYTES);
	event_encode(&(struct event_source){ EVENT_ENTRY, &call.call, &fine, NODE_ID }, &record);
	record.data[0] = 1;
	spool = spool_open(d->base.loop, &here, on_nothing, NULL, &err);
	assert_non_null(spool);
	assert_true(spool_append(spool, EVENT_ENTRY, buf_span(&record), NULL, NULL, NULL, &err) >
		    0);
	spool_close(&spool);
	open_signing(d);
	flush(d);
	expect(d, COUNT_ROWS " WHERE NOT damaged AND chain_id IS NULL AND tool IS NOT NULL", "1");
	expect(d, COUNT_ANCHORS, "0");
	assert_int_equal(event_decode(buf_span(&record), &event, &err), 0);
	expect_signed(d, &event, false);
	buf_fini(&record);
}

static bool an_anchor_came(void *ctx)
{
	(void)ctx;
	return n_told > 0;
}

static void a_link_is_anchored_after_a_while_and_nothing_else_wakes_anybody(void **state)
{
	struct desk *d = *state;

	epoch_ms = 20;
	n_epochs = 0;
	open_signing(d);
	flush(d);
	assert_int_equal(n_epochs, 0);
	put_calls(d, 0, 3);
	assert_int_equal(n_epochs, 1); /* of the first link alone */
	run_until(&d->base, an_anchor_came, d);
	run_for(&d->base, 60);
	assert_int_equal(n_told, 1);
	assert_int_equal(n_epochs, 1);
	flush(d);
	expect(d, "SELECT concat_ws(' ', epoch, first_seq, last_seq) AS v FROM audit.anchors",
	       "0 1 3");
	/* What a process left without anchor does not wait for the next call. */
	book_set_signer(d->book, NULL);
	put_calls(d, 3, 4);
	flush(d);
	book_close(&d->book);
	n_epochs = 0;
	open_signing(d);
	assert_int_equal(n_epochs, 1);
	run_until(&d->base, an_anchor_came, d);
	flush(d);
	expect(d, COUNT_ANCHORS, "2");
}

/* With the link it would be too long for whoever reads it back. */
static void a_record_leaves_room_for_its_link(void **state)
{
	const struct event_seal seal = { .source = "auth", .first_n = 1, .last_n = 2 };
	struct desk *d = *state;
	struct buf record;
	struct err err;

	open_signing(d);
	buf_init(&record, EVENT_SEAL_RECORD_BYTES + 1);
	event_seal_encode(&seal, &record);
	assert_int_equal(
		book_append_record(d->book, EVENT_SEAL, buf_span(&record), NULL, NULL, NULL, &err),
		0);
	buf_append(&record, "", 1);
	assert_int_equal(
		book_append_record(d->book, EVENT_SEAL, buf_span(&record), NULL, NULL, NULL, &err),
		-1);
	assert_int_equal(err.code, ERR_TOO_LARGE);
	buf_fini(&record);
	reopen_book(d);
	assert_int_equal(book_lost(d->book), 0);
	assert_int_equal(book_backlog(d->book), 2); /* the seal and its anchor */
}

#define CHAIN_TEST(name) cmocka_unit_test_setup_teardown(name, start_chain_desk, end_desk)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CHAIN_TEST(every_row_has_its_place_and_a_flush_anchors_them),
		CHAIN_TEST(the_end_of_a_book_is_anchored_and_told_at_the_next_start),
		CHAIN_TEST(ten_thousand_links_are_an_epoch),
		CHAIN_TEST(nobody_signs_until_somebody_can),
		CHAIN_TEST(what_is_stored_reduced_is_signed_as_it_is_stored),
		CHAIN_TEST(what_lost_its_beginning_is_signed_as_it_is_stored),
		CHAIN_TEST(what_came_before_the_chain_is_signed_without_a_place),
		CHAIN_TEST(a_link_is_anchored_after_a_while_and_nothing_else_wakes_anybody),
		CHAIN_TEST(a_record_leaves_room_for_its_link),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
