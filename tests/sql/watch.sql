-- SPDX-License-Identifier: Apache-2.0
-- Who watches a connection, and what serves while an edit is tried out.

\ir setup.psql
DELETE FROM tollgate.serving_connections;
DELETE FROM tollgate.nodes;
INSERT INTO tollgate.connections (tenant_id, id, name, url)
  SELECT t.id, gen_random_uuid(), 'more' || i, 'https://more.example.com/mcp'
  FROM tollgate.tenants t, generate_series(1, 3) i;

-- Leases: eight connections of two tenants --------------------------------------------------------

\set one '''11111111-0000-4000-8000-000000000001'''
\set two '''22222222-0000-4000-8000-000000000002'''
\set home '''99999999-0000-4000-8000-000000000009'''
SELECT is(count(*), 8::bigint, 'a new connection has its status')
FROM tollgate.connection_status WHERE state = 'unknown' AND lease_node IS NULL AND lease_number = 0;

CREATE FUNCTION pg_temp.watched(node uuid, max bigint DEFAULT 100) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM tollgate.watch_connections(node, '10 seconds', max)
$$;
GRANT EXECUTE ON FUNCTION pg_temp.watched(uuid, bigint) TO PUBLIC;

SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.watched(:one), 0::bigint, 'who is no node watches nothing');
INSERT INTO tollgate.nodes (id, host, pid, slot, version) VALUES (:one, 'h', 1, 0, '1');
SELECT is(pg_temp.watched(:one, 2), 2::bigint, 'nobody watches more than it can');
SELECT is(pg_temp.watched(:one), 8::bigint, 'one node watches all, whatever the tenant');
SELECT ok(lease_until BETWEEN clock_timestamp() + interval '9 s'
                      AND clock_timestamp() + interval '10 s', 'for as long as it asked')
FROM tollgate.nodes WHERE id = :one;
INSERT INTO tollgate.nodes (id, host, pid, slot, version) VALUES (:two, 'h', 1, 1, '1');
SELECT is(pg_temp.watched(:two), 0::bigint, 'of what is watched another takes nothing');
RESET SESSION AUTHORIZATION;
SELECT is(array_agg(DISTINCT lease_number), ARRAY[1::bigint], 'a renewal is no new lease')
FROM tollgate.connection_status;

UPDATE tollgate.nodes SET lease_until = clock_timestamp() - interval '1 ms' WHERE id = :one;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.watched(:two), 8::bigint, 'a lease that has run out is taken over');
SELECT is(pg_temp.watched(:one), 0::bigint, 'and who was late has nothing any more');
RESET SESSION AUTHORIZATION;
SELECT is(array_agg(DISTINCT lease_number), ARRAY[2::bigint], 'each new holder has a new number')
FROM tollgate.connection_status;

UPDATE tollgate.nodes SET lease_until = NULL WHERE id = :two;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.watched(:one), 8::bigint, 'what is given back is free at once');
DELETE FROM tollgate.nodes WHERE id = :one;
INSERT INTO tollgate.nodes (id, host, pid, slot, version, lease_until)
  VALUES ('33333333-0000-4000-8000-000000000003', 'h', 1, 0, '1', now() + interval '10 s');
SELECT is(pg_temp.watched(:two), 4::bigint, 'of what a dead node had, each takes its part');
SELECT is(pg_temp.watched('33333333-0000-4000-8000-000000000003'), 4::bigint,
          'so that all of it is watched');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT count(*) FROM tollgate.connection_status
                     GROUP BY lease_node ORDER BY lease_node $$, 'VALUES (4::bigint), (4)',
                  'each by one');

UPDATE tollgate.connection_status SET refresh_wanted = 3 WHERE lease_node = :two;
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_eq(format($$ SELECT lease_number, refresh_wanted
                        FROM tollgate.watch_connections(%L, '10 seconds', 100) $$, :two),
              'VALUES (4::bigint, 3::bigint)', 'the holder is told what is wanted of it');
