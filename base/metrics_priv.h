/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_METRICS_PRIV_H
#define BASE_METRICS_PRIV_H

/* The layout of the shared memory: metrics.c writes it, metrics_text.c reads it. */

#include <stdatomic.h>
#include <stdbool.h>

#include "base/metrics.h"

/* Upper bounds of a histogram's buckets, in microseconds: those that OpenTelemetry advises for
 * MCP, and three below them, because a gateway's own answers are fast. */
#define METRIC_BOUNDS_US                                                                           \
	1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000, 500000, 1000000, 2000000, 5000000,  \
		10000000, 30000000, 60000000, 120000000, 300000000
#define METRIC_N_BOUNDS 17
/* A histogram's values: its buckets, one more above the last bound, and the sum. */
#define METRIC_AT_SUM	(METRIC_N_BOUNDS + 1)
#define METRIC_N_VALUES (METRIC_AT_SUM + 1)

#define METRIC_KEY_SEPARATOR '\x1f'

struct metric_series {
	/* Odd while the key is being written. A key changes only where a gauge's series was given
	 * up; the values of counters and histograms stay with theirs for good. */
	_Atomic uint32_t version;
	_Atomic uint32_t shown; /* gauges */
	uint32_t key_bytes;
	char key[METRIC_KEY_BYTES]; /* the labels' values, METRIC_KEY_SEPARATOR between */
	_Atomic int64_t values[];
};

/* The series of one metric in one seat. */
struct metric_area {
	_Atomic uint32_t n; /* written once they are whole */
	uint32_t reserved;  /* keeps what follows aligned */
	_Alignas(8) char series[];
};

struct metric_layout {
	size_t offset; /* of the area, in the seat */
	size_t series_bytes;
	unsigned n_labels;
	unsigned n_values;
	unsigned max_series;
};

struct metrics {
	const struct metric *table;
	size_t n_metrics;
	struct metric_layout *layout;
	size_t n_seats;
	size_t seat_bytes;
	char *memory; /* seats one after the other, each begins with its state */
	size_t memory_bytes;
};

enum metric_seat_state {
	METRIC_SEAT_UNUSED, /* nothing in it has ever been written, so nothing need be read */
	METRIC_SEAT_LIVE,
	METRIC_SEAT_RETIRED, /* its gauges do not count */
};

/* At the beginning of a seat. */
struct metric_seat {
	_Atomic int state; /* enum metric_seat_state */
	uint32_t reserved;
};

static inline struct metric_seat *metrics_seat(const struct metrics *metrics, size_t seat)
{
	return (struct metric_seat *)(void *)(metrics->memory + seat * metrics->seat_bytes);
}

static inline struct metric_area *metrics_area(const struct metrics *metrics, size_t seat,
					       unsigned metric)
{
	return (struct metric_area *)(void *)(metrics->memory + seat * metrics->seat_bytes +
					      metrics->layout[metric].offset);
}

static inline struct metric_series *metrics_series(const struct metric_layout *layout,
						   struct metric_area *area, unsigned i)
{
	return (struct metric_series *)(void *)(area->series + i * layout->series_bytes);
}

#endif
