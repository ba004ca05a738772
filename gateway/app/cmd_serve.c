/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
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

/* "NAME=VALUE" */
static int set_option(struct config *config, char *text, struct err *err)
{
	char *equals = strchr(text, '=');

	if (equals == NULL)
		return err_set(err, ERR_BAD_REQUEST, "--set wants NAME=VALUE, not %s", text);
	*equals = '\0';
	return config_set(config, text, equals + 1, err);
}

static int read_options(struct config *config, int argc, char **argv, struct err *err)
{
	static const struct option options[] = {
		{"set", required_argument, NULL, 's'},
		 { NULL, 0,		    NULL, 0  }
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option != 's')
			return err_set(err, ERR_BAD_REQUEST, "see tollgate help serve");
		if (set_option(config, optarg, err) < 0)
			return -1;
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

int cmd_serve(int argc, char **argv)
{
	struct supervisor *supervisor;
	struct config config;
	struct err err;
	int code = EXIT_USAGE;

	config_init(&config);
	if (config_from_environment(&config, &err) < 0 ||
	    read_options(&config, argc, argv, &err) < 0 || config_check(&config, &err) < 0) {
		complain(code, "%s", err.text);
		goto out;
	}
	configure_log(&config);
	supervisor = supervisor_new(&config, &err);
	if (supervisor == NULL) {
		code = complain(err.code == ERR_BAD_REQUEST ? EXIT_USAGE : EXIT_UNEXPECTED, "%s",
				err.text);
		goto out;
	}
	code = supervisor_run(supervisor, on_ready, supervisor);
	supervisor_free(&supervisor);
out:
	config_free(&config);
	return code;
}
