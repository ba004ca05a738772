-- SPDX-License-Identifier: Apache-2.0
-- The views, functions and roles that SQL users work with.

SET LOCAL ROLE tollgate_owner;
