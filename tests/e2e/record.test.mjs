// SPDX-License-Identifier: Apache-2.0
//
// What others lose, kept: each has exactly one row that says what happened, and the client that was
// refused or answered knows its id. Floods of refused calls become few rows, and none goes
// uncounted.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { callThrough, connectAccount } from './lib/connect.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, start, unlessSpread } from './lib/gateway.mjs';
import { message, openSession, post, request, requestModern, startModern } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const maxBody = 4 << 20;

let gateway;
let tenant;
let upstream;
let server;

before(async () => {
  [gateway, upstream, server] = await Promise.all([
    start(newDirectory(), {
      env: { TOLLGATE_MAX_BODY_BYTES: String(maxBody), TOLLGATE_DRAIN_TIMEOUT: '500ms' },
    }),
    startFixture('modern'),
    startAuthorizationServer({ userinfo: true }),
  ]);
  tenant = await gateway.newTenant('record');
  await tenant.addConnection('up', upstream.url, { tools: { allow: ['*'], deny: ['delete_*'] } });
});

after(async () => {
  await Promise.all([upstream?.stop(), server?.close()]);
  if (gateway) await dispose(gateway);
});

const rowsOf = (where, values) =>
  gateway.owner(`SELECT *, host(source_ip) AS ip FROM audit.calls WHERE ${where}`, values);

// The one row of an address, and that it is one.
async function rowOf({ address }, deadline = 10000) {
  const find = () => rowsOf('host(source_ip) = $1', [address]);
  await eventually(async () => (await find()).length > 0, { deadline, what: `a row of ${address}` });
  const rows = await find();
  assert.equal(rows.length, 1, JSON.stringify(rows));
  return rows[0];
}

// The id that the client was told, wherever it was told.
function idsIn({ headers, text, answer }) {
  const told = [
    headers['tollgate-call-id'],
    answer?.result?._meta?.['io.tollgate/call_id'],
    answer?.error?.data?.call_id,
  ];
  if (text?.startsWith('{"jsonrpc"')) assert.ok(told[1] ?? told[2], text);
  return new Set(told.filter(Boolean));
}

async function hasRow(reply, wanted) {
  const row = await rowOf(reply);
  const ids = idsIn(reply);
  assert.match(row.call_id, uuid);
  assert.deepEqual([...ids], [row.call_id], 'the client knows the id');
  for (const [name, value] of Object.entries({ n_calls: '1', ...wanted }))
    assert.deepEqual(row[name], value, name);
  if (reply.status !== undefined) assert.equal(row.http_status, reply.status);
  return row;
}

const body = (method, params) => message(1, method, params);
const call = (args, options) =>
  requestModern(gateway.mcp(), 'tools/call', { name: 'up__echo', arguments: args }, {
    key: tenant.userKey,
    recorded: false,
    ...options,
  });
const raw = (text, options = {}) =>
  post(gateway.mcp(), text, { key: tenant.userKey, recorded: false, ...options }).done;

