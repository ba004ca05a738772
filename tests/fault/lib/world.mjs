// SPDX-License-Identifier: Apache-2.0
//
// What a scenario works on: a gateway, upstreams that keep journals, tenants, and a load of
// clients whose ledgers are compared at the end.

import diagnostics from 'node:diagnostics_channel';
import fs from 'node:fs';
import path from 'node:path';

import { clients } from '../../e2e/lib/clients.mjs';
import { startFixture } from '../../e2e/lib/fixtures.mjs';
import { connectDatabase, dispose, newDirectory, start } from '../../e2e/lib/gateway.mjs';
import { compare, entriesOf, rowsQuery } from '../../e2e/lib/ledger.mjs';
import { eventually, pause } from '../../e2e/lib/wait.mjs';
import { chainProblems } from './chain.mjs';
import { Tmpfs, copyTree } from './tmpfs.mjs';
import { Lane, wireOf } from './lane.mjs';
import { answered, compareLedgers, readJournals, succeeded } from './ledgers.mjs';
import { random } from './random.mjs';

// Rows are written behind the answers; after a fault the drain has to catch up first.
const settleMs = 60000;
const tools = ['echo', 'echo', 'echo', 'sleep', 'progress', 'list'];

// What fetch says when a request goes out on a socket.
const sending = 'undici:client:sendHeaders';

// One SDK client that calls until it is told to stop. Its JSON-RPC ids are its own, so its rows
// are compared as those of a user that nobody else is.
class SdkLane {
  constructor(world, client, name, tenant, key) {
    Object.assign(this, { world, client, name, tenant, key, count: 0 });
    this.random = world.random.child(name);
  }

  async open() {
    // The key is this client's alone, and it calls one tool at a time: its newest POST is the call.
    this.watch = ({ request, headers, socket }) => {
      if (request.method === 'POST' && headers.includes(this.key)) this.wire = wireOf(socket);
    };
    diagnostics.subscribe(sending, this.watch);
    this.handle = await this.client.connect({ url: this.world.url, key: this.key });
  }

  async step() {
    const tool = this.random.pick(['echo', 'sleep']);
    const connection = this.random.pick(this.world.connections);
    const call = {
      nonce: `${this.world.run}-${this.name}-${this.count++}`,
      sdk: true,
      lane: this.name,
      tenant: this.tenant,
      user: this.name,
      method: 'tools/call',
      tool: `${connection}__${tool}`,
      startedAt: Date.now(),
      begin: performance.now(),
    };
    this.world.calls.push(call);
    this.wire = undefined;
    try {
      const result = await this.handle.callTool(call.tool, { nonce: call.nonce, ms: 5 });
      Object.assign(call, { status: 200, answer: { result } });
    } catch (problem) {
      call.problem = problem.message;
    }
    call.endedAt = Date.now();
    call.ms = performance.now() - call.begin;
    call.wire = this.wire;
  }

  close() {
    diagnostics.unsubscribe(sending, this.watch);
    return this.handle?.close();
  }
}

export class World {
  // {seed, workers, tenants, legacy, modern, roaming, sdk}: how many of each; roaming clients open
  // a connection for each request.
  static async build(options = {}) {
    const world = new World();
    await world.prepare(options);
    return world;
  }

  async prepare({ seed = 1, workers = 2, tenants = 2, args = [], start: how = {}, ...more }) {
    const { before, ...counts } = more;
    const directory = newDirectory();
    before?.(directory);
    this.random = random(seed);
    // Digits: what looks random in a request id is kept as a digest only.
    this.run = `f${seed}-${process.pid}-${Date.now()}`;
    this.calls = [];
    this.journals = [];
    this.lanes = [];
    this.sdkUsers = new Set();
    this.connections = ['old', 'new'];
    this.nWorkers = workers;
    this.gateway = await start(directory, {
      ...how,
      args: ['--workers', String(workers), ...args],
    });
    this.url = this.gateway.mcp();
    this.scratch = path.dirname(this.gateway.directory);
    this.database = await this.openDatabase();
    this.old = await this.startUpstream('legacy', 'old');
    this.new = await this.startUpstream('modern', 'new');
    this.tenants = [];
    for (let at = 0; at < tenants; at++) this.tenants.push(await this.addTenant(`t${at}`));
    await this.addLanes(counts);
  }

