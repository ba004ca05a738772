/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever the arguments and the schema are: what is kept is JSON for jansson without U+0000,
 * within the limit. Of a secret that is planted beside them, under a telling name, under one that
 * the schema marks, or as a token within a text, no twelve bytes are in it.
 * Whatever a text is: the secrets in it are found one behind the other, and it is over.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "audit/redact_scan.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

enum { MAX_BYTES = 4096, PIECE_BYTES = 12 };

#define SECRET "Pl4nted7Secret9Of2Th1rty5Bytes8x"

static const uint8_t key[REDACT_KEY_BYTES] = { 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool holds_piece(struct span bytes)
{
	for (size_t i = 0; i + PIECE_BYTES < sizeof(SECRET); i++) {
		if (memmem(bytes.p, bytes.n, &SECRET[i], PIECE_BYTES) != NULL)
			return true;
	}
	return false;
}

static void check_json(struct span text)
{
	json_error_t problem;
	/* Without JSON_ALLOW_NUL. Integers and reals over 64 bits are no fault. */
	json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY, &problem);

	assert(tree != NULL || json_error_code(&problem) == json_error_numeric_overflow);
	json_decref(tree);
}

static void check_kept(const struct redact_rules *rules, struct span text, bool planted)
{
	struct buf kept;

	buf_init(&kept, MAX_BYTES);
	redact_arguments(rules, text, MAX_BYTES, &kept);
	assert(!kept.overflow && kept.len > 0 && kept.len <= MAX_BYTES);
	check_json(buf_span(&kept));
	assert(!planted || !holds_piece(buf_span(&kept)));
	buf_fini(&kept);
}

/* `text` is valid: any value may stand beside the secrets, and within one. */
static void check_planted(struct span text)
{
	static const char schema[] =
		"{\"properties\":{\"m\":{\"items\":{\"format\":\"password\"}}}}";
	struct arena *arena = arena_new();
	const struct redact_rules rules = {
		.key = key,
		.schema = redact_schema_compile(arena, SPAN(schema)),
	};
	char *around = mem_printf(
		"{\"a\":%.*s,\"x_ToKen\":[%.*s,\"" SECRET "\",{\"b\":\"" SECRET
		"\"}],\"m\":[\"" SECRET "\",[%.*s]],\"c\":{\"d\":[{\"p\\u0061ssword\" : \"" SECRET
		"\"},\"ghp_" SECRET "\"]},\"e\":\"see \\\"" SECRET "\\\" there\",\"" SECRET "\":1}",
		(int)text.n, text.p, (int)text.n, text.p, (int)text.n, text.p);

	check_kept(&rules, span_of(around), true);
	free(around);
	arena_free(&arena);
}

static void check_schema(struct span text)
{
	struct arena *arena = arena_new();
	const struct redact_rules rules = { .schema = redact_schema_compile(arena, text) };

	check_kept(&rules, text, false);
	arena_free(&arena);
}

static void check_text(struct span text)
{
	static const struct redact_rules everybody = { 0 };
	struct scan scan = { .rules = &everybody, .text = text };
	struct secret_place place;
	size_t from = 0;
	struct buf out;

	while (scan_next(&scan, &place)) {
		assert(place.n > 0 && place.at >= from && place.at + place.n <= text.n);
		from = place.at + place.n;
	}
	buf_init(&out, (size_t)1 << 20);
	assert(redact_text(&everybody, text, text.n + 1, &out) == (from > 0));
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct redact_rules everybody = { 0 };
	struct span text = { (const char *)data, size };
	struct err err;

	check_text(text);
	check_kept(&everybody, text, false);
	if (span_check(text, NULL, &err) < 0)
		return 0;
	check_schema(text);
	if (!holds_piece(text))
		check_planted(text);
	return 0;
}
