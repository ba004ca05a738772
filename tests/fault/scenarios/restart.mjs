// SPDX-License-Identifier: Apache-2.0
//
// Gateways that are stopped in order and started again: sessions go on, and with another gateway
// to go to no call fails.

import { clients } from '../../e2e/lib/clients.mjs';
import { freePort } from '../../e2e/lib/fixtures.mjs';
import { start } from '../../e2e/lib/gateway.mjs';
import { startFront } from '../../e2e/lib/front.mjs';
import { entriesOf, registerGateway } from '../../e2e/lib/ledger.mjs';
import { scrape, valueOf } from '../../e2e/lib/metrics.mjs';
import { startSecond } from '../../e2e/lib/second.mjs';
import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { World } from '../lib/world.mjs';

const handshakes = (world, user) =>
  entriesOf(world.gateway.directory).filter(
    (entry) => entry.user === user && ['initialize', 'server/discover'].includes(entry.method),
  ).length;

// Three ports in a row that nobody uses now.
async function portTriple() {
  const taken = (port) =>
    fetch(`http://127.0.0.1:${port}/`).then(
      () => true,
      (problem) => problem.cause?.code !== 'ECONNREFUSED',
    );
  for (;;) {
    const port = await freePort();
    if (port < 65000 && !(await taken(port + 1)) && !(await taken(port + 2))) return port;
  }
}

// The gateway restarts under two legacy clients of different SDKs and a modern one.
export async function restart({ count = 5, seed = 1 } = {}) {
  const port = String(await portTriple());
  const args = ['--port', port];
  const world = await World.build({ seed, args, legacy: 0, modern: 0, sdk: clients.length });
  const problems = [];
  try {
    for (const lane of world.lanes) {
      await lane.open();
      await lane.step();
    }
    const before = world.lanes.map((lane) => handshakes(world, lane.name));
    for (let at = 0; at < count; at++) {
      await world.database.end();
      await world.gateway.stop();
      world.gateway = await start(world.gateway.directory, { args: ['--workers', '2', ...args] });
      world.database = await world.openDatabase();
      for (const lane of world.lanes) await lane.step();
    }
    for (const [at, lane] of world.lanes.entries())
      if (handshakes(world, lane.name) !== before[at])
        problems.push(`${lane.client.name} shook hands again`);
    problems.push(...(await world.settle()));
    return { problems, numbers: { restarts: count, ...world.counts }, limits: [] };
  } finally {
    await world.close();
  }
}

// The workers are replaced on their sockets, one after the other, every few seconds (SIGHUP).
export async function rollingWorkers({ seconds = 120, every = 5, seed = 1 } = {}) {
  const world = await World.build({ seed, legacy: 3, modern: 3, roaming: 2, sdk: 3 });
  const replaced = async () =>
    valueOf(await scrape(world.gateway.dev.ops_url), 'tollgate_worker_restarts_total', {
      reason: 'reload',
    });
  let rounds = 0;
  try {
    await world.startLoad();
    await world.progress(3);
    const began = Date.now();
    while (Date.now() - began < seconds * 1000) {
      rounds++;
      process.kill(world.gateway.pid, 'SIGHUP');
      await eventually(async () => (await replaced()) === rounds * world.nWorkers, {
        deadline: 30000,
        what: 'all workers are replaced',
      });
      await world.progress(1);
      while (Date.now() - began < rounds * every * 1000) await pause(20);
    }
    await world.progress(3);
    await world.stopLoad();
    const problems = await world.settle();
    return { problems, numbers: { reloads: rounds, ...world.counts }, limits: [] };
  } finally {
    await world.close();
  }
}

// Two gateways behind a front; every few seconds one is taken out, stopped with SIGTERM once the
// front has nothing with it any more, started again and put back.
export async function rollingGateways({ seconds = 120, every = 5, seed = 1 } = {}) {
  const world = await World.build({ seed, legacy: 0, modern: 0 });
  const dev = world.gateway.dev;
  const pair = [];
  let front;
  let rounds = 0;
  try {
    for (let at = 0; at < 2; at++)
      pair.push(await startSecond(dev, world.gateway.directory, { name: `rolling${at}` }));
    // `serve` wants the operator's exception for upstreams on loopback.
    const allow = [...new Set(world.connections.map((name) => new URL(world[name].url).host))];
    for (const { name } of world.tenants)
      await world.gateway.must(
        200,
        'PATCH',
        `/tenants/${name}`,
        { egress: { allow } },
        { ifMatch: true },
      );
    front = await startFront(pair.map((one) => one.publicUrl));
    world.url = `${front.url}/mcp`;
    registerGateway(world.gateway.directory, [front.url]);
    await world.addLanes({ legacy: 3, modern: 3, sdk: 3 });
    await world.startLoad();
    await world.progress(5);
    const began = Date.now();
    while (Date.now() - began < seconds * 1000) {
      const at = rounds++ % 2;
      const out = pair[at];
      front.targets = [pair[1 - at].publicUrl];
      await eventually(() => front.busy(out.publicUrl) === 0, {
        what: 'the front is done with it',
      });
      const code = await out.stop();
      if (code !== 0) throw new Error(`a gateway ended with ${code}`);
      pair[at] = await startSecond(dev, world.gateway.directory, {
        name: `rolling${at}`,
        ports: out.ports,
      });
      front.targets = pair.map((one) => one.publicUrl);
      await world.progress(1);
      while (Date.now() - began < rounds * every * 1000) await pause(20);
    }
    await world.progress(3);
    await world.stopLoad();
    const problems = await world.settle();
    return { problems, numbers: { restarts: rounds, ...world.counts }, limits: [] };
  } finally {
    await Promise.allSettled(pair.map((one) => one.stop()));
    front?.stop();
    await world.close();
  }
}
