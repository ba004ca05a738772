/* SPDX-License-Identifier: Apache-2.0 */

/* How much room there is for calls, and who may use the reserve. */

#include <inttypes.h>

#include "audit/ledger_priv.h"
#include "base/log.h"

/* From which part of max_bytes on, and below how many times min_free_bytes, the room is what it is
 * called; the first line that fits counts. What the hard limit leaves is the reserve. */
static const struct {
	enum book_room room;
	unsigned used_percent;
	unsigned times_min_free;
} limits[] = {
	{BOOK_ROOM_NONE,	  90, 1},
	{ BOOK_ROOM_TIGHT, 50, 2},
};

uint64_t ledger_low_bytes(const struct ledger *ledger)
{
	const uint64_t soft = limits[sizeof(limits) / sizeof(limits[0]) - 1].times_min_free;

	return 2 * soft * ledger->params.min_free_bytes;
}

static enum book_room room_of(const struct ledger *ledger, const struct spool_stats *stats)
{
	if (stats->failed)
		return BOOK_ROOM_FAILED;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		if (stats->used_bytes >= ledger->params.max_bytes / 100 * limits[i].used_percent ||
		    stats->free_bytes / limits[i].times_min_free < ledger->params.min_free_bytes)
			return limits[i].room;
	}
	return BOOK_ROOM_PLENTY;
}

static void set_room(struct ledger *ledger, enum book_room room, const struct spool_stats *stats)
{
	static const char *const words[] = {
		[BOOK_ROOM_PLENTY] = "has room again",
		[BOOK_ROOM_TIGHT] = "fills up: what can wait is refused",
		[BOOK_ROOM_NONE] = "is full: calls are refused",
		[BOOK_ROOM_FAILED] = "has failed: calls are refused",
	};

	if (room == ledger->room)
		return;
	ledger->room = room;
	ledger->refusal_taken = false;
	log_write(room == BOOK_ROOM_PLENTY ? LOG_INFO : LOG_WARN, &ledger_subject,
		  "the spool %s (%zu of %zu MiB used, %" PRIu64 " MiB free on its disk)",
		  words[room], stats->used_bytes >> 20, ledger->params.max_bytes >> 20,
		  stats->free_bytes >> 20);
}

enum book_room ledger_room(struct ledger *ledger)
{
	struct spool_stats stats;

	ledger_forget_lost(ledger);
	spool_stats(ledger->spool, &stats);
	set_room(ledger, room_of(ledger, &stats), &stats);
	if (ledger->room < BOOK_ROOM_NONE)
		ledger_end_abandoned(ledger);
	return ledger->room;
}

/* So that the book says of itself that calls were refused. */
static bool take_refusal(struct ledger *ledger, enum event_type type, struct span payload)
{
	struct event event;
	struct err ignored;
	int64_t outcome;

	if (type != EVENT_ENTRY || ledger->refusal_taken ||
	    event_decode(payload, &event, &ignored) < 0 ||
	    !event_number(&event, FIELD_OUTCOME, &outcome) || outcome != BOOK_UNAVAILABLE)
		return false;
	ledger->refusal_taken = true;
	return true;
}

int ledger_check_room(struct ledger *ledger, enum event_type type, struct span payload,
		      struct err *err)
{
	enum book_room room = ledger_room(ledger);

	if (type == EVENT_OUTCOME || room < BOOK_ROOM_NONE ||
	    (room == BOOK_ROOM_NONE && take_refusal(ledger, type, payload)))
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "the spool %s",
		       room == BOOK_ROOM_NONE ? "is full" : "has failed");
}
