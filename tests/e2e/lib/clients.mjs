// SPDX-License-Identifier: Apache-2.0
//
// The unmodified MCP clients behind one face. Their fetch is wrapped only to keep what came in
// and to enter in the ledger what went out.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { outcomesOf, record } from './ledger.mjs';
import { EventReader } from './raw.mjs';
import { raw } from './rawjson.mjs';
import { eventually } from './wait.mjs';

const info = { name: 'tollgate-e2e', version: '1.0.0' };

function enter(url, body, key) {
  const message = JSON.parse(body);
  if (message.id === undefined || message.method === undefined) return undefined;
  return record({
    url,
    key,
    method: message.method,
    tool: message.method === 'tools/call' ? message.params.name : null,
    id: raw(body, 'id'),
    outcome:
      message.method === 'subscriptions/listen'
        ? streamEnds
        : ['unknown', 'client_closed', 'cancelled', 'ok', 'tool_error'],
  });
}

// How a stream may end that was opened; the result with which it does says no more.
const streamEnds = ['unknown', 'client_closed', 'drained'];

function settle(entry, status, text) {
  if (entry === undefined || entry.outcome.length === 1) return;
  try {
    const message = JSON.parse(text);
    const last = message.result !== undefined || message.error !== undefined;
    if (last && !(entry.outcome === streamEnds && message.result !== undefined))
      entry.outcome = outcomesOf(status, message);
  } catch {
    entry.outcome = outcomesOf(status, undefined);
  }
}

// fetch that keeps the raw text of every message received in `received`.
function recordingFetch(received, key) {
  return async (url, init) => {
    const entry = init?.method === 'POST' ? enter(url, init.body, key) : undefined;
    const response = await fetch(url, init);
    if (response.body === null) return response;
    const decoder = new TextDecoder();
    const keep = (text) => {
      received.push(text);
      settle(entry, response.status, text);
    };
    const events = new EventReader(keep);
    const streamed = response.headers.get('content-type')?.startsWith('text/event-stream');
    if (init?.method === 'GET' && streamed) received.streams++;
    let whole = '';
    const watch = new TransformStream({
      transform(chunk, controller) {
        const text = decoder.decode(chunk, { stream: true });
        if (streamed) events.feed(text);
        else whole += text;
        controller.enqueue(chunk);
      },
      flush() {
        if (!streamed && whole !== '') keep(whole);
      },
    });
    return new Response(response.body.pipeThrough(watch), response);
  };
}

function credentials({ key, header = 'authorization', headers = {} }) {
  if (key === undefined) return headers;
  return { ...headers, [header]: header === 'authorization' ? `Bearer ${key}` : key };
}

// What every client offers after connect.
function face(name, era, client, received, callTool) {
  const messages = [];
  return {
    name,
    era,
    client,
    received, // raw text of every message that came
    messages,
    changes: [], // when it was told that its list has changed
    // Resolves once it can be told.
    async listen() {
      if (era === 'modern') return client.listen({ toolsListChanged: true });
      return eventually(() => received.streams > 0, { what: `${name} has its stream` });
    },
    listTools: async () => (await client.listTools()).tools,
    listPage: (cursor) => client.listTools(cursor === undefined ? {} : { cursor }),
    callTool: (tool, args, options = {}) =>
      callTool({ name: tool, arguments: args }, { timeout: 20000, ...options }),
    // The raw text of the newest answer.
    lastAnswer: () => received.findLast((text) => /"(result|error)"\s*:/.test(text)),
    close: () => client.close(),
  };
}

async function connectV2(name, era, mode, options) {
  const received = Object.assign([], { streams: 0 });
  const client = new Client(info, {
    capabilities: options.capabilities ?? {},
    versionNegotiation: { mode },
  });
  const transport = new StreamableHTTPClientTransport(new URL(options.url), {
    fetch: recordingFetch(received, options.key),
    requestInit: { headers: credentials(options) },
  });
  await client.connect(transport);
  const handle = face(name, era, client, received, (params, opts) => client.callTool(params, opts));
  client.setNotificationHandler('notifications/message', (message) =>
    handle.messages.push(message.params),
  );
  client.setNotificationHandler('notifications/tools/list_changed', () =>
    handle.changes.push(Date.now()),
  );
  return handle;
}

async function connectV1(name, era, options) {
  const { LoggingMessageNotificationSchema, ToolListChangedNotificationSchema } =
    await import('@modelcontextprotocol/sdk/types.js');
  const received = Object.assign([], { streams: 0 });
  const client = new ClientV1(info, { capabilities: options.capabilities ?? {} });
  const transport = new TransportV1(new URL(options.url), {
    fetch: recordingFetch(received, options.key),
    requestInit: { headers: credentials(options) },
  });
  await client.connect(transport);
  const handle = face(name, era, client, received, (params, opts) =>
    client.callTool(params, undefined, opts),
  );
  client.setNotificationHandler(LoggingMessageNotificationSchema, (message) =>
    handle.messages.push(message.params),
  );
  client.setNotificationHandler(ToolListChangedNotificationSchema, () =>
    handle.changes.push(Date.now()),
  );
  return handle;
}

// options: url, key, header ('authorization' or 'x-api-key'), headers, capabilities.
export const clients = [
  {
    name: 'client 2.4.0 legacy',
    era: 'legacy',
    connect: (options) => connectV2('client 2.4.0 legacy', 'legacy', 'legacy', options),
  },
  {
    name: 'client 2.4.0 auto',
    era: 'modern',
    connect: (options) => connectV2('client 2.4.0 auto', 'modern', 'auto', options),
  },
  {
    name: 'sdk 1.32.2',
    era: 'legacy',
    connect: (options) => connectV1('sdk 1.32.2', 'legacy', options),
  },
];
