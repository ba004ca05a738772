-- SPDX-License-Identifier: Apache-2.0
-- The whole list of what anybody but the owner may do. A new grant must be written here too.

\ir setup.psql

CREATE TEMP VIEW our_schemas AS
  SELECT oid FROM pg_namespace WHERE nspname IN ('tollgate', 'audit', 'audit_parts');

SELECT bag_eq($$
  SELECT concat_ws(' ', n.nspname, a.grantee::regrole, a.privilege_type) COLLATE "default"
  FROM pg_namespace n, aclexplode(n.nspacl) a
  WHERE n.oid IN (SELECT oid FROM our_schemas) AND a.grantee <> n.nspowner $$, $$ VALUES
  ('audit audit_reader USAGE'),
  ('audit tollgate_app USAGE'),
  ('audit tollgate_audit_writer USAGE'),
  ('tollgate tollgate_app USAGE') $$,
  'schemas: audit_parts is granted to nobody');

SELECT bag_eq($$
  SELECT concat_ws(' ', c.oid::regclass, a.grantee::regrole,
                   string_agg(a.privilege_type, ' ' ORDER BY a.privilege_type)) COLLATE "default"
  FROM pg_class c, aclexplode(c.relacl) a
  WHERE c.relnamespace IN (SELECT oid FROM our_schemas) AND a.grantee <> c.relowner
  GROUP BY c.oid, a.grantee $$, $$ VALUES
  ('audit.admin_event_log audit_reader SELECT'),
  ('audit.admin_event_log tollgate_app INSERT SELECT'),
  ('audit.admin_events audit_reader SELECT'),
  ('audit.anchors audit_reader SELECT'),
  ('audit.anchors tollgate_app SELECT'),
  ('audit.anchors tollgate_audit_writer INSERT'),
  ('audit.auth_event_log audit_reader SELECT'),
  ('audit.auth_event_log tollgate_app INSERT SELECT'),
  ('audit.auth_events audit_reader SELECT'),
  ('audit.call_log audit_reader SELECT'),
  ('audit.call_log tollgate_app SELECT'),
  ('audit.call_log tollgate_audit_writer INSERT'),
  ('audit.call_payloads tollgate_app SELECT'),
  ('audit.call_payloads tollgate_audit_writer INSERT'),
  ('audit.calls audit_reader SELECT'),
  ('audit.calls_hourly audit_reader SELECT'),
  ('audit.errors audit_reader SELECT'),
  ('audit.event_seals audit_reader SELECT'),
  ('audit.event_seals tollgate_app SELECT'),
  ('audit.event_seals tollgate_audit_writer INSERT'),
  ('audit.partition_seals audit_reader SELECT'),
  ('audit.partition_seals tollgate_app SELECT'),
  ('audit.reader_roles audit_reader SELECT'),
  ('audit.schema_doc audit_reader SELECT'),
  ('audit.stat_connections audit_reader SELECT'),
  ('audit.stat_resets audit_reader INSERT SELECT UPDATE'),
  ('audit.stat_tools audit_reader SELECT'),
  ('audit.tools_daily audit_reader SELECT'),
  ('audit.users_daily audit_reader SELECT'),
  ('tollgate.api_keys tollgate_app DELETE INSERT SELECT'),
  ('tollgate.browser_sessions tollgate_app DELETE INSERT SELECT'),
  ('tollgate.cancellations tollgate_app INSERT SELECT UPDATE'),
  ('tollgate.catalogs tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.client_issuers tollgate_app DELETE INSERT SELECT'),
  ('tollgate.connect_attempts tollgate_app INSERT SELECT UPDATE'),
  ('tollgate.connection_status tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.connections tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.data_keys tollgate_app INSERT SELECT UPDATE'),
  ('tollgate.grants tollgate_app INSERT SELECT UPDATE'),
  ('tollgate.mcp_sessions tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.nodes tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.serving_connections tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.signin_codes tollgate_app DELETE INSERT SELECT'),
  ('tollgate.tenants tollgate_app SELECT'),
  ('tollgate.tollgate_migrations tollgate_app SELECT'),
  ('tollgate.upstream_clients tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.upstream_sessions tollgate_app DELETE INSERT SELECT UPDATE'),
  ('tollgate.users tollgate_app DELETE INSERT SELECT UPDATE') $$,
  'relations: no partition is among them');

SELECT bag_eq($$
  SELECT concat_ws(' ', c.oid::regclass, x.grantee::regrole, x.privilege_type,
                   string_agg(a.attname, ' ' ORDER BY a.attnum)) COLLATE "default"
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) x
  WHERE c.relnamespace IN (SELECT oid FROM our_schemas) GROUP BY c.oid, x.grantee, x.privilege_type $$,
  $$ VALUES
  ('audit.call_payloads audit_reader SELECT retention_class started_at tenant_id call_id part bytes truncated') $$,
  'single columns: readers see that there are payloads, and no bytes of them');

