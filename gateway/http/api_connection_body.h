/* SPDX-License-Identifier: Apache-2.0 */
#ifndef GATEWAY_HTTP_API_CONNECTION_BODY_H
#define GATEWAY_HTTP_API_CONNECTION_BODY_H

/*
 * Connections as the admin API writes and reads them: a body checked member by member, a stored
 * row as JSON. Pure: opens and seals nothing.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/egress.h"
#include "base/mem.h"
#include "gateway/http/api_body.h"

#define CONNECTION_DEFAULT_CONNECT_MS 10000
#define CONNECTION_DEFAULT_CALL_MS    60000
#define CONNECTION_DEFAULT_HEADER     "X-API-Key" /* of auth.mode api_key */

enum credential_change {
	CREDENTIAL_NONE,
	CREDENTIAL_NEW,
	CREDENTIAL_KEPT, /* the stored one: the body says API_REDACTED */
};

struct connection_header {
	const char *name;
	const char *value; /* NULL: the stored one is kept */
};

/* Texts are borrowed from the body, or lie in the arena. */
struct connection_body {
	const char *name;
	const char *description;
	bool enabled;
	const char *url;
	const char *era;
	const char *auth_mode;
	const char *auth_header; /* NULL unless auth_mode is api_key */
	enum credential_change credential_change;
	const char *credential; /* CREDENTIAL_NEW */
	const char *oauth;	/* settings as JSON; NULL unless auth_mode is oauth */
	enum credential_change oauth_secret_change;
	const char *oauth_secret; /* CREDENTIAL_NEW */
	struct connection_header headers[API_MAX_HEADERS];
	size_t n_headers;
	int64_t connect_timeout_ms;
	int64_t call_timeout_ms;
	const char *session_scope;
	const char *trust_level;
	const char *tools_allow; /* JSON */
	const char *tools_deny;
	const char *audit_level;
	const char *audit_redact; /* JSON */
};

/* What the body replaces, as far as it matters. */
struct connection_before {
	const char *url;
	bool has_credential;
	const json_t *header_names; /* array of strings */
	const json_t *oauth;	    /* as stored; NULL: auth_mode was another */
	bool has_oauth_secret;
};

/* before is NULL for a new connection. An address that the policy refuses is a fault, unless it
 * stood there before: else a connection could not even be disabled once its exception is gone. */
int connection_body_parse(const json_t *body, const struct connection_before *before,
			  const struct egress_policy *egress, struct arena *arena,
			  struct connection_body *out, struct api_fault *fault) MUST_CHECK;

/* A stored row. */
struct connection_view {
	const char *id;
	const char *name;
	const char *description;
	bool enabled;
	const char *transport;
	const char *url;
	const char *era;
	const char *auth_mode;
	const char *auth_header; /* or NULL */
	bool has_credential;
	const char *oauth; /* JSON, or NULL */
	bool has_oauth_secret;
	const char *header_names; /* JSON, as are the lists of tools */
	int64_t connect_timeout_ms;
	int64_t call_timeout_ms;
	const char *session_scope;
	const char *trust_level;
	const char *tools_allow;
	const char *tools_deny;
	const char *audit_level;
	const char *audit_redact;
	int64_t version;
	const char *created_at;
	const char *updated_at;
};
/* Secrets show as API_REDACTED; without `secrets`, not even whether there are any. Returns a new
 * reference. */
json_t *connection_body_show(const struct connection_view *view, bool secrets);

/* A row as connection_body_show writes it, changed by an RFC 7396 patch. What a new auth.mode has
 * no use for goes with the old one. Returns a new reference. */
json_t *connection_body_merge(json_t *shown, json_t *patch);

/* Names that the gateway or HTTP itself gives a meaning (tests read it). */
bool connection_header_denied(const char *name);

#endif
