-- SPDX-License-Identifier: Apache-2.0
-- What proves that nothing was taken out of the book or changed in it, where a chain of calls alone
-- cannot: seals of events, which enter the chain after they were written, and seals of partitions,
-- which are all that is left of them. docs/operations.md says how both are verified.
--
-- The gateway reads across tenants here with app.audit_scope = 'seals', set by its code for one
-- transaction: what it reads is digested, and leaves it as digests only.

SET LOCAL ROLE tollgate_owner;

-- A chain is read from its first link to its last, however many rows other chains have. Rows arrive
-- in its order, so that keeping it costs little.
CREATE INDEX call_log_chain ON audit.call_log (chain_id, chain_seq);

GRANT SELECT ON audit.call_log, audit.anchors TO tollgate_app;
CREATE POLICY app_seals ON audit.call_log FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'seals');
CREATE POLICY app_seals ON audit.anchors FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'seals');

-- Events ----------------------------------------------------------------------------------------
-- They are written in the transaction of what they tell of. Afterwards a gateway numbers them,
-- digests a range of numbers and makes that a link of its chain.

CREATE TABLE audit.event_seals (
  chain_id uuid NOT NULL,
  chain_seq bigint NOT NULL CHECK (chain_seq > 0),
  chain_mac bytea NOT NULL CHECK (octet_length(chain_mac) = 32),
  source text NOT NULL,
  first_n bigint NOT NULL CHECK (first_n > 0),
  last_n bigint NOT NULL CHECK (last_n >= first_n),
  digest bytea NOT NULL CHECK (octet_length(digest) = 32),
  sealed_at timestamptz NOT NULL,
  PRIMARY KEY (chain_id, chain_seq)
);
CREATE INDEX event_seals_range ON audit.event_seals (source, first_n, last_n);
COMMENT ON TABLE audit.event_seals IS
  'Links of the hash chains that fix events: each a digest over a range of events of one log.';
COMMENT ON COLUMN audit.event_seals.chain_id IS 'Hash chain that the seal is a link of.';
COMMENT ON COLUMN audit.event_seals.chain_seq IS 'Its place in that chain.';
COMMENT ON COLUMN audit.event_seals.chain_mac IS 'HMAC-SHA256 over the link before and the seal.';
COMMENT ON COLUMN audit.event_seals.source IS 'Which log: a row of audit.event_logs.';
COMMENT ON COLUMN audit.event_seals.first_n IS 'First event, by its seal_n.';
COMMENT ON COLUMN audit.event_seals.last_n IS 'Last event, by its seal_n.';
COMMENT ON COLUMN audit.event_seals.digest IS 'SHA-256 over the rows of the events, in that order.';
COMMENT ON COLUMN audit.event_seals.sealed_at IS 'When they were digested.';
ALTER TABLE audit.event_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.event_seals FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.event_seals TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY writer_inserts ON audit.event_seals FOR INSERT TO tollgate_audit_writer
  WITH CHECK (true);
CREATE POLICY app_seals ON audit.event_seals FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'seals');
CREATE POLICY reader_platform ON audit.event_seals FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT INSERT ON audit.event_seals TO tollgate_audit_writer;
GRANT SELECT ON audit.event_seals TO tollgate_app, audit_reader;

CREATE TABLE audit.event_logs (
  source text PRIMARY KEY CHECK (source ~ '^[a-z]+$'),
  log name NOT NULL UNIQUE,
  last_n bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE audit.event_logs IS 'The logs whose events are sealed.';
COMMENT ON COLUMN audit.event_logs.source IS 'What seals call it.';
COMMENT ON COLUMN audit.event_logs.log IS 'Its table in this schema.';
COMMENT ON COLUMN audit.event_logs.last_n IS 'The last number that an event was given.';
ALTER TABLE audit.event_logs ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.event_logs FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.event_logs TO tollgate_owner USING (true) WITH CHECK (true);

CREATE TABLE audit.event_claims (
  source text NOT NULL REFERENCES audit.event_logs (source),
  first_n bigint NOT NULL,
  last_n bigint NOT NULL,
  claimed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, first_n)
);
COMMENT ON TABLE audit.event_claims IS
  'Ranges of events that a gateway has been given to seal, until their seal is here.';
