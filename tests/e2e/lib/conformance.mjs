// SPDX-License-Identifier: Apache-2.0
//
// Running the conformance suite, and holding what it found to a list of what passes and a baseline
// of what does not.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { startFixture } from './fixtures.mjs';
import { environment } from './gateway.mjs';
import { startProxy } from './proxy.mjs';

const suite = path.resolve(
  import.meta.dirname,
  '../node_modules/@modelcontextprotocol/conformance/dist/index.js',
);

// The messages of every scenario are held to the schema of the revision.
const schemaCheck = 'wire-schema-valid';

export const revisions = ['2025-11-25', '2026-07-28'];
export const eras = ['legacy', 'modern'];

// A gateway with an upstream of each era: {upstreams, url(era), close()}. The suite has no way to
// send a key, so the addresses are those of a proxy that adds it.
export async function startStage() {
  const gateway = await environment();
  const tenant = await gateway.newTenant('conformance');
  const upstreams = {};
  for (const era of eras) {
    upstreams[era] = await startFixture(`conformance_${era}`);
    await tenant.addConnection(era, upstreams[era].url);
  }
  const proxy = await startProxy(gateway.dev.public_url, {
    key: tenant.userKey,
    headers: { authorization: `Bearer ${tenant.userKey}` },
  });
  return {
    upstreams,
    url: (era) => `${proxy.origin}/c/${era}/mcp`,
    close: async () => {
      await proxy.close();
      await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
      await gateway.close();
    },
  };
}

// Runs the suite. Gives {code, output}.
export function runSuite(args, { deadline = 120000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [suite, 'server', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: deadline,
      env: { PATH: process.env.PATH, NO_COLOR: '1' },
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (text) => (output += text));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal, output }));
  });
}

// What a run left in its directory: Map of scenario → checks.
export function readResults(directory) {
  const names = fs.readdirSync(directory).sort();
  return new Map(
    names.map((name) => [
      /^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$/.exec(name)[1],
      JSON.parse(fs.readFileSync(path.join(directory, name, 'checks.json'), 'utf8')),
    ]),
  );
}

// The entries of a baseline for one run: Map of scenario → {reason} or {checks: Map of id → reason},
// varies if it is no fault that they pass.
export function baselineOf(entries, { revision, era }) {
  const found = new Map();
  for (const [name, reason, where = {}] of entries) {
    if ((where.revision ?? revision) !== revision || (where.era ?? era) !== era) continue;
    const [scenario, check] = name.split(':');
    const varies = where.varies === true;
    const entry = found.get(scenario) ?? {
      varies,
      ...(check ? { checks: new Map() } : { reason }),
    };
    if ((check === undefined) !== (entry.checks === undefined) || entry.checks?.has(check))
      throw new Error(`${scenario} stands in the baseline twice`);
    if (entry.varies !== varies) throw new Error(`${scenario} both varies and does not`);
    entry.checks?.set(check, reason);
    found.set(scenario, entry);
  }
  return found;
}

// The same baseline in the suite's own form, which has no word for what varies.
export function expectedFailures(baseline) {
  const certain = [...baseline].filter(([, { varies }]) => !varies);
  const lines = certain.flatMap(([scenario, { checks }]) =>
    checks ? [...checks.keys()].map((check) => `${scenario}:${check}`) : [scenario],
  );
  return `server:\n${lines.map((line) => `  - ${line}\n`).join('')}`;
}

const passes = ({ status }) => status === 'SUCCESS' || status === 'INFO';
const said = ({ id, status, errorMessage = '' }) => `${id}: ${status} ${errorMessage}`;

function judgePassing(checks) {
  const problems = checks.filter((check) => !passes(check)).map(said);
  if (!checks.some(({ status }) => status === 'SUCCESS')) problems.push('nothing was proven');
  return problems;
}

function judgeWhole(checks, varies) {
  const invalid = checks.filter((check) => check.id === schemaCheck && !passes(check));
  const others = checks.filter((check) => check.id !== schemaCheck);
  const proven = others.some(({ status }) => status === 'SUCCESS') && others.every(passes);
  return [
    ...invalid.map(said),
    ...(proven && !varies ? ['it passes now: take it out of the baseline'] : []),
  ];
}

function judgeChecks(checks, { checks: expected, varies }) {
  const problems = checks.filter((check) => !passes(check) && !expected.has(check.id)).map(said);
  for (const id of expected.keys()) {
    const found = checks.filter((check) => check.id === id);
    if (found.length === 0) problems.push(`${id}: there is no such check`);
    else if (found.every(passes) && !varies)
      problems.push(`${id} passes now: take it out of the baseline`);
  }
  return problems;
}

// Whatever is not as the lists say about one scenario; [] if all is.
export function judge(scenario, checks, passing, baseline) {
  const entry = baseline.get(scenario);
  if (passing.includes(scenario)) return entry ? ['it stands in both lists'] : judgePassing(checks);
  if (entry === undefined) return ['it stands in neither list', ...judgePassing(checks)];
  return entry.checks ? judgeChecks(checks, entry) : judgeWhole(checks, entry.varies);
}
