/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/board.h"

#include <assert.h>
#include <sys/mman.h>

#include "audit/book.h"
#include "base/metrics.h"
#include "gateway/core/meters.h"

struct board *board_new(size_t n_slots, size_t n_seats)
{
	size_t bytes = sizeof(struct board) + n_seats * sizeof(struct board_seat);
	struct board *board =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert(board != MAP_FAILED);
	board->bytes = bytes;
	board->n_slots = n_slots;
	board->n_seats = n_seats;
	board->metrics = metrics_new(gate_metrics, N_GATE_METRICS, n_seats);
	return board;
}

void board_free(struct board **slot)
{
	struct board *board = *slot;

	if (board == NULL)
		return;
	*slot = NULL;
	metrics_free(&board->metrics);
	munmap(board, board->bytes);
}

size_t board_seat_find(const struct board *board)
{
	for (size_t i = BOARD_SUPERVISOR + 1; i < board->n_seats; i++) {
		if (board->seats[i].state == BOARD_FREE)
			return i;
	}
	return 0;
}

void board_seat_take(struct board *board, size_t at, unsigned slot)
{
	struct board_seat *seat = &board->seats[at];

	assert(seat->state == BOARD_FREE);
	seat->slot = slot;
	seat->beat_ms = 0;
	seat->db_down_since_ms = 0;
	seat->room = BOOK_ROOM_PLENTY;
	seat->backlog = 0;
	seat->backlog_ms = 0;
	seat->spool_bytes = 0;
	seat->sealed = SEAL_NONE;
	seat->state = BOARD_STARTING;
}

void board_seat_leave(struct board *board, size_t seat)
{
	board->seats[seat].state = BOARD_FREE;
	board->n_ended++;
	metrics_retire(board->metrics, seat);
}

static bool is_served(const struct board *board, unsigned slot)
{
	for (size_t i = 0; i < board->n_seats; i++) {
		if (board->seats[i].state == BOARD_SERVING && board->seats[i].slot == slot)
			return true;
	}
	return false;
}

bool board_slot_open(const struct board *board, size_t seat)
{
	for (size_t i = 0; i < board->n_seats; i++) {
		const struct board_seat *other = &board->seats[i];

		if (i != seat && other->state == BOARD_SERVING && other->sealed == SEAL_NONE &&
		    other->slot == board->seats[seat].slot)
			return true;
	}
	return false;
}

static void report_backlog(const struct board_seat *seat, struct board_report *out)
{
	out->backlog += seat->backlog;
	out->spool_bytes += seat->spool_bytes;
	if (seat->backlog_ms > out->backlog_ms)
		out->backlog_ms = seat->backlog_ms;
}

void board_report(const struct board *board, int64_t now_ms, struct board_report *out)
{
	*out = (struct board_report){ .stopping = board->stopping, .n_slots = board->n_slots };
	for (unsigned slot = 0; slot < board->n_slots; slot++)
		out->n_served += is_served(board, slot);
	for (size_t i = 0; i < board->n_seats; i++) {
		const struct board_seat *seat = &board->seats[i];
		int64_t since_ms = seat->db_down_since_ms;

		if (seat->state == BOARD_SERVING || seat->state == BOARD_DRAINING)
			report_backlog(seat, out);
		if (seat->state != BOARD_SERVING)
			continue;
		out->n_serving++;
		out->n_full += seat->room >= BOOK_ROOM_NONE;
		out->n_tight += seat->room == BOOK_ROOM_TIGHT;
		if (seat->sealed != SEAL_NONE && out->n_sealed++ == 0)
			out->seal = (enum board_seal)seat->sealed;
		if (since_ms == 0)
			continue;
		out->n_without_db++;
		if (now_ms - since_ms > out->without_db_ms)
			out->without_db_ms = now_ms - since_ms;
	}
}
