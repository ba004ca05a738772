-- SPDX-License-Identifier: Apache-2.0
-- What becomes of grants and attempts when the settings that they are for change.

\ir setup.psql

\set crm 'tenant_id = ' :tenant_a ' AND name = ''crm'''
UPDATE tollgate.connections SET auth_mode = 'oauth', oauth_secret = '\x06', version = 2,
  oauth = '{"grant":"authorization_code","per":"user","issuer":"https://as","scope":"a"}';
DELETE FROM audit.auth_event_log;
DELETE FROM tollgate.connect_attempts;
UPDATE tollgate.grants SET state = 'active', kind = 'authorization_code', last_error = NULL,
  refresh_token = '\x02', next_refresh_at = now(), lease_owner = gen_random_uuid(),
  lease_until = now() + interval '1 minute', lease_number = 4, sent_at = now();
INSERT INTO tollgate.grants (tenant_id, connection_id, subject, user_id, id, kind, access_token)
  SELECT c.tenant_id, c.id, 'user:' || u.id, u.id, gen_random_uuid(), 'client_credentials', '\x03'
  FROM tollgate.connections c JOIN tollgate.users u USING (tenant_id);
INSERT INTO tollgate.connect_attempts
  (tenant_id, id, connection_id, subject, principal, user_name, expires_at, client_secret, held)
  SELECT tenant_id, gen_random_uuid(), id, '', 'key:' || gen_random_uuid(), 'robot',
         now() + interval '10 minutes', '\x04', '\x05'
  FROM tollgate.connections;

CREATE FUNCTION pg_temp.states() RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(kind || ' ' || state, ', ' ORDER BY kind)
         || ' ' || (SELECT string_agg(state, ', ') FROM tollgate.connect_attempts)
  FROM tollgate.grants
