// SPDX-License-Identifier: Apache-2.0
//
// Calls that need a token: got without a browser (client_credentials), renewed when it is refused,
// each user's own, and what a client is told if there is none.

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';

import { clients } from './lib/clients.mjs';
import { dispose, newDirectory, runCli, start } from './lib/gateway.mjs';
import { openSession, requestModern } from './lib/raw.mjs';
import { startStage } from './lib/token_stage.mjs';
import { eventually } from './lib/wait.mjs';

const elicitsUrl = { 'io.modelcontextprotocol/clientCapabilities': { elicitation: { url: {} } } };
const sha256 = (text) => createHash('sha256').update(text).digest('hex');

let gateway;
let tenant;
const stages = [];

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('tokens');
});

after(async () => {
  await Promise.all(stages.map((stage) => stage.stop()));
  if (gateway !== undefined) await dispose(gateway);
});

const stageOf = async (settings) => {
  const stage = await startStage(settings);
  stages.push(stage);
  return stage;
};

const call = (name, { key = tenant.userKey, ...options } = {}) =>
  requestModern(gateway.mcp(), 'tools/call', { name, arguments: {} }, { key, ...options });
const textOf = ({ answer }) => answer.result?.content?.[0]?.text ?? JSON.stringify(answer);
const statusOf = async (name) => (await gateway.status(tenant.adminKey, name)).json;
const statusIs = (name, check) =>
  eventually(
    async () => {
      const json = await statusOf(name);
      if (!check(json)) throw new Error(JSON.stringify(json));
      return json;
    },
    { deadline: 10000, what: `the status of ${name}: ${check}` },
  );
const add = (name, stage, oauth) =>
  tenant.must(201, 'POST', '/connections', {
    name,
    url: stage.url,
    auth: { mode: 'oauth', oauth },
  });
const eventsOf = (name) =>
  gateway.owner(
    `SELECT type, actor FROM audit.auth_events WHERE tenant = $1 AND connection = $2 ORDER BY at`,
    [tenant.name, name],
  );
const lastRow = (tool, outcome) =>
  eventually(async () => {
    const rows = await gateway.rows(
      'WHERE tenant = $1 AND tool = $2 AND outcome = $3 ORDER BY started_at DESC LIMIT 1',
      [tenant.name, tool, outcome],
    );
    return rows[0];
  });

