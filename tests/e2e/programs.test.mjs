// SPDX-License-Identifier: Apache-2.0
//
// Clients that people run: the CLI of MCP Inspector in both eras, and mcp-remote as the bridge of a
// client that speaks stdio only. Through the public and the key listener.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { definitions } from './fixtures/tools.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { environment } from './lib/gateway.mjs';
import { record } from './lib/ledger.mjs';
import { inspectorProgram, mcpRemoteProgram, newHome, runProgram } from './lib/programs.mjs';
import { eventually, signal, within } from './lib/wait.mjs';

let gateway;
let tenant;
let home;
const upstreams = {};

before(async () => {
  home = newHome();
  gateway = await environment();
  tenant = await gateway.newTenant('programs');
  upstreams.old = await startFixture('legacy');
  upstreams.new = await startFixture('modern');
  for (const [name, upstream] of Object.entries(upstreams))
    await tenant.addConnection(name, upstream.url);
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await gateway?.close();
  home.remove();
});

const toolNames = (prefix = '') => [...definitions.keys()].map((name) => `${prefix}${name}`);

// A key for one run of one program: its rows are known by it.
const newKey = async (name) => (await gateway.newKey(tenant.name, { name, user: 'ana' })).key;

const shown = ({ client, connection, method, tool, outcome }) =>
  [client, connection, method, tool, outcome].map((value) => value ?? '').join(' ');

// The book has these rows and no others, in this order; each is entered in the ledger as sent.
async function inTheBook(where, values, key, expected) {
  const rows = await eventually(
    async () => {
      const found = await gateway.rows(`${where} ORDER BY started_at, call_id`, values);
      assert.deepEqual(found.map(shown), expected);
      return found;
    },
    { what: 'the rows of the program' },
  );
  for (const { method, tool, request_id, outcome } of rows)
    record({
      url: gateway.dev.public_url,
      key,
      method,
      tool: tool || null,
      id: request_id,
      outcome: [outcome],
    });
}

const ofKey = (key, expected) =>
  inTheBook('WHERE tenant = $1 AND api_key = $2', [tenant.name, key.slice(4, 16)], key, expected);

describe('Inspector', { concurrency: 2 }, () => {
  const client = 'inspector-cli/2.12.0';
  const opening = {
    legacy: (at) => [`${client} ${at} initialize  ok`, `${client} ${at} logging/setLevel  ok`],
    modern: (at) => [
      `${client} ${at} server/discover  ok`,
      `${client} ${at} subscriptions/listen  client_closed`,
      `${client} ${at} tools/list  ok`,
    ],
  };
  const inspect = async (url, key, ...args) => {
    const header = key === undefined ? [] : ['--header', `Authorization: Bearer ${key}`];
    const to = [url, '--transport', 'http', '--format', 'json'];
    const run = await runProgram(inspectorProgram, ['--cli', ...to, ...header, ...args], home);
    return { ...run, json: run.stdout.trim() === '' ? undefined : JSON.parse(run.stdout) };
  };

  for (const era of ['legacy', 'modern']) {
    for (const [listener, connection, other] of [
      ['public', 'new', undefined],
      ['key', undefined, 'old'],
    ]) {
      const prefix = other ? `${other}__` : '';
      const where = connection ?? '';
      const name = `inspector-${era}-${listener}`;
      const place = `${connection ? 'one connection' : 'all'} through the ${listener} listener`;

      test(`lists and calls in the ${era} era, ${place}`, async () => {
        const key = await newKey(name);
        const url = gateway.mcp({ connection, listener });
        const run = (...args) => inspect(url, key, '--protocol-era', era, ...args);
        const call = (tool, ...args) =>
          run('--method', 'tools/call', '--tool-name', `${prefix}${tool}`, ...args);

        const list = await run('--method', 'tools/list');
        assert.equal(list.code, 0, list.stderr);
        const names = list.json.result.tools.map((tool) => tool.name);
        const wanted = connection ? toolNames() : [...toolNames('new__'), ...toolNames('old__')];
        assert.deepEqual(names.toSorted(), wanted.toSorted());

        const echoed = await call('echo', '--tool-args-json', '{"a":[1,{"b":"é"}]}');
        assert.equal(echoed.code, 0, echoed.stderr);
        assert.deepEqual(echoed.json.result.structuredContent, { a: [1, { b: 'é' }] });

        const failed = await call('fail', '--tool-arg', 'a=1');
        assert.equal(failed.code, 5, failed.stderr);
        assert.equal(failed.json.result.content[0].text, 'it failed');

        const open = [...opening[era](where), `${client} ${where} tools/list  ok`];
        const called = `${client} ${connection ?? other} tools/call ${prefix}`;
        await ofKey(key, [
          ...open,
          ...open,
          `${called}echo ok`,
          ...open,
          `${called}fail tool_error`,
        ]);
      });
    }
  }

  test('is told that it needs a key, and by which exit code', async () => {
    const since = (await gateway.owner('SELECT clock_timestamp()::text AS at'))[0].at;
    for (const [listener, key] of [
      ['public', undefined],
      ['key', 'tgk_000000000000_wrong'],
    ]) {
      const refused = await inspect(gateway.mcp({ listener }), key, '--method', 'tools/list');
      assert.equal(refused.code, 3, refused.stderr);
      assert.match(refused.stderr, /"code":"auth_required"/);
    }
    const refused = 'node  initialize  unauthenticated';
    await inTheBook(
      "WHERE outcome = 'unauthenticated' AND started_at >= $1::timestamptz",
      [since],
      undefined,
      [refused, refused],
    );
    assert.equal(home.opened(), '');
  });
});

