// SPDX-License-Identifier: Apache-2.0
//
// The record through the admin API and the command line: every filter on every route, pages while
// rows arrive, who sees what, tails over two workers, exports of any size, and what is cut.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { connectDatabase, dispose, newDirectory, start, unlessSpread } from './lib/gateway.mjs';
import { requestModern } from './lib/raw.mjs';
import { eventually, pause, within } from './lib/wait.mjs';
import { connectAll } from './lib/workers.mjs';

const nobody = '00000000-0000-0000-0000-000000000000';
// In full: TOLLGATE_E2E_ROWS=100000, or more; the memory is the same.
const many = Number(process.env.TOLLGATE_E2E_ROWS ?? 25_000);
const growthBytes = 16 * 1024 * 1024;

let gateway;
let a;
let b;
let users; // of tenant a: {ana, ben}: ids
let benKey;
let serviceKey;

before(async () => {
  gateway = await start(newDirectory(), {
    args: ['--workers', '2'],
    // What a sanitizer keeps of freed memory is not what is measured here.
    env: { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=4` },
  });
  [a, b] = [await gateway.newTenant('book'), await gateway.newTenant('other')];
  await a.must(201, 'POST', '/users', { name: 'ben' });
  benKey = (await gateway.newKey(a.name, { name: 'ben-key', user: 'ben' })).key;
  serviceKey = (await gateway.newKey(a.name, { name: 'robot', role: 'user' })).key;
  for (const tenant of [a, b])
    [{ id: tenant.id }] = await gateway.owner('SELECT id FROM tollgate.tenants WHERE name = $1', [
      tenant.name,
    ]);
  users = Object.fromEntries(
    (await gateway.owner('SELECT name, id FROM tollgate.users WHERE tenant_id = $1', [a.id])).map(
      ({ name, id }) => [name, id],
    ),
  );
});

after(async () => {
  if (gateway) await dispose(gateway);
});

// --- rows ----------------------------------------------------------------------------------------

const uuid7 = (ms) => {
  const hex = Math.floor(ms).toString(16).padStart(12, '0');
  const rest = randomBytes(10).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8)}-7${rest.slice(0, 3)}-8${rest.slice(3, 6)}-${rest.slice(6, 18)}`;
};

const minutesAgo = (minutes) => Date.now() - minutes * 60_000;

// Rows as the drain would have written them; what is not said has a default.
function rowOf({ at = minutesAgo(5), tenant = a, ...row }) {
  return {
    started_at: new Date(at).toISOString(),
    tenant_id: tenant?.id ?? nobody,
    tenant: tenant?.name ?? null,
    call_id: uuid7(at),
    method: 'tools/call',
    outcome: 'ok',
    duration_ms: 10,
    ...row,
  };
}

async function store(rows, run = (text, values) => gateway.owner(text, values)) {
  await run(
    `INSERT INTO audit.call_log (started_at, tenant_id, tenant, user_id, user_name, client, connection,
       tool, method, outcome, duration_ms, error_message, persona, purpose, arguments, session_id,
       source_ip, api_key, trace_id, n_calls, call_id)
     SELECT started_at, tenant_id, tenant, user_id, user_name, client, connection, tool, method, outcome,
       duration_ms, error_message, persona, purpose, arguments, session_id, source_ip, api_key, trace_id,
       coalesce(n_calls, 1), call_id
     FROM json_populate_recordset(NULL::audit.call_log, $1)`,
    [JSON.stringify(rows)],
  );
  return rows;
}

const ids = (rows) => rows.map((row) => row.call_id).toSorted();

// --- asking --------------------------------------------------------------------------------------

const ask = async (route, options = {}) =>
  gateway.api('GET', route, undefined, { key: a.adminKey, ...options });
async function get(route, options) {
  const reply = await ask(route, options);
  assert.equal(reply.status, 200, `${route}: ${reply.text}`);
  return reply.json;
}
const query = (parameters) => new URLSearchParams(parameters).toString();
const lines = (text) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

// How many calls each route says there are, by these parameters.
const counts = {
  calls: async (parameters, options) => {
    let n = 0;
    let cursor;
    do {
      const page = await get(
        `/audit/calls?${query({ ...parameters, ...(cursor && { cursor }), limit: 200 })}`,
        options,
      );
      n += page.items.length;
      cursor = page.next;
    } while (cursor);
    return n;
  },
  stats: async (parameters, options) =>
    (await get(`/audit/stats?${query(parameters)}`, options)).total,
  timeseries: async (parameters, options) =>
    (await get(`/audit/timeseries?${query(parameters)}`, options)).items.reduce(
      (n, { total }) => n + total,
      0,
    ),
  breakdown: async (parameters, options) =>
    (await get(`/audit/breakdown?${query({ ...parameters, by: 'method' })}`, options)).items.reduce(
      (n, { total }) => n + total,
      0,
    ),
  percentiles: async (parameters, options) =>
    (await get(`/audit/percentiles?${query(parameters)}`, options)).duration_ms.n,
  export: async (parameters, options) =>
    lines((await ask(`/audit/export?${query(parameters)}`, options)).text).length,
};

describe('filters', () => {
  const trace = randomBytes(16).toString('hex');
  let seeded;
  const cases = [
    ['user', 'zoe', (row) => row.user_name === 'zoe'],
    ['tool', 'crm__get', (row) => row.tool === 'crm__get'],
    ['connection', 'crm', (row) => row.connection === 'crm'],
    ['method', 'tools/list', (row) => row.method === 'tools/list'],
    ['outcome', 'denied', (row) => row.outcome === 'denied'],
    ['outcome', 'denied,timeout', (row) => ['denied', 'timeout'].includes(row.outcome)],
    ['error', 'true', (row) => !['ok', 'cancelled'].includes(row.outcome)],
    ['error', 'false', (row) => ['ok', 'cancelled'].includes(row.outcome)],
    ['session', 's-1', (row) => row.session_id === 's-1'],
    ['client', 'codex', (row) => row.client?.startsWith('codex/')],
    ['client', 'codex/1.2', (row) => row.client === 'codex/1.2'],
    ['persona', 'analyst', (row) => row.persona === 'analyst'],
    ['api_key', 'ci', (row) => row.api_key === 'ci'],
    ['source_ip', '10.1.2.3', (row) => row.source_ip === '10.1.2.3'],
    ['source_ip', '10.1.0.0/16', (row) => row.source_ip?.startsWith('10.1.')],
    ['source_ip', '2001:db8::/32', (row) => row.source_ip?.startsWith('2001:db8:')],
    ['trace_id', trace, (row) => row.trace_id === trace],
    ['min_duration', '1s', (row) => row.duration_ms >= 1000],
    ['search', 'CRM', (row) => row.connection === 'crm' || row.error_message === 'crm is down'],
    ['search', '50%_', (row) => row.purpose === 'saves 50%_of it'],
    ['search', 'analys', (row) => row.persona === 'analyst'],
    ['from', '30m', (row) => Date.parse(row.started_at) > minutesAgo(31)],
    ['to', '30m', (row) => Date.parse(row.started_at) < minutesAgo(29)],
  ];
  const absent = {
    user: 'zo',
    tool: 'crm__g%t',
    connection: 'CRM',
    method: 'tools/cal',
    outcome: 'drained',
    session: 's',
    client: 'code',
    persona: 'Analyst',
    api_key: 'c_',
    source_ip: '192.0.2.0/24',
    trace_id: 'f'.repeat(32),
    min_duration: '1h',
    search: '%',
    from: '1ms',
    to: '23h',
  };

  before(async () => {
    seeded = await store(
      [
        { user_name: 'zoe', tool: 'crm__get', connection: 'crm', client: 'codex/1.2' },
        { user_name: 'zoe', outcome: 'denied', tool: 'x', client: 'codex/1.3', at: minutesAgo(45) },
        { outcome: 'timeout', duration_ms: 60000, error_message: 'crm is down', api_key: 'ci' },
        { outcome: 'cancelled', duration_ms: 999.9, session_id: 's-1', client: 'codexes/1' },
        { method: 'tools/list', source_ip: '10.1.2.3', persona: 'analyst' },
        { source_ip: '10.1.9.9', trace_id: trace, duration_ms: 1000, at: minutesAgo(45) },
        { source_ip: '2001:db8::7', purpose: 'saves 50%_of it' },
        { purpose: 'saves 50 of it', persona: 'dev' },
      ].map(rowOf),
    );
    await store([rowOf({ tenant: b, user_name: 'zoe', tool: 'crm__get', connection: 'crm' })]);
  });

  for (const [name, value, holds] of cases) {
    test(`${name}=${value} is the same on every route`, async () => {
      const wanted = seeded.filter((row) => holds(row));
      assert.ok(wanted.length > 0 && wanted.length < seeded.length, 'it tells rows apart');
      const found = await get(`/audit/calls?${query({ [name]: value })}`);
      assert.deepEqual(ids(found.items), ids(wanted));
      await Promise.all(
        Object.entries(counts).map(async ([route, count]) =>
          assert.equal(await count({ [name]: value }), wanted.length, route),
        ),
      );
    });
  }

  test('what is not there is not found', async () => {
    for (const [name, value] of Object.entries(absent)) {
      const found = await get(`/audit/calls?${query({ [name]: value })}`);
      const purpose = name === 'search' ? found.items.filter((row) => !row.purpose?.includes('%')) : found.items;
      assert.deepEqual(purpose, [], `${name}=${value}`);
    }
  });

  test('they hold together', async () => {
    const both = await get('/audit/calls?user=zoe&outcome=denied&from=1h');
    assert.equal(both.items.length, 1);
    assert.equal(both.items[0].tool, 'x');
  });

  test('what is unknown or malformed is refused on every route', async () => {
    for (const route of [...Object.keys(counts), 'tail'])
      for (const bad of ['nope=1', 'user=', 'user=a&user=b', 'error=perhaps', 'outcome=fine', 'search=%00']) {
        const reply = await ask(`/audit/${route}?${bad}${route === 'breakdown' ? '&by=tool' : ''}`);
        assert.equal(reply.status, 400, `${route} ${bad}: ${reply.text}`);
        assert.equal(reply.json.code, 'bad_request');
      }
    assert.equal((await ask('/audit/tail?from=1h')).status, 400, 'a tail begins now');
    for (const route of ['tail', 'export'])
      assert.equal((await gateway.api('HEAD', `/audit/${route}`, undefined, { key: a.adminKey })).status, 405);
  });

  test('numbers are those of the rows', async () => {
    const stats = await get('/audit/stats');
    assert.equal(stats.total, 8);
    assert.deepEqual(stats.outcomes, { ok: 5, cancelled: 1, denied: 1, timeout: 1 });
    assert.deepEqual([stats.ok, stats.errors, stats.unique_users, stats.unique_tools], [5, 2, 1, 2]);
    const { items, by, more } = await get('/audit/breakdown?by=client&limit=2');
    assert.deepEqual([by, more, items.length, items[0].total], ['client', true, 2, 5]);
    const { duration_ms: ms, upstream_ms: upstream } = await get('/audit/percentiles');
    assert.deepEqual([ms.n, ms.p50, ms.max, upstream.n, upstream.p95], [8, 10, 60000, 0, null]);
    const series = await get('/audit/timeseries?bucket=minute&from=1h');
    assert.ok(series.items.length >= 60 && series.items.length <= 62);
    assert.equal(series.items.filter(({ total }) => total > 0).length, 2);
  });

  test('one call has its arguments, and is found by its id alone', async () => {
    const [row] = await store([
      rowOf({ at: minutesAgo(26 * 60), arguments: { n: 1, text: 'a\nb' }, outcome: 'drained' }),
    ]);
    const shown = await get(`/audit/calls/${row.call_id}`);
    assert.equal(shown.call_id, row.call_id);
    assert.deepEqual(shown.arguments, { n: 1, text: 'a\nb' });
    for (const id of [uuid7(Date.now()), randomUUID(), 'x'])
      assert.equal((await ask(`/audit/calls/${id}`)).status, 404);
  });

  test('a row counts as many calls as it stands for', async () => {
    await store([rowOf({ tool: 'flood', outcome: 'rate_limited', n_calls: 500 })]);
    assert.equal((await get('/audit/stats?tool=flood')).errors, 500);
    assert.equal((await get('/audit/breakdown?by=tool&tool=flood')).items[0].total, 500);
  });
});

test('pages neither skip nor repeat a row while others arrive', async () => {
  const paged = (n) =>
    store(Array.from({ length: n }, () => rowOf({ at: minutesAgo(1 + Math.random() * 50), tool: 'paged' })));
  // Rows of one moment too, which only the id tells apart.
  const at = minutesAgo(20);
  const first = [
    ...(await paged(120)),
    ...(await store(Array.from({ length: 30 }, () => rowOf({ at, tool: 'paged' })))),
  ];
  for (const order of ['desc', 'asc']) {
    const seen = [];
    let cursor;
    do {
      const page = await get(
        `/audit/calls?${query({ tool: 'paged', order, limit: 7, from: '1h', ...(cursor && { cursor }) })}`,
      );
      seen.push(...page.items);
      cursor = page.next;
      if (cursor) await paged(2);
    } while (cursor);
    assert.equal(new Set(seen.map((row) => row.call_id)).size, seen.length, 'none twice');
    const missing = first.filter((row) => !seen.some((one) => one.call_id === row.call_id));
    assert.deepEqual(missing, [], 'none skipped');
    const keys = seen.map((row) => row.started_at + row.call_id);
    assert.deepEqual(keys, order === 'asc' ? keys.toSorted() : keys.toSorted().toReversed());
  }
});

describe('who sees what', () => {
  const tool = 'secret';
  let rows;

  before(async () => {
    rows = await store([
      rowOf({ tool, user_id: users.ana, user_name: 'ana' }),
      rowOf({ tool, user_id: users.ben, user_name: 'ben' }),
      rowOf({ tool, user_name: null, api_key: 'robot' }),
      rowOf({ tool, tenant: b, user_name: 'ana' }),
      rowOf({ tool, tenant: null, outcome: 'unauthenticated' }),
      rowOf({ tool, tenant: { id: randomUUID(), name: 'gone' } }),
    ]);
  });

  const asKey = (key) => ({ key });
  const views = () => [
    ['a user: the own calls', asKey(a.userKey), {}, [0]],
    ['another user', asKey(benKey), {}, [1]],
    ['an administrator: the tenant', asKey(a.adminKey), {}, [0, 1, 2]],
    ['of the other tenant', asKey(b.adminKey), {}, [3]],
    ['the platform, of its own', {}, {}, []],
    ['the platform, by name', {}, { tenant: b.name }, [3]],
    ['the platform, all', {}, { tenant: '*' }, [0, 1, 2, 3, 4, 5]],
    ['the platform, of nobody', {}, { tenant: '-' }, [4]],
    ['the platform, of a tenant that is gone', {}, { tenant: 'gone' }, [5]],
  ];

  test('on every route', async () => {
    for (const [who, options, parameters, places] of views()) {
      const as = { key: gateway.dev.admin_key, ...options };
      const found = await get(`/audit/calls?${query({ tool, ...parameters })}`, as);
      assert.deepEqual(ids(found.items), ids(places.map((at) => rows[at])), who);
      await Promise.all(
        Object.entries(counts).map(async ([route, count]) =>
          assert.equal(await count({ tool, ...parameters }, as), places.length, `${who}: ${route}`),
        ),
      );
      for (const [at, row] of rows.entries())
        assert.equal(
          (await ask(`/audit/calls/${row.call_id}?${query(parameters)}`, as)).status,
          places.includes(at) ? 200 : 404,
          `${who}: row ${at}`,
        );
    }
  });

  test('and is refused else', async () => {
    for (const route of [...Object.keys(counts), 'tail', `calls/${rows[0].call_id}`]) {
      const by = route === 'breakdown' ? '&by=tool' : '';
      for (const key of [a.userKey, a.adminKey]) {
        assert.equal((await ask(`/audit/${route}?tenant=*${by}`, { key })).status, 403);
        assert.equal((await ask(`/tenants/${b.name}/audit/${route}?${by}`, { key })).status, 403);
      }
      assert.equal((await ask(`/audit/${route}?${by}`, { key: serviceKey })).status, 403, 'a robot');
      assert.equal((await ask(`/audit/${route}?${by}`, { key: undefined })).status, 401);
    }
    const as = { key: gateway.dev.admin_key };
    const found = await get(`/tenants/${b.name}/audit/calls?tool=${tool}`, as);
    assert.deepEqual(ids(found.items), ids([rows[3]]));
    assert.equal((await ask(`/tenants/${b.name}/audit/calls?tenant=*`, as)).status, 400);
  });
});

// --- tails ---------------------------------------------------------------------------------------

// {events, ids, until(n), end, close()}: what came of a stream.
async function tail(parameters = {}, { key = a.adminKey, last } = {}) {
  const controller = new AbortController();
  const response = await fetch(`${gateway.dev.api_url}/audit/tail?${query(parameters)}`, {
    headers: { authorization: `Bearer ${key}`, ...(last && { 'last-event-id': last }) },
    signal: controller.signal,
  });
  const stream = { status: response.status, events: [], last, end: undefined, over: false };
  const take = (block) => {
    const fields = Object.fromEntries(
      block.split('\n').map((line) => [line.split(': ', 1)[0], line.slice(line.indexOf(': ') + 2)]),
    );
    if (fields.id) stream.last = fields.id;
    if (fields.event === 'call') stream.events.push({ ...JSON.parse(fields.data), last: fields.id });
    if (fields.event === 'end') stream.end = JSON.parse(fields.data);
  };
  stream.done = (async () => {
    let text = '';
    try {
      for await (const chunk of response.body) {
        text += Buffer.from(chunk).toString();
        for (let at; (at = text.indexOf('\n\n')) >= 0; text = text.slice(at + 2)) take(text.slice(0, at));
      }
    } catch (problem) {
      if (problem.name !== 'AbortError') throw problem;
    }
    stream.over = true;
  })();
  stream.until = (n) =>
    eventually(() => stream.events.length >= n, { deadline: 10000, what: `${n} events of ${stream.events.length}` });
  stream.close = () => {
    controller.abort();
    return stream.done;
  };
  if (response.status === 200)
    await eventually(() => stream.last !== undefined, { what: 'the tail has begun' });
  return stream;
}

describe('a tail', { concurrency: true }, () => {
  test('shows what all workers do, once it is stored', async () => {
    const stream = await tail({ method: 'server/discover' });
    const connections = await connectAll(gateway, gateway.mcp(), a.userKey, 2);
    for (const { via } of connections)
      await requestModern(gateway.mcp(), 'server/discover', {}, { key: a.userKey, ...via });
    await eventually(() => new Set(stream.events.map((row) => row.node_id)).size >= 2, {
      deadline: 10000,
      what: 'rows of both workers',
    });
    for (const one of connections) one.close();
    assert.ok(stream.events.every((row) => row.user_name === 'ana' && row.tenant === a.name));
    await stream.close();
  });

  test('goes on where it was, behind any row', async () => {
    const tool = 'resumed';
    const first = await tail({ tool });
    // One transaction, so one snapshot shows them all.
    const rows = await store(Array.from({ length: 5 }, () => rowOf({ tool })));
    await first.until(5);
    await first.close();
    assert.deepEqual(ids(first.events), ids(rows));
    const more = await store([rowOf({ tool })]);
    await Promise.all(
      [0, 2, 4].map(async (behind) => {
        const again = await tail({ tool }, { last: first.events[behind].last });
        await again.until(5 - behind);
        await pause(1200); // a question more: nothing comes twice
        await again.close();
        assert.deepEqual(
          again.events.map((row) => row.call_id),
          [...first.events.slice(behind + 1), ...more].map((row) => row.call_id),
        );
      }),
    );
  });

  test('misses neither late rows nor those of a transaction that others overtook', async () => {
    const tool = 'overtaken';
    const stream = await tail({ tool });
    const client = await connectDatabase(gateway.dev.owner_database_url);
    await client.query('BEGIN');
    const [held] = await store([rowOf({ tool })], (text, values) => client.query(text, values));
    const [quick] = await store([rowOf({ tool, at: minutesAgo(23 * 60) })]);
    await stream.until(1);
    assert.deepEqual(ids(stream.events), [quick.call_id]);
    const { last } = stream;
    await client.query('COMMIT');
    await client.end();
    await stream.until(2);
    assert.equal(stream.events[1].call_id, held.call_id);
    await stream.close();
    const again = await tail({ tool }, { last });
    await again.until(1);
    assert.deepEqual(ids(again.events), [held.call_id]);
    await again.close();
  });

  test('is about its own tenant and user', async () => {
    const tool = 'whose';
    const streams = [
      await tail({ tool }, { key: a.userKey }),
      await tail({ tool }, { key: b.adminKey }),
      await tail({ tool, tenant: '*' }, { key: gateway.dev.admin_key }),
    ];
    const rows = await store([
      rowOf({ tool, user_id: users.ana }),
      rowOf({ tool, user_id: users.ben }),
      rowOf({ tool, tenant: b }),
      rowOf({ tool, tenant: null }),
    ]);
    await streams[2].until(4);
    await streams[1].until(1);
    await streams[0].until(1);
    assert.deepEqual(streams.map(({ events }) => events.length), [1, 1, 4]);
    assert.equal(streams[0].events[0].call_id, rows[0].call_id);
    assert.equal(streams[1].events[0].call_id, rows[2].call_id);
    await Promise.all(streams.map((stream) => stream.close()));
  });

  test('ends with its key', async () => {
    const { id, key } = await gateway.newKey(a.name, { name: 'short-lived', role: 'admin' });
    const stream = await tail({}, { key });
    await gateway.must(204, 'DELETE', `/tenants/${a.name}/keys/${id}`);
    await within(stream.done, 10000, 'the stream ends');
    assert.equal(stream.end.code, 'unauthenticated');
  });

  test('is refused where there are too many, and what it cannot go on from', async () => {
    const { adminKey } = await gateway.newTenant('tails');
    const streams = [];
    let status;
    while ((status = (streams.at(-1) ?? { status: 200 }).status) === 200 && streams.length < 80)
      streams.push(await tail({}, { key: adminKey }));
    assert.equal(status, 429);
    assert.ok(streams.length > 16, 'sixteen on each worker');
    await Promise.all(streams.map((stream) => stream.close()));
    assert.equal((await ask('/audit/tail', { headers: { 'last-event-id': 'MTIz' } })).status, 400);
  });
});

// --- exports -------------------------------------------------------------------------------------

const residentBytes = async (what = 'VmRSS') =>
  Math.max(
    ...(await gateway.workers()).map(
      ({ pid }) =>
        1024 * Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(new RegExp(`${what}:\\s+(\\d+)`))[1]),
    ),
  );

describe('an export', () => {
  before(async () => {
    await gateway.owner(
      `INSERT INTO audit.call_log (started_at, tenant_id, tenant, user_name, tool, method, outcome,
         duration_ms, arguments, call_id)
       SELECT now() - i * interval '100 milliseconds', $1, $2, 'bulk', 'bulk', 'tools/call', 'ok', 1,
         '{"text":"=1+1"}', gen_random_uuid() FROM generate_series(1, $3::int) i`,
      [b.id, b.name, many],
    );
  });

  test('of many rows takes no memory, also for a slow reader', unlessSpread('the memory of only one is set up to be measured'), async () => {
    await ask('/audit/export?tool=crm__get'); // what the first one takes stays
    const before = await residentBytes();
    const response = await fetch(`${gateway.dev.api_url}/audit/export?tool=bulk&from=12h`, {
      headers: { authorization: `Bearer ${b.adminKey}` },
    });
    assert.equal(response.headers.get('content-type'), 'application/x-ndjson');
    let n = 0;
    let bytes = 0;
    let peak = before;
    let last = '';
    let begun = '';
    for await (const chunk of response.body) {
      if (bytes === 0) {
        // Nobody reads: it has to wait with what fits between.
        await pause(1500);
        peak = Math.max(peak, await residentBytes());
      }
      bytes += chunk.length;
      const parts = (begun + Buffer.from(chunk).toString()).split('\n');
      begun = parts.pop();
      n += parts.length;
      last = parts.at(-1) ?? last;
    }
    peak = Math.max(peak, await residentBytes());
    assert.equal(n, many);
    assert.equal(begun, '');
    assert.equal(JSON.parse(last).tool, 'bulk');
    assert.ok(bytes > 500 * many, `${bytes} bytes`);
    if (process.env.TOLLGATE_E2E_ROWS) console.log(`grew by ${(peak - before) / 1048576} MiB`);
    assert.ok(peak - before < growthBytes, `it grew by ${(peak - before) / 1048576} MiB`);
  });

  test('as CSV has a cell for each column, and no formula', async () => {
    await store([rowOf({ tool: 'csv', user_name: '=HYPERLINK("x")', purpose: 'a,"b"\nc', error_message: null })]);
    const { text, headers } = await ask('/audit/export?tool=csv&format=csv');
    assert.equal(headers.get('content-type'), 'text/csv; charset=utf-8');
    const [head, ...rest] = text.split('\r\n');
    assert.match(head, /^started_at,tenant,user_name,/);
    assert.match(rest[0], /"'=HYPERLINK\(""x""\)"/);
    assert.match(rest[0], /"a,""b""\nc"/);
    assert.deepEqual(rest.slice(1), ['']);
  });

  test('is in the order of tenants and time', async () => {
    const rows = lines((await ask('/audit/export?tenant=*&tool=secret', { key: gateway.dev.admin_key })).text);
    assert.equal(rows.length, 6);
    const keys = rows.map((row) => row.tenant_id + row.started_at);
    assert.deepEqual(keys, keys.toSorted());
  });

  test('that PostgreSQL leaves says so, and goes on from there', unlessSpread('it kills PostgreSQL'), async () => {
    const file = path.join(path.dirname(gateway.directory), 'export.jsonl');
    const as = { env: { TOLLGATE_KEY: b.adminKey }, deadline: 60000 };
    const running = gateway.cli(['audit', 'export', '--tool', 'bulk', '--from', '12h', '-o', file], as);
    await eventually(() => fs.existsSync(`${file}.part`) && fs.statSync(`${file}.part`).size > 100_000, {
      deadline: 20000,
      every: 5,
      what: 'rows arrive',
    });
    const [{ pid }] = gateway
      .processes()
      .filter(({ pid: one }) => /postgres\0-D|bin\/postgres/.test(fs.readFileSync(`/proc/${one}/cmdline`, 'utf8')));
    process.kill(pid, 'SIGKILL');
    const { code, stderr } = await running;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /the export is not complete: the database does not answer; .*export\.jsonl\.part; the rest: --cursor /);
    assert.equal(fs.existsSync(file), false, 'nothing that looks complete');
    const part = lines(fs.readFileSync(`${file}.part`, 'utf8'));
    assert.ok(part.length > 0 && part.length < many && part.every((row) => row.tool === 'bulk'));
    const cursor = stderr.match(/--cursor (\S+)/)[1];
    await eventually(
      async () => {
        const rest = await gateway.cli(['audit', 'export', '--tool', 'bulk', '--cursor', cursor, '-o', file], as);
        return rest.code === 0;
      },
      { deadline: 40000, every: 200, what: 'PostgreSQL is back, and the rest comes' },
    );
    const all = [...part, ...lines(fs.readFileSync(file, 'utf8'))];
    assert.equal(all.length, many);
    assert.equal(new Set(all.map((row) => row.call_id)).size, many);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
  });
});

test('only the days that are asked for are looked at', unlessSpread('it reads the log of PostgreSQL'), async () => {
  const superuser = gateway.dev.database_url.replace('tollgate_app', 'postgres');
  await gateway.owner("SELECT audit.ensure_partitions(current_date - 20, current_date)");
  const client = await connectDatabase(superuser);
  await client.query("LOAD 'auto_explain'");
  await client.query("ALTER SYSTEM SET session_preload_libraries = 'auto_explain'");
  await client.query('ALTER SYSTEM SET auto_explain.log_min_duration = 0');
  await client.query('SELECT pg_reload_conf()');
  await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tollgate_app'");
  await client.end();
  await eventually(async () => (await ask('/audit/stats')).status === 200, { what: 'a new connection' });
  const log = path.join(gateway.directory, 'postgres.log');
  const day = (ago) => new Date(minutesAgo(ago * 1440)).toISOString().slice(0, 10).replaceAll('-', '');
  const { items } = await get('/audit/calls?limit=1');
  const cursor = (await get('/audit/calls?limit=1&from=20d')).next;
  for (const [route, days] of [
    ['calls?limit=5', [0, 1]],
    [`calls/${items[0].call_id}`, [0, 1]],
    ['stats', [0, 1]],
    ['breakdown?by=tool', [0, 1]],
    ['percentiles', [0, 1]],
    ['timeseries', [0, 1]],
    ['export', [0, 1]],
    ['stats?from=3d&to=2d', [2, 3]],
    [`calls?order=asc&cursor=${cursor}`, [0, 1]],
  ]) {
    const from = fs.statSync(log).size;
    assert.equal((await ask(`/audit/${route}`)).status, 200);
    const plans = await eventually(() => {
      const text = fs.readFileSync(log, 'utf8').slice(from);
      return /Query Text: [^\n]*FROM audit\.call_log c/.test(text) && text;
    }, { what: 'a plan is logged' });
    const found = new Set([...plans.matchAll(/ on call_log_standard_(\d{8})/g)].map((match) => match[1]));
    const allowed = days.map(day);
    assert.ok(found.size > 0, `${route}: ${plans}`);
    for (const one of found) assert.ok(allowed.includes(one), `${route} looks at ${[...found]}`);
  }
});

// --- the command line ----------------------------------------------------------------------------

describe('tollgate audit', () => {
  const as = { env: { get TOLLGATE_KEY() { return a.adminKey; } } };
  const run = async (args, options = {}) => {
    const reply = await gateway.cli(['audit', ...args], { ...as, ...options });
    assert.equal(reply.code, 0, `${args.join(' ')}: ${reply.stderr}`);
    assert.doesNotMatch(reply.stdout, /\x1b/, 'no colours where no terminal is');
    return reply.stdout;
  };
  let rows;

  before(async () => {
    rows = await store(
      Array.from({ length: 250 }, (_, at) =>
        rowOf({
          tool: 'cli\x1b[31m',
          user_name: 'eve',
          outcome: at === 0 ? 'denied' : 'ok',
          arguments: { at, deep: { x: [1] } },
          at: minutesAgo(10) + at,
        }),
      ),
    );
  });

  test('list', async () => {
    const table = (await run(['list', '--user', 'eve', '-n', '3'])).split('\n');
    assert.equal(table.length, 5);
    assert.match(table[0], /^TIME +WHO +TOOL +CONNECTION +OUTCOME +MS +CALL ID$/);
    assert.ok(table[1].includes(rows.at(-1).call_id));
    const all = JSON.parse(await run(['list', '--user', 'eve', '-n', '1000', '-o', 'json']));
    assert.deepEqual(ids(all.items), ids(rows));
    assert.equal(all.next, null);
    const some = JSON.parse(await run(['list', '--user', 'eve', '-n', '201', '-o', 'json']));
    assert.equal(some.items.length, 201);
    assert.equal(typeof some.next, 'string');
    const errors = JSON.parse(await run(['list', '--user', 'eve', '--errors', '-o', 'json']));
    assert.deepEqual(ids(errors.items), [rows[0].call_id]);
  });

  test('show', async () => {
    const shown = await run(['show', rows[7].call_id]);
    assert.match(shown, /^user_name +eve$/m);
    assert.match(shown, /^arguments\n  at +7\n  deep +\{"x":\[1\]\}$/m);
    assert.doesNotMatch(shown, /^connection/m, 'what is NULL is left out');
    assert.equal(JSON.parse(await run(['show', rows[7].call_id, '-o', 'json'])).arguments.at, 7);
    const missing = await gateway.cli(['audit', 'show', uuid7(Date.now())], as);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /there is no such call/);
  });

  test('show --payload', async () => {
    const upstream = await startFixture('modern');
    try {
      await a.addConnection('kept', upstream.url, { audit: { level: 'full' } });
      await a.must(200, 'POST', '/tools/call', { name: 'kept__echo', arguments: { a: 'whole' } });
      const call = await eventually(
        async () => (await get('/audit/calls?tool=kept__echo')).items.find((row) => row.has_payload),
        { deadline: 10000, what: 'its row' },
      );
      const shown = await run(['show', call.call_id, '--payload']);
      assert.match(shown, /^has_payload +true$/m);
      assert.match(shown, /^arguments\n {2}bytes +\d+\n {2}truncated +false\n {2}text +\{"a":"whole"\}$/m);
      const json = JSON.parse(await run(['show', call.call_id, '--payload', '-o', 'json']));
      assert.match(json.result.text, /whole/);
      const platform = { env: { TOLLGATE_KEY: gateway.dev.admin_key } };
      assert.equal(await run(['show', call.call_id, '--payload', '--all-tenants'], platform), shown);
      const none = await gateway.cli(['audit', 'show', rows[7].call_id, '--payload'], as);
      assert.equal(none.code, 1);
      assert.match(none.stderr, /no payload of this call is kept/);
    } finally {
      await upstream.stop();
    }
  });

  test('stats', async () => {
    assert.match(await run(['stats', '--user', 'eve']), /^total +250$/m);
    assert.match(await run(['stats', '--user', 'eve', '--by', 'outcome']), /^OUTCOME +CALLS[^\n]*\nok +249 /);
    assert.match(await run(['stats', '--user', 'eve']), /^p95_ms +\d+(\.\d{1,5})?$/m);
    assert.match(await run(['stats', '--by', 'api_key']), /^API KEY +CALLS/);
    assert.equal((await gateway.cli(['audit', 'stats', '--by', 'moon'], as)).code, 1);
    assert.equal((await gateway.cli(['audit', 'stats', '--limit', '3'], as)).code, 2);
  });

  test('export', async () => {
    const exported = lines(await run(['export', '--user', 'eve']));
    assert.deepEqual(exported.map((row) => row.call_id), rows.map((row) => row.call_id));
    const file = path.join(path.dirname(gateway.directory), 'cli.csv');
    assert.equal(await run(['export', '--user', 'eve', '--format', 'csv', '-o', file]), '');
    assert.doesNotMatch(await run(['export', '--help']), /-o FORMAT/);
    assert.match(await run(['list', '--help']), /-o FORMAT/);
    assert.equal(fs.readFileSync(file, 'utf8').split('\r\n').length, 252);
    assert.equal(fs.existsSync(`${file}.part`), false);
    const bad = await gateway.cli(['audit', 'export', '--format', 'xml', '-o', `${file}2`], as);
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /format is one of: jsonl, csv/);
    assert.deepEqual([fs.existsSync(`${file}2`), fs.existsSync(`${file}2.part`)], [false, false]);
  });

  test('tail', async () => {
    const tool = 'cli-tail';
    const plain = run(['tail', '--tool', tool, '-n', '1']);
    const json = run(['tail', '--tool', tool, '-n', '2', '--json']);
    const feed = setInterval(() => {
      store([rowOf({ tool, user_name: 'a\x1b[2J', outcome: 'denied', error_message: 'no' })]).catch(() => {});
    }, 300);
    try {
      assert.match(await plain, /^\d\d:\d\d:\d\d\.\d{3}  denied +10 ms  a \[2J  cli-tail  no  [0-9a-f-]{36}\n$/);
      assert.equal(lines(await json).length, 2);
    } finally {
      clearInterval(feed);
    }
    const refused = await gateway.cli(['audit', 'tail'], { env: { TOLLGATE_KEY: 'tgk_wrong' } });
    assert.equal(refused.code, 3);
  });

  test('psql', async () => {
    const database = ['--database', gateway.dev.audit_database_url];
    const options = { env: { TOLLGATE_KEY: '' } };
    assert.match(await run(['psql', ...database, '-Atc', 'SELECT count(*) FROM calls'], options), /^\d+\n$/);
    assert.equal(await run(['psql', ...database, '--', '-Atc', 'SHOW TimeZone'], options), 'UTC\n');
    const byVariable = { env: { TOLLGATE_AUDIT_DATABASE_URL: gateway.dev.audit_database_url } };
    assert.equal(await run(['psql', '-Atc', 'SELECT current_user'], byVariable), 'demo_reader\n');
    const none = await gateway.cli(['audit', 'psql']);
    assert.equal(none.code, 2);
    assert.match(none.stderr, /--database or TOLLGATE_AUDIT_DATABASE_URL/);
    const absent = await gateway.cli(['audit', 'psql', ...database], { env: { PATH: '/nonexistent' } });
    assert.equal(absent.code, 1);
    assert.match(absent.stderr, /psql is not installed/);
  });
});
