/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate config …: the settings of this machine, before anything is started with them. */

#include <string.h>

#include "gateway/app/cli.h"

#define AT(member) offsetof(struct cli_config_options, member)

const struct cli_option cli_config_options[] = {
	{"config", 'c', CLI_TEXT, AT(file)},
	{ "set",	 0,   CLI_LIST, AT(sets)},
	{ NULL,	0,   CLI_TEXT, 0       },
};

static const struct cli_option dump_options[] = {
	{"config",  'c', CLI_TEXT, AT(file)  },
	{ "set",	 0,   CLI_LIST, AT(sets)  },
	{ "origin", 0,   CLI_FLAG, AT(origin)},
	{ NULL,	0,   CLI_TEXT, 0	       },
};

struct config_sources cli_config_sources(const struct cli_config_options *options)
{
	return (struct config_sources){
		.file = options->file,
		.sets = options->sets.items,
		.n_sets = options->sets.n,
	};
}

/* With -o json they are one document on standard output. */
struct telling {
	const struct cli *cli;
	struct buf json; /* the strings, with commas */
};

static void tell(void *ctx, const char *text)
{
	struct telling *telling = ctx;

	if (telling->cli->output == OUTPUT_TABLE) {
		complain(EXIT_USAGE, "%s", text);
		return;
	}
	if (telling->json.len > 0)
		buf_add(&telling->json, ",");
	buf_add_json_string(&telling->json, text, strlen(text));
}

/* Returns an exit code; the configuration is to be freed in any case. */
static int read_config(const struct cli *cli, const struct config_sources *sources,
		       struct config *config, struct telling *telling)
{
	const struct config_problems problems = { .tell = tell, .ctx = telling };
	size_t n = config_read(config, sources, &problems);

	if (n == 0)
		return EXIT_OK;
	if (cli->output == OUTPUT_TABLE)
		return EXIT_USAGE;
	return cli_fail(cli, EXIT_USAGE, "config", "the configuration has %zu problem%s", n,
			n == 1 ? "" : "s");
}

static void print_verdict(const struct cli *cli, const struct config_sources *sources, int code,
			  const struct telling *telling)
{
	const char *file = config_file(sources);
	struct buf line;

	if (cli->output == OUTPUT_TABLE) {
		if (code == EXIT_OK)
			printf("%s: the configuration is good\n", file != NULL ? file : "no file");
		return;
	}
	buf_init(&line, CLI_MAX_FILE_BYTES);
	buf_printf(&line, "{\"ok\":%s,\"file\":", code == EXIT_OK ? "true" : "false");
	if (file != NULL)
		buf_add_json_string(&line, file, strlen(file));
	else
		buf_add(&line, "null");
	buf_printf(&line, ",\"problems\":[%s]}", buf_str(&telling->json));
	puts(buf_str(&line));
	buf_fini(&line);
}

static int check(struct cli *cli, const void *ctx)
{
	const struct config_sources sources = cli_config_sources(ctx);
	struct telling telling = { .cli = cli };
	struct config config;
	int code;

	buf_init(&telling.json, CLI_MAX_FILE_BYTES / 2);
	code = read_config(cli, &sources, &config, &telling);
	print_verdict(cli, &sources, code, &telling);
	buf_fini(&telling.json);
	config_free(&config);
	return code;
}

/* What is wrong is told; what is right is shown all the same. */
static int dump(struct cli *cli, const void *ctx)
{
	const struct cli_config_options *options = ctx;
	const struct config_sources sources = cli_config_sources(options);
	struct telling telling = { .cli = cli };
	struct config config;
	int code;

	buf_init(&telling.json, CLI_MAX_FILE_BYTES / 2);
	code = read_config(cli, &sources, &config, &telling);
	if (cli->output == OUTPUT_JSON)
		config_dump_json(&config, stdout);
	else
		config_dump_yaml(&config, options->origin ? CONFIG_ORIGINS : CONFIG_VALUES, stdout);
	buf_fini(&telling.json);
	config_free(&config);
	return code;
}

static int schema(struct cli *cli, const void *options)
{
	(void)cli;
	(void)options;
	config_schema(stdout);
	return EXIT_OK;
}

const struct cli_command cli_config_check = { cli_config_options, sizeof(struct cli_config_options),
					      CLI_LOCAL, check };
const struct cli_command cli_config_dump = { dump_options, sizeof(struct cli_config_options),
					     CLI_LOCAL, dump };
const struct cli_command cli_config_schema = { NULL, 0, CLI_LOCAL, schema };
