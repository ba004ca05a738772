/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/app/cli.h"
#include "gateway/app/dev_cluster.h"
#include "gateway/app/dev_seed.h"
#include "gateway/app/listener.h"
#include "gateway/app/sample_clock.h"
#include "gateway/app/sample_notes.h"
#include "gateway/app/supervisor.h"
#include "gateway/core/browser.h"
#include "version.h"

#define CLUSTER_START_MS 30000
#define CLUSTER_END_MS	 10000
#define DEV_DRAIN	 "5s"
#define KEY_BYTES	 128

struct dev_options {
	const char *dir;
	const char *port;
	const char *workers;
	struct cli_list sets;
	bool reset;
};
#define AT(member) offsetof(struct dev_options, member)

static const struct cli_option dev_options[] = {
	{"dir",	 0, CLI_TEXT, AT(dir)    },
	 { "port",	   0, CLI_TEXT, AT(port)	 },
	{ "workers", 0, CLI_TEXT, AT(workers)},
	 { "set",	  0, CLI_LIST, AT(sets)	},
	{ "reset",   0, CLI_FLAG, AT(reset)  },
	 { NULL,	 0, CLI_TEXT, 0		},
};

struct dev {
	char dir[DEV_PATH_BYTES - 32];
	int port;
	bool reset;
	const char *workers;
	const struct cli_list *sets; /* NAME=VALUE each */
	struct timespec started;
	struct config config;
	struct dev_cluster cluster;
	struct supervisor *supervisor;
	struct dev_seed seed;
	int clock_fd;
	int notes_fd;
	char signin_code[BROWSER_TOKEN_BYTES];
	const char *notes_file; /* what that sample knows */
};

static char *path_in(struct dev *dev, const char *name)
{
	return arena_printf(dev->config.arena, "%s/%s", dev->dir, name);
}

static int take_options(struct dev *dev, const struct dev_options *options, struct err *err)
{
	const char *dir = options->dir != NULL ? options->dir : ".run";
	uint64_t port = 8080;
	char *absolute;

	dev->workers = options->workers;
	dev->sets = &options->sets;
	dev->reset = options->reset;
	if (options->port != NULL && text_uint(options->port, 0, 65533, &port, err) < 0)
		return err_prefix(err, "--port");
	dev->port = (int)port;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_BAD_REQUEST, "%s: %s", dir, strerror(errno));
	absolute = realpath(dir, NULL);
	if (absolute == NULL || strlen(absolute) >= sizeof(dev->dir)) {
		free(absolute);
		return err_set(err, ERR_BAD_REQUEST,
			       "%s: no usable directory, or its path is "
			       "longer than %zu bytes",
			       dir, sizeof(dev->dir) - 1);
	}
	memcpy(dev->dir, absolute, strlen(absolute) + 1);
	free(absolute);
	return 0;
}

static int set_listener(struct dev *dev, const char *name, int offset, struct err *err)
{
	char *address = arena_printf(dev->config.arena, "127.0.0.1:%d",
				     dev->port == 0 ? 0 : dev->port + offset);

	return config_set(&dev->config, name, address, err);
}

static int take_sets(struct dev *dev, struct err *err)
{
	for (size_t i = 0; i < dev->sets->n; i++) {
		const char *text = dev->sets->items[i];
		size_t n = strcspn(text, "=");

		if (text[n] == '\0')
			return err_set(err, ERR_BAD_REQUEST, "--set wants NAME=VALUE, not %s",
				       text);
		if (config_set(&dev->config, arena_dup(dev->config.arena, text, n), text + n + 1,
			       err) < 0)
			return err_prefix(err, "--set");
	}
	return 0;
}

/* What makes it a development gateway stands over what was set. */
static int configure(struct dev *dev, struct err *err)
{
	struct config *config = &dev->config;
	char *app = dev_cluster_url(&dev->cluster, DEV_DATABASE, "tollgate_app");
	char *drain = dev_cluster_url(&dev->cluster, DEV_DATABASE, "tollgate_audit_writer");
	int ret = -1;

	if (take_sets(dev, err) < 0 || set_listener(dev, "listen", 0, err) < 0 ||
	    set_listener(dev, "key_listen", 1, err) < 0 ||
	    set_listener(dev, "ops_listen", 2, err) < 0 ||
	    config_set(config, "database_url", app, err) < 0 ||
	    config_set(config, "drain_database_url", drain, err) < 0 ||
	    config_set(config, "data_dir", path_in(dev, "data"), err) < 0 ||
	    config_set(config, "keyring_file", path_in(dev, "keyring.json"), err) < 0 ||
	    config_set(config, "drain_timeout", DEV_DRAIN, err) < 0 ||
	    (dev->workers != NULL && config_set(config, "workers", dev->workers, err) < 0))
		goto out;
	config->development = true;
	ret = 0;
out:
	free(app);
	free(drain);
	return ret;
}

static int run_cluster(void *ctx)
{
	const struct dev *dev = ctx;

	return dev_cluster_exec(&dev->cluster);
}

static int run_clock(void *ctx)
{
	const struct dev *dev = ctx;

	return sample_clock_run(dev->clock_fd);
}

