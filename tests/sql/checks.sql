-- SPDX-License-Identifier: Apache-2.0
-- Values that the tables refuse, and those just inside.

\ir setup.psql

SELECT lives_ok(format('UPDATE tollgate.connections SET name = %L WHERE tenant_id = %L', name,
                       :tenant_a), 'a connection may be called ' || name)
FROM unnest(ARRAY['a', '0', 'my-crm', 'my_crm', 'a-b_c-1', repeat('a', 32)]) name;
SELECT throws_ok(format('UPDATE tollgate.%I SET name = %L', tbl, name), '23514', NULL,
                 format('%s: no name: %s', tbl, to_json(name)))
FROM unnest(ARRAY['connections', 'tenants']) tbl,
     unnest(ARRAY['', 'a__b', '_a', 'a_', '-a', 'a-', 'a-_b', 'A', 'a b', 'a.b', 'ä', E'a\n',
                  repeat('a', 33)]) name;

SELECT throws_ok(format('UPDATE tollgate.%s', change), '23514', NULL, 'refused: ' || change)
FROM unnest(ARRAY[
  'connections SET era = ''old''',
  'connections SET auth_mode = ''basic''',
  'connections SET auth_mode = ''oauth''',
  'connections SET oauth = ''{}''',
  'connections SET auth_mode = ''oauth'', oauth = ''[]''',
  'connections SET oauth_secret = ''\x01''',
  'serving_connections SET auth_mode = ''oauth''',
  'serving_connections SET oauth = ''{}''',
  'serving_connections SET auth_mode = ''oauth'', oauth = ''[]''',
  'serving_connections SET oauth_secret = ''\x01''',
  'connections SET trust_level = ''high''',
  'connections SET session_scope = ''all''',
  'connections SET transport = ''carrier-pigeon''',
  'connections SET url = ''''',
  'connections SET connect_timeout_ms = 0',
  'connections SET call_timeout_ms = -1',
  'catalogs SET era = ''auto''',
  'catalogs SET tools_count = -1',
  'connection_status SET state = ''fine''',
  'connection_status SET era = ''auto''',
  'upstream_sessions SET session_id = NULL',
  'upstream_sessions SET protocol_version = NULL',
  'upstream_sessions SET lease = gen_random_uuid(), lease_until = now()',
  'upstream_sessions SET session_id = NULL, protocol_version = NULL, lease = gen_random_uuid()',
  'upstream_sessions SET lease_until = now()',
  'users SET role = ''platform''',
  'users SET name = ''''',
  'api_keys SET role = ''root''',
  'api_keys SET key_id = ''short''',
  'api_keys SET key_id = ''twelve chars''',
  'api_keys SET secret_mac = ''\x00''',
  'mcp_sessions SET id_hash = ''\x00''',
  'mcp_sessions SET principal = ''''',
  'cancellations SET key = ''\x00''',
  'mcp_sessions SET list_hash = ''\x00''',
  'mcp_sessions SET stream = 0',
  'data_keys SET dek_id = 0',
  'data_keys SET kek_id = 4294967296',
  'tenants SET egress = ''[]''']) change;

SELECT lives_ok(format('UPDATE tollgate.connections SET era = %L', v), 'era ' || v)
FROM unnest(ARRAY['auto', 'legacy', 'modern']) v;
SELECT lives_ok(format('UPDATE tollgate.connections SET session_scope = %L', v), 'scope ' || v)
FROM unnest(ARRAY['shared', 'principal', 'client']) v;
SELECT lives_ok('UPDATE tollgate.upstream_sessions SET session_id = NULL, protocol_version = NULL,'
                ' lease = gen_random_uuid(), lease_until = now()', 'a lease takes a session''s place');
SELECT lives_ok(format('UPDATE tollgate.connections SET auth_mode = %L', v), 'auth_mode ' || v)
FROM unnest(ARRAY['none', 'bearer', 'api_key']) v;
SELECT lives_ok('UPDATE tollgate.connections SET auth_mode = ''oauth'', oauth = ''{}'''
                || v, 'auth_mode oauth' || v)
FROM unnest(ARRAY['', ', oauth_secret = ''\x01''']) v;
SELECT lives_ok(format('UPDATE tollgate.connection_status SET state = %L', v), 'state ' || v)
FROM unnest(ARRAY['unknown', 'ok', 'degraded', 'unreachable', 'auth_failed', 'needs_auth',
                  'invalid', 'disabled']) v;
SELECT lives_ok(format('UPDATE tollgate.api_keys SET role = %L', v), 'role ' || v)
FROM unnest(ARRAY['user', 'admin', 'platform']) v;

SELECT throws_ok(format($$ INSERT INTO tollgate.connections (tenant_id, id, name, url)
  VALUES (%L, gen_random_uuid(), %L, 'https://x/mcp') $$, :tenant_a, repeat('a', 32)), '23505', NULL,
  'a connection name is there once in a tenant');
SELECT throws_ok(format($$ INSERT INTO tollgate.users (tenant_id, id, name)
  VALUES (%L, gen_random_uuid(), 'ana') $$, :tenant_a), '23505', NULL, 'a user name too');

-- Numbers, order and unknown members of a tool list survive, and its size is no matter.
UPDATE tollgate.catalogs SET tools = '[{"z":1e400,"a":12345678901234567890,"z2": 1.50 }]'
  || repeat(' ', 8000000) WHERE tenant_id = :tenant_a;
SELECT results_eq(format($$ SELECT left(tools, 51), octet_length(tools) FROM tollgate.catalogs
                            WHERE tenant_id = %L $$, :tenant_a),
  $$ VALUES ('[{"z":1e400,"a":12345678901234567890,"z2": 1.50 }]' || ' ', 8000050) $$,
  'the tools of a catalog are kept byte for byte');

-- A user takes the keys along, a connection what was found out about it.
DELETE FROM tollgate.users WHERE tenant_id = :tenant_a;
SELECT is_empty(format('SELECT 1 FROM tollgate.api_keys WHERE tenant_id = %L', :tenant_a),
                'keys go with their user');
DELETE FROM tollgate.connections WHERE tenant_id = :tenant_a;
SELECT is_empty(format('SELECT 1 FROM tollgate.%I WHERE tenant_id = %L', t, :tenant_a),
                t || ' goes with the connection')
FROM unnest(ARRAY['catalogs', 'connection_status', 'serving_connections',
                  'upstream_sessions']) t;

-- updated_at follows a change and only a change. now() stands still here: so go back first.
ALTER TABLE tollgate.users DISABLE TRIGGER touch;
UPDATE tollgate.users SET updated_at = '2020-01-01Z';
ALTER TABLE tollgate.users ENABLE TRIGGER touch;
UPDATE tollgate.users SET name = name;
SELECT ok(bool_and(updated_at = '2020-01-01Z'), 'no change leaves updated_at') FROM tollgate.users;
UPDATE tollgate.users SET name = 'eve';
SELECT ok(bool_and(updated_at = now()), 'a change moves it') FROM tollgate.users;

SELECT * FROM finish();
ROLLBACK;
