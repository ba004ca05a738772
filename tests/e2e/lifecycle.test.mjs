// SPDX-License-Identifier: Apache-2.0
//
// Connections come, change and go while the gateway runs, and every worker follows; a bad one
// harms no other.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { definitions } from './fixtures/tools.mjs';
import { freePort, startFixture } from './lib/fixtures.mjs';
import { apiCall, environment } from './lib/gateway.mjs';
import { onEveryWorker, openSession, requestModern } from './lib/raw.mjs';
import { eventually, within } from './lib/wait.mjs';

// What a change takes to be seen by every worker: NOTIFY at once, a poll every 2 s behind it.
const spread = 4000;

let gateway;
let tenant;
const upstreams = {};

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('life');
  for (const [name, era] of [
    ['steady', 'legacy'],
    ['first', 'legacy'],
    ['second', 'modern'],
  ])
    upstreams[name] = await startFixture(era, { name });
  await tenant.addConnection('steady', upstreams.steady.url);
  // Through all that follows, because it takes half a minute until it is given up.
  upstreams.hanging = await startFixture('legacy', { mode: 'hang' });
  await tenant.must(201, 'POST', '/connections', {
    name: 'hanging',
    url: upstreams.hanging.url,
    call_timeout: '1s',
  });
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await gateway?.close();
});

const list = (place, key = tenant.userKey) =>
  requestModern(gateway.mcp(place), 'tools/list', {}, { key });
const call = (name, args = {}, options = {}) =>
  requestModern(
    gateway.mcp(options.place),
    'tools/call',
    { name, arguments: args },
    { key: tenant.userKey, ...options },
  );
const prefixes = ({ answer }) =>
  [...new Set(answer.result.tools.map((tool) => tool.name.split('__')[0]))].toSorted();

// Waits until the answers of all workers pass the check.
const everywhere = (what, ask, check) =>
  eventually(async () => (await onEveryWorker(ask)).every(check), {
    deadline: spread + 4000,
    what,
  });
const offered = (...names) =>
  everywhere(
    `exactly ${names} are listed`,
    () => list(),
    (reply) => prefixes(reply).join() === names.toSorted().join(),
  );

