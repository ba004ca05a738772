/* SPDX-License-Identifier: Apache-2.0 */
#include "tokenstore/keyring.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/secret.h"

#define KEYRING_VERSION 1
#define FILE_MAX_BYTES	65536
#define KEY_TEXT_BYTES	44 /* 43 digits and a NUL */

struct kek {
	uint32_t id;
	uint8_t bytes[AES_KEY_BYTES];
};

struct keyring {
	uint8_t pepper[SHA256_BYTES];
	uint32_t primary;
	size_t n_keys;
	struct kek keys[KEYRING_MAX_KEYS];
};

static struct keyring *keyring_new(void)
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

static const struct kek *kek_find(const struct keyring *keyring, uint32_t id)
{
	for (size_t i = 0; i < keyring->n_keys; i++)
		if (keyring->keys[i].id == id)
			return &keyring->keys[i];
	return NULL;
}

/* Creating. */

static int write_all(int fd, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t put = write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put == 0)
			errno = EIO;
		if (put <= 0)
			return -1;
		p += put;
		n -= (size_t)put;
	}
	return 0;
}

/* Makes the name durable. */
static int sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == NULL ? mem_strdup(".") : mem_strndup(path, (size_t)(slash - path) + 1);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret = fd < 0 ? -1 : fsync(fd);

	free(dir);
	if (fd >= 0)
		close(fd);
	return ret;
}

/* link, unlike rename, refuses a name that exists. */
static int file_publish(const char *path, struct span text)
{
	char *temporary = mem_printf("%s.XXXXXX", path);
	int fd = mkostemp(temporary, O_CLOEXEC);
	int ret = -1, saved;

	if (fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, text.p, text.n) == 0 &&
	    fsync(fd) == 0 && link(temporary, path) == 0)
		ret = sync_parent(path);
	saved = errno;
	if (fd >= 0) {
		close(fd);
		unlink(temporary);
	}
	free(temporary);
	errno = saved;
	return ret;
}

static void key_text(char out[KEY_TEXT_BYTES])
{
	uint8_t bytes[AES_KEY_BYTES];
	char digits[(AES_KEY_BYTES + 2) / 3 * 4 + 1];

	crypto_random(bytes, sizeof(bytes));
	base64url_encode(bytes, sizeof(bytes), digits);
	memcpy(out, digits, KEY_TEXT_BYTES);
	mem_wipe(bytes, sizeof(bytes));
	mem_wipe(digits, sizeof(digits));
}

int keyring_create(const char *path, struct err *err)
{
	char pepper[KEY_TEXT_BYTES], key[KEY_TEXT_BYTES];
	struct buf text;
	int ret;

	key_text(pepper);
	key_text(key);
	buf_init(&text, FILE_MAX_BYTES);
	ret = buf_printf(&text,
			 "{\"version\":%d,\"pepper\":\"%s\",\"primary\":1,"
			 "\"keys\":[{\"id\":1,\"key\":\"%s\"}]}\n",
			 KEYRING_VERSION, pepper, key);
	assert(ret == 0);
	mem_wipe(pepper, sizeof(pepper));
	mem_wipe(key, sizeof(key));
	ret = file_publish(path, buf_span(&text));
	if (ret < 0)
		err_set(err, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, "keyring %s: %s", path,
			strerror(errno));
	buf_wipe(&text);
	return ret;
}

/* Reading. */

static int bad(struct err *err, const char *what)
{
	return err_set(err, ERR_INTERNAL, "%s", what);
}

static int read_key(struct span value, uint8_t out[AES_KEY_BYTES])
{
	uint8_t bytes[KEY_TEXT_BYTES];
	long n = -1;

	/* Base64url needs no escapes: the digits stand between the quotes as they are. */
	if (span_type(value) == SPAN_STRING && value.n == KEY_TEXT_BYTES + 1)
		n = base64url_decode((struct span){ value.p + 1, value.n - 2 }, bytes);
	if (n == AES_KEY_BYTES)
		memcpy(out, bytes, AES_KEY_BYTES);
	mem_wipe(bytes, sizeof(bytes));
	return n == AES_KEY_BYTES ? 0 : -1;
}

static int read_id(struct span value, uint32_t *out)
{
	int64_t id;

	if (span_int64(value, &id) < 0 || id < 1 || id > UINT32_MAX)
		return -1;
	*out = (uint32_t)id;
	return 0;
}

