// SPDX-License-Identifier: Apache-2.0
//
// How a call can end before its answer, for clients and upstreams of either era: what the client
// sees, what the upstream hears, what the row says. A second gateway runs on the same Postgres;
// connections are chosen so that a cancel arrives at another worker, or gateway, than its call.
// And what is revoked, on every worker of both.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, sql, start } from './lib/gateway.mjs';
import { registerGateway } from './lib/ledger.mjs';
import { message, openSession, post, request, requestModern, startModern } from './lib/raw.mjs';
import { startSecond } from './lib/second.mjs';
import { eventually, within } from './lib/wait.mjs';
import { connect, connectAll, connectElsewhere, nodeOf } from './lib/workers.mjs';

const eras = ['legacy', 'modern'];
// Over another worker or gateway, while Postgres answers.
const arrival = 1000;
// Behind a notification that was lost: the poll, and the time to hear of it.
const polled = 2500;
const revoked = 5000;

let gateway;
let second;
let tenant;
let superuser;
const upstreams = {};
const firstUrl = () => gateway.mcp();
const mcpOf = (one) => `${one.public_url}/mcp`;
// Without a front, so that a connection stays with its worker.
const directUrl = () => mcpOf(gateway.each[0]);
const secondUrl = () => `${second.publicUrl}/mcp`;

async function newTenant(prefix) {
  const made = await gateway.newTenant(prefix);
  const allow = Object.values(upstreams).map(({ port }) => `127.0.0.1:${port}`);
  const route = `/tenants/${made.name}`;
  await gateway.must(200, 'PATCH', route, { egress: { allow } }, { ifMatch: true });
  return made;
}

before(async () => {
  // Of its own: the second gateway may reach only what tenants have exceptions for, and says of
  // every other connection that it cannot be used.
  gateway = await start(newDirectory());
  superuser = gateway.dev.database_url.replace('user=tollgate_app', 'user=postgres');
  for (const era of eras) upstreams[era] = await startFixture(era);
  tenant = await newTenant('cancel');
  for (const era of eras) {
    await tenant.addConnection(era, upstreams[era].url);
    await tenant.addConnection(`${era}-brief`, upstreams[era].url, { call_timeout: '1s' });
  }
  second = await startSecond(gateway.dev, gateway.directory, { set: { drain_timeout: '0s' } });
  registerGateway(gateway.directory, [second.publicUrl, second.keyUrl]);
});

after(async () => {
  await second?.stop();
  await Promise.all(Object.values(upstreams).map((upstream) => upstream.stop()));
  if (gateway) await dispose(gateway);
});

let serial = 0;

// A call that runs upstream: {nonce, id, url, running, done, entry, session, upstream}.
async function hold(era, upstream, { connection = upstream, url = firstUrl(), ...options } = {}) {
  const nonce = `n${++serial}`;
  const id = `"${nonce} é"`;
  const meta = { progressToken: nonce };
  const params = { name: `${connection}__hold`, arguments: { nonce } };
  const extra = { id, key: tenant.userKey, url, ...options };
  const key = tenant.userKey;
  let handle;
  let session;
  if (era === 'legacy') {
    session = options.session ?? (await openSession(firstUrl(), { key }));
    handle = session.start('tools/call', { _meta: meta, ...params }, extra);
  } else {
    handle = startModern(url, 'tools/call', params, { ...extra, meta });
  }
  handle.done.catch(() => {});
  await Promise.race([
    upstreams[upstream].running(nonce),
    handle.done.then(({ answer, text }) => answer && assert.fail(`answered: ${text}`)),
  ]);
  const fixture = upstreams[upstream];
  return Object.assign(handle, { nonce, session, requestId: JSON.parse(id), fixture });
}

const told = (call, deadline = arrival) =>
  eventually(async () => (await call.fixture.ledger()).cancelled.includes(call.nonce), {
    deadline,
    what: `the upstream hears that ${call.nonce} was cancelled`,
  });
const untold = async (call) =>
  assert.ok(!(await call.fixture.ledger()).cancelled.includes(call.nonce), 'it was not told');

// The one row of a call, which must say so.
async function row(call, outcome) {
  const rows = await eventually(
    async () => {
      const found = await gateway.rows('WHERE host(source_ip) = $1 AND request_id = $2', [
        call.entry.source_ip,
        JSON.stringify(call.requestId),
      ]);
      return found.length > 0 ? found : undefined;
    },
    { deadline: 10000, what: `a row of ${call.nonce}` },
  );
  assert.equal(rows.length, 1);
  assert.equal(rows[0].outcome, outcome);
  return rows[0];
}

