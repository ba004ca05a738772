/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPOOL_PRIV_H
#define BASE_SPOOL_PRIV_H

/*
 * What the files of the spool share.
 *
 *   spool.c          the loop's side: open, append, waits, release
 *   spool_thread.c   the writer thread: commits, checkpoints, removals
 *   spool_segment.c  files in the directory: segments and the checkpoint
 *   spool_scan.c     records in memory: stamping and recovery, pure
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/spool.h"

/* Records in memory (spool_scan.c). */

#define SPOOL_HEADER_BYTES    17
#define SPOOL_FIRST_OF_COMMIT 0x80000000u

/* One record on its way to the disk: header and payload as they will be written. */
struct spool_entry {
	struct spool_entry *next;
	uint64_t sequence;
	uint32_t payload_bytes;
	uint8_t type;
	uint8_t bytes[];
};

size_t spool_entry_size(const struct spool_entry *entry); /* on disk */
void spool_entry_stamp(struct spool_entry *entry, bool first_of_commit);

enum spool_tail {
	SPOOL_TAIL_CLEAN,
	SPOOL_TAIL_TORN,    /* what follows can only be a commit that was never confirmed */
	SPOOL_TAIL_DAMAGED, /* a later commit began, so a record that was confirmed is bad */
};

struct spool_scan {
	uint64_t last; /* sequence of the last good record, or the one before `first` */
	size_t end;    /* offset behind it */
	enum spool_tail tail;
	uint64_t highest; /* DAMAGED: the highest sequence seen behind the bad record */
};

/* Reads records first, first + 1, … up to `limit` and hands over those from `from` on; stops at
 * the first bad one. */
void spool_scan(struct span segment, uint64_t first, uint64_t limit, uint64_t from,
		spool_record *each, void *ctx, struct spool_scan *out);

/* Files (spool_segment.c). Everything that fails sets errno and returns -1. */

struct spool_segment {
	uint64_t first; /* sequence of its first record; also its name */
	size_t bytes;	/* what it takes on disk */
};

struct spool_segments {
	struct spool_segment *at; /* ascending */
	size_t n;
};

#define SPOOL_SEGMENT_BYTES_MAX ((size_t)1 << 30)

/* Returns the descriptor of the locked directory. */
int spool_dir_open(const char *dir, struct err *err) MUST_CHECK;
int spool_segments_list(int dir_fd, struct spool_segments *out) MUST_CHECK;
void spool_segments_add(struct spool_segments *segments, struct spool_segment segment);
void spool_segments_drop_first(struct spool_segments *segments);
/* Allocated; the caller frees. */
int spool_segment_read(int dir_fd, uint64_t first, struct span *out) MUST_CHECK;
/* Creates and preallocates; durable in the directory if `fsync_it`. Returns its descriptor. */
int spool_segment_create(int dir_fd, uint64_t first, size_t bytes, bool fsync_it) MUST_CHECK;
/* Shortens a segment that nobody writes to and, if `fsync_it`, makes what is left durable. */
int spool_segment_cut(int dir_fd, uint64_t first, size_t bytes, bool fsync_it) MUST_CHECK;
int spool_segment_remove(int dir_fd, uint64_t first) MUST_CHECK;

struct spool_note {
	uint8_t bytes[SPOOL_NOTE_BYTES]; /* may be secret */
	size_t n;
};

struct spool_checkpoint {
	uint64_t released;
	uint64_t last; /* the highest sequence ever given out, as far as known; >= released */
	struct spool_note note;
};

int spool_checkpoint_save(int dir_fd, const struct spool_checkpoint *checkpoint,
			  bool fsync_it) MUST_CHECK;
/* Of the bytes of its file: 0, -1 it is none. */
int spool_checkpoint_parse(struct span file, struct spool_checkpoint *out) MUST_CHECK;
/* 1 loaded, 0 there is none, -1 with errno; EBADMSG if it is damaged. */
int spool_checkpoint_load(int dir_fd, struct spool_checkpoint *out) MUST_CHECK;

/* The writer thread (spool_thread.c). */

enum spool_state {
	SPOOL_ACCEPTING,
	/* A commit failed for want of room and everything unconfirmed was dropped. Until the
	 * loop's side has taken note (spool_writer_news) nothing is accepted. */
	SPOOL_REFUSING,
	SPOOL_FAILED, /* for good: a commit failed on two files in a row */
};

struct spool_writer_params {
	int dir_fd; /* borrowed until spool_writer_stop */
	const struct spool_params *spool;
	struct spool_segments segments; /* taken on success */
	struct spool_checkpoint checkpoint;
	const struct bell *bell; /* rung when there is news */
};

struct spool_news {
	uint64_t durable;
	uint64_t freed;
	enum spool_state state; /* as it was before this call */
	struct err commit_problem;
	bool checkpoint_failed; /* since the last call */
	struct err checkpoint_problem;
};

struct spool_writer;

/* NULL with err if there can be no thread. */
struct spool_writer *spool_writer_start(const struct spool_writer_params *params,
					struct err *err) MUST_CHECK;
/* Everything queued is written first. */
void spool_writer_stop(struct spool_writer **writer);
/* Takes the entry, or refuses it with err and leaves it to the caller. */
int spool_writer_push(struct spool_writer *writer, struct spool_entry *entry,
		      struct err *err) MUST_CHECK;
/* note: NULL leaves it as it is. */
void spool_writer_release(struct spool_writer *writer, uint64_t sequence, const struct span *note);
void spool_writer_news(struct spool_writer *writer, struct spool_news *news);
/* All but last_sequence. */
void spool_writer_stats(struct spool_writer *writer, struct spool_stats *out);

#endif