describe('one row, and the id of it for the client, for', () => {
  test('a NUL in an argument', async () => {
    const row = await hasRow(await call({ a: 'x\0y' }), { outcome: 'ok', tool: 'up__echo' });
    assert.deepEqual(row.arguments, { a: 'x\ufffdy' });
    assert.equal(row.upstream_status, 200);
    assert.deepEqual([row.tenant, row.user_name], [tenant.name, 'ana']);
    assert.equal(row.api_key, tenant.userKey.slice(4, 16));
  });

  test('a tool name of 1 MB', async () => {
    const name = 'x'.repeat(1 << 20);
    const reply = await requestModern(gateway.mcp(), 'tools/call', { name, arguments: {} }, {
      key: tenant.userKey,
      recorded: false,
      headers: { 'mcp-name': 'x' },
    });
    const legacy = await openSession(gateway.mcp(), { key: tenant.userKey });
    const second = await legacy.request(
      'tools/call',
      { name, arguments: {} },
      { recorded: false },
    );
    assert.equal(reply.status, 400);
    for (const one of [reply, second]) {
      const row = await rowOf(one);
      assert.deepEqual([...idsIn(one)], [row.call_id]);
      assert.ok(['protocol_error', 'malformed'].includes(row.outcome));
      assert.match(row.tool, /^x{200,}…$/);
      assert.ok(Number(row.request_bytes) > 1 << 20);
    }
  });

  test('a denied call', async () => {
    const reply = await requestModern(
      gateway.mcp(),
      'tools/call',
      { name: 'up__delete_all', arguments: { why: 'no' } },
      { key: tenant.userKey, recorded: false },
    );
    await hasRow(reply, { outcome: 'denied', tool: 'up__delete_all', user_name: 'ana' });
  });

  test('a call without a key, and one with a wrong key', async () => {
    for (const options of [{ key: undefined }, { key: 'tgk_wrong' }]) {
      const reply = await raw(body('tools/list', {}), options);
      assert.equal(reply.status, 401);
      await hasRow(reply, { outcome: 'unauthenticated', tenant: null, api_key: null });
    }
  });

  test('bodies that are no call', async () => {
    for (const [text, status] of [
      ['{', 400],
      ['', 400],
      ['"x"', 400],
      ['{"jsonrpc":"1.0","id":1,"method":"ping"}', 400],
      ['{"jsonrpc":"2.0","id":null,"method":"ping"}', 400],
      ['\0', 400],
      ['[' + body('ping') + ',' + body('ping') + ']', 400], // a batch is one request, and refused
    ]) {
      const reply = await raw(text);
      assert.equal(reply.status, status, text);
      await hasRow(reply, { outcome: 'malformed', tenant: tenant.name, method: null });
    }
  });

  test('a method that does not exist', async () => {
    const session = await openSession(gateway.mcp(), { key: tenant.userKey });
    const reply = await session.request('no/such', {}, { recorded: false });
    await hasRow(reply, { outcome: 'protocol_error', method: 'no/such' });
  });

  test('a host or origin that is not served, however it is asked', async () => {
    for (const headers of [{ host: 'evil.example.com' }, { origin: 'https://evil.example.com' }]) {
      await hasRow(await raw(body('ping'), { headers }), { outcome: 'denied', tenant: null });
      for (const method of ['GET', 'DELETE']) {
        const reply = await request(gateway.mcp(), {
          method,
          headers: { authorization: `Bearer ${tenant.userKey}`, ...headers },
        });
        assert.equal(reply.status, 403);
        await hasRow({ ...reply, answer: JSON.parse(reply.text) }, { outcome: 'denied' });
      }
    }
  });

  test('a stream and a session that nobody may have', async () => {
    for (const method of ['GET', 'DELETE']) {
      const reply = await request(gateway.mcp(), {
        method,
        headers: { authorization: 'Bearer tgk_wrong', 'mcp-session-id': 'x' },
      });
      assert.equal(reply.status, 401);
      await hasRow(
        { ...reply, answer: JSON.parse(reply.text) },
        { outcome: 'unauthenticated', method: null },
      );
    }
  });

  test('a call through the admin API, and by its command', async () => {
    const where = { url: gateway.dev.public_url, key: tenant.userKey };
    const call = (body) =>
      fetch(`${where.url}/api/v1/tools/call`, {
        method: 'POST',
        headers: {
          Authorization: `Bearer ${where.key}`,
          'Content-Type': 'application/json',
          'User-Agent': 'a-program/7',
        },
        body,
      });
    for (const [body, outcome] of [
      ['{"name":"up__echo","arguments":{"text":"by api"}}', 'ok'],
      ['{"name":"up__nowhere","arguments":{}}', 'protocol_error'],
      ['{"name":', 'malformed'],
    ]) {
      const reply = await call(body);
      const id = reply.headers.get('tollgate-call-id');
      const answer = await reply.json();
      if (outcome !== 'ok') assert.equal(answer.call_id, id);
      await eventually(async () => (await rowsOf('call_id = $1', [id])).length === 1, { what: id });
      const [row] = await rowsOf('call_id = $1', [id]);
      assert.deepEqual([row.outcome, row.client], [outcome, 'a-program/7']);
    }
    const options = { env: { TOLLGATE_KEY: where.key } };
    const { code, stderr } = await gateway.cli(['call', 'up__nowhere'], options);
    assert.equal(code, 5);
    const [, id] = stderr.match(/there is no tool up__nowhere \(call ([0-9a-f-]{36})\)/);
    await eventually(async () => (await rowsOf('call_id = $1', [id])).length === 1, { what: id });
    const shown = await gateway.cli(['audit', 'show', id], options);
    assert.match(shown.stdout, /^client +tollgate\/\d/m);
  });

  test('a body that is too large', async () => {
    const reply = await raw(body('ping', { pad: 'x'.repeat(maxBody) }));
    assert.equal(reply.status, 413);
    const row = await rowOf(reply);
    assert.deepEqual([row.outcome, row.http_status], ['malformed', 413]);
    assert.equal(reply.headers['tollgate-call-id'], row.call_id);
  });

  test('a notification that is refused, and none for one that is taken', async () => {
    const refused = await raw(message(undefined, 'notifications/initialized'), {
      key: 'tgk_wrong',
    });
    await hasRow(refused, { outcome: 'unauthenticated' });
    const session = await openSession(gateway.mcp(), { key: tenant.userKey });
    const taken = await session.notify('notifications/progress', { progressToken: 1, progress: 1 });
    assert.equal(taken.status, 202);
    const later = await call({ later: true });
    await rowOf(later);
    assert.deepEqual(await rowsOf('host(source_ip) = $1', [taken.address]), []);
  });

  test('an answer that streams: its head has the id already', async () => {
    const heads = [];
    const handle = startModern(
      gateway.mcp(),
      'tools/call',
      { name: 'up__progress', arguments: { steps: 2, ms: 1 } },
      {
        key: tenant.userKey,
        recorded: false,
        meta: { progressToken: 1 },
        onhead: (status, head) => heads.push(head),
      },
    );
    const reply = await handle.done;
    const row = await rowOf(reply);
    assert.match(heads[0]['content-type'], /event-stream/);
    assert.equal(heads[0]['tollgate-call-id'], row.call_id);
    assert.deepEqual([...idsIn(reply)], [row.call_id]);
  });

  test('what the client says it is for, which the upstream does not hear', async () => {
    const nonce = `why-${Date.now()}`;
    const reply = await call(
      { nonce },
      { meta: { 'io.tollgate/purpose': 'p'.repeat(2000), 'com.example/kept': 1 } },
    );
    const row = await hasRow(reply, { outcome: 'ok' });
    assert.equal(row.purpose, 'p'.repeat(1000));
    const ran = (await upstream.ledger()).calls.find((one) => one.nonce === nonce);
    assert.ok(ran, 'it ran');
    assert.ok(!JSON.stringify(ran).includes('io.tollgate'), JSON.stringify(ran));
  });

  test('the account whose token was used', async () => {
    await tenant.must(201, 'POST', '/connections', {
      name: 'mine',
      url: server.url,
      auth: { mode: 'oauth', oauth: {} },
    });
    await connectAccount(gateway, { key: tenant.userKey, name: 'mine' });
    await gateway.listed(tenant.userKey, 'mine');
    await callThrough(gateway, { key: tenant.userKey, name: 'mine' });
    const [row] = await eventually(
      async () => {
        const rows = await rowsOf(`connection = 'mine' AND outcome = 'ok'`);
        return rows.length > 0 ? rows : undefined;
      },
      { what: 'a row of the connection', deadline: 10000 },
    );
    const [grant] = await gateway.owner(
      `SELECT g.account FROM tollgate.grants g JOIN tollgate.connections c ON c.id = g.connection_id
       WHERE c.name = 'mine'`,
    );
    assert.ok(grant.account);
    assert.deepEqual([row.account, row.upstream_status], [grant.account, 200]);
  });

  test('a key: when it was first and last used can be asked', async () => {
    const [{ first, last, n }] = await gateway.owner(
      `SELECT min(started_at) AS first, max(started_at) AS last, count(*) AS n
       FROM audit.calls WHERE api_key = $1`,
      [tenant.userKey.slice(4, 16)],
    );
    assert.ok(Number(n) > 5 && last > first);
  });
});

