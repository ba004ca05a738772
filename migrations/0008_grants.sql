-- SPDX-License-Identifier: Apache-2.0
-- What authorization servers granted us: tokens and who keeps them fresh, our registrations, and the
-- record of both.

SET LOCAL ROLE tollgate_owner;

-- Grants ----------------------------------------------------------------------------------------

CREATE TABLE tollgate.grants (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  subject text NOT NULL DEFAULT '',
  user_id uuid,
  id uuid NOT NULL,
  state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'needs_reauth', 'disconnected')),
  kind text NOT NULL CHECK (kind IN ('authorization_code', 'client_credentials', 'ingested')),
  issuer text,
  token_url text,
  revocation_url text,
  client_id text,
  client_auth text NOT NULL DEFAULT 'none'
    CHECK (client_auth IN ('none', 'basic', 'basic_raw', 'post', 'private_key_jwt')),
  client_secret bytea,
  resource text,
  audience text,
  scope text,
  access_token bytea,
  refresh_token bytea,
  expires_at timestamptz,
  refresh_expires_at timestamptz,
  account text,
  authenticated_by text,
  authenticated_at timestamptz,
  last_refreshed_at timestamptz,
  last_error text,
  last_error_at timestamptz,
  last_revocation text,
  failures int NOT NULL DEFAULT 0 CHECK (failures >= 0),
  next_refresh_at timestamptz,
  version bigint NOT NULL DEFAULT 1,
  lease_owner uuid,
  lease_until timestamptz,
  lease_number bigint NOT NULL DEFAULT 0,
  sent_at timestamptz,
  lost_at timestamptz,
  PRIMARY KEY (tenant_id, connection_id, subject),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, user_id) REFERENCES tollgate.users (tenant_id, id) ON DELETE CASCADE,
  CHECK (subject = coalesce('user:' || user_id::text, '')),
  CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
  CHECK (state <> 'disconnected' OR (access_token IS NULL AND refresh_token IS NULL
                                     AND client_secret IS NULL))
);
CREATE INDEX grants_user ON tollgate.grants (tenant_id, user_id) WHERE user_id IS NOT NULL;
CREATE INDEX grants_due ON tollgate.grants (next_refresh_at)
  WHERE state = 'active' AND next_refresh_at IS NOT NULL;
CREATE INDEX grants_lease ON tollgate.grants (lease_owner) WHERE lease_owner IS NOT NULL;
COMMENT ON TABLE tollgate.grants IS
  'Upstream OAuth grants: one per tenant, connection and subject, with all that renewing or revoking it takes. A grant is never deleted for a failure, only with its connection or user.';
COMMENT ON COLUMN tollgate.grants.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.grants.connection_id IS 'The connection that it is used for.';
COMMENT ON COLUMN tollgate.grants.subject IS
  'Whose it is: empty for one that all share, user:<id> for one user''s.';
COMMENT ON COLUMN tollgate.grants.user_id IS 'The user of subject; NULL if it is shared.';
COMMENT ON COLUMN tollgate.grants.id IS
  'Random UUID of the row, part of what the sealed columns are bound to.';
COMMENT ON COLUMN tollgate.grants.state IS
  'active; needs_reauth: the server will not renew it, somebody has to sign in again; disconnected: by us, it holds no token.';
COMMENT ON COLUMN tollgate.grants.kind IS
  'How it was got: authorization_code, client_credentials (renewed by asking again), ingested (elsewhere).';
COMMENT ON COLUMN tollgate.grants.issuer IS 'Authorization server that issued it, if known.';
COMMENT ON COLUMN tollgate.grants.token_url IS 'Where it is renewed; NULL: it cannot be.';
COMMENT ON COLUMN tollgate.grants.revocation_url IS
  'Where it is revoked (RFC 7009); NULL: the server has no such endpoint.';
COMMENT ON COLUMN tollgate.grants.client_id IS 'The client that it was issued to.';
COMMENT ON COLUMN tollgate.grants.client_auth IS
  'How that client shows itself: none, basic (form-encoded), basic_raw, post, private_key_jwt.';
COMMENT ON COLUMN tollgate.grants.client_secret IS
  'Sealed secret or PEM key of the client; opens with this row''s id and version only.';
