/* SPDX-License-Identifier: Apache-2.0 */
#include "base/metrics.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"
#include "base/metrics_priv.h"

/* Where a key is found: only its writer asks, so this is not shared. Open addressing with linear
 * probing; at most half full; 0 is empty, else the series' number plus one. */
struct finder {
	uint32_t *at;
	uint32_t mask;
};

struct meter {
	struct metrics *metrics;
	size_t seat;
	struct finder *finders; /* by metric */
};

static size_t aligned(size_t n)
{
	return (n + 63) / 64 * 64;
}

static unsigned label_count(const char *labels)
{
	unsigned n = labels != NULL;

	for (; labels != NULL && *labels != '\0'; labels++)
		n += *labels == ' ';
	return n;
}

static void lay_out(struct metrics *metrics)
{
	size_t offset = aligned(sizeof(struct metric_seat));

	for (size_t i = 0; i < metrics->n_metrics; i++) {
		struct metric_layout *layout = &metrics->layout[i];
		const struct metric *metric = &metrics->table[i];

		layout->offset = offset;
		layout->n_labels = label_count(metric->labels);
		layout->n_values = metric->type == METRIC_HISTOGRAM ? METRIC_N_VALUES : 1;
		layout->series_bytes =
			sizeof(struct metric_series) + layout->n_values * sizeof(int64_t);
		layout->max_series = metric->max_series > 0 ? metric->max_series : 1;
		offset += aligned(sizeof(struct metric_area) +
				  layout->max_series * layout->series_bytes);
	}
	metrics->seat_bytes = offset;
}

struct metrics *metrics_new(const struct metric *table, size_t n_metrics, size_t n_seats)
{
	struct metrics *metrics = mem_new(sizeof(*metrics));

	metrics->table = table;
	metrics->n_metrics = n_metrics;
	metrics->n_seats = n_seats;
	metrics->layout = mem_new_array(n_metrics, sizeof(*metrics->layout));
	lay_out(metrics);
	metrics->memory_bytes = n_seats * metrics->seat_bytes;
	/* Pages come with the first series that needs them. */
	metrics->memory = mmap(NULL, metrics->memory_bytes, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	assert(metrics->memory != MAP_FAILED);
	return metrics;
}

void metrics_free(struct metrics **slot)
{
	struct metrics *metrics = *slot;

	if (metrics == NULL)
		return;
	*slot = NULL;
	munmap(metrics->memory, metrics->memory_bytes);
	free(metrics->layout);
	free(metrics);
}

void metrics_retire(struct metrics *metrics, size_t seat)
{
	assert(seat < metrics->n_seats);
	if (metrics_seat(metrics, seat)->state == METRIC_SEAT_LIVE)
		metrics_seat(metrics, seat)->state = METRIC_SEAT_RETIRED;
}

/* Finding. */

/* Eight bytes at a time, since every call pays for some of these; whatever the order of the bytes,
 * because nothing of it leaves this process. */
static uint32_t key_hash(const char *key, size_t n)
{
	uint64_t hash = n;

	while (n > 0) {
		uint64_t word = 0;
		size_t taken = n < sizeof(word) ? n : sizeof(word);

		memcpy(&word, key, taken);
		hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		hash ^= hash >> 32;
		key += taken;
		n -= taken;
	}
	return (uint32_t)hash;
}

static void finder_add(struct finder *finder, const struct metric_series *series, uint32_t number)
{
	uint32_t at = key_hash(series->key, series->key_bytes) & finder->mask;

	while (finder->at[at] != 0)
		at = (at + 1) & finder->mask;
	finder->at[at] = number + 1;
}

static void finder_fill(struct meter *meter, unsigned metric)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);
	struct finder *finder = &meter->finders[metric];
	uint32_t n = atomic_load_explicit(&area->n, memory_order_relaxed);

	memset(finder->at, 0, ((size_t)finder->mask + 1) * sizeof(*finder->at));
	for (uint32_t i = 0; i < n; i++)
		finder_add(finder, metrics_series(layout, area, i), i);
}

static void finder_init(struct meter *meter, unsigned metric)
{
	struct finder *finder = &meter->finders[metric];
	uint32_t size = 2;

	while (size < 2 * meter->metrics->layout[metric].max_series)
		size *= 2;
	finder->mask = size - 1;
	finder->at = mem_new_array(size, sizeof(*finder->at));
	finder_fill(meter, metric);
}

