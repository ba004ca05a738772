/* SPDX-License-Identifier: Apache-2.0 */
#include "gateway/http/guard.h"

#include <string.h>
#include <strings.h>

#include "base/span.h"

#define PORT_MAX_DIGITS 5

struct authority {
	struct span name; /* with the brackets of a v6 literal */
	struct span port; /* absent: none was given */
};

static bool is_name(struct span name, const char *permitted)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!letter && !(c >= '0' && c <= '9') && strchr(permitted, c) == NULL)
			return false;
	}
	return name.n > 0;
}

static bool is_port(struct span port)
{
	for (size_t i = 0; i < port.n; i++) {
		if (port.p[i] < '0' || port.p[i] > '9')
			return false;
	}
	return port.n > 0 && port.n <= PORT_MAX_DIGITS;
}

/* No user info, path, white space, list or empty port: whatever could be read in two ways. */
static bool parse_authority(const char *text, struct authority *out)
{
	struct span name = span_of(text);
	const char *end;

	*out = (struct authority){ 0 };
	if (text[0] == '[') {
		end = strchr(text, ']');
		if (end == NULL ||
		    !is_name((struct span){ text + 1, (size_t)(end - text) - 1 }, ":."))
			return false;
		end++;
		if (*end != '\0' && *end != ':')
			return false;
	} else {
		end = text + strcspn(text, ":");
		if (!is_name((struct span){ text, (size_t)(end - text) }, "-._"))
			return false;
	}
	name.n = (size_t)(end - text);
	out->name = name;
	if (*end == ':')
		out->port = span_of(end + 1);
	return out->port.p == NULL || is_port(out->port);
}

static bool same_name(struct span a, struct span b)
{
	return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static bool is_loopback(struct span name)
{
	return same_name(name, SPAN("localhost")) || span_is(name, "127.0.0.1") ||
	       span_is(name, "[::1]");
}

/* Clients leave the usual port of http and https out. */
static bool is_usual(struct span port)
{
	return span_is(port, "80") || span_is(port, "443");
}

static bool host_port_matches(struct span given, struct span allowed)
{
	if (allowed.p == NULL || span_eq(given, allowed))
		return true;
	return given.p == NULL && is_usual(allowed);
}

bool guard_host(const struct http_app *app, const char *host)
{
	struct authority given, allowed;

	if (host == NULL || !parse_authority(host, &given))
		return false;
	if (app->development && is_loopback(given.name))
		return true;
	for (size_t i = 0; i < app->n_allowed_hosts; i++) {
		if (parse_authority(app->allowed_hosts[i], &allowed) &&
		    same_name(given.name, allowed.name) &&
		    host_port_matches(given.port, allowed.port))
			return true;
	}
	return false;
}

/* The authority of an origin, with the port that its scheme implies. */
static bool parse_origin(const char *origin, struct authority *out, struct span *usual_port)
{
	if (strncasecmp(origin, "https://", 8) == 0) {
		*usual_port = SPAN("443");
		return parse_authority(origin + 8, out);
	}
	*usual_port = SPAN("80");
	return strncasecmp(origin, "http://", 7) == 0 && parse_authority(origin + 7, out);
}

bool guard_origin(const struct http_app *app, const char *origin)
{
	struct authority given, allowed;
	struct span usual_port;

	if (!parse_origin(origin, &given, &usual_port))
		return false;
	if (app->development && is_loopback(given.name))
		return true;
	if (given.port.p == NULL)
		given.port = usual_port;
	for (size_t i = 0; i < app->n_allowed_hosts; i++) {
		if (!parse_authority(app->allowed_hosts[i], &allowed) ||
		    !same_name(given.name, allowed.name))
			continue;
		if (allowed.port.p == NULL)
			allowed.port = usual_port;
		if (span_eq(given.port, allowed.port))
			return true;
	}
	return false;
}
