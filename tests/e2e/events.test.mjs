// SPDX-License-Identifier: Apache-2.0
//
// Every route of the admin API that changes something leaves exactly one event, whether it succeeds
// or is refused, and the answer names it. Sign-ins leave theirs. What they show holds no secret.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { Visitor } from './lib/visitor.mjs';
import { eventually } from './lib/wait.mjs';

const header = 'tollgate-event-id';
const secret = 'planted-secret-that-is-in-no-event';

let gateway;
let tenant;
let upstream;
let server;
let other; // a second tenant, to be changed and deleted

before(async () => {
  [gateway, upstream, server] = await Promise.all([
    start(newDirectory()),
    startFixture('legacy'),
    startAuthorizationServer({ clients: { gate: secret } }),
  ]);
  tenant = await gateway.newTenant('events');
  other = await gateway.newTenant('other');
  await tenant.addConnection('crm', upstream.url);
  await tenant.must(201, 'POST', '/connections', {
    name: 'mine',
    url: server.url,
    auth: { mode: 'oauth', oauth: { client_id: 'gate', client_secret: secret } },
  });
  await tenant.must(201, 'POST', '/users', { name: 'ben' });
});

after(async () => {
  await Promise.all([upstream?.stop(), server?.close()]);
  if (gateway) await dispose(gateway);
});

const eventsOf = (id) =>
  gateway.owner(
    'SELECT *, host(source_ip) AS ip FROM audit.admin_event_log WHERE $1 IN (event_id, cause_id)' +
      ' ORDER BY cause_id NULLS FIRST, event_id',
    [id],
  );
const total = async () =>
  Number((await gateway.owner('SELECT count(*) AS n FROM audit.admin_event_log'))[0].n);

// What a request left: its one event, and what went with its target.
async function eventOf(reply) {
  const id = reply.headers.get(header);
  assert.match(id ?? '', /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-/, reply.text);
  const [event, ...followed] = await eventsOf(id);
  assert.equal(event?.event_id, id, reply.text);
  assert.ok(followed.every((one) => one.via === 'cascade' && one.cause_id === id));
  assert.equal(event.via, 'api');
  return { ...event, followed };
}

const etagOf = async (route, options) =>
  (await gateway.must(200, 'GET', route, undefined, options)).etag;

