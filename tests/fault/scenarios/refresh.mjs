// SPDX-License-Identifier: Apache-2.0
//
// Tokens that expire under many callers, and workers that die while they renew one.

import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { Granted } from '../lib/granted.mjs';
import { random } from '../lib/random.mjs';
import { startTokenMill } from '../lib/token_mill.mjs';

// A token that was renewed because it was refused is not renewed for that again at once.
const restMs = 1100;
// What a worker has sent before it died may still have to be read.
const lateMs = 50;

// All tokens expire at once, and many callers at both gateways find out together.
export async function refreshStorm({ rounds = 125, grants = 8, callers = 64 } = {}) {
  const world = await Granted.build({ connections: grants });
  const problems = [];
  try {
    const before = world.server.counts.refresh;
    for (let round = 0; round < rounds; round++) {
      world.server.expire();
      const failed = await Promise.all(
        Array.from({ length: callers }, (_, at) => world.call(world.names[at % grants], at >> 3)),
      );
      problems.push(...failed.filter(Boolean).map((text) => `round ${round}: ${text}`));
      await pause(restMs);
    }
    const refreshes = world.server.counts.refresh - before;
    const events = await world.events();
    const expiries = rounds * grants;
    if (refreshes !== expiries) problems.push(`${refreshes} renewals for ${expiries} expiries`);
    if (world.server.counts.replays > 0)
      problems.push(`${world.server.counts.replays} refresh tokens were sent twice`);
    if (events.refresh_succeeded !== refreshes)
      problems.push(`${events.refresh_succeeded} events for ${refreshes} renewals`);
    return {
      problems,
      numbers: { calls: world.calls, rows: await world.rows(), expiries, refreshes },
      limits: [],
    };
  } finally {
    await world.close();
  }
}

// When the worker dies, as the authorization server sees it: what it does with the request, and how
// long after that the worker is killed, in ms. lost: whether the grant may be lost, because the
// answer may not have been durable.
const moments = {
  'as the lease is taken': { fault: 'before', early: true, lost: false },
  'before anything was done': { fault: 'before', lost: false },
  'done, and not answered': { fault: 'after', lost: true },
  'as the answer leaves': { delay: 0, lost: true },
  'a moment after the answer': { delay: 6, lost: true },
};

const renewerOf = (world, name) =>
  eventually(
    async () => {
      const [row] = await world.query(
        `SELECT n.pid FROM tollgate.grants g JOIN tollgate.connections c
           ON (c.tenant_id, c.id) = (g.tenant_id, g.connection_id)
         JOIN tollgate.nodes n ON n.id = g.lease_owner
         JOIN tollgate.tenants t ON t.id = g.tenant_id
         WHERE c.name = $1 AND t.name = $2`,
        [name, world.tenant.name],
      );
      return row?.pid;
    },
    { deadline: 60000, every: 2, what: 'somebody renews' },
  );

// Calls until that makes somebody renew: a listing of the gateway's own may have been first. Gives
// {calling}, the call that did, which goes on.
async function makeRenew(world, name, chance, { fault, sign }) {
  for (;;) {
    world.server.faults.length = 0;
    world.server.fault('refresh', fault);
    world.expire(name);
    const calling = world.call(name, chance.below(2));
    const first = await Promise.race([sign.then(() => 'sign'), calling.then(() => 'answer')]);
    if (first === 'sign') return { calling };
    await pause(restMs);
  }
}

// Lets the request for a token of `name` reach its moment, and kills who sent it.
async function killAt(world, name, { fault, early, delay }, chance) {
  let reached;
  let goOn;
  const arrived = new Promise((resolve) => (reached = resolve));
  const hold = new Promise((resolve) => (goOn = resolve));
  // `then` is asked for when the request has come this far.
  const gate = { then: (resolve) => (reached(), hold.then(resolve)) };
  const drop = fault === undefined ? {} : { drop: fault };
  const held = { [fault === 'before' ? 'holdBefore' : 'until']: gate, ...drop };
  const renewer = early ? renewerOf(world, name) : arrived.then(() => renewerOf(world, name));
  const { calling } = await makeRenew(world, name, chance, {
    fault: held,
    sign: early ? renewer : arrived,
  });
  const pid = await renewer;
  if (fault === undefined) {
    goOn();
    await pause(delay === 0 ? 0 : chance.below(delay));
  }
  process.kill(pid, 'SIGKILL');
  goOn();
  await calling; // which may have been on the worker that died
  if (early) {
    await pause(lateMs);
    world.server.faults.length = 0; // it was never sent
  }
  return pid;
}

const stateOf = async (world, name) =>
  (
    await world.query(
      `SELECT g.state FROM tollgate.grants g JOIN tollgate.connections c
         ON (c.tenant_id, c.id) = (g.tenant_id, g.connection_id)
       JOIN tollgate.tenants t ON t.id = g.tenant_id WHERE c.name = $1 AND t.name = $2`,
      [name, world.tenant.name],
    )
  )[0].state;

// It works again, or it says that somebody has to connect again.
const settled = (world, name, at) =>
  eventually(
    async () => {
      const problem = await world.call(name, at);
      if (problem === undefined) return 'works';
      if ((await stateOf(world, name)) === 'needs_reauth') return 'flagged';
      throw new Error(problem);
    },
    { deadline: 60000, every: 100, what: `${name} is renewed or flagged` },
  );

