-- SPDX-License-Identifier: Apache-2.0
-- Legacy sessions of clients, what they cancelled, and the nodes that serve them.

SET LOCAL ROLE tollgate_owner;

CREATE TABLE tollgate.mcp_sessions (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  id_hash bytea NOT NULL CHECK (octet_length(id_hash) = 32),
  principal text NOT NULL CHECK (principal <> ''),
  endpoint text NOT NULL DEFAULT '',
  protocol_version text NOT NULL,
  client_name text,
  client_version text,
  client_capabilities text,
  log_level text,
  list_hash bytea CHECK (octet_length(list_hash) = 32),
  stream bigint CHECK (stream > 0),
  created_at timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  PRIMARY KEY (tenant_id, id_hash)
);
CREATE INDEX mcp_sessions_expiry ON tollgate.mcp_sessions (expires_at);
COMMENT ON TABLE tollgate.mcp_sessions IS
  'Sessions of legacy clients: any node serves any of them. Bound to their principal and endpoint.';
COMMENT ON COLUMN tollgate.mcp_sessions.tenant_id IS 'Tenant of the principal.';
COMMENT ON COLUMN tollgate.mcp_sessions.id_hash IS
  'SHA-256 of the session id: the id itself is a secret of the client.';
COMMENT ON COLUMN tollgate.mcp_sessions.principal IS 'Stable key of the user or service key.';
COMMENT ON COLUMN tollgate.mcp_sessions.endpoint IS
  'Name of the connection for a single-connection endpoint; empty: the aggregate.';
COMMENT ON COLUMN tollgate.mcp_sessions.protocol_version IS 'Version agreed at initialize.';
COMMENT ON COLUMN tollgate.mcp_sessions.client_name IS 'clientInfo.name.';
COMMENT ON COLUMN tollgate.mcp_sessions.client_version IS 'clientInfo.version.';
COMMENT ON COLUMN tollgate.mcp_sessions.client_capabilities IS
  'capabilities of initialize, the bytes as received.';
COMMENT ON COLUMN tollgate.mcp_sessions.log_level IS
  'Level of logging/setLevel; NULL: never set.';
COMMENT ON COLUMN tollgate.mcp_sessions.list_hash IS
  'SHA-256 of the tool list that the client was last given or told of; NULL: of none yet. Who changes it tells the client.';
COMMENT ON COLUMN tollgate.mcp_sessions.stream IS
  'Random number of the GET stream on which the client is told of changes: the one it opened last; NULL: never any.';
COMMENT ON COLUMN tollgate.mcp_sessions.created_at IS 'When it was initialized.';
COMMENT ON COLUMN tollgate.mcp_sessions.last_seen_at IS 'Last use, to within a minute or so.';
COMMENT ON COLUMN tollgate.mcp_sessions.expires_at IS
  'Unknown from then on; tollgate.sweep_sessions deletes it.';
ALTER TABLE tollgate.mcp_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.mcp_sessions FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.mcp_sessions TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.mcp_sessions TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.mcp_sessions TO tollgate_app;

CREATE TABLE tollgate.cancellations (
  tenant_id uuid NOT NULL REFERENCES tollgate.tenants (id) ON DELETE CASCADE,
  key bytea NOT NULL CHECK (octet_length(key) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant_id, key)
);
COMMENT ON TABLE tollgate.cancellations IS
  'Requests that legacy clients cancelled over a connection to another node than the one they run in. The node that runs one takes its row; what nobody takes within a minute is swept.';
COMMENT ON COLUMN tollgate.cancellations.tenant_id IS 'Tenant of the session.';
COMMENT ON COLUMN tollgate.cancellations.key IS
  'SHA-256 that stands for the principal, the session and the request id, which has no limit of its own.';
COMMENT ON COLUMN tollgate.cancellations.created_at IS
  'When it was last cancelled: a request that started later is another one with the same id.';
ALTER TABLE tollgate.cancellations ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.cancellations FORCE ROW LEVEL SECURITY;
CREATE POLICY app_tenant ON tollgate.cancellations TO tollgate_app
  USING (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid)
  WITH CHECK (tenant_id = nullif(current_setting('app.tenant', true), '')::uuid);
CREATE POLICY owner_all ON tollgate.cancellations TO tollgate_owner USING (true) WITH CHECK (true);
-- Rows are taken and swept by functions only.
GRANT SELECT, INSERT, UPDATE ON tollgate.cancellations TO tollgate_app;

CREATE TABLE tollgate.nodes (
  id uuid PRIMARY KEY,
  host text NOT NULL,
  pid int NOT NULL,
  slot int NOT NULL,
  version text NOT NULL,
  home uuid NOT NULL DEFAULT gen_random_uuid(),
  started_at timestamptz NOT NULL DEFAULT now(),
  heartbeat_at timestamptz NOT NULL DEFAULT now(),
  lease_until timestamptz,
  UNIQUE (home, slot)
);
COMMENT ON TABLE tollgate.nodes IS
  'Workers that serve, on this machine and others. Belongs to no tenant.';
COMMENT ON COLUMN tollgate.nodes.id IS 'Random UUID, new at each start of a worker.';
COMMENT ON COLUMN tollgate.nodes.host IS 'Machine it runs on.';
COMMENT ON COLUMN tollgate.nodes.pid IS 'Its process on that machine.';
COMMENT ON COLUMN tollgate.nodes.slot IS 'Which worker of its supervisor it is, from 0.';
COMMENT ON COLUMN tollgate.nodes.version IS 'Version of the program.';
COMMENT ON COLUMN tollgate.nodes.home IS
  'Data directory that it serves from: the next worker in the same slot of it follows a dead one.';
COMMENT ON COLUMN tollgate.nodes.started_at IS 'When it started.';
COMMENT ON COLUMN tollgate.nodes.heartbeat_at IS 'When it last said that it lives.';
COMMENT ON COLUMN tollgate.nodes.lease_until IS
  'Until when it watches the connections that name it; then any node may take them. NULL: it watches none.';
ALTER TABLE tollgate.nodes ENABLE ROW LEVEL SECURITY;
ALTER TABLE tollgate.nodes FORCE ROW LEVEL SECURITY;
CREATE POLICY app_all ON tollgate.nodes TO tollgate_app USING (true) WITH CHECK (true);
CREATE POLICY owner_all ON tollgate.nodes TO tollgate_owner USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE, DELETE ON tollgate.nodes TO tollgate_app;
