/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_APP_ANCHOR_SINK_H
#define GATEWAY_APP_ANCHOR_SINK_H

/*
 * Where anchors go outside of the database: one JSON object a line, appended to a file and, if
 * wanted, sent to syslog. What cannot be written is tried again, from a queue with an end; nobody
 * waits for it.
 *
 *   {"type":"anchor","chain":uuid,"epoch":n,"first_seq":n,"last_seq":n,"last_mac":hex,
 *    "mac_key":hex,"anchored_at":RFC 3339 with microseconds,"signature":hex}
 *
 * The file is opened for each line, so it may be moved away at any time. Several processes share
 * one: a line is one write. The same anchor may stand there twice.
 */

#include <stdbool.h>
#include <stdint.h>

#include "audit/chain.h"
#include "base/loop.h"
#include "base/metrics.h"
#include "base/span.h"

struct anchor_sink;

#define ANCHOR_SINK_MAX_LINES  256
#define ANCHOR_SINK_LINE_BYTES 8192
#define ANCHOR_SINK_RETRY_MS   250 /* doubles to */
#define ANCHOR_SINK_RETRY_MAX  60000

struct anchor_sink_params {
	struct loop *loop;
	const char *file;	   /* made 0600 */
	const char *syslog_socket; /* ANCHOR_SINK_SYSLOG; NULL: not wanted */
	struct meter *meter;	   /* may be NULL */
};
#define ANCHOR_SINK_SYSLOG "/dev/log"
struct anchor_sink *anchor_sink_new(const struct anchor_sink_params *params);
/* What still waits is logged as lost. */
void anchor_sink_free(struct anchor_sink **sink);
void anchor_sink_add(struct anchor_sink *sink, const struct chain_anchor *anchor);
/* Any other statement: a JSON object without a line break, at most ANCHOR_SINK_LINE_BYTES. */
void anchor_sink_add_line(struct anchor_sink *sink, struct span json);
/* How many lines wait to be written. */
size_t anchor_sink_waiting(const struct anchor_sink *sink);

#endif
