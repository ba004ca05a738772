// SPDX-License-Identifier: Apache-2.0
//
// The development start: how fast, what it leaves in its directory, what it costs while nothing
// happens, and that nothing stays behind.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { freePort, startFixture } from './lib/fixtures.mjs';
import {
  allProcesses,
  attach,
  dispose,
  lives,
  newDirectory,
  runCli,
  start,
  unlessSpread,
} from './lib/gateway.mjs';
import { openSession, requestModern } from './lib/raw.mjs';
import { startBeside } from './lib/second.mjs';
import { eventually, pause } from './lib/wait.mjs';

const firstStart = 5000;
const nextStart = 1000;
const idleSeconds = Number(process.env.TOLLGATE_E2E_IDLE_SECONDS ?? 60);
const idleShare = 0.001;

let gateway;
let fixture;
const directory = newDirectory();

before(async () => {
  fixture = await startFixture('legacy');
});
after(async () => {
  await fixture.stop();
  if (gateway) await dispose(gateway);
});

const status = async (url) => (await fetch(url)).status;

describe('tollgate dev', () => {
  test(`is ready within ${firstStart} ms on its first start`, async () => {
    gateway = await start(directory, { deadline: firstStart });
    const listed = await requestModern(
      gateway.mcp(),
      'tools/list',
      {},
      { key: gateway.dev.user_key },
    );
    assert.equal(listed.status, 200);
  });

  test('says in dev.json, for its owner only, where everything is', async () => {
    const file = path.join(directory, 'dev.json');
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const { dev } = gateway;
    for (const name of [
      'public_url',
      'mcp_url',
      'key_url',
      'ops_url',
      'api_url',
      'admin_key',
      'user_key',
      'tenant',
      'database_url',
      'audit_database_url',
      'owner_database_url',
    ])
      assert.equal(typeof dev[name], 'string', name);
    assert.equal(dev.tenant, 'demo');
    assert.equal(dev.mcp_url, `${dev.public_url}/mcp`);
    assert.equal(dev.api_url, `${dev.public_url}/api/v1`);
    assert.doesNotMatch(dev.key_url, /\d\/./, 'key_url has no path');
    assert.notEqual(dev.admin_key, dev.user_key);
    assert.ok(
      allProcesses().some((one) => one.pid === dev.pid && one.command.startsWith('tollgate')),
    );
  });

  test('offers its sample upstream in both eras', async () => {
    const key = gateway.dev.user_key;
    await gateway.listed(gateway.dev.admin_key, 'clock');
    const now = await requestModern(
      gateway.mcp(),
      'tools/call',
      { name: 'clock__now', arguments: {} },
      { key },
    );
    assert.ok(Math.abs(Date.parse(now.answer.result.content[0].text) - Date.now()) < 60_000);
    const session = await openSession(gateway.mcp({ connection: 'clock' }), { key });
    const slept = await session.request('tools/call', {
      _meta: { progressToken: 't' },
      name: 'sleep',
      arguments: { ms: 50 },
    });
    assert.equal(slept.answer.result.isError ?? false, false);
    assert.ok(slept.messages.some((text) => text.includes('notifications/progress')));
  });

  test('serves what its listeners are for, and nothing else', async () => {
    const { dev } = gateway;
    for (const probe of ['/livez', '/readyz', '/healthz'])
      assert.equal(await status(dev.ops_url + probe), 200, probe);
    assert.equal(await status(`${dev.ops_url}/mcp`), 404);
    assert.equal(await status(`${dev.key_url}/api/v1/connections`), 404);
    assert.equal(await status(`${dev.public_url}/livez`), 404);
    assert.equal(await status(`${dev.api_url}/connections`), 401);
  });

  test('does not start twice on one directory', async () => {
    const second = await runCli(['dev', '--dir', directory, '--port', '0'], { deadline: 10000 });
    assert.ok(second.code > 0, `${second.code}`);
    assert.match(second.stderr, /already|lock|use/i);
    assert.equal(attach(directory).pid, gateway.pid, 'dev.json is still that of the first');
    assert.equal(await status(`${gateway.dev.ops_url}/readyz`), 200);
  });

  test('beside another serves what that one does, without a PostgreSQL of its own', async () => {
    const second = gateway.each[1] ? undefined : await startBeside(directory, { workers: 1 });
    try {
      const dev = second?.dev ?? gateway.each[1];
      const { user_key: key, database_url: database, admin_key: adminKey } = gateway.dev;
      assert.deepEqual([dev.user_key, dev.admin_key, dev.database_url], [key, adminKey, database]);
      assert.notEqual(dev.public_url, gateway.each[0].public_url);
      const url = `${dev.public_url}/mcp`;
      const reply = await requestModern(url, 'tools/call', { name: 'clock__now' }, { key });
      assert.equal(reply.answer.result.isError ?? false, false, reply.text);
      const postgres = gateway.processes().filter((one) => one.command === 'postgres');
      const isBackend = (one) => postgres.some((other) => other.pid === one.parent);
      assert.equal(postgres.filter((one) => !isBackend(one)).length, 1);
    } finally {
      if (second) assert.equal(await second.stop(), 0);
    }
  });

  test('beside nothing says so', async () => {
    const other = newDirectory();
    const beside = (where, ...more) =>
      runCli(['dev', '--dir', other, '--port', '0', '--beside', where, ...more]);
    try {
      for (const [code, pattern, ...args] of [
        [2, /--beside: .*gone: no usable directory/, `${other}-gone`],
        [2, /cannot be beside itself/, other],
        [2, /--beside or --reset, not both/, directory, '--reset'],
        [1, /no development gateway is ready in/, path.dirname(other)],
      ]) {
        const { code: got, stderr } = await beside(...args);
        assert.match(stderr, pattern);
        assert.equal(got, code, stderr);
      }
    } finally {
      fs.rmSync(path.dirname(other), { recursive: true, force: true });
    }
  });

  test(`is ready within ${nextStart} ms on the next, keys and connections kept, whatever the upstreams do`, async () => {
    const key = gateway.dev.admin_key;
    const hanging = await startFixture('legacy', { mode: 'hang' });
    const add = (name, url) => gateway.must(201, 'POST', '/connections', { name, url });
    await add('steady', fixture.url);
    await add('dead', `http://127.0.0.1:${await freePort()}/mcp`);
    await add('hanging', hanging.url);
    await gateway.listed(key, 'steady');
    await gateway.stop();
    const again = await start(directory, { deadline: nextStart });
    try {
      assert.equal(again.dev.admin_key, key);
      assert.equal(again.dev.user_key, gateway.dev.user_key);
      gateway = again;
      const { answer } = await requestModern(
        gateway.mcp(),
        'tools/call',
        { name: 'steady__echo', arguments: {} },
        { key: gateway.dev.user_key },
      );
      assert.equal(answer.result.content[0].text, '{}');
    } finally {
      gateway = again;
      await hanging.stop();
    }
    for (const name of ['dead', 'hanging'])
      await gateway.must(204, 'DELETE', `/connections/${name}`, undefined, { ifMatch: true });
  });
});

