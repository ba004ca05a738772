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
/* "session:" and the hex of a SHA-256, or a principal's subject. */
#define UPSTREAM_SCOPE_BYTES 80
/* Peers that a worker remembers; the longest unused goes first. */
#define UPSTREAM_MAX_PEERS 10000
/* A worker that opens a session has it for itself so long; then another may try. */
#define UPSTREAM_LEASE_MS 10000
/* How often the others look whether it is there, at first and at most. */
#define UPSTREAM_LOOK_MIN_MS 20
#define UPSTREAM_LOOK_MAX_MS 250
/* A shared session that nobody used for so long is not used again, and is ended. */
#define UPSTREAM_SESSION_IDLE_SECONDS (24 * 3600)
/* How often a used one is written down as such. */
#define UPSTREAM_TOUCH_MS 600000
/* Times that one request is sent: a session that another worker opened may be lost too. */
#define UPSTREAM_MAX_SENDS 3
/* Streams that end before the answer are gone on with so often, or so often in vain. */
#define UPSTREAM_MAX_RESUMES	    100
#define UPSTREAM_MAX_FAILED_RESUMES 3
/* Before that, if the server says nothing; and at least. */
#define UPSTREAM_RETRY_MS     1000
#define UPSTREAM_RETRY_MIN_MS 50
/* A stream that listens may be silent so long; a dead peer is noticed by TCP before. */
#define UPSTREAM_LISTEN_IDLE_MS 900000
/* Ended sessions are looked for so often, and so many taken at once. */
#define UPSTREAM_SWEEP_MS  5000
#define UPSTREAM_MAX_SWEPT 100

enum peer_state {
	PEER_CLOSED,  /* nothing known, or no longer valid */
	PEER_OPENING, /* finding out the era, starting a session */
	PEER_OPEN,
};

enum open_step {
	OPEN_PROBE, /* server/discover: is it modern? */
	OPEN_FIND,  /* a session in Postgres, or the right to open it */
	OPEN_INITIALIZE,
	OPEN_INITIALIZED, /* notifications/initialized */
	OPEN_SHARE,	  /* the session's row */
};

/* Compared as bytes: zeroed first. */
struct peer_key {
	char tenant_id[UUID_TEXT_BYTES];
	char connection_id[UUID_TEXT_BYTES];
	char scope[UPSTREAM_SCOPE_BYTES];     /* "": the session that all share */
	char subject[UPSTREAM_SUBJECT_BYTES]; /* whose token opens it; "": the shared one */
	int64_t version;	   /* of the settings: an edit of policy alone keeps it */
	int64_t connected_version; /* of the tokens that it is used with; 0: none */
};

/* Somebody who waits for a peer to open. */
struct peer_waiter {
	struct peer_waiter *prev, *next;
	unsigned round;
	/* err NULL: it is open. refusal: as of upstream_events.refused, or NULL. */
	void (*opened)(void *ctx, const struct err *err, const struct upstream_refusal *refusal);
	void *ctx;
};

/* How requests are sent to an open upstream. */
struct peer_terms {
	enum mcp_era era;
	char version[UPSTREAM_VERSION_BYTES];
	char session_id[POST_SESSION_BYTES]; /* legacy; "": it gave none */
};

/* One upstream as this worker knows it, as one version of its connection configures it, with one
 * session of those that it may have. */
struct peer {
	struct peer_key key;
	struct upstreams *upstreams;
	struct tenant *tenant; /* the snapshot that connection stands in */
	const struct connection *connection;
	enum peer_state state;
	unsigned round;			       /* which opening it is in, or was opened by */
	struct peer_terms terms;	       /* OPEN; while OPENING as far as known */
	bool adopted;			       /* the session stood in Postgres */
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
	struct peer_waiter *waiting; /* for PEER_OPEN, in order of their rounds */
	size_t n_ops;		     /* all of its operations, and who else holds it */
	bool forgotten;		     /* nobody finds it any more: it goes with its last operation */
	int64_t touched_ms;
	struct db_op *touch;

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
		bool answered; /* the message that the step waits for has come */
		int status;    /* with it */
		int64_t token_version;
		/* For the end of the stream behind it, or for the next look in Postgres. */
		struct timer timer;
		struct deferred deferred; /* a failure that was known at the start */
		int64_t began_ms;
		int64_t look_ms;
		char lease[UUID_TEXT_BYTES]; /* names this opening */
		bool leased;		     /* the session's row says that it is ours to open */
	} open;
	UT_hash_handle hh;
};

enum op_state {
	OP_WAITING, /* for the peer to open */
	OP_LEVEL,   /* logging/setLevel goes first */
	OP_SENT,
	OP_RESUMING,  /* its stream has ended: it is gone on with in a while */
	OP_LINGERING, /* answered; its stream has not ended */
};

struct upstream_op {
	struct upstream_op **slot; /* NULL once LINGERING */
	struct upstream_op *prev, *next;
	enum op_state state;
	struct peer *peer;
	struct peer_waiter waiter;	 /* while WAITING */
	unsigned round;			 /* the opening that it was sent after */
	bool adopted;			 /* that took its session from Postgres */
	struct peer_terms terms;	 /* that it was sent on */
	struct upstream_request request; /* with copies of its own */
	struct arena *arena;
	struct post *post;
	int64_t token_version; /* of the token that it bore; 0: none */
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
	struct sse_cursor cursor;
	unsigned resumes;
	unsigned failed_resumes; /* since the last event */
	unsigned heard;		 /* events before the last resume */
	struct timer timer;
	struct timer retry;	  /* while RESUMING */
	struct deferred deferred; /* a failure that was known at the start */
	struct upstream_events events;
	void *ctx;
};

