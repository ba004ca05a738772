// SPDX-License-Identifier: Apache-2.0
//
// What stands on the wire, byte by byte: ids and tokens keep their JSON type, results their
// bytes, lists their pages; what an upstream does wrong becomes one clear answer.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { breakageNames } from './fixtures/breakages.mjs';
import { bigNumbers, definitions, oddResult, unicodeText } from './fixtures/tools.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { environment } from './lib/gateway.mjs';
import { opener, openSession, request, requestModern } from './lib/raw.mjs';
import { elements, members, raw } from './lib/rawjson.mjs';
import { eventually, signal, within } from './lib/wait.mjs';

const eras = ['legacy', 'modern'];
const connections = ['old', 'new', 'odd', 'plain'];

// One for each, so that none is refused because the ones before it have failed.
const brokenBy = (connection, how) => `${connection}-${how}`;

let gateway;
let tenant;
let breaking; // its tenant's lists are nobody's concern
const upstreams = {};

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('wire');
  breaking = await gateway.newTenant('breaking');
  const started = await Promise.all([
    startFixture('legacy', { 'page-size': 4 }),
    startFixture('modern', { 'page-size': 5 }),
    startFixture('legacy', { sse: 'odd' }),
    startFixture('legacy', { sessions: 'none', sse: 'always' }),
  ]);
  for (const [at, name] of connections.entries()) {
    upstreams[name] = started[at];
    await tenant.addConnection(name, started[at].url);
    await Promise.all(
      breakageNames.map((how) => breaking.addConnection(brokenBy(name, how), started[at].url)),
    );
  }
});

after(async () => {
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  await gateway?.close();
});

const open = (era, connection, { userKey } = tenant) =>
  opener(era, gateway.mcp({ connection }), { key: userKey });
const callParams = (tool, args = {}, meta) => ({
  ...(meta === undefined ? {} : { _meta: meta }),
  name: tool,
  arguments: args,
});
const modernParams = (tool, args) => ({ name: tool, arguments: args ?? {} });

// _meta goes where the era wants it.
function call(side, tool, args, { meta, ...extra } = {}) {
  if (side.era === 'modern')
    return side.start('tools/call', modernParams(tool, args), { meta, ...extra });
  return side.start('tools/call', callParams(tool, args, meta), extra);
}

