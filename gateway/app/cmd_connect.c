/* SPDX-License-Identifier: Apache-2.0 */

/* tollgate connect, accounts … and signin-link: accounts at upstreams, and the browser. */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "gateway/app/cli.h"

#define LOOK_MS	       500
#define MAX_WAIT_MS    660000 /* an attempt lives ten minutes */
#define MAX_BODY_BYTES 1024

/* --- the browser ----------------------------------------------------------------------------- */

static bool has_display(void)
{
	const char *x11 = getenv("DISPLAY");
	const char *wayland = getenv("WAYLAND_DISPLAY");

	return (x11 != NULL && x11[0] != '\0') || (wayland != NULL && wayland[0] != '\0');
}

static void become_opener(const char *url)
{
	int nowhere = open("/dev/null", O_RDWR);

	if (nowhere >= 0) {
		dup2(nowhere, STDIN_FILENO);
		dup2(nowhere, STDOUT_FILENO);
		dup2(nowhere, STDERR_FILENO);
	}
	setsid();
	execlp("xdg-open", "xdg-open", url, (char *)NULL);
	execlp("open", "open", url, (char *)NULL);
	_exit(EXIT_UNEXPECTED);
}

/* No shell sees the URL. Two generations, so that nobody has to wait for the browser. */
static void open_browser(const char *url)
{
	pid_t child;

	if (strncmp(url, "https://", 8) != 0 && strncmp(url, "http://", 7) != 0)
		return;
	child = fork();
	if (child == 0) {
		if (fork() == 0)
			become_opener(url);
		_exit(EXIT_OK);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

/* --- connect --------------------------------------------------------------------------------- */

struct connect_options {
	bool no_browser;
};
static const struct cli_option connect_options[] = {
	{"no-browser", 0, CLI_FLAG, offsetof(struct connect_options, no_browser) },
	{ NULL,		0,	   CLI_TEXT,     0		       },
};

static const char *cell(struct cli *cli, struct span object, const char *path)
{
	const char *text = cli_cell(cli->arena, object, path);

	return text != NULL ? text : "";
}

static bool is_over(struct cli *cli, struct span attempt)
{
	const char *state = cell(cli, attempt, "state");

	return strcmp(state, "connected") == 0 || strcmp(state, "failed") == 0;
}

static int wait_for_end(struct cli *cli, const char *id, struct cli_answer *attempt)
{
	const char *path = cli_path(cli, "/connect/attempts/", id, "");

	for (int64_t waited = 0;; waited += LOOK_MS) {
		int code = cli_get(cli, path, attempt);

		if (code != EXIT_OK || is_over(cli, attempt->body))
			return code;
		if (waited >= MAX_WAIT_MS)
			return cli_fail(cli, EXIT_NOT_CONNECTED, "expired",
					"nobody has connected the account in time; start again");
		cli_wait(cli, LOOK_MS);
	}
}

static int tell_end(struct cli *cli, struct span attempt)
{
	const char *account = cli_cell(cli->arena, attempt, "account");
	const char *text;

	if (strcmp(cell(cli, attempt, "state"), "failed") == 0)
		return cli_fail(cli, EXIT_NOT_CONNECTED, cell(cli, attempt, "error.code"),
				"%s is not connected (%s): %s %s", cli->words[0],
				cell(cli, attempt, "error.code"),
				cell(cli, attempt, "error.detail"),
				cell(cli, attempt, "error.remedy"));
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(attempt);
	text = account == NULL ? arena_printf(cli->arena, "Connected, %s tools",
					      cell(cli, attempt, "tools"))
			       : arena_printf(cli->arena, "Connected as %s, %s tools", account,
					      cell(cli, attempt, "tools"));
	cli_print_text(stdout, span_of(text));
	return EXIT_OK;
}

static int connect_account(struct cli *cli, const void *ctx)
{
	const struct connect_options *options = ctx;
	bool browser = !options->no_browser && has_display();
	struct cli_answer answer;
	int code = cli_ask(cli,
			   &(struct cli_request){ .method = "POST",
						  .path = cli_path(cli, "/connections/",
								   cli->words[0], "/connect") },
			   &answer);
	const char *url;

	if (code != EXIT_OK)
		return code;
	url = cell(cli, answer.body, "url");
	fprintf(cli->output == OUTPUT_JSON ? stderr : stdout, "%s this address to connect %s:\n\n",
		browser ? "A browser opens" : "Open", cli->words[0]);
	cli_print_text(cli->output == OUTPUT_JSON ? stderr : stdout, span_of(url));
	fflush(stdout);
	if (browser)
		open_browser(url);
	code = wait_for_end(cli, cell(cli, answer.body, "attempt"), &answer);
	return code == EXIT_OK ? tell_end(cli, answer.body) : code;
}

/* --- accounts -------------------------------------------------------------------------------- */

static int list(struct cli *cli, const void *options)
{
	static const struct cli_column columns[] = {
		{"CONNECTION",	"connection"},
		{ "USER",	  "user"	 },
		{ "ACCOUNT",    "account"   },
		{ "STATE",	   "state"	   },
		{ "EXPIRES",    "expires_at"},
		{ "LAST ERROR", "last_error"},
		{ NULL,		NULL	     },
	};
	struct span *items;
	size_t n;
	int code = cli_get_list(cli, "/accounts", false, &items, &n);

	(void)options;
	return code == EXIT_OK ? cli_print_list(cli, columns, items, n) : code;
}

struct disconnect_options {
	const char *user;
	bool yes;
};
static const struct cli_option disconnect_options[] = {
	{"user", 0, CLI_TEXT, offsetof(struct disconnect_options, user) },
	{ "yes",	 'y', CLI_FLAG,	offsetof(struct disconnect_options,			    yes) },
	{ NULL,	0,  CLI_TEXT,	     0	       },
};

static int disconnect(struct cli *cli, const void *ctx)
{
	const struct disconnect_options *options = ctx;
	const char *path = cli_path(cli, "/connections/", cli->words[0], "/oauth/disconnect");
	const struct cli_member members[] = {
		{"user", options->user},
		   { NULL,  NULL		}
	};
	const char *what = arena_printf(cli->arena, "the account of %s", cli->words[0]);
	struct cli_answer answer;
	int code;

	if (!cli_confirmed(cli, options->yes, what))
		return cli_fail(cli, EXIT_UNEXPECTED, "cancelled", "nothing is removed");
	code = cli_post(cli, path, false, members, &answer);
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	cli_print_text(stdout,
		       span_of(arena_printf(cli->arena, "%s is disconnected; at the server: %s",
					    cli->words[0], cell(cli, answer.body, "revocation"))));
	return EXIT_OK;
}

/* --- signing in ------------------------------------------------------------------------------ */

static int signin_link(struct cli *cli, const void *options)
{
	struct cli_answer answer;
	int code = cli_ask(cli, &(struct cli_request){ .method = "POST", .path = "/signin-codes" },
			   &answer);

	(void)options;
	if (code != EXIT_OK)
		return code;
	if (cli->output == OUTPUT_JSON)
		return cli_print_json(answer.body);
	cli_print_text(stdout, span_of(cell(cli, answer.body, "url")));
	fprintf(stderr, "signs %s in, once, until %s\n", cell(cli, answer.body, "user"),
		cell(cli, answer.body, "expires_at"));
	return EXIT_OK;
}

const struct cli_command cli_connect = { connect_options, sizeof(struct connect_options), CLI_USER,
					 connect_account };
const struct cli_command cli_accounts_list = { NULL, 0, CLI_USER, list };
const struct cli_command cli_accounts_disconnect = { disconnect_options,
						     sizeof(struct disconnect_options), CLI_USER,
						     disconnect };
const struct cli_command cli_signin_link = { NULL, 0, CLI_USER, signin_link };
