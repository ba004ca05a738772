-- SPDX-License-Identifier: Apache-2.0
-- How much of a call is kept, per connection; payloads, sealed, apart.

SET LOCAL ROLE tollgate_owner;
