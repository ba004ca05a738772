/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/commands.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gateway/app/cli.h"
#include "gateway/app/config.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/manual.h"
#include "gateway/app/nearest.h"
#include "version.h"

#define MAX_NAME 64

static int cmd_help(int argc, char **argv);
static int cmd_version(int argc, char **argv);

#define CONNECTION_ACCESS                                                                          \
	"  --auth MODE           none, bearer, api_key or oauth\n"                                 \
	"  --credential-file F   the secret: a file, or - for standard input; never an argument\n" \
	"  --auth-header H       header that carries the key of api_key (X-API-Key)\n"             \
	"  --header NAME=VALUE   sent with every request; may be given several times\n"            \
	"  --era ERA             auto, legacy or modern\n"                                         \
	"  --connect-timeout D   10s, 250ms, …\n"                                                \
	"  --call-timeout D      the longest call\n"

#define CONNECTION_DETAILS                                                                         \
	"  --url U               endpoint of the MCP server\n" CONNECTION_ACCESS                   \
	"  --session SCOPE       who uses one session of a legacy server: shared, principal, "     \
	"client\n"                                                                                 \
	"  --description D       for people\n"                                                     \
	"  --allow GLOB          tools that may be listed and called; several times; default *\n"  \
	"  --deny GLOB           tools taken away from these; several times\n"                     \
	"  --audit-level LEVEL   what is kept of its calls: metadata, redacted or full\n"          \
	"  --audit-redact NAME   hide arguments of that name too, * is any run; several times\n"

#define OAUTH_DETAILS                                                                              \
	"With --auth oauth; what is not given is found out or registered:\n"                       \
	"  --grant G             authorization_code (somebody connects) or client_credentials\n"   \
	"  --per WHO             user: each their own account; shared: one for all\n"              \
	"  --issuer U            the only authorization server that will do\n"                     \
	"  --authorization-url U, --token-url U, --revocation-url U\n"                             \
	"                        its endpoints, if they cannot be discovered\n"                    \
	"  --client-id ID        a client that was registered by hand\n"                           \
	"  --client-secret-file F\n"                                                               \
	"                        its secret or PEM key; - for standard input\n"                    \
	"  --token-auth M        basic, basic_raw, post, private_key_jwt or none\n"                \
	"  --scope S             sent as it is\n"                                                  \
	"  --audience A          sent with each request for a token\n"                             \
	"  --resource on|off     whether `resource` (RFC 8707) is sent; on\n"                      \
	"  --authorize-param NAME=VALUE\n"                                                         \
	"                        sent to the authorization endpoint too; several times\n"

#define CONFIG_DETAILS                                                                             \
	"  -c, --config FILE     YAML or JSON; else TOLLGATE_CONFIG, else " CONFIG_DEFAULT_FILE    \
	"\n                        if it exists\n"                                                 \
	"  --set NAME=VALUE      a setting; wins over all else\n"                                  \
	"A setting is looked for in --set, in TOLLGATE_NAME, in the file that "                    \
	"TOLLGATE_NAME_FILE\n"                                                                     \
	"names, in the configuration file, and else has its default.\n"

#define KEYRING_DETAILS                                                                            \
	"  --dir D               the keyring and database of tollgate dev --dir "                  \
	"D\n" CONFIG_DETAILS "Of the settings keyring_file and database_url are used.\n"