SELECT lives_ok(format($$ INSERT INTO tollgate.nodes (id, host, pid, slot, version, home)
                          VALUES (gen_random_uuid(), 'h', 1, 0, '1', %L) $$, :home),
                'a worker has a home');
SELECT throws_ok(format($$ INSERT INTO tollgate.nodes (id, host, pid, slot, version, home)
                           VALUES (gen_random_uuid(), 'h', 1, 0, '1', %L) $$, :home), '23505', NULL,
                 'in which its slot is there once');
RESET SESSION AUTHORIZATION;
DELETE FROM tollgate.tenants WHERE id = :tenant_b;
SELECT is(count(*), 4::bigint, 'what is deleted is not watched') FROM tollgate.connection_status;

-- Swaps -------------------------------------------------------------------------------------------

\set crm 'tenant_id = ' :tenant_a ' AND name = ''crm'''
\set serving 'SELECT url, version, settings_version FROM tollgate.serving_connections'
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null

UPDATE tollgate.connections SET url = 'https://second/mcp', version = 2 WHERE :crm;
SELECT is_empty(:'serving', 'what was never listed serves no longer');
SELECT is(settings_version, 2::bigint, 'new settings have the version of their edit')
FROM tollgate.connections WHERE :crm;

UPDATE tollgate.connection_status SET state = 'ok', settings_version = 2;
UPDATE tollgate.connections SET tools_deny = '{x}', description = 'd', version = 3 WHERE :crm;
SELECT is_empty(:'serving', 'an edit of who may use it has nothing to try out');
SELECT is(settings_version, 2::bigint, 'and is no new setting')
FROM tollgate.connections WHERE :crm;

UPDATE tollgate.connections SET url = 'https://third/mcp', version = 4 WHERE :crm;
SELECT results_eq(:'serving', $$ VALUES ('https://second/mcp', 3::bigint, 2::bigint) $$,
                  'what was well serves until the new settings have been tried out');
UPDATE tollgate.serving_connections SET trial_error = 'x', trial_error_at = now();
UPDATE tollgate.connections SET call_timeout_ms = 5, version = 5 WHERE :crm;
SELECT results_eq(:'serving', $$ VALUES ('https://second/mcp', 3::bigint, 2::bigint) $$,
                  'through further edits');
SELECT results_eq('SELECT trial_error, trial_error_at FROM tollgate.serving_connections',
                  'VALUES (NULL::text, NULL::timestamptz)', 'whose trials begin anew');
UPDATE tollgate.connections SET tools_deny = '{}', version = 6 WHERE :crm;
SELECT isnt_empty(:'serving', 'who may use it is no matter');
SAVEPOINT trial;
UPDATE tollgate.connections SET enabled = false, version = 7 WHERE :crm;
SELECT is_empty(:'serving', 'what is disabled serves nothing, and keeps no old secret');
ROLLBACK TO trial;
UPDATE tollgate.connection_status SET state = 'unreachable';
UPDATE tollgate.connections SET url = 'https://fourth/mcp', version = 7 WHERE :crm;
SELECT is_empty(:'serving', 'what has failed since serves no longer');

-- What the gateway says of secrets, which are sealed anew with each edit.
UPDATE tollgate.connection_status SET state = 'ok', settings_version = 7;
UPDATE tollgate.connections SET credential = '\x02', version = 8 WHERE :crm;
SELECT is_empty(:'serving', 'a credential that is sealed anew is the same');
UPDATE tollgate.connections SET credential = '\x03', settings_version = 9, version = 9 WHERE :crm;
SELECT results_eq('SELECT credential, version FROM tollgate.serving_connections',
                  $$ VALUES ('\x02'::bytea, 8::bigint) $$,
                  'another one is tried out, and the old one is kept as it was sealed');

