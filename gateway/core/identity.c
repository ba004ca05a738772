/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/identity.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uthash.h>

#include "base/mem.h"
#include "gateway/core/apikey.h"
#include "gateway/core/tenant.h"
#include "tokenstore/keyring.h"

/* Verified keys remembered per worker; over it the oldest is forgotten. */
#define MAX_KNOWN_KEYS 10000

struct known_key {
	char key_id[APIKEY_ID_CHARS + 1];
	uint8_t mac[SHA256_BYTES];
	struct principal *principal;
	UT_hash_handle hh;
};

struct identity {
	struct loop *loop;
	struct db *db;
	const struct keyring *keyring;
	struct tenants *tenants; /* NULL: not followed */
	struct known_key *known;
	unsigned generation; /* grows with each forget: an answer asked for before is not kept */
};

struct identity_op {
	struct identity_op **slot;
	struct identity *identity;
	struct apikey_parts parts;
	struct deferred deferred; /* a credential that needs no database to be refused */
	struct db_op *query;
	unsigned generation;
	identity_done *done;
	void *ctx;
};

struct identity *identity_new(struct loop *loop, struct db *db, const struct keyring *keyring)
{
	struct identity *identity = mem_new(sizeof(*identity));

	*identity = (struct identity){ .loop = loop, .db = db, .keyring = keyring };
	return identity;
}

void identity_follow(struct identity *identity, struct tenants *tenants)
{
	identity->tenants = tenants;
}

static void forget(struct identity *identity, struct known_key *known)
{
	HASH_DEL(identity->known, known);
	principal_unref(&known->principal);
	free(known);
}

void identity_free(struct identity **identity)
{
	struct known_key *known;
	struct known_key *next;

	if (*identity == NULL)
		return;
	HASH_ITER(hh, (*identity)->known, known, next)
	{
		forget(*identity, known);
	}
	free(*identity);
	*identity = NULL;
}

void identity_forget(struct identity *identity, const char *tenant_id)
{
	struct known_key *known;
	struct known_key *next;

	identity->generation++;
	HASH_ITER(hh, identity->known, known, next)
	{
		if (strcmp(known->principal->tenant_id, tenant_id) == 0)
			forget(identity, known);
	}
}

static int refuse(struct err *err)
{
	return err_set(err, ERR_UNAUTHENTICATED, "the API key is not valid");
}

static bool expired(const struct principal *principal)
{
	return principal->expires_at_us != 0 && principal->expires_at_us <= loop_unix_us();
}

static bool watched(const struct identity *identity, const struct principal *principal)
{
	struct tenant *tenant;

	if (identity->tenants == NULL)
		return true;
	tenant = tenants_find(identity->tenants, principal->tenant_id);
	if (tenant == NULL)
		return false;
	tenant_unref(&tenant);
	return true;
}

static enum identity_found find(struct identity *identity, const struct apikey_parts *parts,
				struct principal **principal, struct err *err)
{
	struct known_key *known;
	uint8_t mac[SHA256_BYTES];

	HASH_FIND_STR(identity->known, parts->id, known);
	if (known == NULL || !watched(identity, known->principal))
		return IDENTITY_UNKNOWN;
	apikey_mac(identity->keyring, parts, mac);
	if (!crypto_equal(mac, known->mac, sizeof(mac)) || expired(known->principal)) {
		refuse(err);
		return IDENTITY_REFUSED;
	}
	*principal = principal_ref(known->principal);
	return IDENTITY_KNOWN;
}

enum identity_found identity_find(struct identity *identity, const char *credential,
				  struct principal **principal, struct err *err)
{
	enum identity_found found = IDENTITY_REFUSED;
	struct apikey_parts parts;

	if (apikey_parse(credential, &parts) < 0)
		refuse(err);
	else
		found = find(identity, &parts, principal, err);
	mem_wipe(&parts, sizeof(parts));
	return found;
}

static void finish(struct identity_op *op, struct principal *principal, const struct err *err)
{
	struct identity_op was = *op;

	*op->slot = NULL;
	mem_wipe(op, sizeof(*op));
	free(op);
	was.done(was.ctx, principal, err);
	mem_wipe(&was.parts, sizeof(was.parts));
}

static void remember(struct identity *identity, const struct apikey_parts *parts,
		     const uint8_t mac[SHA256_BYTES], struct principal *principal)
{
	struct known_key *known;

	HASH_FIND_STR(identity->known, parts->id, known);
	if (known != NULL)
		forget(identity, known);
	else if (HASH_COUNT(identity->known) >= MAX_KNOWN_KEYS)
		forget(identity, identity->known);
	known = mem_new(sizeof(*known));
	memcpy(known->key_id, parts->id, sizeof(known->key_id));
	memcpy(known->mac, mac, sizeof(known->mac));
	known->principal = principal_ref(principal);
	HASH_ADD_STR(identity->known, key_id, known);
}

