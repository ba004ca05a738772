// SPDX-License-Identifier: Apache-2.0
//
// Connecting an account in a real browser: against oidc-provider, the SDK's demonstration server, the
// scripted server and the sample of the development start. No page of ours writes anything on the
// console or asks another origin for anything, and axe finds nothing at WCAG 2.2 AA in either colour
// scheme.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { inaccessible, newProfile, overflowAt, startChromium, tabTo } from './lib/chromium.mjs';
import { clients } from './lib/clients.mjs';
import { attemptOf, becomes, callThrough, linkIn, requestLink } from './lib/connect.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { pkce } from './lib/oauth.mjs';
import { startOidcProvider } from './lib/oidc_provider.mjs';
import { startSdkServer } from './lib/sdk_server.mjs';

let gateway;
let browser;
let tenant;
let ben; // another user's key
const servers = {}; // oidc, sdk, scripted
let count = 0;

before(async () => {
  [gateway, browser, servers.oidc, servers.sdk, servers.scripted] = await Promise.all([
    start(newDirectory()),
    startChromium(),
    startOidcProvider(),
    startSdkServer(),
    startAuthorizationServer({ consent: false, userinfo: true }),
  ]);
  tenant = await gateway.newTenant('connect');
  await tenant.must(201, 'POST', '/users', { name: 'ben' });
  ben = (await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' })).key;
});

after(async () => {
  await browser?.close();
  await Promise.all(Object.values(servers).map((server) => server?.close()));
  if (gateway) await dispose(gateway);
});

// The console is told of every page that is no success.
const anError = /the server responded with a status of [45]/;

// run(page, profile) in a profile of its own, which must not have been troubled.
async function visit(run, options) {
  const ours = [gateway.dev.public_url, new URL(gateway.dev.notes_url).origin];
  const profile = await newProfile(browser, { ours, ...options });
  try {
    const page = await profile.newPage();
    await run(page, profile);
    assert.deepEqual(profile.troubles, []);
  } finally {
    await profile.close();
  }
}

async function isWellMade(page) {
  assert.deepEqual(await inaccessible(page), []);
  assert.equal(await overflowAt(page, 320), 0, 'pixels too wide at 320');
}

async function addConnection(server, oauth = {}) {
  const name = `up${++count}`;
  const auth = { mode: 'oauth', oauth };
  await tenant.must(201, 'POST', '/connections', { name, url: server.url, auth });
  return name;
}

const newLink = (name, key = tenant.userKey) => requestLink(gateway, key, name);

async function signIn(page, key = tenant.userKey) {
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const agree = (page) => page.getByRole('button', { name: /^Continue to/ }).click();
const decide = (page, decision) => page.getByRole('button', { name: decision }).click();

const shows = (page, title) =>
  page.getByRole('heading', { level: 1, name: title, exact: true }).waitFor();

// Every client calls a tool at the endpoint of the connection, as the user.
async function everyClientCalls(name, subject) {
  for (const client of clients) {
    const handle = await client.connect({
      url: gateway.mcp({ connection: name }),
      key: tenant.userKey,
    });
    try {
      assert.deepEqual((await handle.listTools()).map((tool) => tool.name), ['whoami', 'echo']);
      const result = await handle.callTool('whoami', {});
      assert.equal(result.content[0].text, subject, client.name);
    } finally {
      await handle.close();
    }
  }
}

// What a user does at each server.
const atServer = {
  oidc: async (page) => {
    await page.locator('input[name=login]').fill('pia');
    await page.locator('input[name=password]').fill('x');
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: 'Continue' }).click();
    return 'pia';
  },
  sdk: async () => 'demo_user',
  scripted: async (page) => {
    await decide(page, 'Allow');
    return servers.scripted.settings.subject;
  },
};

// From the link to the end, in a page where nobody is signed in yet. Gives the subject.
async function connectIn(page, link, server) {
  await page.goto(link.url);
  await signIn(page);
  await agree(page);
  return atServer[server](page);
}

