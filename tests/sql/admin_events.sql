-- SPDX-License-Identifier: Apache-2.0
-- Who changed what, before and after, and who signed in.

\ir setup.psql

-- What the rows of setup.psql have written themselves.
SELECT set_eq('SELECT DISTINCT action, via, actor FROM audit.admin_event_log'
              ' WHERE target_kind <> ''schema'' AND target_kind <> ''setting''', $$
  VALUES ('tenant.create', 'sql', 'sql:postgres'), ('user.create', 'sql', 'sql:postgres'),
         ('key.create', 'sql', 'sql:postgres'), ('connection.create', 'sql', 'sql:postgres'),
         ('signin_code.create', 'sql', 'sql:postgres') $$,
  'what is made by SQL has its events, and they say by which role');
SELECT isnt_empty('SELECT 1 FROM audit.admin_event_log WHERE action = ''schema.migrate'''
                  ' AND target LIKE ''0020%'' AND tenant_id = ''' || :nobody || '''',
                  'migrations have events from this one on');
DELETE FROM audit.admin_event_log;

-- The clock of the id, and its version.
SELECT matches(audit.uuid_v7()::text, '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-',
               'uuid_v7 is of version 7');
SELECT ok(abs(('x' || left(replace(audit.uuid_v7()::text, '-', ''), 12))::bit(48)::bigint
              - extract(epoch FROM clock_timestamp()) * 1000) < 2000, 'and begins with the time');

SELECT is(audit.redact_url(given), wanted, 'url: ' || given) FROM (VALUES
  ('https://crm.example.com/mcp', 'https://crm.example.com/mcp'),
  ('https://u:secret@crm.example.com/mcp', 'https://[REDACTED]@crm.example.com/mcp'),
  ('https://h/mcp?key=secret&b=2;c=3#x=4',
   'https://h/mcp?key=[REDACTED]&b=[REDACTED];c=[REDACTED]#x=[REDACTED]'),
  ('https://h/a@b', 'https://h/a@b'),
  ('https://h/mcp?plain', 'https://h/mcp?plain')) v (given, wanted);

-- What the gateway says of who asks.
CREATE FUNCTION pg_temp.asks(p_action text, p_id uuid, p_more jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql AS $$
  SELECT set_config('app.event', (jsonb_build_object(
    'event_id', p_id, 'action', p_action, 'actor', 'user:ana', 'role', 'admin', 'api_key', 'AAAAAAAAAAAA',
    'actor_tenant', 'alpha', 'via', 'api', 'client', 'curl/8', 'source_ip', '10.1.2.3') || p_more)::text,
    true) $$;
GRANT EXECUTE ON FUNCTION pg_temp.asks(text, uuid, jsonb) TO PUBLIC;
SELECT set_config('app.tenant', :tenant_a, true);

SET SESSION AUTHORIZATION tollgate_app;
SELECT pg_temp.asks('user.create', '01900000-0000-7000-8000-000000000001');
INSERT INTO tollgate.users (tenant_id, id, name, email)
  VALUES (:tenant_a, '11111111-0000-4000-8000-000000000001', 'bea', 'bea@example.com');
SELECT results_eq($$ SELECT actor, role, api_key, actor_tenant, via, client, source_ip, action, tenant,
    target_kind, target, target_id, before, after, outcome, n_events, cause_id
  FROM audit.admin_event_log WHERE event_id = '01900000-0000-7000-8000-000000000001' $$, $$ VALUES (
    'user:ana', 'admin', 'AAAAAAAAAAAA', 'alpha', 'api', 'curl/8', '10.1.2.3'::inet, 'user.create',
    'alpha', 'user', 'bea', '11111111-0000-4000-8000-000000000001', NULL::jsonb,
    '{"name": "bea", "email": "bea@example.com", "role": "user", "enabled": true, "version": 1}'::jsonb,
    'ok', 1::bigint, NULL::uuid) $$, 'an event says who, how, what and what it is now');

SELECT pg_temp.asks('user.update', '01900000-0000-7000-8000-000000000002');
UPDATE tollgate.users SET email = NULL, role = 'admin', version = 2 WHERE name = 'bea';
SELECT results_eq($$ SELECT action, before, after FROM audit.admin_event_log
  WHERE event_id = '01900000-0000-7000-8000-000000000002' $$, $$ VALUES ('user.update',
  '{"email": "bea@example.com", "role": "user", "version": 1}'::jsonb,
  '{"email": null, "role": "admin", "version": 2}'::jsonb) $$, 'of a change only what has changed');

-- Secrets.
SELECT pg_temp.asks('connection.update', '01900000-0000-7000-8000-000000000003');
UPDATE tollgate.connections SET credential = '\x01', auth_mode = 'bearer', version = 2,
       url = 'https://crm.example.com/mcp?key=hidden';
SELECT pg_temp.asks('connection.update', '01900000-0000-7000-8000-000000000004',
                    '{"secrets": ["credential"]}');
UPDATE tollgate.connections SET credential = '\x02', headers = '\x03', version = 3;
SELECT pg_temp.asks('connection.update', '01900000-0000-7000-8000-000000000005', '{"secrets": []}');
UPDATE tollgate.connections SET credential = '\x04', headers = '\x05', version = 4,
       description = 'x';
SELECT results_eq($$ SELECT before, after FROM audit.admin_event_log WHERE action = 'connection.update'
  ORDER BY event_id $$, $$ VALUES
  ('{"auth_mode": "none", "version": 1, "credential": null, "url": "https://crm.example.com/mcp"}'::jsonb,
   '{"auth_mode": "bearer", "version": 2, "credential": "set",
     "url": "https://crm.example.com/mcp?key=[REDACTED]"}'::jsonb),
  ('{"version": 2, "credential": "set", "headers": null}',
   '{"version": 3, "credential": "changed", "headers": "set"}'),
  ('{"version": 3, "description": ""}', '{"version": 4, "description": "x"}') $$,
  'a secret is set or changed, and one that was only sealed anew is neither');
SELECT set_config('app.event', '', true);
UPDATE tollgate.connections SET credential = '\x06';
SELECT results_eq($$ SELECT before, after, via FROM audit.admin_event_log
  WHERE action = 'connection.reseal' $$, $$ VALUES ('{"credential": "set"}'::jsonb,
  '{"credential": "changed"}'::jsonb, 'sql') $$, 'the same version under another key is a reseal');
UPDATE tollgate.data_keys SET kek_id = 8, wrapped = '\x02';
SELECT results_eq($$ SELECT target, before, after FROM audit.admin_event_log
  WHERE action = 'data_key.wrap' $$, $$ VALUES ('1', '{"kek_id": 7, "wrapped": "set"}'::jsonb,
  '{"kek_id": 8, "wrapped": "changed"}'::jsonb) $$, 'a data key that is wrapped anew');

-- A change of nothing is an event if somebody asked for it, and none of its own accord.
SELECT pg_temp.asks('user.update', '01900000-0000-7000-8000-000000000006');
UPDATE tollgate.users SET name = name WHERE name = 'bea';
SELECT results_eq($$ SELECT before, after FROM audit.admin_event_log
  WHERE event_id = '01900000-0000-7000-8000-000000000006' $$, $$ VALUES ('{}'::jsonb, '{}'::jsonb) $$,
  'asked for and nothing changed');
SELECT is_empty('SELECT 1 FROM audit.admin_event_log WHERE action = ''tenant.update''',
                'a configuration version that rises is no change of the tenant');