/* clang-format off */
const struct command commands[] = {
	/* running it */
	{ "dev", NULL,
	  "[--dir D] [--port P] [--workers N] [--set NAME=VALUE …] [--beside D | --reset]",
	  "Start a gateway with a PostgreSQL of its own, for development.",
	  "  --dir D       where its data lies (.run)\n"
	  "  --port P      public port; P+1 for API keys, P+2 for operations; 0: any (8080)\n"
	  "  --workers N   processes (one per core)\n"
	  "  --beside D    no PostgreSQL of its own: serve the data of the gateway that runs in D\n"
	  "  --set …       a setting as of `serve`; where it listens and keeps its data stays\n"
	  "  --reset       erase the data instead\n",
	  NULL, NULL, &cli_dev },
	{ "serve", NULL, "[--config FILE] [--set NAME=VALUE …]",
	  "Start a gateway: a supervisor and its workers.",
	  CONFIG_DETAILS
	  "SIGHUP reads them again and replaces the workers one by one; SIGTERM lets calls finish and\n"
	  "stops. docs/operations.md says more.\n"
	  "\nSettings:\n",
	  config_describe, NULL, &cli_serve },
	{ "config", "check", "[--config FILE] [--set NAME=VALUE …]",
	  "Say everything that is wrong with the settings of serve.",
	  CONFIG_DETAILS,
	  NULL, NULL, &cli_config_check },
	{ "config", "dump", "[--origin] [--config FILE] [--set NAME=VALUE …]",
	  "Show what serve would start with, without passwords.",
	  "  --origin              say where each value comes from; -o json always does\n"
	  CONFIG_DETAILS,
	  NULL, NULL, &cli_config_dump },
	{ "config", "schema", "",
	  "Print the JSON Schema of the configuration file, for editors.",
	  NULL, NULL, NULL, &cli_config_schema },
	{ "doctor", NULL, "[--dir D | --config FILE …] [--json]",
	  "Look whether everything is as a gateway needs it, and say what to do.",
	  "  --dir D               a development directory; without it and without a configuration:\n"
	  "                        ./.run, if it is there\n"
	  "  --json                the same as -o json\n"
	  CONFIG_DETAILS
	  "Nothing is changed. Exit code 1 if a check fails.\n",
	  NULL, NULL, &cli_doctor },
	{ "migrate", NULL, "[--database URL] [--dry-run]",
	  "Bring the database to the schema of this program.",
	  "  --database URL   as a role that owns the schema; else TOLLGATE_OWNER_DATABASE_URL,\n"
	  "                   else TOLLGATE_DATABASE_URL\n"
	  "  --dry-run        only say what would be applied\n",
	  NULL, NULL, &cli_migrate },
	{ "keyring", "create", "[--offline] [--config FILE …]",
	  "Make the keyring of a new deployment.",
	  "  --offline             do not ask the database whether it has one already\n"
	  KEYRING_DETAILS,
	  NULL, NULL, &cli_keyring_create },
	{ "keyring", "list", "[--offline] [--config FILE …]",
	  "Show which keys it has, what they wrap, and how many workers have them.",
	  "  --offline             only what stands in the file\n"
	  KEYRING_DETAILS,
	  NULL, NULL, &cli_keyring_list },
	{ "keyring", "add", "[--config FILE …]",
	  "Add a key, which opens but does not wrap yet.",
	  KEYRING_DETAILS
	  "Running gateways take a changed file over by themselves.\n",
	  NULL, NULL, &cli_keyring_add },
	{ "keyring", "promote", "ID [--offline] [--config FILE …]",
	  "Wrap with that key from now on.",
	  "  --offline             do not wait until every worker has it\n"
	  KEYRING_DETAILS,
	  NULL, NULL, &cli_keyring_promote },
	{ "keyring", "rewrap", "[--data-keys] [--config FILE …]",
	  "Wrap with the primary key what older ones wrap; gateways may serve.",
	  "  --data-keys           instead make each tenant a new data key, and seal its secrets with it\n"
	  KEYRING_DETAILS
	  "It may be stopped at any time and run again.\n",
	  NULL, NULL, &cli_keyring_rewrap },
	{ "keyring", "verify", "[--config FILE …]",
	  "Open everything that is sealed, and say what does not open.",
	  KEYRING_DETAILS
	  "Exit code 1 if something does not.\n",
	  NULL, NULL, &cli_keyring_verify },
	{ "keyring", "retire", "ID [--config FILE …]",
	  "Remove a key that wraps nothing any more.",
	  KEYRING_DETAILS,
	  NULL, NULL, &cli_keyring_retire },
	{ "audit", "verify", "[--from T] [--to T] [--anchors FILE …] [--json] …",
	  "Prove that the book is what was written, or name what is not.",
	  "  --from T, --to T      only epochs that ended in that time (2026-07-01T00:00:00Z)\n"
	  "  --anchors FILE        a copy of the second sink; several times, one per gateway; else the\n"
	  "                        file of the settings, if it is there\n"
	  "  --public-key HEX      what anchors are signed for; else of keyring_file\n"
	  "  --show-public-key     only print it\n"
	  "  --database-url U      as tollgate_owner or a platform reader; else database_url\n"
	  "  --json                the same as -o json\n"
	  "  --dir D               the database and keyring of tollgate dev --dir D; .run is taken if\n"
	  "                        nothing else is said\n"
	  CONFIG_DETAILS
	  "Exit code 1 if something is wrong, and only then: 2, 4 and 78 say that it could not run.\n",
	  NULL, NULL, &cli_audit_verify },
	{ "status", NULL, "", "Say whether the gateway answers, and what it has.",
	  NULL, NULL, NULL, &cli_status },

	/* using it */
	{ "tools", NULL, "[--connection NAME]", "List the tools that the key may use.",
	  NULL, NULL, NULL, &cli_tools_list },
	{ "tools", "list", "[--connection NAME]", "The same.",
	  NULL, NULL, NULL, &cli_tools_list },
	{ "call", NULL, "TOOL [-a K=V …] [--args-json JSON|-]", "Call a tool.",
	  "  -a K=V             an argument: V as it is if it is JSON, else as a string\n"
	  "  --args-json JSON   all arguments; - reads them from standard input\n"
	  "Prints the texts of the result; with -o json the result as it came. Exit code 5 if the\n"
	  "tool failed or there is none of that name.\n",
	  NULL, NULL, &cli_call },

	{ "connect", NULL, "NAME [--no-browser]", "Connect an account to an OAuth connection, in the browser.",
	  "  --no-browser   only print the address\n"
	  "Waits until it is done. The browser has to be signed in as the user of the key: tollgate\n"
	  "signin-link prints an address that does that. Exit code 6 if the account is not connected.\n",
	  NULL, NULL, &cli_connect },
	{ "accounts", "list", "", "List the connected accounts that the key may see.",
	  NULL, NULL, NULL, &cli_accounts_list },
	{ "accounts", "disconnect", "NAME [--user U] [--yes]", "Disconnect an account and revoke its tokens.",
	  "  --user U   another user's; as administrator\n"
	  "  --yes      do not ask, as it does at a terminal\n",
	  NULL, NULL, &cli_accounts_disconnect },
	{ "signin-link", NULL, "", "Print an address that signs a browser in as the key's user, once.",
	  NULL, NULL, NULL, &cli_signin_link },

	{ "client-config", NULL, "claude-code|claude-desktop|cursor|vscode|inspector [--url U] …",
	  "Print what points an MCP client at the gateway.",
	  "  --url U        of the key listener, or of an endpoint; else that of ./.run/dev.json\n"
	  "  --key-file F   where the key lies; else, with --url, TOLLGATE_KEY has it\n"
	  "  --name N       what the client calls it (tollgate)\n"
	  "  --show-key     put the key itself in; else only where to find it\n",
	  NULL, NULL, &cli_client_config },

	/* administration of a tenant */
	{ "connections", "list", "", "List the connections.",
	  NULL, NULL, NULL, &cli_connections_list },
	{ "connections", "show", "NAME", "Show one; secrets are not shown.",
	  NULL, NULL, NULL, &cli_connections_show },
	{ "connections", "add", "NAME --url U [--auth MODE] …", "Add an MCP server.",
	  CONNECTION_DETAILS
	  "  --no-wait             do not wait until it has been listed (10 seconds at most)\n"
	  OAUTH_DETAILS,
	  NULL, NULL, &cli_connections_add },
	{ "connections", "edit", "NAME …", "Change what is given, keep the rest.",
	  CONNECTION_DETAILS
	  "  --remove-header NAME  send that header no more; several times\n"
	  OAUTH_DETAILS
	  "  --remove-authorize-param NAME\n"
	  "                        send that no more; several times\n"
	  "An empty text takes a setting back.\n",
	  NULL, NULL, &cli_connections_edit },
	{ "connections", "rm", "NAME [--yes]", "Remove one.",
	  NULL, NULL, NULL, &cli_connections_rm },
	{ "connections", "enable", "NAME", "Offer its tools again.",
	  NULL, NULL, NULL, &cli_connections_enable },
	{ "connections", "disable", "NAME", "Hide its tools and refuse their calls.",
	  NULL, NULL, NULL, &cli_connections_disable },
	{ "connections", "status", "[NAME]", "Say how they are: era, tools, last error.",
	  NULL, NULL, NULL, &cli_connections_status },
	{ "connections", "refresh", "NAME", "List its tools now and say how it is.",
	  NULL, NULL, NULL, &cli_connections_refresh },
	{ "connections", "probe", "URL|NAME [--auth MODE] …",
	  "Find out what a server speaks and offers; nothing is changed.",
	  "NAME is probed as it is stored. For a URL:\n"
	  CONNECTION_ACCESS
	  "Exit code 6 if it wants another credential.\n",
	  NULL, NULL, &cli_connections_probe },
	{ "keys", "list", "", "List the API keys, without their secrets.",
	  NULL, NULL, NULL, &cli_keys_list },
	{ "keys", "add", "NAME [--user U] [--role R] [--expires D | --expires-at T]",
	  "Make an API key and print it, this once.",
	  "  --user U         whose key it is; without: a service key\n"
	  "  --role R         user, admin or, by platform administrators, platform\n"
	  "  --expires D      30d, 12h, …\n"
	  "  --expires-at T   2027-01-31T12:00:00Z\n",
	  NULL, NULL, &cli_keys_add },
	{ "keys", "create", "NAME [--user U] [--role R] [--expires D | --expires-at T]",
	  "The same.", NULL, NULL, NULL, &cli_keys_add },
	{ "keys", "rm", "ID [--yes]", "Remove a key: it is refused within seconds.",
	  NULL, NULL, NULL, &cli_keys_rm },
	{ "users", "list", "", "List the users.",
	  NULL, NULL, NULL, &cli_users_list },
	{ "users", "add", "NAME [--email E] [--role R]", "Add a user.",
	  "  --role R   user or admin\n",
	  NULL, NULL, &cli_users_add },
	{ "users", "rm", "NAME [--yes]", "Remove a user with the user's keys.",
	  NULL, NULL, NULL, &cli_users_rm },

	/* administration of the deployment */
	{ "tenants", "list", "", "List the tenants.",
	  NULL, NULL, NULL, &cli_tenants_list },
	{ "tenants", "show", "NAME", "Show one.",
	  NULL, NULL, NULL, &cli_tenants_show },
	{ "tenants", "add", "NAME", "Add a tenant.",
	  NULL, NULL, NULL, &cli_tenants_add },
	{ "tenants", "rm", "NAME [--yes]", "Remove a tenant with all that it has.",
	  NULL, NULL, NULL, &cli_tenants_rm },
	{ "tenants", "egress", "NAME --allow HOST:PORT … | --none",
	  "Set which private addresses its connections may reach.",
	  NULL, NULL, NULL, &cli_tenants_egress },

	{ "completion", NULL, "bash|zsh|fish", "Print what makes a shell complete these commands.",
	  "  eval \"$(tollgate completion bash)\"    in this shell; packages install it for all\n",
	  NULL, NULL, &cli_completion },
	{ "help", NULL, "[COMMAND]", "This list, or the manual of one command.",
	  "  --man [PAGE]   print a manual page: tollgate.1 or tollgate.yaml.5\n",
	  NULL, cmd_help, NULL },
	{ "version", NULL, "", "Print the version.",
	  NULL, NULL, cmd_version, NULL },
	{ 0 },
};
/* clang-format on */

