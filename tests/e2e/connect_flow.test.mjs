// SPDX-License-Identifier: Apache-2.0
//
// Connecting an account over plain HTTP, as a browser without a screen does it: who may go through
// which door, what an answer of an authorization server has to be, and what is left behind by one
// that is not. In a real browser: connect.test.mjs.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import {
  agree,
  attemptOf,
  becomes,
  callThrough,
  linkIn,
  openSignedIn,
  requestLink,
} from './lib/connect.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { startBeside } from './lib/second.mjs';
import { Visitor } from './lib/visitor.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
let tenant;
let other; // tenant
let ben; // another user's key
let server;
let count = 0;

before(async () => {
  gateway = await start(newDirectory());
  [tenant, other, server] = await Promise.all([
    gateway.newTenant('flow'),
    gateway.newTenant('stranger'),
    startAuthorizationServer({ userinfo: true, scopes: ['read'] }),
  ]);
  await tenant.must(201, 'POST', '/users', { name: 'ben' });
  ben = (await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' })).key;
});

after(async () => {
  await server?.close();
  if (gateway) await dispose(gateway);
});

beforeEach(() => {
  server.settings.subject = 'upstream-ana';
  server.faults.length = 0;
});

async function addConnection(oauth = {}, url = server.url) {
  const name = `up${++count}`;
  const auth = { mode: 'oauth', oauth: { per: 'user', ...oauth } };
  await tenant.must(201, 'POST', '/connections', { name, url, auth });
  return name;
}

const isCallback = (url) => url.pathname.startsWith('/oauth/callback/');
const idOf = (link) => new URL(link.url ?? link).pathname.split('/')[2];
const stateOf = async (link, key = tenant.userKey) => attemptOf(gateway, key, idOf(link));

// Up to the answer of the authorization server, which is not yet delivered: {visitor, link, callback}.
async function beginning({ name, key = tenant.userKey, visitor = new Visitor() } = {}) {
  const link = await requestLink(gateway, key, name ?? (await addConnection()));
  const page = await openSignedIn(visitor, link.url, key);
  const { url } = await agree(visitor, page, { until: isCallback });
  return { visitor, link, callback: url };
}

async function connected({ callback, visitor }) {
  const page = await visitor.open(callback);
  assert.equal(page.status, 200, page.text);
  return page;
}

const changed = (url, change) => {
  const copy = new URL(url);
  change(copy);
  return copy;
};

describe('an account is connected', () => {
  test('and the page says to what and as whom', async () => {
    const { visitor, link, callback } = await beginning();
    const page = await connected({ visitor, callback });
    assert.equal(page.url.pathname, `/connect/${idOf(link)}/done`);
    assert.equal(page.url.search, '');
    assert.match(page.text, /up\d+ is connected as upstream-ana ?: 2 tools\./);
    const attempt = await stateOf(link);
    assert.equal(attempt.state, 'connected');
    assert.equal(attempt.tools, 2);
    // Once more, it says the same.
    assert.match((await visitor.open(link.url)).text, /2 tools/);
  });

  test('with S256, a redirect URI per issuer, and the resource in both requests', async () => {
    const begun = await beginning();
    await connected(begun);
    const [asked] = server.asked('authorize').slice(-1);
    const [redeemed] = server.asked('code').slice(-1);
    assert.equal(asked.fields.code_challenge_method, 'S256');
    assert.match(asked.fields.redirect_uri, /\/oauth\/callback\/[0-9a-f]{16}$/);
    assert.equal(asked.fields.resource, server.url);
    assert.equal(asked.fields.scope, 'read');
    assert.equal(redeemed.fields.resource, server.url);
    assert.equal(redeemed.fields.redirect_uri, asked.fields.redirect_uri);
    assert.notEqual(redeemed.fields.code_verifier, asked.fields.state);
  });

  test('and a client is registered once per issuer', async () => {
    await connected(await beginning());
    const before = server.counts.register;
    await connected(await beginning());
    assert.equal(server.counts.register, before);
  });

  test('by a code of signin-link, which is used by the POST and once', async () => {
    const name = await addConnection();
    const link = await requestLink(gateway, tenant.userKey, name);
    const { json } = await gateway.must(201, 'POST', '/signin-codes', undefined, {
      key: tenant.userKey,
    });
    const visitor = new Visitor();
    const address = `${json.url}&attempt=${idOf(link)}`;
    await visitor.open(address);
    const shown = await visitor.open(address);
    assert.match(shown.text, new RegExp(`signs you in as ana of ${tenant.name}`));
    const page = await visitor.press(shown, 'Sign in as ana');
    assert.equal(page.url.pathname, `/connect/${idOf(link)}`);
    const again = await new Visitor().open(address);
    assert.equal(again.status, 401);
    assert.match((await agree(visitor, page)).text, /2 tools/);
  });

  test('as one for all, by an administrator only', async () => {
    const name = await addConnection({ per: 'shared' });
    const refused = await gateway.api('POST', `/connections/${name}/connect`, undefined, {
      key: tenant.userKey,
    });
    assert.equal(refused.status, 403);
    await tenant.must(201, 'POST', '/users', { name: 'eve', role: 'admin' });
    const { key } = await gateway.newKey(tenant.name, { name: 'eve-key', user: 'eve', role: 'admin' });
    // Asked for by a service key: any administrator may go.
    const link = await requestLink(gateway, tenant.adminKey, name);
    const wrong = await openSignedIn(new Visitor(), link.url, tenant.userKey);
    assert.equal(wrong.status, 403);
    const visitor = new Visitor();
    const page = await openSignedIn(visitor, link.url, key);
    assert.match(page.text, new RegExp(`everybody in ${tenant.name}`));
    assert.match((await agree(visitor, page)).text, /2 tools/);
  });

  test('and its tools can be called at once', async () => {
    const name = await addConnection();
    await connected(await beginning({ name }));
    const reply = await callThrough(gateway, { key: tenant.userKey, name });
    assert.equal(reply.text, 'upstream-ana');
  });

  test('and events say so', async () => {
    const { link, ...begun } = await beginning();
    await connected(begun);
    const rows = await gateway.owner(
      'SELECT type, actor FROM audit.auth_events WHERE attempt_id = $1 ORDER BY at',
      [idOf(link)],
    );
    assert.deepEqual(
      rows.map(({ type, actor }) => [type, actor]),
      [
        ['connect_started', 'user:ana'],
        ['connect_completed', 'user:ana'],
      ],
    );
  });
});

describe('pages', () => {
  test('bear headers that let nothing in', async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const visitor = new Visitor();
    const page = await openSignedIn(visitor, link.url, tenant.userKey);
    const header = (name) => page.headers.get(name);
    assert.equal(
      header('content-security-policy'),
      "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; " +
        `frame-ancestors 'none'; form-action 'self' ${server.origin}`,
    );
    assert.equal(header('x-content-type-options'), 'nosniff');
    assert.equal(header('referrer-policy'), 'same-origin');
    assert.equal(header('cross-origin-opener-policy'), 'same-origin');
    assert.equal(header('cache-control'), 'no-store');
    for (const said of [
      new URL(server.url).host,
      new URL(gateway.dev.public_url).host,
      `ana of ${tenant.name}`,
      'read',
    ])
      assert.ok(page.text.includes(said), said);
  });

  test('cookies are not for scripts, and the second comes with the click', async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const visitor = new Visitor();
    const lines = [];
    const keep = visitor.keep.bind(visitor);
    visitor.keep = (url, response) => {
      if (url.origin === gateway.dev.public_url) lines.push(...response.headers.getSetCookie());
      keep(url, response);
    };
    const page = await openSignedIn(visitor, link.url, tenant.userKey);
    assert.equal(lines.length, 1);
    assert.match(lines[0], /^tollgate=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Lax$/);
    await agree(visitor, page, { until: isCallback });
    assert.equal(lines.length, 2);
    assert.match(
      lines[1],
      /^tollgate-connect=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
    );
  });

  test('a link signs nobody in and tells nothing', async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const response = await new Visitor().ask(new URL(link.url));
    assert.equal(response.status, 303);
    assert.equal(response.headers.get('location'), `/signin?attempt=${idOf(link)}`);
  });

  test('forms are taken from pages of this session only', async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const visitor = new Visitor();
    const page = await openSignedIn(visitor, link.url, tenant.userKey);
    const csrf = page.forms[0].fields.find(([name]) => name === 'csrf')[1];
    const post = (fields, headers) =>
      visitor.ask(new URL(link.url), {
        method: 'POST',
        body: new URLSearchParams(fields),
        headers,
      });
    const { origin } = page.url;
    const good = { csrf, action: 'go' };
    for (const [fields, headers] of [
      [good, {}],
      [good, { origin: 'https://evil.example' }],
      [good, { origin: 'null' }],
      [good, { origin, 'sec-fetch-site': 'cross-site' }],
      [{ action: 'go' }, { origin }],
      [{ csrf: csrf.replace(/./, (c) => (c === 'A' ? 'B' : 'A')), action: 'go' }, { origin }],
    ]) {
      const response = await post(fields, headers);
      assert.equal(response.status, 403);
    }
    assert.equal((await stateOf(link)).state, 'open');
    assert.equal((await post({ csrf, action: 'fly' }, { origin })).status, 400);
    assert.equal((await post(good, { origin })).status, 303);
  });

  test('signing out ends the session everywhere', async () => {
    const visitor = new Visitor();
    const page = await openSignedIn(visitor, `${gateway.dev.public_url}/signin`, tenant.userKey);
    assert.match(page.text, /signed in as ana/);
    const tab = new Visitor();
    tab.jars = new Map([...visitor.jars].map(([host, jar]) => [host, new Map(jar)]));
    const out = await visitor.press(page, 'Sign out');
    assert.equal(out.url.pathname, '/signin');
    assert.ok(out.forms.length === 1 && out.text.includes('API key'));
    assert.doesNotMatch((await tab.open(`${gateway.dev.public_url}/signin`)).text, /signed in as/);
  });

  test('signing in as somebody else ends the session before it, once it succeeds', async () => {
    const address = `${gateway.dev.public_url}/signin`;
    const signInBy = {
      key: async (visitor) => {
        const origin = gateway.dev.public_url;
        const body = new URLSearchParams({ key: ben });
        return visitor.open(address, { method: 'POST', body, headers: { origin } });
      },
      code: async (visitor) => {
        const { json } = await gateway.must(201, 'POST', '/signin-codes', undefined, { key: ben });
        return visitor.press(await visitor.open(json.url), 'Sign in as ben');
      },
    };
    for (const signIn of Object.values(signInBy)) {
      const visitor = new Visitor();
      await openSignedIn(visitor, address, tenant.userKey);
      const before = new Visitor();
      before.jars = new Map([...visitor.jars].map(([host, jar]) => [host, new Map(jar)]));
      const origin = gateway.dev.public_url;
      const body = new URLSearchParams({ key: 'tgk_nonsense' });
      await visitor.open(address, { method: 'POST', body, headers: { origin } });
      assert.match((await before.open(address)).text, /signed in as ana/);
      assert.match((await signIn(visitor)).text, /signed in as ben/);
      assert.doesNotMatch((await before.open(address)).text, /signed in as/);
    }
  });

  test("a service's key, a wrong one and none sign nobody in", async () => {
    for (const [key, status] of [
      [tenant.adminKey, 403],
      ['tgk_nonsense', 401],
      ['', 401],
    ]) {
      const page = await openSignedIn(new Visitor(), `${gateway.dev.public_url}/signin`, key);
      assert.equal(page.status, status);
      assert.match(page.text, /did not sign you in/);
    }
  });

  test('an attempt of another tenant is none', async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const page = await openSignedIn(new Visitor(), link.url, other.userKey);
    assert.equal(page.status, 404);
    const none = await openSignedIn(
      new Visitor(),
      `${gateway.dev.public_url}/connect/00000000-0000-4000-8000-000000000000`,
      other.userKey,
    );
    assert.equal(none.text, page.text.replaceAll(idOf(link), '00000000-0000-4000-8000-000000000000'));
  });

  test("another user's is for somebody else, and stays as it is", async () => {
    const link = await requestLink(gateway, tenant.userKey, await addConnection());
    const page = await openSignedIn(new Visitor(), link.url, ben);
    assert.equal(page.status, 403);
    assert.match(page.text, /wrong_user/);
    assert.doesNotMatch(page.text, /up\d/);
    assert.equal((await stateOf(link)).state, 'open');
  });
});

