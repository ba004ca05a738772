/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenstore/keyring.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"
#include "tokenstore/keyring_priv.h"

struct keyring *keyring_new(void)
{
	struct keyring *keyring = mmap(NULL, sizeof(*keyring), PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (keyring == MAP_FAILED)
		abort();
	madvise(keyring, sizeof(*keyring), MADV_DONTDUMP);
	return keyring;
}

void keyring_free(struct keyring **slot)
{
	struct keyring *keyring = *slot;

	if (keyring == NULL)
		return;
	*slot = NULL;
	mem_wipe(keyring, sizeof(*keyring));
	munmap(keyring, sizeof(*keyring));
}

uint32_t keyring_primary(const struct keyring *keyring)
{
	return keyring->primary;
}

const struct kek *keyring_find(const struct keyring *keyring, uint32_t id)
{
	for (size_t i = 0; i < keyring->n_keys; i++)
		if (keyring->keys[i].id == id)
			return &keyring->keys[i];
	return NULL;
}

bool keyring_has(const struct keyring *keyring, uint32_t id)
{
	return keyring_find(keyring, id) != NULL;
}

size_t keyring_ids(const struct keyring *keyring, uint32_t ids[KEYRING_MAX_KEYS])
{
	for (size_t i = 0; i < keyring->n_keys; i++)
		ids[i] = keyring->keys[i].id;
	return keyring->n_keys;
}

/* Changing. */

int keyring_append(struct keyring *keyring, uint32_t id, const uint8_t bytes[AES_KEY_BYTES],
		   struct err *err)
{
	struct kek *kek = &keyring->keys[keyring->n_keys];

	if (keyring->n_keys == KEYRING_MAX_KEYS)
		return err_set(err, ERR_CONFLICT, "has too many keys");
	kek->id = id;
	memcpy(kek->bytes, bytes, sizeof(kek->bytes));
	keyring->n_keys++;
	if (id > keyring->last_id)
		keyring->last_id = id;
	return 0;
}

int keyring_add(struct keyring *keyring, uint32_t *id, struct err *err)
{
	uint8_t bytes[AES_KEY_BYTES];
	int ret;

	if (keyring->last_id == UINT32_MAX)
		return err_set(err, ERR_CONFLICT, "has no further key id");
	if (keyring->n_keys == KEYRING_MAX_KEYS)
		return err_set(err, ERR_CONFLICT, "has %d keys already: retire one",
			       KEYRING_MAX_KEYS);
	*id = keyring->last_id + 1;
	crypto_random(bytes, sizeof(bytes));
	ret = keyring_append(keyring, *id, bytes, err);
	mem_wipe(bytes, sizeof(bytes));
	return ret;
}

static int no_such_key(uint32_t id, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "has no key %" PRIu32, id);
}

int keyring_promote(struct keyring *keyring, uint32_t id, struct err *err)
{
	if (!keyring_has(keyring, id))
		return no_such_key(id, err);
	keyring->primary = id;
	return 0;
}

int keyring_remove(struct keyring *keyring, uint32_t id, struct err *err)
{
	const struct kek *kek = keyring_find(keyring, id);
	size_t at;

	if (kek == NULL)
		return no_such_key(id, err);
	if (id == keyring->primary)
		return err_set(err, ERR_CONFLICT, "key %" PRIu32 " is the primary one", id);
	at = (size_t)(kek - keyring->keys);
	keyring->n_keys--;
	memmove(&keyring->keys[at], &keyring->keys[at + 1],
		(keyring->n_keys - at) * sizeof(keyring->keys[0]));
	mem_wipe(&keyring->keys[keyring->n_keys], sizeof(keyring->keys[0]));
	return 0;
}

int keyring_take(struct keyring *keyring, struct keyring **from, struct err *err)
{
	bool same = memcmp(keyring->pepper, (*from)->pepper, sizeof(keyring->pepper)) == 0;

	if (same)
		memcpy(keyring, *from, sizeof(*keyring));
	keyring_free(from);
	return same ? 0
		    : err_set(err, ERR_CONFLICT,
			      "its pepper is another: it belongs to another "
			      "deployment");
}

/* Using. */

/* A wrapped key is a sealed value like any other; its version is the id of the key in it. */
static struct seal_place place_of(const char *deployment, const char *tenant, uint64_t dek_id)
{
	return (struct seal_place){
		.deployment = deployment,
		.tenant = tenant,
		.table = "data_keys",
		.column = "wrapped",
		.row = "",
		.version = (int64_t)dek_id,
	};
}

void keyring_wrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		  const struct seal_key *dek, uint8_t out[KEYRING_WRAPPED_BYTES])
{
	const struct kek *kek = keyring_find(keyring, keyring->primary);
	struct seal_key key = { .kek_id = keyring->primary, .dek_id = dek->dek_id };
	struct seal_place at = place_of(deployment, tenant, dek->dek_id);
	struct buf sealed;

	assert(kek != NULL);
	memcpy(key.bytes, kek->bytes, sizeof(key.bytes));
	buf_init(&sealed, KEYRING_WRAPPED_BYTES);
	seal(&key, &at, (struct span){ (const char *)dek->bytes, sizeof(dek->bytes) }, &sealed);
	assert(sealed.len == KEYRING_WRAPPED_BYTES);
	memcpy(out, sealed.data, KEYRING_WRAPPED_BYTES);
	mem_wipe(&key, sizeof(key));
	buf_fini(&sealed);
}

int keyring_unwrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		   uint64_t dek_id, struct span wrapped, struct seal_key *dek, struct err *err)
{
	struct seal_place at = place_of(deployment, tenant, dek_id);
	struct seal_key key = { .dek_id = dek_id };
	struct secret plain = { 0 };
	const struct kek *kek;
	uint64_t named = 0;
	int ret;

	if (seal_ids(wrapped, &key.kek_id, &named, err) < 0)
		return -1;
	kek = keyring_find(keyring, key.kek_id);
	if (kek == NULL)
		return err_set(err, ERR_INTERNAL, "the keyring has no key %" PRIu32, key.kek_id);
	if (wrapped.n != KEYRING_WRAPPED_BYTES)
		return err_set(err, ERR_INTERNAL, "a wrapped key has %zu bytes", wrapped.n);
	memcpy(key.bytes, kek->bytes, sizeof(key.bytes));
	ret = seal_open(&key, &at, wrapped, &plain, err);
	if (ret == 0) {
		*dek = (struct seal_key){ .kek_id = key.kek_id, .dek_id = dek_id };
		memcpy(dek->bytes, plain.reveal, sizeof(dek->bytes));
	}
	secret_fini(&plain);
	mem_wipe(&key, sizeof(key));
	return ret;
}

void keyring_mac(const struct keyring *keyring, const void *p, size_t n, uint8_t out[SHA256_BYTES])
{
	crypto_hmac_sha256(keyring->pepper, sizeof(keyring->pepper), p, n, out);
}

void keyring_check_value(const struct keyring *keyring, uint8_t out[SHA256_BYTES])
{
	static const char constant[] = "tollgate-keyring-check-v1";

	keyring_mac(keyring, constant, sizeof(constant) - 1, out);
}
