// SPDX-License-Identifier: Apache-2.0
//
// An MCP upstream of both eras in this process, which serves whoever brings a token that a function
// accepts. Without sessions: legacy clients may come without one.
//
//   whoami {}            the subject of the token that the call bears
//   echo {text}          the text

import { readBody, sendJson } from './http_server.mjs';

const tools = [
  {
    name: 'whoami',
    description: 'Whose token came with this call.',
    inputSchema: { type: 'object', properties: {} },
  },
  {
    name: 'echo',
    description: 'Says it again.',
    inputSchema: { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
  },
];
const info = { name: 'protected', version: '1.0.0' };
const modern = '2026-07-28';

const complete = (result) => ({
  ...result,
  resultType: 'complete',
  _meta: { 'io.modelcontextprotocol/serverInfo': info },
});

const text = (value) => ({ content: [{ type: 'text', text: value }], isError: false });

// What a method gives, or undefined.
function resultOf({ method, params }, subject, isModern) {
  const cache = isModern ? { ttlMs: 0, cacheScope: 'private' } : {};
  switch (method) {
    case 'initialize':
      return {
        protocolVersion: params.protocolVersion === '2025-06-18' ? '2025-06-18' : '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: info,
      };
    case 'server/discover':
      return { supportedVersions: [modern], capabilities: { tools: {} }, ...cache };
    case 'ping':
      return {};
    case 'tools/list':
      return { tools, ...cache };
    case 'tools/call':
      return params.name === 'whoami'
        ? text(subject)
        : params.name === 'echo'
          ? text(params.arguments.text)
          : undefined;
    default:
      return undefined;
  }
}

// Answers one request to /mcp. judge(token, message) gives {subject}, or {status, challenge}.
export async function serveMcp(request, response, judge) {
  const refuse = ({ status, challenge }) => {
    response.writeHead(status, challenge === undefined ? {} : { 'www-authenticate': challenge });
    response.end();
  };
  const body = request.method === 'POST' ? await readBody(request) : '{}';
  const message = JSON.parse(body);
  const token = /^Bearer (.*)$/i.exec(request.headers.authorization ?? '')?.[1];
  const verdict = await judge(token, message);
  if (verdict.subject === undefined) return refuse(verdict);
  if (request.method !== 'POST') return refuse({ status: 405 });
  if (message.id === undefined) return refuse({ status: 202 });
  const isModern = request.headers['mcp-protocol-version'] === modern;
  const result = resultOf(message, verdict.subject, isModern);
  const head = { jsonrpc: '2.0', id: message.id };
  if (result === undefined)
    return sendJson(response, isModern ? 404 : 200, {
      ...head,
      error: { code: -32601, message: 'Method not found' },
    });
  return sendJson(response, 200, { ...head, result: isModern ? complete(result) : result });
}
