-- SPDX-License-Identifier: Apache-2.0
-- Which authorization server the client of a connection's settings is for.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE tollgate.client_issuers (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  issuer text NOT NULL CHECK (issuer <> ''),
  bound_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, connection_id),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE tollgate.client_issuers IS
  'Of connections whose settings name a client and no server: the authorization server that the client was first used at. An upstream that names another later does not get to see the client''s secret.';
COMMENT ON COLUMN tollgate.client_issuers.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.client_issuers.connection_id IS 'The connection whose client it is.';
COMMENT ON COLUMN tollgate.client_issuers.issuer IS
  'Issuer of the authorization server, as the upstream named it.';
COMMENT ON COLUMN tollgate.client_issuers.bound_at IS 'When the client was first used there.';
ALTER TABLE tollgate.client_issuers ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.client_issuers FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.client_issuers TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.client_issuers
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, DELETE ON tollgate.client_issuers TO tollgate_app;

-- Whoever may edit it has said for which server the client is: by its address, its name, or by
-- bringing another client. Nothing else that is edited is about that.
CREATE FUNCTION tollgate.on_client_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  DELETE FROM tollgate.client_issuers b
  WHERE b.tenant_id = NEW.tenant_id AND b.connection_id = NEW.id;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_client_change() IS
  'Trigger: a connection with another client, or for another server, has not used it anywhere yet.';

CREATE TRIGGER unbind_client AFTER UPDATE ON tollgate.connections FOR EACH ROW
  WHEN (lower(substring(OLD.url FROM '^[^/?#]*//[^/?#]*'))
          IS DISTINCT FROM lower(substring(NEW.url FROM '^[^/?#]*//[^/?#]*'))
        OR (OLD.oauth ->> 'client_id', OLD.oauth ->> 'issuer', OLD.oauth ->> 'token_url')
          IS DISTINCT FROM
           (NEW.oauth ->> 'client_id', NEW.oauth ->> 'issuer', NEW.oauth ->> 'token_url'))
  EXECUTE FUNCTION tollgate.on_client_change();

REVOKE EXECUTE ON FUNCTION tollgate.on_client_change() FROM PUBLIC;
