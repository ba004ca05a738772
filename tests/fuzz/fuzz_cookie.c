/* SPDX-License-Identifier: Apache-2.0 */

/* Any Cookie header: what is taken from it is a token of ours, which stands in it; and any text
 * escaped for a page has no character left that means something there. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gateway/http/cookie.h"
#include "gateway/http/page.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_cookie(const char *text, bool https)
{
	char token[BROWSER_TOKEN_BYTES];

	for (int cookie = COOKIE_SESSION; cookie <= COOKIE_CONNECT; cookie++) {
		if (!cookie_read(text, (enum cookie)cookie, https, token))
			continue;
		assert(strlen(token) == BROWSER_TOKEN_BYTES - 1);
		assert(strstr(text, token) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_strndup((const char *)data, size);
	struct buf out;

	try_cookie(text, true);
	try_cookie(text, false);
	buf_init(&out, 6 * size + 1);
	page_escape(text, &out);
	assert(!out.overflow);
	assert(strpbrk(buf_str(&out), "<>\"'") == NULL);
	buf_fini(&out);
	free(text);
	return 0;
}
