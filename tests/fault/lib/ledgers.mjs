// SPDX-License-Identifier: Apache-2.0
//
// Three ledgers that know nothing of each other, and what must hold between them:
//
//   calls   what each client sent and what came back (lib/lane.mjs)
//   runs    what each upstream ran, from its journal; known by the nonce among the arguments
//   rows    audit.calls
//
//   I1  what ran upstream has a row, and ran once
//   I2  what was answered has exactly one row, which says the same
//   I3  no row that nobody sent, none twice
//   I4  a row, and the upstream, name the tenant, user, connection and tool of the sender
//   I5  the chain over the book verifies (lib/chain.mjs)

import fs from 'node:fs';

import { outcomesOf } from '../../e2e/lib/ledger.mjs';

// Journals of upstreams as [{nonce, tool, tenant, times, outcome}].
export function readJournals(files) {
  const runs = new Map();
  for (const file of files) {
    for (const line of fs.readFileSync(file, 'utf8').split('\n').filter(Boolean)) {
      const { event, nonce, ...rest } = JSON.parse(line);
      const run = runs.get(nonce) ?? { nonce, times: 0 };
      if (event === 'run') Object.assign(run, rest, { times: run.times + 1 });
      else run.outcome = rest.outcome;
      runs.set(nonce, run);
    }
  }
  return [...runs.values()];
}

// A call without an answer may have ended in any of these, if it has a row at all.
const unanswered = ['unknown', 'ok', 'tool_error', 'protocol_error', 'upstream_error'];
const abandoned = [
  ...unanswered,
  'timeout',
  'client_closed',
  'cancelled',
  'drained',
  'unavailable',
];
// Nothing of these left the gate.
const stayed = ['denied', 'unauthenticated', 'malformed', 'rate_limited', 'needs_auth'];

export const answered = (call) => call.answer !== undefined;
export const succeeded = (call) =>
  call.answer?.result !== undefined && call.answer.result.isError !== true;

// Refused because its row had no room. Only the first of them is in the book; of one that had begun
// nobody knows how it ended.
export const unrecorded = (call) =>
  call.answer?.error?.data?.code === 'audit_unavailable';

const expectedOutcomes = (call) => {
  if (!answered(call)) return call.status === undefined ? abandoned : outcomesOf(call.status);
  // A call that the gateway ended while it stopped has the answer of one that was unavailable.
  const outcomes = outcomesOf(call.status, call.answer);
  if (unrecorded(call)) return [...outcomes, 'unknown', 'drained'];
  return outcomes.includes('unavailable') ? [...outcomes, 'drained'] : outcomes;
};

export const show = (x) => JSON.stringify(x).slice(0, 500);

// What was refused before anybody was recognised has a row that need not know more.
const unread = ['unavailable', 'unauthenticated', 'malformed'];

function checkRow(call, row, problems) {
  const wanted = { method: call.method, tool: call.tool ?? null };
  Object.assign(wanted, { tenant: call.tenant, user_name: call.user });
  if (row.connection !== null && call.connection !== undefined) wanted.connection = call.connection;
  for (const [column, value] of Object.entries(wanted)) {
    const said = row[column] || null;
    if (said !== (value ?? null) && !(said === null && unread.includes(row.outcome)))
      problems.push(`I4 ${call.nonce}: ${column} is ${show(said)}, not ${show(value)}`);
  }
  if (!expectedOutcomes(call).includes(row.outcome))
    problems.push(`I2 ${call.nonce}: the row says ${row.outcome}, the client saw ${seen(call)}`);
}

const seen = (call) => call.problem ?? `${call.status} ${show(call.answer ?? null)}`;

function checkRun(call, run, row, problems) {
  if (run === undefined) {
    if (row?.outcome === 'ok' && call.method === 'tools/call')
      problems.push(`I1 ${call.nonce}: the row says ok, the upstream never saw it`);
    if (succeeded(call) && call.method === 'tools/call')
      problems.push(`I1 ${call.nonce}: the client has a result, the upstream never saw it`);
    return;
  }
  if (run.times > 1) problems.push(`I1 ${call.nonce}: ran ${run.times} times`);
  if (run.tenant !== undefined && run.tenant !== call.tenant)
    problems.push(`I4 ${call.nonce}: ran for tenant ${run.tenant}, sent by one of ${call.tenant}`);
  if (row === undefined) problems.push(`I1 ${call.nonce}: ran upstream and has no row`);
  else if (stayed.includes(row.outcome))
    problems.push(`I1 ${call.nonce}: ran upstream, its row says ${row.outcome}`);
}

// Rows by the nonce that is their JSON-RPC id; those of others come back as strays.
function byNonce(rows) {
  const found = new Map();
  const strays = [];
  for (const row of rows) {
    let id;
    try {
      id = JSON.parse(row.request_id);
    } catch {
      id = undefined;
    }
    if (typeof id !== 'string') strays.push(row);
    else if (found.has(id)) found.get(id).push(row);
    else found.set(id, [row]);
  }
  return { found, strays };
}

// Gives what contradicts, as sentences; nothing if the ledgers agree. allowed(call) says whether
// this call may have gone without the result that its client wanted.
export function compareLedgers({ calls, runs, rows }, allowed = () => false) {
  const problems = [];
  const { found, strays } = byNonce(rows);
  const ran = new Map(runs.map((run) => [run.nonce, run]));
  const sent = new Set(calls.map((call) => call.nonce));

  for (const call of calls) {
    if (!succeeded(call) && !allowed(call))
      problems.push(`failed ${call.nonce}: ${call.method} ${call.tool ?? ''} ${seen(call)}`);
    if (call.sdk) {
      checkRun(call, ran.get(call.nonce), { outcome: 'not compared here' }, problems);
      continue;
    }
    const [row, ...more] = found.get(call.nonce) ?? [];
    if (call.endedAt === undefined) problems.push(`${call.nonce}: still runs`);
    if (call.foreign !== undefined) problems.push(`I4 ${call.nonce}: got ${call.foreign}`);
    if (more.length > 0) problems.push(`I3 ${call.nonce}: ${more.length + 1} rows`);
    if (row !== undefined) checkRow(call, row, problems);
    else if (call.status !== undefined && !unrecorded(call))
      problems.push(`I2 ${call.nonce}: answered, and has no row`);
    checkRun(call, ran.get(call.nonce), row, problems);
  }
  for (const nonce of found.keys())
    if (!sent.has(nonce)) problems.push(`I3 ${nonce}: a row that nobody sent`);
  for (const row of strays) problems.push(`I3 a row that nobody sent: ${show(row)}`);
  for (const run of runs)
    if (!sent.has(run.nonce)) problems.push(`I1 ${run.nonce}: ran upstream, nobody sent it`);
  return problems;
}
