// SPDX-License-Identifier: Apache-2.0
//
// What providers do differently, one setting of a connection or none each: from Connect over a call
// to the end of the first token and a call after it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import {
  agree,
  becomes,
  callThrough,
  connectAccount,
  linkIn,
  oauthStatus,
} from './lib/connect.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { eventually } from './lib/wait.mjs';

const client = { client_id: 'known', client_secret: 'se/cr et%+:=&' };

let gateway;
let tenant;
let count = 0;

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('quirks');
});

after(async () => {
  if (gateway) await dispose(gateway);
});

// run({server, name, connect, call, status}) with a connection to an authorization server of its own.
async function withProvider(quirks, oauth, run) {
  const server = await startAuthorizationServer({
    clients: { [client.client_id]: client.client_secret },
    ...quirks,
  });
  const name = `quirk${++count}`;
  const key = tenant.userKey;
  try {
    await tenant.must(201, 'POST', '/connections', {
      name,
      url: server.url,
      auth: { mode: 'oauth', oauth: typeof oauth === 'function' ? oauth(server) : oauth },
    });
    await run({
      server,
      name,
      connect: () => connectAccount(gateway, { key, name }),
      call: () => callThrough(gateway, { key, name }),
      status: () => oauthStatus(gateway, key, name),
    });
  } finally {
    await tenant.api('DELETE', `/connections/${name}`, undefined, { ifMatch: true });
    await server.close();
  }
}

const isConnected = async ({ connect }) => {
  const { attempt, page } = await connect();
  assert.equal(attempt.state, 'connected', JSON.stringify(attempt) + page.text);
  assert.equal(attempt.tools, 2);
  return attempt;
};

const works = async ({ call }) => assert.equal((await call()).text, 'upstream-ana');

// The token is no good any more, which only the upstream knows: one refresh, and the call succeeds.
// A token that is refused within a second of its renewal is not renewed again at once.
async function refreshes(provider) {
  const { server } = provider;
  const before = server.counts.refresh;
  server.expire();
  await eventually(() => works(provider).then(() => true), { deadline: 10000 });
  assert.equal(server.counts.refresh - before, 1);
  assert.equal(server.counts.replays, 0);
}

describe('Google: extra parameters', () => {
  const quirks = { offlineWith: { access_type: 'offline', prompt: 'consent' } };

  test('with them there is a refresh token', () =>
    withProvider(quirks, { authorize_params: quirks.offlineWith }, async (provider) => {
      await isConnected(provider);
      await works(provider);
      assert.equal((await provider.status()).has_refresh_token, true);
      const [{ fields }] = provider.server.asked('authorize');
      assert.deepEqual([fields.access_type, fields.prompt], ['offline', 'consent']);
      await refreshes(provider);
    }));

  test('without them there is none, and the end of the token is told with a link', () =>
    withProvider(quirks, {}, async (provider) => {
      await isConnected(provider);
      await works(provider);
      assert.equal((await provider.status()).has_refresh_token, false);
      provider.server.expire();
      assert.ok(linkIn(await provider.call()));
      await becomes(gateway, tenant.userKey, provider.name, 'needs_reauth');
      assert.equal(provider.server.counts.refresh, 0);
    }));
});

describe('Entra: no `resource`', () => {
  test('it is sent nowhere when it is switched off', () =>
    withProvider({ refusesResource: true }, { resource: false }, async (provider) => {
      await isConnected(provider);
      await works(provider);
      await refreshes(provider);
      const sent = provider.server.requests.filter(({ fields }) => 'resource' in fields);
      assert.deepEqual(sent, []);
    }));

  test('else its error is shown', () =>
    withProvider({ refusesResource: true }, {}, async ({ connect }) => {
      const { attempt, page } = await connect();
      assert.equal(attempt.state, 'failed');
      assert.equal(attempt.error.code, 'provider_error');
      assert.match(page.text, /AADSTS901002: The 'resource' parameter is not supported\./);
      assert.ok(page.text.includes(attempt.attempt), page.text);
    }));
});

