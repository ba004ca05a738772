-- SPDX-License-Identifier: Apache-2.0
-- What the admin API reads of the record.
--
-- A live tail needs the order in which rows become visible, and started_at is not it: a call that
-- ran for an hour has its row an hour late, and a spool that waited for PostgreSQL later still. So
-- each row says which transaction stored it, and a tail shows what its last snapshot did not see and
-- the next one does: nothing is missed and nothing comes twice, whichever node wrote it and however
-- long its transaction took to commit.

SET LOCAL ROLE tollgate_owner;

-- Stable, so that the rows that are there take this transaction's without being rewritten.
ALTER TABLE audit.call_log
  ADD COLUMN stored_in xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id();
-- A batch of rows has one value, which is stored once; all new ones go to the last page.
CREATE INDEX call_log_stored ON audit.call_log (stored_in);

COMMENT ON COLUMN audit.call_log.stored_in IS
  'Transaction that stored the row: what a live tail goes on from. No part of the hash chain.';
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN
    SELECT c.oid FROM pg_class c
    WHERE c.relnamespace = 'audit_parts'::regnamespace AND c.relkind IN ('r', 'p')
      AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'stored_in')
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.stored_in IS %L', part,
                   col_description('audit.call_log'::regclass,
                                   (SELECT a.attnum FROM pg_attribute a
                                    WHERE a.attrelid = 'audit.call_log'::regclass
                                      AND a.attname = 'stored_in')));
  END LOOP;
END $$;

-- The gateway sets app.tenant for whoever asks, and app.audit_scope for platform administrators.
CREATE POLICY app_reads ON audit.call_log FOR SELECT TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY app_reads_platform ON audit.call_log FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'platform');
GRANT SELECT ON audit.call_log TO tollgate_app;
