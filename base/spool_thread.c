/* SPDX-License-Identifier: Apache-2.0 */
/* The spool's writer thread, its inbox and the checkpoint. It sleeps without a timeout unless a
 * checkpoint is owed or the filesystem is watched. */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/spool_writer.h"

#define QUEUE_MAX_BYTES	    ((size_t)64 << 20) /* in memory, while the disk does not keep up */
#define CHECKPOINT_EVERY_MS 250
#define CHECKPOINT_RETRY_MS 5000
#define NEVER		    INT64_MAX

void spool_writer_lock(struct spool_writer *writer)
{
	int rc = pthread_mutex_lock(&writer->mutex);

	assert(rc == 0);
}

void spool_writer_unlock(struct spool_writer *writer)
{
	int rc = pthread_mutex_unlock(&writer->mutex);

	assert(rc == 0);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A later segment names the sequence it goes on from, so it makes an earlier one dispensable by
 * itself; the last one also holds the last sequence, which must be safe elsewhere. */
static bool first_is_removable(const struct spool_own *own,
			       const struct spool_checkpoint *checkpoint, bool saved)
{
	const struct spool_segments *segments = &own->segments;

	if (segments->n > 1)
		return segments->at[1].first <= checkpoint->released + 1;
	return segments->n == 1 && own->fd < 0 && saved && checkpoint->last == checkpoint->released;
}

/* Even if the checkpoint could not be saved, segments go: on a full disk that makes the room for
 * the next attempt. */
static int checkpoint_and_remove(struct spool_writer *writer,
				 const struct spool_checkpoint *checkpoint)
{
	struct spool_own *own = &writer->own;
	bool saved = spool_checkpoint_save(writer->dir_fd, checkpoint, writer->fsync_it) == 0;
	int error = saved ? 0 : errno;

	if (saved && writer->fsync_it && first_is_removable(own, checkpoint, true) &&
	    fsync(writer->dir_fd) < 0) {
		error = errno;
		saved = false;
	}
	while (first_is_removable(own, checkpoint, saved)) {
		if (spool_segment_remove(writer->dir_fd, own->segments.at[0].first) < 0) {
			error = errno;
			break;
		}
		spool_segments_drop_first(&own->segments);
	}
	errno = error;
	return error == 0 ? 0 : -1;
}

static void checkpoint_run(struct spool_writer *writer)
{
	struct spool_shared *shared = &writer->shared;
	struct spool_checkpoint checkpoint;
	size_t n_segments = writer->own.segments.n;
	int error = 0;

	spool_writer_lock(writer);
	checkpoint.released = shared->released;
	checkpoint.last = shared->durable > shared->released ? shared->durable : shared->released;
	checkpoint.note = shared->note;
	shared->checkpoint_owed = false;
	spool_writer_unlock(writer);
	if (checkpoint_and_remove(writer, &checkpoint) < 0)
		error = errno;
	mem_wipe(&checkpoint.note, sizeof(checkpoint.note));
	if (writer->own.segments.n != n_segments)
		spool_plan_again(writer);
	writer->own.checkpoint_at_ms =
		now_ms() + (error == 0 ? CHECKPOINT_EVERY_MS : CHECKPOINT_RETRY_MS);
	spool_writer_lock(writer);
	shared->freed = checkpoint.released;
	if (error != 0) {
		shared->checkpoint_owed = true;
		shared->checkpoint_failed = true;
		err_set(&shared->checkpoint_problem, ERR_INTERNAL, "%s", strerror(error));
	}
	spool_writer_unlock(writer);
	bell_ring(writer->bell);
}

/* Others write to that filesystem too, so it is asked again and again; but an idle process should
 * sleep. Only this thread writes free_bytes. */
static int64_t look_due_ms(const struct spool_writer *writer)
{
	bool hurry = writer->own.wrote || writer->shared.free_bytes < writer->low_bytes;

	if (writer->low_bytes == 0)
		return NEVER;
	return writer->own.looked_at_ms + (hurry ? SPOOL_LOOK_MS : SPOOL_LOOK_IDLE_MS);
}

static void look_at_disk(struct spool_writer *writer)
{
	struct statvfs info;
	uint64_t free_bytes = UINT64_MAX;

	writer->own.looked_at_ms = now_ms();
	writer->own.wrote = false;
	if (fstatvfs(writer->dir_fd, &info) == 0)
		free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
	spool_writer_lock(writer);
	writer->shared.free_bytes = free_bytes;
	spool_writer_unlock(writer);
}

static bool checkpoint_is_due(const struct spool_writer *writer)
{
	return writer->shared.checkpoint_owed && now_ms() >= writer->own.checkpoint_at_ms;
}

/* Locked. */
static void sleep_until_work(struct spool_writer *writer)
{
	const struct spool_shared *shared = &writer->shared;
	const struct spool_own *own = &writer->own;

	while (shared->queue.first == NULL && !shared->stop && !checkpoint_is_due(writer) &&
	       now_ms() < look_due_ms(writer)) {
		int64_t at = look_due_ms(writer);
		struct timespec until;

		if (shared->checkpoint_owed && own->checkpoint_at_ms < at)
			at = own->checkpoint_at_ms;
		until = (struct timespec){ at / 1000, at % 1000 * 1000000 };
		if (at == NEVER)
			pthread_cond_wait(&writer->wake, &writer->mutex);
		else
			pthread_cond_timedwait(&writer->wake, &writer->mutex, &until);
	}
}

static void *run(void *arg)
{
	struct spool_writer *writer = arg;
	struct spool_shared *shared = &writer->shared;
	bool stop = false;

	while (!stop) {
		bool checkpoint;

		spool_writer_lock(writer);
		sleep_until_work(writer);
		writer->own.flight = shared->queue;
		shared->flight_bytes = shared->queue.bytes;
		shared->queue = (struct spool_list){ 0 };
		checkpoint = checkpoint_is_due(writer);
		stop = shared->stop;
		spool_writer_unlock(writer);
		writer->own.wrote = writer->own.wrote || writer->own.flight.first != NULL;
		spool_commit_flight(writer);
		if (now_ms() >= look_due_ms(writer))
			look_at_disk(writer);
		if (checkpoint && !stop)
			checkpoint_run(writer);
	}
	spool_commit_end(writer);
	if (shared->checkpoint_owed ||
	    (writer->own.segments.n > 0 && shared->durable <= shared->released))
		checkpoint_run(writer);
	return NULL;
}

static int thread_start(struct spool_writer *writer, struct err *err)
{
	pthread_condattr_t attributes;
	sigset_t all, before;
	int rc;

	pthread_mutex_init(&writer->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	if (writer->low_bytes > 0)
		look_at_disk(writer); /* whoever opens it knows at once */

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = pthread_create(&writer->thread, NULL, run, writer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0)
		return err_set(err, ERR_INTERNAL, "spool thread: %s", strerror(rc));
	pthread_setname_np(writer->thread, "spool");
	return 0;
}

static void writer_free(struct spool_writer *writer)
{
	pthread_cond_destroy(&writer->wake);
	pthread_mutex_destroy(&writer->mutex);
	spool_list_drop(&writer->shared.queue, NULL);
	free(writer->own.segments.at);
	mem_wipe(&writer->shared.note, sizeof(writer->shared.note));
	free(writer);
}

struct spool_writer *spool_writer_start(const struct spool_writer_params *params, struct err *err)
{
	struct spool_writer *writer = mem_new(sizeof(*writer));

	*writer = (struct spool_writer){
		.dir_fd = params->dir_fd,
		.segment_bytes = params->spool->segment_bytes,
		.max_bytes = params->spool->max_bytes,
		.fsync_it = params->spool->fsync,
		.bell = params->bell,
		.shared.durable = params->checkpoint.last,
		.shared.released = params->checkpoint.released,
		.shared.note = params->checkpoint.note,
		.own.segments = params->segments,
		.shared.free_bytes = UINT64_MAX,
		.own.fd = -1,
		.low_bytes = params->spool->low_bytes,
	};
	for (size_t i = 0; i < params->segments.n; i++)
		writer->shared.disk_bytes += params->segments.at[i].bytes;
	writer->shared.checkpoint_owed =
		first_is_removable(&writer->own, &params->checkpoint, true);
	writer->shared.freed = writer->shared.checkpoint_owed ? 0 : params->checkpoint.released;
	if (thread_start(writer, err) < 0) {
		writer->own.segments.at = NULL;
		writer_free(writer);
		return NULL;
	}
	return writer;
}

void spool_writer_stop(struct spool_writer **slot)
{
	struct spool_writer *writer = *slot;

	*slot = NULL;
	spool_writer_lock(writer);
	writer->shared.stop = true;
	pthread_cond_signal(&writer->wake);
	spool_writer_unlock(writer);
	pthread_join(writer->thread, NULL);
	writer_free(writer);
}

/* Locked. */
static int push_check(const struct spool_writer *writer, size_t size, struct err *err)
{
	const struct spool_shared *shared = &writer->shared;
	size_t planned = shared->disk_bytes + shared->planned_bytes;

	if (shared->state != SPOOL_ACCEPTING) {
		*err = shared->commit_problem;
		return -1;
	}
	if (size > shared->tail_room && planned + writer->segment_bytes > writer->max_bytes)
		return err_set(err, ERR_UNAVAILABLE, "the spool is full");
	if (shared->flight_bytes + shared->queue.bytes + size > QUEUE_MAX_BYTES)
		return err_set(err, ERR_UNAVAILABLE, "the spool's disk does not keep up");
	return 0;
}

int spool_writer_push(struct spool_writer *writer, struct spool_entry *entry, struct err *err)
{
	size_t size = spool_entry_size(entry);
	int ret;

	spool_writer_lock(writer);
	ret = push_check(writer, size, err);
	if (ret == 0) {
		spool_plan_entry(writer, size);
		spool_list_add(&writer->shared.queue, entry);
		pthread_cond_signal(&writer->wake);
	}
	spool_writer_unlock(writer);
	return ret;
}

void spool_writer_release(struct spool_writer *writer, uint64_t sequence, const struct span *note)
{
	struct spool_shared *shared = &writer->shared;

	spool_writer_lock(writer);
	if (sequence > shared->released) {
		shared->released = sequence;
		if (note != NULL) {
			if (note->n > 0)
				memcpy(shared->note.bytes, note->p, note->n);
			shared->note.n = note->n;
		}
		if (!shared->checkpoint_owed)
			pthread_cond_signal(&writer->wake);
		shared->checkpoint_owed = true;
	}
	spool_writer_unlock(writer);
}

void spool_writer_news(struct spool_writer *writer, struct spool_news *news)
{
	struct spool_shared *shared = &writer->shared;

	spool_writer_lock(writer);
	*news = (struct spool_news){
		.durable = shared->durable,
		.freed = shared->freed,
		.state = shared->state,
		.commit_problem = shared->commit_problem,
		.checkpoint_failed = shared->checkpoint_failed,
		.checkpoint_problem = shared->checkpoint_problem,
	};
	shared->checkpoint_failed = false;
	if (shared->state == SPOOL_REFUSING)
		shared->state = SPOOL_ACCEPTING;
	spool_writer_unlock(writer);
}

void spool_writer_stats(struct spool_writer *writer, struct spool_stats *out)
{
	const struct spool_shared *shared = &writer->shared;

	spool_writer_lock(writer);
	*out = (struct spool_stats){
		.durable_sequence = shared->durable,
		.released_sequence = shared->released,
		.freed_sequence = shared->freed,
		.bytes_on_disk = shared->disk_bytes,
		.used_bytes = shared->disk_bytes + shared->planned_bytes - shared->tail_room,
		.free_bytes = shared->free_bytes,
		.failed = shared->state == SPOOL_FAILED,
	};
	spool_writer_unlock(writer);
}