// Nothing of these answers may reach the token endpoint.
describe('an answer is refused', () => {
  async function refused(begun, url, code, { state = 'failed', visitor = begun.visitor } = {}) {
    const before = server.counts.code;
    const page = await visitor.open(url);
    assert.match(page.text, new RegExp(`Code ${code}`), page.text);
    assert.equal(server.counts.code, before);
    if (begun.link) assert.equal((await stateOf(begun.link)).state, state);
    for (const secret of ['secret-text', begun.callback.searchParams.get('code')])
      assert.ok(secret === null || !page.html.includes(secret));
    assert.equal(page.url.searchParams.get('code'), null);
    return page;
  }

  const withState = (change) => (url) => changed(url, (copy) => change(copy.searchParams));

  for (const [what, change] of [
    ['without a state', withState((query) => query.delete('state'))],
    ['with an empty state', withState((query) => query.set('state', ''))],
    ['with another state', withState((query) => query.set('state', 'x'.repeat(43)))],
    ['with two states', withState((query) => query.append('state', query.get('state')))],
    ['with two codes', withState((query) => query.append('code', 'x'))],
    ['with two issuers', withState((query) => query.append('iss', query.get('iss')))],
  ])
    test(what, async () => {
      const begun = await beginning();
      await refused(begun, change(begun.callback), 'state_mismatch', { state: 'pending' });
      // What was right is good still.
      await connected(begun);
    });

  test('at the address of another issuer', async () => {
    const begun = await beginning();
    const url = changed(begun.callback, (copy) => {
      copy.pathname = copy.pathname.replace(/[0-9a-f]$/, (c) => (c === '0' ? '1' : '0'));
    });
    await refused(begun, url, 'state_mismatch');
  });

  test('without the cookie of the browser that began', async () => {
    const begun = await beginning();
    const host = new URL(gateway.dev.public_url).host;
    begun.visitor.jars.get(host).delete('tollgate-connect');
    await refused(begun, begun.callback, 'state_mismatch');
  });

  test("with another browser's cookie, though the user is the same", async () => {
    const [mine, theirs] = [await beginning(), await beginning()];
    await refused(mine, mine.callback, 'state_mismatch', { visitor: theirs.visitor });
    await connected(theirs);
  });

  test("in another user's browser", async () => {
    const [mine, theirs] = [await beginning(), await beginning({ key: ben })];
    // Forced linking: the victim is made to open the attacker's answer.
    await refused(mine, mine.callback, 'state_mismatch', { visitor: theirs.visitor });
    const host = new URL(gateway.dev.public_url).host;
    const again = await beginning();
    theirs.visitor.jars
      .get(host)
      .set('tollgate-connect', again.visitor.jars.get(host).get('tollgate-connect'));
    await refused(again, again.callback, 'wrong_user', { visitor: theirs.visitor });
  });

  test('when nobody is signed in any more', async () => {
    const begun = await beginning();
    begun.visitor.jars.get(new URL(gateway.dev.public_url).host).delete('tollgate');
    await refused(begun, begun.callback, 'wrong_user');
  });

  test('ten minutes later', async () => {
    const begun = await beginning();
    await gateway.owner('UPDATE tollgate.connect_attempts SET expires_at = now() WHERE id = $1', [
      idOf(begun.link),
    ]);
    await refused(begun, begun.callback, 'expired');
  });

  test('the second time', async () => {
    const begun = await beginning();
    await connected(begun);
    await refused(begun, begun.callback, 'state_mismatch', { state: 'connected' });
  });

  test('but for one of fifty at the same moment', async () => {
    const begun = await beginning();
    const before = server.counts.code;
    const pages = await Promise.all(
      Array.from({ length: 50 }, () => begun.visitor.ask(begun.callback)),
    );
    const where = pages.map((page) => page.headers.get('location').split('?')[0]);
    assert.equal(where.filter((path) => path.endsWith('/done')).length, 1);
    assert.equal(where.filter((path) => path.endsWith('/failed/state_mismatch')).length, 49);
    assert.equal(server.counts.code, before + 1);
    assert.equal((await stateOf(begun.link)).state, 'connected');
  });

  test('with another issuer, or none where one was announced, for codes and errors alike', async () => {
    for (const code of [true, false])
      for (const iss of [undefined, 'https://evil.example', `${server.origin}/`]) {
        const begun = await beginning();
        const url = changed(begun.callback, ({ searchParams }) => {
          searchParams.delete('iss');
          if (iss) searchParams.set('iss', iss);
          if (!code) {
            searchParams.delete('code');
            searchParams.set('error', 'access_denied');
            searchParams.set('error_description', 'secret-text');
          }
        });
        await refused(begun, url, 'state_mismatch');
      }
  });

  test('that is another error, which is shown escaped', async () => {
    const begun = await beginning();
    const url = changed(begun.callback, ({ searchParams }) => {
      searchParams.delete('code');
      searchParams.set('error', 'server_error');
      searchParams.set('error_description', '<img src=x onerror=alert(1)>"');
    });
    const page = await refused(begun, url, 'provider_error');
    assert.ok(page.text.includes('server_error: <img src=x onerror=alert(1)>"'));
    assert.ok(!page.html.includes('<img'));
  });

  test('that says neither', async () => {
    const begun = await beginning();
    const url = changed(begun.callback, ({ searchParams }) => searchParams.delete('code'));
    await refused(begun, url, 'provider_error');
  });

  test('because access was declined; and one can start again', async () => {
    const begun = await beginning();
    const url = changed(begun.callback, ({ searchParams }) => {
      searchParams.delete('code');
      searchParams.set('error', 'access_denied');
    });
    const page = await refused(begun, url, 'denied');
    const next = await begun.visitor.press(page, 'Start again');
    assert.notEqual(idOf(next.url), idOf(begun.link));
    assert.match((await agree(begun.visitor, next)).text, /2 tools/);
  });
});

