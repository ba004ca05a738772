-- SPDX-License-Identifier: Apache-2.0
-- Tenants, and who may act for them: users and API keys; the data keys that seal their secrets.
--
-- Policies ask nullif(current_setting('app.tenant', true), '')::uuid: never set gives NULL, and a
-- pooled connection gives '' after its first transaction; both mean no rows.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE tollgate.tenants (
  id uuid PRIMARY KEY CHECK (id <> '00000000-0000-0000-0000-000000000000'),
  name text NOT NULL UNIQUE
    CHECK (name ~ '^[a-z0-9]+([_-][a-z0-9]+)*$' AND char_length(name) <= 32),
  enabled boolean NOT NULL DEFAULT true,
  egress jsonb NOT NULL DEFAULT '{"allow":[]}' CHECK (jsonb_typeof(egress) = 'object'),
  config_version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE tollgate.tenants IS
  'One row per tenant. The runtime role reads its own row; it lists, makes, changes and deletes tenants through definer functions, because those act across tenants.';
COMMENT ON COLUMN tollgate.tenants.id IS
  'Random UUID. Never the nil UUID, which means "no tenant" in the audit tables.';
COMMENT ON COLUMN tollgate.tenants.name IS
  'Unique name as in URLs: lower-case letters and digits in groups joined by single - or _, at most 32.';
COMMENT ON COLUMN tollgate.tenants.enabled IS 'False: every key of the tenant is refused.';
COMMENT ON COLUMN tollgate.tenants.egress IS
  'Exceptions from the address policy, set by platform administrators: {"allow":["host:port"]}.';
COMMENT ON COLUMN tollgate.tenants.config_version IS
  'Rises with every change of what nodes hold in memory about the tenant; they poll it behind NOTIFY.';
COMMENT ON COLUMN tollgate.tenants.created_at IS 'When the tenant was made.';
COMMENT ON COLUMN tollgate.tenants.updated_at IS 'Last change of name, enabled or egress.';
ALTER TABLE tollgate.tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.tenants TO tollgate_app
  USING (id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.tenants TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT ON tollgate.tenants TO tollgate_app;

CREATE TABLE tollgate.data_keys (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  dek_id bigint NOT NULL CHECK (dek_id > 0),
  kek_id bigint NOT NULL CHECK (kek_id BETWEEN 0 AND 4294967295),
  wrapped bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, dek_id)
);
COMMENT ON TABLE tollgate.data_keys IS
  'Data keys that seal a tenant''s secrets, each wrapped by a key of the keyring outside the database. The highest dek_id seals; all open. Deleting the rows shreds the secrets.';
COMMENT ON COLUMN tollgate.data_keys.tenant_id IS 'The tenant whose secrets it seals.';
COMMENT ON COLUMN tollgate.data_keys.dek_id IS 'Number of the key within the tenant, from 1.';
COMMENT ON COLUMN tollgate.data_keys.kek_id IS 'Key of the keyring that wraps it; 32 bits.';
COMMENT ON COLUMN tollgate.data_keys.wrapped IS 'The data key, sealed with that key.';
COMMENT ON COLUMN tollgate.data_keys.created_at IS 'When the key was made.';
ALTER TABLE tollgate.data_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.data_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.data_keys TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.data_keys TO tollgate_owner USING (true) WITH CHECK (true);
-- No DELETE: only the end of the tenant shreds.
GRANT SELECT, INSERT, UPDATE ON tollgate.data_keys TO tollgate_app;

CREATE TABLE tollgate.users (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  email text CHECK (char_length(email) BETWEEN 1 AND 320),
  role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin')),
  enabled boolean NOT NULL DEFAULT true,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  version bigint NOT NULL DEFAULT 1,
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
COMMENT ON TABLE tollgate.users IS 'People of a tenant.';
COMMENT ON COLUMN tollgate.users.tenant_id IS 'Tenant of the user.';
COMMENT ON COLUMN tollgate.users.id IS 'Random UUID; stable when the name changes.';
COMMENT ON COLUMN tollgate.users.name IS 'Name shown and recorded; unique within the tenant.';
COMMENT ON COLUMN tollgate.users.email IS 'Mail address, if known.';
COMMENT ON COLUMN tollgate.users.role IS 'user, or admin of the tenant.';
COMMENT ON COLUMN tollgate.users.enabled IS 'False: every key of the user is refused.';
COMMENT ON COLUMN tollgate.users.created_at IS 'When the user was added.';
COMMENT ON COLUMN tollgate.users.updated_at IS 'Last change of the row.';
COMMENT ON COLUMN tollgate.users.version IS 'Rises with each edit; what If-Match compares.';
ALTER TABLE tollgate.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.users FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.users TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.users TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.users TO tollgate_app;

CREATE TABLE tollgate.api_keys (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  key_id text NOT NULL UNIQUE CHECK (key_id ~ '^[A-Za-z0-9]{12}$'),
  name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
  user_id uuid,
  role text NOT NULL DEFAULT 'user' CHECK (role IN ('user', 'admin', 'platform')),
  secret_mac bytea NOT NULL CHECK (octet_length(secret_mac) = 32),
  expires_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL DEFAULT '',
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name),
  FOREIGN KEY (tenant_id, user_id) REFERENCES tollgate.users (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX api_keys_user ON tollgate.api_keys (tenant_id, user_id);
COMMENT ON TABLE tollgate.api_keys IS
  'API keys. The secret itself is nowhere: a row made without the pepper, which is outside the database, opens nothing.';
COMMENT ON COLUMN tollgate.api_keys.tenant_id IS 'Tenant that the key acts in.';
COMMENT ON COLUMN tollgate.api_keys.id IS 'Random UUID, the id in the admin API.';
COMMENT ON COLUMN tollgate.api_keys.key_id IS
  'Public part of the key, 12 characters: what lookup goes by and the audit records show.';
COMMENT ON COLUMN tollgate.api_keys.name IS 'What its maker called it; unique within the tenant.';
COMMENT ON COLUMN tollgate.api_keys.user_id IS 'The user it acts for; NULL: a service key.';
COMMENT ON COLUMN tollgate.api_keys.role IS
  'Most that the key may do: user, admin of the tenant, or platform (all tenants).';
COMMENT ON COLUMN tollgate.api_keys.secret_mac IS 'HMAC-SHA256 of the secret under the pepper.';
COMMENT ON COLUMN tollgate.api_keys.expires_at IS 'Refused from then on; NULL: never expires.';
COMMENT ON COLUMN tollgate.api_keys.created_at IS 'When the key was made.';
COMMENT ON COLUMN tollgate.api_keys.created_by IS 'Who made it, as text at that time.';
ALTER TABLE tollgate.api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.api_keys TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.api_keys TO tollgate_owner USING (true) WITH CHECK (true);
-- No UPDATE: a key is made and deleted, never turned into another.
GRANT SELECT, INSERT, DELETE ON tollgate.api_keys TO tollgate_app;
