/* SPDX-License-Identifier: Apache-2.0 */

/* Checks of this machine: settings, files, limits. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/url.h"
#include "gateway/app/doctor.h"
#include "tokenstore/keyring.h"

#define MIN_DESCRIPTORS	 4096
#define MAX_BACKLOG_PART 2 /* of the spool's limit, above which it is worth a word: half */
#define MIB		 ((uint64_t)1 << 20)
#define SPOOL_PREFIX	 "spool-"

static void check_config(struct doctor *doctor, struct finding *finding)
{
	if (doctor->problem == NULL)
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s", doctor->source);
	else
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "tollgate config check names everything that is wrong", "%s%s",
			     doctor->problem, doctor->n_problems > 1 ? ", and more" : "");
}

static bool is_loopback(const char *host)
{
	return strcmp(host, "localhost") == 0 || strncmp(host, "127.", 4) == 0 ||
	       strcmp(host, "::1") == 0;
}

static bool has_path(const char *url)
{
	const char *host = strstr(url, "://");
	const char *path = host != NULL ? strpbrk(host + 3, "/?#") : NULL;

	return path != NULL && strcmp(path, "/") != 0;
}

static void check_public_url(struct doctor *doctor, struct finding *finding)
{
	const char *text = doctor->config.public_url;
	struct url url;
	struct err err;

	if (text == NULL || url_parse(text, &url, &err) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL, "set public_url", "it is not set");
	else if (strncmp(text, "https://", 8) != 0 && !is_loopback(url.host))
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "put a proxy with TLS in front, and its https address in public_url",
			     "%s sends keys in the clear", text);
	else if (has_path(text))
		doctor_found(doctor, finding, VERDICT_WARN,
			     "leave the path out: the gateway's own paths are exact",
			     "%s has a path", text);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s", text);
}

static void check_hosts(struct doctor *doctor, struct finding *finding)
{
	const struct config *config = &doctor->config;

	for (size_t i = 0; i < config->n_allowed_hosts; i++) {
		const char *host = config->allowed_hosts[i];

		if (strncmp(host, "0.0.0.0", 7) == 0 || strchr(host, '*') != NULL)
			return doctor_found(doctor, finding, VERDICT_WARN,
					    "name the hosts that clients use: there are no "
					    "patterns, and 0.0.0.0 is nobody's address",
					    "%s can match no client", host);
	}
	doctor_found(doctor, finding, VERDICT_OK, NULL, "that of public_url%s",
		     config->n_allowed_hosts > 0 ? ", and those of allowed_hosts" : "");
}

/* --- the data directory ---------------------------------------------------------------------- */

static void check_data_dir(struct doctor *doctor, struct finding *finding)
{
	const char *dir = doctor->config.data_dir;
	struct stat info;

	if (stat(dir, &info) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "make it, for the user that runs tollgate: install -d -m 0700",
			     "%s: %s", dir, strerror(errno));
	else if (!S_ISDIR(info.st_mode))
		doctor_found(doctor, finding, VERDICT_FAIL, "set data_dir to a directory",
			     "%s is no directory", dir);
	else if (access(dir, W_OK | X_OK) < 0)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "give it to the user that runs tollgate, or ask as that user",
			     "%s cannot be written to: %s", dir, strerror(errno));
	else if ((info.st_mode & 077) != 0)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "chmod 0700: records of calls lie in it",
			     "%s can be entered by others (mode %04o)", dir,
			     (unsigned)info.st_mode & 07777);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s", dir);
}

/* The supervisor holds an exclusive lock; a shared one that is let go at once disturbs nobody but
 * a start in the same instant. */
static void check_lock(struct doctor *doctor, struct finding *finding)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", doctor->config.data_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	doctor->runs = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
	if (fd < 0 && errno != ENOENT)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "ask as the user that runs tollgate, or as root", "%s: %s", path,
			     strerror(errno));
	else if (doctor->runs)
		doctor_found(doctor, finding, VERDICT_OK, NULL,
			     "a gateway runs with this data directory");
	else
		doctor_found(doctor, finding, VERDICT_WARN,
			     "start it: systemctl start tollgate, tollgate serve or tollgate dev",
			     "no gateway runs with this data directory");
	if (fd >= 0)
		close(fd);
}

