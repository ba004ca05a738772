/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/anchor_sink.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"

#define LIMIT_MS 20000

struct fixture {
	char top[40];
	char dir[64]; /* is made when the test says so */
	char file[80];
	char socket[80];
	struct loop *loop;
	struct anchor_sink *sink;
	struct timer tick;
	int64_t give_up_at_ms;
	bool (*until)(struct fixture *f);
	int log_fd; /* of syslog */
};

static int set_up(void **state)
{
	struct fixture *f = mem_new(sizeof(*f));

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	snprintf(f->top, sizeof(f->top), "/tmp/test_sink.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof(f->dir), "%s/d", f->top);
	snprintf(f->file, sizeof(f->file), "%s/anchors.jsonl", f->dir);
	snprintf(f->socket, sizeof(f->socket), "%s/log", f->top);
	f->loop = loop_new();
	f->log_fd = -1;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	anchor_sink_free(&f->sink);
	timer_stop(&f->tick);
	loop_free(&f->loop);
	if (f->log_fd >= 0)
		close(f->log_fd);
	unlink(f->socket);
	unlink(f->file);
	rmdir(f->dir);
	assert_int_equal(rmdir(f->top), 0);
	free(f);
	return 0;
}

static void open_sink(struct fixture *f, const char *syslog_socket)
{
	f->sink = anchor_sink_new(&(struct anchor_sink_params){
		.loop = f->loop, .file = f->file, .syslog_socket = syslog_socket });
}

static void make_dir(struct fixture *f)
{
	assert_int_equal(mkdir(f->dir, 0700), 0);
}

static void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	if (f->until(f) || loop_now_ms(f->loop) > f->give_up_at_ms)
		loop_stop(f->loop);
	else
		timer_start(f->loop, &f->tick, 5, on_tick, f);
}

static void run_until(struct fixture *f, bool (*until)(struct fixture *f))
{
	f->until = until;
	f->give_up_at_ms = loop_now_ms(f->loop) + LIMIT_MS;
	timer_start(f->loop, &f->tick, 0, on_tick, f);
	loop_run(f->loop);
	assert_true(until(f));
}

static bool nothing_waits(struct fixture *f)
{
	return anchor_sink_waiting(f->sink) == 0;
}

/* The whole file; the caller frees. */
static char *read_file(const struct fixture *f)
{
	char *text = mem_new(1 << 20);
	int fd = open(f->file, O_RDONLY);

	assert_true(fd >= 0);
	assert_true(read(fd, text, (1 << 20) - 1) >= 0);
	close(fd);
	return text;
}

static struct chain_anchor anchor_of(uint64_t epoch)
{
	struct chain_anchor anchor = { .epoch = epoch,
				       .first_seq = 10 * epoch + 1,
				       .last_seq = 10 * epoch + 10,
				       .anchored_us = INT64_C(1795000000123456) };

	memset(anchor.id, 0xab, sizeof(anchor.id));
	memset(anchor.last_mac, 0x11, sizeof(anchor.last_mac));
	memset(anchor.mac_key, 0x22, sizeof(anchor.mac_key));
	memset(anchor.signature, 0x33, sizeof(anchor.signature));
	return anchor;
}

static void add(struct fixture *f, uint64_t epoch)
{
	struct chain_anchor anchor = anchor_of(epoch);

	anchor_sink_add(f->sink, &anchor);
}

#define TWICE(x) x x
#define FOUR(x)	 TWICE(TWICE(x))
#define N_32(x)	 FOUR(FOUR(TWICE(x)))
#define LINE_OF_7                                                                                  \
	"{\"type\":\"anchor\",\"chain\":\"abababab-abab-abab-abab-abababababab\",\"epoch\":7,"     \
	"\"first_seq\":71,\"last_seq\":80,\"last_mac\":\"" N_32("11") "\",\"mac_key\":\"" N_32(    \
		"22") "\",\"anchored_at\":\"2026-11-18T11:06:40."                                  \
		      "123456Z\",\"signature\":\"" TWICE(N_32("3"                                  \
							      "3")) "\"}\n"

static void an_anchor_is_a_line(void **state)
{
	struct fixture *f = *state;
	struct stat info;
	char *text;

	make_dir(f);
	open_sink(f, NULL);
	add(f, 7);
	assert_int_equal(anchor_sink_waiting(f->sink), 0);
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7);
	free(text);
	assert_int_equal(stat(f->file, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	/* The next process appends. */
	anchor_sink_free(&f->sink);
	open_sink(f, NULL);
	anchor_sink_add_line(f->sink, SPAN("{\"type\":\"seal\"}"));
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7 "{\"type\":\"seal\"}\n");
	free(text);
}