  // Puts the cluster on a small filesystem of its own, and starts the gateway anew. Gives that, or
  // undefined where one may not mount.
  async moveCluster(mebibytes) {
    const host = new URL(this.gateway.dev.owner_database_url).searchParams.get('host');
    const aside = `${host}.aside`;
    await this.database.end();
    await this.gateway.stop();
    fs.renameSync(host, aside);
    const disk = Tmpfs.mount(host, mebibytes);
    if (disk === undefined) fs.rmSync(host, { recursive: true });
    if (disk === undefined) fs.renameSync(aside, host);
    else copyTree(aside, host);
    this.gateway = await start(this.gateway.directory, {
      args: ['--workers', String(this.nWorkers)],
    });
    this.url = this.gateway.mcp();
    for (const lane of this.lanes) lane.url = this.url;
    this.database = await this.openDatabase();
    return disk;
  }

  async openDatabase() {
    const database = await connectDatabase(this.gateway.dev.owner_database_url);
    database.on('error', () => {}); // the scenario ends Postgres
    return database;
  }

  // A fixture that appends what it runs to a journal of that name.
  async startUpstream(era, name, options = {}) {
    const journal = path.join(this.scratch, `${name}.journal`);
    if (!this.journals.includes(journal)) this.journals.push(journal);
    fs.closeSync(fs.openSync(journal, 'a'));
    return startFixture(era, { name, journal, ...options });
  }

  async addTenant(prefix) {
    const tenant = await this.gateway.newTenant(prefix);
    for (const name of this.connections)
      await tenant.addConnection(name, this[name].url, {
        headers: { 'X-Tenant': tenant.name },
        call_timeout: '30s',
      });
    return tenant;
  }

  async addLanes({ legacy = 3, modern = 3, roaming = 0, sdk = 0 }) {
    const block = 1 + Math.floor(Math.random() * 250);
    const add = (era, kind, keepAlive) => {
      const at = this.lanes.length;
      const tenant = this.tenants[at % this.tenants.length];
      this.lanes.push(
        new Lane({
          name: `${kind}${at}`,
          era,
          url: this.url,
          key: tenant.userKey,
          tenant: tenant.name,
          user: 'ana',
          address: `127.77.${block}.${at + 1}`,
          random: this.random.child(`${kind}${at}`),
          connections: this.connections,
          tools,
          keepAlive,
          calls: this.calls,
          run: this.run,
        }),
      );
    };
    for (let at = 0; at < legacy; at++) add('legacy', 'legacy', true);
    for (let at = 0; at < modern; at++) add('modern', 'modern', true);
    for (let at = 0; at < roaming; at++) add(at % 2 ? 'modern' : 'legacy', 'roaming', false);
    for (let at = 0; at < sdk; at++) await this.addSdkLane(at);
  }

  // The key of a user of its own, whose calls are made by SDKs alone.
  async newUser(tenant, name) {
    await this.gateway.must(201, 'POST', `/tenants/${tenant.name}/users`, { name });
    const { key } = await this.gateway.newKey(tenant.name, { name, user: name });
    this.sdkUsers.add(name);
    return key;
  }

  async addSdkLane(at) {
    const name = `sdk${at}`;
    const tenant = this.tenants[at % this.tenants.length];
    const key = await this.newUser(tenant, name);
    const client = clients[at % clients.length];
    this.lanes.push(new SdkLane(this, client, name, tenant.name, key));
  }

