// SPDX-License-Identifier: Apache-2.0
//
// What was really sent, kept by the client side, and its comparison with audit.calls.
//
// Every JSON-RPC request and every refused MCP POST is one entry. Raw requests come from an
// address of 127/8 that no other request uses, so their row is known by source_ip; the SDKs'
// requests are known by who sent them, method, tool and id.

import fs from 'node:fs';
import path from 'node:path';

const directory = process.env.TOLLGATE_E2E_LEDGER;
const entries = [];
const gateways = new Map(); // origin → directory of the gateway
const principals = new Map(); // API key → {tenant, user}

// Only what is sent to a gateway is a call.
export function registerGateway(directory, urls) {
  for (const url of urls) gateways.set(new URL(url).origin, directory);
}

export function registerKey(key, tenant, user = null) {
  principals.set(key, { tenant, user });
}

// entry has url and key, and what is known of the call. It may be changed until the process ends.
export function record({ url, key, ...entry }) {
  const gateway = gateways.get(new URL(url).origin);
  const kept = { gateway, tenant: null, user: null, ...principals.get(key), ...entry };
  if (gateway !== undefined) entries.push(kept);
  return kept;
}

// What an answer says about the outcome: one word, or those that it cannot tell apart.
const byCode = {
  [-32700]: ['malformed'],
  [-32600]: ['malformed'],
  [-32020]: ['malformed'],
  [-32022]: ['malformed'],
  [-32601]: ['protocol_error', 'malformed'],
  [-32001]: ['protocol_error', 'malformed', 'denied'],
  [-32042]: ['needs_auth', 'protocol_error'],
};

export function outcomesOf(status, message) {
  if (status === 401) return ['unauthenticated'];
  if (message?.result?.resultType === 'input_required') return ['needs_auth'];
  if (message?.result)
    return message.result.isError === true
      ? ['tool_error', 'upstream_error', 'timeout', 'needs_auth', 'unavailable']
      : ['ok'];
  if (status === 503) return ['unavailable'];
  if (status === 403) return ['denied'];
  if (message?.error?.code === -32602) return ['protocol_error', 'denied', 'malformed'];
  if (byCode[message?.error?.code]) return byCode[message.error.code];
  return status === 200 ? ['protocol_error'] : ['malformed', 'denied', 'protocol_error'];
}

process.on('exit', () => {
  if (!directory || entries.length === 0) return;
  const lines = entries.map((entry) => `${JSON.stringify(entry)}\n`).join('');
  fs.appendFileSync(path.join(directory, `${process.pid}.jsonl`), lines);
});

// What one gateway was sent, by processes that have ended and by this one.
export function entriesOf(gateway) {
  const files = directory ? fs.readdirSync(directory) : [];
  const ended = files.flatMap((file) =>
    fs
      .readFileSync(path.join(directory, file), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  );
  return [...ended, ...entries].filter((entry) => entry.gateway === gateway);
}

export const rowsQuery =
  'SELECT call_id::text, started_at::text, tenant, user_name, client, connection, tool, method, outcome,' +
  ' duration_ms::float8, error_type, error_message, api_key, request_id, session_id, host(source_ip) AS source_ip' +
  ' FROM audit.calls';

const nameKey = (x) => JSON.stringify([x.tenant, x.user, x.method, x.tool, x.id]);
const rowKeyOf = (row) =>
  nameKey({
    tenant: row.tenant || null,
    user: row.user_name || null,
    method: row.method,
    tool: row.tool,
    id: row.request_id,
  });

// One that differs in nothing, if there is one: a connection may have carried several calls.
function take(rows, entry) {
  const allowed = (row) => entry.outcome.includes(row.outcome);
  const exact = rows.findIndex((row) => allowed(row) && differences(entry, row).length === 0);
  const at = exact >= 0 ? exact : rows.findIndex(allowed);
  return at < 0 ? undefined : rows.splice(at, 1)[0];
}

const group = (rows, keyOf) => Map.groupBy(rows, keyOf);
const show = (x) => JSON.stringify(x).slice(0, 400);

// Every entry has exactly one row with an outcome that it allows, and no row is left over.
// Gives the list of differences, empty if the book is right.
export function compare(sent, rows) {
  const problems = [];
  const addresses = new Set(sent.map((entry) => entry.source_ip).filter(Boolean));
  const byAddress = group(
    rows.filter((row) => addresses.has(row.source_ip)),
    (row) => row.source_ip,
  );
  const byName = group(
    rows.filter((row) => !addresses.has(row.source_ip)),
    rowKeyOf,
  );
  const certainFirst = sent.toSorted((a, b) => a.outcome.length - b.outcome.length);

  for (const entry of certainFirst) {
    const candidates =
      (entry.source_ip ? byAddress.get(entry.source_ip) : byName.get(nameKey(entry))) ?? [];
    const row = take(candidates, entry);
    if (row !== undefined) problems.push(...differences(entry, row));
    else if (!entry.optional)
      problems.push(`no row for ${show(entry)}; candidates ${show(candidates)}`);
  }
  for (const left of [...byAddress.values(), ...byName.values()].flat())
    problems.push(`a row that nobody sent: ${show(left)}`);
  return problems;
}

// A call refused before it was read has a row that need not know what was asked.
const unread = ['malformed', 'unauthenticated', 'unavailable'];

// Names that an entry knows must be those of its row.
function differences(entry, row) {
  const wanted = { tenant: entry.tenant, user_name: entry.user, connection: entry.connection };
  if (!unread.includes(row.outcome))
    Object.assign(wanted, { method: entry.method, tool: entry.tool });
  // Nobody is asked who they are before the body is there.
  const bodiless = /^the (body is too large|request is not understood)$/.test(row.error_message);
  if (row.outcome === 'unauthenticated' || bodiless) Object.assign(wanted, { tenant: null, user_name: null });
  return Object.entries(wanted)
    .filter(([column, value]) => value !== undefined && (row[column] || null) !== (value || null))
    .map(
      ([column, value]) => `${column} is ${show(row[column])}, not ${show(value)}: ${show(entry)}`,
    );
}