describe('two tabs', () => {
  test('of one attempt: the later one counts', async () => {
    const name = await addConnection();
    const link = await requestLink(gateway, tenant.userKey, name);
    const visitor = new Visitor();
    const page = await openSignedIn(visitor, link.url, tenant.userKey);
    const one = await agree(visitor, page, { until: isCallback });
    const two = await agree(visitor, page, { until: isCallback });
    const before = server.counts.code;
    assert.match((await visitor.open(one.url)).text, /Code state_mismatch/);
    assert.equal(server.counts.code, before);
    await connected({ visitor, callback: two.url });
  });

  test('of two attempts: both come home', async () => {
    const visitor = new Visitor();
    const one = await beginning({ visitor });
    const two = await beginning({ visitor });
    await connected(one);
    await connected(two);
  });
});

describe('the authorization server', () => {
  test('that gives no token leaves a reason and no grant', async () => {
    const begun = await beginning();
    server.fault('code', {
      status: 400,
      headers: { 'content-type': 'application/json' },
      body: '{"error":"invalid_grant","error_description":"secret-text"}',
    });
    const page = await begun.visitor.open(begun.callback);
    assert.match(page.text, /Code token_exchange_failed/);
    assert.match(page.text, /answered 400 invalid_grant\./);
    assert.ok(!page.html.includes('secret-text'));
      assert.equal((await stateOf(begun.link)).error.code, 'token_exchange_failed');
    const [{ n }] = await gateway.owner(
      `SELECT count(*)::int AS n FROM tollgate.grants g JOIN tollgate.connect_attempts a
       USING (tenant_id, connection_id, subject) WHERE a.id = $1`,
      [idOf(begun.link)],
    );
    assert.equal(n, 0);
  });

  test('that is not there is a network error', async () => {
    const begun = await beginning();
    server.fault('code', { drop: 'before' });
    assert.match((await begun.visitor.open(begun.callback)).text, /Code network/);
  });

  test('that refuses to register says so', async () => {
    const closed = await startAuthorizationServer({ registration: false });
    try {
      const link = await requestLink(gateway, tenant.userKey, await addConnection({}, closed.url));
      const visitor = new Visitor();
      const page = await agree(visitor, await openSignedIn(visitor, link.url, tenant.userKey));
      assert.match(page.text, /Code registration_refused/);
      const address = /registered by hand has to return to (\S+?)\.?\s/.exec(page.text)[1];
      assert.match(address.slice(gateway.dev.public_url.length), /^\/oauth\/callback\/[0-9a-f]{16}$/);
    } finally {
      await closed.close();
    }
  });

  test('whose token lists no tools connects nothing', async () => {
    const begun = await beginning();
    server.fault('code', {
      change: (reply) => ({ ...reply, json: { ...reply.json, access_token: 'good-for-nothing' } }),
    });
    const page = await begun.visitor.open(begun.callback);
    assert.match(page.text, /Code provider_error/);
    assert.match(page.text, /refuses the token/);
    assert.equal((await stateOf(begun.link)).state, 'failed');
  });

  test('another account than the connected one is a question', async () => {
    const name = await addConnection();
    await connected(await beginning({ name }));
    server.settings.subject = 'upstream-eve';
    const account = async () => {
      const rows = await gateway.owner(
        `SELECT g.account FROM tollgate.grants g JOIN tollgate.connections c
         ON c.tenant_id = g.tenant_id AND c.id = g.connection_id
         JOIN tollgate.tenants t ON t.id = c.tenant_id WHERE t.name = $1 AND c.name = $2`,
        [tenant.name, name],
      );
      return rows[0].account;
    };
    let begun = await beginning({ name });
    let page = await begun.visitor.open(begun.callback);
    assert.equal(page.status, 409);
    assert.match(page.text, /as upstream-eve ?, but up\d+ is connected as upstream-ana/);
    const revoked = server.counts.revoke;
    page = await begun.visitor.press(page, 'Keep upstream-ana');
    assert.match(page.text, /Code account_mismatch/);
    assert.equal(server.counts.revoke, revoked + 1);
    assert.equal(await account(), 'upstream-ana');
    begun = await beginning({ name });
    page = await begun.visitor.open(begun.callback);
    page = await begun.visitor.press(page, 'Use upstream-eve from now on');
    assert.match(page.text, /connected as upstream-eve/);
    assert.equal(await account(), 'upstream-eve');
    const [{ held }] = await gateway.owner(
      'SELECT count(held)::int AS held FROM tollgate.connect_attempts WHERE state <> $1',
      ['pending'],
    );
    assert.equal(held, 0);
  });
});

