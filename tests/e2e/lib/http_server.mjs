// SPDX-License-Identifier: Apache-2.0
//
// What servers of tests are made of.

import http from 'node:http';

export async function readBytes(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export const readBody = async (request) => (await readBytes(request)).toString();

export function sendJson(response, status, value, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}

// A server on a free port of loopback: {server, port, origin, close()}. options: those of
// http.createServer.
export async function listen(handler, options = {}) {
  const server = http.createServer(options, handler);
  await new Promise((resolve, reject) =>
    server.on('error', reject).listen(0, '127.0.0.1', resolve),
  );
  return {
    server,
    port: server.address().port,
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}
