// SPDX-License-Identifier: Apache-2.0
//
// Small filesystems that can be filled.

import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const run = (...args) => spawnSync(args[0], args.slice(1), { encoding: 'utf8' });

// With owners and modes, that of the directory itself included; what was there is removed.
export function copyTree(from, to) {
  const { status, stderr } = run('cp', '-a', '-T', from, to);
  if (status !== 0) throw new Error(stderr);
  fs.rmSync(from, { recursive: true });
}

export class Tmpfs {
  // Gives undefined where one may not mount.
  static mount(directory, mebibytes) {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const options = `size=${mebibytes}m,mode=0700`;
    const { status } = run('mount', '-t', 'tmpfs', '-o', options, 'tollgate-test', directory);
    return status === 0 ? new Tmpfs(directory) : undefined;
  }

  constructor(directory) {
    this.directory = directory;
    this.filler = path.join(directory, 'filler');
  }

  // Until nothing is left, or that many bytes.
  fill(leave = 0) {
    const fd = fs.openSync(this.filler, 'a');
    const { bavail, bsize } = fs.statfsSync(this.directory);
    let left = bavail * bsize - leave;
    for (let piece = 1 << 20; piece >= 1; piece = piece === 1 ? 0 : piece >> 10) {
      const bytes = Buffer.alloc(piece);
      try {
        for (; left >= piece; left -= piece) fs.writeSync(fd, bytes);
      } catch (problem) {
        if (problem.code !== 'ENOSPC') throw problem;
      }
      if (piece === 1) break;
    }
    fs.closeSync(fd);
  }

  free() {
    fs.rmSync(this.filler, { force: true });
  }

  unmount() {
    run('umount', this.directory);
  }
}
