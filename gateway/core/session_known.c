/* SPDX-License-Identifier: Apache-2.0 */

/* The sessions that this worker knows, for as long as it may trust that. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "gateway/core/session_priv.h"

#define MAX_ID_BYTES	   128
#define MAX_KNOWN_SESSIONS 20000

/* Remembered under everything a session is bound to, so that a look-up checks all of it. */
struct known_session {
	struct sessions *sessions;
	uint8_t binding[SHA256_BYTES];
	char tenant_id[UUID_TEXT_BYTES];
	int64_t confirmed_ms; /* when Postgres last had it */
	bool doubted;	      /* it may have changed since: Postgres is asked first */
	struct session *session;
	struct session_op *confirming;
	UT_hash_handle hh;
};

struct sessions *sessions_new(struct loop *loop, struct db *db, int64_t stale_max_ms)
{
	struct sessions *sessions = mem_new(sizeof(*sessions));

	assert(stale_max_ms > 0);
	*sessions = (struct sessions){ .loop = loop, .db = db, .stale_max_ms = stale_max_ms };
	return sessions;
}

static void forget(struct sessions *sessions, struct known_session *known)
{
	HASH_DEL(sessions->known, known);
	session_cancel(&known->confirming);
	session_unref(&known->session);
	free(known);
}

void sessions_free(struct sessions **sessions)
{
	struct known_session *known;
	struct known_session *next;

	if (*sessions == NULL)
		return;
	HASH_ITER(hh, (*sessions)->known, known, next)
	{
		forget(*sessions, known);
	}
	free(*sessions);
	*sessions = NULL;
}

void sessions_forget(struct sessions *sessions, const char *tenant_id)
{
	struct known_session *known;
	struct known_session *next;

	sessions->generation++;
	HASH_ITER(hh, sessions->known, known, next)
	{
		if (tenant_id == NULL || strcmp(known->tenant_id, tenant_id) == 0)
			known->doubted = true;
	}
}

void session_binding(const struct session_key *key, uint8_t binding[SHA256_BYTES])
{
	char *text = mem_printf("%s\n%s\n%s\n%s", key->principal->tenant_id,
				key->principal->subject, key->endpoint, key->id);

	crypto_sha256(text, strlen(text), binding);
	free(text);
}

static struct known_session *known_find(struct sessions *sessions,
					const uint8_t binding[SHA256_BYTES])
{
	struct known_session *known;

	HASH_FIND(hh, sessions->known, binding, SHA256_BYTES, known);
	return known;
}

static int64_t age_ms(const struct known_session *known)
{
	return loop_now_ms(known->sessions->loop) - known->confirmed_ms;
}

static bool may_serve(const struct known_session *known)
{
	return age_ms(known) <= 2 * known->sessions->stale_max_ms;
}

/* What was found has been remembered already. */
static void on_confirmed(void *ctx, struct session *session, const struct err *err)
{
	struct known_session *known = ctx;

	if (session == NULL && err->code == ERR_NOT_FOUND)
		forget(known->sessions, known);
}

struct session *session_find(struct sessions *sessions, const struct session_key *key)
{
	struct known_session *known;
	uint8_t binding[SHA256_BYTES];

	if (strlen(key->id) > MAX_ID_BYTES)
		return NULL;
	session_binding(key, binding);
	known = known_find(sessions, binding);
	if (known == NULL || known->doubted || !may_serve(known))
		return NULL;
	if (age_ms(known) > sessions->stale_max_ms && known->confirming == NULL)
		session_find_start(sessions, &known->confirming, key, on_confirmed, known);
	return session_ref(known->session);
}

static struct known_session *known_add(const struct session_op *op)
{
	struct sessions *sessions = op->sessions;
	struct known_session *known;

	if (HASH_COUNT(sessions->known) >= MAX_KNOWN_SESSIONS)
		forget(sessions, sessions->known);
	known = mem_new(sizeof(*known));
	known->sessions = sessions;
	memcpy(known->binding, op->binding, sizeof(known->binding));
	memcpy(known->tenant_id, op->tenant_id, sizeof(known->tenant_id));
	HASH_ADD(hh, sessions->known, binding, SHA256_BYTES, known);
	return known;
}

void session_remember(struct session_op *op, struct session *session)
{
	struct sessions *sessions = op->sessions;
	struct known_session *known;

	if (op->generation != sessions->generation)
		return;
	known = known_find(sessions, op->binding);
	if (known == NULL)
		known = known_add(op);
	/* Not made anew: what confirms it may be this operation. */
	session_unref(&known->session);
	known->session = session_ref(session);
	known->confirmed_ms = loop_now_ms(sessions->loop);
	known->doubted = false;
}

void session_forget(struct session_op *op)
{
	struct known_session *known = known_find(op->sessions, op->binding);

	op->sessions->generation++;
	if (known != NULL)
		forget(op->sessions, known);
}

struct session *session_known(const struct session_op *op)
{
	const struct known_session *known = known_find(op->sessions, op->binding);

	return known != NULL && may_serve(known) ? session_ref(known->session) : NULL;
}

void session_known_missing(struct session_op *op)
{
	struct known_session *known = known_find(op->sessions, op->binding);

	/* One that is being confirmed is forgotten by who does. */
	if (known != NULL && op->slot != &known->confirming)
		forget(op->sessions, known);
}
