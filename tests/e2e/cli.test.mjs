// SPDX-License-Identifier: Apache-2.0
//
// Every command of the CLI does its work. What it refuses stands in wrong_input.json.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { definitions } from './fixtures/tools.mjs';
import { startFixture } from './lib/fixtures.mjs';
import { environment, runCli } from './lib/gateway.mjs';
import { record, registerKey } from './lib/ledger.mjs';
import { raw } from './lib/rawjson.mjs';
import { eventually } from './lib/wait.mjs';

let gateway;
let tenant;
let upstream;
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-cli-'));

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('cli');
  upstream = await startFixture('legacy', { token: 'upstream-secret' });
});

after(async () => {
  await upstream?.stop();
  await gateway?.close();
  fs.rmSync(scratch, { recursive: true, force: true });
});

// As the tenant's administrator; must end with 0.
async function tollgate(args, options = {}) {
  const reply = await gateway.cli(args, {
    ...options,
    env: { TOLLGATE_KEY: tenant.adminKey, ...options.env },
  });
  assert.equal(
    reply.code,
    0,
    `tollgate ${args.join(' ')}: ${reply.code}\n${reply.stdout}\n${reply.stderr}`,
  );
  assert.doesNotMatch(reply.stdout, /\x1b/, 'no colours where no terminal is');
  return reply.stdout;
}
const json = async (args, options) => JSON.parse(await tollgate([...args, '-o', 'json'], options));
const asPlatform = {
  env: {
    get TOLLGATE_KEY() {
      return gateway.dev.admin_key;
    },
  },
};
const items = (value) => (Array.isArray(value) ? value : value.items);
const owed = (tool, outcome, key = tenant.adminKey) =>
  record({
    url: gateway.dev.public_url,
    key,
    method: 'tools/call',
    tool,
    id: '1',
    outcome: [outcome],
  });

