// SPDX-License-Identifier: Apache-2.0
//
// Every scenario in full, and a report. SCENARIO=name runs one, SEED=n another sequence. Ends with
// 1 if anything contradicts or a limit is passed.

import { scenarios } from './scenarios/index.mjs';

const shown = 20;
const seed = Number(process.env.SEED ?? 1);
const wanted = process.env.SCENARIO?.split(',') ?? Object.keys(scenarios);

function judge({ problems = [], numbers = {}, limits = [] }) {
  const over = limits
    .filter(([name, most]) => !(numbers[name] <= most))
    .map(([name, most]) => `${name} is ${numbers[name]}, more than ${most}`);
  return [...problems, ...over];
}

async function perform(name) {
  const began = Date.now();
  const { run, full } = scenarios[name];
  const result = await run({ seed, ...full }).catch((problem) => ({
    problems: [problem.stack],
    numbers: {},
    limits: [],
  }));
  const wrong = judge(result);
  if (result.skipped) {
    console.log(`skip   ${name}: ${result.skipped}`);
    return 0;
  }
  const numbers = Object.entries(result.numbers).map(([key, value]) => `${key}=${value}`);
  const seconds = Math.round((Date.now() - began) / 1000);
  console.log(`${wrong.length === 0 ? 'ok    ' : 'FAILED'} ${name} (${seconds} s)`);
  console.log(`       ${numbers.join(' ')}`);
  for (const problem of wrong.slice(0, shown)) console.log(`     - ${problem}`);
  if (wrong.length > shown) console.log(`     - and ${wrong.length - shown} more`);
  return wrong.length;
}

const unknown = wanted.filter((name) => !Object.hasOwn(scenarios, name));
if (unknown.length > 0) {
  console.error(`no scenario ${unknown}; there are: ${Object.keys(scenarios).join(', ')}`);
  process.exit(2);
}
console.log(`campaign, seed ${seed}`);
let violations = 0;
for (const name of wanted) violations += await perform(name);
console.log(`${wanted.length} scenarios, ${violations} violations`);
process.exit(violations === 0 ? 0 : 1);
