// SPDX-License-Identifier: Apache-2.0
//
// The sample upstream `notes` of the development start and its authorization server, without the
// gateway: who cannot rely on the sample learns nothing from it.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { environment } from './lib/gateway.mjs';
import { basic, callModern, getPage, pkce, postForm, random } from './lib/oauth.mjs';

const callback = 'http://127.0.0.1:1/callback';

let gateway;
let server; // its metadata
let resource;

before(async () => {
  gateway = await environment();
  resource = gateway.dev.notes_url;
  const { json } = await getPage(`${new URL(resource).origin}/.well-known/oauth-authorization-server`);
  server = json;
});

after(() => gateway.close());

const call = (token, name, args = {}) =>
  callModern(
    resource,
    'tools/call',
    { name, arguments: args },
    token === undefined ? {} : { authorization: `Bearer ${token}` },
  );

async function register(settings = {}) {
  const response = await fetch(server.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'Tests & <more>', redirect_uris: [callback], ...settings }),
  });
  return { status: response.status, json: await response.json() };
}

// A client as the tests use it: {id, headers, fields} authenticate it.
async function newClient(auth = 'client_secret_basic') {
  const { json } = await register({ token_endpoint_auth_method: auth });
  const { client_id: id, client_secret: secret } = json;
  return {
    id,
    headers: auth === 'client_secret_basic' ? { authorization: basic(id, secret) } : {},
    fields: {
      none: { client_id: id },
      client_secret_post: { client_id: id, client_secret: secret },
      client_secret_basic: {},
    }[auth],
  };
}

const authorizeUrl = (client, challenge, changes = {}) => {
  const url = new URL(server.authorization_endpoint);
  const fields = {
    response_type: 'code',
    client_id: client.id,
    redirect_uri: callback,
    state: 'the state',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    resource,
    ...changes,
  };
  for (const [name, value] of Object.entries(fields))
    if (value !== undefined) url.searchParams.set(name, value);
  return url;
};

const cookieOf = (page) => page.headers.get('set-cookie')?.split(';')[0];

// Opens the consent page and decides: where the browser is sent.
async function consent(client, challenge, { decision = 'allow', name = 'ana', changes } = {}) {
  const page = await getPage(authorizeUrl(client, challenge, changes));
  assert.equal(page.status, 200, page.text);
  const request = /name="request" value="([^"]+)"/.exec(page.text)[1];
  const form = { request, name, decision };
  const cookie = cookieOf(page);
  const reply = await postForm(server.authorization_endpoint, form, { cookie });
  return { page, form, cookie, reply };
}

const redeem = (client, code, verifier, changes = {}) =>
  postForm(
    server.token_endpoint,
    {
      grant_type: 'authorization_code',
      code,
      redirect_uri: callback,
      code_verifier: verifier,
      resource,
      ...client.fields,
      ...changes,
    },
    client.headers,
  );

const renew = (client, token) =>
  postForm(
    server.token_endpoint,
    { grant_type: 'refresh_token', refresh_token: token, resource, ...client.fields },
    client.headers,
  );

async function connect(client, options) {
  const { verifier, challenge } = pkce();
  const { reply, cookie } = await consent(client, challenge, options);
  const code = reply.location.searchParams.get('code');
  const tokens = await redeem(client, code, verifier);
  assert.equal(tokens.status, 200, tokens.text);
  return { ...tokens.json, code, verifier, cookie };
}

const isRefused = (reply, error, status = 400) =>
  assert.deepEqual([reply.status, reply.json?.error], [status, error], reply.text);

describe('discovery', () => {
  test('leads from the challenge to the authorization server', async () => {
    const refused = await call(undefined, 'list_notes');
    assert.equal(refused.status, 401);
    const challenge = refused.headers.get('www-authenticate');
    const [, metadata] = /^Bearer resource_metadata="([^"]+)", scope="notes:read notes:write"$/.exec(
      challenge,
    );
    const { json } = await getPage(metadata);
    assert.equal(json.resource, resource);
    assert.deepEqual(json.authorization_servers, [server.issuer]);
    assert.deepEqual(server.code_challenge_methods_supported, ['S256']);
  });

  test('tells a token that is not valid from none', async () => {
    const refused = await call('made up', 'list_notes');
    assert.equal(refused.status, 401);
    assert.match(refused.headers.get('www-authenticate'), /^Bearer error="invalid_token", /);
  });
});

