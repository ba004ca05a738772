// SPDX-License-Identifier: Apache-2.0
//
// The authorization servers of the tests by themselves: each is as strict as the tests think.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { basic, callModern, getPage, pkce, postForm } from './lib/oauth.mjs';
import { startOidcProvider } from './lib/oidc_provider.mjs';
import { startSdkServer } from './lib/sdk_server.mjs';
import { signal } from './lib/wait.mjs';

const callback = 'http://127.0.0.1:1/callback';
const client = { id: 'known', secret: 'sec ret%+:' };

async function withServer(settings, run) {
  const server = await startAuthorizationServer({
    clients: { [client.id]: client.secret },
    ...settings,
  });
  try {
    return await run(server);
  } finally {
    await server.close();
  }
}

const ask = (server, fields, headers) =>
  postForm(
    `${server.origin}/token`,
    { resource: server.url, ...fields },
    { authorization: basic(client.id, client.secret), ...headers },
  );

async function newCode(server, changes = {}) {
  const { verifier, challenge } = pkce();
  const url = new URL(`${server.origin}/authorize`);
  for (const [name, value] of Object.entries({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: callback,
    state: 's',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    resource: server.url,
    ...changes,
  }))
    if (value !== undefined) url.searchParams.set(name, value);
  const { location } = await getPage(url);
  return { location, verifier, code: location.searchParams.get('code') };
}

const redeem = (server, { code, verifier }, changes = {}, headers) =>
  ask(
    server,
    {
      grant_type: 'authorization_code',
      code,
      redirect_uri: callback,
      code_verifier: verifier,
      ...changes,
    },
    headers,
  );

const connect = async (server, changes) => (await redeem(server, await newCode(server, changes))).json;

const renew = (server, token, headers) =>
  ask(server, { grant_type: 'refresh_token', refresh_token: token }, headers);

const calls = async (server, token) => {
  const reply = await callModern(
    server.url,
    'tools/call',
    { name: 'whoami', arguments: {} },
    { authorization: `Bearer ${token}` },
  );
  return reply.json?.result?.content[0].text ?? reply.status;
};

describe('the authorization server that does what it is told', () => {
  test('rotates, and ends a family of which one came twice', () =>
    withServer({}, async (server) => {
      const first = await connect(server);
      assert.equal(await calls(server, first.access_token), 'upstream-ana');
      const second = (await renew(server, first.refresh_token)).json;
      assert.equal(await calls(server, second.access_token), 'upstream-ana');
      assert.equal((await renew(server, first.refresh_token)).json.error, 'invalid_grant');
      assert.equal((await renew(server, second.refresh_token)).json.error, 'invalid_grant');
      assert.equal(await calls(server, second.access_token), 401);
      const { refresh, replays, code } = server.counts;
      assert.deepEqual({ refresh, replays, code }, { refresh: 3, replays: 1, code: 1 });
    }));

  test('gives for a code once, to who asked for it', () =>
    withServer({}, async (server) => {
      const asked = await newCode(server);
      assert.equal((await redeem(server, asked, { code_verifier: 'x' })).json.error, 'invalid_grant');
      const { access_token: token } = (await redeem(server, asked)).json;
      assert.equal((await redeem(server, asked)).json.error, 'invalid_grant');
      // The second one ended what the first had got; the token itself lives until it expires.
      assert.equal(await calls(server, token), 'upstream-ana');
      server.expire();
      assert.equal(await calls(server, token), 401);
    }));

  test('has the quirks that it is asked for', async () => {
    await withServer({ offlineWith: { access_type: 'offline' } }, async (server) => {
      assert.equal((await connect(server)).refresh_token, undefined);
      assert.ok((await connect(server, { access_type: 'offline' })).refresh_token);
    });
    await withServer({ refusesResource: true }, async (server) => {
      const { location } = await newCode(server);
      assert.match(location.searchParams.get('error_description'), /AADSTS901002/);
      assert.ok((await newCode(server, { resource: undefined })).code);
    });
    await withServer({ lifetime: null, refreshTokens: false, errorStatus: 200 }, async (server) => {
      assert.deepEqual(Object.keys(await connect(server)), ['access_token', 'token_type']);
      const refused = await renew(server, 'x');
      assert.deepEqual([refused.status, refused.json.error], [200, 'invalid_grant']);
    });
    await withServer({ keepsRefreshToken: true, tokenBytes: 9000 }, async (server) => {
      const first = await connect(server);
      const second = (await renew(server, first.refresh_token)).json;
      assert.equal(second.refresh_token, undefined);
      assert.ok(second.access_token.length > 9000);
      assert.equal((await renew(server, first.refresh_token)).status, 200);
    });
    await withServer({ basic: 'raw' }, async (server) => {
      const raw = `Basic ${btoa(`${client.id}:${client.secret}`)}`;
      const encoded = basic(client.id, client.secret);
      const asked = await newCode(server);
      assert.equal(
        (await redeem(server, asked, {}, { authorization: encoded })).json.error,
        'invalid_client',
      );
      assert.equal((await redeem(server, asked, {}, { authorization: raw })).status, 200);
    });
  });

  test('fails as it is told, once', () =>
    withServer({}, async (server) => {
      const { refresh_token: token } = await connect(server);
      server.fault('refresh', { drop: 'before' });
      await assert.rejects(renew(server, token));
      server.fault('refresh', { status: 503, body: 'later' });
      assert.equal((await renew(server, token)).status, 503);
      const hold = signal();
      server.fault('refresh', { until: hold.promise });
      const held = renew(server, token);
      hold.resolve();
      const next = (await held).json.refresh_token;
      server.fault('refresh', { drop: 'after' });
      await assert.rejects(renew(server, next));
      assert.equal((await renew(server, next)).json.error, 'invalid_grant');
      assert.equal(server.counts.replays, 1);
    }));
});

for (const [name, start] of [
  ['oidc-provider', startOidcProvider],
  ["the SDK's server", startSdkServer],
])
  test(`${name} leads from its challenge to its metadata`, async () => {
    const server = await start();
    try {
      const { status, headers } = await callModern(server.url, 'tools/list', {});
      assert.equal(status, 401);
      const [, metadata] = /resource_metadata="([^"]+)"/.exec(headers.get('www-authenticate'));
      const { json } = await getPage(metadata);
      assert.deepEqual([json.resource, json.authorization_servers], [server.url, [server.issuer]]);
    } finally {
      await server.close();
    }
  });
