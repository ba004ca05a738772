/* SPDX-License-Identifier: Apache-2.0 */

/* Getting connected: host names, connection strings, peers that are no server. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/base/db_fixture.h"

#define CONNINFO_BYTES 300

/* A bound socket on a free port of 127.0.0.1. */
static int bind_any(int *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*port = ntohs(address.sin_port);
	return fd;
}

static int start_tcp_program(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	*state = f;
	log_configure(LOG_ERROR, LOG_TEXT);
	close(bind_any(&f->cluster.tcp_port));
	return pg_cluster_start(&f->cluster);
}

/* A pool on another connection string. */
static void use_conninfo(struct fixture *f, const char *conninfo, int64_t op_timeout_ms)
{
	struct db_params params = default_params(f);

	params.conninfo = conninfo;
	params.op_timeout_ms = op_timeout_ms;
	use_pool(f, &params);
}

static void expect_unavailable(struct fixture *f, const char *conninfo, struct shot *shot)
{
	use_conninfo(f, conninfo, 300);
	shoot(f, shot, "SELECT 1 AS v");
	expect_failure(f, shot, ERR_UNAVAILABLE, "");
	assert_false(db_up(f->db));
}

static void a_host_name_is_looked_up(void **state)
{
	static const char *const forms[] = {
		"host=localhost port=%d user=postgres dbname=postgres",
		"postgresql://postgres@localhost:%d/postgres?sslmode=disable",
		"host=127.0.0.1 port=%d user=postgres dbname=postgres",
		"host=ignored.invalid hostaddr=127.0.0.1 port=%d user=postgres dbname=postgres",
	};
	struct fixture *f = *state;
	char conninfo[CONNINFO_BYTES];
	struct shot shot;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		char *text = mem_strdup(forms[i]);
		char *at = strstr(text, "%d");

		*at = '\0';
		snprintf(conninfo, sizeof(conninfo), "%s%d%s", text, f->cluster.tcp_port, at + 2);
		free(text);
		use_conninfo(f, conninfo, OP_TIMEOUT_MS);
		assert_string_equal(ask(f, &shot, "SELECT host(inet_server_addr()) AS v"),
				    "127.0.0.1");
	}
}

static void each_host_of_a_list_is_tried(void **state)
{
	struct fixture *f = *state;
	char conninfo[CONNINFO_BYTES];
	struct shot shot;
	int closed_port;
	int fd = bind_any(&closed_port);

	snprintf(
		conninfo, sizeof(conninfo),
		"host=/nowhere,localhost,,localhost port=%d,%d,%d,%d user=postgres dbname=postgres",
		closed_port, closed_port, closed_port, f->cluster.tcp_port);
	use_conninfo(f, conninfo, OP_TIMEOUT_MS);
	assert_string_equal(ask(f, &shot, "SELECT host(inet_server_addr()) AS v"), "127.0.0.1");
	close(fd);
}

static void the_environment_counts_where_the_string_is_silent(void **state)
{
	struct fixture *f = *state;
	char port[16];
	struct shot shot;

	snprintf(port, sizeof(port), "%d", f->cluster.tcp_port);
	setenv("PGHOST", "localhost", 1);
	setenv("PGPORT", port, 1);
	setenv("PGOPTIONS", "-c search_path=from_environment", 1);
	use_conninfo(f, "user=postgres dbname=postgres", OP_TIMEOUT_MS);
	ask(f, &shot, "SELECT current_setting('search_path') || host(inet_server_addr()) AS v");
	unsetenv("PGHOST");
	unsetenv("PGPORT");
	unsetenv("PGOPTIONS");
	assert_string_equal(shot.v[0], "from_environment127.0.0.1");
}

static void a_name_without_address_is_unavailable(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	expect_unavailable(f, "host=no-such-host.invalid user=postgres", &shot);
}

static void freeing_the_pool_while_a_name_is_looked_up(void **state)
{
	struct fixture *f = *state;
	struct shot shot;

	for (int i = 0; i < 20; i++) {
		use_conninfo(f, "host=localhost port=1 user=postgres", OP_TIMEOUT_MS);
		shoot(f, &shot, "SELECT 1 AS v");
		/* One turn or so: the thread has just been started. */
		run_for(f, 0);
		db_cancel(&shot.op);
		db_free(&f->db);
	}
}

static void a_bad_string_is_unavailable_and_not_quoted(void **state)
{
	static const char *const bad[] = {
		"password=hunter2 hunter2",
		"postgresql://u:hunter2@[::1",
		"hunter2",
		"service=hunter2",
	};
	struct fixture *f = *state;
	struct shot shot;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_unavailable(f, bad[i], &shot);
		assert_null(strstr(shot.err.text, "hunter2"));
		assert_non_null(strstr(shot.err.text, "connection string"));
	}
}