COMMENT ON COLUMN audit.event_claims.source IS 'Which log.';
COMMENT ON COLUMN audit.event_claims.first_n IS 'First event, by its seal_n.';
COMMENT ON COLUMN audit.event_claims.last_n IS 'Last event, by its seal_n.';
COMMENT ON COLUMN audit.event_claims.claimed_at IS
  'When a gateway last got it; five minutes later another one does.';
ALTER TABLE audit.event_claims ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.event_claims FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.event_claims TO tollgate_owner USING (true) WITH CHECK (true);

-- The channel is a hint; a slow look stands behind it.
CREATE FUNCTION audit.on_event()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, audit, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('tollgate_events', '');
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.on_event() IS 'Trigger: tells the nodes that there are events to seal.';

-- For migrations: a log needs nothing else here, and an entry in audit/event_seal.c.
CREATE FUNCTION audit.seal_event_log(p_source text, p_log name)
RETURNS void LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, audit, pg_temp
AS $$
BEGIN
  EXECUTE format('ALTER TABLE audit.%I ADD COLUMN seal_n bigint CHECK (seal_n > 0)', p_log);
  EXECUTE format('COMMENT ON COLUMN audit.%I.seal_n IS %L', p_log,
                 'Its number in the order in which events were sealed; NULL: not yet.');
  EXECUTE format('CREATE UNIQUE INDEX %I ON audit.%I (seal_n) WHERE seal_n IS NOT NULL',
                 p_log || '_sealed', p_log);
  EXECUTE format('CREATE INDEX %I ON audit.%I ((true)) WHERE seal_n IS NULL',
                 p_log || '_unsealed', p_log);
  EXECUTE format('CREATE POLICY app_seals ON audit.%I FOR SELECT TO tollgate_app'
                 ' USING (current_setting(''app.audit_scope'', true) = ''seals'')', p_log);
  EXECUTE format('CREATE TRIGGER to_seal AFTER INSERT ON audit.%I FOR EACH STATEMENT'
                 ' EXECUTE FUNCTION audit.on_event()', p_log);
  INSERT INTO audit.event_logs (source, log) VALUES (p_source, p_log);
END
$$;
COMMENT ON FUNCTION audit.seal_event_log(text, name) IS
  'From now on the events of a log of this schema are sealed, those that it has too. For migrations.';
SELECT audit.seal_event_log('auth', 'auth_event_log');

-- Numbers are given here and not by a sequence at insertion, because those of transactions that are
-- still open would be missing from a range that was sealed.
CREATE FUNCTION audit.claim_events(p_limit int)
RETURNS TABLE (source text, first_n bigint, last_n bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  entry audit.event_logs;
  numbered bigint;
BEGIN
  -- Another node is at it.
  IF NOT pg_try_advisory_xact_lock(4935230119) THEN
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
COMMENT ON FUNCTION audit.claim_events(int) IS
  'Gives the caller ranges of events to seal, at most one of each log and of p_limit events; nothing while another one is asking.';

-- Partitions ------------------------------------------------------------------------------------

CREATE TABLE audit.retention (
  log name NOT NULL,
  retention_class text NOT NULL,
  least_days int NOT NULL DEFAULT 7 CHECK (least_days >= 1),
  PRIMARY KEY (log, retention_class)
);
COMMENT ON TABLE audit.retention IS
  'How young no partition is dropped, whatever a gateway is set to. Only tollgate_owner writes it: raise it where the law says so.';
COMMENT ON COLUMN audit.retention.log IS 'Partitioned table of this schema.';
COMMENT ON COLUMN audit.retention.retention_class IS 'Its retention class.';
COMMENT ON COLUMN audit.retention.least_days IS
  'Full days (UTC) that have to have passed since the partition''s end.';
ALTER TABLE audit.retention ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.retention FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.retention TO tollgate_owner USING (true) WITH CHECK (true);
INSERT INTO audit.retention (log, retention_class) VALUES ('call_log', 'standard');

CREATE TABLE audit.partition_seals (
  partition name PRIMARY KEY,
  log name NOT NULL,
  from_at timestamptz NOT NULL,
  to_at timestamptz NOT NULL,
  n_rows bigint NOT NULL,
  statement text NOT NULL,
  signature bytea NOT NULL CHECK (octet_length(signature) = 64),
  sealed_at timestamptz NOT NULL
);
COMMENT ON TABLE audit.partition_seals IS
  'What is left of partitions that were dropped: a signed statement of what they held.';
COMMENT ON COLUMN audit.partition_seals.partition IS 'Its name in audit_parts.';
COMMENT ON COLUMN audit.partition_seals.log IS 'Partitioned table that it was of.';
COMMENT ON COLUMN audit.partition_seals.from_at IS 'Its rows began at or after that.';
COMMENT ON COLUMN audit.partition_seals.to_at IS 'Its rows began before that.';
COMMENT ON COLUMN audit.partition_seals.n_rows IS 'How many rows it had.';
COMMENT ON COLUMN audit.partition_seals.statement IS
  'JSON, byte for byte as signed: the ranges of each chain that were in it and the MACs at their edges.';
COMMENT ON COLUMN audit.partition_seals.signature IS
  'Ed25519 over the statement, by the key of the deployment: tollgate audit verify.';
COMMENT ON COLUMN audit.partition_seals.sealed_at IS 'When it was verified, and dropped right after.';
ALTER TABLE audit.partition_seals ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.partition_seals FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.partition_seals TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY app_seals ON audit.partition_seals FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'seals');
CREATE POLICY reader_platform ON audit.partition_seals FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT SELECT ON audit.partition_seals TO tollgate_app, audit_reader;

