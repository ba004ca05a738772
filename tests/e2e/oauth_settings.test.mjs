// SPDX-License-Identifier: Apache-2.0
//
// Connections of auth mode oauth in the admin API: their settings, how their grants stand, what
// happened to them. Rows are put into the tables, so no authorization server is needed.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { environment, runCli } from './lib/gateway.mjs';

const secret = 'a-client-secret-that-is-shown-to-nobody';
const url = 'https://mcp.example.com/mcp';
const unset = {
  issuer: null,
  authorization_url: null,
  token_url: null,
  revocation_url: null,
  client_id: null,
  client_secret: null,
  token_endpoint_auth: 'basic',
  scope: '',
  audience: null,
  resource: true,
  authorize_params: {},
};
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;

let gateway;
let tenant;
let other;
let ben;

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('oauth');
  other = await gateway.newTenant('oauth-other');
  await tenant.must(201, 'POST', '/users', { name: 'ben' });
  ben = (await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' })).key;
});

after(async () => {
  await gateway?.close();
});

// Disabled, so that nobody tries to list what is not there.
const body = (name, oauth, more = {}) => ({
  name,
  url,
  enabled: false,
  auth: { mode: 'oauth', ...(oauth === undefined ? {} : { oauth }) },
  ...more,
});
const add = async (name, oauth, more) =>
  (await tenant.must(201, 'POST', '/connections', body(name, oauth, more))).json;
const patch = (name, change, status = 200) =>
  tenant.must(status, 'PATCH', `/connections/${name}`, change, { ifMatch: true });
const stored = async (name) =>
  (
    await gateway.owner(
      `SELECT c.*, t.name AS tenant FROM tollgate.connections c
       JOIN tollgate.tenants t ON t.id = c.tenant_id WHERE t.name = $1 AND c.name = $2`,
      [tenant.name, name],
    )
  )[0];
const userId = async (name, of = tenant) =>
  (
    await gateway.owner(
      `SELECT u.id FROM tollgate.users u JOIN tollgate.tenants t ON t.id = u.tenant_id
       WHERE t.name = $1 AND u.name = $2`,
      [of.name, name],
    )
  )[0].id;

// A grant as if somebody had connected. user: whose it is; absent: it is shared.
async function grant(connection, { user, ...columns } = {}) {
  const { id, tenant_id } = await stored(connection);
  const row = {
    tenant_id,
    connection_id: id,
    id: randomUUID(),
    kind: 'authorization_code',
    token_url: 'https://as.example.com/token',
    access_token: Buffer.from('00', 'hex'),
    authenticated_by: user ?? 'admin-key',
    authenticated_at: '2026-11-20T12:00:00Z',
    ...(user === undefined ? {} : { user_id: await userId(user), subject: '' }),
    ...columns,
  };
  if (row.user_id !== undefined) row.subject = `user:${row.user_id}`;
  const names = Object.keys(row);
  await gateway.owner(
    `INSERT INTO tollgate.grants (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)})`,
    Object.values(row),
  );
  return row;
}

async function event(connection, type, { subject = '', at = '2026-11-20T12:00:00Z', ...more } = {}) {
  const { id, tenant_id } = await stored(connection);
  const row = { tenant_id, connection_id: id, connection, type, subject, at, ...more };
  const names = Object.keys(row);
  await gateway.owner(
    `INSERT INTO audit.auth_event_log (${names}) VALUES (${names.map((_, i) => `$${i + 1}`)})`,
    Object.values(row),
  );
}

const ask = (key, route) => gateway.api('GET', route, undefined, { key });
const oauthOf = async (key, connection) =>
  (await ask(key, `/connections/${connection}/status`)).json.oauth;

