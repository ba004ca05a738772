/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_HTTP_API_FIXTURE_H
#define TESTS_UNIT_GATEWAY_HTTP_API_FIXTURE_H

/*
 * Requests of the admin API without a server: its edges as fakes that do nothing until they are
 * told. For one program: it defines them.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/book.h"
#include "base/text.h"
#include "gateway/core/identity.h"
#include "gateway/core/tenant.h"
#include "gateway/http/api.h"
#include "gateway/http/api_audit_streams.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define OWN_TENANT   "11111111-1111-4111-8111-111111111111"
#define OTHER_TENANT "22222222-2222-4222-8222-222222222222"
#define ANA	     "33333333-3333-4333-8333-333333333333"
#define SOME_ID	     "44444444-4444-4444-8444-444444444444"
#define ROW_ID	     "55555555-5555-4555-8555-555555555555"

/* --- the edges, as fakes that do nothing until they are told -----------------------------------
 */

struct fake_column {
	const char *name;
	const char *text;
};

struct exchange {
	struct http_app app;
	struct gate gate;
	const char *method;
	char path[200];
	const char *tenant; /* the parameters of its route */
	const char *host, *origin, *key, *x_api_key, *content_type, *if_match;
	const char *query, *body, *last_event_id;
	int status; /* 0: not answered */
	char answer[262144];
	char etag[64], authenticate[64], retry_after[16];
	char call_id[UUID_TEXT_BYTES];
	void (*gone)(void *ctx);
	void *gone_ctx;
	/* What the fakes were asked. */
	enum identity_found found;
	enum role role;
	bool service;
	identity_done *identified;
	void *identity_ctx;
	struct identity_op **identity_slot;
	db_done *done;
	void *db_ctx;
	struct db_op **db_slot;
	char setting[64];
	char sql[8192];
	char params[28][300];
	size_t n_queries;
	size_t n_cancelled;
	bool loads_tenant;
	tenants_done *loaded;
	void *loaded_ctx;
	struct tenants_op **loading_slot;
	struct arena *call_arena;
	struct call_params call;
	struct call_sink sink;
	bool call_left;
	/* What the rows of a test hold beside those of users; NULL text: SQL NULL. */
	const struct fake_column *columns;
	size_t n_columns;
	/* A stream: answer has what was written. */
	enum { STREAM_NONE, STREAM_OPEN, STREAM_ENDED, STREAM_CUT } stream;
	void (*room)(void *ctx);
	void *room_ctx;
	int n_entries; /* in the book, of calls that were refused */
	enum book_outcome entry;
};

/* Handlers and fakes of one test share it; there is one at a time. */
static struct exchange *the_exchange;

const char *exchange_method(const struct exchange *exchange)
{
	return exchange->method;
}

const char *exchange_path(const struct exchange *exchange)
{
	return exchange->path;
}

struct span exchange_query(const struct exchange *exchange)
{
	return span_of(exchange->query != NULL ? exchange->query : "");
}

const char *exchange_header(struct exchange *exchange, const char *name)
{
	const struct {
		const char *name;
		const char *value;
	} headers[] = {
		{"host",		  exchange->host	 },
		{ "origin",	    exchange->origin	     },
		{ "authorization", exchange->key		 },
		{ "x-api-key",     exchange->x_api_key	   },
		{ "content-type",  exchange->content_type },
		{ "if-match",      exchange->if_match	 },
		{ "last-event-id", exchange->last_event_id},
	};

	for (size_t i = 0; i < COUNT(headers); i++) {
		if (strcmp(headers[i].name, name) == 0)
			return headers[i].value;
	}
	return NULL;
}

struct span exchange_body(const struct exchange *exchange)
{
	return span_of(exchange->body != NULL ? exchange->body : "");
}

const char *exchange_source_ip(const struct exchange *exchange)
{
	(void)exchange;
	return "127.0.0.1";
}

const char *exchange_param(const struct exchange *exchange, const char *name)
{
	if (strcmp(name, "tenant") == 0)
		return exchange->tenant;
	return strcmp(name, "id") == 0 ? SOME_ID : "crm";
}

void *exchange_app(const struct exchange *exchange)
{
	return (void *)&exchange->app;
}

void exchange_on_gone(struct exchange *exchange, void (*gone)(void *ctx), void *ctx)
{
	exchange->gone = gone;
	exchange->gone_ctx = ctx;
}

