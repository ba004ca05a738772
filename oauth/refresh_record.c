/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth/refresh_record.h"

#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"

/* The members of a record, in order: each a text, a number or bytes in hex of the request. */

static void add_text(struct buf *out, const char *name, const char *text)
{
	buf_printf(out, "\"%s\":", name);
	if (text == NULL)
		buf_add(out, "null");
	else
		buf_add_json_string(out, text, strlen(text));
	buf_add(out, ",");
}

static void add_number(struct buf *out, const char *name, int64_t number)
{
	buf_printf(out, "\"%s\":%lld,", name, (long long)number);
}

static void add_bytes(struct buf *out, const char *name, struct span bytes)
{
	char *text;

	if (bytes.p == NULL) {
		add_text(out, name, NULL);
		return;
	}
	text = mem_new(2 * bytes.n + 1);
	hex_encode(bytes.p, bytes.n, text);
	add_text(out, name, text);
	free(text);
}

int refresh_record_write(const struct grant_request *request, struct buf *out)
{
	const struct grant_row *row = request->row;

	buf_add(out, "{");
	add_text(out, "tenant", request->key.tenant_id);
	add_text(out, "connection", request->key.connection_id);
	add_text(out, "subject", request->key.subject);
	add_number(out, "version", request->version);
	add_number(out, "lease", request->lease_number);
	add_bytes(out, "access_token", row->access_token);
	add_bytes(out, "refresh_token", row->refresh_token);
	add_bytes(out, "client_secret", row->client_secret);
	add_text(out, "scope", row->grant.scope);
	add_number(out, "expires_at", row->grant.expires_at);
	add_number(out, "refresh_expires_at", row->grant.refresh_expires_at);
	add_number(out, "last_refreshed_at", row->grant.last_refreshed_at);
	add_number(out, "next_refresh_at", row->next_refresh_at);
	add_text(out, "actor", request->event.actor);
	add_text(out, "detail", request->event.detail);
	return buf_add(out, "\"v\":1}");
}

static const char *read_text(struct span object, const char *name, struct arena *arena)
{
	struct span value = span_get(object, name);
	const char *text = NULL;
	struct buf out;

	if (span_type(value) != SPAN_STRING)
		return NULL;
	buf_init(&out, REFRESH_RECORD_BYTES);
	if (span_string(value, &out) == 0 && memchr(buf_str(&out), '\0', out.len) == NULL)
		text = arena_dup(arena, buf_str(&out), out.len);
	buf_wipe(&out);
	return text;
}

static int64_t read_number(struct span object, const char *name)
{
	int64_t number;

	return span_int64(span_get(object, name), &number) == 0 ? number : 0;
}

static struct span read_bytes(struct span object, const char *name, struct arena *arena)
{
	const char *text = read_text(object, name, arena);
	struct span bytes = { .p = NULL };
	char *out;

	if (text == NULL)
		return bytes;
	out = arena_alloc(arena, strlen(text) / 2 + 1);
	if (hex_decode(span_of(text), out, strlen(text) / 2) == 0)
		bytes = (struct span){ out, strlen(text) / 2 };
	return bytes;
}

static int read_key(struct span object, struct arena *arena, struct grant_key *key)
{
	const char *tenant = read_text(object, "tenant", arena);
	const char *connection = read_text(object, "connection", arena);
	const char *subject = read_text(object, "subject", arena);

	if (tenant == NULL || connection == NULL || subject == NULL || !uuid_valid(tenant) ||
	    !uuid_valid(connection) || strlen(subject) >= sizeof(key->subject))
		return -1;
	*key = grant_key_of(tenant, connection, subject);
	return 0;
}

int refresh_record_read(struct span payload, struct arena *arena, struct grant_request *request,
			struct err *err)
{
	struct grant_row *row = arena_alloc(arena, sizeof(*row));

	*request = (struct grant_request){ .verb = GRANT_COMMIT, .row = row };
	if (span_check(payload, NULL, err) < 0)
		return -1;
	row->access_token = read_bytes(payload, "access_token", arena);
	row->refresh_token = read_bytes(payload, "refresh_token", arena);
	row->client_secret = read_bytes(payload, "client_secret", arena);
	request->version = read_number(payload, "version");
	request->lease_number = read_number(payload, "lease");
	if (read_key(payload, arena, &request->key) < 0 || row->access_token.p == NULL ||
	    request->version < 1)
		return err_set(err, ERR_PARSE, "it is no renewal");
	row->grant.key = request->key;
	row->grant.scope = read_text(payload, "scope", arena);
	row->grant.expires_at = read_number(payload, "expires_at");
	row->grant.refresh_expires_at = read_number(payload, "refresh_expires_at");
	row->grant.last_refreshed_at = read_number(payload, "last_refreshed_at");
	row->next_refresh_at = read_number(payload, "next_refresh_at");
	request->event = (struct grant_event){
		.type = "refresh_succeeded",
		.actor = read_text(payload, "actor", arena),
		.detail = read_text(payload, "detail", arena),
	};
	request->dropped = request->event;
	request->dropped.type = "refresh_rotation_persistence_failed";
	return 0;
}
