// SPDX-License-Identifier: Apache-2.0
//
// Two tenants with the same names see only their own, on every route; what is another's answers
// exactly like what does not exist; and an SQL reader sees only its own whatever it sets.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { apiCall, connectDatabase, environment } from './lib/gateway.mjs';
import { message, openSession, post, request, requestModern } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
const tenants = {};
const upstreams = {};

before(async () => {
  gateway = await environment();
  for (const name of ['mine', 'theirs']) {
    upstreams[name] = await startFixture('legacy', { name });
    tenants[name] = await gateway.newTenant(name);
    await tenants[name].addConnection('crm', upstreams[name].url, {
      auth: { mode: 'bearer', credential: `secret-of-${name}` },
      headers: { 'X-Tenant': name },
    });
  }
  await tenants.theirs.addConnection('private', upstreams.theirs.url);
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await gateway?.close();
});

// An answer without what may differ: Date, and ids that the request or the server chose.
function comparable({ status, headers, text }, ...names) {
  const entries = headers instanceof Headers ? [...headers] : Object.entries(headers);
  const kept = entries
    .filter(([name]) => !['date', 'content-length'].includes(name))
    .map(([name, value]) => [name, /^tollgate-(call|event)-id$/.test(name) ? 'ID' : value])
    .toSorted();
  let body = text.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'ID');
  for (const name of names) body = body.replaceAll(name, 'NAME');
  return { status, headers: JSON.stringify(kept), body };
}

const unused = '00000000-0000-4000-8000-000000000000';

describe('calls', () => {
  test('reach the own upstream under the same name', async () => {
    for (const name of ['mine', 'theirs']) {
      const session = await openSession(gateway.mcp(), { key: tenants[name].userKey });
      const nonce = `own ${name}`;
      await session.request('tools/call', { name: 'crm__echo', arguments: { nonce } });
      const ran = (await upstreams[name].ledger()).calls.find((call) => call.nonce === nonce);
      assert.equal(ran.headers['x-tenant'], name);
      assert.equal(ran.headers.authorization, `Bearer secret-of-${name}`);
    }
  });

  test('list only the own connections', async () => {
    const namesOf = async (tenant) => {
      const session = await openSession(gateway.mcp(), { key: tenant.userKey });
      const { answer } = await session.request('tools/list', {});
      return new Set(answer.result.tools.map((tool) => tool.name.split('__')[0]));
    };
    assert.deepEqual(await namesOf(tenants.mine), new Set(['crm']));
    assert.deepEqual(await namesOf(tenants.theirs), new Set(['crm', 'private']));
  });
});

describe('a foreign thing answers like a missing one: MCP', () => {
  const key = () => tenants.mine.userKey;
  const foreign = () => ({ tenant: tenants.theirs.name, connection: 'private' });
  // [what, the request for a foreign thing, the request for a missing one, their names]
  const pairs = () => [
    ['the tenant in the path', { tenant: tenants.theirs.name }, { tenant: 'nowhere' }],
    ['the connection in the path', { connection: 'private' }, { connection: 'missing' }],
    ['both', foreign(), { tenant: 'nowhere', connection: 'missing' }],
    [
      'the own tenant with a foreign connection',
      { tenant: tenants.mine.name, connection: 'private' },
      { tenant: tenants.mine.name, connection: 'missing' },
    ],
    [
      'a foreign tenant with an own connection',
      { tenant: tenants.theirs.name, connection: 'crm' },
      { tenant: 'nowhere', connection: 'crm' },
    ],
  ];
  const asks = {
    initialize: (place) =>
      post(
        gateway.mcp(place),
        message(1, 'initialize', {
          protocolVersion: '2025-11-25',
          capabilities: {},
          clientInfo: { name: 'x', version: '1' },
        }),
        { key: key() },
      ).done,
    discover: (place) => requestModern(gateway.mcp(place), 'server/discover', {}, { key: key() }),
    call: (place) =>
      requestModern(
        gateway.mcp(place),
        'tools/call',
        { name: 'echo', arguments: {} },
        { key: key() },
      ),
    GET: (place) =>
      request(gateway.mcp(place), {
        headers: { authorization: `Bearer ${key()}`, accept: 'text/event-stream' },
      }),
    DELETE: (place) =>
      request(gateway.mcp(place), {
        method: 'DELETE',
        headers: { authorization: `Bearer ${key()}` },
      }),
    'on the key listener': (place) =>
      requestModern(gateway.mcp({ ...place, listener: 'key' }), 'tools/list', {}, { key: key() }),
    'without a key': (place) => requestModern(gateway.mcp(place), 'tools/list', {}, {}),
  };

  for (const [how, ask] of Object.entries(asks)) {
    test(how, async () => {
      for (const [what, theirs, missing] of pairs()) {
        const answers = [await ask(theirs), await ask(missing)];
        assert.deepEqual(comparable(answers[0]), comparable(answers[1]), what);
        const some = { 'without a key': [401], GET: [400, 404], DELETE: [400, 404] };
        const expected = some[how] ?? [404];
        assert.ok(expected.includes(answers[0].status), `${what}: ${answers[0].status}`);
      }
    });
  }

  test('a tool of a foreign connection', async () => {
    for (const era of ['legacy', 'modern']) {
      const session = era === 'legacy' && (await openSession(gateway.mcp(), { key: key() }));
      const ask = (name) => {
        const params = { name, arguments: {} };
        return era === 'legacy'
          ? session.request('tools/call', params)
          : requestModern(gateway.mcp(), 'tools/call', params, { key: key() });
      };
      const answers = [await ask('private__echo'), await ask('missing__echo')];
      assert.equal(answers[0].answer.error.code, -32602);
      assert.deepEqual(
        comparable(answers[0], 'private__echo'),
        comparable(answers[1], 'missing__echo'),
      );
    }
    const ran = (await upstreams.theirs.ledger()).calls;
    assert.ok(ran.every((call) => call.headers['x-tenant'] === 'theirs' || call.nonce === null));
  });

  test('a session of another tenant, and of another principal of the same', async () => {
    const theirs = await openSession(gateway.mcp(), { key: tenants.theirs.userKey });
    const service = await gateway.newKey(tenants.mine.name, { name: 'other-principal' });
    const others = await openSession(gateway.mcp(), { key: service.key });
    const ask = (id) =>
      post(gateway.mcp(), message(1, 'tools/list', {}), {
        key: key(),
        headers: { 'mcp-session-id': id, 'mcp-protocol-version': '2025-11-25' },
      }).done;
    const missing = comparable(await ask('B'.repeat(theirs.id.length)));
    assert.equal(missing.status, 404);
    assert.deepEqual(comparable(await ask(theirs.id)), missing);
    assert.deepEqual(comparable(await ask(others.id)), missing);
    assert.equal((await theirs.request('ping')).status, 200, 'and they still have it');
  });
});