  // Starts every lane. think_ms: the longest pause between two calls of one client.
  async startLoad({ thinkMs = 10 } = {}) {
    this.loading = true;
    await Promise.all(this.lanes.map((lane) => lane.open()));
    this.running = this.lanes.map(async (lane) => {
      while (this.loading) {
        await lane.step();
        await pause(lane.random.below(thinkMs));
      }
    });
  }

  async stopLoad() {
    this.loading = false;
    await Promise.all(this.running ?? []);
  }

  // Waits until each lane has ended this many more calls well.
  progress(calls, deadline = 30000) {
    const now = () => Map.groupBy(this.calls.filter(succeeded), (call) => call.lane);
    const before = now();
    return eventually(
      () => {
        const after = now();
        return this.lanes.every(
          ({ name }) => (after.get(name)?.length ?? 0) - (before.get(name)?.length ?? 0) >= calls,
        );
      },
      { deadline, every: 50, what: `${calls} more calls of each client` },
    );
  }

  async rows() {
    const tenants = this.tenants.map((tenant) => tenant.name);
    const { rows } = await this.database.query(
      `${rowsQuery} WHERE tenant = ANY($1) OR request_id LIKE $2`,
      [tenants, `"${this.run}-%`],
    );
    return rows;
  }

  async contradictions(allowed) {
    const rows = await this.rows();
    const runs = readJournals(this.journals);
    const ofSdk = (row) => this.sdkUsers.has(row.user_name);
    const entries = entriesOf(this.gateway.directory)
      .filter((entry) => this.sdkUsers.has(entry.user))
      .map((entry) => (entry.outcome.length > 1 ? { ...entry, ...abandonedEntry } : entry));
    this.counts = {
      calls: this.calls.length,
      failed: this.calls.filter((call) => !succeeded(call)).length,
      unanswered: this.calls.filter((call) => !answered(call)).length,
      upstream: runs.length,
      rows: rows.length,
      unknown: rows.filter((row) => row.outcome === 'unknown').length,
    };
    return [
      ...compareLedgers(
        { calls: this.calls, runs, rows: rows.filter((row) => !ofSdk(row)) },
        allowed,
      ),
      ...compare(entries, rows.filter(ofSdk)),
    ];
  }

  // Waits until the ledgers agree; gives what still contradicts when that takes too long.
  async settle(allowed, deadline = settleMs) {
    let problems;
    await eventually(
      async () => {
        problems = await this.contradictions(allowed);
        return problems.every((problem) => problem.startsWith('failed'));
      },
      { deadline, every: 500, what: 'the three ledgers agree' },
    ).catch(() => {});
    return [
      ...problems,
      ...(await this.backlogProblems()),
      ...(await chainProblems(this.gateway)),
    ];
  }

  // /readyz says that everything has been written.
  async backlogProblems() {
    try {
      await this.drained();
      return [];
    } catch (problem) {
      return [problem.message];
    }
  }

  drained(deadline = 10000) {
    return eventually(
      async () => {
        const { status, json } = await this.readyz();
        return status === 200 && json.audit.backlog_rows === 0;
      },
      { deadline, every: 50, what: '/readyz says that no row waits' },
    );
  }

  async readyz() {
    const url = `${this.gateway.dev.ops_url}/readyz`;
    const response = await fetch(url, { headers: { connection: 'close' } });
    return { status: response.status, json: await response.json() };
  }

  async close() {
    this.loading = false;
    await Promise.allSettled(this.lanes.map((lane) => lane.close()));
    await this.database.end().catch(() => {});
    await Promise.allSettled([this.old?.stop('SIGKILL'), this.new?.stop('SIGKILL')]);
    await dispose(this.gateway);
  }
}

// What the book may say of a request whose client saw no answer.
const abandonedEntry = {
  optional: true,
  outcome: [
    ...['ok', 'tool_error', 'protocol_error', 'upstream_error', 'timeout', 'unavailable'],
    ...['unknown', 'client_closed', 'cancelled', 'drained'],
  ],
};
