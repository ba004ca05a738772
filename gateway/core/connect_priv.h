/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_CORE_CONNECT_PRIV_H
#define GATEWAY_CORE_CONNECT_PRIV_H

/* What the files connect*.c share. */

#include "base/db.h"
#include "base/http_client.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/secret.h"
#include "gateway/core/client_issuer.h"
#include "gateway/core/connect.h"
#include "gateway/core/connect_page.h"
#include "gateway/core/probe.h"
#include "oauth/access.h"
#include "oauth/authorize.h"
#include "oauth/client.h"
#include "oauth/discovery.h"
#include "oauth/fetch.h"
#include "oauth/registration.h"
#include "oauth/revoke.h"
#include "oauth/token.h"

#define CONNECT_TENANT	"current_setting('app.tenant')::uuid"
#define CONNECT_ATTEMPT " WHERE a.tenant_id = " CONNECT_TENANT " AND a.id = $1::uuid"

/* A row of tollgate.connect_attempts, in the op's arena, with what stands in the grant that it may
 * replace. NULL is SQL NULL. */
struct attempt {
	char id[UUID_TEXT_BYTES]; /* "": none has been found */
	const char *connection_id;
	const char *connection; /* its name, and its URL */
	const char *upstream;
	const char *subject;
	const char *principal;
	const char *user_name;
	const char *scope;
	enum connect_state state;
	enum connect_error error;
	const char *error_text;
	int64_t settings_version; /* server was found with; 0: it was not */
	struct oauth_server server;
	const char *client_id;
	enum oauth_client_auth client_auth;
	const char *redirect_uri;
	const char *resource;
	const char *asked_scope;
	int64_t tries;
	uint8_t browser_hash[SHA256_BYTES];
	const char *browser_user;
	bool expired;
	const char *account;
	int64_t tools_count;
	struct span verifier, client_secret, held; /* sealed */
	const char *former_account;
	const char *granted_scope;
};

enum connect_result {
	CONNECT_NEXT,
	CONNECT_WAIT,	/* something was started that runs the next step */
	CONNECT_END,	/* the view is told; no step follows */
	CONNECT_REFUSE, /* op->err is told; the attempt stays as it is */
	CONNECT_FAIL,	/* op->failure ends the attempt, and the view is told */
};
typedef enum connect_result connect_step(struct connect_op *op);

enum connect_kind { CONNECT_FOR_LINK, CONNECT_FOR_VIEW };

struct connect_op {
	struct connects *connects;
	struct connect_op *next, *prev;
	struct connect_op **slot; /* NULL: nobody wants to know any more */
	struct arena *arena;	  /* the op lies in it */
	connect_step *const *step;
	enum connect_kind kind; /* of done */
	union {
		connect_requested *requested;
		connect_viewed *viewed;
	} done;
	void *ctx;
	bool committed; /* cancel only silences it */

	char tenant_id[UUID_TEXT_BYTES];
	struct principal *principal; /* NULL: nobody is signed in */
	struct tenant *tenant;
	const struct connection *connection; /* stands in tenant */
	struct attempt attempt;
	bool somebody_elses; /* nothing but the error is shown */

	struct err err;
	enum connect_error failure;
	const char *failure_text;
	bool client_forgotten; /* with the failure our registration goes too */
	const char *url;
	struct connect_link link;

	/* What each kind was given. */
	const char *scope;
	uint8_t browser_hash[SHA256_BYTES];
	bool has_browser_hash;
	struct connect_answer answer;
	enum connect_choice choice;

	/* What is found out on the way; wiped at the end. */
	struct secret verifier, client_secret, access_token, refresh_token;
	char state[AUTHORIZE_TOKEN_BYTES];
	const char *granted_scope;
	int64_t expires_at, refresh_expires_at;
	bool registered; /* just now: it has to be written down */
	int64_t secret_expires_at;

	/* At most one of them runs. */
	struct db_op *query;
	struct tenants_op *loading;
	struct discovery *discovery;
	struct registration_request *registration;
	struct token_request *token;
	struct client_issuer_op *binding;
	struct fetch *fetch;
	struct revoke *revocation;
	struct probe *probe;
	struct access_op *storing;
	struct timer timer;
	struct deferred turn;
	int64_t give_up_ms;
	/* Of the query that the step before waited for. */
	const struct db_result *const *results;
};

struct connects {
	struct connects_params params;
	struct http_client *http;
	struct connect_op *ops;
	struct timer sweep_timer;
	struct db_op *sweep;
};

