// SPDX-License-Identifier: Apache-2.0
//
// One client that calls one tool after the other on a kept connection, and enters in the client's
// ledger what it sent and what came back.

import http from 'node:http';

import { EventReader, message, modernMeta } from '../../e2e/lib/raw.mjs';

const accept = 'application/json, text/event-stream';
const modernVersion = '2026-07-28';
// Far above any answer under load: what takes longer is lost, and says so.
const answerTimeoutMs = 60000;

const isStream = (headers) => (headers['content-type'] ?? '').startsWith('text/event-stream');

const wires = new WeakMap();

// A connection as {address, port, openedAt}, the same for all requests on it.
export function wireOf(socket) {
  if (!wires.has(socket))
    wires.set(socket, {
      address: socket.localAddress,
      port: socket.localPort,
      openedAt: Date.now(),
    });
  return wires.get(socket);
}

// Posts a body. Gives {status, headers, messages, wire} or throws, then with .wire: the connection.
function ask(lane, url, headers, body) {
  return new Promise((resolve, reject) => {
    let wire;
    const fail = (problem) => reject(Object.assign(problem, { wire }));
    const request = http.request(url, {
      method: 'POST',
      agent: lane.agent,
      localAddress: lane.address,
      timeout: answerTimeoutMs,
      headers: {
        'content-type': 'application/json',
        accept,
        authorization: `Bearer ${lane.key}`,
        'content-length': Buffer.byteLength(body),
        ...headers,
      },
    });
    request.on('socket', (socket) => {
      const note = () => {
        wire = wireOf(socket);
      };
      if (socket.connecting) socket.once('connect', note);
      else note();
    });
    request.on('timeout', () => request.destroy(new Error(`no answer in ${answerTimeoutMs} ms`)));
    request.on('error', fail);
    request.on('response', (response) => {
      const messages = [];
      const events = new EventReader((data) => messages.push(data));
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk) => {
        if (isStream(response.headers)) events.feed(chunk);
        else text += chunk;
      });
      response.on('error', fail);
      response.on('end', () => {
        if (!response.complete) return fail(new Error('the answer was cut'));
        if (text !== '') messages.push(text);
        resolve({ status: response.statusCode, headers: response.headers, messages, wire });
      });
    });
    request.end(body);
  });
}

// The parsed messages: those on the way, and the answer.
function sort(messages) {
  const parsed = messages.map((text) => JSON.parse(text));
  return {
    answer: parsed.findLast((one) => one.result !== undefined || one.error !== undefined),
    others: parsed.filter((one) => one.method !== undefined),
  };
}

// What came that belongs to another call, or undefined.
function foreign(call, answer, others) {
  if (answer !== undefined && answer.id !== null && answer.id !== call.nonce)
    return `the answer to ${answer.id}`;
  const stranger = others.find(
    (one) =>
      one.method === 'notifications/progress' && one.params.progressToken !== `p ${call.nonce}`,
  );
  if (stranger !== undefined) return `progress of ${stranger.params.progressToken}`;
  const text = answer?.result?.content?.[0]?.text;
  if (call.tool?.endsWith('echo') && text !== undefined && !answer.result.isError)
    return JSON.parse(text).nonce === call.nonce ? undefined : `the result ${text}`;
  return undefined;
}

export class Lane {
  // options: {name, era, url, key, tenant, user, address, random, connections, tools, keepAlive,
  // calls (the ledger to enter in), run (prefix of every nonce)}
  constructor(options) {
    Object.assign(this, { keepAlive: true, count: 0 }, options);
    this.agent = new http.Agent({ keepAlive: this.keepAlive, maxSockets: 1 });
  }

  nonce() {
    return `${this.run}-${this.name}-${this.count++}`;
  }

  enter(method, more = {}) {
    const call = {
      nonce: this.nonce(),
      lane: this.name,
      tenant: this.tenant,
      user: this.user,
      era: this.era,
      address: this.address,
      method,
      startedAt: Date.now(),
      begin: performance.now(),
      ...more,
    };
    this.calls.push(call);
    return call;
  }

  // Sends what was entered. The call says afterwards what came: status and answer, or problem.
  async send(call, params) {
    const modern = this.era === 'modern';
    const meta = { progressToken: `p ${call.nonce}` };
    const body = message(JSON.stringify(call.nonce), call.method, {
      ...params,
      _meta: modern ? modernMeta(meta) : meta,
    });
    const headers = modern
      ? {
          'mcp-protocol-version': modernVersion,
          'mcp-method': call.method,
          ...(params.name === undefined ? {} : { 'mcp-name': params.name }),
        }
      : this.session;
    try {
      const reply = await ask(this, this.url, headers ?? {}, body);
      const { answer, others } = sort(reply.messages);
      Object.assign(call, { status: reply.status, answer, wire: reply.wire });
      call.retryAfter = reply.headers['retry-after'];
      call.progress = others.length;
      call.foreign = foreign(call, answer, others);
      if (reply.headers['mcp-session-id']) call.session = reply.headers['mcp-session-id'];
    } catch (problem) {
      call.problem = `${problem.code ?? ''} ${problem.message}`.trim();
      call.wire = problem.wire;
    }
    call.endedAt = Date.now();
    call.ms = performance.now() - call.begin;
    return call;
  }

  // The legacy handshake; a modern client needs none.
  async open() {
    if (this.era === 'modern') return undefined;
    const version = '2025-11-25';
    this.session = undefined;
    const call = await this.send(this.enter('initialize'), {
      protocolVersion: version,
      capabilities: {},
      clientInfo: { name: 'lane', version: '1' },
    });
    if (call.session === undefined)
      throw new Error(`initialize: ${call.status} ${call.problem ?? JSON.stringify(call.answer)}`);
    this.session = { 'mcp-session-id': call.session, 'mcp-protocol-version': version };
    const body = message(undefined, 'notifications/initialized');
    await ask(this, this.url, this.session, body);
    return call;
  }

  list() {
    return this.send(this.enter('tools/list'), {});
  }

  call(connection, tool, args = {}) {
    const name = `${connection}__${tool}`;
    const call = this.enter('tools/call', { connection, tool: name });
    return this.send(call, { name, arguments: { nonce: call.nonce, ...args } });
  }

  step() {
    const tool = this.random.pick(this.tools);
    if (tool === 'list') return this.list();
    const connection = this.random.pick(this.connections);
    const args = {
      echo: () => ({ at: this.random.below(1e6) }),
      sleep: () => ({ ms: this.random.below(30) }),
      progress: () => ({ steps: 1 + this.random.below(4), ms: 5 }),
    };
    return this.call(connection, tool, args[tool]?.() ?? {});
  }

  close() {
    this.agent.destroy();
  }
}
