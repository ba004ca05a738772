/* SPDX-License-Identifier: Apache-2.0 */
/* The sums of all seats as text: Prometheus exposition format 0.0.4. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "base/metrics_priv.h"

/* A key that changes all the time is given up for this time. */
#define READ_TRIES 100
/* Every byte of a value may be escaped, and each has a name. */
#define MAX_LABELS_BYTES ((size_t)16 * METRIC_KEY_BYTES)

static const char *const type_names[] = {
	[METRIC_COUNTER] = "counter",
	[METRIC_GAUGE] = "gauge",
	[METRIC_HISTOGRAM] = "histogram",
};

struct sum {
	size_t key_bytes;
	char key[METRIC_KEY_BYTES];
	int64_t values[METRIC_N_VALUES];
	UT_hash_handle hh;
};

struct printer {
	const struct metrics *metrics;
	const struct metric *metric;
	const struct metric_layout *layout;
	struct arena *arena;
	struct sum *sums;
	struct buf *out;
	struct buf labels; /* of the series that is being printed */
	char bounds[METRIC_N_BOUNDS + 1][24];
};

/* A whole key with its values, or false. */
static bool series_read(const struct printer *printer, struct metric_series *series,
			struct sum *out)
{
	for (int i = 0; i < READ_TRIES; i++) {
		uint32_t version = atomic_load(&series->version);

		if (version % 2 != 0)
			continue;
		out->key_bytes = series->key_bytes;
		if (out->key_bytes > METRIC_KEY_BYTES)
			continue;
		memcpy(out->key, series->key, out->key_bytes);
		for (unsigned v = 0; v < printer->layout->n_values; v++)
			out->values[v] =
				atomic_load_explicit(&series->values[v], memory_order_relaxed);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load(&series->version) == version)
			return true;
	}
	return false;
}

static int64_t merged(enum metric_merge merge, int64_t a, int64_t b)
{
	switch (merge) {
	case METRIC_MIN:
		return a < b ? a : b;
	case METRIC_MAX:
		return a > b ? a : b;
	case METRIC_SUM:
		break;
	}
	return a + b;
}

static void sum_up(struct printer *printer, const struct sum *part)
{
	struct sum *sum;

	HASH_FIND(hh, printer->sums, part->key, part->key_bytes, sum);
	if (sum == NULL) {
		sum = arena_alloc(printer->arena, sizeof(*sum));
		*sum = *part;
		HASH_ADD_KEYPTR(hh, printer->sums, sum->key, sum->key_bytes, sum);
		return;
	}
	for (unsigned v = 0; v < printer->layout->n_values; v++)
		sum->values[v] = merged(printer->metric->merge, sum->values[v], part->values[v]);
}

static void read_seat(struct printer *printer, size_t seat)
{
	unsigned number = (unsigned)(printer->metric - printer->metrics->table);
	struct metric_area *area = metrics_area(printer->metrics, seat, number);
	bool is_gauge = printer->metric->type == METRIC_GAUGE;
	int state = metrics_seat(printer->metrics, seat)->state;
	uint32_t n;

	if (state == METRIC_SEAT_UNUSED || (is_gauge && state != METRIC_SEAT_LIVE))
		return;
	n = atomic_load_explicit(&area->n, memory_order_acquire);
	for (uint32_t i = 0; i < n; i++) {
		struct metric_series *series = metrics_series(printer->layout, area, i);
		struct sum part = { 0 };

		if (is_gauge && atomic_load_explicit(&series->shown, memory_order_acquire) == 0)
			continue;
		if (series_read(printer, series, &part))
			sum_up(printer, &part);
	}
}

static int by_key(const struct sum *a, const struct sum *b)
{
	size_t n = a->key_bytes < b->key_bytes ? a->key_bytes : b->key_bytes;
	int order = memcmp(a->key, b->key, n);

	if (order != 0)
		return order;
	return a->key_bytes < b->key_bytes ? -1 : a->key_bytes > b->key_bytes;
}

/* Printing. */

static void add_escaped(struct buf *out, struct span text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\n')
			buf_add(out, "\\n");
		else if (c == '\\' || c == '"')
			buf_printf(out, "\\%c", c);
		else
			buf_append(out, &c, 1);
	}
}

