/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenstore/grant_sql.h"

#include <assert.h>
#include <string.h>

#include "base/buf.h"

#define TENANT	   "current_setting('app.tenant')::uuid"
#define MAX_PARAMS 40
#define MAX_ARRAY  8388608 /* 8 MiB */
#define NO_LEASE   "lease_owner = NULL, lease_until = NULL, sent_at = NULL"
/* The grant of $1 and $2. */
#define THIS "g.tenant_id = " TENANT " AND g.connection_id = $1::uuid AND g.subject = $2"
/* Nobody's, with a grace of $3 milliseconds. */
#define FREE                                                                                       \
	"(g.lease_until IS NULL OR g.lease_until < clock_timestamp())"                             \
	" AND (g.sent_at IS NULL OR g.sent_at < clock_timestamp()"                                 \
	" - make_interval(secs => $3::double precision / 1000))"
#define COLUMNS                                                                                    \
	"g.tenant_id, g.connection_id, g.subject, g.id, g.state, g.kind, g.issuer, g.token_url,"   \
	" g.revocation_url, g.client_id, g.client_auth, g.client_secret, g.resource, g.audience,"  \
	" g.scope, g.access_token, g.refresh_token, g.account, g.authenticated_by, g.last_error,"  \
	" g.failures, g.version, g.connected_version, g.lease_number,"                             \
	" g.lost_at IS NOT NULL AS lost,"                                                          \
	" extract(epoch FROM g.expires_at)::bigint AS expires_at,"                                 \
	" extract(epoch FROM g.refresh_expires_at)::bigint AS refresh_expires_at,"                 \
	" extract(epoch FROM g.authenticated_at)::bigint AS authenticated_at,"                     \
	" extract(epoch FROM g.last_refreshed_at)::bigint AS last_refreshed_at,"                   \
	" extract(epoch FROM g.last_error_at)::bigint AS last_error_at,"                           \
	" extract(epoch FROM g.next_refresh_at)::bigint AS next_refresh_at"

/* $1 to $7 of every statement that records an event. */
#define EVENT                                                                                      \
	"INSERT INTO audit.auth_event_log (tenant_id, tenant, connection_id,"                      \
	" connection, subject, type, actor, attempt_id, error_code, detail) SELECT " TENANT ","    \
	" (SELECT t.name FROM tollgate.tenants t WHERE t.id = " TENANT "), $1::uuid,"              \
	" (SELECT c.name FROM tollgate.connections c WHERE c.tenant_id = " TENANT                  \
	" AND c.id = $1::uuid), $2, $3, $4, $5::uuid, $6, coalesce($7::jsonb, '{}')"

struct sql {
	struct arena *arena;
	struct span params[MAX_PARAMS];
	size_t n;
};

static void add(struct sql *sql, struct span value)
{
	assert(sql->n < MAX_PARAMS);
	sql->params[sql->n++] = value;
}

static void add_text(struct sql *sql, const char *text)
{
	add(sql, text != NULL ? span_of(arena_strdup(sql->arena, text)) : (struct span){ 0 });
}

static void add_int(struct sql *sql, int64_t value)
{
	add(sql, span_of(arena_printf(sql->arena, "%lld", (long long)value)));
}

static void add_time(struct sql *sql, int64_t unix_s)
{
	if (unix_s == 0)
		add(sql, (struct span){ 0 });
	else
		add_int(sql, unix_s);
}

static void add_bytes(struct sql *sql, struct span bytes)
{
	char *text;

	if (bytes.p == NULL) {
		add(sql, bytes);
		return;
	}
	text = arena_alloc(sql->arena, 2 + 2 * bytes.n + 1);
	text[0] = '\\';
	text[1] = 'x';
	hex_encode(bytes.p, bytes.n, text + 2);
	add(sql, (struct span){ text, 2 + 2 * bytes.n });
}

static void add_key(struct sql *sql, const struct grant_key *key)
{
	add_text(sql, key->connection_id);
	add_text(sql, key->subject);
}

static void add_event(struct sql *sql, const struct grant_key *key, const struct grant_event *event)
{
	add_key(sql, key);
	add_text(sql, event->type);
	add_text(sql, event->actor);
	add_text(sql, event->attempt_id);
	add_text(sql, event->error_code);
	add_text(sql, event->detail);
}

static struct db_statement statement(struct sql *sql, const char *text)
{
	return (struct db_statement){
		.sql = text,
		.params = arena_dup(sql->arena, sql->params, sql->n * sizeof(sql->params[0])),
		.n_params = sql->n,
	};
}

