-- SPDX-License-Identifier: Apache-2.0
-- What SQL users work with: histograms, rollups and counters, who sees what through every view, how
-- readers are made, and the contract that the columns are.

\ir setup.psql
\ir audit_seed.psql

-- Histograms ------------------------------------------------------------------------------------

SELECT is(audit.histogram_bucket(s), b, format('%s s are in bucket %s', s, b))
FROM (VALUES (0::double precision, 1), (0.01, 1), (0.010000001, 2), (0.02, 2), (1, 7), (1.1, 8),
             (300, 14), (300.1, 15), (1e9, 15), (NULL, NULL)) v (s, b);
SELECT is(array_agg(audit.histogram_bucket(bound) ORDER BY i), ARRAY[1,2,3,4,5,6,7,8,9,10,11,12,13,14],
          'each bound belongs to the bucket that it ends')
FROM unnest(audit.histogram_bounds()) WITH ORDINALITY u (bound, i);
SELECT is(audit.histogram(s, n), '{3,1,0,0,0,0,5,0,0,0,0,0,0,0,2}'::bigint[], 'rows count n times')
FROM (VALUES (0.001::double precision, 2::bigint), (0.01, 1), (0.02, 1), (0.9, 5), (400, 2), (NULL, 9))
  v (s, n);
SELECT is(audit.histogram(s, 1), '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}'::bigint[], 'of nothing: zeroes')
FROM (SELECT 1::double precision WHERE false) v (s);
SELECT is(audit.histogram_merge(b), '{11,22,33,44,55,66,77,88,99,110,121,132,143,154,165}'::bigint[],
          'merged: added up, and NULL is nothing')
FROM (VALUES ('{1,2,3,4,5,6,7,8,9,10,11,12,13,14,15}'::bigint[]), (NULL),
             ('{10,20,30,40,50,60,70,80,90,100,110,120,130,140,150}')) v (b);
SELECT throws_ok($$ SELECT audit.histogram_merge(b)
  FROM (VALUES ('{1}'::bigint[]), ('{1}')) v (b) $$, '22023', NULL, 'but not what is no histogram');
SELECT throws_ok($$ SELECT audit.histogram_quantile(0.5, '{1,2}') $$, '22023', NULL,
                 'which has no quantile either');
SELECT is(audit.histogram_quantile(q, b::bigint[]), v::double precision, format('q %s of %s', q, b))
FROM (VALUES
  (0.5::double precision, '{0,0,0,0,0,0,10,0,0,0,0,0,0,0,0}', '0.75'),
  (0, '{0,0,0,0,0,0,10,0,0,0,0,0,0,0,0}', '0.5'),
  (1, '{0,0,0,0,0,0,10,0,0,0,0,0,0,0,0}', '1'),
  (0.5, '{4,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', '0.005'),
  (0.5, '{1,0,0,0,0,0,1,0,0,0,0,0,0,0,0}', '0.01'),
  (0.75, '{1,0,0,0,0,0,1,0,0,0,0,0,0,0,0}', '0.75'),
  (0.99, '{1,0,0,0,0,0,0,0,0,0,0,0,0,0,9}', '300'),
  (0.5, '{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', NULL),
  (NULL, '{4,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', NULL),
  (-0.1, '{4,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', '-Infinity'),
  (1.1, '{4,0,0,0,0,0,0,0,0,0,0,0,0,0,0}', 'Infinity')) c (q, b, v);
-- Against the exact one: never off by more than the bucket is wide.
SELECT ok(abs(audit.histogram_quantile(q, h) - exact) <= width, format('p%s is in its bucket', 100 * q))
FROM (SELECT setseed(0.5)) s,
LATERAL (SELECT audit.histogram(x, 1) AS h,
                percentile_disc(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY x) AS exacts
         FROM (SELECT 2 * random() * random() AS x FROM generate_series(1, 5000)) r) d,
