/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/pulse.h"

#include <stdlib.h>

#include "base/mem.h"
#include "base/otlp.h"
#include "gateway/app/spools.h"
#include "gateway/core/meters.h"
#include "gateway/http/server.h"

struct pulse {
	struct pulse_params params;
	const struct http_server *server;
	struct timer timer;
	struct timer db_timer; /* the database has come or gone */
	int64_t due_ms;
	struct db_op *probe;
	unsigned n_ended;   /* workers, as seen on the board */
	uint64_t n_written; /* as counted already */
	uint64_t n_lost;
	struct otlp_stats spans; /* the same */
};

static void on_probed(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	(void)ctx;
	(void)results;
	(void)n;
	(void)err;
}

/* Nobody may have anything to ask for a while: its return is noticed all the same. */
static void look_at_db(struct pulse *pulse)
{
	struct board_seat *seat = pulse->params.seat;

	if (db_up(pulse->params.db)) {
		seat->db_down_since_ms = 0;
		return;
	}
	if (seat->db_down_since_ms == 0)
		seat->db_down_since_ms = loop_now_ms(pulse->params.loop);
	if (pulse->probe == NULL)
		db_query(pulse->params.db, &pulse->probe, NULL, "SELECT 1", NULL, 0, on_probed,
			 pulse);
}

static void measure_db(const struct pulse *pulse)
{
	const struct db *pools[] = { pulse->params.db, pulse->params.drain_db,
				     pulse->params.audit_db };
	struct meter *meter = pulse->params.meter;
	struct db_stats sum = { 0 };

	for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
		struct db_stats one;

		db_stats(pools[i], &one);
		sum.n_busy += one.n_busy;
		sum.n_idle += one.n_idle;
		sum.n_waiting += one.n_waiting;
	}
	meter_gauge(meter, METER_DB_UP, NULL, db_up(pulse->params.db));
	meter_gauge(meter, METER_DB_CONNECTIONS, (const char *const[]){ "busy" },
		    (int64_t)sum.n_busy);
	meter_gauge(meter, METER_DB_CONNECTIONS, (const char *const[]){ "idle" },
		    (int64_t)sum.n_idle);
	meter_gauge(meter, METER_DB_WAITING, NULL, (int64_t)sum.n_waiting);
}

static void tell_board(struct board_seat *seat, const struct book_stats *stats)
{
	seat->room = (int)stats->room;
	seat->backlog = stats->backlog;
	seat->backlog_ms = stats->oldest_ms;
	seat->spool_bytes = stats->bytes_on_disk;
}

static void measure_books(struct pulse *pulse)
{
	struct meter *meter = pulse->params.meter;
	struct book_stats stats;

	spools_stats(pulse->params.spools, &stats);
	tell_board(pulse->params.seat, &stats);
	meter_gauge(meter, METER_AUDIT_QUEUE, NULL, (int64_t)stats.backlog);
	meter_gauge(meter, METER_AUDIT_OLDEST, NULL, stats.oldest_ms);
	meter_gauge(meter, METER_AUDIT_SPOOL_BYTES, NULL, (int64_t)stats.bytes_on_disk);
	meter_gauge(meter, METER_AUDIT_ROOM, NULL, (int64_t)stats.room);
	meter_count(meter, METER_AUDIT_WRITTEN, NULL, stats.written - pulse->n_written);
	meter_count(meter, METER_AUDIT_LOST, NULL, stats.lost - pulse->n_lost);
	pulse->n_written = stats.written;
	pulse->n_lost = stats.lost;
}

/* The counter goes on where the one of a worker before has ended. */
static void count_spans(struct pulse *pulse, const char *result, uint64_t n, uint64_t *counted)
{
	meter_count(pulse->params.meter, METER_SPANS, (const char *const[]){ result },
		    n - *counted);
	*counted = n;
}

static void measure_spans(struct pulse *pulse)
{
	struct otlp_stats stats;

	if (pulse->params.otlp == NULL)
		return;
	otlp_stats(pulse->params.otlp, &stats);
	count_spans(pulse, "exported", stats.exported, &pulse->spans.exported);
	count_spans(pulse, "dropped", stats.dropped, &pulse->spans.dropped);
	count_spans(pulse, "rejected", stats.rejected, &pulse->spans.rejected);
}

static void measure(struct pulse *pulse)
{
	measure_db(pulse);
	measure_books(pulse);
	measure_spans(pulse);
	if (pulse->server != NULL)
		meter_gauge(pulse->params.meter, METER_HTTP_CONNECTIONS, NULL,
			    (int64_t)http_server_connections(pulse->server));
}

static void look_for_the_dead(struct pulse *pulse)
{
	unsigned n_ended = pulse->params.board->n_ended;

	if (n_ended != pulse->n_ended) {
		spools_look(pulse->params.spools);
		if (pulse->params.ended != NULL)
			pulse->params.ended(pulse->params.ctx);
	}
	pulse->n_ended = n_ended;
}

/* /readyz and /metrics know it at once, not with the next beat. */
static void on_db_timer(void *ctx)
{
	struct pulse *pulse = ctx;

	look_at_db(pulse);
	measure_db(pulse);
}

/* Within the pool, of which nothing may be asked now. */
static void on_db_changed(void *ctx)
{
	struct pulse *pulse = ctx;

	if (pulse->db_timer.loop == NULL)
		timer_start(pulse->params.loop, &pulse->db_timer, 0, on_db_timer, pulse);
}

static bool seat_has_failed(const struct pulse *pulse)
{
	return pulse->params.seat->room == BOOK_ROOM_FAILED;
}

static void beat(void *ctx)
{
	struct pulse *pulse = ctx;
	int64_t now_ms = loop_now_ms(pulse->params.loop);
	int64_t wait_ms = db_up(pulse->params.db) ? PULSE_MS : PULSE_WITHOUT_DB;

	pulse->params.seat->beat_ms = now_ms;
	meter_observe(pulse->params.meter, METER_LOOP_LAG, NULL, (now_ms - pulse->due_ms) * 1000);
	look_at_db(pulse);
	measure(pulse);
	look_for_the_dead(pulse);
	if (seat_has_failed(pulse) && pulse->params.failed != NULL)
		pulse->params.failed(pulse->params.ctx);
	/* The timer takes a millisecond more, so that it never comes too early. */
	pulse->due_ms = now_ms + wait_ms + 1;
	timer_start(pulse->params.loop, &pulse->timer, wait_ms, beat, pulse);
}

struct pulse *pulse_new(const struct pulse_params *params)
{
	struct pulse *pulse = mem_new(sizeof(*pulse));

	pulse->params = *params;
	pulse->n_ended = params->board->n_ended;
	pulse->due_ms = loop_now_ms(params->loop);
	timer_start(params->loop, &pulse->timer, 0, beat, pulse);
	db_watch(params->db, on_db_changed, pulse);
	return pulse;
}

void pulse_free(struct pulse **slot)
{
	struct pulse *pulse = *slot;

	if (pulse == NULL)
		return;
	*slot = NULL;
	measure_books(pulse); /* what came since the last beat */
	measure_spans(pulse);
	db_watch(pulse->params.db, NULL, NULL);
	timer_stop(&pulse->timer);
	timer_stop(&pulse->db_timer);
	db_cancel(&pulse->probe);
	free(pulse);
}

void pulse_watch_server(struct pulse *pulse, const struct http_server *server)
{
	pulse->server = server;
	if (server == NULL)
		return;
	/* Whoever asks from now on hears how things are, not how they were before. */
	look_at_db(pulse);
	measure(pulse);
}