/* Where a message that nobody waits for an answer to goes: all borrowed. */
struct note_to {
	struct upstreams *upstreams;
	struct tenant *tenant;
	const struct connection *connection;
	const char *subject;
	const struct peer_terms *terms;
};

/* A message that nobody waits for an answer to. */
struct note {
	struct note *prev, *next;
	struct upstreams *upstreams;
	struct tenant *tenant;
	const struct connection *connection;
	char subject[UPSTREAM_SUBJECT_BYTES];
	struct peer_terms terms;
	struct post *post;
	struct buf body;    /* empty: a DELETE */
	struct timer timer; /* until it is sent */
};

/* A lease that is given back. */
struct release {
	struct release *prev, *next;
	struct upstreams *upstreams;
	struct db_op *query;
};

struct upstreams {
	struct loop *loop;
	struct db *db;
	struct http_client *client;
	struct upstream_credentials credentials;
	struct peer *peers; /* the longest unused first */
	struct upstream_op *lingering;
	struct note *notes;
	struct release *releases;
	struct sweep *sweep; /* NULL until upstreams_sweep */
	/* Ids carry random bits of this worker, because workers share upstream sessions. They stay
	 * below 2^53, which every JSON reader keeps. */
	int64_t next_id;
};

/* upstream.c. The token for a request that is sent now; without OAuth *token is zeroed. False:
 * there is none, and it must not be sent. */
bool upstream_find_token(const struct upstreams *upstreams, const char *tenant_id,
			 const struct connection *connection, const char *subject,
			 struct upstream_token *token);
#define UPSTREAM_NO_TOKEN "there is no token for it"

/* peer.c. Finds or makes the peer of this version of the connection, and holds it. scope NULL: the
 * one that all share who share the subject. */
struct peer *peer_hold(struct upstreams *upstreams, struct tenant *tenant,
		       const struct connection *connection, const char *scope, const char *subject);
void peer_release(struct peer *peer);
/* The same for whoever holds one already, which is let go if the grant is another by now. */
struct peer *peer_hold_again(struct peer *peer, struct tenant *tenant,
			     const struct connection *connection);
/* As upstream_find_token; false as well if the token is not one that the peer is used with. */
bool peer_find_token(const struct peer *peer, const struct connection *connection,
		     struct upstream_token *token);
void peers_free(struct upstreams *upstreams);
/* Forgets era and session, and stops opening. Who waits stays. */
void peer_close(struct peer *peer);
/* What was sent after that opening was refused: the session is not known there, or ("") the era.
 * Unless it was opened anew since, the peer is closed. */
void peer_refused(struct peer *peer, unsigned round, const char *session_id);
/* waiter->opened and ctx are set; it is called from the loop. */
void peer_wait(struct peer *peer, struct peer_waiter *waiter, struct tenant *tenant,
	       const struct connection *connection);
void peer_stop_waiting(struct peer *peer, struct peer_waiter *waiter);

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

/* peer_lease.c: what Postgres knows of the session. */
void peer_find_shared(struct peer *peer);
void peer_share(struct peer *peer);
/* Gives the lease back, if there is one. */
void peer_release_lease(struct peer *peer);
void release_free(struct release *release);
/* The session is used; log_level may have been set. */
void peer_touch(struct peer *peer);

/* op.c: the life of one request. */
void op_free(struct upstream_op *op);
/* Waits for the peer to be open, or goes on at once. */
void op_run(struct upstream_op *op);
void op_fail(struct upstream_op *op, enum err_code code, const char *why);
void op_finish(struct upstream_op *op, const struct upstream_answer *answer, const struct err *err);
/* Before it fails for that. */
void op_tell_refusal(struct upstream_op *op, const struct upstream_refusal *refusal);
/* Nobody waits any more: the upstream is told. */
void op_give_up(struct upstream_op *op, const char *reason);

/* op_answer.c: what comes back. */
extern const struct post_events op_events;
/* op_send.c: on terms that hold now. */
void op_send(struct upstream_op *op);
void op_send_request(struct upstream_op *op);

/* op_resume.c. err: why the stream ended; NULL: in peace. False: it cannot be gone on with. */
bool op_resume(struct upstream_op *op, const struct err *err);

/* note.c. text is copied. */
void note_send(const struct note_to *to, struct span text);
void note_free(struct note *note);
/* Requests of an upstream to its client: ping is answered, the rest nobody here can do. */
void note_answer(const struct note_to *to, const struct envelope *request);
/* DELETE, in a while: the session is not used any more. */
void note_end_session(const struct note_to *to, int64_t delay_ms);

/* sweep.c */
void sweep_free(struct sweep **sweep);

/* Of an id that an upstream sent back. */
static inline bool is_id(struct span id, int64_t ours)
{
	int64_t theirs;

	return span_int64(span_trim(id), &theirs) == 0 && theirs == ours;
}

#endif