// Nanoseconds on a CPU of all threads of a process.
function cpuOf(pid) {
  const tasks = fs.readdirSync(`/proc/${pid}/task`);
  return tasks
    .map((task) =>
      Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    )
    .reduce((a, b) => a + b, 0);
}

const idle = `idle costs at most ${idleShare * 100} % of a core over ${idleSeconds} s`;
test(idle, unlessSpread('what one costs is measured'), async (t) => {
  const ours = () => gateway.processes().filter((one) => one.command.startsWith('tollgate'));
  // What the start has left to do (its own events get their links in the book) is not idleness.
  await eventually(
    async () => {
      const [{ n }] = await gateway.owner(
        `SELECT count(*)::int AS n FROM audit.admin_event_log e WHERE NOT EXISTS (
           SELECT FROM audit.event_seals s
           WHERE s.source = 'admin' AND e.seal_n BETWEEN s.first_n AND s.last_n)`,
      );
      return n === 0;
    },
    { deadline: 20000, what: 'the events of the start are links of the book' },
  );
  const before = ours();
  const spent = new Map(before.map((one) => [one.pid, cpuOf(one.pid)]));
  const children = new Map(before.map((one) => [one.pid, one.children]));
  assert.ok(before.length >= 3, 'supervisor and two workers');
  const from = process.hrtime.bigint();
  await pause(idleSeconds * 1000);
  const elapsed = Number(process.hrtime.bigint() - from);
  const now = ours();
  assert.deepEqual(now.map((one) => one.pid).toSorted(), before.map((one) => one.pid).toSorted());
  for (const one of now)
    assert.equal(one.children, children.get(one.pid), 'nothing was started and ended');
  const used = now.map((one) => [one.command, one.pid, cpuOf(one.pid) - spent.get(one.pid)]);
  const share = used.reduce((sum, [, , ns]) => sum + ns, 0) / elapsed;
  t.diagnostic(
    `${(share * 100).toFixed(4)} % of a core: ${used.map(([name, pid, ns]) => `${name} ${pid} ${(ns / 1e6).toFixed(1)} ms`).join(', ')}`,
  );
  assert.ok(share <= idleShare, `${(share * 100).toFixed(4)} % of a core`);
});

