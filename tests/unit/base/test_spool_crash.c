/* SPDX-License-Identifier: Apache-2.0 */

/* What a process acknowledged before it was killed is there for the next one. */

#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/base/spool_fixture.h"

#define ROUNDS	      50
#define IN_FLIGHT     32
#define KEEP	      100 /* the child releases what lies further back */
#define MAX_ACKS      300
#define PADDING_BYTES 900

static size_t payload_of(uint64_t sequence, char out[PADDING_BYTES + 32])
{
	size_t n = (size_t)snprintf(out, 32, "record %" PRIu64, sequence);
	size_t padding = sequence * 37 % PADDING_BYTES;

	memset(out + n, 'x', padding);
	out[n + padding] = '\0';
	return n + padding;
}

struct child {
	struct fixture *fixture;
	struct loop *loop;
	struct spool *spool;
	int pipe;
	struct slot {
		struct child *child;
		struct spool_wait wait;
		uint64_t sequence;
	} slots[IN_FLIGHT];
	uint64_t next;
};

static void child_append(struct slot *slot);

static void on_child_durable(void *ctx, const struct err *err)
{
	struct slot *slot = ctx;
	struct child *child = slot->child;
	uint64_t sequence = slot->sequence;

	if (err != NULL || write(child->pipe, &sequence, sizeof(sequence)) != sizeof(sequence))
		_exit(3);
	if (sequence % 50 == 0 && sequence > KEEP)
		spool_release(child->spool, sequence - KEEP);
	child_append(slot);
}

static void child_append(struct slot *slot)
{
	struct child *child = slot->child;
	char payload[PADDING_BYTES + 32];
	size_t n = payload_of(child->next, payload);
	struct err err;

	slot->sequence = spool_append(child->spool, 1, (struct span){ payload, n }, &slot->wait,
				      on_child_durable, slot, &err);
	if (slot->sequence != child->next)
		_exit(4);
	child->next++;
}

static void on_nothing(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	(void)ctx;
	(void)sequence;
	(void)type;
	(void)payload;
}

/* Never returns: appends until it is killed. */
static void child_run(struct fixture *f, int pipe)
{
	static struct child child;
	struct spool_stats stats;
	struct err err;

	child = (struct child){ .fixture = f, .loop = loop_new(), .pipe = pipe };
	child.spool = spool_open(child.loop, &f->params, on_nothing, NULL, &err);
	if (child.spool == NULL)
		_exit(2);
	spool_stats(child.spool, &stats);
	child.next = stats.last_sequence + 1;
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		child.slots[i].child = &child;
		child_append(&child.slots[i]);
	}
	loop_run(child.loop);
	_exit(5);
}

/* Kills the child after some acknowledgements; returns the last it gave. */
static uint64_t kill_after(struct fixture *f, uint64_t last, unsigned acks)
{
	uint64_t sequence;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_run(f, ends[1]);
	}
	close(ends[1]);
	for (unsigned n = 0; read(ends[0], &sequence, sizeof(sequence)) == sizeof(sequence);) {
		/* In order, without gaps; the first may be behind records that were written
		 * but not acknowledged before the last kill. */
		if (n == 0)
			assert_true(sequence > last);
		else
			assert_int_equal(sequence, last + 1);
		last = sequence;
		if (++n == acks)
			assert_int_equal(kill(pid, SIGKILL), 0);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return last;
}

static void nothing_acknowledged_is_lost_to_a_kill(void **state)
{
	struct fixture *f = *state;
	uint32_t random = 2463534242; /* xorshift: the same course in every run */
	uint64_t acknowledged = 0;

	f->params.segment_bytes = 65536;
	f->params.max_bytes = 64 * 65536;
	for (int round = 0; round < ROUNDS; round++) {
		random ^= random << 13;
		random ^= random >> 17;
		random ^= random << 5;
		acknowledged = kill_after(f, acknowledged, 1 + random % MAX_ACKS);
		must_open(f);
		assert_true(stats_of(f).last_sequence >= acknowledged);
		assert_true(f->n_replayed > 0);
		assert_true(f->replayed[0].sequence + KEEP <= acknowledged + 1 ||
			    f->replayed[0].sequence == 1);
		for (size_t i = 0; i < f->n_replayed; i++) {
			char expected[PADDING_BYTES + 32];

			assert_int_equal(f->replayed[i].sequence, f->replayed[0].sequence + i);
			payload_of(f->replayed[i].sequence, expected);
			assert_string_equal(f->replayed[i].bytes, expected);
		}
		assert_int_equal(f->replayed[f->n_replayed - 1].sequence,
				 stats_of(f).last_sequence);
		acknowledged = stats_of(f).last_sequence;
		spool_close(&f->spool);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_acknowledged_is_lost_to_a_kill),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
