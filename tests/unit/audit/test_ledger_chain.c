/* SPDX-License-Identifier: Apache-2.0 */

/* The chain that a ledger makes: whatever is lost or cut off, what comes out is one chain. */

/* LINK: -Wl,--wrap=write,--wrap=writev,--wrap=fdatasync */
/* LINK: -Wl,--wrap=fsync,--wrap=fallocate,--wrap=ftruncate */

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <utlist.h>

#include "audit/ledger_priv.h"
#include "base/spool_priv.h"
#include "tests/fakes/iofail.h"
#include "tests/unit/audit/ledger_fixture.h"

#include "tests/unit/audit/ledger_chain_fixture.h"

#define N_CALLS 64

/* The same for the same start. */
static unsigned next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(*state >> 33);
}

static void anchor(struct fixture *f)
{
	struct err err;

	assert_int_equal(ledger_anchor(f->ledger, chain_seed, &err), 0);
}

static void rows_are_links_in_the_order_of_their_ends(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	assert_int_equal(ledger_epoch_links(f->ledger), 0);
	put(f, EVENT_INTENT, 1);
	put(f, EVENT_INTENT, 2);
	assert_int_equal(ledger_epoch_links(f->ledger), 0);
	put(f, EVENT_ENTRY, 3);
	put(f, EVENT_OUTCOME, 2);
	assert_int_equal(ledger_epoch_links(f->ledger), 2);
	anchor(f);
	assert_int_equal(ledger_epoch_links(f->ledger), 0);
	put(f, EVENT_OUTCOME, 1);
	put(f, EVENT_OUTCOME, 9); /* whose INTENT nobody knows */
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 4);
	assert_int_equal(taken->links[1].call_id[15], 3);
	assert_int_equal(taken->links[2].call_id[15], 2);
	assert_int_equal(taken->links[3].call_id[15], 1);
	assert_int_equal(taken->links[4].call_id[15], 9);
	assert_int_equal(taken->n_anchors, 1);
	verify_taken(taken, open_key(f));
	free(taken);
}

static void the_chain_goes_on_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	for (unsigned round = 0; round < 5; round++) {
		put(f, EVENT_ENTRY, 10 * round + 1);
		if (round % 2 == 0)
			take_all(f, taken);
		put(f, EVENT_ENTRY, 10 * round + 2);
		anchor(f);
		put(f, EVENT_ENTRY, 10 * round + 3);
		if (round == 2)
			take_all(f, taken); /* all is released: only the note is left */
		reopen(f, MAX_BYTES);
	}
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 15);
	assert_int_equal(taken->n_anchors, 5);
	verify_taken(taken, open_key(f));
	reopen(f, MAX_BYTES);
	put(f, EVENT_ENTRY, 99);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 16);
	verify_taken(taken, open_key(f));
	free(taken);
}

/* Random calls; nothing is done, so that all stays in one segment. Returns the taken rows. */
static struct taken *run_calls(struct fixture *f, uint64_t seed, unsigned n_steps)
{
	struct taken *taken = new_taken();
	unsigned open[N_CALLS], n_open = 0, next = 1;

	for (unsigned step = 0; step < n_steps; step++) {
		unsigned dice = next_random(&seed) % 10;

		if (dice == 0 && ledger_epoch_links(f->ledger) > 0) {
			anchor(f);
		} else if (dice < 4 && n_open > 0) {
			unsigned at = next_random(&seed) % n_open;

			put(f, EVENT_OUTCOME, open[at]);
			open[at] = open[--n_open];
		} else if (dice < 7 && n_open < N_CALLS) {
			put(f, EVENT_INTENT, next);
			open[n_open++] = next++;
		} else {
			put(f, EVENT_ENTRY, next++);
		}
	}
	run_until(f, all_are_durable);
	for (size_t i = 0, n = peek(f); i < n; i++)
		take_row(taken, f->rows[i]);
	return taken;
}

/* Where each record of the one segment ends. */
struct ends {
	size_t at[1024];
	size_t n;
	size_t end;
};

static void on_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct ends *ends = ctx;

	(void)sequence;
	(void)type;
	ends->end += SPOOL_HEADER_BYTES + payload.n;
	ends->at[ends->n++] = ends->end;
}

