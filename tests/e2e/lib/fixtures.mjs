// SPDX-License-Identifier: Apache-2.0
//
// Upstreams as child processes: the two fixtures and server-everything.

import { spawn } from 'node:child_process';
import net from 'node:net';
import path from 'node:path';

import { eventually } from './wait.mjs';

const root = path.resolve(import.meta.dirname, '..');

function firstLine(child) {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.includes('\n')) resolve(text.split('\n')[0]);
    });
    child.on('exit', (code) => reject(new Error(`fixture ended with ${code}`)));
  });
}

const ended = (child) =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    else child.on('exit', resolve);
  });

// The control of a fixture at a port; works for one started elsewhere too.
function fixtureAt(port, era, pid) {
  const base = `http://127.0.0.1:${port}`;
  const tell = async (what, body) => {
    const response = await fetch(`${base}/${what}`, { method: 'POST', body: JSON.stringify(body) });
    await response.arrayBuffer();
  };
  return {
    era,
    port,
    pid,
    url: `${base}/mcp`,
    ledger: async () => (await fetch(`${base}/ledger`)).json(),
    control: (change) => tell('control', change),
    release: (nonce) => tell('release', { nonce }),
    // Waits until the call of that nonce runs there.
    running: (nonce) =>
      eventually(
        async () =>
          (await (await fetch(`${base}/ledger`)).json()).calls.find((call) => call.nonce === nonce),
        { what: `${nonce} runs upstream` },
      ),
  };
}

export async function startFixture(era, options = {}) {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [`${root}/fixtures/${era}.mjs`, '--tied', ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const { port } = JSON.parse(await firstLine(child));
  const fixture = fixtureAt(port, era, child.pid);
  fixture.stop = async (signal = 'SIGTERM') => {
    child.kill(signal);
    await ended(child);
  };
  return fixture;
}

export const freePort = () =>
  new Promise((resolve, reject) => {
    const server = net.createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    socket.on('connect', () => (socket.destroy(), resolve(true)));
    socket.on('error', () => resolve(false));
  });

export async function startEverything({ port } = {}) {
  port ??= await freePort();
  const program = `${root}/node_modules/@modelcontextprotocol/server-everything/dist/index.js`;
  const child = spawn(process.execPath, [program, 'streamableHttp'], {
    stdio: 'ignore',
    env: { ...process.env, PORT: String(port) },
  });
  await eventually(() => accepts(port), { deadline: 20000, what: 'server-everything listens' });
  return {
    era: 'legacy',
    port,
    pid: child.pid,
    url: `http://127.0.0.1:${port}/mcp`,
    stop: async () => {
      child.kill('SIGKILL');
      await ended(child);
    },
  };
}
