/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int bind_or_fail(const char *address)
{
	struct err err;
	int fd = listener_bind(address, &err);

	if (fd < 0)
		fail_msg("%s: %s", address, err.text);
	return fd;
}

static void address_with_port(char text[32], int port)
{
	snprintf(text, 32, "127.0.0.1:%d", port);
}

static int option_of(int fd, int option)
{
	int value = 0;
	socklen_t n = sizeof(value);

	assert_int_equal(getsockopt(fd, SOL_SOCKET, option, &value, &n), 0);
	return value;
}

static void listens_without_blocking_and_not_across_exec(void **state)
{
	int fd = bind_or_fail("127.0.0.1:0");

	(void)state;
	assert_true(listener_port(fd) > 0);
	assert_int_equal(option_of(fd, SO_ACCEPTCONN), 1);
	assert_int_equal(option_of(fd, SO_REUSEPORT), 1);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	close(fd);
}

static void a_second_one_shares_the_port(void **state)
{
	struct err err;
	int first = bind_or_fail("127.0.0.1:0");
	int second = listener_bind_again(first, &err);

	(void)state;
	assert_true(second >= 0);
	assert_int_equal(listener_port(second), listener_port(first));
	assert_int_equal(option_of(second, SO_ACCEPTCONN), 1);
	close(first);
	close(second);
}

static void a_port_of_somebody_else_is_refused(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int other = socket(AF_INET, SOCK_STREAM, 0);
	char text[32];
	struct err err;

	(void)state;
	assert_int_equal(bind(other, (struct sockaddr *)&address, n), 0);
	assert_int_equal(listen(other, 1), 0);
	assert_int_equal(getsockname(other, (struct sockaddr *)&address, &n), 0);
	address_with_port(text, ntohs(address.sin_port));
	assert_int_equal(listener_bind(text, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.text, text));
	close(other);
}

static void a_port_that_is_shared_by_another_daemon_is_refused_too(void **state)
{
	int fd = bind_or_fail("127.0.0.1:0");
	char text[32];
	struct err err;

	(void)state;
	address_with_port(text, listener_port(fd));
	assert_int_equal(listener_bind(text, &err), -1);
	assert_int_equal(err.code, ERR_UNAVAILABLE);
	close(fd);
	close(bind_or_fail(text));
}

static void what_is_no_literal_address_with_a_port_is_refused(void **state)
{
	static const char *const bad[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:x",
		"127.0.0.1:65536",
		"127.0.0.1:-1",
		"localhost:8080",
		"example.com:80",
		":8080",
		"[::1]",
		"[::1:80",
		"256.0.0.1:80",
		"127.0.0.1: 80",
		"*:80",
		"a-name-that-is-much-longer-than-any-literal-address-could-ever-be.example.com:80",
	};
	struct err err;

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (listener_bind(bad[i], &err) != -1)
			fail_msg("\"%s\" was taken", bad[i]);
		assert_int_equal(err.code, ERR_BAD_REQUEST);
	}
}

static void loopback_is_told_from_everything(void **state)
{
	int loopback = bind_or_fail("127.0.0.1:0");
	int other_loopback = bind_or_fail("127.3.2.1:0");
	int all = bind_or_fail("0.0.0.0:0");

	(void)state;
	assert_true(listener_is_loopback(loopback));
	assert_true(listener_is_loopback(other_loopback));
	assert_false(listener_is_loopback(all));
	close(loopback);
	close(other_loopback);
	close(all);
}

static void version_6_addresses_stand_in_brackets(void **state)
{
	struct err err;
	int fd = listener_bind("[::1]:0", &err);
	int all;

	(void)state;
	if (fd < 0) {
		/* A machine without it; that the text was understood is seen all the same. */
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		return;
	}
	assert_true(listener_port(fd) > 0);
	assert_true(listener_is_loopback(fd));
	all = bind_or_fail("[::]:0");
	assert_false(listener_is_loopback(all));
	close(fd);
	close(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(listens_without_blocking_and_not_across_exec),
		cmocka_unit_test(a_second_one_shares_the_port),
		cmocka_unit_test(a_port_of_somebody_else_is_refused),
		cmocka_unit_test(a_port_that_is_shared_by_another_daemon_is_refused_too),
		cmocka_unit_test(what_is_no_literal_address_with_a_port_is_refused),
		cmocka_unit_test(loopback_is_told_from_everything),
		cmocka_unit_test(version_6_addresses_stand_in_brackets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
