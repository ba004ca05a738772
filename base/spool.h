/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_SPOOL_H
#define BASE_SPOOL_H

/*
 * A durable log of typed records in a directory of its own: append, group fdatasync, segments
 * with checksums, replay at start. One writer thread does nothing but write and fdatasync.
 *
 * Record on disk: length u32 | sequence u64 | type u8 | crc32c u32 over all before it and the
 * payload | payload (integers big-endian). The top bit of length marks the first record of a
 * commit: everything before it was durable when it was written. A torn tail is cut at open; a
 * bad record in the middle is reported and the rest of its segment skipped. Records stay until
 * released.
 *
 * Knows nothing of what its records mean.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"

struct spool;

struct spool_params {
	const char *dir;	 /* made 0700; locked (flock) against a second owner */
	size_t segment_bytes;	 /* 64 MiB */
	size_t max_bytes;	 /* on disk, at least two segments; appends over it fail with
				  * ERR_UNAVAILABLE */
	size_t max_record_bytes; /* 1 MiB */
	/* Find out how much room its filesystem has (free_bytes), and hurry while it is less than
	 * that; 0: do not. */
	uint64_t low_bytes;
	bool fsync; /* false: survives kill -9, not power loss */
	/* Runs at open, before the records, with the note that was released with last, if any;
	 * borrowed. May be NULL. */
	void (*noted)(void *ctx, struct span note);
	/* Runs from the loop when the disk is rid of what was released, as far as it can be. May be
	 * NULL. */
	void (*freed)(void *ctx);
};

/* A record as replayed at open, oldest first. Borrowed. */
typedef void spool_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload);

/* Replays what is there (before it returns), then accepts appends. ERR_INTERNAL, or
 * ERR_CONFLICT if another process holds the directory. */
struct spool *spool_open(struct loop *loop, const struct spool_params *params, spool_record *replay,
			 void *ctx, struct err *err) MUST_CHECK;
/* Whether a directory holds records that somebody has still to take: false if there is none. Looks
 * at names only, and may be asked of a directory that another process has open. */
bool spool_dir_has_records(const char *dir);
/* What a directory holds. */
struct spool_content {
	uint64_t released;
	uint64_t last; /* sequence of the last record that can be read, or was released */
	size_t n_segments;
	size_t bytes;	 /* that these take */
	uint64_t n_lost; /* records that were durable and cannot be read */
	bool has_owner;	 /* somebody has it open, and it changes while it is read */
};
/* Reads what an open would replay, and changes nothing. ERR_NOT_FOUND: no spool is there. */
int spool_read(const char *dir, spool_record *each, void *ctx, struct spool_content *out,
	       struct err *err) MUST_CHECK;
/* Waits until everything appended is durable, then closes. Pending waits never fire. */
void spool_close(struct spool **spool);

/* Waits for one append. Embedded in its owner, zero-initialised. */
struct spool_wait {
	struct spool *spool; /* NULL while idle */
	struct spool_wait *next, *prev;
	uint64_t sequence;
	void (*durable)(void *ctx, const struct err *err);
	void *ctx;
};
/*
 * Copies the payload. `durable` runs on the loop once the record is on disk (never before this
 * returns), err NULL; on failure ERR_UNAVAILABLE, the record is not kept (unless the disk refuses
 * even to cut it off) and its sequence is given out again. wait may be NULL: then nobody is told.
 * Returns the record's sequence, or 0 with err if it was refused at once (full, too large,
 * failed): then nothing will be called.
 */
uint64_t spool_append(struct spool *spool, uint8_t type, struct span payload,
		      struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		      void *ctx, struct err *err) MUST_CHECK;
void spool_wait_cancel(struct spool_wait *wait);

/* Everything up to and including `sequence` is no longer needed: the checkpoint is written (soon,
 * and at close) and whole segments below it are removed. */
void spool_release(struct spool *spool, uint64_t sequence);
/* The same, and what the owner has to know of what is released, at most SPOOL_NOTE_BYTES: it is in
 * the checkpoint with `sequence` or not at all, and stays until another is released. Nothing is
 * noted if nothing is released. */
#define SPOOL_NOTE_BYTES 128
void spool_release_noting(struct spool *spool, uint64_t sequence, struct span note);

#define SPOOL_LOOK_MS	   500
#define SPOOL_LOOK_IDLE_MS 5000 /* while nothing is appended and there is room */
struct spool_stats {
	uint64_t last_sequence;
	uint64_t durable_sequence;
	uint64_t released_sequence;
	uint64_t freed_sequence; /* what was released up to here takes no room that could be free */
	size_t bytes_on_disk;	 /* room set aside for records to come included */
	size_t used_bytes;	 /* of records on the disk or on their way to it */
	/* What its filesystem has left, as looked every SPOOL_LOOK_MS; UINT64_MAX: not asked. */
	uint64_t free_bytes;
	bool failed; /* for good: a commit failed on two files in a row */
};
void spool_stats(const struct spool *spool, struct spool_stats *out);

#endif
