/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "gateway/app/cli.h"

static bool is_repeated(const struct cli_list *pairs, size_t i, size_t key_bytes)
{
	for (size_t j = 0; j < i; j++) {
		if (strncmp(pairs->items[i], pairs->items[j], key_bytes + 1) == 0)
			return true;
	}
	return false;
}

int args_write(const struct cli_list *pairs, struct buf *out, struct err *err)
{
	buf_add(out, "{");
	for (size_t i = 0; i < pairs->n; i++) {
		const char *pair = pairs->items[i];
		const char *equals = strchr(pair, '=');
		struct err no_json;
		struct span value;

		if (equals == NULL || equals == pair)
			return err_set(err, ERR_BAD_REQUEST, "-a wants k=v, not %s", pair);
		if (is_repeated(pairs, i, (size_t)(equals - pair)))
			return err_set(err, ERR_BAD_REQUEST, "-a %.*s is given twice",
				       (int)(equals - pair), pair);
		value = span_of(equals + 1);
		if (i > 0)
			buf_add(out, ",");
		buf_add_json_string(out, pair, (size_t)(equals - pair));
		buf_add(out, ":");
		if (span_check(value, NULL, &no_json) == 0)
			buf_add_span(out, value);
		else
			buf_add_json_string(out, value.p, value.n);
	}
	buf_add(out, "}");
	return out->overflow ? err_set(err, ERR_BAD_REQUEST, "the arguments are too large") : 0;
}