struct db_statement grant_event_statement(struct arena *arena, const struct grant_key *key,
					  const struct grant_event *event)
{
	struct sql sql = { .arena = arena };

	add_event(&sql, key, event);
	return statement(&sql, EVENT);
}

/* One function per verb: the statements of its transaction. Returns how many. */

static size_t load(struct arena *arena, const struct grant_request *request,
		   struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_key(&sql, &request->key);
	add_int(&sql, request->grace_ms);
	out[0] = statement(&sql, "SELECT " COLUMNS ", NOT (" FREE
				 ") AS busy FROM tollgate.grants g WHERE " THIS);
	return 1;
}

static size_t lease(struct arena *arena, const struct grant_request *request,
		    struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_key(&sql, &request->key);
	add_int(&sql, request->grace_ms);
	add_int(&sql, request->version);
	add_text(&sql, request->owner);
	add_int(&sql, request->lease_ms);
	out[0] = statement(
		&sql, "UPDATE tollgate.grants g SET lease_owner = $5::uuid, lease_until ="
		      " clock_timestamp() + make_interval(secs => $6::double precision / 1000),"
		      " lease_number = g.lease_number + 1, lost_at = coalesce(g.lost_at,"
		      " g.sent_at), sent_at = NULL WHERE " THIS " AND g.version = $4::bigint AND"
		      " g.state = 'active' AND " FREE " RETURNING " COLUMNS ", false AS busy");
	return 1;
}

static struct span texts(struct arena *arena, const char *const *items, size_t n)
{
	struct span text;
	struct buf out;

	buf_init(&out, MAX_ARRAY);
	buf_add(&out, "[");
	for (size_t i = 0; i < n; i++) {
		buf_add(&out, i == 0 ? "" : ",");
		buf_add_json_string(&out, items[i], strlen(items[i]));
	}
	buf_add(&out, "]");
	text = (struct span){ arena_dup(arena, out.data, out.len), out.len };
	buf_fini(&out);
	return text;
}

static size_t due(struct arena *arena, const struct grant_request *request,
		  struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_text(&sql, request->owner);
	add_int(&sql, request->lease_ms);
	add_int(&sql, request->grace_ms);
	add_int(&sql, (int64_t)request->limit);
	add_int(&sql, (int64_t)request->per_server);
	add(&sql, texts(arena, request->not_servers, request->n_not_servers));
	out[0] = statement(
		&sql, "SELECT " COLUMNS ", false AS busy FROM tollgate.take_due_grants($1::uuid,"
		      " make_interval(secs => $2::double precision / 1000), make_interval(secs =>"
		      " $3::double precision / 1000), $4::int, $5::int, ARRAY(SELECT"
		      " json_array_elements_text($6::json))) g");
	return 1;
}

static void add_fence(struct sql *sql, const struct grant_request *request)
{
	add_int(sql, request->version);
	add_int(sql, request->lease_number);
}

static size_t sent(struct arena *arena, const struct grant_request *request,
		   struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_key(&sql, &request->key);
	add_fence(&sql, request);
	out[0] = statement(
		&sql, "UPDATE tollgate.grants g SET sent_at = clock_timestamp() WHERE " THIS " AND"
		      " g.version = $3::bigint AND g.lease_number = $4::bigint");
	return 1;
}

static size_t yield(struct arena *arena, const struct grant_request *request,
		    struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_key(&sql, &request->key);
	add_fence(&sql, request);
	add_time(&sql, request->row->next_refresh_at);
	out[0] =
		statement(&sql, "UPDATE tollgate.grants g SET " NO_LEASE ", next_refresh_at ="
				" to_timestamp($5::double precision) WHERE " THIS " AND g.version ="
				" $3::bigint AND g.lease_number = $4::bigint");
	return 1;
}

/* Whether `held` was granted to a client that we registered. Many grants may be of one: for all
 * but the first that is refused the registration is gone already, so that what is neither set by
 * hand nor a metadata document counts as well. */
#define OURS                                                                                       \
	"(EXISTS (SELECT FROM gone) OR NOT EXISTS (SELECT FROM tollgate.connections c"             \
	" WHERE c.tenant_id = " TENANT " AND c.id = $1::uuid"                                      \
	" AND c.oauth ->> 'client_id' = g.client_id)"                                              \
	" AND NOT EXISTS (SELECT FROM tollgate.serving_connections s"                              \
	" WHERE s.tenant_id = " TENANT " AND s.connection_id = $1::uuid"                           \
	" AND s.oauth ->> 'client_id' = g.client_id)"                                              \
	" AND g.client_id !~ '^https?://' AND g.kind = 'authorization_code')"
