// SPDX-License-Identifier: Apache-2.0
//
// Wrong input gets its exact answer, in MCP, API and CLI, and each refused call its one row.
// The cases stand in wrong_input.json.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { environment } from './lib/gateway.mjs';
import { compare, record } from './lib/ledger.mjs';
import { message, modernMeta, nextAddress, openSession, post, request } from './lib/raw.mjs';
import { raw } from './lib/rawjson.mjs';
import { eventually, within } from './lib/wait.mjs';

const table = JSON.parse(
  fs.readFileSync(path.join(import.meta.dirname, 'wrong_input.json'), 'utf8'),
);

let gateway;
let tenant;
let upstream;
const entries = [];
const silent = []; // addresses that must have no row
const sessions = {};

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('wrong');
  upstream = await startFixture('legacy');
  await tenant.addConnection('old', upstream.url);
  const other = await gateway.newKey(tenant.name, { name: 'service' });
  sessions.own = await openSession(gateway.mcp(), { key: tenant.userKey });
  sessions.other = await openSession(gateway.mcp(), { key: other.key });
});

after(async () => {
  await upstream?.stop();
  await gateway?.close();
});

// --- MCP -----------------------------------------------------------------------------------------

const call = { name: 'old__echo', arguments: {} };
const templates = {
  'legacy call': () => ({
    body: JSON.parse(message(1, 'tools/call', call)),
    headers: { 'mcp-session-id': sessions.own.id, 'mcp-protocol-version': '2025-11-25' },
  }),
  'modern call': () => ({
    body: JSON.parse(message(1, 'tools/call', { _meta: modernMeta(), ...call })),
    headers: {
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': 'tools/call',
      'mcp-name': 'old__echo',
    },
  }),
};

const flip = (key) => key.slice(0, -10) + (key.at(-10) === 'a' ? 'b' : 'a') + key.slice(-9);
const credentials = {
  none: () => undefined,
  unknown: () => 'tgk_AAAAAAAAAAAA_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA000000',
  damaged: () => flip(tenant.userKey),
  garbage: () => 'not-a-key',
  long: () => `tgk_${'a'.repeat(8000)}`,
  empty: () => '',
};

function parent(body, steps) {
  return steps.slice(0, -1).reduce((at, step) => at[step], body);
}

function bodyOf(row, template) {
  if (row.body !== undefined) return row.body;
  if (row.parts !== undefined)
    return Buffer.concat(
      row.parts.map(([text, times]) => {
        const hex = /^hex:(.*)/.exec(text);
        const piece = hex ? Buffer.from(hex[1], 'hex') : Buffer.from(text);
        return Buffer.concat(Array(times).fill(piece));
      }),
    );
  const body = structuredClone(template.body);
  for (const steps of row.remove ?? []) delete parent(body, steps)[steps.at(-1)];
  for (const [steps, value] of row.set ?? []) parent(body, steps)[steps.at(-1)] = value;
  const text = JSON.stringify(body);
  return row.wrap ? row.wrap[0] + text + row.wrap[1] : text;
}

function headersOf(row, template) {
  const base = gateway.mcp({ listener: row.listener });
  const headers = { ...template.headers };
  if (row.session === 'long') headers['mcp-session-id'] = 'A'.repeat(4096);
  if (row.session === 'other') headers['mcp-session-id'] = sessions.other.id;
  if (row.credential === 'basic') headers.authorization = 'Basic YTpi';
  for (const [name, value] of Object.entries(row.headers ?? {}))
    headers[name] = value?.replace('{port}', new URL(base).port) ?? value;
  return headers;
}

// A row is expected exactly once, not at all, or (any) at most once.
function entryOf(row) {
  if (row.book === 'none') return false;
  if (row.book === 'any')
    return { optional: true, outcome: ['malformed', 'denied', 'protocol_error'] };
  const anonymous = row.anonymous || row.book === 'unauthenticated';
  return {
    outcome: [row.book].flat(),
    ...(anonymous ? { tenant: null, user: null } : {}),
    ...(row.parsed === false || row.anonymous ? { method: undefined, tool: undefined } : {}),
  };
}

async function ask(row) {
  const template = templates[row.request]();
  const origin = new URL(gateway.mcp({ listener: row.listener })).origin;
  const url = origin + (row.path ?? '/mcp');
  const headers = headersOf(row, template);
  const key = (
    credentials[row.credential] ??
    (row.credential === 'basic' ? credentials.none : () => tenant.userKey)
  )();
  if ((row.method ?? 'POST') === 'POST') {
    const sent = post(url, bodyOf(row, template), {
      key,
      headers,
      path: row.path,
      recorded: entryOf(row),
    });
    if (row.book !== 'none') entries.push(sent.entry);
    const reply = await sent.done;
    if (row.book === 'none') silent.push(reply.address);
    return reply;
  }
  const address = nextAddress();
  if (row.book === 'none') silent.push(address);
  else entries.push(record({ url, source_ip: address, ...entryOf(row) }));
  const all = { ...(key === undefined ? {} : { authorization: `Bearer ${key}` }), ...headers };
  const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
  return request(url, {
    method: row.method,
    headers: present,
    path: row.path,
    address,
    recorded: false, // above
  });
}

