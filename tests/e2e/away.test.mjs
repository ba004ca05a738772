// SPDX-License-Identifier: Apache-2.0
//
// Postgres goes away and comes back: stopped in its tracks (SIGSTOP: it takes connections and
// answers nothing), killed (kill -9 of the postmaster), restarted. What the workers know they serve
// on, at the same speed; the rest is 503; rows arrive afterwards, each once; and a gateway with a
// short stale_max serves nothing any more.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { connectDatabase, dispose, newDirectory, runCli, start } from './lib/gateway.mjs';
import { message, openSession, post, request, requestModern } from './lib/raw.mjs';
import { startSecond } from './lib/second.mjs';
import { eventually } from './lib/wait.mjs';
import { connectAll } from './lib/workers.mjs';

const stale = 5000;
// A transaction's time, and what stands behind it for a server that does not answer.
const giveUp = 3500;
// From the moment Postgres answers until the gateway is ready.
const back = 1000;
// A call that asks Postgres nothing. Generous: sanitizers, and two cores for everything.
const quick = 500;

let gateway;
let second;
let tenant;
let upstream;
let workers; // of the development gateway, or both of them
let hasty; // of the other one
let session;

const firstUrl = () => gateway.mcp();
const secondUrl = () => `${second.publicUrl}/mcp`;

before(async () => {
  gateway = await start(newDirectory());
  upstream = await startFixture('legacy');
  tenant = await gateway.newTenant('away');
  const egress = { allow: [`127.0.0.1:${upstream.port}`] };
  await gateway.must(200, 'PATCH', `/tenants/${tenant.name}`, { egress }, { ifMatch: true });
  await tenant.addConnection('up', upstream.url);
  second = await startSecond(gateway.dev, gateway.directory, { set: { stale_max: `${stale}ms` } });
  workers = [];
  for (const { public_url: url } of gateway.each)
    workers.push(...(await connectAll(gateway, `${url}/mcp`, tenant.userKey)));
  hasty = await connectAll(gateway, secondUrl(), tenant.userKey);
  session = await openSession(firstUrl(), { key: tenant.userKey });
});

after(async () => {
  for (const worker of [...(workers ?? []), ...(hasty ?? [])]) worker.close();
  await second?.stop();
  await upstream?.stop();
  if (gateway) await dispose(gateway);
});

let serial = 0;
const sent = []; // nonces of calls that were answered
const params = () => ({ name: 'up__echo', arguments: { nonce: `away-${++serial}` } });

// A call in each era on that worker, with what it knows. Gives the longest time that one took.
async function knownCalls(worker) {
  const ask = [
    (what) => requestModern(worker.via.url, 'tools/call', what, { key: tenant.userKey, ...worker.via }),
    (what) => session.request('tools/call', what, worker.via),
  ];
  let longest = 0;
  for (const one of ask) {
    const what = params();
    const began = performance.now();
    const reply = await one(what);
    longest = Math.max(longest, performance.now() - began);
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.answer.result.structuredContent.nonce, what.arguments.nonce);
    sent.push(what.arguments.nonce);
  }
  return longest;
}

// Every change of the tenant makes the workers forget its keys and sessions, and a change has
// others in its wake. Once it has been quiet for so long, what is used is known.
const quiet = 1000;

async function settle() {
  const listener = await connectDatabase(gateway.dev.database_url);
  let heard = performance.now();
  listener.on('notification', () => (heard = performance.now()));
  await listener.query('LISTEN tollgate');
  await eventually(() => performance.now() - heard >= quiet, {
    deadline: 20000,
    what: 'nothing changes',
  });
  await listener.end();
  for (const worker of [...workers, ...hasty]) await knownCalls(worker);
  for (const { via } of workers) assert.equal((await api('GET', '/users', via)).status, 200);
}

