/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAKES_PG_H
#define TESTS_FAKES_PG_H

/*
 * A private PostgreSQL cluster for one test program: trust authentication, superuser and database
 * "postgres", fsync off, a unix socket only unless tcp_port is set before the start. Run by the
 * account postgres when the test runs as root.
 *
 * However the program ends (return, failed assertion, abort, SIGKILL), the server is stopped and
 * its directory removed.
 */

#include <sys/types.h>

struct pg_cluster {
	int tcp_port;	    /* set by the caller: also listens on 127.0.0.1; 0: it does not */
	char dir[32];	    /* holds data, log and the socket */
	char conninfo[128]; /* of the superuser, over the socket */
	pid_t postmaster;   /* 0 while it does not run */
	pid_t guard;	    /* a shell that cleans up when lifeline is closed */
	int lifeline;
};

/* Zero-initialise first. Returns once the server takes connections. -1: the reason is on standard
 * error and nothing is left behind. */
int pg_cluster_start(struct pg_cluster *cluster);
/* Stops the server and removes everything. Nothing if it was not started. */
void pg_cluster_stop(struct pg_cluster *cluster);

/* SIGKILLs the postmaster; its backends end by themselves, unless they are stopped. */
void pg_cluster_kill(struct pg_cluster *cluster);
/* Orderly end; connected clients are disconnected. The data stay. */
void pg_cluster_halt(struct pg_cluster *cluster);
/* Halts it if it runs, then starts the server again on the same data. */
int pg_cluster_restart(struct pg_cluster *cluster);
/* Starts it again after halt or kill, without waiting until it takes connections. */
void pg_cluster_launch(struct pg_cluster *cluster);
/* To the postmaster alone. */
void pg_cluster_signal(const struct pg_cluster *cluster, int signo);
/* Runs psql on the text in the database; -1 if a statement fails. Blocks. */
int pg_cluster_psql(const struct pg_cluster *cluster, const char *database, const char *sql);

#endif