test('GitHub: tokens without an end, no refresh tokens, endpoints typed in, errors in a 200', () =>
  withProvider(
    { lifetime: null, refreshTokens: false, errorStatus: 200, metadata: false, iss: false },
    ({ origin }) => ({
      ...client,
      authorization_url: `${origin}/authorize`,
      token_url: `${origin}/token`,
    }),
    async (provider) => {
      await isConnected(provider);
      await works(provider);
      const { expires_at: end, has_refresh_token: renewable } = await provider.status();
      assert.deepEqual([end, renewable], [null, false]);
      // Revoked over there.
      provider.server.expire();
      assert.ok(linkIn(await provider.call()));
      await becomes(gateway, tenant.userKey, provider.name, 'needs_reauth');
      assert.equal(provider.server.counts.refresh, 0);
      await isConnected(provider);
      await works(provider);
    },
  ));

describe('Basic', () => {
  for (const [who, basic, method] of [
    ['Salesforce', 'raw', 'basic_raw'],
    ['Keycloak', 'encoded', 'basic'],
  ]) {
    test(`${who}: ${basic}`, () =>
      withProvider({ basic }, { ...client, token_endpoint_auth: method }, async (provider) => {
        await isConnected(provider);
        await works(provider);
        await refreshes(provider);
        const used = provider.server.requests.filter(({ headers }) => headers.authorization);
        assert.deepEqual(
          used.map(({ kind }) => kind),
          ['code', 'refresh'],
        );
      }));
  }

  test('the other way is refused, and said', () =>
    withProvider(
      { basic: 'raw' },
      { ...client, token_endpoint_auth: 'basic' },
      async ({ connect }) => {
        const { attempt, page } = await connect();
        assert.equal(attempt.error?.code, 'token_exchange_failed');
        assert.match(page.text, /400|invalid_client/);
        assert.doesNotMatch(page.html, /cr et/);
      },
    ));
});

test('tokens of more than 8 KiB are kept, sent and renewed', () =>
  withProvider({ tokenBytes: 12000 }, {}, async (provider) => {
    await isConnected(provider);
    await works(provider);
    await refreshes(provider);
  }));

test('an issuer that ends with a slash', () =>
  withProvider({ trailingSlash: true }, {}, async (provider) => {
    await isConnected(provider);
    await works(provider);
    await refreshes(provider);
  }));

test('a refresh without a new refresh token keeps the old one', () =>
  withProvider({ keepsRefreshToken: true }, {}, async (provider) => {
    await isConnected(provider);
    await refreshes(provider);
    await refreshes(provider);
    assert.equal((await provider.status()).has_refresh_token, true);
  }));

describe('an error in a 200', () => {
  test('for a code is no token', () =>
    withProvider({ errorStatus: 200 }, {}, async ({ server, connect }) => {
      server.fault('code', { status: 200, headers: { 'content-type': 'application/json' },
        body: '{"error":"bad_verification_code","error_description":"It is <b>old</b>."}' });
      const { attempt, page } = await connect();
      assert.equal(attempt.error?.code, 'token_exchange_failed');
      assert.doesNotMatch(page.html, /<b>old/);
    }));

  test('for a refresh ends the grant as any other does', () =>
    withProvider({ errorStatus: 200 }, {}, async (provider) => {
      await isConnected(provider);
      provider.server.expire();
      provider.server.endGrants();
      assert.ok(linkIn(await provider.call()));
      await becomes(gateway, tenant.userKey, provider.name, 'needs_reauth');
      await isConnected(provider);
      await works(provider);
    }));
});

