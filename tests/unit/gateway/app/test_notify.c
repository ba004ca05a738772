/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/notify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char path[64];
	int manager; /* the service manager's end */
};

static void manager_open(struct fixture *f, char first)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n;

	snprintf(f->path, sizeof(f->path), "%s/tmp/test_notify.%d", first == '@' ? "@" : "",
		 (int)getpid());
	n = strlen(f->path);
	memcpy(address.sun_path, f->path, n);
	if (first == '@')
		address.sun_path[0] = '\0';
	f->manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->manager, (const struct sockaddr *)&address,
			      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
			 0);
	setenv("NOTIFY_SOCKET", f->path, 1);
}

static void assert_hears(const struct fixture *f, const char *state)
{
	char text[256] = "";
	ssize_t n = recv(f->manager, text, sizeof(text) - 1, 0);

	if (state == NULL)
		assert_int_equal(n, -1);
	else
		assert_string_equal(text, state);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->manager = -1;
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	if (f->manager >= 0)
		close(f->manager);
	if (f->path[0] == '/')
		unlink(f->path);
	free(f);
	return 0;
}

static void the_manager_hears_of_either_kind_of_socket(void **state)
{
	struct fixture *f = *state;
	struct notify notify;

	for (int i = 0; i < 2; i++) {
		manager_open(f, i == 0 ? '/' : '@');
		notify_init(&notify);
		assert_null(getenv("NOTIFY_SOCKET"));
		notify_send(&notify, "READY=1");
		assert_hears(f, "READY=1");
		notify_beat(&notify, 1000); /* no WATCHDOG_USEC: never */
		assert_hears(f, NULL);
		notify_fini(&notify);
		close(f->manager);
		unlink(f->path);
	}
}

static void the_watchdog_hears_twice_in_its_time(void **state)
{
	struct fixture *f = *state;
	struct notify notify;

	manager_open(f, '/');
	setenv("WATCHDOG_USEC", "4000000", 1);
	notify_init(&notify);
	assert_null(getenv("WATCHDOG_USEC"));
	notify_beat(&notify, 10000);
	assert_hears(f, "WATCHDOG=1");
	notify_beat(&notify, 11999);
	assert_hears(f, NULL);
	notify_beat(&notify, 12000);
	assert_hears(f, "WATCHDOG=1");
	notify_fini(&notify);
	notify_send(&notify, "READY=1");
	assert_hears(f, NULL);
}

static void without_a_manager_nobody_is_told(void **state)
{
	static const char *const bad[] = { NULL, "", "/", "relative", "/tmp/there/is/no/socket" };
	struct notify notify;

	(void)state;
	setenv("WATCHDOG_USEC", "1000000", 1);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (bad[i] != NULL)
			setenv("NOTIFY_SOCKET", bad[i], 1);
		notify_init(&notify);
		assert_int_equal(notify.fd, -1);
		notify_send(&notify, "READY=1");
		notify_beat(&notify, 5000);
		notify_fini(&notify);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_manager_hears_of_either_kind_of_socket),
		TEST(the_watchdog_hears_twice_in_its_time),
		TEST(without_a_manager_nobody_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
