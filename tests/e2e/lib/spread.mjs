// SPDX-License-Identifier: Apache-2.0
//
//   node spread.mjs DIRECTORY PORT [NAME=VALUE…]
//
// Beside the development gateway of a directory: a second gateway, and fronts that spread requests
// over both; that of the public address, which both were told, on the port. The rest are settings of
// the second. Writes spread.json once they serve, runs until SIGTERM or the end of its standard
// input, and stops the second gateway in order.

import fs from 'node:fs';
import path from 'node:path';

import { startFront } from './front.mjs';
import { startBeside } from './second.mjs';

const [directory, port, ...sets] = process.argv.slice(2);
const file = path.join(directory, 'spread.json');
const dev = JSON.parse(fs.readFileSync(path.join(directory, 'dev.json'), 'utf8'));

const publicUrl = `http://127.0.0.1:${port}`;
const second = await startBeside(directory, { sets: [`public_url=${publicUrl}`, ...sets] });
const publicFront = await startFront([dev.public_url, second.dev.public_url], {
  port: Number(port),
});
const keyFront = await startFront([dev.key_url, second.dev.key_url]);

async function stop() {
  fs.rmSync(file, { force: true });
  publicFront.stop();
  keyFront.stop();
  process.exit(await second.stop());
}
process.once('SIGTERM', stop);
process.stdin.on('end', stop).resume();

const spread = {
  public_url: publicFront.url,
  mcp_url: `${publicFront.url}/mcp`,
  api_url: `${publicFront.url}/api/v1`,
  key_url: keyFront.url,
  second: second.dev,
  spread_pid: process.pid,
};
fs.writeFileSync(`${file}.new`, JSON.stringify(spread));
fs.renameSync(`${file}.new`, file);