/* What a writer before left behind counts on, but its gauges say nothing any more. */
static void hide_gauges(struct meter *meter, unsigned metric)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);
	uint32_t n = atomic_load_explicit(&area->n, memory_order_relaxed);

	for (uint32_t i = 0; i < n; i++) {
		struct metric_series *series = metrics_series(layout, area, i);

		atomic_store_explicit(&series->shown, 0, memory_order_relaxed);
		atomic_store_explicit(&series->values[0], 0, memory_order_relaxed);
	}
}

/* Killed while it wrote a key: the number of series did not count it yet, or it was a gauge's. */
static void mend_versions(struct meter *meter, unsigned metric)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);

	for (uint32_t i = 0; i < atomic_load(&area->n); i++) {
		struct metric_series *series = metrics_series(layout, area, i);

		if (atomic_load(&series->version) % 2 != 0)
			atomic_fetch_add(&series->version, 1);
	}
}

struct meter *meter_new(struct metrics *metrics, size_t seat)
{
	struct meter *meter = mem_new(sizeof(*meter));

	assert(seat < metrics->n_seats);
	meter->metrics = metrics;
	meter->seat = seat;
	meter->finders = mem_new_array(metrics->n_metrics, sizeof(*meter->finders));
	for (unsigned i = 0; i < metrics->n_metrics; i++) {
		if (metrics->table[i].type == METRIC_GAUGE) {
			mend_versions(meter, i);
			hide_gauges(meter, i);
		}
		finder_init(meter, i);
	}
	metrics_seat(metrics, seat)->state = METRIC_SEAT_LIVE;
	return meter;
}

void meter_free(struct meter **slot)
{
	struct meter *meter = *slot;

	if (meter == NULL)
		return;
	*slot = NULL;
	for (size_t i = 0; i < meter->metrics->n_metrics; i++)
		free(meter->finders[i].at);
	free(meter->finders);
	free(meter);
}

/* Writing. */

struct key {
	char bytes[METRIC_KEY_BYTES];
	size_t n;
};

static void key_other(unsigned n_labels, struct key *key)
{
	key->n = 0;
	for (unsigned i = 0; i < n_labels; i++) {
		if (i > 0)
			key->bytes[key->n++] = METRIC_KEY_SEPARATOR;
		memcpy(key->bytes + key->n, METRIC_OTHER, sizeof(METRIC_OTHER) - 1);
		key->n += sizeof(METRIC_OTHER) - 1;
	}
}

/* False if it is too long. */
static bool key_make(unsigned n_labels, const char *const *values, struct key *key)
{
	assert(n_labels <= METRIC_MAX_LABELS && (n_labels == 0) == (values == NULL));
	key->n = 0;
	for (unsigned i = 0; i < n_labels; i++) {
		size_t n = strlen(values[i]);
		char *separator;

		if (key->n + n + 1 > METRIC_KEY_BYTES)
			return false;
		if (i > 0)
			key->bytes[key->n++] = METRIC_KEY_SEPARATOR;
		memcpy(key->bytes + key->n, values[i], n);
		while ((separator = memchr(key->bytes + key->n, METRIC_KEY_SEPARATOR, n)) != NULL)
			*separator = '?';
		key->n += n;
	}
	return true;
}

static struct metric_series *series_find(struct meter *meter, unsigned metric,
					 const struct key *key)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);
	const struct finder *finder = &meter->finders[metric];

	for (uint32_t at = key_hash(key->bytes, key->n) & finder->mask; finder->at[at] != 0;
	     at = (at + 1) & finder->mask) {
		struct metric_series *series = metrics_series(layout, area, finder->at[at] - 1);

		if (series->key_bytes == key->n && memcmp(series->key, key->bytes, key->n) == 0)
			return series;
	}
	return NULL;
}

static void key_write(struct metric_series *series, const struct key *key)
{
	atomic_fetch_add(&series->version, 1);
	memcpy(series->key, key->bytes, key->n);
	series->key_bytes = (uint32_t)key->n;
	atomic_fetch_add(&series->version, 1);
}

static struct metric_series *series_append(struct meter *meter, unsigned metric,
					   const struct key *key)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);
	uint32_t n = atomic_load_explicit(&area->n, memory_order_relaxed);
	struct metric_series *series = metrics_series(layout, area, n);

	/* One killed while it appended may have left values and an odd version. */
	memset(series, 0, layout->series_bytes);
	key_write(series, key);
	atomic_store_explicit(&area->n, n + 1, memory_order_release);
	finder_add(&meter->finders[metric], series, n);
	return series;
}

