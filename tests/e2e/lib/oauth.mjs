// SPDX-License-Identifier: Apache-2.0
//
// The client's side of OAuth in a few lines, for talking to authorization servers without a gateway.

import crypto from 'node:crypto';

export const random = (bytes = 32) => crypto.randomBytes(bytes).toString('base64url');

export function pkce() {
  const verifier = random();
  const challenge = crypto.createHash('sha256').update(verifier).digest('base64url');
  return { verifier, challenge };
}

export const basic = (id, secret) =>
  `Basic ${btoa(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`)}`;

// POST of a form, redirects not followed: {status, headers, location, text, json}.
export async function postForm(url, fields, headers = {}) {
  return read(
    await fetch(url, {
      method: 'POST',
      redirect: 'manual',
      headers,
      body: new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined)),
    }),
  );
}

export async function getPage(url, headers = {}) {
  return read(await fetch(url, { redirect: 'manual', headers }));
}

async function read(response) {
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    // A page.
  }
  const location = response.headers.get('location');
  return {
    status: response.status,
    headers: response.headers,
    location: location === null ? undefined : new URL(location, response.url),
    text,
    json,
  };
}

// One request of the modern era: {status, headers, json}.
export async function callModern(url, method, params, headers = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2026-07-28',
      'mcp-method': method,
      ...(params?.name === undefined ? {} : { 'mcp-name': params.name }),
      ...headers,
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method,
      params: {
        ...params,
        _meta: {
          'io.modelcontextprotocol/protocolVersion': '2026-07-28',
          'io.modelcontextprotocol/clientInfo': { name: 'test', version: '1' },
          'io.modelcontextprotocol/clientCapabilities': {},
        },
      },
    }),
  });
  return read(response);
}