-- A request that changes twice: the second follows from the first.
SELECT pg_temp.asks('user.create', '01900000-0000-7000-8000-00000000000a');
INSERT INTO tollgate.users (tenant_id, id, name) VALUES (:tenant_a, gen_random_uuid(), 'max');
UPDATE tollgate.users SET enabled = false WHERE name = 'max';
SELECT results_eq($$ SELECT action, cause_id IS NULL AS asked, via FROM audit.admin_event_log
  WHERE '01900000-0000-7000-8000-00000000000a' IN (event_id, cause_id) ORDER BY action $$, $$ VALUES
  ('user.create', true, 'api'), ('user.update', false, 'api') $$, 'each change has its own event');

-- What goes with something else.
INSERT INTO tollgate.api_keys (tenant_id, id, key_id, name, user_id, secret_mac)
  SELECT tenant_id, gen_random_uuid(), 'BBBBBBBBBBBB', 'bea-laptop', id, sha256('s')
  FROM tollgate.users WHERE name = 'bea';
SELECT pg_temp.asks('user.delete', '01900000-0000-7000-8000-000000000007');
DELETE FROM tollgate.users WHERE name = 'bea';
SELECT results_eq($$ SELECT action, target, via, actor, cause_id IS NULL AS asked
  FROM audit.admin_event_log
  WHERE '01900000-0000-7000-8000-000000000007' IN (event_id, cause_id) ORDER BY action $$, $$ VALUES
  ('key.delete', 'bea-laptop', 'cascade', 'user:ana', false),
  ('user.delete', 'bea', 'api', 'user:ana', true) $$, 'keys go with their user, and each is told');