LATERAL (VALUES (0.5::double precision, exacts[1], 0.3), (0.9, exacts[2], 1), (0.99, exacts[3], 1))
  c (q, exact, width);
SELECT is_empty($$ SELECT oid::regprocedure FROM pg_proc
  WHERE pronamespace = 'audit'::regnamespace AND proname LIKE 'histogram%'
    AND NOT (provolatile = 'i' AND proparallel = 's') $$,
  'all of them are immutable and parallel safe');
SELECT is(audit.call_time('0198f0aa-5c00-7fff-8fff-ffffffffffff'), '2025-08-28 12:32:33.28Z',
          'a call_id says when');

-- Rollups ---------------------------------------------------------------------------------------
-- Each says of every period what its rows add up to, whichever way one adds.

CREATE FUNCTION pg_temp.rollup(relation text, period text, about text) RETURNS text
LANGUAGE sql AS $f$
  SELECT format($$ SELECT jsonb_build_array(%2$s, %3$s, calls, errors, ok, tool_error, denied,
    needs_auth, rate_limited, unauthenticated, round(total_ms::numeric, 3),
    round(mean_ms::numeric, 3), max_ms, round(upstream_ms::numeric, 3), request_bytes, response_bytes,
    first_call, last_call, buckets, tenant_id,
    round(audit.histogram_quantile(0.5, buckets)::numeric * 1000, 3) = round(p50_ms::numeric, 3),
    round(p95_ms::numeric, 3), round(p99_ms::numeric, 3))
    FROM audit.%1$s $$, relation, period, about) $f$;
CREATE FUNCTION pg_temp.added_up(period text, about text, filter text) RETURNS text
LANGUAGE sql AS $f$
  SELECT format($$ SELECT jsonb_build_array(%1$s, %2$s, sum(n_calls),
    coalesce(sum(n_calls) FILTER (WHERE is_error), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'ok'), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'tool_error'), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'denied'), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'needs_auth'), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'rate_limited'), 0),
    coalesce(sum(n_calls) FILTER (WHERE outcome = 'unauthenticated'), 0),
    round(sum(duration_ms * n_calls)::numeric, 3),
    round((sum(duration_ms * n_calls) / sum(n_calls) FILTER (WHERE duration_ms IS NOT NULL))::numeric, 3),
    max(duration_ms), round(sum(upstream_ms * n_calls)::numeric, 3), sum(request_bytes * n_calls),
    sum(response_bytes * n_calls), min(started_at), max(started_at),
    audit.histogram(duration_ms / 1000, n_calls), tenant_id,
    CASE WHEN max(duration_ms) IS NOT NULL THEN true END,
    round(1000 * audit.histogram_quantile(0.95, audit.histogram(duration_ms / 1000, n_calls))::numeric, 3),
    round(1000 * audit.histogram_quantile(0.99, audit.histogram(duration_ms / 1000, n_calls))::numeric, 3))
    FROM audit.calls WHERE %3$s GROUP BY %1$s, %2$s, tenant_id $$, period, about, filter) $f$;
SET LOCAL TimeZone = 'UTC';
SELECT bag_eq(pg_temp.rollup(relation, period, about), pg_temp.added_up(by, about, filter),
              relation || ' are the calls, added up')
FROM (VALUES
  ('calls_hourly', 'hour', 'date_trunc(''hour'', started_at)', 'tenant, connection, method', 'true'),
  ('tools_daily', 'day', 'started_at::date', 'tenant, connection, tool', 'tool IS NOT NULL'),
  ('users_daily', 'day', 'started_at::date', 'tenant, user_name', 'user_name IS NOT NULL'))
  v (relation, period, by, about, filter);
SELECT is((SELECT p95_ms FROM audit.tools_daily
           WHERE day = '2025-08-28' AND tenant = 'alpha' AND tool = 'crm__list'),
          (10 + 20 * 0.95) * 1000::double precision, 'p95_ms is in milliseconds');