describe('mcp-remote', { concurrency: 2 }, () => {
  const argumentsFor = (url, key) => [
    url,
    '--allow-http',
    '--header',
    `Authorization: Bearer ${key}`,
  ];
  const client = 'stdio-client (via mcp-remote 0.15.1)/1.0.0';

  for (const connection of ['old', 'new']) {
    for (const [listener, single] of [
      ['key', true],
      ['public', false],
    ]) {
      test(`bridges a stdio client to ${connection} on the ${listener} listener`, async () => {
        const name = `remote-${connection}-${listener}`;
        const key = await newKey(name);
        const url = gateway.mcp({ connection: single ? connection : undefined, listener });
        const prefix = single ? '' : `${connection}__`;
        const bridge = new StdioClientTransport({
          command: process.execPath,
          args: [mcpRemoteProgram, ...argumentsFor(url, key)],
          env: home.env,
          stderr: 'ignore',
        });
        const handle = new Client({ name: 'stdio-client', version: '1.0.0' });
        await handle.connect(bridge);
        try {
          const names = (await handle.listTools()).tools.map((tool) => tool.name);
          for (const tool of toolNames(prefix)) assert.ok(names.includes(tool), tool);
          const first = signal();
          const held = handle.callTool(
            { name: `${prefix}hold`, arguments: { nonce: name } },
            undefined,
            { onprogress: first.resolve },
          );
          // Of progress that comes together with the answer, the SDK on stdio may lose some.
          const seen = await within(Promise.race([first.promise, held]), 10000, 'progress');
          assert.deepEqual(seen, { progress: 1, total: 2, message: 'held' });
          await upstreams[connection].release(name);
          assert.equal((await held).content[0].text, 'released');
          const echo = { name: `${prefix}echo`, arguments: { a: 'é' } };
          assert.deepEqual((await handle.callTool(echo)).structuredContent, { a: 'é' });
        } finally {
          await handle.close();
        }
        const at = single ? connection : '';
        await ofKey(key, [
          `mcp-remote-fallback-test/0.0.0 ${at} initialize  ok`,
          `${client} ${at} initialize  ok`,
          `${client} ${at} tools/list  ok`,
          `${client} ${connection} tools/call ${prefix}hold ok`,
          `${client} ${connection} tools/call ${prefix}echo ok`,
        ]);
        assert.equal(home.opened(), '', 'no browser was opened');
      });
    }
  }

  test('ends with an error, not in a browser, if the key is wrong', async () => {
    const url = gateway.mcp({ listener: 'key' });
    const since = (await gateway.owner('SELECT clock_timestamp()::text AS at'))[0].at;
    const run = await runProgram(mcpRemoteProgram, argumentsFor(url, 'tgk_wrong'), home);
    assert.equal(run.code, 1, run.stderr);
    await inTheBook(
      "WHERE outcome = 'unauthenticated' AND started_at >= $1::timestamptz",
      [since],
      undefined,
      [
        'undici    unauthenticated',
        'node    unauthenticated',
        'undici  initialize  unauthenticated',
        'undici    unauthenticated',
      ],
    );
    assert.equal(home.opened(), '');
  });
});
