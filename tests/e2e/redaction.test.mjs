// SPDX-License-Identifier: Apache-2.0
//
// What the book keeps of a call: not its secrets, but digests by which equal ones are known; as much
// as its connection says; and payloads only sealed.

import assert from 'node:assert/strict';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { connectDatabase, dispose, newDirectory, start } from './lib/gateway.mjs';
import { requestModern } from './lib/raw.mjs';
import { startTold, text } from './lib/told_upstream.mjs';
import { eventually } from './lib/wait.mjs';

const cap = 256 * 1024;
const schema = {
  type: 'object',
  $defs: { phrase: { type: 'string', format: 'password' } },
  properties: {
    phrase: { $ref: '#/$defs/phrase' },
    users: { type: 'array', items: { anyOf: [{ type: 'null' }, { properties: { code: { type: 'integer', writeOnly: true } } }] } },
    note: { type: 'string' },
  },
};
let gateway;
let tenant;
let other;
let upstream;
let answer = () => text('done');

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('redact');
  other = await gateway.newTenant('other');
  upstream = await startTold({
    tools: [{ name: 'login', description: 'Marked arguments', inputSchema: schema }, { name: 'do', inputSchema: { type: 'object' } }],
    call: (...args) => answer(...args),
  });
  for (const [level, settings] of [
    ['plain', {}],
    ['extra', { audit: { redact: ['iban', '*pin*'] } }],
    ['metadata', { audit: { level: 'metadata' } }],
    ['full', { audit: { level: 'full' } }],
  ])
    await tenant.addConnection(level, upstream.url, settings);
  await other.addConnection('plain', upstream.url);
});

after(async () => {
  await upstream?.close();
  if (gateway) await dispose(gateway);
});

let n = 0;
// Makes a call; gives its answer and its row.
async function call(tool, args, { of = tenant, ...options } = {}) {
  const id = `"call-${++n}"`;
  const reply = await requestModern(gateway.mcp(), 'tools/call', { name: tool, arguments: args }, { key: of.userKey, id, ...options });
  const row = await eventually(async () => (await gateway.owner('SELECT * FROM audit.call_log WHERE request_id = $1', [id]))[0], { what: `the row of ${id}` });
  return { reply, row, args: row.arguments };
}

const digest = /^hmac:[0-9a-f]{16}$/;
// Of a tenant, by another hand: the pepper of the keyring is the key of keyring_mac.
async function digestOf(name, secret) {
  const { pepper } = JSON.parse(fs.readFileSync(`${gateway.directory}/keyring.json`, 'utf8'));
  const [{ id }] = await gateway.owner('SELECT id FROM tollgate.tenants WHERE name = $1', [name]);
  const hmac = (key, message) => createHmac('sha256', key).update(message).digest();
  return `hmac:${hmac(hmac(Buffer.from(pepper, 'base64url'), `tollgate audit digest 1${id}`), secret).subarray(0, 8).toString('hex')}`;
}

describe('arguments', () => {
  test('lose secrets by name, kind, noise and schema, and keep the rest', async () => {
    const { args, reply } = await call('plain__login', {
      phrase: 'correct horse',
      note: 'use ghp_0123456789abcdefghij for it',
      users: [null, { code: 4711, name: 'ana' }],
      deep: [{ api_key: 17, x: 1.50 }],
      url: 'https://ana:s3cret@example.com/x?access_token=abc&y=1',
      key: 'Zk3v9QpL2xTn8RbW4yHs6MdA',
      path: '/usr/lib/x86_64-linux-gnu/libssl.so.3',
    });
    assert.equal(reply.answer.result.content[0].text, 'done');
    assert.match(args.phrase, digest);
    assert.match(args.note, /^use hmac:[0-9a-f]{16} for it$/);
    assert.deepEqual(args.users[0], null);
    assert.match(args.users[1].code, digest);
    assert.equal(args.users[1].name, 'ana');
    assert.match(args.deep[0].api_key, digest);
    assert.equal(args.deep[0].x, 1.5);
    assert.match(args.url, /^https:\/\/hmac:[0-9a-f]{16}@example\.com\/x\?access_token=hmac:[0-9a-f]{16}&y=1$/);
    assert.match(args.key, digest);
    assert.equal(args.path, '/usr/lib/x86_64-linux-gnu/libssl.so.3');
    // The upstream got what was sent.
    assert.equal(upstream.calls.at(-1).arguments.phrase, 'correct horse');
  });

  test('equal secrets have one digest in a tenant, whatever the connection, and another elsewhere', async () => {
    const secret = 'open sesame';
    const one = (await call('plain__do', { password: secret })).args.password;
    const two = (await call('extra__do', { list: [{ client_secret: secret }] })).args.list[0].client_secret;
    const elsewhere = (await call('plain__do', { password: secret }, { of: other })).args.password;
    assert.equal(one, await digestOf(tenant.name, secret));
    assert.equal(two, one);
    assert.equal(elsewhere, await digestOf(other.name, secret));
    assert.notEqual(elsewhere, one);
  });

  test('further names are those of the connection', async () => {
    const given = { iban: 'DE02', card_pin: 1234, x: [{ IBAN: ['a'] }] };
    const { args } = await call('extra__do', given);
    assert.match(args.iban, digest);
    assert.match(args.card_pin, digest);
    assert.match(args.x[0].IBAN[0], digest);
    assert.deepEqual((await call('plain__do', given)).args, given);
  });
});