/* The part up to a separator; text becomes what follows it. */
static struct span next_part(struct span *text, char separator)
{
	const char *end = text->n > 0 ? memchr(text->p, separator, text->n) : NULL;
	struct span part = { text->p, end != NULL ? (size_t)(end - text->p) : text->n };
	size_t taken = part.n + (end != NULL);

	*text = (struct span){ text->p + taken, text->n - taken };
	return part;
}

/* a="x",b="y"; absent are those with no value. */
static void write_labels(const struct printer *printer, const struct sum *sum, struct buf *out)
{
	struct span names = span_of(printer->metric->labels);
	struct span values = { sum->key, sum->key_bytes };

	buf_clear(out);
	while (names.n > 0) {
		struct span name = next_part(&names, ' ');
		struct span value = next_part(&values, METRIC_KEY_SEPARATOR);

		if (value.n == 0)
			continue;
		if (out->len > 0)
			buf_add(out, ",");
		buf_add_span(out, name);
		buf_add(out, "=\"");
		add_escaped(out, value);
		buf_add(out, "\"");
	}
}

/* The name with the labels behind it; suffix and more may be "". */
static void add_series(const struct printer *printer, const char *suffix, const char *more)
{
	const struct buf *labels = &printer->labels;
	struct buf *out = printer->out;

	buf_add(out, printer->metric->name);
	buf_add(out, suffix);
	if (labels->len == 0 && more[0] == '\0')
		return;
	buf_add(out, "{");
	buf_add_span(out, buf_span(labels));
	if (labels->len > 0 && more[0] != '\0')
		buf_add(out, ",");
	buf_add(out, more);
	buf_add(out, "}");
}

static void add_number(const struct printer *printer, int64_t value)
{
	unsigned divisor = printer->metric->divisor;

	if (divisor <= 1)
		buf_printf(printer->out, " %" PRId64 "\n", value);
	else
		buf_printf(printer->out, " %.9g\n", (double)value / divisor);
}

static void add_histogram(const struct printer *printer, const struct sum *sum)
{
	int64_t count = 0;

	for (unsigned i = 0; i <= METRIC_N_BOUNDS; i++) {
		count += sum->values[i];
		add_series(printer, "_bucket", printer->bounds[i]);
		buf_printf(printer->out, " %" PRId64 "\n", count);
	}
	add_series(printer, "_sum", "");
	add_number(printer, sum->values[METRIC_AT_SUM]);
	add_series(printer, "_count", "");
	buf_printf(printer->out, " %" PRId64 "\n", count);
}

static void add_sum(struct printer *printer, const struct sum *sum)
{
	write_labels(printer, sum, &printer->labels);
	if (printer->metric->type == METRIC_HISTOGRAM) {
		add_histogram(printer, sum);
		return;
	}
	add_series(printer, "", "");
	add_number(printer, sum->values[0]);
}

static void print_metric(struct printer *printer)
{
	const struct metric *metric = printer->metric;

	printer->arena = arena_new();
	for (size_t seat = 0; seat < printer->metrics->n_seats; seat++)
		read_seat(printer, seat);
	HASH_SORT(printer->sums, by_key);
	buf_printf(printer->out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
		   metric->name, type_names[metric->type]);
	for (const struct sum *sum = printer->sums; sum != NULL; sum = sum->hh.next)
		add_sum(printer, sum);
	HASH_CLEAR(hh, printer->sums);
	arena_free(&printer->arena);
}

static void write_bounds(struct printer *printer)
{
	static const int64_t bounds[METRIC_N_BOUNDS] = { METRIC_BOUNDS_US };

	for (unsigned i = 0; i < METRIC_N_BOUNDS; i++)
		snprintf(printer->bounds[i], sizeof(printer->bounds[i]), "le=\"%g\"",
			 (double)bounds[i] / METRIC_SECONDS);
	snprintf(printer->bounds[METRIC_N_BOUNDS], sizeof(printer->bounds[0]), "le=\"+Inf\"");
}

void metrics_print(const struct metrics *metrics, struct buf *out)
{
	struct printer printer = { .metrics = metrics, .out = out };

	write_bounds(&printer);
	buf_init(&printer.labels, MAX_LABELS_BYTES);
	for (size_t i = 0; i < metrics->n_metrics; i++) {
		printer.metric = &metrics->table[i];
		printer.layout = &metrics->layout[i];
		print_metric(&printer);
	}
	buf_fini(&printer.labels);
}