function checkAnswer(row, reply) {
  const { status, code, data, headers = {}, empty } = row.expect;
  assert.equal(reply.status, status, reply.text.slice(0, 500));
  if (empty) assert.equal(reply.text, '');
  for (const [name, wanted] of Object.entries(headers)) {
    if (wanted === null) assert.equal(reply.headers[name], undefined, name);
    else assert.match(reply.headers[name] ?? '', new RegExp(wanted), name);
  }
  assert.doesNotMatch(reply.headers['www-authenticate'] ?? '', /resource_metadata/);
  if (code === undefined) return;
  // What is no POST has no messages to look through: its body is the answer.
  const { answer = JSON.parse(reply.text), answerText = reply.text } = reply;
  assert.equal(answer.error?.code, code, reply.text.slice(0, 500));
  assert.equal(answer.jsonrpc, '2.0');
  assert.ok(answer.error.message.length > 0);
  const { call_id: callId, ...told } = answer.error.data ?? {};
  if (reply.headers['tollgate-call-id'] !== undefined)
    assert.equal(callId, reply.headers['tollgate-call-id']);
  if (data !== undefined) assert.deepEqual(told, data);
  const id = Object.hasOwn(row.expect, 'id') ? (row.expect.id ?? 'null') : '1';
  if (id !== 'any') assert.equal(raw(answerText, 'id'), id);
}

describe('MCP', () => {
  for (const row of table.mcp) {
    test(row.name, async () => {
      checkAnswer(row, await within(ask(row), 15000, 'an answer'));
    });
  }

  test('the book has one row for each, and none for what is no call', async () => {
    const rowsOf = (addresses) => gateway.rows('WHERE host(source_ip) = ANY($1)', [addresses]);
    const addresses = entries.map((entry) => entry.source_ip);
    await eventually(
      async () => {
        const problems = compare(entries, await rowsOf(addresses));
        assert.equal(problems.length, 0, problems.join('\n'));
        return true;
      },
      { deadline: 15000, every: 200, what: 'the rows of all refused calls' },
    );
    assert.deepEqual(await rowsOf(silent), []);
  });

  test('and the gateway still works', async () => {
    const reply = await sessions.own.request('tools/call', call);
    assert.equal(reply.answer.result.content[0].text, '{}');
  });
});

// --- API -----------------------------------------------------------------------------------------

const fill = (text, values) =>
  text.replace(/\{(name|upstream|dead|user_key|platform_key)\}/g, (_, name) => values[name]);
const values = () => ({
  name: 'old',
  upstream: upstream.url,
  dead: 'http://127.0.0.1:9',
  user_key: tenant.userKey,
  platform_key: gateway.dev.admin_key,
});

async function askApi(row) {
  const keys = {
    admin: tenant.adminKey,
    user: tenant.userKey,
    platform: gateway.dev.admin_key,
    none: undefined,
    wrong: credentials.unknown(),
  };
  const body = row.text ?? (row.body === undefined ? undefined : JSON.stringify(row.body));
  const key = keys[row.as ?? 'admin'];
  if (row.call)
    entries.push(
      record({
        url: gateway.dev.public_url,
        key,
        method: 'tools/call',
        tool: undefined,
        outcome: row.expect.status === 401 ? ['unauthenticated'] : ['malformed'],
      }),
    );
  return gateway.api(
    row.method,
    fill(row.path, values()),
    body === undefined ? undefined : fill(body, values()),
    {
      key,
      headers: row.headers,
      ifMatch: row.ifMatch,
    },
  );
}

describe('API', () => {
  for (const row of table.api) {
    test(row.name, async () => {
      const { status, statuses = [status], code, says } = row.expect;
      const before = (await tenant.api('GET', '/connections')).text;
      const reply = await askApi(row);
      assert.ok(statuses.includes(reply.status), `${reply.status} ${reply.text}`);
      if (reply.status !== 405) {
        assert.match(reply.headers.get('content-type'), /^application\/problem\+json/);
        assert.equal(typeof reply.json.code, 'string');
        assert.equal(reply.json.status, reply.status);
      }
      if (code !== undefined) assert.equal(reply.json.code, code, reply.text);
      if (says !== undefined)
        assert.match(`${reply.json.title} ${reply.json.detail}`, new RegExp(says), reply.text);
      assert.equal((await tenant.api('GET', '/connections')).text, before, 'nothing was changed');
    });
  }
});

// --- CLI -----------------------------------------------------------------------------------------

describe('CLI', () => {
  for (const row of table.cli) {
    test(row.name, async () => {
      const given = Object.entries(row.env ?? {}).map(([name, value]) => [
        name,
        fill(value, values()),
      ]);
      const args = row.args.map((word) => fill(word, values()));
      if (args[0] === 'call' && [row.expect.code].flat()[0] === 5)
        record({
          url: gateway.dev.public_url,
          key: tenant.adminKey,
          method: 'tools/call',
          tool: args[1],
          id: '1',
          outcome: ['tool_error', 'protocol_error', 'denied'],
        });
      const { code, stdout, stderr } = await gateway.cli(args, {
        env: { TOLLGATE_KEY: tenant.adminKey, ...Object.fromEntries(given) },
      });
      const allowed = [row.expect.code].flat();
      assert.ok(allowed.includes(code), `exit ${code}, not ${allowed}\n${stdout}\n${stderr}`);
      assert.notEqual((code === 5 ? stdout + stderr : stderr).trim(), '', 'it says why');
      if (row.expect.stderr)
        assert.match(
          stderr,
          new RegExp(
            fill(row.expect.stderr, values()).replace(/^\(\?i\)/, ''),
            row.expect.stderr.startsWith('(?i)') ? 'i' : '',
          ),
        );
      assert.doesNotMatch(stderr, new RegExp(tenant.adminKey));
      if (row.json) {
        const { error } = JSON.parse(stderr);
        assert.equal(typeof error.code, 'string');
        assert.equal(typeof error.message, 'string');
      }
    });
  }
});