static struct span read_segment(struct fixture *f, struct ends *ends)
{
	struct spool_segments segments = { NULL, 0 };
	struct spool_scan scan;
	struct span bytes;
	struct err err;
	int fd = spool_dir_open(f->dir, &err);

	assert_true(fd >= 0);
	assert_int_equal(spool_segments_list(fd, &segments), 0);
	assert_int_equal(segments.n, 1);
	assert_int_equal(spool_segment_read(fd, segments.at[0].first, &bytes), 0);
	assert_int_equal(segments.at[0].first, 1);
	*ends = (struct ends){ .n = 0 };
	spool_scan(bytes, 1, UINT64_MAX, 1, on_record, ends, &scan);
	free(segments.at);
	close(fd);
	return bytes;
}

/* As if the process had died when the first n bytes were written. */
static void write_segment(struct fixture *f, struct span bytes, size_t n)
{
	char path[128];
	DIR *dir = opendir(f->dir);
	struct dirent *entry;
	int fd;

	while ((entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	snprintf(path, sizeof(path), "%s/0000000000000001.seg", f->dir);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes.p, n), n);
	close(fd);
}

/* The links that both have are the same. */
static void assert_begins_alike(const struct taken *a, const struct taken *b, uint64_t n)
{
	for (uint64_t seq = 1; seq <= n; seq++) {
		assert_memory_equal(a->links[seq].link.mac, b->links[seq].link.mac,
				    CHAIN_MAC_BYTES);
		assert_memory_equal(a->links[seq].call_id, b->links[seq].call_id, EVENT_UUID_BYTES);
	}
}

static uint64_t n_links_before(const struct fixture *f)
{
	const struct ledger_row *row;
	uint64_t n = 0;

	DL_FOREACH2(f->ledger->ready, row, next_ready)
	n += row->kind == &kind_calls && row->last <= f->ledger->newest;
	return n;
}

/* Opens what is there, twice, and goes on. */
static void resume(struct fixture *f, const struct taken *whole, unsigned next)
{
	struct taken *first = new_taken(), *second = new_taken();
	uint64_t n_kept;

	open_ledger(f, PLENTY);
	n_kept = n_links_before(f);
	run_until(f, all_are_durable);
	for (size_t i = 0, n = peek(f); i < n; i++)
		take_row(first, f->rows[i]);
	assert_int_equal(first->last_seq, n_kept);
	verify_taken(first, open_key(f));
	reopen(f, PLENTY);
	put(f, EVENT_ENTRY, next);
	anchor(f);
	take_all(f, second);
	assert_begins_alike(first, second, first->last_seq);
	assert_int_equal(second->last_seq, first->last_seq + 1);
	assert_int_equal(second->n_unlinked, 0);
	verify_taken(second, open_key(f));
	/* What was complete before has the place that it had. */
	for (uint64_t seq = 1; seq <= whole->last_seq && seq <= second->last_seq; seq++) {
		if (memcmp(whole->links[seq].call_id, second->links[seq].call_id,
			   EVENT_UUID_BYTES) != 0)
			break;
		if (memcmp(whole->links[seq].digest, second->links[seq].digest, SHA256_BYTES) == 0)
			assert_memory_equal(whole->links[seq].link.mac, second->links[seq].link.mac,
					    CHAIN_MAC_BYTES);
	}
	ledger_close(&f->ledger);
	free(first);
	free(second);
}

static void a_crash_at_any_record_leaves_one_chain(void **state)
{
	struct fixture *f = *state;

	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct taken *whole;
		struct ends ends;
		struct span bytes;

		open_ledger(f, PLENTY);
		whole = run_calls(f, seed, 50);
		ledger_close(&f->ledger);
		bytes = read_segment(f, &ends);
		assert_true(ends.n >= 50);
		for (size_t i = 0; i < ends.n; i++) {
			write_segment(f, bytes, ends.at[i]);
			resume(f, whole, 1000);
		}
		write_segment(f, bytes, 0);
		free((void *)bytes.p);
		free(whole);
	}
}

