// SPDX-License-Identifier: Apache-2.0
//
// A gateway as `tollgate dev` starts it, its admin API, its databases and its CLI.
//
//   TOLLGATE_E2E_DIR      directory of a running gateway (holds dev.json): it is used, not stopped
//   TOLLGATE_E2E_BINARY   the program; default build/tollgate
//   TOLLGATE_E2E_SPREAD   set: beside each gateway runs a second one on the same databases, and
//                         requests are spread over both (lib/spread.mjs)

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import pg from 'pg';

import {
  outcomesOf,
  record,
  registerGateway,
  registerKey,
  rowsQuery,
} from './ledger.mjs';
import { freePort } from './fixtures.mjs';
import { eventually } from './wait.mjs';

const repository = path.resolve(import.meta.dirname, '../../..');
const binary = process.env.TOLLGATE_E2E_BINARY ?? path.join(repository, 'build/tollgate');
const isSpread = Boolean(process.env.TOLLGATE_E2E_SPREAD);

// Options of a test that a second gateway would make another test.
export const unlessSpread = (reason) => ({ skip: isSpread && `not on two gateways: ${reason}` });

// --- processes -----------------------------------------------------------------------------------

// {pid, state, parent, start, children, command}; children is the time, in ticks, of children that
// it has waited for.
function processOf(pid) {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return {
      pid,
      state: fields[0],
      parent: Number(fields[1]),
      start: fields[19],
      children: Number(fields[13]) + Number(fields[14]),
      command: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')),
    };
  } catch {
    return undefined;
  }
}

export const allProcesses = () =>
  fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => processOf(Number(name)))
    .filter((found) => found !== undefined && found.state !== 'Z');

// A process and all below it.
function family(pid) {
  const all = allProcesses();
  const found = all.filter((one) => one.pid === pid);
  for (let at = 0; at < found.length; at++)
    found.push(...all.filter((one) => one.parent === found[at].pid));
  return found;
}

