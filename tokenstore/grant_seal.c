/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenstore/grant_seal.h"

#include <string.h>

static struct seal_place place_of(const struct grant_keys *keys, const struct grant_row *row,
				  const char *column)
{
	return (struct seal_place){
		.deployment = keys->deployment,
		.tenant = row->grant.key.tenant_id,
		.table = "grants",
		.column = column,
		.row = row->id,
		.version = row->grant.version,
	};
}

static int open_one(const struct grant_keys *keys, const struct grant_row *row, const char *column,
		    struct span sealed, struct secret *out, struct err *err)
{
	const struct seal_place place =
		keys != NULL ? place_of(keys, row, column) : (struct seal_place){ 0 };
	const struct seal_key *key;

	if (sealed.p == NULL)
		return 0;
	if (keys == NULL) {
		*out = secret_new(sealed.p, sealed.n);
		return 0;
	}
	key = seal_find_key(keys->keys, keys->n_keys, sealed, err);
	return key != NULL ? seal_open(key, &place, sealed, out, err) : -1;
}

void grant_wipe(struct grant *grant)
{
	secret_fini(&grant->client_secret);
	secret_fini(&grant->access_token);
	secret_fini(&grant->refresh_token);
}

int grant_open(const struct grant_keys *keys, struct grant_row *row, struct err *err)
{
	struct grant *grant = &row->grant;

	grant->client_secret = grant->access_token = grant->refresh_token =
		(struct secret){ .reveal = NULL };
	if (open_one(keys, row, "client_secret", row->client_secret, &grant->client_secret, err) <
		    0 ||
	    open_one(keys, row, "access_token", row->access_token, &grant->access_token, err) < 0 ||
	    open_one(keys, row, "refresh_token", row->refresh_token, &grant->refresh_token, err) <
		    0) {
		grant_wipe(grant);
		return err_prefix(err, "the stored tokens cannot be opened");
	}
	return 0;
}

static struct span seal_one(const struct grant_keys *keys, struct arena *arena,
			    const struct grant_row *row, const char *column,
			    const struct secret *plain)
{
	struct seal_place place;
	struct span sealed;
	struct buf out;

	if (plain->reveal == NULL)
		return (struct span){ .p = NULL };
	if (keys == NULL)
		return (struct span){ arena_dup(arena, plain->reveal, plain->n), plain->n };
	place = place_of(keys, row, column);
	buf_init(&out, plain->n + SEAL_OVERHEAD_BYTES);
	seal(&keys->keys[keys->n_keys - 1], &place, (struct span){ plain->reveal, plain->n }, &out);
	sealed = (struct span){ arena_dup(arena, out.data, out.len), out.len };
	buf_fini(&out);
	return sealed;
}

int grant_seal(const struct grant_keys *keys, struct arena *arena, struct grant_row *row,
	       struct err *err)
{
	const struct grant *grant = &row->grant;

	if (keys != NULL && keys->n_keys == 0)
		return err_set(err, ERR_INTERNAL, "the tenant has no data key that can be used");
	row->client_secret = seal_one(keys, arena, row, "client_secret", &grant->client_secret);
	row->access_token = seal_one(keys, arena, row, "access_token", &grant->access_token);
	row->refresh_token = seal_one(keys, arena, row, "refresh_token", &grant->refresh_token);
	return 0;
}