/* The row as it was failed with, and our registration that was refused. */
#define HELD_AND_GONE                                                                              \
	"WITH held AS (SELECT g.tenant_id, coalesce(g.issuer, g.token_url) AS issuer, g.client_id" \
	" FROM tollgate.grants g WHERE " THIS " AND g.version = $8::bigint"                        \
	" AND g.lease_number = $9::bigint AND g.state = 'active' FOR UPDATE),"                     \
	" gone AS (DELETE FROM tollgate.upstream_clients u USING held h"                           \
	" WHERE $14::text IS NOT NULL AND u.tenant_id = h.tenant_id AND u.issuer = h.issuer"       \
	" AND u.client_id = h.client_id RETURNING 1), "

static size_t fail(struct arena *arena, const struct grant_request *request,
		   struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_event(&sql, &request->key, &request->event);
	add_fence(&sql, request);
	add_text(&sql, grant_state_name(request->row->grant.state));
	add_text(&sql, request->row->grant.last_error);
	add_time(&sql, request->row->next_refresh_at);
	add_text(&sql, request->row->lost ? "true" : "false");
	add_text(&sql, request->client_refused);
	out[0] = statement(
		&sql, HELD_AND_GONE
		"judged AS (SELECT $14::text IS NOT NULL AND coalesce(" OURS ", false) AS again"
		" FROM tollgate.grants g WHERE " THIS "), done AS (UPDATE tollgate.grants g"
		" SET " NO_LEASE ", state = CASE WHEN j.again THEN 'needs_reauth' ELSE $10 END,"
		" last_error = CASE WHEN j.again THEN $14 ELSE $11 END, last_error_at = now(),"
		" failures = g.failures + 1, next_refresh_at = CASE WHEN NOT j.again THEN"
		" to_timestamp($12::double precision) END, lost_at = CASE WHEN $13::boolean"
		" THEN coalesce(g.lost_at, g.sent_at, now()) END FROM held h, judged j"
		" WHERE " THIS " RETURNING g.state)" EVENT
		" FROM done RETURNING (SELECT d.state FROM done d) AS state");
	return 1;
}

/* What was renewed. Only who still holds its lease may write, or who held it last if nobody has
 * sent anything since: what the server has answered is true then too. */
static const char commit_row[] =
	"WITH done AS (UPDATE tollgate.grants g SET " NO_LEASE ", access_token ="
	" $10::bytea, refresh_token = $11::bytea, client_secret = $12::bytea, scope"
	" = $13, expires_at = to_timestamp($14::double precision),"
	" refresh_expires_at = to_timestamp($15::double precision), next_refresh_at"
	" = to_timestamp($16::double precision), last_refreshed_at ="
	" to_timestamp($17::double precision), last_error = NULL, last_error_at ="
	" NULL, failures = 0, lost_at = NULL, version = g.version + 1 WHERE " THIS
	" AND g.version = $8::bigint AND g.state = 'active' AND (g.lease_number ="
	" $9::bigint OR g.lease_number > $9::bigint AND g.sent_at IS NULL)"
	" RETURNING 1)" EVENT " FROM done";
static const char commit_same[] =
	"SELECT 1 FROM tollgate.grants g WHERE " THIS " AND g.access_token ="
	" $3::bytea";
static const char commit_dropped[] =
	EVENT " WHERE NOT EXISTS (SELECT FROM tollgate.grants g WHERE " THIS " AND"
	      " g.access_token = $8::bytea)";

static size_t commit(struct arena *arena, const struct grant_request *request,
		     struct db_statement *out)
{
	const struct grant_row *row = request->row;
	struct sql sql = { .arena = arena };
	struct sql same = { .arena = arena };
	struct sql lost = { .arena = arena };

	add_event(&sql, &request->key, &request->event);
	add_fence(&sql, request);
	add_bytes(&sql, row->access_token);
	add_bytes(&sql, row->refresh_token);
	add_bytes(&sql, row->client_secret);
	add_text(&sql, row->grant.scope);
	add_time(&sql, row->grant.expires_at);
	add_time(&sql, row->grant.refresh_expires_at);
	add_time(&sql, row->next_refresh_at);
	add_time(&sql, row->grant.last_refreshed_at);
	out[0] = statement(&sql, commit_row);
	add_key(&same, &request->key);
	add_bytes(&same, row->access_token);
	out[1] = statement(&same, commit_same);
	if (request->dropped.type == NULL)
		return 2;
	add_event(&lost, &request->key, &request->dropped);
	add_bytes(&lost, row->access_token);
	out[2] = statement(&lost, commit_dropped);
	return 3;
}

