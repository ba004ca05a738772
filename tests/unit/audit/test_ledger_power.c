/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The power goes: at any call that changes the spool's files, with any part of what was not synced
 * lost, out of order or torn; and again while the spool is opened afterwards. What was called
 * durable before is there, and nothing that was not appended.
 *
 * TOLLGATE_POWER_STATES says how many states are built, TOLLGATE_POWER_SEED which.
 */

/* LINK: -Wl,--wrap=openat,--wrap=close,--wrap=write,--wrap=writev,--wrap=fallocate */
/* LINK: -Wl,--wrap=ftruncate,--wrap=fsync,--wrap=fdatasync,--wrap=renameat,--wrap=unlinkat */
/* LINK: -Wl,--wrap=spool_append,--wrap=spool_release_noting */

#include <inttypes.h>

#include "audit/ledger_priv.h"
#include "tests/unit/audit/ledger_fixture.h"
#include "tests/unit/audit/power_state.h"

#define SAMPLE_STATES 700
#define N_STEPS	      160
#define MAX_RECORDS   4096
#define MAX_CALLS     1024
#define MAX_PADDING   12000

enum what { NOTE_APPENDED, NOTE_DURABLE, NOTE_RELEASED, NOTE_DONE };

/* All that was ever appended, by sequence; written by spool_append's wrap. */
static struct record {
	uint8_t type;
	unsigned call;
	char *bytes;
	size_t n;
} records[MAX_RECORDS];

/* --- what the ledger tells its spool --------------------------------------------------------- */

uint64_t __real_spool_append(struct spool *spool, uint8_t type, struct span payload,
			     struct spool_wait *wait,
			     void (*durable)(void *ctx, const struct err *err), void *ctx,
			     struct err *err);
uint64_t __wrap_spool_append(struct spool *spool, uint8_t type, struct span payload,
			     struct spool_wait *wait,
			     void (*durable)(void *ctx, const struct err *err), void *ctx,
			     struct err *err);
void __real_spool_release_noting(struct spool *spool, uint64_t sequence, struct span note);
void __wrap_spool_release_noting(struct spool *spool, uint64_t sequence, struct span note);

static unsigned call_of(uint8_t type, struct span payload)
{
	const uint8_t *id;

	if (type < EVENT_INTENT || type > EVENT_ENTRY)
		return 0; /* of the book, not of a call */
	id = event_call_id(payload);
	return (unsigned)id[14] << 8 | id[15];
}

uint64_t __wrap_spool_append(struct spool *spool, uint8_t type, struct span payload,
			     struct spool_wait *wait,
			     void (*durable)(void *ctx, const struct err *err), void *ctx,
			     struct err *err)
{
	struct spool_stats stats;
	uint64_t next;

	spool_stats(spool, &stats);
	next = stats.last_sequence + 1;
	/* Before it may be on the disk. */
	if (recorder.disk != NULL) {
		assert_true(next < MAX_RECORDS);
		free(records[next].bytes);
		records[next] = (struct record){ type, call_of(type, payload),
						 mem_dup(payload.p, payload.n), payload.n };
		disk_note(NOTE_APPENDED, next);
	}
	return __real_spool_append(spool, type, payload, wait, durable, ctx, err);
}

void __wrap_spool_release_noting(struct spool *spool, uint64_t sequence, struct span note)
{
	disk_note(NOTE_RELEASED, sequence);
	__real_spool_release_noting(spool, sequence, note);
}

/* --- the session that is recorded ------------------------------------------------------------ */

struct session {
	struct fixture *f;
	struct disk disk;
	uint64_t random;
	unsigned n_calls;
	unsigned open[MAX_CALLS];
	size_t n_open;
};

static void open_durably(struct fixture *f)
{
	struct ledger_params params = ledger_params(f, MAX_BYTES);
	struct err err;

	params.fsync = true;
	f->ledger = ledger_open(&params, &err);
	if (f->ledger == NULL)
		print_error("%s\n", err.text);
	assert_non_null(f->ledger);
}

static void on_step_durable(void *ctx, const struct err *err)
{
	struct session *s = ctx;

	assert_null(err);
	disk_note(NOTE_DURABLE, s->f->wait.sequence);
	s->f->calls++;
}

static int put_padded(struct session *s, enum event_type type, unsigned n, bool wait)
{
	static char padding[MAX_PADDING + 32];
	const size_t bytes = disk_random(&s->random) % MAX_PADDING;
	const int n_padding = snprintf(padding, sizeof(padding), "{\"a\":\"%0*u\"}", (int)bytes, n);
	char call_id[40];
	const struct book_call call = {
		.call_id = call_id, .arguments = {padding, (size_t)n_padding}
	};
	const struct book_result result = { .upstream_us = -1 };
	struct buf payload;
	struct err err;
	int ret;

	snprintf(call_id, sizeof(call_id), "00000000-0000-7000-8000-%012x", n);
	buf_init(&payload, EVENT_MAX_BYTES);
	event_encode(
		&(struct event_source){ type, &call, type == EVENT_INTENT ? NULL : &result, NULL },
		&payload);
	s->f->calls = 0;
	ret = ledger_append(s->f->ledger, type, buf_span(&payload), wait ? &s->f->wait : NULL,
			    wait ? on_step_durable : NULL, s, &err);
	buf_fini(&payload);
	return ret;
}

