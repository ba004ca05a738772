-- SPDX-License-Identifier: Apache-2.0
-- Connecting accounts in the browser: attempts, the sessions of browsers, and the codes that a
-- browser signs in with.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE tollgate.connect_attempts (
  tenant_id uuid NOT NULL,
  id uuid NOT NULL,
  connection_id uuid NOT NULL,
  subject text NOT NULL,
  principal text NOT NULL CHECK (principal ~ '^(user|key):[0-9a-f-]{36}$'),
  user_name text NOT NULL CHECK (user_name <> ''),
  scope text,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'pending', 'connected', 'failed')),
  error_code text
    CHECK (error_code IN ('denied', 'expired', 'state_mismatch', 'wrong_user', 'provider_error',
                          'token_exchange_failed', 'missing_scope', 'registration_refused',
                          'network', 'account_mismatch')),
  error_text text,
  settings_version bigint,
  server jsonb CHECK (jsonb_typeof(server) = 'object'),
  client_id text,
  client_auth text CHECK (client_auth IN ('none', 'basic', 'basic_raw', 'post', 'private_key_jwt')),
  client_secret bytea,
  redirect_uri text,
  resource text,
  asked_scope text,
  tries int NOT NULL DEFAULT 0 CHECK (tries >= 0),
  state_hash bytea UNIQUE CHECK (octet_length(state_hash) = 32),
  verifier bytea,
  browser_hash bytea CHECK (octet_length(browser_hash) = 32),
  browser_user uuid,
  returned_at timestamptz,
  held bytea,
  account text,
  tools_count int CHECK (tools_count >= 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  finished_at timestamptz,
  PRIMARY KEY (tenant_id, id),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE,
  CHECK ((state = 'failed') = (error_code IS NOT NULL)),
  CHECK ((state IN ('connected', 'failed')) = (finished_at IS NOT NULL)),
  CHECK (state_hash IS NULL
         OR (state = 'pending' AND verifier IS NOT NULL AND browser_hash IS NOT NULL
             AND browser_user IS NOT NULL AND server IS NOT NULL AND client_id IS NOT NULL))
);
CREATE INDEX connect_attempts_kind
  ON tollgate.connect_attempts (tenant_id, connection_id, subject, created_at);
CREATE INDEX connect_attempts_expiry ON tollgate.connect_attempts (expires_at);
COMMENT ON TABLE tollgate.connect_attempts IS
  'One row for each time that somebody is to connect an account to a connection in the browser. Lives ten minutes; what became of it can be read for a day.';
COMMENT ON COLUMN tollgate.connect_attempts.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.connect_attempts.id IS
  'Random UUID; stands in the link and on error pages. No secret: who follows the link has to sign in.';
COMMENT ON COLUMN tollgate.connect_attempts.connection_id IS 'What is to be connected.';
COMMENT ON COLUMN tollgate.connect_attempts.subject IS
  'Whose grant it will be: empty is one for all, user:<id> that user''s.';
COMMENT ON COLUMN tollgate.connect_attempts.principal IS
  'Who asked for it, user:<id> or key:<id>. A user has to be in the browser in person; for a service key any administrator of the tenant may.';
COMMENT ON COLUMN tollgate.connect_attempts.user_name IS 'Name of that user or service key.';
COMMENT ON COLUMN tollgate.connect_attempts.scope IS
  'Scope that a challenge of the upstream demanded beside what is granted; NULL: none did.';
COMMENT ON COLUMN tollgate.connect_attempts.state IS
  'open: nobody has agreed to it yet; pending: the browser was sent to the authorization server, or is to choose between two accounts; connected; failed: error_code says why.';
COMMENT ON COLUMN tollgate.connect_attempts.error_code IS
  'Why it failed, in words that do not change; docs/connect.md explains each.';
COMMENT ON COLUMN tollgate.connect_attempts.error_text IS
  'The same as one sentence for people, without a secret; NULL: the code says it all.';
COMMENT ON COLUMN tollgate.connect_attempts.settings_version IS
  'settings_version of the connection that server was found out with: after an edit it is found out again.';
COMMENT ON COLUMN tollgate.connect_attempts.server IS
  'The authorization server as it was shown to the user: issuer, endpoints and what it can. What comes later is checked against this and never looked up again.';
