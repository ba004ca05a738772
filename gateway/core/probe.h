/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_PROBE_H
#define GATEWAY_CORE_PROBE_H

/*
 * Finding out what an upstream is and what it offers, leaving no trace: a probe has connections
 * and a session of its own, which it ends, and writes nothing down. It does not touch what
 * core/upstream.h knows of the same upstream. Implemented in gateway/upstream/.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/span.h"
#include "gateway/core/mcp.h"
#include "gateway/core/tenant.h"

#define PROBE_TIMEOUT_MS     15000 /* over everything but the end of the session */
#define PROBE_END_TIMEOUT_MS 2000
#define PROBE_MAX_RUNNING    16 /* of this worker */
#define PROBE_MAX_OF_TENANT  4
#define PROBE_MAX_PAGES	     50
#define PROBE_MAX_NAME_BYTES ((size_t)256 << 10) /* all names of its tools */
#define PROBE_MAX_TEXT_BYTES ((size_t)64 << 10)	 /* of each other thing that it says */

struct probes; /* those of this worker */
struct probe;  /* one that runs: the slot */

/* What became of the session that had to be started. */
enum probe_session {
	PROBE_NO_SESSION,
	PROBE_ENDED,
	PROBE_LEFT, /* it does not let clients end sessions, or did not answer */
};

/* Spans are JSON, absent where it did not say, or said too much. Borrowed. */
struct probe_report {
	bool opened; /* it speaks MCP: the block that follows is known */
	enum mcp_era era;
	const char *protocol_version;
	struct span server;	  /* {"name":…,"version":…} */
	struct span capabilities; /* an object */
	struct span instructions; /* a string */
	bool listed;		  /* so is this one */
	size_t n_tools;
	struct span tools; /* their names, ["…",…] */
	bool complete;	   /* no page and no name is missing */
	int refused; /* the HTTP status, 401 or 403, of who wants another credential; else 0 */
	const char *authenticate; /* its WWW-Authenticate, or NULL */
	enum probe_session session;
	int64_t open_ms; /* until it was opened, or that failed */
	int64_t list_ms;
	const struct err *problem; /* NULL: there was none */
};

struct probes *probes_new(struct loop *loop);
/* No slot may be filled. Sessions that are still being ended are left. */
void probes_free(struct probes **probes);

/* Over the limits the report's problem is ERR_UNAVAILABLE. tenant is referenced; the connection
 * need not stand in it, and is copied. */
typedef void probe_done(void *ctx, const struct probe_report *report);
void probe_start(struct probes *probes, struct probe **slot, struct tenant *tenant,
		 const struct connection *connection, probe_done *done, void *ctx);
/* Its session is ended all the same. */
void probe_cancel(struct probe **slot);

#endif
