-- SPDX-License-Identifier: Apache-2.0
-- Connections to upstream MCP servers, and what the nodes found out about them.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE tollgate.connections (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  id uuid NOT NULL,
  name text NOT NULL
    CHECK (name ~ '^[a-z0-9]+([_-][a-z0-9]+)*$' AND char_length(name) <= 32
           AND position('__' IN name) = 0),
  description text NOT NULL DEFAULT '',
  enabled boolean NOT NULL DEFAULT true,
  transport text NOT NULL DEFAULT 'streamable-http' CHECK (transport IN ('streamable-http')),
  url text NOT NULL CHECK (url <> ''),
  era text NOT NULL DEFAULT 'auto' CHECK (era IN ('auto', 'legacy', 'modern')),
  auth_mode text NOT NULL DEFAULT 'none'
    CHECK (auth_mode IN ('none', 'bearer', 'api_key', 'oauth')),
  auth_header text,
  credential bytea,
  headers bytea,
  header_names text[] NOT NULL DEFAULT '{}',
  connect_timeout_ms bigint NOT NULL DEFAULT 10000 CHECK (connect_timeout_ms > 0),
  call_timeout_ms bigint NOT NULL DEFAULT 60000 CHECK (call_timeout_ms > 0),
  session_scope text NOT NULL DEFAULT 'shared'
    CHECK (session_scope IN ('shared', 'principal', 'client')),
  trust_level text NOT NULL DEFAULT 'untrusted' CHECK (trust_level IN ('trusted', 'untrusted')),
  tools_allow text[] NOT NULL DEFAULT '{*}',
  tools_deny text[] NOT NULL DEFAULT '{}',
  version bigint NOT NULL DEFAULT 1,
  settings_version bigint NOT NULL DEFAULT 1,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, id),
  UNIQUE (tenant_id, name)
);
COMMENT ON TABLE tollgate.connections IS 'Upstream MCP servers of a tenant, and how to reach them.';
COMMENT ON COLUMN tollgate.connections.tenant_id IS 'Tenant that owns the connection.';
COMMENT ON COLUMN tollgate.connections.id IS 'Random UUID; stable when the name changes.';
COMMENT ON COLUMN tollgate.connections.name IS
  'Prefix of its tools and part of URLs: lower-case letters and digits in groups joined by single - or _, at most 32.';
COMMENT ON COLUMN tollgate.connections.description IS 'For people.';
COMMENT ON COLUMN tollgate.connections.enabled IS 'False: its tools are hidden and not callable.';
COMMENT ON COLUMN tollgate.connections.transport IS 'How it is spoken to: streamable-http.';
COMMENT ON COLUMN tollgate.connections.url IS 'Endpoint of the upstream server.';
COMMENT ON COLUMN tollgate.connections.era IS
  'Protocol era to speak: auto finds out, legacy is up to 2025-11-25, modern is 2026-07-28.';
COMMENT ON COLUMN tollgate.connections.auth_mode IS 'How the gateway authenticates to it.';
COMMENT ON COLUMN tollgate.connections.auth_header IS 'Header that carries the credential of api_key.';
COMMENT ON COLUMN tollgate.connections.credential IS
  'Sealed secret of bearer and api_key; opens with this row''s id and version only.';
COMMENT ON COLUMN tollgate.connections.headers IS
  'Sealed JSON object of extra headers; opens with this row''s id and version only.';
COMMENT ON COLUMN tollgate.connections.header_names IS
  'Names of the extra headers, so that they can be shown without opening them.';
COMMENT ON COLUMN tollgate.connections.connect_timeout_ms IS
  'Longest wait for a connection, milliseconds.';
COMMENT ON COLUMN tollgate.connections.call_timeout_ms IS 'Longest call, milliseconds.';
COMMENT ON COLUMN tollgate.connections.session_scope IS
  'Who uses one session of a legacy upstream: all (shared), one user or key (principal), one client session (client).';
COMMENT ON COLUMN tollgate.connections.trust_level IS
  'trusted or untrusted. Stored only: it has no effect yet.';
COMMENT ON COLUMN tollgate.connections.tools_allow IS
  'Globs (* only) of tools that may be listed and called.';
COMMENT ON COLUMN tollgate.connections.tools_deny IS 'Globs taken away from tools_allow.';
COMMENT ON COLUMN tollgate.connections.version IS
  'Rises with each edit; what If-Match compares, and part of what the sealed columns are bound to.';
COMMENT ON COLUMN tollgate.connections.settings_version IS
  'version of the last edit of what reaches the upstream: address, era, credential, headers, timeouts. Who may use it is no part of that.';
COMMENT ON COLUMN tollgate.connections.created_at IS 'When the connection was added.';
COMMENT ON COLUMN tollgate.connections.updated_at IS 'Last change of the row.';
ALTER TABLE tollgate.connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.connections FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.connections TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.connections TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.connections TO tollgate_app;

