-- SPDX-License-Identifier: Apache-2.0
-- What the admin API reads of the record.

SET LOCAL ROLE tollgate_owner;
