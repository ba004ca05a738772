-- SPDX-License-Identifier: Apache-2.0
-- What becomes of grants when the settings that they were granted for change.

SET LOCAL ROLE tollgate_owner;

-- A token must not go to a host that nobody has agreed to send it to. With client_credentials nobody
-- has to agree, but the grant has a client and a secret of its own, and goes on with the old ones.
-- Whoever renews the grant at this moment has its lease taken, so that the answer is not stored.
CREATE FUNCTION tollgate.on_connection_regrant()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
DECLARE
  kept boolean := tollgate.keeps_grants(OLD, NEW);
BEGIN
  WITH ended AS (
    UPDATE tollgate.grants g
    SET state = 'needs_reauth', last_error = 'the settings of the connection have changed',
        last_error_at = now(), next_refresh_at = NULL, lease_owner = NULL, lease_until = NULL,
        lease_number = g.lease_number + 1, sent_at = NULL, lost_at = NULL
    WHERE g.tenant_id = NEW.tenant_id AND g.connection_id = NEW.id AND g.state = 'active'
      AND (NOT kept OR g.kind = 'client_credentials')
    RETURNING g.subject)
  INSERT INTO audit.auth_event_log
    (tenant_id, tenant, type, connection_id, connection, subject, actor)
  SELECT NEW.tenant_id, t.name, 'settings_changed', NEW.id, NEW.name, e.subject, 'system:edit'
  FROM ended e LEFT JOIN tollgate.tenants t ON t.id = NEW.tenant_id;
  UPDATE tollgate.connect_attempts a
  SET state = 'failed', error_code = 'expired',
      error_text = 'the settings of the connection have changed', finished_at = now(),
      state_hash = NULL, verifier = NULL, client_secret = NULL, held = NULL
  WHERE NOT kept AND a.tenant_id = NEW.tenant_id AND a.connection_id = NEW.id
    AND a.state IN ('open', 'pending');
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_connection_regrant() IS
  'Trigger: grants, and attempts to get one, do not outlive the settings that they were for.';

CREATE TRIGGER regrant AFTER UPDATE ON tollgate.connections FOR EACH ROW
  WHEN (NEW.auth_mode = 'oauth' AND OLD.settings_version <> NEW.settings_version)
  EXECUTE FUNCTION tollgate.on_connection_regrant();

REVOKE EXECUTE ON FUNCTION tollgate.on_connection_regrant() FROM PUBLIC;
COMMENT ON COLUMN audit.auth_event_log.type IS
  'What happened: connect_started, connect_completed, connect_failed, token_ingested, acquired, refresh_succeeded, refresh_failed_transient, refresh_failed_client (our registration is refused), refresh_failed_revoked, refresh_lost (the answer never arrived and the server takes the old token no more), refresh_skipped_no_token, refresh_skipped_expired, refresh_rotation_persistence_failed (an answer came too late to be stored), settings_changed (it was for other settings of the connection), disconnected, revocation_succeeded, revocation_failed, token_deleted_admin (with its connection or user).';
COMMENT ON COLUMN audit.auth_events.type IS
  'What happened: connect_started, connect_completed, connect_failed, token_ingested, acquired, refresh_succeeded, refresh_failed_transient, refresh_failed_client (our registration is refused), refresh_failed_revoked, refresh_lost (the answer never arrived and the server takes the old token no more), refresh_skipped_no_token, refresh_skipped_expired, refresh_rotation_persistence_failed (an answer came too late to be stored), settings_changed (it was for other settings of the connection), disconnected, revocation_succeeded, revocation_failed, token_deleted_admin (with its connection or user).';
COMMENT ON COLUMN audit.auth_event_log.actor IS
  'Who did it: user:<name>, key:<name>, system:tool-call, system:background-refresh, system:cascade, system:edit.';
COMMENT ON COLUMN audit.auth_events.actor IS
  'Who did it: user:<name>, key:<name>, system:tool-call, system:background-refresh, system:cascade, system:edit.';
