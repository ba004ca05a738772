/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "oauth/discovery_priv.h"

static void to_server(struct discovery *discovery, const char *issuer)
{
	discovery->stage = STAGE_SERVER;
	discovery->issuer = issuer;
	discovery->named = false;
	discovery->at = 0;
	discovery->candidates = well_known_server(discovery->arena, issuer);
}

/* A document on the resource's own origin may use what the resource itself uses. */
static int check_named(struct discovery *discovery, const char *url, struct err *err)
{
	if (metadata_covers(well_known_origin(discovery->arena, discovery->resource_url), url))
		return 0;
	return metadata_check_url("resource_metadata", url, discovery->allow_http, err);
}

static int to_resource(struct discovery *discovery, struct err *err)
{
	const char *named = discovery->challenge.resource_metadata;

	discovery->stage = STAGE_RESOURCE;
	discovery->named = named != NULL;
	discovery->at = 0;
	if (named == NULL) {
		discovery->candidates =
			well_known_resource(discovery->arena, discovery->resource_url);
		return 0;
	}
	discovery->candidates = (struct well_known){ .urls = { named }, .n = 1 };
	return check_named(discovery, named, err);
}

/* One that cannot be read is none: the well-known places are left. */
static void read_challenge(struct discovery *discovery, struct span header)
{
	struct err ignored;

	if (challenge_parse(header, discovery->arena, &discovery->challenge, &ignored) < 0)
		discovery->challenge = (struct challenge){ 0 };
}

int discovery_begin(struct discovery *discovery, struct span challenge, struct err *err)
{
	if (challenge.p != NULL)
		read_challenge(discovery, challenge);
	return to_resource(discovery, err);
}

static int read_probe(struct discovery *discovery, const struct fetch_answer *answer,
		      struct err *err)
{
	if (answer->err != NULL) {
		*err = *answer->err;
		return err_prefix(err, "resource");
	}
	if (answer->status != 401 && answer->status != 403) {
		if (discovery->second_probe_body.p == NULL)
			return discovery_begin(discovery, span_of(NULL), err);
		discovery->stage = STAGE_AGAIN;
		return 0;
	}
	return discovery_begin(discovery, span_of(answer->challenge), err);
}

enum find {
	FIND_DOCUMENT,
	FIND_NOTHING, /* nothing lies there: the next candidate */
	FIND_FAILURE,
};

/* Of a place that was only guessed, a page or a redirect means that nothing lies there. */
static enum find look(const struct discovery *discovery, const struct fetch_answer *answer,
		      struct err *err)
{
	bool page =
		answer->status == 200 && answer->body.n > 0 && !document_is_object(answer->body);
	bool busy = answer->status >= 500 || answer->status == 429;

	if (!discovery->named && page)
		return FIND_NOTHING;
	if (answer->err != NULL) {
		*err = *answer->err;
		return FIND_FAILURE;
	}
	if (answer->status == 200 && document_is_object(answer->body))
		return FIND_DOCUMENT;
	if (!discovery->named && !busy)
		return FIND_NOTHING;
	if (answer->status == 200)
		err_set(err, ERR_UPSTREAM, "no JSON object");
	else
		err_set(err, ERR_UPSTREAM, "answered %d", answer->status);
	return FIND_FAILURE;
}

static int choose_issuer(struct discovery *discovery, const struct document_list *servers,
			 struct err *err)
{
	const char *issuer = discovery->pinned;

	if (issuer != NULL && servers->n > 0 && !document_list_has(servers, issuer))
		return err_set(err, ERR_UPSTREAM,
			       "the resource names other authorization servers than the "
			       "connection's issuer");
	if (issuer == NULL && servers->n == 0)
		return err_set(err, ERR_UPSTREAM,
			       "protected resource metadata: no authorization server is named");
	to_server(discovery, issuer != NULL ? issuer : servers->items[0]);
	return 0;
}

static int take_resource(struct discovery *discovery, struct span text, struct err *err)
{
	const struct metadata_input input = {
		.text = text,
		.of = discovery->resource_url,
		.allow_http = discovery->allow_http,
	};
	struct resource_metadata metadata;

	if (metadata_parse_resource(&input, discovery->arena, &metadata, err) < 0)
		return -1;
	discovery->resource = metadata.resource;
	discovery->scope = metadata.scope;
	return choose_issuer(discovery, &metadata.authorization_servers, err);
}

/* MCP 2025-03-26: a server without such a document is its own authorization server. */
static int without_resource(struct discovery *discovery, struct err *err)
{
	const char *origin = well_known_origin(discovery->arena, discovery->resource_url);

	discovery->assumed = discovery->pinned == NULL;
	if (discovery->assumed && metadata_check_issuer(origin, discovery->allow_http, err) < 0)
		return -1;
	to_server(discovery, discovery->assumed ? origin : discovery->pinned);
	return 0;
}

static int read_resource(struct discovery *discovery, const struct fetch_answer *answer,
			 struct err *err)
{
	switch (look(discovery, answer, err)) {
	case FIND_DOCUMENT:
		return take_resource(discovery, answer->body, err);
	case FIND_NOTHING:
		if (++discovery->at < discovery->candidates.n)
			return 0;
		return without_resource(discovery, err);
	case FIND_FAILURE:
		break;
	}
	return err_prefix(err, "protected resource metadata");
}

static void found(struct discovery *discovery)
{
	struct oauth_server *server = &discovery->server;

	server->resource = discovery->resource;
	server->scope =
		discovery->challenge.scope != NULL ? discovery->challenge.scope : discovery->scope;
	discovery->stage = STAGE_FOUND;
}

static int take_server(struct discovery *discovery, struct span text, struct err *err)
{
	const struct metadata_input input = {
		.text = text,
		.of = discovery->issuer,
		.any_slash = discovery->assumed,
		.allow_http = discovery->allow_http,
		.grant = discovery->grant,
	};

	if (metadata_parse_server(&input, discovery->arena, &discovery->server, err) < 0)
		return -1;
	found(discovery);
	return 0;
}

/* MCP 2025-03-26 again: without any document the endpoints have fixed places. */
static int without_server(struct discovery *discovery, struct err *err)
{
	const char *origin = discovery->issuer;

	if (!discovery->assumed)
		return err_set(err, ERR_UPSTREAM, "the authorization server publishes no metadata");
	discovery->server = (struct oauth_server){
		.issuer = origin,
		.authorization_url = arena_printf(discovery->arena, "%s/authorize", origin),
		.token_url = arena_printf(discovery->arena, "%s/token", origin),
		.registration_url = arena_printf(discovery->arena, "%s/register", origin),
	};
	found(discovery);
	return 0;
}

static int read_server(struct discovery *discovery, const struct fetch_answer *answer,
		       struct err *err)
{
	switch (look(discovery, answer, err)) {
	case FIND_DOCUMENT:
		return take_server(discovery, answer->body, err);
	case FIND_NOTHING:
		if (++discovery->at < discovery->candidates.n)
			return 0;
		return without_server(discovery, err);
	case FIND_FAILURE:
		break;
	}
	return err_prefix(err, "authorization server metadata");
}

typedef int reader(struct discovery *discovery, const struct fetch_answer *answer, struct err *err);

static reader *const readers[] = {
	[STAGE_PROBE] = read_probe,
	[STAGE_AGAIN] = read_probe,
	[STAGE_RESOURCE] = read_resource,
	[STAGE_SERVER] = read_server,
};

int discovery_read(struct discovery *discovery, const struct fetch_answer *answer, struct err *err)
{
	return readers[discovery->stage](discovery, answer, err);
}
