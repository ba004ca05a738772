// SPDX-License-Identifier: Apache-2.0
//
// Upstreams that forget their sessions, end their streams or die in the middle of a call: clients
// notice nothing that they need not, and no call runs twice. Two gateways of two workers each on
// one Postgres; sessions of upstreams shared by all, or not.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

import { clients } from './lib/clients.mjs';
import { freePort, startEverything, startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { registerGateway } from './lib/ledger.mjs';
import { openSession, request, requestModern } from './lib/raw.mjs';
import { startSecond } from './lib/second.mjs';
import { eventually } from './lib/wait.mjs';

const suite = path.join(
  import.meta.dirname,
  'node_modules/@modelcontextprotocol/conformance/dist/index.js',
);
const swept = 12000; // twice what it takes to look for ended sessions

let gateway;
let second;
let tenant;
let bob;
let everything;
let legacy;
let dying;
let serial = 0;

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('restarts');
  await gateway.must(201, 'POST', `/tenants/${tenant.name}/users`, { name: 'bob' });
  bob = (await gateway.newKey(tenant.name, { name: 'bob-key', user: 'bob' })).key;
  [everything, legacy, dying] = await Promise.all([
    startEverything(),
    startFixture('legacy'),
    startFixture('legacy'),
  ]);
  const allow = [everything, legacy, dying].map(({ port }) => `127.0.0.1:${port}`);
  const route = `/tenants/${tenant.name}`;
  await gateway.must(200, 'PATCH', route, { egress: { allow } }, { ifMatch: true });
  await Promise.all([
    tenant.addConnection('everything', everything.url),
    tenant.addConnection('shared', legacy.url),
    tenant.addConnection('each', legacy.url, { session: 'principal' }),
    tenant.addConnection('own', legacy.url, { session: 'client' }),
    tenant.addConnection('dying', dying.url),
  ]);
  second = await startSecond(gateway.dev, gateway.directory);
  registerGateway(gateway.directory, [second.publicUrl, second.keyUrl]);
});

after(async () => {
  await second?.stop();
  await Promise.all([everything, legacy, dying].map((upstream) => upstream?.stop()));
  if (gateway) await dispose(gateway);
});

const urls = () => [gateway.mcp(), `${second.publicUrl}/mcp`];
const nonce = () => `r${++serial}`;
const key = () => tenant.userKey;

// A call of a modern client; what came back.
async function modernCall(tool, args, { url = gateway.mcp(), as = key() } = {}) {
  const params = { name: tool, arguments: args };
  return (await requestModern(url, 'tools/call', params, { key: as })).answer;
}

const legacyCall = async (session, tool, args, extra) =>
  (await session.request('tools/call', { name: tool, arguments: args }, extra)).answer;

function assertResult(answer) {
  assert.ok(answer?.result, JSON.stringify(answer));
  assert.notEqual(answer.result.isError, true, JSON.stringify(answer));
}

const initializes = async (fixture) =>
  (await fixture.ledger()).requests.filter(({ method }) => method === 'initialize').length;
const runs = async (fixture, name) =>
  (await fixture.ledger()).calls.filter((call) => call.nonce === name).length;

describe('server-everything, restarted under its clients,', () => {
  const connected = [];
  const echo = (client, message) =>
    client.callTool('echo', { message }).then(({ content }) => content[0].text);

  before(async () => {
    for (const { connect } of clients)
      connected.push(
        await connect({ url: gateway.mcp({ connection: 'everything' }), key: tenant.userKey }),
      );
  });
  after(() => Promise.all(connected.map((client) => client.close())));

  test('answers their next calls as if nothing had been', async () => {
    for (const client of connected) assert.match(await echo(client, 'before'), /before/);
    for (let round = 0; round < 2; round++) {
      await everything.stop();
      everything = await startEverything({ port: everything.port });
      const answers = await Promise.all(
        connected.map((client) => echo(client, `${client.name} ${round}`)),
      );
      for (const [at, client] of connected.entries())
        assert.match(answers[at], new RegExp(`${client.name} ${round}`));
    }
  });
});

