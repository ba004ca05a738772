/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/book.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "audit/drain.h"
#include "audit/event.h"
#include "audit/ledger.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"

struct book {
	struct loop *loop;
	struct ledger *ledger;
	struct drain *drain;
	char *node_id;
	struct buf record;
	struct book_flush *flushes;
	uint8_t seed[ED25519_SEED_BYTES];
	bool signs;
	struct timer epoch; /* runs while the epoch has links and somebody can sign */
	void (*anchored)(void *ctx, const struct chain_anchor *anchor);
	void *ctx;
};

static const struct log_subject subject = { .component = "book" };

/* Anchoring. */

static void on_epoch_over(void *ctx);

static void anchor(struct book *book)
{
	struct err err;

	timer_stop(&book->epoch);
	if (!book->signs || ledger_epoch_links(book->ledger) == 0)
		return;
	if (ledger_anchor(book->ledger, book->seed, &err) == 0) {
		drain_poke(book->drain);
		return;
	}
	log_warn(&subject, "no anchor can be made: %s", err.text);
	timer_start(book->loop, &book->epoch, BOOK_EPOCH_MS, on_epoch_over, book);
}

static void on_epoch_over(void *ctx)
{
	anchor(ctx);
}

/* The chain may have got a link. */
static void tend_epoch(struct book *book)
{
	uint64_t n = book->signs ? ledger_epoch_links(book->ledger) : 0;

	if (n > 0 && book->epoch.loop == NULL)
		timer_start(book->loop, &book->epoch, BOOK_EPOCH_MS, on_epoch_over, book);
	/* On the dot: where that fails, the timer comes. */
	if (n == BOOK_EPOCH_LINKS)
		anchor(book);
}

void book_set_signer(struct book *book, const uint8_t *seed)
{
	book->signs = seed != NULL;
	if (seed != NULL)
		memcpy(book->seed, seed, sizeof(book->seed));
	else
		mem_wipe(book->seed, sizeof(book->seed));
	drain_set_signer(book->drain, seed != NULL ? book->seed : NULL);
	if (seed == NULL)
		timer_stop(&book->epoch);
	tend_epoch(book);
}

static void on_anchored(void *ctx, const struct chain_anchor *one)
{
	struct book *book = ctx;

	if (book->anchored != NULL)
		book->anchored(book->ctx, one);
}

/* Flushing. */

struct book_flush {
	struct book *book;
	struct book_flush **slot;
	struct timer timeout;
	struct deferred ended;
	void (*done)(void *ctx);
	void *ctx;
	struct book_flush *prev, *next;
};

static void flush_free(struct book *book, struct book_flush *flush)
{
	*flush->slot = NULL;
	timer_stop(&flush->timeout);
	deferred_cancel(&flush->ended);
	DL_DELETE(book->flushes, flush);
	free(flush);
}

static void on_flush_ended(void *ctx)
{
	struct book_flush *flush = ctx;
	struct book_flush was = *flush;

	flush_free(was.book, flush);
	was.done(was.ctx);
}

/* Later, because done may close the book. */
static void on_empty(void *ctx)
{
	struct book *book = ctx;
	struct book_flush *flush;

	tend_epoch(book); /* rows that were done made room for ends, which are links */

	DL_FOREACH(book->flushes, flush)
	{
		if (flush->ended.loop == NULL)
			loop_defer(book->loop, &flush->ended, on_flush_ended, flush);
	}
}

void book_flush_start(struct book *book, struct book_flush **slot, int64_t timeout_ms,
		      void (*done)(void *ctx), void *ctx)
{
	struct book_flush *flush = mem_new(sizeof(*flush));

	assert(*slot == NULL);
	*flush = (struct book_flush){ .book = book, .slot = slot, .done = done, .ctx = ctx };
	*slot = flush;
	DL_APPEND(book->flushes, flush);
	timer_start(book->loop, &flush->timeout, timeout_ms, on_flush_ended, flush);
	anchor(book);
	if (book_backlog(book) == 0)
		on_empty(book);
	else
		drain_hurry(book->drain);
}

void book_flush_cancel(struct book_flush **slot)
{
	if (*slot != NULL)
		flush_free((*slot)->book, *slot);
}

/* The life of a book. */

/* There may be new rows, and links. */
static void grow(struct book *book)
{
	drain_poke(book->drain);
	tend_epoch(book);
}

static void on_grown(void *ctx)
{
	grow(ctx);
}

struct book *book_open(const struct book_params *params, struct err *err)
{
	struct book *book = mem_new(sizeof(*book));