static int run_notes(void *ctx)
{
	const struct dev *dev = ctx;

	return sample_notes_run(dev->notes_fd, dev->notes_file);
}

/* The same port as last time if it is free, so that what was configured with it stays right. */
static int bind_sample(struct dev *dev, const char *port_file, int *fd, struct err *err)
{
	char *path = path_in(dev, port_file);
	char address[64] = "127.0.0.1:0";
	unsigned port = 0;
	FILE *file = fopen(path, "re");

	if (file != NULL) {
		char text[16] = "";
		uint64_t number;
		size_t n = fread(text, 1, sizeof(text) - 1, file);

		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		if (text_uint(text, 1, 65535, &number, err) == 0)
			port = (unsigned)number;
		fclose(file);
	}
	snprintf(address, sizeof(address), "127.0.0.1:%u", port);
	*fd = listener_bind(address, err);
	if (*fd < 0)
		*fd = listener_bind("127.0.0.1:0", err);
	if (*fd < 0)
		return -1;
	file = fopen(path, "we");
	if (file != NULL) {
		fprintf(file, "%d\n", listener_port(*fd));
		fclose(file);
	}
	return 0;
}

static int prepare(struct dev *dev, struct err *err)
{
	const struct companion postgres = { "postgres", run_cluster, dev, SIGINT };
	const struct companion clock = { "clock", run_clock, dev, SIGTERM };
	const struct companion notes = { "notes", run_notes, dev, SIGTERM };

	dev->supervisor = supervisor_new(&dev->config, err);
	if (dev->supervisor == NULL)
		return -1;
	dev->notes_file = path_in(dev, "notes.json");
	/* Ours from here on: the directory is locked. */
	(void)unlink(path_in(dev, "dev.json"));
	if (dev_cluster_await_end(&dev->cluster, CLUSTER_END_MS, err) < 0 ||
	    dev_cluster_create(&dev->cluster, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &postgres, err) < 0 ||
	    bind_sample(dev, "clock.port", &dev->clock_fd, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &clock, err) < 0 ||
	    bind_sample(dev, "notes.port", &dev->notes_fd, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &notes, err) < 0 ||
	    dev_cluster_wait(&dev->cluster, CLUSTER_START_MS, err) < 0)
		return -1;
	browser_token_new(dev->signin_code);
	dev->seed = (struct dev_seed){
		.cluster = &dev->cluster,
		.keyring_file = dev->config.keyring_file,
		.admin_key_file = path_in(dev, "admin.key"),
		.user_key_file = path_in(dev, DEV_USER ".key"),
		.clock_port = listener_port(dev->clock_fd),
		.notes_port = listener_port(dev->notes_fd),
		.signin_code = dev->signin_code,
	};
	if (run_in_child(dev_seed_run, &dev->seed) != EXIT_OK)
		return err_set(err, ERR_INTERNAL,
			       "the development database cannot be prepared; "
			       "tollgate dev --dir %s --reset forgets it",
			       dev->dir);
	return 0;
}

static void read_key(const char *path, char key[KEY_BYTES])
{
	FILE *file = fopen(path, "re");
	size_t n = file != NULL ? fread(key, 1, KEY_BYTES - 1, file) : 0;

	key[n] = '\0';
	if (file != NULL)
		fclose(file);
}

static json_t *url_of(const struct dev *dev, enum listener_kind kind, const char *path)
{
	return json_sprintf("http://127.0.0.1:%d%s", supervisor_port(dev->supervisor, kind), path);
}

static void set_database(json_t *json, const struct dev *dev, const char *key, const char *role)
{
	char *url = dev_cluster_url(&dev->cluster, DEV_DATABASE, role);

	json_object_set_new(json, key, json_string(url));
	free(url);
}

/* For tests and scripts; whole or not at all, so that its existence means ready. */
static int write_dev_json(struct dev *dev, struct err *err)
{
	char *path = path_in(dev, "dev.json");
	char *draft = path_in(dev, "dev.json.new");
	char admin_key[KEY_BYTES];
	char user_key[KEY_BYTES];
	json_t *json = json_object();
	int fd;
	int ret = 0;

	read_key(dev->seed.admin_key_file, admin_key);
	read_key(dev->seed.user_key_file, user_key);
	json_object_set_new(json, "public_url", url_of(dev, LISTENER_PUBLIC, ""));
	json_object_set_new(json, "mcp_url", url_of(dev, LISTENER_PUBLIC, "/mcp"));
	json_object_set_new(json, "key_url", url_of(dev, LISTENER_KEY, ""));
	json_object_set_new(json, "ops_url", url_of(dev, LISTENER_OPS, ""));
	json_object_set_new(json, "api_url", url_of(dev, LISTENER_PUBLIC, "/api/v1"));
	json_object_set_new(json, "admin_key", json_string(admin_key));
	json_object_set_new(json, "user_key", json_string(user_key));
	json_object_set_new(json, "tenant", json_string(DEV_TENANT));
	json_object_set_new(json, "notes_url",
			    json_sprintf("http://127.0.0.1:%d/mcp", listener_port(dev->notes_fd)));
	set_database(json, dev, "database_url", "tollgate_app");
	set_database(json, dev, "audit_database_url", DEV_READER);
	set_database(json, dev, "owner_database_url", "tollgate_owner");
	json_object_set_new(json, "pid", json_integer(getpid()));
	mem_wipe(admin_key, sizeof(admin_key));
	mem_wipe(user_key, sizeof(user_key));
	fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || json_dumpfd(json, fd, JSON_INDENT(2)) < 0 || write(fd, "\n", 1) != 1 ||
	    rename(draft, path) < 0)
		ret = err_set(err, ERR_INTERNAL, "%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	json_decref(json);
	return ret;
}

