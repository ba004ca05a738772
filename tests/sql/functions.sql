-- SPDX-License-Identifier: Apache-2.0
-- What the functions of the runtime role answer, called by it.

\ir setup.psql
SELECT substr(md5(:tenant_a), 1, 12) AS key_a \gset
INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, role, secret_mac, expires_at)
  VALUES (:tenant_b, :tenant_b, 'ServiceKey01', 'robot', 'platform', sha256('s'), '2030-01-01Z');
SELECT is(count(*), 1::bigint, 'the deployment has an id')
FROM tollgate.settings
WHERE name = 'deployment_id' AND value ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';

SET SESSION AUTHORIZATION tollgate_app;

-- Keys, while no tenant is set.
SELECT results_eq(format($$
  SELECT tenant_id, tenant_name, tenant_enabled, name, user_name, user_role, user_enabled, role,
         secret_mac, expires_at FROM tollgate.find_key(%L) $$, :'key_a'),
  format($$ VALUES (%L::uuid, 'alpha', true, 'laptop', 'ana', 'user', true, 'user',
                    sha256('secret'), NULL::timestamptz) $$, :tenant_a),
  'find_key finds the key of a user in whatever tenant');
SELECT results_eq($$
  SELECT id, user_id, user_name, user_role, user_enabled, role, expires_at
  FROM tollgate.find_key('ServiceKey01') $$,
  format($$ VALUES (%L::uuid, NULL::uuid, NULL, NULL, NULL::boolean, 'platform',
                    '2030-01-01 00:00Z'::timestamptz) $$, :tenant_b),
  'a service key has no user');
SELECT is_empty($$ SELECT * FROM tollgate.find_key('nobodyhasit0') $$, 'an unknown id is no row');
SELECT is_empty($$ SELECT * FROM tollgate.find_key(NULL) $$, 'nor is NULL');

-- Tenants.
SELECT results_eq('SELECT name, enabled, egress FROM tollgate.list_tenants()',
  $$ VALUES ('alpha', true, '{"allow": []}'::jsonb), ('beta', true, '{"allow": []}') $$,
  'list_tenants lists by name');
SELECT results_eq('SELECT tenant_id FROM tollgate.config_versions() ORDER BY 1',
  'SELECT id FROM tollgate.list_tenants() ORDER BY 1', 'config_versions knows every tenant');
SELECT results_eq($$ SELECT id FROM tollgate.find_tenant('beta') $$,
  format('VALUES (%L::uuid)', :tenant_b), 'find_tenant finds by name');
SELECT is_empty($$ SELECT * FROM tollgate.find_tenant('Beta') $$, 'exactly');
SELECT results_eq($$
  SELECT name, enabled, egress, config_version
  FROM tollgate.create_tenant('cccccccc-0000-4000-8000-000000000003', 'gamma') $$,
  $$ VALUES ('gamma', true, '{"allow": []}'::jsonb, 1::bigint) $$,
  'create_tenant returns what it made');
SELECT throws_ok($$ SELECT tollgate.create_tenant(gen_random_uuid(), 'gamma') $$, '23505', NULL,
                 'a name can be taken once');
SELECT throws_ok($$ SELECT tollgate.create_tenant(gen_random_uuid(), 'No Slug') $$, '23514', NULL,
                 'and must be one');
SELECT throws_ok(format('SELECT tollgate.create_tenant(%L, ''nil'')', :nobody), '23514', NULL,
                 'the nil UUID is no tenant');
SELECT results_eq($$
  SELECT name, enabled, egress, config_version FROM tollgate.update_tenant(
    'cccccccc-0000-4000-8000-000000000003', NULL, false, '{"allow":["127.0.0.1:3921"]}') $$,
  $$ VALUES ('gamma', false, '{"allow": ["127.0.0.1:3921"]}'::jsonb, 2::bigint) $$,
  'update_tenant keeps what is NULL and raises the version');
SELECT is_empty($$ SELECT * FROM tollgate.update_tenant(
    'cccccccc-0000-4000-8000-000000000003', 'delta', NULL, NULL, 1) $$,
  'a stale version changes nothing');