static void without_its_state_a_new_chain_begins(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	uint8_t id[CHAIN_ID_BYTES];
	struct ends ends;
	struct span bytes;
	char *mended;

	open_ledger(f, PLENTY);
	put(f, EVENT_ENTRY, 1);
	put(f, EVENT_ENTRY, 2);
	memcpy(id, f->ledger->links.last.id, sizeof(id));
	ledger_close(&f->ledger);
	bytes = read_segment(f, &ends);
	assert_int_equal(ends.n, 3);
	/* The record of the state, which is the first, is of no use to anybody. */
	mended = mem_dup(bytes.p, bytes.n);
	mended[12] = 99;
	{
		uint32_t sum = htobe32(crypto_crc32c_more(crypto_crc32c(mended, 13),
							  mended + SPOOL_HEADER_BYTES,
							  ends.at[0] - SPOOL_HEADER_BYTES));

		memcpy(mended + 13, &sum, sizeof(sum));
	}
	write_segment(f, (struct span){ mended, bytes.n }, bytes.n);
	open_ledger(f, PLENTY);
	assert_int_equal(ledger_n_unreadable(f->ledger), 1);
	assert_memory_not_equal(f->ledger->links.last.id, id, sizeof(id));
	assert_int_equal(ledger_epoch_links(f->ledger), 0);
	assert_int_equal(peek_all(f), 2);
	assert_memory_equal(link_of(f->rows[0]).link.id, id, sizeof(id));
	ledger_done(f->ledger, 2);
	put(f, EVENT_ENTRY, 3);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 1);
	verify_taken(taken, open_key(f));
	free(mended);
	free((void *)bytes.p);
	free(taken);
}

/* Disks. */

/* Ends call n while the disk fails sooner or later, and more with it. Whether it took the end. */
static bool end_in_trouble(struct fixture *f, unsigned n, uint64_t *random)
{
	struct err err;
	bool asked;

	iofail_arm(IOFAIL_FROM, 1 + next_random(random) % 3, ENOSPC);
	f->calls = 0;
	asked = append(f, EVENT_OUTCOME, n, &f->wait, &err) == 0;
	if (next_random(random) % 2 == 0 && ledger_epoch_links(f->ledger) > 0)
		(void)!ledger_anchor(f->ledger, chain_seed, &err);
	(void)!append(f, EVENT_ENTRY, n + 1, NULL, &err);
	if (asked)
		run_until(f, was_told);
	iofail_disarm();
	return asked && !f->failed;
}

static void what_the_disk_refuses_leaves_no_gap(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	uint64_t random = 7;
	unsigned n_failed = 0;
	unsigned next = 1;

	open_ledger(f, MAX_BYTES);
	for (unsigned round = 0; round < 60; round++, next += 2) {
		unsigned n_good = next_random(&random) % 5;

		for (unsigned i = 0; i < n_good; i++)
			put(f, EVENT_ENTRY, next++);
		put(f, EVENT_INTENT, next);
		run_until(f, all_are_durable);
		if (!end_in_trouble(f, next, &random)) {
			n_failed++;
			put(f, EVENT_OUTCOME, next);
		}
		if (round % 2 == 0)
			take_all(f, taken);
		if (round % 7 == 0)
			reopen(f, MAX_BYTES);
	}
	take_all(f, taken);
	assert_in_range(n_failed, 10, 60);
	assert_in_range(taken->last_seq, 60, 400);
	assert_true(taken->n_anchors > 0);
	assert_int_equal(taken->n_unlinked, 0);
	verify_taken(taken, open_key(f));
	free(taken);
}

static void lost_state_is_appended_again(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	struct err err;

	open_ledger(f, MAX_BYTES);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	if (append(f, EVENT_ENTRY, 1, &f->wait, &err) == 0)
		run_until(f, was_told);
	iofail_disarm();
	run_until(f, all_are_durable);
	put(f, EVENT_ENTRY, 2);
	run_until(f, all_are_durable);
	reopen(f, MAX_BYTES);
	put(f, EVENT_ENTRY, 3);
	take_all(f, taken);
	assert_int_equal(taken->last_seq, 2);
	verify_taken(taken, open_key(f));
	free(taken);
}