describe('registration', () => {
  for (const [what, settings, error] of [
    ['no address to come back to', { redirect_uris: [] }, 'invalid_redirect_uri'],
    ['one without TLS', { redirect_uris: ['http://example.com/'] }, 'invalid_redirect_uri'],
    ['one that runs a script', { redirect_uris: ['javascript:alert(1)'] }, 'invalid_redirect_uri'],
    ['an unknown method', { token_endpoint_auth_method: 'dance' }, 'invalid_client_metadata'],
  ])
    test(`refuses ${what}`, async () => isRefused(await register(settings), error));

  test('takes https, and http to this machine', async () => {
    for (const uri of ['https://example.com/cb', 'http://localhost:5/cb', 'http://[::1]:5/cb'])
      assert.equal((await register({ redirect_uris: [uri] })).status, 201, uri);
  });
});

describe('a connection', () => {
  for (const auth of ['client_secret_basic', 'client_secret_post', 'none'])
    test(`works from consent to revocation, with ${auth}`, async () => {
      const client = await newClient(auth);
      const { verifier, challenge } = pkce();
      const { page, reply } = await consent(client, challenge, { name: `walk-${auth.length}` });
      assert.match(page.text, /<strong>Tests &amp; &lt;more&gt;<\/strong>/);
      assert.match(page.headers.get('content-security-policy'), /^default-src 'none'; /);
      assert.equal(reply.status, 303);
      const { searchParams } = reply.location;
      assert.equal(reply.location.origin + reply.location.pathname, callback);
      assert.equal(searchParams.get('state'), 'the state');
      assert.equal(searchParams.get('iss'), server.issuer);

      const first = (await redeem(client, searchParams.get('code'), verifier)).json;
      assert.equal(first.token_type, 'Bearer');
      assert.equal(first.expires_in, 60);
      assert.equal(first.scope, 'notes:read notes:write');
      const text = `remember ${random(6)}`;
      const added = await call(first.access_token, 'add_note', { text });
      assert.equal(added.json.result.isError, false);

      const second = (await renew(client, first.refresh_token)).json;
      assert.notEqual(second.refresh_token, first.refresh_token);
      const listed = await call(second.access_token, 'list_notes');
      assert.equal(listed.json.result.content[0].text, text);
      const who = await getPage(server.userinfo_endpoint, {
        authorization: `Bearer ${second.access_token}`,
      });
      assert.equal(who.json.sub, `walk-${auth.length}`);

      const revoked = await postForm(
        server.revocation_endpoint,
        { token: second.refresh_token, ...client.fields },
        client.headers,
      );
      assert.equal(revoked.status, 200);
      assert.equal((await call(second.access_token, 'list_notes')).status, 401);
      isRefused(await renew(client, second.refresh_token), 'invalid_grant');
    });

  test('ends when a refresh token comes twice', async () => {
    const client = await newClient();
    const first = await connect(client);
    const second = (await renew(client, first.refresh_token)).json;
    isRefused(await renew(client, first.refresh_token), 'invalid_grant');
    isRefused(await renew(client, second.refresh_token), 'invalid_grant');
    assert.equal((await call(second.access_token, 'list_notes')).status, 401);
  });

  test('ends when a code comes twice', async () => {
    const client = await newClient();
    const tokens = await connect(client);
    isRefused(await redeem(client, tokens.code, tokens.verifier), 'invalid_grant');
    assert.equal((await call(tokens.access_token, 'list_notes')).status, 401);
  });

  test('belongs to one client', async () => {
    const [mine, other] = [await newClient(), await newClient()];
    const tokens = await connect(mine);
    isRefused(await renew(other, tokens.refresh_token), 'invalid_grant');
    const gone = await postForm(
      server.revocation_endpoint,
      { token: tokens.refresh_token },
      other.headers,
    );
    assert.equal(gone.status, 200);
    assert.equal((await call(tokens.access_token, 'list_notes')).status, 200);
  });

  test('has the notes of one user', async () => {
    const client = await newClient();
    const text = random(6);
    const one = await connect(client, { name: `u-${random(6)}` });
    const two = await connect(client, { name: `u-${random(6)}` });
    await call(one.access_token, 'add_note', { text });
    const { json } = await call(two.access_token, 'list_notes');
    assert.equal(json.result.content[0].text, 'There are no notes yet.');
  });

  test('may do what it asked for', async () => {
    const client = await newClient();
    const tokens = await connect(client, { changes: { scope: 'notes:read' } });
    assert.equal((await call(tokens.access_token, 'list_notes')).status, 200);
    const refused = await call(tokens.access_token, 'add_note', { text: 'x' });
    assert.equal(refused.status, 403);
    assert.match(
      refused.headers.get('www-authenticate'),
      /error="insufficient_scope".*scope="notes:write"/,
    );
  });

  test('is shown to its user, who can revoke it', async () => {
    const client = await newClient();
    const tokens = await connect(client, { name: `owner-${random(6)}` });
    const home = `${server.issuer}/`;
    const page = await getPage(home, { cookie: tokens.cookie });
    const grant = /name="grant" value="([^"]+)"/.exec(page.text)[1];
    const stranger = cookieOf(await getPage(home));
    const post = (cookie, headers = {}) =>
      postForm(`${home}revoke-access`, { grant }, { cookie, ...headers });
    await post(stranger);
    assert.equal((await post(tokens.cookie, { origin: 'https://evil.example' })).status, 403);
    assert.equal((await call(tokens.access_token, 'list_notes')).status, 200);
    assert.equal((await post(tokens.cookie)).status, 303);
    assert.equal((await call(tokens.access_token, 'list_notes')).status, 401);
    isRefused(await renew(client, tokens.refresh_token), 'invalid_grant');
    assert.doesNotMatch((await getPage(home, { cookie: tokens.cookie })).text, /name="grant"/);
  });
});

