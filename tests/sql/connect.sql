-- SPDX-License-Identifier: Apache-2.0
-- Attempts, browser sessions and sign-in codes: what the tables refuse, and what the functions of
-- the runtime role answer.

\ir setup.psql
SELECT id AS ana FROM tollgate.users WHERE tenant_id = :tenant_a \gset
SELECT id AS laptop FROM tollgate.api_keys WHERE tenant_id = :tenant_a \gset
SELECT id AS crm FROM tollgate.connections WHERE tenant_id = :tenant_a \gset

-- Values.
SELECT throws_ok(format('UPDATE tollgate.%s', change), '23514', NULL, 'refused: ' || change)
FROM unnest(ARRAY[
  'connect_attempts SET principal = ''ana''',
  'connect_attempts SET user_name = ''''',
  'connect_attempts SET state = ''done''',
  'connect_attempts SET state = ''failed'', finished_at = now()',
  'connect_attempts SET state = ''failed'', error_code = ''denied''',
  'connect_attempts SET state = ''failed'', error_code = ''oops'', finished_at = now()',
  'connect_attempts SET state = ''connected''',
  'connect_attempts SET error_code = ''denied''',
  'connect_attempts SET finished_at = now()',
  'connect_attempts SET server = ''[]''',
  'connect_attempts SET client_auth = ''password''',
  'connect_attempts SET tries = -1',
  'connect_attempts SET tools_count = -1',
  'connect_attempts SET browser_hash = ''\x00''',
  'connect_attempts SET state = ''pending'', state_hash = sha256(''s'')',
  'browser_sessions SET role = ''platform''',
  'browser_sessions SET token_hash = ''\x00''',
  'signin_codes SET code_hash = ''\x00''']) change;
SELECT lives_ok(format(
  'UPDATE tollgate.connect_attempts SET state = ''failed'', error_code = %L, finished_at = now()', v),
  'an attempt may fail with ' || v)
FROM unnest(ARRAY['denied', 'expired', 'state_mismatch', 'wrong_user', 'provider_error',
                  'token_exchange_failed', 'missing_scope', 'registration_refused', 'network',
                  'account_mismatch']) v;

-- States. Each is good for one answer, whose tenant nobody said.
CREATE TEMP TABLE made AS SELECT 'dddddddd-0000-4000-8000-00000000000' || n AS id, n
  FROM generate_series(1, 4) n;
INSERT INTO tollgate.connect_attempts
  (tenant_id, id, connection_id, subject, principal, user_name, state, server, client_id, tries,
   state_hash, verifier, client_secret, browser_hash, browser_user, expires_at)
SELECT :tenant_a, id::uuid, :'crm', '', 'user:' || :'ana', 'ana', 'pending', '{}', 'c', 1,
       sha256(('state' || n)::bytea), '\x01', '\x02', sha256('b'), :'ana',
       now() + (ARRAY['5 minutes', '-1 minute', '-3 minutes', '-25 hours'])[n]::interval
FROM made;
SELECT throws_ok($$ UPDATE tollgate.connect_attempts SET state_hash = sha256('state1')
                    WHERE id = 'dddddddd-0000-4000-8000-000000000002' $$, '23505', NULL,
                 'two attempts never share a state');
SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty($$ SELECT * FROM tollgate.take_connect_state(sha256('none')) $$,
                'a state that nobody was given is no attempt');
SELECT is_empty($$ SELECT * FROM tollgate.take_connect_state(NULL) $$, 'nor is NULL');
SELECT results_eq($$ SELECT * FROM tollgate.take_connect_state(sha256('state1')) $$,
  format($$ VALUES (%L::uuid, 'dddddddd-0000-4000-8000-000000000001'::uuid) $$, :tenant_a),
  'a state that is out is found, while no tenant is set');
