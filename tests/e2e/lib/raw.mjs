// SPDX-License-Identifier: Apache-2.0
//
// MCP over HTTP by hand: any bytes, any header, and the answer as the bytes that came.

import fs from 'node:fs';
import http from 'node:http';

import { outcomesOf, record } from './ledger.mjs';
import { raw } from './rawjson.mjs';
import { eventually, signal } from './wait.mjs';

let block = [0, 0, 255];
// An address of 127/8 that this run uses once.
export function nextAddress() {
  if (block[2] >= 254)
    block = [1 + Math.floor(Math.random() * 250), Math.floor(Math.random() * 256), 1];
  block[2]++;
  return `127.${block.join('.')}`;
}

// Splits an event stream into the data of its events, as they become complete.
export class EventReader {
  constructor(onData) {
    this.pending = '';
    this.lines = [];
    this.onData = onData;
  }

  feed(text) {
    this.pending += text;
    for (let match; (match = /\r\n|\n|\r(?!$)/.exec(this.pending)); ) {
      this.line(this.pending.slice(0, match.index));
      this.pending = this.pending.slice(match.index + match[0].length);
    }
  }

  line(line) {
    if (line === '' && this.lines.length > 0) {
      this.onData(this.lines.join('\n'));
      this.lines = [];
    } else if (line.startsWith('data:')) {
      this.lines.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
  }
}

const isStream = (headers) => (headers['content-type'] ?? '').startsWith('text/event-stream');

// One HTTP request. Gives {status, headers, body, text, messages, address}; messages are the raw
// texts of a JSON body or of the events. handle.abort() leaves.
export function send(url, options = {}) {
  const {
    method = 'GET',
    headers = {},
    body,
    onmessage,
    onhead,
    address = nextAddress(),
  } = options;
  const target = new URL(url);
  const handle = {};
  handle.done = new Promise((resolve, reject) => {
    const request = http.request({
      host: target.hostname,
      port: target.port,
      path: options.path ?? target.pathname + target.search,
      method,
      headers: { host: target.host, ...headers },
      setHost: false,
      agent: options.agent ?? false,
      localAddress: address,
    });
    handle.abort = () => request.destroy(new Error('left'));
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks = [];
      const messages = [];
      const decoder = new TextDecoder();
      const events = new EventReader((data) => {
        messages.push(data);
        onmessage?.(data);
      });
      onhead?.(response.statusCode, response.headers);
      response.on('error', reject);
      response.on('data', (chunk) => {
        chunks.push(chunk);
        if (isStream(response.headers)) events.feed(decoder.decode(chunk, { stream: true }));
      });
      response.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const text = bytes.toString();
        if (!isStream(response.headers) && text !== '') messages.push(text);
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: bytes,
          text,
          messages,
          address,
          reused: request.reusedSocket,
        });
      });
    });
    request.end(body);
  });
  return handle;
}

// Waits until no server holds a connection of that address any more: the client is known to have
// left. States 1 and 8 of /proc/net/tcp are open, and closed by the other side only.
export function left(address) {
  const peer = address
    .split('.')
    .toReversed()
    .map((byte) => Number(byte).toString(16).padStart(2, '0').toUpperCase())
    .join('');
  return eventually(
    () =>
      !fs
        .readFileSync('/proc/net/tcp', 'utf8')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .some(([, , remote, state]) => remote?.startsWith(`${peer}:`) && /^0[18]$/.test(state)),
    { what: `the connections of ${address} are closed` },
  );
}

// What is refused at the gate is in the book whatever was asked: bodies that are not read, and who
// may have no stream and no session.
function recordRefusal(url, method, reply) {
  // The HTTP server itself answers in plain text.
  const unread = [400, 413, 417].includes(reply.status) && !reply.text.startsWith('{');
  const atTheGate = method !== 'POST' && [401, 403].includes(reply.status);
  if (reply.headers['tollgate-call-id'] !== undefined && (unread || atTheGate))
    record({
      url,
      source_ip: reply.address,
      outcome: unread ? ['malformed'] : outcomesOf(reply.status),
    });
}

export async function request(url, options = {}) {
  const { recorded = true, ...rest } = options;
  const reply = await send(url, rest).done;
  if (recorded) recordRefusal(url, options.method, reply);
  return reply;
}

const json = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
const withoutUndefined = (headers) =>
  Object.fromEntries(
    Object.entries(headers).filter(([, value]) => value !== undefined && value !== null),
  );
const textOf = (value) => (typeof value === 'string' ? value : JSON.stringify(value));

const parsed = (text) => {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? value : undefined;
  } catch {
    return undefined;
  }
};

// The answer to id among the messages, and its raw text.
export function answerIn(messages) {
  const text = messages.findLast((message) => /"(result|error)"\s*:/.test(message)) ?? '';
  return { answer: parsed(text), answerText: text };
}

// Posts a body to an MCP endpoint. options: key, header (which one carries it), headers (null
// removes one), onmessage, recorded: {…} (what the book should say), or false (no call).
export function post(url, body, options = {}) {
  const { key, header = 'authorization', headers = {}, recorded = {} } = options;
  const credential =
    key === undefined ? {} : { [header]: header === 'authorization' ? `Bearer ${key}` : key };
  const address = options.address ?? nextAddress();
  const entry =
    recorded === false
      ? {}
      : record({ ...described(body), url, key, source_ip: address, ...recorded });
  const handle = send(url, {
    ...options,
    method: 'POST',
    body,
    address,
    headers: withoutUndefined({ ...json, ...credential, ...headers }),
  });
  entry.outcome ??= ['unknown', 'client_closed', 'cancelled'];
  handle.done = handle.done.then((reply) => {
    const { answer, answerText } = answerIn(reply.messages);
    if (recorded !== false && recorded.outcome === undefined)
      entry.outcome = outcomesOf(reply.status, answer);
    return { ...reply, answer, answerText, entry };
  });
  handle.entry = entry;
  return handle;
}

