/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_BOOK_H
#define TESTS_UNIT_GATEWAY_CORE_CALL_FAKES_BOOK_H

/* Part of call_fakes.h: the book. */

void spool_wait_cancel(struct spool_wait *wait)
{
	struct world *world = (struct world *)wait->spool;

	if (world == NULL)
		return;
	wait->spool = NULL;
	world->record = NULL;
}

static inline int record(struct book *book, const char *what, const struct book_call *call,
			 struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
			 void *ctx, struct err *err)
{
	struct world *world = book->world;

	note(world, "%s", what);
	world->recorded = *call;
	snprintf(world->recorded_id, sizeof(world->recorded_id), "%s", call->call_id);
	snprintf(world->recorded_purpose, sizeof(world->recorded_purpose), "%.*s",
		 (int)call->purpose.n, call->purpose.p != NULL ? call->purpose.p : "");
	snprintf(world->recorded_tool, sizeof(world->recorded_tool), "%.*s", (int)call->tool.n,
		 call->tool.p != NULL ? call->tool.p : "");
	snprintf(world->recorded_connection, sizeof(world->recorded_connection), "%s",
		 call->connection != NULL ? call->connection : "");
	if (world->book_refuses)
		return err_set(err, ERR_UNAVAILABLE, "the disk is full");
	if (wait == NULL)
		return 0; /* nobody waits for it */
	assert_null(world->record);
	world->record = wait;
	wait->spool = (struct spool *)world;
	world->durable = durable;
	world->durable_ctx = ctx;
	return 0;
}

static inline void keep_result(struct book *book, const struct book_result *result)
{
	struct world *world = book->world;

	world->result = *result;
	snprintf(world->recorded_account, sizeof(world->recorded_account), "%s",
		 result->account != NULL ? result->account : "");
	snprintf(world->error_type, sizeof(world->error_type), "%s",
		 result->error_type != NULL ? result->error_type : "");
}

const char *book_outcome_name(enum book_outcome outcome)
{
	static const char *const names[] = {
#define X(name, text) [BOOK_##name] = (text),
		BOOK_OUTCOMES(X)
#undef X
	};

	return names[outcome];
}

enum book_room book_room(struct book *book)
{
	return book->world->room;
}

int book_intent(struct book *book, const struct book_call *call, struct spool_wait *wait,
		void (*durable)(void *ctx, const struct err *err), void *ctx, struct err *err)
{
	return record(book, "intent", call, wait, durable, ctx, err);
}

int book_outcome(struct book *book, const struct book_call *call, const struct book_result *result,
		 struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		 void *ctx, struct err *err)
{
	char what[64];

	keep_result(book, result);
	snprintf(what, sizeof(what), "outcome %s", book_outcome_name(result->outcome));
	return record(book, what, call, wait, durable, ctx, err);
}

void book_abandon(struct book *book, const struct book_call *call)
{
	assert_string_equal(call->call_id, book->world->recorded.call_id);
	note(book->world, "abandon");
}

int book_entry(struct book *book, const struct book_call *call, const struct book_result *result,
	       struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
	       void *ctx, struct err *err)
{
	char what[64];

	keep_result(book, result);
	snprintf(what, sizeof(what), "entry %s", book_outcome_name(result->outcome));
	return record(book, what, call, wait, durable, ctx, err);
}

int book_append_record(struct book *book, uint8_t type, struct span record, struct spool_wait *wait,
		       void (*durable)(void *ctx, const struct err *err), void *ctx,
		       struct err *err)
{
	struct world *world = book->world;

	assert_int_equal(type, 6);
	assert_null(wait);
	assert_null(durable);
	assert_null(ctx);
	note(world, "payload");
	if (world->payload_refused)
		return err_set(err, ERR_UNAVAILABLE, "the spool is full");
	assert_true(record.n <= sizeof(world->payload));
	memcpy(world->payload, record.p, record.n);
	world->payload_bytes = record.n;
	return 0;
}

/* The record reaches the disk, or does not. */
static inline void disk_says(struct world *world, const struct err *err)
{
	assert_non_null(world->record);
	world->record->spool = NULL;
	world->record = NULL;
	world->durable(world->durable_ctx, err);
}

static inline void durable(struct world *world)
{
	disk_says(world, NULL);
}

#endif
