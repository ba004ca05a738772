-- SPDX-License-Identifier: Apache-2.0
-- A connection that nobody has connected an account for is neither down nor refused.

SET LOCAL ROLE tollgate_owner;

ALTER TABLE tollgate.connection_status
  DROP CONSTRAINT connection_status_state_check,
  ADD CONSTRAINT connection_status_state_check
    CHECK (state IN ('unknown', 'ok', 'degraded', 'unreachable', 'auth_failed', 'needs_auth',
                     'invalid', 'disabled'));
COMMENT ON COLUMN tollgate.connection_status.state IS
  'unknown (not tried yet), ok, degraded, unreachable, auth_failed, needs_auth (no account is connected that its tools could be listed with), invalid (the row cannot be used), disabled.';
