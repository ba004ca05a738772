// SPDX-License-Identifier: Apache-2.0
//
// Secrets go in and never come out; keys are shown once and can be taken back.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { Canaries, dump, gatewayFiles, logText } from './lib/canaries.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { environment } from './lib/gateway.mjs';
import { onEveryWorker, requestModern } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

// What a change takes to be seen by every worker: NOTIFY at once, a poll every 2 s behind it.
const spread = 4000;

let gateway;
let tenant;
let upstream;

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('secret');
  upstream = await startFixture('legacy');
});

after(async () => {
  await upstream?.stop();
  await gateway?.close();
});

const send = (method, params, key) => requestModern(gateway.mcp(), method, params, { key });

describe('secrets', () => {
  const canaries = new Canaries();
  const canary = canaries.plant('-credential');
  const hidden = canaries.plant('-header');
  const answers = [];
  const sentHeaders = async () => {
    const params = { name: 'sealed__needs_header', arguments: {} };
    const { answer } = await send('tools/call', params, tenant.userKey);
    return answer.result.structuredContent.headers;
  };
  const keep = (reply) => (answers.push(reply.text), reply);

  before(async () => {
    keep(
      await tenant.must(201, 'POST', '/connections', {
        name: 'sealed',
        url: upstream.url,
        auth: { mode: 'bearer', credential: canary },
        headers: { 'X-Hidden': hidden },
      }),
    );
    await gateway.listed(tenant.adminKey, 'sealed');
    await eventually(
      async () =>
        (await onEveryWorker(() => send('tools/list', {}, tenant.userKey))).every(
          (reply) => reply.answer.result.tools.length > 0,
        ),
      { deadline: 2 * spread, what: 'every worker lists it' },
    );
  });

  test('are used', async () => {
    const headers = await sentHeaders();
    assert.equal(headers.authorization, `Bearer ${canary}`);
    assert.equal(headers['x-hidden'], hidden);
  });

  test('read back as [REDACTED]', async () => {
    const { json } = keep(await tenant.must(200, 'GET', '/connections/sealed'));
    assert.equal(json.auth.credential, '[REDACTED]');
    assert.equal(json.headers['X-Hidden'], '[REDACTED]');
  });

  test('are kept when that is written back, by PUT and by PATCH', async () => {
    const { json, etag } = keep(await tenant.must(200, 'GET', '/connections/sealed'));
    keep(
      await tenant.must(
        200,
        'PUT',
        '/connections/sealed',
        { ...writable(json), description: 'put' },
        { ifMatch: etag },
      ),
    );
    keep(
      await tenant.must(
        200,
        'PATCH',
        '/connections/sealed',
        { description: 'patched', auth: { credential: '[REDACTED]' } },
        { ifMatch: true },
      ),
    );
    keep(
      await tenant.must(
        200,
        'PATCH',
        '/connections/sealed',
        { headers: { 'X-More': 'visible' } },
        { ifMatch: true },
      ),
    );
    const headers = await eventually(
      async () => {
        const found = await sentHeaders();
        return found['x-more'] === 'visible' ? found : undefined;
      },
      { deadline: spread },
    );
    assert.equal(headers.authorization, `Bearer ${canary}`);
    assert.equal(headers['x-hidden'], hidden);
  });

  test('are replaced by new ones', async () => {
    const other = `${canary}-2`;
    keep(
      await tenant.must(
        200,
        'PATCH',
        '/connections/sealed',
        { auth: { mode: 'bearer', credential: other } },
        { ifMatch: true },
      ),
    );
    await eventually(async () => (await sentHeaders()).authorization === `Bearer ${other}`, {
      deadline: spread,
    });
  });

  test('stand in no answer, log, file or dump', async () => {
    for (const route of [
      '/connections',
      '/connections/sealed',
      '/connections/sealed/status',
      '/tools',
      '/keys',
      '/users',
    ])
      keep(await tenant.api('GET', route));
    keep(
      await tenant.api(
        'PATCH',
        '/connections/sealed',
        { auth: { credential: 5 } },
        { ifMatch: true },
      ),
    );
    keep(
      await tenant.api(
        'PATCH',
        '/connections/sealed',
        { auth: { credential: canary, nonsense: 1 } },
        { ifMatch: true },
      ),
    );
    canaries.keep(tenant.userKey);
    canaries.keep(tenant.adminKey);
    const places = {
      answers,
      log: logText(gateway),
      files: gatewayFiles(gateway),
      dump: await dump(gateway),
    };
    assert.ok(places.dump.includes('sealed'), 'the dump holds the row');
    assert.deepEqual(canaries.find(places), []);
  });
});

// What GET shows without what only the gateway writes.
function writable(json) {
  const members = [
    'name',
    'description',
    'enabled',
    'transport',
    'url',
    'era',
    'auth',
    'headers',
    'connect_timeout',
    'call_timeout',
    'session',
    'trust_level',
    'tools',
  ];
  return Object.fromEntries(members.map((member) => [member, json[member]]));
}

describe('a key', () => {
  const status = async (key) => (await send('tools/list', {}, key)).status;

  test('that is deleted is refused by every worker within 5 s', async () => {
    const { id, key } = await gateway.newKey(tenant.name, { name: 'short-lived' });
    assert.deepEqual(await onEveryWorker(() => status(key)), Array(16).fill(200));
    const reply = await tenant.api('DELETE', `/keys/${id}`, undefined, {});
    if (reply.status === 428)
      await tenant.must(204, 'DELETE', `/keys/${id}`, undefined, { ifMatch: '*' });
    else assert.equal(reply.status, 204);
    await eventually(
      async () => (await onEveryWorker(() => status(key))).every((code) => code === 401),
      {
        deadline: 5000,
        what: 'it is refused everywhere',
      },
    );
    assert.ok(!(await tenant.api('GET', '/keys')).json.items.some((item) => item.id === id));
  });

  test('that expires is refused from then on', async () => {
    const expires = new Date(Date.now() + 3000);
    const { key } = await gateway.newKey(tenant.name, {
      name: 'expiring',
      expires_at: expires.toISOString(),
    });
    assert.equal(await status(key), 200);
    await eventually(
      async () => (await onEveryWorker(() => status(key))).every((code) => code === 401),
      {
        deadline: 8000,
        every: 200,
      },
    );
    assert.ok(Date.now() >= expires.getTime());
  });

  test('is shown once', async () => {
    const { id, key } = await gateway.newKey(tenant.name, { name: 'once' });
    assert.match(key, /^tgk_[A-Za-z0-9]{12}_[A-Za-z0-9]+$/);
    const listed = await tenant.api('GET', '/keys');
    assert.ok(listed.json.items.some((item) => item.id === id && item.name === 'once'));
    assert.ok(!listed.text.includes(key));
    const rows = await gateway.owner(
      'SELECT row_to_json(k)::text AS text FROM tollgate.api_keys k',
    );
    assert.ok(rows.every((row) => !row.text.includes(key)));
  });
});
