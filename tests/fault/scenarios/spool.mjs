// SPDX-License-Identifier: Apache-2.0
//
// The disk of the spool fails, or is full.

import { scrape, valueOf } from '../../e2e/lib/metrics.mjs';
import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { succeeded, unrecorded } from '../lib/ledgers.mjs';
import { Cluster } from '../lib/processes.mjs';
import { Preload } from '../lib/preload.mjs';
import { Tmpfs } from '../lib/tmpfs.mjs';
import { World } from '../lib/world.mjs';

// Once each: the worker notices and goes on. A full disk costs the calls whose record it was, and
// nothing else costs any.
const moments = [
  { mode: 'once', error: 'EIO', costs: false },
  { mode: 'once', error: 'ENOSPC', costs: true },
  { mode: 'short', costs: false },
  { mode: 'interrupted', costs: false },
];

const restarts = async (world) =>
  valueOf(await scrape(world.gateway.dev.ops_url), 'tollgate_worker_restarts_total', {
    reason: 'exit',
  }) ?? 0;

// A disk that is dead: calls are refused, workers end and are replaced, later and later; and when
// it is well again so are they.
async function deadDisk(world, preload, error, seconds) {
  const began = Date.now();
  preload.arm('from', 1, error);
  await eventually(() => world.calls.some((call) => call.startedAt >= began && unrecorded(call)), {
    deadline: 10000,
    what: 'a call is refused',
  });
  while (Date.now() - began < seconds * 1000) await pause(20);
  preload.disarm();
  await world.progress(2, 30000);
  return { began, ended: Date.now() };
}

const during = (times, call) =>
  times.some(({ began, ended }) => call.endedAt >= began && call.startedAt <= ended);

// Every fault for a moment, at the n-th call for each n; then a disk that is dead for a while.
export async function spoolFaults({ most = 14, stride = 1, seconds = 5, seed = 1 } = {}) {
  const preload = new Preload();
  const world = await World.build({
    ...{ seed, workers: 1, legacy: 2, modern: 2, start: { env: preload.env } },
    args: ['--set', 'spool_max_bytes=16777216'],
  });
  const times = [];
  let faults = 0;
  try {
    await world.startLoad();
    await world.progress(3);
    for (const [at, { mode, error, costs }] of moments.entries()) {
      for (let n = 1 + (at % stride); n <= most; n += stride) {
        const began = Date.now();
        preload.arm(mode, n, error);
        await eventually(() => preload.fired(), { deadline: 10000, what: `${mode} ${n} came` });
        await world.progress(1);
        preload.disarm();
        if (costs) times.push({ began, ended: Date.now() });
        faults++;
      }
    }
    const before = await restarts(world);
    if (before !== 0) throw new Error('a worker ended although the disk failed once only');
    times.push(await deadDisk(world, preload, 'EIO', seconds));
    const ended = (await restarts(world)) - before;
    times.push(await deadDisk(world, preload, 'ENOSPC', 1));
    await world.progress(3);
    await world.stopLoad();
    const problems = await world.settle((call) => during(times, call));
    // At once, then after 50 ms, 100 ms, … 5 s.
    if (ended < 1) problems.push('no worker was replaced although its disk was dead');
    if (ended > 4 + 3 * seconds) problems.push(`${ended} workers in ${seconds} s are a storm`);
    return { problems, numbers: { faults, replaced: ended, ...world.counts }, limits: [] };
  } finally {
    await world.close();
    preload.close();
  }
}

const padding = 'x'.repeat(15000);

// Calls with large arguments until the book has no more room. Gives the first that was refused.
async function fill(lanes) {
  let refused;
  await Promise.all(
    lanes.map(async (lane) => {
      while (refused === undefined) {
        const call = await lane.call('old', 'echo', { padding });
        if (unrecorded(call)) refused ??= call;
      }
    }),
  );
  return refused;
}

// One call after the other that takes a while, until there is no room: what runs then.
async function linger(lane, state) {
  const calls = [];
  while (!state.full) calls.push(await lane.call('old', 'sleep', { ms: 1500 }));
  return calls;
}

