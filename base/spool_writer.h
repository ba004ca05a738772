/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPOOL_WRITER_H
#define BASE_SPOOL_WRITER_H

/*
 * What the two files of the spool's writer share: spool_thread.c (the thread, its inbox and the
 * checkpoint) and spool_commit.c (how a commit gets to the disk).
 *
 * One mutex guards `shared`; what is in `own` belongs to the thread alone, so files are touched
 * without holding anything.
 */

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/spool_priv.h"

struct spool_list {
	struct spool_entry *first;
	struct spool_entry *last;
	size_t bytes;
};

struct spool_shared {
	struct spool_list queue;
	size_t flight_bytes; /* taken by the thread, not yet durable */
	enum spool_state state;
	uint64_t durable;
	uint64_t released;
	struct spool_note note; /* released with it */
	uint64_t freed;		/* of that, whose segments are gone */
	bool stop;
	bool checkpoint_owed;
	bool checkpoint_failed;
	struct err commit_problem;
	struct err checkpoint_problem;
	/* How flight and queue will lie on disk: the segments that have yet to be made for them,
	 * and the room that is left behind them. */
	size_t disk_bytes;
	size_t planned_bytes;
	size_t tail_room;
	uint64_t free_bytes; /* of the filesystem; UINT64_MAX: not asked */
};

struct spool_own {
	struct spool_list flight;
	struct spool_segments segments;
	int fd; /* of the last segment; -1: the next commit begins a new one */
	size_t used;
	int64_t checkpoint_at_ms; /* no sooner */
	int64_t looked_at_ms;	  /* at the filesystem */
	bool wrote;		  /* since then */
};

struct spool_writer {
	int dir_fd;
	size_t segment_bytes;
	size_t max_bytes;
	bool fsync_it;
	uint64_t low_bytes;
	const struct bell *bell;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	struct spool_shared shared;
	struct spool_own own;
};

void spool_writer_lock(struct spool_writer *writer);
void spool_writer_unlock(struct spool_writer *writer);

void spool_list_add(struct spool_list *list, struct spool_entry *entry);
/* Frees the entries before `end`, which becomes the first; NULL: all. */
void spool_list_drop(struct spool_list *list, const struct spool_entry *end);

/*
 * The plan. The loop's side refuses at once what would go over max_bytes, so it foresees what the
 * thread will do: a record that does not fit in the rest of a segment begins the next one.
 */
void spool_plan_entry(struct spool_writer *writer, size_t size); /* locked */
/* Once the thread did what nobody could foresee. */
void spool_plan_again(struct spool_writer *writer);

/* Ends the current segment, if any, behind its last confirmed record. */
void spool_commit_end(struct spool_writer *writer);
/* Makes own.flight durable, or fails the writer or has it refuse. */
void spool_commit_flight(struct spool_writer *writer);

#endif
