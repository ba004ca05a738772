/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/loop.h"
#include "base/mem.h"

#define GUARD_MS 10000

/* What happened, as letters in order. */
struct journal {
	struct loop *loop;
	char text[16];
	size_t n;
	size_t enough; /* stops the loop when so many letters stand there */
	struct timer guard;
};

static void write_letter(struct journal *journal, char letter)
{
	assert_true(journal->n < sizeof(journal->text) - 1);
	journal->text[journal->n++] = letter;
	if (journal->n >= journal->enough)
		loop_stop(journal->loop);
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

static void on_pass(void *ctx)
{
	write_letter(ctx, '!');
}

/* Ten milliseconds in which nothing else may happen. */
static void pass_time(struct journal *journal)
{
	struct timer timer = { 0 };

	timer_start(journal->loop, &timer, 10, on_pass, journal);
	run_until(journal, journal->n + 1);
	timer_stop(&timer);
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

	loop_free(&journal->loop);
	free(journal);
	return 0;
}

static void on_signal(void *ctx, int signo)
{
	struct journal *journal = ctx;

	write_letter(journal, signo == SIGUSR1 ? '1' : '2');
}

static void signals_arrive_in_the_loop(void **state)
{
	struct journal *journal = *state;
	struct loop_signal sig = { 0 };
	struct err err;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	assert_int_equal(loop_signal_start(journal->loop, &sig, &set, on_signal, journal, &err), 0);
	assert_int_equal(raise(SIGUSR1), 0);
	run_until(journal, 1);
	assert_int_equal(raise(SIGUSR2), 0);
	run_until(journal, 2);
	assert_string_equal(journal->text, "12");
	loop_signal_stop(&sig);
	loop_signal_stop(&sig);
}

struct owned_signal {
	struct journal *journal;
	struct loop_signal sig;
};

static void on_signal_frees(void *ctx, int signo)
{
	struct owned_signal *owned = ctx;

	(void)signo;
	write_letter(owned->journal, 's');
	loop_signal_stop(&owned->sig);
	free(owned);
}

static void a_signal_callback_may_free_its_owner(void **state)
{
	struct journal *journal = *state;
	struct owned_signal *owned = mem_new(sizeof(*owned));
	struct err err;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	owned->journal = journal;
	assert_int_equal(
		loop_signal_start(journal->loop, &owned->sig, &set, on_signal_frees, owned, &err),
		0);
	assert_int_equal(raise(SIGUSR1), 0);
	run_until(journal, 1);
	assert_string_equal(journal->text, "s");
}

static void on_bell(void *ctx)
{
	write_letter(ctx, 'b');
}

static void *ring_from_thread(void *arg)
{
	bell_ring(arg);
	return NULL;
}

static void a_bell_rings_from_another_thread(void **state)
{
	struct journal *journal = *state;
	struct bell bell = { 0 };
	pthread_t thread;

	bell_start(journal->loop, &bell, on_bell, journal);
	assert_int_equal(pthread_create(&thread, NULL, ring_from_thread, &bell), 0);
	run_until(journal, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	bell_ring(&bell);
	bell_ring(&bell);
	run_until(journal, 2);
	pass_time(journal);
	assert_string_equal(journal->text, "bb!");
	bell_ring(&bell);
	bell_stop(&bell);
	bell_stop(&bell);
	pass_time(journal);
	assert_string_equal(journal->text, "bb!!");
}

struct interrupter {
	pthread_t target;
	struct bell *bell;
};

static void on_nothing(int signo)
{
	(void)signo;
}

static void *interrupt(void *arg)
{
	struct interrupter *interrupter = arg;

	for (int i = 0; i < 50; i++)
		pthread_kill(interrupter->target, SIGALRM);
	bell_ring(interrupter->bell);
	return NULL;
}

static void an_interrupted_wait_goes_on(void **state)
{
	struct journal *journal = *state;
	struct bell bell = { 0 };
	struct interrupter interrupter = { .target = pthread_self(), .bell = &bell };
	struct sigaction action = { .sa_handler = on_nothing };
	struct sigaction before;
	pthread_t thread;

	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	bell_start(journal->loop, &bell, on_bell, journal);
	assert_int_equal(pthread_create(&thread, NULL, interrupt, &interrupter), 0);
	run_until(journal, 1);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_string_equal(journal->text, "b");
	bell_stop(&bell);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

static void stopping_what_is_idle_is_nothing(void **state)
{
	struct loop_signal sig = { 0 };
	struct bell bell = { 0 };

	(void)state;
	loop_signal_stop(&sig);
	bell_stop(&bell);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(signals_arrive_in_the_loop),
		LOOP_TEST(a_signal_callback_may_free_its_owner),
		LOOP_TEST(a_bell_rings_from_another_thread),
		LOOP_TEST(an_interrupted_wait_goes_on),
		LOOP_TEST(stopping_what_is_idle_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