const api = (method, route, via, body) =>
  request(`${new URL(via.url).origin}/api/v1${route}`, {
    ...via,
    method,
    headers: { authorization: `Bearer ${tenant.adminKey}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });

// Every worker, with connections enough to miss one in 4000 times.
const ready = async (opsUrl) => {
  const all = Array.from({ length: 12 }, () => request(`${opsUrl}/readyz`));
  return (await Promise.all(all)).every((reply) => reply.status === 200);
};

const postgres = () => gateway.processes().filter((one) => one.command === 'postgres');
const postmaster = () => {
  const all = postgres();
  return all.find((one) => !all.some((other) => other.pid === one.parent));
};
const signalAll = (signal) => {
  for (const one of postgres()) {
    try {
      process.kill(one.pid, signal);
    } catch (problem) {
      if (problem.code !== 'ESRCH') throw problem; // a backend that has just ended
    }
  }
};

const retryAfter = (reply) => assert.match(reply.headers['retry-after'], /^[1-9]\d*$/);

async function unavailable(what, ask) {
  const began = performance.now();
  const reply = await ask();
  assert.equal(reply.status, 503, `${what}: ${reply.status} ${reply.text}`);
  retryAfter(reply);
  assert.ok(performance.now() - began < giveUp, what);
  return reply;
}

// All that needs Postgres. key: one that no worker has seen.
async function newThings(key) {
  const initialize = message(7, 'initialize', {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'raw', version: '1' },
  });
  const replies = await Promise.all([
    unavailable('a new session', () => post(firstUrl(), initialize, { key: tenant.userKey }).done),
    unavailable('a new key', () => requestModern(firstUrl(), 'tools/list', {}, { key })),
    unavailable('a session that nobody knows', () =>
      post(firstUrl(), message(7, 'tools/list', {}), {
        key: tenant.userKey,
        headers: { 'mcp-session-id': 'unknown', 'mcp-protocol-version': '2025-11-25' },
      }).done,
    ),
    unavailable('an edit', () =>
      api('POST', '/users', workers[0].via, { name: `new-${++serial}` }),
    ),
  ]);
  for (const { answer } of replies.slice(0, 3)) {
    assert.equal(answer.error.code, -32000);
    assert.match(answer.error.message, / now$/);
  }
  assert.equal(replies[0].answer.id, 7);
  const problem = JSON.parse(replies[3].text);
  assert.match(replies[3].headers['content-type'], /^application\/problem\+json/);
  assert.equal(problem.code, 'unavailable');
  assert.match(problem.detail, /database/);
}

async function commandLine() {
  const env = { TOLLGATE_URL: gateway.dev.public_url, TOLLGATE_KEY: tenant.adminKey };
  const plain = await runCli(['users', 'add', `new-${++serial}`], { env });
  assert.equal(plain.code, 4, plain.stderr);
  assert.match(plain.stderr, /^tollgate: the database [^;]*(;[^;]*)?\n$/);
  const asJson = await runCli(['users', 'add', `new-${++serial}`, '-o', 'json'], { env });
  assert.equal(asJson.code, 4);
  const { error } = JSON.parse(asJson.stderr);
  assert.equal(error.code, 'unavailable');
  assert.equal(error.hint, undefined);
}

// The rows of all calls that were answered, each once.
async function rowsArrive() {
  const nonces = () =>
    gateway.owner(
      `SELECT arguments ->> 'nonce' AS nonce FROM audit.calls
       WHERE tenant = $1 AND method = 'tools/call' AND outcome = 'ok'`,
      [tenant.name],
    );
  await eventually(async () => (await nonces()).length >= sent.length, {
    deadline: 15000,
    what: `${sent.length} rows`,
  });
  assert.deepEqual((await nonces()).map((row) => row.nonce).toSorted(), sent.toSorted());
}

async function readyAgain() {
  const began = performance.now();
  const opsUrls = [...gateway.each.map((one) => one.ops_url), second.opsUrl];
  await eventually(async () => (await Promise.all(opsUrls.map(ready))).every(Boolean), {
    deadline: 10000,
    every: 10,
    what: 'all gateways are ready',
  });
  return performance.now() - began;
}

// Everything works within a moment, for keys that are new and edits too. A worker that asked nothing of a
// Postgres that stood still has not told /readyz, and tries again after its back-off.
async function worksAgain(key) {
  const works = (what, ask) => eventually(async () => (await ask()) ?? true, { deadline: back, what });
  await works('a new key', async () =>
    assert.equal((await requestModern(firstUrl(), 'tools/list', {}, { key })).status, 200),
  );
  await works('a new session', async () => {
    const opened = await openSession(secondUrl(), { key: tenant.userKey });
    assert.equal((await opened.request('tools/list', {})).status, 200);
  });
  const name = `back-${++serial}`;
  await works('an edit', async () => {
    await tenant.must(201, 'POST', '/users', { name });
  });
  for (const worker of [...workers, ...hasty]) await knownCalls(worker);
}

describe('while Postgres', () => {
  test('is stopped, what is known is served and the rest is 503', async () => {
    const { key } = await gateway.newKey(tenant.name, { name: 'unseen-1', user: 'ana' });
    await settle();
    const began = performance.now();
    signalAll('SIGSTOP');
    try {
      for (const worker of workers) assert.ok((await knownCalls(worker)) < quick);
      await newThings(key);
      await commandLine();
      // Longer than the second gateway trusts what it knows.
      const ask = () =>
        Promise.all(
          hasty.map(({ via }) =>
            requestModern(via.url, 'tools/list', {}, { key: tenant.userKey, ...via }),
          ),
        );
      const refused = await eventually(
        async () => {
          const replies = await ask();
          return replies.every((reply) => reply.status === 503) && replies;
        },
        { deadline: 2 * stale, every: 100, what: 'the second gateway serves nothing' },
      );
      assert.ok(performance.now() - began > stale - 2500);
      refused.forEach(retryAfter);
      for (const worker of workers) assert.ok((await knownCalls(worker)) < quick);
    } finally {
      signalAll('SIGCONT');
    }
    assert.ok((await readyAgain()) < back);
    await worksAgain(key);
    await rowsArrive();
  });

  test('is killed, the same holds, and it is started again', async () => {
    const { key } = await gateway.newKey(tenant.name, { name: 'unseen-2', user: 'ana' });
    await settle();
    const killed = postmaster();
    process.kill(killed.pid, 'SIGKILL');
    // The development start brings it back as soon as its last backend has gone.
    let away = 0;
    const accepts = async () => {
      try {
        return await gateway.owner('SELECT 1');
      } catch {
        away++;
        for (const worker of workers) assert.ok((await knownCalls(worker)) < quick);
        return undefined;
      }
    };
    await eventually(accepts, { deadline: 20000, every: 10, what: 'Postgres is back' });
    assert.ok(away > 0);
    assert.ok((await readyAgain()) < back);
    assert.notEqual(postmaster().pid, killed.pid);
    await worksAgain(key);
    await rowsArrive();
  });
});
