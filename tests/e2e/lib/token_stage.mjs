// SPDX-License-Identifier: Apache-2.0
//
// An authorization server for clients without users, and the MCP upstream that takes its tokens, on
// one port of this process: {url, origin, issued, asked, calls, …}.
//
//   token_url      /token, client_credentials only, each way for a client to show itself
//   url            /mcp, modern, or legacy with sessions; tools: whoami, count, write
//
// Knobs: clients (id → {secret} or {publicKey}), lifetime (seconds), pad (bytes of a token),
// refuse (an error of the token endpoint), denied (tokens that the upstream takes no more, or 'all'),
// scopes (tool → scope that its tokens must have).

import { createHash, createPublicKey, verify } from 'node:crypto';

import { listen, readBody, sendJson } from './http_server.mjs';

const modern = '2026-07-28';
const longTokens = 65536; // bytes of headers
const tools = ['whoami', 'count', 'write'].map((name) => ({
  name,
  inputSchema: { type: 'object', properties: {} },
}));

const decoded = (text) => decodeURIComponent(text.replaceAll('+', ' '));

// Who asks, and how that was shown; undefined: nobody that is known.
function clientOf(stage, request, form) {
  const basic = /^Basic (.*)$/.exec(request.headers.authorization ?? '')?.[1];
  if (basic !== undefined) {
    const [id, ...rest] = Buffer.from(basic, 'base64').toString().split(':');
    const secret = rest.join(':');
    if (stage.clients[id]?.secret === secret) return { id, how: 'basic_raw' };
    const known = stage.clients[decoded(id)]?.secret === decoded(secret);
    return known ? { id: decoded(id), how: 'basic' } : undefined;
  }
  const id = form.get('client_id');
  if (form.has('client_assertion')) return assertedBy(stage, form);
  return stage.clients[id]?.secret === form.get('client_secret') ? { id, how: 'post' } : undefined;
}

