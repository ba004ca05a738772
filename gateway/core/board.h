/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_BOARD_H
#define GATEWAY_CORE_BOARD_H

/*
 * What the processes of one gateway know of each other: memory that they share, made by the
 * supervisor before it forks. Each worker writes its own seat; anybody reads all of them, so
 * that whichever worker is asked answers for the whole gateway.
 *
 * Seat 0 is the supervisor's, for its metrics. More seats than slots, because a worker that
 * drains and its successor run side by side.
 */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics;

#define BOARD_SUPERVISOR 0

enum board_state {
	BOARD_FREE,
	BOARD_STARTING,
	BOARD_SERVING,
	BOARD_DRAINING,
};

/* Why a worker serves nobody although it runs. */
enum board_seal {
	SEAL_NONE,
	SEAL_NO_KEYRING,    /* keyring_file cannot be used */
	SEAL_OTHER_KEYRING, /* it is not that of the database */
};

struct board_seat {
	_Atomic int state; /* enum board_state; FREE and STARTING by the supervisor, then its own */
	_Atomic unsigned slot;
	_Atomic int64_t beat_ms;	  /* monotonic; 0: the loop has not turned yet */
	_Atomic int64_t db_down_since_ms; /* monotonic; 0: Postgres answers */
	_Atomic int room;		  /* enum book_room, of its spool */
	/* Of its books: rows that Postgres has not taken, how long the oldest waits, and what the
	 * spools take on disk. */
	_Atomic uint64_t backlog;
	_Atomic int64_t backlog_ms;
	_Atomic uint64_t spool_bytes;
	_Atomic int sealed; /* enum board_seal */
};

struct board {
	size_t bytes;
	size_t n_slots;
	size_t n_seats;
	struct metrics *metrics;
	_Atomic unsigned n_ended; /* workers, however they did */
	_Atomic bool stopping;	  /* the whole gateway, not one worker that is replaced */
	struct board_seat seats[];
};

struct board *board_new(size_t n_slots, size_t n_seats);
void board_free(struct board **board);

/* By the supervisor. A free seat other than its own, or 0. */
size_t board_seat_find(const struct board *board);
void board_seat_take(struct board *board, size_t seat, unsigned slot);
void board_seat_leave(struct board *board, size_t seat);

/* Whether somebody in another seat serves this one's slot, with the right keyring. */
bool board_slot_open(const struct board *board, size_t seat);

/* The gateway as a whole. */
struct board_report {
	bool stopping;
	size_t n_slots;
	size_t n_served; /* slots with a worker that serves */
	size_t n_serving;
	size_t n_without_db;   /* of those that serve */
	int64_t without_db_ms; /* how long the first of them */
	size_t n_tight;	       /* of those that serve: whose spool takes only what cannot wait */
	size_t n_full;	       /* whose spool takes no calls, or has failed */
	/* Of all workers, those that drain included. */
	uint64_t backlog;
	int64_t backlog_ms;
	uint64_t spool_bytes;
	size_t n_sealed;      /* of those that serve: all that they serve is that they are */
	enum board_seal seal; /* why the first of them is */
};
void board_report(const struct board *board, int64_t now_ms, struct board_report *out);

#endif
