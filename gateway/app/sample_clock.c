/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/app/sample_clock.h"

#include "base/text.h"
#include "gateway/app/sample_clock_priv.h"
#include "version.h"

static const char tools_list[] =
	"\"tools\":[{\"name\":\"now\",\"title\":\"Now\","
	"\"description\":\"The current time in UTC, as RFC 3339.\","
	"\"inputSchema\":{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false},"
	"\"annotations\":{\"readOnlyHint\":true,\"openWorldHint\":false}},"
	"{\"name\":\"sleep\",\"title\":\"Sleep\","
	"\"description\":\"Waits that many milliseconds, reports progress, and can be cancelled.\","
	"\"inputSchema\":{\"type\":\"object\",\"properties\":{\"ms\":{\"type\":\"integer\","
	"\"minimum\":0,\"maximum\":60000}},\"required\":[\"ms\"],\"additionalProperties\":false},"
	"\"annotations\":{\"readOnlyHint\":true,\"openWorldHint\":false}}]";

static void call_now(struct sample_request *request, struct span arguments)
{
	char now[TEXT_TIME_BYTES];

	(void)arguments;
	text_time(loop_unix_us(), now);
	sample_answer_text(request, now, false);
}

static void call_sleep(struct sample_request *request, struct span arguments)
{
	int64_t ms;

	if (span_int64(span_get(arguments, "ms"), &ms) < 0 || ms < 0 || ms > CLOCK_MAX_SLEEP_MS) {
		sample_answer_text(request, "ms must be a whole number from 0 to 60000", true);
		return;
	}
	nap_start(request, ms);
	request->arena = NULL;
}

static const struct sample_tool tools[] = {
	{"now",	 call_now  },
	{ "sleep", call_sleep},
};

static const struct route routes[] = {
	{SAMPLE_PUBLIC,	 "POST",	 "/mcp", sample_post  },
	{ SAMPLE_PUBLIC, "GET",	"/mcp", sample_get   },
	{ SAMPLE_PUBLIC, "DELETE", "/mcp", sample_delete},
	{ 0,	     NULL,	   NULL,	 NULL	      },
};

static const struct sample_kind kind = {
	.name = "clock",
	.server_info =
		"{\"name\":\"clock\",\"title\":\"Clock\",\"version\":\"" TOLLGATE_VERSION "\"}",
	.about = "\"capabilities\":{\"tools\":{}},"
		 "\"instructions\":\"Tells the time, and takes its time if asked to.\"",
	.tools_list = tools_list,
	.tools = tools,
	.n_tools = sizeof(tools) / sizeof(tools[0]),
	.no_tool = "there is no such tool: now or sleep",
	.routes = routes,
	.nowhere = "the sample server is at /mcp",
	.cancel = nap_cancel,
};

int sample_clock_run(int listen_fd)
{
	struct clock clock = { .naps = NULL };

	return sample_run(&kind, &clock, listen_fd);
}