describe('an account is connected', () => {
  for (const [server, called] of [
    ['oidc', 'oidc-provider'],
    ['sdk', "the SDK's demonstration server"],
  ]) {
    test(`at ${called}, by redirect`, async () => {
      const name = await addConnection(servers[server]);
      const link = await newLink(name);
      let subject;
      await visit(async (page) => {
        subject = await connectIn(page, link, server);
        await shows(page, 'Connected');
        await page.getByText('2 tools').waitFor();
        assert.equal(new URL(page.url()).search, '', 'nothing of the answer stays in the address');
        await isWellMade(page);
      });
      assert.equal((await attemptOf(gateway, tenant.userKey, link.attempt)).state, 'connected');
      await everyClientCalls(name, subject);
    });

    test(`at ${called}, in a popup, of which the opener hears`, async () => {
      const name = await addConnection(servers[server]);
      const link = await newLink(name);
      let subject;
      await visit(async (page, profile) => {
        await page.goto(`${gateway.dev.public_url}/signin`);
        await signIn(page);
        await shows(page, 'Signed in');
        const [popup] = await Promise.all([
          profile.waitForEvent('page'),
          page.evaluate(({ url, attempt }) => {
            const channel = new BroadcastChannel(`connect:${attempt}`);
            channel.onmessage = ({ data }) => (window.heard = data);
            window.open('about:blank', 'connect').location = url;
          }, link),
        ]);
        const closed = popup.waitForEvent('close');
        await agree(popup);
        subject = await atServer[server](popup);
        await closed;
        assert.deepEqual(await page.waitForFunction(() => window.heard).then((it) => it.jsonValue()), {
          attempt: link.attempt,
          state: 'connected',
          error: null,
        });
      });
      await everyClientCalls(name, subject);
    });
  }

  test('in the same tab when the popup is blocked', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    await visit(async (page) => {
      await page.addInitScript(() => (window.open = () => null));
      await page.goto(`${gateway.dev.public_url}/signin`);
      await signIn(page);
      await shows(page, 'Signed in');
      await page.evaluate((url) => {
        const popup = window.open('about:blank', 'connect');
        (popup ?? window).location = url;
      }, link.url);
      await agree(page);
      await atServer.scripted(page);
      await shows(page, 'Connected');
    });
  });

  test('with the keyboard alone', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    const press = async (page, role, name) => {
      await tabTo(page, role, name);
      await page.keyboard.press('Enter');
    };
    await visit(async (page) => {
      await page.goto(link.url);
      await tabTo(page, 'textbox', 'API key');
      await page.keyboard.type(tenant.userKey);
      await page.keyboard.press('Enter');
      await shows(page, `Connect up${count}`);
      await press(page, 'button', /^Continue to/);
      await page.getByRole('button', { name: 'Allow' }).focus();
      await page.keyboard.press('Enter');
      await shows(page, 'Connected');
    });
  });

  test('without JavaScript', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    await visit(
      async (page) => {
        await connectIn(page, link, 'scripted');
        await shows(page, 'Connected');
      },
      { javaScriptEnabled: false },
    );
  });

  test('from a one-time code', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    const made = await gateway.cli(['signin-link'], { env: { TOLLGATE_KEY: tenant.userKey } });
    assert.equal(made.code, 0, made.stderr);
    const [code] = /https?:\/\/\S+/.exec(made.stdout);
    await visit(async (page) => {
      await page.goto(code);
      await isWellMade(page);
      await page.getByRole('button', { name: 'Sign in as ana' }).click();
      await shows(page, 'Signed in');
      await isWellMade(page);
      await page.goto(link.url);
      await agree(page);
      await atServer.scripted(page);
      await shows(page, 'Connected');
    });
  });
});

test('the link that the development start prints signs in, once', () => {
  const [link] = /\S+\/signin\?code=\S+/.exec(fs.readFileSync(`${gateway.directory}.log`, 'utf8'));
  return visit(
    async (page) => {
      await page.goto(link);
      await page.getByRole('button', { name: 'Sign in as ana' }).click();
      await shows(page, 'Signed in');
      await page.getByText('ana of demo').first().waitFor();
      await page.goto(link);
      await page.getByRole('alert').waitFor();
      await isWellMade(page);
    },
    { expected: [anError] },
  );
});