SELECT is_empty($$ SELECT * FROM tollgate.take_connect_state(sha256('state1')) $$, 'once');
SELECT results_eq($$ SELECT id FROM tollgate.take_connect_state(sha256('state2')) $$,
  $$ VALUES ('dddddddd-0000-4000-8000-000000000002'::uuid) $$,
  'one that is too late, too: the answer has to say so');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT returned_at IS NOT NULL FROM tollgate.connect_attempts
                     WHERE id::text LIKE 'dddddddd%' ORDER BY id $$,
                  'VALUES (true), (true), (false), (false)', 'it is written down that they came');

-- Codes and sessions.
SELECT sha256(:tenant_a::text::bytea) AS code \gset
INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, expires_at)
  VALUES (:tenant_a, sha256('old code'), :'ana', now()),
         (:tenant_a, sha256('code'), :'ana', now() + interval '1 minute');
INSERT INTO tollgate.browser_sessions
  (tenant_id, token_hash, user_id, api_key_id, role, last_used_at, expires_at)
  VALUES (:tenant_a, sha256('idle'), :'ana', NULL, 'user', now() - interval '31 minutes',
          now() + interval '1 hour'),
         (:tenant_a, sha256('over'), :'ana', NULL, 'user', now(), now()),
         (:tenant_a, sha256('key'), :'ana', :'laptop', 'admin', now() - interval '29 minutes',
          now() + interval '1 hour');
SET SESSION AUTHORIZATION tollgate_app;
SELECT results_eq($$ SELECT * FROM tollgate.find_signin_code(sha256('code')) $$,
                  $$ VALUES ('alpha', 'ana') $$, 'a code says whom it signs in');
SELECT is_empty($$ SELECT * FROM tollgate.find_signin_code(sha256('old code')) $$,
                'unless it is too old');
SELECT results_eq(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('code'), sha256('token'), '12 hours') $$,
  $$ VALUES ('alpha', 'ana') $$, 'it signs in');
SELECT is_empty(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('code'), sha256('token2'), '12 hours') $$, 'once');
SELECT results_eq(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('old code'), sha256('token3'), '12 hours') $$,
  $$ VALUES (NULL::text, NULL::text) $$,
  'and in time');
SELECT results_eq(
  $$ SELECT tenant_id, tenant_name, user_name, user_role, role, api_key_id
     FROM tollgate.use_browser_session(sha256('token'), '30 minutes') $$,
  format($$ VALUES (%L::uuid, 'alpha', 'ana', 'user', 'user', NULL::uuid) $$, :tenant_a),
  'the session that it made says who is there');
SELECT is_empty(format('SELECT * FROM tollgate.use_browser_session(sha256(%L), ''30 minutes'')', t),
                'nobody is: ' || t)
FROM unnest(ARRAY['token2', 'token3', 'idle', 'over', 'none']) t;
SELECT is(count(*), 1::bigint, 'one that was used lately is there')
FROM tollgate.use_browser_session(sha256('key'), '30 minutes');
RESET SESSION AUTHORIZATION;
SELECT is(last_used_at, now(), 'and has been used now')
FROM tollgate.browser_sessions WHERE token_hash = sha256('key');
INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, api_key_id, expires_at)
  SELECT :tenant_a, sha256(code::bytea), :'ana', :'laptop', now() + interval '1 minute'
  FROM unnest(ARRAY['by key', 'by key 2', 'by old key']) code;
UPDATE tollgate.api_keys SET expires_at = now() + interval '1 hour' WHERE id = :'laptop';
UPDATE tollgate.users SET role = 'admin' WHERE id = :'ana';
SET SESSION AUTHORIZATION tollgate_app;
SELECT isnt_empty(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('by key'), sha256('key2'), '12 hours') $$,
  'a code that a key made');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$ SELECT role, expires_at FROM tollgate.browser_sessions
                     WHERE token_hash = sha256('key2') $$,
                  $$ VALUES ('user', now() + interval '1 hour') $$, 'gives no more than the key has');
UPDATE tollgate.api_keys SET expires_at = now() WHERE id = :'laptop';
SET SESSION AUTHORIZATION tollgate_app;
SELECT results_eq(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('by old key'), sha256('key3'), '12 hours') $$,
  $$ VALUES (NULL::text, NULL::text) $$,
  'and nothing if the key has none any more');
