// SPDX-License-Identifier: Apache-2.0
//
// The book for SQL users, from outside: `audit grant-reader`, and the Grafana dashboard, whose
// queries run as a reader that the command has made.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { dispose, newDirectory, runCli, sql, start } from './lib/gateway.mjs';

const grafana = path.resolve(import.meta.dirname, '../../packaging/grafana');
const dashboard = JSON.parse(fs.readFileSync(path.join(grafana, 'dashboards/tollgate.json')));
const provisioned = (name) =>
  fs.readFileSync(path.join(grafana, 'provisioning', name, 'tollgate.yaml'), 'utf8');

let gateway;
const as = (role) => {
  const url = new URL(gateway.dev.owner_database_url);
  url.searchParams.set('user', role);
  return url.href;
};
const grantReader = (...args) =>
  runCli(['audit', 'grant-reader', ...args], {
    env: { TOLLGATE_OWNER_DATABASE_URL: as('postgres') },
  });
const tenantsOf = async (role) =>
  (await sql(as(role), 'SELECT DISTINCT tenant FROM audit.calls ORDER BY tenant NULLS FIRST')).map(
    (row) => row.tenant,
  );

// What `demo` and `other` did, twice as much the latter; and what nobody did.
before(async () => {
  gateway = await start(newDirectory());
  await gateway.must(201, 'POST', '/tenants', { name: 'other' });
  await gateway.owner(`
    INSERT INTO audit.call_log (started_at, tenant_id, tenant, user_name, connection, tool, method,
      outcome, duration_ms, upstream_ms, request_bytes, response_bytes, source_ip, n_calls, call_id)
    SELECT now() - s.ago, t.id, t.name, t.name || '-ana', t.name || '-crm', t.name || '-crm__list',
           'tools/call', s.outcome, s.ms, s.upstream, 100, 1000, '10.0.0.1', s.n, gen_random_uuid()
    FROM tollgate.tenants t,
         (VALUES (interval '1 hour', 'ok', 150, 100, 1), ('1 hour', 'ok', 150, 100, 1),
                 ('2 hours', 'tool_error', 300, 290, 1), ('2 hours', 'denied', 1, NULL, 5))
           s (ago, outcome, ms, upstream, n),
         generate_series(1, CASE t.name WHEN 'other' THEN 2 ELSE 1 END)
    WHERE t.name IN ('demo', 'other')`);
  await gateway.owner(`
    INSERT INTO audit.call_log (started_at, tenant_id, outcome, source_ip, n_calls, call_id)
    VALUES (now() - interval '1 hour', '00000000-0000-0000-0000-000000000000', 'unauthenticated',
            '10.0.0.9', 7, gen_random_uuid())`);
  await gateway.owner(`
    INSERT INTO audit.auth_event_log (tenant_id, tenant, type, connection, actor)
    SELECT id, name, 'connect_started', name || '-crm', 'user:ana' FROM tollgate.tenants`);
});

after(async () => {
  if (gateway) await dispose(gateway);
});

