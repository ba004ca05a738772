// SPDX-License-Identifier: Apache-2.0
//
// The fixtures themselves, with the real clients and no gateway between: what the other files
// compare with is right.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { breakageNames } from './fixtures/breakages.mjs';
import {
  bigNumbers,
  definitions,
  oddDefinition,
  oddResult,
  unicodeText,
} from './fixtures/tools.mjs';
import { clients } from './lib/clients.mjs';
import { startEverything, startFixture } from './lib/fixtures.mjs';
import { message, openSession, post, request, requestModern, startModern } from './lib/raw.mjs';
import { elements, members, number, raw } from './lib/rawjson.mjs';
import { eventually, signal, within } from './lib/wait.mjs';

const started = [];
const start = async (era, options) => {
  const fixture = await startFixture(era, options);
  started.push(fixture);
  return fixture;
};

let legacy;
let modern;
let everything;
before(async () => {
  [legacy, modern, everything] = await Promise.all([
    start('legacy'),
    start('modern'),
    startEverything(),
  ]);
  started.push(everything);
});
after(() => Promise.all(started.map((fixture) => fixture.stop())));

describe('raw JSON', () => {
  test('keeps values as they were written', () => {
    const text = ' {"a" : [1.0, {"b\\u0022":"}]\\"\\\\"} ,-0],"c":1e400 ,"d":{},"e":[]} ';
    assert.deepEqual(
      members(text).map(([key]) => key),
      ['a', 'c', 'd', 'e'],
    );
    assert.equal(raw(text, 'a', 1, 'b"'), '"}]\\"\\\\"');
    assert.equal(raw(text, 'a', 0), '1.0');
    assert.equal(raw(text, 'a', 2), '-0');
    assert.equal(raw(text, 'c'), '1e400');
    assert.equal(raw(text, 'missing', 0), undefined);
    assert.deepEqual(elements('[]'), []);
    assert.equal(
      JSON.stringify({ n: number('12345678901234567890') }),
      '{"n":12345678901234567890}',
    );
  });
});

// A legacy client cannot speak to a modern-only server: that is what the gateway is for.
const upstreamsOf = (client) => (client.era === 'legacy' ? ['legacy'] : ['legacy', 'modern']);

for (const client of clients) {
  for (const upstream of upstreamsOf(client)) {
    test(`${client.name} on the ${upstream} fixture`, async () => {
      const fixture = upstream === 'legacy' ? legacy : modern;
      const handle = await client.connect({ url: fixture.url });
      const tools = await handle.listTools();
      assert.deepEqual(
        tools.map((tool) => tool.name),
        [...definitions.keys()],
      );

      const nonce = `direct ${client.name} ${upstream}`;
      const args = { nonce, big: number('12345678901234567890'), huge: number('1e400') };
      const echoed = await handle.callTool('echo', args);
      assert.equal(echoed.content[0].text, JSON.stringify(args));
      assert.equal(raw(handle.lastAnswer(), 'result', 'structuredContent'), JSON.stringify(args));

      const seen = [];
      const first = signal();
      const held = handle.callTool(
        'hold',
        { nonce: `${nonce} hold` },
        {
          onprogress: (progress) => (seen.push(progress.progress), first.resolve()),
        },
      );
      await within(first.promise, 5000, 'progress while the call runs');
      assert.deepEqual(seen, [1]);
      await fixture.release(`${nonce} hold`);
      assert.equal((await held).content[0].text, 'released');
      assert.deepEqual(seen, [1, 2]);

      assert.equal((await handle.callTool('fail', {})).isError, true);
      await assert.rejects(handle.callTool('proto_error', {}), { code: -32050 });
      await assert.rejects(handle.callTool('nowhere', {}), { code: -32602 });
      await handle.close();
      assert.deepEqual((await fixture.ledger()).violations, []);
    });
  }

  test(`${client.name} on server-everything`, async () => {
    const handle = await client.connect({ url: everything.url });
    assert.ok((await handle.listTools()).some((tool) => tool.name === 'echo'));
    assert.equal((await handle.callTool('echo', { message: 'x' })).content[0].text, 'Echo: x');
    await handle.close();
  });
}

describe('the legacy fixture', () => {
  test('answers a modern probe like server-everything', async () => {
    for (const { url } of [legacy, everything]) {
      const probe = await requestModern(url, 'server/discover', {});
      assert.deepEqual([probe.status, probe.answer.error.code], [400, -32000]);
    }
  });

  test('requires its sessions', async () => {
    const none = await post(legacy.url, message(1, 'tools/list')).done;
    assert.deepEqual([none.status, none.answer.error.code], [400, -32000]);
    const session = await openSession(legacy.url);
    await legacy.control({ forget: true });
    const gone = await session.request('tools/list', {});
    assert.deepEqual([gone.status, gone.answer.error.code], [404, -32001]);
  });

  test('has none with --sessions none, pages and wants its token', async () => {
    const url = (await start('legacy', { sessions: 'none', 'page-size': 6, token: 'secret' })).url;
    assert.equal((await post(url, message(1, 'tools/list')).done).status, 401);
    const names = [];
    for (let cursor; ;) {
      const page = await post(url, message(1, 'tools/list', cursor ? { cursor } : {}), {
        key: 'secret',
      }).done;
      names.push(...page.answer.result.tools.map((tool) => tool.name));
      cursor = page.answer.result.nextCursor;
      if (cursor === undefined) break;
      assert.equal(page.answer.result.tools.length, 6);
    }
    assert.deepEqual(names, [...definitions.keys()]);
  });

  test('writes awkward but legal event streams when asked', async () => {
    const { url } = await start('legacy', { sse: 'odd' });
    const session = await openSession(url);
    const odd = await session.request('tools/call', '{"name":"odd"}');
    assert.equal(odd.headers['content-type'], 'text/event-stream');
    assert.deepEqual(JSON.parse(odd.answerText).result, JSON.parse(oddResult));
  });
});

