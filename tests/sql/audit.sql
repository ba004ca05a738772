-- SPDX-License-Identifier: Apache-2.0
-- The record: the writer adds and does nothing else, readers see their tenants and nothing else.

\ir setup.psql

SELECT (now() AT TIME ZONE 'UTC')::date AS today \gset

-- The writer ------------------------------------------------------------------------------------

SET SESSION AUTHORIZATION tollgate_audit_writer;
PREPARE store(uuid[], uuid[], text[], text[]) AS
  INSERT INTO audit.call_log (started_at, tenant_id, method, tool, outcome, call_id)
  SELECT now(), t, 'tools/call', tool, outcome, c
  FROM unnest($1, $2, $3, $4) AS u (t, c, tool, outcome)
  ON CONFLICT DO NOTHING;
SELECT lives_ok(format($$ EXECUTE store(%L, %L, '{one,two,two,none}',
                                        '{ok,ok,denied,unauthenticated}') $$,
  ARRAY[:tenant_a, :tenant_b, :tenant_b, :nobody]::uuid[],
  ARRAY['00000000-0000-7000-8000-000000000001', '00000000-0000-7000-8000-000000000002',
        '00000000-0000-7000-8000-000000000003', '00000000-0000-7000-8000-000000000004']),
  'the writer inserts a batch of any tenants');
SELECT lives_ok(format($$ EXECUTE store(%L, %L, '{one}', '{ok}') $$, ARRAY[:tenant_a]::uuid[],
  ARRAY['00000000-0000-7000-8000-000000000001']), 'and the same again is nothing');
SELECT throws_ok('SELECT 1 FROM audit.call_log', '42501', NULL, 'it cannot read');
SELECT throws_ok('SELECT 1 FROM audit.calls', '42501', NULL, 'nor through the view');
SELECT throws_ok($$ UPDATE audit.call_log SET outcome = 'ok' $$, '42501', NULL, 'nor change');
SELECT throws_ok('DELETE FROM audit.call_log', '42501', NULL, 'nor delete');
SELECT throws_ok('TRUNCATE audit.call_log', '42501', NULL, 'nor truncate');
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, 'ok', gen_random_uuid()) RETURNING tenant_id $$, :tenant_a), '42501', NULL,
  'nor read back what it writes');
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, 'ok', gen_random_uuid()) ON CONFLICT (tenant_id, started_at, call_id,
  retention_class) DO NOTHING $$, :tenant_a), '42501', NULL, 'nor name a conflict target');
SELECT throws_ok($$ INSERT INTO audit.reader_roles VALUES ('reader_none', NULL) $$, '42501', NULL,
  'nor make readers');
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, 'fine', gen_random_uuid()) $$, :tenant_a), '23514', NULL,
  'an outcome that is not on the list is refused');
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES ('2040-01-01Z', %L, 'ok', gen_random_uuid()) $$, :tenant_a), '23514', NULL,
  'and so is a day without a partition');

-- Partitions ------------------------------------------------------------------------------------

SET LOCAL TimeZone = 'Pacific/Kiritimati';
SET LOCAL DateStyle = 'SQL, DMY';
SELECT is(audit.ensure_partitions('2040-01-01', '2040-01-03'), 3,
          'the writer makes the days that are missing');
SELECT is(audit.ensure_partitions('2040-01-02', '2040-01-04'), 1, 'and only those');
SET LOCAL DateStyle = 'ISO';
SET LOCAL TimeZone = 'UTC';
SELECT lives_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (%L, %L, 'ok', '00000000-0000-7000-8000-00000000000a') $$, t, :tenant_a),
  'then ' || t || ' has its place')
FROM unnest(ARRAY['2040-01-01 00:00:00Z', '2040-01-04 23:59:59.999999Z']) t;
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (%L, %L, 'ok', gen_random_uuid()) $$, t, :tenant_a), '23514', NULL,
  'and ' || t || ' has none: days are UTC')
FROM unnest(ARRAY['2039-12-31 23:59:59.999999Z', '2040-01-05 00:00:00Z']) t;
SELECT throws_ok(format('SELECT audit.ensure_partitions(%s)', range), '22023', NULL,
                 'not a range: ' || range)
FROM unnest(ARRAY['''2040-01-02'', ''2040-01-01''', 'NULL, ''2040-01-01''',
                  '''2040-01-01'', ''2041-12-31''']) range;
SELECT throws_ok('SELECT 1 FROM audit_parts.call_log_standard', '42501', NULL,
                 'the writer reaches no partition');
RESET SESSION AUTHORIZATION;

SELECT is(audit.ensure_partitions(:'today'::date - 1, :'today'::date + 7), 0,
          'the migration made yesterday and the week to come');
SELECT format('SELECT results_eq(%L, %L, %L)',
  format('SELECT count(*) FROM audit_parts.call_log_standard_%s', d), 'VALUES (1::bigint)',
  d || ' holds its day')
FROM unnest(ARRAY['20400101', '20400104']) d \gexec
SELECT is(count(*), 4::bigint, 'the batch is there once') FROM audit.call_log
WHERE started_at < '2040-01-01Z';
SELECT set_eq('SELECT is_error, outcome FROM audit.call_log WHERE started_at < ''2040-01-01Z''',
  $$ VALUES (false, 'ok'), (true, 'denied'), (true, 'unauthenticated') $$, 'is_error is derived');

-- Readers ---------------------------------------------------------------------------------------

SELECT throws_ok(format($$ INSERT INTO audit.reader_roles VALUES ('reader_one', %L) $$, :nobody),
  '23514', NULL, 'a reader of the nil tenant is written as NULL');
