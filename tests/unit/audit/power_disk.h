/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_POWER_DISK_H
#define TESTS_UNIT_AUDIT_POWER_DISK_H

/*
 * A disk that loses its power. While it records, every call that changes the files of one
 * directory is written down; afterwards the directory can be built as it may look when the power
 * went at any of these calls:
 *
 * - what was synced is there. What was written since, to a file or to the directory, may be there
 *   or not, each call for itself, in any order;
 * - of a write each sector (512 bytes) may be there or not; one that is not is as it was or, in a
 *   part of a file that was never synced, anything.
 *
 * A test that uses it links with --wrap of all calls below.
 */

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"

#define DISK_MAX_FILES 512
#define DISK_MAX_FDS   1024
#define DISK_SECTOR    512
#define DISK_NAME      32

enum disk_op_kind {
	DISK_CREATE,
	DISK_WRITE,
	DISK_SIZE,
	DISK_SYNC,
	DISK_SYNC_DIR,
	DISK_RENAME,
	DISK_UNLINK,
	DISK_NOTE, /* of the test: what somebody was told by then */
};

struct disk_op {
	enum disk_op_kind kind;
	int file; /* all but SYNC_DIR and NOTE */
	char name[DISK_NAME];
	char to[DISK_NAME]; /* RENAME */
	size_t at, n;	    /* WRITE: where, how many; SIZE: n is the new size */
	uint8_t *bytes;
	int what; /* NOTE */
	uint64_t value;
};

struct disk_file {
	uint8_t *bytes;
	size_t size, room;
};

struct disk_entry {
	char name[DISK_NAME]; /* "": gone */
	int file;
};

struct disk {
	struct disk_file files[DISK_MAX_FILES]; /* as they were when it began to record */
	struct disk_entry entries[DISK_MAX_FILES];
	int n_files, n_entries;
	struct disk_op *ops;
	size_t n_ops;
};

/* What records now. */
static struct {
	pthread_mutex_t mutex;
	struct disk *disk;
	dev_t device;
	ino_t dir;
	struct disk_entry live[DISK_MAX_FILES];
	int n_live;
	struct {
		bool open;
		int file;
		size_t at;
	} fds[DISK_MAX_FDS];
} recorder = { .mutex = PTHREAD_MUTEX_INITIALIZER };

/* xorshift: the same course in every run. */
static inline uint32_t disk_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 16);
}

/* --- names ----------------------------------------------------------------------------------- */

static inline struct disk_entry *entry_find(struct disk_entry *entries, int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		if (strcmp(entries[i].name, name) == 0)
			return &entries[i];
	}
	return NULL;
}

static inline void entry_put(struct disk_entry *entries, int *n, const char *name, int file)
{
	struct disk_entry *entry = entry_find(entries, *n, name);

	if (entry == NULL)
		entry = entry_find(entries, *n, "");
	if (entry == NULL) {
		assert_true(*n < DISK_MAX_FILES);
		entry = &entries[(*n)++];
	}
	snprintf(entry->name, sizeof(entry->name), "%s", name);
	entry->file = file;
}

static inline void entry_drop(struct disk_entry *entries, int n, const char *name)
{
	struct disk_entry *entry = entry_find(entries, n, name);

	if (entry != NULL)
		entry->name[0] = '\0';
}

/* --- recording ------------------------------------------------------------------------------- */

static inline struct disk_op *op_add(enum disk_op_kind kind, int file)
{
	struct disk *disk = recorder.disk;

	disk->ops = mem_resize(disk->ops, disk->n_ops + 1, sizeof(*disk->ops));
	disk->ops[disk->n_ops] = (struct disk_op){ .kind = kind, .file = file };
	return &disk->ops[disk->n_ops++];
}

static inline void disk_note(int what, uint64_t value)
{
	struct disk_op *op;

	pthread_mutex_lock(&recorder.mutex);
	if (recorder.disk != NULL) {
		op = op_add(DISK_NOTE, -1);
		op->what = what;
		op->value = value;
	}
	pthread_mutex_unlock(&recorder.mutex);
}

static inline void disk_record(struct disk *disk, const char *dir)
{
	struct stat info;

	assert_int_equal(stat(dir, &info), 0);
	pthread_mutex_lock(&recorder.mutex);
	recorder.disk = disk;
	recorder.device = info.st_dev;
	recorder.dir = info.st_ino;
	memcpy(recorder.live, disk->entries, sizeof(recorder.live));
	recorder.n_live = disk->n_entries;
	memset(recorder.fds, 0, sizeof(recorder.fds));
	pthread_mutex_unlock(&recorder.mutex);
}

static inline void disk_stop(void)
{
	pthread_mutex_lock(&recorder.mutex);
	recorder.disk = NULL;
	pthread_mutex_unlock(&recorder.mutex);
}

static inline bool is_dir(int fd)
{
	struct stat info;

	return recorder.disk != NULL && fstat(fd, &info) == 0 && info.st_ino == recorder.dir &&
	       info.st_dev == recorder.device;
}

static inline bool is_file(int fd)
{
	return recorder.disk != NULL && fd >= 0 && fd < DISK_MAX_FDS && recorder.fds[fd].open;
}

int __real_openat(int dir, const char *name, int flags, ...);
int __real_close(int fd);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_writev(int fd, const struct iovec *vec, int n);
int __real_fallocate(int fd, int mode, off_t offset, off_t n);
int __real_ftruncate(int fd, off_t n);
int __real_fsync(int fd);
int __real_fdatasync(int fd);
int __real_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __real_unlinkat(int dir, const char *name, int flags);

