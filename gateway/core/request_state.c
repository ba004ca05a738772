/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/request_state.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/seal.h"

/* When it ends, and the digest of the call. */
struct content {
	uint64_t ends_at; /* big-endian Unix seconds */
	uint8_t digest[SHA256_BYTES];
};
#define SEALED_BYTES (sizeof(struct content) + SEAL_OVERHEAD_BYTES)
#define TEXT_BYTES   ((SEALED_BYTES + 2) / 3 * 4 + 1)

static struct seal_place place_of(const struct request_state *state)
{
	return (struct seal_place){
		.deployment = state->deployment,
		.tenant = state->tenant->id,
		.table = "request_state",
		.column = state->connection_id,
		.row = state->principal,
		.version = 1,
	};
}

static void add_part(struct buf *text, const char *p, size_t n)
{
	buf_printf(text, "%zu ", n);
	buf_append(text, p, n);
}

/* No two calls give the same text: each part says how long it is. */
static void digest_of(const struct request_state *state, uint8_t digest[SHA256_BYTES])
{
	const struct span arguments = span_trim(state->arguments);
	struct buf text;

	buf_init(&text, strlen(state->method) + strlen(state->tool) + arguments.n + 128);
	add_part(&text, state->method, strlen(state->method));
	add_part(&text, state->tool, strlen(state->tool));
	add_part(&text, arguments.p != NULL ? arguments.p : "", arguments.n);
	crypto_sha256(text.data, text.len, digest);
	buf_fini(&text);
}

int request_state_write(const struct request_state *state, int64_t now_s, struct buf *out)
{
	const struct seal_key *key = tenant_seal_key(state->tenant);
	const struct seal_place place = place_of(state);
	struct content content;
	char text[TEXT_BYTES];
	struct buf sealed;

	if (key == NULL)
		return -1;
	memset(&content, 0, sizeof(content));
	content.ends_at = htobe64((uint64_t)(now_s + REQUEST_STATE_LIFETIME_S));
	digest_of(state, content.digest);
	buf_init(&sealed, SEALED_BYTES);
	seal(key, &place, (struct span){ (const char *)&content, sizeof(content) }, &sealed);
	base64url_encode(sealed.data, sealed.len, text);
	buf_fini(&sealed);
	return buf_add(out, text);
}

static int open_text(const struct request_state *state, const char *text, struct content *content)
{
	const struct seal_place place = place_of(state);
	const struct seal_key *key;
	char sealed[TEXT_BYTES + 3];
	struct secret plain;
	struct err ignored;
	long n;
	int ret;

	if (strlen(text) >= TEXT_BYTES)
		return -1;
	n = base64url_decode(span_of(text), sealed);
	if (n < 0)
		return -1;
	key = seal_find_key(state->tenant->keys, state->tenant->n_keys,
			    (struct span){ sealed, (size_t)n }, &ignored);
	if (key == NULL ||
	    seal_open(key, &place, (struct span){ sealed, (size_t)n }, &plain, &ignored) < 0)
		return -1;
	ret = plain.n == sizeof(*content) ? 0 : -1;
	if (ret == 0)
		memcpy(content, plain.reveal, sizeof(*content));
	secret_fini(&plain);
	return ret;
}

int request_state_check(const struct request_state *state, const char *text, int64_t now_s,
			struct err *err)
{
	uint8_t digest[SHA256_BYTES];
	struct content content;

	digest_of(state, digest);
	if (open_text(state, text, &content) < 0 ||
	    !crypto_equal(content.digest, digest, sizeof(digest)))
		return err_set(err, ERR_INVALID_PARAMS, "requestState is not of this call");
	if ((int64_t)be64toh(content.ends_at) < now_s)
		return err_set(err, ERR_TIMEOUT, "requestState has expired");
	return 0;
}