#define PUT_COLUMNS                                                                                \
	"id, user_id, kind, issuer, token_url, revocation_url,"                                    \
	" client_id, client_auth, client_secret, resource, audience, scope,"                       \
	" access_token, refresh_token, expires_at, refresh_expires_at, account,"                   \
	" authenticated_by, authenticated_at, next_refresh_at, version, connected_version"

static void add_row(struct sql *sql, const struct grant_row *row)
{
	const struct grant *grant = &row->grant;

	add_text(sql, row->id);
	add_text(sql, grant->key.subject[0] != '\0' ? grant->key.subject + strlen("user:") : NULL);
	add_text(sql, grant_kind_name(grant->kind));
	add_text(sql, grant->issuer);
	add_text(sql, grant->token_url);
	add_text(sql, grant->revocation_url);
	add_text(sql, grant->client_id);
	add_text(sql, grant->client_auth != NULL ? grant->client_auth : "none");
	add_bytes(sql, row->client_secret);
	add_text(sql, grant->resource);
	add_text(sql, grant->audience);
	add_text(sql, grant->scope);
	add_bytes(sql, row->access_token);
	add_bytes(sql, row->refresh_token);
	add_time(sql, grant->expires_at);
	add_time(sql, grant->refresh_expires_at);
	add_text(sql, grant->account);
	add_text(sql, grant->authenticated_by);
	add_time(sql, grant->authenticated_at);
	add_time(sql, row->next_refresh_at);
	add_int(sql, grant->version);
}

/* With settings that are no more nothing is granted. The row is held, so that an edit at this
 * moment comes before or after all of it. */
#define MEANT                                                                                      \
	"meant AS (SELECT FROM tollgate.connections c WHERE c.tenant_id = " TENANT                 \
	" AND c.id = $1::uuid AND ($30::bigint = 0 OR c.settings_version ="                        \
	" $30::bigint OR EXISTS (SELECT FROM tollgate.serving_connections s WHERE"                 \
	" s.tenant_id = " TENANT " AND s.connection_id = $1::uuid AND"                             \
	" s.settings_version = $30::bigint)) FOR SHARE)"

static size_t put(struct arena *arena, const struct grant_request *request,
		  struct db_statement *out)
{
	static const char text[] =
		"WITH " MEANT ", done AS (INSERT INTO tollgate.grants AS g (tenant_id,"
		" connection_id, subject, " PUT_COLUMNS ") SELECT " TENANT ", $1::uuid, $2,"
		" $9::uuid, $10::uuid, $11, $12, $13, $14, $15, $16, $17::bytea, $18, $19,"
		" $20, $21::bytea, $22::bytea, to_timestamp($23::double precision),"
		" to_timestamp($24::double precision), $25, $26, to_timestamp($27::double"
		" precision), to_timestamp($28::double precision), $29::bigint, $29::bigint FROM "
		"meant"
		" ON CONFLICT (tenant_id, connection_id, subject) DO UPDATE SET (" PUT_COLUMNS ")"
		" = ROW (excluded.id, excluded.user_id, excluded.kind, excluded.issuer,"
		" excluded.token_url, excluded.revocation_url, excluded.client_id,"
		" excluded.client_auth, excluded.client_secret, excluded.resource,"
		" excluded.audience, excluded.scope, excluded.access_token,"
		" excluded.refresh_token, excluded.expires_at, excluded.refresh_expires_at,"
		" excluded.account, excluded.authenticated_by, excluded.authenticated_at,"
		" excluded.next_refresh_at, excluded.version, excluded.connected_version), state = "
		"'active', " NO_LEASE ","
		" lost_at = NULL, failures = 0, last_error = NULL, last_error_at = NULL,"
		" last_refreshed_at = NULL, last_revocation = NULL WHERE g.version ="
		" $8::bigint RETURNING 1) " EVENT " FROM done";
	struct sql sql = { .arena = arena };

	add_event(&sql, &request->key, &request->event);
	add_int(&sql, request->version);
	add_row(&sql, request->row);
	add_int(&sql, request->settings_version);
	out[0] = statement(&sql, text);
	return 1;
}

