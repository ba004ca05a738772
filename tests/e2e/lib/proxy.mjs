// SPDX-License-Identifier: Apache-2.0
//
// A proxy on localhost for programs that cannot send a key, or whose calls nobody else can count:
// it adds headers to each request and changes nothing else, neither Host nor Origin nor a byte of a
// body. Who leaves on one side leaves on the other. What passes is entered in the ledger.

import http from 'node:http';

import { listen, readBytes } from './http_server.mjs';
import { outcomesOf, record } from './ledger.mjs';
import { EventReader, answerIn, described, nextAddress } from './raw.mjs';

// The texts of the messages of an answer, once it has come to its end.
function messagesOf(answer, onend) {
  const streamed = answer.headers['content-type']?.startsWith('text/event-stream');
  const decoder = new TextDecoder();
  const messages = [];
  const events = new EventReader((data) => messages.push(data));
  let whole = '';
  answer.on('data', (chunk) => {
    const text = decoder.decode(chunk, { stream: true });
    if (streamed) events.feed(text);
    else whole += text;
  });
  answer.on('end', () => onend(streamed ? messages : [whole]));
}

// The row of what was refused for its Host or Origin knows nothing more.
const unread = { tenant: null, user: null, method: null, tool: null };

// Notifications are in the book only if they were refused.
function keep(call, answer) {
  const entered = call.id !== null || answer.statusCode >= 400;
  const known = answer.statusCode === 403 ? { ...call, ...unread } : call;
  // Unless its answer comes to an end: the client may have left with all of it under way.
  const outcome = ['unknown', 'client_closed', 'cancelled', 'ok', 'tool_error'];
  const entry = entered ? record({ ...known, outcome }) : {};
  messagesOf(answer, (messages) => {
    entry.outcome = outcomesOf(answer.statusCode, answerIn(messages).answer);
  });
}

async function relay(target, { key, headers }, request, response) {
  const body = await readBytes(request);
  const address = nextAddress();
  const forwarded = http.request({
    host: target.hostname,
    port: target.port,
    method: request.method,
    path: request.url,
    headers: { ...request.headers, ...headers },
    setHost: false,
    agent: false,
    localAddress: address,
  });
  forwarded.on('response', (answer) => {
    const call = { ...described(body.toString()), url: target.origin, key, source_ip: address };
    if (request.method === 'POST') keep(call, answer);
    response.writeHead(answer.statusCode, answer.headers);
    response.flushHeaders();
    answer.pipe(response);
    answer.on('error', () => response.destroy());
  });
  forwarded.on('error', () => response.destroy());
  response.on('close', () => forwarded.destroy());
  forwarded.end(body);
}

// Gives {origin, close()}. target: an origin, http only. key: whose calls they are; headers: what
// each request is given.
export async function startProxy(target, { key, headers = {} }) {
  const to = new URL(target);
  const { port, close } = await listen(
    (request, response) =>
      relay(to, { key, headers }, request, response).catch(() => response.destroy()),
    { requestTimeout: 0 },
  );
  return { origin: `http://localhost:${port}`, close };
}
