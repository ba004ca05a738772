// SPDX-License-Identifier: Apache-2.0
//
// At least 60 secrets of peers, and as many of ours, go every way that a secret can go, right and
// wrong; none of them stands anywhere afterwards: not in what was answered, nor in the log, the
// spool, the database, its write-ahead log, a metric or the title of a process.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import {
  Canaries,
  clusterFiles,
  dump,
  forms,
  gatewayFiles,
  logText,
  statements,
  titles,
} from './lib/canaries.mjs';
import { startAuthorizationServer } from './lib/authorization_server.mjs';
import { agree, openSignedIn, requestLink } from './lib/connect.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, runCli, start } from './lib/gateway.mjs';
import { message, openSession, post, request, requestModern } from './lib/raw.mjs';
import { startTold, text } from './lib/told_upstream.mjs';
import { Visitor } from './lib/visitor.mjs';
import { eventually } from './lib/wait.mjs';

const canaries = new Canaries();
// No secrets: they show that the search sees.
const controls = new Canaries();
const answers = [];
let n = 0; // calls of peers
let ours = 0; // how many of the secrets are not of peers
let gateway;
let tenant;
let open;
let closed;
let scratch;

before(async () => {
  scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-canaries-'));
  gateway = await start(newDirectory(), { args: ['--workers', '2'] });
  tenant = await gateway.newTenant('canary');
  open = await startFixture('legacy');
  closed = await startFixture('legacy', { token: 'nobody-has-this' });
  canaries.keep(tenant.userKey.split('_')[2]);
  canaries.keep(tenant.adminKey.split('_')[2]);
  canaries.keep(gateway.dev.admin_key.split('_')[2]);
  const keyring = JSON.parse(fs.readFileSync(`${gateway.directory}/keyring.json`, 'utf8'));
  canaries.keep(keyring.pepper);
  canaries.keep(keyring.keys[0].key);
});

after(async () => {
  await open?.stop();
  await closed?.stop();
  if (gateway) await dispose(gateway);
  fs.rmSync(scratch, { recursive: true, force: true });
});

// An answer that may say anything but a secret.
const keep = (reply) => {
  answers.push(reply.text ?? '', JSON.stringify(reply.headers ?? {}));
  return reply;
};
const api = async (method, route, body, options) => keep(await tenant.api(method, route, body, options));
const sealed = (url, more = {}) => ({
  url,
  auth: { mode: 'bearer', credential: canaries.plant() },
  headers: { 'X-One': canaries.plant(), 'X-Two': canaries.plant() },
  ...more,
});

