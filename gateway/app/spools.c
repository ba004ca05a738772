/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/spools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spool_dirs.h"

/* One that was adopted. */
struct adopted {
	struct spools *spools;
	struct book *book;
	struct book_flush *flush;
	char path[SPOOL_DIR_BYTES];
	struct adopted *prev, *next;
};

struct spools {
	struct spools_params params;
	struct book *book;
	struct adopted *adopted;
	struct timer timer;
	int64_t wait_ms; /* until it looks again */
	uint8_t seed[ED25519_SEED_BYTES];
	bool signs;
	/* Of those that were let go. */
	uint64_t n_written;
	uint64_t n_lost;
};

static const struct log_subject subject = { .component = "book" };

static void adopt(void *ctx);

static struct book *open_book(const struct spools *spools, const char *path, struct err *err)
{
	struct book *book = book_open(
		&(struct book_params){
			.loop = spools->params.loop,
			.db = spools->params.db,
			.spool_dir = path,
			.node_id = spools->params.node_id,
			.spool_max_bytes = spools->params.max_bytes,
			.spool_min_free_bytes = spools->params.min_free_bytes,
			.fsync = spools->params.fsync,
			.anchored = spools->params.anchored,
			.ctx = spools->params.ctx,
		},
		err);

	if (book != NULL && spools->signs)
		book_set_signer(book, spools->seed);
	return book;
}

static struct spool_dirs dirs_of(const struct spools *spools)
{
	return (struct spool_dirs){
		.data_dir = spools->params.data_dir,
		.prefix = "spool-",
		.slot = spools->params.slot,
		.n_slots = spools->params.n_slots,
	};
}

static struct book *open_own(const struct spools *spools, struct err *err)
{
	const struct spool_dirs dirs = dirs_of(spools);
	struct book *book = NULL;

	for (unsigned n = 0; book == NULL && n < SPOOL_DIRS_PER_SLOT; n++) {
		char path[SPOOL_DIR_BYTES];

		spool_dirs_path(&dirs, n, path);
		book = open_book(spools, path, err);
		/* Its owner drains. Anything else is a reason not to start. */
		if (book == NULL && err->code != ERR_CONFLICT)
			return NULL;
	}
	return book;
}

struct spools *spools_open(const struct spools_params *params, struct err *err)
{
	struct spools *spools = mem_new(sizeof(*spools));

	spools->params = *params;
	spools->book = open_own(spools, err);
	if (spools->book == NULL) {
		free(spools);
		return NULL;
	}
	spools_look(spools);
	return spools;
}

static void let_go(struct spools *spools, struct adopted *adopted)
{
	DL_DELETE(spools->adopted, adopted);
	book_flush_cancel(&adopted->flush);
	book_close(&adopted->book);
	free(adopted);
}

void spools_close(struct spools **slot)
{
	struct spools *spools = *slot;

	if (spools == NULL)
		return;
	*slot = NULL;
	timer_stop(&spools->timer);
	while (spools->adopted != NULL)
		let_go(spools, spools->adopted);
	book_close(&spools->book);
	mem_wipe(spools->seed, sizeof(spools->seed));
	free(spools);
}

struct book *spools_book(const struct spools *spools)
{
	return spools->book;
}

void spools_set_signer(struct spools *spools, const uint8_t *seed)
{
	struct adopted *at;

	spools->signs = seed != NULL;
	if (seed != NULL)
		memcpy(spools->seed, seed, sizeof(spools->seed));
	else
		mem_wipe(spools->seed, sizeof(spools->seed));
	book_set_signer(spools->book, seed);
	DL_FOREACH(spools->adopted, at)
	book_set_signer(at->book, seed);
}

/* Adoption. */

static bool is_adopted(const struct spools *spools, const char *path)
{
	const struct adopted *at;

	DL_FOREACH(spools->adopted, at)
	{
		if (strcmp(at->path, path) == 0)
			return true;
	}
	return false;
}

static void on_flushed(void *ctx)
{
	struct adopted *adopted = ctx;
	struct spools *spools = adopted->spools;
	struct book_stats stats;

	book_stats(adopted->book, &stats);
	if (stats.backlog > 0) {
		book_flush_start(adopted->book, &adopted->flush, INT64_MAX, on_flushed, adopted);
		return;
	}
	spools->n_written += stats.written;
	spools->n_lost += stats.lost;
	log_info(&subject, "%s is drained: %" PRIu64 " rows", adopted->path, stats.written);
	let_go(spools, adopted);
}

static void try_to_adopt(void *ctx, const char *path)
{
	struct spools *spools = ctx;
	struct adopted *adopted;
	struct book *book;
	struct err err;

	if (is_adopted(spools, path) || !spool_dir_has_records(path))
		return;
	book = open_book(spools, path, &err);
	if (book == NULL) {
		if (err.code != ERR_CONFLICT) /* else it has an owner */
			log_error(&subject, "%s", err.text);
		return;
	}
	adopted = mem_new(sizeof(*adopted));
	adopted->spools = spools;
	adopted->book = book;
	snprintf(adopted->path, sizeof(adopted->path), "%s", path);
	DL_APPEND(spools->adopted, adopted);
	log_info(&subject, "%s has no owner and %" PRIu64 " rows: adopted", path,
		 book_backlog(book));
	book_flush_start(book, &adopted->flush, INT64_MAX, on_flushed, adopted);
}

static void adopt(void *ctx)
{
	struct spools *spools = ctx;
	const struct spool_dirs dirs = dirs_of(spools);

	spool_dirs_each(&dirs, try_to_adopt, spools);
	timer_start(spools->params.loop, &spools->timer, spools->wait_ms, adopt, spools);
	if (spools->wait_ms < SPOOLS_LOOK_MAX_MS)
		spools->wait_ms *= 2;
}

void spools_look(struct spools *spools)
{
	spools->wait_ms = SPOOLS_LOOK_MIN_MS;
	timer_start(spools->params.loop, &spools->timer, 0, adopt, spools);
}

void spools_stats(const struct spools *spools, struct book_stats *out)
{
	const struct adopted *at;

	book_stats(spools->book, out);
	out->written += spools->n_written;
	out->lost += spools->n_lost;
	DL_FOREACH(spools->adopted, at)
	{
		struct book_stats stats;

		book_stats(at->book, &stats);
		out->backlog += stats.backlog;
		out->written += stats.written;
		out->lost += stats.lost;
		out->bytes_on_disk += stats.bytes_on_disk;
		if (stats.oldest_ms > out->oldest_ms)
			out->oldest_ms = stats.oldest_ms;
	}
}
