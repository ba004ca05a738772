-- SPDX-License-Identifier: Apache-2.0
-- The queries of docs/audit.md, word for word, as a reader of tenant alpha: what they answer, and
-- which days they open for it.

\ir setup.psql
\ir audit_seed.psql
\set shown `tests/sql/shown.sh`

CREATE TEMP TABLE query AS SELECT key AS name, value AS text FROM jsonb_each_text(:'shown');
GRANT SELECT ON query TO PUBLIC;
CREATE FUNCTION pg_temp.q(wanted text) RETURNS text LANGUAGE sql AS $$
  SELECT text FROM query WHERE name = wanted $$;
SELECT set_eq('SELECT name FROM query WHERE name !~ ''^[0-9]+$''', ARRAY['slow-tools', 'overhead',
  'error-budget', 'tool-users', 'denied-by-persona', 'needs-auth', 'key-use', 'week-over-week',
  'session', 'quoted-call', 'refused-floods', 'new-tools', 'bytes', 'heat',
  'changes-before-errors'], 'the fifteen queries, each of which is tested here');

SET SESSION AUTHORIZATION reader_one;

-- What they answer ------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.at(ago text) RETURNS timestamptz LANGUAGE sql AS $$
  SELECT date_trunc('hour', now()) + ago::interval $$;

SELECT results_eq(pg_temp.q('slow-tools'), $$ VALUES
  ('docs', 'docs__search', 1::numeric, 975::numeric),
  ('crm', 'crm__delete_contact', 1, 485),
  ('crm', 'crm__list', 2, 195) $$, 'slow-tools');
SELECT results_eq(pg_temp.q('overhead'), $$ VALUES
  ('docs', 1::numeric, 600.0, 100.0, 100.0),
  ('crm', 4, 185.0, 40.0, 50.0) $$, 'overhead');
SELECT results_eq(pg_temp.q('error-budget'), $$ VALUES
  ('docs', 3::numeric, 2::numeric, -6566.7),
  ('crm', 7, 4, -5614.3) $$, 'error-budget');
SELECT results_eq(pg_temp.q('tool-users'), $$ VALUES
  ('ana', 'k1', 'inspector/1', 3::numeric, pg_temp.at('-3:59:59')),
  ('ben', 'k2', 'cursor/2', 2, pg_temp.at('-4:00:00')) $$, 'tool-users');
SELECT results_eq(pg_temp.q('denied-by-persona'), $$ VALUES
  ('analyst', 'crm__delete_contact', 3::numeric, 1::bigint) $$, 'denied-by-persona');
SELECT results_eq(pg_temp.q('needs-auth'), $$ VALUES
  ('eve', 'docs', 1::numeric, pg_temp.at('-3:00:00')) $$,
  'needs-auth: ana has connected since');
SELECT results_eq(pg_temp.q('key-use'), $$ VALUES
  ('k2', 'ben', pg_temp.at('-4:59:58'), pg_temp.at('-4:00:00'), 2::numeric, 1::bigint),
  ('k1', 'ana', pg_temp.at('-5:00:00'), pg_temp.at('-2:59:58'), 7, 1),
  ('k3', 'eve', pg_temp.at('-3:00:00'), pg_temp.at('-1:59:55'), 21, 1) $$, 'key-use');
SELECT results_eq(pg_temp.q('week-over-week'), $$ VALUES
  ('crm__delete_contact', 5::numeric, 0::numeric, NULL::numeric),
  ('docs__search', 3, 0, NULL),
  ('crm__list', 2, 4, -50) $$, 'week-over-week');
SELECT results_eq(pg_temp.q('session'), $$ VALUES
  (pg_temp.at('-3:00:00'), 'tools/call', 'docs__search', 'needs_auth', 2::double precision,
   '{"q": "x"}'::jsonb),
  (pg_temp.at('-1:59:55'), 'tools/call', NULL, 'rate_limited', 0, NULL) $$, 'session');
SELECT results_eq(pg_temp.q('quoted-call'), $$ VALUES
  ('2025-08-28 12:32:33.28+00'::timestamptz, 'ana', 'crm__list', 'timeout', 'timeout', 'too slow',
   30000::double precision, '{"page": 1}'::jsonb) $$, 'quoted-call');
SELECT results_eq(pg_temp.q('refused-floods'), $$ VALUES
  ('10.0.0.3'::inet, 'rate_limited', 20::numeric, pg_temp.at('-1:59:55'), pg_temp.at('-1:59:55')),
  ('10.0.0.1', 'denied', 3, pg_temp.at('-3:59:59'), pg_temp.at('-3:59:59')) $$, 'refused-floods');
