// SPDX-License-Identifier: Apache-2.0
//
// MCP clients that are programs of their own, each run in a home of its own, where whoever opens a
// browser is found out.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const modules = path.resolve(import.meta.dirname, '../node_modules');
export const inspectorProgram = `${modules}/@modelcontextprotocol/inspector/clients/launcher/build/index.js`;
export const mcpRemoteProgram = `${modules}/mcp-remote/dist/proxy.js`;

const browsers = ['xdg-open', 'open', 'sensible-browser', 'x-www-browser', 'www-browser'];

// {env, opened(), remove()}; opened() gives what a browser was asked to show.
export function newHome() {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-home-'));
  const bin = path.join(directory, 'bin');
  const opened = path.join(directory, 'opened');
  fs.mkdirSync(bin);
  for (const name of browsers)
    fs.writeFileSync(path.join(bin, name), `#!/bin/sh\necho "$0 $*" >> ${opened}\n`, {
      mode: 0o755,
    });
  return {
    env: { PATH: `${bin}:${process.env.PATH}`, HOME: directory },
    opened: () => (fs.existsSync(opened) ? fs.readFileSync(opened, 'utf8') : ''),
    remove: () => fs.rmSync(directory, { recursive: true, force: true }),
  };
}

// Gives {code, stdout, stderr}.
export function runProgram(program, args, { env, deadline = 30000 }) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [program, ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: deadline,
    });
    const out = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'])
      child[name].on('data', (chunk) => (out[name] += chunk));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? signal, ...out }));
  });
}