describe('a connection at run time', () => {
  test('that is added is seen by every worker', async () => {
    await tenant.addConnection('moving', upstreams.first.url);
    await offered('moving', 'steady');
    await everywhere(
      'its own endpoint answers',
      () => list({ connection: 'moving' }),
      (reply) => reply.status === 200,
    );
  });

  test('that is edited is called where it is now', async () => {
    const patched = await tenant.must(
      200,
      'PATCH',
      '/connections/moving',
      { url: upstreams.second.url },
      { ifMatch: true },
    );
    assert.equal(patched.json.url, upstreams.second.url);
    await everywhere(
      'calls reach the new upstream',
      () => call('moving__needs_header'),
      (reply) =>
        reply.answer.result?.structuredContent?.headers['mcp-protocol-version'] === '2026-07-28',
    );
    const before = (await upstreams.first.ledger()).calls.length;
    await onEveryWorker(() => call('moving__echo'));
    assert.equal(
      (await upstreams.first.ledger()).calls.length,
      before,
      'nothing reaches the old one',
    );
  });

  test('that is disabled is hidden and not callable', async () => {
    await tenant.must(200, 'PATCH', '/connections/moving', { enabled: false }, { ifMatch: true });
    await offered('steady');
    await everywhere(
      'its endpoint is gone',
      () => list({ connection: 'moving' }),
      (reply) => reply.status === 404,
    );
    await everywhere(
      'its tools are unknown',
      () => call('moving__echo'),
      (reply) => reply.answer.error?.code === -32602,
    );
    const { json } = await gateway.status(tenant.adminKey, 'moving');
    assert.equal(json.healthy, false);
  });

  test('that is enabled again works again', async () => {
    await tenant.must(200, 'PATCH', '/connections/moving', { enabled: true }, { ifMatch: true });
    await offered('moving', 'steady');
    await everywhere(
      'it is called',
      () => call('moving__echo'),
      (reply) => reply.answer.result?.isError === undefined && reply.answer.result,
    );
  });

  test('that is removed is gone, and its name is free', async () => {
    await tenant.must(204, 'DELETE', '/connections/moving', undefined, { ifMatch: true });
    await offered('steady');
    await everywhere(
      'its endpoint is gone',
      () => list({ connection: 'moving' }),
      (reply) => reply.status === 404,
    );
    assert.equal((await tenant.api('GET', '/connections/moving')).status, 404);
    await tenant.addConnection('moving', upstreams.first.url);
    await offered('moving', 'steady');
    await tenant.must(204, 'DELETE', '/connections/moving', undefined, { ifMatch: true });
    await offered('steady');
  });

  test('shows what it is and what it can', async () => {
    const { json } = await gateway.status(tenant.adminKey, 'steady');
    assert.equal(json.name, 'steady');
    assert.equal(json.healthy, true);
    assert.equal(json.auth_mode, 'none');
    assert.equal(json.era, 'legacy');
    assert.deepEqual(Array.isArray(json.tools) ? json.tools.length : json.tools, definitions.size);
    assert.equal(json.last_error, null);
    assert.ok(Math.abs(Date.parse(json.last_success) - Date.now()) < 120_000);
    const tools = await tenant.api('GET', '/tools');
    assert.deepEqual(
      tools.json.items.map((tool) => tool.name).toSorted(),
      [...definitions.keys()].map((name) => `steady__${name}`).toSorted(),
    );
  });

  test('keeps what was written, and says what trust_level decides', async () => {
    const written = {
      name: 'kept',
      description: 'Ünïcode "quoted"',
      enabled: false,
      transport: 'streamable-http',
      url: upstreams.first.url,
      era: 'legacy',
      auth: { mode: 'none' },
      headers: {},
      connect_timeout: '1500ms',
      call_timeout: '2m',
      session: 'principal',
      trust_level: 'trusted',
      tools: { allow: ['get_*', 'echo'], deny: ['get_secret*'] },
    };
    const created = await tenant.must(201, 'POST', '/connections', written);
    assert.match(created.text, /baggage of traces only/);
    const { json, etag } = await tenant.must(200, 'GET', '/connections/kept');
    for (const member of [
      'name',
      'description',
      'enabled',
      'transport',
      'url',
      'era',
      'headers',
      'session',
      'trust_level',
      'tools',
    ])
      assert.deepEqual(json[member], written[member], member);
    assert.equal(json.auth.mode, 'none');
    assert.ok(['1500ms', '1.5s', 1.5].includes(json.connect_timeout), json.connect_timeout);
    assert.ok(['2m', '120s', 120].includes(json.call_timeout), json.call_timeout);
    assert.ok(etag);
    await tenant.must(204, 'DELETE', '/connections/kept', undefined, { ifMatch: etag });
  });
});

const troubled = async (name, why) => {
  const status = await eventually(
    async () => {
      const { json } = await gateway.status(tenant.adminKey, name);
      return json?.last_error ? json : undefined;
    },
    { deadline: 40000, every: 200, what: `${name} has a reason` },
  );
  assert.equal(status.healthy, false);
  assert.match(status.last_error, why);
  return status;
};
const remove = (name) =>
  tenant.must(204, 'DELETE', `/connections/${name}`, undefined, { ifMatch: true });

