// SPDX-License-Identifier: Apache-2.0
//
// Sealed values as base/seal.h describes them, made and opened by another hand: AES-256-GCM under a
// tenant's data key, which a key of the keyring wraps.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';

const nonceBytes = 12;
const tagBytes = 16;
const prefixBytes = 14;

const number = (bytes, value) => {
  const out = Buffer.alloc(bytes);
  if (bytes === 8) out.writeBigUInt64BE(BigInt(value));
  else out.writeUInt32BE(value);
  return out;
};

// place: {deployment, tenant, table, column, row, version}
function associated(place, prefix) {
  const items = [
    Buffer.from('tollgate-col-v1'),
    ...['deployment', 'tenant', 'table', 'column', 'row'].map((name) => Buffer.from(place[name])),
    number(8, place.version),
    prefix,
  ];
  return Buffer.concat(items.flatMap((item) => [number(4, item.length), item]));
}

// key: {bytes, kek, dek}
export function seal(key, place, plain) {
  const prefix = Buffer.concat([Buffer.from([1, 1]), number(4, key.kek), number(8, key.dek)]);
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key.bytes, nonce);
  cipher.setAAD(associated(place, prefix));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([prefix, nonce, sealed, cipher.getAuthTag()]);
}

export function open(bytes, place, sealed) {
  const at = prefixBytes + nonceBytes;
  const cipher = createDecipheriv('aes-256-gcm', bytes, sealed.subarray(prefixBytes, at));
  cipher.setAAD(associated(place, sealed.subarray(0, prefixBytes)));
  cipher.setAuthTag(sealed.subarray(-tagBytes));
  return Buffer.concat([cipher.update(sealed.subarray(at, -tagBytes)), cipher.final()]);
}

// The newest data key of a tenant, opened with a keyring (the content of its file).
export async function dataKey(gateway, keyring, tenant) {
  const [row] = await gateway.owner(
    `SELECT k.tenant_id AS tenant, k.dek_id::int AS dek, k.wrapped,
            (SELECT value FROM tollgate.settings WHERE name = 'deployment_id') AS deployment
     FROM tollgate.data_keys k JOIN tollgate.tenants t ON t.id = k.tenant_id
     WHERE t.name = $1 ORDER BY k.dek_id DESC LIMIT 1`,
    [tenant],
  );
  const kek = row.wrapped.readUInt32BE(2);
  const bytes = open(
    Buffer.from(keyring.keys.find(({ id }) => id === kek).key, 'base64url'),
    { ...row, table: 'data_keys', column: 'wrapped', row: '', version: row.dek },
    row.wrapped,
  );
  return { bytes, kek, dek: row.dek, deployment: row.deployment, tenant: row.tenant };
}