describe('client_credentials', () => {
  const odd = { id: 'me&you', secret: 's p+c/1%' };
  const keys = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });

  for (const how of ['basic', 'basic_raw', 'post', 'private_key_jwt'])
    for (const found of [false, true])
      test(`${how}, endpoints ${found ? 'discovered' : 'typed in'}`, async () => {
        const isKey = how === 'private_key_jwt';
        const name = `${how.replaceAll('_', '-')}-${found ? 'found' : 'typed'}`;
        const stage = await stageOf({
          clients: { [odd.id]: isKey ? { publicKey: keys.publicKey } : { secret: odd.secret } },
        });
        await add(name, stage, {
          grant: 'client_credentials',
          per: 'shared',
          client_id: odd.id,
          client_secret: isKey ? keys.privateKey : odd.secret,
          token_endpoint_auth: how,
          scope: 'read  write:all',
          audience: 'https://aud.example/',
          ...(found ? {} : { token_url: stage.tokenUrl }),
        });
        await gateway.listed(tenant.adminKey, name);
        assert.equal(textOf(await call(`${name}__whoami`)), odd.id);
        assert.equal(stage.asked.length, 1);
        const asked = stage.asked[0];
        assert.equal(asked.how, how);
        assert.equal(asked.client, odd.id);
        assert.equal(asked.scope, 'read  write:all');
        assert.equal(asked.audience, 'https://aud.example/');
        assert.equal(asked.resource, stage.url);
        const refused = stage.calls.filter(({ status }) => status === 401);
        assert.equal(refused.length, found ? 1 : 0); // what discovery asked without a token
        assert.deepEqual(
          (await eventsOf(name)).map(({ type }) => type),
          ['acquired'],
        );
      });

  test('a token that is refused is renewed once, and each call runs exactly once', async () => {
    const stage = await stageOf({ clients: { me: { secret: 's' } }, era: 'legacy' });
    const oauth = {
      grant: 'client_credentials',
      per: 'shared',
      client_id: 'me',
      client_secret: 's',
      token_url: stage.tokenUrl,
    };
    await add('revoked', stage, oauth);
    await gateway.listed(tenant.adminKey, 'revoked');
    stage.denied.add(stage.issued[0]);
    const answers = await Promise.all(Array.from({ length: 16 }, () => call('revoked__count')));
    for (const answer of answers) assert.equal(textOf(answer), 'me');
    assert.equal(stage.ran, 16);
    assert.equal(stage.issued.length, 2);
    const sent = stage.toolCalls('count');
    assert.equal(sent.filter(({ status }) => status === 200).length, 16);
    assert.ok(sent.length <= 32);
    for (const { status, digest } of sent)
      assert.equal(digest, sha256(stage.issued[status === 200 ? 1 : 0]));
    // The session of the upstream outlives the token.
    assert.equal(stage.sessions.size, 1);
  });

  test('tokens over 8 KiB arrive whole', async () => {
    const stage = await stageOf({ clients: { me: { secret: 's' } }, pad: 20000 });
    await add('large', stage, {
      grant: 'client_credentials',
      per: 'shared',
      client_id: 'me',
      client_secret: 's',
      token_url: stage.tokenUrl,
    });
    await gateway.listed(tenant.adminKey, 'large');
    assert.equal(textOf(await call('large__whoami')), 'me');
    assert.equal(stage.toolCalls('whoami')[0].digest, sha256(stage.issued[0]));
  });

  test('a server that refuses the client is left in peace, and an administrator is wanted', async () => {
    const stage = await stageOf({ clients: { me: { secret: 's' } } });
    await add('refused', stage, {
      grant: 'client_credentials',
      per: 'shared',
      client_id: 'me',
      client_secret: 'wrong',
      token_url: stage.tokenUrl,
    });
    const status = await statusIs('refused', ({ state }) => state === 'needs_auth');
    assert.match(status.last_error, /invalid_client/);
    assert.equal(status.healthy, false);
    assert.equal(status.next_retry_at, null);
    const answers = await Promise.all(Array.from({ length: 20 }, () => call('refused__whoami')));
    for (const { answer } of answers) {
      assert.equal(answer.result.isError, true);
      assert.match(answer.result.content[0].text, /invalid_client.*administrator/);
    }
    // Once by each worker, and by the one that watches once more.
    const most = 1 + (await gateway.owner('SELECT FROM tollgate.nodes')).length;
    assert.ok(stage.asked.length <= most, `asked ${stage.asked.length} times`);
    assert.equal(stage.toolCalls('whoami').length, 0);
    assert.equal((await lastRow('refused__whoami', 'needs_auth')).error_type, 'needs_auth');
    // With the right secret it is listed at once.
    await tenant.must(
      200,
      'PATCH',
      '/connections/refused',
      { auth: { oauth: { client_secret: 's' } } },
      { ifMatch: true },
    );
    await gateway.listed(tenant.adminKey, 'refused');
    assert.equal(textOf(await call('refused__whoami')), 'me');
  });

  test('a token that is always refused is not asked for over and over', async () => {
    const stage = await stageOf({ clients: { me: { secret: 's' } } });
    await add('never', stage, {
      grant: 'client_credentials',
      per: 'shared',
      client_id: 'me',
      client_secret: 's',
      token_url: stage.tokenUrl,
    });
    await gateway.listed(tenant.adminKey, 'never');
    assert.equal(textOf(await call('never__count')), 'me');
    stage.denied = 'all';
    const { answer } = await call('never__count');
    assert.equal(answer.result.isError, true);
    // The worker that takes the call may have to open the upstream first, and is refused then.
    assert.equal(stage.calls.filter(({ status }) => status === 401).length, 2);
    assert.equal(stage.ran, 1);
    assert.ok(stage.issued.length <= 3); // the listing may have been refused as well
  });
});

