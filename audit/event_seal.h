/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_EVENT_SEAL_H
#define AUDIT_EVENT_SEAL_H

/*
 * Seals of events: links of the chain that fix ranges of rows which were written in the transaction
 * of what they tell of, and so without the book.
 *
 * What is digested is said by one SQL expression for each log, of named columns and functions of
 * pg_catalog only: nothing that somebody puts into the database changes it.
 */

#include <stdint.h>

#include "audit/kind.h"
#include "base/buf.h"
#include "base/crypto.h"
#include "base/err.h"
#include "base/span.h"

#define EVENT_SEAL_SOURCE_BYTES 32
/* Events in one seal at most. */
#define EVENT_SEAL_EVENTS 500

struct event_seal {
	char source[EVENT_SEAL_SOURCE_BYTES]; /* of audit.event_logs */
	uint64_t first_n, last_n;
	uint8_t digest[SHA256_BYTES];
	int64_t sealed_us;
};

#define EVENT_SEAL_RECORD_BYTES (1 + 3 * 8 + SHA256_BYTES + EVENT_SEAL_SOURCE_BYTES)
/* A record of the spool, without its link. */
void event_seal_encode(const struct event_seal *seal, struct buf *out);
/* With or without a link. Never trusts the bytes. */
int event_seal_decode(struct span record, struct event_seal *out, struct err *err) MUST_CHECK;
/* What the chain is over. */
void event_seal_canonical(const struct event_seal *seal, struct buf *out);
#define EVENT_SEAL_CANONICAL_BYTES 128

extern const struct kind kind_event_seals;

/* The digest of the events $2 to $3 of the log $1, in hex; NULL: there are none of them, or no such
 * log. */
extern const char event_seal_digest_sql[];
/* The same as a scalar expression over s.source, s.first_n and s.last_n. */
#define EVENT_SEAL_DIGEST                                                                          \
	"CASE s.source"                                                                            \
	" WHEN 'auth' THEN (SELECT " EVENT_SEAL_SHA256(                                            \
		EVENT_SEAL_AUTH) " FROM audit.auth_event_log e" EVENT_SEAL_RANGE                   \
				 " WHEN 'admin' THEN (SELECT " EVENT_SEAL_SHA256(                  \
					 EVENT_SEAL_ADMIN) " FROM audit.admin_event_log "          \
							   "e" EVENT_SEAL_RANGE " END"
#define EVENT_SEAL_RANGE " WHERE e.seal_n BETWEEN s.first_n AND s.last_n)"
#define EVENT_SEAL_SHA256(columns)                                                                 \
	"pg_catalog.encode(pg_catalog.sha256(pg_catalog.string_agg(pg_catalog.convert_to("         \
	"pg_catalog.jsonb_build_array(e.seal_n, " columns ")::pg_catalog.text, 'UTF8'),"           \
	" '\\x0a'::pg_catalog.bytea ORDER BY e.seal_n)), 'hex')"
/* Of no setting's doing: microseconds since 1970. */
#define EVENT_SEAL_US(column) "(extract(epoch FROM " column ") * 1000000)::pg_catalog.int8"
/* Every column but seal_n. */
#define EVENT_SEAL_AUTH                                                                            \
	"e.tenant_id, e.event_id, " EVENT_SEAL_US(                                                 \
		"e.at") ", e.tenant, e.type, e.connection_id,"                                     \
			" e.connection, e.subject, e.actor, e.attempt_id, e.error_code, e.detail," \
			" e.user_name, e.api_key, e.source_ip, e.client, e.n_events, e.cause_id"
#define EVENT_SEAL_ADMIN                                                                           \
	"e.tenant_id, e.event_id, " EVENT_SEAL_US(                                                 \
		"e.at") ", e.cause_id, e.tenant, e.actor,"                                         \
			" e.role, e.user_id, e.api_key, e.actor_tenant_id, e.actor_tenant, "       \
			"e.via, e.client,"                                                         \
			" e.source_ip, e.action, e.target_kind, e.target_id, e.target, e.before, " \
			"e.after,"                                                                 \
			" e.outcome, e.error_code, e.error_message, e.http_status, e.n_events, "   \
			"e.node_id"

#endif
