// SPDX-License-Identifier: Apache-2.0
//
// Postgres is killed, or stopped, for a while under load: what the workers know they serve, what
// they do not know is 503, and the rows arrive afterwards.

import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { Lane } from '../lib/lane.mjs';
import { Cluster } from '../lib/processes.mjs';
import { World } from '../lib/world.mjs';

// Each request finds one of two workers: all of these miss one of them once in 2^40.
const warmUpCalls = 40;
const probes = 12;

async function statuses(url) {
  const all = [];
  for (let at = 0; at < probes; at++) {
    const response = await fetch(url, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    all.push(response.status);
  }
  return all;
}

const everyReadyzSays = (world, status, deadline) =>
  eventually(
    async () => (await statuses(`${world.gateway.dev.ops_url}/readyz`)).every((s) => s === status),
    { deadline, every: 5, what: `/readyz is ${status} on every worker` },
  );

// A client whose key no worker has seen. Its refusals are what is wanted.
async function stranger(world) {
  const [tenant] = world.tenants;
  const { key } = await world.gateway.newKey(tenant.name, { name: 'stranger', user: 'ana' });
  return new Lane({
    ...{ name: 'stranger', era: 'modern', url: world.url, key, tenant: tenant.name, user: 'ana' },
    ...{ address: '127.78.0.1', random: world.random.child('stranger'), keepAlive: false },
    ...{ connections: world.connections, tools: ['echo'], calls: world.calls, run: world.run },
  });
}

// What must be refused while Postgres is away; gives what was not, as sentences.
async function refusals(world, unknown) {
  const problems = [];
  const refused = (what, call) => {
    if (call.status !== 503)
      problems.push(`${what}: ${call.status} ${call.problem ?? ''}, not 503`);
    else if (!(Number(call.retryAfter) > 0)) problems.push(`${what}: 503 without Retry-After`);
  };
  refused('a key that nobody knows', await unknown.call('old', 'echo'));
  const [tenant] = world.tenants;
  const session = new Lane({ ...unknown, name: 'newcomer', era: 'legacy', key: tenant.userKey });
  await session.open().catch(() => {});
  refused(
    'a new session',
    world.calls.findLast((call) => call.lane === 'newcomer'),
  );
  const edit = await tenant.api('POST', '/connections', { name: 'late', url: world.old.url });
  refused('an edit', { status: edit.status, retryAfter: edit.headers.get('retry-after') });
  return problems;
}

const faults = {
  kill: {
    begin: (cluster) => cluster.kill(),
    end: (cluster) => cluster.restore(),
  },
  stop: {
    begin: (cluster) => cluster.stop(),
    end: (cluster) => cluster.resume(),
  },
};

async function outage(world, cluster, fault, seconds, unknown) {
  await fault.begin(cluster);
  const began = Date.now();
  const problems = await refusals(world, unknown);
  await everyReadyzSays(world, 503, 10000);
  await world.progress(5);
  while (Date.now() - began < seconds * 1000) await pause(50);
  await world.progress(5);
  await fault.end(cluster);
  // `tollgate dev` starts its cluster again within 5 s; the second counts from then.
  await eventually(async () => (await world.openDatabase()).end().then(() => true), {
    deadline: 30000,
    every: 5,
    what: 'Postgres accepts connections',
  });
  const back = Date.now();
  await everyReadyzSays(world, 200, 30000);
  return { problems, readyMs: Date.now() - back };
}

// No SDK clients: one may open a new connection at any time, and find a worker that does not know
// its key yet. The roaming clients do so all the time, and have been everywhere before.
async function postgres(how, { seconds = 20, seed = 1 } = {}) {
  const world = await World.build({ seed, workers: 2, roaming: 4 });
  const cluster = new Cluster(world.gateway.dev.owner_database_url);
  try {
    const unknown = await stranger(world);
    await world.startLoad();
    await world.progress(warmUpCalls, 60000);
    const { problems, readyMs } = await outage(world, cluster, faults[how], seconds, unknown);
    world.database = await world.openDatabase();
    const after = await unknown.call('new', 'echo');
    if (after.status !== 200) problems.push(`the unknown key afterwards: ${after.status}`);
    await world.progress(5);
    await world.stopLoad();
    const strangers = ['stranger', 'newcomer'];
    problems.push(
      ...(await world.settle((call) => call.status === 503 && strangers.includes(call.lane))),
    );
    return {
      problems,
      numbers: { away_s: seconds, ...world.counts, ready_ms: readyMs },
      limits: [['ready_ms', 1000]],
    };
  } finally {
    await world.close();
  }
}

// default_transaction_read_only for the whole cluster, as in a failover.
const readOnly = {
  prepare: async () => ({}),
  begin: (cluster) => cluster.configure('default_transaction_read_only', 'on'),
  end: (cluster) => cluster.configure('default_transaction_read_only', 'off'),
  cleanUp: async () => {},
};

// The cluster lies on a filesystem of its own, which somebody else fills.
const diskFull = {
  prepare: async (world) => {
    const disk = await world.moveCluster(clusterMebibytes);
    return disk === undefined ? { skipped: 'no filesystem can be mounted here' } : { disk };
  },
  begin: (_, { disk }) => disk.fill(),
  end: (_, { disk }) => disk.free(),
  cleanUp: async (world, { disk }) => {
    await world.gateway.stop();
    disk?.unmount();
  },
};

const clusterMebibytes = 320;

// What was known goes on to be served while PostgreSQL takes no rows; then they arrive.
async function unwritable(how, { seconds = 20, seed = 1 } = {}) {
  const world = await World.build({ seed, workers: 2 });
  let more = {};
  try {
    more = await how.prepare(world);
    if (more.skipped) return more;
    const cluster = new Cluster(world.gateway.dev.owner_database_url);
    await world.startLoad();
    await world.progress(5);
    await how.begin(cluster, more);
    const began = Date.now();
    await eventually(async () => (await world.readyz()).json.audit.backlog_rows > 20, {
      deadline: 20000,
      what: 'rows wait',
    });
    await world.progress(5);
    while (Date.now() - began < seconds * 1000) await pause(50);
    const { json } = await world.readyz();
    await how.end(cluster, more);
    await world.progress(5);
    await world.stopLoad();
    await world.database.end().catch(() => {});
    world.database = await eventually(() => world.openDatabase(), { deadline: 30000 });
    const problems = await world.settle();
    if (!(json.audit.oldest_seconds >= seconds - 2))
      problems.push(`after ${seconds} s the oldest row waits ${json.audit.oldest_seconds} s`);
    return {
      problems,
      numbers: { away_s: seconds, waited: json.audit.backlog_rows, ...world.counts },
      limits: [],
    };
  } finally {
    await how.cleanUp(world, more);
    await world.close();
  }
}

export const postgresReadOnly = (options) => unwritable(readOnly, options);
export const postgresFull = (options) => unwritable(diskFull, options);
export const postgresKilled = (options) => postgres('kill', options);
export const postgresStopped = (options) => postgres('stop', options);
