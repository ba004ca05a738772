// SPDX-License-Identifier: Apache-2.0
//
// What people run beside the gateway: probe, doctor, config, client-config, completion, manual.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

import { freePort, startFixture } from './lib/fixtures.mjs';
import { dispose, environment, newDirectory, runCli, start } from './lib/gateway.mjs';
import { record } from './lib/ledger.mjs';
import { inspectorProgram, mcpRemoteProgram, newHome } from './lib/programs.mjs';
import { eventually } from './lib/wait.mjs';

const repository = path.resolve(import.meta.dirname, '../..');
const binary = process.env.TOLLGATE_E2E_BINARY ?? path.join(repository, 'build/tollgate');
const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-operate-'));

let gateway;
let tenant;

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('operate');
});

after(async () => {
  await gateway?.close();
  fs.rmSync(scratch, { recursive: true, force: true });
});

const asTenant = (args, options = {}) =>
  gateway.cli(args, { ...options, env: { TOLLGATE_KEY: tenant.adminKey, ...options.env } });

const oneJsonLine = (text) => {
  assert.match(text, /^\{.*\}\n$/);
  return JSON.parse(text);
};

describe('probe', () => {
  // Everything that a probe could have changed: of this tenant in Postgres, and in the book.
  const state = () =>
    gateway.owner(
      `SELECT (SELECT json_agg(c ORDER BY c.id) FROM tollgate.connections c WHERE tenant_id = t.id) AS connections,
              (SELECT json_agg(c ORDER BY c.connection_id) FROM tollgate.catalogs c WHERE tenant_id = t.id) AS catalogs,
              (SELECT json_agg(s.session_id ORDER BY s.session_id) FROM tollgate.upstream_sessions s
               WHERE tenant_id = t.id) AS sessions,
              (SELECT count(*) FROM audit.call_log l WHERE l.tenant_id = t.id) AS calls
       FROM tollgate.tenants t WHERE t.name = $1`,
      [tenant.name],
    );

  async function probe(args, code = 0) {
    const before = await state();
    const reply = await asTenant(['connections', 'probe', ...args, '-o', 'json']);
    assert.equal(reply.code, code, `${reply.stdout}\n${reply.stderr}`);
    assert.deepEqual(await state(), before, 'nothing has changed');
    if (code !== 0) oneJsonLine(reply.stderr);
    return oneJsonLine(reply.stdout);
  }

  test('a legacy server is described, and its session ended', async () => {
    const upstream = await startFixture('legacy');
    const found = await probe([upstream.url]);
    assert.equal(found.ok, true);
    assert.equal(found.era, 'legacy');
    assert.equal(found.protocol_version, '2025-11-25');
    assert.equal(found.server.name, 'fixture');
    assert.deepEqual(Object.keys(found.capabilities), ['tools', 'logging']);
    assert.equal(found.tools.count, found.tools.names.length);
    assert.ok(found.tools.names.includes('echo'));
    assert.deepEqual(found.auth, {
      needed: false,
      status: null,
      www_authenticate: null,
      resource_metadata: null,
    });
    assert.equal(found.session, 'ended');
    assert.equal(typeof found.latency_ms.open, 'number');
    const { sessions, calls, violations } = await upstream.ledger();
    assert.equal(sessions, 0);
    assert.deepEqual([calls, violations], [[], []]);
    await upstream.stop();
  });

  test('a modern server is described', async () => {
    const upstream = await startFixture('modern', { 'page-size': 3 });
    const found = await probe([upstream.url]);
    assert.equal(found.era, 'modern');
    assert.equal(found.protocol_version, '2026-07-28');
    assert.equal(found.session, null);
    assert.ok(found.tools.count > 3);
    assert.equal(found.tools.complete, true);
    assert.deepEqual((await upstream.ledger()).violations, []);
    await upstream.stop();
  });

  test('a server that wants a credential is quoted, and takes one', async () => {
    const upstream = await startFixture('legacy', { token: 'upstream-secret' });
    const found = await probe([upstream.url], 6);
    assert.equal(found.ok, false);
    assert.equal(found.auth.needed, true);
    assert.equal(found.auth.status, 401);
    assert.match(found.auth.www_authenticate, /^Bearer /);
    assert.equal(found.auth.resource_metadata, 'https://as.invalid/.well-known/x');
    const table = await asTenant(['connections', 'probe', upstream.url]);
    assert.equal(table.code, 6);
    assert.match(table.stdout, /wanted: HTTP 401/);
    const file = path.join(scratch, 'credential');
    fs.writeFileSync(file, 'upstream-secret\n');
    const given = ['--auth', 'bearer', '--credential-file', file];
    assert.equal((await probe([upstream.url, ...given])).ok, true);
    assert.equal((await upstream.ledger()).sessions, 0);
    await upstream.stop();
  });

  test('who is not there, hangs, or speaks something else is told apart', async () => {
    const dead = `http://127.0.0.1:${await freePort()}/mcp`;
    assert.equal((await probe([dead], 1)).error.code, 'upstream_error');
    const upstream = await startFixture('legacy', { mode: 'hang' });
    const hung = await probe([upstream.url, '--call-timeout', '300ms'], 1);
    assert.deepEqual(
      [hung.error.code, hung.error.detail],
      ['timeout', 'no answer to server/discover in time'],
    );
    await upstream.control({ mode: 'status', status: 500 });
    assert.equal((await probe([upstream.url], 1)).error.code, 'upstream_error');
    // The egress policy of the tenant holds here too: dev allows loopback, and nothing else.
    const refused = await asTenant(['connections', 'probe', 'http://10.1.2.3/mcp', '-o', 'json']);
    assert.equal(refused.code, 1);
    assert.equal(oneJsonLine(refused.stderr).error.code, 'egress_denied');
    await upstream.stop();
  });

  test('a connection is probed as it is stored, beside its own session', async () => {
    const upstream = await startFixture('legacy', { token: 'upstream-secret' });
    await tenant.addConnection('stored', upstream.url, {
      auth: { mode: 'bearer', credential: 'upstream-secret' },
    });
    const own = (await upstream.ledger()).sessions;
    const found = await probe(['stored']);
    assert.equal(found.ok, true);
    assert.equal(found.session, 'ended');
    assert.equal((await upstream.ledger()).sessions, own);
    assert.equal((await gateway.status(tenant.adminKey, 'stored')).json.healthy, true);
    const options = await asTenant(['connections', 'probe', 'stored', '--era', 'modern']);
    assert.equal(options.code, 2);
    assert.equal((await asTenant(['connections', 'probe', 'nobody'])).code, 1);
    await upstream.stop();
  });

  test('a client that leaves leaves no session behind', async () => {
    const upstream = await startFixture('legacy', {});
    await upstream.control({ list_delay_ms: 3000 });
    const leaving = new AbortController();
    const asked = fetch(`${gateway.dev.api_url}/probe`, {
      method: 'POST',
      headers: { authorization: `Bearer ${tenant.adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: upstream.url }),
      signal: leaving.signal,
    }).catch(() => 'left');
    await eventually(async () => (await upstream.ledger()).listed === 1, { what: 'it lists' });
    assert.equal((await upstream.ledger()).sessions, 1);
    leaving.abort();
    assert.equal(await asked, 'left');
    await eventually(async () => (await upstream.ledger()).sessions === 0, {
      what: 'the session is ended',
    });
    await upstream.stop();
  });

  test('only an administrator may', async () => {
    const reply = await gateway.api('POST', '/probe', { url: 'https://x.example/mcp' }, {
      key: tenant.userKey,
    });
    assert.equal(reply.status, 403);
  });

  test('a tenant has four at a time, then is told to come back', async () => {
    const upstream = await startFixture('modern', { mode: 'hang' });
    const body = { url: upstream.url, call_timeout: '10s' };
    const leaving = new AbortController();
    const ask = (signal) =>
      fetch(`${gateway.dev.api_url}/probe`, {
        method: 'POST',
        headers: { authorization: `Bearer ${tenant.adminKey}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal,
      });
    // The limit is a worker's own, and there may be several.
    const workers = (await gateway.workers()).length;
    const held = Array.from({ length: 4 * workers + 1 }, () =>
      ask(leaving.signal).then((response) => response.status, () => 'left'),
    );
    const first = await Promise.race(held);
    assert.equal(first, 503);
    leaving.abort();
    await Promise.all(held);
    await upstream.stop();
  });
});

describe('status', () => {
  test('-o env is what a shell can read', async () => {
    const { code, stdout } = await gateway.cli(['status', '-o', 'env']);
    assert.equal(code, 0);
    const shell = spawnSync(
      'sh',
      ['-euc', 'eval "$1"; echo "$TOLLGATE_URL $TOLLGATE_STATUS_TENANT"', 'sh', stdout],
      { encoding: 'utf8' },
    );
    assert.equal(shell.stdout, `${gateway.dev.public_url} demo\n`, shell.stderr);
    assert.doesNotMatch(stdout, /^TOLLGATE_KEY=/m);
  });
});

describe('config', () => {
  const write = (name, text) => {
    const file = path.join(scratch, name);
    fs.writeFileSync(file, text);
    return file;
  };

  test('check names every problem where it stands', async () => {
    const file = write('bad.yaml', 'public_url: https://x.example\nworkres: 2\nworkers: many\n');
    const { code, stderr } = await runCli(['config', 'check', '--config', file]);
    assert.equal(code, 2);
    assert.deepEqual(stderr.split('\n'), [
      `tollgate: ${file}:2:1: there is no setting workres; did you mean workers?`,
      `tollgate: ${file}:3:10: workers must be a number, not a text`,
      '',
    ]);
    const json = await runCli(['config', 'check', '-c', file, '-o', 'json']);
    assert.equal(json.code, 2);
    assert.equal(oneJsonLine(json.stdout).problems.length, 2);
    assert.equal(oneJsonLine(json.stderr).error.code, 'config');
    const serve = await runCli(['serve', '--config', file]);
    assert.equal(serve.code, 2);
    assert.match(serve.stderr, /bad\.yaml:2:1: there is no setting workres/);
  });

  test('dump says what holds and where it comes from, without passwords', async () => {
    const file = write(
      'good.yaml',
      'public_url: https://x.example\ndatabase_url: postgresql://u:hunter2@h/d\n' +
        'drain_database_url: host=h password=hunter2\nworkers: 2\n',
    );
    const env = { TOLLGATE_LOG_LEVEL: 'warn', TOLLGATE_CONFIG: file };
    const dump = await runCli(['config', 'dump', '--origin', '--set', 'db_timeout=5s'], { env });
    assert.equal(dump.code, 0, dump.stderr);
    assert.doesNotMatch(dump.stdout, /hunter2/);
    for (const line of [
      `workers: 2  # ${file}:4`,
      'log_level: warn  # TOLLGATE_LOG_LEVEL',
      'db_timeout: 5s  # --set',
      'listen: 127.0.0.1:8080  # default',
    ])
      assert.ok(dump.stdout.split('\n').includes(line), `${line}\n${dump.stdout}`);
    const json = oneJsonLine((await runCli(['config', 'dump', '-o', 'json'], { env })).stdout);
    assert.deepEqual(json.workers, { value: 2, origin: `${file}:4` });
    // What was dumped is a configuration again.
    const again = write('again.yaml', dump.stdout);
    assert.equal((await runCli(['config', 'check', '--config', again])).code, 0);
  });

  test('schema has every setting that dump has', async () => {
    const schema = JSON.parse((await runCli(['config', 'schema'])).stdout);
    const dump = await runCli(['config', 'dump', '-o', 'json']);
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema');
    assert.deepEqual(Object.keys(schema.properties), Object.keys(JSON.parse(dump.stdout)));
  });

  test('serve starts with a file', async () => {
    const ports = [await freePort(), await freePort(), await freePort()];
    const data = path.join(scratch, 'data');
    const file = write(
      'serve.yaml',
      [
        `public_url: http://127.0.0.1:${ports[0]}`,
        `database_url: {file: ${write('database_url', gateway.dev.database_url)}}`,
        'drain_database_url: ${OPERATE_DRAIN}',
        `keyring_file: ${gateway.directory}/keyring.json`,
        `data_dir: ${data}`,
        `listen: 127.0.0.1:${ports[0]}`,
        `key_listen: 127.0.0.1:${ports[1]}`,
        `ops_listen: 127.0.0.1:${ports[2]}`,
        'workers: 1',
        'drain_timeout: 1s',
      ].join('\n'),
    );
    const env = {
      PATH: process.env.PATH,
      ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '',
      OPERATE_DRAIN: gateway.dev.database_url.replace('tollgate_app', 'tollgate_audit_writer'),
    };
    const served = spawn(binary, ['serve', '--config', file], { stdio: 'ignore', env });
    const ended = new Promise((resolve) => served.on('exit', resolve));
    try {
      await eventually(
        async () => (await fetch(`http://127.0.0.1:${ports[2]}/readyz`)).status === 200,
        { deadline: 10000, what: 'it is ready' },
      );
      const healthy = await runCli(['doctor', '--config', file, '--json'], { env });
      const { checks } = JSON.parse(healthy.stdout);
      assert.deepEqual(
        checks.filter((check) => check.state === 'fail'),
        [],
      );
      for (const name of ['running', 'listen', 'key_listen', 'ops_listen', 'ready', 'keyring_match'])
        assert.equal(checks.find((check) => check.name === name).state, 'ok', name);
      // A second one is kept away from the data directory.
      const second = await runCli(['serve', '--config', file, '-o', 'json'], { env });
      assert.equal(second.code, 1);
      assert.equal(oneJsonLine(second.stderr).error.code, 'conflict');
    } finally {
      served.kill('SIGTERM');
      assert.equal(await ended, 0);
    }
  });
});

describe('doctor', () => {
  const examine = async (args, env = {}) => {
    const reply = await runCli(['doctor', '--json', ...args], { env });
    const { ok, checks } = oneJsonLine(reply.stdout);
    assert.equal(reply.code, ok ? 0 : 1);
    for (const check of checks) {
      assert.match(check.state, /^(ok|warn|fail)$/);
      assert.equal(check.state === 'ok', check.fix === null, JSON.stringify(check));
    }
    return Object.fromEntries(checks.map((check) => [check.name, check]));
  };
  const states = (checks, names) => names.map((name) => checks[name].state);

  test('a running gateway is well, and no secret is shown', async () => {
    const checks = await examine(['--dir', gateway.directory]);
    assert.ok(Object.keys(checks).length >= 20);
    assert.deepEqual(
      Object.values(checks).filter((check) => check.state === 'fail'),
      [],
    );
    const { stdout, stderr, code } = await runCli(['doctor', '--dir', gateway.directory]);
    assert.equal(code, 0, stdout);
    assert.equal(stderr, '');
    assert.match(stdout, /^\d+ ok, \d+ warn, 0 fail$/m);
    const keyring = JSON.parse(fs.readFileSync(`${gateway.directory}/keyring.json`, 'utf8'));
    for (const secret of [gateway.dev.admin_key, keyring.pepper, keyring.keys[0].key])
      assert.ok(!stdout.includes(secret));
  });

  describe('of a gateway that is broken', () => {
    let broken;
    let settings;

    before(async () => {
      broken = await start(newDirectory(), { args: ['--workers', '1'] });
      const { directory, dev } = broken;
      settings = (changes = {}) =>
        Object.entries({
          public_url: dev.public_url,
          database_url: dev.database_url,
          drain_database_url: dev.database_url.replace('tollgate_app', 'tollgate_audit_writer'),
          data_dir: `${directory}/data`,
          keyring_file: `${directory}/keyring.json`,
          listen: new URL(dev.public_url).host,
          key_listen: new URL(dev.key_url).host,
          ops_listen: new URL(dev.ops_url).host,
          ...changes,
        }).flatMap(([name, value]) => ['--set', `${name}=${value}`]);
    });
    after(async () => {
      if (broken) await dispose(broken);
    });

    test('a keyring of somebody else', async () => {
      const checks = await examine(
        settings({ keyring_file: `${gateway.directory}/keyring.json` }),
      );
      assert.deepEqual(states(checks, ['keyring', 'keyring_match']), ['ok', 'fail']);
    });

    test('a keyring that others can read', async () => {
      const file = path.join(scratch, 'keyring.json');
      fs.copyFileSync(`${broken.directory}/keyring.json`, file);
      fs.chmodSync(file, 0o644);
      const checks = await examine(settings({ keyring_file: file }));
      assert.deepEqual(states(checks, ['keyring', 'keyring_match']), ['fail', 'warn']);
      assert.match(checks.keyring.text, /chmod 600/);
    });

    test('a role above row level security, and a table without it', async () => {
      const superuser = broken.dev.database_url.replace('tollgate_app', 'postgres');
      const table = 'tollgate.users';
      await broken.owner(`ALTER TABLE ${table} NO FORCE ROW LEVEL SECURITY`);
      const checks = await examine(settings({ database_url: superuser }));
      await broken.owner(`ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`);
      assert.deepEqual(states(checks, ['role', 'row_security']), ['fail', 'fail']);
      assert.match(checks.row_security.text, /users/);
    });

    test('a writer that may not write, a public address in the clear, too many workers', async () => {
      const checks = await examine(
        settings({
          drain_database_url: broken.dev.database_url,
          public_url: 'http://mcp.example.com',
          workers: 200,
        }),
      );
      assert.deepEqual(states(checks, ['drain_role', 'public_url', 'postgres']), [
        'fail',
        'fail',
        'fail',
      ]);
    });

    test('a migration that is missing', async () => {
      const [last] = await broken.owner(
        'DELETE FROM tollgate.tollgate_migrations WHERE version ='
        + ' (SELECT max(version) FROM tollgate.tollgate_migrations)'
        + ' RETURNING version, name, sha256',
      );
      const checks = await examine(settings());
      await broken.owner(
        'INSERT INTO tollgate.tollgate_migrations (version, name, sha256) VALUES ($1, $2, $3)',
        [last.version, last.name, last.sha256],
      );
      assert.deepEqual(states(checks, ['database', 'migrations', 'nodes']), ['ok', 'fail', 'warn']);
      assert.match(checks.migrations.text, /^1 of \d+ are missing$/);
    });

    test('a connection that cannot be reached, a worker that was not heard of', async () => {
      const url = `http://127.0.0.1:${await freePort()}/mcp`;
      await broken.must(201, 'POST', '/connections', { name: 'dead', url });
      await eventually(
        async () => (await broken.status(broken.dev.admin_key, 'dead')).json.state !== 'unknown',
        { what: 'it is tried' },
      );
      await broken.owner(
        `INSERT INTO tollgate.nodes (id, host, pid, slot, version, heartbeat_at)
         VALUES (gen_random_uuid(), 'gone', 1, 0, '0', now() - interval '5 minutes')`,
      );
      const checks = await examine(settings());
      assert.deepEqual(states(checks, ['connections', 'nodes']), ['warn', 'warn']);
      assert.match(checks.connections.text, /^1 of \d+ are not healthy$/);
    });

    test('a gateway that is stopped, and a port that is taken', async () => {
      await broken.stop();
      const taken = net.createServer().listen(0, '127.0.0.1');
      await new Promise((resolve) => taken.on('listening', resolve));
      const checks = await examine(settings({ listen: `127.0.0.1:${taken.address().port}` }));
      taken.close();
      assert.deepEqual(
        states(checks, ['running', 'database', 'role', 'clock', 'listen', 'key_listen', 'ready']),
        ['warn', 'fail', 'warn', 'warn', 'fail', 'ok', 'warn'],
      );
    });

    test('a configuration that is wrong, and a data directory that is not there', async () => {
      const checks = await examine(settings({ workers: 'many', data_dir: '/nonexistent/data' }));
      assert.deepEqual(states(checks, ['configuration', 'data_dir']), ['fail', 'fail']);
      assert.match(checks.configuration.text, /workers: must be a whole number/);
    });
  });
});

describe('client-config', () => {
  const home = path.join(scratch, 'home');
  const readme = fs.readFileSync(path.join(repository, 'README.md'), 'utf8');
  const shown = (args, options = {}) =>
    runCli(['client-config', ...args], { cwd: home, ...options });

  before(() => {
    fs.mkdirSync(home);
    fs.symlinkSync(gateway.directory, path.join(home, '.run'));
  });

  for (const client of ['claude-code', 'claude-desktop', 'cursor', 'vscode', 'inspector'])
    test(`${client}: what README.md shows, without the key`, async () => {
      const { code, stdout, stderr } = await shown([client]);
      assert.equal(code, 0, stderr);
      assert.ok(
        readme.includes(`\n${stdout.replaceAll(gateway.each[0].key_url, 'http://127.0.0.1:8081')}`),
        stdout,
      );
      assert.ok(!stdout.includes(gateway.dev.user_key));
      const open = await shown([client, '--show-key']);
      assert.ok(open.stdout.includes(gateway.dev.user_key));
      if (stdout.startsWith('{')) JSON.parse(open.stdout);
    });

  test('another gateway, by address and key file', async () => {
    const key = path.join(home, "it's.key");
    fs.writeFileSync(key, 'tgk_x_y\n');
    const code = await shown(['claude-code', '--url', 'https://k.example.com/', '--key-file', key]);
    assert.match(code.stdout, /https:\/\/k\.example\.com\/mcp \\\n/);
    const printed = spawnSync('sh', ['-c', `printf %s "${/\$\(cat .*?\)(?=")/.exec(code.stdout)[0]}"`], {
      encoding: 'utf8',
    });
    assert.equal(printed.stdout, 'tgk_x_y', code.stdout);
    const one = await shown(['cursor', '--url', 'https://k.example.com/c/crm/mcp', '--name', 'crm']);
    assert.deepEqual(JSON.parse(one.stdout), {
      mcpServers: {
        crm: {
          url: 'https://k.example.com/c/crm/mcp',
          headers: { Authorization: 'Bearer ${env:TOLLGATE_KEY}' },
        },
      },
    });
    assert.equal((await shown(['emacs'])).code, 2);
    assert.equal((await shown(['cursor', '--name', 'a b'])).code, 2);
  });

  describe('what is shown works', () => {
    const url = () => gateway.mcp({ listener: 'key' });
    const key = path.join(home, 'programs.key');
    let programs;

    before(async () => {
      programs = newHome();
      fs.writeFileSync(key, `${tenant.userKey}\n`);
    });
    after(() => programs.remove());

    // What a program sends has its rows; each is entered in the ledger as sent.
    const enter = async (client) => {
      const rows = await eventually(
        async () => {
          const found = await gateway.rows('WHERE tenant = $1 AND client LIKE $2', [
            tenant.name,
            `%${client}%`,
          ]);
          return found.some((row) => row.method === 'tools/list') && found;
        },
        { what: `the rows of ${client}` },
      );
      for (const { method, tool, request_id: id, outcome } of rows)
        record({
          url: gateway.dev.public_url,
          key: tenant.userKey,
          method,
          tool: tool || null,
          id,
          outcome: [outcome],
        });
      assert.ok(rows.every((row) => row.outcome === 'ok'));
    };

    test('inspector', async () => {
      const { stdout } = await shown(['inspector', '--url', url(), '--key-file', key]);
      const program = `npx() { ${process.execPath} ${inspectorProgram} "\${@:2}"; }\n${stdout}`;
      const done = spawnSync('bash', ['-euc', program], {
        cwd: home,
        encoding: 'utf8',
        env: programs.env,
        timeout: 30000,
      });
      assert.equal(done.status, 0, done.stderr);
      assert.match(done.stdout, /"tools"/);
      await enter('inspector-cli');
    });

    test('claude-desktop', async () => {
      const { stdout } = await shown(['claude-desktop', '--url', url()]);
      const { args } = JSON.parse(stdout).mcpServers.tollgate;
      assert.deepEqual(args.slice(0, 2), ['-y', 'mcp-remote']);
      const client = new Client({ name: 'desktop', version: '1.0.0' });
      await client.connect(
        new StdioClientTransport({
          command: process.execPath,
          args: [mcpRemoteProgram, ...args.slice(2)],
          env: { ...programs.env, TOLLGATE_KEY: tenant.userKey },
          stderr: 'ignore',
        }),
      );
      await client.listTools();
      await client.close();
      assert.equal(programs.opened(), '', 'no browser was opened');
      await enter('mcp-remote');
    });
  });
});

describe('completion', () => {
  const scripts = {};
  before(async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout } = await runCli(['completion', shell]);
      assert.equal(code, 0);
      scripts[shell] = stdout;
    }
  });

  for (const shell of ['bash', 'zsh', 'fish'])
    test(`${shell} parses it`, (t) => {
      const done = spawnSync(shell, ['-n'], { input: scripts[shell], encoding: 'utf8' });
      if (done.error?.code === 'ENOENT') return t.skip(`${shell} is not installed`);
      assert.equal(done.status, 0, done.stderr);
      assert.equal(done.stderr, '');
    });

  test('bash offers commands, options and words', () => {
    const offered = (line) => {
      const words = line.split(' ');
      const done = spawnSync(
        'bash',
        ['-c', `${scripts.bash}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tollgate; echo "\${COMPREPLY[*]}"`, 'bash', ...words],
        { encoding: 'utf8' },
      );
      return done.stdout.trim().split(' ');
    };
    assert.deepEqual(offered('tollgate conn'), ['connect', 'connections']);
    assert.deepEqual(offered('tollgate accounts d'), ['disconnect']);
    assert.deepEqual(offered('tollgate connections add --client-s'), ['--client-secret-file']);
    assert.ok(offered('tollgate connections ').includes('probe'));
    assert.deepEqual(offered('tollgate connections add --cred'), ['--credential-file']);
    assert.deepEqual(offered('tollgate completion '), ['bash', 'zsh', 'fish']);
    assert.deepEqual(offered('tollgate call x -o j'), ['json']);
    assert.deepEqual(offered('tollgate nothing '), ['']);
  });

  test('every command that help lists is in each of them', async () => {
    const { stdout } = await runCli(['help']);
    const commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]+)(?: ([a-z]+))? {2,}/gm)];
    assert.ok(commands.length > 30);
    for (const [, noun, verb] of commands)
      for (const [shell, script] of Object.entries(scripts))
        assert.match(script, new RegExp(`\\b${verb ?? noun}\\b`), `${shell}: ${noun} ${verb}`);
  });
});

