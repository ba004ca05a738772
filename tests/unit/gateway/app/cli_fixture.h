/* SPDX-License-Identifier: Apache-2.0 */
#ifndef CLI_FIXTURE_H
#define CLI_FIXTURE_H

/* Command lines, and commands that run in a directory of their own with their output caught. */

#include "gateway/app/cli.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAX_ARGS     16
#define TEXT_BYTES   8192

struct line {
	char text[TEXT_BYTES];
	char *argv[MAX_ARGS + 1];
	int argc;
};

/* Words between single spaces; a line of its own memory, as of a process. */
static inline void split(struct line *line, const char *text)
{
	char *at = line->text;

	assert_true(strlen(text) < sizeof(line->text));
	memcpy(line->text, text, strlen(text) + 1);
	while (at != NULL) {
		char *space = strchr(at, ' ');

		assert_true(line->argc < MAX_ARGS);
		line->argv[line->argc++] = at;
		if (space != NULL)
			*space++ = '\0';
		at = space;
	}
}

struct fixture {
	char dir[40];
	int home;
	int saved[2]; /* standard output and error */
	char out[TEXT_BYTES];
	char err[TEXT_BYTES];
};

static inline int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	snprintf(f->dir, sizeof(f->dir), "%s", "/tmp/test_cli.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	f->home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(chdir(f->dir), 0);
	unsetenv("TOLLGATE_URL");
	unsetenv("TOLLGATE_KEY");
	*state = f;
	return 0;
}

static inline int tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(".run/dev.json");
	rmdir(".run");
	unlink("1");
	unlink("2");
	assert_int_equal(fchdir(f->home), 0);
	close(f->home);
	rmdir(f->dir);
	unsetenv("TOLLGATE_URL");
	unsetenv("TOLLGATE_KEY");
	free(f);
	return 0;
}

static inline void redirect(struct fixture *f)
{
	fflush(stdout);
	fflush(stderr);
	for (int fd = 1; fd <= 2; fd++) {
		int file = open(fd == 1 ? "1" : "2", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		f->saved[fd - 1] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		assert_true(file >= 0 && f->saved[fd - 1] >= 0);
		dup2(file, fd);
		close(file);
	}
}

static inline void restore(struct fixture *f)
{
	fflush(stdout);
	fflush(stderr);
	for (int fd = 1; fd <= 2; fd++) {
		char *text = fd == 1 ? f->out : f->err;
		ssize_t n = pread(fd, text, TEXT_BYTES - 1, 0);

		text[n > 0 ? n : 0] = '\0';
		dup2(f->saved[fd - 1], fd);
		close(f->saved[fd - 1]);
	}
}

static inline int run(struct fixture *f, const struct command *command, const char *text)
{
	struct line *line = calloc(1, sizeof(*line));
	int code;

	assert_non_null(line);
	split(line, text);
	redirect(f);
	code = cli_run(command, line->argc, line->argv);
	restore(f);
	free(line);
	return code;
}

#endif