/* --- connect.c ------------------------------------------------------------------------------- */

struct connect_op *connect_op_new(struct connects *connects, struct connect_op **slot,
				  enum connect_kind kind, connect_step *const *steps, void *ctx);
/* The attempt that is meant, which is not looked for yet, and who looks at it: referenced. */
void connect_op_about(struct connect_op *op, const char *attempt_id, struct principal *principal);
/* Runs the steps from the loop. */
void connect_op_start(struct connect_op *op);
/* Runs the steps that are left; the op may be gone when it returns. */
void connect_resume(struct connect_op *op);
/* The step that was waited for went wrong. */
void connect_resume_with(struct connect_op *op, enum connect_result result);

enum connect_result connect_refuse(struct connect_op *op, enum err_code code, const char *format,
				   ...) ERR_PRINTF(3, 4);
/* text: beside the table's own words, or NULL. */
enum connect_result connect_fail(struct connect_op *op, enum connect_error error,
				 const char *format, ...) ERR_PRINTF(3, 4);
/* Of what an authorization server or an upstream was asked. */
enum connect_result connect_fail_by(struct connect_op *op, const struct err *err);

/* Each waits; the next step finds op->results. A failure is refused. */
enum connect_result connect_query(struct connect_op *op, const char *sql, const struct span *params,
				  size_t n);
enum connect_result connect_run(struct connect_op *op, const struct db_statement *statements,
				size_t n);

/* --- steps that several share ---------------------------------------------------------------- */

connect_step connect_load_attempt; /* connect_store.c: op->attempt, by its id */
connect_step connect_take_attempt; /* after it */
connect_step connect_check_viewer;
connect_step connect_load_tenant; /* and finds the connection */
connect_step connect_take_connection;
connect_step connect_insert; /* connect_request.c: op->link */
connect_step connect_take_link;

/* What comes after the tokens are here (connect_finish.c). */
extern connect_step *const connect_finish_steps[];
extern connect_step *const connect_store_steps[];
extern connect_step *const connect_hold_steps[]; /* connect_choose.c: they wait for a choice */

/* --- connect_view.c -------------------------------------------------------------------------- */

void connect_compose_view(struct connect_op *op, struct connect_view *view);

/* --- connect_store.c ------------------------------------------------------------------------- */

/* connect_go.c: the attempt's client is one that we registered. */
bool connect_has_registered(struct connect_op *op);
/* Forgets it. */
struct db_statement connect_forget_client(struct connect_op *op);
/* What writes down that the attempt has failed, and its event. */
struct db_statement connect_failure(struct connect_op *op);
/* The event was recorded. */
void connect_measure(const struct connect_op *op, const char *event);
/* The server as JSON, in the arena. */
const char *connect_write_server(struct arena *arena, const struct oauth_server *server);
int connect_read_server(struct arena *arena, const char *text, struct oauth_server *server,
			struct err *err) MUST_CHECK;
/* "\x…" of the sealed text, in the arena; NULL: the tenant has no key. version is that of the row
 * as it will be. */
struct connect_place {
	const char *table;
	const char *column;
	const char *row;
	int64_t version;
};
const char *connect_seal(struct connect_op *op, const struct connect_place *place,
			 struct span plain);
int connect_open(struct connect_op *op, const struct connect_place *place, struct span sealed,
		 struct secret *plain, struct err *err) MUST_CHECK;
/* The bytes of a bytea column, in the arena. */
struct span connect_bytes(struct connect_op *op, const struct db_result *rows, const char *column);
const char *connect_hex(struct connect_op *op, const void *bytes, size_t n); /* "\x…" */
/* Behind "WITH changed AS (UPDATE tollgate.connect_attempts a … RETURNING a.*)": records the change
 * if there was one. $2 is the actor. */
#define CONNECT_EVENT(type)                                                                        \
	" INSERT INTO audit.auth_event_log (tenant_id, tenant, type, connection_id, connection,"   \
	" subject, actor, attempt_id, error_code) SELECT a.tenant_id, t.name, '" type              \
	"', a.connection_id, c.name, a.subject, $2, a.id, a.error_code FROM changed a"             \
	" JOIN tollgate.tenants t ON t.id = a.tenant_id JOIN tollgate.connections c"               \
	" ON c.tenant_id = a.tenant_id AND c.id = a.connection_id"
/* "user:<name>", in the arena; NULL: nobody whom the attempt's tenant knows. */
const char *connect_actor(struct connect_op *op);

#endif
