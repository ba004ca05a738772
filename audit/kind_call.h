/* SPDX-License-Identifier: Apache-2.0 */
#ifndef AUDIT_KIND_CALL_H
#define AUDIT_KIND_CALL_H

/* Calls: rows of audit.call_log. */

#include "audit/kind.h"

enum call_format {
	CALL_FORMAT_TEXT,
	CALL_FORMAT_UUID,
	CALL_FORMAT_NUMBER,
	CALL_FORMAT_MILLISECONDS,
	CALL_FORMAT_OUTCOME,
	CALL_FORMAT_COUNT, /* a number that is 1 where the record says nothing */
	CALL_FORMAT_BYTES,
};
/* $n, name, type, field, how it is written. */
#define CALL_COLUMNS(X)                                                                            \
	X(1, tenant, text, TENANT, TEXT)                                                           \
	X(2, user_id, uuid, USER_ID, UUID)                                                         \
	X(3, user_name, text, USER_NAME, TEXT)                                                     \
	X(4, client, text, CLIENT, TEXT)                                                           \
	X(5, connection_id, uuid, CONNECTION_ID, UUID)                                             \
	X(6, connection, text, CONNECTION, TEXT)                                                   \
	X(7, tool, text, TOOL, TEXT)                                                               \
	X(8, method, text, METHOD, TEXT)                                                           \
	X(9, outcome, text, OUTCOME, OUTCOME)                                                      \
	X(10, duration_ms, float8, DURATION_US, MILLISECONDS)                                      \
	X(11, upstream_ms, float8, UPSTREAM_US, MILLISECONDS)                                      \
	X(12, error_type, text, ERROR_TYPE, TEXT)                                                  \
	X(13, error_message, text, ERROR_MESSAGE, TEXT)                                            \
	X(14, arguments, json, ARGUMENTS, TEXT)                                                    \
	X(15, request_bytes, int8, REQUEST_BYTES, NUMBER)                                          \
	X(16, response_bytes, int8, RESPONSE_BYTES, NUMBER)                                        \
	X(17, protocol_version, text, PROTOCOL_VERSION, TEXT)                                      \
	X(18, session_id, text, SESSION_ID, TEXT)                                                  \
	X(19, request_id, text, REQUEST_ID, TEXT)                                                  \
	X(20, source_ip, inet, SOURCE_IP, TEXT)                                                    \
	X(21, api_key, text, API_KEY, TEXT)                                                        \
	X(22, trace_id, text, TRACE_ID, TEXT)                                                      \
	X(23, span_id, text, SPAN_ID, TEXT)                                                        \
	X(24, node_id, uuid, NODE_ID, UUID)                                                        \
	X(25, http_status, int4, HTTP_STATUS, NUMBER)                                              \
	X(26, persona, text, PERSONA, TEXT)                                                        \
	X(27, purpose, text, PURPOSE, TEXT)                                                        \
	X(28, audit_level, text, AUDIT_LEVEL, TEXT)                                                \
	X(29, account, text, ACCOUNT, TEXT)                                                        \
	X(30, n_calls, int8, N_CALLS, COUNT)                                                       \
	X(31, upstream_status, int4, UPSTREAM_STATUS, NUMBER)                                      \
	X(32, payload_digest, bytea, PAYLOAD_DIGEST, BYTES)                                        \
	X(33, chain_id, uuid, CHAIN_ID, UUID)                                                      \
	X(34, chain_seq, int8, CHAIN_SEQ, NUMBER)                                                  \
	X(35, chain_mac, bytea, CHAIN_MAC, BYTES)

enum {
#define X(n, name, type, field, format) CALL_##field,
	CALL_COLUMNS(X)
#undef X
		CALL_N_FIELDS,
	/* What stands in every row's head, behind the fields. */
	CALL_STARTED_AT = CALL_N_FIELDS,
	CALL_TENANT_ID,
	CALL_CALL_ID,
	CALL_DAMAGED,
	CALL_REDUCTION,
	CALL_N_COLUMNS
};

#endif