static void a_refused_login_says_why(void **state)
{
	struct fixture *f = *state;
	char conninfo[CONNINFO_BYTES];
	struct shot shot;

	snprintf(conninfo, sizeof(conninfo), "%s dbname=no_such_database", f->cluster.conninfo);
	expect_unavailable(f, conninfo, &shot);
	assert_non_null(strstr(shot.err.text, "no_such_database"));
	assert_null(strchr(shot.err.text, '\n'));
}

static void the_session_has_our_forms_and_the_callers_options(void **state)
{
	static const struct {
		const char *setting;
		const char *value;
	} expected[] = {
		{"TimeZone",	      "UTC"		    },
		{ "DateStyle",	       "ISO, MDY"	  },
		{ "bytea_output",	  "hex"		},
		{ "client_encoding",   "UTF8"	    },
		{ "statement_timeout", "10s"	     },
		{ "search_path",	 "mine, pg_catalog"},
		{ "application_name",  "own name"	 },
	};
	struct fixture *f = *state;
	char conninfo[CONNINFO_BYTES];
	char sql[LONG_TEXT];
	struct shot shot;

	snprintf(conninfo, sizeof(conninfo),
		 "%s application_name='own name' client_encoding=LATIN1"
		 " options='-c search_path=mine,\\\\ pg_catalog -c TimeZone=Asia/Tokyo'",
		 f->cluster.conninfo);
	use_conninfo(f, conninfo, OP_TIMEOUT_MS);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		snprintf(sql, sizeof(sql), "SELECT current_setting('%s') AS v",
			 expected[i].setting);
		assert_string_equal(ask(f, &shot, sql), expected[i].value);
	}
}

/* Takes connections and closes them. */
struct rude {
	struct watch watch;
	int fd;
	int n;
	int wanted;
};

static void on_caller(void *ctx, uint32_t events)
{
	struct rude *rude = ctx;
	int fd = accept(rude->fd, NULL, NULL);

	(void)events;
	if (fd < 0)
		return;
	rude->n++;
	close(fd);
}

static bool enough(void *ctx)
{
	const struct rude *rude = ctx;

	return rude->n >= rude->wanted;
}

static void attempts_become_rarer(void **state)
{
	struct fixture *f = *state;
	struct rude rude = { .wanted = 6 };
	char conninfo[CONNINFO_BYTES];
	struct shot shot;
	int64_t started_ms;
	int port;

	rude.fd = bind_any(&port);
	assert_int_equal(listen(rude.fd, 10), 0);
	watch_start(f->loop, &rude.watch, rude.fd, EPOLLIN, on_caller, &rude);
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=u sslmode=disable", port);
	started_ms = loop_now_ms(f->loop);
	use_conninfo(f, conninfo, OP_TIMEOUT_MS);
	shoot(f, &shot, "SELECT 1 AS v");
	/* After 0, 100, 200, 400, 500 and 500 ms, each shortened by up to a half. */
	run_until(f, enough, &rude);
	assert_in_range(loop_now_ms(f->loop) - started_ms, 850, 4000);
	db_cancel(&shot.op);
	watch_stop(&rude.watch);
	close(rude.fd);
}

static void a_silent_peer_is_given_up(void **state)
{
	struct fixture *f = *state;
	struct db_params params = default_params(f);
	char conninfo[CONNINFO_BYTES];
	struct shot shot;
	int port;
	int fd = bind_any(&port);

	assert_int_equal(listen(fd, 10), 0);
	snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=u", port);
	params.conninfo = conninfo;
	params.connect_timeout_ms = 100;
	params.op_timeout_ms = 300;
	use_pool(f, &params);
	shoot(f, &shot, "SELECT 1 AS v");
	expect_failure(f, &shot, ERR_UNAVAILABLE, "");
	assert_non_null(strstr(shot.err.text, "in time"));
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		DB_TEST(a_host_name_is_looked_up),
		DB_TEST(each_host_of_a_list_is_tried),
		DB_TEST(the_environment_counts_where_the_string_is_silent),
		DB_TEST(a_name_without_address_is_unavailable),
		DB_TEST(freeing_the_pool_while_a_name_is_looked_up),
		DB_TEST(a_bad_string_is_unavailable_and_not_quoted),
		DB_TEST(a_refused_login_says_why),
		DB_TEST(the_session_has_our_forms_and_the_callers_options),
		DB_TEST(attempts_become_rarer),
		DB_TEST(a_silent_peer_is_given_up),
	};

	return cmocka_run_group_tests(tests, start_tcp_program, end_program);
}
