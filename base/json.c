/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include <assert.h>
#include <string.h>

json_t *json_parse(struct span text, struct err *err)
{
	json_error_t problem;
	json_t *value;

	if (span_check(text, NULL, err) < 0)
		return NULL;
	value = json_loadb(text.p, text.n,
			   JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
	/* Only what is valid and still too much for a tree comes here. jansson's own text would
	 * quote the input. */
	if (value == NULL && json_error_code(&problem) == json_error_numeric_overflow)
		err_set(err, ERR_PARSE, "the number that ends at byte %d is out of range",
			problem.position);
	else if (value == NULL)
		err_set(err, ERR_PARSE, "unsupported JSON before byte %d", problem.position);
	return value;
}

static int on_bytes(const char *p, size_t n, void *ctx)
{
	struct buf *out = ctx;

	return buf_append(out, p, n);
}

int json_write(const json_t *value, struct buf *out)
{
	assert(value != NULL);
	return json_dump_callback(value, on_bytes, out, JSON_COMPACT | JSON_ENCODE_ANY);
}

const char *json_text(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	/* Read as a C string, "admin\u0000x" would pass for "admin". */
	if (text == NULL || strlen(text) != json_string_length(value))
		return NULL;
	return text;
}
