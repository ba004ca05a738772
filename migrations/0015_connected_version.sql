-- SPDX-License-Identifier: Apache-2.0
-- A session of a legacy upstream goes on only with what was granted to the account that opened it.

SET LOCAL ROLE tollgate_owner;

ALTER TABLE tollgate.grants ADD COLUMN connected_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN tollgate.grants.connected_version IS
  'version that it was last connected with: renewals keep it, another sign-in or other tokens change it.';

ALTER TABLE tollgate.upstream_sessions ADD COLUMN connected_version bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN tollgate.upstream_sessions.connected_version IS
  'connected_version of the grant whose token opened it: with another one it is not used; 0: no grant.';
