// SPDX-License-Identifier: Apache-2.0
//
// I5: what `tollgate audit verify` says of the book of a scenario.

import { runCli } from '../../e2e/lib/gateway.mjs';

// Gives what does not verify, as sentences.
export async function chainProblems(gateway) {
  const { code, stdout, stderr } = await runCli(['audit', 'verify', '--dir', gateway.directory], {
    deadline: 120000,
  });
  return code === 0 ? [] : [`I5 audit verify ended with ${code}: ${stdout}${stderr}`.trim()];
}
