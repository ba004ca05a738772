// SPDX-License-Identifier: Apache-2.0
//
// Keys are rotated while calls run; what cannot be opened harms only itself; and without the right
// keyring a gateway is sealed until it has it.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { freePort, startFixture } from './lib/fixtures.mjs';
import {
  connectDatabase,
  dispose,
  newDirectory,
  runCli,
  start,
  unlessSpread,
} from './lib/gateway.mjs';
import { scrape, valueOf } from './lib/metrics.mjs';
import { onEveryWorker, requestModern } from './lib/raw.mjs';
import { dataKey, seal } from './lib/seal.mjs';
import { startServe } from './lib/serve.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
let upstream;
let tenant;
let keyring; // the file of the first gateway
let scratch;

// The commands with the keyring file of one gateway; what they print is kept.
const printed = [];
async function keys(args, { file = keyring, env = {}, deadline = 60000 } = {}) {
  const reply = await runCli(['keyring', ...args], {
    deadline,
    env: { TOLLGATE_DATABASE_URL: gateway.dev.database_url, TOLLGATE_KEYRING_FILE: file, ...env },
  });
  printed.push(reply.stdout, reply.stderr);
  return reply;
}
async function must(args, options) {
  const reply = await keys(args, options);
  assert.equal(reply.code, 0, `${args.join(' ')}: ${reply.stdout}${reply.stderr}`);
  return reply;
}
const idsOf = (file) => JSON.parse(fs.readFileSync(file, 'utf8')).keys.map(({ id }) => id);

// As one distributes a file: there is never half of it.
function distribute(from, to) {
  fs.copyFileSync(from, `${to}.copy`);
  fs.chmodSync(`${to}.copy`, 0o600);
  fs.renameSync(`${to}.copy`, to);
}

const call = (url, key, connection) =>
  requestModern(`${url}/mcp`, 'tools/call', { name: `${connection}__needs_header`, arguments: {} }, { key });
const works = ({ status, answer }) => status === 200 && answer?.result?.isError !== true && 'result' in answer;

async function addSealed(to, name) {
  await to.addConnection(name, upstream.url, {
    auth: { mode: 'bearer', credential: `credential-of-${name}` },
    headers: { 'X-Hidden': `header-of-${name}` },
  });
}

before(async () => {
  gateway = await start(newDirectory(), { args: ['--workers', '2'] });
  keyring = path.join(gateway.directory, 'keyring.json');
  scratch = `${gateway.directory}-keys`;
  fs.mkdirSync(scratch);
  upstream = await startFixture('legacy');
  tenant = await gateway.newTenant('keys');
  const { host } = new URL(upstream.url);
  await gateway.must(200, 'PATCH', `/tenants/${tenant.name}`, { egress: { allow: [host] } }, { ifMatch: true });
  await addSealed(tenant, 'one');
  await addSealed(tenant, 'two');
});

after(async () => {
  await upstream?.stop();
  if (gateway) await dispose(gateway);
});