describe('an upstream that is', () => {
  const quick = async () => {
    const reply = await within(list(), 1000, 'the list');
    assert.ok(prefixes(reply).includes('steady'));
    const legacy = await openSession(gateway.mcp(), { key: tenant.userKey });
    const listed = await within(legacy.request('tools/list', {}), 1000, 'the legacy list');
    assert.ok(prefixes(listed).includes('steady'));
    assert.equal(
      (await within(call('steady__echo'), 1000, 'a call')).answer.result.isError,
      undefined,
    );
  };

  test('dead harms nobody, and says why', async () => {
    const url = `http://127.0.0.1:${await freePort()}/mcp`;
    await tenant.must(201, 'POST', '/connections', { name: 'dead', url });
    await quick();
    const status = await troubled('dead', /refused|connect/i);
    assert.ok(Date.parse(status.next_retry_at) > 0);
    const reply = await call('dead__echo', {}, { recorded: { outcome: ['upstream_error'] } });
    assert.equal(reply.answer.result.isError, true);
    await quick();
    await remove('dead');
  });

  test('hanging harms nobody', async () => {
    await quick();
    const reply = await call('hanging__echo', {}, { recorded: { outcome: ['timeout'] } });
    assert.equal(reply.answer.result.isError, true);
    await quick();
  });

  test('failing says its HTTP status', async () => {
    upstreams.failing = await startFixture('legacy', { mode: 'status' });
    await tenant.must(201, 'POST', '/connections', { name: 'failing', url: upstreams.failing.url });
    await troubled('failing', /503/);
    await quick();
    await upstreams.failing.control({ mode: 'ok' });
    await gateway.listed(tenant.adminKey, 'failing', { deadline: 15000 });
    await offered('failing', 'steady');
    await remove('failing');
  });

  test('of the other era than was said is not used', async () => {
    await tenant.must(201, 'POST', '/connections', {
      name: 'era-a',
      url: upstreams.first.url,
      era: 'modern',
    });
    await tenant.must(201, 'POST', '/connections', {
      name: 'era-b',
      url: upstreams.second.url,
      era: 'legacy',
    });
    await troubled('era-a', /./);
    await troubled('era-b', /./);
    await tenant.must(200, 'PATCH', '/connections/era-a', { era: 'legacy' }, { ifMatch: true });
    await tenant.must(200, 'PATCH', '/connections/era-b', { era: 'modern' }, { ifMatch: true });
    assert.equal((await gateway.listed(tenant.adminKey, 'era-a')).era, 'legacy');
    assert.equal((await gateway.listed(tenant.adminKey, 'era-b')).era, 'modern');
    await remove('era-a');
    await remove('era-b');
  });

  test('outside what the address policy allows is refused', async () => {
    const reply = await tenant.api('POST', '/connections', {
      name: 'metadata',
      url: 'http://169.254.169.254/mcp',
    });
    if (reply.status === 201) {
      await troubled('metadata', /address|policy|allowed/i);
      await remove('metadata');
    } else {
      assert.equal(reply.status, 400);
    }
  });
});

