/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/sample_clock.h"

#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "gateway/app/exit_codes.h"
#include "gateway/app/sample_clock_priv.h"
#include "gateway/http/problem.h"
#include "gateway/http/server.h"

#define MAX_BODY_BYTES	   ((size_t)1024 * 1024)
#define REQUEST_TIMEOUT_MS 60000

#define PUBLIC (1U << LISTENER_PUBLIC)

static const struct route routes[] = {
	{PUBLIC,  "POST",	  "/mcp", clock_post  },
	{ PUBLIC, "GET",	 "/mcp", clock_get   },
	{ PUBLIC, "DELETE", "/mcp", clock_delete},
	{ 0,	     NULL,	   NULL,	 NULL	      },
};

static void unrouted(struct exchange *exchange, const char *allow)
{
	const struct http_header header = { "Allow", allow };

	if (allow == NULL)
		problem_answer_with(exchange, 404, "not_found", "the sample server is at /mcp",
				    NULL, 0);
	else
		problem_answer_with(exchange, 405, "method_not_allowed",
				    "this path does not have that method", &header, 1);
}

/* Whoever sleeps here is woken by the end of its connection. */
static void on_signal(void *ctx, int signo)
{
	struct clock *clock = ctx;

	(void)signo;
	loop_stop(clock->loop);
}

int sample_clock_run(int listen_fd)
{
	struct clock *clock = mem_new(sizeof(*clock));
	struct loop_signal signals = { .fd = -1 };
	struct http_server *server;
	sigset_t wanted;
	struct err err;
	int code = EXIT_OK;

	clock->app.development = true;
	clock->loop = loop_new();
	server = http_server_new(&(struct http_server_params){
		.loop = clock->loop,
		.app = clock,
		.routes = routes,
		.unrouted = unrouted,
		.max_body_bytes = MAX_BODY_BYTES,
		.request_timeout_ms = REQUEST_TIMEOUT_MS,
	});
	/* Ctrl-C at the terminal is for the supervisor, which stops us after the workers. */
	signal(SIGINT, SIG_IGN);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	if (loop_signal_start(clock->loop, &signals, &wanted, on_signal, clock, &err) < 0) {
		log_error(&(struct log_subject){ .component = "clock" }, "%s", err.text);
		code = EXIT_UNEXPECTED;
	} else {
		http_server_listen(server, listen_fd, LISTENER_PUBLIC);
		loop_run(clock->loop);
		loop_signal_stop(&signals);
	}
	http_server_free(&server);
	loop_free(&clock->loop);
	free(clock);
	return code;
}