/* A key never grants more than its user has. */
static enum role least_role(const char *key_role, const char *user_role)
{
	enum role role = ROLE_USER;
	enum role user = ROLE_USER;
	struct err ignored;

	if (role_parse(key_role, &role, &ignored) < 0)
		return ROLE_USER;
	if (user_role == NULL || role == ROLE_PLATFORM)
		return role;
	if (role_parse(user_role, &user, &ignored) < 0)
		return ROLE_USER;
	return user < role ? user : role;
}

static struct principal *principal_of(const struct db_result *row, const char *key_id)
{
	struct principal *p = mem_new(sizeof(*p));
	const char *user_id = db_text(row, 0, "user_id");

	p->refs = 1;
	snprintf(p->tenant_id, sizeof(p->tenant_id), "%s", db_text(row, 0, "tenant_id"));
	snprintf(p->api_key_id, sizeof(p->api_key_id), "%s", db_text(row, 0, "id"));
	snprintf(p->api_key_public, sizeof(p->api_key_public), "%s", key_id);
	p->tenant = mem_strdup(db_text(row, 0, "tenant_name"));
	p->api_key = mem_strdup(db_text(row, 0, "name"));
	p->role = least_role(db_text(row, 0, "role"), db_text(row, 0, "user_role"));
	p->expires_at_us = db_int(row, 0, "expires_at_us");
	if (user_id != NULL) {
		snprintf(p->user_id, sizeof(p->user_id), "%s", user_id);
		p->user_name = mem_strdup(db_text(row, 0, "user_name"));
	}
	snprintf(p->subject, sizeof(p->subject), "%s:%s", user_id != NULL ? "user" : "key",
		 user_id != NULL ? p->user_id : p->api_key_id);
	return p;
}

static bool usable(const struct db_result *row)
{
	return db_bool(row, 0, "tenant_enabled") &&
	       (db_text(row, 0, "user_id") == NULL || db_bool(row, 0, "user_enabled"));
}

/* The stored digest against the presented secret; an unknown id costs the same. */
static bool verify(const struct identity_op *op, const struct db_result *row,
		   uint8_t mac[SHA256_BYTES])
{
	static const uint8_t dummy[SHA256_BYTES];
	bool known = db_rows(row) == 1;
	size_t n = 0;
	uint8_t *stored = known ? db_bytes(row, 0, "secret_mac", &n) : NULL;
	bool equal;

	apikey_mac(op->identity->keyring, &op->parts, mac);
	equal = crypto_equal(mac, n == SHA256_BYTES ? stored : dummy, SHA256_BYTES);
	free(stored);
	return equal && n == SHA256_BYTES;
}

static void on_row(void *ctx, const struct db_result *const *results, size_t n,
		   const struct err *err)
{
	struct identity_op *op = ctx;
	struct principal *principal = NULL;
	struct err problem;
	uint8_t mac[SHA256_BYTES];

	if (err != NULL) {
		err_set(&problem, ERR_UNAVAILABLE, "keys cannot be checked now: %s", err->text);
		finish(op, NULL, &problem);
		return;
	}
	assert(n == 1);
	refuse(&problem);
	if (!verify(op, results[0], mac) || !usable(results[0])) {
		finish(op, NULL, &problem);
		return;
	}
	principal = principal_of(results[0], op->parts.id);
	if (expired(principal)) {
		finish(op, NULL, &problem);
	} else {
		if (op->generation == op->identity->generation)
			remember(op->identity, &op->parts, mac, principal);
		finish(op, principal, NULL);
	}
	principal_unref(&principal);
}

static void on_unparsable(void *ctx)
{
	struct err problem;

	refuse(&problem);
	finish(ctx, NULL, &problem);
}

void identity_start(struct identity *identity, struct identity_op **slot, const char *credential,
		    identity_done *done, void *ctx)
{
	struct identity_op *op = mem_new(sizeof(*op));
	struct span id;

	assert(*slot == NULL);
	*op = (struct identity_op){
		.slot = slot,
		.identity = identity,
		.generation = identity->generation,
		.done = done,
		.ctx = ctx,
	};
	*slot = op;
	if (apikey_parse(credential, &op->parts) < 0) {
		loop_defer(identity->loop, &op->deferred, on_unparsable, op);
		return;
	}
	id = span_of(op->parts.id);
	db_query(identity->db, &op->query, NULL,
		 "SELECT *, (extract(epoch FROM expires_at) * 1000000)::bigint AS expires_at_us"
		 " FROM tollgate.find_key($1)",
		 &id, 1, on_row, op);
}

void identity_cancel(struct identity_op **slot)
{
	struct identity_op *op = *slot;

	if (op == NULL)
		return;
	*slot = NULL;
	deferred_cancel(&op->deferred);
	db_cancel(&op->query);
	mem_wipe(op, sizeof(*op));
	free(op);
}
