/* SPDX-License-Identifier: Apache-2.0 */
/* How the spool's writer gets records to the disk. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/spool_writer.h"

#define WRITEV_ENTRIES	1024
#define COMMIT_ATTEMPTS 2

void spool_list_add(struct spool_list *list, struct spool_entry *entry)
{
	entry->next = NULL;
	if (list->first == NULL)
		list->first = entry;
	else
		list->last->next = entry;
	list->last = entry;
	list->bytes += spool_entry_size(entry);
}

void spool_list_drop(struct spool_list *list, const struct spool_entry *end)
{
	while (list->first != end) {
		struct spool_entry *entry = list->first;

		list->first = entry->next;
		list->bytes -= spool_entry_size(entry);
		free(entry);
	}
	if (list->first == NULL)
		list->last = NULL;
}

void spool_plan_entry(struct spool_writer *writer, size_t size)
{
	struct spool_shared *shared = &writer->shared;

	if (size > shared->tail_room) {
		shared->planned_bytes += writer->segment_bytes;
		shared->tail_room = writer->segment_bytes;
	}
	shared->tail_room -= size;
}

void spool_plan_again(struct spool_writer *writer)
{
	struct spool_shared *shared = &writer->shared;
	const struct spool_own *own = &writer->own;

	spool_writer_lock(writer);
	shared->disk_bytes = 0;
	for (size_t i = 0; i < own->segments.n; i++)
		shared->disk_bytes += own->segments.at[i].bytes;
	shared->planned_bytes = 0;
	shared->tail_room = own->fd < 0 ? 0 : writer->segment_bytes - own->used;
	for (struct spool_entry *e = own->flight.first; e != NULL; e = e->next)
		spool_plan_entry(writer, spool_entry_size(e));
	for (struct spool_entry *e = shared->queue.first; e != NULL; e = e->next)
		spool_plan_entry(writer, spool_entry_size(e));
	spool_writer_unlock(writer);
}

static void segment_close(struct spool_own *own)
{
	if (own->fd >= 0)
		close(own->fd);
	own->fd = -1;
	own->used = 0;
}

/*
 * Ends the current segment behind its last confirmed record. Its descriptor is never trusted
 * with data again. If cutting fails, the name of the next segment says where this one ends.
 */
void spool_commit_end(struct spool_writer *writer)
{
	struct spool_own *own = &writer->own;
	struct spool_segment *segment;

	if (own->fd < 0)
		return;
	segment = &own->segments.at[own->segments.n - 1];
	if (own->used == 0 && spool_segment_remove(writer->dir_fd, segment->first) == 0)
		own->segments.n--;
	else if (ftruncate(own->fd, (off_t)own->used) == 0)
		segment->bytes = own->used;
	segment_close(own);
}

static int segment_begin(struct spool_writer *writer, uint64_t first)
{
	struct spool_own *own = &writer->own;

	segment_close(own);
	own->fd = spool_segment_create(writer->dir_fd, first, writer->segment_bytes,
				       writer->fsync_it);
	if (own->fd < 0)
		return -1;
	spool_segments_add(&own->segments, (struct spool_segment){ first, writer->segment_bytes });
	spool_writer_lock(writer);
	assert(writer->shared.planned_bytes >= writer->segment_bytes);
	writer->shared.planned_bytes -= writer->segment_bytes;
	writer->shared.disk_bytes += writer->segment_bytes;
	spool_writer_unlock(writer);
	return 0;
}

static int writev_all(int fd, struct iovec *vec, int n)
{
	while (n > 0) {
		ssize_t put = writev(fd, vec, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = EIO;
		if (put <= 0)
			return -1;
		for (; n > 0 && (size_t)put >= vec->iov_len; vec++, n--)
			put -= (ssize_t)vec->iov_len;
		if (n > 0) {
			vec->iov_base = (char *)vec->iov_base + put;
			vec->iov_len -= (size_t)put;
		}
	}
	return 0;
}

static int write_entries(int fd, struct spool_entry *first, const struct spool_entry *end)
{
	struct iovec vec[WRITEV_ENTRIES];

	for (struct spool_entry *entry = first; entry != end;) {
		int n = 0;

		for (; entry != end && n < WRITEV_ENTRIES; entry = entry->next) {
			spool_entry_stamp(entry, entry == first);
			vec[n++] = (struct iovec){ entry->bytes, spool_entry_size(entry) };
		}
		if (writev_all(fd, vec, n) < 0)
			return -1;
	}
	return 0;
}

/* Makes as much of the flight durable as fits in one segment. *end is the first left over. */
static int commit_once(struct spool_writer *writer, struct spool_entry **end)
{
	struct spool_own *own = &writer->own;
	struct spool_entry *first = own->flight.first, *entry = first;
	size_t used;

	if ((own->fd < 0 || own->used + spool_entry_size(first) > writer->segment_bytes) &&
	    segment_begin(writer, first->sequence) < 0)
		return -1;
	for (used = own->used; entry != NULL; entry = entry->next) {
		if (used + spool_entry_size(entry) > writer->segment_bytes)
			break;
		used += spool_entry_size(entry);
	}
	if (write_entries(own->fd, first, entry) < 0)
		return -1;
	if (writer->fsync_it && fdatasync(own->fd) < 0)
		return -1;
	own->used = used;
	*end = entry;
	return 0;
}

static bool is_full(int error)
{
	return error == ENOSPC || error == EDQUOT;
}

/* A failed write or sync says nothing about what is on disk and, on this descriptor, never will
 * again: the unconfirmed records go to a new segment, once. */
static int commit(struct spool_writer *writer, struct spool_entry **end)
{
	for (int attempt = 1;; attempt++) {
		int error;

		if (commit_once(writer, end) == 0)
			return 0;
		error = errno;
		spool_commit_end(writer);
		spool_plan_again(writer);
		errno = error;
		if (attempt == COMMIT_ATTEMPTS || is_full(error))
			return -1;
	}
}

static void commit_failed(struct spool_writer *writer, int error)
{
	struct spool_shared *shared = &writer->shared;

	spool_list_drop(&writer->own.flight, NULL);
	spool_writer_lock(writer);
	spool_list_drop(&shared->queue, NULL);
	shared->flight_bytes = 0;
	shared->state = is_full(error) ? SPOOL_REFUSING : SPOOL_FAILED;
	err_set(&shared->commit_problem, ERR_UNAVAILABLE, "the spool cannot be written: %s",
		strerror(error));
	spool_writer_unlock(writer);
	spool_plan_again(writer);
	bell_ring(writer->bell);
}

void spool_commit_flight(struct spool_writer *writer)
{
	struct spool_own *own = &writer->own;

	while (own->flight.first != NULL) {
		struct spool_entry *end;
		uint64_t durable = 0;

		if (commit(writer, &end) < 0) {
			commit_failed(writer, errno);
			return;
		}
		durable = end == NULL ? own->flight.last->sequence : end->sequence - 1;
		spool_list_drop(&own->flight, end);
		spool_writer_lock(writer);
		writer->shared.durable = durable;
		writer->shared.flight_bytes = own->flight.bytes;
		spool_writer_unlock(writer);
		bell_ring(writer->bell);
	}
}
