// SPDX-License-Identifier: Apache-2.0
//
// Processes come and go under load: workers are replaced, hang and die, the gateway restarts and
// drains, and its operations listener says so. On a gateway of its own.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { clients } from './lib/clients.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, start } from './lib/gateway.mjs';
import { compare, entriesOf, outcomesOf, record } from './lib/ledger.mjs';
import { scrape, valueOf } from './lib/metrics.mjs';
import { modernMeta, openSession, request, requestModern, startModern } from './lib/raw.mjs';
import { startServe } from './lib/serve.mjs';
import { eventually, within } from './lib/wait.mjs';

const version = '2026-07-28';
const reloads = 4;
const callsBetween = 40;

let gateway;
let tenant;
let fixture;
const servers = [];

before(async () => {
  gateway = await start(newDirectory(), { args: ['--workers', '2'] });
  fixture = await startFixture('modern');
  tenant = await gateway.newTenant('proc');
  const { host } = new URL(fixture.url);
  await gateway.must(
    200,
    'PATCH',
    `/tenants/${tenant.name}`,
    { egress: { allow: [host] } },
    { ifMatch: true },
  );
  await tenant.addConnection('up', fixture.url);
});

after(async () => {
  await Promise.all(servers.map((server) => server.stop()));
  await fixture?.stop();
  if (gateway) await dispose(gateway);
});

const serve = async (...args) => {
  const server = await startServe(gateway, ...args);
  servers.push(server);
  await callable(server.mcp());
  return server;
};

let nextId = 1;

// One tools/call through fetch, which keeps connections and uses them again. Throws unless it
// works; its row is owed either way.
async function call(url, tool = 'up__echo', args = {}, options = {}) {
  const id = `"fetch-${nextId++}"`;
  const params = JSON.stringify({ _meta: modernMeta(), name: tool, arguments: args });
  const entry = record({ url, key: tenant.userKey, method: 'tools/call', tool, id });
  entry.outcome = ['unknown', 'client_closed', 'drained', 'ok'];
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tenant.userKey}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': version,
      'mcp-method': 'tools/call',
      'mcp-name': tool,
      ...options.headers,
    },
    body: `{"jsonrpc":"2.0","id":${id},"method":"tools/call","params":${params}}`,
  });
  const text = await response.text();
  const answer = /"jsonrpc"/.test(text)
    ? JSON.parse(text.slice(text.lastIndexOf('{"jsonrpc"')))
    : {};
  entry.outcome = outcomesOf(response.status, answer);
  if (answer.result === undefined || answer.result.isError)
    throw new Error(`${response.status} ${text}`);
  return answer.result;
}

// One over a connection of its own, so that any worker may answer.
const echo = (url, args = {}) =>
  requestModern(
    url,
    'tools/call',
    { name: 'up__echo', arguments: args },
    { key: tenant.userKey },
  );

// Until calls work: a server that has just started has not read the catalog yet.
const callable = (url) =>
  eventually(
    async () => {
      const { answer } = await requestModern(url, 'tools/list', {}, { key: tenant.userKey });
      return answer.result?.tools.some((tool) => tool.name === 'up__echo');
    },
    { what: 'the tools are known', deadline: 10000 },
  );

const bookIsRight = () =>
  eventually(
    async () => {
      const problems = compare(entriesOf(gateway.directory), await gateway.rows());
      if (problems.length > 0)
        throw new Error(`${problems.length}: ${problems.slice(0, 5).join('\n')}`);
      return true;
    },
    { what: 'the book has exactly what was sent', deadline: 15000, every: 200 },
  );

// Calls without a pause until told to end, which gives how many there were, or throws as they did.
function load(n, one) {
  let running = true;
  let count = 0;
  const loops = Array.from({ length: n }, async (_, at) => {
    while (running) {
      await one(at);
      count++;
    }
  });
  const all = Promise.all(loops);
  all.catch(() => (running = false));
  return {
    count: () => count,
    end: async () => {
      running = false;
      await all;
      return count;
    },
  };
}