describe('an upstream that forgets its sessions', () => {
  for (const lost of ['404', '400', '400-id'])
    test(`and says ${lost} is asked once more in a new one`, async () => {
      const session = await openSession(gateway.mcp(), { key: key() });
      const elsewhere = { url: urls()[1] };
      assertResult(await legacyCall(session, 'shared__echo', { nonce: nonce() }));
      await legacy.control({ lost });
      for (const call of [
        (name) => legacyCall(session, 'shared__echo', { nonce: name }),
        (name) => modernCall('shared__echo', { nonce: name }),
        (name) => modernCall('shared__echo', { nonce: name }, elsewhere),
      ]) {
        const [before, name] = [await initializes(legacy), nonce()];
        await legacy.control({ forget: true });
        assertResult(await call(name));
        assert.equal(await runs(legacy, name), 1);
        assert.equal((await initializes(legacy)) - before, 1);
      }
      await legacy.control({ lost: '404' });
    });

  test('is initialized once, whoever calls it on whatever worker', async () => {
    const callers = 64;
    const names = Array.from({ length: callers }, nonce);
    const all = (list) =>
      Promise.all(
        list.map((name, at) => modernCall('shared__echo', { nonce: name }, { url: urls()[at % 2] })),
      );
    // So that every worker has the session that is lost.
    (await all(Array.from({ length: callers }, nonce))).forEach(assertResult);
    const before = await initializes(legacy);
    await legacy.control({ forget: true });
    (await all(names)).forEach(assertResult);
    assert.equal((await initializes(legacy)) - before, 1);
    const { calls, violations } = await legacy.ledger();
    for (const name of names)
      assert.equal(calls.filter((call) => call.nonce === name).length, 1, name);
    assert.deepEqual(violations, []);
  });
});

describe('an upstream that dies in the middle of a call', () => {
  test('has failed it; the call is not sent again, and the next one works', async () => {
    const session = await openSession(gateway.mcp(), { key: key() });
    const name = nonce();
    const held = [
      legacyCall(session, 'dying__hold', { nonce: name }),
      modernCall('dying__hold', { nonce: `${name}m` }),
    ];
    await dying.running(name);
    await dying.running(`${name}m`);
    await dying.stop('SIGKILL');
    for (const call of held) {
      const { result } = await call;
      assert.equal(result.isError, true);
      assert.match(result.content[0].text, /dying cannot be used now/);
    }
    dying = await startFixture('legacy', { port: dying.port });
    // The connection may be said to be down for a moment.
    const next = nonce();
    await eventually(
      async () => assertResult(await legacyCall(session, 'dying__echo', { nonce: next })) ?? true,
      { deadline: 10000, what: 'the next call works' },
    );
    assert.equal(await runs(dying, name), 0);
    assert.equal(await runs(dying, `${name}m`), 0);
    assert.equal(await runs(dying, next), 1);
  });

  test('may come back in the other era', async () => {
    const { port } = dying;
    for (const era of ['modern', 'legacy']) {
      await dying.stop('SIGKILL');
      dying = await startFixture(era, { port });
      const name = nonce();
      await eventually(
        async () => assertResult(await modernCall('dying__echo', { nonce: name })) ?? true,
        { deadline: 10000, what: `it is called as ${era}` },
      );
      assert.equal(await runs(dying, name), 1);
    }
  });
});