SELECT is_empty($$ SELECT 1 FROM audit.admin_event_log WHERE position('\x' IN concat(before, after)) > 0 $$,
                'no event holds bytes');

-- Whose events.
SELECT throws_ok('UPDATE audit.admin_event_log SET actor = ''x''', '42501', NULL, 'events stay');
SELECT throws_ok('DELETE FROM audit.admin_event_log', '42501', NULL, 'all of them');
SELECT throws_ok(format('INSERT INTO audit.admin_event_log (tenant_id, action, target_kind)'
                        ' VALUES (%L, ''a.b'', ''a'')', :tenant_b), '42501', NULL,
                 'nobody writes into another tenant''s');
SELECT lives_ok(format('INSERT INTO audit.admin_event_log (tenant_id, action, target_kind, outcome)'
                       ' VALUES (%L, ''user.create'', ''user'', ''denied'')', :tenant_a),
                'a refusal is written as it is');
SELECT set_config('app.tenant', :tenant_b, true);
SELECT is_empty(format('SELECT 1 FROM audit.admin_event_log WHERE tenant_id = %L', :tenant_a),
                'nor reads them');
SELECT set_config('app.audit_scope', 'platform', true);
SELECT isnt_empty(format('SELECT 1 FROM audit.admin_event_log WHERE tenant_id = %L', :tenant_a),
                  'unless it asks for the platform');
SELECT isnt_empty('SELECT 1 FROM audit.auth_event_log', 'of sign-ins too');
SELECT set_config('app.audit_scope', '', true);
RESET SESSION AUTHORIZATION;

-- The tenant itself, and readers.
SELECT pg_temp.asks('tenant.delete', '01900000-0000-7000-8000-000000000008', '{"role": "platform"}');
INSERT INTO audit.reader_roles VALUES ('tester', :tenant_b);
SELECT results_eq($$ SELECT action, target, after ->> 'tenant_id' FROM audit.admin_event_log
  WHERE target_kind = 'reader' $$, format($$ VALUES ('reader.grant', 'tester', %L) $$, :tenant_b),
  'who may read is a change too');
SET SESSION AUTHORIZATION tollgate_app;
SELECT tollgate.delete_tenant(:tenant_b);
RESET SESSION AUTHORIZATION;
SELECT set_eq(format($$ SELECT action, target, tenant FROM audit.admin_event_log
  WHERE tenant_id = %L AND action LIKE '%%.delete' $$, :tenant_b), $$ VALUES
  ('tenant.delete', 'beta', 'beta'), ('user.delete', 'ana', 'beta'), ('key.delete', 'laptop', 'beta'),
  ('connection.delete', 'crm', 'beta') $$, 'all that goes with a tenant, by the names of that time');

-- Sign-ins.
SELECT set_config('app.tenant', :tenant_a, true);
DELETE FROM audit.auth_event_log;
SELECT set_config('app.event', '{"source_ip": "10.9.8.7", "client": "Firefox", "signin": "code"}', true);
SET SESSION AUTHORIZATION tollgate_app;
INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, api_key_id, expires_at)
  SELECT u.tenant_id, code.hash, u.id, k.id, code.ends
  FROM tollgate.users u JOIN tollgate.api_keys k ON k.user_id = u.id,
    (VALUES (sha256('good'), now() + interval '1 minute'), (sha256('late'), now())) code (hash, ends)
  WHERE u.name = 'ana';
SELECT results_eq($$ SELECT * FROM tollgate.sign_in_by_code(sha256('good'), sha256('t1'), '1 hour') $$,
                  $$ VALUES ('alpha', 'ana') $$, 'a good code');
SELECT results_eq($$ SELECT * FROM tollgate.sign_in_by_code(sha256('late'), sha256('t2'), '1 hour') $$,
                  $$ VALUES (NULL::text, NULL::text) $$, 'one that is too old');
