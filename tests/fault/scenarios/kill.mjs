// SPDX-License-Identifier: Apache-2.0
//
// kill -9 of random workers under load.

import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { killWorker, wasOn } from '../lib/processes.mjs';
import { World } from '../lib/world.mjs';

// The supervisor slows the restart of a worker that did not live this long.
const stableMs = 10000;

// Waits until as many workers serve as before; gives how long that took.
async function replaced(world, death) {
  await eventually(
    async () => {
      const workers = await world.gateway.workers();
      return workers.length === world.nWorkers && workers.every(({ pid }) => pid !== death.pid);
    },
    { deadline: 20000, every: 5, what: `worker ${death.pid} is replaced` },
  );
  return Date.now() - death.at;
}

// A worker at random of those that may die, once there is one. born: pid → when it came.
async function nextVictim(world, born) {
  return eventually(
    async () => {
      const workers = await world.gateway.workers();
      const ripe = workers.filter(({ pid }) => Date.now() - (born.get(pid) ?? 0) >= stableMs);
      return ripe.length > 0 ? world.random.pick(ripe).pid : undefined;
    },
    { deadline: 3 * stableMs, every: 50, what: 'a worker that has lived long enough' },
  );
}

// Gives {problems, numbers, limits}: each problem is a sentence; a limit is [number, at most].
export async function kill({ count = 50, seed = 1, workers = 4, ...lanes } = {}) {
  const world = await World.build({ seed, workers, roaming: 2, sdk: 3, ...lanes });
  const deaths = [];
  const ready = [];
  const born = new Map();
  try {
    await world.startLoad();
    await world.progress(3);
    while (deaths.length < count) {
      const before = new Set((await world.gateway.workers()).map(({ pid }) => pid));
      const death = await killWorker(await nextVictim(world, born));
      deaths.push(death);
      ready.push(await replaced(world, death));
      for (const { pid } of await world.gateway.workers())
        if (!before.has(pid)) born.set(pid, Date.now());
      await pause(world.random.below(200));
      await world.progress(1);
    }
    await world.progress(3);
    await world.stopLoad();
    const problems = await world.settle((call) => deaths.some((death) => wasOn(death, call)));
    return {
      problems,
      numbers: { kills: deaths.length, ...world.counts, ready_ms_max: Math.max(...ready) },
      limits: [['ready_ms_max', 1000]],
    };
  } finally {
    await world.close();
  }
}
