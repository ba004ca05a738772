-- SPDX-License-Identifier: Apache-2.0
-- Which changes raise a tenant's config_version, and which are notified. The changes are made by
-- tollgate_app over connections of their own, because a notification leaves with the commit.

\set QUIET on
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
\pset pager off
BEGIN;
SELECT * FROM no_plan();

SELECT dblink_connect('app', format('host=%s port=%s dbname=%s user=tollgate_app',
         current_setting('unix_socket_directories'), current_setting('port'), current_database()))
\g /dev/null
SELECT dblink_exec('app', 'LISTEN tollgate') \g /dev/null
SELECT dblink_exec('app', 'SET app.tenant = ''aaaaaaaa-0000-4000-8000-000000000001''')
\g /dev/null

SELECT * FROM dblink('app', $$ SELECT id FROM tollgate.create_tenant(
  'bbbbbbbb-0000-4000-8000-000000000002', 'trigger-other') $$) AS t (x uuid) \g /dev/null
SELECT DISTINCT extra FROM dblink_get_notify('app') \g /dev/null

CREATE FUNCTION pg_temp.act(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  IF statement ~* '^\s*SELECT' THEN
    PERFORM * FROM dblink('app', statement) AS t (x text);
  ELSE
    PERFORM dblink_exec('app', statement);
  END IF;
  RETURN QUERY SELECT DISTINCT extra FROM dblink_get_notify('app') ORDER BY 1;
END $$;
CREATE FUNCTION pg_temp.version() RETURNS bigint LANGUAGE sql AS $$
  SELECT config_version FROM dblink('app', 'SELECT tenant_id, config_version FROM tollgate.config_versions()')
    AS t (tenant_id uuid, config_version bigint)
  WHERE tenant_id = 'aaaaaaaa-0000-4000-8000-000000000001'
$$;

-- statement, raises the version by, notifies, name of the test
CREATE TEMP TABLE changes (n int GENERATED ALWAYS AS IDENTITY, statement text, bumps int,
                           notifies boolean, name text);
INSERT INTO changes (statement, bumps, notifies, name) VALUES
  ($$ SELECT tollgate.create_tenant('aaaaaaaa-0000-4000-8000-000000000001', 'trigger-test')::text $$,
   NULL, true, 'a new tenant'),
  ($$ SELECT tollgate.update_tenant('aaaaaaaa-0000-4000-8000-000000000001', NULL, NULL,
        '{"allow":["127.0.0.1:1"]}')::text $$, 1, true, 'the egress exceptions'),
  ($$ SELECT tollgate.update_tenant('aaaaaaaa-0000-4000-8000-000000000001', NULL, false,
        NULL)::text $$, 1, true, 'disabling the tenant'),
  ($$ SELECT tollgate.update_tenant('aaaaaaaa-0000-4000-8000-000000000001', 'trigger-test', NULL,
        NULL)::text $$, 0, true, 'an update of the tenant that changes nothing'),
  ($$ INSERT INTO tollgate.data_keys VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 1, 1, '\x01') $$,
   1, true, 'a new data key'),
  ($$ UPDATE tollgate.data_keys SET wrapped = '\x02', kek_id = 2 $$, 1, true, 'a data key re-wrapped'),
  ($$ INSERT INTO tollgate.users (tenant_id, id, name)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000002', 'ana') $$,
   1, true, 'a new user'),
  ($$ UPDATE tollgate.users SET enabled = false $$, 1, true, 'a user disabled'),
  ($$ UPDATE tollgate.users SET enabled = false $$, 0, false, 'an update of a user that changes nothing'),
  ($$ INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, user_id, secret_mac)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', gen_random_uuid(), 'TriggerTest1', 'k',
              'aaaaaaaa-0000-4000-8000-000000000002', sha256('x')) $$, 1, true, 'a new key'),
  ($$ DELETE FROM tollgate.api_keys $$, 1, true, 'a key deleted'),
  ($$ INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, user_id, secret_mac)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', gen_random_uuid(), 'TriggerTest2', 'k',
              'aaaaaaaa-0000-4000-8000-000000000002', sha256('x')) $$, 1, true, 'another key'),
  ($$ DELETE FROM tollgate.users $$, 2, true, 'a user deleted with a key'),
  ($$ INSERT INTO tollgate.connections (tenant_id, id, name, url)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000003',
              'crm', 'https://x/mcp') $$, 1, true, 'a new connection'),
  ($$ UPDATE tollgate.connections SET enabled = false, version = version + 1 $$, 1, true,
   'a connection edited'),
  ($$ INSERT INTO tollgate.catalogs (tenant_id, connection_id, era, protocol_version, tools,
                                     tools_count, hash)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000003',
              'legacy', '2025-11-25', '[]', 0, '\x01') $$, 1, true, 'a first catalog'),
  ($$ UPDATE tollgate.catalogs SET fetched_at = now() $$, 0, false,
   'a catalog listed again and the same'),
  ($$ UPDATE tollgate.catalogs SET tools = '[{}]', tools_count = 1, hash = '\x02' $$, 1, true,
   'a catalog that changed'),
  ($$ UPDATE tollgate.connection_status SET state = 'ok' $$, 0, true, 'a state that changed'),
  ($$ UPDATE tollgate.connection_status SET tools_count = 4 $$, 0, true, 'a number of tools'),
  ($$ UPDATE tollgate.connection_status SET era = 'modern' $$, 0, true, 'an era found out'),
  ($$ UPDATE tollgate.connection_status SET lease_node = gen_random_uuid(), lease_number = 7,
        last_success = now(), next_retry_at = now(), last_error = 'x', last_error_at = now(),
        calls_failed_at = now(), probed_at = now(), refresh_done = 1, settings_version = 2 $$,
   0, false, 'a lease, an error and times'),
  ($$ UPDATE tollgate.connection_status SET refresh_wanted = refresh_wanted + 1 $$, 0, true,
   'a refresh'),
  ($$ UPDATE tollgate.connections SET enabled = true, version = version + 1 $$, 1, true,
   'a connection enabled'),
  ($$ UPDATE tollgate.connections SET url = 'https://y/mcp', version = version + 1 $$, 1, true,
   'new settings, used at once'),
  ($$ UPDATE tollgate.connection_status SET settings_version = 4 $$, 0, false,
   'which settings a state tells of'),
  ($$ UPDATE tollgate.connections SET url = 'https://z/mcp', version = version + 1 $$, 2, true,
   'new settings, to be tried out'),
  ($$ UPDATE tollgate.serving_connections SET trial_error = 'x', trial_error_at = now() $$, 0, false,
   'a trial that failed'),
  ($$ DELETE FROM tollgate.serving_connections $$, 1, true, 'a trial that went well'),
  ($$ INSERT INTO tollgate.upstream_sessions (tenant_id, connection_id, settings_version,
                                              session_id, protocol_version, expires_at)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000003', 2,
              's', '2025-11-25', now()) $$, 0, false, 'a session with an upstream'),
  ($$ INSERT INTO tollgate.mcp_sessions (tenant_id, id_hash, principal, protocol_version, expires_at)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', sha256('x'), 'p', '2025-11-25', now()) $$,
   0, false, 'a new session'),
  ($$ UPDATE tollgate.mcp_sessions SET last_seen_at = now() $$, 0, false, 'a session that is used'),
  ($$ UPDATE tollgate.mcp_sessions SET stream = 7, list_hash = sha256('') $$, 0, false, 'what a session is told'),
  ($$ UPDATE tollgate.mcp_sessions SET log_level = 'info' $$, 0, true, 'a log level asked for'),
  ($$ UPDATE tollgate.mcp_sessions SET log_level = 'info' $$, 0, false, 'the same one again'),
  ($$ DELETE FROM tollgate.mcp_sessions $$, 0, true, 'a session that ended'),
  ($$ INSERT INTO tollgate.cancellations (tenant_id, key)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', sha256('x')) $$, 0, false,
   'a cancelled request, on the channel of changes,'),
  ($$ INSERT INTO tollgate.grants (tenant_id, connection_id, id, kind, access_token)
      VALUES ('aaaaaaaa-0000-4000-8000-000000000001', 'aaaaaaaa-0000-4000-8000-000000000003',
              gen_random_uuid(), 'ingested', '\x01') $$, 0, false,
   'a grant, on the channel of changes,'),
  ($$ DELETE FROM tollgate.connections $$, 2, true, 'a connection deleted with its catalog'),
  ($$ SELECT tollgate.delete_tenant('aaaaaaaa-0000-4000-8000-000000000001')::text $$, NULL, true,
   'the tenant deleted');

