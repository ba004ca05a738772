// SPDX-License-Identifier: Apache-2.0
//
// Killing, stopping, and what a process had open when it died.

import fs from 'node:fs';

import { allProcesses, lives } from '../../e2e/lib/gateway.mjs';
import { eventually } from '../../e2e/lib/wait.mjs';

const hexPort = (text) => parseInt(text.slice(text.indexOf(':') + 1), 16);
const hexAddress = (text) => [3, 2, 1, 0].map((at) => parseInt(text.slice(2 * at, 2 * at + 2), 16));

// "address:port" of every peer of a process, or undefined if we may not see (only root may look
// into a process that is not dumpable).
export function peersOf(pid) {
  let names;
  try {
    names = fs.readdirSync(`/proc/${pid}/fd`).map((fd) => fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
  } catch {
    return undefined;
  }
  const inodes = new Set(names.map((name) => /^socket:\[(\d+)\]$/.exec(name)?.[1]).filter(Boolean));
  const lines = fs.readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1);
  return new Set(
    lines
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => inodes.has(fields[9]))
      .map((fields) => `${hexAddress(fields[2]).join('.')}:${hexPort(fields[2])}`),
  );
}

const isStopped = (pid) => allProcesses().some((one) => one.pid === pid && one.state === 'T');

// Kills a worker and gives {pid, at, peers}. It is stopped first, so that what it holds is known.
export async function killWorker(pid) {
  process.kill(pid, 'SIGSTOP');
  await eventually(() => isStopped(pid), { every: 1, what: `${pid} is stopped` });
  const peers = peersOf(pid);
  const at = Date.now();
  process.kill(pid, 'SIGKILL');
  return { pid, at, peers };
}

// Whether this call was on a connection that died with the worker: for all that we know, if we may
// not know what the worker held.
export function wasOn(death, call) {
  if (call.wire === undefined || call.wire.openedAt > death.at) return false;
  if (death.peers === undefined) return call.endedAt >= death.at;
  return death.peers.has(`${call.wire.address}:${call.wire.port}`);
}

const childrenOf = (pid) => {
  const all = allProcesses();
  const found = all.filter((one) => one.pid === pid);
  for (let at = 0; at < found.length; at++)
    found.push(...all.filter((one) => one.parent === found[at].pid));
  return found;
};

// The private cluster of a development gateway.
export class Cluster {
  constructor(ownerUrl) {
    this.data = `${new URL(ownerUrl).searchParams.get('host')}/data`;
  }

  pid() {
    return Number(fs.readFileSync(`${this.data}/postmaster.pid`, 'utf8').split('\n')[0]);
  }

  // A setting for all that begins from now on.
  configure(name, value) {
    fs.appendFileSync(`${this.data}/postgresql.auto.conf`, `${name} = ${value}\n`);
    process.kill(this.pid(), 'SIGHUP');
  }

  // kill -9 of the postmaster; without its version file it does not start again before restore().
  async kill() {
    const all = childrenOf(this.pid());
    fs.renameSync(`${this.data}/PG_VERSION`, `${this.data}/PG_VERSION.away`);
    process.kill(all[0].pid, 'SIGKILL');
    await eventually(() => !all.some(lives), { deadline: 10000, what: 'Postgres is gone' });
  }

  restore() {
    fs.renameSync(`${this.data}/PG_VERSION.away`, `${this.data}/PG_VERSION`);
  }

  // Every process of it: the backends first, or the postmaster would see them stop.
  stop() {
    this.stopped = childrenOf(this.pid());
    for (const { pid } of this.stopped.toReversed()) process.kill(pid, 'SIGSTOP');
  }

  resume() {
    for (const { pid } of this.stopped) process.kill(pid, 'SIGCONT');
  }
}
