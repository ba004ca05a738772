// SPDX-License-Identifier: Apache-2.0
//
// Clients of both eras hear that their list of tools has changed, when it has and only then, on
// whatever worker their stream is; and their streams end when they should.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { clients } from './lib/clients.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { connectDatabase, dispose, environment, newDirectory, start } from './lib/gateway.mjs';
import {
  onEveryWorker,
  openSession,
  openStream,
  request,
  requestModern,
  startModern,
} from './lib/raw.mjs';
import { eventually, within } from './lib/wait.mjs';

const soon = 1500; // from the change of a row to its message
const revoked = 5000;
const listChanged = '{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}';
const subscription = (id) => `"_meta":{"io.modelcontextprotocol/subscriptionId":${id}}`;

const upstreams = [];
const streams = []; // an open one would keep a test that failed from ending
let gateway;
let beta; // its tools stay as they are

before(async () => {
  gateway = await environment();
  beta = await startFixture('legacy', { name: 'beta' });
  upstreams.push(beta);
});
after(async () => {
  for (const stream of streams) stream.abort();
  await Promise.all(upstreams.map((upstream) => upstream.stop()));
  await gateway?.close();
});

// --- changes -------------------------------------------------------------------------------------

// A tenant with one connection to an upstream of its own, whose tools can be changed.
async function tenantWithTools(on, prefix, connection = 'one', settings = {}) {
  const tenant = await on.newTenant(prefix);
  const upstream = await startFixture('legacy', { name: prefix });
  const offered = { added: [], hidden: [] };
  // An edit has it listed at once, whether or not its own word is listened to.
  tenant.offer = async (change) => {
    for (const [name, tools] of Object.entries(change))
      offered[name] = [...new Set([...offered[name], ...tools])];
    await upstream.control(offered);
    await edit(tenant, connection, { description: JSON.stringify(offered) });
  };
  upstreams.push(upstream);
  await tenant.addConnection(connection, upstream.url, settings);
  return tenant;
}

const edit = (tenant, connection, patch) =>
  tenant.must(200, 'PATCH', `/connections/${connection}`, patch, { ifMatch: true });

const listen = (url, key, options = {}) => {
  const messages = [];
  const handle = startModern(
    url,
    'subscriptions/listen',
    options.params ?? { notifications: { toolsListChanged: true } },
    { key, onmessage: (text) => messages.push(text), ...options },
  );
  streams.push(handle);
  return Object.assign(handle, { messages });
};
const acknowledged = (handle) =>
  eventually(() => handle.messages.length > 0, { what: 'the stream is acknowledged' });

// --- who hears ------------------------------------------------------------------------------------

