/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

/*
 * Counters, gauges and histograms of several processes in memory that they share, and their text
 * for Prometheus (format 0.0.4).
 *
 * One process makes the memory before it forks. Each writer has a seat of its own and is the only
 * one who writes there, with plain loads and stores; whoever prints adds the seats up. A seat
 * outlives its writer, so a sum never goes backwards; what a gauge said ends with its writer.
 *
 * Knows no metric by name: the table comes from above.
 */

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

/* How the gauges of several writers become one. */
enum metric_merge { METRIC_SUM, METRIC_MIN, METRIC_MAX };

#define METRIC_SECONDS 1000000 /* the divisor of what is measured in microseconds */
#define METRIC_OTHER   "_OTHER"

struct metric {
	const char *name;
	enum metric_type type;
	enum metric_merge merge;
	const char *labels;  /* their names, a space between; NULL: none */
	unsigned max_series; /* of one writer; what comes after counts as METRIC_OTHER, and a gauge
			      * is dropped. 0: 1, for there are no labels */
	unsigned divisor;    /* printed is value / divisor; 0: 1 */
	const char *help;
};

/* Values longer than so many bytes together count as METRIC_OTHER. */
#define METRIC_KEY_BYTES  192
#define METRIC_MAX_LABELS 4

struct metrics; /* the shared memory */
struct meter;	/* one writer's way to its seat */

/* The table must live as long. */
struct metrics *metrics_new(const struct metric *table, size_t n_metrics, size_t n_seats);
void metrics_free(struct metrics **metrics);
/* The writer of a seat is gone: its gauges count no more. */
void metrics_retire(struct metrics *metrics, size_t seat);

/* Takes a seat that nobody writes to: its counters go on, its gauges start anew. */
struct meter *meter_new(struct metrics *metrics, size_t seat);
void meter_free(struct meter **meter);

/* To all of these a meter of NULL is nothing. values has one for each label, and is NULL if there
 * are none; a value of "" is a label that is absent. */
void meter_count(struct meter *meter, unsigned metric, const char *const *values, uint64_t n);
void meter_gauge(struct meter *meter, unsigned metric, const char *const *values, int64_t value);
void meter_gauge_add(struct meter *meter, unsigned metric, const char *const *values, int64_t n);
/* Such a series is not there any more. */
void meter_gauge_end(struct meter *meter, unsigned metric, const char *const *values);
void meter_observe(struct meter *meter, unsigned metric, const char *const *values, int64_t us);

/* All seats added up. */
void metrics_print(const struct metrics *metrics, struct buf *out);

#endif
