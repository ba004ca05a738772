/* SPDX-License-Identifier: Apache-2.0 */

/* What PostgreSQL gets from a ledger whose process is killed again and again is one chain. */

#include <signal.h>
#include <sys/wait.h>

#include "audit/ledger_priv.h"
#include "tests/unit/audit/ledger_fixture.h"

#define MAX_LINKS   60000
#define MAX_ANCHORS 4096
#include "tests/unit/audit/chain_fixture.h"

#define ROUNDS	  12
#define N_OPEN	  16
#define AT_ONCE	  20
#define PER_ROUND 200 /* links before the kill, and more from round to round */

/* What the child hands over: as PostgreSQL would have it, whatever becomes of the child. */
struct handed {
	bool is_anchor;
	struct taken_link link;
	struct chain_anchor anchor;
};

static void hand_over(int pipe, const struct ledger_row *row)
{
	struct handed handed;
	struct err err;

	memset(&handed, 0, sizeof(handed));
	handed.is_anchor = row->kind == &kind_anchors;
	if (handed.is_anchor && anchor_decode(row->opening, &handed.anchor, NULL, &err) < 0)
		_exit(7);
	if (!handed.is_anchor)
		handed.link = link_of(row);
	if (write(pipe, &handed, sizeof(handed)) != sizeof(handed))
		_exit(3);
}

struct child {
	struct fixture *f;
	int pipe;
	unsigned next;
	unsigned open[N_OPEN];
	unsigned n_open;
	unsigned random;
	struct timer timer;
};

static void child_append(struct child *child)
{
	struct err err;
	unsigned n;

	child->random = child->random * 1664525U + 1013904223U;
	n = child->random >> 16;
	if (n % 3 == 0 && child->n_open < N_OPEN) {
		if (append(child->f, EVENT_INTENT, child->next, NULL, &err) == 0)
			child->open[child->n_open++] = child->next++;
	} else if (n % 3 == 1 && child->n_open > 0) {
		unsigned at = n / 3 % child->n_open;

		if (append(child->f, EVENT_OUTCOME, child->open[at], NULL, &err) == 0)
			child->open[at] = child->open[--child->n_open];
	} else {
		(void)!append(child->f, EVENT_ENTRY, child->next++, NULL, &err);
	}
	if (n % 50 == 0 && ledger_epoch_links(child->f->ledger) > 0)
		(void)!ledger_anchor(child->f->ledger, chain_seed, &err);
}

static void on_turn(void *ctx)
{
	struct child *child = ctx;
	struct fixture *f = child->f;
	size_t n;

	for (unsigned i = 0; i < AT_ONCE; i++)
		child_append(child);
	n = ledger_peek(f->ledger, f->rows, AT_ONCE, PLENTY);
	for (size_t i = 0; i < n; i++)
		hand_over(child->pipe, f->rows[i]);
	ledger_done(f->ledger, n);
	timer_start(f->loop, &child->timer, 0, on_turn, child);
}

/* Never returns. */
static void child_run(struct fixture *f, unsigned first, int pipe)
{
	static struct child child;

	child = (struct child){ .f = f, .pipe = pipe, .next = first, .random = first };
	f->loop = loop_new();
	open_ledger(f, MAX_BYTES);
	on_turn(&child);
	loop_run(f->loop);
	_exit(6);
}

static void take(struct taken *taken, const struct handed *handed)
{
	if (handed->is_anchor)
		take_anchor(taken, &handed->anchor);
	else if (handed->link.is_there)
		take_link(taken, &handed->link);
	else
		taken->n_unlinked++;
}

/* Once there are so many links more. */
static void run_and_kill(struct fixture *f, unsigned first, uint64_t n_links, struct taken *taken)
{
	uint64_t goal = taken->last_seq + n_links;
	bool killed = false;
	struct handed handed;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_run(f, first, ends[1]);
	}
	close(ends[1]);
	while (read(ends[0], &handed, sizeof(handed)) == sizeof(handed)) {
		take(taken, &handed);
		if (!killed && taken->last_seq >= goal) {
			kill(pid, SIGKILL);
			killed = true;
		}
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool any_is_durable(struct fixture *f)
{
	return peek(f) > 0;
}

static void kill_9_leaves_one_chain(void **state)
{
	struct fixture *f = *state;
	struct taken *taken = mem_new(sizeof(*taken));

	loop_free(&f->loop);
	for (unsigned i = 0; i < ROUNDS; i++)
		run_and_kill(f, 1 + i * 1000000, PER_ROUND + 37 * i, taken);
	f->loop = loop_new();
	open_ledger(f, MAX_BYTES);
	while (ledger_n_ready(f->ledger) > 0) {
		size_t n;

		run_until(f, any_is_durable);
		n = peek(f);
		for (size_t i = 0; i < n; i++)
			take_row(taken, f->rows[i]);
		ledger_done(f->ledger, n);
	}
	assert_true(taken->last_seq > ROUNDS * PER_ROUND);
	assert_in_range(taken->n_anchors, 10, MAX_ANCHORS);
	assert_int_equal(taken->n_unlinked, 0);
	assert_true(taken->n_again > 0); /* or no kill came at an interesting moment */
	verify_taken(taken, f->ledger->links.last.mac_key);
	free(taken);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(kill_9_leaves_one_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
