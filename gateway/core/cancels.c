/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/cancels.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"

/* The function deletes what is a minute old; somewhat later there is something. */
#define SWEEP_MS 70000
/* "\x", hex of a digest, and NUL. */
#define KEY_TEXT_BYTES (2 + 2 * SHA256_BYTES + 1)
/* Room in the largest array of a look: {"\\x…",…} */
#define MAX_ARRAY_BYTES ((size_t)CANCELS_MAX_LOOK * (KEY_TEXT_BYTES + 4) + 2)

struct cancel_list {
	struct buf tenants, keys, ages; /* arrays as Postgres reads them, but for the end */
	size_t n;
};

enum look_state {
	LOOK_IDLE,
	LOOK_RUNNING,
	LOOK_AGAIN, /* running, and something was said since it started */
};

struct cancels {
	struct cancels_params params;
	enum look_state look_state;
	struct db_op *look;
	struct db_op *sweep;
	struct timer poll_timer; /* runs while something could be cancelled */
	struct timer sweep_timer;
};

struct cancel_op {
	struct cancel_op **slot;
	struct cancels *cancels;
	struct db_op *query;
	cancel_done *done;
	void *ctx;
};

static const struct log_subject subject = { .component = "cancels" };

static void on_poll(void *ctx);
static void on_sweep(void *ctx);

static void key_text(const struct cancel_key *key, char text[KEY_TEXT_BYTES])
{
	text[0] = '\\';
	text[1] = 'x';
	hex_encode(key->digest, sizeof(key->digest), text + 2);
}

void cancel_key_of(const struct principal *principal, const char *session_digest, struct span id,
		   struct cancel_key *key)
{
	uint8_t id_digest[SHA256_BYTES];
	char id_hex[2 * SHA256_BYTES + 1];
	char *text;

	/* First the id by itself: it may be as long as a body. */
	crypto_sha256(id.p, id.n, id_digest);
	hex_encode(id_digest, sizeof(id_digest), id_hex);
	text = mem_printf("%s\n%s\n%s\n%s", principal->tenant_id, principal->subject,
			  session_digest, id_hex);
	crypto_sha256(text, strlen(text), key->digest);
	free(text);
}

void cancel_list_add(struct cancel_list *list, const char *tenant_id, const struct cancel_key *key,
		     int64_t age_ms)
{
	const char *before = list->n == 0 ? "{" : ",";
	char text[KEY_TEXT_BYTES];

	if (list->n == CANCELS_MAX_LOOK)
		return;
	key_text(key, text);
	buf_printf(&list->tenants, "%s%s", before, tenant_id);
	buf_printf(&list->keys, "%s\"\\%s\"", before, text);
	buf_printf(&list->ages, "%s%lld", before, (long long)age_ms);
	list->n++;
}

static void list_init(struct cancel_list *list)
{
	list->n = 0;
	buf_init(&list->tenants, MAX_ARRAY_BYTES);
	buf_init(&list->keys, MAX_ARRAY_BYTES);
	buf_init(&list->ages, MAX_ARRAY_BYTES);
}

static void list_fini(struct cancel_list *list)
{
	buf_fini(&list->tenants);
	buf_fini(&list->keys);
	buf_fini(&list->ages);
}

static void take(struct cancels *cancels, const struct db_result *rows)
{
	for (size_t i = 0; i < db_rows(rows); i++) {
		struct cancel_key key;
		size_t n;
		uint8_t *digest = db_bytes(rows, i, "key", &n);

		assert(n == sizeof(key.digest));
		memcpy(key.digest, digest, n);
		free(digest);
		cancels->params.cancelled(cancels->params.ctx, &key);
	}
}

/* What could not be asked now is asked by the poll. */
static void on_looked(void *ctx, const struct db_result *const *results, size_t n,
		      const struct err *err)
{
	struct cancels *cancels = ctx;
	bool again = cancels->look_state == LOOK_AGAIN;

	cancels->look_state = LOOK_IDLE;
	if (err == NULL) {
		assert(n == 1);
		take(cancels, results[0]);
	}
	if (again)
		cancels_look(cancels, NULL);
}

static void start_look(struct cancels *cancels, struct cancel_list *list)
{
	buf_add(&list->tenants, "}");
	buf_add(&list->keys, "}");
	buf_add(&list->ages, "}");
	assert(!list->keys.overflow);

	const struct span arrays[] = { buf_span(&list->tenants), buf_span(&list->keys),
				       buf_span(&list->ages) };

	cancels->look_state = LOOK_RUNNING;
	db_query(cancels->params.db, &cancels->look, NULL,
		 "SELECT key FROM tollgate.take_cancellations($1::uuid[], $2::bytea[],"
		 " $3::bigint[])",
		 arrays, sizeof(arrays) / sizeof(arrays[0]), on_looked, cancels);
}

