/* SPDX-License-Identifier: Apache-2.0 */
/* The loop's side of the spool. */
#include "base/spool.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/spool_priv.h"

/* Lives on the stack while callbacks run, so that one of them may close the spool. */
struct delivery {
	struct spool_wait durable; /* heads of rings */
	struct spool_wait failed;
	bool closed;
};

struct spool {
	struct spool_writer *writer;
	struct bell bell;
	int dir_fd;
	size_t max_record_bytes;
	uint64_t last;
	uint64_t released;
	bool failure_logged;
	struct spool_wait waits; /* head of a ring, ascending */
	struct delivery *delivery;
	uint64_t freed; /* that was told of */
	void (*on_freed)(void *ctx);
	void *ctx;
};

static const struct log_subject subject = { .component = "spool" };

static void ring_init(struct spool_wait *head)
{
	head->next = head->prev = head;
}

static void ring_add(struct spool_wait *head, struct spool_wait *wait)
{
	wait->prev = head->prev;
	wait->next = head;
	head->prev->next = wait;
	head->prev = wait;
}

static void ring_remove(struct spool_wait *wait)
{
	wait->prev->next = wait->next;
	wait->next->prev = wait->prev;
	wait->next = wait->prev = NULL;
}

static void ring_move(struct spool_wait *from, struct spool_wait *to, uint64_t up_to)
{
	while (from->next != from && from->next->sequence <= up_to) {
		struct spool_wait *wait = from->next;

		ring_remove(wait);
		ring_add(to, wait);
	}
}

static void ring_deliver(struct spool_wait *head, const struct err *err)
{
	while (head->next != head) {
		struct spool_wait *wait = head->next;

		spool_wait_cancel(wait);
		wait->durable(wait->ctx, err);
	}
}

static void ring_drop(struct spool_wait *head)
{
	while (head->next != head)
		spool_wait_cancel(head->next);
}

void spool_wait_cancel(struct spool_wait *wait)
{
	if (wait->spool == NULL)
		return;
	ring_remove(wait);
	wait->spool = NULL;
}

static void news_log(struct spool *spool, const struct spool_news *news)
{
	if (news->checkpoint_failed)
		log_warn(&subject, "checkpoint failed, will be tried again: %s",
			 news->checkpoint_problem.text);
	if (news->state == SPOOL_REFUSING)
		log_warn(&subject, "records dropped: %s", news->commit_problem.text);
	if (news->state == SPOOL_FAILED && !spool->failure_logged) {
		log_error(&subject, "failed for good: %s", news->commit_problem.text);
		spool->failure_logged = true;
	}
}

/* Last, because it may close the spool. */
static void tell_freed(struct spool *spool, uint64_t freed)
{
	if (freed <= spool->freed)
		return;
	spool->freed = freed;
	if (spool->on_freed != NULL)
		spool->on_freed(spool->ctx);
}

static void on_bell(void *ctx)
{
	struct spool *spool = ctx;
	struct delivery delivery = { .closed = false };
	struct spool_news news;

	spool_writer_news(spool->writer, &news);
	news_log(spool, &news);
	ring_init(&delivery.durable);
	ring_init(&delivery.failed);
	ring_move(&spool->waits, &delivery.durable, news.durable);
	if (news.state != SPOOL_ACCEPTING) {
		ring_move(&spool->waits, &delivery.failed, UINT64_MAX);
		/* What was dropped gives its numbers back. */
		spool->last = news.durable > spool->released ? news.durable : spool->released;
	}
	spool->delivery = &delivery;
	ring_deliver(&delivery.durable, NULL);
	ring_deliver(&delivery.failed, &news.commit_problem);
	if (delivery.closed)
		return;
	spool->delivery = NULL;
	tell_freed(spool, news.freed);
}

/* Opening. */

struct opening {
	const struct spool_params *params;
	spool_record *replay;
	void *ctx;
	int dir_fd;
	struct spool_segments segments;
	struct spool_checkpoint checkpoint;
};

static int params_check(const struct spool_params *params, struct err *err)
{
	if (params->segment_bytes > SPOOL_SEGMENT_BYTES_MAX)
		return err_set(err, ERR_INTERNAL, "%s: segments of more than %zu bytes",
			       params->dir, SPOOL_SEGMENT_BYTES_MAX);
	if (params->max_record_bytes > SPOOL_SEGMENT_BYTES_MAX ||
	    params->max_record_bytes + SPOOL_HEADER_BYTES > params->segment_bytes)
		return err_set(err, ERR_INTERNAL, "%s: a record must fit in a segment",
			       params->dir);
	if (params->max_bytes / 2 < params->segment_bytes)
		return err_set(err, ERR_INTERNAL, "%s: must have room for two segments",
			       params->dir);
	return 0;
}

