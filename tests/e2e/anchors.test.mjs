// SPDX-License-Identifier: Apache-2.0
//
// The chain and its anchors as anybody finds them: computed again here, from what the database says,
// what the file beside it says, and the public key.

import assert from 'node:assert/strict';
import { createHmac, createPrivateKey, createPublicKey, verify } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { startFixture } from './lib/fixtures.mjs';
import { dispose, newDirectory, start, unlessSpread } from './lib/gateway.mjs';
import { requestModern } from './lib/raw.mjs';
import { eventually } from './lib/wait.mjs';

const nCalls = 40;

let gateway;
let upstream;
let tenant;

before(async () => {
  gateway = await start(newDirectory());
  tenant = await gateway.newTenant('chain');
  upstream = await startFixture('modern');
  await tenant.addConnection('up', upstream.url);
});

after(async () => {
  await upstream?.stop();
  if (gateway) await dispose(gateway);
});

const linesOf = () => {
  const file = path.join(gateway.directory, 'data', 'anchors.jsonl');
  const text = fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '';
  assert.ok(text === '' || text.endsWith('\n'));
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
};

const u64 = (value) => {
  const out = Buffer.alloc(8);
  out.writeBigUInt64BE(BigInt(value));
  return out;
};
const uuidBytes = (text) => Buffer.from(text.replaceAll('-', ''), 'hex');
const microseconds = (text) => {
  const [, whole, fraction] = /^(.*)\.(\d{6})Z$/.exec(text);
  return BigInt(Date.parse(`${whole}Z`)) * 1000n + BigInt(fraction);
};

// RFC 8410: a raw Ed25519 key in its envelope.
const publicKey = () => {
  const keyring = JSON.parse(fs.readFileSync(path.join(gateway.directory, 'keyring.json'), 'utf8'));
  const seed = createHmac('sha256', Buffer.from(keyring.pepper, 'base64url')).update('tollgate audit anchor 1').digest();
  const envelope = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]);
  return createPublicKey(createPrivateKey({ key: envelope, format: 'der', type: 'pkcs8' }));
};

const statement = (anchor) =>
  Buffer.concat([
    Buffer.from('tollgate audit anchor 1\0'),
    uuidBytes(anchor.chain),
    u64(anchor.epoch),
    u64(anchor.first_seq),
    u64(anchor.last_seq),
    Buffer.from(anchor.last_mac, 'hex'),
    Buffer.from(anchor.mac_key, 'hex'),
    u64(microseconds(anchor.anchored_at)),
  ]);

describe('a gateway whose workers were replaced', unlessSpread('the other has a file of its own'), () => {
  let anchors; // by chain and epoch

  before(async () => {
    for (let n = 0; n < nCalls; n++) {
      const { status } = await requestModern(gateway.mcp(), 'tools/call', { name: 'up__echo', arguments: { n } }, { key: tenant.userKey });
      assert.equal(status, 200);
    }
    // Each brings all it has to the database, and an anchor of it, before it ends.
    process.kill(gateway.pid, 'SIGHUP');
    anchors = await eventually(
      async () => {
        const lines = linesOf();
        const last = Object.fromEntries(lines.map((line) => [line.chain, line.last_seq]));
        const open = await gateway.owner(
          'SELECT chain_id, max(chain_seq)::int AS seq FROM audit.call_log WHERE tenant = $1 GROUP BY 1', [tenant.name]);
        return open.length > 0 && open.every(({ chain_id: id, seq }) => last[id] >= seq) && lines;
      },
      { deadline: 30000, every: 100, what: 'every row is anchored' },
    );
  });

  test('has every row in a chain, without gaps', async () => {
    const rows = await gateway.owner('SELECT chain_id, chain_seq::int AS seq FROM audit.call_log ORDER BY 1, 2');
    assert.ok(rows.length >= nCalls);
    const others = await gateway.owner(
      `SELECT count(*)::int AS n FROM pg_class WHERE oid = to_regclass('audit.event_seals')`);
    for (const [at, { chain_id: id, seq }] of rows.entries()) {
      assert.notEqual(id, null);
      // Links of another kind may stand between calls.
      if (others[0].n === 0)
        assert.equal(seq, rows[at - 1]?.chain_id === id ? rows[at - 1].seq + 1 : 1);
    }
  });

  test('says in the file what it says in the database, signed', async () => {
    const key = publicKey();
    const stored = await eventually(async () => {
      const rows = await gateway.owner(
        `SELECT chain_id AS chain, epoch::int, first_seq::int, last_seq::int,
                encode(last_mac, 'hex') AS last_mac, encode(mac_key, 'hex') AS mac_key,
                to_char(anchored_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS anchored_at,
                encode(signature, 'hex') AS signature FROM audit.anchors`);
      return rows.length >= anchors.length && rows;
    }, { what: 'the anchors are in the database' });
    for (const { type, ...anchor } of anchors) {
      assert.equal(type, 'anchor');
      const row = stored.find(({ chain, epoch }) => chain === anchor.chain && epoch === anchor.epoch);
      assert.deepEqual(anchor, row);
      assert.ok(verify(null, statement(anchor), key, Buffer.from(anchor.signature, 'hex')));
      assert.ok(!verify(null, statement({ ...anchor, last_seq: anchor.last_seq + 1 }), key, Buffer.from(anchor.signature, 'hex')));
    }
  });

  test('anchors the MACs that the rows have', async () => {
    for (const anchor of anchors) {
      const [row] = await gateway.owner(
        'SELECT encode(chain_mac, \'hex\') AS mac FROM audit.call_log WHERE chain_id = $1 AND chain_seq = $2',
        [anchor.chain, anchor.last_seq]);
      if (row) assert.equal(row.mac, anchor.last_mac);
    }
    for (const anchor of anchors) {
      const before = anchors.find(({ chain, epoch }) => chain === anchor.chain && epoch === anchor.epoch - 1);
      assert.equal(anchor.first_seq, (before?.last_seq ?? 0) + 1);
      assert.notEqual(anchor.mac_key, before?.mac_key);
    }
  });

  test('lets nobody but itself read the file', () => {
    const { mode } = fs.statSync(path.join(gateway.directory, 'data', 'anchors.jsonl'));
    assert.equal(mode & 0o777, 0o600);
  });
});
