// SPDX-License-Identifier: Apache-2.0
//
// `tollgate serve` on the database of a development gateway: what only a real deployment has.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { freePort } from './fixtures.mjs';
import { registerGateway } from './ledger.mjs';
import { nextAddress } from './raw.mjs';
import { eventually } from './wait.mjs';

const repository = path.resolve(import.meta.dirname, '../../..');
const binary = process.env.TOLLGATE_E2E_BINARY ?? path.join(repository, 'build/tollgate');

class Serve {
  constructor(gateway, name, ports, settings) {
    const host = nextAddress();
    // Not 127.0.0.1, where some other test's upstream that is down may be looked for.
    const [listen, key, ops] = ports.map((port) => `${host}:${port}`);
    this.directory = `${gateway.directory}-${name}`;
    this.url = `http://${listen}`;
    this.opsUrl = `http://${ops}`;
    this.log = `${this.directory}.log`;
    fs.mkdirSync(this.directory, { recursive: true });
    this.env = {
      PATH: process.env.PATH,
      ASAN_OPTIONS: process.env.ASAN_OPTIONS,
      UBSAN_OPTIONS: process.env.UBSAN_OPTIONS,
      LSAN_OPTIONS: process.env.LSAN_OPTIONS,
      TOLLGATE_DATABASE_URL: gateway.dev.database_url,
      TOLLGATE_DRAIN_DATABASE_URL: gateway.dev.database_url.replace(
        'tollgate_app',
        'tollgate_audit_writer',
      ),
      TOLLGATE_KEYRING_FILE: path.join(gateway.directory, 'keyring.json'),
      TOLLGATE_DATA_DIR: this.directory,
      TOLLGATE_PUBLIC_URL: this.url,
      TOLLGATE_LISTEN: listen,
      TOLLGATE_KEY_LISTEN: key,
      TOLLGATE_OPS_LISTEN: ops,
      TOLLGATE_WORKERS: '2',
      TOLLGATE_DRAIN_TIMEOUT: '3s',
      ...settings,
    };
    // Its rows are in the book of that database.
    registerGateway(gateway.directory, [this.url, `http://${key}`]);
  }

  mcp({ connection } = {}) {
    return `${this.url}${connection ? `/c/${connection}` : ''}/mcp`;
  }

  // status: what /readyz says once it is there.
  async start({ deadline = 20000, status = 200 } = {}) {
    const log = fs.openSync(this.log, 'a');
    const child = spawn(binary, ['serve'], { stdio: ['ignore', log, log], env: this.env });
    fs.closeSync(log);
    this.child = child;
    this.ended = new Promise((resolve) =>
      child.on('exit', (code, signal) => resolve(code ?? signal)),
    );
    await eventually(
      async () => child.exitCode !== null || (await this.ready()).status === status,
      { deadline, what: 'the gateway is ready' },
    );
    if (child.exitCode !== null)
      throw new Error(`tollgate serve ended: ${fs.readFileSync(this.log, 'utf8').slice(-2000)}`);
    return this;
  }

  kill(signal) {
    process.kill(this.child.pid, signal);
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.kill('SIGTERM');
    return this.ended;
  }

  async ready() {
    const response = await fetch(`${this.opsUrl}/readyz`, { headers: { connection: 'close' } });
    return { status: response.status, json: await response.json() };
  }

  workers() {
    return fs
      .readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map(Number);
  }
}

// Started. settings: further environment; options as of start.
export async function startServe(gateway, name, settings = {}, options = {}) {
  const ports = [await freePort(), await freePort(), await freePort()];
  return new Serve(gateway, name, ports, settings).start(options);
}
