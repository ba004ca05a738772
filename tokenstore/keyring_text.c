/* SPDX-License-Identifier: Apache-2.0 */

/* A keyring as text, both ways. */

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tokenstore/keyring_priv.h"

#define KEYRING_VERSION 1
#define KEY_TEXT_BYTES	44 /* 43 digits and a NUL */

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

static int read_one_key(struct span item, struct keyring *keyring, struct err *err)
{
	static const char *const members[] = { "id", "key", NULL };
	uint8_t bytes[AES_KEY_BYTES];
	uint32_t id;
	int ret;

	if (span_type(item) != SPAN_OBJECT || read_id(span_get(item, "id"), &id) < 0)
		return bad(err, "every key needs an id from 1 to 4294967295");
	if (only_members(item, members, err) < 0)
		return -1;
	if (keyring_has(keyring, id))
		return bad(err, "has two keys of the same id");
	if (read_key(span_get(item, "key"), bytes) < 0)
		return bad(err, "every key must be 32 bytes in base64url");
	ret = keyring_append(keyring, id, bytes, err);
	mem_wipe(bytes, sizeof(bytes));
	if (ret < 0)
		err->code = ERR_INTERNAL;
	return ret;
}

static int read_keys(struct span list, struct keyring *keyring, struct err *err)
{
	struct span_iter iter;
	struct span none, item;

	if (span_type(list) != SPAN_ARRAY)
		return bad(err, "keys must be a list");
	span_iter_init(&iter, list);
	while (span_next(&iter, &none, &item)) {
		if (read_one_key(item, keyring, err) < 0)
			return -1;
	}
	return 0;
}

/* Absent in files from before keys could be retired: then no id was given that is not there. */
static int read_last_id(struct span value, struct keyring *keyring, struct err *err)
{
	uint32_t greatest = keyring->last_id;

	if (span_type(value) == SPAN_ABSENT)
		return 0;
	if (read_id(value, &keyring->last_id) < 0 || keyring->last_id < greatest)
		return bad(err, "last_id must be an id, and that of no key may be greater");
	return 0;
}

static int read_ring(struct span text, struct keyring *keyring, struct err *err)
{
	static const char *const members[] = { "version", "pepper", "primary",
					       "last_id", "keys",   NULL };
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
	    !keyring_has(keyring, keyring->primary))
		return bad(err, "primary must be the id of one of the keys");
	return read_last_id(span_get(text, "last_id"), keyring, err);
}

struct keyring *keyring_parse(struct span text, struct err *err)
{
	struct keyring *keyring = keyring_new();

	if (read_ring(text, keyring, err) < 0)
		keyring_free(&keyring);
	return keyring;
}

/* Writing. */

static void add_key(struct buf *out, const uint8_t bytes[AES_KEY_BYTES])
{
	char digits[(AES_KEY_BYTES + 2) / 3 * 4 + 1];

	base64url_encode(bytes, AES_KEY_BYTES, digits);
	buf_printf(out, "\"%s\"", digits);
	mem_wipe(digits, sizeof(digits));
}

void keyring_print(const struct keyring *keyring, struct buf *out)
{
	buf_printf(out, "{\"version\":%d,\"pepper\":", KEYRING_VERSION);
	add_key(out, keyring->pepper);
	buf_printf(out, ",\"primary\":%" PRIu32 ",\"last_id\":%" PRIu32 ",\"keys\":[",
		   keyring->primary, keyring->last_id);
	for (size_t i = 0; i < keyring->n_keys; i++) {
		buf_printf(out, "%s{\"id\":%" PRIu32 ",\"key\":", i > 0 ? "," : "",
			   keyring->keys[i].id);
		add_key(out, keyring->keys[i].bytes);
		buf_add(out, "}");
	}
	buf_add(out, "]}\n");
}
