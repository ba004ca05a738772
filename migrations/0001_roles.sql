-- SPDX-License-Identifier: Apache-2.0
-- Roles, schemas, settings and the list of applied migrations.
--
-- Runs as a superuser (development), or as tollgate_owner or a member of it when the four roles, and
-- the schemas if that role may not CREATE in this database, have been made beforehand (production).
-- Each migration is one transaction and forward only. Everything is owned by tollgate_owner; row
-- level security is enabled and forced on every table, and no policy is TO PUBLIC.

DO $$
BEGIN
  IF current_setting('server_version_num')::int < 150000 THEN
    RAISE EXCEPTION 'Tollgate needs PostgreSQL 15 or later, this is %', version();
  END IF;
  IF getdatabaseencoding() <> 'UTF8' THEN
    RAISE EXCEPTION 'Tollgate needs a database with encoding UTF8, this one has %',
      getdatabaseencoding();
  END IF;
END $$;

DO $$
DECLARE
  wanted record;
BEGIN
  FOR wanted IN
    SELECT * FROM (VALUES
      ('tollgate_owner', 'LOGIN', 'Owns the schemas of Tollgate and migrates them.'),
      ('tollgate_app', 'LOGIN', 'The running gateway: sees the rows of app.tenant only.'),
      ('tollgate_audit_writer', 'LOGIN', 'The drain of the audit spool: INSERT only.'),
      ('audit_reader', 'NOLOGIN',
       'Group of those who query the audit schema; audit.reader_roles says which tenants each sees.')
    ) AS r (name, login, comment)
  LOOP
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name) THEN
        EXECUTE format(
          'CREATE ROLE %I %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS',
          wanted.name, wanted.login);
        EXECUTE format('COMMENT ON ROLE %I IS %L', wanted.name, wanted.comment);
      END IF;
    EXCEPTION
      -- Roles belong to the cluster: another database of it may be migrated at this moment.
      WHEN duplicate_object OR unique_violation THEN NULL;
    END;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = wanted.name AND (rolsuper OR rolbypassrls)) THEN
      RAISE EXCEPTION 'role % must be neither SUPERUSER nor BYPASSRLS: it would see every tenant',
        wanted.name;
    END IF;
  END LOOP;
END $$;

DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['tollgate', 'audit', 'audit_parts'] LOOP
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = wanted) THEN
      EXECUTE format('CREATE SCHEMA %I AUTHORIZATION tollgate_owner', wanted);
    END IF;
  END LOOP;
END $$;

SET LOCAL ROLE tollgate_owner;

-- A new function is for nobody until a migration grants it.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

COMMENT ON SCHEMA tollgate IS 'What the gateway runs on: tenants, keys, connections, sessions.';
COMMENT ON SCHEMA audit IS 'The record of every call, for SQL users. Start with audit.calls.';
COMMENT ON SCHEMA audit_parts IS
  'Partitions of audit.call_log. Granted to nobody: a partition read directly would ignore the policies of its parent.';

GRANT USAGE ON SCHEMA tollgate TO tollgate_app;
GRANT USAGE ON SCHEMA audit TO tollgate_app, tollgate_audit_writer, audit_reader;

CREATE TABLE tollgate.tollgate_migrations (
  version int PRIMARY KEY,
  name text NOT NULL,
  sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
  applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tollgate.tollgate_migrations IS
  'Migrations that this database has had. Written by `tollgate migrate` in the transaction of each.';
COMMENT ON COLUMN tollgate.tollgate_migrations.version IS 'Number at the start of the file name.';
COMMENT ON COLUMN tollgate.tollgate_migrations.name IS 'File name without directory.';
COMMENT ON COLUMN tollgate.tollgate_migrations.sha256 IS
  'SHA-256 of the file as applied; a binary that carries another text for it refuses to go on.';
COMMENT ON COLUMN tollgate.tollgate_migrations.applied_at IS 'When it was applied.';
ALTER TABLE tollgate.tollgate_migrations ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.tollgate_migrations FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON tollgate.tollgate_migrations
  TO tollgate_owner USING (true) WITH CHECK (true);
-- `serve` compares the schema with what it was built for before it starts.
CREATE POLICY app_reads ON tollgate.tollgate_migrations FOR SELECT TO tollgate_app USING (true);
GRANT SELECT ON tollgate.tollgate_migrations TO tollgate_app;

CREATE TABLE tollgate.settings (
  name text PRIMARY KEY CHECK (name ~ '^[a-z0-9]+(_[a-z0-9]+)*$'),
  value text NOT NULL
);
COMMENT ON TABLE tollgate.settings IS
  'Facts of this deployment, written once. The runtime role reads and adds them through tollgate.setting and tollgate.put_setting only.';
COMMENT ON COLUMN tollgate.settings.name IS 'deployment_id, key_check.';
COMMENT ON COLUMN tollgate.settings.value IS 'Its value as text.';
ALTER TABLE tollgate.settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.settings FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON tollgate.settings TO tollgate_owner USING (true) WITH CHECK (true);

-- Part of the associated data of every sealed value, so none can be carried to another deployment.
INSERT INTO tollgate.settings (name, value) VALUES ('deployment_id', gen_random_uuid()::text);