SELECT results_eq(pg_temp.q('new-tools'), $$ VALUES
  ('alpha', 'crm__delete_contact', pg_temp.at('-4:59:58'), 5::numeric),
  ('alpha', 'docs__search', pg_temp.at('-3:00:00'), 3) $$,
  'new-tools: crm__list was used three days ago');
SELECT results_eq(pg_temp.q('bytes'), $$ VALUES
  ('docs', 3::numeric, '10020 bytes', '195 kB'),
  ('crm', 7, '750 bytes', '3060 bytes') $$, 'bytes');
SELECT results_eq(pg_temp.q('heat'), $$ VALUES
  (pg_temp.at('-5:00:00'), 3::numeric, 0::numeric, repeat('#', 6)),
  (pg_temp.at('-4:00:00'), 4, 4, repeat('#', 8)),
  (pg_temp.at('-3:00:00'), 3, 2, repeat('#', 6)),
  (pg_temp.at('-2:00:00'), 20, 20, repeat('#', 40)) $$, 'heat');

SELECT results_eq(pg_temp.q('changes-before-errors'), $$ VALUES
  ('docs', pg_temp.at('-3:00:00'), pg_temp.at('-3:30:00'), 'user:root', 'connection.update',
   '{"url": "https://docs.example.com/mcp"}'::jsonb, '{"url": "https://dcos.example.com/mcp"}'::jsonb)
  $$, 'changes-before-errors: that of crm was long before, beta''s is beta''s');

-- The platform sees the nameless too.
SET SESSION AUTHORIZATION reader_platform;
SELECT results_eq(format('SELECT * FROM (%s) q WHERE source_ip = ''10.0.0.9''', pg_temp.q('refused-floods')),
  $$ VALUES ('10.0.0.9'::inet, 'unauthenticated', 7::numeric, pg_temp.at('-2:00:00'),
             pg_temp.at('-2:00:00')) $$, 'refused-floods, of nobody');

-- Those that the text shows besides.
SET SESSION AUTHORIZATION reader_one;
SELECT lives_ok(text, 'shown, number ' || name) FROM query WHERE name ~ '^[0-9]+$' ORDER BY name;
SELECT cmp_ok(count(*), '>=', 6::bigint, 'there are some') FROM query WHERE name ~ '^[0-9]+$';

-- Which days they open --------------------------------------------------------------------------
-- Of the days until today. Those to come are empty, and a filter without an end opens them.

CREATE FUNCTION pg_temp.days_of(text text) RETURNS SETOF date LANGUAGE plpgsql AS $$
DECLARE
  plan jsonb;
BEGIN
  EXECUTE 'EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) ' || text INTO plan;
  RETURN QUERY
    SELECT DISTINCT to_date(right(scan->>'Relation Name', 8), 'YYYYMMDD')
    FROM jsonb_path_query(plan, '$.** ? (exists (@."Relation Name"))') scan
    WHERE scan->>'Relation Name' ~ '^call_log_.*_\d{8}$' AND (scan->>'Actual Loops')::float8 > 0;
END $$;
CREATE TEMP TABLE needed (name text, day date);
INSERT INTO needed
SELECT q.name, d::date
FROM query q
CROSS JOIN LATERAL (VALUES
  (CASE q.name WHEN 'new-tools' THEN interval '7 days' ELSE interval '24 hours' END, interval '0'),
  (CASE q.name WHEN 'week-over-week' THEN interval '192 hours' END, interval '168 hours')
) w (first, last)
CROSS JOIN generate_series((now() - w.first) AT TIME ZONE 'UTC', (now() - w.last) AT TIME ZONE 'UTC',
                           interval '1 hour') d
WHERE q.name !~ '^[0-9]+$' AND q.name <> 'quoted-call'
UNION
VALUES ('quoted-call', '2025-08-28'::date);

SELECT is_empty(format($$
  SELECT d FROM pg_temp.days_of(%L) d
  WHERE d <= (now() AT TIME ZONE 'UTC')::date AND d NOT IN (SELECT day FROM needed WHERE name = %L) $$,
  text, name), name || ' opens no other day')
FROM query WHERE name !~ '^[0-9]+$' ORDER BY name;
SELECT isnt_empty(format('SELECT * FROM pg_temp.days_of(%L)', text), name || ' opens one')
FROM query WHERE name !~ '^[0-9]+$' ORDER BY name;
SELECT cmp_ok(count(*), '>=', 36::bigint, 'without a filter all are opened')
FROM pg_temp.days_of('SELECT count(*) FROM audit.calls');

SELECT * FROM finish();
ROLLBACK;