// How many of these calls the book says were refused.
async function toldOf(world, calls) {
  const ids = new Set(calls.map((call) => JSON.stringify(call.nonce)));
  const rows = await world.rows();
  return rows.filter((row) => row.outcome === 'unavailable' && ids.has(row.request_id)).length;
}

const saysFull = async (world) =>
  (await world.readyz()).json.checks.spool === '1 of 1 workers can record no more calls';

// One episode without room: make() takes it, free() gives it back.
async function episode(world, { make, free, fillers, sleeper, lister }) {
  const began = Date.now();
  const problems = [];
  const state = { full: false };
  const lingering = linger(sleeper, state);
  await eventually(() => world.calls.some((call) => call.lane === sleeper.name), { what: 'sent' });
  await make();
  const refused = await fill(fillers);
  state.full = true;
  if (!(Number(refused.retryAfter) > 0)) problems.push('503 without Retry-After');
  await eventually(() => saysFull(world), { what: '/readyz says that it is full' }).catch(
    (problem) => problems.push(problem.message),
  );
  if (!unrecorded(await lister.list())) problems.push('a list was given although there is no room');
  // Begun before there was no room, it finishes out of the reserve.
  const ran = (await lingering).filter(
    (call) => call.startedAt < refused.startedAt - 100 && call.endedAt > refused.endedAt,
  );
  for (const call of ran)
    if (!succeeded(call)) problems.push(`what ran did not finish: ${call.nonce} ${call.status}`);
  await free();
  await world.progress(2, 60000);
  await world.drained(30000);
  return { problems, began, ended: Date.now(), ran: ran.length };
}

// The spools lie on a filesystem of 8 MiB, and PostgreSQL takes nothing; then somebody else fills
// that filesystem.
export async function spoolFull({ seed = 1, rounds = 2 } = {}) {
  let disk;
  const before = (directory) => (disk = Tmpfs.mount(`${directory}/data`, 8));
  const world = await World.build({
    ...{ seed, workers: 1, legacy: 4, modern: 2, before },
    args: [
      ...['--set', 'spool_max_bytes=16777216'],
      ...['--set', 'audit_spool_min_free=2097152'],
      ...['--set', 'stale_max=600s'],
    ],
  });
  try {
    if (disk === undefined) return { skipped: 'no filesystem can be mounted here' };
    const cluster = new Cluster(world.gateway.dev.owner_database_url);
    const [sleeper, ...fillers] = world.lanes.slice(0, 4);
    const [lister] = world.lanes.slice(4);
    await world.startLoad();
    await world.progress(3);
    await world.stopLoad();
    const problems = [];
    const times = [];
    const others = world.lanes;
    world.lanes = others.slice(5);
    const causes = [
      { make: () => cluster.stop(), free: () => cluster.resume() },
      { make: () => disk.fill(1 << 20), free: () => disk.free() },
    ];
    for (let round = 0; round < rounds; round++) {
      await world.startLoad();
      const result = await episode(world, {
        ...causes[round % causes.length],
        ...{ fillers, sleeper, lister },
      });
      await world.stopLoad();
      problems.push(...result.problems);
      times.push(result);
    }
    if (!times.some(({ ran }) => ran > 0)) problems.push('nothing ran when there was no room');
    world.lanes = others;
    problems.push(...(await world.settle((call) => unrecorded(call) && during(times, call))));
    let told = 0;
    for (const time of times) {
      const refused = world.calls.filter(
        (call) => call.method === 'tools/call' && unrecorded(call) && during([time], call),
      );
      const n = await toldOf(world, refused);
      if (n === 0) problems.push(`of ${refused.length} refused calls none is in the book`);
      told += n;
    }
    return {
      problems,
      numbers: { refused: world.calls.filter(unrecorded).length, told, ...world.counts },
      limits: [],
    };
  } finally {
    await world.gateway.stop();
    disk?.unmount();
    await world.close();
  }
}