static void a_file_that_was_moved_away_is_begun_anew(void **state)
{
	struct fixture *f = *state;
	char *text;

	make_dir(f);
	open_sink(f, NULL);
	add(f, 1);
	assert_int_equal(unlink(f->file), 0);
	add(f, 7);
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7);
	free(text);
}

static void what_cannot_be_written_is_tried_again_in_its_order(void **state)
{
	struct fixture *f = *state;
	char *text;

	open_sink(f, NULL);
	add(f, 7);
	anchor_sink_add_line(f->sink, SPAN("{}"));
	assert_int_equal(anchor_sink_waiting(f->sink), 2);
	make_dir(f);
	run_until(f, nothing_waits);
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7 "{}\n");
	free(text);
}

static void too_many_that_wait_lose_the_oldest(void **state)
{
	struct fixture *f = *state;
	char *text, *line;
	size_t n = 0;

	open_sink(f, NULL);
	for (uint64_t epoch = 0; epoch < ANCHOR_SINK_MAX_LINES + 10; epoch++)
		add(f, epoch);
	assert_int_equal(anchor_sink_waiting(f->sink), ANCHOR_SINK_MAX_LINES);
	make_dir(f);
	run_until(f, nothing_waits);
	text = read_file(f);
	assert_non_null(strstr(text, "\"epoch\":10,"));
	assert_null(strstr(text, "\"epoch\":9,"));
	assert_non_null(strstr(text, "\"epoch\":265,"));
	for (line = text; *line != '\0'; line = strchr(line, '\n') + 1)
		n++;
	assert_int_equal(n, ANCHOR_SINK_MAX_LINES);
	free(text);
}

static void a_link_in_the_place_of_the_file_is_not_followed(void **state)
{
	struct fixture *f = *state;
	char elsewhere[96];

	snprintf(elsewhere, sizeof(elsewhere), "%s/elsewhere", f->top);
	make_dir(f);
	assert_int_equal(symlink(elsewhere, f->file), 0);
	open_sink(f, NULL);
	add(f, 7);
	assert_int_equal(anchor_sink_waiting(f->sink), 1);
	assert_int_equal(access(elsewhere, F_OK), -1);
}

static void listen_as_syslog(struct fixture *f)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", f->socket);
	f->log_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(f->log_fd, (struct sockaddr *)&at, sizeof(at)), 0);
}

static void syslog_gets_each_too(void **state)
{
	struct fixture *f = *state;
	char message[4096];
	ssize_t n;

	make_dir(f);
	listen_as_syslog(f);
	open_sink(f, f->socket);
	add(f, 7);
	assert_int_equal(anchor_sink_waiting(f->sink), 0);
	n = recv(f->log_fd, message, sizeof(message) - 1, 0);
	assert_true(n > 0);
	message[n] = '\0';
	message[strlen(message)] = '\n';
	message[n + 1] = '\0';
	assert_string_equal(message, "<85>tollgate: " LINE_OF_7);
}

/* Neither waits for the other, and neither gets twice what it has. */
static void a_file_that_is_away_keeps_nothing_from_syslog(void **state)
{
	struct fixture *f = *state;
	char message[4096];

	listen_as_syslog(f);
	open_sink(f, f->socket);
	for (uint64_t epoch = 0; epoch < 3; epoch++) {
		add(f, epoch);
		assert_true(recv(f->log_fd, message, sizeof(message), 0) > 0);
	}
	assert_int_equal(anchor_sink_waiting(f->sink), 3);
	make_dir(f);
	run_until(f, nothing_waits);
	assert_int_equal(recv(f->log_fd, message, sizeof(message), 0), -1);
}

static void one_that_is_away_keeps_nothing_from_the_other(void **state)
{
	struct fixture *f = *state;
	char message[4096];
	char *text;

	make_dir(f);
	open_sink(f, f->socket);
	add(f, 7);
	assert_int_equal(anchor_sink_waiting(f->sink), 1);
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7);
	free(text);
	listen_as_syslog(f);
	run_until(f, nothing_waits);
	assert_true(recv(f->log_fd, message, sizeof(message), 0) > 0);
	assert_int_equal(recv(f->log_fd, message, sizeof(message), 0), -1);
	text = read_file(f);
	assert_string_equal(text, LINE_OF_7);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_anchor_is_a_line),
		TEST(a_file_that_was_moved_away_is_begun_anew),
		TEST(what_cannot_be_written_is_tried_again_in_its_order),
		TEST(too_many_that_wait_lose_the_oldest),
		TEST(a_link_in_the_place_of_the_file_is_not_followed),
		TEST(syslog_gets_each_too),
		TEST(a_file_that_is_away_keeps_nothing_from_syslog),
		TEST(one_that_is_away_keeps_nothing_from_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
