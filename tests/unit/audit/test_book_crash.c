/* SPDX-License-Identifier: Apache-2.0 */

/* What a book acknowledged before its process was killed has exactly one row afterwards. */

#include <signal.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "tests/unit/audit/book_fixture.h"

#define COUNT_ROWS "SELECT count(*) AS v FROM audit.call_log"
#define IN_FLIGHT  32
#define ROUNDS	   12

/* What the child has been told: of call n, that its INTENT or that its OUTCOME is durable. */
struct ack {
	unsigned n;
	bool ended;
};

struct child {
	struct desk *desk;
	struct loop *loop;
	struct book *book;
	int pipe;
	unsigned next;
	struct slot {
		struct child *child;
		struct spool_wait wait;
		unsigned n;
	} slots[IN_FLIGHT];
};

static void child_begin(struct slot *slot);

static void child_tell(struct slot *slot, const struct err *err, bool ended)
{
	struct ack ack;

	memset(&ack, 0, sizeof(ack));
	ack.n = slot->n;
	ack.ended = ended;
	if (err != NULL || write(slot->child->pipe, &ack, sizeof(ack)) != sizeof(ack))
		_exit(3);
}

static void on_child_ended(void *ctx, const struct err *err)
{
	struct slot *slot = ctx;

	child_tell(slot, err, true);
	child_begin(slot);
}

/* One call in ten never ends. */
static void on_child_begun(void *ctx, const struct err *err)
{
	struct slot *slot = ctx;
	struct call call;
	struct err problem;

	child_tell(slot, err, false);
	if (slot->n % 10 == 0)
		child_begin(slot);
	else if (book_outcome(slot->child->book, call_number(&call, slot->n), &fine, &slot->wait,
			      on_child_ended, slot, &problem) < 0)
		_exit(4);
}

static void child_begin(struct slot *slot)
{
	struct call call;
	struct err err;

	slot->n = slot->child->next++;
	if (book_intent(slot->child->book, call_number(&call, slot->n), &slot->wait, on_child_begun,
			slot, &err) < 0)
		_exit(5);
}

/* Never returns: makes calls until it is killed. */
static void child_run(struct desk *d, unsigned first, int pipe)
{
	static struct child child;
	struct err err;

	child = (struct child){ .desk = d, .loop = loop_new(), .pipe = pipe, .next = first };
	child.book = try_open(d, child.loop, new_writer(d, child.loop), &err);
	if (child.book == NULL)
		_exit(2);
	for (size_t i = 0; i < IN_FLIGHT; i++) {
		child.slots[i].child = &child;
		child_begin(&child.slots[i]);
	}
	loop_run(child.loop);
	_exit(6);
}

/* Two lists of numbers as arrays: calls begun, calls ended. Returns a number above all begun. */
static unsigned run_and_kill(struct desk *d, unsigned first, size_t n_acks, struct buf lists[2])
{
	unsigned highest = first;
	struct ack ack;
	int ends[2], status;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(ends[0]);
		child_run(d, first, ends[1]);
	}
	close(ends[1]);
	for (size_t n = 0; read(ends[0], &ack, sizeof(ack)) == sizeof(ack); n++) {
		struct buf *list = &lists[ack.ended ? 1 : 0];

		buf_printf(list, "%s%u", list->len == 1 ? "" : ",", ack.n);
		if (ack.n > highest)
			highest = ack.n;
		if (n == n_acks)
			kill(pid, SIGKILL);
	}
	close(ends[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	return highest + 2 * IN_FLIGHT;
}

/* Numbers of calls, joined with the rows that each has. */
static const char *count_acked(struct desk *d, const struct buf *list, const char *where)
{
	static struct shot shot;
	char *sql = mem_printf("SELECT count(*) AS v FROM unnest($1::int[]) AS a(n) LEFT JOIN"
			       " (SELECT call_id, min(outcome) AS outcome, count(*) AS n"
			       "  FROM audit.call_log GROUP BY 1) AS c ON c.call_id = "
			       "('00000000-0000-7000-8000-' || lpad(to_hex(a.n), 12, '0'))::uuid"
			       " WHERE %s",
			       where);
	struct span param = buf_span(list);

	shot = (struct shot){ 0 };
	db_query(d->base.db, &shot.op, NULL, sql, &param, 1, on_done, &shot);
	finish_shot(&d->base, &shot);
	assert_false(shot.failed);
	free(sql);
	return shot.v[0];
}

static void kill_9_loses_no_call_and_doubles_none(void **state)
{
	struct desk *d = *state;
	struct buf lists[2];
	unsigned next = 1;

	for (size_t i = 0; i < 2; i++) {
		buf_init(&lists[i], 1 << 22);
		buf_add(&lists[i], "{");
	}
	for (size_t i = 0; i < ROUNDS; i++)
		next = run_and_kill(d, next, 50 + 333 * i, lists);
	for (size_t i = 0; i < 2; i++)
		buf_add(&lists[i], "}");
	open_book(d);
	flush(d);

	assert_string_equal(count_acked(d, &lists[0], "c.n IS DISTINCT FROM 1"), "0");
	assert_string_equal(count_acked(d, &lists[1], "c.n = 1 AND c.outcome <> 'ok'"), "0");
	assert_string_equal(count_acked(d, &lists[1], "c.n IS NULL"), "0");
	assert_string_equal(count_acked(d, &lists[0], "a.n % 10 = 0 AND c.outcome <> 'unknown'"),
			    "0");
	expect(d, COUNT_ROWS " WHERE outcome NOT IN ('ok', 'unknown') OR damaged", "0");
	expect(d, "SELECT count(*) - count(DISTINCT call_id) AS v FROM audit.call_log", "0");
	/* What was under way when it died, but was not acknowledged, may have a row or not. */
	expect(d, "SELECT count(*) > 12 * 50 AS v FROM audit.call_log WHERE outcome = 'ok'", "t");
	assert_int_equal(book_lost(d->book), 0);
	for (size_t i = 0; i < 2; i++)
		buf_fini(&lists[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DESK_TEST(kill_9_loses_no_call_and_doubles_none),
	};

	return cmocka_run_group_tests(tests, start_desks, end_desks);
}
