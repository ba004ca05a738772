-- SPDX-License-Identifier: Apache-2.0
-- Who changed what, before and after, and who signed in.
--
-- Triggers write the events, in the transaction of the change and whoever makes it: what cannot be
-- recorded does not happen, and no path can forget to. The gateway says who asks in the setting
-- app.event, a JSON object:
--
--   event_id, action, actor, role, user_id, api_key, actor_tenant_id, actor_tenant, via, client,
--   source_ip, node_id, secrets (columns that got another value), signin (code, key or out)
--
-- It decides about nothing. Without it a change came from SQL, and the event says by which role.
-- What was refused, and what changes no row of ours, the gateway records itself, before it answers.

SET LOCAL ROLE tollgate_owner;

CREATE FUNCTION audit.uuid_v7()
RETURNS uuid LANGUAGE sql VOLATILE SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT encode(set_bit(set_bit(
    overlay(uuid_send(gen_random_uuid()) PLACING
            substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
            FROM 1 FOR 6),
    52, 1), 53, 1), 'hex')::uuid
$$;
COMMENT ON FUNCTION audit.uuid_v7() IS 'A new UUIDv7 (RFC 9562): sorts by time.';

CREATE FUNCTION audit.context()
RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT coalesce(nullif(current_setting('app.event', true), ''), '{}')::jsonb
$$;
COMMENT ON FUNCTION audit.context() IS
  'Who asks, as the gateway said for this transaction; an empty object if it did not.';

-- The table -------------------------------------------------------------------------------------