static void check_disk(struct doctor *doctor, struct finding *finding)
{
	const struct config *config = &doctor->config;
	uint64_t wanted = (uint64_t)config->spool_max_bytes * (uint64_t)doctor->workers;
	struct statvfs info;
	uint64_t free_bytes;

	if (statvfs(config->data_dir, &info) < 0)
		return doctor_found(doctor, finding, VERDICT_WARN, "see data_dir", "%s: %s",
				    config->data_dir, strerror(errno));
	free_bytes = (uint64_t)info.f_bavail * info.f_frsize;
	if (free_bytes < (uint64_t)config->audit_spool_min_free)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "free some, or lower audit_spool_min_free: no call is let through",
			     "%llu MiB are free", (unsigned long long)(free_bytes / MIB));
	else if (free_bytes < wanted)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "lower spool_max_bytes, or give the spool a larger disk",
			     "%llu MiB are free, and the spools may take %llu",
			     (unsigned long long)(free_bytes / MIB),
			     (unsigned long long)(wanted / MIB));
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%llu MiB are free",
			     (unsigned long long)(free_bytes / MIB));
}

static uint64_t bytes_in(const char *path)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	uint64_t bytes = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		struct stat info;

		if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(info.st_mode))
			bytes += (uint64_t)info.st_size;
	}
	if (dir != NULL)
		closedir(dir);
	return bytes;
}

static void check_spool(struct doctor *doctor, struct finding *finding)
{
	const struct config *config = &doctor->config;
	DIR *dir = opendir(config->data_dir);
	const struct dirent *entry;
	uint64_t most = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		char path[1024];
		uint64_t bytes;

		if (strncmp(entry->d_name, SPOOL_PREFIX, strlen(SPOOL_PREFIX)) != 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", config->data_dir, entry->d_name);
		bytes = bytes_in(path);
		if (bytes > most)
			most = bytes;
	}
	if (dir != NULL)
		closedir(dir);
	if (most > (uint64_t)config->spool_max_bytes / MAX_BACKLOG_PART)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "see that the drain reaches PostgreSQL: calls are refused when a "
			     "spool is full",
			     "the largest spool has %llu of %llu MiB",
			     (unsigned long long)(most / MIB),
			     (unsigned long long)config->spool_max_bytes / MIB);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "the largest has %llu MiB",
			     (unsigned long long)(most / MIB));
}

/* --- the rest -------------------------------------------------------------------------------- */

static void check_keyring(struct doctor *doctor, struct finding *finding)
{
	struct err err;

	doctor->keyring = keyring_load(doctor->config.keyring_file, &err);
	if (doctor->keyring == NULL)
		doctor_found(doctor, finding, VERDICT_FAIL,
			     "set keyring_file to the keyring of this deployment, mode 0600 and "
			     "owned by the user that runs tollgate",
			     "%s", err.text);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%s", doctor->config.keyring_file);
}

static void check_descriptors(struct doctor *doctor, struct finding *finding)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < MIN_DESCRIPTORS)
		doctor_found(doctor, finding, VERDICT_WARN,
			     "raise it: LimitNOFILE= in the unit, or ulimit -n",
			     "%llu open files are permitted, which may not do for many clients",
			     (unsigned long long)limit.rlim_cur);
	else
		doctor_found(doctor, finding, VERDICT_OK, NULL, "%llu open files are permitted",
			     (unsigned long long)limit.rlim_cur);
}

const struct check doctor_local_checks[] = {
	{"configuration",  check_config	},
	{ "public_url",	check_public_url },
	{ "allowed_hosts", check_hosts      },
	{ "data_dir",      check_data_dir   },
	{ "running",	     check_lock	},
	{ "disk",	  check_disk	     },
	{ "spool",	   check_spool      },
	{ "keyring",	     check_keyring	   },
	{ "open_files",	check_descriptors},
	{ NULL,		NULL	     },
};
