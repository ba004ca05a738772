// SPDX-License-Identifier: Apache-2.0
//
// Connections that stay, each to one worker. SO_REUSEPORT gives a connection to any worker of a
// gateway; which one it was is told by the book, whose rows name the node that served the call.

import assert from 'node:assert/strict';
import http from 'node:http';

import { nextAddress, requestModern } from './raw.mjs';
import { eventually } from './wait.mjs';

const maxAttempts = 40;

export async function nodeOf(gateway, address, outcome = 'ok') {
  const rows = await eventually(
    async () => {
      const found = await gateway.owner(
        'SELECT node_id::text FROM audit.calls WHERE host(source_ip) = $1 AND outcome = $2',
        [address, outcome],
      );
      return found.length > 0 ? found : undefined;
    },
    { deadline: 10000, what: `a row of ${address} says ${outcome}` },
  );
  return rows[0].node_id;
}

// url: where requests go. via is what they take as options.
export async function connect(gateway, url, key) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const via = { url, agent, address: nextAddress() };
  const reply = await requestModern(url, 'server/discover', {}, { key, ...via });
  assert.equal(reply.status, 200);
  return { via, node: await nodeOf(gateway, via.address), close: () => agent.destroy() };
}

// A connection to another worker than that node.
export async function connectElsewhere(gateway, url, key, node) {
  for (let attempt = 0; attempt < maxAttempts; attempt++) {
    const found = await connect(gateway, url, key);
    if (found.node !== node) return found;
    found.close();
  }
  throw new Error(`${maxAttempts} connections led to ${node}`);
}

// One connection to each of so many workers of the gateway at url.
export async function connectAll(gateway, url, key, workers = 2) {
  const found = new Map();
  for (let attempt = 0; found.size < workers; attempt++) {
    if (attempt === maxAttempts) throw new Error(`${found.size} of ${workers} workers answer`);
    const one = await connect(gateway, url, key);
    if (found.has(one.node)) one.close();
    else found.set(one.node, one);
  }
  return [...found.values()];
}
