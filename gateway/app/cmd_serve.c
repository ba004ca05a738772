/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gateway/app/cli.h"
#include "gateway/app/config.h"
#include "gateway/app/supervisor.h"

struct serve {
	const struct config_sources *sources;
	struct supervisor *supervisor;
};

static void on_ready(void *ctx)
{
	const struct serve *serve = ctx;

	log_info(&(struct log_subject){ .component = "supervisor" },
		 "serving %s, API keys on port %d", supervisor_public_url(serve->supervisor),
		 supervisor_port(serve->supervisor, LISTENER_KEY));
}

static void configure_log(const struct config *config)
{
	static const char *const formats[] = {
		[LOG_AUTO] = "auto",
		[LOG_TEXT] = "text",
		[LOG_LOGFMT] = "logfmt",
		[LOG_JSON] = "json",
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

	if (config_load(config, serve->sources, err) < 0) {
		free(config);
		return NULL;
	}
	configure_log(config);
	return config;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct config_sources sources = cli_config_sources(ctx);
	struct serve serve = { .sources = &sources };
	const struct supervisor_hooks hooks = {
		.ready = on_ready, .reload = load, .release = release, .ctx = &serve
	};
	struct config *config;
	struct err err;
	int code;

	config = load(&serve, &err);
	if (config == NULL)
		return cli_fail(cli, EXIT_USAGE, "config", "%s", err.text);
	serve.supervisor = supervisor_new(config, &err);
	if (serve.supervisor == NULL) {
		release(NULL, config);
		return cli_fail(cli, err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_UNEXPECTED,
				err_name(err.code), "%s", err.text);
	}
	code = supervisor_run(serve.supervisor, &hooks);
	supervisor_free(&serve.supervisor);
	return code;
}

const struct cli_command cli_serve = { cli_config_options, sizeof(struct cli_config_options),
				       CLI_LOCAL, run };
