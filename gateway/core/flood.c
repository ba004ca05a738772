/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/flood.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "base/mem.h"

/* One source in its window. */
struct entry {
	char tenant[UUID_TEXT_BYTES];	 /* "": none */
	char source[FLOOD_SOURCE_BYTES]; /* "": nobody's */
	unsigned kind;
	int64_t ends_ms; /* of the window */
	uint64_t n_own;
	uint64_t n_merged;
	void *first; /* first_bytes; NULL until something was merged */
};

struct flood {
	struct flood_params params;
	struct timer timer; /* runs while something is merged */
	int64_t ends_ms;    /* of the window of total_per_window */
	uint64_t n_total;
	uint64_t n_pending;
	uint64_t seed; /* where a source stands is nobody's to choose */
	struct entry entries[FLOOD_SOURCES];
	struct entry shared[FLOOD_KINDS]; /* by those of no tenant */
	struct entry lent[FLOOD_KINDS];	  /* to one tenant at a time */
};

struct flood *flood_new(const struct flood_params *params)
{
	struct flood *flood = mem_new(sizeof(*flood));

	flood->params = *params;
	crypto_random(&flood->seed, sizeof(flood->seed));
	return flood;
}

void flood_free(struct flood **slot)
{
	struct flood *flood = *slot;

	if (flood == NULL)
		return;
	*slot = NULL;
	timer_stop(&flood->timer);
	for (size_t i = 0; i < FLOOD_SOURCES; i++)
		free(flood->entries[i].first);
	for (size_t i = 0; i < FLOOD_KINDS; i++)
		free(flood->shared[i].first);
	for (size_t i = 0; i < FLOOD_KINDS; i++)
		free(flood->lent[i].first);
	free(flood);
}

/* FNV-1a. */
static size_t place_of(const struct flood *flood, const char *source, unsigned kind)
{
	uint64_t hash = flood->seed ^ kind;

	for (; *source != '\0'; source++)
		hash = (hash ^ (uint8_t)*source) * UINT64_C(1099511628211);
	return (size_t)(hash ^ hash >> 32) % FLOOD_SOURCES;
}

static bool is_over(const struct entry *entry, int64_t now_ms)
{
	return entry->n_merged == 0 && entry->ends_ms <= now_ms;
}

/* NULL: another tenant has it. */
static struct entry *find_shared(struct flood *flood, const char *tenant, unsigned kind,
				 int64_t now_ms)
{
	struct entry *entry = &flood->lent[kind];

	if (tenant[0] == '\0')
		return &flood->shared[kind];
	if (strcmp(entry->tenant, tenant) == 0)
		return entry;
	if (!is_over(entry, now_ms))
		return NULL;
	snprintf(entry->tenant, sizeof(entry->tenant), "%s", tenant);
	return entry;
}

/* Its place, or one that nobody needs any more. */
static struct entry *find(struct flood *flood, const char *tenant, const char *source,
			  unsigned kind, int64_t now_ms)
{
	size_t at = place_of(flood, source, kind);
	struct entry *room = NULL;

	for (size_t i = 0; i < FLOOD_PROBES; i++) {
		struct entry *entry = &flood->entries[(at + i) % FLOOD_SOURCES];

		if (entry->kind == kind && strcmp(entry->source, source) == 0 &&
		    strcmp(entry->tenant, tenant) == 0)
			return entry;
		if (room == NULL && is_over(entry, now_ms))
			room = entry;
	}
	if (room == NULL)
		return find_shared(flood, tenant, kind, now_ms);
	room->kind = kind;
	room->ends_ms = 0;
	snprintf(room->source, sizeof(room->source), "%s", source);
	snprintf(room->tenant, sizeof(room->tenant), "%s", tenant);
	return room;
}

static void flush_entry(struct flood *flood, struct entry *entry)
{
	uint64_t n = entry->n_merged;

	if (n == 0 || !flood->params.write(flood->params.ctx, entry->first, n))
		return;
	entry->n_merged = 0;
	flood->n_pending -= n;
	memset(entry->first, 0, flood->params.first_bytes);
}

static void on_window_over(void *ctx)
{
	struct flood *flood = ctx;

	if (!flood_flush(flood))
		timer_start(flood->params.loop, &flood->timer, FLOOD_WINDOW_MS, on_window_over,
			    flood);
}

/* True if it still has a record of its own. */
static bool is_own(struct flood *flood, struct entry *entry, int64_t now_ms)
{
	if (flood->ends_ms <= now_ms) {
		flood->ends_ms = now_ms + FLOOD_WINDOW_MS;
		flood->n_total = 0;
	}
	if (entry->ends_ms <= now_ms) {
		entry->ends_ms = now_ms + FLOOD_WINDOW_MS;
		entry->n_own = 0;
	}
	if (entry->n_own >= flood->params.own_per_window ||
	    flood->n_total >= flood->params.total_per_window)
		return false;
	entry->n_own++;
	flood->n_total++;
	return true;
}

struct flood_verdict flood_note(struct flood *flood, const char *tenant, const char *source,
				unsigned kind)
{
	char cut[FLOOD_SOURCE_BYTES];
	int64_t now_ms = loop_now_ms(flood->params.loop);
	struct entry *entry;

	assert(kind < FLOOD_KINDS);
	snprintf(cut, sizeof(cut), "%s", source[0] != '\0' ? source : "?");
	entry = find(flood, tenant != NULL ? tenant : "", cut, kind, now_ms);
	if (entry == NULL || is_own(flood, entry, now_ms))
		return (struct flood_verdict){ .merged = false };
	if (entry->first == NULL)
		entry->first = mem_new(flood->params.first_bytes);
	if (flood->n_pending == 0)
		timer_start(flood->params.loop, &flood->timer, FLOOD_WINDOW_MS, on_window_over,
			    flood);
	flood->n_pending++;
	entry->n_merged++;
	return (struct flood_verdict){ true, entry->first, entry->n_merged == 1 };
}

bool flood_flush(struct flood *flood)
{
	for (size_t i = 0; i < FLOOD_SOURCES; i++)
		flush_entry(flood, &flood->entries[i]);
	for (size_t i = 0; i < FLOOD_KINDS; i++)
		flush_entry(flood, &flood->shared[i]);
	for (size_t i = 0; i < FLOOD_KINDS; i++)
		flush_entry(flood, &flood->lent[i]);
	if (flood->n_pending == 0)
		timer_stop(&flood->timer);
	return flood->n_pending == 0;
}

uint64_t flood_pending(const struct flood *flood)
{
	return flood->n_pending;
}