describe('settings of OAuth connections', () => {
  test('need nothing but the URL', async () => {
    const made = await add('found');
    assert.deepEqual(made.auth, {
      mode: 'oauth',
      oauth: { grant: 'authorization_code', per: 'user', ...unset },
    });
  });

  test('are shown as they were given, but for the secret', async () => {
    const given = {
      grant: 'authorization_code',
      per: 'shared',
      issuer: 'https://as.example.com/',
      authorization_url: 'https://as.example.com/authorize',
      token_url: 'https://as.example.com/token',
      revocation_url: 'https://as.example.com/revoke',
      client_id: 'gate',
      client_secret: secret,
      token_endpoint_auth: 'basic_raw',
      scope: 'b  a',
      audience: 'https://aud.example.com',
      resource: false,
      authorize_params: { prompt: 'consent', access_type: 'offline' },
    };
    const made = await add('full', given);
    assert.deepEqual(made.auth.oauth, { ...given, client_secret: '[REDACTED]' });
    assert.deepEqual((await tenant.api('GET', '/connections/full')).json.auth, made.auth);
    const row = await stored('full');
    assert.equal(row.oauth.client_secret, undefined);
    assert.ok(!row.oauth_secret.includes(secret));
  });

  test('are not shown to users, but for what they have to know', async () => {
    const { json } = await ask(tenant.userKey, '/connections/full');
    assert.deepEqual(json.auth, {
      mode: 'oauth',
      oauth: { grant: 'authorization_code', per: 'shared' },
    });
  });

  test('that were read can be written back, and the secret stays', async () => {
    const { json, etag } = await tenant.api('GET', '/connections/full');
    const before = await stored('full');
    const put = await tenant.must(200, 'PUT', '/connections/full', json, { ifMatch: etag });
    assert.deepEqual(put.json.auth, json.auth);
    const now = await stored('full');
    assert.notDeepEqual(now.oauth_secret, before.oauth_secret, 'it is sealed for the new version');
    assert.equal(now.settings_version, before.settings_version, 'and is no new setting');
  });

  test('are patched member by member', async () => {
    const { json } = await patch('full', {
      auth: { oauth: { scope: 'c', audience: null, authorize_params: { prompt: null } } },
    });
    assert.equal(json.auth.oauth.scope, 'c');
    assert.equal(json.auth.oauth.audience, null);
    assert.equal(json.auth.oauth.client_secret, '[REDACTED]');
    assert.deepEqual(json.auth.oauth.authorize_params, { access_type: 'offline' });
    const row = await stored('full');
    assert.equal(row.settings_version, row.version);
  });

  test('do not take a secret along to another server', async () => {
    const { json } = await patch(
      'full',
      { auth: { oauth: { token_url: 'https://evil.example.com/token' } } },
      400,
    );
    assert.equal(json.pointer, '/auth/oauth/client_secret');
    await patch('full', {
      auth: { oauth: { token_url: 'https://new.example.com/token', client_secret: secret } },
    });
  });

  test('of client_credentials are always shared', async () => {
    const made = await add('robot', {
      grant: 'client_credentials',
      client_id: 'gate',
      client_secret: secret,
    });
    assert.equal(made.auth.oauth.per, 'shared');
    const { json } = await patch('robot', { auth: { oauth: { per: 'user' } } }, 400);
    assert.equal(json.pointer, '/auth/oauth/per');
  });

  test('change their grant without leaving anything behind', async () => {
    await add('turned', { client_id: 'gate', client_secret: secret });
    const { json } = await patch('turned', { auth: { oauth: { grant: 'client_credentials' } } });
    assert.equal(json.auth.oauth.per, 'shared');
    const none = await patch('turned', { auth: { mode: 'none' } });
    assert.deepEqual(none.json.auth, { mode: 'none' });
    const row = await stored('turned');
    assert.equal(row.oauth, null);
    assert.equal(row.oauth_secret, null);
  });

  test('take a private key that can sign, and no other', async () => {
    const pem = (type, options) =>
      generateKeyPairSync(type, options).privateKey.export({ type: 'pkcs8', format: 'pem' });
    const settings = (key) => ({
      client_id: 'gate',
      client_secret: key,
      token_endpoint_auth: 'private_key_jwt',
    });
    await add('signs', settings(pem('ec', { namedCurve: 'P-256' })));
    for (const [i, key] of [
      pem('rsa', { modulusLength: 1024 }),
      pem('ec', { namedCurve: 'secp256k1' }),
      secret,
    ].entries()) {
      const { json, text } = await tenant.must(
        400,
        'POST',
        '/connections',
        body(`signs${i}`, settings(key)),
      );
      assert.equal(json.pointer, '/auth/oauth/client_secret');
      assert.ok(!text.includes(key.slice(0, 30)), text);
    }
  });

  test('that cannot be are refused with their place', async () => {
    for (const [oauth, pointer, code = 'bad_request'] of [
      [{ colour: 1 }, '/colour'],
      [{ grant: 'password' }, '/grant'],
      [{ grant: 'client_credentials' }, '/client_id'],
      [{ grant: 'client_credentials', client_id: 'x', token_endpoint_auth: 'post' }, '/client_secret'],
      [{ client_secret: secret }, '/client_id'],
      [{ client_id: 'x', client_secret: '[REDACTED]' }, '/client_secret'],
      [{ token_url: 'https://as.example.com/t' }, '/authorization_url'],
      [{ issuer: 'http://as.example.com' }, '/issuer'],
      [{ issuer: 'https://169.254.169.254/' }, '/issuer', 'egress_denied'],
      [{ authorize_params: { redirect_uri: 'x' } }, '/authorize_params'],
      [{ authorize_params: { a: 1 } }, '/authorize_params/a'],
    ]) {
      const reply = await tenant.must(400, 'POST', '/connections', body('bad', oauth));
      assert.equal(reply.json.pointer, `/auth/oauth${pointer}`, JSON.stringify(oauth));
      assert.equal(reply.json.code, code);
      assert.ok(!reply.text.includes(secret), reply.text);
    }
  });
});

