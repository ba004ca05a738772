/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/dev_ready.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "gateway/app/dev_dir.h"
#include "version.h"

static json_t *url_of(const struct dev_ready *ready, enum listener_kind kind, const char *path)
{
	return json_sprintf("http://127.0.0.1:%d%s", supervisor_port(ready->supervisor, kind),
			    path);
}

static void set_database(json_t *json, const struct dev_ready *ready, const char *key,
			 const char *role)
{
	char *url = dev_cluster_url(ready->seed->cluster, DEV_DATABASE, role);

	json_object_set_new(json, key, json_string(url));
	free(url);
}

int dev_ready_save(const struct dev_ready *ready, const char *path, struct err *err)
{
	char *draft = mem_printf("%s.new", path);
	char admin_key[DEV_KEY_BYTES];
	char user_key[DEV_KEY_BYTES];
	json_t *json = json_object();
	int fd;
	int ret = 0;

	dev_dir_read_key(ready->seed->admin_key_file, admin_key);
	dev_dir_read_key(ready->seed->user_key_file, user_key);
	json_object_set_new(json, "public_url", url_of(ready, LISTENER_PUBLIC, ""));
	json_object_set_new(json, "mcp_url", url_of(ready, LISTENER_PUBLIC, "/mcp"));
	json_object_set_new(json, "key_url", url_of(ready, LISTENER_KEY, ""));
	json_object_set_new(json, "ops_url", url_of(ready, LISTENER_OPS, ""));
	json_object_set_new(json, "api_url", url_of(ready, LISTENER_PUBLIC, "/api/v1"));
	json_object_set_new(json, "admin_key", json_string(admin_key));
	json_object_set_new(json, "user_key", json_string(user_key));
	json_object_set_new(json, "tenant", json_string(DEV_TENANT));
	if (!ready->is_beside)
		json_object_set_new(
			json, "notes_url",
			json_sprintf("http://127.0.0.1:%d/mcp", ready->seed->notes_port));
	set_database(json, ready, "database_url", "tollgate_app");
	set_database(json, ready, "audit_database_url", DEV_READER);
	set_database(json, ready, "owner_database_url", "tollgate_owner");
	json_object_set_new(json, "pid", json_integer(getpid()));
	mem_wipe(admin_key, sizeof(admin_key));
	mem_wipe(user_key, sizeof(user_key));
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(json, fd, JSON_INDENT(2)) < 0 || write(fd, "\n", 1) != 1 ||
	    rename(draft, path) < 0)
		ret = err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(draft);
	json_decref(json);
	return ret;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* The command line and make look for .run below the directory where they are started. */
static bool is_usual(const struct dev_ready *ready)
{
	char *usual = realpath(".run", NULL);
	bool same = usual != NULL && strcmp(usual, ready->dir) == 0;

	free(usual);
	return same;
}

static void print_next(const struct dev_ready *ready)
{
	int port = supervisor_port(ready->supervisor, LISTENER_PUBLIC);

	printf("\nNext\n");
	if (!is_usual(ready))
		printf("  export TOLLGATE_URL=http://127.0.0.1:%d TOLLGATE_KEY=\"$(cat "
		       "%s/%s.key)\"\n",
		       port, ready->home, DEV_USER);
	printf("  build/tollgate call clock__now      call a tool\n"
	       "  build/tollgate connect notes        connect an account, then call "
	       "notes__list_notes\n"
	       "  build/tollgate audit tail           see who calls what, as it happens\n");
}

static void print_end(const struct dev_ready *ready)
{
	if (ready->is_beside)
		printf("\nCtrl-C stops.\n");
	else if (is_usual(ready))
		printf("\nCtrl-C stops.  make run-reset erases the data.\n");
	else
		printf("\nCtrl-C stops.  build/tollgate dev --dir %s --reset erases the data.\n",
		       ready->dir);
}

void dev_ready_print(const struct dev_ready *ready)
{
	int public_port = supervisor_port(ready->supervisor, LISTENER_PUBLIC);
	int key_port = supervisor_port(ready->supervisor, LISTENER_KEY);
	char *psql = dev_cluster_url(ready->seed->cluster, DEV_DATABASE, DEV_READER);

	printf("\ntollgate " TOLLGATE_VERSION
	       "  DEVELOPMENT MODE: plain HTTP, loopback only, data in %s"
	       "        ready in %.1f s\n\n",
	       ready->dir, seconds_since(&ready->started));
	printf("  MCP            http://127.0.0.1:%d/mcp\n", public_port);
	printf("  MCP (API key)  http://127.0.0.1:%d/mcp\n", key_port);
	printf("  Admin API      http://127.0.0.1:%d/api/v1\n", public_port);
	if (!ready->is_beside)
		printf("  Sign-in link   %s/signin?code=%s   %s, once, for 10 minutes\n",
		       supervisor_public_url(ready->supervisor), ready->seed->signin_code,
		       DEV_USER);
	printf("  User key       %s/%s.key   user %s of tenant %s\n", ready->home, DEV_USER,
	       DEV_USER, DEV_TENANT);
	printf("  Admin key      %s/admin.key\n", ready->home);
	printf("  SQL            psql '%s'\n", psql);
	print_next(ready);
	printf("  claude mcp add --transport http tollgate http://127.0.0.1:%d/mcp"
	       " -H \"Authorization: Bearer $(cat %s/%s.key)\"\n",
	       key_port, ready->home, DEV_USER);
	print_end(ready);
	fflush(stdout);
	free(psql);
}
