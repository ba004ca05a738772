/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define MAX_WATCHDOG_US UINT64_C(86400000000)

static const struct log_subject subject = { .component = "supervisor" };

/* A leading @ names a socket of the abstract namespace, whose name begins with NUL. */
static int open_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);
	int fd;

	if (n < 2 || n >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@')) {
		errno = EINVAL;
		return -1;
	}
	memcpy(address.sun_path, path, n);
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&address,
			       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Twice as often as it wants. */
static int64_t watchdog_ms(void)
{
	const char *text = getenv("WATCHDOG_USEC");
	uint64_t us;
	struct err ignored;

	if (text == NULL || text_uint(text, 1, MAX_WATCHDOG_US, &us, &ignored) < 0)
		return 0;
	return us / 2000 > 0 ? (int64_t)(us / 2000) : 1;
}

void notify_init(struct notify *notify)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*notify = (struct notify){ .fd = -1 };
	if (path == NULL)
		return;
	notify->fd = open_socket(path);
	if (notify->fd < 0)
		log_warn(&subject, "NOTIFY_SOCKET %s: %s", path, strerror(errno));
	notify->watchdog_ms = watchdog_ms();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void notify_fini(struct notify *notify)
{
	if (notify->fd >= 0)
		close(notify->fd);
	notify->fd = -1;
}

void notify_send(const struct notify *notify, const char *state)
{
	if (notify->fd >= 0 && send(notify->fd, state, strlen(state), MSG_NOSIGNAL) < 0)
		log_warn(&subject, "the service manager cannot be told: %s", strerror(errno));
}

void notify_beat(struct notify *notify, int64_t now_ms)
{
	if (notify->fd < 0 || notify->watchdog_ms == 0 || now_ms < notify->next_ms)
		return;
	notify->next_ms = now_ms + notify->watchdog_ms;
	notify_send(notify, "WATCHDOG=1");
}