describe('a request to authorize', () => {
  let client;
  before(async () => (client = await newClient()));

  for (const [what, changes] of [
    ['of a client that is not registered', { client_id: 'nobody' }],
    ['to another address', { redirect_uri: 'https://evil.example/' }],
    ['without an address', { redirect_uri: undefined }],
  ])
    test(`${what} is told to the person, not to the address`, async () => {
      const page = await getPage(authorizeUrl(client, pkce().challenge, changes));
      assert.deepEqual([page.status, page.location], [400, undefined]);
      assert.match(page.text, /<h1>This request cannot be served<\/h1>/);
    });

  for (const [what, changes, error] of [
    ['for a token', { response_type: 'token' }, 'unsupported_response_type'],
    ['without PKCE', { code_challenge: undefined }, 'invalid_request'],
    ['with plain PKCE', { code_challenge_method: 'plain' }, 'invalid_request'],
    ['without a resource', { resource: undefined }, 'invalid_target'],
    ['for another resource', { resource: 'https://example.com/mcp' }, 'invalid_target'],
    ['for an unknown scope', { scope: 'notes:read notes:burn' }, 'invalid_scope'],
  ])
    test(`${what} is refused`, async () => {
      const { location } = await getPage(authorizeUrl(client, pkce().challenge, changes));
      const { error: told, state, iss } = Object.fromEntries(location.searchParams);
      assert.deepEqual([told, state, iss], [error, 'the state', server.issuer]);
    });

  test('can be denied', async () => {
    const { reply } = await consent(client, pkce().challenge, { decision: 'deny' });
    assert.equal(reply.location.searchParams.get('error'), 'access_denied');
    assert.equal(reply.location.searchParams.get('code'), null);
  });

  test('is decided once, by the browser that was asked', async () => {
    const page = await getPage(authorizeUrl(client, pkce().challenge));
    const request = /name="request" value="([^"]+)"/.exec(page.text)[1];
    const decide = (headers) =>
      postForm(
        server.authorization_endpoint,
        { request, name: 'ana', decision: 'allow' },
        headers,
      );
    const cookie = cookieOf(page);
    assert.equal((await decide({})).status, 400);
    assert.equal((await decide({ cookie, origin: 'https://evil.example' })).status, 403);
    assert.equal((await decide({ cookie })).status, 303);
    assert.equal((await decide({ cookie })).status, 400);
  });

  test('wants a name', async () => {
    const { reply } = await consent(client, pkce().challenge, { name: '<script>' });
    assert.equal(reply.status, 400);
  });
});

describe('a request for tokens', () => {
  for (const [what, changes, error] of [
    ['another verifier', { code_verifier: random() }, 'invalid_grant'],
    ['no verifier', { code_verifier: undefined }, 'invalid_grant'],
    ['another address', { redirect_uri: 'https://example.com/' }, 'invalid_grant'],
    ['another resource', { resource: 'https://example.com/' }, 'invalid_target'],
    ['a code that is none', { code: 'x' }, 'invalid_grant'],
    ['no grant type', { grant_type: undefined }, 'invalid_request'],
    ['a grant type of others', { grant_type: 'password' }, 'unsupported_grant_type'],
  ])
    test(`with ${what} is refused`, async () => {
      const client = await newClient();
      const { verifier, challenge } = pkce();
      const { reply } = await consent(client, challenge);
      const code = reply.location.searchParams.get('code');
      isRefused(await redeem(client, code, verifier, changes), error);
    });

  test('has to authenticate as it registered', async () => {
    const client = await newClient();
    const tokens = await connect(client);
    const fields = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token };
    const post = (more, headers) => postForm(server.token_endpoint, { ...fields, ...more }, headers);
    isRefused(await post({ client_id: client.id }), 'invalid_client', 401);
    isRefused(await post({}, { authorization: basic(client.id, 'wrong') }), 'invalid_client', 401);
    isRefused(await post({}, { authorization: 'Basic !' }), 'invalid_client', 401);
    isRefused(await post({}), 'invalid_client', 401);
  });
});