CREATE TEMP TABLE seen (n int, before bigint, after bigint, heard text[]);
DO $$
DECLARE
  change record;
  before bigint;
  heard text[];
BEGIN
  FOR change IN SELECT * FROM changes ORDER BY n LOOP
    before := pg_temp.version();
    heard := ARRAY(SELECT pg_temp.act(change.statement));
    INSERT INTO seen VALUES (change.n, before, pg_temp.version(), heard);
  END LOOP;
END $$;

SELECT is(s.heard, CASE WHEN c.notifies THEN ARRAY['aaaaaaaa-0000-4000-8000-000000000001']
                        ELSE '{}'::text[] END,
          c.name || CASE WHEN c.notifies THEN ' notifies' ELSE ' is silent' END)
FROM changes c JOIN seen s USING (n) ORDER BY n;
SELECT is((s.after - s.before)::int, c.bumps,
          format('%s raises config_version by %s', c.name, c.bumps))
FROM changes c JOIN seen s USING (n) WHERE c.bumps IS NOT NULL ORDER BY n;

-- A cancelled request has a channel of its own.
SELECT dblink_exec('app', 'LISTEN tollgate_cancel') \g /dev/null
SELECT dblink_exec('app', 'SET app.tenant = ''bbbbbbbb-0000-4000-8000-000000000002''')
\g /dev/null
SELECT dblink_exec('app', $$ INSERT INTO tollgate.cancellations (tenant_id, key)
  VALUES ('bbbbbbbb-0000-4000-8000-000000000002', sha256('x'))
  ON CONFLICT (tenant_id, key) DO UPDATE SET created_at = now() $$)
