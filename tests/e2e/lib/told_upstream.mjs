// SPDX-License-Identifier: Apache-2.0
//
// A stateless MCP upstream of the legacy era in this process, whose tools and answers a test gives:
//
//   startTold({tools, call})   call(name, args) gives {result} or {error}; the upstream: {url, calls,
//                              close()}; calls are what tools/call was asked

import { listen, readBody, sendJson } from './http_server.mjs';

export const text = (value, rest = {}) => ({ result: { content: [{ type: 'text', text: value }], ...rest } });

export async function startTold({ tools, call }) {
  const calls = [];
  const answer = ({ method, params }) => {
    switch (method) {
      case 'initialize':
        return {
          result: {
            protocolVersion: '2025-11-25',
            capabilities: { tools: {} },
            serverInfo: { name: 'told', version: '1.0.0' },
          },
        };
      case 'ping':
        return { result: {} };
      case 'tools/list':
        return { result: { tools } };
      case 'tools/call':
        calls.push(params);
        return call(params.name, params.arguments ?? {});
      default:
        return { error: { code: -32601, message: 'Method not found' } };
    }
  };
  const server = await listen(async (request, response) => {
    const message = request.method === 'POST' ? JSON.parse(await readBody(request)) : undefined;
    if (message?.method === undefined || message.id === undefined) {
      response.writeHead(message === undefined ? 405 : 202);
      response.end();
      return;
    }
    sendJson(response, 200, { jsonrpc: '2.0', id: message.id, ...answer(message) });
  });
  return { url: `${server.origin}/mcp`, calls, close: server.close };
}