describe('how grants stand', () => {
  test('nobody has connected', async () => {
    await add('mail', { scope: 'read' });
    assert.deepEqual(await oauthOf(tenant.userKey, 'mail'), {
      configured: true,
      grant: 'authorization_code',
      per: 'user',
      state: 'not_connected',
      token_acquired: false,
      expires_at: null,
      refresh_expires_at: null,
      last_refreshed_at: null,
      has_refresh_token: false,
      needs_reauth: false,
      last_error: null,
      token_url: null,
      scope: 'read',
      account: null,
      authenticated_by: null,
      authenticated_at: null,
      last_revocation: null,
      accounts: null,
    });
    assert.deepEqual((await oauthOf(tenant.adminKey, 'mail')).accounts, {
      connected: 0,
      refresh_failing: 0,
      needs_reauth: 0,
    });
  });

  test('a connection of another mode has none', async () => {
    await tenant.must(201, 'POST', '/connections', { name: 'plain', url, enabled: false });
    assert.equal(await oauthOf(tenant.adminKey, 'plain'), null);
  });

  test('each sees their own, and an administrator how many there are', async () => {
    await grant('mail', {
      user: 'ana',
      refresh_token: Buffer.from('00', 'hex'),
      expires_at: '2026-11-20T13:00:00Z',
      refresh_expires_at: '2026-12-20T13:00:00Z',
      last_refreshed_at: '2026-11-20T12:30:00Z',
      account: 'ana@example.com',
      scope: 'read write',
    });
    const ana = await grant('mail', { user: 'ben', state: 'needs_reauth', last_error: 'it was revoked' });
    await event('mail', 'refresh_failed_revoked', {
      subject: ana.subject,
      error_code: 'invalid_grant',
    });
    const own = await oauthOf(tenant.userKey, 'mail');
    assert.equal(own.state, 'connected');
    assert.equal(own.token_acquired, true);
    assert.equal(own.has_refresh_token, true);
    assert.equal(own.expires_at, '2026-11-20T13:00:00.000000Z');
    assert.equal(own.refresh_expires_at, '2026-12-20T13:00:00.000000Z');
    assert.equal(own.last_refreshed_at, '2026-11-20T12:30:00.000000Z');
    assert.equal(own.account, 'ana@example.com');
    assert.equal(own.authenticated_by, 'ana');
    assert.equal(own.token_url, 'https://as.example.com/token');
    assert.equal(own.scope, 'read write');
    assert.equal(own.accounts, null);
    const bens = await oauthOf(ben, 'mail');
    assert.equal(bens.state, 'needs_reauth');
    assert.equal(bens.needs_reauth, true);
    assert.equal(bens.token_acquired, false);
    assert.equal(bens.last_error, 'it was revoked');
    assert.deepEqual(bens.last_revocation, {
      occurred_at: '2026-11-20T12:00:00.000000Z',
      reason: 'invalid_grant',
      idp_host: 'as.example.com',
      result: null,
    });
    const seen = await oauthOf(tenant.adminKey, 'mail');
    assert.equal(seen.state, 'not_connected', 'a service key has none of its own');
    assert.deepEqual(seen.accounts, { connected: 1, refresh_failing: 0, needs_reauth: 1 });
  });

  test('a shared one is seen by all', async () => {
    await add('shared', { per: 'shared' });
    await grant('shared', { last_error: 'the server did not answer', last_error_at: '2026-11-20T12:10:00Z' });
    await event('shared', 'refresh_failed_transient', { error_code: 'temporarily_unavailable' });
    for (const key of [tenant.userKey, ben, tenant.adminKey])
      assert.equal((await oauthOf(key, 'shared')).state, 'refresh_failing');
  });

  test('all of them at once', async () => {
    const health = async (key) =>
      Object.fromEntries(
        (await ask(key, '/oauth/health')).json.items
          .filter(({ connection }) => ['mail', 'shared', 'plain', 'robot'].includes(connection))
          .map(({ connection, ...rest }) => [connection, rest]),
      );
    const anas = await health(tenant.userKey);
    assert.deepEqual(anas, {
      mail: {
        enabled: false,
        per: 'user',
        state: 'connected',
        code: null,
        last_error: null,
        since: '2026-11-20T12:30:00.000000Z',
        accounts: null,
      },
      robot: {
        enabled: false,
        per: 'shared',
        state: 'not_connected',
        code: null,
        last_error: null,
        since: null,
        accounts: null,
      },
      shared: {
        enabled: false,
        per: 'shared',
        state: 'refresh_failing',
        code: 'temporarily_unavailable',
        last_error: 'the server did not answer',
        since: '2026-11-20T12:00:00.000000Z',
        accounts: null,
      },
    });
    assert.equal((await health(ben)).mail.code, 'invalid_grant');
    assert.deepEqual((await health(tenant.adminKey)).mail.accounts, {
      connected: 1,
      refresh_failing: 0,
      needs_reauth: 1,
    });
    const page = (await ask(tenant.adminKey, '/oauth/health?limit=1')).json;
    assert.equal(page.items.length, 1);
    const next = (await ask(tenant.adminKey, `/oauth/health?limit=1&cursor=${page.next}`)).json;
    assert.ok(next.items[0].connection > page.items[0].connection);
    assert.deepEqual((await ask(other.adminKey, '/oauth/health')).json.items, []);
  });

  test('account by account', async () => {
    const accounts = async (key) =>
      (await ask(key, '/accounts')).json.items.map(({ connection, user, state }) => [
        connection,
        user,
        state,
      ]);
    assert.deepEqual(await accounts(tenant.adminKey), [
      ['mail', 'ana', 'connected'],
      ['mail', 'ben', 'needs_reauth'],
      ['shared', null, 'refresh_failing'],
    ]);
    assert.deepEqual(await accounts(tenant.userKey), [
      ['mail', 'ana', 'connected'],
      ['shared', null, 'refresh_failing'],
    ]);
    assert.deepEqual(await accounts(other.adminKey), []);
    const [mail] = (await ask(tenant.userKey, '/accounts')).json.items;
    assert.deepEqual(mail, {
      connection: 'mail',
      user: 'ana',
      account: 'ana@example.com',
      state: 'connected',
      kind: 'authorization_code',
      scope: 'read write',
      expires_at: '2026-11-20T13:00:00.000000Z',
      refresh_expires_at: '2026-12-20T13:00:00.000000Z',
      has_refresh_token: true,
      last_refreshed_at: '2026-11-20T12:30:00.000000Z',
      last_error: null,
      authenticated_by: 'ana',
      authenticated_at: '2026-11-20T12:00:00.000000Z',
    });
  });

  test('an edit of where the tokens go ends them', async () => {
    await patch('mail', { url: 'https://evil.example.com/mcp' });
    const own = await oauthOf(tenant.userKey, 'mail');
    assert.equal(own.state, 'needs_reauth');
    assert.equal(own.last_error, 'the settings of the connection have changed');
    assert.equal(own.last_revocation.reason, 'settings_changed');
    assert.match(own.last_revocation.occurred_at, time);
  });
});

