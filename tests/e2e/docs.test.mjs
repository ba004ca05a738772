// SPDX-License-Identifier: Apache-2.0
//
// Every command, query and program that README.md and docs/ show is run as it stands there, on a
// gateway of its own. Only addresses and names of what cannot be here are replaced.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, sql, start } from './lib/gateway.mjs';
import { eventually } from './lib/wait.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const binary = process.env.TOLLGATE_E2E_BINARY ?? path.join(root, 'build/tollgate');

// Blocks of one language, in order.
const blocks = (file, language) =>
  [
    ...fs
      .readFileSync(path.join(root, file), 'utf8')
      .matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms')),
  ].map((match) => match[1]);

let gateway;
let upstream;
let home;

before(async () => {
  gateway = await start(newDirectory());
  upstream = await startFixture('legacy');
  home = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-docs-'));
  fs.symlinkSync(gateway.directory, path.join(home, '.run'));
  fs.mkdirSync(path.join(home, 'build'));
  fs.symlinkSync(path.resolve(binary), path.join(home, 'build/tollgate'));
  fs.writeFileSync(path.join(home, 'token.txt'), 'secret\n');
  fs.writeFileSync(path.join(home, 'new-token.txt'), 'other\n');
  const [settings] = blocks('docs/cli.md', 'yaml');
  fs.writeFileSync(path.join(home, 'tollgate.yaml'), settings);
  fs.writeFileSync(path.join(home, 'database_url'), `${gateway.dev.database_url}\n`);
  // What a machine has left that is no more: any call is recorded, by whichever worker.
  const spool = path.join(gateway.directory, 'data', 'spool-0');
  await eventually(async () => {
    await fetch(gateway.mcp(), { method: 'POST', body: '{}', headers: { connection: 'close' } });
    return fs.readdirSync(spool).some((name) => name.endsWith('.seg'));
  });
  fs.cpSync(spool, path.join(home, 'saved', 'spool-0'), { recursive: true });
});

after(async () => {
  await upstream.stop();
  await dispose(gateway);
  fs.rmSync(home, { recursive: true, force: true });
});

const replaced = (text) =>
  text
    .replaceAll('http://127.0.0.1:8081', gateway.dev.key_url)
    .replaceAll('http://127.0.0.1:8080', gateway.dev.public_url)
    .replace(/https:\/\/(crm|mcp)\.example\.com\/mcp|http:\/\/127\.0\.0\.1:3921\/mcp/g, upstream.url)
    .replaceAll('crm__create', 'crm__echo')
    .replaceAll('/etc/keys/ana.key', 'token.txt');

// Programs that the documents assume.
const assumed = `
  tollgate() { ${JSON.stringify(path.resolve(binary))} "$@"; }
  pass() { echo a-password; }
  generate() { echo '{"generated":true}'; }
`;

function bash(text) {
  const { PATH, HOME } = process.env;
  const done = spawnSync('bash', ['-e', '-u', '-o', 'pipefail', '-c', assumed + replaced(text)], {
    cwd: home,
    encoding: 'utf8',
    timeout: 60000,
    env: {
      PATH,
      HOME,
      ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? '',
      DRAIN_DATABASE_URL: gateway.dev.database_url,
    },
  });
  assert.equal(done.status, 0, `${text}\n${done.stdout}\n${done.stderr}`);
  return done.stdout;
}

describe('README.md', () => {
  test('its commands', () => {
    const shown = blocks('README.md', 'sh').filter((text) => text.startsWith('build/tollgate'));
    assert.equal(shown.length, 1);
    assert.match(bash(shown[0]), /clock__now/);
  });

  test('its program for an SDK', () => {
    const [text] = blocks('README.md', 'js');
    // Beside node_modules, or it cannot be imported.
    const file = path.join(import.meta.dirname, `docs-example-${process.pid}.mjs`);
    fs.writeFileSync(file, replaced(text).replace(/\n?$/, '\nawait client.close();\n'));
    try {
      const done = spawnSync(process.execPath, [file], { cwd: home, encoding: 'utf8' });
      assert.equal(done.status, 0, done.stderr);
      assert.match(done.stdout, /\d{4}-\d\d-\d\dT/);
    } finally {
      fs.rmSync(file);
    }
  });

  test('its queries, as the reader that it names', async () => {
    const [text] = blocks('README.md', 'sql');
    const queries = text.split(/;\s*$/m).filter((query) => /SELECT/.test(query));
    assert.equal(queries.length, 4);
    for (const query of queries) await sql(gateway.dev.audit_database_url, query);
  });
});

