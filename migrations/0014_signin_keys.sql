-- SPDX-License-Identifier: Apache-2.0
-- What a key signed in at a browser ends with the key, by a code as by its own text.

SET LOCAL ROLE tollgate_owner;

ALTER TABLE tollgate.signin_codes
  ADD COLUMN api_key_id uuid,
  ADD FOREIGN KEY (tenant_id, api_key_id)
    REFERENCES tollgate.api_keys (tenant_id, id) ON DELETE CASCADE;
CREATE INDEX signin_codes_key ON tollgate.signin_codes (tenant_id, api_key_id);
COMMENT ON COLUMN tollgate.signin_codes.api_key_id IS
  'Key that it was made with, and whose end neither it nor its session outlives; NULL: no key made it.';
COMMENT ON COLUMN tollgate.browser_sessions.api_key_id IS
  'Key that it was signed in with, or that made the code for it, and whose end it does not outlive; NULL: a code that no key made.';

CREATE OR REPLACE FUNCTION tollgate.sign_in_by_code(p_code_hash bytea, p_token_hash bytea,
                                                    p_lifetime interval)
RETURNS TABLE (tenant_name text, user_name text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH used AS (
    DELETE FROM tollgate.signin_codes c WHERE c.code_hash = p_code_hash
    RETURNING c.tenant_id, c.user_id, c.api_key_id, c.expires_at),
  whose AS (
    SELECT u.tenant_id, u.id, used.api_key_id, t.name AS tenant_name, u.name AS user_name,
           CASE k.role WHEN 'user' THEN 'user' ELSE u.role END AS role,
           least(now() + p_lifetime, k.expires_at) AS ends_at
    FROM used
    JOIN tollgate.tenants t ON t.id = used.tenant_id AND t.enabled
    JOIN tollgate.users u ON u.tenant_id = used.tenant_id AND u.id = used.user_id AND u.enabled
    LEFT JOIN tollgate.api_keys k ON k.tenant_id = used.tenant_id AND k.id = used.api_key_id
    WHERE used.expires_at > now() AND coalesce(k.expires_at, 'infinity') > now()),
  made AS (
    INSERT INTO tollgate.browser_sessions (tenant_id, token_hash, user_id, api_key_id, role,
                                           expires_at)
    SELECT w.tenant_id, p_token_hash, w.id, w.api_key_id, w.role, w.ends_at FROM whose w)
  SELECT w.tenant_name, w.user_name FROM whose w
$$;