/* Without it everything that is there is replayed again. But if nothing is there, it alone knows
 * the last sequence, and to begin anew at 1 is not ours to decide. */
static int checkpoint_open(struct opening *opening, struct err *err)
{
	if (spool_checkpoint_load(opening->dir_fd, &opening->checkpoint) >= 0)
		return 0;
	if (errno != EBADMSG)
		return err_set(err, ERR_INTERNAL, "%s/checkpoint: %s", opening->params->dir,
			       strerror(errno));
	if (opening->segments.n == 0)
		return err_set(err, ERR_INTERNAL,
			       "%s/checkpoint: damaged; remove it to begin at sequence 1 again",
			       opening->params->dir);
	log_warn(&subject, "%s/checkpoint: damaged, replaying what was released",
		 opening->params->dir);
	opening->checkpoint = (struct spool_checkpoint){ 0 };
	return 0;
}

/* The last segment: what follows its last good record was never confirmed, or is kept aside from
 * new records for somebody to look at. */
static int tail_open(struct opening *opening, size_t i, const struct spool_scan *scan,
		     struct err *err)
{
	struct spool_segment *segment = &opening->segments.at[i];
	uint64_t last = scan->tail == SPOOL_TAIL_DAMAGED ? scan->highest : scan->last;
	int rc = 0;

	if (opening->checkpoint.last < last)
		opening->checkpoint.last = last;
	if (scan->tail == SPOOL_TAIL_DAMAGED) {
		log_error(&subject,
			  "segment %016" PRIx64 ": damaged behind record %" PRIu64
			  ", lost up to %" PRIu64,
			  segment->first, scan->last, last);
		return 0;
	}
	if (scan->tail == SPOOL_TAIL_TORN)
		log_info(&subject, "segment %016" PRIx64 ": torn tail cut behind record %" PRIu64,
			 segment->first, scan->last);
	if (scan->end == 0) {
		/* Its name was the last trace of the sequence before it. */
		rc = spool_checkpoint_save(opening->dir_fd, &opening->checkpoint,
					   opening->params->fsync);
		if (rc == 0)
			rc = spool_segment_remove(opening->dir_fd, segment->first);
		opening->segments.n--;
	} else {
		rc = spool_segment_cut(opening->dir_fd, segment->first, scan->end,
				       opening->params->fsync);
		segment->bytes = scan->end;
	}
	if (rc < 0)
		return err_set(err, ERR_INTERNAL, "%s: segment %016" PRIx64 ": %s",
			       opening->params->dir, segment->first, strerror(errno));
	return 0;
}

static int segment_replay(struct opening *opening, size_t i, struct err *err)
{
	const struct spool_segment *segment = &opening->segments.at[i];
	bool is_last = i + 1 == opening->segments.n;
	uint64_t limit = is_last ? UINT64_MAX : segment[1].first - 1;
	struct spool_scan scan;
	struct span bytes;

	if (limit <= opening->checkpoint.released)
		return 0;
	if (spool_segment_read(opening->dir_fd, segment->first, &bytes) < 0)
		return err_set(err, ERR_INTERNAL, "%s: segment %016" PRIx64 ": %s",
			       opening->params->dir, segment->first, strerror(errno));
	spool_scan(bytes, segment->first, limit, opening->checkpoint.released + 1, opening->replay,
		   opening->ctx, &scan);
	free((void *)bytes.p);
	if (is_last)
		return tail_open(opening, i, &scan, err);
	if (scan.last < limit)
		log_error(&subject,
			  "segment %016" PRIx64 ": damaged behind record %" PRIu64
			  ", lost up to %" PRIu64,
			  segment->first, scan.last, limit);
	return 0;
}

static int replay(struct opening *opening, struct err *err)
{
	struct span note;
	size_t n;

	if (spool_segments_list(opening->dir_fd, &opening->segments) < 0)
		return err_set(err, ERR_INTERNAL, "%s: %s", opening->params->dir, strerror(errno));
	if (checkpoint_open(opening, err) < 0)
		return -1;
	note = (struct span){ (const char *)opening->checkpoint.note.bytes,
			      opening->checkpoint.note.n };
	if (note.n > 0 && opening->params->noted != NULL)
		opening->params->noted(opening->ctx, note);
	n = opening->segments.n;
	for (size_t i = 0; i < n; i++)
		if (segment_replay(opening, i, err) < 0)
			return -1;
	return 0;
}

