-- SPDX-License-Identifier: Apache-2.0
-- Whoever may connect cannot keep the gateway from its work by holding locks.

\ir setup.psql

SELECT dblink_connect('reader', format('host=%s port=%s dbname=%s user=reader_none',
  current_setting('unix_socket_directories'), current_setting('port'), current_database()))
  \g /dev/null
-- Every lock that a program of ours takes by number.
SELECT * FROM dblink('reader', $$
  SELECT count(pg_advisory_lock(4935230000 + i)) FROM generate_series(0, 999) i $$) AS t (n bigint)
  \g /dev/null

SET LOCAL lock_timeout = '1s';
SET LOCAL ROLE tollgate_audit_writer;
SELECT lives_ok('SELECT audit.ensure_partitions(current_date + 20, current_date + 20)',
                'partitions of calls are made');
SELECT lives_ok('SELECT audit.ensure_payload_partitions(current_date + 20, current_date + 20)',
                'and of payloads');
RESET ROLE;
INSERT INTO audit.auth_event_log (tenant_id, type, actor) VALUES (:tenant_a, 'acquired', 'x');
SET LOCAL ROLE tollgate_app;
SELECT isnt_empty('SELECT * FROM audit.claim_events(500)', 'and events are given out to be sealed');
SELECT lives_ok($$ SELECT * FROM tollgate.watch_connections(gen_random_uuid(), '1 min', 1) $$,
                'and connections, watched');
RESET ROLE;

SELECT throws_ok(format($q$ SELECT dblink_exec('reader', $d$DO $do$BEGIN LOCK TABLE %s IN %s MODE;
                            END $do$ $d$) $q$, relation, mode), '42501', NULL,
                 format('%s is not a reader''s to lock: %s', relation, mode))
FROM unnest(ARRAY['audit.call_log', 'audit.call_payloads', 'audit.event_logs',
                  'tollgate.nodes']) relation,
     unnest(ARRAY['ROW SHARE', 'SHARE UPDATE EXCLUSIVE', 'ACCESS EXCLUSIVE']) mode;

SELECT is_empty($$ SELECT p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n
                   ON n.oid = p.pronamespace
                   WHERE n.nspname IN ('audit', 'tollgate') AND p.prosrc ~ 'pg_[a-z_]*advisory' $$,
                'no function waits for a lock that is anybody''s');

SELECT * FROM finish();
ROLLBACK;