COMMENT ON COLUMN tollgate.grants.resource IS
  'Resource (RFC 8707) as it is sent with each request; NULL: it is not.';
COMMENT ON COLUMN tollgate.grants.audience IS 'Audience as it is sent; NULL: it is not.';
COMMENT ON COLUMN tollgate.grants.scope IS 'Scope as granted, else as asked for.';
COMMENT ON COLUMN tollgate.grants.access_token IS
  'Sealed access token; opens with this row''s id and version only.';
COMMENT ON COLUMN tollgate.grants.refresh_token IS
  'Sealed refresh token; opens with this row''s id and version only. NULL: there is none.';
COMMENT ON COLUMN tollgate.grants.expires_at IS
  'When the access token expires; NULL: it is good until the upstream refuses it.';
COMMENT ON COLUMN tollgate.grants.refresh_expires_at IS
  'When the refresh token expires, if the server said so.';
COMMENT ON COLUMN tollgate.grants.account IS
  'Who signed in at the server, where an id_token or userinfo says so.';
COMMENT ON COLUMN tollgate.grants.authenticated_by IS
  'Name of the user or key that connected it, at that time.';
COMMENT ON COLUMN tollgate.grants.authenticated_at IS 'When it was connected.';
COMMENT ON COLUMN tollgate.grants.last_refreshed_at IS 'When it was last renewed.';
COMMENT ON COLUMN tollgate.grants.last_error IS
  'Why the last renewal failed, one sentence without secrets; NULL: it did not.';
COMMENT ON COLUMN tollgate.grants.last_error_at IS 'When that was.';
COMMENT ON COLUMN tollgate.grants.last_revocation IS
  'What came of revoking it at the server: revoked, none (it has no endpoint), or failed: and why.';
COMMENT ON COLUMN tollgate.grants.failures IS 'Renewals that failed in a row.';
COMMENT ON COLUMN tollgate.grants.next_refresh_at IS
  'When it is to be renewed in the background; NULL: it cannot be, or need not.';
COMMENT ON COLUMN tollgate.grants.version IS
  'Rises whenever the sealed columns are written, which are bound to it: what a renewal compares.';
COMMENT ON COLUMN tollgate.grants.lease_owner IS 'Node that renews it now.';
COMMENT ON COLUMN tollgate.grants.lease_until IS 'Until when no other may.';
COMMENT ON COLUMN tollgate.grants.lease_number IS
  'Rises with each lease; what a renewal has learnt is written under its own number only.';
COMMENT ON COLUMN tollgate.grants.sent_at IS
  'Set before the request goes out: until the answer is here nobody else may send the refresh token, for it may be good once only.';
COMMENT ON COLUMN tollgate.grants.lost_at IS
  'When an answer was lost since the last renewal: the refresh token may be used up.';
ALTER TABLE tollgate.grants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.grants FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.grants TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.grants TO tollgate_owner USING (true) WITH CHECK (true);
-- No DELETE: only the end of its connection, user or tenant deletes a grant.
GRANT SELECT, INSERT, UPDATE ON tollgate.grants TO tollgate_app;

-- Our registrations -----------------------------------------------------------------------------

CREATE TABLE tollgate.upstream_clients (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  issuer text NOT NULL CHECK (issuer <> ''),
  redirect_uri text NOT NULL,
  id uuid NOT NULL,
  client_id text NOT NULL CHECK (client_id <> ''),
  client_auth text NOT NULL
    CHECK (client_auth IN ('none', 'basic', 'basic_raw', 'post', 'private_key_jwt')),
  client_secret bytea,
  secret_expires_at timestamptz,
  registered_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, issuer, redirect_uri)
);
COMMENT ON TABLE tollgate.upstream_clients IS
  'Clients that we registered at authorization servers (RFC 7591), each for one issuer and one redirect URI.';
COMMENT ON COLUMN tollgate.upstream_clients.tenant_id IS 'Tenant that it was registered for.';
COMMENT ON COLUMN tollgate.upstream_clients.issuer IS 'Issuer of the authorization server.';
COMMENT ON COLUMN tollgate.upstream_clients.redirect_uri IS 'Redirect URI that was registered.';
COMMENT ON COLUMN tollgate.upstream_clients.id IS
  'Random UUID, anew with each registration: what the secret is bound to.';
