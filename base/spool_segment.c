/* SPDX-License-Identifier: Apache-2.0 */
/* The spool's files: segments, named by the sequence of their first record, and the checkpoint. */
#include <assert.h>
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"
#include "base/spool_priv.h"

#define NAME_DIGITS 16
#define NAME_SUFFIX ".seg"
#define NAME_BYTES  (NAME_DIGITS + sizeof(NAME_SUFFIX))

#define CHECKPOINT_NAME "checkpoint"
#define CHECKPOINT_NEW	"checkpoint.new"

/* Closes without losing errno. */
static void close_quietly(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

/* A new directory is durable only in the one above it. */
static int dir_made(int fd)
{
	int parent = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = parent < 0 ? -1 : fsync(parent);

	close_quietly(parent);
	return ret;
}

int spool_dir_open(const char *dir, struct err *err)
{
	int made = mkdir(dir, 0700);
	int fd;

	if (made < 0 && errno != EEXIST)
		return err_set(err, ERR_INTERNAL, "%s: %s", dir, strerror(errno));
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, ERR_INTERNAL, "%s: %s", dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && (made < 0 || dir_made(fd) == 0))
		return fd;
	if (errno == EWOULDBLOCK)
		err_set(err, ERR_CONFLICT, "%s: in use by another process", dir);
	else
		err_set(err, ERR_INTERNAL, "%s: %s", dir, strerror(errno));
	close(fd);
	return -1;
}

static void name_write(uint64_t first, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%0*" PRIx64 NAME_SUFFIX, NAME_DIGITS, first);
}

/* Other files in the directory are not ours to judge. */
static bool name_read(const char *name, uint64_t *first)
{
	uint8_t bytes[NAME_DIGITS / 2];
	char again[NAME_BYTES];

	if (strlen(name) != NAME_BYTES - 1 ||
	    hex_decode((struct span){ name, NAME_DIGITS }, bytes, sizeof(bytes)) < 0)
		return false;
	memcpy(first, bytes, sizeof(bytes));
	*first = be64toh(*first);
	name_write(*first, again);
	return *first > 0 && strcmp(name, again) == 0;
}

static int by_first(const void *a, const void *b)
{
	const struct spool_segment *left = a, *right = b;

	return left->first < right->first ? -1 : left->first > right->first;
}

bool spool_dir_has_records(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	bool found = false;
	uint64_t first;

	if (dir == NULL)
		return false;
	while (!found && (entry = readdir(dir)) != NULL)
		found = name_read(entry->d_name, &first);
	closedir(dir);
	return found;
}

int spool_segments_list(int dir_fd, struct spool_segments *out)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	int saved;

	if (dir == NULL) {
		close_quietly(fd);
		return -1;
	}
	errno = 0;
	while ((entry = readdir(dir)) != NULL) {
		struct spool_segment segment;
		struct stat info;

		if (!name_read(entry->d_name, &segment.first))
			continue;
		if (fstatat(dir_fd, entry->d_name, &info, 0) < 0)
			break;
		segment.bytes = (size_t)info.st_size;
		spool_segments_add(out, segment);
		errno = 0;
	}
	saved = errno;
	closedir(dir);
	if (out->n > 0)
		qsort(out->at, out->n, sizeof(*out->at), by_first);
	errno = saved;
	return saved == 0 ? 0 : -1;
}

void spool_segments_add(struct spool_segments *segments, struct spool_segment segment)
{
	segments->at = mem_resize(segments->at, segments->n + 1, sizeof(*segments->at));
	segments->at[segments->n++] = segment;
}

void spool_segments_drop_first(struct spool_segments *segments)
{
	assert(segments->n > 0);
	segments->n--;
	memmove(segments->at, segments->at + 1, segments->n * sizeof(*segments->at));
}

static int segment_open(int dir_fd, uint64_t first, int flags)
{
	char name[NAME_BYTES];

	name_write(first, name);
	return openat(dir_fd, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static int read_all(int fd, char *to, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0)
			errno = EIO; /* shorter than it was a moment ago */
		if (got <= 0)
			return -1;
		to += got;
		n -= (size_t)got;
	}
	return 0;
}