describe('secrets', () => {
  test('of connections, as they should be', async () => {
    for (const [name, url] of [
      ['one', open.url],
      ['two', open.url],
      ['refused', closed.url],
    ])
      assert.equal(
        (await api('POST', '/connections', { name, description: controls.plant(''), ...sealed(url) })).status,
        201,
      );
    const key = { mode: 'api_key', header: 'X-Key', credential: canaries.plant() };
    assert.equal((await api('POST', '/connections', { name: 'three', url: open.url, auth: key })).status, 201);
    for (const name of ['one', 'two', 'three']) await gateway.listed(tenant.adminKey, name);
    // Used, and so sent; what the upstream says of it is its own.
    for (const name of ['one', 'two', 'three'])
      assert.equal(
        (await requestModern(gateway.mcp(), 'tools/call', { name: `${name}__needs_header`, arguments: {} }, { key: tenant.userKey })).status,
        200,
      );
    await eventually(async () => (await gateway.status(tenant.adminKey, 'refused')).json.state !== 'unknown');
  });

  test('that are replaced, written back and taken away', async () => {
    for (const name of ['one', 'two']) {
      const change = { auth: { mode: 'bearer', credential: canaries.plant() }, headers: { 'X-One': canaries.plant() } };
      assert.equal((await api('PATCH', `/connections/${name}`, change, { ifMatch: true })).status, 200);
    }
    await api('PATCH', '/connections/two', { auth: { credential: '[REDACTED]' } }, { ifMatch: true });
    await api('PATCH', '/connections/two', { auth: { mode: 'none' }, headers: null }, { ifMatch: true });
    assert.equal((await api('DELETE', '/connections/three', undefined, { ifMatch: true })).status, 204);
  });

  test('of OAuth clients', async () => {
    const body = (name, secret) => ({
      name,
      url: 'https://mcp.example.com/mcp',
      enabled: false,
      auth: { mode: 'oauth', oauth: { grant: 'client_credentials', per: 'shared', client_id: 'us', client_secret: secret } },
    });
    for (const name of ['account', 'other'])
      assert.equal((await api('POST', '/connections', body(name, canaries.plant()))).status, 201);
    const change = { auth: { oauth: { client_secret: canaries.plant() } } };
    assert.equal((await api('PATCH', '/connections/account', change, { ifMatch: true })).status, 200);
    await api('POST', '/connections', { ...body('third', canaries.plant()), nonsense: 1 });
    await api('POST', '/connections', body('bad name', canaries.plant()));
  });

  test('of accounts that are connected, refreshed and not connected', async () => {
    const server = await startAuthorizationServer({ userinfo: true });
    const mcp = { key: tenant.userKey };
    const isCallback = (url) => url.pathname.startsWith('/oauth/callback/');
    const page = (shown) => (keep({ text: shown.html ?? '', headers: Object.fromEntries(shown.headers ?? []) }), shown);
    try {
      const body = { url: server.url, auth: { mode: 'oauth', oauth: { per: 'user' } } };
      for (const name of ['calendar', 'mail'])
        assert.equal((await api('POST', '/connections', { name, ...body })).status, 201);
      const visitor = new Visitor();
      const begin = async (name) => {
        const link = await requestLink(gateway, tenant.userKey, name);
        answers.push(JSON.stringify(link));
        const shown = page(await openSignedIn(visitor, link.url, tenant.userKey));
        return (await agree(visitor, shown, { until: isCallback })).url;
      };
      const callback = await begin('calendar');
      assert.match(page(await visitor.open(callback)).text, /connected/);
      const calling = () => requestModern(gateway.mcp(), 'tools/list', {}, mcp);
      await calling();
      // Codes that come to nothing: refused by the server, twice, by another browser, with no state.
      server.fault('code', { status: 400, body: '{"error":"invalid_grant"}' });
      const refused = await begin('mail');
      page(await visitor.open(refused));
      page(await visitor.open(refused));
      page(await new Visitor().open(await begin('mail')));
      const [authorize] = server.asked('authorize').slice(-1);
      page(await visitor.open(`${gateway.dev.public_url}/oauth/callback/0000000000000000?state=${authorize.fields.state}&code=${canaries.plant('')}`));
      const given = {
        access_token: canaries.plant(''),
        refresh_token: canaries.plant(''),
        expires_in: 3600,
        token_url: 'https://as.example.com/token',
        client_id: 'us',
        client_secret: canaries.plant(),
        token_endpoint_auth: 'basic',
      };
      const ingested = await api('POST', '/connections/mail/oauth/ingest', given, mcp);
      assert.equal(ingested.status, 200, ingested.text);
      await api('POST', '/connections/mail/oauth/ingest', { ...given, nonsense: canaries.plant('') }, mcp);
      for (const route of ['calendar/status', 'mail/status', 'calendar/oauth/events', 'mail/oauth/events'])
        await api('GET', `/connections/${route}`, undefined, mcp);
      const n = canaries.secrets.length;
      for (const { fields } of server.asked('authorize')) canaries.keep(fields.state);
      for (const { fields } of server.asked('code')) {
        canaries.keep(fields.code);
        canaries.keep(fields.code_verifier);
      }
      for (const token of [...server.access.keys(), ...server.refresh.keys()]) canaries.keep(token);
      for (const { secret } of server.clients.values()) if (secret) canaries.keep(secret);
      assert.ok(server.access.size > 0 && server.refresh.size > 0);
      assert.equal(server.asked('code').length, 2);
      assert.ok(canaries.secrets.length >= n + 9);
      for (const jar of visitor.jars.values()) for (const cookie of jar.values()) if (cookie.length >= 32) canaries.keep(cookie);
    } finally {
      await server.close();
    }
  });

  test('in what is refused', async () => {
    const credential = () => canaries.plant();
    for (const body of [
      { name: 'x', url: open.url, auth: { mode: 'nonsense', credential: credential() } },
      { name: 'x', url: open.url, auth: { mode: 'bearer', credential: `${credential()}\n` } },
      { name: 'x', url: open.url, auth: { mode: 'bearer', credential: [credential()] } },
      { name: 'x', url: open.url, headers: { 'X-A': { deep: credential() } } },
      { name: 'x', url: open.url, headers: { 'X-A': `${credential()}\r\nX-B: y` } },
      { name: 'one', url: open.url, auth: { mode: 'bearer', credential: credential() } },
      `{"name":"x","auth":{"credential":"${credential()}"`,
      `{"name":"x","name":"x","auth":{"credential":"${credential()}"}}`,
      `["${credential()}"]`,
    ]) {
      const { status } = await api('POST', '/connections', body);
      assert.ok(status === 400 || status === 409 || status === 422, `${status}`);
    }
    const stale = { ...sealed(open.url), name: 'one' };
    assert.equal((await api('PUT', '/connections/one', stale, { ifMatch: '"0"' })).status, 412);
    assert.equal((await api('PUT', '/connections/nothing', { ...sealed(open.url), name: 'nothing' }, { ifMatch: '*' })).status, 404);
  });

  test('of probes', async () => {
    await api('POST', '/probe', { url: open.url, auth: { mode: 'bearer', credential: canaries.plant() } });
    await api('POST', '/probe', { url: closed.url, auth: { mode: 'bearer', credential: canaries.plant() } });
    await api('POST', '/probe', { url: 'http://127.0.0.1:1/mcp', auth: { mode: 'bearer', credential: canaries.plant() } });
    const file = path.join(scratch, 'credential');
    fs.writeFileSync(file, canaries.plant());
    const cli = await gateway.cli(['connections', 'probe', closed.url, '--auth', 'bearer', '--credential-file', file], {
      env: { TOLLGATE_KEY: tenant.adminKey },
    });
    answers.push(cli.stdout, cli.stderr);
  });

  test('of callers', async () => {
    const url = gateway.mcp();
    const body = message(1, 'tools/list', {});
    const wrong = (tail) => `tgk_AAAAAAAAAAAA_${canaries.plant('')}${tail}`;
    for (const options of [
      { key: wrong('') },
      { key: wrong('x'.repeat(500)) },
      { key: canaries.plant('') },
      { key: wrong(''), header: 'x-api-key' },
      { headers: { authorization: `Basic ${Buffer.from(`ana:${canaries.plant()}`).toString('base64')}` } },
      { headers: { authorization: `Bearer ${canaries.plant('')} ${canaries.plant('')}` } },
    ]) {
      const reply = keep(await post(url, body, { ...options, recorded: false }).done);
      assert.equal(reply.status, 401, reply.text);
    }
    keep(await request(`${url}?api_key=${canaries.plant('')}`, { method: 'POST', body }));
    keep(await request(`${gateway.dev.api_url}/status`, { headers: { authorization: `Bearer ${wrong('')}` } }));
    const cli = await runCli(['status'], { env: { TOLLGATE_URL: gateway.dev.public_url, TOLLGATE_KEY: wrong('') } });
    assert.equal(cli.code, 3);
    answers.push(cli.stdout, cli.stderr);
    const { id, key } = await gateway.newKey(tenant.name, { name: 'gone' });
    canaries.keep(key.split('_')[2]);
    await api('DELETE', `/keys/${id}`, undefined, { ifMatch: '*' });
  });

  test('among what is no call', async () => {
    for (const body of [
      `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"password":"${canaries.plant('')}"`,
      `[1,{"password":"${canaries.plant('')}"}]`,
    ])
      keep(await post(gateway.mcp(), body, { key: tenant.userKey, recorded: false }).done);
  });
});