describe('a change of the list', () => {
  let tenant;
  let other;
  const all = []; // of the aggregate endpoint
  const single = []; // of the endpoint of `two` alone
  const strangers = [];

  before(async () => {
    tenant = await tenantWithTools(gateway, 'chg', 'one', {
      tools: { allow: ['*'], deny: ['delete_all'] },
    });
    other = await tenantWithTools(gateway, 'oth');
    await tenant.addConnection('two', beta.url);
    const open = async (kind, place, key) => {
      const client = await kind.connect({ url: gateway.mcp(place), key });
      await client.listTools();
      await client.listen();
      return client;
    };
    for (const kind of clients) {
      all.push(await open(kind, {}, tenant.userKey));
      single.push(await open(kind, { connection: 'two' }, tenant.userKey));
      strangers.push(await open(kind, {}, other.userKey));
    }
  });
  after(() => Promise.all([...all, ...single, ...strangers].map((client) => client.close())));

  // Makes the change; each of the clients must hear of it exactly once, in time, and after it has
  // listed its tools the check must hold of their names.
  async function heard(by, change, check) {
    const before = by.map((client) => client.changes.length);
    await change();
    const made = Date.now();
    await eventually(() => by.every((client, at) => client.changes.length > before[at]), {
      deadline: soon,
      what: 'all have heard of it',
    });
    for (const client of by) {
      const names = (await client.listTools()).map((tool) => tool.name);
      assert.ok(check(names), `${client.name}: ${names}`);
    }
    by.forEach((client, at) => assert.equal(client.changes.length, before[at] + 1, client.name));
    return Date.now() - made;
  }
  const untouched = (by) => by.map((client) => client.changes.length);

  test('is advertised', async () => {
    for (const client of all)
      assert.deepEqual(client.client.getServerCapabilities().tools, { listChanged: true });
  });

  test('made by an upstream is heard by all who see it, and by nobody else', async () => {
    const [before, strange] = [untouched(single), untouched(strangers)];
    await heard(
      all,
      () => tenant.offer({ added: ['appeared'] }),
      (names) => names.includes('one__appeared'),
    );
    await heard(
      all,
      () => tenant.offer({ hidden: ['fail'] }),
      (names) => !names.includes('one__fail'),
    );
    assert.deepEqual(untouched(single), before, 'not at the endpoint of another connection');
    assert.deepEqual(untouched(strangers), strange, 'not in another tenant');
  });

  test('made by an edit of what is permitted is heard', async () => {
    for (const deny of [['echo'], []])
      await heard(
        [...all, ...single],
        () => edit(tenant, 'two', { tools: { allow: ['*'], deny } }),
        (names) => names.some((name) => /^(two__)?echo$/.test(name)) === (deny.length === 0),
      );
  });

  test('of something else, or of what is denied, is not heard', async () => {
    const catalog = async () =>
      (
        await gateway.owner(
          'SELECT c.tools FROM tollgate.catalogs c JOIN tollgate.connections n ON n.id = c.connection_id' +
            ' JOIN tollgate.tenants t ON t.id = n.tenant_id WHERE t.name = $1 AND n.name = $2',
          [tenant.name, 'one'],
        )
      )[0].tools;
    const before = untouched([...all, ...single]);
    assert.match(await catalog(), /"delete_all"/);
    await tenant.offer({ hidden: ['delete_all'] });
    await eventually(async () => !/"delete_all"/.test(await catalog()), { what: 'it is listed' });
    await edit(tenant, 'two', { description: 'for people' });
    await heard(
      all,
      () => tenant.offer({ added: ['visible'] }),
      (names) => names.includes('one__visible'),
    );
    assert.deepEqual(
      untouched([...all, ...single]),
      before.map((count, at) => count + (at < all.length ? 1 : 0)),
    );
  });

  test('made by connections that come and go is heard', async () => {
    const before = untouched(single);
    await heard(
      all,
      () => edit(tenant, 'one', { enabled: false }),
      (names) => names.every((name) => name.startsWith('two__')),
    );
    await heard(
      all,
      () => edit(tenant, 'one', { enabled: true }),
      (names) => names.some((name) => name.startsWith('one__')),
    );
    await heard(
      all,
      () => tenant.addConnection('three', beta.url),
      (names) => names.some((name) => name.startsWith('three__')),
    );
    await heard(
      all,
      () => tenant.must(204, 'DELETE', '/connections/three', undefined, { ifMatch: true }),
      (names) => names.every((name) => !name.startsWith('three__')),
    );
    assert.deepEqual(untouched(single), before);
  });

  test('is heard although the notification of it was lost', async () => {
    const app = await connectDatabase(gateway.dev.database_url);
    try {
      const lost = await app.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'listen %' AND pid <> pg_backend_pid()",
      );
      assert.ok(lost.rows.length >= (await gateway.workers()).length, 'each worker listens');
      await heard(
        all,
        () => tenant.offer({ added: ['unnotified'] }),
        (names) => names.includes('one__unnotified'),
      );
    } finally {
      await app.end();
    }
  });

  test('of one tenant is heard in no other', () => {
    assert.deepEqual(untouched(strangers), [0, 0, 0]);
  });
});

// --- streams of legacy sessions ------------------------------------------------------------------

