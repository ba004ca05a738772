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

static void on_ready(void *ctx)
{
	const struct supervisor *supervisor = ctx;

	log_info(&(struct log_subject){ .component = "supervisor" },
		 "serving %s, API keys on port %d", supervisor_public_url(supervisor),
		 supervisor_port(supervisor, LISTENER_KEY));
}

static int read_options(struct config_sources *sources, int argc, char **argv, struct err *err)
{
	static const struct option options[] = {
		{"set", required_argument, NULL, 's'},
		 { NULL, 0,		    NULL, 0  }
	};
	const char **sets = mem_new_array((size_t)argc, sizeof(*sets));
	int option;

	sources->sets = sets;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 's')
			return err_set(err, ERR_BAD_REQUEST, "see tollgate help serve");
		sets[sources->n_sets++] = optarg;
	}
	if (optind < argc)
		return err_set(err, ERR_BAD_REQUEST, "serve takes no argument %s", argv[optind]);
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

static int serve(const struct config *config)
{
	struct supervisor *supervisor;
	struct err err;
	int code;

	configure_log(config);
	supervisor = supervisor_new(config, &err);
	if (supervisor == NULL)
		return complain(err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_UNEXPECTED, "%s",
				err.text);
	code = supervisor_run(supervisor, on_ready, supervisor);
	supervisor_free(&supervisor);
	return code;
}

int cmd_serve(int argc, char **argv)
{
	struct config_sources sources = { 0 };
	struct config config;
	struct err err;
	int code;

	if (read_options(&sources, argc, argv, &err) < 0 ||
	    config_load(&config, &sources, &err) < 0) {
		code = complain(EXIT_USAGE, "%s", err.text);
	} else {
		code = serve(&config);
		config_free(&config);
	}
	free((void *)sources.sets);
	return code;
}