function commandLine(pid) {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

export const lives = (one) => {
  const now = processOf(one.pid);
  return now !== undefined && now.start === one.start && now.state !== 'Z';
};

async function terminate(pids, deadline, what) {
  const running = pids.map(processOf).filter((one) => one !== undefined);
  for (const one of running) process.kill(one.pid, 'SIGTERM');
  await eventually(() => !running.some(lives), { deadline, what });
}

// --- databases -----------------------------------------------------------------------------------

// A libpq connection string of either form as node-postgres wants it.
function parseConninfo(text) {
  if (/^postgres(ql)?:\/\//.test(text)) {
    const url = new URL(text);
    return {
      host: url.searchParams.get('host') ?? decodeURIComponent(url.hostname),
      port: Number(url.searchParams.get('port') || url.port || 5432),
      user: url.searchParams.get('user') ?? decodeURIComponent(url.username),
      password: url.searchParams.get('password') || decodeURIComponent(url.password) || undefined,
      database: url.searchParams.get('dbname') ?? decodeURIComponent(url.pathname.slice(1)),
    };
  }
  const pairs = [...text.matchAll(/(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|(\S*))/g)];
  const value = Object.fromEntries(
    pairs.map(([, key, quoted, bare]) => [key, quoted?.replace(/\\(.)/g, '$1') ?? bare]),
  );
  return {
    host: value.host,
    port: Number(value.port ?? 5432),
    user: value.user,
    password: value.password,
    database: value.dbname,
  };
}

export async function connectDatabase(conninfo) {
  const client = new pg.Client(parseConninfo(conninfo));
  await client.connect();
  return client;
}

// Rows of one statement.
export async function sql(conninfo, text, values = []) {
  const client = await connectDatabase(conninfo);
  try {
    return (await client.query(text, values)).rows;
  } finally {
    await client.end();
  }
}

// --- the admin API -------------------------------------------------------------------------------

const parsed = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

// body: an object, or text that is sent as it is. ifMatch: an ETag, or true for the current one.
async function callApi(base, method, route, body, options = {}) {
  const { key, headers = {}, ifMatch } = options;
  const etag =
    ifMatch === true ? (await callApi(base, 'GET', route, undefined, { key })).etag : ifMatch;
  const response = await fetch(base + route, {
    method,
    headers: {
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined
        ? {}
        : {
            'content-type':
              method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
          }),
      ...(etag ? { 'if-match': etag } : {}),
      ...headers,
    },
    body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    etag: response.headers.get('etag'),
    text,
    json: parsed(text),
  };
}

// As callApi, but anything other than the expected status is an error that shows the answer.
function mustBe(reply, status, what) {
  if (reply.status !== status)
    throw new Error(`${what}: ${reply.status} ${reply.text}, not ${status}`);
  return reply;
}

// --- the gateway ---------------------------------------------------------------------------------

const readJson = (directory, name) =>
  JSON.parse(fs.readFileSync(path.join(directory, name), 'utf8'));

class Gateway {
  constructor(directory, child) {
    this.directory = directory;
    this.child = child;
    const first = readJson(directory, 'dev.json');
    const { second, ...front } = isSpread ? readJson(directory, 'spread.json') : {};
    this.dev = { ...first, ...front };
    this.each = isSpread ? [first, second] : [first]; // those that serve, without the front
    this.pid = first.pid;
    this.pids = this.each.map(({ pid }) => pid);
    for (const { public_url: url, key_url: keyUrl } of [this.dev, ...this.each])
      registerGateway(directory, [url, keyUrl]);
    registerKey(this.dev.admin_key, this.dev.tenant, null);
    registerKey(this.dev.user_key, this.dev.tenant, 'ana');
  }

  // method, route, body, {key, headers, ifMatch}; the platform administrator unless key is given.
  async api(method, route, body, options = {}) {
    const key = Object.hasOwn(options, 'key') ? options.key : this.dev.admin_key;
    return callApi(this.dev.api_url, method, route, body, { ...options, key });
  }

  async must(status, method, route, body, options) {
    return mustBe(await this.api(method, route, body, options), status, `${method} ${route}`);
  }

  owner(text, values) {
    return sql(this.dev.owner_database_url, text, values);
  }

  // Path of an MCP endpoint on the public or the key listener.
  mcp({ connection, tenant, listener = 'public' } = {}) {
    const base = listener === 'key' ? this.dev.key_url : this.dev.public_url;
    return `${base}${tenant ? `/t/${tenant}` : ''}${connection ? `/c/${connection}` : ''}/mcp`;
  }

  async newKey(tenant, options) {
    const { json } = await this.must(201, 'POST', `/tenants/${tenant}/keys`, options);
    registerKey(json.key, tenant, options.user ?? options.name);
    return json;
  }

  // A tenant of its own for a test: {name, userKey, adminKey, api(), must(), addConnection()}.
  async newTenant(prefix) {
    const name = `${prefix}-${Math.random().toString(36).slice(2, 8)}`;
    await this.must(201, 'POST', '/tenants', { name });
    await this.must(201, 'POST', `/tenants/${name}/users`, { name: 'ana' });
    const user = await this.newKey(name, { name: 'ana-key', user: 'ana' });
    const admin = await this.newKey(name, { name: 'admin-key', role: 'admin' });
    return {
      name,
      userKey: user.key,
      adminKey: admin.key,
      api: (method, route, body, options) =>
        this.api(method, route, body, { key: admin.key, ...options }),
      must: (status, method, route, body, options) =>
        this.must(status, method, route, body, { key: admin.key, ...options }),
      addConnection: async (connection, url, settings = {}) => {
        await this.must(
          201,
          'POST',
          '/connections',
          { name: connection, url, ...settings },
          { key: admin.key },
        );
        if (settings.enabled !== false) await this.listed(admin.key, connection);
      },
    };
  }

  status(key, connection) {
    return this.api('GET', `/connections/${connection}/status`, undefined, { key });
  }

  // Waits until the connection is healthy and its tools are known.
  listed(key, connection, { deadline = 10000 } = {}) {
    return eventually(
      async () => {
        const { json } = await this.status(key, connection);
        if (json?.healthy !== true) throw new Error(JSON.stringify(json));
        return json;
      },
      { deadline, what: `${connection} is healthy` },
    );
  }

  rows(where = '', values = []) {
    return this.owner(`${rowsQuery} ${where}`, values);
  }

  // Everything that belongs to it: its processes and those of its Postgres, wherever they hang.
  processes() {
    const marks = [this.directory, parseConninfo(this.dev.owner_database_url).host].filter((mark) =>
      mark?.startsWith('/'),
    );
    const named = allProcesses().filter(
      (one) => one.pid !== process.pid && marks.some((mark) => commandLine(one.pid).includes(mark)),
    );
    const all = [...this.pids.flatMap(family), ...named.flatMap((one) => family(one.pid))];
    return [...new Map(all.map((one) => [one.pid, one])).values()];
  }

  // The workers that live and have said so.
  async workers() {
    const nodes = (await this.owner('SELECT pid FROM tollgate.nodes')).map((row) => row.pid);
    return this.pids.flatMap(family).filter((one) => nodes.includes(one.pid));
  }

  // SIGTERM; waits until the process is gone. The fronts go last: answers pass through them.
  async stop({ deadline = 15000 } = {}) {
    await terminate(this.pids, deadline, 'the gateway stops');
    if (isSpread) await terminate([this.dev.spread_pid], deadline, 'the fronts stop');
  }

  cli(args, options = {}) {
    return runCli(args, {
      ...options,
      env: { TOLLGATE_URL: this.dev.public_url, TOLLGATE_KEY: this.dev.admin_key, ...options.env },
    });
  }
}

export const attach = (directory) => new Gateway(directory);

// Starts `tollgate dev` on a directory and waits until it is ready.
export async function start(directory, { deadline = 30000, args = [], env = {} } = {}) {
  const ready = path.join(directory, 'dev.json');
  fs.rmSync(ready, { force: true });
  const log = fs.openSync(`${directory}.log`, 'a');
  const frontPort = isSpread ? await freePort() : undefined;
  const usual = { '--port': '0', ...(isSpread ? { '--workers': '2' } : {}) };
  const address = isSpread ? ['--set', `public_url=http://127.0.0.1:${frontPort}`] : [];
  const missing = Object.entries(usual).filter(([name]) => !args.includes(name));
  const child = spawn(binary, ['dev', '--dir', directory, ...missing.flat(), ...address, ...args], {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...env },
  });
  child.unref();
  let ended;
  child.on('exit', (code, signal) => (ended = `${code ?? signal}`));
  child.on('error', (problem) => (ended = problem.message));
  await eventually(
    () =>
      ended !== undefined ||
      (fs.existsSync(ready) && parsed(fs.readFileSync(ready, 'utf8')) !== undefined),
    { deadline, every: 10, what: 'dev.json appears' },
  );
  fs.closeSync(log);
  if (ended !== undefined)
    throw new Error(
      `tollgate dev ended: ${ended}\n${fs.readFileSync(`${directory}.log`, 'utf8').slice(-2000)}`,
    );
  if (isSpread) await startSpread(directory, [String(frontPort), ...setsOf(args)], deadline);
  return new Gateway(directory, child);
}

