/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Host names to addresses in a short-lived thread, because libpq would resolve them on the spot.
 *
 * The job belongs to the loop and the thread together. A cancel only drops the loop's share: a
 * resolver that hangs for half a minute then finishes alone and frees the job.
 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/db_priv.h"

#define MAX_ADDRESSES  ((size_t)64)
#define MAX_LIST_BYTES (MAX_ADDRESSES * (NI_MAXHOST + 1))

struct db_lookup {
	atomic_int owners;
	atomic_bool ready; /* out and error are the thread's before, the loop's after */
	int fd;		   /* an eventfd; the job's own, so the thread never rings a stranger's */

	char *host;
	char *hostaddr;
	char *port;
	struct buf out_host;
	struct buf out_hostaddr;
	struct buf out_port;
	size_t n_out;
	int error; /* of the last name that was not found */

	/* The loop's alone. */
	struct db_lookup **slot;
	struct watch watch;
	db_looked_up *done;
	void *ctx;
};

static size_t list_length(const char *list)
{
	size_t n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return n;
}

/* The i-th item, new; "" if the list is NULL. */
static char *list_item(const char *list, size_t i)
{
	if (list == NULL)
		return mem_strdup("");
	for (; i > 0; i--)
		list = strchr(list, ',') + 1;
	return mem_strndup(list, strcspn(list, ","));
}

/* Neither libpq's default, a socket directory, an abstract socket nor a literal address. */
static bool is_name(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	return host[0] != '\0' && host[0] != '/' && host[0] != '@' &&
	       inet_pton(AF_INET, host, address) != 1 && inet_pton(AF_INET6, host, address) != 1;
}

bool db_lookup_needed(const struct db_addresses *lists)
{
	bool needed = false;
	size_t n;

	if (lists->host == NULL)
		return false;
	/* libpq refuses lists that do not match before it looks up anything. */
	n = list_length(lists->host);
	if (lists->hostaddr != NULL && list_length(lists->hostaddr) != n)
		return false;
	if (lists->port != NULL && list_length(lists->port) != n && list_length(lists->port) != 1)
		return false;
	for (size_t i = 0; i < n && !needed; i++) {
		char *host = list_item(lists->host, i);
		char *hostaddr = list_item(lists->hostaddr, i);

		needed = hostaddr[0] == '\0' && is_name(host);
		free(host);
		free(hostaddr);
	}
	return needed;
}

static void release(struct db_lookup *job)
{
	if (atomic_fetch_sub(&job->owners, 1) > 1)
		return;
	close(job->fd);
	free(job->host);
	free(job->hostaddr);
	free(job->port);
	buf_fini(&job->out_host);
	buf_fini(&job->out_hostaddr);
	buf_fini(&job->out_port);
	free(job);
}

static void add_entry(struct db_lookup *job, const char *host, const char *hostaddr,
		      const char *port)
{
	const char *comma = job->n_out > 0 ? "," : "";

	if (job->n_out == MAX_ADDRESSES)
		return;
	job->n_out++;
	buf_printf(&job->out_host, "%s%s", comma, host);
	buf_printf(&job->out_hostaddr, "%s%s", comma, hostaddr);
	buf_printf(&job->out_port, "%s%s", comma, port);
}

static void add_name(struct db_lookup *job, const char *host, const char *port)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	char text[NI_MAXHOST];
	int error = getaddrinfo(host, NULL, &hints, &found);

	if (error != 0) {
		job->error = error;
		return;
	}
	for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
		if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof(text), NULL, 0,
				NI_NUMERICHOST) == 0)
			add_entry(job, host, text, port);
	}
	freeaddrinfo(found);
}

static void *resolve(void *arg)
{
	struct db_lookup *job = arg;
	size_t n = list_length(job->host);
	bool one_port = job->port == NULL || list_length(job->port) == 1;
	uint64_t one = 1;
	ssize_t written;

	for (size_t i = 0; i < n; i++) {
		char *host = list_item(job->host, i);
		char *hostaddr = list_item(job->hostaddr, i);
		char *port = list_item(job->port, one_port ? 0 : i);

		if (hostaddr[0] == '\0' && is_name(host))
			add_name(job, host, port);
		else
			add_entry(job, host, hostaddr, port);
		free(host);
		free(hostaddr);
		free(port);
	}
	atomic_store(&job->ready, true);
	do {
		written = write(job->fd, &one, sizeof(one));
	} while (written < 0 && errno == EINTR);
	assert(written == sizeof(one));
	release(job);
	return NULL;
}

static void on_resolved(void *ctx, uint32_t events)
{
	struct db_lookup *job = ctx;
	struct db_addresses lists;
	struct err err;

	(void)events;
	assert(atomic_load(&job->ready));
	watch_stop(&job->watch);
	*job->slot = NULL;
	lists = (struct db_addresses){
		.host = buf_str(&job->out_host),
		.hostaddr = buf_str(&job->out_hostaddr),
		.port = buf_str(&job->out_port),
	};
	if (job->n_out > 0) {
		job->done(job->ctx, &lists, NULL);
	} else {
		err_set(&err, ERR_UNAVAILABLE, "database host %s: %s", job->host,
			gai_strerror(job->error));
		job->done(job->ctx, NULL, &err);
	}
	release(job);
}

/* With every signal blocked: they are the loop's. */
static int start_thread(struct db_lookup *job, struct err *err)
{
	sigset_t all;
	sigset_t before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, NULL, resolve, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error != 0)
		return err_set(err, ERR_UNAVAILABLE, "no thread to look up the database host: %s",
			       strerror(error));
	pthread_detach(thread);
	return 0;
}

int db_lookup_start(struct loop *loop, struct db_lookup **slot, const struct db_addresses *lists,
		    db_looked_up *done, void *ctx, struct err *err)
{
	struct db_lookup *job;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	assert(*slot == NULL && lists->host != NULL);
	if (fd < 0)
		return err_set(err, ERR_UNAVAILABLE, "eventfd: %s", strerror(errno));
	job = mem_new(sizeof(*job));
	job->fd = fd;
	job->host = mem_strdup(lists->host);
	job->hostaddr = lists->hostaddr == NULL ? NULL : mem_strdup(lists->hostaddr);
	job->port = lists->port == NULL ? NULL : mem_strdup(lists->port);
	buf_init(&job->out_host, MAX_LIST_BYTES);
	buf_init(&job->out_hostaddr, MAX_LIST_BYTES);
	buf_init(&job->out_port, MAX_LIST_BYTES);
	job->slot = slot;
	job->done = done;
	job->ctx = ctx;
	atomic_init(&job->owners, 2);
	if (start_thread(job, err) < 0) {
		atomic_store(&job->owners, 1);
		release(job);
		return -1;
	}
	*slot = job;
	watch_start(loop, &job->watch, job->fd, EPOLLIN, on_resolved, job);
	return 0;
}

void db_lookup_cancel(struct db_lookup **slot)
{
	struct db_lookup *job = *slot;

	if (job == NULL)
		return;
	*slot = NULL;
	watch_stop(&job->watch);
	release(job);
}
