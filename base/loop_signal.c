/* SPDX-License-Identifier: Apache-2.0 */

/* Signals and rings of other threads: descriptors that the loop watches. */

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/loop.h"

/* One signal for each event, the callback last: it may free what embeds us. The descriptor is
 * level-triggered, so more signals bring more events. */
static void on_signal_ready(void *ctx, uint32_t events)
{
	struct loop_signal *sig = ctx;
	struct signalfd_siginfo info;

	(void)events;
	if (read(sig->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		sig->cb(sig->ctx, (int)info.ssi_signo);
}

int loop_signal_start(struct loop *loop, struct loop_signal *sig, const sigset_t *signals,
		      signal_cb *cb, void *ctx, struct err *err)
{
	int problem = pthread_sigmask(SIG_BLOCK, signals, NULL);

	assert(sig->watch.loop == NULL);
	if (problem != 0)
		return err_set(err, ERR_INTERNAL, "cannot block signals: %s", strerror(problem));
	sig->fd = signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (sig->fd < 0)
		return err_set(err, ERR_INTERNAL, "cannot receive signals: %s", strerror(errno));
	sig->cb = cb;
	sig->ctx = ctx;
	watch_start(loop, &sig->watch, sig->fd, EPOLLIN, on_signal_ready, sig);
	return 0;
}

void loop_signal_stop(struct loop_signal *sig)
{
	if (sig->watch.loop == NULL)
		return;
	watch_stop(&sig->watch);
	close(sig->fd);
}

static void on_bell_ready(void *ctx, uint32_t events)
{
	struct bell *bell = ctx;
	uint64_t rings;

	(void)events;
	if (read(bell->fd, &rings, sizeof(rings)) == (ssize_t)sizeof(rings))
		bell->cb(bell->ctx);
}

void bell_start(struct loop *loop, struct bell *bell, loop_cb *cb, void *ctx)
{
	assert(bell->watch.loop == NULL);
	bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert(bell->fd >= 0);
	bell->cb = cb;
	bell->ctx = ctx;
	watch_start(loop, &bell->watch, bell->fd, EPOLLIN, on_bell_ready, bell);
}

void bell_stop(struct bell *bell)
{
	if (bell->watch.loop == NULL)
		return;
	watch_stop(&bell->watch);
	close(bell->fd);
}

void bell_ring(const struct bell *bell)
{
	const uint64_t one = 1;
	int saved_errno = errno;

	/* EAGAIN means that 2^64-2 rings wait already. EINTR cannot happen on a non-blocking
	 * eventfd, and there is nothing else that can fail. */
	if (write(bell->fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
	errno = saved_errno;
}