// One row for each route that changes something: how it is asked, and what its event says.
const cases = {
  connection_create: {
    ask: ['POST', '/connections', { name: 'made', url: 'https://mcp.example.com/mcp?key=hidden' }],
    event: { action: 'connection.create', target: 'made' },
    members: ({ after: made }) =>
      assert.equal(made.url, 'https://mcp.example.com/mcp?key=[REDACTED]'),
  },
  connection_replace: {
    ask: ['PUT', '/connections/made', { name: 'made', url: 'https://mcp.example.com/mcp' }],
    etag: true,
    event: { action: 'connection.update', target: 'made' },
  },
  connection_change: {
    ask: [
      'PATCH',
      '/connections/made',
      { auth: { mode: 'bearer', credential: secret }, headers: { 'X-Key': secret } },
    ],
    etag: true,
    event: { action: 'connection.update', target: 'made' },
    members: ({ before: was, after: is }) => {
      assert.deepEqual(
        [was.credential, is.credential, was.headers, is.headers],
        [null, 'set', null, 'set'],
      );
      assert.deepEqual([was.version + 1, was.url], [is.version, undefined]);
    },
  },
  connection_remove: {
    ask: ['DELETE', '/connections/made'],
    etag: true,
    event: { action: 'connection.delete', target: 'made' },
    members: ({ before: was, after: is }) =>
      assert.deepEqual([was.name, was.credential, is], ['made', 'set', null]),
  },
  connection_refresh: {
    ask: ['POST', '/connections/crm/refresh'],
    event: { action: 'connection.refresh', target: 'crm' },
  },
  probe_stored: {
    ask: ['POST', '/connections/crm/probe'],
    event: { action: 'connection.probe', target: 'crm' },
  },
  probe_unsaved: {
    ask: () => ['POST', '/probe', { name: 'tried', url: upstream.url }],
    event: { action: 'connection.probe', target: 'tried' },
  },
  oauth_connect: {
    ask: ['POST', '/connections/mine/connect'],
    as: 'user',
    refused: () => ['POST', '/connections/crm/connect', undefined, 409],
    event: { action: 'oauth.connect', target: 'mine', actor: 'user:ana' },
  },
  oauth_ingest: {
    ask: ['POST', '/connections/mine/oauth/ingest', { access_token: secret }],
    as: 'user',
    refused: () => ['POST', '/connections/mine/oauth/ingest', {}, 400],
    event: { action: 'oauth.ingest', target: 'mine', actor: 'user:ana' },
    members: ({ after: is }) => assert.equal(is.grant, 'set'),
  },
  oauth_reacquire: {
    ask: ['POST', '/connections/mine/oauth/reacquire'],
    as: 'user',
    status: 409, // what was ingested has nothing to be renewed with
    refused: () => ['POST', '/connections/crm/oauth/reacquire', undefined, 409],
    event: { action: 'oauth.reacquire', target: 'mine', actor: 'user:ana', outcome: 'conflict' },
  },
  oauth_disconnect: {
    ask: ['POST', '/connections/mine/oauth/disconnect'],
    as: 'user',
    refused: () => ['POST', '/connections/none/oauth/disconnect', undefined, 404],
    event: { action: 'oauth.disconnect', target: 'mine', actor: 'user:ana' },
    members: ({ after: is }) => assert.equal(is.grant, 'disconnected'),
  },
  signin_code_create: {
    ask: ['POST', '/signin-codes'],
    as: 'user',
    refused: () => ['POST', '/signin-codes', undefined, 403, tenant.adminKey],
    event: { action: 'signin_code.create', target: 'ana', actor: 'user:ana' },
  },
  key_create: {
    ask: ['POST', '/keys', { name: 'a-key', user: 'ben' }],
    event: { action: 'key.create', target: 'a-key' },
    members: ({ after: is }) => {
      assert.match(is.key_id, /^[0-9A-Za-z]{12}$/);
      assert.equal(is.secret_mac, 'set');
    },
    keep: ({ json }) => (cases.key_remove.id = json.id),
  },
  key_remove: {
    ask: () => ['DELETE', `/keys/${cases.key_remove.id}`],
    // Of others a user's key does not even learn that they are there.
    refused: () => ['DELETE', `/keys/${cases.key_remove.id}`, undefined, 404, tenant.userKey],
    event: { action: 'key.delete', target: 'a-key' },
  },
  user_create: {
    ask: ['POST', '/users', { name: 'eve', email: 'eve@example.com', enabled: false }],
    event: { action: 'user.create', target: 'eve' },
    members: ({ before: was, after: is }) =>
      assert.deepEqual([was, is.enabled, is.email], [null, false, 'eve@example.com']),
  },
  user_change: {
    ask: ['PATCH', '/users/eve', { email: null, role: 'admin' }],
    etag: true,
    event: { action: 'user.update', target: 'eve' },
    members: ({ before: was, after: is }) => {
      assert.deepEqual(was, { email: 'eve@example.com', role: 'user', version: 1 });
      assert.deepEqual(is, { email: null, role: 'admin', version: 2 });
    },
  },
  user_remove: {
    ask: ['DELETE', '/users/eve'],
    etag: true,
    event: { action: 'user.delete', target: 'eve' },
  },
  tenant_create: {
    ask: ['POST', '/tenants', { name: 'fresh', enabled: false }],
    as: 'platform',
    event: { action: 'tenant.create', target: 'fresh', tenant: 'fresh' },
    members: ({ after: is }) => assert.equal(is.enabled, false),
  },
  tenant_change: {
    ask: () => ['PATCH', `/tenants/${other.name}`, { egress: { allow: ['10.0.0.5:8443'] } }],
    as: 'platform',
    etag: true,
    event: () => ({ action: 'tenant.update', target: other.name, tenant: other.name }),
    members: ({ before: was, after: is }) =>
      assert.deepEqual(
        [was, is],
        [{ egress: { allow: [] } }, { egress: { allow: ['10.0.0.5:8443'] } }],
      ),
  },
  tenant_remove: {
    ask: () => ['DELETE', `/tenants/${other.name}`],
    as: 'platform',
    etag: true,
    event: () => ({ action: 'tenant.delete', target: other.name, tenant: other.name }),
    members: ({ followed }) => {
      const gone = followed.map((one) => `${one.action} ${one.target} ${one.tenant}`).toSorted();
      assert.deepEqual(
        gone,
        ['key.delete admin-key', 'key.delete ana-key', 'user.delete ana'].map(
          (one) => `${one} ${other.name}`,
        ),
      );
    },
  },
};

const given = (value) => (typeof value === 'function' ? value() : value);

