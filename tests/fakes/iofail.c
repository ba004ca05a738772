/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/iofail.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static struct {
	pthread_mutex_t mutex;
	enum iofail_mode mode;
	unsigned n, seen;
	int error;
	bool fired;
} armed = { .mutex = PTHREAD_MUTEX_INITIALIZER };

ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __real_writev(int fd, const struct iovec *vec, int n);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t n);
int __real_ftruncate(int fd, off_t n);

ssize_t __wrap_write(int fd, const void *p, size_t n);
ssize_t __wrap_writev(int fd, const struct iovec *vec, int n);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t n);
int __wrap_ftruncate(int fd, off_t n);

void iofail_arm(enum iofail_mode mode, unsigned n, int error)
{
	pthread_mutex_lock(&armed.mutex);
	armed.mode = mode;
	armed.n = n;
	armed.error = error;
	armed.seen = 0;
	armed.fired = false;
	pthread_mutex_unlock(&armed.mutex);
}

void iofail_disarm(void)
{
	pthread_mutex_lock(&armed.mutex);
	armed.mode = IOFAIL_OFF;
	pthread_mutex_unlock(&armed.mutex);
}

int iofail_fired(void)
{
	int fired;

	pthread_mutex_lock(&armed.mutex);
	fired = armed.fired;
	pthread_mutex_unlock(&armed.mutex);
	return fired;
}

enum verdict { PASS, FAIL, SHORT };

enum call { CALL_WRITE, CALL_SYNC, CALL_FALLOCATE, CALL_FTRUNCATE };

static bool counts(enum call call)
{
	switch (armed.mode) {
	case IOFAIL_OFF:
		return false;
	case IOFAIL_SHORT_ONCE:
		return call == CALL_WRITE;
	case IOFAIL_EINTR_ONCE:
		return call == CALL_WRITE || call == CALL_FALLOCATE;
	case IOFAIL_ONCE:
	case IOFAIL_FROM:
		break;
	}
	return true;
}

static enum verdict judge(int fd, enum call call)
{
	enum verdict verdict = PASS;
	struct stat info;

	if (fstat(fd, &info) < 0 || (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)))
		return PASS;
	pthread_mutex_lock(&armed.mutex);
	if (counts(call)) {
		armed.seen++;
		if (armed.seen == armed.n || (armed.mode == IOFAIL_FROM && armed.seen > armed.n))
			verdict = armed.mode == IOFAIL_SHORT_ONCE ? SHORT : FAIL;
	}
	if (verdict != PASS)
		armed.fired = true;
	if (verdict == FAIL)
		errno = armed.mode == IOFAIL_EINTR_ONCE ? EINTR : armed.error;
	pthread_mutex_unlock(&armed.mutex);
	return verdict;
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
	enum verdict verdict = judge(fd, CALL_WRITE);

	if (verdict == FAIL)
		return -1;
	return __real_write(fd, p, verdict == SHORT && n > 1 ? n / 2 : n);
}

/* Half of the entries, and half of the last of those. */
ssize_t __wrap_writev(int fd, const struct iovec *vec, int n)
{
	enum verdict verdict = judge(fd, CALL_WRITE);
	size_t bytes = 0;

	if (verdict == FAIL)
		return -1;
	if (verdict == PASS)
		return __real_writev(fd, vec, n);
	for (int i = 0; i < n / 2; i++) {
		ssize_t put = __real_write(fd, vec[i].iov_base, vec[i].iov_len);

		if (put < 0)
			return -1;
		bytes += (size_t)put;
	}
	return (ssize_t)bytes + __real_write(fd, vec[n / 2].iov_base, (vec[n / 2].iov_len + 1) / 2);
}

int __wrap_fdatasync(int fd)
{
	return judge(fd, CALL_SYNC) == FAIL ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	return judge(fd, CALL_SYNC) == FAIL ? -1 : __real_fsync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t n)
{
	return judge(fd, CALL_FALLOCATE) == FAIL ? -1 : __real_fallocate(fd, mode, offset, n);
}

int __wrap_ftruncate(int fd, off_t n)
{
	return judge(fd, CALL_FTRUNCATE) == FAIL ? -1 : __real_ftruncate(fd, n);
}