CREATE TABLE audit.admin_event_log (
  tenant_id uuid NOT NULL,
  event_id uuid NOT NULL DEFAULT audit.uuid_v7(),
  at timestamptz NOT NULL DEFAULT now(),
  cause_id uuid,
  tenant text,
  actor text NOT NULL DEFAULT 'sql:' || session_user,
  role text,
  user_id uuid,
  api_key text,
  actor_tenant_id uuid,
  actor_tenant text,
  via text NOT NULL DEFAULT 'sql' CHECK (via ~ '^[a-z]+$' AND char_length(via) <= 32),
  client text CHECK (char_length(client) <= 512),
  source_ip inet,
  action text NOT NULL
    CHECK (action ~ '^[a-z]+(_[a-z]+)*([.][a-z]+(_[a-z]+)*)+$' AND char_length(action) <= 64),
  target_kind text NOT NULL CHECK (target_kind ~ '^[a-z]+(_[a-z]+)*$'),
  target_id text,
  target text,
  before jsonb CHECK (jsonb_typeof(before) = 'object'),
  after jsonb CHECK (jsonb_typeof(after) = 'object'),
  outcome text NOT NULL DEFAULT 'ok'
    CHECK (outcome IN ('ok', 'denied', 'unauthenticated', 'invalid', 'not_found', 'conflict',
                       'stale', 'rate_limited', 'unavailable', 'failed')),
  error_code text,
  error_message text,
  http_status int,
  n_events bigint NOT NULL DEFAULT 1 CHECK (n_events > 0),
  node_id uuid,
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX admin_event_log_time ON audit.admin_event_log (tenant_id, at DESC, event_id DESC);
CREATE INDEX admin_event_log_target
  ON audit.admin_event_log (tenant_id, target_kind, target, at DESC);
COMMENT ON TABLE audit.admin_event_log IS
  'Who changed what, and who tried to. Read it through audit.admin_events.';
COMMENT ON COLUMN audit.admin_event_log.tenant_id IS
  'Tenant whose things it is about; the nil UUID: none, the deployment''s, or nobody was recognised.';
COMMENT ON COLUMN audit.admin_event_log.event_id IS
  'UUIDv7 of the event; the admin API gives it back in the header Tollgate-Event-Id.';
COMMENT ON COLUMN audit.admin_event_log.at IS 'When it happened.';
COMMENT ON COLUMN audit.admin_event_log.cause_id IS
  'The event that this one followed from, of what went with its target; NULL: it was asked for itself.';
COMMENT ON COLUMN audit.admin_event_log.tenant IS 'Name of the tenant at that time.';
COMMENT ON COLUMN audit.admin_event_log.actor IS
  'Who: user:<name>, key:<name> of a service, os:<user>@<host> of a command, sql:<database role>, nobody.';
COMMENT ON COLUMN audit.admin_event_log.role IS
  'What the actor''s key may do: user, admin or platform; NULL: it came with none.';
COMMENT ON COLUMN audit.admin_event_log.user_id IS 'User that asked; NULL: no user.';
COMMENT ON COLUMN audit.admin_event_log.api_key IS 'Public id of the key that was shown.';
COMMENT ON COLUMN audit.admin_event_log.actor_tenant_id IS 'Tenant of the actor''s key.';
COMMENT ON COLUMN audit.admin_event_log.actor_tenant IS 'Its name at that time.';
COMMENT ON COLUMN audit.admin_event_log.via IS
  'By which way: api, keyring, migrate, seed, connect, cascade (went with something else), sql.';
COMMENT ON COLUMN audit.admin_event_log.client IS
  'Program that asked, as it said itself: its User-Agent, or the name of a SQL client.';
COMMENT ON COLUMN audit.admin_event_log.source_ip IS 'Address that it was asked from.';
COMMENT ON COLUMN audit.admin_event_log.action IS
  'What: <kind>.create, .update, .delete, .reseal (the same secret under another key), .wrap (a data key under another key of the keyring), .refresh, .probe; oauth.connect, oauth.ingest, oauth.reacquire, oauth.disconnect; schema.migrate; reader.grant, reader.revoke; payload.read (somebody opened what went through a call).';
COMMENT ON COLUMN audit.admin_event_log.target_kind IS
  'Of what kind the target is: tenant, user, key, connection, signin_code, data_key, reader, setting, schema, call.';
COMMENT ON COLUMN audit.admin_event_log.target_id IS
  'Id of the target; stable when its name changes. NULL: it has none, or there is none of that name.';
COMMENT ON COLUMN audit.admin_event_log.target IS 'Name of the target at that time.';
COMMENT ON COLUMN audit.admin_event_log.before IS
  'What it was: members that have changed, or all of a target that is gone. A secret reads "set".';
COMMENT ON COLUMN audit.admin_event_log.after IS
  'What it became. A secret reads "set" if there was none before, else "changed".';
COMMENT ON COLUMN audit.admin_event_log.outcome IS
  'How it ended: ok, denied, unauthenticated, invalid, not_found, conflict, stale (If-Match names another version), rate_limited, unavailable, failed. All but ok: nothing was changed.';
COMMENT ON COLUMN audit.admin_event_log.error_code IS 'code of the problem that was answered.';
COMMENT ON COLUMN audit.admin_event_log.error_message IS 'Its detail: one sentence, without secrets.';
COMMENT ON COLUMN audit.admin_event_log.http_status IS 'HTTP status of the answer, if known.';
COMMENT ON COLUMN audit.admin_event_log.n_events IS
  'How many attempts the row stands for: 1, or more where refused ones of one source were merged.';
COMMENT ON COLUMN audit.admin_event_log.node_id IS 'Node that was asked.';

ALTER TABLE audit.admin_event_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.admin_event_log FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.admin_event_log TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY app_inserts ON audit.admin_event_log FOR INSERT TO tollgate_app
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY app_reads ON audit.admin_event_log FOR SELECT TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY app_reads_platform ON audit.admin_event_log FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'platform');
CREATE POLICY reader_tenants ON audit.admin_event_log FOR SELECT TO audit_reader
  USING (tenant_id IN (SELECT r.tenant_id FROM audit.reader_roles r));
CREATE POLICY reader_platform ON audit.admin_event_log FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT SELECT, INSERT ON audit.admin_event_log TO tollgate_app;
GRANT SELECT ON audit.admin_event_log TO audit_reader;

-- Its columns are a contract: add at the end, never rename, reorder or remove.
CREATE VIEW audit.admin_events WITH (security_invoker = true) AS
SELECT at, tenant, actor, role, action, target_kind, target, outcome, before, after, error_code,
       error_message, via, client, source_ip, http_status, n_events, event_id, cause_id, target_id,
       user_id, api_key, actor_tenant, actor_tenant_id, tenant_id, node_id
