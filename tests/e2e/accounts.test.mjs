// SPDX-License-Identifier: Apache-2.0
//
// What the admin API and the command line do to accounts, against an authorization server: connect,
// give a token, renew, disconnect; and that a token goes nowhere but where it was granted for.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { becomes, callThrough, connectAccount, followLink, oauthStatus } from './lib/connect.mjs';
import { environment, runCli } from './lib/gateway.mjs';
import { scrape } from './lib/metrics.mjs';
import { eventually } from './lib/wait.mjs';

const secret = 'a-client-secret-that-is-shown-to-nobody';
const binary =
  process.env.TOLLGATE_E2E_BINARY ?? path.resolve(import.meta.dirname, '../../build/tollgate');

let gateway;
let tenant;
let other;
let ben;
let server;

before(async () => {
  [gateway, server] = await Promise.all([
    environment(),
    startAuthorizationServer({ clients: { gate: secret }, userinfo: true }),
  ]);
  tenant = await gateway.newTenant('accounts');
  other = await gateway.newTenant('accounts-other');
  await tenant.must(201, 'POST', '/users', { name: 'ben' });
  ben = (await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' })).key;
});

after(async () => {
  await server?.close();
  await gateway?.close();
});

const add = (name, oauth = {}, to = server) =>
  tenant.must(201, 'POST', '/connections', { name, url: to.url, auth: { mode: 'oauth', oauth } });
const act = (key, name, what, body) =>
  gateway.api('POST', `/connections/${name}/${what}`, body, { key });
const events = async (name, key = tenant.adminKey) =>
  (
    await gateway.must(200, 'GET', `/connections/${name}/oauth/events`, undefined, { key })
  ).json.items.map(({ type, actor }) => [type, actor]);
// Tokens as somebody got them elsewhere.
const foreignTokens = (subject) => {
  server.grants.set(subject, { subject, client: 'gate', refreshes: true, alive: true });
  return server.tokens(subject, { withRefresh: true, first: true }).json;
};
const own = { client_id: 'gate', client_secret: secret };
const endpoints = () => ({
  authorization_url: `${server.origin}/authorize`,
  token_url: `${server.origin}/token`,
  revocation_url: `${server.origin}/revoke`,
});

describe('connecting', () => {
  test('a user connects an account of their own', async () => {
    await add('mail');
    const { attempt } = await connectAccount(gateway, { key: tenant.userKey, name: 'mail' });
    assert.equal(attempt.state, 'connected');
    assert.equal(attempt.tools, 2);
    assert.equal(attempt.account, 'upstream-ana');
    const status = await oauthStatus(gateway, tenant.userKey, 'mail');
    assert.equal(status.state, 'connected');
    assert.equal(status.account, 'upstream-ana');
    assert.equal(status.authenticated_by, 'ana');
    assert.equal((await oauthStatus(gateway, ben, 'mail')).state, 'not_connected');
    assert.ok((await events('mail')).some(([type]) => type === 'connect_completed'));
    const text = JSON.stringify((await gateway.owner('SELECT * FROM audit.auth_event_log')));
    for (const token of server.access.keys()) assert.ok(!text.includes(token));
  });

  test('is not for services, nor for users where all share', async () => {
    await add('shared', { per: 'shared' });
    assert.equal((await act(tenant.adminKey, 'mail', 'connect')).status, 403);
    assert.equal((await act(tenant.userKey, 'shared', 'connect')).status, 403);
    assert.equal((await act(tenant.adminKey, 'shared', 'connect')).status, 201);
  });

  test('is not where there is nothing to connect', async () => {
    await tenant.must(201, 'POST', '/connections', { name: 'open', url: server.url, enabled: false });
    for (const what of ['connect', 'oauth/reacquire', 'oauth/disconnect'])
      assert.equal((await act(tenant.userKey, 'open', what)).status, 409, what);
    const nobody = await act(tenant.userKey, 'nothing', 'connect');
    const foreign = await act(other.userKey, 'mail', 'connect');
    assert.equal(foreign.status, 404);
    assert.deepEqual(
      { ...foreign.json, detail: foreign.json.detail.replace('mail', 'nothing') },
      nobody.json,
    );
  });
});

describe('tollgate connect', () => {
  // Runs it until it has printed the link, follows that, and gives how it ended.
  async function connect(args, key, follow) {
    const child = spawn(binary, ['connect', ...args], {
      env: {
        PATH: process.env.PATH,
        TOLLGATE_URL: gateway.dev.public_url,
        TOLLGATE_KEY: key,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) child[name].on('data', (chunk) => (out[name] += chunk));
    const ended = new Promise((resolve) => child.on('close', (code) => resolve(code)));
    const link = await eventually(
      () => /https?:\/\/\S+\/connect\/[0-9a-f-]{36}/.exec(out.stdout + out.stderr)?.[0],
      { what: 'the link is printed' },
    );
    await follow(link);
    return { code: await ended, ...out };
  }

  test('prints a link and waits until the account is connected', async () => {
    await add('by-cli');
    const done = await connect(['by-cli', '--no-browser'], tenant.userKey, (link) =>
      followLink(gateway, { key: tenant.userKey, link }),
    );
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stdout, /^Open this address to connect by-cli:\n\nhttp/);
    assert.match(done.stdout, /\nConnected as upstream-ana, 2 tools\n$/);
  });

  test('says as JSON how it ended', async () => {
    const done = await connect(['by-cli', '-o', 'json'], tenant.userKey, (link) =>
      followLink(gateway, { key: tenant.userKey, link }),
    );
    assert.equal(done.code, 0, done.stderr);
    assert.equal(JSON.parse(done.stdout).state, 'connected');
  });

  test('says why the account is not connected, and what to do', async () => {
    const strict = await startAuthorizationServer({ consent: false });
    try {
      await add('declined', {}, strict);
      const done = await connect(['declined', '--no-browser'], tenant.userKey, (link) =>
        followLink(gateway, {
          key: tenant.userKey,
          link,
          atServer: (visitor, page) => visitor.press(page, 'Deny'),
        }),
      );
      assert.equal(done.code, 6);
      assert.match(done.stderr, /declined is not connected \(denied\): .*start again/i);
    } finally {
      await tenant.api('DELETE', '/connections/declined', undefined, { ifMatch: '*' });
      await strict.close();
    }
  });

  test('is refused like any other request', async () => {
    const { code, stderr } = await gateway.cli(['connect', 'shared'], {
      env: { TOLLGATE_KEY: tenant.userKey },
    });
    assert.equal(code, 3, stderr);
  });
});

describe('a token that was obtained elsewhere', () => {
  test('serves its user, and is renewed where the connection says', async () => {
    await add('given', { ...own, ...endpoints() });
    const token = foreignTokens('given-ana');
    const { status, json, text } = await act(tenant.userKey, 'given', 'oauth/ingest', {
      access_token: token.access_token,
      refresh_token: token.refresh_token,
      expires_in: 3600,
    });
    assert.equal(status, 200, text);
    assert.equal(json.state, 'connected');
    assert.equal(json.has_refresh_token, true);
    assert.ok(!text.includes(token.access_token) && !text.includes(token.refresh_token));
    await gateway.listed(tenant.adminKey, 'given');
    assert.equal(
      (await callThrough(gateway, { key: tenant.userKey, name: 'given' })).text,
      'given-ana',
    );
    const before = server.counts.refresh;
    const renewed = await act(tenant.userKey, 'given', 'oauth/reacquire');
    assert.equal(renewed.status, 200, renewed.text);
    assert.equal(server.counts.refresh, before + 1);
    assert.notEqual(renewed.json.last_refreshed_at, null);
    const basic = Buffer.from(`gate:${secret}`).toString('base64');
    assert.equal(server.asked('refresh').at(-1).headers.authorization, `Basic ${basic}`);
    assert.deepEqual((await events('given'))[0], ['refresh_succeeded', 'user:ana']);
    assert.ok((await events('given')).some(([type, by]) => type === 'token_ingested' && by === 'user:ana'));
  });

  test('of all is given by administrators', async () => {
    const { access_token } = foreignTokens('for-all');
    assert.equal((await act(tenant.userKey, 'shared', 'oauth/ingest', { access_token })).status, 403);
    assert.equal((await act(tenant.adminKey, 'given', 'oauth/ingest', { access_token })).status, 403);
    assert.equal((await act(tenant.adminKey, 'shared', 'oauth/ingest', { access_token })).status, 200);
    await gateway.listed(tenant.adminKey, 'shared');
    assert.equal((await callThrough(gateway, { key: ben, name: 'shared' })).text, 'for-all');
  });

  test('that cannot be is refused with its place', async () => {
    for (const [body, pointer] of [
      [{}, '/access_token'],
      [{ access_token: 'a b' }, '/access_token'],
      [{ access_token: 'a', refresh_token: 'b', token_url: 'https://as.example.com/t' }, '/client_id'],
      [{ access_token: 'a', token_url: 'https://169.254.169.254/' }, '/token_url'],
    ]) {
      const reply = await act(tenant.userKey, 'given', 'oauth/ingest', body);
      assert.equal(reply.status, 400, reply.text);
      assert.equal(reply.json.pointer, pointer);
    }
  });
});

describe('renewing now', () => {
  test('is 502 while the server fails, and the token stays', async () => {
    server.fault('refresh', { status: 500 });
    const reply = await act(tenant.userKey, 'given', 'oauth/reacquire');
    assert.equal(reply.status, 502, reply.text);
    assert.equal(reply.json.code, 'upstream_error');
    assert.equal(
      (await callThrough(gateway, { key: tenant.userKey, name: 'given' })).text,
      'given-ana',
    );
  });

  test('is 409 when somebody has to connect again', async () => {
    server.grants.get('given-ana').alive = false;
    await eventually(
      async () => (await act(tenant.userKey, 'given', 'oauth/reacquire')).status === 409,
      { what: 'the grant needs a person' },
    );
    const status = await oauthStatus(gateway, tenant.userKey, 'given');
    assert.equal(status.needs_reauth, true);
    assert.equal(status.last_revocation.reason, 'invalid_grant');
    assert.equal((await act(ben, 'given', 'oauth/reacquire')).status, 409);
  });

  test('asks anew for client_credentials', async () => {
    await add('robot', { grant: 'client_credentials', ...own, token_url: `${server.origin}/token` });
    const before = server.counts.client_credentials;
    const reply = await act(tenant.adminKey, 'robot', 'oauth/reacquire');
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.state, 'connected');
    assert.ok(server.counts.client_credentials > before);
    assert.equal((await act(tenant.userKey, 'robot', 'oauth/reacquire')).status, 403);
  });

  test('says what the server said of a client that it does not know', async () => {
    await add('stranger', {
      grant: 'client_credentials',
      client_id: 'nobody',
      client_secret: secret,
      token_url: `${server.origin}/token`,
    });
    const reply = await act(tenant.adminKey, 'stranger', 'oauth/reacquire');
    assert.equal(reply.status, 502, reply.text);
    assert.match(reply.json.detail, /invalid_client/);
    assert.ok(!reply.text.includes(secret));
  });
});

describe('disconnecting', () => {
  test('revokes at the server and forgets', async () => {
    const before = server.counts.revoke;
    const reply = await act(tenant.userKey, 'mail', 'oauth/disconnect');
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json, { connection: 'mail', revocation: 'revoked', revoked: true });
    assert.ok(server.counts.revoke > before);
    const status = await becomes(gateway, tenant.userKey, 'mail', 'not_connected');
    assert.equal(status.last_revocation.reason, 'disconnected');
    assert.equal(status.last_revocation.result, 'revoked');
    assert.equal((await act(tenant.userKey, 'mail', 'oauth/disconnect')).status, 404);
  });

  test('says that revoking failed, and forgets all the same', async () => {
    await connectAccount(gateway, { key: tenant.userKey, name: 'mail' });
    server.fault('revoke', { status: 500, times: 10 });
    const reply = await act(tenant.userKey, 'mail', 'oauth/disconnect');
    server.faults.length = 0;
    assert.equal(reply.status, 200, reply.text);
    assert.equal(reply.json.revoked, false);
    assert.match(reply.json.revocation, /^failed: /);
    await becomes(gateway, tenant.userKey, 'mail', 'not_connected');
  });

  test('of another user is an administrator\'s', async () => {
    const { access_token } = foreignTokens('bens');
    assert.equal((await act(ben, 'given', 'oauth/ingest', { access_token })).status, 200);
    const bens = { user: 'ben' };
    assert.equal((await act(tenant.userKey, 'given', 'oauth/disconnect', bens)).status, 403);
    assert.equal((await act(other.adminKey, 'given', 'oauth/disconnect', bens)).status, 404);
    assert.equal((await act(tenant.adminKey, 'shared', 'oauth/disconnect', bens)).status, 400);
    const cli = (...args) =>
      gateway.cli(['accounts', 'disconnect', 'given', ...args], {
        env: { TOLLGATE_KEY: tenant.adminKey },
      });
    const unknown = await cli('--user', 'nobody');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no user named nobody/);
    const done = await cli('--user', 'ben');
    assert.equal(done.code, 0, done.stderr);
    assert.equal(done.stdout, 'given is disconnected; at the server: revoked\n');
    await becomes(gateway, ben, 'given', 'not_connected');
  });
});