$$;
-- After the edit, which is undone.
CREATE FUNCTION pg_temp.after(edit text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  states text;
BEGIN
  EXECUTE 'UPDATE tollgate.connections SET ' || edit || ', version = version + 1';
  states := pg_temp.states();
  RAISE 'undone' USING ERRCODE = 'TG000';
EXCEPTION WHEN SQLSTATE 'TG000' THEN
  RETURN states;
END
$$;
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
\set all_good '''authorization_code active, client_credentials active open'''
\set reasked '''authorization_code active, client_credentials needs_reauth open'''
\set all_gone '''authorization_code needs_reauth, client_credentials needs_reauth failed'''
SELECT is(pg_temp.after('description = ''x'''), :all_good, 'what is no setting ends nothing');
SELECT is(pg_temp.after('oauth_secret = ''\x07'''), :all_good,
          'nor does a secret that is sealed anew');
SELECT is(pg_temp.after('auth_mode = ''none'', oauth = NULL, oauth_secret = NULL'), :all_good,
          'nor does a mode that uses no grant');
SELECT is(pg_temp.after(edit), :reasked, 'a grant has a secret and a scope of its own: ' || edit)
FROM unnest(ARRAY['oauth_secret = ''\x07'', settings_version = 3',
                  'oauth = oauth || ''{"scope":"b"}''',
                  'url = url || ''/more''']) edit;
SELECT is(pg_temp.after(edit), :all_gone, 'all end: ' || edit)
FROM unnest(ARRAY['url = ''https://evil.example.com/mcp''',
                  'url = replace(url, ''https'', ''http'')',
                  'oauth = oauth || ''{"issuer":"https://as2"}''',
                  'oauth = oauth || ''{"client_id":"me"}''',
                  'oauth = oauth || ''{"per":"shared"}''']) edit;

UPDATE tollgate.connections SET url = 'https://evil.example.com/mcp', version = 3;
SELECT results_eq($$
  SELECT state, last_error, last_error_at IS NOT NULL, next_refresh_at, lease_owner, lease_number,
         sent_at, version, access_token, refresh_token
  FROM tollgate.grants WHERE subject = '' $$, $$
  VALUES ('needs_reauth', 'the settings of the connection have changed', true, NULL::timestamptz,
          NULL::uuid, 5::bigint, NULL::timestamptz, 1::bigint, '\x01'::bytea, '\x02'::bytea) $$,
  'the tokens stay, so that they can be revoked; who renews it now has lost the lease');
SELECT results_eq($$
  SELECT tenant, type, connection, actor, count(*) FROM audit.auth_event_log GROUP BY 1, 2, 3, 4 $$,
  $$ VALUES ('alpha', 'settings_changed', 'crm', 'system:edit', 2::bigint) $$, 'each is recorded');
SELECT results_eq($$
  SELECT error_code, error_text, finished_at IS NOT NULL, client_secret, held
  FROM tollgate.connect_attempts $$, $$
  VALUES ('expired', 'the settings of the connection have changed', true, NULL::bytea, NULL::bytea)
  $$, 'the attempt says why, and keeps no secret');
UPDATE tollgate.connections SET url = 'https://third.example.com/mcp', version = 4;
SELECT is(count(*), 2::bigint, 'what has ended is no longer concerned') FROM audit.auth_event_log;
RESET SESSION AUTHORIZATION;
SELECT is(string_agg(DISTINCT state, ','), 'active', 'nor is another tenant')
FROM tollgate.grants WHERE tenant_id = :tenant_b;

-- Where a client was used is known until it is another one, or for another server.
UPDATE tollgate.connections SET auth_mode = 'oauth', oauth = '{"client_id":"me"}', version = 8
  WHERE tenant_id = :tenant_b;
DELETE FROM tollgate.client_issuers;
INSERT INTO tollgate.client_issuers (tenant_id, connection_id, issuer)
  SELECT tenant_id, id, 'https://as' FROM tollgate.connections;
CREATE FUNCTION pg_temp.bound_after(edit text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  bound text;
BEGIN
  EXECUTE 'UPDATE tollgate.connections SET ' || edit || ', version = version + 1';
  SELECT string_agg(issuer, ' ') INTO bound FROM tollgate.client_issuers;
  RAISE 'undone' USING ERRCODE = 'TG000';
EXCEPTION WHEN SQLSTATE 'TG000' THEN
  RETURN bound;
END
$$;
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_b, true) \g /dev/null
SELECT is(pg_temp.bound_after(edit), 'https://as', 'a client stays bound: ' || edit)
FROM unnest(ARRAY['description = ''x''', 'url = url || ''/more''', 'oauth_secret = ''\x07''',
                  'oauth = oauth || ''{"scope":"b","per":"shared","audience":"x"}''']) edit;
SELECT is(pg_temp.bound_after(edit), NULL, 'a client is bound anew: ' || edit)
FROM unnest(ARRAY['url = ''https://evil.example.com/mcp''',
                  'auth_mode = ''none'', oauth = NULL, oauth_secret = NULL',
                  'oauth = oauth || ''{"client_id":"you"}''',
                  'oauth = oauth || ''{"issuer":"https://as2"}''',
                  'oauth = oauth || ''{"token_url":"https://as/t"}''']) edit;
RESET SESSION AUTHORIZATION;

-- A mode that used no grant in between makes no difference.
UPDATE tollgate.grants SET state = 'active', last_error = NULL WHERE tenant_id = :tenant_a;
UPDATE tollgate.connections SET auth_mode = 'none', oauth = NULL, oauth_secret = NULL, version = 5 WHERE :crm;
UPDATE tollgate.connections SET url = 'https://evil.example.com/mcp', version = 6 WHERE :crm;
SELECT is(string_agg(DISTINCT state, ','), 'active', 'a grant that nobody uses')
FROM tollgate.grants WHERE tenant_id = :tenant_a;
UPDATE tollgate.connections SET auth_mode = 'oauth', oauth = '{}', version = 7 WHERE :crm;
SELECT is(string_agg(DISTINCT state, ','), 'needs_reauth', 'is not used by what comes after it')
FROM tollgate.grants WHERE tenant_id = :tenant_a;

SELECT * FROM finish();
ROLLBACK;