const char commands_common_details[] =
	"\nEvery command that talks to a gateway also takes:\n"
	"  --url U      its address (--gateway U where --url is a connection's); else\n"
	"               TOLLGATE_URL, else the one in ./.run/dev.json\n"
	"  --key K      API key; else TOLLGATE_KEY, else, with its address, one of that file\n"
	"  --tenant T   as platform administrator: act on that tenant\n"
	"  -o FORMAT    table or json\n";

const char commands_exit_details[] =
	"\nExit codes: 0 done, 1 failed, 2 wrong use or settings, 3 key missing or not enough,\n"
	"4 gateway unreachable or without its database, 5 the tool failed or is unknown,\n"
	"6 a server wants a credential.\n";

int complain(int code, const char *format, ...)
{
	va_list args;

	fputs("tollgate: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

static void name_of(const struct command *command, char name[MAX_NAME])
{
	snprintf(name, MAX_NAME, "%s%s%s", command->noun, command->verb != NULL ? " " : "",
		 command->verb != NULL ? command->verb : "");
}

/* noun NULL: all of them. */
static void list_commands(FILE *out, const char *noun)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		char name[MAX_NAME];

		if (noun != NULL && strcmp(at->noun, noun) != 0)
			continue;
		name_of(at, name);
		fprintf(out, "  %-20s %s\n", name, at->help);
	}
}