void exchange_answer(struct exchange *exchange, const struct exchange_answer *answer)
{
	assert_int_equal(exchange->status, 0);
	exchange->status = answer->status;
	exchange->gone = NULL;
	snprintf(exchange->answer, sizeof(exchange->answer), "%.*s", (int)answer->body.n,
		 answer->body.n > 0 ? answer->body.p : "");
	for (size_t i = 0; i < answer->n_headers; i++) {
		const struct http_header *header = &answer->headers[i];

		if (strcmp(header->name, "ETag") == 0)
			snprintf(exchange->etag, sizeof(exchange->etag), "%s", header->value);
		if (strcmp(header->name, "WWW-Authenticate") == 0)
			snprintf(exchange->authenticate, sizeof(exchange->authenticate), "%s",
				 header->value);
		if (strcmp(header->name, "Tollgate-Call-Id") == 0)
			snprintf(exchange->call_id, sizeof(exchange->call_id), "%s", header->value);
		if (strcmp(header->name, "Retry-After") == 0)
			snprintf(exchange->retry_after, sizeof(exchange->retry_after), "%s",
				 header->value);
	}
}

void exchange_stream_start(struct exchange *exchange, const struct exchange_answer *head)
{
	assert_int_equal(exchange->status, 0);
	exchange->status = head->status;
	exchange->stream = STREAM_OPEN;
	exchange_stream_write(exchange, head->body);
}

void exchange_stream_write(struct exchange *exchange, struct span bytes)
{
	size_t n = strlen(exchange->answer);

	assert_int_equal(exchange->stream, STREAM_OPEN);
	assert_true(n + bytes.n < sizeof(exchange->answer));
	if (bytes.n > 0)
		memcpy(exchange->answer + n, bytes.p, bytes.n);
	exchange->answer[n + bytes.n] = '\0';
}

void exchange_stream_on_room(struct exchange *exchange, void (*room)(void *ctx), void *ctx)
{
	assert_int_equal(exchange->stream, STREAM_OPEN);
	assert_null(exchange->room);
	exchange->room = room;
	exchange->room_ctx = ctx;
}

static void leave_stream(struct exchange *exchange, int how)
{
	assert_int_equal(exchange->stream, STREAM_OPEN);
	exchange->stream = how;
	exchange->gone = NULL;
	exchange->room = NULL;
}

void exchange_stream_end(struct exchange *exchange)
{
	leave_stream(exchange, STREAM_ENDED);
}

void exchange_stream_cut(struct exchange *exchange)
{
	leave_stream(exchange, STREAM_CUT);
}

static inline struct principal *new_principal(const struct exchange *exchange)
{
	struct principal *principal = mem_new(sizeof(*principal));

	principal->refs = 1;
	principal->role = exchange->role;
	snprintf(principal->tenant_id, sizeof(principal->tenant_id), OWN_TENANT);
	snprintf(principal->api_key_id, sizeof(principal->api_key_id), SOME_ID);
	principal->tenant = mem_strdup("demo");
	principal->api_key = mem_strdup("key");
	if (!exchange->service) {
		snprintf(principal->user_id, sizeof(principal->user_id), ANA);
		principal->user_name = mem_strdup("ana");
	}
	return principal;
}

enum identity_found identity_find(struct identity *identity, const char *credential,
				  struct principal **principal, struct err *err)
{
	(void)identity;
	assert_string_equal(credential, "tgk_x");
	if (the_exchange->found == IDENTITY_KNOWN)
		*principal = new_principal(the_exchange);
	if (the_exchange->found == IDENTITY_REFUSED)
		err_set(err, ERR_UNAUTHENTICATED, "the API key is not valid");
	return the_exchange->found;
}

void identity_start(struct identity *identity, struct identity_op **slot, const char *credential,
		    identity_done *done, void *ctx)
{
	(void)identity;
	(void)credential;
	the_exchange->identified = done;
	the_exchange->identity_ctx = ctx;
	the_exchange->identity_slot = slot;
	*slot = (struct identity_op *)the_exchange;
}