describe('the stream of a legacy session', () => {
  let tenant;
  let url;

  before(async () => {
    tenant = await tenantWithTools(gateway, 'str');
    url = gateway.mcp();
  });

  const newSession = async () => {
    const session = await openSession(url, { key: tenant.userKey });
    await session.request('tools/list', {});
    return session;
  };
  // The row says which list the client was given: it is written after the answer.
  const noted = (session, what) =>
    eventually(
      async () => {
        const rows = await gateway.owner(
          `SELECT ${what} AS v FROM tollgate.mcp_sessions WHERE id_hash = sha256($1)`,
          [session.id],
        );
        return rows[0]?.v ?? false;
      },
      { what: `${what} of the session` },
    );
  let tools = 0;
  const change = () => tenant.offer({ added: [`t${tools++}`] });

  test('opens as an event stream that no proxy holds back', async () => {
    const stream = await openStream(await newSession());
    assert.equal(stream.status, 200);
    assert.equal(stream.head['content-type'], 'text/event-stream');
    assert.equal(stream.head['x-accel-buffering'], 'no');
    assert.match(stream.head['cache-control'], /no-cache.*no-transform/);
    await change();
    await eventually(() => stream.messages.length > 0, { deadline: soon, what: 'a message' });
    assert.deepEqual(stream.messages, [listChanged]);
    await stream.abort();
  });

  test('is refused like a call', async () => {
    const session = await newSession();
    const of = (headers, place = {}) =>
      openStream({ ...session, headers: { ...session.headers, ...headers } }, place);
    const ask = async (status, headers, place) => {
      const reply = await of(headers, place);
      assert.equal(reply.status, status, `${JSON.stringify(headers)}: ${reply.text}`);
      return reply;
    };
    assert.equal(
      (await ask(401, { authorization: 'Bearer wrong' })).head['www-authenticate'],
      'Bearer error="invalid_token"',
    );
    await ask(404, { 'mcp-session-id': 'unknown' });
    await ask(404, {}, { url: gateway.mcp({ connection: 'one' }) });
    await ask(404, {}, { url: gateway.mcp({ connection: 'missing' }) });
    await ask(404, {}, { url: gateway.mcp({ tenant: 'missing' }) });
    await ask(406, { accept: 'application/json' });
    assert.equal((await ask(405, { 'mcp-protocol-version': '2026-07-28' })).head.allow, 'POST');
    await ask(403, { host: 'evil.example.com' });
    await ask(403, { origin: 'https://evil.example.com' });
    await ask(404, { authorization: `Bearer ${tenant.adminKey}` });
    const bare = await openStream({ url, key: tenant.userKey, headers: {} });
    assert.equal(bare.status, 400);
    const head = await request(url, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${tenant.userKey}` },
    });
    assert.equal(head.status, 405);
    assert.equal(head.headers.allow, 'GET, POST, DELETE');
  });

  test('tells of a change that happened while there was none, on whatever worker', async () => {
    const session = await newSession();
    await noted(session, 'list_hash');
    for (let at = 0; at < 4; at++) {
      const before = await noted(session, "encode(list_hash, 'hex')");
      await change();
      const stream = await openStream(session);
      await eventually(() => stream.messages.length > 0, { deadline: soon, what: 'it is told' });
      assert.deepEqual(stream.messages, [listChanged]);
      assert.notEqual(await noted(session, "encode(list_hash, 'hex')"), before);
      await stream.abort();
    }
  });

  test('says nothing to a client that has listed its tools since', async () => {
    const session = await newSession();
    await noted(session, 'list_hash');
    const before = await noted(session, "encode(list_hash, 'hex')");
    await change();
    await eventually(async () => {
      await session.request('tools/list', {});
      return (await noted(session, "encode(list_hash, 'hex')")) !== before;
    });
    const stream = await openStream(session);
    await noted(session, 'stream');
    await change();
    await eventually(() => stream.messages.length > 0, {
      deadline: soon,
      what: 'the next is told',
    });
    assert.deepEqual(stream.messages, [listChanged]);
    await stream.abort();
  });

  test('is the newest one only, however many there are', async () => {
    const session = await newSession();
    const streams = [];
    let number = '0';
    for (let at = 0; at < 6; at++) {
      streams.push(await openStream(session));
      const last = number;
      number = await eventually(async () => {
        const now = await noted(session, 'stream::text');
        return now !== last && now;
      });
    }
    await change();
    await eventually(() => streams.at(-1).messages.length > 0, {
      deadline: soon,
      what: 'the newest is told',
    });
    await eventually(() => streams.slice(0, -1).every((stream) => !stream.open), {
      what: 'the older ones have ended',
    });
    assert.deepEqual(
      streams.flatMap((stream) => stream.messages),
      [listChanged],
    );
    assert.ok(streams.at(-1).open);
    await streams.at(-1).abort();
  });

  test('ends with its session', async () => {
    for (let at = 0; at < 4; at++) {
      const session = await newSession();
      const stream = await openStream(session);
      const ended = await request(url, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${tenant.userKey}`, ...session.headers },
      });
      assert.equal(ended.status, 204);
      await within(stream.closed, revoked, 'the stream ends');
      assert.equal(stream.text, ':\n\n');
    }
  });
});

// --- subscriptions/listen --------------------------------------------------------------------------