SELECT results_eq($$ SELECT sum(ok + tool_error + protocol_error + upstream_error + timeout + denied
    + unauthenticated + malformed + rate_limited + unavailable + needs_auth + cancelled
    + client_closed + drained + unknown) FROM audit.calls_hourly $$,
  'SELECT sum(n_calls) FROM audit.calls', 'every call has its outcome''s column');

-- Days are UTC's, whatever the reader's clock says.
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SELECT results_eq($$ SELECT day, calls FROM audit.tools_daily
                     WHERE tenant = 'alpha' AND day < '2025-09-01' $$,
                  $$ VALUES ('2025-08-28'::date, 1::bigint) $$, 'days are UTC''s');
SET LOCAL TimeZone = 'UTC';

-- Counters --------------------------------------------------------------------------------------

SET SESSION AUTHORIZATION reader_one;
SELECT is(audit.stat_since(), now() - interval '24 hours', 'counters cover a day');
SELECT results_eq($$ SELECT tool, since, calls, errors, total_ms, mean_ms, max_ms, upstream_ms,
    request_bytes, response_bytes, last_call, last_error_at, last_outcome, last_error_type, last_error
  FROM audit.stat_tools ORDER BY tool $$, $$ VALUES
  ('crm__delete_contact', now() - interval '24 hours', 5::bigint, 4::bigint, 603::double precision,
   120.6::double precision, 300::double precision, 540::double precision, 550::bigint, 1060::bigint,
   date_trunc('hour', now()) - interval '3:59:59', date_trunc('hour', now()) - interval '3:59:59',
   'denied', 'denied', 'ended as denied'),
  ('crm__list', now() - interval '24 hours', 2, 0, 300, 150, 150, 200, 200, 2000,
   date_trunc('hour', now()) - interval '4:59:59', NULL, NULL, NULL, NULL),
  ('docs__search', now() - interval '24 hours', 3, 2, 704, 704 / 3.0::double precision, 700, 600,
   10020, 200040, date_trunc('hour', now()) - interval '2:59:58',
   date_trunc('hour', now()) - interval '2:59:59', 'needs_auth', 'needs_auth',
   'ended as needs_auth') $$, 'stat_tools');
SELECT results_eq($$ SELECT connection, calls, errors, last_error FROM audit.stat_connections
                     ORDER BY connection $$,
  $$ VALUES ('crm', 7::bigint, 4::bigint, 'ended as denied'), ('docs', 3, 2, 'ended as needs_auth') $$,
  'stat_connections');
SELECT is((SELECT call_id FROM audit.calls WHERE outcome = 'denied'),
          (SELECT last_error_id FROM audit.stat_connections WHERE connection = 'crm'),
          'and the id of the error');
SELECT is(audit.stat_reset(), now(), 'a reader resets its counters');
SELECT is_empty('SELECT 1 FROM audit.stat_tools', 'and they are empty');
SELECT is(audit.stat_since(), now(), 'and say since when');
SELECT is(audit.stat_reset(), now(), 'and again');
SELECT throws_ok($$ INSERT INTO audit.stat_resets VALUES ('reader_both', now()) $$, '42501', NULL,
                 'it does not reset another''s');
SELECT throws_ok('DELETE FROM audit.stat_resets', '42501', NULL, 'nor delete any');
SET SESSION AUTHORIZATION reader_both;
SELECT is_empty('SELECT 1 FROM audit.stat_resets', 'and another sees nothing of it');
SELECT isnt_empty('SELECT 1 FROM audit.stat_tools', 'and counts on');
RESET SESSION AUTHORIZATION;

DELETE FROM audit.stat_resets;

-- Who sees what, through every view there is ----------------------------------------------------

CREATE TEMP TABLE seen AS
  SELECT c.oid::regclass::text AS relation FROM pg_class c
  WHERE c.relnamespace = 'audit'::regnamespace AND c.relkind = 'v'
    AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id');