const pidsOf = (workers) => workers.map((worker) => worker.pid ?? worker).toSorted((a, b) => a - b);

// What the gateways say, each once.
const scrapeEach = () => Promise.all(gateway.each.map((one) => scrape(one.ops_url)));
const sumOf = (scraped, name, labels) =>
  scraped.reduce((sum, metrics) => sum + valueOf(metrics, name, labels), 0);

describe('/metrics', () => {
  test('are the sums of all workers, whichever answers', async () => {
    const calls = 24;
    for (let at = 0; at < calls; at++) await echo(gateway.mcp());
    const labels = { tenant: tenant.name, connection: 'up', outcome: 'ok' };
    for (let at = 0; at < 8; at++) {
      const scraped = await scrapeEach();
      assert.equal(sumOf(scraped, 'tollgate_tool_calls_total', labels), calls);
      assert.equal(
        sumOf(scraped, 'mcp_server_operation_duration_seconds', {
          tenant: tenant.name,
          mcp_method_name: 'tools/call',
          le: '+Inf',
        }),
        calls,
      );
      // One node watches it and says so.
      assert.equal(sumOf(scraped, 'tollgate_connection_up', { tenant: tenant.name }), 1);
      for (const metrics of scraped) {
        assert.equal(valueOf(metrics, 'tollgate_db_up'), 1);
        assert.equal(valueOf(metrics, 'tollgate_inflight_requests'), 0);
        assert.equal(valueOf(metrics, 'tollgate_workers', { state: 'serving' }), 2);
        assert.equal(metrics.get('tollgate_build_info').samples.length, 1);
      }
    }
    await eventually(
      async () => {
        const scraped = await scrapeEach();
        const [{ n }] = await gateway.owner('SELECT count(*)::int AS n FROM audit.call_log');
        return (
          sumOf(scraped, 'tollgate_audit_written_total') === n &&
          sumOf(scraped, 'tollgate_audit_queue_length') === 0
        );
      },
      { what: 'what was written is what is there' },
    );
  });

  test('count what the HTTP server refuses', async () => {
    const refused = async (reason) =>
      sumOf(await scrapeEach(), 'tollgate_http_refused_total', { reason });
    await request(gateway.mcp(), {
      method: 'POST',
      headers: { 'content-length': String(1 << 30) },
      body: 'x',
    }).catch(() => {});
    assert.equal(await refused('too_large'), 1);
    await request(gateway.mcp(), { headers: { 'x-folded': 'a\r\n b' } }).catch(() => {});
    await request(gateway.mcp(), { method: 'POST', headers: { 'content-length': 'x' } }).catch(
      () => {},
    );
    assert.ok((await refused('malformed')) + (await refused('framing')) >= 1);
  });

  test('are those that docs/operations.md lists', async () => {
    const document = fs.readFileSync(
      path.join(import.meta.dirname, '../../docs/operations.md'),
      'utf8',
    );
    const row = /^\| `((?:tollgate|mcp)_\w+)` \| (\w+) \| (.*) \| (.*) \|$/gm;
    const listed = [...document.matchAll(row)];
    const metrics = await scrape(gateway.dev.ops_url);
    assert.deepEqual(
      listed.map(([, name, type, , help]) => [name, type, help]),
      [...metrics.values()].map(({ name, type, help }) => [name, type, help]),
    );
    for (const [, name, , labels] of listed) {
      const known = [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label);
      for (const sample of metrics.get(name).samples)
        for (const label of Object.keys(sample.labels))
          assert.ok(label === 'le' || known.includes(label), `${name}: ${label}`);
    }
  });
});

