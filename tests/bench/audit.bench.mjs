// SPDX-License-Identifier: Apache-2.0
//
// What the queries of docs/audit.md cost on a book of ten million rows in thirty days, for a reader of
// one tenant of ten: the median of each stays under 100 ms, and it opens the days that it asks for.
// Takes a private cluster, 8 GB of disk and about five minutes.
//
//   TOLLGATE_BENCH_ROWS=1000000 node tests/bench/audit.bench.mjs      fewer rows
//   TOLLGATE_BENCH_AUDIT=host=… node tests/bench/audit.bench.mjs      a book that is filled already

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { connectDatabase } from '../e2e/lib/gateway.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const bin = '/usr/lib/postgresql/15/bin';
const rows = Number(process.env.TOLLGATE_BENCH_ROWS ?? 10_000_000);
const days = 30;
const runs = 9;
const attempts = 3;
const ceilingMs = 100;
// Of ten tenants, that which has a tenth of the calls; and the largest, which has a sixth.
const tenants = [
  { name: 'tenant2', judged: true },
  { name: 'tenant0', judged: false },
];

const asPostgres = (program, args) =>
  process.getuid() === 0
    ? ['setpriv', ['--reuid=postgres', '--regid=postgres', '--clear-groups', program, ...args]]
    : [program, args];