describe('subscriptions/listen', () => {
  let tenant;
  let url;

  before(async () => {
    tenant = await tenantWithTools(gateway, 'sub');
    url = gateway.mcp();
    // The worker knows them a moment after the database: what comes then is a change, too.
    await eventually(
      async () => {
        const { answer } = await requestModern(url, 'tools/list', {}, { key: tenant.userKey });
        return answer.result.tools.length > 0;
      },
      { what: 'the worker knows the tools' },
    );
  });

  const rowOf = (handle, outcome) =>
    eventually(
      async () => {
        const rows = await gateway.rows('WHERE source_ip = $1', [handle.entry.source_ip]);
        return rows.length === 1 && rows[0].outcome === outcome && rows[0];
      },
      { deadline: 10000, what: `one row with ${outcome}` },
    );

  test('carries the id of its request, in its own type, on every message', async () => {
    const ids = ['7', '"a\\u00e9\\n"', '0', '-12345678901234567890'];
    const handles = ids.map((id) =>
      listen(url, tenant.userKey, { id, recorded: { outcome: ['client_closed'] } }),
    );
    for (const handle of handles) {
      handle.done.catch(() => {});
      await acknowledged(handle);
    }
    await tenant.offer({ added: ['typed'] });
    await eventually(() => handles.every((handle) => handle.messages.length > 1), {
      deadline: soon,
      what: 'all are told',
    });
    handles.forEach((handle, at) => {
      assert.deepEqual(handle.messages, [
        `{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{${subscription(ids[at])},"notifications":{"toolsListChanged":true}}}`,
        `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{${subscription(ids[at])}}}`,
      ]);
      handle.abort();
    });
    for (const handle of handles) {
      const row = await rowOf(handle, 'client_closed');
      assert.equal(row.method, 'subscriptions/listen');
      assert.ok(row.duration_ms > 0);
    }
  });

  test('honours what it can, and is silent about what was not asked for', async () => {
    const ended = { outcome: ['client_closed'] };
    const handle = listen(url, tenant.userKey, {
      params: { notifications: { promptsListChanged: true, resourceSubscriptions: ['file:///x'] } },
      recorded: ended,
    });
    const heard = listen(url, tenant.userKey, { recorded: ended });
    for (const one of [handle, heard]) {
      one.done.catch(() => {});
      await acknowledged(one);
    }
    assert.match(handle.messages[0], /"notifications":\{\}\}\}$/);
    await tenant.offer({ added: ['unasked'] });
    await eventually(() => heard.messages.length > 1, {
      deadline: soon,
      what: 'the other is told',
    });
    assert.equal(handle.messages.length, 1);
    handle.abort();
    heard.abort();
  });

  test('without a filter that can be read is refused', async () => {
    for (const params of [
      {},
      { notifications: [] },
      { notifications: { toolsListChanged: 1 } },
      { notifications: { resourceSubscriptions: {} } },
    ]) {
      const reply = await listen(url, tenant.userKey, {
        params,
        recorded: { outcome: ['protocol_error'] },
      }).done;
      assert.equal(reply.status, 400, reply.text);
      assert.equal(reply.answer.error.code, -32602);
    }
    const legacy = await openSession(url, { key: tenant.userKey });
    const reply = await legacy.request('subscriptions/listen', { notifications: {} });
    assert.equal(reply.answer.error.code, -32601);
  });
});

// --- revocation -------------------------------------------------------------------------------------

describe('streams end with the right to them', () => {
  let tenant;

  before(async () => {
    tenant = await tenantWithTools(gateway, 'rev');
    await tenant.addConnection('two', beta.url);
  });

  // Both kinds, so many that every worker has some.
  async function openAll(key, place, outcome) {
    const url = gateway.mcp(place);
    const handles = [];
    for (let at = 0; at < 5; at++) {
      const handle = listen(url, key, { recorded: { outcome: [outcome] } });
      await acknowledged(handle);
      handles.push(handle, await openStream(await openSession(url, { key })));
    }
    return handles;
  }
  async function allEnd(handles, change, message) {
    await change();
    const replies = await within(
      Promise.all(handles.map((handle) => handle.done ?? handle.closed)),
      revoked,
      'all streams end',
    );
    for (const reply of replies.filter((one) => one.answer)) {
      assert.equal(reply.answer.error.code, -32000);
      assert.match(reply.answer.error.message, message);
    }
  }

  test('when the key is revoked', async () => {
    const key = await gateway.newKey(tenant.name, { name: 'short-lived', user: 'ana' });
    const others = await openAll(tenant.userKey, {}, 'client_closed');
    await allEnd(
      await openAll(key.key, {}, 'denied'),
      () => tenant.must(204, 'DELETE', `/keys/${key.id}`),
      /API key/,
    );
    // Those of other keys stay: they are told of the next change.
    await tenant.offer({ added: ['later'] });
    await eventually(
      () => others.every((one) => one.messages.some((text) => text.includes('list_changed'))),
      {
        deadline: soon,
        what: 'the others are still told',
      },
    );
    for (const other of others) {
      other.done?.catch(() => {});
      other.abort();
    }
  });

  test('when the key expires', async () => {
    const expires = new Date(Date.now() + 2500).toISOString();
    const key = await gateway.newKey(tenant.name, {
      name: 'expiring',
      user: 'ana',
      expires_at: expires,
    });
    await allEnd(await openAll(key.key, {}, 'denied'), () => {}, /API key/);
    assert.ok(Date.now() >= Date.parse(expires), 'not before it expires');
  });

  test('when the connection of the endpoint is disabled', async () => {
    const aggregate = await openAll(tenant.userKey, {}, 'client_closed');
    await allEnd(
      await openAll(tenant.userKey, { connection: 'two' }, 'denied'),
      () => edit(tenant, 'two', { enabled: false }),
      /Not found/,
    );
    await eventually(
      () => aggregate.every((one) => one.messages.some((text) => text.includes('list_changed'))),
      {
        deadline: soon,
        what: 'the aggregate is told',
      },
    );
    for (const other of aggregate) {
      other.done?.catch(() => {});
      other.abort();
    }
  });

  test('when the user or the tenant is disabled', async () => {
    const users = (await tenant.must(200, 'GET', '/users')).json.items;
    const ana = users.find((user) => user.name === 'ana');
    const bob = await gateway.newKey(tenant.name, { name: 'bob-key', role: 'user' });
    const service = await openAll(bob.key, {}, 'denied');
    await allEnd(
      await openAll(tenant.userKey, {}, 'denied'),
      () => gateway.owner('UPDATE tollgate.users SET enabled = false WHERE id = $1', [ana.id]),
      /API key/,
    );
    await allEnd(
      service,
      () =>
        gateway.owner('UPDATE tollgate.tenants SET enabled = false WHERE name = $1', [tenant.name]),
      /API key|Not found/,
    );
  });
});