// No response: the stream ends, and what was in it is no answer.
async function silent(call) {
  const reply = await within(call.done, arrival, 'the stream ends');
  assert.equal(reply.status, 200);
  assert.match(reply.headers['content-type'], /^text\/event-stream/);
  assert.equal(reply.answer, undefined);
  assert.ok(reply.messages.every((text) => /^notifications\//.test(JSON.parse(text).method)));
}

const cancel = (call, via = {}) =>
  call.session.notify('notifications/cancelled', { requestId: call.requestId, reason: 'test' }, via);
const recorded = (outcome) => ({ recorded: { outcome: [outcome] } });

// Where a legacy cancel arrives: {call, cancel} are connections.
const places = {
  'the same worker': async () => {
    const one = await connect(gateway, directUrl(), tenant.userKey);
    const two = await connectAll(gateway, directUrl(), tenant.userKey);
    const same = two.find((found) => found.node === one.node);
    two.filter((found) => found !== same).map((found) => found.close());
    return { call: one, cancel: same };
  },
  'another worker': async () => {
    const call = await connect(gateway, directUrl(), tenant.userKey);
    return {
      call,
      cancel: await connectElsewhere(gateway, directUrl(), tenant.userKey, call.node),
    };
  },
  'another gateway': async () => ({
    call: await connect(gateway, directUrl(), tenant.userKey),
    cancel: await connect(gateway, secondUrl(), tenant.userKey),
  }),
};

async function cancelFrom(place, upstream) {
  const at = await places[place]();
  const call = await hold('legacy', upstream, { ...at.call.via, ...recorded('cancelled') });
  const taken = await cancel(call, at.cancel.via);
  assert.equal(taken.status, 202);
  assert.ok(taken.reused, 'the cancel went where it should');
  await Promise.all([told(call), silent(call)]);
  await row(call, 'cancelled');
  assert.equal(await nodeOf(gateway, call.entry.source_ip, 'cancelled'), at.call.node);
  assert.equal(at.cancel.node === at.call.node, place === 'the same worker');
  at.call.close();
  at.cancel.close();
}

for (const upstream of eras) {
  describe(`before its answer, at an upstream of the ${upstream} era,`, () => {
    for (const place of Object.keys(places))
      test(`a legacy call is cancelled over ${place}`, () => cancelFrom(place, upstream));

    test('a legacy client that leaves cancels nothing', async () => {
      const call = await hold('legacy', upstream, recorded('client_closed'));
      call.abort();
      await assert.rejects(call.done);
      await call.fixture.release(call.nonce);
      await row(call, 'client_closed');
      await untold(call);
    });

    test('a legacy client that never comes back costs no more than the deadline', async () => {
      const call = await hold('legacy', upstream, {
        connection: `${upstream}-brief`,
        ...recorded('timeout'),
      });
      call.abort();
      await told(call, 1000 + arrival);
      const { duration_ms: took } = await row(call, 'timeout');
      assert.ok(took >= 900 && took < 1000 + arrival, `${took} ms`);
    });

    test('a modern client that leaves cancels', async () => {
      const call = await hold('modern', upstream, recorded('client_closed'));
      call.abort();
      await told(call);
      await row(call, 'client_closed');
    });

    for (const era of eras) {
      test(`a ${era} call that waits too long is given up`, async () => {
        const call = await hold(era, upstream, {
          connection: `${upstream}-brief`,
          ...recorded('timeout'),
        });
        const reply = await within(call.done, 1000 + arrival, 'an answer');
        assert.equal(reply.answer.result.isError, true);
        assert.match(reply.answer.result.content[0].text, /did not answer in time/);
        await told(call);
        await row(call, 'timeout');
      });

      test(`a ${era} client is told when the upstream ends the call`, async () => {
        const params = { name: `${upstream}__break`, arguments: { how: 'stream_end' } };
        const options = { key: tenant.userKey, ...recorded('upstream_error') };
        const session = await openSession(firstUrl(), { key: tenant.userKey });
        const reply =
          era === 'legacy'
            ? await session.request('tools/call', params, options)
            : await requestModern(firstUrl(), 'tools/call', params, options);
        assert.equal(reply.answer.result.isError, true);
        assert.match(reply.answer.result.content[0].text, /ended without a result/);
        await row({ ...reply, requestId: 1, nonce: 'ended' }, 'upstream_error');
      });
    }
  });
}

describe('a cancel', () => {
  const listeners =
    'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ $1 AND datname = current_database()';

  test('arrives although the notification is lost', async () => {
    const at = await places['another gateway']();
    const call = await hold('legacy', 'legacy', { ...at.call.via, ...recorded('cancelled') });
    // Written as the other gateway would, but in a transaction that notifies nobody.
    const [{ key }] = await gateway.owner(
      `WITH r AS (SELECT t.id, u.id AS ana FROM tollgate.tenants t JOIN tollgate.users u ON u.tenant_id = t.id
         WHERE t.name = $1)
       SELECT id::text || E'\\nuser:' || ana || E'\\n' || left(encode(sha256($2), 'hex'), 16) || E'\\n' ||
         encode(sha256($3), 'hex') AS key FROM r`,
      [tenant.name, Buffer.from(call.session.id), Buffer.from(JSON.stringify(call.requestId))],
    );
    await sql(
      superuser,
      `SET session_replication_role = replica;
       INSERT INTO tollgate.cancellations (tenant_id, key)
       VALUES ('${key.split('\n')[0]}', sha256('${key}'))`,
    );
    await told(call, polled);
    await silent(call);
    await row(call, 'cancelled');
    at.call.close();
    at.cancel.close();
  });

  test('arrives while the listeners reconnect', async () => {
    const at = await places['another gateway']();
    const call = await hold('legacy', 'legacy', { ...at.call.via, ...recorded('cancelled') });
    assert.ok((await sql(superuser, listeners, ['^LISTEN'])).length >= 4);
    assert.equal((await cancel(call, at.cancel.via)).status, 202);
    await told(call, polled);
    await silent(call);
    await row(call, 'cancelled');
    at.call.close();
    at.cancel.close();
  });

  test('that overtakes its call still ends it', async () => {
    const at = await places['another gateway']();
    const session = await openSession(firstUrl(), { key: tenant.userKey });
    const early = { session, requestId: `n${serial + 1} é` };
    assert.equal((await cancel(early, at.cancel.via)).status, 202);
    const call = await hold('legacy', 'modern', {
      ...at.call.via,
      session,
      ...recorded('cancelled'),
    });
    await told(call, polled);
    await silent(call);
    await row(call, 'cancelled');
    at.call.close();
    at.cancel.close();
  });

  test('of another session, or of another id, ends nothing and is swept', async () => {
    const call = await hold('legacy', 'legacy', recorded('ok'));
    const other = await openSession(secondUrl(), { key: tenant.userKey });
    const via = { url: secondUrl() };
    await cancel({ session: other, requestId: call.requestId }, via);
    await cancel({ session: call.session, requestId: `${call.requestId} ` }, via);
    const unanswered = `SELECT count(*)::int AS n FROM tollgate.cancellations c
      JOIN tollgate.tenants t ON t.id = c.tenant_id WHERE t.name = $1`;
    assert.deepEqual(await gateway.owner(unanswered, [tenant.name]), [{ n: 2 }]);
    await call.fixture.release(call.nonce);
    assert.equal((await call.done).answer.result.content[0].text, 'released');
    await untold(call);
    await row(call, 'ok');
    await gateway.owner(
      `UPDATE tollgate.cancellations SET created_at = created_at - interval '1 minute'`,
    );
    await gateway.owner('SELECT tollgate.sweep_cancellations()');
    assert.deepEqual(await gateway.owner(unanswered, [tenant.name]), [{ n: 0 }]);
  });

  test('of somebody else finds no session', async () => {
    const call = await hold('legacy', 'legacy', recorded('ok'));
    const reply = await post(
      firstUrl(),
      message(undefined, 'notifications/cancelled', { requestId: call.requestId }),
      {
        key: tenant.adminKey,
        headers: call.session.headers,
        recorded: { outcome: ['protocol_error'], method: 'notifications/cancelled' },
      },
    ).done;
    assert.equal(reply.status, 404);
    await call.fixture.release(call.nonce);
    assert.equal((await call.done).answer.result.content[0].text, 'released');
    await row(call, 'ok');
  });
});

describe('on every worker of all gateways, within 5 s,', () => {
  let own;
  let workers;

  // Ask as somebody on each of the workers, two of each gateway.
  const everywhere = (ask, want) =>
    eventually(
      async () => {
        const got = await Promise.all(workers.map((worker) => ask(worker.via)));
        if (!got.every((answer) => answer === want)) throw new Error(JSON.stringify(got));
        return true;
      },
      { deadline: revoked, every: 50, what: `every worker says ${want}` },
    );
  const listStatus =
    (key) =>
    async (via) =>
      (await requestModern(via.url, 'tools/list', {}, { key, ...via })).status;
  const names = (key) => async (via) => {
    const { answer } = await requestModern(via.url, 'tools/list', {}, { key, ...via });
    return [...new Set(answer.result.tools.map((tool) => tool.name.split('__')[0]))].join();
  };
  const remove = (route) => own.must(204, 'DELETE', route, undefined, { ifMatch: '*' });
  const change = (route, body) => own.must(200, 'PATCH', route, body, { ifMatch: true });

  before(async () => {
    own = await newTenant('revoke');
    workers = [];
    for (const url of [...gateway.each.map(mcpOf), secondUrl()])
      workers.push(...(await connectAll(gateway, url, own.userKey)));
    assert.equal(
      new Set(workers.map((worker) => worker.node)).size,
      2 * (gateway.each.length + 1),
    );
    await own.addConnection('one', upstreams.legacy.url);
    await own.addConnection('two', upstreams.modern.url);
    await everywhere(names(own.userKey), 'one,two');
  });
  after(() => workers?.forEach((worker) => worker.close()));

  const revocations = {
    'a key that is deleted is refused': async () => {
      const key = await gateway.newKey(own.name, { name: 'deleted' });
      await everywhere(listStatus(key.key), 200);
      return [() => remove(`/keys/${key.id}`), listStatus(key.key), 401];
    },
    'a user who is disabled is refused': async () => {
      await own.must(201, 'POST', '/users', { name: 'bob' });
      const { key } = await gateway.newKey(own.name, { name: 'bob-key', user: 'bob' });
      await everywhere(listStatus(key), 200);
      return [() => change('/users/bob', { enabled: false }), listStatus(key), 401];
    },
    'a role that is taken away is gone': async () => {
      await own.must(201, 'POST', '/users', { name: 'eve', role: 'admin' });
      const { key } = await gateway.newKey(own.name, { name: 'eve-key', user: 'eve', role: 'admin' });
      const ask = async (via) => {
        const users = `${new URL(via.url).origin}/api/v1/users`;
        return (await request(users, { ...via, headers: { authorization: `Bearer ${key}` } })).status;
      };
      await everywhere(ask, 200);
      return [() => change('/users/eve', { role: 'user' }), ask, 403];
    },
    'a connection that is disabled is hidden': async () => [
      () => change('/connections/two', { enabled: false }),
      names(own.userKey),
      'one',
    ],
    'a connection that is removed is gone': async () => {
      await own.addConnection('three', upstreams.modern.url);
      await everywhere(names(own.userKey), 'one,three');
      return [() => remove('/connections/three'), names(own.userKey), 'one'];
    },
    'a tenant that is disabled is refused': async () => [
      () =>
        gateway.must(200, 'PATCH', `/tenants/${own.name}`, { enabled: false }, { ifMatch: true }),
      listStatus(own.userKey),
      401,
    ],
  };

  for (const [name, prepare] of Object.entries(revocations)) {
    test(`${name}, although nobody listens`, async () => {
      const [revoke, ask, want] = await prepare();
      // The notification of the edit is lost: nobody is connected when it is sent.
      let over = false;
      const deafening = (async () => {
        while (!over)
          await sql(
            superuser,
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ~ '^LISTEN'`,
          );
      })();
      try {
        await revoke();
        await everywhere(ask, want);
      } finally {
        over = true;
        await deafening;
      }
    });
  }

  test('a key that expires is refused, and what it had begun ends as it would', async () => {
    await gateway.must(200, 'PATCH', `/tenants/${own.name}`, { enabled: true }, { ifMatch: true });
    await everywhere(listStatus(own.userKey), 200);
    const expires = Date.now() + 1500;
    const { key, id } = await gateway.newKey(own.name, {
      name: 'brief',
      expires_at: new Date(expires).toISOString(),
    });
    const nonce = 'expires';
    const params = { name: 'one__hold', arguments: { nonce } };
    const call = startModern(firstUrl(), 'tools/call', params, { key, ...recorded('ok') });
    await upstreams.legacy.running(nonce);
    await everywhere(listStatus(key), 401);
    assert.ok(Date.now() >= expires);
    await remove(`/keys/${id}`);
    await upstreams.legacy.release(nonce);
    assert.equal((await call.done).answer.result.content[0].text, 'released');
  });
});

describe('a gateway that stops', () => {
  test('says so to who waits, and to the upstreams', async () => {
    const calls = [];
    for (const era of eras)
      for (const upstream of eras)
        calls.push(await hold(era, upstream, { url: secondUrl(), ...recorded('drained') }));
    const stopping = second.stop();
    for (const call of calls) {
      const reply = await within(call.done, 5000, 'an answer');
      assert.equal(reply.answer.error.code, -32000);
      assert.match(reply.answer.error.message, /stopping/);
      await told(call);
      await row(call, 'drained');
    }
    assert.equal(await stopping, 0);
  });
});
