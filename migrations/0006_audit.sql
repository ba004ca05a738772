-- SPDX-License-Identifier: Apache-2.0
-- The record of every call, and who may read it.
--
-- Retention class first, day second, so that a class is kept and dropped by partition. The runtime
-- role neither reads nor writes it; the drain may only INSERT, and must therefore use ON CONFLICT DO
-- NOTHING without a target and no RETURNING. Readers are bound to tenants by the database role that
-- they are, never by a setting, because a reader can set any.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE audit.call_log (
  retention_class text NOT NULL DEFAULT 'standard',
  started_at timestamptz NOT NULL,
  tenant_id uuid NOT NULL,
  tenant text,
  user_id uuid,
  user_name text,
  client text,
  connection_id uuid,
  connection text,
  tool text,
  method text,
  outcome text NOT NULL
    CHECK (outcome IN ('ok', 'tool_error', 'protocol_error', 'upstream_error', 'timeout', 'denied',
                       'unauthenticated', 'malformed', 'rate_limited', 'unavailable', 'needs_auth',
                       'cancelled', 'client_closed', 'drained', 'unknown')),
  duration_ms double precision,
  upstream_ms double precision,
  error_type text,
  error_message text,
  persona text,
  account text,
  purpose text,
  arguments jsonb,
  request_bytes bigint,
  response_bytes bigint,
  protocol_version text,
  session_id text,
  request_id text,
  source_ip inet,
  api_key text,
  trace_id text,
  span_id text,
  call_id uuid NOT NULL,
  node_id uuid,
  damaged boolean NOT NULL DEFAULT false,
  is_error boolean NOT NULL
    GENERATED ALWAYS AS (outcome NOT IN ('ok', 'cancelled', 'client_closed', 'drained')) STORED,
  http_status int,
  PRIMARY KEY (tenant_id, started_at, call_id, retention_class)
) PARTITION BY LIST (retention_class);
CREATE INDEX call_log_tool ON audit.call_log (tenant_id, tool, started_at);
-- Costs next to nothing, because rows arrive nearly in order of time.
CREATE INDEX call_log_time ON audit.call_log USING brin (started_at);

COMMENT ON TABLE audit.call_log IS
  'One row per call. Read it through audit.calls.';
COMMENT ON COLUMN audit.call_log.retention_class IS
  'Which rule says how long the row is kept: standard.';
COMMENT ON COLUMN audit.call_log.started_at IS 'When the gateway had read the request.';
COMMENT ON COLUMN audit.call_log.tenant_id IS
  'Tenant of the caller; the nil UUID if nobody was recognised.';
COMMENT ON COLUMN audit.call_log.tenant IS 'Name of the tenant at that time.';
COMMENT ON COLUMN audit.call_log.user_id IS 'User that called; NULL for a service key.';
COMMENT ON COLUMN audit.call_log.user_name IS 'Name of the user, or of the service key, at that time.';
COMMENT ON COLUMN audit.call_log.client IS 'Program that called, name/version as it said itself.';
COMMENT ON COLUMN audit.call_log.connection_id IS 'Connection that the call went to.';
COMMENT ON COLUMN audit.call_log.connection IS 'Name of the connection at that time.';
COMMENT ON COLUMN audit.call_log.tool IS 'Tool as the client named it. OpenTelemetry: gen_ai.tool.name.';
COMMENT ON COLUMN audit.call_log.method IS
  'JSON-RPC method; NULL if the request was refused before it was read. OpenTelemetry: mcp.method.name.';
COMMENT ON COLUMN audit.call_log.outcome IS
  'How it ended: ok, tool_error (the tool said isError), protocol_error, upstream_error, timeout, denied, unauthenticated, malformed, rate_limited, unavailable, needs_auth, cancelled, client_closed, drained (the gateway stopped), unknown (it died).';
COMMENT ON COLUMN audit.call_log.duration_ms IS
  'Milliseconds from the request to the last byte of the answer, upstream time included.';
COMMENT ON COLUMN audit.call_log.upstream_ms IS
  'Milliseconds of it that the upstream took; NULL if it was not asked.';
COMMENT ON COLUMN audit.call_log.error_type IS
  'JSON-RPC code, tool_error, or the gateway''s own word. OpenTelemetry: error.type.';
COMMENT ON COLUMN audit.call_log.error_message IS 'One sentence for people, without secrets.';
COMMENT ON COLUMN audit.call_log.persona IS 'Persona that the caller acted in.';
COMMENT ON COLUMN audit.call_log.account IS 'Account at the upstream whose credential was used.';
COMMENT ON COLUMN audit.call_log.purpose IS 'Why, if the client said so.';
COMMENT ON COLUMN audit.call_log.arguments IS
  'Arguments of the call, redacted and capped. OpenTelemetry: gen_ai.tool.call.arguments.';
COMMENT ON COLUMN audit.call_log.request_bytes IS 'Size of the request body.';
COMMENT ON COLUMN audit.call_log.response_bytes IS 'Size of the answer as sent.';
COMMENT ON COLUMN audit.call_log.protocol_version IS
  'MCP version that the client spoke. OpenTelemetry: mcp.protocol.version.';
COMMENT ON COLUMN audit.call_log.session_id IS
  'Session, by a digest of its id. OpenTelemetry: mcp.session.id.';
COMMENT ON COLUMN audit.call_log.request_id IS
  'JSON-RPC id as the client wrote it. OpenTelemetry: jsonrpc.request.id.';