COMMENT ON COLUMN tollgate.connect_attempts.client_id IS 'Who we are at that server.';
COMMENT ON COLUMN tollgate.connect_attempts.client_auth IS 'How we show that.';
COMMENT ON COLUMN tollgate.connect_attempts.client_secret IS
  'Secret or key of the client, sealed; opens with this row''s id and tries only. Gone when the attempt ends.';
COMMENT ON COLUMN tollgate.connect_attempts.redirect_uri IS
  'Where the server sends the browser back to: one address per issuer.';
COMMENT ON COLUMN tollgate.connect_attempts.resource IS
  'Resource that the token is for (RFC 8707); NULL: not sent.';
COMMENT ON COLUMN tollgate.connect_attempts.asked_scope IS 'Scope that was asked for; NULL: none.';
COMMENT ON COLUMN tollgate.connect_attempts.tries IS
  'How often the user agreed. Each time has a state and a verifier of its own; older ones are void.';
COMMENT ON COLUMN tollgate.connect_attempts.state_hash IS
  'SHA-256 of the state that is out; NULL: none is. Taken once, by tollgate.take_connect_state.';
COMMENT ON COLUMN tollgate.connect_attempts.verifier IS
  'PKCE verifier, sealed; opens with this row''s id and tries only. Gone when the attempt ends.';
COMMENT ON COLUMN tollgate.connect_attempts.browser_hash IS
  'SHA-256 of the cookie of the browser in which the user agreed.';
COMMENT ON COLUMN tollgate.connect_attempts.browser_user IS
  'The user who agreed and who has to come back.';
COMMENT ON COLUMN tollgate.connect_attempts.returned_at IS
  'When the server sent the browser back; NULL: not yet.';
COMMENT ON COLUMN tollgate.connect_attempts.held IS
  'Tokens of another account than the connected one, sealed, until the user has chosen; opens with this row''s id and tries only. NULL: there is no choice.';
COMMENT ON COLUMN tollgate.connect_attempts.account IS
  'Who signed in at the server, if it says so.';
COMMENT ON COLUMN tollgate.connect_attempts.tools_count IS
  'How many tools the upstream listed with the new token; NULL: not connected.';
COMMENT ON COLUMN tollgate.connect_attempts.created_at IS 'When it was asked for.';
COMMENT ON COLUMN tollgate.connect_attempts.expires_at IS 'Void from then on, unless connected.';
COMMENT ON COLUMN tollgate.connect_attempts.finished_at IS 'When it was connected or failed.';
ALTER TABLE tollgate.connect_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.connect_attempts FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.connect_attempts TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.connect_attempts
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON tollgate.connect_attempts TO tollgate_app;

