-- SPDX-License-Identifier: Apache-2.0
-- Seals of events and of partitions, and the one function that drops a partition.

\ir setup.psql

-- Events are numbered once, whoever asks, and given out again only when that took too long. --------

TRUNCATE audit.auth_event_log, audit.admin_event_log, audit.event_claims;
UPDATE audit.event_logs SET last_n = 0;

SELECT bag_eq('SELECT source, log FROM audit.event_logs',
  $$ VALUES ('auth', 'auth_event_log'::name), ('admin', 'admin_event_log') $$,
  'the logs whose events are sealed');
SELECT is_empty('SELECT * FROM audit.claim_events(500)', 'nothing to seal, nothing claimed');

INSERT INTO audit.auth_event_log (tenant_id, type, actor)
  SELECT :tenant_a, 'acquired', 'user:' || i FROM generate_series(1, 7) i;
INSERT INTO audit.admin_event_log (tenant_id, action, target_kind)
  VALUES (:tenant_b, 'tenant.create', 'tenant');
SET LOCAL ROLE tollgate_app;
SELECT bag_eq('SELECT * FROM audit.claim_events(5)',
  $$ VALUES ('auth', 1::bigint, 5::bigint), ('admin', 1, 1) $$, 'a range of each log, no larger');
SELECT bag_eq('SELECT * FROM audit.claim_events(5)', $$ VALUES ('auth', 6::bigint, 7::bigint) $$,
  'what was given out is not given out at once again');
SELECT is_empty('SELECT * FROM audit.claim_events(5)', 'and then there is nothing');
RESET ROLE;
SELECT results_eq('SELECT seal_n FROM audit.auth_event_log ORDER BY 1',
  'SELECT generate_series(1, 7)::bigint', 'each event has its number, without gaps');

UPDATE audit.event_claims SET claimed_at = now() - interval '6 minutes' WHERE first_n = 6;
SELECT bag_eq('SELECT * FROM audit.claim_events(5)', $$ VALUES ('auth', 6::bigint, 7::bigint) $$,
  'a range that nobody finished is given out again');
INSERT INTO audit.event_seals VALUES
  (gen_random_uuid(), 1, sha256('m'), 'auth', 1, 5, sha256('d'), now());
SELECT is_empty('SELECT * FROM audit.claim_events(5)', 'not so one that is sealed');
SELECT results_eq($$ SELECT first_n FROM audit.event_claims WHERE source = 'auth' $$,
  ARRAY[6::bigint], 'it is forgotten when its seal is here');

SELECT throws_ok(format('INSERT INTO audit.event_seals VALUES (%s)', v), '23514', NULL,
                 'no seal: ' || v)
FROM unnest(ARRAY[
  $$gen_random_uuid(), 0, sha256('m'), 'auth', 1, 5, sha256('d'), now()$$,
  $$gen_random_uuid(), 1, '\x00', 'auth', 1, 5, sha256('d'), now()$$,
  $$gen_random_uuid(), 1, sha256('m'), 'auth', 0, 5, sha256('d'), now()$$,
  $$gen_random_uuid(), 1, sha256('m'), 'auth', 5, 4, sha256('d'), now()$$,
  $$gen_random_uuid(), 1, sha256('m'), 'auth', 1, 5, '\x00', now()$$]) v;

-- Who may see and write what is for verifiers. -----------------------------------------------------

INSERT INTO audit.reader_roles VALUES ('reader_platform', NULL), ('reader_one', :tenant_a);
INSERT INTO audit.partition_seals VALUES
  ('call_log_standard_20200101', 'call_log', '2020-01-01Z', '2020-01-02Z', 1, '{}',
   decode(repeat('00', 64), 'hex'), now());
CREATE TEMP TABLE proofs (tbl name);
INSERT INTO proofs VALUES ('event_seals'), ('partition_seals');
GRANT SELECT ON proofs TO PUBLIC;
SET LOCAL ROLE reader_platform;
SELECT isnt_empty(format('SELECT FROM audit.%I', tbl), 'a platform reader sees ' || tbl) FROM proofs;
SET LOCAL ROLE reader_one;
SELECT is_empty(format('SELECT FROM audit.%I', tbl), 'a reader of one tenant does not see ' || tbl)
FROM proofs;
SET LOCAL ROLE tollgate_app;
SELECT is_empty(format('SELECT FROM audit.%I', tbl), 'nor does the gateway see ' || tbl) FROM proofs;
SET LOCAL app.audit_scope = 'seals';
SELECT isnt_empty(format('SELECT FROM audit.%I', tbl), 'but to verify ' || tbl) FROM proofs;
SELECT is((SELECT count(*) FROM audit.auth_event_log), 7::bigint, 'and events of all tenants');
RESET app.audit_scope;
SELECT is((SELECT count(*) FROM audit.auth_event_log), 0::bigint, 'else none without a tenant');
SELECT throws_ok(change, '42501', NULL, 'the gateway may not: ' || change)
FROM unnest(ARRAY[
  'UPDATE audit.auth_event_log SET seal_n = 99',
  'DELETE FROM audit.event_seals',
  'INSERT INTO audit.partition_seals SELECT * FROM audit.partition_seals',
  'UPDATE audit.retention SET least_days = 1',
  'SELECT * FROM audit.event_claims',
  'SELECT audit.seal_event_log(''x'', ''call_log'')',
  'DROP TABLE audit_parts.call_log_standard',
  'ALTER TABLE audit_parts.call_log_standard OWNER TO tollgate_app']) change;
