/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/book.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "audit/drain.h"
#include "audit/event.h"
#include "audit/ledger.h"
#include "base/mem.h"

struct book {
	struct loop *loop;
	struct ledger *ledger;
	struct drain *drain;
	char *node_id;
	struct buf record;
	struct book_flush *flushes;
};

struct book_flush {
	struct book *book;
	struct book_flush **slot;
	struct timer timeout;
	struct deferred ended;
	void (*done)(void *ctx);
	void *ctx;
	struct book_flush *prev, *next;
};

/* Flushing. */

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

struct book *book_open(const struct book_params *params, struct err *err)
{
	struct book *book = mem_new(sizeof(*book));

	book->loop = params->loop;
	book->ledger = ledger_open(
		&(struct ledger_params){
			.loop = params->loop,
			.dir = params->spool_dir,
			.max_bytes = params->spool_max_bytes,
			.min_free_bytes = params->spool_min_free_bytes,
			.fsync = params->fsync,
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
	drain_free(&book->drain);
	ledger_close(&book->ledger);
	buf_wipe(&book->record);
	free(book->node_id);
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
		drain_poke(book->drain);
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
	return ledger_room(book->ledger);
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