describe('what happened', () => {
  const types = (reply) => reply.json.items.map(({ type }) => type);

  test('is listed newest first, page by page', async () => {
    await add('history', { per: 'user' });
    assert.deepEqual((await ask(tenant.userKey, '/connections/history/oauth/events')).json, {
      items: [],
      next: null,
    });
    const anas = `user:${await userId('ana')}`;
    const bens = `user:${await userId('ben')}`;
    await event('history', 'connect_started', { subject: anas, at: '2026-11-20T12:00:00.000001Z', actor: 'user:ana' });
    await event('history', 'connect_completed', {
      subject: anas,
      at: '2026-11-20T12:00:00.000002Z',
      detail: { rotated_refresh: true },
    });
    await event('history', 'refresh_succeeded', { subject: anas, at: '2026-11-20T12:00:00.000002Z' });
    await event('history', 'refresh_failed_revoked', {
      subject: bens,
      at: '2026-11-20T12:00:00.000003Z',
      error_code: 'invalid_grant',
    });
    await event('history', 'token_ingested', { at: '2026-11-20T12:00:00.000004Z' });
    const route = '/connections/history/oauth/events';
    const all = await ask(tenant.adminKey, route);
    assert.deepEqual(types(all).slice(0, 2), ['token_ingested', 'refresh_failed_revoked']);
    assert.equal(all.json.items.length, 5);
    assert.deepEqual(all.json.items[1], {
      id: all.json.items[1].id,
      at: '2026-11-20T12:00:00.000003Z',
      type: 'refresh_failed_revoked',
      shared: false,
      user: 'ben',
      actor: null,
      attempt: null,
      error_code: 'invalid_grant',
      detail: {},
    });
    const walked = [];
    for (let next = ''; next !== null; ) {
      const { json } = await ask(tenant.adminKey, `${route}?limit=1${next && `&cursor=${next}`}`);
      walked.push(...json.items);
      next = json.next;
    }
    assert.deepEqual(walked, all.json.items);
    assert.ok(!types(await ask(tenant.userKey, route)).includes('refresh_failed_revoked'));
    assert.equal((await ask(tenant.userKey, route)).json.items.length, 4);
  });

  test('has cursors that nobody can make up', async () => {
    for (const key of ['x', '1 x', `x ${randomUUID()}`, `99999999999999999999 ${randomUUID()}`]) {
      const cursor = Buffer.from(`1/${key}`).toString('base64url');
      const reply = await ask(tenant.adminKey, `/connections/history/oauth/events?cursor=${cursor}`);
      assert.equal(reply.status, 400, key);
    }
  });

  test('of another tenant is not there', async () => {
    const there = await ask(other.adminKey, '/connections/history/oauth/events');
    assert.equal(there.status, 404);
    assert.deepEqual(there.json, {
      ...(await ask(other.adminKey, '/connections/history/status')).json,
    });
  });
});