COMMENT ON COLUMN tollgate.upstream_clients.client_id IS 'client_id as issued.';
COMMENT ON COLUMN tollgate.upstream_clients.client_auth IS
  'How the client shows itself: none, basic, basic_raw, post, private_key_jwt.';
COMMENT ON COLUMN tollgate.upstream_clients.client_secret IS
  'Sealed client_secret; opens with this row''s id and version 1 only. NULL: a public client.';
COMMENT ON COLUMN tollgate.upstream_clients.secret_expires_at IS
  'When the secret expires; NULL: never.';
COMMENT ON COLUMN tollgate.upstream_clients.registered_at IS 'When we registered.';
ALTER TABLE tollgate.upstream_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.upstream_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.upstream_clients TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.upstream_clients TO tollgate_owner
  USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.upstream_clients TO tollgate_app;

-- The record ------------------------------------------------------------------------------------
-- Written by the gateway in the transaction of what it tells of. Never changed, never deleted by it.

CREATE TABLE audit.auth_event_log (
  tenant_id uuid NOT NULL,
  event_id uuid NOT NULL DEFAULT gen_random_uuid(),
  at timestamptz NOT NULL DEFAULT now(),
  tenant text,
  type text NOT NULL CHECK (type ~ '^[a-z]+(_[a-z]+)*$' AND char_length(type) <= 64),
  connection_id uuid,
  connection text,
  subject text NOT NULL DEFAULT '',
  actor text,
  attempt_id uuid,
  error_code text,
  detail jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(detail) = 'object'),
  PRIMARY KEY (tenant_id, event_id)
);
CREATE INDEX auth_event_log_connection
  ON audit.auth_event_log (tenant_id, connection_id, at DESC);
CREATE INDEX auth_event_log_time ON audit.auth_event_log (tenant_id, at DESC);
COMMENT ON TABLE audit.auth_event_log IS
  'What happened to upstream OAuth grants. Read it through audit.auth_events.';
COMMENT ON COLUMN audit.auth_event_log.tenant_id IS 'Tenant of the grant.';
COMMENT ON COLUMN audit.auth_event_log.event_id IS 'Random UUID of the event.';
COMMENT ON COLUMN audit.auth_event_log.at IS 'When it happened.';
COMMENT ON COLUMN audit.auth_event_log.tenant IS 'Name of the tenant at that time.';
COMMENT ON COLUMN audit.auth_event_log.type IS
  'What happened: connect_started, connect_completed, connect_failed, token_ingested, acquired, refresh_succeeded, refresh_failed_transient, refresh_failed_client (our registration is refused), refresh_failed_revoked, refresh_lost (the answer never arrived and the server takes the old token no more), refresh_skipped_no_token, refresh_skipped_expired, refresh_rotation_persistence_failed (an answer came too late to be stored), disconnected, revocation_succeeded, revocation_failed, token_deleted_admin (with its connection or user).';
COMMENT ON COLUMN audit.auth_event_log.connection_id IS 'Connection of the grant.';
COMMENT ON COLUMN audit.auth_event_log.connection IS 'Name of the connection at that time.';
COMMENT ON COLUMN audit.auth_event_log.subject IS
  'Whose grant: empty for a shared one, user:<id> for one user''s.';
COMMENT ON COLUMN audit.auth_event_log.actor IS
  'Who did it: user:<name>, key:<name>, system:tool-call, system:background-refresh.';
COMMENT ON COLUMN audit.auth_event_log.attempt_id IS 'Connect attempt that it belongs to.';
COMMENT ON COLUMN audit.auth_event_log.error_code IS
  'error as the authorization server named it (RFC 6749 5.2), or our own word.';
COMMENT ON COLUMN audit.auth_event_log.detail IS
  'Of a renewal: before_expires_at, before_refresh_expires_at, after_expires_at, after_refresh_expires_at, rotated_refresh, duration_ms, error_class, http_status, sent (whether the request may have arrived), error (one sentence), idp_error_code.';
