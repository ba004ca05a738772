-- SPDX-License-Identifier: Apache-2.0
-- The views, functions and roles that SQL users work with.
--
-- The rollups are views over the rows: exact, and nothing has to be kept in step. Each takes its
-- days or hours from the partitions that are there and reads a period at a time, so that a filter on
-- `day` or `hour` leads to the partitions that it needs, as one on started_at does in audit.calls.
-- docs/decisions/022-rollups-are-views.md.

SET LOCAL ROLE tollgate_owner;

-- Who reads what --------------------------------------------------------------------------------
-- The same rows as before, but each arm is a condition that the primary key can answer, so that a
-- reader of one tenant does not visit the others' rows. One tenant is an arm of its own because the
-- planner knows how many rows one has, and takes an array that it cannot see for ten. The ranges
-- exclude nothing: the planner takes them for a few rows, as most readers have no further tenant.

ALTER POLICY reader_tenants ON audit.call_log
  USING (tenant_id = (SELECT r.tenant_id FROM audit.reader_roles r
                      WHERE r.tenant_id IS NOT NULL ORDER BY 1 LIMIT 1)
         OR tenant_id = ANY (ARRAY(SELECT r.tenant_id FROM audit.reader_roles r
                                   WHERE r.tenant_id IS NOT NULL ORDER BY 1 OFFSET 1))
            AND tenant_id >= (SELECT r.tenant_id FROM audit.reader_roles r
                              WHERE r.tenant_id IS NOT NULL ORDER BY 1 OFFSET 1 LIMIT 1)
            AND tenant_id <= 'ffffffff-ffff-ffff-ffff-ffffffffffff');
ALTER POLICY reader_platform ON audit.call_log
  USING (tenant_id >= (SELECT '00000000-0000-0000-0000-000000000000'::uuid
                       FROM audit.reader_roles r WHERE r.tenant_id IS NULL)
         AND tenant_id <= 'ffffffff-ffff-ffff-ffff-ffffffffffff');

-- Histograms ------------------------------------------------------------------------------------
-- Counts per bucket, because percentiles of parts say nothing about the whole and counts add up.
-- A duration belongs to the first bucket whose bound is not below it, as with Prometheus.

