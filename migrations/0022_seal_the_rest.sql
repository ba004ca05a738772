-- SPDX-License-Identifier: Apache-2.0
-- The record of changes is sealed as that of grants is, and partitions of payloads are dropped as
-- those of calls are. A verifier reads payloads only to compare their digests.

SET LOCAL ROLE tollgate_owner;

SELECT audit.seal_event_log('admin', 'admin_event_log');

INSERT INTO audit.retention (log, retention_class) VALUES ('call_payloads', 'standard');
CREATE POLICY app_seals ON audit.call_payloads FOR SELECT TO tollgate_app
  USING (current_setting('app.audit_scope', true) = 'seals');

-- What comments of before say no more.
COMMENT ON COLUMN tollgate.connections.trust_level IS
  'trusted or untrusted: whether it is sent the baggage of traces. Nothing else depends on it yet.';
COMMENT ON TABLE audit.call_log IS
  'One row per call, or per flood of refused ones: n_calls. Read it through audit.calls.';
COMMENT ON VIEW audit.calls IS
  'Start here: every call that passed the gate or was refused at it, one row each. Floods of refused ones are merged: count with sum(n_calls).';