describe('an attempt fails', () => {
  const ends = async (page, link, title, code) => {
    await shows(page, title);
    await page.getByText(`Code ${code}, attempt ${link.attempt}`).waitFor();
    await isWellMade(page);
    const { state, error } = await attemptOf(gateway, tenant.userKey, link.attempt);
    assert.deepEqual([state, error.code], ['failed', code]);
  };

  test('denied, and can be started again', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    await visit(
      async (page) => {
        await page.goto(link.url);
        await isWellMade(page);
        await signIn(page);
        await isWellMade(page);
        await agree(page);
        await decide(page, 'Deny');
        await ends(page, link, 'Access was declined', 'denied');
        await page.getByRole('button', { name: 'Start again' }).click();
        await agree(page);
        await decide(page, 'Allow');
        await shows(page, 'Connected');
      },
      { expected: [anError] },
    );
  });

  test('expired, before and at the server', async () => {
    const name = await addConnection(servers.scripted);
    const expire = (link) =>
      gateway.owner('UPDATE tollgate.connect_attempts SET expires_at = now() WHERE id = $1', [
        link.attempt,
      ]);
    await visit(
      async (page) => {
        const first = await newLink(name);
        await expire(first);
        await page.goto(first.url);
        await signIn(page);
        await ends(page, first, 'This link has expired', 'expired');
        const second = await newLink(name);
        await page.goto(second.url);
        await agree(page);
        await page.getByRole('button', { name: 'Allow' }).waitFor();
        await expire(second);
        await decide(page, 'Allow');
        await ends(page, second, 'This link has expired', 'expired');
      },
      { expected: [anError] },
    );
  });

  test('wrong user: the link of one is none for another', async () => {
    const name = await addConnection(servers.scripted);
    const link = await newLink(name);
    await visit(
      async (page) => {
        await page.goto(link.url);
        await signIn(page, ben);
        await shows(page, 'This link is for somebody else');
        await isWellMade(page);
        assert.equal(await page.getByRole('button', { name: /^Continue to/ }).count(), 0);
        await page.getByRole('button', { name: 'Sign out' }).click();
        await signIn(page);
        await agree(page);
        await atServer.scripted(page);
        await shows(page, 'Connected');
      },
      { expected: [anError] },
    );
    assert.ok(linkIn(await callThrough(gateway, { key: ben, name })));
  });

  test('in the older of two tabs', async () => {
    const link = await newLink(await addConnection(servers.scripted));
    await visit(
      async (older, profile) => {
        const newer = await profile.newPage();
        await older.goto(link.url);
        await signIn(older);
        await shows(older, `Connect up${count}`);
        await newer.goto(link.url);
        await agree(older);
        await older.getByRole('button', { name: 'Allow' }).waitFor();
        await agree(newer);
        await newer.getByRole('button', { name: 'Allow' }).waitFor();
        await decide(older, 'Allow');
        await shows(older, 'This answer was not expected');
        await decide(newer, 'Allow');
        await shows(newer, 'Connected');
      },
      { expected: [anError] },
    );
  });

  test('with every error that there is a page for', () =>
    visit(
      async (page) => {
        for (const code of [
          'provider_error',
          'token_exchange_failed',
          'missing_scope',
          'registration_refused',
          'network',
          'account_mismatch',
          'state_mismatch',
        ]) {
          await page.goto(`${gateway.dev.public_url}/connect/failed/${code}`);
          await page.getByText(`Code ${code}`).waitFor();
          await isWellMade(page);
        }
      },
      { expected: [anError] },
    ));
});

