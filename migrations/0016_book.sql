-- SPDX-License-Identifier: Apache-2.0
-- What the book says more of a call, and what makes it tamper-evident.
--
-- Every row is a link of a hash chain (audit/chain.h) that was made before PostgreSQL saw the row.
-- Anchors, signed with a key that the database never has, say where a chain stood and disclose the
-- MAC key of the links before. docs/decisions/021-the-chain-is-made-before-postgres.md.

SET LOCAL ROLE tollgate_owner;

DROP VIEW audit.errors;
DROP VIEW audit.calls;

-- Byte for byte what was written, because the chain is over it; the views show it as jsonb, and the
-- constraint sees to it that they can.
ALTER TABLE audit.call_log ALTER COLUMN arguments TYPE json USING arguments::text::json;
ALTER TABLE audit.call_log
  ADD CONSTRAINT arguments_are_jsonb CHECK (arguments IS NULL OR arguments::jsonb IS NOT NULL),
  ADD COLUMN n_calls bigint NOT NULL DEFAULT 1 CHECK (n_calls > 0),
  ADD COLUMN audit_level text CHECK (audit_level IN ('metadata', 'redacted', 'full')),
  ADD COLUMN upstream_status int,
  ADD COLUMN payload_digest bytea CHECK (octet_length(payload_digest) = 32),
  ADD COLUMN chain_id uuid,
  ADD COLUMN chain_seq bigint CHECK (chain_seq > 0),
  ADD COLUMN chain_mac bytea CHECK (octet_length(chain_mac) = 32),
  ADD COLUMN reduction bytea CHECK (octet_length(reduction) = 64),
  ADD CONSTRAINT chain_whole
    CHECK ((chain_id IS NULL) = (chain_seq IS NULL) AND (chain_id IS NULL) = (chain_mac IS NULL));

COMMENT ON COLUMN audit.call_log.n_calls IS
  'How many calls the row stands for: 1, or more where refused ones of one source were merged.';
COMMENT ON COLUMN audit.call_log.audit_level IS
  'How much of the call was kept: metadata (no arguments), redacted, or full (payloads sealed apart).';
COMMENT ON COLUMN audit.call_log.upstream_status IS
  'HTTP status of the upstream''s answer. OpenTelemetry: http.response.status_code.';
COMMENT ON COLUMN audit.call_log.payload_digest IS
  'SHA-256 of the sealed payloads of the call, kept apart; NULL if none were.';
COMMENT ON COLUMN audit.call_log.chain_id IS 'Hash chain that the row is a link of.';
COMMENT ON COLUMN audit.call_log.chain_seq IS 'Its place in that chain, from 1 without gaps.';
COMMENT ON COLUMN audit.call_log.chain_mac IS
  'HMAC-SHA256 over the link before and the row; tollgate audit verify checks it.';
COMMENT ON COLUMN audit.call_log.reduction IS
  'Of a damaged row, or one without a link: the gateway''s signature over what is stored of it.';

CREATE VIEW audit.calls WITH (security_invoker = true) AS
SELECT started_at, tenant, user_name, client, connection, tool, method, outcome, duration_ms,
       upstream_ms, error_type, error_message, persona, account, purpose,
       arguments::jsonb AS arguments, request_bytes,
       response_bytes, protocol_version, session_id, request_id, source_ip, api_key, trace_id,
       span_id, call_id, is_error, http_status, damaged, tenant_id, user_id, connection_id, node_id,
       n_calls, audit_level, upstream_status, chain_id, chain_seq
FROM audit.call_log;
COMMENT ON VIEW audit.calls IS
  'Start here: every call that passed the gate or was refused at it, one row each.';

CREATE VIEW audit.errors WITH (security_invoker = true) AS
SELECT * FROM audit.calls WHERE is_error;
COMMENT ON VIEW audit.errors IS
  'The calls that did not do what was asked, refused ones too; same columns as audit.calls.';

-- Anchors ---------------------------------------------------------------------------------------

CREATE TABLE audit.anchors (
  chain_id uuid NOT NULL,
  epoch bigint NOT NULL CHECK (epoch >= 0),
  first_seq bigint NOT NULL,
  last_seq bigint NOT NULL,
  last_mac bytea NOT NULL CHECK (octet_length(last_mac) = 32),
  mac_key bytea NOT NULL CHECK (octet_length(mac_key) = 32),
  anchored_at timestamptz NOT NULL,
  signature bytea NOT NULL CHECK (octet_length(signature) = 64),
  PRIMARY KEY (chain_id, epoch)
);
COMMENT ON TABLE audit.anchors IS
  'Signed statements where a hash chain stood, one per epoch; also written outside the database.';
COMMENT ON COLUMN audit.anchors.chain_id IS 'The chain, as in audit.call_log.';
COMMENT ON COLUMN audit.anchors.epoch IS 'Number of the epoch that ends here, from 0 without gaps.';
COMMENT ON COLUMN audit.anchors.first_seq IS 'First link of the epoch.';
COMMENT ON COLUMN audit.anchors.last_seq IS
  'Last link of the epoch; one less than first_seq if it has none.';
COMMENT ON COLUMN audit.anchors.last_mac IS 'MAC of that link.';
COMMENT ON COLUMN audit.anchors.mac_key IS
  'Key of the epoch''s MACs, disclosed with its end: it forges nothing that the anchor fixes.';
COMMENT ON COLUMN audit.anchors.anchored_at IS 'When the anchor was made.';
COMMENT ON COLUMN audit.anchors.signature IS
  'Ed25519 over all of it, by the key of the deployment: tollgate audit verify.';

ALTER TABLE audit.anchors ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.anchors FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.anchors TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY writer_inserts ON audit.anchors FOR INSERT TO tollgate_audit_writer WITH CHECK (true);
CREATE POLICY reader_platform ON audit.anchors FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT INSERT ON audit.anchors TO tollgate_audit_writer;
GRANT SELECT ON audit.anchors TO audit_reader;

-- The comments of views and partitions are those of the table. ----------------------------------

DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT v.attrelid::regclass AS view, v.attname, col_description(t.attrelid, t.attnum) AS comment
    FROM pg_attribute v
    JOIN pg_attribute t ON t.attrelid = 'audit.call_log'::regclass AND t.attname = v.attname
    WHERE v.attrelid IN ('audit.calls'::regclass, 'audit.errors'::regclass) AND v.attnum > 0
    UNION ALL
    SELECT c.oid::regclass, v.attname, col_description(t.attrelid, t.attnum)
    FROM pg_class c JOIN pg_attribute v ON v.attrelid = c.oid AND v.attnum > 0
    JOIN pg_attribute t ON t.attrelid = 'audit.call_log'::regclass AND t.attname = v.attname
    WHERE c.relnamespace = 'audit_parts'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT v.attisdropped
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.view, col.attname, col.comment);
  END LOOP;
END $$;

GRANT SELECT ON audit.calls, audit.errors TO audit_reader;