// kill -9 of the worker that renews, at each moment of a renewal.
export async function refreshKill({ count = 50, seed = 1, grants = 4 } = {}) {
  const world = await Granted.build({ connections: grants, workers: 4 });
  const chance = random(seed);
  const problems = [];
  const flagged = {};
  let at = 0;
  try {
    for (const [when, moment] of Object.entries(moments)) {
      flagged[when] = 0;
      for (let n = 0; n < count; n++) {
        const name = world.names[at++ % grants];
        await pause(restMs / grants);
        await killAt(world, name, moment, chance);
        if ((await settled(world, name, at)) === 'works') continue;
        flagged[when]++;
        if (!moment.lost) problems.push(`${when}: the grant of ${name} is lost`);
        await world.give(name);
      }
    }
    const lost = Object.values(flagged).reduce((sum, n) => sum + n, 0);
    const events = await world.events();
    if ((events.refresh_lost ?? 0) !== lost)
      problems.push(`${events.refresh_lost} of ${lost} lost grants are recorded as lost`);
    if (events.refresh_failed_revoked !== undefined)
      problems.push(`${events.refresh_failed_revoked} grants are said to be revoked`);
    if (flagged['done, and not answered'] !== count)
      problems.push('an answer that never left was not missed');
    return {
      problems,
      numbers: {
        calls: world.calls,
        rows: await world.rows(),
        kills: at,
        flagged_as_it_leaves: flagged['as the answer leaves'],
        flagged_after: flagged['a moment after the answer'],
      },
      limits: [],
    };
  } finally {
    await world.close();
  }
}

// So many grants of one server, all due now. They need no refresh token, so they need no secret.
async function insertDue(world, mill, count) {
  const [{ tenant_id, id }] = await world.query(
    `SELECT c.tenant_id, c.id FROM tollgate.connections c
     JOIN tollgate.tenants t ON t.id = c.tenant_id WHERE t.name = $1 AND c.name = $2`,
    [world.tenant.name, world.names[0]],
  );
  await world.query(
    `INSERT INTO tollgate.users (tenant_id, id, name)
     SELECT $1, gen_random_uuid(), 'due' || n FROM generate_series(1, $2::int) n`,
    [tenant_id, count],
  );
  await world.query(
    `INSERT INTO tollgate.grants (tenant_id, connection_id, subject, user_id, id, kind, token_url,
                                  client_id, next_refresh_at)
     SELECT $1, $2, 'user:' || u.id, u.id, gen_random_uuid(), 'client_credentials', $3, 'me', now()
     FROM tollgate.users u WHERE u.tenant_id = $1 AND u.name LIKE 'due%'`,
    [tenant_id, id, mill.url],
  );
}

const stopAfter = (ms) => {
  const until = Date.now() + ms;
  return () => Date.now() >= until;
};

const percentile = (list, part) =>
  list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * part))];

// Four clients call until `done` says so. Gives the times of all calls, in ms.
async function callUntil(world, done, problems) {
  const times = [];
  const lane = async (at) => {
    while (!done()) {
      const began = performance.now();
      const problem = await world.call(world.names[0], at);
      times.push(performance.now() - began);
      if (problem) problems.push(problem);
      await pause(5);
    }
  };
  await Promise.all([0, 1, 2, 3].map(lane));
  return times;
}

// Grants that all fall due at once, of one server, while others call.
export async function refreshMany({ count = 10000, idleMs = 5000 } = {}) {
  const world = await Granted.build({ connections: 1 });
  const mill = await startTokenMill();
  const problems = [];
  try {
    await world.permit(mill.host);
    await callUntil(world, stopAfter(idleMs / 5), problems);
    const idle = await callUntil(world, stopAfter(idleMs), problems);
    await insertDue(world, mill, count);
    const began = Date.now();
    let left = count;
    const watching = eventually(
      async () => {
        const [{ n }] = await world.query(
          `SELECT count(*)::int AS n FROM tollgate.grants
           WHERE kind = 'client_credentials' AND version = 1`,
        );
        left = n;
        if (n > 0) throw new Error(`${n} are left`);
        return true;
      },
      { deadline: 600000, every: 250, what: 'all are renewed' },
    ).finally(() => (left = 0));
    const busy = await callUntil(world, () => left === 0, problems);
    await watching;
    const seconds = (Date.now() - began) / 1000;
    const { tokens, most } = await mill.counts();
    if (tokens !== count) problems.push(`${tokens} renewals of ${count} grants`);
    if (most > 16) problems.push(`${most} renewals at once at one server`);
    const [p99Idle, p99] = [percentile(idle, 0.99), percentile(busy, 0.99)];
    return {
      problems,
      numbers: {
        calls: world.calls,
        rows: await world.rows(),
        renewed: tokens,
        seconds,
        at_once: most,
        p99_idle_ms: Math.round(p99Idle * 10) / 10,
        p99_ms: Math.round(p99 * 10) / 10,
        p99_ratio: Math.round((p99 / p99Idle) * 100) / 100,
      },
      limits: [['p99_ratio', 1.5]],
    };
  } finally {
    await world.close();
    await mill.close();
  }
}
