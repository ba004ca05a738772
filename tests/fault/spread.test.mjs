// SPDX-License-Identifier: Apache-2.0
//
// That TOLLGATE_E2E_SPREAD does what it says: the requests of one session are served by every
// worker of two gateways. Other files run with it as they are.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { startFixture } from '../e2e/lib/fixtures.mjs';
import { eventually } from '../e2e/lib/wait.mjs';

process.env.TOLLGATE_E2E_SPREAD = '1';
// They read the environment when they are loaded.
const { environment } = await import('../e2e/lib/gateway.mjs');
const { openSession } = await import('../e2e/lib/raw.mjs');

let gateway;
let tenant;
let upstream;

before(async () => {
  gateway = await environment();
  tenant = await gateway.newTenant('spread');
  upstream = await startFixture('legacy');
  await tenant.addConnection('old', upstream.url);
});

after(async () => {
  await upstream?.stop();
  await gateway?.close();
});

test('one session is served by all workers of both gateways', async () => {
  const workers = await gateway.workers();
  assert.equal(workers.length, 4);
  const session = await openSession(gateway.mcp(), { key: tenant.userKey });
  const total = 64; // one of four workers is missed once in 10^7 times
  for (let at = 0; at < total; at++) {
    const { status, answer } = await session.request('tools/call', {
      name: 'old__echo',
      arguments: { at },
    });
    assert.equal(status, 200);
    assert.equal(answer.result.content[0].text, `{"at":${at}}`);
  }
  const served = await eventually(
    async () => {
      const rows = await gateway.owner(
        `SELECT n.pid, count(*)::int AS calls FROM audit.calls c JOIN tollgate.nodes n ON n.id = c.node_id
         WHERE c.tenant = $1 AND c.method = 'tools/call' GROUP BY n.pid`,
        [tenant.name],
      );
      return rows.reduce((sum, row) => sum + row.calls, 0) === total ? rows : undefined;
    },
    { deadline: 20000, what: 'a row for each call' },
  );
  assert.deepEqual(
    served.map((row) => row.pid).toSorted(),
    workers.map((worker) => worker.pid).toSorted(),
  );
  const calls = (await upstream.ledger()).calls;
  assert.equal(calls.length, total);
});
