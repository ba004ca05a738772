// SPDX-License-Identifier: Apache-2.0
//
// The book of a gateway that runs proves itself, and tells on whoever has changed it: the command as
// a person types it, on what real calls and changes have left.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { dispose, newDirectory, runCli, sql, start } from './lib/gateway.mjs';
import { requestModern } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
let owner;
let anchors;

const verify = async (...args) => {
  const reply = await runCli(['audit', 'verify', '--dir', gateway.directory, ...args], { deadline: 60000 });
  const json = args.includes('--json') && reply.stdout !== '' ? JSON.parse(reply.stdout) : undefined;
  return { ...reply, json };
};
const clean = async (...args) => {
  const reply = await verify('--json', ...args);
  assert.equal(reply.code, 0, reply.stdout + reply.stderr);
  assert.deepEqual([reply.json.ok, reply.json.findings, reply.json.first], [true, [], null]);
  return reply.json;
};
const one = async (text, values) => (await sql(owner, text, values))[0];

before(async () => {
  gateway = await start(newDirectory(), { args: ['--workers', '2'] });
  owner = gateway.dev.owner_database_url;
  anchors = path.join(gateway.directory, 'data', 'anchors.jsonl');
  for (let i = 0; i < 20; i++) {
    await requestModern(`${gateway.dev.public_url}/mcp`, 'tools/call', { name: 'clock__now', arguments: {} }, { key: gateway.dev.user_key });
  }
  // Events are sealed within 10 s, and a worker that is replaced anchors what it has.
  await eventually(async () => (await one('SELECT count(*)::int AS n FROM audit.admin_event_log WHERE seal_n IS NULL')).n === 0
    && (await one('SELECT count(*)::int AS n FROM audit.event_seals')).n > 0, { deadline: 15000 });
  for (const pid of gateway.pids ?? [gateway.dev.pid]) process.kill(pid, 'SIGHUP');
  await eventually(async () => (await one(`
    SELECT count(*)::int AS n FROM audit.call_log c WHERE NOT EXISTS (
      SELECT FROM audit.anchors a WHERE a.chain_id = c.chain_id AND a.last_seq >= c.chain_seq)`)).n === 0
    && fs.existsSync(anchors), { deadline: 30000 });
});

after(async () => {
  if (gateway) await dispose(gateway);
});

describe('a book that nobody has touched', () => {
  test('is what was written, for people and for programs', async () => {
    const json = await clean();
    assert.ok(json.links >= 20 && json.anchors >= 1 && json.events > 0, JSON.stringify(json));
    assert.equal(json.second_sink.unreadable, 0);
    assert.equal(json.second_sink.lacks, 0);
    const { code, stdout, stderr } = await verify();
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.match(stdout, /^\d+ links of \d+ chains, \d+ anchors\n/);
    assert.match(stdout, /nothing is wrong\n$/);
  });

  test('is so without the keyring too, by the public key', async () => {
    const shown = await verify('--show-public-key');
    assert.match(shown.stdout, /^[0-9a-f]{64}\n$/);
    const key = shown.stdout.trim();
    const run = (publicKey) => runCli(['audit', 'verify', '--database', owner, '--public-key', publicKey,
      '--anchors', anchors, '--json'], { env: { TOLLGATE_KEYRING_FILE: '/nowhere' } });
    const good = await run(key);
    assert.equal(good.code, 0, good.stdout + good.stderr);
    const other = await run('00'.repeat(32));
    assert.equal(other.code, 1);
    assert.equal(JSON.parse(other.stdout).first.problem, 'anchor_altered');
  });

  test('is so in part', async () => {
    const all = await clean();
    const later = await clean('--from', new Date(Date.now() + 86400000).toISOString());
    assert.equal(later.links, later.not_anchored);
    const earlier = await clean('--to', new Date().toISOString());
    assert.ok(earlier.links <= all.links);
  });
});

describe('a book that somebody has changed', () => {
  test('names the call', async () => {
    const row = await one('SELECT call_id, chain_id, chain_seq::int, tool FROM audit.call_log WHERE chain_seq = 2 LIMIT 1');
    await sql(owner, "UPDATE audit.call_log SET tool = 'clock__sleep' WHERE call_id = $1", [row.call_id]);
    const { code, json, stderr } = await verify('--json');
    assert.equal(code, 1);
    assert.equal(JSON.parse(stderr).error.code, 'tampered');
    assert.equal(json.ok, false);
    assert.equal(json.n_findings, 1);
    assert.equal(json.first.problem, 'altered');
    assert.deepEqual([json.first.call_id, json.first.chain, json.first.seq], [row.call_id, row.chain_id, row.chain_seq]);
    const text = await verify();
    assert.equal(text.code, 1);
    assert.ok(text.stderr.includes(row.call_id), text.stderr);
    await sql(owner, 'UPDATE audit.call_log SET tool = $2 WHERE call_id = $1', [row.call_id, row.tool]);
    await clean();
  });

  test('names the place of a call that is gone', async () => {
    const row = await one('SELECT call_id, chain_id, row_to_json(c)::text AS text FROM audit.call_log c WHERE chain_seq = 3 LIMIT 1');
    await sql(owner, 'DELETE FROM audit.call_log WHERE call_id = $1', [row.call_id]);
    const { code, json } = await verify('--json');
    assert.equal(code, 1);
    assert.deepEqual([json.first.problem, json.first.chain, json.first.seq], ['missing', row.chain_id, 3]);
    const columns = Object.keys(JSON.parse(row.text)).filter((name) => name !== 'is_error');
    await sql(owner, `INSERT INTO audit.call_log (${columns}) SELECT ${columns}`
      + ' FROM json_populate_record(NULL::audit.call_log, $1::json)', [row.text]);
    await clean();
  });

  test('names the events', async () => {
    await sql(owner, "UPDATE audit.admin_event_log SET actor = 'user:mallory' WHERE seal_n = 1");
    const { code, json } = await verify('--json');
    assert.equal(code, 1);
    const finding = json.findings.find(({ problem }) => problem === 'events_altered');
    assert.deepEqual([finding.name, finding.number], ['admin', 1]);
  });
});

describe('exit codes', () => {
  const run = (args, env) => runCli(['audit', 'verify', ...args], { env });

  test('say that it could not run, and why', async () => {
    const key = ['--public-key', 'ab'.repeat(32)];
    assert.equal((await run(['--public-key', 'ab'], {})).code, 2);
    assert.equal((await run([...key, '--database', owner, '--from', 'yesterday'], {})).code, 2);
    assert.equal((await run([...key, '--database', owner, '--anchors', '/nowhere'], {})).code, 2);
    assert.equal((await run([...key, '--database', 'host=/nowhere'], {})).code, 4);
    assert.equal((await run(['--database', owner], { TOLLGATE_KEYRING_FILE: '/nowhere' })).code, 78);
  });
});