test('another account than before is asked about', async () => {
  const name = await addConnection(servers.scripted);
  const { scripted } = servers;
  const first = await newLink(name);
  try {
    await visit(
      async (page) => {
        const subject = await connectIn(page, first, 'scripted');
        await shows(page, 'Connected');
        scripted.settings.subject = 'somebody-else';
        await page.goto((await newLink(name)).url);
        await agree(page);
        await decide(page, 'Allow');
        await shows(page, 'Two accounts');
        await isWellMade(page);
        await page.getByRole('button', { name: `Keep ${subject}` }).click();
        await shows(page, 'That is another account');
        await page.goto((await newLink(name)).url);
        await agree(page);
        await decide(page, 'Allow');
        await page.getByRole('button', { name: 'Use somebody-else from now on' }).click();
        await shows(page, 'Connected');
      },
      { expected: [anError] },
    );
    const { text } = await callThrough(gateway, { key: tenant.userKey, name });
    assert.equal(text, 'somebody-else');
  } finally {
    scripted.settings.subject = 'upstream-ana';
  }
});

describe('the sample `notes`', () => {
  let origin;
  let authorize;
  // Nothing has to be there: a browser that was sent on is where it should be.
  const callback = 'http://127.0.0.1:1/callback';

  before(async () => {
    origin = new URL(gateway.dev.notes_url).origin;
    const response = await fetch(`${origin}/register`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        client_name: 'A client with a name that is longer than it has to be, for the small screen',
        redirect_uris: [callback],
        token_endpoint_auth_method: 'none',
      }),
    });
    const { client_id } = await response.json();
    authorize = new URL(`${origin}/authorize`);
    for (const [name, value] of Object.entries({
      response_type: 'code',
      client_id,
      redirect_uri: callback,
      state: 'the state',
      code_challenge: pkce().challenge,
      code_challenge_method: 'S256',
      resource: gateway.dev.notes_url,
    }))
      authorize.searchParams.set(name, value);
  });

  const sentBack = async (page) => {
    const [request] = await Promise.all([
      page.waitForRequest((one) => one.url().startsWith(callback)),
      page.keyboard.press('Enter'),
    ]);
    return new URL(request.url()).searchParams;
  };

  for (const [decision, parameter] of [
    ['Allow', 'code'],
    ['Deny', 'error'],
  ])
    test(`consent can be answered with the keyboard: ${decision}`, () =>
      visit(async (page) => {
        await page.goto(authorize.href);
        await isWellMade(page);
        await tabTo(page, 'button', decision);
        const told = await sentBack(page);
        assert.ok(told.get(parameter));
        assert.equal(told.get('state'), 'the state');
      }));

  test('who has access is shown after signing in', () =>
    visit(async (page) => {
      await page.goto(origin);
      await isWellMade(page);
      await page.getByLabel('Your name').fill('nobody-yet');
      await page.keyboard.press('Enter');
      await page.getByText('Signed in as nobody-yet').waitFor();
      await isWellMade(page);
    }));

  test('a request that cannot be served is told', () =>
    visit(
      async (page) => {
        await page.goto(`${origin}/authorize`);
        await page.getByRole('heading', { name: 'This request cannot be served' }).waitFor();
        await isWellMade(page);
      },
      { expected: [/status of 400/] },
    ));

  test('is connected, used, and taken back', async () => {
    const key = gateway.dev.user_key;
    const call = (tool, args) => callThrough(gateway, { key, name: 'notes', tool, args });
    const link = await requestLink(gateway, key, 'notes');
    await visit(async (page) => {
      await page.goto(link.url);
      await signIn(page, key);
      await agree(page);
      await page.getByLabel('Your name').fill('ana');
      await decide(page, 'Allow');
      await shows(page, 'Connected');
      await call('add_note', { text: 'from the gateway' });
      assert.equal((await call('list_notes')).text, 'from the gateway');
      await page.goto(origin);
      await page.getByRole('button', { name: 'Revoke access' }).click();
      await page.getByText('None.').waitFor();
    });
    assert.ok(linkIn(await call('list_notes')));
    await becomes(gateway, key, 'notes', 'needs_reauth');
  });
});
