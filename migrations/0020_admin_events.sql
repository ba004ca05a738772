-- SPDX-License-Identifier: Apache-2.0
-- Who changed what: before and after, redacted.

SET LOCAL ROLE tollgate_owner;