/* A member that we do not know is one that we would not keep. */
static int only_members(struct span object, const char *const *names, struct err *err)
{
	struct span_iter iter;
	struct span key, value;

	span_iter_init(&iter, object);
	while (span_next(&iter, &key, &value)) {
		size_t i = 0;

		while (names[i] != NULL && !span_string_is(key, names[i]))
			i++;
		if (names[i] == NULL)
			return bad(err, "has a member that is not known");
	}
	return 0;
}

static int read_keys(struct span list, struct keyring *keyring, struct err *err)
{
	static const char *const members[] = { "id", "key", NULL };
	struct span_iter iter;
	struct span none, item;

	if (span_type(list) != SPAN_ARRAY)
		return bad(err, "keys must be a list");
	span_iter_init(&iter, list);
	while (span_next(&iter, &none, &item)) {
		struct kek kek = { 0 };

		if (keyring->n_keys == KEYRING_MAX_KEYS)
			return bad(err, "has too many keys");
		if (span_type(item) != SPAN_OBJECT || read_id(span_get(item, "id"), &kek.id) < 0)
			return bad(err, "every key needs an id from 1 to 4294967295");
		if (only_members(item, members, err) < 0)
			return -1;
		if (kek_find(keyring, kek.id) != NULL)
			return bad(err, "has two keys of the same id");
		if (read_key(span_get(item, "key"), kek.bytes) < 0)
			return bad(err, "every key must be 32 bytes in base64url");
		keyring->keys[keyring->n_keys++] = kek;
		mem_wipe(&kek, sizeof(kek));
	}
	return 0;
}

static int keyring_parse(struct span text, struct keyring *keyring, struct err *err)
{
	static const char *const members[] = { "version", "pepper", "primary", "keys", NULL };
	int64_t version;

	if (span_check(text, NULL, err) < 0)
		return bad(err, "is not JSON"); /* not why: the reason could quote a key */
	if (span_type(text) != SPAN_OBJECT || span_int64(span_get(text, "version"), &version) < 0 ||
	    version != KEYRING_VERSION)
		return bad(err, "must be an object of version 1");
	if (only_members(text, members, err) < 0)
		return -1;
	if (read_key(span_get(text, "pepper"), keyring->pepper) < 0)
		return bad(err, "pepper must be 32 bytes in base64url");
	if (read_keys(span_get(text, "keys"), keyring, err) < 0)
		return -1;
	if (read_id(span_get(text, "primary"), &keyring->primary) < 0 ||
	    kek_find(keyring, keyring->primary) == NULL)
		return bad(err, "primary must be the id of one of the keys");
	return 0;
}

static int file_check(int fd, struct err *err)
{
	struct stat info;

	if (fstat(fd, &info) < 0)
		return bad(err, strerror(errno));
	if (!S_ISREG(info.st_mode))
		return bad(err, "is not a regular file");
	if ((info.st_mode & 077) != 0)
		return bad(err, "must not be accessible to others: chmod 600");
	if (info.st_uid != geteuid() && info.st_uid != 0)
		return bad(err, "belongs to another user");
	if (info.st_size > FILE_MAX_BYTES)
		return bad(err, "is too large for a keyring");
	return 0;
}

static int file_read(int fd, struct buf *text, struct err *err)
{
	char chunk[1024];
	ssize_t n;
	int ret = 0;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = bad(err, strerror(errno));
		else if (buf_append(text, chunk, (size_t)n) < 0)
			ret = bad(err, "is too large for a keyring");
		if (ret < 0)
			break;
	}
	mem_wipe(chunk, sizeof(chunk));
	return ret;
}

struct keyring *keyring_load(const char *path, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct keyring *keyring;
	struct buf text;

	if (fd < 0) {
		err_set(err, ERR_INTERNAL, "keyring %s: %s", path, strerror(errno));
		return NULL;
	}
	keyring = keyring_new();
	buf_init(&text, FILE_MAX_BYTES);
	if (file_check(fd, err) < 0 || file_read(fd, &text, err) < 0 ||
	    keyring_parse(buf_span(&text), keyring, err) < 0) {
		err_prefix(err, "keyring %s", path);
		keyring_free(&keyring);
	}
	buf_wipe(&text);
	close(fd);
	return keyring;
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
	const struct kek *kek = kek_find(keyring, keyring->primary);
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
	kek = kek_find(keyring, key.kek_id);
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
