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

#include "base/text.h"
#include "gateway/app/cli.h"
#include "gateway/app/dev_cluster.h"
#include "gateway/app/dev_dir.h"
#include "gateway/app/dev_ready.h"
#include "gateway/app/listener.h"
#include "gateway/app/sample_clock.h"
#include "gateway/app/sample_notes.h"
#include "gateway/core/browser.h"

#define CLUSTER_START_MS 30000
#define CLUSTER_END_MS	 10000
#define CLUSTER_JOIN_MS	 2000
#define DEV_DRAIN	 "5s"

struct dev_options {
	const char *dir;
	const char *port;
	const char *workers;
	const char *beside;
	struct cli_list sets;
	bool reset;
};
#define AT(member) offsetof(struct dev_options, member)

static const struct cli_option dev_options[] = {
	{"dir",	 0, CLI_TEXT, AT(dir)    },
	{ "port",	  0, CLI_TEXT, AT(port)	},
	{ "workers", 0, CLI_TEXT, AT(workers)},
	{ "beside",  0, CLI_TEXT, AT(beside) },
	{ "set",	 0, CLI_LIST, AT(sets)   },
	{ "reset",   0, CLI_FLAG, AT(reset)  },
	{ NULL,	0, CLI_TEXT, 0	       },
};

struct dev {
	char dir[DEV_DIR_BYTES];
	char home[DEV_DIR_BYTES]; /* has the cluster and the keys: dir, or that of another gateway
				   */
	bool is_beside;
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

static char *path_at_home(struct dev *dev, const char *name)
{
	return arena_printf(dev->config.arena, "%s/%s", dev->home, name);
}

static int take_home(struct dev *dev, const char *beside, struct err *err)
{
	dev->is_beside = beside != NULL;
	if (!dev->is_beside) {
		memcpy(dev->home, dev->dir, sizeof(dev->home));
		return 0;
	}
	if (dev->reset)
		return err_set(err, ERR_BAD_REQUEST, "say --beside or --reset, not both");
	if (dev_dir_take(dev->home, beside, err) < 0)
		return err_prefix(err, "--beside");
	if (strcmp(dev->home, dev->dir) == 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "--beside: %s cannot be beside itself, give another --dir", beside);
	return 0;
}

static int take_options(struct dev *dev, const struct dev_options *options, struct err *err)
{
	const char *dir = options->dir != NULL ? options->dir : ".run";
	uint64_t port = 8080;

	dev->workers = options->workers;
	dev->sets = &options->sets;
	dev->reset = options->reset;
	if (options->port != NULL && text_uint(options->port, 0, 65533, &port, err) < 0)
		return err_prefix(err, "--port");
	dev->port = (int)port;
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(err, ERR_BAD_REQUEST, "%s: %s", dir, strerror(errno));
	if (dev_dir_take(dev->dir, dir, err) < 0)
		return -1;
	return take_home(dev, options->beside, err);
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
	    config_set(config, "keyring_file", path_at_home(dev, "keyring.json"), err) < 0 ||
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

/* What runs there already, and is as it should be once its dev.json exists. */
static int join(struct dev *dev, struct err *err)
{
	if (access(path_at_home(dev, "dev.json"), R_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE, "no development gateway is ready in %s",
			       dev->home);
	return dev_cluster_wait(&dev->cluster, CLUSTER_JOIN_MS, err);
}

static int prepare(struct dev *dev, struct err *err)
{
	const struct companion postgres = { "postgres", run_cluster, dev, SIGINT };
	const struct companion clock = { "clock", run_clock, dev, SIGTERM };
	const struct companion notes = { "notes", run_notes, dev, SIGTERM };

	dev->seed = (struct dev_seed){
		.cluster = &dev->cluster,
		.keyring_file = dev->config.keyring_file,
		.admin_key_file = path_at_home(dev, "admin.key"),
		.user_key_file = path_at_home(dev, DEV_USER ".key"),
	};
	dev->supervisor = supervisor_new(&dev->config, err);
	if (dev->supervisor == NULL)
		return -1;
	dev->notes_file = path_in(dev, "notes.json");
	/* Ours from here on: the directory is locked. */
	(void)unlink(path_in(dev, "dev.json"));
	if (dev->is_beside)
		return join(dev, err);
	if (dev_cluster_await_end(&dev->cluster, CLUSTER_END_MS, err) < 0 ||
	    dev_cluster_create(&dev->cluster, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &postgres, err) < 0 ||
	    bind_sample(dev, "clock.port", &dev->clock_fd, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &clock, err) < 0 ||
	    bind_sample(dev, "notes.port", &dev->notes_fd, err) < 0 ||
	    supervisor_add_companion(dev->supervisor, &notes, err) < 0 ||
	    dev_cluster_wait(&dev->cluster, CLUSTER_START_MS, err) < 0)
		return -1;
	dev->seed.clock_port = listener_port(dev->clock_fd);
	dev->seed.notes_port = listener_port(dev->notes_fd);
	browser_token_new(dev->signin_code);
	dev->seed.signin_code = dev->signin_code;
	if (run_in_child(dev_seed_run, &dev->seed) != EXIT_OK)
		return err_set(err, ERR_INTERNAL,
			       "the development database cannot be prepared; "
			       "tollgate dev --dir %s --reset forgets it",
			       dev->dir);
	return 0;
}

static void on_ready(void *ctx)
{
	struct dev *dev = ctx;
	const struct dev_ready ready = {
		.dir = dev->dir,
		.home = dev->home,
		.is_beside = dev->is_beside,
		.seed = &dev->seed,
		.supervisor = dev->supervisor,
		.started = dev->started,
	};
	struct err err;

	if (dev_ready_save(&ready, path_in(dev, "dev.json"), &err) < 0)
		complain(EXIT_UNEXPECTED, "%s", err.text);
	dev_ready_print(&ready);
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

	if (dev_cluster_locate(&dev->cluster, dev->home, err) < 0)
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