SELECT results_eq($$ SELECT name, config_version FROM tollgate.update_tenant(
    'cccccccc-0000-4000-8000-000000000003', 'delta', NULL, NULL, 2) $$,
  $$ VALUES ('delta', 3::bigint) $$, 'the right one does');
SELECT is_empty($$ SELECT * FROM tollgate.update_tenant(gen_random_uuid(), 'x', NULL, NULL) $$,
                'an unknown tenant is no row');
SELECT is(tollgate.delete_tenant('cccccccc-0000-4000-8000-000000000003'), true,
          'delete_tenant deletes');
SELECT is(tollgate.delete_tenant('cccccccc-0000-4000-8000-000000000003'), false, 'once');
SELECT is(tollgate.delete_tenant(:tenant_b), true, 'a tenant with all that it owns can go');
RESET SESSION AUTHORIZATION;
SELECT format('SELECT is_empty(%L, %L)', format('SELECT 1 FROM %s WHERE %I = %L', tbl, key, :tenant_b),
              tbl || ': nothing of the deleted tenant is left')
FROM tenant_tables \gexec
SELECT format('SELECT isnt_empty(%L, %L)', format('SELECT 1 FROM %s WHERE %I = %L', tbl, key, :tenant_a),
              tbl || ': all of the other')
FROM tenant_tables \gexec
SET SESSION AUTHORIZATION tollgate_app;

-- Settings.
SELECT is(tollgate.setting('key_check'), NULL, 'no setting is NULL');
SELECT is(tollgate.put_setting('key_check', 'one'), 'one', 'put_setting writes');
SELECT is(tollgate.put_setting('key_check', 'two'), 'one', 'once');
SELECT is(tollgate.setting('key_check'), 'one', 'setting reads');
SELECT is(tollgate.put_setting('deployment_id', 'mine'), tollgate.setting('deployment_id'),
          'the id of the deployment stays');
SELECT throws_ok($$ SELECT tollgate.put_setting('Key Check', 'x') $$, '23514', NULL,
                 'names of settings have a form');

-- Sessions.
RESET SESSION AUTHORIZATION;
INSERT INTO tollgate.mcp_sessions (tenant_id, id_hash, principal, protocol_version, expires_at)
  SELECT :tenant_a, sha256(i::text::bytea), 'p', '2025-11-25', now() - interval '1 second'
  FROM generate_series(1, 3) i;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(tollgate.sweep_sessions(), 3::bigint, 'sweep_sessions deletes the expired');
SELECT is(tollgate.sweep_sessions(), 0::bigint, 'and only these');
RESET SESSION AUTHORIZATION;
SELECT is(count(*), 1::bigint, 'the live session is still there') FROM tollgate.mcp_sessions;

-- Cancellations. The age of a request decides, not a clock of the caller's.
DELETE FROM tollgate.cancellations;
INSERT INTO tollgate.cancellations (tenant_id, key, created_at) VALUES
  (:tenant_a, sha256('one'), now()),
  (:tenant_a, sha256('just before'), now() - interval '500 ms'),
  (:tenant_a, sha256('long before'), now() - interval '5 s'),
  (:tenant_a, sha256('another'), now()),
  (:tenant_a, sha256('old'), now() - interval '61 s');
SET SESSION AUTHORIZATION tollgate_app;
SELECT bag_eq(format($$
  SELECT key FROM tollgate.take_cancellations(
    array_fill(%L::uuid, ARRAY[5]),
    ARRAY[sha256('one'), sha256('just before'), sha256('long before'), sha256('old'),
          sha256('never')], ARRAY[0, 0, 0, 600000, 600000]) $$, :tenant_a),
  $$ VALUES (sha256('one')), (sha256('just before')), (sha256('old')) $$,
  'what ran when it was cancelled, or came a moment later, is found');
SELECT is_empty(format($$
  SELECT key FROM tollgate.take_cancellations(ARRAY[%L]::uuid[], ARRAY[sha256('one')], ARRAY[0]) $$,
  :tenant_a), 'once');