/* As the drain does: the oldest rows are in PostgreSQL. */
static void done_with(struct session *s, size_t most)
{
	size_t n = ledger_peek(s->f->ledger, s->f->rows, most < MAX_ROWS ? most : MAX_ROWS, PLENTY);

	for (size_t i = 0; i < n; i++)
		disk_note(NOTE_DONE,
			  (uint64_t)s->f->rows[i]->call_id[14] << 8 | s->f->rows[i]->call_id[15]);
	ledger_done(s->f->ledger, n);
}

static void append_one(struct session *s, bool wait)
{
	uint32_t dice = disk_random(&s->random) % 4;

	if (dice == 0 || (dice < 3 && s->n_open == 0)) {
		if (put_padded(s, EVENT_ENTRY, ++s->n_calls, wait) < 0)
			done_with(s, 8);
	} else if (dice < 3) {
		size_t at = disk_random(&s->random) % s->n_open;

		assert_int_equal(put_padded(s, EVENT_OUTCOME, s->open[at], wait), 0);
		s->open[at] = s->open[--s->n_open];
	} else if (put_padded(s, EVENT_INTENT, ++s->n_calls, wait) == 0) {
		s->open[s->n_open++] = s->n_calls;
	}
}

/* What was open is complete for the process that comes after. */
static void restart(struct session *s)
{
	ledger_close(&s->f->ledger);
	open_durably(s->f);
	s->n_open = 0;
}

static void step(struct session *s)
{
	uint32_t together = 1 + disk_random(&s->random) % 5;

	for (uint32_t i = 0; i < together; i++)
		append_one(s, i + 1 == together);
	if (s->f->wait.spool != NULL)
		run_until(s->f, was_told);
	if (disk_random(&s->random) % 4 == 0)
		done_with(s, 1 + disk_random(&s->random) % 20);
	if (disk_random(&s->random) % 25 == 0)
		restart(s);
}

static void record_session(struct session *s)
{
	assert_int_equal(mkdir(s->f->dir, 0700), 0);
	disk_record(&s->disk, s->f->dir);
	open_durably(s->f);
	for (int i = 0; i < N_STEPS; i++)
		step(s);
	ledger_close(&s->f->ledger);
	disk_stop();
}

/* --- what must hold -------------------------------------------------------------------------- */

struct known {
	uint64_t appended, durable, released;
	bool done[MAX_CALLS];
};

static void know(const struct disk *disk, size_t cut, struct known *known)
{
	*known = (struct known){ 0 };
	for (size_t i = 0; i < cut; i++) {
		const struct disk_op *op = &disk->ops[i];
		uint64_t *highest[] = { [NOTE_APPENDED] = &known->appended,
					[NOTE_DURABLE] = &known->durable,
					[NOTE_RELEASED] = &known->released };

		if (op->kind != DISK_NOTE)
			continue;
		if (op->what == NOTE_DONE)
			known->done[op->value] = true;
		else if (op->value > *highest[op->what])
			*highest[op->what] = op->value;
	}
}

struct replay {
	const struct known *known;
	uint64_t first, last;
};

static void on_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct replay *replay = ctx;
	const struct record *record = &records[sequence];

	if (replay->first == 0)
		replay->first = sequence;
	else
		assert_int_equal(sequence, replay->last + 1);
	replay->last = sequence;
	assert_true(sequence <= replay->known->appended);
	assert_int_equal(type, record->type);
	assert_int_equal(payload.n, record->n);
	assert_memory_equal(payload.p, record->bytes, record->n);
}

/* Every record that was durable, and was not released, is there; so are no others, but some that
 * were on their way. Numbers go on behind all of them. */
static void check_records(struct fixture *f, const struct known *known)
{
	struct replay replay = { .known = known };
	struct spool_stats stats;
	struct spool *spool;
	struct err err = { 0 };

	spool = spool_open(f->loop,
			   &(struct spool_params){ .dir = f->dir,
						   .segment_bytes = MAX_BYTES / 8,
						   .max_bytes = MAX_BYTES,
						   .max_record_bytes = EVENT_MAX_BYTES,
						   .fsync = true },
			   on_record, &replay, &err);
	if (spool == NULL)
		fail_msg("%s", err.text);
	spool_stats(spool, &stats);
	assert_true(stats.last_sequence >= known->durable);
	assert_true(stats.last_sequence <= known->appended);
	assert_true(stats.released_sequence <= known->released);
	if (known->durable > known->released) {
		assert_true(replay.first > 0 && replay.first <= known->released + 1);
		assert_true(replay.last >= known->durable);
	}
	if (replay.first > 0)
		assert_int_equal(replay.first, stats.released_sequence + 1);
	spool_close(&spool);
}

/* The chain has neither gap nor fork: its numbers go on from row to row. A call that was open, and
 * for whose end a full spool had no room, is a row outside of it. */
