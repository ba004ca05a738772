-- SPDX-License-Identifier: Apache-2.0
-- The runtime role sees and writes the rows of app.tenant, and no others, in every tenant table.

\ir setup.psql

-- A row of beta from each table, to be offered by someone who acts for alpha.
CREATE TEMP TABLE foreign_rows (tbl regclass, content jsonb);
SELECT format('INSERT INTO foreign_rows SELECT %L, to_jsonb(t) FROM %s t WHERE %I = %L LIMIT 1',
              tbl, tbl, key, :tenant_b) FROM tenant_tables \gexec
GRANT SELECT ON foreign_rows TO PUBLIC;

SELECT ok(count(*) >= 9, 'the catalog query finds the tenant tables') FROM tenant_tables;
SELECT set_eq('SELECT tbl FROM foreign_rows', 'SELECT tbl FROM tenant_tables',
              'setup.psql puts a row in every tenant table');

SET SESSION AUTHORIZATION tollgate_app;
SELECT is(current_user, 'tollgate_app', 'what follows is done as tollgate_app');
SELECT is(current_setting('is_superuser'), 'off', 'which is no superuser');

-- No tenant.
SELECT format('SELECT is_empty(%L, %L)', 'SELECT 1 FROM ' || tbl,
              tbl || ': no rows while app.tenant was never set')
FROM tenant_tables \gexec

SET LOCAL app.tenant = '';
SELECT format('SELECT is_empty(%L, %L)', 'SELECT 1 FROM ' || tbl,
              tbl || ': no rows with an empty app.tenant, as a pooled connection has it')
FROM tenant_tables \gexec

SELECT format('SELECT throws_ok(%L, ''42501'', NULL, %L)',
              format('INSERT INTO %s SELECT (jsonb_populate_record(NULL::%s, content)).*'
                     ' FROM foreign_rows WHERE tbl = %L::regclass', tbl, tbl, tbl),
              tbl || ': without a tenant nothing can be inserted')
FROM tenant_tables \gexec

SET LOCAL app.tenant = 'not a uuid';
SELECT throws_ok('SELECT * FROM tollgate.users', '22P02', NULL,
                 'an app.tenant that is no UUID is an error, not everybody');

-- Alpha.
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
SELECT format('SELECT isnt_empty(%L, %L)', 'SELECT 1 FROM ' || tbl, tbl || ': alpha sees its rows')
FROM tenant_tables \gexec
SELECT format('SELECT is_empty(%L, %L)',
              format('SELECT 1 FROM %s WHERE %I IS DISTINCT FROM %L', tbl, key, :tenant_a),
              tbl || ': alpha sees no others')
FROM tenant_tables \gexec
SELECT format('SELECT throws_ok(%L, ''42501'', NULL, %L)',
              format('INSERT INTO %s SELECT (jsonb_populate_record(NULL::%s, content)).*'
                     ' FROM foreign_rows WHERE tbl = %L::regclass', tbl, tbl, tbl),
              tbl || ': alpha cannot insert a row for beta')
FROM tenant_tables \gexec
SELECT format('SELECT throws_ok(%L, ''42501'', NULL, %L)',
              format('UPDATE %s SET %I = %L', tbl, key, :tenant_b),
              tbl || ': alpha cannot give its rows to beta')
FROM tenant_tables \gexec
SELECT format('SELECT is_empty(%L, %L)',
              format('UPDATE %s SET %I = %I WHERE %I = %L RETURNING 1', tbl, key, key, key,
                     :tenant_b),
              tbl || ': alpha cannot update rows of beta')
FROM tenant_tables WHERE has_table_privilege(tbl, 'UPDATE') \gexec
SELECT format('SELECT is_empty(%L, %L)',
              format('DELETE FROM %s WHERE %I = %L RETURNING 1', tbl, key, :tenant_b),
              tbl || ': alpha cannot delete rows of beta')
FROM tenant_tables WHERE has_table_privilege(tbl, 'DELETE') \gexec

-- The same name in two tenants is no conflict, so a conflict tells nothing about another tenant.
SELECT lives_ok($$
  INSERT INTO tollgate.users (tenant_id, id, name)
  SELECT current_setting('app.tenant')::uuid, gen_random_uuid(), 'bob' $$, 'alpha has a bob');
SELECT set_config('app.tenant', :tenant_b, true) \g /dev/null
SELECT lives_ok($$
  INSERT INTO tollgate.users (tenant_id, id, name)
  SELECT current_setting('app.tenant')::uuid, gen_random_uuid(), 'bob' $$, 'and so has beta');
SELECT results_eq('SELECT count(*) FROM tollgate.users', 'VALUES (2::bigint)',
                  'beta sees two users, its own');

-- A reference cannot reach over.
SELECT throws_ok(format($$
  INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, user_id, secret_mac)
  VALUES (%L, gen_random_uuid(), 'abcdefabcdef', 'x', %L, sha256('x')) $$, :tenant_b,
  (SELECT content ->> 'id' FROM foreign_rows WHERE tbl = 'tollgate.connections'::regclass)),
  '23503', NULL, 'a key cannot point at what is no user of its tenant');

RESET SESSION AUTHORIZATION;

-- Roles other than the runtime role reach nothing of the gateway.
SELECT format('SELECT throws_ok(%L, ''42501'', NULL, %L)',
              format('SET LOCAL ROLE %I; SELECT 1 FROM %s', r, tbl),
              format('%s cannot read %s', r, tbl))
FROM tenant_tables, unnest(ARRAY['tollgate_audit_writer', 'audit_reader', 'reader_one']) r
\gexec

-- Nodes belong to no tenant.
SET SESSION AUTHORIZATION tollgate_app;
SELECT lives_ok($$ INSERT INTO tollgate.nodes (id, host, pid, slot, version)
                   VALUES (gen_random_uuid(), 'h', 1, 0, '1') $$, 'a node registers');
SELECT isnt_empty('SELECT 1 FROM tollgate.nodes', 'nodes are seen whatever the tenant');
SELECT lives_ok($$ UPDATE tollgate.nodes SET key_ids = '{1,4294967295}', primary_key_id = 1 $$,
                'a node says which keys it has');
SELECT results_eq($$ SELECT key_ids, primary_key_id FROM tollgate.nodes
                     WHERE 4294967295 = ANY (key_ids) $$,
                  $$ VALUES ('{1,4294967295}'::bigint[], 1::bigint) $$, 'and is found by them');
SELECT throws_ok('SELECT 1 FROM tollgate.settings', '42501', NULL,
                 'settings are reached through functions only');
SELECT throws_ok($$ INSERT INTO tollgate.tollgate_migrations VALUES (99, 'x', repeat('0', 64)) $$,
                 '42501', NULL, 'the runtime role cannot pretend a migration');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