describe('rights that a call lacks', () => {
  let demanding;
  before(async () => {
    demanding = await startAuthorizationServer({ scopes: ['read'], callScope: 'write' });
  });
  after(() => demanding?.close());

  const call = (name) => callThrough(gateway, { key: tenant.userKey, name });

  async function follow(link) {
    const visitor = new Visitor();
    return agree(visitor, await openSignedIn(visitor, link, tenant.userKey));
  }

  async function ready() {
    const name = await addConnection({}, demanding.url);
    await follow((await requestLink(gateway, tenant.userKey, name)).url);
    await becomes(gateway, tenant.userKey, name, 'connected');
    return name;
  }

  test('are asked for beside those that it has, and then it works', async () => {
    const name = await ready();
    const refused = await call(name);
    assert.ok(linkIn(refused), refused.text);
    assert.match((await follow(linkIn(refused))).text, /2 tools/);
    assert.equal(demanding.asked('authorize').at(-1).fields.scope, 'read write');
    assert.equal((await call(name)).text, 'upstream-ana');
  });

  test('and are not granted are asked for twice, and then no more', async () => {
    const name = await ready();
    const before = demanding.counts.authorize;
    for (let round = 0; round < 2; round++) {
      demanding.fault('code', {
        change: (reply) => ({ ...reply, json: { ...reply.json, scope: 'read' } }),
      });
      const page = await follow(linkIn(await call(name)));
      assert.match(page.text, /Code missing_scope/);
      assert.match(page.text, /Granted: read; needed: write/);
    }
    const last = await call(name);
    assert.equal(linkIn(last), undefined);
    assert.equal(demanding.counts.authorize, before + 2);
  });
});