static double seconds_since(const struct timespec *start)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - start->tv_sec) + (double)(now.tv_nsec - start->tv_nsec) / 1e9;
}

/* The command line looks for .run below the directory where it is started. */
static void print_call(const struct dev *dev, int public_port)
{
	char *usual = realpath(".run", NULL);

	if (usual != NULL && strcmp(usual, dev->dir) == 0)
		printf("  build/tollgate call clock__now      call a tool\n"
		       "  build/tollgate connect notes        connect an account, then call "
		       "notes__list_notes\n");
	else
		printf("  TOLLGATE_URL=http://127.0.0.1:%d TOLLGATE_KEY=\"$(cat %s/%s.key)\""
		       " build/tollgate call clock__now\n",
		       public_port, dev->dir, DEV_USER);
	free(usual);
}

static void print_banner(const struct dev *dev)
{
	int public_port = supervisor_port(dev->supervisor, LISTENER_PUBLIC);
	int key_port = supervisor_port(dev->supervisor, LISTENER_KEY);
	char *psql = dev_cluster_url(&dev->cluster, DEV_DATABASE, DEV_READER);

	printf("\ntollgate " TOLLGATE_VERSION
	       "  DEVELOPMENT MODE: plain HTTP, loopback only, data in %s"
	       "        ready in %.1f s\n\n",
	       dev->dir, seconds_since(&dev->started));
	printf("  MCP            http://127.0.0.1:%d/mcp\n", public_port);
	printf("  MCP (API key)  http://127.0.0.1:%d/mcp\n", key_port);
	printf("  Admin API      http://127.0.0.1:%d/api/v1\n", public_port);
	printf("  Sign-in link   %s/signin?code=%s   %s, once, for 10 minutes\n",
	       supervisor_public_url(dev->supervisor), dev->signin_code, DEV_USER);
	printf("  User key       %s/%s.key   user %s of tenant %s\n", dev->dir, DEV_USER, DEV_USER,
	       DEV_TENANT);
	printf("  Admin key      %s/admin.key\n", dev->dir);
	printf("  SQL            psql '%s'\n", psql);
	printf("\nNext\n");
	print_call(dev, public_port);
	printf("  claude mcp add --transport http tollgate http://127.0.0.1:%d/mcp"
	       " -H \"Authorization: Bearer $(cat %s/%s.key)\"\n",
	       key_port, dev->dir, DEV_USER);
	printf("\nCtrl-C stops.  make run-reset erases the data.\n");
	fflush(stdout);
	free(psql);
}

static void on_ready(void *ctx)
{
	struct dev *dev = ctx;
	struct err err;

	if (write_dev_json(dev, &err) < 0)
		complain(EXIT_UNEXPECTED, "%s", err.text);
	print_banner(dev);
}

static int reset(struct dev *dev, struct err *err)
{
	static const char *const files[] = { "dev.json",   "keyring.json", "admin.key",
					     "ana.key",	   "clock.port",   "notes.port",
					     "notes.json", "postgres.log" };

	if (dev_cluster_remove(&dev->cluster, err) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		(void)unlink(path_in(dev, files[i]));
	return remove_tree(path_in(dev, "data"), err);
}

static int run(struct dev *dev, struct err *err)
{
	int code;

	if (dev_cluster_locate(&dev->cluster, dev->dir, err) < 0)
		return -1;
	if (dev->reset)
		return reset(dev, err);
	if (configure(dev, err) < 0 || prepare(dev, err) < 0)
		return -1;
	code = supervisor_run(dev->supervisor,
			      &(struct supervisor_hooks){ .ready = on_ready, .ctx = dev });
	(void)unlink(path_in(dev, "dev.json"));
	return code;
}

static int start(struct cli *cli, const void *options)
{
	struct dev dev = { .clock_fd = -1, .notes_fd = -1 };
	struct err err;
	int code;

	clock_gettime(CLOCK_MONOTONIC, &dev.started);
	config_init(&dev.config);
	if (take_options(&dev, options, &err) < 0) {
		code = cli_misuse(cli, "%s", err.text);
	} else {
		code = run(&dev, &err);
		if (code < 0)
			code = cli_fail(cli, EXIT_UNEXPECTED, err_name(err.code), "%s", err.text);
	}
	if (dev.supervisor != NULL)
		supervisor_stop(dev.supervisor);
	supervisor_free(&dev.supervisor);
	config_free(&dev.config);
	return code;
}

const struct cli_command cli_dev = { dev_options, sizeof(struct dev_options), CLI_LOCAL, start };
