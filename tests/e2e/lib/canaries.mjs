// SPDX-License-Identifier: Apache-2.0
//
// Secrets that are planted, and everything that a gateway leaves behind, searched for them in all
// forms in which bytes are written down.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { sql } from './gateway.mjs';

const run = promisify(execFile);
const letters = (n) => randomBytes(n).toString('hex').replaceAll(/[0-9]/g, (c) => 'ghijklmnop'[c]);

// What all secrets of a run have in common, so that one search is for all of them.
export class Canaries {
  constructor() {
    this.mark = letters(6);
    this.secrets = [];
  }

  // A new one; its tail differs between plain text and a URL.
  plant(tail = '/+%&=~') {
    const secret = `${this.mark}${letters(4)}${tail}`;
    this.secrets.push(secret);
    return secret;
  }

  // One that somebody else made, such as an API key.
  keep(secret) {
    this.secrets.push(secret);
    return secret;
  }

  // What to look for: [name, bytes].
  needles() {
    const others = this.secrets.filter((secret) => !secret.startsWith(this.mark));
    return [this.mark, ...others].flatMap((text) =>
      forms(text).map(([form, needle]) => [`${form} of ${text}`, Buffer.from(needle, 'latin1')]),
    );
  }

  // places: {name: text or bytes or a list of them}. Gives "what in where".
  find(places) {
    const needles = this.needles();
    return Object.entries(places).flatMap(([place, content]) =>
      needles
        .filter(([, needle]) =>
          [content].flat().some((one) => (Buffer.isBuffer(one) ? one : Buffer.from(one)).includes(needle)),
        )
        .map(([what]) => `${what} in ${place}`),
    );
  }
}

// Base64 as it comes out wherever the text stands within the whole, less the digits at both ends
// that depend on its neighbours.
const base64 = (text, shift) =>
  Buffer.from('\0'.repeat(shift) + text, 'latin1')
    .toString('base64')
    .replace(/=+$/, '')
    .slice(shift > 0 ? shift + 1 : 0, (shift + text.length) % 3 === 0 ? undefined : -1);

export function forms(text) {
  const hex = Buffer.from(text, 'latin1').toString('hex');
  const encoded = [0, 1, 2].map((shift) => base64(text, shift));
  const all = [
    ['plain', text],
    ['URL', encodeURIComponent(text)],
    ['hex', hex],
    ['HEX', hex.toUpperCase()],
    ...encoded.map((digits) => ['base64', digits]),
    ...encoded.map((digits) => ['base64url', digits.replaceAll('+', '-').replaceAll('/', '_')]),
  ];
  return all.filter(([, needle], at) => all.findIndex(([, other]) => other === needle) === at);
}

// --- what a gateway leaves behind ----------------------------------------------------------------

const filesBelow = (directory, wanted) =>
  fs
    .readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile() && wanted(file.name))
    .flatMap((file) => {
      try {
        return [fs.readFileSync(path.join(file.parentPath, file.name))];
      } catch (problem) {
        if (problem.code === 'ENOENT') return []; // it went meanwhile
        throw problem;
      }
    });

const superuser = (gateway) => gateway.dev.database_url.replace('tollgate_app', 'postgres');

export async function dump(gateway) {
  const { stdout } = await run('pg_dump', ['--enable-row-security', '-d', gateway.dev.owner_database_url], {
    maxBuffer: 1 << 30,
  });
  return stdout;
}

export function logText(gateway) {
  const file = process.env.TOLLGATE_E2E_LOG ?? `${gateway.directory}.log`;
  return fs.existsSync(file) ? fs.readFileSync(file) : '';
}

// Everything the gateway keeps in its directory, but what is meant to hold a key.
export const gatewayFiles = (gateway) =>
  filesBelow(
    gateway.directory,
    (name) =>
      !['dev.json', 'spread.json', 'keyring.json'].includes(name) && !name.endsWith('.key'),
  );

// The cluster's own files: tables as they lie on the disk, and the write-ahead log.
export async function clusterFiles(gateway) {
  await sql(superuser(gateway), 'CHECKPOINT');
  const [{ data_directory: directory }] = await sql(superuser(gateway), 'SHOW data_directory');
  const below = (name) => filesBelow(path.join(directory, name), () => true);
  return { tables: below('base'), wal: below('pg_wal') };
}

export const statements = async (gateway) =>
  (await sql(superuser(gateway), 'SELECT query FROM pg_stat_activity')).map(({ query }) => query);

export const titles = (gateway) =>
  gateway.processes().flatMap(({ pid }) => {
    try {
      return [fs.readFileSync(`/proc/${pid}/cmdline`), fs.readFileSync(`/proc/${pid}/comm`)];
    } catch {
      return []; // it went meanwhile
    }
  });
