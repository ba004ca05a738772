// SPDX-License-Identifier: Apache-2.0
//
// What a machine that is no more has left: `tollgate spool show` and `tollgate spool drain`.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { connectDatabase, dispose, newDirectory, runCli, start } from './lib/gateway.mjs';
import { openSession } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

const nowhere = 'host=/nonexistent dbname=tollgate user=tollgate_audit_writer';

let gateway;
let upstream;
let saved; // the spool of a worker that was killed with its machine
const total = 5;

const show = async (directory) => {
  const { code, stdout, stderr } = await runCli(['spool', 'show', directory, '-o', 'json']);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
};
const drain = (directory, ...more) =>
  runCli(['spool', 'drain', directory, '--dir', gateway.directory, ...more], { deadline: 60000 });

// PostgreSQL takes no rows while the calls are made; then the spool is copied, as it lies on the
// disk of a machine that has lost its power.
before(async () => {
  gateway = await start(newDirectory(), { args: ['--workers', '1'] });
  upstream = await startFixture('legacy');
  const tenant = await gateway.newTenant('lost');
  await tenant.addConnection('old', upstream.url);
  const session = await openSession(gateway.mcp(), { key: tenant.userKey });
  saved = path.join(path.dirname(gateway.directory), 'saved');
  const holder = await connectDatabase(gateway.dev.owner_database_url);
  await holder.query('BEGIN');
  await holder.query('LOCK TABLE audit.call_log IN SHARE MODE');
  for (let at = 0; at < total; at++) {
    const params = { name: 'old__echo', arguments: { at } };
    assert.equal((await session.request('tools/call', params)).status, 200);
  }
  fs.cpSync(path.join(gateway.directory, 'data', 'spool-0'), saved, { recursive: true });
  await holder.end();
});
after(async () => {
  await upstream?.stop();
  if (gateway) await dispose(gateway);
});

describe('tollgate spool show', () => {
  test('says what a spool holds, and changes nothing', async () => {
    const first = await show(saved);
    assert.equal(first.in_use, false);
    assert.ok(first.rows >= total, JSON.stringify(first));
    assert.equal(first.open_intents, 0);
    assert.equal(first.unreadable, 0);
    assert.ok(first.records >= 2 * total);
    assert.match(first.oldest, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.deepEqual(await show(saved), first);
  });
  test('also of one that is in use', async () => {
    assert.equal((await show(path.join(gateway.directory, 'data', 'spool-0'))).in_use, true);
  });
  test('says where none is', async () => {
    for (const directory of [path.join(saved, 'missing'), gateway.directory]) {
      const { code, stderr } = await runCli(['spool', 'show', directory]);
      assert.equal(code, 2);
      assert.match(stderr, /No such file|no spool is there/);
    }
    assert.equal(fs.existsSync(path.join(saved, 'missing')), false);
  });
});

describe('tollgate spool drain', () => {
  test('leaves one alone that is in use', async () => {
    const { code, stderr } = await drain(path.join(gateway.directory, 'data', 'spool-0'));
    assert.equal(code, 1);
    assert.match(stderr, /is in use/);
  });
  test('says that the database does not answer, and keeps everything', async () => {
    const held = await show(saved);
    const { code, stderr } = await runCli(
      ['spool', 'drain', saved, '--stall', '1s', '--set', `drain_database_url=${nowhere}`],
      { deadline: 60000 },
    );
    assert.equal(code, 4, stderr);
    assert.match(stderr, /PostgreSQL takes no rows: 0 were taken/);
    assert.equal((await show(saved)).rows, held.rows);
  });
  test('brings each row to the book once', async () => {
    await eventually(async () => (await rowsOfCalls()).length === total, {
      deadline: 20000,
      what: 'the gateway has written them, too',
    });
    const { rows } = await show(saved);
    const { code, stdout, stderr } = await drain(saved, '-o', 'json');
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { rows, unknown: 0 });
    assert.equal((await rowsOfCalls()).length, total);
    assert.equal((await show(saved)).rows, 0);
  });
  test('may be said again', async () => {
    const { code, stdout } = await drain(saved, '-o', 'json');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(stdout), { rows: 0, unknown: 0 });
  });
  test('wants to know which database', async () => {
    const { code, stderr } = await runCli(['spool', 'drain', saved]);
    assert.equal(code, 2);
    assert.match(stderr, /drain_database_url is not set/);
  });
});

const rowsOfCalls = () =>
  gateway.owner("SELECT call_id FROM audit.call_log WHERE method = 'tools/call'");