SELECT is_empty($$ SELECT * FROM tollgate.sign_in_by_code(sha256('none'), sha256('t3'), '1 hour') $$,
                'one that never was');
SELECT set_config('app.event', '{"source_ip": "10.9.8.7", "signin": "out"}', true);
SELECT tollgate.end_browser_session(sha256('t1'));
SELECT set_config('app.event', '', true);
SELECT tollgate.end_browser_session(sha256(:tenant_a::text::bytea)); -- as the sweep ends them
SELECT results_eq($$ SELECT type, user_name, actor, error_code, detail ->> 'by', host(source_ip), client,
    count(*) FROM audit.auth_event_log GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1 $$, $$ VALUES
  ('signed_out', 'ana', 'user:ana', NULL, 'out', '10.9.8.7', NULL, 1::bigint),
  ('signin_code_issued', 'ana', 'user:ana', NULL, 'code', '10.9.8.7', 'Firefox', 2),
  ('signin_completed', 'ana', 'user:ana', NULL, 'code', '10.9.8.7', 'Firefox', 1),
  ('signin_refused', 'ana', 'nobody', 'code_expired', 'code', '10.9.8.7', 'Firefox', 1) $$,
  'codes, sign-ins, refusals and ends');
SELECT is(count(*), 5::bigint, 'each with the key behind it')
FROM audit.auth_event_log
WHERE api_key = (SELECT key_id FROM tollgate.api_keys k JOIN tollgate.users u ON u.id = k.user_id
                 WHERE u.name = 'ana' LIMIT 1);

-- What the admin API does to grants.
SELECT pg_temp.asks('oauth.ingest', '01900000-0000-7000-8000-000000000009');
INSERT INTO audit.auth_event_log (tenant_id, tenant, type, connection_id, connection, actor)
  SELECT tenant_id, 'alpha', t, id, 'crm', 'user:ana'
  FROM tollgate.connections, unnest(ARRAY['token_ingested', 'revocation_failed']) t;
SELECT results_eq($$ SELECT action, target, after FROM audit.admin_event_log
  WHERE event_id = '01900000-0000-7000-8000-000000000009' $$, $$ VALUES ('oauth.ingest', 'crm',
  '{"grant": "set", "subject": ""}'::jsonb) $$, 'a token that was put is an event of both kinds');
SELECT set_eq($$ SELECT cause_id FROM audit.auth_event_log WHERE type = 'token_ingested' $$,
              $$ VALUES ('01900000-0000-7000-8000-000000000009'::uuid) $$, 'which name each other');
RESET SESSION AUTHORIZATION;

-- The contract.
SELECT is(string_agg(attname, ' ' ORDER BY attnum),
  'at tenant actor role action target_kind target outcome before after error_code error_message via'
  ' client source_ip http_status n_events event_id cause_id target_id user_id api_key actor_tenant'
  ' actor_tenant_id tenant_id node_id',
  'admin_events: columns may be added at the end and nothing else')
FROM pg_attribute WHERE attrelid = 'audit.admin_events'::regclass AND attnum > 0;
SELECT is(string_agg(attname, ' ' ORDER BY attnum),
  'at tenant type connection subject actor error_code detail attempt_id event_id tenant_id'
  ' connection_id user_name api_key source_ip client n_events cause_id',
  'auth_events: columns may be added at the end and nothing else')
FROM pg_attribute WHERE attrelid = 'audit.auth_events'::regclass AND attnum > 0;

-- What the gateway runs on and nobody administers; grants have events of their own.
SELECT bag_eq($$
  SELECT c.relname::text FROM pg_class c
  WHERE c.relnamespace = 'tollgate'::regnamespace AND c.relkind IN ('r', 'p')
    AND NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid
                    AND t.tgfoid = 'audit.on_admin_change'::regproc) $$, $$ VALUES
  ('browser_sessions'), ('cancellations'), ('catalogs'), ('client_issuers'), ('connect_attempts'),
  ('connection_status'), ('grants'), ('mcp_sessions'), ('nodes'), ('serving_connections'),
  ('upstream_clients'), ('upstream_sessions') $$,
  'every table has its trigger but those of the runtime');

SELECT * FROM finish();
ROLLBACK;