describe('a rolling restart', () => {
  test('under load fails no call, and counters go on', async () => {
    const sdk = await Promise.all(
      clients.map((client) => client.connect({ url: gateway.mcp(), key: tenant.userKey })),
    );
    const before = pidsOf(await gateway.workers());
    // Answers whole and streamed, the latter over reloads.
    const byFetch = load(6, (at) =>
      at < 3
        ? call(gateway.mcp())
        : call(gateway.mcp(), 'up__progress', { steps: 4, ms: 50 }),
    );
    const bySdk = load(sdk.length, (at) => sdk[at].callTool('up__echo', {}));
    let last = 0;
    for (let at = 0; at < reloads; at++) {
      const reloaded = (scraped) =>
        sumOf(scraped, 'tollgate_worker_restarts_total', { reason: 'reload' });
      const atLeast = byFetch.count() + callsBetween;
      for (const pid of gateway.pids) process.kill(pid, 'SIGHUP');
      await eventually(
        async () => {
          const scraped = await scrapeEach();
          const calls = sumOf(scraped, 'tollgate_tool_calls_total', { tenant: tenant.name });
          assert.ok(calls >= last, `${calls} after ${last}`);
          last = calls;
          return reloaded(scraped) === 2 * gateway.each.length * (at + 1);
        },
        { what: `reload ${at + 1}`, deadline: 15000 },
      );
      await eventually(() => byFetch.count() >= atLeast, { what: 'calls go on', deadline: 15000 });
    }
    const done = (await byFetch.end()) + (await bySdk.end());
    await Promise.all(sdk.map((client) => client.close()));
    assert.ok(done >= reloads * callsBetween, `${done} calls`);
    const after = pidsOf(await gateway.workers());
    assert.ok(before.every((pid) => !after.includes(pid)));
    await eventually(
      async () => {
        const scraped = await scrapeEach();
        return sumOf(scraped, 'tollgate_workers', { state: 'draining' }) === 0;
      },
      { what: 'all old workers have gone', deadline: 15000 },
    );
    await bookIsRight();
  });

  test('takes a configuration that is right, and of a wrong one nothing', async () => {
    const file = path.join(path.dirname(gateway.directory), 'max-body');
    fs.writeFileSync(file, '100000\n');
    const server = await serve('reload', { TOLLGATE_MAX_BODY_BYTES_FILE: file });
    const text = 'x'.repeat(50000);
    const large = async () => (await echo(server.mcp(), { text })).status;
    const success = async () =>
      valueOf(await scrape(server.opsUrl), 'tollgate_config_last_reload_successful');
    const before = pidsOf(server.workers());
    assert.equal(await large(), 200);
    assert.equal(await success(), 1);
    fs.writeFileSync(file, 'many\n');
    server.kill('SIGHUP');
    await eventually(async () => (await success()) === 0, { what: 'it is refused' });
    assert.deepEqual(pidsOf(server.workers()), before);
    assert.match(fs.readFileSync(server.log, 'utf8'), /the reload has failed: TOLLGATE_MAX_BODY_BYTES_FILE: max_body_bytes: must be a whole number/);
    assert.equal(await large(), 200);
    fs.writeFileSync(file, '20000\n');
    server.kill('SIGHUP');
    await eventually(async () => (await success()) === 1, { what: 'it is taken', deadline: 10000 });
    const refused = await request(server.mcp(), {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.userKey}`, 'content-type': 'application/json' },
      body: text,
    });
    assert.equal(refused.status, 413);
    await call(server.mcp());
    assert.equal(await server.stop(), 0);
  });
});

describe('a worker that is stopped', () => {
  test('is replaced by the watchdog; nothing but the calls that it had fails', async () => {
    const server = await serve('watchdog', { TOLLGATE_WATCHDOG_TIMEOUT: '2s' });
    const [victim] = server.workers();
    const held = Array.from({ length: 8 }, (_, at) =>
      startModern(
        server.mcp(),
        'tools/call',
        { name: 'up__sleep', arguments: { ms: 6000, nonce: `watched ${at}` } },
        { key: tenant.userKey, id: 100 + at },
      ).done.then(
        (reply) => (reply.answer?.result ? 'ok' : `${reply.status}`),
        (problem) => problem.code ?? problem.message,
      ),
    );
    for (let at = 0; at < held.length; at++) await fixture.running(`watched ${at}`);
    assert.equal(valueOf(await scrape(server.opsUrl), 'tollgate_inflight_requests'), 8);
    process.kill(victim, 'SIGSTOP');
    await eventually(() => !server.workers().includes(victim), {
      what: 'it is killed',
      deadline: 10000,
    });
    await eventually(async () => (await server.ready()).status === 200, {
      what: 'ready again',
      deadline: 5000,
    });
    const ends = await Promise.all(held);
    const broken = ['ECONNRESET', 'socket hang up'];
    assert.ok(
      ends.every((end) => end === 'ok' || broken.includes(end)),
      `${ends}`,
    );
    for (let at = 0; at < 16; at++) assert.equal((await echo(server.mcp())).status, 200);
    const metrics = await scrape(server.opsUrl);
    assert.equal(valueOf(metrics, 'tollgate_worker_restarts_total', { reason: 'watchdog' }), 1);
    await bookIsRight();
    const unknown = await gateway.rows("WHERE outcome = 'unknown' AND tool = 'up__sleep'");
    assert.equal(unknown.length, ends.filter((end) => end !== 'ok').length);
    assert.equal(await server.stop(), 0);
  });
});

describe('a restart of the whole gateway', () => {
  test('is not noticed by clients that have sessions', async () => {
    const server = await serve('restart', { TOLLGATE_DRAIN_TIMEOUT: '1s' });
    const options = { url: server.mcp(), key: tenant.userKey };
    const sdk = await Promise.all(clients.map((client) => client.connect(options)));
    const session = await openSession(server.mcp({ connection: 'up' }), { key: tenant.userKey });
    for (const client of sdk) await client.callTool('up__echo', { before: true });
    assert.equal(await server.stop(), 0);
    await server.start();
    const since = sdk.map((client) => client.received.length);
    for (const [at, client] of sdk.entries()) {
      const result = await client.callTool('up__echo', { again: true });
      assert.deepEqual(result.structuredContent, { again: true });
      const came = client.received.slice(since[at]).join();
      assert.doesNotMatch(came, /protocolVersion/, `${client.name} initialized again`);
    }
    const again = await session.request('tools/call', { name: 'echo', arguments: { n: 1 } });
    assert.deepEqual(again.answer.result.structuredContent, { n: 1 });
    await Promise.all(sdk.map((client) => client.close()));
    assert.equal(await server.stop(), 0);
    await bookIsRight();
  });

  test('is announced by /readyz while everybody is still served', async () => {
    const server = await serve('announced', { TOLLGATE_DRAIN_DELAY: '2s' });
    const running = load(3, () => call(server.mcp()));
    server.kill('SIGTERM');
    const { status, json } = await eventually(
      async () => {
        const reply = await server.ready();
        return reply.status === 503 && reply;
      },
      { what: '/readyz says no' },
    );
    assert.equal(status, 503);
    assert.equal(json.status, 'draining');
    assert.equal(json.checks.draining, 'the gateway is stopping');
    // A connection of its own, as a client that nobody has told.
    const late = await echo(server.mcp());
    assert.ok(late.answer.result);
    await running.end();
    assert.equal(await server.ended, 0);
  });

  test('ends a stream that outlasts the drain timeout as drained', async () => {
    const server = await serve('drain', { TOLLGATE_DRAIN_TIMEOUT: '1s' });
    const started = Promise.withResolvers();
    const held = startModern(
      server.mcp(),
      'tools/call',
      { name: 'up__hold', arguments: { nonce: 'drained' } },
      {
        key: tenant.userKey,
        meta: { progressToken: 'p' },
        onmessage: () => started.resolve(),
        recorded: { outcome: ['drained'] },
      },
    );
    const quick = startModern(
      server.mcp(),
      'tools/call',
      { name: 'up__sleep', arguments: { ms: 500 } },
      { key: tenant.userKey },
    );
    await within(started.promise, 5000, 'the stream has begun');
    server.kill('SIGTERM');
    assert.equal((await quick.done).answer.result.content[0].text, 'slept');
    const reply = await within(held.done, 5000, 'the stream ends');
    assert.equal(reply.answer.error.message, 'the gateway is stopping');
    assert.equal(await server.ended, 0);
    await bookIsRight();
  });
});
