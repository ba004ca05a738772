-- SPDX-License-Identifier: Apache-2.0
-- Every function: work across tenants for the runtime role, partitions of the audit log, triggers.
--
-- Here and nowhere else stand the SECURITY DEFINER functions. They run as tollgate_owner, whom the
-- policies let see every tenant, with a fixed search_path that ends in pg_temp (else the caller's
-- temporary tables would come first); EXECUTE is taken from PUBLIC and granted by name.

SET LOCAL ROLE tollgate_owner;

-- Keys ------------------------------------------------------------------------------------------

CREATE FUNCTION tollgate.find_key(p_key_id text)
RETURNS TABLE (tenant_id uuid, tenant_name text, tenant_enabled boolean, id uuid, name text,
               user_id uuid, user_name text, user_role text, user_enabled boolean, role text,
               secret_mac bytea, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT k.tenant_id, t.name, t.enabled, k.id, k.name, k.user_id, u.name, u.role, u.enabled, k.role,
         k.secret_mac, k.expires_at
  FROM tollgate.api_keys k
  JOIN tollgate.tenants t ON t.id = k.tenant_id
  LEFT JOIN tollgate.users u ON u.tenant_id = k.tenant_id AND u.id = k.user_id
  WHERE k.key_id = p_key_id
$$;
COMMENT ON FUNCTION tollgate.find_key(text) IS
  'The API key with this public id, of whatever tenant; user columns are NULL for a service key.';

-- Tenants ---------------------------------------------------------------------------------------
-- The runtime role may only read its own row of tenants, so that all that crosses tenants is here.

CREATE FUNCTION tollgate.config_versions()
RETURNS TABLE (tenant_id uuid, config_version bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT t.id, t.config_version FROM tollgate.tenants t
$$;
COMMENT ON FUNCTION tollgate.config_versions() IS
  'Configuration version of every tenant: what nodes poll behind NOTIFY.';

CREATE FUNCTION tollgate.list_tenants()
RETURNS TABLE (id uuid, name text, enabled boolean, egress jsonb, created_at timestamptz,
               config_version bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT t.id, t.name, t.enabled, t.egress, t.created_at, t.config_version
  FROM tollgate.tenants t ORDER BY t.name COLLATE "C"
$$;
COMMENT ON FUNCTION tollgate.list_tenants() IS 'All tenants by name.';

CREATE FUNCTION tollgate.find_tenant(p_name text)
RETURNS TABLE (id uuid, name text, enabled boolean, egress jsonb, created_at timestamptz,
               config_version bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT t.id, t.name, t.enabled, t.egress, t.created_at, t.config_version
  FROM tollgate.tenants t WHERE t.name = p_name
$$;
COMMENT ON FUNCTION tollgate.find_tenant(text) IS 'The tenant of this name, or no row.';

CREATE FUNCTION tollgate.create_tenant(p_id uuid, p_name text, p_enabled boolean DEFAULT true,
                                       p_egress jsonb DEFAULT '{"allow":[]}')
RETURNS TABLE (id uuid, name text, enabled boolean, egress jsonb, created_at timestamptz,
               config_version bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  INSERT INTO tollgate.tenants AS t (id, name, enabled, egress)
  VALUES (p_id, p_name, coalesce(p_enabled, true), coalesce(p_egress, '{"allow":[]}'))
  RETURNING t.id, t.name, t.enabled, t.egress, t.created_at, t.config_version
$$;
COMMENT ON FUNCTION tollgate.create_tenant(uuid, text, boolean, jsonb) IS
  'Makes a tenant and returns it; a name or id that exists is SQLSTATE 23505.';

CREATE FUNCTION tollgate.update_tenant(p_id uuid, p_name text, p_enabled boolean, p_egress jsonb,
                                       p_config_version bigint DEFAULT NULL)
RETURNS TABLE (id uuid, name text, enabled boolean, egress jsonb, created_at timestamptz,
               config_version bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  UPDATE tollgate.tenants t
  SET name = coalesce(p_name, t.name), enabled = coalesce(p_enabled, t.enabled),
      egress = coalesce(p_egress, t.egress)
  WHERE t.id = p_id AND t.config_version = coalesce(p_config_version, t.config_version)
  RETURNING t.id, t.name, t.enabled, t.egress, t.created_at, t.config_version
$$;
COMMENT ON FUNCTION tollgate.update_tenant(uuid, text, boolean, jsonb, bigint) IS
  'Changes a tenant and returns it; NULL keeps what is there. No row: no such tenant, or its config_version is not the one given.';

CREATE FUNCTION tollgate.delete_tenant(p_id uuid)
RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH gone AS (DELETE FROM tollgate.tenants t WHERE t.id = p_id RETURNING 1)
  SELECT EXISTS (SELECT FROM gone)
$$;
COMMENT ON FUNCTION tollgate.delete_tenant(uuid) IS
  'Deletes a tenant with all it owns, its data keys too; its audit records stay. False: no such tenant.';

-- Settings --------------------------------------------------------------------------------------

CREATE FUNCTION tollgate.setting(p_name text)
RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  SELECT s.value FROM tollgate.settings s WHERE s.name = p_name
$$;
COMMENT ON FUNCTION tollgate.setting(text) IS 'Value of a setting, or NULL.';

CREATE FUNCTION tollgate.put_setting(p_name text, p_value text)
RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  INSERT INTO tollgate.settings (name, value) VALUES (p_name, p_value) ON CONFLICT DO NOTHING;
  -- A statement of its own, so that it sees a row that another transaction put meanwhile.
  RETURN (SELECT s.value FROM tollgate.settings s WHERE s.name = p_name);
END
$$;
COMMENT ON FUNCTION tollgate.put_setting(text, text) IS
  'Writes a setting unless it exists; returns the value that holds, so two first starts agree.';

-- Sweeps ----------------------------------------------------------------------------------------

CREATE FUNCTION tollgate.sweep_sessions()
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH gone AS (DELETE FROM tollgate.mcp_sessions s WHERE s.expires_at <= now() RETURNING 1)
  SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION tollgate.sweep_sessions() IS
  'Deletes the expired sessions of every tenant; returns how many.';

-- SKIP LOCKED: nodes sweep at the same time, and would wait for each other in different orders.
CREATE FUNCTION tollgate.sweep_cancellations()
RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH old AS (
    SELECT c.tenant_id, c.key FROM tollgate.cancellations c
    WHERE c.created_at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED),
  gone AS (
    DELETE FROM tollgate.cancellations c USING old
    WHERE c.tenant_id = old.tenant_id AND c.key = old.key RETURNING 1)
  SELECT count(*) FROM gone
$$;
COMMENT ON FUNCTION tollgate.sweep_cancellations() IS
  'Deletes the cancellations of every tenant that nobody took within a minute; returns how many.';

-- Cancellations ---------------------------------------------------------------------------------

-- Ages instead of times, because the clocks of the nodes are not this one. The second more is for
-- a cancel that overtook its request.
CREATE FUNCTION tollgate.take_cancellations(p_tenants uuid[], p_keys bytea[], p_ages_ms bigint[])
RETURNS TABLE (key bytea)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  DELETE FROM tollgate.cancellations c
  USING unnest(p_tenants, p_keys, p_ages_ms) AS running (tenant_id, key, age_ms)
  WHERE c.tenant_id = running.tenant_id AND c.key = running.key
    AND c.created_at >= now() - make_interval(secs => running.age_ms / 1000.0 + 1)
  RETURNING c.key
$$;
COMMENT ON FUNCTION tollgate.take_cancellations(uuid[], bytea[], bigint[]) IS
  'Of the requests that a node runs, of whatever tenants and each with its age, those that were cancelled; deletes their rows.';

CREATE FUNCTION tollgate.take_ended_upstream_sessions(p_limit int)
RETURNS TABLE (tenant_id uuid, connection_id uuid, settings_version bigint, session_id text,
               protocol_version text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
  WITH old AS (
    SELECT s.ctid FROM tollgate.upstream_sessions s
    WHERE s.expires_at <= now() AND (s.lease_until IS NULL OR s.lease_until <= now())
    LIMIT p_limit FOR UPDATE SKIP LOCKED
  ), gone AS (
    DELETE FROM tollgate.upstream_sessions s USING old WHERE s.ctid = old.ctid RETURNING s.*
  )
  SELECT g.tenant_id, g.connection_id, g.settings_version, g.session_id, g.protocol_version
  FROM gone g WHERE g.session_id IS NOT NULL
$$;
COMMENT ON FUNCTION tollgate.take_ended_upstream_sessions(int) IS
  'Deletes expired sessions of upstreams, of every tenant, and returns those that one has to end over there; each is given to one caller.';

-- Who watches which connection ------------------------------------------------------------------
-- A node renews one row, its own, however many connections it watches. Locks are taken in one order:
-- the advisory one, nodes, statuses.

CREATE FUNCTION tollgate.watch_connections(p_node uuid, p_lease interval, p_max bigint)
RETURNS TABLE (tenant_id uuid, connection_id uuid, lease_number bigint, refresh_wanted bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  claims boolean;
  share bigint;
BEGIN
  -- A lease that has run out may be about to be taken: that must be settled first.
  claims := NOT EXISTS (SELECT FROM tollgate.nodes n
                        WHERE n.id = p_node AND n.lease_until > clock_timestamp())
         OR EXISTS (SELECT FROM tollgate.connection_status s WHERE NOT EXISTS (
                      SELECT FROM tollgate.nodes n
                      WHERE n.id = s.lease_node AND n.lease_until > clock_timestamp()));
  IF claims THEN
    PERFORM pg_advisory_xact_lock(4935230119); -- the number is this function's own
  END IF;
  UPDATE tollgate.nodes n SET lease_until = clock_timestamp() + p_lease WHERE n.id = p_node;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  IF claims THEN
    -- Who renews at this moment, late, is waited for and seen.
    PERFORM FROM tollgate.nodes n WHERE n.lease_until <= clock_timestamp() FOR UPDATE;
    -- No node takes more than its part, so that all of them together take everything.
    SELECT least(ceil(count(*)::numeric
                      / (SELECT count(*) FROM tollgate.nodes n
                         WHERE n.lease_until > clock_timestamp())), p_max)
           - count(*) FILTER (WHERE s.lease_node = p_node)
      INTO share FROM tollgate.connection_status s;
    UPDATE tollgate.connection_status s
    SET lease_node = p_node, lease_number = s.lease_number + 1
    WHERE (s.tenant_id, s.connection_id) IN (
      SELECT f.tenant_id, f.connection_id FROM tollgate.connection_status f
      WHERE NOT EXISTS (SELECT FROM tollgate.nodes n
                        WHERE n.id = f.lease_node AND n.lease_until > clock_timestamp())
      ORDER BY f.tenant_id, f.connection_id LIMIT greatest(share, 0)
      FOR UPDATE OF f SKIP LOCKED);
  END IF;
  RETURN QUERY SELECT s.tenant_id, s.connection_id, s.lease_number, s.refresh_wanted
               FROM tollgate.connection_status s WHERE s.lease_node = p_node;
END
$$;
COMMENT ON FUNCTION tollgate.watch_connections(uuid, interval, bigint) IS
  'Renews the lease of a node, takes for it what nobody watches, up to its part and to p_max, and returns all that it watches. No row: it watches none, or is no node.';

-- Partitions of the audit log -------------------------------------------------------------------

CREATE FUNCTION audit.ensure_partitions(p_from date, p_to date)
RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, audit, pg_temp
AS $$
DECLARE
  max_days CONSTANT int := 400;
  parent name;
  part name;
  day timestamp;
  made int := 0;
BEGIN
  IF p_from IS NULL OR p_to IS NULL OR p_to < p_from OR p_to - p_from >= max_days THEN
    RAISE EXCEPTION 'ensure_partitions takes 1 to % days, not % to %', max_days, p_from, p_to
      USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Nodes ask at the same time; the number is this function's own.
  PERFORM pg_advisory_xact_lock(4935230118);
  FOR parent IN
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'audit.call_log'::regclass ORDER BY 1
  LOOP
    FOR day IN SELECT * FROM generate_series(p_from::timestamp, p_to::timestamp, '1 day') LOOP
      part := parent || to_char(day, '_YYYYMMDD');
      CONTINUE WHEN to_regclass(format('audit_parts.%I', part)) IS NOT NULL;
      -- Attached, not created as a partition: that would lock out every reader of call_log.
      EXECUTE format('CREATE TABLE audit_parts.%I (LIKE audit_parts.%I INCLUDING ALL)',
                     part, parent);
      EXECUTE format('COMMENT ON TABLE audit_parts.%I IS %L', part,
                     format('Calls of %s (UTC).', to_char(day, 'YYYY-MM-DD')));
      EXECUTE format('ALTER TABLE audit_parts.%I ENABLE ROW LEVEL SECURITY', part);
      EXECUTE format('ALTER TABLE audit_parts.%I FORCE ROW LEVEL SECURITY', part);
      EXECUTE format('CREATE POLICY owner_all ON audit_parts.%I TO tollgate_owner'
                     ' USING (true) WITH CHECK (true)', part);
      EXECUTE format('ALTER TABLE audit_parts.%I ATTACH PARTITION audit_parts.%I'
                     ' FOR VALUES FROM (%L) TO (%L)', parent, part,
                     to_char(day, 'YYYY-MM-DD 00:00:00+00'),
                     to_char(day + interval '1 day', 'YYYY-MM-DD 00:00:00+00'));
      made := made + 1;
    END LOOP;
  END LOOP;
  RETURN made;
END
$$;
COMMENT ON FUNCTION audit.ensure_partitions(date, date) IS
  'Makes the day partitions (UTC days, both ends included) that are missing in every retention class; returns how many.';

-- Triggers --------------------------------------------------------------------------------------
-- NOTIFY is a hint to re-read, config_version what nodes compare. One notification per tenant and
-- transaction: PostgreSQL drops duplicates.

CREATE FUNCTION tollgate.on_touch()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION tollgate.on_touch() IS 'Trigger: keeps updated_at.';

CREATE FUNCTION tollgate.on_tenant_edit()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  NEW.config_version := OLD.config_version + 1;
  NEW.updated_at := now();
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION tollgate.on_tenant_edit() IS
  'Trigger: an edit of the tenant itself raises its configuration version.';

CREATE FUNCTION tollgate.on_tenant_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('tollgate', coalesce(NEW.id, OLD.id)::text);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_tenant_change() IS 'Trigger: tells the nodes to re-read a tenant.';

CREATE FUNCTION tollgate.on_runtime_change()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('tollgate', coalesce(NEW.tenant_id, OLD.tenant_id)::text);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_runtime_change() IS
  'Trigger: tells the nodes to re-read a tenant whose configuration is unchanged.';

-- A channel of its own: nobody need compare versions for it.
CREATE FUNCTION tollgate.on_cancellation()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('tollgate_cancel', NEW.tenant_id::text);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_cancellation() IS
  'Trigger: tells the nodes to look for cancellations of the tenant''s requests that they run.';

CREATE FUNCTION tollgate.on_scope_end()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  UPDATE tollgate.upstream_sessions SET expires_at = now()
  WHERE tenant_id = OLD.tenant_id AND scope = CASE TG_TABLE_NAME
    WHEN 'mcp_sessions' THEN 'session:' || encode((to_jsonb(OLD)->>'id_hash')::bytea, 'hex')
    WHEN 'users' THEN 'user:' || (to_jsonb(OLD)->>'id')
    ELSE 'key:' || (to_jsonb(OLD)->>'id') END;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_scope_end() IS
  'Trigger: the sessions of upstreams that a client session, user or key had for itself expire with it.';

-- Definer, because the runtime role may not write tenants. It changes only config_version, on which
-- on_tenant_edit does not run: no recursion. When the tenant itself is being deleted, its row is
-- gone by now and the UPDATE finds nothing.
CREATE FUNCTION tollgate.on_config_change()
RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  UPDATE tollgate.tenants SET config_version = config_version + 1
  WHERE id = coalesce(NEW.tenant_id, OLD.tenant_id);
  PERFORM pg_notify('tollgate', coalesce(NEW.tenant_id, OLD.tenant_id)::text);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_config_change() IS
  'Trigger: raises the configuration version of the tenant and tells the nodes to re-read it.';

CREATE FUNCTION tollgate.on_node_leave()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  PERFORM pg_notify('tollgate', '');
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_node_leave() IS
  'Trigger: tells the nodes that what another one has watched is there to be taken.';

CREATE FUNCTION tollgate.on_connection_added()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  INSERT INTO tollgate.connection_status (tenant_id, connection_id) VALUES (NEW.tenant_id, NEW.id);
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_connection_added() IS 'Trigger: each connection has a status.';

-- The gateway raises settings_version itself when it writes a new secret, which cannot be seen here:
-- what is sealed is sealed anew with each edit.
CREATE FUNCTION tollgate.on_connection_edit()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
BEGIN
  IF (OLD.transport, OLD.url, OLD.era, OLD.auth_mode, OLD.auth_header, OLD.header_names,
      OLD.connect_timeout_ms, OLD.call_timeout_ms)
     IS DISTINCT FROM
     (NEW.transport, NEW.url, NEW.era, NEW.auth_mode, NEW.auth_header, NEW.header_names,
      NEW.connect_timeout_ms, NEW.call_timeout_ms) THEN
    NEW.settings_version := NEW.version;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION tollgate.on_connection_edit() IS
  'Trigger: an edit of what reaches the upstream raises settings_version.';

CREATE FUNCTION tollgate.on_connection_swap()
RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, tollgate, pg_temp
AS $$
DECLARE
  serves bigint := coalesce((SELECT p.settings_version FROM tollgate.serving_connections p
                             WHERE p.tenant_id = OLD.tenant_id AND p.connection_id = OLD.id),
                            OLD.settings_version);
BEGIN
  IF OLD.enabled AND NEW.enabled AND EXISTS (
       SELECT FROM tollgate.connection_status s
       JOIN tollgate.catalogs k USING (tenant_id, connection_id)
       WHERE s.tenant_id = OLD.tenant_id AND s.connection_id = OLD.id AND s.state = 'ok'
         AND s.settings_version = serves) THEN
    INSERT INTO tollgate.serving_connections AS p
      (tenant_id, connection_id, transport, url, era, auth_mode, auth_header, credential, headers,
       connect_timeout_ms, call_timeout_ms, version, settings_version)
    VALUES
      (OLD.tenant_id, OLD.id, OLD.transport, OLD.url, OLD.era, OLD.auth_mode, OLD.auth_header,
       OLD.credential, OLD.headers, OLD.connect_timeout_ms, OLD.call_timeout_ms, OLD.version,
       OLD.settings_version)
    -- What was tried out before never served.
    ON CONFLICT (tenant_id, connection_id) DO UPDATE
      SET since = now(), trial_error = NULL, trial_error_at = NULL, trial_retry_at = NULL;
  ELSE
    DELETE FROM tollgate.serving_connections p
    WHERE p.tenant_id = OLD.tenant_id AND p.connection_id = OLD.id;
  END IF;
  RETURN NULL;
END
$$;
COMMENT ON FUNCTION tollgate.on_connection_swap() IS
  'Trigger: while new settings are tried out, the old ones serve, if they were well; what is disabled serves nothing.';

CREATE TRIGGER edit BEFORE UPDATE ON tollgate.tenants FOR EACH ROW
  WHEN ((OLD.name, OLD.enabled, OLD.egress) IS DISTINCT FROM (NEW.name, NEW.enabled, NEW.egress))
  EXECUTE FUNCTION tollgate.on_tenant_edit();
CREATE TRIGGER notify AFTER INSERT OR UPDATE OR DELETE ON tollgate.tenants FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_tenant_change();

DO $$
DECLARE
  changed text;
BEGIN
  FOREACH changed IN ARRAY ARRAY['users', 'connections', 'connection_status'] LOOP
    EXECUTE format('CREATE TRIGGER touch BEFORE UPDATE ON tollgate.%I FOR EACH ROW'
                   ' WHEN (OLD.* IS DISTINCT FROM NEW.*)'
                   ' EXECUTE FUNCTION tollgate.on_touch()', changed);
  END LOOP;
  FOREACH changed IN ARRAY ARRAY['data_keys', 'users', 'api_keys', 'connections',
                                 'serving_connections', 'catalogs'] LOOP
    EXECUTE format('CREATE TRIGGER config_added AFTER INSERT OR DELETE ON tollgate.%I'
                   ' FOR EACH ROW EXECUTE FUNCTION tollgate.on_config_change()', changed);
  END LOOP;
  FOREACH changed IN ARRAY ARRAY['data_keys', 'users', 'api_keys', 'connections'] LOOP
    EXECUTE format('CREATE TRIGGER config_changed AFTER UPDATE ON tollgate.%I FOR EACH ROW'
                   ' WHEN (OLD.* IS DISTINCT FROM NEW.*)'
                   ' EXECUTE FUNCTION tollgate.on_config_change()', changed);
  END LOOP;
END $$;

-- A catalog that was listed again and is the same moves fetched_at only: nobody need re-read it.
CREATE TRIGGER config_changed AFTER UPDATE ON tollgate.catalogs FOR EACH ROW
  WHEN ((OLD.era, OLD.protocol_version, OLD.server_name, OLD.server_version, OLD.instructions,
         OLD.hash, OLD.tools_count, OLD.tools)
        IS DISTINCT FROM
        (NEW.era, NEW.protocol_version, NEW.server_name, NEW.server_version, NEW.instructions,
         NEW.hash, NEW.tools_count, NEW.tools))
  EXECUTE FUNCTION tollgate.on_config_change();

CREATE TRIGGER status_added AFTER INSERT ON tollgate.connections FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_connection_added();
CREATE TRIGGER edit BEFORE UPDATE ON tollgate.connections FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_connection_edit();
CREATE TRIGGER swap AFTER UPDATE ON tollgate.connections FOR EACH ROW
  WHEN (OLD.settings_version <> NEW.settings_version OR NOT NEW.enabled)
  EXECUTE FUNCTION tollgate.on_connection_swap();
CREATE TRIGGER leave_renounced AFTER UPDATE ON tollgate.nodes FOR EACH ROW
  WHEN (OLD.lease_until IS NOT NULL AND NEW.lease_until IS NULL)
  EXECUTE FUNCTION tollgate.on_node_leave();
CREATE TRIGGER leave_removed AFTER DELETE ON tollgate.nodes FOR EACH ROW
  WHEN (OLD.lease_until IS NOT NULL) EXECUTE FUNCTION tollgate.on_node_leave();

CREATE TRIGGER runtime_added AFTER INSERT ON tollgate.connection_status FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_runtime_change();
CREATE TRIGGER runtime_changed AFTER UPDATE ON tollgate.connection_status FOR EACH ROW
  WHEN ((OLD.state, OLD.tools_count, OLD.era, OLD.refresh_wanted) IS DISTINCT FROM
        (NEW.state, NEW.tools_count, NEW.era, NEW.refresh_wanted))
  EXECUTE FUNCTION tollgate.on_runtime_change();
CREATE TRIGGER runtime_changed AFTER UPDATE ON tollgate.mcp_sessions FOR EACH ROW
  WHEN (OLD.log_level IS DISTINCT FROM NEW.log_level)
  EXECUTE FUNCTION tollgate.on_runtime_change();
CREATE TRIGGER runtime_removed AFTER DELETE ON tollgate.mcp_sessions FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_runtime_change();
CREATE TRIGGER notify AFTER INSERT OR UPDATE ON tollgate.cancellations FOR EACH ROW
  EXECUTE FUNCTION tollgate.on_cancellation();

DO $$
DECLARE
  gone text;
BEGIN
  FOREACH gone IN ARRAY ARRAY['users', 'api_keys', 'mcp_sessions'] LOOP
    EXECUTE format('CREATE TRIGGER scope_end AFTER DELETE ON tollgate.%I FOR EACH ROW'
                   ' EXECUTE FUNCTION tollgate.on_scope_end()', gone);
  END LOOP;
END $$;

-- Who may call what -----------------------------------------------------------------------------

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA tollgate, audit FROM PUBLIC;

GRANT EXECUTE ON FUNCTION
  tollgate.find_key(text),
  tollgate.config_versions(),
  tollgate.list_tenants(),
  tollgate.find_tenant(text),
  tollgate.create_tenant(uuid, text, boolean, jsonb),
  tollgate.update_tenant(uuid, text, boolean, jsonb, bigint),
  tollgate.delete_tenant(uuid),
  tollgate.setting(text),
  tollgate.put_setting(text, text),
  tollgate.sweep_sessions(),
  tollgate.sweep_cancellations(),
  tollgate.take_cancellations(uuid[], bytea[], bigint[]),
  tollgate.take_ended_upstream_sessions(int),
  tollgate.watch_connections(uuid, interval, bigint),
  audit.ensure_partitions(date, date)
TO tollgate_app;
GRANT EXECUTE ON FUNCTION audit.ensure_partitions(date, date) TO tollgate_audit_writer;