describe('a foreign thing answers like a missing one: API', () => {
  const body = () => ({ name: 'private', url: upstreams.mine.url });
  const ask = (method, route, payload, options) =>
    tenants.mine.api(method, route, payload, options);
  const etag = { ifMatch: '"1"' };

  const routes = [
    ['GET /connections/{name}', (name) => ask('GET', `/connections/${name}`)],
    ['GET /connections/{name}/status', (name) => ask('GET', `/connections/${name}/status`)],
    [
      'PUT /connections/{name}',
      (name) => ask('PUT', `/connections/${name}`, { ...body(), name }, etag),
    ],
    [
      'PATCH /connections/{name}',
      (name) => ask('PATCH', `/connections/${name}`, { description: 'x' }, etag),
    ],
    [
      'PATCH /connections/{name} without If-Match',
      (name) => ask('PATCH', `/connections/${name}`, { description: 'x' }),
    ],
    [
      'DELETE /connections/{name}',
      (name) => ask('DELETE', `/connections/${name}`, undefined, etag),
    ],
    [
      'GET /connections/{name} as a user',
      (name) => ask('GET', `/connections/${name}`, undefined, { key: tenants.mine.userKey }),
    ],
  ];
  for (const [route, of] of routes) {
    test(route, async () => {
      const foreign = await of('private');
      assert.ok(
        [404, 403].includes(foreign.status) ||
          (foreign.status === 428 && route.includes('without')),
        foreign.text,
      );
      assert.deepEqual(comparable(foreign, 'private'), comparable(await of('missing'), 'missing'));
    });
  }

  test('keys and users', async () => {
    const keys = (await tenants.theirs.api('GET', '/keys')).json.items;
    const users = (await tenants.theirs.api('GET', '/users')).json.items;
    assert.ok(keys.length > 0 && users.length > 0);
    for (const [route, id] of [
      ['keys', keys[0].id],
      ['users', users[0].id],
    ]) {
      for (const method of ['GET', 'DELETE', 'PATCH']) {
        const payload = method === 'PATCH' ? { name: 'x' } : undefined;
        const answers = [];
        for (const one of [id, unused])
          answers.push(
            comparable(
              await ask(method, `/${route}/${one}`, payload, method === 'GET' ? {} : etag),
              one,
            ),
          );
        assert.deepEqual(answers[0], answers[1], `${method} /${route}/…`);
        assert.ok([404, 405].includes(answers[0].status), `${answers[0].status}`);
      }
    }
    assert.equal((await tenants.theirs.api('GET', '/keys')).json.items.length, keys.length);
  });

  test('a tenant of another, whatever is asked of it', async () => {
    for (const rest of ['', '/connections', '/connections/private', '/keys', '/users', '/tools']) {
      const answers = [];
      for (const tenant of [tenants.theirs.name, 'nowhere'])
        answers.push(comparable(await ask('GET', `/tenants/${tenant}${rest}`), tenant));
      assert.deepEqual(answers[0], answers[1], rest);
      assert.ok([403, 404].includes(answers[0].status));
    }
  });

  test('a call', async () => {
    const answers = [];
    for (const name of ['private', 'missing'])
      answers.push(
        comparable(
          await apiCall(gateway, `${name}__echo`, {}, { key: tenants.mine.userKey }),
          name,
        ),
      );
    assert.deepEqual(answers[0], answers[1]);
  });

  test('lists hold the own only, and names do not collide', async () => {
    const namesOf = async (tenant) =>
      (await tenant.api('GET', '/connections')).json.items.map((connection) => connection.name);
    assert.deepEqual(await namesOf(tenants.mine), ['crm']);
    assert.deepEqual((await namesOf(tenants.theirs)).toSorted(), ['crm', 'private']);
    const reply = await ask('POST', '/connections', { ...body(), enabled: false });
    assert.equal(reply.status, 201, 'a name that another tenant uses is free');
    await tenants.mine.must(204, 'DELETE', '/connections/private', undefined, { ifMatch: true });
    assert.equal((await tenants.theirs.api('GET', '/connections/private')).status, 200);
  });
});