describe('the command line', () => {
  const cli = (args, { key = tenant.adminKey, ...options } = {}) =>
    gateway.cli(args, { env: { TOLLGATE_KEY: key }, ...options });

  test('adds a connection with all its settings', async () => {
    const { code, stdout, stderr } = await cli(
      [
        ...['connections', 'add', 'by-cli', '--url', url, '--auth', 'oauth', '--per', 'shared'],
        ...['--issuer', 'https://as.example.com', '--client-id', 'gate'],
        ...['--authorization-url', 'https://as.example.com/a'],
        ...['--token-url', 'https://as.example.com/t'],
        ...['--revocation-url', 'https://as.example.com/r', '--client-secret-file', '-'],
        ...['--token-auth', 'post', '--scope', 'a b', '--audience', 'x', '--resource', 'off'],
        ...['--authorize-param', 'prompt=consent', '--authorize-param', 'a=b=c'],
      ],
      { input: `${secret}\n` },
    );
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^by-cli is added\nconnect an account with tollgate connect by-cli\n$/);
    assert.deepEqual((await tenant.api('GET', '/connections/by-cli')).json.auth.oauth, {
      grant: 'authorization_code',
      per: 'shared',
      issuer: 'https://as.example.com',
      authorization_url: 'https://as.example.com/a',
      token_url: 'https://as.example.com/t',
      revocation_url: 'https://as.example.com/r',
      client_id: 'gate',
      client_secret: '[REDACTED]',
      token_endpoint_auth: 'post',
      scope: 'a b',
      audience: 'x',
      resource: false,
      authorize_params: { prompt: 'consent', a: 'b=c' },
    });
  });

  test('edits what is given', async () => {
    const { code, stderr } = await cli([
      ...['connections', 'edit', 'by-cli', '--audience', '', '--resource', 'on', '--scope', 'c'],
      ...['--remove-authorize-param', 'a', '--authorize-param', 'b=d'],
    ]);
    assert.equal(code, 0, stderr);
    const { oauth } = (await tenant.api('GET', '/connections/by-cli')).json.auth;
    assert.equal(oauth.audience, null);
    assert.equal(oauth.resource, true);
    assert.equal(oauth.scope, 'c');
    assert.deepEqual(oauth.authorize_params, { prompt: 'consent', b: 'd' });
    const shown = await cli(['connections', 'show', 'by-cli']);
    assert.match(shown.stdout, /https:\/\/as\.example\.com/);
    assert.match(shown.stdout, /\[REDACTED\]/);
    assert.ok(!shown.stdout.includes(secret));
  });

  test('says what makes no sense', async () => {
    const base = ['connections', 'add', 'wrong', '--url', url];
    for (const [args, says] of [
      [['--scope', 'a'], /--scope needs --auth oauth/],
      [['--auth', 'none', '--issuer', 'https://x'], /--issuer needs --auth oauth/],
      [['--auth', 'oauth', '--credential-file', '-'], /takes no credential/],
      [['--auth', 'oauth', '--resource', 'maybe'], /--resource is on or off/],
      [['--auth', 'oauth', '--authorize-param', 'x'], /wants NAME=VALUE/],
      [['--auth', 'magic'], /--auth is none, bearer, api_key or oauth/],
    ]) {
      const { code, stderr } = await cli([...base, ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
    }
  });

  test('lists accounts', async () => {
    const { code, stdout } = await cli(['accounts', 'list'], { key: tenant.userKey });
    assert.equal(code, 0);
    assert.match(stdout, /^CONNECTION +USER +ACCOUNT +STATE/);
    assert.match(stdout, /^mail +ana +ana@example\.com +needs_reauth/m);
    assert.ok(!/^mail +ben/m.test(stdout));
    const all = JSON.parse((await cli(['accounts', 'list', '-o', 'json'])).stdout);
    assert.deepEqual(all, (await ask(tenant.adminKey, '/accounts')).json);
  });

  test('prints a link to sign in with', async () => {
    const { code, stdout, stderr } = await cli(['signin-link'], { key: tenant.userKey });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^http:\/\/127\.0\.0\.1:\d+\/signin\?code=[\w-]{43}\n$/);
    assert.match(stderr, /^signs ana in, once, until /);
    assert.equal((await cli(['signin-link'])).code, 3);
  });

  test('finds accounts that are not well', async () => {
    await patch('mail', { enabled: true });
    const { stdout } = await runCli(['doctor', '--dir', gateway.directory, '--json']);
    const found = JSON.parse(stdout).checks.find(({ name }) => name === 'accounts');
    assert.equal(found.state, 'warn');
    assert.match(found.text, /^[1-9]\d* of \d+ cannot be renewed, or somebody has to connect them again$/);
    await patch('mail', { enabled: false });
  });
});