RESET SESSION AUTHORIZATION;
UPDATE tollgate.users SET role = 'user' WHERE id = :'ana';
SELECT lives_ok(format('DELETE FROM tollgate.api_keys WHERE id = %L', :'laptop'), 'a key may go');
SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty($$ SELECT * FROM tollgate.use_browser_session(sha256('key'), '30 minutes') $$,
                'and takes its sessions along');
SELECT is_empty($$ SELECT * FROM tollgate.use_browser_session(sha256('key2'), '30 minutes') $$,
                'those of its codes too');
SELECT is_empty($$ SELECT * FROM tollgate.find_signin_code(sha256('by key 2')) $$,
                'and the codes themselves');
RESET SESSION AUTHORIZATION;
UPDATE tollgate.users SET enabled = false WHERE id = :'ana';
INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, expires_at)
  VALUES (:tenant_a, sha256('barred'), :'ana', now() + interval '1 minute');
SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty($$ SELECT * FROM tollgate.use_browser_session(sha256('token'), '30 minutes') $$,
                'a disabled user is signed in nowhere');
SELECT is_empty($$ SELECT * FROM tollgate.find_signin_code(sha256('barred')) $$, 'has no code');
SELECT results_eq(
  $$ SELECT * FROM tollgate.sign_in_by_code(sha256('barred'), sha256('token4'), '12 hours') $$,
  $$ VALUES (NULL::text, NULL::text) $$,
  'and cannot sign in');
RESET SESSION AUTHORIZATION;
UPDATE tollgate.users SET enabled = true WHERE id = :'ana';
UPDATE tollgate.tenants SET enabled = false WHERE id = :tenant_a;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is_empty($$ SELECT * FROM tollgate.use_browser_session(sha256('token'), '30 minutes') $$,
                'nor is a user of a disabled tenant');
SELECT lives_ok($$ SELECT tollgate.end_browser_session(sha256('token')) $$, 'a session ends');
SELECT lives_ok($$ SELECT tollgate.end_browser_session(sha256('token')) $$, 'and has ended');
RESET SESSION AUTHORIZATION;
SELECT is_empty($$ SELECT FROM tollgate.browser_sessions WHERE token_hash = sha256('token') $$,
                'its row is gone');

-- Sweeping: of each kind what is over, and nothing else.
INSERT INTO tollgate.browser_sessions (tenant_id, token_hash, user_id, role, last_used_at, expires_at)
  VALUES (:tenant_a, sha256('forgotten'), :'ana', 'user', now() - interval '61 minutes',
          now() + interval '1 hour');
INSERT INTO tollgate.signin_codes (tenant_id, code_hash, user_id, expires_at)
  VALUES (:tenant_a, sha256('unused'), :'ana', now());
UPDATE tollgate.connect_attempts SET state_hash = NULL, held = '\x03'
  WHERE id = 'dddddddd-0000-4000-8000-000000000003';
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(tollgate.sweep_connect(), 5::bigint,
          'swept: an attempt that is late and one of yesterday, two sessions, one code');
SELECT is(tollgate.sweep_connect(), 0::bigint, 'once');
RESET SESSION AUTHORIZATION;
SELECT results_eq($$
  SELECT id::text, state, error_code, verifier IS NULL, client_secret IS NULL, held IS NULL
  FROM tollgate.connect_attempts WHERE id::text LIKE 'dddddddd%' ORDER BY id $$, $$ VALUES
  ('dddddddd-0000-4000-8000-000000000001', 'pending', NULL, false, false, true),
  ('dddddddd-0000-4000-8000-000000000002', 'pending', NULL, false, false, true),
  ('dddddddd-0000-4000-8000-000000000003', 'failed', 'expired', true, true, true) $$,
  'what has expired has ended, and holds no secret');

SELECT * FROM finish();
ROLLBACK;
