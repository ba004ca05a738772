/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_GATEWAY_CORE_ACCESS_FAKES_H
#define TESTS_UNIT_GATEWAY_CORE_ACCESS_FAKES_H

/*
 * oauth/access.h, played by functions that stand here in place of the real ones. Each writes down
 * what it was asked, and answers when the test says so. Included once in a program.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "oauth/access.h"

#define ACCESS_JOURNAL_BYTES 65536

struct access_op {
	struct access *access;
	struct access_op **slot;
	access_done *done;
	access_put_done *put_done;
	void *ctx;
};

struct access {
	enum access_state found; /* what is in memory */
	struct buf journal;
	struct access_op *op; /* the one that runs */
	size_t n_puts;
};

static inline void access_fake_init(struct access *access)
{
	*access = (struct access){ .found = ACCESS_UNKNOWN };
	buf_init(&access->journal, ACCESS_JOURNAL_BYTES);
}

static inline void access_fake_fini(struct access *access)
{
	assert_null(access->op);
	buf_fini(&access->journal);
}

static inline void access_note(struct access *access, const char *what, const struct grant_key *key)
{
	buf_printf(&access->journal, "%s %s/%s/%s", what, key->tenant_id, key->connection_id,
		   key->subject);
}

static inline void expect_access(struct access *access, const char *expected)
{
	assert_string_equal(buf_str(&access->journal), expected);
	buf_clear(&access->journal);
}

static inline void access_pend(struct access *access, struct access_op **slot,
			       const struct access_op *what)
{
	assert_null(access->op);
	assert_null(*slot);
	access->op = mem_dup(what, sizeof(*what));
	access->op->access = access;
	access->op->slot = slot;
	*slot = access->op;
}

static inline struct access_op access_take(struct access *access)
{
	struct access_op was;

	assert_non_null(access->op);
	was = *access->op;
	free(access->op);
	access->op = NULL;
	*was.slot = NULL;
	return was;
}

enum access_state access_find(struct access *access, const struct grant_key *key,
			      struct access_token *out)
{
	(void)key;
	if (access->found == ACCESS_READY)
		*out = (struct access_token){ "Bearer found", 5, 3, "ana@example.com" };
	return access->found;
}

void access_start(struct access *access, struct access_op **slot, const struct grant_key *key,
		  access_done *done, void *ctx)
{
	access_note(access, "start", key);
	buf_add(&access->journal, "\n");
	access_pend(access, slot, &(struct access_op){ .done = done, .ctx = ctx });
}

void access_refused(struct access *access, struct access_op **slot, const struct grant_key *key,
		    int64_t version, access_done *done, void *ctx)
{
	access_note(access, "refused", key);
	buf_printf(&access->journal, " %lld\n", (long long)version);
	access_pend(access, slot, &(struct access_op){ .done = done, .ctx = ctx });
}

static inline const char *or_none(const char *text)
{
	return text != NULL ? text : "-";
}

void access_put(struct access *access, struct access_op **slot, const struct access_put *put,
		access_put_done *done, void *ctx)
{
	const struct grant *grant = put->grant;

	access->n_puts++;
	access_note(access, "put", &grant->key);
	buf_printf(
		&access->journal,
		" %s by %s: state %d kind %d issuer %s token_url %s revocation_url %s client %s"
		" %s %s resource %s audience %s scope %s token %s refresh %s expires %s who %s\n",
		put->event, put->actor, (int)grant->state, (int)grant->kind, or_none(grant->issuer),
		or_none(grant->token_url), or_none(grant->revocation_url),
		or_none(grant->client_id), or_none(grant->client_auth),
		or_none(grant->client_secret.reveal), or_none(grant->resource),
		or_none(grant->audience), or_none(grant->scope),
		or_none(grant->access_token.reveal), or_none(grant->refresh_token.reveal),
		grant->expires_at > 0 ? "later" : "never", or_none(grant->authenticated_by));
	access_pend(access, slot, &(struct access_op){ .put_done = done, .ctx = ctx });
}

void access_cancel(struct access_op **slot)
{
	struct access_op *op = *slot;

	if (op == NULL)
		return;
	buf_add(&op->access->journal, "cancel\n");
	access_take(op->access);
}

static inline void access_says(struct access *access, enum access_state state, const char *why)
{
	const struct access_token token = { "Bearer said", 6, 3, NULL };
	const struct access_op was = access_take(access);

	was.done(was.ctx, state, state == ACCESS_READY ? &token : NULL, why, NULL);
}

static inline void access_fails(struct access *access, enum err_code code)
{
	const struct access_op was = access_take(access);
	struct err err;

	err_set(&err, code, "it is away");
	if (was.put_done != NULL)
		was.put_done(was.ctx, &err);
	else
		was.done(was.ctx, ACCESS_NONE, NULL, NULL, &err);
}

static inline void access_stores(struct access *access)
{
	const struct access_op was = access_take(access);

	was.put_done(was.ctx, NULL);
}

#endif