CREATE TABLE tollgate.serving_connections (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  transport text NOT NULL,
  url text NOT NULL,
  era text NOT NULL,
  auth_mode text NOT NULL,
  auth_header text,
  credential bytea,
  headers bytea,
  connect_timeout_ms bigint NOT NULL,
  call_timeout_ms bigint NOT NULL,
  version bigint NOT NULL,
  settings_version bigint NOT NULL,
  since timestamptz NOT NULL DEFAULT now(),
  trial_error text,
  trial_error_at timestamptz,
  trial_retry_at timestamptz,
  PRIMARY KEY (tenant_id, connection_id),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE tollgate.serving_connections IS
  'While an edit is tried out: what the connection was before, which serves until the new settings have listed their tools. The row goes then, and when the connection is disabled or deleted.';
COMMENT ON COLUMN tollgate.serving_connections.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.serving_connections.connection_id IS
  'The connection; in tollgate.connections stand its new settings.';
COMMENT ON COLUMN tollgate.serving_connections.transport IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.url IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.era IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.auth_mode IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.auth_header IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.credential IS
  'As it serves, sealed; opens with the connection''s id and this row''s version only.';
COMMENT ON COLUMN tollgate.serving_connections.headers IS
  'As they serve, sealed; open with the connection''s id and this row''s version only.';
COMMENT ON COLUMN tollgate.serving_connections.connect_timeout_ms IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.call_timeout_ms IS 'As it serves.';
COMMENT ON COLUMN tollgate.serving_connections.version IS
  'Version that the row in tollgate.connections had.';
COMMENT ON COLUMN tollgate.serving_connections.settings_version IS
  'settings_version that the row in tollgate.connections had.';
COMMENT ON COLUMN tollgate.serving_connections.since IS 'When it was edited.';
COMMENT ON COLUMN tollgate.serving_connections.trial_error IS
  'Why the new settings could not be listed, one sentence; NULL: not tried yet.';
COMMENT ON COLUMN tollgate.serving_connections.trial_error_at IS 'When that was.';
COMMENT ON COLUMN tollgate.serving_connections.trial_retry_at IS 'When they are tried again.';
ALTER TABLE tollgate.serving_connections ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.serving_connections FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.serving_connections TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.serving_connections
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.serving_connections TO tollgate_app;

CREATE TABLE tollgate.catalogs (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  credential_identity text NOT NULL DEFAULT '',
  capabilities text NOT NULL DEFAULT '',
  era text NOT NULL CHECK (era IN ('legacy', 'modern')),
  protocol_version text NOT NULL,
  server_name text,
  server_version text,
  instructions text,
  tools text NOT NULL,
  tools_count int NOT NULL CHECK (tools_count >= 0),
  hash bytea NOT NULL,
  fetched_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, connection_id, credential_identity, capabilities),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE tollgate.catalogs IS
  'What an upstream offered when it was last listed: written by the node that watches the connection, read by all.';
COMMENT ON COLUMN tollgate.catalogs.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.catalogs.connection_id IS 'The connection that was listed.';
COMMENT ON COLUMN tollgate.catalogs.credential_identity IS
  'Whose credential was used; empty: the connection''s own.';
COMMENT ON COLUMN tollgate.catalogs.capabilities IS
  'Client capabilities that were declared for it; empty: the gateway''s own.';
COMMENT ON COLUMN tollgate.catalogs.era IS 'Era the upstream was found to speak.';
COMMENT ON COLUMN tollgate.catalogs.protocol_version IS 'Protocol version agreed with it.';
COMMENT ON COLUMN tollgate.catalogs.server_name IS 'Name the server gave itself.';
COMMENT ON COLUMN tollgate.catalogs.server_version IS 'Version the server gave itself.';
COMMENT ON COLUMN tollgate.catalogs.instructions IS 'Instructions of the server for models.';
COMMENT ON COLUMN tollgate.catalogs.tools IS
  'JSON array of its tools, all pages, byte for byte as received: text, because jsonb would change numbers and key order.';
COMMENT ON COLUMN tollgate.catalogs.tools_count IS 'Number of elements in tools.';
COMMENT ON COLUMN tollgate.catalogs.hash IS 'Digest of the above by which a change is noticed.';
COMMENT ON COLUMN tollgate.catalogs.fetched_at IS
  'When it was last listed. A change of this column alone tells nobody.';
ALTER TABLE tollgate.catalogs ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.catalogs FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.catalogs TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.catalogs TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.catalogs TO tollgate_app;

CREATE TABLE tollgate.connection_status (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  state text NOT NULL DEFAULT 'unknown'
    CHECK (state IN ('unknown', 'ok', 'degraded', 'unreachable', 'auth_failed', 'invalid',
                     'disabled')),
  era text CHECK (era IN ('legacy', 'modern')),
  tools_count int CHECK (tools_count >= 0),
  last_success timestamptz,
  last_error text,
  last_error_at timestamptz,
  next_retry_at timestamptz,
  settings_version bigint,
  calls_failed_at timestamptz,
  probed_at timestamptz,
  refresh_wanted bigint NOT NULL DEFAULT 0,
  refresh_done bigint NOT NULL DEFAULT 0,
  lease_node uuid,
  lease_number bigint NOT NULL DEFAULT 0,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, connection_id),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE
);
COMMENT ON TABLE tollgate.connection_status IS
  'Health of each connection, and the lease of the one node that watches it. Each connection has a row from its first day.';