describe('the modern fixture', () => {
  const call = (options, params = '{"name":"region","arguments":{"region":"eu"}}') =>
    requestModern(modern.url, 'tools/call', params, {
      ...options,
      headers: { 'mcp-param-region': 'eu', ...options?.headers },
    });
  const codeOf = (reply) => [reply.status, reply.answer?.error?.code];

  test('holds its client to the rules of the wire', async () => {
    assert.equal((await call()).answer.result.content[0].text, 'region eu');
    assert.equal((await call({ headers: { 'mcp-name': '=?base64?cmVnaW9u?=' } })).status, 200);
    assert.deepEqual(codeOf(await call({ headers: { 'mcp-name': 'other' } })), [400, -32020]);
    assert.deepEqual(codeOf(await call({ headers: { 'mcp-name': null } })), [400, -32020]);
    assert.deepEqual(codeOf(await call({ headers: { 'mcp-method': null } })), [400, -32020]);
    assert.deepEqual(codeOf(await call({ headers: { 'mcp-param-region': 'us' } })), [400, -32020]);
    assert.deepEqual(
      codeOf(await call({ headers: { 'mcp-protocol-version': null } })),
      [400, -32020],
    );
    const meta = { 'io.modelcontextprotocol/clientCapabilities': undefined };
    assert.deepEqual(codeOf(await call({ meta })), [400, -32602]);
    assert.deepEqual(codeOf(await requestModern(modern.url, 'ping', {})), [404, -32601]);
    const initialize = await post(modern.url, message(1, 'initialize', {})).done;
    assert.deepEqual(codeOf(initialize), [400, -32022]);
    assert.deepEqual(initialize.answer.error.data.supported, ['2026-07-28']);
    assert.equal((await request(modern.url, { method: 'GET' })).status, 405);
    assert.ok((await modern.ledger()).violations.length >= 6);
  });

  test('logs only to those who ask', async () => {
    const quiet = await requestModern(modern.url, 'tools/call', '{"name":"progress"}');
    assert.equal(quiet.messages.length, 1);
    const meta = { 'io.modelcontextprotocol/logLevel': 'info', progressToken: 0 };
    const asked = await requestModern(modern.url, 'tools/call', '{"name":"progress"}', { meta });
    assert.deepEqual(
      asked.messages.map((text) => JSON.parse(text).method ?? 'result'),
      [...Array(3).fill(['notifications/progress', 'notifications/message']).flat(), 'result'],
    );
    assert.equal(raw(asked.messages[0], 'params', 'progressToken'), '0');
  });

  test('takes a client that leaves as a cancel', async () => {
    const held = startModern(
      modern.url,
      'tools/call',
      '{"name":"hold","arguments":{"nonce":"leaver"}}',
    );
    held.done.catch(() => {});
    await modern.running('leaver');
    held.abort();
    await eventually(async () => (await modern.ledger()).cancelled.includes('leaver'));
  });
});

describe('both fixtures', () => {
  test('return exact bytes', async () => {
    const session = await openSession(legacy.url);
    const asked = [
      (tool) => session.request('tools/call', `{"name":"${tool}"}`),
      (tool) => requestModern(modern.url, 'tools/call', `{"name":"${tool}"}`),
    ];
    for (const ask of asked) {
      const big = await ask('big_numbers');
      assert.equal(raw(big.answerText, 'result', 'structuredContent'), bigNumbers);
      assert.equal(
        raw((await ask('unicode')).answerText, 'result', 'content', 0, 'text'),
        unicodeText,
      );
      const odd = (await ask('odd')).answerText;
      for (const [key, value] of members(oddResult)) assert.equal(raw(odd, 'result', key), value);
    }
    const listed = await session.request('tools/list', {});
    assert.ok(listed.text.includes(oddDefinition));
  });

  test('break in every way they know', async () => {
    for (const how of breakageNames) {
      const params = { name: 'break', arguments: { how } };
      const reply = await requestModern(modern.url, 'tools/call', params).catch(() => undefined);
      let usable = false;
      try {
        usable = reply?.status === 200 && JSON.parse(reply.answerText).id === 1;
      } catch {}
      const lenient = ['duplicate', 'deep', 'not_utf8']; // broken for a strict reader only
      assert.equal(usable, lenient.includes(how), how);
    }
  });
});