// Registrations (RFC 7591) come to an end over there without anybody saying so.
describe('a client that the server has forgotten', () => {
  const allow = (visitor, page) => visitor.press(page, 'Allow');

  test('is told at a refresh with a link, for everybody whom it served, and registered anew', async () => {
    await tenant.must(201, 'POST', '/users', { name: 'ben' });
    const { key: ben } = await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' });
    await withProvider({}, { per: 'user' }, async (provider) => {
      const { server, name } = provider;
      const bens = (key = ben) => callThrough(gateway, { key, name });
      await isConnected(provider);
      assert.equal((await connectAccount(gateway, { key: ben, name })).attempt.state, 'connected');
      assert.equal(server.counts.register, 1);
      server.clients.clear();
      server.expire();
      assert.ok(linkIn(await provider.call()));
      const { last_error: why } = await becomes(gateway, tenant.userKey, name, 'needs_reauth');
      assert.match(why, /does not know our registration any more \(400 invalid_client/);
      await isConnected(provider);
      await works(provider);
      assert.equal(server.counts.register, 2);
      // The registration is not there any more by which this one is known to be ours.
      assert.ok(linkIn(await bens()));
      await becomes(gateway, ben, name, 'needs_reauth');
      assert.equal((await connectAccount(gateway, { key: ben, name })).attempt.state, 'connected');
      assert.equal((await bens()).text, 'upstream-ana');
      assert.equal(server.counts.register, 2);
    });
  });

  test('is told at the code, and registered anew by starting again', () =>
    withProvider({ consent: false }, {}, async (provider) => {
      const { server, name } = provider;
      const { attempt, page, visitor } = await connectAccount(gateway, {
        key: tenant.userKey,
        name,
        atServer: (visitor, page) => {
          server.clients.clear();
          return allow(visitor, page);
        },
      });
      assert.equal(attempt.error?.code, 'registration_refused', page.text);
      assert.match(page.text, /invalid_client/);
      const again = await visitor.press(page, 'Start again');
      const done = await allow(visitor, await agree(visitor, again));
      assert.match(done.text, /2 tools/);
      assert.equal(server.counts.register, 2);
      await works(provider);
    }));

  test('and was set by hand is a matter of the settings: signing in does not help', () =>
    withProvider({}, client, async (provider) => {
      await isConnected(provider);
      provider.server.clients.clear();
      provider.server.expire();
      const failed = await provider.call();
      assert.match(failed.text, /invalid_client/);
      assert.equal(linkIn(failed), undefined);
      assert.notEqual((await provider.status()).state, 'needs_reauth');
      const { attempt } = await connectAccount(gateway, { key: tenant.userKey, name: provider.name });
      assert.notEqual(attempt.state, 'connected');
      assert.equal(provider.server.counts.register, 0);
    }));
});

describe('what is no answer of a token endpoint', () => {
  for (const [what, fault] of [
    ['503', { status: 503, body: 'busy' }],
    ['a page', { status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Proxy</h1>' }],
    ['10 MB', { status: 200, body: 'x'.repeat(10_000_000) }],
  ])
    test(`${what} loses no grant`, () =>
      withProvider({}, {}, async (provider) => {
        await isConnected(provider);
        provider.server.expire();
        provider.server.fault('refresh', fault);
        const failed = await provider.call();
        assert.notEqual(failed.text, 'upstream-ana');
        await becomes(gateway, tenant.userKey, provider.name, 'connected', { deadline: 15000 });
        await works(provider);
        assert.equal(provider.server.counts.replays, 0);
      }));

  test('a connection that ends before anything was done loses nothing', () =>
    withProvider({}, {}, async (provider) => {
      await isConnected(provider);
      provider.server.expire();
      provider.server.fault('refresh', { drop: 'before' });
      await eventually(() => works(provider).then(() => true), { deadline: 15000 });
      assert.equal(provider.server.counts.refresh, 1);
      assert.equal(provider.server.counts.replays, 0);
    }));

  // The refresh token was used up, and what came of it nobody knows: asking again is all that is
  // left, and this server takes that for theft. It is told, and connecting again is enough.
  test('an answer that is lost is told with a link', () =>
    withProvider({}, {}, async (provider) => {
      await isConnected(provider);
      provider.server.expire();
      provider.server.fault('refresh', { drop: 'after' });
      await eventually(async () => linkIn(await provider.call()), { deadline: 15000 });
      await becomes(gateway, tenant.userKey, provider.name, 'needs_reauth');
      await isConnected(provider);
      await works(provider);
    }));
});