SELECT is_empty($$
  SELECT key FROM tollgate.take_cancellations(
    ARRAY['cccccccc-0000-4000-8000-000000000003']::uuid[], ARRAY[sha256('another')], ARRAY[0]) $$,
  'and as the tenant''s own only');
RESET SESSION AUTHORIZATION;
SELECT bag_eq('SELECT key FROM tollgate.cancellations',
              $$ VALUES (sha256('long before')), (sha256('another')) $$, 'the others stay');
UPDATE tollgate.cancellations SET created_at = now() - interval '61 s'
  WHERE key = sha256('long before');
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(tollgate.sweep_cancellations(), 1::bigint, 'until they are a minute old');
SELECT is(tollgate.sweep_cancellations(), 0::bigint, 'and only these');
RESET SESSION AUTHORIZATION;

-- Sessions of upstreams end with whom they belonged to; what is open or being opened stays.
INSERT INTO tollgate.users (tenant_id, id, name) VALUES (:tenant_a, :tenant_a, 'bob');
INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, role, secret_mac)
  VALUES (:tenant_a, :tenant_b, 'ServiceKey02', 'robot', 'user', sha256('s'));
INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, scope, settings_version,
                                        session_id, protocol_version, expires_at)
  SELECT c.tenant_id, c.id, scope, 1, scope, '2025-11-25', now() + interval '1 hour'
  FROM tollgate.connections c,
       unnest(ARRAY['user:' || :tenant_a, 'key:' || :tenant_b, 'user:' || :tenant_b,
                    'session:' || encode(sha256('session'), 'hex')]) scope;
INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, scope, settings_version, lease,
                                        lease_until, expires_at)
  SELECT tenant_id, id, 'user:busy', 1, gen_random_uuid(), now() + interval '1 hour', now()
  FROM tollgate.connections;
INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, scope, settings_version, lease,
                                        lease_until, expires_at)
  SELECT tenant_id, id, 'user:late', 1, gen_random_uuid(), now(), now() FROM tollgate.connections;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty('SELECT * FROM tollgate.take_ended_upstream_sessions(100)',
                'an opening that took too long leaves no session');
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
DELETE FROM tollgate.users WHERE tenant_id = :tenant_a AND id = :tenant_a;
DELETE FROM tollgate.mcp_sessions WHERE tenant_id = :tenant_a;
DELETE FROM tollgate.api_keys WHERE tenant_id = :tenant_a AND id = :tenant_b;
SELECT set_config('app.tenant', '', true) \g /dev/null
SELECT is(count(*), 1::bigint, 'no more are taken than asked for')
FROM tollgate.take_ended_upstream_sessions(1);
SELECT is(count(*), 2::bigint, 'the rest of them by the next')
FROM tollgate.take_ended_upstream_sessions(100);
SELECT is_empty('SELECT * FROM tollgate.take_ended_upstream_sessions(100)', 'and each once');
RESET SESSION AUTHORIZATION;
SELECT bag_eq('SELECT scope FROM tollgate.upstream_sessions',
              format($$ VALUES (''), ('user:busy'), ('user:' || %L) $$, :tenant_b),
              'what belongs to others, or to all, is there');

-- A caller's temporary table cannot stand in for ours.
SET SESSION AUTHORIZATION tollgate_app;
CREATE TEMP TABLE tenants (id uuid, name text, enabled boolean, egress jsonb,
                           created_at timestamptz, config_version bigint);
SELECT results_eq('SELECT name FROM tollgate.list_tenants()', $$ VALUES ('alpha') $$,
                  'functions read our tables whatever the caller made');
RESET SESSION AUTHORIZATION;

-- Nobody else may call them.
SELECT format('SELECT throws_ok(%L, ''42501'', NULL, %L)',
              format('SET LOCAL ROLE %I; SELECT tollgate.list_tenants()', r), r || ' lists no tenants')
FROM unnest(ARRAY['tollgate_audit_writer', 'audit_reader', 'reader_platform', 'outsider']) r \gexec

SELECT * FROM finish();
ROLLBACK;