for (const era of eras) {
  for (const connection of connections) {
    describe(`a ${era} client on ${connection}`, () => {
      let side;
      before(async () => {
        side = await open(era, connection);
      });

      test('gets its request ids back as it wrote them', async () => {
        for (const id of [
          '0',
          '"0"',
          '7',
          '"abc"',
          '-1',
          '12345678901234567890',
          '""',
          '"\\u00e9\\"\\\\ 😀"',
        ]) {
          const reply = await call(side, 'echo', { id: 1 }, { id }).done;
          assert.equal(reply.status, 200, id);
          assert.equal(raw(reply.answerText, 'id'), id);
        }
      });

      test('gets its progress tokens back as it wrote them', async () => {
        for (const token of ['0', '"0"', '7', '"abc"', '12345678901234567890']) {
          const meta = { progressToken: JSON.rawJSON(token) };
          const reply = await call(side, 'progress', { steps: 2, ms: 1 }, { meta }).done;
          const progress = reply.messages.filter(
            (text) => JSON.parse(text).method === 'notifications/progress',
          );
          assert.deepEqual(
            progress.map((text) => raw(text, 'params', 'progressToken')),
            [token, token],
          );
          assert.deepEqual(
            progress.map((text) => raw(text, 'params', 'total')),
            ['2.0', '2.0'],
          );
          assert.deepEqual(
            progress.map((text) => raw(text, 'params', 'x-progress')),
            ['1e400', '1e400'],
          );
          assert.equal(raw(reply.messages.at(-1), 'result', 'content', 0, 'text'), '"done 2"');
        }
      });

      test('gets no progress that it did not ask for', async () => {
        const reply = await call(side, 'progress', { steps: 2, ms: 1 }).done;
        assert.deepEqual(
          reply.messages
            .map((text) => JSON.parse(text).method)
            .filter((method) => method === 'notifications/progress'),
          [],
        );
      });

      test('gets the bytes of results as the upstream wrote them', async () => {
        const member = async (tool, ...path) =>
          raw((await call(side, tool).done).answerText, 'result', ...path);
        assert.equal(await member('big_numbers', 'structuredContent'), bigNumbers);
        assert.equal(await member('unicode', 'content', 0, 'text'), unicodeText);
        for (const [key, value] of members(oddResult)) {
          if (key !== '_meta') assert.equal(await member('odd', key), value, key);
        }
        assert.equal(await member('odd', '_meta', 'example.com/trace'), '9007199254740993');
        const big = await call(side, 'big', { bytes: 3_000_000 }).done;
        assert.equal(big.answer.result.content[0].text.length, 3_000_000);
      });

      test('sends the bytes of arguments as it wrote them', async () => {
        const args =
          '{ "b" : 1.50, "a":[12345678901234567890 , 1e400,-0],"\\u0061b":"\\ud83d\\ude00é","nul":"\\u0000" }';
        const params = `{"name":"echo","arguments":${args}}`;
        const reply = await side.request('tools/call', params, {});
        assert.equal(reply.answer.result.content[0].text, args);
      });

      test('sends members that nobody knows', async () => {
        const params = '{"x-before":[1.0],"name":"params","arguments":{},"x-after":{"n":1e400}}';
        const meta = {
          'example.com/own': JSON.rawJSON('9007199254740993'),
          traceparent: '00-1-2-01',
        };
        const withMeta = params.replace('{', `{"_meta":${JSON.stringify(meta)},`);
        const reply = await side.request('tools/call', era === 'legacy' ? withMeta : params, {
          meta,
        });
        const seen = reply.answer.result.content[0].text;
        assert.equal(raw(seen, 'x-before'), '[1.0]');
        assert.equal(raw(seen, 'x-after'), '{"n":1e400}');
        assert.equal(raw(seen, 'name'), '"params"');
        assert.equal(raw(seen, '_meta', 'example.com/own'), '9007199254740993');
        // That is none: a trace begins here.
        assert.match(raw(seen, '_meta', 'traceparent'), /^"00-[0-9a-f]{32}-[0-9a-f]{16}-03"$/);
      });

      test('lists every page, each tool as the upstream wrote it', async () => {
        const texts = [];
        let cursor;
        do {
          const page = await side.request('tools/list', cursor === undefined ? {} : { cursor });
          assert.equal(page.status, 200);
          texts.push(...elements(raw(page.answerText, 'result', 'tools')));
          cursor = page.answer.result.nextCursor;
        } while (cursor !== undefined);
        assert.deepEqual(texts.toSorted(), [...definitions.values()].toSorted());
      });

      test('gets members of its own era only', async () => {
        const [listed, called] = [
          await side.request('tools/list', {}),
          await call(side, 'fail').done,
        ];
        for (const { answer } of [listed, called])
          assert.equal(answer.result.resultType, era === 'modern' ? 'complete' : undefined);
        const { ttlMs, cacheScope } = listed.answer.result;
        if (era === 'modern') assert.ok(Number.isInteger(ttlMs) && ttlMs >= 0);
        else assert.equal(ttlMs, undefined);
        assert.equal(cacheScope, era === 'modern' ? 'private' : undefined);
      });

      test('gets log messages while the call runs', async () => {
        const modern = era === 'modern';
        const meta = modern ? { 'io.modelcontextprotocol/logLevel': 'info' } : undefined;
        if (!modern) {
          const set = await side.request('logging/setLevel', { level: 'info' });
          assert.deepEqual(set.answer.result, {});
        }
        const held = async (nonce) => {
          const first = signal();
          const onmessage = () => first.resolve();
          const running = call(side, 'hold', { nonce }, { meta, onmessage });
          running.done.catch(() => {});
          await within(first.promise, 5000, 'a message while the call runs').finally(() =>
            upstreams[connection].release(nonce),
          );
          const reply = await running.done;
          return reply.messages.filter(
            (text) => JSON.parse(text).method === 'notifications/message',
          );
        };
        // A level that one worker was told reaches the others by a notification of Postgres.
        let round = 0;
        const logged = await eventually(async () => {
          round += 1;
          const messages = await held(`log ${era} ${connection} ${round}`);
          assert.deepEqual(
            messages.map((text) => JSON.parse(text).params.level),
            ['info'],
          );
          return messages;
        });
        assert.equal(raw(logged[0], 'params', 'data'), '{"text":"held","n":12345678901234567890}');
      });

      test('is told in one way whatever the upstream breaks', async () => {
        for (const how of breakageNames) {
          const outcome = ['401', '403'].includes(how)
            ? ['needs_auth', 'upstream_error']
            : ['upstream_error'];
          const broken = await open(era, brokenBy(connection, how), breaking);
          const reply = await within(
            call(broken, 'break', { how }, { recorded: { outcome } }).done,
            15000,
            `the answer to ${how}`,
          );
          assert.equal(reply.status, 200, how);
          assert.equal(reply.answer.result?.isError, true, `${how}: ${reply.answerText}`);
          assert.equal(reply.answer.result.content[0].type, 'text');
          assert.equal(reply.headers['www-authenticate'], undefined);
          assert.doesNotMatch(reply.text, /as\.invalid/, "nothing of the upstream's challenge");
          const next = await call(broken, 'echo', {}).done;
          assert.equal(next.answer.result?.isError, undefined, `the connection works after ${how}`);
        }
      });
    });
  }
}

