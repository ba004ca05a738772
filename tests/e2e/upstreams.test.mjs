// SPDX-License-Identifier: Apache-2.0
//
// Upstreams that misbehave, change and are edited, before the three workers of two gateways on one
// database: one of them watches each upstream, all of them serve it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { allProcesses, dispose, newDirectory, sql, start } from './lib/gateway.mjs';
import { requestModern } from './lib/raw.mjs';
import { startSecond } from './lib/second.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
let second;
let tenant;
const upstreams = {};

// Another gateway, with a data directory of that name.
async function startServe(name, workers) {
  const served = await startSecond(gateway.dev, gateway.directory, {
    workers,
    set: { data_dir: `${gateway.directory}/${name}` },
  });
  return {
    ...served,
    api: `${served.publicUrl}/api/v1`,
    mcp: ({ connection } = {}) => `${served.publicUrl}${connection ? `/c/${connection}` : ''}/mcp`,
  };
}

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('up');
  for (const [name, era, options] of [
    ['one', 'legacy'],
    ['two', 'modern'],
    ['three', 'legacy'],
    ['old', 'legacy', { token: 'old' }],
    ['new', 'modern', { token: 'new' }],
    ['broken', 'modern'],
    ['flapping', 'legacy'],
    ['closed', 'legacy', { token: 'right' }],
  ])
    upstreams[name] = await startFixture(era, { name, ...options });
  // `dev` permits loopback everywhere, `serve` what the tenant has an exception for.
  const allow = Object.values(upstreams).map(({ port }) => `127.0.0.1:${port}`);
  await gateway.must(200, 'PATCH', `/tenants/${tenant.name}`, { egress: { allow } }, { ifMatch: true });
  second = await startServe('second', 1);
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await second?.stop();
  await dispose(gateway);
});

const status = async (name) => (await gateway.status(tenant.adminKey, name)).json;
const statusIs = (name, check, deadline = 5000) =>
  eventually(
    async () => {
      const json = await status(name);
      if (!check(json)) throw new Error(JSON.stringify(json));
      return json;
    },
    { deadline, what: `the status of ${name}: ${check}` },
  );
const call = (name, args = {}, place = gateway) =>
  requestModern(place.mcp(), 'tools/call', { name, arguments: args }, { key: tenant.userKey });