describe('a token goes nowhere but where it was granted for', () => {
  // A notification may be lost: that of the grants is here, while the address is edited.
  const notices = (what) =>
    gateway.owner(`ALTER TABLE tollgate.grants ${what} TRIGGER notify_changed`);

  test('an edit of the address ends it before the new host sees anything', async () => {
    const elsewhere = await startAuthorizationServer();
    const seen = [];
    const judge = elsewhere.judge.bind(elsewhere);
    elsewhere.judge = (token, message) => {
      if (token !== undefined) seen.push(token);
      return judge(token, message);
    };
    try {
      await add('moved', { ...own, ...endpoints() });
      const { access_token } = foreignTokens('moved');
      await act(tenant.userKey, 'moved', 'oauth/ingest', { access_token });
      const call = () => callThrough(gateway, { key: tenant.userKey, name: 'moved' });
      assert.equal((await call()).text, 'moved');
      await notices('DISABLE');
      let calling = true;
      const callers = Array.from({ length: 8 }, async () => {
        while (calling) await call();
      });
      await tenant.must(200, 'PATCH', '/connections/moved', { url: elsewhere.url }, { ifMatch: true });
      await becomes(gateway, tenant.userKey, 'moved', 'needs_reauth');
      await eventually(async () => !/^moved$/.test((await call()).text), {
        what: 'calls want an account',
      });
      calling = false;
      await Promise.all(callers);
      assert.deepEqual(seen, []);
    } finally {
      await notices('ENABLE');
      await tenant.api('DELETE', '/connections/moved', undefined, { ifMatch: '*' });
      await elsewhere.close();
    }
  });

  test('nothing of it is shown anywhere', async () => {
    const shown = [
      await gateway.owner('SELECT row_to_json(g)::text AS t FROM tollgate.grants g'),
      await gateway.owner('SELECT row_to_json(c)::text AS t FROM tollgate.connections c'),
      await gateway.owner('SELECT row_to_json(e)::text AS t FROM audit.auth_event_log e'),
      (await tenant.api('GET', '/connections')).text,
      (await tenant.api('GET', '/accounts')).text,
      (await runCli(['doctor', '--dir', gateway.directory, '--json'])).stdout,
    ];
    const text = JSON.stringify(shown);
    for (const token of [secret, ...server.access.keys(), ...server.refresh.keys()])
      for (const form of [token, Buffer.from(token).toString('hex'), Buffer.from(token).toString('base64')])
        assert.ok(!text.includes(form));
  });
});

