/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/ops.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/metrics.h"
#include "gateway/core/board.h"
#include "gateway/http/app.h"

#define MAX_METRICS_BYTES ((size_t)64 << 20)
#define MAX_READY_BYTES	  4096
#define CHECK_BYTES	  160

void ops_livez(struct exchange *exchange)
{
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = 200,
					  .content_type = "text/plain; charset=utf-8",
					  .body = SPAN("ok"),
				  });
}

/* Each check writes what is wrong, or nothing. True: so wrong that no requests should come. */

static bool check_draining(const struct board_report *report, char out[CHECK_BYTES])
{
	if (report->stopping)
		snprintf(out, CHECK_BYTES, "the gateway is stopping");
	return report->stopping;
}

static bool check_keyring(const struct board_report *report, char out[CHECK_BYTES])
{
	static const char *const reasons[] = {
		[SEAL_NONE] = "",
		[SEAL_NO_KEYRING] = "keyring_file cannot be used",
		[SEAL_OTHER_KEYRING] = "keyring_file is not the keyring of this database",
	};

	if (report->n_sealed > 0)
		snprintf(out, CHECK_BYTES, "%zu of %zu workers are sealed: %s", report->n_sealed,
			 report->n_serving, reasons[report->seal]);
	return report->n_sealed > 0;
}

/* Connections to a slot without a worker wait in its queue. */
static bool check_workers(const struct board_report *report, char out[CHECK_BYTES])
{
	if (report->n_served < report->n_slots)
		snprintf(out, CHECK_BYTES, "%zu of %zu workers serve", report->n_served,
			 report->n_slots);
	return report->n_served < report->n_slots;
}

static bool check_database(const struct board_report *report, char out[CHECK_BYTES])
{
	if (report->n_without_db > 0)
		snprintf(out, CHECK_BYTES, "unreachable from %zu of %zu workers, for %lld s",
			 report->n_without_db, report->n_serving,
			 (long long)(report->without_db_ms / 1000));
	return report->n_without_db > 0;
}

static bool check_spool(const struct board_report *report, char out[CHECK_BYTES])
{
	if (report->n_full > 0)
		snprintf(out, CHECK_BYTES, "%zu of %zu workers can record no more calls",
			 report->n_full, report->n_serving);
	else if (report->n_tight > 0)
		snprintf(out, CHECK_BYTES,
			 "%zu of %zu workers have little room and refuse what can wait",
			 report->n_tight, report->n_serving);
	return report->n_full > 0;
}

/* In the order of what an operator wants to hear first: the first that fails is the status. */
static const struct {
	const char *name;
	const char *status;
	bool (*check)(const struct board_report *report, char out[CHECK_BYTES]);
} checks[] = {
	{"draining",  "draining",		  check_draining},
	{ "keyring",  "sealed",		       check_keyring },
	{ "workers",  "not all workers serve", check_workers },
	{ "database", "database unreachable",  check_database},
	{ "spool",	   "spool full",		 check_spool   },
};

static const char *run_checks(const struct board_report *report, struct buf *out)
{
	const char *status = NULL;

	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		char problem[CHECK_BYTES] = "";

		if (checks[i].check(report, problem) && status == NULL)
			status = checks[i].status;
		buf_printf(out, "%s\"%s\":\"%s\"", i > 0 ? "," : "", checks[i].name,
			   problem[0] != '\0' ? problem : "ok");
	}
	return status;
}

/* What PostgreSQL has still to take. */
static void add_backlog(const struct board_report *report, struct buf *out)
{
	buf_printf(out,
		   "\"audit\":{\"backlog_rows\":%" PRIu64 ",\"oldest_seconds\":%lld,"
		   "\"spool_bytes\":%" PRIu64 "}",
		   report->backlog, (long long)(report->backlog_ms / 1000), report->spool_bytes);
}

void ops_readyz(struct exchange *exchange)
{
	const struct http_app *app = exchange_app(exchange);
	struct board_report report;
	const char *problem;
	struct buf details;
	struct buf body;

	board_report(app->board, loop_now_ms(app->loop), &report);
	buf_init(&details, MAX_READY_BYTES);
	buf_init(&body, MAX_READY_BYTES);
	problem = run_checks(&report, &details);
	buf_printf(&body, "{\"status\":\"%s\",\"checks\":{%s},",
		   problem != NULL ? problem : "ready", buf_str(&details));
	add_backlog(&report, &body);
	buf_add(&body, "}");
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = problem != NULL ? 503 : 200,
					  .content_type = "application/json",
					  .body = buf_span(&body),
				  });
	buf_fini(&body);
	buf_fini(&details);
}

void ops_metrics(struct exchange *exchange)
{
	const struct http_app *app = exchange_app(exchange);
	struct buf text;

	buf_init(&text, MAX_METRICS_BYTES);
	metrics_print(app->board->metrics, &text);
	exchange_answer(exchange, &(struct exchange_answer){
					  .status = text.overflow ? 500 : 200,
					  .content_type = "text/plain; version=0.0.4; "
							  "charset=utf-8",
					  .body = text.overflow ? SPAN("") : buf_span(&text),
				  });
	buf_fini(&text);
}
