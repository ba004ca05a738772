/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whatever the arguments are: what is kept is JSON for jansson without U+0000, within the limit,
 * and redacting it again changes nothing.
 * A secret planted beside them under a telling name, or as a token, is never in it.
 */

#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "audit/redact.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/span.h"

enum { MAX_BYTES = 2048 };

#define SECRET "pl4nted"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool holds(struct span bytes, const char *text)
{
	return memmem(bytes.p, bytes.n, text, strlen(text)) != NULL;
}

static void check_json(struct span text)
{
	json_error_t problem;
	/* Without JSON_ALLOW_NUL. Integers and reals over 64 bits are no fault. */
	json_t *tree = json_loadb(text.p, text.n, JSON_DECODE_ANY, &problem);

	assert(tree != NULL || json_error_code(&problem) == json_error_numeric_overflow);
	json_decref(tree);
}

static void redact_twice(struct span text, struct buf *once)
{
	struct buf twice;

	redact_arguments(text, MAX_BYTES, once);
	assert(!once->overflow && once->len > 0 && once->len <= MAX_BYTES);
	check_json(buf_span(once));
	buf_init(&twice, MAX_BYTES);
	redact_arguments(buf_span(once), MAX_BYTES, &twice);
	/* U+FFFD for U+0000 may make two names the same, or one too long to look into. */
	assert(holds(text, "\\u0000") || span_eq(buf_span(once), buf_span(&twice)));
	buf_fini(&twice);
}

/* `text` is valid: any value may stand beside the secrets, and within one. */
static void check_planted(struct span text)
{
	char *around = mem_printf("{\"a\":%.*s,\"x_ToKen\":[%.*s,\"" SECRET "\",{\"b\":\"" SECRET
				  "\"}],\"c\":{\"d\":["
				  "{\"p\\u0061ssword\" : \"" SECRET "\"},\"ghp_" SECRET
				  "\"]},\"e\":\"eyJ" SECRET ".x\"}",
				  (int)text.n, text.p, (int)text.n, text.p);
	struct buf kept;

	buf_init(&kept, MAX_BYTES);
	redact_twice(span_of(around), &kept);
	assert(!holds(buf_span(&kept), SECRET));
	buf_fini(&kept);
	free(around);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = { (const char *)data, size };
	struct buf kept;
	struct err err;

	buf_init(&kept, MAX_BYTES);
	redact_twice(text, &kept);
	buf_fini(&kept);
	if (span_check(text, NULL, &err) == 0 && !holds(text, SECRET))
		check_planted(text);
	return 0;
}
