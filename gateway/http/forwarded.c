/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/forwarded.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#include "base/span.h"

#define HOP_MAX_BYTES 64

const char *address_canonical(const char *text, char out[INET6_ADDRSTRLEN])
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return inet_ntop(AF_INET, &v4, out, INET6_ADDRSTRLEN);
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return NULL;
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		return inet_ntop(AF_INET, &v6.s6_addr[12], out, INET6_ADDRSTRLEN);
	return inet_ntop(AF_INET6, &v6, out, INET6_ADDRSTRLEN);
}

static bool is_trusted(const char *address, const char *const *trusted, size_t n_trusted)
{
	char canonical[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < n_trusted; i++) {
		if (address_canonical(trusted[i], canonical) != NULL &&
		    strcmp(canonical, address) == 0)
			return true;
	}
	return false;
}

/* Cuts the last element off a comma-separated list, without the white space around it. */
static struct span last_hop(struct span *list)
{
	const char *comma = memrchr(list->p, ',', list->n);
	size_t start = comma == NULL ? 0 : (size_t)(comma - list->p) + 1;
	struct span hop = { list->p + start, list->n - start };

	list->n = comma == NULL ? 0 : start - 1;
	while (hop.n > 0 && (hop.p[0] == ' ' || hop.p[0] == '\t')) {
		hop.p++;
		hop.n--;
	}
	while (hop.n > 0 && (hop.p[hop.n - 1] == ' ' || hop.p[hop.n - 1] == '\t'))
		hop.n--;
	return hop;
}

/* "192.0.2.1", "192.0.2.1:1234", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:1234". */
static const char *hop_address(struct span hop, char out[INET6_ADDRSTRLEN])
{
	char text[HOP_MAX_BYTES];
	char *end;

	if (hop.n == 0 || hop.n >= sizeof(text))
		return NULL;
	memcpy(text, hop.p, hop.n);
	text[hop.n] = '\0';
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (end == NULL || (end[1] != '\0' && end[1] != ':'))
			return NULL;
		*end = '\0';
		return address_canonical(text + 1, out);
	}
	end = strchr(text, ':');
	if (end != NULL && strchr(end + 1, ':') == NULL)
		*end = '\0';
	return address_canonical(text, out);
}

const char *forwarded_source(const char *peer, const char *x_forwarded_for,
			     const char *const *trusted, size_t n_trusted,
			     char out[INET6_ADDRSTRLEN])
{
	struct span list = span_of(x_forwarded_for);
	char hop[INET6_ADDRSTRLEN];

	memcpy(out, peer, strlen(peer) + 1);
	while (list.n > 0 && is_trusted(out, trusted, n_trusted)) {
		if (hop_address(last_hop(&list), hop) == NULL)
			break;
		memcpy(out, hop, strlen(hop) + 1);
	}
	return out;
}