describe('two gateways', unlessSpread('the second has a keyring of its own here'), () => {
  let other;
  let theirs; // the keyring file of the other
  let running = true;
  const failed = [];
  let calls = 0;

  // One call after the other, now here, now there, for as long as keys change.
  const callAll = async () => {
    for (let at = 0; running; at++) {
      const url = at % 2 === 0 ? gateway.dev.public_url : other.url;
      const reply = await call(url, tenant.userKey, at % 4 < 2 ? 'one' : 'two');
      calls++;
      if (!works(reply)) failed.push(reply.text);
    }
  };
  let caller;

  before(async () => {
    theirs = path.join(scratch, 'theirs.json');
    distribute(keyring, theirs);
    other = await startServe(gateway, 'other', { TOLLGATE_KEYRING_FILE: theirs });
    await eventually(async () => works(await call(other.url, tenant.userKey, 'one')), {
      deadline: 10000,
    });
    caller = callAll();
  });
  after(async () => {
    running = false;
    await caller;
    await other?.stop();
  });

  test('a key is promoted once every worker has it', async () => {
    const { stdout } = await must(['add']);
    assert.match(stdout, /^key 2 added/);
    const promoting = keys(['promote', '2']);
    await eventually(
      async () => {
        const { items } = JSON.parse((await must(['list', '-o', 'json'])).stdout);
        return items[1].workers === '2 of 4';
      },
      { deadline: 10000, what: 'its own workers have it' },
    );
    assert.equal(JSON.parse(fs.readFileSync(keyring, 'utf8')).primary, 1);
    distribute(keyring, theirs);
    const done = await promoting;
    assert.equal(done.code, 0, done.stderr);
    assert.match(done.stderr, /do not have key 2/);
    assert.equal(JSON.parse(fs.readFileSync(keyring, 'utf8')).primary, 2);
  });

  test('what is wrapped by either key opens at both', async () => {
    await must(['rewrap']);
    // The other one still wraps with the old key.
    const made = await fetch(`${other.url}/api/v1/tenants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.dev.admin_key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'late' }),
    });
    assert.equal(made.status, 201, await made.text());
    const wrapped = await gateway.owner(
      `SELECT k.kek_id::int, t.name = 'late' AS late FROM tollgate.data_keys k
       JOIN tollgate.tenants t ON t.id = k.tenant_id`,
    );
    assert.ok(wrapped.every((row) => row.kek_id === (row.late ? 1 : 2)));
    for (const file of [keyring, theirs])
      assert.match((await must(['verify'], { file })).stdout, /^\d+ data keys and 4 sealed values of \d+ tenants open$/m);
  });

  test('a key goes once nobody wraps with it and nothing is wrapped by it', async () => {
    assert.match((await keys(['retire', '2'])).stderr, /is the primary one/);
    const retiring = keys(['retire', '1']);
    distribute(keyring, theirs);
    const refused = await retiring;
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /key 1 wraps 1 data keys/);
    assert.deepEqual(idsOf(keyring), [1, 2]);
    await must(['rewrap']);
    assert.match((await must(['rewrap'])).stdout, /: 0$/m, 'again is nothing');
    await must(['retire', '1']);
    assert.deepEqual(idsOf(keyring), [2]);
    distribute(keyring, theirs);
    await must(['verify']);
  });

  test('a new key has an id that no key ever had', async () => {
    await must(['add']);
    await must(['retire', '3']);
    assert.match((await must(['add'])).stdout, /^key 4 added/);
    await must(['retire', '4']);
  });

  test('new data keys seal everything anew', async () => {
    const { stdout } = await must(['rewrap', '--data-keys', '-o', 'json']);
    assert.deepEqual(JSON.parse(stdout), { ok: true, moved: 4, problems: [] });
    const ids = await gateway.owner(
      `SELECT get_byte(credential, 13) AS credential, get_byte(headers, 13) AS headers
       FROM tollgate.connections WHERE credential IS NOT NULL`,
    );
    assert.ok(ids.length === 2 && ids.every((row) => row.credential === 2 && row.headers === 2));
    await must(['verify']);
  });

  test('meanwhile no call has failed', async () => {
    // Workers that start now have nothing from before.
    await eventually(async () => (await call(other.url, tenant.userKey, 'two')).status === 200);
    running = false;
    await caller;
    assert.deepEqual(failed, []);
    assert.ok(calls > 50, `${calls} calls`);
    const { answer } = await call(gateway.dev.public_url, tenant.userKey, 'two');
    assert.equal(answer.result.structuredContent.headers['x-hidden'], 'header-of-two');
  });
});

describe('what does not open', () => {
  const flip = (table, column, where) =>
    gateway.owner(
      `UPDATE tollgate.${table} SET ${column} = set_byte(${column}, 40, get_byte(${column}, 40) # 1) WHERE ${where}`,
    );
  const everywhere = async (key, connection, holds) =>
    eventually(
      async () =>
        (await onEveryWorker(() => call(gateway.dev.public_url, key, connection))).every(holds),
      { deadline: 15000, what: `every worker knows of ${connection}` },
    );
  const problems = async () => {
    const reply = await keys(['verify', '-o', 'json']);
    const found = JSON.parse(reply.stdout);
    assert.equal(reply.code, found.ok ? 0 : 1);
    return found.problems;
  };

  test('every column of bytes is known to be sealed, or not to be', async () => {
    const rows = await gateway.owner(
      `SELECT table_name || '.' || column_name AS name FROM information_schema.columns
       WHERE table_schema = 'tollgate' AND data_type = 'bytea' ORDER BY 1`,
    );
    const { columns } = JSON.parse((await must(['verify', '-o', 'json'])).stdout);
    // Hashes, and what wraps.
    const open = [
      'api_keys.secret_mac',
      'browser_sessions.token_hash',
      'cancellations.key',
      'catalogs.hash',
      'connect_attempts.browser_hash',
      'connect_attempts.state_hash',
      'data_keys.wrapped',
      'mcp_sessions.id_hash',
      'mcp_sessions.list_hash',
      'signin_codes.code_hash',
    ];
    assert.deepEqual(
      rows.map((row) => row.name).filter((name) => !open.includes(name)),
      columns.toSorted(),
    );
  });

  test('a credential harms its connection only, and is named', async () => {
    const where = `name = 'one' AND tenant_id = (SELECT id FROM tollgate.tenants WHERE name = '${tenant.name}')`;
    const [{ id }] = await gateway.owner(`SELECT id FROM tollgate.connections WHERE ${where}`);
    await flip('connections', 'credential', where);
    const [problem, ...more] = await problems();
    assert.deepEqual(more, []);
    assert.deepEqual(
      { ...problem, problem: undefined },
      { tenant: tenant.name, table: 'connections', row: id, column: 'credential', problem: undefined },
    );
    await everywhere(tenant.userKey, 'one', (reply) => !works(reply));
    await everywhere(tenant.userKey, 'two', works);
    const status = await eventually(async () => {
      const { json } = await gateway.status(tenant.adminKey, 'one');
      return json.state === 'invalid' && json;
    });
    assert.match(JSON.stringify(status), /its credential: a sealed value does not open/);
    await flip('connections', 'credential', where);
    assert.deepEqual(await problems(), []);
    await everywhere(tenant.userKey, 'one', works);
  });

  test('a data key harms its tenant only', async () => {
    const hurt = await gateway.newTenant('hurt');
    await addSealed(hurt, 'three');
    const where = `tenant_id = (SELECT id FROM tollgate.tenants WHERE name = '${hurt.name}')`;
    await flip('data_keys', 'wrapped', where);
    assert.deepEqual(
      (await problems()).map(({ tenant: name, table, column }) => [name, table, column]),
      [
        [hurt.name, 'data_keys', 'wrapped'],
        [hurt.name, 'connections', 'credential'],
        [hurt.name, 'connections', 'headers'],
      ],
    );
    await everywhere(hurt.userKey, 'three', (reply) => !works(reply));
    await everywhere(tenant.userKey, 'one', works);
    const { json } = await eventually(async () => {
      const reply = await gateway.status(hurt.adminKey, 'three');
      return reply.json.state === 'invalid' && reply;
    });
    assert.match(JSON.stringify(json), /data key does not open with this gateway's keyring/);
    const refused = await hurt.api('POST', '/connections', {
      name: 'four',
      url: upstream.url,
      auth: { mode: 'bearer', credential: 'x' },
    });
    assert.equal(refused.status, 503, refused.text);
    // What cannot be opened cannot be wrapped anew either, and does not hinder the others.
    const moved = await keys(['rewrap']);
    assert.equal(moved.code, 1);
    assert.match(moved.stderr, /1 do not open and stay as they are/);
    await flip('data_keys', 'wrapped', where);
    await everywhere(hurt.userKey, 'three', works);
  });

  // What connecting an account leaves behind, of a connection that nobody uses.
  async function plantTokens(owner) {
    const { json } = await owner.must(201, 'POST', '/connections', {
      name: 'account',
      url: upstream.url,
      enabled: false,
      auth: {
        mode: 'oauth',
        oauth: { grant: 'client_credentials', per: 'shared', client_id: 'us', client_secret: 'secret' },
      },
    });
    const [connection] = await gateway.owner(
      'SELECT c.id FROM tollgate.connections c JOIN tollgate.tenants t ON t.id = c.tenant_id'
        + " WHERE t.name = $1 AND c.name = 'account'",
      [owner.name],
    );
    assert.equal(json.name, 'account');
    const key = await dataKey(gateway, JSON.parse(fs.readFileSync(keyring, 'utf8')), owner.name);
    const row = randomUUID();
    const value = (table, column, version) =>
      seal(key, { ...key, table, column, row, version }, Buffer.from(`${table}.${column}`));
    await gateway.owner(
      `INSERT INTO tollgate.grants
         (tenant_id, connection_id, id, kind, version, access_token, refresh_token, client_secret)
       VALUES ($1, $2, $3, 'ingested', 7, $4, $5, $6)`,
      [
        key.tenant,
        connection.id,
        row,
        ...['access_token', 'refresh_token', 'client_secret'].map((name) => value('grants', name, 7)),
      ],
    );
    await gateway.owner(
      `INSERT INTO tollgate.upstream_clients
         (tenant_id, issuer, redirect_uri, id, client_id, client_auth, client_secret)
       VALUES ($1, 'https://as.invalid', 'https://us.invalid', $2, 'us', 'basic', $3)`,
      [key.tenant, row, value('upstream_clients', 'client_secret', 1)],
    );
    await gateway.owner(
      `INSERT INTO tollgate.connect_attempts
         (tenant_id, connection_id, id, subject, principal, user_name, tries, expires_at,
          client_secret, verifier, held)
       VALUES ($1, $2, $3::uuid, '', 'user:' || $3::uuid, 'ana', 3, now() + interval '10 minutes', $4, $5, $6)`,
      [
        key.tenant,
        connection.id,
        row,
        ...['client_secret', 'verifier', 'held'].map((name) => value('connect_attempts', name, 3)),
      ],
    );
  }

  // A rotation by k puts the value of each place at the one that is k further: all of them together
  // put every value at every other place.
  test('any two values that are swapped', async () => {
    const neighbour = await gateway.newTenant('swap');
    await addSealed(neighbour, 'one');
    // What it was serves on, because the new settings never list.
    const url = `http://127.0.0.1:${await freePort()}/mcp`;
    await tenant.must(200, 'PATCH', '/connections/two', { url }, { ifMatch: true });
    await plantTokens(tenant);
    const { columns } = JSON.parse((await must(['verify', '-o', 'json'])).stdout);
    const places = [];
    for (const [table, column] of columns.map((name) => name.split('.'))) {
      const id = table === 'serving_connections' ? 'connection_id' : 'id';
      for (const row of await gateway.owner(
        `SELECT tenant_id, ${id} AS key, ${column} AS value FROM tollgate.${table} WHERE ${column} IS NOT NULL`,
      ))
        places.push({ table, id, column, ...row });
    }
    assert.equal(places.length, 18);
    const database = await connectDatabase(gateway.dev.owner_database_url);
    const put = async (shift) => {
      for (const [at, { table, id, column, tenant_id: owner, key }] of places.entries())
        await database.query(
          `UPDATE tollgate.${table} SET ${column} = $1 WHERE tenant_id = $2 AND ${id} = $3`,
          [places[(at + shift) % places.length].value, owner, key],
        );
    };
    try {
      for (let shift = 1; shift < places.length; shift++) {
        await put(shift);
        assert.equal((await problems()).length, places.length, `shift ${shift}`);
      }
      await put(0);
      assert.deepEqual(await problems(), []);
    } finally {
      await database.end();
    }
  });
});

describe('sealed', () => {
  const foreign = () => path.join(scratch, 'foreign.json');
  const mine = () => path.join(scratch, 'mine.json');
  let served;

  const sealed = async (reason) => {
    const { status, json } = await served.ready();
    assert.equal(status, 503);
    assert.equal(json.status, 'sealed');
    assert.match(json.checks.keyring, reason);
  };

  before(async () => {
    served = await startServe(gateway, 'sealed', { TOLLGATE_KEYRING_FILE: mine() }, { status: 503 });
  });
  after(async () => {
    assert.equal(await served?.stop(), 0);
  });

  test('it serves nobody, and says why', async () => {
    await eventually(() => sealed(/^2 of 2 workers are sealed: keyring_file cannot be used$/).then(() => true));
    assert.equal((await fetch(`${served.opsUrl}/livez`)).status, 200);
    const mcp = await requestModern(`${served.url}/mcp`, 'tools/list', {}, { key: tenant.userKey, recorded: false });
    assert.equal(mcp.status, 503);
    assert.equal(mcp.headers['retry-after'], '5');
    assert.match(mcp.answer.error.message, /sealed/);
    const api = await fetch(`${served.url}/api/v1/status`);
    assert.equal(api.status, 503);
    assert.equal(api.headers.get('retry-after'), '5');
    assert.equal((await api.json()).code, 'sealed');
    const status = await runCli(['status'], {
      env: { TOLLGATE_URL: served.url, TOLLGATE_KEY: gateway.dev.admin_key },
    });
    assert.equal(status.code, 4);
    assert.match(status.stderr, /the gateway is sealed/);
    const metrics = await eventually(async () => {
      const found = await scrape(served.opsUrl);
      return valueOf(found, 'tollgate_sealed') === 2 && found;
    });
    assert.equal(valueOf(metrics, 'tollgate_keyring_last_load_successful'), 0);
    assert.ok(valueOf(metrics, 'tollgate_http_refused_total', { reason: 'sealed' }) >= 2);
    const doctor = await runCli(['doctor', '-o', 'json'], { env: served.env });
    const states = Object.fromEntries(
      JSON.parse(doctor.stdout).checks.map(({ name, state, text }) => [name, `${state} ${text}`]),
    );
    assert.match(states.keyring, /^fail /);
    assert.match(states.ready, /^fail .*sealed/);
  });

  test('it makes no keyring, and nobody else does for a database that has one', async () => {
    assert.ok(!fs.existsSync(mine()));
    const reply = await keys(['create'], { file: mine() });
    assert.equal(reply.code, 1);
    assert.match(reply.stderr, /bound to a keyring already/);
    assert.ok(!fs.existsSync(mine()));
  });

  test('another keyring does not unseal it', async () => {
    await must(['create', '--offline'], { file: foreign() });
    const conflict = await keys(['verify'], { file: foreign() });
    assert.equal(conflict.code, 1);
    assert.match(conflict.stderr, /not the keyring that this database is bound to/);
    distribute(foreign(), mine());
    await eventually(() => sealed(/not the keyring of this database$/).then(() => true), { deadline: 10000 });
  });

  test('the right one does', async () => {
    distribute(keyring, mine());
    await eventually(async () => (await served.ready()).status === 200, { deadline: 10000 });
    assert.ok((await onEveryWorker(() => call(served.url, tenant.userKey, 'one'))).every(works));
  });

  test('who serves is not sealed by a file that went bad, nor replaced by who would be', async () => {
    distribute(foreign(), mine());
    served.kill('SIGHUP');
    await eventually(
      async () =>
        valueOf(await scrape(served.opsUrl), 'tollgate_config_last_reload_successful') === 0,
      { deadline: 10000, what: 'the reload fails' },
    );
    assert.equal((await served.ready()).status, 200);
    assert.ok((await onEveryWorker(() => call(served.url, tenant.userKey, 'one'))).every(works));
    distribute(keyring, mine());
  });
});

describe('the commands', () => {
  test('refuse to change a credential of the service manager', async () => {
    for (const args of [['add'], ['promote', '2'], ['retire', '2'], ['create', '--offline']]) {
      const reply = await keys(args, { env: { CREDENTIALS_DIRECTORY: gateway.directory } });
      assert.equal(reply.code, 2, args.join(' '));
      assert.match(reply.stderr, /service manager/);
    }
  });

  test('show no key', () => {
    const { pepper, keys: all } = JSON.parse(fs.readFileSync(keyring, 'utf8'));
    const text = printed.join('');
    assert.ok(text.length > 1000);
    for (const secret of [pepper, ...all.map(({ key }) => key)]) assert.ok(!text.includes(secret));
  });
});

test('dev makes no second keyring for its database', async () => {
  await gateway.stop();
  fs.renameSync(keyring, `${keyring}.away`);
  const reply = await runCli(['dev', '--dir', gateway.directory, '--port', '0'], { deadline: 30000 });
  assert.equal(reply.code, 1);
  assert.match(reply.stderr, /put it back/);
  assert.ok(!fs.existsSync(keyring));
});
