/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TOKENSTORE_KEYRING_H
#define TOKENSTORE_KEYRING_H

/*
 * The keys that live outside the database: key-encryption keys, which wrap the tenants' data
 * keys, and the pepper, without which a stolen table of API keys cannot be tried offline.
 *
 * One file, mode 0600:
 *
 *   {"version":1,"pepper":"<base64url 32>","primary":<id>,"last_id":<u32>,
 *    "keys":[{"id":<u32>,"key":"<…>"}]}
 *
 * All keys open; the primary one wraps. last_id is the greatest id that was ever given, so that
 * the id of a key that was retired never stands for another key; files without it are read too.
 *
 * In memory it lies apart from the heap, is left out of core dumps and wiped when freed.
 * Knows nothing of tables: who stores a wrapped key where is the caller's business.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/seal.h"
#include "base/span.h"

struct keyring;

#define KEYRING_MAX_KEYS      64
#define KEYRING_WRAPPED_BYTES (SEAL_OVERHEAD_BYTES + AES_KEY_BYTES)

/* Writes a new random keyring with one key, whole or not at all. ERR_CONFLICT if the file exists:
 * a keyring is never overwritten. */
int keyring_create(const char *path, struct err *err) MUST_CHECK;
/* A file that anybody but its owner can open is refused. Returns a new keyring or NULL. */
struct keyring *keyring_load(const char *path, struct err *err) MUST_CHECK;
/* The same for its text. err says nothing of what stands in it. */
struct keyring *keyring_parse(struct span text, struct err *err) MUST_CHECK;
/* Appends the text: a secret, which the caller wipes. */
void keyring_print(const struct keyring *keyring, struct buf *out);
void keyring_free(struct keyring **keyring);

/* Whether the service manager has made the file (systemd: LoadCredential=). It is read only, and a
 * copy: to change it changes nothing for the next start. */
bool keyring_is_credential(const char *path);

/* Which file it is that lies there. Zeroed before the first time; no file is all zero. */
struct keyring_stamp {
	uint64_t device, inode;
	int64_t changed_s, changed_ns; /* of the inode: renaming and chmod count too */
};
/* Reads it anew. True if it is another than it was. */
bool keyring_stamp(const char *path, struct keyring_stamp *stamp);

/* The id of the key that wraps what is wrapped from now on. */
uint32_t keyring_primary(const struct keyring *keyring);
bool keyring_has(const struct keyring *keyring, uint32_t id);
/* Returns how many there are. In the order of the file. */
size_t keyring_ids(const struct keyring *keyring, uint32_t ids[KEYRING_MAX_KEYS]);

/*
 * Changing, in memory. ERR_NOT_FOUND: there is no such key. ERR_CONFLICT: as it says.
 */
/* A new random key, which opens but does not wrap until it is promoted. */
int keyring_add(struct keyring *keyring, uint32_t *id, struct err *err) MUST_CHECK;
int keyring_promote(struct keyring *keyring, uint32_t id, struct err *err) MUST_CHECK;
/* Not the primary key. */
int keyring_remove(struct keyring *keyring, uint32_t id, struct err *err) MUST_CHECK;
/* Becomes what *from is, in place, so that whoever borrows it sees the new keys; frees *from.
 * ERR_CONFLICT if the pepper is another: that is no change of keys. */
int keyring_take(struct keyring *keyring, struct keyring **from, struct err *err) MUST_CHECK;

/*
 * Changing the file: begin locks it (ERR_CONFLICT: somebody else has) and loads it, save puts what
 * edit->keyring has become in its place, whole or not at all, with the owner that it had. A
 * credential is refused, ERR_BAD_REQUEST. After a begin that failed there is nothing to end.
 */
struct keyring_edit {
	struct keyring *keyring;
	char *path; /* without symbolic links */
	int lock_fd;
};
int keyring_edit_begin(struct keyring_edit *edit, const char *path, struct err *err) MUST_CHECK;
int keyring_edit_save(struct keyring_edit *edit, struct err *err) MUST_CHECK;
void keyring_edit_end(struct keyring_edit *edit);

/* Under the primary key, bound to deployment, tenant and dek->dek_id; dek->kek_id plays no part. */
void keyring_wrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		  const struct seal_key *dek, uint8_t out[KEYRING_WRAPPED_BYTES]);
/* ERR_INTERNAL if the ring lacks the key or the bytes do not open. dek->kek_id tells which key
 * had wrapped it. The caller wipes dek. */
int keyring_unwrap(const struct keyring *keyring, const char *deployment, const char *tenant,
		   uint64_t dek_id, struct span wrapped, struct seal_key *dek,
		   struct err *err) MUST_CHECK;

/* HMAC-SHA256 with the pepper. */
void keyring_mac(const struct keyring *keyring, const void *p, size_t n, uint8_t out[SHA256_BYTES]);
/* The same for the same pepper, whatever keys were added: kept in the database, it tells a wrong
 * keyring at start. */
void keyring_check_value(const struct keyring *keyring, uint8_t out[SHA256_BYTES]);

#endif
