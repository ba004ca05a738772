-- SPDX-License-Identifier: Apache-2.0
-- The record of changes is sealed as that of grants is.

SET LOCAL ROLE tollgate_owner;

SELECT audit.seal_event_log('admin', 'admin_event_log');
