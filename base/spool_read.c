/* SPDX-License-Identifier: Apache-2.0 */
/* Looking at a spool without owning it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/spool_priv.h"

struct reading {
	const char *dir;
	int dir_fd;
	struct spool_segments segments;
	struct spool_checkpoint checkpoint;
	spool_record *each;
	void *ctx;
	struct spool_content *out;
};

static int failed(const struct reading *reading, const char *what, struct err *err)
{
	return err_set(err, ERR_INTERNAL, "%s%s: %s", reading->dir, what, strerror(errno));
}

static int segment_read(const struct reading *reading, size_t i, struct err *err)
{
	const struct spool_segment *segment = &reading->segments.at[i];
	struct spool_content *out = reading->out;
	bool is_last = i + 1 == reading->segments.n;
	uint64_t limit = is_last ? UINT64_MAX : segment[1].first - 1;
	struct spool_scan scan;
	struct span bytes;

	out->bytes += segment->bytes;
	if (limit <= reading->checkpoint.released)
		return 0;
	if (spool_segment_read(reading->dir_fd, segment->first, &bytes) < 0) {
		/* Its owner has removed it since it was listed: it was released. */
		return errno == ENOENT && out->has_owner ? 0 : failed(reading, "", err);
	}
	spool_scan(bytes, segment->first, limit, reading->checkpoint.released + 1, reading->each,
		   reading->ctx, &scan);
	free((void *)bytes.p);
	if (scan.last > out->last)
		out->last = scan.last;
	if (!is_last)
		out->n_lost += limit - scan.last;
	else if (scan.tail == SPOOL_TAIL_DAMAGED)
		out->n_lost += scan.highest - scan.last;
	return 0;
}

static int read_all(struct reading *reading, struct err *err)
{
	int has_checkpoint;

	if (spool_segments_list(reading->dir_fd, &reading->segments) < 0)
		return failed(reading, "", err);
	has_checkpoint = spool_checkpoint_load(reading->dir_fd, &reading->checkpoint);
	if (has_checkpoint < 0 && errno != EBADMSG)
		return failed(reading, "/checkpoint", err);
	if (has_checkpoint == 0 && reading->segments.n == 0)
		return err_set(err, ERR_NOT_FOUND, "%s: no spool is there", reading->dir);
	reading->out->n_segments = reading->segments.n;
	reading->out->released = reading->checkpoint.released;
	reading->out->last = reading->checkpoint.last;
	for (size_t i = 0; i < reading->segments.n; i++)
		if (segment_read(reading, i, err) < 0)
			return -1;
	return 0;
}

int spool_read(const char *dir, spool_record *each, void *ctx, struct spool_content *out,
	       struct err *err)
{
	struct reading reading = { .dir = dir, .each = each, .ctx = ctx, .out = out };
	int ret;

	*out = (struct spool_content){ 0 };
	reading.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (reading.dir_fd < 0)
		return err_set(err,
			       errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_INTERNAL,
			       "%s: %s", dir, strerror(errno));
	/* Shared: other readers do not make it look owned. */
	out->has_owner = flock(reading.dir_fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	ret = read_all(&reading, err);
	free(reading.segments.at);
	close(reading.dir_fd);
	return ret;
}