-- What this offers, and nothing else, can be dropped.
CREATE FUNCTION audit.old_partitions()
RETURNS TABLE (log name, partition name, from_at timestamptz, to_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO'
AS $$
  SELECT r.log, d.partition, d.from_at, d.to_at
  FROM audit.retention r
  CROSS JOIN LATERAL (
    SELECT c.relname AS partition,
           substring(b.bound FROM 'FROM [(]''([^'']+)''[)]')::timestamptz AS from_at,
           substring(b.bound FROM 'TO [(]''([^'']+)''[)]')::timestamptz AS to_at
    FROM pg_partition_tree(format('audit.%I', r.log)::regclass) t
    JOIN pg_class c ON c.oid = t.relid
    JOIN pg_class p ON p.oid = t.parentrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound,
                               pg_get_expr(p.relpartbound, p.oid) AS class) b
    WHERE t.isleaf AND c.relnamespace = 'audit_parts'::regnamespace
      AND b.class = format('FOR VALUES IN (%L)', r.retention_class)
  ) d
  WHERE d.to_at <= now() - make_interval(days => r.least_days)
  ORDER BY d.to_at, d.partition
$$;
COMMENT ON FUNCTION audit.old_partitions() IS
  'The partitions that audit.retention lets go, oldest first.';

-- Writers of the partition wait from the count on; everybody else only while it is taken out, and
-- nobody behind us for longer than lock_timeout.
CREATE FUNCTION audit.drop_partition(p_partition name, p_statement text, p_signature bytea)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, audit, pg_temp SET lock_timeout = '1s'
AS $$
DECLARE
  old record;
  said jsonb := p_statement::jsonb;
  n bigint;
BEGIN
  SELECT * INTO old FROM audit.old_partitions() o WHERE o.partition = p_partition;
  IF NOT FOUND THEN
    RAISE EXCEPTION '% is no partition that may be dropped', p_partition
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  IF said->>'partition' IS DISTINCT FROM old.partition::text
     OR said->>'log' IS DISTINCT FROM old.log::text THEN
    RAISE EXCEPTION 'the seal is not that of %', p_partition
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  EXECUTE format('LOCK TABLE audit_parts.%I IN SHARE MODE', p_partition);
  EXECUTE format('SELECT count(*) FROM audit_parts.%I', p_partition) INTO n;
  IF (said->>'rows')::bigint IS DISTINCT FROM n THEN
    RAISE EXCEPTION '% has % rows, its seal says %', p_partition, n, said->>'rows'
      USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  INSERT INTO audit.partition_seals
  VALUES (old.partition, old.log, old.from_at, old.to_at, n, p_statement, p_signature,
          (said->>'sealed_at')::timestamptz);
  EXECUTE format('DROP TABLE audit_parts.%I', p_partition);
  RETURN n;
END
$$;
COMMENT ON FUNCTION audit.drop_partition(name, text, bytea) IS
  'Drops a partition that is old enough and leaves its seal; returns how many rows it had. Nobody else drops one.';

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.claim_events(int), audit.old_partitions(),
  audit.drop_partition(name, text, bytea)
TO tollgate_app;