// A token of some kind, or a value under a name, wherever it may come.
const kinds = [
  (secret) => `Bearer ${secret}`,
  (secret) => `ghp_${secret}`,
  (secret) => `see glpat-${secret}, there`,
  (secret) => `tgk_AAAAAAAAAAAA_${secret}`,
  (secret) => `xoxb-1-${secret}`,
  (secret) => `eyJhbGciOiJub25lIn0.${secret}.`,
  (secret) => `postgres://ana:${secret}@db.example/x`,
  (secret) => `host=x password=${secret} user=y`,
  (secret) => `https://x.example/cb?access_token=${secret}&state=1`,
  (secret) => `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----`,
  (secret) => JSON.stringify({ deep: [{ client_secret: secret }] }),
];
let kind = 0;
const worded = () => kinds[kind++ % kinds.length](canaries.plant(''));

describe('secrets of peers', () => {
  const levels = ['redacted', 'metadata', 'full'];
  const schema = {
    type: 'object',
    $defs: { phrase: { format: 'password' } },
    properties: {
      phrase: { $ref: '#/$defs/phrase' },
      list: { type: 'array', items: { anyOf: [{ type: 'integer' }, { properties: { code: { writeOnly: true } } }] } },
    },
  };
  let told;
  let answer;

  before(async () => {
    told = await startTold({
      tools: [{ name: 'do', inputSchema: schema }],
      call: () => answer(),
    });
    for (const level of levels)
      await tenant.addConnection(level, told.url, { audit: { level, redact: ['nick', '*inner*'] } });
    ours = canaries.secrets.length;
  });
  after(() => told?.close());
  const call = (name, args, options) =>
    requestModern(gateway.mcp(), 'tools/call', { name, arguments: args }, { key: tenant.userKey, id: `"of-peer-${++n}"`, ...options });

  for (const level of levels)
    test(`in arguments and answers, at level ${level}`, async () => {
      const plant = () => canaries.plant();
      answer = () => text('done');
      for (const args of [
        { password: plant(), nested: { access_token: plant(), list: [{ client_secret: plant() }] } },
        { credentials: [plant(), [plant()], { user: plant() }] },
        { phrase: plant(), list: [{ code: plant() }, 1] },
        { nick: plant(), the_inner_thing: { x: [plant()] } },
        { [worded()]: 1, [`x ${worded()}`]: { y: 2 } },
        Object.fromEntries(kinds.map((_, at) => [`t${at}`, [`before ${worded()}`]])),
        { '\u0070assword': plant(), deep: JSON.stringify({ a: { token: canaries.plant('') } }) },
        { token: Number(canaries.keep(String(Math.random()).replace(/^0\.0*/, '').slice(0, 15))) },
      ])
        assert.equal((await call(`${level}__do`, args)).status, 200);
      // What an upstream says goes to its client as it is, and nowhere else.
      for (const make of [
        () => text(worded()),
        () => text('x', { isError: true, structuredContent: { token: plant() } }),
        () => ({ error: { code: -32050, message: `no, ${worded()}`, data: { secret: plant() } } }),
        () => text(worded(), { isError: true }),
      ]) {
        const given = make();
        answer = () => given;
        const reply = await call(`${level}__do`, {});
        assert.equal(reply.status, 200);
      }
      answer = () => text('done');
    });

  test('in names, ids, versions, methods and _meta', async () => {
    const url = gateway.mcp();
    const options = { key: tenant.userKey };
    const name = () => worded().replaceAll('\n', ' ');
    for (const tool of [name(), `redacted__${name()}`, `full__${name()}`])
      await call(tool, { password: canaries.plant() }, { headers: { 'mcp-name': `=?base64?${Buffer.from(tool).toString('base64')}?=` } });
    await requestModern(url, 'tools/call', { name: 'redacted__do', arguments: {} }, { ...options, id: JSON.stringify(worded()) });
    await requestModern(url, 'tools/call', { name: 'redacted__do', arguments: {} }, { ...options, id: JSON.stringify(`é ${worded()}`).replace('é', '\\u00e9') });
    await requestModern(url, `x/${worded()}`.replaceAll('\n', ' '), {}, options);
    const meta = { 'io.modelcontextprotocol/clientInfo': { name: worded(), version: worded() }, 'io.tollgate/purpose': worded(), 'example.com/token': canaries.plant(), traceparent: worded(), tracestate: `a=${canaries.plant('')}` };
    await requestModern(url, 'tools/call', { name: 'redacted__do', arguments: {} }, { ...options, meta });
    await requestModern(url, 'tools/list', {}, { ...options, meta: { ...meta, 'io.modelcontextprotocol/protocolVersion': worded() } });
    await post(url, message(0, 'initialize', { protocolVersion: worded(), capabilities: { x: canaries.plant() }, clientInfo: { name: worded(), version: worded() } }), options).done;
    await post(url, message(JSON.stringify(worded()), 'tools/call', { name: 7, arguments: { password: canaries.plant() } }), options).done;
  });

  test('in headers, paths and queries', async () => {
    const body = message(1, 'tools/list', {});
    for (const headers of [
      { 'user-agent': worded().replaceAll('\n', ' ') },
      { 'mcp-session-id': canaries.plant('') },
      { 'mcp-protocol-version': worded().replaceAll('\n', ' ') },
      { cookie: `session=${canaries.plant('')}` },
      { 'x-forwarded-for': canaries.plant(''), 'x-request-id': canaries.plant('') },
      { traceparent: `00-${canaries.plant('')}-01`, tracestate: canaries.plant('') },
      { 'mcp-method': worded().replaceAll('\n', ' '), 'mcp-name': canaries.plant('') },
      { origin: `https://${canaries.plant('')}.example` },
      { 'last-event-id': canaries.plant('') },
      { accept: canaries.plant(''), 'content-type': `text/${canaries.plant('')}` },
    ])
      await post(gateway.mcp(), body, { key: tenant.userKey, headers, recorded: false }).done;
    const base = gateway.dev.public_url;
    for (const path of [`/${canaries.plant('')}`, `/t/${canaries.plant('')}/mcp`, `/c/${canaries.plant('')}/mcp`, `/mcp?token=${canaries.plant('')}`, `/api/v1/connections/${canaries.plant('')}`, `/oauth/callback/${canaries.plant('')}?code=${canaries.plant('')}&state=${canaries.plant('')}&error_description=${canaries.plant('')}`])
      await request(base + path, { method: 'POST', body, headers: { authorization: `Bearer ${tenant.userKey}`, 'content-type': 'application/json' } });
  });

  test('in a session of the other era, and its notifications', async () => {
    const session = await openSession(gateway.mcp(), { key: tenant.userKey });
    await session.request('tools/call', { name: 'redacted__do', arguments: { api_key: canaries.plant(), note: worded() }, _meta: { progressToken: worded() } });
    await session.notify('notifications/cancelled', { requestId: worded(), reason: worded() });
    await session.request('logging/setLevel', { level: worded() });
    await session.request('completion/complete', { ref: { name: worded() } });
    // Answers to what a server may ask for: nobody asked.
    for (const result of [{ action: 'accept', content: { password: canaries.plant() } }, { role: 'assistant', content: { type: 'text', text: worded() } }])
      await post(gateway.mcp(), JSON.stringify({ jsonrpc: '2.0', id: 99, result }), { key: tenant.userKey, headers: session.headers, recorded: false }).done;
  });

  test('in calls by the admin API', async () => {
    const mcp = { key: tenant.userKey };
    await tenant.api('POST', '/tools/call', { name: 'redacted__do', arguments: { password: canaries.plant(), note: worded() } }, mcp);
    await tenant.api('POST', '/tools/call', { name: worded(), arguments: {} }, mcp);
    await tenant.api('POST', '/tools/call', { name: 'redacted__do', arguments: {}, [worded()]: 1 }, mcp);
    await tenant.api('POST', '/tools/call', `{"name":"x","password":"${canaries.plant('')}"`, mcp);
  });
});

