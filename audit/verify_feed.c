/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/verify_feed.h"

#include <stdlib.h>
#include <string.h>

#include "audit/event.h"
#include "audit/verify_read.h"
#include "audit/verify_run.h"
#include "base/mem.h"

/* What was fetched and not yet used. */
struct page {
	size_t at, n;
	bool over; /* there is no other one */
	int64_t behind;
};

struct verify_feed {
	struct verify_feed_params params;
	struct verify_chain chain;
	bool anchors_over;
	bool ends_early; /* the last epoch that was asked for is the one at hand, or was */
	int64_t anchored_us;
	int64_t oldest_us;
	struct page anchor_page, call_page, seal_page;
	struct chain_anchor *anchors;
	struct verify_link *calls, *seals;
	struct verify_call *found;    /* with the calls */
	struct verify_events *events; /* with the seals */
	struct buf scratch;	      /* a canonical row */
};

struct verify_feed *verify_feed_new(const struct verify_feed_params *params)
{
	struct verify_feed *feed = mem_new(sizeof(*feed));

	feed->params = *params;
	feed->anchors = mem_new_array(params->page_rows, sizeof(*feed->anchors));
	feed->calls = mem_new_array(params->page_rows, sizeof(*feed->calls));
	feed->seals = mem_new_array(params->page_rows, sizeof(*feed->seals));
	feed->found = mem_new_array(params->page_rows, sizeof(*feed->found));
	feed->events = mem_new_array(params->page_rows, sizeof(*feed->events));
	buf_init(&feed->scratch, EVENT_MAX_BYTES);
	return feed;
}

void verify_feed_free(struct verify_feed **slot)
{
	struct verify_feed *feed = *slot;

	if (feed == NULL)
		return;
	*slot = NULL;
	free(feed->anchors);
	free(feed->calls);
	free(feed->seals);
	free(feed->found);
	free(feed->events);
	buf_fini(&feed->scratch);
	free(feed);
}

void verify_feed_open(struct verify_feed *feed, const uint8_t id[CHAIN_ID_BYTES],
		      const uint8_t *public_key, const struct verify_range *ranges, size_t n_ranges)
{
	feed->chain = (struct verify_chain){
		.public_key = public_key,
		.report = feed->params.report,
		.judged = feed->params.judged,
		.ctx = feed->params.ctx,
		.ranges = ranges,
		.n_ranges = n_ranges,
		.late_before_us = feed->params.late_before_us,
		.late_after_us = feed->params.late_after_us,
	};
	memcpy(feed->chain.id, id, CHAIN_ID_BYTES);
	feed->anchor_page = (struct page){ .behind = 0 };
	feed->call_page = feed->seal_page = (struct page){ .behind = INT64_MIN };
	feed->anchors_over = feed->ends_early = false;
	feed->anchored_us = 0;
	feed->oldest_us = INT64_MAX;
	verify_chain_begin(&feed->chain, NULL);
}

static void note_time(struct verify_feed *feed, int64_t unix_us)
{
	if (unix_us < feed->oldest_us)
		feed->oldest_us = unix_us;
}

void verify_feed_skip(struct verify_feed *feed, const struct chain_anchor *after)
{
	verify_chain_begin(&feed->chain, after);
	feed->call_page.behind = feed->seal_page.behind = (int64_t)after->last_seq;
	feed->anchor_page.behind = (int64_t)after->epoch + 1;
	feed->anchored_us = after->anchored_us;
	if (feed->chain.has_before)
		note_time(feed, after->anchored_us);
}

/* --- pages ----------------------------------------------------------------------------------- */

static const struct page *page_of(const struct verify_feed *feed, enum feed_want want)
{
	return want == FEED_ANCHORS ? &feed->anchor_page
	       : want == FEED_CALLS ? &feed->call_page
				    : &feed->seal_page;
}

int64_t verify_feed_behind(const struct verify_feed *feed, enum feed_want want)
{
	return page_of(feed, want)->behind;
}

static bool page_is_due(const struct page *page)
{
	return page->at == page->n && !page->over;
}

void verify_feed_anchors(struct verify_feed *feed, const struct db_result *rows)
{
	struct page *page = &feed->anchor_page;

	page->at = 0;
	page->n = db_rows(rows);
	page->over = page->n < feed->params.page_rows;
	if (page->n > 0)
		page->behind = db_int(rows, page->n - 1, "epoch") + 1;
	for (size_t i = 0; i < page->n; i++) {
		/* One that cannot be read is none of ours: its signature says so. */
		if (!verify_read_anchor(rows, i, &feed->anchors[i]))
			memset(feed->anchors[i].signature, 0, sizeof(feed->anchors[i].signature));
		memcpy(feed->anchors[i].id, feed->chain.id, CHAIN_ID_BYTES);
	}
}