FROM audit.admin_event_log;
COMMENT ON VIEW audit.admin_events IS
  'Who changed what, before and after, and who tried to; one row each.';
GRANT SELECT ON audit.admin_events TO audit_reader;

-- What the events say ---------------------------------------------------------------------------

CREATE FUNCTION audit.redact_url(p_url text)
RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT regexp_replace(regexp_replace(p_url, '^([^:/?#]+://)[^/?#@]*@', '\1[REDACTED]@'),
                        '([?&#;][^=&#;]*=)[^&#;]*', '\1[REDACTED]', 'g')
$$;
COMMENT ON FUNCTION audit.redact_url(text) IS
  'The URL without what may be secret in it: user information and the values of its query.';

-- One member as an event shows it; NULL: nothing stands there.
CREATE FUNCTION audit.shown(p_name text, p_value jsonb, p_secrets text[])
RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, audit, pg_temp
AS $$
  SELECT CASE
    WHEN p_value IS NULL OR p_value = 'null' THEN NULL
    WHEN p_name = ANY (p_secrets) THEN '"set"'
    WHEN p_name = 'url' THEN to_jsonb(audit.redact_url(p_value #>> '{}'))
    ELSE p_value END
$$;
COMMENT ON FUNCTION audit.shown(text, jsonb, text[]) IS
  'A member of a row as audit.admin_events shows it: secrets only as "set".';

-- Arguments: the kind, the column of its name, columns that are secret, columns that say nothing.
-- What was deleted after its tenant or user went with it.
CREATE FUNCTION audit.on_admin_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  kind CONSTANT text := TG_ARGV[0];
  secrets CONSTANT text[] := string_to_array(TG_ARGV[2], ',');
  silent CONSTANT text[] := string_to_array(TG_ARGV[3], ',');
  context CONSTANT jsonb := audit.context();
  went boolean := false;
  was CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
  now_is CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
  whose CONSTANT uuid := coalesce(
    nullif(coalesce(now_is, was) ->> CASE kind WHEN 'tenant' THEN 'id' ELSE 'tenant_id' END, '')::uuid,
    '00000000-0000-0000-0000-000000000000');
  before jsonb := '{}';
  after jsonb := '{}';
  verb text := CASE TG_OP WHEN 'INSERT' THEN 'create' WHEN 'UPDATE' THEN 'update' ELSE 'delete' END;
  resealed boolean := false;
  changed boolean;
  seen jsonb;
  name text;
  id uuid;
  first boolean;
BEGIN
  FOR name IN SELECT jsonb_object_keys(coalesce(now_is, was)) LOOP
    CONTINUE WHEN name = ANY (silent);
    changed := (was -> name) IS DISTINCT FROM (now_is -> name);
    -- Each version of a row seals all of it anew, so that bytes alone say little.
    IF name = ANY (secrets) AND audit.shown(name, was -> name, secrets) IS NOT NULL
       AND audit.shown(name, now_is -> name, secrets) IS NOT NULL THEN
      IF changed AND kind IN ('connection', 'data_key')
         AND was -> 'version' IS NOT DISTINCT FROM now_is -> 'version' THEN
        resealed := true;
      ELSIF context ? 'secrets' THEN
        changed := context -> 'secrets' ? name;
      END IF;
      CONTINUE WHEN NOT changed;
      before := before || jsonb_build_object(name, 'set');
      after := after || jsonb_build_object(name, 'changed');
      CONTINUE;
    END IF;
    CONTINUE WHEN NOT changed;
    seen := audit.shown(name, was -> name, secrets);
    IF seen IS NOT NULL OR TG_OP = 'UPDATE' THEN
      before := before || jsonb_build_object(name, seen);
    END IF;
    seen := audit.shown(name, now_is -> name, secrets);
    IF seen IS NOT NULL OR TG_OP = 'UPDATE' THEN
      after := after || jsonb_build_object(name, seen);
    END IF;
  END LOOP;
  IF TG_OP = 'UPDATE' AND before = '{}' AND after = '{}'
     AND NOT (pg_trigger_depth() = 1 AND context ->> 'action' = kind || '.update') THEN
    RETURN NULL; -- nothing that anybody asked for
  END IF;
  IF resealed THEN
    verb := CASE kind WHEN 'data_key' THEN 'wrap' ELSE 'reseal' END;
  END IF;
  verb := CASE kind || '.' || verb WHEN 'schema.create' THEN 'migrate'
            WHEN 'reader.create' THEN 'grant' WHEN 'reader.delete' THEN 'revoke' ELSE verb END;
  IF TG_OP = 'DELETE' AND kind <> 'tenant' THEN
    went := was ->> 'tenant_id' IS NOT NULL
            AND NOT EXISTS (SELECT FROM tollgate.tenants t WHERE t.id = whose)
         OR was ->> 'user_id' IS NOT NULL AND NOT EXISTS (
              SELECT FROM tollgate.users u
              WHERE u.tenant_id = whose AND u.id = (was ->> 'user_id')::uuid);
  END IF;
  id := (context ->> 'event_id')::uuid;
  first := id IS NOT NULL AND NOT went AND NOT EXISTS (
    SELECT FROM audit.admin_event_log e WHERE e.tenant_id = whose AND e.event_id = id);
  INSERT INTO audit.admin_event_log
    (tenant_id, event_id, cause_id, tenant, actor, role, user_id, api_key, actor_tenant_id,
     actor_tenant, via, client, source_ip, action, target_kind, target_id, target, before, after,
     node_id)
  VALUES
    (whose, CASE WHEN first THEN id ELSE audit.uuid_v7() END, CASE WHEN NOT first THEN id END,
     CASE WHEN kind = 'tenant' THEN coalesce(now_is, was) ->> 'name'
          ELSE coalesce((SELECT t.name FROM tollgate.tenants t WHERE t.id = whose),
                        (SELECT e.tenant FROM audit.admin_event_log e
                         WHERE e.tenant_id = whose AND e.tenant IS NOT NULL
                         ORDER BY e.at DESC LIMIT 1)) END,
     coalesce(context ->> 'actor', 'sql:' || session_user), context ->> 'role',
     (context ->> 'user_id')::uuid, context ->> 'api_key', (context ->> 'actor_tenant_id')::uuid,
     context ->> 'actor_tenant',
     CASE WHEN went THEN 'cascade' ELSE coalesce(context ->> 'via', 'sql') END,
     coalesce(context ->> 'client', nullif(current_setting('application_name', true), '')),
     CASE WHEN context ? 'source_ip' THEN (context ->> 'source_ip')::inet
          WHEN context = '{}' THEN inet_client_addr() END,
     kind || '.' || verb, kind, coalesce(now_is, was) ->> 'id',
     CASE WHEN kind = 'signin_code'
          THEN (SELECT u.name FROM tollgate.users u
                WHERE u.tenant_id = whose AND u.id = (now_is ->> TG_ARGV[1])::uuid)
          ELSE coalesce(now_is, was) ->> TG_ARGV[1] END,
     CASE WHEN TG_OP <> 'INSERT' THEN before END,
     CASE WHEN TG_OP <> 'DELETE' THEN after END, (context ->> 'node_id')::uuid);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.on_admin_change() IS
  'Trigger: a change of what a tenant or the deployment has is recorded with it.';

CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON tollgate.tenants FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('tenant', 'name', '',
                                         'id,config_version,created_at,updated_at');
CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON tollgate.users FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('user', 'name', '', 'tenant_id,id,created_at,updated_at');
CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON tollgate.api_keys FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('key', 'name', 'secret_mac', 'tenant_id,id,created_at');
CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON tollgate.connections FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('connection', 'name', 'credential,headers,oauth_secret',
                                         'tenant_id,id,settings_version,created_at,updated_at');
CREATE TRIGGER record_change AFTER INSERT ON tollgate.signin_codes FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('signin_code', 'user_id', 'code_hash',
                                         'tenant_id,created_at');
-- The first one comes and goes with its tenant.
CREATE TRIGGER record_made AFTER INSERT ON tollgate.data_keys FOR EACH ROW WHEN (NEW.dek_id > 1)
  EXECUTE FUNCTION audit.on_admin_change('data_key', 'dek_id', 'wrapped', 'tenant_id,created_at');
CREATE TRIGGER record_change AFTER UPDATE ON tollgate.data_keys FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('data_key', 'dek_id', 'wrapped', 'tenant_id,created_at');
CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON audit.reader_roles FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('reader', 'role_name', '', 'role_name');
CREATE TRIGGER record_change AFTER INSERT ON tollgate.tollgate_migrations FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('schema', 'name', '', 'applied_at');
-- Values of settings are the deployment's own; some are as good as secret.
CREATE TRIGGER record_change AFTER INSERT OR UPDATE OR DELETE ON tollgate.settings FOR EACH ROW
  EXECUTE FUNCTION audit.on_admin_change('setting', 'name', 'value', '');

-- Sign-ins --------------------------------------------------------------------------------------

ALTER TABLE audit.auth_event_log
  ADD COLUMN user_name text,
  ADD COLUMN api_key text,
  ADD COLUMN source_ip inet DEFAULT (audit.context() ->> 'source_ip')::inet,
  ADD COLUMN client text DEFAULT audit.context() ->> 'client',
  ADD COLUMN n_events bigint NOT NULL DEFAULT 1 CHECK (n_events > 0),
  ADD COLUMN cause_id uuid DEFAULT (audit.context() ->> 'event_id')::uuid;
COMMENT ON TABLE audit.auth_event_log IS
  'What happened to upstream OAuth grants, and who signed in. Read it through audit.auth_events.';
COMMENT ON COLUMN audit.auth_event_log.tenant_id IS
  'Tenant of the grant or user; the nil UUID: nobody was recognised.';
COMMENT ON COLUMN audit.auth_event_log.event_id IS 'UUID of the event.';
COMMENT ON COLUMN audit.auth_event_log.type IS
  'What happened: connect_started, connect_completed, connect_failed, token_ingested, acquired, refresh_succeeded, refresh_failed_transient, refresh_failed_client (our registration is refused), refresh_failed_revoked, refresh_lost (the answer never arrived and the server takes the old token no more), refresh_skipped_no_token, refresh_skipped_expired, refresh_rotation_persistence_failed (an answer came too late to be stored), disconnected, revocation_succeeded, revocation_failed, token_deleted_admin (with its connection or user); signin_code_issued, signin_completed, signin_refused, signed_out.';
COMMENT ON COLUMN audit.auth_event_log.subject IS
  'Whose grant: empty for a shared one, user:<id> for one user''s; of a sign-in the user, empty if nobody was recognised.';
COMMENT ON COLUMN audit.auth_event_log.actor IS
  'Who did it: user:<name>, key:<name>, system:tool-call, system:background-refresh, system:cascade (went with something else); sql:<role>.';
COMMENT ON COLUMN audit.auth_event_log.error_code IS
  'error as the authorization server named it (RFC 6749 5.2), or our own word; of a sign-in: code_unknown, code_expired, code_void (its user, key or tenant is gone or disabled), key_unknown, key_of_service.';
COMMENT ON COLUMN audit.auth_event_log.detail IS
  'Of a renewal: before_expires_at, before_refresh_expires_at, after_expires_at, after_refresh_expires_at, rotated_refresh, duration_ms, error_class, http_status, sent (whether the request may have arrived), error (one sentence), idp_error_code. Of a sign-in: by (code, key; of a sign-out out, signin: another one took its place, or cascade), role.';
COMMENT ON COLUMN audit.auth_event_log.user_name IS 'Of a sign-in: name of the user at that time.';
COMMENT ON COLUMN audit.auth_event_log.api_key IS
  'Of a sign-in: public id of the key that was shown, or that made the code.';
COMMENT ON COLUMN audit.auth_event_log.source_ip IS
  'Address that it was asked from; NULL: nobody asked, or it is not known.';
COMMENT ON COLUMN audit.auth_event_log.client IS 'Program that asked, as it said itself.';
COMMENT ON COLUMN audit.auth_event_log.n_events IS
  'How many events the row stands for: 1, or more where refused sign-ins of one source were merged.';
COMMENT ON COLUMN audit.auth_event_log.cause_id IS
  'The event of audit.admin_events that it belongs to; NULL: none.';
CREATE POLICY app_reads_platform ON audit.auth_event_log FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'platform');

CREATE OR REPLACE VIEW audit.auth_events WITH (security_invoker = true) AS
SELECT at, tenant, type, connection, subject, actor, error_code, detail, attempt_id, event_id,
       tenant_id, connection_id, user_name, api_key, source_ip, client, n_events, cause_id
FROM audit.auth_event_log;
COMMENT ON VIEW audit.auth_events IS
  'What happened to upstream OAuth grants (connected, renewed, refused, disconnected), and who signed in; one row each.';

CREATE FUNCTION audit.on_signin()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  context CONSTANT jsonb := audit.context();
  the_row CONSTANT jsonb := CASE TG_OP WHEN 'DELETE' THEN to_jsonb(OLD) ELSE to_jsonb(NEW) END;
  whose CONSTANT uuid := the_row ->> 'tenant_id';
  how text := context ->> 'signin';
  username CONSTANT text := (SELECT u.name FROM tollgate.users u
    WHERE u.tenant_id = whose AND u.id = (the_row ->> 'user_id')::uuid);
  keyname CONSTANT text := (SELECT k.key_id FROM tollgate.api_keys k
    WHERE k.tenant_id = whose AND k.id = (the_row ->> 'api_key_id')::uuid);
BEGIN
  IF TG_OP = 'DELETE' THEN
    how := CASE WHEN username IS NULL OR the_row ->> 'api_key_id' IS NOT NULL AND keyname IS NULL
                THEN 'cascade' WHEN how IN ('code', 'key') THEN 'signin' ELSE how END;
    IF how IS NULL THEN
      RETURN NULL; -- it was over already, and is swept
    END IF;
  END IF;
  INSERT INTO audit.auth_event_log (tenant_id, event_id, tenant, type, subject, actor, user_name,
                                    api_key, detail)
  VALUES (whose, audit.uuid_v7(), (SELECT t.name FROM tollgate.tenants t WHERE t.id = whose),
          CASE TG_TABLE_NAME || TG_OP WHEN 'signin_codesINSERT' THEN 'signin_code_issued'
               WHEN 'browser_sessionsINSERT' THEN 'signin_completed' ELSE 'signed_out' END,
          'user:' || (the_row ->> 'user_id'),
          CASE WHEN how = 'cascade' THEN 'system:cascade'
               ELSE coalesce(context ->> 'actor', 'user:' || username) END,
          username, keyname,
          jsonb_strip_nulls(jsonb_build_object('by', how, 'role', the_row -> 'role')));
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.on_signin() IS
  'Trigger: a sign-in, its code and its end are recorded with it.';
CREATE TRIGGER record_signin AFTER INSERT ON tollgate.signin_codes FOR EACH ROW
  EXECUTE FUNCTION audit.on_signin();
CREATE TRIGGER record_signin AFTER INSERT OR DELETE ON tollgate.browser_sessions FOR EACH ROW
  EXECUTE FUNCTION audit.on_signin();

-- A code that is known but no good is told apart by a row without a user, and recorded here, where
-- it is known whose it was.
CREATE OR REPLACE FUNCTION tollgate.sign_in_by_code(p_code_hash bytea, p_token_hash bytea,
                                                    p_lifetime interval)
RETURNS TABLE (tenant_name text, user_name text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH used AS (
    DELETE FROM tollgate.signin_codes c WHERE c.code_hash = p_code_hash
    RETURNING c.tenant_id, c.user_id, c.api_key_id, c.expires_at),
  whose AS (
    SELECT u.tenant_id, u.id, used.api_key_id, t.name AS tenant_name, u.name AS user_name,
           CASE k.role WHEN 'user' THEN 'user' ELSE u.role END AS role,
           least(now() + p_lifetime, k.expires_at) AS ends_at
    FROM used
    JOIN tollgate.tenants t ON t.id = used.tenant_id AND t.enabled
    JOIN tollgate.users u ON u.tenant_id = used.tenant_id AND u.id = used.user_id AND u.enabled
    LEFT JOIN tollgate.api_keys k ON k.tenant_id = used.tenant_id AND k.id = used.api_key_id
    WHERE used.expires_at > now() AND coalesce(k.expires_at, 'infinity') > now()),
  made AS (
    INSERT INTO tollgate.browser_sessions (tenant_id, token_hash, user_id, api_key_id, role,
                                           expires_at)
    SELECT w.tenant_id, p_token_hash, w.id, w.api_key_id, w.role, w.ends_at FROM whose w),
  refused AS (
    INSERT INTO audit.auth_event_log (tenant_id, event_id, tenant, type, subject, actor, user_name,
                                      api_key, error_code, detail)
    SELECT used.tenant_id, audit.uuid_v7(), t.name, 'signin_refused', 'user:' || used.user_id,
           'nobody', u.name, k.key_id,
           CASE WHEN used.expires_at > now() THEN 'code_void' ELSE 'code_expired' END,
           '{"by": "code"}'
    FROM used
    LEFT JOIN tollgate.tenants t ON t.id = used.tenant_id
    LEFT JOIN tollgate.users u ON u.tenant_id = used.tenant_id AND u.id = used.user_id
    LEFT JOIN tollgate.api_keys k ON k.tenant_id = used.tenant_id AND k.id = used.api_key_id
    WHERE NOT EXISTS (SELECT FROM whose)
    RETURNING 1)
  SELECT w.tenant_name, w.user_name FROM whose w
  UNION ALL SELECT NULL, NULL FROM refused
$$;
COMMENT ON FUNCTION tollgate.sign_in_by_code(bytea, bytea, interval) IS
  'Uses a code up and makes the session of its user; returns who that is. A row of NULLs: the code is no longer good for anything, which is recorded. No row: there is no such code.';

-- What is done to a grant by way of the admin API: the event of the grant is written with the change,
-- and this one with it.
CREATE FUNCTION audit.on_grant_event()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  context CONSTANT jsonb := audit.context();
BEGIN
  INSERT INTO audit.admin_event_log
    (tenant_id, event_id, tenant, actor, role, user_id, api_key, actor_tenant_id, actor_tenant, via,
     client, source_ip, action, target_kind, target_id, target, after, node_id)
  SELECT NEW.tenant_id, (context ->> 'event_id')::uuid, NEW.tenant, context ->> 'actor',
         context ->> 'role', (context ->> 'user_id')::uuid, context ->> 'api_key',
         (context ->> 'actor_tenant_id')::uuid, context ->> 'actor_tenant', context ->> 'via',
         context ->> 'client', (context ->> 'source_ip')::inet, context ->> 'action', 'connection',
         NEW.connection_id, NEW.connection,
         jsonb_build_object('subject', NEW.subject,
                            'grant', CASE NEW.type WHEN 'disconnected' THEN 'disconnected'
                                                   ELSE 'set' END),
         (context ->> 'node_id')::uuid
  WHERE context ->> 'action' IN ('oauth.ingest', 'oauth.disconnect')
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION audit.on_grant_event() IS
  'Trigger: a grant that the admin API puts or ends is an event of audit.admin_events too.';
CREATE TRIGGER record_admin AFTER INSERT ON audit.auth_event_log FOR EACH ROW
  WHEN (NEW.type IN ('token_ingested', 'disconnected'))
  EXECUTE FUNCTION audit.on_grant_event();

-- The comments of the views are those of the tables. --------------------------------------------

DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT v.attrelid::regclass AS view, v.attname, col_description(t.attrelid, t.attnum) AS comment
    FROM (VALUES ('audit.admin_events'::regclass, 'audit.admin_event_log'::regclass),
                 ('audit.auth_events'::regclass, 'audit.auth_event_log'::regclass)) pair (v, t)
    JOIN pg_attribute v ON v.attrelid = pair.v AND v.attnum > 0
    JOIN pg_attribute t ON t.attrelid = pair.t AND t.attname = v.attname
  LOOP
    EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', col.view, col.attname, col.comment);
  END LOOP;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tollgate, audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  audit.uuid_v7(), audit.context(), audit.redact_url(text), audit.shown(text, jsonb, text[])
TO tollgate_app;
