/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/sample.h"

#include <signal.h>
#include <stdlib.h>

#include "base/log.h"
#include "gateway/app/exit_codes.h"
#include "gateway/http/problem.h"
#include "gateway/http/server.h"

#define MAX_BODY_BYTES	   ((size_t)1024 * 1024)
#define REQUEST_TIMEOUT_MS 60000

static void unrouted(struct exchange *exchange, const char *allow)
{
	const struct sample *sample = exchange_app(exchange);
	const struct http_header header = { "Allow", allow };

	if (allow == NULL)
		problem_answer_with(exchange, 404, "not_found", sample->kind->nowhere, NULL, 0);
	else
		problem_answer_with(exchange, 405, "method_not_allowed",
				    "this path does not have that method", &header, 1);
}

static void on_signal(void *ctx, int signo)
{
	struct sample *sample = ctx;

	(void)signo;
	loop_stop(sample->loop);
}

int sample_run(const struct sample_kind *kind, void *own, int listen_fd)
{
	struct sample *sample = mem_new(sizeof(*sample));
	struct loop_signal signals = { .fd = -1 };
	struct http_server *server;
	sigset_t wanted;
	struct err err;
	int code = EXIT_OK;

	sample->app.development = true;
	sample->loop = loop_new();
	sample->kind = kind;
	sample->own = own;
	server = http_server_new(&(struct http_server_params){
		.loop = sample->loop,
		.app = sample,
		.routes = kind->routes,
		.unrouted = unrouted,
		.max_body_bytes = MAX_BODY_BYTES,
		.request_timeout_ms = REQUEST_TIMEOUT_MS,
	});
	/* Ctrl-C at the terminal is for the supervisor, which stops us after the workers. */
	signal(SIGINT, SIG_IGN);
	sigemptyset(&wanted);
	sigaddset(&wanted, SIGTERM);
	if (loop_signal_start(sample->loop, &signals, &wanted, on_signal, sample, &err) < 0) {
		log_error(&(struct log_subject){ .component = kind->name }, "%s", err.text);
		code = EXIT_UNEXPECTED;
	} else {
		http_server_listen(server, listen_fd, LISTENER_PUBLIC);
		loop_run(sample->loop);
		loop_signal_stop(&signals);
	}
	/* Whoever sleeps here is woken by the end of its connection. */
	http_server_free(&server);
	loop_free(&sample->loop);
	free(sample);
	return code;
}