int spool_segment_read(int dir_fd, uint64_t first, struct span *out)
{
	int fd = segment_open(dir_fd, first, O_RDONLY);
	struct stat info;
	char *bytes = NULL;
	int ret = -1;

	if (fd < 0 || fstat(fd, &info) < 0)
		goto out;
	if ((size_t)info.st_size > SPOOL_SEGMENT_BYTES_MAX) {
		errno = EFBIG;
		goto out;
	}
	bytes = mem_new((size_t)info.st_size + 1);
	if (read_all(fd, bytes, (size_t)info.st_size) < 0) {
		free(bytes);
		goto out;
	}
	*out = (struct span){ bytes, (size_t)info.st_size };
	ret = 0;
out:
	close_quietly(fd);
	return ret;
}

/* A filesystem that cannot preallocate is used without: room may then run out in a write. */
static int preallocate(int fd, size_t bytes)
{
	while (fallocate(fd, 0, 0, (off_t)bytes) < 0) {
		if (errno == EOPNOTSUPP)
			return 0;
		if (errno != EINTR)
			return -1;
	}
	return 0;
}

int spool_segment_create(int dir_fd, uint64_t first, size_t bytes, bool fsync_it)
{
	int fd = segment_open(dir_fd, first, O_WRONLY | O_CREAT | O_EXCL);
	int saved;

	if (fd < 0)
		return -1;
	if (preallocate(fd, bytes) == 0 && (!fsync_it || (fsync(fd) == 0 && fsync(dir_fd) == 0)))
		return fd;
	saved = errno;
	close(fd);
	/* Should it stay, the next one of this name fails: no worse than now. */
	(void)!spool_segment_remove(dir_fd, first);
	errno = saved;
	return -1;
}

int spool_segment_cut(int dir_fd, uint64_t first, size_t bytes, bool fsync_it)
{
	int fd = segment_open(dir_fd, first, O_WRONLY);
	int ret = -1;

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)bytes) == 0 && (!fsync_it || fsync(fd) == 0))
		ret = 0;
	close_quietly(fd);
	return ret;
}

int spool_segment_remove(int dir_fd, uint64_t first)
{
	char name[NAME_BYTES];

	name_write(first, name);
	return unlinkat(dir_fd, name, 0);
}

/*
 * magic 8 | released u64 | last u64 | note: length u8, bytes | crc32c u32 of all before,
 * big-endian. Version 1, which is still read, had no note.
 */
static const char checkpoint_magic[8] = { 'T', 'G', 'S', 'P', 'O', 'O', 'L', '2' };
static const char checkpoint_magic_1[8] = { 'T', 'G', 'S', 'P', 'O', 'O', 'L', '1' };

enum {
	AT_MAGIC = 0,
	AT_RELEASED = 8,
	AT_LAST = 16,
	AT_NOTE_BYTES = 24, /* of version 1: the sum */
	AT_NOTE = 25,
	SUM_BYTES = 4,
	CHECKPOINT_BYTES_MAX = AT_NOTE + SPOOL_NOTE_BYTES + SUM_BYTES,
};

