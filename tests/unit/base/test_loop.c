/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <h2o.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/mem.h"

#define GUARD_MS 10000

/* h2o's clock is the wall clock: here it obeys the test. */
static int64_t wall_offset_s;

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
	struct timespec real;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &real);
	now->tv_sec = real.tv_sec + wall_offset_s;
	now->tv_usec = (suseconds_t)(real.tv_nsec / 1000);
	return 0;
}

/* What happened, as letters in order. */
struct journal {
	struct loop *loop;
	char text[256];
	size_t n;
	size_t enough; /* stops the loop when so many letters stand there */
	struct timer guard;
};

struct letter {
	struct journal *journal;
	char letter;
	struct timer timer;
	struct deferred deferred;
	struct watch watch;
	int fds[2];
	struct letter *victim;
};

static void write_letter(struct journal *journal, char letter)
{
	assert_true(journal->n < sizeof(journal->text) - 1);
	journal->text[journal->n++] = letter;
	if (journal->n >= journal->enough)
		loop_stop(journal->loop);
}

static void on_letter(void *ctx)
{
	struct letter *letter = ctx;

	write_letter(letter->journal, letter->letter);
}

static void on_guard(void *ctx)
{
	struct journal *journal = ctx;

	fail_msg("the loop hangs after \"%s\"", journal->text);
}

static void run_until(struct journal *journal, size_t enough)
{
	journal->enough = enough;
	timer_start(journal->loop, &journal->guard, GUARD_MS, on_guard, journal);
	loop_run(journal->loop);
	timer_stop(&journal->guard);
}

static int set_up(void **state)
{
	struct journal *journal = mem_new(sizeof(*journal));

	journal->loop = loop_new();
	*state = journal;
	return 0;
}

static int tear_down(void **state)
{
	struct journal *journal = *state;

	wall_offset_s = 0;
	loop_free(&journal->loop);
	free(journal);
	return 0;
}

static struct letter *letter_new(struct journal *journal, char letter)
{
	struct letter *made = mem_new(sizeof(*made));

	*made = (struct letter){ .journal = journal, .letter = letter };
	return made;
}

static void start(struct letter *letter, int64_t delay_ms)
{
	timer_start(letter->journal->loop, &letter->timer, delay_ms, on_letter, letter);
}

static void timers_fire_in_order_of_their_time(void **state)
{
	struct journal *journal = *state;
	struct letter letters[8];
	static const int64_t delays_ms[8] = { 14, 2, 10, 0, 6, 12, 4, 8 };

	for (size_t i = 0; i < 8; i++) {
		letters[i] = (struct letter){ .journal = journal,
					      .letter = (char)('a' + delays_ms[i] / 2) };
		start(&letters[i], delays_ms[i]);
	}
	run_until(journal, 8);
	assert_string_equal(journal->text, "abcdefgh");
}

static void on_restart(void *ctx)
{
	struct letter *letter = ctx;

	timer_start(letter->journal->loop, &letter->timer, 0, on_restart, letter);
}

static void a_timer_never_fires_early(void **state)
{
	struct journal *journal = *state;
	struct letter letter = { .journal = journal, .letter = 'a' };
	struct letter busy = { .journal = journal }; /* makes the loop look all the time */

	on_restart(&busy);
	for (int64_t delay_ms = 1; delay_ms <= 10; delay_ms++) {
		struct timespec before, after;
		int64_t passed_ns;

		clock_gettime(CLOCK_MONOTONIC, &before);
		start(&letter, delay_ms);
		run_until(journal, journal->n + 1);
		clock_gettime(CLOCK_MONOTONIC, &after);
		passed_ns = (after.tv_sec - before.tv_sec) * INT64_C(1000000000) + after.tv_nsec -
			    before.tv_nsec;
		assert_true(passed_ns >= delay_ms * 1000000);
	}
	timer_stop(&busy.timer);
}

static void a_stopped_timer_is_silent_and_a_started_one_moves(void **state)
{
	struct journal *journal = *state;
	struct letter a = { .journal = journal, .letter = 'a' };
	struct letter b = { .journal = journal, .letter = 'b' };
	struct letter c = { .journal = journal, .letter = 'c' };

	start(&a, 1);
	start(&b, 2);
	start(&c, 5);
	timer_stop(&a.timer);
	timer_stop(&a.timer);
	start(&b, 10);
	run_until(journal, 2);
	assert_string_equal(journal->text, "cb");
	assert_null(b.timer.loop);
}