test('a modern client gets no log message without asking', async () => {
  const side = await open('modern', 'old');
  const reply = await call(side, 'progress', { steps: 2, ms: 1 }, { meta: { progressToken: 'p' } })
    .done;
  const methods = reply.messages.map((text) => JSON.parse(text).method);
  assert.deepEqual(methods, ['notifications/progress', 'notifications/progress', undefined]);
});

test('the same id and token in several calls at once stay apart', async () => {
  for (const connection of ['old', 'new']) {
    const sides = await Promise.all([
      open('legacy', connection),
      open('legacy', connection),
      open('modern', connection),
    ]);
    const seen = sides.map(() => []);
    const running = sides.map((side, at) =>
      call(
        side,
        'hold',
        { nonce: `same ${connection} ${at}` },
        {
          id: '0',
          meta: { progressToken: 0 },
          onmessage: (text) => seen[at].push(text),
        },
      ),
    );
    running.forEach((one) => one.done.catch(() => {}));
    const progressOf = (at) => seen[at].filter((text) => text.includes('notifications/progress'));
    await eventually(() => sides.every((_, at) => progressOf(at).length === 1), {
      what: 'each has its first progress',
    });
    for (const at of [1, 0, 2]) {
      await upstreams[connection].release(`same ${connection} ${at}`);
      const reply = await running[at].done;
      assert.equal(raw(reply.answerText, 'id'), '0');
      assert.equal(progressOf(at).length, 2);
    }
  }
});

test('the aggregate list holds every connection, in the same order each time', async () => {
  const names = [];
  for (const era of ['legacy', 'modern', 'legacy']) {
    const side = await opener(era, gateway.mcp(), { key: tenant.userKey });
    const list = await side.request('tools/list', {});
    names.push(list.answer.result.tools.map((tool) => tool.name));
  }
  const wanted = connections.flatMap((connection) =>
    [...definitions.keys()].map((tool) => `${connection}__${tool}`),
  );
  assert.deepEqual(names[0].toSorted(), wanted.toSorted());
  assert.deepEqual(names[1], names[0]);
  assert.deepEqual(names[2], names[0]);
});

