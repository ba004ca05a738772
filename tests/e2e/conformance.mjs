// SPDX-License-Identifier: Apache-2.0
//
// One scenario of the conformance suite through a gateway of its own, with all that was found:
//
//   node conformance.mjs SCENARIO [--revision 2026-07-28] [--era modern] [--alone]
//
// --era is that of the upstream; --alone asks the upstream itself, without the gateway.

import { parseArgs } from 'node:util';

import { eras, revisions, runSuite, startStage } from './lib/conformance.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    revision: { type: 'string', default: revisions.at(-1) },
    era: { type: 'string', default: eras.at(-1) },
    alone: { type: 'boolean', default: false },
  },
});
const { revision, era, alone } = values;
if (positionals.length !== 1 || !revisions.includes(revision) || !eras.includes(era)) {
  console.error(
    `usage: node conformance.mjs SCENARIO [--revision ${revisions.join('|')}] [--era ${eras.join('|')}] [--alone]`,
  );
  process.exit(2);
}

const stage = await startStage();
const url = alone ? stage.upstreams[era].url : stage.url(era);
const scenario = ['--scenario', positionals[0], '--spec-version', revision];
const { code, output } = await runSuite(['--url', url, ...scenario, '--verbose']);
await stage.close();
console.log(output);
process.exitCode = code;