static struct spool *spool_new(struct loop *loop, const struct opening *opening, struct err *err)
{
	struct spool *spool = mem_new(sizeof(*spool));

	*spool = (struct spool){
		.dir_fd = opening->dir_fd,
		.max_record_bytes = opening->params->max_record_bytes,
		.last = opening->checkpoint.last,
		.released = opening->checkpoint.released,
		.on_freed = opening->params->freed,
		.ctx = opening->ctx,
	};
	ring_init(&spool->waits);
	bell_start(loop, &spool->bell, on_bell, spool);
	spool->writer = spool_writer_start(
		&(struct spool_writer_params){
			.dir_fd = opening->dir_fd,
			.spool = opening->params,
			.segments = opening->segments,
			.checkpoint = opening->checkpoint,
			.bell = &spool->bell,
		},
		err);
	if (spool->writer != NULL)
		return spool;
	bell_stop(&spool->bell);
	free(spool);
	return NULL;
}

struct spool *spool_open(struct loop *loop, const struct spool_params *params, spool_record *each,
			 void *ctx, struct err *err)
{
	struct opening opening = { .params = params, .replay = each, .ctx = ctx };
	struct spool *spool = NULL;

	if (params_check(params, err) < 0)
		return NULL;
	opening.dir_fd = spool_dir_open(params->dir, err);
	if (opening.dir_fd < 0)
		return NULL;
	if (replay(&opening, err) == 0)
		spool = spool_new(loop, &opening, err);
	mem_wipe(&opening.checkpoint.note, sizeof(opening.checkpoint.note));
	if (spool == NULL) {
		free(opening.segments.at);
		close(opening.dir_fd);
	}
	return spool;
}

void spool_close(struct spool **slot)
{
	struct spool *spool = *slot;

	if (spool == NULL)
		return;
	*slot = NULL;
	spool_writer_stop(&spool->writer);
	bell_stop(&spool->bell);
	ring_drop(&spool->waits);
	if (spool->delivery != NULL) {
		ring_drop(&spool->delivery->durable);
		ring_drop(&spool->delivery->failed);
		spool->delivery->closed = true;
	}
	close(spool->dir_fd);
	free(spool);
}

uint64_t spool_append(struct spool *spool, uint8_t type, struct span payload,
		      struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
		      void *ctx, struct err *err)
{
	struct spool_entry *entry;

	assert(wait == NULL || (wait->spool == NULL && durable != NULL));
	if (payload.n > spool->max_record_bytes) {
		err_set(err, ERR_TOO_LARGE, "a spool record of %zu bytes, at most %zu are allowed",
			payload.n, spool->max_record_bytes);
		return 0;
	}
	entry = mem_new(sizeof(*entry) + SPOOL_HEADER_BYTES + payload.n);
	entry->sequence = spool->last + 1;
	entry->payload_bytes = (uint32_t)payload.n;
	entry->type = type;
	if (payload.n > 0)
		memcpy(entry->bytes + SPOOL_HEADER_BYTES, payload.p, payload.n);
	if (spool_writer_push(spool->writer, entry, err) < 0) {
		free(entry);
		return 0;
	}
	spool->last++;
	if (wait != NULL) {
		*wait = (struct spool_wait){
			.spool = spool, .sequence = spool->last, .durable = durable, .ctx = ctx
		};
		ring_add(&spool->waits, wait);
	}
	return spool->last;
}

static void release(struct spool *spool, uint64_t sequence, const struct span *note)
{
	/* Beyond the last: of a record that was dropped since. */
	if (sequence <= spool->released || sequence > spool->last)
		return;
	spool->released = sequence;
	spool_writer_release(spool->writer, sequence, note);
}

void spool_release(struct spool *spool, uint64_t sequence)
{
	release(spool, sequence, NULL);
}

void spool_release_noting(struct spool *spool, uint64_t sequence, struct span note)
{
	assert(note.n <= SPOOL_NOTE_BYTES);
	release(spool, sequence, &note);
}

void spool_stats(const struct spool *spool, struct spool_stats *out)
{
	spool_writer_stats(spool->writer, out);
	out->last_sequence = spool->last;
}