describe('afterwards', () => {
  test('at least 60 came from peers alone, and the search finds every form', () => {
    assert.ok(ours >= 40, `${ours}`);
    assert.ok(canaries.secrets.length - ours >= 60, `${canaries.secrets.length - ours}`);
    const [secret] = canaries.secrets.filter((one) => one.startsWith(canaries.mark));
    for (const around of ['', 'a', 'ab', 'abc']) {
      const bytes = Buffer.from(`${around}${secret}${around}`);
      for (const text of [bytes.toString(), bytes.toString('hex'), bytes.toString('base64'), bytes.toString('base64url'), encodeURIComponent(bytes)])
        assert.equal(canaries.find({ here: text }).length, 1, text);
    }
    assert.ok(forms('/+').some(([, needle]) => needle === '%2F%2B'));
  });

  test('none stands anywhere', async () => {
    for (const route of ['/connections', '/connections/one', '/connections/one/status', '/connections/refused/status', '/connections/account', '/keys', '/users', '/tools', '/status'])
      await api('GET', route);
    const ops = await Promise.all(
      ['/metrics', '/readyz'].map(async (route) => (await fetch(`${gateway.dev.ops_url}${route}`)).text()),
    );
    // The book is written behind the calls.
    await eventually(async () => (await gateway.rows('WHERE request_id LIKE $1', ['"of-peer-%']))?.length >= 30);
    await eventually(async () => (await gateway.owner('SELECT 1 FROM audit.call_payloads')).length > 15);
    const places = {
      answers,
      operations: ops,
      log: logText(gateway),
      files: gatewayFiles(gateway),
      ...(await clusterFiles(gateway)),
      dump: await dump(gateway),
      statements: await statements(gateway),
      titles: titles(gateway),
    };
    assert.ok(places.files.length > 3, 'there is a spool');
    assert.ok(places.titles.length > 4, 'there are processes');
    assert.deepEqual(
      controls.find(places),
      ['answers', 'tables', 'wal', 'dump'].map((place) => `plain of ${controls.mark} in ${place}`),
    );
    assert.deepEqual(canaries.find(places), []);
  });
});
