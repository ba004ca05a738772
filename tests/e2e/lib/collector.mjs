// SPDX-License-Identifier: Apache-2.0
//
// A collector of traces: takes OTLP/HTTP in its JSON form and believes nothing. What the protocol
// (opentelemetry-proto 1.x, trace/v1, common/v1, resource/v1, and "JSON Protobuf Encoding" of the
// OTLP specification) does not know is an error: unknown members, ids that are no hex of their
// length, numbers where 64 bits have to be a string, enums by name.

import zlib from 'node:zlib';

import { listen, readBytes } from './http_server.mjs';
import { eventually } from './wait.mjs';

const uint32 = (value) => Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
const fixed64 = (value) => typeof value === 'string' && /^(0|[1-9]\d{0,19})$/.test(value);
const int64 = (value) => typeof value === 'string' && /^(0|-?[1-9]\d{0,18})$/.test(value);
const text = (value) => typeof value === 'string';
const hex = (digits) => (value) =>
  text(value) &&
  value.length === digits &&
  /^[0-9a-f]*$/.test(value) &&
  /[1-9a-f]/.test(value);
const below = (n) => (value) => Number.isInteger(value) && value >= 0 && value < n;

const messages = {
  Request: { resourceSpans: ['ResourceSpans'] },
  ResourceSpans: { resource: 'Resource', scopeSpans: ['ScopeSpans'], schemaUrl: text },
  Resource: { attributes: ['KeyValue'], droppedAttributesCount: uint32 },
  ScopeSpans: { scope: 'Scope', spans: ['Span'], schemaUrl: text },
  Scope: { name: text, version: text, attributes: ['KeyValue'], droppedAttributesCount: uint32 },
  Span: {
    traceId: hex(32),
    spanId: hex(16),
    traceState: text,
    parentSpanId: hex(16),
    flags: uint32,
    name: text,
    kind: below(6),
    startTimeUnixNano: fixed64,
    endTimeUnixNano: fixed64,
    attributes: ['KeyValue'],
    droppedAttributesCount: uint32,
    links: ['Link'],
    droppedLinksCount: uint32,
    status: 'Status',
  },
  Link: {
    traceId: hex(32),
    spanId: hex(16),
    traceState: text,
    attributes: ['KeyValue'],
    droppedAttributesCount: uint32,
    flags: uint32,
  },
  Status: { message: text, code: below(3) },
  KeyValue: { key: text, value: 'AnyValue' },
  AnyValue: {
    stringValue: text,
    boolValue: (value) => typeof value === 'boolean',
    intValue: int64,
    doubleValue: (value) => typeof value === 'number',
  },
};
const required = {
  Span: ['traceId', 'spanId', 'name', 'kind', 'startTimeUnixNano', 'endTimeUnixNano'],
  Link: ['traceId', 'spanId'],
  KeyValue: ['key', 'value'],
};

function check(value, type, where) {
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Error(`${where} is no ${type}`);
  for (const [key, one] of Object.entries(value)) {
    const kind = messages[type][key];
    const at = `${where}.${key}`;
    if (kind === undefined) throw new Error(`${at}: ${type} has no such member`);
    if (typeof kind === 'function') {
      if (!kind(one)) throw new Error(`${at}: ${JSON.stringify(one)}`);
    } else if (typeof kind === 'string') check(one, kind, at);
    else if (!Array.isArray(one)) throw new Error(`${at} is no list`);
    else one.forEach((element, n) => check(element, kind[0], `${at}[${n}]`));
  }
  for (const key of required[type] ?? [])
    if (!Object.hasOwn(value, key)) throw new Error(`${where} has no ${key}`);
  if (type === 'AnyValue' && Object.keys(value).length !== 1)
    throw new Error(`${where}: one value, not ${Object.keys(value)}`);
  if (type === 'Span') checkSpan(value, where);
  if (value.attributes !== undefined) {
    const keys = value.attributes.map(({ key }) => key);
    if (new Set(keys).size !== keys.length || keys.includes(''))
      throw new Error(`${where}: attributes ${keys}`);
  }
}

function checkSpan(span, where) {
  if (BigInt(span.endTimeUnixNano) < BigInt(span.startTimeUnixNano))
    throw new Error(`${where} ends before it starts`);
  if (span.kind === 0 || span.name === '') throw new Error(`${where} has no kind or name`);
  if (span.status?.code !== 2 && span.status?.message !== undefined)
    throw new Error(`${where}: a message is for errors`);
}

export const checkRequest = (value) => check(value, 'Request', 'request');

const plain = (attributes = []) =>
  Object.fromEntries(
    attributes.map(({ key, value }) => [
      key,
      value.intValue === undefined ? Object.values(value)[0] : Number(value.intValue),
    ]),
  );

class Collector {
  constructor() {
    this.requests = []; // {headers, spans}
    this.spans = [];
    this.problems = [];
    this.answer = () => ({ status: 200, body: {} });
  }

  async handle(request, response) {
    const bytes = await readBytes(request);
    try {
      if (request.method !== 'POST' || request.url !== '/v1/traces')
        throw new Error(`${request.method} ${request.url}`);
      if (request.headers['content-type'] !== 'application/json')
        throw new Error(`content-type: ${request.headers['content-type']}`);
      const body = request.headers['content-encoding'] === 'gzip' ? zlib.gunzipSync(bytes) : bytes;
      const value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
      checkRequest(value);
      const answer = this.answer(this.requests.length);
      this.take(request, value, answer);
      if (answer.never) return;
      response.writeHead(answer.status, {
        'content-type': 'application/json',
        ...answer.headers,
      });
      response.end(JSON.stringify(answer.body ?? {}));
    } catch (problem) {
      this.problems.push(problem);
      response.writeHead(400, { 'content-type': 'application/json' });
      response.end(JSON.stringify({ code: 3, message: String(problem) }));
    }
  }

  take(request, value, answer) {
    const spans = value.resourceSpans.flatMap(({ resource, scopeSpans }) =>
      scopeSpans.flatMap(({ scope, spans: list }) =>
        list.map((span) => ({
          ...span,
          attributes: plain(span.attributes),
          resource: plain(resource.attributes),
          scope,
        })),
      ),
    );
    this.requests.push({ headers: request.headers, spans, status: answer.status });
    if (answer.status === 200) this.spans.push(...spans);
  }

  // All of a trace, once there are so many of them.
  trace(id, n, options = {}) {
    return eventually(
      () => {
        if (this.problems.length > 0) throw this.problems[0];
        const found = this.spans.filter(({ traceId }) => traceId === id);
        if (found.length > n) throw new Error(`${found.length} spans of ${id}`);
        return found.length === n && found;
      },
      { deadline: 8000, what: `${n} spans of ${id}`, ...options },
    );
  }
}

export async function startCollector() {
  const collector = new Collector();
  const server = await listen((request, response) => collector.handle(request, response));
  return Object.assign(collector, { url: server.origin, close: server.close });
}