describe('settings by hand', () => {
  test('need no discovery and no registration', async () => {
    const plain = await startAuthorizationServer({
      metadata: false,
      registration: false,
      iss: false,
      clients: { known: 's3cret' },
    });
    try {
      const name = await addConnection(
        {
          authorization_url: `${plain.origin}/authorize?tenant=1`,
          token_url: `${plain.origin}/token`,
          client_id: 'known',
          client_secret: 's3cret',
          token_endpoint_auth: 'post',
          scope: 'a  b',
          authorize_params: { prompt: 'consent' },
        },
        plain.url,
      );
      const begun = await beginning({ name });
      const page = await connected(begun);
      assert.match(page.text, /is connected: 2 tools/);
      const { fields } = plain.asked('authorize').at(-1);
      assert.equal(fields.scope, 'a  b');
      assert.equal(fields.prompt, 'consent');
      assert.equal(fields.tenant, '1');
      assert.equal(plain.asked('code').at(-1).fields.client_secret, 's3cret');
      assert.equal(plain.asked('server_metadata').length, 0);
    } finally {
      await plain.close();
    }
  });

  test('that change while the browser is away make the answer void', async () => {
    const name = await addConnection();
    const begun = await beginning({ name });
    await tenant.must(
      200,
      'PATCH',
      `/connections/${name}`,
      { auth: { oauth: { scope: 'other' } } },
      { ifMatch: true },
    );
    const before = server.counts.code;
    const page = await begun.visitor.open(begun.callback);
    assert.match(page.text, /Code expired/);
    assert.equal(server.counts.code, before);
  });
});

