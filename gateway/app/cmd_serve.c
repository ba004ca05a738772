/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/app/cli.h"
#include "gateway/app/config.h"
#include "gateway/app/supervisor.h"

static void on_ready(void *ctx)
{
	const struct supervisor *supervisor = ctx;

	log_info(&(struct log_subject){ .component = "supervisor" },
		 "serving %s, API keys on port %d", supervisor_public_url(supervisor),
		 supervisor_port(supervisor, LISTENER_KEY));
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

static int serve(const struct cli *cli, const struct config *config)
{
	struct supervisor *supervisor;
	struct err err;
	int code;

	configure_log(config);
	supervisor = supervisor_new(config, &err);
	if (supervisor == NULL)
		return cli_fail(cli, err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_UNEXPECTED,
				err_name(err.code), "%s", err.text);
	code = supervisor_run(supervisor, on_ready, supervisor);
	supervisor_free(&supervisor);
	return code;
}

static int run(struct cli *cli, const void *ctx)
{
	const struct config_sources sources = cli_config_sources(ctx);
	struct config config;
	struct err err;
	int code;

	if (config_load(&config, &sources, &err) < 0)
		return cli_fail(cli, EXIT_USAGE, "config", "%s", err.text);
	code = serve(cli, &config);
	config_free(&config);
	return code;
}

const struct cli_command cli_serve = { cli_config_options, sizeof(struct cli_config_options),
				       CLI_LOCAL, run };