static void print_overview(FILE *out)
{
	fputs("Usage: tollgate COMMAND [OPTION …]\n\n", out);
	list_commands(out, NULL);
	fputs(commands_common_details, out);
	fputs(commands_exit_details, out);
	fputs("\ntollgate help COMMAND says more about one.\n", out);
}

static void print_manual(FILE *out, const struct command *command)
{
	char name[MAX_NAME];

	name_of(command, name);
	fprintf(out, "Usage: tollgate %s%s%s\n\n%s\n", name, command->args[0] != '\0' ? " " : "",
		command->args, command->help);
	if (command->details != NULL)
		fprintf(out, "\n%s", command->details);
	if (command->describe != NULL) {
		fputc('\n', out);
		command->describe(out);
	}
	if (command->cli != NULL && command->cli->role != CLI_LOCAL)
		fputs(commands_common_details, out);
}

static bool is_noun(const char *word)
{
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, word) == 0)
			return true;
	}
	return false;
}

/* words[0] is a noun; words[1] may be a verb or NULL. */
static const struct command *command_find(char **words, size_t n)
{
	const struct command *alone = NULL;

	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (strcmp(at->noun, words[0]) != 0)
			continue;
		if (at->verb == NULL)
			alone = at;
		else if (n > 1 && strcmp(at->verb, words[1]) == 0)
			return at;
	}
	return alone;
}