static size_t disconnect(struct arena *arena, const struct grant_request *request,
			 struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_event(&sql, &request->key, &request->event);
	add_int(&sql, request->version);
	add_text(&sql, request->row != NULL ? request->row->grant.last_error : NULL);
	out[0] = statement(
		&sql, "WITH done AS (UPDATE tollgate.grants g SET " NO_LEASE ", lost_at = NULL,"
		      " state = 'disconnected', client_secret = NULL, access_token = NULL,"
		      " refresh_token = NULL, expires_at = NULL, refresh_expires_at = NULL,"
		      " next_refresh_at = NULL, failures = 0, last_error = NULL, last_error_at ="
		      " NULL, last_revocation = $9, version = g.version + 1 WHERE " THIS " AND"
		      " g.version = $8::bigint RETURNING 1) " EVENT " FROM done");
	return 1;
}

static size_t revoked(struct arena *arena, const struct grant_request *request,
		      struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_event(&sql, &request->key, &request->event);
	add_int(&sql, request->version);
	add_text(&sql, request->row->grant.last_error);
	out[0] = statement(
		&sql, "WITH done AS (UPDATE tollgate.grants g SET last_revocation = $9 WHERE " THIS
		      " AND g.version = $8::bigint RETURNING 1) " EVENT " FROM done");
	return 1;
}

/* Array literals. Ids and subjects are of letters, digits, "-" and ":". */
static size_t changed(struct arena *arena, const struct grant_request *request,
		      struct db_statement *out)
{
	enum { TENANTS, CONNECTIONS, SUBJECTS, VERSIONS, STATES, N_ARRAYS };
	struct sql sql = { .arena = arena };
	struct buf arrays[N_ARRAYS];

	for (size_t a = 0; a < N_ARRAYS; a++)
		buf_init(&arrays[a], MAX_ARRAY);
	for (size_t i = 0; i < request->n_seen; i++) {
		const struct grant_seen *seen = &request->seen[i];
		const char *comma = i == 0 ? "{" : ",";

		buf_printf(&arrays[TENANTS], "%s%s", comma, seen->key.tenant_id);
		buf_printf(&arrays[CONNECTIONS], "%s%s", comma, seen->key.connection_id);
		buf_printf(&arrays[SUBJECTS], "%s\"%s\"", comma, seen->key.subject);
		if (seen->state == NULL)
			buf_printf(&arrays[VERSIONS], "%sNULL", comma);
		else
			buf_printf(&arrays[VERSIONS], "%s%lld", comma, (long long)seen->version);
		buf_printf(&arrays[STATES], "%s%s", comma,
			   seen->state != NULL ? seen->state : "NULL");
	}
	for (size_t a = 0; a < N_ARRAYS; a++) {
		buf_add(&arrays[a], request->n_seen == 0 ? "{}" : "}");
		assert(!arrays[a].overflow);
		add_text(&sql, buf_str(&arrays[a]));
		buf_fini(&arrays[a]);
	}
	out[0] = statement(&sql, "SELECT n FROM tollgate.changed_grants($1::uuid[], $2::uuid[],"
				 " $3::text[], $4::bigint[], $5::text[])");
	return 1;
}

static size_t release(struct arena *arena, const struct grant_request *request,
		      struct db_statement *out)
{
	struct sql sql = { .arena = arena };

	add_text(&sql, request->owner);
	out[0] = statement(&sql, "SELECT tollgate.release_grants($1::uuid)");
	return 1;
}

const struct grant_sql grant_sql[N_GRANT_VERBS] = {
	[GRANT_LOAD] = {load,	       true,  GRANT_TAKES_ROWS   },
	[GRANT_LEASE] = { lease,	 true,  GRANT_TAKES_ROWS	},
	[GRANT_DUE] = { due,	     false, GRANT_TAKES_ROWS   },
	[GRANT_SENT] = { sent,       true,  GRANT_TAKES_COUNT  },
	[GRANT_YIELD] = { yield,	 true,  GRANT_TAKES_COUNT	 },
	[GRANT_FAIL] = { fail,       true,  GRANT_TAKES_STATE  },
	[GRANT_COMMIT] = { commit,	   true,	 GRANT_TAKES_SAME	  },
	[GRANT_PUT] = { put,	     true,  GRANT_TAKES_COUNT  },
	[GRANT_DISCONNECT] = { disconnect, true,	 GRANT_TAKES_COUNT  },
	[GRANT_REVOKED] = { revoked,    true,  GRANT_TAKES_COUNT  },
	[GRANT_CHANGED] = { changed,    false, GRANT_TAKES_NUMBERS},
	[GRANT_RELEASE] = { release,    false, GRANT_TAKES_NOTHING},
};

struct db_statement grant_statement(struct arena *arena, const struct grant_request *request)
{
	struct db_statement out[GRANT_SQL_STATEMENTS];
	size_t n = grant_sql[request->verb].build(arena, request, out);

	assert(n == 1);
	return out[0];
}
