-- SPDX-License-Identifier: Apache-2.0
-- How much of a call is kept, per connection; payloads, sealed, apart.
--
-- Payloads are sealed by the gateway before they touch a disk, with the data key of the tenant. So
-- what a reader of this schema, or of a backup, sees of them is their sizes.

SET LOCAL ROLE tollgate_owner;

-- What a connection wants ------------------------------------------------------------------------
-- No part of what reaches the upstream: an edit tries nothing out.

ALTER TABLE tollgate.connections
  ADD COLUMN audit_level text NOT NULL DEFAULT 'redacted'
    CHECK (audit_level IN ('metadata', 'redacted', 'full')),
  ADD COLUMN audit_redact text[] NOT NULL DEFAULT '{}'
    CHECK (array_position(audit_redact, NULL) IS NULL AND cardinality(audit_redact) <= 100);
COMMENT ON COLUMN tollgate.connections.audit_level IS
  'How much of its calls is kept: metadata (no arguments), redacted, or full (payloads too, sealed).';
COMMENT ON COLUMN tollgate.connections.audit_redact IS
  'Names of arguments whose values are hidden beside those that always are; * is any run.';

-- Payloads ---------------------------------------------------------------------------------------

CREATE TABLE audit.call_payloads (
  retention_class text NOT NULL DEFAULT 'standard',
  started_at timestamptz NOT NULL,
  tenant_id uuid NOT NULL,
  call_id uuid NOT NULL,
  part text NOT NULL CHECK (part IN ('arguments', 'result')),
  bytes bigint NOT NULL CHECK (bytes >= 0),
  truncated boolean NOT NULL,
  sealed bytea NOT NULL,
  PRIMARY KEY (tenant_id, started_at, call_id, part, retention_class)
) PARTITION BY LIST (retention_class);
-- It is noise: to compress it is in vain.
ALTER TABLE audit.call_payloads ALTER COLUMN sealed SET STORAGE EXTERNAL;

COMMENT ON TABLE audit.call_payloads IS
  'What went through calls of connections whose audit level is full, as it was, sealed; kept for a shorter time than the calls. tollgate audit show ID --payload opens it.';
COMMENT ON COLUMN audit.call_payloads.retention_class IS
  'Which rule says how long the row is kept: standard.';
COMMENT ON COLUMN audit.call_payloads.started_at IS 'When the call began, as in audit.calls.';
COMMENT ON COLUMN audit.call_payloads.tenant_id IS 'Tenant of the caller.';
COMMENT ON COLUMN audit.call_payloads.call_id IS 'The call, as in audit.calls.';
COMMENT ON COLUMN audit.call_payloads.part IS
  'arguments (as the client sent them) or result (the answer that it was given).';
COMMENT ON COLUMN audit.call_payloads.bytes IS 'How long it was.';
COMMENT ON COLUMN audit.call_payloads.truncated IS
  'True: longer than what is kept, so only its beginning is there.';
COMMENT ON COLUMN audit.call_payloads.sealed IS
  'Sealed with the tenant''s data key; opens for this call, part and size only. audit.call_log.payload_digest is the SHA-256 over the SHA-256 of each part, in the order of their names.';

CREATE TABLE audit_parts.call_payloads_standard PARTITION OF audit.call_payloads
  FOR VALUES IN ('standard') PARTITION BY RANGE (started_at);
COMMENT ON TABLE audit_parts.call_payloads_standard IS 'Payloads kept for the standard time.';
DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute
    WHERE attrelid = 'audit.call_payloads'::regclass AND attnum > 0 AND NOT attisdropped
  LOOP
    EXECUTE format('COMMENT ON COLUMN audit_parts.call_payloads_standard.%I IS %L', col.attname,
                   col.comment);
  END LOOP;
END $$;

ALTER TABLE audit.call_payloads ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.call_payloads FORCE ROW LEVEL SECURITY;
ALTER TABLE audit_parts.call_payloads_standard ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_parts.call_payloads_standard FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit_parts.call_payloads_standard
  TO tollgate_owner USING (true) WITH CHECK (true);

CREATE POLICY owner_all ON audit.call_payloads TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY writer_inserts ON audit.call_payloads FOR INSERT TO tollgate_audit_writer
  WITH CHECK (true);
CREATE POLICY app_reads ON audit.call_payloads FOR SELECT TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY reader_tenants ON audit.call_payloads FOR SELECT TO audit_reader
  USING (tenant_id IN (SELECT r.tenant_id FROM audit.reader_roles r));
CREATE POLICY reader_platform ON audit.call_payloads FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT INSERT ON audit.call_payloads TO tollgate_audit_writer;
GRANT SELECT ON audit.call_payloads TO tollgate_app;
GRANT SELECT (retention_class, started_at, tenant_id, call_id, part, bytes, truncated)
  ON audit.call_payloads TO audit_reader;

-- Asked for by the drain when a payload finds no partition: who keeps none has none.
CREATE FUNCTION audit.ensure_payload_partitions(p_from date, p_to date)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  max_days CONSTANT int := 400;
  part name;
  day timestamp;
  made int := 0;
BEGIN
  IF p_from IS NULL OR p_to IS NULL OR p_to < p_from OR p_to - p_from >= max_days THEN
    RAISE EXCEPTION 'ensure_payload_partitions takes 1 to % days, not % to %',
      max_days, p_from, p_to USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Nodes ask at the same time; the number is this function's own.
  PERFORM pg_advisory_xact_lock(4935230121);
  FOR day IN SELECT * FROM generate_series(p_from::timestamp, p_to::timestamp, '1 day') LOOP
    part := 'call_payloads_standard' || to_char(day, '_YYYYMMDD');
    CONTINUE WHEN to_regclass(format('audit_parts.%I', part)) IS NOT NULL;
    EXECUTE format('CREATE TABLE audit_parts.%I'
                   ' (LIKE audit_parts.call_payloads_standard INCLUDING ALL)', part);
    EXECUTE format('COMMENT ON TABLE audit_parts.%I IS %L', part,
                   format('Payloads of %s (UTC).', to_char(day, 'YYYY-MM-DD')));
    EXECUTE format('ALTER TABLE audit_parts.%I ENABLE ROW LEVEL SECURITY', part);
    EXECUTE format('ALTER TABLE audit_parts.%I FORCE ROW LEVEL SECURITY', part);
    EXECUTE format('CREATE POLICY owner_all ON audit_parts.%I TO tollgate_owner'
                   ' USING (true) WITH CHECK (true)', part);
    EXECUTE format('ALTER TABLE audit_parts.call_payloads_standard ATTACH PARTITION audit_parts.%I'
                   ' FOR VALUES FROM (%L) TO (%L)', part,
                   to_char(day, 'YYYY-MM-DD 00:00:00+00'),
                   to_char(day + interval '1 day', 'YYYY-MM-DD 00:00:00+00'));
    made := made + 1;
  END LOOP;
  RETURN made;
END
$$;
COMMENT ON FUNCTION audit.ensure_payload_partitions(date, date) IS
  'Makes the day partitions of payloads (UTC days, both ends included) that are missing; returns how many.';
REVOKE EXECUTE ON FUNCTION audit.ensure_payload_partitions(date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.ensure_payload_partitions(date, date) TO tollgate_audit_writer;