// The table of routes itself: a new one that changes something has to be written here too.
const routes = [
  ...fs
    .readFileSync(path.resolve(import.meta.dirname, '../../gateway/http/api.h'), 'utf8')
    .matchAll(/X\((\w+), "(\w+)", "([^"]+)", (\w+), (\w+)\)/g),
].map(([, scope, method, pattern, who, name]) => ({ scope, method, pattern, who, name }));
const changing = routes.filter(({ method, name }) => method !== 'GET' && name !== 'tool_call');

test('every route that changes something is tried, and no other is', () => {
  assert.ok(changing.length >= 19);
  assert.deepEqual(changing.map(({ name }) => name).toSorted(), Object.keys(cases).toSorted());
});

describe('exactly one event', () => {
  const keys = () => ({
    user: tenant.userKey,
    admin: tenant.adminKey,
    platform: gateway.dev.admin_key,
  });

  for (const { name } of changing) {
    const one = cases[name];

    test(`${name} that is refused`, async () => {
      const [method, route, body, status = 403, key = tenant.userKey] = one.refused
        ? given(one.refused)
        : given(one.ask).slice(0, 3);
      const before = await total();
      const reply = await gateway.api(method, route, body, {
        key: one.as === 'platform' ? tenant.adminKey : key,
        ifMatch: one.etag ? '"1"' : undefined,
      });
      assert.equal(reply.status, status, reply.text);
      const event = await eventOf(reply);
      const outcome = { 400: 'invalid', 403: 'denied', 404: 'not_found', 409: 'conflict' }[status];
      assert.deepEqual(
        [event.outcome, event.http_status, event.error_code, event.followed],
        [outcome, status, reply.json.code, []],
      );
      assert.equal(event.action, given(one.event).action);
      assert.equal(event.actor_tenant, tenant.name);
      assert.deepEqual([event.before, event.after], [null, null]);
      assert.equal(await total(), before + 1);
    });

    test(`${name} that succeeds`, async () => {
      const [method, route, body] = given(one.ask);
      const key = keys()[one.as ?? 'admin'];
      const ifMatch = one.etag ? await etagOf(route, { key }) : undefined;
      const before = await total();
      const reply = await gateway.api(method, route, body, { key, ifMatch });
      if (one.status) assert.equal(reply.status, one.status, reply.text);
      else assert.ok(reply.status < 300, `${reply.status} ${reply.text}`);
      one.keep?.(reply);
      const event = await eventOf(reply);
      const wanted = { outcome: 'ok', actor: 'key:admin-key', tenant: tenant.name };
      if (one.as === 'platform') wanted.actor = 'key:development-admin';
      for (const [member, value] of Object.entries({ ...wanted, ...given(one.event) }))
        assert.equal(event[member], value, member);
      assert.match(event.api_key, /^[0-9A-Za-z]{12}$/);
      assert.equal(event.role, one.as ?? 'admin');
      assert.match(event.ip, /^127\./);
      assert.ok(event.node_id);
      one.members?.(event);
      assert.equal(await total(), before + 1 + event.followed.length);
    });
  }

  test('of what fails in other ways', async () => {
    const tries = [
      ['stale', 412, 'PATCH', '/connections/crm', { description: 'x' }, { ifMatch: '"99"' }],
      ['stale', 428, 'DELETE', '/users/ben', undefined, {}],
      ['conflict', 409, 'POST', '/users', { name: 'ben' }, {}],
      ['invalid', 400, 'POST', '/connections', { name: 'crm', url: 'ftp://x' }, {}],
      ['not_found', 404, 'DELETE', '/users/nobody', undefined, { ifMatch: '"1"' }],
      ['unauthenticated', 401, 'POST', '/users', { name: 'x' }, { key: undefined }],
      ['unauthenticated', 401, 'DELETE', '/users/ben', undefined, { key: 'tgk_no' }],
      ['denied', 403, 'POST', `/tenants/${tenant.name}/users`, { name: 'x' }, {}],
    ];
    for (const [outcome, status, method, route, body, options] of tries) {
      const before = await total();
      const reply = await gateway.api(method, route, body, { key: tenant.adminKey, ...options });
      assert.equal(reply.status, status, reply.text);
      const event = await eventOf(reply);
      assert.deepEqual([event.outcome, event.http_status], [outcome, status]);
      if (status === 401)
        assert.deepEqual([event.actor, event.tenant, event.api_key], ['nobody', null, null]);
      assert.equal(await total(), before + 1);
    }
  });

  test('of what only asks there is none', async () => {
    const before = await total();
    for (const route of ['/users', '/connections/crm', '/status', '/tools']) {
      const reply = await gateway.must(200, 'GET', route, undefined, { key: tenant.adminKey });
      assert.equal(reply.headers.get(header), null);
    }
    assert.equal(await total(), before);
  });

  test('of a platform administrator at work in another tenant', async () => {
    const reply = await gateway.must(201, 'POST', `/tenants/${tenant.name}/users`, { name: 'max' });
    const event = await eventOf(reply);
    assert.deepEqual(
      [event.tenant, event.actor, event.actor_tenant, event.role],
      [tenant.name, 'key:development-admin', gateway.dev.tenant, 'platform'],
    );
  });

  test('of what is done by SQL and by the program itself', async () => {
    await gateway.owner(`UPDATE tollgate.users SET email = 'b@example.com' WHERE name = 'ben'`);
    const [bySql] = await gateway.owner(
      `SELECT * FROM audit.admin_events WHERE action = 'user.update' AND target = 'ben'`,
    );
    assert.deepEqual([bySql.via, bySql.after], ['sql', { email: 'b@example.com' }]);
    assert.match(bySql.actor, /^sql:/);
    const seeded = await gateway.owner(
      `SELECT DISTINCT action, actor FROM audit.admin_events WHERE via = 'seed'`,
    );
    assert.ok(seeded.some(({ action }) => action === 'tenant.create'));
    assert.ok(seeded.every(({ actor }) => /^os:.+@/.test(actor)));
    const migrated = await gateway.owner(
      `SELECT target FROM audit.admin_events WHERE via = 'migrate' AND action = 'schema.migrate'`,
    );
    assert.ok(migrated.some(({ target }) => target.startsWith('0020')));
  });
});

