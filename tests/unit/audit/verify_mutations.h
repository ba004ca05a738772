/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_UNIT_AUDIT_VERIFY_MUTATIONS_H
#define TESTS_UNIT_AUDIT_VERIFY_MUTATIONS_H

/*
 * Functions of a test's database that change a stored book by a step, and put it back:
 *
 *   test_flip(table, column, n, condition)  another value, one step away by the column's type
 *   test_forge(chain, seq, call_id, place)  a copy of a call under another id, at another place
 *   test_keep(table), test_restore(table)   what it is put back to
 *
 * Each but the last two says how many rows it changed.
 */

static const char mutations_sql[] =
	"CREATE FUNCTION test_flip(p_table regclass, p_column name, p_at int, p_where text)"
	" RETURNS bigint LANGUAGE plpgsql AS $f$\n"
	"DECLARE\n"
	"  kind text; was text := format('%I', p_column); other text; n bigint;\n"
	"BEGIN\n"
	"  SELECT format_type(atttypid, NULL) INTO kind FROM pg_attribute"
	"  WHERE attrelid = p_table AND attname = p_column;\n"
	"  other := CASE kind\n"
	"    WHEN 'text' THEN format('CASE WHEN %1$s IS NULL OR %1$s = '''' THEN ''x'' ELSE"
	" convert_from(set_bit(convert_to(%1$s, ''UTF8''), (%2$s %% (8 * octet_length(%1$s))), 1 -"
	" get_bit(convert_to(%1$s, ''UTF8''), (%2$s %% (8 * octet_length(%1$s))))), ''UTF8'') END',"
	" was, p_at)\n"
	"    WHEN 'name' THEN format('(%s || ''x'')::name', was)\n"
	"    WHEN 'json' THEN format('(CASE WHEN %1$s IS NULL THEN ''{}'' ELSE"
	" convert_from(set_bit(convert_to(%1$s::text, ''UTF8''), (%2$s %% (8 *"
	" octet_length(%1$s::text))), 1 - get_bit(convert_to(%1$s::text, ''UTF8''), (%2$s %% (8 *"
	" octet_length(%1$s::text))))), ''UTF8'') END)::json', was, p_at)\n"
	"    WHEN 'jsonb' THEN format('%s || ''{\"x\": %s}''', was, p_at)\n"
	"    WHEN 'bytea' THEN format('CASE WHEN %1$s IS NULL THEN decode(repeat(''00'', %3$s),"
	" ''hex'') ELSE set_bit(%1$s, %2$s %% (8 * octet_length(%1$s)), 1 - get_bit(%1$s, %2$s %% "
	"(8 *"
	" octet_length(%1$s)))) END', was, p_at, CASE p_column WHEN 'reduction' THEN 64 ELSE 32 "
	"END)\n"
	"    WHEN 'uuid' THEN format('coalesce(encode(set_bit(uuid_send(%1$s), %2$s %% 128, 1 -"
	" get_bit(uuid_send(%1$s), %2$s %% 128)), ''hex'')::uuid, gen_random_uuid())', was, p_at)\n"
	"    WHEN 'bigint' THEN format('coalesce(%s # (1::bigint << %s), %s)', was, p_at % 40, "
	"p_at)\n"
	"    WHEN 'integer' THEN format('coalesce(%s # (1 << %s), %s)', was, p_at % 16, p_at % "
	"600)\n"
	"    WHEN 'double precision' THEN format('coalesce(%s * %s, 1.5)', was,"
	" CASE p_at % 2 WHEN 0 THEN '1.0000000000000003' ELSE '2' END)\n"
	"    WHEN 'timestamp with time zone' THEN format('%s + %s * interval ''1 microsecond''', "
	"was,"
	" 1::bigint << p_at % 30)\n"
	"    WHEN 'boolean' THEN format('NOT %s', was)\n"
	"    WHEN 'inet' THEN format('coalesce(%s + %s, ''10.9.9.9'')', was, 1 << p_at % 8)\n"
	"  END;\n"
	"  EXECUTE format('UPDATE %s SET %I = %s WHERE (%s) AND %I::text IS DISTINCT FROM "
	"(%s)::text',"
	" p_table, p_column, other, p_where, p_column, other);\n"
	"  GET DIAGNOSTICS n = ROW_COUNT;\n"
	"  RETURN n;\n"
	"END $f$;\n"
	"CREATE FUNCTION test_columns(p_table name) RETURNS text LANGUAGE sql AS $f$"
	" SELECT string_agg(format('%I', attname), ', ' ORDER BY attnum) FROM pg_attribute"
	" WHERE attrelid = ('audit.' || p_table)::regclass AND attnum > 0 AND NOT attisdropped"
	" AND attgenerated = '' $f$;\n"
	"CREATE FUNCTION test_forge(p_chain uuid, p_seq bigint, p_call uuid, p_place text)"
	" RETURNS bigint LANGUAGE plpgsql AS $f$\n"
	"DECLARE n bigint; list text;\n"
	"BEGIN\n"
	"  SELECT string_agg(format('c.%I', a), ', ') INTO list FROM"
	" unnest(string_to_array(test_columns('call_log'), ', ')) a"
	" WHERE a NOT IN ('call_id', 'chain_id', 'chain_seq', 'chain_mac', 'payload_digest');\n"
	"  EXECUTE format('INSERT INTO audit.call_log (%s, call_id, chain_id, chain_seq, chain_mac)"
	" SELECT %s, %L, %s FROM audit.call_log c WHERE chain_id = %L AND chain_seq = %s',"
	" replace(list, 'c.', ''), list, p_call, p_place, p_chain, p_seq);\n"
	"  GET DIAGNOSTICS n = ROW_COUNT;\n"
	"  RETURN n;\n"
	"END $f$;\n"
	"CREATE SCHEMA pristine;\n"
	"CREATE FUNCTION test_keep(p_table name) RETURNS void LANGUAGE plpgsql AS $f$\n"
	"BEGIN EXECUTE format('CREATE TABLE pristine.%I AS SELECT t.*, md5(t::text) AS sum"
	" FROM audit.%1$I t', p_table); END $f$;\n"
	"CREATE FUNCTION test_restore(p_table name) RETURNS void LANGUAGE plpgsql AS $f$\n"
	"DECLARE list text := test_columns(p_table);\n"
	"BEGIN\n"
	"  EXECUTE format('DELETE FROM audit.%I t WHERE md5(t::text) NOT IN"
	" (SELECT sum FROM pristine.%1$I)', p_table);\n"
	"  EXECUTE format('INSERT INTO audit.%1$I (%2$s) SELECT %2$s FROM pristine.%1$I p"
	" WHERE p.sum NOT IN (SELECT md5(t::text) FROM audit.%1$I t)', p_table, list);\n"
	"END $f$;\n"
	"SELECT test_keep(t) FROM unnest(ARRAY['call_log', 'event_seals', 'anchors',"
	" 'partition_seals', 'auth_event_log', 'call_payloads']::name[]) t;\n";

#endif