describe('allow and deny', () => {
  const rules = [
    [{ allow: ['echo', 's*'], deny: ['sleep'] }, ['echo']],
    [
      { allow: ['*'], deny: ['delete_*', '*_error'] },
      [...definitions.keys()].filter((name) => !/^delete_|_error$/.test(name)),
    ],
    [{ allow: ['*'], deny: ['*'] }, []],
    [{ allow: [], deny: [] }, []],
    [{ allow: ['inner__name', 'o?d', '[a-z]*', 'unicode'], deny: [] }, ['inner__name', 'unicode']],
  ];

  test('decide lists and calls alike, on every worker', async () => {
    await tenant.addConnection('ruled', upstreams.first.url);
    for (const [tools, wanted] of rules) {
      await tenant.must(200, 'PATCH', '/connections/ruled', { tools }, { ifMatch: true });
      const names = ({ answer }) =>
        answer.result.tools
          .map((tool) => tool.name)
          .toSorted()
          .join();
      await everywhere(
        JSON.stringify(tools),
        () => list({ connection: 'ruled' }),
        (reply) => names(reply) === wanted.toSorted().join(),
      );
      const aggregate = (await list()).answer.result.tools
        .map((tool) => tool.name)
        .filter((name) => name.startsWith('ruled__'));
      assert.deepEqual(aggregate.toSorted(), wanted.map((name) => `ruled__${name}`).toSorted());
      for (const tool of definitions.keys()) {
        if (tool === 'hold' || tool === 'break') continue;
        const recorded = wanted.includes(tool) ? {} : { outcome: ['denied'] };
        const reply = await call(tool, tool === 'region' ? { region: 'a' } : {}, {
          place: { connection: 'ruled' },
          headers: tool === 'region' ? { 'mcp-param-region': 'a' } : {},
          recorded,
        });
        assert.equal(reply.answer.error?.code === -32602, !wanted.includes(tool), tool);
      }
    }
  });

  test('a denied tool answers exactly like one that does not exist', async () => {
    await tenant.must(
      200,
      'PATCH',
      '/connections/ruled',
      { tools: { allow: ['*'], deny: ['sleep'] } },
      { ifMatch: true },
    );
    const place = { connection: 'ruled' };
    await everywhere(
      'sleep is denied',
      () => call('sleep', {}, { place, recorded: { outcome: ['denied', 'ok'] } }),
      (reply) => reply.answer.error,
    );
    const [denied, missing] = [
      await call('sleep', {}, { place, recorded: { outcome: ['denied'] } }),
      await call('speel', {}, { place, recorded: { outcome: ['protocol_error'] } }),
    ];
    assert.equal(denied.status, missing.status);
    const plain = (text, name) =>
      text.replaceAll(name, 'NAME').replace(/"call_id":"[0-9a-f-]{36}"/, '"call_id":"ID"');
    assert.equal(plain(denied.text, 'sleep'), plain(missing.text, 'speel'));
    const before = (await upstreams.first.ledger()).calls.length;
    const viaApi = await apiCall(
      gateway,
      'ruled__sleep',
      {},
      { key: tenant.userKey, outcome: ['denied'] },
    );
    assert.notEqual(viaApi.status, 500);
    assert.equal(
      (await upstreams.first.ledger()).calls.length,
      before,
      'nothing reached the upstream',
    );
    await tenant.must(204, 'DELETE', '/connections/ruled', undefined, { ifMatch: true });
  });
});

describe('a bad stored row', () => {
  const garbage = [
    ['no url', { url: 'not a url' }],
    [
      'a sealed secret that nobody sealed',
      { auth_mode: 'bearer', credential: Buffer.from('deadbeef', 'hex') },
    ],
    ['a secret that is missing', { auth_mode: 'bearer' }],
    ['headers that nobody sealed', { headers: Buffer.from('{"X":"y"}') }],
  ];

  for (const [at, [what, columns]] of garbage.entries()) {
    test(`with ${what} is skipped and reported`, async () => {
      const name = `bad${at}`;
      const row = { name, url: upstreams.first.url, ...columns };
      const keys = Object.keys(row);
      await gateway.owner(
        `INSERT INTO tollgate.connections (tenant_id, id, ${keys.join()})` +
          ` SELECT id, gen_random_uuid(), ${keys.map((_, n) => `$${n + 2}`).join()} FROM tollgate.tenants WHERE name = $1`,
        [tenant.name, ...keys.map((key) => row[key])],
      );
      const status = await eventually(
        async () => {
          const { json } = await gateway.status(tenant.adminKey, name);
          return json?.last_error ? json : undefined;
        },
        { deadline: 10000, what: 'its status says why' },
      );
      assert.equal(status.healthy, false);
      assert.ok(prefixes(await list()).includes('steady'));
      assert.ok(!prefixes(await list()).includes(name));
      assert.equal((await list({ connection: name })).status, 404);
      assert.equal((await tenant.api('GET', '/connections')).status, 200);
      const shown = (await tenant.api('GET', '/connections')).json.items.map((item) => item.name);
      assert.ok(shown.includes(name), 'the administrator sees it');
      await tenant.must(204, 'DELETE', `/connections/${name}`, undefined, { ifMatch: true });
    });
  }
});

test('an upstream that hangs says why, once it is given up', async () => {
  await troubled('hanging', /time|answer/i);
  await remove('hanging');
});