COMMENT ON COLUMN audit.call_log.source_ip IS 'Address of the client.';
COMMENT ON COLUMN audit.call_log.api_key IS 'Public id of the key that was shown.';
COMMENT ON COLUMN audit.call_log.trace_id IS 'W3C trace id, 32 hex digits.';
COMMENT ON COLUMN audit.call_log.span_id IS 'W3C span id, 16 hex digits.';
COMMENT ON COLUMN audit.call_log.call_id IS 'UUIDv7 of the call; sorts by time.';
COMMENT ON COLUMN audit.call_log.node_id IS 'Node that served it.';
COMMENT ON COLUMN audit.call_log.damaged IS
  'True: PostgreSQL refused the row as it was, and it is stored without what was refused.';
COMMENT ON COLUMN audit.call_log.is_error IS
  'True unless the outcome is ok, cancelled, client_closed or drained.';
COMMENT ON COLUMN audit.call_log.http_status IS 'HTTP status of the answer.';

CREATE TABLE audit_parts.call_log_standard PARTITION OF audit.call_log
  FOR VALUES IN ('standard') PARTITION BY RANGE (started_at);
COMMENT ON TABLE audit_parts.call_log_standard IS 'Calls kept for the standard time.';
DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute
    WHERE attrelid = 'audit.call_log'::regclass AND attnum > 0 AND NOT attisdropped
  LOOP
    EXECUTE format('COMMENT ON COLUMN audit_parts.call_log_standard.%I IS %L', col.attname,
                   col.comment);
  END LOOP;
END $$;

ALTER TABLE audit.call_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.call_log FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_parts.call_log_standard ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_parts.call_log_standard FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit_parts.call_log_standard
  TO tollgate_owner USING (true) WITH CHECK (true);

-- Readers ---------------------------------------------------------------------------------------

CREATE TABLE audit.reader_roles (
  role_name name NOT NULL,
  tenant_id uuid CHECK (tenant_id <> '00000000-0000-0000-0000-000000000000'),
  UNIQUE NULLS NOT DISTINCT (role_name, tenant_id)
);
COMMENT ON TABLE audit.reader_roles IS
  'Which tenants each reader role sees in the audit schema: its own rows here and those of every role that it is a member of. Only tollgate_owner writes it.';
COMMENT ON COLUMN audit.reader_roles.role_name IS
  'A database role, which must also be a member of audit_reader. A role that no longer exists counts for nothing.';
COMMENT ON COLUMN audit.reader_roles.tenant_id IS
  'Tenant that it sees; NULL: a platform reader, which sees every tenant and the rows of none (nil UUID).';
ALTER TABLE audit.reader_roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.reader_roles FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.reader_roles TO tollgate_owner USING (true) WITH CHECK (true);
-- By way of pg_roles, because pg_has_role fails on the name of a role that was dropped.
CREATE POLICY reader_own ON audit.reader_roles FOR SELECT TO audit_reader
  USING (role_name IN (SELECT r.rolname FROM pg_catalog.pg_roles r
                       WHERE pg_catalog.pg_has_role(current_user, r.oid, 'member')));
GRANT SELECT ON audit.reader_roles TO audit_reader;

-- reader_roles is itself filtered by its own policy: what is visible there is what membership gives.
CREATE POLICY owner_all ON audit.call_log TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY writer_inserts ON audit.call_log FOR INSERT TO tollgate_audit_writer
  WITH CHECK (true);
CREATE POLICY reader_tenants ON audit.call_log FOR SELECT TO audit_reader
  USING (tenant_id IN (SELECT r.tenant_id FROM audit.reader_roles r));
CREATE POLICY reader_platform ON audit.call_log FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT INSERT ON audit.call_log TO tollgate_audit_writer;
GRANT SELECT ON audit.call_log TO audit_reader;

-- Views -----------------------------------------------------------------------------------------
-- Their columns are a contract: add at the end, never rename, reorder or remove.

CREATE VIEW audit.calls WITH (security_invoker = true) AS
SELECT started_at, tenant, user_name, client, connection, tool, method, outcome, duration_ms,
       upstream_ms, error_type, error_message, persona, account, purpose, arguments, request_bytes,
       response_bytes, protocol_version, session_id, request_id, source_ip, api_key, trace_id,
       span_id, call_id, is_error, http_status, damaged, tenant_id, user_id, connection_id, node_id
FROM audit.call_log;
COMMENT ON VIEW audit.calls IS
  'Start here: every call that passed the gate or was refused at it, one row each.';

CREATE VIEW audit.errors WITH (security_invoker = true) AS
SELECT * FROM audit.calls WHERE is_error;
COMMENT ON VIEW audit.errors IS
  'The calls that did not do what was asked, refused ones too; same columns as audit.calls.';

DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT v.attrelid::regclass AS view, v.attname, col_description(t.attrelid, t.attnum) AS comment
    FROM pg_attribute v
    JOIN pg_attribute t ON t.attrelid = 'audit.call_log'::regclass AND t.attname = v.attname
    WHERE v.attrelid IN ('audit.calls'::regclass, 'audit.errors'::regclass) AND v.attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.view, col.attname, col.comment);
  END LOOP;
END $$;

GRANT SELECT ON audit.calls, audit.errors TO audit_reader;

-- From yesterday, for what a spool still holds; the drain asks for the days to come.
SELECT audit.ensure_partitions((now() AT TIME ZONE 'UTC')::date - 1,
                               (now() AT TIME ZONE 'UTC')::date + 7);