-- OAuth: the old settings go on serving only if they share their grants with the new ones.
\set well 'UPDATE tollgate.connection_status s SET state = ''ok'', settings_version = c.settings_version FROM tollgate.connections c WHERE c.id = s.connection_id; DELETE FROM tollgate.serving_connections'
\set settings 'SELECT auth_mode, oauth, oauth_secret FROM tollgate.serving_connections'
:well;
UPDATE tollgate.connections SET auth_mode = 'oauth', oauth_secret = '\x05', version = 10,
  oauth = '{"grant":"authorization_code","per":"user","issuer":"https://as","scope":"a"}'
WHERE :crm;
SELECT results_eq(:'settings', $$ VALUES ('none', NULL::jsonb, NULL::bytea) $$,
                  'what has no grants serves while OAuth is tried out');
SELECT is(settings_version, 10::bigint, 'OAuth settings are settings')
FROM tollgate.connections WHERE :crm;
:well;
UPDATE tollgate.connections SET oauth_secret = '\x06', version = 11 WHERE :crm;
SELECT is_empty(:'settings', 'a client secret that is sealed anew is the same');
UPDATE tollgate.connections SET oauth_secret = '\x07', settings_version = 12, version = 12
WHERE :crm;
SELECT results_eq(:'settings', $$ VALUES ('oauth',
    '{"grant":"authorization_code","per":"user","issuer":"https://as","scope":"a"}'::jsonb,
    '\x06'::bytea) $$, 'another one is tried out, and the old one is kept as it was sealed');
:well;
UPDATE tollgate.connections SET oauth_secret = NULL, version = 13 WHERE :crm;
SELECT is(settings_version, 13::bigint, 'to have none is a new setting')
FROM tollgate.connections WHERE :crm;

CREATE TEMP TABLE edits (edit text, keeps boolean);
INSERT INTO edits VALUES
  ('oauth = oauth || ''{"scope":"a b"}''', true),
  ('oauth = oauth || ''{"authorize_params":{"prompt":"consent"}}''', true),
  ('url = url || ''/other''', true),
  ('url = replace(url, ''https://third'', ''HTTPS://Third'')', true),
  ('call_timeout_ms = 77', true),
  ('url = ''https://third:444/mcp''', false),
  ('url = ''http://third/mcp''', false),
  ('url = ''https://third.example.com/mcp''', false),
  ('url = ''https://third?/mcp''', true),
  ('oauth = oauth || ''{"per":"shared"}''', false),
  ('oauth = oauth || ''{"grant":"client_credentials"}''', false),
  ('oauth = oauth || ''{"issuer":"https://as2"}''', false),
  ('oauth = oauth || ''{"token_url":"https://as/token"}''', false),
  ('oauth = oauth || ''{"client_id":"me"}''', false),
  ('oauth = oauth || ''{"audience":"x"}''', false);
UPDATE tollgate.connections SET url = 'https://third/mcp', version = 14 WHERE :crm;
CREATE FUNCTION pg_temp.serves_after(edit text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  serves boolean;
BEGIN
  EXECUTE 'UPDATE tollgate.connections SET ' || edit || ', version = 15 WHERE name = ''crm''';
  serves := EXISTS (SELECT FROM tollgate.serving_connections);
  RAISE 'undone' USING ERRCODE = 'TG000', DETAIL = serves::text;
EXCEPTION WHEN SQLSTATE 'TG000' THEN
  RETURN serves;
END
$$;
:well;
SELECT is(pg_temp.serves_after(edit), keeps,
          edit || CASE WHEN keeps THEN ' keeps' ELSE ' ends' END || ' what serves') FROM edits;
-- The grants of what serves since before are at stake too.
:well;
UPDATE tollgate.connections SET auth_mode = 'none', oauth = NULL, version = 16 WHERE :crm;
SELECT results_eq('SELECT auth_mode FROM tollgate.serving_connections', $$ VALUES ('oauth') $$,
                  'what has grants serves while none is tried out');
UPDATE tollgate.connections SET auth_mode = 'oauth', oauth = '{}', version = 17 WHERE :crm;
SELECT is_empty(:'serving', 'and no longer once other grants are to come');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