describe('stopping', () => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    test(`with ${signal} leaves no process and no port`, async () => {
      const all = gateway.processes();
      assert.ok(
        all.some((one) => one.command.startsWith('postgres')),
        'its Postgres is among them',
      );
      const { child } = gateway;
      const code = new Promise((resolve) => child.on('exit', resolve));
      for (const pid of gateway.pids) process.kill(pid, signal);
      assert.equal(await code, 0);
      await gateway.stop();
      await eventually(() => !all.some(lives), {
        deadline: 10000,
        what: `all of ${all.length} processes end`,
      });
      assert.deepEqual(gateway.processes(), []);
      for (const { public_url: url, key_url: keyUrl, ops_url: opsUrl } of gateway.each)
        for (const gone of [url, keyUrl, opsUrl]) await assert.rejects(fetch(gone));
      gateway = await start(directory, { deadline: nextStart + 2000 });
    });
  }

  test('even after its processes were killed, the next start works and nothing is left', async () => {
    const all = gateway.processes();
    for (const pid of gateway.pids) process.kill(pid, 'SIGKILL');
    await eventually(() => !all.some((one) => one.command.startsWith('tollgate') && lives(one)), {
      deadline: 10000,
      what: 'workers end with their supervisor',
    });
    await gateway.stop();
    gateway = await start(directory, { deadline: firstStart });
    await gateway.listed(gateway.dev.admin_key, 'clock');
    const listed = await requestModern(
      gateway.mcp(),
      'tools/list',
      {},
      { key: gateway.dev.user_key },
    );
    assert.equal(listed.status, 200);
  });

  test('a chosen port gives the three listeners in a row', async () => {
    const kept = gateway;
    await kept.stop();
    const port = 20000 + Math.floor(Math.random() * 10000);
    gateway = await start(directory, { args: ['--port', String(port)] });
    const [first] = gateway.each;
    assert.equal(new URL(first.public_url).port, String(port));
    assert.equal(new URL(first.key_url).port, String(port + 1));
    assert.equal(new URL(first.ops_url).port, String(port + 2));
    const other = newDirectory();
    const busy = await runCli(['dev', '--dir', other, '--port', String(port)], { deadline: 15000 });
    await runCli(['dev', '--dir', other, '--reset']);
    fs.rmSync(path.dirname(other), { recursive: true, force: true });
    assert.ok(busy.code > 0);
    assert.match(busy.stderr, new RegExp(`${port}`));
  });
});
