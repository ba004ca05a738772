-- SPDX-License-Identifier: Apache-2.0
-- Connections of auth mode oauth: how their tokens are got.

SET LOCAL ROLE tollgate_owner;

ALTER TABLE tollgate.connections
  ADD COLUMN oauth jsonb,
  ADD COLUMN oauth_secret bytea,
  ADD CHECK ((auth_mode = 'oauth') = (oauth IS NOT NULL)),
  ADD CHECK (jsonb_typeof(oauth) = 'object'),
  ADD CHECK (oauth_secret IS NULL OR oauth IS NOT NULL);
COMMENT ON COLUMN tollgate.connections.oauth IS
  'How tokens are got, as the API shows it but for the client secret; NULL unless auth_mode is oauth.';
COMMENT ON COLUMN tollgate.connections.oauth_secret IS
  'Sealed client secret or PEM key of the client_id in oauth; opens with this row''s id and version only.';

ALTER TABLE tollgate.serving_connections
  ADD COLUMN oauth jsonb,
  ADD COLUMN oauth_secret bytea,
  ADD CHECK ((auth_mode = 'oauth') = (oauth IS NOT NULL)),
  ADD CHECK (jsonb_typeof(oauth) = 'object'),
  ADD CHECK (oauth_secret IS NULL OR oauth IS NOT NULL);
COMMENT ON COLUMN tollgate.serving_connections.oauth IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.oauth_secret IS
  'As it serves, sealed; opens with the connection''s id and this row''s version only.';

-- An origin is what stands before the path. It is compared as it was written but for case: of two
-- spellings of one origin the worst is that somebody has to connect once more.
CREATE FUNCTION tollgate.keeps_grants(p_old tollgate.connections, p_new tollgate.connections)
RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT p_old.auth_mode = 'oauth' AND p_new.auth_mode = 'oauth'
     AND lower(substring(p_old.url FROM '^[^/?#]*//[^/?#]*'))
         IS NOT DISTINCT FROM lower(substring(p_new.url FROM '^[^/?#]*//[^/?#]*'))
     AND p_old.oauth - '{scope,authorize_params}'::text[]
         IS NOT DISTINCT FROM p_new.oauth - '{scope,authorize_params}'::text[]
$$;
COMMENT ON FUNCTION tollgate.keeps_grants(tollgate.connections, tollgate.connections) IS
  'Whether what was granted for a connection as it was may be used with it as it is: the upstream has the same origin, and authorization server, client, grant, audience and whose the grants are have not changed.';

CREATE OR REPLACE FUNCTION tollgate.on_connection_edit()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  IF (OLD.transport, OLD.url, OLD.era, OLD.auth_mode, OLD.auth_header, OLD.header_names,
      OLD.connect_timeout_ms, OLD.call_timeout_ms, OLD.oauth, OLD.oauth_secret IS NULL)
     IS DISTINCT FROM
     (NEW.transport, NEW.url, NEW.era, NEW.auth_mode, NEW.auth_header, NEW.header_names,
      NEW.connect_timeout_ms, NEW.call_timeout_ms, NEW.oauth, NEW.oauth_secret IS NULL) THEN
    NEW.settings_version := NEW.version;
  END IF;
  RETURN NEW;
END
$$;

-- Both share the connection's grants. If those of the new settings are not those of the old ones,
-- the old ones cannot go on serving: what is granted next would be sent to where they point.
CREATE OR REPLACE FUNCTION tollgate.on_connection_swap()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
DECLARE
  serving tollgate.serving_connections;
  serves bigint;
BEGIN
  SELECT * INTO serving FROM tollgate.serving_connections p
  WHERE p.tenant_id = OLD.tenant_id AND p.connection_id = OLD.id;
  serves := coalesce(serving.settings_version, OLD.settings_version);
  IF OLD.enabled AND NEW.enabled
     AND (NEW.auth_mode <> 'oauth' OR tollgate.keeps_grants(OLD, NEW)
          OR coalesce(serving.auth_mode, OLD.auth_mode) <> 'oauth')
     AND EXISTS (
       SELECT FROM tollgate.connection_status s
       JOIN tollgate.catalogs k USING (tenant_id, connection_id)
       WHERE s.tenant_id = OLD.tenant_id AND s.connection_id = OLD.id AND s.state = 'ok'
         AND s.settings_version = serves) THEN
    INSERT INTO tollgate.serving_connections AS p
      (tenant_id, connection_id, transport, url, era, auth_mode, auth_header, credential, headers,
       oauth, oauth_secret, connect_timeout_ms, call_timeout_ms, version, settings_version)
    VALUES
      (OLD.tenant_id, OLD.id, OLD.transport, OLD.url, OLD.era, OLD.auth_mode, OLD.auth_header,
       OLD.credential, OLD.headers, OLD.oauth, OLD.oauth_secret, OLD.connect_timeout_ms,
       OLD.call_timeout_ms, OLD.version, OLD.settings_version)
    -- What was tried out before never served.
    ON CONFLICT (tenant_id, connection_id) DO UPDATE
      SET since = now(), trial_error = NULL, trial_error_at = NULL, trial_retry_at = NULL;
  ELSE
    DELETE FROM tollgate.serving_connections p
    WHERE p.tenant_id = OLD.tenant_id AND p.connection_id = OLD.id;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_connection_swap() IS
  'Trigger: while new settings are tried out, the old ones serve, if they were well and share their grants; what is disabled serves nothing.';

REVOKE EXECUTE ON FUNCTION
  tollgate.keeps_grants(tollgate.connections, tollgate.connections) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  tollgate.keeps_grants(tollgate.connections, tollgate.connections) TO tollgate_app;
