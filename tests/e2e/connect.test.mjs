// SPDX-License-Identifier: Apache-2.0
//
// What people see, in a real browser.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { inaccessible, newProfile, overflowAt, startChromium, tabTo } from './lib/chromium.mjs';
import { environment } from './lib/gateway.mjs';
import { pkce } from './lib/oauth.mjs';

let gateway;
let browser;

before(async () => {
  [gateway, browser] = await Promise.all([environment(), startChromium()]);
});

after(async () => {
  await browser?.close();
  await gateway?.close();
});

// run(page, profile) in a profile of its own, which must not have been troubled.
async function visit(run, options) {
  const profile = await newProfile(browser, options);
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

describe('the pages of the sample `notes`', () => {
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
});