int __wrap_openat(int dir, const char *name, int flags, ...);
int __wrap_close(int fd);
ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_writev(int fd, const struct iovec *vec, int n);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t n);
int __wrap_ftruncate(int fd, off_t n);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);
int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to);
int __wrap_unlinkat(int dir, const char *name, int flags);

static inline void note_opened(int fd, const char *name, int flags)
{
	struct disk_entry *entry = entry_find(recorder.live, recorder.n_live, name);
	int file;

	if (entry == NULL && (flags & O_CREAT) == 0)
		return;
	if (entry != NULL) {
		file = entry->file;
		if ((flags & O_TRUNC) != 0)
			op_add(DISK_SIZE, file);
	} else {
		struct disk_op *op;

		file = recorder.disk->n_files++;
		assert_true(file < DISK_MAX_FILES);
		op = op_add(DISK_CREATE, file);
		snprintf(op->name, sizeof(op->name), "%s", name);
		entry_put(recorder.live, &recorder.n_live, name, file);
	}
	assert_true(fd < DISK_MAX_FDS);
	recorder.fds[fd].open = true;
	recorder.fds[fd].file = file;
	recorder.fds[fd].at = 0;
}

int __wrap_openat(int dir, const char *name, int flags, ...)
{
	va_list args;
	mode_t mode;
	int fd;

	va_start(args, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	pthread_mutex_lock(&recorder.mutex);
	fd = __real_openat(dir, name, flags, mode);
	if (fd >= 0 && (flags & O_ACCMODE) == O_WRONLY && is_dir(dir))
		note_opened(fd, name, flags);
	pthread_mutex_unlock(&recorder.mutex);
	return fd;
}

int __wrap_close(int fd)
{
	pthread_mutex_lock(&recorder.mutex);
	if (is_file(fd))
		recorder.fds[fd].open = false;
	pthread_mutex_unlock(&recorder.mutex);
	return __real_close(fd);
}

static inline void note_written(int fd, const void *p, size_t n)
{
	struct disk_op *op = op_add(DISK_WRITE, recorder.fds[fd].file);

	op->at = recorder.fds[fd].at;
	op->n = n;
	op->bytes = mem_dup(p, n);
	recorder.fds[fd].at += n;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	ssize_t put;

	pthread_mutex_lock(&recorder.mutex);
	put = __real_write(fd, p, n);
	if (put > 0 && is_file(fd))
		note_written(fd, p, (size_t)put);
	pthread_mutex_unlock(&recorder.mutex);
	return put;
}

ssize_t __wrap_writev(int fd, const struct iovec *vec, int n)
{
	size_t left;
	ssize_t put;

	pthread_mutex_lock(&recorder.mutex);
	put = __real_writev(fd, vec, n);
	left = put > 0 && is_file(fd) ? (size_t)put : 0;
	for (int i = 0; i < n && left > 0; i++) {
		size_t part = vec[i].iov_len < left ? vec[i].iov_len : left;

		note_written(fd, vec[i].iov_base, part);
		left -= part;
	}
	pthread_mutex_unlock(&recorder.mutex);
	return put;
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t n)
{
	int ret;

	pthread_mutex_lock(&recorder.mutex);
	ret = __real_fallocate(fd, mode, offset, n);
	if (ret == 0 && is_file(fd))
		op_add(DISK_SIZE, recorder.fds[fd].file)->n = (size_t)(offset + n);
	pthread_mutex_unlock(&recorder.mutex);
	return ret;
}

int __wrap_ftruncate(int fd, off_t n)
{
	int ret;

	pthread_mutex_lock(&recorder.mutex);
	ret = __real_ftruncate(fd, n);
	if (ret == 0 && is_file(fd))
		op_add(DISK_SIZE, recorder.fds[fd].file)->n = (size_t)n;
	pthread_mutex_unlock(&recorder.mutex);
	return ret;
}

static inline int note_synced(int fd, int (*sync)(int fd))
{
	int ret;

	pthread_mutex_lock(&recorder.mutex);
	ret = sync(fd);
	if (ret == 0 && is_file(fd))
		op_add(DISK_SYNC, recorder.fds[fd].file);
	else if (ret == 0 && is_dir(fd))
		op_add(DISK_SYNC_DIR, -1);
	pthread_mutex_unlock(&recorder.mutex);
	return ret;
}

int __wrap_fsync(int fd)
{
	return note_synced(fd, __real_fsync);
}

int __wrap_fdatasync(int fd)
{
	return note_synced(fd, __real_fdatasync);
}

int __wrap_renameat(int from_dir, const char *from, int to_dir, const char *to)
{
	int ret;

	pthread_mutex_lock(&recorder.mutex);
	ret = __real_renameat(from_dir, from, to_dir, to);
	if (ret == 0 && is_dir(from_dir)) {
		int file = entry_find(recorder.live, recorder.n_live, from)->file;
		struct disk_op *op = op_add(DISK_RENAME, file);

		snprintf(op->name, sizeof(op->name), "%s", from);
		snprintf(op->to, sizeof(op->to), "%s", to);
		entry_drop(recorder.live, recorder.n_live, from);
		entry_put(recorder.live, &recorder.n_live, to, file);
	}
	pthread_mutex_unlock(&recorder.mutex);
	return ret;
}

int __wrap_unlinkat(int dir, const char *name, int flags)
{
	int ret;

	pthread_mutex_lock(&recorder.mutex);
	ret = __real_unlinkat(dir, name, flags);
	if (ret == 0 && is_dir(dir)) {
		struct disk_op *op = op_add(DISK_UNLINK, -1);

		snprintf(op->name, sizeof(op->name), "%s", name);
		entry_drop(recorder.live, recorder.n_live, name);
	}
	pthread_mutex_unlock(&recorder.mutex);
	return ret;
}

#endif