describe('docs/cli.md', () => {
  const add = 'tollgate connections add crm --url https://crm.example.com/mcp';

  for (const [index, shown] of blocks('docs/cli.md', 'sh').entries()) {
    test(`its commands, block ${index + 1}`, () => {
      const uses = shown.includes('crm__create');
      if (uses) bash(add);
      // The key that it removes has to exist.
      const text = shown.replace(
        /tollgate keys rm [0-9a-f-]{36}/,
        () => "tollgate keys rm $(tollgate keys add gone 2>&1 >/dev/null | grep -oE '[0-9a-f-]{36}')",
      );
      bash(text);
      if (uses) bash('tollgate connections rm crm');
    });
  }
});

describe('docs/api.md', () => {
  for (const [index, shown] of blocks('docs/api.md', 'sh').entries())
    test(`its commands, block ${index + 1}`, () => {
      assert.match(bash(shown), /"items":/);
    });
});

describe('docs/operations.md', () => {
  // As on a machine that is set up for serve.
  const settings = `
    export TOLLGATE_KEYRING_FILE=.run/keyring.json
    export TOLLGATE_DATABASE_URL="$(cat database_url)"
    export TOLLGATE_DRAIN_DATABASE_URL="$(sed s/tollgate_app/tollgate_audit_writer/ database_url)"
  `;
  const shown = blocks('docs/operations.md', 'sh');

  test('its rotation of keys', () => {
    const printed = shown.map((text) => bash(settings + text)).join('');
    assert.match(printed, /^key 2 added/m);
    assert.match(printed, /^key 2 is the primary one/m);
    assert.match(printed, /^data keys wrapped anew: [1-9]\d*$/m);
    assert.match(printed, /data keys and \d+ sealed values of \d+ tenants open$/m);
    assert.match(printed, /^key 1 is gone from the file/m);
  });
});

describe('docs/operations.md, beside its commands', () => {
  test('its queries', async () => {
    const shown = blocks('docs/operations.md', 'sql');
    assert.ok(shown.length >= 2);
    for (const query of shown) await sql(gateway.dev.owner_database_url, query);
  });

  test('its settings', () => {
    const shown = blocks('docs/operations.md', 'yaml');
    assert.equal(shown.length, 1);
    fs.writeFileSync(path.join(home, 'traces.yaml'), shown[0]);
    assert.match(
      bash(`
        export TOLLGATE_DATABASE_URL="$(cat database_url)" TOLLGATE_DRAIN_DATABASE_URL=postgresql://x/y
        export TOLLGATE_PUBLIC_URL=https://mcp.example.com
        tollgate config dump --config traces.yaml`),
      /^otlp_endpoint: http:\/\/127\.0\.0\.1:4318$/m,
    );
  });
});

// Its queries are asked for their answers in tests/sql/queries.sql.
describe('docs/audit.md', () => {
  const owner = new URL('postgresql:///');
  before(() => {
    owner.href = gateway.dev.owner_database_url;
    owner.searchParams.set('user', 'postgres');
  });

  test('its commands', () => {
    const shown = blocks('docs/audit.md', 'sh');
    assert.ok(shown.length >= 3);
    const settings = `export TOLLGATE_OWNER_DATABASE_URL='${owner.href}'
      export AUDIT_URL='${gateway.dev.audit_database_url}'
    `;
    const printed = shown.map((text) => bash(settings + text)).join('');
    assert.match(printed, /^ audit +\| calls_hourly +\| view/m);
    assert.match(printed, /^ arguments +\| jsonb .*OpenTelemetry: gen_ai[.]tool[.]call[.]arguments/m);
    assert.match(printed, /^COPY \d+$/m);
    assert.match(printed, /^ana_reader: created, member of audit_reader, granted$/m);
    assert.match(printed, /^grafana: created/m);
    assert.match(printed, /^ana_reader +demo +[0-9a-f-]{36} +false +true$/m);
    assert.match(printed, /^ana_reader: revoked, member of audit_reader no more$/m);
  });

  test('its queries, as a reader', async () => {
    const shown = blocks('docs/audit.md', 'sql');
    assert.ok(shown.length >= 20);
    for (const query of shown) await sql(gateway.dev.audit_database_url, query);
  });
});

describe('docs/conformance.md', () => {
  for (const [index, shown] of blocks('docs/conformance.md', 'sh').entries())
    test(`its commands, block ${index + 1}`, () => {
      const done = spawnSync('bash', ['-euo', 'pipefail', '-c', shown], {
        cwd: root,
        encoding: 'utf8',
        timeout: 60000,
        env: { ...process.env, TOLLGATE_E2E_BINARY: binary },
      });
      assert.equal(done.status, 0, done.stdout + done.stderr);
      assert.match(done.stdout, /Passed: (\d+)\/\1, 0 failed/);
    });
});
