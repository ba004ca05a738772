// SPDX-License-Identifier: Apache-2.0
//
// Every unmodified client on every upstream, through the aggregate endpoint and through the one
// of the connection: whatever the eras of both sides are, the same things happen.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { bigNumbers, definitions, oddResult } from './fixtures/tools.mjs';
import { clients } from './lib/clients.mjs';
import { startEverything, startFixture } from './lib/fixtures.mjs';
import { environment } from './lib/gateway.mjs';
import { elements, number, raw } from './lib/rawjson.mjs';
import { signal, within } from './lib/wait.mjs';

const fixtureConnections = ['old', 'new'];
const endpoints = ['aggregate', 'connection'];

let gateway;
let tenant;
const upstreams = {};

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('matrix');
  const [old, modern, everything] = await Promise.all([
    startFixture('legacy'),
    startFixture('modern'),
    startEverything(),
  ]);
  Object.assign(upstreams, { old, new: modern, every: everything });
  for (const [name, upstream] of Object.entries(upstreams))
    await tenant.addConnection(name, upstream.url);
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await gateway?.close();
});

// A client at an endpoint; exposed() is the name under which a tool is offered there.
async function enter(client, endpoint, connection, { listener, header } = {}) {
  const single = endpoint === 'connection';
  const url = gateway.mcp({ connection: single ? connection : undefined, listener });
  const handle = await client.connect({ url, key: tenant.userKey, header });
  const exposed = (tool) => (single ? tool : `${connection}__${tool}`);
  return { handle, exposed, call: (tool, ...rest) => handle.callTool(exposed(tool), ...rest) };
}

// Raw texts of the tools of every answer to tools/list that came.
function listedTexts(handle) {
  const lists = handle.received.map((text) => raw(text, 'result', 'tools')).filter(Boolean);
  return lists.flatMap((list) => elements(list));
}

async function listsTools(handle, exposed, connection) {
  const names = (await handle.listTools()).map((tool) => tool.name);
  const wanted = [...definitions.keys()].map(exposed);
  const mine = names.filter((name) => wanted.includes(name));
  assert.deepEqual(mine.toSorted(), wanted.toSorted());
  if (exposed('x') === 'x') assert.equal(names.length, wanted.length);
  else
    assert.ok(
      names.every((name) => /^(old|new|every)__/.test(name)),
      names.join(),
    );
  const texts = new Set(listedTexts(handle));
  for (const [tool, definition] of definitions) {
    const text = definition.replace(`"name":"${tool}"`, `"name":"${exposed(tool)}"`);
    assert.ok(texts.has(text), `${connection}: ${tool} is not listed as the upstream wrote it`);
  }
}

async function keepsNumbers(handle, call) {
  const args = {
    big: number('12345678901234567890'),
    huge: number('1e400'),
    zero: number('-0'),
    pad: number('1.50'),
  };
  const echoed = await call('echo', args);
  assert.equal(echoed.content[0].text, JSON.stringify(args));
  assert.equal(raw(handle.lastAnswer(), 'result', 'structuredContent'), JSON.stringify(args));
  await call('big_numbers', {});
  assert.equal(raw(handle.lastAnswer(), 'result', 'structuredContent'), bigNumbers);
  await call('odd', {});
  for (const member of ['x-result', 'content', 'structuredContent'])
    assert.equal(raw(handle.lastAnswer(), 'result', member), raw(oddResult, member), member);
}

async function streamsProgress(handle, call, upstream, nonce) {
  const seen = [];
  const first = signal();
  const done = call(
    'hold',
    { nonce },
    {
      onprogress: ({ progress, total, message }) => {
        seen.push([progress, total, message]);
        first.resolve();
      },
    },
  );
  done.catch(() => {});
  // The upstream answers only after the release: what comes before it comes while the call runs.
  await within(Promise.race([first.promise, done]), 5000, 'progress while the call runs');
  assert.deepEqual(seen, [[1, 2, 'held']]);
  await upstream.release(nonce);
  assert.equal((await done).content[0].text, 'released');
  assert.deepEqual(seen, [
    [1, 2, 'held'],
    [2, 2, 'released'],
  ]);
}

async function mapsErrors(handle, call) {
  const failed = await call('fail', {});
  assert.deepEqual([failed.isError, failed.content[0].text], [true, 'it failed']);
  await assert.rejects(call('proto_error', {}), { code: -32050 });
  assert.match(
    raw(handle.lastAnswer(), 'error', 'data'),
    /^\{"call_id":"[0-9a-f-]{36}","n":12345678901234567890,"m":1e400\}$/,
    'data of an upstream error passes unchanged, with the id of the call before it',
  );
  await assert.rejects(call('no_such_tool', {}), { code: -32602 });
}

