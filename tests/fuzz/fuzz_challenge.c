/* SPDX-License-Identifier: Apache-2.0 */

/*
 * oauth/challenge.h on any bytes: what it reads is printable and within its ceilings, and the same
 * values in the plainest spelling are read the same.
 */

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "oauth/challenge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = { "resource_metadata", "scope", "error", "error_description" };
enum { N_NAMES = sizeof(names) / sizeof(names[0]), MAX_PLAIN_BYTES = 1 << 20 };

static void values_of(const struct challenge *challenge, const char *values[N_NAMES])
{
	values[0] = challenge->resource_metadata;
	values[1] = challenge->scope;
	values[2] = challenge->error;
	values[3] = challenge->error_description;
}

static void add_quoted(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s%s=\"", out->len > strlen("Bearer ") ? ", " : "", name);
	for (; *value != '\0'; value++) {
		assert(*value >= ' ' && *value <= '~');
		if (*value == '"' || *value == '\\')
			buf_add(out, "\\");
		buf_append(out, value, 1);
	}
	buf_add(out, "\"");
}

static void assert_same(const struct challenge *a, const struct challenge *b)
{
	const char *of_a[N_NAMES];
	const char *of_b[N_NAMES];

	values_of(a, of_a);
	values_of(b, of_b);
	for (size_t i = 0; i < N_NAMES; i++) {
		assert((of_a[i] == NULL) == (of_b[i] == NULL));
		assert(of_a[i] == NULL || strcmp(of_a[i], of_b[i]) == 0);
	}
}

static void respell(const struct challenge *challenge, struct arena *arena)
{
	const char *values[N_NAMES];
	struct challenge again;
	struct buf plain;
	struct err err;

	values_of(challenge, values);
	buf_init(&plain, MAX_PLAIN_BYTES);
	buf_add(&plain, "Bearer ");
	for (size_t i = 0; i < N_NAMES; i++) {
		assert(challenge->bearer || values[i] == NULL);
		if (values[i] == NULL)
			continue;
		assert(values[i][0] != '\0' && strlen(values[i]) <= CHALLENGE_MAX_VALUE_BYTES);
		add_quoted(&plain, names[i], values[i]);
	}
	if (challenge->bearer && plain.len <= CHALLENGE_MAX_BYTES) {
		int ret = challenge_parse(buf_span(&plain), arena, &again, &err);

		assert(ret == 0 && again.bearer);
		assert_same(challenge, &again);
	}
	buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena *arena = arena_new();
	struct challenge challenge;
	struct err err;

	if (challenge_parse((struct span){ (const char *)data, size }, arena, &challenge, &err) ==
	    0)
		respell(&challenge, arena);
	else
		assert(err.code == ERR_UPSTREAM && err.text[0] != '\0');
	arena_free(&arena);
	return 0;
}
