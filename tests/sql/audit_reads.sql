-- SPDX-License-Identifier: Apache-2.0
-- What the admin API may read of the record, and what a live tail goes on from.

\ir setup.psql

INSERT INTO audit.call_log (started_at, tenant_id, method, outcome, call_id)
SELECT now(), t, 'tools/call', 'ok', gen_random_uuid()
FROM unnest(ARRAY[:tenant_a, :tenant_b, :nobody]::uuid[]) t;

SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty('SELECT 1 FROM audit.call_log', 'without a tenant the runtime role sees nothing');
SELECT set_config('app.tenant', '', true) \g /dev/null
SELECT is_empty('SELECT 1 FROM audit.call_log', 'nor with an empty one');
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_log', ARRAY[:tenant_a]::uuid[],
              'with a tenant that tenant''s rows');
SELECT set_config('app.audit_scope', 'Platform', true) \g /dev/null
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_log', ARRAY[:tenant_a]::uuid[],
              'a scope that is none widens nothing');
SELECT set_config('app.audit_scope', 'platform', true) \g /dev/null
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.call_log',
              ARRAY[:tenant_a, :tenant_b, :nobody]::uuid[],
              'in the scope of the platform all, those of no tenant too');
SELECT throws_ok($$ UPDATE audit.call_log SET outcome = 'denied' $$, '42501', NULL,
                 'it cannot change a row');
SELECT throws_ok('DELETE FROM audit.call_log', '42501', NULL, 'nor delete one');
SELECT throws_ok('TRUNCATE audit.call_log', '42501', NULL, 'nor all');
SELECT throws_ok('SELECT 1 FROM audit_parts.call_log_standard', '42501', NULL,
                 'and reaches no partition');
RESET SESSION AUTHORIZATION;

-- What stored a row.
SELECT set_eq('SELECT DISTINCT stored_in FROM audit.call_log WHERE started_at = now()',
              'SELECT pg_current_xact_id()', 'a row says which transaction stored it');
SELECT audit.ensure_partitions('2033-01-01', '2033-01-01') \g /dev/null
SELECT is(count(*), 1::bigint, 'partitions that are made later have the index too')
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
WHERE i.indrelid = 'audit_parts.call_log_standard_20330101'::regclass AND a.attname = 'stored_in'
  AND i.indnatts = 1;

SELECT * FROM finish();
ROLLBACK;
