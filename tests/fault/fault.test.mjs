// SPDX-License-Identifier: Apache-2.0
//
// A short run of every scenario, always with the same seed. SCENARIO=name,… runs these, SCENARIO=!name,…
// all others.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { scenarios } from './scenarios/index.mjs';

const { SCENARIO = '!' } = process.env;
const named = SCENARIO.replace('!', '').split(',');
const isWanted = (name) => named.includes(name) !== SCENARIO.startsWith('!');
const seed = 1;

for (const [name, { shows, run, sample }] of Object.entries(scenarios)) {
  if (!isWanted(name)) continue;
  test(shows, async (t) => {
    const { problems, numbers, skipped } = await run({ seed, ...sample });
    if (skipped) return t.skip(skipped);
    t.diagnostic(`${name}: ${JSON.stringify(numbers)}`);
    const shown = problems.slice(0, 20).join('\n');
    assert.equal(problems.length, 0, `${problems.length} contradictions\n${shown}`);
    return assert.ok(numbers.calls > 0 && numbers.rows > 0, 'something was called');
  });
}
