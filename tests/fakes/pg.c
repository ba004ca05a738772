/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fakes/pg.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ACCOUNT	      "postgres" /* of the server when we are root */
#define START_WAIT_MS 30000
#define POLL_MS	      10
#define MAX_ARGS      24

/* Waits for the program's end, or for pg_cluster_stop; then stops the server, if the pid in its
 * file is still that server's, and removes the directory. */
static const char guard_script[] =
	"cat >/dev/null; file=\"$1/data/postmaster.pid\"; tries=0; "
	"pid=$(head -n 1 \"$file\" 2>/dev/null); "
	"ours() { [ -n \"$pid\" ] && grep -qs -- \"$1/data\" \"/proc/$pid/cmdline\"; }; "
	"if ours \"$1\"; then kill -QUIT \"$pid\"; fi; "
	"while [ -e \"$file\" ] && ours \"$1\" && [ $tries -lt 100 ]; do "
	"sleep 0.1; tries=$((tries + 1)); done; "
	"if ours \"$1\"; then kill -KILL \"$pid\"; fi; "
	"rm -rf -- \"$1\" || { sleep 1; rm -rf -- \"$1\"; }";

static int complain(const char *what)
{
	fprintf(stderr, "pg_cluster: %s: %s\n", what, strerror(errno));
	return -1;
}

/* The line that `pg_config --bindir` prints. */
static int find_binaries(char *dir, size_t size)
{
	int ends[2];
	ssize_t n = 0;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return complain("pipe");
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execlp("pg_config", "pg_config", "--bindir", (char *)NULL);
		_exit(127);
	}
	close(ends[1]);
	if (pid > 0) {
		n = read(ends[0], dir, size - 1);
		waitpid(pid, NULL, 0);
	}
	close(ends[0]);
	if (pid < 0 || n <= 0)
		return complain("pg_config --bindir");
	dir[n] = '\0';
	dir[strcspn(dir, "\n")] = '\0';
	return 0;
}

/* In the child. initdb and postgres refuse to run as root. */
static void become_account(void)
{
	const struct passwd *account;

	if (geteuid() != 0)
		return;
	account = getpwnam(ACCOUNT);
	if (account == NULL || initgroups(ACCOUNT, account->pw_gid) < 0 ||
	    setgid(account->pw_gid) < 0 || setuid(account->pw_uid) < 0)
		_exit(126);
}

/* Output goes to DIR/log, which print_log shows if something fails. */
static void redirect(const char *dir)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/log", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0 || dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0)
		_exit(125);
}

/* argv[0] is the program's name in the directory of PostgreSQL's binaries. */
static pid_t spawn(const struct pg_cluster *cluster, const char *const *argv)
{
	char dir[200];
	char path[256];
	char *args[MAX_ARGS + 1] = { NULL };
	pid_t parent = getpid();
	pid_t pid;
	sigset_t none;

	if (find_binaries(dir, sizeof(dir)) < 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, argv[0]);
	for (size_t i = 0; i < MAX_ARGS && argv[i] != NULL; i++)
		args[i] = (char *)(uintptr_t)argv[i];
	/* initdb finds postgres beside itself, by the name it was started with. */
	args[0] = path;
	pid = fork();
	if (pid != 0)
		return pid;
	/* What the test has blocked for its signalfd would stay blocked across exec. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* So that a Ctrl-C is the test's alone, and the stop orderly. */
	setsid();
	become_account();
	/* After setuid, which clears it. An immediate shutdown. */
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	if (getppid() != parent || chdir("/") < 0)
		_exit(124);
	redirect(cluster->dir);
	execv(path, args);
	_exit(127);
}

static void print_log(const struct pg_cluster *cluster)
{
	char path[64];
	char line[512];
	FILE *file;

	snprintf(path, sizeof(path), "%s/log", cluster->dir);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL)
		fputs(line, stderr);
	fclose(file);
}

static int run(const struct pg_cluster *cluster, const char *const *argv)
{
	int status = 0;
	pid_t pid = spawn(cluster, argv);

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return complain(argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
		print_log(cluster);
		fprintf(stderr, "pg_cluster: %s ended with status %#x\n", argv[0],
			(unsigned)status);
		return -1;
	}
	return 0;
}

static int start_guard(struct pg_cluster *cluster)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return complain("pipe");
	cluster->guard = fork();
	if (cluster->guard == 0) {
		setsid();
		dup2(ends[0], STDIN_FILENO);
		execl("/bin/sh", "sh", "-c", guard_script, "sh", cluster->dir, (char *)NULL);
		_exit(127);
	}
	close(ends[0]);
	cluster->lifeline = ends[1];
	return cluster->guard < 0 ? complain("fork") : 0;
}

static int make_dir(struct pg_cluster *cluster)
{
	const struct passwd *account;

	/* Short, because a socket's path has 107 bytes, and where the account can reach it. */
	snprintf(cluster->dir, sizeof(cluster->dir), "/tmp/pg-XXXXXX");
	if (mkdtemp(cluster->dir) == NULL)
		return complain("mkdtemp");
	if (start_guard(cluster) < 0)
		return -1;
	if (geteuid() != 0)
		return 0;
	account = getpwnam(ACCOUNT);
	if (account == NULL || chown(cluster->dir, account->pw_uid, account->pw_gid) < 0)
		return complain("chown to " ACCOUNT);
	return 0;
}