describe('a sign-in', () => {
  const events = () =>
    gateway.owner(
      `SELECT type, user_name, error_code, detail->>'by' AS by, api_key, host(source_ip) AS ip,
              client, actor, tenant
       FROM audit.auth_events WHERE type LIKE 'sign%' ORDER BY at, event_id`,
    );
  const since = async (n) => (await events()).slice(n);
  const field = { 'content-type': 'application/x-www-form-urlencoded' };
  const signIn = (visitor, fields) =>
    visitor.open(new URL('/signin', gateway.dev.public_url), {
      method: 'POST',
      headers: { ...field, origin: new URL(gateway.dev.public_url).origin },
      body: new URLSearchParams(fields).toString(),
    });
  const newCode = async () =>
    new URL(
      (await gateway.must(201, 'POST', '/signin-codes', undefined, { key: tenant.userKey })).json.url,
    ).searchParams.get('code');

  test('by a code is its issue, its use, and its end', async () => {
    const n = (await events()).length;
    const code = await newCode();
    const visitor = new Visitor();
    assert.match((await signIn(visitor, { code })).text, /ana/);
    const page = await visitor.open(new URL('/signin', gateway.dev.public_url));
    await visitor.press(page, /sign out/i);
    const found = await since(n);
    assert.deepEqual(
      found.map(({ type, user_name, by }) => [type, user_name, by]),
      [
        ['signin_code_issued', 'ana', null],
        ['signin_completed', 'ana', 'code'],
        ['signed_out', 'ana', 'out'],
      ],
    );
    assert.ok(found.every(({ ip, tenant: of }) => ip.startsWith('127.') && of === tenant.name));
    assert.ok(found.every(({ api_key: key }) => /^[0-9A-Za-z]{12}$/.test(key)));
    assert.equal(new Set(found.map(({ api_key: key }) => key)).size, 1);
  });

  test('that is refused says why, and by whom if that is known', async () => {
    const n = (await events()).length;
    const used = await newCode();
    await signIn(new Visitor(), { code: used });
    const late = await newCode();
    await gateway.owner(
      `UPDATE tollgate.signin_codes SET expires_at = now() WHERE expires_at > now()`,
    );
    for (const fields of [
      { code: used },
      { code: late },
      { key: 'tgk_nonsense' },
      { key: tenant.adminKey },
    ])
      assert.ok((await signIn(new Visitor(), fields)).status >= 400);
    const found = (await since(n)).filter(({ type }) => type === 'signin_refused');
    assert.deepEqual(
      found.map((one) => [one.error_code, one.by, one.user_name, one.tenant]),
      [
        ['code_unknown', 'code', null, null],
        ['code_expired', 'code', 'ana', tenant.name],
        ['key_unknown', 'key', null, null],
        ['key_of_service', 'key', null, tenant.name],
      ],
    );
    assert.ok(found.every(({ ip }) => ip.startsWith('127.')));
  });

  test('by a key, which ends with the key', async () => {
    const n = (await events()).length;
    const { json: made } = await tenant.must(201, 'POST', '/keys', { name: 'door', user: 'ben' });
    await signIn(new Visitor(), { key: made.key });
    await tenant.must(204, 'DELETE', `/keys/${made.id}`);
    assert.deepEqual(
      (await since(n)).map(({ type, by, actor }) => [type, by, actor]),
      [
        ['signin_completed', 'key', 'user:ben'],
        ['signed_out', 'cascade', 'system:cascade'],
      ],
    );
  });
});