SELECT bag_eq($$
  SELECT concat_ws(' ', p.oid::regprocedure, a.grantee::regrole) COLLATE "default"
  FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  WHERE p.pronamespace IN (SELECT oid FROM our_schemas) AND a.grantee <> p.proowner $$, $$ VALUES
  ('audit.call_time(uuid) audit_reader'),
  ('audit.claim_events(integer) tollgate_app'),
  ('audit.context() tollgate_app'),
  ('audit.drop_partition(name,text,bytea) tollgate_app'),
  ('audit.ensure_partitions(date,date) tollgate_app'),
  ('audit.ensure_partitions(date,date) tollgate_audit_writer'),
  ('audit.ensure_payload_partitions(date,date) tollgate_audit_writer'),
  ('audit.histogram(double precision,bigint) audit_reader'),
  ('audit.histogram(double precision,bigint) tollgate_app'),
  ('audit.histogram_add(bigint[],double precision,bigint) audit_reader'),
  ('audit.histogram_add(bigint[],double precision,bigint) tollgate_app'),
  ('audit.histogram_bounds() audit_reader'),
  ('audit.histogram_bounds() tollgate_app'),
  ('audit.histogram_bucket(double precision) audit_reader'),
  ('audit.histogram_bucket(double precision) tollgate_app'),
  ('audit.histogram_merge(bigint[]) audit_reader'),
  ('audit.histogram_merge(bigint[]) tollgate_app'),
  ('audit.histogram_quantile(double precision,bigint[]) audit_reader'),
  ('audit.histogram_quantile(double precision,bigint[]) tollgate_app'),
  ('audit.histogram_sum(bigint[],bigint[]) audit_reader'),
  ('audit.histogram_sum(bigint[],bigint[]) tollgate_app'),
  ('audit.old_partitions() tollgate_app'),
  ('audit.recorded_days() audit_reader'),
  ('audit.recorded_hours() audit_reader'),
  ('audit.redact_url(text) tollgate_app'),
  ('audit.shown(text,jsonb,text[]) tollgate_app'),
  ('audit.stat_reset() audit_reader'),
  ('audit.stat_since() audit_reader'),
  ('audit.uuid_v7() tollgate_app'),
  ('tollgate.changed_grants(uuid[],uuid[],text[],bigint[],text[]) tollgate_app'),
  ('tollgate.config_versions() tollgate_app'),
  ('tollgate.create_tenant(uuid,text,boolean,jsonb) tollgate_app'),
  ('tollgate.delete_tenant(uuid) tollgate_app'),
  ('tollgate.end_browser_session(bytea) tollgate_app'),
  ('tollgate.find_key(text) tollgate_app'),
  ('tollgate.find_signin_code(bytea) tollgate_app'),
  ('tollgate.find_tenant(text) tollgate_app'),
  ('tollgate.keeps_grants(tollgate.connections,tollgate.connections) tollgate_app'),
  ('tollgate.list_tenants() tollgate_app'),
  ('tollgate.put_setting(text,text) tollgate_app'),
  ('tollgate.release_grants(uuid) tollgate_app'),
  ('tollgate.setting(text) tollgate_app'),
  ('tollgate.sign_in_by_code(bytea,bytea,interval) tollgate_app'),
  ('tollgate.sweep_cancellations() tollgate_app'),
  ('tollgate.sweep_connect() tollgate_app'),
  ('tollgate.sweep_sessions() tollgate_app'),
  ('tollgate.take_cancellations(uuid[],bytea[],bigint[]) tollgate_app'),
  ('tollgate.take_connect_state(bytea) tollgate_app'),
  ('tollgate.take_due_grants(uuid,interval,interval,integer,integer,text[]) tollgate_app'),
  ('tollgate.take_ended_upstream_sessions(integer) tollgate_app'),
  ('tollgate.update_tenant(uuid,text,boolean,jsonb,bigint) tollgate_app'),
  ('tollgate.use_browser_session(bytea,interval) tollgate_app'),
  ('tollgate.watch_connections(uuid,interval,bigint) tollgate_app') $$,
  'functions');

SELECT bag_eq($$
  SELECT oid::regprocedure::text COLLATE "default" FROM pg_proc
  WHERE prosecdef AND proowner = 'tollgate_owner'::regrole $$, $$ VALUES
  ('audit.claim_events(integer)'),
  ('audit.drop_partition(name,text,bytea)'),
  ('audit.ensure_partitions(date,date)'),
  ('audit.ensure_payload_partitions(date,date)'),
  ('audit.old_partitions()'),
  ('tollgate.changed_grants(uuid[],uuid[],text[],bigint[],text[])'),
  ('tollgate.config_versions()'),
  ('tollgate.create_tenant(uuid,text,boolean,jsonb)'),
  ('tollgate.delete_tenant(uuid)'),
  ('tollgate.end_browser_session(bytea)'),
  ('tollgate.find_key(text)'),
  ('tollgate.find_signin_code(bytea)'),
  ('tollgate.find_tenant(text)'),
  ('tollgate.list_tenants()'),
  ('tollgate.on_config_change()'),
  ('tollgate.put_setting(text,text)'),
  ('tollgate.release_grants(uuid)'),
  ('tollgate.setting(text)'),
  ('tollgate.sign_in_by_code(bytea,bytea,interval)'),
  ('tollgate.sweep_cancellations()'),
  ('tollgate.sweep_connect()'),
  ('tollgate.sweep_sessions()'),
  ('tollgate.take_cancellations(uuid[],bytea[],bigint[])'),
  ('tollgate.take_connect_state(bytea)'),
  ('tollgate.take_due_grants(uuid,interval,interval,integer,integer,text[])'),
  ('tollgate.take_ended_upstream_sessions(integer)'),
  ('tollgate.update_tenant(uuid,text,boolean,jsonb,bigint)'),
  ('tollgate.use_browser_session(bytea,interval)'),
  ('tollgate.watch_connections(uuid,interval,bigint)') $$,
  'functions that run as their owner');

SELECT is_empty($$
  SELECT d.defaclrole::regrole, d.defaclobjtype, a.grantee::regrole, a.privilege_type
  FROM pg_default_acl d, aclexplode(d.defaclacl) a WHERE a.grantee <> d.defaclrole $$,
  'nothing is granted by default');

SELECT * FROM finish();
ROLLBACK;
