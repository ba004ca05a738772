// SPDX-License-Identifier: Apache-2.0
//
// Upstreams, users and edits that try to send a secret, a token or a name to where it does not
// belong. What an answer of an authorization server has to be: connect_flow.test.mjs.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { agree, attemptOf, callThrough, openSignedIn, requestLink } from './lib/connect.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { Visitor } from './lib/visitor.mjs';
import { eventually } from './lib/wait.mjs';

const CLIENT = { known: 's3cret' };

let gateway;
let tenant;
let server;
let open; // the same, but that anybody may register
let thief; // another authorization server, which the upstream names when it likes
let count = 0;

before(async () => {
  gateway = await start(newDirectory());
  [tenant, open, server, thief] = await Promise.all([
    gateway.newTenant('attacked'),
    startAuthorizationServer(),
    startAuthorizationServer({ clients: CLIENT, registration: false }),
    startAuthorizationServer({ clients: CLIENT, registration: false }),
  ]);
  thief.checkAuthorize = () => {};
});

after(async () => {
  await Promise.all([open, server, thief].map((one) => one?.close()));
  if (gateway) await dispose(gateway);
});

beforeEach(() => {
  server.faults.length = 0;
});

async function addConnection(oauth = {}, url = server.url) {
  const name = `at${++count}`;
  const auth = { mode: 'oauth', oauth };
  await tenant.must(201, 'POST', '/connections', { name, url, auth });
  return name;
}
const edit = (name, oauth) =>
  tenant.must(200, 'PATCH', `/connections/${name}`, { auth: { oauth } }, { ifMatch: true });

const isCallback = (url) => url.pathname.startsWith('/oauth/callback/');

// From a link to the page at the end, or to the answer of the server: {visitor, link, page, url}.
async function connect(name, { key = tenant.userKey, visitor = new Visitor(), until } = {}) {
  const link = await requestLink(gateway, key, name);
  const page = await openSignedIn(visitor, link.url, key);
  const end = await agree(visitor, page, { until });
  return { visitor, link, page: end, url: end.url };
}

const nameThief = () =>
  server.fault('resource_metadata', {
    times: 1000,
    change: (reply) => ({
      ...reply,
      json: { ...reply.json, authorization_servers: [thief.issuer] },
    }),
  });
const stolen = () =>
  thief.requests.filter((request) => JSON.stringify(request).includes(CLIENT.known));

describe("a client's secret stays with the server that it was first used at", () => {
  const own = {
    client_id: 'known',
    client_secret: CLIENT.known,
    token_endpoint_auth: 'post',
  };

  test('whomever the upstream names at the next Connect', async () => {
    const name = await addConnection({ per: 'user', ...own });
    assert.match((await connect(name)).page.text, /2 tools/);
    nameThief();
    const before = thief.counts.authorize;
    const { page } = await connect(name);
    assert.match(page.text, new RegExp(`used at ${server.issuer}`));
    assert.match(page.text, /Code registration_refused/);
    assert.equal(thief.counts.authorize, before);
    assert.deepEqual(stolen(), []);
    // An edit that is about something else changes nothing.
    await edit(name, { scope: 'read' });
    assert.match((await connect(name)).page.text, /Code registration_refused/);
    // One that names the server does.
    await edit(name, { issuer: thief.issuer, client_secret: CLIENT.known });
    await connect(name);
    assert.equal(thief.asked('code').at(-1).fields.client_secret, CLIENT.known);
    thief.requests.length = 0;
  });

  test('nor is it sent there without a browser', async () => {
    const name = await addConnection({ grant: 'client_credentials', ...own });
    await gateway.listed(tenant.adminKey, name);
    nameThief();
    const { status, json } = await tenant.api('POST', `/connections/${name}/oauth/reacquire`);
    assert.equal(status, 502);
    assert.match(json.detail, new RegExp(`used at ${server.issuer}`));
    assert.equal(thief.counts.client_credentials, 0);
    assert.deepEqual(stolen(), []);
    server.faults.length = 0;
    await tenant.must(200, 'POST', `/connections/${name}/oauth/reacquire`);
  });
});

describe('tokens are for the settings that they were asked with', () => {
  test('and not for those that came while the tools were listed with them', async () => {
    const name = await addConnection({ per: 'user' }, open.url);
    const begun = await connect(name, { until: isCallback });
    let release;
    open.faults.length = 0;
    open.fault('call', { until: new Promise((resolve) => (release = resolve)) });
    const ending = begun.visitor.open(begun.url);
    await eventually(() => open.faults[0].times === 0, { what: 'a listing' });
    await tenant.must(200, 'PATCH', `/connections/${name}`, { url: thief.url }, { ifMatch: true });
    release();
    const page = await ending;
    assert.doesNotMatch(page.text, /is connected/);
    const [{ n }] = await gateway.owner(
      `SELECT count(*)::int AS n FROM tollgate.grants g JOIN tollgate.connections c
       ON c.id = g.connection_id WHERE c.name = $1 AND g.state = 'active'`,
      [name],
    );
    assert.equal(n, 0);
    const { state, error } = await attemptOf(gateway, tenant.userKey, begun.link.attempt);
    assert.equal(`${state} ${error?.code ?? error}`, 'failed expired');
  });
});

