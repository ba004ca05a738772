-- SPDX-License-Identifier: Apache-2.0
-- What must hold of every object, asked of the catalog, so that new ones are covered.

\ir setup.psql
-- Partitions that were made later must be like those of the migration.
SELECT audit.ensure_partitions('2031-01-01', '2031-01-02') \g /dev/null

CREATE TEMP VIEW ours AS
  SELECT c.oid, c.oid::regclass AS rel, c.relkind AS kind, c.relrowsecurity AS rls,
         c.relforcerowsecurity AS forced, c.relowner::regrole AS owner
  FROM pg_class c
  WHERE c.relnamespace IN (SELECT oid FROM pg_namespace
                           WHERE nspname IN ('tollgate', 'audit', 'audit_parts'))
    AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S');

-- Row level security.
SELECT ok(count(*) >= 25, 'the catalog query finds tables and partitions')
FROM ours WHERE kind IN ('r', 'p');
SELECT is_empty($$ SELECT rel FROM ours WHERE kind IN ('r', 'p') AND NOT (rls AND forced) $$,
                'row level security is enabled and forced on every table and partition');
SELECT is_empty($$ SELECT rel FROM ours WHERE kind IN ('m', 'f') $$,
                'no materialized view and no foreign table, which have no row level security');
SELECT is_empty($$ SELECT polrelid::regclass, polname FROM pg_policy WHERE 0 = ANY (polroles) $$,
                'no policy is TO PUBLIC');
SELECT is_empty($$
  SELECT rel FROM ours WHERE kind IN ('r', 'p') AND NOT EXISTS (
    SELECT FROM pg_policy p WHERE p.polrelid = ours.oid AND p.polcmd = '*' AND p.polpermissive
      AND p.polroles = ARRAY['tollgate_owner'::regrole::oid]
      AND pg_get_expr(p.polqual, p.polrelid) = 'true'
      AND pg_get_expr(p.polwithcheck, p.polrelid) = 'true') $$,
  'the owner sees all of every table, or its functions would silently see nothing');
