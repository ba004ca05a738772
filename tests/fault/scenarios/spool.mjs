// SPDX-License-Identifier: Apache-2.0
//
// The disk of the spool fails, or is full.

import fs from 'node:fs';

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

// Calls with large arguments until the book has no more room.
async function fill(world, lane, refused) {
  await eventually(
    async () => {
      const call = await lane.call('old', 'echo', { padding });
      return refused(call);
    },
    { deadline: 60000, every: 0, what: 'a call is refused' },
  );
}

// Its upstream has begun with it.
const runs = (world, call) =>
  eventually(
    () => world.journals.some((file) => fs.readFileSync(file, 'utf8').includes(call.nonce)),
    { what: 'it runs upstream' },
  );

// How many of these calls the book says were refused.
async function toldOf(world, calls) {
  const ids = new Set(calls.map((call) => JSON.stringify(call.nonce)));
  const rows = await world.rows();
  return rows.filter((row) => row.outcome === 'unavailable' && ids.has(row.request_id)).length;
}

// One episode without room: make() takes it, free() gives it back.
async function episode(world, { make, free, lane, sleeper, lister }) {
  const began = Date.now();
  const problems = [];
  const running = sleeper.call('old', 'sleep', { ms: 2000 });
  await runs(world, world.calls.findLast((call) => call.tool?.endsWith('sleep')));
  await make();
  await fill(world, lane, unrecorded);
  const refused = world.calls.findLast(unrecorded);
  if (!(Number(refused.retryAfter) > 0)) problems.push('503 without Retry-After');
  const { status, json } = await world.readyz();
  if (status !== 503 || json.status !== 'spool full')
    await eventually(async () => (await world.readyz()).json.status === 'spool full', {
      what: '/readyz says that the spool is full',
    }).catch((problem) => problems.push(problem.message));
  const list = await lister.list();
  if (!unrecorded(list)) problems.push('a list was given although there is no room');
  // Begun before there was no room, it finishes out of the reserve.
  const slept = await running;
  if (!succeeded(slept)) problems.push(`what ran did not finish: ${slept.status}`);
  if (slept.endedAt < refused.startedAt) problems.push('what ran had finished before');
  await free();
  await world.progress(2, 60000);
  await world.drained(30000);
  return { problems, began, ended: Date.now() };
}

// The spools lie on a filesystem of 8 MiB, and PostgreSQL takes nothing; then somebody else fills
// that filesystem.
export async function spoolFull({ seed = 1, rounds = 2 } = {}) {
  let disk;
  const before = (directory) => (disk = Tmpfs.mount(`${directory}/data`, 8));
  const world = await World.build({
    ...{ seed, workers: 1, legacy: 2, modern: 2, before },
    args: [
      ...['--set', 'spool_max_bytes=16777216'],
      ...['--set', 'audit_spool_min_free=2621440'],
      ...['--set', 'stale_max=600s'],
    ],
  });
  try {
    if (disk === undefined) return { skipped: 'no filesystem can be mounted here' };
    const cluster = new Cluster(world.gateway.dev.owner_database_url);
    const [lane, sleeper, lister] = world.lanes;
    await world.startLoad();
    await world.progress(3);
    await world.stopLoad();
    for (const one of [lane, sleeper, lister]) await one.list();
    const problems = [];
    const times = [];
    const others = world.lanes;
    world.lanes = others.slice(3);
    const causes = [
      { make: () => cluster.stop(), free: () => cluster.resume() },
      { make: () => disk.fill(1 << 20), free: () => disk.free() },
    ];
    for (let round = 0; round < rounds; round++) {
      await world.startLoad();
      const result = await episode(world, {
        ...causes[round % causes.length],
        ...{ lane, sleeper, lister },
      });
      await world.stopLoad();
      problems.push(...result.problems);
      times.push(result);
    }
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