/* Of a page that is full, the last place may go on behind it: it is left to the next one, unless it
 * fills all of this. */
static void page_filled(struct page *page, const struct verify_link *links, size_t full)
{
	uint64_t last;

	page->at = 0;
	page->over = page->n < full;
	if (page->n == 0)
		return;
	last = links[page->n - 1].record.first;
	while (!page->over && links[0].record.first != last &&
	       links[page->n - 1].record.first == last)
		page->n--;
	page->behind = (int64_t)links[page->n - 1].record.first;
}

static void note_call(struct verify_feed *feed, const struct verify_link *link,
		      const struct verify_call *call)
{
	if (call->ended)
		note_time(feed, link->record.started_us);
	if (call->payload_altered)
		feed->params.report(feed->params.ctx, VERIFY_PAYLOAD_ALTERED, &link->record);
	if (call->payload_missing)
		feed->params.report(feed->params.ctx, VERIFY_PAYLOAD_MISSING, &link->record);
}

void verify_feed_calls(struct verify_feed *feed, const struct db_result *rows)
{
	struct page *page = &feed->call_page;

	page->n = db_rows(rows);
	for (size_t i = 0; i < page->n; i++)
		verify_read_call(rows, i, &feed->scratch, &feed->calls[i], &feed->found[i]);
	page_filled(page, feed->calls, feed->params.page_rows);
	for (size_t i = 0; i < page->n; i++)
		note_call(feed, &feed->calls[i], &feed->found[i]);
}

void verify_feed_event_seals(struct verify_feed *feed, const struct db_result *rows)
{
	struct page *page = &feed->seal_page;

	page->n = db_rows(rows);
	for (size_t i = 0; i < page->n; i++)
		verify_read_event_seal(rows, i, &feed->scratch, &feed->seals[i], &feed->events[i]);
	page_filled(page, feed->seals, feed->params.page_rows);
	for (size_t i = 0; i < page->n; i++) {
		feed->params.totals->event_seals++;
		feed->params.totals->events += feed->events[i].n;
		if (!feed->events[i].good)
			feed->params.report(feed->params.ctx, VERIFY_EVENTS_ALTERED,
					    &feed->events[i].record);
	}
}

/* --- anchors, of the table and of the second sink -------------------------------------------- */

static void report_anchor(struct verify_feed *feed, enum verify_problem problem,
			  const struct chain_anchor *anchor)
{
	struct verify_record record = verify_anchor_record(anchor);

	feed->params.report(feed->params.ctx, problem, &record);
}

static bool is_same(const struct chain_anchor *a, const struct chain_anchor *b)
{
	return a->epoch == b->epoch && a->first_seq == b->first_seq && a->last_seq == b->last_seq &&
	       a->anchored_us == b->anchored_us && memcmp(a->id, b->id, sizeof(a->id)) == 0 &&
	       memcmp(a->last_mac, b->last_mac, sizeof(a->last_mac)) == 0 &&
	       memcmp(a->mac_key, b->mac_key, sizeof(a->mac_key)) == 0 &&
	       memcmp(a->signature, b->signature, sizeof(a->signature)) == 0;
}

/* The anchors of an epoch in the second sink that our key has signed; a gateway that died in the
 * middle may have left two. False: there is none. same: *anchor is one of them, else it becomes the
 * last of them. */
static bool find_in_files(const struct verify_feed *feed, uint64_t epoch,
			  struct chain_anchor *anchor, bool *same)
{
	struct chain_anchor filed, found;
	bool has = false;

	*same = false;
	for (size_t i = 0;
	     !*same && anchor_files_find(feed->params.files, feed->chain.id, epoch, i, &filed);
	     i++) {
		if (!chain_anchor_verify(&filed, feed->chain.public_key))
			continue;
		has = true;
		found = filed;
		*same = is_same(&filed, anchor);
	}
	if (has && !*same)
		*anchor = found;
	return has;
}

/* An anchor of the table, compared. The one that is ours stands in *anchor afterwards. */
static void compare_with_files(struct verify_feed *feed, struct chain_anchor *anchor)
{
	struct chain_anchor filed = *anchor;
	bool same;

	if (feed->params.files == NULL)
		return;
	if (!find_in_files(feed, anchor->epoch, &filed, &same)) {
		feed->params.totals->not_in_files++;
		return;
	}
	if (same)
		return;
	if (chain_anchor_verify(anchor, feed->chain.public_key)) {
		report_anchor(feed, VERIFY_ANCHOR_DIFFERS, anchor);
		return;
	}
	report_anchor(feed, VERIFY_ANCHOR_ALTERED, anchor);
	*anchor = filed;
}

/* An epoch that the second sink has and the table has not. */
static bool take_from_files(struct verify_feed *feed, const struct chain_anchor *next,
			    struct chain_anchor *out)
{
	uint64_t epoch = feed->chain.want_epoch;
	bool same;