CREATE TABLE tollgate.browser_sessions (
  tenant_id uuid NOT NULL,
  token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
  user_id uuid NOT NULL,
  api_key_id uuid,
  role text NOT NULL CHECK (role IN ('user', 'admin')),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, token_hash),
  FOREIGN KEY (tenant_id, user_id) REFERENCES tollgate.users (tenant_id, id) ON DELETE CASCADE,
  FOREIGN KEY (tenant_id, api_key_id)
    REFERENCES tollgate.api_keys (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX browser_sessions_user ON tollgate.browser_sessions (tenant_id, user_id);
CREATE INDEX browser_sessions_key ON tollgate.browser_sessions (tenant_id, api_key_id);
CREATE INDEX browser_sessions_expiry ON tollgate.browser_sessions (expires_at);
COMMENT ON TABLE tollgate.browser_sessions IS
  'Browsers that users are signed in with. One that is not used for half an hour is void, whatever expires_at says.';
COMMENT ON COLUMN tollgate.browser_sessions.tenant_id IS 'Tenant of the user.';
COMMENT ON COLUMN tollgate.browser_sessions.token_hash IS
  'SHA-256 of the cookie: the cookie itself is a secret of the browser.';
COMMENT ON COLUMN tollgate.browser_sessions.user_id IS 'Who is signed in.';
COMMENT ON COLUMN tollgate.browser_sessions.api_key_id IS
  'Key that it was signed in with, and whose end it does not outlive; NULL: a one-time code.';
COMMENT ON COLUMN tollgate.browser_sessions.role IS
  'Most that it may do: user, or admin of the tenant; never more than the user may.';
COMMENT ON COLUMN tollgate.browser_sessions.created_at IS 'When the user signed in.';
COMMENT ON COLUMN tollgate.browser_sessions.last_used_at IS 'Last use, to within a minute.';
COMMENT ON COLUMN tollgate.browser_sessions.expires_at IS
  'Void from then on, however much it is used: 12 hours, or the end of its key.';
ALTER TABLE tollgate.browser_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.browser_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.browser_sessions TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.browser_sessions
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON tollgate.browser_sessions TO tollgate_app;

CREATE TABLE tollgate.signin_codes (
  tenant_id uuid NOT NULL,
  code_hash bytea NOT NULL UNIQUE CHECK (octet_length(code_hash) = 32),
  user_id uuid NOT NULL,
  created_by text NOT NULL DEFAULT '',
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, code_hash),
  FOREIGN KEY (tenant_id, user_id) REFERENCES tollgate.users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX signin_codes_user ON tollgate.signin_codes (tenant_id, user_id);
CREATE INDEX signin_codes_expiry ON tollgate.signin_codes (expires_at);
COMMENT ON TABLE tollgate.signin_codes IS
  'One-time codes that a browser signs in with. Whoever uses one deletes it.';
COMMENT ON COLUMN tollgate.signin_codes.tenant_id IS 'Tenant of the user.';
COMMENT ON COLUMN tollgate.signin_codes.code_hash IS 'SHA-256 of the code.';
COMMENT ON COLUMN tollgate.signin_codes.user_id IS 'Who it signs in.';
COMMENT ON COLUMN tollgate.signin_codes.created_by IS 'Name of the user or key that made it.';
COMMENT ON COLUMN tollgate.signin_codes.created_at IS 'When it was made.';
COMMENT ON COLUMN tollgate.signin_codes.expires_at IS 'Void from then on: ten minutes.';
ALTER TABLE tollgate.signin_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.signin_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.signin_codes TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.signin_codes TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON tollgate.signin_codes TO tollgate_app;

-- Across tenants ---------------------------------------------------------------------------------
-- A browser shows a cookie, a code or a state, and no tenant.

-- One statement finds the state and voids it: of any number of answers with it one is read.
CREATE FUNCTION tollgate.take_connect_state(p_state_hash bytea)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  UPDATE tollgate.connect_attempts a SET state_hash = NULL, returned_at = now()
  WHERE a.state_hash = p_state_hash
  RETURNING a.tenant_id, a.id
$$;
COMMENT ON FUNCTION tollgate.take_connect_state(bytea) IS
  'The attempt, of whatever tenant and however old, whose state this is, once: afterwards the state is void.';

CREATE FUNCTION tollgate.sweep_connect()
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH old_attempts AS (
    SELECT a.tenant_id, a.id FROM tollgate.connect_attempts a
    WHERE a.expires_at < now() - interval '1 day' FOR UPDATE SKIP LOCKED),
  attempts AS (
    DELETE FROM tollgate.connect_attempts a USING old_attempts o
    WHERE a.tenant_id = o.tenant_id AND a.id = o.id RETURNING 1),
  -- An answer that came in time may still be worked on for a moment.
  late_attempts AS (
    SELECT a.tenant_id, a.id FROM tollgate.connect_attempts a
    WHERE a.state IN ('open', 'pending') AND a.expires_at < now() - interval '2 minutes'
      AND a.expires_at >= now() - interval '1 day' FOR UPDATE SKIP LOCKED),
  late AS (
    UPDATE tollgate.connect_attempts a
    SET state = 'failed', error_code = 'expired', finished_at = now(), state_hash = NULL,
        verifier = NULL, client_secret = NULL, held = NULL
    FROM late_attempts o WHERE a.tenant_id = o.tenant_id AND a.id = o.id RETURNING 1),
  old_sessions AS (
    SELECT s.token_hash FROM tollgate.browser_sessions s
    WHERE s.expires_at <= now() OR s.last_used_at < now() - interval '1 hour'
    FOR UPDATE SKIP LOCKED),
  sessions AS (
    DELETE FROM tollgate.browser_sessions s USING old_sessions o
    WHERE s.token_hash = o.token_hash RETURNING 1),
  old_codes AS (
    SELECT c.code_hash FROM tollgate.signin_codes c WHERE c.expires_at <= now()
    FOR UPDATE SKIP LOCKED),
  codes AS (
    DELETE FROM tollgate.signin_codes c USING old_codes o
    WHERE c.code_hash = o.code_hash RETURNING 1)
  SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM late)
       + (SELECT count(*) FROM sessions) + (SELECT count(*) FROM codes)
