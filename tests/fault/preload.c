/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What breaks under a gateway that runs: loaded into it with LD_PRELOAD, told what to do by a file
 * (lib/preload.mjs) that TOLLGATE_FAULT_CONTROL names and every process maps. Only `tollgate`
 * itself is touched, none of the programs that it starts.
 *
 * - The n-th call that changes a file below a spool of the book fails, or it and all later ones do;
 *   or a write takes half of its bytes, or is interrupted. n counts over all workers.
 * - The wall clock is some time ahead or behind. The monotonic one goes on.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum mode { OFF, ONCE, FROM, SHORT_ONCE, EINTR_ONCE };

/* As lib/preload.mjs writes it, little-endian. */
struct control {
	_Atomic int32_t mode;
	_Atomic int32_t error;
	_Atomic uint32_t n;
	_Atomic uint32_t seen;
	_Atomic uint32_t fired;
	_Atomic int32_t clock_s;
};

enum call { CALL_WRITE, CALL_SYNC, CALL_OTHER };
enum verdict { PASS, FAIL, SHORT };

static struct {
	struct control *control; /* NULL: another program */
	ssize_t (*write)(int fd, const void *p, size_t n);
	ssize_t (*writev)(int fd, const struct iovec *vec, int n);
	int (*fsync)(int fd);
	int (*fdatasync)(int fd);
	int (*fallocate)(int fd, int mode, off_t offset, off_t n);
	int (*ftruncate)(int fd, off_t n);
	int (*clock_gettime)(clockid_t clock, struct timespec *out);
} real;

static void *next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

static bool is_tollgate(void)
{
	char path[512];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	const char *name;

	if (n <= 0)
		return false;
	path[n] = '\0';
	name = strrchr(path, '/');
	return name != NULL && strcmp(name, "/tollgate") == 0;
}

static struct control *map_control(void)
{
	const char *path = getenv("TOLLGATE_FAULT_CONTROL");
	struct control *control;
	int fd;

	if (path == NULL || !is_tollgate())
		return NULL;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return control == MAP_FAILED ? NULL : control;
}

__attribute__((constructor)) static void load(void)
{
	real.write = (ssize_t(*)(int, const void *, size_t))next("write");
	real.writev = (ssize_t(*)(int, const struct iovec *, int))next("writev");
	real.fsync = (int (*)(int))next("fsync");
	real.fdatasync = (int (*)(int))next("fdatasync");
	real.fallocate = (int (*)(int, int, off_t, off_t))next("fallocate");
	real.ftruncate = (int (*)(int, off_t))next("ftruncate");
	real.clock_gettime = (int (*)(clockid_t, struct timespec *))next("clock_gettime");
	real.control = map_control();
}

static bool is_in_spool(int fd)
{
	char link[64];
	char path[512];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return strstr(path, "/spool-") != NULL;
}

static bool counts(enum mode mode, enum call call)
{
	if (mode == SHORT_ONCE || mode == EINTR_ONCE)
		return call == CALL_WRITE;
	return mode != OFF;
}

static enum verdict judge(int fd, enum call call)
{
	struct control *control = real.control;
	enum mode mode;
	uint32_t at;

	if (control == NULL)
		return PASS;
	mode = (enum mode)control->mode;
	if (!counts(mode, call) || !is_in_spool(fd))
		return PASS;
	at = atomic_fetch_add(&control->seen, 1) + 1;
	if (mode == FROM ? at < control->n : at != control->n)
		return PASS;
	atomic_fetch_add(&control->fired, 1);
	errno = mode == EINTR_ONCE ? EINTR : control->error;
	return mode == SHORT_ONCE ? SHORT : FAIL;
}

ssize_t write(int fd, const void *p, size_t n)
{
	enum verdict verdict = judge(fd, CALL_WRITE);

	if (verdict == FAIL)
		return -1;
	return real.write(fd, p, verdict == SHORT && n > 1 ? n / 2 : n);
}

ssize_t writev(int fd, const struct iovec *vec, int n)
{
	enum verdict verdict = judge(fd, CALL_WRITE);

	if (verdict == FAIL)
		return -1;
	if (verdict == SHORT && n > 0)
		return real.write(fd, vec[0].iov_base, (vec[0].iov_len + 1) / 2);
	return real.writev(fd, vec, n);
}

int fsync(int fd)
{
	return judge(fd, CALL_SYNC) == FAIL ? -1 : real.fsync(fd);
}

int fdatasync(int fd)
{
	return judge(fd, CALL_SYNC) == FAIL ? -1 : real.fdatasync(fd);
}

int fallocate(int fd, int mode, off_t offset, off_t n)
{
	return judge(fd, CALL_OTHER) == FAIL ? -1 : real.fallocate(fd, mode, offset, n);
}

int ftruncate(int fd, off_t n)
{
	return judge(fd, CALL_OTHER) == FAIL ? -1 : real.ftruncate(fd, n);
}

/* --- the wall clock -------------------------------------------------------------------------- */

static int32_t ahead(void)
{
	return real.control != NULL ? real.control->clock_s : 0;
}

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int ret;

	if (real.clock_gettime == NULL)
		load();
	ret = real.clock_gettime(clock, out);
	if (ret == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out->tv_sec += ahead();
	return ret;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out = (struct timeval){ now.tv_sec, now.tv_nsec / 1000 };
	return 0;
}

time_t time(time_t *out)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out != NULL)
		*out = now.tv_sec;
	return now.tv_sec;
}