function assertedBy(stage, form) {
  const [head, body, signature] = form.get('client_assertion').split('.');
  const read = (part) => JSON.parse(Buffer.from(part, 'base64url').toString());
  const claims = read(body);
  const key = stage.clients[claims.sub]?.publicKey;
  const good =
    form.get('client_assertion_type') ===
      'urn:ietf:params:oauth:client-assertion-type:jwt-bearer' &&
    key !== undefined &&
    read(head).alg === 'ES256' &&
    claims.iss === claims.sub &&
    [stage.origin, stage.tokenUrl].includes(claims.aud) &&
    claims.exp > Date.now() / 1000 &&
    verify(
      'sha256',
      Buffer.from(`${head}.${body}`),
      { key: createPublicKey(key), dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url'),
    );
  return good ? { id: claims.sub, how: 'private_key_jwt' } : undefined;
}

async function giveToken(stage, request, response) {
  const form = new URLSearchParams(await readBody(request));
  const client = clientOf(stage, request, form);
  stage.asked.push({ ...Object.fromEntries(form), client: client?.id, how: client?.how });
  if (stage.refuse) return sendJson(response, 400, { error: stage.refuse });
  if (client === undefined) return sendJson(response, 401, { error: 'invalid_client' });
  if (form.get('grant_type') !== 'client_credentials')
    return sendJson(response, 400, { error: 'unsupported_grant_type' });
  const token = `token-${stage.issued.length}${'x'.repeat(stage.pad)}`;
  stage.issued.push(token);
  stage.owners.set(token, { who: client.id, scope: form.get('scope') ?? '' });
  return sendJson(response, 200, {
    access_token: token,
    token_type: 'Bearer',
    ...(stage.lifetime ? { expires_in: stage.lifetime } : {}),
  });
}

function resultOf(stage, message, owner) {
  switch (message.method) {
    case 'server/discover':
      return { supportedVersions: [modern], capabilities: { tools: {} } };
    case 'initialize':
      return {
        protocolVersion: '2025-11-25',
        capabilities: { tools: {} },
        serverInfo: { name: 'stage', version: '1' },
      };
    case 'tools/list':
      return { tools };
    case 'tools/call':
      if (message.params.name === 'count') stage.ran++;
      return { content: [{ type: 'text', text: owner.who }], isError: false };
    default:
      return {};
  }
}

async function serveMcp(stage, request, response) {
  const body = request.method === 'POST' ? await readBody(request) : '{}';
  const message = JSON.parse(body);
  const token = /^Bearer (.*)$/.exec(request.headers.authorization ?? '')?.[1];
  const owner = stage.owners.get(token);
  const session = request.headers['mcp-session-id'];
  const call = {
    method: message.method ?? request.method,
    tool: message.params?.name,
    digest: token && createHash('sha256').update(token).digest('hex'),
    who: owner?.who,
    session,
    body,
  };
  stage.calls.push(call);
  const good = owner !== undefined && stage.denied !== 'all' && !stage.denied.has(token);
  call.status = good ? 200 : 401;
  if (!good) {
    const challenge = `Bearer resource_metadata="${stage.origin}/prm", error="invalid_token"`;
    return sendJson(response, 401, {}, { 'www-authenticate': challenge });
  }
  const scope = message.method === 'tools/call' ? stage.scopes[message.params.name] : undefined;
  if (scope !== undefined && !owner.scope.split(' ').includes(scope)) {
    call.status = 403;
    const challenge = `Bearer error="insufficient_scope", scope="${scope}"`;
    return sendJson(response, 403, {}, { 'www-authenticate': challenge });
  }
  if (request.method === 'GET') return sendJson(response, 405, {});
  if (stage.era === 'legacy' && message.method === 'server/discover')
    return sendJson(response, 400, { jsonrpc: '2.0', id: null, error: { code: -32000, message: 'no' } });
  // Whoever opened a session is the only one who may use it.
  if (stage.era === 'legacy' && message.method === 'initialize')
    stage.sessions.set(`s${stage.sessions.size}`, owner.who);
  else if (stage.era === 'legacy' && stage.sessions.get(session) !== owner.who)
    stage.mixed.push(call);
  if (message.id === undefined) return response.writeHead(202).end();
  if (message.method === 'subscriptions/listen')
    return sendJson(response, 200, {
      jsonrpc: '2.0',
      id: message.id,
      error: { code: -32601, message: 'no' },
    });
  return sendJson(
    response,
    200,
    { jsonrpc: '2.0', id: message.id, result: resultOf(stage, message, owner) },
    stage.era === 'legacy' && message.method === 'initialize'
      ? { 'mcp-session-id': `s${stage.sessions.size - 1}` }
      : {},
  );
}

export async function startStage(settings = {}) {
  const stage = {
    era: 'modern',
    clients: {},
    lifetime: 3600,
    pad: 0,
    refuse: undefined,
    denied: new Set(),
    scopes: {},
    issued: [],
    owners: new Map(), // token → {who, scope}
    asked: [],
    calls: [],
    sessions: new Map(), // legacy: id → who
    mixed: [],
    ran: 0, // calls of count
    ...settings,
  };
  const routes = {
    '/token': giveToken,
    '/mcp': serveMcp,
    '/prm': (_, request, response) =>
      sendJson(response, 200, { resource: stage.url, authorization_servers: [stage.origin] }),
    '/.well-known/oauth-authorization-server': (_, request, response) =>
      sendJson(response, 200, {
        issuer: stage.origin,
        token_endpoint: stage.tokenUrl,
        token_endpoint_auth_methods_supported: ['client_secret_basic', 'private_key_jwt'],
      }),
  };
  const handle = async (request, response) => {
    try {
      const serve = routes[new URL(request.url, 'http://x').pathname];
      if (serve === undefined) return response.writeHead(404).end();
      return await serve(stage, request, response);
    } catch (problem) {
      return response.writeHead(500).end(problem.message);
    }
  };
  const { origin, close } = await listen(handle, { maxHeaderSize: longTokens });
  stage.origin = origin;
  stage.url = `${stage.origin}/mcp`;
  stage.tokenUrl = `${stage.origin}/token`;
  stage.stop = close;
  // A token of somebody, as if it had been obtained elsewhere.
  stage.give = (who, scope = '') => {
    const token = `given-${who}-${stage.owners.size}`;
    stage.owners.set(token, { who, scope });
    return token;
  };
  stage.toolCalls = (tool) => stage.calls.filter((call) => call.method === 'tools/call' && call.tool === tool);
  return stage;
}