COMMENT ON COLUMN tollgate.connection_status.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.connection_status.connection_id IS 'The connection.';
COMMENT ON COLUMN tollgate.connection_status.state IS
  'unknown (not tried yet), ok, degraded, unreachable, auth_failed, invalid (the row cannot be used), disabled.';
COMMENT ON COLUMN tollgate.connection_status.era IS 'Era the upstream was found to speak.';
COMMENT ON COLUMN tollgate.connection_status.tools_count IS 'Tools it offered when last listed.';
COMMENT ON COLUMN tollgate.connection_status.last_success IS 'Last time it answered as it should.';
COMMENT ON COLUMN tollgate.connection_status.last_error IS 'Why it last failed, one sentence.';
COMMENT ON COLUMN tollgate.connection_status.last_error_at IS 'When it last failed.';
COMMENT ON COLUMN tollgate.connection_status.next_retry_at IS 'When the watching node tries again.';
COMMENT ON COLUMN tollgate.connection_status.settings_version IS
  'settings_version of the connection that the state tells of; NULL: of none yet.';
COMMENT ON COLUMN tollgate.connection_status.calls_failed_at IS
  'When calls last failed in a row; NULL: they have succeeded since.';
COMMENT ON COLUMN tollgate.connection_status.probed_at IS
  'When a call was last let through to see whether a failing upstream is back: one a second, of all nodes.';
COMMENT ON COLUMN tollgate.connection_status.refresh_wanted IS
  'How often somebody has asked for it to be listed at once.';
COMMENT ON COLUMN tollgate.connection_status.refresh_done IS
  'Up to which of these it has been listed.';
COMMENT ON COLUMN tollgate.connection_status.lease_node IS
  'Node that watches the connection, as long as the lease in its row of tollgate.nodes runs.';
COMMENT ON COLUMN tollgate.connection_status.lease_number IS
  'Rises with each new holder: what a holder writes demands that the number is still its own.';
COMMENT ON COLUMN tollgate.connection_status.updated_at IS 'Last change of the row.';
ALTER TABLE tollgate.connection_status ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.connection_status FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.connection_status TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.connection_status
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.connection_status TO tollgate_app;

CREATE TABLE tollgate.upstream_sessions (
  tenant_id uuid NOT NULL,
  connection_id uuid NOT NULL,
  scope text NOT NULL DEFAULT '',
  settings_version bigint NOT NULL,
  session_id text,
  protocol_version text,
  log_level text,
  lease uuid,
  lease_until timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, connection_id, scope),
  CHECK (num_nulls(session_id, lease) = 1),
  CHECK (num_nulls(session_id, protocol_version) IN (0, 2)),
  CHECK (num_nulls(lease, lease_until) IN (0, 2)),
  FOREIGN KEY (tenant_id, connection_id)
    REFERENCES tollgate.connections (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX upstream_sessions_scope ON tollgate.upstream_sessions (tenant_id, scope);
CREATE INDEX upstream_sessions_expiry ON tollgate.upstream_sessions (expires_at);
COMMENT ON TABLE tollgate.upstream_sessions IS
  'Sessions of legacy upstreams, used by every node; and the lease of the one node that opens one.';
COMMENT ON COLUMN tollgate.upstream_sessions.tenant_id IS 'Tenant of the connection.';
COMMENT ON COLUMN tollgate.upstream_sessions.connection_id IS 'The connection.';
COMMENT ON COLUMN tollgate.upstream_sessions.scope IS
  'Whose session it is: empty is all of the tenant, user:<id> or key:<id> a principal, session:<hex of id_hash> a session of mcp_sessions.';
COMMENT ON COLUMN tollgate.upstream_sessions.settings_version IS
  'settings_version of the connection that it was opened with: under another one it is not used.';
COMMENT ON COLUMN tollgate.upstream_sessions.session_id IS
  'Mcp-Session-Id of the upstream; NULL while it is being opened.';
COMMENT ON COLUMN tollgate.upstream_sessions.protocol_version IS 'Version agreed in it.';
COMMENT ON COLUMN tollgate.upstream_sessions.log_level IS
  'Logging level last set in it; NULL: never set.';
COMMENT ON COLUMN tollgate.upstream_sessions.lease IS
  'Names the opening that is under way; NULL: none is.';
COMMENT ON COLUMN tollgate.upstream_sessions.lease_until IS
  'Until when that may take; then any node may open it.';
COMMENT ON COLUMN tollgate.upstream_sessions.created_at IS 'When its opening began.';
COMMENT ON COLUMN tollgate.upstream_sessions.expires_at IS
  'Not used from then on; tollgate.take_ended_upstream_sessions deletes it. Use moves it.';
ALTER TABLE tollgate.upstream_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.upstream_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.upstream_sessions TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.upstream_sessions
  TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.upstream_sessions TO tollgate_app;
