/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/commands.h"

#include <stdarg.h>

#include "gateway/app/cli.h"
#include "gateway/app/cmd_audit.h"
#include "gateway/app/commands_priv.h"
#include "gateway/app/config.h"

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

#define AUDIT_FILTER_DETAILS                                                                       \
	"  --user U, --tool T, --connection C, --method M, --persona P, --api-key K\n"             \
	"                        exactly that\n"                                                   \
	"  --client C            a program, with or without its version: codex, codex/1.2\n"       \
	"  --outcome LIST        ok,tool_error,denied,…\n"                                       \
	"  --errors              what did not do what was asked\n"                                 \
	"  --session S, --trace-id T\n"                                                            \
	"  --source-ip A         an address or a network\n"                                        \
	"  --min-duration D      500ms, 2s, …\n"                                                 \
	"  --search TEXT         in user, tool, connection, persona, purpose and error message\n"  \
	"  --all-tenants         as platform administrator\n"                                      \
	"  --no-tenant           the calls of nobody that was recognised; likewise\n"
#define AUDIT_TIME_DETAILS                                                                         \
	"  --from T, --to T      2026-11-20T12:31:00Z, how long ago (15m, 7d), or now; the last\n" \
	"                        24 hours if nothing is said\n"

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

	/* the audit book */
	{ "audit", "tail", "[--tool T] [--errors] … [--json] [-n N]",
	  "Show calls as they are stored, until it is interrupted.",
	  AUDIT_FILTER_DETAILS
	  "  --json                a line of JSON for each; the same as -o json\n"
	  "  -n, --limit N         end after so many\n"
	  "It comes back by itself after a cut, and misses nothing. Colours are for terminals, without\n"
	  "NO_COLOR.\n",
	  NULL, NULL, &cli_audit_tail },
	{ "audit", "list", "[--tool T] [--errors] [--from T] … [-n N]", "List calls, the newest first.",
	  AUDIT_FILTER_DETAILS
	  AUDIT_TIME_DETAILS
	  "  -n, --limit N         at most so many (50)\n",
	  NULL, NULL, &cli_audit_list },
	{ "audit", "show", "CALL_ID [--payload]", "Show one call with its arguments.",
	  "  --payload       what was kept of its full request and answer, too; -o json: only that\n"
	  "  --all-tenants   whatever tenant's it is; as platform administrator\n",
	  NULL, NULL, &cli_audit_show },
	{ "audit", "stats", "[--by WHAT] [--from T] …", "Count calls, and say how long they took.",
	  AUDIT_FILTER_DETAILS
	  AUDIT_TIME_DETAILS
	  "  --by WHAT             one line each: tool, user, connection, persona, outcome, client,\n"
	  "                        method, api_key or tenant\n"
	  "  -n, --limit N         with --by: at most so many (10)\n",
	  NULL, NULL, &cli_audit_stats },
	{ "audit", "export", "[--format jsonl|csv] [-o FILE] [--from T] …", "Write calls out, of any number.",
	  "  --format F            jsonl (a line of JSON each, lossless) or csv\n"
	  "  -o, --output FILE     it appears when it is complete; else standard output\n"
	  "  --cursor C            go on where an export that was cut said that it was\n"
	  AUDIT_TIME_DETAILS
	  AUDIT_FILTER_DETAILS
	  "Exit code 1 if it is not complete; what came is then in FILE.part.\n",
	  NULL, NULL, &cli_audit_export },
	{ "audit", "psql", "[--database U] [PSQL-ARGUMENT …]",
	  "Open psql on the audit schema.",
	  "  --database U   as a role that reads it; else TOLLGATE_AUDIT_DATABASE_URL, else that of\n"
	  "                 ./.run/dev.json\n"
	  "All else is psql's; what would be ours (--help) stands behind \"--\". Names of the schema need no\n"
	  "\"audit.\" before them, and times are UTC, unless PGOPTIONS or PGTZ says otherwise.\n",
	  NULL, cmd_audit_psql, NULL },
	{ "audit", "verify", "[--from T] [--to T] [--anchors FILE …] [--json] …",
	  "Prove that the book is what was written, or name what is not.",
	  "  --from T, --to T      only epochs that ended in that time: 2026-07-01T00:00:00Z, how long\n"
	  "                        ago (15m, 7d), or now\n"
	  "  --anchors FILE        a copy of the second sink; several times, one per gateway; else the\n"
	  "                        file of the settings, if it is there\n"
	  "  --public-key HEX      what anchors are signed for; else of keyring_file\n"
	  "  --show-public-key     only print it\n"
	  "  --database U          as tollgate_owner or a platform reader; else database_url\n"
	  "  --json                the same as -o json\n"
	  "  --dir D               the database and keyring of tollgate dev --dir D; .run is taken if\n"
	  "                        nothing else is said\n"
	  CONFIG_DETAILS
	  "Exit code 1 if something is wrong, and only then: 2, 4 and 78 say that it could not run.\n",
	  NULL, NULL, &cli_audit_verify },
	{ "audit", "grant-reader", "[ROLE] --tenant T | --platform | --list [--revoke] …",
	  "Let a database role read the book, of one tenant or of all.",
	  "  --tenant T       a tenant, by name or id\n"
	  "  --platform       all tenants, and what nobody is known to have sent\n"
	  "  --create-login   make the role if there is none, without a password\n"
	  "  --revoke         take it back; with neither tenant nor --platform, everything\n"
	  "  --list           who reads what; WORKS is false if the role is gone or no member\n"
	  "  --database U     as a role that owns the schema and may grant audit_reader; else\n"
	  "                   TOLLGATE_OWNER_DATABASE_URL\n",
	  NULL, NULL, &cli_audit_grant_reader },
	{ "spool", "show", "DIR", "Say what a spool of the audit book holds.",
	  "DIR is a spool-N below a data directory. Nothing is changed; it may be in use.\n",
	  NULL, NULL, &cli_spool_show },
	{ "spool", "drain", "DIR [--stall D] [--dir D | --config FILE …]",
	  "Bring the spool of a machine that is no more to PostgreSQL.",
	  "  --stall D             give up when no row was taken for so long (30s)\n"
	  "  --dir D               the database of tollgate dev --dir D\n"
	  CONFIG_DETAILS
	  "Of the settings drain_database_url is used. A spool that is in use is left alone; one in the\n"
	  "data directory of a gateway that runs needs no help. It may be said again: each row comes once.\n",
	  NULL, NULL, &cli_spool_drain },

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

#define GATEWAY_DETAILS                                                                            \
	"\nEvery command that talks to a gateway also takes:\n"                                    \
	"  --url U      its address (--gateway U where --url is a connection's); else\n"           \
	"               TOLLGATE_URL, else the one in ./.run/dev.json\n"                           \
	"  --key K      API key; else TOLLGATE_KEY, else, with its address, one of that file\n"    \
	"  --tenant T   as platform administrator: act on that tenant\n"
const char commands_gateway_details[] = GATEWAY_DETAILS;
const char commands_common_details[] = GATEWAY_DETAILS "  -o FORMAT    table or json\n";

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
