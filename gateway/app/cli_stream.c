/* SPDX-License-Identifier: Apache-2.0 */

/* One request whose answer is handed on as it arrives, so that its size is no matter. */

#include "base/http_client.h"
#include "gateway/app/cli.h"

#define MAX_PROBLEM_BYTES 65536
#define STATUS_OK	  200

struct streaming {
	struct cli *cli;
	const struct cli_stream *stream;
	struct http_request *slot;
	struct buf problem; /* the body of another status than 200 */
	int status;	    /* 0: no head yet */
	bool stopped;
	bool failed;
	struct err err;
};

static void on_head(void *ctx, const struct http_head *head)
{
	struct streaming *streaming = ctx;

	streaming->status = head->status;
}

static void on_data(void *ctx, const char *p, size_t n)
{
	struct streaming *streaming = ctx;

	if (streaming->status != STATUS_OK) {
		buf_append(&streaming->problem, p, n);
	} else if (!streaming->stream->data(streaming->stream->ctx, p, n)) {
		streaming->stopped = true;
		http_cancel(&streaming->slot);
		loop_stop(streaming->cli->loop);
	}
}

static void on_done(void *ctx, const struct err *err)
{
	struct streaming *streaming = ctx;

	streaming->failed = err != NULL;
	if (err != NULL)
		streaming->err = *err;
	loop_stop(streaming->cli->loop);
}

static int refused(const struct streaming *streaming)
{
	struct cli_answer answer = { .status = streaming->status };
	struct span body = buf_span(&streaming->problem);
	struct err ignored;

	if (body.n > 0 && span_check(body, NULL, &ignored) == 0)
		answer.body = span_trim(body);
	return cli_refused(streaming->cli, &answer);
}

int cli_stream(struct cli *cli, const struct cli_request *request, const struct cli_stream *stream,
	       enum cli_stream_end *end)
{
	static const struct http_events events = { on_head, on_data, on_done };
	struct streaming streaming = { .cli = cli, .stream = stream };
	int code = EXIT_OK;

	buf_init(&streaming.problem, MAX_PROBLEM_BYTES);
	cli_http_start(cli, &streaming.slot, request, &events, &streaming);
	loop_run(cli->loop);
	*end = CLI_STREAM_REFUSED;
	if (streaming.stopped)
		*end = CLI_STREAM_STOPPED;
	else if (streaming.status == STATUS_OK)
		*end = streaming.failed ? CLI_STREAM_CUT : CLI_STREAM_WHOLE;
	else if (!streaming.failed)
		code = refused(&streaming);
	else
		code = stream->quiet ? EXIT_UNREACHABLE : cli_unreachable(cli, &streaming.err);
	buf_fini(&streaming.problem);
	return code;
}