describe('metrics', () => {
  // As "connection word" → n, added up over the gateways, without what is zero.
  const shown = async (name, label) => {
    const sums = {};
    for (const { ops_url: url } of gateway.each)
      for (const { labels, value } of (await scrape(url)).get(name).samples)
        if (labels.tenant === tenant.name && value > 0) {
          const key = `${labels.connection} ${labels[label]}`;
          sums[key] = (sums[key] ?? 0) + value;
        }
    return sums;
  };
  const counted = async (query) =>
    Object.fromEntries(
      (await gateway.owner(query, [tenant.name])).map(({ what, n }) => [what, n]),
    );

  test('have as many attempts and renewals as there are events', async () => {
    const ofType = (names) =>
      `SELECT connection || ' ' || (${names}::jsonb ->> type) AS what, count(*)::int AS n
       FROM audit.auth_events WHERE tenant = $1 AND ${names}::jsonb ? type GROUP BY 1`;
    const attempts = await counted(
      ofType(`'{"connect_started":"started","connect_completed":"completed","connect_failed":"failed"}'`),
    );
    const renewals = await counted(
      ofType(`'{"refresh_succeeded":"ok","refresh_failed_transient":"transient","refresh_failed_client":"client","refresh_failed_revoked":"revoked","refresh_lost":"lost","refresh_skipped_expired":"skipped","refresh_skipped_no_token":"skipped"}'`),
    );
    assert.ok(Object.keys(attempts).length > 2 && Object.keys(renewals).length > 0);
    assert.deepEqual(await shown('tollgate_oauth_attempts_total', 'result'), attempts);
    assert.deepEqual(await shown('tollgate_oauth_refresh_total', 'result'), renewals);
  });

  test('have the accounts as they are', () =>
    eventually(
      async () => {
        const accounts = await counted(
          `SELECT c.name || ' ' || g.state AS what, count(*)::int AS n FROM tollgate.grants g
           JOIN tollgate.connections c ON c.id = g.connection_id JOIN tollgate.tenants t
           ON t.id = g.tenant_id WHERE t.name = $1 AND c.auth_mode = 'oauth' GROUP BY 1`,
        );
        assert.ok(Object.keys(accounts).length > 1);
        assert.deepEqual(await shown('tollgate_accounts', 'state'), accounts);
        return true;
      },
      { deadline: 25000, every: 500, what: 'accounts are counted' },
    ));
});