describe('SQL', () => {
  let reader;
  before(async () => {
    // Rows of three tenants are in the book before anybody reads.
    await eventually(
      async () => {
        const rows = await gateway.owner('SELECT DISTINCT tenant FROM audit.calls');
        const found = rows.map((row) => row.tenant);
        return [tenants.mine.name, tenants.theirs.name].every((name) => found.includes(name));
      },
      { what: 'rows of both tenants' },
    );
    reader = await connectDatabase(gateway.dev.audit_database_url);
  });
  after(() => reader?.end());

  const seen = async () =>
    (await reader.query('SELECT DISTINCT tenant FROM audit.calls')).rows.map((row) => row.tenant);

  test('a reader sees its own tenant only', async () => {
    for (const tenant of await seen()) assert.equal(tenant, gateway.dev.tenant);
  });

  test('whatever it sets', async () => {
    const [{ id: theirs }] = await gateway.owner(
      'SELECT id FROM tollgate.tenants WHERE name = $1',
      [tenants.theirs.name],
    );
    for (const setting of [
      'app.tenant',
      'app.tenant_id',
      'tollgate.tenant',
      'app.user',
      'app.role',
      'role.tenant',
    ]) {
      for (const value of [theirs, unused, tenants.theirs.name, '*', '']) {
        await reader.query('SELECT set_config($1, $2, false)', [setting, value]);
        for (const tenant of await seen())
          assert.equal(tenant, gateway.dev.tenant, `${setting} = ${value}`);
      }
    }
    await assert.rejects(reader.query('SET row_security = off; SELECT count(*) FROM audit.calls'), {
      code: '42501',
    });
    await reader.query('RESET row_security');
    for (const role of ['tollgate_owner', 'tollgate_app', 'tollgate_audit_writer', 'postgres'])
      await assert.rejects(
        reader.query(`SET ROLE ${role}`),
        (problem) => ['42501', '22023'].includes(problem.code),
        role,
      );
    await assert.rejects(reader.query('SET SESSION AUTHORIZATION tollgate_owner'), {
      code: '42501',
    });
  });

  test('and may touch nothing else', async () => {
    const forbidden = [
      'SELECT * FROM tollgate.connections',
      'SELECT * FROM tollgate.api_keys',
      'SELECT * FROM tollgate.tenants',
      'SELECT * FROM audit_parts.call_log_standard',
      "INSERT INTO audit.call_log (started_at, tenant_id, outcome, call_id) VALUES (now(), gen_random_uuid(), 'ok', gen_random_uuid())",
      "UPDATE audit.call_log SET outcome = 'ok'",
      'DELETE FROM audit.call_log',
      'TRUNCATE audit.call_log',
      'CREATE TABLE audit.mine (a int)',
      'CREATE FUNCTION audit.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
      "INSERT INTO audit.reader_roles (role_name, tenant_id) VALUES ('demo_reader', NULL)",
    ];
    for (const statement of forbidden)
      await assert.rejects(
        reader.query(statement),
        (problem) => problem.code === '42501',
        statement,
      );
    for (const tenant of await seen()) assert.equal(tenant, gateway.dev.tenant);
  });

  test('the runtime role without a tenant sees nothing of anybody', async () => {
    const runtime = await connectDatabase(gateway.dev.database_url);
    try {
      for (const table of [
        'connections',
        'api_keys',
        'users',
        'mcp_sessions',
        'catalogs',
        'connection_status',
      ]) {
        const { rows } = await runtime.query(`SELECT count(*)::int AS n FROM tollgate.${table}`);
        assert.equal(rows[0].n, 0, table);
      }
    } finally {
      await runtime.end();
    }
  });
});