SET LOCAL ROLE tollgate_audit_writer;
SELECT throws_ok('SELECT audit.drop_partition(''x'', ''{}'', ''\x'')', '42501', NULL,
                 'the writer drops none');
SELECT throws_ok('SELECT * FROM audit.claim_events(1)', '42501', NULL, 'and claims none');
RESET ROLE;

-- Partitions. --------------------------------------------------------------------------------------

SELECT audit.ensure_partitions(d, d)
FROM unnest(ARRAY[(now() AT TIME ZONE 'UTC')::date - 30, (now() AT TIME ZONE 'UTC')::date - 7,
                  (now() AT TIME ZONE 'UTC')::date - 8]) d;
CREATE FUNCTION pg_temp.part(p_days int) RETURNS name LANGUAGE sql AS $$
  SELECT ('call_log_standard_' || to_char((now() AT TIME ZONE 'UTC')::date - p_days, 'YYYYMMDD'))::name
$$;
GRANT EXECUTE ON FUNCTION pg_temp.part(int) TO PUBLIC;
CREATE FUNCTION pg_temp.seal(p_partition name, p_rows int) RETURNS text LANGUAGE sql AS $$
  SELECT json_build_object('log', 'call_log', 'partition', p_partition, 'rows', p_rows,
                           'sealed_at', now())::text
$$;
GRANT EXECUTE ON FUNCTION pg_temp.seal(name, int) TO PUBLIC;

SELECT bag_eq('SELECT log, partition FROM audit.old_partitions()',
  format('VALUES (%1$L::name, %2$L::name), (%1$L, %3$L)', 'call_log', pg_temp.part(30), pg_temp.part(8)),
  'partitions that ended a week ago may go');
UPDATE audit.retention SET least_days = 20 WHERE log = 'call_log';
SELECT bag_eq('SELECT partition FROM audit.old_partitions()', ARRAY[pg_temp.part(30)],
              'later, if the owner of the schema says so');
SELECT throws_ok('UPDATE audit.retention SET least_days = 0', '23514', NULL, 'never today''s');

INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id)
  SELECT now() - interval '30 days', :tenant_a, 'ok', gen_random_uuid() FROM generate_series(1, 3);
CREATE TEMP TABLE how AS SELECT decode(repeat('5a', 64), 'hex') AS signature;
GRANT SELECT ON how TO PUBLIC;
SET LOCAL ROLE tollgate_app;
SELECT throws_ok(format('SELECT audit.drop_partition(%L, %L, (SELECT signature FROM how))',
                        partition, said), state, NULL, why)
FROM (VALUES
  (pg_temp.part(8), pg_temp.seal(pg_temp.part(8), 0), '55000', 'a young one stays'),
  (pg_temp.part(0), pg_temp.seal(pg_temp.part(0), 0), '55000', 'today''s stays'),
  ('call_log_standard', pg_temp.seal('call_log_standard', 3), '55000', 'what holds partitions stays'),
  ('call_log', pg_temp.seal('call_log', 3), '55000', 'the table stays'),
  ('pg_class', pg_temp.seal('pg_class', 3), '55000', 'a table of others stays'),
  (NULL, pg_temp.seal('x', 3), '55000', 'NULL is none'),
  (pg_temp.part(30), pg_temp.seal(pg_temp.part(8), 3), '22023', 'the seal of another will not do'),
  (pg_temp.part(30), '{}', '22023', 'nor one that says nothing'),
  (pg_temp.part(30), 'no json', '22P02', 'nor one that is none'),
  (pg_temp.part(30), pg_temp.seal(pg_temp.part(30), 2), '55000', 'nor one of fewer rows'),
  (pg_temp.part(30), pg_temp.seal(pg_temp.part(30), NULL), '55000', 'nor one that does not count')
) AS t (partition, said, state, why);
SELECT throws_ok(format('SELECT audit.drop_partition(%L, %L, %L)', pg_temp.part(30),
                        pg_temp.seal(pg_temp.part(30), 3), signature), '23514', NULL,
                 'nor one without a signature of 64 bytes')
FROM unnest(ARRAY['\x', '\x00']) signature;
SELECT is(audit.drop_partition(pg_temp.part(30), pg_temp.seal(pg_temp.part(30), 3),
                               (SELECT signature FROM how)), 3::bigint,
          'one whose seal is right goes, and its rows are counted');
RESET ROLE;
SELECT is(to_regclass(format('audit_parts.%I', pg_temp.part(30))), NULL, 'it is gone');
SELECT results_eq(format('SELECT log, n_rows, to_at - from_at, statement::jsonb->>''rows'','
                         ' signature FROM audit.partition_seals WHERE partition = %L',
                         pg_temp.part(30)),
  'SELECT ''call_log''::name, 3::bigint, interval ''1 day'', ''3'', signature FROM how',
  'and its seal is there');
SELECT is_empty('SELECT FROM audit.old_partitions()', 'nothing else may go');

SELECT * FROM finish();
ROLLBACK;
