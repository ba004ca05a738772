/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/core/names.h"

#include <stdint.h>
#include <string.h>

#include "base/crypto.h"

#define HASH_DIGITS 6

static bool is_slug_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool name_valid_n(const char *name, size_t n)
{
	if (n == 0 || n > NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < n; i++) {
		bool separator = name[i] == '_' || name[i] == '-';

		if (!separator && !is_slug_byte(name[i]))
			return false;
		/* A separator stands between two slug bytes. */
		if (separator && (i == 0 || i + 1 == n || !is_slug_byte(name[i - 1])))
			return false;
	}
	return true;
}

bool name_valid(const char *name)
{
	return name_valid_n(name, strlen(name));
}

static bool is_exposable(char c)
{
	return is_slug_byte(c) || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
}

static bool is_exposed_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++) {
		if (!is_exposable(name[i]))
			return false;
	}
	return n <= EXPOSED_MAX_BYTES;
}

char *name_expose(struct arena *arena, const char *connection, const char *tool)
{
	char *full = arena_printf(arena, "%s__%s", connection, tool);
	uint8_t digest[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];
	size_t keep;

	if (is_exposed_name(full))
		return full;
	crypto_sha256(full, strlen(full), digest);
	hex_encode(digest, sizeof(digest), hex);
	keep = strlen(full);
	if (keep > EXPOSED_MAX_BYTES - HASH_DIGITS - 1)
		keep = EXPOSED_MAX_BYTES - HASH_DIGITS - 1;
	for (size_t i = 0; i < keep; i++) {
		if (!is_exposable(full[i]))
			full[i] = '_';
	}
	return arena_printf(arena, "%.*s_%.*s", (int)keep, full, HASH_DIGITS, hex);
}

const char *name_split(const char *exposed, char *connection)
{
	const char *separator = strstr(exposed, "__");
	size_t n;

	if (separator == NULL)
		return NULL;
	n = (size_t)(separator - exposed);
	if (!name_valid_n(exposed, n))
		return NULL;
	memcpy(connection, exposed, n);
	connection[n] = '\0';
	return separator + 2;
}
