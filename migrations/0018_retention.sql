-- SPDX-License-Identifier: Apache-2.0
-- Partitions are dropped through one function, which leaves a signed seal.

SET LOCAL ROLE tollgate_owner;