CREATE TEMP TABLE held (relation text, tenant_id uuid);
SELECT format('INSERT INTO held SELECT DISTINCT %L, tenant_id FROM %s', relation, relation) FROM seen
\gexec
GRANT SELECT ON seen, held TO PUBLIC;
SELECT bag_eq($$ SELECT relation FROM seen $$, $$ VALUES ('audit.calls'), ('audit.errors'),
  ('audit.calls_hourly'), ('audit.tools_daily'), ('audit.users_daily'), ('audit.stat_tools'),
  ('audit.stat_connections'), ('audit.auth_events'), ('audit.admin_events') $$,
  'every view that holds what tenants did');
SELECT is_empty(format($$ SELECT relation FROM seen WHERE relation NOT IN (
    SELECT relation FROM held WHERE tenant_id = %L INTERSECT
    SELECT relation FROM held WHERE tenant_id = %L) $$, :tenant_a, :tenant_b),
  'and each holds something of both');

CREATE TEMP TABLE reader (name text, sees uuid[]);
INSERT INTO reader VALUES
  ('reader_one', ARRAY[:tenant_a]::uuid[]), ('reader_both', ARRAY[:tenant_a, :tenant_b]::uuid[]),
  ('reader_none', '{}'), ('reader_member', ARRAY[:tenant_b]::uuid[]),
  ('reader_platform', (SELECT array_agg(DISTINCT tenant_id) FROM held));
SELECT n FROM (
  SELECT name, '' AS relation, format('SET SESSION AUTHORIZATION %I', name) AS n FROM reader
  UNION ALL
  SELECT name, relation, format('SELECT set_eq(%L, %L, %L)',
    format('SELECT DISTINCT tenant_id FROM %s', relation),
    format('SELECT DISTINCT tenant_id FROM held WHERE relation = %L AND tenant_id = ANY (%L::uuid[])',
           relation, sees),
    format('%s sees its tenants in %s and no other', name, relation))
  FROM reader, seen) steps ORDER BY name, relation \gexec
RESET SESSION AUTHORIZATION;

-- A reader that is bound to a tenant by its group alone, and then is not.
SET SESSION AUTHORIZATION reader_member;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.tools_daily', ARRAY[:tenant_b]::uuid[],
              'what the group sees');
RESET SESSION AUTHORIZATION;
REVOKE readers_of_one FROM reader_member;
SET SESSION AUTHORIZATION reader_member;
SELECT throws_ok('SELECT 1 FROM audit.calls', '42501', NULL, 'the member sees while it is one');
RESET SESSION AUTHORIZATION;
GRANT readers_of_one TO reader_member;
DELETE FROM audit.reader_roles WHERE role_name = 'reader_one';
SET SESSION AUTHORIZATION reader_one;
SELECT is_empty('SELECT 1 FROM audit.calls', 'and without its row a reader sees nothing');
RESET SESSION AUTHORIZATION;
INSERT INTO audit.reader_roles VALUES ('reader_one', :tenant_a);

-- A prepared statement does not remember what its role could see.
SET SESSION AUTHORIZATION reader_one;
SET LOCAL plan_cache_mode = force_generic_plan;
PREPARE calls AS SELECT DISTINCT tenant_id FROM audit.calls;
SELECT set_eq('EXECUTE calls', ARRAY[:tenant_a]::uuid[], 'prepared, it sees its tenant');
RESET SESSION AUTHORIZATION;
UPDATE audit.reader_roles SET tenant_id = :tenant_b WHERE role_name = 'reader_one';
SET SESSION AUTHORIZATION reader_one;
SELECT set_eq('EXECUTE calls', ARRAY[:tenant_b]::uuid[], 'and when it is bound anew, the other');
RESET SESSION AUTHORIZATION;
UPDATE audit.reader_roles SET tenant_id = :tenant_a WHERE role_name = 'reader_one';

-- In words --------------------------------------------------------------------------------------