test('a long list comes in pages that are complete and do not overlap', async () => {
  const added = Array.from({ length: 250 }, (_, at) => `tool_${at}`);
  upstreams.many = await startFixture('legacy', { 'page-size': 70 });
  await upstreams.many.control({ added });
  await tenant.addConnection('many', upstreams.many.url);
  for (const era of eras) {
    const side = await open(era, 'many');
    const names = [];
    let pages = 0;
    for (let cursor; pages === 0 || cursor !== undefined; pages++) {
      const { answer } = await side.request('tools/list', cursor === undefined ? {} : { cursor });
      names.push(...answer.result.tools.map((tool) => tool.name));
      cursor = answer.result.nextCursor;
    }
    assert.ok(pages > 1, `${pages} pages`);
    assert.deepEqual(names.toSorted(), [...definitions.keys(), ...added].toSorted());
  }
});

describe('credentials toward the upstream', () => {
  const headersSeen = async (connection) => {
    const side = await open('legacy', connection);
    const reply = await side.request(
      'tools/call',
      { name: 'needs_header', arguments: {} },
      {
        headers: {
          cookie: 'a=b',
          'x-client': 'mine',
          'x-forwarded-for': '10.1.2.3',
          forwarded: 'for=10.1.2.3',
          'mcp-method': 'initialize',
        },
      },
    );
    return reply.answer.result.structuredContent.headers;
  };

  test('are its own, and nothing else of the client passes', async () => {
    const bearer = await startFixture('legacy', { token: 'upstream-token' });
    const apiKey = await startFixture('modern', { 'api-key': 'X-Upstream-Key=upstream key' });
    upstreams.bearer = bearer;
    upstreams.apikey = apiKey;
    await tenant.addConnection('bearer', bearer.url, {
      auth: { mode: 'bearer', credential: 'upstream-token' },
      headers: { 'X-Env': 'prod', 'X-Odd': 'a "b" c' },
    });
    await tenant.addConnection('apikey', apiKey.url, {
      auth: { mode: 'api_key', credential: 'upstream key', header: 'X-Upstream-Key' },
    });
    const first = await headersSeen('bearer');
    assert.equal(first.authorization, 'Bearer upstream-token');
    assert.equal(first['x-env'], 'prod');
    assert.equal(first['x-odd'], 'a "b" c');
    const second = await headersSeen('apikey');
    assert.equal(second['x-upstream-key'], 'upstream key');
    assert.equal(second.authorization, undefined);
    for (const headers of [first, second, await headersSeen('old')]) {
      for (const name of ['cookie', 'x-client', 'x-forwarded-for', 'forwarded', 'x-api-key'])
        assert.equal(headers[name], undefined, name);
      assert.ok(!JSON.stringify(headers).includes(tenant.userKey));
    }
    assert.equal(
      (await headersSeen('old'))['mcp-method'],
      undefined,
      'legacy upstreams get no modern header',
    );
  });

  test('that the upstream refuses are reported, not relayed', async () => {
    upstreams.refusing = await startFixture('legacy', { token: 'other' });
    await tenant.must(201, 'POST', '/connections', {
      name: 'refusing',
      url: upstreams.refusing.url,
      auth: { mode: 'bearer', credential: 'wrong-token' },
    });
    const status = await eventually(async () => {
      const { json } = await gateway.status(tenant.adminKey, 'refusing');
      return json?.last_error ? json : undefined;
    });
    assert.equal(status.healthy, false);
    assert.match(status.last_error, /401|credential|refused/i);
    assert.doesNotMatch(JSON.stringify(status), /wrong-token|as\.invalid/);
  });
});