ALTER TABLE audit.auth_event_log ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit.auth_event_log FORCE ROW LEVEL SECURITY;
CREATE POLICY owner_all ON audit.auth_event_log TO tollgate_owner USING (true) WITH CHECK (true);
CREATE POLICY app_inserts ON audit.auth_event_log FOR INSERT TO tollgate_app
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
-- The admin API lists the events of its own tenant.
CREATE POLICY app_reads ON audit.auth_event_log FOR SELECT TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY reader_tenants ON audit.auth_event_log FOR SELECT TO audit_reader
  USING (tenant_id IN (SELECT r.tenant_id FROM audit.reader_roles r));
CREATE POLICY reader_platform ON audit.auth_event_log FOR SELECT TO audit_reader
  USING (EXISTS (SELECT FROM audit.reader_roles r WHERE r.tenant_id IS NULL));
GRANT SELECT, INSERT ON audit.auth_event_log TO tollgate_app;
GRANT SELECT ON audit.auth_event_log TO audit_reader;

-- Its columns are a contract: add at the end, never rename, reorder or remove.
CREATE VIEW audit.auth_events WITH (security_invoker = true) AS
SELECT at, tenant, type, connection, subject, actor, error_code, detail, attempt_id, event_id,
       tenant_id, connection_id
FROM audit.auth_event_log;
COMMENT ON VIEW audit.auth_events IS
  'What happened to upstream OAuth grants: connected, renewed, refused, disconnected; one row each.';
DO $$
DECLARE
  col record;
BEGIN
  FOR col IN
    SELECT v.attname, col_description(t.attrelid, t.attnum) AS comment
    FROM pg_attribute v
    JOIN pg_attribute t ON t.attrelid = 'audit.auth_event_log'::regclass AND t.attname = v.attname
    WHERE v.attrelid = 'audit.auth_events'::regclass AND v.attnum > 0
  LOOP
    EXECUTE format('COMMENT ON COLUMN audit.auth_events.%I IS %L', col.attname, col.comment);
  END LOOP;
END $$;
GRANT SELECT ON audit.auth_events TO audit_reader;

-- Renewal across tenants ------------------------------------------------------------------------

-- The inner LIMIT bounds the sort by server. A server in p_not has enough to do or does not answer;
-- its grants stand in nobody's way. Servers go by their token endpoint: an issuer is what a tenant
-- says, and must not tell what becomes of another tenant's grants.
CREATE FUNCTION tollgate.take_due_grants(p_owner uuid, p_lease interval, p_grace interval,
                                         p_limit int, p_per_server int, p_not text[])
RETURNS SETOF tollgate.grants
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH ripe AS (
    SELECT g.tenant_id, g.connection_id, g.subject, g.next_refresh_at,
           row_number() OVER (PARTITION BY g.token_url
                              ORDER BY g.next_refresh_at) AS n
    FROM (SELECT * FROM tollgate.grants d
          WHERE d.state = 'active' AND d.next_refresh_at <= clock_timestamp()
            AND (d.lease_until IS NULL OR d.lease_until < clock_timestamp())
            AND (d.sent_at IS NULL OR d.sent_at < clock_timestamp() - p_grace)
            AND d.token_url <> ALL (p_not)
          ORDER BY d.next_refresh_at LIMIT 32 * p_limit) g
  ), mine AS (
    SELECT g.tenant_id, g.connection_id, g.subject
    FROM tollgate.grants g
    JOIN ripe USING (tenant_id, connection_id, subject)
    WHERE ripe.n <= p_per_server
      AND g.state = 'active' AND g.next_refresh_at <= clock_timestamp()
      AND (g.lease_until IS NULL OR g.lease_until < clock_timestamp())
      AND (g.sent_at IS NULL OR g.sent_at < clock_timestamp() - p_grace)
    ORDER BY ripe.next_refresh_at LIMIT p_limit
    FOR UPDATE OF g SKIP LOCKED
  )
  UPDATE tollgate.grants g
  SET lease_owner = p_owner, lease_until = clock_timestamp() + p_lease,
      lease_number = g.lease_number + 1, lost_at = coalesce(g.lost_at, g.sent_at), sent_at = NULL
  FROM mine
  WHERE (g.tenant_id, g.connection_id, g.subject)
      = (mine.tenant_id, mine.connection_id, mine.subject)
  RETURNING g.*
