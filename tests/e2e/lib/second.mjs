// SPDX-License-Identifier: Apache-2.0
//
// A second gateway on the databases of a development gateway: `tollgate serve` as it runs anywhere,
// with a data directory of its own, the same keyring, the same Hosts; or one more `tollgate dev`.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

import { freePort } from './fixtures.mjs';
import { eventually } from './wait.mjs';

const repository = path.resolve(import.meta.dirname, '../../..');
const program = process.env.TOLLGATE_E2E_BINARY ?? path.join(repository, 'build/tollgate');

function settings(dev, directory, { name, ports, workers }) {
  const [listen, keyListen, opsListen] = ports.map((port) => `127.0.0.1:${port}`);
  return {
    data_dir: path.join(path.dirname(directory), name),
    database_url: dev.database_url,
    drain_database_url: dev.database_url.replace('user=tollgate_app', 'user=tollgate_audit_writer'),
    keyring_file: path.join(directory, 'keyring.json'),
    public_url: `http://${listen}`,
    listen,
    key_listen: keyListen,
    ops_listen: opsListen,
    allowed_hosts: '127.0.0.1,localhost,[::1]',
    drain_timeout: '5s',
    workers: String(workers),
  };
}

const serves = async (url) => {
  const response = await fetch(`${url}/readyz`, { headers: { connection: 'close' } });
  await response.arrayBuffer();
  return response.status === 200;
};

const gone = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.on('exit', resolve);
  });

const stopper =
  (child) =>
  async (signal = 'SIGTERM') => {
    child.kill(signal);
    await gone(child);
    return child.exitCode;
  };

// dev is the content of dev.json in directory. name: of its data directory and log, beside that.
// ports: [public, key, ops], free ones unless given. set: more settings.
export async function startSecond(dev, directory, options = {}) {
  const { name = 'second', workers = 2, set = {}, deadline = 30000 } = options;
  const ports = options.ports ?? [await freePort(), await freePort(), await freePort()];
  const all = { ...settings(dev, directory, { name, ports, workers }), ...set };
  const log = fs.openSync(path.join(path.dirname(directory), `${name}.log`), 'a');
  const child = spawn(
    program,
    ['serve', ...Object.entries(all).flatMap(([name, value]) => ['--set', `${name}=${value}`])],
    { stdio: ['ignore', log, log] },
  );
  fs.closeSync(log);
  const [publicUrl, keyUrl, opsUrl] = ports.map((port) => `http://127.0.0.1:${port}`);
  await eventually(
    async () => {
      if (child.exitCode !== null) return true;
      return (await serves(opsUrl)) && (await serves(opsUrl));
    },
    { deadline, what: 'the second gateway is ready' },
  );
  if (child.exitCode !== null) throw new Error(`tollgate serve ended with ${child.exitCode}`);
  return {
    pid: child.pid,
    ports,
    publicUrl,
    keyUrl,
    opsUrl,
    stop: stopper(child),
  };
}

// `tollgate dev --beside directory`: what it permits is what the first one does. sets: NAME=VALUE
// each. Gives its dev.json and {stop()}.
export async function startBeside(directory, options = {}) {
  const { workers = 2, sets = [], deadline = 30000 } = options;
  const own = path.join(path.dirname(directory), 'second');
  const file = path.join(own, 'dev.json');
  const log = fs.openSync(`${own}.log`, 'a');
  const child = spawn(
    program,
    [
      ...['dev', '--dir', own, '--beside', directory, '--port', '0'],
      ...['--workers', String(workers), ...sets.flatMap((one) => ['--set', one])],
    ],
    { stdio: ['ignore', log, log] },
  );
  fs.closeSync(log);
  await eventually(() => child.exitCode !== null || fs.existsSync(file), {
    deadline,
    every: 10,
    what: 'the second gateway is ready',
  });
  if (child.exitCode !== null) throw new Error(`tollgate dev ended with ${child.exitCode}`);
  return { dev: JSON.parse(fs.readFileSync(file, 'utf8')), stop: stopper(child) };
}