static int write_all(int fd, const uint8_t *from, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, from, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = EIO;
		if (put <= 0)
			return -1;
		from += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Returns how many bytes it takes. */
static size_t checkpoint_write(const struct spool_checkpoint *checkpoint,
			       uint8_t bytes[CHECKPOINT_BYTES_MAX])
{
	uint64_t released = htobe64(checkpoint->released);
	uint64_t last = htobe64(checkpoint->last);
	size_t n = AT_NOTE + checkpoint->note.n;
	uint32_t sum;

	assert(checkpoint->last >= checkpoint->released && checkpoint->note.n <= SPOOL_NOTE_BYTES);
	memcpy(bytes + AT_MAGIC, checkpoint_magic, sizeof(checkpoint_magic));
	memcpy(bytes + AT_RELEASED, &released, sizeof(released));
	memcpy(bytes + AT_LAST, &last, sizeof(last));
	bytes[AT_NOTE_BYTES] = (uint8_t)checkpoint->note.n;
	memcpy(bytes + AT_NOTE, checkpoint->note.bytes, checkpoint->note.n);
	sum = htobe32(crypto_crc32c(bytes, n));
	memcpy(bytes + n, &sum, sizeof(sum));
	return n + SUM_BYTES;
}

int spool_checkpoint_save(int dir_fd, const struct spool_checkpoint *checkpoint, bool fsync_it)
{
	uint8_t bytes[CHECKPOINT_BYTES_MAX];
	size_t n = checkpoint_write(checkpoint, bytes);
	int fd, ret = -1;

	fd = openat(dir_fd, CHECKPOINT_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0)
		goto out;
	ret = write_all(fd, bytes, n);
	if (ret == 0 && fsync_it)
		ret = fdatasync(fd);
	close_quietly(fd);
	if (ret == 0)
		ret = renameat(dir_fd, CHECKPOINT_NEW, dir_fd, CHECKPOINT_NAME);
out:
	mem_wipe(bytes, sizeof(bytes));
	return ret;
}

static bool sum_holds(const uint8_t *bytes, size_t n)
{
	uint32_t sum = htobe32(crypto_crc32c(bytes, n));

	return memcmp(bytes + n, &sum, sizeof(sum)) == 0;
}

/* Where the sum stands; 0: these bytes are no checkpoint. */
static size_t checkpoint_body(const uint8_t *bytes, size_t n)
{
	if (n == AT_NOTE_BYTES + SUM_BYTES &&
	    memcmp(bytes, checkpoint_magic_1, sizeof(checkpoint_magic_1)) == 0)
		return AT_NOTE_BYTES;
	if (n >= AT_NOTE + SUM_BYTES && bytes[AT_NOTE_BYTES] <= SPOOL_NOTE_BYTES &&
	    n == AT_NOTE + (size_t)bytes[AT_NOTE_BYTES] + SUM_BYTES &&
	    memcmp(bytes, checkpoint_magic, sizeof(checkpoint_magic)) == 0)
		return n - SUM_BYTES;
	return 0;
}

int spool_checkpoint_parse(struct span file, struct spool_checkpoint *out)
{
	const uint8_t *bytes = (const uint8_t *)file.p;
	size_t n = checkpoint_body(bytes, file.n);

	*out = (struct spool_checkpoint){ 0 };
	if (n == 0 || !sum_holds(bytes, n))
		return -1;
	memcpy(&out->released, bytes + AT_RELEASED, sizeof(out->released));
	memcpy(&out->last, bytes + AT_LAST, sizeof(out->last));
	out->released = be64toh(out->released);
	out->last = be64toh(out->last);
	if (n > AT_NOTE) {
		out->note.n = n - AT_NOTE;
		memcpy(out->note.bytes, bytes + AT_NOTE, out->note.n);
	}
	return out->last >= out->released ? 0 : -1;
}

static int checkpoint_read(int fd, size_t n, struct spool_checkpoint *out)
{
	uint8_t bytes[CHECKPOINT_BYTES_MAX];
	int ret = read_all(fd, (char *)bytes, n);

	if (ret == 0 && spool_checkpoint_parse((struct span){ (char *)bytes, n }, out) < 0) {
		errno = EBADMSG;
		ret = -1;
	}
	mem_wipe(bytes, sizeof(bytes));
	return ret;
}

int spool_checkpoint_load(int dir_fd, struct spool_checkpoint *out)
{
	int fd = openat(dir_fd, CHECKPOINT_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct stat info;
	int ret = -1;

	if (fd < 0)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &info) == 0) {
		if ((size_t)info.st_size > CHECKPOINT_BYTES_MAX)
			errno = EBADMSG;
		else if (checkpoint_read(fd, (size_t)info.st_size, out) == 0)
			ret = 1;
	}
	close_quietly(fd);
	return ret;
}