describe('two gateways', () => {
  let second;
  let urls; // of both
  before(async () => {
    if (gateway.each[1] === undefined) second = await startBeside(gateway.directory);
    urls = [gateway.each[0].public_url, (second?.dev ?? gateway.each[1]).public_url];
  });
  after(() => second?.stop());

  // The answer as it comes to the other one, in the same browser: cookies do not know ports.
  function at(url, { visitor, callback }) {
    const cookies = visitor.jars.get(new URL(gateway.dev.public_url).host);
    const { host } = new URL(url);
    const moved = new Visitor();
    moved.jars = new Map([...visitor.jars, [host, new Map(cookies)]]);
    return { visitor: moved, callback: changed(callback, (copy) => (copy.host = host)) };
  }

  test('redeem a code once when both are brought it at the same moment', async () => {
    for (let round = 0; round < 5; round++) {
      const begun = await beginning();
      const [codes, calls] = [server.counts.code, urls.map((url) => at(url, begun))];
      const pages = await Promise.all(
        [...calls, ...calls].map(({ visitor, callback }) => visitor.ask(callback)),
      );
      const where = pages.map((page) => page.headers.get('location').split('?')[0]);
      assert.equal(where.filter((path) => path.endsWith('/done')).length, 1, where.join(' '));
      assert.equal(where.filter((path) => path.endsWith('/failed/state_mismatch')).length, 3);
      assert.equal(server.counts.code, codes + 1);
      assert.equal((await stateOf(begun.link)).state, 'connected');
      const grants = await gateway.owner(
        `SELECT g.state, g.version::int FROM tollgate.grants g JOIN tollgate.connect_attempts a
         USING (tenant_id, connection_id) WHERE a.id = $1`,
        [idOf(begun.link)],
      );
      assert.deepEqual(grants, [{ state: 'active', version: 1 }]);
    }
  });

  test('end what the other began, and both can call', async () => {
    for (const url of urls) {
      const name = await addConnection();
      const begun = at(url, await beginning({ name }));
      const page = await connected(begun);
      assert.equal(page.url.origin, url);
      assert.match(page.text, /is connected as upstream-ana ?: 2 tools/);
      for (const each of urls) {
        const mcp = ({ connection }) => `${each}/c/${connection}/mcp`;
        const answers = async () =>
          (await callThrough({ mcp }, { key: tenant.userKey, name })).text === 'upstream-ana';
        await eventually(answers, { what: `a call at ${each}` });
      }
    }
  });
});

describe('what servers are told of us', () => {
  test('is nothing while we have no https address', async () => {
    const response = await fetch(
      `${gateway.dev.public_url}/oauth/client-metadata/0123456789abcdef.json`,
    );
    assert.equal(response.status, 404);
  });
});
