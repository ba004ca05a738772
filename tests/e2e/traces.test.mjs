// SPDX-License-Identifier: Apache-2.0
//
// Traces: contexts from clients and to upstreams in both eras, what stands in the book of them, and
// spans on their way to a collector that may be slow, refuse, or not be there.

import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import fs from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { clients } from './lib/clients.mjs';
import { checkRequest, startCollector } from './lib/collector.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, runCli, start } from './lib/gateway.mjs';
import { scrape, valueOf } from './lib/metrics.mjs';
import { opener, request, requestModern } from './lib/raw.mjs';
import { startServe } from './lib/serve.mjs';
import { eventually, within } from './lib/wait.mjs';

const secret = `otlp-${crypto.randomBytes(12).toString('hex')}`;
const id = (bytes) => crypto.randomBytes(bytes).toString('hex');
const context = (flags = '01') => {
  const made = { traceId: id(16), spanId: id(8) };
  return { ...made, text: `00-${made.traceId}-${made.spanId}-${flags}` };
};
const parse = (text) => {
  const [, traceId, spanId, flags] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(text);
  return { traceId, spanId, flags };
};

let gateway;
let tenant;
let collector;
let server;
const upstreams = {};

const settings = (url, more = {}) => ({
  TOLLGATE_WORKERS: '1',
  TOLLGATE_OTLP_DELAY: '50ms',
  TOLLGATE_LOG_LEVEL: 'debug',
  OTEL_EXPORTER_OTLP_ENDPOINT: `${url}/`,
  OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${secret},x-scope=a`,
  OTEL_SERVICE_NAME: 'gate',
  OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=t%C3%A9st',
  ...more,
});

const callable = (url) =>
  eventually(
    async () => {
      const { answer } = await requestModern(url, 'tools/list', {}, { key: tenant.userKey });
      return answer.result?.tools.some((tool) => tool.name === 'new__echo');
    },
    { what: 'the tools are known', deadline: 10000 },
  );

async function serve(name, more) {
  const started = await startServe(gateway, name, more);
  await callable(started.mcp());
  return started;
}

before(async () => {
  collector = await startCollector();
  gateway = await start(newDirectory());
  [upstreams.old, upstreams.new] = await Promise.all(
    ['legacy', 'modern'].map((era) => startFixture(era)),
  );
  tenant = await gateway.newTenant('traces');
  await gateway.must(
    200,
    'PATCH',
    `/tenants/${tenant.name}`,
    { egress: { allow: Object.values(upstreams).map(({ url }) => new URL(url).host) } },
    { ifMatch: true },
  );
  await tenant.addConnection('old', upstreams.old.url);
  await tenant.addConnection('new', upstreams.new.url, { trust_level: 'trusted' });
  server = await serve('traces', settings(collector.url));
});

after(async () => {
  await server?.stop();
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await collector?.close();
  if (gateway) await dispose(gateway);
});

const bookOf = (traceId) =>
  eventually(
    async () => {
      const rows = await gateway.owner(
        'SELECT span_id, tool, outcome, call_id FROM audit.calls WHERE trace_id = $1',
        [traceId],
      );
      return rows.length > 0 && rows;
    },
    { what: `the book has ${traceId}` },
  );

const ofKind = (spans, kind) => spans.filter((span) => span.kind === kind);

describe('the official clients', () => {
  for (const client of clients) {
    for (const connection of ['old', 'new']) {
      test(`${client.name} through to ${connection}`, async () => {
        const parent = context();
        const header = context();
        const sdk = await client.connect({
          url: server.mcp(),
          key: tenant.userKey,
          headers: { traceparent: header.text, tracestate: 'head=1' },
        });
        const tool = `${connection}__params`;
        const params = {
          name: tool,
          arguments: {},
          _meta: {
            traceparent: parent.text,
            tracestate: 'rojo=1, congo="2"',
            baggage: 'userId=ana',
            'example.com/own': 1,
          },
        };
        const result = await (client.name.startsWith('sdk')
          ? sdk.client.callTool(params, undefined, { timeout: 20000 })
          : sdk.client.callTool(params, { timeout: 20000 }));
        await sdk.close();
        const seen = JSON.parse(result.content[0].text)._meta;
        const sent = parse(seen.traceparent);

        const spans = await collector.trace(parent.traceId, 2);
        const [[outer], [inner]] = [ofKind(spans, 2), ofKind(spans, 3)];
        assert.equal(outer.name, `tools/call ${tool}`);
        assert.equal(inner.name, 'tools/call params');
        assert.equal(outer.parentSpanId, parent.spanId);
        assert.equal(inner.parentSpanId, outer.spanId);
        assert.deepEqual(sent, { traceId: parent.traceId, spanId: inner.spanId, flags: '01' });
        assert.equal(seen.tracestate, 'rojo=1,congo="2"');
        assert.equal(seen.baggage, connection === 'new' ? 'userId=ana' : undefined);
        assert.equal(seen['example.com/own'], 1);
        for (const span of spans) {
          assert.equal(span.traceState, 'rojo=1,congo="2"');
          assert.deepEqual(span.status, {});
          assert.equal(span.attributes['tollgate.tenant'], tenant.name);
          assert.equal(span.attributes['tollgate.connection'], connection);
          assert.equal(span.attributes['gen_ai.operation.name'], 'execute_tool');
          assert.deepEqual(
            [span.resource['service.name'], span.resource['deployment.environment.name']],
            ['gate', 'tést'],
          );
          assert.equal(span.scope.name, 'tollgate');
        }
        assert.equal(inner.attributes['server.port'], Number(new URL(upstreams[connection].url).port));
        assert.deepEqual(
          outer.links.map(({ traceId, spanId, traceState }) => [traceId, spanId, traceState]),
          [[header.traceId, header.spanId, 'head=1']],
        );
        assert.equal(inner.links, undefined);
        const [row] = await bookOf(parent.traceId);
        assert.deepEqual(row, {
          span_id: outer.spanId,
          tool,
          outcome: 'ok',
          call_id: outer.attributes['tollgate.call.id'],
        });
      });
    }
  }
});

// A tools/call by hand.
async function call(connection, tool, { meta, headers, era = 'modern', ...extra } = {}) {
  const side = await opener(era, server.mcp(), { key: tenant.userKey });
  const params = { name: `${connection}__${tool}`, arguments: {} };
  if (era === 'legacy')
    return side.start('tools/call', { ...params, _meta: meta }, { headers, ...extra }).done;
  return side.start('tools/call', params, { meta, headers, ...extra }).done;
}

describe('contexts', () => {
  for (const connection of ['old', 'new']) {
    test(`go to ${connection} as headers too, and come from them`, async () => {
      const header = context();
      const { answer } = await call(connection, 'needs_header', {
        headers: { traceparent: header.text, tracestate: 'a=1', baggage: 'k=v' },
      });
      const { headers } = answer.result.structuredContent;
      const spans = await collector.trace(header.traceId, 2);
      const [[outer], [inner]] = [ofKind(spans, 2), ofKind(spans, 3)];
      assert.equal(outer.parentSpanId, header.spanId);
      assert.equal(outer.links, undefined);
      assert.equal(headers.traceparent, `00-${header.traceId}-${inner.spanId}-01`);
      assert.equal(headers.tracestate, 'a=1');
      assert.equal(headers.baggage, connection === 'new' ? 'k=v' : undefined);
    });
  }

  test('that are not sampled stay in the book', async () => {
    const parent = context('00');
    const { answer } = await call('new', 'params', { meta: { traceparent: parent.text } });
    const sent = parse(JSON.parse(answer.result.content[0].text)._meta.traceparent);
    assert.deepEqual([sent.traceId, sent.flags], [parent.traceId, '00']);
    const [row] = await bookOf(parent.traceId);
    assert.equal(row.outcome, 'ok');
    // What is sampled and came later has arrived: it would have been before that.
    const later = context();
    await call('new', 'echo', { meta: { traceparent: later.text } });
    await collector.trace(later.traceId, 2);
    await collector.trace(parent.traceId, 0);
  });

  for (const [what, meta] of [
    ['none', {}],
    ['a wrong one', { traceparent: '00-1-2-01', tracestate: 'a=1' }],
    ['one that is no text', { traceparent: { a: 1 } }],
  ]) {
    test(`a client with ${what} begins a trace`, async () => {
      const { answer } = await call('old', 'params', { era: 'legacy', meta });
      const seen = JSON.parse(answer.result.content[0].text)._meta;
      const sent = parse(seen.traceparent);
      assert.equal(sent.flags, '03');
      assert.equal(seen.tracestate, undefined);
      const spans = await collector.trace(sent.traceId, 2);
      assert.equal(ofKind(spans, 2)[0].parentSpanId, undefined);
      assert.equal(ofKind(spans, 3)[0].spanId, sent.spanId);
    });
  }
});

describe('spans say how a call ended', () => {
  for (const [tool, type, code] of [
    ['fail', 'tool_error', undefined],
    ['proto_error', '-32000', '-32000'],
  ]) {
    test(tool, async () => {
      const parent = context();
      const { answer } = await call('new', tool, { meta: { traceparent: parent.text } });
      const spans = await collector.trace(parent.traceId, 2);
      const expected = code === undefined ? type : String(answer.error.code);
      for (const span of spans) {
        assert.deepEqual(span.status, { code: 2 });
        assert.equal(span.attributes['error.type'], expected);
        assert.equal(
          span.attributes['rpc.response.status_code'],
          code === undefined ? undefined : expected,
        );
      }
    });
  }

  test('a tool that is not there, and nobody known', async () => {
    const [wrong, nobody] = [context(), context()];
    await call('new', 'made_up', { meta: { traceparent: wrong.text } });
    const [span] = await collector.trace(wrong.traceId, 1);
    assert.equal(span.name, 'tools/call');
    assert.equal(span.attributes['gen_ai.tool.name'], 'new__made_up');
    assert.deepEqual(span.status, { code: 2 });
    const { status } = await requestModern(server.mcp(), 'tools/list', {}, {
      key: 'tgk_nobody',
      headers: { traceparent: nobody.text },
    });
    assert.equal(status, 401);
    const [refused] = await collector.trace(nobody.traceId, 1);
    assert.equal(refused.attributes['tollgate.outcome'], 'unauthenticated');
    assert.equal(refused.attributes['tollgate.tenant'], undefined);
  });
});

describe('the way to the collector', () => {
  test('has its headers, which nobody else sees', async () => {
    const { headers } = collector.requests[0];
    assert.equal(headers.authorization, `Bearer ${secret}`);
    assert.equal(headers['x-scope'], 'a');
    const log = fs.readFileSync(server.log, 'utf8');
    assert.ok(log.length > 0);
    assert.ok(!log.includes(secret));
    const shown = await runCli(['config', 'dump', '--origin'], { env: server.env });
    assert.match(shown.stdout, /otlp_headers: "\[REDACTED\]" {2}# OTEL_EXPORTER_OTLP_HEADERS/);
    assert.ok(!shown.stdout.includes(secret));
  });

  test('is tried again when the collector says so, and what it rejects is counted', async () => {
    const counted = async (result) =>
      valueOf(await scrape(server.opsUrl), 'tollgate_trace_spans_total', { result });
    const before = { exported: await counted('exported'), rejected: await counted('rejected') };
    const parent = context();
    const first = collector.requests.length;
    collector.answer = (n) =>
      n === first
        ? { status: 503, headers: { 'retry-after': '1' } }
        : { status: 200, body: { partialSuccess: { rejectedSpans: '1', errorMessage: 'no' } } };
    const began = Date.now();
    await call('new', 'echo', { meta: { traceparent: parent.text } });
    await collector.trace(parent.traceId, 2);
    assert.ok(Date.now() - began >= 1000);
    collector.answer = () => ({ status: 200 });
    assert.deepEqual(
      collector.requests.slice(first, first + 2).map(({ status, spans }) => [status, spans.length]),
      [
        [503, 2],
        [200, 2],
      ],
    );
    await eventually(async () => (await counted('rejected')) === before.rejected + 1, {
      what: 'the rejected span is counted',
    });
    assert.ok((await counted('exported')) >= before.exported + 1);
  });

  test('never stands in the way of a call, and of the end', async () => {
    const stuck = await startCollector();
    stuck.answer = () => ({ never: true });
    const [away, hanging] = await Promise.all([
      serve('away', settings('http://127.0.0.1:1')),
      serve('hanging', settings(stuck.url)),
    ]);
    for (const one of [away, hanging]) {
      for (let at = 0; at < 5; at++) {
        const { answer } = await requestModern(
          one.mcp(),
          'tools/call',
          { name: 'new__echo', arguments: {} },
          { key: tenant.userKey },
        );
        assert.equal(answer.result.isError, undefined);
      }
    }
    const codes = await within(Promise.all([away.stop(), hanging.stop()]), 20000, 'they end');
    assert.deepEqual(codes, [0, 0]);
    for (const one of [away, hanging])
      assert.ok(!fs.readFileSync(one.log, 'utf8').includes(secret));
    assert.match(fs.readFileSync(away.log, 'utf8'), /spans do not reach the collector/);
    await stuck.close();
  });

  test('is gone to the end when the gateway stops', async () => {
    const slow = await serve('slow', settings(collector.url, { TOLLGATE_OTLP_DELAY: '60s' }));
    const parent = context();
    await requestModern(
      slow.mcp(),
      'tools/call',
      { name: 'new__echo', arguments: {} },
      { key: tenant.userKey, meta: { traceparent: parent.text } },
    );
    await collector.trace(parent.traceId, 0);
    assert.equal(await slow.stop(), 0);
    await collector.trace(parent.traceId, 2, { deadline: 100 });
  });
});

test('samplers of the environment are heeded', async () => {
  const never = await serve('never', {
    TOLLGATE_WORKERS: '1',
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0',
  });
  const { answer } = await requestModern(
    never.mcp(),
    'tools/call',
    { name: 'new__params', arguments: {} },
    { key: tenant.userKey },
  );
  assert.equal(parse(JSON.parse(answer.result.content[0].text)._meta.traceparent).flags, '02');
  await never.stop();
  const wrong = await runCli(['config', 'check'], {
    env: { ...never.env, OTEL_TRACES_SAMPLER: 'jaeger_remote' },
  });
  assert.notEqual(wrong.code, 0);
  assert.match(wrong.stdout + wrong.stderr, /OTEL_TRACES_SAMPLER: traces_sampler must be one of/);
});

test('without an address nothing leaves, and the book has the ids', async () => {
  const rows = await gateway.owner(
    'SELECT count(*)::int AS n, count(trace_id)::int AS traces, count(span_id)::int AS spans,' +
      " bool_and(trace_id ~ '^[0-9a-f]{32}$' AND span_id ~ '^[0-9a-f]{16}$') AS good FROM audit.calls",
  );
  const [{ n, traces, spans, good }] = rows;
  assert.ok(n > 20 && traces === n && spans === n && good, JSON.stringify(rows));
});

describe('the collector of these tests', () => {
  const span = {
    traceId: id(16),
    spanId: id(8),
    name: 'a',
    kind: 2,
    startTimeUnixNano: '1',
    endTimeUnixNano: '2',
  };
  const wrap = (one) => ({ resourceSpans: [{ resource: {}, scopeSpans: [{ spans: [one] }] }] });

  test('takes what is right', () => checkRequest(wrap(span)));
  for (const [what, change] of [
    ['base64 ids', { traceId: Buffer.alloc(16, 1).toString('base64') }],
    ['upper case', { spanId: 'ABCDEFABCDEFABCD' }],
    ['zero ids', { spanId: '0000000000000000' }],
    ['a kind by name', { kind: 'SPAN_KIND_SERVER' }],
    ['times that are numbers', { startTimeUnixNano: 1 }],
    ['an end before the start', { endTimeUnixNano: '0' }],
    ['snake case', { trace_state: 'a=1' }],
    ['an attribute twice', { attributes: ['1', '2'].map((intValue) => ({ key: 'a', value: { intValue } })) }],
    ['a 64-bit number', { attributes: [{ key: 'a', value: { intValue: 1 } }] }],
    ['no name', { name: undefined, kind: 2 }],
  ])
    test(`refuses ${what}`, () => assert.throws(() => checkRequest(wrap({ ...span, ...change }))));
});

test('nothing that was sent was wrong', async () => {
  assert.deepEqual(collector.problems, []);
  const { status } = await request(`${server.opsUrl}/livez`);
  assert.equal(status, 200);
});