// --- workers that die and gateways that stop ---------------------------------------------------------

describe('a gateway of two workers', () => {
  let own;
  let tenant;

  before(async () => {
    own = await start(newDirectory(), { args: ['--workers', '2'] });
    tenant = await tenantWithTools(own, 'own');
  });
  after(() => dispose(own));

  test('tells clients whose worker died of what they missed', async () => {
    const told = [];
    for (const kind of clients.filter((one) => one.era === 'legacy')) {
      const client = await kind.connect({ url: own.mcp(), key: tenant.userKey });
      await client.listTools();
      await client.listen();
      told.push(client);
    }
    await eventually(async () => {
      const rows = await own.owner(
        'SELECT 1 FROM tollgate.mcp_sessions WHERE list_hash IS NOT NULL',
      );
      return rows.length === told.length;
    });
    for (const worker of await own.workers()) process.kill(worker.pid, 'SIGKILL');
    // The first answers may be those of a dead worker's connections.
    await eventually(() => tenant.offer({ added: ['missed'] }).then(() => true), {
      deadline: 10000,
      what: 'the successors take an edit',
    });
    await eventually(() => told.every((client) => client.changes.length > 0), {
      deadline: 10000,
      what: 'they reconnect and are told',
    });
    for (const client of told) {
      assert.ok(
        (await client.listTools()).some((tool) => tool.name === 'one__missed'),
        client.name,
      );
      assert.equal(client.changes.length, 1, client.name);
      await client.close();
    }
  });

  test('ends its streams when it stops, and does not wait for them', async () => {
    const handles = [];
    for (const id of ['1', '"x"']) {
      const handle = listen(own.mcp(), tenant.userKey, { id, recorded: { outcome: ['drained'] } });
      await acknowledged(handle);
      handles.push([id, handle]);
    }
    const streams = [];
    for (let at = 0; at < 4; at++)
      streams.push(await openStream(await openSession(own.mcp(), { key: tenant.userKey })));
    const began = Date.now();
    for (const pid of own.pids) process.kill(pid, 'SIGTERM');
    for (const [id, handle] of handles) {
      const reply = await within(handle.done, 3000, 'the stream has its result');
      assert.equal(
        reply.answerText.replace(/"io.tollgate\/call_id":"[0-9a-f-]{36}",/, ''),
        `{"jsonrpc":"2.0","id":${id},"result":{"resultType":"complete",${subscription(id)}}}`,
      );
    }
    for (const stream of streams) {
      await within(stream.closed, 3000, 'the stream ends');
      assert.equal(stream.text, ':\n\n');
    }
    await own.stop({ deadline: 5000 });
    assert.ok(Date.now() - began < 5000, 'idle streams do not hold it up');
    const again = await start(own.directory, { args: ['--workers', '2'] });
    own = again;
    const rows = await own.rows("WHERE method = 'subscriptions/listen' AND outcome = 'drained'");
    assert.equal(rows.length, 2);
  });
});