describe('an account of each user', () => {
  let stage;
  let ben;
  let cleo;
  const ingest = (key, token, more = {}) =>
    tenant.must(
      200,
      'POST',
      '/connections/each/oauth/ingest',
      { access_token: token, token_type: 'Bearer', ...more },
      { key },
    );

  before(async () => {
    for (const name of ['ben', 'cleo']) await tenant.must(201, 'POST', '/users', { name });
    ben = (await gateway.newKey(tenant.name, { name: 'ben-key', user: 'ben' })).key;
    cleo = (await gateway.newKey(tenant.name, { name: 'cleo-key', user: 'cleo' })).key;
    stage = await stageOf({ era: 'legacy', scopes: { write: 'write' } });
    await add('each', stage, { grant: 'authorization_code', per: 'user' });
    await statusIs('each', ({ state }) => state === 'needs_auth');
  });

  test('asks nobody while there is none, and is listed at once when there is', async () => {
    const status = await statusOf('each');
    assert.equal(status.last_error, 'not connected yet');
    assert.equal(stage.calls.length, 0);
    const client = await clients[1].connect({ url: gateway.mcp(), key: ben });
    await client.listen();
    await ingest(tenant.userKey, stage.give('ana-there'));
    await gateway.listed(tenant.adminKey, 'each', { deadline: 3000 });
    await eventually(() => client.changes.length > 0, { what: 'list_changed' });
    const tools = (await client.listTools()).map(({ name }) => name);
    assert.ok(tools.includes('each__whoami'));
    await client.close();
  });

  test('each call bears the token of its user, in a session of its own', async () => {
    await ingest(ben, stage.give('ben-there'));
    const answers = await Promise.all(
      [tenant.userKey, ben, tenant.userKey, ben, ben].map((key) => call('each__whoami', { key })),
    );
    assert.deepEqual(answers.map(textOf), [
      'ana-there',
      'ben-there',
      'ana-there',
      'ben-there',
      'ben-there',
    ]);
    assert.deepEqual(stage.mixed, []);
    assert.equal(new Set(stage.sessions.values()).size, 2);
  });

  test('another account does not go on in the session of the one before', async () => {
    for (const who of ['ana-elsewhere', 'ana-there']) {
      const sessions = stage.sessions.size;
      await ingest(tenant.userKey, stage.give(who));
      await eventually(
        async () => {
          const answers = await Promise.all(Array.from({ length: 8 }, () => call('each__whoami')));
          return answers.every((answer) => textOf(answer) === who);
        },
        { what: `all workers call as ${who}` },
      );
      assert.deepEqual(stage.mixed, []);
      assert.equal(stage.sessions.size, sessions + 1, 'all workers share the new one');
    }
  });

  test('without one, each client is sent to a page in the form that it understands', async () => {
    const before = stage.toolCalls('whoami').length;
    const page = new RegExp(`^${gateway.dev.public_url}/connect/[0-9a-f-]{36}$`);

    const asked = (await call('each__whoami', { key: cleo, meta: elicitsUrl })).answer.result;
    assert.equal(asked.resultType, 'input_required');
    assert.equal(asked.inputRequests.connect.method, 'elicitation/create');
    assert.equal(asked.inputRequests.connect.params.mode, 'url');
    assert.match(asked.inputRequests.connect.params.url, page);
    assert.equal(typeof asked.requestState, 'string');

    for (const version of ['2025-11-25', '2025-06-18'])
      for (const elicits of [true, false]) {
        const session = await openSession(gateway.mcp(), {
          key: cleo,
          version,
          capabilities: elicits ? { elicitation: { url: {} } } : {},
        });
        const { status, answer } = await session.request('tools/call', {
          name: 'each__whoami',
          arguments: {},
        });
        assert.equal(status, 200);
        if (elicits) {
          assert.equal(answer.error.code, -32042);
          assert.match(answer.error.data.elicitations[0].url, page);
          assert.equal(answer.error.data.elicitations[0].mode, 'url');
        } else {
          assert.equal(answer.result.isError, true);
          assert.match(answer.result.content[0].text, /needs an account.*\/connect\//);
        }
      }

    const plain = (await call('each__whoami', { key: cleo })).answer.result;
    assert.equal(plain.isError, true);
    assert.match(plain.content[0].text, /Open http.*\/connect\//);

    const api = await tenant.api('POST', '/tools/call', { name: 'each__whoami' }, { key: cleo });
    assert.equal(api.status, 409);
    assert.equal(api.json.code, 'needs_auth');
    assert.match(api.json.connect_url, page);

    assert.equal(stage.toolCalls('whoami').length, before);
    assert.equal((await lastRow('each__whoami', 'needs_auth')).user_name, 'cleo');
  });

  test('a retry goes on as soon as there is one; a state of another call is refused', async () => {
    const asked = (await call('each__whoami', { key: cleo, meta: elicitsUrl })).answer.result;
    const retry = (name, state, action, key = cleo) =>
      requestModern(
        gateway.mcp(),
        'tools/call',
        {
          name,
          arguments: {},
          inputResponses: { connect: { action } },
          requestState: state,
        },
        { key, meta: elicitsUrl },
      );
    const flipped = (asked.requestState[0] === 'A' ? 'B' : 'A') + asked.requestState.slice(1);
    for (const reply of [
      await retry('each__whoami', flipped, 'accept'),
      await retry('each__count', asked.requestState, 'accept'),
      await retry('each__whoami', asked.requestState, 'accept', ben),
    ]) {
      assert.equal(reply.status, 400);
      assert.equal(reply.answer.error.code, -32602);
    }
    const declined = (await retry('each__whoami', asked.requestState, 'decline')).answer.result;
    assert.equal(declined.isError, true);
    assert.match(declined.content[0].text, /declined/);

    const waiting = retry('each__whoami', asked.requestState, 'accept');
    await ingest(cleo, stage.give('cleo-there'));
    assert.equal(textOf(await waiting), 'cleo-there');
    const sent = stage.toolCalls('whoami').at(-1);
    assert.doesNotMatch(sent.body, /requestState|inputResponses/);
  });

  test('a scope that is missing becomes a link, and the upstream is not quoted', async () => {
    const reply = await call('each__write', { key: cleo, meta: elicitsUrl });
    assert.equal(reply.answer.result.resultType, 'input_required');
    assert.equal(reply.headers['www-authenticate'], undefined);
    const [attempt] = await gateway.owner(
      `SELECT a.scope FROM tollgate.connect_attempts a JOIN tollgate.tenants t ON t.id = a.tenant_id
       WHERE t.name = $1 ORDER BY a.created_at DESC LIMIT 1`,
      [tenant.name],
    );
    assert.equal(attempt.scope, 'write');
    await ingest(cleo, stage.give('cleo-there', 'write'));
    assert.equal(textOf(await call('each__write', { key: cleo })), 'cleo-there');
  });

  test("one user's refused token is no other's trouble, nor the connection's", async () => {
    const lost = stage.give('ben-lost');
    await ingest(ben, lost);
    assert.equal(textOf(await call('each__whoami', { key: ben })), 'ben-lost');
    stage.denied.add(lost);
    for (let at = 0; at < 12; at++) {
      const { answer } = await call('each__whoami', { key: ben });
      assert.equal(answer.result.isError, true);
      assert.match(answer.result.content[0].text, /\/connect\//);
    }
    assert.equal(textOf(await call('each__whoami')), 'ana-there');
    assert.ok(['ok', 'needs_auth'].includes((await statusOf('each')).state));
  });

  test('a service key is told that it is no user', async () => {
    const { answer } = await call('each__whoami', { key: tenant.adminKey });
    assert.equal(answer.result.isError, true);
    assert.match(answer.result.content[0].text, /service key belongs to no user/);
  });
});

describe('an account that all share', () => {
  test('is connected by an administrator, and others are told so', async () => {
    const stage = await stageOf();
    await add('shared', stage, { grant: 'authorization_code', per: 'shared' });
    await statusIs('shared', ({ state }) => state === 'needs_auth');
    const user = (await call('shared__whoami')).answer.result;
    assert.match(user.content[0].text, /Ask an administrator to connect shared/);
    const admin = (await call('shared__whoami', { key: tenant.adminKey })).answer.result;
    assert.match(admin.content[0].text, /\/connect\//);
    const cli = await runCli(['call', 'shared__whoami'], {
      env: { TOLLGATE_URL: gateway.dev.public_url, TOLLGATE_KEY: tenant.adminKey },
    });
    assert.notEqual(cli.code, 0);
    assert.match(cli.stderr, /\/connect\//);
  });
});