describe('signing in at a browser', () => {
  const codes = (key) => gateway.api('POST', '/signin-codes', undefined, { key });

  test('takes a link that is good once, for the user of the key', async () => {
    const { status, json } = await codes(tenant.userKey);
    assert.equal(status, 201);
    assert.equal(json.user, 'ana');
    assert.match(json.expires_at, time);
    const link = new URL(json.url);
    assert.equal(link.origin, new URL(gateway.dev.public_url).origin);
    assert.equal(link.pathname, '/signin');
    const code = link.searchParams.get('code');
    assert.match(code, /^[\w-]{43}$/);
    const [row] = await gateway.owner(
      'SELECT c.created_by, c.user_id FROM tollgate.signin_codes c WHERE code_hash = sha256($1::bytea)',
      [Buffer.from(code)],
    );
    assert.deepEqual(row, { created_by: 'ana-key', user_id: await userId('ana') });
    assert.notEqual((await codes(tenant.userKey)).json.url, json.url);
  });

  test('is nothing for services, nor for a key that may do less than its user', async () => {
    assert.equal((await codes(tenant.adminKey)).status, 403);
    await tenant.must(201, 'POST', '/users', { name: 'boss', role: 'admin' });
    const weak = await gateway.newKey(tenant.name, { name: 'weak', user: 'boss' });
    const strong = await gateway.newKey(tenant.name, { name: 'strong', user: 'boss', role: 'admin' });
    assert.equal((await codes(weak.key)).status, 403);
    assert.equal((await codes(strong.key)).status, 201);
  });
});