SET SESSION AUTHORIZATION reader_one;
SELECT is_empty($$ SELECT relation FROM unnest(ARRAY['call_log', 'calls', 'errors', 'calls_hourly',
    'tools_daily', 'users_daily', 'stat_tools', 'stat_connections', 'auth_events', 'admin_events',
    'schema_doc', 'reader_roles']) relation EXCEPT SELECT relation FROM audit.schema_doc $$,
  'schema_doc tells of what one may read');
SELECT is_empty($$ SELECT relation FROM audit.schema_doc
  WHERE NOT has_any_column_privilege(format('audit.%I', relation), 'SELECT') $$, 'and of nothing else');
SELECT is_empty($$ SELECT relation, column_name FROM audit.schema_doc
                   WHERE coalesce(comment, '') = '' OR column_name IS NULL AND position <> 0 $$,
                'and has words for everything');
SELECT is_empty($$ SELECT relation, column_name FROM audit.schema_doc
                   WHERE column_name LIKE '%\_ms' AND comment !~ 'Milliseconds'
                      OR column_name LIKE '%\_bytes' AND comment !~ 'bytes' $$, 'units are named');
SELECT results_eq($$ SELECT type, attribute FROM audit.schema_doc
                     WHERE relation = 'calls' AND column_name = 'tool' $$,
                  $$ VALUES ('text', 'gen_ai.tool.name') $$, 'and OpenTelemetry''s');
RESET SESSION AUTHORIZATION;
-- The names of the program, column by column, and those of the comments.
\set names `sed -nE 's/^\tX\([A-Z_]+, "([a-z_.]+)", "([a-z_]+)", .*/\2=\1/p' audit/otel_names.h`
SELECT set_eq($$ SELECT column_name || '=' || attribute FROM audit.schema_doc
                 WHERE relation = 'calls' AND attribute IS NOT NULL $$,
              string_to_array(:'names', E'\n'), 'the comments say what audit/otel_names.h says');
\set metric `sed -nE 's/^#define OTEL_SERVER_OPERATION_DURATION "(.*)"/\1/p' audit/otel_names.h`
SELECT is(attribute, :'metric', relation || '.buckets are those of the metric')
FROM audit.schema_doc WHERE column_name = 'buckets';

-- Making readers --------------------------------------------------------------------------------

SELECT is(audit.grant_reader('new "reader"', 'alpha', true), 'created, member of audit_reader, granted',
          'a reader is made with its role');
SELECT is(audit.grant_reader('new "reader"', 'alpha', true), 'had it already', 'once');
SELECT is(audit.grant_reader('new "reader"', 'beta'), 'granted', 'and gets another tenant');
SELECT is(audit.grant_reader('new "reader"', NULL), 'granted', 'and all');
SELECT results_eq($$ SELECT tenant, tenant_id, works FROM audit.list_readers()
                     WHERE role_name = 'new "reader"' $$, format($$ VALUES
  (NULL::text, NULL::uuid, true), ('alpha', %L, true), ('beta', %L, true) $$, :tenant_a, :tenant_b),
  'as the list says');
SELECT results_eq($$ SELECT rolcanlogin, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls,
                            rolpassword IS NULL FROM pg_authid WHERE rolname = 'new "reader"' $$,
                  $$ VALUES (true, false, true) $$, 'the role may log in and nothing else');
SET SESSION AUTHORIZATION "new ""reader""";
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls',
              ARRAY[:tenant_a, :tenant_b, :nobody]::uuid[], 'and it reads');
RESET SESSION AUTHORIZATION;
SELECT is(audit.revoke_reader('new "reader"', NULL, true), 'revoked', 'all is taken back');
SELECT is(audit.revoke_reader('new "reader"', 'beta', false), 'revoked', 'and one');
SET SESSION AUTHORIZATION "new ""reader""";
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_a]::uuid[],
              'what is left is left');