describe('the lists', () => {
  const list = async (route, key = tenant.adminKey, status = 200) =>
    (await gateway.must(status, 'GET', `/audit/${route}`, undefined, { key })).json;

  test('are read page by page, each event once', async () => {
    const all = (await list('admin-events?limit=200')).items;
    const seen = [];
    let cursor;
    do {
      const page = await list(`admin-events?limit=7${cursor ? `&cursor=${cursor}` : ''}`);
      seen.push(...page.items);
      cursor = page.next;
    } while (cursor);
    assert.ok(all.length > 20);
    assert.deepEqual(
      seen.slice(-all.length).map(({ id }) => id),
      all.map(({ id }) => id),
    );
    assert.ok(all.every((one) => one.tenant === tenant.name || one.tenant === null));
    const times = all.map(({ at }) => at);
    assert.deepEqual(times, times.toSorted().toReversed());
  });

  test('are filtered, and refuse what they do not know', async () => {
    const denied = (await list('admin-events?outcome=denied&action=user.create')).items;
    assert.ok(denied.length > 0);
    assert.ok(denied.every((one) => one.outcome === 'denied' && one.action === 'user.create'));
    const made = (await list('admin-events?target_kind=user&target=eve&actor=key:admin-key')).items;
    assert.ok(made.some(({ action, after: is }) => action === 'user.create' && is?.name === 'eve'));
    const since = made[0].at;
    assert.ok((await list(`admin-events?from=${since}`)).items.every(({ at }) => at >= since));
    assert.ok((await list('admin-events?from=1h&to=now')).items.length >= 7);
    assert.equal((await list('admin-events?from=2d&to=1d')).items.length, 0);
    const signins = (await list('auth-events?type=signin_completed&user=ana')).items;
    assert.ok(signins.length >= 2 && signins.every((one) => one.user === 'ana'));
    const ingested = (await list('auth-events?type=token_ingested&connection=mine')).items;
    const [asked] = await eventsOf(ingested[0].cause_id);
    assert.equal(asked.action, 'oauth.ingest');
    for (const query of ['x=1', 'limit=0', 'limit=201', 'from=yesterday', 'action=', 'cursor=no',
      'action=a&action=b', 'tenant=acme', 'from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z'])
      await list(
        `admin-events?${query}`,
        query === 'tenant=acme' ? gateway.dev.admin_key : tenant.adminKey,
        400,
      );
  });

  test('show administrators their tenant, and the platform all', async () => {
    await list('admin-events', tenant.userKey, 403);
    await list('admin-events?tenant=*', tenant.adminKey, 403);
    const all = (await list('admin-events?tenant=*&limit=200', gateway.dev.admin_key)).items;
    assert.ok(new Set(all.map((one) => one.tenant)).size >= 3);
    const nobodys = (await list('admin-events?tenant=-', gateway.dev.admin_key)).items;
    assert.ok(nobodys.some(({ outcome }) => outcome === 'unauthenticated'));
    assert.ok(nobodys.every((one) => one.tenant === null));
    const named = await gateway.must(200, 'GET', `/tenants/${tenant.name}/audit/admin-events`);
    assert.ok(named.json.items.every((one) => one.tenant === tenant.name));
  });
});

test('no event holds a secret', async () => {
  await eventually(async () => {
    const [{ text }] = await gateway.owner(
      `SELECT (SELECT string_agg(e::text, ' ') FROM audit.admin_event_log e)
           || (SELECT string_agg(e::text, ' ') FROM audit.auth_event_log e) AS text`,
    );
    assert.ok(text.length > 10000);
    assert.ok(!text.includes(secret) && !text.includes('hidden') && !text.includes('tgk_'));
    assert.ok(!text.includes(tenant.userKey.slice(17)));
    return true;
  });
});
