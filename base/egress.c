/* SPDX-License-Identifier: Apache-2.0 */
#include "base/egress.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crypto.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/url.h"

#define MAX_CANONICAL_BYTES 16777216 /* of all exceptions of a policy as text */

struct address {
	sa_family_t family; /* AF_UNSPEC: a name, or a family that is never allowed */
	uint8_t bytes[16];
};

struct exception {
	char host[URL_HOST_BYTES];
	struct address address; /* of a host that is a literal */
	uint16_t port;
};

struct egress_policy {
	unsigned refs;
	bool allow_loopback;
	uint64_t id;
	struct exception *exceptions;
	size_t n_exceptions;
};

/* Not for the public Internet. IANA special-purpose registry (RFC 6890 and updates). */
static const struct {
	uint32_t network;
	unsigned bits;
} denied_v4[] = {
	{0x00000000,  8 }, /* 0.0.0.0/8, this network: Linux connects it to itself */
	{ 0x0a000000, 8 }, /* 10.0.0.0/8, private */
	{ 0x64400000, 10}, /* 100.64.0.0/10, carrier NAT */
	{ 0x7f000000, 8 }, /* 127.0.0.0/8, loopback */
	{ 0xa83f8110, 32}, /* 168.63.129.16, a cloud's wire server in public range */
	{ 0xa9fe0000, 16}, /* 169.254.0.0/16, link-local: cloud metadata */
	{ 0xac100000, 12}, /* 172.16.0.0/12, private */
	{ 0xc0000000, 24}, /* 192.0.0.0/24, protocol assignments */
	{ 0xc0000200, 24}, /* 192.0.2.0/24, documentation */
	{ 0xc0586300, 24}, /* 192.88.99.0/24, 6to4 relays */
	{ 0xc0a80000, 16}, /* 192.168.0.0/16, private */
	{ 0xc6120000, 15}, /* 198.18.0.0/15, benchmarking */
	{ 0xc6336400, 24}, /* 198.51.100.0/24, documentation */
	{ 0xcb007100, 24}, /* 203.0.113.0/24, documentation */
	{ 0xe0000000, 3 }, /* 224.0.0.0/3, multicast, reserved, broadcast */
};

/* Inside 2000::/3, outside of which nothing is public; by the upper 64 bits. */
static const struct {
	uint64_t network;
	unsigned bits;
} denied_v6[] = {
	{0x2001000000000000,  23}, /* 2001::/23, protocol assignments with Teredo */
	{ 0x20010db800000000, 32}, /* 2001:db8::/32, documentation */
	{ 0x2002000000000000, 16}, /* 2002::/16, 6to4: an IPv4 address in disguise */
	{ 0x3fff000000000000, 20}, /* 3fff::/20, documentation */
};

static uint64_t big_endian(const uint8_t *bytes, size_t n)
{
	uint64_t number = 0;

	for (size_t i = 0; i < n; i++)
		number = number << 8 | bytes[i];
	return number;
}

static bool v4_is_public(uint32_t address)
{
	for (size_t i = 0; i < sizeof(denied_v4) / sizeof(denied_v4[0]); i++) {
		if ((address ^ denied_v4[i].network) >> (32 - denied_v4[i].bits) == 0)
			return false;
	}
	return true;
}

static bool v6_is_public(uint64_t upper)
{
	if (upper >> 61 != 1)
		return false;
	for (size_t i = 0; i < sizeof(denied_v6) / sizeof(denied_v6[0]); i++) {
		if ((upper ^ denied_v6[i].network) >> (64 - denied_v6[i].bits) == 0)
			return false;
	}
	return true;
}

static bool is_public(const struct address *address)
{
	switch (address->family) {
	case AF_INET:
		return v4_is_public((uint32_t)big_endian(address->bytes, 4));
	case AF_INET6:
		return v6_is_public(big_endian(address->bytes, 8));
	default:
		return false;
	}
}

static bool is_loopback(const struct address *address)
{
	static const uint8_t loopback6[16] = { [15] = 1 };

	switch (address->family) {
	case AF_INET:
		return address->bytes[0] == 127;
	case AF_INET6:
		return memcmp(address->bytes, loopback6, sizeof(loopback6)) == 0;
	default:
		return false;
	}
}

static bool address_equal(const struct address *a, const struct address *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static struct address address_of_host(const char *host)
{
	struct address address = { .family = AF_UNSPEC };

	if (inet_pton(AF_INET, host, address.bytes) == 1)
		address.family = AF_INET;
	else if (inet_pton(AF_INET6, host, address.bytes) == 1)
		address.family = AF_INET6;
	return address;
}

static struct address address_of_socket(const struct sockaddr *from)
{
	struct address address = { .family = AF_UNSPEC };

	if (from->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, from, sizeof(in));
		memcpy(address.bytes, &in.sin_addr, sizeof(in.sin_addr));
		address.family = AF_INET;
	} else if (from->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, from, sizeof(in6));
		memcpy(address.bytes, &in6.sin6_addr, sizeof(in6.sin6_addr));
		address.family = AF_INET6;
	}
	return address;
}

/* RFC 6761 6.3. */
static bool is_localhost_name(const char *host)
{
	size_t n = strlen(host);

	return text_equal_nocase(host, "localhost") ||
	       (n > 10 && text_equal_nocase(host + n - 10, ".localhost"));
}

