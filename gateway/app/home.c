/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#define ID_BYTES (UUID_TEXT_BYTES - 1)

/* link, unlike rename, refuses a name that exists: of workers that start at once one wins. */
static int publish(const char *path)
{
	char *temporary = mem_printf("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	char id[UUID_TEXT_BYTES];
	int ret = -1;

	uuid_v4(id);
	if (fd >= 0 && write(fd, id, ID_BYTES) == ID_BYTES && fsync(fd) == 0 &&
	    (link(temporary, path) == 0 || errno == EEXIST))
		ret = 0;
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	return ret;
}

/* -1: errno says why. */
static int read_id(const char *path, char out[UUID_TEXT_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, out, ID_BYTES);
	close(fd);
	out[n > 0 ? n : 0] = '\0';
	if (!uuid_valid(out)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int home_load(const char *data_dir, char out[UUID_TEXT_BYTES], struct err *err)
{
	char *path = mem_printf("%s/home", data_dir);
	int ret = read_id(path, out);

	if (ret < 0 && errno == ENOENT && publish(path) == 0)
		ret = read_id(path, out);
	if (ret < 0)
		err_set(err, ERR_INTERNAL, "%s: %s", path,
			errno == EINVAL ? "it is no UUID; remove it" : strerror(errno));
	free(path);
	return ret;
}