// Method, id and tool of a body, as far as it is a request.
export function described(body) {
  const value = parsed(typeof body === 'string' ? body : Buffer.from(body ?? '').toString());
  if (value === undefined || typeof value.method !== 'string')
    return { method: null, tool: null, id: null };
  return {
    method: value.method,
    tool:
      value.method === 'tools/call' && typeof value.params?.name === 'string'
        ? value.params.name
        : null,
    id: raw(body, 'id') ?? null,
  };
}

export const message = (id, method, params) =>
  `{"jsonrpc":"2.0",${id === undefined ? '' : `"id":${id},`}"method":${JSON.stringify(method)}` +
  `${params === undefined ? '' : `,"params":${textOf(params)}`}}`;

// Does fn over fresh connections often enough that every worker has answered (with two workers,
// one is missed once in 32768 times). Gives the answers.
export async function onEveryWorker(fn, times = 16) {
  const answers = [];
  for (let at = 0; at < times; at++) answers.push(await fn());
  return answers;
}

// --- the legacy era ------------------------------------------------------------------------------

export async function openSession(url, options = {}) {
  const { version = '2025-11-25', key, headers = {}, capabilities = {} } = options;
  const opened = await post(
    url,
    message(0, 'initialize', {
      protocolVersion: version,
      capabilities,
      clientInfo: { name: 'raw', version: '1' },
    }),
    { key, headers, header: options.header },
  ).done;
  if (opened.status !== 200) throw new Error(`initialize: ${opened.status} ${opened.text}`);
  const session = {
    url,
    id: opened.headers['mcp-session-id'],
    version: opened.answer.result.protocolVersion,
    opened,
    key,
  };
  session.headers = {
    'mcp-session-id': session.id,
    'mcp-protocol-version': session.version,
    ...headers,
  };
  session.start = (method, params, extra = {}) =>
    post(extra.url ?? url, message(extra.id ?? 1, method, params), {
      key,
      header: options.header,
      ...extra,
      headers: { ...session.headers, ...extra.headers },
    });
  session.request = (method, params, extra) => session.start(method, params, extra).done;
  session.notify = (method, params, extra = {}) =>
    post(extra.url ?? url, message(undefined, method, params), {
      key,
      recorded: false,
      ...extra,
      headers: session.headers,
    }).done;
  await session.notify('notifications/initialized');
  return session;
}

// Opens the GET stream of a session and resolves once it is open: {messages, head, closed, abort()};
// closed resolves when it has ended. A status other than 200 is {head, text}.
export async function openStream(session, { headers = {}, url = session.url } = {}) {
  const stream = { messages: [], open: true };
  const opened = signal();
  const handle = send(url, {
    headers: {
      accept: 'text/event-stream',
      ...(session.key === undefined ? {} : { authorization: `Bearer ${session.key}` }),
      ...session.headers,
      ...headers,
    },
    onmessage: (text) => stream.messages.push(text),
    onhead: (status, head) => opened.resolve(Object.assign(stream, { status, head })),
  });
  stream.closed = handle.done.then(
    (reply) => {
      recordRefusal(url, 'GET', reply);
      return Object.assign(stream, { open: false, text: reply.text });
    },
    (problem) => {
      opened.reject(problem);
      stream.open = false;
    },
  );
  stream.abort = () => {
    handle.abort();
    return stream.closed;
  };
  await opened.promise;
  if (stream.status !== 200) await stream.closed;
  return stream;
}

// --- the modern era ------------------------------------------------------------------------------

const modernVersion = '2026-07-28';
const prefix = 'io.modelcontextprotocol/';

// The members of _meta as text; meta adds or (undefined) removes some.
export function modernMeta(meta = {}) {
  return {
    [`${prefix}protocolVersion`]: modernVersion,
    [`${prefix}clientCapabilities`]: {},
    [`${prefix}clientInfo`]: { name: 'raw', version: '1' },
    ...meta,
  };
}

// params is an object or the text of one; _meta goes in front of its members.
export function startModern(url, method, params = {}, options = {}) {
  const text = textOf(params).trim();
  const rest = text.slice(1).trim() === '}' ? '}' : `,${text.slice(1)}`;
  const name = raw(text, 'name');
  const body = message(
    options.id ?? 1,
    method,
    `{"_meta":${JSON.stringify(modernMeta(options.meta))}${rest}`,
  );
  return post(url, body, {
    ...options,
    headers: {
      'mcp-protocol-version': modernVersion,
      'mcp-method': method,
      ...(name === undefined ? {} : { 'mcp-name': JSON.parse(name) }),
      ...options.headers,
    },
  });
}

export const requestModern = (...args) => startModern(...args).done;

// The two ways to make the same request, for tests that go through both.
export async function opener(era, url, options) {
  if (era === 'legacy') {
    const session = await openSession(url, options);
    return { era, start: session.start, request: session.request, session };
  }
  const start = (method, params, extra = {}) => {
    const headers = { ...options.headers, ...extra.headers };
    return startModern(url, method, params, { ...options, ...extra, headers });
  };
  return { era, start, request: (...args) => start(...args).done };
}
