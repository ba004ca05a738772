// SPDX-License-Identifier: Apache-2.0
//
// A token endpoint for any number of clients, in a thread of its own so that what it does is not
// in the way of who measures. Gives {url, counts(), close()}: how many tokens, and how many
// requests at once at most.

import http from 'node:http';
import { Worker, isMainThread, parentPort } from 'node:worker_threads';

function serve() {
  let tokens = 0;
  let running = 0;
  let most = 0;
  const server = http.createServer((request, response) => {
    most = Math.max(most, ++running);
    request.resume().on('end', () =>
      // As long as a server takes that looks into a database.
      setTimeout(() => {
        running--;
        tokens++;
        const token = { access_token: `t${tokens}`, token_type: 'Bearer', expires_in: 86400 };
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify(token));
      }, 5),
    );
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage({ port: server.address().port }));
  parentPort.on('message', () => parentPort.postMessage({ tokens, most }));
}

export async function startTokenMill() {
  const thread = new Worker(new URL(import.meta.url));
  const next = () => new Promise((resolve) => thread.once('message', resolve));
  const { port } = await next();
  return {
    url: `http://127.0.0.1:${port}/token`,
    host: `127.0.0.1:${port}`,
    counts: () => {
      const answer = next();
      thread.postMessage('counts');
      return answer;
    },
    close: () => thread.terminate(),
  };
}

if (!isMainThread) serve();