describe('audit grant-reader', () => {
  test('makes a reader of one tenant, once', async () => {
    let reply = await grantReader('grafana "one"', '--tenant', 'demo', '--create-login');
    assert.equal(reply.code, 0, reply.stderr);
    assert.equal(reply.stdout, 'grafana "one": created, member of audit_reader, granted\n');
    assert.equal(reply.stderr, '');
    reply = await grantReader('grafana "one"', '--tenant', 'demo', '--create-login', '-o', 'json');
    assert.deepEqual(JSON.parse(reply.stdout), { role: 'grafana "one"', done: 'had it already' });
    assert.deepEqual(await tenantsOf('grafana "one"'), ['demo']);
  });

  test('of more, and of all', async () => {
    assert.equal((await grantReader('grafana_all', '--platform', '--create-login')).code, 0);
    assert.deepEqual(await tenantsOf('grafana_all'), [null, 'demo', 'other']);
    assert.equal((await grantReader('grafana_two', '--tenant', 'demo', '--create-login')).code, 0);
    assert.equal((await grantReader('grafana_two', '--tenant', 'other')).stdout, 'grafana_two: granted\n');
    assert.deepEqual(await tenantsOf('grafana_two'), ['demo', 'other']);
  });

  test('--list', async () => {
    const reply = await grantReader('--list', '-o', 'json');
    const { items } = JSON.parse(reply.stdout);
    assert.deepEqual(
      items.filter((one) => one.role.startsWith('grafana')).map((one) => [one.role, one.tenant, one.platform, one.works]),
      [
        ['grafana "one"', 'demo', false, true],
        ['grafana_all', null, true, true],
        ['grafana_two', 'demo', false, true],
        ['grafana_two', 'other', false, true],
      ],
    );
    assert.match((await grantReader('--list')).stdout, /^grafana_two +other +[0-9a-f-]{36} +false +true$/m);
  });

  test('--revoke takes one, then the rest with the membership', async () => {
    assert.equal(
      (await grantReader('grafana_two', '--revoke', '--tenant', 'other')).stdout,
      'grafana_two: revoked\n',
    );
    assert.deepEqual(await tenantsOf('grafana_two'), ['demo']);
    assert.equal(
      (await grantReader('grafana_two', '--revoke')).stdout,
      'grafana_two: revoked, member of audit_reader no more\n',
    );
    await assert.rejects(tenantsOf('grafana_two'), /permission denied/);
    assert.equal((await grantReader('grafana_two', '--revoke')).stdout, 'grafana_two: had nothing\n');
  });

  for (const [args, code, text] of [
    [[], 2, /say which ROLE, or --list/],
    [['x'], 2, /say which tenant/],
    [['x', '--tenant', 'demo', '--platform'], 2, /say one of both/],
    [['x', '--revoke', '--create-login'], 2, /--create-login makes/],
    [['x', '--list'], 2, /stands alone/],
    [['nobody_there', '--tenant', 'demo'], 1, /there is no role nobody_there; --create-login makes it/],
    [['nobody_there', '--tenant', 'nix', '--create-login'], 1, /there is no tenant named nix/],
    [['postgres', '--platform'], 1, /superuser/],
    [['tollgate_app', '--platform'], 1, /no reader's/],
    [['x', '--platform', '--database', 'host=/nowhere'], 4, /nowhere/],
    [['x', '--platform', '--database', 'nonsense'], 2, /./],
  ])
    test(`refused: ${args.join(' ') || 'nothing'}`, async () => {
      const reply = await grantReader(...args);
      assert.equal(reply.code, code, reply.stderr);
      assert.match(reply.stderr, text);
      assert.equal(reply.stdout, '');
      const roles = await gateway.owner("SELECT 1 FROM pg_roles WHERE rolname IN ('x', 'nobody_there')");
      assert.deepEqual(roles, []);
    });

  test('one that may not is told what it takes', async () => {
    const reply = await runCli(
      ['audit', 'grant-reader', 'x', '--platform', '--create-login', '--database', as('tollgate_owner')],
    );
    assert.equal(reply.code, 1);
    assert.match(reply.stderr, /make roles/);
  });
});

describe('the dashboard', () => {
  const from = () => new Date(Date.now() - 24 * 3600e3).toISOString();
  const to = () => new Date(Date.now() + 60e3).toISOString();
  // As Grafana's data source for PostgreSQL replaces them.
  const expanded = (text, tenants = ['demo', 'other']) =>
    text
      .replace(/\$__timeFilter\((\w+)\)/g, (_, column) => `${column} BETWEEN '${from()}' AND '${to()}'`)
      .replace(
        /\$__timeGroupAlias\((\w+), ?\$__interval\)/g,
        (_, column) => `floor(extract(epoch from ${column})/300)*300 AS "time"`,
      )
      .replaceAll('$tenant', tenants.map((name) => `'${name}'`).join(','));
  const panels = dashboard.panels;
  const run = (role, panel, tenants) => sql(as(role), expanded(panel.targets[0].rawSql, tenants));
  const titled = (title) => panels.find((panel) => panel.title === title);

  test('is one that Grafana takes', () => {
    assert.equal(dashboard.uid, 'tollgate-book');
    assert.ok(panels.length >= 12);
    assert.equal(new Set(panels.map((panel) => panel.id)).size, panels.length, 'ids are unique');
    assert.deepEqual(
      dashboard.templating.list.map((one) => one.name),
      ['datasource', 'tenant'],
    );
    for (const { id, title, type, gridPos, datasource, targets } of panels) {
      assert.ok(Number.isInteger(id) && title && type, title);
      assert.ok(gridPos.x + gridPos.w <= 24, `${title} fits`);
      assert.deepEqual(datasource, { type: 'postgres', uid: '${datasource}' }, title);
      assert.equal(targets.length, 1, title);
      assert.deepEqual(targets[0].datasource, datasource, title);
      assert.equal(targets[0].format, type === 'timeseries' ? 'time_series' : 'table', title);
      // Every panel filters on time, and all that can on the tenant.
      assert.match(targets[0].rawSql, /\$__timeFilter\(/, title);
      assert.equal(/\$tenant/.test(targets[0].rawSql), !/[Rr]efused/.test(title), title);
    }
    // No two panels cover each other.
    const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`),
    );
    assert.equal(new Set(cells).size, cells.length);
  });

  test('is provisioned with its data source', () => {
    assert.match(provisioned('datasources'), /^ {4}type: postgres$/m);
    assert.match(provisioned('datasources'), /^ {4}uid: tollgate$/m);
    assert.doesNotMatch(provisioned('datasources'), /password: [^$]/);
    assert.match(provisioned('dashboards'), /^ {4}type: file$/m);
  });

  for (const panel of panels)
    test(`${panel.title}: has an answer, and of one's own tenants only`, async () => {
      const rows = await run('grafana "one"', panel);
      assert.notDeepEqual(rows, []);
      assert.doesNotMatch(JSON.stringify(rows), /other/);
      if (panel.type === 'timeseries') {
        assert.equal(Number(rows[0].time) % 300, 0);
      }
      const all = await run('grafana_all', panel, ['other']);
      assert.notDeepEqual(all, [], 'a platform reader sees the other too');
    });

  test('what it says is right', async () => {
    const one = async (title) => Object.values((await run('grafana "one"', titled(title)))[0])[0];
    assert.equal(Number(await one('Calls')), 8);
    assert.equal(Number(await one('Errors')), 75);
    assert.ok(Math.abs((await one('p95')) - 0.195) < 1e-9);
    assert.equal(Number(await one('Refused')), 5);
    const [refused] = await run('grafana_all', titled('Refused'));
    assert.equal(Number(refused.refused), 5 + 10 + 7);
    const tools = await run('grafana "one"', titled('Slow tools'));
    assert.deepEqual(
      tools.map((row) => [row.tool, Number(row.calls), Number(row.error_percent)]),
      [['demo-crm__list', 8, 75]],
    );
  });

  test('the variable lists the tenants that the reader sees', async () => {
    const { query } = dashboard.templating.list[1];
    const names = async (role) => (await sql(as(role), expanded(query))).map((row) => row.tenant);
    assert.deepEqual(await names('grafana "one"'), ['demo']);
    assert.deepEqual(await names('grafana_all'), ['demo', 'other']);
  });
});
