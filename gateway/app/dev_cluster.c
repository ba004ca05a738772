/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/dev_cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/mem.h"

#define ROOT_DIR  "/var/lib/tollgate-dev"
#define ACCOUNT	  "postgres"
#define SUPERUSER "postgres"
/* "/.s.PGSQL.5432" must fit behind it in the 107 bytes of a socket's path. */
#define MAX_SOCKET_DIR 90
#define POLL_MS	       5
#define MAX_PID_FILE   1024
#define MAX_FDS	       16

static int drop_to_account(void)
{
	const struct passwd *account = getpwnam(ACCOUNT);

	if (account == NULL || initgroups(ACCOUNT, account->pw_gid) < 0 ||
	    setgid(account->pw_gid) < 0 || setuid(account->pw_uid) < 0)
		return -1;
	return chdir("/");
}

/* Runs a program; its output goes to out_fd. Returns its exit code, or -1. */
static int run_program(const char *const argv[], bool as_postgres, int out_fd)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		if (as_postgres && drop_to_account() < 0)
			_exit(127);
		dup2(out_fd, STDOUT_FILENO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (pid < 0)
		return -1;
	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -1;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int find_bindir(struct dev_cluster *cluster, struct err *err)
{
	static const char *const argv[] = { "pg_config", "--bindir", NULL };
	int ends[2];
	ssize_t n = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_set(err, ERR_INTERNAL, "pipe: %s", strerror(errno));
	if (run_program(argv, false, ends[1]) == 0)
		n = read(ends[0], cluster->bindir, sizeof(cluster->bindir) - 1);
	close(ends[0]);
	close(ends[1]);
	if (n <= 1)
		return err_set(err, ERR_INTERNAL,
			       "PostgreSQL is not installed: apt install postgresql-15 "
			       "libpq-dev, or make deps");
	cluster->bindir[n - 1] = '\0';
	return 0;
}

static void choose_dir(struct dev_cluster *cluster, const char *dev_dir)
{
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	crypto_sha256(dev_dir, strlen(dev_dir), digest);
	hex_encode(digest, sizeof(digest), hex);
	if (cluster->as_postgres)
		snprintf(cluster->dir, sizeof(cluster->dir), "%s/%.16s", ROOT_DIR, hex);
	else if (strlen(dev_dir) + 3 <= MAX_SOCKET_DIR)
		snprintf(cluster->dir, sizeof(cluster->dir), "%s/pg", dev_dir);
	else
		snprintf(cluster->dir, sizeof(cluster->dir), "%s/tollgate-%.16s",
			 runtime != NULL && strlen(runtime) < 50 ? runtime : "/var/tmp", hex);
}

int dev_cluster_locate(struct dev_cluster *cluster, const char *dev_dir, struct err *err)
{
	*cluster = (struct dev_cluster){ .as_postgres = getuid() == 0 };
	if (cluster->as_postgres && getpwnam(ACCOUNT) == NULL)
		return err_set(err, ERR_INTERNAL,
			       "PostgreSQL refuses to run as root and there is no account %s: "
			       "install postgresql-15, or run as another user",
			       ACCOUNT);
	choose_dir(cluster, dev_dir);
	snprintf(cluster->log_path, sizeof(cluster->log_path), "%.*s/postgres.log",
		 DEV_PATH_BYTES - 20, dev_dir);
	return find_bindir(cluster, err);
}

/* A directory of ours (or of the account), that nobody else can enter. */
static int make_dir(const struct dev_cluster *cluster, struct err *err)
{
	const struct passwd *account;
	struct stat info;

	if (cluster->as_postgres && mkdir(ROOT_DIR, 0711) < 0 && errno != EEXIST)
		return err_set(err, ERR_INTERNAL, "%s: %s", ROOT_DIR, strerror(errno));
	if (mkdir(cluster->dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_INTERNAL, "%s: %s", cluster->dir, strerror(errno));
	if (cluster->as_postgres) {
		account = getpwnam(ACCOUNT);
		if (account == NULL || chown(cluster->dir, account->pw_uid, account->pw_gid) < 0)
			return err_set(err, ERR_INTERNAL, "%s: %s", cluster->dir, strerror(errno));
	}
	if (lstat(cluster->dir, &info) < 0 || !S_ISDIR(info.st_mode) ||
	    (!cluster->as_postgres && info.st_uid != getuid()) || (info.st_mode & 077) != 0)
		return err_set(err, ERR_INTERNAL, "%s must be a directory of yours with mode 0700",
			       cluster->dir);
	return 0;
}

static bool exists(const struct dev_cluster *cluster)
{
	char path[DEV_PATH_BYTES + 32];

	/* Written last by initdb. */
	snprintf(path, sizeof(path), "%s/data/global/pg_control", cluster->dir);
	return access(path, F_OK) == 0;
}

int dev_cluster_create(struct dev_cluster *cluster, struct err *err)
{
	char program[DEV_PATH_BYTES + 16];
	char data[DEV_PATH_BYTES + 16];
	const char *const argv[] = { program,
				     "-D",
				     data,
				     "-U",
				     SUPERUSER,
				     "-A",
				     "trust",
				     "-E",
				     "UTF8",
				     "--locale",
				     "C.UTF-8",
				     "--no-sync",
				     "--no-instructions",
				     NULL };
	int log_fd;
	int code;

	if (make_dir(cluster, err) < 0)
		return -1;
	if (exists(cluster))
		return 0;
	snprintf(program, sizeof(program), "%s/initdb", cluster->bindir);
	snprintf(data, sizeof(data), "%s/data", cluster->dir);
	log_fd = open(cluster->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd < 0)
		return err_set(err, ERR_INTERNAL, "%s: %s", cluster->log_path, strerror(errno));
	code = run_program(argv, cluster->as_postgres, log_fd);
	close(log_fd);
	if (code != 0)
		return err_set(err, ERR_INTERNAL, "initdb failed, see %s", cluster->log_path);
	cluster->fresh = true;
	return 0;
}

int dev_cluster_exec(const struct dev_cluster *cluster)
{
	char program[DEV_PATH_BYTES + 16];
	char data[DEV_PATH_BYTES + 16];
	char sockets[DEV_PATH_BYTES + 64];
	/* The long delays keep an idle cluster asleep. */
	const char *const argv[] = { program,
				     "-D",
				     data,
				     "-c",
				     sockets,
				     "-c",
				     "listen_addresses=",
				     "-c",
				     "unix_socket_permissions=0700",
				     "-c",
				     "shared_buffers=64MB",
				     "-c",
				     "max_connections=100",
				     "-c",
				     "jit=off",
				     "-c",
				     "bgwriter_delay=10000",
				     "-c",
				     "wal_writer_delay=10000",
				     "-c",
				     "autovacuum_naptime=300",
				     "-c",
				     "checkpoint_timeout=3600",
				     "-c",
				     "log_min_messages=warning",
				     NULL };
	int log_fd = open(cluster->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	snprintf(program, sizeof(program), "%s/postgres", cluster->bindir);
	snprintf(data, sizeof(data), "%s/data", cluster->dir);
	snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", cluster->dir);
	if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0)
		return 1;
	/* A group of its own: Ctrl-C at the terminal is for us, and we stop it in order. */
	setpgid(0, 0);
	if (cluster->as_postgres && drop_to_account() < 0)
		return 1;
	/* Changing the user cleared it. Immediate shutdown, if we are killed. */
	prctl(PR_SET_PDEATHSIG, SIGQUIT);
	execv(program, (char *const *)argv);
	return 1;
}

/* postmaster.pid as text; "" if there is none. */
static void read_pid_file(const struct dev_cluster *cluster, char text[MAX_PID_FILE])
{
	char path[DEV_PATH_BYTES + 32];
	FILE *file;

	text[0] = '\0';
	snprintf(path, sizeof(path), "%s/data/postmaster.pid", cluster->dir);
	file = fopen(path, "re");
	if (file == NULL)
		return;
	text[fread(text, 1, MAX_PID_FILE - 1, file)] = '\0';
	fclose(file);
}

/* What a killed server left behind may name a process of somebody else by now. */
static bool is_server(long pid)
{
	char path[64];
	char name[32] = "";
	FILE *file;

	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	file = fopen(path, "re");
	if (file == NULL)
		return false;
	name[fread(name, 1, sizeof(name) - 1, file)] = '\0';
	fclose(file);
	return strcmp(name, "postgres\n") == 0;
}

static bool is_running(const struct dev_cluster *cluster)
{
	char text[MAX_PID_FILE];

	read_pid_file(cluster, text);
	return is_server(strtol(text, NULL, 10));
}

/* The eighth line of postmaster.pid says "ready" once connections are accepted; the first one is
 * the pid. */
static bool is_ready(const struct dev_cluster *cluster)
{
	char text[MAX_PID_FILE];
	const char *line = text;

	read_pid_file(cluster, text);
	if (!is_server(strtol(text, NULL, 10)))
		return false;
	for (int i = 1; i < 8 && line != NULL; i++) {
		line = strchr(line, '\n');
		line = line != NULL ? line + 1 : NULL;
	}
	return line != NULL && strncmp(line, "ready", 5) == 0;
}

int dev_cluster_await_end(const struct dev_cluster *cluster, int timeout_ms, struct err *err)
{
	for (int waited = 0; waited < timeout_ms; waited += POLL_MS) {
		if (!is_running(cluster))
			return 0;
		(void)poll(NULL, 0, POLL_MS);
	}
	return err_set(err, ERR_TIMEOUT, "a server of an earlier start still runs on %s",
		       cluster->dir);
}

int dev_cluster_wait(const struct dev_cluster *cluster, int timeout_ms, struct err *err)
{
	for (int waited = 0; waited < timeout_ms; waited += POLL_MS) {
		if (is_ready(cluster))
			return 0;
		(void)poll(NULL, 0, POLL_MS);
	}
	return err_set(err, ERR_TIMEOUT, "PostgreSQL did not start, see %s", cluster->log_path);
}

static void append_escaped(char *out, size_t size, const char *path)
{
	size_t at = strlen(out);

	for (; *path != '\0' && at + 4 < size; path++) {
		bool plain = (*path >= 'a' && *path <= 'z') || (*path >= 'A' && *path <= 'Z') ||
			     (*path >= '0' && *path <= '9') || strchr("/._-", *path) != NULL;

		at += (size_t)snprintf(out + at, size - at, plain ? "%c" : "%%%02X",
				       (unsigned char)*path);
	}
}

char *dev_cluster_url(const struct dev_cluster *cluster, const char *database, const char *role)
{
	char host[3 * DEV_PATH_BYTES] = "";

	append_escaped(host, sizeof(host), cluster->dir);
	return mem_printf("postgresql:///%s?host=%s&user=%s", database, host, role);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info;
	(void)type;
	(void)walk;
	return remove(path);
}

int remove_tree(const char *path, struct err *err)
{
	if (nftw(path, remove_entry, MAX_FDS, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
		return err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
	return 0;
}

int dev_cluster_remove(const struct dev_cluster *cluster, struct err *err)
{
	if (is_running(cluster))
		return err_set(err, ERR_CONFLICT, "a server runs on %s: stop it first",
			       cluster->dir);
	return remove_tree(cluster->dir, err);
}