describe('the manual', () => {
  for (const page of ['tollgate.1', 'tollgate.yaml.5'])
    test(`${page} is read without a warning`, async (t) => {
      const { code, stdout } = await runCli(['help', '--man', page]);
      assert.equal(code, 0);
      const file = path.join(scratch, page);
      fs.writeFileSync(file, stdout);
      const done = spawnSync('man', ['--warnings', '-l', file], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, MANWIDTH: '80', LC_ALL: 'C.UTF-8' },
      });
      if (done.error?.code === 'ENOENT') return t.skip('man is not installed');
      assert.equal(done.status, 0, done.stderr);
      assert.equal(done.stderr, '');
      assert.match(done.stdout, page === 'tollgate.1' ? /connections probe/ : /keyring_file/);
    });

  test('another page is not known', async () => {
    assert.equal((await runCli(['help', '--man', 'tollgate.7'])).code, 2);
  });
});

describe('what goes wrong', () => {
  test('with -o json it is one line, before and after a command is known', async () => {
    for (const [args, code, name] of [
      [['conections', 'list', '-o', 'json'], 2, 'usage'],
      [['connections', 'lst', '-o', 'json'], 2, 'usage'],
      [['connections', 'probe', '-o', 'json'], 2, 'usage'],
      [['config', 'check', '--nothing', '-o', 'json'], 2, 'usage'],
      [['dev', '--port', 'x', '-o', 'json'], 2, 'usage'],
      [['status', '-o', 'json', '--url', 'http://127.0.0.1:1', '--key', 'tgk_x'], 4, 'unreachable'],
      [['status', '-o', 'json', '--url', 'http://127.0.0.1:1'], 3, 'auth_required'],
    ]) {
      const reply = await runCli(args, { cwd: scratch });
      assert.equal(reply.code, code, args.join(' '));
      assert.equal(reply.stdout, '', args.join(' '));
      const { error } = oneJsonLine(reply.stderr);
      assert.equal(error.code, name, args.join(' '));
      assert.equal(typeof error.message, 'string');
    }
  });

  test('who mistypes is put right', async () => {
    assert.match((await runCli(['conections'])).stderr, /did you mean connections\?/);
    assert.match((await runCli(['disconnect', 'x'])).stderr, /did you mean accounts disconnect\?/);
    assert.match((await runCli(['connections', 'ad', 'x'])).stderr, /did you mean add\?/);
  });
});