// The values of --set among the arguments.
const setsOf = (args) => args.filter((_, at) => args[at - 1] === '--set');

// Its standard input ends with this process, and it with that.
async function startSpread(directory, args, deadline) {
  const script = path.join(import.meta.dirname, 'spread.mjs');
  const child = spawn(process.execPath, [script, directory, ...args], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  child.unref();
  child.stdin.unref?.();
  await eventually(() => child.exitCode !== null || fs.existsSync(`${directory}/spread.json`), {
    deadline,
    what: 'spread.json appears',
  });
  if (child.exitCode !== null) throw new Error(`the second gateway ended with ${child.exitCode}`);
}

export const newDirectory = () => {
  const parent = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-e2e-'));
  return path.join(parent, 'gw');
};

// Stops a gateway of a test and removes all it kept, a cluster outside its directory included.
export async function dispose(gateway) {
  await gateway.stop();
  await runCli(['dev', '--dir', gateway.directory, '--reset']);
  fs.rmSync(path.dirname(gateway.directory), { recursive: true, force: true });
}

// The gateway of this test file: the running one that TOLLGATE_E2E_DIR names, or a new one.
export async function environment() {
  const running = process.env.TOLLGATE_E2E_DIR;
  if (running) return Object.assign(attach(path.resolve(running)), { close: async () => {} });
  const gateway = await start(newDirectory());
  return Object.assign(gateway, {
    close: () => dispose(gateway),
  });
}

// --- the CLI -------------------------------------------------------------------------------------

// Gives {code, stdout, stderr}. input goes to its standard input.
export function runCli(args, { env = {}, input, cwd, deadline = 20000 } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(binary, args, {
      cwd: cwd ?? os.tmpdir(),
      env: { PATH: process.env.PATH, HOME: os.tmpdir(), ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      timeout: deadline,
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'])
      child[name].on('data', (chunk) => (out[name] += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal, ...out }));
    if (input !== undefined) child.stdin.end(input);
  });
}

// A call through the admin API is a call too: its row is owed like any other.
export async function apiCall(gateway, name, args, { key = gateway.dev.admin_key, outcome } = {}) {
  const body = JSON.stringify({ name, arguments: args });
  const entry = record({
    url: gateway.dev.public_url,
    key,
    method: 'tools/call',
    tool: name,
    id: '1',
  });
  const reply = await gateway.api('POST', '/tools/call', body, { key });
  entry.outcome =
    outcome ??
    outcomesOf(
      reply.status,
      reply.status === 200 ? { result: reply.json } : { error: { code: -32602 } },
    );
  return reply;
}