/* The place of a gauge that ended. */
static struct metric_series *series_reuse(struct meter *meter, unsigned metric,
					  const struct key *key)
{
	const struct metric_layout *layout = &meter->metrics->layout[metric];
	struct metric_area *area = metrics_area(meter->metrics, meter->seat, metric);

	for (uint32_t i = 0; i < atomic_load_explicit(&area->n, memory_order_relaxed); i++) {
		struct metric_series *series = metrics_series(layout, area, i);

		if (atomic_load_explicit(&series->shown, memory_order_relaxed) != 0)
			continue;
		key_write(series, key);
		atomic_store_explicit(&series->values[0], 0, memory_order_relaxed);
		finder_fill(meter, metric);
		return series;
	}
	return NULL;
}

/* The last place is for all that have none: METRIC_OTHER, which gauges do not have. */
static struct metric_series *series_add(struct meter *meter, unsigned metric, struct key *key)
{
	const struct metric *what = &meter->metrics->table[metric];
	unsigned max = meter->metrics->layout[metric].max_series;
	uint32_t n = atomic_load_explicit(&metrics_area(meter->metrics, meter->seat, metric)->n,
					  memory_order_relaxed);
	struct metric_series *other;

	if (what->type == METRIC_GAUGE)
		return n < max ? series_append(meter, metric, key)
			       : series_reuse(meter, metric, key);
	if (what->labels == NULL || n + 1 < max)
		return series_append(meter, metric, key);
	key_other(meter->metrics->layout[metric].n_labels, key);
	other = series_find(meter, metric, key);
	return other != NULL ? other : series_append(meter, metric, key);
}

static struct metric_series *series_of(struct meter *meter, unsigned metric, enum metric_type type,
				       const char *const *values)
{
	struct metric_series *series;
	unsigned n_labels;
	struct key key;

	if (meter == NULL)
		return NULL;
	assert(metric < meter->metrics->n_metrics);
	assert(meter->metrics->table[metric].type == type);
	n_labels = meter->metrics->layout[metric].n_labels;
	if (!key_make(n_labels, values, &key)) {
		if (type == METRIC_GAUGE)
			return NULL;
		key_other(n_labels, &key);
	}
	series = series_find(meter, metric, &key);
	return series != NULL ? series : series_add(meter, metric, &key);
}

/* Nobody else writes: no need for an operation that is one. */
static void value_add(_Atomic int64_t *value, int64_t n)
{
	atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n,
			      memory_order_relaxed);
}

void meter_count(struct meter *meter, unsigned metric, const char *const *values, uint64_t n)
{
	struct metric_series *series = series_of(meter, metric, METRIC_COUNTER, values);

	if (series != NULL)
		value_add(&series->values[0], (int64_t)n);
}

static void show(struct metric_series *series)
{
	atomic_store_explicit(&series->shown, 1, memory_order_release);
}

void meter_gauge(struct meter *meter, unsigned metric, const char *const *values, int64_t value)
{
	struct metric_series *series = series_of(meter, metric, METRIC_GAUGE, values);

	if (series == NULL)
		return;
	atomic_store_explicit(&series->values[0], value, memory_order_relaxed);
	show(series);
}

void meter_gauge_add(struct meter *meter, unsigned metric, const char *const *values, int64_t n)
{
	struct metric_series *series = series_of(meter, metric, METRIC_GAUGE, values);

	if (series == NULL)
		return;
	value_add(&series->values[0], n);
	show(series);
}

void meter_gauge_end(struct meter *meter, unsigned metric, const char *const *values)
{
	struct metric_series *series;
	struct key key;

	if (meter == NULL || !key_make(meter->metrics->layout[metric].n_labels, values, &key))
		return;
	series = series_find(meter, metric, &key);
	if (series != NULL)
		atomic_store_explicit(&series->shown, 0, memory_order_relaxed);
}

void meter_observe(struct meter *meter, unsigned metric, const char *const *values, int64_t us)
{
	static const int64_t bounds[METRIC_N_BOUNDS] = { METRIC_BOUNDS_US };
	struct metric_series *series = series_of(meter, metric, METRIC_HISTOGRAM, values);
	unsigned at = 0;

	if (series == NULL)
		return;
	while (at < METRIC_N_BOUNDS && us > bounds[at])
		at++;
	value_add(&series->values[at], 1);
	value_add(&series->values[METRIC_AT_SUM], us > 0 ? us : 0);
}