describe('floods', unlessSpread('each gateway counts by itself'), () => {
  const counts = async (address) => {
    const [row] = await gateway.owner(
      `SELECT count(*)::int AS rows, coalesce(sum(n_calls), 0)::int AS calls
       FROM audit.calls WHERE host(source_ip) = $1`,
      [address],
    );
    return row;
  };

  // n refused calls of one address over one connection, so of one worker; gives the ids that were told.
  async function flood(n) {
    const address = '127.77.0.1';
    const { Agent } = await import('node:http');
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ids = [];
    for (let i = 0; i < n; i++) {
      const reply = await post(gateway.mcp(), body('tools/list', {}), {
        key: 'tgk_wrong',
        recorded: false,
        address,
        agent,
      }).done;
      assert.equal(reply.status, 401);
      ids.push(reply.headers['tollgate-call-id']);
      assert.equal(reply.answer.error.data.call_id, ids.at(-1));
    }
    agent.destroy();
    return { address, ids };
  }

  test('are merged, counted exactly, and told by an id that is found; a restart loses none', async () => {
    const n = 1600;
    const { address, ids } = await flood(n);
    assert.equal(ids.length, n);
    for (const worker of await gateway.workers()) process.kill(worker.pid, 'SIGTERM');
    await eventually(async () => (await counts(address)).calls >= n, {
      deadline: 20000,
      what: 'all are counted',
    });
    const { rows, calls } = await counts(address);
    assert.equal(calls, n);
    assert.ok(rows < n && rows >= 1000, `${rows} rows`);
    const known = new Set((await rowsOf('host(source_ip) = $1', [address])).map((r) => r.call_id));
    assert.ok(ids.every((id) => known.has(id)));
    const merged = (await rowsOf('host(source_ip) = $1 AND n_calls > 1', [address]))[0];
    assert.deepEqual(
      [merged.outcome, merged.http_status, merged.tenant],
      ['unauthenticated', 401, null],
    );
  });
});

