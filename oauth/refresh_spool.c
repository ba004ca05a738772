/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/log.h"
#include "base/spool.h"
#include "base/spool_dirs.h"
#include "oauth/access_priv.h"
#include "oauth/refresh_record.h"

#define SEGMENT_BYTES 1048576	/* 1 MiB */
#define MAX_BYTES     268435456 /* 256 MiB */
#define RETRY_MS      250
#define LOOK_MIN_MS   500 /* as gateway/app/spools.h */
#define LOOK_MAX_MS   60000

static const struct log_subject subject = { .component = "oauth" };

/* A renewal on disk that is not known to stand in its row. */
struct item {
	uint64_t sequence;
	struct arena *arena; /* of request; NULL: a job stores it */
	struct grant_request request;
	struct item *prev, *next;
};

/* A node that wrote here before us and is dead: once its answers are stored, its leases end. */
struct owner {
	char id[UUID_TEXT_BYTES];
	struct owner *next;
};

/* One directory. */
struct shelf {
	struct refresh_spool *owner;
	struct spool *spool;
	struct item *items; /* oldest first */
	struct owner *dead;
	uint64_t last; /* sequence */
	struct grant_op *storing;
	struct timer retry;
	char path[SPOOL_DIR_BYTES];
	struct shelf *prev, *next; /* of those adopted */
};

struct refresh_spool {
	struct access *access;
	struct access_spool params;
	char *data_dir;
	struct shelf *own;
	struct shelf *adopted;
	struct timer timer;
	int64_t wait_ms; /* until it looks again */
};

static void store_next(void *ctx);

/* --- what is there --------------------------------------------------------------------------- */

static void item_free(struct shelf *shelf, struct item *item)
{
	DL_DELETE(shelf->items, item);
	if (item->arena != NULL)
		arena_free(&item->arena);
	free(item);
}

static void add_dead(struct shelf *shelf, struct span id)
{
	struct owner *owner;

	if (id.n != UUID_TEXT_BYTES - 1)
		return;
	owner = mem_new(sizeof(*owner));
	memcpy(owner->id, id.p, id.n);
	if (!uuid_valid(owner->id)) {
		free(owner);
		return;
	}
	LL_PREPEND(shelf->dead, owner);
}

static void on_record(void *ctx, uint64_t sequence, uint8_t type, struct span payload)
{
	struct shelf *shelf = ctx;
	struct item *item;
	struct err err;

	shelf->last = sequence;
	if (type == RECORD_OWNER) {
		add_dead(shelf, payload);
		return;
	}
	item = mem_new(sizeof(*item));
	item->sequence = sequence;
	item->arena = arena_new();
	if (type == RECORD_RENEWAL &&
	    refresh_record_read(payload, item->arena, &item->request, &err) == 0) {
		DL_APPEND(shelf->items, item);
		return;
	}
	log_error(&subject, "%s: record %" PRIu64 " is no renewal", shelf->path, sequence);
	arena_free(&item->arena);
	free(item);
}

static struct shelf *shelf_open(struct refresh_spool *owner, const char *path, struct err *err)
{
	struct shelf *shelf = mem_new(sizeof(*shelf));
	const struct spool_params params = {
		.dir = path,
		.segment_bytes = SEGMENT_BYTES,
		.max_bytes = MAX_BYTES,
		.max_record_bytes = REFRESH_RECORD_BYTES,
		.fsync = owner->params.fsync,
	};

	shelf->owner = owner;
	snprintf(shelf->path, sizeof(shelf->path), "%s", path);
	shelf->spool = spool_open(owner->access->params.loop, &params, on_record, shelf, err);
	if (shelf->spool != NULL)
		return shelf;
	while (shelf->items != NULL)
		item_free(shelf, shelf->items);
	free(shelf);
	return NULL;
}

static void shelf_close(struct shelf *shelf)
{
	struct owner *owner;

	timer_stop(&shelf->retry);
	grant_cancel(&shelf->storing);
	while (shelf->items != NULL)
		item_free(shelf, shelf->items);
	while ((owner = shelf->dead) != NULL) {
		LL_DELETE(shelf->dead, owner);
		free(owner);
	}
	spool_close(&shelf->spool);
	free(shelf);
}

/* From here on what is written is ours; what stands before is not needed any more. If it cannot
 * be written, what stands before stays. */