INSERT INTO audit.reader_roles VALUES
  ('reader_one', :tenant_a), ('reader_both', :tenant_a), ('reader_both', :tenant_b),
  ('readers_of_one', :tenant_b), ('reader_platform', NULL), ('outsider', :tenant_a),
  ('role_that_was_dropped', :tenant_a);
SELECT throws_ok($$ INSERT INTO audit.reader_roles VALUES ('reader_platform', NULL) $$, '23505',
  NULL, 'each once');

SET SESSION AUTHORIZATION reader_one;
SELECT is(current_setting('is_superuser'), 'off', 'readers are no superusers');
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_a]::uuid[],
              'a reader sees its tenant');
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_log', ARRAY[:tenant_a]::uuid[],
              'in the table too');
SELECT is_empty('SELECT 1 FROM audit.errors', 'and its errors, of which there are none');
SELECT set_eq('SELECT role_name::text, tenant_id FROM audit.reader_roles',
  format('VALUES (''reader_one'', %L::uuid)', :tenant_a), 'and which tenants it sees');

-- No setting makes it see more.
SELECT format('SELECT lives_ok(%L, %L)',
              format('SELECT set_config(%L, %L, true)', s.name, s.value), 'a reader may set ' || s.name)
FROM (VALUES ('app.tenant', :tenant_b), ('app.role', 'tollgate_owner'),
             ('search_path', 'audit_parts, tollgate, audit, public'), ('row_security', 'on'),
             ('constraint_exclusion', 'off'), ('enable_partition_pruning', 'off')) s (name, value)
\gexec
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_a]::uuid[],
              'and still sees its tenant only');
SET LOCAL row_security = off;
SELECT throws_ok('SELECT 1 FROM audit.calls', '42501', NULL, 'row_security off is an error');
SET LOCAL row_security = on;
SELECT throws_ok('SET LOCAL ROLE ' || r, '42501', NULL, 'it cannot become ' || r)
FROM unnest(ARRAY['reader_both', 'reader_platform', 'tollgate_owner', 'tollgate_app']) r;
SELECT throws_ok('SELECT 1 FROM ' || t, '42501', NULL, t || ' is out of reach')
FROM unnest(ARRAY['audit_parts.call_log_standard', 'tollgate.tenants', 'tollgate.api_keys',
                  'audit_parts.call_log_standard_' || to_char(:'today'::date, 'YYYYMMDD')]) t;
SELECT throws_ok(format('INSERT INTO audit.reader_roles VALUES (''reader_one'', %L)', :tenant_b),
                 '42501', NULL, 'it cannot give itself a tenant');
SELECT throws_ok($$ UPDATE audit.call_log SET outcome = 'ok' $$, '42501', NULL,
                 'it cannot change the record');
SELECT throws_ok('DELETE FROM audit.calls', '42501', NULL, 'nor delete from it');
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, 'ok', gen_random_uuid()) $$, :tenant_a), '42501', NULL, 'nor add to it');
SELECT throws_ok($$ SELECT audit.ensure_partitions('2040-02-01', '2040-02-01') $$, '42501', NULL,
                 'nor make partitions');
-- A function of its own is not asked about rows that it may not see.
CREATE FUNCTION pg_temp.peek(tenant uuid) RETURNS boolean LANGUAGE plpgsql COST 0.0001 AS $$
BEGIN
  IF tenant <> 'aaaaaaaa-0000-4000-8000-000000000001' THEN RAISE EXCEPTION 'saw %', tenant; END IF;
  RETURN true;
END $$;
SELECT lives_ok('SELECT count(*) FROM audit.calls WHERE pg_temp.peek(tenant_id)',
                'a function of the reader''s sees no foreign row either');

RESET SESSION AUTHORIZATION;
SET LOCAL ROLE reader_one;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_a]::uuid[],
              'what counts is the role that asks, not the login that took it on');
RESET ROLE;

SET SESSION AUTHORIZATION reader_both;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_a, :tenant_b]::uuid[],
              'a reader of two tenants sees two');
SELECT results_eq('SELECT outcome FROM audit.errors', $$ VALUES ('denied') $$, 'and their errors');
SET SESSION AUTHORIZATION reader_member;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls', ARRAY[:tenant_b]::uuid[],
              'a member of a group sees what the group sees');
SET SESSION AUTHORIZATION reader_none;
SELECT is_empty('SELECT 1 FROM audit.calls', 'a reader of no tenant sees nothing');
SELECT is_empty('SELECT 1 FROM audit.reader_roles', 'nor who sees what');
SET SESSION AUTHORIZATION reader_platform;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.calls',
              ARRAY[:tenant_a, :tenant_b, :nobody]::uuid[],
              'the platform reader sees every tenant, and the rows of none');
SET SESSION AUTHORIZATION outsider;
SELECT throws_ok('SELECT 1 FROM audit.calls', '42501', NULL,
                 'a row in reader_roles is nothing without membership in audit_reader');
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
SELECT throws_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, 'ok', gen_random_uuid()) $$, :tenant_a), '42501', NULL,
  'the runtime role does not write the record');
SELECT is(audit.ensure_partitions(:'today', :'today'), 0, 'it may ask for partitions');
RESET SESSION AUTHORIZATION;

-- Outcomes --------------------------------------------------------------------------------------

SELECT lives_ok(format($$ INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  VALUES (now(), %L, %L, gen_random_uuid()) $$, :tenant_a, o), 'outcome ' || o)
FROM unnest(ARRAY['ok', 'tool_error', 'protocol_error', 'upstream_error', 'timeout', 'denied',
  'unauthenticated', 'malformed', 'rate_limited', 'unavailable', 'needs_auth', 'cancelled',
  'client_closed', 'drained', 'unknown']) o;

SELECT * FROM finish();
ROLLBACK;
