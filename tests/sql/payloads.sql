-- SPDX-License-Identifier: Apache-2.0
-- Payloads: the writer adds, the gateway reads those of one tenant, readers see sizes of theirs. And
-- what a connection says of them.

\ir setup.psql

-- The writer ------------------------------------------------------------------------------------

PREPARE store(timestamptz, uuid, text) AS
  INSERT INTO audit.call_payloads (started_at, tenant_id, call_id, part, bytes, truncated, sealed)
  VALUES ($1, $2, '00000000-0000-7000-8000-000000000001', $3, 5, false, '\x0102')
  ON CONFLICT DO NOTHING;
SET SESSION AUTHORIZATION tollgate_audit_writer;
SELECT throws_ok(format($$ EXECUTE store('2040-01-02 12:00:00Z', %L, 'result') $$, :tenant_a),
  '23514', NULL, 'a day without a partition is refused');
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SELECT is(audit.ensure_payload_partitions('2040-01-01', '2040-01-03'), 3,
          'the writer makes the days that are missing');
SELECT is(audit.ensure_payload_partitions('2040-01-02', '2040-01-04'), 1, 'and only those');
SET LOCAL TimeZone = 'UTC';
SELECT lives_ok(format($$ EXECUTE store(%L, %L, %L) $$, t, tenant, part), t || ' has its place')
FROM unnest(ARRAY['2040-01-01 00:00:00Z', '2040-01-04 23:59:59.999999Z']) t,
     unnest(ARRAY['arguments', 'result']) part,
     unnest(ARRAY[:tenant_a, :tenant_b]) tenant;
SELECT lives_ok(format($$ EXECUTE store('2040-01-01 00:00:00Z', %L, 'result') $$, :tenant_a),
  'the same again is nothing');
SELECT throws_ok(format('SELECT audit.ensure_payload_partitions(%s)', range), '22023', NULL,
  range || ' is no range')
FROM unnest(ARRAY['''2040-01-02'', ''2040-01-01''', 'NULL, NULL',
                  '''2040-01-01'', ''2042-01-01''']) range;
SELECT throws_ok(format($$ EXECUTE store('2040-01-01 00:00:00Z', %L, 'answer') $$, :tenant_a),
  '23514', NULL, 'a part that is not on the list is refused');
SELECT throws_ok('SELECT bytes FROM audit.call_payloads', '42501', NULL, 'it cannot read');
SELECT throws_ok('UPDATE audit.call_payloads SET bytes = 1', '42501', NULL, 'nor change');
SELECT throws_ok('DELETE FROM audit.call_payloads', '42501', NULL, 'nor delete');
SELECT throws_ok('TRUNCATE audit.call_payloads', '42501', NULL, 'nor truncate');
RESET SESSION AUTHORIZATION;

-- The gateway -----------------------------------------------------------------------------------

SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty('SELECT 1 FROM audit.call_payloads', 'without a tenant the gateway sees none');
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_payloads', ARRAY[:tenant_a]::uuid[],
  'with one those of it');
SELECT is(count(sealed), 4::bigint, 'with what it opens') FROM audit.call_payloads;
SELECT throws_ok(format($$ EXECUTE store('2040-01-01 00:00:01Z', %L, 'result') $$, :tenant_a),
  '42501', NULL, 'it does not write them');
SELECT throws_ok('DELETE FROM audit.call_payloads', '42501', NULL, 'nor delete');
SELECT throws_ok($$ SELECT audit.ensure_payload_partitions('2040-02-01', '2040-02-01') $$, '42501',
  NULL, 'nor make partitions');
RESET SESSION AUTHORIZATION;

-- Readers ---------------------------------------------------------------------------------------

INSERT INTO audit.reader_roles VALUES ('reader_one', :tenant_a), ('reader_platform', NULL);
SET SESSION AUTHORIZATION reader_one;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_payloads', ARRAY[:tenant_a]::uuid[],
  'a reader sees those of its tenant');
SELECT is(sum(bytes), 20::numeric, 'their sizes') FROM audit.call_payloads;
SELECT throws_ok('SELECT sealed FROM audit.call_payloads', '42501', NULL, 'but not their bytes');
SELECT throws_ok('SELECT 1 FROM audit_parts.call_payloads_standard', '42501', NULL,
  'and no partition');
SELECT set_config('app.tenant', :tenant_b, true) \g /dev/null
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_payloads', ARRAY[:tenant_a]::uuid[],
  'whatever it sets');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION reader_none;
SELECT is_empty('SELECT part FROM audit.call_payloads', 'a reader of no tenant sees none');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION reader_platform;
SELECT is(count(part), 8::bigint, 'a platform reader sees all sizes') FROM audit.call_payloads;
SELECT throws_ok('SELECT sealed FROM audit.call_payloads', '42501', NULL, 'and no bytes');
RESET SESSION AUTHORIZATION;

-- Connections -----------------------------------------------------------------------------------

SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
INSERT INTO tollgate.connections (tenant_id, id, name, url)
VALUES (:tenant_a, '00000000-0000-4000-8000-00000000aaaa', 'kept', 'https://kept.example/mcp');
SELECT results_eq($$ SELECT audit_level, audit_redact FROM tollgate.connections
                     WHERE name = 'kept' $$, $$ VALUES ('redacted', '{}'::text[]) $$,
  'arguments are kept redacted unless a connection says otherwise');
SELECT throws_ok(format('UPDATE tollgate.connections SET %s WHERE name = ''kept''', change), '23514',
  NULL, change || ' is refused')
FROM unnest(ARRAY['audit_level = ''some''', 'audit_redact = ''{a,NULL}''',
                  'audit_redact = array_fill(''a''::text, ARRAY[101])']) change;
UPDATE tollgate.connections SET audit_level = 'full', version = version + 1 WHERE name = 'kept';
SELECT is(settings_version, 1::bigint, 'a change of it tries nothing out')
FROM tollgate.connections WHERE name = 'kept';
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