describe('a call that is cut', unlessSpread('one gateway is restarted'), () => {
  const running = async (nonce) => {
    const handle = startModern(
      gateway.mcp(),
      'tools/call',
      { name: 'up__hold', arguments: { nonce } },
      { key: tenant.userKey, recorded: false },
    );
    handle.done.catch(() => {});
    await upstream.running(nonce);
    return handle;
  };
  const outcomeOf = async (nonce) => {
    const find = () => rowsOf(`arguments ->> 'nonce' = $1`, [nonce]);
    await eventually(async () => (await find()).length > 0, { deadline: 20000, what: nonce });
    const rows = await find();
    assert.equal(rows.length, 1);
    return rows[0];
  };

  test('by kill -9 of its worker is unknown', async () => {
    const nonce = `killed-${Date.now()}`;
    const handle = await running(nonce);
    for (const { pid } of await gateway.workers()) process.kill(pid, 'SIGKILL');
    await assert.rejects(handle.done);
    const row = await outcomeOf(nonce);
    assert.deepEqual([row.outcome, row.tool, row.user_name], ['unknown', 'up__hold', 'ana']);
    await upstream.release(nonce);
  });

  test('by the end of the gateway is drained', async () => {
    const nonce = `drained-${Date.now()}`;
    const handle = await running(nonce);
    for (const { pid } of await gateway.workers()) process.kill(pid, 'SIGTERM');
    const reply = await handle.done;
    const row = await outcomeOf(nonce);
    assert.equal(row.outcome, 'drained');
    assert.deepEqual([...idsIn(reply)], [row.call_id]);
  });
});