$$;
COMMENT ON FUNCTION tollgate.take_due_grants(uuid, interval, interval, int, int, text[]) IS
  'Leases grants of whatever tenant that are due to be renewed to a node, at most p_limit, of one token endpoint at most p_per_server and of those in p_not none; returns them.';

CREATE FUNCTION tollgate.changed_grants(p_tenants uuid[], p_connections uuid[], p_subjects text[],
                                        p_versions bigint[], p_states text[])
RETURNS TABLE (n bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT a.n
  FROM unnest(p_tenants, p_connections, p_subjects, p_versions, p_states) WITH ORDINALITY
    AS a (tenant_id, connection_id, subject, version, state, n)
  LEFT JOIN tollgate.grants g USING (tenant_id, connection_id, subject)
  WHERE (g.version, g.state) IS DISTINCT FROM (a.version, a.state)
$$;
COMMENT ON FUNCTION tollgate.changed_grants(uuid[], uuid[], text[], bigint[], text[]) IS
  'Of the grants that a node has in memory, of whatever tenants, the numbers (from 1) of those that are another version or state by now, or gone.';

CREATE FUNCTION tollgate.release_grants(p_owner uuid)
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH released AS (
    UPDATE tollgate.grants g
    SET lease_owner = NULL, lease_until = NULL, lost_at = coalesce(g.lost_at, g.sent_at),
        sent_at = NULL
    WHERE g.lease_owner = p_owner RETURNING 1)
  SELECT count(*) FROM released
$$;
COMMENT ON FUNCTION tollgate.release_grants(uuid) IS
  'Gives back every lease of a node that has died and whose answers have been stored; returns how many.';

-- Triggers --------------------------------------------------------------------------------------

-- A channel of its own, for nobody need compare configurations, and the whole key, for a node has
-- thousands of others in memory. It says nothing secret and, as any role can send one, decides
-- nothing.
CREATE FUNCTION tollgate.on_grant_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
DECLARE
  changed tollgate.grants := coalesce(NEW, OLD);
BEGIN
  PERFORM pg_notify('tollgate_grants',
                    format('%s %s %s %s %s', changed.tenant_id, changed.connection_id,
                           changed.version, CASE TG_OP WHEN 'DELETE' THEN 'gone'
                                            ELSE changed.state END, changed.subject));
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_grant_change() IS
  'Trigger: tells the nodes that a grant has changed, or may be renewed by another one now.';

-- Runs with the cascade, as the owner. The names are those of the last event: their rows are gone.
CREATE FUNCTION tollgate.on_grant_end()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  INSERT INTO audit.auth_event_log (tenant_id, tenant, type, connection_id, connection, subject,
                                    actor)
  SELECT OLD.tenant_id, last.tenant, 'token_deleted_admin', OLD.connection_id, last.connection,
         OLD.subject, 'system:cascade'
  FROM (SELECT 1) one
  LEFT JOIN LATERAL (
    SELECT e.tenant, e.connection FROM audit.auth_event_log e
    WHERE e.tenant_id = OLD.tenant_id AND e.connection_id = OLD.connection_id
    ORDER BY e.at DESC LIMIT 1) last ON true;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_grant_end() IS
  'Trigger: the end of a grant, with its connection, user or tenant, is recorded.';

CREATE TRIGGER notify_added AFTER INSERT OR DELETE ON tollgate.grants FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_grant_change();
CREATE TRIGGER notify_changed AFTER UPDATE ON tollgate.grants FOR EACH ROW
  WHEN ((OLD.version, OLD.state) IS DISTINCT FROM (NEW.version, NEW.state)
        OR (OLD.lease_until IS NOT NULL AND NEW.lease_until IS NULL))
  EXECUTE FUNCTION tollgate.on_grant_change();
CREATE TRIGGER record_end AFTER DELETE ON tollgate.grants FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_grant_end();

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tollgate, audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  tollgate.take_due_grants(uuid, interval, interval, int, int, text[]),
  tollgate.changed_grants(uuid[], uuid[], text[], bigint[], text[]),
  tollgate.release_grants(uuid)
TO tollgate_app;