static const struct exception *exception_find(const struct egress_policy *policy, const char *host,
					      uint16_t port)
{
	struct address literal = address_of_host(host);

	for (size_t i = 0; i < policy->n_exceptions; i++) {
		const struct exception *exception = &policy->exceptions[i];

		if (exception->port != port)
			continue;
		if (literal.family != AF_UNSPEC ? address_equal(&exception->address, &literal)
						: text_equal_nocase(exception->host, host))
			return exception;
	}
	return NULL;
}

static int exception_parse(const char *entry, struct exception *exception, struct err *err)
{
	const char *colon = strrchr(entry, ':');
	const char *bracket = strrchr(entry, ']');
	char as_url[URL_MAX_BYTES + 1];
	struct url url;
	struct err why;

	if (colon == NULL || colon[1] == '\0' || (bracket != NULL && bracket > colon) ||
	    strpbrk(entry, "/?") != NULL || strlen(entry) > URL_HOST_BYTES + 8)
		return err_set(err, ERR_BAD_REQUEST,
			       "egress exception \"%s\" must be host:port or [v6]:port", entry);
	snprintf(as_url, sizeof(as_url), "https://%s/", entry);
	if (url_parse(as_url, &url, &why) < 0)
		return err_set(err, ERR_BAD_REQUEST, "egress exception \"%s\": %s", entry,
			       why.text);
	snprintf(exception->host, sizeof(exception->host), "%s", url.host);
	exception->address = address_of_host(url.host);
	exception->port = url.port;
	return 0;
}

static int exception_order(const void *a, const void *b)
{
	const struct exception *one = a;
	const struct exception *other = b;
	int order = strcmp(one->host, other->host);

	return order != 0 ? order : (int)one->port - (int)other->port;
}

/* Of the content, so that reloading an equal policy keeps its connections. */
static uint64_t compute_id(const struct egress_policy *policy)
{
	uint8_t digest[SHA256_BYTES];
	struct buf text;

	buf_init(&text, MAX_CANONICAL_BYTES);
	buf_printf(&text, "loopback %d\n", policy->allow_loopback);
	for (size_t i = 0; i < policy->n_exceptions; i++)
		buf_printf(&text, "%s %u\n", policy->exceptions[i].host,
			   policy->exceptions[i].port);
	assert(!text.overflow);
	crypto_sha256(text.data, text.len, digest);
	buf_fini(&text);
	return big_endian(digest, 8);
}

struct egress_policy *egress_policy_new(const char *const *allow, size_t n, bool allow_loopback,
					struct err *err)
{
	struct egress_policy *policy = mem_new(sizeof(*policy));

	policy->refs = 1;
	policy->allow_loopback = allow_loopback;
	policy->exceptions = mem_new_array(n > 0 ? n : 1, sizeof(policy->exceptions[0]));
	for (; policy->n_exceptions < n; policy->n_exceptions++) {
		size_t i = policy->n_exceptions;

		if (exception_parse(allow[i], &policy->exceptions[i], err) < 0) {
			egress_policy_unref(&policy);
			return NULL;
		}
	}
	qsort(policy->exceptions, n, sizeof(policy->exceptions[0]), exception_order);
	policy->id = compute_id(policy);
	return policy;
}

struct egress_policy *egress_policy_ref(struct egress_policy *policy)
{
	assert(policy->refs > 0);
	policy->refs++;
	return policy;
}

void egress_policy_unref(struct egress_policy **policy)
{
	struct egress_policy *was = *policy;

	if (was == NULL)
		return;
	*policy = NULL;
	assert(was->refs > 0);
	if (--was->refs > 0)
		return;
	free(was->exceptions);
	free(was);
}

uint64_t egress_policy_id(const struct egress_policy *policy)
{
	return policy->id;
}

int egress_check_url(const struct egress_policy *policy, const char *text, struct err *err)
{
	struct address literal;
	struct url url;

	if (url_parse(text, &url, err) < 0)
		return -1;
	if (policy == NULL)
		return err_set(err, ERR_FORBIDDEN, "there is no egress policy");
	literal = address_of_host(url.host);
	if (exception_find(policy, url.host, url.port) != NULL)
		return 0;
	if (policy->allow_loopback && (is_loopback(&literal) || is_localhost_name(url.host)))
		return 0;
	if (!url.https)
		return err_set(err, ERR_FORBIDDEN,
			       "%s:%u needs https, or an egress exception for plain http", url.host,
			       url.port);
	if (literal.family != AF_UNSPEC && !is_public(&literal))
		return err_set(err, ERR_FORBIDDEN,
			       "%s:%u is no public address and has no egress exception", url.host,
			       url.port);
	return 0;
}

bool egress_allows(const struct egress_policy *policy, const char *host, uint16_t port,
		   const struct sockaddr *address)
{
	struct address to = address_of_socket(address);
	const struct exception *exception;

	if (policy == NULL || to.family == AF_UNSPEC)
		return false;
	exception = exception_find(policy, host, port);
	if (exception != NULL)
		return exception->address.family == AF_UNSPEC ||
		       address_equal(&exception->address, &to);
	if (policy->allow_loopback && is_loopback(&to))
		return true;
	return is_public(&to);
}