const textOf = ({ answer }) => answer.result?.content?.[0]?.text ?? JSON.stringify(answer);
const toolsOf = async (connection, place) => {
  const { answer } = await requestModern(
    place.mcp({ connection }),
    'tools/list',
    {},
    { key: tenant.userKey },
  );
  return answer.result?.tools.map((tool) => tool.name) ?? [];
};
const refresh = async (name, base = gateway.dev.api_url) => {
  const response = await fetch(`${base}/connections/${name}/refresh`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tenant.adminKey}` },
  });
  return { status: response.status, json: await response.json() };
};

// Request ids carry a number of the worker above their 32 bits of counter.
const listersOf = async (upstream) => {
  const { requests } = await upstream.ledger();
  const ids = requests.filter(({ method }) => method === 'tools/list').map(({ id }) => id);
  return new Set(ids.map((id) => Number(BigInt(id) >> 32n)));
};

// The ids of a gateway's workers.
async function nodesOf(served) {
  const pids = allProcesses().filter(({ parent }) => parent === served.pid);
  const rows = await gateway.owner('SELECT id FROM tollgate.nodes WHERE pid = ANY($1)', [
    pids.map(({ pid }) => pid),
  ]);
  return rows.map((row) => row.id);
}

describe('of all workers one', () => {
  const names = ['one', 'two', 'three'];

  test('watches a connection, and says who', async () => {
    for (const name of names) await tenant.addConnection(name, upstreams[name].url);
    for (let round = 0; round < 3; round++)
      for (const name of names)
        for (const base of [gateway.dev.api_url, second.api]) {
          const done = await refresh(name, base);
          assert.equal(done.status, 200);
          assert.equal(done.json.healthy, true);
        }
    const watchers = new Set();
    for (const name of names) {
      assert.ok((await upstreams[name].ledger()).listed >= 7);
      assert.equal((await listersOf(upstreams[name])).size, 1, `${name} is listed by one worker`);
      watchers.add((await status(name)).watcher.node);
    }
    // The connection of the development tenant is one more.
    assert.ok(watchers.size >= 2, 'the work is shared');
    const asUser = await gateway.status(tenant.userKey, 'one');
    assert.equal(asUser.json.watcher, null);
  });

  test('takes over at once what a killed one has watched', async () => {
    const { node } = (await status('one')).watcher;
    const [{ pid }] = await gateway.owner('SELECT pid FROM tollgate.nodes WHERE id = $1', [node]);
    process.kill(pid, 'SIGKILL');
    await statusIs('one', ({ watcher }) => watcher !== null && watcher.node !== node, 5000);
    // Whichever worker was killed, a gateway answers again by now.
    const done = await eventually(() => refresh('one'), { what: 'a refresh' });
    assert.equal(done.json.healthy, true);
  });

  test('takes over what a gateway that is gone has watched, when its lease has run out', async () => {
    const third = await startServe('third', 3);
    const extra = ['extra-a', 'extra-b', 'extra-c', 'extra-d'];
    for (const name of extra) await tenant.addConnection(name, upstreams.one.url);
    const nodes = await nodesOf(third);
    const theirs = [];
    for (const name of extra)
      if (nodes.includes((await status(name)).watcher?.node)) theirs.push(name);
    assert.ok(theirs.length >= 1, 'the newcomers have a part');
    await third.stop('SIGKILL');
    for (const name of theirs) {
      await statusIs(
        name,
        ({ watcher }) => watcher !== null && !nodes.includes(watcher.node),
        16000,
      );
      assert.equal((await refresh(name)).json.healthy, true);
    }
    for (const name of extra)
      await tenant.must(204, 'DELETE', `/connections/${name}`, undefined, { ifMatch: true });
  });

  test('gives back what it watches when it stops', async () => {
    const third = await startServe('third', 3);
    const extra = ['extra-a', 'extra-b', 'extra-c', 'extra-d'];
    for (const name of extra) await tenant.addConnection(name, upstreams.one.url);
    const nodes = await nodesOf(third);
    const stopping = third.stop();
    for (const name of extra)
      await statusIs(
        name,
        ({ watcher }) => watcher !== null && !nodes.includes(watcher.node),
        4000,
      );
    await stopping;
    for (const name of extra)
      await tenant.must(204, 'DELETE', `/connections/${name}`, undefined, { ifMatch: true });
  });
});

describe('a change of the tools', () => {
  test('that an upstream tells is offered by every worker within 1.5 s', async () => {
    for (const name of ['one', 'two']) {
      for (const hidden of [['echo'], []]) {
        await upstreams[name].control({ hidden });
        await eventually(
          async () => {
            for (const place of [gateway, gateway, gateway, gateway, second])
              if ((await toolsOf(name, place)).includes('echo') === hidden.includes('echo'))
                return false;
            return true;
          },
          { deadline: 1500, what: `${name} without ${hidden}` },
        );
      }
    }
  });

  test('is found by a refresh, on any worker and by the command line', async () => {
    const before = (await status('three')).tools;
    await upstreams.three.control({ mode: 'ok' });
    const { json } = await refresh('three', second.api);
    assert.equal(json.tools, before);
    const done = await gateway.cli(['connections', 'refresh', 'three'], {
      env: { TOLLGATE_KEY: tenant.adminKey },
    });
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, new RegExp(`three speaks the legacy era and has ${before} tools`));
    assert.equal((await refresh('nobody')).status, 404);
    const asUser = await gateway.api('POST', '/connections/three/refresh', undefined, {
      key: tenant.userKey,
    });
    assert.equal(asUser.status, 403);
  });
});

describe('an edit', () => {
  const bearer = (credential) => ({ mode: 'bearer', credential });

  test('is a swap: no call fails, none goes to a wrong mix, and all workers follow at once', async () => {
    await tenant.addConnection('swap', upstreams.old.url, { auth: bearer('old') });
    await upstreams.new.control({ mode: 'status', status: 503 });
    const replies = [];
    let running = true;
    const load = [gateway, gateway, second].map(async (place) => {
      while (running) replies.push(await call('swap__echo', { n: replies.length }, place));
    });
    await tenant.must(
      200,
      'PATCH',
      '/connections/swap',
      { url: upstreams.new.url, auth: bearer('new') },
      { ifMatch: true },
    );
    const pending = await statusIs('swap', (json) => /503/.test(json.pending?.last_error));
    assert.equal(pending.healthy, true, 'the old one serves');
    assert.ok(Date.parse(pending.pending.next_retry_at) > 0);
    const shown = await tenant.must(200, 'GET', '/connections/swap');
    assert.equal(shown.json.url, upstreams.new.url);
    const served = replies.length;
    await eventually(() => replies.length > served + 20, { what: 'calls go on' });
    assert.equal((await upstreams.new.ledger()).calls.length, 0);
    await upstreams.new.control({ mode: 'ok' });
    await refresh('swap', second.api);
    await statusIs('swap', (json) => json.pending === null && json.era === 'modern');
    await eventually(async () => (await upstreams.new.ledger()).calls.length > 20, {
      what: 'the new one is called',
    });
    running = false;
    await Promise.all(load);
    const last = (await upstreams.old.ledger()).calls.length;
    for (let n = 0; n < 12; n++) replies.push(await call('swap__echo', {}, n % 3 ? gateway : second));
    assert.equal((await upstreams.old.ledger()).calls.length, last, 'the old one is left');
    const failed = replies.filter(
      ({ answer }) => answer.result === undefined || answer.result.isError,
    );
    assert.deepEqual(failed.map(textOf), []);
    const calls =
      (await upstreams.old.ledger()).calls.length + (await upstreams.new.ledger()).calls.length;
    assert.equal(calls, replies.length, 'each call ran once');
    for (const name of ['old', 'new'])
      assert.deepEqual((await upstreams[name].ledger()).violations, []);
    const rows = await gateway.owner('SELECT count(*) AS n FROM tollgate.serving_connections');
    assert.equal(Number(rows[0].n), 0, 'the old credential is gone');
  });

  test('of who may use it holds at once, while new settings are tried out', async () => {
    await upstreams.old.control({ mode: 'status', status: 503 });
    await tenant.must(
      200,
      'PATCH',
      '/connections/swap',
      { url: upstreams.old.url, auth: bearer('old') },
      { ifMatch: true },
    );
    await tenant.must(
      200,
      'PATCH',
      '/connections/swap',
      { tools: { allow: ['*'], deny: ['echo'] } },
      { ifMatch: true },
    );
    for (const place of [gateway, second])
      await eventually(async () => !(await toolsOf('swap', place)).includes('echo'), {
        what: 'echo is denied',
      });
    assert.equal((await status('swap')).pending !== null, true);
    assert.equal(textOf(await call('swap__big_numbers', {})).length > 0, true);
    await tenant.must(200, 'PATCH', '/connections/swap', { enabled: false }, { ifMatch: true });
    for (const place of [gateway, second])
      await eventually(async () => (await call('swap__big_numbers', {}, place)).answer.error, {
        what: 'it is disabled',
      });
    assert.equal((await status('swap')).pending, null);
    await tenant.must(204, 'DELETE', '/connections/swap', undefined, { ifMatch: true });
  });
});

describe('the circuit breaker', () => {
  const ran = async () => (await upstreams.broken.ledger()).calls.length;

  test('opens after five failures, then lets one call a second through, of all workers', async () => {
    await tenant.addConnection('broken', upstreams.broken.url);
    for (let n = 0; n < 5; n++) {
      const reply = await call('broken__break', { how: '500' }, second);
      assert.match(textOf(reply), /^broken cannot be used now: it answered HTTP 500/);
    }
    assert.equal(await ran(), 5);
    const refused = await call('broken__echo', {}, second);
    assert.match(
      textOf(refused),
      /^broken is not called now: 5 of its last 10 calls have failed, the last one because it answered HTTP 500\. It is tried again in [01]\.\d s\. \(call [0-9a-f-]{36}\)$/,
    );
    assert.equal(refused.answer.result.isError, true);
    assert.equal(await ran(), 5);
    // The two other workers open theirs as well.
    await eventually(async () => {
      const replies = [];
      for (let n = 0; n < 16; n++) replies.push(textOf(await call('broken__break', { how: '500' })));
      return replies.every((text) => /is not called now/.test(text));
    });
    const [from, before] = [Date.now(), await ran()];
    while (Date.now() - from < 3000)
      await Promise.all(
        [gateway, gateway, second].map((place) => call('broken__break', { how: '500' }, place)),
      );
    const probes = (await ran()) - before;
    assert.ok(probes >= 2, `${probes} probes`);
    assert.ok(probes <= (Date.now() - from) / 1000 + 1, `${probes} probes in ${Date.now() - from} ms`);
    const json = await statusIs('broken', ({ state }) => state === 'degraded');
    assert.match(json.last_error, /HTTP 500/);
  });

  test('closes with the first call that goes well', async () => {
    for (const place of [second, gateway])
      await eventually(async () => !(await call('broken__echo', {}, place)).answer.result.isError, {
        what: 'it is called again',
      });
    await statusIs('broken', ({ state }) => state === 'ok', 8000);
    const rows = await sql(
      gateway.dev.owner_database_url,
      "SELECT DISTINCT outcome, is_error FROM audit.calls WHERE error_type = 'circuit_open'",
    );
    assert.deepEqual(rows, [{ outcome: 'upstream_error', is_error: true }]);
  });

  test('leaves errors of tools and refused credentials alone', async () => {
    for (let n = 0; n < 8; n++) {
      assert.equal((await call('broken__fail', {}, second)).answer.result.isError, true);
      assert.match(textOf(await call('broken__break', { how: '401' }, second)), /credential/);
    }
    assert.equal((await call('broken__echo', {}, second)).answer.result.isError, undefined);
  });
});

describe('an upstream that', () => {
  test('flaps comes back by itself each time, and harms nobody', async () => {
    await tenant.addConnection('flapping', upstreams.flapping.url);
    for (let round = 0; round < 3; round++) {
      await upstreams.flapping.control({ mode: 'reset' });
      await eventually(
        async () => {
          await Promise.all([call('flapping__echo'), call('flapping__echo', {}, second)]);
          const json = await status('flapping');
          if (json.state !== 'unreachable') throw new Error(JSON.stringify(json));
          return true;
        },
        { deadline: 10000, what: 'it is found to be down' },
      );
      assert.equal((await call('one__echo')).answer.result.isError, undefined);
      await upstreams.flapping.control({ mode: 'ok', forget: true });
      for (const place of [gateway, second])
        await eventually(
          async () => !(await call('flapping__echo', {}, place)).answer.result.isError,
          { deadline: 5000, what: 'it answers again' },
        );
      await statusIs('flapping', ({ healthy }) => healthy, 10000);
    }
  });

  test('refuses the credential is asked again later, and the status says so', async () => {
    await tenant.must(201, 'POST', '/connections', {
      name: 'closed',
      url: upstreams.closed.url,
      auth: { mode: 'bearer', credential: 'wrong' },
    });
    const json = await statusIs('closed', ({ state }) => state === 'auth_failed');
    assert.ok(Date.parse(json.next_retry_at) - Date.parse(json.last_error_at) >= 29000);
    await tenant.must(
      200,
      'PATCH',
      '/connections/closed',
      { auth: { mode: 'bearer', credential: 'right' } },
      { ifMatch: true },
    );
    await statusIs('closed', ({ healthy, pending }) => healthy && pending === null);
  });
});
