/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The file of a keyring. It is written beside the old one, made durable and put in its place: at
 * whatever moment the machine stops, one of the two is there, whole.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tokenstore/keyring_priv.h"

#define CREDENTIALS "/run/credentials/"

static bool is_below(const char *path, const char *dir)
{
	size_t n = dir != NULL ? strlen(dir) : 0;

	while (n > 1 && dir[n - 1] == '/')
		n--;
	return n > 1 && strncmp(path, dir, n) == 0 && path[n] == '/';
}

bool keyring_is_credential(const char *path)
{
	return is_below(path, getenv("CREDENTIALS_DIRECTORY")) || is_below(path, CREDENTIALS);
}

/* Reading. */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INTERNAL, "%s", what);
}

/* The service manager may give a credential to its user by an access control list, and the mask of
 * that stands where the group's permissions would be. */
static mode_t forbidden_mode(const char *path, const struct stat *info)
{
	return keyring_is_credential(path) && info->st_uid == 0 ? 037 : 077;
}

static int file_check(const char *path, int fd, struct err *err)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return bad(err, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return bad(err, "is not a regular file");
	if ((info.st_mode & forbidden_mode(path, &info)) != 0)
		return bad(err, "must not be accessible to others: chmod 600");
	if (info.st_uid != geteuid() && info.st_uid != 0 && geteuid() != 0)
		return bad(err, "belongs to another user");
	if (info.st_size > KEYRING_FILE_MAX_BYTES)
		return bad(err, "is too large for a keyring");
	return 0;
}

static int file_read(int fd, struct buf *text, struct err *err)
{
	char chunk[1024];
	ssize_t n;
	int ret = 0;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = bad(err, strerror(errno));
		else if (buf_append(text, chunk, (size_t)n) < 0)
			ret = bad(err, "is too large for a keyring");
		if (ret < 0)
			break;
	}
	mem_wipe(chunk, sizeof(chunk));
	return ret;
}

struct keyring *keyring_load(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct keyring *keyring = NULL;
	struct buf text;

	if (fd < 0) {
		err_set(err, ERR_INTERNAL, "keyring %s: %s", path, strerror(errno));
		return NULL;
	}
	buf_init(&text, KEYRING_FILE_MAX_BYTES);
	if (file_check(path, fd, err) == 0 && file_read(fd, &text, err) == 0)
		keyring = keyring_parse(buf_span(&text), err);
	if (keyring == NULL)
		err_prefix(err, "keyring %s", path);
	buf_wipe(&text);
	close(fd);
	return keyring;
}

bool keyring_stamp(const char *path, struct keyring_stamp *stamp)
{
	struct keyring_stamp was = *stamp;
	struct stat info;

	memset(stamp, 0, sizeof(*stamp));
	if (stat(path, &info) == 0) {
		stamp->device = (uint64_t)info.st_dev;
		stamp->inode = (uint64_t)info.st_ino;
		stamp->changed_s = info.st_ctim.tv_sec;
		stamp->changed_ns = info.st_ctim.tv_nsec;
	}
	return memcmp(&was, stamp, sizeof(was)) != 0;
}

/* Writing. */

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = EIO;
		if (put <= 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Makes the name durable. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? mem_strdup(".") : mem_strndup(path, (size_t)(slash - path) + 1);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : fsync(fd);

	free(dir);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* Fills a file that nobody sees under its name yet. */
static int file_fill(int fd, struct span text)
{
	return fchmod(fd, 0600) == 0 && write_all(fd, text.p, text.n) == 0 && fsync(fd) == 0 ? 0
											     : -1;
}

/* link, unlike rename, refuses a name that exists. */
static int file_publish(const char *path, struct span text)
{
	char *temporary = mem_printf("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	int ret = -1, saved;

	if (fd >= 0 && file_fill(fd, text) == 0 && link(temporary, path) == 0)
		ret = sync_parent(path);
	saved = errno;
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	errno = saved;
	return ret;
}

static int fail(struct err *err, const char *path)
{
	return err_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, "keyring %s: %s", path,
		       strerror(errno));
}

int keyring_create(const char *path, struct err *err)
{
	struct keyring *keyring = keyring_new();
	struct buf text;
	int ret;

	crypto_random(keyring->pepper, sizeof(keyring->pepper));
	ret = keyring_add(keyring, &keyring->primary, err);
	assert(ret == 0);
	buf_init(&text, KEYRING_FILE_MAX_BYTES);
	keyring_print(keyring, &text);
	assert(!text.overflow);
	ret = file_publish(path, buf_span(&text));
	if (ret < 0)
		fail(err, path);
	buf_wipe(&text);
	keyring_free(&keyring);
	return ret;
}

/* One command at a time may change it. A lock on the file itself would not do: the file that it
 * was taken on is no longer there once it is replaced. */
static int lock_parent(const char *path, struct err *err)
{
	char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path) + 1);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	free(dir);
	if (fd < 0) {
		fail(err, path);
	} else if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		err_set(err, ERR_CONFLICT, "keyring %s: another command is changing it", path);
		close(fd);
		fd = -1;
	}
	return fd;
}

int keyring_edit_begin(struct keyring_edit *edit, const char *path, struct err *err)
{
	*edit = (struct keyring_edit){ .lock_fd = -1 };
	if (keyring_is_credential(path))
		return err_set(err, ERR_BAD_REQUEST,
			       "keyring %s is a copy that the service manager made: change the "
			       "file that LoadCredential= names, then restart the service",
			       path);
	/* What a link points to is replaced, not the link. */
	edit->path = realpath(path, NULL);
	if (edit->path == NULL)
		return fail(err, path);
	edit->lock_fd = lock_parent(edit->path, err);
	if (edit->lock_fd >= 0)
		edit->keyring = keyring_load(edit->path, err);
	if (edit->keyring != NULL)
		return 0;
	keyring_edit_end(edit);
	return -1;
}

void keyring_edit_end(struct keyring_edit *edit)
{
	keyring_free(&edit->keyring);
	if (edit->lock_fd >= 0)
		close(edit->lock_fd);
	free(edit->path);
	*edit = (struct keyring_edit){ .lock_fd = -1 };
}

/* The gateway may be another user than who rotates its keys. */
static int keep_owner(int fd, const char *path)
{
	struct stat old, own;

	if (stat(path, &old) < 0 || fstat(fd, &own) < 0)
		return -1;
	if (old.st_uid == own.st_uid && old.st_gid == own.st_gid)
		return 0;
	return fchown(fd, old.st_uid, old.st_gid);
}

/* The lock is held: a draft that is there was left by a command that died. */
static int file_replace(const char *path, struct span text)
{
	char *draft = mem_printf("%s.new", path);
	int fd = -1, ret = -1, saved;

	if (unlink(draft) == 0 || errno == ENOENT)
		fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0 && file_fill(fd, text) == 0 && keep_owner(fd, path) == 0)
		ret = rename(draft, path);
	saved = errno;
	if (fd >= 0)
		close(fd);
	if (fd >= 0 && ret < 0)
		unlink(draft);
	free(draft);
	errno = saved;
	return ret < 0 ? -1 : sync_parent(path);
}

int keyring_edit_save(struct keyring_edit *edit, struct err *err)
{
	struct buf text;
	int ret;

	buf_init(&text, KEYRING_FILE_MAX_BYTES);
	keyring_print(edit->keyring, &text);
	assert(!text.overflow);
	ret = file_replace(edit->path, buf_span(&text));
	if (ret < 0)
		fail(err, edit->path);
	buf_wipe(&text);
	return ret;
}