$$;
COMMENT ON FUNCTION tollgate.sweep_connect() IS
  'Of every tenant: ends attempts that expired, which drops their secrets, deletes them a day later, and deletes void browser sessions and sign-in codes; returns how many rows.';

CREATE FUNCTION tollgate.find_signin_code(p_code_hash bytea)
RETURNS TABLE (tenant_name text, user_name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT t.name, u.name
  FROM tollgate.signin_codes c
  JOIN tollgate.tenants t ON t.id = c.tenant_id AND t.enabled
  JOIN tollgate.users u ON u.tenant_id = c.tenant_id AND u.id = c.user_id AND u.enabled
  WHERE c.code_hash = p_code_hash AND c.expires_at > now()
$$;
COMMENT ON FUNCTION tollgate.find_signin_code(bytea) IS
  'Whom the code would sign in, so that a page can say so; does not use it.';

CREATE FUNCTION tollgate.sign_in_by_code(p_code_hash bytea, p_token_hash bytea,
                                         p_lifetime interval)
RETURNS TABLE (tenant_name text, user_name text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH used AS (
    DELETE FROM tollgate.signin_codes c WHERE c.code_hash = p_code_hash
    RETURNING c.tenant_id, c.user_id, c.expires_at),
  whose AS (
    SELECT u.tenant_id, u.id, u.role, t.name AS tenant_name, u.name AS user_name
    FROM used
    JOIN tollgate.tenants t ON t.id = used.tenant_id AND t.enabled
    JOIN tollgate.users u ON u.tenant_id = used.tenant_id AND u.id = used.user_id AND u.enabled
    WHERE used.expires_at > now()),
  made AS (
    INSERT INTO tollgate.browser_sessions (tenant_id, token_hash, user_id, role, expires_at)
    SELECT w.tenant_id, p_token_hash, w.id, w.role, now() + p_lifetime FROM whose w)
  SELECT w.tenant_name, w.user_name FROM whose w
$$;
COMMENT ON FUNCTION tollgate.sign_in_by_code(bytea, bytea, interval) IS
  'Uses a code up and makes the session of its user; returns who that is. No row: the code is not, or no longer, good for anything.';

-- The row is written at most once a minute.
CREATE FUNCTION tollgate.use_browser_session(p_token_hash bytea, p_idle interval)
RETURNS TABLE (tenant_id uuid, tenant_name text, user_id uuid, user_name text, user_role text,
               role text, api_key_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH touched AS (
    UPDATE tollgate.browser_sessions s SET last_used_at = now()
    WHERE s.token_hash = p_token_hash AND s.expires_at > now()
      AND s.last_used_at BETWEEN now() - p_idle AND now() - interval '1 minute')
  SELECT s.tenant_id, t.name, u.id, u.name, u.role, s.role, s.api_key_id
  FROM tollgate.browser_sessions s
  JOIN tollgate.tenants t ON t.id = s.tenant_id AND t.enabled
  JOIN tollgate.users u ON u.tenant_id = s.tenant_id AND u.id = s.user_id AND u.enabled
  WHERE s.token_hash = p_token_hash AND s.expires_at > now() AND s.last_used_at >= now() - p_idle
$$;
COMMENT ON FUNCTION tollgate.use_browser_session(bytea, interval) IS
  'Who is signed in with this cookie, of whatever tenant; counts as a use. No row: nobody is.';

CREATE FUNCTION tollgate.end_browser_session(p_token_hash bytea)
RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  DELETE FROM tollgate.browser_sessions s WHERE s.token_hash = p_token_hash
$$;
COMMENT ON FUNCTION tollgate.end_browser_session(bytea) IS
  'Signs the browser with this cookie out.';

REVOKE EXECUTE ON FUNCTION
  tollgate.take_connect_state(bytea), tollgate.sweep_connect(),
  tollgate.find_signin_code(bytea), tollgate.sign_in_by_code(bytea, bytea, interval),
  tollgate.use_browser_session(bytea, interval), tollgate.end_browser_session(bytea)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  tollgate.take_connect_state(bytea), tollgate.sweep_connect(),
  tollgate.find_signin_code(bytea), tollgate.sign_in_by_code(bytea, bytea, interval),
  tollgate.use_browser_session(bytea, interval), tollgate.end_browser_session(bytea)
TO tollgate_app;