static void claim(struct shelf *shelf)
{
	struct err err;
	uint64_t sequence =
		spool_append(shelf->spool, RECORD_OWNER, span_of(shelf->owner->access->node_id),
			     NULL, NULL, NULL, &err);

	if (sequence == 0) {
		log_warn(&subject, "%s: %s", shelf->path, err.text);
		return;
	}
	if (shelf->items == NULL && shelf->dead == NULL)
		spool_release(shelf->spool, sequence - 1);
	shelf->last = sequence;
}

/* --- storing what a dead node, or a job that could not, has left ------------------------------ */

static struct item *first_left(const struct shelf *shelf)
{
	struct item *item;

	DL_FOREACH(shelf->items, item)
	{
		if (item->arena != NULL)
			return item;
	}
	return NULL;
}

static void all_stored(struct shelf *shelf)
{
	struct refresh_spool *owner = shelf->owner;

	if (shelf->items != NULL || shelf->dead != NULL)
		return;
	if (shelf == owner->own) {
		claim(shelf);
		return;
	}
	log_info(&subject, "%s had no owner: what it held is stored", shelf->path);
	spool_release(shelf->spool, shelf->last);
	DL_DELETE(owner->adopted, shelf);
	shelf_close(shelf);
}

static void retry(struct shelf *shelf, const struct err *err)
{
	log_debug(&subject, "%s: %s", shelf->path, err->text);
	timer_start(shelf->owner->access->params.loop, &shelf->retry, RETRY_MS, store_next, shelf);
}

static void on_stored(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct shelf *shelf = ctx;
	struct item *item = first_left(shelf);

	assert(item != NULL);
	/* What the database refuses it will refuse again. */
	if (err != NULL && err->code != ERR_INTERNAL) {
		retry(shelf, err);
		return;
	}
	if (err != NULL)
		log_error(&subject, "%s: a renewed token cannot be stored: %s", shelf->path,
			  err->text);
	else
		log_info(&subject, "%s: a renewed token is %s", shelf->path,
			 result->n_done > 0 ? "stored" : "dropped: the grant was changed since");
	item_free(shelf, item);
	store_next(shelf);
}

static void on_released(void *ctx, const struct grant_result *result, const struct err *err)
{
	struct shelf *shelf = ctx;
	struct owner *owner = shelf->dead;

	(void)result;
	if (err != NULL) {
		retry(shelf, err);
		return;
	}
	LL_DELETE(shelf->dead, owner);
	free(owner);
	store_next(shelf);
}

static void store_next(void *ctx)
{
	struct shelf *shelf = ctx;
	struct grant_store *store = shelf->owner->access->params.store;
	const struct item *item = first_left(shelf);
	struct grant_request release = { .verb = GRANT_RELEASE };

	if (shelf->storing != NULL || shelf->retry.loop != NULL)
		return;
	if (item != NULL) {
		grant_start(store, &shelf->storing, &item->request, on_stored, shelf);
	} else if (shelf->dead != NULL) {
		release.owner = shelf->dead->id;
		grant_start(store, &shelf->storing, &release, on_released, shelf);
	} else {
		all_stored(shelf);
	}
}

/* --- adoption -------------------------------------------------------------------------------- */

static struct spool_dirs dirs_of(const struct refresh_spool *spool)
{
	return (struct spool_dirs){
		.data_dir = spool->data_dir,
		.prefix = "refresh-",
		.slot = spool->params.slot,
		.n_slots = spool->params.n_slots,
	};
}

static bool is_adopted(const struct refresh_spool *spool, const char *path)
{
	const struct shelf *shelf;

	DL_FOREACH(spool->adopted, shelf)
	{
		if (strcmp(shelf->path, path) == 0)
			return true;
	}
	return false;
}

static void try_to_adopt(void *ctx, const char *path)
{
	struct refresh_spool *spool = ctx;
	struct shelf *shelf;
	struct err err;

	if (is_adopted(spool, path) || !spool_dir_has_records(path))
		return;
	shelf = shelf_open(spool, path, &err);
	if (shelf == NULL) {
		if (err.code != ERR_CONFLICT) /* else it has an owner */
			log_error(&subject, "%s", err.text);
		return;
	}
	DL_APPEND(spool->adopted, shelf);
	store_next(shelf);
}

static void adopt(void *ctx)
{
	struct refresh_spool *spool = ctx;
	const struct spool_dirs dirs = dirs_of(spool);

	spool_dirs_each(&dirs, try_to_adopt, spool);
	timer_start(spool->access->params.loop, &spool->timer, spool->wait_ms, adopt, spool);
	if (spool->wait_ms < LOOK_MAX_MS)
		spool->wait_ms *= 2;
}