describe('whoever brings an answer', () => {
  test('is named in the record of their own tenant only', async () => {
    const stranger = await gateway.newTenant('stranger');
    await stranger.must(201, 'POST', '/users', { name: 'mallory' });
    const mallory = await gateway.newKey(stranger.name, { name: 'm-key', user: 'mallory' });
    const name = await addConnection({ per: 'user' }, open.url);
    const begun = await connect(name, { until: isCallback });
    const visitor = new Visitor();
    await openSignedIn(visitor, new URL('/signin', begun.link.url), mallory.key);
    assert.match((await visitor.open(begun.url)).text, /Code state_mismatch/);
    const events = await gateway.owner(
      'SELECT type, actor FROM audit.auth_events WHERE connection = $1 ORDER BY at',
      [name],
    );
    assert.deepEqual(
      events.map(({ type, actor }) => `${type} ${actor}`),
      ['connect_started user:ana', 'connect_failed null'],
    );
  });

  test('still has to be who may connect it', async () => {
    await tenant.must(201, 'POST', '/users', { name: 'boss', role: 'admin' });
    const boss = await gateway.newKey(tenant.name, { name: 'boss', user: 'boss', role: 'admin' });
    const name = await addConnection({ per: 'shared' }, open.url);
    const begun = await connect(name, { key: boss.key, until: isCallback });
    await tenant.must(200, 'PATCH', '/users/boss', { role: 'user' }, { ifMatch: true });
    const codes = open.counts.code;
    assert.match((await begun.visitor.open(begun.url)).text, /Code wrong_user/);
    assert.equal(open.counts.code, codes);
  });
});

describe('a sign-in code', () => {
  test('and what it signs in end with the key that made it', async () => {
    const { key, id } = await gateway.newKey(tenant.name, { name: 'lost', user: 'ana' });
    const code = async () =>
      (await gateway.must(201, 'POST', '/signin-codes', undefined, { key })).json.url;
    const visitor = new Visitor();
    const page = await visitor.press(await visitor.open(await code()), /^sign in/i);
    assert.match(page.text, /signed in as ana/);
    const unused = await code();
    await tenant.must(204, 'DELETE', `/keys/${id}`);
    assert.doesNotMatch((await visitor.open(page.url)).text, /signed in as ana/);
    assert.equal((await new Visitor().open(unused)).status, 401);
  });
});

describe('a secret that is exchanged', () => {
  const own = { per: 'user', client_id: 'known', token_endpoint_auth: 'post' };
  const call = (name) => callThrough(gateway, { key: tenant.userKey, name });

  test('is that of the accounts which were connected with the one before', async () => {
    const name = await addConnection({ ...own, client_secret: CLIENT.known });
    await connect(name);
    server.clients.get('known').secret = 'n3w';
    try {
      await edit(name, { client_secret: 'n3w' });
      server.expire();
      // A worker that has not heard of the edit yet is refused, and tries again in a while.
      await eventually(async () => (await call(name)).text === 'upstream-ana', {
        deadline: 30000,
        what: 'the new secret is used',
      });
      server.clients.get('known').secret = 'n3wer';
      await edit(name, { client_secret: 'n3wer' });
      const { json } = await gateway.must(
        200,
        'POST',
        `/connections/${name}/oauth/disconnect`,
        undefined,
        { key: tenant.userKey },
      );
      assert.equal(json.revocation, 'revoked');
    } finally {
      server.clients.get('known').secret = CLIENT.known;
    }
  });

  test('goes to no server that somebody made up', async () => {
    const name = await addConnection({ ...own, client_secret: CLIENT.known });
    await connect(name);
    thief.requests.length = 0;
    const token = {
      access_token: 'expired',
      refresh_token: 'r1',
      token_url: `${thief.origin}/token`,
      client_id: 'known',
    };
    await gateway.must(200, 'POST', `/connections/${name}/oauth/ingest`, token, {
      key: tenant.userKey,
    });
    await call(name);
    assert.equal(thief.asked('refresh').length, 1);
    assert.deepEqual(stolen(), []);
  });
});

describe('a choice between two accounts', () => {
  test('is made once: what is given back is not kept as well', async () => {
    const asking = await startAuthorizationServer({ userinfo: true });
    try {
      const name = await addConnection({ per: 'user' }, asking.url);
      const { visitor } = await connect(name);
      asking.settings.subject = 'upstream-ben';
      const { page } = await connect(name, { visitor });
      let release;
      asking.fault('revoke', { until: new Promise((resolve) => (release = resolve)) });
      const keeping = visitor.press(page, /^keep/i);
      await eventually(() => asking.faults[0].times === 0, { what: 'a revocation' });
      await visitor.press(page, /^(use|replace)/i);
      release();
      assert.match((await keeping).text, /Code account_mismatch/);
      const { text } = await callThrough(gateway, { key: tenant.userKey, name });
      assert.equal(text, 'upstream-ana');
    } finally {
      await asking.close();
    }
  });
});
