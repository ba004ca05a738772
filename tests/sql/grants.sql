-- SPDX-License-Identifier: Apache-2.0
-- Grants: what the table refuses, with what they end, how a node takes and gives back leases, and
-- who reads what happened to them.

\ir setup.psql
DELETE FROM tollgate.grants;
DELETE FROM audit.auth_event_log;
INSERT INTO audit.reader_roles VALUES ('reader_one', :tenant_a), ('reader_platform', NULL);

\set ana '''aaaaaaaa-0000-4000-8000-00000000000a'''
\set crm '''aaaaaaaa-0000-4000-8000-00000000000c'''
\set one '''11111111-0000-4000-8000-000000000001'''
\set two '''22222222-0000-4000-8000-000000000002'''
INSERT INTO tollgate.users (tenant_id, id, name) VALUES (:tenant_a, :ana, 'ana2');
INSERT INTO tollgate.connections (tenant_id, id, name, url)
  VALUES (:tenant_a, :crm, 'crm2', 'https://crm.example.com/mcp');

-- What a row may be ------------------------------------------------------------------------------

PREPARE grant_for (text, uuid) AS
  INSERT INTO tollgate.grants (tenant_id, connection_id, subject, user_id, id, kind, token_url,
                               access_token, refresh_token, next_refresh_at)
  VALUES (:tenant_a, :crm, $1, $2, gen_random_uuid(), 'authorization_code',
          'https://as/token', '\x01', '\x02', now() - interval '1 s');
SELECT lives_ok(format('EXECUTE grant_for ('''', NULL)'), 'a grant that all share');
SELECT lives_ok(format('EXECUTE grant_for (%L, %L)', 'user:' || :ana, :ana), 'and one of a user');
SELECT throws_ok(format('EXECUTE grant_for (%L, NULL)', 'user:' || :ana), '23514', NULL,
                 'whose user is said');
SELECT throws_ok(format('EXECUTE grant_for (%L, %L)', 'ana', :ana), '23514', NULL,
                 'and the subject of no other form');
SELECT throws_ok(format('EXECUTE grant_for (%L, %L)', 'user:' || :one, :one), '23503', NULL,
                 'and the user of this tenant');
SELECT throws_ok('EXECUTE grant_for ('''', NULL)', '23505', NULL, 'each subject has one');
SELECT throws_ok(format('UPDATE tollgate.grants SET %s', change), '23514', NULL,
                 'refused: ' || change)
FROM unnest(ARRAY['state = ''expired''', 'kind = ''password''', 'client_auth = ''mtls''',
                  'failures = -1', 'state = ''disconnected''',
                  'lease_owner = gen_random_uuid()', 'lease_until = now()']) change;
SELECT throws_ok(format($$ INSERT INTO audit.auth_event_log (tenant_id, type, detail)
                           VALUES (%L, %L, %L) $$, :tenant_a, type, detail), '23514', NULL,
                 'no event: ' || type || ' ' || detail)
FROM (VALUES ('Bad type', '{}'), ('', '{}'), ('good_type', '[]')) v (type, detail);
SELECT throws_ok($$ UPDATE tollgate.upstream_clients SET client_auth = 'mtls' $$, '23514', NULL,
                 'a client shows itself in a way that we know');
SELECT throws_ok($$ UPDATE tollgate.upstream_clients SET issuer = '' $$, '23514', NULL,
                 'and belongs to an issuer');

-- Leases -----------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.due(node uuid, max int DEFAULT 100, per int DEFAULT 100,
                            excluded text[] DEFAULT '{}') RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM tollgate.take_due_grants(node, '10 seconds', '30 seconds', max, per, excluded)
$$;
GRANT EXECUTE ON FUNCTION pg_temp.due(uuid, int, int, text[]) TO PUBLIC;
INSERT INTO tollgate.grants (tenant_id, connection_id, id, kind, token_url, access_token,
                             next_refresh_at)
  SELECT tenant_id, id, gen_random_uuid(), 'client_credentials', 'https://other/token', '\x01',
         now() - interval '2 s'
  FROM tollgate.connections WHERE name = 'crm';

SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.due(:one, 100, 100, '{https://as/token,https://other/token}'), 0::bigint,
          'of servers that do not answer none is taken');
SELECT is(pg_temp.due(:one, 1), 1::bigint, 'no more than asked for');
SELECT is(pg_temp.due(:one, 100, 1), 2::bigint, 'of each server no more than it may have');
SELECT is(pg_temp.due(:two), 1::bigint, 'and another node takes what is left, of whatever tenant');
SELECT is(pg_temp.due(:two), 0::bigint, 'what is leased is not taken');
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT lease_owner, count(*) FROM tollgate.grants GROUP BY 1 ORDER BY 1',
                  format('VALUES (%L::uuid, 3::bigint), (%L, 1)', :one, :two), 'each has its owner');
SELECT is(array_agg(DISTINCT lease_number), ARRAY[1::bigint], 'and its number')
FROM tollgate.grants;

UPDATE tollgate.grants SET lease_until = clock_timestamp() - interval '1 ms' WHERE lease_owner = :one;
UPDATE tollgate.grants SET sent_at = clock_timestamp() - interval '29 s' WHERE lease_owner = :one;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.due(:two), 0::bigint, 'what was sent is left alone for the time of grace');
RESET SESSION AUTHORIZATION;
UPDATE tollgate.grants SET sent_at = '2026-01-01Z' WHERE sent_at IS NOT NULL;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.due(:two), 3::bigint, 'then taken over');
RESET SESSION AUTHORIZATION;
SELECT results_eq('SELECT lease_number, sent_at, lost_at FROM tollgate.grants ORDER BY 1',
                  $$ VALUES (1::bigint, NULL::timestamptz, NULL::timestamptz),
                            (2, NULL, '2026-01-01Z'), (2, NULL, '2026-01-01Z'),
                            (2, NULL, '2026-01-01Z') $$,
                  'under a new number, and it is known that an answer was lost');