describe('without a gateway', () => {
  const version = fs.readFileSync(path.join(import.meta.dirname, '../../VERSION'), 'utf8').trim();

  test('version', async () => {
    const { code, stdout } = await runCli(['version']);
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`));
    assert.equal((await runCli(['--version'])).code, 0);
  });

  test('help', async () => {
    for (const args of [
      ['help'],
      ['--help'],
      ['-h'],
      ['help', 'connections'],
      ['connections', '--help'],
    ]) {
      const { code, stdout } = await runCli(args);
      assert.equal(code, 0, args.join(' '));
      assert.match(stdout, /tollgate/);
    }
    const { stdout } = await runCli(['help']);
    for (const command of [
      'dev',
      'serve',
      'migrate',
      'status',
      'version',
      'tenants',
      'users',
      'keys',
      'connections',
      'tools',
      'call',
    ])
      assert.match(stdout, new RegExp(`\\b${command}\\b`));
  });
});

test('status', async () => {
  assert.match(await tollgate(['status']), /\S/);
  assert.equal(typeof (await json(['status'])), 'object');
});

test('the gateway is found by option, by environment and by .run/dev.json', async () => {
  const env = { TOLLGATE_URL: '', TOLLGATE_KEY: '' };
  const byOption = await runCli(
    ['status', '--url', gateway.dev.public_url, '--key', tenant.adminKey],
    { env: {} },
  );
  assert.equal(byOption.code, 0, byOption.stderr);
  fs.mkdirSync(path.join(scratch, '.run'));
  fs.copyFileSync(path.join(gateway.directory, 'dev.json'), path.join(scratch, '.run/dev.json'));
  const byFile = await runCli(['status'], { cwd: scratch });
  assert.equal(byFile.code, 0, byFile.stderr);
  const nowhere = await runCli(['connections', 'list'], { env });
  assert.ok([3, 4].includes(nowhere.code), `${nowhere.code}`);
});

describe('tenants, users, keys', () => {
  const name = `cli-${Math.random().toString(36).slice(2, 8)}`;

  test('tenants add, list, show, rm', async () => {
    await tollgate(['tenants', 'add', name], asPlatform);
    assert.ok((await tollgate(['tenants', 'list'], asPlatform)).includes(name));
    assert.ok(items(await json(['tenants', 'list'], asPlatform)).some((one) => one.name === name));
    assert.equal((await json(['tenants', 'show', name], asPlatform)).name, name);
    await tollgate(['tenants', 'rm', name, '--yes'], asPlatform);
    assert.ok(!items(await json(['tenants', 'list'], asPlatform)).some((one) => one.name === name));
  });

  test('users add, list, rm', async () => {
    await tollgate(['users', 'add', 'ben']);
    assert.deepEqual(
      items(await json(['users', 'list']))
        .map((user) => user.name)
        .toSorted(),
      ['ana', 'ben'],
    );
    assert.ok((await tollgate(['users', 'list'])).includes('ben'));
  });

  test('keys add, list, rm; the key works until it is removed', async () => {
    const made = await json(['keys', 'add', 'ben-laptop', '--user', 'ben']);
    registerKey(made.key, tenant.name, 'ben');
    assert.match(made.key, /^tgk_/);
    const table = await tollgate(['keys', 'add', 'service', '--role', 'admin', '--expires', '1h']);
    assert.match(table, /tgk_/, 'it is shown once');
    const listed = await tollgate(['keys', 'list']);
    assert.ok(listed.includes('ben-laptop') && !listed.includes(made.key));
    const use = () => gateway.cli(['tools', 'list'], { env: { TOLLGATE_KEY: made.key } });
    assert.equal((await use()).code, 0);
    await tollgate(['keys', 'rm', made.id, '--yes']);
    await eventually(async () => (await use()).code === 3, {
      deadline: 5000,
      what: 'the key is refused',
    });
    await tollgate(['users', 'rm', 'ben', '--yes']);
    assert.deepEqual(
      items(await json(['users', 'list'])).map((user) => user.name),
      ['ana'],
    );
  });
});

describe('connections', () => {
  const secret = path.join(scratch, 'secret');
  const headersSeen = async () => {
    owed('crm__needs_header', 'ok');
    const result = await json(['call', 'crm__needs_header']);
    return result.structuredContent.headers;
  };

  test('add with a credential file, show, list', async () => {
    fs.writeFileSync(secret, 'upstream-secret\n');
    await tollgate([
      'connections',
      'add',
      'crm',
      '--url',
      upstream.url,
      '--auth',
      'bearer',
      '--credential-file',
      secret,
      '--header',
      'X-Env=prod',
      '--header',
      'X-Eq=a=b',
    ]);
    await gateway.listed(tenant.adminKey, 'crm');
    const shown = await json(['connections', 'show', 'crm']);
    assert.equal(shown.url, upstream.url);
    assert.equal(shown.auth.credential, '[REDACTED]');
    const text =
      (await tollgate(['connections', 'show', 'crm'])) + (await tollgate(['connections', 'list']));
    assert.ok(text.includes('crm') && !text.includes('upstream-secret'));
    assert.deepEqual(
      items(await json(['connections', 'list'])).map((one) => one.name),
      ['crm'],
    );
    const headers = await headersSeen();
    assert.equal(headers.authorization, 'Bearer upstream-secret');
    assert.equal(headers['x-env'], 'prod');
    assert.equal(headers['x-eq'], 'a=b');
  });

  test('status', async () => {
    const status = await json(['connections', 'status', 'crm']);
    assert.equal(status.healthy, true);
    assert.equal(status.era, 'legacy');
    assert.match(await tollgate(['connections', 'status', 'crm']), /crm|ok|healthy/);
  });

  test('edit keeps the rest, also the credential', async () => {
    await tollgate(['connections', 'edit', 'crm', '--header', 'X-Env=test']);
    await eventually(async () => (await headersSeen())['x-env'] === 'test', {
      deadline: 4000,
      every: 100,
    });
    assert.equal((await headersSeen()).authorization, 'Bearer upstream-secret');
  });

  test('disable and enable', async () => {
    const tools = async () => items(await json(['tools', 'list'])).length;
    assert.equal(await tools(), definitions.size);
    await tollgate(['connections', 'disable', 'crm']);
    await eventually(async () => (await tools()) === 0, { deadline: 4000 });
    assert.equal((await json(['connections', 'show', 'crm'])).enabled, false);
    await tollgate(['connections', 'enable', 'crm']);
    await eventually(async () => (await tools()) === definitions.size, { deadline: 8000 });
  });

  test('add reads a credential from standard input', async () => {
    await tollgate(
      [
        'connections',
        'add',
        'piped',
        '--url',
        upstream.url,
        '--auth',
        'bearer',
        '--credential-file',
        '-',
      ],
      { input: 'upstream-secret\n' },
    );
    await gateway.listed(tenant.adminKey, 'piped');
    await tollgate(['connections', 'rm', 'piped', '--yes']);
    assert.deepEqual(
      items(await json(['connections', 'list'])).map((one) => one.name),
      ['crm'],
    );
  });
});

describe('tools and call', () => {
  test('tools list and show', async () => {
    const listed = items(await json(['tools', 'list']));
    assert.deepEqual(
      listed.map((tool) => tool.name).toSorted(),
      [...definitions.keys()].map((name) => `crm__${name}`).toSorted(),
    );
    assert.ok((await tollgate(['tools', 'list'])).includes('crm__echo'));
  });

  test('call with pairs', async () => {
    owed('crm__echo', 'ok');
    const text = await tollgate([
      'call',
      'crm__echo',
      '-a',
      'text=a b=c',
      '-a',
      'n=5',
      '-a',
      'flag=true',
    ]);
    assert.match(text, /a b=c/);
  });

  test('call with JSON keeps every number', async () => {
    const args = '{"big":12345678901234567890,"huge":1e400,"zero":-0,"pad":1.50}';
    owed('crm__echo', 'ok');
    const text = await tollgate(['call', 'crm__echo', '--args-json', args, '-o', 'json']);
    assert.equal(raw(text, 'structuredContent'), args);
    owed('crm__big_numbers', 'ok');
    assert.match(
      await tollgate(['call', 'crm__big_numbers', '-o', 'json']),
      /12345678901234567890.*1e400/s,
    );
  });

  test('call prints text as text', async () => {
    owed('crm__inner__name', 'ok');
    assert.equal((await tollgate(['call', 'crm__inner__name'])).trim(), 'inner');
  });
});

describe('migrate', () => {
  const env = () => ({ TOLLGATE_DATABASE_URL: gateway.dev.owner_database_url });

  test('--dry-run and a second run change nothing', async () => {
    const versions =
      'SELECT version, applied_at::text FROM tollgate.tollgate_migrations ORDER BY version';
    const before = await gateway.owner(versions);
    assert.ok(before.length > 0);
    for (const args of [['migrate', '--dry-run'], ['migrate']]) {
      const reply = await runCli(args, { env: env() });
      assert.equal(reply.code, 0, reply.stderr);
    }
    assert.deepEqual(await gateway.owner(versions), before);
  });

  test('refuses a database that had another text of a migration', async () => {
    const [{ sha256 }] = await gateway.owner(
      'SELECT sha256 FROM tollgate.tollgate_migrations WHERE version = 1',
    );
    await gateway.owner(
      "UPDATE tollgate.tollgate_migrations SET sha256 = repeat('0', 64) WHERE version = 1",
    );
    try {
      const reply = await runCli(['migrate'], { env: env() });
      assert.notEqual(reply.code, 0);
      assert.match(reply.stderr, /0001|checksum|sha/i);
    } finally {
      await gateway.owner('UPDATE tollgate.tollgate_migrations SET sha256 = $1 WHERE version = 1', [
        sha256,
      ]);
    }
  });
});