CREATE FUNCTION audit.histogram_bounds()
RETURNS double precision[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN '{0.01,0.02,0.05,0.1,0.2,0.5,1,2,5,10,30,60,120,300}'::double precision[];
COMMENT ON FUNCTION audit.histogram_bounds() IS
  'Upper bounds of the first 14 buckets in seconds; the 15th has none. Those of OpenTelemetry''s mcp.server.operation.duration.';

-- width_bucket has bounds that belong to the bucket above; seen from below zero it is as it should be.
CREATE FUNCTION audit.histogram_bucket(seconds double precision)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 15 - width_bucket(-seconds,
  '{-300,-120,-60,-30,-10,-5,-2,-1,-0.5,-0.2,-0.1,-0.05,-0.02,-0.01}'::double precision[]);
COMMENT ON FUNCTION audit.histogram_bucket(double precision) IS
  'Which bucket, 1 to 15, a duration in seconds belongs to.';

-- Runs for each row: a search_path of its own would double its price, so it names schemas instead.
CREATE FUNCTION audit.histogram_add(state bigint[], seconds double precision, n bigint)
RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
  i CONSTANT int := 15 OPERATOR(pg_catalog.-) pg_catalog.width_bucket(OPERATOR(pg_catalog.-) seconds,
    '{-300,-120,-60,-30,-10,-5,-2,-1,-0.5,-0.2,-0.1,-0.05,-0.02,-0.01}'::pg_catalog.float8[]);
BEGIN
  IF i IS NOT NULL AND n IS NOT NULL THEN
    state[i] := state[i] OPERATOR(pg_catalog.+) n;
  END IF;
  RETURN state;
END
$$;
COMMENT ON FUNCTION audit.histogram_add(bigint[], double precision, bigint) IS
  'Step of audit.histogram: n durations more.';

CREATE FUNCTION audit.histogram_sum(a bigint[], b bigint[])
RETURNS bigint[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, audit, pg_temp
AS $$
BEGIN
  IF cardinality(a) <> 15 OR cardinality(b) <> 15 THEN
    RAISE EXCEPTION 'a histogram has 15 counts, not % and %', cardinality(a), cardinality(b)
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR i IN 1..15 LOOP
    a[i] := a[i] + b[i];
  END LOOP;
  RETURN a;
END
$$;
COMMENT ON FUNCTION audit.histogram_sum(bigint[], bigint[]) IS 'Two histograms as one.';

CREATE AGGREGATE audit.histogram(seconds double precision, n bigint) (
  SFUNC = audit.histogram_add, STYPE = bigint[], INITCOND = '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}',
  COMBINEFUNC = audit.histogram_sum, PARALLEL = SAFE);
COMMENT ON AGGREGATE audit.histogram(double precision, bigint) IS
  'Counts of durations in seconds by bucket, each n times: audit.histogram(duration_ms / 1000, n_calls).';

CREATE AGGREGATE audit.histogram_merge(bigint[]) (
  SFUNC = audit.histogram_sum, STYPE = bigint[], COMBINEFUNC = audit.histogram_sum,
  PARALLEL = SAFE);
COMMENT ON AGGREGATE audit.histogram_merge(bigint[]) IS
  'Histograms as one, such as the buckets of several hours.';

CREATE FUNCTION audit.histogram_quantile(q double precision, buckets bigint[])
RETURNS double precision LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  bounds CONSTANT double precision[] := audit.histogram_bounds();
  total bigint := 0;
  below bigint := 0;
  rank double precision;
  lower double precision;
BEGIN
  IF cardinality(buckets) <> 15 THEN
    RAISE EXCEPTION 'a histogram has 15 counts, not %', cardinality(buckets)
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  FOR i IN 1..15 LOOP
    total := total + buckets[i];
  END LOOP;
  IF total = 0 THEN
    RETURN NULL;
  ELSIF q < 0 THEN
    RETURN '-Infinity';
  ELSIF q > 1 THEN -- NaN too, which sorts above all numbers
    RETURN 'Infinity';
  END IF;
  rank := q * total;
  FOR i IN 1..14 LOOP
    IF buckets[i] > 0 AND below + buckets[i] >= rank THEN
      lower := CASE i WHEN 1 THEN 0 ELSE bounds[i - 1] END;
      RETURN lower + (bounds[i] - lower) * (rank - below) / buckets[i];
    END IF;
    below := below + buckets[i];
  END LOOP;
  RETURN bounds[14];
END
$$;
COMMENT ON FUNCTION audit.histogram_quantile(double precision, bigint[]) IS
  'The duration in seconds that the part q of the counted ones does not exceed, 0.95 for p95. Interpolated within its bucket, as Prometheus does: exact to the width of the bucket, and never above 300. NULL: nothing was counted.';

-- Days and hours --------------------------------------------------------------------------------
-- Their search_path keeps them from being inlined: the planner shall see few rows, and not add up
-- the cost of all partitions for each, which would set its JIT compiler going.

CREATE FUNCTION audit.recorded_days()
RETURNS SETOF date LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT DISTINCT to_date(right(c.relname, 8), 'YYYYMMDD')
  FROM pg_partition_tree('audit.call_log') p JOIN pg_class c ON c.oid = p.relid
  WHERE p.isleaf AND p.level > 1 ORDER BY 1
$$;
COMMENT ON FUNCTION audit.recorded_days() IS
  'The UTC days that have a partition, and so can have calls.';

CREATE FUNCTION audit.recorded_hours()
RETURNS SETOF timestamptz LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT (d + make_interval(hours => h)) AT TIME ZONE 'UTC'
  FROM audit.recorded_days() d, generate_series(0, 23) h ORDER BY 1
$$;
COMMENT ON FUNCTION audit.recorded_hours() IS 'Their hours.';

CREATE FUNCTION audit.call_time(call_id uuid)
RETURNS timestamptz LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(('x' || translate(left(call_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0);
COMMENT ON FUNCTION audit.call_time(uuid) IS
  'When a UUIDv7, such as a call_id, was made, to the millisecond: tells which partition to look in.';

-- Calls -----------------------------------------------------------------------------------------

CREATE OR REPLACE VIEW audit.calls WITH (security_invoker = true) AS
SELECT started_at, tenant, user_name, client, connection, tool, method, outcome, duration_ms,
       upstream_ms, error_type, error_message, persona, account, purpose,
       arguments::jsonb AS arguments, request_bytes,
       response_bytes, protocol_version, session_id, request_id, source_ip, api_key, trace_id,
       span_id, call_id, is_error, http_status, damaged, tenant_id, user_id, connection_id, node_id,
       n_calls, audit_level, upstream_status, chain_id, chain_seq,
       make_interval(secs => duration_ms / 1000) AS duration, payload_digest, retention_class
FROM audit.call_log;
CREATE OR REPLACE VIEW audit.errors WITH (security_invoker = true) AS
SELECT * FROM audit.calls WHERE is_error;

-- Rollups ---------------------------------------------------------------------------------------
-- One text for all: %1$s is the column of the period, %2$s the function that lists periods, %3$s and
-- %4$s where one begins and ends, %5$s what a row is about, %6$s its ids, and %11$s both,
-- what differs most first. A query pays for the columns that it names.

DO $$
DECLARE
  outcomes CONSTANT text[] := ARRAY['ok', 'tool_error', 'protocol_error', 'upstream_error',
    'timeout', 'denied', 'unauthenticated', 'malformed', 'rate_limited', 'unavailable',
    'needs_auth', 'cancelled', 'client_closed', 'drained', 'unknown'];
  by_outcome CONSTANT text := (
    SELECT string_agg(format('coalesce(sum(n_calls) FILTER (WHERE outcome = %L), 0)::bigint AS %I',
                             o, o), ', ' ORDER BY i)
    FROM unnest(outcomes) WITH ORDINALITY u (o, i));
  by_bucket CONSTANT text := (
    SELECT string_agg(format('coalesce(sum(n_calls) FILTER (WHERE bucket = %s), 0)::bigint', i),
                      ', ' ORDER BY i)
    FROM generate_series(1, 15) i);
  body CONSTANT text := $view$
CREATE VIEW audit.%7$I WITH (security_invoker = true) AS
SELECT p.%1$s, %5$s, calls, errors, %8$s, total_ms, total_ms / nullif(timed, 0) AS mean_ms, max_ms,
       1000 * audit.histogram_quantile(0.5, buckets) AS p50_ms,
       1000 * audit.histogram_quantile(0.95, buckets) AS p95_ms,
       1000 * audit.histogram_quantile(0.99, buckets) AS p99_ms,
       upstream_ms, request_bytes, response_bytes, first_call, last_call, buckets, %6$s
FROM audit.%2$s() AS p (%1$s)
CROSS JOIN LATERAL (
  SELECT %5$s, %6$s, sum(n_calls)::bigint AS calls,
         coalesce(sum(n_calls) FILTER (WHERE is_error), 0)::bigint AS errors, %9$s,
         sum(duration_ms * n_calls) AS total_ms,
         sum(n_calls) FILTER (WHERE duration_ms IS NOT NULL)::bigint AS timed,
         max(duration_ms) AS max_ms, ARRAY[%10$s] AS buckets,
         sum(upstream_ms * n_calls) AS upstream_ms, sum(request_bytes * n_calls)::bigint AS request_bytes,
         sum(response_bytes * n_calls)::bigint AS response_bytes, min(started_at) AS first_call,
         max(started_at) AS last_call
  FROM (SELECT *, audit.histogram_bucket(duration_ms / 1000) AS bucket FROM audit.call_log) l
  WHERE started_at >= %3$s AND started_at < %4$s
  GROUP BY %11$s) c
$view$;
  day_begins CONSTANT text := 'p.day::timestamp AT TIME ZONE ''UTC''';
  day_ends CONSTANT text := '(p.day + 1)::timestamp AT TIME ZONE ''UTC''';
  names CONSTANT text := array_to_string(outcomes, ', ');
BEGIN
  EXECUTE format(body, 'hour', 'recorded_hours', 'p.hour', 'p.hour + interval ''1 hour''',
                 'tenant, connection, method', 'tenant_id, connection_id', 'calls_hourly', names,
                 by_outcome, by_bucket, 'connection_id, method, connection, tenant_id, tenant');
  EXECUTE format(body, 'day', 'recorded_days', day_begins, day_ends || ' AND tool IS NOT NULL',
                 'tenant, connection, tool', 'tenant_id, connection_id', 'tools_daily', names,
                 by_outcome, by_bucket, 'connection_id, tool, connection, tenant_id, tenant');
  EXECUTE format(body, 'day', 'recorded_days', day_begins, day_ends || ' AND user_name IS NOT NULL',
                 'tenant, user_name', 'tenant_id, user_id', 'users_daily', names, by_outcome,
                 by_bucket, 'user_id, user_name, tenant_id, tenant');
END $$;

COMMENT ON VIEW audit.calls_hourly IS
  'Calls by hour, connection and method. Filter on hour: only its partitions are read.';
COMMENT ON VIEW audit.tools_daily IS
  'Calls of tools by UTC day and tool. Filter on day: only its partitions are read.';
COMMENT ON VIEW audit.users_daily IS
  'Calls by UTC day and user or service key. Filter on day: only its partitions are read.';

-- Statistics ------------------------------------------------------------------------------------

CREATE TABLE audit.stat_resets (
  role_name name PRIMARY KEY DEFAULT current_user,
  reset_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit.stat_resets IS
  'When each reader began to count anew, for audit.stat_tools and audit.stat_connections; audit.stat_reset() writes it.';
COMMENT ON COLUMN audit.stat_resets.role_name IS 'The database role that reads.';
COMMENT ON COLUMN audit.stat_resets.reset_at IS 'When it called audit.stat_reset().';
ALTER TABLE audit.stat_resets ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.stat_resets FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.stat_resets TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY reader_own ON audit.stat_resets TO audit_reader
  USING (role_name = current_user) WITH CHECK (role_name = current_user);
GRANT SELECT, INSERT, UPDATE ON audit.stat_resets TO audit_reader;

CREATE FUNCTION audit.stat_reset()
RETURNS timestamptz LANGUAGE sql VOLATILE SET search_path = pg_catalog, audit, pg_temp
AS $$
  INSERT INTO audit.stat_resets (role_name, reset_at) VALUES (current_user, now())
  ON CONFLICT (role_name) DO UPDATE SET reset_at = now()
  RETURNING reset_at
$$;
COMMENT ON FUNCTION audit.stat_reset() IS
  'From now on audit.stat_tools and audit.stat_connections count anew, for the role that asks and nobody else.';

CREATE FUNCTION audit.stat_since()
RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT coalesce((SELECT s.reset_at FROM audit.stat_resets s WHERE s.role_name = current_user),
                  now() - interval '24 hours');
END;
COMMENT ON FUNCTION audit.stat_since() IS
  'What audit.stat_tools and audit.stat_connections count since: the last audit.stat_reset() of the role that asks, or 24 hours ago.';

DO $$
DECLARE
  body CONSTANT text := $view$
CREATE VIEW audit.%1$I WITH (security_invoker = true) AS
SELECT s.tenant, %2$s, w.since, s.calls, s.errors, s.total_ms, s.total_ms / nullif(s.timed, 0) AS mean_ms,
       s.max_ms, 1000 * audit.histogram_quantile(0.95, s.buckets) AS p95_ms, s.upstream_ms,
       s.request_bytes, s.response_bytes, s.last_call, s.last_error_at, e.outcome AS last_outcome,
       e.error_type AS last_error_type, e.error_message AS last_error, e.call_id AS last_error_id,
       s.buckets, s.tenant_id, s.connection_id
FROM (SELECT audit.stat_since() OFFSET 0) w (since)
CROSS JOIN LATERAL (
  SELECT tenant, tenant_id, connection_id, %3$s, sum(n_calls)::bigint AS calls,
         coalesce(sum(n_calls) FILTER (WHERE is_error), 0)::bigint AS errors,
         sum(duration_ms * n_calls) AS total_ms,
         sum(n_calls) FILTER (WHERE duration_ms IS NOT NULL)::bigint AS timed,
         max(duration_ms) AS max_ms, ARRAY[%4$s] AS buckets,
         sum(upstream_ms * n_calls) AS upstream_ms, sum(request_bytes * n_calls)::bigint AS request_bytes,
         sum(response_bytes * n_calls)::bigint AS response_bytes, max(started_at) AS last_call,
         max(started_at) FILTER (WHERE is_error) AS last_error_at
  FROM (SELECT *, audit.histogram_bucket(duration_ms / 1000) AS bucket FROM audit.call_log) b
  -- Without an end the planner expects a third of the whole book, and sets its JIT going.
  WHERE started_at >= w.since AND started_at <= 'infinity' AND %5$s
  GROUP BY connection_id, %3$s, tenant_id, tenant) s
LEFT JOIN LATERAL (
  SELECT l.outcome, l.error_type, l.error_message, l.call_id FROM audit.call_log l
  WHERE l.tenant_id = s.tenant_id AND l.started_at = s.last_error_at AND l.is_error AND %6$s
  ORDER BY l.call_id DESC LIMIT 1) e ON true
$view$;
  by_bucket CONSTANT text := (
    SELECT string_agg(format('coalesce(sum(n_calls) FILTER (WHERE bucket = %s), 0)::bigint', i),
                      ', ' ORDER BY i)
    FROM generate_series(1, 15) i);
BEGIN
  EXECUTE format(body, 'stat_tools', 's.connection, s.tool', 'connection, tool', by_bucket,
    'tool IS NOT NULL',
    'l.tool = s.tool AND l.connection_id IS NOT DISTINCT FROM s.connection_id');
  EXECUTE format(body, 'stat_connections', 's.connection', 'connection', by_bucket,
    'connection IS NOT NULL',
    'l.connection = s.connection AND l.connection_id IS NOT DISTINCT FROM s.connection_id');
END $$;
COMMENT ON VIEW audit.stat_tools IS
  'Each tool, counted since audit.stat_since(), and how it last failed.';
COMMENT ON VIEW audit.stat_connections IS
  'Each connection, counted since audit.stat_since(), and how it last failed.';

-- The schema in words ---------------------------------------------------------------------------

CREATE VIEW audit.schema_doc WITH (security_invoker = true) AS
-- As texts of anybody's: those of the catalogs sort by bytes, and mix with no others.
SELECT c.relname::text COLLATE "default" AS relation,
       a.attname::text COLLATE "default" AS column_name,
       format_type(a.atttypid, a.atttypmod) AS type, d.description COLLATE "default" AS comment,
       substring(d.description FROM 'OpenTelemetry: ([A-Za-z0-9_.]*[A-Za-z0-9_])')
         COLLATE "default" AS attribute,
       coalesce(a.attnum, 0)::int AS position
FROM pg_catalog.pg_class c
CROSS JOIN LATERAL (
  SELECT 0::smallint AS attnum, NULL::name AS attname, NULL::oid AS atttypid, NULL::int AS atttypmod
  UNION ALL
  SELECT t.attnum, t.attname, t.atttypid, t.atttypmod FROM pg_catalog.pg_attribute t
  WHERE t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped) a
LEFT JOIN pg_catalog.pg_description d
  ON d.objoid = c.oid AND d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = a.attnum
WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind IN ('r', 'p', 'v')
  AND has_any_column_privilege(c.oid, 'SELECT')
  AND (a.attnum = 0 OR has_column_privilege(c.oid, a.attnum, 'SELECT'));
COMMENT ON VIEW audit.schema_doc IS
  'What there is in schema audit for the role that asks: every relation and column with its comment.';

-- Comments --------------------------------------------------------------------------------------

COMMENT ON COLUMN audit.call_log.request_bytes IS 'Size of the request body in bytes.';
COMMENT ON COLUMN audit.call_log.response_bytes IS 'Size of the answer as sent, in bytes.';

DO $$
DECLARE
  said CONSTANT jsonb := $json${
    "hour": "Start of the hour (UTC).",
    "day": "UTC day, as the partitions are.",
    "since": "When counting began: audit.stat_since().",
    "calls": "How many calls; a row that stands for several counts as them.",
    "errors": "How many of them were errors: all but ok, cancelled, client_closed, drained.",
    "total_ms": "Milliseconds that they took together.",
    "mean_ms": "Milliseconds that one took on average.",
    "max_ms": "Milliseconds that the longest took.",
    "p50_ms": "Milliseconds that half of them did not exceed, interpolated: audit.histogram_quantile.",
    "p95_ms": "Milliseconds that 95 of 100 did not exceed, interpolated.",
    "p99_ms": "Milliseconds that 99 of 100 did not exceed, interpolated.",
    "upstream_ms": "Milliseconds that upstreams took of it together.",
    "request_bytes": "Size of the request bodies together, in bytes.",
    "response_bytes": "Size of the answers together, in bytes.",
    "first_call": "When the first began.",
    "last_call": "When the last began.",
    "last_error_at": "When the last error began; NULL: none was.",
    "last_outcome": "Outcome of that one.",
    "last_error_type": "Type of that error. OpenTelemetry: error.type.",
    "last_error": "What it said.",
    "last_error_id": "Its call_id.",
    "buckets": "Calls by duration, in the 15 buckets of audit.histogram_bounds(); they add up: audit.histogram_merge. OpenTelemetry: mcp.server.operation.duration.",
    "duration": "The same as duration_ms, as an interval.",
    "relation": "Table or view of schema audit.",
    "column_name": "Its column; NULL: the relation itself.",
    "type": "Type of the column.",
    "comment": "What is in it; times are with zone, and units are named.",
    "attribute": "Attribute or metric of OpenTelemetry that says the same, if there is one.",
    "position": "Place of the column; 0: the relation itself."}$json$;
  col record;
BEGIN
  FOR col IN
    WITH of_table AS (
      SELECT attname, col_description(attrelid, attnum) AS comment FROM pg_attribute
      WHERE attrelid = 'audit.call_log'::regclass AND attnum > 0 AND NOT attisdropped)
    SELECT c.oid::regclass AS relation, v.attname,
           CASE WHEN c.relnamespace = 'audit_parts'::regnamespace
                  OR c.relname IN ('calls', 'errors') THEN coalesce(t.comment, said->>v.attname)
                WHEN v.attname = ANY (o.outcomes) THEN format('How many ended as %s.', v.attname)
                ELSE coalesce(said->>v.attname, t.comment) END AS comment
    FROM pg_class c
    JOIN pg_attribute v ON v.attrelid = c.oid AND v.attnum > 0 AND NOT v.attisdropped
    LEFT JOIN of_table t ON t.attname = v.attname
    CROSS JOIN (SELECT ARRAY['ok', 'tool_error', 'protocol_error', 'upstream_error', 'timeout',
      'denied', 'unauthenticated', 'malformed', 'rate_limited', 'unavailable', 'needs_auth',
      'cancelled', 'client_closed', 'drained', 'unknown']::name[]) o (outcomes)
    WHERE c.relnamespace = 'audit_parts'::regnamespace AND c.relkind IN ('r', 'p')
       OR c.oid IN ('audit.calls'::regclass, 'audit.errors'::regclass,
                    'audit.calls_hourly'::regclass, 'audit.tools_daily'::regclass,
                    'audit.users_daily'::regclass, 'audit.stat_tools'::regclass,
                    'audit.stat_connections'::regclass, 'audit.schema_doc'::regclass)
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.relation, col.attname, col.comment);
  END LOOP;
END $$;

GRANT SELECT ON audit.calls_hourly, audit.tools_daily, audit.users_daily, audit.stat_tools,
  audit.stat_connections, audit.schema_doc TO audit_reader;

-- Making readers --------------------------------------------------------------------------------
-- As whoever calls them: it takes the owner, who may write reader_roles, and the right to grant
-- audit_reader. `tollgate audit grant-reader` does nothing else.

CREATE FUNCTION audit.find_reader_tenant(p_tenant text)
RETURNS uuid LANGUAGE plpgsql STABLE SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  found_id uuid;
BEGIN
  SELECT t.id INTO found_id FROM tollgate.tenants t WHERE t.name = p_tenant;
  IF found_id IS NULL AND p_tenant ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
    found_id := p_tenant::uuid;
  END IF;
  IF found_id IS NULL OR found_id = '00000000-0000-0000-0000-000000000000' THEN
    RAISE EXCEPTION 'there is no tenant named %', p_tenant USING ERRCODE = 'no_data_found';
  END IF;
  RETURN found_id;
END
$$;
COMMENT ON FUNCTION audit.find_reader_tenant(text) IS
  'Id of a tenant by its name; an id stands for itself, also of a tenant that is gone.';

CREATE FUNCTION audit.grant_reader(p_role text, p_tenant text, p_create boolean DEFAULT false)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  of_tenant CONSTANT uuid := CASE WHEN p_tenant IS NOT NULL
                                  THEN audit.find_reader_tenant(p_tenant) END;
  role record;
  done text := '';
BEGIN
  IF p_role IN ('tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'audit_reader')
     OR p_role ~ '^pg_' THEN
    RAISE EXCEPTION 'role % is no reader''s: give each reader a role of its own', p_role
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF p_create AND NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = p_role) THEN
    EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS', p_role);
    done := 'created, ';
  END IF;
  SELECT r.oid, r.rolsuper, r.rolbypassrls INTO role FROM pg_roles r WHERE r.rolname = p_role;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no role %', p_role USING ERRCODE = 'undefined_object';
  ELSIF role.rolsuper OR role.rolbypassrls THEN
    RAISE EXCEPTION 'role % is a superuser or bypasses row level security: it sees every tenant anyway',
      p_role USING ERRCODE = 'invalid_parameter_value';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_auth_members m
                 WHERE m.roleid = 'audit_reader'::regrole AND m.member = role.oid) THEN
    EXECUTE format('GRANT audit_reader TO %I', p_role);
    done := done || 'member of audit_reader, ';
  END IF;
  INSERT INTO audit.reader_roles (role_name, tenant_id) VALUES (p_role, of_tenant)
  ON CONFLICT DO NOTHING;
  RETURN done || CASE WHEN FOUND THEN 'granted' ELSE 'had it already' END;
END
$$;
COMMENT ON FUNCTION audit.grant_reader(text, text, boolean) IS
  'Lets a database role read the audit schema for a tenant, or for all if that is NULL; makes the role first if asked, without a password. Says what it did.';

CREATE FUNCTION audit.revoke_reader(p_role text, p_tenant text, p_platform boolean)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  of_tenant CONSTANT uuid := CASE WHEN p_tenant IS NOT NULL
                                  THEN audit.find_reader_tenant(p_tenant) END;
  n bigint;
  done text;
BEGIN
  DELETE FROM audit.reader_roles r
  WHERE r.role_name = p_role
    AND (p_tenant IS NULL AND NOT p_platform OR p_platform AND r.tenant_id IS NULL
         OR r.tenant_id = of_tenant);
  GET DIAGNOSTICS n = ROW_COUNT;
  done := CASE n WHEN 0 THEN 'had nothing' ELSE 'revoked' END;
  IF NOT EXISTS (SELECT FROM audit.reader_roles r WHERE r.role_name = p_role)
     AND EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member
                 WHERE m.roleid = 'audit_reader'::regrole AND r.rolname = p_role) THEN
    EXECUTE format('REVOKE audit_reader FROM %I', p_role);
    done := done || ', member of audit_reader no more';
  END IF;
  RETURN done;
END
$$;
COMMENT ON FUNCTION audit.revoke_reader(text, text, boolean) IS
  'Takes from a role the right to read a tenant, or all tenants (platform), or, with neither, everything; with the last right goes the membership in audit_reader. Says what it did.';

CREATE FUNCTION audit.list_readers()
RETURNS TABLE (role_name text, tenant text, tenant_id uuid, works boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT r.role_name::text, t.name, r.tenant_id,
         EXISTS (SELECT FROM pg_roles p
                 WHERE p.rolname = r.role_name AND pg_has_role(p.oid, 'audit_reader', 'member'))
  FROM audit.reader_roles r LEFT JOIN tollgate.tenants t ON t.id = r.tenant_id
  ORDER BY 1, r.tenant_id IS NOT NULL, t.name, r.tenant_id
$$;
COMMENT ON FUNCTION audit.list_readers() IS
  'Who may read what; tenant_id NULL: every tenant. works is false if the role is gone or no member of audit_reader.';

-- Who may call what -----------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  audit.histogram_bounds(),
  audit.histogram_bucket(double precision),
  audit.histogram_add(bigint[], double precision, bigint),
  audit.histogram_sum(bigint[], bigint[]),
  audit.histogram_quantile(double precision, bigint[]),
  audit.histogram(double precision, bigint),
  audit.histogram_merge(bigint[])
TO audit_reader, tollgate_app;
GRANT EXECUTE ON FUNCTION
  audit.recorded_days(), audit.recorded_hours(), audit.stat_since(), audit.stat_reset(),
  audit.call_time(uuid)
TO audit_reader;