const run = (program, args, options = {}) =>
  execFileSync(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'], ...options });
const runPostgres = (program, args) =>
  run(...asPostgres(`${bin}/${program}`, args), { cwd: '/', stdio: 'ignore' });

function startCluster(directory) {
  if (process.getuid() === 0) run('chown', ['postgres:', directory]);
  runPostgres('initdb', ['-D', `${directory}/data`, '-U', 'postgres', '-A', 'trust', '--no-sync',
    '-E', 'UTF8', '--locale=C.UTF-8']);
  const settings = { listen_addresses: '', unix_socket_directories: directory, fsync: 'off',
    full_page_writes: 'off', wal_level: 'minimal', max_wal_senders: 0, shared_buffers: '1GB',
    max_wal_size: '4GB', autovacuum: 'off' };
  const options = Object.entries(settings).map(([name, value]) => `-c ${name}=${value}`).join(' ');
  runPostgres('pg_ctl', ['-D', `${directory}/data`, '-w', '-l', `${directory}/log`, '-o', options, 'start']);
}

const psql = (conninfo, ...args) => run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', conninfo, ...args]);

// In two processes at once: half of the days each.
async function fill(conninfo) {
  run(process.env.TOLLGATE_E2E_BINARY ?? 'build/tollgate', ['migrate', '--database', conninfo]);
  psql(conninfo, '-c', `SELECT audit.ensure_partitions((now() AT TIME ZONE 'UTC')::date - ${days + 1},
                                                       (now() AT TIME ZONE 'UTC')::date + 1)`);
  const half = (first, last) =>
    `psql -X -q -v ON_ERROR_STOP=1 -d '${conninfo}' -v days=${days} -v rows=${rows} -v first=${first} -v last=${last} -f tests/bench/audit_rows.sql`;
  run('bash', ['-c', `${half(days / 2 + 1, days)} & ${half(1, days / 2)} && wait $!`]);
  // Somebody edits a connection every ten minutes.
  psql(conninfo, '-c', `
    INSERT INTO audit.admin_event_log (at, tenant_id, tenant, actor, action, target_kind, target)
    SELECT at, l.tenant_id, l.tenant, 'user:root', 'connection.update', 'connection', 'conn' || k
    FROM generate_series(now() - interval '2 days', now(), interval '10 minutes') at,
         generate_series(0, 7) k,
         (SELECT DISTINCT tenant_id, tenant FROM audit.call_log WHERE started_at >= now() - interval '1 hour') l`);
  psql(conninfo, '-c', 'VACUUM ANALYZE');
}

async function makeReader(superuser, tenant) {
  const role = `bench_${tenant}`;
  await superuser.query(`DO $$ BEGIN CREATE ROLE ${role} LOGIN IN ROLE audit_reader;
    EXCEPTION WHEN duplicate_object THEN NULL; END $$`);
  await superuser.query(
    `INSERT INTO audit.reader_roles
     SELECT DISTINCT $1::name, tenant_id FROM audit.call_log
     WHERE tenant = $2 AND started_at >= now() - interval '1 hour' ON CONFLICT DO NOTHING`,
    [role, tenant],
  );
  return role;
}

// The queries by name, asking for what is there.
async function shown(superuser, tenant) {
  const [{ call_id: id }] = (
    await superuser.query(
      `SELECT call_id FROM audit.call_log
       WHERE tenant = $1 AND started_at BETWEEN now() - interval '3 hours' AND now() LIMIT 1`,
      [tenant],
    )
  ).rows;
  const all = JSON.parse(run('tests/sql/shown.sh', []).toString());
  return Object.entries(all)
    .filter(([name]) => !/^\d+$/.test(name))
    .map(([name, text]) => ({
      name,
      text: text
        .replaceAll('crm__delete_contact', 'conn5__tool13')
        .replaceAll(/0198f0aa-[0-9a-f-]+/g, id),
    }));
}

// Days until today that the plan opens, and how many there are besides.
async function opened(client, text) {
  const { rows: answer } = await client.query(`EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) ${text}`);
  const found = new Set();
  const look = (node) => {
    const day = /^call_log_.*_(\d{8})$/.exec(node['Relation Name'] ?? '')?.[1];
    if (day && node['Actual Loops'] > 0 && day <= new Date().toISOString().slice(0, 10).replaceAll('-', ''))
      found.add(day);
    for (const child of node.Plans ?? []) look(child);
  };
  look(answer[0]['QUERY PLAN'][0].Plan);
  return [...found].sort();
}

function allowed(name) {
  const hours = (from, to) =>
    Array.from({ length: from - to + 1 }, (_, i) =>
      new Date(Date.now() - (to + i) * 3600e3).toISOString().slice(0, 10).replaceAll('-', ''));
  if (name === 'new-tools') return new Set(hours(168, 0));
  if (name === 'week-over-week') return new Set([...hours(24, 0), ...hours(192, 168)]);
  return new Set(hours(24, 0));
}

async function medianMs(client, text) {
  const took = [];
  for (let i = 0; i < runs; i++) {
    const began = process.hrtime.bigint();
    await client.query(text);
    took.push(Number(process.hrtime.bigint() - began) / 1e6);
  }
  return took.sort((a, b) => a - b)[Math.floor(runs / 2)];
}

// What one run takes of a processor, without parallel workers: on a machine that does something else
// besides, this is nearer to the truth.
async function processorMs(client, text) {
  const { rows: [{ pid }] } = await client.query('SELECT pg_backend_pid() AS pid');
  const used = () => Number(fs.readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
  await client.query('SET max_parallel_workers_per_gather = 0');
  await client.query(text);
  const began = used();
  for (let i = 0; i < runs; i++) await client.query(text);
  const took = (used() - began) / runs;
  await client.query('RESET max_parallel_workers_per_gather');
  return took;
}

async function measure(conninfo, superuser, { name: tenant, judged }) {
  const role = await makeReader(superuser, tenant);
  const client = await connectDatabase(conninfo.replace('user=postgres', `user=${role}`));
  let missed = 0;
  try {
    const { rows: [{ n }] } = await client.query(
      "SELECT count(*) AS n FROM audit.calls WHERE started_at >= now() - interval '24 hours'");
    console.log(`${tenant}: ${n} rows in 24 hours${judged ? '' : ' (for comparison)'}`);
    for (const { name, text } of await shown(superuser, tenant)) {
      // Measured again where it is too long: this machine may do something else.
      await client.query(text);
      let ms = Infinity;
      for (let i = 0; i < attempts && ms >= ceilingMs; i++)
        ms = Math.min(ms, await medianMs(client, text));
      const cpu = await processorMs(client, text);
      const found = await opened(client, text);
      const needed = allowed(name);
      const more = found.filter((day) => !needed.has(day));
      const bad = (judged && ms >= ceilingMs) || more.length > 0 || found.length === 0;
      if (bad) missed++;
      console.log(`  ${bad ? 'MISSED' : judged ? 'ok    ' : '      '} ${name.padEnd(22)} ${ms.toFixed(1).padStart(7)} ms, ` +
        `processor ${cpu.toFixed(1).padStart(6)} ms, days opened: ${found.length}${more.length ? `, of these not needed: ${more}` : ''}`);
    }
  } finally {
    await client.end();
  }
  return missed;
}

const given = process.env.TOLLGATE_BENCH_AUDIT;
const directory = given ? undefined : fs.mkdtempSync(path.join(os.tmpdir(), 'tgbench.'));
function removeCluster() {
  if (!directory || !fs.existsSync(directory)) return;
  if (fs.existsSync(`${directory}/data/postmaster.pid`))
    runPostgres('pg_ctl', ['-D', `${directory}/data`, '-m', 'immediate', 'stop']);
  fs.rmSync(directory, { recursive: true, force: true });
}
process.on('exit', removeCluster);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130));

let missed;
try {
  if (directory) startCluster(directory);
  const conninfo = given ?? `host=${directory} user=postgres dbname=postgres`;
  if (directory) await fill(conninfo);
  const superuser = await connectDatabase(conninfo);
  try {
    const { rows: [{ n, partitions }] } = await superuser.query(
      `SELECT sum(reltuples)::bigint AS n, count(*) AS partitions FROM pg_class
       WHERE relnamespace = 'audit_parts'::regnamespace AND relkind = 'r' AND reltuples > 0`);
    console.log(`the book: ${n} rows in ${partitions} days; median of ${runs} runs, ceiling ${ceilingMs} ms`);
    missed = 0;
    for (const tenant of tenants) missed += await measure(conninfo, superuser, tenant);
  } finally {
    await superuser.end();
  }
} finally {
  removeCluster();
}
process.exitCode = missed > 0 ? 1 : 0;
