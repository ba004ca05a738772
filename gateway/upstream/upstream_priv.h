/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_UPSTREAM_PRIV_H
#define GATEWAY_UPSTREAM_PRIV_H

/* What the files of gateway/upstream share. */

#include <uthash.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/loop.h"
#include "gateway/core/upstream.h"
#include "gateway/upstream/post.h"

#define UPSTREAM_OPEN_TIMEOUT_MS 30000
#define UPSTREAM_NOTE_TIMEOUT_MS 5000
/* How long a stream may stay open behind its answer before the connection is given up. */
#define UPSTREAM_LINGER_MS 1000
/* Requests of an upstream that are answered while one of ours runs; more are ignored. */
#define UPSTREAM_MAX_ANSWERS   100
#define UPSTREAM_VERSION_BYTES 32

enum peer_state {
	PEER_CLOSED,  /* nothing known, or no longer valid */
	PEER_OPENING, /* finding out the era, starting a session */
	PEER_OPEN,
};

enum open_step {
	OPEN_PROBE, /* server/discover: is it modern? */
	OPEN_FIND,  /* a session that another worker has started */
	OPEN_INITIALIZE,
	OPEN_INITIALIZED, /* notifications/initialized */
	OPEN_SHARE,	  /* the session's row */
};

struct peer_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
};

/* How requests are sent to an open upstream. */
struct peer_terms {
	enum mcp_era era;
	char version[UPSTREAM_VERSION_BYTES];
	char session_id[POST_SESSION_BYTES]; /* legacy; "": it gave none */
};

/* One upstream as this worker knows it, as one version of its connection configures it. */
struct peer {
	struct peer_key key;
	int64_t version;
	struct upstreams *upstreams;
	enum peer_state state;
	unsigned round;			       /* which opening it is in, or was opened by */
	struct peer_terms terms;	       /* OPEN; while OPENING as far as known */
	int log_level;			       /* asked of it in this session; -1: none */
	char lost_session[POST_SESSION_BYTES]; /* the last one that it refused */
	bool doubtful;			       /* it spoke another era than was thought: probe it */
	struct {
		bool opened; /* once at least */
		enum mcp_era era;
		char version[UPSTREAM_VERSION_BYTES];
		bool introduced; /* it said what follows to this worker */
		char *server_name;
		char *server_version;
		char *instructions;
	} known;
	struct upstream_facts facts;
	struct upstream_op *waiting; /* for PEER_OPEN, in order of their rounds */
	size_t n_ops;		     /* all of its operations, and who else holds it */
	/* Superseded or removed: nobody finds it any more, and it goes with its last operation. */
	bool forgotten;

	/* While OPENING. */
	struct {
		enum open_step step;
		unsigned tried; /* bits of 1 << enum open_step */
		struct tenant *tenant;
		const struct connection *connection;
		int64_t id;
		struct post *post;
		struct db_op *query;
		struct buf body;
		bool answered;	     /* the message that the step waits for has come */
		struct post_end end; /* with it */
		struct timer linger; /* for the end of the stream behind it */
	} open;
	UT_hash_handle hh;
};

enum op_state {
	OP_WAITING, /* for the peer to open */
	OP_LEVEL,   /* logging/setLevel goes first */
	OP_SENT,
	OP_LINGERING, /* answered; its stream has not ended */
};

struct upstream_op {
	struct upstream_op **slot; /* NULL once LINGERING */
	struct upstream_op *prev, *next;
	enum op_state state;
	struct peer *peer;
	unsigned round;			 /* the opening that it waits for, or was sent after */
	struct peer_terms terms;	 /* that it was sent on */
	struct upstream_request request; /* with copies of its own */
	struct arena *arena;
	struct post *post;
	struct buf body;
	/* The JSON-RPC error of an HTTP error. */
	struct {
		struct buf error;
		int code;
		bool is_ours; /* it bears the request's id */
	} refusal;
	int64_t id;
	unsigned attempts;
	unsigned n_answers; /* to requests of the upstream */
	struct timer timer;
	struct deferred deferred; /* a failure that was known at the start */
	struct upstream_events events;
	void *ctx;
};

/* A message that nobody waits for an answer to. */
struct note {
	struct note *prev, *next;
	struct upstreams *upstreams;
	struct tenant *tenant;
	struct post *post;
	struct buf body;
};

struct upstreams {
	struct loop *loop;
	struct db *db;
	struct http_client *client;
	struct peer *peers;
	struct upstream_op *lingering;
	struct note *notes;
	/* Ids carry random bits of this worker, because workers share upstream sessions. They stay
	 * below 2^53, which every JSON reader keeps. */
	int64_t next_id;
};

/* peer.c. Finds or makes the peer of this version of the connection, and holds it. */
struct peer *peer_hold(struct upstreams *upstreams, const struct tenant *tenant,
		       const struct connection *connection);
void peer_release(struct peer *peer);
void peers_free(struct upstreams *upstreams);
/* Forgets era and session, and stops opening. Waiting operations stay. */
void peer_close(struct peer *peer);

/* peer_open.c. tenant and connection are those of whoever asks first. */
void peer_open(struct peer *peer, struct tenant *tenant, const struct connection *connection);
void peer_stop_opening(struct peer *peer);
/* The result of server/discover names the modern revision. */
bool upstream_lists_modern(struct span result);
/* A refusal with this status may come from a server of the other era. */
bool upstream_tells_era(int status);
void peer_run_step(struct peer *peer, enum open_step step);
/* err NULL: on the terms that were set. */
void peer_finish_opening(struct peer *peer, const struct err *err);
void peer_set_terms(struct peer *peer, enum mcp_era era, const char *version,
		    const char *session_id);

/* peer_share.c: the steps that ask Postgres. */
void peer_find_shared(struct peer *peer);
void peer_share(struct peer *peer);

/* op.c: the life of one request. */
void op_free(struct upstream_op *op);
/* Waits for the peer to be open, or goes on at once. */
void op_run(struct upstream_op *op);
void op_fail(struct upstream_op *op, enum err_code code, const char *why);
void op_finish(struct upstream_op *op, const struct upstream_answer *answer, const struct err *err);
/* The upstream is told that nobody waits any more. */
void op_tell_cancelled(struct upstream_op *op, const char *reason);
/* The opening has ended. err NULL: it is open. */
void peer_opened(struct peer *peer, const struct err *err);

/* op_answer.c: what comes back. */
extern const struct post_events op_events;
/* op_send.c: on terms that hold now. */
void op_send(struct upstream_op *op);
void op_send_request(struct upstream_op *op);

/* note.c. On the terms that the request was sent on; text is copied. */
void note_send(struct upstream_op *op, struct span text);
void note_free(struct note *note);
/* Requests of an upstream to its client: ping is answered, the rest nobody here can do. */
void note_answer(struct upstream_op *op, const struct envelope *request);

#endif
