-- SPDX-License-Identifier: Apache-2.0
-- Locks of our own. An advisory lock is anybody's who may connect: a reader of one tenant that held
-- it kept partitions from being made, events from being sealed and connections from being watched.
-- Tables and rows it takes a right to lock.

SET LOCAL ROLE tollgate_owner;

CREATE OR REPLACE FUNCTION audit.ensure_partitions(p_from date, p_to date)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  max_days CONSTANT int := 400;
  parent name;
  part name;
  day timestamp;
  made int := 0;
BEGIN
  IF p_from IS NULL OR p_to IS NULL OR p_to < p_from OR p_to - p_from >= max_days THEN
    RAISE EXCEPTION 'ensure_partitions takes 1 to % days, not % to %', max_days, p_from, p_to
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Nodes ask at the same time. Attaching takes the same lock, which no row that is written or read
  -- waits for.
  LOCK TABLE ONLY audit.call_log IN SHARE UPDATE EXCLUSIVE MODE;
  FOR parent IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit.call_log'::regclass ORDER BY 1
  LOOP
    FOR day IN SELECT * FROM generate_series(p_from::timestamp, p_to::timestamp, '1 day') LOOP
      part := parent || to_char(day, '_YYYYMMDD');
      CONTINUE WHEN to_regclass(format('audit_parts.%I', part)) IS NOT NULL;
      -- Attached, not created as a partition: that would lock out every reader of call_log.
      EXECUTE format('CREATE TABLE audit_parts.%I (LIKE audit_parts.%I INCLUDING ALL)',
                     part, parent);
      EXECUTE format('COMMENT ON TABLE audit_parts.%I IS %L', part,
                     format('Calls of %s (UTC).', to_char(day, 'YYYY-MM-DD')));
      EXECUTE format('ALTER TABLE audit_parts.%I ENABLE ROW LEVEL SECURITY', part);
      EXECUTE format('ALTER TABLE audit_parts.%I FORCE ROW LEVEL SECURITY', part);
      EXECUTE format('CREATE POLICY owner_all ON audit_parts.%I TO tollgate_owner'
                     ' USING (true) WITH CHECK (true)', part);
      EXECUTE format('ALTER TABLE audit_parts.%I ATTACH PARTITION audit_parts.%I'
                     ' FOR VALUES FROM (%L) TO (%L)', parent, part,
                     to_char(day, 'YYYY-MM-DD 00:00:00+00'),
                     to_char(day + interval '1 day', 'YYYY-MM-DD 00:00:00+00'));
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END
$$;

CREATE OR REPLACE FUNCTION audit.ensure_payload_partitions(p_from date, p_to date)
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
  -- Nodes ask at the same time.
  LOCK TABLE ONLY audit.call_payloads IN SHARE UPDATE EXCLUSIVE MODE;
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

CREATE OR REPLACE FUNCTION audit.claim_events(p_limit int)
RETURNS TABLE (source text, first_n bigint, last_n bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  entry audit.event_logs;
  numbered bigint;
BEGIN
  -- Another node is at it.
  PERFORM FROM audit.event_logs l WHERE l.source = 'auth' FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  DELETE FROM audit.event_claims c
  WHERE EXISTS (SELECT FROM audit.event_seals s
                WHERE (s.source, s.first_n, s.last_n) = (c.source, c.first_n, c.last_n));
  FOR entry IN SELECT * FROM audit.event_logs ORDER BY event_logs.source LOOP
    UPDATE audit.event_claims c SET claimed_at = now()
    WHERE c.source = entry.source
      AND c.first_n = (SELECT d.first_n FROM audit.event_claims d
                       WHERE d.source = entry.source AND d.claimed_at < now() - interval '5 minutes'
                       ORDER BY d.first_n LIMIT 1)
    RETURNING c.source, c.first_n, c.last_n INTO source, first_n, last_n;
    IF FOUND THEN
      RETURN NEXT;
      CONTINUE;
    END IF;
    EXECUTE format('UPDATE audit.%I e SET seal_n = $1 + p.k FROM ('
                   ' SELECT q.ctid, row_number() OVER (ORDER BY q.ctid) AS k'
                   ' FROM audit.%1$I q WHERE q.seal_n IS NULL LIMIT $2) p'
                   ' WHERE e.ctid = p.ctid', entry.log)
      USING entry.last_n, greatest(1, least(p_limit, 10000));
    GET DIAGNOSTICS numbered = ROW_COUNT;
    CONTINUE WHEN numbered = 0;
    source := entry.source;
    first_n := entry.last_n + 1;
    last_n := entry.last_n + numbered;
    UPDATE audit.event_logs l SET last_n = entry.last_n + numbered WHERE l.source = entry.source;
    INSERT INTO audit.event_claims VALUES (source, first_n, last_n);
    RETURN NEXT;
  END LOOP;
END
$$;

CREATE OR REPLACE FUNCTION tollgate.watch_connections(p_node uuid, p_lease interval, p_max bigint)
RETURNS TABLE (tenant_id uuid, connection_id uuid, lease_number bigint, refresh_wanted bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  claims boolean;
  share bigint;
BEGIN
  -- A lease that has run out may be about to be taken: that must be settled first.
  claims := NOT EXISTS (SELECT FROM tollgate.nodes n
                        WHERE n.id = p_node AND n.lease_until > clock_timestamp())
         OR EXISTS (SELECT FROM tollgate.connection_status s WHERE NOT EXISTS (
                      SELECT FROM tollgate.nodes n
                      WHERE n.id = s.lease_node AND n.lease_until > clock_timestamp()));
  IF claims THEN
    LOCK TABLE tollgate.nodes IN SHARE UPDATE EXCLUSIVE MODE; -- renewals go on
  END IF;
  UPDATE tollgate.nodes n SET lease_until = clock_timestamp() + p_lease WHERE n.id = p_node;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF claims THEN
    -- Who renews at this moment, late, is waited for and seen.
    PERFORM FROM tollgate.nodes n WHERE n.lease_until <= clock_timestamp() FOR UPDATE;
    -- No node takes more than its part, so that all of them together take everything.
    SELECT least(ceil(count(*)::numeric
                      / (SELECT count(*) FROM tollgate.nodes n
                         WHERE n.lease_until > clock_timestamp())), p_max)
           - count(*) FILTER (WHERE s.lease_node = p_node)
      INTO share FROM tollgate.connection_status s;
    UPDATE tollgate.connection_status s
    SET lease_node = p_node, lease_number = s.lease_number + 1
    WHERE (s.tenant_id, s.connection_id) IN (
      SELECT f.tenant_id, f.connection_id FROM tollgate.connection_status f
      WHERE NOT EXISTS (SELECT FROM tollgate.nodes n
                        WHERE n.id = f.lease_node AND n.lease_until > clock_timestamp())
      ORDER BY f.tenant_id, f.connection_id LIMIT greatest(share, 0)
      FOR UPDATE OF f SKIP LOCKED);
  END IF;
  RETURN QUERY SELECT s.tenant_id, s.connection_id, s.lease_number, s.refresh_wanted
               FROM tollgate.connection_status s WHERE s.lease_node = p_node;
END
$$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA audit, tollgate FROM PUBLIC;
