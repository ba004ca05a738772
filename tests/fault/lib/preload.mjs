// SPDX-License-Identifier: Apache-2.0
//
// tests/fault/preload.c under a gateway of a scenario, and what tells it what to break.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const library = path.resolve(import.meta.dirname, '../../../build/fault/preload.so');

const modes = { off: 0, once: 1, from: 2, short: 3, interrupted: 4 };
const at = { mode: 0, error: 4, n: 8, seen: 12, fired: 16, clock: 20 };
const size = 24;

export class Preload {
  constructor() {
    if (!fs.existsSync(library)) throw new Error(`${library} is missing: make ${library}`);
    this.directory = fs.mkdtempSync(path.join(os.tmpdir(), 'tollgate-preload-'));
    this.file = path.join(this.directory, 'control');
    fs.writeFileSync(this.file, Buffer.alloc(size));
    this.fd = fs.openSync(this.file, 'r+');
  }

  // For the gateway.
  get env() {
    return { LD_PRELOAD: library, TOLLGATE_FAULT_CONTROL: this.file };
  }

  set(name, value) {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(value);
    fs.writeSync(this.fd, bytes, 0, 4, at[name]);
  }

  get(name) {
    const bytes = Buffer.alloc(4);
    fs.readSync(this.fd, bytes, 0, 4, at[name]);
    return bytes.readInt32LE();
  }

  // mode: once, from, short or interrupted; error: its number, or its name as in os.constants.
  arm(mode, n, error = 'EIO') {
    this.set('mode', modes.off);
    this.set('error', os.constants.errno[error]);
    this.set('n', n);
    this.set('seen', 0);
    this.set('fired', 0);
    this.set('mode', modes[mode]);
  }

  disarm() {
    this.set('mode', modes.off);
  }

  fired() {
    return this.get('fired') > 0;
  }

  // Seconds that the wall clock of the gateway is ahead.
  stepClock(seconds) {
    this.set('clock', seconds);
  }

  close() {
    fs.closeSync(this.fd);
    fs.rmSync(this.directory, { recursive: true, force: true });
  }
}