SELECT is_empty($$
  SELECT tbl FROM tenant_tables t WHERE NOT EXISTS (
    SELECT FROM pg_policy p WHERE p.polrelid = t.tbl AND p.polcmd = '*'
      AND p.polroles = ARRAY['tollgate_app'::regrole::oid]
      AND pg_get_expr(p.polqual, p.polrelid)
          = format('(%I = (NULLIF(current_setting(''app.tenant''::text, true), ''''::text))::uuid)',
                   t.key)
      AND pg_get_expr(p.polwithcheck, p.polrelid) = pg_get_expr(p.polqual, p.polrelid)) $$,
  'the runtime role has exactly the app.tenant policy on every tenant table');
SELECT is_empty($$
  SELECT polrelid::regclass, polname FROM pg_policy
  WHERE polrelid IN (SELECT tbl FROM tenant_tables) GROUP BY 1, 2
  HAVING polname NOT IN ('app_tenant', 'owner_all') $$,
  'and no policy beside these widens a tenant table');
SELECT is_empty($$
  SELECT c.oid::regclass FROM pg_class c JOIN ours o ON o.oid = c.oid
  WHERE c.relkind = 'v' AND NOT coalesce(c.reloptions @> '{security_invoker=true}', false) $$,
  'every view asks as its reader');
SELECT is_empty($$
  SELECT c.conrelid::regclass, c.conname FROM pg_constraint c
  WHERE c.contype = 'f' AND c.conrelid IN (SELECT tbl FROM tenant_tables)
    AND c.confrelid <> 'tollgate.tenants'::regclass
    AND NOT (SELECT a.attnum FROM pg_attribute a
             WHERE a.attrelid = c.conrelid AND a.attname = 'tenant_id') = ANY (c.conkey) $$,
  'every foreign key inside a tenant carries tenant_id');
SELECT is_empty($$
  SELECT i.indrelid::regclass FROM pg_index i JOIN tenant_tables t ON t.tbl = i.indrelid
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
  WHERE i.indisprimary AND a.attname <> t.key $$,
  'every tenant table leads its key with the tenant');

-- Roles.
SELECT is_empty($$
  SELECT rolname FROM pg_roles
  WHERE rolname IN ('tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'audit_reader')
    AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication) $$,
  'no role of ours is a superuser or bypasses row level security');
SELECT results_eq($$
  SELECT rolname, rolcanlogin FROM pg_roles
  WHERE rolname IN ('tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'audit_reader')
  ORDER BY rolname COLLATE "C" $$,
  $$ VALUES ('audit_reader'::name, false), ('tollgate_app', true),
            ('tollgate_audit_writer', true), ('tollgate_owner', true) $$,
  'three logins and one group');
SELECT is_empty($$
  SELECT rolname FROM pg_authid
  WHERE rolname IN ('tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'audit_reader')
    AND rolpassword IS NOT NULL $$, 'no role comes with a password');
SELECT is_empty($$
  SELECT m.member::regrole, m.roleid::regrole FROM pg_auth_members m
  WHERE m.member IN ('tollgate_owner'::regrole, 'tollgate_app'::regrole,
                     'tollgate_audit_writer'::regrole, 'audit_reader'::regrole)
     OR m.roleid IN ('tollgate_owner'::regrole, 'tollgate_app'::regrole,
                     'tollgate_audit_writer'::regrole) $$,
  'none of them is a member of another');

-- Ownership.
SELECT is_empty($$ SELECT rel FROM ours WHERE owner <> 'tollgate_owner'::regrole $$,
                'tollgate_owner owns every relation');
SELECT is_empty($$
  SELECT oid::regprocedure FROM pg_proc
  WHERE pronamespace IN ('tollgate'::regnamespace, 'audit'::regnamespace,
                         'audit_parts'::regnamespace)
    AND proowner <> 'tollgate_owner'::regrole $$, 'and every function');
SELECT is_empty($$
  SELECT nspname FROM pg_namespace WHERE nspname IN ('tollgate', 'audit', 'audit_parts')
    AND nspowner <> 'tollgate_owner'::regrole $$, 'and every schema');

-- Functions.
SELECT is_empty($$
  SELECT oid::regprocedure FROM pg_proc
  WHERE pronamespace IN ('tollgate'::regnamespace, 'audit'::regnamespace,
                         'audit_parts'::regnamespace)
    AND NOT EXISTS (SELECT FROM unnest(proconfig) c
                    WHERE c ~ '^search_path=pg_catalog, (tollgate|audit), pg_temp$')
    -- What a body names was found when it was made; an aggregate names nothing; the last one says
    -- the schema of everything itself.
    AND (prosecdef OR prosqlbody IS NULL AND prokind <> 'a'
         AND oid <> 'audit.histogram_add(bigint[],float8,bigint)'::regprocedure) $$,
  'every function has a fixed search_path with pg_temp last, or needs none');
SELECT is_empty($$
  SELECT p.oid::regprocedure FROM pg_proc p,
    aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  WHERE p.pronamespace IN ('tollgate'::regnamespace, 'audit'::regnamespace,
                           'audit_parts'::regnamespace) AND a.grantee = 0 $$,
  'PUBLIC may execute none');
SELECT is_empty($$
  SELECT p.oid::regprocedure FROM pg_proc p
  WHERE p.prosecdef AND p.proowner = 'tollgate_owner'::regrole
    AND p.pronamespace NOT IN ('tollgate'::regnamespace, 'audit'::regnamespace) $$,
  'no definer function of ours lies elsewhere');
SET LOCAL ROLE tollgate_owner;
CREATE FUNCTION tollgate.made_later() RETURNS int LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
SELECT ok(NOT has_function_privilege('tollgate_app', 'tollgate.made_later()', 'EXECUTE'),
          'a function that forgets to revoke is for nobody too');
SET LOCAL ROLE tollgate_owner;
DROP FUNCTION tollgate.made_later();
RESET ROLE;

-- Comments.
SELECT is_empty($$ SELECT rel FROM ours WHERE obj_description(oid, 'pg_class') IS NULL $$,
                'every table, partition and view has a comment');
SELECT is_empty($$
  SELECT o.rel, a.attname FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND col_description(o.oid, a.attnum) IS NULL $$,
  'every column has a comment');
SELECT is_empty($$
  SELECT oid::regprocedure FROM pg_proc
  WHERE pronamespace IN ('tollgate'::regnamespace, 'audit'::regnamespace)
    AND obj_description(oid, 'pg_proc') IS NULL $$, 'every function has a comment');
SELECT is_empty($$
  SELECT rolname FROM pg_roles
  WHERE rolname IN ('tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'audit_reader')
    AND shobj_description(oid, 'pg_authid') IS NULL $$, 'every role has a comment');
SELECT is_empty($$
  SELECT nspname FROM pg_namespace WHERE nspname IN ('tollgate', 'audit', 'audit_parts')
    AND obj_description(oid, 'pg_namespace') IS NULL $$, 'every schema has a comment');
SELECT matches(col_description('tollgate.connections'::regclass, attnum), 'sent the baggage of traces',
               'trust_level says what depends on it')
FROM pg_attribute WHERE attrelid = 'tollgate.connections'::regclass AND attname = 'trust_level';

-- Time.
SELECT is_empty($$
  SELECT o.rel, a.attname FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid
  WHERE a.attnum > 0 AND a.atttypid IN ('timestamp'::regtype, 'timetz'::regtype, 'time'::regtype) $$,
  'every time has a zone');

SELECT * FROM finish();
ROLLBACK;
