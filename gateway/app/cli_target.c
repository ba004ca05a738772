/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/app/cli.h"

#define DEV_FILE      ".run/dev.json"
#define MAX_DEV_BYTES 65536

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : NULL;
}

/* A file of ours: what is sent where it points to may be secret. -1 with *exists false: none. */
static int read_dev_file(struct cli *cli, struct span *out, bool *exists, struct err *err)
{
	int fd = open(DEV_FILE, O_RDONLY | O_CLOEXEC);
	char *text = arena_alloc(cli->arena, MAX_DEV_BYTES);
	struct stat info;
	ssize_t n = -1;

	*exists = fd >= 0 || errno != ENOENT;
	if (fd < 0)
		return err_set(err, ERR_BAD_REQUEST, DEV_FILE ": %s", strerror(errno));
	if (fstat(fd, &info) == 0 && info.st_uid == geteuid())
		n = read(fd, text, MAX_DEV_BYTES);
	close(fd);
	*out = (struct span){ text, n > 0 ? (size_t)n : 0 };
	if (n < 0)
		return err_set(err, ERR_BAD_REQUEST, DEV_FILE " is not your file");
	return span_check(*out, NULL, err) < 0 ? err_prefix(err, DEV_FILE) : 0;
}

static int load_dev_file(struct cli *cli, struct span *file)
{
	struct err err;
	bool exists;

	if (read_dev_file(cli, file, &exists, &err) < 0 && exists)
		return cli_fail(cli, EXIT_USAGE, "usage", "%s", err.text);
	if (!exists)
		return cli_fail(cli, EXIT_UNREACHABLE, "unreachable",
				"no gateway is named, and none was started here by tollgate dev");
	return EXIT_OK;
}

int cli_find_dev(struct cli *cli, const char *member, const char **value)
{
	struct span file = { 0 };
	int code = load_dev_file(cli, &file);

	if (code != EXIT_OK)
		return code;
	*value = cli_cell(cli->arena, file, member);
	if (*value == NULL)
		return cli_fail(cli, EXIT_USAGE, "usage", DEV_FILE " names no %s", member);
	return EXIT_OK;
}

static int find_in_dev_file(struct cli *cli, enum cli_role role)
{
	struct span file = { 0 };
	int code = load_dev_file(cli, &file);

	if (code != EXIT_OK)
		return code;
	cli->url = cli_cell(cli->arena, file, "public_url");
	if (cli->key == NULL)
		cli->key = cli_cell(cli->arena, file, role == CLI_ADMIN ? "admin_key" : "user_key");
	if (cli->url == NULL)
		return cli_fail(cli, EXIT_USAGE, "usage", DEV_FILE " names no public_url");
	return EXIT_OK;
}

int cli_find_target(struct cli *cli, enum cli_role role)
{
	size_t n;

	if (cli->url == NULL)
		cli->url = environment("TOLLGATE_URL");
	if (cli->key == NULL)
		cli->key = environment("TOLLGATE_KEY");
	/* The keys of dev.json go to the gateway of dev.json only. */
	if (cli->url == NULL) {
		int code = find_in_dev_file(cli, role);

		if (code != EXIT_OK)
			return code;
	}
	if (cli->key == NULL)
		return cli_fail(cli, EXIT_SIGN_IN, "auth_required", "a key is needed");
	n = strlen(cli->url);
	while (n > 0 && cli->url[n - 1] == '/')
		n--;
	cli->url = arena_dup(cli->arena, cli->url, n);
	return EXIT_OK;
}