describe('initialize', () => {
  const initialize = async (protocolVersion) =>
    (await openSession(gateway.mcp(), { key: tenant.userKey, version: protocolVersion })).opened;

  test('agrees on a version that needs no batches', async () => {
    const agreed = {
      '2025-11-25': '2025-11-25',
      '2025-06-18': '2025-06-18',
      '2025-03-26': '2025-11-25',
      '2024-11-05': '2025-11-25',
      '2026-07-28': '2025-11-25',
      '1999-01-01': '2025-11-25',
    };
    for (const [asked, answered] of Object.entries(agreed)) {
      const { answer, headers } = await initialize(asked);
      assert.equal(answer.result.protocolVersion, answered);
      assert.match(headers['mcp-session-id'], /^[\x21-\x7e]{32,}$/);
    }
  });

  test('says what the gateway offers', async () => {
    const { answer } = await initialize('2025-11-25');
    assert.ok(answer.result.capabilities.tools);
    assert.equal(typeof answer.result.serverInfo.name, 'string');
    assert.equal(typeof answer.result.serverInfo.version, 'string');
  });
});

describe('a session', () => {
  test('answers ping, ends with DELETE', async () => {
    const session = await openSession(gateway.mcp(), { key: tenant.userKey });
    assert.deepEqual((await session.request('ping')).answer, { jsonrpc: '2.0', id: 1, result: {} });
    const headers = { authorization: `Bearer ${tenant.userKey}`, ...session.headers };
    const removed = await request(session.url, { method: 'DELETE', headers });
    assert.ok([200, 204].includes(removed.status), `${removed.status}`);
    // The other workers hear of it by a notification of Postgres.
    await eventually(async () => {
      const after = await session.request('ping');
      assert.deepEqual([after.status, after.answer.error?.code], [404, -32001]);
      return true;
    });
    const again = await request(session.url, { method: 'DELETE', headers });
    assert.equal(again.status, 404);
  });

  test('does not need the version header on later requests', async () => {
    const session = await openSession(gateway.mcp(), { key: tenant.userKey });
    const reply = await session.request(
      'tools/list',
      {},
      { headers: { 'mcp-protocol-version': null } },
    );
    assert.equal(reply.status, 200);
  });

  test('tolerates modern headers on legacy requests', async () => {
    const session = await openSession(gateway.mcp(), {
      key: tenant.userKey,
      headers: { 'mcp-method': 'initialize', 'mcp-name': 'x' },
    });
    assert.equal((await session.request('tools/list', {})).status, 200);
  });
});

test('server/discover says what the gateway speaks', async () => {
  const { status, answer, headers } = await requestModern(
    gateway.mcp(),
    'server/discover',
    {},
    { key: tenant.userKey },
  );
  assert.equal(status, 200);
  assert.deepEqual(answer.result.supportedVersions, ['2026-07-28']);
  assert.equal(answer.result.resultType, 'complete');
  assert.ok(Number.isInteger(answer.result.ttlMs));
  assert.ok(['private', 'public'].includes(answer.result.cacheScope));
  assert.ok(answer.result.capabilities.tools);
  assert.equal(typeof answer.result._meta['io.modelcontextprotocol/serverInfo'].name, 'string');
  assert.equal(headers['mcp-session-id'], undefined);
});

test('streams are sent as they should be', async () => {
  const side = await open('modern', 'old');
  const reply = await call(side, 'progress', { steps: 1, ms: 1 }, { meta: { progressToken: 1 } })
    .done;
  assert.equal(reply.headers['content-type'], 'text/event-stream');
  assert.match(reply.headers['cache-control'], /no-cache|no-store/);
  assert.equal(reply.headers['x-accel-buffering'], 'no');
  assert.equal(reply.headers['content-encoding'], undefined);
});

test('the gateway broke no rule toward the upstreams', async () => {
  for (const name of connections)
    assert.deepEqual((await upstreams[name].ledger()).violations, [], name);
});