UPDATE tollgate.grants SET sent_at = now(), lost_at = NULL WHERE lease_number = 1;
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(tollgate.release_grants(:one), 0::bigint, 'who holds none gives none back');
SELECT is(tollgate.release_grants(:two), 4::bigint, 'a dead node''s are given back at once');
RESET SESSION AUTHORIZATION;
SELECT is(count(*), 4::bigint, 'all of them, and each that was sent counts as lost')
FROM tollgate.grants WHERE lease_owner IS NULL AND sent_at IS NULL AND lost_at IS NOT NULL;
UPDATE tollgate.grants SET state = 'needs_reauth' WHERE subject <> '';
SET SESSION AUTHORIZATION tollgate_app;
SELECT is(pg_temp.due(:one), 3::bigint, 'what needs somebody to sign in is not renewed');
RESET SESSION AUTHORIZATION;

-- What a node has in memory ----------------------------------------------------------------------

SET SESSION AUTHORIZATION tollgate_app;
SELECT set_eq(format($$ SELECT n FROM tollgate.changed_grants(
    ARRAY[%1$L, %1$L, %1$L, %1$L]::uuid[], ARRAY[%2$L, %2$L, %2$L, %3$L]::uuid[],
    ARRAY['', '', %4$L, ''], ARRAY[1, 2, 1, 1], ARRAY['active', 'active', 'active', 'active']) $$,
    :tenant_a, :crm, :one, 'user:' || :ana),
  'VALUES (2::bigint), (3), (4)', 'another version, another state and what is gone are told');
SELECT set_eq(format($$ SELECT n FROM tollgate.changed_grants(
    ARRAY[%1$L, %1$L]::uuid[], ARRAY[%2$L, %3$L]::uuid[], ARRAY['', ''], ARRAY[1, NULL],
    ARRAY[NULL, NULL]) $$, :tenant_a, :crm, :one),
  'VALUES (1::bigint)', 'and what is there now where there was none');
RESET SESSION AUTHORIZATION;

-- The end ----------------------------------------------------------------------------------------

SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_a, true) \g /dev/null
SELECT throws_ok('DELETE FROM tollgate.grants', '42501', NULL, 'the gateway deletes no grant');
SELECT throws_ok('UPDATE audit.auth_event_log SET type = ''x''', '42501', NULL,
                 'changes no event');
SELECT throws_ok('DELETE FROM audit.auth_event_log', '42501', NULL, 'and deletes none');
SELECT throws_ok(format('INSERT INTO audit.auth_event_log (tenant_id, type) VALUES (%L, ''x'')',
                        :tenant_b), '42501', NULL, 'nor does it write one for another tenant');
INSERT INTO audit.auth_event_log (tenant_id, tenant, type, connection_id, connection, subject)
  VALUES (:tenant_a, 'alpha', 'connect_completed', :crm, 'crm2', '');
DELETE FROM tollgate.users WHERE id = :ana;
SELECT is_empty('SELECT 1 FROM tollgate.grants WHERE subject <> ''''', 'a user''s grants go with him');
DELETE FROM tollgate.connections WHERE id = :crm;
SELECT is_empty(format('SELECT 1 FROM tollgate.grants WHERE connection_id = %L', :crm),
                'a connection''s go with it');
SELECT set_eq('SELECT type, tenant, connection, subject FROM audit.auth_event_log',
              format($$ VALUES ('connect_completed', 'alpha', 'crm2', ''),
                               ('token_deleted_admin', 'alpha', 'crm2', ''),
                               ('token_deleted_admin', 'alpha', 'crm2', %L) $$, 'user:' || :ana),
              'and each end is recorded with the names of before');
RESET SESSION AUTHORIZATION;
INSERT INTO audit.auth_event_log (tenant_id, type) VALUES (:tenant_b, 'connect_failed');
DELETE FROM tollgate.tenants WHERE id = :tenant_a;
SELECT isnt_empty(format('SELECT 1 FROM audit.auth_event_log WHERE tenant_id = %L', :tenant_a),
                  'events outlive their tenant');

-- Readers ----------------------------------------------------------------------------------------

SELECT bag_eq('SELECT attname FROM pg_attribute WHERE attrelid = ''audit.auth_events''::regclass',
              'SELECT attname FROM pg_attribute WHERE attrelid = ''audit.auth_event_log''::regclass'
              ' AND attnum > 0 AND attname <> ''seal_n''', 'the view shows every column');
SET SESSION AUTHORIZATION tollgate_app;
SELECT set_config('app.tenant', :tenant_b, true) \g /dev/null
SELECT set_eq('SELECT type FROM audit.auth_event_log', $$ VALUES ('connect_failed') $$,
              'the gateway reads the events of the tenant that it acts for');
SELECT set_config('app.tenant', '', true) \g /dev/null
SELECT is_empty('SELECT 1 FROM audit.auth_event_log', 'and none without one');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION reader_one;
SELECT set_config('app.tenant', :tenant_b, true) \g /dev/null
SELECT set_eq('SELECT tenant_id FROM audit.auth_events', format('VALUES (%L::uuid)', :tenant_a),
              'a reader sees the tenants that its role is bound to, whatever it sets');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION reader_none;
SELECT is_empty('SELECT 1 FROM audit.auth_events', 'and one that is bound to none sees nothing');
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION reader_platform;
SELECT set_eq('SELECT DISTINCT tenant_id FROM audit.auth_events',
              format('VALUES (%L::uuid), (%L)', :tenant_a, :tenant_b), 'the platform reader sees all');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