describe('an upstream that ends the stream of a call', () => {
  test('is asked for the answer when it wants to be, and runs the call once', async () => {
    await legacy.control({ sse: 'polled' });
    const name = nonce();
    const started = Date.now();
    const held = modernCall('shared__hold', { nonce: name });
    await legacy.running(name);
    await legacy.release(name);
    assertResult(await held);
    assert.ok(Date.now() - started >= 100);
    assert.equal(await runs(legacy, name), 1);
    await legacy.control({ sse: 'auto' });
  });

  test('finds in the gateway a client that passes sse-retry of the conformance suite', async () => {
    const client = path.join(import.meta.dirname, 'fixtures/retry_client.mjs');
    const { stdout, stderr } = await promisify(execFile)(
      process.execPath,
      [suite, 'client', '--command', `${process.execPath} ${client}`, '--scenario', 'sse-retry'],
      { env: { ...process.env, TOLLGATE_E2E_DIR: gateway.directory }, timeout: 30000 },
    );
    assert.match(stdout + stderr, /Passed: 3\/3, 0 failed/);
  });
});

describe('a session of an upstream', () => {
  // The one that a call ran in.
  const ranIn = async (call) => {
    const answer = await call;
    assertResult(answer);
    return answer.result.structuredContent.headers['mcp-session-id'];
  };
  const modern = (connection, options) =>
    ranIn(modernCall(`${connection}__needs_header`, {}, options));
  const of = (session, connection, extra) =>
    ranIn(legacyCall(session, `${connection}__needs_header`, {}, extra));
  const everywhere = async (ask) => {
    const seen = new Set();
    for (let at = 0; at < 16; at++) seen.add(await ask({ url: urls()[at % 2] }));
    assert.equal(seen.size, 1, `sessions ${[...seen]}`);
    return [...seen][0];
  };

  test('is shared, a principal’s, or a client’s, as the connection says, on every worker', async () => {
    const [ana1, ana2, bobs] = [
      await openSession(gateway.mcp(), { key: key() }),
      await openSession(gateway.mcp(), { key: key() }),
      await openSession(gateway.mcp(), { key: bob }),
    ];
    const shared = await everywhere((at) => modern('shared', at));
    assert.equal(await of(ana1, 'shared'), shared);
    assert.equal(await of(bobs, 'shared'), shared);

    const anas = await everywhere((at) => modern('each', at));
    assert.equal(await of(ana1, 'each'), anas);
    assert.equal(await of(ana2, 'each'), anas);
    const his = await everywhere((at) => modern('each', { as: bob, ...at }));
    assert.equal(await of(bobs, 'each'), his);

    const first = await everywhere(() => of(ana1, 'own'));
    const other = await everywhere(() => of(ana2, 'own'));
    const third = await everywhere(() => of(bobs, 'own'));
    const without = await everywhere((at) => modern('own', at));
    assert.equal(new Set([shared, anas, his, first, other, third, without]).size, 7);
  });

  test('that was a client’s ends with it, and nobody else’s does', async () => {
    const client = await openSession(gateway.mcp(), { key: key() });
    const stays = await openSession(gateway.mcp(), { key: key() });
    const [ends, kept] = [await of(client, 'own'), await of(stays, 'own')];
    const headers = { ...client.headers, authorization: `Bearer ${key()}` };
    const { status } = await request(gateway.mcp(), { method: 'DELETE', headers });
    assert.ok(status < 300, status);
    await eventually(async () => (await legacy.ledger()).ended.includes(ends), {
      deadline: swept,
      what: 'the session is ended upstream',
    });
    assert.deepEqual((await legacy.ledger()).ended, [ends]);
    assert.equal(await of(stays, 'own'), kept);
  });

  test('of a removed user ends too', async () => {
    const route = `/tenants/${tenant.name}/users`;
    await gateway.must(201, 'POST', route, { name: 'eve' });
    const eve = (await gateway.newKey(tenant.name, { name: 'eve-key', user: 'eve' })).key;
    const hers = await modern('each', { as: eve });
    await gateway.must(204, 'DELETE', `${route}/eve`, undefined, { ifMatch: true });
    await eventually(async () => (await legacy.ledger()).ended.includes(hers), {
      deadline: swept,
      what: 'the session is ended upstream',
    });
  });
});