void refresh_spool_look(struct refresh_spool *spool)
{
	spool->wait_ms = LOOK_MIN_MS;
	timer_start(spool->access->params.loop, &spool->timer, 0, adopt, spool);
}

static struct shelf *open_own(struct refresh_spool *spool, struct err *err)
{
	const struct spool_dirs dirs = dirs_of(spool);
	struct shelf *shelf = NULL;

	for (unsigned n = 0; shelf == NULL && n < SPOOL_DIRS_PER_SLOT; n++) {
		char path[SPOOL_DIR_BYTES];

		spool_dirs_path(&dirs, n, path);
		shelf = shelf_open(spool, path, err);
		if (shelf == NULL && err->code != ERR_CONFLICT)
			return NULL;
	}
	return shelf;
}

/* --- a life ---------------------------------------------------------------------------------- */

struct refresh_spool *refresh_spool_new(struct access *access, const struct access_spool *params,
					struct err *err)
{
	struct refresh_spool *spool = mem_new(sizeof(*spool));

	*spool = (struct refresh_spool){
		.access = access,
		.params = *params,
		.data_dir = mem_strdup(params->data_dir),
	};
	spool->own = open_own(spool, err);
	if (spool->own == NULL) {
		free(spool->data_dir);
		free(spool);
		return NULL;
	}
	claim(spool->own);
	if (spool->own->items != NULL || spool->own->dead != NULL)
		store_next(spool->own);
	refresh_spool_look(spool);
	return spool;
}

void refresh_spool_free(struct refresh_spool **slot, bool outstanding)
{
	struct refresh_spool *spool = *slot;
	struct shelf *own;

	if (spool == NULL)
		return;
	*slot = NULL;
	timer_stop(&spool->timer);
	while (spool->adopted != NULL) {
		struct shelf *shelf = spool->adopted;

		DL_DELETE(spool->adopted, shelf);
		shelf_close(shelf);
	}
	own = spool->own;
	/* Nothing of us is left to be told: the directory is as good as not there. */
	if (!outstanding && own->items == NULL && own->dead == NULL)
		spool_release(own->spool, own->last);
	shelf_close(own);
	free(spool->data_dir);
	free(spool);
}

uint64_t refresh_spool_append(struct refresh_spool *spool, const struct grant_request *request,
			      struct spool_wait *wait,
			      void (*durable)(void *ctx, const struct err *err), void *ctx,
			      struct err *err)
{
	struct shelf *shelf = spool->own;
	uint64_t sequence = 0;
	struct item *item;
	struct buf record;

	buf_init(&record, REFRESH_RECORD_BYTES);
	if (refresh_record_write(request, &record) < 0)
		err_set(err, ERR_TOO_LARGE, "it is too large for a record");
	else
		sequence = spool_append(shelf->spool, RECORD_RENEWAL, buf_span(&record), wait,
					durable, ctx, err);
	buf_wipe(&record);
	if (sequence == 0)
		return 0;
	item = mem_new(sizeof(*item));
	item->sequence = sequence;
	DL_APPEND(shelf->items, item);
	shelf->last = sequence;
	return sequence;
}

static struct item *find(const struct shelf *shelf, uint64_t sequence)
{
	struct item *item;

	DL_FOREACH(shelf->items, item)
	{
		if (item->sequence == sequence)
			return item;
	}
	return NULL;
}

void refresh_spool_settled(struct refresh_spool *spool, uint64_t sequence)
{
	struct item *item = find(spool->own, sequence);

	assert(item != NULL && item->arena == NULL);
	item_free(spool->own, item);
	store_next(spool->own);
}

void refresh_spool_leave(struct refresh_spool *spool, uint64_t sequence,
			 const struct grant_request *request)
{
	struct item *item = find(spool->own, sequence);
	struct arena *arena = arena_new();
	struct buf record;
	struct err err;
	int ret;

	assert(item != NULL && item->arena == NULL);
	buf_init(&record, REFRESH_RECORD_BYTES);
	ret = refresh_record_write(request, &record);
	assert(ret == 0); /* it stands in the spool */
	ret = refresh_record_read(buf_span(&record), arena, &item->request, &err);
	assert(ret == 0);
	item->arena = arena;
	buf_wipe(&record);
	if (spool->own->storing == NULL && spool->own->retry.loop == NULL)
		timer_start(spool->access->params.loop, &spool->own->retry, RETRY_MS, store_next,
			    spool->own);
}