/* The eighth line of postmaster.pid is the server's own word, as pg_ctl reads it. */
static bool is_ready(const struct pg_cluster *cluster)
{
	char path[64];
	char line[256];
	bool ready = false;
	bool ours = false;
	FILE *file;

	snprintf(path, sizeof(path), "%s/data/postmaster.pid", cluster->dir);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	for (int i = 1; fgets(line, sizeof(line), file) != NULL; i++) {
		if (i == 1)
			ours = strtol(line, NULL, 10) == cluster->postmaster;
		if (i == 8)
			ready = strncmp(line, "ready", 5) == 0;
	}
	fclose(file);
	return ready && ours;
}

void pg_cluster_launch(struct pg_cluster *cluster)
{
	char data[64];
	char socket_option[96];
	char listen_option[64];
	char port_option[64];
	const char *const argv[] = { "postgres",
				     "-D",
				     data,
				     "-c",
				     socket_option,
				     "-c",
				     listen_option,
				     "-c",
				     port_option,
				     "-c",
				     "fsync=off",
				     "-c",
				     "shared_buffers=16MB",
				     "-c",
				     "max_connections=60",
				     "-c",
				     "autovacuum=off",
				     NULL };

	snprintf(data, sizeof(data), "%s/data", cluster->dir);
	snprintf(socket_option, sizeof(socket_option), "unix_socket_directories=%s", cluster->dir);
	snprintf(listen_option, sizeof(listen_option), "listen_addresses=%s",
		 cluster->tcp_port == 0 ? "" : "127.0.0.1");
	snprintf(port_option, sizeof(port_option), "port=%d",
		 cluster->tcp_port == 0 ? 5432 : cluster->tcp_port);
	cluster->postmaster = spawn(cluster, argv);
}

/* 0: takes connections. 1: the postmaster has ended. -1: neither in time. */
static int await_ready(struct pg_cluster *cluster)
{
	for (int waited_ms = 0; waited_ms < START_WAIT_MS; waited_ms += POLL_MS) {
		if (cluster->postmaster <= 0)
			return -1;
		if (is_ready(cluster))
			return 0;
		if (waitpid(cluster->postmaster, NULL, WNOHANG) == cluster->postmaster) {
			cluster->postmaster = 0;
			return 1;
		}
		poll(NULL, 0, POLL_MS);
	}
	return -1;
}

/* After a SIGKILL the old backends may hold the shared memory for a moment: then again. */
static int start_server(struct pg_cluster *cluster)
{
	for (int waited_ms = 0; waited_ms < START_WAIT_MS; waited_ms += 10 * POLL_MS) {
		int ret;

		pg_cluster_launch(cluster);
		ret = await_ready(cluster);
		if (ret <= 0)
			return ret;
		poll(NULL, 0, 10 * POLL_MS);
	}
	return -1;
}

int pg_cluster_start(struct pg_cluster *cluster)
{
	char data[64];
	const char *const initdb[] = { "initdb",    "-D",
				       data,	    "-U",
				       "postgres",  "-A",
				       "trust",	    "-E",
				       "UTF8",	    "--locale=C.UTF-8",
				       "--no-sync", "--no-instructions",
				       NULL };

	cluster->lifeline = -1;
	if (make_dir(cluster) == 0) {
		snprintf(data, sizeof(data), "%s/data", cluster->dir);
		snprintf(cluster->conninfo, sizeof(cluster->conninfo),
			 "host=%s port=%d user=postgres dbname=postgres", cluster->dir,
			 cluster->tcp_port == 0 ? 5432 : cluster->tcp_port);
		if (run(cluster, initdb) == 0) {
			if (start_server(cluster) == 0)
				return 0;
			print_log(cluster);
		}
	}
	fprintf(stderr, "pg_cluster: no server\n");
	pg_cluster_stop(cluster);
	return -1;
}

static void reap(struct pg_cluster *cluster)
{
	while (waitpid(cluster->postmaster, NULL, 0) < 0 && errno == EINTR)
		;
	cluster->postmaster = 0;
}

void pg_cluster_stop(struct pg_cluster *cluster)
{
	if (cluster->postmaster > 0) {
		kill(cluster->postmaster, SIGCONT);
		kill(cluster->postmaster, SIGQUIT);
		reap(cluster);
	}
	if (cluster->guard > 0) {
		close(cluster->lifeline);
		waitpid(cluster->guard, NULL, 0);
	}
	*cluster = (struct pg_cluster){ .tcp_port = cluster->tcp_port };
}

void pg_cluster_kill(struct pg_cluster *cluster)
{
	kill(cluster->postmaster, SIGKILL);
	reap(cluster);
}

void pg_cluster_halt(struct pg_cluster *cluster)
{
	kill(cluster->postmaster, SIGINT);
	reap(cluster);
}

int pg_cluster_restart(struct pg_cluster *cluster)
{
	if (cluster->postmaster > 0)
		pg_cluster_halt(cluster);
	return start_server(cluster);
}

void pg_cluster_signal(const struct pg_cluster *cluster, int signo)
{
	kill(cluster->postmaster, signo);
}

int pg_cluster_psql(const struct pg_cluster *cluster, const char *database, const char *sql)
{
	char port[16];
	const char *const argv[] = {
		"psql",	  "-h", cluster->dir,	   "-p",    port, "-U", "postgres", "-d",
		database, "-v", "ON_ERROR_STOP=1", "-qAtX", "-c", sql,	NULL
	};

	snprintf(port, sizeof(port), "%d", cluster->tcp_port == 0 ? 5432 : cluster->tcp_port);
	return run(cluster, argv);
}
