// SPDX-License-Identifier: Apache-2.0
//
// What machines do: their clocks step, they die beside another, they are lost for good.

import fs from 'node:fs';
import path from 'node:path';

import { runCli } from '../../e2e/lib/gateway.mjs';
import { startFront } from '../../e2e/lib/front.mjs';
import { registerGateway } from '../../e2e/lib/ledger.mjs';
import { startSecond } from '../../e2e/lib/second.mjs';
import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { answered } from '../lib/ledgers.mjs';
import { Preload } from '../lib/preload.mjs';
import { World } from '../lib/world.mjs';

const hour = 3600;
// One after the other, seconds ahead: an hour, an hour behind, right, ten minutes back, right.
const steps = [hour, -hour, 0, -600, 0];

// libh2o times its connections by the wall clock: one that steps ahead ends those that are open.
const aheadMs = 1000;
const cut = (steps, call) =>
  !answered(call) &&
  steps.some((at) => call.startedAt <= at + aheadMs && (call.endedAt ?? Infinity) >= at);

// The wall clock of the gateway steps under load. PostgreSQL's does not.
export async function clockSteps({ rounds = 5, seed = 1 } = {}) {
  const preload = new Preload();
  const world = await World.build({ seed, roaming: 2, sdk: 3, start: { env: preload.env } });
  const ahead = [];
  let clock = 0;
  try {
    await world.startLoad();
    await world.progress(3);
    for (let round = 0; round < rounds; round++) {
      for (const seconds of steps) {
        if (seconds > clock) ahead.push(Date.now());
        clock = seconds;
        preload.stepClock(seconds);
        await world.progress(2);
      }
    }
    await world.stopLoad();
    const problems = await world.settle((call) => cut(ahead, call));
    return { problems, numbers: { steps: rounds * steps.length, ...world.counts }, limits: [] };
  } finally {
    await world.close();
    preload.close();
  }
}

// `serve` wants the operator's exception for upstreams on loopback.
export async function permit(world) {
  const allow = [...new Set(world.connections.map((name) => new URL(world[name].url).host))];
  for (const { name } of world.tenants)
    await world.gateway.must(
      200,
      'PATCH',
      `/tenants/${name}`,
      { egress: { allow } },
      { ifMatch: true },
    );
}

const spoolsOf = (directory) =>
  fs
    .readdirSync(directory)
    .filter((name) => name.startsWith('spool-'))
    .map((name) => path.join(directory, name));

// The machine is gone with its gateway; its disk was saved. Another brings its rows to the database.
async function drainLost(world, directory) {
  const url = world.gateway.dev.database_url.replace('tollgate_app', 'tollgate_audit_writer');
  const problems = [];
  for (const spool of spoolsOf(directory)) {
    const args = ['spool', 'drain', spool, '--set', `drain_database_url=${url}`, '-o', 'json'];
    const { code, stderr } = await runCli(args, { deadline: 60000 });
    const shown = JSON.parse((await runCli(['spool', 'show', spool, '-o', 'json'])).stdout);
    if (code !== 0) problems.push(`spool drain ${spool} ended with ${code}: ${stderr}`);
    else if (shown.records !== 0) problems.push(`${spool} still has ${shown.records} records`);
  }
  return problems;
}

// Two gateways behind a front. One is killed whole, kill -9, and comes back on its data; in the end
// one is killed and does not.
export async function gatewaysKilled({ count = 20, seed = 1 } = {}) {
  const world = await World.build({ seed, legacy: 0, modern: 0 });
  const { dev, directory } = world.gateway;
  const pair = [];
  const deaths = [];
  let front;
  const begin = (at, ports) => startSecond(dev, directory, { name: `pair${at}`, ports });
  const kill = async (at) => {
    const out = pair[at];
    const death = { began: Date.now() };
    deaths.push(death);
    await out.stop('SIGKILL');
    // What the front gave it in the last moment is cut.
    front.targets = [pair[1 - at].publicUrl];
    await eventually(() => front.busy(out.publicUrl) === 0, { what: 'the front is done with it' });
    death.ended = Date.now();
    return out;
  };
  try {
    for (let at = 0; at < 2; at++) pair.push(await begin(at));
    await permit(world);
    front = await startFront(pair.map((one) => one.publicUrl));
    world.url = `${front.url}/mcp`;
    registerGateway(directory, [front.url]);
    await world.addLanes({ legacy: 3, modern: 3 });
    await world.startLoad();
    await world.progress(5);
    for (let round = 0; round < count; round++) {
      const at = world.random.below(2);
      const out = await kill(at);
      await world.progress(1);
      pair[at] = await begin(at, out.ports);
      front.targets = pair.map((one) => one.publicUrl);
      await world.progress(1);
      await pause(world.random.below(200));
    }
    await kill(0);
    await world.progress(2);
    await world.stopLoad();
    const lost = path.join(path.dirname(directory), 'pair0');
    const problems = await drainLost(world, lost);
    problems.push(
      ...(await world.settle((call) =>
        deaths.some((death) => call.endedAt >= death.began && call.startedAt <= death.ended),
      )),
    );
    return { problems, numbers: { kills: deaths.length, ...world.counts }, limits: [] };
  } finally {
    await Promise.allSettled(pair.map((one) => one.stop()));
    front?.stop();
    await world.close();
  }
}