/* How many requests could be cancelled. */
static size_t look(struct cancels *cancels, const char *tenant_id)
{
	struct cancel_list list;

	list_init(&list);
	cancels->params.list(cancels->params.ctx, tenant_id, &list);
	if (list.n > 0)
		start_look(cancels, &list);
	list_fini(&list);
	return list.n;
}

void cancels_look(struct cancels *cancels, const char *tenant_id)
{
	if (cancels->look_state == LOOK_IDLE)
		look(cancels, tenant_id);
	else
		cancels->look_state = LOOK_AGAIN;
}

static void start_poll_timer(struct cancels *cancels)
{
	timer_start(cancels->params.loop, &cancels->poll_timer, CANCELS_POLL_MS, on_poll, cancels);
}

static void on_poll(void *ctx)
{
	struct cancels *cancels = ctx;

	if (cancels->look_state != LOOK_IDLE || look(cancels, NULL) > 0)
		start_poll_timer(cancels);
}

void cancels_expect(struct cancels *cancels)
{
	if (cancels->poll_timer.loop == NULL)
		start_poll_timer(cancels);
}

static void start_sweep_timer(struct cancels *cancels)
{
	if (cancels->sweep_timer.loop == NULL && cancels->sweep == NULL)
		timer_start(cancels->params.loop, &cancels->sweep_timer, SWEEP_MS, on_sweep,
			    cancels);
}

static void on_swept(void *ctx, const struct db_result *const *results, size_t n,
		     const struct err *err)
{
	(void)results;
	(void)n;
	if (err == NULL)
		return;
	log_debug(&subject, "no sweep: %s", err->text);
	start_sweep_timer(ctx);
}

static void on_sweep(void *ctx)
{
	struct cancels *cancels = ctx;

	db_query(cancels->params.db, &cancels->sweep, NULL, "SELECT tollgate.sweep_cancellations()",
		 NULL, 0, on_swept, cancels);
}

static void on_written(void *ctx, const struct db_result *const *results, size_t n,
		       const struct err *err)
{
	struct cancel_op was = *(struct cancel_op *)ctx;
	struct err problem;

	(void)results;
	(void)n;
	*was.slot = NULL;
	free(ctx);
	start_sweep_timer(was.cancels);
	if (err != NULL)
		err_set(&problem, ERR_UNAVAILABLE, "the cancel cannot be passed on now: %s",
			err->text);
	was.done(was.ctx, err != NULL ? &problem : NULL);
}

void cancels_start(struct cancels *cancels, struct cancel_op **slot, const char *tenant_id,
		   const struct cancel_key *key, cancel_done *done, void *ctx)
{
	static const char *const sql =
		"INSERT INTO tollgate.cancellations (tenant_id, key)"
		" VALUES (current_setting('app.tenant')::uuid, $1::bytea)"
		" ON CONFLICT (tenant_id, key) DO UPDATE SET created_at = now()";
	const struct db_setting tenant = { "app.tenant", tenant_id };
	struct cancel_op *op = mem_new(sizeof(*op));
	char text[KEY_TEXT_BYTES];
	struct span param;

	assert(*slot == NULL);
	*op = (struct cancel_op){ .slot = slot, .cancels = cancels, .done = done, .ctx = ctx };
	*slot = op;
	key_text(key, text);
	param = span_of(text);
	db_query(cancels->params.db, &op->query, &tenant, sql, &param, 1, on_written, op);
}

void cancels_cancel(struct cancel_op **slot)
{
	struct cancel_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	db_cancel(&op->query);
	free(op);
}

/* A worker that was killed has left rows. */
struct cancels *cancels_new(const struct cancels_params *params)
{
	struct cancels *cancels = mem_new(sizeof(*cancels));

	cancels->params = *params;
	start_sweep_timer(cancels);
	return cancels;
}

void cancels_free(struct cancels **cancels)
{
	struct cancels *was = *cancels;

	if (was == NULL)
		return;
	*cancels = NULL;
	timer_stop(&was->poll_timer);
	timer_stop(&was->sweep_timer);
	db_cancel(&was->look);
	db_cancel(&was->sweep);
	free(was);
}