describe('other words of peers', () => {
  const secret = 'ghp_Zk3v9QpL2xTn8RbW4yHs6MdA';

  test('lose their secrets too', async () => {
    answer = () => ({ error: { code: -32050, message: `no access with ${secret} there` } });
    const { row, reply } = await call('plain__do', {}, { headers: { 'user-agent': `x/${secret}` }, meta: { 'io.modelcontextprotocol/clientInfo': { name: `c ${secret}`, version: secret } } });
    answer = () => text('done');
    assert.match(reply.text, new RegExp(secret)); // the client's own answer is not touched
    assert.equal(row.error_message, `no access with ${await digestOf(tenant.name, secret)} there`);
    assert.ok(!JSON.stringify(row).includes(secret));
  });

  test('in the name of a tool, a method, an id and a purpose', async () => {
    const id = JSON.stringify(`id ${secret}`);
    await requestModern(gateway.mcp(), 'tools/call', { name: secret, arguments: {} }, { key: tenant.userKey, id });
    await requestModern(gateway.mcp(), `x/${secret}`, {}, { key: tenant.userKey, id });
    const hidden = await digestOf(tenant.name, secret);
    const rows = await eventually(async () => {
      const found = await gateway.owner('SELECT * FROM audit.call_log WHERE request_id = $1', [`"id ${hidden}"`]);
      return found.length === 2 && found;
    });
    assert.deepEqual(rows.map(({ tool }) => tool).filter(Boolean), [hidden]);
    assert.ok(rows.some(({ method }) => method === `x/${hidden}`));
    assert.ok(!JSON.stringify(rows).includes(secret));
  });

  test('of who is not known there is no digest', async () => {
    const id = '"nobody"';
    await requestModern(gateway.mcp(), `x ${secret}`, {}, { key: 'wrong', id });
    const row = await eventually(async () => (await gateway.owner("SELECT * FROM audit.call_log WHERE outcome = 'unauthenticated' AND method LIKE 'x %'"))[0]);
    assert.equal(row.method, 'x [REDACTED]');
  });
});

describe('a level', () => {
  test('is that of the connection', async () => {
    for (const [connection, level, args] of [
      ['plain', 'redacted', { a: 1 }],
      ['metadata', 'metadata', null],
      ['full', 'full', { a: 1 }],
    ]) {
      const { row } = await call(`${connection}__do`, { a: 1 });
      assert.equal(row.audit_level, level);
      assert.deepEqual(row.arguments, args);
      assert.equal(row.request_bytes > 0, true);
      assert.equal(row.payload_digest === null, level !== 'full');
    }
    const { row } = await call('nothing__do', {});
    assert.equal(row.audit_level, null);
  });

  test('can be changed, and is shown to administrators', async () => {
    assert.deepEqual((await tenant.api('GET', '/connections/extra')).json.audit, { level: 'redacted', redact: ['iban', '*pin*'] });
    assert.deepEqual((await tenant.api('GET', '/connections/plain')).json.audit, { level: 'redacted', redact: [] });
    assert.equal((await tenant.api('GET', '/connections/plain', undefined, { key: tenant.userKey })).json.audit, undefined);
    const change = await tenant.api('PATCH', '/connections/extra', { audit: { level: 'metadata' } }, { ifMatch: true });
    assert.deepEqual(change.json.audit, { level: 'metadata', redact: ['iban', '*pin*'] });
    // It serves on: nothing that reaches the upstream has changed.
    await eventually(async () => (await call('extra__do', {})).row.audit_level === 'metadata');
    const env = { env: { TOLLGATE_KEY: tenant.adminKey } };
    const edit = await gateway.cli(['connections', 'edit', 'extra', '--audit-level', 'redacted', '--audit-redact', 'iban', '--output', 'json'], env);
    assert.equal(edit.code, 0, edit.stderr);
    assert.deepEqual(JSON.parse(edit.stdout).audit, { level: 'redacted', redact: ['iban'] });
    for (const [audit, pointer] of [
      [{ level: 'some' }, '/audit/level'],
      [{ redact: 'iban' }, '/audit/redact'],
      [{ redact: [1] }, '/audit/redact/0'],
      [{ more: 1 }, '/audit/more'],
      [3, '/audit'],
    ]) {
      const refused = await tenant.api('PATCH', '/connections/extra', { audit }, { ifMatch: true });
      assert.equal(refused.status, 400, refused.text);
      assert.equal(refused.json.pointer, pointer);
    }
  });
});