/* The spool gives lost numbers out again, and the ledger has not been asked since. */
static void lose_entry(struct fixture *f, unsigned n)
{
	struct err err;

	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	f->calls = 0;
	assert_int_equal(append(f, EVENT_ENTRY, n, &f->wait, &err), 0);
	run_until(f, was_told);
	assert_true(f->failed);
	iofail_disarm();
}

static void an_anchor_holds_nothing_that_was_lost(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();

	open_ledger(f, MAX_BYTES);
	put_durable(f, EVENT_ENTRY, 1);
	lose_entry(f, 2);
	anchor(f);
	put_durable(f, EVENT_ENTRY, 3);
	take_all(f, taken);
	assert_int_equal(taken->anchors[0].last_seq, 1);
	assert_int_equal(taken->last_seq, 2);
	assert_int_equal(taken->links[2].call_id[15], 3);
	verify_taken(taken, open_key(f));
	/* And none holds nothing. */
	lose_entry(f, 4);
	anchor(f);
	run_until(f, all_are_durable);
	lose_entry(f, 5);
	anchor(f);
	take_all(f, taken);
	assert_int_equal(taken->n_anchors, 2);
	assert_int_equal(taken->anchors[1].last_seq, 2);
	free(taken);
}

/* Anchors. */

struct told {
	struct chain_anchor last;
	unsigned n;
};

static void on_anchored(void *ctx, const struct chain_anchor *one)
{
	struct told *told = ctx;

	told->last = *one;
	told->n++;
}

static void open_telling(struct fixture *f, struct told *told)
{
	struct ledger_params params = ledger_params(f, MAX_BYTES);
	struct err err;

	params.anchored = on_anchored;
	params.ctx = told;
	f->ledger = ledger_open(&params, &err);
	assert_non_null(f->ledger);
}

static bool is_told(struct fixture *f)
{
	const struct told *told = f->ledger->params.ctx;

	return told->n > 0;
}

static void an_anchor_is_told_once_it_is_durable_and_again_after_a_restart(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	struct told told = { .n = 0 };

	open_telling(f, &told);
	put(f, EVENT_ENTRY, 1);
	anchor(f);
	assert_int_equal(told.n, 0);
	run_until(f, is_told);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.last.last_seq, 1);
	ledger_close(&f->ledger);

	told.n = 0;
	open_telling(f, &told);
	assert_int_equal(told.n, 0);
	run_until(f, is_told);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.last.epoch, 0);
	take_all(f, taken);
	assert_int_equal(told.n, 1);
	ledger_close(&f->ledger);

	told.n = 0;
	open_telling(f, &told);
	put(f, EVENT_ENTRY, 2);
	anchor(f);
	run_until(f, is_told);
	assert_int_equal(told.last.epoch, 1);
	take_all(f, taken);
	assert_int_equal(told.n, 1);
	assert_int_equal(taken->n_anchors, 2);
	free(taken);
}

static void a_lost_anchor_is_not_told(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = new_taken();
	struct told told = { .n = 0 };

	open_telling(f, &told);
	put(f, EVENT_ENTRY, 1);
	run_until(f, all_are_durable);
	iofail_arm(IOFAIL_FROM, 1, ENOSPC);
	anchor(f);
	run_until(f, all_are_durable); /* it is gone from the rows */
	iofail_disarm();
	assert_int_equal(ledger_epoch_links(f->ledger), 1);
	put(f, EVENT_ENTRY, 2);
	anchor(f);
	take_all(f, taken);
	assert_int_equal(told.n, 1);
	assert_int_equal(taken->anchors[0].last_seq, 2);
	verify_taken(taken, open_key(f));
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(rows_are_links_in_the_order_of_their_ends),
		LEDGER_TEST(the_chain_goes_on_after_a_restart),
		LEDGER_TEST(a_crash_at_any_record_leaves_one_chain),
		LEDGER_TEST(without_its_state_a_new_chain_begins),
		LEDGER_TEST(what_the_disk_refuses_leaves_no_gap),
		LEDGER_TEST(lost_state_is_appended_again),
		LEDGER_TEST(an_anchor_holds_nothing_that_was_lost),
		LEDGER_TEST(an_anchor_is_told_once_it_is_durable_and_again_after_a_restart),
		LEDGER_TEST(a_lost_anchor_is_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