FROM generate_series(1, 2) \g /dev/null
SELECT results_eq($$ SELECT notify_name, extra FROM dblink_get_notify('app') $$,
  $$ VALUES ('tollgate_cancel', 'bbbbbbbb-0000-4000-8000-000000000002'),
            ('tollgate_cancel', 'bbbbbbbb-0000-4000-8000-000000000002') $$,
  'a request cancelled, and cancelled again, is notified on a channel of its own');

SELECT results_eq($$
  SELECT * FROM dblink('app', 'SELECT config_version FROM tollgate.find_tenant(''trigger-other'')')
    AS t (v bigint) $$, 'VALUES (1::bigint)', 'another tenant is not concerned by any of it');
-- So has a grant, with its key, version and state.
SELECT dblink_exec('app', 'LISTEN tollgate_grants') \g /dev/null
CREATE FUNCTION pg_temp.granted(change text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
  PERFORM dblink_exec('app', change);
  RETURN QUERY SELECT extra FROM dblink_get_notify('app') WHERE notify_name = 'tollgate_grants';
END $$;
SELECT results_eq(format('SELECT pg_temp.granted(%L)', change),
                  CASE WHEN said IS NULL THEN 'SELECT NULL::text WHERE false' ELSE
                    format('VALUES (%L)', 'bbbbbbbb-0000-4000-8000-000000000002 '
                      'bbbbbbbb-0000-4000-8000-000000000003 ' || said) END,
                  'of grants: ' || coalesce(said, 'nothing') || ' after ' || left(btrim(change), 24))
FROM (VALUES
  ($$ INSERT INTO tollgate.connections (tenant_id, id, name, url)
      VALUES ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000003',
              'crm', 'https://x/mcp') $$, NULL),
  ($$ INSERT INTO tollgate.grants (tenant_id, connection_id, id, kind, access_token)
      VALUES ('bbbbbbbb-0000-4000-8000-000000000002', 'bbbbbbbb-0000-4000-8000-000000000003',
              gen_random_uuid(), 'ingested', '\x01') $$, '1 active '),
  ('UPDATE tollgate.grants SET version = 2', '2 active '),
  ('UPDATE tollgate.grants SET last_error = ''x'', failures = 1', NULL),
  ('UPDATE tollgate.grants SET lease_owner = gen_random_uuid(), lease_until = now()', NULL),
  ('UPDATE tollgate.grants SET lease_owner = NULL, lease_until = NULL', '2 active '),
  ('UPDATE tollgate.grants SET state = ''needs_reauth''', '2 needs_reauth '),
  ('DELETE FROM tollgate.connections', '2 gone ')) AS c (change, said);

SELECT * FROM dblink('app',
  'SELECT tollgate.delete_tenant(''bbbbbbbb-0000-4000-8000-000000000002'')') AS t (x bool)
\g /dev/null

-- As the pool relies on: what a transaction sets is gone after it, and then no row is visible.
SELECT dblink_exec('app', 'RESET app.tenant') \g /dev/null
SELECT dblink_exec('app', 'BEGIN') \g /dev/null
SELECT * FROM dblink('app', format('SELECT set_config(''app.tenant'', %L, true)', gen_random_uuid()))
  AS t (x text) \g /dev/null
SELECT dblink_exec('app', 'COMMIT') \g /dev/null
SELECT results_eq($$
  SELECT * FROM dblink('app', 'SELECT current_setting(''app.tenant''),'
    ' (SELECT count(*) FROM tollgate.tenants)') AS t (x text, n bigint) $$,
  $$ VALUES ('', 0::bigint) $$, 'a transaction-local app.tenant leaves an empty setting and no rows');

SELECT * FROM finish();
SELECT dblink_disconnect('app') \g /dev/null
ROLLBACK;
