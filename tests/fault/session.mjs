// SPDX-License-Identifier: Apache-2.0
//
// A short session with a slow program (under valgrind): clients of both eras and the SDKs call,
// the gateway stops in order, and the ledgers agree.

import { World } from './lib/world.mjs';

const slow = { deadline: 180000 };

const world = await World.build({ legacy: 2, modern: 2, roaming: 2, sdk: 3, start: slow });
let problems;
try {
  await world.startLoad();
  await world.progress(10, slow.deadline);
  await world.stopLoad();
  problems = await world.settle();
  await world.gateway.stop(slow);
} finally {
  await world.close();
}
for (const problem of problems.slice(0, 20)) console.log(problem);
console.log(`${world.counts.calls} calls, ${problems.length} contradictions`);
process.exitCode = problems.length === 0 ? 0 : 1;