static void print_noun(FILE *out, const char *noun)
{
	fprintf(out, "Usage: tollgate %s COMMAND\n\n", noun);
	list_commands(out, noun);
	fprintf(out, "\ntollgate help %s COMMAND says more about one.\n", noun);
}

/* "-o json" among what is there, before any command has read its options. */
static bool wants_json(int argc, char **argv)
{
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		bool separate = strcmp(argv[i], "-o") == 0 || strcmp(argv[i], "--output") == 0;

		if ((separate && i + 1 < argc && strcmp(argv[i + 1], "json") == 0) ||
		    strcmp(argv[i], "-ojson") == 0 || strcmp(argv[i], "--output=json") == 0)
			return true;
	}
	return false;
}

/* Nouns, or the verbs of one. */
static const char *nearest_word(const char *noun, const char *word)
{
	struct nearest nearest;

	nearest_init(&nearest, word);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (noun == NULL)
			nearest_try(&nearest, at->noun);
		else if (strcmp(at->noun, noun) == 0 && at->verb != NULL)
			nearest_try(&nearest, at->verb);
	}
	return nearest.found;
}

/* The command that this word is the verb of, if one noun alone has it. */
static const struct command *find_by_verb(const char *verb)
{
	const struct command *found = NULL;

	assert(verb != NULL);
	for (const struct command *at = commands; at->noun != NULL; at++) {
		if (at->verb == NULL || strcmp(at->verb, verb) != 0)
			continue;
		if (found != NULL)
			return NULL;
		found = at;
	}
	return found;
}

