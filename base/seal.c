/* SPDX-License-Identifier: Apache-2.0 */
#include "base/seal.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SEAL_VERSION	 0x01
#define SEAL_AES_256_GCM 1
#define SEAL_CONTEXT	 "tollgate-col-v1"

enum {
	AT_VERSION = 0,
	AT_ALGORITHM = 1,
	AT_KEK = 2,
	AT_DEK = 6,
};

void seal_key_random(struct seal_key *key, uint32_t kek_id, uint64_t dek_id)
{
	*key = (struct seal_key){ .kek_id = kek_id, .dek_id = dek_id };
	crypto_random(key->bytes, sizeof(key->bytes));
}

static void prefix_write(uint8_t prefix[SEAL_PREFIX_BYTES], const struct seal_key *key)
{
	uint32_t kek_id = htobe32(key->kek_id);
	uint64_t dek_id = htobe64(key->dek_id);

	prefix[AT_VERSION] = SEAL_VERSION;
	prefix[AT_ALGORITHM] = SEAL_AES_256_GCM;
	memcpy(prefix + AT_KEK, &kek_id, sizeof(kek_id));
	memcpy(prefix + AT_DEK, &dek_id, sizeof(dek_id));
}

/* The list of associated data. Every item has its length before it, so that no two lists of
 * items run together to the same bytes. The caller frees. */
static struct span place_bytes(const struct seal_place *place, const uint8_t *prefix)
{
	uint64_t version = htobe64((uint64_t)place->version);
	const struct span items[] = {
		SPAN(SEAL_CONTEXT),
		{place->deployment,	     strlen(place->deployment)},
		{ place->tenant,		 strlen(place->tenant)    },
		{ place->table,		strlen(place->table)     },
		{ place->column,		 strlen(place->column)    },
		{ place->row,	      strlen(place->row)	 },
		{ (const char *)&version, sizeof(version)	  },
		{ (const char *)prefix,	SEAL_PREFIX_BYTES	  },
	};
	size_t n = 0;
	char *bytes, *to;

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
		n += sizeof(uint32_t) + items[i].n;
	bytes = to = mem_new(n);
	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		uint32_t length = htobe32((uint32_t)items[i].n);

		assert(items[i].n <= UINT32_MAX);
		memcpy(to, &length, sizeof(length));
		memcpy(to + sizeof(length), items[i].p, items[i].n);
		to += sizeof(length) + items[i].n;
	}
	return (struct span){ bytes, n };
}

void seal(const struct seal_key *key, const struct seal_place *place, struct span plain,
	  struct buf *out)
{
	size_t n = SEAL_OVERHEAD_BYTES + plain.n;
	uint8_t *sealed = mem_new(n);
	uint8_t *nonce = sealed + SEAL_PREFIX_BYTES;
	uint8_t *body = nonce + GCM_NONCE_BYTES;
	struct span aad;
	int fits;

	prefix_write(sealed, key);
	crypto_random(nonce, GCM_NONCE_BYTES);
	aad = place_bytes(place, sealed);
	crypto_gcm_seal(key->bytes, nonce, aad, plain.p, plain.n, body, body + plain.n);
	fits = buf_append(out, sealed, n);
	assert(fits == 0);
	free((void *)aad.p);
	free(sealed);
}

static int does_not_open(struct err *err)
{
	return err_set(err, ERR_INTERNAL, "a sealed value does not open");
}

int seal_ids(struct span sealed, uint32_t *kek_id, uint64_t *dek_id, struct err *err)
{
	if (sealed.n < SEAL_OVERHEAD_BYTES || sealed.p[AT_VERSION] != SEAL_VERSION ||
	    sealed.p[AT_ALGORITHM] != SEAL_AES_256_GCM)
		return does_not_open(err);
	memcpy(kek_id, sealed.p + AT_KEK, sizeof(*kek_id));
	memcpy(dek_id, sealed.p + AT_DEK, sizeof(*dek_id));
	*kek_id = be32toh(*kek_id);
	*dek_id = be64toh(*dek_id);
	return 0;
}

const struct seal_key *seal_find_key(const struct seal_key *keys, size_t n_keys, struct span sealed,
				     struct err *err)
{
	uint32_t kek_id = 0;
	uint64_t dek_id = 0;

	if (seal_ids(sealed, &kek_id, &dek_id, err) < 0)
		return NULL;
	for (size_t i = 0; i < n_keys; i++) {
		if (keys[i].dek_id == dek_id)
			return &keys[i];
	}
	err_set(err, ERR_INTERNAL, "its data key is missing");
	return NULL;
}

/* The key-encryption key's id is authenticated but need not be key->kek_id: a data key that was
 * wrapped anew still opens what it sealed before. */
int seal_open(const struct seal_key *key, const struct seal_place *place, struct span sealed,
	      struct secret *plain, struct err *err)
{
	const uint8_t *prefix = (const uint8_t *)sealed.p;
	uint32_t kek_id = 0;
	uint64_t dek_id = 0;
	struct span aad;
	size_t n;
	char *out;
	int opened;

	if (seal_ids(sealed, &kek_id, &dek_id, err) < 0)
		return -1;
	if (dek_id != key->dek_id)
		return does_not_open(err);
	n = sealed.n - SEAL_OVERHEAD_BYTES;
	out = mem_new(n + 1);
	aad = place_bytes(place, prefix);
	opened = crypto_gcm_open(key->bytes, prefix + SEAL_PREFIX_BYTES, aad,
				 prefix + SEAL_PREFIX_BYTES + GCM_NONCE_BYTES, n,
				 prefix + sealed.n - GCM_TAG_BYTES, out);
	free((void *)aad.p);
	if (opened < 0) {
		free(out);
		return does_not_open(err);
	}
	*plain = (struct secret){ .reveal = out, .n = n };
	return 0;
}
