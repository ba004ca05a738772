-- SPDX-License-Identifier: Apache-2.0
-- Which keys of the keyring each node has: a key may wrap once all have it, and go once none wraps
-- with it.

SET LOCAL ROLE tollgate_owner;

ALTER TABLE tollgate.nodes
  ADD COLUMN key_ids bigint[] NOT NULL DEFAULT '{}',
  ADD COLUMN primary_key_id bigint;
COMMENT ON COLUMN tollgate.nodes.key_ids IS
  'Ids of the keys in the keyring that it has in memory; empty for a program of before this column.';
COMMENT ON COLUMN tollgate.nodes.primary_key_id IS
  'The one of these that it wraps data keys with; NULL like the empty list.';
