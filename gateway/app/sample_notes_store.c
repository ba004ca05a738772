/* SPDX-License-Identifier: Apache-2.0 */

/* What the sample upstream `notes` knows. It never stores a token: each names what it is good for
 * and carries a MAC, and a grant counts how often it was renewed. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "gateway/app/sample_notes_priv.h"

#define ID_RANDOM_BYTES 16
#define MAX_FILE_BYTES	((size_t)16 * 1024 * 1024)

static const char *const kinds[] = {
	[NOTES_CODE] = "code",
	[NOTES_ACCESS] = "access",
	[NOTES_REFRESH] = "refresh",
	[NOTES_CLIENT_SECRET] = "secret",
};

static const struct log_subject subject = { .component = "notes" };

int64_t notes_now_s(void)
{
	return loop_unix_us() / 1000000;
}

static json_t *member(json_t *state, const char *name)
{
	json_t *found = json_object_get(state, name);

	if (!json_is_object(found)) {
		found = json_object();
		json_object_set_new(state, name, found);
	}
	return found;
}

static void take_key(struct notes *notes)
{
	const char *text = json_text(notes->state, "key");
	char hex[2 * SHA256_BYTES + 1];

	if (text != NULL && hex_decode(span_of(text), notes->key, sizeof(notes->key)) == 0)
		return;
	crypto_random(notes->key, sizeof(notes->key));
	hex_encode(notes->key, sizeof(notes->key), hex);
	json_object_set_new(notes->state, "key", json_string(hex));
}

/* A file that is not there yet is an empty one. */
static json_t *read_file(const char *path, struct err *err)
{
	FILE *file = fopen(path, "re");
	struct buf text;
	char chunk[4096];
	json_t *json;
	size_t n;

	if (file == NULL)
		return json_object();
	buf_init(&text, MAX_FILE_BYTES);
	while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
		buf_append(&text, chunk, n);
	fclose(file);
	json = json_parse(buf_span(&text), err);
	buf_wipe(&text);
	if (json != NULL && !json_is_object(json)) {
		json_decref(json);
		json = NULL;
		err_set(err, ERR_PARSE, "no object");
	}
	return json;
}

int notes_open(struct notes *notes, const char *file, struct err *err)
{
	notes->file = file;
	notes->state = read_file(file, err);
	if (notes->state == NULL)
		return err_set(err, ERR_BAD_REQUEST, "%s is not what the sample server wrote",
			       file);
	take_key(notes);
	notes->clients = member(notes->state, "clients");
	notes->grants = member(notes->state, "grants");
	notes->texts = member(notes->state, "notes");
	notes->asks = json_object();
	notes->browsers = json_object();
	notes_save(notes);
	return 0;
}

void notes_close(struct notes *notes)
{
	json_decref(notes->state);
	json_decref(notes->asks);
	json_decref(notes->browsers);
	mem_wipe(notes->key, sizeof(notes->key));
}

void notes_save(const struct notes *notes)
{
	char *draft = mem_printf("%s.new", notes->file);
	int fd = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0 || json_dumpfd(notes->state, fd, JSON_COMPACT) < 0 ||
	    rename(draft, notes->file) < 0)
		log_error(&subject, "%s: %s", notes->file, strerror(errno));
	if (fd >= 0)
		close(fd);
	free(draft);
}

void notes_new_id(char id[NOTES_ID_BYTES])
{
	uint8_t bytes[ID_RANDOM_BYTES];

	crypto_random(bytes, sizeof(bytes));
	base64url_encode(bytes, sizeof(bytes), id);
}

void notes_put(json_t *object, const char *id, json_t *value, size_t max)
{
	while (json_object_size(object) >= max)
		json_object_del(object, json_object_iter_key(json_object_iter(object)));
	json_object_set_new(object, id, value);
}

/* --- tokens: kind.id.number.mac --- */

void notes_token_write(const struct notes *notes, enum notes_token kind, const char *id,
		       int64_t number, char out[NOTES_TOKEN_BYTES])
{
	uint8_t mac[SHA256_BYTES];
	int n = snprintf(out, NOTES_TOKEN_BYTES, "%s.%s.%" PRId64, kinds[kind], id, number);

	crypto_hmac_sha256(notes->key, sizeof(notes->key), out, (size_t)n, mac);
	out[n] = '.';
	base64url_encode(mac, sizeof(mac), out + n + 1);
}

/* What it says is believed once the same words give the same token again. */
bool notes_token_read(const struct notes *notes, enum notes_token kind, const char *text,
		      char id[NOTES_ID_BYTES], int64_t *number)
{
	size_t n = strlen(kinds[kind]);
	char again[NOTES_TOKEN_BYTES];
	uint64_t value;
	struct err err;
	size_t id_bytes;
	char digits[24];

	if (strncmp(text, kinds[kind], n) != 0 || text[n] != '.')
		return false;
	id_bytes = strcspn(text + n + 1, ".");
	if (id_bytes >= NOTES_ID_BYTES || text[n + 1 + id_bytes] != '.')
		return false;
	snprintf(id, NOTES_ID_BYTES, "%.*s", (int)id_bytes, text + n + 1);
	text += n + 1 + id_bytes + 1;
	snprintf(digits, sizeof(digits), "%.*s", (int)strcspn(text, "."), text);
	if (text_uint(digits, 0, INT64_MAX, &value, &err) < 0)
		return false;
	*number = (int64_t)value;
	text -= n + 1 + id_bytes + 1;
	notes_token_write(notes, kind, id, *number, again);
	return strlen(text) == strlen(again) && crypto_equal(text, again, strlen(again));
}

json_t *notes_grant_of_access(const struct notes *notes, const char *token)
{
	char id[NOTES_ID_BYTES];
	int64_t until_s;

	if (!notes_token_read(notes, NOTES_ACCESS, token, id, &until_s) || until_s <= notes_now_s())
		return NULL;
	return json_object_get(notes->grants, id);
}

bool notes_has_scope(const json_t *grant, const char *scope)
{
	const char *at = json_text(grant, "scope");
	size_t n = strlen(scope);

	while (at != NULL && *at != '\0') {
		size_t word = strcspn(at, " ");

		if (word == n && memcmp(at, scope, n) == 0)
			return true;
		at += word + strspn(at + word, " ");
	}
	return false;
}