/* What was meant by words that are no command; false: no guess. */
static bool guess(const char *noun, char **words, size_t n, char name[MAX_NAME])
{
	const struct command *command = noun == NULL ? find_by_verb(words[0]) : NULL;
	const char *near = noun == NULL ? nearest_word(NULL, words[0])
			   : n > 1	? nearest_word(noun, words[1])
					: NULL;

	if (command != NULL)
		name_of(command, name);
	else
		snprintf(name, MAX_NAME, "%s", near != NULL ? near : "");
	return name[0] != '\0';
}

/* words[0], or words[1] of it, is none. */
static int no_command(int argc, char **argv, size_t n)
{
	const struct cli cli = { .output = wants_json(argc, argv) ? OUTPUT_JSON : OUTPUT_TABLE };
	const char *noun = is_noun(argv[0]) ? argv[0] : NULL;
	char meant[MAX_NAME];
	bool has_guess = guess(noun, argv, n, meant);

	if (cli.output == OUTPUT_TABLE && noun == NULL)
		print_overview(stderr);
	else if (cli.output == OUTPUT_TABLE)
		print_noun(stderr, noun);
	if (noun != NULL && n < 2)
		return cli_fail(&cli, EXIT_USAGE, "usage", "say what %s shall do", noun);
	return cli_fail(&cli, EXIT_USAGE, "usage", "there is no command %s%s%s%s%s%s", argv[0],
			noun != NULL ? " " : "", noun != NULL ? argv[1] : "",
			has_guess ? "; did you mean " : "", has_guess ? meant : "",
			has_guess ? "?" : "");
}

/* What help says for these words: the nearest there is. */
static int help(char **words, size_t n)
{
	const struct command *command;

	if (n == 0) {
		print_overview(stdout);
		return EXIT_OK;
	}
	if (!is_noun(words[0]))
		return no_command((int)n, words, n);
	command = command_find(words, n);
	if (command != NULL)
		print_manual(stdout, command);
	else
		print_noun(stdout, words[0]);
	return EXIT_OK;
}

static int cmd_help(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--man") == 0)
		return manual_print(argc > 2 ? argv[2] : MANUAL_TOLLGATE);
	return help(argv + 1, (size_t)argc - 1);
}

static int cmd_version(int argc, char **argv)
{
	if (argc > 1)
		return complain(EXIT_USAGE, "version takes no argument %s", argv[1]);
	puts("tollgate " TOLLGATE_VERSION);
	return EXIT_OK;
}

/* --help anywhere asks for the manual, but not as the value of an argument after "--". */
static bool asks_for_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	}
	return false;
}

static size_t count_leading_words(int argc, char **argv)
{
	size_t n = 0;

	while (n < (size_t)argc && argv[n][0] != '-')
		n++;
	return n;
}

static int run(const struct command *command, int argc, char **argv)
{
	int skip = command->verb != NULL ? 1 : 0;

	argc -= skip;
	argv += skip;
	return command->cli != NULL ? cli_run(command, argc, argv) : command->run(argc, argv);
}

int commands_run(int argc, char **argv)
{
	const struct command *command;
	size_t n;

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_USAGE;
	}
	argc--;
	argv++;
	if (strcmp(argv[0], "--version") == 0)
		return cmd_version(argc, argv);
	n = count_leading_words(argc, argv);
	if (asks_for_help(argc + 1, argv - 1))
		return help(argv, n);
	if (n == 0 || !is_noun(argv[0]))
		return no_command(argc, argv, n);
	command = command_find(argv, n);
	return command != NULL ? run(command, argc, argv) : no_command(argc, argv, n);
}