static void on_letter_frees(void *ctx)
{
	struct letter *letter = ctx;

	if (letter->victim != NULL) {
		timer_stop(&letter->victim->timer);
		deferred_cancel(&letter->victim->deferred);
		watch_stop(&letter->victim->watch);
		free(letter->victim);
	}
	write_letter(letter->journal, letter->letter);
	free(letter);
}

static void a_timer_may_free_itself_and_one_that_is_due_too(void **state)
{
	struct journal *journal = *state;
	struct letter *a = letter_new(journal, 'a');
	struct letter *b = letter_new(journal, 'b');
	struct letter *c = letter_new(journal, 'c');

	a->victim = b;
	timer_start(journal->loop, &a->timer, 0, on_letter_frees, a);
	timer_start(journal->loop, &b->timer, 0, on_letter_frees, b);
	timer_start(journal->loop, &c->timer, 0, on_letter_frees, c);
	run_until(journal, 2);
	assert_string_equal(journal->text, "ac");
}

static void on_readable(void *ctx, uint32_t events)
{
	struct letter *letter = ctx;
	char byte;

	assert_true((events & EPOLLIN) != 0);
	assert_int_equal(read(letter->watch.fd, &byte, 1), 1);
	write_letter(letter->journal, byte);
}

static void open_pipe(struct letter *letter)
{
	assert_int_equal(pipe2(letter->fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_pipe(struct letter *letter)
{
	close(letter->fds[0]);
	close(letter->fds[1]);
}

static void a_timer_without_delay_does_not_starve_descriptors(void **state)
{
	struct journal *journal = *state;
	struct letter busy = { .journal = journal };
	struct letter piped = { .journal = journal };

	open_pipe(&piped);
	on_restart(&busy);
	watch_start(journal->loop, &piped.watch, piped.fds[0], EPOLLIN, on_readable, &piped);
	assert_int_equal(write(piped.fds[1], "abc", 3), 3);
	run_until(journal, 3);
	assert_string_equal(journal->text, "abc");
	timer_stop(&busy.timer);
	watch_stop(&piped.watch);
	close_pipe(&piped);
}

static void on_defer_again(void *ctx)
{
	struct letter *letter = ctx;

	write_letter(letter->journal, letter->letter);
	loop_defer(letter->journal->loop, &letter->deferred, on_defer_again, letter);
}

static void a_deferred_call_that_defers_itself_does_not_starve_descriptors(void **state)
{
	struct journal *journal = *state;
	struct letter busy = { .journal = journal, .letter = '.' };
	struct letter piped = { .journal = journal };

	open_pipe(&piped);
	loop_defer(journal->loop, &busy.deferred, on_defer_again, &busy);
	watch_start(journal->loop, &piped.watch, piped.fds[0], EPOLLIN, on_readable, &piped);
	assert_int_equal(write(piped.fds[1], "ab", 2), 2);
	run_until(journal, 4);
	assert_non_null(strchr(journal->text, 'a'));
	assert_non_null(strchr(journal->text, 'b'));
	deferred_cancel(&busy.deferred);
	watch_stop(&piped.watch);
	close_pipe(&piped);
}

static void deferred_calls_run_later_in_order_of_submission(void **state)
{
	struct journal *journal = *state;
	struct letter letters[4];

	for (size_t i = 0; i < 4; i++) {
		letters[i] = (struct letter){ .journal = journal, .letter = (char)('a' + i) };
		loop_defer(journal->loop, &letters[i].deferred, on_letter, &letters[i]);
	}
	assert_string_equal(journal->text, "");
	deferred_cancel(&letters[1].deferred);
	deferred_cancel(&letters[1].deferred);
	run_until(journal, 3);
	assert_string_equal(journal->text, "acd");
	assert_null(letters[0].deferred.loop);
}

static void a_deferred_call_may_free_itself_and_the_next(void **state)
{
	struct journal *journal = *state;
	struct letter *a = letter_new(journal, 'a');
	struct letter *b = letter_new(journal, 'b');
	struct letter *c = letter_new(journal, 'c');

	a->victim = b;
	loop_defer(journal->loop, &a->deferred, on_letter_frees, a);
	loop_defer(journal->loop, &b->deferred, on_letter_frees, b);
	loop_defer(journal->loop, &c->deferred, on_letter_frees, c);
	run_until(journal, 2);
	assert_string_equal(journal->text, "ac");
}

static void what_the_wall_clock_does_moves_nothing(void **state)
{
	struct journal *journal = *state;
	struct letter a = { .journal = journal, .letter = 'a' };
	struct letter b = { .journal = journal, .letter = 'b' };
	int64_t before_ms;

	start(&a, 20);
	loop_defer(journal->loop, &b.deferred, on_letter, &b);
	before_ms = loop_now_ms(journal->loop);
	wall_offset_s = -7200;
	run_until(journal, 2);
	assert_string_equal(journal->text, "ba");
	start(&a, 20);
	wall_offset_s = 7200;
	run_until(journal, 3);
	assert_in_range(loop_now_ms(journal->loop) - before_ms, 40, GUARD_MS / 2);
}

static void a_watch_is_level_triggered_and_can_change_and_stop(void **state)
{
	struct journal *journal = *state;
	struct letter piped = { .journal = journal };
	struct letter end = { .journal = journal, .letter = '!' };

	open_pipe(&piped);
	watch_start(journal->loop, &piped.watch, piped.fds[0], EPOLLIN, on_readable, &piped);
	assert_int_equal(write(piped.fds[1], "abcd", 4), 4);
	run_until(journal, 2);
	watch_change(&piped.watch, 0);
	start(&end, 5);
	run_until(journal, 3);
	watch_change(&piped.watch, EPOLLIN);
	run_until(journal, 4);
	watch_stop(&piped.watch);
	watch_stop(&piped.watch);
	start(&end, 5);
	run_until(journal, 5);
	assert_string_equal(journal->text, "ab!c!");
	close_pipe(&piped);
}

/* Whichever comes first ends both. */
static void on_readable_frees_both(void *ctx, uint32_t events)
{
	struct letter *letter = ctx;
	struct letter *other = letter->victim;

	(void)events;
	write_letter(letter->journal, '1');
	watch_stop(&other->watch);
	close_pipe(other);
	free(other);
	watch_stop(&letter->watch);
	close_pipe(letter);
	free(letter);
}

static void a_watch_that_was_stopped_by_another_is_silent(void **state)
{
	struct journal *journal = *state;
	struct letter *a = letter_new(journal, 'a');
	struct letter *b = letter_new(journal, 'b');
	struct letter end = { .journal = journal, .letter = '!' };

	a->victim = b;
	b->victim = a;
	open_pipe(a);
	open_pipe(b);
	assert_int_equal(write(a->fds[1], "x", 1), 1);
	assert_int_equal(write(b->fds[1], "x", 1), 1);
	watch_start(journal->loop, &a->watch, a->fds[0], EPOLLIN, on_readable_frees_both, a);
	watch_start(journal->loop, &b->watch, b->fds[0], EPOLLIN, on_readable_frees_both, b);
	start(&end, 10);
	run_until(journal, 2);
	assert_string_equal(journal->text, "1!");
}

static void many_ready_watches_all_get_their_turn(void **state)
{
	struct journal *journal = *state;
	static struct letter piped[200];

	for (size_t i = 0; i < 200; i++) {
		piped[i] = (struct letter){ .journal = journal };
		open_pipe(&piped[i]);
		assert_int_equal(write(piped[i].fds[1], "x", 1), 1);
		watch_start(journal->loop, &piped[i].watch, piped[i].fds[0], EPOLLIN, on_readable,
			    &piped[i]);
	}
	run_until(journal, 200);
	for (size_t i = 0; i < 200; i++) {
		watch_stop(&piped[i].watch);
		close_pipe(&piped[i]);
	}
}

static void on_hangup(void *ctx, uint32_t events)
{
	struct letter *letter = ctx;

	assert_true((events & EPOLLRDHUP) != 0);
	watch_stop(&letter->watch);
	write_letter(letter->journal, 'h');
}

static void a_watch_sees_that_the_other_side_left(void **state)
{
	struct journal *journal = *state;
	struct letter letter = { .journal = journal };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, letter.fds), 0);
	watch_start(journal->loop, &letter.watch, letter.fds[0], EPOLLRDHUP, on_hangup, &letter);
	close(letter.fds[1]);
	run_until(journal, 1);
	assert_string_equal(journal->text, "h");
	close(letter.fds[0]);
}

static void on_written(h2o_socket_t *sock, const char *problem)
{
	assert_null(problem);
	write_letter(sock->data, 'w');
}

static void on_write(void *ctx)
{
	h2o_socket_t *sock = ctx;
	h2o_iovec_t text = { .base = (char *)(uintptr_t) "hello", .len = 5 };

	h2o_socket_write(sock, &text, 1, on_written);
}

/* Outside of h2o_evloop_run the completion would wait for the next event. */
static void what_a_callback_writes_completes_at_once(void **state)
{
	struct journal *journal = *state;
	struct timer timer = { 0 };
	struct deferred deferred = { 0 };
	h2o_socket_t *sock;
	int64_t before_ms;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	sock = h2o_evloop_socket_create(loop_h2o(journal->loop), fds[0], 0);
	sock->data = journal;
	before_ms = loop_now_ms(journal->loop);
	timer_start(journal->loop, &timer, 1, on_write, sock);
	run_until(journal, 1);
	loop_defer(journal->loop, &deferred, on_write, sock);
	run_until(journal, 2);
	assert_string_equal(journal->text, "ww");
	assert_in_range(loop_now_ms(journal->loop) - before_ms, 0, GUARD_MS / 4);
	h2o_socket_close(sock);
	close(fds[1]);
}

static void an_idle_loop_sleeps_until_its_next_timer(void **state)
{
	struct journal *journal = *state;
	struct letter letter = { .journal = journal, .letter = 'a' };
	struct rusage before, after;

	start(&letter, 300);
	assert_int_equal(getrusage(RUSAGE_THREAD, &before), 0);
	run_until(journal, 1);
	assert_int_equal(getrusage(RUSAGE_THREAD, &after), 0);
	assert_in_range(after.ru_nvcsw - before.ru_nvcsw, 1, 3);
}

static void stopping_and_cancelling_what_is_idle_is_nothing(void **state)
{
	struct timer timer = { 0 };
	struct deferred deferred = { 0 };
	struct watch watch = { 0 };
	struct loop *none = NULL;

	(void)state;
	timer_stop(&timer);
	deferred_cancel(&deferred);
	watch_stop(&watch);
	loop_free(&none);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/* Its number may be another descriptor's by then. */
static void a_watch_is_forgotten_when_its_descriptor_is_closed_already(void **state)
{
	struct journal *journal = *state;
	struct letter gone = { .journal = journal };
	struct letter next = { .journal = journal };

	open_pipe(&gone);
	watch_start(journal->loop, &gone.watch, gone.fds[0], EPOLLIN, on_readable, &gone);
	close_pipe(&gone);
	open_pipe(&next);
	assert_int_equal(next.fds[0], gone.fds[0]);
	watch_forget(&gone.watch);
	watch_forget(&gone.watch);
	assert_null(gone.watch.loop);
	watch_start(journal->loop, &next.watch, next.fds[0], EPOLLIN, on_readable, &next);
	assert_int_equal(write(next.fds[1], "n", 1), 1);
	run_until(journal, 1);
	assert_string_equal(journal->text, "n");
	watch_stop(&next.watch);
	close_pipe(&next);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(timers_fire_in_order_of_their_time),
		LOOP_TEST(a_timer_never_fires_early),
		LOOP_TEST(a_stopped_timer_is_silent_and_a_started_one_moves),
		LOOP_TEST(a_timer_may_free_itself_and_one_that_is_due_too),
		LOOP_TEST(a_timer_without_delay_does_not_starve_descriptors),
		LOOP_TEST(a_deferred_call_that_defers_itself_does_not_starve_descriptors),
		LOOP_TEST(deferred_calls_run_later_in_order_of_submission),
		LOOP_TEST(a_deferred_call_may_free_itself_and_the_next),
		LOOP_TEST(what_the_wall_clock_does_moves_nothing),
		LOOP_TEST(a_watch_is_level_triggered_and_can_change_and_stop),
		LOOP_TEST(a_watch_that_was_stopped_by_another_is_silent),
		LOOP_TEST(a_watch_is_forgotten_when_its_descriptor_is_closed_already),
		LOOP_TEST(many_ready_watches_all_get_their_turn),
		LOOP_TEST(a_watch_sees_that_the_other_side_left),
		LOOP_TEST(what_a_callback_writes_completes_at_once),
		LOOP_TEST(an_idle_loop_sleeps_until_its_next_timer),
		LOOP_TEST(stopping_and_cancelling_what_is_idle_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