RESET SESSION AUTHORIZATION;
SELECT is(audit.revoke_reader('new "reader"', NULL, false), 'revoked, member of audit_reader no more',
          'and the rest');
SELECT is(audit.revoke_reader('new "reader"', NULL, false), 'had nothing', 'which is all');
SET SESSION AUTHORIZATION "new ""reader""";
SELECT throws_ok('SELECT 1 FROM audit.calls', '42501', NULL, 'and it reads no more');
RESET SESSION AUTHORIZATION;
DELETE FROM audit.reader_roles;
DELETE FROM tollgate.tenants WHERE id = :tenant_b;
SELECT is(audit.grant_reader('new "reader"', :tenant_b), 'member of audit_reader, granted',
          'a tenant that is gone is named by its id');
SELECT results_eq('SELECT tenant, tenant_id FROM audit.list_readers()',
  format('VALUES (NULL::text, %L::uuid)', :tenant_b), 'and listed by it');
SELECT throws_ok(format('SELECT audit.grant_reader(%L, %L)', role, tenant), state, NULL,
                 format('refused: %s for %s', role, tenant))
FROM (VALUES ('nobody_there', 'alpha', '42704'), ('reader_one', 'gamma', 'P0002'),
             ('reader_one', '', 'P0002'), ('reader_one', :nobody, 'P0002'),
             ('postgres', 'alpha', '22023'), ('tollgate_owner', 'alpha', '22023'),
             ('tollgate_app', 'alpha', '22023'), ('audit_reader', 'alpha', '22023'),
             ('tollgate_audit_writer', 'alpha', '22023'), ('pg_read_all_data', 'alpha', '22023'))
  v (role, tenant, state);
SELECT throws_ok('SELECT audit.revoke_reader(''reader_one'', ''gamma'', false)', 'P0002', NULL,
                 'nothing is taken of a tenant that is none');

-- As the owner: it binds members by itself, and needs the option to make one.
SET LOCAL ROLE tollgate_owner;
SELECT is(audit.grant_reader('reader_one', 'alpha'), 'granted', 'the owner binds a member');
SELECT throws_ok($$ SELECT audit.grant_reader('outsider', 'alpha') $$, '42501', NULL,
                 'and may not make one');
RESET ROLE;
GRANT audit_reader TO tollgate_owner WITH ADMIN OPTION;
SET LOCAL ROLE tollgate_owner;
SELECT is(audit.grant_reader('outsider', 'alpha'), 'member of audit_reader, granted',
          'unless it was given the option');
RESET ROLE;
REVOKE audit_reader FROM tollgate_owner;
SET SESSION AUTHORIZATION reader_one;
SELECT throws_ok(format('SELECT %s', f), '42501', NULL, 'a reader may not: ' || f)
FROM unnest(ARRAY['audit.grant_reader(''reader_one'', NULL)', 'audit.list_readers()',
                  'audit.revoke_reader(''reader_both'', NULL, false)']) f;
RESET SESSION AUTHORIZATION;

-- Partitions ------------------------------------------------------------------------------------

SELECT is_empty($$
  SELECT c.oid::regclass FROM pg_class c, aclexplode(c.relacl) a
  WHERE c.relnamespace = 'audit_parts'::regnamespace AND a.grantee <> c.relowner $$,
  'nobody has a grant on a partition');
SELECT set_eq('SELECT * FROM audit.recorded_days()', $$
  SELECT to_date(substring(relname FROM '\d{8}$'), 'YYYYMMDD') FROM pg_class
  WHERE relnamespace = 'audit_parts'::regnamespace AND relkind = 'r' AND relname LIKE 'call_log_standard%' $$,
  'recorded_days are the days that have one');
SELECT is(count(*), 24 * (SELECT count(*) FROM audit.recorded_days()), 'with 24 hours each')
FROM audit.recorded_hours();

-- The contract: columns may be added at the end and nothing else --------------------------------

\ir audit_contract.psql

SELECT * FROM finish();
ROLLBACK;
