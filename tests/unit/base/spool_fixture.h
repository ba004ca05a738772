/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_BASE_SPOOL_FIXTURE_H
#define TESTS_UNIT_BASE_SPOOL_FIXTURE_H

/* What the tests of base/spool share: a directory and a loop per test, appends that write down
 * how they ended, and what a replay brought. */

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/spool.h"
#include "base/spool_priv.h"

#define LIMIT_MS      30000 /* how long any wait of a test may take */
#define SEGMENT_BYTES 4096
#define MAX_SHOTS     4096
#define PATH_BYTES    128

enum outcome { PENDING, DURABLE, UNAVAILABLE, REFUSED };

struct fixture;

struct shot {
	struct fixture *fixture;
	struct spool_wait wait;
	uint64_t sequence;
	enum outcome outcome;
	int calls;
	char text[32];
};

struct replayed {
	uint64_t sequence;
	uint8_t type;
	size_t n;
	char *bytes;
};

struct fixture {
	char top[32];
	char dir[64];
	struct loop *loop;
	struct spool_params params;
	struct spool *spool;
	struct timer tick;
	bool (*until)(struct fixture *f);
	int64_t give_up_at_ms;
	struct shot shots[MAX_SHOTS];
	size_t n_shots, n_pending;
	struct replayed replayed[MAX_SHOTS];
	size_t n_replayed;
};

static inline void fixture_forget_replay(struct fixture *f)
{
	for (size_t i = 0; i < f->n_replayed; i++)
		free(f->replayed[i].bytes);
	f->n_replayed = 0;
}

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_configure(LOG_ERROR + 1, LOG_TEXT);
	snprintf(f->top, sizeof(f->top), "/tmp/test_spool.XXXXXX");
	assert_non_null(mkdtemp(f->top));
	snprintf(f->dir, sizeof(f->dir), "%s/spool", f->top);
	f->loop = loop_new();
	f->params = (struct spool_params){
		.dir = f->dir,
		.segment_bytes = SEGMENT_BYTES,
		.max_bytes = 256 * SEGMENT_BYTES,
		.max_record_bytes = 1024,
		.fsync = true,
	};
	*state = f;
	return 0;
}

/* Names in the directory that end so; with `remove` they are unlinked too. */
static inline size_t fixture_files(struct fixture *f, const char *suffix, bool remove)
{
	DIR *dir = opendir(f->dir);
	struct dirent *entry;
	size_t n = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		size_t length = strlen(entry->d_name), end = strlen(suffix);

		if (entry->d_name[0] == '.' || length < end ||
		    strcmp(entry->d_name + length - end, suffix) != 0)
			continue;
		n++;
		if (remove)
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir != NULL)
		closedir(dir);
	return n;
}

static inline size_t segment_files(struct fixture *f)
{
	return fixture_files(f, ".seg", false);
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	spool_close(&f->spool);
	timer_stop(&f->tick);
	loop_free(&f->loop);
	fixture_forget_replay(f);
	fixture_files(f, "", true);
	rmdir(f->dir);
	assert_int_equal(rmdir(f->top), 0);
	free(f);
	return 0;
}

static inline void on_replay(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct fixture *f = ctx;
	struct replayed *r = &f->replayed[f->n_replayed++];

	assert_true(f->n_replayed <= MAX_SHOTS);
	*r = (struct replayed){ sequence, type, payload.n, malloc(payload.n + 1) };
	if (payload.n > 0)
		memcpy(r->bytes, payload.p, payload.n);
	r->bytes[payload.n] = '\0';
}

static inline int try_open(struct fixture *f, struct err *err)
{
	fixture_forget_replay(f);
	f->spool = spool_open(f->loop, &f->params, on_replay, f, err);
	return f->spool != NULL ? 0 : -1;
}

static inline void must_open(struct fixture *f)
{
	struct err err = { 0 };

	if (try_open(f, &err) < 0)
		fail_msg("%s", err.text);
}

static inline void reopen(struct fixture *f)
{
	spool_close(&f->spool);
	must_open(f);
}

static inline void on_tick(void *ctx)
{
	struct fixture *f = ctx;

	if (f->until(f) || loop_now_ms(f->loop) > f->give_up_at_ms)
		loop_stop(f->loop);
	else
		timer_start(f->loop, &f->tick, 1, on_tick, f);
}

static inline void run_until(struct fixture *f, bool (*until)(struct fixture *f))
{
	f->until = until;
	f->give_up_at_ms = loop_now_ms(f->loop) + LIMIT_MS;
	timer_start(f->loop, &f->tick, 0, on_tick, f);
	loop_run(f->loop);
	assert_true(until(f));
}

static inline bool nothing_pending(struct fixture *f)
{
	return f->n_pending == 0;
}

static inline void settle(struct fixture *f)
{
	run_until(f, nothing_pending);
}

static inline void on_durable(void *ctx, const struct err *err)
{
	struct shot *shot = ctx;

	assert_null(shot->wait.spool); /* law 3 */
	shot->calls++;
	shot->fixture->n_pending--;
	shot->outcome = err == NULL ? DURABLE : UNAVAILABLE;
	if (err != NULL)
		assert_int_equal(err->code, ERR_UNAVAILABLE);
}

/* Returns the shot; its outcome is REFUSED if the append was. */
static inline struct shot *append(struct fixture *f, uint8_t type, struct span payload)
{
	struct shot *shot = &f->shots[f->n_shots++];
	struct err err = { 0 };

	assert_true(f->n_shots <= MAX_SHOTS);
	*shot = (struct shot){ .fixture = f };
	snprintf(shot->text, sizeof(shot->text), "%.*s", (int)(payload.n < 31 ? payload.n : 31),
		 payload.p);
	f->n_pending++;
	shot->sequence = spool_append(f->spool, type, payload, &shot->wait, on_durable, shot, &err);
	assert_int_equal(shot->calls, 0); /* law 1 */
	if (shot->sequence == 0) {
		assert_null(shot->wait.spool);
		assert_int_equal(err.code, ERR_UNAVAILABLE);
		shot->outcome = REFUSED;
		f->n_pending--;
	}
	return shot;
}

static inline struct shot *append_text(struct fixture *f, const char *text)
{
	return append(f, 1, span_of(text));
}

/* n records, each in a commit of its own, "record <sequence>". */
static inline void append_numbered(struct fixture *f, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct spool_stats stats;
		char text[32];

		spool_stats(f->spool, &stats);
		snprintf(text, sizeof(text), "record %" PRIu64, stats.last_sequence + 1);
		assert_int_equal(append_text(f, text)->sequence, stats.last_sequence + 1);
		settle(f);
		assert_int_equal(f->shots[f->n_shots - 1].outcome, DURABLE);
	}
}

/* The replay brought exactly first..last of append_numbered. */
static inline void assert_numbered(struct fixture *f, uint64_t first, uint64_t last)
{
	assert_int_equal(f->n_replayed, last + 1 - first);
	for (size_t i = 0; i < f->n_replayed; i++) {
		char text[32];

		snprintf(text, sizeof(text), "record %" PRIu64, first + i);
		assert_int_equal(f->replayed[i].sequence, first + i);
		assert_int_equal(f->replayed[i].type, 1);
		assert_string_equal(f->replayed[i].bytes, text);
	}
}

static inline struct spool_stats stats_of(struct fixture *f)
{
	struct spool_stats stats;

	spool_stats(f->spool, &stats);
	return stats;
}

static inline void segment_path(struct fixture *f, uint64_t first, char path[PATH_BYTES])
{
	snprintf(path, PATH_BYTES, "%s/%016" PRIx64 ".seg", f->dir, first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