	book->loop = params->loop;
	book->anchored = params->anchored;
	book->ctx = params->ctx;
	book->ledger = ledger_open(
		&(struct ledger_params){
			.loop = params->loop,
			.dir = params->spool_dir,
			.max_bytes = params->spool_max_bytes,
			.min_free_bytes = params->spool_min_free_bytes,
			.fsync = params->fsync,
			.anchored = on_anchored,
			.grown = on_grown,
			.ctx = book,
		},
		err);
	if (book->ledger == NULL) {
		free(book);
		return NULL;
	}
	book->node_id = params->node_id != NULL ? mem_strdup(params->node_id) : NULL;
	buf_init(&book->record, EVENT_MAX_BYTES);
	book->drain = drain_new(&(struct drain_params){
		.loop = params->loop,
		.db = params->db,
		.ledger = book->ledger,
		.empty = on_empty,
		.ctx = book,
	});
	return book;
}

void book_close(struct book **slot)
{
	struct book *book = *slot;

	if (book == NULL)
		return;
	*slot = NULL;
	while (book->flushes != NULL)
		flush_free(book, book->flushes);
	anchor(book);
	timer_stop(&book->epoch);
	drain_free(&book->drain);
	ledger_close(&book->ledger);
	buf_wipe(&book->record);
	free(book->node_id);
	mem_wipe(book->seed, sizeof(book->seed));
	free(book);
}

/* Recording. */

struct waiter {
	struct spool_wait *wait;
	void (*durable)(void *ctx, const struct err *err);
	void *ctx;
};

static int append(struct book *book, const struct event_source *source, const struct waiter *waiter,
		  struct err *err)
{
	int ret;

	buf_clear(&book->record);
	event_encode(source, &book->record);
	ret = ledger_append(book->ledger, source->type, buf_span(&book->record), waiter->wait,
			    waiter->durable, waiter->ctx, err);
	if (ret == 0)
		grow(book);
	return ret;
}

int book_intent(struct book *book, const struct book_call *call, struct spool_wait *wait,
		void (*durable)(void *ctx, const struct err *err), void *ctx, struct err *err)
{
	return append(book,
		      &(struct event_source){
			      .type = EVENT_INTENT, .call = call, .node_id = book->node_id },
		      &(struct waiter){ wait, durable, ctx }, err);
}

int book_outcome(struct book *book, const struct book_call *call, const struct book_result *result,
		 struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		 void *ctx, struct err *err)
{
	return append(
		book,
		&(struct event_source){ .type = EVENT_OUTCOME, .call = call, .result = result },
		&(struct waiter){ wait, durable, ctx }, err);
}

void book_abandon(struct book *book, const struct book_call *call)
{
	buf_clear(&book->record);
	event_encode(&(struct event_source){ .type = EVENT_INTENT, .call = call }, &book->record);
	ledger_abandon(book->ledger, buf_span(&book->record));
	drain_poke(book->drain);
}

int book_entry(struct book *book, const struct book_call *call, const struct book_result *result,
	       struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
	       void *ctx, struct err *err)
{
	return append(book,
		      &(struct event_source){ .type = EVENT_ENTRY,
					      .call = call,
					      .result = result,
					      .node_id = book->node_id },
		      &(struct waiter){ wait, durable, ctx }, err);
}

int book_append_record(struct book *book, uint8_t type, struct span record, struct spool_wait *wait,
		       void (*durable)(void *ctx, const struct err *err), void *ctx,
		       struct err *err)
{
	const struct kind *kind = kind_find(type);
	size_t max_bytes;
	int ret;

	assert(kind != NULL && kind != &kind_calls);
	max_bytes = kind->max_bytes - (kind->add_link != NULL ? CHAIN_LINK_BYTES : 0);
	if (record.n > max_bytes)
		return err_set(err, ERR_TOO_LARGE, "a record of %zu bytes, at most %zu for %s",
			       record.n, max_bytes, kind->name);
	ret = ledger_append(book->ledger, (enum event_type)type, record, wait, durable, ctx, err);
	if (ret == 0)
		grow(book);
	return ret;
}

uint64_t book_backlog(const struct book *book)
{
	return ledger_n_ready(book->ledger);
}

uint64_t book_lost(const struct book *book)
{
	return drain_n_lost(book->drain) + ledger_n_unreadable(book->ledger);
}

enum book_room book_room(struct book *book)
{
	enum book_room room = ledger_room(book->ledger);

	grow(book); /* by the ends of what was abandoned */
	return room;
}

void book_stats(struct book *book, struct book_stats *out)
{
	struct ledger_stats ledger;

	ledger_stats(book->ledger, &ledger);
	*out = (struct book_stats){
		.backlog = book_backlog(book),
		.oldest_ms = ledger.oldest_ms,
		.written = drain_n_written(book->drain),
		.lost = book_lost(book),
		.bytes_on_disk = ledger.bytes_on_disk,
		.room = ledger_room(book->ledger),
	};
}