for (const client of clients) {
  for (const endpoint of endpoints) {
    for (const connection of fixtureConnections) {
      test(`${client.name} on ${connection} at the ${endpoint} endpoint`, async (t) => {
        const { handle, exposed, call } = await enter(client, endpoint, connection);
        t.after(() => handle.close());
        await listsTools(handle, exposed, connection);
        await keepsNumbers(handle, call);
        await streamsProgress(
          handle,
          call,
          upstreams[connection],
          `${client.name} ${endpoint} ${connection}`,
        );
        await mapsErrors(handle, call);
        assert.equal((await call('inner__name', {})).content[0].text, 'inner');
        assert.equal((await call('region', { region: 'eu' })).content[0].text, 'region eu');
      });
    }

    test(`${client.name} on server-everything at the ${endpoint} endpoint`, async (t) => {
      const { handle, exposed, call } = await enter(client, endpoint, 'every');
      t.after(() => handle.close());
      const names = (await handle.listTools()).map((tool) => tool.name);
      for (const tool of ['echo', 'get-sum', 'get-tiny-image', 'trigger-long-running-operation'])
        assert.ok(names.includes(exposed(tool)), tool);
      assert.equal((await call('echo', { message: 'x' })).content[0].text, 'Echo: x');
      assert.match((await call('get-sum', { a: 2, b: 3 })).content[0].text, /\b5\b/);
      assert.ok((await call('get-tiny-image', {})).content.some((part) => part.type === 'image'));

      let ended = false;
      const seen = [];
      const args = { duration: 0.6, steps: 3 };
      const result = await call('trigger-long-running-operation', args, {
        onprogress: ({ progress, total }) => seen.push([progress, total, ended]),
      }).finally(() => (ended = true));
      assert.match(result.content[0].text, /completed/);
      assert.deepEqual(seen, [
        [1, 3, false],
        [2, 3, false],
        [3, 3, false],
      ]);
      assert.equal((await call('get-sum', { a: 'no number' })).isError, true);
      await assert.rejects(call('no_such_tool', {}), { code: -32602 });
    });
  }
}

describe('the key listener', () => {
  for (const client of clients.slice(0, 2)) {
    for (const header of ['x-api-key', 'authorization']) {
      test(`serves ${client.name} with ${header}`, async (t) => {
        for (const connection of fixtureConnections) {
          const { handle, call } = await enter(client, 'aggregate', connection, {
            listener: 'key',
            header,
          });
          t.after(() => handle.close());
          assert.equal((await call('echo', { a: 1 })).content[0].text, '{"a":1}');
          await streamsProgress(
            handle,
            call,
            upstreams[connection],
            `key ${client.name} ${header} ${connection}`,
          );
        }
      });
    }
  }
});

test('the tenant may stand in the path', async (t) => {
  for (const client of clients) {
    const url = gateway.mcp({ tenant: tenant.name, connection: 'old' });
    const handle = await client.connect({ url, key: tenant.userKey });
    t.after(() => handle.close());
    assert.equal((await handle.callTool('echo', { a: 1 })).content[0].text, '{"a":1}');
  }
});

test('each client negotiates its era, each upstream was spoken to in its own', async (t) => {
  for (const client of clients) {
    const { handle } = await enter(client, 'aggregate', 'old');
    t.after(() => handle.close());
    const methods = handle.received.map((text) => JSON.parse(text).result).filter(Boolean);
    if (client.era === 'modern') assert.deepEqual(methods[0].supportedVersions, ['2026-07-28']);
    else assert.equal(methods[0].protocolVersion, '2025-11-25');
  }
  const [old, modern] = await Promise.all([upstreams.old.ledger(), upstreams.new.ledger()]);
  assert.ok(old.requests.some((request) => request.method === 'initialize'));
  assert.ok(modern.requests.some((request) => request.method === 'server/discover'));
});

test('the gateway broke no rule toward the upstreams', async () => {
  for (const name of fixtureConnections)
    assert.deepEqual((await upstreams[name].ledger()).violations, [], name);
});

test('nothing of the client reached an upstream that is not its business', async () => {
  const secrets = [tenant.userKey, tenant.adminKey, gateway.dev.admin_key];
  for (const name of fixtureConnections) {
    for (const { headers } of (await upstreams[name].ledger()).requests) {
      assert.equal(headers.authorization, undefined);
      assert.equal(headers['x-api-key'], undefined);
      assert.equal(headers.cookie, undefined);
      const text = JSON.stringify(headers);
      for (const secret of secrets) assert.ok(!text.includes(secret));
      assert.doesNotMatch(text, /x-forwarded|forwarded/i);
    }
  }
});
