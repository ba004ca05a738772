-- SPDX-License-Identifier: Apache-2.0
-- What was there before the book had chains is there afterwards, and everything that is new works on
-- it. The rows are those of tests/sql/upgrade/before.psql.

BEGIN;
SELECT * FROM no_plan();

SELECT results_eq(
  $$ SELECT call_id, arguments ->> 'text' FROM audit.calls ORDER BY call_id $$,
  $$ SELECT ('0198f0aa-5c00-7000-8000-00000000000' || n)::uuid,
            CASE WHEN n > 0 THEN E'\u00e4 "quoted" \n' END
     FROM generate_series(0, 3) n $$,
  'calls keep their ids and arguments');
SELECT is_empty(
  $$ SELECT 1 FROM audit.call_log
     WHERE n_calls <> 1 OR chain_id IS NOT NULL OR audit_level IS NOT NULL OR reduction IS NOT NULL
        OR stored_in IS NULL $$,
  'each stands for one call, and is no link of a chain');
SELECT is(count(*), 3::bigint, 'events too') FROM audit.auth_events
WHERE n_events = 1 AND cause_id IS NULL;
SELECT results_eq(
  $$ SELECT audit_level, audit_redact FROM tollgate.connections $$,
  $$ VALUES ('redacted', '{}'::text[]) $$,
  'a connection of before is redacted');
SELECT is_empty('SELECT 1 FROM audit.admin_events WHERE action <> ''schema.migrate''',
                'a migration is recorded as itself and nothing else');

SELECT is_empty(
  $$ SELECT c.relname, a.attname FROM pg_class c
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace = 'audit_parts'::regnamespace AND c.relkind IN ('r', 'p')
       AND col_description(c.oid, a.attnum) IS NULL $$,
  'columns of partitions of before are explained');
SELECT is_empty(
  $$ SELECT p.inhrelid::regclass FROM pg_inherits p
     WHERE p.inhparent = 'audit_parts.call_log_standard'::regclass
       AND (SELECT count(*) FROM pg_index i JOIN pg_inherits x ON x.inhrelid = i.indexrelid
            WHERE i.indrelid = p.inhrelid)
           <> (SELECT count(*) FROM pg_index i
               WHERE i.indrelid = 'audit_parts.call_log_standard'::regclass) $$,
  'and they have the indexes');

SELECT results_eq(
  $$ SELECT first_n, last_n FROM audit.claim_events(100) WHERE source = 'auth' $$,
  $$ VALUES (1::bigint, 3::bigint) $$,
  'events of before are sealed');

SET SESSION AUTHORIZATION reader_of_old;
SELECT results_eq(
  $$ SELECT day, calls, errors, timeout, max_ms FROM audit.tools_daily WHERE tool = 'crm__get' $$,
  $$ VALUES ('2026-01-01'::date, 2::bigint, 0::bigint, 0::bigint, 100::double precision),
            ('2026-01-02', 2, 1, 1, 300) $$,
  'a reader of before reads the new views');
RESET SESSION AUTHORIZATION;

SELECT * FROM finish();
ROLLBACK;
