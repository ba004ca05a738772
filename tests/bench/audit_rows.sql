-- SPDX-License-Identifier: Apache-2.0
--
-- Fills the book, as a superuser: psql -v days=30 -v rows=10000000 -v first=1 -v last=30, where the
-- days from `first` to `last` (1: today) are written. Of ten tenants, the first has a sixth of the
-- calls; 40 tools on 8 connections, 200 users, half of the calls by a tenth of the tools. The last
-- hour of today is the one that has just begun, so that a window of 24 hours is a full one.

\set QUIET on
SET client_min_messages = warning;
SET synchronous_commit = off;

CREATE FUNCTION pg_temp.id(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN (lpad(to_hex(n), 8, '0') || '-0000-4000-8000-000000000000')::uuid;

SELECT format($row$
INSERT INTO audit.call_log (started_at, tenant_id, tenant, user_id, user_name, client, connection_id,
  connection, tool, method, outcome, duration_ms, upstream_ms, error_type, error_message, persona,
  account, purpose, arguments, request_bytes, response_bytes, protocol_version, session_id,
  request_id, source_ip, api_key, trace_id, span_id, call_id, node_id, http_status, n_calls,
  audit_level, upstream_status, chain_id, chain_seq, chain_mac)
SELECT at, pg_temp.id(t + 1), 'tenant' || t, pg_temp.id(1000 + u), 'user' || u,
       (ARRAY['claude-code/2.1', 'cursor/1.9', 'inspector/0.17', 'agent/3.0'])[1 + u %% 4],
       CASE WHEN calls THEN pg_temp.id(5000 + 8 * t + k %% 8) END,
       CASE WHEN calls THEN 'conn' || k %% 8 END,
       CASE WHEN calls THEN 'conn' || k %% 8 || '__tool' || k END,
       CASE WHEN calls THEN 'tools/call' WHEN k < 10 THEN 'tools/list' ELSE 'initialize' END,
       outcome, ms + 0.4 + 2 * r1 * r1, CASE WHEN upstream THEN ms END,
       CASE outcome WHEN 'ok' THEN NULL WHEN 'tool_error' THEN 'tool_error'
                    WHEN 'protocol_error' THEN '-32602' ELSE outcome END,
       CASE WHEN outcome <> 'ok' THEN 'the call ended as ' || outcome END,
       (ARRAY['analyst', 'admin', 'engineer', NULL])[1 + u %% 4],
       CASE WHEN upstream THEN 'user' || u || '@example.com' END,
       CASE WHEN r1 < 0.2 THEN 'answer a question' END,
       CASE WHEN calls THEN format('{"query":"select %%s","limit":%%s}', (r2 * 1e6)::int, k)::json END,
       200 + (r1 * 2000)::int, 300 + (r2 * r2 * 40000)::int, '2025-11-25',
       md5('s' || u || to_char(at, 'DDHH24')), (r1 * 1e6)::int::text,
       '10.0.0.0'::inet + (u + 256 * t), lpad(to_hex(u), 12, '0'),
       md5('t' || g), substr(md5('p' || g), 1, 16),
       (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(g), 19, '8'))::uuid,
       pg_temp.id(9000 + g %% 2), CASE outcome WHEN 'denied' THEN 403 WHEN 'unauthenticated' THEN 401
                                               WHEN 'rate_limited' THEN 429 ELSE 200 END,
       CASE WHEN outcome IN ('unauthenticated', 'rate_limited') THEN 1 + (r1 * 20)::int ELSE 1 END,
       'redacted', CASE WHEN upstream THEN 200 END, pg_temp.id(9000 + g %% 2), g,
       sha256(int8send(g))
FROM (
  SELECT *, outcome IN ('ok', 'tool_error', 'upstream_error', 'timeout') AND calls AS upstream
  FROM (
    SELECT *, k >= 4 AS calls,
           CASE WHEN r3 < 0.93 THEN 'ok' WHEN r3 < 0.955 THEN 'tool_error'
                WHEN r3 < 0.965 THEN 'upstream_error' WHEN r3 < 0.97 THEN 'timeout'
                WHEN r3 < 0.98 THEN 'denied' WHEN r3 < 0.985 THEN 'needs_auth'
                WHEN r3 < 0.99 THEN 'cancelled' WHEN r3 < 0.995 THEN 'protocol_error'
                WHEN r3 < 0.998 THEN 'unauthenticated' ELSE 'rate_limited' END AS outcome,
           20 * (1 + k %% 7) * exp(1.5 * (r1 + r2 + r3 - 1.5)) AS ms
    FROM (
      SELECT g, %L::timestamptz + (g - %s) * (interval '1 day' / %s) AS at,
             floor(10 * power(random(), 1.3))::int AS t, floor(200 * random() * random())::int AS u,
             floor(44 * power(random(), 2))::int AS k, random() AS r1, random() AS r2, random() AS r3
      FROM generate_series(%s::bigint, %s::bigint - 1) g
      -- MATERIALIZED by OFFSET: each random() once a row.
      OFFSET 0) raw
    OFFSET 0) drawn) call$row$,
  date_trunc('hour', now()) + interval '1 hour' - d * interval '1 day',
  d * (:rows / :days), :rows / :days, d * (:rows / :days), (d + 1) * (:rows / :days))
FROM generate_series(:last, :first, -1) d \gexec