describe('a payload', () => {
  const payload = (id, options) => tenant.api('GET', `/audit/calls/${id}/payload`, undefined, options);

  test('is what went through, for administrators of the tenant', async () => {
    answer = () => text('the answer is ghp_abcdefgh1', { structuredContent: { token: 't0p' } });
    const given = { password: 'hunter2', a: 1.0 };
    const { row, reply, args } = await call('full__do', given);
    answer = () => text('done');
    assert.match(args.password, digest);
    const { status, json, text: shown } = await eventually(async () => {
      const found = await payload(row.call_id);
      return found.status === 200 && found.json.result && found;
    });
    assert.equal(status, 200, shown);
    assert.deepEqual(Object.keys(json), ['call_id', 'started_at', 'arguments', 'result']);
    assert.equal(json.call_id, row.call_id);
    assert.equal(Date.parse(json.started_at), row.started_at.getTime());
    assert.deepEqual(JSON.parse(json.arguments.text), given);
    assert.deepEqual(json.arguments, { bytes: json.arguments.text.length, truncated: false, text: json.arguments.text });
    assert.equal(json.result.text, reply.answerText);
    assert.equal(json.result.bytes, Buffer.byteLength(reply.answerText));
    assert.equal((await payload(row.call_id, { key: tenant.userKey })).status, 403);
    assert.equal((await payload(row.call_id, { key: other.adminKey })).status, 404);
    assert.equal((await gateway.api('GET', `/tenants/${tenant.name}/audit/calls/${row.call_id}/payload`)).json.arguments.text, json.arguments.text);
    const read = await gateway.owner(
      "SELECT outcome, actor, http_status FROM audit.admin_events WHERE action = 'payload.read' AND target = $1 ORDER BY event_id",
      [row.call_id],
    );
    assert.deepEqual(read.find(({ outcome }) => outcome === 'denied')?.http_status, 403);
    assert.ok(read.some(({ outcome, actor }) => outcome === 'ok' && actor === 'key:admin-key'));
    assert.equal((await payload((await call('plain__do', {})).row.call_id)).status, 404);
    assert.equal((await payload('nonsense')).status, 404);
  });

  test('lies sealed, with a digest in the row of the call', async () => {
    const { row } = await call('full__do', { password: 'hunter2' });
    const parts = await eventually(async () => {
      const found = await gateway.owner('SELECT * FROM audit.call_payloads WHERE call_id = $1 ORDER BY part', [row.call_id]);
      return found.length === 2 && found;
    });
    const sha256 = (bytes) => createHash('sha256').update(bytes).digest();
    assert.deepEqual(parts.map(({ part }) => part), ['arguments', 'result']);
    assert.deepEqual(sha256(Buffer.concat(parts.map(({ sealed }) => sha256(sealed)))), row.payload_digest);
    for (const { sealed } of parts) assert.ok(!sealed.includes('hunter2') && sealed[0] === 1);
    // One of another call, or of another size, does not open.
    await gateway.owner('UPDATE audit.call_payloads SET bytes = bytes + 1 WHERE call_id = $1', [row.call_id]);
    const spoilt = await payload(row.call_id);
    assert.equal(spoilt.status, 500);
    assert.ok(!spoilt.text.includes('hunter2'));
  });

  test('is cut between characters, and says how long it was', async () => {
    const long = 'ä'.repeat(cap);
    answer = () => text(long);
    const { row, reply } = await call('full__do', { long });
    answer = () => text('done');
    assert.equal(reply.answer.result.content[0].text, long);
    const { json } = await eventually(async () => {
      const found = await payload(row.call_id);
      return found.json?.result && found;
    });
    for (const part of [json.arguments, json.result]) {
      assert.equal(part.truncated, true);
      assert.ok(part.bytes > 2 * cap, `${part.bytes}`);
      assert.ok([cap, cap - 1].includes(Buffer.byteLength(part.text)), `${Buffer.byteLength(part.text)}`);
      assert.ok(part.text.endsWith('ä'));
    }
    assert.equal(json.result.bytes, Buffer.byteLength(reply.answerText));
  });

  test('is kept of refused calls of the connection too, but of no other', async () => {
    await tenant.api('PATCH', '/connections/full', { tools: { deny: ['do'] } }, { ifMatch: true });
    const { row } = await eventually(async () => {
      const found = await call('full__do', { a: 'refused' });
      return found.row.outcome === 'denied' && found;
    });
    const { json } = await eventually(async () => {
      const found = await payload(row.call_id);
      return found.json?.result && found;
    });
    assert.equal(json.arguments.text, '{"a":"refused"}');
    await tenant.api('PATCH', '/connections/full', { tools: { deny: [] } }, { ifMatch: true });
    const before = await gateway.owner('SELECT count(*)::int AS n FROM audit.call_payloads');
    await call('plain__do', {});
    assert.deepEqual(await gateway.owner('SELECT count(*)::int AS n FROM audit.call_payloads'), before);
  });

  test('stays readable when data keys are renewed', async () => {
    const { row } = await eventually(async () => {
      const found = await call('full__do', { secret: 'before' });
      return found.row.outcome === 'ok' && found;
    });
    const config = ['--config', `${gateway.directory}/tollgate.yaml`];
    const renewed = await gateway.cli(['keyring', 'rewrap', '--data-keys', ...(fs.existsSync(config[1]) ? config : [])], {
      env: { TOLLGATE_DATABASE_URL: gateway.dev.database_url, TOLLGATE_KEYRING_FILE: `${gateway.directory}/keyring.json` },
    });
    assert.equal(renewed.code, 0, renewed.stderr);
    const keys = await gateway.owner('SELECT max(dek_id)::int AS n FROM tollgate.data_keys k JOIN tollgate.tenants t ON t.id = k.tenant_id WHERE t.name = $1', [tenant.name]);
    assert.equal(keys[0].n, 2);
    assert.equal((await payload(row.call_id)).json.arguments.text, '{"secret":"before"}');
    const later = await call('full__do', { secret: 'after' });
    const { json } = await eventually(async () => {
      const found = await payload(later.row.call_id);
      return found.json?.result && found;
    });
    assert.equal(json.arguments.text, '{"secret":"after"}');
  });

  test('shows its size, and no bytes, to who reads by SQL', async () => {
    const role = `reader_${randomBytes(4).toString('hex')}`;
    const admin = gateway.dev.database_url.replace('tollgate_app', 'postgres');
    const client = await connectDatabase(admin);
    try {
      await client.query(`CREATE ROLE ${role}; GRANT audit_reader TO ${role}`);
      await client.query('INSERT INTO audit.reader_roles SELECT $1, id FROM tollgate.tenants WHERE name = $2', [role, tenant.name]);
      await client.query(`SET ROLE ${role}`);
      const { rows } = await client.query('SELECT part, bytes, truncated FROM audit.call_payloads');
      assert.ok(rows.length > 4);
      await assert.rejects(client.query('SELECT sealed FROM audit.call_payloads'), { code: '42501' });
      await client.query('RESET ROLE');
      await client.query('UPDATE audit.reader_roles SET tenant_id = (SELECT id FROM tollgate.tenants WHERE name = $2) WHERE role_name = $1', [role, other.name]);
      await client.query(`SET ROLE ${role}`);
      assert.equal((await client.query('SELECT part FROM audit.call_payloads')).rows.length, 0);
    } finally {
      await client.query(`RESET ROLE; DELETE FROM audit.reader_roles WHERE role_name = '${role}'; DROP ROLE ${role}`);
      await client.end();
    }
  });
});