void identity_cancel(struct identity_op **slot)
{
	the_exchange->n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

static void keep_query(struct db_op **slot, const struct db_setting *setting, const char *sql,
		       const struct span *params, size_t n, db_done *done, void *ctx)
{
	struct exchange *exchange = the_exchange;

	assert_null(*slot);
	snprintf(exchange->setting, sizeof(exchange->setting), "%s=%s", setting->name,
		 setting->value);
	snprintf(exchange->sql, sizeof(exchange->sql), "%s", sql);
	for (size_t i = 0; i < COUNT(exchange->params); i++)
		snprintf(exchange->params[i], sizeof(exchange->params[i]), "%.*s",
			 i < n && params[i].p != NULL ? (int)params[i].n : 4,
			 i < n && params[i].p != NULL ? params[i].p : "NULL");
	exchange->done = done;
	exchange->db_ctx = ctx;
	exchange->db_slot = slot;
	exchange->n_queries++;
	*slot = (struct db_op *)exchange;
}

void db_query(struct db *db, struct db_op **slot, const struct db_setting *setting, const char *sql,
	      const struct span *params, size_t n_params, db_done *done, void *ctx)
{
	(void)db;
	keep_query(slot, setting, sql, params, n_params, done, ctx);
}

/* Of a transaction the first statement is kept. */
void db_start(struct db *db, struct db_op **slot, const struct db_tx *tx, db_done *done, void *ctx)
{
	(void)db;
	keep_query(slot, tx->settings, tx->statements[0].sql, tx->statements[0].params,
		   tx->statements[0].n_params, done, ctx);
}

void db_cancel(struct db_op **slot)
{
	the_exchange->n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

/* Rows of users, all alike but for their names: user-0, user-1, … */
struct db_result {
	size_t n;
	size_t affected;
};

size_t db_rows(const struct db_result *result)
{
	return result->n;
}

size_t db_affected(const struct db_result *result)
{
	return result->affected;
}

static const struct fake_column *find_column(const char *column)
{
	for (size_t i = 0; i < the_exchange->n_columns; i++) {
		if (strcmp(the_exchange->columns[i].name, column) == 0)
			return &the_exchange->columns[i];
	}
	return NULL;
}

const char *db_text(const struct db_result *result, size_t row, const char *column)
{
	static const struct {
		const char *column;
		const char *text;
	} columns[] = {
		{"name",	  "user-0\0user-1\0user-2"},
		{ "role",	  "user"			 },
		{ "email",	   NULL			},
		{ "version",    "3"			 },
		{ "created_at", "c"			    },
		{ "updated_at", "u"			    },
	};

	assert_true(row < result->n && row < 3);
	if (find_column(column) != NULL)
		return find_column(column)->text;
	if (strcmp(column, "id") == 0)
		return the_exchange->n_queries == 1 && the_exchange->tenant != NULL ? OTHER_TENANT
										    : ROW_ID;
	for (size_t i = 0; i < COUNT(columns); i++) {
		if (strcmp(columns[i].column, column) == 0)
			return i == 0 ? columns[i].text + 7 * row : columns[i].text;
	}
	fail_msg("no column %s", column);
	return NULL;
}

/* Of the record: what a test says of the first columns, and "1" of the others. */
struct span db_span_at(const struct db_result *result, size_t row, size_t column)
{
	assert_true(row < result->n);
	return column < the_exchange->n_columns ? span_of(the_exchange->columns[column].text)
						: SPAN("1");
}

int64_t db_int(const struct db_result *result, size_t row, const char *column)
{
	assert_true(row < result->n);
	assert_string_equal(column, "version");
	return 3;
}

bool db_bool(const struct db_result *result, size_t row, const char *column)
{
	assert_true(row < result->n);
	if (find_column(column) != NULL)
		return find_column(column)->text != NULL;
	assert_string_equal(column, "enabled");
	return true;
}

void *db_bytes(const struct db_result *result, size_t row, const char *column, size_t *n)
{
	(void)result;
	(void)row;
	(void)column;
	*n = 0;
	return NULL;
}

struct tenant *tenants_find(struct tenants *tenants, const char *tenant_id)
{
	(void)tenants;
	(void)tenant_id;
	return NULL;
}

void tenants_start(struct tenants *tenants, struct tenants_op **slot, const char *tenant_id,
		   tenants_done *done, void *ctx)
{
	(void)tenants;
	the_exchange->loads_tenant = true;
	the_exchange->loaded = done;
	the_exchange->loaded_ctx = ctx;
	the_exchange->loading_slot = slot;
	snprintf(the_exchange->setting, sizeof(the_exchange->setting), "%s", tenant_id);
	*slot = (struct tenants_op *)the_exchange;
}

void tenants_cancel(struct tenants_op **slot)
{
	the_exchange->n_cancelled += *slot != NULL ? 1 : 0;
	*slot = NULL;
}

struct call *call_new(struct gate *gate, struct arena *arena, const struct call_params *params,
		      const struct call_sink *sink)
{
	(void)gate;
	the_exchange->call_arena = arena;
	the_exchange->call = *params;
	the_exchange->sink = *sink;
	return (struct call *)the_exchange;
}

void call_run(struct call *call)
{
	(void)call;
}

void call_client_gone(struct call *call)
{
	assert_ptr_equal(call, the_exchange);
	the_exchange->call_left = true;
}

uint64_t book_backlog(const struct book *book)
{
	(void)book;
	return 0;
}

int book_entry(struct book *book, const struct book_call *call, const struct book_result *result,
	       struct spool_wait *wait, void (*durable)(void *ctx, const struct err *err),
	       void *ctx, struct err *err)
{
	(void)book;
	(void)wait;
	(void)durable;
	(void)ctx;
	(void)err;
	assert_true(span_is(call->method, "tools/call"));
	assert_true(uuid_valid(call->call_id));
	assert_int_equal(the_exchange->status, 0); /* before the answer */
	the_exchange->n_entries++;
	the_exchange->entry = result->outcome;
	return 0;
}

#include "tests/unit/gateway/http/api_oauth_fakes.h"

/* --- what tests say ----------------------------------------------------------------------------
 */

static inline void query_done(const struct db_result *const *results, size_t n,
			      const struct err *err)
{
	*the_exchange->db_slot = NULL;
	the_exchange->done(the_exchange->db_ctx, results, n, err);
}

static inline void answer_rows(size_t n)
{
	const struct db_result result = { .n = n, .affected = n };
	const struct db_result *const results[] = { &result };

	query_done(results, 1, NULL);
}

static inline void answer_failure(enum err_code code, const char *tag)
{
	struct err err;

	err_set(&err, code, "details that stay here");
	snprintf(err.tag, sizeof(err.tag), "%s", tag);
	query_done(NULL, 0, &err);
}

/* A request that would do; a test changes what it is about. */
static inline struct exchange *request(const char *method, const char *path)
{
	struct exchange *exchange = mem_new(sizeof(*exchange));

	exchange->method = method;
	snprintf(exchange->path, sizeof(exchange->path), API_PREFIX "%s", path);
	exchange->app.development = true;
	exchange->app.gate = &exchange->gate;
	exchange->gate.server_version = "0.0.0";
	exchange->host = "localhost:1";
	exchange->key = "Bearer tgk_x";
	exchange->found = IDENTITY_KNOWN;
	exchange->role = ROLE_ADMIN;
	exchange->service = true;
	exchange->app.audit_streams = audit_streams_new();
	exchange->app.loop = loop_new();
	the_exchange = exchange;
	return exchange;
}

static inline void ask(struct exchange *exchange)
{
	api_handle(exchange);
}

/* The client leaves if it still waits. */
static inline void end(struct exchange *exchange)
{
	if (exchange->gone != NULL)
		exchange->gone(exchange->gone_ctx);
	arena_free(&exchange->call_arena);
	audit_streams_free(&exchange->app.audit_streams);
	loop_free(&exchange->app.loop);
	free(exchange);
	the_exchange = NULL;
}

static inline void check_problem(const struct exchange *exchange, int status, const char *code)
{
	char member[64];

	snprintf(member, sizeof(member), "\"code\":\"%s\"", code);
	if (exchange->status != status || strstr(exchange->answer, member) == NULL)
		fail_msg("%s %s: %d %s, not %d %s", exchange->method, exchange->path,
			 exchange->status, exchange->answer, status, code);
}

/* 0: a service key of role user; 1: the key of the user ana; 2: of an administrator; 3: of the
 * platform. */
static inline struct exchange *as(struct exchange *exchange, size_t who)
{
	static const enum role roles[] = { ROLE_USER, ROLE_USER, ROLE_ADMIN, ROLE_PLATFORM };

	exchange->role = roles[who];
	exchange->service = who != 1;
	return exchange;
}

#endif