describe('attempts to connect', () => {
  let id;

  before(async () => {
    await add('tried', { per: 'user' });
    const { id: connection, tenant_id } = await stored('tried');
    id = randomUUID();
    await gateway.owner(
      `INSERT INTO tollgate.connect_attempts
         (tenant_id, id, connection_id, subject, principal, user_name, expires_at)
       VALUES ($1, $2, $3, $4, $4, 'ana', '2036-11-20T12:00:00Z')`,
      [tenant_id, id, connection, `user:${await userId('ana')}`],
    );
  });

  const attempt = (key, of = id) => ask(key, `/connect/attempts/${of}`);

  test('are seen by who asked and by administrators', async () => {
    const wanted = {
      attempt: id,
      connection: 'tried',
      user: 'ana',
      state: 'open',
      error: null,
      tools: null,
      account: null,
      expires_at: '2036-11-20T12:00:00.000000Z',
    };
    assert.deepEqual((await attempt(tenant.userKey)).json, wanted);
    assert.deepEqual((await attempt(tenant.adminKey)).json, wanted);
  });

  test('are nothing to anybody else', async () => {
    const nothing = await attempt(tenant.userKey, randomUUID());
    assert.equal(nothing.status, 404);
    for (const reply of [
      await attempt(ben),
      await attempt(other.userKey),
      await attempt(other.adminKey),
      await attempt(tenant.adminKey, 'nonsense'),
    ]) {
      assert.equal(reply.status, 404);
      assert.deepEqual(reply.json, nothing.json);
    }
  });

  test('tell how they ended', async () => {
    await gateway.owner(
      `UPDATE tollgate.connect_attempts SET state = 'connected', finished_at = now(),
         tools_count = 26, account = 'ana@example.com' WHERE id = $1`,
      [id],
    );
    const done = (await attempt(tenant.userKey)).json;
    assert.equal(done.state, 'connected');
    assert.equal(done.tools, 26);
    assert.equal(done.account, 'ana@example.com');
    await gateway.owner(
      `UPDATE tollgate.connect_attempts SET state = 'failed', tools_count = NULL,
         error_code = 'denied', error_text = 'you have refused' WHERE id = $1`,
      [id],
    );
    assert.deepEqual((await attempt(tenant.userKey)).json.error, {
      code: 'denied',
      detail: 'you have refused',
      remedy: 'If that was a mistake, start again and allow the access there.',
    });
    await gateway.owner(
      `UPDATE tollgate.connect_attempts SET state = 'open', error_code = NULL, error_text = NULL,
         finished_at = NULL, expires_at = now() - interval '1 hour' WHERE id = $1`,
      [id],
    );
    const late = (await attempt(tenant.userKey)).json;
    assert.equal(late.state, 'failed');
    assert.deepEqual(late.error, {
      code: 'expired',
      detail: 'A link to connect an account is good for ten minutes, and its time is over.',
      remedy: 'Start again, or ask for a new link where you got this one.',
    });
  });
});