static void check_link(const struct ledger_row *row, int64_t *seq)
{
	struct event event;
	struct err err;
	int64_t at = 0;

	assert_int_equal(
		event_decode(row->closing.p != NULL ? row->closing : row->opening, &event, &err),
		0);
	if (!event_number(&event, FIELD_CHAIN_SEQ, &at)) {
		assert_null(row->closing.p);
		assert_true(event.fields[FIELD_OUTCOME].p == NULL);
		return;
	}
	if (*seq != 0)
		assert_int_equal(at, *seq + 1);
	*seq = at;
}

/* Calls without an end wait until the disk is rid of what was done. */
static bool some_are_durable(struct fixture *f)
{
	return peek(f) > 0 || (ledger_n_ready(f->ledger) == 0 && f->ledger->n_orphans == 0);
}

/* All rows, as the drain takes them: what had no room before comes when others are gone. */
static void take_rows(struct fixture *f, unsigned seen[MAX_CALLS])
{
	int64_t seq = 0;

	for (;;) {
		size_t n;

		run_until(f, some_are_durable);
		n = peek(f);
		if (n == 0)
			return;
		for (size_t i = 0; i < n; i++) {
			unsigned call =
				(unsigned)f->rows[i]->call_id[14] << 8 | f->rows[i]->call_id[15];

			assert_true(call < MAX_CALLS);
			check_link(f->rows[i], &seq);
			assert_int_equal(++seen[call], 1);
		}
		ledger_done(f->ledger, n);
	}
}

/* Each call of which something durable was not brought to PostgreSQL has its row, once. */
static void check_rows(struct fixture *f, const struct known *known)
{
	unsigned seen[MAX_CALLS] = { 0 };

	open_ledger(f, MAX_BYTES);
	assert_int_equal(ledger_n_unreadable(f->ledger), 0);
	take_rows(f, seen);
	for (uint64_t s = known->released + 1; s <= known->durable; s++) {
		unsigned call = records[s].call;

		if (call > 0 && !known->done[call])
			assert_int_equal(seen[call], 1);
	}
	ledger_close(&f->ledger);
}

static void check(struct fixture *f, const struct known *known)
{
	check_records(f, known);
	check_rows(f, known);
}

/* --- the power goes -------------------------------------------------------------------------- */

/* Opens what is there while it is recorded, and builds a state of that. */
static void lose_power_again(struct fixture *f, struct disk *before, const struct known *known,
			     uint64_t *random)
{
	struct disk after;
	enum loss loss = (enum loss)(disk_random(random) % N_LOSSES);

	disk_record(before, f->dir);
	check_records(f, known);
	disk_stop();
	state_build(before, disk_random(random) % (before->n_ops + 1), loss, random, &after);
	state_write(&after, f->dir);
	disk_fini(&after);
	check(f, known);
}

static void lose_power(struct session *s, size_t cut, enum loss loss)
{
	struct disk state;
	struct known known;

	know(&s->disk, cut, &known);
	state_build(&s->disk, cut, loss, &s->random, &state);
	state_write(&state, s->f->dir);
	if (disk_random(&s->random) % 4 == 0)
		lose_power_again(s->f, &state, &known, &s->random);
	else
		check(s->f, &known);
	disk_fini(&state);
}

static uint64_t disk_spread(size_t cut)
{
	uint64_t state = 0x9e3779b97f4a7c15 * (cut + 1);

	return disk_random(&state);
}

/* Where a sync costs nothing, for it would tell nothing here. */
static int set_up_in_memory(void **state)
{
	struct fixture *f;

	if (set_up(state) < 0)
		return -1;
	f = *state;
	if (access("/dev/shm", W_OK) < 0)
		return 0;
	rmdir(f->top);
	snprintf(f->top, sizeof(f->top), "/dev/shm/ledger.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof(f->dir), "%s/spool", f->top);
	return 0;
}

static uint64_t setting(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);

	return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : fallback;
}

static void what_was_durable_outlives_a_loss_of_power(void **state)
{
	struct fixture *f = *state;
	struct session *s = mem_new(sizeof(*s));
	uint64_t n = setting("TOLLGATE_POWER_STATES", SAMPLE_STATES);

	s->f = f;
	s->random = 88172645463325252 + setting("TOLLGATE_POWER_SEED", 1);
	record_session(s);
	assert_true(s->disk.n_ops > N_STEPS);
	/* Before every call in turn: each time with the next loss, and not the same for neighbours.
	 */
	for (uint64_t i = 0; i < n; i++) {
		size_t cut = i % (s->disk.n_ops + 1);
		uint64_t round = i / (s->disk.n_ops + 1);

		lose_power(s, cut, (enum loss)((disk_spread(cut) + round) % N_LOSSES));
	}
	print_message("# %" PRIu64 " states of %zu calls\n", n, s->disk.n_ops);
	disk_fini(&s->disk);
	for (size_t i = 0; i < MAX_RECORDS; i++)
		free(records[i].bytes);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_durable_outlives_a_loss_of_power,
						set_up_in_memory, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
