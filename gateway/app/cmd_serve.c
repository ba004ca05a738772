/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/app/commands.h"
#include "gateway/app/config.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/supervisor.h"

struct serve {
	int argc;
	char **argv;
	struct supervisor *supervisor;
};

static void on_ready(void *ctx)
{
	const struct serve *serve = ctx;

	log_info(&(struct log_subject){ .component = "supervisor" },
		 "serving %s, API keys on port %d", supervisor_public_url(serve->supervisor),
		 supervisor_port(serve->supervisor, LISTENER_KEY));
}

/* "NAME=VALUE" */
static int set_option(struct config *config, const char *text, struct err *err)
{
	const char *equals = strchr(text, '=');
	const char *name;

	if (equals == NULL)
		return err_set(err, ERR_BAD_REQUEST, "--set wants NAME=VALUE, not %s", text);
	name = arena_dup(config->arena, text, (size_t)(equals - text));
	return config_set(config, name, equals + 1, err);
}

static int read_options(struct config *config, const struct serve *serve, struct err *err)
{
	static const struct option options[] = {
		{"set", required_argument, NULL, 's'},
		 { NULL, 0,		    NULL, 0  }
	};
	int option;

	optind = 0; /* from the beginning: they are read at every reload */
	while ((option = getopt_long(serve->argc, serve->argv, "", options, NULL)) != -1) {
		if (option != 's')
			return err_set(err, ERR_BAD_REQUEST, "see tollgate help serve");
		if (set_option(config, optarg, err) < 0)
			return -1;
	}
	if (optind < serve->argc)
		return err_set(err, ERR_BAD_REQUEST, "serve takes no argument %s",
			       serve->argv[optind]);
	return 0;
}

static void configure_log(const struct config *config)
{
	static const char *const formats[] = {
		[LOG_AUTO] = "auto", [LOG_TEXT] = "text", [LOG_JSON] = "json"
	};
	enum log_level level = LOG_INFO;
	enum log_format format = LOG_AUTO;
	struct err ignored; /* the settings table has checked the words */

	for (int i = LOG_AUTO; i <= LOG_JSON; i++) {
		if (strcmp(formats[i], config->log_format) == 0)
			format = (enum log_format)i;
	}
	if (log_level_parse(config->log_level, &level, &ignored) == 0)
		log_configure(level, format);
}

static void release(void *ctx, struct config *config)
{
	(void)ctx;
	config_free(config);
	free(config);
}

/* From all sources, at the start and at each reload alike. */
static struct config *load(void *ctx, struct err *err)
{
	const struct serve *serve = ctx;
	struct config *config = mem_new(sizeof(*config));

	config_init(config);
	if (config_from_environment(config, err) == 0 && read_options(config, serve, err) == 0 &&
	    config_check(config, err) == 0) {
		configure_log(config);
		return config;
	}
	release(NULL, config);
	return NULL;
}

int cmd_serve(int argc, char **argv)
{
	struct serve serve = { .argc = argc, .argv = argv };
	const struct supervisor_hooks hooks = {
		.ready = on_ready, .reload = load, .release = release, .ctx = &serve
	};
	struct config *config;
	struct err err;
	int code;

	config = load(&serve, &err);
	if (config == NULL)
		return complain(EXIT_USAGE, "%s", err.text);
	serve.supervisor = supervisor_new(config, &err);
	if (serve.supervisor == NULL) {
		release(NULL, config);
		return complain(err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_UNEXPECTED, "%s",
				err.text);
	}
	code = supervisor_run(serve.supervisor, &hooks);
	supervisor_free(&serve.supervisor);
	return code;
}