	if (feed->params.files == NULL)
		return false;
	*out = (struct chain_anchor){ .epoch = 0 };
	for (; anchor_files_next(feed->params.files, feed->chain.id, epoch, &epoch); epoch++) {
		if (next != NULL && epoch >= next->epoch)
			return false;
		if (find_in_files(feed, epoch, out, &same))
			break;
	}
	if (out->epoch != epoch || out->first_seq == 0)
		return false;
	if (out->anchored_us > feed->params.now_us - VERIFY_ANCHOR_GRACE_US)
		feed->params.totals->pending_anchors++;
	else
		report_anchor(feed, VERIFY_ANCHOR_MISSING, out);
	return true;
}

static void take_anchor(struct verify_feed *feed, const struct chain_anchor *anchor)
{
	verify_chain_anchor(&feed->chain, anchor);
	if (!feed->chain.has_epoch)
		return;
	feed->anchored_us = anchor->anchored_us;
	note_time(feed, anchor->anchored_us);
	if (anchor->anchored_us >= feed->params.to_us && anchor->last_seq >= feed->params.last_seq)
		feed->anchors_over = feed->ends_early = true;
}

static void next_anchor(struct verify_feed *feed)
{
	struct page *page = &feed->anchor_page;
	const struct chain_anchor *next = page->at < page->n ? &feed->anchors[page->at] : NULL;
	struct chain_anchor anchor;

	if (next != NULL && next->epoch == feed->chain.want_epoch) {
		anchor = *next;
		page->at++;
		compare_with_files(feed, &anchor);
		take_anchor(feed, &anchor);
	} else if (take_from_files(feed, next, &anchor)) {
		take_anchor(feed, &anchor);
	} else if (next != NULL) {
		page->at++;
		take_anchor(feed, next);
	} else {
		feed->anchors_over = true;
	}
}

/* --- feeding --------------------------------------------------------------------------------- */

/* The next link of both pages; *page becomes the one that it is of. */
static const struct verify_link *peek(struct verify_feed *feed, struct page **page)
{
	const struct verify_link *call = NULL, *seal = NULL;

	if (feed->call_page.at < feed->call_page.n)
		call = &feed->calls[feed->call_page.at];
	if (feed->seal_page.at < feed->seal_page.n)
		seal = &feed->seals[feed->seal_page.at];
	if (seal == NULL || (call != NULL && call->record.first <= seal->record.first)) {
		*page = &feed->call_page;
		return call;
	}
	*page = &feed->seal_page;
	return seal;
}

/* What says that it stands nowhere is not for the chain to judge. */
static void feed_link(struct verify_feed *feed, const struct verify_link *link)
{
	if (link->record.first == 0)
		feed->params.report(feed->params.ctx, VERIFY_ALTERED, &link->record);
	else
		verify_chain_link(&feed->chain, link);
}

/* Behind the last anchor that was asked for, nothing is; before it, an epoch may end. False: the
 * chain has ended. */
static bool feed_next(struct verify_feed *feed)
{
	struct page *page;
	const struct verify_link *link = peek(feed, &page);
	bool held = link != NULL && verify_chain_holds(&feed->chain, link->record.first);

	if (link != NULL &&
	    (held || (feed->anchors_over && !feed->chain.has_epoch && !feed->ends_early))) {
		if (!held && feed->params.by_seq && link->record.first > feed->params.last_seq)
			return false;
		feed_link(feed, link);
		page->at++;
		return true;
	}
	if (!feed->chain.has_epoch)
		return false;
	verify_chain_epoch_end(&feed->chain);
	return true;
}

enum feed_want verify_feed_run(struct verify_feed *feed)
{
	for (;;) {
		if (!feed->chain.has_epoch && !feed->anchors_over) {
			if (page_is_due(&feed->anchor_page))
				return FEED_ANCHORS;
			next_anchor(feed);
		} else if (page_is_due(&feed->call_page)) {
			return FEED_CALLS;
		} else if (page_is_due(&feed->seal_page)) {
			return FEED_EVENT_SEALS;
		} else if (!feed_next(feed)) {
			break;
		}
	}
	/* What went with partitions behind the end that was asked for is no matter. */
	if (feed->ends_early || feed->params.by_seq)
		verify_chain_epoch_end(&feed->chain);
	else
		verify_chain_end(&feed->chain);
	return FEED_NOTHING;
}

const struct verify_chain *verify_feed_chain(const struct verify_feed *feed)
{
	return &feed->chain;
}

int64_t verify_feed_anchored_us(const struct verify_feed *feed)
{
	return feed->anchored_us;
}

int64_t verify_feed_oldest_us(const struct verify_feed *feed)
{
	return feed->oldest_us;
}
